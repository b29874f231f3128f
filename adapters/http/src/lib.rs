//! What payment adapters share when they call a gateway over HTTP.
//!
//! Always true here: a call is sent once, redirects are not followed, the caller's deadline is kept, and what came back is sorted by what it
//! proves: certainly not done ([`GatewayError::Unavailable`]) is told apart from sent without an answer ([`GatewayError::UnknownOutcome`]).
//! Neither addresses with their queries nor headers nor bodies are logged.
//!
//! - [`base_url`]: where the gateway is, from an instance's settings; [`settings`], [`Secrets`]: the rest of them.
//! - [`Client`], [`Nature`], [`Answer`]: a call and what came of it.
//! - [`AccessTokens`]: an OAuth token, asked for once however many need it.
//! - [`hex`]: signatures as text.

pub mod hex;
mod settings;
mod token;

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use chrono::DateTime;
use port::{Detail, GatewayError, InstanceConfig, Mode, OpContext};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;

pub use reqwest::{Method, RequestBuilder, Url};
pub use settings::{Secrets, settings};
pub use token::{AccessToken, AccessTokens};

/// How long a connection may take to open, whatever the deadline.
const CONNECT: Duration = Duration::from_secs(3);

/// Longest answer that is read; a gateway's objects are far smaller.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A gateway that asks for a longer pause than this is asked again after it all the same.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Where a gateway's API usually is.
#[derive(Debug, Clone, Copy)]
pub struct Usual {
    /// For test money.
    pub test: &'static str,
    /// For real money.
    pub live: &'static str,
}

/// The address of the gateway's API: `base_url` of the settings, or the usual one of the mode.
///
/// # Errors
/// [`GatewayError::Config`] on `base_url`: it is no address, has a user, query or fragment, is plain http to another machine, or real money
/// would go to this machine or to the gateway's test host.
pub fn base_url(config: &InstanceConfig, usual: Usual) -> Result<Url, GatewayError> {
    let wrong = |why: &str| GatewayError::config("base_url", why);
    let text = match (&config.base_url, config.mode) {
        (Some(text), _) => text.as_str(),
        (None, Mode::Test) => usual.test,
        (None, Mode::Live) => usual.live,
    };
    let url = Url::parse(text).map_err(|error| GatewayError::config("base_url", format!("{text:?} is no address: {error}")))?;
    if url.username() != "" || url.password().is_some() || url.query().is_some() || url.fragment().is_some() || !url.has_host() {
        return Err(wrong("must be scheme, host, port and path only; credentials belong into the secrets"));
    }
    match (url.scheme(), is_loopback(&url), config.mode) {
        ("https", false, _) | ("https" | "http", true, Mode::Test) => {}
        (_, true, Mode::Live) => {
            return Err(wrong("is an address of this machine, which takes no real money; leave it out, or set mode = \"test\""));
        }
        ("http", false, _) => return Err(wrong("must be https: plain http is for this machine only")),
        _ => return Err(wrong("must be an https address")),
    }
    let host = |text: &str| Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned));
    if config.mode == Mode::Live && host(usual.test) != host(usual.live) && host(usual.test).as_deref() == url.host_str() {
        return Err(wrong("is the gateway's test host, but mode is \"live\""));
    }
    Ok(url)
}

/// Whether an address is one of this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// What a call does at the gateway, which decides what its silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Only looks: silence is [`GatewayError::Unavailable`].
    Read,
    /// Changes something: silence is [`GatewayError::UnknownOutcome`].
    Write,
}

impl Nature {
    /// Silence, or an answer that proves nothing.
    pub fn untrusted(self, detail: impl Into<Detail>) -> GatewayError {
        match self {
            Self::Read => GatewayError::Unavailable(detail.into()),
            Self::Write => GatewayError::UnknownOutcome { reference: None, detail: detail.into() },
        }
    }
}

/// Calls one gateway.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    request_id: &'static str,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.base)
    }
}

impl Client {
    /// A client of the gateway at `base`, which tells its id of a request in the answer's header `request_id`.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when TLS cannot be set up.
    pub fn new(base: Url, request_id: &'static str) -> Result<Self, GatewayError> {
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| GatewayError::Unavailable(error.to_string().into()))?
            .with_root_certificates(rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            // A kept connection may just be closing: a write on it would end without an answer, and nobody would know what became of it.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| GatewayError::Unavailable(error.to_string().into()))?;
        Ok(Self { http, base, request_id })
    }

    /// Where the gateway is.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// A call to `path` below the gateway's address, each part of it escaped.
    pub fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            // Parts that would climb are dropped by the library, which makes the path a shorter one: a part that is empty or dots is escaped.
            let part = |part: &str| if matches!(part, "" | "." | "..") { "%".to_owned() } else { part.to_owned() };
            parts.pop_if_empty().extend(path.iter().map(|text| part(text)));
        }
        self.http.request(method, url)
    }

    /// Makes a call, once.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`]: the deadline had passed, or nobody could be reached. [`GatewayError::RateLimited`] for 429,
    /// [`GatewayError::Auth`] for 401 and 403. Silence, a broken or too long answer and 5xx: [`Nature::untrusted`]. Every other status is an
    /// [`Answer`], redirects included.
    pub async fn send(&self, ctx: &OpContext, nature: Nature, request: RequestBuilder) -> Result<Answer, GatewayError> {
        let remaining = ctx.remaining();
        if remaining.is_zero() {
            return Err(GatewayError::Unavailable("the deadline had passed before anything was sent".into()));
        }
        let (http, request) = request.timeout(remaining).build_split();
        let request = request.map_err(|error| GatewayError::invalid("request", error.without_url().to_string()))?;
        let (method, path, began) = (request.method().clone(), request.url().path().to_owned(), Instant::now());
        let outcome = self.exchange(nature, http.execute(request)).await;
        tracing::debug!(
            correlation_id = ctx.correlation_id,
            host = self.base.host_str(),
            %method,
            path,
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            outcome = %outcome.as_ref().map_or_else(ToString::to_string, |answer| answer.status.to_string()),
            "called a gateway"
        );
        self.sort(ctx, outcome?)
    }

    async fn exchange(
        &self,
        nature: Nature,
        sending: impl Future<Output = Result<reqwest::Response, reqwest::Error>>,
    ) -> Result<Answer, GatewayError> {
        let mut response = sending.await.map_err(|error| {
            let detail = reason(&error);
            if error.is_connect() { GatewayError::Unavailable(detail) } else { nature.untrusted(detail) }
        })?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(part)) if body.len() + part.len() <= MAX_ANSWER_BYTES => body.extend_from_slice(&part),
                Ok(Some(_)) => return Err(nature.untrusted(format!("the answer ({status}) is longer than any of this gateway"))),
                Ok(None) => break,
                Err(error) => return Err(nature.untrusted(reason(&error))),
            }
        }
        let request_id = headers.get(self.request_id).and_then(|id| id.to_str().ok()).map(str::to_owned);
        Ok(Answer { status, headers, body, nature, request_id })
    }

    /// Statuses that mean the same at every gateway.
    fn sort(&self, ctx: &OpContext, answer: Answer) -> Result<Answer, GatewayError> {
        match answer.status {
            401 | 403 => Err(GatewayError::Auth(answer.detail("the credentials were not accepted"))),
            429 => Err(GatewayError::RateLimited { retry_after: pause(&answer.headers, ctx) }),
            500.. => Err(answer.untrusted("the gateway is in trouble")),
            _ => Ok(answer),
        }
    }
}

/// Why a call has no answer. The error's own text holds the address, which may hold an id of the buyer's.
fn reason(error: &reqwest::Error) -> Detail {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    // The innermost cause is the system's: "connection refused".
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    Detail::new(cause.map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}")))
}

/// `Retry-After`, in seconds or as a date.
fn pause(headers: &HeaderMap, ctx: &OpContext) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - ctx.now).to_std().unwrap_or(Duration::ZERO),
    };
    Some(asked.min(LONGEST_PAUSE))
}

/// What a gateway answered. Printed without headers and body.
#[derive(Clone)]
pub struct Answer {
    /// HTTP status: below 500, and none of 401, 403, 429.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Vec<u8>,
    nature: Nature,
    request_id: Option<String>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Answer {
    /// Whether the gateway did what it was asked.
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// A header's value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of a success.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for 404; [`Answer::untrusted`] for any other status that is no success, and for a body that cannot be read:
    /// something was done, and what is not known. Adapters look at the refusals that their gateway documents first.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, GatewayError> {
        if self.status == 404 {
            return Err(GatewayError::NotFound);
        }
        if !self.is_success() {
            return Err(self.untrusted("an answer that is not expected"));
        }
        // The parser's message may quote the body.
        serde_json::from_slice(&self.body)
            .map_err(|error| self.untrusted(&format!("the answer cannot be read, at line {} column {}", error.line(), error.column())))
    }

    /// The body of a refusal, if it is what the gateway documents.
    pub fn refusal<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// This answer proves nothing.
    pub fn untrusted(&self, what: &str) -> GatewayError {
        self.nature.untrusted(self.detail(what))
    }

    /// A sentence for operators, with status and the gateway's id of the request.
    pub fn detail(&self, what: &str) -> Detail {
        let detail = Detail::new(format!("{what} (status {})", self.status));
        match &self.request_id {
            Some(id) => detail.with_request_id(id),
            None => detail,
        }
    }
}
