//! Orders: placing a cart, trying to pay again, cancelling, lapsing, recording money by hand, and who sees which order.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::catalog::ProductKind;
use domain::entitlement::{Target, TargetKind};
use domain::event::EventKind;
use domain::order::{
    AttemptEnd, OrderEvent, OrderNumber, OrderStatus, advance, cancel, lapses_at, lapses_at_after_retry, may_lapse, retry,
};
use domain::payment::{Observation, PaymentStatus};
use domain::pricing::{ExchangeRate, Totals};
use domain::refusal::{Code, Refusal};
use domain::royalty::{Originator, SaleChannel};
use domain::{CartId, CompanyId, Money, OrderId, PaymentId, RefundId, text};
use sea_orm::DatabaseTransaction;
use serde_json::json;
use url::{Host, Origin, Url};

use super::caller::{Caller, Topic, Who};
use super::cart::{CartLineView, CartView};
use super::gateways::Instance;
use super::payment::{News, Order, OrderFilter, OrderLine, Payment, Ran, Refund, Road, money_fault, new_attempt};
use super::royalty::Selling;
use super::{Answer, App, Object, entropy};
use crate::config::ShopSettings;
use crate::error::{Error, Result};
use crate::internal;
use crate::outbox::Job;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::idempotency::Scope;
use crate::store::order::StateChange;

/// Most characters of a bank's reference.
const MAX_REFERENCE: usize = 200;
/// Most characters of a one-time token of a gateway's form.
const MAX_TOKEN: usize = 4_000;

/// Places a cart.
#[derive(Debug, Clone)]
pub struct OrderPlace {
    /// Cart.
    pub cart: CartId,
    /// How it shall be paid; not needed when nothing is to pay.
    pub method: Option<PaymentMethod>,
    /// The total that the buyer agreed to.
    pub expected_total: Money,
    /// Key of this request.
    pub idempotency_key: String,
}

/// How an order shall be paid.
#[derive(Debug, Clone)]
pub struct PaymentMethod {
    /// Id of the gateway instance.
    pub gateway: String,
    /// The buyer's one-time token for it.
    pub token: Option<String>,
    /// Where the buyer's browser goes afterwards.
    pub return_url: Option<String>,
}

/// What became of placing a cart.
#[derive(Debug)]
pub enum Placed {
    /// There is an order.
    Order(Answer<OrderId>),
    /// Something is no longer as it was shown; nothing was taken, and the cart is read afresh.
    Changed(CartId, Vec<Refusal>),
}

/// Money that an operator saw on the shop's account.
#[derive(Debug, Clone)]
pub struct OrderPaymentRecord {
    /// Order.
    pub order: OrderId,
    /// How much came.
    pub amount: Money,
    /// The bank's reference.
    pub reference: String,
    /// Key of this request.
    pub idempotency_key: String,
}

impl App {
    /// Places a cart: computes everything again, keeps it as it is now, and makes its payment due. Calling again with the same key is harmless.
    ///
    /// # Errors
    /// What stands in the way of placing the cart; [`Code::AlreadyPlaced`] names the order of a cart that was placed with another key.
    pub async fn order_place(&self, caller: &Caller, cmd: OrderPlace) -> Result<Placed> {
        let now = self.now();
        let txn = self.db.begin().await?;
        let cart = self.cart_for(&txn, caller, cmd.cart).await?;
        // A guest has no name of its own; the cart stands for it.
        let actor = match caller.who {
            Who::Guest => cart.id.to_string(),
            _ => caller.actor(),
        };
        let scope = Scope { actor: &actor, operation: "orderPlace", key: &cmd.idempotency_key };
        let input = json!({
            "cart": cmd.cart,
            "expectedTotal": cmd.expected_total,
            "gateway": cmd.method.as_ref().map(|method| &method.gateway),
            "token": cmd.method.as_ref().and_then(|method| method.token.as_ref()),
        });
        if let Some(earlier) = self.claim(&txn, &scope, &input).await? {
            txn.commit().await?;
            return Ok(Placed::Order(Answer { value: serde_json::from_value(earlier)?, replayed: true }));
        }
        if let Some((number, status)) = store::order::live_of_cart(&txn, cart.id).await? {
            let instead = match status {
                OrderStatus::PendingPayment => "Pay that order with paymentRetry, or cancel it first.",
                _ => "That order was paid; to buy more, make a new cart.",
            };
            return Err(Error::refused(Code::AlreadyPlaced, ["cartId"], format!("This cart is order {number} already. {instead}")));
        }
        let (view, customer) = self.cart_to_place(&txn, caller, cart).await?;
        view.readiness.clone().guard()?;
        let totals = view.totals.ok_or_else(|| internal!("a cart without a total passed its readiness"))?;
        let total = totals.total;
        if let Err(refusal) = view.check_agreed(cmd.expected_total, now) {
            return self.not_as_shown(txn, caller, &cmd, refusal).await;
        }
        let instance = if total.is_zero() {
            None
        } else {
            Some(self.method(&cmd, view.context.company.as_ref().map(|company| company.key.as_str()), total)?)
        };
        let mut order = self.order_of(caller, &view, totals, instance, now)?;
        let originator = view.context.company.as_ref().map_or(Originator::Operator, |company| company.originator);
        let selling: Vec<Selling> =
            order.lines.iter().map(|line| Selling { target: line.target, quantity: line.quantity, net: line.amounts.net }).collect();
        let royalties = self.royalties_recommended(&txn, originator, SaleChannel::Retail, &selling).await?;
        for (line, royalty) in order.lines.iter_mut().zip(royalties) {
            line.royalty = royalty;
        }
        store::order::insert(&txn, &order).await?;
        self.tell_order(&txn, EventKind::OrderPlaced, &order, json!({})).await?;
        if let Some(refusal) = self.uses_take(&txn, &order, &view, &customer).await? {
            return self.not_as_shown(txn, caller, &cmd, refusal).await;
        }
        if let Some(refusal) = self.seats_take(&txn, &order, &view).await? {
            return self.not_as_shown(txn, caller, &cmd, refusal).await;
        }
        store::cart::ordered(&txn, order.cart, order.id, now).await?;
        match (instance, &cmd.method) {
            (Some(instance), Some(method)) => {
                let attempt = new_attempt(
                    order.id,
                    1,
                    instance.id.clone(),
                    total,
                    method_token(method.token.clone())?,
                    return_url(&self.shop, method.return_url.as_deref())?,
                    now,
                );
                let attempt = Payment { buyer_ip: caller.address, ..attempt };
                store::payment::insert(&txn, &attempt).await?;
                self.enqueue(&txn, &Job::StartPayment { payment: attempt.id.uuid() }, order.id.uuid(), now).await?;
                if let Some(at) = order.lapses_at {
                    self.enqueue(&txn, &Job::LapseOrder { order: order.id.uuid() }, order.id.uuid(), at).await?;
                }
            }
            _ => self.pay(&txn, &order, &OrderEvent::Paid, None).await?,
        }
        store::idempotency::finish(&txn, &scope, serde_json::to_value(order.id)?).await?;
        txn.commit().await?;
        self.woken();
        self.drain(order.id.uuid()).await;
        self.changed(order.cart.uuid());
        Ok(Placed::Order(Answer { value: order.id, replayed: false }))
    }

    fn method(&self, cmd: &OrderPlace, company_key: Option<&str>, total: Money) -> Result<&Instance> {
        let Some(method) = &cmd.method else {
            return Err(Error::refused(Code::Required, ["paymentMethod"], "Choose one of the cart's paymentMethods."));
        };
        self.instance(&method.gateway, company_key, total)
    }

    fn instance(&self, gateway: &str, company_key: Option<&str>, amount: Money) -> Result<&Instance> {
        self.gateways.get(gateway).filter(|instance| instance.serves(company_key, amount)).ok_or_else(|| {
            Error::refused(
                Code::PaymentMethodUnavailable,
                ["paymentMethod", "gateway"],
                format!("{gateway:?} cannot take {amount} here. Choose one of the cart's paymentMethods."),
            )
        })
    }

    /// Undoes a placing, keeps the cart as it is now as what was shown, since the next placing is measured against that, and says what is
    /// another thing than before.
    async fn not_as_shown(&self, txn: DatabaseTransaction, caller: &Caller, cmd: &OrderPlace, refusal: Refusal) -> Result<Placed> {
        txn.rollback().await?;
        let txn = self.db.begin().await?;
        let cart = self.cart_for(&txn, caller, cmd.cart).await?;
        if cart.order.is_none() {
            let (view, _) = self.cart_to_place(&txn, caller, cart).await?;
            self.cart_shown_save(&txn, &view).await?;
            // The refusal says what the coupons are to this buyer; from here on the cart does too.
            if let Some(buyer) = view.cart.buyer.as_ref().filter(|_| !view.cart.coupons.is_empty()) {
                store::cart::judged(&txn, cmd.cart, buyer.id).await?;
            }
        }
        txn.commit().await?;
        Ok(Placed::Changed(cmd.cart, vec![refusal]))
    }

    fn order_of(&self, caller: &Caller, view: &CartView, totals: Totals, instance: Option<&Instance>, now: DateTime<Utc>) -> Result<Order> {
        let cart = &view.cart;
        let buyer = cart.buyer.as_ref().ok_or_else(|| internal!("a cart without a buyer passed its readiness"))?;
        let mut bits = [0; 8];
        self.entropy.fill(&mut bits);
        let lines = view.lines.iter().map(order_line).collect::<Result<Vec<_>>>()?;
        let mut rates: Vec<ExchangeRate> = Vec::new();
        for rate in view
            .lines
            .iter()
            .filter_map(|line| line.offer.as_ref())
            .filter_map(|offer| offer.quote.as_ref().ok())
            .flat_map(|quote| quote.rates_used())
            .chain(view.replay.rates_used())
        {
            if !rates.contains(&rate) {
                rates.push(rate);
            }
        }
        Ok(Order {
            id: entropy::next_id(),
            number: OrderNumber::from_random(bits).to_string(),
            cart: cart.id,
            account: cart.account,
            buyer: buyer.id,
            company: cart.company,
            currency: cart.currency,
            locale: cart.locale.clone(),
            status: OrderStatus::PendingPayment,
            totals,
            prices_include_tax: self.shop.prices_include_tax,
            rates,
            version: 1,
            placed_by: match caller.who {
                Who::Guest => cart.id.to_string(),
                _ => caller.actor(),
            },
            placed_at: now,
            lapses_at: instance.map(|instance| lapses_at(now, instance.unpaid_for)),
            paid_at: None,
            paid_payment: None,
            fulfilled_at: None,
            closed_at: None,
            touched_at: now,
            bypass: false,
            reason: None,
            lines,
        })
    }

    /// Tries again to pay an order whose attempt failed.
    ///
    /// # Errors
    /// [`Code::NotPending`], [`Code::PaymentUnderWay`], [`Code::PaymentMethodUnavailable`].
    pub async fn payment_retry(&self, caller: &Caller, id: OrderId, method: PaymentMethod, key: &str) -> Result<Answer<OrderId>> {
        let known = self.order_to_write(caller, id).await?;
        let now = self.now();
        let actor = self.actor_of(caller, &known);
        let scope = Scope { actor: &actor, operation: "paymentRetry", key };
        let company_key = match known.company {
            Some(company) => store::company::find(self.db.read(), company).await?.map(|company| company.key),
            None => None,
        };
        let txn = self.db.begin().await?;
        let input = json!({ "order": id, "gateway": method.gateway, "token": method.token });
        if let Some(earlier) = self.claim(&txn, &scope, &input).await? {
            txn.commit().await?;
            return Ok(Answer { value: serde_json::from_value(earlier)?, replayed: true });
        }
        let order = store::order::lock(&txn, id).await?.ok_or_else(|| Error::not_found("orderId", "order"))?;
        let attempts = store::payment::of_order(&txn, id).await?;
        let states: Vec<_> = attempts.iter().map(|attempt| attempt.state).collect();
        let ends = retry(order.status, &states).map_err(|refusal| Refusal::from(refusal).under(["orderId"]))?;
        let instance = self.instance(&method.gateway, company_key.as_deref(), order.totals.total)?;
        self.end_attempts(&txn, &order, &attempts, &ends).await?;
        let number = attempts.iter().map(|attempt| attempt.attempt).max().unwrap_or(0) + 1;
        let back = return_url(&self.shop, method.return_url.as_deref())?;
        let attempt = new_attempt(id, number, instance.id.clone(), order.totals.total, method_token(method.token)?, back, now);
        let attempt = Payment { buyer_ip: caller.address, ..attempt };
        store::payment::insert(&txn, &attempt).await?;
        let lapse = lapses_at_after_retry(order.lapses_at.unwrap_or(now), now, instance.unpaid_for);
        store::order::set_lapse(&txn, id, lapse).await?;
        self.enqueue(&txn, &Job::LapseOrder { order: id.uuid() }, id.uuid(), lapse).await?;
        self.enqueue(&txn, &Job::StartPayment { payment: attempt.id.uuid() }, id.uuid(), now).await?;
        store::order::touch(&txn, id, now).await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(id)?).await?;
        txn.commit().await?;
        self.woken();
        self.drain(id.uuid()).await;
        Ok(Answer { value: id, replayed: false })
    }

    /// Cancels an order that waits for its payment; the cart opens again.
    ///
    /// # Errors
    /// [`Code::NotPending`].
    pub async fn order_cancel(&self, caller: &Caller, id: OrderId, key: &str) -> Result<Answer<OrderId>> {
        let known = self.order_to_write(caller, id).await?;
        let now = self.now();
        let actor = self.actor_of(caller, &known);
        let scope = Scope { actor: &actor, operation: "orderCancel", key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "order": id })).await? {
            txn.commit().await?;
            return Ok(Answer { value: serde_json::from_value(earlier)?, replayed: true });
        }
        let order = store::order::lock(&txn, id).await?.ok_or_else(|| Error::not_found("orderId", "order"))?;
        let attempts = store::payment::of_order(&txn, id).await?;
        let states: Vec<_> = attempts.iter().map(|attempt| attempt.state).collect();
        let ends = cancel(order.status, &states).map_err(|refusal| Refusal::from(refusal).under(["orderId"]))?;
        let change = StateChange { from: order.status, to: OrderStatus::Cancelled, now, paid_by: None };
        store::order::advance(&txn, id, &change).await?;
        self.uses_move(&txn, &order, OrderStatus::Cancelled).await?;
        self.seats_move(&txn, &order, OrderStatus::Cancelled).await?;
        self.tell_order(&txn, EventKind::OrderCancelled, &order, json!({})).await?;
        store::cart::reopen(&txn, order.cart, order.id, now).await?;
        self.end_attempts(&txn, &order, &attempts, &ends).await?;
        let object = Object { kind: "order", id: id.uuid(), company: order.company.map(CompanyId::uuid) };
        self.audit(
            &txn,
            caller,
            "orderCancel",
            object,
            Some(json!({ "status": order.status })),
            Some(json!({ "status": OrderStatus::Cancelled })),
        )
        .await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(id)?).await?;
        txn.commit().await?;
        self.woken();
        // Captured money of a cancelled order goes back by the same decision as money that comes late.
        for attempt in attempts.iter().zip(&ends).filter(|(_, end)| matches!(end, AttemptEnd::Refund)).map(|(attempt, _)| attempt) {
            self.settle_payment(attempt.id, again(attempt)).await?;
        }
        self.drain(id.uuid()).await;
        self.changed(id.uuid());
        self.changed(order.cart.uuid());
        Ok(Answer { value: id, replayed: false })
    }

    async fn end_attempts(&self, txn: &DatabaseTransaction, order: &Order, attempts: &[Payment], ends: &[AttemptEnd]) -> Result<()> {
        for (attempt, end) in attempts.iter().zip(ends) {
            if matches!(end, AttemptEnd::Void) {
                self.enqueue(txn, &Job::VoidPayment { payment: attempt.id.uuid() }, order.id.uuid(), self.now()).await?;
            }
        }
        Ok(())
    }

    /// Closes an order that was not paid in time; the cart opens again. Waits while an attempt's outcome is open.
    ///
    /// # Errors
    /// The database's.
    pub async fn order_lapse(&self, id: OrderId) -> Result<Ran> {
        let now = self.now();
        let txn = self.db.begin().await?;
        let Some(order) = store::order::lock(&txn, id).await? else { return Ok(Ran::Done) };
        if order.status != OrderStatus::PendingPayment {
            return Ok(Ran::Done);
        }
        if let Some(at) = order.lapses_at.filter(|at| *at > now) {
            return Ok(Ran::Again(at));
        }
        let attempts = store::payment::of_order(&txn, id).await?;
        let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.state.status).collect();
        if !may_lapse(order.status, order.lapses_at, now, &statuses) {
            return Ok(Ran::Again(now + chrono::TimeDelta::minutes(1)));
        }
        let to = advance(order.status, &OrderEvent::Lapsed).map_err(|refusal| internal!("{}: {refusal}", order.number))?;
        store::order::advance(&txn, id, &StateChange { from: order.status, to, now, paid_by: None }).await?;
        self.uses_move(&txn, &order, to).await?;
        self.seats_move(&txn, &order, to).await?;
        self.tell_order(&txn, EventKind::OrderLapsed, &order, json!({})).await?;
        store::cart::reopen(&txn, order.cart, order.id, now).await?;
        txn.commit().await?;
        // Part payments that were recorded so far go back.
        for attempt in attempts.iter().filter(|attempt| attempt.state.totals.captured.minor > 0) {
            self.settle_payment(attempt.id, again(attempt)).await?;
        }
        self.changed(id.uuid());
        self.changed(order.cart.uuid());
        Ok(Ran::Done)
    }

    /// Records money that came for an order by invoice, whatever became of the order: the order is PAID once all of it is recorded; what came
    /// beyond that stands on the attempt for an operator to refund, and what an order has no use for goes back.
    ///
    /// # Errors
    /// [`Code::PaymentState`] for an order that was never to be paid by invoice, [`Code::TooLarge`] for more than an amount can be; needs the
    /// scope `orders:write`.
    pub async fn order_payment_record(&self, caller: &Caller, cmd: OrderPaymentRecord) -> Result<Answer<OrderId>> {
        caller.require(Topic::Orders.write())?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "orderPaymentRecord", key: &cmd.idempotency_key };
        let txn = self.db.begin().await?;
        let input = json!({ "order": cmd.order, "amount": cmd.amount, "reference": cmd.reference });
        if let Some(earlier) = self.claim(&txn, &scope, &input).await? {
            txn.commit().await?;
            return Ok(Answer { value: serde_json::from_value(earlier)?, replayed: true });
        }
        let order = store::order::lock(&txn, cmd.order).await?.ok_or_else(|| Error::not_found("orderId", "order"))?;
        let attempts = store::payment::of_order(&txn, order.id).await?;
        let reference =
            text::line("reference", &cmd.reference, MAX_REFERENCE).map_err(|reason| Refusal::from(reason).under(["reference"]))?;
        let Some(attempt) = self.attempt_by_invoice(&order, &attempts) else {
            return Err(Error::refused(
                Code::PaymentState,
                ["orderId"],
                format!("Order {} is {} and has no payment by invoice that money can be recorded for.", order.number, order.status),
            ));
        };
        if cmd.amount.currency != order.currency {
            return Err(Error::refused(Code::CurrencyMismatch, ["amount", "currency"], format!("The order is in {}.", order.currency)));
        }
        if cmd.amount.minor <= 0 {
            return Err(Error::refused(Code::Invalid, ["amount", "amount"], "Record an amount of more than zero."));
        }
        let captured = attempt.state.totals.captured.add(cmd.amount).map_err(|_| {
            Error::refused(Code::TooLarge, ["amount", "amount"], "With what was recorded before, that is more than an amount can be.")
        })?;
        let held = attempt.state.held().add(cmd.amount).map_err(money_fault)?;
        let status = if held.minor >= attempt.state.amount.minor { PaymentStatus::Captured } else { PaymentStatus::RequiresAction };
        let news = News {
            road: Road::Operator,
            reference: None,
            seen: Observation::of(status).with_captured(captured).by_staff(),
            decline: None,
            next_action: None,
            detail: json!({ "amount": cmd.amount, "reference": reference, "actor": actor }),
        };
        let object = Object { kind: "order", id: order.id.uuid(), company: order.company.map(CompanyId::uuid) };
        let new = json!({ "payment": attempt.id, "amount": cmd.amount, "reference": reference });
        self.audit(&txn, caller, "orderPaymentRecord", object, None, Some(new)).await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(order.id)?).await?;
        // In the same transaction as the key: a record that is repeated must never count twice.
        self.apply_news(&txn, &order, attempt.clone(), news).await?;
        txn.commit().await?;
        self.woken();
        self.drain(order.id.uuid()).await;
        self.changed(order.id.uuid());
        Ok(Answer { value: order.id, replayed: false })
    }

    /// The attempt that money by invoice is recorded for: the one that waits for it, else the one that paid the order, else the newest.
    fn attempt_by_invoice<'a>(&self, order: &Order, attempts: &'a [Payment]) -> Option<&'a Payment> {
        let by_invoice = |attempt: &&Payment| {
            attempt.reference.is_some()
                && self.gateways.get(&attempt.gateway).is_some_and(|instance| instance.gateway.descriptor().capabilities.instructions)
        };
        attempts.iter().filter(by_invoice).max_by_key(|attempt| {
            (attempt.state.status == PaymentStatus::RequiresAction, order.paid_payment == Some(attempt.id), attempt.attempt)
        })
    }

    /// Captures an authorised attempt by hand.
    ///
    /// # Errors
    /// [`Code::PaymentState`]; [`Code::PaymentUnderWay`] while it is being captured or voided already; needs the scope `orders:write`.
    pub async fn payment_capture(&self, caller: &Caller, id: PaymentId, key: &str) -> Result<Answer<OrderId>> {
        self.by_hand(caller, id, key, "paymentCapture", &[PaymentStatus::Authorised], Job::CapturePayment { payment: id.uuid() }).await
    }

    /// Voids an attempt by hand: the buyer can no longer pay with it.
    ///
    /// # Errors
    /// [`Code::PaymentState`]; [`Code::PaymentUnderWay`] while it is being captured or voided already; needs the scope `orders:write`.
    pub async fn payment_void(&self, caller: &Caller, id: PaymentId, key: &str) -> Result<Answer<OrderId>> {
        let open = [PaymentStatus::RequiresAction, PaymentStatus::Authorised, PaymentStatus::Processing];
        self.by_hand(caller, id, key, "paymentVoid", &open, Job::VoidPayment { payment: id.uuid() }).await
    }

    async fn by_hand(
        &self,
        caller: &Caller,
        id: PaymentId,
        key: &str,
        operation: &'static str,
        from: &[PaymentStatus],
        job: Job,
    ) -> Result<Answer<OrderId>> {
        caller.require(Topic::Orders.write())?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation, key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "payment": id })).await? {
            txn.commit().await?;
            return Ok(Answer { value: serde_json::from_value(earlier)?, replayed: true });
        }
        let known = store::payment::by_id(&txn, id).await?.ok_or_else(|| Error::not_found("paymentId", "payment"))?;
        // Of two at once the second sees what the first one began: one of them at most has its way.
        store::order::lock(&txn, known.order).await?;
        let attempt = store::payment::by_id(&txn, id).await?.ok_or_else(|| internal!("{id} is gone"))?;
        if let Some(begun) = store::job::unfinished(&txn, attempt.order.uuid()).await?.iter().find_map(|job| by_hand_word(job, id)) {
            let text = format!("{begun} of this payment is under way; look at the order again in a moment.");
            return Err(Error::refused(Code::PaymentUnderWay, ["paymentId"], text));
        }
        if !from.contains(&attempt.state.status) {
            let names = from.iter().map(|status| status.name()).collect::<Vec<_>>().join(" or ");
            let text = format!("The payment is {}; this is for payments that are {names}.", attempt.state.status);
            return Err(Error::refused(Code::PaymentState, ["paymentId"], text));
        }
        self.enqueue(&txn, &job, attempt.order.uuid(), self.now()).await?;
        self.audit(&txn, caller, operation, Object::new("payment", id.uuid()), None, Some(json!({ "order": attempt.order }))).await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(attempt.order)?).await?;
        txn.commit().await?;
        self.woken();
        self.drain(attempt.order.uuid()).await;
        Ok(Answer { value: attempt.order, replayed: false })
    }

    /// An order, if the caller may see it: its account, the company's managers, operators, and for a while the guest with the cart's secret.
    ///
    /// # Errors
    /// The database's.
    pub async fn order_for(&self, caller: &Caller, id: OrderId) -> Result<Option<Order>> {
        Ok(self.orders_for(caller, &[id]).await?.pop())
    }

    /// An order that the caller may act on: to see it by a scope for reading is not enough.
    async fn order_to_write(&self, caller: &Caller, id: OrderId) -> Result<Order> {
        let order = self.order_for(caller, id).await?.ok_or_else(|| Error::not_found("orderId", "order"))?;
        let own = order.account.is_some() && order.account == caller.account();
        let scope = Topic::Orders.write();
        if own || caller.may(scope) || order.company.is_some_and(|company| caller.may_for(scope, company)) {
            return Ok(order);
        }
        let secrets = store::cart::secret_hashes(self.db.read(), &[order.cart]).await?;
        if secrets.get(&order.cart).is_some_and(|kept| self.is_secret(caller, kept)) {
            return Ok(order);
        }
        Err(caller.denied(&format!("This needs the buyer, or a key with the scope {scope}.")))
    }

    /// Those of these orders that the caller may see, in no order, in a fixed number of statements.
    ///
    /// # Errors
    /// The database's.
    pub async fn orders_for(&self, caller: &Caller, ids: &[OrderId]) -> Result<Vec<Order>> {
        let db = &self.db.reading().await?;
        let found = store::order::by_ids(db, ids).await?;
        let (mut seen, others): (Vec<Order>, Vec<Order>) = found.into_iter().partition(|order| {
            caller.may(Topic::Orders.read())
                || (order.account.is_some() && order.account == caller.account())
                || order.company.is_some_and(|company| caller.may_for(Topic::Orders.read(), company))
        });
        if caller.cart_secret.is_some() && !others.is_empty() {
            let open_for = chrono::TimeDelta::days(i64::from(self.shop.guest_order_days));
            let carts: Vec<_> = others.iter().map(|order| order.cart).collect();
            let secrets = store::cart::secret_hashes(db, &carts).await?;
            let own = |order: &Order| secrets.get(&order.cart).is_some_and(|kept| self.is_secret(caller, kept));
            seen.extend(others.into_iter().filter(|order| self.now() - order.placed_at < open_for && own(order)));
        }
        Ok(seen)
    }

    /// Those of these payments whose orders the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn payments_by_id(&self, caller: &Caller, ids: &[PaymentId]) -> Result<HashMap<PaymentId, Payment>> {
        let found = store::payment::by_ids(self.db.read(), ids).await?;
        let seen = self.of_seen_orders(caller, found, |payment| payment.order).await?;
        Ok(seen.into_iter().map(|payment| (payment.id, payment)).collect())
    }

    /// Those of these refunds whose orders the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn refunds_by_id(&self, caller: &Caller, ids: &[RefundId]) -> Result<HashMap<RefundId, Refund>> {
        let found = store::payment::refunds_by_ids(self.db.read(), ids).await?;
        let seen = self.of_seen_orders(caller, found, |refund| refund.order).await?;
        Ok(seen.into_iter().map(|refund| (refund.id, refund)).collect())
    }

    async fn of_seen_orders<T>(&self, caller: &Caller, mut found: Vec<T>, order: impl Fn(&T) -> OrderId) -> Result<Vec<T>> {
        let orders: Vec<OrderId> = found.iter().map(&order).collect();
        let seen: HashSet<OrderId> = self.orders_for(caller, &orders).await?.into_iter().map(|order| order.id).collect();
        found.retain(|part| seen.contains(&order(part)));
        Ok(found)
    }

    /// The keyed hash by which the orders of an e-mail are found.
    ///
    /// # Errors
    /// It is not an e-mail address.
    pub fn email_hash_of(&self, email: &str) -> Result<String> {
        let email = domain::text::Email::parse(email).map_err(Refusal::from)?;
        Ok(self.email_hash(&email))
    }

    fn actor_of(&self, caller: &Caller, order: &Order) -> String {
        match caller.who {
            Who::Guest => order.cart.to_string(),
            _ => caller.actor(),
        }
    }

    /// A page of orders: a customer's own, a manager's company's, or for operators all.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for another's orders; the database's.
    pub async fn orders(
        &self,
        caller: &Caller,
        mut filter: OrderFilter,
        args: &PageArgs<(DateTime<Utc>, uuid::Uuid)>,
        total: bool,
    ) -> Result<Page<Order>> {
        let company = filter.company.is_some_and(|company| caller.may_for(Topic::Orders.read(), company));
        if !caller.may(Topic::Orders.read()) && !company {
            filter.account = Some(caller.require_account()?);
        }
        Ok(store::order::page(self.db.read(), &filter, args, total).await?)
    }
}

/// What a job does with this payment, if it captures or voids it.
fn by_hand_word(job: &Job, id: PaymentId) -> Option<&'static str> {
    match job {
        Job::CapturePayment { payment } if *payment == id.uuid() => Some("A capture"),
        Job::VoidPayment { payment } | Job::VoidReservation { payment } if *payment == id.uuid() => Some("A void"),
        _ => None,
    }
}

/// A token of a gateway's form, checked.
fn method_token(token: Option<String>) -> Result<Option<String>> {
    if token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN || token.contains(char::is_control)) {
        let message =
            format!("Give the token as the gateway's form gave it: at most {MAX_TOKEN} characters, none of them a control character.");
        return Err(Error::refused(Code::Invalid, ["paymentMethod", "token"], message));
    }
    Ok(token)
}

/// The URL to send the buyer's browser back to, checked: only to where the shop says that its buyers belong, or anybody could make the shop
/// send them anywhere.
fn return_url(shop: &ShopSettings, url: Option<&str>) -> Result<Option<String>> {
    let Some(url) = url else { return Ok(None) };
    let origin = |text: &str| Some(Url::parse(text).ok()?.origin()).filter(Origin::is_tuple);
    let allowed = |wanted: &Origin| {
        let own = origin(&shop.public_url);
        own.as_ref() == Some(wanted)
            || (own.as_ref().is_some_and(is_loopback) && is_loopback(wanted))
            || shop.return_origins.iter().any(|listed| origin(listed).as_ref() == Some(wanted))
    };
    if url.len() <= 2_000 && !url.chars().any(char::is_control) && origin(url).as_ref().is_some_and(allowed) {
        return Ok(Some(url.to_owned()));
    }
    let message = format!(
        "Give an address of at most 2,000 characters below {}, or below one of the origins that the setting shop.return_origins lists.",
        shop.public_url
    );
    Err(Error::refused(Code::Invalid, ["paymentMethod", "returnUrl"], message))
}

/// Whether it is on the machine itself, as where a shop is tried out.
fn is_loopback(origin: &Origin) -> bool {
    match origin {
        Origin::Tuple(_, Host::Domain(name), _) => name == "localhost",
        Origin::Tuple(_, Host::Ipv4(address), _) => address.is_loopback(),
        Origin::Tuple(_, Host::Ipv6(address), _) => address.is_loopback(),
        Origin::Opaque(_) => false,
    }
}

/// The same facts again, so that what follows from them is decided anew.
fn again(attempt: &Payment) -> News {
    let totals = attempt.state.totals;
    News {
        road: Road::Operator,
        reference: None,
        seen: Observation {
            status: attempt.state.status,
            authorised: Some(totals.authorised),
            captured: Some(totals.captured),
            recorded: attempt.state.recorded,
        },
        decline: None,
        next_action: None,
        detail: json!({ "why": "the order was closed" }),
    }
}

fn order_line(view: &CartLineView) -> Result<OrderLine> {
    let offer = view.offer.as_ref().ok_or_else(|| internal!("a line without an offer passed the cart's readiness"))?;
    let (quote, amounts) = match (&view.quote, view.amounts()) {
        (Some(quote), Some(amounts)) => (quote, *amounts),
        _ => return Err(internal!("a line without a price passed the cart's readiness")),
    };
    let zero = Money::zero(amounts.total.currency);
    Ok(OrderLine {
        id: entropy::next_id(),
        product: offer.product,
        target: view.session.map(Target::Session).or_else(|| target_kind(offer.kind).map(|kind| Target::new(kind, offer.target))),
        sku: offer.sku.clone(),
        title: offer.title.clone(),
        product_code: offer.product_code.clone(),
        coupon: view.coupon.clone(),
        session: view.session,
        for_: view.line.line.for_.clone(),
        learner: view.line.learner,
        quantity: view.line.line.quantity,
        unit_price: quote.unit_price,
        list_price: quote.list_price,
        amounts,
        breakdown: quote.clone().discounted(amounts.discount).steps,
        terms: offer.terms,
        fulfilment: offer.fulfilment,
        credits: view.facts.credits,
        refunded: zero,
        refunded_by_quantity: zero,
        refunded_quantity: 0,
        royalty: None,
    })
}

/// What a product of this kind opens; a credit pack opens nothing.
pub(super) const fn target_kind(kind: ProductKind) -> Option<TargetKind> {
    match kind {
        ProductKind::Library => Some(TargetKind::Library),
        ProductKind::Course => Some(TargetKind::Course),
        ProductKind::Session => Some(TargetKind::Session),
        ProductKind::Group => Some(TargetKind::Group),
        ProductKind::CreditPack => None,
    }
}
