//! Seats of a session that one source holds or gave.

use sea_orm::entity::prelude::*;

/// Seats of a session that one source holds or gave.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session_seat")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Session.
    pub session_id: Uuid,
    /// What holds them: the kind of a grant's source.
    #[sea_orm(column_type = "Text")]
    pub source_kind: String,
    /// The line or token.
    pub source_id: Uuid,
    /// The order behind it.
    pub order_id: Option<Uuid>,
    /// Keyed hash of the e-mail of whoever sits on it; null for seats that tokens hand out.
    #[sea_orm(column_type = "Text", nullable)]
    pub holder_hash: Option<String>,
    /// How many.
    pub quantity: i64,
    /// HELD, GIVEN or FREED.
    #[sea_orm(column_type = "Text")]
    pub state: String,
    /// When they were taken.
    pub created_at: DateTimeUtc,
    /// When that last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
