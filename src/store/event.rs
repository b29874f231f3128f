//! Events, the endpoints that are told of them, and each telling.

use chrono::{DateTime, Utc};
use domain::event::{DeliveryState, EventKind};
use domain::{EventDeliveryId, EventId, WebhookEndpointId};
use entity::{event, event_delivery, event_sequence, webhook_endpoint};
use sea_orm::prelude::Json;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::page::{Key, Order, page};
use super::{CHUNK, corrupt, known, rows_in};
use crate::page::{Page, PageArgs};

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Id.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// To what.
    pub object: Uuid,
    /// Its id as others know it.
    pub object_ref: String,
    /// The how many-th of the object's.
    pub sequence: i64,
    /// What there is to know.
    pub data: Json,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Id.
    pub id: WebhookEndpointId,
    /// Its address.
    pub url: String,
    /// The secret that signs, sealed.
    pub secret_sealed: String,
    /// The kinds of event that it wants; `None` = all.
    pub kinds: Option<Vec<EventKind>>,
    /// Failures in a row.
    pub failures: u32,
    /// Until when it is left alone.
    pub rests_until: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was taken away.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The telling of one event to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Id.
    pub id: EventDeliveryId,
    /// The event.
    pub event: EventId,
    /// The endpoint.
    pub endpoint: WebhookEndpointId,
    /// The event's object.
    pub object: Uuid,
    /// The event's place among those of the object.
    pub sequence: i64,
    /// How it stands.
    pub state: DeliveryState,
    /// Tries so far.
    pub tries: u32,
    /// When it is tried next.
    pub next_try_at: Option<DateTime<Utc>>,
    /// What the endpoint answered last.
    pub status_code: Option<u16>,
    /// What went wrong last.
    pub error: Option<String>,
    /// Since when it is tried.
    pub queued_at: DateTime<Utc>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the endpoint took it.
    pub delivered_at: Option<DateTime<Utc>>,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// How the delivery stands.
    pub state: DeliveryState,
    /// Tries so far.
    pub tries: u32,
    /// When it is tried next.
    pub next_try_at: Option<DateTime<Utc>>,
    /// What the endpoint answered.
    pub status_code: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// When the endpoint took it.
    pub delivered_at: Option<DateTime<Utc>>,
}

/// Which deliveries a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeliveryFilter {
    /// To this endpoint.
    pub endpoint: Option<WebhookEndpointId>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// About the object with this id.
    pub object: Option<Uuid>,
}

/// What to send again.
#[derive(Debug, Clone, Copy)]
pub enum Replay {
    /// This one.
    Delivery(EventDeliveryId),
    /// All that this endpoint was told, or should have been, since then.
    Since(WebhookEndpointId, DateTime<Utc>),
}

/// The endpoints that were not taken away.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn endpoints(db: &impl ConnectionTrait) -> Result<Vec<Endpoint>, DbErr> {
    let rows = webhook_endpoint::Entity::find()
        .filter(webhook_endpoint::Column::DeletedAt.is_null())
        .order_by_asc(webhook_endpoint::Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(endpoint_of).collect()
}

/// One endpoint, taken away or not.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn endpoint(db: &impl ConnectionTrait, id: WebhookEndpointId) -> Result<Option<Endpoint>, DbErr> {
    webhook_endpoint::Entity::find_by_id(id.uuid()).one(db).await?.map(endpoint_of).transpose()
}

/// These endpoints, taken away or not; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn endpoints_by_ids(db: &impl ConnectionTrait, ids: &[WebhookEndpointId]) -> Result<Vec<Endpoint>, DbErr> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    rows_in::<webhook_endpoint::Entity>(db, webhook_endpoint::Column::Id, &ids).await?.into_iter().map(endpoint_of).collect()
}

/// A page of the endpoints that were not taken away, in the order of making.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn endpoint_page(db: &impl ConnectionTrait, args: &PageArgs<(Key, Uuid)>, with_total: bool) -> Result<Page<Endpoint>, DbErr> {
    let select = webhook_endpoint::Entity::find().filter(webhook_endpoint::Column::DeletedAt.is_null());
    let order = Order { column: webhook_endpoint::Column::CreatedAt, id: webhook_endpoint::Column::Id, descending: false };
    let Page { rows, has_next, has_previous, total } = page(db, select, order, args, with_total).await?;
    Ok(Page { rows: rows.into_iter().map(endpoint_of).collect::<Result<_, _>>()?, has_next, has_previous, total })
}

/// Writes an endpoint.
///
/// # Errors
/// The database's.
pub async fn insert_endpoint(txn: &impl ConnectionTrait, new: &Endpoint) -> Result<(), DbErr> {
    let row = webhook_endpoint::ActiveModel {
        id: Set(new.id.uuid()),
        url: Set(new.url.clone()),
        secret_sealed: Set(new.secret_sealed.clone()),
        kinds: Set(new.kinds.as_ref().map(serde_json::to_value).transpose().map_err(corrupt)?),
        failures: Set(0),
        rests_until: Set(None),
        created_at: Set(new.created_at),
        deleted_at: Set(None),
    };
    webhook_endpoint::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Takes an endpoint away, with what still waits for it; says whether it was there.
///
/// # Errors
/// The database's.
pub async fn delete_endpoint(txn: &impl ConnectionTrait, id: WebhookEndpointId, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let deleted = webhook_endpoint::Entity::update_many()
        .col_expr(webhook_endpoint::Column::DeletedAt, Expr::value(now))
        .filter(webhook_endpoint::Column::Id.eq(id.uuid()))
        .filter(webhook_endpoint::Column::DeletedAt.is_null())
        .exec(txn)
        .await?;
    event_delivery::Entity::update_many()
        .col_expr(event_delivery::Column::State, Expr::value(DeliveryState::Failed.name()))
        .col_expr(event_delivery::Column::NextTryAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(event_delivery::Column::Error, Expr::value("The endpoint was taken away."))
        .filter(event_delivery::Column::EndpointId.eq(id.uuid()))
        .filter(event_delivery::Column::State.eq(DeliveryState::Queued.name()))
        .exec(txn)
        .await?;
    Ok(deleted.rows_affected == 1)
}

/// Lets one of those who come after an endpoint's rest try it, and keeps the others off until `until`; says whether it is this one.
///
/// # Errors
/// The database's.
pub async fn probe(db: &impl ConnectionTrait, id: WebhookEndpointId, now: DateTime<Utc>, until: DateTime<Utc>) -> Result<bool, DbErr> {
    let taken = webhook_endpoint::Entity::update_many()
        .col_expr(webhook_endpoint::Column::RestsUntil, Expr::value(until))
        .filter(webhook_endpoint::Column::Id.eq(id.uuid()))
        .filter(webhook_endpoint::Column::RestsUntil.lte(now))
        .exec(db)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Notes that an endpoint took something: it is well.
///
/// # Errors
/// The database's.
pub async fn endpoint_well(db: &impl ConnectionTrait, id: WebhookEndpointId) -> Result<(), DbErr> {
    webhook_endpoint::Entity::update_many()
        .col_expr(webhook_endpoint::Column::Failures, Expr::value(0i32))
        .col_expr(webhook_endpoint::Column::RestsUntil, Expr::value(None::<DateTime<Utc>>))
        .filter(webhook_endpoint::Column::Id.eq(id.uuid()))
        .filter(Condition::any().add(webhook_endpoint::Column::Failures.ne(0i32)).add(webhook_endpoint::Column::RestsUntil.is_not_null()))
        .exec(db)
        .await?;
    Ok(())
}

/// Counts a failure of an endpoint; gives how many there were in a row.
///
/// # Errors
/// The database's.
pub async fn endpoint_ill(db: &impl ConnectionTrait, id: WebhookEndpointId) -> Result<u32, DbErr> {
    let rows = webhook_endpoint::Entity::update_many()
        .col_expr(webhook_endpoint::Column::Failures, Expr::col(webhook_endpoint::Column::Failures).add(1i32))
        .filter(webhook_endpoint::Column::Id.eq(id.uuid()))
        .exec_with_returning(db)
        .await?;
    rows.first().map_or(Ok(0), |row| u32::try_from(row.failures).map_err(corrupt))
}

/// Leaves an endpoint alone until then.
///
/// # Errors
/// The database's.
pub async fn endpoint_rests(db: &impl ConnectionTrait, id: WebhookEndpointId, until: DateTime<Utc>) -> Result<(), DbErr> {
    webhook_endpoint::Entity::update_many()
        .col_expr(webhook_endpoint::Column::RestsUntil, Expr::value(until))
        .filter(webhook_endpoint::Column::Id.eq(id.uuid()))
        .exec(db)
        .await?;
    Ok(())
}

/// The number of the object's next event. The caller holds the object's row, so that nobody else takes it.
///
/// # Errors
/// The database's.
pub async fn next_sequence(txn: &impl ConnectionTrait, object: Uuid) -> Result<i64, DbErr> {
    // Not counted from the events that are there: old ones are dropped, and a number is given once.
    let next = OnConflict::column(event_sequence::Column::ObjectId)
        .value(event_sequence::Column::Last, Expr::col((event_sequence::Entity, event_sequence::Column::Last)).add(1i64))
        .to_owned();
    let first = event_sequence::ActiveModel { object_id: Set(object), last: Set(1) };
    Ok(event_sequence::Entity::insert(first).on_conflict(next).exec_with_returning(txn).await?.last)
}

/// Writes an event.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, new: &Event) -> Result<(), DbErr> {
    let row = event::ActiveModel {
        id: Set(new.id.uuid()),
        kind: Set(new.kind.name().to_owned()),
        object_id: Set(new.object),
        object_ref: Set(new.object_ref.clone()),
        sequence: Set(new.sequence),
        data: Set(new.data.clone()),
        occurred_at: Set(new.occurred_at),
    };
    event::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

/// These events; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[EventId]) -> Result<Vec<Event>, DbErr> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    rows_in::<event::Entity>(db, event::Column::Id, &ids).await?.into_iter().map(event_of).collect()
}

/// Writes deliveries.
///
/// # Errors
/// The database's.
pub async fn insert_deliveries(txn: &impl ConnectionTrait, new: &[Delivery]) -> Result<(), DbErr> {
    for chunk in new.chunks(CHUNK) {
        let rows = chunk.iter().map(|new| {
            Ok(event_delivery::ActiveModel {
                id: Set(new.id.uuid()),
                event_id: Set(new.event.uuid()),
                endpoint_id: Set(new.endpoint.uuid()),
                object_id: Set(new.object),
                sequence: Set(new.sequence),
                state: Set(new.state.name().to_owned()),
                tries: Set(i32::try_from(new.tries).map_err(corrupt)?),
                next_try_at: Set(new.next_try_at),
                status_code: Set(None),
                error: Set(None),
                queued_at: Set(new.queued_at),
                created_at: Set(new.created_at),
                delivered_at: Set(None),
            })
        });
        event_delivery::Entity::insert_many(rows.collect::<Result<Vec<_>, DbErr>>()?).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// One delivery.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn delivery(db: &impl ConnectionTrait, id: EventDeliveryId) -> Result<Option<Delivery>, DbErr> {
    event_delivery::Entity::find_by_id(id.uuid()).one(db).await?.map(delivery_of).transpose()
}

/// The delivery to the same endpoint, about the same object, that has to arrive before this one, if one still waits.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn earlier(db: &impl ConnectionTrait, of: &Delivery) -> Result<Option<Delivery>, DbErr> {
    let row = event_delivery::Entity::find()
        .filter(event_delivery::Column::EndpointId.eq(of.endpoint.uuid()))
        .filter(event_delivery::Column::ObjectId.eq(of.object))
        .filter(event_delivery::Column::Sequence.lt(of.sequence))
        .filter(event_delivery::Column::State.eq(DeliveryState::Queued.name()))
        .order_by_asc(event_delivery::Column::Sequence)
        .one(db)
        .await?;
    row.map(delivery_of).transpose()
}

/// Notes what became of a try, unless the delivery arrived or was called off meanwhile.
///
/// # Errors
/// The database's.
pub async fn tried(db: &impl ConnectionTrait, id: EventDeliveryId, tried: Tried) -> Result<(), DbErr> {
    event_delivery::Entity::update_many()
        .col_expr(event_delivery::Column::State, Expr::value(tried.state.name()))
        .col_expr(event_delivery::Column::Tries, Expr::value(i32::try_from(tried.tries).map_err(corrupt)?))
        .col_expr(event_delivery::Column::NextTryAt, Expr::value(tried.next_try_at))
        .col_expr(event_delivery::Column::StatusCode, Expr::value(tried.status_code.map(i32::from)))
        .col_expr(event_delivery::Column::Error, Expr::value(tried.error))
        .col_expr(event_delivery::Column::DeliveredAt, Expr::value(tried.delivered_at))
        .filter(event_delivery::Column::Id.eq(id.uuid()))
        .filter(event_delivery::Column::State.eq(DeliveryState::Queued.name()))
        .exec(db)
        .await?;
    Ok(())
}

/// A page of deliveries, the newest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn delivery_page(
    db: &impl ConnectionTrait,
    filter: &DeliveryFilter,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Delivery>, DbErr> {
    let mut select = event_delivery::Entity::find();
    if let Some(endpoint) = filter.endpoint {
        select = select.filter(event_delivery::Column::EndpointId.eq(endpoint.uuid()));
    }
    if let Some(state) = filter.state {
        select = select.filter(event_delivery::Column::State.eq(state.name()));
    }
    if let Some(object) = filter.object {
        select = select.filter(event_delivery::Column::ObjectId.eq(object));
    }
    let order = Order { column: event_delivery::Column::CreatedAt, id: event_delivery::Column::Id, descending: true };
    let Page { rows, has_next, has_previous, total } = page(db, select, order, args, with_total).await?;
    Ok(Page { rows: rows.into_iter().map(delivery_of).collect::<Result<_, _>>()?, has_next, has_previous, total })
}

/// Queues a delivery, or those to an endpoint whose events happened since then and that do not wait already, again; gives them, the oldest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn replay(txn: &impl ConnectionTrait, which: Replay, most: u64, now: DateTime<Utc>) -> Result<Vec<Delivery>, DbErr> {
    let mut wanted = Query::select();
    wanted
        .column(event_delivery::Column::Id)
        .from(event_delivery::Entity)
        .and_where(Expr::col(event_delivery::Column::State).ne(DeliveryState::Queued.name()));
    match which {
        Replay::Delivery(delivery) => wanted.and_where(Expr::col(event_delivery::Column::Id).eq(delivery.uuid())),
        Replay::Since(endpoint, since) => wanted
            .and_where(Expr::col(event_delivery::Column::EndpointId).eq(endpoint.uuid()))
            .and_where(Expr::col(event_delivery::Column::CreatedAt).gte(since)),
    };
    wanted
        .order_by(event_delivery::Column::CreatedAt, sea_orm::Order::Asc)
        .order_by(event_delivery::Column::Id, sea_orm::Order::Asc)
        .limit(most);
    let rows = event_delivery::Entity::update_many()
        .col_expr(event_delivery::Column::State, Expr::value(DeliveryState::Queued.name()))
        .col_expr(event_delivery::Column::Tries, Expr::value(0i32))
        .col_expr(event_delivery::Column::NextTryAt, Expr::value(now))
        .col_expr(event_delivery::Column::QueuedAt, Expr::value(now))
        .col_expr(event_delivery::Column::Error, Expr::value(None::<String>))
        .col_expr(event_delivery::Column::DeliveredAt, Expr::value(None::<DateTime<Utc>>))
        .filter(event_delivery::Column::Id.in_subquery(wanted))
        .exec_with_returning(txn)
        .await?;
    let mut replayed: Vec<Delivery> = rows.into_iter().map(delivery_of).collect::<Result<_, _>>()?;
    replayed.sort_by_key(|delivery| (delivery.created_at, delivery.id));
    Ok(replayed)
}

/// Drops events of before `before` with their deliveries, where none waits; some at a time; says how many.
///
/// # Errors
/// The database's.
pub async fn drop_old(db: &impl ConnectionTrait, before: DateTime<Utc>) -> Result<u64, DbErr> {
    let waiting = Query::select()
        .column(event_delivery::Column::EventId)
        .from(event_delivery::Entity)
        .and_where(Expr::col(event_delivery::Column::State).eq(DeliveryState::Queued.name()))
        .take();
    let ids: Vec<Uuid> = event::Entity::find()
        .select_only()
        .column(event::Column::Id)
        .filter(event::Column::OccurredAt.lt(before))
        .filter(Expr::col(event::Column::Id).not_in_subquery(waiting))
        .limit(CHUNK as u64)
        .into_tuple()
        .all(db)
        .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    event_delivery::Entity::delete_many().filter(event_delivery::Column::EventId.is_in(ids.iter().copied())).exec(db).await?;
    Ok(event::Entity::delete_many().filter(event::Column::Id.is_in(ids)).exec(db).await?.rows_affected)
}

fn event_of(row: event::Model) -> Result<Event, DbErr> {
    Ok(Event {
        id: row.id.into(),
        kind: known(EventKind::parse(&row.kind), "kind of event", &row.kind)?,
        object: row.object_id,
        object_ref: row.object_ref,
        sequence: row.sequence,
        data: row.data,
        occurred_at: row.occurred_at,
    })
}

fn endpoint_of(row: webhook_endpoint::Model) -> Result<Endpoint, DbErr> {
    Ok(Endpoint {
        id: row.id.into(),
        url: row.url,
        secret_sealed: row.secret_sealed,
        kinds: row.kinds.map(serde_json::from_value).transpose().map_err(corrupt)?,
        failures: u32::try_from(row.failures).map_err(corrupt)?,
        rests_until: row.rests_until,
        created_at: row.created_at,
        deleted_at: row.deleted_at,
    })
}

fn delivery_of(row: event_delivery::Model) -> Result<Delivery, DbErr> {
    Ok(Delivery {
        id: row.id.into(),
        event: row.event_id.into(),
        endpoint: row.endpoint_id.into(),
        object: row.object_id,
        sequence: row.sequence,
        state: known(DeliveryState::parse(&row.state), "state of a delivery", &row.state)?,
        tries: u32::try_from(row.tries).map_err(corrupt)?,
        next_try_at: row.next_try_at,
        status_code: row.status_code.map(u16::try_from).transpose().map_err(corrupt)?,
        error: row.error,
        queued_at: row.queued_at,
        created_at: row.created_at,
        delivered_at: row.delivered_at,
    })
}
