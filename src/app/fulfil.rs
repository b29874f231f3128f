//! Fulfilment: giving all that a paid order gives, in one transaction of its own, repeated until it succeeds.
//!
//! Always true here: everything or nothing is given, and giving again gives nothing more.

use chrono::{DateTime, Utc};
use domain::account::Road;
use domain::cart::For;
use domain::entitlement::{Source, SourceKind};
use domain::order::{OrderEvent, advance};
use domain::text::Email;
use domain::{AccountId, OrderId};
use sea_orm::DatabaseTransaction;

use super::App;
use super::caller::Caller;
use super::grant::{NewGrant, TokenIssue};
use super::payment::{Order, OrderLine, Ran};
use crate::error::Result;
use crate::internal;
use crate::store;

impl App {
    /// Gives what the order gives, if it is paid and nothing was given yet.
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
        let buyer = self.account_of_order(&txn, &order).await?;
        let mut grants = Vec::new();
        for line in order.lines.iter().filter(|line| !wholly_refunded(line)) {
            let learner = match &line.for_ {
                For::SelfBuyer => buyer,
                For::Learner { email, .. } => {
                    if email.as_str() == store::order::ERASED {
                        return Err(internal!("a learner of {} was erased before fulfilment; refund the line", order.number));
                    }
                    let person = line.learner.ok_or_else(|| internal!("a line of {} names nobody", order.number))?;
                    self.account_for(&txn, person, email).await?.0
                }
                For::Seats => {
                    self.issue_tokens(&txn, seats(&order, line, buyer, now)).await?;
                    continue;
                }
            };
            grants.push(NewGrant {
                account: learner,
                target: line.target,
                source: Source { kind: SourceKind::OrderLine, id: line.id.uuid() },
                order: Some(order.id),
                actor: Caller::system().actor(),
                reason: None,
                terms: line.terms,
                now,
            });
        }
        self.grant_all(&txn, grants).await?;
        let to = advance(order.status, &OrderEvent::Fulfilled).map_err(|refusal| internal!("{}: {refusal}", order.number))?;
        store::order::set_fulfilled(&txn, id, to, now).await?;
        txn.commit().await?;
        self.changed(id.uuid());
        Ok(Ran::Done)
    }

    /// The account that an order belongs to. A guest's is found or made by the buyer's e-mail: a new account, unverified, gets a link in the
    /// receipt; whoever has an account gets a link by mail only, since anybody can type an address into an order.
    async fn account_of_order(&self, txn: &DatabaseTransaction, order: &Order) -> Result<AccountId> {
        if let Some(account) = order.account {
            return Ok(account);
        }
        let buyer = store::person::by_id(txn, order.buyer).await?.ok_or_else(|| internal!("{} has no buyer", order.number))?;
        let email: &Email = buyer.email.as_ref().ok_or_else(|| internal!("the buyer of {} was erased before fulfilment", order.number))?;
        let (account, made) = self.account_for(txn, order.buyer, email).await?;
        store::order::set_account(txn, order.id, account).await?;
        if made {
            self.link_for_receipt(txn, account, order.id).await?;
        }
        self.link_create(txn, account, Road::Mail).await?;
        Ok(account)
    }
}

fn seats(order: &Order, line: &OrderLine, buyer: AccountId, now: DateTime<Utc>) -> TokenIssue {
    TokenIssue {
        line: line.id,
        order: order.id,
        company: order.company,
        owner: buyer,
        product: line.product,
        target: line.target,
        session: line.session,
        terms: line.terms,
        quantity: line.quantity,
        now,
    }
}

/// Whether all that was paid for the line went back before it was given.
fn wholly_refunded(line: &OrderLine) -> bool {
    line.refunded.minor > 0 && line.refunded == line.amounts.total
}
