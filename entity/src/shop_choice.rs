//! One row: what operators choose for the shop while it runs.

use sea_orm::entity::prelude::*;

/// One row: what operators choose for the shop while it runs.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "shop_choice")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// The choices; what is left out has its default.
    #[sea_orm(column_type = "JsonBinary")]
    pub choices: Json,
    /// When they last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
