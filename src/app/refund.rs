//! Refunds and disputes: money on its way back, what it ends, and what gateways report of both.

use std::collections::HashSet;

use domain::cart::For;
use domain::catalog::Fulfilment;
use domain::credit_sale::{Sold, asked_back};
use domain::event::EventKind;
use domain::order::{OrderEvent, advance};
use domain::payment::DisputeStatus;
use domain::refund::{Access, Ask, LineAsk, LinePlan, Part, RefundPlan, RefundStatus, RefundableLine, plan, record_external};
use domain::refusal::{Code, Refusal};
use domain::{Money, OrderId, OrderLineId, PaymentId, RefundId, TokenId};
use port::{DisputeSnapshot, Found, GatewayError, IdempotencyKey, OpContext, RefundQuery, RefundRef, RefundRequest, RefundSnapshot};
use sea_orm::DatabaseTransaction;
use serde_json::json;

use super::caller::{Caller, Topic};
use super::credit_sale::Back;
use super::payment::{Dispute, Order, OrderLine, Origin, Payment, Ran, Refund, RefundLine, money_facts, money_fault};
use super::{Answer, App, Object, entropy};
use crate::error::{Error, Result};
use crate::internal;
use crate::outbox::Job;
use crate::store;
use crate::store::idempotency::Scope;
use crate::store::order::StateChange;

/// What is asked to be given back.
#[derive(Debug, Clone)]
pub struct OrderRefund {
    /// Order.
    pub order: OrderId,
    /// What of it; nothing named = all that is left.
    pub ask: Ask,
    /// Why; kept and shown.
    pub reason: String,
    /// Key of this request.
    pub idempotency_key: String,
}

impl App {
    /// Refunds an order, whole or in part.
    ///
    /// # Errors
    /// [`Code::NotRefundable`], [`Code::RefundTooLarge`] and the field errors of the request; needs the scope `refunds:write`.
    pub async fn order_refund(&self, caller: &Caller, cmd: OrderRefund) -> Result<Answer<OrderId>> {
        caller.require(Topic::Refunds.write())?;
        let reason = cmd.reason.trim().to_owned();
        if reason.is_empty() || reason.chars().count() > 1_000 || reason.contains('\0') {
            return Err(Error::refused(
                Code::Required,
                ["reason"],
                "Say in 1 to 1,000 characters why; the reason is kept with the refund.",
            ));
        }
        let now = self.now();
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "orderRefund", key: &cmd.idempotency_key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &input_of(&cmd)).await? {
            txn.commit().await?;
            return Ok(Answer { value: serde_json::from_value(earlier)?, replayed: true });
        }
        let order = store::order::lock(&txn, cmd.order).await?.ok_or_else(|| Error::not_found("orderId", "order"))?;
        let payment = match order.paid_payment {
            Some(payment) => store::payment::by_id(&txn, payment).await?,
            None => None,
        };
        let Some(mut payment) = payment else {
            // Nothing was paid: either not yet, or the order was free.
            return Err(Error::refused(
                Code::NotRefundable,
                ["orderId"],
                format!("Order {} has no captured payment; there is nothing to give back.", order.number),
            ));
        };
        let lines = self.refundable_lines(&txn, &order).await?;
        let plan = plan(order.status, &money_facts(&payment), &lines, &cmd.ask).map_err(Refusal::from)?;
        let refund =
            self.put_refund(&txn, &order, &mut payment, &plan, Origin::Shop, RefundStatus::Pending, reason.clone(), actor.clone()).await?;
        self.enqueue(&txn, &Job::Refund { refund: refund.id.uuid() }, order.id.uuid(), now).await?;
        let object = Object { kind: "order", id: order.id.uuid(), company: order.company.map(domain::CompanyId::uuid) };
        let new = json!({ "refund": refund.id, "amount": refund.amount, "reason": reason });
        self.audit(&txn, caller, "orderRefund", object, None, Some(new)).await?;
        store::order::touch(&txn, order.id, now).await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(order.id)?).await?;
        txn.commit().await?;
        self.woken();
        self.drain(order.id.uuid()).await;
        self.changed(order.id.uuid());
        Ok(Answer { value: order.id, replayed: false })
    }

    /// Gives back what was paid for these lines of an order, since nobody is left whom it could be given to. The caller holds the order's row.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn refund_lost(&self, txn: &DatabaseTransaction, order: &Order, lost: &[OrderLineId]) -> Result<()> {
        let Some(payment) = order.paid_payment.filter(|_| !lost.is_empty()) else { return Ok(()) };
        let mut payment = store::payment::by_id(txn, payment).await?.ok_or_else(|| internal!("{payment} is gone"))?;
        let lines = self.refundable_lines(txn, order).await?;
        let part = |line: &RefundableLine| -> Result<Option<LineAsk>> {
            let left = line.total.sub(line.refunded).map_err(money_fault)?;
            Ok((!left.is_zero()).then_some(LineAsk { line: line.id, part: Part::Amount(left) }))
        };
        let lost = lines.iter().filter(|line| lost.contains(&line.id)).map(part).filter_map(Result::transpose);
        let ask = Ask { lines: lost.collect::<Result<_>>()?, amount: None, access: Some(Access::End) };
        if ask.lines.is_empty() {
            return Ok(());
        }
        let plan = plan(order.status, &money_facts(&payment), &lines, &ask)
            .map_err(|refusal| internal!("what nobody can be given of {}: {refusal}", order.number))?;
        let (actor, reason) = (Caller::system().actor(), "who it was bought for was erased".to_owned());
        let refund = self.put_refund(txn, order, &mut payment, &plan, Origin::Shop, RefundStatus::Pending, reason, actor).await?;
        tracing::error!(order = order.number, refund = %refund.id, "what was bought for somebody who was erased is refunded");
        self.enqueue(txn, &Job::Refund { refund: refund.id.uuid() }, order.id.uuid(), self.now()).await?;
        let object = Object { kind: "order", id: order.id.uuid(), company: order.company.map(domain::CompanyId::uuid) };
        let told = json!({ "refund": refund.id, "amount": refund.amount, "reason": refund.reason });
        self.audit(txn, &Caller::system(), "erasedRefund", object, None, Some(told)).await
    }

    async fn refundable_lines(&self, txn: &DatabaseTransaction, order: &Order) -> Result<Vec<RefundableLine>> {
        let mut tokens = self.tokens_not_void(txn, order.id).await?;
        // A token that was redeemed stays what it is when it is refunded; it is refunded once all the same.
        let refunds = store::payment::refunds_of(txn, &[order.id]).await?.remove(&order.id).unwrap_or_default();
        let counting = refunds.iter().filter(|refund| refund.status.counts());
        let refunded: HashSet<TokenId> = counting.flat_map(|refund| &refund.lines).flat_map(|line| line.tokens.iter().copied()).collect();
        for left in tokens.values_mut() {
            left.retain(|token| !refunded.contains(token));
        }
        Ok(order
            .lines
            .iter()
            .map(|line| RefundableLine {
                id: line.id,
                total: line.amounts.total,
                quantity: line.quantity,
                refunded: line.refunded,
                refunded_by_quantity: line.refunded_by_quantity,
                refunded_quantity: line.refunded_quantity,
                tokens: tokens.remove(&line.id).unwrap_or_default(),
            })
            .collect())
    }

    /// The credits that each part of a refund asks back, spent or not. Of seats and keys none: whoever redeems one gets its credits, and gives
    /// them back with it.
    async fn credit_shares(&self, txn: &DatabaseTransaction, order: &Order, plan: &RefundPlan) -> Result<Vec<u64>> {
        let line_of = |part: &LinePlan| order.lines.iter().find(|line| line.id == part.line);
        let gives = |part: &&LinePlan| part.takes_credits && line_of(part).is_some_and(|line| !line.credits.is_none());
        if !plan.lines.iter().any(|part| gives(&part)) {
            return Ok(vec![0; plan.lines.len()]);
        }
        let refunds = store::payment::refunds_of(txn, &[order.id]).await?.remove(&order.id).unwrap_or_default();
        let earlier: Vec<&RefundLine> = refunds.iter().filter(|refund| refund.status.counts()).flat_map(|refund| &refund.lines).collect();
        let share = |part: &LinePlan| -> Result<u64> {
            let Some(line) = line_of(part).filter(|line| gives(&part) && gives_at_once(line)) else { return Ok(0) };
            let before = || earlier.iter().filter(|before| before.line == line.id && before.takes_credits);
            let by_amount = before().filter(|before| !before.by_quantity).map(|before| before.amount);
            let now = (!part.by_quantity).then_some(part.amount);
            let sold = Sold {
                credits: line.credits.count,
                quantity: line.quantity,
                total: line.amounts.total,
                refunded: Money::sum(order.currency, by_amount.chain(now)).map_err(money_fault)?,
                units: before().filter(|before| before.by_quantity).map(|before| before.quantity).sum::<u32>()
                    + if part.by_quantity { part.quantity } else { 0 },
                before: before().map(|before| before.credits).sum(),
            };
            asked_back(&sold, part.wholly_refunded).map_err(money_fault)
        };
        plan.lines.iter().map(share).collect()
    }

    /// Writes a refund, takes its amounts from lines and attempt, all under the order's lock.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of the one row that is written")]
    async fn put_refund(
        &self,
        txn: &DatabaseTransaction,
        order: &Order,
        payment: &mut Payment,
        plan: &RefundPlan,
        origin: Origin,
        status: RefundStatus,
        reason: String,
        actor: String,
    ) -> Result<Refund> {
        let now = self.now();
        let shares = self.credit_shares(txn, order, plan).await?;
        let refund = Refund {
            id: entropy::next_id(),
            order: order.id,
            payment: payment.id,
            amount: plan.amount,
            status,
            origin,
            reason,
            actor,
            reference: None,
            failure: None,
            polls: 0,
            created_at: now,
            settled_at: (status != RefundStatus::Pending).then_some(now),
            lines: plan
                .lines
                .iter()
                .zip(shares)
                .map(|(line, credits)| RefundLine {
                    line: line.line,
                    amount: line.amount,
                    quantity: line.quantity,
                    by_quantity: line.by_quantity,
                    tokens: line.tokens.clone(),
                    access: line.access,
                    takes_credits: line.takes_credits,
                    credits,
                    credits_taken: 0,
                    credits_spent: 0,
                })
                .collect(),
        };
        store::payment::insert_refund(txn, &refund).await?;
        for line in &refund.lines {
            let by_quantity = if line.by_quantity { line.amount.minor } else { 0 };
            store::order::add_refunded(txn, line.line, line.amount.minor, by_quantity, i64::from(line.quantity)).await?;
        }
        if status == RefundStatus::Pending {
            payment.refunding = payment.refunding.add(plan.amount).map_err(money_fault)?;
        } else {
            payment.state.totals.refunded = payment.state.totals.refunded.add(plan.amount).map_err(money_fault)?;
        }
        let returned = plan.of_no_line().map_err(money_fault)?;
        payment.state.totals.returned = payment.state.totals.returned.add(returned).map_err(money_fault)?;
        payment.state = payment.state.reviewed();
        payment.touched_at = now;
        store::payment::save(txn, payment).await?;
        Ok(refund)
    }

    /// Sends a refund to its gateway, or asks what became of it. The operation id is the refund's, so that repeating it pays nothing twice.
    ///
    /// # Errors
    /// Ours only; whatever the gateway says becomes the refund's state.
    pub async fn refund_send(&self, id: RefundId, tries: u32) -> Result<Ran> {
        let Some(refund) = store::payment::refund_by_id(self.db.read(), id).await? else { return Ok(Ran::Done) };
        if refund.status != RefundStatus::Pending {
            return Ok(Ran::Done);
        }
        let payment = store::payment::by_id(self.db.read(), refund.payment).await?.ok_or_else(|| internal!("{id} refunds nothing"))?;
        let (instance, reference) = self.at_gateway(&payment)?;
        let ctx = OpContext::new(id.to_string(), self.now()).with_attempt(tries).with_budget(std::time::Duration::from_secs(30));
        let query = RefundQuery { refund_id: id, payment: reference.clone(), reference: refund.reference.clone().map(RefundRef::new) };
        // A first call whose answer was lost is found by asking; only what the gateway surely does not have, or would recognise, is sent (again).
        let recognised = instance.gateway.descriptor().capabilities.idempotency.refund != IdempotencyKey::None;
        let known = if tries > 1 || refund.reference.is_some() {
            match instance.gateway.fetch_refund(&ctx, &query).await {
                Ok(Found::Present(snapshot)) => Some(snapshot),
                Ok(Found::Absent) => None,
                Ok(Found::CannotTell) | Err(GatewayError::NotSupported { .. } | GatewayError::NotFound) if recognised => None,
                Ok(Found::CannotTell) | Err(GatewayError::NotSupported { .. } | GatewayError::NotFound) => {
                    return Err(internal!("whether {id} was made cannot be asked, and sending it again could pay it twice"));
                }
                Err(error) => {
                    tracing::warn!(refund = %id, %error, "asking for a refund failed");
                    return Ok(Ran::Again(self.now() + domain::payment::poll_delay(tries)));
                }
            }
        } else {
            None
        };
        let answer = match known {
            Some(snapshot) => Ok(snapshot),
            None => {
                let request = RefundRequest { refund_id: id, payment: reference, amount: refund.amount, reason: refund.reason.clone() };
                instance.gateway.refund(&ctx, request).await
            }
        };
        match answer {
            Ok(snapshot) => {
                self.settle_refund(payment.id, &snapshot).await?;
                if snapshot.status == port::RefundStatus::Pending {
                    return Ok(Ran::Again(self.now() + domain::payment::poll_delay(tries.saturating_sub(1))));
                }
                Ok(Ran::Done)
            }
            Err(error @ (GatewayError::UnknownOutcome { .. } | GatewayError::Unavailable(_) | GatewayError::RateLimited { .. })) => {
                Err(internal!("refund: {error}"))
            }
            Err(error) => {
                tracing::error!(refund = %id, %error, "the gateway refused a refund");
                self.refund_failed(payment.id, id, error.to_string()).await?;
                Ok(Ran::Done)
            }
        }
    }

    async fn refund_failed(&self, payment: PaymentId, id: RefundId, why: String) -> Result<()> {
        self.move_refund(payment, |refund| (refund.id == id).then_some((RefundStatus::Failed, None, Some(why.clone())))).await.map(|_| ())
    }

    /// Applies what a gateway says of a refund; one that was made at the gateway is recorded.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle_refund(&self, payment: PaymentId, seen: &RefundSnapshot) -> Result<()> {
        let status = match seen.status {
            port::RefundStatus::Pending => RefundStatus::Pending,
            port::RefundStatus::Succeeded => RefundStatus::Succeeded,
            port::RefundStatus::Failed => RefundStatus::Failed,
            port::RefundStatus::Cancelled => RefundStatus::Cancelled,
        };
        let reference = seen.reference.as_str().to_owned();
        let failure = matches!(status, RefundStatus::Failed | RefundStatus::Cancelled).then(|| seen.raw_status.clone());
        let ours = self
            .move_refund(payment, |refund| {
                let same = seen.refund_id == Some(refund.id) || refund.reference.as_deref() == Some(reference.as_str());
                same.then(|| (status, Some(reference.clone()), failure.clone()))
            })
            .await?;
        if !ours && status == RefundStatus::Succeeded {
            self.refund_from_gateway(payment, reference, seen.amount).await?;
        }
        Ok(())
    }

    /// Moves the one refund of an attempt that `which` picks; says whether there was one.
    async fn move_refund(
        &self,
        payment: PaymentId,
        which: impl Fn(&Refund) -> Option<(RefundStatus, Option<String>, Option<String>)>,
    ) -> Result<bool> {
        let now = self.now();
        let known = store::payment::by_id(self.db.read(), payment).await?.ok_or_else(|| internal!("{payment} is gone"))?;
        let txn = self.db.begin().await?;
        let order = store::order::lock(&txn, known.order).await?.ok_or_else(|| internal!("{payment} has no order"))?;
        let mut attempt = store::payment::by_id(&txn, payment).await?.ok_or_else(|| internal!("{payment} is gone"))?;
        let found = store::payment::refunds_of_payment(&txn, payment).await?.into_iter().find_map(|refund| {
            let moved = which(&refund)?;
            Some((refund, moved))
        });
        let Some((mut refund, (seen, reference, failure))) = found else { return Ok(false) };
        let before = refund.status;
        refund.status = before.advance(seen);
        refund.reference = refund.reference.or(reference);
        if refund.status != before {
            refund.failure = failure;
            refund.settled_at = Some(now);
        }
        store::payment::save_refund(&txn, &refund).await?;
        if refund.status != before {
            let totals = &mut attempt.state.totals;
            match before {
                RefundStatus::Pending => attempt.refunding = attempt.refunding.sub(refund.amount).map_err(money_fault)?,
                RefundStatus::Succeeded => totals.refunded = totals.refunded.sub(refund.amount).map_err(money_fault)?,
                RefundStatus::Failed | RefundStatus::Cancelled => {}
            }
            if refund.status == RefundStatus::Succeeded {
                totals.refunded = totals.refunded.add(refund.amount).map_err(money_fault)?;
            }
            if before.counts() && !refund.status.counts() {
                totals.returned = totals.returned.sub(of_no_line(&refund)?).map_err(money_fault)?;
                tracing::error!(refund = %refund.id, order = order.number, "a refund failed; its amount can be refunded again");
                if before == RefundStatus::Succeeded {
                    self.give_back(&txn, order.id, &ended_by(&refund)).await?;
                    self.credits_restore(&txn, &order, &refund).await?;
                }
                for line in &refund.lines {
                    let by_quantity = if line.by_quantity { line.amount.minor } else { 0 };
                    store::order::add_refunded(&txn, line.line, -line.amount.minor, -by_quantity, -i64::from(line.quantity)).await?;
                }
            }
            attempt.state = attempt.state.reviewed();
            attempt.touched_at = now;
            store::payment::save(&txn, &attempt).await?;
            self.after_refund(&txn, &order, &attempt, &refund).await?;
        }
        txn.commit().await?;
        self.woken();
        self.changed(order.id.uuid());
        Ok(true)
    }

    /// The order's state and access after a refund changed.
    async fn after_refund(&self, txn: &DatabaseTransaction, order: &Order, attempt: &Payment, refund: &Refund) -> Result<()> {
        let now = self.now();
        // Money that never paid this order says nothing about it.
        if order.paid_payment == Some(attempt.id) && order.status.was_paid() {
            let (captured, refunded) = self.of_order(txn, attempt).await?;
            let event = OrderEvent::Refunds { captured, refunded, fulfilled: order.fulfilled_at.is_some() };
            let to = advance(order.status, &event).map_err(|refusal| internal!("{}: {refusal}", order.number))?;
            if to != order.status {
                store::order::advance(txn, order.id, &StateChange { from: order.status, to, now, paid_by: None }).await?;
            }
        }
        if refund.status == RefundStatus::Succeeded {
            let amount = json!({ "amount": refund.amount.decimal_text(), "currency": refund.amount.currency.code() });
            self.tell_order(txn, EventKind::OrderRefunded, order, json!({ "refund": { "id": refund.id, "amount": amount } })).await?;
            for line in &refund.lines {
                self.end_refunded(txn, order, refund, line).await?;
            }
        }
        self.order_royalties_follow(txn, order, &ended_by(refund)).await?;
        store::order::touch(txn, order.id, now).await?;
        Ok(())
    }

    /// What of an attempt's captured and refunded money is the order's. A gateway's is all; of what staff recorded not what came beyond what
    /// was due, or before an order that had lapsed was honoured.
    async fn of_order(&self, txn: &DatabaseTransaction, attempt: &Payment) -> Result<(Money, Money)> {
        let state = &attempt.state;
        if !state.recorded {
            return Ok((state.totals.captured, state.totals.refunded));
        }
        let mut refunded = state.totals.refunded;
        for refund in store::payment::refunds_of_payment(txn, attempt.id).await? {
            if refund.status == RefundStatus::Succeeded {
                refunded = refunded.sub(of_no_line(&refund)?).map_err(money_fault)?;
            }
        }
        Ok((Money::new(state.held().minor.min(state.amount.minor), refunded.currency), refunded))
    }

    async fn end_refunded(&self, txn: &DatabaseTransaction, order: &Order, refund: &Refund, part: &RefundLine) -> Result<()> {
        let Some(line) = order.lines.iter().find(|line| line.id == part.line) else { return Ok(()) };
        // Lines were counted up when the refund was asked for, so what is refunded includes this one.
        let wholly_refunded = line.refunded == line.amounts.total;
        let plan = LinePlan {
            line: part.line,
            amount: part.amount,
            by_quantity: part.by_quantity,
            quantity: part.quantity,
            tokens: part.tokens.clone(),
            access: part.access,
            takes_credits: part.takes_credits,
            wholly_refunded,
        };
        if part.access == Access::Keep && wholly_refunded {
            self.keep_given(txn, line.id).await?;
        }
        let ends = plan.ends();
        self.end_given(txn, line.id, &ends, &ended_by(refund)).await?;
        let back = self.credits_take_back(txn, order, line, (refund, part), &ends).await?;
        if back != Back::default() {
            store::payment::set_credits_back(txn, refund.id, line.id, (back.asked, back.taken, back.spent)).await?;
        }
        Ok(())
    }

    async fn refund_from_gateway(&self, payment: PaymentId, reference: String, amount: Money) -> Result<()> {
        let known = store::payment::by_id(self.db.read(), payment).await?.ok_or_else(|| internal!("{payment} is gone"))?;
        let txn = self.db.begin().await?;
        let order = store::order::lock(&txn, known.order).await?.ok_or_else(|| internal!("{payment} has no order"))?;
        let mut attempt = store::payment::by_id(&txn, payment).await?.ok_or_else(|| internal!("{payment} is gone"))?;
        // Looked up again under the lock: the same news may have come by two roads at once.
        let refunds = store::payment::refunds_of_payment(&txn, payment).await?;
        if refunds.iter().any(|refund| refund.reference.as_deref() == Some(reference.as_str())) {
            return Ok(());
        }
        let lines = if order.paid_payment == Some(payment) { self.refundable_lines(&txn, &order).await? } else { Vec::new() };
        let plan = record_external(&money_facts(&attempt), &lines, amount)
            .map_err(|refusal| internal!("a refund made at the gateway: {refusal}"))?;
        let reason = "made at the gateway".to_owned();
        let mut refund = self
            .put_refund(&txn, &order, &mut attempt, &plan, Origin::Gateway, RefundStatus::Succeeded, reason, attempt_actor(&known))
            .await?;
        refund.reference = Some(reference);
        store::payment::save_refund(&txn, &refund).await?;
        if !plan.whole {
            tracing::error!(order = order.number, refund = %refund.id, "a part was refunded at the gateway; access stays until an operator decides");
        }
        let order = store::order::lock(&txn, order.id).await?.ok_or_else(|| internal!("{payment} has no order"))?;
        self.after_refund(&txn, &order, &attempt, &refund).await?;
        let object = Object { kind: "order", id: order.id.uuid(), company: order.company.map(domain::CompanyId::uuid) };
        let told = json!({ "refund": refund.id, "amount": refund.amount, "whole": plan.whole });
        self.audit(&txn, &Caller::system(), "gatewayRefund", object, None, Some(told)).await?;
        txn.commit().await?;
        self.changed(order.id.uuid());
        Ok(())
    }

    /// Applies what a gateway says of a dispute. A lost one ends the order's access, unless the shop is set to keep it.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle_dispute(&self, payment: PaymentId, seen: &DisputeSnapshot) -> Result<()> {
        let status = match seen.status {
            port::DisputeStatus::Inquiry => DisputeStatus::Inquiry,
            port::DisputeStatus::NeedsResponse => DisputeStatus::NeedsResponse,
            port::DisputeStatus::UnderReview => DisputeStatus::UnderReview,
            port::DisputeStatus::Won => DisputeStatus::Won,
            port::DisputeStatus::Lost => DisputeStatus::Lost,
        };
        let now = self.now();
        let known = store::payment::by_id(self.db.read(), payment).await?.ok_or_else(|| internal!("{payment} is gone"))?;
        let txn = self.db.begin().await?;
        let order = store::order::lock(&txn, known.order).await?.ok_or_else(|| internal!("{payment} has no order"))?;
        let mut attempt = store::payment::by_id(&txn, payment).await?.ok_or_else(|| internal!("{payment} is gone"))?;
        let mut disputes = store::payment::disputes_of(&txn, &[payment]).await?;
        let reference = seen.reference.as_str();
        let at = match disputes.iter().position(|dispute| dispute.reference == reference) {
            Some(at) => at,
            None => {
                disputes.push(Dispute {
                    id: entropy::next_uuid(),
                    payment,
                    reference: reference.to_owned(),
                    amount: seen.amount,
                    status: DisputeStatus::Inquiry,
                    reason: Some(seen.reason.clone()),
                    opened_at: now,
                    touched_at: now,
                });
                tracing::error!(order = order.number, %payment, "a dispute was opened at the gateway");
                disputes.len() - 1
            }
        };
        let before = disputes[at].status;
        disputes[at].status = before.advance(status);
        if disputes[at].status == status {
            // Banks settle for less, or find more.
            disputes[at].amount = seen.amount;
        }
        disputes[at].touched_at = now;
        let changed = disputes[at].clone();
        store::payment::put_dispute(&txn, &changed).await?;
        attempt.state.totals.disputed =
            domain::payment::disputed(attempt.state.totals.captured, disputes.iter().map(|dispute| (dispute.status, dispute.amount)))
                .map_err(money_fault)?;
        attempt.touched_at = now;
        store::payment::save(&txn, &attempt).await?;
        let lost_now = changed.status == DisputeStatus::Lost && before != DisputeStatus::Lost;
        if lost_now && order.paid_payment == Some(payment) {
            for line in &order.lines {
                if self.shop.end_access_on_lost_dispute {
                    let reason = format!("dispute {reference} lost");
                    self.end_given(&txn, line.id, &domain::refund::Ends::Everything, &reason).await?;
                    self.credits_end(&txn, line, &reason).await?;
                } else {
                    // The shop leaves it on purpose, so it is no access that nobody knows of.
                    self.keep_given(&txn, line.id).await?;
                }
            }
        }
        if order.paid_payment == Some(payment) {
            self.order_royalties_follow(&txn, &order, &format!("dispute {reference}")).await?;
        }
        store::order::touch(&txn, order.id, now).await?;
        txn.commit().await?;
        self.changed(order.id.uuid());
        Ok(())
    }
}

/// Whether a line's credits go to somebody's account as soon as it is paid, and not to whoever redeems a token.
pub(super) fn gives_at_once(line: &OrderLine) -> bool {
    line.for_ != For::Seats && line.fulfilment == Fulfilment::Enrol
}

fn attempt_actor(payment: &Payment) -> String {
    format!("gateway {}", payment.gateway)
}

/// The input of a refund as it is hashed for its idempotency key.
fn input_of(cmd: &OrderRefund) -> serde_json::Value {
    json!({
        "order": cmd.order,
        "lines": cmd.ask.lines.iter().map(|line| format!("{line:?}")).collect::<Vec<_>>(),
        "amount": cmd.ask.amount,
        "access": cmd.ask.access,
        "reason": cmd.reason,
    })
}

/// What of a refund was paid for no line of the order.
fn of_no_line(refund: &Refund) -> Result<Money> {
    let of_lines = Money::sum(refund.amount.currency, refund.lines.iter().map(|line| line.amount)).map_err(money_fault)?;
    refund.amount.sub(of_lines).map_err(money_fault)
}

/// Why access ended that a refund took, as it is kept with the access.
fn ended_by(refund: &Refund) -> String {
    format!("refund {}", refund.id)
}
