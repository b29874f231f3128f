//! PayPal's JSON, as far as it is used. What is not named is ignored.

use serde::{Deserialize, Serialize};

/// An amount as text with the decimals that PayPal wants of the currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Amount {
    pub(crate) currency_code: String,
    pub(crate) value: String,
}

/// `POST /v2/checkout/orders`.
#[derive(Debug, Serialize)]
pub(crate) struct CreateOrder<'a> {
    pub(crate) intent: &'static str,
    pub(crate) purchase_units: [NewUnit<'a>; 1],
    pub(crate) payment_source: PaymentSource<'a>,
}

/// What is paid for.
#[derive(Debug, Serialize)]
pub(crate) struct NewUnit<'a> {
    pub(crate) custom_id: &'a str,
    pub(crate) invoice_id: &'a str,
    pub(crate) description: String,
    pub(crate) amount: Amount,
}

/// How it is paid.
#[derive(Debug, Serialize)]
pub(crate) struct PaymentSource<'a> {
    pub(crate) paypal: Wallet<'a>,
}

/// PayPal's own page.
#[derive(Debug, Serialize)]
pub(crate) struct Wallet<'a> {
    pub(crate) experience_context: Experience<'a>,
}

/// What the buyer sees there.
#[derive(Debug, Serialize)]
pub(crate) struct Experience<'a> {
    pub(crate) return_url: &'a str,
    pub(crate) cancel_url: &'a str,
    pub(crate) user_action: &'static str,
    pub(crate) shipping_preference: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) locale: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) brand_name: Option<&'a str>,
}

/// `POST /v2/payments/authorizations/{id}/capture`.
#[derive(Debug, Serialize)]
pub(crate) struct NewCapture {
    pub(crate) amount: Amount,
    pub(crate) final_capture: bool,
}

/// `POST /v2/payments/captures/{id}/refund`.
#[derive(Debug, Serialize)]
pub(crate) struct NewRefund<'a> {
    pub(crate) amount: Amount,
    pub(crate) invoice_id: &'a str,
}

/// An order.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) intent: Option<String>,
    #[serde(default)]
    pub(crate) purchase_units: Vec<Unit>,
    #[serde(default)]
    pub(crate) links: Vec<Link>,
}

/// What is paid for, and what became of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Unit {
    #[serde(default)]
    pub(crate) custom_id: Option<String>,
    #[serde(default)]
    pub(crate) amount: Option<Amount>,
    #[serde(default)]
    pub(crate) payments: Payments,
}

/// The movements of an order.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Payments {
    pub(crate) authorizations: Vec<Movement>,
    pub(crate) captures: Vec<Movement>,
    pub(crate) refunds: Vec<Movement>,
}

/// An authorisation, a capture or a refund.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Movement {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) amount: Amount,
    #[serde(default)]
    pub(crate) invoice_id: Option<String>,
    #[serde(default)]
    pub(crate) update_time: Option<String>,
    #[serde(default)]
    pub(crate) supplementary_data: Option<Supplement>,
    #[serde(default)]
    pub(crate) links: Vec<Link>,
}

/// What belongs to a movement.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Supplement {
    #[serde(default)]
    pub(crate) related_ids: Related,
}

/// Its order.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Related {
    #[serde(default)]
    pub(crate) order_id: Option<String>,
}

/// A link to another object.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Link {
    pub(crate) href: String,
    pub(crate) rel: String,
}

/// The disputes of a capture.
#[derive(Debug, Deserialize)]
pub(crate) struct Disputes {
    #[serde(default)]
    pub(crate) items: Vec<Dispute>,
}

/// A dispute. Its outcome is told only when one asks for it alone.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dispute {
    pub(crate) dispute_id: String,
    pub(crate) status: String,
    pub(crate) dispute_amount: Amount,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) dispute_life_cycle_stage: Option<String>,
    #[serde(default)]
    pub(crate) dispute_outcome: Option<Outcome>,
    #[serde(default)]
    pub(crate) seller_response_due_date: Option<String>,
    #[serde(default)]
    pub(crate) update_time: Option<String>,
}

/// How a dispute ended.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Outcome {
    #[serde(default)]
    pub(crate) outcome_code: Option<String>,
}

/// A refusal.
#[derive(Debug, Deserialize)]
pub(crate) struct Refused {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) details: Vec<Issue>,
}

/// Why.
#[derive(Debug, Deserialize)]
pub(crate) struct Issue {
    #[serde(default)]
    pub(crate) issue: String,
    #[serde(default)]
    pub(crate) description: Option<String>,
}

impl Refused {
    /// The gateway's word for the reason.
    pub(crate) fn code(&self) -> &str {
        self.details.first().map(|issue| issue.issue.as_str()).filter(|issue| !issue.is_empty()).unwrap_or(&self.name)
    }

    /// For operators.
    pub(crate) fn words(&self) -> String {
        match self.details.first().and_then(|issue| issue.description.as_deref()) {
            Some(words) => format!("{}: {words}", self.code()),
            None => self.code().to_owned(),
        }
    }
}

/// An access token.
#[derive(Deserialize)]
pub(crate) struct Token {
    pub(crate) access_token: String,
    pub(crate) expires_in: u64,
}

/// A webhook event, as far as it names objects.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) event_type: String,
    #[serde(default)]
    pub(crate) resource: Resource,
}

/// What an event is about: an order, a movement or a dispute.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Resource {
    pub(crate) id: Option<String>,
    pub(crate) order_id: Option<String>,
    pub(crate) custom_id: Option<String>,
    pub(crate) purchase_units: Vec<Unit>,
    pub(crate) supplementary_data: Option<Supplement>,
    pub(crate) links: Vec<Link>,
    pub(crate) disputed_transactions: Vec<Disputed>,
}

/// The movement that a dispute is about.
#[derive(Debug, Deserialize)]
pub(crate) struct Disputed {
    #[serde(default)]
    pub(crate) seller_transaction_id: Option<String>,
    #[serde(default)]
    pub(crate) custom: Option<String>,
}

/// What is kept of an event: the objects that it names, nothing of the buyer's.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<String>,
}
