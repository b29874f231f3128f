//! What somebody is about to buy.

use sea_orm::entity::prelude::*;

/// What somebody is about to buy.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cart")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose cart; null for a guest's.
    pub account_id: Option<Uuid>,
    /// Keyed hash of a guest cart's secret; null once claimed.
    #[sea_orm(column_type = "Text", nullable)]
    pub secret_hash: Option<String>,
    /// Context: company.
    pub company_id: Option<Uuid>,
    /// Context: currency.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// Context: locale.
    #[sea_orm(column_type = "Text")]
    pub locale: String,
    /// Grows with every write.
    pub version: i64,
    /// OPEN, ORDERED or MERGED.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// The order it became.
    pub order_id: Option<Uuid>,
    /// The cart that took it over.
    pub merged_into: Option<Uuid>,
    /// Who buys.
    pub buyer_person_id: Option<Uuid>,
    /// The buyer by whom its coupons were judged when an order was asked for: since then it is no secret what they did.
    pub judged_person_id: Option<Uuid>,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
