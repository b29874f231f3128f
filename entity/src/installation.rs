//! One row: facts of the whole installation.

use sea_orm::entity::prelude::*;

/// One row: facts of the whole installation.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "installation")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// Keyed hash of a fixed text: tells a wrong installation secret at start-up.
    #[sea_orm(column_type = "Text")]
    pub secret_check: String,
    /// Base currency, fixed once a price exists.
    #[sea_orm(column_type = "Text", nullable)]
    pub base_currency: Option<String>,
    /// When the installation was first migrated.
    pub created_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
