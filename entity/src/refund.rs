//! Money on its way back.

use sea_orm::entity::prelude::*;

/// Money on its way back.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refund")]
pub struct Model {
    /// Row id; the operation id at the gateway.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Order.
    pub order_id: Uuid,
    /// The attempt that captured it.
    pub payment_id: Uuid,
    /// Amount.
    pub amount_minor: i64,
    /// Currency.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// PENDING, SUCCEEDED, FAILED or CANCELLED.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// SHOP, GATEWAY or LATE_MONEY.
    #[sea_orm(column_type = "Text")]
    pub origin: String,
    /// Why.
    #[sea_orm(column_type = "Text")]
    pub reason: String,
    /// Who asked.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// END, KEEP or DEFAULT.
    #[sea_orm(column_type = "Text")]
    pub access: String,
    /// The gateway's own id.
    #[sea_orm(column_type = "Text", nullable)]
    pub reference: Option<String>,
    /// Why it failed.
    #[sea_orm(column_type = "Text", nullable)]
    pub failure: Option<String>,
    /// How often the gateway was asked.
    pub polls: i32,
    /// When to ask again.
    pub next_poll_at: Option<DateTimeUtc>,
    /// When it was asked for.
    pub created_at: DateTimeUtc,
    /// When it succeeded or failed.
    pub settled_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
