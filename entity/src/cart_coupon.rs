//! A code in a cart.

use sea_orm::entity::prelude::*;

/// A code in a cart.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cart_coupon")]
pub struct Model {
    /// Cart.
    #[sea_orm(primary_key, auto_increment = false)]
    pub cart_id: Uuid,
    /// Code.
    #[sea_orm(primary_key, auto_increment = false)]
    pub code_id: Uuid,
    /// Order of adding.
    pub position: i32,
    /// Whether it gave something when the cart was last shown.
    pub gave: bool,
    /// When it was added.
    pub added_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
