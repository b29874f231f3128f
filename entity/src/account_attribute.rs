//! What is said of an account, for the rules of automatic groups.

use sea_orm::entity::prelude::*;

/// What is said of an account, for the rules of automatic groups.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account_attribute")]
pub struct Model {
    /// Account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// Name, folded.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub name: String,
    /// Value as given.
    #[sea_orm(column_type = "Text")]
    pub value: String,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
