//! Signatures of notifications: `OpenPayu-Signature: sender=..;signature=..;algorithm=..;content=DOCUMENT` over body and second key.
//!
//! Always true here: the algorithm is SHA-256 unless the settings allow MD5 as well, whatever the header would like; signatures are compared in
//! constant time, and an expected one is written nowhere.

use gateway_http::hex;
use md5::Md5;
use port::{RawWebhook, WebhookError};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The names under which the header comes, the first one counts.
const HEADERS: [&str; 2] = ["OpenPayu-Signature", "X-OpenPayu-Signature"];

/// Accepts `webhook` if one of the keys signed it.
pub(crate) fn verify(keys: &[SecretString], accept_md5: bool, webhook: &RawWebhook) -> Result<(), WebhookError> {
    let header = HEADERS.iter().find_map(|name| webhook.header(name)).ok_or(WebhookError::MissingSignature)?;
    let (mut signature, mut algorithm) = (None, None);
    for part in header.split(';').map(str::trim) {
        match part.split_once('=') {
            // A second one would leave open which counts.
            Some(("signature", _)) if signature.is_some() => return Err(WebhookError::MissingSignature),
            Some(("algorithm", _)) if algorithm.is_some() => return Err(WebhookError::MissingSignature),
            Some(("signature", value)) => signature = hex::decode(value),
            Some(("algorithm", value)) => algorithm = Some(value),
            Some(("content", value)) if value != "DOCUMENT" => return Err(WebhookError::MissingSignature),
            _ => {}
        }
    }
    let (given, algorithm) = signature.zip(algorithm).ok_or(WebhookError::MissingSignature)?;
    let digest: fn(&[u8], &[u8]) -> Vec<u8> = match algorithm.to_ascii_uppercase().as_str() {
        "SHA-256" | "SHA256" => |body, key| Sha256::new().chain_update(body).chain_update(key).finalize().to_vec(),
        "MD5" if accept_md5 => |body, key| Md5::new().chain_update(body).chain_update(key).finalize().to_vec(),
        _ => return Err(WebhookError::BadSignature),
    };
    let genuine = keys.iter().any(|key| digest(&webhook.body, key.expose_secret().as_bytes()).ct_eq(&given).into());
    if genuine { Ok(()) } else { Err(WebhookError::BadSignature) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"order":{"orderId":"X","status":"COMPLETED"}}"#;
    const SHA: &str = "1f5cdc9faa232e4d4c61f439dd2743a744a0a56b622a7fb3ca529a18fb209478";
    const MD5: &str = "6c2738a98804ace1248e7a9165252059";

    fn check(name: &str, value: &str, accept_md5: bool) -> Result<(), WebhookError> {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let webhook = RawWebhook { headers, query: String::new(), body: BODY.to_vec(), received_at: chrono::DateTime::UNIX_EPOCH };
        verify(&["new".into(), "13a980d4f851f3d9a1cfc792fb1f5e50".into()], accept_md5, &webhook)
    }

    /// The MD5 vector is from a foreign library; the SHA-256 scheme is the one of PayU's simulator.
    #[test]
    fn foreign_vectors_are_accepted() {
        for name in HEADERS.into_iter().chain(["openpayu-signature", "OpenPayU-Signature"]) {
            assert_eq!(
                check(name, &format!("sender=checkout;signature={SHA};algorithm=SHA-256;content=DOCUMENT"), false),
                Ok(()),
                "{name}"
            );
        }
        assert_eq!(check("OpenPayU-Signature", &format!("signature={SHA};algorithm=SHA-256;sender=checkout"), false), Ok(()));
        assert_eq!(check("OpenPayu-Signature", &format!("sender=checkout;signature={MD5};algorithm=MD5;content=DOCUMENT"), true), Ok(()));
    }

    #[test]
    fn the_header_does_not_choose_the_algorithm() {
        let md5 = format!("signature={MD5};algorithm=MD5;content=DOCUMENT");
        assert_eq!(check("OpenPayu-Signature", &md5, false), Err(WebhookError::BadSignature));
        for algorithm in ["SHA-1", "NONE", "", "SHA-384"] {
            let header = format!("signature={SHA};algorithm={algorithm}");
            assert_eq!(check("OpenPayu-Signature", &header, true), Err(WebhookError::BadSignature), "{algorithm}");
        }
        assert_eq!(check("OpenPayu-Signature", &format!("signature={MD5};algorithm=SHA-256"), true), Err(WebhookError::BadSignature));
    }

    #[test]
    fn what_is_not_signed_like_this_is_refused() {
        for header in [
            String::new(),
            format!("signature={SHA}"),
            "algorithm=SHA-256".to_owned(),
            "signature=;algorithm".to_owned(),
            format!("signature={SHA};signature={SHA};algorithm=SHA-256"),
            format!("signature={SHA};algorithm=MD5;algorithm=SHA-256"),
            format!("signature={SHA};algorithm=SHA-256;content=OTHER"),
            format!("signature={};algorithm=SHA-256", &SHA[1..]),
        ] {
            assert_eq!(check("OpenPayu-Signature", &header, true), Err(WebhookError::MissingSignature), "{header}");
        }
        assert_eq!(check("Signature", &format!("signature={SHA};algorithm=SHA-256"), true), Err(WebhookError::MissingSignature));
        assert_eq!(
            check("OpenPayu-Signature", &format!("signature={};algorithm=SHA-256", &SHA[2..]), true),
            Err(WebhookError::BadSignature)
        );
    }
}
