//! What a thing of the catalogue said until it was changed.

use sea_orm::entity::prelude::*;

/// What a thing of the catalogue said until it was changed. What it says now stands in its own table.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "catalog_past")]
pub struct Model {
    /// The product, library, course, session or group.
    #[sea_orm(primary_key, auto_increment = false)]
    pub object_id: Uuid,
    /// Until when it said this.
    #[sea_orm(primary_key, auto_increment = false)]
    pub replaced_at: DateTimeUtc,
    /// What an offer shows of it.
    #[sea_orm(column_type = "JsonBinary")]
    pub said: Json,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
