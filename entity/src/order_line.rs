//! One line of an order; titles, prices and terms as they were.

use sea_orm::entity::prelude::*;

/// One line of an order; titles, prices and terms as they were.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_line")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Order.
    pub order_id: Uuid,
    /// Place, from 0.
    pub position: i32,
    /// Product.
    pub product_id: Uuid,
    /// LIBRARY, COURSE, SESSION or GROUP; CREDIT_PACK where it opens nothing.
    #[sea_orm(column_type = "Text")]
    pub target_kind: String,
    /// The thing sold.
    pub target_id: Uuid,
    /// SKU then.
    #[sea_orm(column_type = "Text")]
    pub sku: String,
    /// Title then.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// Product code then.
    #[sea_orm(column_type = "Text", nullable)]
    pub product_code: Option<String>,
    /// Session.
    pub session_id: Option<Uuid>,
    /// SELF, SEATS or LEARNER.
    #[sea_orm(column_type = "Text")]
    pub for_kind: String,
    /// The named learner.
    pub learner_person_id: Option<Uuid>,
    /// Units.
    pub quantity: i64,
    /// Unit price; null where the steps of a graduated schedule differ.
    pub unit_price_minor: Option<i64>,
    /// List unit price.
    pub list_price_minor: Option<i64>,
    /// Before discounts.
    pub subtotal_minor: i64,
    /// Discounts.
    pub discount_minor: i64,
    /// Without tax.
    pub net_minor: i64,
    /// Tax rate.
    pub tax_rate_millionths: i64,
    /// Tax.
    pub tax_minor: i64,
    /// What is paid for the line.
    pub total_minor: i64,
    /// Steps of the price.
    #[sea_orm(column_type = "JsonBinary")]
    pub breakdown: Json,
    /// Terms of access.
    #[sea_orm(column_type = "JsonBinary")]
    pub terms: Json,
    /// Refunded so far, under way included.
    pub refunded_minor: i64,
    /// Of that, refunded by quantity.
    pub refunded_by_quantity_minor: i64,
    /// Units refunded so far.
    pub refunded_quantity: i64,
    /// ENROL or KEYS.
    #[sea_orm(column_type = "Text")]
    pub fulfilment: String,
    /// The code of the coupon that took the line.
    #[sea_orm(column_type = "Text", nullable)]
    pub coupon_code: Option<String>,
    /// The credits that it gives, all units together; 0 = none.
    pub credits: i64,
    /// For how many days its credits can be spent; null = without end.
    pub credit_days: Option<i32>,
    /// The product whose courses its credits pay for; null = any.
    pub credit_tied_to: Option<Uuid>,
    /// The royalty that was recommended, if one is owed.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub royalty: Option<Json>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
