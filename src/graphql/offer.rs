//! Offers: what a buyer is shown and at what price.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, InputType, Lookahead, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::connection::{List, connection, empty, wants_total};
use super::error::{UserErrorCode, answer, scope};
use super::scalar::{CurrencyCode, Decimal, Long, Money, instant, local_time, named_enum};
use crate::app::offer::{ContextArgs, Detail, OfferContext, OfferFilter, OfferList, OfferName, OfferView, PriceRange, PublicPack, Sort};
use crate::error::{Error, Refusal, Result};
use crate::page::{ListName, PageArgs};

named_enum! {
    /// What a product sells.
    ProductKind(domain::catalog::ProductKind)
}

named_enum! {
    /// What a course is.
    CourseKind(domain::catalog::CourseKind)
}

named_enum! {
    /// The rule behind a step of a price.
    PriceRule(domain::pricing::Rule)
}

named_enum! {
    /// What the length of access is counted in.
    TermUnit(domain::terms::TermUnit)
}

named_enum! {
    /// From when the length of access is counted.
    TermAnchor(domain::terms::AnchorName)
}

/// For whom and in what currency prices are shown. Everything can be left out: then it is the shop's own offer in its base currency.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ContextInput {
    /// The company bought for.
    pub company_id: Option<ID>,
    /// The currency of prices.
    pub currency: Option<CurrencyCode>,
    /// The locale of texts, such as "en" or "de-AT".
    pub locale: Option<String>,
}

impl ContextInput {
    /// The context asked for; `None` if it names a company by an id that is none.
    ///
    /// # Errors
    /// A refusal of `context.currency`.
    pub fn parse(given: Option<Self>) -> Result<Option<ContextArgs>> {
        let Self { company_id, currency, locale } = given.unwrap_or_default();
        let currency = currency.map(|currency| currency.parse(["context", "currency"])).transpose()?;
        let company = match company_id {
            None => None,
            Some(id) => match domain::CompanyId::parse(&id) {
                Some(company) => Some(company),
                None => return Ok(None),
            },
        };
        Ok(Some(ContextArgs { company, currency, locale }))
    }
}

/// The context that prices were computed in.
#[derive(Debug, Clone, SimpleObject)]
pub struct PriceContext {
    /// The company bought for.
    pub company_id: Option<ID>,
    /// The currency of every amount, but for those that a breakdown says it converted.
    pub currency: CurrencyCode,
    /// The locale of texts.
    pub locale: String,
    /// The instant that prices, windows and rates were judged at.
    pub at: DateTime<Utc>,
}

impl From<&OfferContext> for PriceContext {
    fn from(context: &OfferContext) -> Self {
        Self {
            company_id: context.company.as_ref().map(|company| company.id.to_string().into()),
            currency: context.currency.into(),
            locale: context.locale.clone(),
            at: context.at,
        }
    }
}

/// How long access lasts, and from when that is counted.
#[derive(Debug, Clone, SimpleObject)]
pub struct AccessTerms {
    /// How many days or months; null for access without end or to a fixed date.
    pub value: Option<u32>,
    /// What they are counted in.
    pub unit: TermUnit,
    /// From when.
    pub anchor: TermAnchor,
    /// The fixed end, whenever it was bought.
    pub ends_at: Option<DateTime<Utc>>,
    /// The same in English, such as "30 days from the first start".
    pub text: String,
}

impl From<domain::terms::Terms> for AccessTerms {
    fn from(terms: domain::terms::Terms) -> Self {
        let ends_at = match terms.anchor {
            domain::terms::Anchor::FixedDate(end) => Some(end),
            domain::terms::Anchor::Purchase | domain::terms::Anchor::FirstStart => None,
        };
        Self { value: terms.value, unit: terms.unit.into(), anchor: terms.anchor.name().into(), ends_at, text: terms.to_string() }
    }
}

/// A step of a price. The price is computed from these steps, in this order.
#[derive(Debug, Clone, SimpleObject)]
pub struct PriceStep {
    /// The rule behind it.
    pub rule: PriceRule,
    /// The rule in words.
    pub label: String,
    /// The price of one after this step; for GRADUATED_TIER, what the units of that tier cost together.
    pub amount: Money,
    /// What the step did, such as the rate of a conversion; empty where the amount says it all.
    pub detail: String,
}

impl From<&domain::pricing::Step> for PriceStep {
    fn from(step: &domain::pricing::Step) -> Self {
        Self { rule: step.rule.into(), label: step.label().to_owned(), amount: step.amount.into(), detail: step.detail() }
    }
}

/// A course that an offer gives access to.
#[derive(Debug, Clone, SimpleObject)]
pub struct OfferCourse {
    /// The course's id.
    pub id: ID,
    /// Its key.
    pub key: String,
    /// What it is.
    pub kind: CourseKind,
    /// Its title.
    pub title: String,
    /// Its description; may be empty.
    pub description: String,
}

impl From<crate::app::offer::OfferCourse> for OfferCourse {
    fn from(course: crate::app::offer::OfferCourse) -> Self {
        Self {
            id: course.id.to_string().into(),
            key: course.key,
            kind: course.kind.into(),
            title: course.title,
            description: course.description,
        }
    }
}

/// A dated session of an event.
#[derive(Debug, Clone, SimpleObject)]
pub struct OfferSession {
    /// The session's id.
    pub id: ID,
    /// Its event, one of the courses.
    pub course_id: ID,
    /// Start.
    pub starts_at: DateTime<Utc>,
    /// End.
    pub ends_at: DateTime<Utc>,
    /// IANA zone that its times are to be shown in.
    pub time_zone: String,
    /// Place or https address.
    pub location: Option<String>,
    /// Seats in all.
    pub seats: Long,
    /// Seats that are free.
    pub seats_left: Long,
    /// Start as the clocks of its zone show it, such as "2026-05-04T09:00:00+02:00".
    pub local_start: String,
    /// End as the clocks of its zone show it.
    pub local_end: String,
}

impl From<crate::app::offer::OfferSession> for OfferSession {
    fn from(session: crate::app::offer::OfferSession) -> Self {
        Self {
            id: session.id.to_string().into(),
            course_id: session.course.to_string().into(),
            local_start: local_time(session.starts_at, session.time_zone),
            local_end: local_time(session.ends_at, session.time_zone),
            seats_left: Long((session.seats - session.taken).max(0)),
            starts_at: session.starts_at,
            ends_at: session.ends_at,
            time_zone: session.time_zone.name().to_owned(),
            location: session.location,
            seats: Long(session.seats),
        }
    }
}

/// A pack that everybody is shown.
#[derive(Debug, Clone, SimpleObject)]
pub struct OfferPack {
    /// The code that sells it, for the cart.
    pub code: String,
    /// What one costs.
    pub price: Money,
    /// The credits that one gives.
    pub credits: u32,
    /// The order form with the code filled in.
    pub link: String,
}

/// A product as one buyer sees it: with the company's own title, description, price and days where it has some, and the price computed for this
/// buyer now.
#[derive(Debug, Clone)]
pub struct Offer {
    view: OfferView,
    context: Arc<PriceContext>,
}

impl Offer {
    /// The offer in its context.
    pub const fn new(view: OfferView, context: Arc<PriceContext>) -> Self {
        Self { view, context }
    }
}

#[Object]
impl Offer {
    /// The product's id.
    async fn id(&self) -> ID {
        self.view.product.to_string().into()
    }

    /// The product's SKU.
    async fn sku(&self) -> &str {
        &self.view.sku
    }

    /// What is sold.
    async fn kind(&self) -> ProductKind {
        self.view.kind.into()
    }

    /// Title.
    async fn title(&self) -> &str {
        &self.view.title
    }

    /// Description; may be empty.
    async fn description(&self) -> &str {
        &self.view.description
    }

    /// Product code of a library: groups libraries in reports.
    async fn product_code(&self) -> Option<&str> {
        self.view.product_code.as_deref()
    }

    /// How many the price is for.
    async fn quantity(&self) -> u32 {
        self.view.quantity
    }

    /// What one costs when so many are bought. Null if there is no price (`unavailable` says why), and where the parts of a graduated schedule
    /// cost differently (see `subtotal`).
    async fn price(&self) -> Option<Money> {
        self.view.price().map(Money::from)
    }

    /// The same as `price`, by the name that lines of carts have: times `quantity` it is the `subtotal`.
    async fn unit_price(&self) -> Option<Money> {
        self.view.price().map(Money::from)
    }

    /// What the quantity costs.
    async fn subtotal(&self) -> Option<Money> {
        self.view.quote.as_ref().ok().map(|quote| quote.subtotal.into())
    }

    /// The recommended price of one, to be shown beside `price`; null if there is none in this currency.
    async fn list_price(&self) -> Option<Money> {
        self.view.quote.as_ref().ok().and_then(|quote| quote.list_price).map(Money::from)
    }

    /// The steps that the price is computed from; empty without a price.
    async fn price_breakdown(&self) -> Vec<PriceStep> {
        self.view.quote.as_ref().map(|quote| quote.steps.iter().map(PriceStep::from).collect()).unwrap_or_default()
    }

    /// Why it cannot be bought, such as NO_RATE; null if it can.
    async fn unavailable(&self) -> Option<UserErrorCode> {
        self.refusal().map(|refusal| refusal.code.into())
    }

    /// The same as a sentence that says what to do.
    async fn unavailable_message(&self) -> Option<String> {
        self.refusal().map(|refusal| refusal.message)
    }

    /// The credits that one gives, to be shown under the title; 0 for none. A pack that a coupon sells replaces them on the line of a cart.
    async fn credits(&self) -> u32 {
        self.view.gives.map_or(0, |gives| gives.count)
    }

    /// For how many days from the purchase its credits can be spent; null = without end.
    async fn credit_days(&self) -> Option<u32> {
        self.view.gives.and_then(|gives| gives.days)
    }

    /// Id of the product whose courses' resources its credits pay for; null = they pay for any.
    async fn credits_tied_to(&self) -> Option<ID> {
        self.view.gives.and_then(|gives| gives.tied_to).map(ID::from)
    }

    /// How long access lasts; a credit pack gives none.
    async fn access_terms(&self) -> AccessTerms {
        self.view.terms.into()
    }

    /// Packs of it that everybody is shown: coupons that sell it at another price with another number of credits. Empty as of an earlier instant.
    async fn packs(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<OfferPack>> {
        let (app, _) = scope(ctx)?;
        let pack = |pack: &PublicPack| OfferPack {
            code: pack.code.clone(),
            price: pack.price.into(),
            credits: pack.credits,
            link: format!("{}/form/{}?coupon={}", app.shop.public_url, self.view.sku, pack.code_in_address()),
        };
        Ok(self.view.packs.iter().map(pack).collect())
    }

    /// The courses that it gives access to, in order; none for a group or a credit pack.
    async fn courses(&self) -> Vec<OfferCourse> {
        self.view.courses.iter().cloned().map(OfferCourse::from).collect()
    }

    /// The dated sessions of its events that have not ended, in order of start.
    async fn sessions(&self) -> Vec<OfferSession> {
        self.view.sessions.iter().cloned().map(OfferSession::from).collect()
    }

    /// Whether you have live access to the same already; buying it again extends that. Null if nobody is signed in.
    async fn owned(&self) -> Option<bool> {
        self.view.owned
    }

    /// The context that the price was computed in.
    async fn context(&self) -> &PriceContext {
        &self.context
    }
}

impl Offer {
    fn refusal(&self) -> Option<Refusal> {
        match (self.view.may_be_sold(), &self.view.quote) {
            (Err(reason), _) => Some(reason.into()),
            (Ok(()), Err(reason)) => Some((*reason).into()),
            (Ok(()), Ok(_)) => None,
        }
    }
}

/// What of an offer is read, from what was selected of it.
pub fn detail(offers: &[Lookahead<'_>]) -> Detail {
    let selects = |field: &str| offers.iter().any(|offer| offer.field(field).exists());
    Detail {
        description: selects("description"),
        courses: selects("courses"),
        course_descriptions: offers.iter().any(|offer| offer.field("courses").field("description").exists()),
        sessions: selects("sessions"),
        owned: selects("owned"),
        contents: false,
        packs: selects("packs"),
    }
}

/// What offers are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum OfferSort {
    /// By the title shown.
    Title,
    /// By the price of one, the cheapest first; what has no price comes last.
    Price,
    /// By age, the newest first.
    Newest,
}

/// Bounds of prices, in the currency of the context; both belong to the range.
#[derive(Debug, Clone, InputObject)]
pub struct PriceRangeInput {
    /// The lowest price of one.
    pub min: Option<Decimal>,
    /// The highest price of one.
    pub max: Option<Decimal>,
}

/// Which offers; what is left out does not matter, and all that is given has to be true.
#[derive(Debug, Clone, Default, InputObject)]
pub struct OfferFilterInput {
    /// Of one of these kinds.
    pub kind: Option<Vec<ProductKind>>,
    /// With a course of this provider.
    pub provider_id: Option<ID>,
    /// Libraries of this product code, whatever its case.
    pub product_code: Option<String>,
    /// That this company sells in its own way: with a title, text, price, days or visibility of its own.
    pub company_id: Option<ID>,
    /// Whose price of one lies in a range.
    pub price_range: Option<PriceRangeInput>,
    /// True: free ones only. False: those that cost something.
    pub free: Option<bool>,
}

impl OfferFilterInput {
    /// The filter; `None` if it names something by an id that is none, so that nothing can match.
    fn parse(self, search: Option<String>, currency: domain::Currency) -> Result<Option<OfferFilter>> {
        let bound = |decimal: Option<Decimal>, field: &str| {
            decimal
                .map(|decimal| domain::Money::parse(&decimal.0, currency))
                .transpose()
                .map_err(|error| Error::BadInput(format!("filter.priceRange.{field}: {error}")))
        };
        let price = match self.price_range {
            Some(range) => PriceRange { min: bound(range.min, "min")?, max: bound(range.max, "max")? },
            None => PriceRange::default(),
        };
        let (provider, company) =
            (self.provider_id.map(|id| domain::ProviderId::parse(&id)), self.company_id.map(|id| domain::CompanyId::parse(&id)));
        if provider == Some(None) || company == Some(None) {
            return Ok(None);
        }
        Ok(Some(OfferFilter {
            search,
            kinds: self.kind.unwrap_or_default().into_iter().map(|kind| kind.0).collect(),
            provider: provider.flatten(),
            product_code: self.product_code,
            company: company.flatten(),
            price,
            free: self.free,
        }))
    }
}

/// Queries about offers.
#[derive(Debug, Default)]
pub struct OfferQuery;

#[Object]
impl OfferQuery {
    /// What this buyer can buy. `search` finds offers in whose title, description, SKU or provider every word occurs, whatever the case.
    #[expect(clippy::too_many_arguments, reason = "these are the arguments of the field")]
    async fn offers(
        &self,
        ctx: &Context<'_>,
        context: Option<ContextInput>,
        search: Option<String>,
        filter: Option<OfferFilterInput>,
        #[graphql(desc = "The order; TITLE unless given.")] sort: Option<OfferSort>,
        #[graphql(desc = "Whether the order is turned round; false unless given.")] reverse: Option<bool>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Offer>> {
        let (app, caller) = scope(ctx)?;
        let reverse = reverse.unwrap_or(false);
        let sort = match sort.unwrap_or(OfferSort::Title) {
            OfferSort::Title => Sort::Title,
            OfferSort::Price => Sort::Price,
            OfferSort::Newest => Sort::Newest,
        };
        let look_ahead = ctx.look_ahead();
        let detail = detail(&[look_ahead.field("nodes"), look_ahead.field("edges").field("node")]);
        answer(
            async {
                let context = ContextInput::parse(context)?;
                let list = ListName::new("offers", &(&context, &search, filter.to_value(), sort, reverse))?;
                let page: PageArgs<_> = list.args(first, after.as_deref())?;
                let currency = context.as_ref().and_then(|context| context.currency).unwrap_or(app.shop.base_currency);
                let filter = filter.unwrap_or_default().parse(search, currency)?;
                let total = wants_total(ctx);
                let found = match (context, filter) {
                    (Some(context), Some(filter)) => {
                        app.offers(caller, OfferList { context, filter, sort, reverse, detail, page, total }).await?
                    }
                    _ => None,
                };
                let Some((page, context)) = found else { return Ok(empty(total)) };
                let context = Arc::new(PriceContext::from(&context));
                connection(&list, page, |view| (view.key.clone(), view.product.uuid()), |view| Offer::new(view, context.clone()))
            }
            .await,
        )
    }

    /// One offer by SKU (an earlier SKU of the product does as well) or by the product's id; give exactly one of them. Priced for `quantity`, and
    /// with `at` as it was at that instant: texts, courses, dates, state and terms, the company's own ones, prices, rates and schedule. What you
    /// may see is judged as of now. Null: there is, or was, no such offer for you.
    async fn offer(
        &self,
        ctx: &Context<'_>,
        sku: Option<String>,
        id: Option<ID>,
        context: Option<ContextInput>,
        #[graphql(desc = "How many the price is for; 1 unless given.")] quantity: Option<i32>,
        at: Option<DateTime<Utc>>,
    ) -> async_graphql::Result<Option<Offer>> {
        let (app, caller) = scope(ctx)?;
        let detail = detail(&[ctx.look_ahead()]);
        answer(
            async {
                let at = instant(at, "at")?;
                let context = ContextInput::parse(context)?;
                let name = match (sku, id) {
                    (Some(sku), None) => Some(OfferName::Sku(sku)),
                    (None, Some(id)) => domain::ProductId::parse(&id).map(OfferName::Product),
                    _ => return Err(Error::BadInput("Give either `sku` or `id`, exactly one of them.".to_owned())),
                };
                let (Some(context), Some(name)) = (context, name) else { return Ok(None) };
                let found = app.offer(caller, context, &name, i64::from(quantity.unwrap_or(1)), at, detail).await?;
                Ok(found.map(|(view, context)| Offer::new(view, Arc::new((&context).into()))))
            }
            .await,
        )
    }
}
