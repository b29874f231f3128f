//! PayU's notifications: authenticated on the raw body, then named.

use domain::PaymentId;
use port::{MAX_WEBHOOK_BYTES, Notification, PaymentRef, RawWebhook, Received, Reply, WebhookError};

use crate::settings::Settings;
use crate::signature;
use crate::wire::Notice;

/// The kind of a notification of an order.
pub(crate) const ORDER: &str = "order";
/// The kind of a notification of a refund.
pub(crate) const REFUND: &str = "refund";

/// Authenticates a delivery.
pub(crate) fn receive(settings: &Settings, webhook: &RawWebhook) -> Result<Received, WebhookError> {
    if webhook.body.len() > MAX_WEBHOOK_BYTES {
        return Err(WebhookError::TooLarge);
    }
    signature::verify(&settings.second_keys, settings.accept_md5, webhook)?;
    // The parser's own words may quote the body.
    let malformed =
        |error: serde_json::Error| WebhookError::Malformed(format!("no notification of payu: {:?} error", error.classify()).into());
    let notice: Notice = serde_json::from_slice(&webhook.body).map_err(malformed)?;
    let (kind, dedup_key, order_id, ext_order_id) = match (&notice.order, &notice.refund, &notice.order_id) {
        (Some(order), _, _) => {
            if order.merchant_pos_id.as_ref().is_some_and(|pos_id| *pos_id != settings.pos_id) {
                return Err(WebhookError::WrongAccount);
            }
            (ORDER, format!("{}:{}", order.order_id, order.status), &order.order_id, &order.ext_order_id)
        }
        (None, Some(refund), Some(order_id)) => {
            (REFUND, format!("{order_id}:{}:{}", refund.refund_id, refund.status), order_id, &notice.ext_order_id)
        }
        // Something about neither: stored by nobody, and nothing to repeat.
        _ => return Ok(Received { notifications: Vec::new(), reply: Reply::ok() }),
    };
    let notification = Notification {
        dedup_key,
        kind: kind.to_owned(),
        reference: Some(PaymentRef::new(order_id)),
        payment_id: ext_order_id.as_deref().and_then(PaymentId::parse),
        mode: settings.mode,
        payload: serde_json::to_value(&notice).map_err(malformed)?,
    };
    Ok(Received { notifications: vec![notification], reply: Reply::ok() })
}
