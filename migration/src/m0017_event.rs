//! Events, the endpoints of others that are told of them, and each telling.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, integer, integer_null, json_binary, json_binary_null, text, text_null, timestamp_with_time_zone,
    timestamp_with_time_zone_null, uuid,
};

/// Events, the endpoints of others that are told of them, and each telling.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let endpoint = Table::create()
            .table("webhook_endpoint")
            .col(uuid("id").primary_key())
            .col(text("url"))
            .col(text("secret_sealed"))
            .col(json_binary_null("kinds"))
            .col(integer("failures"))
            .col(timestamp_with_time_zone_null("rests_until"))
            .col(timestamp_with_time_zone("created_at"))
            .col(timestamp_with_time_zone_null("deleted_at"))
            .take();
        manager.create_table(endpoint).await?;
        let event = Table::create()
            .table("event")
            .col(uuid("id").primary_key())
            .col(text("kind"))
            .col(uuid("object_id"))
            .col(text("object_ref"))
            .col(big_integer("sequence"))
            .col(json_binary("data"))
            .col(timestamp_with_time_zone("occurred_at"))
            .take();
        manager.create_table(event).await?;
        let delivery = Table::create()
            .table("event_delivery")
            .col(uuid("id").primary_key())
            .col(uuid("event_id"))
            .col(uuid("endpoint_id"))
            .col(uuid("object_id"))
            .col(big_integer("sequence"))
            .col(text("state"))
            .col(integer("tries"))
            .col(timestamp_with_time_zone_null("next_try_at"))
            .col(integer_null("status_code"))
            .col(text_null("error"))
            .col(timestamp_with_time_zone("queued_at"))
            .col(timestamp_with_time_zone("created_at"))
            .col(timestamp_with_time_zone_null("delivered_at"))
            .take();
        manager.create_table(delivery).await?;
        let mut sequence = Index::create().name("event_object_id_sequence_key").table("event").col("object_id").col("sequence").take();
        manager.create_index(sequence.unique().take()).await?;
        for (name, table, columns) in [
            ("event_occurred_at_idx", "event", &["occurred_at"][..]),
            ("event_delivery_created_at_id_idx", "event_delivery", &["created_at", "id"]),
            ("event_delivery_endpoint_id_object_id_sequence_idx", "event_delivery", &["endpoint_id", "object_id", "sequence"]),
            ("event_delivery_event_id_idx", "event_delivery", &["event_id"]),
        ] {
            let mut index = Index::create().name(name).table(table).take();
            columns.iter().for_each(|column| {
                index.col(*column);
            });
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A program of before knows nothing of this kind, and would stumble over it.
        let ours = Query::delete().from_table("job").and_where(Expr::col("kind").eq("DeliverEvent")).take();
        manager.get_connection().execute(&ours).await?;
        for table in ["event_delivery", "event", "webhook_endpoint"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}
