//! The telling of one event to one endpoint.

use sea_orm::entity::prelude::*;

/// The telling of one event to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event_delivery")]
pub struct Model {
    /// Row id; also that of its job.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The event.
    pub event_id: Uuid,
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// The event's object.
    pub object_id: Uuid,
    /// The event's place among those of the object.
    pub sequence: i64,
    /// QUEUED, DELIVERED or FAILED.
    #[sea_orm(column_type = "Text")]
    pub state: String,
    /// Tries so far.
    pub tries: i32,
    /// When it is tried next.
    pub next_try_at: Option<DateTimeUtc>,
    /// What the endpoint answered last.
    pub status_code: Option<i32>,
    /// What went wrong last.
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<String>,
    /// Since when it is tried: its making, or its last replay.
    pub queued_at: DateTimeUtc,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When the endpoint took it.
    pub delivered_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
