//! What an entry moves of one lot, from one book to another. Written once.

use sea_orm::entity::prelude::*;

/// What an entry moves of one lot, from one book to another. Written once.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_posting")]
pub struct Model {
    /// The entry.
    #[sea_orm(primary_key, auto_increment = false)]
    pub entry_id: Uuid,
    /// The lot.
    #[sea_orm(primary_key, auto_increment = false)]
    pub lot_id: Uuid,
    /// The book that it leaves.
    #[sea_orm(column_type = "Text")]
    pub debit: String,
    /// The book that it comes to.
    #[sea_orm(column_type = "Text")]
    pub credit: String,
    /// How many.
    pub count: i64,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
