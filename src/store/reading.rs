//! One connection for all statements of a use case that reads.
//!
//! The pool looks whether a connection still works each time that it gets one back, and does so in a task of its own. That costs as much as a
//! small statement: a use case that gave its connection back after each statement would pay for it each time.

use futures_util::lock::Mutex;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, Executor, Postgres, Sqlite};
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Values,
};
use sea_query_sqlx::SqlxValues;

use super::count;

/// A connection that is held for several statements, one after the other; dropped, it goes back to the pool. Whoever holds one takes no
/// second: a pool may have a single connection.
#[derive(Debug)]
pub struct Reading(Held);

#[derive(Debug)]
enum Held {
    Postgres(Mutex<PoolConnection<Postgres>>),
    Sqlite(Mutex<PoolConnection<Sqlite>>),
}

impl Reading {
    /// Takes a connection of this pool, waiting until one is free.
    ///
    /// # Errors
    /// The pool gave none in time.
    pub(super) async fn of(pool: &DatabaseConnection) -> Result<Self, DbErr> {
        let held = match pool.get_database_backend() {
            DbBackend::Postgres => Held::Postgres(Mutex::new(pool.get_postgres_connection_pool().acquire().await.map_err(not_acquired)?)),
            _ => Held::Sqlite(Mutex::new(pool.get_sqlite_connection_pool().acquire().await.map_err(not_acquired)?)),
        };
        Ok(Self(held))
    }
}

fn not_acquired(error: sqlx::Error) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        other => DbErr::Conn(RuntimeErr::SqlxError(other.into())),
    }
}

fn query_failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

fn execution_failed(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

/// Runs `$statement` by `$method` on whichever connection is held.
macro_rules! on {
    ($held:expr, $statement:expr, $method:ident) => {{
        let Statement { sql, values, .. } = $statement;
        let values = SqlxValues(values.unwrap_or(Values(Vec::new())));
        count();
        match $held {
            Held::Postgres(connection) => {
                sqlx::query_with(sqlx::AssertSqlSafe(sql), values).$method(&mut **connection.lock().await).await.map(Into::into)
            }
            Held::Sqlite(connection) => {
                sqlx::query_with(sqlx::AssertSqlSafe(sql), values).$method(&mut **connection.lock().await).await.map(Into::into)
            }
        }
    }};
}

#[async_trait::async_trait]
impl ConnectionTrait for Reading {
    fn get_database_backend(&self) -> DbBackend {
        match self.0 {
            Held::Postgres(_) => DbBackend::Postgres,
            Held::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        on!(&self.0, statement, execute).map_err(execution_failed)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        count();
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match &self.0 {
            Held::Postgres(connection) => connection.lock().await.execute(sql).await.map(Into::into),
            Held::Sqlite(connection) => connection.lock().await.execute(sql).await.map(Into::into),
        }
        .map_err(execution_failed)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match on!(&self.0, statement, fetch_one) {
            Ok(row) => Ok(Some(row)),
            Err(sqlx::Error::RowNotFound) => Ok(None),
            Err(error) => Err(query_failed(error)),
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Statement { sql, values, .. } = statement;
        let values = SqlxValues(values.unwrap_or(Values(Vec::new())));
        count();
        match &self.0 {
            Held::Postgres(connection) => {
                let rows = sqlx::query_with(sqlx::AssertSqlSafe(sql), values).fetch_all(&mut **connection.lock().await).await;
                rows.map(|rows| rows.into_iter().map(Into::into).collect())
            }
            Held::Sqlite(connection) => {
                let rows = sqlx::query_with(sqlx::AssertSqlSafe(sql), values).fetch_all(&mut **connection.lock().await).await;
                rows.map(|rows| rows.into_iter().map(Into::into).collect())
            }
        }
        .map_err(query_failed)
    }
}
