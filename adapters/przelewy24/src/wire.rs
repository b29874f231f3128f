//! Przelewy24's JSON, as far as it is used. What is not named is ignored; numbers may come as text.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// `POST /api/v1/transaction/register`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Register<'a> {
    pub(crate) merchant_id: u64,
    pub(crate) pos_id: u64,
    pub(crate) session_id: &'a str,
    pub(crate) amount: i64,
    pub(crate) currency: &'a str,
    pub(crate) description: &'a str,
    pub(crate) email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<&'a str>,
    pub(crate) country: &'a str,
    pub(crate) language: &'a str,
    pub(crate) url_return: &'a str,
    pub(crate) url_status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<u32>,
    pub(crate) encoding: &'static str,
    pub(crate) sign: &'a str,
}

/// `PUT /api/v1/transaction/verify`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verify<'a> {
    pub(crate) merchant_id: u64,
    pub(crate) pos_id: u64,
    pub(crate) session_id: &'a str,
    pub(crate) amount: i64,
    pub(crate) currency: &'a str,
    pub(crate) order_id: u64,
    pub(crate) sign: &'a str,
}

/// `POST /api/v1/transaction/refund`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundOrder<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) refunds_uuid: &'a str,
    pub(crate) refunds: [RefundPart<'a>; 1],
    pub(crate) url_status: &'a str,
}

/// The payment that a refund is taken from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundPart<'a> {
    pub(crate) order_id: u64,
    pub(crate) session_id: &'a str,
    pub(crate) amount: i64,
    pub(crate) description: &'a str,
}

/// Every success.
#[derive(Debug, Deserialize)]
pub(crate) struct Answered<T> {
    pub(crate) data: T,
}

/// Every refusal. `error` is a sentence or, of refunds, a list with messages.
#[derive(Debug, Deserialize)]
pub(crate) struct Refused {
    pub(crate) error: Value,
}

impl Refused {
    /// The gateway's words.
    pub(crate) fn words(&self) -> String {
        match &self.error {
            Value::String(words) => words.clone(),
            other => {
                let list = other.as_array().into_iter().flatten();
                list.filter_map(|part| part.get("message").and_then(Value::as_str)).collect::<Vec<_>>().join("; ")
            }
        }
    }
}

/// What registering gives.
#[derive(Debug, Deserialize)]
pub(crate) struct Registered {
    pub(crate) token: String,
}

/// A payment, as `GET /api/v1/transaction/by/sessionId/{sessionId}` shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transaction {
    /// 0 until the buyer has chosen how to pay.
    #[serde(default, deserialize_with = "number")]
    pub(crate) order_id: u64,
    #[serde(default)]
    pub(crate) status: Value,
    #[serde(deserialize_with = "number")]
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

/// The refunds of a payment, as `GET /api/v1/refund/by/orderId/{orderId}` shows them.
#[derive(Debug, Deserialize)]
pub(crate) struct Refunds {
    #[serde(default)]
    pub(crate) refunds: Vec<Refund>,
}

/// A refund.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refund {
    #[serde(default)]
    pub(crate) batch_id: Value,
    #[serde(default)]
    pub(crate) request_id: Option<String>,
    #[serde(default)]
    pub(crate) status: Value,
    #[serde(deserialize_with = "number")]
    pub(crate) amount: i64,
}

/// A notification that a payment came in. Its fields stand in the order in which they are signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionNotice {
    pub(crate) merchant_id: u64,
    pub(crate) pos_id: u64,
    pub(crate) session_id: String,
    pub(crate) amount: i64,
    pub(crate) origin_amount: i64,
    pub(crate) currency: String,
    pub(crate) order_id: u64,
    pub(crate) method_id: i64,
    pub(crate) statement: String,
}

/// A notification that a refund was made or rejected.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundNotice {
    pub(crate) order_id: u64,
    pub(crate) session_id: String,
    pub(crate) merchant_id: u64,
    pub(crate) refunds_uuid: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) status: i64,
}

/// A whole number, written as a number or as text.
fn number<'de, D: Deserializer<'de>, N: TryFrom<i64>>(deserializer: D) -> Result<N, D::Error> {
    let value = Value::deserialize(deserializer)?;
    whole(&value).and_then(|number| N::try_from(number).ok()).ok_or_else(|| serde::de::Error::custom("not a whole number"))
}

/// The whole number that `value` is or spells.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}
