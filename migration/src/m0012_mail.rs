//! Mails and their templates, what operators choose for the shop, notices of access that ends.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    integer, json_binary, text, text_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

/// Mails and their templates, what operators choose for the shop, notices of access that ends.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        mails(manager).await?;
        manager
            .create_table(
                Table::create()
                    .table("template")
                    .col(uuid("id").primary_key())
                    .col(text("kind"))
                    .col(text("locale"))
                    .col(uuid_null("company_id"))
                    .col(uuid_null("product_id"))
                    // One text of all of the above: nulls are never equal in an index of the columns themselves.
                    .col(text("place"))
                    .col(text("subject"))
                    .col(text("text"))
                    .col(text_null("html"))
                    .col(timestamp_with_time_zone("created_at"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("template_place_key").table("template").col("place").unique().take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("shop_choice")
                    .col(integer("id").primary_key())
                    .col(json_binary("choices"))
                    .col(timestamp_with_time_zone("touched_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("access_notice")
                    .col(uuid("entitlement_id"))
                    .col(timestamp_with_time_zone("ends_at"))
                    .col(timestamp_with_time_zone("decided_at"))
                    .primary_key(Index::create().col("entitlement_id").col("ends_at"))
                    .take(),
            )
            .await?;
        manager.create_index(Index::create().name("entitlement_ends_at_idx").table("entitlement").col("ends_at").take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("entitlement_ends_at_idx").table("entitlement").to_owned()).await?;
        // A program of before knows nothing of these kinds, and would stumble over them.
        let ours = Query::delete().from_table("job").and_where(Expr::col("kind").is_in(["SendMail", "MailRound"])).take();
        manager.get_connection().execute(&ours).await?;
        for table in ["access_notice", "shop_choice", "template", "mail"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}

async fn mails(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("mail")
                .col(uuid("id").primary_key())
                .col(text("kind"))
                .col(text("state"))
                .col(text_null("to_address"))
                .col(text_null("to_name"))
                .col(text("email_hash"))
                .col(text_null("person_hash"))
                .col(text("locale"))
                .col(uuid_null("account_id"))
                .col(uuid_null("link_id"))
                .col(json_binary("about"))
                .col(text_null("subject"))
                .col(text_null("body_sealed"))
                .col(integer("tries"))
                .col(timestamp_with_time_zone_null("next_try_at"))
                .col(text_null("error"))
                .col(timestamp_with_time_zone("created_at"))
                .col(timestamp_with_time_zone_null("sent_at"))
                .take(),
        )
        .await?;
    for (name, columns) in [
        ("mail_created_at_id_idx", &["created_at", "id"][..]),
        ("mail_state_created_at_id_idx", &["state", "created_at", "id"]),
        ("mail_email_hash_idx", &["email_hash"]),
        ("mail_person_hash_idx", &["person_hash"]),
    ] {
        let mut index = Index::create().name(name).table("mail").take();
        columns.iter().for_each(|column| {
            index.col(*column);
        });
        manager.create_index(index).await?;
    }
    Ok(())
}
