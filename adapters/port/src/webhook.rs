//! A gateway's report: raw, then authenticated and named, then resolved.
//!
//! Always true here: what was not authenticated never becomes a [`Notification`].

use std::fmt;

use chrono::{DateTime, Utc};
use domain::PaymentId;
use serde::{Deserialize, Serialize};

use crate::factory::Mode;
use crate::payment::PaymentRef;

/// Longest delivery that any gateway sends, in bytes.
pub const MAX_WEBHOOK_BYTES: usize = 1024 * 1024;

/// A delivery as it arrived. Printed without its contents.
#[derive(Clone, PartialEq, Eq)]
pub struct RawWebhook {
    /// Name and value of each header, in order.
    pub headers: Vec<(String, String)>,
    /// The raw query of the address, without the question mark.
    pub query: String,
    /// The body's bytes, untouched: signatures are made over them.
    pub body: Vec<u8>,
    /// The shop's instant of arrival.
    pub received_at: DateTime<Utc>,
}

impl RawWebhook {
    /// The header of that name, whatever its case; `None` also when it stands there more than once, because then no one value can be trusted.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }
}

impl fmt::Debug for RawWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("RawWebhook")
            .field("header_names", &names)
            .field("body_bytes", &self.body.len())
            .field("received_at", &self.received_at)
            .finish_non_exhaustive()
    }
}

/// An authenticated delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What it is about; empty when there is nothing for us in it.
    pub notifications: Vec<Notification>,
    /// What the gateway wants to hear once the notifications are stored.
    pub reply: Reply,
}

/// An answer to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Reply {
    /// 200 with a short text.
    pub fn ok() -> Self {
        Self { status: 200, content_type: "text/plain; charset=utf-8", body: "ok".to_owned() }
    }
}

/// One authenticated report about one object, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The same for every delivery of the same report, unique within the instance.
    pub dedup_key: String,
    /// The gateway's word for what happened.
    pub kind: String,
    /// The payment's reference at the gateway.
    pub reference: Option<PaymentRef>,
    /// Our attempt, where the report names it.
    pub payment_id: Option<PaymentId>,
    /// Test or live, as the report says.
    pub mode: Mode,
    /// The report itself, for `resolve` and for staff.
    pub payload: serde_json::Value,
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("dedup_key", &self.dedup_key)
            .field("kind", &self.kind)
            .field("reference", &self.reference)
            .field("payment_id", &self.payment_id)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(headers: &[(&str, &str)]) -> RawWebhook {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RawWebhook { headers, query: "key=hidden".to_owned(), body: b"hidden".to_vec(), received_at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn a_header_is_found_in_any_case_but_not_twice() {
        assert_eq!(webhook(&[("X-Sig", "a")]).header("x-sig"), Some("a"));
        assert_eq!(webhook(&[("X-Sig", "a"), ("x-sig", "b")]).header("X-Sig"), None);
        assert_eq!(webhook(&[]).header("X-Sig"), None);
    }

    #[test]
    fn printing_a_delivery_shows_no_contents() {
        let text = format!("{:?}", webhook(&[("X-Sig", "hidden")]));
        assert!(text.contains("X-Sig") && !text.contains("hidden"), "{text}");
    }
}
