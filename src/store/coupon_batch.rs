//! Batches of codes: how far they are, making more of their codes, and making free ones void.
//!
//! Always true here: a batch is changed by whoever holds its row; a code becomes void only while no order holds or has used it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{CouponBatchId, CouponId};
use entity::{coupon_batch, coupon_code};
use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::sea_query::{LockBehavior, LockType, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use serde::Serialize;
use uuid::Uuid;

use super::catalog::uuids;
use super::{corrupt, rows_in};

/// Many codes of one coupon, for one use each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CouponBatch {
    /// Id.
    pub id: CouponBatchId,
    /// Its coupon.
    pub coupon: CouponId,
    /// What its codes begin with.
    pub prefix: String,
    /// How many codes it is to have, void ones not counted.
    pub count: u32,
    /// How many it has, void ones not counted.
    pub made: u32,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When the last of its codes was made.
    pub done_at: Option<DateTime<Utc>>,
}

fn from_row(row: coupon_batch::Model) -> Result<CouponBatch, DbErr> {
    Ok(CouponBatch {
        id: row.id.into(),
        coupon: row.coupon_id.into(),
        prefix: row.prefix,
        count: u32::try_from(row.count).map_err(corrupt)?,
        made: u32::try_from(row.made).map_err(corrupt)?,
        actor: row.actor,
        created_at: row.created_at,
        done_at: row.done_at,
    })
}

fn to_row(batch: &CouponBatch) -> Result<coupon_batch::ActiveModel, DbErr> {
    Ok(coupon_batch::ActiveModel {
        id: Set(batch.id.uuid()),
        coupon_id: Set(batch.coupon.uuid()),
        prefix: Set(batch.prefix.clone()),
        count: Set(i32::try_from(batch.count).map_err(corrupt)?),
        made: Set(i32::try_from(batch.made).map_err(corrupt)?),
        actor: Set(batch.actor.clone()),
        created_at: Set(batch.created_at),
        done_at: Set(batch.done_at),
    })
}

/// Writes a new batch, without its codes.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &DatabaseTransaction, batch: &CouponBatch) -> Result<(), DbErr> {
    coupon_batch::Entity::insert(to_row(batch)?).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes what a batch is now.
///
/// # Errors
/// The database's.
pub async fn update(txn: &DatabaseTransaction, batch: &CouponBatch) -> Result<(), DbErr> {
    let mut row = to_row(batch)?;
    row.id = Unchanged(batch.id.uuid());
    coupon_batch::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// The batch, its row held to the end of the transaction.
///
/// # Errors
/// The database's.
pub async fn lock(txn: &DatabaseTransaction, id: CouponBatchId) -> Result<Option<CouponBatch>, DbErr> {
    let mut select = coupon_batch::Entity::find_by_id(id.uuid());
    QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
    select.one(txn).await?.map(from_row).transpose()
}

/// These batches; unknown ids are left out.
///
/// # Errors
/// The database's.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[CouponBatchId]) -> Result<Vec<CouponBatch>, DbErr> {
    rows_in::<coupon_batch::Entity>(db, coupon_batch::Column::Id, &uuids(ids)).await?.into_iter().map(from_row).collect()
}

/// The batches of these coupons, in order of making.
///
/// # Errors
/// The database's.
pub async fn of_coupons(db: &impl ConnectionTrait, coupons: &[CouponId]) -> Result<HashMap<CouponId, Vec<CouponBatch>>, DbErr> {
    let mut rows = rows_in::<coupon_batch::Entity>(db, coupon_batch::Column::CouponId, &uuids(coupons)).await?;
    rows.sort_by_key(|row| row.id);
    let mut found: HashMap<CouponId, Vec<CouponBatch>> = HashMap::new();
    for row in rows {
        let batch = from_row(row)?;
        found.entry(batch.coupon).or_default().push(batch);
    }
    Ok(found)
}

fn free_codes(batch: CouponBatchId) -> sea_orm::Select<coupon_code::Entity> {
    coupon_code::Entity::find()
        .filter(coupon_code::Column::BatchId.eq(batch.uuid()))
        .filter(coupon_code::Column::UsedBy.is_null())
        .filter(coupon_code::Column::VoidAt.is_null())
}

/// How many codes of a batch no order holds or has used.
///
/// # Errors
/// The database's.
pub async fn free(txn: &DatabaseTransaction, batch: CouponBatchId) -> Result<u32, DbErr> {
    u32::try_from(free_codes(batch).count(txn).await?).map_err(corrupt)
}

/// Makes up to `most` of the newest free codes of a batch void and gives them, the newest first: one statement, so that the database is held no
/// longer than it takes to write them. A code that an order is taking at this moment counts as held, so that nobody waits here for a buyer who
/// waits for us.
///
/// # Errors
/// The database's.
pub async fn make_void(txn: &DatabaseTransaction, batch: CouponBatchId, most: u32, now: DateTime<Utc>) -> Result<Vec<String>, DbErr> {
    let mut newest =
        free_codes(batch).select_only().column(coupon_code::Column::Id).order_by_desc(coupon_code::Column::Id).limit(u64::from(most));
    QueryTrait::query(&mut newest).lock_with_behavior(LockType::NoKeyUpdate, LockBehavior::SkipLocked);
    let mut update = Query::update();
    update
        .table(coupon_code::Entity)
        .value(coupon_code::Column::VoidAt, now)
        .and_where(coupon_code::Column::Id.in_subquery(newest.into_query()))
        .returning(Query::returning().columns([coupon_code::Column::Id, coupon_code::Column::Code]));
    let rows = txn.query_all(&update).await?;
    let mut voided = Vec::with_capacity(rows.len());
    for row in rows {
        let code: (Uuid, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        voided.push(code);
    }
    voided.sort_unstable_by_key(|code| std::cmp::Reverse(code.0));
    Ok(voided.into_iter().map(|(_, code)| code).collect())
}
