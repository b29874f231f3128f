//! The coupons of a cart, one after the other: what each gives to which line.
//!
//! Always true here: packs come before discounts, and among themselves coupons come in the order in which they were added (R69); a line takes
//! the first that reaches it and no other (R70); what one coupon cannot give is left out and told, and never disturbs the others.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use super::condition::{self, Nothing, Obstacle};
use super::discount::{Exchange, PackPrice};
use super::usage::Uses;
use super::{CouponKind, CouponStatus, Effect, Pack, Rules, Scope};
use crate::catalog::CourseKind;
use crate::id::{CartLineId, CompanyId, CouponCodeId, CouponId, CourseId, ProductId, ProviderId, SessionId};
use crate::money::{Currency, Money};
use crate::pricing::{ExchangeRate, RateTable};
use crate::refusal::{Code, Reason};

/// Most coupons of a cart.
pub const MAX_COUPONS: usize = 50;

/// A line of a cart as coupons see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineFacts<'a> {
    /// Its id.
    pub id: CartLineId,
    /// The product.
    pub product: ProductId,
    /// How many.
    pub quantity: u32,
    /// Its price before any coupon, by company, group, sale, list and schedule; none if there is no price.
    pub subtotal: Option<Money>,
    /// The credits that one unit gives by itself.
    pub credits: u32,
    /// Whether the product takes coupons (R64).
    pub couponable: bool,
    /// Product code.
    pub product_code: Option<&'a str>,
    /// The courses that the line gives: the course, the library's or the group's courses, the event of a session. Equal ones once are enough.
    pub contents: &'a [Content],
    /// The session.
    pub session: Option<SessionId>,
    /// The event that the session is of.
    pub event: Option<Event>,
}

/// A course that a line gives, as coupons see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Content {
    /// Who the course comes from.
    pub provider: Option<ProviderId>,
    /// What it is.
    pub kind: CourseKind,
}

/// The event of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// The course that it is.
    pub course: CourseId,
    /// Its own product, if it has one beside those of its sessions.
    pub product: Option<ProductId>,
}

/// A coupon in a cart, by the code that was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added<'a> {
    /// The code.
    pub code: CouponCodeId,
    /// The coupon.
    pub coupon: CouponId,
    /// The code's key.
    pub key: &'a str,
    /// What the coupon is now.
    pub rules: &'a Rules,
    /// Whether the coupon is switched on, and not archived.
    pub active: bool,
    /// Whether the code was made void.
    pub void: bool,
    /// Whether the code works once, whatever the coupon's limit is: a code of a batch.
    pub single_use: bool,
    /// Uses by other orders than the one that this cart is.
    pub uses: Uses,
}

/// What is known of who buys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Customer {
    /// Whether an order of this person ever reached PAID, whatever was refunded since; enrolments without payment do not count.
    pub has_paid: bool,
    /// Whether another order of this person waits for its payment and has a coupon for new customers.
    pub new_pending: bool,
}

impl Customer {
    /// Whether this is a new customer (R36).
    pub const fn is_new(self) -> bool {
        !self.has_paid && !self.new_pending
    }
}

/// What coupons are judged by beside the lines.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Whether the shop takes coupons (R68).
    pub enabled: bool,
    /// The company of the cart.
    pub company: Option<CompanyId>,
    /// The currency of the cart.
    pub currency: Currency,
    /// Exchange rates.
    pub rates: &'a RateTable,
    /// Who buys; none while that is not known or not to be told. Then nothing is held against a coupon for it, and placing judges again.
    pub customer: Option<Customer>,
    /// The instant of pricing.
    pub now: DateTime<Utc>,
}

/// What the coupons of a cart come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Line by line, in the order of the cart.
    pub lines: Vec<LineOutcome>,
    /// Coupon by coupon, in the order of adding.
    pub coupons: Vec<CouponOutcome>,
}

/// A line after all coupons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineOutcome {
    /// The line.
    pub id: CartLineId,
    /// The place of the coupon that took it, in [`Replay::coupons`].
    pub coupon: Option<usize>,
    /// What a pack made of it.
    pub pack: Option<PackPrice>,
    /// Its price before discounts: the pack's, or else its own.
    pub subtotal: Option<Money>,
    /// What is taken off; at most the subtotal.
    pub discount: Money,
    /// The credits that it gives, all units together.
    pub credits: u64,
}

/// What became of a coupon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponOutcome {
    /// The code.
    pub code: CouponCodeId,
    /// The coupon.
    pub coupon: CouponId,
    /// Where it stands.
    pub status: CouponStatus,
    /// What it gives.
    pub given: Given,
    /// The exchange rate that its own amounts were converted by.
    pub rate: Option<ExchangeRate>,
}

/// What a coupon gives a cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// Something off.
    Savings {
        /// All of it.
        total: Money,
        /// What of it falls to which line; the parts add up, and none is zero.
        lines: Vec<Saving>,
    },
    /// Another price and other credits; that is no saving.
    Pack {
        /// The lines.
        lines: Vec<CartLineId>,
    },
    /// Nothing, and it is not used up.
    Nothing(Nothing),
}

/// What a coupon saves on one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saving {
    /// The line.
    pub line: CartLineId,
    /// What is taken off.
    pub amount: Money,
}

impl CouponOutcome {
    /// Whether it gives something, so that placing uses it up.
    pub const fn gives(&self) -> bool {
        !matches!(self.given, Given::Nothing(_))
    }

    /// Why it gives nothing.
    pub const fn reason(&self) -> Option<&Nothing> {
        match &self.given {
            Given::Nothing(reason) => Some(reason),
            Given::Savings { .. } | Given::Pack { .. } => None,
        }
    }
}

/// A coupon that gave something when the buyer last looked does so no more (c13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLongerGives {
    /// It stands in the cart and does nothing now.
    #[error(
        "A coupon that gave something when the cart was last shown no longer does. {0} Look at the cart again and place it if you agree."
    )]
    Because(Nothing),
    /// It is gone.
    #[error(
        "A coupon that gave something when the cart was last shown is not in it any more; look at the cart again and place it if you agree."
    )]
    Gone,
    /// Its rules were changed while the cart was being placed.
    #[error("A coupon of the cart was changed at this moment; look at the cart again and place it if you agree.")]
    Changed,
}

impl Reason for NoLongerGives {
    fn code(&self) -> Code {
        Code::PriceChanged
    }
}

impl Replay {
    /// Compares with what the buyer was shown: each of these codes gave something then, and has to give something now.
    ///
    /// # Errors
    /// [`NoLongerGives`], for the first that does not.
    pub fn check_shown(&self, gave: impl IntoIterator<Item = CouponCodeId>) -> Result<(), NoLongerGives> {
        for code in gave {
            let outcome = self.coupons.iter().find(|outcome| outcome.code == code).ok_or(NoLongerGives::Gone)?;
            if let Some(reason) = outcome.reason() {
                return Err(NoLongerGives::Because(*reason));
            }
        }
        Ok(())
    }

    /// The exchange rates that the outcome depends on, each once.
    pub fn rates_used(&self) -> Vec<ExchangeRate> {
        let mut rates: Vec<ExchangeRate> = Vec::new();
        for rate in self.coupons.iter().filter_map(|outcome| outcome.rate) {
            if !rates.contains(&rate) {
                rates.push(rate);
            }
        }
        rates
    }
}

/// Replays the coupons of a cart, given in the order in which they were added, on its lines in the order in which they were added.
///
/// Packs come first, for discounts act on the price that they leave. A coupon of scope ITEM takes, of the lines that it is for and no other
/// coupon has, the one where it saves most; a tie goes to the dearest, then to the one added first. One of scope ORDER takes them all: it is
/// computed on their sum and split by largest remainder. One that would take nothing off takes no line.
pub fn replay(lines: &[LineFacts<'_>], coupons: &[Added<'_>], around: &Circumstances<'_>) -> Replay {
    let mut pass = Pass::new(lines, coupons, around);
    for kind in [CouponKind::Pack, CouponKind::Discount] {
        for (place, added) in coupons.iter().enumerate().filter(|(_, added)| added.rules.effect.kind() == kind) {
            pass.play(place, added);
        }
    }
    let Pass { outcomes, ends, .. } = pass;
    let coupons = coupons.iter().zip(ends).map(|(added, end)| {
        let (given, rate) = match end.given {
            Ok((given, rate)) => (given, rate),
            Err(reason) => (Given::Nothing(reason), None),
        };
        CouponOutcome { code: added.code, coupon: added.coupon, status: end.status, given, rate }
    });
    Replay { coupons: coupons.collect(), lines: outcomes }
}

/// What a coupon gives, and the rate that its amounts were converted by.
type Outcome = (Given, Option<ExchangeRate>);

/// What became of a coupon on the way.
struct End {
    status: CouponStatus,
    given: Result<Outcome, Nothing>,
}

/// A line that a coupon takes or may take, and what it costs.
#[derive(Clone, Copy)]
struct Taken {
    place: usize,
    minor: i64,
}

/// The replay under way.
struct Pass<'a> {
    facts: &'a [LineFacts<'a>],
    coupons: &'a [Added<'a>],
    around: &'a Circumstances<'a>,
    exchange: Exchange<'a>,
    /// The lines that coupons reach at all, with what they cost before any.
    by_place: Vec<Taken>,
    /// The same, the dearest first, of equal ones the first: most coupons are for one item and need to look at a few lines only.
    by_price: Vec<Taken>,
    outcomes: Vec<LineOutcome>,
    ends: Vec<End>,
}

impl<'a> Pass<'a> {
    fn new(facts: &'a [LineFacts<'a>], coupons: &'a [Added<'a>], around: &'a Circumstances<'a>) -> Self {
        let outcomes = facts.iter().map(|line| LineOutcome {
            id: line.id,
            coupon: None,
            pack: None,
            subtotal: line.subtotal,
            discount: Money::zero(around.currency),
            credits: u64::from(line.credits) * u64::from(line.quantity),
        });
        // Where nothing was played yet, nothing was given.
        let ends = coupons
            .iter()
            .map(|added| End { status: condition::status(added, around.now), given: Err(Nothing::NoLine(Obstacle::EmptyCart)) });
        let prices = facts.iter().enumerate().map(|(place, line)| (place, condition::price(line, around.currency)));
        let by_place: Vec<Taken> = prices.filter_map(|(place, price)| price.ok().map(|minor| Taken { place, minor })).collect();
        let mut by_price = by_place.clone();
        by_price.sort_unstable_by_key(|line| (Reverse(line.minor), line.place));
        Self {
            facts,
            coupons,
            around,
            exchange: Exchange { currency: around.currency, rates: around.rates, now: around.now },
            by_place,
            by_price,
            outcomes: outcomes.collect(),
            ends: ends.collect(),
        }
    }

    fn play(&mut self, place: usize, added: &Added<'_>) {
        let given = self.given(place, added);
        if let Some(end) = self.ends.get_mut(place) {
            end.given = given;
        }
    }

    fn given(&mut self, place: usize, added: &Added<'_>) -> Result<Outcome, Nothing> {
        if self.coupons.iter().take(place).any(|other| other.code == added.code) {
            return Err(Nothing::Repeated);
        }
        let same = self.coupons.iter().zip(&self.ends).filter(|(other, end)| other.coupon == added.coupon && end.given.is_ok());
        let inside = u32::try_from(same.count()).unwrap_or(u32::MAX);
        let status = self.ends.get(place).map_or(CouponStatus::Inactive, |end| end.status);
        condition::may_work(added, status, self.around, inside)?;
        let rate = self.meets_minimum(added.rules)?;
        let taken = self.to_take(added.rules)?;
        let (given, converted) = match &added.rules.effect {
            Effect::Pack(pack) => self.pack(place, pack, &taken),
            effect => self.discount(place, effect, &taken),
        }?;
        Ok((given, converted.or(rate)))
    }

    /// Whether the lines that the coupon is for cost enough before any coupon; gives the rate by which that was judged.
    fn meets_minimum(&self, rules: &Rules) -> Result<Option<ExchangeRate>, Nothing> {
        let Some(minimum) = rules.limits.minimum else { return Ok(None) };
        let currency = self.around.currency;
        let lines =
            self.by_place.iter().filter(|line| self.facts.get(line.place).is_some_and(|facts| condition::is_for(rules, facts).is_ok()));
        let reached = lines.map(|line| Money::new(line.minor, currency));
        let subtotal = Money::sum(currency, reached)?;
        if subtotal.is_zero() {
            return Err(self.out_of_reach(rules));
        }
        let (minimum, rate) = self.exchange.brought(minimum)?;
        if subtotal.minor < minimum.minor { Err(Nothing::Minimum { minimum, subtotal }) } else { Ok(rate) }
    }

    /// The lines that the coupon takes: of those that it is for and no other coupon has, all, or the dearest, of equal ones the first. What a
    /// discount saves grows with the price of the line or stays, so on the dearest it saves most; and where it saves the same on several, the
    /// dearest is to be taken in any case.
    fn to_take(&self, rules: &Rules) -> Result<Vec<Taken>, Nothing> {
        let lines = match rules.scope {
            Scope::Item => &self.by_price,
            Scope::Order => &self.by_place,
        };
        let mut free = lines.iter().copied().filter(|line| {
            let open = self.outcomes.get(line.place).is_some_and(|outcome| outcome.coupon.is_none());
            open && self.facts.get(line.place).is_some_and(|facts| condition::is_for(rules, facts).is_ok())
        });
        let taken: Vec<Taken> = match rules.scope {
            Scope::Item => free.next().into_iter().collect(),
            Scope::Order => free.collect(),
        };
        if taken.is_empty() { Err(self.out_of_reach(rules)) } else { Ok(taken) }
    }

    /// Why the coupon reaches no line: what stopped the one that came furthest.
    fn out_of_reach(&self, rules: &Rules) -> Nothing {
        let obstacle = |line| condition::price(line, self.around.currency).and_then(|_| condition::is_for(rules, line)).err();
        let obstacles = self.facts.iter().map(|line| obstacle(line).unwrap_or(Obstacle::Taken));
        Nothing::NoLine(obstacles.max().unwrap_or(Obstacle::EmptyCart))
    }

    fn discount(&mut self, place: usize, effect: &Effect, taken: &[Taken]) -> Result<Outcome, Nothing> {
        let currency = self.around.currency;
        let price = Money::sum(currency, taken.iter().map(|line| Money::new(line.minor, currency)))?;
        let (total, rate) = self.exchange.off(effect, price)?;
        let weights: Vec<i64> = taken.iter().map(|line| line.minor).collect();
        let mut lines = Vec::with_capacity(taken.len());
        for (line, amount) in taken.iter().zip(total.split(&weights)?) {
            let Some(outcome) = self.outcomes.get_mut(line.place) else { continue };
            (outcome.coupon, outcome.discount) = (Some(place), amount);
            if !amount.is_zero() {
                lines.push(Saving { line: outcome.id, amount });
            }
        }
        Ok((Given::Savings { total, lines }, rate))
    }

    fn pack(&mut self, place: usize, pack: &Pack, taken: &[Taken]) -> Result<Outcome, Nothing> {
        let priced = taken.iter().map(|line| {
            let quantity = self.facts.get(line.place).map_or(1, |line| line.quantity);
            self.exchange.pack(pack, quantity).map(|price| (line.place, price))
        });
        let priced: Vec<(usize, PackPrice)> = priced.collect::<Result<_, _>>()?;
        let rate = priced.first().and_then(|(_, price)| price.rate);
        let mut lines = Vec::with_capacity(priced.len());
        for (line, price) in priced {
            let Some(outcome) = self.outcomes.get_mut(line) else { continue };
            (outcome.coupon, outcome.pack) = (Some(place), Some(price));
            (outcome.subtotal, outcome.credits) = (Some(price.subtotal), price.credits);
            lines.push(outcome.id);
        }
        Ok((Given::Pack { lines }, rate))
    }
}
