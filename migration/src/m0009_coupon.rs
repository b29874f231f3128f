//! Coupons: their rules with history, codes and batches, those of a cart, those of an order, and their uses.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, integer_null, json_binary, json_binary_null, text, text_null, timestamp_with_time_zone,
    timestamp_with_time_zone_null, uuid, uuid_null,
};

/// Coupons: their rules with history, codes and batches, those of a cart, those of an order, and their uses.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        rules(manager).await?;
        codes(manager).await?;
        uses(manager).await?;
        let couponable = boolean("couponable").default(true).take();
        manager.alter_table(Table::alter().table("product").add_column(couponable).take()).await?;
        manager.alter_table(Table::alter().table("order_line").add_column(text_null("coupon_code")).take()).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("order_line").drop_column("coupon_code").take()).await?;
        manager.alter_table(Table::alter().table("product").drop_column("couponable").take()).await?;
        for table in ["coupon_customer", "coupon_use", "cart_coupon", "coupon_code", "coupon_batch", "coupon_version", "coupon"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}

async fn rules(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("coupon")
                .col(uuid("id").primary_key())
                .col(text("name"))
                .col(text("kind"))
                .col(json_binary("rules"))
                .col(big_integer("version"))
                .col(boolean("active"))
                .col(integer_null("total_uses"))
                .col(big_integer("used"))
                .col(timestamp_with_time_zone_null("starts_at"))
                .col(timestamp_with_time_zone_null("ends_at"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("touched_at"))
                .col(timestamp_with_time_zone_null("archived_at"))
                .take(),
        )
        .await?;
    manager
        .create_table(
            Table::create()
                .table("coupon_version")
                .col(uuid("coupon_id"))
                .col(big_integer("version"))
                .col(text("name"))
                .col(json_binary("rules"))
                .col(boolean("active"))
                .col(text("actor"))
                .col(timestamp_with_time_zone("recorded_at"))
                .primary_key(Index::create().col("coupon_id").col("version"))
                .foreign_key(
                    ForeignKey::create().name("coupon_version_coupon_id_fkey").from("coupon_version", "coupon_id").to("coupon", "id"),
                )
                .take(),
        )
        .await
}

async fn codes(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("coupon_batch")
                .col(uuid("id").primary_key())
                .col(uuid("coupon_id"))
                .col(text("prefix"))
                .col(integer("count"))
                .col(integer("made"))
                .col(text("actor"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone_null("done_at"))
                .foreign_key(ForeignKey::create().name("coupon_batch_coupon_id_fkey").from("coupon_batch", "coupon_id").to("coupon", "id"))
                .take(),
        )
        .await?;
    manager.create_index(Index::create().name("coupon_batch_coupon_id_idx").table("coupon_batch").col("coupon_id").take()).await?;
    manager
        .create_table(
            Table::create()
                .table("coupon_code")
                .col(uuid("id").primary_key())
                .col(uuid("coupon_id"))
                .col(uuid_null("batch_id"))
                .col(text("kind"))
                .col(text("code"))
                .col(text("code_key").unique_key())
                .col(uuid_null("used_by"))
                .col(timestamp_with_time_zone_null("void_at"))
                .col(timestamp_with_time_zone("created_at"))
                .foreign_key(ForeignKey::create().name("coupon_code_coupon_id_fkey").from("coupon_code", "coupon_id").to("coupon", "id"))
                .foreign_key(
                    ForeignKey::create().name("coupon_code_batch_id_fkey").from("coupon_code", "batch_id").to("coupon_batch", "id"),
                )
                .foreign_key(ForeignKey::create().name("coupon_code_used_by_fkey").from("coupon_code", "used_by").to("order", "id"))
                .take(),
        )
        .await?;
    manager.create_index(Index::create().name("coupon_code_coupon_id_idx").table("coupon_code").col("coupon_id").take()).await?;
    // Ids are in order of making: the newest codes of a batch are the last.
    manager.create_index(Index::create().name("coupon_code_batch_id_id_idx").table("coupon_code").col("batch_id").col("id").take()).await?;
    manager
        .create_table(
            Table::create()
                .table("cart_coupon")
                .col(uuid("cart_id"))
                .col(uuid("code_id"))
                .col(integer("position"))
                .col(boolean("gave"))
                .col(timestamp_with_time_zone("added_at"))
                .primary_key(Index::create().col("cart_id").col("code_id"))
                .foreign_key(ForeignKey::create().name("cart_coupon_cart_id_fkey").from("cart_coupon", "cart_id").to("cart", "id"))
                .foreign_key(ForeignKey::create().name("cart_coupon_code_id_fkey").from("cart_coupon", "code_id").to("coupon_code", "id"))
                .take(),
        )
        .await
}

async fn uses(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("coupon_use")
                .col(uuid("id").primary_key())
                .col(uuid("coupon_id"))
                .col(uuid("code_id"))
                .col(uuid("order_id"))
                .col(integer("position"))
                .col(text("code"))
                .col(big_integer("coupon_version"))
                .col(text("state"))
                .col(text("audience"))
                .col(boolean("counted"))
                .col(boolean("single_use"))
                .col(uuid_null("account_id"))
                .col(text("email_hash"))
                .col(text_null("account_email_hash"))
                .col(text("currency"))
                .col(big_integer("discount"))
                .col(json_binary_null("rate"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("touched_at"))
                .foreign_key(ForeignKey::create().name("coupon_use_coupon_id_fkey").from("coupon_use", "coupon_id").to("coupon", "id"))
                .foreign_key(ForeignKey::create().name("coupon_use_code_id_fkey").from("coupon_use", "code_id").to("coupon_code", "id"))
                .foreign_key(ForeignKey::create().name("coupon_use_order_id_fkey").from("coupon_use", "order_id").to("order", "id"))
                .foreign_key(ForeignKey::create().name("coupon_use_account_id_fkey").from("coupon_use", "account_id").to("account", "id"))
                .take(),
        )
        .await?;
    for (name, columns) in [
        ("coupon_use_order_id_code_id_key", &["order_id", "code_id"][..]),
        ("coupon_use_coupon_id_created_at_id_idx", &["coupon_id", "created_at", "id"]),
        ("coupon_use_code_id_idx", &["code_id"]),
        ("coupon_use_email_hash_idx", &["email_hash"]),
        ("coupon_use_account_email_hash_idx", &["account_email_hash"]),
        ("coupon_use_account_id_idx", &["account_id"]),
    ] {
        let mut index = Index::create();
        index.name(name).table("coupon_use");
        for column in columns {
            index.col(*column);
        }
        if name.ends_with("_key") {
            index.unique();
        }
        manager.create_index(index).await?;
    }
    // One row for each customer that uses coupons, held while their uses are counted.
    manager.create_table(Table::create().table("coupon_customer").col(text("customer").primary_key()).take()).await
}
