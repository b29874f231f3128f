//! Entitlements: a row for each grant of access. What was given is never taken out of the table; ending a grant fills columns.
//!
//! Always true here: `starts_at` and `ends_at` are what the domain lays out of all grants of one learner to one target, written under the
//! learner's lock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::entitlement::{CourseList, Grant, Source, SourceKind, Started, Target, TargetKind};
use domain::order::OrderStatus;
use domain::payment::DisputeStatus;
use domain::refund::RefundStatus;
use domain::{AccountId, EntitlementId, OrderId, OrderLineId};
use entity::entitlement::{ActiveModel, Column, Entity, Model};
use entity::{account, dispute, order, order_line, payment, refund, refund_line, token};
use sea_orm::sea_query::{Expr, ExprTrait, LockType, OnConflict, Query, SelectStatement};
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::catalog::{ROWS, uuids};
use super::{CHUNK, corrupt, known, rows_in};

/// One grant of access, as the books hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// The facts that its time is computed from.
    pub grant: Grant,
    /// The order behind it.
    pub order: Option<OrderId>,
    /// Who or what granted it.
    pub actor: String,
    /// Why, for grants by hand.
    pub reason: Option<String>,
    /// From when it runs; `None` = not yet known, or never.
    pub starts_at: Option<DateTime<Utc>>,
    /// Until when; `None` = without end, or not yet known.
    pub ends_at: Option<DateTime<Utc>>,
    /// Kept on purpose after a refund.
    pub kept: bool,
    /// Why it was ended before its time.
    pub ended_reason: Option<String>,
}

impl Entitlement {
    /// Its id.
    pub const fn id(&self) -> EntitlementId {
        self.grant.id
    }

    /// Whether it was ended, or its time is over at `now`.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.grant.ended_at.is_some() || self.ends_at.is_some_and(|end| end <= now)
    }
}

/// A grant that lives, with what tells whether money stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// The grant.
    pub entitlement: EntitlementId,
    /// The learner.
    pub account: AccountId,
    /// What gave it.
    pub source: Source,
    /// The order.
    pub order: OrderId,
    /// The line that gave it, or sold the token that did.
    pub line: Option<OrderLineId>,
    /// Where the order stands.
    pub status: OrderStatus,
    /// Whether all that was paid for the line went back.
    pub line_wholly_refunded: bool,
    /// Whether a dispute of the order's payment was lost.
    pub dispute_lost: bool,
    /// Kept on purpose after a refund.
    pub kept: bool,
}

fn record(row: Model) -> Result<Entitlement, DbErr> {
    let kind = known(TargetKind::parse(&row.target_kind), "kind of target", &row.target_kind)?;
    let source = known(SourceKind::parse(&row.source_kind), "source", &row.source_kind)?;
    Ok(Entitlement {
        grant: Grant {
            id: row.id.into(),
            account: row.account_id.into(),
            target: Target::new(kind, row.target_id),
            source: Source { kind: source, id: row.source_id },
            granted_at: row.granted_at,
            seq: row.seq,
            terms: serde_json::from_value(row.terms).map_err(corrupt)?,
            first_started_at: row.first_started_at,
            ended_at: row.ended_at,
            frozen: row.frozen.map(serde_json::from_value).transpose().map_err(corrupt)?,
        },
        order: row.order_id.map(Into::into),
        actor: row.actor,
        reason: row.reason,
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        kept: row.kept,
        ended_reason: row.ended_reason,
    })
}

fn row(record: &Entitlement) -> Result<ActiveModel, DbErr> {
    let grant = &record.grant;
    Ok(ActiveModel {
        id: Set(grant.id.uuid()),
        account_id: Set(grant.account.uuid()),
        target_kind: Set(grant.target.kind().name().to_owned()),
        target_id: Set(grant.target.uuid()),
        source_kind: Set(grant.source.kind.name().to_owned()),
        source_id: Set(grant.source.id),
        order_id: Set(record.order.map(OrderId::uuid)),
        actor: Set(record.actor.clone()),
        reason: Set(record.reason.clone()),
        terms: Set(serde_json::to_value(grant.terms).map_err(corrupt)?),
        granted_at: Set(grant.granted_at),
        seq: Set(grant.seq),
        starts_at: Set(record.starts_at),
        ends_at: Set(record.ends_at),
        first_started_at: Set(grant.first_started_at),
        frozen: Set(grant.frozen.as_ref().map(frozen_json).transpose()?),
        kept: Set(record.kept),
        ended_at: Set(grant.ended_at),
        ended_reason: Set(record.ended_reason.clone()),
    })
}

fn frozen_json(list: &CourseList) -> Result<serde_json::Value, DbErr> {
    serde_json::to_value(list).map_err(corrupt)
}

/// Takes the rows of these learners for the rest of the transaction, in order of their ids, so that two transactions with several learners
/// never wait for each other. Rows that name an account, such as orders, can be written meanwhile.
///
/// # Errors
/// The database's.
pub async fn lock_learners(txn: &DatabaseTransaction, accounts: &[AccountId]) -> Result<(), DbErr> {
    for chunk in uuids(accounts).chunks(CHUNK) {
        lock(txn, account::Column::Id.is_in(chunk.iter().copied()).into()).await?;
    }
    Ok(())
}

/// The same for everybody to whom this order's lines and tokens gave something.
///
/// # Errors
/// The database's.
pub async fn lock_learners_of_order(txn: &DatabaseTransaction, order: OrderId) -> Result<(), DbErr> {
    let learners = Query::select().column(Column::AccountId).from(Entity).and_where(Column::OrderId.eq(order.uuid())).to_owned();
    lock(txn, Condition::all().add(account::Column::Id.in_subquery(learners))).await
}

async fn lock(txn: &DatabaseTransaction, which: Condition) -> Result<(), DbErr> {
    let mut select = account::Entity::find().select_only().column(account::Column::Id).filter(which).order_by_asc(account::Column::Id);
    QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
    select.into_tuple::<Uuid>().all(txn).await?;
    Ok(())
}

/// All grants that these learners have or had, in order of granting.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_accounts(db: &impl ConnectionTrait, accounts: &[AccountId]) -> Result<Vec<Entitlement>, DbErr> {
    of_targets(db, accounts, None).await
}

/// The same, to these targets only.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_accounts_to(db: &impl ConnectionTrait, accounts: &[AccountId], targets: &[Uuid]) -> Result<Vec<Entitlement>, DbErr> {
    let mut found = Vec::new();
    for chunk in targets.chunks(CHUNK) {
        found.extend(of_targets(db, accounts, Some(chunk)).await?);
    }
    Ok(found)
}

async fn of_targets(db: &impl ConnectionTrait, accounts: &[AccountId], targets: Option<&[Uuid]>) -> Result<Vec<Entitlement>, DbErr> {
    let mut found = Vec::new();
    for chunk in accounts.chunks(CHUNK) {
        let mut select = Entity::find().filter(Column::AccountId.is_in(chunk.iter().map(|id| id.uuid())));
        if let Some(targets) = targets {
            select = select.filter(Column::TargetId.is_in(targets.iter().copied()));
        }
        let rows = select.order_by_asc(Column::GrantedAt).order_by_asc(Column::Seq).order_by_asc(Column::Id).all(db).await?.into_iter();
        found.extend(rows.map(record).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// The grants with these ids.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[EntitlementId]) -> Result<Vec<Entitlement>, DbErr> {
    rows_in::<Entity>(db, Column::Id, &uuids(ids)).await?.into_iter().map(record).collect()
}

/// What these sources of one kind gave, to whomever.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_sources(db: &impl ConnectionTrait, kind: SourceKind, sources: &[Uuid]) -> Result<Vec<Entitlement>, DbErr> {
    let mut found = Vec::new();
    for chunk in sources.chunks(CHUNK) {
        let rows = Entity::find()
            .filter(Column::SourceKind.eq(kind.name()))
            .filter(Column::SourceId.is_in(chunk.iter().copied()))
            .order_by_asc(Column::Id)
            .all(db)
            .await?;
        found.extend(rows.into_iter().map(record).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// What the lines of these orders gave by themselves, without their tokens.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn direct_of_orders(db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<Vec<Entitlement>, DbErr> {
    let mut found = Vec::new();
    for chunk in uuids(orders).chunks(CHUNK) {
        let rows = Entity::find()
            .filter(Column::OrderId.is_in(chunk.iter().copied()))
            .filter(Column::SourceKind.eq(SourceKind::OrderLine.name()))
            .order_by_asc(Column::Id)
            .all(db)
            .await?;
        found.extend(rows.into_iter().map(record).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// What this line gave: by itself, and by the tokens that it sold.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_line(db: &impl ConnectionTrait, line: OrderLineId) -> Result<Vec<Entitlement>, DbErr> {
    Entity::find().filter(given_by_line(line)).order_by_asc(Column::Id).all(db).await?.into_iter().map(record).collect()
}

fn given_by_line(line: OrderLineId) -> Condition {
    let tokens = Query::select()
        .column(token::Column::Id)
        .from(token::Entity)
        .and_where(token::Column::SourceKind.eq(SourceKind::OrderLine.name()))
        .and_where(token::Column::SourceId.eq(line.uuid()))
        .to_owned();
    Condition::any()
        .add(Column::SourceKind.eq(SourceKind::OrderLine.name()).and(Column::SourceId.eq(line.uuid())))
        .add(Column::SourceKind.eq(SourceKind::Token.name()).and(Column::SourceId.in_subquery(tokens)))
}

/// The order of a line; `None` if there is no such line.
///
/// # Errors
/// The database's.
pub async fn order_of_line(db: &impl ConnectionTrait, line: OrderLineId) -> Result<Option<OrderId>, DbErr> {
    let found =
        order_line::Entity::find_by_id(line.uuid()).select_only().column(order_line::Column::OrderId).into_tuple::<Uuid>().one(db).await?;
    Ok(found.map(Into::into))
}

/// Writes new grants; one whose source gave this learner something before is left out. Says how many were written.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, new: &[Entitlement]) -> Result<u64, DbErr> {
    let mut written = 0;
    for chunk in new.chunks(ROWS) {
        let rows = chunk.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        let once = OnConflict::columns([Column::SourceKind, Column::SourceId, Column::AccountId]).do_nothing().to_owned();
        written += match Entity::insert_many(rows).on_conflict(once).exec_without_returning(txn).await {
            Ok(rows) => rows,
            Err(DbErr::RecordNotInserted) => 0,
            Err(other) => return Err(other),
        };
    }
    Ok(written)
}

/// Writes when a grant runs.
///
/// # Errors
/// The database's.
pub async fn set_slot(
    txn: &impl ConnectionTrait,
    id: EntitlementId,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
) -> Result<(), DbErr> {
    let row = ActiveModel { id: Unchanged(id.uuid()), starts_at: Set(starts_at), ends_at: Set(ends_at), ..Default::default() };
    Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes the first start of a library grant and the list of courses that is fixed by it.
///
/// # Errors
/// The database's.
pub async fn set_started(txn: &impl ConnectionTrait, started: &Started) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Unchanged(started.grant.uuid()),
        first_started_at: Set(Some(started.first_started_at)),
        frozen: Set(Some(frozen_json(&started.frozen)?)),
        ..Default::default()
    };
    Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Ends these grants before their time; those that were ended before keep what was written then.
///
/// # Errors
/// The database's.
pub async fn end(txn: &impl ConnectionTrait, ids: &[EntitlementId], reason: &str, now: DateTime<Utc>) -> Result<(), DbErr> {
    for chunk in uuids(ids).chunks(CHUNK) {
        Entity::update_many()
            .set(ActiveModel { ended_at: Set(Some(now)), ended_reason: Set(Some(reason.to_owned())), ..Default::default() })
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .filter(Column::EndedAt.is_null())
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// What was ended of this order's grants for this reason.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn ended_of_order(db: &impl ConnectionTrait, order: OrderId, reason: &str) -> Result<Vec<Entitlement>, DbErr> {
    let ended = Entity::find().filter(Column::OrderId.eq(order.uuid())).filter(Column::EndedReason.eq(reason));
    ended.order_by_asc(Column::Id).all(db).await?.into_iter().map(record).collect()
}

/// Takes back that these grants were ended.
///
/// # Errors
/// The database's.
pub async fn unend(txn: &impl ConnectionTrait, ids: &[EntitlementId]) -> Result<(), DbErr> {
    for chunk in uuids(ids).chunks(CHUNK) {
        Entity::update_many()
            .set(ActiveModel { ended_at: Set(None), ended_reason: Set(None), ..Default::default() })
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// Marks what this line gave as kept on purpose.
///
/// # Errors
/// The database's.
pub async fn keep(txn: &impl ConnectionTrait, line: OrderLineId) -> Result<(), DbErr> {
    Entity::update_many()
        .set(ActiveModel { kept: Set(true), ..Default::default() })
        .filter(given_by_line(line))
        .filter(Column::EndedAt.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

/// The condition that a grant opens something at `now` or could later.
fn lives(now: DateTime<Utc>) -> Condition {
    Condition::all().add(Column::EndedAt.is_null()).add(Condition::any().add(Column::EndsAt.is_null()).add(Column::EndsAt.gt(now)))
}

/// The living grants, not kept on purpose, of orders that look as if no money stands behind them: unpaid, refunded in whole or in part, or
/// with a lost dispute. The domain says which of them do.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn doubtful(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<Vec<Backing>, DbErr> {
    let paid_in_full = [OrderStatus::Paid, OrderStatus::Fulfilled].map(OrderStatus::name);
    let suspects =
        Query::select().column(order::Column::Id).from(order::Entity).and_where(order::Column::Status.is_not_in(paid_in_full)).to_owned();
    let which = Condition::all()
        .add(Column::Kept.eq(false))
        .add(Condition::any().add(Column::OrderId.in_subquery(suspects)).add(Column::OrderId.in_subquery(lost())));
    backing(db, which, now).await
}

/// The orders whose payment was lost in a dispute.
fn lost() -> SelectStatement {
    Query::select()
        .column(payment::Column::OrderId)
        .from(dispute::Entity)
        .inner_join(
            payment::Entity,
            Expr::col((payment::Entity, payment::Column::Id)).equals((dispute::Entity, dispute::Column::PaymentId)),
        )
        .and_where(Expr::col((dispute::Entity, dispute::Column::Status)).eq(DisputeStatus::Lost.name()))
        .to_owned()
}

async fn backing(db: &impl ConnectionTrait, which: Condition, now: DateTime<Utc>) -> Result<Vec<Backing>, DbErr> {
    let rows = Entity::find().filter(which).filter(lives(now)).order_by_asc(Column::Id).all(db).await?;
    let mut orders: Vec<Uuid> = rows.iter().filter_map(|row| row.order_id).collect();
    orders.sort_unstable();
    orders.dedup();
    let by_token = rows.iter().filter(|row| row.source_kind == SourceKind::Token.name()).map(|row| row.source_id).collect::<Vec<_>>();
    let tokens = rows_in::<token::Entity>(db, token::Column::Id, &by_token).await?;
    let line_of_token: HashMap<Uuid, Uuid> = tokens.into_iter().map(|token| (token.id, token.source_id)).collect();
    let status: HashMap<Uuid, String> =
        rows_in::<order::Entity>(db, order::Column::Id, &orders).await?.into_iter().map(|order| (order.id, order.status)).collect();
    let (mut refunded, mut disputed) = (HashMap::new(), Vec::new());
    for chunk in orders.chunks(CHUNK) {
        refunded.extend(returned(db, chunk).await?);
        disputed.extend(lost_of(db, chunk).await?);
    }
    rows.into_iter()
        .filter_map(|row| Some((row.order_id?, row)))
        .map(|(order, row)| {
            let kind = known(SourceKind::parse(&row.source_kind), "source", &row.source_kind)?;
            let line = match kind {
                SourceKind::OrderLine => Some(row.source_id),
                SourceKind::Token => line_of_token.get(&row.source_id).copied(),
                SourceKind::SalesLine | SourceKind::Bypass | SourceKind::Hand | SourceKind::Rental => None,
            };
            let status = status.get(&order).map(String::as_str).unwrap_or_default();
            Ok(Backing {
                entitlement: row.id.into(),
                account: row.account_id.into(),
                source: Source { kind, id: row.source_id },
                order: order.into(),
                line: line.map(Into::into),
                status: known(OrderStatus::parse(status), "state of an order", status)?,
                line_wholly_refunded: line.and_then(|line| refunded.get(&line)).copied().unwrap_or(false),
                dispute_lost: disputed.contains(&order),
                kept: row.kept,
            })
        })
        .collect()
}

/// For each line of these orders that money went back for: whether it is all of it. What is under way or failed does not count.
async fn returned(db: &impl ConnectionTrait, orders: &[Uuid]) -> Result<HashMap<Uuid, bool>, DbErr> {
    let line = |column: order_line::Column| Expr::col((order_line::Entity, column));
    let mut select = order_line::Entity::find()
        .select_only()
        .column(order_line::Column::Id)
        .column(order_line::Column::TotalMinor)
        .column(refund_line::Column::AmountMinor)
        .filter(order_line::Column::OrderId.is_in(orders.iter().copied()));
    QueryTrait::query(&mut select)
        .inner_join(refund_line::Entity, line(order_line::Column::Id).equals((refund_line::Entity, refund_line::Column::OrderLineId)))
        .inner_join(
            refund::Entity,
            Condition::all()
                .add(Expr::col((refund::Entity, refund::Column::Id)).equals((refund_line::Entity, refund_line::Column::RefundId)))
                .add(Expr::col((refund::Entity, refund::Column::Status)).eq(RefundStatus::Succeeded.name())),
        );
    let rows: Vec<(Uuid, i64, i64)> = select.into_tuple().all(db).await?;
    let mut sums: HashMap<Uuid, (i64, i64)> = HashMap::new();
    for (line, total, amount) in rows {
        let sum = sums.entry(line).or_insert((total, 0));
        sum.1 = sum.1.saturating_add(amount);
    }
    Ok(sums.into_iter().map(|(line, (total, back))| (line, total > 0 && back >= total)).collect())
}

async fn lost_of(db: &impl ConnectionTrait, orders: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    order::Entity::find()
        .select_only()
        .column(order::Column::Id)
        .filter(order::Column::Id.is_in(orders.iter().copied()))
        .filter(order::Column::Id.in_subquery(lost()))
        .into_tuple()
        .all(db)
        .await
}
