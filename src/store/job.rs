//! The worker's side of the job table: claiming with a lease, finishing, failing, parking, replaying.

use chrono::{DateTime, TimeDelta, Utc};
use entity::job::{self, Column, Entity};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, LockBehavior, LockType, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::corrupt;
use crate::outbox::{Job, Lane, OUTGOING};
use crate::page::{Page, PageArgs};

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Id, in order of making.
    pub id: Uuid,
    /// Kind.
    pub kind: String,
    /// What it is about.
    pub object: String,
    /// QUEUED, DONE or PARKED.
    pub status: String,
    /// Not before.
    pub run_at: DateTime<Utc>,
    /// Tries so far.
    pub tries: u32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it was done.
    pub done_at: Option<DateTime<Utc>>,
}

/// A job that this worker has the lease of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Id.
    pub id: Uuid,
    /// What to do.
    pub job: Job,
    /// Which try this is, from 1.
    pub tries: u32,
}

/// Claims up to `limit` due jobs of a lane for `owner`, all of them or those of one object: one statement, so that several processes never get the same
/// job. Of the due jobs of one object only the oldest can be claimed.
///
/// # Errors
/// The database's, or a payload that makes no sense.
pub async fn claim(
    db: &impl ConnectionTrait,
    owner: &str,
    lane: Lane,
    object: Option<Uuid>,
    now: DateTime<Utc>,
    lease: TimeDelta,
    limit: u64,
) -> Result<Vec<Claimed>, DbErr> {
    let earlier = Alias::new("earlier");
    let mut due = Query::select();
    due.column((Entity, Column::Id))
        .from(Entity)
        .cond_where(
            Condition::all()
                .add(Expr::col((Entity, Column::Status)).eq("QUEUED"))
                .add(Expr::col((Entity, Column::RunAt)).lte(now))
                .add(match lane {
                    Lane::Inside => Expr::col((Entity, Column::Kind)).is_not_in(OUTGOING),
                    Lane::Outgoing => Expr::col((Entity, Column::Kind)).is_in(OUTGOING),
                })
                .add(
                    Condition::any()
                        .add(Expr::col((Entity, Column::LeaseUntil)).is_null())
                        .add(Expr::col((Entity, Column::LeaseUntil)).lte(now)),
                )
                .add(
                    Expr::exists(
                        Query::select()
                            .expr(Expr::val(1i32))
                            .from_as(Entity, earlier.clone())
                            .and_where(Expr::col((earlier.clone(), Column::ObjectKey)).equals((Entity, Column::ObjectKey)))
                            .and_where(Expr::col((earlier.clone(), Column::Status)).eq("QUEUED"))
                            .and_where(Expr::col((earlier.clone(), Column::RunAt)).lte(now))
                            .and_where(Expr::col((earlier.clone(), Column::Id)).lt(Expr::col((Entity, Column::Id))))
                            .take(),
                    )
                    .not(),
                ),
        )
        .order_by((Entity, Column::RunAt), sea_orm::Order::Asc)
        .order_by((Entity, Column::Id), sea_orm::Order::Asc)
        .limit(limit);
    if let Some(object) = object {
        due.and_where(Expr::col((Entity, Column::ObjectKey)).eq(object.to_string()));
    }
    if db.get_database_backend() == DbBackend::Postgres {
        due.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let rows: Vec<job::Model> = Entity::update_many()
        .col_expr(Column::LeaseOwner, Expr::value(owner))
        .col_expr(Column::LeaseUntil, Expr::value(now + lease))
        .col_expr(Column::Tries, Expr::col(Column::Tries).add(1i32))
        .filter(Column::Id.in_subquery(due))
        // A second worker that waited for the first one's row lock looks again.
        .filter(Condition::any().add(Column::LeaseUntil.is_null()).add(Column::LeaseUntil.lte(now)))
        .exec_with_returning(db)
        .await?;
    let mut claimed = rows
        .into_iter()
        .map(|row| {
            Ok(Claimed {
                id: row.id,
                job: serde_json::from_value(row.payload).map_err(corrupt)?,
                tries: u32::try_from(row.tries).map_err(corrupt)?,
            })
        })
        .collect::<Result<Vec<_>, DbErr>>()?;
    claimed.sort_by_key(|job| job.id);
    Ok(claimed)
}

/// Extends the leases of all jobs that this owner has in hand.
///
/// # Errors
/// The database's.
pub async fn renew(db: &impl ConnectionTrait, owner: &str, until: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::LeaseUntil, Expr::value(until))
        .filter(Column::Status.eq("QUEUED"))
        .filter(Column::LeaseOwner.eq(owner))
        // One that was put back is nobody's until it is claimed again.
        .filter(Column::LeaseUntil.is_not_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Notes that the job is done, if the lease is still this owner's; says whether it was.
///
/// # Errors
/// The database's.
pub async fn done(db: &impl ConnectionTrait, id: Uuid, owner: &str, tries: u32, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let done = Entity::update_many()
        .col_expr(Column::Status, Expr::value("DONE"))
        .col_expr(Column::DoneAt, Expr::value(now))
        .col_expr(Column::LeaseUntil, Expr::value(None::<DateTime<Utc>>))
        .filter(owned(id, owner, tries)?)
        .exec(db)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Puts the job back for `run_at`, as not failed (`error` is `None`) or with what went wrong.
///
/// # Errors
/// The database's.
pub async fn again(
    db: &impl ConnectionTrait,
    id: Uuid,
    owner: &str,
    tries: u32,
    run_at: DateTime<Utc>,
    error: Option<String>,
) -> Result<(), DbErr> {
    let mut update = Entity::update_many()
        .col_expr(Column::RunAt, Expr::value(run_at))
        .col_expr(Column::LeaseUntil, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::LastError, Expr::value(error.clone()));
    if error.is_none() {
        // Waiting is not failing.
        update = update.col_expr(Column::Tries, Expr::value(0i32));
    }
    update.filter(owned(id, owner, tries)?).exec(db).await?;
    Ok(())
}

/// Parks the job until somebody replays it.
///
/// # Errors
/// The database's.
pub async fn park(db: &impl ConnectionTrait, id: Uuid, owner: &str, tries: u32, error: String) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Status, Expr::value("PARKED"))
        .col_expr(Column::LeaseUntil, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::LastError, Expr::value(error))
        .filter(owned(id, owner, tries)?)
        .exec(db)
        .await?;
    Ok(())
}

fn owned(id: Uuid, owner: &str, tries: u32) -> Result<Condition, DbErr> {
    Ok(Condition::all()
        .add(Column::Id.eq(id))
        .add(Column::LeaseOwner.eq(owner))
        .add(Column::Tries.eq(i32::try_from(tries).map_err(corrupt)?))
        .add(Column::Status.eq("QUEUED")))
}

/// Queues a parked job again, or runs a waiting one at once; `None` if there is no such unfinished job.
///
/// # Errors
/// The database's.
pub async fn replay(db: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<Option<JobRow>, DbErr> {
    let rows = Entity::update_many()
        .col_expr(Column::Status, Expr::value("QUEUED"))
        .col_expr(Column::RunAt, Expr::value(now))
        .col_expr(Column::Tries, Expr::value(0i32))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.is_in(["QUEUED", "PARKED"]))
        .exec_with_returning(db)
        .await?;
    rows.into_iter().next().map(from_row).transpose()
}

/// How many jobs gave up and wait for somebody.
///
/// # Errors
/// The database's.
pub async fn parked(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().filter(Column::Status.eq("PARKED")).count(db).await
}

/// Takes all jobs out of the hands that have them: of processes that are known to be dead.
///
/// # Errors
/// The database's.
pub async fn release_all(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::LeaseOwner, Expr::value(Option::<String>::None))
        .col_expr(Column::LeaseUntil, Expr::value(Option::<DateTime<Utc>>::None))
        .filter(Column::Status.eq("QUEUED"))
        .filter(Column::LeaseOwner.is_not_null())
        .exec(db)
        .await?;
    Ok(())
}

/// These jobs; unknown ids are left out.
///
/// # Errors
/// The database's.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<JobRow>, DbErr> {
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await?.into_iter().map(from_row).collect()
}

/// A page of jobs, the newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    db: &impl ConnectionTrait,
    status: Option<&str>,
    object: Option<&str>,
    args: &PageArgs<Uuid>,
    total: bool,
) -> Result<Page<JobRow>, DbErr> {
    let mut all = Entity::find();
    if let Some(status) = status {
        all = all.filter(Column::Status.eq(status));
    }
    if let Some(object) = object {
        all = all.filter(Column::ObjectKey.eq(object));
    }
    let total = if total { Some(i64::try_from(all.clone().count(db).await?).map_err(corrupt)?) } else { None };
    if let Some(after) = args.after {
        all = all.filter(Column::Id.lt(after));
    }
    let rows = all.order_by_desc(Column::Id).limit(u64::from(args.first) + 1).all(db).await?;
    Ok(Page::cut(rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?, args, total))
}

/// Whether a due job, of the object if one is named, is unfinished. One that could not be claimed is in somebody's hands, though perhaps not
/// yet to be seen: a claim shows once its transaction is over.
///
/// # Errors
/// The database's.
pub async fn under_way(db: &impl ConnectionTrait, object: Option<Uuid>, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let mut due = Entity::find().filter(Column::Status.eq("QUEUED")).filter(Column::RunAt.lte(now));
    if let Some(object) = object {
        due = due.filter(Column::ObjectKey.eq(object.to_string()));
    }
    Ok(due.count(db).await? > 0)
}

/// The jobs of one object, the oldest first.
///
/// # Errors
/// The database's.
pub async fn of_object(db: &impl ConnectionTrait, object: Uuid) -> Result<Vec<JobRow>, DbErr> {
    Entity::find()
        .filter(Column::ObjectKey.eq(object.to_string()))
        .order_by_asc(Column::Id)
        .all(db)
        .await?
        .into_iter()
        .map(from_row)
        .collect()
}

/// What waits or is being done of one object, the oldest first; not what is parked.
///
/// # Errors
/// The database's, or a payload that makes no sense.
pub async fn unfinished(db: &impl ConnectionTrait, object: Uuid) -> Result<Vec<Job>, DbErr> {
    let waiting = Entity::find().filter(Column::ObjectKey.eq(object.to_string())).filter(Column::Status.eq("QUEUED"));
    let rows = waiting.order_by_asc(Column::Id).all(db).await?;
    rows.into_iter().map(|row| serde_json::from_value(row.payload).map_err(corrupt)).collect()
}

fn from_row(row: job::Model) -> Result<JobRow, DbErr> {
    Ok(JobRow {
        id: row.id,
        kind: row.kind,
        object: row.object_key,
        status: row.status,
        run_at: row.run_at,
        tries: u32::try_from(row.tries).map_err(corrupt)?,
        last_error: row.last_error,
        created_at: row.created_at,
        done_at: row.done_at,
    })
}

/// When the next unfinished job is due.
///
/// # Errors
/// The database's.
pub async fn next_at(db: &impl ConnectionTrait) -> Result<Option<DateTime<Utc>>, DbErr> {
    Ok(Entity::find().filter(Column::Status.eq("QUEUED")).order_by_asc(Column::RunAt).one(db).await?.map(|row| row.run_at))
}

/// The jobs of one kind of these objects, the oldest first.
///
/// # Errors
/// The database's.
pub async fn of_kind(db: &impl ConnectionTrait, kind: &str, objects: &[Uuid]) -> Result<Vec<JobRow>, DbErr> {
    let keys = objects.iter().map(Uuid::to_string);
    let rows = Entity::find().filter(Column::ObjectKey.is_in(keys)).filter(Column::Kind.eq(kind)).order_by_asc(Column::Id).all(db).await?;
    rows.into_iter().map(from_row).collect()
}
