//! A verified webhook, stored before it is acknowledged; append-only but for `applied_at`.

use sea_orm::entity::prelude::*;

/// A verified webhook, stored before it is acknowledged; append-only but for `applied_at`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "gateway_event")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Id of the gateway instance.
    #[sea_orm(column_type = "Text")]
    pub gateway: String,
    /// The gateway's event id, or a hash of the body.
    #[sea_orm(column_type = "Text")]
    pub dedup_key: String,
    /// What the adapter understood.
    #[sea_orm(column_type = "JsonBinary")]
    pub notification: Json,
    /// Raw body.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: DateTimeUtc,
    /// When it was applied.
    pub applied_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
