//! A key that signs sign-in tokens; they rotate.

use sea_orm::entity::prelude::*;

/// A key that signs sign-in tokens; they rotate.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_key")]
pub struct Model {
    /// Key id, the `kid` of tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Private key, sealed with the installation secret.
    #[sea_orm(column_type = "Text")]
    pub secret_sealed: String,
    /// From when it signs.
    pub created_at: DateTimeUtc,
    /// Until when it signs; tokens it signed are honoured to their own end.
    pub retires_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
