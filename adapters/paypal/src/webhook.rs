//! PayPal's webhooks: RSA over id, time, the webhook's id and a check sum of the raw body; then named.
//!
//! Always true here: the body is read only after its signature was found genuine, and of an event only the objects that it names are kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_32_ISO_HDLC, Crc};
use domain::PaymentId;
use port::{MAX_WEBHOOK_BYTES, Notification, OpContext, PaymentRef, RawWebhook, Received, Reply, WebhookError};

use crate::certificate::Certificates;
use crate::settings::Settings;
use crate::wire::{Event, Link, Named};

/// The one algorithm that PayPal signs with.
const ALGORITHM: &str = "SHA256withRSA";

const CHECK_SUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// What is signed.
pub(crate) fn message(id: &str, time: &str, webhook_id: &str, body: &[u8]) -> String {
    format!("{id}|{time}|{webhook_id}|{}", CHECK_SUM.checksum(body))
}

/// Authenticates a delivery.
pub(crate) async fn receive(
    settings: &Settings,
    certificates: &Certificates,
    ctx: &OpContext,
    webhook: &RawWebhook,
) -> Result<Received, WebhookError> {
    if webhook.body.len() > MAX_WEBHOOK_BYTES {
        return Err(WebhookError::TooLarge);
    }
    let header = |name: &str| webhook.header(name).filter(|value| !value.is_empty()).ok_or(WebhookError::MissingSignature);
    let (id, time) = (header("paypal-transmission-id")?, header("paypal-transmission-time")?);
    let (url, signature) = (header("paypal-cert-url")?, header("paypal-transmission-sig")?);
    if header("paypal-auth-algo")? != ALGORITHM {
        return Err(WebhookError::BadSignature);
    }
    let signature = STANDARD.decode(signature).map_err(|_| WebhookError::MissingSignature)?;
    let message = message(id, time, &settings.webhook_id, &webhook.body);
    certificates.verify(ctx, url, message.as_bytes(), &signature, webhook.received_at).await?;
    // The parser's own words may quote the body.
    let malformed = |error: serde_json::Error| WebhookError::Malformed(format!("no event of paypal: {:?} error", error.classify()).into());
    let event: Event = serde_json::from_slice(&webhook.body).map_err(malformed)?;
    let (named, payment_id) = named(&event);
    let notification = Notification {
        dedup_key: event.id,
        kind: event.event_type,
        reference: named.order.as_deref().map(PaymentRef::new),
        payment_id,
        mode: settings.mode,
        payload: serde_json::to_value(named).map_err(malformed)?,
    };
    Ok(Received { notifications: vec![notification], reply: Reply::ok() })
}

/// The objects that an event names.
fn named(event: &Event) -> (Named, Option<PaymentId>) {
    let resource = &event.resource;
    let related = resource.supplementary_data.as_ref().and_then(|data| data.related_ids.order_id.clone());
    let order = if event.event_type.starts_with("CHECKOUT.ORDER.") { resource.id.clone() } else { resource.order_id.clone().or(related) };
    let disputed = resource.disputed_transactions.first();
    let capture = disputed.and_then(|disputed| disputed.seller_transaction_id.clone()).or_else(|| up_to_capture(&resource.links));
    let ours = resource
        .custom_id
        .as_deref()
        .or_else(|| resource.purchase_units.first()?.custom_id.as_deref())
        .or_else(|| disputed?.custom.as_deref());
    (Named { order, capture }, ours.and_then(PaymentId::parse))
}

/// The capture that a refund links up to.
fn up_to_capture(links: &[Link]) -> Option<String> {
    let up = links.iter().find(|link| link.rel == "up" && link.href.contains("/payments/captures/"))?;
    up.href.rsplit('/').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the gateway's own library.
    #[test]
    fn the_message_is_the_one_that_paypal_signs() {
        let body = br#"{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED"}"#;
        assert_eq!(message("tid", "2026-01-01T00:00:00Z", "WHID", body), "tid|2026-01-01T00:00:00Z|WHID|2325436976");
    }
}
