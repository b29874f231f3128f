//! The number of the last event of an object: it stays when the event is dropped.

use sea_orm::entity::prelude::*;

/// The number of the last event of an object: it stays when the event is dropped.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event_sequence")]
pub struct Model {
    /// The object.
    #[sea_orm(primary_key, auto_increment = false)]
    pub object_id: Uuid,
    /// The number.
    pub last: i64,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
