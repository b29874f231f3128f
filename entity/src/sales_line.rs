//! A line of a sales order.

use sea_orm::entity::prelude::*;

/// A line of a sales order.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sales_line")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its order.
    pub sales_order_id: Uuid,
    /// Place in the order, from 0.
    pub position: i32,
    /// Product.
    pub product_id: Uuid,
    /// What each seat opens: kind.
    #[sea_orm(column_type = "Text")]
    pub target_kind: String,
    /// What each seat opens.
    pub target_id: Uuid,
    /// SKU as it was.
    #[sea_orm(column_type = "Text")]
    pub sku: String,
    /// Title as it was.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// Product code as it was.
    #[sea_orm(column_type = "Text", nullable)]
    pub product_code: Option<String>,
    /// How many seats.
    pub quantity: i64,
    /// The recommended price with its steps; null where there was none.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub recommended: Option<Json>,
    /// The recommended price of one seat.
    pub recommended_unit_minor: Option<i64>,
    /// The recommended price of all.
    pub recommended_subtotal_minor: Option<i64>,
    /// The recommended terms of access.
    #[sea_orm(column_type = "JsonBinary")]
    pub recommended_terms: Json,
    /// The agreed price of one seat; null where the parts of a graduated schedule differ.
    pub unit_price_minor: Option<i64>,
    /// The agreed terms of access.
    #[sea_orm(column_type = "JsonBinary")]
    pub terms: Json,
    /// Who agreed.
    #[sea_orm(column_type = "Text")]
    pub agreed_by: String,
    /// Why it is something else than recommended; null = it is not.
    #[sea_orm(column_type = "Text", nullable)]
    pub agreed_reason: Option<String>,
    /// Agreed price of all seats.
    pub subtotal_minor: i64,
    /// Discounts.
    pub discount_minor: i64,
    /// Without tax.
    pub net_minor: i64,
    /// Tax rate in millionths.
    pub tax_rate_millionths: i64,
    /// Tax.
    pub tax_minor: i64,
    /// What is paid for the line.
    pub total_minor: i64,
    /// Seats that went back.
    pub credited_quantity: i64,
    /// What of the total went back with them.
    pub credited_minor: i64,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
