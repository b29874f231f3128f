//! The sandbox's settings and secrets, read once.

use std::path::PathBuf;

use domain::Currency;
use port::{AmountLimits, Capabilities, CaptureMode, Currencies, GatewayError, Idempotency, IdempotencyKey, Lookup, Mode, PartialCapture};
use port::{InstanceConfig, RefundSupport, VoidSupport, WebhookSupport};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Largest amount of one payment, in minor units.
const MAX_MINOR: i64 = 1_000_000_000_000;

/// The instance's `settings` as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    /// What buyers read.
    display_name: Option<String>,
    /// Where the state is kept, instead of the program's data directory.
    state_dir: Option<PathBuf>,
    /// Codes of the currencies to accept; all when not given.
    currencies: Option<Vec<String>>,
    /// Scheme, host and port to deliver webhooks to, instead of those of the webhook address: a loopback address of the shop.
    deliver_to: Option<String>,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) state_dir: PathBuf,
    pub(crate) currencies: Currencies,
    pub(crate) deliver_to: Option<Url>,
    pub(crate) public_url: String,
    /// The webhook secrets, the signing one first; empty when the state's own is to be used.
    pub(crate) secrets: Vec<SecretString>,
}

impl Settings {
    /// Checks `config`.
    pub(crate) fn read(config: InstanceConfig) -> Result<Self, GatewayError> {
        if config.mode == Mode::Live {
            return Err(GatewayError::config("mode", "the sandbox moves no money and refuses to load in live mode; use mode = \"test\""));
        }
        if config.id.is_empty() {
            return Err(GatewayError::config("id", "must not be empty"));
        }
        let written: Written = serde_json::from_value(config.settings.into()).map_err(|error| {
            GatewayError::config("settings", format!("{error}; the sandbox has display_name, state_dir, currencies, deliver_to"))
        })?;
        let state_dir = written.state_dir.or(config.data_dir).ok_or_else(|| {
            GatewayError::config(
                "state_dir",
                "the sandbox keeps its own state in a directory: name one here, or start with a data directory",
            )
        })?;
        let currencies = match written.currencies {
            None => Currencies::Any,
            Some(codes) => codes
                .iter()
                .map(|code| Currency::parse(code).map_err(|error| GatewayError::config("currencies", error.to_string())))
                .collect::<Result<Vec<_>, _>>()
                .map(Currencies::Only)?,
        };
        let deliver_to =
            written.deliver_to.map(|text| loopback(&text).map_err(|why| GatewayError::config("deliver_to", why))).transpose()?;
        if http_url(&config.public_url).is_none() {
            return Err(GatewayError::config("public_url", "must be an http or https address"));
        }
        let mut secrets = Vec::new();
        let mut given = config.secrets;
        for key in ["webhook_secret", "webhook_secret_previous"] {
            if let Some(secret) = given.remove(key) {
                if secret.expose_secret().is_empty() {
                    return Err(GatewayError::config(key, "must not be empty"));
                }
                if key == "webhook_secret_previous" && secrets.is_empty() {
                    return Err(GatewayError::config(key, "needs a webhook_secret that replaces it"));
                }
                secrets.push(secret);
            }
        }
        if let Some(unknown) = given.into_keys().next() {
            return Err(GatewayError::config(unknown, "is no secret of the sandbox, which has webhook_secret and webhook_secret_previous"));
        }
        Ok(Self {
            id: config.id,
            display_name: written.display_name.unwrap_or_else(|| "Sandbox (no real money)".to_owned()),
            state_dir,
            currencies,
            deliver_to,
            public_url: config.public_url.trim_end_matches('/').to_owned(),
            secrets,
        })
    }

    /// What the sandbox can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let key = IdempotencyKey::OperationId;
        Capabilities {
            captures: vec![CaptureMode::Automatic, CaptureMode::Manual],
            partial_capture: PartialCapture::ReleasesRest,
            multiple_capture: false,
            void: VoidSupport::Uncaptured,
            refund: RefundSupport::Partial,
            refund_window_days: None,
            currencies: self.currencies.clone(),
            limits: AmountLimits { min_minor: 1, max_minor: MAX_MINOR },
            webhooks: WebhookSupport::Signed,
            idempotency: Idempotency { start: key, capture: key, refund: key },
            lookup: Lookup::ByMerchantReference,
            visibility_delay: std::time::Duration::ZERO,
            redirect: true,
            client_secret: false,
            instructions: false,
            confirm_step: false,
            async_confirmation: true,
            disputes: true,
        }
    }
}

/// An absolute http or https address.
pub(crate) fn http_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// An http address on this machine: the only place where the sandbox sends anything.
pub(crate) fn loopback(text: &str) -> Result<Url, &'static str> {
    let url = http_url(text).filter(|url| url.scheme() == "http").ok_or("must be an http address of this machine")?;
    let local = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    };
    if local { Ok(url) } else { Err("must be an address of this machine, such as http://127.0.0.1:8080") }
}
