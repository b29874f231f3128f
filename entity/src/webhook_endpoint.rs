//! Where another system is told of events.

use sea_orm::entity::prelude::*;

/// Where another system is told of events.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_endpoint")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its address.
    #[sea_orm(column_type = "Text")]
    pub url: String,
    /// The secret that signs, sealed.
    #[sea_orm(column_type = "Text")]
    pub secret_sealed: String,
    /// The kinds of event that it wants; null = all.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub kinds: Option<Json>,
    /// Failures in a row.
    pub failures: i32,
    /// Until when it is left alone.
    pub rests_until: Option<DateTimeUtc>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it was taken away.
    pub deleted_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
