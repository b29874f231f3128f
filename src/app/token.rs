//! Registration tokens: redeeming one, giving a seat another code, and who sees which.
//!
//! Always true here: a token is redeemed once, by one conditional update; codes are never logged.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::entitlement::{Source, SourceKind};
use domain::refusal::{Reason, Refusal};
use domain::text::{self, Email};
use domain::token::{HandOver, TokenCode, TokenRefusal, TokenStatus, redeem, revoke, status, transfer};
use domain::{AccountId, CompanyId, OrderId, PersonId, ProductId, SalesOrderId, TokenId};
use sea_orm::DatabaseTransaction;
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic, Who};
use super::grant::NewGrant;
use super::mail::Handover;
use super::secrets::Purpose;
use super::{Answer, App, Object, entropy};
use crate::error::{Code, Error, Faults, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::idempotency::Scope;
use crate::store::person::{NewPerson, Person};

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
    /// Whom it was handed to, for the same; blank once that person was erased.
    pub assigned_to: Option<Person>,
}

/// Which seats are handed out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pool {
    /// Seats of this company.
    pub company: Option<CompanyId>,
    /// Seats of this order.
    pub order: Option<OrderId>,
    /// Seats of this sales order.
    pub sales_order: Option<SalesOrderId>,
    /// Seats in this product.
    pub product: Option<ProductId>,
}

/// Somebody who is to have a seat.
#[derive(Debug, Clone)]
pub struct Assignee {
    /// E-mail.
    pub email: String,
    /// Name.
    pub name: Option<String>,
}

/// Most learners of one call.
pub const MAX_ASSIGNED: usize = 1_000;

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
        // Refunds void tokens under the order's lock; whoever comes second sees what the first one did.
        hold_sold(&txn, &known).await?;
        if !store::token::redeem(&txn, known.id, account, now).await? {
            let token = store::token::by_code(&txn, &hash).await?.ok_or_else(unknown)?;
            let refusal = redeem(status(token.status, token.ends_at, now)).err().unwrap_or(TokenRefusal::Used);
            return Err(Refusal::from(refusal).under(["code"]).into());
        }
        store::entitlement::lock_learners(&txn, &[account]).await?;
        if let Some(session) = known.session
            && let Err(reason) = self.seat_redeem(&txn, session, known.source, known.order, known.id, account).await?
        {
            return Err(Refusal::new(reason.code(), reason.to_string()).under(["code"]).into());
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
        self.credits_of_token(&txn, &known, account).await?;
        if let Some(company) = known.company {
            store::token::join_company(&txn, company, account, now).await?;
        }
        self.audit(&txn, caller, "tokenRedeem", object(&known), None, Some(json!({ "account": account }))).await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(known.id)?).await?;
        txn.commit().await?;
        Ok(Answer { value: self.token_view(caller, known.id).await?, replayed: false })
    }

    /// Hands free seats to learners, one each: all of them or none. Whoever has the code redeems it; the buyer takes no seat unless named.
    ///
    /// # Errors
    /// [`Code::TooFewTokens`] with how many are free, and how many more a company may take; each bad or repeated address by its place, and each that has an unused seat already;
    /// [`Code::Required`] where the seats named are of several products; [`Code::NotFound`] for seats that are not this caller's to hand out.
    pub async fn token_assign(&self, caller: &Caller, pool: Pool, learners: &[Assignee], key: &str) -> Result<Answer<Vec<TokenView>>> {
        caller.require_sign_in()?;
        let now = self.now();
        let persons = self.assignees(learners)?;
        let (field, filter) = self.pool_of(caller, &pool)?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "tokenAssign", key };
        let txn = self.db.begin().await?;
        let hashes: Vec<String> = persons.iter().map(|person| person.email_hash.clone()).collect();
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "pool": pool, "learners": hashes })).await? {
            txn.commit().await?;
            let ids: Vec<TokenId> = serde_json::from_value(earlier)?;
            return Ok(Answer { value: self.token_views(caller, &ids).await?, replayed: true });
        }
        // Who takes seats beyond those that a company has counts them one after the other.
        let beyond = pool
            .company
            .filter(|company| pool.order.is_none() && pool.sales_order.is_none() && caller.may_for(Topic::Learning.write(), *company));
        if let Some(company) = beyond {
            store::company::lock(&txn, company).await?;
        }
        let mut free = store::token::free_within(&txn, &filter, now).await?;
        if free.is_empty() && !store::token::any_within(&txn, &filter).await? {
            return Err(Error::not_found(field, "seat that you may hand out"));
        }
        let orders: Vec<OrderId> = free.iter().filter_map(|seat| seat.order).collect::<BTreeSet<_>>().into_iter().collect();
        // Two who hand out at once would count the same free seats; a refund would void one that was just handed out.
        store::token::lock_orders(&txn, &orders).await?;
        let sales_orders: Vec<SalesOrderId> =
            free.iter().filter_map(|seat| seat.sales_order).collect::<BTreeSet<_>>().into_iter().collect();
        store::sales_order::lock_all(&txn, &sales_orders).await?;
        free = store::token::free_within(&txn, &filter, now).await?;
        free.retain(|seat| {
            seat.order.is_none_or(|order| orders.contains(&order)) && seat.sales_order.is_none_or(|order| sales_orders.contains(&order))
        });
        if free.iter().any(|seat| Some(seat.product) != free.first().map(|first| first.product)) {
            let message = "These seats are of several products; say of which one, as productId.";
            return Err(Error::refused(Code::Required, ["productId"], message));
        }
        let filter = TokenFilter { product: free.first().map(|seat| seat.product).or(filter.product), ..filter };
        let have = store::token::assigned_within(&txn, &filter, &hashes, now).await?;
        let mut faults = Faults::default();
        for (place, person) in persons.iter().enumerate() {
            if have.contains(&person.email_hash) {
                let message = "This learner has an unused seat already; to send another code, use tokenRevoke or tokenTransfer.";
                faults.add(Refusal::at(Code::Repeated, ["learners".to_owned(), place.to_string(), "email".to_owned()], message));
            }
        }
        faults.check()?;
        let mut seats: Vec<TokenId> = free.iter().map(|seat| seat.token).collect();
        if seats.len() < persons.len()
            && let (Some(company), Some(product)) = (beyond, filter.product)
            && let Some(made) = self.take_beyond(&txn, caller, company, product, seats.len(), persons.len()).await?
        {
            seats.extend(made);
        }
        domain::token::assign(seats.len(), persons.len()).map_err(|reason| Refusal::from(reason).under(["learners"]))?;
        store::person::insert(&txn, &persons, now).await?;
        let mut assigned = Vec::with_capacity(persons.len());
        for (seat, person) in seats.into_iter().zip(&persons) {
            if !store::token::assign(&txn, seat, person.id, &person.email_hash, now).await? {
                return Err(internal!("{seat} was taken under the lock of its order"));
            }
            assigned.push(seat);
        }
        let tokens = store::token::by_ids(&txn, &assigned).await?;
        let company_of: HashMap<TokenId, Option<CompanyId>> = tokens.iter().map(|token| (token.id, token.company)).collect();
        let handover = |(token, person): (&TokenId, &NewPerson)| handed(*token, person, company_of.get(token).copied().flatten());
        self.mail_handovers(&txn, &assigned.iter().zip(&persons).map(handover).collect::<Vec<_>>()).await?;
        let changes = tokens.into_iter().map(|token| {
            let new = json!({ "status": token.status, "assignedTo": token.assigned_to });
            (object(&token), Some(json!({ "status": TokenStatus::Free })), Some(new))
        });
        self.audit_all(&txn, caller, "tokenAssign", changes.collect()).await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(&assigned)?).await?;
        txn.commit().await?;
        self.woken();
        Ok(Answer { value: self.token_views(caller, &assigned).await?, replayed: false })
    }

    /// The learners who are to have seats, each once.
    fn assignees(&self, learners: &[Assignee]) -> Result<Vec<NewPerson>> {
        let mut faults = Faults::default();
        if learners.is_empty() {
            faults.add(Refusal::at(Code::Required, ["learners"], "Name at least one learner."));
        }
        if learners.len() > MAX_ASSIGNED {
            let message = format!("At most {MAX_ASSIGNED} learners go into one call; send the others in another one.");
            faults.add(Refusal::at(Code::TooLong, ["learners"], message));
        }
        faults.check()?;
        let mut faults = Faults::default();
        let mut persons: Vec<NewPerson> = Vec::with_capacity(learners.len());
        let mut places: HashMap<String, usize> = HashMap::with_capacity(learners.len());
        for (place, learner) in learners.iter().enumerate() {
            let under = |refusal: Refusal| refusal.under(["learners".to_owned(), place.to_string()]);
            let Some(person) = faults.of(self.assignee(learner).map_err(under)) else { continue };
            match places.insert(person.email_hash.clone(), place) {
                Some(first) => {
                    let message = format!("This address stands at place {first} already; name each once.");
                    faults.add(under(Refusal::at(Code::Repeated, ["email"], message)));
                }
                None => persons.push(person),
            }
        }
        faults.check()?;
        Ok(persons)
    }

    fn assignee(&self, learner: &Assignee) -> Result<NewPerson, Refusal> {
        let email = Email::parse(&learner.email).map_err(|reason| Refusal::from(reason).under(["email"]))?;
        let name = learner.name.as_deref().filter(|name| !name.trim().is_empty()).map(text::name).transpose();
        Ok(self.person_version(&email, name.map_err(|reason| Refusal::from(reason).under(["name"]))?, None))
    }

    /// The seats of a pool that a caller may hand out, and the field that names them.
    fn pool_of(&self, caller: &Caller, pool: &Pool) -> Result<(&'static str, TokenFilter)> {
        let scope = Topic::Learning.write();
        let field = match (pool.order, pool.sales_order, pool.company) {
            (Some(_), _, _) => "orderId",
            (None, Some(_), _) => "salesOrderId",
            (None, None, Some(_)) => "companyId",
            (None, None, None) => {
                let message = "Say of which order, of which sales order or of which company the seats are.";
                return Err(Error::refused(Code::Required, ["orderId"], message));
            }
        };
        let seen_by = match &caller.who {
            _ if caller.may(scope) => None,
            Who::Account { id, manages, .. } => Some(SeenBy { owner: Some(*id), companies: manages.clone() }),
            Who::ManagerKey { company, .. } if caller.may_for(scope, *company) => Some(SeenBy { owner: None, companies: vec![*company] }),
            Who::Guest | Who::Key { .. } | Who::ManagerKey { .. } | Who::System => {
                return Err(caller.denied("Seats are handed out by whoever bought them, managers of their company, and operators."));
            }
        };
        let Pool { company, order, sales_order, product } = *pool;
        Ok((field, TokenFilter { company, order, sales_order, product, seen_by, status: None }))
    }

    /// Hands an unused seat to another learner. The code that somebody may have is dead then, and the seat has a fresh one.
    ///
    /// # Errors
    /// As for [`App::token_revoke`]; an address or name that is none.
    pub async fn token_transfer(&self, caller: &Caller, id: TokenId, learner: &Assignee) -> Result<TokenView> {
        caller.require_sign_in()?;
        let person = self.assignee(learner).map_err(|refusal| refusal.under(["learner"]))?;
        self.replace_code(caller, id, "tokenTransfer", Some(person)).await
    }

    /// Voids an unused code and issues a fresh one for its seat: for the company's managers, whoever bought it, and operators.
    ///
    /// # Errors
    /// NOT_FOUND for everybody else; TOKEN_USED, TOKEN_VOID, TOKEN_EXPIRED.
    pub async fn token_revoke(&self, caller: &Caller, id: TokenId) -> Result<TokenView> {
        caller.require_sign_in()?;
        self.replace_code(caller, id, "tokenRevoke", None).await
    }

    /// Takes an unused seat from whoever has its code, and gives it to somebody else or to nobody.
    async fn replace_code(&self, caller: &Caller, id: TokenId, operation: &'static str, to: Option<NewPerson>) -> Result<TokenView> {
        let now = self.now();
        let known = store::token::by_ids(self.db.read(), &[id]).await?.pop();
        let known = known.filter(|token| hands_out(caller, token)).ok_or_else(|| Error::not_found("tokenId", "token"))?;
        let txn = self.db.begin().await?;
        // As for redeeming: refunds take the order first, then its tokens.
        hold_sold(&txn, &known).await?;
        // Looked at under that lock, and the update below counts all the same: whoever redeems the seat at this instant was first or is late.
        let token = store::token::by_ids(&txn, &[id]).await?.pop().ok_or_else(|| internal!("{id} is gone"))?;
        let refused = |refusal: TokenRefusal| Refusal::from(refusal).under(["tokenId"]);
        let stands = status(token.status, token.ends_at, now);
        revoke(stands).map_err(refused)?;
        if let Some(person) = &to {
            store::person::insert(&txn, std::slice::from_ref(person), now).await?;
            if transfer(stands).map_err(refused)? == HandOver::Assign {
                if !store::token::assign(&txn, id, person.id, &person.email_hash, now).await? {
                    return Err(refused(TokenRefusal::Used).into());
                }
                let (old, new) = (json!({ "status": token.status }), json!({ "assignedTo": person.id }));
                self.audit(&txn, caller, operation, object(&token), Some(old), Some(new)).await?;
                self.mail_handovers(&txn, &[handed(id, person, token.company)]).await?;
                txn.commit().await?;
                self.woken();
                return self.token_view(caller, id).await;
            }
        }
        if store::token::void(&txn, &[id], store::token::FRESH_CODE, now).await? == 0 {
            return Err(refused(TokenRefusal::Used).into());
        }
        let fresh = self.new_token(Token {
            id: entropy::next_id(),
            issue: token.issue + 1,
            // Whoever the old code was handed to does not have the fresh one.
            status: if to.is_some() { TokenStatus::Assigned } else { TokenStatus::Free },
            assigned_to: to.as_ref().map(|person| person.id),
            assigned_hash: to.as_ref().map(|person| person.email_hash.clone()),
            created_at: now,
            touched_at: now,
            ..token.clone()
        })?;
        if store::token::insert(&txn, std::slice::from_ref(&fresh)).await? != 1 {
            return Err(internal!("the seat of {id} has a later code already"));
        }
        let (old, new) = (json!({ "status": token.status }), json!({ "fresh": fresh.id, "seat": fresh.seat }));
        self.audit(&txn, caller, operation, object(&token), Some(old), Some(new)).await?;
        if let Some(person) = &to {
            self.mail_handovers(&txn, &[handed(fresh.id, person, token.company)]).await?;
        }
        txn.commit().await?;
        self.woken();
        self.token_view(caller, fresh.id).await
    }

    /// A page of tokens, the oldest first: for operators all, else those that the caller bought and those of companies that it manages. Of one
    /// company, order, sales order or product, if that is named.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn tokens(
        &self,
        caller: &Caller,
        of: Pool,
        wanted: Option<TokenStatus>,
        args: &PageArgs<(Key, Uuid)>,
        total: bool,
    ) -> Result<Page<TokenView>> {
        let scope = Topic::Learning.read();
        let Pool { company, order, sales_order, product } = of;
        let named = company.is_some() || order.is_some() || sales_order.is_some();
        let seen_by = if caller.may(scope) {
            None
        } else {
            let companies = match &caller.who {
                Who::Account { manages, .. } => manages.clone(),
                // A program has no tokens of its own: it says whose it wants.
                Who::ManagerKey { company: own, .. } if caller.may_for(scope, *own) && named => vec![*own],
                Who::Guest | Who::Key { .. } | Who::ManagerKey { .. } | Who::System => {
                    return Err(caller.denied("Tokens are listed for those who bought them, managers of the company named, and operators."));
                }
            };
            Some(SeenBy { owner: caller.account(), companies })
        };
        let now = self.now();
        let filter = TokenFilter { company, order, sales_order, product, seen_by, status: wanted };
        let page = store::token::list(self.db.read(), &filter, now, args, total).await?;
        let (has_next, has_previous, total) = (page.has_next, page.has_previous, page.total);
        let rows = self.viewed(caller, page.rows, now).await?;
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
        let found = store::token::by_ids(self.db.read(), ids).await?.into_iter().filter(seen).collect();
        Ok(self.viewed(caller, found, now).await?.into_iter().map(|view| (view.token.id, view)).collect())
    }

    async fn token_view(&self, caller: &Caller, id: TokenId) -> Result<TokenView> {
        self.token_views(caller, &[id]).await?.pop().ok_or_else(|| internal!("{id} is gone"))
    }

    /// These tokens, in this order.
    async fn token_views(&self, caller: &Caller, ids: &[TokenId]) -> Result<Vec<TokenView>> {
        let mut found = store::token::by_ids(self.db.read(), ids).await?;
        let place: HashMap<TokenId, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        found.sort_by_key(|token| place.get(&token.id).copied());
        self.viewed(caller, found, self.now()).await
    }

    async fn viewed(&self, caller: &Caller, tokens: Vec<Token>, now: DateTime<Utc>) -> Result<Vec<TokenView>> {
        let named = tokens.iter().filter(|token| hands_out(caller, token)).filter_map(|token| token.assigned_to);
        let named: Vec<PersonId> = named.collect();
        let persons: HashMap<PersonId, Person> = match named.is_empty() {
            true => HashMap::new(),
            false => store::person::by_ids(self.db.read(), &named).await?.into_iter().map(|person| (person.id, person)).collect(),
        };
        let view = |token: Token| {
            let code = hands_out(caller, &token).then(|| self.code_of(&token)).transpose()?;
            let assigned_to = token.assigned_to.and_then(|person| persons.get(&person).cloned());
            Ok(TokenView { status: status(token.status, token.ends_at, now), code, assigned_to, token })
        };
        tokens.into_iter().map(view).collect()
    }
}

/// Holds what sold a seat against whoever takes it for a refund.
async fn hold_sold(txn: &DatabaseTransaction, token: &Token) -> Result<()> {
    if let Some(order) = token.order {
        store::token::hold_order(txn, order).await?;
    }
    if let Some(order) = token.sales_order {
        store::sales_order::hold(txn, order).await?;
    }
    Ok(())
}

/// The mail that hands a seat over.
fn handed(token: TokenId, to: &NewPerson, company: Option<CompanyId>) -> Handover {
    Handover { token, to: to.email.clone(), name: to.name.clone(), company }
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
