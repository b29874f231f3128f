//! Settings and secrets, read once.

use domain::Currency;
use gateway_http::{Url, Usual, base_url};
use port::{
    AmountLimits, Capabilities, CaptureMode, Currencies, GatewayError, Idempotency, IdempotencyKey, InstanceConfig, Lookup, Mode,
    PartialCapture, RefundSupport, WebhookSupport,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::convert::CURRENCIES;

/// The gateway's addresses.
const USUAL: Usual = Usual { test: "https://sandbox.przelewy24.pl", live: "https://secure.przelewy24.pl" };

/// Largest amount of one payment, in hundredths.
const MAX_MINOR: i64 = 999_999_999;

/// The instance's `settings` as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    merchant_id: u64,
    pos_id: Option<u64>,
    display_name: Option<String>,
    currencies: Option<Vec<String>>,
    country: Option<String>,
    channel: Option<u32>,
}

/// The settings, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) id: String,
    pub(crate) mode: Mode,
    pub(crate) display_name: String,
    pub(crate) merchant_id: u64,
    pub(crate) pos_id: u64,
    pub(crate) currencies: Vec<Currency>,
    pub(crate) country: String,
    pub(crate) channel: Option<u32>,
    pub(crate) base: Url,
    /// Where refunds are reported to: the shop's address for this instance.
    pub(crate) webhook_url: String,
    pub(crate) api_key: SecretString,
    /// The CRC in use first, the one that it replaces after it.
    pub(crate) crcs: Vec<SecretString>,
}

impl Settings {
    /// Checks `config`.
    pub(crate) fn read(mut config: InstanceConfig) -> Result<Self, GatewayError> {
        let base = base_url(&config, USUAL)?;
        let written: Written = serde_json::from_value(std::mem::take(&mut config.settings).into()).map_err(|error| {
            let known = "merchant_id, pos_id, display_name, currencies, country, channel";
            GatewayError::config("settings", format!("{error}; przelewy24 has {known}"))
        })?;
        let currencies = match written.currencies {
            None => vec!["PLN".to_owned()],
            Some(codes) if codes.is_empty() => return Err(GatewayError::config("currencies", "must name at least one currency")),
            Some(codes) => codes,
        };
        let currencies = currencies.iter().map(|code| currency(code)).collect::<Result<Vec<_>, _>>()?;
        let country = written.country.unwrap_or_else(|| "PL".to_owned());
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(GatewayError::config("country", format!("{country:?} is no country; write two capital letters such as PL")));
        }
        let mut secret = |name: &str| config.secrets.remove(name).filter(|secret| !secret.expose_secret().trim().is_empty());
        let missing = |name: &str| GatewayError::config(name, "is missing among the secrets; the gateway's panel shows it");
        let api_key = secret("api_key").ok_or_else(|| missing("api_key"))?;
        let crc = secret("crc").ok_or_else(|| missing("crc"))?;
        let crcs = [Some(crc), secret("crc_previous")].into_iter().flatten().collect();
        if let Some(unknown) = config.secrets.into_keys().next() {
            return Err(GatewayError::config(unknown, "is empty or no secret of przelewy24, which has api_key, crc, crc_previous"));
        }
        Ok(Self {
            webhook_url: format!("{}/webhooks/{}", config.public_url.trim_end_matches('/'), config.id),
            id: config.id,
            mode: config.mode,
            display_name: written.display_name.unwrap_or_else(|| "Przelewy24".to_owned()),
            merchant_id: written.merchant_id,
            pos_id: written.pos_id.unwrap_or(written.merchant_id),
            currencies,
            country,
            channel: written.channel,
            base,
            api_key,
            crcs,
        })
    }

    /// What Przelewy24 can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let natural = IdempotencyKey::NaturalKey;
        Capabilities {
            captures: vec![CaptureMode::Automatic],
            partial_capture: PartialCapture::None,
            multiple_capture: false,
            void: false,
            refund: RefundSupport::Partial,
            refund_window_days: None,
            currencies: Currencies::Only(self.currencies.clone()),
            limits: AmountLimits { min_minor: 1, max_minor: MAX_MINOR },
            webhooks: WebhookSupport::Signed,
            idempotency: Idempotency { start: natural, capture: natural, refund: natural },
            lookup: Lookup::ByMerchantReference,
            visibility_delay: std::time::Duration::from_secs(300),
            redirect: true,
            client_secret: false,
            instructions: false,
            confirm_step: true,
            async_confirmation: true,
            disputes: false,
        }
    }
}

fn currency(code: &str) -> Result<Currency, GatewayError> {
    let known = Currency::parse(code).map_err(|error| GatewayError::config("currencies", error.to_string()))?;
    if CURRENCIES.contains(&known.code()) {
        Ok(known)
    } else {
        Err(GatewayError::config("currencies", format!("Przelewy24 does not take {known}; it takes {}", CURRENCIES.join(", "))))
    }
}
