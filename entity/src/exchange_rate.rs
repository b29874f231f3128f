//! An exchange rate that the operator set.

use sea_orm::entity::prelude::*;

/// An exchange rate that the operator set.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "exchange_rate")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Base currency.
    #[sea_orm(column_type = "Text")]
    pub base: String,
    /// Quote currency.
    #[sea_orm(column_type = "Text")]
    pub quote: String,
    /// Decimal text: quote units for one base unit.
    #[sea_orm(column_type = "Text")]
    pub rate: String,
    /// From which pricing instant it is used.
    pub valid_from: DateTimeUtc,
    /// When it was set.
    pub recorded_at: DateTimeUtc,
    /// When another rate with the same start replaced it; null = current.
    pub replaced_at: Option<DateTimeUtc>,
    /// Who set it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
