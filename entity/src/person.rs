//! One immutable version of somebody's name, e-mail and address; orders and accounts point to one. Erasure blanks the texts, not the row.

use sea_orm::entity::prelude::*;

/// One immutable version of somebody's name, e-mail and address; orders and accounts point to one. Erasure blanks the texts, not the row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "person")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// E-mail as shown; empty once erased.
    #[sea_orm(column_type = "Text", nullable)]
    pub email: Option<String>,
    /// Keyed hash of the normalised e-mail; kept after erasure.
    #[sea_orm(column_type = "Text")]
    pub email_hash: String,
    /// Full name.
    #[sea_orm(column_type = "Text", nullable)]
    pub name: Option<String>,
    /// Postal address, free form lines and a country code.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub address: Option<Json>,
    /// When this version was written.
    pub created_at: DateTimeUtc,
    /// When the texts were blanked.
    pub erased_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
