//! Companies and their people: rows, lookups, and who is a member.
//!
//! Always true here: whoever changes what a company has (itself, its people, its overrides) holds its row to the end of the transaction.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::company::{CompanyFacts, CompanyType, MemberRole, MemberVia, Storefront};
use domain::royalty::Originator;
use domain::sales_order::TokensOn;
use domain::{AccountId, CompanyId, text};
use entity::{account, company, company_member, person};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType, OnConflict, Query};
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, SqlErr,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::catalog::{Archived, all_known};
use super::page::{Key, Order, page};
use super::{CHUNK, corrupt, known, rows_in, search};
use crate::page::{Page, PageArgs};

/// A company.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Company {
    /// Its id.
    pub id: CompanyId,
    /// Unique short name.
    pub key: String,
    /// Name.
    pub name: String,
    /// How it buys.
    pub company_type: CompanyType,
    /// Whether it makes sales and its managers may sign in.
    pub enabled: bool,
    /// Its zone; the shop's when absent.
    pub time_zone: Option<Tz>,
    /// Who may see its offers.
    pub storefront: Storefront,
    /// E-mail domains whose verified people are members.
    pub email_domains: Vec<String>,
    /// Days after a result from which learners may register for a course again; `None` = never.
    pub reregistration_days: Option<u32>,
    /// ISO 3166 code of its country.
    pub country: Option<String>,
    /// Whether sales through it are free of tax.
    pub tax_exempt: bool,
    /// Who counts as having made its retail sales.
    pub originator: Originator,
    /// How much of its credits each of its learners may spend; `None` = none of them may.
    pub credit_limit: Option<i64>,
    /// When the seats of its sales orders are given; the shop's choice when absent.
    pub tokens_on: Option<TokensOn>,
    /// How many seats it may take beyond those that it bought; `None` = none.
    pub overage_limit: Option<u32>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

impl Company {
    /// What decides whether its learners can buy.
    pub const fn facts(&self) -> CompanyFacts {
        CompanyFacts { company_type: self.company_type, enabled: self.enabled, archived: self.archived_at.is_some() }
    }

    fn of(row: company::Model) -> Result<Self, DbErr> {
        Ok(Self {
            id: CompanyId::new(row.id),
            company_type: known(CompanyType::parse(&row.kind), "company type", &row.kind)?,
            storefront: known(Storefront::parse(&row.storefront), "storefront", &row.storefront)?,
            email_domains: serde_json::from_value(row.email_domains).map_err(corrupt)?,
            reregistration_days: row.reregistration_days.map(u32::try_from).transpose().map_err(corrupt)?,
            country: row.country,
            tax_exempt: row.tax_exempt,
            originator: known(Originator::parse(&row.originator), "originator", &row.originator)?,
            credit_limit: row.credit_limit,
            tokens_on: row.tokens_on.map(|on| known(TokensOn::parse(&on), "moment for tokens", &on)).transpose()?,
            overage_limit: row.overage_limit.map(u32::try_from).transpose().map_err(corrupt)?,
            key: row.key,
            name: row.name,
            enabled: row.enabled,
            time_zone: row.time_zone.map(|zone| known(zone.parse().ok(), "time zone", &zone)).transpose()?,
            created_at: row.created_at,
            touched_at: row.touched_at,
            archived_at: row.archived_at,
        })
    }
}

/// The company, archived or not.
///
/// # Errors
/// The database's.
pub async fn find(db: &impl ConnectionTrait, id: CompanyId) -> Result<Option<Company>, DbErr> {
    company::Entity::find_by_id(id.uuid()).one(db).await?.map(Company::of).transpose()
}

/// The companies with these ids, in no order.
///
/// # Errors
/// The database's.
pub async fn companies(db: &impl ConnectionTrait, ids: &[CompanyId]) -> Result<Vec<Company>, DbErr> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    rows_in::<company::Entity>(db, company::Column::Id, &ids).await?.into_iter().map(Company::of).collect()
}

/// The company, its row held to the end of the transaction. (On SQLite the transaction is exclusive already.)
///
/// # Errors
/// The database's.
pub async fn lock(txn: &impl ConnectionTrait, id: CompanyId) -> Result<Option<Company>, DbErr> {
    let mut select = company::Entity::find_by_id(id.uuid());
    QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
    select.one(txn).await?.map(Company::of).transpose()
}

/// Writes a new company, unless its key is taken; says whether it did.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, new: &Company) -> Result<bool, DbErr> {
    let taken = OnConflict::column(company::Column::KeyFolded).do_nothing().to_owned();
    match company::Entity::insert(row(new)?).on_conflict(taken).exec_without_returning(txn).await {
        Ok(rows) => Ok(rows > 0),
        Err(DbErr::RecordNotInserted) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Writes what changed of a company; `false` if its new key is taken, and then the transaction is to be given up.
///
/// # Errors
/// The database's.
pub async fn update(txn: &impl ConnectionTrait, changed: &Company) -> Result<bool, DbErr> {
    let mut row = row(changed)?;
    row.id = Unchanged(changed.id.uuid());
    match company::Entity::update(row).exec_without_returning(txn).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
        Err(error) => Err(error),
    }
}

fn row(record: &Company) -> Result<company::ActiveModel, DbErr> {
    Ok(company::ActiveModel {
        id: Set(record.id.uuid()),
        key: Set(record.key.clone()),
        key_folded: Set(text::fold(&record.key)),
        name: Set(record.name.clone()),
        kind: Set(record.company_type.name().to_owned()),
        enabled: Set(record.enabled),
        time_zone: Set(record.time_zone.map(|zone| zone.name().to_owned())),
        storefront: Set(record.storefront.name().to_owned()),
        email_domains: Set(serde_json::to_value(&record.email_domains).map_err(corrupt)?),
        reregistration_days: Set(record.reregistration_days.map(i32::try_from).transpose().map_err(corrupt)?),
        country: Set(record.country.clone()),
        tax_exempt: Set(record.tax_exempt),
        originator: Set(record.originator.name().to_owned()),
        credit_limit: Set(record.credit_limit),
        tokens_on: Set(record.tokens_on.map(|on| on.name().to_owned())),
        overage_limit: Set(record.overage_limit.map(i32::try_from).transpose().map_err(corrupt)?),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
        archived_at: Set(record.archived_at),
    })
}

/// Which companies a list holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanyFilter {
    /// Folded words, all of which occur in the key or the name.
    pub words: Vec<String>,
    /// Archived ones too?
    pub archived: Archived,
}

/// A page of companies, the newest first.
///
/// # Errors
/// The database's.
pub async fn company_page(
    db: &impl ConnectionTrait,
    filter: &CompanyFilter,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Company>, DbErr> {
    let mut select = company::Entity::find().filter(filter.archived.condition(company::Column::ArchivedAt));
    if !filter.words.is_empty() {
        // Names are kept as given, so the program folds and searches them; companies are few beside what is sold.
        let names: Vec<(Uuid, String, String)> = select
            .clone()
            .select_only()
            .column(company::Column::Id)
            .column(company::Column::Key)
            .column(company::Column::Name)
            .into_tuple()
            .all(db)
            .await?;
        let hits =
            names.into_iter().filter(|(_, key, name)| text::is_hit(&text::search_text([key.as_str(), name.as_str()]), &filter.words));
        select = select.filter(company::Column::Id.is_in(hits.map(|(id, _, _)| id).take(MAX_HITS)));
    }
    let order = Order { column: company::Column::CreatedAt, id: company::Column::Id, descending: true };
    all_known(page(db, select, order, args, with_total).await?, Company::of)
}

/// Most hits of a search among companies: as many as one statement may name with room to spare.
const MAX_HITS: usize = 20_000;

/// Somebody whom a manager or a token made part of a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The account.
    pub account: AccountId,
    /// Its e-mail; none once erased.
    pub email: Option<String>,
    /// What they are.
    pub role: MemberRole,
    /// How they came in.
    pub via: MemberVia,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A page of a company's members by account. Those who are members by the domain of their e-mail only are not among them.
///
/// # Errors
/// The database's.
pub async fn member_page(
    db: &impl ConnectionTrait,
    company: CompanyId,
    args: &PageArgs<Uuid>,
    with_total: bool,
) -> Result<Page<Member>, DbErr> {
    let of_company = || company_member::Entity::find().filter(company_member::Column::CompanyId.eq(company.uuid()));
    let total = match with_total {
        true => Some(i64::try_from(of_company().count(db).await?).unwrap_or(i64::MAX)),
        false => None,
    };
    let mut select = of_company()
        .select_only()
        .column(company_member::Column::AccountId)
        .column(company_member::Column::Role)
        .column(company_member::Column::Via)
        .column(company_member::Column::Since)
        .column(person::Column::Email)
        .order_by_asc(company_member::Column::AccountId)
        .limit(u64::from(args.first) + 1);
    QueryTrait::query(&mut select)
        .inner_join(account::Entity, account::Column::Id.into_expr().equals((company_member::Entity, company_member::Column::AccountId)))
        .inner_join(person::Entity, person::Column::Id.into_expr().equals((account::Entity, account::Column::PersonId)));
    if let Some(after) = args.after {
        select = select.filter(company_member::Column::AccountId.gt(after));
    }
    let rows = select.into_tuple::<(Uuid, String, String, DateTime<Utc>, Option<String>)>().all(db).await?;
    let rows = rows
        .into_iter()
        .map(|(account, role, via, since, email)| {
            Ok(Member {
                account: account.into(),
                email,
                role: known(MemberRole::parse(&role), "role of a member", &role)?,
                via: known(MemberVia::parse(&via), "way into a company", &via)?,
                since,
            })
        })
        .collect::<Result<Vec<_>, DbErr>>()?;
    Ok(Page::cut(rows, args, total))
}

/// Addresses and names of a company's managers, by account; those who were erased are left out.
///
/// # Errors
/// The database's.
pub async fn managers(db: &impl ConnectionTrait, company: CompanyId) -> Result<Vec<(AccountId, String, Option<String>)>, DbErr> {
    let mut select = company_member::Entity::find()
        .select_only()
        .column(company_member::Column::AccountId)
        .column(person::Column::Email)
        .column(person::Column::Name)
        .filter(company_member::Column::CompanyId.eq(company.uuid()))
        .filter(company_member::Column::Role.eq(MemberRole::Manager.name()))
        .order_by_asc(company_member::Column::AccountId);
    QueryTrait::query(&mut select)
        .inner_join(account::Entity, account::Column::Id.into_expr().equals((company_member::Entity, company_member::Column::AccountId)))
        .inner_join(person::Entity, person::Column::Id.into_expr().equals((account::Entity, account::Column::PersonId)));
    let rows = select.into_tuple::<(Uuid, Option<String>, Option<String>)>().all(db).await?;
    Ok(rows.into_iter().filter_map(|(account, email, name)| Some((account.into(), email?, name))).collect())
}

/// What these accounts are in a company; those that are nothing are left out.
///
/// # Errors
/// The database's.
pub async fn roles(db: &impl ConnectionTrait, company: CompanyId, accounts: &[AccountId]) -> Result<HashMap<AccountId, MemberRole>, DbErr> {
    let mut found = HashMap::new();
    for chunk in accounts.chunks(CHUNK) {
        let rows: Vec<(Uuid, String)> = company_member::Entity::find()
            .select_only()
            .column(company_member::Column::AccountId)
            .column(company_member::Column::Role)
            .filter(company_member::Column::CompanyId.eq(company.uuid()))
            .filter(company_member::Column::AccountId.is_in(chunk.iter().map(|account| account.uuid())))
            .into_tuple()
            .all(db)
            .await?;
        for (account, role) in rows {
            found.insert(account.into(), known(MemberRole::parse(&role), "role of a member", &role)?);
        }
    }
    Ok(found)
}

/// Gives these accounts their roles in a company; who is a member already stays so since then.
///
/// # Errors
/// The database's.
pub async fn set_members(
    txn: &impl ConnectionTrait,
    company: CompanyId,
    members: &[(AccountId, MemberRole)],
    via: MemberVia,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    for chunk in members.chunks(CHUNK) {
        let rows = chunk.iter().map(|(account, role)| company_member::ActiveModel {
            company_id: Set(company.uuid()),
            account_id: Set(account.uuid()),
            role: Set(role.name().to_owned()),
            via: Set(via.name().to_owned()),
            since: Set(now),
        });
        let again = OnConflict::columns([company_member::Column::CompanyId, company_member::Column::AccountId])
            .update_column(company_member::Column::Role)
            .to_owned();
        company_member::Entity::insert_many(rows).on_conflict(again).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Takes these accounts out of a company.
///
/// # Errors
/// The database's.
pub async fn remove_members(txn: &impl ConnectionTrait, company: CompanyId, accounts: &[AccountId]) -> Result<(), DbErr> {
    for chunk in accounts.chunks(CHUNK) {
        company_member::Entity::delete_many()
            .filter(company_member::Column::CompanyId.eq(company.uuid()))
            .filter(company_member::Column::AccountId.is_in(chunk.iter().map(|account| account.uuid())))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// Whether somebody is a member of a company: named by a manager or by a redeemed token, or by a verified e-mail of a domain that the company
/// lists.
///
/// # Errors
/// The database's.
pub async fn member_of(db: &impl ConnectionTrait, company: CompanyId, account: AccountId) -> Result<bool, DbErr> {
    Ok(!companies_of(db, account, Some(company)).await?.is_empty())
}

/// The companies that somebody is a member of, archived ones too; only `among` if that is given.
///
/// # Errors
/// The database's.
pub async fn companies_of(db: &impl ConnectionTrait, account: AccountId, among: Option<CompanyId>) -> Result<Vec<CompanyId>, DbErr> {
    let verified = verified_domain(db, account).await?;
    let mut select = company::Entity::find().select_only().column(company::Column::Id).filter(membership(
        db.get_database_backend(),
        account,
        verified.as_deref(),
    ));
    if let Some(among) = among {
        select = select.filter(company::Column::Id.eq(among.uuid()));
    }
    Ok(select.into_tuple::<uuid::Uuid>().all(db).await?.into_iter().map(CompanyId::new).collect())
}

/// Those of these accounts that are members of one of these companies.
///
/// # Errors
/// The database's.
pub async fn members_among(
    db: &impl ConnectionTrait,
    companies: &[CompanyId],
    accounts: &[AccountId],
) -> Result<BTreeSet<AccountId>, DbErr> {
    let companies: Vec<uuid::Uuid> = companies.iter().map(|company| company.uuid()).collect();
    let found = rows_in::<company::Entity>(db, company::Column::Id, &companies).await?;
    let domains: BTreeSet<String> =
        found.into_iter().map(Company::of).collect::<Result<Vec<_>, _>>()?.into_iter().flat_map(|company| company.email_domains).collect();
    let named = Query::select()
        .column(company_member::Column::AccountId)
        .from(company_member::Entity)
        .and_where(company_member::Column::CompanyId.is_in(companies))
        .take();
    let by_domain = Condition::all()
        .add(account::Column::EmailVerifiedAt.is_not_null())
        .add(account::Column::EmailDomain.ne(""))
        .add(account::Column::EmailDomain.is_in(domains));
    let mut members = BTreeSet::new();
    for chunk in accounts.chunks(CHUNK) {
        let rows = account::Entity::find()
            .select_only()
            .column(account::Column::Id)
            .filter(account::Column::Id.is_in(chunk.iter().map(|account| account.uuid())))
            .filter(Condition::any().add(account::Column::Id.in_subquery(named.clone())).add(by_domain.clone()))
            .into_tuple::<uuid::Uuid>()
            .all(db)
            .await?;
        members.extend(rows.into_iter().map(AccountId::new));
    }
    Ok(members)
}

/// The domain of somebody's e-mail, if that is verified.
///
/// # Errors
/// The database's.
pub async fn verified_domain(db: &impl ConnectionTrait, account: AccountId) -> Result<Option<String>, DbErr> {
    let domain = account::Entity::find_by_id(account.uuid())
        .select_only()
        .column(account::Column::EmailDomain)
        .filter(account::Column::EmailVerifiedAt.is_not_null())
        // Erasing a person blanks it.
        .filter(account::Column::EmailDomain.ne(""))
        .into_tuple::<String>()
        .one(db)
        .await?;
    Ok(domain)
}

/// The condition on `company` that this account is a member; `verified` is the domain of its e-mail, if that is verified.
pub(super) fn membership(backend: DbBackend, account: AccountId, verified: Option<&str>) -> Condition {
    let named = Query::select()
        .column(company_member::Column::CompanyId)
        .from(company_member::Entity)
        .and_where(company_member::Column::AccountId.eq(account.uuid()))
        .take();
    let by_domain = verified.map(|domain| {
        // Domains are kept as a JSON list of plain lower-case texts, so the quoted domain occurs in its text exactly if it is listed.
        let listed = Expr::col((company::Entity, company::Column::EmailDomains)).cast_as("text");
        search::contains(backend, listed, &format!("\"{domain}\""))
    });
    Condition::any().add(company::Column::Id.in_subquery(named)).add_option(by_domain)
}
