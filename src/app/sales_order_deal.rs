//! The steps of a sales order: sent, accepted, confirmed, paid, called off, given back; and its seats, given once they are due.
//!
//! Always true here: each step holds the order's row from before it looks to its end; seats are given in the transaction that makes them due, once;
//! what goes back takes unused seats, and redeemed ones on purpose only.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, SubsecRound, Utc};
use domain::entitlement::{Source, SourceKind};
use domain::sales_order::{SalesOrderStatus, SalesRefusal, Side, Step, TokensOn, check, credit, payment, seats_back, settle};
use domain::{AccountId, Money, SalesLineId, SalesOrderId, TokenId, text};
use sea_orm::DatabaseTransaction;
use serde::Serialize;
use serde_json::json;

use super::caller::{Caller, Topic, Who};
use super::company::may_for_some;
use super::grant::TokenIssue;
use super::offer::{ContextArgs, Detail};
use super::payment::money_fault;
use super::sales_order::{SalesCredit, SalesLine, SalesOrder, SalesOrderView, SalesPayment, object, reason_of, side, told};
use super::{Answer, App, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::internal;
use crate::store;
use crate::store::idempotency::Scope;
use crate::store::sales_order::SalesCreditLine;

/// Most characters of what a bank or a payer calls a payment.
const MAX_REFERENCE: usize = 200;

/// A part of a sales order that is to go back.
#[derive(Debug, Clone, Serialize)]
pub struct RefundLine {
    /// The line; none if the id is one of nothing.
    pub line: Option<SalesLineId>,
    /// How many of its seats.
    pub quantity: Option<i64>,
    /// Or which of them.
    pub tokens: Vec<TokenId>,
}

/// What of a sales order is to go back.
#[derive(Debug, Clone, Serialize)]
pub struct SalesOrderRefund {
    /// The sales order.
    pub id: Option<SalesOrderId>,
    /// Of which lines; none = all seats that nobody redeemed.
    pub lines: Vec<RefundLine>,
    /// Whether redeemed seats go back too, which ends the access that they gave.
    pub include_redeemed: bool,
    /// Why.
    pub reason: String,
    /// Key of this request.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// Seats of a line that go back.
struct Back {
    /// Place of the line.
    place: usize,
    /// How many seats in all.
    units: u32,
    /// Tokens that nobody redeemed.
    unused: Vec<TokenId>,
    /// Redeemed ones.
    redeemed: Vec<TokenId>,
}

impl App {
    /// Sends a sales order to the company's managers as a quote; again, it is sent again.
    ///
    /// # Errors
    /// Not for this caller; no such order, or in another state; a company without managers; an end that is over.
    pub async fn sales_order_quote_send(
        &self,
        caller: &Caller,
        id: Option<SalesOrderId>,
        valid_until: Option<DateTime<Utc>>,
        key: &str,
    ) -> Result<Answer<SalesOrderView>> {
        caller.require(Topic::Sales.write())?;
        let now = self.now();
        let valid_until = valid_until.map(|until| until.trunc_subsecs(6));
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "salesOrderQuoteSend", key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "order": id, "validUntil": valid_until })).await? {
            txn.commit().await?;
            return self.replayed(earlier).await;
        }
        let held = self.sales_order_to_write(&txn, caller, id).await?;
        check(Step::Send, Side::Shop, held.status).map_err(Refusal::from)?;
        if valid_until.is_some_and(|until| until <= now) {
            return Err(Error::refused(
                Code::Invalid,
                ["validUntil"],
                "A quote can be accepted for some time to come; give a later instant.",
            ));
        }
        self.buying_company(&txn, held.company, "salesOrderId").await?;
        let managers = store::company::managers(&txn, held.company).await?;
        if managers.is_empty() {
            let message = "The company has no manager whom the quote could be mailed to; name one with companyMembersSet.";
            return Err(Error::refused(Code::Required, ["salesOrderId"], message));
        }
        let mut order = SalesOrder { status: SalesOrderStatus::Quoted, quoted_at: Some(now), valid_until, ..held.clone() };
        self.save_sales_order(&txn, &mut order).await?;
        self.mail_quote(&txn, &order, &managers).await?;
        self.audit(&txn, caller, "salesOrderQuoteSend", object(&order), Some(told(&held)), Some(told(&order))).await?;
        store::idempotency::finish(&txn, &scope, json!(order.id)).await?;
        txn.commit().await?;
        self.woken();
        Ok(Answer { value: self.sales_order_view(order.id).await?, replayed: false })
    }

    /// Accepts a quote for the company: it is confirmed at what it says.
    ///
    /// # Errors
    /// For everybody but the company's managers; no quote, or one that is too old.
    pub async fn sales_order_quote_accept(&self, caller: &Caller, id: Option<SalesOrderId>, key: &str) -> Result<Answer<SalesOrderView>> {
        may_for_some(caller, Topic::Sales.write())?;
        let now = self.now();
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "salesOrderQuoteAccept", key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "order": id })).await? {
            txn.commit().await?;
            return self.replayed(earlier).await;
        }
        let held = self.sales_order_to_write(&txn, caller, id).await?;
        // To agree for a company is for its own people, whatever else somebody may do.
        let own = match &caller.who {
            Who::Account { manages, .. } => manages.contains(&held.company),
            Who::ManagerKey { .. } => true,
            Who::Guest | Who::Key { .. } | Who::System => false,
        };
        check(Step::Accept, if own { Side::Company } else { Side::Shop }, held.status).map_err(Refusal::from)?;
        if let Some(until) = held.valid_until.filter(|until| *until <= now) {
            return Err(Refusal::from(SalesRefusal::QuoteExpired(until)).into());
        }
        self.confirm(txn, caller, &scope, held).await
    }

    /// Makes a sales order hold. A manager can have a draft confirmed whose prices are still those that are recommended, or higher.
    ///
    /// # Errors
    /// Not for this caller; no such order, or in another state; [`Code::PriceChanged`] by line.
    pub async fn sales_order_confirm(&self, caller: &Caller, id: Option<SalesOrderId>, key: &str) -> Result<Answer<SalesOrderView>> {
        may_for_some(caller, Topic::Sales.write())?;
        let side = side(caller);
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "salesOrderConfirm", key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "order": id })).await? {
            txn.commit().await?;
            return self.replayed(earlier).await;
        }
        let held = self.sales_order_to_write(&txn, caller, id).await?;
        check(Step::Confirm, side, held.status).map_err(Refusal::from)?;
        if side == Side::Company {
            self.still_recommended(&txn, &held).await?;
        }
        self.confirm(txn, caller, &scope, held).await
    }

    /// Whether a draft's lines are at no better than what is recommended today.
    async fn still_recommended(&self, txn: &DatabaseTransaction, order: &SalesOrder) -> Result<()> {
        let args = ContextArgs { company: Some(order.company), currency: Some(order.currency), locale: Some(order.locale.clone()) };
        let context = self.sales_context(txn, args).await?;
        let wanted: Vec<_> = order.lines.iter().map(|line| (line.product, line.quantity)).collect();
        let mut offers = self.offers_of(txn, &context, Detail::default(), &wanted).await?.into_iter().peekable();
        let mut faults = Faults::default();
        for (place, line) in order.lines.iter().enumerate() {
            let offer = offers.next_if(|offer| offer.product == line.product);
            let fits = offer.is_some_and(|offer| {
                let recommended = offer.quote.as_ref().is_ok_and(|quote| quote.subtotal.minor <= line.amounts.subtotal.minor);
                offer.visible && offer.may_be_sold().is_ok() && recommended && !offer.terms.worse_than(line.terms, context.at)
            });
            if !fits {
                let message =
                    "This line is no longer at what is recommended; write it anew with salesOrderUpdate, or ask the shop for a quote.";
                faults.add(Refusal::at(Code::PriceChanged, ["lines".to_owned(), place.to_string()], message));
            }
        }
        faults.check()
    }

    async fn confirm(
        &self,
        txn: DatabaseTransaction,
        caller: &Caller,
        scope: &Scope<'_>,
        held: SalesOrder,
    ) -> Result<Answer<SalesOrderView>> {
        let company = self.buying_company(&txn, held.company, "salesOrderId").await?;
        let tokens_on = match company.tokens_on {
            Some(own) => own,
            None => self.choices(&txn).await?.tokens_on,
        };
        let mut order = SalesOrder {
            status: SalesOrderStatus::Confirmed,
            tokens_on: Some(tokens_on),
            confirmed_by: Some(caller.actor()),
            confirmed_at: Some(self.now()),
            ..held.clone()
        };
        self.after_money(&txn, &mut order).await?;
        self.save_sales_order(&txn, &mut order).await?;
        self.audit(&txn, caller, scope.operation, object(&order), Some(told(&held)), Some(told(&order))).await?;
        store::idempotency::finish(&txn, scope, json!(order.id)).await?;
        txn.commit().await?;
        Ok(Answer { value: self.sales_order_view(order.id).await?, replayed: false })
    }

    /// Records money that came for a sales order, in parts or at once.
    ///
    /// # Errors
    /// Not for this caller; no such order, or in another state; more than is due, another currency, nothing.
    pub async fn sales_order_payment_record(
        &self,
        caller: &Caller,
        id: Option<SalesOrderId>,
        amount: Money,
        reference: &str,
        key: &str,
    ) -> Result<Answer<SalesOrderView>> {
        caller.require(Topic::Sales.write())?;
        let now = self.now();
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "salesOrderPaymentRecord", key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "order": id, "amount": amount, "reference": reference })).await? {
            txn.commit().await?;
            return self.replayed(earlier).await;
        }
        let held = self.sales_order_to_write(&txn, caller, id).await?;
        let reference = text::line("reference", reference, MAX_REFERENCE).map_err(|reason| Refusal::from(reason).under(["reference"]))?;
        check(Step::RecordPayment, Side::Shop, held.status).map_err(Refusal::from)?;
        payment(&held.account, amount)?;
        let mut order = held.clone();
        order.account.paid = order.account.paid.add(amount).map_err(money_fault)?;
        let record = SalesPayment { id: entropy::next_uuid(), order: order.id, amount, reference, actor: actor.clone(), recorded_at: now };
        store::sales_order::insert_payment(&txn, &record).await?;
        self.after_money(&txn, &mut order).await?;
        self.save_sales_order(&txn, &mut order).await?;
        let new = json!({ "status": order.status, "amount": amount, "reference": record.reference, "paid": order.account.paid });
        self.audit(&txn, caller, "salesOrderPaymentRecord", object(&order), Some(told(&held)), Some(new)).await?;
        store::idempotency::finish(&txn, &scope, json!(order.id)).await?;
        txn.commit().await?;
        Ok(Answer { value: self.sales_order_view(order.id).await?, replayed: false })
    }

    /// Where an agreed order stands after money came or is no longer due, and its seats, if they are due by now.
    async fn after_money(&self, txn: &DatabaseTransaction, order: &mut SalesOrder) -> Result<()> {
        let status = settle(order.status, &order.account).map_err(money_fault)?;
        if status == SalesOrderStatus::Paid && order.status != status {
            order.paid_at = Some(self.now());
        }
        order.status = status;
        let due = match order.tokens_on {
            Some(TokensOn::Confirm) => true,
            Some(TokensOn::Payment) => order.status == SalesOrderStatus::Paid,
            None => false,
        };
        if due && order.given_at.is_none() {
            for line in &order.lines {
                self.issue_tokens(txn, self.seats_of(order, line, line.seats())).await?;
            }
            order.given_at = Some(self.now());
            self.sales_royalties_record(txn, order).await?;
        }
        Ok(())
    }

    /// The seats of a line, as they are given: the company's own, for its managers to hand out.
    pub(super) fn seats_of(&self, order: &SalesOrder, line: &SalesLine, quantity: u32) -> TokenIssue {
        TokenIssue {
            line: sold(line.id),
            order: None,
            sales_order: Some(order.id),
            company: Some(order.company),
            owner: None,
            product: line.product,
            target: line.target,
            session: None,
            terms: line.terms,
            quantity,
            learner: None,
            now: self.now(),
        }
    }

    // ---- giving back ----------------------------------------------------------------------------------------------------------------

    /// Calls a sales order off for which no money came. Its seats are void; an invoice that is out gets a credit note.
    ///
    /// # Errors
    /// Not for this caller; no such order, or in another state; [`Code::SeatsRedeemed`] unless redeemed seats are included.
    pub async fn sales_order_cancel(
        &self,
        caller: &Caller,
        id: Option<SalesOrderId>,
        include_redeemed: bool,
        reason: &str,
        key: &str,
    ) -> Result<Answer<SalesOrderView>> {
        may_for_some(caller, Topic::Sales.write())?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "salesOrderCancel", key };
        let txn = self.db.begin().await?;
        let input = json!({ "order": id, "includeRedeemed": include_redeemed, "reason": reason });
        if let Some(earlier) = self.claim(&txn, &scope, &input).await? {
            txn.commit().await?;
            return self.replayed(earlier).await;
        }
        let held = self.sales_order_to_write(&txn, caller, id).await?;
        let reason = reason_of(reason)?;
        check(Step::Cancel, side(caller), held.status).map_err(Refusal::from)?;
        if !held.account.paid.is_zero() {
            return Err(Refusal::from(SalesRefusal::HasPayments { paid: held.account.paid }).into());
        }
        let mut order = held.clone();
        let mut entry = None;
        if held.confirmed_at.is_some() {
            let mut backs = Vec::new();
            for place in 0..order.lines.len() {
                let units = order.lines[place].seats();
                if units > 0 {
                    backs.push(self.units_back(&txn, &order, place, units, include_redeemed).await?);
                }
            }
            entry = self.take_back(&txn, &mut order, &backs, &reason, &actor).await?;
        }
        order.status = SalesOrderStatus::Cancelled;
        (order.cancelled_at, order.cancel_reason) = (Some(self.now()), Some(reason));
        self.save_sales_order(&txn, &mut order).await?;
        self.audit(&txn, caller, "salesOrderCancel", object(&order), Some(told(&held)), Some(told(&order))).await?;
        store::idempotency::finish(&txn, &scope, json!(order.id)).await?;
        self.credit_note(&txn, caller, &order, entry.as_ref()).await?;
        txn.commit().await?;
        Ok(Answer { value: self.sales_order_view(order.id).await?, replayed: false })
    }

    /// Gives seats of an agreed sales order back, as a credit entry: what is not paid is no longer due, what was paid is paid out. The order's
    /// state stays, but that it is paid once nothing is due, and cancelled if all of it went back before anything was paid.
    ///
    /// # Errors
    /// Not for this caller; no such order, or in another state; lines, quantities and tokens that are none; [`Code::SeatsRedeemed`] unless
    /// redeemed seats are included.
    pub async fn sales_order_refund(&self, caller: &Caller, cmd: SalesOrderRefund) -> Result<Answer<SalesOrderView>> {
        caller.require(Topic::Sales.write())?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "salesOrderRefund", key: &cmd.idempotency_key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &cmd).await? {
            txn.commit().await?;
            return self.replayed(earlier).await;
        }
        let held = self.sales_order_to_write(&txn, caller, cmd.id).await?;
        let reason = reason_of(&cmd.reason)?;
        check(Step::Refund, Side::Shop, held.status).map_err(Refusal::from)?;
        let mut order = held.clone();
        let backs = self.backs(&txn, &order, &cmd).await?;
        let entry = self.take_back(&txn, &mut order, &backs, &reason, &actor).await?;
        let entry = entry.ok_or_else(|| Refusal::from(SalesRefusal::NothingLeft))?;
        if order.account.paid.is_zero() && order.lines.iter().all(|line| line.seats() == 0) {
            order.status = SalesOrderStatus::Cancelled;
            (order.cancelled_at, order.cancel_reason) = (Some(self.now()), Some(reason));
        }
        self.after_money(&txn, &mut order).await?;
        self.save_sales_order(&txn, &mut order).await?;
        let new = json!({ "status": order.status, "credit": entry.amount, "returned": entry.returned, "reason": entry.reason });
        self.audit(&txn, caller, "salesOrderRefund", object(&order), Some(told(&held)), Some(new)).await?;
        store::idempotency::finish(&txn, &scope, json!(order.id)).await?;
        self.credit_note(&txn, caller, &order, Some(&entry)).await?;
        txn.commit().await?;
        Ok(Answer { value: self.sales_order_view(order.id).await?, replayed: false })
    }

    /// The seats that a refund asks for.
    async fn backs(&self, txn: &DatabaseTransaction, order: &SalesOrder, cmd: &SalesOrderRefund) -> Result<Vec<Back>> {
        let mut backs = Vec::new();
        if cmd.lines.is_empty() {
            for (place, line) in order.lines.iter().enumerate() {
                let (unmade, unused, redeemed) = self.standing(txn, order, line).await?;
                let all = unmade + count(&unused)? + if cmd.include_redeemed { count(&redeemed)? } else { 0 };
                let units = all.min(line.seats());
                if units > 0 {
                    backs.push(self.units_back(txn, order, place, units, cmd.include_redeemed).await?);
                }
            }
            return Ok(backs);
        }
        let mut faults = Faults::default();
        let mut named = HashSet::new();
        for (index, wish) in cmd.lines.iter().enumerate() {
            let under = |refusal: Refusal| refusal.under(["lines".to_owned(), index.to_string()]);
            let place = order.lines.iter().position(|line| Some(line.id) == wish.line);
            let Some(place) = place else {
                faults.add(under(Refusal::at(Code::NotFound, ["salesLineId"], "The sales order has no such line; check the id.")));
                continue;
            };
            if !named.insert(place) {
                faults.add(under(Refusal::at(Code::Repeated, ["salesLineId"], "This line stands there already; name each once.")));
                continue;
            }
            let back = match (wish.quantity, wish.tokens.as_slice()) {
                (Some(quantity), []) => {
                    let line = order.lines[place].creditable();
                    let units = u32::try_from(quantity).map_err(|_| Refusal::from(SalesRefusal::Quantity { given: quantity }));
                    match units.and_then(|units| credit(&line, units).map(|_| units)) {
                        Ok(units) => self.units_back(txn, order, place, units, cmd.include_redeemed).await,
                        Err(refusal) => Err(refusal.into()),
                    }
                }
                (None, [_, ..]) => self.tokens_back(txn, order, place, &wish.tokens, cmd.include_redeemed).await,
                (None, []) | (Some(_), [_, ..]) => {
                    let message = "Say how many seats go back, as quantity, or which, as tokenIds.";
                    Err(Refusal::at(Code::Required, ["quantity"], message).into())
                }
            };
            match back {
                Ok(back) => backs.push(back),
                Err(Error::Refused(refusals)) => refusals.into_iter().for_each(|refusal| faults.add(line_field(refusal, index))),
                Err(other) => return Err(other),
            }
        }
        faults.check()?;
        Ok(backs)
    }

    /// How many seats of a line have no token yet, and which tokens nobody or somebody redeemed.
    async fn standing(&self, txn: &DatabaseTransaction, order: &SalesOrder, line: &SalesLine) -> Result<(u32, Vec<TokenId>, Vec<TokenId>)> {
        if order.given_at.is_none() {
            return Ok((line.seats(), Vec::new(), Vec::new()));
        }
        let unused = store::token::unused_of_line(txn, sold(line.id), None).await?;
        Ok((0, unused, store::token::redeemed_not_returned(txn, sold(line.id)).await?))
    }

    async fn units_back(
        &self,
        txn: &DatabaseTransaction,
        order: &SalesOrder,
        place: usize,
        units: u32,
        include_redeemed: bool,
    ) -> Result<Back> {
        let (unmade, mut unused, mut redeemed) = self.standing(txn, order, &order.lines[place]).await?;
        let seats = seats_back(unmade, count(&unused)?, count(&redeemed)?, units, include_redeemed).map_err(Refusal::from)?;
        unused.truncate(usize::try_from(seats.unused).unwrap_or(usize::MAX));
        redeemed.truncate(usize::try_from(seats.redeemed).unwrap_or(usize::MAX));
        Ok(Back { place, units, unused, redeemed })
    }

    async fn tokens_back(
        &self,
        txn: &DatabaseTransaction,
        order: &SalesOrder,
        place: usize,
        tokens: &[TokenId],
        include_redeemed: bool,
    ) -> Result<Back> {
        let (_, unused, redeemed) = self.standing(txn, order, &order.lines[place]).await?;
        let named: BTreeSet<TokenId> = tokens.iter().copied().collect();
        let of = |known: &[TokenId]| known.iter().copied().filter(|token| named.contains(token)).collect::<Vec<_>>();
        let (of_unused, of_redeemed) = (of(&unused), of(&redeemed));
        if of_unused.len() + of_redeemed.len() != tokens.len() {
            let message = "Each has to be a seat of this line that is not void and did not go back, named once; check the ids.";
            return Err(Refusal::at(Code::NotFound, ["tokenIds"], message).into());
        }
        if !of_redeemed.is_empty() && !include_redeemed {
            let refusal = SalesRefusal::Redeemed { unused: count(&of_unused)?, redeemed: count(&of_redeemed)? };
            return Err(Refusal::from(refusal).into());
        }
        Ok(Back { place, units: count(tokens)?, unused: of_unused, redeemed: of_redeemed })
    }

    /// Takes seats back and writes the credit entry; none if there is nothing to take. The caller holds the order's row and saves it.
    async fn take_back(
        &self,
        txn: &DatabaseTransaction,
        order: &mut SalesOrder,
        backs: &[Back],
        reason: &str,
        actor: &str,
    ) -> Result<Option<SalesCredit>> {
        if backs.is_empty() {
            return Ok(None);
        }
        let (now, zero) = (self.now(), Money::zero(order.currency));
        let id = entropy::next_uuid();
        let mut entry = SalesCredit {
            id,
            order: order.id,
            amount: zero,
            tax: zero,
            returned: zero,
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            recorded_at: now,
            lines: Vec::with_capacity(backs.len()),
        };
        for back in backs {
            let line = &mut order.lines[back.place];
            let part = credit(&line.creditable(), back.units)?;
            line.credited_quantity += part.quantity;
            line.credited = line.credited.add(part.total).map_err(money_fault)?;
            store::sales_order::save_line(txn, line).await?;
            entry.amount = entry.amount.add(part.total).map_err(money_fault)?;
            entry.tax = entry.tax.add(part.tax).map_err(money_fault)?;
            entry.lines.push(SalesCreditLine { line: line.id, quantity: part.quantity, amount: part.total, tax: part.tax });
        }
        order.account.credited = order.account.credited.add(entry.amount).map_err(money_fault)?;
        entry.returned = order.account.to_return().map_err(money_fault)?;
        order.account.returned = order.account.returned.add(entry.returned).map_err(money_fault)?;
        self.end_seats(txn, backs, &format!("credit {id}")).await?;
        store::sales_order::insert_credit(txn, &entry).await?;
        self.sales_royalties_follow(txn, order, &format!("credit {id}")).await?;
        Ok(Some(entry))
    }

    /// Voids unused seats, and ends what redeemed ones gave.
    async fn end_seats(&self, txn: &DatabaseTransaction, backs: &[Back], reason: &str) -> Result<()> {
        let now = self.now();
        let unused: Vec<TokenId> = backs.iter().flat_map(|back| back.unused.iter().copied()).collect();
        let redeemed: Vec<TokenId> = backs.iter().flat_map(|back| back.redeemed.iter().copied()).collect();
        if store::token::void(txn, &unused, reason, now).await? != u64::try_from(unused.len()).unwrap_or(u64::MAX) {
            return Err(internal!("seats were redeemed under the lock of their sales order"));
        }
        if redeemed.is_empty() {
            return Ok(());
        }
        store::token::went_back(txn, &redeemed, reason, now).await?;
        let sources: Vec<_> = redeemed.iter().map(|token| token.uuid()).collect();
        let given = store::entitlement::of_sources(txn, SourceKind::Token, &sources).await?;
        let learners: Vec<AccountId> = given.iter().map(|held| held.grant.account).collect::<BTreeSet<_>>().into_iter().collect();
        store::entitlement::lock_learners(txn, &learners).await?;
        let given = store::entitlement::of_sources(txn, SourceKind::Token, &sources).await?;
        self.end_grants(txn, &given, reason, now).await?;
        Ok(())
    }
}

/// A line as the source of its seats.
pub(super) fn sold(line: SalesLineId) -> Source {
    Source { kind: SourceKind::SalesLine, id: line.uuid() }
}

fn count(tokens: &[TokenId]) -> Result<u32> {
    u32::try_from(tokens.len()).map_err(|_| internal!("{} seats are too many", tokens.len()))
}

/// A refusal of a line of a refund, under its place; what is said of the whole input stays there.
fn line_field(refusal: Refusal, index: usize) -> Refusal {
    if refusal.code == Code::SeatsRedeemed { refusal } else { refusal.under(["lines".to_owned(), index.to_string()]) }
}
