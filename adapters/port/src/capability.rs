//! What an instance can do, declared once and checked by the conformance suite.
//!
//! Always true here: a capability that is off means that the operation answers "not supported", and one that is on means that it works.

use std::time::Duration;

use domain::{Currency, Money};

use crate::error::GatewayError;
use crate::factory::Mode;
use crate::payment::CaptureMode;

/// Who a gateway instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The adapter's name, the same for every instance of it.
    pub adapter: &'static str,
    /// The instance's id: what orders name and webhook addresses carry.
    pub instance: String,
    /// What buyers read when they choose how to pay.
    pub display_name: String,
    /// Test money or real money.
    pub mode: Mode,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What a gateway instance can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The capture modes that `start` accepts.
    pub captures: Vec<CaptureMode>,
    /// Whether less than the authorised amount can be captured, and what then becomes of the rest.
    pub partial_capture: PartialCapture,
    /// Whether an authorisation can be captured in several parts.
    pub multiple_capture: bool,
    /// Whether a payment can be given up before its capture.
    pub void: VoidSupport,
    /// Which refunds are possible.
    pub refund: RefundSupport,
    /// How long after the capture refunds are possible; `None`: no limit.
    pub refund_window_days: Option<u32>,
    /// The currencies that `start` accepts.
    pub currencies: Currencies,
    /// Smallest and largest amounts.
    pub limits: AmountLimits,
    /// Whether the gateway reports by itself.
    pub webhooks: WebhookSupport,
    /// How repeated writes are recognised.
    pub idempotency: Idempotency,
    /// What can be asked afterwards.
    pub lookup: Lookup,
    /// How long a payment may stay invisible to `find` after its start was sent.
    pub visibility_delay: Duration,
    /// Whether `start` may send the buyer's browser away, so that `complete_return` is needed.
    pub redirect: bool,
    /// Whether `start` may hand out a secret for fields of the gateway inside our page.
    pub client_secret: bool,
    /// Whether `start` answers with instructions such as bank details.
    pub instructions: bool,
    /// Whether a payment becomes final only after an extra call of ours, made by `resolve`.
    pub confirm_step: bool,
    /// Whether a payment may stay in processing for long.
    pub async_confirmation: bool,
    /// Whether disputes are reported.
    pub disputes: bool,
}

impl Capabilities {
    /// Whether `start` can take this amount; called by adapters before anything is sent.
    ///
    /// # Errors
    /// [`GatewayError::InvalidRequest`] on `amount`, with the reason.
    pub fn accepts(&self, amount: Money) -> Result<(), GatewayError> {
        if !self.currencies.contains(amount.currency) {
            return Err(GatewayError::invalid("amount", format!("{} is not accepted", amount.currency)));
        }
        if amount.minor <= 0 {
            return Err(GatewayError::invalid("amount", "must be more than zero"));
        }
        if amount.minor < self.limits.min_minor || amount.minor > self.limits.max_minor {
            let (min, max) = (Money::new(self.limits.min_minor, amount.currency), Money::new(self.limits.max_minor, amount.currency));
            return Err(GatewayError::invalid("amount", format!("must be from {min} to {max}")));
        }
        Ok(())
    }
}

/// Whether and how less than the authorised amount can be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartialCapture {
    /// Only the whole.
    None,
    /// The first capture gives the rest back to the buyer.
    ReleasesRest,
    /// The rest stays authorised unless the capture is the last.
    KeepsRest,
}

/// Which payments can be given up before their capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoidSupport {
    /// None: they run out by themselves.
    None,
    /// Those whose money is reserved; one that waits for the buyer runs out by itself.
    Reserved,
    /// Each from which nothing was captured.
    Uncaptured,
}

/// Which refunds a gateway makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundSupport {
    /// None at all.
    None,
    /// The whole captured amount, once.
    WholeOnly,
    /// Parts, as often as money is left.
    Partial,
}

/// The currencies of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Currencies {
    /// Every currency that amounts can be given in.
    Any,
    /// These.
    Only(Vec<Currency>),
}

impl Currencies {
    /// Whether `currency` is one of them.
    pub fn contains(&self, currency: Currency) -> bool {
        match self {
            Self::Any => true,
            Self::Only(list) => list.contains(&currency),
        }
    }
}

/// Smallest and largest amount of one payment, in minor units of whichever currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmountLimits {
    /// Smallest amount, at least 1.
    pub min_minor: i64,
    /// Largest amount.
    pub max_minor: i64,
}

/// How far a gateway's own reports can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookSupport {
    /// Authenticated on the raw body.
    Signed,
    /// Unsigned: names an object, whose state is then read.
    HintOnly,
    /// There are none; what happened is asked for, or recorded by staff.
    None,
}

/// How a gateway recognises a repeated write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdempotencyKey {
    /// By the operation id sent along.
    OperationId,
    /// By a natural key of the object, such as our payment id.
    NaturalKey,
    /// Not at all: ask before repeating.
    None,
}

/// [`IdempotencyKey`] for each write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// Of `start`.
    pub start: IdempotencyKey,
    /// Of `capture` and `void`.
    pub capture: IdempotencyKey,
    /// Of `refund`.
    pub refund: IdempotencyKey,
}

/// What can be asked about a payment afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// By the gateway's reference and by our payment id.
    ByMerchantReference,
    /// By the gateway's reference only.
    ByReference,
    /// Nothing.
    None,
}

impl Lookup {
    /// Whether `fetch` works.
    pub const fn reads(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether `find` works.
    pub const fn finds(self) -> bool {
        matches!(self, Self::ByMerchantReference)
    }
}
