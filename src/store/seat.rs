//! Seats of sessions: how many are taken, and what took them.
//!
//! Always true here: `session.taken` is the sum of the living rows of `session_seat`, and grows by a conditional update only, so that no session
//! is ever oversold; a unique index gives each learner one seat of a session.

use chrono::{DateTime, Utc};
use domain::entitlement::{Source, SourceKind};
use domain::seat::SeatState;
use domain::{AccountId, OrderId, SessionId};
use entity::session_seat::{ActiveModel, Column, Entity, Model};
use entity::{account, entitlement, session};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType, OnConflict, Query};
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::catalog::uuids;
use super::{CHUNK, known};

/// Seats of a session that one source holds or gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Row id.
    pub id: Uuid,
    /// The session.
    pub session: SessionId,
    /// What took them.
    pub source: Source,
    /// The order behind it.
    pub order: Option<OrderId>,
    /// Keyed hash of the e-mail of whoever sits there; `None` for seats that tokens hand out.
    pub holder: Option<String>,
    /// How many.
    pub quantity: i64,
    /// Where they stand.
    pub state: SeatState,
}

fn record(row: Model) -> Result<Seat, DbErr> {
    Ok(Seat {
        id: row.id,
        session: row.session_id.into(),
        source: Source { kind: known(SourceKind::parse(&row.source_kind), "source", &row.source_kind)?, id: row.source_id },
        order: row.order_id.map(Into::into),
        holder: row.holder_hash,
        quantity: row.quantity,
        state: known(SeatState::parse(&row.state), "state of a seat", &row.state)?,
    })
}

/// Takes seats of a session, if that many are free; says whether they were. Sessions are taken in the order of their ids, so that two who take
/// several never wait for each other.
///
/// # Errors
/// The database's.
pub async fn take(txn: &impl ConnectionTrait, id: SessionId, quantity: i64) -> Result<bool, DbErr> {
    let more = || Expr::col(session::Column::Taken).add(quantity);
    let done = session::Entity::update_many()
        .col_expr(session::Column::Taken, more())
        .filter(session::Column::Id.eq(id.uuid()))
        .filter(session::Column::ArchivedAt.is_null())
        .filter(more().lte(Expr::col(session::Column::Seats)))
        .exec(txn)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Takes a session's row for the rest of the transaction. (On SQLite the transaction is exclusive already.)
///
/// # Errors
/// The database's.
pub async fn lock(txn: &DatabaseTransaction, id: SessionId) -> Result<(), DbErr> {
    let mut select = session::Entity::find_by_id(id.uuid()).select_only().column(session::Column::Id);
    QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
    select.into_tuple::<Uuid>().one(txn).await?;
    Ok(())
}

/// Frees seats of a session.
///
/// # Errors
/// The database's.
pub async fn free(txn: &impl ConnectionTrait, id: SessionId, quantity: i64) -> Result<(), DbErr> {
    session::Entity::update_many()
        .col_expr(session::Column::Taken, Expr::col(session::Column::Taken).sub(quantity))
        .filter(session::Column::Id.eq(id.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Writes who took seats; `false` if the holder has one in this session already.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, new: &Seat, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let row = ActiveModel {
        id: Set(new.id),
        session_id: Set(new.session.uuid()),
        source_kind: Set(new.source.kind.name().to_owned()),
        source_id: Set(new.source.id),
        order_id: Set(new.order.map(OrderId::uuid)),
        holder_hash: Set(new.holder.clone()),
        quantity: Set(new.quantity),
        state: Set(new.state.name().to_owned()),
        created_at: Set(now),
        touched_at: Set(now),
    };
    match Entity::insert(row).on_conflict(OnConflict::new().do_nothing().to_owned()).exec_without_returning(txn).await {
        Ok(rows) => Ok(rows == 1),
        Err(DbErr::RecordNotInserted) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Writes where seats stand and how many they are; `false` if their holder has another one in this session by now.
///
/// # Errors
/// The database's.
pub async fn save(txn: &impl ConnectionTrait, seat: &Seat, now: DateTime<Utc>) -> Result<bool, DbErr> {
    // Asked first: an update that breaks the index would end the transaction on PostgreSQL. Whoever takes a seat holds the session's row.
    if seat.state != SeatState::Freed && has_another(txn, seat).await? {
        return Ok(false);
    }
    let row = ActiveModel {
        id: Unchanged(seat.id),
        quantity: Set(seat.quantity),
        state: Set(seat.state.name().to_owned()),
        touched_at: Set(now),
        ..Default::default()
    };
    Entity::update(row).exec_without_returning(txn).await?;
    Ok(true)
}

/// Whether the holder of a seat has another one in the same session.
///
/// # Errors
/// The database's.
pub async fn has_another(db: &impl ConnectionTrait, seat: &Seat) -> Result<bool, DbErr> {
    let Some(holder) = &seat.holder else { return Ok(false) };
    let other = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::SessionId.eq(seat.session.uuid()))
        .filter(Column::HolderHash.eq(holder))
        .filter(Column::State.ne(SeatState::Freed.name()))
        .filter(Column::Id.ne(seat.id))
        .limit(1)
        .into_tuple::<Uuid>()
        .one(db)
        .await?;
    Ok(other.is_some())
}

/// The seats that the lines of an order and their tokens took, freed ones too, by session.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_order(db: &impl ConnectionTrait, order: OrderId) -> Result<Vec<Seat>, DbErr> {
    let rows = Entity::find().filter(Column::OrderId.eq(order.uuid())).order_by_asc(Column::SessionId).order_by_asc(Column::Id);
    rows.all(db).await?.into_iter().map(record).collect()
}

/// The seats that these sources of one kind took, freed ones too, by session.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_sources(db: &impl ConnectionTrait, kind: SourceKind, sources: &[Uuid]) -> Result<Vec<Seat>, DbErr> {
    let mut found = Vec::new();
    for chunk in sources.chunks(CHUNK) {
        let rows = Entity::find()
            .filter(Column::SourceKind.eq(kind.name()))
            .filter(Column::SourceId.is_in(chunk.iter().copied()))
            .order_by_asc(Column::SessionId)
            .order_by_asc(Column::Id)
            .all(db)
            .await?;
        found.extend(rows.into_iter().map(record).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// In which of these sessions an account holds or has a seat, but for what this order took: by its e-mail, or by a grant from the time when it
/// had another one.
///
/// # Errors
/// The database's.
pub async fn held_by(
    db: &impl ConnectionTrait,
    who: AccountId,
    sessions: &[SessionId],
    but: Option<OrderId>,
) -> Result<Vec<SessionId>, DbErr> {
    let hash =
        Query::select().column(account::Column::EmailHash).from(account::Entity).and_where(account::Column::Id.eq(who.uuid())).to_owned();
    let mut select = Entity::find()
        .select_only()
        .column(Column::SessionId)
        .filter(Column::SessionId.is_in(uuids(sessions)))
        .filter(Column::HolderHash.in_subquery(hash))
        .filter(Column::State.ne(SeatState::Freed.name()));
    if let Some(order) = but {
        select = select.filter(Condition::any().add(Column::OrderId.is_null()).add(Column::OrderId.ne(order.uuid())));
    }
    let mut found: Vec<Uuid> = select.into_tuple().all(db).await?;
    let mut granted = entitlement::Entity::find()
        .select_only()
        .column(entitlement::Column::TargetId)
        .filter(entitlement::Column::AccountId.eq(who.uuid()))
        .filter(entitlement::Column::TargetId.is_in(uuids(sessions)))
        .filter(entitlement::Column::EndedAt.is_null());
    if let Some(order) = but {
        granted =
            granted.filter(Condition::any().add(entitlement::Column::OrderId.is_null()).add(entitlement::Column::OrderId.ne(order.uuid())));
    }
    found.extend(granted.into_tuple::<Uuid>().all(db).await?);
    found.sort_unstable();
    found.dedup();
    Ok(found.into_iter().map(Into::into).collect())
}
