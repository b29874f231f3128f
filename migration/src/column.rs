//! Column kinds that the two databases spell differently.

use sea_orm_migration::prelude::*;

/// A text whose order is that of its UTF-8 bytes on both databases: SQLite's default, on PostgreSQL the collation "C".
pub(crate) fn sorted(manager: &SchemaManager, name: &'static str) -> ColumnDef {
    sorted_null(manager, name).not_null().take()
}

/// The same, nullable.
pub(crate) fn sorted_null(manager: &SchemaManager, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.text();
    if manager.get_database_backend() == sea_orm_migration::sea_orm::DbBackend::Postgres {
        column.extra(r#"COLLATE "C""#);
    }
    column
}
