//! A tax rate that the operator set.

use sea_orm::entity::prelude::*;

/// A tax rate that the operator set.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tax_rate")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// ISO 3166 code of the country.
    #[sea_orm(column_type = "Text")]
    pub country: String,
    /// Class of products.
    #[sea_orm(column_type = "Text")]
    pub class: String,
    /// Millionths of the net amount.
    pub rate_millionths: i64,
    /// From which instant it holds.
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
