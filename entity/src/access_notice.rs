//! That it was decided whether to tell a learner about the end of a grant.

use sea_orm::entity::prelude::*;

/// That it was decided whether to tell a learner about the end of a grant.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "access_notice")]
pub struct Model {
    /// The grant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub entitlement_id: Uuid,
    /// Its end; another end is another decision.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ends_at: DateTimeUtc,
    /// When.
    pub decided_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
