//! The audit log: who changed what, written in the transaction of the change. Append-only.

use chrono::{DateTime, Utc};
use entity::audit;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use serde_json::Value;
use uuid::Uuid;

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Row id.
    pub id: Uuid,
    /// When.
    pub happened_at: DateTime<Utc>,
    /// OPERATOR, MANAGER, SERVICE, CUSTOMER, GUEST or SYSTEM.
    pub actor_kind: &'a str,
    /// Account, key or cart.
    pub actor: String,
    /// Company concerned.
    pub company: Option<Uuid>,
    /// Mutation or job.
    pub operation: &'a str,
    /// Kind of the object.
    pub object_kind: &'a str,
    /// Object.
    pub object: Option<Uuid>,
    /// Before.
    pub old: Option<Value>,
    /// After.
    pub new: Option<Value>,
    /// Request.
    pub request: Option<String>,
}

/// Writes the entry.
///
/// # Errors
/// The database's.
pub async fn record(db: &impl ConnectionTrait, entry: Entry<'_>) -> Result<(), DbErr> {
    audit::Entity::insert(audit::ActiveModel {
        id: Set(entry.id),
        happened_at: Set(entry.happened_at),
        actor_kind: Set(entry.actor_kind.to_owned()),
        actor: Set(entry.actor),
        company_id: Set(entry.company),
        operation: Set(entry.operation.to_owned()),
        object_kind: Set(entry.object_kind.to_owned()),
        object_id: Set(entry.object),
        old: Set(entry.old),
        new: Set(entry.new),
        request_id: Set(entry.request),
    })
    .exec_without_returning(db)
    .await?;
    Ok(())
}
