//! Fulfilment: giving all that a paid order gives, in one transaction of its own, repeated until it succeeds.
//!
//! Always true here: everything or nothing is given, and giving again gives nothing more.

use chrono::{DateTime, Utc};
use domain::cart::For;
use domain::catalog::Fulfilment;
use domain::company::MemberRole;
use domain::entitlement::{Source, SourceKind};
use domain::event::EventKind;
use domain::order::{OrderEvent, advance};
use domain::{AccountId, OrderId};
use sea_orm::DatabaseTransaction;
use serde_json::json;

use super::App;
use super::caller::Caller;
use super::grant::{NewGrant, TokenIssue};
use super::mail::Learner;
use super::payment::{Order, OrderLine, Ran};
use crate::error::Result;
use crate::internal;
use crate::store;

impl App {
    /// Gives what the order gives, if it is paid and nothing was given yet. What was paid for somebody who was erased meanwhile can be given to
    /// nobody: it is refunded, and the rest is given.
    ///
    /// # Errors
    /// The database's: the job is run again.
    pub async fn fulfil(&self, id: OrderId) -> Result<Ran> {
        let now = self.now();
        let txn = self.db.begin().await?;
        let Some(order) = store::order::lock(&txn, id).await? else { return Ok(Ran::Done) };
        if order.fulfilled_at.is_some() || !order.status.was_paid() {
            return Ok(Ran::Done);
        }
        let (buyer, by_link) = self.account_of_order(&txn, &order).await?;
        let own = match (order.account, order.company, buyer) {
            // A manager buys for the company, and hands out what is the company's as long as they manage it.
            (Some(_), Some(company), Some(buyer)) => {
                store::company::roles(&txn, company, &[buyer]).await?.get(&buyer) != Some(&MemberRole::Manager)
            }
            _ => true,
        };
        let (mut grants, mut lost, mut learners, mut credits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for line in order.lines.iter().filter(|line| !wholly_refunded(line)) {
            // A key instead of a place is redeemed, or handed on, by whoever bought it.
            let keys = line.fulfilment == Fulfilment::Keys;
            let learner = match (&line.for_, buyer) {
                (For::SelfBuyer, Some(buyer)) if !keys => buyer,
                (For::Learner { email: Some(email), .. }, owner) if keys => {
                    let person = line.learner.ok_or_else(|| internal!("a line of {} names nobody", order.number))?;
                    let learner = Some((person, self.email_hash(email)));
                    self.issue_tokens(&txn, TokenIssue { learner, ..seats(&order, line, owner.filter(|_| own), now)? }).await?;
                    continue;
                }
                (For::Learner { email: Some(email), name }, _) => {
                    let person = line.learner.ok_or_else(|| internal!("a line of {} names nobody", order.number))?;
                    let account = self.account_for(&txn, person, email).await?.0;
                    learners.push(Learner { account, line: line.id, email: email.clone(), name: name.clone() });
                    account
                }
                (For::Seats | For::SelfBuyer, Some(buyer)) => {
                    self.issue_tokens(&txn, seats(&order, line, own.then_some(buyer), now)?).await?;
                    continue;
                }
                (For::SelfBuyer | For::Seats, None) | (For::Learner { email: None, .. }, _) => {
                    lost.push(line.id);
                    continue;
                }
            };
            credits.push((learner, line));
            // A credit pack gives its credits and opens nothing.
            let Some(target) = line.target else { continue };
            grants.push(NewGrant {
                account: learner,
                target,
                source: Source { kind: SourceKind::OrderLine, id: line.id.uuid() },
                order: Some(order.id),
                actor: Caller::system().actor(),
                reason: None,
                terms: line.terms,
                now,
            });
        }
        self.grant_all(&txn, grants).await?;
        self.order_royalties_record(&txn, &order).await?;
        self.credits_give(&txn, &order, credits).await?;
        self.refund_lost(&txn, &order, &lost).await?;
        self.mail_fulfilled(&txn, &order, buyer, by_link, learners).await?;
        let to = advance(order.status, &OrderEvent::Fulfilled).map_err(|refusal| internal!("{}: {refusal}", order.number))?;
        store::order::set_fulfilled(&txn, id, to, now).await?;
        self.tell_order(&txn, EventKind::OrderFulfilled, &order, json!({ "accountId": buyer })).await?;
        txn.commit().await?;
        self.woken();
        self.changed(id.uuid());
        Ok(Ran::Done)
    }

    /// The account that an order belongs to, and whether its owner comes in by a mailed link. A guest's is found or made by the buyer's e-mail: a
    /// new account, unverified, gets a link in the receipt; whoever has an account gets a link by mail only, since anybody can type an address
    /// into an order. `None`: whoever bought was erased.
    async fn account_of_order(&self, txn: &DatabaseTransaction, order: &Order) -> Result<(Option<AccountId>, bool)> {
        if let Some(account) = order.account {
            let found = store::account::by_id(txn, account).await?.ok_or_else(|| internal!("{account} is gone"))?;
            return Ok((found.email().map(|_| account), false));
        }
        let buyer = store::person::by_id(txn, order.buyer).await?.ok_or_else(|| internal!("{} has no buyer", order.number))?;
        let Some(email) = &buyer.email else { return Ok((None, false)) };
        let (account, made) = self.account_for(txn, order.buyer, email).await?;
        store::order::set_account(txn, order.id, account).await?;
        if order.lines.iter().any(|line| line.coupon.is_some()) {
            store::coupon::uses_belong(txn, order.id, account).await?;
        }
        if made {
            self.link_for_receipt(txn, account, order.id).await?;
        }
        Ok((Some(account), true))
    }
}

fn seats(order: &Order, line: &OrderLine, owner: Option<AccountId>, now: DateTime<Utc>) -> Result<TokenIssue> {
    let target = line.target.ok_or_else(|| internal!("{} sells seats of nothing", line.id))?;
    Ok(TokenIssue {
        line: Source { kind: SourceKind::OrderLine, id: line.id.uuid() },
        order: Some(order.id),
        sales_order: None,
        company: order.company,
        owner,
        product: line.product,
        target,
        session: line.session,
        terms: line.terms,
        quantity: line.quantity,
        learner: None,
        now,
    })
}

/// Whether all that was paid for the line went back before it was given.
pub(super) fn wholly_refunded(line: &OrderLine) -> bool {
    line.refunded.minor > 0 && line.refunded == line.amounts.total
}
