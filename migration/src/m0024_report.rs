//! What was sold and what went back, line by line: the entries that reports add up.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, text, text_null, timestamp_with_time_zone, uuid, uuid_null};
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// What was sold and what went back, line by line: the entries that reports add up.
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
                    .table("sale_entry")
                    .col(uuid("id").primary_key())
                    .col(text("kind"))
                    .col(text("source_kind"))
                    .col(uuid("line_id"))
                    .col(uuid("cause_id"))
                    .col(uuid("order_id"))
                    .col(timestamp_with_time_zone("at"))
                    .col(uuid_null("company_id"))
                    .col(uuid("product_id"))
                    .col(text_null("product_code"))
                    .col(text_null("product_code_folded"))
                    .col(text("currency"))
                    .col(big_integer("quantity"))
                    .col(big_integer("subtotal_minor"))
                    .col(big_integer("discount_minor"))
                    .col(big_integer("net_minor"))
                    .col(big_integer("tax_minor"))
                    .col(big_integer("total_minor"))
                    .col(big_integer("refunded_quantity"))
                    .col(big_integer("refunded_minor"))
                    .take(),
            )
            .await?;
        let mut once = Index::create();
        once.name("sale_entry_cause_id_line_id_kind_key").table("sale_entry").col("cause_id").col("line_id").col("kind").unique();
        manager.create_index(once).await?;
        for (name, columns) in [
            ("sale_entry_at_id_idx", ["at", "id"]),
            ("sale_entry_company_id_at_idx", ["company_id", "at"]),
            ("sale_entry_product_id_at_idx", ["product_id", "at"]),
            ("sale_entry_product_code_folded_at_idx", ["product_code_folded", "at"]),
        ] {
            let mut index = Index::create();
            index.name(name).table("sale_entry");
            for column in columns {
                index.col(column);
            }
            manager.create_index(index).await?;
        }
        // Lists of tokens are files too: each piece of one begins where the one before ended.
        for (name, columns) in [
            ("token_created_at_id_idx", &["created_at", "id"][..]),
            ("token_company_id_created_at_id_idx", &["company_id", "created_at", "id"][..]),
        ] {
            let mut index = Index::create();
            index.name(name).table("token");
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        // What was sold before there were entries.
        let fresh = match manager.get_database_backend() {
            DbBackend::Sqlite => "randomblob(16)",
            _ => "gen_random_uuid()",
        };
        let columns = "id, kind, source_kind, line_id, cause_id, order_id, at, company_id, product_id, product_code, product_code_folded, currency, \
                       quantity, subtotal_minor, discount_minor, net_minor, tax_minor, total_minor, refunded_quantity, refunded_minor";
        let line = "line.product_id, line.product_code, LOWER(line.product_code), sold.currency";
        let db = manager.get_connection();
        db.execute_unprepared(&format!(
            r#"INSERT INTO sale_entry ({columns})
            SELECT {fresh}, 'SALE', 'ORDER_LINE', line.id, sold.id, sold.id, sold.paid_at, sold.company_id, {line}, line.quantity,
                line.subtotal_minor, line.discount_minor, line.net_minor, line.tax_minor, line.total_minor, 0, 0
            FROM "order" AS sold JOIN order_line AS line ON line.order_id = sold.id WHERE sold.paid_at IS NOT NULL"#
        ))
        .await?;
        db.execute_unprepared(&format!(
            r#"INSERT INTO sale_entry ({columns})
            SELECT {fresh}, 'REFUND', 'ORDER_LINE', line.id, refund.id, sold.id, COALESCE(refund.settled_at, refund.created_at),
                sold.company_id, {line}, 0, 0, 0, 0, 0, 0, part.quantity, part.amount_minor
            FROM refund JOIN refund_line AS part ON part.refund_id = refund.id JOIN order_line AS line ON line.id = part.order_line_id
                JOIN "order" AS sold ON sold.id = line.order_id WHERE refund.status = 'SUCCEEDED'"#
        ))
        .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["token_company_id_created_at_id_idx", "token_created_at_id_idx"] {
            let mut index = Index::drop();
            index.name(name).table("token");
            manager.drop_index(index).await?;
        }
        manager.drop_table(Table::drop().table("sale_entry").take()).await
    }
}
