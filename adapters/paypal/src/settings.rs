//! Settings and secrets, read once.

use std::path::PathBuf;

use domain::Currency;
use gateway_http::{Url, Usual, base_url, is_loopback};
use port::{
    AmountLimits, Capabilities, CaptureMode, Currencies, GatewayError, Idempotency, IdempotencyKey, InstanceConfig, Lookup, Mode,
    PartialCapture, RefundSupport, WebhookSupport,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::convert::CURRENCIES;

/// The gateway's addresses.
const USUAL: Usual = Usual { test: "https://api-m.sandbox.paypal.com", live: "https://api-m.paypal.com" };

/// Largest amount of one payment, in minor units.
const MAX_MINOR: i64 = 999_999_900;

/// The instance's `settings` as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    client_id: String,
    webhook_id: String,
    display_name: Option<String>,
    brand_name: Option<String>,
    currencies: Option<Vec<String>>,
    disputes: Option<bool>,
    certificate_authority: Option<PathBuf>,
}

/// The settings, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) id: String,
    pub(crate) mode: Mode,
    pub(crate) display_name: String,
    pub(crate) brand_name: Option<String>,
    pub(crate) client_id: String,
    pub(crate) webhook_id: String,
    pub(crate) currencies: Vec<Currency>,
    pub(crate) disputes: bool,
    pub(crate) base: Url,
    pub(crate) client_secret: SecretString,
    /// The authority of a double's certificates, in PEM.
    pub(crate) authority: Option<Vec<u8>>,
}

impl Settings {
    /// Checks `config`.
    pub(crate) fn read(mut config: InstanceConfig) -> Result<Self, GatewayError> {
        let base = base_url(&config, USUAL)?;
        let written: Written = serde_json::from_value(std::mem::take(&mut config.settings).into()).map_err(|error| {
            let known = "client_id, webhook_id, display_name, brand_name, currencies, disputes, certificate_authority";
            GatewayError::config("settings", format!("{error}; paypal has {known}"))
        })?;
        for (key, value) in [("client_id", &written.client_id), ("webhook_id", &written.webhook_id)] {
            if value.trim().is_empty() {
                return Err(GatewayError::config(key, "must not be empty; PayPal's developer dashboard shows it"));
            }
        }
        let currencies = match written.currencies {
            None => CURRENCIES.map(str::to_owned).to_vec(),
            Some(codes) if codes.is_empty() => return Err(GatewayError::config("currencies", "must name at least one currency")),
            Some(codes) => codes,
        };
        let currencies = currencies.iter().map(|code| currency(code)).collect::<Result<Vec<_>, _>>()?;
        let authority = written.certificate_authority.map(|path| authority(&base, &path)).transpose()?;
        let client_secret =
            config.secrets.remove("client_secret").filter(|secret| !secret.expose_secret().trim().is_empty()).ok_or_else(|| {
                GatewayError::config("client_secret", "is missing among the secrets; PayPal's developer dashboard shows it")
            })?;
        if let Some(unknown) = config.secrets.into_keys().next() {
            return Err(GatewayError::config(unknown, "is no secret of paypal, which has client_secret"));
        }
        Ok(Self {
            id: config.id,
            mode: config.mode,
            display_name: written.display_name.unwrap_or_else(|| "PayPal".to_owned()),
            brand_name: written.brand_name,
            client_id: written.client_id,
            webhook_id: written.webhook_id,
            currencies,
            disputes: written.disputes.unwrap_or(true),
            base,
            client_secret,
            authority,
        })
    }

    /// What PayPal can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let key = IdempotencyKey::OperationId;
        Capabilities {
            captures: vec![CaptureMode::Automatic, CaptureMode::Manual],
            partial_capture: PartialCapture::KeepsRest,
            multiple_capture: true,
            // What is reserved can be given back; an order that the buyer has not agreed to cannot be called off.
            void: false,
            refund: RefundSupport::Partial,
            refund_window_days: Some(180),
            currencies: Currencies::Only(self.currencies.clone()),
            limits: AmountLimits { min_minor: 1, max_minor: MAX_MINOR },
            webhooks: WebhookSupport::Signed,
            idempotency: Idempotency { start: key, capture: key, refund: key },
            lookup: Lookup::ByReference,
            visibility_delay: std::time::Duration::ZERO,
            redirect: true,
            client_secret: false,
            instructions: false,
            confirm_step: true,
            async_confirmation: true,
            disputes: self.disputes,
        }
    }
}

/// Whom a double's certificates are trusted from: never in place of the public authorities.
fn authority(base: &Url, path: &PathBuf) -> Result<Vec<u8>, GatewayError> {
    if !is_loopback(base) {
        return Err(GatewayError::config("certificate_authority", "is for a double on this machine only: leave it out, or set base_url"));
    }
    std::fs::read(path)
        .map_err(|error| GatewayError::config("certificate_authority", format!("{} cannot be read: {error}", path.display())))
}

fn currency(code: &str) -> Result<Currency, GatewayError> {
    let known = Currency::parse(code).map_err(|error| GatewayError::config("currencies", error.to_string()))?;
    if CURRENCIES.contains(&known.code()) {
        Ok(known)
    } else {
        Err(GatewayError::config("currencies", format!("PayPal does not take {known}; it takes {}", CURRENCIES.join(", "))))
    }
}
