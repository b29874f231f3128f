//! Deliveries: who is believed, what is done once, and that order does not matter.

use chrono::TimeDelta;
use futures_util::future::join_all;
use port::{
    DisputeStatus, MAX_WEBHOOK_BYTES, Notification, Observation, PaymentStatus, RawWebhook, Received, Snapshot, WebhookError,
    WebhookSupport,
};

use super::{Act, Check, Entry, Key, Kit, Played, Scenario, Stop, ensure, entries, good, skip};

pub(super) const CHECKS: &[Entry] = entries! {
    32 "a good signature is accepted on the raw bytes, whatever they look like" good_signature;
    33 "a flipped byte, a wrong secret, a missing or empty signature are refused" bad_signature;
    34 "a stale signature is refused" stale;
    35 "two secrets are accepted while one is replaced" rotation;
    36 "the same report three times, and ten times at once, is one report" repeated;
    37 "every order of the reports ends in the same state" any_order;
    38 "a report names our payment, so that it may come before the answer to start" names_payment;
    39 "a report for another account is refused" another_account;
    40 "an amount or currency that differs is for staff" the_shops;
    41 "a report of unknown kind is accepted and means nothing" unknown_kind;
    42 "the reply is the one that the gateway wants" reply;
    43 "a body over 1 MiB is refused before it is read" too_large;
    44 "an unsigned report is never believed" hint_only;
    45 "disputes opened, won and lost are reported" disputes;
    46 "success after expiry is reported" late_success;
};

/// A check that belongs to the shop's side of the port.
async fn the_shops(_kit: &Kit<'_>) -> Check {
    skip("decided by the shop, which knows the order; tested there")
}

fn signed(kit: &Kit<'_>) -> Check {
    if kit.capabilities.webhooks == WebhookSupport::Signed { Ok(()) } else { skip("this gateway signs no webhooks") }
}

/// A paid payment with at least one report.
async fn reported(kit: &Kit<'_>) -> Result<(Played, Vec<u8>), Stop> {
    signed(kit)?;
    let played = kit.paid(Scenario::Approve, 5_000).await?;
    let report = kit.harness.reports(played.id()).await.pop();
    report.map(|body| (played, body)).ok_or_else(|| Stop::Fail("nothing was reported".to_owned()))
}

fn delivery(kit: &Kit<'_>, key: Key, body: Vec<u8>) -> Result<RawWebhook, Stop> {
    kit.harness.delivery(key, body, kit.now()).map_or_else(|| skip(format!("the gateway has no key {key:?}")), Ok)
}

async fn receive(kit: &Kit<'_>, webhook: RawWebhook) -> Result<Received, WebhookError> {
    kit.gateway.receive_webhook(&kit.once(), webhook).await
}

async fn accepted(kit: &Kit<'_>, body: Vec<u8>) -> Result<Notification, Stop> {
    let mut received = good("a genuine delivery", receive(kit, delivery(kit, Key::Current, body)?).await)?;
    received.notifications.pop().ok_or_else(|| Stop::Fail("a genuine delivery names nothing".to_owned()))
}

/// The payment's state as a report tells it.
async fn told(kit: &Kit<'_>, notification: &Notification) -> Result<Option<Snapshot>, Stop> {
    let observations = good("resolve", kit.gateway.resolve(&kit.once(), notification).await)?;
    Ok(observations.into_iter().find_map(|observation| match observation {
        Observation::Payment { snapshot, .. } => Some(snapshot),
        _ => None,
    }))
}

fn refused(what: &str, answer: Result<Received, WebhookError>) -> Check {
    match answer {
        Err(error) if (400..500).contains(&error.status()) => Ok(()),
        other => Err(Stop::Fail(format!("{what}: {other:?}"))),
    }
}

async fn good_signature(kit: &Kit<'_>) -> Check {
    let (played, body) = reported(kit).await?;
    let bodies = [Some(body.clone()), kit.harness.in_other_bytes(&body)];
    for body in bodies.into_iter().flatten() {
        let notification = accepted(kit, body).await?;
        let snapshot = told(kit, &notification).await?;
        ensure!(snapshot == Some(kit.fetch(&played).await?), "{snapshot:?}");
    }
    Ok(())
}

async fn bad_signature(kit: &Kit<'_>) -> Check {
    let (_, body) = reported(kit).await?;
    for key in [Key::Wrong, Key::Empty] {
        refused(&format!("{key:?}"), receive(kit, delivery(kit, key, body.clone())?).await)?;
    }
    let genuine = delivery(kit, Key::Current, body)?;
    for position in 0..genuine.body.len() {
        let mut flipped = genuine.clone();
        flipped.body[position] ^= 1;
        refused("a flipped byte of the body", receive(kit, flipped).await)?;
    }
    for index in 0..genuine.headers.len() {
        let (name, value) = &genuine.headers[index];
        if name.eq_ignore_ascii_case("content-type") {
            continue;
        }
        let mut without = genuine.clone();
        without.headers.remove(index);
        refused(&format!("without {name}"), receive(kit, without).await)?;
        let mut empty = genuine.clone();
        empty.headers[index].1.clear();
        refused(&format!("with an empty {name}"), receive(kit, empty).await)?;
        let mut twice = genuine.clone();
        twice.headers.push((name.clone(), value.clone()));
        refused(&format!("with {name} twice"), receive(kit, twice).await)?;
        let mut other = genuine.clone();
        let last = other.headers[index].1.pop();
        other.headers[index].1.push(if last == Some('0') { '1' } else { '0' });
        refused(&format!("with another {name}"), receive(kit, other).await)?;
    }
    Ok(())
}

async fn stale(kit: &Kit<'_>) -> Check {
    let (_, body) = reported(kit).await?;
    let Some(tolerance) = kit.harness.tolerance() else { return skip("the scheme has no time") };
    let genuine = delivery(kit, Key::Current, body)?;
    for (shift, fresh) in
        [(tolerance, true), (tolerance + TimeDelta::seconds(1), false), (-tolerance, true), (-tolerance - TimeDelta::seconds(1), false)]
    {
        let mut shifted = genuine.clone();
        shifted.received_at = genuine.received_at + shift;
        let answer = receive(kit, shifted).await;
        ensure!(answer.is_ok() == fresh, "{shift}: {answer:?}");
    }
    Ok(())
}

async fn rotation(kit: &Kit<'_>) -> Check {
    let (_, body) = reported(kit).await?;
    let previous = delivery(kit, Key::Previous, body.clone())?;
    let (old, new) = (good("the previous secret", receive(kit, previous).await)?, accepted(kit, body).await?);
    ensure!(old.notifications == [new], "{old:?}");
    Ok(())
}

async fn repeated(kit: &Kit<'_>) -> Check {
    let (_, body) = reported(kit).await?;
    let first = accepted(kit, body.clone()).await?;
    let state = told(kit, &first).await?;
    for _ in 0..2 {
        let again = accepted(kit, body.clone()).await?;
        ensure!(again.dedup_key == first.dedup_key, "another key: {} and {}", again.dedup_key, first.dedup_key);
        ensure!(told(kit, &again).await? == state, "another state");
    }
    for again in join_all((0..10).map(|_| accepted(kit, body.clone()))).await {
        ensure!(again?.dedup_key == first.dedup_key, "another key at once");
    }
    let (_, other) = reported(kit).await?;
    ensure!(accepted(kit, other).await?.dedup_key != first.dedup_key, "two reports share a key");
    Ok(())
}

async fn any_order(kit: &Kit<'_>) -> Check {
    signed(kit)?;
    let played = match paid_late(kit).await {
        Err(Stop::Skip(_)) => kit.paid(Scenario::Approve, 5_000).await?,
        late => late?,
    };
    for minor in [2_000, 1_000] {
        good("refund", kit.refund(&kit.refund_request(&played, minor)).await)?;
    }
    let end = kit.fetch(&played).await?;
    let mut notifications = Vec::new();
    for body in kit.harness.reports(played.id()).await {
        notifications.push(accepted(kit, body).await?);
    }
    ensure!(notifications.len() >= 2, "only {} reports of a payment and two refunds", notifications.len());
    for order in permutations(notifications.len()) {
        let mut last = None;
        for index in &order {
            last = told(kit, &notifications[*index]).await?.or(last);
        }
        ensure!(last.as_ref() == Some(&end), "in the order {order:?}: {last:?}");
    }
    Ok(())
}

/// A payment that succeeds after it had expired, where a gateway lets that happen.
async fn paid_late(kit: &Kit<'_>) -> Result<Played, Stop> {
    let played = kit.play(Scenario::Redirect, kit.amount(5_000)).await?;
    kit.act(&played, Act::Expire).await?;
    kit.act(&played, Act::Approve).await?;
    Ok(played)
}

/// Every order of `count` things; beyond five of them only those of the last five.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let first = count.saturating_sub(5);
    let mut orders = vec![Vec::new()];
    for _ in first..count {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                let left: Vec<usize> = (first..count).filter(|index| !order.contains(index)).collect();
                left.into_iter().map(move |index| order.iter().copied().chain([index]).collect())
            })
            .collect();
    }
    orders
}

async fn names_payment(kit: &Kit<'_>) -> Check {
    let (played, body) = reported(kit).await?;
    let notification = accepted(kit, body).await?;
    ensure!(notification.payment_id == Some(played.id()), "{notification:?}");
    ensure!(notification.reference.as_ref() == Some(played.reference()), "{notification:?}");
    Ok(())
}

async fn another_account(kit: &Kit<'_>) -> Check {
    let (_, body) = reported(kit).await?;
    let Some(body) = kit.harness.for_another_account(&body) else { return skip("reports do not name the account") };
    let answer = receive(kit, delivery(kit, Key::Current, body)?).await;
    ensure!(answer == Err(WebhookError::WrongAccount), "{answer:?}");
    Ok(())
}

async fn unknown_kind(kit: &Kit<'_>) -> Check {
    let (_, body) = reported(kit).await?;
    let Some(body) = kit.harness.of_unknown_kind(&body) else { return skip("reports have no kind") };
    let notification = accepted(kit, body).await?;
    let observations = good("resolve", kit.gateway.resolve(&kit.once(), &notification).await)?;
    ensure!(observations.is_empty(), "{observations:?}");
    Ok(())
}

async fn reply(kit: &Kit<'_>) -> Check {
    let (_, body) = reported(kit).await?;
    let received = good("a genuine delivery", receive(kit, delivery(kit, Key::Current, body)?).await)?;
    ensure!((200..300).contains(&received.reply.status), "{:?}", received.reply);
    Ok(())
}

async fn too_large(kit: &Kit<'_>) -> Check {
    signed(kit)?;
    let answer = receive(kit, delivery(kit, Key::Current, vec![b' '; MAX_WEBHOOK_BYTES + 1])?).await;
    ensure!(answer == Err(WebhookError::TooLarge), "{answer:?}");
    Ok(())
}

async fn hint_only(kit: &Kit<'_>) -> Check {
    if kit.capabilities.webhooks != WebhookSupport::HintOnly {
        return skip("this gateway's webhooks are signed, or there are none");
    }
    let unpaid = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    let paid = kit.paid(Scenario::Approve, 1_000).await?;
    let Some(body) = kit.harness.reports(paid.id()).await.pop() else { return Err(Stop::Fail("nothing was reported".to_owned())) };
    let mut notification = accepted(kit, body).await?;
    notification.reference = Some(unpaid.reference().clone());
    notification.payment_id = Some(unpaid.id());
    let snapshot = told(kit, &notification).await?;
    ensure!(snapshot.is_none_or(|snapshot| snapshot.totals.captured.is_zero()), "a report was believed");
    Ok(())
}

async fn disputes(kit: &Kit<'_>) -> Check {
    if !kit.capabilities.disputes {
        return skip("this gateway reports no disputes");
    }
    for won in [true, false] {
        let played = kit.paid(Scenario::Approve, 10_000).await?;
        kit.act(&played, Act::OpenDispute(kit.amount(3_000))).await?;
        let opened = newest_dispute(kit, &played).await?;
        ensure!(opened.status == DisputeStatus::NeedsResponse && opened.amount == kit.amount(3_000), "{opened:?}");
        ensure!(kit.fetch(&played).await?.totals.disputed.minor == 3_000, "an open dispute holds nothing");
        let answer = kit.refund(&kit.refund_request(&played, 7_001)).await;
        ensure!(matches!(answer, Err(port::GatewayError::InvalidRequest { .. })), "7001 of 10000 with 3000 disputed: {answer:?}");
        let (act, status, held) = if won {
            (Act::WinDispute(opened.reference), DisputeStatus::Won, 0)
        } else {
            (Act::LoseDispute(opened.reference), DisputeStatus::Lost, 3_000)
        };
        kit.act(&played, act).await?;
        let closed = newest_dispute(kit, &played).await?;
        ensure!(closed.status == status, "{closed:?}");
        let snapshot = kit.fetch(&played).await?;
        ensure!(snapshot.totals.disputed.minor == held, "{:?}", snapshot.totals);
        ensure!(snapshot.status == PaymentStatus::Captured, "a dispute changed the payment's status: {snapshot:?}");
    }
    Ok(())
}

async fn newest_dispute(kit: &Kit<'_>, played: &Played) -> Result<port::DisputeSnapshot, Stop> {
    let Some(body) = kit.harness.reports(played.id()).await.pop() else { return Err(Stop::Fail("nothing was reported".to_owned())) };
    let notification = accepted(kit, body).await?;
    let observations = good("resolve", kit.gateway.resolve(&kit.once(), &notification).await)?;
    let newest = observations.into_iter().rev().find_map(|observation| match observation {
        Observation::Dispute { dispute, .. } => Some(dispute),
        _ => None,
    });
    newest.ok_or_else(|| Stop::Fail("no dispute in the report".to_owned()))
}

async fn late_success(kit: &Kit<'_>) -> Check {
    signed(kit)?;
    let played = paid_late(kit).await?;
    let Some(body) = kit.harness.reports(played.id()).await.pop() else { return Err(Stop::Fail("nothing was reported".to_owned())) };
    let snapshot = told(kit, &accepted(kit, body).await?).await?;
    let captured =
        snapshot.as_ref().is_some_and(|snapshot| snapshot.status == PaymentStatus::Captured && snapshot.totals.captured.minor == 5_000);
    ensure!(captured, "{snapshot:?}");
    Ok(())
}
