//! The one row at which who enters royalties and who closes a period meet.

use sea_orm::entity::prelude::*;

/// The one row at which who enters royalties and who closes a period meet.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "royalty_book")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// The last period that is closed.
    #[sea_orm(column_type = "Text", nullable)]
    pub closed_through: Option<String>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
