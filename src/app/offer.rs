//! Offers: what a product is for one buyer, at what price, and the lists that buyers look through.
//!
//! Always true here: every price comes from `domain::pricing::quote`, lists show nothing that [`App::offers_of`] would call invisible, and the
//! number of statements does not grow with the number of offers.

use std::cmp::Ordering;
use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, Utc};
use domain::cart::{CartRefusal, MAX_QUANTITY, OfferState};
use domain::catalog::{CatalogRefusal, CourseKind, Fulfilment, PriceRow, ProductKind, Saleability, Schedule, TierPrice, may_be_sold};
use domain::company::{OfferBase, Storefront, effective};
use domain::coupon::Content;
use domain::credit_sale::Gives;
use domain::pricing::{Buyer, Channel, Market, Prices, Quote, RateTable, Unavailable, quote};
use domain::tax::TaxClass;
use domain::terms::Terms;
use domain::text::{self, Sku};
use domain::{AccountId, CompanyId, Currency, DiscountScheduleId, GroupId, Money, ProductId, ProviderId};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::caller::{Caller, Topic};
use crate::error::{Error, Refusal, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::company::Company;
use crate::store::offer::{Facts, ListFilter, PricesOf, Stretch, Viewpoint, Which};

pub use super::public_pack::PublicPack;
pub use crate::store::offer::{Detail, OfferCourse, OfferSession, Sort, SortKey};

/// The context of prices, as a caller names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ContextArgs {
    /// The company bought for.
    pub company: Option<CompanyId>,
    /// The currency of prices; the shop's base currency unless given.
    pub currency: Option<Currency>,
    /// The locale of texts; the shop's unless given.
    pub locale: Option<String>,
}

/// For whom, in what currency and as of when offers are shown and priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferContext {
    /// The company bought for.
    pub company: Option<Company>,
    /// The currency of prices.
    pub currency: Currency,
    /// The locale of texts.
    pub locale: String,
    /// Whose offers these are: the buyer, if known.
    pub account: Option<AccountId>,
    /// The groups that the buyer is in.
    pub groups: Vec<GroupId>,
    /// The instant that windows and rates are judged at.
    pub at: DateTime<Utc>,
    /// Whether everything is as it was on record at that instant; else as it is now.
    pub recorded: bool,
    /// By which road it is sold.
    pub channel: Channel,
}

impl OfferContext {
    fn viewpoint(&self) -> Viewpoint<'_> {
        Viewpoint { company: self.company.as_ref().map(|company| company.id), groups: &self.groups, at: self.at, recorded: self.recorded }
    }
}

/// A product as one buyer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferView {
    /// The product.
    pub product: ProductId,
    /// SKU as given.
    pub sku: String,
    /// What it sells.
    pub kind: ProductKind,
    /// The library, course, session, group or credit pack.
    pub target: Uuid,
    /// Title, the company's own if it has one.
    pub title: String,
    /// Description, the company's own if it has one; empty unless asked for.
    pub description: String,
    /// Terms of access, with the company's own days if it has some.
    pub terms: Terms,
    /// How many it is priced for.
    pub quantity: u32,
    /// Its price for that many, or why there is none.
    pub quote: Result<Quote, Unavailable>,
    /// What decides whether it may be sold.
    pub saleability: Saleability,
    /// Whether this buyer may see it: neither hidden by the company nor kept for the members of other groups.
    pub visible: bool,
    /// Whether coupons reach it.
    pub couponable: bool,
    /// Class of products that it is taxed with.
    pub tax_class: TaxClass,
    /// What buying it gives.
    pub fulfilment: Fulfilment,
    /// The credits that one unit gives.
    pub gives: Option<Gives>,
    /// Product code of a library.
    pub product_code: Option<String>,
    /// What coupons see of everything that it gives; empty unless asked for.
    pub contents: Vec<Content>,
    /// Packs of it that everybody is shown, oldest first; empty unless asked for.
    pub packs: Vec<PublicPack>,
    /// Its courses in order; empty unless asked for.
    pub courses: Vec<OfferCourse>,
    /// Dated sessions of its events that have not ended; empty unless asked for.
    pub sessions: Vec<OfferSession>,
    /// Whether the buyer has a live grant of the same; none if nobody is signed in, or unless asked for.
    pub owned: Option<bool>,
    /// Its place in the list that it was read for.
    pub key: SortKey,
}

impl OfferView {
    /// What carts judge a line by; none for what the buyer may not see.
    pub fn state(&self) -> Option<OfferState> {
        self.visible.then(|| OfferState { saleability: self.saleability, quote: self.quote.clone(), terms: self.terms })
    }

    /// Whether it may be sold at all, whatever it costs.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn may_be_sold(&self) -> Result<(), CatalogRefusal> {
        may_be_sold(&self.saleability)
    }

    /// What one costs at this quantity; none without a price, and where the parts of a graduated schedule differ.
    pub fn price(&self) -> Option<Money> {
        self.quote.as_ref().ok().and_then(|quote| if quote.quantity == 1 { Some(quote.subtotal) } else { quote.unit_price })
    }
}

/// Bounds of prices, in the currency of the context; both belong to the range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PriceRange {
    /// The lowest price.
    pub min: Option<Money>,
    /// The highest price.
    pub max: Option<Money>,
}

/// Which offers are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfferFilter {
    /// Words, all of which occur in title, description, SKU or provider.
    pub search: Option<String>,
    /// Kinds of products; empty = all.
    pub kinds: Vec<ProductKind>,
    /// With a course of this provider.
    pub provider: Option<ProviderId>,
    /// Libraries of this product code.
    pub product_code: Option<String>,
    /// Which this company sells in its own way.
    pub company: Option<CompanyId>,
    /// By price for one.
    pub price: PriceRange,
    /// Free ones only, or only those that are not.
    pub free: Option<bool>,
}

impl OfferFilter {
    fn by_price(&self) -> bool {
        self.price != PriceRange::default() || self.free.is_some()
    }

    fn admits(&self, price: Option<Money>) -> bool {
        let Some(price) = price else { return !self.by_price() };
        self.price.min.is_none_or(|min| min.minor <= price.minor)
            && self.price.max.is_none_or(|max| price.minor <= max.minor)
            && self.free.is_none_or(|free| free == price.is_zero())
    }
}

/// A list of offers, as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferList {
    /// The context of prices.
    pub context: ContextArgs,
    /// Which.
    pub filter: OfferFilter,
    /// In which order.
    pub sort: Sort,
    /// Whether the order is turned round.
    pub reverse: bool,
    /// What is shown of each.
    pub detail: Detail,
    /// Which page.
    pub page: PageArgs<(SortKey, Uuid)>,
    /// Whether all are to be counted.
    pub total: bool,
}

/// Which offer is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfferName {
    /// That of a product.
    Product(ProductId),
    /// The one that has, or ever had, this SKU.
    Sku(String),
}

/// What prices hang on, of several products.
#[derive(Debug, Default)]
struct PriceFacts {
    rows: HashMap<ProductId, Vec<PriceRow>>,
    schedules: HashMap<DiscountScheduleId, Schedule>,
    rates: RateTable,
}

impl App {
    /// The context of a caller's offers. `None`: the company is not there, is archived, or is for its members only and the caller is none.
    ///
    /// # Errors
    /// [`Error::Refused`] for a locale that is none; the database's.
    pub async fn offer_context(&self, db: &impl ConnectionTrait, caller: &Caller, args: ContextArgs) -> Result<Option<OfferContext>> {
        let account = caller.account();
        let Some(company) = args.company else {
            return self.offer_context_for(db, account, ContextArgs { company: None, ..args }).await.map(Some);
        };
        let context = self.offer_context_for(db, account, args).await?;
        let Some(found) = &context.company else { return Ok(None) };
        if found.archived_at.is_some() {
            return Ok(None);
        }
        let shown = found.storefront == Storefront::Public
            || caller.manages(company)
            || caller.may(Topic::Companies.read())
            || caller.may(Topic::Prices.read())
            || match account {
                Some(account) => store::company::member_of(db, company, account).await?,
                None => false,
            };
        Ok(shown.then_some(context))
    }

    /// The same for a buyer whose right to the company was checked before, such as the one of a cart. A company that is not there is left out.
    ///
    /// # Errors
    /// [`Error::Refused`] for a locale that is none; the database's.
    pub async fn offer_context_for(
        &self,
        db: &impl ConnectionTrait,
        account: Option<AccountId>,
        args: ContextArgs,
    ) -> Result<OfferContext> {
        let at = self.now();
        let company = match args.company {
            Some(company) => store::company::find(db, company).await?,
            None => None,
        };
        // A company that has no carts is shown what it pays for seats in bulk.
        let carts = company.as_ref().is_none_or(|company| company.company_type.has_carts());
        let channel = if carts { Channel::Cart } else { Channel::SalesOrder };
        Ok(OfferContext {
            currency: args.currency.unwrap_or(self.shop.base_currency),
            locale: match args.locale {
                Some(locale) => text::locale(&locale).map_err(|reason| Refusal::from(reason).under(["locale"]))?,
                None => self.shop.locale.clone(),
            },
            company,
            groups: match account {
                Some(account) => store::group::groups_of(db, account, at).await?,
                None => Vec::new(),
            },
            account,
            at,
            recorded: false,
            channel,
        })
    }

    /// What these products are for a buyer, each priced for its quantity, in the order asked for. Invisible ones are among them and say so;
    /// products that do not exist are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn offers_of(
        &self,
        db: &impl ConnectionTrait,
        context: &OfferContext,
        detail: Detail,
        wanted: &[(ProductId, u32)],
    ) -> Result<Vec<OfferView>> {
        let mut products: Vec<ProductId> = wanted.iter().map(|(product, _)| *product).collect();
        products.sort_unstable_by_key(|product| product.uuid());
        products.dedup();
        let facts = store::offer::facts(db, &context.viewpoint(), detail, Which::Products(&products)).await?;
        let prices = self.price_facts_of(db, context, &facts).await?;
        let known: HashMap<ProductId, &Facts> = facts.iter().map(|facts| (facts.product, facts)).collect();
        let mut views = wanted
            .iter()
            .filter_map(|(product, quantity)| known.get(product).map(|facts| self.view(context, facts, &prices, *quantity, Sort::Title)))
            .collect::<Vec<_>>();
        self.add_detail(db, context, detail, &mut views).await?;
        Ok(views)
    }

    /// One offer, priced for a quantity, as it is or as it was at an instant: its texts, courses, state and terms, its prices, override, rates and
    /// schedule. Who the caller is, and so what they may see, is judged as of now. `None`: there is, or was, no such offer, or this caller may
    /// not see it.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a quantity out of range; the database's.
    pub async fn offer(
        &self,
        caller: &Caller,
        context: ContextArgs,
        name: &OfferName,
        quantity: i64,
        at: Option<DateTime<Utc>>,
        detail: Detail,
    ) -> Result<Option<(OfferView, OfferContext)>> {
        let quantity = u32::try_from(quantity)
            .ok()
            .filter(|quantity| (1..=MAX_QUANTITY).contains(quantity))
            .ok_or_else(|| Error::BadInput(CartRefusal::QuantityOutOfRange { quantity }.to_string()))?;
        let sku = match name {
            OfferName::Sku(sku) => match Sku::parse(sku) {
                Ok(sku) => Some(sku.folded()),
                Err(_) => return Ok(None),
            },
            OfferName::Product(_) => None,
        };
        let db = &self.db.reading().await?;
        let Some(mut context) = self.offer_context(db, caller, context).await?.filter(OfferContext::sells) else { return Ok(None) };
        if let Some(at) = at {
            context.at = at.trunc_subsecs(6);
            context.recorded = true;
        }
        let mut facts = match (name, &sku) {
            (OfferName::Product(product), _) => store::offer::facts(db, &context.viewpoint(), detail, Which::Products(&[*product])).await?,
            (_, Some(folded)) => store::offer::facts(db, &context.viewpoint(), detail, Which::Sku(folded)).await?,
            (_, None) => Vec::new(),
        };
        let recorded = match facts.first_mut() {
            Some(found) if context.recorded => Some(store::offer::as_recorded(db, &context.viewpoint(), detail, found).await?),
            _ => None,
        };
        let Some(found) = facts.first().filter(|facts| may_be_sold(&facts.saleability).is_ok() && facts.created_at <= context.at) else {
            return Ok(None);
        };
        let prices = self.price_facts_of(db, &context, &facts).await?;
        let mut view = self.view(&context, found, &prices, quantity, Sort::Title);
        let mut detail = detail;
        if let Some(recorded) = recorded {
            (view.courses, view.sessions) = (recorded.courses, recorded.sessions);
            (detail.courses, detail.sessions) = (false, false);
        }
        let mut views = vec![view];
        self.add_detail(db, &context, detail, &mut views).await?;
        Ok(views.pop().filter(|view| view.visible).map(|view| (view, context)))
    }

    /// A page of the offers that this caller can see. `None`: the company asked for is not visible or makes no sales, so there are none.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a search that is too long; the database's.
    pub async fn offers(&self, caller: &Caller, list: OfferList) -> Result<Option<(Page<OfferView>, OfferContext)>> {
        let words =
            text::search_words(list.filter.search.as_deref().unwrap_or_default()).map_err(|reason| Error::from(Refusal::from(reason)))?;
        let db = &self.db.reading().await?;
        let Some(context) = self.offer_context(db, caller, list.context.clone()).await?.filter(OfferContext::sells) else {
            return Ok(None);
        };
        if let Some(company) = list.filter.company
            && context.company.as_ref().is_none_or(|own| own.id != company)
        {
            let args = ContextArgs { company: Some(company), ..ContextArgs::default() };
            if self.offer_context(db, caller, args).await?.is_none() {
                return Ok(None);
            }
        }
        let filter = ListFilter {
            words,
            kinds: list.filter.kinds.clone(),
            provider: list.filter.provider,
            product_code: list.filter.product_code.as_deref().map(|code| text::fold(code.trim())),
            overridden_by: list.filter.company,
        };
        let page = if list.sort == Sort::Price || list.filter.by_price() {
            self.page_by_price(db, &context, &filter, &list).await?
        } else {
            self.page_by_database(db, &context, &filter, &list).await?
        };
        Ok(Some((page, context)))
    }

    async fn page_by_database(
        &self,
        db: &impl ConnectionTrait,
        context: &OfferContext,
        filter: &ListFilter,
        list: &OfferList,
    ) -> Result<Page<OfferView>> {
        let view = context.viewpoint();
        let stretch =
            Stretch { sort: list.sort, reverse: list.reverse, after: list.page.after.as_ref(), limit: u64::from(list.page.first) + 1 };
        let facts = store::offer::list(db, &view, list.detail, filter, &stretch).await?;
        let total = match list.total {
            true => Some(store::offer::count(db, &view, filter).await?),
            false => None,
        };
        let page = Page::cut(facts, &list.page, total);
        let prices = self.price_facts_of(db, context, &page.rows).await?;
        let mut page = page.map(|facts| self.view(context, &facts, &prices, 1, list.sort));
        self.add_detail(db, context, list.detail, &mut page.rows).await?;
        Ok(page)
    }

    /// Prices every offer of the list, then filters, sorts and cuts in the program (docs/decisions/0005).
    async fn page_by_price(
        &self,
        db: &impl ConnectionTrait,
        context: &OfferContext,
        filter: &ListFilter,
        list: &OfferList,
    ) -> Result<Page<OfferView>> {
        let view = context.viewpoint();
        let candidates = store::offer::candidates(db, &view, filter).await?;
        let rows = store::offer::prices(db, &view, PricesOf::List(filter)).await?;
        let schedules = candidates.iter().filter_map(|candidate| candidate.schedule).collect();
        let prices = self.price_facts(db, context, rows, schedules).await?;
        let mut found: Vec<(SortKey, Uuid)> = candidates
            .into_iter()
            .filter_map(|candidate| {
                let priced = self.quote(context, &prices, candidate.product, &candidate.override_prices, candidate.schedule, 1);
                let price = priced.ok().map(|quote| quote.subtotal);
                list.filter.admits(price).then(|| {
                    let key = match list.sort {
                        Sort::Title => SortKey::Title(candidate.title_sort),
                        Sort::Price => SortKey::Price(price.map(|price| price.minor)),
                        Sort::Newest => SortKey::Newest(candidate.created_at.timestamp_micros()),
                    };
                    (key, candidate.product.uuid())
                })
            })
            .collect();
        let downwards = list.reverse != (list.sort == Sort::Newest);
        found.sort_unstable_by(|one, other| in_order(one, other, downwards));
        let total = list.total.then(|| i64::try_from(found.len()).unwrap_or(i64::MAX));
        let begin = match &list.page.after {
            Some(after) => found.partition_point(|row| in_order(row, after, downwards) != Ordering::Greater),
            None => 0,
        };
        let rows = found.into_iter().skip(begin).take(list.page.first as usize + 1).collect();
        let page = Page::cut(rows, &list.page, total);
        let products: Vec<ProductId> = page.rows.iter().map(|(_, product)| ProductId::new(*product)).collect();
        let mut facts: HashMap<Uuid, Facts> = store::offer::facts(db, &view, list.detail, Which::Products(&products))
            .await?
            .into_iter()
            .map(|facts| (facts.product.uuid(), facts))
            .collect();
        let mut views = Vec::with_capacity(page.rows.len());
        for (key, product) in page.rows {
            let facts = facts.remove(&product).ok_or_else(|| internal!("the product {product} went while it was listed"))?;
            views.push(OfferView { key, ..self.view(context, &facts, &prices, 1, list.sort) });
        }
        self.add_detail(db, context, list.detail, &mut views).await?;
        Ok(Page { rows: views, has_next: page.has_next, has_previous: page.has_previous, total: page.total })
    }

    async fn price_facts_of(&self, db: &impl ConnectionTrait, context: &OfferContext, facts: &[Facts]) -> Result<PriceFacts> {
        let products: Vec<ProductId> = facts.iter().map(|facts| facts.product).collect();
        let rows = store::offer::prices(db, &context.viewpoint(), PricesOf::Products(&products)).await?;
        let schedules = facts.iter().filter_map(|facts| facts.schedule).collect();
        self.price_facts(db, context, rows, schedules).await
    }

    /// The exchange rates from these currencies into that of the context; no statement for none.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn rates_into(&self, db: &impl ConnectionTrait, context: &OfferContext, bases: &[Currency]) -> Result<RateTable> {
        if bases.is_empty() {
            return Ok(RateTable::default());
        }
        let rates = store::offer::rates(db, &context.viewpoint(), bases, context.currency).await?;
        RateTable::new(rates).map_err(|reason| internal!("stored exchange rates: {reason}"))
    }

    async fn price_facts(
        &self,
        db: &impl ConnectionTrait,
        context: &OfferContext,
        rows: HashMap<ProductId, Vec<PriceRow>>,
        mut schedules: Vec<DiscountScheduleId>,
    ) -> Result<PriceFacts> {
        let view = context.viewpoint();
        schedules.sort_unstable_by_key(|id| id.uuid());
        schedules.dedup();
        let schedules = store::offer::schedules(db, &view, &schedules, context.channel).await?;
        let mut bases: Vec<Currency> = schedules
            .values()
            .flat_map(|schedule| schedule.tiers())
            .filter_map(|tier| match tier.price {
                TierPrice::Fixed(price) => Some(price.currency),
                TierPrice::PercentOff(_) => None,
            })
            .chain([self.shop.base_currency])
            .filter(|base| *base != context.currency)
            .collect();
        bases.sort_unstable();
        bases.dedup();
        let rates = self.rates_into(db, context, &bases).await?;
        Ok(PriceFacts { rows, schedules, rates })
    }

    fn quote(
        &self,
        context: &OfferContext,
        facts: &PriceFacts,
        product: ProductId,
        override_prices: &[Money],
        schedule: Option<DiscountScheduleId>,
        quantity: u32,
    ) -> Result<Quote, Unavailable> {
        let prices = Prices {
            override_prices,
            rows: facts.rows.get(&product).map(Vec::as_slice).unwrap_or_default(),
            schedule: schedule.and_then(|schedule| facts.schedules.get(&schedule)),
        };
        let buyer = Buyer { currency: context.currency, groups: &context.groups, channel: context.channel };
        let market = Market { base_currency: self.shop.base_currency, rates: &facts.rates };
        quote(&prices, &buyer, &market, quantity, context.at)
    }

    fn view(&self, context: &OfferContext, facts: &Facts, prices: &PriceFacts, quantity: u32, sort: Sort) -> OfferView {
        let base = OfferBase { kind: facts.kind, title: facts.title.clone(), description: facts.description.clone(), terms: facts.terms };
        let offer = effective(&base, facts.over.as_ref(), context.at);
        OfferView {
            product: facts.product,
            sku: facts.sku.clone(),
            kind: facts.kind,
            target: facts.target,
            quote: self.quote(context, prices, facts.product, &offer.override_prices, facts.schedule, quantity),
            title: offer.title,
            description: offer.description,
            terms: offer.terms,
            quantity,
            saleability: facts.saleability,
            visible: offer.visible && !facts.restricted,
            couponable: facts.couponable,
            tax_class: facts.tax_class.clone(),
            fulfilment: facts.fulfilment,
            gives: facts.gives,
            product_code: facts.product_code.clone(),
            contents: Vec::new(),
            packs: Vec::new(),
            courses: Vec::new(),
            sessions: Vec::new(),
            owned: None,
            key: match sort {
                Sort::Newest => SortKey::Newest(facts.created_at.timestamp_micros()),
                Sort::Title | Sort::Price => SortKey::Title(facts.title_sort.clone()),
            },
        }
    }
}

impl OfferContext {
    /// Whether offers are made in it: a disabled company makes none.
    fn sells(&self) -> bool {
        self.company.as_ref().is_none_or(|company| company.enabled)
    }
}

/// The order of a list that the program sorts. What has no price comes last, whichever way round the list is.
fn in_order(one: &(SortKey, Uuid), other: &(SortKey, Uuid), downwards: bool) -> Ordering {
    let turned = |order: Ordering| if downwards { order.reverse() } else { order };
    match (&one.0, &other.0) {
        (SortKey::Price(None), SortKey::Price(Some(_))) => Ordering::Greater,
        (SortKey::Price(Some(_)), SortKey::Price(None)) => Ordering::Less,
        (key, other_key) => turned(key.cmp(other_key).then(one.1.cmp(&other.1))),
    }
}

impl App {
    /// Adds contents, courses, sessions, packs and whether the buyer has it already, as far as asked for.
    async fn add_detail(&self, db: &impl ConnectionTrait, context: &OfferContext, detail: Detail, views: &mut [OfferView]) -> Result<()> {
        let mut targets: Vec<(ProductKind, Uuid)> = views.iter().map(|view| (view.kind, view.target)).collect();
        targets.sort_unstable();
        targets.dedup();
        if detail.contents {
            let contents = store::offer::contents(db, &targets).await?;
            for view in views.iter_mut() {
                view.contents = contents.get(&view.target).cloned().unwrap_or_default();
            }
        }
        if detail.courses || detail.sessions {
            let courses = store::offer::courses(db, &context.viewpoint(), &targets, detail.course_descriptions).await?;
            let mut events: Vec<_> =
                courses.values().flatten().filter(|course| course.kind == CourseKind::Event).map(|course| course.id).collect();
            events.sort_unstable_by_key(|event| event.uuid());
            events.dedup();
            let sessions = match detail.sessions {
                true => store::offer::sessions(db, &events, context.at).await?,
                false => Vec::new(),
            };
            for view in views.iter_mut() {
                view.courses = courses.get(&view.target).cloned().unwrap_or_default();
                let holds = |session: &&OfferSession| match view.kind {
                    ProductKind::Session => session.id.uuid() == view.target,
                    _ => view.courses.iter().any(|course| course.id == session.course),
                };
                view.sessions = sessions.iter().filter(holds).cloned().collect();
            }
        }
        // What packs there were is not kept.
        if detail.packs && !context.recorded {
            self.add_packs(db, context, views).await?;
        }
        if detail.owned
            && let Some(account) = context.account
        {
            let targets: Vec<Uuid> = views.iter().map(|view| view.target).collect();
            let owned: std::collections::HashSet<Uuid> =
                store::offer::owned(db, account, &targets, context.at).await?.into_iter().collect();
            for view in views {
                view.owned = Some(owned.contains(&view.target));
            }
        }
        Ok(())
    }
}
