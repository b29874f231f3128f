//! What a front end needs to know of the shop itself.

use async_graphql::{ComplexObject, Context, InputObject, MaybeUndefined, Object, SimpleObject};

use super::error::{answer, payload, scope};
use super::sales_order::TokensOn;
use super::scalar::{CurrencyCode, named_enum};
use crate::app::caller::Topic;
use crate::app::shop as app;

named_enum! {
    /// How many mails an order of several items makes: one for the whole order, or one for each of its lines.
    OrderMails(domain::mail::OrderMails)
}

/// How mails and pages look.
#[derive(Debug, Clone, SimpleObject)]
pub struct Theme {
    /// Where the logo is, by https.
    pub logo: Option<String>,
    /// Colour of buttons and links, as #rrggbb.
    pub primary: String,
    /// The colour that can be read on it: black or white.
    pub on_primary: String,
    /// Colour of the ground.
    pub background: String,
    /// Colour of text.
    pub text: String,
    /// Fonts, the first that there is.
    pub font: String,
    /// A line at the foot.
    pub footer: Option<String>,
}

impl From<app::Theme> for Theme {
    fn from(theme: app::Theme) -> Self {
        let on_primary = theme.on_primary().to_owned();
        let app::Theme { logo, primary, background, text, font, footer } = theme;
        Self { logo, primary, on_primary, background, text, font, footer }
    }
}

/// What operators choose for the shop while it runs.
#[derive(Debug, Clone, SimpleObject)]
pub struct ShopSettings {
    /// How mails and pages look.
    pub theme: Theme,
    /// Who gets a copy of each confirmation, as a message of its own.
    pub owner_copies: Vec<String>,
    /// How many mails an order of several items makes.
    pub order_mails: OrderMails,
    /// How many days before its end a learner is told; 0 = never.
    pub access_notice_days: u32,
    /// When the seats of sales orders are given, where the company has no say of its own.
    pub tokens_on: TokensOn,
    /// Who sells, as invoices say it: name, address, tax number, in lines; null = the shop's name.
    pub invoice_seller: Option<String>,
}

impl From<app::Choices> for ShopSettings {
    fn from(choices: app::Choices) -> Self {
        Self {
            theme: choices.theme.into(),
            owner_copies: choices.owner_copies,
            order_mails: choices.order_mails.into(),
            access_notice_days: choices.access_notice_days,
            tokens_on: choices.tokens_on.into(),
            invoice_seller: choices.invoice_seller,
        }
    }
}

/// Facts of the shop.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
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

#[ComplexObject]
impl Shop {
    /// How its mails and pages look.
    async fn theme(&self, ctx: &Context<'_>) -> async_graphql::Result<Theme> {
        let (app, _) = scope(ctx)?;
        Ok(answer(app.theme().await)?.into())
    }
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

    /// What operators choose for the shop while it runs. Needs `settings:read`.
    async fn shop_settings(&self, ctx: &Context<'_>) -> async_graphql::Result<ShopSettings> {
        let (app, caller) = scope(ctx)?;
        Ok(answer(app.shop_settings(caller).await)?.into())
    }
}

/// How mails and pages shall look; what is left out stays.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ThemeInput {
    /// Where the logo is, by https; null takes it away.
    #[graphql(default)]
    pub logo: MaybeUndefined<String>,
    /// Colour of buttons and links, as #rrggbb.
    pub primary: Option<String>,
    /// Colour of the ground.
    pub background: Option<String>,
    /// Colour of text.
    pub text: Option<String>,
    /// Fonts with commas between them, the first that there is.
    pub font: Option<String>,
    /// A line at the foot; null takes it away.
    #[graphql(default)]
    pub footer: MaybeUndefined<String>,
}

/// What to choose for the shop; what is left out stays.
#[derive(Debug, Clone, InputObject)]
pub struct ShopSettingsUpdateInput {
    /// How mails and pages look.
    pub theme: Option<ThemeInput>,
    /// Who gets a copy of each confirmation: all of them; an empty list = nobody.
    pub owner_copies: Option<Vec<String>>,
    /// How many mails an order of several items makes.
    pub order_mails: Option<OrderMails>,
    /// How many days before its end a learner is told; 0 = never.
    pub access_notice_days: Option<u32>,
    /// When the seats of sales orders are given, where the company has no say of its own.
    pub tokens_on: Option<TokensOn>,
    /// Who sells, as invoices say it: name, address, tax number, in lines; null = the shop's name.
    #[graphql(default)]
    pub invoice_seller: MaybeUndefined<String>,
}

impl From<ShopSettingsUpdateInput> for app::ChoicesChange {
    fn from(input: ShopSettingsUpdateInput) -> Self {
        let theme = input.theme.unwrap_or_default();
        Self {
            theme: app::ThemeChange {
                logo: given(theme.logo),
                primary: theme.primary,
                background: theme.background,
                text: theme.text,
                font: theme.font,
                footer: given(theme.footer),
            },
            owner_copies: input.owner_copies,
            order_mails: input.order_mails.map(|mails| mails.0),
            access_notice_days: input.access_notice_days,
            tokens_on: input.tokens_on.map(|on| on.0),
            invoice_seller: given(input.invoice_seller),
        }
    }
}

/// `None` for what was left out, `Some(None)` for null.
fn given<T>(value: MaybeUndefined<T>) -> Option<Option<T>> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

payload! {
    /// What is chosen now.
    ShopSettingsUpdatePayload {
        /// The choices.
        shop_settings: ShopSettings
    }
}

/// Mutations of the shop itself.
#[derive(Debug, Default)]
pub struct ShopMutation;

#[Object]
impl ShopMutation {
    /// Chooses for the shop: its look, who gets copies of confirmations, how many mails an order makes. Needs `settings:write`.
    async fn shop_settings_update(
        &self,
        ctx: &Context<'_>,
        input: ShopSettingsUpdateInput,
    ) -> async_graphql::Result<ShopSettingsUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        let updated = async {
            caller.require(Topic::Settings.write())?;
            app.shop_settings_update(caller, input.into()).await
        };
        ShopSettingsUpdatePayload::of(updated.await)
    }
}
