//! Starting, reading, and what happens when answers get lost; amounts at the edges.

use domain::{Money, PaymentId};
use futures_util::future::join_all;
use port::{DeclineCategory, Found, GatewayError, IdempotencyKey, NextAction, PaymentRef, PaymentStatus};
use std::time::Duration;
use uuid::Uuid;

use super::wire::{lost_start, refused_unheard};
use super::{Act, Check, Entry, Kit, Played, Scenario, Stop, currency, ensure, entries, good, skip};
use crate::fault::Fault;

pub(super) const CHECKS: &[Entry] = entries! {
    1 "start, action, paid: the totals equal the order" happy_path;
    2 "the same operation twice, or ten times at once, is one object" one_object;
    3 "two attempts are two objects" two_objects;
    4 "a decline is a decline with a category" decline;
    5 "the buyer gives up; time runs out" gives_up;
    6 "an unknown reference is not found" unknown_reference;
    7 "find: present and absent" find;
    11 "a lost answer is an unknown outcome, and asking finds exactly one charge" lost_answer;
    19 "amounts of currencies with 0, 2 and 3 digits arrive unchanged" currencies;
    20 "smallest and largest amount" limits;
    21 "zero, negative and extreme amounts are refused" extremes;
    23 "the declared currencies are the accepted ones" declared_currencies;
};

async fn happy_path(kit: &Kit<'_>) -> Check {
    let amount = kit.amount(4_999);
    let played = kit.play(Scenario::Redirect, amount).await?;
    ensure!(played.started.snapshot.status == PaymentStatus::RequiresAction, "start: {:?}", played.started.snapshot);
    ensure!(played.started.snapshot.totals.captured.is_zero(), "money was taken before the buyer acted");
    match &played.started.next_action {
        NextAction::Redirect { url, .. } => {
            ensure!(kit.capabilities.redirect && url.starts_with("http"), "redirect to {url:?}, declared: {}", kit.capabilities.redirect)
        }
        NextAction::Instructions { text, details } => {
            ensure!(kit.capabilities.instructions && !text.is_empty(), "instructions that are not declared, or empty");
            ensure!(details.iter().any(|(_, value)| *value == played.request.order_reference), "the instructions do not name the order");
            ensure!(details.iter().any(|(_, value)| *value == amount.to_string()), "the instructions do not name the amount");
        }
        other => ensure!(kit.capabilities.client_secret, "what is the buyer to do? {other:?}"),
    }
    if !kit.capabilities.lookup.reads() {
        return Ok(());
    }
    kit.act(&played, Act::Approve).await?;
    let snapshot = kit.fetch(&played).await?;
    ensure!(snapshot.status == PaymentStatus::Captured, "after the buyer paid: {snapshot:?}");
    ensure!(snapshot.totals.captured == amount && snapshot.totals.authorised == amount, "the totals are {:?}", snapshot.totals);
    ensure!(snapshot.totals.refunded.is_zero() && snapshot.totals.disputed.is_zero(), "the totals are {:?}", snapshot.totals);
    Ok(())
}

async fn one_object(kit: &Kit<'_>) -> Check {
    let request = kit.scripted(Scenario::Redirect, kit.amount(1_000))?;
    let first = good("start", kit.start(&request).await)?;
    for again in join_all((0..10).map(|_| kit.start_patiently(&request))).await {
        let again = good("the same start again", again)?;
        ensure!(again.reference == first.reference, "a second object {} beside {}", again.reference, first.reference);
        // A natural key finds the object again, but not always the address of its page.
        let forgotten = kit.capabilities.idempotency.start == IdempotencyKey::NaturalKey && again.next_action == NextAction::None;
        ensure!(again.next_action == first.next_action || forgotten, "another next action");
    }
    let parallel = kit.scripted(Scenario::Approve, kit.amount(1_000)).or_else(|_| kit.scripted(Scenario::Redirect, kit.amount(1_000)))?;
    let mut references = Vec::new();
    for started in join_all((0..10).map(|_| kit.start_patiently(&parallel))).await {
        references.push(good("one of ten starts at once", started)?.reference);
    }
    references.dedup();
    ensure!(references.len() == 1, "ten starts at once made the objects {references:?}");
    if let Some(wire) = kit.harness.wire() {
        for id in [request.payment_id, parallel.payment_id] {
            ensure!(wire.objects(id) == 1, "the gateway has {} payments of one operation", wire.objects(id));
        }
    }
    if kit.capabilities.idempotency.start == IdempotencyKey::OperationId {
        let mut other = request.clone();
        other.amount = kit.amount(2_000);
        let answer = kit.start(&other).await;
        ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "the same operation with another amount: {answer:?}");
    }
    Ok(())
}

async fn two_objects(kit: &Kit<'_>) -> Check {
    let (first, second) = (kit.play(Scenario::Redirect, kit.amount(1_000)).await?, kit.play(Scenario::Redirect, kit.amount(1_000)).await?);
    ensure!(first.reference() != second.reference(), "two attempts share {}", first.reference());
    Ok(())
}

async fn decline(kit: &Kit<'_>) -> Check {
    let request = kit.scripted(Scenario::Decline, kit.amount(1_000))?;
    for attempt in ["first", "repeated"] {
        match kit.start(&request).await {
            Err(GatewayError::Declined(decline)) => ensure!(decline.category != DeclineCategory::Fraud, "{attempt}: {decline:?}"),
            other => return Err(Stop::Fail(format!("{attempt}: {other:?}"))),
        }
    }
    if kit.capabilities.lookup.finds() {
        let Found::Present(located) = good("find", kit.gateway.find(&kit.once(), request.payment_id).await)? else {
            return Err(Stop::Fail("a declined payment cannot be found".to_owned()));
        };
        ensure!(located.snapshot.status == PaymentStatus::Failed && located.snapshot.decline.is_some(), "{:?}", located.snapshot);
        ensure!(located.snapshot.totals.captured.is_zero(), "money was taken although it was declined");
    }
    Ok(())
}

async fn gives_up(kit: &Kit<'_>) -> Check {
    let mut played_out = Vec::new();
    for (act, status) in [(Act::Decline, PaymentStatus::Failed), (Act::Expire, PaymentStatus::Expired)] {
        let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
        // A gateway may know only one of the two: one that lets the buyer try again on its page, for example.
        match kit.act(&played, act).await {
            Err(Stop::Skip(_)) => continue,
            other => other?,
        }
        let snapshot = kit.fetch(&played).await?;
        ensure!(snapshot.status == status && snapshot.totals.captured.is_zero(), "{snapshot:?}");
        played_out.push(status);
    }
    if played_out.is_empty() { skip("at this gateway nobody gives up, and nothing runs out") } else { Ok(()) }
}

async fn unknown_reference(kit: &Kit<'_>) -> Check {
    kit.needs_lookup()?;
    let answer = kit.gateway.fetch(&kit.once(), &PaymentRef::new("nobody-has-this")).await;
    ensure!(answer == Err(GatewayError::NotFound), "{answer:?}");
    Ok(())
}

async fn find(kit: &Kit<'_>) -> Check {
    if !kit.capabilities.lookup.finds() {
        return skip("nothing can be found by our id at this gateway");
    }
    let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    match good("find", kit.gateway.find(&kit.once(), played.id()).await)? {
        Found::Present(located) => ensure!(located.reference == *played.reference(), "another payment: {located:?}"),
        other => return Err(Stop::Fail(format!("a started payment: {other:?}"))),
    }
    let answer = good("find", kit.gateway.find(&kit.once(), PaymentId::new(Uuid::now_v7())).await)?;
    ensure!(answer == Found::Absent, "a payment that was never started: {answer:?}");
    Ok(())
}

/// [`Scenario::Down`], for adapters whose gateway is no network away.
pub(super) async fn down(kit: &Kit<'_>) -> Check {
    let request = kit.scripted(Scenario::Down, kit.amount(1_000))?;
    let answer = kit.start(&request).await;
    ensure!(matches!(answer, Err(GatewayError::Unavailable(_))), "{answer:?}");
    absent(kit, request.payment_id).await
}

async fn lost_answer(kit: &Kit<'_>) -> Check {
    if let Some(wire) = kit.harness.wire() {
        for (fault, arrives) in [(Fault::ResetAfter, true), (Fault::ResetBefore, false)] {
            lost_start(kit, wire, fault, arrives).await?;
        }
        return Ok(());
    }
    let charged = kit.scripted(Scenario::TimeoutCharged, kit.amount(1_000))?;
    let answer = kit.start(&charged).await;
    ensure!(matches!(answer, Err(GatewayError::UnknownOutcome { .. })), "charged: {answer:?}");
    let Found::Present(located) = good("find", kit.gateway.find(&kit.once(), charged.payment_id).await)? else {
        return Err(Stop::Fail("a charge whose answer was lost cannot be found".to_owned()));
    };
    ensure!(located.snapshot.totals.captured == charged.amount, "{:?}", located.snapshot);
    let again = good("the same operation again", kit.start(&charged).await)?;
    ensure!(again.reference == located.reference && again.snapshot.totals == located.snapshot.totals, "a second charge: {again:?}");

    let not_charged = kit.scripted(Scenario::TimeoutNotCharged, kit.amount(1_000))?;
    let answer = kit.start(&not_charged).await;
    ensure!(matches!(answer, Err(GatewayError::UnknownOutcome { .. })), "not charged: {answer:?}");
    absent(kit, not_charged.payment_id).await
}

async fn absent(kit: &Kit<'_>, payment_id: PaymentId) -> Check {
    if kit.capabilities.lookup.finds() {
        let answer = good("find", kit.gateway.find(&kit.once(), payment_id).await)?;
        ensure!(answer == Found::Absent, "something was done: {answer:?}");
    }
    Ok(())
}

/// A deadline that has passed, for adapters whose gateway is no network away.
pub(super) async fn deadline(kit: &Kit<'_>) -> Check {
    kit.needs_lookup()?;
    let request = kit.scripted(Scenario::Approve, kit.amount(1_000))?;
    let late = kit.context(request.payment_id.to_string()).with_budget(Duration::ZERO);
    let answer = kit.gateway.start(&late, request.clone()).await;
    ensure!(matches!(answer, Err(GatewayError::Unavailable(_))), "{answer:?}");
    absent(kit, request.payment_id).await
}

async fn currencies(kit: &Kit<'_>) -> Check {
    let mut taken = 0;
    for code in ["PLN", "EUR", "JPY", "KWD", "HUF", "ISK", "UGX", "TWD"] {
        let amount = Money::new(12_345, currency(code));
        let request = kit.scripted(Scenario::Approve, amount).or_else(|_| kit.scripted(Scenario::Redirect, amount))?;
        match kit.start(&request).await {
            Ok(started) if kit.capabilities.currencies.contains(amount.currency) => {
                arrives_unchanged(kit, Kit::played(request, started)).await?;
                taken += 1;
            }
            Err(GatewayError::InvalidRequest { .. }) => absent(kit, request.payment_id).await?,
            other => return Err(Stop::Fail(format!("{amount}: {other:?}"))),
        }
    }
    ensure!(taken > 0, "none of the currencies is taken");
    Ok(())
}

/// The payment's sums are in its currency, and what the buyer pays is what was asked for.
async fn arrives_unchanged(kit: &Kit<'_>, played: Played) -> Check {
    let amount = played.request.amount;
    let mut totals = played.started.snapshot.totals;
    ensure!(totals.authorised.currency == amount.currency, "{amount} became {}", totals.authorised);
    if kit.capabilities.lookup.reads() && totals.captured.is_zero() {
        kit.act(&played, Act::Approve).await?;
        totals = kit.fetch(&played).await?.totals;
    }
    let unpaid = !kit.capabilities.lookup.reads() && totals.captured.is_zero();
    ensure!(unpaid || totals.captured == amount, "{amount} became {}", totals.captured);
    Ok(())
}

async fn limits(kit: &Kit<'_>) -> Check {
    let limits = kit.capabilities.limits;
    for minor in [limits.min_minor, limits.max_minor] {
        kit.play(Scenario::Redirect, kit.amount(minor)).await?;
    }
    for minor in [limits.min_minor.checked_sub(1), limits.max_minor.checked_add(1)].into_iter().flatten() {
        refused(kit, kit.amount(minor)).await?;
    }
    Ok(())
}

async fn extremes(kit: &Kit<'_>) -> Check {
    for minor in [0, -1, i64::MIN, i64::MIN + 1] {
        refused(kit, kit.amount(minor)).await?;
    }
    if kit.capabilities.limits.max_minor < i64::MAX {
        refused(kit, kit.amount(i64::MAX)).await?;
    }
    Ok(())
}

async fn declared_currencies(kit: &Kit<'_>) -> Check {
    for code in ["EUR", "USD", "JPY", "KWD", "CHF", "XAF", "CLF"] {
        let amount = Money::new(1_000, currency(code));
        if kit.capabilities.currencies.contains(amount.currency) {
            kit.play(Scenario::Redirect, amount).await?;
        } else {
            refused(kit, amount).await?;
        }
    }
    Ok(())
}

async fn refused(kit: &Kit<'_>, amount: Money) -> Check {
    let request = kit.scripted(Scenario::Redirect, amount)?;
    refused_unheard(kit, &request).await?;
    absent(kit, request.payment_id).await
}
