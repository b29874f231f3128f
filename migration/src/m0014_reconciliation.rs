//! The nightly comparison of payments with their gateways: its runs, and what it found.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{integer, json_binary, text, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null};

/// The nightly comparison of payments with their gateways: its runs, and what it found.
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
                    .table("reconciliation")
                    .col(text("night").primary_key())
                    .col(timestamp_with_time_zone("began_at"))
                    .col(timestamp_with_time_zone_null("ended_at"))
                    .col(uuid_null("after_payment_id"))
                    .col(integer("compared"))
                    .col(integer("differing"))
                    .col(integer("unanswered"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("payment_difference")
                    .col(uuid("payment_id").primary_key())
                    .col(json_binary("differences"))
                    .col(timestamp_with_time_zone("found_at"))
                    .col(timestamp_with_time_zone("seen_at"))
                    .col(timestamp_with_time_zone_null("cleared_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("payment_difference_payment_id_fkey")
                            .from("payment_difference", "payment_id")
                            .to("payment", "id"),
                    )
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["payment_difference", "reconciliation"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}
