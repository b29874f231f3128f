//! Fulfilment: days within which keys and seats are redeemed, numbers of events that outlive the events, seats of companies that a manager
//! bought.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, integer_null, uuid};

/// Fulfilment: days within which keys and seats are redeemed, numbers of events that outlive the events, seats of companies that a manager
/// bought.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // SQLite would keep half a step otherwise.
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("product").add_column(integer_null("redeem_days")).take()).await?;
        manager
            .create_table(Table::create().table("event_sequence").col(uuid("object_id").primary_key()).col(big_integer("last")).take())
            .await?;
        let db = manager.get_connection();
        db.execute_unprepared("INSERT INTO event_sequence (object_id, last) SELECT object_id, MAX(sequence) FROM event GROUP BY object_id")
            .await?;
        // What a manager bought for the company is the company's: who manages it sees the codes, as long as they do.
        db.execute_unprepared(
            r"UPDATE token SET owner_account_id = NULL WHERE company_id IS NOT NULL AND EXISTS (
                SELECT 1 FROM company_member WHERE company_member.company_id = token.company_id
                    AND company_member.account_id = token.owner_account_id AND company_member.role = 'MANAGER')",
        )
        .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("event_sequence").take()).await?;
        manager.alter_table(Table::alter().table("product").drop_column("redeem_days").take()).await
    }
}
