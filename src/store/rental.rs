//! Rentals: a row for each payment of credits for a resource, and who was told on which day that credits are missing.
//!
//! Always true here: a renting and its renewals share `first`; when each part runs stands in its entitlement, whose source is the part.

use chrono::{DateTime, Utc};
use domain::{AccountId, RentalId, ResourceId};
use entity::rental::{ActiveModel, Column, Entity, Model};
use entity::shortage_notice;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use serde::Serialize;
use uuid::Uuid;

use super::catalog::uuids;
use super::page::{Key, Order, page};
use super::{CHUNK, corrupt, rows_in};
use crate::page::{Page, PageArgs};

/// One payment of credits for a resource: its renting, or a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rental {
    /// Id; what is spent and what is granted name it as their source.
    pub id: RentalId,
    /// The renting that this renews; its own id if it is one.
    pub first: RentalId,
    /// Learner.
    pub account: AccountId,
    /// What was rented.
    pub resource: ResourceId,
    /// Credits that it cost.
    pub cost: i64,
    /// Days that it lasts.
    pub days: u32,
    /// When.
    pub rented_at: DateTime<Utc>,
    /// When its credits were given back.
    pub given_back_at: Option<DateTime<Utc>>,
}

fn record(row: Model) -> Result<Rental, DbErr> {
    Ok(Rental {
        id: row.id.into(),
        first: row.first_id.into(),
        account: row.account_id.into(),
        resource: row.resource_id.into(),
        cost: row.cost,
        days: u32::try_from(row.days).map_err(corrupt)?,
        rented_at: row.rented_at,
        given_back_at: row.given_back_at,
    })
}

/// Writes a new rental or renewal.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, rental: &Rental) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(rental.id.uuid()),
        first_id: Set(rental.first.uuid()),
        account_id: Set(rental.account.uuid()),
        resource_id: Set(rental.resource.uuid()),
        cost: Set(rental.cost),
        days: Set(i32::try_from(rental.days).map_err(corrupt)?),
        rented_at: Set(rental.rented_at),
        given_back_at: Set(rental.given_back_at),
    };
    Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

/// The rows with these ids.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[RentalId]) -> Result<Vec<Rental>, DbErr> {
    rows_in::<Entity>(db, Column::Id, &uuids(ids)).await?.into_iter().map(record).collect()
}

/// These rentings with their renewals, in order of payment.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn parts_of(db: &impl ConnectionTrait, firsts: &[RentalId]) -> Result<Vec<Rental>, DbErr> {
    let mut found = Vec::new();
    for chunk in uuids(firsts).chunks(CHUNK) {
        let select = Entity::find().filter(Column::FirstId.is_in(chunk.iter().copied()));
        let rows = select.order_by_asc(Column::RentedAt).order_by_asc(Column::Id).all(db).await?;
        found.extend(rows.into_iter().map(record).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// A page of rentings, the newest first, of one learner or of all.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn list(
    db: &impl ConnectionTrait,
    account: Option<AccountId>,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Rental>, DbErr> {
    let mut select = Entity::find().filter(Column::FirstId.into_expr().equals((Entity, Column::Id)));
    if let Some(account) = account {
        select = select.filter(Column::AccountId.eq(account.uuid()));
    }
    let order = Order { column: Column::RentedAt, id: Column::Id, descending: true };
    super::catalog::all_known(page(db, select, order, args, with_total).await?, record)
}

/// Notes that the credits of these parts were given back.
///
/// # Errors
/// The database's.
pub async fn given_back(txn: &impl ConnectionTrait, ids: &[RentalId], now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::GivenBackAt, Expr::value(Some(now)))
        .filter(Column::Id.is_in(uuids(ids)))
        .filter(Column::GivenBackAt.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

/// Notes that a learner is told today that credits are missing; `false` if that was noted before.
///
/// # Errors
/// The database's.
pub async fn note_shortage(txn: &impl ConnectionTrait, account: AccountId, day: &str, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let row = shortage_notice::ActiveModel { account_id: Set(account.uuid()), day: Set(day.to_owned()), noticed_at: Set(now) };
    let once = OnConflict::columns([shortage_notice::Column::AccountId, shortage_notice::Column::Day]).do_nothing().to_owned();
    match shortage_notice::Entity::insert(row).on_conflict(once).exec_without_returning(txn).await {
        Ok(rows) => Ok(rows > 0),
        Err(DbErr::RecordNotInserted) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Forgets notes of before `before`.
///
/// # Errors
/// The database's.
pub async fn forget_shortages(db: &impl ConnectionTrait, before: DateTime<Utc>) -> Result<(), DbErr> {
    shortage_notice::Entity::delete_many().filter(shortage_notice::Column::NoticedAt.lt(before)).exec(db).await?;
    Ok(())
}
