//! A sold line that owes a royalty, as it was when it was sold; never changed.

use sea_orm::entity::prelude::*;

/// A sold line that owes a royalty, as it was when it was sold; never changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "royalty")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// ORDER_LINE or SALES_LINE.
    #[sea_orm(column_type = "Text")]
    pub source_kind: String,
    /// The line.
    pub line_id: Uuid,
    /// Who is owed.
    pub licensor_id: Uuid,
    /// The plan that said so.
    pub plan_id: Uuid,
    /// OPERATOR, COMPANY or LICENSOR.
    #[sea_orm(column_type = "Text")]
    pub originator: String,
    /// RETAIL or SALES_ORDER.
    #[sea_orm(column_type = "Text")]
    pub channel: String,
    /// How it was computed.
    #[sea_orm(column_type = "JsonBinary")]
    pub rule: Json,
    /// The company concerned.
    pub company_id: Option<Uuid>,
    /// Number of the order.
    #[sea_orm(column_type = "Text")]
    pub reference: String,
    /// Product.
    pub product_id: Uuid,
    /// SKU then.
    #[sea_orm(column_type = "Text")]
    pub sku: String,
    /// Title then.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// Product code then.
    #[sea_orm(column_type = "Text", nullable)]
    pub product_code: Option<String>,
    /// Units.
    pub quantity: i64,
    /// The line after discounts, before tax.
    pub net_minor: i64,
    /// Its currency.
    #[sea_orm(column_type = "Text")]
    pub net_currency: String,
    /// The royalty that was recommended.
    pub recommended_minor: i64,
    /// The currency that it is owed in.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
