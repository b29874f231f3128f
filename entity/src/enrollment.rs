//! A learner's place in one course.

use sea_orm::entity::prelude::*;

/// A learner's place in one course.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "enrollment")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Learner.
    pub account_id: Uuid,
    /// Course.
    pub course_id: Uuid,
    /// Title that the learner started with.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// NOT_STARTED, STARTED, COMPLETED, PASSED or FAILED.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// First start.
    pub started_at: Option<DateTimeUtc>,
    /// Which registration for the course this is, from 1.
    pub registration: i32,
    /// When the course was first passed, whatever came later.
    pub passed_at: Option<DateTimeUtc>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
