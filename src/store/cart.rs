//! Carts and their lines.
//!
//! Always true here: every write grows the cart's version, and whoever writes holds the cart's row first ([`lock`]), so that writes to one cart
//! come one after the other.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::cart::{CartStatus, Line, Shown};
use domain::{AccountId, CartId, CartLineId, CompanyId, Currency, OrderId, PersonId};
use entity::{account, cart, cart_coupon, cart_line, order, person};
use sea_orm::prelude::Json;
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType, OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select,
};
use uuid::Uuid;

use super::coupon::CartCoupon;
use super::order::{for_from, for_kind};
use super::person::{self as persons, Person};
use super::{CHUNK, corrupt};

/// A cart with its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cart {
    /// Id.
    pub id: CartId,
    /// Whose; `None` for a guest's.
    pub account: Option<AccountId>,
    /// Keyed hash of a guest cart's secret; `None` once it was claimed.
    pub secret_hash: Option<String>,
    /// Context: company.
    pub company: Option<CompanyId>,
    /// Context: currency of every amount.
    pub currency: Currency,
    /// Context: locale.
    pub locale: String,
    /// Grows with every write.
    pub version: i64,
    /// State.
    pub status: CartStatus,
    /// The order that it became.
    pub order: Option<OrderId>,
    /// The number of that order.
    pub order_number: Option<String>,
    /// The cart that took it over.
    pub merged_into: Option<CartId>,
    /// Who buys: as set on the cart, else the account's person.
    pub buyer: Option<Person>,
    /// Whether a placing was refused after its coupons were judged by this buyer, who was told why: from then on the cart shows it.
    pub judged: bool,
    /// The lines in order of adding.
    pub lines: Vec<CartLine>,
    /// The codes in order of adding.
    pub coupons: Vec<CartCoupon>,
}

/// One line of a cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CartLine {
    /// The line.
    pub line: Line,
    /// Its key as stored, unique in the cart.
    pub key: String,
    /// The person row of a named learner.
    pub learner: Option<PersonId>,
    /// Order of adding.
    pub position: i64,
    /// What the buyer was last shown; `None` where there was no price yet.
    pub shown: Option<Shown>,
    /// When it was added.
    pub added_at: DateTime<Utc>,
}

/// Makes a new cart, without its lines; a buyer that the account gives by itself is not written.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &DatabaseTransaction, new: &Cart, now: DateTime<Utc>) -> Result<(), DbErr> {
    cart::Entity::insert(cart::ActiveModel {
        id: Set(new.id.uuid()),
        account_id: Set(new.account.map(AccountId::uuid)),
        secret_hash: Set(new.secret_hash.clone()),
        company_id: Set(new.company.map(CompanyId::uuid)),
        currency: Set(new.currency.code().to_owned()),
        locale: Set(new.locale.clone()),
        version: Set(new.version),
        status: Set(new.status.name().to_owned()),
        order_id: Set(None),
        merged_into: Set(None),
        buyer_person_id: Set(None),
        judged_person_id: Set(None),
        created_at: Set(now),
        touched_at: Set(now),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// Writes carts that are orders from the start, without lines and without an owner: those of enrolments by staff. Nobody can open them.
///
/// # Errors
/// The database's.
pub async fn insert_ordered(txn: &DatabaseTransaction, orders: &[super::order::Order]) -> Result<(), DbErr> {
    for chunk in orders.chunks(CHUNK) {
        let rows = chunk.iter().map(|order| cart::ActiveModel {
            id: Set(order.cart.uuid()),
            account_id: Set(None),
            secret_hash: Set(None),
            company_id: Set(order.company.map(CompanyId::uuid)),
            currency: Set(order.currency.code().to_owned()),
            locale: Set(order.locale.clone()),
            version: Set(1),
            status: Set(CartStatus::Ordered.name().to_owned()),
            order_id: Set(Some(order.id.uuid())),
            merged_into: Set(None),
            buyer_person_id: Set(Some(order.buyer.uuid())),
            judged_person_id: Set(None),
            created_at: Set(order.placed_at),
            touched_at: Set(order.placed_at),
        });
        cart::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// The cart, with its lines: two statements.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_id(db: &impl ConnectionTrait, id: CartId) -> Result<Option<Cart>, DbErr> {
    load(db, select().filter(cart::Column::Id.eq(id.uuid()))).await
}

/// The same, holding the cart's row to the end of the transaction. (On SQLite the transaction is exclusive already.)
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lock(txn: &DatabaseTransaction, id: CartId) -> Result<Option<Cart>, DbErr> {
    match locked(txn, cart::Entity::find_by_id(id.uuid())).await? {
        Some(id) => by_id(txn, id).await,
        None => Ok(None),
    }
}

/// Holds a cart's row.
///
/// # Errors
/// The database's.
pub async fn hold(txn: &DatabaseTransaction, id: CartId) -> Result<(), DbErr> {
    locked(txn, cart::Entity::find_by_id(id.uuid())).await?;
    Ok(())
}

/// An account's open cart of this company and currency, the one last used, holding its row.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lock_open(
    txn: &DatabaseTransaction,
    account: AccountId,
    company: Option<CompanyId>,
    currency: Currency,
) -> Result<Option<Cart>, DbErr> {
    let company = match company {
        Some(company) => cart::Column::CompanyId.eq(company.uuid()),
        None => cart::Column::CompanyId.is_null(),
    };
    let open = cart::Entity::find()
        .filter(cart::Column::AccountId.eq(account.uuid()))
        .filter(cart::Column::Status.eq(CartStatus::Open.name()))
        .filter(cart::Column::Currency.eq(currency.code()))
        .filter(company)
        .order_by_desc(cart::Column::TouchedAt)
        .order_by_desc(cart::Column::Id)
        .limit(1);
    match locked(txn, open).await? {
        Some(id) => by_id(txn, id).await,
        None => Ok(None),
    }
}

/// Makes claims of one account come one after the other, so that two guests' carts do not both become its only cart.
///
/// # Errors
/// The database's.
pub async fn lock_account(txn: &DatabaseTransaction, account: AccountId) -> Result<(), DbErr> {
    let mut select = account::Entity::find_by_id(account.uuid()).select_only().column(account::Column::Id);
    QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
    select.into_tuple::<Uuid>().one(txn).await?;
    Ok(())
}

/// The cart's version: what a live subscription looks at.
///
/// # Errors
/// The database's.
pub async fn version(db: &impl ConnectionTrait, id: CartId) -> Result<Option<i64>, DbErr> {
    cart::Entity::find_by_id(id.uuid()).select_only().column(cart::Column::Version).into_tuple().one(db).await
}

/// The hashes of the secrets of these carts, in one statement; carts of accounts have none.
///
/// # Errors
/// The database's.
pub async fn secret_hashes(db: &impl ConnectionTrait, ids: &[CartId]) -> Result<HashMap<CartId, String>, DbErr> {
    let rows: Vec<(Uuid, Option<String>)> = cart::Entity::find()
        .select_only()
        .columns([cart::Column::Id, cart::Column::SecretHash])
        .filter(cart::Column::Id.is_in(ids.iter().map(|id| id.uuid())))
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().filter_map(|(id, hash)| Some((CartId::new(id), hash?))).collect())
}

/// Writes the lines given, new or known by their key: quantity, learner and what was shown. Others stay.
///
/// # Errors
/// The database's.
pub async fn save_lines(txn: &DatabaseTransaction, cart: CartId, lines: &[CartLine]) -> Result<(), DbErr> {
    use cart_line::Column;
    for chunk in lines.chunks(CHUNK) {
        let rows = chunk.iter().map(|line| {
            Ok(cart_line::ActiveModel {
                id: Set(line.line.id.uuid()),
                cart_id: Set(cart.uuid()),
                position: Set(line.position),
                line_key: Set(line.key.clone()),
                product_id: Set(line.line.product.uuid()),
                session_id: Set(line.line.session.map(domain::SessionId::uuid)),
                for_kind: Set(for_kind(&line.line.for_).to_owned()),
                learner_person_id: Set(line.learner.map(PersonId::uuid)),
                quantity: Set(i64::from(line.line.quantity)),
                shown: Set(serde_json::to_value(line.shown).map_err(corrupt)?),
                added_at: Set(line.added_at),
            })
        });
        cart_line::Entity::insert_many(rows.collect::<Result<Vec<_>, DbErr>>()?)
            .on_conflict(
                OnConflict::columns([Column::CartId, Column::LineKey])
                    .update_columns([Column::Quantity, Column::LearnerPersonId, Column::Shown])
                    .to_owned(),
            )
            .exec_without_returning(txn)
            .await?;
    }
    Ok(())
}

/// Takes lines out of the cart.
///
/// # Errors
/// The database's.
pub async fn remove_lines(txn: &DatabaseTransaction, cart: CartId, lines: &[CartLineId]) -> Result<(), DbErr> {
    for chunk in lines.chunks(CHUNK) {
        cart_line::Entity::delete_many()
            .filter(cart_line::Column::CartId.eq(cart.uuid()))
            .filter(cart_line::Column::Id.is_in(chunk.iter().map(|line| line.uuid())))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// What a write does to the cart's own row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing but the next version.
    Touch,
    /// Another buyer.
    Buyer(PersonId),
    /// A guest's cart becomes this account's, and its secret dies.
    Given(AccountId),
    /// A guest's cart went into this one, and its secret dies.
    MergedInto(CartId),
}

/// Writes the change and the next version, if the cart is open and still at `version`; says whether it was.
///
/// # Errors
/// The database's.
pub async fn change(txn: &DatabaseTransaction, id: CartId, version: i64, change: Change, now: DateTime<Utc>) -> Result<bool, DbErr> {
    use cart::Column;
    let update = cart::Entity::update_many()
        .col_expr(Column::Version, Expr::col(Column::Version).add(1i64))
        .col_expr(Column::TouchedAt, Expr::value(now))
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::Version.eq(version))
        .filter(Column::Status.eq(CartStatus::Open.name()));
    let update = match change {
        Change::Touch => update,
        Change::Buyer(person) => update.col_expr(Column::BuyerPersonId, Expr::value(person.uuid())),
        Change::Given(account) => {
            update.col_expr(Column::AccountId, Expr::value(account.uuid())).col_expr(Column::SecretHash, Expr::value(None::<String>))
        }
        Change::MergedInto(target) => update
            .col_expr(Column::Status, Expr::value(CartStatus::Merged.name()))
            .col_expr(Column::MergedInto, Expr::value(target.uuid()))
            .col_expr(Column::SecretHash, Expr::value(None::<String>)),
    };
    Ok(update.exec(txn).await?.rows_affected == 1)
}

/// Makes an open cart the order's; says whether it was open. For a cart that a late payment of its lapsed order takes back, as much as for
/// placing.
///
/// # Errors
/// The database's.
pub async fn ordered(txn: &DatabaseTransaction, id: CartId, order: OrderId, now: DateTime<Utc>) -> Result<bool, DbErr> {
    use cart::Column;
    let done = cart::Entity::update_many()
        .col_expr(Column::Version, Expr::col(Column::Version).add(1i64))
        .col_expr(Column::TouchedAt, Expr::value(now))
        .col_expr(Column::Status, Expr::value(CartStatus::Ordered.name()))
        .col_expr(Column::OrderId, Expr::value(order.uuid()))
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::Status.eq(CartStatus::Open.name()))
        .exec(txn)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Keeps that the coupons of a cart were judged by this buyer.
///
/// # Errors
/// The database's.
pub async fn judged(txn: &DatabaseTransaction, id: CartId, buyer: PersonId) -> Result<(), DbErr> {
    cart::Entity::update_many()
        .col_expr(cart::Column::JudgedPersonId, Expr::value(buyer.uuid()))
        .filter(cart::Column::Id.eq(id.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Opens the cart again whose order was cancelled or lapsed; says whether it was that order's.
///
/// # Errors
/// The database's.
pub async fn reopen(txn: &DatabaseTransaction, id: CartId, order: OrderId, now: DateTime<Utc>) -> Result<bool, DbErr> {
    use cart::Column;
    let done = cart::Entity::update_many()
        .col_expr(Column::Version, Expr::col(Column::Version).add(1i64))
        .col_expr(Column::TouchedAt, Expr::value(now))
        .col_expr(Column::Status, Expr::value(CartStatus::Open.name()))
        .col_expr(Column::OrderId, Expr::value(None::<Uuid>))
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::Status.eq(CartStatus::Ordered.name()))
        .filter(Column::OrderId.eq(order.uuid()))
        .exec(txn)
        .await?;
    Ok(done.rows_affected == 1)
}

/// A cart's row with the person who buys and the number of its order.
#[derive(Debug, FromQueryResult)]
struct Row {
    id: Uuid,
    account_id: Option<Uuid>,
    secret_hash: Option<String>,
    company_id: Option<Uuid>,
    currency: String,
    locale: String,
    version: i64,
    status: String,
    order_id: Option<Uuid>,
    order_number: Option<String>,
    merged_into: Option<Uuid>,
    person_id: Option<Uuid>,
    person_email: Option<String>,
    person_name: Option<String>,
    person_address: Option<Json>,
    has_coupons: bool,
    judged_person_id: Option<Uuid>,
}

fn select() -> Select<cart::Entity> {
    let mut select = cart::Entity::find();
    let buyer = Expr::col((cart::Entity, cart::Column::BuyerPersonId)).if_null(Expr::col((account::Entity, account::Column::PersonId)));
    QueryTrait::query(&mut select)
        .left_join(account::Entity, Expr::col((account::Entity, account::Column::Id)).equals((cart::Entity, cart::Column::AccountId)))
        .left_join(order::Entity, Expr::col((order::Entity, order::Column::Id)).equals((cart::Entity, cart::Column::OrderId)))
        .left_join(person::Entity, Expr::col((person::Entity, person::Column::Id)).eq(buyer));
    let coupons = Query::select()
        .expr(Expr::val(1))
        .from(cart_coupon::Entity)
        .and_where(Expr::col((cart_coupon::Entity, cart_coupon::Column::CartId)).equals((cart::Entity, cart::Column::Id)))
        .to_owned();
    select
        .expr_as(Expr::exists(coupons), "has_coupons")
        .column_as(order::Column::Number, "order_number")
        .column_as(person::Column::Id, "person_id")
        .column_as(person::Column::Email, "person_email")
        .column_as(person::Column::Name, "person_name")
        .column_as(person::Column::Address, "person_address")
}

/// Holds the row of the cart that is found, and gives its id. Of the cart's row alone, and before the rest is read: a statement that waited for
/// the lock sees the row anew, but what it had joined to it as it was before.
async fn locked(txn: &DatabaseTransaction, select: Select<cart::Entity>) -> Result<Option<CartId>, DbErr> {
    let mut select = select.select_only().column(cart::Column::Id);
    QueryTrait::query(&mut select).lock(LockType::Update);
    Ok(select.into_tuple::<Uuid>().one(txn).await?.map(CartId::new))
}

async fn load(db: &impl ConnectionTrait, select: Select<cart::Entity>) -> Result<Option<Cart>, DbErr> {
    let Some(row) = select.into_model::<Row>().one(db).await? else { return Ok(None) };
    let mut lines = cart_line::Entity::find().select_also(person::Entity);
    QueryTrait::query(&mut lines).left_join(
        person::Entity,
        Expr::col((person::Entity, person::Column::Id)).equals((cart_line::Entity, cart_line::Column::LearnerPersonId)),
    );
    let lines = lines
        .filter(cart_line::Column::CartId.eq(row.id))
        .order_by_asc(cart_line::Column::Position)
        .order_by_asc(cart_line::Column::Id)
        .all(db)
        .await?;
    let coupons = if row.has_coupons { super::coupon::of_cart(db, row.id.into()).await? } else { Vec::new() };
    let buyer = row.person_id.map(|id| persons::from_parts(id, row.person_email.as_deref(), row.person_name, row.person_address));
    Ok(Some(Cart {
        id: row.id.into(),
        account: row.account_id.map(Into::into),
        secret_hash: row.secret_hash,
        company: row.company_id.map(Into::into),
        currency: Currency::parse(&row.currency).map_err(corrupt)?,
        locale: row.locale,
        version: row.version,
        status: CartStatus::parse(&row.status).ok_or_else(|| corrupt(&row.status))?,
        order: row.order_id.map(Into::into),
        order_number: row.order_number,
        merged_into: row.merged_into.map(Into::into),
        judged: row.judged_person_id.is_some() && row.judged_person_id == row.person_id,
        buyer: buyer.transpose()?,
        lines: lines.into_iter().map(|(line, learner)| line_from_row(line, learner)).collect::<Result<_, _>>()?,
        coupons,
    }))
}

fn line_from_row(row: cart_line::Model, learner: Option<person::Model>) -> Result<CartLine, DbErr> {
    Ok(CartLine {
        line: Line {
            id: row.id.into(),
            product: row.product_id.into(),
            session: row.session_id.map(Into::into),
            for_: for_from(&row.for_kind, learner)?,
            quantity: u32::try_from(row.quantity).map_err(corrupt)?,
        },
        key: row.line_key,
        learner: row.learner_person_id.map(Into::into),
        position: row.position,
        shown: serde_json::from_value(row.shown).map_err(corrupt)?,
        added_at: row.added_at,
    })
}
