//! A coupon: the rule behind its codes.

use sea_orm::entity::prelude::*;

/// A coupon: the rule behind its codes.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "coupon")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What operators call it.
    #[sea_orm(column_type = "Text")]
    pub name: String,
    /// DISCOUNT or PACK.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// What it gives and its limits, as of its version.
    #[sea_orm(column_type = "JsonBinary")]
    pub rules: Json,
    /// Grows with every change.
    pub version: i64,
    /// Whether it is switched on.
    pub active: bool,
    /// How often it can be used; none = without end.
    pub total_uses: Option<i32>,
    /// Uses that count, kept only where the number of uses is limited.
    pub used: i64,
    /// From when it works.
    pub starts_at: Option<DateTimeUtc>,
    /// Until when, exclusive.
    pub ends_at: Option<DateTimeUtc>,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
    /// When it was archived.
    pub archived_at: Option<DateTimeUtc>,
    /// Of a pack that everybody is shown: its product.
    pub public_pack_of: Option<Uuid>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
