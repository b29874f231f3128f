//! Work promised in the same commit: a job is a row written in the caller's transaction; the worker finds it once that is committed.

use chrono::{DateTime, Utc};
use entity::job;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many rows one statement writes at most.
const CHUNK: usize = 1_000;

/// What the worker can be asked to do. The payload names rows, it does not copy them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Job {
    /// Ask the gateway to start a payment attempt (covers a crash between placing and asking).
    StartPayment {
        /// The attempt.
        payment: Uuid,
    },
    /// Ask the gateway what became of an attempt.
    PollPayment {
        /// The attempt.
        payment: Uuid,
    },
    /// Capture an authorised attempt.
    CapturePayment {
        /// The attempt.
        payment: Uuid,
    },
    /// Give back what an attempt authorised.
    VoidPayment {
        /// The attempt.
        payment: Uuid,
    },
    /// Give back what an attempt reserved after it was over.
    VoidReservation {
        /// The attempt.
        payment: Uuid,
    },
    /// Give all that a paid order gives.
    Fulfil {
        /// The order.
        order: Uuid,
    },
    /// Close an order that was not paid in time.
    LapseOrder {
        /// The order.
        order: Uuid,
    },
    /// Send a refund to the gateway, or ask what became of it.
    Refund {
        /// The refund.
        refund: Uuid,
    },
    /// Make the codes that a batch lacks.
    CouponBatch {
        /// The batch.
        batch: Uuid,
    },
    /// Send a mail.
    SendMail {
        /// The mail.
        mail: Uuid,
    },
    /// Tell an endpoint of an event.
    DeliverEvent {
        /// The delivery.
        delivery: Uuid,
    },
    /// Look for access that ends soon, and drop old mails; again and again.
    MailRound,
    /// Book the ends of lots of credits; again and again.
    ExpireCredits,
    /// Apply a stored webhook.
    ApplyGatewayEvent {
        /// The stored event.
        event: Uuid,
    },
    /// Invoice the seats that a company took beyond those it had bought.
    InvoiceOverage {
        /// The sales order that they gathered in.
        sales_order: Uuid,
    },
    /// Compare payments with their gateways.
    Reconcile {
        /// The night's run.
        night: String,
    },
}

impl Job {
    /// The stable name of the kind, as stored and shown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::StartPayment { .. } => "StartPayment",
            Self::PollPayment { .. } => "PollPayment",
            Self::CapturePayment { .. } => "CapturePayment",
            Self::VoidPayment { .. } => "VoidPayment",
            Self::VoidReservation { .. } => "VoidReservation",
            Self::Fulfil { .. } => "Fulfil",
            Self::LapseOrder { .. } => "LapseOrder",
            Self::Refund { .. } => "Refund",
            Self::CouponBatch { .. } => "CouponBatch",
            Self::SendMail { .. } => "SendMail",
            Self::DeliverEvent { .. } => "DeliverEvent",
            Self::MailRound => "MailRound",
            Self::ExpireCredits => "ExpireCredits",
            Self::ApplyGatewayEvent { .. } => "ApplyGatewayEvent",
            Self::InvoiceOverage { .. } => "InvoiceOverage",
            Self::Reconcile { .. } => "Reconcile",
        }
    }
}

/// Whose time a job takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The shop's and its gateways'.
    Inside,
    /// That of mail servers and endpoints: several at once, so that a slow one holds up neither the others nor what buyers wait for.
    Outgoing,
}

/// The kinds of job of [`Lane::Outgoing`].
pub const OUTGOING: [&str; 2] = ["SendMail", "DeliverEvent"];

/// Writes the job into `txn`. Jobs with the same `object_key` run one after the other, in order of their ids.
///
/// # Errors
/// The database's.
pub async fn enqueue(
    txn: &impl ConnectionTrait,
    id: Uuid,
    job: &Job,
    object_key: String,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    job::Entity::insert(row(id, job, object_key, run_at, now)?).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes jobs that are due at once into `txn`: id, what to do, object.
///
/// # Errors
/// The database's.
pub async fn enqueue_all(txn: &impl ConnectionTrait, jobs: &[(Uuid, Job, String)], now: DateTime<Utc>) -> Result<(), DbErr> {
    for chunk in jobs.chunks(CHUNK) {
        let rows = chunk.iter().map(|(id, job, object_key)| row(*id, job, object_key.clone(), now, now));
        job::Entity::insert_many(rows.collect::<Result<Vec<_>, DbErr>>()?).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Writes a job that comes round again and again, unless it is there.
///
/// # Errors
/// The database's.
pub async fn enqueue_round(txn: &impl ConnectionTrait, id: Uuid, job: &Job, now: DateTime<Utc>) -> Result<(), DbErr> {
    let there = OnConflict::column(job::Column::Id).do_nothing().to_owned();
    match job::Entity::insert(row(id, job, id.to_string(), now, now)?).on_conflict(there).exec_without_returning(txn).await {
        Ok(_) | Err(DbErr::RecordNotInserted) => Ok(()),
        Err(other) => Err(other),
    }
}

fn row(id: Uuid, job: &Job, object_key: String, run_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<job::ActiveModel, DbErr> {
    Ok(job::ActiveModel {
        id: Set(id),
        kind: Set(job.kind().to_owned()),
        object_key: Set(object_key),
        payload: Set(serde_json::to_value(job).map_err(|error| DbErr::Custom(error.to_string()))?),
        status: Set("QUEUED".to_owned()),
        run_at: Set(run_at),
        lease_owner: Set(None),
        lease_until: Set(None),
        tries: Set(0),
        last_error: Set(None),
        created_at: Set(now),
        done_at: Set(None),
    })
}
