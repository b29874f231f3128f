//! Payments: the network address that the buyer asked from, until the gateway has the payment.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::text_null;

/// Payments: the network address that the buyer asked from, until the gateway has the payment.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("payment").add_column(text_null("buyer_ip")).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("payment").drop_column("buyer_ip").take()).await
    }
}
