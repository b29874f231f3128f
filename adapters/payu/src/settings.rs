//! Settings and secrets, read once.

use std::net::IpAddr;

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
const USUAL: Usual = Usual { test: "https://secure.snd.payu.com", live: "https://secure.payu.com" };

/// Points of sale that PayU publishes with their keys for everybody to try: no real money may be waited for there.
const PUBLIC_TEST_POS: [&str; 2] = ["300746", "145227"];

/// Where a merchant finds the secrets.
const PANEL: &str = "PayU's panel shows it";

/// Largest amount of one payment, in hundredths.
const MAX_MINOR: i64 = 999_999_999;

/// The instance's `settings` as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    pos_id: u64,
    client_id: Option<u64>,
    display_name: Option<String>,
    currencies: Option<Vec<String>>,
    auto_receive: Option<bool>,
    accept_md5: Option<bool>,
    customer_ip: Option<IpAddr>,
}

/// The settings, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) id: String,
    pub(crate) mode: Mode,
    pub(crate) display_name: String,
    pub(crate) pos_id: String,
    pub(crate) client_id: String,
    pub(crate) currencies: Vec<Currency>,
    pub(crate) auto_receive: bool,
    pub(crate) accept_md5: bool,
    pub(crate) customer_ip: IpAddr,
    pub(crate) base: Url,
    pub(crate) client_secret: SecretString,
    /// The second key in use first, the one that it replaces after it.
    pub(crate) second_keys: Vec<SecretString>,
}

impl Settings {
    /// Checks `config`.
    pub(crate) fn read(mut config: InstanceConfig) -> Result<Self, GatewayError> {
        let base = base_url(&config, USUAL)?;
        let known = "pos_id, client_id, display_name, currencies, auto_receive, accept_md5, customer_ip";
        let written: Written = settings(&mut config, ADAPTER, known)?;
        let pos_id = written.pos_id.to_string();
        if config.mode == Mode::Live && PUBLIC_TEST_POS.contains(&pos_id.as_str()) {
            return Err(GatewayError::config("pos_id", "is a point of sale that PayU gives to everybody for tests; mode is \"live\""));
        }
        let currencies = currencies(written.currencies.as_deref(), &["PLN"], "PayU", &CURRENCIES)?;
        let mut secrets = Secrets::of(&mut config, ADAPTER, &["client_secret", "second_key", "second_key_previous"]);
        let client_secret = secrets.required("client_secret", PANEL)?;
        let second_keys = secrets.rotated("second_key", PANEL)?;
        secrets.done()?;
        Ok(Self {
            id: config.id,
            mode: config.mode,
            display_name: written.display_name.unwrap_or_else(|| "PayU".to_owned()),
            client_id: written.client_id.map_or_else(|| pos_id.clone(), |id| id.to_string()),
            pos_id,
            currencies,
            auto_receive: written.auto_receive.unwrap_or(true),
            accept_md5: written.accept_md5.unwrap_or(false),
            customer_ip: written.customer_ip.unwrap_or(IpAddr::from([127, 0, 0, 1])),
            base,
            client_secret,
            second_keys,
        })
    }

    /// What PayU can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let natural = IdempotencyKey::NaturalKey;
        Capabilities {
            captures: vec![if self.auto_receive { CaptureMode::Automatic } else { CaptureMode::Manual }],
            partial_capture: PartialCapture::None,
            multiple_capture: false,
            void: VoidSupport::Uncaptured,
            refund: RefundSupport::Partial,
            refund_window_days: None,
            currencies: Currencies::Only(self.currencies.clone()),
            limits: AmountLimits { min_minor: 1, max_minor: MAX_MINOR },
            webhooks: WebhookSupport::Signed,
            idempotency: Idempotency { start: natural, capture: natural, refund: natural },
            lookup: Lookup::ByReference,
            visibility_delay: std::time::Duration::ZERO,
            redirect: true,
            client_secret: false,
            instructions: false,
            confirm_step: false,
            async_confirmation: true,
            disputes: false,
        }
    }
}
