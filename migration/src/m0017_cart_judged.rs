//! Carts: the buyer by whom their coupons were judged when an order was asked for.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::uuid_null;

/// Carts: the buyer by whom their coupons were judged when an order was asked for.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("cart").add_column(uuid_null("judged_person_id")).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("cart").drop_column("judged_person_id").take()).await
    }
}
