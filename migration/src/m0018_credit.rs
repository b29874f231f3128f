//! Credits: who holds them, in which lots, and the books about every move of them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

/// Credits: who holds them, in which lots, and the books about every move of them.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        holdings(manager).await?;
        books(manager).await?;
        // How much of the company's credits each of its learners may spend; null = none of them may.
        manager.alter_table(Table::alter().table("company").add_column(big_integer_null("credit_limit")).take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("credit_allowance")
                    .col(uuid("company_id"))
                    .col(uuid("account_id"))
                    .col(big_integer("spent"))
                    .primary_key(Index::create().col("company_id").col("account_id"))
                    .check(("credit_allowance_spent_check", Expr::col("spent").gte(0i64)))
                    .foreign_key(
                        ForeignKey::create()
                            .name("credit_allowance_company_id_fkey")
                            .from("credit_allowance", "company_id")
                            .to("company", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("credit_allowance_account_id_fkey")
                            .from("credit_allowance", "account_id")
                            .to("account", "id"),
                    )
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("credit_allowance").take()).await?;
        manager.alter_table(Table::alter().table("company").drop_column("credit_limit").take()).await?;
        for table in ["credit_posting", "credit_entry", "credit_lot", "credit_account"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}

async fn holdings(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("credit_account")
                .col(uuid("owner_id").primary_key())
                .col(text("owner_kind"))
                .col(big_integer("balance"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone("touched_at"))
                // Nobody holds less than nothing, nor so much that sums overflow.
                .check(("credit_account_balance_check", Expr::col("balance").between(0i64, 1_000_000_000_000_000i64)))
                .take(),
        )
        .await?;
    let left = || Expr::col("count").sub(Expr::col("spent")).sub(Expr::col("expired")).sub(Expr::col("revoked"));
    manager
        .create_table(
            Table::create()
                .table("credit_lot")
                .col(uuid("id").primary_key())
                .col(uuid("owner_id"))
                .col(uuid_null("product_id"))
                .col(uuid_null("tied_product_id"))
                .col(text("source_kind"))
                .col(uuid("source_id"))
                .col(big_integer("count"))
                .col(big_integer("spent"))
                .col(big_integer("expired"))
                .col(big_integer("revoked"))
                .col(timestamp_with_time_zone("granted_at"))
                .col(timestamp_with_time_zone_null("expires_at"))
                .check(("credit_lot_count_check", Expr::col("count").gt(0i64)))
                .check(("credit_lot_spent_check", Expr::col("spent").gte(0i64)))
                .check(("credit_lot_expired_check", Expr::col("expired").gte(0i64)))
                .check(("credit_lot_revoked_check", Expr::col("revoked").gte(0i64)))
                // What is left of a lot is never less than nothing.
                .check(("credit_lot_left_check", left().gte(0i64)))
                .foreign_key(
                    ForeignKey::create().name("credit_lot_owner_id_fkey").from("credit_lot", "owner_id").to("credit_account", "owner_id"),
                )
                .foreign_key(ForeignKey::create().name("credit_lot_product_id_fkey").from("credit_lot", "product_id").to("product", "id"))
                .foreign_key(
                    ForeignKey::create().name("credit_lot_tied_product_id_fkey").from("credit_lot", "tied_product_id").to("product", "id"),
                )
                .take(),
        )
        .await?;
    // What gives credits gives them once.
    manager
        .create_index(
            Index::create()
                .name("credit_lot_source_kind_source_id_key")
                .table("credit_lot")
                .col("source_kind")
                .col("source_id")
                .unique()
                .take(),
        )
        .await?;
    manager
        .create_index(
            Index::create()
                .name("credit_lot_owner_id_granted_at_id_idx")
                .table("credit_lot")
                .col("owner_id")
                .col("granted_at")
                .col("id")
                .take(),
        )
        .await?;
    let db = manager.get_connection();
    // The lots that something is left of: what is spent from, and what ends.
    db.execute_unprepared("CREATE INDEX credit_lot_open_idx ON credit_lot (owner_id) WHERE count - spent - expired - revoked > 0").await?;
    db.execute_unprepared(
        "CREATE INDEX credit_lot_expires_at_idx ON credit_lot (expires_at) WHERE count - spent - expired - revoked > 0 AND expires_at IS NOT NULL",
    )
    .await?;
    Ok(())
}

async fn books(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("credit_entry")
                .col(uuid("id").primary_key())
                .col(uuid("owner_id"))
                .col(text("cause"))
                .col(big_integer("count"))
                .col(text("source_kind"))
                .col(uuid("source_id"))
                .col(uuid_null("account_id"))
                .col(text("actor"))
                .col(text_null("reason"))
                .col(timestamp_with_time_zone("happened_at"))
                .col(timestamp_with_time_zone("recorded_at"))
                .check(("credit_entry_count_check", Expr::col("count").gt(0i64)))
                .foreign_key(
                    ForeignKey::create()
                        .name("credit_entry_owner_id_fkey")
                        .from("credit_entry", "owner_id")
                        .to("credit_account", "owner_id"),
                )
                .foreign_key(
                    ForeignKey::create().name("credit_entry_account_id_fkey").from("credit_entry", "account_id").to("account", "id"),
                )
                .take(),
        )
        .await?;
    for (name, columns) in [
        ("credit_entry_owner_id_happened_at_id_idx", &["owner_id", "happened_at", "id"][..]),
        ("credit_entry_source_kind_source_id_idx", &["source_kind", "source_id"]),
        ("credit_entry_happened_at_idx", &["happened_at"]),
        ("credit_entry_account_id_idx", &["account_id"]),
    ] {
        let mut index = Index::create();
        index.name(name).table("credit_entry");
        for column in columns {
            index.col(*column);
        }
        manager.create_index(index).await?;
    }
    let held = |book: &'static str| Expr::col(book).eq("HELD");
    manager
        .create_table(
            Table::create()
                .table("credit_posting")
                .col(uuid("entry_id"))
                .col(uuid("lot_id"))
                .col(text("debit"))
                .col(text("credit"))
                .col(big_integer("count"))
                .primary_key(Index::create().col("entry_id").col("lot_id"))
                .check(("credit_posting_count_check", Expr::col("count").gt(0i64)))
                // One number leaves one book and comes to another, so debits are credits; one side is always what an owner holds.
                .check(("credit_posting_books_check", held("debit").ne(held("credit"))))
                .foreign_key(
                    ForeignKey::create().name("credit_posting_entry_id_fkey").from("credit_posting", "entry_id").to("credit_entry", "id"),
                )
                .foreign_key(
                    ForeignKey::create().name("credit_posting_lot_id_fkey").from("credit_posting", "lot_id").to("credit_lot", "id"),
                )
                .take(),
        )
        .await?;
    manager.create_index(Index::create().name("credit_posting_lot_id_idx").table("credit_posting").col("lot_id").take()).await
}
