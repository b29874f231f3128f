//! Providers, courses, sessions, libraries, groups, products, prices.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, integer_null, json_binary, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null,
    uuid, uuid_null,
};

use crate::column::{sorted, sorted_null};

/// Providers, courses, sessions, libraries, groups, products, prices.
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
                    .table("provider")
                    .col(uuid("id").primary_key())
                    .col(text("name"))
                    .col(sorted(manager, "name_folded").unique_key())
                    .col(text_null("website"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .col(timestamp_with_time_zone_null("archived_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("course")
                    .col(uuid("id").primary_key())
                    .col(text("key"))
                    .col(text("key_folded").unique_key())
                    .col(text("kind"))
                    .col(text("title"))
                    .col(sorted(manager, "title_sort"))
                    .col(text("description"))
                    .col(uuid_null("provider_id"))
                    .col(boolean("commerce_enabled"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .col(timestamp_with_time_zone_null("archived_at"))
                    .foreign_key(ForeignKey::create().name("course_provider_id_fkey").from("course", "provider_id").to("provider", "id"))
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("course_provider_id_idx").table("course").col("provider_id").take()).await?;
        manager.create_index(Index::create().name("course_title_sort_id_idx").table("course").col("title_sort").col("id").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("session")
                    .col(uuid("id").primary_key())
                    .col(uuid("course_id"))
                    .col(timestamp_with_time_zone("starts_at"))
                    .col(timestamp_with_time_zone("ends_at"))
                    .col(text("time_zone"))
                    .col(text_null("location"))
                    .col(big_integer("seats"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .col(timestamp_with_time_zone_null("archived_at"))
                    .foreign_key(ForeignKey::create().name("session_course_id_fkey").from("session", "course_id").to("course", "id"))
                    .take(),
            )
            .await?;
        manager
            .create_index(Index::create().name("session_course_id_starts_at_idx").table("session").col("course_id").col("starts_at").take())
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("discount_schedule")
                    .col(uuid("id").primary_key())
                    .col(text("name"))
                    .col(sorted(manager, "name_folded").unique_key())
                    .col(timestamp_with_time_zone("created_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("discount_schedule_version")
                    .col(uuid("id").primary_key())
                    .col(uuid("schedule_id"))
                    .col(text("mode"))
                    .col(text("applies_to"))
                    .col(json_binary("tiers"))
                    .col(timestamp_with_time_zone("recorded_at"))
                    .col(timestamp_with_time_zone_null("replaced_at"))
                    .col(text("actor"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("discount_schedule_version_schedule_id_fkey")
                            .from("discount_schedule_version", "schedule_id")
                            .to("discount_schedule", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("discount_schedule_version_schedule_id_recorded_at_idx")
                    .table("discount_schedule_version")
                    .col("schedule_id")
                    .col("recorded_at")
                    .take(),
            )
            .await?;
        manager
            .get_connection()
            .execute_unprepared(r#"CREATE UNIQUE INDEX discount_schedule_version_schedule_id_key ON "discount_schedule_version" (schedule_id) WHERE replaced_at IS NULL"#)
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("library")
                    .col(uuid("id").primary_key())
                    .col(text("title"))
                    .col(sorted(manager, "title_sort"))
                    .col(text("description"))
                    .col(text_null("product_code"))
                    .col(boolean("ordered"))
                    .col(uuid_null("discount_schedule_id"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .col(timestamp_with_time_zone_null("archived_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("library_discount_schedule_id_fkey")
                            .from("library", "discount_schedule_id")
                            .to("discount_schedule", "id"),
                    )
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("library_title_sort_id_idx").table("library").col("title_sort").col("id").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("library_course")
                    .col(uuid("library_id"))
                    .col(uuid("course_id"))
                    .col(integer("position"))
                    .primary_key(Index::create().col("library_id").col("course_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("library_course_library_id_fkey")
                            .from("library_course", "library_id")
                            .to("library", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create().name("library_course_course_id_fkey").from("library_course", "course_id").to("course", "id"),
                    )
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("library_course_course_id_idx").table("library_course").col("course_id").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("group")
                    .col(uuid("id").primary_key())
                    .col(text("title"))
                    .col(sorted(manager, "title_sort"))
                    .col(text("description"))
                    .col(text("kind"))
                    .col(uuid_null("rule_company_id"))
                    .col(text_null("rule_email_domain"))
                    .col(boolean("commerce"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .col(timestamp_with_time_zone_null("archived_at"))
                    .foreign_key(
                        ForeignKey::create().name("group_rule_company_id_fkey").from("group", "rule_company_id").to("company", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("group_content")
                    .col(uuid("group_id"))
                    .col(text("target_kind"))
                    .col(uuid("target_id"))
                    .col(boolean("sees"))
                    .col(boolean("opens"))
                    .primary_key(Index::create().col("group_id").col("target_id"))
                    .foreign_key(
                        ForeignKey::create().name("group_content_group_id_fkey").from("group_content", "group_id").to("group", "id"),
                    )
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("group_content_target_id_idx").table("group_content").col("target_id").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("product")
                    .col(uuid("id").primary_key())
                    .col(text("kind"))
                    .col(uuid("target_id").unique_key())
                    .col(text("sku"))
                    .col(text("sku_folded").unique_key())
                    .col(text("state"))
                    .col(json_binary("terms"))
                    .col(boolean("listed"))
                    .col(text("title"))
                    .col(sorted(manager, "title_sort"))
                    .col(text("search_title"))
                    .col(text("search_description"))
                    .col(text("search_rest"))
                    .col(text_null("product_code_folded"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .col(timestamp_with_time_zone_null("archived_at"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("product_listed_title_sort_id_idx").table("product").col("listed").col("title_sort").col("id").take(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("product_listed_created_at_id_idx").table("product").col("listed").col("created_at").col("id").take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("product_sku")
                    .col(text("sku_folded").primary_key())
                    .col(text("sku"))
                    .col(uuid("product_id"))
                    .col(timestamp_with_time_zone("created_at"))
                    .foreign_key(
                        ForeignKey::create().name("product_sku_product_id_fkey").from("product_sku", "product_id").to("product", "id"),
                    )
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("product_sku_product_id_idx").table("product_sku").col("product_id").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("product_price")
                    .col(uuid("id").primary_key())
                    .col(uuid("product_id"))
                    .col(text("currency"))
                    .col(big_integer("amount_minor"))
                    .col(uuid_null("group_id"))
                    .col(timestamp_with_time_zone_null("starts_at"))
                    .col(timestamp_with_time_zone_null("ends_at"))
                    .col(timestamp_with_time_zone("recorded_at"))
                    .col(timestamp_with_time_zone_null("replaced_at"))
                    .col(text("actor"))
                    .col(text_null("replaced_by"))
                    .foreign_key(
                        ForeignKey::create().name("product_price_product_id_fkey").from("product_price", "product_id").to("product", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create().name("product_price_group_id_fkey").from("product_price", "group_id").to("group", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("product_price_product_id_replaced_at_idx")
                    .table("product_price")
                    .col("product_id")
                    .col("replaced_at")
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("exchange_rate")
                    .col(uuid("id").primary_key())
                    .col(text("base"))
                    .col(text("quote"))
                    .col(text("rate"))
                    .col(timestamp_with_time_zone("valid_from"))
                    .col(timestamp_with_time_zone("recorded_at"))
                    .col(timestamp_with_time_zone_null("replaced_at"))
                    .col(text("actor"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("exchange_rate_base_quote_valid_from_idx")
                    .table("exchange_rate")
                    .col("base")
                    .col("quote")
                    .col("valid_from")
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("company_offer")
                    .col(uuid("id").primary_key())
                    .col(uuid("company_id"))
                    .col(uuid("product_id"))
                    .col(text_null("title"))
                    .col(sorted_null(manager, "title_sort"))
                    .col(text_null("search_title"))
                    .col(text_null("description"))
                    .col(text_null("search_description"))
                    .col(integer_null("access_days"))
                    .col(text_null("visibility"))
                    .col(json_binary("prices"))
                    .col(timestamp_with_time_zone_null("starts_at"))
                    .col(timestamp_with_time_zone_null("ends_at"))
                    .col(timestamp_with_time_zone("recorded_at"))
                    .col(timestamp_with_time_zone_null("replaced_at"))
                    .col(text("actor"))
                    .col(text_null("replaced_by"))
                    .foreign_key(
                        ForeignKey::create().name("company_offer_company_id_fkey").from("company_offer", "company_id").to("company", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create().name("company_offer_product_id_fkey").from("company_offer", "product_id").to("product", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("company_offer_company_id_product_id_recorded_at_idx")
                    .table("company_offer")
                    .col("company_id")
                    .col("product_id")
                    .col("recorded_at")
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("company_offer_product_id_idx").table("company_offer").col("product_id").take()).await?;
        manager
            .get_connection()
            .execute_unprepared(r#"CREATE UNIQUE INDEX company_offer_company_id_product_id_key ON "company_offer" (company_id, product_id) WHERE replaced_at IS NULL"#)
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("company_offer").take()).await?;
        manager.drop_table(Table::drop().table("exchange_rate").take()).await?;
        manager.drop_table(Table::drop().table("product_price").take()).await?;
        manager.drop_table(Table::drop().table("product_sku").take()).await?;
        manager.drop_table(Table::drop().table("product").take()).await?;
        manager.drop_table(Table::drop().table("group_content").take()).await?;
        manager.drop_table(Table::drop().table("group").take()).await?;
        manager.drop_table(Table::drop().table("library_course").take()).await?;
        manager.drop_table(Table::drop().table("library").take()).await?;
        manager.drop_table(Table::drop().table("discount_schedule_version").take()).await?;
        manager.drop_table(Table::drop().table("discount_schedule").take()).await?;
        manager.drop_table(Table::drop().table("session").take()).await?;
        manager.drop_table(Table::drop().table("course").take()).await?;
        manager.drop_table(Table::drop().table("provider").take()).await?;
        Ok(())
    }
}
