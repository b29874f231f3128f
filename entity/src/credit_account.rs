//! Somebody who holds credits.

use sea_orm::entity::prelude::*;

/// Somebody who holds credits.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_account")]
pub struct Model {
    /// The account or company.
    #[sea_orm(primary_key, auto_increment = false)]
    pub owner_id: Uuid,
    /// ACCOUNT or COMPANY.
    #[sea_orm(column_type = "Text")]
    pub owner_kind: String,
    /// What all lots hold by the books, those included whose end has come and is not in the books yet.
    pub balance: i64,
    /// When the first credits came.
    pub created_at: DateTimeUtc,
    /// When credits last moved.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
