//! Accounts, what they may do, and the one-time links that sign in to them.
//!
//! Always true here: an account is found by the keyed hash of its e-mail, never by the text, and secrets are kept as hashes or sealed.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::OrderId;
use domain::account::Road;
use domain::text::Email;
use domain::{AccountId, CompanyId, PersonId};
use entity::{account, account_attribute, company, company_member, one_time_link, person};
use sea_orm::prelude::Json;
use sea_orm::sea_query::{Expr, ExprTrait, LockType, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select, SqlErr,
};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::page::{Key, Order, page};
use super::person::Person;
use super::{CHUNK, corrupt, known, person as persons, rows_in};
use crate::page::{Page, PageArgs};

/// Somebody who can sign in.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The current version of name, e-mail and address; its texts are empty once erased.
    pub person: Person,
    /// Keyed hash of the normalised e-mail.
    pub email_hash: String,
    /// When a mailed link proved the e-mail.
    pub email_verified_at: Option<DateTime<Utc>>,
    /// Argon2id hash of the password, if there is one.
    pub password_hash: Option<SecretString>,
    /// Scopes of an operator.
    pub operator: Option<Vec<String>>,
    /// The stamp that sign-ins carry; those with another one are dead.
    pub sessions_valid_from: DateTime<Utc>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
}

/// An account to be written.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its id.
    pub id: AccountId,
    /// Name and e-mail.
    pub person: PersonId,
    /// Keyed hash of the normalised e-mail.
    pub email_hash: String,
    /// Domain of the e-mail.
    pub email_domain: String,
    /// Argon2id hash of the password.
    pub password_hash: Option<SecretString>,
    /// Scopes of an operator.
    pub operator: Option<Vec<String>>,
}

/// What a request may do that carries an account's sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The stamp that living sign-ins carry.
    pub sessions_valid_from: DateTime<Utc>,
    /// Scopes of an operator.
    pub operator: Option<Vec<String>>,
    /// Enabled companies that it manages.
    pub manages: Vec<CompanyId>,
}

/// What changes about an account; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The stamp that sign-ins carry from now on.
    pub sessions_valid_from: Option<DateTime<Utc>>,
    /// When the e-mail was proven.
    pub email_verified_at: Option<Option<DateTime<Utc>>>,
    /// The hash of the password.
    pub password_hash: Option<Option<SecretString>>,
    /// Scopes of an operator.
    pub operator: Option<Option<Vec<String>>>,
}

/// Which accounts a list shows.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Filter {
    /// The one with this hash of the normalised e-mail.
    pub email_hash: Option<String>,
    /// Operators only, or nobody who is one.
    pub operator: Option<bool>,
}

/// A one-time link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Row id.
    pub id: Uuid,
    /// Whose.
    pub account: AccountId,
    /// How it reaches its bearer.
    pub road: Road,
    /// The order whose receipt shows it.
    pub order: Option<OrderId>,
    /// The secret, sealed; blanked once used.
    pub secret_sealed: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it works.
    pub expires_at: DateTime<Utc>,
    /// When it was used, or ended unused.
    pub used_at: Option<DateTime<Utc>>,
}

/// Writes the account, unless there is one for this e-mail; says whether it did.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, new: &NewAccount, now: DateTime<Utc>) -> Result<bool, DbErr> {
    Ok(insert_all(txn, std::slice::from_ref(new), now).await? > 0)
}

/// Writes these accounts, but for those whose e-mail has one; says how many it wrote.
///
/// # Errors
/// The database's.
pub async fn insert_all(txn: &impl ConnectionTrait, new: &[NewAccount], now: DateTime<Utc>) -> Result<u64, DbErr> {
    let mut written = 0;
    for chunk in new.chunks(CHUNK) {
        let rows = chunk.iter().map(|new| account::ActiveModel {
            id: Set(new.id.uuid()),
            person_id: Set(new.person.uuid()),
            email_hash: Set(new.email_hash.clone()),
            email_domain: Set(new.email_domain.clone()),
            email_verified_at: Set(None),
            password_hash: Set(exposed(new.password_hash.as_ref())),
            operator_scopes: Set(new.operator.as_ref().map(|scopes| scopes_json(scopes))),
            sessions_valid_from: Set(now),
            created_at: Set(now),
            touched_at: Set(now),
        });
        let taken = OnConflict::column(account::Column::EmailHash).do_nothing().to_owned();
        match account::Entity::insert_many(rows).on_conflict(taken).exec_without_returning(txn).await {
            Ok(rows) => written += rows,
            Err(DbErr::RecordNotInserted) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(written)
}

/// The account with this id.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_id(db: &impl ConnectionTrait, id: AccountId) -> Result<Option<Account>, DbErr> {
    load(db, select().filter(account::Column::Id.eq(id.uuid()))).await
}

/// The account of this e-mail, by the keyed hash of its normalised form.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_email_hash(db: &impl ConnectionTrait, hash: &str) -> Result<Option<Account>, DbErr> {
    load(db, select().filter(account::Column::EmailHash.eq(hash))).await
}

/// The attributes of these accounts, each list by name.
///
/// # Errors
/// The database's.
pub async fn attributes(db: &impl ConnectionTrait, accounts: &[AccountId]) -> Result<HashMap<AccountId, Vec<(String, String)>>, DbErr> {
    let mut found: HashMap<AccountId, Vec<(String, String)>> = HashMap::new();
    for chunk in accounts.chunks(CHUNK) {
        let rows = account_attribute::Entity::find()
            .filter(account_attribute::Column::AccountId.is_in(chunk.iter().map(|id| id.uuid())))
            .order_by_asc(account_attribute::Column::Name)
            .all(db)
            .await?;
        for row in rows {
            found.entry(row.account_id.into()).or_default().push((row.name, row.value));
        }
    }
    Ok(found)
}

/// Writes the attributes that an account is to have. The caller holds the account's row.
///
/// # Errors
/// The database's.
pub async fn set_attributes(txn: &impl ConnectionTrait, id: AccountId, wanted: &BTreeMap<String, String>) -> Result<(), DbErr> {
    account_attribute::Entity::delete_many().filter(account_attribute::Column::AccountId.eq(id.uuid())).exec(txn).await?;
    if wanted.is_empty() {
        return Ok(());
    }
    let rows = wanted.iter().map(|(name, value)| account_attribute::ActiveModel {
        account_id: Set(id.uuid()),
        name: Set(name.clone()),
        value: Set(value.clone()),
    });
    account_attribute::Entity::insert_many(rows).exec_without_returning(txn).await?;
    Ok(())
}

/// The keyed hash of an account's e-mail.
///
/// # Errors
/// The database's.
pub async fn email_hash(db: &impl ConnectionTrait, id: AccountId) -> Result<Option<String>, DbErr> {
    account::Entity::find_by_id(id.uuid()).select_only().column(account::Column::EmailHash).into_tuple().one(db).await
}

/// The account with this id, holding its row to the end of the transaction. (On SQLite the transaction is exclusive already.)
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lock(txn: &DatabaseTransaction, id: AccountId) -> Result<Option<Account>, DbErr> {
    let mut select = select().filter(account::Column::Id.eq(id.uuid()));
    QueryTrait::query(&mut select).lock_with_tables(LockType::NoKeyUpdate, [account::Entity]);
    load(txn, select).await
}

/// The accounts with these ids, in no particular order.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[AccountId]) -> Result<Vec<Account>, DbErr> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    with_persons(db, rows_in::<account::Entity>(db, account::Column::Id, &ids).await?).await
}

/// A page of accounts, the newest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &Filter,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Account>, DbErr> {
    let mut select = account::Entity::find();
    if let Some(hash) = &filter.email_hash {
        select = select.filter(account::Column::EmailHash.eq(hash));
    }
    if let Some(operator) = filter.operator {
        let column = account::Column::OperatorScopes;
        select = select.filter(if operator { column.is_not_null() } else { column.is_null() });
    }
    let order = Order { column: account::Column::CreatedAt, id: account::Column::Id, descending: true };
    let found = page(db, select, order, args, with_total).await?;
    let Page { rows, has_next, has_previous, total } = found;
    Ok(Page { rows: with_persons(db, rows).await?, has_next, has_previous, total })
}

/// What a sign-in of this account may do, in one statement; `None` if there is no such account.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn rights(db: &impl ConnectionTrait, id: AccountId) -> Result<Option<Rights>, DbErr> {
    let mut select = account::Entity::find_by_id(id.uuid())
        .select_only()
        .column(account::Column::SessionsValidFrom)
        .column(account::Column::OperatorScopes)
        .column(company::Column::Id);
    QueryTrait::query(&mut select)
        .left_join(
            company_member::Entity,
            Condition::all()
                .add(Expr::col((company_member::Entity, company_member::Column::AccountId)).equals((account::Entity, account::Column::Id)))
                .add(Expr::col((company_member::Entity, company_member::Column::Role)).eq("MANAGER")),
        )
        .left_join(
            company::Entity,
            Condition::all()
                .add(Expr::col((company::Entity, company::Column::Id)).equals((company_member::Entity, company_member::Column::CompanyId)))
                .add(Expr::col((company::Entity, company::Column::Enabled)).eq(true))
                .add(Expr::col((company::Entity, company::Column::ArchivedAt)).is_null()),
        );
    let rows: Vec<(DateTime<Utc>, Option<Json>, Option<Uuid>)> = select.into_tuple().all(db).await?;
    let manages = rows.iter().filter_map(|(_, _, company)| company.map(CompanyId::new)).collect();
    let Some((sessions_valid_from, operator, _)) = rows.into_iter().next() else { return Ok(None) };
    Ok(Some(Rights { sessions_valid_from, operator: scopes(operator)?, manages }))
}

/// Changes an account.
///
/// # Errors
/// The database's.
pub async fn change(txn: &impl ConnectionTrait, id: AccountId, change: Change, now: DateTime<Utc>) -> Result<(), DbErr> {
    let mut row = account::ActiveModel { touched_at: Set(now), ..Default::default() };
    if let Some(stamp) = change.sessions_valid_from {
        row.sessions_valid_from = Set(stamp);
    }
    if let Some(verified) = change.email_verified_at {
        row.email_verified_at = Set(verified);
    }
    if let Some(hash) = change.password_hash {
        row.password_hash = Set(exposed(hash.as_ref()));
    }
    if let Some(operator) = change.operator {
        row.operator_scopes = Set(operator.as_ref().map(|scopes| scopes_json(scopes)));
    }
    account::Entity::update_many().set(row).filter(account::Column::Id.eq(id.uuid())).exec(txn).await?;
    Ok(())
}

/// Points the account to another version of its person, with another e-mail; `false` if that belongs to another account, and then the
/// transaction is to be given up.
///
/// # Errors
/// The database's.
pub async fn change_email(
    txn: &DatabaseTransaction,
    id: AccountId,
    person: PersonId,
    email_hash: &str,
    email_domain: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let row = account::ActiveModel {
        person_id: Set(person.uuid()),
        email_hash: Set(email_hash.to_owned()),
        email_domain: Set(email_domain.to_owned()),
        touched_at: Set(now),
        ..Default::default()
    };
    match account::Entity::update_many().set(row).filter(account::Column::Id.eq(id.uuid())).exec(txn).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The scopes of every operator, holding their rows: whoever takes an operator's rights away waits here for others who do the same.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lock_operators(txn: &DatabaseTransaction) -> Result<Vec<(AccountId, Vec<String>)>, DbErr> {
    let mut select = account::Entity::find()
        .select_only()
        .column(account::Column::Id)
        .column(account::Column::OperatorScopes)
        .filter(account::Column::OperatorScopes.is_not_null())
        // In one order, so that two of them never wait for each other.
        .order_by_asc(account::Column::Id);
    QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
    let rows: Vec<(Uuid, Option<Json>)> = select.into_tuple().all(txn).await?;
    rows.into_iter().map(|(id, operator)| Ok((id.into(), scopes(operator)?.unwrap_or_default()))).collect()
}

/// Ends an account for good: no password, no rights, no link, no living sign-in, and its e-mail is free for a new account. Its row stays, because
/// orders and grants point to it.
///
/// # Errors
/// The database's.
pub async fn erase(txn: &impl ConnectionTrait, id: AccountId, stamp: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), DbErr> {
    let row = account::ActiveModel {
        email_hash: Set(format!("erased:{}", id.uuid())),
        email_domain: Set(String::new()),
        email_verified_at: Set(None),
        password_hash: Set(None),
        operator_scopes: Set(None),
        sessions_valid_from: Set(stamp),
        touched_at: Set(now),
        ..Default::default()
    };
    account::Entity::update_many().set(row).filter(account::Column::Id.eq(id.uuid())).exec(txn).await?;
    company_member::Entity::delete_many().filter(company_member::Column::AccountId.eq(id.uuid())).exec(txn).await?;
    account_attribute::Entity::delete_many().filter(account_attribute::Column::AccountId.eq(id.uuid())).exec(txn).await?;
    end_links(txn, id, None, now).await
}

/// Writes links, each with the hash of its secret.
///
/// # Errors
/// The database's.
pub async fn insert_links(txn: &impl ConnectionTrait, links: &[(Link, String)]) -> Result<(), DbErr> {
    for chunk in links.chunks(super::CHUNK) {
        let rows = chunk.iter().map(|(link, secret_hash)| one_time_link::ActiveModel {
            id: Set(link.id),
            account_id: Set(link.account.uuid()),
            secret_hash: Set(secret_hash.clone()),
            secret_sealed: Set(link.secret_sealed.clone()),
            road: Set(link.road.name().to_owned()),
            order_id: Set(link.order.map(OrderId::uuid)),
            created_at: Set(link.created_at),
            expires_at: Set(link.expires_at),
            used_at: Set(link.used_at),
        });
        one_time_link::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// The link with this hash of its secret, living or not.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn link(db: &impl ConnectionTrait, secret_hash: &str) -> Result<Option<Link>, DbErr> {
    let row = one_time_link::Entity::find().filter(one_time_link::Column::SecretHash.eq(secret_hash)).one(db).await?;
    row.map(link_from_row).transpose()
}

/// Uses the link up; `false` if it was used before or is too old. Of two at once, one gets `true`.
///
/// # Errors
/// The database's.
pub async fn use_link(txn: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let used = one_time_link::Entity::update_many()
        .set(one_time_link::ActiveModel { used_at: Set(Some(now)), secret_sealed: Set(None), ..Default::default() })
        .filter(one_time_link::Column::Id.eq(id))
        .filter(one_time_link::Column::UsedAt.is_null())
        .filter(one_time_link::Column::ExpiresAt.gt(now))
        .exec(txn)
        .await?;
    Ok(used.rows_affected == 1)
}

/// Ends the account's unused links, those of one road or all.
///
/// # Errors
/// The database's.
pub async fn end_links(txn: &impl ConnectionTrait, account: AccountId, road: Option<Road>, now: DateTime<Utc>) -> Result<(), DbErr> {
    let mut update = one_time_link::Entity::update_many()
        .set(one_time_link::ActiveModel { used_at: Set(Some(now)), secret_sealed: Set(None), ..Default::default() })
        .filter(one_time_link::Column::AccountId.eq(account.uuid()))
        .filter(one_time_link::Column::UsedAt.is_null());
    if let Some(road) = road {
        update = update.filter(one_time_link::Column::Road.eq(road.name()));
    }
    update.exec(txn).await?;
    Ok(())
}

/// The links that receipts of these orders can still show.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn receipt_links(db: &impl ConnectionTrait, orders: &[OrderId], now: DateTime<Utc>) -> Result<Vec<Link>, DbErr> {
    let rows = one_time_link::Entity::find()
        .filter(one_time_link::Column::OrderId.is_in(orders.iter().map(|id| id.uuid())))
        .filter(one_time_link::Column::UsedAt.is_null())
        .filter(one_time_link::Column::ExpiresAt.gt(now));
    rows.all(db).await?.into_iter().map(link_from_row).collect()
}

fn select() -> Select<account::Entity> {
    account::Entity::find()
}

async fn load(db: &impl ConnectionTrait, select: Select<account::Entity>) -> Result<Option<Account>, DbErr> {
    let mut select = select.select_also(person::Entity);
    QueryTrait::query(&mut select)
        .left_join(person::Entity, Expr::col((person::Entity, person::Column::Id)).equals((account::Entity, account::Column::PersonId)));
    select.one(db).await?.map(|(row, person)| from_row(row, person)).transpose()
}

async fn with_persons(db: &impl ConnectionTrait, rows: Vec<account::Model>) -> Result<Vec<Account>, DbErr> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.person_id).collect();
    let mut found: std::collections::HashMap<Uuid, person::Model> = if ids.is_empty() {
        Default::default()
    } else {
        rows_in::<person::Entity>(db, person::Column::Id, &ids).await?.into_iter().map(|row| (row.id, row)).collect()
    };
    rows.into_iter()
        .map(|row| {
            let person = found.remove(&row.person_id);
            from_row(row, person)
        })
        .collect()
}

fn from_row(row: account::Model, person: Option<person::Model>) -> Result<Account, DbErr> {
    let person = person.ok_or_else(|| corrupt(format_args!("account {} has no person", row.id)))?;
    Ok(Account {
        id: row.id.into(),
        person: persons::from_parts(person.id, person.email.as_deref(), person.name, person.address)?,
        email_hash: row.email_hash,
        email_verified_at: row.email_verified_at,
        password_hash: row.password_hash.map(SecretString::from),
        operator: scopes(row.operator_scopes)?,
        sessions_valid_from: row.sessions_valid_from,
        created_at: row.created_at,
        touched_at: row.touched_at,
    })
}

fn link_from_row(row: one_time_link::Model) -> Result<Link, DbErr> {
    Ok(Link {
        id: row.id,
        account: row.account_id.into(),
        order: row.order_id.map(Into::into),
        road: known(Road::parse(&row.road), "road", &row.road)?,
        secret_sealed: row.secret_sealed,
        created_at: row.created_at,
        expires_at: row.expires_at,
        used_at: row.used_at,
    })
}

fn exposed(hash: Option<&SecretString>) -> Option<String> {
    hash.map(|hash| hash.expose_secret().to_owned())
}

fn scopes_json(scopes: &[String]) -> Json {
    Json::from(scopes.to_owned())
}

fn scopes(stored: Option<Json>) -> Result<Option<Vec<String>>, DbErr> {
    stored.map(|json| serde_json::from_value(json).map_err(corrupt)).transpose()
}

impl Account {
    /// The e-mail as typed; `None` once erased.
    pub fn email(&self) -> Option<&Email> {
        self.person.email.as_ref()
    }
}
