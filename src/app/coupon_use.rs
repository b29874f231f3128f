//! Coupons in carts and orders: added, replayed at every reading, and their uses taken, spent and given back as the order goes on.
//!
//! Always true here: a placing takes its uses in its own transaction, of the version of each coupon that it was priced by; where a use stands
//! follows from its order.

use std::collections::{BTreeSet, HashMap};

use domain::coupon::replay::NoLongerGives;
use domain::coupon::usage::{CountChange, check_add, check_added};
use domain::coupon::{self as rules, Added, Circumstances, CouponOutcome, Customer, Nothing, Replay, UseState, Uses, replay};
use domain::order::OrderStatus;
use domain::pricing::RateTable;
use domain::refusal::{Code, Refusal};
use domain::{CartId, CouponCodeId, CouponId, Currency, Money, ProductId};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::caller::Caller;
use super::cart::{Cart, CartLine, CartView, CartWritten};
use super::offer::{Detail, OfferContext, OfferView};
use super::seat::Sessions;
use super::{App, entropy};
use crate::error::{Error, Result};
use crate::internal;
use crate::store;
use crate::store::order::Order;

pub use crate::store::coupon::{CartCoupon, Coupon, CouponUse, CustomerKeys};

/// For whom the coupons of a cart are judged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Judge<'a> {
    /// For whoever looks. Of somebody whose address was only typed nothing is told, until an order was refused for it; of an account what it did
    /// itself.
    Reading,
    /// For the order that is being placed, by this customer.
    Placing(&'a CustomerKeys),
}

/// What the coupons of a cart are judged by, read for this cart now.
#[derive(Debug, Default)]
pub(super) struct CartFacts {
    customer: Option<Customer>,
    uses: HashMap<CouponId, u64>,
    rates: RateTable,
}

impl App {
    /// Puts a code into a cart, after those that it holds.
    ///
    /// # Errors
    /// [`Code::NotFound`] at `code` for every wrong guess alike, [`Error::RateLimited`] after too many; whatever keeps the code from working for
    /// anybody; [`Code::CartOrdered`]; [`Code::NotFound`] for a cart that is not the caller's.
    pub async fn cart_coupon_add(
        &self,
        caller: &Caller,
        id: CartId,
        typed: &str,
        expected_version: Option<i64>,
        detail: Detail,
    ) -> Result<CartWritten> {
        let txn = self.db.begin().await?;
        let cart = match self.cart_to_write(&txn, caller, id, expected_version, detail).await? {
            Ok(cart) => cart,
            Err(changed) => return Ok(changed),
        };
        let mut cart = cart;
        cart.coupons.push(self.typed_coupon(&txn, caller, &cart, typed).await?);
        self.cart_coupons_write(txn, caller, cart, detail, |replay| replay.coupons.last().map_or(Ok(()), check_added)).await
    }

    /// Takes a code out of a cart. One that it does not hold is out of it already.
    ///
    /// # Errors
    /// [`Code::CartOrdered`]; [`Code::NotFound`] for a cart that is not the caller's.
    pub async fn cart_coupon_remove(
        &self,
        caller: &Caller,
        id: CartId,
        typed: &str,
        expected_version: Option<i64>,
        detail: Detail,
    ) -> Result<CartWritten> {
        let txn = self.db.begin().await?;
        let cart = match self.cart_to_write(&txn, caller, id, expected_version, detail).await? {
            Ok(cart) => cart,
            Err(changed) => return Ok(changed),
        };
        let key = rules::code::key_of(typed);
        if !cart.coupons.iter().any(|held| Some(&held.code.key) == key.as_ref()) {
            return Err(Error::refused(Code::NotFound, ["code"], "The cart does not hold this code."));
        }
        let mut cart = cart;
        cart.coupons.retain(|held| Some(&held.code.key) != key.as_ref());
        self.cart_coupons_write(txn, caller, cart, detail, |_| Ok(())).await
    }

    /// The coupon behind what somebody typed, counted as a guess until it turns out to be one.
    pub(super) async fn typed_coupon(&self, db: &impl ConnectionTrait, caller: &Caller, cart: &Cart, typed: &str) -> Result<CartCoupon> {
        let held: Vec<CouponCodeId> = cart.coupons.iter().map(|held| held.code.id).collect();
        let mut code = None;
        if self.shop.coupons_enabled {
            let guess = match caller.account() {
                Some(account) => self.guess_code(caller, "coupon", &account)?,
                None => self.guess_code(caller, "coupon", &cart.id)?,
            };
            if let Some(key) = rules::code::key_of(typed) {
                code = store::coupon::code_by_key(db, &key).await?;
            }
            if code.is_some() {
                guess.was_right();
            }
        }
        check_add(self.shop.coupons_enabled, &held, code.as_ref().map(|code| code.id)).map_err(Refusal::from)?;
        let code = code.ok_or_else(|| internal!("a code was added that is none"))?;
        let coupon = store::coupon::by_ids(db, &[code.coupon]).await?.pop().ok_or_else(|| internal!("{} is gone", code.coupon))?;
        Ok(CartCoupon { code, coupon, gave: false })
    }

    /// Reads what the coupons of a cart are judged by: a fixed number of statements, none for a cart without coupons.
    pub(super) async fn coupon_facts(
        &self,
        db: &impl ConnectionTrait,
        context: &OfferContext,
        cart: &Cart,
        judge: Judge<'_>,
    ) -> Result<CartFacts> {
        if cart.coupons.is_empty() || !self.shop.coupons_enabled {
            return Ok(CartFacts::default());
        }
        let own_keys;
        let keys = match judge {
            Judge::Placing(keys) => keys,
            Judge::Reading => {
                own_keys = self.customer_keys(db, cart, cart.judged).await?;
                &own_keys
            }
        };
        let ids: Vec<CouponId> = cart.coupons.iter().map(|held| held.coupon.id).collect();
        let uses = store::coupon::uses_by(db, keys, &ids, cart.order).await?;
        let judged = cart.coupons.iter().any(|held| held.coupon.rules.audience_by(&held.code.key) != rules::Audience::Any);
        let customer = if keys.is_empty() {
            None
        } else if judged {
            Some(store::coupon::customer(db, keys, cart.order).await?)
        } else {
            // Nothing hangs on it.
            Some(Customer { has_paid: false, new_pending: false })
        };
        let own =
            |held: &CartCoupon| [held.coupon.rules.effect.currency(), held.coupon.rules.limits.minimum.map(|minimum| minimum.currency)];
        let mut bases: Vec<Currency> = cart.coupons.iter().flat_map(own).flatten().filter(|currency| *currency != cart.currency).collect();
        bases.sort_unstable();
        bases.dedup();
        let rates = self.rates_into(db, context, &bases).await?;
        Ok(CartFacts { customer, uses, rates })
    }

    /// By what the customer of a cart is known: the account, and if it is placed the buyer's address too.
    pub(super) async fn customer_keys(&self, db: &impl ConnectionTrait, cart: &Cart, placing: bool) -> Result<CustomerKeys> {
        let own = match cart.account {
            Some(account) => store::person::of_account(db, account).await?,
            None => None,
        };
        let buyer = cart.buyer.as_ref().filter(|_| placing);
        let emails = [own.as_ref(), buyer].into_iter().flatten().filter_map(|person| person.email.as_ref());
        Ok(CustomerKeys { account: cart.account, emails: emails.map(|email| self.email_hash(email)).collect::<BTreeSet<_>>() })
    }

    /// Replays the coupons of a cart on its lines, priced as they are without coupons.
    pub(super) fn replay_coupons(&self, cart: &Cart, offers: &[Option<&OfferView>], facts: &CartFacts, sessions: &Sessions) -> Replay {
        let lines: Vec<rules::LineFacts<'_>> =
            cart.lines.iter().zip(offers).map(|(line, offer)| line_facts(line, *offer, sessions)).collect();
        // An order's own uses are not held against what the cart shows of it.
        let own = |coupon: CouponId| match cart.order {
            Some(_) => cart.coupons.iter().filter(|held| held.gave && held.coupon.id == coupon).count() as u64,
            None => 0,
        };
        let added: Vec<Added<'_>> = cart
            .coupons
            .iter()
            .map(|held| Added {
                code: held.code.id,
                coupon: held.coupon.id,
                key: &held.code.key,
                rules: &held.coupon.rules,
                active: held.coupon.active && held.coupon.archived_at.is_none(),
                void: held.code.void_at.is_some(),
                single_use: held.code.batch.is_some(),
                uses: Uses {
                    coupon: held.coupon.used.saturating_sub(own(held.coupon.id)),
                    code: u64::from(held.code.used_by.is_some_and(|order| Some(order) != cart.order)),
                    customer: facts.uses.get(&held.coupon.id).copied().unwrap_or(0),
                },
            })
            .collect();
        let around = Circumstances {
            enabled: self.shop.coupons_enabled,
            company: cart.company,
            currency: cart.currency,
            rates: &facts.rates,
            customer: facts.customer,
            now: self.now(),
        };
        replay(&lines, &added, &around)
    }

    /// Takes the uses of an order that is being placed, under the lock of its customer. A refusal means that somebody else took the last one, or
    /// that the coupon was changed, since it was priced: the whole placing is to be undone.
    pub(super) async fn uses_take(
        &self,
        txn: &DatabaseTransaction,
        order: &Order,
        view: &CartView,
        keys: &CustomerKeys,
    ) -> Result<Option<Refusal>> {
        let outcomes = view.cart.coupons.iter().zip(&view.replay.coupons);
        let giving: Vec<(i32, (&CartCoupon, &CouponOutcome))> = (0..).zip(outcomes).filter(|(_, (_, outcome))| outcome.gives()).collect();
        if giving.is_empty() {
            return Ok(None);
        }
        let buyer = view.cart.buyer.as_ref().and_then(|buyer| buyer.email.as_ref()).ok_or_else(|| internal!("a cart without a buyer"))?;
        let email_hash = self.email_hash(buyer);
        let uses: Vec<CouponUse> = giving
            .iter()
            .map(|(position, (CartCoupon { code, coupon: rule, .. }, outcome))| CouponUse {
                id: entropy::next_uuid(),
                coupon: rule.id,
                code_id: code.id,
                order: order.id,
                position: *position,
                code: code.code.clone(),
                coupon_version: rule.version,
                state: UseState::Reserved,
                audience: rule.rules.audience_by(&code.key),
                counted: rule.rules.total_uses.is_some(),
                single_use: code.batch.is_some(),
                account: view.cart.account,
                account_email_hash: keys.emails.iter().find(|hash| **hash != email_hash).cloned(),
                email_hash: email_hash.clone(),
                discount: saved(outcome).unwrap_or_else(|| Money::zero(order.currency)),
                rate: outcome.rate,
                created_at: order.placed_at,
            })
            .collect();
        store::coupon::insert_uses(txn, &uses).await?;
        let ids: BTreeSet<CouponId> = uses.iter().map(|used| used.coupon).collect();
        let versions = store::coupon::versions(txn, &ids.into_iter().collect::<Vec<_>>()).await?;
        let moved: BTreeSet<CouponId> =
            uses.iter().filter(|used| versions.get(&used.coupon) != Some(&used.coupon_version)).map(|used| used.coupon).collect();
        if !moved.is_empty() {
            // Another name or a switch there and back is no other coupon.
            let now = store::coupon::by_ids(txn, &moved.iter().copied().collect::<Vec<_>>()).await?;
            let priced_by = |id: CouponId| giving.iter().map(|(_, (held, _))| &held.coupon).find(|coupon| coupon.id == id);
            let same = |coupon: &Coupon| {
                priced_by(coupon.id).is_some_and(|before| {
                    (&before.rules, before.active, before.archived_at) == (&coupon.rules, coupon.active, coupon.archived_at)
                })
            };
            if now.len() != moved.len() || !now.iter().all(same) {
                return Ok(Some(NoLongerGives::Changed.into()));
            }
        }
        Ok(if self.counts_take(txn, &uses).await? { None } else { Some(NoLongerGives::Because(Nothing::Exhausted).into()) })
    }

    /// Takes what is counted of these uses, always in the same order of coupons and codes; says whether there was enough of all.
    async fn counts_take(&self, txn: &DatabaseTransaction, uses: &[CouponUse]) -> Result<bool> {
        let mut ordered: Vec<&CouponUse> = uses.iter().collect();
        ordered.sort_unstable_by_key(|used| (used.coupon, used.code_id));
        for used in ordered {
            if used.counted && !store::coupon::take_of_coupon(txn, used.coupon).await? {
                return Ok(false);
            }
            if used.single_use && !store::coupon::take_code(txn, used.code_id, used.order).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Brings the uses of an order to where it goes, in the transaction that moves it and under its lock. Late money takes freed uses anew; says
    /// whether there were enough.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn uses_move(&self, txn: &DatabaseTransaction, order: &Order, to: OrderStatus) -> Result<bool> {
        let (from, to) = (UseState::of(order.status), UseState::of(to));
        if from == to {
            return Ok(true);
        }
        let change = from.change(to);
        if change != CountChange::Keep && !self.counts_change(txn, order, change).await? {
            return Ok(false);
        }
        store::coupon::move_uses(txn, order.id, to, self.now()).await?;
        Ok(true)
    }

    /// Takes what is counted of an order's uses anew, or frees it; says whether there was enough.
    async fn counts_change(&self, txn: &DatabaseTransaction, order: &Order, change: CountChange) -> Result<bool> {
        let held = store::coupon::uses_of_orders(txn, &[order.id]).await?.remove(&order.id).unwrap_or_default();
        if held.is_empty() {
            return Ok(true);
        }
        // Whether a use is counted changes with the coupon's limit: from here on nobody changes it, and the uses are read as they are then.
        store::coupon::versions(txn, &held.iter().map(|used| used.coupon).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()).await?;
        let mut uses = store::coupon::uses_of_orders(txn, &[order.id]).await?.remove(&order.id).unwrap_or_default();
        if change == CountChange::Take {
            return self.counts_take(txn, &uses).await;
        }
        uses.sort_unstable_by_key(|used| (used.coupon, used.code_id));
        for used in &uses {
            if used.counted {
                store::coupon::free_of_coupon(txn, used.coupon).await?;
            }
            if used.single_use {
                store::coupon::free_code(txn, used.code_id, order.id).await?;
            }
        }
        Ok(true)
    }

    /// Whether the uses of an order that lapsed could be taken anew, now and by its customer. Whoever asks holds the order's cart, so that no
    /// placing of it waits for the customer meanwhile.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn uses_there(&self, txn: &DatabaseTransaction, order: &Order) -> Result<bool> {
        let uses = store::coupon::uses_of_orders(txn, &[order.id]).await?.remove(&order.id).unwrap_or_default();
        if uses.is_empty() {
            return Ok(true);
        }
        let ids: Vec<CouponId> = uses.iter().map(|used| used.coupon).collect::<BTreeSet<_>>().into_iter().collect();
        let coupons = store::coupon::by_ids(txn, &ids).await?;
        let codes = store::coupon::codes_by_ids(txn, &uses.iter().map(|used| used.code_id).collect::<Vec<_>>()).await?;
        let emails = uses.iter().flat_map(|used| [Some(&used.email_hash), used.account_email_hash.as_ref()]).flatten().cloned();
        let keys = CustomerKeys { account: order.account, emails: emails.collect() };
        let hangs = uses.iter().any(|used| used.audience != rules::Audience::Any)
            || coupons.iter().any(|coupon| coupon.rules.uses_per_customer.is_some());
        let (mut by_customer, mut customer) = (HashMap::new(), Customer { has_paid: false, new_pending: false });
        if hangs {
            store::coupon::lock_customer(txn, &keys).await?;
            by_customer = store::coupon::uses_by(txn, &keys, &ids, Some(order.id)).await?;
            customer = store::coupon::customer(txn, &keys, Some(order.id)).await?;
        }
        let free = |used: &CouponUse| {
            let code = codes.iter().find(|code| code.id == used.code_id).filter(|_| used.single_use);
            code.is_none_or(|code| code.used_by.is_none() && code.void_at.is_none())
        };
        Ok(uses.iter().all(free)
            && coupons.iter().all(|coupon| {
                let wanted: Vec<&CouponUse> = uses.iter().filter(|used| used.coupon == coupon.id).collect();
                let others = Uses { coupon: coupon.used, code: 0, customer: by_customer.get(&coupon.id).copied().unwrap_or(0) };
                others.leave_room(&coupon.rules, wanted.len() as u64) && wanted.iter().all(|used| used.audience.admits(customer))
            }))
    }
}

/// What a coupon takes off; none for packs and for what gives nothing.
const fn saved(outcome: &CouponOutcome) -> Option<Money> {
    match &outcome.given {
        rules::Given::Savings { total, .. } => Some(*total),
        rules::Given::Pack { .. } | rules::Given::Nothing(_) => None,
    }
}

fn line_facts<'a>(line: &CartLine, offer: Option<&'a OfferView>, sessions: &Sessions) -> rules::LineFacts<'a> {
    let product: ProductId = line.line.product;
    rules::LineFacts {
        id: line.line.id,
        product,
        quantity: line.line.quantity,
        subtotal: offer.and_then(|offer| offer.quote.as_ref().ok()).map(|quote| quote.subtotal),
        credits: offer.and_then(|offer| offer.gives).map_or(0, |gives| gives.count),
        couponable: offer.is_none_or(|offer| offer.couponable),
        product_code: offer.and_then(|offer| offer.product_code.as_deref()),
        contents: offer.map_or(&[], |offer| offer.contents.as_slice()),
        session: Sessions::of_line(line.line.session, offer),
        event: offer.and_then(|offer| sessions.event(line.line.session, offer)),
    }
}

/// Whether one of these coupons looks at what the lines give.
pub(super) fn asks_for_contents(coupons: &[CartCoupon]) -> bool {
    let mut limits = coupons.iter().map(|held| &held.coupon.rules.limits);
    limits.any(|limits| !limits.providers.is_any() || !limits.kinds.is_any())
}
