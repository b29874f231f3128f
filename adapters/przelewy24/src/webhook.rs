//! Przelewy24's notifications: authenticated by their signature, then named.
//!
//! Always true here: only payments that came in and refunds that ended are reported, so a payment that fails or is left alone is asked for.

use domain::{Currency, Money, PaymentId};
use port::{MAX_WEBHOOK_BYTES, Notification, RawWebhook, Received, Reply, WebhookError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::convert::Asked;
use crate::settings::Settings;
use crate::sign;
use crate::wire::{RefundNotice, TransactionNotice};

/// The kind of a notification of a payment.
pub(crate) const PAID: &str = "transaction";
/// The kind of a notification of a refund.
pub(crate) const REFUNDED: &str = "refund";

/// Authenticates a delivery.
pub(crate) fn receive(settings: &Settings, webhook: &RawWebhook) -> Result<Received, WebhookError> {
    if webhook.body.len() > MAX_WEBHOOK_BYTES {
        return Err(WebhookError::TooLarge);
    }
    let body: Value = serde_json::from_slice(&webhook.body).map_err(malformed)?;
    let sign = body.get("sign").and_then(Value::as_str).filter(|sign| !sign.is_empty()).ok_or(WebhookError::MissingSignature)?;
    let found = if body.get("refundsUuid").is_some() {
        let notice: RefundNotice = read(&body)?;
        genuine(sign::refund_is_genuine(&settings.crcs, &notice, sign))?;
        ours(notice.merchant_id == settings.merchant_id)?;
        let dedup_key = format!("{}:{}:{}", notice.session_id, notice.refunds_uuid, notice.status);
        // The refunded part says nothing of what was asked for: whoever works on it takes the shop's own reference.
        named(REFUNDED, dedup_key, &notice.session_id, None, settings, &notice)?
    } else {
        let notice: TransactionNotice = read(&body)?;
        genuine(sign::transaction_is_genuine(&settings.crcs, &notice, sign))?;
        ours(notice.merchant_id == settings.merchant_id && notice.pos_id == settings.pos_id)?;
        let dedup_key = format!("{}:{}", notice.session_id, notice.order_id);
        let currency = Currency::parse(&notice.currency).map_err(|error| WebhookError::Malformed(error.to_string().into()))?;
        named(PAID, dedup_key, &notice.session_id, Some(Money::new(notice.origin_amount, currency)), settings, &notice)?
    };
    Ok(Received { notifications: found.into_iter().collect(), reply: Reply::ok() })
}

/// A notification of one of our sessions; other programs may use the account too.
fn named(
    kind: &str,
    dedup_key: String,
    session: &str,
    amount: Option<Money>,
    settings: &Settings,
    notice: &impl Serialize,
) -> Result<Option<Notification>, WebhookError> {
    let Some(payment_id) = PaymentId::parse(session) else { return Ok(None) };
    Ok(Some(Notification {
        dedup_key,
        kind: kind.to_owned(),
        reference: amount.map(|amount| Asked { payment_id, amount }.reference()),
        payment_id: Some(payment_id),
        mode: settings.mode,
        payload: serde_json::to_value(notice).map_err(malformed)?,
    }))
}

fn read<T: DeserializeOwned>(body: &Value) -> Result<T, WebhookError> {
    serde_json::from_value(body.clone()).map_err(malformed)
}

/// The parser's own words may quote the body.
fn malformed(error: serde_json::Error) -> WebhookError {
    WebhookError::Malformed(format!("no notification of przelewy24: {:?} error", error.classify()).into())
}

const fn genuine(holds: bool) -> Result<(), WebhookError> {
    if holds { Ok(()) } else { Err(WebhookError::BadSignature) }
}

const fn ours(holds: bool) -> Result<(), WebhookError> {
    if holds { Ok(()) } else { Err(WebhookError::WrongAccount) }
}
