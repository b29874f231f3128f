//! What a learner has spent of a company's credits.

use sea_orm::entity::prelude::*;

/// What a learner has spent of a company's credits.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_allowance")]
pub struct Model {
    /// The company.
    #[sea_orm(primary_key, auto_increment = false)]
    pub company_id: Uuid,
    /// The learner.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// Spent, less what was given back.
    pub spent: i64,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
