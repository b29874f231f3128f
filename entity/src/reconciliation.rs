//! One night's comparison of payments with their gateways.

use sea_orm::entity::prelude::*;

/// One night's comparison of payments with their gateways.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reconciliation")]
pub struct Model {
    /// The night, by its date in the shop's zone.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub night: String,
    /// When it began.
    pub began_at: DateTimeUtc,
    /// When it was through.
    pub ended_at: Option<DateTimeUtc>,
    /// The last payment that was compared.
    pub after_payment_id: Option<Uuid>,
    /// How many were compared.
    pub compared: i32,
    /// How many of them differ.
    pub differing: i32,
    /// For how many the gateway gave no answer.
    pub unanswered: i32,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
