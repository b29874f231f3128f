//! What differs between a payment and what its gateway says of it.

use sea_orm::entity::prelude::*;

/// What differs between a payment and what its gateway says of it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_difference")]
pub struct Model {
    /// Attempt.
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_id: Uuid,
    /// What differs: kind, ours, theirs.
    #[sea_orm(column_type = "JsonBinary")]
    pub differences: Json,
    /// When it was first found.
    pub found_at: DateTimeUtc,
    /// When it was last found.
    pub seen_at: DateTimeUtc,
    /// When it was gone.
    pub cleared_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
