//! Persons: immutable versions of somebody's name, e-mail and address. Always true here: a row is written once; books point to it.

use chrono::{DateTime, Utc};
use domain::person::Address;
use domain::text::Email;
use domain::{AccountId, PersonId};
use entity::account;
use entity::person::{ActiveModel, Column, Entity};
use sea_orm::prelude::Json;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait};
use uuid::Uuid;

use super::{CHUNK, corrupt};

/// A version of somebody's name, e-mail and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Row id.
    pub id: PersonId,
    /// E-mail as typed; `None` once erased.
    pub email: Option<Email>,
    /// Full name.
    pub name: Option<String>,
    /// Postal address.
    pub address: Option<Address>,
}

/// A version to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPerson {
    /// Row id.
    pub id: PersonId,
    /// E-mail as typed.
    pub email: Email,
    /// Keyed hash of the normalised e-mail.
    pub email_hash: String,
    /// Full name.
    pub name: Option<String>,
    /// Postal address.
    pub address: Option<Address>,
}

/// Writes new versions.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, persons: &[NewPerson], now: DateTime<Utc>) -> Result<(), DbErr> {
    for chunk in persons.chunks(CHUNK) {
        let rows = chunk.iter().map(|person| {
            Ok(ActiveModel {
                id: Set(person.id.uuid()),
                email: Set(Some(person.email.as_str().to_owned())),
                email_hash: Set(person.email_hash.clone()),
                name: Set(person.name.clone()),
                address: Set(person.address.as_ref().map(serde_json::to_value).transpose().map_err(corrupt)?),
                created_at: Set(now),
                erased_at: Set(None),
            })
        });
        Entity::insert_many(rows.collect::<Result<Vec<_>, DbErr>>()?).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// The current version of an account's person.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_account(db: &impl ConnectionTrait, account: AccountId) -> Result<Option<Person>, DbErr> {
    let current = account::Entity::find_by_id(account.uuid()).select_only().column(account::Column::PersonId).into_query();
    let row = Entity::find().filter(Column::Id.in_subquery(current)).one(db).await?;
    row.map(|row| from_parts(row.id, row.email.as_deref(), row.name, row.address)).transpose()
}

/// The person that a row keeps, from the row's cells.
pub(super) fn from_parts(id: Uuid, email: Option<&str>, name: Option<String>, address: Option<Json>) -> Result<Person, DbErr> {
    Ok(Person {
        id: id.into(),
        email: email.map(Email::parse).transpose().map_err(corrupt)?,
        name,
        address: address.map(serde_json::from_value).transpose().map_err(corrupt)?,
    })
}

/// Blanks the texts of every version with this hash of the e-mail; gives how many were not blank yet, or `None` if the hash is unknown.
///
/// # Errors
/// The database's.
pub async fn erase(txn: &impl ConnectionTrait, email_hash: &str, now: DateTime<Utc>) -> Result<Option<u64>, DbErr> {
    let blanked = Entity::update_many()
        .set(ActiveModel { email: Set(None), name: Set(None), address: Set(None), erased_at: Set(Some(now)), ..Default::default() })
        .filter(Column::EmailHash.eq(email_hash))
        .filter(Column::ErasedAt.is_null())
        .exec(txn)
        .await?
        .rows_affected;
    if blanked > 0 {
        return Ok(Some(blanked));
    }
    let known = Entity::find().filter(Column::EmailHash.eq(email_hash)).limit(1).one(txn).await?;
    Ok(known.map(|_| 0))
}

/// The persons with these ids; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[PersonId]) -> Result<Vec<Person>, DbErr> {
    let mut persons = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        for row in Entity::find().filter(Column::Id.is_in(chunk.iter().map(|id| id.uuid()))).all(db).await? {
            persons.push(from_parts(row.id, row.email.as_deref(), row.name, row.address)?);
        }
    }
    Ok(persons)
}

/// One person.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_id(db: &impl ConnectionTrait, id: PersonId) -> Result<Option<Person>, DbErr> {
    Ok(by_ids(db, &[id]).await?.pop())
}
