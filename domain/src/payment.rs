//! A payment attempt: its states, and the one function that moves between them.
//!
//! Always true here: what is known of an attempt only grows. Whatever arrives, twice, late or in reverse, ends in the same state, because
//! each observation states absolute facts and the state is their least upper bound.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::money::{Currency, Money, MoneyError};

named! {
    /// Where a payment attempt stands.
    pub enum PaymentStatus {
        /// Stored; the gateway was not asked yet, or did nothing yet.
        Created = "CREATED",
        /// The buyer has to do something: a page, a bank transfer by instructions.
        RequiresAction = "REQUIRES_ACTION",
        /// The gateway is at it.
        Processing = "PROCESSING",
        /// Money is reserved, not taken.
        Authorised = "AUTHORISED",
        /// Money was taken.
        Captured = "CAPTURED",
        /// Given up before any money was taken.
        Cancelled = "CANCELLED",
        /// The gateway said no.
        Failed = "FAILED",
        /// The buyer did not act in time, or the reservation ran out.
        Expired = "EXPIRED",
        /// A write ended without a trustworthy answer; settled by asking.
        Unknown = "UNKNOWN",
    }
}

impl PaymentStatus {
    /// Whether an order must not lapse while an attempt is in this state: money may be on its way, or is there and awaits a decision.
    pub const fn holds_order_open(self) -> bool {
        matches!(self, Self::Processing | Self::Authorised | Self::Unknown | Self::Captured)
    }

    /// Whether the attempt is over as far as anybody can tell; late money can still change that.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Captured | Self::Cancelled | Self::Failed | Self::Expired)
    }

    /// How much is known; a state is left only for one of a higher rank. A decline can be followed by a success on the same gateway object
    /// (another card), a reservation can be voided or run out, and captured money is a fact that nothing takes back.
    const fn rank(self) -> u8 {
        match self {
            Self::Created => 0,
            Self::Unknown => 1,
            Self::RequiresAction => 2,
            Self::Processing => 3,
            Self::Failed => 4,
            Self::Authorised => 5,
            Self::Expired => 6,
            Self::Cancelled => 7,
            Self::Captured => 8,
        }
    }
}

/// The sums of an attempt, all in the currency of its amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Reserved at the most so far, including what was captured of it.
    pub authorised: Money,
    /// Taken so far.
    pub captured: Money,
    /// Sent back: refunds that succeeded. Belongs to the refunds; shrinks again when one fails after all.
    pub refunded: Money,
    /// Held or lost by disputes. Belongs to the disputes (see [`disputed`]); shrinks again when one is won.
    pub disputed: Money,
    /// What refunds, done or under way, send back that was paid for no line of the order: a part of an invoice whose order was closed, or what
    /// came beyond what was due. Belongs to the refunds, as `refunded` does.
    pub returned: Money,
}

impl Totals {
    /// Nothing yet.
    pub const fn none(currency: Currency) -> Self {
        let zero = Money::zero(currency);
        Self { authorised: zero, captured: zero, refunded: zero, disputed: zero, returned: zero }
    }
}

/// Why an operator has to look at an attempt; it makes no order PAID until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Review {
    /// Authorised or captured another amount than was asked for.
    #[error("the gateway reports {} {}, which is not the amount of the order", found.decimal_text(), found.currency)]
    AmountDiffers {
        /// What the gateway reports.
        found: Money,
    },
    /// Money in another currency than was asked for.
    #[error("the gateway reports money in {found}, which is not the currency of the order")]
    CurrencyDiffers {
        /// The currency that the gateway reports.
        found: Currency,
    },
    /// Staff recorded more than was due. The order is paid all the same; the rest waits to be sent back.
    #[error("{} {} more than was due came in; refund it, or settle it with the payer", excess.decimal_text(), excess.currency)]
    Overpaid {
        /// What came beyond what was due and has not gone back.
        excess: Money,
    },
    /// Captured, but refunded or disputed before the order could be paid with it.
    #[error("of the captured money only {} {} is still there", left.decimal_text(), left.currency)]
    MoneyReturned {
        /// What is left of the captured money.
        left: Money,
    },
}

impl Review {
    /// The stable name of the reason.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AmountDiffers { .. } => "AMOUNT_DIFFERS",
            Self::CurrencyDiffers { .. } => "CURRENCY_DIFFERS",
            Self::Overpaid { .. } => "OVERPAID",
            Self::MoneyReturned { .. } => "MONEY_RETURNED",
        }
    }
}

/// An attempt as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentState {
    /// What was asked for: the total of the order.
    pub amount: Money,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Its sums.
    pub totals: Totals,
    /// Why an operator has to look, if one has to.
    pub review: Option<Review>,
    /// Whether its money is what staff recorded, who see each transfer, and not what a gateway reports.
    pub recorded: bool,
}

impl PaymentState {
    /// A new attempt to pay `amount`.
    pub const fn created(amount: Money) -> Self {
        Self { amount, status: PaymentStatus::Created, totals: Totals::none(amount.currency), review: None, recorded: false }
    }

    /// Whether an operator has to look.
    pub const fn needs_review(&self) -> bool {
        self.review.is_some()
    }

    /// What of the captured money is there for the order: all but what went back without having been paid for one of its lines.
    pub const fn held(&self) -> Money {
        Money::new(self.totals.captured.minor.saturating_sub(self.totals.returned.minor), self.amount.currency)
    }

    /// What staff recorded beyond what was due, as far as it has not gone back.
    pub fn excess(&self) -> Money {
        let excess = if self.recorded { self.held().minor.saturating_sub(self.amount.minor).max(0) } else { 0 };
        Money::new(excess, self.amount.currency)
    }

    /// The same attempt after its refunds have changed.
    #[must_use]
    pub fn reviewed(self) -> Self {
        Self { review: self.reason(), ..self }
    }

    /// The reason that follows from what is known. An amount that differs is judged anew each time, because the rest of the money can still
    /// arrive; another currency stays what it is. Money that staff recorded falls short of the amount only where some of it went back.
    fn reason(&self) -> Option<Review> {
        let found = match self.status {
            PaymentStatus::Captured => self.totals.captured,
            PaymentStatus::Authorised => self.totals.authorised,
            _ => self.amount,
        };
        match self.review {
            Some(Review::CurrencyDiffers { .. }) => self.review,
            _ if self.recorded => match self.excess() {
                excess if self.status == PaymentStatus::Captured && !excess.is_zero() => Some(Review::Overpaid { excess }),
                _ => None,
            },
            _ if found != self.amount => Some(Review::AmountDiffers { found }),
            _ => None,
        }
    }
}

/// What a gateway (or the core, after a write without an answer) states about an attempt. Totals are absolute, never differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The state it reports.
    pub status: PaymentStatus,
    /// Reserved in all; `None` = nothing was said about it.
    pub authorised: Option<Money>,
    /// Captured in all; `None` = nothing was said about it.
    pub captured: Option<Money>,
    /// Whether staff state it, of money that they saw.
    pub recorded: bool,
}

impl Observation {
    /// A state without sums.
    pub const fn of(status: PaymentStatus) -> Self {
        Self { status, authorised: None, captured: None, recorded: false }
    }

    /// The same with the sum reserved.
    #[must_use]
    pub const fn with_authorised(mut self, total: Money) -> Self {
        self.authorised = Some(total);
        self
    }

    /// The same, stated by staff.
    #[must_use]
    pub const fn by_staff(mut self) -> Self {
        self.recorded = true;
        self
    }

    /// The same with the sum captured.
    #[must_use]
    pub const fn with_captured(mut self, total: Money) -> Self {
        self.captured = Some(total);
        self
    }
}

/// A success that came after the attempt seemed to be over. It depends on the order of arrival, so it is told with the step, for the
/// operator, and is no part of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Late {
    /// Money was captured although the attempt was FAILED, EXPIRED or CANCELLED; accepted.
    Captured,
    /// Money was reserved although the attempt was FAILED; accepted.
    AuthorisedAfterFailure,
    /// Money is said to be reserved although the attempt was EXPIRED or CANCELLED. The state stays; the reservation should be voided.
    AuthorisedAfterEnd,
}

/// What an observation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The attempt afterwards.
    pub state: PaymentState,
    /// Whether anything is different from before. If not, the observation was a repeat or came late, and is kept as an event only.
    pub changed: bool,
    /// The reason, if the attempt needs an operator's look that it did not need before, or for another reason.
    pub newly_in_review: Option<Review>,
    /// Whether it was a success after the attempt seemed to be over.
    pub late: Option<Late>,
}

/// Applies what a gateway stated: the only way from one state of an attempt to another.
///
/// The state of higher rank stays, the larger of two sums stays. `totals.refunded`, `returned` and `disputed` are left alone: they can shrink,
/// so they are sums over refunds and disputes, which have states of their own.
pub fn apply(current: &PaymentState, seen: &Observation) -> Step {
    let mut state = *current;
    let forward = seen.status.rank() > current.status.rank();
    if forward {
        state.status = seen.status;
    }
    for (total, stated) in [(&mut state.totals.authorised, seen.authorised), (&mut state.totals.captured, seen.captured)] {
        let Some(stated) = stated else { continue };
        if stated.currency == current.amount.currency {
            total.minor = total.minor.max(stated.minor);
        } else {
            let known = match state.review {
                Some(Review::CurrencyDiffers { found }) => found.max(stated.currency),
                _ => stated.currency,
            };
            state.review = Some(Review::CurrencyDiffers { found: known });
        }
    }
    state.recorded |= seen.recorded;
    state.review = state.reason();

    let late = match (current.status, seen.status) {
        (PaymentStatus::Failed | PaymentStatus::Expired | PaymentStatus::Cancelled, PaymentStatus::Captured) => Some(Late::Captured),
        (PaymentStatus::Failed, PaymentStatus::Authorised) => Some(Late::AuthorisedAfterFailure),
        (PaymentStatus::Expired | PaymentStatus::Cancelled, PaymentStatus::Authorised) => Some(Late::AuthorisedAfterEnd),
        _ => None,
    };
    let newly_in_review = if state.review == current.review { None } else { state.review };
    Step { state, changed: state != *current, newly_in_review, late }
}

/// After how many polls without an end to wait how long for the next one; later ones are daily.
const POLL_DELAYS: [TimeDelta; 4] = [TimeDelta::minutes(1), TimeDelta::minutes(5), TimeDelta::minutes(30), TimeDelta::hours(2)];

/// How long to wait before asking the gateway again, after `polls` times.
pub fn poll_delay(polls: u32) -> TimeDelta {
    usize::try_from(polls).ok().and_then(|polls| POLL_DELAYS.get(polls).copied()).unwrap_or(TimeDelta::days(1))
}

/// When to ask the gateway about an attempt in this state, having asked `polls` times; `None` where there is nothing to ask: the attempt is
/// over, or its start is still to be sent.
pub fn next_poll_at(status: PaymentStatus, polls: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if status.is_final() || status == PaymentStatus::Created {
        return None;
    }
    now.checked_add_signed(poll_delay(polls))
}

named! {
    /// Where a dispute (chargeback) stands.
    pub enum DisputeStatus {
        /// A question by the bank; no money has moved.
        Inquiry = "INQUIRY",
        /// Money was taken back; evidence is awaited.
        NeedsResponse = "NEEDS_RESPONSE",
        /// The bank decides.
        UnderReview = "UNDER_REVIEW",
        /// The money came back.
        Won = "WON",
        /// The money is gone.
        Lost = "LOST",
    }
}

impl DisputeStatus {
    /// The later of two states, whatever the order in which they arrive. WON and LOST of one dispute: LOST, which refunds less.
    #[must_use]
    pub fn advance(self, seen: Self) -> Self {
        self.max(seen)
    }

    /// Whether the disputed amount is out of the shop's hands.
    pub const fn holds_money(self) -> bool {
        matches!(self, Self::NeedsResponse | Self::UnderReview | Self::Lost)
    }

    /// Whether the bank has decided.
    pub const fn is_decided(self) -> bool {
        matches!(self, Self::Won | Self::Lost)
    }
}

/// The sum that disputes of `captured` money hold or have lost: [`Totals::disputed`]. Banks dispute in the currency of the buyer's account at
/// times; how much that is of the captured money is not known here, so it holds all of it.
///
/// # Errors
/// Overflow.
pub fn disputed(captured: Money, disputes: impl IntoIterator<Item = (DisputeStatus, Money)>) -> Result<Money, MoneyError> {
    let held = disputes.into_iter().filter(|(status, _)| status.holds_money()).map(|(_, amount)| amount);
    Money::sum(captured.currency, held.map(|amount| if amount.currency == captured.currency { amount } else { captured }))
}

#[cfg(test)]
mod tests {
    use PaymentStatus::{Authorised, Cancelled, Captured, Created, Expired, Failed, Processing, RequiresAction, Unknown};
    use proptest::prelude::*;

    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, Currency::parse(code).expect("a currency of the tests"))
    }

    fn usd(minor: i64) -> Money {
        money(minor, "USD")
    }

    /// An attempt over 50.00 USD after these observations.
    fn after(seen: &[Observation]) -> PaymentState {
        seen.iter().fold(PaymentState::created(usd(5000)), |state, observation| apply(&state, observation).state)
    }

    fn paid() -> Observation {
        Observation::of(Captured).with_authorised(usd(5000)).with_captured(usd(5000))
    }

    #[test]
    fn each_state_gives_way_to_these_states_only() {
        let forward = |from: PaymentStatus| {
            let state = PaymentState { status: from, ..PaymentState::created(usd(5000)) };
            PaymentStatus::ALL.iter().copied().filter(|to| apply(&state, &Observation::of(*to)).state.status != from).collect::<Vec<_>>()
        };
        assert_eq!(forward(Created), [RequiresAction, Processing, Authorised, Captured, Cancelled, Failed, Expired, Unknown]);
        assert_eq!(forward(Unknown), [RequiresAction, Processing, Authorised, Captured, Cancelled, Failed, Expired]);
        assert_eq!(forward(RequiresAction), [Processing, Authorised, Captured, Cancelled, Failed, Expired]);
        assert_eq!(forward(Processing), [Authorised, Captured, Cancelled, Failed, Expired]);
        assert_eq!(forward(Failed), [Authorised, Captured, Cancelled, Expired]);
        assert_eq!(forward(Authorised), [Captured, Cancelled, Expired]);
        assert_eq!(forward(Expired), [Captured, Cancelled]);
        assert_eq!(forward(Cancelled), [Captured]);
        assert_eq!(forward(Captured), []);
    }

    /// c15: the same event again changes nothing.
    #[test]
    fn c15_a_repeat_is_no_change() {
        let first = apply(&PaymentState::created(usd(5000)), &paid());
        assert!(first.changed && first.late.is_none() && !first.state.needs_review());
        let again = apply(&first.state, &paid());
        assert_eq!(again, Step { state: first.state, changed: false, newly_in_review: None, late: None });
    }

    /// c17: success then failure ends as failure then success does.
    #[test]
    fn c17_a_late_failure_takes_nothing_back() {
        let failure = Observation::of(Failed);
        assert_eq!(after(&[failure, paid()]), after(&[paid(), failure]));
        assert_eq!(after(&[paid(), failure]).status, Captured);
        assert!(!apply(&after(&[paid()]), &failure).changed);
    }

    #[test]
    fn late_successes_are_accepted_and_flagged() {
        for (end, seen, status, late) in [
            (Failed, Captured, Captured, Some(Late::Captured)),
            (Expired, Captured, Captured, Some(Late::Captured)),
            (Cancelled, Captured, Captured, Some(Late::Captured)),
            (Failed, Authorised, Authorised, Some(Late::AuthorisedAfterFailure)),
            (Expired, Authorised, Expired, Some(Late::AuthorisedAfterEnd)),
            (Cancelled, Authorised, Cancelled, Some(Late::AuthorisedAfterEnd)),
            (Processing, Captured, Captured, None),
            (Authorised, Captured, Captured, None),
            (Captured, Authorised, Captured, None),
        ] {
            let step = apply(&after(&[Observation::of(end).with_captured(usd(0))]), &Observation { status: seen, ..paid() });
            assert_eq!((step.state.status, step.late), (status, late), "{seen} after {end}");
        }
    }

    #[test]
    fn another_amount_or_currency_needs_a_look_and_says_why() {
        let reason = |seen: &[Observation]| after(seen).review;
        let captured = |amount| Observation::of(Captured).with_captured(amount);
        assert_eq!(reason(&[captured(usd(5000))]), None);
        assert_eq!(reason(&[captured(usd(4999))]), Some(Review::AmountDiffers { found: usd(4999) }));
        assert_eq!(reason(&[captured(usd(5001))]), Some(Review::AmountDiffers { found: usd(5001) }));
        assert_eq!(reason(&[captured(money(5000, "EUR"))]), Some(Review::CurrencyDiffers { found: money(0, "EUR").currency }));
        assert_eq!(
            reason(&[Observation::of(Captured)]),
            Some(Review::AmountDiffers { found: usd(0) }),
            "captured without a sum proves no amount"
        );
        assert_eq!(reason(&[Observation::of(Authorised).with_authorised(usd(4000))]), Some(Review::AmountDiffers { found: usd(4000) }));
        let foreign = apply(&after(&[]), &captured(money(5000, "EUR")));
        assert_eq!((foreign.newly_in_review, foreign.state.totals.captured), (foreign.state.review, usd(0)));
        assert_eq!(apply(&foreign.state, &captured(usd(5000))).newly_in_review, None, "the reason stays the same");
        assert!(apply(&foreign.state, &captured(usd(5000))).state.needs_review());
    }

    /// A part recorded by hand is no mistake while the attempt waits, and the rest clears what a first capture raised.
    #[test]
    fn the_rest_of_the_money_settles_the_amount() {
        assert_eq!(after(&[Observation::of(RequiresAction).with_captured(usd(2000))]).review, None);
        let part = Observation::of(Captured).with_captured(usd(2000));
        assert!(after(&[part]).needs_review());
        assert_eq!(after(&[part, paid()]), after(&[paid(), part]));
        assert!(!after(&[part, paid()]).needs_review());
    }

    /// What staff recorded beyond what was due is told until it has gone back; what falls short then did so because it went back.
    #[test]
    fn what_staff_recorded_beyond_what_was_due_is_told_until_it_went_back() {
        let recorded = |status, minor| Observation::of(status).with_captured(usd(minor)).by_staff();
        assert_eq!(after(&[recorded(Captured, 5000)]).review, None);
        let over = after(&[recorded(RequiresAction, 2000), recorded(Captured, 6000)]);
        assert_eq!((over.excess(), over.review), (usd(1000), Some(Review::Overpaid { excess: usd(1000) })));
        let mut left = over;
        for (returned, excess) in [(400, Some(600)), (1000, None), (6000, None), (0, Some(1000))] {
            left.totals.returned = usd(returned);
            assert_eq!(left.reviewed().review, excess.map(|excess| Review::Overpaid { excess: usd(excess) }), "{returned} went back");
        }
        let more = apply(&PaymentState { totals: Totals { returned: usd(1000), ..over.totals }, ..over }, &recorded(Captured, 6700));
        assert_eq!((more.state.excess(), more.newly_in_review), (usd(700), Some(Review::Overpaid { excess: usd(700) })));
        let told = "10.00 USD more than was due came in; refund it, or settle it with the payer";
        assert_eq!(over.review.map(|review| review.to_string()).as_deref(), Some(told));
    }

    #[test]
    fn an_unknown_start_is_settled_by_any_fact_and_overrules_none() {
        assert_eq!(after(&[Observation::of(Unknown), paid()]).status, Captured);
        assert_eq!(after(&[paid(), Observation::of(Unknown)]).status, Captured, "the webhook came before the time-out");
        assert_eq!(after(&[Observation::of(RequiresAction), Observation::of(Unknown)]).status, RequiresAction);
    }

    #[test]
    fn open_questions_are_asked_ever_more_slowly() {
        let now = DateTime::from_timestamp(1_767_225_600, 0).expect("2026-01-01T00:00:00Z");
        for (polls, minutes) in [(0, 1), (1, 5), (2, 30), (3, 120), (4, 1440), (5, 1440), (u32::MAX, 1440)] {
            assert_eq!(poll_delay(polls), TimeDelta::minutes(minutes), "after {polls}");
            assert_eq!(next_poll_at(Unknown, polls, now), Some(now + TimeDelta::minutes(minutes)));
        }
        let polled: Vec<_> = PaymentStatus::ALL.iter().filter(|status| next_poll_at(**status, 0, now).is_some()).collect();
        assert_eq!(polled, [&RequiresAction, &Processing, &Authorised, &Unknown]);
    }

    #[test]
    fn an_order_stays_open_while_money_may_come() {
        let holding: Vec<_> = PaymentStatus::ALL.iter().filter(|status| status.holds_order_open()).collect();
        assert_eq!(holding, [&Processing, &Authorised, &Captured, &Unknown]);
    }

    #[test]
    fn a_won_dispute_gives_the_money_back() {
        use DisputeStatus::{Inquiry, Lost, NeedsResponse, UnderReview, Won};
        let sum = |rows: &[(DisputeStatus, i64)]| disputed(usd(99_999), rows.iter().map(|(status, minor)| (*status, usd(*minor))));
        assert_eq!(sum(&[(Inquiry, 1), (NeedsResponse, 20), (UnderReview, 300), (Won, 4000), (Lost, 50_000)]), Ok(usd(50_320)));
        assert_eq!(Won.advance(UnderReview), Won);
        assert_eq!((Won.advance(Lost), Lost.advance(Won)), (Lost, Lost));
    }

    #[test]
    fn a_dispute_in_another_currency_holds_all_that_was_captured() {
        let rows = |status| [(status, money(4_000, "EUR"))];
        assert_eq!(disputed(usd(5_000), rows(DisputeStatus::NeedsResponse)), Ok(usd(5_000)));
        assert_eq!(disputed(usd(5_000), rows(DisputeStatus::Won)), Ok(usd(0)));
    }

    #[test]
    fn reasons_are_kept_as_json_and_told_in_words() {
        let review = Review::AmountDiffers { found: usd(4999) };
        let json = serde_json::to_value(review).expect("json");
        assert_eq!(serde_json::from_value::<Review>(json).expect("reads back"), review);
        assert_eq!(review.to_string(), "the gateway reports 49.99 USD, which is not the amount of the order");
    }

    fn observation() -> impl Strategy<Value = Observation> {
        let sum = || {
            prop::option::of((
                prop::sample::select(vec![0_i64, 2000, 5000, 5001]),
                prop::sample::select(vec!["USD", "USD", "USD", "EUR", "PLN"]),
            ))
        };
        let facts = (prop::sample::select(PaymentStatus::ALL.to_vec()), sum(), sum(), any::<bool>());
        facts.prop_map(|(status, authorised, captured, recorded)| Observation {
            status,
            authorised: authorised.map(|(minor, code)| money(minor, code)),
            captured: captured.map(|(minor, code)| money(minor, code)),
            recorded,
        })
    }

    fn shuffled() -> impl Strategy<Value = (Vec<Observation>, Vec<Observation>)> {
        prop::collection::vec(observation(), 0..8).prop_flat_map(|seen| (Just(seen.clone()), Just(seen).prop_shuffle()))
    }

    proptest! {
        #[test]
        fn every_order_of_the_same_events_ends_in_the_same_state((one, other) in shuffled()) {
            prop_assert_eq!(after(&one), after(&other));
        }

        #[test]
        fn events_sent_twice_in_reverse_change_nothing_more(seen in prop::collection::vec(observation(), 0..8)) {
            let once = after(&seen);
            for observation in seen.iter().rev() {
                let again = apply(&once, observation);
                prop_assert!(!again.changed);
                prop_assert_eq!(again.state, once);
            }
        }

        #[test]
        fn captured_money_is_never_forgotten(seen in prop::collection::vec(observation(), 0..8)) {
            let mut state = after(&[paid()]);
            for observation in &seen {
                state = apply(&state, observation).state;
                prop_assert_eq!(state.status, Captured);
                prop_assert!(state.totals.captured.minor >= 5000);
            }
        }
    }
}
