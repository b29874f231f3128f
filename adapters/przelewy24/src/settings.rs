//! Settings and secrets, read once.

use domain::Currency;
use gateway_http::{Secrets, Url, Usual, base_url, settings};
use port::{
    AmountLimits, Capabilities, CaptureMode, Currencies, GatewayError, Idempotency, IdempotencyKey, InstanceConfig, Lookup, Mode,
    PartialCapture, RefundSupport, VoidSupport, WebhookSupport, currencies,
};
use secrecy::SecretString;
use serde::Deserialize;

use crate::ADAPTER;
use crate::convert::CURRENCIES;

/// The gateway's addresses.
const USUAL: Usual = Usual { test: "https://sandbox.przelewy24.pl", live: "https://secure.przelewy24.pl" };

/// Where a merchant finds the secrets.
const PANEL: &str = "Przelewy24's panel shows it";

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
        let known = "merchant_id, pos_id, display_name, currencies, country, channel";
        let written: Written = settings(&mut config, ADAPTER, known)?;
        let currencies = currencies(written.currencies.as_deref(), &["PLN"], "Przelewy24", &CURRENCIES)?;
        let country = written.country.unwrap_or_else(|| "PL".to_owned());
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(GatewayError::config("country", format!("{country:?} is no country; write two capital letters such as PL")));
        }
        let mut secrets = Secrets::of(&mut config, ADAPTER, &["api_key", "crc", "crc_previous"]);
        let api_key = secrets.required("api_key", PANEL)?;
        let crcs = secrets.rotated("crc", PANEL)?;
        secrets.done()?;
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
            void: VoidSupport::None,
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
