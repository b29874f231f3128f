//! What was sold or went back of one line at one instant; never changed.

use sea_orm::entity::prelude::*;

/// What was sold or went back of one line at one instant; never changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sale_entry")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// SALE, REFUND, or REFUND_UNDONE where the money did not go back after all.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// ORDER_LINE.
    #[sea_orm(column_type = "Text")]
    pub source_kind: String,
    /// The line.
    pub line_id: Uuid,
    /// The order that was paid, or the refund.
    pub cause_id: Uuid,
    /// The line's order.
    pub order_id: Uuid,
    /// When it was paid, or the money went back.
    pub at: DateTimeUtc,
    /// In whose context it was sold.
    pub company_id: Option<Uuid>,
    /// Product.
    pub product_id: Uuid,
    /// Product code then.
    #[sea_orm(column_type = "Text", nullable)]
    pub product_code: Option<String>,
    /// The same, folded.
    #[sea_orm(column_type = "Text", nullable)]
    pub product_code_folded: Option<String>,
    /// Currency of every amount.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// Units sold.
    pub quantity: i64,
    /// Before discounts.
    pub subtotal_minor: i64,
    /// Discounts.
    pub discount_minor: i64,
    /// Without tax.
    pub net_minor: i64,
    /// Tax.
    pub tax_minor: i64,
    /// What was paid for the line.
    pub total_minor: i64,
    /// Units that went back.
    pub refunded_quantity: i64,
    /// What went back.
    pub refunded_minor: i64,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
