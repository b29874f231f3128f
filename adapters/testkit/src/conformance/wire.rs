//! The network between an adapter and its gateway, and what becomes of a call when it misbehaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::{Money, PaymentId};
use futures_util::future::join_all;
use port::{Found, GatewayError, PaymentGateway, PaymentRef, PaymentStatus, StartPayment};

use super::{Act, Check, Entry, Kit, Scenario, Stop, ensure, entries, good, skip};
use crate::fault::{Calls, Fault, FaultProxy};

/// What another instance of the adapter identifies itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// The right ones.
    Good,
    /// Ones that the gateway does not know.
    Wrong,
}

/// The network between an adapter and the gateway's double. The double answers as the gateway documents it; everything that goes wrong on the
/// way is played by the suite, on the proxy.
#[async_trait]
pub trait Wire: Send + Sync {
    /// The proxy through which the harness' gateway calls the double: [`FaultProxy::around`] serves a double behind one.
    fn proxy(&self) -> &FaultProxy;

    /// Another instance of the adapter, which calls `base_url`.
    async fn instance(&self, base_url: &str, credentials: Credentials) -> Arc<dyn PaymentGateway>;

    /// How many payments the gateway has of this attempt.
    fn objects(&self, payment_id: PaymentId) -> usize;

    /// Gives the payment a status that nobody documents. `false`: its status is no word of the gateway's.
    fn strange_status(&self, payment_id: PaymentId) -> bool;

    /// Names of fields in answers that the gateway documents as optional, and that the adapter reads.
    fn optional_fields(&self) -> &'static [&'static str];

    /// Amounts, in currencies that the gateway takes, that it has no number for.
    fn inexpressible(&self) -> Vec<Money> {
        Vec::new()
    }

    /// How many access tokens the gateway has given out. `None`: it knows none.
    fn tokens_given(&self) -> Option<usize> {
        None
    }

    /// Ends every access token that was given out.
    fn end_tokens(&self) {}
}

pub(super) const CHECKS: &[Entry] = entries! {
    8 "an unknown status of the gateway is processing" strange_status;
    9 "unknown fields are ignored, missing optional ones tolerated" other_fields;
    10 "a gateway that cannot be reached is unavailable, and nothing was done" down;
    12 "a connection cut within the answer, or half of the JSON, is an unknown outcome" broken_answer;
    13 "an error page is unknown on a write, unavailable on a read" error_page;
    14 "too many calls: the gateway's waiting time is told" too_many;
    15 "refused credentials are an error of their own" wrong_credentials;
    16 "an expired access token is renewed once, by one of those that need it" renewal;
    17 "redirects are not followed" redirects;
    18 "a deadline that has passed stops the call before anything is done, and one that comes ends it" deadline;
    22 "an amount that the gateway cannot express is refused before any call" inexpressible;
};

/// How long a call may take here.
const SHORT: Duration = Duration::from_secs(1);

/// When a call has to be over that had [`SHORT`] time: a tenth more, and patience with a busy machine.
const OVER: Duration = Duration::from_millis(1_600);

fn wire<'a>(kit: &Kit<'a>) -> Result<&'a dyn Wire, Stop> {
    kit.harness.wire().map_or_else(|| skip("the adapter calls nobody over a network"), Ok)
}

/// Does `work` while something goes wrong with some of the calls.
pub(super) async fn with_fault<T>(wire: &dyn Wire, calls: Calls, fault: Fault, work: impl Future<Output = T>) -> T {
    wire.proxy().set_on(calls, fault);
    let done = work.await;
    wire.proxy().set(Fault::None);
    done
}

/// Asks for something that is not there, so that an access token is at hand before calls go wrong.
pub(super) async fn warm_up(kit: &Kit<'_>) {
    if kit.capabilities.lookup.reads() {
        let _ = kit.gateway.fetch(&kit.once(), &PaymentRef::new("nobody-has-this")).await;
    } else {
        let _ = kit.gateway.check(&kit.once()).await;
    }
}

/// Starts a payment with a fault on the way: the outcome has to be unknown. Then asking tells whether the call arrived, and the same operation
/// again makes one payment of it. Gives the time that the start took.
pub(super) async fn lost_start(kit: &Kit<'_>, wire: &dyn Wire, fault: Fault, arrives: bool) -> Result<Duration, Stop> {
    let request = kit.scripted(Scenario::Redirect, kit.amount(1_000))?;
    warm_up(kit).await;
    let ctx = kit.context(request.payment_id.to_string()).with_budget(SHORT);
    let began = Instant::now();
    let answer = with_fault(wire, Calls::Writes, fault, kit.gateway.start(&ctx, request.clone())).await;
    let took = began.elapsed();
    ensure!(matches!(answer, Err(GatewayError::UnknownOutcome { .. })), "{fault:?}: {answer:?}");
    ensure!(wire.objects(request.payment_id) == usize::from(arrives), "{fault:?}: {} payments", wire.objects(request.payment_id));
    let mut known = None;
    if kit.capabilities.lookup.finds() {
        match (good("find", kit.gateway.find(&kit.once(), request.payment_id).await)?, arrives) {
            (Found::Present(located), true) => known = Some(located.reference),
            (Found::Absent, false) => {}
            (other, _) => return Err(Stop::Fail(format!("{fault:?}: find: {other:?}"))),
        }
    }
    let again = good("the same operation again", kit.start(&request).await)?;
    ensure!(known.is_none_or(|known| known == again.reference), "{fault:?}: another payment {}", again.reference);
    ensure!(wire.objects(request.payment_id) == 1, "{fault:?}, then again: {} payments", wire.objects(request.payment_id));
    Ok(took)
}

async fn unavailable_read(kit: &Kit<'_>, wire: &dyn Wire, fault: Fault) -> Check {
    kit.needs_lookup()?;
    let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    let before = kit.fetch(&played).await?;
    let answer = with_fault(wire, Calls::All, fault, kit.gateway.fetch(&kit.once(), played.reference())).await;
    ensure!(matches!(answer, Err(GatewayError::Unavailable(_))), "{fault:?}: a read: {answer:?}");
    ensure!(kit.fetch(&played).await? == before, "{fault:?}: a failed read changed something");
    Ok(())
}

async fn strange_status(kit: &Kit<'_>) -> Check {
    let wire = wire(kit)?;
    kit.needs_lookup()?;
    let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    if !wire.strange_status(played.id()) {
        return skip("the gateway has no words for a status");
    }
    let snapshot = kit.fetch(&played).await?;
    ensure!(snapshot.status == PaymentStatus::Processing && snapshot.totals.captured.is_zero(), "{snapshot:?}");
    Ok(())
}

async fn other_fields(kit: &Kit<'_>) -> Check {
    let wire = wire(kit)?;
    kit.needs_lookup()?;
    for fault in [Fault::MoreFields, Fault::Without(wire.optional_fields())] {
        wire.proxy().set(fault);
        let told = told_under(kit).await;
        wire.proxy().set(Fault::None);
        let (played, told) = told?;
        let plain = kit.fetch(&played).await?;
        ensure!(told.status == plain.status && told.totals == plain.totals, "{fault:?}: {told:?} instead of {plain:?}");
    }
    Ok(())
}

async fn told_under(kit: &Kit<'_>) -> Result<(super::Played, port::Snapshot), Stop> {
    let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    kit.act(&played, Act::Approve).await?;
    let told = kit.fetch(&played).await?;
    Ok((played, told))
}

/// An address where nobody listens.
fn nobody() -> Result<String, Stop> {
    let address = good("a port", std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()))?;
    Ok(format!("http://{address}"))
}

async fn down(kit: &Kit<'_>) -> Check {
    let Some(wire) = kit.harness.wire() else { return super::start::down(kit).await };
    let gateway = wire.instance(&nobody()?, Credentials::Good).await;
    let request = kit.scripted(Scenario::Redirect, kit.amount(1_000))?;
    let answer = gateway.start(&kit.context(request.payment_id.to_string()), request.clone()).await;
    ensure!(matches!(answer, Err(GatewayError::Unavailable(_))), "{answer:?}");
    ensure!(wire.objects(request.payment_id) == 0, "something was done");
    let answer = gateway.check(&kit.once()).await;
    ensure!(matches!(answer, Err(GatewayError::Unavailable(_))), "check: {answer:?}");
    Ok(())
}

async fn broken_answer(kit: &Kit<'_>) -> Check {
    let wire = wire(kit)?;
    for fault in [Fault::ResetWithinBody, Fault::CutBody] {
        lost_start(kit, wire, fault, true).await?;
        unavailable_read(kit, wire, fault).await?;
    }
    Ok(())
}

async fn error_page(kit: &Kit<'_>) -> Check {
    let wire = wire(kit)?;
    for (fault, arrives) in [(Fault::BadGatewayPage, true), (Fault::InternalError, false)] {
        lost_start(kit, wire, fault, arrives).await?;
        unavailable_read(kit, wire, fault).await?;
    }
    Ok(())
}

async fn too_many(kit: &Kit<'_>) -> Check {
    let wire = wire(kit)?;
    let request = kit.scripted(Scenario::Redirect, kit.amount(1_000))?;
    warm_up(kit).await;
    let expected = GatewayError::RateLimited { retry_after: Some(Duration::from_secs(7)) };
    let answer = with_fault(wire, Calls::All, Fault::TooManyRequests(7), kit.start(&request)).await;
    ensure!(answer.as_ref() == Err(&expected), "a write: {answer:?}");
    ensure!(wire.objects(request.payment_id) == 0, "something was done");
    if kit.capabilities.lookup.reads() {
        let played = Kit::played(request.clone(), good("start", kit.start(&request).await)?);
        let ctx = kit.once();
        let fetching = kit.gateway.fetch(&ctx, played.reference());
        let answer = with_fault(wire, Calls::All, Fault::TooManyRequests(7), fetching).await;
        ensure!(answer == Err(expected), "a read: {answer:?}");
    }
    Ok(())
}

async fn wrong_credentials(kit: &Kit<'_>) -> Check {
    let wire = wire(kit)?;
    let stranger = wire.instance(&wire.proxy().url(), Credentials::Wrong).await;
    let request = kit.scripted(Scenario::Redirect, kit.amount(1_000))?;
    let answer = stranger.start(&kit.context(request.payment_id.to_string()), request.clone()).await;
    ensure!(matches!(answer, Err(GatewayError::Auth(_))), "start: {answer:?}");
    ensure!(wire.objects(request.payment_id) == 0, "something was done");
    let answer = stranger.check(&kit.once()).await;
    ensure!(matches!(answer, Err(GatewayError::Auth(_))), "check: {answer:?}");
    if kit.capabilities.lookup.reads() {
        let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
        let answer = stranger.fetch(&kit.once(), played.reference()).await;
        ensure!(matches!(answer, Err(GatewayError::Auth(_))), "fetch: {answer:?}");
    }
    Ok(())
}

async fn renewal(kit: &Kit<'_>) -> Check {
    let wire = wire(kit)?;
    kit.needs_lookup()?;
    let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
    let Some(before) = wire.tokens_given() else { return skip("the gateway knows no access tokens") };
    let given = || wire.tokens_given().unwrap_or(0);
    wire.end_tokens();
    let (one, ten): (_, Vec<_>) = (kit.once(), (0..10).map(|_| kit.once()).collect());
    for answer in join_all(ten.iter().map(|ctx| kit.gateway.fetch(ctx, played.reference()))).await {
        good("with a token that had ended", answer)?;
    }
    ensure!(given() == before + 1, "ten calls asked for {} tokens", given() - before);
    let answer = with_fault(wire, Calls::Reads, Fault::Unauthorised, kit.gateway.fetch(&one, played.reference())).await;
    ensure!(matches!(answer, Err(GatewayError::Auth(_))), "refused again and again: {answer:?}");
    ensure!(given() <= before + 2, "a call that is refused again and again asked for {} tokens", given() - before - 1);
    Ok(())
}

async fn redirects(kit: &Kit<'_>) -> Check {
    let wire = wire(kit)?;
    let request = kit.scripted(Scenario::Redirect, kit.amount(1_000))?;
    warm_up(kit).await;
    let answer = with_fault(wire, Calls::Writes, Fault::Redirect, kit.start(&request)).await;
    ensure!(matches!(answer, Err(GatewayError::UnknownOutcome { .. })), "a write: {answer:?}");
    if kit.capabilities.lookup.reads() {
        unavailable_read(kit, wire, Fault::Redirect).await?;
    }
    ensure!(wire.proxy().strayed() == 0, "{} calls went elsewhere", wire.proxy().strayed());
    Ok(())
}

async fn deadline(kit: &Kit<'_>) -> Check {
    let Some(wire) = kit.harness.wire() else { return super::start::deadline(kit).await };
    let request = kit.scripted(Scenario::Redirect, kit.amount(1_000))?;
    warm_up(kit).await;
    let (opened, late) = (wire.proxy().opened(), kit.context(request.payment_id.to_string()).with_budget(Duration::ZERO));
    let answer = kit.gateway.start(&late, request.clone()).await;
    ensure!(matches!(answer, Err(GatewayError::Unavailable(_))), "no time left: {answer:?}");
    ensure!(wire.proxy().opened() == opened, "no time left, and yet somebody was called");
    let took = lost_start(kit, wire, Fault::Delay(Duration::from_secs(30)), true).await?;
    ensure!(took < OVER, "a start with {SHORT:?} took {took:?}");
    if kit.capabilities.lookup.reads() {
        let played = kit.play(Scenario::Redirect, kit.amount(1_000)).await?;
        let (began, ctx) = (Instant::now(), kit.once().with_budget(SHORT));
        let reading = kit.gateway.fetch(&ctx, played.reference());
        let answer = with_fault(wire, Calls::All, Fault::Delay(Duration::from_secs(30)), reading).await;
        ensure!(matches!(answer, Err(GatewayError::Unavailable(_))), "a read: {answer:?}");
        ensure!(began.elapsed() < OVER, "a read with {SHORT:?} took {:?}", began.elapsed());
    }
    Ok(())
}

async fn inexpressible(kit: &Kit<'_>) -> Check {
    let wire = wire(kit)?;
    let amounts = wire.inexpressible();
    if amounts.is_empty() {
        return skip("every amount has a number at this gateway");
    }
    for amount in amounts {
        ensure!(kit.capabilities.currencies.contains(amount.currency), "{} is not taken at all", amount.currency);
        refused_unheard(kit, &kit.scripted(Scenario::Redirect, amount)?).await?;
    }
    Ok(())
}

/// A start that is refused for its amount without any call.
pub(super) async fn refused_unheard(kit: &Kit<'_>, request: &StartPayment) -> Check {
    let opened = kit.harness.wire().map(|wire| wire.proxy().opened());
    let answer = kit.start(request).await;
    ensure!(matches!(answer, Err(GatewayError::InvalidRequest { field: "amount", .. })), "{}: {answer:?}", request.amount);
    ensure!(opened == kit.harness.wire().map(|wire| wire.proxy().opened()), "{}: refused only after a call", request.amount);
    Ok(())
}
