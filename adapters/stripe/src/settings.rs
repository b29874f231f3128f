//! An instance's settings and secrets, read once.

use domain::Currency;
use gateway_http::{Secrets, Url, Usual, base_url, settings};
use port::{
    AmountLimits, Capabilities, CaptureMode, Currencies, GatewayError, Idempotency, IdempotencyKey, InstanceConfig, Lookup, Mode,
    PartialCapture, RefundSupport, VoidSupport, WebhookSupport, currencies,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{ADAPTER, convert};

/// The version of Stripe's API whose answers this adapter reads; sent with each call, whatever the account's own is.
pub const API_VERSION: &str = "2024-06-20";

/// Where the API is; test and live differ by the key.
const USUAL: Usual = Usual { test: "https://api.stripe.com", live: "https://api.stripe.com" };

/// How the buyer pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// On Stripe's page.
    Checkout,
    /// In Stripe's fields inside the shop's page.
    PaymentIntent,
}

/// The instance's `settings` as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    display_name: Option<String>,
    flow: Option<Flow>,
    currencies: Option<Vec<String>>,
    payment_method_types: Vec<String>,
    api_version: Option<String>,
}

/// The settings, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) id: String,
    pub(crate) mode: Mode,
    pub(crate) display_name: String,
    pub(crate) flow: Flow,
    pub(crate) currencies: Vec<Currency>,
    /// Stripe's names of ways to pay; empty = those that are switched on in its dashboard.
    pub(crate) payment_method_types: Vec<String>,
    pub(crate) api_version: String,
    pub(crate) base_url: Url,
    pub(crate) api_key: SecretString,
    /// The webhook secrets that are accepted, the current one first.
    pub(crate) webhook_secrets: Vec<SecretString>,
}

impl Settings {
    pub(crate) fn read(mut config: InstanceConfig) -> Result<Self, GatewayError> {
        let base_url = base_url(&config, USUAL)?;
        let known = "display_name, flow, currencies, payment_method_types, api_version";
        let written: Written = settings(&mut config, ADAPTER, known)?;
        let presented = convert::presented();
        let currencies = currencies(written.currencies.as_deref(), &presented, "Stripe", &presented)?;
        let mut secrets = Secrets::of(&mut config, ADAPTER, &["api_key", "webhook_secret", "webhook_secret_previous"]);
        let api_key = secrets.required("api_key", "name where the secret key is, such as { env = \"STRIPE_API_KEY\" }")?;
        check_key(api_key.expose_secret(), config.mode)?;
        let webhook_secrets = secrets.rotated(
            "webhook_secret",
            "Stripe shows it, as whsec_…, where the webhook's address is entered; without it no report can be believed",
        )?;
        secrets.done()?;
        Ok(Self {
            id: config.id,
            mode: config.mode,
            display_name: written.display_name.unwrap_or_else(|| "Card and more".to_owned()),
            flow: written.flow.unwrap_or(Flow::Checkout),
            currencies,
            payment_method_types: written.payment_method_types,
            api_version: written.api_version.unwrap_or_else(|| API_VERSION.to_owned()),
            base_url,
            api_key,
            webhook_secrets,
        })
    }

    /// What Stripe can do in this flow.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let key = IdempotencyKey::OperationId;
        Capabilities {
            captures: vec![CaptureMode::Automatic, CaptureMode::Manual],
            partial_capture: PartialCapture::ReleasesRest,
            multiple_capture: false,
            void: VoidSupport::Uncaptured,
            refund: RefundSupport::Partial,
            refund_window_days: None,
            currencies: Currencies::Only(self.currencies.clone()),
            limits: AmountLimits { min_minor: 1, max_minor: convert::MAX },
            webhooks: WebhookSupport::Signed,
            idempotency: Idempotency { start: key, capture: key, refund: key },
            lookup: Lookup::ByMerchantReference,
            // Lists show an object at once; a call whose answer is lost may still be at work.
            visibility_delay: std::time::Duration::from_secs(60),
            redirect: true,
            client_secret: self.flow == Flow::PaymentIntent,
            instructions: false,
            confirm_step: false,
            async_confirmation: true,
            disputes: true,
        }
    }
}

/// The key's first letters tell whether it moves real money.
fn check_key(key: &str, mode: Mode) -> Result<(), GatewayError> {
    let begins = |word: &str| key.starts_with(&format!("sk_{word}_")) || key.starts_with(&format!("rk_{word}_"));
    match mode {
        Mode::Test if begins("test") => Ok(()),
        Mode::Live if begins("live") => Ok(()),
        Mode::Test => Err(GatewayError::config("api_key", "is no secret key of test mode: it begins with sk_test_ or rk_test_")),
        Mode::Live => Err(GatewayError::config("api_key", "is no secret key of live mode: it begins with sk_live_ or rk_live_")),
    }
}
