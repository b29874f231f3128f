//! Work promised in the commit that made it due.

use sea_orm::entity::prelude::*;

/// Work promised in the commit that made it due.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job")]
pub struct Model {
    /// Row id, in order of making.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What to do.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// Jobs of one object run in order.
    #[sea_orm(column_type = "Text")]
    pub object_key: String,
    /// With what.
    #[sea_orm(column_type = "JsonBinary")]
    pub payload: Json,
    /// QUEUED, DONE or PARKED.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// Not before.
    pub run_at: DateTimeUtc,
    /// Worker that has it.
    #[sea_orm(column_type = "Text", nullable)]
    pub lease_owner: Option<String>,
    /// Until when.
    pub lease_until: Option<DateTimeUtc>,
    /// Tries so far.
    pub tries: i32,
    /// What went wrong last.
    #[sea_orm(column_type = "Text", nullable)]
    pub last_error: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTimeUtc,
    /// When it was done.
    pub done_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
