//! What things of the catalogue said before they were changed; and of payments, what staff recorded and what was paid for no line.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, boolean, json_binary, timestamp_with_time_zone, uuid};

/// What things of the catalogue said before they were changed; and of payments, what staff recorded and what was paid for no line.
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
                    .table("catalog_past")
                    .col(uuid("object_id"))
                    .col(timestamp_with_time_zone("replaced_at"))
                    .col(json_binary("said"))
                    .primary_key(Index::create().col("object_id").col("replaced_at"))
                    .take(),
            )
            .await?;
        for mut column in [big_integer("returned_minor").default(0i64).take(), boolean("recorded").default(false).take()] {
            manager.alter_table(Table::alter().table("payment").add_column(&mut column).take()).await?;
        }
        manager.get_connection().execute_unprepared(RETURNED).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["recorded", "returned_minor"] {
            manager.alter_table(Table::alter().table("payment").drop_column(column).take()).await?;
        }
        manager.drop_table(Table::drop().table("catalog_past").take()).await
    }
}

/// What refunds of earlier sent back, or are sending, beside the parts of their lines.
const RETURNED: &str = r#"UPDATE "payment" SET returned_minor = CAST(
    COALESCE((SELECT SUM(refund.amount_minor) FROM refund
        WHERE refund.payment_id = "payment".id AND refund.status IN ('PENDING', 'SUCCEEDED')), 0)
    - COALESCE((SELECT SUM(refund_line.amount_minor) FROM refund_line JOIN refund ON refund.id = refund_line.refund_id
        WHERE refund.payment_id = "payment".id AND refund.status IN ('PENDING', 'SUCCEEDED')), 0) AS BIGINT)"#;
