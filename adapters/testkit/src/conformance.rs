//! The conformance suite: one numbered check for each thing that goes wrong with payment gateways.
//!
//! Always true here: a check passes, fails with a reason, or does not apply with a reason; nothing is left out silently. An adapter brings a
//! [`Harness`] that can play the gateway's side, and calls [`run`].

mod hygiene;
mod movements;
mod start;
mod webhooks;
mod wire;

use std::fmt;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Currency, Money, PaymentId, RefundId};
use port::{
    Buyer, Capabilities, CaptureMode, DisputeRef, GatewayError, OpContext, PaymentGateway, PaymentRef, RawWebhook, RefundRef,
    RefundRequest, Snapshot, StartPayment, Started,
};
use tracing::instrument::WithSubscriber;
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

pub use wire::{Credentials, Wire};

/// How a payment is to go. Those that get lost on the way are played on the [`Wire`] where there is one, and asked for only where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Paid at once, or as soon as the buyer [approves](Act::Approve).
    Approve,
    /// Refused at once.
    Decline,
    /// The buyer has to act.
    Redirect,
    /// In the works until the gateway decides.
    Pending,
    /// Reserved, to be captured.
    Authorise,
    /// Charged, but the answer gets lost.
    TimeoutCharged,
    /// Not charged, and the answer gets lost.
    TimeoutNotCharged,
    /// The gateway cannot be reached.
    Down,
    /// Paid at once; refunds stay pending.
    RefundPending,
    /// Paid at once; the answer to a refund gets lost.
    RefundTimeout,
}

/// What happens at the gateway without the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// The buyer pays.
    Approve,
    /// The buyer gives up or is refused.
    Decline,
    /// Time is up.
    Expire,
    /// A refund on its way reaches the buyer.
    FinishRefund(RefundRef),
    /// A refund fails.
    FailRefund(RefundRef),
    /// The bank takes so much back.
    OpenDispute(Money),
    /// The shop wins.
    WinDispute(DisputeRef),
    /// The shop loses.
    LoseDispute(DisputeRef),
}

/// Who signs a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The gateway, with the secret in use.
    Current,
    /// The gateway, with the secret that is being replaced.
    Previous,
    /// Somebody else.
    Wrong,
    /// Somebody without any secret.
    Empty,
}

/// The gateway's side of the tests, played by the adapter's own double. Methods with a default cannot be played unless implemented.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The adapter under test.
    fn gateway(&self) -> Arc<dyn PaymentGateway>;

    /// The network between the adapter and the gateway's double. `None`: the adapter calls nobody.
    fn wire(&self) -> Option<&dyn Wire> {
        None
    }

    /// Makes `request` go as `scenario` says. `false`: this gateway has no such case.
    fn prepare(&self, scenario: Scenario, request: &mut StartPayment) -> bool;

    /// Plays `act`. `None`: this gateway has no such case.
    async fn act(&self, _payment_id: PaymentId, _act: Act, _now: DateTime<Utc>) -> Option<Result<(), GatewayError>> {
        None
    }

    /// The bodies of everything that the gateway has reported about a payment so far, oldest first.
    async fn reports(&self, _payment_id: PaymentId) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// `body` as the gateway sends it at `at`.
    fn delivery(&self, _key: Key, _body: Vec<u8>, _at: DateTime<Utc>) -> Option<RawWebhook> {
        None
    }

    /// The same report for another account.
    fn for_another_account(&self, _body: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// The same report, of a kind that nobody knows.
    fn of_unknown_kind(&self, _body: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// The same report in other bytes: other order of keys, escapes, line ends, letters of other scripts.
    fn in_other_bytes(&self, _body: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// How old a signature may be, where the scheme says.
    fn tolerance(&self) -> Option<TimeDelta> {
        None
    }

    /// Everything that must never be printed.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

/// How a check ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It does not apply, and why.
    Skip(String),
    /// It failed, and how.
    Fail(String),
}

pub(crate) type Check = Result<(), Stop>;

/// Fails a check unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Stop::Fail(format!($($reason)+)));
        }
    };
}
pub(crate) use ensure;

/// Leaves a check out, saying why.
pub(crate) fn skip<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skip(reason.into()))
}

/// A result that has to be good.
pub(crate) fn good<T, E: fmt::Debug>(what: &str, result: Result<T, E>) -> Result<T, Stop> {
    result.map_err(|error| Stop::Fail(format!("{what}: {error:?}")))
}

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not apply to this adapter; why.
    NotApplicable(String),
    /// It does not hold; how.
    Failed(String),
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The check's number; stable.
    pub number: u8,
    /// What it proves.
    pub title: &'static str,
    /// How it ended.
    pub outcome: Outcome,
}

/// What the suite found out about one adapter. Displays as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The adapter.
    pub adapter: &'static str,
    /// The checks, by number.
    pub rows: Vec<Row>,
}

impl Report {
    /// The checks that do not hold.
    pub fn failures(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).collect()
    }

    /// Compares the report with the section `name` of the document at `path`, which holds the report of every adapter. With
    /// `BURSAR_UPDATE_DOCS=1` in the environment it writes the section instead.
    ///
    /// # Errors
    /// The document differs, or cannot be read or written, with what to do.
    pub fn kept_in(&self, path: &str, name: &str) -> Result<(), String> {
        self.keep(path, name, std::env::var_os("BURSAR_UPDATE_DOCS").is_some())
    }

    fn keep(&self, path: &str, name: &str, update: bool) -> Result<(), String> {
        // Two tests of one program may keep two sections at once.
        static KEEPING: Mutex<()> = Mutex::new(());
        let _kept = KEEPING.lock().unwrap_or_else(PoisonError::into_inner);
        let document = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let section = format!("## {name}\n\n{self}");
        let begin = document.find(&format!("## {name}\n"));
        let end = begin.and_then(|begin| document[begin + 2..].find("\n## ").map(|at| begin + 2 + at + 1)).unwrap_or(document.len());
        if begin.is_some_and(|begin| document[begin..end].trim_end() == section.trim_end()) {
            return Ok(());
        }
        if !update {
            return Err(format!("{path}: the section \"{name}\" is not what the suite says now; write it with BURSAR_UPDATE_DOCS=1"));
        }
        let (before, after) = (&document[..begin.unwrap_or(document.len())], &document[end..]);
        let text = format!("{}\n\n{}\n\n{after}", before.trim_end(), section.trim_end());
        std::fs::write(path, format!("{}\n", text.trim_end())).map_err(|error| format!("{path}: {error}"))
    }

    /// The numbers of the checks that hold.
    pub fn passed(&self) -> Vec<u8> {
        self.rows.iter().filter(|row| row.outcome == Outcome::Passed).map(|row| row.number).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} | check | result |\n| --- | --- | --- |", self.adapter)?;
        for row in &self.rows {
            let result = match &row.outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::NotApplicable(why) => format!("does not apply: {why}"),
                Outcome::Failed(how) => format!("FAILED: {how}"),
            };
            writeln!(f, "| {} | {} | {result} |", row.number, row.title)?;
        }
        Ok(())
    }
}

type Run = for<'a> fn(&'a Kit<'a>) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>;

/// A check with its number and title.
pub(crate) struct Entry {
    pub(crate) number: u8,
    pub(crate) title: &'static str,
    pub(crate) run: Run,
}

/// Lists async functions as entries.
macro_rules! entries {
    ($($number:literal $title:literal $check:ident;)*) => {
        &[$(crate::conformance::Entry { number: $number, title: $title, run: |kit| Box::pin($check(kit)) },)*]
    };
}
pub(crate) use entries;

/// What an adapter logs while the checks run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs every check, one after another, on one instance.
pub async fn run(harness: &dyn Harness) -> Report {
    run_only(harness, &[]).await
}

/// Runs the checks with these numbers; every check where none is named.
pub async fn run_only(harness: &dyn Harness, numbers: &[u8]) -> Report {
    let logs = Logs::default();
    let writer = logs.clone();
    let everything =
        tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false).with_writer(move || writer.clone()).finish();
    run_logged(harness, numbers, logs).with_subscriber(everything).await
}

async fn run_logged(harness: &dyn Harness, numbers: &[u8], logs: Logs) -> Report {
    let gateway = harness.gateway();
    let descriptor = gateway.descriptor();
    let kit = Kit { harness, capabilities: descriptor.capabilities, gateway, ticks: AtomicI64::new(0), logs };
    let mut rows = Vec::new();
    let all = [start::CHECKS, wire::CHECKS, movements::CHECKS, webhooks::CHECKS, hygiene::CHECKS].into_iter().flatten();
    for entry in all.filter(|entry| numbers.is_empty() || numbers.contains(&entry.number)) {
        let outcome = match (entry.run)(&kit).await {
            Ok(()) => Outcome::Passed,
            Err(Stop::Skip(why)) => Outcome::NotApplicable(why),
            Err(Stop::Fail(how)) => Outcome::Failed(how),
        };
        if let Some(wire) = harness.wire() {
            // A check that failed under a fault leaves it behind.
            wire.proxy().set(crate::fault::Fault::None);
        }
        rows.push(Row { number: entry.number, title: entry.title, outcome });
    }
    rows.sort_by_key(|row| row.number);
    Report { adapter: descriptor.adapter, rows }
}

/// What checks are written with.
pub(crate) struct Kit<'a> {
    pub(crate) harness: &'a dyn Harness,
    pub(crate) gateway: Arc<dyn PaymentGateway>,
    pub(crate) capabilities: Capabilities,
    ticks: AtomicI64,
    pub(crate) logs: Logs,
}

/// A payment that a check works on.
pub(crate) struct Played {
    pub(crate) request: StartPayment,
    pub(crate) started: Started,
}

impl Played {
    pub(crate) fn id(&self) -> PaymentId {
        self.request.payment_id
    }

    pub(crate) fn reference(&self) -> &PaymentRef {
        &self.started.reference
    }
}

impl Kit<'_> {
    /// The suite's clock: a second later at each look.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(self.ticks.fetch_add(1, Ordering::Relaxed))
    }

    /// A context for `operation_id`.
    pub(crate) fn context(&self, operation_id: impl Into<String>) -> OpContext {
        OpContext::new(operation_id, self.now())
    }

    /// A context for an operation of its own.
    pub(crate) fn once(&self) -> OpContext {
        self.context(Uuid::now_v7().to_string())
    }

    /// An amount in a currency that the gateway takes.
    pub(crate) fn amount(&self, minor: i64) -> Money {
        let euro = currency("EUR");
        let currency = match &self.capabilities.currencies {
            port::Currencies::Only(list) if !list.contains(&euro) => list.first().copied().unwrap_or(euro),
            _ => euro,
        };
        Money::new(minor, currency)
    }

    /// A request for a new payment.
    pub(crate) fn request(&self, amount: Money) -> StartPayment {
        let payment_id = PaymentId::new(Uuid::now_v7());
        StartPayment {
            payment_id,
            order_reference: "B-2041-K".to_owned(),
            amount,
            description: "Łódź 東京 <b>course</b> & \"more\"".to_owned(),
            buyer: Buyer {
                email: Some("buyer@learner.example".to_owned()),
                name: Some("Zofia Buyer".to_owned()),
                country: Some("PL".to_owned()),
                language: Some("pl".to_owned()),
                ip: Some(std::net::IpAddr::from([192, 0, 2, 7])),
            },
            return_url: format!("http://127.0.0.1:9/return/{payment_id}"),
            cancel_url: format!("http://127.0.0.1:9/cancel/{payment_id}"),
            webhook_url: format!("http://127.0.0.1:9/webhooks/{}", self.gateway.descriptor().instance),
            capture: CaptureMode::Automatic,
            lines: Vec::new(),
            expires_at: None,
            token: None,
        }
    }

    /// A request that goes as `scenario` says.
    pub(crate) fn scripted(&self, scenario: Scenario, amount: Money) -> Result<StartPayment, Stop> {
        let mut request = self.request(amount);
        if self.harness.prepare(scenario, &mut request) { Ok(request) } else { skip(format!("the gateway has no case {scenario:?}")) }
    }

    /// Starts `request` as a new operation.
    pub(crate) async fn start(&self, request: &StartPayment) -> Result<Started, GatewayError> {
        self.gateway.start(&self.context(request.payment_id.to_string()), request.clone()).await
    }

    /// Starts `request` again for as long as the gateway says that it was not done now: it may be busy with the same operation.
    pub(crate) async fn start_patiently(&self, request: &StartPayment) -> Result<Started, GatewayError> {
        for _ in 0..50 {
            match self.start(request).await {
                Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(20)).await,
                other => return other,
            }
        }
        self.start(request).await
    }

    /// A payment that was taken up.
    pub(crate) fn played(request: StartPayment, started: Started) -> Played {
        Played { request, started }
    }

    /// Starts a payment that has to be taken up.
    pub(crate) async fn play(&self, scenario: Scenario, amount: Money) -> Result<Played, Stop> {
        let request = self.scripted(scenario, amount)?;
        let started = good("start", self.start(&request).await)?;
        Ok(Played { request, started })
    }

    /// A payment from which `minor` was captured.
    pub(crate) async fn paid(&self, scenario: Scenario, minor: i64) -> Result<Played, Stop> {
        self.needs_lookup()?;
        let played = self.play(scenario, self.amount(minor)).await?;
        if played.started.snapshot.status != port::PaymentStatus::Captured {
            self.act(&played, Act::Approve).await?;
        }
        let snapshot = self.fetch(&played).await?;
        ensure!(snapshot.totals.captured.minor == minor, "captured {} instead of {minor}", snapshot.totals.captured);
        Ok(played)
    }

    /// Plays the gateway's side, which has to succeed.
    pub(crate) async fn act(&self, played: &Played, act: Act) -> Check {
        let what = format!("{act:?}");
        match self.harness.act(played.id(), act, self.now()).await {
            None => skip(format!("the gateway has no case {what}")),
            Some(result) => good(&what, result),
        }
    }

    /// The state at the gateway.
    pub(crate) async fn fetch(&self, played: &Played) -> Result<Snapshot, Stop> {
        good("fetch", self.gateway.fetch(&self.once(), played.reference()).await)
    }

    /// A refund request over `minor`.
    pub(crate) fn refund_request(&self, played: &Played, minor: i64) -> RefundRequest {
        RefundRequest {
            refund_id: RefundId::new(Uuid::now_v7()),
            payment: played.reference().clone(),
            amount: Money::new(minor, played.request.amount.currency),
            reason: "conformance".to_owned(),
        }
    }

    /// Asks for a refund.
    pub(crate) async fn refund(&self, request: &RefundRequest) -> Result<port::RefundSnapshot, GatewayError> {
        self.gateway.refund(&self.context(request.refund_id.to_string()), request.clone()).await
    }

    /// Leaves a check out where nothing can be read.
    pub(crate) fn needs_lookup(&self) -> Check {
        if self.capabilities.lookup.reads() { Ok(()) } else { skip("nothing can be looked up at this gateway; its sums are the shop's") }
    }
}

/// A currency of the suite.
pub(crate) fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("a code of ISO 4217")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: Outcome) -> Report {
        Report { adapter: "one", rows: vec![Row { number: 1, title: "it works", outcome }] }
    }

    #[test]
    fn a_document_that_says_something_else_is_reported() {
        let path = std::env::temp_dir().join(format!("bursar-gateways-{}.md", Uuid::now_v7()));
        let (place, passed) = (path.to_string_lossy().into_owned(), report(Outcome::Passed));
        let text = format!("# Gateways\n\n## one\n\n{passed}\n## two\n\nother\n");
        std::fs::write(&path, &text).expect("a file");
        assert_eq!(passed.keep(&place, "one", false), Ok(()));
        let failed = report(Outcome::Failed("it broke".to_owned()));
        for (changed, name) in [(&failed, "one"), (&passed, "two"), (&passed, "three")] {
            assert!(changed.keep(&place, name, false).is_err_and(|error| error.contains("BURSAR_UPDATE_DOCS")), "{name}");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), text, "nothing was written");
        for (changed, name) in [(&failed, "one"), (&passed, "two"), (&passed, "three")] {
            assert_eq!(changed.keep(&place, name, true), Ok(()), "{name}");
            assert_eq!(changed.keep(&place, name, false), Ok(()), "{name}");
        }
        let written = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(written, format!("# Gateways\n\n## one\n\n{failed}\n## two\n\n{passed}\n## three\n\n{passed}"));
        std::fs::remove_file(&path).expect("the file is there");
        assert!(passed.keep(&place, "one", true).is_err());
    }
}
