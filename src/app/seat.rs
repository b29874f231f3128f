//! Seats of sessions, within the caller's transaction: held when an order is placed, given when it is paid, freed when it lapses or is refunded.
//!
//! Always true here: seats are taken by a conditional update, whoever asks; learners are held before sessions, and sessions in the order of
//! their ids.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::cart::{For, Problem};
use domain::catalog::Fulfilment;
use domain::coupon::Event;
use domain::entitlement::{Source, SourceKind, Target};
use domain::order::OrderStatus;
use domain::refusal::{Reason, Refusal};
use domain::seat::{SeatChange, SeatRefusal, SeatState, SessionFacts, Sold, check};
use domain::{AccountId, CourseId, OrderId, OrderLineId, ProductId, SessionId, TokenId};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::cart::{Cart, CartView};
use super::offer::OfferView;
use super::payment::Order;
use super::{App, entropy};
use crate::error::Result;
use crate::internal;
use crate::store;
use crate::store::entitlement::Entitlement;
use crate::store::seat::Seat;

/// What is known of the sessions of a cart's lines.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    known: HashMap<SessionId, SessionFacts>,
    /// Where the cart's account has a seat.
    own: HashSet<SessionId>,
    /// The products of the events whose sessions have one of their own.
    events: HashMap<CourseId, ProductId>,
}

impl Sessions {
    /// The session that a line is for.
    pub(super) fn of_line(named: Option<SessionId>, offer: Option<&OfferView>) -> Option<SessionId> {
        offer.map_or(named, |offer| sold(offer).session(named))
    }

    /// Why there is no seat for a line in its session.
    pub(super) fn refusal(
        &self,
        named: Option<SessionId>,
        offer: &OfferView,
        for_: &For,
        quantity: u32,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Option<SeatRefusal> {
        let session = sold(offer).session(named);
        // Of others, what they have is not told: anybody can name a learner.
        let own = *for_ == For::SelfBuyer && offer.fulfilment == Fulfilment::Enrol;
        let has_seat = own && session.is_some_and(|session| self.own.contains(&session));
        let found = session.and_then(|session| self.known.get(&session));
        check(sold(offer), named, found, quantity, has_seat, now).err()
    }

    /// The event of a line's session, as coupons see it.
    pub(super) fn event(&self, named: Option<SessionId>, offer: &OfferView) -> Option<Event> {
        let course = self.known.get(&sold(offer).session(named)?)?.course;
        let product = match sold(offer) {
            Sold::Event(_) => Some(offer.product),
            Sold::Session(_) | Sold::Undated => self.events.get(&course).copied(),
        };
        Some(Event { course, product })
    }
}

fn sold(offer: &OfferView) -> Sold {
    Sold::by(offer.kind, offer.target, offer.saleability.event)
}

impl App {
    /// Reads what the lines of a cart are judged by as far as sessions go: nothing for a cart without any.
    pub(super) async fn sessions_of_cart<'a>(
        &self,
        db: &impl ConnectionTrait,
        cart: &Cart,
        offers: impl Iterator<Item = &'a OfferView> + Clone,
    ) -> Result<Sessions> {
        let mut ids: Vec<SessionId> = cart.lines.iter().filter_map(|line| line.line.session).collect();
        ids.extend(offers.clone().filter_map(|offer| sold(offer).session(None)));
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(Sessions::default());
        }
        let mut taken_by_cart: HashMap<SessionId, i64> = HashMap::new();
        if let Some(order) = cart.order {
            for seat in store::seat::of_order(db, order).await?.into_iter().filter(|seat| seat.state != SeatState::Freed) {
                *taken_by_cart.entry(seat.session).or_default() += seat.quantity;
            }
        }
        let known: HashMap<SessionId, SessionFacts> = store::catalog::sessions(db, &ids)
            .await?
            .into_iter()
            .map(|session| {
                let free = session.seats - session.taken + taken_by_cart.get(&session.id).copied().unwrap_or(0);
                (session.id, facts(&session, free))
            })
            .collect();
        let own = match cart.account {
            Some(account) => store::seat::held_by(db, account, &ids, cart.order).await?.into_iter().collect(),
            None => HashSet::new(),
        };
        let mut events = HashMap::new();
        if !cart.coupons.is_empty() && offers.clone().any(|offer| matches!(sold(offer), Sold::Session(_))) {
            let courses: Vec<_> = known.values().map(|session| session.course.uuid()).collect();
            let products = store::product::products_of(db, &courses).await?;
            events.extend(products.into_iter().map(|product| (CourseId::new(product.target), product.id)));
        }
        Ok(Sessions { known, own, events })
    }

    /// Takes the seats of an order that is being placed. A problem means that they are gone, or that a learner has one: the whole placing is to be
    /// undone.
    pub(super) async fn seats_take(&self, txn: &DatabaseTransaction, order: &Order, view: &CartView) -> Result<Option<Refusal>> {
        let mut wanted: BTreeMap<SessionId, Vec<usize>> = BTreeMap::new();
        for (place, line) in order.lines.iter().enumerate() {
            if let Some(session) = line.session {
                wanted.entry(session).or_default().push(place);
            }
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let own_hash = match order.account {
            Some(account) => store::account::email_hash(txn, account).await?,
            None => None,
        };
        let buyer_hash = view.cart.buyer.as_ref().and_then(|buyer| buyer.email.as_ref()).map(|email| self.email_hash(email));
        for (session, places) in wanted {
            for place in places {
                let line = &order.lines[place];
                let holder = match &line.for_ {
                    // Whoever gets the key sits there.
                    _ if line.fulfilment == Fulfilment::Keys => None,
                    For::SelfBuyer => own_hash.clone().or_else(|| buyer_hash.clone()),
                    For::Seats => None,
                    For::Learner { email, .. } => email.as_ref().map(|email| self.email_hash(email)),
                };
                let source = Source { kind: SourceKind::OrderLine, id: line.id.uuid() };
                let asked = Wanted { session, source, order: Some(order.id), holder, quantity: line.quantity, state: SeatState::Held };
                if let Some(reason) = self.seat_take(txn, asked).await? {
                    let line = view.lines.get(place).map(|line| line.line.line.id);
                    return Ok(Some(Problem { code: reason.code(), line, message: reason.to_string() }.into()));
                }
            }
        }
        Ok(None)
    }

    /// Takes seats of one session for one source.
    pub(super) async fn seat_take(&self, txn: &DatabaseTransaction, wanted: Wanted) -> Result<Option<SeatRefusal>> {
        let Wanted { session, source, order, holder, quantity, state } = wanted;
        if !store::seat::take(txn, session, i64::from(quantity)).await? {
            let found = store::catalog::sessions(txn, &[session]).await?.pop();
            let free = found.map_or(0, |session| session.seats - session.taken);
            return Ok(Some(SeatRefusal::Full { free: free.max(0), wanted: quantity }));
        }
        let seat = Seat { id: entropy::next_uuid(), session, source, order, holder, quantity: i64::from(quantity), state };
        if store::seat::insert(txn, &seat, self.now()).await? {
            return Ok(None);
        }
        store::seat::free(txn, session, i64::from(quantity)).await?;
        Ok(Some(SeatRefusal::HasSeat))
    }

    /// Brings the seats of an order to where it goes, in the transaction that moves it and under its lock. Late money takes freed seats anew; says
    /// whether they were there.
    pub(super) async fn seats_move(&self, txn: &DatabaseTransaction, order: &Order, to: OrderStatus) -> Result<bool> {
        let (from, to) = (SeatState::of(order.status), SeatState::of(to));
        if from == to || order.lines.iter().all(|line| line.session.is_none()) {
            return Ok(true);
        }
        for mut seat in store::seat::of_order(txn, order.id).await? {
            match from.change(to) {
                SeatChange::Take if !store::seat::take(txn, seat.session, seat.quantity).await? => return Ok(false),
                SeatChange::Take | SeatChange::Keep => {}
                SeatChange::Free => store::seat::free(txn, seat.session, seat.quantity).await?,
            }
            seat.state = to;
            if !store::seat::save(txn, &seat, self.now()).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the seats of an order that lapsed could be taken anew.
    pub(super) async fn seats_there(&self, txn: &DatabaseTransaction, order: &Order) -> Result<bool> {
        if order.lines.iter().all(|line| line.session.is_none()) {
            return Ok(true);
        }
        let seats = store::seat::of_order(txn, order.id).await?;
        let mut wanted: HashMap<SessionId, i64> = HashMap::new();
        for seat in &seats {
            *wanted.entry(seat.session).or_default() += seat.quantity;
        }
        let ids: Vec<SessionId> = wanted.keys().copied().collect();
        let now = self.now();
        for session in store::catalog::sessions(txn, &ids).await? {
            let free = session.seats - session.taken;
            if session.archived_at.is_some() || session.ends_at <= now || free < wanted.get(&session.id).copied().unwrap_or(0) {
                return Ok(false);
            }
        }
        for seat in &seats {
            if store::seat::has_another(txn, seat).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Frees the seats that these grants took, which were ended.
    pub(super) async fn seats_free(&self, txn: &DatabaseTransaction, ended: &[&Entitlement]) -> Result<()> {
        for mut seat in seats_of(txn, ended).await? {
            if seat.state != SeatState::Freed {
                store::seat::free(txn, seat.session, seat.quantity).await?;
                seat.state = SeatState::Freed;
                store::seat::save(txn, &seat, self.now()).await?;
            }
        }
        Ok(())
    }

    /// Takes again the seats of grants that were ended and are to live again. Gives the grants whose seat somebody else has by now.
    pub(super) async fn seats_retake(&self, txn: &DatabaseTransaction, grants: &[&Entitlement]) -> Result<HashSet<Source>> {
        let mut gone = HashSet::new();
        for mut seat in seats_of(txn, grants).await? {
            if seat.state != SeatState::Freed {
                continue;
            }
            seat.state = SeatState::Given;
            let taken = store::seat::take(txn, seat.session, seat.quantity).await?;
            if !taken {
                gone.insert(seat.source);
            } else if !store::seat::save(txn, &seat, self.now()).await? {
                store::seat::free(txn, seat.session, seat.quantity).await?;
                gone.insert(seat.source);
            }
        }
        Ok(gone)
    }

    /// Frees this many of the seats that a line holds for its tokens, because those were voided.
    pub(super) async fn seats_give_up(&self, txn: &DatabaseTransaction, line: OrderLineId, count: usize) -> Result<()> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let Some(mut seat) = seats_of_line(txn, line).await?.filter(|_| count > 0) else { return Ok(()) };
        let freed = count.min(seat.quantity);
        store::seat::free(txn, seat.session, freed).await?;
        seat.quantity -= freed;
        store::seat::save(txn, &seat, self.now()).await?;
        Ok(())
    }

    /// Frees what a line still holds.
    pub(super) async fn seats_end(&self, txn: &DatabaseTransaction, line: OrderLineId) -> Result<()> {
        let Some(mut seat) = seats_of_line(txn, line).await?.filter(|seat| seat.state != SeatState::Freed) else { return Ok(()) };
        store::seat::free(txn, seat.session, seat.quantity).await?;
        match seat.holder {
            Some(_) => seat.state = SeatState::Freed,
            // Seats of tokens are counted in this row: they come back to it if the refund fails.
            None => seat.quantity = 0,
        }
        store::seat::save(txn, &seat, self.now()).await?;
        Ok(())
    }

    /// Takes this many seats for a line's tokens again; says whether they were there.
    pub(super) async fn seats_take_back(&self, txn: &DatabaseTransaction, line: OrderLineId, count: usize) -> Result<bool> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let Some(mut seat) = seats_of_line(txn, line).await? else { return Ok(true) };
        if !store::seat::take(txn, seat.session, count).await? {
            return Ok(false);
        }
        seat.quantity += count;
        store::seat::save(txn, &seat, self.now()).await?;
        Ok(true)
    }

    /// Gives one of the seats that a line holds for its tokens to whoever redeemed one. The caller holds the learner.
    pub(super) async fn seat_redeem(
        &self,
        txn: &DatabaseTransaction,
        session: SessionId,
        line: Source,
        order: Option<OrderId>,
        token: TokenId,
        account: AccountId,
    ) -> Result<Result<(), SeatRefusal>> {
        // Several may redeem tokens of one line at once: they count the line's seats one after the other.
        store::seat::lock(txn, session).await?;
        let Some(mut seat) = store::seat::of_sources(txn, line.kind, &[line.id]).await?.pop() else {
            return Err(internal!("the line {} sold tokens of a session and holds no seats", line.id));
        };
        if !store::seat::held_by(txn, account, &[session], None).await?.is_empty() {
            return Ok(Err(SeatRefusal::HasSeat));
        }
        seat.quantity -= 1;
        store::seat::save(txn, &seat, self.now()).await?;
        let taken = Seat {
            id: entropy::next_uuid(),
            session: seat.session,
            source: Source { kind: SourceKind::Token, id: token.uuid() },
            order,
            holder: store::account::email_hash(txn, account).await?,
            quantity: 1,
            state: SeatState::Given,
        };
        Ok(if store::seat::insert(txn, &taken, self.now()).await? { Ok(()) } else { Err(SeatRefusal::HasSeat) })
    }
}

/// Seats that are to be taken.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The session.
    pub(super) session: SessionId,
    /// What takes them.
    pub(super) source: Source,
    /// The order behind it.
    pub(super) order: Option<OrderId>,
    /// Keyed hash of the e-mail of whoever is to sit there.
    pub(super) holder: Option<String>,
    /// How many.
    pub(super) quantity: u32,
    /// Where they stand then.
    pub(super) state: SeatState,
}

/// A session as the rules of seats see it, with this many free seats.
pub(super) fn facts(session: &store::catalog::Session, free: i64) -> SessionFacts {
    SessionFacts { id: session.id, course: session.course, ends_at: session.ends_at, archived: session.archived_at.is_some(), free }
}

async fn seats_of_line(txn: &DatabaseTransaction, line: OrderLineId) -> Result<Option<Seat>> {
    Ok(store::seat::of_sources(txn, SourceKind::OrderLine, &[line.uuid()]).await?.pop())
}

/// The seats that grants of sessions took.
async fn seats_of(txn: &DatabaseTransaction, grants: &[&Entitlement]) -> Result<Vec<Seat>> {
    let mut sources: BTreeMap<SourceKind, Vec<uuid::Uuid>> = BTreeMap::new();
    for held in grants.iter().filter(|held| matches!(held.grant.target, Target::Session(_))) {
        sources.entry(held.grant.source.kind).or_default().push(held.grant.source.id);
    }
    let mut seats = Vec::new();
    for (kind, ids) in sources {
        seats.extend(store::seat::of_sources(txn, kind, &ids).await?);
    }
    seats.sort_by_key(|seat| (seat.session, seat.id));
    Ok(seats)
}
