//! The installation's own row: one, made at the first start.

use chrono::{DateTime, Utc};
use domain::Currency;
use entity::installation::{ActiveModel, Column, Entity};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

const ID: i32 = 1;

/// What is known of the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Keyed hash of a fixed text.
    pub secret_check: String,
    /// The base currency, once it is fixed.
    pub base_currency: Option<Currency>,
}

/// Writes the row unless there is one, and reads it.
///
/// # Errors
/// The database's.
pub async fn open(db: &impl ConnectionTrait, secret_check: &str, now: DateTime<Utc>) -> Result<Installation, DbErr> {
    let fresh = ActiveModel { id: Set(ID), secret_check: Set(secret_check.to_owned()), base_currency: Set(None), created_at: Set(now) };
    let inserted =
        Entity::insert(fresh).on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned()).exec_without_returning(db).await;
    match inserted {
        Ok(_) | Err(DbErr::RecordNotInserted) => {}
        Err(other) => return Err(other),
    }
    read(db).await
}

/// Reads the row.
///
/// # Errors
/// The database's; the row was not made.
pub async fn read(db: &impl ConnectionTrait) -> Result<Installation, DbErr> {
    row(Entity::find_by_id(ID).one(db).await?)
}

/// Locks the row until the end of the transaction: writers of the catalogue pass one at a time, so that what is derived from several rows is
/// derived from all of them. (On SQLite a write transaction has the only lock from its beginning.)
///
/// # Errors
/// The database's; the row was not made.
pub async fn lock(txn: &impl ConnectionTrait) -> Result<Installation, DbErr> {
    row(Entity::find_by_id(ID).lock_exclusive().one(txn).await?)
}

/// Fixes the base currency, if none is fixed yet.
///
/// # Errors
/// The database's.
pub async fn fix_base_currency(txn: &impl ConnectionTrait, currency: Currency) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::BaseCurrency, Expr::value(currency.code()))
        .filter(Column::Id.eq(ID))
        .filter(Column::BaseCurrency.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

fn row(found: Option<entity::installation::Model>) -> Result<Installation, DbErr> {
    let row = found.ok_or_else(|| DbErr::Custom("the installation's row is missing; the program makes it when it starts".to_owned()))?;
    let base_currency = row.base_currency.map(|code| super::known(Currency::parse(&code).ok(), "currency", &code)).transpose()?;
    Ok(Installation { secret_check: row.secret_check, base_currency })
}
