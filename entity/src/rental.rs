//! One payment of credits for a resource: its renting, or a renewal.

use sea_orm::entity::prelude::*;

/// One payment of credits for a resource: its renting, or a renewal.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rental")]
pub struct Model {
    /// Row id; what is spent and what is granted name it as their source.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The renting that this renews; its own id if it is one.
    pub first_id: Uuid,
    /// Learner.
    pub account_id: Uuid,
    /// What was rented.
    pub resource_id: Uuid,
    /// Credits that it cost.
    pub cost: i64,
    /// Days that it lasts.
    pub days: i32,
    /// When.
    pub rented_at: DateTimeUtc,
    /// When its credits were given back.
    pub given_back_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
