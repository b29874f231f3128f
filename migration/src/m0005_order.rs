//! Orders.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, integer, json_binary, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null,
    uuid, uuid_null,
};

/// Orders.
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
                    .table("order")
                    .col(uuid("id").primary_key())
                    .col(text("number").unique_key())
                    .col(uuid("cart_id"))
                    .col(uuid_null("account_id"))
                    .col(uuid("buyer_person_id"))
                    .col(uuid_null("company_id"))
                    .col(text("currency"))
                    .col(text("locale"))
                    .col(text("status"))
                    .col(big_integer("subtotal_minor"))
                    .col(big_integer("discount_minor"))
                    .col(big_integer("net_minor"))
                    .col(big_integer("tax_minor"))
                    .col(big_integer("total_minor"))
                    .col(boolean("prices_include_tax"))
                    .col(json_binary("rates"))
                    .col(big_integer("version"))
                    .col(text("placed_by"))
                    .col(timestamp_with_time_zone("placed_at"))
                    .col(timestamp_with_time_zone_null("lapses_at"))
                    .col(timestamp_with_time_zone_null("paid_at"))
                    .col(uuid_null("paid_payment_id"))
                    .col(timestamp_with_time_zone_null("fulfilled_at"))
                    .col(timestamp_with_time_zone_null("closed_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .foreign_key(ForeignKey::create().name("order_cart_id_fkey").from("order", "cart_id").to("cart", "id"))
                    .foreign_key(ForeignKey::create().name("order_account_id_fkey").from("order", "account_id").to("account", "id"))
                    .foreign_key(
                        ForeignKey::create().name("order_buyer_person_id_fkey").from("order", "buyer_person_id").to("person", "id"),
                    )
                    .foreign_key(ForeignKey::create().name("order_company_id_fkey").from("order", "company_id").to("company", "id"))
                    .take(),
            )
            .await?;
        manager
            .get_connection()
            .execute_unprepared(r#"CREATE UNIQUE INDEX order_cart_id_key ON "order" (cart_id) WHERE status NOT IN ('CANCELLED', 'LAPSED')"#)
            .await?;
        manager
            .create_index(Index::create().name("order_account_id_placed_at_idx").table("order").col("account_id").col("placed_at").take())
            .await?;
        manager
            .create_index(Index::create().name("order_company_id_placed_at_idx").table("order").col("company_id").col("placed_at").take())
            .await?;
        manager.create_index(Index::create().name("order_placed_at_id_idx").table("order").col("placed_at").col("id").take()).await?;
        manager
            .create_index(Index::create().name("order_status_lapses_at_idx").table("order").col("status").col("lapses_at").take())
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("order_line")
                    .col(uuid("id").primary_key())
                    .col(uuid("order_id"))
                    .col(integer("position"))
                    .col(uuid("product_id"))
                    .col(text("target_kind"))
                    .col(uuid("target_id"))
                    .col(text("sku"))
                    .col(text("title"))
                    .col(text_null("product_code"))
                    .col(uuid_null("session_id"))
                    .col(text("for_kind"))
                    .col(uuid_null("learner_person_id"))
                    .col(big_integer("quantity"))
                    .col(big_integer_null("unit_price_minor"))
                    .col(big_integer_null("list_price_minor"))
                    .col(big_integer("subtotal_minor"))
                    .col(big_integer("discount_minor"))
                    .col(big_integer("net_minor"))
                    .col(big_integer("tax_rate_millionths"))
                    .col(big_integer("tax_minor"))
                    .col(big_integer("total_minor"))
                    .col(json_binary("breakdown"))
                    .col(json_binary("terms"))
                    .col(big_integer("refunded_minor"))
                    .col(big_integer("refunded_by_quantity_minor"))
                    .col(big_integer("refunded_quantity"))
                    .foreign_key(ForeignKey::create().name("order_line_order_id_fkey").from("order_line", "order_id").to("order", "id"))
                    .foreign_key(
                        ForeignKey::create().name("order_line_product_id_fkey").from("order_line", "product_id").to("product", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create().name("order_line_session_id_fkey").from("order_line", "session_id").to("session", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("order_line_learner_person_id_fkey")
                            .from("order_line", "learner_person_id")
                            .to("person", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("order_line_order_id_position_idx").table("order_line").col("order_id").col("position").take(),
            )
            .await?;
        manager.create_index(Index::create().name("order_line_product_id_idx").table("order_line").col("product_id").take()).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("order_line").take()).await?;
        manager.drop_table(Table::drop().table("order").take()).await?;
        Ok(())
    }
}
