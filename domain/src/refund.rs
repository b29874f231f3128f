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
    /// Its tokens that are not void; none unless it sold seats.
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
    /// An amount of the order as a whole, spread over its lines; it changes no access.
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
    #[error("{token} is no token of this line, or it is void already")]
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
/// Access, unless asked for: it ends where all that was paid for the line is then refunded, and a refund of all that is left ends all. Where
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
            bounded(amount, refundable)?;
            (spread(amount, lines, |_| Access::Keep)?, amount)
        }
        None => {
            if refundable.is_zero() {
                return Err(RefundRefusal::NothingLeft);
            }
            let mut parts = spread(refundable, lines, |_| ask.access.unwrap_or(Access::End))?;
            // What was free goes with the rest.
            for line in lines.iter().filter(|line| line.total.is_zero()) {
                parts.push(line_plan(line, Money::zero(refundable.currency), ask.access.unwrap_or(Access::End))?);
            }
            (parts, refundable)
        }
    };
    bounded(amount, refundable)?;
    if amount.is_zero() {
        return Err(RefundRefusal::NothingLeft);
    }
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
        parts.push(LinePlan { line: line.id, amount, by_quantity: quantity > 0, quantity, tokens, access, wholly_refunded });
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

/// `amount` spread over what is left of the lines. If it is more than that (a dispute was refunded on top), the rest belongs to no line.
fn spread(amount: Money, lines: &[RefundableLine], access: impl Fn(&RefundableLine) -> Access) -> Result<Vec<LinePlan>, MoneyError> {
    let left: Vec<i64> = lines.iter().map(|line| line.left().map(|left| left.minor.max(0))).collect::<Result<_, _>>()?;
    let all = Money::sum(amount.currency, left.iter().map(|minor| Money::new(*minor, amount.currency)))?;
    let parts = Money::new(amount.minor.min(all.minor), amount.currency).split(&left)?;
    lines.iter().zip(parts).filter(|(_, part)| !part.is_zero()).map(|(line, part)| line_plan(line, part, access(line))).collect()
}

fn line_plan(line: &RefundableLine, amount: Money, access: Access) -> Result<LinePlan, MoneyError> {
    let wholly_refunded = line.left()? == amount;
    Ok(LinePlan { line: line.id, amount, by_quantity: false, quantity: 0, tokens: Vec::new(), access, wholly_refunded })
}
