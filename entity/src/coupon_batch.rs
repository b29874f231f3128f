//! Many codes of one coupon, for one use each.

use sea_orm::entity::prelude::*;

/// Many codes of one coupon, for one use each.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "coupon_batch")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Coupon.
    pub coupon_id: Uuid,
    /// What its codes begin with.
    #[sea_orm(column_type = "Text")]
    pub prefix: String,
    /// How many codes it is to have, void ones not counted.
    pub count: i32,
    /// How many it has, void ones not counted.
    pub made: i32,
    /// Who asked for it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// When.
    pub created_at: DateTimeUtc,
    /// When the last of its codes was made.
    pub done_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
