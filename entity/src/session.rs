//! A dated session of an event, with seats.

use sea_orm::entity::prelude::*;

/// A dated session of an event, with seats.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The event.
    pub course_id: Uuid,
    /// Start.
    pub starts_at: DateTimeUtc,
    /// End.
    pub ends_at: DateTimeUtc,
    /// IANA zone that its times are shown in.
    #[sea_orm(column_type = "Text")]
    pub time_zone: String,
    /// Place or https address.
    #[sea_orm(column_type = "Text", nullable)]
    pub location: Option<String>,
    /// Seats in all.
    pub seats: i64,
    /// Seats that are held or given: the sum of the living rows of `session_seat`.
    pub taken: i64,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
    /// When it was archived.
    pub archived_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
