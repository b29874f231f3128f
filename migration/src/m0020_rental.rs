//! Resources of courses with what renting them costs, rentals, and who was told on which day that credits are missing.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid,
};

/// Resources of courses with what renting them costs, rentals, and who was told on which day that credits are missing.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let resource = Table::create()
            .table("resource")
            .col(uuid("id").primary_key())
            .col(uuid("course_id"))
            .col(text("title"))
            .col(big_integer("cost"))
            .col(integer("days"))
            .col(text_null("demo_kind"))
            .col(text_null("demo"))
            .col(integer("position"))
            .col(timestamp_with_time_zone("created_at"))
            .col(timestamp_with_time_zone("touched_at"))
            .col(timestamp_with_time_zone_null("archived_at"))
            .foreign_key(ForeignKey::create().name("resource_course_id_fkey").from("resource", "course_id").to("course", "id"))
            .take();
        manager.create_table(resource).await?;
        manager.create_index(Index::create().name("resource_course_id_idx").table("resource").col("course_id").take()).await?;
        let rental = Table::create()
            .table("rental")
            .col(uuid("id").primary_key())
            .col(uuid("first_id"))
            .col(uuid("account_id"))
            .col(uuid("resource_id"))
            .col(big_integer("cost"))
            .col(integer("days"))
            .col(timestamp_with_time_zone("rented_at"))
            .col(timestamp_with_time_zone_null("given_back_at"))
            .foreign_key(ForeignKey::create().name("rental_account_id_fkey").from("rental", "account_id").to("account", "id"))
            .foreign_key(ForeignKey::create().name("rental_resource_id_fkey").from("rental", "resource_id").to("resource", "id"))
            .take();
        manager.create_table(rental).await?;
        for (name, columns) in [
            ("rental_first_id_idx", &["first_id"][..]),
            ("rental_account_id_resource_id_idx", &["account_id", "resource_id"]),
            ("rental_resource_id_idx", &["resource_id"]),
        ] {
            let mut index = Index::create().name(name).table("rental").take();
            columns.iter().for_each(|column| {
                index.col(*column);
            });
            manager.create_index(index).await?;
        }
        let notice = Table::create()
            .table("shortage_notice")
            .col(uuid("account_id"))
            .col(text("day"))
            .col(timestamp_with_time_zone("noticed_at"))
            .primary_key(Index::create().col("account_id").col("day"))
            .foreign_key(
                ForeignKey::create().name("shortage_notice_account_id_fkey").from("shortage_notice", "account_id").to("account", "id"),
            )
            .take();
        manager.create_table(notice).await?;
        let ignores = boolean("ignores_credits").default(false).take();
        manager.alter_table(Table::alter().table("group").add_column(ignores).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A program of before knows nothing of these kinds, and would stumble over them.
        let db = manager.get_connection();
        let grants = Query::select().column("id").from("entitlement").and_where(Expr::col("source_kind").eq("RENTAL")).take();
        let told = Query::select().column("id").from("event").and_where(Expr::col("kind").eq("CREDITS_SHORT")).take();
        for delete in [
            Query::delete().from_table("access_notice").and_where(Expr::col("entitlement_id").in_subquery(grants)).take(),
            Query::delete().from_table("entitlement").and_where(Expr::col("source_kind").eq("RENTAL")).take(),
            Query::delete().from_table("event_delivery").and_where(Expr::col("event_id").in_subquery(told)).take(),
            Query::delete().from_table("event").and_where(Expr::col("kind").eq("CREDITS_SHORT")).take(),
            Query::delete().from_table("mail").and_where(Expr::col("kind").eq("CREDITS_SHORT")).take(),
            Query::delete().from_table("template").and_where(Expr::col("kind").eq("CREDITS_SHORT")).take(),
        ] {
            db.execute(&delete).await?;
        }
        manager.alter_table(Table::alter().table("group").drop_column("ignores_credits").take()).await?;
        for table in ["shortage_notice", "rental", "resource"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}
