//! Registration tokens: redeeming one, giving a seat another code, and who sees which.
//!
//! Always true here: a token is redeemed once, by one conditional update; codes are never logged.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::entitlement::{Source, SourceKind};
use domain::refusal::Refusal;
use domain::token::{TokenCode, TokenRefusal, TokenStatus, redeem, revoke, status};
use domain::{AccountId, CompanyId, OrderId, TokenId};
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic, Who};
use super::grant::NewGrant;
use super::secrets::Purpose;
use super::{Answer, App, Object, entropy};
use crate::error::{Error, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::idempotency::Scope;

pub use crate::store::page::Key;
pub use crate::store::token::{SeenBy, Token, TokenFilter};

/// A token as a caller sees it.
#[derive(Debug, Clone)]
pub struct TokenView {
    /// The token.
    pub token: Token,
    /// Its status now.
    pub status: TokenStatus,
    /// Its code, for those who may hand it out.
    pub code: Option<String>,
}

impl App {
    /// Redeems a token for the signed-in person: opens what it stands for, and makes them a learner of its company.
    ///
    /// # Errors
    /// TOKEN_INVALID for any code that is none, also after many tries (then RATE_LIMITED); TOKEN_USED, TOKEN_VOID, TOKEN_EXPIRED.
    pub async fn token_redeem(&self, caller: &Caller, code: &str, key: &str) -> Result<Answer<TokenView>> {
        let account = caller.require_account()?;
        let now = self.now();
        let guess = self.guess_code(caller, "token", &account)?;
        let parsed = TokenCode::parse(code).map_err(|refusal| Refusal::from(refusal).under(["code"]))?;
        let hash = self.secrets.hash(Purpose::Token, parsed.canonical());
        let unknown = || Error::from(Refusal::from(TokenRefusal::NotFound).under(["code"]));
        let known = store::token::by_code(self.db.read(), &hash).await?.ok_or_else(unknown)?;
        guess.was_right();
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "tokenRedeem", key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "token": known.id })).await? {
            txn.commit().await?;
            return Ok(Answer { value: self.token_view(caller, serde_json::from_value(earlier)?).await?, replayed: true });
        }
        if let Some(order) = known.order {
            // Refunds void tokens under the order's lock; whoever comes second sees what the first one did.
            store::token::hold_order(&txn, order).await?;
        }
        if !store::token::redeem(&txn, known.id, account, now).await? {
            let token = store::token::by_code(&txn, &hash).await?.ok_or_else(unknown)?;
            let refusal = redeem(status(token.status, token.ends_at, now)).err().unwrap_or(TokenRefusal::Used);
            return Err(Refusal::from(refusal).under(["code"]).into());
        }
        let grant = NewGrant {
            account,
            target: known.target,
            source: Source { kind: SourceKind::Token, id: known.id.uuid() },
            order: known.order,
            actor: actor.clone(),
            reason: None,
            terms: known.terms,
            now,
        };
        self.grant(&txn, grant).await?;
        if let Some(company) = known.company {
            store::token::join_company(&txn, company, account, now).await?;
        }
        self.audit(&txn, caller, "tokenRedeem", object(&known), None, Some(json!({ "account": account }))).await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(known.id)?).await?;
        txn.commit().await?;
        Ok(Answer { value: self.token_view(caller, known.id).await?, replayed: false })
    }

    /// Voids an unused code and issues a fresh one for its seat: for the company's managers, whoever bought it, and operators.
    ///
    /// # Errors
    /// NOT_FOUND for everybody else; TOKEN_USED, TOKEN_VOID, TOKEN_EXPIRED.
    pub async fn token_revoke(&self, caller: &Caller, id: TokenId) -> Result<TokenView> {
        caller.require_sign_in()?;
        let now = self.now();
        let known = store::token::by_ids(self.db.read(), &[id]).await?.pop();
        let known = known.filter(|token| hands_out(caller, token)).ok_or_else(|| Error::not_found("tokenId", "token"))?;
        let txn = self.db.begin().await?;
        if let Some(order) = known.order {
            // As for redeeming: refunds take the order first, then its tokens.
            store::token::hold_order(&txn, order).await?;
        }
        // Looked at under that lock, and the update below counts all the same: whoever redeems the seat at this instant was first or is late.
        let token = store::token::by_ids(&txn, &[id]).await?.pop().ok_or_else(|| internal!("{id} is gone"))?;
        let refused = |refusal: TokenRefusal| Refusal::from(refusal).under(["tokenId"]);
        revoke(status(token.status, token.ends_at, now)).map_err(refused)?;
        if store::token::void(&txn, &[id], "a new code for its seat", now).await? == 0 {
            return Err(refused(TokenRefusal::Used).into());
        }
        let fresh = self.new_token(Token {
            id: entropy::next_id(),
            issue: token.issue + 1,
            // Whoever the old code was handed to does not have the fresh one.
            status: TokenStatus::Free,
            created_at: now,
            touched_at: now,
            ..token.clone()
        })?;
        if store::token::insert(&txn, std::slice::from_ref(&fresh)).await? != 1 {
            return Err(internal!("the seat of {id} has a later code already"));
        }
        let (old, new) = (json!({ "status": token.status }), json!({ "fresh": fresh.id, "seat": fresh.seat }));
        self.audit(&txn, caller, "tokenRevoke", object(&token), Some(old), Some(new)).await?;
        txn.commit().await?;
        self.viewed(caller, fresh, now)
    }

    /// A page of tokens, the oldest first: for operators all, else those that the caller bought and those of companies that it manages. Of one
    /// company or order, if that is named.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn tokens(
        &self,
        caller: &Caller,
        company: Option<CompanyId>,
        order: Option<OrderId>,
        wanted: Option<TokenStatus>,
        args: &PageArgs<(Key, Uuid)>,
        total: bool,
    ) -> Result<Page<TokenView>> {
        let scope = Topic::Learning.read();
        let seen_by = if caller.may(scope) {
            None
        } else {
            let companies = match &caller.who {
                Who::Account { manages, .. } => manages.clone(),
                // A program has no tokens of its own: it says whose it wants.
                Who::ManagerKey { company: own, .. } if caller.may_for(scope, *own) && (company.is_some() || order.is_some()) => vec![*own],
                Who::Guest | Who::Key { .. } | Who::ManagerKey { .. } | Who::System => {
                    return Err(caller.denied("Tokens are listed for those who bought them, managers of the company named, and operators."));
                }
            };
            Some(SeenBy { owner: caller.account(), companies })
        };
        let now = self.now();
        let filter = TokenFilter { company, order, seen_by, status: wanted };
        let page = store::token::list(self.db.read(), &filter, now, args, total).await?;
        let (has_next, has_previous, total) = (page.has_next, page.has_previous, page.total);
        let rows = page.rows.into_iter().map(|token| self.viewed(caller, token, now)).collect::<Result<Vec<_>>>()?;
        Ok(Page { rows, has_next, has_previous, total })
    }

    /// Those of these tokens that the caller may see: whoever may hand them out or redeemed them, and operators.
    ///
    /// # Errors
    /// The database's.
    pub async fn tokens_by_id(&self, caller: &Caller, ids: &[TokenId]) -> Result<HashMap<TokenId, TokenView>> {
        let scope = Topic::Learning.read();
        let now = self.now();
        let seen = |token: &Token| {
            let managed = token.company.is_some_and(|company| caller.may_for(scope, company));
            let own = |account: Option<AccountId>| account.is_some() && account == caller.account();
            managed || caller.may(scope) || own(token.owner) || own(token.redeemed_by)
        };
        let found = store::token::by_ids(self.db.read(), ids).await?.into_iter().filter(seen);
        found.map(|token| Ok((token.id, self.viewed(caller, token, now)?))).collect()
    }

    async fn token_view(&self, caller: &Caller, id: TokenId) -> Result<TokenView> {
        let token = store::token::by_ids(self.db.read(), &[id]).await?.pop().ok_or_else(|| internal!("{id} is gone"))?;
        self.viewed(caller, token, self.now())
    }

    fn viewed(&self, caller: &Caller, token: Token, now: DateTime<Utc>) -> Result<TokenView> {
        let code = hands_out(caller, &token).then(|| self.code_of(&token)).transpose()?;
        Ok(TokenView { status: status(token.status, token.ends_at, now), code, token })
    }
}

/// Whether the caller may hand the token out, and so sees its code: whoever bought it, unless they did so as a manager of its company; managers
/// of its company; operators who may write. (A code is as good as access, so reading is not enough.)
fn hands_out(caller: &Caller, token: &Token) -> bool {
    let scope = Topic::Learning.write();
    let own = token.owner.is_some() && token.owner == caller.account();
    own || caller.may(scope) || token.company.is_some_and(|company| caller.may_for(scope, company))
}

fn object(token: &Token) -> Object {
    Object { kind: "token", id: token.id.uuid(), company: token.company.map(CompanyId::uuid) }
}
