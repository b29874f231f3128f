//! What of a line a refund gives back.

use sea_orm::entity::prelude::*;

/// What of a line a refund gives back.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refund_line")]
pub struct Model {
    /// Refund.
    #[sea_orm(primary_key, auto_increment = false)]
    pub refund_id: Uuid,
    /// Line.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_line_id: Uuid,
    /// Amount.
    pub amount_minor: i64,
    /// Units, 0 where it named an amount.
    pub quantity: i64,
    /// Whether the amount followed from units.
    pub by_quantity: bool,
    /// Tokens it voids.
    #[sea_orm(column_type = "JsonBinary")]
    pub token_ids: Json,
    /// Whether it ends what the line gave.
    pub ends_access: bool,
    /// Whether it takes its share of the line's credits.
    pub takes_credits: bool,
    /// That share.
    pub credits: i64,
    /// What of it was unspent, and taken.
    pub credits_taken: i64,
    /// What of it was spent already.
    pub credits_spent: i64,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
