//! Credits that were granted together.

use sea_orm::entity::prelude::*;

/// Credits that were granted together.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_lot")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who holds them.
    pub owner_id: Uuid,
    /// The product that they were sold with.
    pub product_id: Option<Uuid>,
    /// The product for whose courses alone they pay.
    pub tied_product_id: Option<Uuid>,
    /// What kind of thing gave them.
    #[sea_orm(column_type = "Text")]
    pub source_kind: String,
    /// Which one; each gives once.
    pub source_id: Uuid,
    /// Granted in all.
    pub count: i64,
    /// Paid with, less what was given back.
    pub spent: i64,
    /// Left at the end, as far as it is in the books.
    pub expired: i64,
    /// Taken away again.
    pub revoked: i64,
    /// When they were granted.
    pub granted_at: DateTimeUtc,
    /// From when on they count for nothing.
    pub expires_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
