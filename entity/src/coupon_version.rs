//! What a coupon was, from a change to the next.

use sea_orm::entity::prelude::*;

/// What a coupon was, from a change to the next.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "coupon_version")]
pub struct Model {
    /// Coupon.
    #[sea_orm(primary_key, auto_increment = false)]
    pub coupon_id: Uuid,
    /// Version.
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i64,
    /// Its name then.
    #[sea_orm(column_type = "Text")]
    pub name: String,
    /// Its rules then.
    #[sea_orm(column_type = "JsonBinary")]
    pub rules: Json,
    /// Whether it was switched on.
    pub active: bool,
    /// Who made the change.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// When.
    pub recorded_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
