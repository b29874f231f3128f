//! Stripe's objects, as far as they are read. Fields that are new are ignored, fields that may be missing are optional.

use domain::{PaymentId, RefundId};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Under this name our payment's id is written on Stripe's objects.
pub(crate) const PAYMENT: &str = "bursar_payment";
/// Under this name our refund's id is written on Stripe's objects.
pub(crate) const REFUND: &str = "bursar_refund";
/// Under this name stands how a PaymentIntent is paid: one of the three below.
pub(crate) const FLOW: &str = "bursar_flow";
/// On Stripe's page; the payment's reference is that of the page's session.
pub(crate) const FLOW_CHECKOUT: &str = "checkout";
/// By the buyer, who has the secret.
pub(crate) const FLOW_SECRET: &str = "secret";
/// By us, with what Stripe's fields gave the buyer's browser.
pub(crate) const FLOW_TOKEN: &str = "token";

/// Names and values of ours, and of others, on an object.
pub(crate) type Metadata = Map<String, Value>;

/// A value of ours.
fn word<'a>(metadata: &'a Metadata, name: &str) -> Option<&'a str> {
    metadata.get(name).and_then(Value::as_str)
}

/// How a PaymentIntent is paid.
pub(crate) fn flow_of(metadata: &Metadata) -> Option<&str> {
    word(metadata, FLOW)
}

/// Which of our payments an object is about.
pub(crate) fn payment_of(metadata: &Metadata) -> Option<PaymentId> {
    word(metadata, PAYMENT).and_then(PaymentId::parse)
}

/// Which of our refunds an object is.
pub(crate) fn refund_of(metadata: &Metadata) -> Option<RefundId> {
    word(metadata, REFUND).and_then(RefundId::parse)
}

/// An object, or only its id.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Expandable<T> {
    Id(String),
    Object(Box<T>),
}

impl<T> Expandable<T> {
    pub(crate) fn object(&self) -> Option<&T> {
        match self {
            Self::Id(_) => None,
            Self::Object(object) => Some(object),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    #[serde(default)]
    pub(crate) has_more: bool,
}

/// A stay on Stripe's page.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) status: Option<String>,
    #[serde(default)]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) currency: Option<String>,
    #[serde(default)]
    pub(crate) client_reference_id: Option<String>,
    #[serde(default)]
    pub(crate) payment_intent: Option<Expandable<Intent>>,
}

impl Session {
    /// The id of what it is paid with, once there is one.
    pub(crate) fn intent_id(&self) -> Option<&str> {
        match self.payment_intent.as_ref()? {
            Expandable::Id(id) => Some(id),
            Expandable::Object(intent) => Some(&intent.id),
        }
    }

    pub(crate) fn payment_id(&self) -> Option<PaymentId> {
        self.client_reference_id.as_deref().and_then(PaymentId::parse)
    }
}

/// A PaymentIntent.
#[derive(Clone, Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    #[serde(default)]
    pub(crate) amount_received: Option<i64>,
    #[serde(default)]
    pub(crate) client_secret: Option<String>,
    #[serde(default)]
    pub(crate) next_action: Option<IntentAction>,
    #[serde(default)]
    pub(crate) last_payment_error: Option<Problem>,
    #[serde(default)]
    pub(crate) cancellation_reason: Option<String>,
    #[serde(default)]
    pub(crate) latest_charge: Option<Expandable<Charge>>,
    #[serde(default)]
    pub(crate) metadata: Metadata,
}

impl std::fmt::Debug for Intent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intent").field("id", &self.id).field("status", &self.status).finish_non_exhaustive()
    }
}

impl Intent {
    pub(crate) fn charge(&self) -> Option<&Charge> {
        self.latest_charge.as_ref().and_then(Expandable::object)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct IntentAction {
    #[serde(default)]
    pub(crate) redirect_to_url: Option<RedirectToUrl>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RedirectToUrl {
    #[serde(default)]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Charge {
    #[serde(default)]
    pub(crate) amount_captured: Option<i64>,
    #[serde(default)]
    pub(crate) amount_refunded: Option<i64>,
    #[serde(default)]
    pub(crate) disputed: Option<bool>,
    #[serde(default)]
    pub(crate) payment_method_details: Option<Details>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Details {
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) card: Option<Card>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Card {
    #[serde(default)]
    pub(crate) brand: Option<String>,
    #[serde(default)]
    pub(crate) last4: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    #[serde(default)]
    pub(crate) status: Option<String>,
    #[serde(default)]
    pub(crate) metadata: Metadata,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dispute {
    pub(crate) id: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) evidence_details: Option<Evidence>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Evidence {
    #[serde(default)]
    pub(crate) due_by: Option<i64>,
}

/// What the key belongs to, which tells its mode.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Balance {
    #[serde(default)]
    pub(crate) livemode: Option<bool>,
}

/// A refusal.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: Problem,
}

/// What went wrong. Its message is left out: it may quote what the buyer typed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Problem {
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) decline_code: Option<String>,
    #[serde(default)]
    pub(crate) param: Option<String>,
}

/// A report.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) livemode: bool,
    pub(crate) data: EventData,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct EventData {
    pub(crate) object: EventObject,
}

/// What a report is about: only enough of it to ask for the rest.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct EventObject {
    #[serde(default)]
    pub(crate) object: String,
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) payment_intent: Option<Expandable<Value>>,
    #[serde(default)]
    pub(crate) client_reference_id: Option<String>,
    #[serde(default)]
    pub(crate) metadata: Option<Metadata>,
}
