//! Credits that orders give: granted when a line is given or a token of it redeemed, and taken back, as far as they are unspent, by refunds and
//! lost disputes.
//!
//! Always true here: a line, or a token of it, grants its credits once; what is taken back stands in the ledger under its refund, so that a refund
//! that bounces gives back just that.

use domain::credit::{Cause, Owner, Source, SourceKind};
use domain::credit_sale::Gain;
use domain::refund::{Ends, RefundStatus};
use domain::{AccountId, OrderLineId, ProductId, TokenId};
use sea_orm::DatabaseTransaction;

use super::caller::Caller;
use super::payment::{Order, OrderLine, Refund, RefundLine};
use super::refund::gives_at_once;
use super::token::Token;
use super::{App, entropy};
use crate::error::Result;
use crate::internal;
use crate::store;
use crate::store::credit::{Move, NewLot};

/// What came of taking credits back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Back {
    /// Taken: they were unspent.
    pub taken: u64,
    /// Spent already, and so they stay.
    pub spent: u64,
    /// The credits that it was about.
    pub asked: u64,
}

impl App {
    /// Grants what these lines of an order give, each to its account, less what refunds took back before it was given. The caller holds the
    /// order's row.
    ///
    /// # Errors
    /// The database's; somebody who would hold more than anybody can.
    pub(super) async fn credits_give(
        &self,
        txn: &DatabaseTransaction,
        order: &Order,
        mut lines: Vec<(AccountId, &OrderLine)>,
    ) -> Result<()> {
        lines.retain(|(_, line)| !line.credits.is_none());
        if lines.is_empty() {
            return Ok(());
        }
        // Everybody takes the rows of owners in this order.
        lines.sort_by_key(|(account, line)| (*account, line.id));
        let refunds = store::payment::refunds_of(txn, &[order.id]).await?.remove(&order.id).unwrap_or_default();
        let done = refunds.iter().filter(|refund| refund.status == RefundStatus::Succeeded);
        let parts: Vec<&RefundLine> = done.flat_map(|refund| &refund.lines).collect();
        for (account, line) in lines {
            let taken: u64 = parts.iter().filter(|part| part.line == line.id).map(|part| part.credits_taken).sum();
            let gain = Gain { count: line.credits.count.saturating_sub(taken), ..line.credits };
            self.credits_grant(txn, account, line.product, &gain, of_line(line.id)).await?;
        }
        Ok(())
    }

    /// Grants the credits that a seat or key gives to whoever redeemed it.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn credits_of_token(&self, txn: &DatabaseTransaction, token: &Token, account: AccountId) -> Result<()> {
        if token.source.kind != domain::entitlement::SourceKind::OrderLine {
            return Ok(());
        }
        let Some((gain, quantity)) = store::order::credits_of_line(txn, token.source.id.into()).await? else { return Ok(()) };
        self.credits_grant(txn, account, token.product, &gain.each(quantity), of_token(token.id)).await
    }

    async fn credits_grant(&self, txn: &DatabaseTransaction, to: AccountId, sold: ProductId, gain: &Gain, source: Source) -> Result<()> {
        if gain.is_none() {
            return Ok(());
        }
        let lot = NewLot {
            id: entropy::next_id(),
            owner: Owner::Account(to),
            count: i64::try_from(gain.count).map_err(|_| internal!("{} credits are too many", gain.count))?,
            expires_at: gain.ends_at(self.now()),
            product: Some(sold),
            tied: gain.tied_to,
        };
        store::credit::grant(txn, &lot, &self.by(Cause::Sold, source, &Caller::system().actor(), None)).await?;
        Ok(())
    }

    /// Takes back what a part of a refund asks back of its line's credits, as far as it is unspent: its share of what the line gave, or all that
    /// the seats gave whose access ends. The caller holds the order's row.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn credits_take_back(
        &self,
        txn: &DatabaseTransaction,
        order: &Order,
        line: &OrderLine,
        (refund, part): (&Refund, &RefundLine),
        ends: &Ends,
    ) -> Result<Back> {
        if !part.takes_credits || line.credits.is_none() {
            return Ok(Back::default());
        }
        let actor = &refund.actor;
        let source = Source { kind: SourceKind::Refund, id: refund.id.uuid() };
        let by = self.by(Cause::TakenBack, source, actor, Some(&refund.reason));
        if !gives_at_once(line) {
            let tokens = match ends {
                Ends::Everything => store::token::redeemed_of_line(txn, line.id).await?,
                Ends::Tokens(tokens) => tokens.clone(),
                Ends::Units(_) | Ends::Nothing => Vec::new(),
            };
            let mut back = Back::default();
            for token in tokens {
                back.add(take_back(txn, of_token(token), None, &by).await?);
            }
            return Ok(back);
        }
        if order.fulfilled_at.is_none() {
            // Nothing was given yet, and that much will not be.
            return Ok(Back { taken: part.credits, spent: 0, asked: part.credits });
        }
        let back = take_back(txn, of_line(line.id), Some(part.credits), &by).await?;
        Ok(Back { asked: part.credits, ..back })
    }

    /// Takes back all that is unspent of what a line gave, because its money was charged back. The caller holds the order's row.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn credits_end(&self, txn: &DatabaseTransaction, line: &OrderLine, reason: &str) -> Result<()> {
        if line.credits.is_none() {
            return Ok(());
        }
        let actor = Caller::system().actor();
        let by = self.by(Cause::TakenBack, of_line(line.id), &actor, Some(reason));
        take_back(txn, of_line(line.id), None, &by).await?;
        for token in store::token::redeemed_of_line(txn, line.id).await? {
            take_back(txn, of_token(token), None, &by).await?;
        }
        Ok(())
    }

    /// Gives back what a refund took, because its money did not go back after all. The caller holds the order's row.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn credits_restore(&self, txn: &DatabaseTransaction, order: &Order, refund: &Refund) -> Result<()> {
        let taken: u64 = refund.lines.iter().map(|part| part.credits_taken).sum();
        if taken == 0 {
            return Ok(());
        }
        let source = Source { kind: SourceKind::Refund, id: refund.id.uuid() };
        let actor = Caller::system().actor();
        let restored = store::credit::restore(txn, source, &self.by(Cause::Restored, source, &actor, None)).await?;
        if order.fulfilled_at.is_some() && u64::try_from(restored).ok() != Some(taken) {
            // It was refunded before it was given, and so less was given.
            tracing::error!(order = order.number, refund = %refund.id, restored, taken, "a refund failed, and not all of its credits are back");
        }
        for part in refund.lines.iter().filter(|part| part.credits_taken > 0 || part.credits_spent > 0) {
            store::payment::set_credits_back(txn, refund.id, part.line, (part.credits, 0, 0)).await?;
        }
        Ok(())
    }

    fn by<'a>(&self, cause: Cause, source: Source, actor: &'a str, reason: Option<&'a str>) -> Move<'a> {
        Move { cause, source, actor, reason, now: self.now(), new_id: entropy::next_uuid }
    }
}

impl Back {
    fn add(&mut self, more: Self) {
        self.taken += more.taken;
        self.spent += more.spent;
        self.asked += more.asked;
    }
}

async fn take_back(txn: &DatabaseTransaction, granted: Source, wanted: Option<u64>, by: &Move<'_>) -> Result<Back> {
    let whole = |count: i64| u64::try_from(count).map_err(|_| internal!("less than no credits"));
    let wanted = wanted.map(|wanted| i64::try_from(wanted).map_err(|_| internal!("{wanted} credits are too many"))).transpose()?;
    if wanted == Some(0) {
        return Ok(Back::default());
    }
    let back = store::credit::take_back(txn, granted, wanted, by).await?;
    Ok(Back { taken: whole(back.taken)?, spent: whole(back.spent)?, asked: whole(back.taken + back.spent + back.expired)? })
}

const fn of_line(line: OrderLineId) -> Source {
    Source { kind: SourceKind::OrderLine, id: line.uuid() }
}

const fn of_token(token: TokenId) -> Source {
    Source { kind: SourceKind::Token, id: token.uuid() }
}
