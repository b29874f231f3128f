//! What is never printed, never believed, and never done by accident.

use port::{GatewayError, Observation, ReturnQuery};

use super::wire::with_fault;
use super::{Check, Entry, Key, Kit, Scenario, Stop, ensure, entries, good, skip};
use crate::fault::{Calls, Fault};

pub(super) const CHECKS: &[Entry] = entries! {
    47 "no secret, token, signature or e-mail in what is printed or logged" nothing_printed;
    48 "signatures are compared in constant time" by_reading;
    49 "a forged return does not make a payment paid" forged_return;
    50 "a check of the settings has no side effect" check_only;
    51 "addresses out of headers are allow-listed" by_reading;
};

/// What only a reader of the adapter's source can tell.
async fn by_reading(_kit: &Kit<'_>) -> Check {
    skip("seen by reading the adapter, not by running it")
}

async fn nothing_printed(kit: &Kit<'_>) -> Check {
    let request = kit.scripted(Scenario::Redirect, kit.amount(1_000))?;
    let mut printed = vec![format!("{:?}", kit.gateway), format!("{:?}", kit.gateway.descriptor()), format!("{request:?}")];
    printed.push(format!("{:?}", good("start", kit.start(&request).await)?));
    let mut hidden = kit.harness.secrets();
    hidden.extend(["buyer@learner.example".to_owned(), "Zofia Buyer".to_owned()]);
    for body in kit.harness.reports(request.payment_id).await {
        if let Some(webhook) = kit.harness.delivery(Key::Current, body, kit.now()) {
            hidden.extend(
                webhook.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-type")).map(|(_, value)| value.clone()),
            );
            printed.push(format!("{webhook:?}"));
            printed.push(format!("{:?}", kit.gateway.receive_webhook(&kit.once(), webhook).await));
        }
    }
    let mut bad = kit.request(kit.amount(0));
    bad.token = request.token.clone();
    for error in
        [kit.start(&bad).await.err(), kit.gateway.fetch(&kit.once(), &port::PaymentRef::new("none")).await.err()].into_iter().flatten()
    {
        printed.push(format!("{error:?} {error}"));
    }
    if let Some(wire) = kit.harness.wire() {
        hidden.extend(wire.proxy().credentials());
        for fault in [Fault::InternalError, Fault::BadGatewayPage, Fault::ResetAfter, Fault::CutBody, Fault::Unauthorised] {
            let request = kit.scripted(Scenario::Redirect, kit.amount(1_000))?;
            printed.extend(with_fault(wire, Calls::All, fault, kit.start(&request)).await.err().map(|error| format!("{error:?} {error}")));
        }
    }
    printed.push(kit.logs.text());
    hidden.retain(|secret| !secret.is_empty());
    for text in &printed {
        for secret in &hidden {
            if let Some(at) = text.find(secret.as_str()) {
                let before: Vec<char> = text[..at].chars().rev().take(60).collect();
                return Err(Stop::Fail(format!("printed after: …{}", before.into_iter().rev().collect::<String>())));
            }
        }
    }
    Ok(())
}

async fn forged_return(kit: &Kit<'_>) -> Check {
    if !kit.capabilities.redirect {
        return skip("no browser is sent away");
    }
    let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    for query in ["status=paid&amount=1000", "success=true", "redirect_status=succeeded", "%ff%00&&=", ""] {
        let back = ReturnQuery { payment_id: played.id(), reference: Some(played.reference().clone()), query: query.to_owned() };
        for observation in good("complete_return", kit.gateway.complete_return(&kit.once(), back).await)? {
            if let Observation::Payment { snapshot, .. } = observation {
                ensure!(snapshot.totals.captured.is_zero(), "{query}: {snapshot:?}");
            }
        }
    }
    Ok(())
}

async fn check_only(kit: &Kit<'_>) -> Check {
    let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    let before = kit.gateway.fetch(&kit.once(), played.reference()).await;
    let reports = kit.harness.reports(played.id()).await;
    good("check", kit.gateway.check(&kit.once()).await)?;
    let after = kit.gateway.fetch(&kit.once(), played.reference()).await;
    ensure!(before == after && !matches!(after, Err(GatewayError::Unavailable(_))), "{before:?} became {after:?}");
    ensure!(kit.harness.reports(played.id()).await == reports, "something was reported");
    Ok(())
}
