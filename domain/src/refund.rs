//! Refunds: how much can go back, what of it belongs to which line, and whose access ends with it.
//!
//! Always true here: a refund never exceeds what was captured and is still there, the parts of its lines add up to it, and no line gives back
//! more than was paid for it, in whatever order refunds come.

use std::collections::BTreeSet;

use crate::id::{OrderLineId, TokenId};
use crate::money::{Currency, Money, MoneyError, ratio};
use crate::order::OrderStatus;
use crate::refusal::{Code, Reason};

named! {
    /// Where a refund stands.
    pub enum RefundStatus {
        /// On its way; its money is not available for another one.
        Pending = "PENDING",
        /// Called back before it was sent; its money is available again.
        Cancelled = "CANCELLED",
        /// The buyer has the money.
        Succeeded = "SUCCEEDED",
        /// It did not reach the buyer; its money is available again.
        Failed = "FAILED",
    }
}

impl RefundStatus {
    /// The later of two states, whatever the order in which they arrive. Gateways report refunds as failed after they reported a success
    /// (the buyer's account is closed), so FAILED comes last.
    #[must_use]
    pub fn advance(self, seen: Self) -> Self {
        self.max(seen)
    }

    /// Whether the refund takes up its money: it is under way or done.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Pending | Self::Succeeded)
    }
}

named! {
    /// What a refund does to the access that its line gave.
    pub enum Access {
        /// It ends.
        End = "END",
        /// It stays.
        Keep = "KEEP",
    }
}

/// The sums that bound a refund, of the attempt that it draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoneyFacts {
    /// Captured.
    pub captured: Money,
    /// Sent back: refunds that succeeded.
    pub refunded: Money,
    /// Refunds under way.
    pub refunding: Money,
    /// Held or lost by disputes.
    pub disputed: Money,
    /// What of the captured money belongs to no line, because more came than was due; it has not gone back.
    pub excess: Money,
}

impl MoneyFacts {
    /// What can still be refunded: captured less refunded, under way and disputed; never below zero (a dispute can take what was refunded
    /// already).
    ///
    /// # Errors
    /// Amounts in two currencies, or overflow.
    pub fn refundable(&self) -> Result<Money, MoneyError> {
        let left = self.captured.sub(self.refunded)?.sub(self.refunding)?.sub(self.disputed)?;
        Ok(Money::new(left.minor.max(0), left.currency))
    }
}

/// A line of the order, with what has gone back of it; refunds under way count, failed ones do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundableLine {
    /// Its id.
    pub id: OrderLineId,
    /// What was paid for it.
    pub total: Money,
    /// Its units.
    pub quantity: u32,
    /// Refunded so far.
    pub refunded: Money,
    /// Of that, refunded by quantity (or token, which is one unit).
    pub refunded_by_quantity: Money,
    /// Units refunded so far.
    pub refunded_quantity: u32,
    /// Its tokens that are neither void nor refunded; none unless it sold seats.
    pub tokens: Vec<TokenId>,
}

impl RefundableLine {
    /// What is left of what was paid for it.
    fn left(&self) -> Result<Money, MoneyError> {
        self.total.sub(self.refunded)
    }

    /// What `units` more give back: the share of all units refunded by then, less what was refunded for units before, and no more than is
    /// left of the line.
    fn share(&self, units: u32) -> Result<Money, MoneyError> {
        let by_then = i128::from(self.refunded_quantity) + i128::from(units);
        let share = ratio(self.total.minor, by_then, i128::from(self.quantity))?;
        let more = Money::new(share, self.total.currency).sub(self.refunded_by_quantity)?;
        Ok(Money::new(more.minor.clamp(0, self.left()?.minor.max(0)), more.currency))
    }
}

/// What of a line is asked back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// This much.
    Amount(Money),
    /// The share of this many units.
    Quantity(i64),
    /// The share of these tokens, one unit each.
    Tokens(Vec<TokenId>),
}

/// A line that is asked back, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineAsk {
    /// The line.
    pub line: OrderLineId,
    /// What of it.
    pub part: Part,
}

impl LineAsk {
    /// Reads the three ways to say how much, of which exactly one is used; `index` is the place in the input.
    ///
    /// # Errors
    /// [`RefundRefusal::OneWay`].
    pub fn given(
        index: usize,
        line: OrderLineId,
        amount: Option<Money>,
        quantity: Option<i64>,
        token_ids: Option<Vec<TokenId>>,
    ) -> Result<Self, RefundRefusal> {
        let part = match (amount, quantity, token_ids) {
            (Some(amount), None, None) => Part::Amount(amount),
            (None, Some(quantity), None) => Part::Quantity(quantity),
            (None, None, Some(tokens)) => Part::Tokens(tokens),
            _ => return Err(RefundRefusal::OneWay { index }),
        };
        Ok(Self { line, part })
    }
}

/// What is asked back. Nothing named = all that is left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ask {
    /// Lines, or parts of them.
    pub lines: Vec<LineAsk>,
    /// An amount of the order as a whole: first of what came beyond what was due, the rest spread over the lines; it changes no access.
    pub amount: Option<Money>,
    /// What becomes of the access of the lines concerned. Unless said: it ends where all that was paid for the line is then refunded.
    pub access: Option<Access>,
}

/// A refund as it will be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundPlan {
    /// What goes back.
    pub amount: Money,
    /// What of it belongs to which line; the parts add up. Lines without a part are not listed, except where their access ends.
    pub lines: Vec<LinePlan>,
    /// Whether nothing of the order's money is left then.
    pub whole: bool,
}

impl RefundPlan {
    /// What of it was paid for no line.
    ///
    /// # Errors
    /// Amounts in two currencies.
    pub fn of_no_line(&self) -> Result<Money, MoneyError> {
        self.amount.sub(Money::sum(self.amount.currency, self.lines.iter().map(|line| line.amount))?)
    }
}

/// What a refund means for one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePlan {
    /// The line.
    pub line: OrderLineId,
    /// What goes back for it.
    pub amount: Money,
    /// Whether the amount followed from units (or tokens).
    pub by_quantity: bool,
    /// How many units; 0 where it was an amount.
    pub quantity: u32,
    /// The tokens named.
    pub tokens: Vec<TokenId>,
    /// What becomes of access.
    pub access: Access,
    /// Whether it takes its share of the line's credits: unless access is to be kept, or it is an amount of the order as a whole.
    pub takes_credits: bool,
    /// Whether all that was paid for the line is refunded then.
    pub wholly_refunded: bool,
}

/// Whose access ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// Nobody's.
    Nothing,
    /// All that the line gave: its grant, its unused tokens, and what redeemed ones gave.
    Everything,
    /// This many of the line's unused tokens, the newest first.
    Units(u32),
    /// These tokens, and what they gave.
    Tokens(Vec<TokenId>),
}

impl LinePlan {
    /// Whose access ends with this part of the refund.
    pub fn ends(&self) -> Ends {
        match self.access {
            Access::Keep => Ends::Nothing,
            Access::End if self.wholly_refunded || !self.by_quantity => Ends::Everything,
            Access::End if self.tokens.is_empty() => Ends::Units(self.quantity),
            Access::End => Ends::Tokens(self.tokens.clone()),
        }
    }
}

/// Why a refund is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefundRefusal {
    /// Only money of a paid order is refunded.
    #[error("the order is {status}; only paid orders can be refunded")]
    NotPaid {
        /// Where it stands.
        status: OrderStatus,
    },
    /// All of it went back, is on its way back, or is disputed.
    #[error("nothing is left to refund")]
    NothingLeft,
    /// More than is left.
    #[error("{} {} is more than the {} {} that can still be refunded", asked.decimal_text(), asked.currency, refundable.decimal_text(), refundable.currency)]
    TooMuch {
        /// What was asked for.
        asked: Money,
        /// What is left.
        refundable: Money,
    },
    /// More than is left of a line.
    #[error("{} {} is more than the {} {} that is left of what was paid for this line", asked.decimal_text(), asked.currency, left.decimal_text(), left.currency)]
    TooMuchOfLine {
        /// Place of the line in the input.
        index: usize,
        /// What was asked for.
        asked: Money,
        /// What is left of the line.
        left: Money,
    },
    /// More units than are left of a line.
    #[error("{asked} units are more than the {left} of this line that were not refunded yet")]
    TooManyUnits {
        /// Place of the line in the input.
        index: usize,
        /// What was asked for.
        asked: i64,
        /// How many are left.
        left: u32,
    },
    /// Zero or negative, or no token.
    #[error("a refund is of more than nothing; give a positive amount, a quantity of 1 or more, or at least one token")]
    NotPositive {
        /// Place of the line in the input; `None` for the amount of the whole order.
        index: Option<usize>,
    },
    /// Another currency than the order's.
    #[error("the order was paid in {expected}; refund it in that currency, not in {found}")]
    OtherCurrency {
        /// Place of the line in the input; `None` for the amount of the whole order.
        index: Option<usize>,
        /// The order's currency.
        expected: Currency,
        /// The currency given.
        found: Currency,
    },
    /// Not a line of this order.
    #[error("the order has no such line")]
    UnknownLine {
        /// Place of the line in the input.
        index: usize,
    },
    /// Named twice.
    #[error("the line is named twice; name it once, with all that goes back for it")]
    RepeatedLine {
        /// Place of the second naming in the input.
        index: usize,
    },
    /// Not an outstanding token of this line.
    #[error("{token} is no token of this line, or it is void or refunded already")]
    UnknownToken {
        /// Place of the line in the input.
        index: usize,
        /// The token.
        token: TokenId,
    },
    /// Named twice.
    #[error("{token} is named twice")]
    RepeatedToken {
        /// Place of the line in the input.
        index: usize,
        /// The token.
        token: TokenId,
    },
    /// How much of a line was said in no way, or in several.
    #[error("say how much of the line goes back in one way: amount, quantity or tokenIds")]
    OneWay {
        /// Place of the line in the input.
        index: usize,
    },
    /// Lines and an amount for the whole order.
    #[error("name lines, or an amount for the order as a whole, not both")]
    AmountAndLines,
    /// An amount without lines leaves access alone.
    #[error("an amount without lines ends no access; name the lines whose access ends")]
    AccessNeedsLines,
    /// Amounts that do not fit together.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl Reason for RefundRefusal {
    fn code(&self) -> Code {
        match self {
            Self::NotPaid { .. } | Self::NothingLeft => Code::NotRefundable,
            Self::TooMuch { .. } | Self::TooMuchOfLine { .. } | Self::TooManyUnits { .. } => Code::RefundTooLarge,
            Self::NotPositive { .. } | Self::OneWay { .. } | Self::AmountAndLines | Self::AccessNeedsLines => Code::Invalid,
            Self::OtherCurrency { .. } => Code::CurrencyMismatch,
            Self::UnknownLine { .. } | Self::UnknownToken { .. } => Code::NotFound,
            Self::RepeatedLine { .. } | Self::RepeatedToken { .. } => Code::Repeated,
            Self::Money(error) => error.code(),
        }
    }

    fn field(&self) -> Vec<String> {
        let line = |index: &usize, rest: &[&str]| {
            ["lines".to_owned(), index.to_string()].into_iter().chain(rest.iter().map(|part| (*part).to_owned())).collect()
        };
        match self {
            Self::NotPaid { .. } | Self::NothingLeft | Self::Money(_) => Vec::new(),
            Self::TooMuch { .. } | Self::AmountAndLines | Self::NotPositive { index: None } | Self::OtherCurrency { index: None, .. } => {
                vec!["amount".to_owned()]
            }
            Self::AccessNeedsLines => vec!["access".to_owned()],
            Self::TooMuchOfLine { index, .. } | Self::OtherCurrency { index: Some(index), .. } => line(index, &["amount"]),
            Self::TooManyUnits { index, .. } => line(index, &["quantity"]),
            Self::NotPositive { index: Some(index) } | Self::OneWay { index } => line(index, &[]),
            Self::UnknownLine { index } | Self::RepeatedLine { index } => line(index, &["orderLineId"]),
            Self::UnknownToken { index, .. } | Self::RepeatedToken { index, .. } => line(index, &["tokenIds"]),
        }
    }
}

/// Decides a refund: what goes back, for which lines, and whose access ends. Nothing is taken if any part of it is refused.
///
/// Access, unless asked for: it ends where all that was paid for the line is then refunded, so a refund of all that is left ends all unless a
/// dispute holds a part; what was free ends with the last of the money. Where
/// a part is by quantity or tokens and access is to END, that many units of it end (see [`LinePlan::ends`]).
///
/// # Errors
/// See [`RefundRefusal`].
pub fn plan(order: OrderStatus, money: &MoneyFacts, lines: &[RefundableLine], ask: &Ask) -> Result<RefundPlan, RefundRefusal> {
    if !order.was_paid() {
        return Err(RefundRefusal::NotPaid { status: order });
    }
    if ask.amount.is_some() && !ask.lines.is_empty() {
        return Err(RefundRefusal::AmountAndLines);
    }
    let refundable = money.refundable()?;
    let (parts, amount) = match ask.amount {
        _ if !ask.lines.is_empty() => named_lines(refundable.currency, lines, ask)?,
        Some(amount) => {
            if ask.access == Some(Access::End) {
                return Err(RefundRefusal::AccessNeedsLines);
            }
            positive(amount, refundable.currency, None)?;
            let of_lines = Money::new(amount.minor.saturating_sub(money.excess.minor).max(0), amount.currency);
            (spread(of_lines, lines, |_| Access::Keep)?, amount)
        }
        None => {
            let mut parts = spread(refundable, lines, |_| Access::End)?;
            // What was free goes with the rest.
            for line in lines.iter().filter(|line| line.total.is_zero()) {
                parts.push(line_plan(line, Money::zero(refundable.currency), Access::End)?);
            }
            let whole = whole_after(money, refundable)?;
            for part in &mut parts {
                let ends = part.wholly_refunded && (whole || !part.amount.is_zero());
                part.access = ask.access.unwrap_or(if ends { Access::End } else { Access::Keep });
                part.takes_credits = ask.access != Some(Access::Keep);
            }
            (parts, refundable)
        }
    };
    if amount.is_zero() || refundable.is_zero() {
        return Err(RefundRefusal::NothingLeft);
    }
    bounded(amount, refundable)?;
    Ok(RefundPlan { amount, lines: parts, whole: whole_after(money, amount)? })
}

/// Records a refund that was made at the gateway: spread over what is left of the lines by largest remainder. A whole one ends access; a part
/// keeps it, and the operator is told.
///
/// # Errors
/// Zero, negative, in another currency, or more than was captured and not refunded yet.
pub fn record_external(money: &MoneyFacts, lines: &[RefundableLine], amount: Money) -> Result<RefundPlan, RefundRefusal> {
    positive(amount, money.captured.currency, None)?;
    let left = money.captured.sub(money.refunded)?.sub(money.refunding)?;
    bounded(amount, left)?;
    let whole = whole_after(money, amount)?;
    let access = if whole { Access::End } else { Access::Keep };
    let mut parts = spread(amount, lines, |_| access)?;
    if whole {
        for line in lines.iter().filter(|line| line.total.is_zero()) {
            parts.push(line_plan(line, Money::zero(amount.currency), access)?);
        }
    }
    for part in &mut parts {
        part.takes_credits = whole;
    }
    Ok(RefundPlan { amount, lines: parts, whole })
}

/// What a gateway has refunded that no refund of ours accounts for. Give it only a total that was fetched just now: an old one counts refunds
/// that have failed since.
///
/// # Errors
/// Amounts in two currencies, or overflow.
pub fn unrecorded(fetched: Money, known: impl IntoIterator<Item = (RefundStatus, Money)>) -> Result<Money, MoneyError> {
    let ours = Money::sum(fetched.currency, known.into_iter().filter(|(status, _)| status.counts()).map(|(_, amount)| amount))?;
    let more = fetched.sub(ours)?;
    Ok(Money::new(more.minor.max(0), more.currency))
}

/// The parts of the lines that were asked for, and their sum.
fn named_lines(currency: Currency, lines: &[RefundableLine], ask: &Ask) -> Result<(Vec<LinePlan>, Money), RefundRefusal> {
    let mut seen = BTreeSet::new();
    let mut parts = Vec::with_capacity(ask.lines.len());
    for (index, asked) in ask.lines.iter().enumerate() {
        let line = lines.iter().find(|line| line.id == asked.line).ok_or(RefundRefusal::UnknownLine { index })?;
        if !seen.insert(asked.line) {
            return Err(RefundRefusal::RepeatedLine { index });
        }
        let (amount, quantity, tokens) = match &asked.part {
            Part::Amount(amount) => {
                positive(*amount, currency, Some(index))?;
                let left = line.left()?;
                if amount.minor > left.minor {
                    return Err(RefundRefusal::TooMuchOfLine { index, asked: *amount, left });
                }
                (*amount, 0, Vec::new())
            }
            Part::Quantity(quantity) => {
                let units = units(line, index, *quantity)?;
                (line.share(units)?, units, Vec::new())
            }
            Part::Tokens(tokens) => {
                let mut named = BTreeSet::new();
                for token in tokens {
                    if !line.tokens.contains(token) {
                        return Err(RefundRefusal::UnknownToken { index, token: *token });
                    }
                    if !named.insert(*token) {
                        return Err(RefundRefusal::RepeatedToken { index, token: *token });
                    }
                }
                let units = units(line, index, i64::try_from(tokens.len()).unwrap_or(i64::MAX))?;
                (line.share(units)?, units, tokens.clone())
            }
        };
        let wholly_refunded = line.left()? == amount;
        let access = ask.access.unwrap_or(if wholly_refunded { Access::End } else { Access::Keep });
        let takes_credits = ask.access != Some(Access::Keep);
        let by_quantity = quantity > 0;
        parts.push(LinePlan { line: line.id, amount, by_quantity, quantity, tokens, access, takes_credits, wholly_refunded });
    }
    let amount = Money::sum(currency, parts.iter().map(|part| part.amount))?;
    Ok((parts, amount))
}

/// As many units as asked for, if there are.
fn units(line: &RefundableLine, index: usize, asked: i64) -> Result<u32, RefundRefusal> {
    if asked <= 0 {
        return Err(RefundRefusal::NotPositive { index: Some(index) });
    }
    let left = line.quantity.saturating_sub(line.refunded_quantity);
    u32::try_from(asked).ok().filter(|units| *units <= left).ok_or(RefundRefusal::TooManyUnits { index, asked, left })
}

fn positive(amount: Money, expected: Currency, index: Option<usize>) -> Result<(), RefundRefusal> {
    if amount.currency != expected {
        return Err(RefundRefusal::OtherCurrency { index, expected, found: amount.currency });
    }
    if amount.minor <= 0 {
        return Err(RefundRefusal::NotPositive { index });
    }
    Ok(())
}

fn bounded(asked: Money, refundable: Money) -> Result<(), RefundRefusal> {
    if asked.minor > refundable.minor { Err(RefundRefusal::TooMuch { asked, refundable }) } else { Ok(()) }
}

/// Whether nothing of the captured money is left once `amount` went back as well.
fn whole_after(money: &MoneyFacts, amount: Money) -> Result<bool, MoneyError> {
    Ok(money.captured.sub(money.refunded)?.sub(money.refunding)?.sub(amount)?.minor <= 0)
}

/// `amount` spread over what is left of the lines. If it is more than that (a dispute was refunded on top, or more came than was due), the
/// rest belongs to no line.
fn spread(amount: Money, lines: &[RefundableLine], access: impl Fn(&RefundableLine) -> Access) -> Result<Vec<LinePlan>, MoneyError> {
    let left: Vec<i64> = lines.iter().map(|line| line.left().map(|left| left.minor.max(0))).collect::<Result<_, _>>()?;
    let all = Money::sum(amount.currency, left.iter().map(|minor| Money::new(*minor, amount.currency)))?;
    let parts = Money::new(amount.minor.min(all.minor), amount.currency).split(&left)?;
    lines.iter().zip(parts).filter(|(_, part)| !part.is_zero()).map(|(line, part)| line_plan(line, part, access(line))).collect()
}

fn line_plan(line: &RefundableLine, amount: Money, access: Access) -> Result<LinePlan, MoneyError> {
    let wholly_refunded = line.left()? == amount;
    let (by_quantity, quantity, tokens, takes_credits) = (false, 0, Vec::new(), false);
    Ok(LinePlan { line: line.id, amount, by_quantity, quantity, tokens, access, takes_credits, wholly_refunded })
}

#[cfg(test)]
mod tests {
    use OrderStatus::{Fulfilled, PartiallyRefunded, PendingPayment};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::parse("USD").expect("a currency"))
    }

    fn line_id(number: u128) -> OrderLineId {
        OrderLineId::new(Uuid::from_u128(number))
    }

    fn token_id(number: u128) -> TokenId {
        TokenId::new(Uuid::from_u128(number))
    }

    fn line(number: u128, total: i64, quantity: u32) -> RefundableLine {
        RefundableLine {
            id: line_id(number),
            total: usd(total),
            quantity,
            refunded: usd(0),
            refunded_by_quantity: usd(0),
            refunded_quantity: 0,
            tokens: Vec::new(),
        }
    }

    fn captured(minor: i64) -> MoneyFacts {
        MoneyFacts { captured: usd(minor), refunded: usd(0), refunding: usd(0), disputed: usd(0), excess: usd(0) }
    }

    fn amount(minor: i64) -> Ask {
        Ask { amount: Some(usd(minor)), ..Ask::default() }
    }

    fn part(number: u128, part: Part) -> Ask {
        Ask { lines: vec![LineAsk { line: line_id(number), part }], ..Ask::default() }
    }

    /// Line by line: number, amount in cents, access.
    fn parts(plan: &RefundPlan) -> Vec<(u128, i64, Access)> {
        plan.lines.iter().map(|line| (line.line.uuid().as_u128(), line.amount.minor, line.access)).collect()
    }

    /// Books a plan as a refund under way.
    fn book(money: &mut MoneyFacts, lines: &mut [RefundableLine], plan: &RefundPlan) {
        money.refunding = money.refunding.add(plan.amount).expect("fits");
        for part in &plan.lines {
            let line = lines.iter_mut().find(|line| line.id == part.line).expect("a line of the order");
            line.refunded = line.refunded.add(part.amount).expect("fits");
            if part.by_quantity {
                line.refunded_by_quantity = line.refunded_by_quantity.add(part.amount).expect("fits");
                line.refunded_quantity += part.quantity;
            }
        }
    }

    /// c23: refunds never add up to more than was paid.
    #[test]
    fn c23_refunds_stay_within_what_was_captured() {
        let mut lines = [line(1, 10_000, 1)];
        let mut money = captured(10_000);
        let first = plan(Fulfilled, &money, &lines, &amount(6000)).expect("the first of two");
        book(&mut money, &mut lines, &first);
        let second = plan(Fulfilled, &money, &lines, &amount(6000));
        assert_eq!(second, Err(RefundRefusal::TooMuch { asked: usd(6000), refundable: usd(4000) }));
        let rest = plan(PartiallyRefunded, &money, &lines, &amount(4000)).expect("the rest");
        assert!(rest.whole && !first.whole);
        book(&mut money, &mut lines, &rest);
        assert_eq!(plan(PartiallyRefunded, &money, &lines, &amount(1)), Err(RefundRefusal::NothingLeft));

        // The first one failed: its 60.00 are there again.
        money.refunding = usd(4000);
        lines[0].refunded = usd(4000);
        assert_eq!(money.refundable(), Ok(usd(6000)));
        assert_eq!(plan(PartiallyRefunded, &money, &lines, &amount(6000)).map(|plan| plan.whole), Ok(true));
        for wrong in [0, -1] {
            assert_eq!(plan(Fulfilled, &money, &lines, &amount(wrong)), Err(RefundRefusal::NotPositive { index: None }));
        }
    }

    #[test]
    fn c23_disputed_money_is_not_refunded() {
        let lines = [line(1, 10_000, 1)];
        let money = MoneyFacts { disputed: usd(3000), ..captured(10_000) };
        assert_eq!(money.refundable(), Ok(usd(7000)));
        assert_eq!(plan(Fulfilled, &money, &lines, &amount(7001)), Err(RefundRefusal::TooMuch { asked: usd(7001), refundable: usd(7000) }));
        let rest = plan(Fulfilled, &money, &lines, &Ask::default()).expect("what is left");
        assert_eq!((rest.amount, rest.whole), (usd(7000), false));
        assert_eq!(MoneyFacts { disputed: usd(10_000), refunded: usd(1), ..captured(10_000) }.refundable(), Ok(usd(0)));
    }

    /// What came beyond what was due goes back first, and takes nothing from the lines; all that is left takes both.
    #[test]
    fn what_came_beyond_what_was_due_goes_back_first() {
        let lines = [line(1, 4000, 1), line(2, 1000, 1)];
        let money = MoneyFacts { excess: usd(500), ..captured(5500) };
        let back = |minor| plan(Fulfilled, &money, &lines, &amount(minor)).expect("there is enough");
        for (minor, expected, of_no_line) in [
            (300, vec![], 300),
            (500, vec![], 500),
            (1500, vec![(1, 800, Access::Keep), (2, 200, Access::Keep)], 500),
            (5500, vec![(1, 4000, Access::Keep), (2, 1000, Access::Keep)], 500),
        ] {
            let plan = back(minor);
            assert_eq!((parts(&plan), plan.of_no_line()), (expected, Ok(usd(of_no_line))), "{minor}");
        }
        let all = plan(Fulfilled, &money, &lines, &Ask::default()).expect("all of it");
        assert_eq!((all.amount, parts(&all)), (usd(5500), vec![(1, 4000, Access::End), (2, 1000, Access::End)]));
        let of_line = plan(Fulfilled, &money, &lines, &part(2, Part::Quantity(1))).expect("a line");
        assert_eq!((of_line.amount, of_line.of_no_line()), (usd(1000), Ok(usd(0))), "a line is what was paid for it");
    }

    /// c25: the refund of one line ends that line's access only; an amount of a line keeps it; the rest ends all.
    #[test]
    fn c25_each_line_answers_for_itself() {
        // A, B, C; B was 40.00 on the list and 35.00 after a discount: 35.00 is what goes back.
        let lines = [line(1, 4900, 1), line(2, 3500, 1), line(3, 2500, 1)];
        let money = captured(10_900);
        let of_b = plan(Fulfilled, &money, &lines, &part(2, Part::Quantity(1))).expect("line B");
        assert_eq!((parts(&of_b), of_b.whole), (vec![(2, 3500, Access::End)], false));
        assert_eq!(
            plan(Fulfilled, &money, &lines, &part(2, Part::Amount(usd(3500)))).map(|plan| parts(&plan)),
            Ok(vec![(2, 3500, Access::End)])
        );
        let list_price = plan(Fulfilled, &money, &lines, &part(2, Part::Amount(usd(4000))));
        assert_eq!(list_price, Err(RefundRefusal::TooMuchOfLine { index: 0, asked: usd(4000), left: usd(3500) }));

        let mut lines = lines;
        let mut money = money;
        let kept = plan(Fulfilled, &money, &lines, &part(1, Part::Amount(usd(500)))).expect("5.00 of line A");
        assert_eq!(parts(&kept), [(1, 500, Access::Keep)]);
        book(&mut money, &mut lines, &kept);
        let rest = plan(PartiallyRefunded, &money, &lines, &Ask::default()).expect("the rest");
        assert_eq!(parts(&rest), [(1, 4400, Access::End), (2, 3500, Access::End), (3, 2500, Access::End)]);
        assert_eq!((rest.amount, rest.whole), (usd(10_400), true));
        assert!(rest.lines.iter().all(|part| part.wholly_refunded && part.ends() == Ends::Everything));
    }

    #[test]
    fn units_give_back_the_cumulative_share() {
        // 3 units for 10.00: 3.33, then 6.67 - 3.33 = 3.34, then 10.00 - 6.67 = 3.33.
        let mut lines = [line(1, 1000, 3)];
        let mut money = captured(1000);
        for (expected, access) in [(333, Access::Keep), (334, Access::Keep), (333, Access::End)] {
            let unit = plan(Fulfilled, &money, &lines, &part(1, Part::Quantity(1))).expect("a unit");
            assert_eq!(parts(&unit), [(1, expected, access)]);
            book(&mut money, &mut lines, &unit);
        }
        assert_eq!(
            plan(Fulfilled, &money, &lines, &part(1, Part::Quantity(1))),
            Err(RefundRefusal::TooManyUnits { index: 0, asked: 1, left: 0 })
        );
    }

    #[test]
    fn units_take_no_more_than_amounts_have_left() {
        // 10 units for 49.00, 40.00 of it given back as an amount. 2 units are 9.80, but 9.00 are left; 8 more have nothing left.
        let mut lines = [line(1, 4900, 10)];
        let mut money = captured(4900);
        let goodwill = plan(Fulfilled, &money, &lines, &part(1, Part::Amount(usd(4000)))).expect("an amount");
        book(&mut money, &mut lines, &goodwill);
        let two = plan(PartiallyRefunded, &money, &lines, &part(1, Part::Quantity(2))).expect("two units");
        assert_eq!((parts(&two), two.whole), (vec![(1, 900, Access::End)], true));
        book(&mut money, &mut lines, &two);
        assert_eq!(plan(PartiallyRefunded, &money, &lines, &part(1, Part::Quantity(8))), Err(RefundRefusal::NothingLeft));
    }

    #[test]
    fn tokens_are_units_with_a_name() {
        let mut lines = [RefundableLine { tokens: (1..=10).map(token_id).collect(), ..line(1, 9900, 10) }];
        let money = captured(9900);
        let named = |tokens: &[u128], access| {
            let tokens = tokens.iter().copied().map(token_id).collect();
            plan(Fulfilled, &money, &lines, &Ask { access, ..part(1, Part::Tokens(tokens)) })
        };
        let two = named(&[3, 4], Some(Access::End)).expect("two tokens");
        assert_eq!((two.lines[0].amount, two.lines[0].quantity), (usd(1980), 2));
        assert_eq!(two.lines[0].ends(), Ends::Tokens(vec![token_id(3), token_id(4)]));
        assert_eq!(named(&[3], None).expect("a token").lines[0].ends(), Ends::Nothing, "access ends unasked with the whole line only");
        assert_eq!(named(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], None).expect("all").lines[0].ends(), Ends::Everything);
        assert_eq!(named(&[3, 3], None), Err(RefundRefusal::RepeatedToken { index: 0, token: token_id(3) }));
        assert_eq!(named(&[11], None), Err(RefundRefusal::UnknownToken { index: 0, token: token_id(11) }));
        assert_eq!(named(&[], None), Err(RefundRefusal::NotPositive { index: Some(0) }));
        let units = plan(Fulfilled, &money, &lines, &Ask { access: Some(Access::End), ..part(1, Part::Quantity(3)) }).expect("three units");
        assert_eq!(units.lines[0].ends(), Ends::Units(3));

        let mut money = money;
        book(&mut money, &mut lines, &two);
        let third = plan(PartiallyRefunded, &money, &lines, &part(1, Part::Tokens(vec![token_id(5)]))).expect("one more");
        assert_eq!(third.amount, usd(990), "2970 - 1980");
    }

    #[test]
    fn an_amount_of_the_order_is_spread_and_leaves_access_alone() {
        // 10.00 over 25.00, 25.00, 25.00: the odd cent goes to the earlier line.
        let mut lines = [line(1, 2500, 1), line(2, 2500, 1), line(3, 2500, 1)];
        let mut money = captured(7500);
        let some = plan(Fulfilled, &money, &lines, &amount(1000)).expect("an amount");
        assert_eq!(parts(&some), [(1, 334, Access::Keep), (2, 333, Access::Keep), (3, 333, Access::Keep)]);
        book(&mut money, &mut lines, &some);
        let all = plan(PartiallyRefunded, &money, &lines, &amount(6500)).expect("the rest, as an amount");
        assert_eq!(parts(&all), [(1, 2166, Access::Keep), (2, 2167, Access::Keep), (3, 2167, Access::Keep)]);
        assert!(all.whole);
        let ending = Ask { access: Some(Access::End), ..amount(1000) };
        assert_eq!(plan(Fulfilled, &money, &lines, &ending), Err(RefundRefusal::AccessNeedsLines));
    }

    #[test]
    fn a_whole_refund_takes_free_lines_along_and_can_keep_access() {
        let mut lines = [line(1, 5000, 1), line(2, 0, 1), line(3, 2000, 1)];
        lines[2].refunded = usd(2000);
        let money = MoneyFacts { refunded: usd(2000), ..captured(7000) };
        let rest = plan(PartiallyRefunded, &money, &lines, &Ask::default()).expect("the rest");
        assert_eq!(parts(&rest), [(1, 5000, Access::End), (2, 0, Access::End)], "line 3 was decided with its own refund");
        let kept = plan(PartiallyRefunded, &money, &lines, &Ask { access: Some(Access::Keep), ..Ask::default() }).expect("the rest");
        assert_eq!(parts(&kept), [(1, 5000, Access::Keep), (2, 0, Access::Keep)]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_field() {
        let lines = [line(1, 4900, 2)];
        let money = captured(4900);
        let eur = Money::new(1, Currency::parse("EUR").expect("a currency"));
        let quantity = |quantity| LineAsk { line: line_id(1), part: Part::Quantity(quantity) };
        let refused = |ask: Ask| plan(Fulfilled, &money, &lines, &ask).map_err(|refusal| (refusal.code(), refusal.field().join(".")));
        let no = |code, field: &str| Err((code, field.to_owned()));
        assert_eq!(refused(Ask { lines: vec![quantity(1), quantity(1)], ..Ask::default() }), no(Code::Repeated, "lines.1.orderLineId"));
        assert_eq!(refused(Ask { lines: vec![quantity(1)], ..amount(1) }), no(Code::Invalid, "amount"));
        assert_eq!(refused(part(7, Part::Quantity(1))), no(Code::NotFound, "lines.0.orderLineId"));
        assert_eq!(refused(part(1, Part::Quantity(3))), no(Code::RefundTooLarge, "lines.0.quantity"));
        assert_eq!(refused(part(1, Part::Quantity(i64::MAX))), no(Code::RefundTooLarge, "lines.0.quantity"));
        assert_eq!(refused(part(1, Part::Quantity(0))), no(Code::Invalid, "lines.0"));
        assert_eq!(refused(part(1, Part::Amount(usd(-1)))), no(Code::Invalid, "lines.0"));
        assert_eq!(refused(part(1, Part::Amount(eur))), no(Code::CurrencyMismatch, "lines.0.amount"));
        assert_eq!(refused(Ask { amount: Some(eur), ..Ask::default() }), no(Code::CurrencyMismatch, "amount"));
        assert_eq!(refused(amount(4901)), no(Code::RefundTooLarge, "amount"));
        let unpaid = plan(PendingPayment, &money, &lines, &amount(1));
        assert_eq!(unpaid, Err(RefundRefusal::NotPaid { status: PendingPayment }));
        assert_eq!(plan(Fulfilled, &captured(0), &[line(1, 0, 1)], &Ask::default()), Err(RefundRefusal::NothingLeft), "a free order");

        assert_eq!(LineAsk::given(2, line_id(1), None, None, None), Err(RefundRefusal::OneWay { index: 2 }));
        assert_eq!(LineAsk::given(2, line_id(1), Some(usd(1)), Some(1), None), Err(RefundRefusal::OneWay { index: 2 }));
        assert_eq!(LineAsk::given(2, line_id(1), None, Some(1), None), Ok(quantity(1)));
    }

    #[test]
    fn refunds_made_at_the_gateway_are_spread_over_the_lines() {
        let lines = [line(1, 2500, 1), line(2, 2500, 1), line(3, 2500, 1)];
        let money = captured(7500);
        let some = record_external(&money, &lines, usd(1000)).expect("a part");
        assert_eq!((parts(&some), some.whole), (vec![(1, 334, Access::Keep), (2, 333, Access::Keep), (3, 333, Access::Keep)], false));
        let all = record_external(&money, &lines, usd(7500)).expect("all");
        assert_eq!((parts(&all), all.whole), (vec![(1, 2500, Access::End), (2, 2500, Access::End), (3, 2500, Access::End)], true));
        let refusal = RefundRefusal::TooMuch { asked: usd(7501), refundable: usd(7500) };
        assert_eq!(record_external(&money, &lines, usd(7501)), Err(refusal));

        use RefundStatus::{Cancelled, Failed, Pending, Succeeded};
        let ours = [(Succeeded, usd(100)), (Pending, usd(20)), (Failed, usd(3000)), (Cancelled, usd(4000))];
        assert_eq!(unrecorded(usd(1120), ours), Ok(usd(1000)));
        assert_eq!(unrecorded(usd(50), ours), Ok(usd(0)), "an old total is no news");
    }

    #[test]
    fn a_refund_that_fails_after_its_success_has_failed() {
        use RefundStatus::{Cancelled, Failed, Pending, Succeeded};
        for (one, other, end) in
            [(Pending, Succeeded, Succeeded), (Succeeded, Failed, Failed), (Pending, Failed, Failed), (Pending, Cancelled, Cancelled)]
        {
            assert_eq!((one.advance(other), other.advance(one), end.advance(end)), (end, end, end));
        }
        assert_eq!([Pending, Succeeded, Failed, Cancelled].map(RefundStatus::counts), [true, true, false, false]);
    }

    fn order() -> impl Strategy<Value = Vec<RefundableLine>> {
        prop::collection::vec((0_i64..20_000, 1_u32..12), 1..5).prop_map(|lines| {
            let tokens = |number: u128, quantity: u32| (0..u128::from(quantity)).map(|seat| token_id(number * 100 + seat)).collect();
            (1..)
                .zip(lines)
                .map(|(number, (total, quantity))| RefundableLine { tokens: tokens(number, quantity), ..line(number, total, quantity) })
                .collect()
        })
    }

    fn ask() -> impl Strategy<Value = Ask> {
        let one = (
            1_u128..5,
            prop_oneof![
                (1_i64..10_000).prop_map(|minor| Part::Amount(usd(minor))),
                (1_i64..12).prop_map(Part::Quantity),
                prop::collection::vec(0_u128..12, 1..4).prop_map(|seats| Part::Tokens(seats.into_iter().map(token_id).collect())),
            ],
        );
        let one = one.prop_map(|(number, part)| {
            let part = match part {
                Part::Tokens(seats) => Part::Tokens(seats.into_iter().map(|seat| token_id(number * 100 + seat.uuid().as_u128())).collect()),
                other => other,
            };
            LineAsk { line: line_id(number), part }
        });
        prop_oneof![prop::collection::vec(one, 1..3).prop_map(|lines| Ask { lines, ..Ask::default() }), (1_i64..30_000).prop_map(amount),]
    }

    proptest! {
        /// Any refunds in any order, then the rest: exactly what was paid goes back, line by line and in all, and never more on the way.
        #[test]
        fn c23_any_refunds_and_the_rest_give_back_exactly_what_was_paid(lines in order(), asks in prop::collection::vec(ask(), 0..12)) {
            let mut lines = lines;
            let paid: i64 = lines.iter().map(|line| line.total.minor).sum();
            prop_assume!(paid > 0);
            let mut money = captured(paid);
            for asked in asks.into_iter().chain([Ask::default()]) {
                let Ok(planned) = plan(PartiallyRefunded, &money, &lines, &asked) else { continue };
                prop_assert!(planned.amount.minor > 0);
                prop_assert_eq!(planned.lines.iter().map(|part| part.amount.minor).sum::<i64>(), planned.amount.minor);
                book(&mut money, &mut lines, &planned);
                prop_assert!(money.refunding.minor <= paid);
                prop_assert_eq!(planned.whole, money.refunding.minor == paid);
                for line in &lines {
                    prop_assert!((0..=line.total.minor).contains(&line.refunded.minor));
                    prop_assert!(line.refunded_quantity <= line.quantity);
                }
            }
            prop_assert_eq!(money.refunding.minor, paid);
            prop_assert!(lines.iter().all(|line| line.refunded == line.total));
        }

        #[test]
        fn units_in_any_portions_give_back_the_line_exactly(total in 1_i64..1_000_000, portions in prop::collection::vec(1_i64..6, 1..10)) {
            let quantity = u32::try_from(portions.iter().sum::<i64>()).expect("few");
            let mut lines = [line(1, total, quantity)];
            let mut money = captured(total);
            for portion in portions {
                match plan(Fulfilled, &money, &lines, &part(1, Part::Quantity(portion))) {
                    Ok(planned) => book(&mut money, &mut lines, &planned),
                    // Less than a cent: the units wait for the next portion.
                    Err(refusal) => prop_assert_eq!(refusal, RefundRefusal::NothingLeft),
                }
            }
            let units = i128::from(lines[0].refunded_quantity);
            prop_assert_eq!(lines[0].refunded.minor, ratio(total, units, i128::from(quantity)).expect("fits"));
        }
    }
}
