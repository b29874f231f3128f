//! Uses of coupons: how many there are, what an order takes of them, and what becomes of them as the order goes on.
//!
//! Always true here: where a use stands follows from its order alone; a use that was paid for is never given back.

use super::Rules;
use crate::id::CouponCodeId;
use crate::order::OrderStatus;
use crate::refusal::Reason;
use crate::refusal::{Code, Refusal};

named! {
    /// Where a use stands.
    pub enum UseState {
        /// Its order waits for the payment.
        Reserved = "RESERVED",
        /// Its order was paid; a refund leaves it so.
        Spent = "SPENT",
        /// Its order was cancelled or lapsed before it was paid; somebody else may use it.
        Freed = "FREED",
    }
}

/// What moving an order does to the counts of its coupons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountChange {
    /// One more is taken; it has to be asked for, and may be refused.
    Take,
    /// Nothing changes.
    Keep,
    /// One is free again.
    Free,
}

impl UseState {
    /// Where the uses of an order stand.
    pub const fn of(order: OrderStatus) -> Self {
        match order {
            OrderStatus::PendingPayment => Self::Reserved,
            OrderStatus::Paid | OrderStatus::Fulfilled | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => Self::Spent,
            OrderStatus::Cancelled | OrderStatus::Lapsed => Self::Freed,
        }
    }

    /// Whether it counts against the coupon's limits.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Reserved | Self::Spent)
    }

    /// What going from here to there does to the counts. Late money for a lapsed order takes a use anew: somebody else may have it by then.
    pub const fn change(self, to: Self) -> CountChange {
        match (self.counts(), to.counts()) {
            (false, true) => CountChange::Take,
            (true, false) => CountChange::Free,
            _ => CountChange::Keep,
        }
    }
}

/// Uses that count: reserved or spent, by other orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// Of the coupon, by whatever code. Where the coupon has no limit, nobody needs to count.
    pub coupon: u64,
    /// Of this code.
    pub code: u64,
    /// Of the coupon by this customer: by the same account, or by the same hash of an e-mail address.
    pub customer: u64,
}

impl Uses {
    /// Whether no use is left for anybody.
    pub const fn exhaust(&self, rules: &Rules, single_use: bool) -> bool {
        let all = match rules.total_uses {
            Some(limit) => self.coupon >= limit as u64,
            None => false,
        };
        all || single_use && self.code > 0
    }
}

impl Uses {
    /// Whether so many more uses of one order keep within the limits of the coupon, in all and by its customer.
    pub fn leave_room(&self, rules: &Rules, wanted: u64) -> bool {
        let within = |limit: Option<u32>, used: u64| limit.is_none_or(|limit| used.saturating_add(wanted) <= u64::from(limit));
        within(rules.total_uses, self.coupon) && within(rules.uses_per_customer, self.customer)
    }
}

/// Why a code is not put into a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddRefusal {
    /// Nothing that the shop knows, or nothing that it tells: the one answer to every wrong guess.
    #[error("There is no coupon with this code; check how it is written.")]
    Unknown,
    /// The cart has it.
    #[error("The cart holds this code already; a code works once, however it is written.")]
    Repeated,
    /// Too many coupons.
    #[error("A cart holds at most {} coupons; take one out with cartCouponRemove.", super::replay::MAX_COUPONS)]
    TooMany,
    /// R68: no coupons here.
    #[error("This shop takes no coupons at present.")]
    Off,
}

impl Reason for AddRefusal {
    fn code(&self) -> Code {
        match self {
            Self::Unknown => Code::NotFound,
            Self::Repeated => Code::CouponRepeated,
            Self::TooMany => Code::TooLong,
            Self::Off => Code::CouponsOff,
        }
    }

    fn field(&self) -> Vec<String> {
        match self {
            Self::Unknown | Self::Repeated | Self::TooMany => vec!["code".to_owned()],
            Self::Off => Vec::new(),
        }
    }
}

/// Whether a code may be put into a cart that holds these: the first look, before anything is priced. `code` is what the typed text was found
/// to be. Afterwards the cart is priced with it, and [`super::Nothing::refuses_adding`] has the last word.
///
/// # Errors
/// [`AddRefusal`].
pub fn check_add(enabled: bool, held: &[CouponCodeId], code: Option<CouponCodeId>) -> Result<CouponCodeId, AddRefusal> {
    if !enabled {
        return Err(AddRefusal::Off);
    }
    let code = code.ok_or(AddRefusal::Unknown)?;
    if held.contains(&code) {
        return Err(AddRefusal::Repeated);
    }
    if held.len() >= super::replay::MAX_COUPONS { Err(AddRefusal::TooMany) } else { Ok(code) }
}

/// Whether the replay lets the code that was added last stay in the cart.
///
/// # Errors
/// The reason at `code`, if the code works for nobody now or the cart is below its minimum.
pub fn check_added(outcome: &super::replay::CouponOutcome) -> Result<(), Refusal> {
    match outcome.reason() {
        Some(reason) if reason.refuses_adding() => Err(Refusal::from(*reason).under(["code"])),
        _ => Ok(()),
    }
}

/// The codes of an account's cart and of the guest's cart that it takes over (c41): the account's first, each once, in the order of adding.
/// Merging may exceed the largest number, for then nothing is dropped.
pub fn merge(account: &[CouponCodeId], guest: &[CouponCodeId]) -> Vec<CouponCodeId> {
    let mut merged = account.to_vec();
    for code in guest {
        if !merged.contains(code) {
            merged.push(*code);
        }
    }
    merged
}
