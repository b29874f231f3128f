//! What a front end needs to know of the shop itself.

use async_graphql::{Context, Object, SimpleObject};

use super::error::scope;
use super::scalar::CurrencyCode;

/// Facts of the shop.
#[derive(Debug, Clone, SimpleObject)]
pub struct Shop {
    /// Its name.
    pub name: String,
    /// The currency that other currencies' prices are converted from.
    pub base_currency: CurrencyCode,
    /// The locale of texts where nothing else is asked for.
    pub locale: String,
    /// IANA zone of days where no company's is concerned.
    pub time_zone: String,
    /// Whether prices include tax.
    pub prices_include_tax: bool,
    /// Whether an order can have more than one item.
    pub several_items_per_order: bool,
    /// Whether the shop takes coupons.
    pub coupons_enabled: bool,
    /// Version of the server.
    pub version: &'static str,
}

/// Queries about the shop.
#[derive(Debug, Default)]
pub struct ShopQuery;

#[Object]
impl ShopQuery {
    /// The shop: its name, currency and habits.
    async fn shop(&self, ctx: &Context<'_>) -> async_graphql::Result<Shop> {
        let (app, _) = scope(ctx)?;
        let shop = &app.shop;
        Ok(Shop {
            name: shop.name.clone(),
            base_currency: shop.base_currency.into(),
            locale: shop.locale.clone(),
            time_zone: shop.time_zone.name().to_owned(),
            prices_include_tax: shop.prices_include_tax,
            several_items_per_order: shop.several_items_per_order,
            coupons_enabled: shop.coupons_enabled,
            version: env!("CARGO_PKG_VERSION"),
        })
    }
}
