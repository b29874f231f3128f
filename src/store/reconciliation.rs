//! The nightly comparison with the gateways: its runs, what it found, and what else about payments an operator should look at.

use chrono::{DateTime, Utc};
use domain::reconciliation::{Difference, ProblemKind};
use domain::{OrderId, PaymentId};
use entity::{dispute, order, payment, payment_difference, reconciliation, refund};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, OnConflict, Query, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use std::collections::HashMap;
use uuid::Uuid;

use super::corrupt;
use super::payment::Payment;

/// One night's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The night.
    pub night: String,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When it was through.
    pub ended_at: Option<DateTime<Utc>>,
    /// The last payment that was compared.
    pub after: Option<Uuid>,
    /// How many were compared.
    pub compared: i32,
    /// How many of them differ.
    pub differing: i32,
    /// For how many the gateway gave no answer.
    pub unanswered: i32,
}

/// What an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Why.
    pub kind: ProblemKind,
    /// The payment.
    pub payment: PaymentId,
    /// Its order.
    pub order: OrderId,
    /// The order's number.
    pub number: String,
    /// The facts, in words.
    pub detail: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Begins a night; `false`: somebody did so before.
///
/// # Errors
/// The database's.
pub async fn begin(txn: &DatabaseTransaction, night: &str, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let done = reconciliation::Entity::insert(reconciliation::ActiveModel {
        night: Set(night.to_owned()),
        began_at: Set(now),
        ended_at: Set(None),
        after_payment_id: Set(None),
        compared: Set(0),
        differing: Set(0),
        unanswered: Set(0),
    })
    .on_conflict(OnConflict::column(reconciliation::Column::Night).do_nothing().to_owned())
    .exec_without_returning(txn)
    .await;
    match done {
        Ok(rows) => Ok(rows > 0),
        Err(DbErr::RecordNotInserted) => Ok(false),
        Err(other) => Err(other),
    }
}

/// A night's run.
///
/// # Errors
/// The database's.
pub async fn run(db: &impl ConnectionTrait, night: &str) -> Result<Option<Run>, DbErr> {
    Ok(reconciliation::Entity::find_by_id(night).one(db).await?.map(|row| Run {
        night: row.night,
        began_at: row.began_at,
        ended_at: row.ended_at,
        after: row.after_payment_id,
        compared: row.compared,
        differing: row.differing,
        unanswered: row.unanswered,
    }))
}

/// Saves how far a run is.
///
/// # Errors
/// The database's.
pub async fn save(db: &impl ConnectionTrait, run: &Run) -> Result<(), DbErr> {
    let row = reconciliation::ActiveModel {
        night: sea_orm::ActiveValue::Unchanged(run.night.clone()),
        began_at: Set(run.began_at),
        ended_at: Set(run.ended_at),
        after_payment_id: Set(run.after),
        compared: Set(run.compared),
        differing: Set(run.differing),
        unanswered: Set(run.unanswered),
    };
    row.update(db).await?;
    Ok(())
}

/// Notes what differs of a payment now; nothing = it agrees. Says whether a difference is new.
///
/// # Errors
/// The database's.
pub async fn note(txn: &DatabaseTransaction, payment: PaymentId, differences: &[Difference], now: DateTime<Utc>) -> Result<bool, DbErr> {
    let known = payment_difference::Entity::find_by_id(payment.uuid()).one(txn).await?;
    let open = known.as_ref().is_some_and(|row| row.cleared_at.is_none());
    if differences.is_empty() {
        if open {
            payment_difference::Entity::update_many()
                .col_expr(payment_difference::Column::ClearedAt, Expr::value(now))
                .filter(payment_difference::Column::PaymentId.eq(payment.uuid()))
                .exec(txn)
                .await?;
        }
        return Ok(false);
    }
    let mut row = payment_difference::ActiveModel {
        payment_id: Set(payment.uuid()),
        differences: Set(serde_json::to_value(differences).map_err(corrupt)?),
        found_at: Set(known.as_ref().filter(|_| open).map_or(now, |row| row.found_at)),
        seen_at: Set(now),
        cleared_at: Set(None),
    };
    if known.is_some() {
        row.payment_id = sea_orm::ActiveValue::Unchanged(payment.uuid());
        row.update(txn).await?;
    } else {
        payment_difference::Entity::insert(row).exec_without_returning(txn).await?;
    }
    Ok(!open)
}

/// What an operator should look at, the oldest first of each kind, at most `limit` of each, in a fixed number of statements: attempts in review,
/// attempts whose outcome is unknown since before `unknown_before`, refunds that failed and were not made up for, disputes that are open or were
/// lost since `lost_since`, and what differs from the gateway.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn problems(
    db: &impl ConnectionTrait,
    unknown_before: DateTime<Utc>,
    lost_since: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Problem>, DbErr> {
    let mut found: Vec<(ProblemKind, Uuid, String, DateTime<Utc>)> = Vec::new();
    let unknown = Condition::all().add(payment::Column::Status.eq("UNKNOWN")).add(payment::Column::CreatedAt.lt(unknown_before));
    let attempts = payment::Entity::find()
        .filter(Condition::any().add(payment::Column::NeedsReview.eq(true)).add(unknown))
        .order_by_asc(payment::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    for row in attempts {
        let (id, attempt) = (row.id, super::payment::from_row(row)?);
        found.push(match attempt.state.review {
            Some(review) => (ProblemKind::NeedsReview, id, review.to_string(), attempt.touched_at),
            None => (ProblemKind::OutcomeUnknown, id, "the gateway's answer to the start was lost".to_owned(), attempt.created_at),
        });
    }
    let lost = refund::Entity::find()
        .filter(refund::Column::Status.eq("PENDING"))
        .filter(refund::Column::Reference.is_null())
        .filter(refund::Column::CreatedAt.lt(unknown_before))
        .order_by_asc(refund::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    for row in lost {
        found.push((ProblemKind::OutcomeUnknown, row.payment_id, "the gateway has not taken up a refund".to_owned(), row.created_at));
    }
    let later = Alias::new("later");
    // What was sent back afterwards, in whichever parts, makes up for it only if it is as much.
    let made_up = Query::select()
        .expr(Expr::col((later.clone(), refund::Column::AmountMinor)).sum())
        .from_as(refund::Entity, later.clone())
        .and_where(Expr::col((later.clone(), refund::Column::PaymentId)).equals((refund::Entity, refund::Column::PaymentId)))
        // Ids grow in order of making, also where the clock stands still.
        .and_where(Expr::col((later.clone(), refund::Column::Id)).gt(Expr::col((refund::Entity, refund::Column::Id))))
        .and_where(Expr::col((later, refund::Column::Status)).is_in(["PENDING", "SUCCEEDED"]))
        .to_owned();
    let made_up = SimpleExpr::SubQuery(None, Box::new(made_up.into()));
    let failed = refund::Entity::find()
        .filter(refund::Column::Status.is_in(["FAILED", "CANCELLED"]))
        .filter(Condition::any().add(made_up.clone().is_null()).add(made_up.lt(Expr::col((refund::Entity, refund::Column::AmountMinor)))))
        .order_by_asc(refund::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    for row in failed {
        let why = row.failure.unwrap_or_else(|| "no reason was given".to_owned());
        found.push((ProblemKind::RefundFailed, row.payment_id, why, row.settled_at.unwrap_or(row.created_at)));
    }
    let lost = Condition::all().add(dispute::Column::Status.eq("LOST")).add(dispute::Column::TouchedAt.gte(lost_since));
    let disputes = dispute::Entity::find()
        .filter(Condition::any().add(dispute::Column::Status.is_in(["INQUIRY", "NEEDS_RESPONSE", "UNDER_REVIEW"])).add(lost))
        .order_by_asc(dispute::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    for row in disputes {
        let reason = row.reason.filter(|reason| !reason.is_empty()).map(|reason| format!(": {reason}")).unwrap_or_default();
        let detail = format!("{} {}{reason}", row.reference, row.status);
        found.push((ProblemKind::Disputed, row.payment_id, detail, row.opened_at));
    }
    let differing = payment_difference::Entity::find()
        .filter(payment_difference::Column::ClearedAt.is_null())
        .order_by_asc(payment_difference::Column::FoundAt)
        .order_by_asc(payment_difference::Column::PaymentId)
        .limit(limit)
        .all(db)
        .await?;
    for row in differing {
        let list: Vec<Difference> = serde_json::from_value(row.differences).map_err(corrupt)?;
        let words = list.iter().map(|one| format!("{}: here {}, at the gateway {}", one.kind, one.ours, one.theirs));
        found.push((ProblemKind::DiffersFromGateway, row.payment_id, words.collect::<Vec<_>>().join("; "), row.found_at));
    }
    named(db, found).await
}

async fn named(db: &impl ConnectionTrait, found: Vec<(ProblemKind, Uuid, String, DateTime<Utc>)>) -> Result<Vec<Problem>, DbErr> {
    let payments: Vec<Uuid> = found.iter().map(|(_, payment, ..)| *payment).collect();
    let orders: Vec<(Uuid, Uuid)> = payment::Entity::find()
        .select_only()
        .columns([payment::Column::Id, payment::Column::OrderId])
        .filter(payment::Column::Id.is_in(payments))
        .into_tuple()
        .all(db)
        .await?;
    let numbers: HashMap<Uuid, String> = order::Entity::find()
        .select_only()
        .columns([order::Column::Id, order::Column::Number])
        .filter(order::Column::Id.is_in(orders.iter().map(|(_, order)| *order)))
        .into_tuple::<(Uuid, String)>()
        .all(db)
        .await?
        .into_iter()
        .collect();
    let orders: HashMap<Uuid, Uuid> = orders.into_iter().collect();
    found
        .into_iter()
        .map(|(kind, payment, detail, since)| {
            let order = *orders.get(&payment).ok_or_else(|| corrupt("a payment without an order"))?;
            let number = numbers.get(&order).cloned().ok_or_else(|| corrupt("a payment without an order"))?;
            Ok(Problem { kind, payment: payment.into(), order: order.into(), number, detail, since })
        })
        .collect()
}

/// The attempts that were made since then and sent to a gateway, in order of making, after one of them.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn attempts(db: &impl ConnectionTrait, since: DateTime<Utc>, after: Option<Uuid>, limit: u64) -> Result<Vec<Payment>, DbErr> {
    let mut query = payment::Entity::find()
        .filter(payment::Column::CreatedAt.gte(since))
        .filter(payment::Column::Reference.is_not_null())
        .order_by_asc(payment::Column::Id)
        .limit(limit);
    if let Some(after) = after {
        query = query.filter(payment::Column::Id.gt(after));
    }
    query.all(db).await?.into_iter().map(super::payment::from_row).collect()
}
