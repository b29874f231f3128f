//! Providers, courses, sessions and libraries, as operators see and change them.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::catalog::ProductFields;
use domain::{CourseId, LibraryId, ProviderId};

use super::connection::{Finder, List, connection, exported, wants_total};
use super::credit_pack::credit_wish;
use super::error::{answer, payload, scope};
use super::loader::{CoursesOf, LibrariesOf, ProductOf, ResourcesOf, SessionsOf, loaders};
use super::offer::CourseKind;
use super::price::{DiscountSchedule, PriceInput, parse_prices};
use super::product::{Product, SaleState};
use super::resource::Resource;
use super::royalty::RoyaltyPlan;
use super::scalar::{Long, Money, input_id, input_ids, instant, local_time};
use crate::app::caller::Topic;
use crate::app::catalog as app;
use crate::app::export::Export;
use crate::app::product::{TermsWish, folded};
use crate::error::{Error, Result};
use crate::page::ListName;

/// Whether a list holds what was archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum)]
#[graphql(name = "ArchivedFilter")]
pub enum Archived {
    /// Only what was not archived.
    #[default]
    Without,
    /// Both.
    With,
    /// Only what was archived.
    Only,
}

impl From<Archived> for app::Archived {
    fn from(archived: Archived) -> Self {
        match archived {
            Archived::Without => Self::Without,
            Archived::With => Self::With,
            Archived::Only => Self::Only,
        }
    }
}

/// What a list of the catalogue is sorted by; equal ones by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum)]
#[graphql(name = "CatalogSort")]
pub enum Sort {
    /// Title or name, whatever the case.
    #[default]
    Title,
    /// Newest first.
    Newest,
    /// Last changed first.
    Touched,
}

impl From<Sort> for app::Sort {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Title => Self::Title,
            Sort::Newest => Self::Newest,
            Sort::Touched => Self::Touched,
        }
    }
}

/// The folded words of a search.
///
/// # Errors
/// Too long, or too many words.
pub fn words(search: Option<&str>) -> Result<Vec<String>> {
    domain::text::search_words(search.unwrap_or_default()).map_err(|reason| Error::BadInput(format!("`search`: {reason}")))
}

/// The id of a filter. One that is malformed is an id of nothing, which no row has.
pub fn filter_id<K: domain::id::Kind>(id: Option<&ID>) -> Option<domain::id::Id<K>> {
    id.map(|id| domain::id::Id::parse(id).unwrap_or(domain::id::Id::new(uuid::Uuid::nil())))
}

// ---- providers ------------------------------------------------------------------------------------------------------------------

/// Who courses come from.
#[derive(Debug, Clone)]
pub struct Provider(app::Provider);

impl From<app::Provider> for Provider {
    fn from(provider: app::Provider) -> Self {
        Self(provider)
    }
}

#[Object]
impl Provider {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Name; unique whatever the case.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Its https address.
    async fn website(&self) -> Option<&str> {
        self.0.website.as_deref()
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn touched_at(&self) -> DateTime<Utc> {
        self.0.touched_at
    }

    /// When it was archived.
    async fn archived_at(&self) -> Option<DateTime<Utc>> {
        self.0.archived_at
    }
}

/// A provider to be made or changed. What is left out stays.
#[derive(Debug, InputObject)]
pub struct ProviderSetInput {
    /// The provider to change; without it, a new one is made.
    id: Option<ID>,
    /// Name; needed for a new one.
    name: Option<String>,
    /// Its https address; null takes it away.
    website: MaybeUndefined<String>,
    /// True archives it, false takes it back.
    archived: Option<bool>,
}

payload! {
    /// What became of it.
    ProviderSetPayload {
        /// The provider.
        provider: Provider
    }
}

/// Which providers to list.
#[derive(Debug, Default, InputObject)]
pub struct ProviderFilter {
    /// Words that all occur in the name.
    search: Option<String>,
    /// Archived ones too?
    #[graphql(default)]
    archived: Archived,
}

// ---- courses --------------------------------------------------------------------------------------------------------------------

/// A learning object, as operators see it.
#[derive(Debug, Clone)]
pub struct Course(app::Course);

impl From<app::Course> for Course {
    fn from(course: app::Course) -> Self {
        Self(course)
    }
}

#[Object]
impl Course {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Its key; unique whatever the case, for spreadsheets and imports.
    async fn key(&self) -> &str {
        &self.0.key
    }

    /// What it is.
    async fn kind(&self) -> CourseKind {
        self.0.kind.into()
    }

    /// Title.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// Description; may be empty.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// Who it comes from.
    async fn provider(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Provider>> {
        match self.0.provider {
            Some(provider) => Ok(loaders(ctx)?.one(provider).await?.map(Provider)),
            None => Ok(None),
        }
    }

    /// Whether and how it is sold alone. Inside libraries it is sold whatever this says.
    async fn commerce(&self, ctx: &Context<'_>) -> async_graphql::Result<CourseCommerce> {
        let product = loaders(ctx)?.one(ProductOf(self.0.id.uuid())).await?;
        Ok(CourseCommerce {
            enabled: self.0.commerce_on,
            days: product.as_ref().and_then(|product| product.terms.value),
            product: product.map(Product::from),
        })
    }

    /// Its product, if it is or was sold alone; the same as `commerce.product`.
    async fn product(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Product>> {
        Ok(loaders(ctx)?.one(ProductOf(self.0.id.uuid())).await?.map(Product::from))
    }

    /// The dated sessions of an EVENT, in order of their start.
    async fn sessions(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Session>> {
        Ok(loaders(ctx)?.list(SessionsOf(self.0.id)).await?.into_iter().map(Session).collect())
    }

    /// Its resources in their order, with what renting them costs.
    async fn resources(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Resource>> {
        Ok(loaders(ctx)?.list(ResourcesOf(self.0.id)).await?.into_iter().map(Resource::from).collect())
    }

    /// The libraries that hold it, by title.
    async fn libraries(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Library>> {
        Ok(loaders(ctx)?.list(LibrariesOf(self.0.id)).await?.into_iter().map(Library).collect())
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn touched_at(&self) -> DateTime<Utc> {
        self.0.touched_at
    }

    /// When it was archived.
    async fn archived_at(&self) -> Option<DateTime<Utc>> {
        self.0.archived_at
    }
}

/// Whether and how a course is sold alone.
#[derive(Debug, Clone, SimpleObject)]
pub struct CourseCommerce {
    /// Whether it is sold alone.
    enabled: bool,
    /// Days of access from the grant, for later grants; null for no end or a fixed one (see the product's `terms`).
    days: Option<u32>,
    /// Its product: made the first time the setting was on, and kept.
    product: Option<Product>,
}

/// A course to be made.
#[derive(Debug, InputObject)]
pub struct CourseCreateInput {
    /// Its key, 1 to 62 letters A to Z, digits, dots, underscores and hyphens; made from the title when left out.
    key: Option<String>,
    /// What it is.
    #[graphql(default_with = "CourseKind(domain::catalog::CourseKind::Course)")]
    kind: CourseKind,
    /// Title.
    title: String,
    /// Description.
    #[graphql(default)]
    description: String,
    /// Who it comes from.
    provider_id: Option<ID>,
}

payload! {
    /// What became of it.
    CourseCreatePayload {
        /// The course.
        course: Course
    }
}

/// What is to change of a course. What is left out stays.
#[derive(Debug, InputObject)]
pub struct CourseUpdateInput {
    /// The course.
    id: ID,
    /// What it is.
    kind: Option<CourseKind>,
    /// Title.
    title: Option<String>,
    /// Description.
    description: Option<String>,
    /// Who it comes from; null = nobody named.
    provider_id: MaybeUndefined<ID>,
}

payload! {
    /// What became of it.
    CourseUpdatePayload {
        /// The course.
        course: Course
    }
}

/// A course to be archived.
#[derive(Debug, InputObject)]
pub struct CourseArchiveInput {
    /// The course.
    id: ID,
}

payload! {
    /// What became of it.
    CourseArchivePayload {
        /// The course.
        course: Course
    }
}

/// The commerce setting of a course. SKU and prices go with the first time that it is turned on; afterwards they change on the product, with
/// `productUpdate` and `productPricesSet`.
#[derive(Debug, InputObject)]
pub struct CourseCommerceSetInput {
    /// The course.
    course_id: ID,
    /// Whether it is sold alone.
    enabled: bool,
    /// Days of access from the grant, for later grants; null = without end. Left out, they stay.
    days: MaybeUndefined<i64>,
    /// The product's SKU, the first time; `C-` and the course's key when left out.
    sku: Option<String>,
    /// The product's prices, the first time.
    prices: Option<Vec<PriceInput>>,
    /// The credits that it gives, stated with the first prices; none when left out.
    credits: Option<i64>,
    /// For how many days from the purchase its credits can be spent; without end when left out.
    credit_days: Option<i64>,
    /// Whether its credits pay for resources of this course only, as they do when left out, or (`false`) for any.
    credits_tied: Option<bool>,
    /// Refused: the sale state changes on the product.
    state: Option<SaleState>,
}

payload! {
    /// What became of it.
    CourseCommerceSetPayload {
        /// The course.
        course: Course
    }
}

/// Which courses to list.
#[derive(Debug, Default, InputObject)]
pub struct CourseFilter {
    /// Words that each occur in title, key, or the product's SKU, description or provider.
    search: Option<String>,
    /// Of this kind only.
    kind: Option<CourseKind>,
    /// Of this provider only.
    provider_id: Option<ID>,
    /// Held by this library.
    library_id: Option<ID>,
    /// Whether it is sold alone.
    sold_alone: Option<bool>,
    /// Archived ones too?
    #[graphql(default)]
    archived: Archived,
}

// ---- sessions -------------------------------------------------------------------------------------------------------------------

/// A dated session of an event, with seats.
#[derive(Debug, Clone)]
pub struct Session(app::Session);

impl From<app::Session> for Session {
    fn from(session: app::Session) -> Self {
        Self(session)
    }
}

impl Session {
    fn local(&self, instant: DateTime<Utc>) -> String {
        local_time(instant, self.0.time_zone)
    }
}

#[Object]
impl Session {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Its event.
    async fn course(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Course>> {
        Ok(loaders(ctx)?.one(self.0.course).await?.map(Course))
    }

    /// Start.
    async fn starts_at(&self) -> DateTime<Utc> {
        self.0.starts_at
    }

    /// End.
    async fn ends_at(&self) -> DateTime<Utc> {
        self.0.ends_at
    }

    /// IANA zone that its times are shown in.
    async fn time_zone(&self) -> &str {
        self.0.time_zone.name()
    }

    /// Start as the clocks of its zone show it, such as "2026-05-04T09:00:00+02:00".
    async fn local_start(&self) -> String {
        self.local(self.0.starts_at)
    }

    /// End as the clocks of its zone show it.
    async fn local_end(&self) -> String {
        self.local(self.0.ends_at)
    }

    /// Place or https address.
    async fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }

    /// Its product, if its seats are not sold by that of the event.
    async fn product(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Product>> {
        Ok(loaders(ctx)?.one(ProductOf(self.0.id.uuid())).await?.map(Product::from))
    }

    /// Seats in all.
    async fn seats(&self) -> Long {
        Long(self.0.seats)
    }

    /// Seats that are held by orders that wait for their payment, or were given.
    async fn seats_taken(&self) -> Long {
        Long(self.0.taken)
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn touched_at(&self) -> DateTime<Utc> {
        self.0.touched_at
    }

    /// When it was archived.
    async fn archived_at(&self) -> Option<DateTime<Utc>> {
        self.0.archived_at
    }
}

/// A session to be made.
#[derive(Debug, InputObject)]
pub struct SessionCreateInput {
    /// The event.
    course_id: ID,
    /// Start.
    starts_at: DateTime<Utc>,
    /// End.
    ends_at: DateTime<Utc>,
    /// IANA zone that its times are shown in; the shop's when left out.
    time_zone: Option<String>,
    /// Place or https address.
    location: Option<String>,
    /// Seats in all.
    seats: i64,
    /// How its seats are sold, if not by the product of the event.
    commerce: Option<SessionCommerceInput>,
}

/// How the seats of one session are sold: by a product of its own.
#[derive(Debug, InputObject)]
pub struct SessionCommerceInput {
    /// The product's SKU.
    sku: String,
    /// The product's prices.
    prices: Vec<PriceInput>,
    /// The credits that one unit gives, stated with the prices; none when left out.
    credits: Option<i64>,
    /// For how many days from the purchase its credits can be spent; without end when left out.
    credit_days: Option<i64>,
    /// Whether its credits pay for resources of its own courses only, as they do when left out, or (`false`) for any.
    credits_tied: Option<bool>,
    /// Days of access to the event from the grant; left out = without end.
    access_days: Option<i64>,
}

payload! {
    /// What became of it.
    SessionCreatePayload {
        /// The session.
        session: Session
    }
}

/// What is to change of a session. What is left out stays.
#[derive(Debug, InputObject)]
pub struct SessionUpdateInput {
    /// The session.
    id: ID,
    /// Start.
    starts_at: Option<DateTime<Utc>>,
    /// End.
    ends_at: Option<DateTime<Utc>>,
    /// IANA zone that its times are shown in.
    time_zone: Option<String>,
    /// Place or https address; null takes it away.
    location: MaybeUndefined<String>,
    /// Seats in all.
    seats: Option<i64>,
    /// True archives it, false takes it back.
    archived: Option<bool>,
}

payload! {
    /// What became of it.
    SessionUpdatePayload {
        /// The session.
        session: Session
    }
}

// ---- libraries ------------------------------------------------------------------------------------------------------------------

/// One or more courses sold as one unit, as operators see it.
#[derive(Debug, Clone)]
pub struct Library(app::Library);

impl From<app::Library> for Library {
    fn from(library: app::Library) -> Self {
        Self(library)
    }
}

#[Object]
impl Library {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Title.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// Description; may be empty.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// The product's SKU.
    async fn sku(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
        Ok(loaders(ctx)?.one(ProductOf(self.0.id.uuid())).await?.map(|product| product.sku))
    }

    /// Product code: groups libraries in reports; need not be unique.
    async fn product_code(&self) -> Option<&str> {
        self.0.product_code.as_deref()
    }

    /// Days of access from the first start, for later grants; null for no end or a fixed one (see the product's `terms`).
    async fn access_days(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<u32>> {
        Ok(loaders(ctx)?.one(ProductOf(self.0.id.uuid())).await?.and_then(|product| product.terms.value))
    }

    /// The recommended unit price: the list price in the shop's base currency. Companies can have their own.
    async fn unit_price(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Money>> {
        let (shop, _) = scope(ctx)?;
        let loaders = loaders(ctx)?;
        let Some(product) = loaders.one(ProductOf(self.0.id.uuid())).await? else { return Ok(None) };
        let prices = loaders.list(super::loader::PricesOf(product.id)).await?;
        let list = prices
            .iter()
            .map(|price| price.row)
            .find(|row| row.level() == domain::catalog::PriceLevel::List && row.amount.currency == shop.shop.base_currency);
        Ok(list.map(|row| row.amount.into()))
    }

    /// Whether each course opens when the one before is passed.
    async fn ordered(&self) -> bool {
        self.0.ordered
    }

    /// Quantity discounts.
    async fn discount_schedule(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<DiscountSchedule>> {
        match self.0.schedule {
            Some(schedule) => Ok(loaders(ctx)?.one(schedule).await?.map(DiscountSchedule::from)),
            None => Ok(None),
        }
    }

    /// What it owes its licensor.
    async fn royalty_plan(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<RoyaltyPlan>> {
        match self.0.royalty_plan {
            Some(plan) => Ok(loaders(ctx)?.one(plan).await?.map(RoyaltyPlan::from)),
            None => Ok(None),
        }
    }

    /// Its courses, in order, archived ones too.
    async fn courses(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Course>> {
        Ok(loaders(ctx)?.list(CoursesOf(self.0.id)).await?.into_iter().map(Course).collect())
    }

    /// Its product: SKU, prices, sale state and terms.
    async fn product(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Product>> {
        Ok(loaders(ctx)?.one(ProductOf(self.0.id.uuid())).await?.map(Product::from))
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn touched_at(&self) -> DateTime<Utc> {
        self.0.touched_at
    }

    /// When it was archived.
    async fn archived_at(&self) -> Option<DateTime<Utc>> {
        self.0.archived_at
    }
}

/// A library to be made, with its product.
#[derive(Debug, InputObject)]
pub struct LibraryCreateInput {
    /// Title.
    title: String,
    /// Description.
    #[graphql(default)]
    description: String,
    /// Product code: groups libraries in reports; need not be unique.
    product_code: Option<String>,
    /// Whether each course opens when the one before is passed.
    #[graphql(default)]
    ordered: bool,
    /// Quantity discounts.
    discount_schedule_id: Option<ID>,
    /// What its sales owe a licensor.
    royalty_plan_id: Option<ID>,
    /// Its courses, in order, each once. It is on sale as soon as it holds one.
    #[graphql(default)]
    course_ids: Vec<ID>,
    /// The product's SKU: 1 to 64 letters A to Z, digits, dots, underscores and hyphens; unique for ever, whatever the case.
    sku: String,
    /// Days of access from the first start of any of its courses; without end when left out.
    access_days: Option<i64>,
    /// A fixed end of access instead of days.
    access_ends_at: Option<DateTime<Utc>>,
    /// The product's prices; the one in the base currency without group and window is the recommended unit price.
    prices: Vec<PriceInput>,
    /// The credits that one unit gives, stated with the prices; none when left out.
    credits: Option<i64>,
    /// For how many days from the purchase its credits can be spent; without end when left out.
    credit_days: Option<i64>,
    /// Whether its credits pay for resources of its own courses only, as they do when left out, or (`false`) for any.
    credits_tied: Option<bool>,
}

payload! {
    /// What became of it.
    LibraryCreatePayload {
        /// The library.
        library: Library
    }
}

/// What is to change of a library. What is left out stays. SKU, prices, credits, sale state and days belong to the product and are refused here with
/// CHANGE_ON_PRODUCT: change them with `productUpdate` and `productPricesSet`.
#[derive(Debug, InputObject)]
pub struct LibraryUpdateInput {
    /// The library.
    id: ID,
    /// Title.
    title: Option<String>,
    /// Description.
    description: Option<String>,
    /// Product code; null takes it away.
    product_code: MaybeUndefined<String>,
    /// Whether each course opens when the one before is passed.
    ordered: Option<bool>,
    /// Quantity discounts; null takes them away.
    discount_schedule_id: MaybeUndefined<ID>,
    /// What its sales owe a licensor, from now on; null = nothing.
    royalty_plan_id: MaybeUndefined<ID>,
    /// Refused: changes on the product.
    sku: Option<String>,
    /// Refused: change on the product.
    prices: Option<Vec<PriceInput>>,
    /// Refused: changes on the product.
    state: Option<SaleState>,
    /// Refused: change on the product.
    access_days: Option<i64>,
    /// Refused: change on the product.
    credits: Option<i64>,
}

payload! {
    /// What became of it.
    LibraryUpdatePayload {
        /// The library.
        library: Library
    }
}

/// A library to be archived.
#[derive(Debug, InputObject)]
pub struct LibraryArchiveInput {
    /// The library.
    id: ID,
}

payload! {
    /// What became of it.
    LibraryArchivePayload {
        /// The library.
        library: Library
    }
}

/// The courses that a library is to hold.
#[derive(Debug, InputObject)]
pub struct LibraryCoursesSetInput {
    /// The library.
    library_id: ID,
    /// All its courses, in order, each once.
    course_ids: Vec<ID>,
}

payload! {
    /// What became of it.
    LibraryCoursesSetPayload {
        /// The library.
        library: Library
    }
}

/// Which libraries to list.
#[derive(Debug, Default, InputObject)]
pub struct LibraryFilter {
    /// Words that each occur in title, description, SKU, provider or product code.
    search: Option<String>,
    /// With this SKU, whatever its case; a replaced one too.
    sku: Option<String>,
    /// With this product code, whatever its case.
    product_code: Option<String>,
    /// Holding this course.
    course_id: Option<ID>,
    /// Created then or later.
    created_from: Option<DateTime<Utc>>,
    /// Created before then.
    created_before: Option<DateTime<Utc>>,
    /// Last changed then or later.
    touched_from: Option<DateTime<Utc>>,
    /// Last changed before then.
    touched_before: Option<DateTime<Utc>>,
    /// Archived ones too?
    #[graphql(default)]
    archived: Archived,
}

// ---- queries --------------------------------------------------------------------------------------------------------------------

/// Queries about the catalogue.
#[derive(Debug, Default)]
pub struct CatalogQuery;

#[Object]
impl CatalogQuery {
    /// One provider.
    async fn provider(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Provider>> {
        may_read(ctx)?;
        match ProviderId::parse(&id) {
            Some(id) => Ok(loaders(ctx)?.one(id).await?.map(Provider)),
            None => Ok(None),
        }
    }

    /// Providers in pages.
    async fn providers(
        &self,
        ctx: &Context<'_>,
        filter: Option<ProviderFilter>,
        #[graphql(default)] sort: Sort,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Provider>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Catalog.read())?;
                let filter = filter.unwrap_or_default();
                let filter = app::ProviderFilter { words: words(filter.search.as_deref())?, archived: filter.archived.into() };
                let sort = app::Sort::from(sort);
                let list = ListName::new("providers", &(&filter, sort))?;
                let page = app.providers(caller, &filter, sort, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (sort.key(&row.name, row.created_at, row.touched_at), row.id.uuid()), Provider)
            }
            .await,
        )
    }

    /// One course, by id or by key.
    async fn course(&self, ctx: &Context<'_>, id: Option<ID>, key: Option<String>) -> async_graphql::Result<Option<Course>> {
        may_read(ctx)?;
        let (app, caller) = scope(ctx)?;
        match (id, key) {
            (Some(id), None) => match CourseId::parse(&id) {
                Some(id) => Ok(loaders(ctx)?.one(id).await?.map(Course)),
                None => Ok(None),
            },
            (None, Some(key)) => Ok(answer(app.course_with_key(caller, &key).await)?.map(Course)),
            _ => answer(Err(Error::BadInput("Give either `id` or `key`.".to_owned()))),
        }
    }

    /// Courses in pages.
    async fn courses(
        &self,
        ctx: &Context<'_>,
        filter: Option<CourseFilter>,
        #[graphql(default)] sort: Sort,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Course>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Catalog.read())?;
                let filter = filter.unwrap_or_default();
                let filter = app::CourseFilter {
                    words: words(filter.search.as_deref())?,
                    kind: filter.kind.map(|kind| kind.0),
                    provider: filter_id(filter.provider_id.as_ref()),
                    commerce_on: filter.sold_alone,
                    library: filter_id(filter.library_id.as_ref()),
                    archived: filter.archived.into(),
                };
                let sort = app::Sort::from(sort);
                let list = ListName::new("courses", &(&filter, sort))?;
                let page = app.courses(caller, &filter, sort, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (sort.key(&row.title, row.created_at, row.touched_at), row.id.uuid()), Course)
            }
            .await,
        )
    }

    /// One library, by id or by SKU.
    async fn library(&self, ctx: &Context<'_>, id: Option<ID>, sku: Option<String>) -> async_graphql::Result<Option<Library>> {
        may_read(ctx)?;
        let (app, caller) = scope(ctx)?;
        let id = match (id, sku) {
            (Some(id), None) => LibraryId::parse(&id),
            (None, Some(sku)) => {
                let product = answer(app.product_with_sku(caller, &sku).await)?;
                product.filter(|product| product.kind == domain::catalog::ProductKind::Library).map(|product| product.target.into())
            }
            _ => return answer(Err(Error::BadInput("Give either `id` or `sku`.".to_owned()))),
        };
        match id {
            Some(id) => Ok(loaders(ctx)?.one(id).await?.map(Library)),
            None => Ok(None),
        }
    }

    /// Libraries in pages.
    async fn libraries(
        &self,
        ctx: &Context<'_>,
        filter: Option<LibraryFilter>,
        #[graphql(default)] sort: Sort,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Finder<Library>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Catalog.read())?;
                let filter = filter.unwrap_or_default();
                let filter = app::LibraryFilter {
                    words: words(filter.search.as_deref())?,
                    sku: folded(filter.sku.as_deref()),
                    product_code: folded(filter.product_code.as_deref()),
                    course: filter_id(filter.course_id.as_ref()),
                    created_from: instant(filter.created_from, "filter.createdFrom")?,
                    created_before: instant(filter.created_before, "filter.createdBefore")?,
                    touched_from: instant(filter.touched_from, "filter.touchedFrom")?,
                    touched_before: instant(filter.touched_before, "filter.touchedBefore")?,
                    archived: filter.archived.into(),
                };
                let sort = app::Sort::from(sort);
                let list = ListName::new("libraries", &(&filter, sort))?;
                let page = app.libraries(caller, &filter, sort, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                let key = |row: &app::Library| (sort.key(&row.title, row.created_at, row.touched_at), row.id.uuid());
                exported(&list, page, Export::Libraries { filter, sort }, key, Library)
            }
            .await,
        )
    }
}

/// Lets those pass who may see the catalogue as operators do.
///
/// # Errors
/// FORBIDDEN or UNAUTHENTICATED.
pub fn may_read(ctx: &Context<'_>) -> async_graphql::Result<()> {
    let (_, caller) = scope(ctx)?;
    answer(caller.require(Topic::Catalog.read()))
}

// ---- mutations ------------------------------------------------------------------------------------------------------------------

/// Mutations of the catalogue.
#[derive(Debug, Default)]
pub struct CatalogMutation;

#[Object]
impl CatalogMutation {
    /// Makes a provider, or changes one.
    async fn provider_set(&self, ctx: &Context<'_>, input: ProviderSetInput) -> async_graphql::Result<ProviderSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let id = input.id.as_ref().map(|id| input_id(id, "id", "provider")).transpose()?;
            let cmd = app::ProviderSet { id, name: input.name, website: input.website.into(), archived: input.archived };
            app.provider_set(caller, cmd).await
        };
        ProviderSetPayload::of(result.await)
    }

    /// Makes a course. Until its commerce setting is turned on, it is sold only inside libraries.
    async fn course_create(&self, ctx: &Context<'_>, input: CourseCreateInput) -> async_graphql::Result<CourseCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let provider = input.provider_id.as_ref().map(|id| input_id(id, "providerId", "provider")).transpose()?;
            let cmd =
                app::CourseCreate { key: input.key, kind: input.kind.0, title: input.title, description: input.description, provider };
            app.course_create(caller, cmd).await
        };
        CourseCreatePayload::of(result.await)
    }

    /// Changes a course.
    async fn course_update(&self, ctx: &Context<'_>, input: CourseUpdateInput) -> async_graphql::Result<CourseUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let provider: Option<Option<ID>> = input.provider_id.into();
            let provider = provider.map(|id| id.map(|id| input_id(&id, "providerId", "provider")).transpose()).transpose()?;
            let cmd = app::CourseUpdate {
                id: input_id(&input.id, "id", "course")?,
                kind: input.kind.map(|kind| kind.0),
                title: input.title,
                description: input.description,
                provider,
            };
            app.course_update(caller, cmd).await
        };
        CourseUpdatePayload::of(result.await)
    }

    /// Archives a course: it is no longer sold, alone or in libraries. Running access goes on.
    async fn course_archive(&self, ctx: &Context<'_>, input: CourseArchiveInput) -> async_graphql::Result<CourseArchivePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            app.course_archive(caller, input_id(&input.id, "id", "course")?).await
        };
        CourseArchivePayload::of(result.await)
    }

    /// Turns selling a course alone on or off, or changes its days of access. The first time on makes its product; turning it off stops new
    /// sales only, and on again the same product serves.
    async fn course_commerce_set(
        &self,
        ctx: &Context<'_>,
        input: CourseCommerceSetInput,
    ) -> async_graphql::Result<CourseCommerceSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let days: Option<Option<i64>> = input.days.into();
            let cmd = app::CourseCommerceSet {
                course: input_id(&input.course_id, "courseId", "course")?,
                enabled: input.enabled,
                terms: days.map(|days| TermsWish { days, ..TermsWish::default() }),
                sku: input.sku,
                prices: input.prices.map(|prices| parse_prices(&prices, &["prices"])).transpose()?,
                credits: credit_wish(input.credits, input.credit_days, input.credits_tied),
                state_given: input.state.is_some(),
            };
            app.course_commerce_set(caller, cmd).await
        };
        CourseCommerceSetPayload::of(result.await)
    }

    /// Makes a dated session of an event.
    async fn session_create(&self, ctx: &Context<'_>, input: SessionCreateInput) -> async_graphql::Result<SessionCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let commerce = match input.commerce {
                None => None,
                Some(commerce) => Some(app::SessionCommerce {
                    sku: commerce.sku,
                    prices: parse_prices(&commerce.prices, &["commerce", "prices"])?,
                    credits: credit_wish(commerce.credits, commerce.credit_days, commerce.credits_tied),
                    terms: TermsWish { days: commerce.access_days, ..TermsWish::default() },
                }),
            };
            let cmd = app::SessionCreate {
                course: input_id(&input.course_id, "courseId", "course")?,
                starts_at: input.starts_at,
                ends_at: input.ends_at,
                time_zone: input.time_zone,
                location: input.location,
                seats: input.seats,
                commerce,
            };
            app.session_create(caller, cmd).await
        };
        SessionCreatePayload::of(result.await)
    }

    /// Changes a session.
    async fn session_update(&self, ctx: &Context<'_>, input: SessionUpdateInput) -> async_graphql::Result<SessionUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let cmd = app::SessionUpdate {
                id: input_id::<domain::SessionKind>(&input.id, "id", "session")?,
                starts_at: input.starts_at,
                ends_at: input.ends_at,
                time_zone: input.time_zone,
                location: input.location.into(),
                seats: input.seats,
                archived: input.archived,
            };
            app.session_update(caller, cmd).await
        };
        SessionUpdatePayload::of(result.await)
    }

    /// Makes a library and its product, with first SKU and prices.
    async fn library_create(&self, ctx: &Context<'_>, input: LibraryCreateInput) -> async_graphql::Result<LibraryCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let schedule = input.discount_schedule_id.as_ref();
            let royalty_plan = input.royalty_plan_id.as_ref();
            let cmd = app::LibraryCreate {
                title: input.title,
                description: input.description,
                product_code: input.product_code,
                ordered: input.ordered,
                schedule: schedule.map(|id| input_id(id, "discountScheduleId", "discount schedule")).transpose()?,
                royalty_plan: royalty_plan.map(|id| input_id(id, "royaltyPlanId", "royalty plan")).transpose()?,
                courses: input_ids(&input.course_ids, "courseIds", "course")?,
                sku: input.sku,
                terms: TermsWish { days: input.access_days, months: None, ends_at: input.access_ends_at },
                prices: parse_prices(&input.prices, &["prices"])?,
                credits: credit_wish(input.credits, input.credit_days, input.credits_tied),
            };
            app.library_create(caller, cmd).await
        };
        LibraryCreatePayload::of(result.await)
    }

    /// Changes a library. What its product owns is refused with CHANGE_ON_PRODUCT.
    async fn library_update(&self, ctx: &Context<'_>, input: LibraryUpdateInput) -> async_graphql::Result<LibraryUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let schedule: Option<Option<ID>> = input.discount_schedule_id.into();
            let schedule =
                schedule.map(|id| id.map(|id| input_id(&id, "discountScheduleId", "discount schedule")).transpose()).transpose()?;
            let royalty_plan: Option<Option<ID>> = input.royalty_plan_id.into();
            let royalty_plan =
                royalty_plan.map(|id| id.map(|id| input_id(&id, "royaltyPlanId", "royalty plan")).transpose()).transpose()?;
            let cmd = app::LibraryUpdate {
                id: input_id(&input.id, "id", "library")?,
                title: input.title,
                description: input.description,
                product_code: input.product_code.into(),
                ordered: input.ordered,
                schedule,
                product: ProductFields {
                    sku: input.sku.is_some(),
                    prices: input.prices.is_some(),
                    state: input.state.is_some(),
                    credits: input.credits.is_some(),
                },
                royalty_plan,
                terms_given: input.access_days.is_some(),
            };
            app.library_update(caller, cmd).await
        };
        LibraryUpdatePayload::of(result.await)
    }

    /// Archives a library: it is no longer sold. Running access goes on.
    async fn library_archive(&self, ctx: &Context<'_>, input: LibraryArchiveInput) -> async_graphql::Result<LibraryArchivePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            app.library_archive(caller, input_id(&input.id, "id", "library")?).await
        };
        LibraryArchivePayload::of(result.await)
    }

    /// Makes these the courses of a library, in this order. Learners who have started it keep their list.
    async fn library_courses_set(
        &self,
        ctx: &Context<'_>,
        input: LibraryCoursesSetInput,
    ) -> async_graphql::Result<LibraryCoursesSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let library = input_id(&input.library_id, "libraryId", "library")?;
            app.library_courses_set(caller, library, &input_ids(&input.course_ids, "courseIds", "course")?).await
        };
        LibraryCoursesSetPayload::of(result.await)
    }
}
