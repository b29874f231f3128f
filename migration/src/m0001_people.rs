//! People: the installation's own row, persons, accounts, links, keys.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    integer, json_binary, json_binary_null, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

/// People: the installation's own row, persons, accounts, links, keys.
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
                    .table("installation")
                    .col(integer("id").primary_key())
                    .col(text("secret_check"))
                    .col(text_null("base_currency"))
                    .col(timestamp_with_time_zone("created_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("person")
                    .col(uuid("id").primary_key())
                    .col(text_null("email"))
                    .col(text("email_hash"))
                    .col(text_null("name"))
                    .col(json_binary_null("address"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone_null("erased_at"))
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("person_email_hash_idx").table("person").col("email_hash").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("account")
                    .col(uuid("id").primary_key())
                    .col(uuid("person_id"))
                    .col(text("email_hash").unique_key())
                    .col(text("email_domain"))
                    .col(timestamp_with_time_zone_null("email_verified_at"))
                    .col(text_null("password_hash"))
                    .col(json_binary_null("operator_scopes"))
                    .col(timestamp_with_time_zone("sessions_valid_from"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .foreign_key(ForeignKey::create().name("account_person_id_fkey").from("account", "person_id").to("person", "id"))
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("account_email_domain_idx").table("account").col("email_domain").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("one_time_link")
                    .col(uuid("id").primary_key())
                    .col(uuid("account_id"))
                    .col(text("secret_hash").unique_key())
                    .col(text_null("secret_sealed"))
                    .col(text("road"))
                    .col(uuid_null("order_id"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("expires_at"))
                    .col(timestamp_with_time_zone_null("used_at"))
                    .foreign_key(
                        ForeignKey::create().name("one_time_link_account_id_fkey").from("one_time_link", "account_id").to("account", "id"),
                    )
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("one_time_link_account_id_idx").table("one_time_link").col("account_id").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("signing_key")
                    .col(uuid("id").primary_key())
                    .col(text("secret_sealed"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("retires_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("service_key")
                    .col(uuid("id").primary_key())
                    .col(text("name"))
                    .col(text("role"))
                    .col(uuid_null("company_id"))
                    .col(json_binary("scopes"))
                    .col(text("secret_hash").unique_key())
                    .col(text("created_by"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone_null("revoked_at"))
                    .take(),
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("service_key").take()).await?;
        manager.drop_table(Table::drop().table("signing_key").take()).await?;
        manager.drop_table(Table::drop().table("one_time_link").take()).await?;
        manager.drop_table(Table::drop().table("account").take()).await?;
        manager.drop_table(Table::drop().table("person").take()).await?;
        manager.drop_table(Table::drop().table("installation").take()).await?;
        Ok(())
    }
}
