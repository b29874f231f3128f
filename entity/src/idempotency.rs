//! An answer kept so that the same call gives it again.

use sea_orm::entity::prelude::*;

/// An answer kept so that the same call gives it again.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency")]
pub struct Model {
    /// Who called.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub actor: String,
    /// Which mutation.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub operation: String,
    /// Their key.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub key: String,
    /// Hash of the canonical input.
    #[sea_orm(column_type = "Text")]
    pub input_hash: String,
    /// Ids of what was made.
    #[sea_orm(column_type = "JsonBinary")]
    pub result: Json,
    /// When.
    pub created_at: DateTimeUtc,
    /// Kept until.
    pub expires_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
