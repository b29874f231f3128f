//! Companies and their people.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{boolean, json_binary, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid};

/// Companies and their people.
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
                    .table("company")
                    .col(uuid("id").primary_key())
                    .col(text("key"))
                    .col(text("key_folded").unique_key())
                    .col(text("name"))
                    .col(text("kind"))
                    .col(boolean("enabled"))
                    .col(text_null("time_zone"))
                    .col(text("storefront"))
                    .col(json_binary("email_domains"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .col(timestamp_with_time_zone_null("archived_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("company_member")
                    .col(uuid("company_id"))
                    .col(uuid("account_id"))
                    .col(text("role"))
                    .col(text("via"))
                    .col(timestamp_with_time_zone("since"))
                    .primary_key(Index::create().col("company_id").col("account_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("company_member_company_id_fkey")
                            .from("company_member", "company_id")
                            .to("company", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("company_member_account_id_fkey")
                            .from("company_member", "account_id")
                            .to("account", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_index(Index::create().name("company_member_account_id_idx").table("company_member").col("account_id").take())
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("company_member").take()).await?;
        manager.drop_table(Table::drop().table("company").take()).await?;
        Ok(())
    }
}
