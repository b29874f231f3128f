//! Stripe's reports: `Stripe-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t." + body>[,v1=…][,v0=…]`.
//!
//! Always true here: a signature is made and compared over the raw bytes, in constant time; `v0` is never looked at; an expected signature is
//! written nowhere. A report only names an object: what is true of it is read from Stripe afterwards.

use std::fmt;

use chrono::{DateTime, Utc};
use gateway_http::hex;
use hmac::{Hmac, KeyInit, Mac};
use port::WebhookError;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The header that carries the signature.
pub const HEADER: &str = "Stripe-Signature";

/// How far a signature's time may be from the shop's, in seconds, both ways.
pub const TOLERANCE_SECONDS: i64 = 300;

/// More signatures than this in one header are not looked at.
const MAX_SIGNATURES: usize = 8;

/// The secrets that are accepted.
pub(crate) struct Verifier(Vec<SecretString>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} secrets)", self.0.len())
    }
}

impl Verifier {
    /// A verifier with secrets that are not empty.
    pub(crate) fn new(secrets: Vec<SecretString>) -> Self {
        Self(secrets)
    }

    /// Accepts `body` if one of the header's signatures was made with one of the secrets, not long ago.
    pub(crate) fn verify(&self, header: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Result<(), WebhookError> {
        let header = header.ok_or(WebhookError::MissingSignature)?;
        let mut time = None;
        let mut signatures = Vec::new();
        for part in header.split(',') {
            match part.trim().split_once('=') {
                // A second time would leave open which one was signed.
                Some(("t", _)) if time.is_some() => return Err(WebhookError::MissingSignature),
                Some(("t", value)) => time = Some(value),
                Some(("v1", value)) if signatures.len() < MAX_SIGNATURES => signatures.extend(hex::decode(value)),
                _ => {}
            }
        }
        let time = time.ok_or(WebhookError::MissingSignature)?;
        let seconds: i64 = time.parse().map_err(|_| WebhookError::MissingSignature)?;
        if signatures.is_empty() {
            return Err(WebhookError::MissingSignature);
        }
        let made_by = |secret: &SecretString| signatures.iter().any(|signature| code(secret, time, body).verify_slice(signature).is_ok());
        if !self.0.iter().any(made_by) {
            return Err(WebhookError::BadSignature);
        }
        if now.timestamp().abs_diff(seconds) > TOLERANCE_SECONDS.unsigned_abs() {
            return Err(WebhookError::Stale);
        }
        Ok(())
    }
}

/// The secret is taken as it is written, `whsec_` included.
fn code(secret: &SecretString, time: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut code = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    code.update(time.as_bytes());
    code.update(b".");
    code.update(body);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by npm `stripe` 23.1.0, accepted by PyPI `stripe` 16.1.0.
    const BODY: &[u8] = br#"{"id":"evt_1","object":"event","type":"payment_intent.succeeded","data":{"object":{}}}"#;
    const SIGNATURE: &str = "9138fc0dca8803648b76c0505002e1bb00aef8475dd05eb8ac7684df60f8ee8f";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("an instant")
    }

    fn verify(secrets: &[&str], header: Option<&str>, body: &[u8], seconds: i64) -> Result<(), WebhookError> {
        Verifier::new(secrets.iter().map(|secret| SecretString::from(*secret)).collect()).verify(header, body, at(seconds))
    }

    const SECRET: &[&str] = &["whsec_test_secret"];

    #[test]
    fn the_vendors_vector_is_accepted_also_beside_others() {
        let wrong = "0".repeat(64);
        for header in [
            format!("t=1700000000,v1={SIGNATURE}"),
            format!("t=1700000000,v1={wrong},v1={SIGNATURE},v0={wrong}"),
            format!("v1={SIGNATURE}, t=1700000000"),
        ] {
            assert_eq!(verify(SECRET, Some(&header), BODY, 1_700_000_000), Ok(()), "{header}");
            assert_eq!(verify(&["whsec_new", SECRET[0]], Some(&header), BODY, 1_700_000_000), Ok(()), "while a secret is replaced");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let check = |header: Option<&str>, expected: WebhookError| {
            assert_eq!(verify(SECRET, header, BODY, 1_700_000_000), Err(expected), "{header:?}");
        };
        check(None, WebhookError::MissingSignature);
        for malformed in [
            String::new(),
            "t=1700000000".to_owned(),
            format!("v1={SIGNATURE}"),
            format!("t=1700000000,t=1700000001,v1={SIGNATURE}"),
            format!("t=now,v1={SIGNATURE}"),
            format!("t=1700000000,v0={SIGNATURE}"),
            format!("t=1700000000,V1={SIGNATURE}"),
        ] {
            check(Some(&malformed), WebhookError::MissingSignature);
        }
        check(Some(&format!("t=1700000000,v1={}", &SIGNATURE[..62])), WebhookError::BadSignature);
        check(Some(&format!("t=1700000001,v1={SIGNATURE}")), WebhookError::BadSignature);
        let good = format!("t=1700000000,v1={SIGNATURE}");
        assert_eq!(verify(&["whsec_other"], Some(&good), BODY, 1_700_000_000), Err(WebhookError::BadSignature));
        assert_eq!(verify(SECRET, Some(&good), b"{}", 1_700_000_000), Err(WebhookError::BadSignature));
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_both_ways() {
        let good = format!("t=1700000000,v1={SIGNATURE}");
        for (now, expected) in [
            (1_700_000_300, Ok(())),
            (1_700_000_301, Err(WebhookError::Stale)),
            (1_699_999_700, Ok(())),
            (1_699_999_699, Err(WebhookError::Stale)),
        ] {
            assert_eq!(verify(SECRET, Some(&good), BODY, now), expected, "{now}");
        }
    }
}
