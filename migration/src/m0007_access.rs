//! Entitlements, enrollments, tokens.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, json_binary, json_binary_null, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null,
    uuid, uuid_null,
};

/// Entitlements, enrollments, tokens.
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
                    .table("entitlement")
                    .col(uuid("id").primary_key())
                    .col(uuid("account_id"))
                    .col(text("target_kind"))
                    .col(uuid("target_id"))
                    .col(text("source_kind"))
                    .col(uuid("source_id"))
                    .col(uuid_null("order_id"))
                    .col(text("actor"))
                    .col(text_null("reason"))
                    .col(json_binary("terms"))
                    .col(timestamp_with_time_zone("granted_at"))
                    .col(big_integer("seq"))
                    .col(timestamp_with_time_zone_null("starts_at"))
                    .col(timestamp_with_time_zone_null("ends_at"))
                    .col(timestamp_with_time_zone_null("first_started_at"))
                    .col(json_binary_null("frozen"))
                    .col(boolean("kept"))
                    .col(timestamp_with_time_zone_null("ended_at"))
                    .col(text_null("ended_reason"))
                    .foreign_key(
                        ForeignKey::create().name("entitlement_account_id_fkey").from("entitlement", "account_id").to("account", "id"),
                    )
                    .foreign_key(ForeignKey::create().name("entitlement_order_id_fkey").from("entitlement", "order_id").to("order", "id"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("entitlement_source_kind_source_id_account_id_key")
                    .table("entitlement")
                    .col("source_kind")
                    .col("source_id")
                    .col("account_id")
                    .unique()
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("entitlement_account_id_target_id_idx").table("entitlement").col("account_id").col("target_id").take(),
            )
            .await?;
        manager.create_index(Index::create().name("entitlement_target_id_idx").table("entitlement").col("target_id").take()).await?;
        manager.create_index(Index::create().name("entitlement_order_id_idx").table("entitlement").col("order_id").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("enrollment")
                    .col(uuid("id").primary_key())
                    .col(uuid("account_id"))
                    .col(uuid("course_id"))
                    .col(text("title"))
                    .col(text("status"))
                    .col(timestamp_with_time_zone_null("started_at"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .foreign_key(
                        ForeignKey::create().name("enrollment_account_id_fkey").from("enrollment", "account_id").to("account", "id"),
                    )
                    .foreign_key(ForeignKey::create().name("enrollment_course_id_fkey").from("enrollment", "course_id").to("course", "id"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("enrollment_account_id_course_id_key")
                    .table("enrollment")
                    .col("account_id")
                    .col("course_id")
                    .unique()
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("enrollment_course_id_idx").table("enrollment").col("course_id").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("enrollment_result")
                    .col(uuid("id").primary_key())
                    .col(uuid("enrollment_id"))
                    .col(text("result"))
                    .col(text_null("score"))
                    .col(text("actor"))
                    .col(timestamp_with_time_zone("recorded_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("enrollment_result_enrollment_id_fkey")
                            .from("enrollment_result", "enrollment_id")
                            .to("enrollment", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("enrollment_result_enrollment_id_recorded_at_idx")
                    .table("enrollment_result")
                    .col("enrollment_id")
                    .col("recorded_at")
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("token")
                    .col(uuid("id").primary_key())
                    .col(text("source_kind"))
                    .col(uuid("source_id"))
                    .col(integer("seat"))
                    .col(integer("issue"))
                    .col(uuid_null("order_id"))
                    .col(uuid_null("company_id"))
                    .col(uuid_null("owner_account_id"))
                    .col(uuid("product_id"))
                    .col(text("target_kind"))
                    .col(uuid("target_id"))
                    .col(uuid_null("session_id"))
                    .col(json_binary("terms"))
                    .col(text("code_hash").unique_key())
                    .col(text("code_sealed"))
                    .col(text("code_hint"))
                    .col(text("status"))
                    .col(text_null("void_reason"))
                    .col(timestamp_with_time_zone_null("ends_at"))
                    .col(uuid_null("redeemed_by"))
                    .col(timestamp_with_time_zone_null("redeemed_at"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .foreign_key(ForeignKey::create().name("token_order_id_fkey").from("token", "order_id").to("order", "id"))
                    .foreign_key(ForeignKey::create().name("token_company_id_fkey").from("token", "company_id").to("company", "id"))
                    .foreign_key(
                        ForeignKey::create().name("token_owner_account_id_fkey").from("token", "owner_account_id").to("account", "id"),
                    )
                    .foreign_key(ForeignKey::create().name("token_product_id_fkey").from("token", "product_id").to("product", "id"))
                    .foreign_key(ForeignKey::create().name("token_session_id_fkey").from("token", "session_id").to("session", "id"))
                    .foreign_key(ForeignKey::create().name("token_redeemed_by_fkey").from("token", "redeemed_by").to("account", "id"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("token_source_kind_source_id_seat_issue_key")
                    .table("token")
                    .col("source_kind")
                    .col("source_id")
                    .col("seat")
                    .col("issue")
                    .unique()
                    .take(),
            )
            .await?;
        manager
            .create_index(Index::create().name("token_company_id_status_idx").table("token").col("company_id").col("status").take())
            .await?;
        manager.create_index(Index::create().name("token_owner_account_id_idx").table("token").col("owner_account_id").take()).await?;
        manager.create_index(Index::create().name("token_order_id_idx").table("token").col("order_id").take()).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("token").take()).await?;
        manager.drop_table(Table::drop().table("enrollment_result").take()).await?;
        manager.drop_table(Table::drop().table("enrollment").take()).await?;
        manager.drop_table(Table::drop().table("entitlement").take()).await?;
        Ok(())
    }
}
