//! Selling credits: what products and lines give, packs of credits, packs that everybody is shown, and what refunds took back.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer_null, text, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

/// Selling credits: what products and lines give, packs of credits, packs that everybody is shown, and what refunds took back.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns that come to tables that are there, by table.
fn columns() -> [(&'static str, ColumnDef); 11] {
    [
        ("product", big_integer("credits").default(0i64).take()),
        ("product", integer_null("credit_days").take()),
        ("product", uuid_null("credit_tied_to").take()),
        ("order_line", big_integer("credits").default(0i64).take()),
        ("order_line", integer_null("credit_days").take()),
        ("order_line", uuid_null("credit_tied_to").take()),
        ("refund_line", boolean("takes_credits").default(false).take()),
        ("refund_line", big_integer("credits").default(0i64).take()),
        ("refund_line", big_integer("credits_taken").default(0i64).take()),
        ("refund_line", big_integer("credits_spent").default(0i64).take()),
        ("coupon", uuid_null("public_pack_of").take()),
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
        manager.create_index(Index::create().name("coupon_public_pack_of_idx").table("coupon").col("public_pack_of").take()).await?;
        let pack = Table::create()
            .table("credit_pack")
            .col(uuid("id").primary_key())
            .col(text("title"))
            .col(text("description"))
            .col(timestamp_with_time_zone("created_at"))
            .col(timestamp_with_time_zone("touched_at"))
            .col(timestamp_with_time_zone_null("archived_at"))
            .take();
        manager.create_table(pack).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("credit_pack").take()).await?;
        manager.drop_index(Index::drop().name("coupon_public_pack_of_idx").table("coupon").to_owned()).await?;
        for (table, column) in columns().into_iter().rev() {
            let name = column.get_column_name();
            manager.alter_table(Table::alter().table(table).drop_column(Alias::new(name)).take()).await?;
        }
        Ok(())
    }
}
