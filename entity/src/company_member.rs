//! A person of a company.

use sea_orm::entity::prelude::*;

/// A person of a company.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "company_member")]
pub struct Model {
    /// Company.
    #[sea_orm(primary_key, auto_increment = false)]
    pub company_id: Uuid,
    /// Account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// LEARNER or MANAGER.
    #[sea_orm(column_type = "Text")]
    pub role: String,
    /// MANAGER or TOKEN: how they came in.
    #[sea_orm(column_type = "Text")]
    pub via: String,
    /// Since when.
    pub since: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
