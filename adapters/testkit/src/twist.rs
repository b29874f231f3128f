//! Adapters with one fault each: a good adapter behind a wrapper that gets one thing wrong. The suite is tested with them, since a check that
//! cannot fail proves nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Money, PaymentId};
use port::{
    Capabilities, CaptureMode, Currencies, Descriptor, Found, GatewayError, IdempotencyKey, Located, Lookup, Notification, Observation,
    OpContext, PartialCapture, PaymentGateway, PaymentRef, PaymentStatus, RawWebhook, Received, RefundQuery, RefundRequest, RefundSnapshot,
    RefundStatus, RefundSupport, Reply, ReturnQuery, Snapshot, StartPayment, Started, VoidSupport, WebhookError,
};
use uuid::Uuid;

use crate::conformance::{Act, Credentials, Harness, Key, Outcome, Scenario, Wire, run_only};
use crate::fault::FaultProxy;

/// What an adapter gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    /// It tells of a unit more than was captured.
    MoreCaptured,
    /// Each start is another operation.
    AnotherEachTime,
    /// All payments share one reference.
    OneReference,
    /// A decline is told as a mistake of ours.
    DeclineIsMistake,
    /// What ran out still waits.
    NothingEnds,
    /// What is not known cannot be reached.
    UnknownIsAway,
    /// Nothing is ever found by our id.
    FindsNothing,
    /// A status that it does not know is an end.
    StrangeIsFailed,
    /// Its sums change from one look to the next.
    Flickers,
    /// What cannot be reached may have been done.
    AwayIsUnknown,
    /// A lost answer is as if nothing had been done.
    LostIsAway,
    /// A failed read is as if the payment were unknown.
    AwayIsNotFound,
    /// The gateway's waiting time is not told.
    NoWaitingTime,
    /// Refused credentials are as if the gateway could not be reached.
    AuthIsAway,
    /// It follows redirects.
    Strays,
    /// It takes its time.
    Late,
    /// It declares a larger amount than it takes.
    LargerLimit,
    /// It takes amounts that are none.
    TakesNothing,
    /// It rounds what it has no number for.
    Rounds,
    /// It declares every currency.
    AnyCurrency,
    /// It declares what a capture leaves otherwise than it is.
    OtherRest,
    /// It captures less than was asked for where there is not as much.
    CapturesLess,
    /// It says that captured money was given up.
    VoidsCaptured,
    /// A refund does not say which of ours it is.
    NamelessRefund,
    /// It takes up a refund of more than is left.
    TakesAnyRefund,
    /// A refund on its way has arrived.
    PendingIsDone,
    /// It declares a lookup that it does not have.
    DeclaresFind,
    /// It declares no reservations, and makes them.
    HidesReservations,
    /// It declares that nothing can be given up, and gives it up.
    HidesVoid,
    /// It declares no refunds, and makes them.
    HidesRefunds,
    /// It does not read what is not plain English.
    PlainOnly,
    /// It believes everybody.
    BelievesAll,
    /// It believes reports of any age.
    BelievesOld,
    /// It knows the current secret only.
    OneSecret,
    /// Each delivery is another report.
    NewReport,
    /// It tells each payment as it was when it was first told.
    FirstImpression,
    /// A report does not name our payment.
    NamelessReport,
    /// It takes reports for other accounts.
    AnyAccount,
    /// A report of unknown kind is worked on.
    AnyKind,
    /// It answers reports as the gateway does not want it.
    OtherReply,
    /// It reads bodies of any length.
    AnyLength,
    /// It hears of no disputes.
    NoDisputes,
    /// A payment that ran out is told as it was then.
    EndIsEnd,
    /// It prints its secrets.
    Prints,
    /// It believes the browser.
    BelievesBrowser,
    /// A check of the settings ends payments.
    CheckEnds,
    /// Each read asks for an access token.
    TokenEachTime,
}

/// Each fault, and the number of the check that has to see it.
pub const TWISTS: &[(u8, Twist)] = &[
    (1, Twist::MoreCaptured),
    (2, Twist::AnotherEachTime),
    (3, Twist::OneReference),
    (4, Twist::DeclineIsMistake),
    (5, Twist::NothingEnds),
    (6, Twist::UnknownIsAway),
    (7, Twist::FindsNothing),
    (8, Twist::StrangeIsFailed),
    (9, Twist::Flickers),
    (10, Twist::AwayIsUnknown),
    (11, Twist::LostIsAway),
    (12, Twist::LostIsAway),
    (13, Twist::AwayIsNotFound),
    (14, Twist::NoWaitingTime),
    (15, Twist::AuthIsAway),
    (16, Twist::TokenEachTime),
    (17, Twist::Strays),
    (18, Twist::Late),
    (19, Twist::MoreCaptured),
    (20, Twist::LargerLimit),
    (21, Twist::TakesNothing),
    (22, Twist::Rounds),
    (23, Twist::AnyCurrency),
    (24, Twist::OtherRest),
    (25, Twist::CapturesLess),
    (26, Twist::VoidsCaptured),
    (27, Twist::NamelessRefund),
    (28, Twist::TakesAnyRefund),
    (29, Twist::LostIsAway),
    (30, Twist::PendingIsDone),
    (31, Twist::DeclaresFind),
    (31, Twist::HidesReservations),
    (31, Twist::HidesVoid),
    (31, Twist::HidesRefunds),
    (32, Twist::PlainOnly),
    (33, Twist::BelievesAll),
    (34, Twist::BelievesOld),
    (35, Twist::OneSecret),
    (36, Twist::NewReport),
    (37, Twist::FirstImpression),
    (38, Twist::NamelessReport),
    (39, Twist::AnyAccount),
    (41, Twist::AnyKind),
    (42, Twist::OtherReply),
    (43, Twist::AnyLength),
    (45, Twist::NoDisputes),
    (46, Twist::EndIsEnd),
    (47, Twist::Prints),
    (49, Twist::BelievesBrowser),
    (50, Twist::CheckEnds),
];

/// Plays every fault on the adapter of `harness`, as far as its check applies there. Gives the numbers of the checks that saw their fault.
///
/// # Panics
/// A check did not see its fault, or does not hold without it.
pub async fn each_fault_is_seen(harness: &dyn Harness) -> Vec<u8> {
    let mut seen = Vec::new();
    for (number, twist) in TWISTS {
        let straight = run_only(harness, &[*number]).await.rows.pop().map(|row| row.outcome);
        if matches!(straight, Some(Outcome::NotApplicable(_))) {
            continue;
        }
        assert_eq!(straight, Some(Outcome::Passed), "check {number} without a fault");
        let twisted = Twisted::new(harness, *twist);
        match run_only(&twisted, &[*number]).await.rows.pop().map(|row| row.outcome) {
            Some(Outcome::Failed(_)) => seen.push(*number),
            // What an adapter cannot get wrong: it has no such case.
            other => assert!(!twist.shows(harness), "check {number} does not see {twist:?}: {other:?}"),
        }
    }
    seen.dedup();
    seen
}

impl Twist {
    /// Whether the fault shows on this adapter.
    fn shows(self, harness: &dyn Harness) -> bool {
        let capabilities = harness.gateway().descriptor().capabilities;
        match self {
            Self::DeclaresFind => !capabilities.lookup.finds(),
            Self::AnyCurrency => capabilities.currencies != Currencies::Any,
            Self::HidesReservations => capabilities.captures.contains(&CaptureMode::Manual),
            Self::HidesVoid => capabilities.void != VoidSupport::None,
            Self::HidesRefunds => capabilities.refund != RefundSupport::None,
            _ => true,
        }
    }
}

/// A harness whose adapter has a fault.
struct Twisted<'a> {
    inner: &'a dyn Harness,
    twist: Twist,
    gateway: Arc<Crooked>,
}

impl<'a> Twisted<'a> {
    fn new(inner: &'a dyn Harness, twist: Twist) -> Self {
        Self { inner, twist, gateway: Arc::new(Crooked::new(inner.gateway(), twist, inner)) }
    }

    fn wired(&self) -> &dyn Wire {
        self.inner.wire().expect("asked only where there is one")
    }
}

#[async_trait]
impl Harness for Twisted<'_> {
    fn gateway(&self) -> Arc<dyn PaymentGateway> {
        self.gateway.clone()
    }

    fn wire(&self) -> Option<&dyn Wire> {
        self.inner.wire().map(|_| self as &dyn Wire)
    }

    fn prepare(&self, scenario: Scenario, request: &mut StartPayment) -> bool {
        self.inner.prepare(scenario, request)
    }

    async fn act(&self, payment_id: PaymentId, act: Act, now: DateTime<Utc>) -> Option<Result<(), GatewayError>> {
        self.inner.act(payment_id, act, now).await
    }

    async fn reports(&self, payment_id: PaymentId) -> Vec<Vec<u8>> {
        self.inner.reports(payment_id).await
    }

    fn delivery(&self, key: Key, body: Vec<u8>, at: DateTime<Utc>) -> Option<RawWebhook> {
        let mut delivery = self.inner.delivery(key, body, at)?;
        if key == Key::Previous && self.twist == Twist::OneSecret {
            // As an adapter sees it that does not know this secret.
            delivery = self.inner.delivery(Key::Wrong, delivery.body, at)?;
        }
        Some(delivery)
    }

    fn for_another_account(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.inner.for_another_account(body)
    }

    fn of_unknown_kind(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.inner.of_unknown_kind(body)
    }

    fn in_other_bytes(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.inner.in_other_bytes(body)
    }

    fn tolerance(&self) -> Option<TimeDelta> {
        self.inner.tolerance()
    }

    fn secrets(&self) -> Vec<String> {
        self.inner.secrets()
    }
}

#[async_trait]
impl Wire for Twisted<'_> {
    fn proxy(&self) -> &FaultProxy {
        self.wired().proxy()
    }

    async fn instance(&self, base_url: &str, credentials: Credentials) -> Arc<dyn PaymentGateway> {
        let straight = self.wired().instance(base_url, credentials).await;
        Arc::new(Crooked::new(straight, self.twist, self.inner))
    }

    fn objects(&self, payment_id: PaymentId) -> usize {
        self.wired().objects(payment_id)
    }

    fn strange_status(&self, payment_id: PaymentId) -> bool {
        self.wired().strange_status(payment_id)
    }

    fn optional_fields(&self) -> &'static [&'static str] {
        self.wired().optional_fields()
    }

    fn inexpressible(&self) -> Vec<Money> {
        self.wired().inexpressible()
    }

    fn tokens_given(&self) -> Option<usize> {
        let given = self.wired().tokens_given()?;
        Some(if self.twist == Twist::TokenEachTime { given + self.gateway.looks() } else { given })
    }

    fn end_tokens(&self) {
        self.wired().end_tokens();
    }
}

/// An adapter with a fault.
struct Crooked {
    inner: Arc<dyn PaymentGateway>,
    twist: Twist,
    secrets: Vec<String>,
    proxy: Option<String>,
    looks: AtomicI64,
    checked: AtomicBool,
    first: std::sync::Mutex<Vec<(PaymentRef, Vec<Observation>)>>,
}

impl fmt::Debug for Crooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.twist == Twist::Prints { write!(f, "Crooked({:?})", self.secrets) } else { write!(f, "Crooked({:?})", self.inner) }
    }
}

impl Crooked {
    fn new(inner: Arc<dyn PaymentGateway>, twist: Twist, harness: &dyn Harness) -> Self {
        Self {
            inner,
            twist,
            secrets: harness.secrets(),
            proxy: harness.wire().map(|wire| wire.proxy().url()),
            looks: AtomicI64::new(0),
            checked: AtomicBool::new(false),
            first: std::sync::Mutex::default(),
        }
    }

    fn is(&self, twist: Twist) -> bool {
        self.twist == twist
    }

    fn looks(&self) -> usize {
        usize::try_from(self.looks.load(Ordering::SeqCst)).unwrap_or(0)
    }

    /// What becomes of an error of a write.
    fn after_write(&self, error: GatewayError) -> GatewayError {
        match error {
            GatewayError::UnknownOutcome { detail, .. } if self.is(Twist::LostIsAway) => GatewayError::Unavailable(detail),
            GatewayError::Unavailable(detail) if self.is(Twist::AwayIsUnknown) => GatewayError::UnknownOutcome { reference: None, detail },
            GatewayError::Declined(_) if self.is(Twist::DeclineIsMistake) => GatewayError::invalid("request", "declined"),
            GatewayError::RateLimited { .. } if self.is(Twist::NoWaitingTime) => GatewayError::RateLimited { retry_after: None },
            GatewayError::Auth(detail) if self.is(Twist::AuthIsAway) => GatewayError::Unavailable(detail),
            other => other,
        }
    }

    /// What becomes of a snapshot.
    fn told(&self, mut snapshot: Snapshot) -> Snapshot {
        match self.twist {
            Twist::MoreCaptured if !snapshot.totals.captured.is_zero() => snapshot.totals.captured.minor += 1,
            Twist::Flickers => snapshot.totals.refunded.minor += self.looks.fetch_add(1, Ordering::SeqCst),
            Twist::NothingEnds if snapshot.status == PaymentStatus::Expired => snapshot.status = PaymentStatus::RequiresAction,
            Twist::StrangeIsFailed if snapshot.status == PaymentStatus::Processing => snapshot.status = PaymentStatus::Failed,
            Twist::CheckEnds if self.checked.load(Ordering::SeqCst) => snapshot.status = PaymentStatus::Expired,
            _ => {}
        }
        snapshot
    }

    fn crooked(&self, capabilities: &mut Capabilities) {
        match self.twist {
            Twist::LargerLimit => capabilities.limits.max_minor += 1,
            Twist::AnyCurrency => capabilities.currencies = Currencies::Any,
            Twist::OtherRest => {
                capabilities.partial_capture = match capabilities.partial_capture {
                    PartialCapture::KeepsRest => PartialCapture::ReleasesRest,
                    PartialCapture::ReleasesRest | PartialCapture::None => PartialCapture::KeepsRest,
                };
            }
            Twist::DeclaresFind => capabilities.lookup = Lookup::ByMerchantReference,
            Twist::HidesReservations => capabilities.captures.retain(|mode| *mode == CaptureMode::Automatic),
            Twist::HidesVoid => capabilities.void = VoidSupport::None,
            Twist::HidesRefunds => capabilities.refund = RefundSupport::None,
            // An adapter that is so sure of itself that the suite believes it the address of the page, too.
            Twist::AnotherEachTime => capabilities.idempotency.start = IdempotencyKey::NaturalKey,
            _ => {}
        }
    }

    fn done() -> Received {
        Received { notifications: Vec::new(), reply: Reply::ok() }
    }
}

#[async_trait]
impl PaymentGateway for Crooked {
    fn descriptor(&self) -> Descriptor {
        let mut descriptor = self.inner.descriptor();
        self.crooked(&mut descriptor.capabilities);
        descriptor
    }

    async fn start(&self, ctx: &OpContext, mut request: StartPayment) -> Result<Started, GatewayError> {
        let mut ctx = ctx.clone();
        match self.twist {
            Twist::AnotherEachTime => {
                request.payment_id = PaymentId::new(Uuid::now_v7());
                ctx.operation_id = request.payment_id.to_string();
            }
            Twist::TakesNothing if request.amount.minor <= 0 => request.amount.minor = 100,
            Twist::Rounds => request.amount.minor -= request.amount.minor % 100,
            Twist::Late => {
                let later = ctx.remaining() + Duration::from_secs(2);
                ctx = ctx.with_budget(later);
            }
            _ => {}
        }
        let result = self.inner.start(&ctx, request).await;
        if let (Twist::Strays, Some(proxy), Err(GatewayError::UnknownOutcome { .. })) = (self.twist, &self.proxy, &result) {
            let address = proxy.trim_start_matches("http://").to_owned();
            stray(&address).await;
        }
        let mut started = result.map_err(|error| self.after_write(error))?;
        if self.is(Twist::OneReference) {
            started.reference = PaymentRef::new("the-one");
        }
        started.snapshot = self.told(started.snapshot);
        Ok(started)
    }

    async fn fetch(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        if self.is(Twist::TokenEachTime) {
            self.looks.fetch_add(1, Ordering::SeqCst);
        }
        match self.inner.fetch(ctx, reference).await {
            Ok(snapshot) => Ok(self.told(snapshot)),
            Err(GatewayError::NotFound) if self.is(Twist::UnknownIsAway) => Err(GatewayError::Unavailable("away".into())),
            Err(GatewayError::Unavailable(_)) if self.is(Twist::AwayIsNotFound) => Err(GatewayError::NotFound),
            Err(error) => Err(self.after_write(error)),
        }
    }

    async fn find(&self, ctx: &OpContext, payment_id: PaymentId) -> Result<Found<Located>, GatewayError> {
        if self.is(Twist::FindsNothing) { Ok(Found::Absent) } else { self.inner.find(ctx, payment_id).await }
    }

    async fn receive_webhook(&self, ctx: &OpContext, webhook: RawWebhook) -> Result<Received, WebhookError> {
        if self.is(Twist::PlainOnly) && !webhook.body.is_ascii() {
            return Err(WebhookError::BadSignature);
        }
        let mut received = match self.inner.receive_webhook(ctx, webhook).await {
            Err(WebhookError::BadSignature) if self.is(Twist::BelievesAll) => return Ok(Self::done()),
            Err(WebhookError::Stale) if self.is(Twist::BelievesOld) => return Ok(Self::done()),
            Err(WebhookError::WrongAccount) if self.is(Twist::AnyAccount) => return Ok(Self::done()),
            Err(WebhookError::TooLarge) if self.is(Twist::AnyLength) => return Ok(Self::done()),
            other => other?,
        };
        for notification in &mut received.notifications {
            match self.twist {
                Twist::NewReport => notification.dedup_key = Uuid::now_v7().to_string(),
                Twist::NamelessReport => notification.payment_id = None,
                _ => {}
            }
        }
        if self.is(Twist::OtherReply) {
            received.reply.status = 500;
        }
        Ok(received)
    }

    async fn resolve(&self, ctx: &OpContext, notification: &Notification) -> Result<Vec<Observation>, GatewayError> {
        let mut observations = self.inner.resolve(ctx, notification).await?;
        if self.is(Twist::AnyKind) && observations.is_empty() {
            let back = ReturnQuery {
                payment_id: notification.payment_id.unwrap_or_else(|| PaymentId::new(Uuid::now_v7())),
                reference: notification.reference.clone(),
                query: String::new(),
            };
            observations = self.inner.complete_return(ctx, back).await?;
        }
        if self.is(Twist::NoDisputes) {
            observations.retain(|observation| !matches!(observation, Observation::Dispute { .. }));
        }
        for observation in &mut observations {
            if let Observation::Payment { snapshot, .. } = observation
                && self.is(Twist::EndIsEnd)
            {
                snapshot.status = PaymentStatus::Expired;
            }
        }
        if self.is(Twist::FirstImpression) {
            let mut first = self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(Observation::Payment { reference, snapshot, .. }) = observations.first().cloned() {
                // What a report told before counts for good, and before that it was told with nothing sent back.
                if let Some((_, earlier)) = first.iter().find(|(known, _)| *known == reference) {
                    return Ok(earlier.clone());
                }
                let mut snapshot = snapshot;
                snapshot.totals.refunded.minor = 0;
                let early = vec![Observation::Payment { reference: reference.clone(), payment_id: notification.payment_id, snapshot }];
                first.push((reference, early.clone()));
                return Ok(early);
            }
        }
        Ok(observations)
    }

    async fn complete_return(&self, ctx: &OpContext, query: ReturnQuery) -> Result<Vec<Observation>, GatewayError> {
        let claimed = !query.query.is_empty();
        let mut observations = self.inner.complete_return(ctx, query).await?;
        for observation in &mut observations {
            if let Observation::Payment { snapshot, .. } = observation
                && self.is(Twist::BelievesBrowser)
                && claimed
            {
                snapshot.status = PaymentStatus::Captured;
                snapshot.totals.captured.minor = 1_000;
            }
        }
        Ok(observations)
    }

    async fn capture(&self, ctx: &OpContext, reference: &PaymentRef, mut amount: Money, last: bool) -> Result<Snapshot, GatewayError> {
        if self.is(Twist::CapturesLess) {
            amount.minor = amount.minor.min(10_000);
        }
        self.inner.capture(ctx, reference, amount, last).await.map_err(|error| self.after_write(error))
    }

    async fn void(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        match self.inner.void(ctx, reference).await {
            Err(GatewayError::InvalidRequest { .. }) if self.is(Twist::VoidsCaptured) => {
                self.inner.fetch(ctx, reference).await.map(|snapshot| Snapshot { status: PaymentStatus::Cancelled, ..snapshot })
            }
            other => other,
        }
    }

    async fn refund(&self, ctx: &OpContext, request: RefundRequest) -> Result<RefundSnapshot, GatewayError> {
        let (refund_id, amount) = (request.refund_id, request.amount);
        match self.inner.refund(ctx, request).await {
            Ok(mut refund) => {
                if self.is(Twist::NamelessRefund) {
                    refund.refund_id = None;
                }
                if self.is(Twist::PendingIsDone) {
                    refund.status = RefundStatus::Succeeded;
                }
                Ok(refund)
            }
            Err(GatewayError::InvalidRequest { .. }) if self.is(Twist::TakesAnyRefund) => Ok(RefundSnapshot {
                reference: port::RefundRef::new(refund_id.to_string()),
                refund_id: Some(refund_id),
                status: RefundStatus::Pending,
                amount,
                raw_status: "taken".to_owned(),
                changed_at: None,
            }),
            Err(error) => Err(self.after_write(error)),
        }
    }

    async fn fetch_refund(&self, ctx: &OpContext, query: &RefundQuery) -> Result<Found<RefundSnapshot>, GatewayError> {
        self.inner.fetch_refund(ctx, query).await
    }

    async fn check(&self, ctx: &OpContext) -> Result<(), GatewayError> {
        self.checked.store(true, Ordering::SeqCst);
        self.inner.check(ctx).await.map_err(|error| self.after_write(error))
    }
}

/// Goes where a redirect pointed.
async fn stray(address: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut connection) = tokio::net::TcpStream::connect(address).await else { return };
    let call = format!("GET /elsewhere HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    let mut answer = Vec::new();
    // The proxy notes the call, whatever becomes of it.
    let _ = connection.write_all(call.as_bytes()).await;
    let _ = connection.read_to_end(&mut answer).await;
}
