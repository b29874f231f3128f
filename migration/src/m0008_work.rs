//! Jobs, idempotency, audit.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    integer, json_binary, json_binary_null, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

/// Jobs, idempotency, audit.
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
                    .table("job")
                    .col(uuid("id").primary_key())
                    .col(text("kind"))
                    .col(text("object_key"))
                    .col(json_binary("payload"))
                    .col(text("status"))
                    .col(timestamp_with_time_zone("run_at"))
                    .col(text_null("lease_owner"))
                    .col(timestamp_with_time_zone_null("lease_until"))
                    .col(integer("tries"))
                    .col(text_null("last_error"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone_null("done_at"))
                    .take(),
            )
            .await?;
        manager
            .create_index(Index::create().name("job_status_run_at_id_idx").table("job").col("status").col("run_at").col("id").take())
            .await?;
        manager
            .create_index(
                Index::create().name("job_object_key_status_id_idx").table("job").col("object_key").col("status").col("id").take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("idempotency")
                    .col(text("actor"))
                    .col(text("operation"))
                    .col(text("key"))
                    .col(text("input_hash"))
                    .col(json_binary("result"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("expires_at"))
                    .primary_key(Index::create().col("actor").col("operation").col("key"))
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("idempotency_expires_at_idx").table("idempotency").col("expires_at").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("audit")
                    .col(uuid("id").primary_key())
                    .col(timestamp_with_time_zone("happened_at"))
                    .col(text("actor_kind"))
                    .col(text("actor"))
                    .col(uuid_null("company_id"))
                    .col(text("operation"))
                    .col(text("object_kind"))
                    .col(uuid_null("object_id"))
                    .col(json_binary_null("old"))
                    .col(json_binary_null("new"))
                    .col(text_null("request_id"))
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("audit_happened_at_id_idx").table("audit").col("happened_at").col("id").take()).await?;
        manager
            .create_index(Index::create().name("audit_object_id_happened_at_idx").table("audit").col("object_id").col("happened_at").take())
            .await?;
        manager
            .create_index(
                Index::create().name("audit_company_id_happened_at_idx").table("audit").col("company_id").col("happened_at").take(),
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("audit").take()).await?;
        manager.drop_table(Table::drop().table("idempotency").take()).await?;
        manager.drop_table(Table::drop().table("job").take()).await?;
        Ok(())
    }
}
