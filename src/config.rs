//! Settings, read once at start.

use chrono_tz::Tz;
use domain::Currency;

/// What the shop is set to.
#[derive(Debug, Clone)]
pub struct ShopSettings {
    /// Name of the shop, for pages and receipts.
    pub name: String,
    /// Address under which buyers reach the shop, without a slash at the end.
    pub public_url: String,
    /// Base currency: prices in other currencies are converted from it.
    pub base_currency: Currency,
    /// Zone of days and windows where no company's is concerned.
    pub time_zone: Tz,
    /// Locale of texts where nothing else is asked for.
    pub locale: String,
    /// Whether prices include tax.
    pub prices_include_tax: bool,
    /// Whether an order can have more than one item.
    pub several_items_per_order: bool,
    /// Days for which answers to idempotency keys are kept.
    pub idempotency_days: u32,
    /// Days for which a cart's secret opens the guest's order.
    pub guest_order_days: u32,
    /// Hours for which a sign-in is good.
    pub sign_in_hours: u32,
    /// Days for which a signing key signs.
    pub signing_key_days: u32,
    /// Hours for which a one-time link works.
    pub link_hours: u32,
    /// Seconds after which a paid order that is not fulfilled is shown to the operator.
    pub paid_not_given_after_s: u32,
    /// Whether access ends when a dispute is lost.
    pub end_access_on_lost_dispute: bool,
}

impl Default for ShopSettings {
    fn default() -> Self {
        Self {
            name: "Bursar demo shop".to_owned(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            base_currency: Currency::parse("USD").expect("USD is a currency"),
            time_zone: Tz::UTC,
            locale: "en".to_owned(),
            prices_include_tax: true,
            several_items_per_order: true,
            idempotency_days: 30,
            guest_order_days: 7,
            sign_in_hours: 24,
            signing_key_days: 30,
            link_hours: 72,
            paid_not_given_after_s: 60,
            end_access_on_lost_dispute: true,
        }
    }
}
