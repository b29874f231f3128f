//! A chargeback or inquiry at the gateway.

use sea_orm::entity::prelude::*;

/// A chargeback or inquiry at the gateway.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dispute")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Attempt.
    pub payment_id: Uuid,
    /// The gateway's own id.
    #[sea_orm(column_type = "Text")]
    pub reference: String,
    /// Disputed amount.
    pub amount_minor: i64,
    /// Currency.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// INQUIRY, NEEDS_RESPONSE, UNDER_REVIEW, WON or LOST.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// The gateway's reason.
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    /// When it was opened.
    pub opened_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
