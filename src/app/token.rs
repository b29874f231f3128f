//! Registration tokens: redeeming one, giving a seat another code, and who sees which.
//!
//! Always true here: a token is redeemed once, by one conditional update; codes are never logged.

use chrono::{DateTime, Utc};
use domain::entitlement::{Source, SourceKind};
use domain::refusal::Refusal;
use domain::token::{TokenCode, TokenRefusal, TokenStatus, redeem, revoke, status};
use domain::{CompanyId, OrderId, TokenId};
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::grant::NewGrant;
use super::secrets::Purpose;
use super::throttle::address_key;
use super::{Answer, App, Object, entropy};
use crate::error::{Error, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::idempotency::Scope;

pub use crate::store::page::Key;
pub use crate::store::token::{Token, TokenFilter};

/// A token as a caller sees it.
#[derive(Debug, Clone)]
pub struct TokenView {
    /// The token.
    pub token: Token,
    /// Its status now.
    pub status: TokenStatus,
    /// Its code, for those who may hand it out.
    pub code: String,
}

impl App {
    /// Redeems a token for the signed-in person: opens what it stands for, and makes them a learner of its company.
    ///
    /// # Errors
    /// TOKEN_INVALID for any code that is none, also after many tries (then RATE_LIMITED); TOKEN_USED, TOKEN_VOID, TOKEN_EXPIRED.
    pub async fn token_redeem(&self, caller: &Caller, code: &str, key: &str) -> Result<Answer<TokenView>> {
        let account = caller.require_account()?;
        let now = self.now();
        let guess = format!("token:{account}");
        self.sign_in.guesses().take(&guess, now)?;
        let address = caller.address.map(address_key);
        if let Some(address) = &address {
            self.sign_in.guesses_by_address().take(address, now)?;
        }
        let parsed = TokenCode::parse(code).map_err(|refusal| Refusal::from(refusal).under(["code"]))?;
        let hash = self.secrets.hash(Purpose::Token, parsed.canonical());
        let unknown = || Error::from(Refusal::from(TokenRefusal::NotFound).under(["code"]));
        let known = store::token::by_code(self.db.read(), &hash).await?.ok_or_else(unknown)?;
        // A code that is real is no guess.
        self.sign_in.guesses().give_back(&guess);
        if let Some(address) = &address {
            self.sign_in.guesses_by_address().give_back(address);
        }
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "tokenRedeem", key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "token": known.id })).await? {
            txn.commit().await?;
            return Ok(Answer { value: self.token_view(serde_json::from_value(earlier)?).await?, replayed: true });
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
        store::idempotency::finish(&txn, &scope, serde_json::to_value(known.id)?).await?;
        txn.commit().await?;
        Ok(Answer { value: self.token_view(known.id).await?, replayed: false })
    }

    /// Voids an unused code and issues a fresh one for its seat: for the company's managers, whoever bought it, and operators.
    ///
    /// # Errors
    /// NOT_FOUND for everybody else; TOKEN_USED, TOKEN_VOID, TOKEN_EXPIRED.
    pub async fn token_revoke(&self, caller: &Caller, id: TokenId) -> Result<TokenView> {
        caller.require_sign_in()?;
        let now = self.now();
        let token = store::token::by_ids(self.db.read(), &[id]).await?.pop();
        let token = token.filter(|token| may_hand_out(caller, token)).ok_or_else(|| Error::not_found("tokenId", "token"))?;
        revoke(status(token.status, token.ends_at, now)).map_err(|refusal| Refusal::from(refusal).under(["tokenId"]))?;
        let txn = self.db.begin().await?;
        if store::token::void(&txn, &[id], now).await? == 0 {
            return Err(Refusal::from(TokenRefusal::Used).under(["tokenId"]).into());
        }
        let fresh =
            self.new_token(Token { id: entropy::next_id(), issue: token.issue + 1, created_at: now, touched_at: now, ..token.clone() })?;
        store::token::insert(&txn, std::slice::from_ref(&fresh)).await?;
        let object = Object { kind: "token", id: id.uuid(), company: token.company.map(CompanyId::uuid) };
        self.audit(&txn, caller, "tokenRevoke", object, None, Some(json!({ "fresh": fresh.id }))).await?;
        txn.commit().await?;
        self.token_view(fresh.id).await
    }

    /// A page of tokens: a company's for its managers, an order's or one's own for whoever bought them, any for operators.
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
        let mut filter = TokenFilter { company, order, owner: None, status: wanted };
        let managed = company.is_some_and(|company| caller.may_for(Topic::Learning.read(), company));
        if !caller.may(Topic::Learning.read()) && !managed {
            filter.owner = Some(caller.require_account()?);
        }
        let now = self.now();
        let page = store::token::list(self.db.read(), &filter, now, args, total).await?;
        let (has_next, has_previous, total) = (page.has_next, page.has_previous, page.total);
        let rows = page.rows.into_iter().map(|token| self.viewed(token, now)).collect::<Result<Vec<_>>>()?;
        Ok(Page { rows, has_next, has_previous, total })
    }

    async fn token_view(&self, id: TokenId) -> Result<TokenView> {
        let token = store::token::by_ids(self.db.read(), &[id]).await?.pop().ok_or_else(|| internal!("{id} is gone"))?;
        self.viewed(token, self.now())
    }

    fn viewed(&self, token: Token, now: DateTime<Utc>) -> Result<TokenView> {
        Ok(TokenView { status: status(token.status, token.ends_at, now), code: self.code_of(&token)?, token })
    }
}

fn may_hand_out(caller: &Caller, token: &Token) -> bool {
    let own = token.owner.is_some() && token.owner == caller.account();
    let managed = token.company.is_some_and(|company| caller.may_for(Topic::Learning.write(), company));
    own || managed || caller.may(Topic::Learning.write())
}
