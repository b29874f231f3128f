//! Settings and secrets, read once.

use std::path::PathBuf;

use domain::Currency;
use gateway_http::{Secrets, Url, Usual, base_url, is_loopback, settings};
use port::{
    AmountLimits, Capabilities, CaptureMode, Currencies, GatewayError, Idempotency, IdempotencyKey, InstanceConfig, Lookup, Mode,
    PartialCapture, RefundSupport, VoidSupport, WebhookSupport, currencies,
};
use secrecy::SecretString;
use serde::Deserialize;

use crate::ADAPTER;
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
        let known = "client_id, webhook_id, display_name, brand_name, currencies, disputes, certificate_authority";
        let written: Written = settings(&mut config, ADAPTER, known)?;
        for (key, value) in [("client_id", &written.client_id), ("webhook_id", &written.webhook_id)] {
            if value.trim().is_empty() {
                return Err(GatewayError::config(key, "must not be empty; PayPal's developer dashboard shows it"));
            }
        }
        let currencies = currencies(written.currencies.as_deref(), &CURRENCIES, "PayPal", &CURRENCIES)?;
        let authority = written.certificate_authority.map(|path| authority(&base, &path)).transpose()?;
        let mut secrets = Secrets::of(&mut config, ADAPTER, &["client_secret"]);
        let client_secret = secrets.required("client_secret", "PayPal's developer dashboard shows it")?;
        secrets.done()?;
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
            // An order that the buyer has not agreed to cannot be called off.
            void: VoidSupport::Reserved,
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
