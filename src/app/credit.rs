//! Credits: granted and taken away by hand, shown to those who hold them and to operators, let to learners by companies, ended when their time
//! is over.
//!
//! Always true here: what somebody can spend is read from lots that are not over at this instant, so that nothing hangs on the job that books
//! their ends.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::credit::{Allowance, Cause, Holdings, MAX_GRANT, Owner, OwnerKind, Source, SourceKind};
use domain::text;
use domain::window::check_instant;
use domain::{AccountId, CompanyId, CreditEntryId, LotId, ProductId};
use sea_orm::DatabaseTransaction;
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::company::Company;
use super::payment::Ran;
use super::{Answer, App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::credit::{Move, NewLot};
use crate::store::idempotency::Scope;
use crate::store::page::Key;

pub use crate::store::credit::{Entry, LotRow};

/// The one job that books the ends of lots, again and again.
pub(super) const EXPIRE_JOB: Uuid = Uuid::from_u128(0x6372_6564_0000_7000_8000_0000_0000_0001);
/// How often it looks.
const ROUND: TimeDelta = TimeDelta::hours(1);
/// Owners whose lots are ended in one transaction.
const OWNERS: u64 = 100;

/// Credits to be granted by hand.
#[derive(Debug, Clone)]
pub struct CreditGrant {
    /// Who gets them.
    pub owner: Owner,
    /// How many.
    pub count: i64,
    /// From when on they count for nothing; never unless given.
    pub expires_at: Option<DateTime<Utc>>,
    /// The product for whose courses alone they pay.
    pub tied: Option<ProductId>,
    /// Why.
    pub reason: String,
    /// Key of this request.
    pub idempotency_key: String,
}

/// Whose credits are to be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeOf {
    /// Those of one lot.
    Lot(LotId),
    /// An owner's, those first that would be spent first.
    Owner(Owner),
}

/// Credits to be taken away by hand.
#[derive(Debug, Clone)]
pub struct CreditRevoke {
    /// Whose.
    pub of: RevokeOf,
    /// How many; all that are left unless given.
    pub count: Option<i64>,
    /// Why.
    pub reason: String,
    /// Key of this request.
    pub idempotency_key: String,
}

/// What a company lets a learner spend.
#[derive(Debug, Clone)]
pub struct CompanyPurse {
    /// The company.
    pub company: Company,
    /// How much of its credits the learner may spend, and has spent.
    pub allowance: Allowance,
    /// What the company holds.
    pub balance: i64,
}

impl App {
    /// Grants credits by hand.
    ///
    /// # Errors
    /// Needs the scope `credits:write`; nobody to give them to; a number, end, product or reason that is none.
    pub async fn credit_grant(&self, caller: &Caller, cmd: CreditGrant) -> Result<Answer<LotRow>> {
        caller.require(Topic::Credits.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let count = faults.at("count", check_count(cmd.count));
        let reason = faults.at("reason", text::line("reason", &cmd.reason, text::MAX_TITLE));
        let expires_at = cmd.expires_at.map(|end| faults.at("expiresAt", check_end(end, now)));
        faults.check()?;
        let (Some(count), Some(reason)) = (count, reason) else { return Err(internal!("a checked grant lacks a part")) };
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "creditGrant", key: &cmd.idempotency_key };
        let input = json!({
            "owner": cmd.owner.uuid(), "count": count, "expiresAt": cmd.expires_at, "tied": cmd.tied, "reason": reason,
        });
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &input).await? {
            txn.commit().await?;
            return Ok(Answer { value: self.lot(serde_json::from_value(earlier)?).await?, replayed: true });
        }
        self.may_hold(&txn, cmd.owner).await?;
        if let Some(tied) = cmd.tied
            && store::product::products(&txn, &[tied]).await?.is_empty()
        {
            return Err(Error::not_found("tiedToProductId", "product"));
        }
        let id: LotId = entropy::next_id();
        let new = NewLot { id, owner: cmd.owner, count, expires_at: expires_at.flatten(), product: cmd.tied, tied: cmd.tied };
        let by = by_hand(&actor, Cause::Granted, id.uuid(), &reason, now);
        store::credit::grant(&txn, &new, &by).await?;
        let told = json!({ "lot": id, "count": count, "expiresAt": new.expires_at, "tied": cmd.tied, "reason": reason });
        self.audit(&txn, caller, "creditGrant", object(cmd.owner), None, Some(told)).await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(id)?).await?;
        txn.commit().await?;
        Ok(Answer { value: self.lot(id).await?, replayed: false })
    }

    /// Takes credits away by hand. What is spent stays spent.
    ///
    /// # Errors
    /// Needs the scope `credits:write`; no such lot or owner; [`Code::TooFewCredits`], and then nothing is taken; a number or reason that is none.
    pub async fn credit_revoke(&self, caller: &Caller, cmd: CreditRevoke) -> Result<Answer<Entry>> {
        caller.require(Topic::Credits.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let reason = faults.at("reason", text::line("reason", &cmd.reason, text::MAX_TITLE));
        if let Some(count) = cmd.count {
            faults.at("count", check_count(count));
        }
        faults.check()?;
        let Some(reason) = reason else { return Err(internal!("a checked revocation lacks a part")) };
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "creditRevoke", key: &cmd.idempotency_key };
        let of = match cmd.of {
            RevokeOf::Lot(lot) => lot.uuid(),
            RevokeOf::Owner(owner) => owner.uuid(),
        };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "of": of, "count": cmd.count, "reason": reason })).await? {
            txn.commit().await?;
            return Ok(Answer { value: self.entry(serde_json::from_value(earlier)?).await?, replayed: true });
        }
        let (owner, lot) = match cmd.of {
            RevokeOf::Owner(owner) => (owner, None),
            RevokeOf::Lot(id) => {
                let found = store::credit::by_ids(&txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("lotId", "lot of credits"))?;
                (found.owner, Some(id))
            }
        };
        if lot.is_none() {
            self.knows(&txn, owner).await?;
        }
        let id = entropy::next_uuid();
        let by = by_hand(&actor, Cause::Revoked, id, &reason, now);
        let draws = store::credit::revoke(&txn, owner, lot, cmd.count, &by).await?.map_err(|short| {
            let left = if short.held == 0 { "none are left".to_owned() } else { format!("{} are left", short.held) };
            Error::refused(
                Code::TooFewCredits,
                ["count"],
                format!("Of these credits {left}; what was spent or has ended cannot be taken away."),
            )
        })?;
        let told = json!({
            "count": draws.iter().map(|draw| draw.count).sum::<i64>(), "reason": reason,
            "lots": draws.iter().map(|draw| json!({ "lot": draw.lot, "count": draw.count })).collect::<Vec<_>>(),
        });
        self.audit(&txn, caller, "creditRevoke", object(owner), None, Some(told)).await?;
        let entry = store::credit::entry_by_source(&txn, by.source).await?.ok_or_else(|| internal!("an entry that was written is gone"))?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(entry.id)?).await?;
        txn.commit().await?;
        Ok(Answer { value: entry, replayed: false })
    }

    /// Says how much of its credits each of a company's learners may spend; none of them may unless that is said.
    ///
    /// # Errors
    /// Not for this caller; no such company, or an archived one; a limit that is none.
    pub async fn company_credit_limit_set(&self, caller: &Caller, id: CompanyId, limit: Option<i64>) -> Result<Company> {
        if let Some(limit) = limit.filter(|limit| !(0..=MAX_GRANT).contains(limit)) {
            let message = format!("{limit} is out of range; give 0 to {MAX_GRANT} credits, or null so that learners spend none.");
            return Err(Error::refused(Code::Invalid, ["limit"], message));
        }
        let txn = self.db.begin().await?;
        let held = self.live_company(&txn, id, "companyId").await?;
        let mut company = held.clone();
        company.credit_limit = limit;
        if company != held {
            company.touched_at = self.now();
            store::company::update(&txn, &company).await?;
            let object = Object::new("company", id.uuid()).of_company(id.uuid());
            let (old, new) = (json!({ "creditLimit": held.credit_limit }), json!({ "creditLimit": limit }));
            self.audit(&txn, caller, "companyCreditLimitSet", object, Some(old), Some(new)).await?;
        }
        txn.commit().await?;
        Ok(company)
    }

    /// Somebody whose credits an operator looks at. `None`: there is nobody with this id.
    ///
    /// # Errors
    /// Needs the scope `credits:read`.
    pub async fn credits_of_account(&self, caller: &Caller, id: Option<AccountId>) -> Result<Option<Owner>> {
        caller.require(Topic::Credits.read())?;
        let Some(id) = id else { return Ok(None) };
        Ok(store::account::by_ids(self.db.read(), &[id]).await?.pop().map(|account| Owner::Account(account.id)))
    }

    /// A company whose credits an operator or its own manager looks at. `None`: there is none, or it is not this caller's.
    ///
    /// # Errors
    /// Not for this caller, whatever the company.
    pub async fn credits_of_company(&self, caller: &Caller, id: Option<CompanyId>) -> Result<Option<Owner>> {
        Ok(self.seen_company(caller, Topic::Credits.read(), id).await?.map(|company| Owner::Company(company.id)))
    }

    /// What an owner can spend, and what ends next.
    ///
    /// # Errors
    /// The database's.
    pub async fn credit_holdings(&self, owner: Owner) -> Result<Holdings> {
        Ok(store::credit::holdings(self.db.read(), owner, self.now()).await?)
    }

    /// The lots of an owner, the newest first; with `open` those only that something can be spent of.
    ///
    /// # Errors
    /// The database's.
    pub async fn credit_lots(&self, owner: Owner, open: bool, args: &PageArgs<(Key, Uuid)>, total: bool) -> Result<Page<LotRow>> {
        let db = self.db.reading().await?;
        Ok(store::credit::lot_page(&db, owner, open.then_some(self.now()), args, total).await?)
    }

    /// Those of these lots that the caller may see: anybody's for those who may read credits, a company's for its managers, one's own.
    ///
    /// # Errors
    /// The database's.
    pub async fn credit_lots_by_id(&self, caller: &Caller, ids: &[LotId]) -> Result<HashMap<LotId, LotRow>> {
        let sees = |owner: Owner| match owner {
            Owner::Account(id) => caller.account() == Some(id) || caller.may(Topic::Credits.read()),
            Owner::Company(id) => caller.may_for(Topic::Credits.read(), id),
        };
        let rows = store::credit::lot_rows(self.db.read(), ids).await?;
        Ok(rows.into_iter().filter(|row| sees(row.lot.owner)).map(|row| (row.lot.id, row)).collect())
    }

    /// The entries about an owner's credits, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn credit_entries(&self, owner: Owner, args: &PageArgs<(Key, Uuid)>, total: bool) -> Result<Page<Entry>> {
        let db = self.db.reading().await?;
        Ok(store::credit::entry_page(&db, owner, args, total).await?)
    }

    /// What somebody's companies let them spend, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn company_purses(&self, account: AccountId) -> Result<Vec<CompanyPurse>> {
        let companies = self.companies_of(account).await?;
        let ids: Vec<CompanyId> = companies.iter().map(|company| company.id).collect();
        let db = self.db.reading().await?;
        let allowances = store::credit::allowances(&db, account, &ids).await?;
        if allowances.is_empty() {
            return Ok(Vec::new());
        }
        let owners: Vec<Owner> = allowances.keys().copied().map(Owner::Company).collect();
        let lots = store::credit::open_lots(&db, &owners, self.now()).await?;
        let mut balances: HashMap<CompanyId, i64> = HashMap::new();
        for lot in &lots {
            if let Some(company) = lot.owner.company() {
                *balances.entry(company).or_default() += lot.open(self.now());
            }
        }
        Ok(companies
            .into_iter()
            .filter_map(|company| {
                let (allowance, balance) = (*allowances.get(&company.id)?, balances.get(&company.id).copied().unwrap_or(0));
                Some(CompanyPurse { company, allowance, balance })
            })
            .collect())
    }

    /// Books the ends of lots whose time is over; comes round again and again.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn credits_expire(&self) -> Result<Ran> {
        loop {
            let now = self.now();
            let actor = Caller::system().actor();
            let source = Source { kind: SourceKind::Lot, id: EXPIRE_JOB };
            let by = Move { cause: Cause::Expired, source, actor: &actor, reason: None, now, new_id: entropy::next_uuid };
            let txn = self.db.begin().await?;
            let owners = store::credit::expire(&txn, OWNERS, &by).await?;
            txn.commit().await?;
            if owners == 0 {
                return Ok(Ran::Again(now + ROUND));
            }
        }
    }

    async fn lot(&self, id: LotId) -> Result<LotRow> {
        // Read where it was written: other connections may not see it yet.
        store::credit::lot_rows(self.db.write(), &[id]).await?.pop().ok_or_else(|| internal!("{id} is gone"))
    }

    async fn entry(&self, id: CreditEntryId) -> Result<Entry> {
        store::credit::entry(self.db.write(), id).await?.ok_or_else(|| internal!("{id} is gone"))
    }

    /// Whether there is such an owner.
    async fn knows(&self, txn: &DatabaseTransaction, owner: Owner) -> Result<()> {
        match owner {
            Owner::Account(id) if store::account::by_ids(txn, &[id]).await?.is_empty() => Err(Error::not_found("accountId", "account")),
            Owner::Company(id) if store::company::find(txn, id).await?.is_none() => Err(Error::not_found("companyId", "company")),
            Owner::Account(_) | Owner::Company(_) => Ok(()),
        }
    }

    /// Whether an owner may be given credits: nobody who was erased, no archived company.
    async fn may_hold(&self, txn: &DatabaseTransaction, owner: Owner) -> Result<()> {
        self.knows(txn, owner).await?;
        match owner {
            Owner::Account(id) => match store::account::by_ids(txn, &[id]).await?.pop() {
                Some(account) if account.email().is_some() => Ok(()),
                _ => Err(Error::not_found("accountId", "account")),
            },
            Owner::Company(id) => self.live_company(txn, id, "companyId").await.map(|_| ()),
        }
    }
}

fn by_hand<'a>(actor: &'a str, cause: Cause, id: Uuid, reason: &'a str, now: DateTime<Utc>) -> Move<'a> {
    Move { cause, source: Source { kind: SourceKind::Hand, id }, actor, reason: Some(reason), now, new_id: entropy::next_uuid }
}

fn check_count(count: i64) -> Result<i64, Refusal> {
    if (1..=MAX_GRANT).contains(&count) {
        Ok(count)
    } else {
        Err(Refusal::new(Code::QuantityInvalid, format!("{count} is out of range; give 1 to {MAX_GRANT} credits.")))
    }
}

fn check_end(end: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    let end = check_instant(end).map_err(Refusal::from)?;
    if end > now { Ok(end) } else { Err(Refusal::new(Code::Invalid, "This end is over already; give a later one, or none.")) }
}

fn object(owner: Owner) -> Object {
    match owner.kind() {
        OwnerKind::Account => Object::new("account", owner.uuid()),
        OwnerKind::Company => Object::new("company", owner.uuid()).of_company(owner.uuid()),
    }
}

/// The place of a lot in a list.
pub fn lot_key(row: &LotRow) -> (Key, Uuid) {
    (Key::At(row.lot.granted_at), row.lot.id.uuid())
}

/// The place of an entry in a list.
pub fn entry_key(entry: &Entry) -> (Key, Uuid) {
    (Key::At(entry.happened_at), entry.id.uuid())
}
