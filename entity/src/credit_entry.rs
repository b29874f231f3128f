//! A move of credits of one owner, and why. Written once.

use sea_orm::entity::prelude::*;

/// A move of credits of one owner, and why. Written once.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_entry")]
pub struct Model {
    /// Row id, in order of recording.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose credits.
    pub owner_id: Uuid,
    /// Why they moved.
    #[sea_orm(column_type = "Text")]
    pub cause: String,
    /// How many, over all lots.
    pub count: i64,
    /// What kind of thing moved them.
    #[sea_orm(column_type = "Text")]
    pub source_kind: String,
    /// Which one.
    pub source_id: Uuid,
    /// The learner who spent them, or for whom they were given back.
    pub account_id: Option<Uuid>,
    /// Who did it: `acc_…`, `key_…`, `system`.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// Why, in words.
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    /// When they moved; for an end, that of the lot.
    pub happened_at: DateTimeUtc,
    /// When it came into the books.
    pub recorded_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
