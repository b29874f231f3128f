//! Sales orders with their lines, payments and credit entries; invoices and the serial numbers that have no gaps; seats beyond those bought.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, integer, integer_null, json_binary, json_binary_null, text, text_null, timestamp_with_time_zone,
    timestamp_with_time_zone_null, uuid, uuid_null,
};

/// Sales orders with their lines, payments and credit entries; invoices and the serial numbers that have no gaps; seats beyond those bought.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns that come to tables that are there, by table.
fn columns() -> [(&'static str, ColumnDef); 3] {
    [
        ("company", text_null("tokens_on").take()),
        ("company", integer_null("overage_limit").take()),
        ("token", uuid_null("sales_order_id").take()),
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
        manager.create_index(Index::create().name("token_sales_order_id_idx").table("token").col("sales_order_id").take()).await?;
        orders(manager).await?;
        money(manager).await?;
        documents(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // What sales orders gave has no source without them.
        let db = manager.get_connection();
        db.execute_unprepared("DELETE FROM token WHERE source_kind = 'SALES_LINE'").await?;
        for table in ["invoice", "serial", "sales_credit_line", "sales_credit", "sales_payment", "sales_line", "sales_order"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        manager.drop_index(Index::drop().name("token_sales_order_id_idx").table("token").to_owned()).await?;
        for (table, column) in columns().into_iter().rev() {
            let name = column.get_column_name();
            manager.alter_table(Table::alter().table(table).drop_column(Alias::new(name)).take()).await?;
        }
        Ok(())
    }
}

async fn orders(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("sales_order")
                .col(uuid("id").primary_key())
                .col(text("number").unique_key())
                .col(uuid("company_id"))
                .col(text("kind"))
                .col(text("status"))
                .col(text("originator"))
                .col(text("currency"))
                .col(text("locale"))
                .col(text_null("po_number"))
                .col(text_null("terms"))
                .col(text_null("notes"))
                .col(text_null("bill_to"))
                .col(text_null("tokens_on"))
                .col(timestamp_with_time_zone_null("valid_until"))
                .col(big_integer("subtotal_minor"))
                .col(big_integer("discount_minor"))
                .col(big_integer("net_minor"))
                .col(big_integer("tax_minor"))
                .col(big_integer("total_minor"))
                .col(big_integer("paid_minor"))
                .col(big_integer("credited_minor"))
                .col(big_integer("returned_minor"))
                .col(big_integer("version"))
                .col(text("created_by"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone_null("quoted_at"))
                .col(text_null("confirmed_by"))
                .col(timestamp_with_time_zone_null("confirmed_at"))
                .col(timestamp_with_time_zone_null("invoiced_at"))
                .col(timestamp_with_time_zone_null("paid_at"))
                .col(timestamp_with_time_zone_null("given_at"))
                .col(timestamp_with_time_zone_null("cancelled_at"))
                .col(text_null("cancel_reason"))
                .col(timestamp_with_time_zone("touched_at"))
                .foreign_key(ForeignKey::create().name("sales_order_company_id_fkey").from("sales_order", "company_id").to("company", "id"))
                .take(),
        )
        .await?;
    for (name, columns) in [
        ("sales_order_created_at_id_idx", &["created_at", "id"][..]),
        ("sales_order_company_id_created_at_id_idx", &["company_id", "created_at", "id"]),
        ("sales_order_status_created_at_id_idx", &["status", "created_at", "id"]),
    ] {
        let mut index = Index::create();
        index.name(name).table("sales_order");
        for column in columns {
            index.col(*column);
        }
        manager.create_index(index).await?;
    }
    // Seats beyond those bought gather in one order of a company and currency, until that is billed.
    let db = manager.get_connection();
    db.execute_unprepared(
        r"CREATE UNIQUE INDEX sales_order_open_overage_key ON sales_order (company_id, currency) WHERE kind = 'OVERAGE' AND status = 'CONFIRMED'",
    )
    .await?;
    manager
        .create_table(
            Table::create()
                .table("sales_line")
                .col(uuid("id").primary_key())
                .col(uuid("sales_order_id"))
                .col(integer("position"))
                .col(uuid("product_id"))
                .col(text("target_kind"))
                .col(uuid("target_id"))
                .col(text("sku"))
                .col(text("title"))
                .col(text_null("product_code"))
                .col(big_integer("quantity"))
                .col(json_binary_null("recommended"))
                .col(big_integer_null("recommended_unit_minor"))
                .col(big_integer_null("recommended_subtotal_minor"))
                .col(json_binary("recommended_terms"))
                .col(big_integer_null("unit_price_minor"))
                .col(json_binary("terms"))
                .col(text("agreed_by"))
                .col(text_null("agreed_reason"))
                .col(big_integer("subtotal_minor"))
                .col(big_integer("discount_minor"))
                .col(big_integer("net_minor"))
                .col(big_integer("tax_rate_millionths"))
                .col(big_integer("tax_minor"))
                .col(big_integer("total_minor"))
                .col(big_integer("credited_quantity"))
                .col(big_integer("credited_minor"))
                .foreign_key(
                    ForeignKey::create()
                        .name("sales_line_sales_order_id_fkey")
                        .from("sales_line", "sales_order_id")
                        .to("sales_order", "id"),
                )
                .foreign_key(ForeignKey::create().name("sales_line_product_id_fkey").from("sales_line", "product_id").to("product", "id"))
                .take(),
        )
        .await?;
    manager
        .create_index(
            Index::create()
                .name("sales_line_sales_order_id_position_key")
                .table("sales_line")
                .col("sales_order_id")
                .col("position")
                .unique()
                .take(),
        )
        .await?;
    manager.create_index(Index::create().name("sales_line_product_id_idx").table("sales_line").col("product_id").take()).await
}

async fn money(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("sales_payment")
                .col(uuid("id").primary_key())
                .col(uuid("sales_order_id"))
                .col(big_integer("amount_minor"))
                .col(text("reference"))
                .col(text("actor"))
                .col(timestamp_with_time_zone("recorded_at"))
                .foreign_key(
                    ForeignKey::create()
                        .name("sales_payment_sales_order_id_fkey")
                        .from("sales_payment", "sales_order_id")
                        .to("sales_order", "id"),
                )
                .take(),
        )
        .await?;
    manager
        .create_index(Index::create().name("sales_payment_sales_order_id_idx").table("sales_payment").col("sales_order_id").take())
        .await?;
    manager
        .create_table(
            Table::create()
                .table("sales_credit")
                .col(uuid("id").primary_key())
                .col(uuid("sales_order_id"))
                .col(big_integer("amount_minor"))
                .col(big_integer("tax_minor"))
                .col(big_integer("returned_minor"))
                .col(text("reason"))
                .col(text("actor"))
                .col(timestamp_with_time_zone("recorded_at"))
                .foreign_key(
                    ForeignKey::create()
                        .name("sales_credit_sales_order_id_fkey")
                        .from("sales_credit", "sales_order_id")
                        .to("sales_order", "id"),
                )
                .take(),
        )
        .await?;
    manager
        .create_index(Index::create().name("sales_credit_sales_order_id_idx").table("sales_credit").col("sales_order_id").take())
        .await?;
    manager
        .create_table(
            Table::create()
                .table("sales_credit_line")
                .col(uuid("sales_credit_id"))
                .col(uuid("sales_line_id"))
                .col(big_integer("quantity"))
                .col(big_integer("amount_minor"))
                .col(big_integer("tax_minor"))
                .primary_key(Index::create().col("sales_credit_id").col("sales_line_id"))
                .foreign_key(
                    ForeignKey::create()
                        .name("sales_credit_line_sales_credit_id_fkey")
                        .from("sales_credit_line", "sales_credit_id")
                        .to("sales_credit", "id"),
                )
                .foreign_key(
                    ForeignKey::create()
                        .name("sales_credit_line_sales_line_id_fkey")
                        .from("sales_credit_line", "sales_line_id")
                        .to("sales_line", "id"),
                )
                .take(),
        )
        .await?;
    manager
        .create_index(Index::create().name("sales_credit_line_sales_line_id_idx").table("sales_credit_line").col("sales_line_id").take())
        .await
}

async fn documents(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    // The row of a series is taken last in the transaction that issues a document: a number is given away only together with its document.
    manager.create_table(Table::create().table("serial").col(text("name").primary_key()).col(big_integer("last")).take()).await?;
    let db = manager.get_connection();
    db.execute_unprepared("INSERT INTO serial (name, last) VALUES ('INVOICE', 0), ('CREDIT_NOTE', 0)").await?;
    manager
        .create_table(
            Table::create()
                .table("invoice")
                .col(uuid("id").primary_key())
                .col(text("kind"))
                .col(big_integer("serial"))
                .col(text("number").unique_key())
                .col(uuid("company_id"))
                .col(uuid("sales_order_id"))
                .col(uuid_null("sales_credit_id").unique_key())
                .col(text("currency"))
                .col(big_integer("total_minor"))
                .col(json_binary("document"))
                .col(text("actor"))
                .col(timestamp_with_time_zone("issued_at"))
                .foreign_key(ForeignKey::create().name("invoice_company_id_fkey").from("invoice", "company_id").to("company", "id"))
                .foreign_key(
                    ForeignKey::create().name("invoice_sales_order_id_fkey").from("invoice", "sales_order_id").to("sales_order", "id"),
                )
                .foreign_key(
                    ForeignKey::create().name("invoice_sales_credit_id_fkey").from("invoice", "sales_credit_id").to("sales_credit", "id"),
                )
                .take(),
        )
        .await?;
    manager
        .create_index(Index::create().name("invoice_kind_serial_key").table("invoice").col("kind").col("serial").unique().take())
        .await?;
    manager.create_index(Index::create().name("invoice_sales_order_id_idx").table("invoice").col("sales_order_id").take()).await?;
    // A sales order is invoiced once.
    db.execute_unprepared(r"CREATE UNIQUE INDEX invoice_of_sales_order_key ON invoice (sales_order_id) WHERE kind = 'INVOICE'").await?;
    Ok(())
}
