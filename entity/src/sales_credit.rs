//! What of a sales order is not to be paid, or goes back; never changed.

use sea_orm::entity::prelude::*;

/// What of a sales order is not to be paid, or goes back; never changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sales_credit")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The sales order.
    pub sales_order_id: Uuid,
    /// How much.
    pub amount_minor: i64,
    /// What of that is tax.
    pub tax_minor: i64,
    /// What of it is paid out, because it was paid.
    pub returned_minor: i64,
    /// Why.
    #[sea_orm(column_type = "Text")]
    pub reason: String,
    /// Who said so.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// When.
    pub recorded_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
