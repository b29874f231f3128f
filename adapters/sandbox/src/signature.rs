//! Signatures of webhooks: `Sandbox-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t." + body>`.
//!
//! Always true here: signatures are made and compared over raw bytes, in constant time, and an expected signature is never written anywhere.

use std::fmt;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use port::WebhookError;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The header that carries the signature.
pub const HEADER: &str = "Sandbox-Signature";

/// How far a signature's time may be from the shop's, in seconds, both ways.
pub const TOLERANCE_SECONDS: i64 = 300;

/// More signatures than this in one header are not looked at.
const MAX_SIGNATURES: usize = 8;

/// The secrets of one instance: the first signs, all are accepted, so that a secret can be replaced without losing a delivery.
pub(crate) struct Signer(Vec<SecretString>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} secrets)", self.0.len())
    }
}

impl Signer {
    /// A signer over secrets that are not empty, the current one first.
    pub(crate) fn new(secrets: Vec<SecretString>) -> Self {
        Self(secrets)
    }

    /// The header's value for `body` sent at `now`.
    pub(crate) fn sign(&self, body: &[u8], now: DateTime<Utc>) -> String {
        let time = now.timestamp().to_string();
        let code = self.0.first().map(|secret| hex(&mac(secret, &time, body).finalize().into_bytes())).unwrap_or_default();
        format!("t={time},v1={code}")
    }

    /// Accepts `body` if one of the header's signatures was made with one of the secrets, not long ago.
    pub(crate) fn verify(&self, header: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Result<(), WebhookError> {
        let header = header.ok_or(WebhookError::MissingSignature)?;
        let mut time = None;
        let mut codes = Vec::new();
        for part in header.split(',') {
            match part.trim().split_once('=') {
                // A second time would leave open which one was signed.
                Some(("t", _)) if time.is_some() => return Err(WebhookError::MissingSignature),
                Some(("t", value)) => time = Some(value),
                Some(("v1", value)) if codes.len() < MAX_SIGNATURES => codes.extend(unhex(value)),
                _ => {}
            }
        }
        let time = time.ok_or(WebhookError::MissingSignature)?;
        let seconds: i64 = time.parse().map_err(|_| WebhookError::MissingSignature)?;
        if codes.is_empty() {
            return Err(WebhookError::MissingSignature);
        }
        let genuine = self.0.iter().any(|secret| codes.iter().any(|code| mac(secret, time, body).verify_slice(code).is_ok()));
        if !genuine {
            return Err(WebhookError::BadSignature);
        }
        if now.timestamp().abs_diff(seconds) > TOLERANCE_SECONDS.unsigned_abs() {
            return Err(WebhookError::Stale);
        }
        Ok(())
    }
}

fn mac(secret: &SecretString, time: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    digits.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1","object":"event","type":"payment_intent.succeeded","data":{"object":{}}}"#;
    const CODE: &str = "9138fc0dca8803648b76c0505002e1bb00aef8475dd05eb8ac7684df60f8ee8f";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("an instant")
    }

    fn signer(secrets: &[&str]) -> Signer {
        Signer::new(secrets.iter().map(|secret| SecretString::from(*secret)).collect())
    }

    /// The scheme is the one of a well-known gateway; this vector was made with that gateway's own library.
    #[test]
    fn a_foreign_vector_is_reproduced_and_accepted() {
        let signer = signer(&["whsec_test_secret"]);
        assert_eq!(signer.sign(BODY, at(1_700_000_000)), format!("t=1700000000,v1={CODE}"));
        let wrong = "0".repeat(64);
        for header in [
            format!("t=1700000000,v1={CODE}"),
            format!("t=1700000000,v1={wrong},v1={CODE},v0={wrong}"),
            format!("v1={CODE}, t=1700000000"),
            format!("t=1700000000,v1={}", CODE.to_uppercase()),
        ] {
            assert_eq!(signer.verify(Some(&header), BODY, at(1_700_000_000)), Ok(()), "{header}");
        }
    }

    #[test]
    fn both_secrets_are_accepted_during_a_rotation() {
        let (old, new, both) = (signer(&["old"]), signer(&["new"]), signer(&["new", "old"]));
        let now = at(1_800_000_000);
        assert_eq!(both.verify(Some(&old.sign(BODY, now)), BODY, now), Ok(()));
        assert_eq!(both.verify(Some(&new.sign(BODY, now)), BODY, now), Ok(()));
        assert_eq!(both.sign(BODY, now), new.sign(BODY, now));
        assert_eq!(new.verify(Some(&old.sign(BODY, now)), BODY, now), Err(WebhookError::BadSignature));
    }

    #[test]
    fn what_is_not_signed_like_this_is_refused() {
        let signer = signer(&["whsec_test_secret"]);
        let now = at(1_700_000_000);
        let good = format!("t=1700000000,v1={CODE}");
        let check =
            |header: Option<&str>, expected: WebhookError| assert_eq!(signer.verify(header, BODY, now), Err(expected), "{header:?}");
        check(None, WebhookError::MissingSignature);
        check(Some(""), WebhookError::MissingSignature);
        check(Some("t=1700000000"), WebhookError::MissingSignature);
        check(Some(&format!("v1={CODE}")), WebhookError::MissingSignature);
        check(Some(&format!("t=1700000000,t=1700000001,v1={CODE}")), WebhookError::MissingSignature);
        check(Some(&format!("t=now,v1={CODE}")), WebhookError::MissingSignature);
        check(Some(&format!("t=1700000000,v0={CODE}")), WebhookError::MissingSignature);
        check(Some(&format!("t=1700000000,v1={}", &CODE[..62])), WebhookError::MissingSignature);
        check(Some(&format!("t=1700000001,v1={CODE}")), WebhookError::BadSignature);
        for position in 0..BODY.len() {
            let mut flipped = BODY.to_vec();
            flipped[position] ^= 1;
            assert_eq!(signer.verify(Some(&good), &flipped, now), Err(WebhookError::BadSignature));
        }
    }

    #[test]
    fn a_signature_is_good_for_300_seconds_both_ways() {
        let signer = signer(&["whsec_test_secret"]);
        let header = format!("t=1700000000,v1={CODE}");
        for (now, expected) in [
            (1_700_000_300, Ok(())),
            (1_700_000_301, Err(WebhookError::Stale)),
            (1_699_999_700, Ok(())),
            (1_699_999_699, Err(WebhookError::Stale)),
        ] {
            assert_eq!(signer.verify(Some(&header), BODY, at(now)), expected, "{now}");
        }
    }
}
