//! How notices of events leave the shop: by HTTP, to addresses that somebody else chose.
//!
//! Always true here: a request goes only to an address that was looked at after its name was resolved, redirects are not followed, no proxy is
//! asked, and nothing of an answer but its status is kept.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use domain::event::is_public;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use crate::app::event::{Notice, PostFault, Poster};
use crate::config::EventSettings;

/// Sends notices by HTTP.
pub struct HttpPoster {
    client: reqwest::Client,
    allow_private: bool,
}

impl std::fmt::Debug for HttpPoster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpPoster").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

impl HttpPoster {
    /// A poster as the settings say.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: &EventSettings) -> anyhow::Result<Self> {
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .context("TLS")?
            .with_root_certificates(rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
            .with_no_client_auth();
        let within = Duration::from_secs(settings.timeout_s.into());
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(PublicOnly { allow_private: settings.allow_private }))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(within)
            .timeout(within)
            .user_agent(concat!("Bursar/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("a client for events")?;
        Ok(Self { client, allow_private: settings.allow_private })
    }

    /// What is wrong with an address, if anything; a name is looked at again whenever it is resolved.
    fn fault(&self, url: &Url) -> Option<&'static str> {
        let https = url.scheme() == "https" || (self.allow_private && url.scheme() == "http");
        // Whatever way an IPv4 address was written in, it reads plainly here.
        let address = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        match address {
            _ if !https => Some("The address must begin with https://."),
            _ if url.username() != "" || url.password().is_some() => Some("The address must hold no user and no password."),
            _ if url.fragment().is_some() => Some("The address must end before the #."),
            Some(address) if !self.allow_private && !is_public(address) => Some(PRIVATE),
            _ => None,
        }
    }
}

const PRIVATE: &str = "The address is of this machine, of a private network, or set aside for something else. Give one of the public network; only \
                       the setting events.allow_private lets others pass.";

#[async_trait]
impl Poster for HttpPoster {
    async fn post(&self, notice: &Notice) -> Result<u16, PostFault> {
        let fault = |what: String| PostFault { status: None, what };
        let url = Url::parse(&notice.url).map_err(|error| fault(format!("the address cannot be read: {error}")))?;
        // The settings may have changed since the endpoint was made.
        if let Some(why) = self.fault(&url) {
            return Err(fault(why.to_owned()));
        }
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", notice.timestamp.to_string())
            .header("webhook-signature", &notice.signature)
            .body(notice.body.clone());
        let answer = request.send().await.map_err(|error| fault(chain(&error.without_url())))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let what = if status.is_redirection() {
            "the endpoint answered with a redirect, which is not followed"
        } else {
            "the endpoint did not take it"
        };
        Err(PostFault { status: Some(status.as_u16()), what: format!("{what}: {status}") })
    }

    fn check(&self, url: &str) -> Result<(), String> {
        let parsed = Url::parse(url).ok().filter(Url::has_host);
        let parsed = parsed.ok_or_else(|| "This is no address; write one such as https://hooks.example/bursar.".to_owned())?;
        self.fault(&parsed).map_or(Ok(()), |why| Err(why.to_owned()))
    }
}

/// Resolves names, and lets nobody connect to what is not public: the very addresses that are looked at are the ones connected to.
struct PublicOnly {
    allow_private: bool,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.collect();
            // One private address among public ones is as good as a private one: which is taken is chance.
            if !allow_private && addresses.iter().any(|address| !is_public(address.ip())) {
                return Err(PRIVATE.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        what = format!("{what}: {inner}");
        cause = inner.source();
    }
    what
}
