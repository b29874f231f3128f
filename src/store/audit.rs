//! The audit log: who changed what, written in the transaction of the change. Append-only.

use chrono::{DateTime, Utc};
use entity::audit;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryTrait};
use serde_json::Value;
use uuid::Uuid;

use super::page::{Key, Order, page};
use crate::page::{Page, PageArgs};

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

/// Writes the entries.
///
/// # Errors
/// The database's.
pub async fn record(db: &impl ConnectionTrait, entries: Vec<Entry<'_>>) -> Result<(), DbErr> {
    let mut rows = entries.into_iter().map(row).peekable();
    while rows.peek().is_some() {
        audit::Entity::insert_many(rows.by_ref().take(ROWS)).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Rows of one INSERT.
const ROWS: usize = 500;

fn row(entry: Entry<'_>) -> audit::ActiveModel {
    audit::ActiveModel {
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
    }
}

/// An entry as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Row id.
    pub id: Uuid,
    /// When.
    pub happened_at: DateTime<Utc>,
    /// OPERATOR, MANAGER, SERVICE, CUSTOMER, GUEST or SYSTEM.
    pub actor_kind: String,
    /// Account, key or cart.
    pub actor: String,
    /// Company concerned.
    pub company: Option<Uuid>,
    /// Mutation or job.
    pub operation: String,
    /// Kind of the object.
    pub object_kind: String,
    /// Object.
    pub object: Option<Uuid>,
    /// Before.
    pub old: Option<Value>,
    /// After.
    pub new: Option<Value>,
    /// Request.
    pub request: Option<String>,
}

/// Which entries a list shows; what is `None` does not matter.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Filter {
    /// Of this actor.
    pub actor: Option<String>,
    /// Concerning this company.
    pub company: Option<Uuid>,
    /// By this mutation or job.
    pub operation: Option<String>,
    /// About this object.
    pub object: Option<Uuid>,
    /// From this instant on.
    pub from: Option<DateTime<Utc>>,
    /// Before this instant.
    pub until: Option<DateTime<Utc>>,
}

/// A page of entries, the newest first.
///
/// # Errors
/// The database's.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &Filter,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Logged>, DbErr> {
    let select = audit::Entity::find()
        .apply_if(filter.actor.as_ref(), |select, actor| select.filter(audit::Column::Actor.eq(actor.as_str())))
        .apply_if(filter.company.as_ref(), |select, company| select.filter(audit::Column::CompanyId.eq(*company)))
        .apply_if(filter.operation.as_ref(), |select, operation| select.filter(audit::Column::Operation.eq(operation.as_str())))
        .apply_if(filter.object.as_ref(), |select, object| select.filter(audit::Column::ObjectId.eq(*object)))
        .apply_if(filter.from.as_ref(), |select, from| select.filter(audit::Column::HappenedAt.gte(*from)))
        .apply_if(filter.until.as_ref(), |select, until| select.filter(audit::Column::HappenedAt.lt(*until)));
    let order = Order { column: audit::Column::HappenedAt, id: audit::Column::Id, descending: true };
    Ok(page(db, select, order, args, with_total).await?.map(|row| Logged {
        id: row.id,
        happened_at: row.happened_at,
        actor_kind: row.actor_kind,
        actor: row.actor,
        company: row.company_id,
        operation: row.operation,
        object_kind: row.object_kind,
        object: row.object_id,
        old: row.old,
        new: row.new,
        request: row.request_id,
    }))
}
