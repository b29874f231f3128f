//! PayU's JSON, as far as it is used. What is not named is ignored; amounts are text with whole hundredths.
//!
//! Always true here: what is kept of a notification holds no data of the buyer.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// `POST /api/v2_1/orders`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateOrder<'a> {
    pub(crate) ext_order_id: &'a str,
    pub(crate) notify_url: &'a str,
    pub(crate) continue_url: &'a str,
    pub(crate) customer_ip: String,
    pub(crate) merchant_pos_id: &'a str,
    pub(crate) description: &'a str,
    pub(crate) currency_code: &'a str,
    pub(crate) total_amount: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validity_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) buyer: Option<Buyer<'a>>,
    pub(crate) products: Vec<Product>,
}

/// Who pays.
#[derive(Debug, Serialize)]
pub(crate) struct Buyer<'a> {
    pub(crate) email: &'a str,
    pub(crate) language: String,
}

/// What is paid for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Product {
    pub(crate) name: String,
    pub(crate) unit_price: String,
    pub(crate) quantity: &'static str,
}

/// `POST /api/v2_1/orders/{orderId}/refunds`.
#[derive(Debug, Serialize)]
pub(crate) struct CreateRefund<'a> {
    pub(crate) refund: RefundOrder<'a>,
}

/// A refund that is asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundOrder<'a> {
    pub(crate) description: &'a str,
    pub(crate) amount: String,
    pub(crate) currency_code: &'a str,
    pub(crate) ext_refund_id: &'a str,
}

/// The verdict that stands in every answer, also in those with HTTP 200.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    pub(crate) status_code: String,
    #[serde(default)]
    pub(crate) status_desc: Option<String>,
    #[serde(default)]
    pub(crate) code_literal: Option<String>,
}

/// The part of an answer that says whether it is one.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) status: Verdict,
}

/// The answer to a new order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    #[serde(default)]
    pub(crate) order_id: Option<String>,
    #[serde(default)]
    pub(crate) ext_order_id: Option<String>,
    #[serde(default)]
    pub(crate) redirect_uri: Option<String>,
}

/// The answer to a question for an order.
#[derive(Debug, Deserialize)]
pub(crate) struct Orders {
    pub(crate) orders: Vec<Order>,
}

/// An order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    pub(crate) order_id: String,
    #[serde(default)]
    pub(crate) ext_order_id: Option<String>,
    #[serde(default)]
    pub(crate) merchant_pos_id: Option<String>,
    pub(crate) currency_code: String,
    #[serde(deserialize_with = "number")]
    pub(crate) total_amount: i64,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) pay_method: Option<PayMethod>,
}

/// How the buyer paid.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PayMethod {
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
}

/// The answer to a question for refunds.
#[derive(Debug, Deserialize)]
pub(crate) struct Refunds {
    #[serde(default)]
    pub(crate) refunds: Vec<Refund>,
}

/// The answer to a new refund.
#[derive(Debug, Deserialize)]
pub(crate) struct Refunded {
    pub(crate) refund: Refund,
}

/// A refund.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refund {
    pub(crate) refund_id: String,
    #[serde(default)]
    pub(crate) ext_refund_id: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(crate) amount: i64,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) status_date_time: Option<String>,
}

/// An access token.
#[derive(Deserialize)]
pub(crate) struct Token {
    pub(crate) access_token: String,
    #[serde(deserialize_with = "number")]
    pub(crate) expires_in: u64,
}

/// A notification: of an order, or of a refund of the order that it names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notice {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<Order>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ext_order_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refund: Option<Refund>,
}

/// A whole number, written as a number or as text.
fn number<'de, D: Deserializer<'de>, N: TryFrom<i64>>(deserializer: D) -> Result<N, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let whole = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    whole.and_then(|number| N::try_from(number).ok()).ok_or_else(|| serde::de::Error::custom("not a whole number"))
}
