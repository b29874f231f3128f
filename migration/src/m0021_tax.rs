//! Taxes: the operator's table of rates, the class of each product, the country of companies and which of them are exempt.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, boolean, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid};

/// Taxes: the operator's table of rates, the class of each product, the country of companies and which of them are exempt.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

fn columns() -> [(&'static str, ColumnDef); 3] {
    [
        ("product", text("tax_class").default("STANDARD").take()),
        ("company", text_null("country").take()),
        ("company", boolean("tax_exempt").default(false).take()),
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
        manager
            .create_table(
                Table::create()
                    .table("tax_rate")
                    .col(uuid("id").primary_key())
                    .col(text("country"))
                    .col(text("class"))
                    .col(big_integer("rate_millionths"))
                    .col(timestamp_with_time_zone("valid_from"))
                    .col(timestamp_with_time_zone("recorded_at"))
                    .col(timestamp_with_time_zone_null("replaced_at"))
                    .col(text("actor"))
                    .take(),
            )
            .await?;
        // Of each country and class one rate counts from an instant.
        manager
            .create_index(
                Index::create()
                    .unique()
                    .name("tax_rate_country_class_valid_from_key")
                    .table("tax_rate")
                    .col("country")
                    .col("class")
                    .col("valid_from")
                    .and_where(Expr::col("replaced_at").is_null())
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("tax_rate").take()).await?;
        for (table, column) in columns() {
            manager.alter_table(Table::alter().table(table).drop_column(column.get_column_name()).take()).await?;
        }
        Ok(())
    }
}
