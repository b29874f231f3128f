//! A learning object.

use sea_orm::entity::prelude::*;

/// A learning object.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "course")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Unique key as given.
    #[sea_orm(column_type = "Text")]
    pub key: String,
    /// The key in lower case.
    #[sea_orm(column_type = "Text")]
    pub key_folded: String,
    /// COURSE, CURRICULUM, MATERIAL, EXAM or EVENT.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// Title.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// Folded title, for order.
    #[sea_orm(column_type = "Text")]
    pub title_sort: String,
    /// Description, may be empty.
    #[sea_orm(column_type = "Text")]
    pub description: String,
    /// Who it comes from.
    pub provider_id: Option<Uuid>,
    /// Whether it is sold alone.
    pub commerce_enabled: bool,
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
