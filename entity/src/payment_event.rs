//! What was heard of an attempt, by whichever road; append-only.

use sea_orm::entity::prelude::*;

/// What was heard of an attempt, by whichever road; append-only.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_event")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Attempt.
    pub payment_id: Uuid,
    /// REPLY, WEBHOOK, RETURN, POLL or OPERATOR.
    #[sea_orm(column_type = "Text")]
    pub road: String,
    /// Status that was reported.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// Facts that were reported.
    #[sea_orm(column_type = "JsonBinary")]
    pub detail: Json,
    /// Whether it changed the attempt.
    pub changed: bool,
    /// When it was heard.
    pub happened_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
