//! What a group's members may see or get.

use sea_orm::entity::prelude::*;

/// What a group's members may see or get.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "group_content")]
pub struct Model {
    /// Group.
    #[sea_orm(primary_key, auto_increment = false)]
    pub group_id: Uuid,
    /// COURSE or LIBRARY.
    #[sea_orm(column_type = "Text")]
    pub target_kind: String,
    /// The course or library.
    #[sea_orm(primary_key, auto_increment = false)]
    pub target_id: Uuid,
    /// Hidden from everybody but members.
    pub sees: bool,
    /// Membership opens it.
    pub opens: bool,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
