//! The database: one handle with a reading and a writing side, and a file of queries per topic.
//!
//! On SQLite the writing side is one connection whose transactions begin IMMEDIATE: writers queue fairly in the program instead of meeting
//! "database is locked" (docs/decisions/0004). On PostgreSQL both sides are one pool. Always true here: the store knows no rule, no GraphQL and
//! no gateway, and binds instants from the program, never from SQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    AccessMode, ColumnTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    EntityTrait, IsolationLevel, QueryFilter, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use uuid::Uuid;

pub use reading::Reading;

pub mod account;
pub mod audit;
pub mod cart;
pub mod catalog;
pub mod company;
pub mod company_offer;
pub mod coupon;
pub mod coupon_batch;
pub mod coupon_rule;
pub mod credit;
pub mod credit_pack;
pub mod credit_report;
pub mod enrollment;
pub mod entitlement;
pub mod event;
pub mod form_text;
pub mod group;
pub mod idempotency;
pub mod installation;
pub mod job;
pub mod key;
pub mod ledger;
pub mod mail;
pub mod offer;
pub mod order;
pub mod page;
pub mod past;
pub mod payment;
pub mod person;
pub mod price;
pub mod product;
pub mod reading;
pub mod reconciliation;
pub mod rental;
pub mod resource;
pub mod royalty;
pub mod sale;
pub mod sales_order;
pub mod search;
pub mod seat;
pub mod tax;
pub mod template;
pub mod token;

tokio::task_local! {
    /// Counts the SQL statements of whatever runs inside its scope.
    pub static STATEMENTS: Arc<AtomicU64>;
}

/// Counts a statement, if somebody counts: outside of a request nobody does.
fn count() {
    let _ = STATEMENTS.try_with(|count| count.fetch_add(1, Ordering::Relaxed));
}

/// How many rows one statement names at most; longer lists are cut into chunks (PostgreSQL and SQLite limit the number of parameters).
pub const CHUNK: usize = 1_000;

/// A connection that was idle for so long may have been cut off meanwhile: it is tested before it is used.
const TESTED_AFTER: Duration = Duration::from_secs(1);

/// Where the data is.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// `sqlite://FILE` or `postgres://…`.
    pub url: String,
    /// Connections of the pool: PostgreSQL's one, SQLite's readers.
    pub pool: u32,
}

/// A handle on the database.
#[derive(Debug, Clone)]
pub struct Db {
    read: DatabaseConnection,
    write: DatabaseConnection,
}

impl Db {
    /// Connects.
    ///
    /// # Errors
    /// Whatever the driver says: nobody answers, no such database, a file that cannot be opened.
    pub async fn connect(options: &DbOptions) -> Result<Self, DbErr> {
        if options.url.starts_with("sqlite:") {
            let mut write = Self::options(&options.url, 1);
            write.map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(Duration::from_secs(30))
                    .foreign_keys(true)
            });
            let write = Self::counted(Database::connect(write).await?);
            let mut read = Self::options(&options.url, options.pool.max(1));
            read.map_sqlx_sqlite_opts(|sqlite| sqlite.busy_timeout(Duration::from_secs(30)).foreign_keys(true).pragma("query_only", "ON"));
            let read = Self::counted(Database::connect(read).await?);
            Ok(Self { read, write })
        } else {
            let both = Self::counted(Database::connect(Self::options(&options.url, options.pool.max(1))).await?);
            Ok(Self { read: both.clone(), write: both })
        }
    }

    fn options(url: &str, pool: u32) -> ConnectOptions {
        let mut options = ConnectOptions::new(url);
        options.max_connections(pool).min_connections(1).acquire_timeout(Duration::from_secs(30)).sqlx_logging(false);
        // A connection in steady use is not asked before each statement whether it still lives: that costs as much as a small statement.
        options.test_before_acquire_if_idle_for(TESTED_AFTER);
        options
    }

    fn counted(mut connection: DatabaseConnection) -> DatabaseConnection {
        connection.set_metric_callback(|_| count());
        connection
    }

    /// The reading side, for one query outside of a transaction.
    pub fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// A connection of the reading side, for a use case of several queries outside of a transaction.
    ///
    /// # Errors
    /// The pool gave no connection in time.
    pub async fn reading(&self) -> Result<Reading, DbErr> {
        Reading::of(&self.read).await
    }

    /// The writing side without a transaction: for one statement that is atomic by itself.
    pub fn write(&self) -> &DatabaseConnection {
        &self.write
    }

    /// Begins a transaction that will write. On SQLite it holds the one write lock from here on, so nothing but the database may be awaited
    /// before its end.
    ///
    /// # Errors
    /// The pool gave no connection in time.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.write
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            })
            .await
    }

    /// Begins a transaction that reads only, and sees the database as it is at its first statement, whatever is written meanwhile.
    ///
    /// # Errors
    /// The pool gave no connection in time.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction, DbErr> {
        // SQLite's transactions always are like that.
        let options = match self.backend() {
            DbBackend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
            _ => TransactionOptions::default(),
        };
        self.read.begin_with_options(options).await
    }

    /// Which database this is.
    pub fn backend(&self) -> DbBackend {
        self.write.get_database_backend()
    }

    /// Closes both sides.
    ///
    /// # Errors
    /// The driver could not close.
    pub async fn close(self) -> Result<(), DbErr> {
        if self.backend() == DbBackend::Sqlite {
            self.read.close().await?;
        }
        self.write.close().await
    }
}

/// A stored value that makes no sense, with what it was.
pub(crate) fn corrupt(what: impl std::fmt::Display) -> DbErr {
    DbErr::Custom(format!("a stored value makes no sense: {what}"))
}

/// The rows whose `column` is one of `ids`, in chunks of [`CHUNK`]; their order is the database's.
///
/// # Errors
/// The database's.
pub async fn rows_in<E: EntityTrait>(db: &impl ConnectionTrait, column: E::Column, ids: &[Uuid]) -> Result<Vec<E::Model>, DbErr> {
    let mut rows = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        rows.extend(E::find().filter(column.is_in(chunk.iter().copied())).all(db).await?);
    }
    Ok(rows)
}

/// A word of a closed list as it was stored; an unknown one means that the row was written by a later version or by hand.
fn known<T>(found: Option<T>, what: &str, stored: &str) -> Result<T, DbErr> {
    found.ok_or_else(|| corrupt(format_args!("{stored:?} is no {what}")))
}
