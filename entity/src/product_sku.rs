//! Every SKU a product ever had, reserved to it.

use sea_orm::entity::prelude::*;

/// Every SKU a product ever had, reserved to it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "product_sku")]
pub struct Model {
    /// SKU in lower case.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub sku_folded: String,
    /// SKU as given.
    #[sea_orm(column_type = "Text")]
    pub sku: String,
    /// Product.
    pub product_id: Uuid,
    /// Since when.
    pub created_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
