//! The certificates with which PayPal signs its webhooks: from where they may come, whom they have to belong to, and the copies that are kept.
//!
//! Always true here: the address in the header is only ever one of PayPal's own, or it is not called; a certificate counts only with a chain to a
//! trusted authority, in its time, and for PayPal's name. Nothing of it is taken on the header's word.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use gateway_http::{Client, Method, Nature, Url, is_loopback};
use port::{Detail, GatewayError, Mode, OpContext, WebhookError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use tokio::sync::Mutex;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Where certificates are, below a host.
const PATH: [&str; 3] = ["v1", "notifications", "certs"];

/// Certificates that are kept: PayPal uses one at a time, and another while it is replaced.
const KEPT: usize = 8;

/// Hosts and names of one mode.
struct Home {
    hosts: &'static [&'static str],
    names: &'static [&'static str],
}

const LIVE: Home = Home { hosts: &["api.paypal.com", "api-m.paypal.com"], names: &["messageverificationcerts.paypal.com"] };
const SANDBOX: Home = Home {
    hosts: &["api.sandbox.paypal.com", "api-m.sandbox.paypal.com"],
    names: &["messageverificationcerts.sandbox.paypal.com", "messageverificationcerts.paypal.com"],
};

/// The certificates of an instance.
pub(crate) struct Certificates {
    home: &'static Home,
    /// The gateway's address where it is on this machine: a double's certificates come from there.
    local: Option<Url>,
    anchors: Vec<TrustAnchor<'static>>,
    kept: Mutex<HashMap<Url, Arc<Vec<CertificateDer<'static>>>>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("hosts", &self.home.hosts).field("anchors", &self.anchors.len()).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Those of a mode; `authority`, in PEM, is trusted instead of the public ones.
    pub(crate) fn new(mode: Mode, base: &Url, authority: Option<&[u8]>) -> Result<Self, GatewayError> {
        let wrong = |why: String| GatewayError::config("certificate_authority", why);
        let anchors = match authority {
            None => webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            Some(pem) => CertificateDer::pem_slice_iter(pem)
                .map(|certificate| {
                    let certificate = certificate.map_err(|error| wrong(format!("is no PEM file: {error}")))?;
                    anchor_from_trusted_cert(&certificate).map(|anchor| anchor.to_owned()).map_err(|error| wrong(error.to_string()))
                })
                .collect::<Result<Vec<_>, _>>()?,
        };
        if anchors.is_empty() {
            return Err(wrong("holds no certificate".to_owned()));
        }
        let home = if mode == Mode::Live { &LIVE } else { &SANDBOX };
        Ok(Self { home, local: is_loopback(base).then(|| base.clone()), anchors, kept: Mutex::new(HashMap::new()) })
    }

    /// Whether the certificate at `url` made `signature` over `message`.
    pub(crate) async fn verify(
        &self,
        ctx: &OpContext,
        url: &str,
        message: &[u8],
        signature: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), WebhookError> {
        let (url, id) = self.allowed(url).ok_or(WebhookError::BadSignature)?;
        let chain = self.chain(ctx, &url, &id).await?;
        match self.genuine(&chain, message, signature, now) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(host = url.host_str(), %error, "a webhook's certificate or signature is not accepted");
                Err(WebhookError::BadSignature)
            }
        }
    }

    /// The address, if it is one of PayPal's for certificates, and the certificate's id.
    fn allowed(&self, text: &str) -> Option<(Url, String)> {
        let url = Url::parse(text).ok()?;
        let ours = match &self.local {
            Some(base) => {
                url.scheme() == base.scheme() && url.host() == base.host() && url.port_or_known_default() == base.port_or_known_default()
            }
            None => url.scheme() == "https" && url.port().is_none() && url.host_str().is_some_and(|host| self.home.hosts.contains(&host)),
        };
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        let mut parts = url.path_segments()?;
        let path = PATH.iter().all(|part| parts.next() == Some(part));
        let id =
            parts.next().filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))?.to_owned();
        (ours && plain && path && parts.next().is_none()).then_some((url, id))
    }

    async fn chain(&self, ctx: &OpContext, url: &Url, id: &str) -> Result<Arc<Vec<CertificateDer<'static>>>, WebhookError> {
        // Held while fetching: whoever sends many forged headers has at most one call made at a time.
        let mut kept = self.kept.lock().await;
        if let Some(chain) = kept.get(url) {
            return Ok(chain.clone());
        }
        let mut root = url.clone();
        root.set_path("");
        let unavailable =
            |error: GatewayError| WebhookError::Unavailable(Detail::new(format!("the certificate cannot be fetched: {error}")));
        let client = Client::new(root, "paypal-debug-id").map_err(unavailable)?;
        let request = client.request(Method::GET, &[PATH[0], PATH[1], PATH[2], id]);
        let answer = client.send(ctx, Nature::Read, request).await.map_err(unavailable)?;
        if !answer.is_success() {
            return Err(WebhookError::BadSignature);
        }
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&answer.body).collect::<Result<_, _>>().map_err(|_| WebhookError::BadSignature)?;
        if kept.len() >= KEPT {
            kept.clear();
        }
        let chain = Arc::new(chain);
        kept.insert(url.clone(), chain.clone());
        Ok(chain)
    }

    fn genuine(&self, chain: &[CertificateDer<'_>], message: &[u8], signature: &[u8], now: DateTime<Utc>) -> Result<(), webpki::Error> {
        let (first, rest) = chain.split_first().ok_or(webpki::Error::UnknownIssuer)?;
        let leaf = EndEntityCert::try_from(first)?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.timestamp()).unwrap_or(0)));
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &self.anchors, rest, now, KeyUsage::server_auth(), None, None)?;
        let names = self.home.names.iter().filter_map(|name| ServerName::try_from(*name).ok());
        let mut named = Err(webpki::Error::UnsupportedNameType);
        for name in names {
            named = leaf.verify_is_valid_for_subject_name(&name);
            if named.is_ok() {
                break;
            }
        }
        named?;
        leaf.verify_signature(webpki::ring::RSA_PKCS1_2048_8192_SHA256, message, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(mode: Mode, base: &str, url: &str) -> bool {
        let base = Url::parse(base).expect("an address");
        Certificates::new(mode, &base, None).expect("certificates").allowed(url).is_some()
    }

    /// An address out of a header is called only where PayPal keeps its certificates.
    #[test]
    fn only_paypals_own_addresses_are_called() {
        let good = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-7a8abba9";
        assert!(allowed(Mode::Live, "https://api-m.paypal.com", good));
        assert!(allowed(Mode::Test, "https://api-m.sandbox.paypal.com", &good.replace("api.", "api.sandbox.")));
        assert!(!allowed(Mode::Live, "https://api-m.paypal.com", &good.replace("api.", "api.sandbox.")), "the sandbox signs no real money");
        assert!(!allowed(Mode::Test, "https://api-m.sandbox.paypal.com", good));
        for bad in [
            "http://api.paypal.com/v1/notifications/certs/CERT-1",
            "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
            "https://evil.example/v1/notifications/certs/CERT-1",
            "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
            "https://user@api.paypal.com/v1/notifications/certs/CERT-1",
            "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
            "https://api.paypal.com/v1/notifications/certs/../../../other/CERT-1",
            "https://api.paypal.com/v1/notifications/certs/CERT-1/more",
            "https://api.paypal.com/v1/notifications/certs/CERT-1?to=evil",
            "https://api.paypal.com/v1/notifications/certs/",
            "https://api.paypal.com/upload/CERT-1",
            "https://127.0.0.1/v1/notifications/certs/CERT-1",
            "file:///etc/passwd",
            "",
        ] {
            assert!(!allowed(Mode::Live, "https://api-m.paypal.com", bad), "{bad}");
        }
        let local = "http://127.0.0.1:8450/v1/notifications/certs/CERT-1";
        assert!(allowed(Mode::Test, "http://127.0.0.1:8450", local));
        assert!(!allowed(Mode::Test, "http://127.0.0.1:8451", local), "another port");
        assert!(!allowed(Mode::Test, "http://127.0.0.1:8450", good));
    }
}
