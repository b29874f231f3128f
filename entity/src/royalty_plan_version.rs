//! What a plan said from one instant to another.

use sea_orm::entity::prelude::*;

/// What a plan said from one instant to another.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "royalty_plan_version")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Plan.
    pub plan_id: Uuid,
    /// Who is owed.
    pub licensor_id: Uuid,
    /// Rates by originator and channel.
    #[sea_orm(column_type = "JsonBinary")]
    pub rates: Json,
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
