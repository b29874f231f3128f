//! Prices, exchange rates and discount schedules, as operators see and set them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, NaiveDate, Utc};
use domain::catalog::{Tier, TierPrice};
use domain::{GroupId, Rate};

use super::catalog::words;
use super::connection::{List, connection, wants_total};
use super::error::{UserError, answer, outcome, payload, scope};
use super::group::Group;
use super::loader::loaders;
use super::product::Product;
use super::scalar::{CurrencyCode, Decimal, Money, MoneyInput, input_id, named_enum};
use crate::app::caller::Topic;
use crate::app::catalog::{Key, Sort};
use crate::app::price as app;
use crate::error::{Code, Refusal, Result};
use crate::page::ListName;

named_enum! {
    /// How the tiers of a discount schedule work: SLAB, the tier found holds for the whole quantity; GRADUATED, each tier holds for the units that
    /// fall into it.
    ScheduleMode(domain::catalog::ScheduleMode)
}

named_enum! {
    /// Which sales a discount schedule is for: SALES_ORDER, carts do not use it; ALL, carts as well.
    ScheduleScope(domain::catalog::AppliesTo)
}

/// A price row of a product. Without group and window it is the list price, with a window a sale price, with a group a price for its members.
#[derive(Debug, Clone)]
pub struct Price(app::Price);

impl From<app::Price> for Price {
    fn from(price: app::Price) -> Self {
        Self(price)
    }
}

#[Object]
impl Price {
    /// The unit price.
    async fn amount(&self) -> Money {
        self.0.row.amount.into()
    }

    /// For members of this group only.
    async fn group(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Group>> {
        match self.0.row.group {
            Some(group) => Ok(loaders(ctx)?.one(group).await?.map(Group::from)),
            None => Ok(None),
        }
    }

    /// Start of its window.
    async fn starts_at(&self) -> Option<DateTime<Utc>> {
        self.0.row.window.starts_at
    }

    /// End of its window, exclusive.
    async fn ends_at(&self) -> Option<DateTime<Utc>> {
        self.0.row.window.ends_at
    }

    /// From when the row held.
    async fn recorded_at(&self) -> DateTime<Utc> {
        self.0.recorded_at
    }

    /// Until when it held; null = still.
    async fn replaced_at(&self) -> Option<DateTime<Utc>> {
        self.0.replaced_at
    }

    /// Who set it: the id of an account or a key, or "system".
    async fn actor(&self) -> &str {
        &self.0.actor
    }

    /// Who replaced it.
    async fn replaced_by(&self) -> Option<&str> {
        self.0.replaced_by.as_deref()
    }
}

/// A price row: an amount, and perhaps a group, and a window either by instants or by days.
#[derive(Debug, Clone, InputObject)]
pub struct PriceInput {
    /// The unit price as a string; 0 for something free.
    pub amount: Decimal,
    /// Its currency.
    pub currency: CurrencyCode,
    /// For members of this group only.
    pub group_id: Option<ID>,
    /// Start of its window.
    pub starts_at: Option<DateTime<Utc>>,
    /// End of its window, exclusive.
    pub ends_at: Option<DateTime<Utc>>,
    /// First day of its window, in the shop's zone.
    pub first_day: Option<NaiveDate>,
    /// Last day of its window, in the shop's zone; it still belongs to it.
    pub last_day: Option<NaiveDate>,
}

/// Reads price rows; each bad one is named by its place under `path`.
///
/// # Errors
/// Unknown currencies, too many digits, ids of no group.
pub fn parse_prices(inputs: &[PriceInput], path: &[&str]) -> Result<Vec<app::PriceWish>> {
    let (mut wishes, mut refusals) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (index, input) in inputs.iter().enumerate() {
        let place: Vec<String> = path.iter().map(|part| (*part).to_owned()).chain([index.to_string()]).collect();
        let amount = MoneyInput { amount: input.amount.clone(), currency: input.currency.clone() }.parse(place.clone());
        let group = input.group_id.as_ref().map(|id| {
            GroupId::parse(id).ok_or_else(|| Refusal::at(Code::NotFound, ["groupId"], "There is no such group; check the id.").under(place))
        });
        match (amount, group.transpose()) {
            (Ok(amount), Ok(group)) => wishes.push(app::PriceWish {
                amount,
                group,
                starts_at: input.starts_at,
                ends_at: input.ends_at,
                first_day: input.first_day,
                last_day: input.last_day,
            }),
            (amount, group) => refusals.extend(amount.err().into_iter().chain(group.err())),
        }
    }
    if refusals.is_empty() { Ok(wishes) } else { Err(refusals.into()) }
}

/// All the prices that a product is to have.
#[derive(Debug, InputObject)]
pub struct ProductPricesSetInput {
    /// The product.
    product_id: ID,
    /// The whole set. Rows that the product has already stay as they are, with their history; rows that are not in this list end now.
    prices: Vec<PriceInput>,
    /// The number of credits that one unit gives. It goes with the price: a product that gives credits demands it whenever its price is set, and
    /// another number than before holds from now on.
    credits: Option<i64>,
}

payload! {
    /// What became of it.
    ProductPricesSetPayload {
        /// The product.
        product: Product
    }
}

// ---- exchange rates -------------------------------------------------------------------------------------------------------------

/// An exchange rate of the operator's table. It is used from its start until the next start for the same currencies; never inverted or chained.
#[derive(Debug, Clone, SimpleObject)]
pub struct ExchangeRate {
    /// The currency converted from.
    base: CurrencyCode,
    /// The currency converted to.
    quote: CurrencyCode,
    /// Units of `quote` for one unit of `base`.
    rate: Decimal,
    /// From when it is used.
    valid_from: DateTime<Utc>,
    /// When it was set.
    recorded_at: DateTime<Utc>,
    /// When another rate with the same start replaced it, or it was taken back; null = it counts.
    replaced_at: Option<DateTime<Utc>>,
    /// Who set it.
    actor: String,
}

impl From<app::SetRate> for ExchangeRate {
    fn from(set: app::SetRate) -> Self {
        Self {
            base: set.rate.base.into(),
            quote: set.rate.quote.into(),
            rate: Decimal(set.rate.rate.to_string()),
            valid_from: set.rate.valid_from,
            recorded_at: set.recorded_at,
            replaced_at: set.replaced_at,
            actor: set.actor,
        }
    }
}

/// An exchange rate to be set.
#[derive(Debug, InputObject)]
pub struct ExchangeRateInput {
    /// The currency converted from.
    base: CurrencyCode,
    /// The currency converted to.
    quote: CurrencyCode,
    /// Units of `quote` for one unit of `base`: a positive decimal of at most 12 significant digits. Null takes back the rate with this start.
    rate: Option<Decimal>,
    /// From when it is used; now when left out.
    valid_from: Option<DateTime<Utc>>,
}

/// Exchange rates to be set. Rates with other currencies or another start stay.
#[derive(Debug, InputObject)]
pub struct ExchangeRatesSetInput {
    /// The rates, at most 1,000.
    rates: Vec<ExchangeRateInput>,
}

/// What became of it.
#[derive(Debug, SimpleObject)]
pub struct ExchangeRatesSetPayload {
    /// The rates that count now, in the order of the input, without those taken back.
    exchange_rates: Option<Vec<ExchangeRate>>,
    /// Why the call was refused; empty when it was done.
    user_errors: Vec<UserError>,
}

/// Which exchange rates to list.
#[derive(Debug, Default, InputObject)]
pub struct ExchangeRateFilter {
    /// From this currency.
    base: Option<CurrencyCode>,
    /// To this currency.
    quote: Option<CurrencyCode>,
    /// Those that were replaced or taken back too.
    #[graphql(default)]
    replaced: bool,
}

fn parse_rates(inputs: Vec<ExchangeRateInput>) -> Result<Vec<app::RateWish>> {
    let (mut wishes, mut refusals) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (index, input) in inputs.into_iter().enumerate() {
        let under = |field: &str, reason: domain::MoneyError| Refusal::from(reason).under(["rates", &index.to_string(), field]);
        let base = domain::Currency::parse(&input.base.0).map_err(|reason| under("base", reason));
        let quote = domain::Currency::parse(&input.quote.0).map_err(|reason| under("quote", reason));
        let rate = input.rate.map(|rate| Rate::parse(&rate.0)).transpose().map_err(|reason| under("rate", reason));
        match (base, quote, rate) {
            (Ok(base), Ok(quote), Ok(rate)) => wishes.push(app::RateWish { base, quote, rate, valid_from: input.valid_from }),
            (base, quote, rate) => refusals.extend(base.err().into_iter().chain(quote.err()).chain(rate.err())),
        }
    }
    if refusals.is_empty() { Ok(wishes) } else { Err(refusals.into()) }
}

// ---- discount schedules ---------------------------------------------------------------------------------------------------------

/// Quantity discounts by name, shared by libraries.
#[derive(Debug, Clone)]
pub struct DiscountSchedule(app::NamedSchedule);

impl From<app::NamedSchedule> for DiscountSchedule {
    fn from(schedule: app::NamedSchedule) -> Self {
        Self(schedule)
    }
}

/// A tier of a discount schedule. Exactly at its minimum quantity it holds.
#[derive(Debug, Clone, SimpleObject)]
pub struct DiscountTier {
    /// The first quantity that it holds for.
    min_quantity: u32,
    /// Percent off the price found.
    percent_off: Option<Decimal>,
    /// A fixed unit price, used where it is lower than the price found.
    price: Option<Money>,
}

#[Object]
impl DiscountSchedule {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Name; unique whatever the case.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// How its tiers work.
    async fn mode(&self) -> ScheduleMode {
        self.0.schedule.mode().into()
    }

    /// Which sales it is for.
    async fn applies_to(&self) -> ScheduleScope {
        self.0.schedule.applies_to().into()
    }

    /// Its tiers by ascending quantity.
    async fn tiers(&self) -> Vec<DiscountTier> {
        let tier = |tier: &Tier| match tier.price {
            TierPrice::PercentOff(percent) => {
                DiscountTier { min_quantity: tier.min_quantity, percent_off: Some(Decimal(percent.to_string())), price: None }
            }
            TierPrice::Fixed(price) => DiscountTier { min_quantity: tier.min_quantity, percent_off: None, price: Some(price.into()) },
        };
        self.0.schedule.tiers().iter().map(tier).collect()
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Since when it says this.
    async fn recorded_at(&self) -> DateTime<Utc> {
        self.0.recorded_at
    }

    /// Who said so.
    async fn actor(&self) -> &str {
        &self.0.actor
    }
}

/// A tier: give either `percentOff` or `price`.
#[derive(Debug, InputObject)]
pub struct DiscountTierInput {
    /// The first quantity that it holds for.
    min_quantity: i64,
    /// Percent off the price found, 0 to 100 with up to 4 decimals.
    percent_off: Option<Decimal>,
    /// A fixed unit price, used where it is lower than the price found.
    price: Option<MoneyInput>,
}

/// A discount schedule to be made or changed.
#[derive(Debug, InputObject)]
pub struct DiscountScheduleSetInput {
    /// The schedule to change; without it, a new one is made.
    id: Option<ID>,
    /// Name; unique whatever the case.
    name: String,
    /// How its tiers work.
    #[graphql(default_with = "ScheduleMode(domain::catalog::ScheduleMode::Slab)")]
    mode: ScheduleMode,
    /// Which sales it is for.
    #[graphql(default_with = "ScheduleScope(domain::catalog::AppliesTo::SalesOrder)")]
    applies_to: ScheduleScope,
    /// Its tiers, by strictly ascending quantity, the first at 1.
    tiers: Vec<DiscountTierInput>,
}

payload! {
    /// What became of it.
    DiscountScheduleSetPayload {
        /// The schedule.
        discount_schedule: DiscountSchedule
    }
}

fn parse_tiers(inputs: &[DiscountTierInput]) -> Result<Vec<Tier>> {
    let (mut tiers, mut refusals) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (index, input) in inputs.iter().enumerate() {
        let place = ["tiers".to_owned(), index.to_string()];
        let fixed = input.price.as_ref().map(|price| price.parse(["price"])).transpose();
        let price = fixed.and_then(|fixed| TierPrice::given(input.percent_off.as_ref().map(|percent| percent.0.as_str()), fixed));
        match price {
            // A quantity that no u32 holds is out of every tier's range, as 0 is; the domain says so with its place.
            Ok(price) => tiers.push(Tier { min_quantity: u32::try_from(input.min_quantity).unwrap_or(0), price }),
            Err(refusal) => refusals.push(refusal.under(place)),
        }
    }
    if refusals.is_empty() { Ok(tiers) } else { Err(refusals.into()) }
}

// ---- queries and mutations ------------------------------------------------------------------------------------------------------

/// Queries about prices.
#[derive(Debug, Default)]
pub struct PriceQuery;

#[Object]
impl PriceQuery {
    /// Exchange rates in pages, the latest start first.
    async fn exchange_rates(
        &self,
        ctx: &Context<'_>,
        filter: Option<ExchangeRateFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<ExchangeRate>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Prices.read())?;
                let filter = filter.unwrap_or_default();
                let filter = app::RateFilter {
                    base: filter.base.map(|code| code.parse(["filter", "base"])).transpose()?,
                    quote: filter.quote.map(|code| code.parse(["filter", "quote"])).transpose()?,
                    replaced: filter.replaced,
                };
                let list = ListName::new("exchangeRates", &filter)?;
                let page = app.exchange_rates(caller, &filter, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (Key::At(row.rate.valid_from), row.id), ExchangeRate::from)
            }
            .await,
        )
    }

    /// One discount schedule.
    async fn discount_schedule(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<DiscountSchedule>> {
        let (_, caller) = scope(ctx)?;
        answer(caller.require(Topic::Prices.read()))?;
        match domain::DiscountScheduleId::parse(&id) {
            Some(id) => Ok(loaders(ctx)?.one(id).await?.map(DiscountSchedule)),
            None => Ok(None),
        }
    }

    /// Discount schedules in pages, by name.
    async fn discount_schedules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Words that all occur in the name.")] search: Option<String>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<DiscountSchedule>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Prices.read())?;
                let words = words(search.as_deref())?;
                let list = ListName::new("discountSchedules", &words)?;
                let page = app.discount_schedules(caller, &words, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (Sort::Title.key(&row.name, row.created_at, row.created_at), row.id.uuid()), DiscountSchedule)
            }
            .await,
        )
    }
}

/// Mutations of prices.
#[derive(Debug, Default)]
pub struct PriceMutation;

#[Object]
impl PriceMutation {
    /// Gives a product the whole set of its prices.
    async fn product_prices_set(&self, ctx: &Context<'_>, input: ProductPricesSetInput) -> async_graphql::Result<ProductPricesSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Prices.write())?;
            let product = input_id(&input.product_id, "productId", "product")?;
            app.product_prices_set(caller, product, parse_prices(&input.prices, &["prices"])?, input.credits).await
        };
        ProductPricesSetPayload::of(result.await)
    }

    /// Sets exchange rates in the operator's table. A rate with the same currencies and start as another replaces it; the others stay.
    async fn exchange_rates_set(&self, ctx: &Context<'_>, input: ExchangeRatesSetInput) -> async_graphql::Result<ExchangeRatesSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Prices.write())?;
            app.exchange_rates_set(caller, parse_rates(input.rates)?).await
        };
        Ok(match outcome(result.await)? {
            Ok(rates) => ExchangeRatesSetPayload {
                exchange_rates: Some(rates.into_iter().map(ExchangeRate::from).collect()),
                user_errors: Vec::new(),
            },
            Err(user_errors) => ExchangeRatesSetPayload { exchange_rates: None, user_errors },
        })
    }

    /// Makes a discount schedule, or changes one. What it said before stays known for prices as of an earlier instant.
    async fn discount_schedule_set(
        &self,
        ctx: &Context<'_>,
        input: DiscountScheduleSetInput,
    ) -> async_graphql::Result<DiscountScheduleSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Prices.write())?;
            let cmd = app::ScheduleSet {
                id: input.id.as_ref().map(|id| input_id(id, "id", "discount schedule")).transpose()?,
                name: input.name,
                mode: input.mode.0,
                applies_to: input.applies_to.0,
                tiers: parse_tiers(&input.tiers)?,
            };
            app.discount_schedule_set(caller, cmd).await
        };
        DiscountScheduleSetPayload::of(result.await)
    }
}
