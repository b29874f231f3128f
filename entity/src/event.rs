//! A fact that others are told of.

use sea_orm::entity::prelude::*;

/// A fact that others are told of.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What happened.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// To what.
    pub object_id: Uuid,
    /// Its id as others know it.
    #[sea_orm(column_type = "Text")]
    pub object_ref: String,
    /// The how many-th of the object's.
    pub sequence: i64,
    /// What there is to know.
    #[sea_orm(column_type = "JsonBinary")]
    pub data: Json,
    /// When.
    pub occurred_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
