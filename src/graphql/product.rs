//! Products: SKU, prices, sale state and terms of what is sold.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject, Union};
use chrono::{DateTime, Utc};
use domain::ProductId;
use domain::credit_sale::Change;
use domain::entitlement::Target;

use super::catalog::{Archived, Course, Library, Session, Sort, may_read, words};
use super::connection::{List, connection, wants_total};
use super::credit_pack::CreditPack;
use super::error::{answer, payload, scope};
use super::group::Group;
use super::loader::{FormTextsOf, PackOf, PricesOf, SkusOf, loaders};
use super::offer::{AccessTerms, ProductKind};
use super::price::Price;
use super::scalar::{input_id, named_enum};
use crate::app::caller::Topic;
use crate::app::catalog::{self, Key};
use crate::app::product as app;
use crate::error::Error;
use crate::page::ListName;

named_enum! {
    /// Whether a product makes new sales. Stopping ends no access.
    SaleState(domain::catalog::SaleState)
}

named_enum! {
    /// What buying a product gives: ENROL, the buyer or the learner who was named is enrolled; KEYS, activation keys that the buyer hands out.
    ProductFulfilment(domain::catalog::Fulfilment)
}

/// The commerce side of one library, course, session, group or credit pack: SKU, prices, sale state and terms change here only.
#[derive(Debug, Clone)]
pub struct Product(app::Product);

impl From<app::Product> for Product {
    fn from(product: app::Product) -> Self {
        Self(product)
    }
}

/// What a product sells.
#[derive(Clone, Union)]
pub enum ProductTarget {
    /// A library.
    Library(Library),
    /// A course.
    Course(Course),
    /// A group.
    Group(Group),
    /// A session.
    Session(Session),
    /// A credit pack.
    CreditPack(CreditPack),
}

/// A SKU that a product has or had; it stays reserved to it.
#[derive(Debug, Clone, SimpleObject)]
pub struct ReservedSku {
    /// The SKU as given.
    sku: String,
    /// Whether it is the product's SKU now.
    current: bool,
    /// Since when it is the product's.
    created_at: DateTime<Utc>,
}

/// What operators wrote for an order form, in one language.
#[derive(Debug, Clone, SimpleObject)]
pub struct FormText {
    /// The locale, in small letters.
    locale: String,
    /// The text, in Markdown.
    text: String,
}

/// What to write for an order form, in one language.
#[derive(Debug, InputObject)]
pub struct FormTextInput {
    /// The locale, such as `en` or `pl`.
    locale: String,
    /// The text, in Markdown; HTML in it is shown as text. Null takes the text of this locale away.
    text: Option<String>,
}

#[Object]
impl Product {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What it sells, as a kind.
    async fn kind(&self) -> ProductKind {
        self.0.kind.into()
    }

    /// What it sells.
    async fn target(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ProductTarget>> {
        let loaders = loaders(ctx)?;
        let Some(target) = self.0.target() else {
            return Ok(loaders.one(PackOf(self.0.target)).await?.map(|found| ProductTarget::CreditPack(found.into())));
        };
        Ok(match target {
            Target::Library(id) => loaders.one(id).await?.map(|found| ProductTarget::Library(found.into())),
            Target::Course(id) => loaders.one(id).await?.map(|found| ProductTarget::Course(found.into())),
            Target::Group(id) => loaders.one(id).await?.map(|found| ProductTarget::Group(found.into())),
            Target::Session(id) => loaders.one(id).await?.map(|found| ProductTarget::Session(found.into())),
            // Resources are rented, not sold.
            Target::Resource(_) => None,
        })
    }

    /// Title of what it sells.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// Its SKU: unique for ever, whatever the case.
    async fn sku(&self) -> &str {
        &self.0.sku
    }

    /// Every SKU that it has or had, oldest first.
    async fn skus(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ReservedSku>> {
        let reserved = loaders(ctx)?.list(SkusOf(self.0.id)).await?;
        let shown = |reserved: app::ReservedSku| {
            let current = reserved.sku.eq_ignore_ascii_case(&self.0.sku);
            ReservedSku { sku: reserved.sku, current, created_at: reserved.created_at }
        };
        Ok(reserved.into_iter().map(shown).collect())
    }

    /// Whether it makes new sales.
    async fn state(&self) -> SaleState {
        self.0.state.into()
    }

    /// Whether buyers can find it: on sale, not archived, and with something to sell.
    async fn listed(&self) -> bool {
        self.0.listed
    }

    /// How long access lasts, for later grants.
    async fn terms(&self) -> AccessTerms {
        self.0.terms.into()
    }

    /// What buying it gives.
    async fn fulfilment(&self) -> ProductFulfilment {
        self.0.fulfilment.into()
    }

    /// The credits that one unit gives, for later orders; null for none.
    async fn credits(&self) -> Option<u32> {
        self.0.gives.map(|gives| gives.count)
    }

    /// For how many days from the purchase its credits can be spent; null = without end.
    async fn credit_days(&self) -> Option<u32> {
        self.0.gives.and_then(|gives| gives.days)
    }

    /// The product whose courses' resources its credits pay for; null = they pay for any.
    async fn credits_tied_to(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Self>> {
        match self.0.gives.and_then(|gives| gives.tied_to) {
            Some(product) => Ok(loaders(ctx)?.one(product).await?.map(Self)),
            None => Ok(None),
        }
    }

    /// Days from issue within which its keys and seats are redeemed; null = as long as they would open something.
    async fn redeem_days(&self) -> Option<u32> {
        self.0.redeem_days
    }

    /// Whether coupons reach it.
    async fn couponable(&self) -> bool {
        self.0.couponable
    }

    /// Class of products that it is taxed with; STANDARD unless it was given another.
    async fn tax_class(&self) -> &str {
        self.0.tax_class.as_str()
    }

    /// What operators wrote for its order form, by locale.
    async fn form_texts(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<FormText>> {
        let texts = loaders(ctx)?.list(FormTextsOf(self.0.id)).await?;
        Ok(texts.into_iter().map(|text| FormText { locale: text.locale, text: text.markdown }).collect())
    }

    /// Its prices now, whatever their windows, in the order of being set.
    async fn prices(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Price>> {
        Ok(loaders(ctx)?.list(PricesOf(self.0.id)).await?.into_iter().map(Price::from).collect())
    }

    /// Every price that it has or had, the latest first.
    async fn price_history(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<Price>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                let list = ListName::new("priceHistory", &self.0.id)?;
                let page = app.price_history(caller, self.0.id, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (Key::At(row.recorded_at), row.id), Price::from)
            }
            .await,
        )
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it or what it sells last changed.
    async fn touched_at(&self) -> DateTime<Utc> {
        self.0.touched_at
    }

    /// When what it sells was archived.
    async fn archived_at(&self) -> Option<DateTime<Utc>> {
        self.0.archived_at
    }
}

/// How long access lasts: a number in the unit of the kind of product, or a fixed end, or neither for access without end.
#[derive(Debug, Default, InputObject)]
pub struct AccessTermsInput {
    /// Days, for courses (from the grant) and libraries (from the first start).
    days: Option<i64>,
    /// Calendar months from the grant, for groups.
    months: Option<i64>,
    /// A fixed end.
    ends_at: Option<DateTime<Utc>>,
}

/// What is to change of a product. What is left out stays.
#[derive(Debug, InputObject)]
pub struct ProductUpdateInput {
    /// The product.
    id: ID,
    /// A new SKU; the old one stays reserved to this product.
    sku: Option<String>,
    /// Whether it makes new sales.
    state: Option<SaleState>,
    /// How long access lasts, for later grants; null or an empty object = without end.
    terms: MaybeUndefined<AccessTermsInput>,
    /// Whether coupons reach it; orders that were placed keep what they were given.
    couponable: Option<bool>,
    /// Class of products that it is taxed with, for later orders: a name that `taxRatesSet` gives rates to. Where a country has no rate for it,
    /// that of STANDARD holds.
    tax_class: Option<String>,
    /// What buying it gives, for later orders.
    fulfilment: Option<ProductFulfilment>,
    /// The credits that one unit gives, for later orders: 1 to 1,000,000,000; null = none any more.
    credits: MaybeUndefined<i64>,
    /// For how many days from the purchase its credits can be spent; null = without end.
    credit_days: MaybeUndefined<i64>,
    /// The product whose courses' resources its credits pay for, in most cases itself; null = they pay for any.
    credits_tied_to: MaybeUndefined<ID>,
    /// Days from issue within which keys and seats are redeemed, of those issued later; null = as long as they would open something.
    redeem_days: MaybeUndefined<i64>,
    /// What the order form says, by locale; the texts of other locales stay.
    form_texts: Option<Vec<FormTextInput>>,
}

payload! {
    /// What became of it.
    ProductUpdatePayload {
        /// The product.
        product: Product
    }
}

/// Which products to list.
#[derive(Debug, Default, InputObject)]
pub struct ProductFilter {
    /// Words that each occur in title, description, SKU, provider or product code.
    search: Option<String>,
    /// Selling this kind only.
    kind: Option<ProductKind>,
    /// In this state only.
    state: Option<SaleState>,
    /// With this product code, whatever its case.
    product_code: Option<String>,
    /// Archived ones too?
    #[graphql(default)]
    archived: Archived,
}

/// Queries about products.
#[derive(Debug, Default)]
pub struct ProductQuery;

#[Object]
impl ProductQuery {
    /// One product, by id or by a SKU that it has or had, whatever its case.
    async fn product(&self, ctx: &Context<'_>, id: Option<ID>, sku: Option<String>) -> async_graphql::Result<Option<Product>> {
        may_read(ctx)?;
        let (app, caller) = scope(ctx)?;
        match (id, sku) {
            (Some(id), None) => match ProductId::parse(&id) {
                Some(id) => Ok(loaders(ctx)?.one(id).await?.map(Product)),
                None => Ok(None),
            },
            (None, Some(sku)) => Ok(answer(app.product_with_sku(caller, &sku).await)?.map(Product)),
            _ => answer(Err(Error::BadInput("Give either `id` or `sku`.".to_owned()))),
        }
    }

    /// Products in pages.
    async fn products(
        &self,
        ctx: &Context<'_>,
        filter: Option<ProductFilter>,
        #[graphql(default)] sort: Sort,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Product>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Catalog.read())?;
                let filter = filter.unwrap_or_default();
                let filter = app::ProductFilter {
                    words: words(filter.search.as_deref())?,
                    kind: filter.kind.map(|kind| kind.0),
                    state: filter.state.map(|state| state.0),
                    product_code: app::folded(filter.product_code.as_deref()),
                    archived: filter.archived.into(),
                };
                let sort = catalog::Sort::from(sort);
                let list = ListName::new("products", &(&filter, sort))?;
                let page = app.products(caller, &filter, sort, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (sort.key(&row.title, row.created_at, row.touched_at), row.id.uuid()), Product)
            }
            .await,
        )
    }
}

/// Mutations of products.
#[derive(Debug, Default)]
pub struct ProductMutation;

#[Object]
impl ProductMutation {
    /// Changes SKU, sale state, terms or credits of a product, or whether coupons reach it.
    async fn product_update(&self, ctx: &Context<'_>, input: ProductUpdateInput) -> async_graphql::Result<ProductUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let terms: Option<Option<AccessTermsInput>> = input.terms.into();
            let terms = terms.map(|terms| {
                let AccessTermsInput { days, months, ends_at } = terms.unwrap_or_default();
                app::TermsWish { days, months, ends_at }
            });
            let tied_to: Option<Option<ID>> = input.credits_tied_to.into();
            let tied_to = tied_to.map(|id| id.map(|id| input_id(&id, "creditsTiedTo", "product")).transpose()).transpose()?;
            let cmd = app::ProductUpdate {
                credits: Change { count: input.credits.into(), days: input.credit_days.into(), tied_to },
                id: input_id(&input.id, "id", "product")?,
                sku: input.sku,
                state: input.state.map(|state| state.0),
                terms,
                couponable: input.couponable,
                tax_class: input.tax_class,
                fulfilment: input.fulfilment.map(|fulfilment| fulfilment.0),
                redeem_days: input.redeem_days.into(),
                form_texts: input.form_texts.unwrap_or_default().into_iter().map(|text| (text.locale, text.text)).collect(),
            };
            app.product_update(caller, cmd).await
        };
        ProductUpdatePayload::of(result.await)
    }
}
