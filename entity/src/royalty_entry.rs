//! What is owed more or less for a sold line; never changed.

use sea_orm::entity::prelude::*;

/// What is owed more or less for a sold line; never changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "royalty_entry")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The sold line.
    pub royalty_id: Uuid,
    /// Place among the entries of the line, from 0.
    pub place: i32,
    /// Who is owed.
    pub licensor_id: Uuid,
    /// The month that it stands in.
    #[sea_orm(column_type = "Text")]
    pub period: String,
    /// SALE, OVERRIDE, REVERSAL or RESTORATION.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// The royalty that holds for the whole line from then on.
    pub applied_minor: i64,
    /// What of the line's money is back then.
    pub gone_part: i64,
    /// Of how much.
    pub gone_whole: i64,
    /// What is owed more, or less.
    pub amount_minor: i64,
    /// The currency that it is owed in.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// What was sold more, or less.
    pub net_minor: i64,
    /// Its currency.
    #[sea_orm(column_type = "Text")]
    pub net_currency: String,
    /// Who made it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// Why.
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    /// When it was made.
    pub recorded_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
