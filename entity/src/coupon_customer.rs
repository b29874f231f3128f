//! A customer that uses coupons: held while their uses are counted.

use sea_orm::entity::prelude::*;

/// A customer that uses coupons: held while their uses are counted.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "coupon_customer")]
pub struct Model {
    /// Account or hash of an e-mail.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub customer: String,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
