//! Fulfilment: seats of sessions, orders without payment, keys instead of enrolments, tokens for named learners, attributes of accounts,
//! registering again.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, integer_null, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

/// Fulfilment: seats of sessions, orders without payment, keys instead of enrolments, tokens for named learners, attributes of accounts,
/// registering again.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns that come to tables that are there, by table.
fn columns() -> [(&'static str, ColumnDef); 13] {
    [
        ("session", big_integer("taken").default(0i64).take()),
        ("order", boolean("bypass").default(false).take()),
        ("order", text_null("reason").take()),
        ("order_line", text("fulfilment").default("ENROL").take()),
        ("product", text("fulfilment").default("ENROL").take()),
        ("group", text_null("rule_attribute").take()),
        ("group", text_null("rule_value").take()),
        ("company", integer_null("reregistration_days").take()),
        ("token", uuid_null("assigned_person_id").take()),
        ("token", text_null("assigned_hash").take()),
        ("enrollment", timestamp_with_time_zone_null("passed_at").take()),
        ("enrollment", integer("registration").default(1i32).take()),
        ("enrollment_result", integer("registration").default(1i32).take()),
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
        let db = manager.get_connection();
        // Whoever has passed stays so, whatever is recorded later.
        db.execute_unprepared("UPDATE enrollment SET passed_at = touched_at WHERE status = 'PASSED'").await?;
        manager.create_index(Index::create().name("token_assigned_hash_idx").table("token").col("assigned_hash").take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("session_seat")
                    .col(uuid("id").primary_key())
                    .col(uuid("session_id"))
                    .col(text("source_kind"))
                    .col(uuid("source_id"))
                    .col(uuid_null("order_id"))
                    .col(text_null("holder_hash"))
                    .col(big_integer("quantity"))
                    .col(text("state"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .foreign_key(
                        ForeignKey::create().name("session_seat_session_id_fkey").from("session_seat", "session_id").to("session", "id"),
                    )
                    .foreign_key(ForeignKey::create().name("session_seat_order_id_fkey").from("session_seat", "order_id").to("order", "id"))
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("session_seat_source_kind_source_id_key")
                    .table("session_seat")
                    .col("source_kind")
                    .col("source_id")
                    .unique()
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("session_seat_order_id_idx").table("session_seat").col("order_id").take()).await?;
        // Nobody has two seats in one session.
        db.execute_unprepared(
            r"CREATE UNIQUE INDEX session_seat_session_id_holder_hash_key ON session_seat (session_id, holder_hash)
                WHERE holder_hash IS NOT NULL AND state <> 'FREED'",
        )
        .await?;
        manager
            .create_table(
                Table::create()
                    .table("account_attribute")
                    .col(uuid("account_id"))
                    .col(text("name"))
                    .col(text("value"))
                    .primary_key(Index::create().col("account_id").col("name"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("account_attribute_account_id_fkey")
                            .from("account_attribute", "account_id")
                            .to("account", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("account_attribute_name_value_idx").table("account_attribute").col("name").col("value").take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("account_attribute").take()).await?;
        manager.drop_table(Table::drop().table("session_seat").take()).await?;
        manager.drop_index(Index::drop().name("token_assigned_hash_idx").table("token").to_owned()).await?;
        for (table, column) in columns().into_iter().rev() {
            let name = column.get_column_name();
            manager.alter_table(Table::alter().table(table).drop_column(Alias::new(name)).take()).await?;
        }
        Ok(())
    }
}
