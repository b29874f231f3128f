//! Orders: their states, the one function that moves between them, and what is decided when money arrives.
//!
//! Always true here: an order becomes PAID by exactly one attempt, captured for its total; any other captured money, and what staff recorded
//! beyond the total, goes back at once or waits, flagged, for an operator. Nothing is charged in silence.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use crate::crockford;
use crate::money::{Money, MoneyError};
use crate::payment::{DisputeStatus, PaymentState, PaymentStatus, Review};
use crate::refund::MoneyFacts;
use crate::refusal::{Code, Reason};

named! {
    /// Where an order stands.
    pub enum OrderStatus {
        /// Placed, its seats held, the money awaited.
        PendingPayment = "PENDING_PAYMENT",
        /// Paid in full.
        Paid = "PAID",
        /// Given up by the buyer or the shop before it was paid.
        Cancelled = "CANCELLED",
        /// Not paid in time.
        Lapsed = "LAPSED",
        /// Paid, and all that it gives is given.
        Fulfilled = "FULFILLED",
        /// A part of the money went back.
        PartiallyRefunded = "PARTIALLY_REFUNDED",
        /// All of the money went back.
        Refunded = "REFUNDED",
    }
}

impl OrderStatus {
    /// Whether the order keeps its cart: a cart has one such order at the most.
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Lapsed)
    }

    /// Whether the order was paid, whatever was refunded since.
    pub const fn was_paid(self) -> bool {
        matches!(self, Self::Paid | Self::Fulfilled | Self::PartiallyRefunded | Self::Refunded)
    }
}

/// What happens to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEvent {
    /// Its total was captured, or is zero.
    Paid,
    /// Its total was captured after it had lapsed, and everything is still there.
    Honoured,
    /// It is given up.
    Cancelled,
    /// Its time ran out.
    Lapsed,
    /// All that it gives was given.
    Fulfilled,
    /// Its refunds are these, all in all. A refund that fails after all frees its money, so the state can go back.
    Refunds {
        /// Captured by the attempt that paid it.
        captured: Money,
        /// Sent back of that: refunds that succeeded.
        refunded: Money,
        /// Whether all that it gives was given.
        fulfilled: bool,
    },
}

/// Moves an order: the only way from one of its states to another.
///
/// FULFILLED of an order that was refunded meanwhile is noted outside the state, which stays.
///
/// # Errors
/// The state does not allow it, or (with [`OrderEvent::Refunds`]) the amounts are in two currencies.
pub fn advance(status: OrderStatus, event: &OrderEvent) -> Result<OrderStatus, OrderRefusal> {
    use OrderStatus::{Cancelled, Fulfilled, Lapsed, Paid, PartiallyRefunded, PendingPayment, Refunded};
    match (event, status) {
        (OrderEvent::Paid, PendingPayment) | (OrderEvent::Honoured, Lapsed) => Ok(Paid),
        (OrderEvent::Paid | OrderEvent::Honoured, _) => Err(OrderRefusal::CannotPay { status }),

        (OrderEvent::Cancelled, PendingPayment) => Ok(Cancelled),
        (OrderEvent::Cancelled, _) => Err(OrderRefusal::CannotCancel { status }),

        (OrderEvent::Lapsed, PendingPayment) => Ok(Lapsed),
        (OrderEvent::Lapsed, _) => Err(OrderRefusal::CannotLapse { status }),

        (OrderEvent::Fulfilled, Paid | Fulfilled) => Ok(Fulfilled),
        (OrderEvent::Fulfilled, PartiallyRefunded | Refunded) => Ok(status),
        (OrderEvent::Fulfilled, PendingPayment | Cancelled | Lapsed) => Err(OrderRefusal::CannotFulfil { status }),

        (OrderEvent::Refunds { captured, refunded, fulfilled }, Paid | Fulfilled | PartiallyRefunded | Refunded) => {
            let left = captured.sub(*refunded)?;
            Ok(match (refunded.minor > 0, left.minor > 0) {
                (false, _) if *fulfilled => Fulfilled,
                (false, _) => Paid,
                (true, true) => PartiallyRefunded,
                (true, false) => Refunded,
            })
        }
        (OrderEvent::Refunds { .. }, PendingPayment | Cancelled | Lapsed) => Err(OrderRefusal::CannotRefund { status }),
    }
}

/// Why something cannot be done with an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefusal {
    /// Only orders that wait for their payment are cancelled.
    #[error("the order is {status} and can no longer be cancelled{}", if status.was_paid() { "; refund it instead" } else { "" })]
    CannotCancel {
        /// Where it stands.
        status: OrderStatus,
    },
    /// The order does not wait for a payment.
    #[error("the order is {status} and takes no payment{}", if status.was_paid() { "" } else { "; place the cart again" })]
    CannotPay {
        /// Where it stands.
        status: OrderStatus,
    },
    /// Only orders that wait for their payment lapse.
    #[error("the order is {status} and cannot lapse")]
    CannotLapse {
        /// Where it stands.
        status: OrderStatus,
    },
    /// Nothing is given for an order that was not paid.
    #[error("the order is {status}; nothing is given before it is paid")]
    CannotFulfil {
        /// Where it stands.
        status: OrderStatus,
    },
    /// There is no money to send back.
    #[error("the order is {status}; only paid orders can be refunded")]
    CannotRefund {
        /// Where it stands.
        status: OrderStatus,
    },
    /// Another attempt could still take, or holds, the money.
    #[error("an earlier payment of this order is {status}; wait until it has failed or expired, so that nobody pays twice")]
    PaymentUnderWay {
        /// Where that attempt stands.
        status: PaymentStatus,
    },
    /// Amounts that do not fit together.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl Reason for OrderRefusal {
    fn code(&self) -> Code {
        match self {
            Self::CannotCancel { .. } | Self::CannotPay { .. } | Self::CannotLapse { .. } => Code::NotPending,
            Self::CannotFulfil { .. } => Code::PaymentState,
            Self::CannotRefund { .. } => Code::NotRefundable,
            Self::PaymentUnderWay { .. } => Code::PaymentUnderWay,
            Self::Money(error) => error.code(),
        }
    }
}

/// Which attempt made an order PAID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaidBy {
    /// None: it is not paid, or its total is zero.
    Nobody,
    /// The attempt that is being settled.
    This,
    /// Another one.
    Another,
}

/// All that counts when what is known of an attempt has changed; read under the order's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettleFacts<'a> {
    /// Where the order stands.
    pub order: OrderStatus,
    /// The attempt, after the change.
    pub payment: &'a PaymentState,
    /// Refunds of this attempt that are under way.
    pub refunding: Money,
    /// Which attempt paid the order.
    pub paid_by: PaidBy,
    /// Whether all that the order sold can still be given (its holds stand, or could be taken again). Counts for LAPSED orders only.
    pub everything_there: bool,
    /// Whether the order's cart has another live order. Counts for LAPSED orders only.
    pub cart_taken: bool,
}

/// What follows from an attempt's news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Make the order PAID.
    Pay,
    /// Make the LAPSED order PAID: take its holds again, and its cart is ORDERED again.
    PayHonoured,
    /// Money is reserved for an order that can be paid with it: capture it, unless the shop captures by hand.
    Capture,
    /// Money is reserved for an order that has no use for it: void it.
    Void,
    /// Captured money has no order to pay: send it back, and tell the operator. The order's state stays.
    RefundAtOnce {
        /// All that is left of it.
        amount: Money,
        /// Why it is not kept.
        why: RefundWhy,
    },
    /// Flag the attempt and tell the operator; neither pay nor refund.
    Review(Review),
    /// Nothing to do.
    Nothing,
}

named! {
    /// Why captured money goes back at once.
    pub enum RefundWhy {
        /// The order was cancelled.
        OrderCancelled = "ORDER_CANCELLED",
        /// The order lapsed, and cannot be honoured with this money.
        OrderLapsed = "ORDER_LAPSED",
        /// The order lapsed, and its cart was ordered again.
        CartTaken = "CART_TAKEN",
        /// The order was paid already.
        PaidTwice = "PAID_TWICE",
    }
}

/// Decides what an attempt's news mean for its order. Asking again after the decision was carried out decides [`Settle::Nothing`], so it may
/// follow every observation.
///
/// # Errors
/// Amounts in two currencies, or overflow.
pub fn settle(facts: &SettleFacts<'_>) -> Result<Settle, MoneyError> {
    let SettleFacts { order, payment, refunding, paid_by, everything_there, cart_taken } = *facts;
    let totals = payment.totals;
    let facts =
        MoneyFacts { captured: totals.captured, refunded: totals.refunded, refunding, disputed: totals.disputed, excess: payment.excess() };
    let left = facts.refundable()?;
    let send_back = |why| if left.is_zero() { Settle::Nothing } else { Settle::RefundAtOnce { amount: left, why } };

    // How much there is in another currency is not known, so only a person can put it right.
    if let Some(review @ Review::CurrencyDiffers { .. }) = payment.review {
        return Ok(Settle::Review(review));
    }
    let no_use = match order {
        OrderStatus::PendingPayment => None,
        OrderStatus::Cancelled => Some(RefundWhy::OrderCancelled),
        OrderStatus::Lapsed if cart_taken => Some(RefundWhy::CartTaken),
        OrderStatus::Lapsed if !everything_there => Some(RefundWhy::OrderLapsed),
        OrderStatus::Lapsed => None,
        OrderStatus::Paid | OrderStatus::Fulfilled | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => match paid_by {
            PaidBy::This => return Ok(payment.review.map_or(Settle::Nothing, Settle::Review)),
            PaidBy::Another | PaidBy::Nobody => Some(RefundWhy::PaidTwice),
        },
    };
    let lapsed = order == OrderStatus::Lapsed;
    Ok(match (payment.status, no_use) {
        (PaymentStatus::Authorised, Some(_)) => Settle::Void,
        (PaymentStatus::Authorised, None) => payment.review.map_or(Settle::Capture, Settle::Review),
        (_, Some(why)) => send_back(why),
        (PaymentStatus::Captured, None) => match (payment.review, left.minor < payment.amount.minor) {
            // What came on top of the total keeps nobody from what they paid for: it waits on the attempt.
            (None | Some(Review::Overpaid { .. }), false) if lapsed => Settle::PayHonoured,
            (None | Some(Review::Overpaid { .. }), false) => Settle::Pay,
            _ if lapsed => send_back(RefundWhy::OrderLapsed),
            (Some(review), _) => Settle::Review(review),
            (None, true) => Settle::Review(Review::MoneyReturned { left }),
        },
        // A part of the money, recorded while the rest was awaited.
        (_, None) if lapsed => send_back(RefundWhy::OrderLapsed),
        (status, None) if status.is_final() && !left.is_zero() => Settle::Review(Review::AmountDiffers { found: totals.captured }),
        (_, None) => Settle::Nothing,
    })
}

/// What becomes of an attempt when its order is cancelled or another attempt takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// It is over already.
    Nothing,
    /// Close it: void it at the gateway as far as the gateway knows it.
    Void,
    /// It holds captured money, which goes back.
    Refund,
    /// Its outcome is not known; if money arrives, it goes back.
    Await,
}

/// Whether an order may be cancelled, and what becomes of each of its attempts (in the order given).
///
/// # Errors
/// [`OrderRefusal::CannotCancel`] unless it waits for its payment; money of a paid order is refunded instead.
pub fn cancel(status: OrderStatus, attempts: &[PaymentState]) -> Result<Vec<AttemptEnd>, OrderRefusal> {
    advance(status, &OrderEvent::Cancelled)?;
    let end = |attempt: &PaymentState| match attempt.status {
        _ if attempt.totals.captured.minor > 0 => AttemptEnd::Refund,
        PaymentStatus::Created | PaymentStatus::RequiresAction | PaymentStatus::Authorised => AttemptEnd::Void,
        PaymentStatus::Processing | PaymentStatus::Unknown => AttemptEnd::Await,
        // Captured in another currency: nothing of it is counted, and the operator was told.
        PaymentStatus::Captured | PaymentStatus::Cancelled | PaymentStatus::Failed | PaymentStatus::Expired => AttemptEnd::Nothing,
    };
    Ok(attempts.iter().map(end).collect())
}

/// Whether another attempt may be made, and what becomes of each earlier one (in the order given): one that waits for the buyer is closed.
///
/// # Errors
/// [`OrderRefusal::CannotPay`] unless the order waits for its payment; [`OrderRefusal::PaymentUnderWay`] while an earlier attempt is being
/// started, is under way, or holds money.
pub fn retry(status: OrderStatus, attempts: &[PaymentState]) -> Result<Vec<AttemptEnd>, OrderRefusal> {
    if status != OrderStatus::PendingPayment {
        return Err(OrderRefusal::CannotPay { status });
    }
    let end = |attempt: &PaymentState| match attempt.status {
        PaymentStatus::Failed | PaymentStatus::Expired | PaymentStatus::Cancelled if attempt.totals.captured.is_zero() => {
            Ok(AttemptEnd::Nothing)
        }
        PaymentStatus::RequiresAction if attempt.totals.captured.is_zero() => Ok(AttemptEnd::Void),
        status => Err(OrderRefusal::PaymentUnderWay { status }),
    };
    attempts.iter().map(end).collect()
}

/// How long an order waits for its payment, unless the payment method or a setting says otherwise.
pub const LAPSE_AFTER: TimeDelta = TimeDelta::minutes(30);

/// How long an order waits for an invoice to be paid, unless a setting says otherwise.
pub const LAPSE_AFTER_MANUAL: TimeDelta = TimeDelta::days(14);

/// For how long an order may be paid and not fulfilled before the operator sees it, unless a setting says otherwise.
pub const PAID_NOT_GIVEN_AFTER: TimeDelta = TimeDelta::minutes(1);

/// When an order placed now, with a method that waits for `wait`, lapses.
pub fn lapses_at(now: DateTime<Utc>, wait: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// When an order lapses after another attempt with a method that waits for `wait`: never earlier than before.
pub fn lapses_at_after_retry(before: DateTime<Utc>, now: DateTime<Utc>, wait: TimeDelta) -> DateTime<Utc> {
    before.max(lapses_at(now, wait))
}

/// Whether an order lapses now: its time is over, and no attempt has money on its way or awaiting a decision.
pub fn may_lapse(status: OrderStatus, lapses_at: Option<DateTime<Utc>>, now: DateTime<Utc>, attempts: &[PaymentStatus]) -> bool {
    status == OrderStatus::PendingPayment
        && lapses_at.is_some_and(|end| end <= now)
        && !attempts.iter().any(|attempt| attempt.holds_order_open())
}

/// Whether an order was paid at least `grace` ago and is not fulfilled, whatever its state says by now.
pub fn paid_not_given(paid_at: Option<DateTime<Utc>>, fulfilled_at: Option<DateTime<Utc>>, now: DateTime<Utc>, grace: TimeDelta) -> bool {
    fulfilled_at.is_none() && paid_at.is_some_and(|paid| now.signed_duration_since(paid) >= grace)
}

/// What counts for a grant that an order gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Whether the grant opens anything, now or later.
    pub live: bool,
    /// Where the order stands.
    pub order: OrderStatus,
    /// Whether all that was paid for the grant's line went back.
    pub line_wholly_refunded: bool,
    /// Where the dispute of the order's payment stands, if there is one.
    pub dispute: Option<DisputeStatus>,
    /// Whether it was given without payment on purpose.
    pub bypass: bool,
    /// Whether a refund or lost dispute left it on purpose.
    pub kept: bool,
}

named! {
    /// Why a live grant should not be.
    pub enum GivenNotPaid {
        /// Its order was never paid.
        Unpaid = "UNPAID",
        /// What was paid for it went back.
        Refunded = "REFUNDED",
        /// The buyer's bank took the money back for good.
        ChargedBack = "CHARGED_BACK",
    }
}

/// Whether a grant lives without money behind it, and why; a dispute counts once it is lost.
pub const fn given_not_paid(given: &Given) -> Option<GivenNotPaid> {
    if !given.live || given.bypass || given.kept {
        return None;
    }
    match given.order {
        OrderStatus::PendingPayment | OrderStatus::Cancelled | OrderStatus::Lapsed => Some(GivenNotPaid::Unpaid),
        OrderStatus::Refunded => Some(GivenNotPaid::Refunded),
        OrderStatus::Paid | OrderStatus::Fulfilled | OrderStatus::PartiallyRefunded => match given.dispute {
            _ if given.line_wholly_refunded => Some(GivenNotPaid::Refunded),
            Some(DisputeStatus::Lost) => Some(GivenNotPaid::ChargedBack),
            _ => None,
        },
    }
}

/// An order's number, for people: ten random characters, so that it tells nobody how many orders there are. Uniqueness is the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrderNumber(String);

impl OrderNumber {
    const LENGTH: usize = 10;
    const GROUP: usize = 5;

    /// The number of 64 random bits, of which it takes 50.
    pub fn from_random(bits: [u8; 8]) -> Self {
        let bits = u64::from_be_bytes(bits);
        let digits: String = (0..Self::LENGTH)
            .map(|index| crockford::digit(bits.rotate_left(5 * (u32::try_from(index).unwrap_or(0) + 1)).to_le_bytes()[0]))
            .collect();
        Self(crockford::grouped(&digits, Self::GROUP))
    }

    /// Reads a number as people type it: in any case, with or without hyphen and blanks, O for 0, I and L for 1.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.chars().filter(|typed| !crockford::separates(*typed)).map(|typed| crockford::value(typed).map(crockford::digit));
        let digits: String = digits.collect::<Option<_>>()?;
        (digits.len() == Self::LENGTH).then(|| Self(crockford::grouped(&digits, Self::GROUP)))
    }

    /// The number as it is stored and shown: `7K3QM-9XW2R`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use OrderStatus::{Cancelled, Fulfilled, Lapsed, Paid, PartiallyRefunded, PendingPayment, Refunded};
    use proptest::prelude::*;

    use super::*;
    use crate::money::Currency;
    use crate::payment::{Observation, apply};

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::parse("USD").expect("a currency"))
    }

    fn instant(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("an instant of the tests").to_utc()
    }

    /// An attempt over 55.00 USD in this state, with this much captured.
    fn attempt(status: PaymentStatus, captured: i64) -> PaymentState {
        apply(&PaymentState::created(usd(5500)), &Observation::of(status).with_authorised(usd(5500)).with_captured(usd(captured))).state
    }

    fn facts(order: OrderStatus, payment: &PaymentState) -> SettleFacts<'_> {
        SettleFacts { order, payment, refunding: usd(0), paid_by: PaidBy::Nobody, everything_there: true, cart_taken: false }
    }

    #[test]
    fn orders_move_along_these_lines_only() {
        let moves =
            |event: OrderEvent| OrderStatus::ALL.iter().filter_map(|from| Some((*from, advance(*from, &event).ok()?))).collect::<Vec<_>>();
        assert_eq!(moves(OrderEvent::Paid), [(PendingPayment, Paid)]);
        assert_eq!(moves(OrderEvent::Honoured), [(Lapsed, Paid)]);
        assert_eq!(moves(OrderEvent::Cancelled), [(PendingPayment, Cancelled)]);
        assert_eq!(moves(OrderEvent::Lapsed), [(PendingPayment, Lapsed)]);
        assert_eq!(
            moves(OrderEvent::Fulfilled),
            [(Paid, Fulfilled), (Fulfilled, Fulfilled), (PartiallyRefunded, PartiallyRefunded), (Refunded, Refunded)]
        );
        let refunds = |refunded, fulfilled| moves(OrderEvent::Refunds { captured: usd(100), refunded: usd(refunded), fulfilled });
        let all = |to| [Paid, Fulfilled, PartiallyRefunded, Refunded].map(|from| (from, to));
        assert_eq!(refunds(0, false), all(Paid), "a refund that failed after all");
        assert_eq!(refunds(0, true), all(Fulfilled));
        assert_eq!(refunds(1, true), all(PartiallyRefunded));
        assert_eq!(refunds(99, false), all(PartiallyRefunded));
        assert_eq!(refunds(100, true), all(Refunded));
    }

    #[test]
    fn refusals_say_what_to_do_instead() {
        let told = |status, event| advance(status, &event).map_err(|refusal| (refusal.code(), refusal.to_string()));
        let no = |code, text: &str| Err((code, text.to_owned()));
        assert_eq!(
            told(Fulfilled, OrderEvent::Cancelled),
            no(Code::NotPending, "the order is FULFILLED and can no longer be cancelled; refund it instead")
        );
        assert_eq!(told(Lapsed, OrderEvent::Cancelled), no(Code::NotPending, "the order is LAPSED and can no longer be cancelled"));
        assert_eq!(
            told(Cancelled, OrderEvent::Paid),
            no(Code::NotPending, "the order is CANCELLED and takes no payment; place the cart again")
        );
        let refunds = OrderEvent::Refunds { captured: usd(1), refunded: usd(1), fulfilled: false };
        assert_eq!(
            told(PendingPayment, refunds),
            no(Code::NotRefundable, "the order is PENDING_PAYMENT; only paid orders can be refunded")
        );
    }

    #[test]
    fn captured_money_pays_a_waiting_order() {
        assert_eq!(settle(&facts(PendingPayment, &attempt(PaymentStatus::Captured, 5500))), Ok(Settle::Pay));
        assert_eq!(settle(&facts(PendingPayment, &attempt(PaymentStatus::Authorised, 0))), Ok(Settle::Capture));
        for status in [
            PaymentStatus::Created,
            PaymentStatus::RequiresAction,
            PaymentStatus::Processing,
            PaymentStatus::Unknown,
            PaymentStatus::Failed,
        ] {
            assert_eq!(settle(&facts(PendingPayment, &attempt(status, 0))), Ok(Settle::Nothing), "{status}");
        }
    }

    /// c21: late money of a lapsed order is honoured if everything is still there, else it goes back.
    #[test]
    fn c21_late_money_is_honoured_or_goes_back() {
        let captured = attempt(PaymentStatus::Captured, 5500);
        let late = facts(Lapsed, &captured);
        let back = |why| Ok(Settle::RefundAtOnce { amount: usd(5500), why });
        assert_eq!(settle(&late), Ok(Settle::PayHonoured), "(c) the seat is still free");
        assert_eq!(settle(&SettleFacts { everything_there: false, ..late }), back(RefundWhy::OrderLapsed), "(b) the last seat was sold");
        assert_eq!(settle(&SettleFacts { cart_taken: true, ..late }), back(RefundWhy::CartTaken));
        assert_eq!(settle(&facts(Cancelled, &captured)), back(RefundWhy::OrderCancelled));
        let repeated = SettleFacts { refunding: usd(5500), ..late };
        assert_eq!(settle(&repeated), Ok(Settle::Nothing), "the refund is under way: no seat that comes free changes that");
    }

    #[test]
    fn a_second_payment_of_a_paid_order_goes_back_at_once() {
        let captured = attempt(PaymentStatus::Captured, 5500);
        for order in [Paid, Fulfilled, PartiallyRefunded, Refunded] {
            let second = SettleFacts { paid_by: PaidBy::Another, ..facts(order, &captured) };
            assert_eq!(settle(&second), Ok(Settle::RefundAtOnce { amount: usd(5500), why: RefundWhy::PaidTwice }));
            assert_eq!(settle(&SettleFacts { refunding: usd(5500), ..second }), Ok(Settle::Nothing), "said twice, refunded once");
            assert_eq!(
                settle(&SettleFacts { paid_by: PaidBy::This, ..second }),
                Ok(Settle::Nothing),
                "the webhook of the payment that paid it"
            );
            let reserved = attempt(PaymentStatus::Authorised, 0);
            assert_eq!(settle(&SettleFacts { payment: &reserved, ..second }), Ok(Settle::Void));
        }
    }

    #[test]
    fn another_amount_never_pays_an_order() {
        for found in [5499, 5501] {
            let wrong = attempt(PaymentStatus::Captured, found);
            assert_eq!(settle(&facts(PendingPayment, &wrong)), Ok(Settle::Review(Review::AmountDiffers { found: usd(found) })));
            let back = |why| Ok(Settle::RefundAtOnce { amount: usd(found), why });
            assert_eq!(settle(&facts(Lapsed, &wrong)), back(RefundWhy::OrderLapsed));
            assert_eq!(settle(&facts(Cancelled, &wrong)), back(RefundWhy::OrderCancelled));
        }
        let eur = Money::new(5500, Currency::parse("EUR").expect("a currency"));
        let foreign = apply(&PaymentState::created(usd(5500)), &Observation::of(PaymentStatus::Captured).with_captured(eur)).state;
        for order in OrderStatus::ALL {
            assert_eq!(settle(&facts(*order, &foreign)), Ok(Settle::Review(Review::CurrencyDiffers { found: eur.currency })), "{order}");
        }
        let mut returned = attempt(PaymentStatus::Captured, 5500);
        returned.totals.disputed = usd(500);
        assert_eq!(settle(&facts(PendingPayment, &returned)), Ok(Settle::Review(Review::MoneyReturned { left: usd(5000) })));
    }

    /// More than was due, recorded by staff, pays the order; only what is on top waits for somebody.
    #[test]
    fn what_staff_recorded_pays_the_order_also_if_it_is_too_much() {
        let recorded = |captured| Observation::of(PaymentStatus::Captured).with_captured(usd(captured)).by_staff();
        let over = apply(&PaymentState::created(usd(5500)), &recorded(6000)).state;
        assert_eq!(settle(&facts(PendingPayment, &over)), Ok(Settle::Pay));
        assert_eq!(settle(&facts(Lapsed, &over)), Ok(Settle::PayHonoured));
        let paid = SettleFacts { paid_by: PaidBy::This, ..facts(Paid, &over) };
        assert_eq!(settle(&paid), Ok(Settle::Review(Review::Overpaid { excess: usd(500) })));
        let twice = SettleFacts { paid_by: PaidBy::Another, ..paid };
        assert_eq!(settle(&twice), Ok(Settle::RefundAtOnce { amount: usd(6000), why: RefundWhy::PaidTwice }));
        // A part went back when the order lapsed; then the whole came.
        let mut late = apply(&PaymentState::created(usd(5500)), &recorded(7500)).state;
        (late.totals.refunded, late.totals.returned) = (usd(2000), usd(2000));
        assert_eq!(settle(&facts(Lapsed, &late.reviewed())), Ok(Settle::PayHonoured));
    }

    /// Parts of an invoice: they wait with the order, and go back when it is closed.
    #[test]
    fn a_part_of_the_money_waits_and_is_never_kept_in_silence() {
        let part = attempt(PaymentStatus::RequiresAction, 2000);
        assert_eq!(settle(&facts(PendingPayment, &part)), Ok(Settle::Nothing));
        assert_eq!(settle(&facts(Lapsed, &part)), Ok(Settle::RefundAtOnce { amount: usd(2000), why: RefundWhy::OrderLapsed }));
        assert_eq!(settle(&facts(Cancelled, &part)), Ok(Settle::RefundAtOnce { amount: usd(2000), why: RefundWhy::OrderCancelled }));
        let given_up = attempt(PaymentStatus::Expired, 2000);
        assert_eq!(settle(&facts(PendingPayment, &given_up)), Ok(Settle::Review(Review::AmountDiffers { found: usd(2000) })));
    }

    #[test]
    fn cancelling_ends_each_attempt_as_far_as_it_went() {
        let cases = [
            (PaymentStatus::Created, 0, AttemptEnd::Void),
            (PaymentStatus::RequiresAction, 0, AttemptEnd::Void),
            (PaymentStatus::RequiresAction, 2000, AttemptEnd::Refund),
            (PaymentStatus::Authorised, 0, AttemptEnd::Void),
            (PaymentStatus::Processing, 0, AttemptEnd::Await),
            (PaymentStatus::Unknown, 0, AttemptEnd::Await),
            (PaymentStatus::Captured, 5499, AttemptEnd::Refund),
            (PaymentStatus::Failed, 0, AttemptEnd::Nothing),
            (PaymentStatus::Expired, 0, AttemptEnd::Nothing),
            (PaymentStatus::Cancelled, 0, AttemptEnd::Nothing),
        ];
        let attempts = cases.map(|(status, captured, _)| attempt(status, captured));
        assert_eq!(cancel(PendingPayment, &attempts), Ok(cases.map(|(_, _, end)| end).to_vec()));
        for status in [Paid, Cancelled, Lapsed, Fulfilled, PartiallyRefunded, Refunded] {
            assert_eq!(cancel(status, &attempts), Err(OrderRefusal::CannotCancel { status }));
        }
    }

    #[test]
    fn another_attempt_waits_for_the_earlier_one() {
        use PaymentStatus::{Authorised, Captured, Created, Expired, Failed, Processing, RequiresAction, Unknown};
        let over = [attempt(Failed, 0), attempt(Expired, 0), attempt(RequiresAction, 0)];
        assert_eq!(retry(PendingPayment, &over), Ok(vec![AttemptEnd::Nothing, AttemptEnd::Nothing, AttemptEnd::Void]));
        for (status, captured) in
            [(Created, 0), (Processing, 0), (Authorised, 0), (Unknown, 0), (Captured, 5499), (RequiresAction, 2000), (Expired, 1)]
        {
            let refused = retry(PendingPayment, &[attempt(Failed, 0), attempt(status, captured)]);
            assert_eq!(refused, Err(OrderRefusal::PaymentUnderWay { status }), "{status} with {captured}");
        }
        assert_eq!(retry(Lapsed, &[]), Err(OrderRefusal::CannotPay { status: Lapsed }));
        assert_eq!(retry(Paid, &[]), Err(OrderRefusal::CannotPay { status: Paid }));
    }

    #[test]
    fn orders_lapse_by_method_and_never_under_a_payment() {
        let placed = instant("2026-03-01T10:00:00Z");
        let end = lapses_at(placed, LAPSE_AFTER);
        assert_eq!(end, instant("2026-03-01T10:30:00Z"));
        assert_eq!(lapses_at(placed, LAPSE_AFTER_MANUAL), instant("2026-03-15T10:00:00Z"));
        let retried = instant("2026-03-01T10:20:00Z");
        assert_eq!(lapses_at_after_retry(end, retried, LAPSE_AFTER), instant("2026-03-01T10:50:00Z"));
        let manual = lapses_at(placed, LAPSE_AFTER_MANUAL);
        assert_eq!(lapses_at_after_retry(manual, retried, LAPSE_AFTER), manual, "a card after an invoice takes no time away");

        let lapses = |now: &str, attempts: &[PaymentStatus]| may_lapse(PendingPayment, Some(end), instant(now), attempts);
        assert!(!lapses("2026-03-01T10:29:59.999999Z", &[]));
        assert!(lapses("2026-03-01T10:30:00Z", &[]));
        for status in PaymentStatus::ALL {
            let waits =
                matches!(status, PaymentStatus::Processing | PaymentStatus::Authorised | PaymentStatus::Unknown | PaymentStatus::Captured);
            assert_eq!(lapses("2026-03-02T00:00:00Z", &[PaymentStatus::Failed, *status]), !waits, "{status}");
        }
        assert!(!may_lapse(Paid, Some(end), instant("2026-03-02T00:00:00Z"), &[]));
        assert!(!may_lapse(PendingPayment, None, instant("2026-03-02T00:00:00Z"), &[]));
    }

    #[test]
    fn what_was_paid_and_not_given_shows_after_a_minute() {
        let paid = Some(instant("2026-03-01T10:00:00Z"));
        let shows = |paid, fulfilled, now: &str| paid_not_given(paid, fulfilled, instant(now), PAID_NOT_GIVEN_AFTER);
        assert!(!shows(paid, None, "2026-03-01T10:00:59Z"));
        assert!(shows(paid, None, "2026-03-01T10:01:00Z"));
        assert!(!shows(paid, Some(instant("2026-03-01T10:00:01Z")), "2026-03-01T10:01:00Z"));
        assert!(!shows(None, None, "2026-03-01T10:01:00Z"));
    }

    #[test]
    fn what_was_given_and_not_paid_shows_with_its_reason() {
        use DisputeStatus::{Inquiry, Lost, NeedsResponse, UnderReview, Won};
        let given = Given { live: true, order: Fulfilled, line_wholly_refunded: false, dispute: None, bypass: false, kept: false };
        assert_eq!(given_not_paid(&given), None);
        for order in [PendingPayment, Cancelled, Lapsed] {
            assert_eq!(given_not_paid(&Given { order, ..given }), Some(GivenNotPaid::Unpaid));
            assert_eq!(given_not_paid(&Given { order, bypass: true, ..given }), None);
            assert_eq!(given_not_paid(&Given { order, live: false, ..given }), None);
        }
        let refunded = Given { order: Refunded, ..given };
        assert_eq!(given_not_paid(&refunded), Some(GivenNotPaid::Refunded));
        assert_eq!(given_not_paid(&Given { kept: true, ..refunded }), None, "kept on purpose");
        let line = Given { order: PartiallyRefunded, line_wholly_refunded: true, ..given };
        assert_eq!(given_not_paid(&line), Some(GivenNotPaid::Refunded));
        assert_eq!(given_not_paid(&Given { line_wholly_refunded: false, ..line }), None, "another line was refunded");
        for (dispute, reason) in
            [(Inquiry, None), (NeedsResponse, None), (UnderReview, None), (Won, None), (Lost, Some(GivenNotPaid::ChargedBack))]
        {
            assert_eq!(given_not_paid(&Given { dispute: Some(dispute), ..given }), reason, "{dispute}");
        }
    }

    #[test]
    fn order_numbers_are_ten_characters_in_two_groups() {
        assert_eq!(OrderNumber::from_random([0; 8]).as_str(), "00000-00000");
        assert_eq!(OrderNumber::from_random([0xff; 8]).as_str(), "ZZZZZ-ZZZZZ");
        // 00001 00010 00011 00100 00101 | 00110 00111 01000 01001 01010, 14 bits left over.
        let bits = (0b00001_00010_00011_00100_00101_00110_00111_01000_01001_01010_u64) << 14;
        assert_eq!(OrderNumber::from_random(bits.to_be_bytes()).as_str(), "12345-6789A");
        for text in ["12345-6789A", " 12345 6789a ", "l2345-6789a", "123456789A"] {
            assert_eq!(OrderNumber::parse(text).map(|number| number.to_string()).as_deref(), Some("12345-6789A"), "{text:?}");
        }
        for text in ["", "12345-6789", "12345-6789AB", "12345-6789U"] {
            assert_eq!(OrderNumber::parse(text), None, "{text:?}");
        }
    }

    fn payment() -> impl Strategy<Value = PaymentState> {
        let sums = (0_i64..=6000, 0_i64..=6000, 0_i64..=2000);
        (prop::sample::select(PaymentStatus::ALL.to_vec()), prop::bool::ANY, sums).prop_map(
            |(status, full, (captured, refunded, disputed))| {
                let mut state = attempt(status, if full { 5500 } else { captured });
                state.totals.refunded = usd(refunded.min(state.totals.captured.minor));
                state.totals.disputed = usd(disputed);
                state
            },
        )
    }

    proptest! {
        /// What settling does, done, leaves nothing to do; and no captured money is both kept and unaccounted for.
        #[test]
        fn settling_twice_does_nothing_the_second_time(state in payment(), order in prop::sample::select(OrderStatus::ALL.to_vec()), there in any::<bool>(), taken in any::<bool>()) {
            let first = SettleFacts { everything_there: there, cart_taken: taken, ..facts(order, &state) };
            let second = match settle(&first).expect("one currency") {
                Settle::Pay | Settle::PayHonoured => {
                    prop_assert_eq!((state.status, state.totals.captured), (PaymentStatus::Captured, usd(5500)));
                    prop_assert!(matches!(order, PendingPayment | Lapsed));
                    settle(&SettleFacts { order: Paid, paid_by: PaidBy::This, ..first })
                }
                Settle::RefundAtOnce { amount, .. } => {
                    prop_assert_ne!(order, PendingPayment);
                    prop_assert!(amount.minor > 0 && amount.minor <= state.totals.captured.minor);
                    settle(&SettleFacts { refunding: amount, ..first })
                }
                _ => Ok(Settle::Nothing),
            };
            prop_assert_eq!(second, Ok(Settle::Nothing));
        }

        #[test]
        fn order_numbers_read_back(bits in any::<[u8; 8]>()) {
            let number = OrderNumber::from_random(bits);
            prop_assert_eq!(OrderNumber::parse(&number.as_str().to_lowercase()), Some(number));
        }
    }
}
