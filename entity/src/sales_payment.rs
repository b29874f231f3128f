//! Money that came for a sales order; never changed.

use sea_orm::entity::prelude::*;

/// Money that came for a sales order; never changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sales_payment")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The sales order.
    pub sales_order_id: Uuid,
    /// How much.
    pub amount_minor: i64,
    /// What the bank or the payer called it.
    #[sea_orm(column_type = "Text")]
    pub reference: String,
    /// Who recorded it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// When.
    pub recorded_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
