//! Carts.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, json_binary, text, text_null, timestamp_with_time_zone, uuid, uuid_null};

/// Carts.
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
                    .table("cart")
                    .col(uuid("id").primary_key())
                    .col(uuid_null("account_id"))
                    .col(text_null("secret_hash"))
                    .col(uuid_null("company_id"))
                    .col(text("currency"))
                    .col(text("locale"))
                    .col(big_integer("version"))
                    .col(text("status"))
                    .col(uuid_null("order_id"))
                    .col(uuid_null("merged_into"))
                    .col(uuid_null("buyer_person_id"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .foreign_key(ForeignKey::create().name("cart_account_id_fkey").from("cart", "account_id").to("account", "id"))
                    .foreign_key(ForeignKey::create().name("cart_company_id_fkey").from("cart", "company_id").to("company", "id"))
                    .foreign_key(ForeignKey::create().name("cart_buyer_person_id_fkey").from("cart", "buyer_person_id").to("person", "id"))
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("cart_account_id_idx").table("cart").col("account_id").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("cart_line")
                    .col(uuid("id").primary_key())
                    .col(uuid("cart_id"))
                    .col(big_integer("position"))
                    .col(text("line_key"))
                    .col(uuid("product_id"))
                    .col(uuid_null("session_id"))
                    .col(text("for_kind"))
                    .col(uuid_null("learner_person_id"))
                    .col(big_integer("quantity"))
                    .col(json_binary("shown"))
                    .col(timestamp_with_time_zone("added_at"))
                    .foreign_key(ForeignKey::create().name("cart_line_cart_id_fkey").from("cart_line", "cart_id").to("cart", "id"))
                    .foreign_key(ForeignKey::create().name("cart_line_product_id_fkey").from("cart_line", "product_id").to("product", "id"))
                    .foreign_key(ForeignKey::create().name("cart_line_session_id_fkey").from("cart_line", "session_id").to("session", "id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("cart_line_learner_person_id_fkey")
                            .from("cart_line", "learner_person_id")
                            .to("person", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("cart_line_cart_id_line_key_key").table("cart_line").col("cart_id").col("line_key").unique().take(),
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("cart_line").take()).await?;
        manager.drop_table(Table::drop().table("cart").take()).await?;
        Ok(())
    }
}
