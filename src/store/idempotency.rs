//! Answers kept so that the same call gives the same again: the claim and the answer are in the transaction of the effect.

use chrono::{DateTime, Utc};
use entity::idempotency::{ActiveModel, Column, Entity};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use serde_json::Value;

/// Whose key for which mutation.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The actor; a guest's is the cart.
    pub actor: &'a str,
    /// The mutation's name.
    pub operation: &'a str,
    /// The key the caller chose.
    pub key: &'a str,
}

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody used it: the caller goes on and finishes with [`finish`].
    Fresh,
    /// The same call was answered before, with these ids.
    Replay(Value),
    /// The key was used with another input.
    Mismatch,
}

/// Claims the key. Two calls at once: the second waits for the first one's commit, then gets its answer.
///
/// # Errors
/// The database's.
pub async fn claim(
    txn: &impl ConnectionTrait,
    scope: &Scope<'_>,
    input_hash: &str,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Claim, DbErr> {
    // An expired answer is forgotten here, so that its key serves anew.
    Entity::delete_many()
        .filter(Column::Actor.eq(scope.actor))
        .filter(Column::Operation.eq(scope.operation))
        .filter(Column::Key.eq(scope.key))
        .filter(Column::ExpiresAt.lte(now))
        .exec(txn)
        .await?;
    let inserted = Entity::insert(ActiveModel {
        actor: Set(scope.actor.to_owned()),
        operation: Set(scope.operation.to_owned()),
        key: Set(scope.key.to_owned()),
        input_hash: Set(input_hash.to_owned()),
        result: Set(Value::Null),
        created_at: Set(now),
        expires_at: Set(expires_at),
    })
    .on_conflict(OnConflict::columns([Column::Actor, Column::Operation, Column::Key]).do_nothing().to_owned())
    .exec_without_returning(txn)
    .await;
    match inserted {
        Ok(rows) if rows > 0 => return Ok(Claim::Fresh),
        Ok(_) | Err(DbErr::RecordNotInserted) => {}
        Err(other) => return Err(other),
    }
    let row = Entity::find_by_id((scope.actor.to_owned(), scope.operation.to_owned(), scope.key.to_owned())).one(txn).await?;
    Ok(match row {
        Some(row) if row.input_hash == input_hash => Claim::Replay(row.result),
        Some(_) => Claim::Mismatch,
        None => Claim::Fresh,
    })
}

/// Keeps the answer of a fresh claim.
///
/// # Errors
/// The database's.
pub async fn finish(txn: &impl ConnectionTrait, scope: &Scope<'_>, result: Value) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Result, Expr::value(result))
        .filter(Column::Actor.eq(scope.actor))
        .filter(Column::Operation.eq(scope.operation))
        .filter(Column::Key.eq(scope.key))
        .exec(txn)
        .await?;
    Ok(())
}
