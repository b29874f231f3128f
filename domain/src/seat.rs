//! Seats in dated sessions: what a line has to say about its session, and where the seats of an order stand.
//!
//! Always true here: a session never has more seats held and given than it has seats, and nobody has two in one session.

use chrono::{DateTime, Utc};

use crate::catalog::ProductKind;
use crate::id::{CourseId, SessionId};
use crate::order::OrderStatus;
use crate::refusal::{Code, Reason};

named! {
    /// Where seats stand that an order, a token or an operator took.
    pub enum SeatState {
        /// Their order waits for its payment.
        Held = "HELD",
        /// They were paid for, or given by hand.
        Given = "GIVEN",
        /// Somebody else may take them: the order was cancelled, lapsed or refunded, or the access was ended.
        Freed = "FREED",
    }
}

/// What moving an order does to the seats that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatChange {
    /// They have to be taken anew, and may be gone.
    Take,
    /// They stay where they are.
    Keep,
    /// They are free again.
    Free,
}

impl SeatState {
    /// Where the seats of an order stand. What a refund frees is said line by line.
    pub const fn of(order: OrderStatus) -> Self {
        match order {
            OrderStatus::PendingPayment => Self::Held,
            OrderStatus::Paid | OrderStatus::Fulfilled | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => Self::Given,
            OrderStatus::Cancelled | OrderStatus::Lapsed => Self::Freed,
        }
    }

    /// What going from here to there does to the seats.
    pub const fn change(self, to: Self) -> SeatChange {
        match (self, to) {
            (Self::Freed, Self::Held | Self::Given) => SeatChange::Take,
            (Self::Held | Self::Given, Self::Freed) => SeatChange::Free,
            _ => SeatChange::Keep,
        }
    }
}

/// What a product sells, as far as sessions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sold {
    /// Something without dates.
    Undated,
    /// An event: the line names its session.
    Event(CourseId),
    /// One session.
    Session(SessionId),
}

impl Sold {
    /// By kind and target of the product; `event` says whether a course is one.
    pub fn by(kind: ProductKind, target: uuid::Uuid, event: bool) -> Self {
        match kind {
            ProductKind::Session => Self::Session(SessionId::new(target)),
            ProductKind::Course if event => Self::Event(CourseId::new(target)),
            ProductKind::Course | ProductKind::Library | ProductKind::Group | ProductKind::CreditPack => Self::Undated,
        }
    }

    /// The session that a line is for: the one it names, else the one that the product sells.
    pub fn session(self, named: Option<SessionId>) -> Option<SessionId> {
        match self {
            Self::Session(session) => named.or(Some(session)),
            Self::Undated | Self::Event(_) => named,
        }
    }
}

/// A session, as far as selling its seats goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionFacts {
    /// The session.
    pub id: SessionId,
    /// Its event.
    pub course: CourseId,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// Whether it was archived.
    pub archived: bool,
    /// Seats that nobody holds or has.
    pub free: i64,
}

/// Why a seat is not sold or given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeatRefusal {
    /// An event without a date.
    #[error("This is an event with dated sessions; name the one that is wanted as sessionId.")]
    SessionMissing,
    /// A session where there are none.
    #[error("Only events have dated sessions; leave sessionId out.")]
    NoSessions,
    /// A session of something else, or none at all.
    #[error("This event has no such session; choose one of the sessions that the offer shows.")]
    OtherSession,
    /// It is over, or was taken back.
    #[error("This session is over or was called off; choose another one.")]
    Over,
    /// Too few seats are left.
    #[error("This session has {free} free seats, and {wanted} are wanted; order fewer, or choose another session.")]
    Full {
        /// Seats that are free.
        free: i64,
        /// Seats that are wanted.
        wanted: u32,
    },
    /// One seat for each learner.
    #[error("This learner has a seat in this session already, or one waits for its payment; each learner takes one.")]
    HasSeat,
}

impl Reason for SeatRefusal {
    fn code(&self) -> Code {
        match self {
            Self::SessionMissing => Code::SessionRequired,
            Self::NoSessions => Code::Invalid,
            Self::OtherSession => Code::NotFound,
            Self::Over => Code::SessionOver,
            Self::Full { .. } => Code::SessionFull,
            Self::HasSeat => Code::AlreadyHasSeat,
        }
    }

    fn field(&self) -> Vec<String> {
        let field = if let Self::Full { .. } = self { "quantity" } else { "sessionId" };
        vec![field.to_owned()]
    }
}

/// Whether this many seats of a session may be sold or given. `named` is the session that was asked for, `found` that session, `has_seat` whether
/// the learner is known to have one there.
///
/// # Errors
/// The first thing that stands in the way.
pub fn check(
    sold: Sold,
    named: Option<SessionId>,
    found: Option<&SessionFacts>,
    wanted: u32,
    has_seat: bool,
    now: DateTime<Utc>,
) -> Result<(), SeatRefusal> {
    let of_product = |session: &&SessionFacts| match sold {
        Sold::Undated => false,
        Sold::Event(course) => session.course == course,
        Sold::Session(id) => session.id == id,
    };
    let session = match (sold, sold.session(named)) {
        (Sold::Undated, None) => return Ok(()),
        (Sold::Undated, Some(_)) => return Err(SeatRefusal::NoSessions),
        (_, None) => return Err(SeatRefusal::SessionMissing),
        (_, Some(_)) => found.filter(of_product).ok_or(SeatRefusal::OtherSession)?,
    };
    if session.archived || session.ends_at <= now {
        return Err(SeatRefusal::Over);
    }
    if has_seat {
        return Err(SeatRefusal::HasSeat);
    }
    if session.free < i64::from(wanted) {
        return Err(SeatRefusal::Full { free: session.free.max(0), wanted });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn session(number: u128) -> SessionId {
        SessionId::new(Uuid::from_u128(number))
    }

    const EVENT: CourseId = CourseId::new(Uuid::from_u128(7));

    fn instant(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("an instant of the tests").to_utc()
    }

    fn facts(number: u128, free: i64) -> SessionFacts {
        SessionFacts { id: session(number), course: EVENT, ends_at: instant("2026-06-02T00:00:00Z"), archived: false, free }
    }

    /// The code of what stands in the way of `wanted` seats.
    fn code(sold: Sold, named: Option<u128>, found: Option<SessionFacts>, wanted: u32, has_seat: bool) -> &'static str {
        let checked = check(sold, named.map(session), found.as_ref(), wanted, has_seat, instant("2026-06-01T00:00:00Z"));
        checked.map_or_else(|refusal| refusal.code().name(), |()| "OK")
    }

    #[test]
    fn a_line_of_an_event_names_a_session_of_it_with_enough_seats() {
        let event = Sold::Event(EVENT);
        let other = Sold::Event(CourseId::new(Uuid::from_u128(8)));
        let over = SessionFacts { ends_at: instant("2026-06-01T00:00:00Z"), ..facts(1, 9) };
        for (sold, named, found, wanted, has_seat, expected) in [
            (Sold::Undated, None, None, 1, false, "OK"),
            (Sold::Undated, Some(1), Some(facts(1, 9)), 1, false, "INVALID"),
            (event, None, None, 1, false, "SESSION_REQUIRED"),
            (event, Some(1), None, 1, false, "NOT_FOUND"),
            (other, Some(1), Some(facts(1, 9)), 1, false, "NOT_FOUND"),
            (event, Some(1), Some(over), 1, false, "SESSION_OVER"),
            (event, Some(1), Some(SessionFacts { archived: true, ..facts(1, 9) }), 1, false, "SESSION_OVER"),
            (event, Some(1), Some(facts(1, 9)), 1, true, "ALREADY_HAS_SEAT"),
            (event, Some(1), Some(facts(1, 9)), 9, false, "OK"),
            (event, Some(1), Some(facts(1, 9)), 10, false, "SESSION_FULL"),
            (event, Some(1), Some(facts(1, -1)), 1, false, "SESSION_FULL"),
            (Sold::Session(session(1)), None, Some(facts(1, 1)), 1, false, "OK"),
            (Sold::Session(session(1)), Some(1), Some(facts(1, 1)), 1, false, "OK"),
            (Sold::Session(session(1)), Some(2), Some(facts(2, 1)), 1, false, "NOT_FOUND"),
        ] {
            assert_eq!(code(sold, named, found, wanted, has_seat), expected, "{sold:?} {named:?} {found:?} {wanted} {has_seat}");
        }
    }

    #[test]
    fn seats_are_held_given_and_freed_with_their_order() {
        use SeatState::{Freed, Given, Held};
        for (from, to, change) in [
            (Held, Given, SeatChange::Keep),
            (Held, Freed, SeatChange::Free),
            (Freed, Given, SeatChange::Take),
            (Given, Given, SeatChange::Keep),
            (Freed, Freed, SeatChange::Keep),
        ] {
            assert_eq!(from.change(to), change, "{from} to {to}");
        }
        for (status, state) in [
            (OrderStatus::PendingPayment, Held),
            (OrderStatus::Paid, Given),
            (OrderStatus::Fulfilled, Given),
            (OrderStatus::PartiallyRefunded, Given),
            (OrderStatus::Refunded, Given),
            (OrderStatus::Cancelled, Freed),
            (OrderStatus::Lapsed, Freed),
        ] {
            assert_eq!(SeatState::of(status), state, "{status}");
        }
    }

    #[test]
    fn products_tell_which_session_a_line_is_for() {
        let one = Uuid::from_u128(1);
        assert_eq!(Sold::by(ProductKind::Session, one, false), Sold::Session(session(1)));
        assert_eq!(Sold::by(ProductKind::Course, one, true), Sold::Event(CourseId::new(one)));
        assert_eq!(Sold::by(ProductKind::Course, one, false), Sold::Undated);
        assert_eq!(Sold::by(ProductKind::Library, one, true), Sold::Undated);
        assert_eq!(Sold::Session(session(1)).session(None), Some(session(1)));
        assert_eq!(Sold::Event(EVENT).session(None), None);
    }
}
