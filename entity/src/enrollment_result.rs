//! One result of an enrollment; append-only.

use sea_orm::entity::prelude::*;

/// One result of an enrollment; append-only.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "enrollment_result")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Enrollment.
    pub enrollment_id: Uuid,
    /// PASSED, FAILED or COMPLETED.
    #[sea_orm(column_type = "Text")]
    pub result: String,
    /// Score as given.
    #[sea_orm(column_type = "Text", nullable)]
    pub score: Option<String>,
    /// In which registration for the course, from 1.
    pub registration: i32,
    /// Who recorded it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// When.
    pub recorded_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
