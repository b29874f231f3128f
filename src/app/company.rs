//! Companies: created and changed by operators; their people named by their managers.

use std::collections::HashMap;

use chrono_tz::Tz;
use domain::company::{CompanyType, MemberRole, MemberVia, Storefront, check_type_unchanged};
use domain::person::country_code;
use domain::royalty::Originator;
use domain::sales_order::{MAX_OVERAGE, TokensOn};
use domain::terms::MAX_DAYS;
use domain::text::{self, Email, Key as CompanyKey};
use domain::{AccountId, CompanyId};
use sea_orm::DatabaseTransaction;
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Scope, Topic, Who};
use super::{App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::account::NewAccount;
use crate::store::page::Key;
use crate::store::person::NewPerson;

pub use crate::store::company::{Company, CompanyFilter, Member};

/// Most e-mail domains of a company.
pub const MAX_DOMAINS: usize = 100;
/// Most people named in one call.
pub const MAX_MEMBERS: usize = 1_000;

/// A company to be created.
#[derive(Debug, Clone)]
pub struct CompanyCreate {
    /// Its key; made from the name unless given.
    pub key: Option<String>,
    /// Its name.
    pub name: String,
    /// How it buys.
    pub company_type: CompanyType,
    /// Whether it makes sales; yes unless given.
    pub enabled: Option<bool>,
    /// Its zone; the shop's unless given.
    pub time_zone: Option<String>,
    /// Who sees its offers; by its type unless given.
    pub storefront: Option<Storefront>,
    /// E-mail domains whose verified people are members.
    pub email_domains: Vec<String>,
    /// Days after a result from which learners may register again; never unless given.
    pub reregistration_days: Option<i64>,
    /// Code of its country.
    pub country: Option<String>,
    /// Whether sales through it are free of tax.
    pub tax_exempt: bool,
    /// Who counts as having made its retail sales; the company unless given.
    pub originator: Option<Originator>,
    /// When the seats of its sales orders are given; as the shop says unless given.
    pub tokens_on: Option<TokensOn>,
    /// How many seats it may take beyond those that it bought; none unless given.
    pub overage_limit: Option<i64>,
}

/// What is to change of a company; absent = stays.
#[derive(Debug, Clone)]
pub struct CompanyUpdate {
    /// The company.
    pub id: CompanyId,
    /// Its key.
    pub key: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its type, which is refused if it is another one.
    pub company_type: Option<CompanyType>,
    /// Whether it makes sales.
    pub enabled: Option<bool>,
    /// Its zone; `Some(None)` = the shop's.
    pub time_zone: Option<Option<String>>,
    /// Who sees its offers.
    pub storefront: Option<Storefront>,
    /// E-mail domains whose verified people are members.
    pub email_domains: Option<Vec<String>>,
    /// Days after a result from which learners may register again; `Some(None)` = never.
    pub reregistration_days: Option<Option<i64>>,
    /// Code of its country; `Some(None)` = not known.
    pub country: Option<Option<String>>,
    /// Whether sales through it are free of tax.
    pub tax_exempt: Option<bool>,
    /// Who counts as having made its retail sales.
    pub originator: Option<Originator>,
    /// When the seats of its sales orders are given; `Some(None)` = as the shop says.
    pub tokens_on: Option<Option<TokensOn>>,
    /// How many seats it may take beyond those that it bought; `Some(None)` = none.
    pub overage_limit: Option<Option<i64>>,
}

/// Somebody who is to be in a company, or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberName {
    /// This account.
    Account(AccountId),
    /// The account of this e-mail; one that has none yet gets one.
    Email(Email),
}

/// Who is to be what in a company; whoever is not named stays as they are.
#[derive(Debug, Clone)]
pub struct CompanyMembersSet {
    /// The company.
    pub id: CompanyId,
    /// Who is to be a manager.
    pub managers: Vec<MemberName>,
    /// Who is to be a learner.
    pub learners: Vec<MemberName>,
    /// Who is to leave.
    pub remove: Vec<MemberName>,
}

impl App {
    /// Whether this caller may do what `scope` is for with a company: an operator or key with the scope, or the company's own manager.
    ///
    /// # Errors
    /// For somebody who may do so with no company at all: [`Error::Unauthenticated`] or [`Error::Forbidden`]. For a manager of another company:
    /// there is no such company, at `field`.
    pub fn require_for(&self, caller: &Caller, scope: Scope, company: Option<CompanyId>, field: &str) -> Result<CompanyId> {
        may_for_some(caller, scope)?;
        company.filter(|company| caller.may_for(scope, *company)).ok_or_else(|| Error::not_found(field, "company"))
    }

    /// The same where the company follows from something else that the input names: lets nobody pass who may do so with no company at all.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] or [`Error::Forbidden`].
    pub fn require_some_company(&self, caller: &Caller, scope: Scope) -> Result<()> {
        may_for_some(caller, scope)
    }

    /// Creates a company.
    ///
    /// # Errors
    /// Not for this caller; [`Code::KeyTaken`]; a key, name, zone or domain that is none.
    pub async fn company_create(&self, caller: &Caller, cmd: CompanyCreate) -> Result<Company> {
        caller.require(Topic::Companies.write())?;
        let (id, now) = (entropy::next_id(), self.now());
        let mut faults = Faults::default();
        let derived = cmd.key.is_none();
        let key = match &cmd.key {
            Some(key) => faults.at("key", CompanyKey::parse(key)),
            None => Some(CompanyKey::derive(&cmd.name).unwrap_or_else(|| CompanyKey::from_id(id))),
        };
        let name = faults.at("name", text::name(&cmd.name));
        let time_zone = cmd.time_zone.as_deref().map(|zone| faults.at("timeZone", parse_zone(zone)));
        let email_domains = domains(&mut faults, &cmd.email_domains);
        let reregistration_days = cmd.reregistration_days.and_then(|days| faults.at("reregistrationDays", check_days(days)));
        let country = cmd.country.and_then(|country| faults.of(country_code(&country)));
        let overage_limit = cmd.overage_limit.and_then(|limit| faults.at("overageLimit", check_limit(limit)));
        faults.check()?;
        let (Some(key), Some(name)) = (key, name) else { return Err(crate::internal!("a checked company lacks a part")) };
        let mut company = Company {
            id,
            key: key.as_str().to_owned(),
            name,
            company_type: cmd.company_type,
            enabled: cmd.enabled.unwrap_or(true),
            time_zone: time_zone.flatten(),
            storefront: cmd.storefront.unwrap_or(cmd.company_type.default_storefront()),
            email_domains,
            reregistration_days,
            country,
            tax_exempt: cmd.tax_exempt,
            originator: cmd.originator.unwrap_or(Originator::Company),
            credit_limit: None,
            tokens_on: cmd.tokens_on,
            overage_limit,
            created_at: now,
            touched_at: now,
            archived_at: None,
        };
        let txn = self.db.begin().await?;
        let mut inserted = store::company::insert(&txn, &company).await?;
        if !inserted && derived {
            company.key = CompanyKey::from_id(id).as_str().to_owned();
            inserted = store::company::insert(&txn, &company).await?;
        }
        if !inserted {
            return Err(key_taken(&company.key));
        }
        let object = Object::new("company", id.uuid()).of_company(id.uuid());
        self.audit(&txn, caller, "companyCreate", object, None, Some(json!(company))).await?;
        txn.commit().await?;
        Ok(company)
    }

    /// Changes a company.
    ///
    /// # Errors
    /// Not for this caller; no such company, or an archived one; [`Code::CompanyTypeFixed`]; [`Code::KeyTaken`]; parts that are none.
    pub async fn company_update(&self, caller: &Caller, cmd: CompanyUpdate) -> Result<Company> {
        caller.require(Topic::Companies.write())?;
        let txn = self.db.begin().await?;
        let held = self.live_company(&txn, cmd.id, "id").await?;
        let mut faults = Faults::default();
        if let Some(wanted) = cmd.company_type {
            faults.of(check_type_unchanged(held.company_type, wanted));
        }
        let key = cmd.key.map(|key| faults.at("key", CompanyKey::parse(&key)));
        let name = cmd.name.map(|name| faults.at("name", text::name(&name)));
        let time_zone = cmd.time_zone.map(|zone| zone.as_deref().map(|zone| faults.at("timeZone", parse_zone(zone))));
        let email_domains = cmd.email_domains.map(|given| domains(&mut faults, &given));
        let days = cmd.reregistration_days.map(|days| days.and_then(|days| faults.at("reregistrationDays", check_days(days))));
        let country = cmd.country.map(|country| country.and_then(|country| faults.of(country_code(&country))));
        let limit = cmd.overage_limit.map(|limit| limit.and_then(|limit| faults.at("overageLimit", check_limit(limit))));
        faults.check()?;
        let mut company = held.clone();
        if let Some(key) = key.flatten() {
            company.key = key.as_str().to_owned();
        }
        company.name = name.flatten().unwrap_or(company.name);
        company.enabled = cmd.enabled.unwrap_or(company.enabled);
        company.storefront = cmd.storefront.unwrap_or(company.storefront);
        company.email_domains = email_domains.unwrap_or(company.email_domains);
        company.reregistration_days = days.unwrap_or(company.reregistration_days);
        company.country = country.unwrap_or(company.country);
        company.tax_exempt = cmd.tax_exempt.unwrap_or(company.tax_exempt);
        company.originator = cmd.originator.unwrap_or(company.originator);
        company.tokens_on = cmd.tokens_on.unwrap_or(company.tokens_on);
        company.overage_limit = limit.unwrap_or(company.overage_limit);
        if let Some(zone) = time_zone {
            company.time_zone = zone.flatten();
        }
        if company != held {
            company.touched_at = self.now();
            if !store::company::update(&txn, &company).await? {
                return Err(key_taken(&company.key));
            }
            let object = Object::new("company", cmd.id.uuid()).of_company(cmd.id.uuid());
            self.audit(&txn, caller, "companyUpdate", object, Some(json!(held)), Some(json!(company))).await?;
        }
        txn.commit().await?;
        Ok(company)
    }

    /// Archives a company: it makes no sales and its managers have no rights any more; running access goes on. Again, it changes nothing.
    ///
    /// # Errors
    /// Not for this caller; no such company.
    pub async fn company_archive(&self, caller: &Caller, id: CompanyId) -> Result<Company> {
        caller.require(Topic::Companies.write())?;
        let txn = self.db.begin().await?;
        let mut company = store::company::lock(&txn, id).await?.ok_or_else(|| Error::not_found("id", "company"))?;
        if company.archived_at.is_none() {
            let (held, now) = (json!(company), self.now());
            (company.archived_at, company.touched_at) = (Some(now), now);
            store::company::update(&txn, &company).await?;
            let object = Object::new("company", id.uuid()).of_company(id.uuid());
            self.audit(&txn, caller, "companyArchive", object, Some(held), Some(json!(company))).await?;
        }
        txn.commit().await?;
        Ok(company)
    }

    /// The company, held to the end of the transaction, if it may be changed.
    pub(super) async fn live_company(&self, txn: &DatabaseTransaction, id: CompanyId, field: &str) -> Result<Company> {
        let company = store::company::lock(txn, id).await?.ok_or_else(|| Error::not_found(field, "company"))?;
        match company.archived_at {
            None => Ok(company),
            Some(_) => {
                Err(Refusal::at(Code::Archived, [field], "This company is archived and does not change any more; create another one.")
                    .into())
            }
        }
    }

    /// A company, for operators and for its own managers. `None`: there is none, or it is not this caller's.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn company(&self, caller: &Caller, id: Option<CompanyId>) -> Result<Option<Company>> {
        self.seen_company(caller, Topic::Companies.read(), id).await
    }

    /// The company, if this caller may do what `scope` is for with it.
    ///
    /// # Errors
    /// Not for this caller, whatever the company.
    pub(super) async fn seen_company(&self, caller: &Caller, scope: Scope, id: Option<CompanyId>) -> Result<Option<Company>> {
        may_for_some(caller, scope)?;
        match id.filter(|id| caller.may_for(scope, *id)) {
            Some(id) => Ok(store::company::find(self.db.read(), id).await?),
            None => Ok(None),
        }
    }

    /// The companies that somebody is a member of, by name; archived ones are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn companies_of(&self, account: AccountId) -> Result<Vec<Company>> {
        let ids = store::company::companies_of(self.db.read(), account, None).await?;
        let mut companies = store::company::companies(self.db.read(), &ids).await?;
        companies.retain(|company| company.archived_at.is_none());
        companies.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
        Ok(companies)
    }

    /// The companies with these ids that this caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn companies_by_id(&self, caller: &Caller, ids: &[CompanyId]) -> Result<HashMap<CompanyId, Company>> {
        let seen: Vec<CompanyId> = ids.iter().copied().filter(|id| caller.may_for(Topic::Companies.read(), *id)).collect();
        Ok(store::company::companies(self.db.read(), &seen).await?.into_iter().map(|company| (company.id, company)).collect())
    }

    /// A page of companies, the newest first.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn companies(
        &self,
        caller: &Caller,
        filter: &CompanyFilter,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Company>> {
        caller.require(Topic::Companies.read())?;
        Ok(store::company::company_page(self.db.read(), filter, args, with_total).await?)
    }

    /// A page of the people whom a manager or a token made part of a company. `None`: there is no such company for this caller.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn company_members(
        &self,
        caller: &Caller,
        company: Option<CompanyId>,
        args: &PageArgs<Uuid>,
        with_total: bool,
    ) -> Result<Option<Page<Member>>> {
        let Some(company) = self.seen_company(caller, Topic::Companies.read(), company).await? else { return Ok(None) };
        Ok(Some(store::company::member_page(self.db.read(), company.id, args, with_total).await?))
    }

    /// Names a company's managers and learners, and takes people out; all or nothing. An e-mail without an account gets one, unverified.
    ///
    /// # Errors
    /// Not for this caller; no such company; every name that is none, stands twice, or is of no account.
    pub async fn company_members_set(&self, caller: &Caller, cmd: CompanyMembersSet) -> Result<Company> {
        self.require_for(caller, Topic::Companies.write(), Some(cmd.id), "companyId")?;
        let wishes: Vec<(&str, usize, &MemberName, Option<MemberRole>)> = [
            ("managers", &cmd.managers, Some(MemberRole::Manager)),
            ("learners", &cmd.learners, Some(MemberRole::Learner)),
            ("remove", &cmd.remove, None),
        ]
        .into_iter()
        .flat_map(|(list, names, role)| names.iter().enumerate().map(move |(place, name)| (list, place, name, role)))
        .collect();
        if wishes.len() > MAX_MEMBERS {
            let message = format!("{} people are too many; name at most {MAX_MEMBERS} at once.", wishes.len());
            return Err(Refusal::new(Code::TooLong, message).into());
        }
        let now = self.now();
        let txn = self.db.begin().await?;
        let company = self.live_company(&txn, cmd.id, "companyId").await?;
        let mut emails: Vec<(&Email, bool)> = wishes
            .iter()
            .filter_map(|(_, _, name, role)| match name {
                MemberName::Email(email) => Some((email, role.is_some())),
                MemberName::Account(_) => None,
            })
            .collect();
        emails.sort_by(|one, other| one.0.normalised().cmp(other.0.normalised()));
        emails.dedup_by(|one, other| one.0 == other.0);
        let (by_email, made) = self.member_accounts(&txn, &emails).await?;
        let ids: Vec<AccountId> = wishes
            .iter()
            .filter_map(|(_, _, name, _)| match name {
                MemberName::Account(id) => Some(*id),
                MemberName::Email(_) => None,
            })
            .collect();
        let known = store::group::known_accounts(&txn, &ids).await?;
        let mut faults = Faults::default();
        let mut places: HashMap<AccountId, (&str, usize)> = HashMap::new();
        let (mut set, mut removed) = (Vec::new(), Vec::new());
        for (list, place, name, role) in &wishes {
            let path = [(*list).to_owned(), place.to_string()];
            let account = match name {
                MemberName::Account(id) => known.contains(id).then_some(*id),
                MemberName::Email(email) => match by_email.get(email) {
                    Some(found) => Some(*found),
                    // Who has no account is in no company, so there is nothing to take them out of.
                    None => continue,
                },
            };
            let Some(account) = account else {
                faults.add(Refusal::at(Code::NotFound, path, "There is no such account; check the id, or name the person by e-mail."));
                continue;
            };
            if let Some((list, place)) = places.insert(account, (list, *place)) {
                let message = format!("This person stands in {list} at place {place} already; name everybody once.");
                faults.add(Refusal::at(Code::Repeated, path, message));
                continue;
            }
            match role {
                Some(role) => set.push((account, *role)),
                None => removed.push(account),
            }
        }
        faults.check()?;
        let everybody: Vec<AccountId> = places.into_keys().collect();
        let old = store::company::roles(&txn, cmd.id, &everybody).await?;
        set.retain(|(account, role)| old.get(account) != Some(role));
        removed.retain(|account| old.contains_key(account));
        if !set.is_empty() || !removed.is_empty() {
            store::company::set_members(&txn, cmd.id, &set, MemberVia::Manager, now).await?;
            store::company::remove_members(&txn, cmd.id, &removed).await?;
            let changed = set.iter().map(|(account, _)| account).chain(&removed);
            let old: HashMap<String, Option<MemberRole>> =
                changed.map(|account| (account.to_string(), old.get(account).copied())).collect();
            let new: HashMap<String, Option<MemberRole>> = set
                .iter()
                .map(|(account, role)| (account.to_string(), Some(*role)))
                .chain(removed.iter().map(|account| (account.to_string(), None)))
                .collect();
            let object = Object::new("company", cmd.id.uuid()).of_company(cmd.id.uuid());
            self.audit(&txn, caller, "companyMembersSet", object, Some(json!(old)), Some(json!(new))).await?;
        }
        self.mail_invitations(&txn, cmd.id, &made).await?;
        txn.commit().await?;
        self.woken();
        Ok(company)
    }

    /// The accounts of these addresses, and those that were made. An address without one gets one where that is asked for: unverified, without
    /// a password, so that its owner comes in by a mailed link only.
    async fn member_accounts(
        &self,
        txn: &DatabaseTransaction,
        emails: &[(&Email, bool)],
    ) -> Result<(HashMap<Email, AccountId>, Vec<(AccountId, Email)>)> {
        let mut made = Vec::new();
        let hashed: Vec<(String, &Email, bool)> = emails.iter().map(|(email, make)| (self.email_hash(email), *email, *make)).collect();
        let hashes: Vec<String> = hashed.iter().map(|(hash, _, _)| hash.clone()).collect();
        let mut found = store::group::accounts_by_email(txn, &hashes).await?;
        let missing = hashed.iter().filter(|(hash, _, make)| *make && !found.contains_key(hash));
        let persons: Vec<NewPerson> = missing.map(|(_, email, _)| self.person_version(email, None, None)).collect();
        if !persons.is_empty() {
            let accounts: Vec<NewAccount> = persons
                .iter()
                .map(|person| NewAccount {
                    id: entropy::next_id(),
                    person: person.id,
                    email_hash: person.email_hash.clone(),
                    email_domain: person.email.domain().to_owned(),
                    password_hash: None,
                    operator: None,
                })
                .collect();
            self.person_write(txn, &persons).await?;
            store::account::insert_all(txn, &accounts, self.now()).await?;
            // Somebody else may have made one of them at the same time, and then theirs counts.
            found = store::group::accounts_by_email(txn, &hashes).await?;
            let ours = accounts.iter().zip(&persons).filter(|(account, _)| found.get(&account.email_hash) == Some(&account.id));
            made = ours.map(|(account, person)| (account.id, person.email.clone())).collect();
        }
        let by_email = hashed.into_iter().filter_map(|(hash, email, _)| found.get(&hash).map(|account| (email.clone(), *account)));
        Ok((by_email.collect(), made))
    }
}

/// The place of a company in the list of companies.
pub fn key(company: &Company) -> Key {
    Key::At(company.created_at)
}

/// Lets everybody pass who may do what `scope` is for with some company.
/// Whether the caller may do what `scope` is for with any company at all.
pub(super) fn may_for_some(caller: &Caller, scope: Scope) -> Result<()> {
    let manages = match &caller.who {
        Who::ManagerKey { scopes, .. } => scopes.allow(scope),
        _ => caller.is_manager(),
    };
    if caller.may(scope) || manages {
        Ok(())
    } else {
        Err(caller.denied(&format!("This needs a manager of the company, or an operator or key with the scope {scope}.")))
    }
}

fn check_limit(limit: i64) -> Result<u32, Refusal> {
    u32::try_from(limit).ok().filter(|limit| *limit <= MAX_OVERAGE).ok_or_else(|| {
        let message = format!("{limit} seats are out of range; give 0 to {MAX_OVERAGE}, or null for none.");
        Refusal::new(Code::Invalid, message)
    })
}

fn check_days(days: i64) -> Result<u32, Refusal> {
    u32::try_from(days)
        .ok()
        .filter(|days| *days <= MAX_DAYS)
        .ok_or_else(|| Refusal::new(Code::Invalid, format!("Give 0 to {MAX_DAYS} days, or null so that nobody registers again.")))
}

fn parse_zone(zone: &str) -> Result<Tz, Refusal> {
    zone.trim().parse().map_err(|_| {
        let given: String = zone.chars().take(40).collect();
        Refusal::new(Code::Invalid, format!("{given:?} is no IANA time zone; write one such as Europe/Vienna or UTC."))
    })
}

fn domains(faults: &mut Faults, given: &[String]) -> Vec<String> {
    if given.len() > MAX_DOMAINS {
        faults.add(Refusal::at(Code::TooLong, ["emailDomains"], format!("Give at most {MAX_DOMAINS} domains.")));
        return Vec::new();
    }
    let mut found: Vec<String> = Vec::with_capacity(given.len());
    for (place, domain) in given.iter().enumerate() {
        match Email::parse_domain(domain) {
            Ok(domain) if !found.contains(&domain) => found.push(domain),
            Ok(_) => {}
            Err(reason) => faults.add(Refusal::from(reason).under(["emailDomains".to_owned(), place.to_string()])),
        }
    }
    found
}

fn key_taken(key: &str) -> Error {
    Error::refused(Code::KeyTaken, ["key"], format!("The key {key} belongs to another company; choose another one."))
}
