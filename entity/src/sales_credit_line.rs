//! What of a line a credit entry is about.

use sea_orm::entity::prelude::*;

/// What of a line a credit entry is about.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sales_credit_line")]
pub struct Model {
    /// The credit entry.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sales_credit_id: Uuid,
    /// The line.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sales_line_id: Uuid,
    /// How many seats.
    pub quantity: i64,
    /// What was agreed for them.
    pub amount_minor: i64,
    /// What of that is tax.
    pub tax_minor: i64,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
