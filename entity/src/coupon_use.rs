//! A use of a coupon by an order.

use sea_orm::entity::prelude::*;

/// A use of a coupon by an order.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "coupon_use")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Coupon.
    pub coupon_id: Uuid,
    /// Code.
    pub code_id: Uuid,
    /// Order.
    pub order_id: Uuid,
    /// Order of adding to the cart.
    pub position: i32,
    /// The code as it was given.
    #[sea_orm(column_type = "Text")]
    pub code: String,
    /// Which version of the coupon.
    pub coupon_version: i64,
    /// RESERVED, SPENT or FREED.
    #[sea_orm(column_type = "Text")]
    pub state: String,
    /// Whom the coupon was for, by this code.
    #[sea_orm(column_type = "Text")]
    pub audience: String,
    /// Whether the use stands in the count of the coupon.
    pub counted: bool,
    /// Whether the code is used up by it.
    pub single_use: bool,
    /// Account of the buyer.
    pub account_id: Option<Uuid>,
    /// Keyed hash of the buyer's e-mail.
    #[sea_orm(column_type = "Text")]
    pub email_hash: String,
    /// Keyed hash of the e-mail of the account.
    #[sea_orm(column_type = "Text", nullable)]
    pub account_email_hash: Option<String>,
    /// Currency of the discount.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// What it took off, in minor units.
    pub discount: i64,
    /// The exchange rate that its amounts were converted by.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub rate: Option<Json>,
    /// When it was taken.
    pub created_at: DateTimeUtc,
    /// When its state last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
