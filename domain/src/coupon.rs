//! Coupons: the rule behind a code, what it gives a cart line by line, or why it gives nothing.
//!
//! Always true here: a status is derived and never kept; a line takes one coupon at the most and never costs less than nothing; the coupons of
//! a cart are replayed as a whole, in the order in which they were added, whenever anything changes, so that the same cart, coupons and
//! circumstances always give the same.
//!
//! - [`code`]: what people type, and the key by which two spellings are one.
//! - [`rule`]: what a coupon is: its effect, its limits; how it is checked when given, and what may change later.
//! - [`condition`]: whether a coupon may work at all, and which lines it is for.
//! - [`discount`]: what it gives the lines that it takes.
//! - [`replay`](mod@replay): the coupons of a cart, one after the other.
//! - [`usage`]: how uses are taken, spent and given back.
//! - [`batch`]: many codes for one use each.

pub mod batch;
pub mod code;
pub mod condition;
pub mod discount;
pub mod replay;
pub mod rule;
pub mod usage;

pub use batch::{BatchRefusal, Resize};
pub use code::{AudienceWarning, CodeRefusal, CouponCode, Prefix};
pub use condition::{Nothing, Obstacle};
pub use discount::PackPrice;
pub use replay::{Added, Circumstances, Content, CouponOutcome, Customer, Event, Given, LineFacts, LineOutcome, Replay, Saving, replay};
pub use rule::{Draft, Effect, Limits, MAX_CREDITS, OneOf, Pack, RuleRefusal, Rules};
pub use usage::{AddRefusal, UseState, Uses};

use chrono::{DateTime, Utc};

use crate::window::Window;

named! {
    /// What a coupon does.
    pub enum CouponKind {
        /// It takes something off.
        Discount = "DISCOUNT",
        /// It sells one product at another price and with another number of credits.
        Pack = "PACK",
    }
}

named! {
    /// How much of a cart a coupon takes.
    pub enum Scope {
        /// One line, with its whole quantity.
        Item = "ITEM",
        /// Every line that it is for and that no other coupon has taken.
        Order = "ORDER",
    }
}

named! {
    /// Whom a coupon is for (R36).
    pub enum Audience {
        /// Whoever knows the code.
        Any = "ANY",
        /// Customers none of whose orders was ever paid.
        New = "NEW",
        /// Customers who have paid for an order before.
        Recurring = "RECURRING",
    }
}

impl Audience {
    /// Whether it holds this customer.
    pub const fn admits(self, customer: Customer) -> bool {
        match self {
            Self::Any => true,
            Self::New => customer.is_new(),
            Self::Recurring => customer.has_paid,
        }
    }

    /// The words for it in sentences.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Any => "all customers",
            Self::New => "new customers",
            Self::Recurring => "returning customers",
        }
    }
}

named! {
    /// Where a coupon or one of its codes stands (R76).
    pub enum CouponStatus {
        /// The code was made void; it never works again.
        Void = "VOID",
        /// Somebody switched the coupon off.
        Inactive = "INACTIVE",
        /// Its window is over.
        Expired = "EXPIRED",
        /// Its window has not begun.
        NotStarted = "NOT_STARTED",
        /// Every use is taken.
        Exhausted = "EXHAUSTED",
        /// It works.
        Started = "STARTED",
    }
}

/// What the status of a coupon, or of one of its codes, follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusFacts {
    /// Whether the code was made void; a coupon as a whole never is.
    pub void: bool,
    /// Whether the coupon is switched on, and not archived.
    pub active: bool,
    /// When it works.
    pub window: Window,
    /// Whether no use is left, of the coupon or of the code.
    pub exhausted: bool,
}

impl StatusFacts {
    /// The first status that is true: VOID, INACTIVE, EXPIRED, NOT_STARTED, EXHAUSTED, STARTED (R76).
    pub fn at(&self, now: DateTime<Utc>) -> CouponStatus {
        if self.void {
            CouponStatus::Void
        } else if !self.active {
            CouponStatus::Inactive
        } else if self.window.ends_at.is_some_and(|ends_at| ends_at <= now) {
            CouponStatus::Expired
        } else if self.window.starts_at.is_some_and(|starts_at| now < starts_at) {
            CouponStatus::NotStarted
        } else if self.exhausted {
            CouponStatus::Exhausted
        } else {
            CouponStatus::Started
        }
    }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod samples;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("instant")
    }

    /// R76: the first status that is true, in this order.
    #[test]
    fn r76_the_first_status_that_is_true_is_the_status() {
        use CouponStatus::{Exhausted, Expired, Inactive, NotStarted, Started, Void};
        let window = Window::new(Some(at("2026-03-01T00:00:00Z")), Some(at("2026-04-01T00:00:00Z"))).expect("window");
        let (before, within, after) = (at("2026-02-28T23:59:59Z"), at("2026-03-15T12:00:00Z"), at("2026-04-01T00:00:00Z"));
        // Void, active, exhausted, when, status.
        for (void, active, exhausted, now, status) in [
            (true, false, true, after, Void),
            (true, true, false, within, Void),
            (false, false, true, after, Inactive),
            (false, false, false, within, Inactive),
            (false, true, true, after, Expired),
            (false, true, false, after, Expired),
            (false, true, true, before, NotStarted),
            (false, true, false, before, NotStarted),
            (false, true, true, within, Exhausted),
            (false, true, false, within, Started),
        ] {
            let facts = StatusFacts { void, active, window, exhausted };
            assert_eq!(facts.at(now), status, "{facts:?} at {now}");
        }
        let facts = StatusFacts { void: false, active: true, window, exhausted: false };
        assert_eq!(facts.at(at("2026-03-01T00:00:00Z")), Started, "the start belongs to the window");
        assert_eq!(facts.at(at("2026-03-31T23:59:59.999999Z")), Started);
    }

    /// R76, c11: a coupon that is good through a last day works until that day is over where the company is.
    #[test]
    fn c11_r76_the_last_day_belongs_to_the_coupon() {
        let day = "2026-07-06".parse().expect("day");
        let window = Window::from_days(None, Some(day), chrono_tz::America::New_York).expect("window");
        let facts = StatusFacts { void: false, active: true, window, exhausted: false };
        assert_eq!(facts.at(at("2026-07-07T03:59:59Z")), CouponStatus::Started);
        assert_eq!(facts.at(at("2026-07-07T04:00:00Z")), CouponStatus::Expired);
    }
}
