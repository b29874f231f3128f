//! Royalties: what a licensor is owed for a sale, what of it goes when money goes back, and in which period it stands (R51 to R54).
//!
//! Always true here: what is owed for a line is what was recommended or set for it, less the share of it whose money went back, rounded once;
//! so it does not matter in how many parts, or in which order, money goes back, and of a line that is refunded whole nothing is owed.

use std::fmt;

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::cart::MAX_QUANTITY;
use crate::catalog::{MAX_TIERS, price_limit};
use crate::id::{LicensorId, RoyaltyPlanId};
use crate::money::{Currency, Money, MoneyError, Percent, ratio};
use crate::refusal::{Code, Reason};

named! {
    /// Who made a sale.
    pub enum Originator {
        /// The shop.
        Operator = "OPERATOR",
        /// A company.
        Company = "COMPANY",
        /// Whoever the content is licensed from.
        Licensor = "LICENSOR",
    }
}

named! {
    /// By which road something was sold.
    pub enum SaleChannel {
        /// Cart and order.
        Retail = "RETAIL",
        /// Sales order.
        SalesOrder = "SALES_ORDER",
    }
}

named! {
    /// What kind of line was sold.
    pub enum SoldBy {
        /// An order's.
        OrderLine = "ORDER_LINE",
        /// A sales order's.
        SalesLine = "SALES_LINE",
    }
}

named! {
    /// What an entry says.
    pub enum EntryKind {
        /// The line was sold.
        Sale = "SALE",
        /// Somebody set another royalty than was recommended.
        Override = "OVERRIDE",
        /// Money went back.
        Reversal = "REVERSAL",
        /// Money that went back came again.
        Restoration = "RESTORATION",
    }
}

/// From how many units on which part of the net is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The first quantity that it holds for.
    pub min_quantity: u32,
    /// Percent of the line's net.
    pub percent: Percent,
}

/// What is owed for a sale of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// So much for each unit, whatever it was sold for; in the currency that was agreed on with the licensor.
    Fixed(Money),
    /// A percentage of the line's net: the step that the quantity reaches holds for all of it.
    Sliding(Vec<Step>),
}

/// What is owed for sales of one originator by one road.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRate {
    /// Who made the sale.
    pub originator: Originator,
    /// By which road.
    pub channel: SaleChannel,
    /// What is owed.
    pub rate: Rate,
}

/// What libraries owe their licensor. For an originator and road that it does not name, nothing is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan(Vec<PlanRate>);

impl Plan {
    /// A plan of these rates.
    ///
    /// # Errors
    /// No rate, two for the same sales, steps that do not ascend from 1, a sum for each unit that no price can be.
    pub fn new(rates: Vec<PlanRate>) -> Result<Self, RoyaltyRefusal> {
        if rates.is_empty() {
            return Err(RoyaltyRefusal::NoRates);
        }
        for (index, given) in rates.iter().enumerate() {
            let same = |other: &PlanRate| (other.originator, other.channel) == (given.originator, given.channel);
            if rates[..index].iter().any(same) {
                return Err(RoyaltyRefusal::RepeatedRate { index, originator: given.originator, channel: given.channel });
            }
            match &given.rate {
                Rate::Fixed(amount) if price_limit(*amount).is_err() => return Err(RoyaltyRefusal::PerUnit { index }),
                Rate::Fixed(_) => {}
                Rate::Sliding(steps) => check_steps(index, steps)?,
            }
        }
        Ok(Self(rates))
    }

    /// Its rates, as given.
    pub fn rates(&self) -> &[PlanRate] {
        &self.0
    }

    /// What it recommends for a line, and by which rule; `None`: nothing is owed for such a sale.
    ///
    /// # Errors
    /// Overflow.
    pub fn recommend(&self, sale: &Sale) -> Result<Option<(Rule, Money)>, MoneyError> {
        let Some(found) = self.0.iter().find(|rate| (rate.originator, rate.channel) == (sale.originator, sale.channel)) else {
            return Ok(None);
        };
        let rule = match &found.rate {
            Rate::Fixed(amount) => Rule::PerUnit(*amount),
            // Steps ascend from 1, so every quantity reaches one.
            Rate::Sliding(steps) => match steps.iter().rev().find(|step| step.min_quantity <= sale.quantity) {
                Some(step) => Rule::Percent(step.percent),
                None => return Ok(None),
            },
        };
        Ok(Some((rule, rule.amount(sale)?)))
    }
}

fn check_steps(rate: usize, steps: &[Step]) -> Result<(), RoyaltyRefusal> {
    let refuse = |index, why| Err(RoyaltyRefusal::Step { rate, index, why });
    if steps.is_empty() {
        return Err(RoyaltyRefusal::NoSteps { rate });
    }
    if steps.len() > MAX_TIERS {
        return Err(RoyaltyRefusal::TooManySteps { rate });
    }
    let mut before = 0;
    for (index, step) in steps.iter().enumerate() {
        if !(1..=MAX_QUANTITY).contains(&step.min_quantity) {
            return refuse(index, StepFault::OutOfRange);
        }
        if index == 0 && step.min_quantity != 1 {
            return refuse(index, StepFault::FirstNotOne);
        }
        if step.min_quantity <= before {
            return refuse(index, StepFault::NotAscending);
        }
        before = step.min_quantity;
    }
    Ok(())
}

/// What a royalty hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sale {
    /// Who made the sale.
    pub originator: Originator,
    /// By which road.
    pub channel: SaleChannel,
    /// Units.
    pub quantity: u32,
    /// The line after discounts, before tax.
    pub net: Money,
}

/// How a royalty was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// So much for each unit.
    PerUnit(Money),
    /// A percentage of the line's net.
    Percent(Percent),
}

impl Rule {
    fn amount(self, sale: &Sale) -> Result<Money, MoneyError> {
        match self {
            Self::PerUnit(amount) => amount.times(i64::from(sale.quantity)),
            Self::Percent(percent) => sale.net.percent(percent),
        }
    }
}

/// A royalty as it was recommended when a line was sold, kept with the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommended {
    /// The plan that said so.
    pub plan: RoyaltyPlanId,
    /// Who is owed.
    pub licensor: LicensorId,
    /// Who made the sale.
    pub originator: Originator,
    /// By which road.
    pub channel: SaleChannel,
    /// How it was computed.
    pub rule: Rule,
    /// How much.
    pub amount: Money,
}

/// What of a line's money went back, as a part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// What went back, in minor units.
    part: i64,
    /// What had been paid.
    whole: i64,
}

impl Gone {
    /// Nothing went back.
    pub const NOTHING: Self = Self { part: 0, whole: 1 };

    /// `part` of `whole` went back.
    ///
    /// # Errors
    /// The part is negative or more than the whole, or the whole is nothing.
    pub fn of(part: i64, whole: i64) -> Result<Self, MoneyError> {
        if whole > 0 && (0..=whole).contains(&part) { Ok(Self { part, whole }) } else { Err(MoneyError::Overflow) }
    }

    /// What went back.
    pub const fn part(self) -> i64 {
        self.part
    }

    /// What had been paid.
    pub const fn whole(self) -> i64 {
        self.whole
    }

    /// What still stands of `amount`.
    ///
    /// # Errors
    /// Overflow.
    pub fn left_of(self, amount: Money) -> Result<Money, MoneyError> {
        let reversed = ratio(amount.minor, i128::from(self.part), i128::from(self.whole))?;
        amount.sub(Money::new(reversed, amount.currency))
    }
}

/// What was paid for a line of an order, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaidLine {
    /// What was paid.
    pub total: Money,
    /// What of it was refunded.
    pub refunded: Money,
    /// Whether a refund ended what it gave: all that can be said of a line that cost nothing.
    pub ended: bool,
}

/// What of each line's money went back: by refunds, and by lost disputes, which are spread over what refunds left of the lines. More than was
/// paid for it is gone of no line, whatever gateways say.
///
/// # Errors
/// Amounts of several currencies.
pub fn gone(currency: Currency, lines: &[PaidLine], lost: Money) -> Result<Vec<Gone>, MoneyError> {
    let mut left = Vec::with_capacity(lines.len());
    for line in lines {
        left.push(line.total.sub(line.refunded)?.minor.max(0));
    }
    let all = Money::sum(currency, left.iter().map(|minor| Money::new(*minor, currency)))?;
    let lost = Money::new(lost.minor.clamp(0, all.minor), currency);
    let everything = lost == all && !lost.is_zero();
    let parts = lost.split(&left)?;
    lines
        .iter()
        .zip(left.into_iter().zip(parts))
        .map(|(line, (left, lost))| {
            if line.total.is_zero() {
                return Gone::of(i64::from(line.ended || everything), 1);
            }
            Gone::of(line.total.minor - left + lost.minor, line.total.minor)
        })
        .collect()
}

/// What the entries of a line say so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The line's net when it was sold.
    pub net: Money,
    /// The royalty that holds for the whole line: the recommended one or the one that somebody set.
    pub applied: Money,
    /// What of the line's money went back.
    pub gone: Gone,
    /// Sum of the entries' royalties.
    pub owed: Money,
    /// Sum of the entries' nets.
    pub net_left: Money,
}

/// One more entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it says.
    pub kind: EntryKind,
    /// The royalty that holds for the whole line from then on.
    pub applied: Money,
    /// What of the line's money is back then.
    pub gone: Gone,
    /// What is owed more, or less if negative.
    pub amount: Money,
    /// What was sold more, or less if negative.
    pub net: Money,
}

impl Account {
    /// The entry that follows when more or less of the line's money is gone; `None` if it says nothing new.
    ///
    /// # Errors
    /// Overflow.
    pub fn follow(&self, gone: Gone) -> Result<Option<Change>, MoneyError> {
        let change = self.change(EntryKind::Reversal, self.applied, gone)?;
        if change.amount.is_zero() && change.net.is_zero() {
            return Ok(None);
        }
        let less = change.amount.minor < 0 || change.net.minor < 0;
        Ok(Some(Change { kind: if less { EntryKind::Reversal } else { EntryKind::Restoration }, ..change }))
    }

    /// The entry of another royalty for the whole line. What of the line went back takes its share of that one.
    ///
    /// # Errors
    /// An amount in another currency, below zero or out of range.
    pub fn set(&self, applied: Money) -> Result<Change, RoyaltyRefusal> {
        if applied.currency != self.applied.currency {
            return Err(RoyaltyRefusal::OtherCurrency { expected: self.applied.currency, found: applied.currency });
        }
        if price_limit(applied).is_err() {
            return Err(RoyaltyRefusal::OutOfRange);
        }
        Ok(self.change(EntryKind::Override, applied, self.gone)?)
    }

    fn change(&self, kind: EntryKind, applied: Money, gone: Gone) -> Result<Change, MoneyError> {
        let amount = gone.left_of(applied)?.sub(self.owed)?;
        let net = gone.left_of(self.net)?.sub(self.net_left)?;
        Ok(Change { kind, applied, gone, amount, net })
    }
}

/// A month of the books, in the shop's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    year: i32,
    month: u32,
}

impl Period {
    /// The month that holds this instant.
    pub fn of(instant: DateTime<Utc>, zone: Tz) -> Self {
        let day = instant.with_timezone(&zone).date_naive();
        Self { year: day.year(), month: day.month() }
    }

    /// Reads a month such as `2026-11`.
    ///
    /// # Errors
    /// [`RoyaltyRefusal::BadPeriod`].
    pub fn parse(text: &str) -> Result<Self, RoyaltyRefusal> {
        let number = |part: &str, length: usize| {
            let digits = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse::<u32>().ok()).flatten()
        };
        let read = |text: &str| {
            let (year, month) = text.split_once('-')?;
            let (year, month) = (number(year, 4)?, number(month, 2)?);
            let year = i32::try_from(year).ok()?;
            ((1969..=9999).contains(&year) && (1..=12).contains(&month)).then_some(Self { year, month })
        };
        read(text.trim()).ok_or_else(|| RoyaltyRefusal::BadPeriod { given: text.chars().take(40).collect() })
    }

    /// The month after.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self { year, month: 12 } => Self { year: year + 1, month: 1 },
            Self { year, month } => Self { year, month: month + 1 },
        }
    }

    /// The period of an entry that is made in this month: the month itself, or the first one that is open.
    #[must_use]
    pub fn open(self, closed_through: Option<Self>) -> Self {
        closed_through.filter(|closed| *closed >= self).map_or(self, Self::next)
    }

    /// Closes this period and those before it, in the month `now`.
    ///
    /// # Errors
    /// It has not begun, or is closed already.
    pub fn close(self, now: Self, closed_through: Option<Self>) -> Result<(), RoyaltyRefusal> {
        match closed_through {
            Some(closed) if closed >= self => Err(RoyaltyRefusal::Closed { period: self, closed }),
            _ if self > now => Err(RoyaltyRefusal::NotBegun { period: self, now }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// What is wrong with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepFault {
    /// The first step has to begin at 1.
    #[error("the first tier has to begin at a quantity of 1")]
    FirstNotOne,
    /// Minimum quantities have to grow.
    #[error("its minimum quantity has to be larger than the one before; order the tiers by quantity and give each once")]
    NotAscending,
    /// A minimum quantity that no line reaches.
    #[error("its minimum quantity has to be from 1 to {MAX_QUANTITY}")]
    OutOfRange,
}

/// Why something about royalties is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoyaltyRefusal {
    /// A plan without rates.
    #[error("The plan says nothing; give a rate for at least one originator and channel.")]
    NoRates,
    /// Two rates for the same sales.
    #[error("The rate for originator {originator} and channel {channel} is given twice; give each once.")]
    RepeatedRate {
        /// Place of the second one.
        index: usize,
        /// Who makes those sales.
        originator: Originator,
        /// By which road.
        channel: SaleChannel,
    },
    /// A rate without exactly one way to compute it.
    #[error("Give each rate either perUnit or tiers, exactly one of them.")]
    OneWay {
        /// Place of the rate.
        index: usize,
    },
    /// A sum for each unit that is below zero or absurd.
    #[error("The royalty for each unit has to be 0 or a positive amount that is not absurdly large.")]
    PerUnit {
        /// Place of the rate.
        index: usize,
    },
    /// A sliding rate without steps.
    #[error("The rate has no tiers; give at least the one for a quantity of 1.")]
    NoSteps {
        /// Place of the rate.
        rate: usize,
    },
    /// More steps than anybody needs.
    #[error("The rate has too many tiers; give at most {MAX_TIERS}.")]
    TooManySteps {
        /// Place of the rate.
        rate: usize,
    },
    /// A step that does not fit.
    #[error("The tier at place {index} does not fit: {why}.")]
    Step {
        /// Place of the rate.
        rate: usize,
        /// Place of the step, from 0.
        index: usize,
        /// What is wrong.
        why: StepFault,
    },
    /// A royalty in another currency than it is owed in.
    #[error("This royalty is owed in {expected}; give an amount in that currency, not in {found}.")]
    OtherCurrency {
        /// The currency that it is owed in.
        expected: Currency,
        /// The currency given.
        found: Currency,
    },
    /// A royalty below zero or absurd.
    #[error("A royalty is 0 or a positive amount that is not absurdly large; give such an amount for the whole line.")]
    OutOfRange,
    /// No month.
    #[error("{given:?} is not a period; give a month such as 2026-11.")]
    BadPeriod {
        /// What was given.
        given: String,
    },
    /// A month that is not there yet.
    #[error("The period {period} has not begun; close {now} or one before it.")]
    NotBegun {
        /// The month asked for.
        period: Period,
        /// The month that it is now.
        now: Period,
    },
    /// A month that is closed.
    #[error("The periods through {closed} are closed, {period} among them, and stay as they are; close a later one.")]
    Closed {
        /// The month asked for.
        period: Period,
        /// The last one that is closed.
        closed: Period,
    },
    /// Amounts that do not fit together.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl Reason for RoyaltyRefusal {
    fn code(&self) -> Code {
        match self {
            Self::NoRates => Code::Required,
            Self::RepeatedRate { .. } => Code::Repeated,
            Self::NoSteps { .. } | Self::Step { .. } => Code::TiersInvalid,
            Self::TooManySteps { .. } => Code::TooLong,
            Self::OneWay { .. } | Self::PerUnit { .. } | Self::OutOfRange | Self::BadPeriod { .. } | Self::NotBegun { .. } => Code::Invalid,
            Self::OtherCurrency { .. } => Code::CurrencyMismatch,
            Self::Closed { .. } => Code::PeriodClosed,
            Self::Money(error) => error.code(),
        }
    }

    fn field(&self) -> Vec<String> {
        let rate = |index: &usize, rest: &[String]| {
            ["rates".to_owned(), index.to_string()].into_iter().chain(rest.iter().cloned()).collect::<Vec<_>>()
        };
        match self {
            Self::NoRates => vec!["rates".to_owned()],
            Self::RepeatedRate { index, .. } | Self::OneWay { index } => rate(index, &[]),
            Self::PerUnit { index } => rate(index, &["perUnit".to_owned()]),
            Self::NoSteps { rate: index } | Self::TooManySteps { rate: index } => rate(index, &["tiers".to_owned()]),
            Self::Step { rate: place, index, .. } => rate(place, &["tiers".to_owned(), index.to_string()]),
            Self::OtherCurrency { .. } | Self::OutOfRange => vec!["amount".to_owned()],
            Self::BadPeriod { .. } | Self::NotBegun { .. } | Self::Closed { .. } => vec!["period".to_owned()],
            Self::Money(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn money(text: &str) -> Money {
        let (amount, code) = text.split_once(' ').expect("an amount and a currency");
        Money::parse(amount, Currency::parse(code).expect("a currency")).expect("an amount")
    }

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::parse("USD").expect("a currency"))
    }

    fn rate(originator: Originator, channel: SaleChannel, rate: Rate) -> PlanRate {
        PlanRate { originator, channel, rate }
    }

    fn sliding(steps: &[(u32, &str)]) -> Rate {
        let step = |(min_quantity, percent): &(u32, &str)| Step {
            min_quantity: *min_quantity,
            percent: Percent::parse(percent).expect("a percentage"),
        };
        Rate::Sliding(steps.iter().map(step).collect())
    }

    fn plan() -> Plan {
        Plan::new(vec![
            rate(Originator::Operator, SaleChannel::Retail, sliding(&[(1, "30"), (10, "25"), (50, "12.5")])),
            rate(Originator::Company, SaleChannel::Retail, Rate::Fixed(money("2.50 USD"))),
            rate(Originator::Licensor, SaleChannel::SalesOrder, sliding(&[(1, "70")])),
        ])
        .expect("a plan")
    }

    /// R51, R52: by who made the sale and by which road; a sliding rate's step begins exactly at its quantity and holds for all units.
    #[test]
    fn r51_r52_the_rate_follows_originator_channel_and_quantity() {
        use {Originator as By, SaleChannel as Through};
        for (originator, channel, quantity, net, expected) in [
            (By::Operator, Through::Retail, 1, "9.99 USD", Some("3.00 USD")),
            (By::Operator, Through::Retail, 9, "90.00 USD", Some("27.00 USD")),
            (By::Operator, Through::Retail, 10, "90.00 USD", Some("22.50 USD")),
            (By::Operator, Through::Retail, 49, "441.00 USD", Some("110.25 USD")),
            (By::Operator, Through::Retail, 50, "985 JPY", Some("123 JPY")),
            (By::Operator, Through::Retail, 10_000, "0.00 USD", Some("0.00 USD")),
            // Whatever it was sold for, and in whatever currency.
            (By::Company, Through::Retail, 3, "0.00 USD", Some("7.50 USD")),
            (By::Company, Through::Retail, 3, "4000 JPY", Some("7.50 USD")),
            (By::Licensor, Through::SalesOrder, 7, "100.01 USD", Some("70.01 USD")),
            (By::Licensor, Through::Retail, 1, "10.00 USD", None),
            (By::Operator, Through::SalesOrder, 1, "10.00 USD", None),
        ] {
            let sale = Sale { originator, channel, quantity, net: money(net) };
            let found = plan().recommend(&sale).expect("no overflow").map(|(_, amount)| amount);
            assert_eq!(found, expected.map(money), "{originator} {channel} {quantity} {net}");
        }
        let kept = serde_json::to_string(&plan()).expect("json");
        assert_eq!(serde_json::from_str::<Plan>(&kept).expect("a plan"), plan());
    }

    #[test]
    fn plans_that_say_nothing_or_two_things_are_refused() {
        use {Originator as By, SaleChannel as Through};
        let of = |given: Rate| vec![rate(By::Operator, Through::Retail, given)];
        for (rates, code, field) in [
            (vec![], Code::Required, "rates"),
            ([of(sliding(&[(1, "5")])), of(Rate::Fixed(money("1.00 USD")))].concat(), Code::Repeated, "rates.1"),
            (of(sliding(&[])), Code::TiersInvalid, "rates.0.tiers"),
            (of(sliding(&[(2, "5")])), Code::TiersInvalid, "rates.0.tiers.0"),
            (of(sliding(&[(0, "5")])), Code::TiersInvalid, "rates.0.tiers.0"),
            (of(sliding(&[(1, "5"), (1, "6")])), Code::TiersInvalid, "rates.0.tiers.1"),
            (of(sliding(&[(1, "5"), (20, "6"), (10, "7")])), Code::TiersInvalid, "rates.0.tiers.2"),
            (of(sliding(&[(1, "5"), (10_001, "6")])), Code::TiersInvalid, "rates.0.tiers.1"),
            (of(Rate::Fixed(usd(-1))), Code::Invalid, "rates.0.perUnit"),
            (of(Rate::Fixed(usd(i64::MAX))), Code::Invalid, "rates.0.perUnit"),
        ] {
            let refusal = Plan::new(rates).expect_err("a refusal");
            assert_eq!((refusal.code(), refusal.field().join(".")), (code, field.to_owned()), "{refusal}");
        }
    }

    fn sold(applied: Money, net: Money) -> Account {
        Account { net, applied, gone: Gone::NOTHING, owed: applied, net_left: net }
    }

    fn booked(account: Account, change: &Change) -> Account {
        Account {
            applied: change.applied,
            gone: change.gone,
            owed: account.owed.add(change.amount).expect("no overflow"),
            net_left: account.net_left.add(change.net).expect("no overflow"),
            ..account
        }
    }

    /// R54, by hand: 3 units for 100.00, royalty 10.00. A third back takes 3.33 (3.333), two thirds 6.67 in all, all of it 10.00. Set to 9.00 while
    /// two thirds are back, 3.00 stay owed; when that refund bounces, 9.00 are.
    #[test]
    fn r54_reversals_are_cumulative_to_the_cent() {
        let back = |part| Gone::of(part, 10_000).expect("a part");
        let mut account = sold(usd(1_000), usd(10_000));
        for (part, kind, amount, owed, net_left) in
            [(3_333, EntryKind::Reversal, -333, 667, 6_667), (6_667, EntryKind::Reversal, -334, 333, 3_333)]
        {
            let change = account.follow(back(part)).expect("no overflow").expect("an entry");
            account = booked(account, &change);
            assert_eq!((change.kind, change.amount, account.owed, account.net_left), (kind, usd(amount), usd(owed), usd(net_left)));
        }
        assert_eq!(account.follow(back(6_667)), Ok(None));
        let change = account.set(usd(900)).expect("an entry");
        account = booked(account, &change);
        assert_eq!((change.kind, change.amount, change.net, account.owed), (EntryKind::Override, usd(-33), usd(0), usd(300)));
        let change = account.follow(Gone::NOTHING).expect("no overflow").expect("an entry");
        account = booked(account, &change);
        assert_eq!((change.kind, change.amount, account.owed, account.net_left), (EntryKind::Restoration, usd(600), usd(900), usd(10_000)));
        assert_eq!(account.set(money("9.00 EUR")).expect_err("a refusal").code(), Code::CurrencyMismatch);
        assert_eq!(account.set(usd(-1)).expect_err("a refusal").field(), ["amount"]);
    }

    /// A lost dispute takes what refunds left, line by line; what was free goes with the last of the money.
    #[test]
    fn lost_disputes_take_what_refunds_left() {
        let line = |total, refunded, ended| PaidLine { total: usd(total), refunded: usd(refunded), ended };
        let lines = [line(1_000, 400, false), line(0, 0, false), line(300, 0, false)];
        let parts = |lost| {
            gone(lines[0].total.currency, &lines, usd(lost))
                .expect("amounts")
                .iter()
                .map(|gone| (gone.part, gone.whole))
                .collect::<Vec<_>>()
        };
        assert_eq!(parts(0), [(400, 1_000), (0, 1), (0, 300)]);
        // 450 over 600 and 300 left: 300 and 150.
        assert_eq!(parts(450), [(700, 1_000), (0, 1), (150, 300)]);
        assert_eq!(parts(900), [(1_000, 1_000), (1, 1), (300, 300)]);
        assert_eq!(parts(5_000), parts(900));
        let ended = gone(lines[0].total.currency, &[line(0, 0, true)], usd(0)).expect("amounts");
        assert_eq!(ended, [Gone { part: 1, whole: 1 }]);
        let over = gone(lines[0].total.currency, &[line(100, 101, false)], usd(1)).expect("amounts");
        assert_eq!(over, [Gone { part: 100, whole: 100 }]);
    }

    /// The month is the shop's, and entries of a closed one go to the first that is open.
    #[test]
    fn periods_are_months_of_the_shop_and_stay_closed() {
        let period = |text| Period::parse(text).expect("a period");
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
        for (instant, zone, expected) in [
            ("2026-11-30T23:30:00Z", Tz::UTC, "2026-11"),
            ("2026-11-30T23:30:00Z", Tz::Europe__Warsaw, "2026-12"),
            ("2027-01-01T02:00:00Z", Tz::America__New_York, "2026-12"),
        ] {
            assert_eq!(Period::of(at(instant), zone), period(expected), "{instant} {zone}");
        }
        for bad in ["", "2026", "2026-13", "2026-00", "2026-1", "26-01", "2026-01-01", "0000-01", "+026-01", "２０２６-01"] {
            assert_eq!(Period::parse(bad).expect_err("a refusal").code(), Code::Invalid, "{bad:?}");
        }
        let (october, november, december) = (period("2026-10"), period("2026-11"), period("2026-12"));
        assert_eq!((december.next().to_string(), november.next()), ("2027-01".to_owned(), december));
        assert_eq!((november.open(None), november.open(Some(october)), november.open(Some(november))), (november, november, december));
        assert_eq!(october.open(Some(december)).to_string(), "2027-01");
        assert_eq!(november.close(november, Some(october)), Ok(()));
        assert_eq!(november.close(november, Some(november)).expect_err("a refusal").code(), Code::PeriodClosed);
        assert_eq!(december.close(november, None).expect_err("a refusal").code(), Code::Invalid);
    }

    #[test]
    fn what_was_recommended_reads_back() {
        let kept = Recommended {
            plan: RoyaltyPlanId::new(Uuid::from_u128(1)),
            licensor: LicensorId::new(Uuid::from_u128(2)),
            originator: Originator::Company,
            channel: SaleChannel::Retail,
            rule: Rule::Percent(Percent::parse("12.5").expect("a percentage")),
            amount: usd(125),
        };
        let json = serde_json::to_value(kept).expect("json");
        assert_eq!(serde_json::from_value::<Recommended>(json).expect("reads back"), kept);
    }

    proptest! {
        /// R54: in whatever order parts go back, bounce and go back again, with the royalty set anew in between, entries add up to what stands,
        /// and once all is back to exactly nothing.
        #[test]
        fn r54_refunded_whole_by_any_road_nothing_is_left(
            total in 1_i64..10_000_000,
            royalty in 0_i64..10_000_000,
            net_share in 0_i64..=100,
            moves in prop::collection::vec((0_i64..=1_000, prop::option::of(0_i64..10_000_000)), 0..12),
        ) {
            let net = usd(total * net_share / 100);
            let mut account = sold(usd(royalty), net);
            for (thousandths, set) in moves {
                if let Some(set) = set {
                    account = booked(account, &account.set(usd(set)).expect("an entry"));
                }
                let gone = Gone::of(total * thousandths / 1_000, total).expect("a part");
                if let Some(change) = account.follow(gone).expect("no overflow") {
                    account = booked(account, &change);
                }
                prop_assert!(account.owed.minor >= 0 && account.owed.minor <= account.applied.minor);
                prop_assert!(account.net_left.minor >= 0 && account.net_left.minor <= net.minor);
                // The rule again, apart from how entries come to it: half a cent is rounded away from zero, once.
                let exact = i128::from(account.applied.minor) * i128::from(total * thousandths / 1_000);
                let reversed = (2 * exact + i128::from(total)) / (2 * i128::from(total));
                prop_assert_eq!(i128::from(account.owed.minor), i128::from(account.applied.minor) - reversed);
            }
            let all = Gone::of(total, total).expect("a part");
            if let Some(change) = account.follow(all).expect("no overflow") {
                account = booked(account, &change);
            }
            prop_assert_eq!((account.owed.minor, account.net_left.minor), (0, 0));
        }

        /// Lost disputes and refunds together never take more of a line than was paid for it.
        #[test]
        fn no_line_loses_more_than_was_paid(
            lines in prop::collection::vec((0_i64..100_000, 0_i64..=100), 1..8),
            lost in 0_i64..1_000_000,
        ) {
            let lines: Vec<PaidLine> = lines
                .into_iter()
                .map(|(total, share)| PaidLine { total: usd(total), refunded: usd(total * share / 100), ended: false })
                .collect();
            let left: i64 = lines.iter().map(|line| line.total.minor - line.refunded.minor).sum();
            let gone = gone(usd(0).currency, &lines, usd(lost)).expect("amounts");
            let taken: i64 = lines
                .iter()
                .zip(&gone)
                .filter(|(line, _)| !line.total.is_zero())
                .map(|(line, gone)| gone.part - line.refunded.minor)
                .sum();
            prop_assert_eq!(taken, lost.min(left));
        }
    }
}
