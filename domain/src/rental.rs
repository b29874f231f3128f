//! Resources that are rented for credits: what an operator may set, whether a resource is open to a learner, and what opening it takes.
//!
//! Always true here: a rental opens its resource whatever else the learner has or has lost; nothing else opens a resource that costs something,
//! except ordinary access for members of a group that ignores credits (R27, R38).

use chrono::{DateTime, Utc};

use crate::refusal::{Code, Reason};
use crate::terms::{Anchor, TermUnit, Terms};

/// Days of a rental unless its resource says otherwise (R26).
pub const DEFAULT_DAYS: u32 = 30;
/// Most days of a rental.
pub const MAX_DAYS: u32 = 3_650;
/// Most credits that a resource costs.
pub const MAX_COST: i64 = 1_000_000;
/// Most resources of a course, archived ones apart.
pub const MAX_RESOURCES: usize = 500;

named! {
    /// What kind of thing shows what a resource is about.
    pub enum DemoKind {
        /// A short text.
        Text = "TEXT",
        /// The https address of an image.
        Image = "IMAGE",
        /// The https address of a video.
        Video = "VIDEO",
    }
}

named! {
    /// How a resource stands for a learner.
    pub enum ResourceState {
        /// Open by a rental.
        Rented = "RENTED",
        /// Open with its course: it costs nothing, or a group of the learner ignores credits.
        Open = "OPEN",
        /// It opens by renting it.
        RentalRequired = "RENTAL_REQUIRED",
        /// It costs this learner nothing and opens with its course, which is not open.
        CourseRequired = "COURSE_REQUIRED",
    }
}

impl ResourceState {
    /// Whether the resource may be opened.
    pub const fn opens(self) -> bool {
        matches!(self, Self::Rented | Self::Open)
    }
}

/// What an operator wrote of a resource's price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Credits; 0 = it opens with its course.
    pub cost: i64,
    /// Days that a rental lasts.
    pub days: u32,
}

impl Price {
    /// Checks what was given.
    ///
    /// # Errors
    /// A number out of its bounds.
    pub fn check(cost: i64, days: i64) -> Result<Self, PriceRefusal> {
        if !(0..=MAX_COST).contains(&cost) {
            return Err(PriceRefusal::Cost { cost });
        }
        match u32::try_from(days) {
            Ok(days) if (1..=MAX_DAYS).contains(&days) => Ok(Self { cost, days }),
            _ => Err(PriceRefusal::Days { days }),
        }
    }
}

/// Why a price of a resource is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceRefusal {
    /// No number of credits.
    #[error("{cost} is no cost; give 1 to {MAX_COST} credits, or 0 for a resource that opens with its course.")]
    Cost {
        /// What was given.
        cost: i64,
    },
    /// No number of days.
    #[error("A rental cannot last {days} days; give 1 to {MAX_DAYS}.")]
    Days {
        /// What was given.
        days: i64,
    },
}

impl Reason for PriceRefusal {
    fn code(&self) -> Code {
        Code::Invalid
    }

    fn field(&self) -> Vec<String> {
        vec![
            match self {
                Self::Cost { .. } => "cost",
                Self::Days { .. } => "days",
            }
            .to_owned(),
        ]
    }
}

/// How long a rental of so many days lasts: days of 24 hours from the renting, or from the end of the one that it renews.
pub const fn terms(days: u32) -> Terms {
    Terms { value: Some(days), unit: TermUnit::Days, anchor: Anchor::Purchase }
}

/// What tells how a resource stands for a learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What it costs today.
    pub cost: i64,
    /// Whether it can be rented at all: neither it nor its course is archived.
    pub offered: bool,
    /// Whether a group of the learner ignores credits.
    pub ignores_credits: bool,
    /// Whether its course is open to the learner.
    pub course_open: bool,
    /// When the learner's last rental of it ends, or ended.
    pub rented_until: Option<DateTime<Utc>>,
}

impl Facts {
    /// What it costs this learner today; for members of a group that ignores credits, nothing (R38).
    pub const fn own_cost(&self) -> i64 {
        if self.ignores_credits { 0 } else { self.cost }
    }

    /// How the resource stands at `now`.
    pub fn state(&self, now: DateTime<Utc>) -> ResourceState {
        match self.rented_until {
            Some(end) if now < end => ResourceState::Rented,
            _ if self.own_cost() > 0 => ResourceState::RentalRequired,
            _ if self.course_open => ResourceState::Open,
            _ => ResourceState::CourseRequired,
        }
    }

    /// What renting it takes from a learner who agreed to `expected`; `None` = it is open, nothing is taken (R41).
    ///
    /// # Errors
    /// Why it cannot be rented.
    pub fn rent(&self, expected: i64, now: DateTime<Utc>) -> Result<Option<i64>, RentRefusal> {
        agreed(expected)?;
        match self.state(now) {
            ResourceState::Rented | ResourceState::Open => Ok(None),
            ResourceState::CourseRequired => Err(RentRefusal::CourseRequired { ignores_credits: self.ignores_credits && self.cost > 0 }),
            ResourceState::RentalRequired => self.charge(expected).map(Some),
        }
    }

    /// What adding its days to a rental takes from a learner who agreed to `expected`.
    ///
    /// # Errors
    /// Why it cannot be renewed.
    pub fn renew(&self, expected: i64, now: DateTime<Utc>) -> Result<i64, RentRefusal> {
        agreed(expected)?;
        if self.rented_until.is_none_or(|end| end <= now) {
            return Err(RentRefusal::Over);
        }
        match (self.own_cost(), self.course_open) {
            (0, true) => Err(RentRefusal::NothingToPay),
            (0, false) => Err(RentRefusal::CourseRequired { ignores_credits: self.ignores_credits && self.cost > 0 }),
            _ => self.charge(expected),
        }
    }

    fn charge(&self, expected: i64) -> Result<i64, RentRefusal> {
        if !self.offered {
            return Err(RentRefusal::NotOffered);
        }
        if expected != self.cost {
            return Err(RentRefusal::CostChanged { expected, cost: self.cost });
        }
        Ok(self.cost)
    }
}

fn agreed(expected: i64) -> Result<(), RentRefusal> {
    if expected < 0 { Err(RentRefusal::NoCost { expected }) } else { Ok(()) }
}

/// Why a resource is not rented, or a rental not renewed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RentRefusal {
    /// No number of credits.
    #[error("{expected} is no cost; give the `cost` that rentalQuote shows.")]
    NoCost {
        /// What was given.
        expected: i64,
    },
    /// It costs another number today.
    #[error("This costs {cost} credits now, not {expected}; nothing was taken. Look at `quote`, and send its cost if you agree to it.")]
    CostChanged {
        /// What the learner agreed to.
        expected: i64,
        /// What it costs.
        cost: i64,
    },
    /// Credits do not open it: ordinary access to its course does.
    #[error("{}", if *.ignores_credits {
        "A group that you are in opens this without credits, together with its course, and the course is not open to you."
    } else {
        "This opens with its course and costs no credits, and the course is not open to you."
    })]
    CourseRequired {
        /// Whether a group of the learner is the reason.
        ignores_credits: bool,
    },
    /// It or its course was archived.
    #[error("This is no longer rented out; what was rented before stays open to its end.")]
    NotOffered,
    /// The rental is over.
    #[error("This rental is over; rent the resource anew with resourceRent.")]
    Over,
    /// It is open without credits.
    #[error("This is open to you together with its course and needs no credits; there is nothing to renew.")]
    NothingToPay,
}

impl Reason for RentRefusal {
    fn code(&self) -> Code {
        match self {
            Self::NoCost { .. } => Code::Invalid,
            Self::CostChanged { .. } => Code::CostChanged,
            Self::CourseRequired { .. } => Code::PaymentRequired,
            Self::NotOffered => Code::Archived,
            Self::Over => Code::EntitlementEnded,
            Self::NothingToPay => Code::NothingToPay,
        }
    }

    fn field(&self) -> Vec<String> {
        match self {
            Self::NoCost { .. } | Self::CostChanged { .. } => vec!["expectedCost".to_owned()],
            Self::CourseRequired { .. } | Self::NotOffered | Self::Over | Self::NothingToPay => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    const PRICED: Facts = Facts { cost: 5, offered: true, ignores_credits: false, course_open: true, rented_until: None };

    /// R27, R38, R41: what opens it, what renting it takes when 5 were agreed to, and what renewing takes.
    #[test]
    fn a_priced_resource_opens_by_a_rental_and_any_other_one_with_its_course() {
        let now = at("2026-03-01T12:00:00Z");
        let (runs, over) = (Some(now + TimeDelta::microseconds(1)), Some(now));
        let free = Facts { cost: 0, ..PRICED };
        let ignoring = Facts { ignores_credits: true, ..PRICED };
        let closed = |facts: Facts| Facts { course_open: false, ..facts };
        let rented = |facts: Facts, until| Facts { rented_until: until, ..facts };
        let course = |ignores_credits| RentRefusal::CourseRequired { ignores_credits };
        use ResourceState::{CourseRequired, Open, RentalRequired, Rented};
        for (facts, state, rent, renew) in [
            (PRICED, RentalRequired, Ok(Some(5)), Err(RentRefusal::Over)),
            (closed(PRICED), RentalRequired, Ok(Some(5)), Err(RentRefusal::Over)),
            (rented(PRICED, over), RentalRequired, Ok(Some(5)), Err(RentRefusal::Over)),
            (rented(PRICED, runs), Rented, Ok(None), Ok(5)),
            (rented(closed(PRICED), runs), Rented, Ok(None), Ok(5)),
            (free, Open, Ok(None), Err(RentRefusal::Over)),
            (closed(free), CourseRequired, Err(course(false)), Err(RentRefusal::Over)),
            (rented(free, runs), Rented, Ok(None), Err(RentRefusal::NothingToPay)),
            (rented(closed(free), runs), Rented, Ok(None), Err(course(false))),
            (ignoring, Open, Ok(None), Err(RentRefusal::Over)),
            (closed(ignoring), CourseRequired, Err(course(true)), Err(RentRefusal::Over)),
            (rented(closed(ignoring), runs), Rented, Ok(None), Err(course(true))),
            (Facts { offered: false, ..PRICED }, RentalRequired, Err(RentRefusal::NotOffered), Err(RentRefusal::Over)),
            (rented(Facts { offered: false, ..PRICED }, runs), Rented, Ok(None), Err(RentRefusal::NotOffered)),
        ] {
            assert_eq!(facts.state(now), state, "{facts:?}");
            assert_eq!(facts.rent(5, now), rent, "{facts:?}");
            assert_eq!(facts.renew(5, now), renew, "{facts:?}");
        }
    }

    /// R29: only the cost agreed to is taken, the lower one neither.
    #[test]
    fn another_cost_than_the_one_agreed_to_is_refused() {
        let now = at("2026-03-01T12:00:00Z");
        for expected in [0, 4, 6, i64::MAX] {
            assert_eq!(PRICED.rent(expected, now), Err(RentRefusal::CostChanged { expected, cost: 5 }));
        }
        for expected in [-1, i64::MIN] {
            assert_eq!(PRICED.rent(expected, now), Err(RentRefusal::NoCost { expected }));
            let open = Facts { cost: 0, ..PRICED };
            assert_eq!(open.rent(expected, now), Err(RentRefusal::NoCost { expected }), "nonsense is refused also where nothing is taken");
        }
    }

    #[test]
    fn a_price_has_its_bounds() {
        for (cost, days, good) in [
            (0, 30, true),
            (1, 1, true),
            (MAX_COST, i64::from(MAX_DAYS), true),
            (-1, 30, false),
            (MAX_COST + 1, 30, false),
            (i64::MIN, 30, false),
            (1, 0, false),
            (1, -30, false),
            (1, i64::from(MAX_DAYS) + 1, false),
            (1, i64::MAX, false),
        ] {
            assert_eq!(Price::check(cost, days).is_ok(), good, "{cost} for {days} days");
        }
    }

    proptest! {
        /// A rental opens; nothing is taken for what is open; what is taken was agreed to and is what it costs.
        #[test]
        fn nothing_is_taken_but_what_was_agreed_to_for_what_is_closed(
            cost in 0_i64..10, expected in -2_i64..10, offered: bool, ignores_credits: bool, course_open: bool, hours in prop::option::of(-3_i64..3),
        ) {
            let now = at("2026-03-01T12:00:00Z");
            let facts = Facts { cost, offered, ignores_credits, course_open, rented_until: hours.map(|hours| now + TimeDelta::hours(hours)) };
            let state = facts.state(now);
            prop_assert_eq!(state == ResourceState::Rented, hours.is_some_and(|hours| hours > 0));
            match facts.rent(expected, now) {
                Ok(None) => prop_assert!(state.opens()),
                Ok(Some(taken)) => prop_assert!(!state.opens() && offered && !ignores_credits && taken > 0 && taken == expected && taken == cost),
                Err(_) => prop_assert!(!state.opens() || expected < 0),
            }
            if let Ok(taken) = facts.renew(expected, now) {
                prop_assert!(state == ResourceState::Rented && offered && !ignores_credits && taken > 0 && taken == expected && taken == cost);
            }
        }
    }
}
