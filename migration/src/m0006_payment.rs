//! Payment attempts, what gateways said, refunds, disputes.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, blob, boolean, integer, json_binary, json_binary_null, text, text_null, timestamp_with_time_zone,
    timestamp_with_time_zone_null, uuid,
};

/// Payment attempts, what gateways said, refunds, disputes.
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
                    .table("payment")
                    .col(uuid("id").primary_key())
                    .col(uuid("order_id"))
                    .col(integer("attempt"))
                    .col(text("gateway"))
                    .col(text("status"))
                    .col(big_integer("amount_minor"))
                    .col(text("currency"))
                    .col(text_null("method_token"))
                    .col(text_null("reference"))
                    .col(big_integer("authorised_minor"))
                    .col(big_integer("captured_minor"))
                    .col(big_integer("refunded_minor"))
                    .col(big_integer("refunding_minor"))
                    .col(big_integer("disputed_minor"))
                    .col(text_null("decline_reason"))
                    .col(json_binary_null("next_action"))
                    .col(boolean("needs_review"))
                    .col(text_null("review_reason"))
                    .col(text_null("return_url"))
                    .col(integer("polls"))
                    .col(timestamp_with_time_zone_null("next_poll_at"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .foreign_key(ForeignKey::create().name("payment_order_id_fkey").from("payment", "order_id").to("order", "id"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("payment_order_id_attempt_key").table("payment").col("order_id").col("attempt").unique().take(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("payment_gateway_reference_key").table("payment").col("gateway").col("reference").unique().take(),
            )
            .await?;
        manager
            .create_index(Index::create().name("payment_status_next_poll_at_idx").table("payment").col("status").col("next_poll_at").take())
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("payment_event")
                    .col(uuid("id").primary_key())
                    .col(uuid("payment_id"))
                    .col(text("road"))
                    .col(text("status"))
                    .col(json_binary("detail"))
                    .col(boolean("changed"))
                    .col(timestamp_with_time_zone("happened_at"))
                    .foreign_key(
                        ForeignKey::create().name("payment_event_payment_id_fkey").from("payment_event", "payment_id").to("payment", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("payment_event_payment_id_happened_at_idx")
                    .table("payment_event")
                    .col("payment_id")
                    .col("happened_at")
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("gateway_event")
                    .col(uuid("id").primary_key())
                    .col(text("gateway"))
                    .col(text("dedup_key"))
                    .col(json_binary("notification"))
                    .col(blob("body"))
                    .col(timestamp_with_time_zone("received_at"))
                    .col(timestamp_with_time_zone_null("applied_at"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("gateway_event_gateway_dedup_key_key")
                    .table("gateway_event")
                    .col("gateway")
                    .col("dedup_key")
                    .unique()
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("refund")
                    .col(uuid("id").primary_key())
                    .col(uuid("order_id"))
                    .col(uuid("payment_id"))
                    .col(big_integer("amount_minor"))
                    .col(text("currency"))
                    .col(text("status"))
                    .col(text("origin"))
                    .col(text("reason"))
                    .col(text("actor"))
                    .col(text("access"))
                    .col(text_null("reference"))
                    .col(text_null("failure"))
                    .col(integer("polls"))
                    .col(timestamp_with_time_zone_null("next_poll_at"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone_null("settled_at"))
                    .foreign_key(ForeignKey::create().name("refund_order_id_fkey").from("refund", "order_id").to("order", "id"))
                    .foreign_key(ForeignKey::create().name("refund_payment_id_fkey").from("refund", "payment_id").to("payment", "id"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("refund_payment_id_reference_key").table("refund").col("payment_id").col("reference").unique().take(),
            )
            .await?;
        manager.create_index(Index::create().name("refund_order_id_idx").table("refund").col("order_id").take()).await?;
        manager
            .create_index(Index::create().name("refund_status_next_poll_at_idx").table("refund").col("status").col("next_poll_at").take())
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("refund_line")
                    .col(uuid("refund_id"))
                    .col(uuid("order_line_id"))
                    .col(big_integer("amount_minor"))
                    .col(big_integer("quantity"))
                    .col(boolean("by_quantity"))
                    .col(json_binary("token_ids"))
                    .col(boolean("ends_access"))
                    .primary_key(Index::create().col("refund_id").col("order_line_id"))
                    .foreign_key(
                        ForeignKey::create().name("refund_line_refund_id_fkey").from("refund_line", "refund_id").to("refund", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("refund_line_order_line_id_fkey")
                            .from("refund_line", "order_line_id")
                            .to("order_line", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("dispute")
                    .col(uuid("id").primary_key())
                    .col(uuid("payment_id"))
                    .col(text("reference"))
                    .col(big_integer("amount_minor"))
                    .col(text("currency"))
                    .col(text("status"))
                    .col(text_null("reason"))
                    .col(timestamp_with_time_zone("opened_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .foreign_key(ForeignKey::create().name("dispute_payment_id_fkey").from("dispute", "payment_id").to("payment", "id"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("dispute_payment_id_reference_key")
                    .table("dispute")
                    .col("payment_id")
                    .col("reference")
                    .unique()
                    .take(),
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("dispute").take()).await?;
        manager.drop_table(Table::drop().table("refund_line").take()).await?;
        manager.drop_table(Table::drop().table("refund").take()).await?;
        manager.drop_table(Table::drop().table("gateway_event").take()).await?;
        manager.drop_table(Table::drop().table("payment_event").take()).await?;
        manager.drop_table(Table::drop().table("payment").take()).await?;
        Ok(())
    }
}
