//! What things of the catalogue said before they were changed.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{json_binary, timestamp_with_time_zone, uuid};

/// What things of the catalogue said before they were changed.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("catalog_past")
                    .col(uuid("object_id"))
                    .col(timestamp_with_time_zone("replaced_at"))
                    .col(json_binary("said"))
                    .primary_key(Index::create().col("object_id").col("replaced_at"))
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("catalog_past").take()).await
    }
}
