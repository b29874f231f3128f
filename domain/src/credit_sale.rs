//! Selling credits: how many a product gives and on which terms, and how many of them a refund takes back.
//!
//! Always true here: whoever sets the price of a product that gives credits states their number with it (R33); the parts that refunds take back
//! of a line never add up to more than it gave, and a line that is wholly refunded has given up all of them.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::ProductKind;
use crate::coupon::MAX_CREDITS;
use crate::id::ProductId;
use crate::money::{Money, MoneyError, ratio};
use crate::refusal::{Code, Reason, Refusal};
use crate::terms::MAX_DAYS;

/// The credits that one unit of a product gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gives {
    /// How many; at least 1.
    pub count: u32,
    /// For how many days from the purchase they can be spent; none = without end.
    pub days: Option<u32>,
    /// The product whose courses' resources they pay for; none = they pay for any.
    pub tied_to: Option<ProductId>,
}

/// The credits that a line gives, all units together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Gain {
    /// How many.
    pub count: u64,
    /// For how many days from the purchase they can be spent; none = without end.
    pub days: Option<u32>,
    /// The product whose courses' resources they pay for; none = they pay for any.
    pub tied_to: Option<ProductId>,
}

impl Gives {
    /// This many, on the terms that the product has; those of a product that gives none by itself are the usual ones: without end, and tied to
    /// the product unless credits are all that it sells (R39).
    pub fn of(kind: ProductKind, product: ProductId, held: Option<Self>, count: u32) -> Self {
        let usual = Self { count, days: None, tied_to: (kind != ProductKind::CreditPack).then_some(product) };
        Self { count, ..held.unwrap_or(usual) }
    }

    /// What so many units give.
    pub fn times(self, quantity: u32) -> Gain {
        Gain { count: u64::from(self.count) * u64::from(quantity), days: self.days, tied_to: self.tied_to }
    }
}

impl Gain {
    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.count == 0
    }

    /// What one of so many units gives.
    #[must_use]
    pub fn each(self, quantity: u32) -> Self {
        Self { count: self.count / u64::from(quantity.max(1)), ..self }
    }

    /// Until when credits that are given now can be spent.
    pub fn ends_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.days.and_then(|days| now.checked_add_signed(Duration::days(i64::from(days))))
    }

    /// Whether it is less than `shown`: fewer, for a shorter time, or for other or fewer things.
    pub fn worse_than(&self, shown: &Self) -> bool {
        if shown.is_none() {
            return false;
        }
        let shorter = match (self.days, shown.days) {
            (Some(days), Some(shown)) => days < shown,
            (Some(_), None) => true,
            (None, _) => false,
        };
        self.count < shown.count || shorter || (self.tied_to.is_some() && self.tied_to != shown.tied_to)
    }
}

/// What an input says about the credits of a product; absent = stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// How many one unit gives; `Some(None)` = none any more.
    pub count: Option<Option<i64>>,
    /// For how many days; `Some(None)` = without end.
    pub days: Option<Option<i64>>,
    /// The product whose courses they pay for; `Some(None)` = they pay for any.
    pub tied_to: Option<Option<ProductId>>,
}

impl Change {
    /// The number that was stated with a price, and nothing else.
    pub fn stated(count: Option<i64>) -> Self {
        Self { count: count.map(Some), ..Self::default() }
    }
}

/// Why something about the credits of a product is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaleRefusal {
    /// A number outside its bounds.
    #[error("{found} credits are out of range; give 1 to {MAX_CREDITS}.")]
    OutOfRange {
        /// What was given.
        found: i64,
    },
    /// R33: a price without the number.
    #[error("This product gives {count} credits with each unit; state the number, as credits, whenever its price is set.")]
    NotStated {
        /// How many it gives.
        count: u32,
    },
    /// A company's price with another number than the product's.
    #[error("This product gives {count} credits with each unit, not {found}; a company sets its own price only. Repeat the number.")]
    Differs {
        /// How many it gives.
        count: u32,
        /// What was given.
        found: i64,
    },
    /// A number for a product that gives none.
    #[error("This product gives no credits; leave their number out.")]
    GivesNone,
    /// A pack without credits.
    #[error("Credits are all that a credit pack sells; give their number. To make no new sales, set its state to STOPPED.")]
    PackWithout,
    /// Terms of credits without credits.
    #[error("This product gives no credits; give their number, as credits, before or with {field}.")]
    TermsWithout {
        /// The input field.
        field: &'static str,
    },
    /// Days outside their bounds.
    #[error("{found} days are out of range; give 1 to {MAX_DAYS}, or nothing for credits without end.")]
    DaysOutOfRange {
        /// What was given.
        found: i64,
    },
}

impl Reason for SaleRefusal {
    fn code(&self) -> Code {
        match self {
            Self::NotStated { .. } | Self::PackWithout => Code::Required,
            Self::OutOfRange { .. } | Self::Differs { .. } | Self::GivesNone | Self::TermsWithout { .. } | Self::DaysOutOfRange { .. } => {
                Code::Invalid
            }
        }
    }

    fn field(&self) -> Vec<String> {
        let field = match self {
            Self::TermsWithout { field } => field,
            Self::DaysOutOfRange { .. } => "creditDays",
            Self::OutOfRange { .. } | Self::NotStated { .. } | Self::Differs { .. } | Self::GivesNone | Self::PackWithout => "credits",
        };
        vec![field.to_owned()]
    }
}

/// What a product gives after a change.
///
/// # Errors
/// Every bad field.
pub fn changed(kind: ProductKind, product: ProductId, held: Option<Gives>, change: Change) -> Result<Option<Gives>, Vec<Refusal>> {
    let mut refusals: Vec<Refusal> = Vec::new();
    let count = match change.count {
        None => held.map(|held| held.count),
        Some(None) => None,
        Some(Some(found)) => {
            let count = u32::try_from(found).ok().filter(|count| (1..=MAX_CREDITS).contains(count));
            if count.is_none() {
                return Err(vec![SaleRefusal::OutOfRange { found }.into()]);
            }
            count
        }
    };
    let Some(count) = count else {
        if kind == ProductKind::CreditPack {
            refusals.push(SaleRefusal::PackWithout.into());
        } else if change.days.flatten().is_some() {
            refusals.push(SaleRefusal::TermsWithout { field: "creditDays" }.into());
        } else if change.tied_to.is_some() {
            refusals.push(SaleRefusal::TermsWithout { field: "creditsTiedTo" }.into());
        }
        return if refusals.is_empty() { Ok(None) } else { Err(refusals) };
    };
    let mut gives = Gives::of(kind, product, held, count);
    match change.days {
        None => {}
        Some(None) => gives.days = None,
        Some(Some(found)) => match u32::try_from(found).ok().filter(|days| (1..=MAX_DAYS).contains(days)) {
            Some(days) => gives.days = Some(days),
            None => refusals.push(SaleRefusal::DaysOutOfRange { found }.into()),
        },
    }
    gives.tied_to = change.tied_to.unwrap_or(gives.tied_to);
    if refusals.is_empty() { Ok(Some(gives)) } else { Err(refusals) }
}

/// What a product gives once its price is set with this number beside it: the number goes with the price, so a product that gives credits
/// demands it (R33).
///
/// # Errors
/// [`SaleRefusal::NotStated`], or a number out of range.
pub fn priced(kind: ProductKind, product: ProductId, held: Option<Gives>, stated: Option<i64>) -> Result<Option<Gives>, Vec<Refusal>> {
    match (held, stated) {
        (Some(held), None) => Err(vec![SaleRefusal::NotStated { count: held.count }.into()]),
        _ => changed(kind, product, held, Change::stated(stated)),
    }
}

/// Checks the number beside a company's own price: it is repeated, for a company changes the price alone (R33).
///
/// # Errors
/// [`SaleRefusal::NotStated`], [`SaleRefusal::Differs`] or [`SaleRefusal::GivesNone`].
pub fn repeated(held: Option<Gives>, stated: Option<i64>, sets_price: bool) -> Result<(), SaleRefusal> {
    match (held, stated) {
        (Some(held), None) if sets_price => Err(SaleRefusal::NotStated { count: held.count }),
        (Some(held), Some(found)) if i64::from(held.count) != found => Err(SaleRefusal::Differs { count: held.count, found }),
        (None, Some(_)) => Err(SaleRefusal::GivesNone),
        _ => Ok(()),
    }
}

/// A line's credits, and what refunds took of it so far. Refunds that leave its credits alone do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sold {
    /// The credits that it gave, all units together.
    pub credits: u64,
    /// Units.
    pub quantity: u32,
    /// What was paid for it.
    pub total: Money,
    /// What went back of it by amount, this refund included.
    pub refunded: Money,
    /// Units that went back, those of this refund included.
    pub units: u32,
    /// The credits that earlier refunds took their share of, spent or not.
    pub before: u64,
}

/// The credits that a refund asks back of a line: all that are left of it where the line is wholly refunded; else a unit's credits for each unit,
/// and for amounts the same share of the credits as of the price, cumulatively, so that many small refunds take what one large one does.
///
/// # Errors
/// Overflow, or amounts in two currencies.
pub fn asked_back(sold: &Sold, wholly: bool) -> Result<u64, MoneyError> {
    let left = sold.credits.saturating_sub(sold.before);
    if wholly || sold.credits == 0 {
        return Ok(left);
    }
    // What went back is in the currency of what was paid, or else this is an error.
    sold.total.sub(sold.refunded)?;
    let by_units = sold.credits / u64::from(sold.quantity.max(1)) * u64::from(sold.units);
    let credits = i64::try_from(sold.credits).map_err(|_| MoneyError::Overflow)?;
    let by_amount = match sold.total.minor {
        ..=0 => 0,
        total => ratio(credits, i128::from(sold.refunded.minor.max(0)), i128::from(total))?,
    };
    let by_then = by_units.saturating_add(u64::try_from(by_amount).unwrap_or(0));
    Ok(by_then.saturating_sub(sold.before).min(left))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::money::Currency;

    const KIND: ProductKind = ProductKind::Library;

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::parse("USD").expect("a currency"))
    }

    fn product(n: u128) -> ProductId {
        ProductId::new(Uuid::from_u128(n))
    }

    fn told<T: std::fmt::Debug>(result: Result<T, Vec<Refusal>>) -> Vec<(Code, String)> {
        result.expect_err("refused").into_iter().map(|refusal| (refusal.code, refusal.field.join("."))).collect()
    }

    /// R31, R39: a library's credits pay for its own courses unless it says otherwise; a pack's pay for any.
    #[test]
    fn r31_r39_credits_are_tied_to_what_was_bought_and_those_of_packs_are_free() {
        let tied = Gives { count: 50, days: None, tied_to: Some(product(1)) };
        assert_eq!(changed(KIND, product(1), None, Change::stated(Some(50))), Ok(Some(tied)));
        let free = Gives { count: 50, days: None, tied_to: None };
        assert_eq!(changed(ProductKind::CreditPack, product(1), None, Change::stated(Some(50))), Ok(Some(free)));
        let loosened = Change { days: Some(Some(365)), tied_to: Some(None), ..Change::default() };
        assert_eq!(changed(KIND, product(1), Some(tied), loosened), Ok(Some(Gives { days: Some(365), ..free })));
        let none = Change { count: Some(None), ..Change::default() };
        assert_eq!(changed(KIND, product(1), Some(tied), none), Ok(None));
        assert_eq!(changed(KIND, product(1), None, Change::default()), Ok(None));
        assert_eq!(Gives { days: Some(30), ..tied }.times(10_000).count, 500_000);
        assert_eq!(Gives::of(KIND, product(2), Some(Gives { days: Some(9), ..free }), 7), Gives { count: 7, days: Some(9), tied_to: None });
    }

    #[test]
    fn bad_numbers_are_named() {
        let tied = Gives { count: 50, days: None, tied_to: Some(product(1)) };
        for found in [0, -1, i64::MIN, 1_000_000_001, i64::MAX] {
            assert_eq!(told(changed(KIND, product(1), None, Change::stated(Some(found)))), [(Code::Invalid, "credits".to_owned())]);
        }
        for found in [0, -1, 36_501] {
            let days = Change { days: Some(Some(found)), ..Change::default() };
            assert_eq!(told(changed(KIND, product(1), Some(tied), days)), [(Code::Invalid, "creditDays".to_owned())]);
        }
        let days = Change { days: Some(Some(3)), ..Change::default() };
        assert_eq!(told(changed(KIND, product(1), None, days)), [(Code::Invalid, "creditDays".to_owned())]);
        let tie = Change { tied_to: Some(Some(product(1))), ..Change::default() };
        assert_eq!(told(changed(KIND, product(1), None, tie)), [(Code::Invalid, "creditsTiedTo".to_owned())]);
        for pack in [Change::default(), Change { count: Some(None), ..Change::default() }] {
            assert_eq!(told(changed(ProductKind::CreditPack, product(1), None, pack)), [(Code::Required, "credits".to_owned())]);
        }
    }

    /// R33: a price goes with the number of credits.
    #[test]
    fn r33_a_price_demands_the_number_of_credits() {
        let held = Gives { count: 50, days: Some(30), tied_to: None };
        assert_eq!(told(priced(KIND, product(1), Some(held), None)), [(Code::Required, "credits".to_owned())]);
        assert_eq!(priced(KIND, product(1), Some(held), Some(50)), Ok(Some(held)));
        assert_eq!(priced(KIND, product(1), Some(held), Some(60)), Ok(Some(Gives { count: 60, ..held })));
        assert_eq!(priced(KIND, product(1), None, None), Ok(None));
        assert_eq!(told(priced(KIND, product(1), Some(held), Some(0))), [(Code::Invalid, "credits".to_owned())]);
        for (held, stated, sets_price, expected) in [
            (Some(held), Some(50), true, Ok(())),
            (Some(held), None, false, Ok(())),
            (Some(held), None, true, Err(SaleRefusal::NotStated { count: 50 })),
            (Some(held), Some(51), true, Err(SaleRefusal::Differs { count: 50, found: 51 })),
            (None, Some(50), true, Err(SaleRefusal::GivesNone)),
            (None, None, true, Ok(())),
        ] {
            assert_eq!(repeated(held, stated, sets_price), expected);
        }
    }

    #[test]
    fn credits_got_worse_where_a_buyer_would_mind() {
        let shown = Gain { count: 100, days: Some(30), tied_to: None };
        for (fresh, worse) in [
            (shown, false),
            (Gain { count: 101, ..shown }, false),
            (Gain { count: 99, ..shown }, true),
            (Gain { days: None, ..shown }, false),
            (Gain { days: Some(29), ..shown }, true),
            (Gain { tied_to: Some(product(1)), ..shown }, true),
            (Gain::default(), true),
        ] {
            assert_eq!(fresh.worse_than(&shown), worse, "{fresh:?}");
        }
        assert!(!Gain { tied_to: Some(product(1)), ..shown }.worse_than(&Gain::default()));
        assert!(Gain { days: Some(36_500), ..shown }.worse_than(&Gain { days: None, ..shown }));
    }

    fn sold(credits: u64, quantity: u32, total: i64) -> Sold {
        Sold { credits, quantity, total: usd(total), refunded: usd(0), units: 0, before: 0 }
    }

    #[test]
    fn a_refund_asks_back_the_share_of_its_amount_cumulatively() {
        // 10.00 for 100 credits: three times 3.33 take 33, 34 and 33, the last cent the rest.
        let line = sold(100, 1, 1_000);
        for (refunded, before, asked) in [(333, 0, 33), (666, 33, 34), (999, 67, 33), (500, 0, 50), (1, 0, 0), (5, 0, 1)] {
            assert_eq!(asked_back(&Sold { refunded: usd(refunded), before, ..line }, false), Ok(asked), "{refunded} after {before}");
        }
        assert_eq!(asked_back(&Sold { refunded: usd(1_000), before: 99, ..line }, true), Ok(1));
        // Three packs of 1,000,000 for 10.00: a unit is a unit, whatever its share of the price was rounded to.
        let packs = sold(3_000_000, 3, 1_000);
        assert_eq!(asked_back(&Sold { units: 1, ..packs }, false), Ok(1_000_000));
        assert_eq!(asked_back(&Sold { units: 2, refunded: usd(100), before: 1_000_000, ..packs }, false), Ok(1_300_000));
        assert_eq!(asked_back(&sold(100, 1, 0), true), Ok(100), "what was free goes with the rest");
        assert_eq!(asked_back(&sold(100, 1, 0), false), Ok(0));
        assert_eq!(asked_back(&sold(0, 1, 1_000), true), Ok(0));
    }

    proptest! {
        /// However a line is refunded, its refunds ask back no more than it gave, and all of it once it is wholly refunded.
        #[test]
        fn refunds_ask_back_what_was_given_and_no_more(credits in 0_u64..1_000_000, quantity in 1_u32..50, total in 1_i64..1_000_000, parts in prop::collection::vec(1_i64..100_000, 0..12)) {
            let credits = credits * u64::from(quantity);
            let mut line = sold(credits, quantity, total);
            for part in parts {
                let part = part.min(total - line.refunded.minor);
                line.refunded.minor += part;
                let asked = asked_back(&line, line.refunded.minor == total).expect("it fits");
                line.before += asked;
                prop_assert!(line.before <= credits);
            }
            line.before += asked_back(&line, true).expect("it fits");
            prop_assert_eq!(line.before, credits);
        }
    }
}
