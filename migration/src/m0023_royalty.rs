//! Royalties: licensors, what libraries owe them, what sales came to, and through which month the books are closed.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, integer, json_binary, json_binary_null, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid,
    uuid_null,
};

use crate::column::sorted;

/// Royalties: licensors, what libraries owe them, what sales came to, and through which month the books are closed.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns that come to tables that are there, by table.
fn columns() -> [(&'static str, ColumnDef); 3] {
    [
        ("library", uuid_null("royalty_plan_id").take()),
        ("company", text("originator").default("COMPANY").take()),
        ("order_line", json_binary_null("royalty").take()),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in columns() {
            manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
        }
        for table in ["licensor", "royalty_plan"] {
            let named = Table::create()
                .table(table)
                .col(uuid("id").primary_key())
                .col(text("name"))
                .col(sorted(manager, "name_folded").unique_key())
                .col(timestamp_with_time_zone("created_at"))
                .take();
            manager.create_table(named).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("royalty_plan_version")
                    .col(uuid("id").primary_key())
                    .col(uuid("plan_id"))
                    .col(uuid("licensor_id"))
                    .col(json_binary("rates"))
                    .col(timestamp_with_time_zone("recorded_at"))
                    .col(timestamp_with_time_zone_null("replaced_at"))
                    .col(text("actor"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("royalty_plan_version_plan_id_fkey")
                            .from("royalty_plan_version", "plan_id")
                            .to("royalty_plan", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("royalty_plan_version_licensor_id_fkey")
                            .from("royalty_plan_version", "licensor_id")
                            .to("licensor", "id"),
                    )
                    .take(),
            )
            .await?;
        let db = manager.get_connection();
        db.execute_unprepared(
            "CREATE UNIQUE INDEX royalty_plan_version_plan_id_key ON royalty_plan_version (plan_id) WHERE replaced_at IS NULL",
        )
        .await?;
        manager.create_table(sales()).await?;
        // A line is sold once, however often that is recorded.
        let once =
            Index::create().name("royalty_source_kind_line_id_key").table("royalty").col("source_kind").col("line_id").unique().take();
        manager.create_index(once).await?;
        manager.create_index(Index::create().name("royalty_line_id_idx").table("royalty").col("line_id").take()).await?;
        manager.create_table(entries()).await?;
        // Whoever writes the next entry of a line has seen the one before.
        let next = Index::create()
            .name("royalty_entry_royalty_id_place_key")
            .table("royalty_entry")
            .col("royalty_id")
            .col("place")
            .unique()
            .take();
        manager.create_index(next).await?;
        let statement = Index::create()
            .name("royalty_entry_licensor_id_period_recorded_at_id_idx")
            .table("royalty_entry")
            .col("licensor_id")
            .col("period")
            .col("recorded_at")
            .col("id")
            .take();
        manager.create_index(statement).await?;
        manager
            .create_table(Table::create().table("royalty_book").col(integer("id").primary_key()).col(text_null("closed_through")).take())
            .await?;
        // The one row is there from the beginning: who enters and who closes meet at it.
        db.execute_unprepared("INSERT INTO royalty_book (id, closed_through) VALUES (1, NULL)").await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["royalty_book", "royalty_entry", "royalty", "royalty_plan_version", "royalty_plan", "licensor"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        for (table, column) in columns().into_iter().rev() {
            let name = column.get_column_name();
            manager.alter_table(Table::alter().table(table).drop_column(Alias::new(name)).take()).await?;
        }
        Ok(())
    }
}

fn sales() -> TableCreateStatement {
    Table::create()
        .table("royalty")
        .col(uuid("id").primary_key())
        .col(text("source_kind"))
        .col(uuid("line_id"))
        .col(uuid("licensor_id"))
        .col(uuid("plan_id"))
        .col(text("originator"))
        .col(text("channel"))
        .col(json_binary("rule"))
        .col(uuid_null("company_id"))
        .col(text("reference"))
        .col(uuid("product_id"))
        .col(text("sku"))
        .col(text("title"))
        .col(text_null("product_code"))
        .col(big_integer("quantity"))
        .col(big_integer("net_minor"))
        .col(text("net_currency"))
        .col(big_integer("recommended_minor"))
        .col(text("currency"))
        .foreign_key(ForeignKey::create().name("royalty_licensor_id_fkey").from("royalty", "licensor_id").to("licensor", "id"))
        .foreign_key(ForeignKey::create().name("royalty_plan_id_fkey").from("royalty", "plan_id").to("royalty_plan", "id"))
        .take()
}

fn entries() -> TableCreateStatement {
    Table::create()
        .table("royalty_entry")
        .col(uuid("id").primary_key())
        .col(uuid("royalty_id"))
        .col(integer("place"))
        .col(uuid("licensor_id"))
        .col(text("period"))
        .col(text("kind"))
        .col(big_integer("applied_minor"))
        .col(big_integer("gone_part"))
        .col(big_integer("gone_whole"))
        .col(big_integer("amount_minor"))
        .col(text("currency"))
        .col(big_integer("net_minor"))
        .col(text("net_currency"))
        .col(text("actor"))
        .col(text_null("reason"))
        .col(timestamp_with_time_zone("recorded_at"))
        .foreign_key(ForeignKey::create().name("royalty_entry_royalty_id_fkey").from("royalty_entry", "royalty_id").to("royalty", "id"))
        .take()
}
