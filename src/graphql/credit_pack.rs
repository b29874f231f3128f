//! Credit packs as operators make and change them, and how inputs say what credits a product gives.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::error::{payload, scope};
use super::price::{PriceInput, parse_prices};
use super::product::Product;
use super::scalar::input_id;
use crate::app::caller::Topic;
use crate::app::credit_pack::{self as app, CreditWish, Tie};

/// The credits of a new product, as its input says them.
pub(super) fn credit_wish(count: Option<i64>, days: Option<i64>, tied: Option<bool>) -> CreditWish {
    CreditWish { count, days, tie: tied.map(Tie::Own) }
}

/// Credits that are sold by themselves; what else there is to know of them stands on their product.
#[derive(Debug, Clone, SimpleObject)]
pub struct CreditPack {
    /// Title.
    title: String,
    /// Description; may be empty.
    description: String,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it last changed.
    touched_at: DateTime<Utc>,
    /// When it was archived.
    archived_at: Option<DateTime<Utc>>,
}

impl From<app::CreditPack> for CreditPack {
    fn from(pack: app::CreditPack) -> Self {
        let app::CreditPack { title, description, created_at, touched_at, archived_at, .. } = pack;
        Self { title, description, created_at, touched_at, archived_at }
    }
}

/// A credit pack to be made, with its product.
#[derive(Debug, InputObject)]
pub struct CreditPackCreateInput {
    /// Title.
    title: String,
    /// Description.
    #[graphql(default)]
    description: String,
    /// The product's SKU: 1 to 64 letters A to Z, digits, dots, underscores and hyphens; unique for ever, whatever the case.
    sku: String,
    /// The product's prices.
    prices: Vec<PriceInput>,
    /// The credits that one pack gives: 1 to 1,000,000,000.
    credits: i64,
    /// For how many days from the purchase they can be spent; without end when left out.
    credit_days: Option<i64>,
    /// The product whose courses' resources they pay for; when left out, they pay for any.
    credits_tied_to: Option<ID>,
}

payload! {
    /// What became of it.
    CreditPackCreatePayload {
        /// The pack, by its product: that has its id, SKU, prices, sale state and credits.
        credit_pack: Product
    }
}

/// What is to change of a credit pack. What is left out stays. SKU, sale state and credits change with `productUpdate`, prices with
/// `productPricesSet`.
#[derive(Debug, InputObject)]
pub struct CreditPackUpdateInput {
    /// Id of its product.
    id: ID,
    /// Title.
    title: Option<String>,
    /// Description.
    description: Option<String>,
    /// True archives it, false takes it back. Credits that were bought stay.
    archived: Option<bool>,
}

payload! {
    /// What became of it.
    CreditPackUpdatePayload {
        /// The pack, by its product.
        credit_pack: Product
    }
}

/// Mutations of credit packs.
#[derive(Debug, Default)]
pub struct CreditPackMutation;

#[Object]
impl CreditPackMutation {
    /// Makes a credit pack, a product that gives credits and nothing else, with its first SKU, prices and number of credits.
    async fn credit_pack_create(&self, ctx: &Context<'_>, input: CreditPackCreateInput) -> async_graphql::Result<CreditPackCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let tie = input.credits_tied_to.as_ref().map(|id| input_id(id, "creditsTiedTo", "product").map(Tie::To)).transpose()?;
            let cmd = app::CreditPackCreate {
                title: input.title,
                description: input.description,
                sku: input.sku,
                prices: parse_prices(&input.prices, &["prices"])?,
                credits: CreditWish { count: Some(input.credits), days: input.credit_days, tie },
            };
            app.credit_pack_create(caller, cmd).await
        };
        CreditPackCreatePayload::of(result.await)
    }

    /// Changes title or description of a credit pack, archives it or takes it back.
    async fn credit_pack_update(&self, ctx: &Context<'_>, input: CreditPackUpdateInput) -> async_graphql::Result<CreditPackUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let product = input_id(&input.id, "id", "credit pack")?;
            let CreditPackUpdateInput { title, description, archived, .. } = input;
            app.credit_pack_update(caller, app::CreditPackUpdate { product, title, description, archived }).await
        };
        CreditPackUpdatePayload::of(result.await)
    }
}
