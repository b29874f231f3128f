//! Packs of credits that are sold by themselves, and the columns in which products and lines keep the credits that they give.

use chrono::{DateTime, Utc};
use domain::ProductId;
use domain::catalog::SaleState;
use domain::credit_sale::{Gain, Gives};
use entity::credit_pack::{ActiveModel, Column, Entity, Model};
use entity::product;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;
use uuid::Uuid;

use super::{corrupt, rows_in};

/// A pack of credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreditPack {
    /// Row id; its product names it.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// Description; may be empty.
    pub description: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

/// The packs with these ids.
///
/// # Errors
/// The database's.
pub async fn packs(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<CreditPack>, DbErr> {
    let rows = rows_in::<Entity>(db, Column::Id, ids).await?;
    Ok(rows
        .into_iter()
        .map(|Model { id, title, description, created_at, touched_at, archived_at }| CreditPack {
            id,
            title,
            description,
            created_at,
            touched_at,
            archived_at,
        })
        .collect())
}

/// The products on sale that give credits which pay for something of a course that `products` sell: free ones, and those tied to one of them.
///
/// # Errors
/// The database's.
pub async fn products_giving(db: &impl ConnectionTrait, products: &[ProductId]) -> Result<Vec<ProductId>, DbErr> {
    let tied = product::Column::CreditTiedTo.is_in(products.iter().map(|id| id.uuid()));
    let found = product::Entity::find()
        .select_only()
        .column(product::Column::Id)
        .filter(product::Column::Credits.gt(0i64))
        .filter(product::Column::State.eq(SaleState::OnSale.name()))
        .filter(Condition::any().add(product::Column::CreditTiedTo.is_null()).add(tied))
        .order_by_asc(product::Column::Id)
        .into_tuple::<Uuid>()
        .all(db)
        .await?;
    Ok(found.into_iter().map(Into::into).collect())
}

/// Writes a new pack.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, new: &CreditPack) -> Result<(), DbErr> {
    Entity::insert(row(new)).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes what changed of a pack.
///
/// # Errors
/// The database's.
pub async fn update(txn: &impl ConnectionTrait, changed: &CreditPack) -> Result<(), DbErr> {
    Entity::update(row(changed)).exec_without_returning(txn).await?;
    Ok(())
}

fn row(pack: &CreditPack) -> ActiveModel {
    ActiveModel {
        id: Set(pack.id),
        title: Set(pack.title.clone()),
        description: Set(pack.description.clone()),
        created_at: Set(pack.created_at),
        touched_at: Set(pack.touched_at),
        archived_at: Set(pack.archived_at),
    }
}

/// The credits of a line as its columns keep them: how many, for how many days, for which product's courses.
pub(super) type Columns = (i64, Option<i32>, Option<Uuid>);

/// Reads what a line gives.
pub(super) fn gain((count, days, tied_to): Columns) -> Result<Gain, DbErr> {
    Ok(Gain {
        count: u64::try_from(count).map_err(corrupt)?,
        days: days.map(u32::try_from).transpose().map_err(corrupt)?,
        tied_to: tied_to.map(ProductId::new),
    })
}

/// Reads what a product gives; none of them is nothing.
pub(super) fn gives(columns: Columns) -> Result<Option<Gives>, DbErr> {
    let Gain { count, days, tied_to } = gain(columns)?;
    let count = u32::try_from(count).map_err(corrupt)?;
    Ok((count > 0).then_some(Gives { count, days, tied_to }))
}

/// The columns of what a line gives.
pub(super) fn columns(gain: &Gain) -> Result<Columns, DbErr> {
    let days = gain.days.map(i32::try_from).transpose().map_err(corrupt)?;
    Ok((i64::try_from(gain.count).map_err(corrupt)?, days, gain.tied_to.map(ProductId::uuid)))
}
