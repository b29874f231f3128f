//! What the sandbox remembers: payments, refunds, disputes, events and its webhook secret, in a SQLite file of its own.
//!
//! Always true here: every change and its event are one transaction, so a killed shop finds either both or neither; several processes may use the
//! same file; sums of refunds and disputes are computed from their rows.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Currency, Money, PaymentId, RefundId};
use port::{CaptureMode, Decline, DeclineCategory, DisputeRef, DisputeSnapshot, DisputeStatus, GatewayError, Mode, PaymentRef};
use port::{PaymentStatus, RefundRef, RefundSnapshot, RefundStatus, Snapshot, Totals};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sea_orm::sqlx::{self, Row, Sqlite, Transaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::signature::hex;
use crate::token::Token;

/// The file's name within the state directory.
pub(crate) const FILE: &str = "sandbox.db";

/// How long a write waits for another process's.
const BUSY: Duration = Duration::from_secs(10);

/// Waits between the attempts to deliver an event, in seconds; after the last it waits for somebody to send it again.
const RETRY_SECONDS: [i64; 8] = [10, 60, 300, 1_800, 7_200, 21_600, 86_400, 86_400];

/// While an event is being sent, others leave it alone for so long.
const CLAIM_SECONDS: i64 = 60;

const SCHEMA: [&str; 9] = [
    "CREATE TABLE IF NOT EXISTS payment (
        reference TEXT PRIMARY KEY, instance TEXT NOT NULL, payment_id TEXT NOT NULL, operation_id TEXT NOT NULL, fingerprint TEXT NOT NULL,
        token TEXT NOT NULL, capture TEXT NOT NULL, status TEXT NOT NULL, currency TEXT NOT NULL, amount_minor INTEGER NOT NULL,
        authorised_minor INTEGER NOT NULL, captured_minor INTEGER NOT NULL, decline TEXT, order_reference TEXT NOT NULL, description TEXT NOT NULL,
        return_url TEXT NOT NULL, webhook_url TEXT NOT NULL, changed_us INTEGER NOT NULL,
        UNIQUE (instance, operation_id), UNIQUE (instance, payment_id)) STRICT",
    "CREATE TABLE IF NOT EXISTS operation (
        instance TEXT NOT NULL, kind TEXT NOT NULL, operation_id TEXT NOT NULL, fingerprint TEXT NOT NULL,
        PRIMARY KEY (instance, kind, operation_id)) STRICT",
    "CREATE TABLE IF NOT EXISTS refund (
        reference TEXT PRIMARY KEY, instance TEXT NOT NULL, payment TEXT NOT NULL REFERENCES payment (reference), refund_id TEXT,
        amount_minor INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, changed_us INTEGER NOT NULL, UNIQUE (instance, refund_id)) STRICT",
    "CREATE INDEX IF NOT EXISTS refund_payment ON refund (payment)",
    "CREATE TABLE IF NOT EXISTS dispute (
        reference TEXT PRIMARY KEY, payment TEXT NOT NULL REFERENCES payment (reference), amount_minor INTEGER NOT NULL, status TEXT NOT NULL,
        reason TEXT NOT NULL, due_us INTEGER NOT NULL, changed_us INTEGER NOT NULL) STRICT",
    "CREATE INDEX IF NOT EXISTS dispute_payment ON dispute (payment)",
    "CREATE TABLE IF NOT EXISTS event (
        sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, instance TEXT NOT NULL, payment TEXT NOT NULL REFERENCES payment (reference),
        kind TEXT NOT NULL, body TEXT NOT NULL, due_us INTEGER, attempts INTEGER NOT NULL DEFAULT 0, delivered_us INTEGER, last_error TEXT) STRICT",
    "CREATE INDEX IF NOT EXISTS event_due ON event (instance, due_us) WHERE due_us IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS secret (instance TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
];

/// Selects payments with their computed sums; the condition follows.
macro_rules! select_payment {
    ($condition:literal) => {
        concat!(
            "SELECT p.*,
                (SELECT coalesce(sum(amount_minor), 0) FROM refund WHERE payment = p.reference AND status = 'SUCCEEDED') AS refunded_minor,
                (SELECT coalesce(sum(amount_minor), 0) FROM refund WHERE payment = p.reference AND status = 'PENDING') AS refunding_minor,
                (SELECT coalesce(sum(amount_minor), 0) FROM dispute WHERE payment = p.reference AND status IN ('NEEDS_RESPONSE', 'UNDER_REVIEW', 'LOST'))
                    AS disputed_minor
             FROM payment p WHERE ",
            $condition
        )
    };
}

/// One payment with its sums, in minor units of the amount's currency.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) reference: PaymentRef,
    pub(crate) payment_id: PaymentId,
    pub(crate) operation_id: String,
    pub(crate) fingerprint: String,
    pub(crate) token: Token,
    pub(crate) capture: CaptureMode,
    pub(crate) status: PaymentStatus,
    pub(crate) amount: Money,
    pub(crate) authorised_minor: i64,
    pub(crate) captured_minor: i64,
    pub(crate) refunded_minor: i64,
    pub(crate) refunding_minor: i64,
    pub(crate) disputed_minor: i64,
    pub(crate) decline: Option<DeclineCategory>,
    pub(crate) order_reference: String,
    pub(crate) description: String,
    pub(crate) return_url: String,
    pub(crate) webhook_url: String,
    pub(crate) changed_at: DateTime<Utc>,
}

impl Payment {
    fn read(row: &SqliteRow) -> Result<Self, GatewayError> {
        let currency = Currency::parse(row.try_get("currency").map_err(failed)?).map_err(|error| damaged(&error.to_string()))?;
        let id: &str = row.try_get("payment_id").map_err(failed)?;
        let decline: Option<&str> = row.try_get("decline").map_err(failed)?;
        let number = |name: &str| row.try_get::<i64, _>(name).map_err(failed);
        let text = |name: &str| row.try_get::<String, _>(name).map_err(failed);
        Ok(Self {
            reference: PaymentRef::new(text("reference")?),
            payment_id: PaymentId::parse(id).ok_or_else(|| damaged("a payment id"))?,
            operation_id: text("operation_id")?,
            fingerprint: text("fingerprint")?,
            token: Token::parse(row.try_get("token").map_err(failed)?).map_err(|_| damaged("a token"))?,
            capture: from_word(row.try_get("capture").map_err(failed)?)?,
            status: from_word(row.try_get("status").map_err(failed)?)?,
            amount: Money::new(number("amount_minor")?, currency),
            authorised_minor: number("authorised_minor")?,
            captured_minor: number("captured_minor")?,
            refunded_minor: number("refunded_minor")?,
            refunding_minor: number("refunding_minor")?,
            disputed_minor: number("disputed_minor")?,
            decline: decline.map(from_word).transpose()?,
            order_reference: text("order_reference")?,
            description: text("description")?,
            return_url: text("return_url")?,
            webhook_url: text("webhook_url")?,
            changed_at: instant(number("changed_us")?),
        })
    }

    /// What can still be refunded or disputed, in minor units.
    pub(crate) fn free_minor(&self) -> i64 {
        self.captured_minor - self.refunded_minor - self.refunding_minor - self.disputed_minor
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let money = |minor| Money::new(minor, self.amount.currency);
        Snapshot {
            status: self.status,
            totals: Totals {
                authorised: money(self.authorised_minor),
                captured: money(self.captured_minor),
                refunded: money(self.refunded_minor),
                disputed: money(self.disputed_minor),
            },
            raw_status: word(&self.status).to_ascii_lowercase(),
            method_label: Some("Sandbox".to_owned()),
            decline: self.decline.map(|category| Decline::new(category, "sandbox_decline")),
            changed_at: Some(self.changed_at),
        }
    }
}

/// A refund with the payment that it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Refund {
    pub(crate) payment: PaymentRef,
    pub(crate) snapshot: RefundSnapshot,
}

/// An event as the page lists it.
#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) delivered_at: Option<DateTime<Utc>>,
    pub(crate) due_at: Option<DateTime<Utc>>,
    pub(crate) attempts: i64,
    pub(crate) last_error: Option<String>,
}

/// An event that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDelivery {
    /// The event.
    pub event_id: String,
    /// What happened: `payment.captured`, `refund.failed`, `dispute.opened`, …
    pub kind: String,
    /// The payment that it is about.
    pub payment_id: PaymentId,
    /// The webhook address that the payment was started with.
    pub webhook_url: String,
    /// When it is to be sent.
    pub due_at: DateTime<Utc>,
    /// How often it was tried.
    pub attempts: u32,
}

/// What an event is about besides its payment.
pub(crate) enum Subject<'a> {
    Payment,
    Refund(&'a RefundSnapshot),
    Dispute(&'a DisputeSnapshot),
}

/// The open state of one instance.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pool: SqlitePool,
    instance: String,
}

impl State {
    /// Opens, and if need be creates, the file in `dir`.
    pub(crate) async fn open(dir: &Path, instance: &str) -> Result<Self, GatewayError> {
        std::fs::create_dir_all(dir)
            .map_err(|error| GatewayError::config("state_dir", format!("{} cannot be used: {error}", dir.display())))?;
        let options = SqliteConnectOptions::new()
            .filename(dir.join(FILE))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        // One connection: writers of this process queue here instead of polling SQLite's lock.
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(BUSY).connect_lazy_with(options);
        let state = Self { pool, instance: instance.to_owned() };
        state.create_schema().await?;
        Ok(state)
    }

    async fn create_schema(&self) -> Result<(), GatewayError> {
        // Switching a new file to WAL does not wait for another process that does the same, so the first open is tried again.
        let mut tries = 0;
        let mut txn = loop {
            match self.pool.begin_with("BEGIN IMMEDIATE").await {
                Ok(txn) => break txn,
                Err(_) if tries < 20 => tries += 1,
                Err(error) => return Err(failed(error)),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        for statement in SCHEMA {
            sqlx::query(statement).execute(&mut *txn).await.map_err(failed)?;
        }
        txn.commit().await.map_err(failed)
    }

    /// Begins a write.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, GatewayError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)
    }

    /// Whether the state can be read.
    pub(crate) async fn ping(&self) -> Result<(), GatewayError> {
        sqlx::query("SELECT 1 FROM payment LIMIT 1").fetch_optional(&self.pool).await.map(|_| ()).map_err(failed)
    }

    /// The webhook secret kept here, made on first use.
    pub(crate) async fn webhook_secret(&self) -> Result<String, GatewayError> {
        let fresh = format!("sbsec_{}", random_hex());
        sqlx::query("INSERT INTO secret (instance, value) VALUES (?, ?) ON CONFLICT (instance) DO NOTHING")
            .bind(&self.instance)
            .bind(fresh)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        let row =
            sqlx::query("SELECT value FROM secret WHERE instance = ?").bind(&self.instance).fetch_one(&self.pool).await.map_err(failed)?;
        row.try_get("value").map_err(failed)
    }

    /// A payment by the sandbox's reference.
    pub(crate) async fn payment(&self, reference: &PaymentRef) -> Result<Option<Payment>, GatewayError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        payment(&mut connection, &self.instance, reference).await
    }

    /// A payment by the shop's id.
    pub(crate) async fn payment_by_id(&self, id: PaymentId) -> Result<Option<Payment>, GatewayError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        payment_by_id(&mut connection, &self.instance, id).await
    }

    /// A refund by the shop's id.
    pub(crate) async fn refund_by_id(&self, id: RefundId) -> Result<Option<Refund>, GatewayError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        refund_by_id(&mut connection, &self.instance, id).await
    }

    /// A payment's refunds, oldest first.
    pub(crate) async fn refunds(&self, payment: &Payment) -> Result<Vec<RefundSnapshot>, GatewayError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        refunds(&mut connection, payment).await
    }

    /// A payment's disputes, oldest first.
    pub(crate) async fn disputes(&self, payment: &Payment) -> Result<Vec<DisputeSnapshot>, GatewayError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        disputes(&mut connection, payment).await
    }

    /// A payment's events, oldest first.
    pub(crate) async fn events(&self, payment: &PaymentRef) -> Result<Vec<EventRow>, GatewayError> {
        let rows = sqlx::query("SELECT * FROM event WHERE instance = ? AND payment = ? ORDER BY sequence")
            .bind(&self.instance)
            .bind(payment.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(EventRow {
                    id: row.try_get("id").map_err(failed)?,
                    kind: row.try_get("kind").map_err(failed)?,
                    delivered_at: row.try_get::<Option<i64>, _>("delivered_us").map_err(failed)?.map(instant),
                    due_at: row.try_get::<Option<i64>, _>("due_us").map_err(failed)?.map(instant),
                    attempts: row.try_get("attempts").map_err(failed)?,
                    last_error: row.try_get("last_error").map_err(failed)?,
                })
            })
            .collect()
    }

    /// All events that wait to be sent, earliest first.
    pub(crate) async fn pending(&self) -> Result<Vec<PendingDelivery>, GatewayError> {
        let rows = sqlx::query(
            "SELECT e.*, p.payment_id, p.webhook_url FROM event e JOIN payment p ON p.reference = e.payment
             WHERE e.instance = ? AND e.due_us IS NOT NULL ORDER BY e.due_us, e.sequence",
        )
        .bind(&self.instance)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(pending).collect()
    }

    /// Takes up to `limit` due events for sending; another process does not get them before [`CLAIM_SECONDS`] have passed.
    pub(crate) async fn claim_due(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<PendingDelivery>, GatewayError> {
        let mut txn = self.begin().await?;
        let rows = sqlx::query(
            "SELECT e.*, p.payment_id, p.webhook_url FROM event e JOIN payment p ON p.reference = e.payment
             WHERE e.instance = ? AND e.due_us <= ? ORDER BY e.due_us, e.sequence LIMIT ?",
        )
        .bind(&self.instance)
        .bind(now.timestamp_micros())
        .bind(limit)
        .fetch_all(&mut *txn)
        .await
        .map_err(failed)?;
        let claimed: Vec<PendingDelivery> = rows.iter().map(pending).collect::<Result<_, _>>()?;
        for delivery in &claimed {
            sqlx::query("UPDATE event SET due_us = ? WHERE id = ?")
                .bind(now.timestamp_micros() + CLAIM_SECONDS * 1_000_000)
                .bind(&delivery.event_id)
                .execute(&mut *txn)
                .await
                .map_err(failed)?;
        }
        txn.commit().await.map_err(failed)?;
        Ok(claimed)
    }

    /// An event's body and the webhook address of its payment.
    pub(crate) async fn event(&self, id: &str) -> Result<Option<(String, String)>, GatewayError> {
        let row = sqlx::query(
            "SELECT e.body, p.webhook_url FROM event e JOIN payment p ON p.reference = e.payment WHERE e.instance = ? AND e.id = ?",
        )
        .bind(&self.instance)
        .bind(id)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        row.map(|row| Ok((row.try_get("body").map_err(failed)?, row.try_get("webhook_url").map_err(failed)?))).transpose()
    }

    /// Notes that the shop took an event. `false`: there is no such event.
    pub(crate) async fn mark_delivered(&self, id: &str, now: DateTime<Utc>) -> Result<bool, GatewayError> {
        let done = sqlx::query(
            "UPDATE event SET due_us = NULL, delivered_us = ?, attempts = attempts + 1, last_error = NULL WHERE instance = ? AND id = ?",
        )
        .bind(now.timestamp_micros())
        .bind(&self.instance)
        .bind(id)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that the shop did not take an event, and when it will be tried again.
    pub(crate) async fn mark_failed(&self, id: &str, now: DateTime<Utc>, why: &str) -> Result<(), GatewayError> {
        let mut txn = self.begin().await?;
        let row = sqlx::query("SELECT attempts FROM event WHERE instance = ? AND id = ?")
            .bind(&self.instance)
            .bind(id)
            .fetch_optional(&mut *txn)
            .await
            .map_err(failed)?;
        let Some(row) = row else { return Ok(()) };
        let attempts: i64 = row.try_get("attempts").map_err(failed)?;
        let wait = usize::try_from(attempts).ok().and_then(|done| RETRY_SECONDS.get(done));
        sqlx::query("UPDATE event SET due_us = ?, attempts = attempts + 1, last_error = ? WHERE id = ?")
            .bind(wait.map(|seconds| now.timestamp_micros() + seconds * 1_000_000))
            .bind(why)
            .bind(id)
            .execute(&mut *txn)
            .await
            .map_err(failed)?;
        txn.commit().await.map_err(failed)
    }

    /// Has an event sent again. `false`: there is no such event.
    pub(crate) async fn requeue(&self, id: &str, now: DateTime<Utc>) -> Result<bool, GatewayError> {
        let done = sqlx::query("UPDATE event SET due_us = ?, attempts = 0 WHERE instance = ? AND id = ?")
            .bind(now.timestamp_micros())
            .bind(&self.instance)
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }
}

/// Ends a write. The one moment where the sandbox itself cannot tell what happened.
pub(crate) async fn commit(txn: Transaction<'static, Sqlite>, reference: Option<&PaymentRef>) -> Result<(), GatewayError> {
    txn.commit().await.map_err(|error| GatewayError::UnknownOutcome {
        reference: reference.cloned(),
        detail: format!("the sandbox's state was perhaps not saved: {error}").into(),
    })
}

/// A payment by the sandbox's reference.
pub(crate) async fn payment(
    connection: &mut SqliteConnection,
    instance: &str,
    reference: &PaymentRef,
) -> Result<Option<Payment>, GatewayError> {
    let row = sqlx::query(select_payment!("p.instance = ? AND p.reference = ?")).bind(instance).bind(reference.as_str());
    row.fetch_optional(connection).await.map_err(failed)?.as_ref().map(Payment::read).transpose()
}

/// A payment by the shop's id.
pub(crate) async fn payment_by_id(
    connection: &mut SqliteConnection,
    instance: &str,
    id: PaymentId,
) -> Result<Option<Payment>, GatewayError> {
    let row = sqlx::query(select_payment!("p.instance = ? AND p.payment_id = ?")).bind(instance).bind(id.to_string());
    row.fetch_optional(connection).await.map_err(failed)?.as_ref().map(Payment::read).transpose()
}

/// A payment by the operation that started it.
pub(crate) async fn payment_by_operation(
    connection: &mut SqliteConnection,
    instance: &str,
    id: &str,
) -> Result<Option<Payment>, GatewayError> {
    let row = sqlx::query(select_payment!("p.instance = ? AND p.operation_id = ?")).bind(instance).bind(id);
    row.fetch_optional(connection).await.map_err(failed)?.as_ref().map(Payment::read).transpose()
}

/// Adds a payment, or saves what changed of one: status, sums, decline, instant.
pub(crate) async fn save(connection: &mut SqliteConnection, instance: &str, payment: &Payment) -> Result<(), GatewayError> {
    sqlx::query(
        "INSERT INTO payment (reference, instance, payment_id, operation_id, fingerprint, token, capture, status, currency, amount_minor,
            authorised_minor, captured_minor, decline, order_reference, description, return_url, webhook_url, changed_us)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (reference) DO UPDATE SET status = excluded.status, authorised_minor = excluded.authorised_minor,
            captured_minor = excluded.captured_minor, decline = excluded.decline, changed_us = excluded.changed_us",
    )
    .bind(payment.reference.as_str())
    .bind(instance)
    .bind(payment.payment_id.to_string())
    .bind(&payment.operation_id)
    .bind(&payment.fingerprint)
    .bind(payment.token.text())
    .bind(word(&payment.capture))
    .bind(word(&payment.status))
    .bind(payment.amount.currency.code())
    .bind(payment.amount.minor)
    .bind(payment.authorised_minor)
    .bind(payment.captured_minor)
    .bind(payment.decline.map(|category| word(&category)))
    .bind(&payment.order_reference)
    .bind(&payment.description)
    .bind(&payment.return_url)
    .bind(&payment.webhook_url)
    .bind(payment.changed_at.timestamp_micros())
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Notes an operation. `false`: the same one was noted before, with the same parameters.
pub(crate) async fn note_operation(
    connection: &mut SqliteConnection,
    instance: &str,
    kind: &str,
    operation_id: &str,
    fingerprint: &str,
) -> Result<bool, GatewayError> {
    let done = sqlx::query("INSERT INTO operation (instance, kind, operation_id, fingerprint) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(instance)
        .bind(kind)
        .bind(operation_id)
        .bind(fingerprint)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    if done.rows_affected() == 1 {
        return Ok(true);
    }
    let row = sqlx::query("SELECT fingerprint FROM operation WHERE instance = ? AND kind = ? AND operation_id = ?")
        .bind(instance)
        .bind(kind)
        .bind(operation_id)
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    same_operation(row.try_get("fingerprint").map_err(failed)?, fingerprint).map(|()| false)
}

/// A repeated operation must say the same as the first time.
pub(crate) fn same_operation(first: &str, again: &str) -> Result<(), GatewayError> {
    if first == again { Ok(()) } else { Err(GatewayError::invalid("operation_id", "was used before with other parameters")) }
}

/// A refund by the shop's id.
pub(crate) async fn refund_by_id(connection: &mut SqliteConnection, instance: &str, id: RefundId) -> Result<Option<Refund>, GatewayError> {
    let row = sqlx::query(
        "SELECT r.*, p.currency FROM refund r JOIN payment p ON p.reference = r.payment WHERE r.instance = ? AND r.refund_id = ?",
    )
    .bind(instance)
    .bind(id.to_string())
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    row.map(|row| Ok(Refund { payment: PaymentRef::new(row.try_get::<String, _>("payment").map_err(failed)?), snapshot: refund(&row)? }))
        .transpose()
}

/// A payment's refunds, oldest first.
pub(crate) async fn refunds(connection: &mut SqliteConnection, payment: &Payment) -> Result<Vec<RefundSnapshot>, GatewayError> {
    let rows =
        sqlx::query("SELECT r.*, p.currency FROM refund r JOIN payment p ON p.reference = r.payment WHERE r.payment = ? ORDER BY r.rowid")
            .bind(payment.reference.as_str())
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    rows.iter().map(refund).collect()
}

/// Adds a refund, or saves its status.
pub(crate) async fn save_refund(
    connection: &mut SqliteConnection,
    instance: &str,
    payment: &PaymentRef,
    refund: &RefundSnapshot,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), GatewayError> {
    sqlx::query(
        "INSERT INTO refund (reference, instance, payment, refund_id, amount_minor, status, reason, changed_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (reference) DO UPDATE SET status = excluded.status, changed_us = excluded.changed_us",
    )
    .bind(refund.reference.as_str())
    .bind(instance)
    .bind(payment.as_str())
    .bind(refund.refund_id.map(|id| id.to_string()))
    .bind(refund.amount.minor)
    .bind(word(&refund.status))
    .bind(reason)
    .bind(now.timestamp_micros())
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

/// A payment's disputes, oldest first.
pub(crate) async fn disputes(connection: &mut SqliteConnection, payment: &Payment) -> Result<Vec<DisputeSnapshot>, GatewayError> {
    let rows =
        sqlx::query("SELECT d.*, p.currency FROM dispute d JOIN payment p ON p.reference = d.payment WHERE d.payment = ? ORDER BY d.rowid")
            .bind(payment.reference.as_str())
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    rows.iter()
        .map(|row| {
            Ok(DisputeSnapshot {
                reference: DisputeRef::new(row.try_get::<String, _>("reference").map_err(failed)?),
                status: from_word::<DisputeStatus>(row.try_get("status").map_err(failed)?)?,
                amount: amount(row)?,
                reason: row.try_get("reason").map_err(failed)?,
                due_at: Some(instant(row.try_get("due_us").map_err(failed)?)),
                changed_at: Some(instant(row.try_get("changed_us").map_err(failed)?)),
            })
        })
        .collect()
}

/// Adds a dispute, or saves its status.
pub(crate) async fn save_dispute(
    connection: &mut SqliteConnection,
    payment: &PaymentRef,
    dispute: &DisputeSnapshot,
    now: DateTime<Utc>,
) -> Result<(), GatewayError> {
    sqlx::query(
        "INSERT INTO dispute (reference, payment, amount_minor, status, reason, due_us, changed_us) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (reference) DO UPDATE SET status = excluded.status, changed_us = excluded.changed_us",
    )
    .bind(dispute.reference.as_str())
    .bind(payment.as_str())
    .bind(dispute.amount.minor)
    .bind(word(&dispute.status))
    .bind(&dispute.reason)
    .bind(dispute.due_at.unwrap_or(now).timestamp_micros())
    .bind(now.timestamp_micros())
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Writes down that something happened, to be sent at `due_at`.
pub(crate) async fn write_event(
    connection: &mut SqliteConnection,
    instance: &str,
    payment: &Payment,
    kind: &str,
    subject: Subject<'_>,
    now: DateTime<Utc>,
    due_at: DateTime<Utc>,
) -> Result<(), GatewayError> {
    let id = new_reference("sbevt");
    let about = json!({ "reference": payment.reference, "payment_id": payment.payment_id, "order": payment.order_reference, "snapshot": payment.snapshot() });
    let data = match subject {
        Subject::Payment => json!({ "payment": about }),
        Subject::Refund(refund) => json!({ "payment": about, "refund": refund }),
        Subject::Dispute(dispute) => json!({ "payment": about, "dispute": dispute }),
    };
    let body = json!({ "id": id, "type": kind, "instance": instance, "mode": Mode::Test, "created_at": now, "data": data }).to_string();
    sqlx::query("INSERT INTO event (id, instance, payment, kind, body, due_us) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(id)
        .bind(instance)
        .bind(payment.reference.as_str())
        .bind(kind)
        .bind(body)
        .bind(due_at.timestamp_micros())
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

/// An event's body, as far as it is read again. Unknown fields are ignored: a gateway may add some.
#[derive(Debug, Deserialize)]
pub(crate) struct EventBody {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) instance: String,
    pub(crate) mode: Mode,
    pub(crate) data: EventData,
}

/// The part of an event's body that names objects.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct EventData {
    pub(crate) payment: Option<EventPayment>,
}

/// The payment that an event is about.
#[derive(Debug, Deserialize)]
pub(crate) struct EventPayment {
    pub(crate) reference: PaymentRef,
    pub(crate) payment_id: Option<PaymentId>,
}

/// A new reference: what it is, and 128 random bits.
pub(crate) fn new_reference(prefix: &str) -> String {
    format!("{prefix}_{}", random_hex())
}

/// A wire word of a port enum.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}

fn from_word<T: DeserializeOwned>(text: &str) -> Result<T, GatewayError> {
    serde_json::from_value(Value::from(text)).map_err(|_| damaged(text))
}

fn refund(row: &SqliteRow) -> Result<RefundSnapshot, GatewayError> {
    let refund_id: Option<&str> = row.try_get("refund_id").map_err(failed)?;
    let status: RefundStatus = from_word(row.try_get("status").map_err(failed)?)?;
    Ok(RefundSnapshot {
        reference: RefundRef::new(row.try_get::<String, _>("reference").map_err(failed)?),
        refund_id: refund_id.and_then(RefundId::parse),
        status,
        amount: amount(row)?,
        raw_status: word(&status).to_ascii_lowercase(),
        changed_at: Some(instant(row.try_get("changed_us").map_err(failed)?)),
    })
}

fn pending(row: &SqliteRow) -> Result<PendingDelivery, GatewayError> {
    Ok(PendingDelivery {
        event_id: row.try_get("id").map_err(failed)?,
        kind: row.try_get("kind").map_err(failed)?,
        payment_id: PaymentId::parse(row.try_get("payment_id").map_err(failed)?).ok_or_else(|| damaged("a payment id"))?,
        webhook_url: row.try_get("webhook_url").map_err(failed)?,
        due_at: instant(row.try_get("due_us").map_err(failed)?),
        attempts: u32::try_from(row.try_get::<i64, _>("attempts").map_err(failed)?).unwrap_or(u32::MAX),
    })
}

fn amount(row: &SqliteRow) -> Result<Money, GatewayError> {
    let currency = Currency::parse(row.try_get("currency").map_err(failed)?).map_err(|error| damaged(&error.to_string()))?;
    Ok(Money::new(row.try_get("amount_minor").map_err(failed)?, currency))
}

fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

fn random_hex() -> String {
    hex(&rand::random::<[u8; 16]>())
}

/// Before the commit nothing is done, so a failing statement is "certainly not processed".
fn failed(error: sqlx::Error) -> GatewayError {
    GatewayError::Unavailable(format!("the sandbox's state: {error}").into())
}

fn damaged(what: &str) -> GatewayError {
    GatewayError::Unavailable(format!("the sandbox's state is damaged: {what}").into())
}
