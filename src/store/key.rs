//! Keys: of programs that call, and of ours that sign sign-ins.
//!
//! Always true here: a service key is kept as a keyed hash, a signing key sealed; neither can be read back from a dump.

use chrono::{DateTime, Utc};
use domain::account::KeyRole;
use domain::{CompanyId, ServiceKeyId};
use entity::{company, service_key, signing_key};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::page::{Key, Order, page};
use super::{corrupt, known, rows_in};
use crate::page::{Page, PageArgs};

/// A program's key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceKey {
    /// Its id.
    pub id: ServiceKeyId,
    /// What it is for.
    pub name: String,
    /// As what it acts.
    pub role: KeyRole,
    /// The company of a manager's key.
    pub company: Option<CompanyId>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The actor who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key that signs sign-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its id, the `kid` of what it signs.
    pub id: Uuid,
    /// The private key, sealed.
    pub secret_sealed: String,
    /// From when it signs.
    pub created_at: DateTime<Utc>,
    /// Until when it signs.
    pub retires_at: DateTime<Utc>,
}

/// Writes a service key.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, key: &ServiceKey, secret_hash: &str) -> Result<(), DbErr> {
    service_key::Entity::insert(service_key::ActiveModel {
        id: Set(key.id.uuid()),
        name: Set(key.name.clone()),
        role: Set(key.role.name().to_owned()),
        company_id: Set(key.company.map(CompanyId::uuid)),
        scopes: Set(serde_json::Value::from(key.scopes.clone())),
        secret_hash: Set(secret_hash.to_owned()),
        created_by: Set(key.created_by.clone()),
        created_at: Set(key.created_at),
        revoked_at: Set(key.revoked_at),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// The living key with this hash of its secret: not revoked, and its company, if it has one, enabled and not archived.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn living(db: &impl ConnectionTrait, secret_hash: &str) -> Result<Option<ServiceKey>, DbErr> {
    living_where(db, service_key::Column::SecretHash.eq(secret_hash)).await
}

/// The living key with this id.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn living_with_id(db: &impl ConnectionTrait, id: ServiceKeyId) -> Result<Option<ServiceKey>, DbErr> {
    living_where(db, service_key::Column::Id.eq(id.uuid())).await
}

async fn living_where(db: &impl ConnectionTrait, is: Expr) -> Result<Option<ServiceKey>, DbErr> {
    let mut select = service_key::Entity::find().filter(is).filter(service_key::Column::RevokedAt.is_null()).filter(
        Condition::any()
            .add(service_key::Column::CompanyId.is_null())
            .add(company::Column::Enabled.eq(true).and(company::Column::ArchivedAt.is_null())),
    );
    QueryTrait::query(&mut select).left_join(
        company::Entity,
        Expr::col((company::Entity, company::Column::Id)).equals((service_key::Entity, service_key::Column::CompanyId)),
    );
    select.one(db).await?.map(from_row).transpose()
}

/// The key with this id.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_id(db: &impl ConnectionTrait, id: ServiceKeyId) -> Result<Option<ServiceKey>, DbErr> {
    service_key::Entity::find_by_id(id.uuid()).one(db).await?.map(from_row).transpose()
}

/// The keys with these ids, in no particular order.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[ServiceKeyId]) -> Result<Vec<ServiceKey>, DbErr> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    rows_in::<service_key::Entity>(db, service_key::Column::Id, &ids).await?.into_iter().map(from_row).collect()
}

/// Revokes the key; `false` if there is none with this id that still lives.
///
/// # Errors
/// The database's.
pub async fn revoke(txn: &impl ConnectionTrait, id: ServiceKeyId, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let revoked = service_key::Entity::update_many()
        .set(service_key::ActiveModel { revoked_at: Set(Some(now)), ..Default::default() })
        .filter(service_key::Column::Id.eq(id.uuid()))
        .filter(service_key::Column::RevokedAt.is_null())
        .exec(txn)
        .await?;
    Ok(revoked.rows_affected == 1)
}

/// A page of keys, the newest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn list(db: &impl ConnectionTrait, args: &PageArgs<(Key, Uuid)>, with_total: bool) -> Result<Page<ServiceKey>, DbErr> {
    let order = Order { column: service_key::Column::CreatedAt, id: service_key::Column::Id, descending: true };
    let Page { rows, has_next, has_previous, total } = page(db, service_key::Entity::find(), order, args, with_total).await?;
    Ok(Page { rows: rows.into_iter().map(from_row).collect::<Result<_, _>>()?, has_next, has_previous, total })
}

/// Whether there is such a company, not archived.
///
/// # Errors
/// The database's.
pub async fn is_company(db: &impl ConnectionTrait, id: CompanyId) -> Result<bool, DbErr> {
    let found = company::Entity::find_by_id(id.uuid())
        .select_only()
        .column(company::Column::Id)
        .filter(company::Column::ArchivedAt.is_null())
        .into_tuple::<Uuid>()
        .one(db)
        .await?;
    Ok(found.is_some())
}

/// The signing key that signs at `now`: of several, the newest.
///
/// # Errors
/// The database's.
pub async fn signing(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<Option<SigningKey>, DbErr> {
    let row = signing_key::Entity::find()
        .filter(signing_key::Column::RetiresAt.gt(now))
        .order_by_desc(signing_key::Column::CreatedAt)
        .order_by_desc(signing_key::Column::Id)
        .one(db)
        .await?;
    Ok(row.map(signing_from_row))
}

/// The signing key with this id.
///
/// # Errors
/// The database's.
pub async fn signing_by_id(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<SigningKey>, DbErr> {
    Ok(signing_key::Entity::find_by_id(id).one(db).await?.map(signing_from_row))
}

/// Writes a signing key, and forgets those that retired before `forget_before`: nothing that they signed is good any more.
///
/// # Errors
/// The database's.
pub async fn insert_signing(txn: &impl ConnectionTrait, key: &SigningKey, forget_before: DateTime<Utc>) -> Result<(), DbErr> {
    signing_key::Entity::insert(signing_key::ActiveModel {
        id: Set(key.id),
        secret_sealed: Set(key.secret_sealed.clone()),
        created_at: Set(key.created_at),
        retires_at: Set(key.retires_at),
    })
    .exec_without_returning(txn)
    .await?;
    signing_key::Entity::delete_many().filter(signing_key::Column::RetiresAt.lt(forget_before)).exec(txn).await?;
    Ok(())
}

fn from_row(row: service_key::Model) -> Result<ServiceKey, DbErr> {
    Ok(ServiceKey {
        id: row.id.into(),
        name: row.name,
        role: known(KeyRole::parse(&row.role), "role of a key", &row.role)?,
        company: row.company_id.map(Into::into),
        scopes: serde_json::from_value(row.scopes).map_err(corrupt)?,
        created_by: row.created_by,
        created_at: row.created_at,
        revoked_at: row.revoked_at,
    })
}

fn signing_from_row(row: signing_key::Model) -> SigningKey {
    SigningKey { id: row.id, secret_sealed: row.secret_sealed, created_at: row.created_at, retires_at: row.retires_at }
}
