//! What a company changed about a product from one instant to another.

use sea_orm::entity::prelude::*;

/// What a company changed about a product from one instant to another.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "company_offer")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Company.
    pub company_id: Uuid,
    /// Product.
    pub product_id: Uuid,
    /// Own title; null = inherit.
    #[sea_orm(column_type = "Text", nullable)]
    pub title: Option<String>,
    /// Folded own title, for order.
    #[sea_orm(column_type = "Text", nullable)]
    pub title_sort: Option<String>,
    /// Folded own title, for search.
    #[sea_orm(column_type = "Text", nullable)]
    pub search_title: Option<String>,
    /// Own description; null = inherit.
    #[sea_orm(column_type = "Text", nullable)]
    pub description: Option<String>,
    /// Folded own description, for search.
    #[sea_orm(column_type = "Text", nullable)]
    pub search_description: Option<String>,
    /// Own access days; null = inherit.
    pub access_days: Option<i32>,
    /// VISIBLE or HIDDEN; null = inherit.
    #[sea_orm(column_type = "Text", nullable)]
    pub visibility: Option<String>,
    /// Own unit prices: currency to minor units.
    #[sea_orm(column_type = "JsonBinary")]
    pub prices: Json,
    /// Start of the window.
    pub starts_at: Option<DateTimeUtc>,
    /// End of the window, exclusive.
    pub ends_at: Option<DateTimeUtc>,
    /// From when it held.
    pub recorded_at: DateTimeUtc,
    /// Until when it held; null = still.
    pub replaced_at: Option<DateTimeUtc>,
    /// Who set it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// Who replaced or unset it.
    #[sea_orm(column_type = "Text", nullable)]
    pub replaced_by: Option<String>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
