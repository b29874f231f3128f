//! A course of a library.

use sea_orm::entity::prelude::*;

/// A course of a library.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "library_course")]
pub struct Model {
    /// Library.
    #[sea_orm(primary_key, auto_increment = false)]
    pub library_id: Uuid,
    /// Course.
    #[sea_orm(primary_key, auto_increment = false)]
    pub course_id: Uuid,
    /// Place, from 0.
    pub position: i32,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
