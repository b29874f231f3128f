//! One item inside a course.

use sea_orm::entity::prelude::*;

/// One item inside a course.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "resource")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its course.
    pub course_id: Uuid,
    /// Title.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// Credits that renting it costs; 0 = it opens with its course.
    pub cost: i64,
    /// Days that a rental lasts.
    pub days: i32,
    /// TEXT, IMAGE or VIDEO.
    #[sea_orm(column_type = "Text", nullable)]
    pub demo_kind: Option<String>,
    /// The text, or the https address.
    #[sea_orm(column_type = "Text", nullable)]
    pub demo: Option<String>,
    /// Its place in the course.
    pub position: i32,
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
