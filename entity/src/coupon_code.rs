//! A code, or a prefix of codes: one namespace for the whole shop.

use sea_orm::entity::prelude::*;

/// A code, or a prefix of codes: one namespace for the whole shop.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "coupon_code")]
pub struct Model {
    /// Row id, in order of making.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Coupon.
    pub coupon_id: Uuid,
    /// Batch; its codes work once.
    pub batch_id: Option<Uuid>,
    /// CODE, or PREFIX, which nobody can use.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// As it was given.
    #[sea_orm(column_type = "Text")]
    pub code: String,
    /// The folded form that is unique.
    #[sea_orm(column_type = "Text")]
    pub code_key: String,
    /// For codes of batches: the order that holds or has used it.
    pub used_by: Option<Uuid>,
    /// When it was made void.
    pub void_at: Option<DateTimeUtc>,
    /// When it was made.
    pub created_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
