//! A key of a program: scoped, stored as a hash, revocable.

use sea_orm::entity::prelude::*;

/// A key of a program: scoped, stored as a hash, revocable.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "service_key")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What the key is for.
    #[sea_orm(column_type = "Text")]
    pub name: String,
    /// OPERATOR, MANAGER or SERVICE.
    #[sea_orm(column_type = "Text")]
    pub role: String,
    /// The company of a manager's key.
    pub company_id: Option<Uuid>,
    /// Scopes, such as `catalog:write`.
    #[sea_orm(column_type = "JsonBinary")]
    pub scopes: Json,
    /// Keyed hash of the secret.
    #[sea_orm(column_type = "Text")]
    pub secret_hash: String,
    /// Actor who made it.
    #[sea_orm(column_type = "Text")]
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it was revoked.
    pub revoked_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
