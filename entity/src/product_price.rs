//! A price row of a product from one instant to another.

use sea_orm::entity::prelude::*;

/// A price row of a product from one instant to another.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "product_price")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Product.
    pub product_id: Uuid,
    /// ISO 4217 code.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// Unit price in minor units.
    pub amount_minor: i64,
    /// For members of this group only.
    pub group_id: Option<Uuid>,
    /// Start of the window.
    pub starts_at: Option<DateTimeUtc>,
    /// End of the window, exclusive.
    pub ends_at: Option<DateTimeUtc>,
    /// From when the row held.
    pub recorded_at: DateTimeUtc,
    /// Until when it held; null = still.
    pub replaced_at: Option<DateTimeUtc>,
    /// Who set it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// Who replaced it.
    #[sea_orm(column_type = "Text", nullable)]
    pub replaced_by: Option<String>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
