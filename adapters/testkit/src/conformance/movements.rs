//! Capture, void, refund: what is declared works, what is not declared is not supported, and sums never exceed what was taken.

use port::{
    CaptureMode, Found, GatewayError, PartialCapture, PaymentStatus, RefundQuery, RefundStatus, RefundSupport, StartPayment, VoidSupport,
};

use super::wire::with_fault;
use super::{Act, Check, Entry, Kit, Played, Scenario, Stop, ensure, entries, good, skip};
use crate::fault::{Calls, Fault};

pub(super) const CHECKS: &[Entry] = entries! {
    24 "a partial capture releases or keeps the rest, as declared; repeating it takes nothing more" partial_capture;
    25 "more than authorised cannot be captured" over_capture;
    26 "what is captured cannot be voided; what is not, can" void;
    27 "two partial refunds add up" partial_refunds;
    28 "more than is left cannot be refunded, and the totals stay" over_refund;
    29 "a refund whose answer got lost, repeated, is one refund" lost_refund;
    30 "a refund that fails later gives its amount back" failing_refund;
    31 "what is not declared is not supported, and the other way round" declared;
};

async fn authorised(kit: &Kit<'_>, minor: i64) -> Result<Played, Stop> {
    if !kit.capabilities.captures.contains(&CaptureMode::Manual) {
        return skip("nothing can be reserved at this gateway");
    }
    let request = StartPayment { capture: CaptureMode::Manual, ..kit.scripted(Scenario::Approve, kit.amount(minor))? };
    let started = good("start", kit.start(&request).await)?;
    let played = Kit::played(request, started);
    if played.started.snapshot.status != PaymentStatus::Authorised {
        kit.act(&played, Act::Approve).await?;
    }
    let snapshot = kit.fetch(&played).await?;
    ensure!(snapshot.status == PaymentStatus::Authorised, "manual capture: {snapshot:?}");
    ensure!(snapshot.totals.authorised.minor == minor && snapshot.totals.captured.is_zero(), "manual capture: {:?}", snapshot.totals);
    Ok(played)
}

async fn partial_capture(kit: &Kit<'_>) -> Check {
    let played = authorised(kit, 10_000).await?;
    if kit.capabilities.partial_capture == PartialCapture::None {
        let answer = kit.gateway.capture(&kit.once(), played.reference(), kit.amount(4_000), true).await;
        ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "a part, which is not declared: {answer:?}");
        ensure!(kit.fetch(&played).await?.totals.captured.is_zero(), "a refused capture took something");
        return skip("only the whole can be captured at this gateway");
    }
    let first = kit.once();
    for attempt in ["first", "repeated"] {
        let snapshot = good(attempt, kit.gateway.capture(&first, played.reference(), kit.amount(4_000), false).await)?;
        ensure!(snapshot.totals.captured.minor == 4_000, "{attempt}: {:?}", snapshot.totals);
    }
    let second = kit.gateway.capture(&kit.once(), played.reference(), kit.amount(6_000), true).await;
    ensure!(
        kit.capabilities.multiple_capture == second.is_ok(),
        "several captures: declared {}, answered {second:?}",
        kit.capabilities.multiple_capture
    );
    match kit.capabilities.partial_capture {
        PartialCapture::KeepsRest => {
            let snapshot = good("the rest", second)?;
            ensure!(snapshot.totals.captured.minor == 10_000, "the rest: {:?}", snapshot.totals);
        }
        _ => {
            ensure!(matches!(second, Err(GatewayError::InvalidRequest { .. })), "the rest was released: {second:?}");
            let totals = kit.fetch(&played).await?.totals;
            ensure!(totals.captured.minor == 4_000, "after a refused capture: {totals:?}");
        }
    }
    Ok(())
}

async fn over_capture(kit: &Kit<'_>) -> Check {
    let played = authorised(kit, 10_000).await?;
    for minor in [10_001, 0, -1, i64::MAX] {
        let answer = kit.gateway.capture(&kit.once(), played.reference(), kit.amount(minor), true).await;
        ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "{minor}: {answer:?}");
    }
    let snapshot = good("the whole", kit.gateway.capture(&kit.once(), played.reference(), kit.amount(10_000), true).await)?;
    ensure!(snapshot.status == PaymentStatus::Captured && snapshot.totals.captured.minor == 10_000, "{snapshot:?}");
    Ok(())
}

async fn void(kit: &Kit<'_>) -> Check {
    if kit.capabilities.void == VoidSupport::None {
        return skip("nothing can be given up at this gateway");
    }
    if kit.capabilities.void == VoidSupport::Uncaptured {
        let waiting = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
        let operation = kit.once();
        for attempt in ["first", "repeated"] {
            let snapshot = good(attempt, kit.gateway.void(&operation, waiting.reference()).await)?;
            ensure!(snapshot.status == PaymentStatus::Cancelled && snapshot.totals.captured.is_zero(), "{attempt}: {snapshot:?}");
        }
    }
    if kit.capabilities.captures.contains(&CaptureMode::Manual) {
        let reserved = authorised(kit, 1_000).await?;
        let snapshot = good("reserved", kit.gateway.void(&kit.once(), reserved.reference()).await)?;
        ensure!(snapshot.status == PaymentStatus::Cancelled, "reserved: {snapshot:?}");
        let answer = kit.gateway.capture(&kit.once(), reserved.reference(), kit.amount(1_000), true).await;
        ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "captured after it was given up: {answer:?}");
    }
    if kit.capabilities.lookup.reads() {
        let paid = kit.paid(Scenario::Approve, 1_000).await?;
        let answer = kit.gateway.void(&kit.once(), paid.reference()).await;
        ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "captured: {answer:?}");
        let snapshot = kit.fetch(&paid).await?;
        ensure!(
            snapshot.status == PaymentStatus::Captured && snapshot.totals.captured.minor == 1_000,
            "after a refused void: {snapshot:?}"
        );
    }
    Ok(())
}

/// A payment to refund from, where refunds are possible; without lookup one that only waits, because the shop keeps the sums.
async fn refundable(kit: &Kit<'_>, scenario: Scenario, minor: i64) -> Result<Played, Stop> {
    if kit.capabilities.refund == RefundSupport::None {
        return skip("this gateway makes no refunds");
    }
    if kit.capabilities.lookup.reads() { kit.paid(scenario, minor).await } else { kit.play(Scenario::Redirect, kit.amount(minor)).await }
}

/// Lets a refund reach the buyer, where that takes time.
async fn arrive(kit: &Kit<'_>, played: &Played, refund: port::RefundSnapshot) -> Check {
    if refund.status == RefundStatus::Pending { kit.act(played, Act::FinishRefund(refund.reference)).await } else { Ok(()) }
}

async fn partial_refunds(kit: &Kit<'_>) -> Check {
    let played = refundable(kit, Scenario::Approve, 10_000).await?;
    if kit.capabilities.refund == RefundSupport::WholeOnly {
        let answer = kit.refund(&kit.refund_request(&played, 4_000)).await;
        ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "a part, which is not declared: {answer:?}");
        return skip("only the whole can be refunded at this gateway");
    }
    for minor in [6_000, 4_000] {
        let request = kit.refund_request(&played, minor);
        let first = good("refund", kit.refund(&request).await)?;
        ensure!(first.amount == request.amount && first.refund_id == Some(request.refund_id), "{first:?}");
        ensure!(matches!(first.status, RefundStatus::Pending | RefundStatus::Succeeded), "{first:?}");
        let again = good("the same refund again", kit.refund(&request).await)?;
        ensure!(again.reference == first.reference, "a second refund {} beside {}", again.reference, first.reference);
        arrive(kit, &played, first).await?;
    }
    if kit.capabilities.lookup.reads() {
        let totals = kit.fetch(&played).await?.totals;
        ensure!(totals.refunded.minor == 10_000 && totals.captured.minor == 10_000, "{totals:?}");
    }
    Ok(())
}

async fn over_refund(kit: &Kit<'_>) -> Check {
    let played = refundable(kit, Scenario::Approve, 10_000).await?;
    for minor in [0, -1] {
        let answer = kit.refund(&kit.refund_request(&played, minor)).await;
        ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "{minor}: {answer:?}");
    }
    kit.needs_lookup()?;
    let part = good("refund", kit.refund(&kit.refund_request(&played, 6_000)).await)?;
    arrive(kit, &played, part).await?;
    for minor in [4_001, 10_000, i64::MAX] {
        let answer = kit.refund(&kit.refund_request(&played, minor)).await;
        ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "{minor} of 4000 left: {answer:?}");
    }
    let totals = kit.fetch(&played).await?.totals;
    ensure!(totals.refunded.minor == 6_000, "after refused refunds: {totals:?}");
    let unpaid = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    let answer = kit.refund(&kit.refund_request(&unpaid, 1)).await;
    ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "of a payment that was not paid: {answer:?}");
    Ok(())
}

async fn lost_refund(kit: &Kit<'_>) -> Check {
    let scenario = if kit.harness.wire().is_some() { Scenario::Approve } else { Scenario::RefundTimeout };
    let played = refundable(kit, scenario, 10_000).await?;
    if !kit.capabilities.lookup.reads() {
        return skip("no answer can get lost: nobody is called");
    }
    let request = kit.refund_request(&played, 6_000);
    let refunding = kit.refund(&request);
    let answer = match kit.harness.wire() {
        Some(wire) => with_fault(wire, Calls::Writes, Fault::ResetAfter, refunding).await,
        None => refunding.await,
    };
    ensure!(matches!(answer, Err(GatewayError::UnknownOutcome { .. })), "{answer:?}");
    let query = RefundQuery { refund_id: request.refund_id, payment: request.payment.clone(), reference: None };
    let Found::Present(found) = good("fetch_refund", kit.gateway.fetch_refund(&kit.once(), &query).await)? else {
        return Err(Stop::Fail("a refund whose answer was lost cannot be found".to_owned()));
    };
    let again = good("the same refund again", kit.refund(&request).await)?;
    ensure!(again.reference == found.reference, "a second refund {again:?} beside {found:?}");
    arrive(kit, &played, again).await?;
    let totals = kit.fetch(&played).await?.totals;
    ensure!(totals.refunded.minor == 6_000, "{totals:?}");
    Ok(())
}

async fn failing_refund(kit: &Kit<'_>) -> Check {
    kit.needs_lookup()?;
    let played = refundable(kit, Scenario::RefundPending, 10_000).await?;
    let refund = good("refund", kit.refund(&kit.refund_request(&played, 6_000)).await)?;
    ensure!(refund.status == RefundStatus::Pending, "{refund:?}");
    let answer = kit.refund(&kit.refund_request(&played, 6_000)).await;
    ensure!(matches!(answer, Err(GatewayError::InvalidRequest { .. })), "6000 are on their way, 4000 left: {answer:?}");
    ensure!(kit.fetch(&played).await?.totals.refunded.is_zero(), "a pending refund counts as refunded");
    kit.act(&played, Act::FailRefund(refund.reference)).await?;
    good("the whole after the failure", kit.refund(&kit.refund_request(&played, 10_000)).await)?;
    Ok(())
}

async fn declared(kit: &Kit<'_>) -> Check {
    let (gateway, capabilities) = (&kit.gateway, &kit.capabilities);
    let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    let reference = played.reference();
    let agrees = |operation: &str, declared: bool, error: Option<GatewayError>| {
        let supported = !matches!(error, Some(GatewayError::NotSupported { .. }));
        if supported == declared { Ok(()) } else { Err(Stop::Fail(format!("{operation}: declared {declared}, supported {supported}"))) }
    };
    agrees("fetch", capabilities.lookup.reads(), gateway.fetch(&kit.once(), reference).await.err())?;
    agrees("find", capabilities.lookup.finds(), gateway.find(&kit.once(), played.id()).await.err())?;
    let manual = capabilities.captures.contains(&CaptureMode::Manual);
    agrees("capture", manual, gateway.capture(&kit.once(), reference, kit.amount(1_000), true).await.err())?;
    for mode in [CaptureMode::Automatic, CaptureMode::Manual] {
        let request = StartPayment { capture: mode, ..kit.scripted(Scenario::Redirect, kit.amount(1_000))? };
        let answer = kit.start(&request).await;
        let declared = capabilities.captures.contains(&mode);
        let agreed = matches!((&answer, declared), (Ok(_), true) | (Err(GatewayError::InvalidRequest { .. }), false));
        ensure!(agreed, "a start with {mode:?} capture: declared {declared}, {answer:?}");
    }
    agrees("refund", capabilities.refund != RefundSupport::None, kit.refund(&kit.refund_request(&played, 1)).await.err())?;
    let request = kit.refund_request(&played, 1);
    let query = RefundQuery { refund_id: request.refund_id, payment: request.payment, reference: None };
    let reads_refunds = capabilities.refund != RefundSupport::None && capabilities.lookup.reads();
    agrees("fetch_refund", reads_refunds, gateway.fetch_refund(&kit.once(), &query).await.err())?;
    let back = port::ReturnQuery { payment_id: played.id(), reference: Some(reference.clone()), query: String::new() };
    agrees("complete_return", capabilities.redirect, gateway.complete_return(&kit.once(), back).await.err())?;
    let waiting = capabilities.void == VoidSupport::Uncaptured;
    agrees("void of a payment that waits", waiting, gateway.void(&kit.once(), reference).await.err())?;
    if manual {
        let reserved = authorised(kit, 1_000).await?;
        let any = capabilities.void != VoidSupport::None;
        agrees("void of a reservation", any, gateway.void(&kit.once(), reserved.reference()).await.err())?;
    }
    let webhook = port::RawWebhook { headers: Vec::new(), query: String::new(), body: Vec::new(), received_at: kit.now() };
    let answer = gateway.receive_webhook(&kit.once(), webhook).await;
    let webhooks = capabilities.webhooks != port::WebhookSupport::None;
    ensure!((answer == Err(port::WebhookError::NotSupported)) != webhooks, "receive_webhook: declared {webhooks}, {answer:?}");
    Ok(())
}
