//! The gateway port: what Bursar asks of a payment gateway, and what a gateway may answer.
//!
//! Always true here: no HTTP client, no storage, no name of any one gateway. An adapter is a stateless translator between this vocabulary and a
//! gateway's; persistence, states, retries, deduplication and locks belong to the caller.
//!
//! - [`PaymentGateway`]: the trait. [`GatewayFactory`]: how the program builds an instance from its settings.
//! - [`StartPayment`], [`Started`], [`NextAction`]: an attempt begins.
//! - [`Snapshot`], [`RefundSnapshot`], [`DisputeSnapshot`], [`Observation`]: absolute facts, so that hearing one twice changes nothing.
//! - [`RawWebhook`], [`Received`], [`Notification`]: a delivery is authenticated first, stored by the caller, and resolved later.
//! - [`Capabilities`]: which of the optional operations are real; the conformance suite checks that behaviour agrees.
//! - [`GatewayError`]: a *no* ([`GatewayError::Declined`]), silence ([`GatewayError::UnknownOutcome`]) and "certainly not done"
//!   ([`GatewayError::Unavailable`]) are three different things.

mod capability;
mod error;
mod factory;
mod payment;
mod refund;
mod webhook;

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{Money, PaymentId};

pub use capability::{
    AmountLimits, Capabilities, Currencies, Descriptor, Idempotency, IdempotencyKey, Lookup, PartialCapture, RefundSupport, VoidSupport,
    WebhookSupport,
};
pub use error::{Decline, DeclineCategory, Detail, GatewayError, WebhookError};
pub use factory::{GatewayFactory, InstanceConfig, Mode, currencies};
pub use payment::{
    Buyer, CaptureMode, Found, LineSummary, Located, NextAction, PaymentRef, PaymentStatus, RedirectMethod, ReturnQuery, Snapshot,
    StartPayment, Started, Totals,
};
pub use refund::{
    DisputeRef, DisputeSnapshot, DisputeStatus, Observation, RefundQuery, RefundRef, RefundRequest, RefundSnapshot, RefundStatus,
};
pub use webhook::{MAX_WEBHOOK_BYTES, Notification, RawWebhook, Received, Reply};

/// What accompanies every call.
#[derive(Debug, Clone)]
pub struct OpContext {
    /// Names the operation at the gateway. Written down before the first call and used again for every retry, so that a retry can never charge
    /// twice. A start uses the payment's id, a refund the refund's id.
    pub operation_id: String,
    /// Which try of this operation this is, from 1.
    pub attempt: u32,
    /// When the caller stops waiting. Monotonic, because the shop's clock can be set in tests.
    pub deadline: Instant,
    /// Joins this call with the log lines of the request or job that made it.
    pub correlation_id: String,
    /// The shop's instant of the call.
    pub now: DateTime<Utc>,
}

impl OpContext {
    /// How long a call may take where nobody says otherwise.
    pub const DEFAULT_BUDGET: Duration = Duration::from_secs(10);

    /// The first attempt of `operation_id`, with the default budget and the operation as its correlation id.
    pub fn new(operation_id: impl Into<String>, now: DateTime<Utc>) -> Self {
        let operation_id = operation_id.into();
        Self { correlation_id: operation_id.clone(), operation_id, attempt: 1, deadline: Instant::now() + Self::DEFAULT_BUDGET, now }
    }

    /// The same call as another try of its operation.
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same call with so much time from now.
    pub fn with_budget(mut self, budget: Duration) -> Self {
        self.deadline = Instant::now() + budget;
        self
    }

    /// The same call, joined with other log lines.
    pub fn with_correlation_id(mut self, correlation_id: impl Into<String>) -> Self {
        self.correlation_id = correlation_id.into();
        self
    }

    /// How much time is left; zero once the deadline has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// One configured account at one payment gateway.
///
/// Optional operations answer [`GatewayError::NotSupported`] unless an adapter implements them, and [`Capabilities`] says the same in both
/// directions. Reads ([`fetch`](Self::fetch), [`find`](Self::find), [`fetch_refund`](Self::fetch_refund), [`resolve`](Self::resolve)) never
/// answer [`GatewayError::UnknownOutcome`]: a read that failed is [`GatewayError::Unavailable`], and what was known stays.
#[async_trait]
pub trait PaymentGateway: fmt::Debug + Send + Sync {
    /// Who this is and what it can do. Constant for the life of the instance.
    fn descriptor(&self) -> Descriptor;

    /// Creates the gateway's object for one attempt, or finds the one that an earlier try of the same operation id created.
    ///
    /// # Errors
    /// [`GatewayError::Declined`] is the gateway's *no* and ends the attempt. [`GatewayError::InvalidRequest`] also for an operation id that was
    /// used with other parameters. After [`GatewayError::UnknownOutcome`] the caller asks by [`find`](Self::find) and never uses a new id.
    async fn start(&self, ctx: &OpContext, request: StartPayment) -> Result<Started, GatewayError>;

    /// The authoritative state of a payment by the gateway's reference.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for a reference that the gateway does not know; [`GatewayError::NotSupported`] unless
    /// [`Lookup::reads`](Lookup::reads).
    async fn fetch(&self, _ctx: &OpContext, _reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        Err(GatewayError::NotSupported { operation: "fetch" })
    }

    /// Settles a start of unknown outcome: what does the gateway have under our payment id?
    ///
    /// [`Found::Absent`] is a promise once [`Capabilities::visibility_delay`] has passed since the start.
    ///
    /// # Errors
    /// [`GatewayError::NotSupported`] unless the lookup is [`Lookup::ByMerchantReference`].
    async fn find(&self, _ctx: &OpContext, _payment_id: PaymentId) -> Result<Found<Located>, GatewayError> {
        Err(GatewayError::NotSupported { operation: "find" })
    }

    /// Authenticates a delivery on its raw bytes and names what it is about. Changes nothing, and calls nobody, unless it takes a certificate of
    /// the gateway's that is not kept yet: the caller stores the notifications, sends the reply, and has a worker [`resolve`](Self::resolve) them.
    ///
    /// # Errors
    /// [`WebhookError::NotSupported`] where [`Capabilities::webhooks`] is [`WebhookSupport::None`].
    async fn receive_webhook(&self, _ctx: &OpContext, _webhook: RawWebhook) -> Result<Received, WebhookError> {
        Err(WebhookError::NotSupported)
    }

    /// What a stored notification means now; may ask the gateway. No information is no observation: an event of unknown kind gives none.
    ///
    /// The notification's reference is the one that `start` gave wherever the caller knows it, whatever the report said.
    /// With [`Capabilities::confirm_step`] this is also what makes a payment final, as is [`complete_return`](Self::complete_return).
    ///
    /// # Errors
    /// As for a read.
    async fn resolve(&self, _ctx: &OpContext, _notification: &Notification) -> Result<Vec<Observation>, GatewayError> {
        Err(GatewayError::NotSupported { operation: "resolve" })
    }

    /// The buyer's browser came back. The query is a hint only and may be forged: the observations come from the gateway.
    ///
    /// # Errors
    /// [`GatewayError::NotSupported`] unless [`Capabilities::redirect`].
    async fn complete_return(&self, _ctx: &OpContext, _query: ReturnQuery) -> Result<Vec<Observation>, GatewayError> {
        Err(GatewayError::NotSupported { operation: "complete_return" })
    }

    /// Takes `amount` of what was authorised. With `last` nothing more will be captured and the rest is released.
    ///
    /// # Errors
    /// [`GatewayError::InvalidRequest`] for more than what is left of the authorisation, or a payment that is not authorised;
    /// [`GatewayError::NotSupported`] unless [`Capabilities::captures`] has [`CaptureMode::Manual`].
    async fn capture(&self, _ctx: &OpContext, _reference: &PaymentRef, _amount: Money, _last: bool) -> Result<Snapshot, GatewayError> {
        Err(GatewayError::NotSupported { operation: "capture" })
    }

    /// Gives up a payment from which nothing was captured.
    ///
    /// # Errors
    /// [`GatewayError::InvalidRequest`] once money was captured; [`GatewayError::NotSupported`] for what [`Capabilities::void`] leaves out.
    async fn void(&self, _ctx: &OpContext, _reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        Err(GatewayError::NotSupported { operation: "void" })
    }

    /// Sends captured money back. The refund's id is the operation id: asking again gives the same refund.
    ///
    /// # Errors
    /// [`GatewayError::InvalidRequest`] for more than what can be refunded; [`GatewayError::NotSupported`] where
    /// [`Capabilities::refund`] is [`RefundSupport::None`].
    async fn refund(&self, _ctx: &OpContext, _request: RefundRequest) -> Result<RefundSnapshot, GatewayError> {
        Err(GatewayError::NotSupported { operation: "refund" })
    }

    /// The authoritative state of a refund; settles a refund of unknown outcome.
    ///
    /// # Errors
    /// [`GatewayError::NotSupported`] where refunds are not, or nothing can be read.
    async fn fetch_refund(&self, _ctx: &OpContext, _query: &RefundQuery) -> Result<Found<RefundSnapshot>, GatewayError> {
        Err(GatewayError::NotSupported { operation: "fetch_refund" })
    }

    /// Are credentials, mode and settings right? Has no side effect at the gateway.
    ///
    /// # Errors
    /// What is wrong: [`GatewayError::Auth`], [`GatewayError::Config`] or [`GatewayError::Unavailable`].
    async fn check(&self, ctx: &OpContext) -> Result<(), GatewayError>;
}
