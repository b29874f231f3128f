//! One or more courses sold as one unit.

use sea_orm::entity::prelude::*;

/// One or more courses sold as one unit.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "library")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Title.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// Folded title, for order.
    #[sea_orm(column_type = "Text")]
    pub title_sort: String,
    /// Description, may be empty.
    #[sea_orm(column_type = "Text")]
    pub description: String,
    /// Groups libraries in reports; not unique.
    #[sea_orm(column_type = "Text", nullable)]
    pub product_code: Option<String>,
    /// Whether each course opens when the one before is passed.
    pub ordered: bool,
    /// Quantity discounts.
    pub discount_schedule_id: Option<Uuid>,
    /// What it owes its licensor.
    pub royalty_plan_id: Option<Uuid>,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
    /// When it was archived.
    pub archived_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
