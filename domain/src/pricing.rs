//! The price of an offer, as the steps that it is computed from, and the amounts of a line.
//!
//! Always true here: a price is what its steps fold to, nothing else; every amount of a quote is in the buyer's currency once it has been
//! brought there; the unit price is rounded once, after conversion and tier, so that unit price times quantity is the subtotal (R10, R49, R79).

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::{AppliesTo, PriceLevel, PriceRow, Schedule, ScheduleMode, TierPrice};
use crate::id::GroupId;
use crate::money::{Currency, Money, MoneyError, Percent, Rate, ratio};
use crate::refusal::{Code, Reason};

/// An exchange rate of the operator's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRate {
    /// The currency converted from.
    pub base: Currency,
    /// The currency converted to.
    pub quote: Currency,
    /// Units of `quote` for one unit of `base`.
    pub rate: Rate,
    /// From when it holds, until the next one of the same pair.
    pub valid_from: DateTime<Utc>,
}

/// Why an exchange rate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateRefusal {
    /// Both currencies are the same.
    #[error("The rate at place {index} is from {currency} to itself; name two different currencies.")]
    SameCurrency {
        /// Place in the list, from 0.
        index: usize,
        /// The currency.
        currency: Currency,
    },
    /// The same pair from the same instant twice.
    #[error("The rate at place {index} is for the same currencies and the same start as the one at place {first}; give one of them.")]
    Repeated {
        /// Place in the list, from 0.
        index: usize,
        /// Place of the other one.
        first: usize,
    },
}

impl Reason for RateRefusal {
    fn code(&self) -> Code {
        match self {
            Self::SameCurrency { .. } => Code::Invalid,
            Self::Repeated { .. } => Code::Repeated,
        }
    }

    fn field(&self) -> Vec<String> {
        match self {
            Self::SameCurrency { index, .. } | Self::Repeated { index, .. } => vec!["rates".to_owned(), index.to_string()],
        }
    }
}

/// The operator's exchange rates. Only direct ones are used: neither inverted nor chained.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RateTable {
    rates: Vec<ExchangeRate>,
}

impl RateTable {
    /// A table of these rates, in any order.
    ///
    /// # Errors
    /// [`RateRefusal`].
    pub fn new(rates: Vec<ExchangeRate>) -> Result<Self, RateRefusal> {
        let mut placed: Vec<(usize, ExchangeRate)> = rates.into_iter().enumerate().collect();
        if let Some((index, rate)) = placed.iter().find(|(_, rate)| rate.base == rate.quote) {
            return Err(RateRefusal::SameCurrency { index: *index, currency: rate.base });
        }
        placed.sort_by_key(|(index, rate)| (rate_key(rate), *index));
        for pair in placed.windows(2) {
            if let [(first, one), (index, other)] = pair
                && rate_key(one) == rate_key(other)
            {
                return Err(RateRefusal::Repeated { index: *index, first: *first });
            }
        }
        Ok(Self { rates: placed.into_iter().map(|(_, rate)| rate).collect() })
    }

    /// The rate from `base` to `quote` that is valid at `instant`.
    pub fn at(&self, base: Currency, quote: Currency, instant: DateTime<Utc>) -> Option<ExchangeRate> {
        let after = self.rates.partition_point(|rate| rate_key(rate) <= (base, quote, instant));
        self.rates[..after].last().filter(|rate| (rate.base, rate.quote) == (base, quote)).copied()
    }
}

/// The prices of one offer, for one company.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prices<'a> {
    /// The company's own prices, if an override holds now.
    pub override_prices: &'a [Money],
    /// The product's price rows.
    pub rows: &'a [PriceRow],
    /// The library's discount schedule.
    pub schedule: Option<&'a Schedule>,
}

/// By which road something is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Cart and order.
    Cart,
    /// Sales order.
    SalesOrder,
}

/// Who buys.
#[derive(Debug, Clone, Copy)]
pub struct Buyer<'a> {
    /// The currency of the buyer's context.
    pub currency: Currency,
    /// The groups that the buyer is in.
    pub groups: &'a [GroupId],
    /// By which road.
    pub channel: Channel,
}

/// What the shop as a whole contributes to a price.
#[derive(Debug, Clone, Copy)]
pub struct Market<'a> {
    /// The shop's base currency: the one that prices are converted from.
    pub base_currency: Currency,
    /// Exchange rates.
    pub rates: &'a RateTable,
}

named! {
    /// The rule behind a step of a price.
    pub enum Rule {
        /// The company's own price.
        CompanyPrice = "COMPANY_PRICE",
        /// The lowest price of the buyer's groups.
        GroupPrice = "GROUP_PRICE",
        /// A price for a window of time.
        SalePrice = "SALE_PRICE",
        /// The recommended price.
        ListPrice = "LIST_PRICE",
        /// Conversion from the base currency.
        Conversion = "CONVERSION",
        /// The tier of a slab schedule.
        QuantityTier = "QUANTITY_TIER",
        /// A part of the quantity in a graduated schedule.
        GraduatedTier = "GRADUATED_TIER",
        /// The price of a pack, by a coupon.
        Pack = "PACK",
        /// A coupon's discount.
        Coupon = "COUPON",
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The unit price begins as this amount.
    Start(Money),
    /// The unit price is converted. It stays exact; what is shown is rounded, the next step is not computed from that.
    Convert(ExchangeRate),
    /// A percentage is taken off the unit price.
    PercentOff(Percent),
    /// The unit price becomes that of a tier or a pack, converted if that is in another currency; parts found before are dropped.
    Replace {
        /// The fixed price.
        price: Money,
        /// The rate, if converted.
        rate: Option<ExchangeRate>,
    },
    /// Some of the units cost this; the unit price itself stays.
    Part {
        /// How many units.
        units: u32,
        /// What one of them costs.
        price: PartPrice,
    },
    /// This is taken off what all units cost together; the unit price itself stays.
    Off(Money),
}

/// What a unit of one tier of a graduated schedule costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartPrice {
    /// The unit price found.
    AsFound,
    /// A percentage less.
    PercentOff(Percent),
    /// A fixed price, converted if that is in another currency.
    Fixed {
        /// The fixed price.
        price: Money,
        /// The rate, if converted.
        rate: Option<ExchangeRate>,
    },
}

/// A step of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The rule behind it.
    pub rule: Rule,
    /// What it does.
    pub effect: Effect,
    /// The unit price after this step, rounded; for [`Effect::Part`], what its units cost together; for [`Effect::Off`], what is taken off.
    pub amount: Money,
}

impl Step {
    /// The rule in words.
    pub const fn label(&self) -> &'static str {
        match self.rule {
            Rule::CompanyPrice => "Company price",
            Rule::GroupPrice => "Group price",
            Rule::SalePrice => "Sale price",
            Rule::ListPrice => "List price",
            Rule::Conversion => "Conversion",
            Rule::QuantityTier | Rule::GraduatedTier => "Quantity discount",
            Rule::Pack => "Pack",
            Rule::Coupon => "Coupon",
        }
    }

    /// What the step did, in words; empty where the amount says it all.
    pub fn detail(&self) -> String {
        let converted = |rate: Option<ExchangeRate>| rate.map(|rate| format!(", {}", rate_words(&rate))).unwrap_or_default();
        match self.effect {
            Effect::Start(_) | Effect::Off(_) => String::new(),
            Effect::Convert(rate) => rate_words(&rate),
            Effect::PercentOff(percent) => format!("{percent} % off"),
            Effect::Replace { price, rate } => format!("{price} each{}", converted(rate)),
            Effect::Part { units, price } => match price {
                PartPrice::AsFound => format!("{units} at the price found"),
                PartPrice::PercentOff(percent) => format!("{units} at {percent} % off"),
                PartPrice::Fixed { price, rate } => format!("{units} at {price} each{}", converted(rate)),
            },
        }
    }
}

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// How many units.
    pub quantity: u32,
    /// The price of one; none where the parts of a graduated schedule differ.
    pub unit_price: Option<Money>,
    /// The recommended price of one, if there is one in the buyer's currency.
    pub list_price: Option<Money>,
    /// The price of all, before coupons' discounts.
    pub subtotal: Money,
    /// What the price is computed from, in order.
    pub steps: Vec<Step>,
}

impl Quote {
    /// The quote with a pack's price for one in place of what was found (R32).
    ///
    /// # Errors
    /// Overflow, or a rate of other currencies.
    pub fn packed(mut self, price: Money, rate: Option<ExchangeRate>) -> Result<Self, MoneyError> {
        let effect = Effect::Replace { price, rate };
        let unit = Folding::default().apply(&effect)?;
        self.subtotal = unit.times(i64::from(self.quantity))?;
        self.unit_price = Some(unit);
        self.steps.push(Step { rule: Rule::Pack, effect, amount: unit });
        Ok(self)
    }

    /// The quote with a coupon's discount as its last step; the subtotal stays what it is before discounts. Nothing off is no step.
    #[must_use]
    pub fn discounted(mut self, discount: Money) -> Self {
        if !discount.is_zero() {
            self.steps.push(Step { rule: Rule::Coupon, effect: Effect::Off(discount), amount: discount });
        }
        self
    }

    /// The exchange rates that the price depends on.
    pub fn rates_used(&self) -> Vec<ExchangeRate> {
        let mut rates: Vec<ExchangeRate> = Vec::new();
        for step in &self.steps {
            let used = match step.effect {
                Effect::Convert(rate) => Some(rate),
                Effect::Replace { rate, .. } | Effect::Part { price: PartPrice::Fixed { rate, .. }, .. } => rate,
                Effect::Start(_) | Effect::PercentOff(_) | Effect::Part { .. } | Effect::Off(_) => None,
            };
            rates.extend(used.filter(|rate| !rates.contains(rate)));
        }
        rates
    }
}

/// Why there is no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There are prices, but none in the buyer's currency and no rate to convert one.
    #[error("This offer has no price in {to}, nor one that can be converted to it at present; choose another currency.")]
    NoRate {
        /// The shop's base currency.
        from: Currency,
        /// The buyer's currency.
        to: Currency,
    },
    /// There is no price at all.
    #[error("This offer has no price yet, so it cannot be bought; choose another one.")]
    NoPrice,
    /// Price times quantity is more than an amount can hold.
    #[error("The price of so many units is too large; order fewer at once.")]
    TooLarge,
}

impl Reason for Unavailable {
    fn code(&self) -> Code {
        match self {
            Self::NoRate { .. } => Code::NoRate,
            Self::NoPrice => Code::NoPrice,
            Self::TooLarge => Code::TooLarge,
        }
    }
}

impl From<MoneyError> for Unavailable {
    fn from(_: MoneyError) -> Self {
        // Currencies are brought together before they meet, so an amount that does not fit is all that can go wrong.
        Self::TooLarge
    }
}

/// The price of `quantity` units for a buyer at an instant.
///
/// The level comes first: company price, else the lowest price of the buyer's groups, else the sale price of a window, else the list price; a
/// level counts only if it has a price in the buyer's currency or in the base currency. Within the level, the price in the buyer's currency is
/// taken, else the base currency's is converted. Then the schedule's tier, if the schedule is for this channel.
///
/// # Errors
/// [`Unavailable`].
pub fn quote(prices: &Prices<'_>, buyer: &Buyer<'_>, market: &Market<'_>, quantity: u32, now: DateTime<Utc>) -> Result<Quote, Unavailable> {
    let context = Context { currency: buyer.currency, market, now };
    let found = price_found(prices, buyer, &context)?;
    let list_price = context.pick(Rule::ListPrice, rows_at(prices, PriceLevel::List, now)).and_then(Result::ok).map(|found| found.price);
    let mut steps = found.steps()?;
    let schedule = prices.schedule.filter(|schedule| buyer.channel == Channel::SalesOrder || schedule.applies_to() == AppliesTo::All);
    if let Some(schedule) = schedule {
        context.apply_schedule(schedule, found.price, quantity, &mut steps)?;
    }
    steps.quote(quantity, list_price)
}

/// What steps come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// A unit price.
    Unit(Money),
    /// The sum of the parts of a graduated schedule.
    Parts(Money),
}

/// Computes again what steps come to before discounts, from their effects alone: a frozen quote explains itself.
///
/// # Errors
/// [`MoneyError`] for steps that no quote has: none, or currencies that do not fit.
pub fn fold(steps: &[Step]) -> Result<Folded, MoneyError> {
    let mut folding = Folding::default();
    for step in steps {
        folding.apply(&step.effect)?;
    }
    folding.result()
}

/// Steps on their way to a quote, each computed from those before it.
#[derive(Debug, Default)]
struct Steps {
    folding: Folding,
    steps: Vec<Step>,
}

impl Steps {
    fn push(&mut self, rule: Rule, effect: Effect) -> Result<(), Unavailable> {
        let amount = self.folding.apply(&effect)?;
        self.steps.push(Step { rule, effect, amount });
        Ok(())
    }

    fn quote(self, quantity: u32, list_price: Option<Money>) -> Result<Quote, Unavailable> {
        let (unit_price, subtotal) = match self.folding.result()? {
            Folded::Unit(unit) => (Some(unit), unit.times(i64::from(quantity))?),
            Folded::Parts(sum) => (None, sum),
        };
        Ok(Quote { quantity, unit_price, list_price, subtotal, steps: self.steps })
    }
}

/// A unit price on its way: an exact fraction of minor units, rounded only where an amount is needed.
#[derive(Debug, Clone, Copy)]
struct Exact {
    numerator: i128,
    denominator: i128,
    currency: Currency,
}

impl Exact {
    const fn of(amount: Money) -> Self {
        Self { numerator: amount.minor as i128, denominator: 1, currency: amount.currency }
    }

    fn times(self, numerator: i128, denominator: i128) -> Result<Self, MoneyError> {
        let shared = (common_divisor(self.numerator, denominator), common_divisor(numerator, self.denominator));
        let product = |one: i128, other: i128| one.checked_mul(other).ok_or(MoneyError::Overflow);
        Ok(Self {
            numerator: product(self.numerator / shared.0, numerator / shared.1)?,
            denominator: product(self.denominator / shared.1, denominator / shared.0)?,
            currency: self.currency,
        })
    }

    fn convert(self, rate: &ExchangeRate) -> Result<Self, MoneyError> {
        if rate.base != self.currency {
            return Err(MoneyError::CurrencyMismatch { expected: self.currency, found: rate.base });
        }
        let (numerator, denominator) = rate.rate.factor(rate.base, rate.quote)?;
        Ok(Self { currency: rate.quote, ..self.times(numerator, denominator)? })
    }

    fn percent_off(self, percent: Percent) -> Result<Self, MoneyError> {
        self.times(i128::from(percent.rest().units()), i128::from(Percent::WHOLE))
    }

    fn rounded(self) -> Result<Money, MoneyError> {
        Ok(Money::new(ratio(1, self.numerator, self.denominator)?, self.currency))
    }
}

#[derive(Debug, Default)]
struct Folding {
    unit: Option<Exact>,
    parts: Option<Money>,
}

impl Folding {
    /// Applies a step; gives the amount that it shows.
    fn apply(&mut self, effect: &Effect) -> Result<Money, MoneyError> {
        let unit = match *effect {
            Effect::Start(price) => Exact::of(price),
            Effect::Convert(rate) => self.unit()?.convert(&rate)?,
            Effect::PercentOff(percent) => self.unit()?.percent_off(percent)?,
            Effect::Replace { price, rate } => {
                self.parts = None;
                brought(price, rate)?
            }
            Effect::Off(discount) => return Ok(discount),
            Effect::Part { units, price } => {
                let each = match price {
                    PartPrice::AsFound => self.unit()?,
                    PartPrice::PercentOff(percent) => self.unit()?.percent_off(percent)?,
                    PartPrice::Fixed { price, rate } => brought(price, rate)?,
                };
                let part = each.rounded()?.times(i64::from(units))?;
                self.parts = Some(match self.parts {
                    Some(sum) => sum.add(part)?,
                    None => part,
                });
                return Ok(part);
            }
        };
        self.unit = Some(unit);
        unit.rounded()
    }

    fn result(&self) -> Result<Folded, MoneyError> {
        match self.parts {
            Some(sum) => Ok(Folded::Parts(sum)),
            None => self.unit()?.rounded().map(Folded::Unit),
        }
    }

    fn unit(&self) -> Result<Exact, MoneyError> {
        self.unit.ok_or(MoneyError::Overflow)
    }
}

fn brought(price: Money, rate: Option<ExchangeRate>) -> Result<Exact, MoneyError> {
    let exact = Exact::of(price);
    rate.map_or(Ok(exact), |rate| exact.convert(&rate))
}

/// A level's price, with what it was converted from.
struct Found {
    rule: Rule,
    start: Money,
    rate: Option<ExchangeRate>,
    price: Money,
}

impl Found {
    /// The steps to it.
    fn steps(&self) -> Result<Steps, Unavailable> {
        // Room for a schedule's tier as well.
        let mut steps = Steps { folding: Folding::default(), steps: Vec::with_capacity(3) };
        steps.push(self.rule, Effect::Start(self.start))?;
        if let Some(rate) = self.rate {
            steps.push(Rule::Conversion, Effect::Convert(rate))?;
        }
        Ok(steps)
    }
}

struct Context<'a> {
    currency: Currency,
    market: &'a Market<'a>,
    now: DateTime<Utc>,
}

fn price_found(prices: &Prices<'_>, buyer: &Buyer<'_>, context: &Context<'_>) -> Result<Found, Unavailable> {
    if let Some(found) = context.pick(Rule::CompanyPrice, prices.override_prices.iter().copied()) {
        return found;
    }
    // The level counts if any of the groups has a price; one that cannot be converted does not hide another one that can be paid.
    let mut lowest: Option<Result<Found, Unavailable>> = None;
    for group in buyer.groups {
        let Some(found) = context.pick(Rule::GroupPrice, rows_at(prices, PriceLevel::Group(*group), context.now)) else { continue };
        let better = match (&lowest, &found) {
            (None, _) | (Some(Err(_)), Ok(_)) => true,
            (Some(Ok(best)), Ok(found)) => (found.price.minor, found.rate.is_some()) < (best.price.minor, best.rate.is_some()),
            (Some(_), Err(_)) => false,
        };
        if better {
            lowest = Some(found);
        }
    }
    if let Some(found) = lowest {
        return found;
    }
    for (rule, level) in [(Rule::SalePrice, PriceLevel::Sale), (Rule::ListPrice, PriceLevel::List)] {
        if let Some(found) = context.pick(rule, rows_at(prices, level, context.now)) {
            return found;
        }
    }
    // No level counts. Prices in third currencies are prices all the same: what is missing then is a way into the buyer's currency.
    let in_third_currency = !prices.override_prices.is_empty()
        || prices.rows.iter().any(|row| row.window.contains(context.now) && row.group.is_none_or(|group| buyer.groups.contains(&group)));
    if in_third_currency { Err(context.no_rate()) } else { Err(Unavailable::NoPrice) }
}

fn rows_at<'a>(prices: &Prices<'a>, level: PriceLevel, now: DateTime<Utc>) -> impl Iterator<Item = Money> + Clone + 'a {
    prices.rows.iter().filter(move |row| row.level() == level && row.window.contains(now)).map(|row| row.amount)
}

impl Context<'_> {
    /// The price of one level: in the buyer's currency, else converted from the base currency; none if the level does not count.
    fn pick(&self, rule: Rule, mut level: impl Iterator<Item = Money> + Clone) -> Option<Result<Found, Unavailable>> {
        if let Some(price) = level.clone().find(|price| price.currency == self.currency) {
            return Some(Ok(Found { rule, start: price, rate: None, price }));
        }
        let base = level.find(|price| price.currency == self.market.base_currency)?;
        let Some(rate) = self.rate(base.currency) else { return Some(Err(self.no_rate())) };
        let found = rate.rate.convert(base, self.currency).map_err(Unavailable::from);
        Some(found.map(|price| Found { rule, start: base, rate: Some(rate), price }))
    }

    fn rate(&self, from: Currency) -> Option<ExchangeRate> {
        self.market.rates.at(from, self.currency, self.now)
    }

    const fn no_rate(&self) -> Unavailable {
        Unavailable::NoRate { from: self.market.base_currency, to: self.currency }
    }

    fn apply_schedule(&self, schedule: &Schedule, found: Money, quantity: u32, steps: &mut Steps) -> Result<(), Unavailable> {
        match schedule.mode() {
            ScheduleMode::Slab => match schedule.tier(quantity).map(|tier| tier.price) {
                Some(TierPrice::PercentOff(percent)) if percent.units() > 0 => {
                    steps.push(Rule::QuantityTier, Effect::PercentOff(percent))?;
                }
                Some(TierPrice::Fixed(price)) => {
                    if let Some((price, rate)) = self.lower(price, found)? {
                        steps.push(Rule::QuantityTier, Effect::Replace { price, rate })?;
                    }
                }
                Some(TierPrice::PercentOff(_)) | None => {}
            },
            ScheduleMode::Graduated => {
                for (tier, units) in schedule.parts(quantity) {
                    let price = match tier.price {
                        TierPrice::PercentOff(percent) if percent.units() > 0 => PartPrice::PercentOff(percent),
                        TierPrice::PercentOff(_) => PartPrice::AsFound,
                        TierPrice::Fixed(price) => match self.lower(price, found)? {
                            Some((price, rate)) => PartPrice::Fixed { price, rate },
                            None => PartPrice::AsFound,
                        },
                    };
                    steps.push(Rule::GraduatedTier, Effect::Part { units, price })?;
                }
            }
        }
        Ok(())
    }

    /// A tier's fixed price, with the rate if it needs one, if it is lower than the price found; one that cannot be converted gives nothing.
    fn lower(&self, price: Money, found: Money) -> Result<Option<(Money, Option<ExchangeRate>)>, MoneyError> {
        if price.currency == self.currency {
            return Ok((price.minor < found.minor).then_some((price, None)));
        }
        let Some(rate) = self.rate(price.currency) else { return Ok(None) };
        let converted = rate.rate.convert(price, self.currency)?;
        Ok((converted.minor < found.minor).then_some((price, Some(rate))))
    }
}

fn rate_key(rate: &ExchangeRate) -> (Currency, Currency, DateTime<Utc>) {
    (rate.base, rate.quote, rate.valid_from)
}

fn rate_words(rate: &ExchangeRate) -> String {
    format!("1 {} = {} {}", rate.base, rate.rate, rate.quote)
}

const fn common_divisor(one: i128, other: i128) -> i128 {
    let (mut one, mut other) = (one.unsigned_abs(), other.unsigned_abs());
    // What fits 64 bits, as nearly all does, is divided much faster there.
    while other != 0 && (one > u64::MAX as u128 || other > u64::MAX as u128) {
        (one, other) = (other, one % other);
    }
    if other != 0 {
        let (mut short, mut shorter) = (one as u64, other as u64);
        while shorter != 0 {
            (short, shorter) = (shorter, short % shorter);
        }
        one = short as u128;
    }
    // Both zero has no divisor, and 2^127 fits no i128; dividing by 1 is right for either.
    if one == 0 || one > i128::MAX.unsigned_abs() { 1 } else { one as i128 }
}

/// The amounts of a line of a cart or an order, all in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineAmounts {
    /// Price before discounts.
    pub subtotal: Money,
    /// Discounts, as a positive amount.
    pub discount: Money,
    /// Without tax.
    pub net: Money,
    /// Tax rate, of the net amount.
    pub tax_rate: Percent,
    /// Tax.
    pub tax: Money,
    /// What is paid for the line.
    pub total: Money,
}

impl LineAmounts {
    /// The amounts of a line. With `prices_include_tax`, what is left after the discount is the total and holds the tax; else it is the net
    /// amount, and the tax comes on top. Either way the tax is rounded once, and net and tax add up to the total.
    ///
    /// # Errors
    /// Two currencies, a discount below zero or above the subtotal, or overflow.
    pub fn new(subtotal: Money, discount: Money, tax_rate: Percent, prices_include_tax: bool) -> Result<Self, MoneyError> {
        let left = subtotal.sub(discount)?;
        if discount.minor < 0 || left.minor < 0 {
            return Err(MoneyError::Overflow);
        }
        let (rate, whole) = (i128::from(tax_rate.units()), i128::from(Percent::WHOLE));
        if prices_include_tax {
            let tax = Money::new(ratio(left.minor, rate, whole + rate)?, left.currency);
            Ok(Self { subtotal, discount, net: left.sub(tax)?, tax_rate, tax, total: left })
        } else {
            let tax = Money::new(ratio(left.minor, rate, whole)?, left.currency);
            Ok(Self { subtotal, discount, net: left, tax_rate, tax, total: left.add(tax)? })
        }
    }
}

/// The sums over the lines of a cart or an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Sum of the subtotals.
    pub subtotal: Money,
    /// Sum of the discounts.
    pub discount: Money,
    /// Sum of the net amounts.
    pub net: Money,
    /// Sum of the taxes.
    pub tax: Money,
    /// Sum of the totals: what is to pay.
    pub total: Money,
}

impl Totals {
    /// The sums; of no lines, zero in `currency`.
    ///
    /// # Errors
    /// A line in another currency, or overflow.
    pub fn of<'a>(currency: Currency, lines: impl IntoIterator<Item = &'a LineAmounts>) -> Result<Self, MoneyError> {
        let zero = Money::zero(currency);
        let none = Self { subtotal: zero, discount: zero, net: zero, tax: zero, total: zero };
        lines.into_iter().try_fold(none, |sums, line| {
            Ok(Self {
                subtotal: sums.subtotal.add(line.subtotal)?,
                discount: sums.discount.add(line.discount)?,
                net: sums.net.add(line.net)?,
                tax: sums.tax.add(line.tax)?,
                total: sums.total.add(line.total)?,
            })
        })
    }
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.subtotal, self.quantity)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::Tier;
    use crate::window::Window;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).expect("currency")
    }

    fn money(text: &str) -> Money {
        let (amount, code) = text.split_once(' ').expect("amount and currency");
        Money::parse(amount, currency(code)).expect("amount")
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("instant")
    }

    fn now() -> DateTime<Utc> {
        at("2026-06-15T12:00:00Z")
    }

    fn group(n: u128) -> GroupId {
        GroupId::new(Uuid::from_u128(n))
    }

    fn rate(base: &str, quote: &str, rate: &str, valid_from: &str) -> ExchangeRate {
        ExchangeRate { base: currency(base), quote: currency(quote), rate: Rate::parse(rate).expect("rate"), valid_from: at(valid_from) }
    }

    fn rates() -> RateTable {
        RateTable::new(vec![
            rate("USD", "EUR", "0.95", "2026-07-01T00:00:00Z"),
            rate("USD", "EUR", "0.92", "2026-01-01T00:00:00Z"),
            rate("USD", "JPY", "151.37", "2026-01-01T00:00:00Z"),
            rate("USD", "KWD", "0.3077", "2026-01-01T00:00:00Z"),
            rate("GBP", "EUR", "1.15", "2026-01-01T00:00:00Z"),
        ])
        .expect("rates")
    }

    fn list(text: &str) -> PriceRow {
        PriceRow { amount: money(text), group: None, window: Window::ALWAYS }
    }

    fn june(text: &str) -> PriceRow {
        let window = Window::new(Some(at("2026-06-01T00:00:00Z")), Some(at("2026-07-01T00:00:00Z"))).expect("window");
        PriceRow { window, ..list(text) }
    }

    fn members(n: u128, text: &str) -> PriceRow {
        PriceRow { group: Some(group(n)), ..list(text) }
    }

    fn slab(tiers: &[(u32, TierPrice)]) -> Schedule {
        schedule(ScheduleMode::Slab, AppliesTo::All, tiers)
    }

    fn schedule(mode: ScheduleMode, applies_to: AppliesTo, tiers: &[(u32, TierPrice)]) -> Schedule {
        let tiers = tiers.iter().map(|(min_quantity, price)| Tier { min_quantity: *min_quantity, price: *price }).collect();
        Schedule::new(mode, applies_to, tiers).expect("schedule")
    }

    fn off(percent: &str) -> TierPrice {
        TierPrice::PercentOff(Percent::parse(percent).expect("percent"))
    }

    fn fixed(text: &str) -> TierPrice {
        TierPrice::Fixed(money(text))
    }

    fn ask(prices: &Prices<'_>, code: &str, groups: &[GroupId], quantity: u32) -> Result<Quote, Unavailable> {
        let table = rates();
        let market = Market { base_currency: currency("USD"), rates: &table };
        quote(prices, &Buyer { currency: currency(code), groups, channel: Channel::Cart }, &market, quantity, now())
    }

    fn rules(quote: &Quote) -> Vec<&'static str> {
        quote.steps.iter().map(|step| step.rule.name()).collect()
    }

    /// R49, R79: level first, then currency.
    #[test]
    fn r49_r79_level_comes_before_currency() {
        let both = [group(1), group(2)];
        let all = [list("49.00 USD"), list("45.00 EUR"), june("39.00 USD"), members(1, "30.00 USD"), members(2, "29.00 EUR")];
        let own = [money("25.00 USD")];
        type Case<'a> = (&'a [Money], &'a [PriceRow], &'a str, &'a [GroupId], &'a str, &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            // The list price alone, in each currency, and converted: 49.00 x 151.37 = 7417.13.
            (&[], &all[..2], "USD", &[], "49.00 USD", &["LIST_PRICE"]),
            (&[], &all[..2], "EUR", &[], "45.00 EUR", &["LIST_PRICE"]),
            (&[], &all[..2], "JPY", &[], "7417 JPY", &["LIST_PRICE", "CONVERSION"]),
            // The sale price goes before the list price even where it has to be converted: 39.00 x 0.92 = 35.88.
            (&[], &all[..3], "EUR", &[], "35.88 EUR", &["SALE_PRICE", "CONVERSION"]),
            // Groups: only the buyer's own, the lowest of them in the buyer's currency: 30.00 USD is 27.60 EUR, below 29.00 EUR.
            (&[], &all, "EUR", &[], "35.88 EUR", &["SALE_PRICE", "CONVERSION"]),
            (&[], &all, "EUR", &both, "27.60 EUR", &["GROUP_PRICE", "CONVERSION"]),
            (&[], &all, "EUR", &both[1..], "29.00 EUR", &["GROUP_PRICE"]),
            // Group 2 has a price in EUR only: for a buyer in USD the level does not count.
            (&[], &all, "USD", &both[1..], "39.00 USD", &["SALE_PRICE"]),
            // The company's price goes before all of them, also where it is dearer.
            (&own, &all, "USD", &both, "25.00 USD", &["COMPANY_PRICE"]),
            (&own, &all, "EUR", &both, "23.00 EUR", &["COMPANY_PRICE", "CONVERSION"]),
            // A company price in a third currency does not count.
            (&[money("20.00 GBP")], &all[..1], "USD", &[], "49.00 USD", &["LIST_PRICE"]),
        ];
        for (override_prices, rows, code, groups, expected, expected_rules) in cases {
            let prices = Prices { override_prices, rows, schedule: None };
            let found = ask(&prices, code, groups, 1).expect("price");
            assert_eq!(found.unit_price, Some(money(expected)), "{code} {groups:?}");
            assert_eq!(rules(&found), *expected_rules, "{code} {groups:?}");
        }
    }

    /// R75's rule for prices: no inverse, no chained rate; what cannot be converted is said plainly.
    #[test]
    fn without_a_direct_rate_there_is_no_price() {
        let no_rate = |code: &str| Err(Unavailable::NoRate { from: currency("USD"), to: currency(code) });
        for (rows, code, groups, expected) in [
            (vec![list("49.00 USD")], "CHF", vec![], no_rate("CHF")),
            // A rate from GBP exists, but prices are converted from the base currency only.
            (vec![list("49.00 GBP")], "EUR", vec![], no_rate("EUR")),
            // EUR to USD would be the inverse.
            (vec![list("49.00 EUR")], "USD", vec![], no_rate("USD")),
            // The sale level counts through its price in the base currency, and then has no rate; the list price does not step in.
            (vec![list("49.00 CHF"), june("39.00 USD")], "CHF", vec![], no_rate("CHF")),
            (vec![], "USD", vec![], Err(Unavailable::NoPrice)),
            (vec![members(1, "30.00 USD")], "USD", vec![], Err(Unavailable::NoPrice)),
            // One group's price cannot be converted, the other's needs no rate.
            (vec![members(1, "30.00 USD"), members(2, "40.00 CHF")], "CHF", vec![group(1), group(2)], Ok(Some(money("40.00 CHF")))),
            (vec![members(1, "30.00 USD")], "CHF", vec![group(1)], no_rate("CHF")),
        ] {
            let prices = Prices { rows: &rows, ..Prices::default() };
            assert_eq!(ask(&prices, code, &groups, 1).map(|quote| quote.unit_price), expected, "{rows:?} {code}");
        }
    }

    #[test]
    fn the_rate_valid_at_the_instant_is_used() {
        let table = rates();
        let (usd, eur) = (currency("USD"), currency("EUR"));
        for (instant, expected) in [
            ("2025-12-31T23:59:59Z", None),
            ("2026-01-01T00:00:00Z", Some("0.92")),
            ("2026-06-30T23:59:59.999999Z", Some("0.92")),
            ("2026-07-01T00:00:00Z", Some("0.95")),
        ] {
            assert_eq!(table.at(usd, eur, at(instant)).map(|rate| rate.rate.to_string()).as_deref(), expected, "{instant}");
        }
        assert_eq!(table.at(eur, usd, now()), None);
        assert_eq!(table.at(currency("AUD"), usd, now()), None);
        let twice = vec![rate("USD", "EUR", "1", "2026-01-01T00:00:00Z"), rate("USD", "EUR", "2", "2026-01-01T00:00:00Z")];
        assert_eq!(RateTable::new(twice), Err(RateRefusal::Repeated { index: 1, first: 0 }));
        assert!(RateTable::new(vec![rate("USD", "USD", "1", "2026-01-01T00:00:00Z")]).is_err());
    }

    /// c05: the base is the price to pay, not the list price.
    #[test]
    fn c05_the_sale_price_is_the_base() {
        let rows = [list("40.00 USD"), june("24.00 USD")];
        let found = ask(&Prices { rows: &rows, ..Prices::default() }, "USD", &[], 10).expect("price");
        assert_eq!((found.subtotal, found.list_price), (money("240.00 USD"), Some(money("40.00 USD"))));
    }

    /// c35, R50: the row found holds for the whole quantity; graduated, each row for its own units.
    #[test]
    fn c35_r50_slab_and_graduated_at_the_borders() {
        let rows = [list("10.00 USD")];
        let tiers = [(1, fixed("10.00 USD")), (11, fixed("9.00 USD")), (51, fixed("8.00 USD"))];
        let graduated = schedule(ScheduleMode::Graduated, AppliesTo::All, &tiers);
        for (quantity, by_slab, by_parts) in [(10, 10_000, 10_000), (11, 9_900, 10_900), (50, 45_000, 46_000), (51, 40_800, 46_800)] {
            let found =
                ask(&Prices { rows: &rows, schedule: Some(&slab(&tiers)), ..Prices::default() }, "USD", &[], quantity).expect("price");
            assert_eq!(found.subtotal.minor, by_slab, "slab of {quantity}");
            let found = ask(&Prices { rows: &rows, schedule: Some(&graduated), ..Prices::default() }, "USD", &[], quantity).expect("price");
            assert_eq!((found.subtotal.minor, found.unit_price), (by_parts, None), "parts of {quantity}");
        }
        let found = ask(&Prices { rows: &rows, schedule: Some(&graduated), ..Prices::default() }, "USD", &[], 51).expect("price");
        let shown: Vec<_> = found.steps.iter().map(|step| (step.rule.name(), step.amount.minor, step.detail())).collect();
        assert_eq!(
            shown,
            [
                ("LIST_PRICE", 1_000, String::new()),
                ("GRADUATED_TIER", 10_000, "10 at the price found".to_owned()),
                ("GRADUATED_TIER", 36_000, "40 at 9.00 USD each".to_owned()),
                ("GRADUATED_TIER", 800, "1 at 8.00 USD each".to_owned()),
            ]
        );
    }

    /// R50: 10.00 from 1, 10 % off from 10, 8.00 from 11, half off from 10,000: each quantity on either side of a border, and the first and last
    /// that can be bought.
    #[test]
    fn r50_every_border_of_a_schedule_by_hand() {
        let rows = [list("10.00 USD")];
        let tiers = [(1, fixed("10.00 USD")), (10, off("10")), (11, fixed("8.00 USD")), (10_000, off("50"))];
        let graduated = schedule(ScheduleMode::Graduated, AppliesTo::All, &tiers);
        for (quantity, by_slab, by_parts) in [
            (1, "10.00 USD", "10.00 USD"),
            (9, "90.00 USD", "90.00 USD"),
            (10, "90.00 USD", "99.00 USD"),
            (11, "88.00 USD", "107.00 USD"),
            // 90.00 + 9.00 + 9,989 x 8.00.
            (9_999, "79992.00 USD", "80011.00 USD"),
            (10_000, "50000.00 USD", "80016.00 USD"),
        ] {
            for (schedule, expected) in [(&slab(&tiers), by_slab), (&graduated, by_parts)] {
                let prices = Prices { rows: &rows, schedule: Some(schedule), ..Prices::default() };
                assert_eq!(
                    ask(&prices, "USD", &[], quantity).expect("price").subtotal,
                    money(expected),
                    "{:?} {quantity}",
                    schedule.mode()
                );
            }
        }
    }

    #[test]
    fn a_schedule_for_sales_orders_leaves_carts_alone() {
        let rows = [list("10.00 USD")];
        let bulk = schedule(ScheduleMode::Slab, AppliesTo::SalesOrder, &[(1, off("0")), (10, off("20"))]);
        let prices = Prices { rows: &rows, schedule: Some(&bulk), ..Prices::default() };
        assert_eq!(ask(&prices, "USD", &[], 10).expect("price").subtotal, money("100.00 USD"));
        let table = rates();
        let market = Market { base_currency: currency("USD"), rates: &table };
        let buyer = Buyer { currency: currency("USD"), groups: &[], channel: Channel::SalesOrder };
        assert_eq!(quote(&prices, &buyer, &market, 10, now()).expect("price").subtotal, money("80.00 USD"));
    }

    #[test]
    fn a_fixed_tier_price_counts_where_it_is_lower() {
        for (row, tier, code, expected, expected_rules) in [
            ("10.00 USD", "9.00 USD", "USD", "9.00 USD", vec!["LIST_PRICE", "QUANTITY_TIER"]),
            ("8.00 USD", "9.00 USD", "USD", "8.00 USD", vec!["LIST_PRICE"]),
            ("9.00 USD", "9.00 USD", "USD", "9.00 USD", vec!["LIST_PRICE"]),
            // 8.00 GBP x 1.15 = 9.20 EUR; without a rate the tier does nothing.
            ("10.00 EUR", "8.00 GBP", "EUR", "9.20 EUR", vec!["LIST_PRICE", "QUANTITY_TIER"]),
            ("9.00 EUR", "8.00 GBP", "EUR", "9.00 EUR", vec!["LIST_PRICE"]),
            ("10.00 USD", "1.00 GBP", "USD", "10.00 USD", vec!["LIST_PRICE"]),
            // Both are converted, each once: 10.00 x 0.92 = 9.20 and 9.00 x 0.92 = 8.28.
            ("10.00 USD", "9.00 USD", "EUR", "8.28 EUR", vec!["LIST_PRICE", "CONVERSION", "QUANTITY_TIER"]),
        ] {
            let (rows, schedule) = ([list(row)], slab(&[(1, fixed(tier))]));
            let found = ask(&Prices { rows: &rows, schedule: Some(&schedule), ..Prices::default() }, code, &[], 3).expect("price");
            assert_eq!((found.unit_price, rules(&found)), (Some(money(expected)), expected_rules), "{row}, tier {tier}, in {code}");
        }
    }

    /// Conversion and tier round the unit price once: 0.05 USD x 0.92 = 0.046 EUR, less 5 % = 0.0437 EUR, which is 0.04 EUR; rounded on the way
    /// it would have been 0.05 EUR, then 0.0475 EUR, then 0.05 EUR.
    #[test]
    fn a_converted_price_with_a_tier_is_rounded_once() {
        let (rows, schedule) = ([list("0.05 USD")], slab(&[(1, off("5"))]));
        let found = ask(&Prices { rows: &rows, schedule: Some(&schedule), ..Prices::default() }, "EUR", &[], 1_000).expect("price");
        assert_eq!(
            found.steps.iter().map(|step| step.amount).collect::<Vec<_>>(),
            [money("0.05 USD"), money("0.05 EUR"), money("0.04 EUR")]
        );
        assert_eq!((found.unit_price, found.subtotal), (Some(money("0.04 EUR")), money("40.00 EUR")));
        assert_eq!(found.rates_used().len(), 1);
        // 19.99 USD x 0.3077 = 6.150923 KWD, less 12.5 % = 5.382057625 KWD.
        let (rows, schedule) = ([list("19.99 USD")], slab(&[(1, off("12.5"))]));
        let found = ask(&Prices { rows: &rows, schedule: Some(&schedule), ..Prices::default() }, "KWD", &[], 7).expect("price");
        assert_eq!((found.unit_price, found.subtotal), (Some(money("5.382 KWD")), money("37.674 KWD")));
    }

    /// It is the unit price that is rounded, half away from zero, not what is taken off: 49.95 less 10 % is 44.955, so 44.96.
    #[test]
    fn a_tier_of_some_percent_rounds_the_unit_price() {
        for (row, percent, expected) in [
            ("19.99 USD", "25", "14.99 USD"),
            ("49.95 USD", "10", "44.96 USD"),
            ("985 JPY", "10", "887 JPY"),
            ("980 JPY", "15", "833 JPY"),
            ("10.00 USD", "100", "0.00 USD"),
        ] {
            let (rows, schedule) = ([list(row)], slab(&[(1, off(percent))]));
            let code = &row[row.len() - 3..];
            let found = ask(&Prices { rows: &rows, schedule: Some(&schedule), ..Prices::default() }, code, &[], 1).expect("price");
            assert_eq!(found.unit_price, Some(money(expected)), "{percent} % off {row}");
        }
    }

    #[test]
    fn amounts_that_no_order_can_hold_are_refused() {
        let rows = [PriceRow { amount: Money::new(i64::MAX / 2, currency("USD")), ..list("1.00 USD") }];
        let prices = Prices { rows: &rows, ..Prices::default() };
        assert!(ask(&prices, "USD", &[], 1).is_ok());
        assert_eq!(ask(&prices, "USD", &[], 3), Err(Unavailable::TooLarge));
        assert_eq!(ask(&prices, "JPY", &[], 3), Err(Unavailable::TooLarge));
    }

    /// Tax at 23 %, by hand: of 100.00 with tax in it, 18.70 (18.699) is tax; on 100.00 without, 23.00. Of 0.99 with tax, 0.19 (0.18512).
    #[test]
    fn lines_add_up_with_tax_inside_and_on_top() {
        for (subtotal, discount, rate, included, net, tax, total) in [
            ("100.00 USD", "0.00 USD", "0", true, "100.00 USD", "0.00 USD", "100.00 USD"),
            ("100.00 USD", "0.00 USD", "0", false, "100.00 USD", "0.00 USD", "100.00 USD"),
            ("100.00 USD", "0.00 USD", "23", true, "81.30 USD", "18.70 USD", "100.00 USD"),
            ("100.00 USD", "0.00 USD", "23", false, "100.00 USD", "23.00 USD", "123.00 USD"),
            ("100.00 USD", "10.00 USD", "23", false, "90.00 USD", "20.70 USD", "110.70 USD"),
            ("0.99 USD", "0.00 USD", "23", true, "0.80 USD", "0.19 USD", "0.99 USD"),
            ("985 JPY", "99 JPY", "10", true, "805 JPY", "81 JPY", "886 JPY"),
            ("10.00 USD", "10.00 USD", "23", true, "0.00 USD", "0.00 USD", "0.00 USD"),
        ] {
            let line =
                LineAmounts::new(money(subtotal), money(discount), Percent::parse(rate).expect("a percentage"), included).expect("line");
            assert_eq!((line.net, line.tax, line.total), (money(net), money(tax), money(total)), "{subtotal} {rate} {included}");
        }
        assert!(LineAmounts::new(money("1.00 USD"), money("1.01 USD"), Percent::default(), true).is_err());
        assert!(LineAmounts::new(money("1.00 USD"), money("-0.01 USD"), Percent::default(), true).is_err());
        assert!(LineAmounts::new(money("1.00 USD"), money("0.01 EUR"), Percent::default(), true).is_err());
    }

    fn any_prices() -> impl Strategy<Value = (Vec<Money>, Vec<PriceRow>)> {
        let price = (0_i64..10_000_000, prop::sample::select(vec!["USD", "EUR", "JPY", "KWD", "GBP"]))
            .prop_map(|(minor, code)| Money::new(minor, currency(code)));
        let row = (price.clone(), prop::option::of(1_u128..4), any::<bool>()).prop_map(|(amount, of_group, sale)| PriceRow {
            amount,
            group: of_group.map(group),
            window: if sale { june("1.00 USD").window } else { Window::ALWAYS },
        });
        (prop::collection::vec(price, 0..2), prop::collection::vec(row, 0..8))
    }

    fn any_schedule() -> impl Strategy<Value = Schedule> {
        let price = prop_oneof![
            (0_i64..=1_000_000).prop_map(|units| TierPrice::PercentOff(Percent::from_units(units).expect("percent"))),
            (0_i64..5_000_000, prop::sample::select(vec!["USD", "GBP"]))
                .prop_map(|(minor, code)| TierPrice::Fixed(Money::new(minor, currency(code)))),
        ];
        let minimums = prop::collection::btree_set(2_u32..500, 0..5);
        (minimums, prop::collection::vec(price, 6), any::<bool>()).prop_map(|(minimums, prices, by_slab)| {
            let tiers: Vec<(u32, TierPrice)> = std::iter::once(1).chain(minimums).zip(prices).collect();
            schedule(if by_slab { ScheduleMode::Slab } else { ScheduleMode::Graduated }, AppliesTo::All, &tiers)
        })
    }

    proptest! {
        #[test]
        fn a_price_is_what_its_steps_fold_to(
            (own, rows) in any_prices(),
            tiers in prop::option::of(any_schedule()),
            code in prop::sample::select(vec!["USD", "EUR", "JPY", "KWD"]),
            quantity in 1_u32..=10_000,
        ) {
            let groups = [group(1), group(2)];
            let prices = Prices { override_prices: &own, rows: &rows, schedule: tiers.as_ref() };
            if let Ok(found) = ask(&prices, code, &groups, quantity) {
                let last = found.steps.last().expect("a step");
                match fold(&found.steps).expect("foldable") {
                    Folded::Unit(unit) => {
                        prop_assert_eq!(found.unit_price, Some(unit));
                        prop_assert_eq!(last.amount, unit);
                        prop_assert_eq!(found.subtotal.minor, unit.minor * i64::from(quantity));
                    }
                    Folded::Parts(sum) => {
                        prop_assert_eq!(found.unit_price, None);
                        prop_assert_eq!(found.subtotal, sum);
                        let parts = found.steps.iter().filter(|step| step.rule == Rule::GraduatedTier);
                        prop_assert_eq!(parts.map(|step| step.amount.minor).sum::<i64>(), sum.minor);
                    }
                }
                let converted = found.steps.iter().skip_while(|step| step.amount.currency != currency(code)).map(|step| step.amount.currency);
                prop_assert!(found.subtotal.currency == currency(code) && converted.into_iter().all(|one| one == currency(code)));
                prop_assert!(found.subtotal.minor >= 0);
                let kept = serde_json::to_string(&found).expect("json");
                prop_assert_eq!(serde_json::from_str::<Quote>(&kept).expect("quote"), found);
            }
        }

        #[test]
        fn a_tier_never_makes_a_price_dearer((own, rows) in any_prices(), tiers in any_schedule(), quantity in 1_u32..=10_000) {
            let plain = Prices { override_prices: &own, rows: &rows, schedule: None };
            let with = Prices { schedule: Some(&tiers), ..plain };
            if let (Ok(plain), Ok(with)) = (ask(&plain, "EUR", &[], quantity), ask(&with, "EUR", &[], quantity)) {
                prop_assert!(with.subtotal.minor <= plain.subtotal.minor);
            }
        }

        /// R50, c35: a schedule prices as somebody would who walks from unit to unit and looks each one's tier up by hand, at and around every
        /// border, in carts and sales orders alike.
        #[test]
        fn r50_c35_a_schedule_prices_as_counting_unit_by_unit_does(
            tiers in any_schedule(),
            price in 0_i64..1_000_000,
            near in any::<prop::sample::Index>(),
            offset in -1_i64..=1,
            anywhere in 1_u32..=600,
            at_border in any::<bool>(),
        ) {
            let border = i64::from(near.get(tiers.tiers()).min_quantity) + offset;
            let quantity = if at_border { u32::try_from(border.max(1)).expect("small") } else { anywhere };
            let rows = [PriceRow { amount: Money::new(price, currency("USD")), ..list("1.00 USD") }];
            let prices = Prices { rows: &rows, schedule: Some(&tiers), ..Prices::default() };

            // What a unit costs in a tier: half a cent is rounded up; a fixed price counts where it is lower; pounds have no rate into dollars.
            let each = |tier: &Tier| match tier.price {
                TierPrice::PercentOff(percent) => (price * i64::from(1_000_000 - percent.units()) * 2 + 1_000_000) / 2_000_000,
                TierPrice::Fixed(fixed) if fixed.currency == currency("USD") => fixed.minor.min(price),
                TierPrice::Fixed(_) => price,
            };
            let tier_of = |unit: u32| {
                let mut reached = &tiers.tiers()[0];
                for tier in tiers.tiers() {
                    if tier.min_quantity <= unit {
                        reached = tier;
                    }
                }
                reached
            };
            let mut expected = 0;
            for unit in 1..=quantity {
                expected += each(tier_of(if tiers.mode() == ScheduleMode::Slab { quantity } else { unit }));
            }
            let in_cart = ask(&prices, "USD", &[], quantity).expect("price");
            prop_assert_eq!(in_cart.subtotal.minor, expected);
            let table = rates();
            let market = Market { base_currency: currency("USD"), rates: &table };
            let bulk = Buyer { currency: currency("USD"), groups: &[], channel: Channel::SalesOrder };
            prop_assert_eq!(quote(&prices, &bulk, &market, quantity, now()).expect("price"), in_cart);
        }

        #[test]
        fn a_line_adds_up(minor in 0_i64..1_000_000_000, share in 0_i64..=100, rate in 0_i64..=1_000_000, included in any::<bool>()) {
            let (subtotal, discount) = (Money::new(minor, currency("EUR")), Money::new(minor * share / 100, currency("EUR")));
            let rate = Percent::from_units(rate).expect("a percentage");
            let line = LineAmounts::new(subtotal, discount, rate, included).expect("line");
            prop_assert_eq!(line.net.minor + line.tax.minor, line.total.minor);
            prop_assert!(line.tax.minor >= 0 && line.net.minor >= 0);
            let left = if included { line.total } else { line.net };
            prop_assert_eq!(left.minor, minor - discount.minor);
            let totals = Totals::of(currency("EUR"), [&line, &line]).expect("totals");
            prop_assert_eq!(totals.total.minor, 2 * line.total.minor);
        }
    }
}
