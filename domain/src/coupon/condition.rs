//! Whether a coupon may work at all, which lines it is for, and why it does nothing.
//!
//! Always true here: each limit is judged by itself and every one has to be met; a reason has a code that never changes its name and a sentence
//! that says what would help.

use chrono::{DateTime, Utc};

use super::replay::{Added, Circumstances, Content, LineFacts};
use super::{Audience, CouponStatus, Effect, Rules, StatusFacts};
use crate::money::{Currency, Money};
use crate::refusal::{Code, Reason};

/// Why a coupon in a cart does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Nothing {
    /// R68: the shop takes no coupons.
    #[error("This shop takes no coupons at present.")]
    Off,
    /// The cart holds the code twice.
    #[error("This code stands in the cart already and works once.")]
    Repeated,
    /// The code is void.
    #[error("This code was made void and no longer works; ask whoever gave it to you for another one.")]
    Void,
    /// The coupon is switched off.
    #[error("This coupon is switched off.")]
    Inactive,
    /// The coupon is over.
    #[error("This coupon ended at {ended_at}.")]
    Expired {
        /// When it ended.
        ended_at: DateTime<Utc>,
    },
    /// The coupon has not begun.
    #[error("This coupon works from {starts_at}; place the order then.")]
    NotStarted {
        /// When it begins.
        starts_at: DateTime<Utc>,
    },
    /// No use is left.
    #[error("Every use of this coupon is taken.")]
    Exhausted,
    /// The cart is not for one of the coupon's companies.
    #[error("This coupon is for orders in the shop of another company.")]
    OtherCompany,
    /// The cart is not in one of the coupon's currencies.
    #[error("This coupon does not work for orders in {currency}; make a cart in another currency.")]
    OtherCurrency {
        /// The cart's currency.
        currency: Currency,
    },
    /// R36: the customer has bought before.
    #[error("This coupon is for new customers only, and you have ordered here before.")]
    ForNew,
    /// R36: the customer has not bought before.
    #[error("This coupon is for returning customers only: those who have paid for an order here before.")]
    ForRecurring,
    /// The customer has had all uses that one customer gets.
    #[error("One customer can use this coupon {}, and you have done so.", times(*.limit))]
    CustomerLimit {
        /// How many uses one customer gets.
        limit: u32,
    },
    /// There is no line for it.
    #[error("This coupon reaches no line of the cart: {0}.")]
    NoLine(Obstacle),
    /// R77: too little is bought.
    #[error("This coupon works from {minimum} on; the lines that it is for come to {subtotal} before coupons.")]
    Minimum {
        /// The least, in the cart's currency.
        minimum: Money,
        /// What the lines that it is for cost before any coupon.
        subtotal: Money,
    },
    /// R75: its amount cannot be brought into the cart's currency.
    #[error("This coupon is in {from}, and there is no exchange rate from {from} to {to} at present.")]
    NoRate {
        /// The coupon's currency.
        from: Currency,
        /// The cart's currency.
        to: Currency,
    },
    /// What it would give rounds to nothing.
    #[error("What this coupon takes off comes to less than the smallest amount in {currency}.")]
    TooSmall {
        /// The cart's currency.
        currency: Currency,
    },
    /// Its amounts do not fit.
    #[error("The amounts of this cart are too large for the coupon; order fewer at once.")]
    TooLarge,
}

fn times(limit: u32) -> String {
    if limit == 1 { "once".to_owned() } else { format!("{limit} times") }
}

impl Nothing {
    /// Whether adding the code to a cart is refused for it, rather than told beside the code in the cart: the code works for nobody now, or
    /// the cart is below its minimum (c11, c53). What hangs on other lines, other coupons or the customer may be mended in the cart.
    pub const fn refuses_adding(&self) -> bool {
        matches!(
            self,
            Self::Off
                | Self::Repeated
                | Self::Void
                | Self::Inactive
                | Self::Expired { .. }
                | Self::NotStarted { .. }
                | Self::Exhausted
                | Self::Minimum { .. }
        )
    }
}

impl Reason for Nothing {
    fn code(&self) -> Code {
        match self {
            Self::Off => Code::CouponsOff,
            Self::Repeated => Code::CouponRepeated,
            Self::Void => Code::CouponVoid,
            Self::Inactive => Code::CouponInactive,
            Self::Expired { .. } => Code::CouponExpired,
            Self::NotStarted { .. } => Code::CouponNotStarted,
            Self::Exhausted => Code::CouponExhausted,
            Self::OtherCompany => Code::CouponOtherCompany,
            Self::OtherCurrency { .. } => Code::CouponOtherCurrency,
            Self::ForNew => Code::CouponForNew,
            Self::ForRecurring => Code::CouponForRecurring,
            Self::CustomerLimit { .. } => Code::CouponCustomerLimit,
            Self::NoLine(_) => Code::ReachesNoLine,
            Self::Minimum { .. } => Code::CouponMinimum,
            Self::NoRate { .. } => Code::NoRate,
            Self::TooSmall { .. } => Code::CouponTooSmall,
            Self::TooLarge => Code::TooLarge,
        }
    }
}

/// Why a line is out of a coupon's reach: the first condition that it fails, in this order. Of several lines, the one that came furthest
/// tells why the coupon reaches none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Obstacle {
    /// There is no line.
    #[error("the cart is empty")]
    EmptyCart,
    /// The line has no price.
    #[error("no line has a price")]
    NoPrice,
    /// The line costs nothing.
    #[error("there is nothing to pay for")]
    Free,
    /// R64: the product takes no coupons.
    #[error("these products take no coupons")]
    NotCouponable,
    /// R64: the product sells credits.
    #[error("credits are sold without discounts")]
    SellsCredits,
    /// The pack is for another product.
    #[error("the product that it is for is not among them")]
    OtherPackProduct,
    /// Limit: providers.
    #[error("none is from the provider that it is for")]
    OtherProvider,
    /// Limit: products.
    #[error("none is of the products that it is for")]
    OtherProduct,
    /// Limit: product codes.
    #[error("none has a product code that it is for")]
    OtherProductCode,
    /// Limit: kinds of courses.
    #[error("none is of the kind that it is for")]
    OtherKind,
    /// Limit: events.
    #[error("none is of the event that it is for")]
    OtherEvent,
    /// Limit: sessions.
    #[error("none is of the session that it is for")]
    OtherSession,
    /// R70: another coupon has the line.
    #[error("other coupons, which were added before, have taken every line that it is for")]
    Taken,
}

/// Where the coupon stands, by itself.
pub(super) fn status(added: &Added<'_>, now: DateTime<Utc>) -> CouponStatus {
    let facts = StatusFacts {
        void: added.void,
        active: added.active,
        window: added.rules.window,
        exhausted: added.uses.exhaust(added.rules, added.single_use),
    };
    facts.at(now)
}

/// Whether the coupon may work in this cart for this customer, whatever the lines are. `inside`: uses of the same coupon by codes of this
/// cart that were added before.
pub(super) fn may_work(added: &Added<'_>, status: CouponStatus, around: &Circumstances<'_>, inside: u32) -> Result<(), Nothing> {
    let rules = added.rules;
    if !around.enabled {
        return Err(Nothing::Off);
    }
    match (status, rules.window.ends_at, rules.window.starts_at) {
        (CouponStatus::Started, ..) => {}
        (CouponStatus::Expired, Some(ended_at), _) => return Err(Nothing::Expired { ended_at }),
        (CouponStatus::NotStarted, _, Some(starts_at)) => return Err(Nothing::NotStarted { starts_at }),
        (CouponStatus::Void, ..) => return Err(Nothing::Void),
        (CouponStatus::Exhausted, ..) => return Err(Nothing::Exhausted),
        // Windows without the bound in question do not give the other statuses.
        (CouponStatus::Inactive | CouponStatus::Expired | CouponStatus::NotStarted, ..) => return Err(Nothing::Inactive),
    }
    if rules.total_uses.is_some_and(|limit| added.uses.coupon.saturating_add(u64::from(inside)) >= u64::from(limit)) {
        return Err(Nothing::Exhausted);
    }
    if !rules.limits.companies.is_any() && !around.company.is_some_and(|company| rules.limits.companies.names(&company)) {
        return Err(Nothing::OtherCompany);
    }
    if !rules.limits.currencies.admits(&around.currency) {
        return Err(Nothing::OtherCurrency { currency: around.currency });
    }
    let audience = rules.audience_by(added.key);
    if around.customer.is_some_and(|customer| !audience.admits(customer)) {
        return Err(if audience == Audience::New { Nothing::ForNew } else { Nothing::ForRecurring });
    }
    match rules.uses_per_customer {
        Some(limit) if added.uses.customer.saturating_add(u64::from(inside)) >= u64::from(limit) => Err(Nothing::CustomerLimit { limit }),
        _ => Ok(()),
    }
}

/// What a line costs before any coupon, if coupons reach it at all. It is the same for all of them, so it is found once for each line.
pub(super) fn price(line: &LineFacts<'_>, currency: Currency) -> Result<i64, Obstacle> {
    match line.subtotal.filter(|price| price.currency == currency) {
        None => Err(Obstacle::NoPrice),
        Some(price) if price.minor <= 0 => Err(Obstacle::Free),
        Some(_) if !line.couponable => Err(Obstacle::NotCouponable),
        Some(price) => Ok(price.minor),
    }
}

/// Whether the coupon is for this line.
pub(super) fn is_for(rules: &Rules, line: &LineFacts<'_>) -> Result<(), Obstacle> {
    let limits = &rules.limits;
    match rules.effect {
        Effect::Percent(_) | Effect::Amount(_) if line.credits > 0 => return Err(Obstacle::SellsCredits),
        Effect::Pack(pack) if pack.product != line.product => return Err(Obstacle::OtherPackProduct),
        Effect::Percent(_) | Effect::Amount(_) | Effect::Pack(_) => {}
    }
    let of_provider = |content: &Content| content.provider.is_some_and(|provider| limits.providers.names(&provider));
    if !limits.providers.is_any() && !all(line, of_provider) {
        return Err(Obstacle::OtherProvider);
    }
    let by_event = || line.event.and_then(|event| event.product).is_some_and(|product| limits.products.names(&product));
    if !limits.products.admits(&line.product) && !by_event() {
        return Err(Obstacle::OtherProduct);
    }
    if !limits.product_codes.admits_text(line.product_code) {
        return Err(Obstacle::OtherProductCode);
    }
    if !limits.kinds.is_any() && !all(line, |content| limits.kinds.names(&content.kind)) {
        return Err(Obstacle::OtherKind);
    }
    if !limits.events.is_any() && !line.event.is_some_and(|event| limits.events.names(&event.course)) {
        return Err(Obstacle::OtherEvent);
    }
    if !limits.sessions.is_any() && !line.session.is_some_and(|session| limits.sessions.names(&session)) {
        return Err(Obstacle::OtherSession);
    }
    Ok(())
}

/// Whether the line gives something, and all of it is so.
fn all(line: &LineFacts<'_>, so: impl Fn(&Content) -> bool) -> bool {
    !line.contents.is_empty() && line.contents.iter().all(so)
}
