//! Who did what; append-only.

use sea_orm::entity::prelude::*;

/// Who did what; append-only.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When.
    pub happened_at: DateTimeUtc,
    /// OPERATOR, MANAGER, SERVICE, CUSTOMER, GUEST or SYSTEM.
    #[sea_orm(column_type = "Text")]
    pub actor_kind: String,
    /// Account or key.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// Company concerned.
    pub company_id: Option<Uuid>,
    /// Mutation or job.
    #[sea_orm(column_type = "Text")]
    pub operation: String,
    /// Kind of the object.
    #[sea_orm(column_type = "Text")]
    pub object_kind: String,
    /// Object.
    pub object_id: Option<Uuid>,
    /// Before.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub old: Option<Json>,
    /// After.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub new: Option<Json>,
    /// Request.
    #[sea_orm(column_type = "Text", nullable)]
    pub request_id: Option<String>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
