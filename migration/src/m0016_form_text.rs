//! What operators write for the order forms of products.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{text, timestamp_with_time_zone, uuid};

/// What operators write for the order forms of products.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("product_form_text")
            .col(uuid("product_id"))
            .col(text("locale"))
            .col(text("markdown"))
            .col(timestamp_with_time_zone("touched_at"))
            .primary_key(Index::create().col("product_id").col("locale"))
            .take();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("product_form_text").take()).await
    }
}
