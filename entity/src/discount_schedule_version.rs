//! What a schedule said from one instant to another.

use sea_orm::entity::prelude::*;

/// What a schedule said from one instant to another.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "discount_schedule_version")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Schedule.
    pub schedule_id: Uuid,
    /// SLAB or GRADUATED.
    #[sea_orm(column_type = "Text")]
    pub mode: String,
    /// SALES_ORDER or ALL.
    #[sea_orm(column_type = "Text")]
    pub applies_to: String,
    /// Tiers in order of minimum quantity.
    #[sea_orm(column_type = "JsonBinary")]
    pub tiers: Json,
    /// From when it held.
    pub recorded_at: DateTimeUtc,
    /// Until when it held; null = still.
    pub replaced_at: Option<DateTimeUtc>,
    /// Who set it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
