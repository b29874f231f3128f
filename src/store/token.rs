//! Registration tokens: seats that were sold and the codes that open them. A code is looked up by its keyed hash and kept sealed.
//!
//! Always true here: a seat changes hands by a conditional update, so that of two callers at once one gets it.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::entitlement::{Source, SourceKind, Target, TargetKind};
use domain::terms::Terms;
use domain::token::TokenStatus;
use domain::{AccountId, CompanyId, OrderId, OrderLineId, PersonId, ProductId, SalesLineId, SalesOrderId, SessionId, TokenId};
use entity::token::{ActiveModel, Column, Entity, Model};
use entity::{company_member, order};
use sea_orm::sea_query::{LockType, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::catalog::{ROWS, all_known, uuids};
use super::page::{Key, Order, page};
use super::{CHUNK, corrupt, known, rows_in};
use crate::page::{Page, PageArgs};

/// Why a code is void whose seat got a fresh one.
pub const FRESH_CODE: &str = "a new code for its seat";

/// One code of a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Id.
    pub id: TokenId,
    /// The line that sold the seat, of an order or a sales order.
    pub source: Source,
    /// Number of the seat, from 1.
    pub seat: i32,
    /// Which code of the seat, from 1.
    pub issue: i32,
    /// The order behind it.
    pub order: Option<OrderId>,
    /// The sales order behind it.
    pub sales_order: Option<SalesOrderId>,
    /// The company whose managers see it, and whose member the redeemer becomes.
    pub company: Option<CompanyId>,
    /// The account that bought it.
    pub owner: Option<AccountId>,
    /// The product.
    pub product: ProductId,
    /// What it opens.
    pub target: Target,
    /// The dated session.
    pub session: Option<SessionId>,
    /// Terms of the access it gives.
    pub terms: Terms,
    /// Keyed hash of the code.
    pub code_hash: String,
    /// The code, sealed.
    pub code_sealed: String,
    /// Last characters of the code.
    pub code_hint: String,
    /// Status as stored; see `domain::token::status`.
    pub status: TokenStatus,
    /// Until when it can be redeemed.
    pub ends_at: Option<DateTime<Utc>>,
    /// The person row of whom it was handed to.
    pub assigned_to: Option<PersonId>,
    /// Keyed hash of that person's e-mail.
    pub assigned_hash: Option<String>,
    /// Who redeemed it.
    pub redeemed_by: Option<AccountId>,
    /// When.
    pub redeemed_at: Option<DateTime<Utc>>,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
}

/// Which tokens a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct TokenFilter {
    /// Of this company.
    pub company: Option<CompanyId>,
    /// Of this order.
    pub order: Option<OrderId>,
    /// Of this sales order.
    pub sales_order: Option<SalesOrderId>,
    /// Of this product.
    pub product: Option<ProductId>,
    /// Only what somebody may see.
    pub seen_by: Option<SeenBy>,
    /// With this status at the instant of asking.
    pub status: Option<TokenStatus>,
}

/// Somebody who sees tokens without being an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct SeenBy {
    /// The account that bought them.
    pub owner: Option<AccountId>,
    /// Companies that it manages.
    pub companies: Vec<CompanyId>,
}

fn record(row: Model) -> Result<Token, DbErr> {
    let kind = known(TargetKind::parse(&row.target_kind), "kind of target", &row.target_kind)?;
    Ok(Token {
        id: row.id.into(),
        source: Source { kind: known(SourceKind::parse(&row.source_kind), "source", &row.source_kind)?, id: row.source_id },
        seat: row.seat,
        issue: row.issue,
        order: row.order_id.map(Into::into),
        sales_order: row.sales_order_id.map(Into::into),
        company: row.company_id.map(Into::into),
        owner: row.owner_account_id.map(Into::into),
        product: row.product_id.into(),
        target: Target::new(kind, row.target_id),
        session: row.session_id.map(Into::into),
        terms: serde_json::from_value(row.terms).map_err(corrupt)?,
        code_hash: row.code_hash,
        code_sealed: row.code_sealed,
        code_hint: row.code_hint,
        status: known(TokenStatus::parse(&row.status), "status of a token", &row.status)?,
        ends_at: row.ends_at,
        assigned_to: row.assigned_person_id.map(Into::into),
        assigned_hash: row.assigned_hash,
        redeemed_by: row.redeemed_by.map(Into::into),
        redeemed_at: row.redeemed_at,
        created_at: row.created_at,
        touched_at: row.touched_at,
    })
}

fn row(record: &Token) -> Result<ActiveModel, DbErr> {
    Ok(ActiveModel {
        id: Set(record.id.uuid()),
        source_kind: Set(record.source.kind.name().to_owned()),
        source_id: Set(record.source.id),
        seat: Set(record.seat),
        issue: Set(record.issue),
        order_id: Set(record.order.map(OrderId::uuid)),
        sales_order_id: Set(record.sales_order.map(SalesOrderId::uuid)),
        company_id: Set(record.company.map(CompanyId::uuid)),
        owner_account_id: Set(record.owner.map(AccountId::uuid)),
        product_id: Set(record.product.uuid()),
        target_kind: Set(record.target.kind().name().to_owned()),
        target_id: Set(record.target.uuid()),
        session_id: Set(record.session.map(SessionId::uuid)),
        terms: Set(serde_json::to_value(record.terms).map_err(corrupt)?),
        code_hash: Set(record.code_hash.clone()),
        code_sealed: Set(record.code_sealed.clone()),
        code_hint: Set(record.code_hint.clone()),
        status: Set(record.status.name().to_owned()),
        void_reason: Set(None),
        ends_at: Set(record.ends_at),
        assigned_person_id: Set(record.assigned_to.map(PersonId::uuid)),
        assigned_hash: Set(record.assigned_hash.clone()),
        redeemed_by: Set(record.redeemed_by.map(AccountId::uuid)),
        redeemed_at: Set(record.redeemed_at),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
    })
}

/// Holds the order's row against whoever takes it for a refund, to the end of the transaction; several who redeem its seats at once do not
/// wait for each other. Taken before tokens and learners, as refunds do.
///
/// # Errors
/// The database's.
pub async fn hold_order(txn: &DatabaseTransaction, id: OrderId) -> Result<(), DbErr> {
    order::Entity::find_by_id(id.uuid())
        .select_only()
        .column(order::Column::Id)
        .lock(LockType::Share)
        .into_tuple::<Uuid>()
        .one(txn)
        .await?;
    Ok(())
}

/// Writes new tokens; seats that have this issue are left as they are.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, new: &[Token]) -> Result<u64, DbErr> {
    let mut written = 0;
    for chunk in new.chunks(ROWS) {
        let rows = chunk.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        let once = OnConflict::columns([Column::SourceKind, Column::SourceId, Column::Seat, Column::Issue]).do_nothing().to_owned();
        written += match Entity::insert_many(rows).on_conflict(once).exec_without_returning(txn).await {
            Ok(rows) => rows,
            Err(DbErr::RecordNotInserted) => 0,
            Err(other) => return Err(other),
        };
    }
    Ok(written)
}

/// The numbers of the seats of a line that have a code.
///
/// # Errors
/// The database's.
pub async fn seats_of_line(db: &impl ConnectionTrait, line: Source) -> Result<Vec<i32>, DbErr> {
    of_line(line, Entity::find().select_only().column(Column::Seat).distinct()).into_tuple().all(db).await
}

fn of_line<Q: QueryFilter>(line: Source, query: Q) -> Q {
    query.filter(Column::SourceKind.eq(line.kind.name())).filter(Column::SourceId.eq(line.id))
}

/// The tokens with these ids.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[TokenId]) -> Result<Vec<Token>, DbErr> {
    rows_in::<Entity>(db, Column::Id, &uuids(ids)).await?.into_iter().map(record).collect()
}

/// The token of a code, by the code's keyed hash.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_code(db: &impl ConnectionTrait, code_hash: &str) -> Result<Option<Token>, DbErr> {
    Entity::find().filter(Column::CodeHash.eq(code_hash)).one(db).await?.map(record).transpose()
}

/// The tokens of these orders that are not void, in order of line, seat and issue.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn not_void_of_orders(db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<Vec<Token>, DbErr> {
    let mut found = Vec::new();
    for chunk in uuids(orders).chunks(CHUNK) {
        let rows = Entity::find()
            .filter(Column::OrderId.is_in(chunk.iter().copied()))
            .filter(Column::Status.ne(TokenStatus::Void.name()))
            .order_by_asc(Column::SourceId)
            .order_by_asc(Column::Seat)
            .order_by_asc(Column::Issue)
            .all(db)
            .await?;
        found.extend(rows.into_iter().map(record).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// The ids of an order's tokens that are not void, by line.
///
/// # Errors
/// The database's.
pub async fn ids_not_void(db: &impl ConnectionTrait, order: OrderId) -> Result<HashMap<OrderLineId, Vec<TokenId>>, DbErr> {
    let rows: Vec<(Uuid, Uuid)> = Entity::find()
        .select_only()
        .column(Column::SourceId)
        .column(Column::Id)
        .filter(Column::OrderId.eq(order.uuid()))
        .filter(Column::Status.ne(TokenStatus::Void.name()))
        .order_by_asc(Column::Seat)
        .order_by_asc(Column::Issue)
        .into_tuple()
        .all(db)
        .await?;
    let mut found: HashMap<OrderLineId, Vec<TokenId>> = HashMap::new();
    for (line, token) in rows {
        found.entry(line.into()).or_default().push(token.into());
    }
    Ok(found)
}

fn unused() -> Condition {
    Condition::all().add(Column::Status.is_in([TokenStatus::Free, TokenStatus::Assigned].map(TokenStatus::name)))
}

/// The ids of the line's tokens that nobody redeemed and nobody voided, the newest seat first.
///
/// # Errors
/// The database's.
pub async fn unused_of_line(db: &impl ConnectionTrait, line: Source, most: Option<u64>) -> Result<Vec<TokenId>, DbErr> {
    let mut select = of_line(line, Entity::find().select_only().column(Column::Id).filter(unused()))
        .order_by_desc(Column::Seat)
        .order_by_desc(Column::Issue);
    if let Some(most) = most {
        select = select.limit(most);
    }
    Ok(select.into_tuple::<Uuid>().all(db).await?.into_iter().map(Into::into).collect())
}

/// The tokens of a line that somebody redeemed, in order of the seats.
///
/// # Errors
/// The database's.
pub async fn redeemed_of_line(db: &impl ConnectionTrait, line: OrderLineId) -> Result<Vec<TokenId>, DbErr> {
    let line = Source { kind: SourceKind::OrderLine, id: line.uuid() };
    let select = of_line(line, Entity::find().select_only().column(Column::Id).filter(Column::RedeemedBy.is_not_null()));
    Ok(select.order_by_asc(Column::Seat).into_tuple::<Uuid>().all(db).await?.into_iter().map(Into::into).collect())
}

/// The ids of the line's redeemed tokens that did not go back, the latest redeemed first.
///
/// # Errors
/// The database's.
pub async fn redeemed_not_returned(db: &impl ConnectionTrait, line: Source) -> Result<Vec<TokenId>, DbErr> {
    let select = of_line(line, Entity::find().select_only().column(Column::Id))
        .filter(Column::Status.eq(TokenStatus::Redeemed.name()))
        .filter(Column::VoidReason.is_null())
        .order_by_desc(Column::RedeemedAt)
        .order_by_desc(Column::Id);
    Ok(select.into_tuple::<Uuid>().all(db).await?.into_iter().map(Into::into).collect())
}

/// How many seats of these sales orders stand where, by line; codes that fresh ones took the place of are not counted.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn standing_of_sales_orders(
    db: &impl ConnectionTrait,
    orders: &[SalesOrderId],
    now: DateTime<Utc>,
) -> Result<HashMap<SalesLineId, BTreeMap<TokenStatus, u32>>, DbErr> {
    let mut found: HashMap<SalesLineId, BTreeMap<TokenStatus, u32>> = HashMap::new();
    for chunk in uuids(orders).chunks(CHUNK) {
        let rows: Vec<(Uuid, String, Option<DateTime<Utc>>, i64)> = Entity::find()
            .select_only()
            .column(Column::SourceId)
            .column(Column::Status)
            .column(Column::EndsAt)
            .expr_as(Column::Id.count(), "seats")
            .filter(Column::SalesOrderId.is_in(chunk.iter().copied()))
            .filter(Condition::any().add(Column::VoidReason.is_null()).add(Column::VoidReason.ne(FRESH_CODE)))
            .group_by(Column::SourceId)
            .group_by(Column::Status)
            .group_by(Column::EndsAt)
            .into_tuple()
            .all(db)
            .await?;
        for (line, stored, ends_at, seats) in rows {
            let status = domain::token::status(known(TokenStatus::parse(&stored), "status of a token", &stored)?, ends_at, now);
            let seats = u32::try_from(seats).map_err(corrupt)?;
            *found.entry(line.into()).or_default().entry(status).or_default() += seats;
        }
    }
    Ok(found)
}

/// Voids those of these tokens that nobody redeemed, and keeps why. Says how many that were.
///
/// # Errors
/// The database's.
pub async fn void(txn: &impl ConnectionTrait, ids: &[TokenId], reason: &str, now: DateTime<Utc>) -> Result<u64, DbErr> {
    let mut voided = 0;
    for chunk in uuids(ids).chunks(CHUNK) {
        let done = Entity::update_many()
            .set(ActiveModel {
                status: Set(TokenStatus::Void.name().to_owned()),
                void_reason: Set(Some(reason.to_owned())),
                touched_at: Set(now),
                ..Default::default()
            })
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .filter(unused())
            .exec(txn)
            .await?;
        voided += done.rows_affected;
    }
    Ok(voided)
}

/// Keeps of redeemed tokens that their price went back, so that it does once.
///
/// # Errors
/// The database's.
pub async fn went_back(txn: &impl ConnectionTrait, ids: &[TokenId], reason: &str, now: DateTime<Utc>) -> Result<(), DbErr> {
    for chunk in uuids(ids).chunks(CHUNK) {
        Entity::update_many()
            .set(ActiveModel { void_reason: Set(Some(reason.to_owned())), touched_at: Set(now), ..Default::default() })
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// What was voided of an order for this reason, by line.
///
/// # Errors
/// The database's.
pub async fn voided_of_order(
    db: &impl ConnectionTrait,
    order: OrderId,
    reason: &str,
) -> Result<BTreeMap<OrderLineId, Vec<TokenId>>, DbErr> {
    let rows: Vec<(Uuid, Uuid)> = Entity::find()
        .select_only()
        .column(Column::SourceId)
        .column(Column::Id)
        .filter(Column::OrderId.eq(order.uuid()))
        .filter(Column::VoidReason.eq(reason))
        .into_tuple()
        .all(db)
        .await?;
    let mut found: BTreeMap<OrderLineId, Vec<TokenId>> = BTreeMap::new();
    for (line, token) in rows {
        found.entry(line.into()).or_default().push(token.into());
    }
    Ok(found)
}

/// Frees tokens that were voided, with the codes they had. Whoever one was handed to has to be named again.
///
/// # Errors
/// The database's.
pub async fn unvoid(txn: &impl ConnectionTrait, ids: &[TokenId], now: DateTime<Utc>) -> Result<(), DbErr> {
    for chunk in uuids(ids).chunks(CHUNK) {
        Entity::update_many()
            .set(ActiveModel {
                status: Set(TokenStatus::Free.name().to_owned()),
                void_reason: Set(None),
                assigned_person_id: Set(None),
                assigned_hash: Set(None),
                touched_at: Set(now),
                ..Default::default()
            })
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// Redeems a token for an account, if nobody did and its time is not over; says whether it was.
///
/// # Errors
/// The database's.
pub async fn redeem(txn: &impl ConnectionTrait, id: TokenId, account: AccountId, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let done = Entity::update_many()
        .set(ActiveModel {
            status: Set(TokenStatus::Redeemed.name().to_owned()),
            redeemed_by: Set(Some(account.uuid())),
            redeemed_at: Set(Some(now)),
            touched_at: Set(now),
            ..Default::default()
        })
        .filter(Column::Id.eq(id.uuid()))
        .filter(unused())
        .filter(Condition::any().add(Column::EndsAt.is_null()).add(Column::EndsAt.gt(now)))
        .exec(txn)
        .await?;
    Ok(done.rows_affected == 1)
}

/// The condition that a token is one of these, whatever its status.
fn within(filter: &TokenFilter) -> Condition {
    let mut condition = Condition::all()
        .add_option(filter.company.map(|company| Column::CompanyId.eq(company.uuid())))
        .add_option(filter.order.map(|order| Column::OrderId.eq(order.uuid())))
        .add_option(filter.sales_order.map(|order| Column::SalesOrderId.eq(order.uuid())))
        .add_option(filter.product.map(|product| Column::ProductId.eq(product.uuid())));
    if let Some(seen_by) = &filter.seen_by {
        let managed = Column::CompanyId.is_in(seen_by.companies.iter().map(|company| company.uuid()));
        let bought = seen_by.owner.map(|owner| Column::OwnerAccountId.eq(owner.uuid()));
        condition = condition.add(Condition::any().add(managed).add_option(bought));
    }
    condition
}

/// A seat that nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSeat {
    /// Its token.
    pub token: TokenId,
    /// The order behind it.
    pub order: Option<OrderId>,
    /// The sales order behind it.
    pub sales_order: Option<SalesOrderId>,
    /// The product.
    pub product: ProductId,
}

/// Those of these tokens that nobody has and that can be redeemed at `now`, the oldest seat first.
///
/// # Errors
/// The database's.
pub async fn free_within(db: &impl ConnectionTrait, filter: &TokenFilter, now: DateTime<Utc>) -> Result<Vec<FreeSeat>, DbErr> {
    let rows: Vec<(Uuid, Option<Uuid>, Option<Uuid>, Uuid)> = Entity::find()
        .select_only()
        .column(Column::Id)
        .column(Column::OrderId)
        .column(Column::SalesOrderId)
        .column(Column::ProductId)
        .filter(within(filter))
        .filter(Column::Status.eq(TokenStatus::Free.name()))
        .filter(Condition::any().add(Column::EndsAt.is_null()).add(Column::EndsAt.gt(now)))
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::SourceId)
        .order_by_asc(Column::Seat)
        .into_tuple()
        .all(db)
        .await?;
    let seat = |(token, order, sales_order, product): (Uuid, Option<Uuid>, Option<Uuid>, Uuid)| FreeSeat {
        token: token.into(),
        order: order.map(Into::into),
        sales_order: sales_order.map(Into::into),
        product: product.into(),
    };
    Ok(rows.into_iter().map(seat).collect())
}

/// Whether there is any token among these, whatever its status.
///
/// # Errors
/// The database's.
pub async fn any_within(db: &impl ConnectionTrait, filter: &TokenFilter) -> Result<bool, DbErr> {
    let any = Entity::find().select_only().column(Column::Id).filter(within(filter)).limit(1);
    Ok(any.into_tuple::<Uuid>().one(db).await?.is_some())
}

/// Which of these keyed hashes of e-mails have an unused token among these.
///
/// # Errors
/// The database's.
pub async fn assigned_within(
    db: &impl ConnectionTrait,
    filter: &TokenFilter,
    hashes: &[String],
    now: DateTime<Utc>,
) -> Result<HashSet<String>, DbErr> {
    let mut found = HashSet::new();
    for chunk in hashes.chunks(CHUNK) {
        let rows: Vec<Option<String>> = Entity::find()
            .select_only()
            .column(Column::AssignedHash)
            .filter(within(filter))
            .filter(Column::AssignedHash.is_in(chunk))
            .filter(Column::Status.eq(TokenStatus::Assigned.name()))
            .filter(Condition::any().add(Column::EndsAt.is_null()).add(Column::EndsAt.gt(now)))
            .into_tuple()
            .all(db)
            .await?;
        found.extend(rows.into_iter().flatten());
    }
    Ok(found)
}

/// Takes the rows of these orders, in order of their ids: redeeming, refunding and handing out their seats comes one after the other.
///
/// # Errors
/// The database's.
pub async fn lock_orders(txn: &DatabaseTransaction, orders: &[OrderId]) -> Result<(), DbErr> {
    for chunk in uuids(orders).chunks(CHUNK) {
        let mut select = order::Entity::find()
            .select_only()
            .column(order::Column::Id)
            .filter(order::Column::Id.is_in(chunk.iter().copied()))
            .order_by_asc(order::Column::Id);
        QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
        select.into_tuple::<Uuid>().all(txn).await?;
    }
    Ok(())
}

/// Hands a free token to a learner; says whether it was free.
///
/// # Errors
/// The database's.
pub async fn assign(txn: &impl ConnectionTrait, id: TokenId, person: PersonId, hash: &str, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let done = Entity::update_many()
        .set(ActiveModel {
            status: Set(TokenStatus::Assigned.name().to_owned()),
            assigned_person_id: Set(Some(person.uuid())),
            assigned_hash: Set(Some(hash.to_owned())),
            touched_at: Set(now),
            ..Default::default()
        })
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::Status.eq(TokenStatus::Free.name()))
        .exec(txn)
        .await?;
    Ok(done.rows_affected == 1)
}

/// A page of tokens, the oldest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &TokenFilter,
    now: DateTime<Utc>,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Token>, DbErr> {
    let mut select = Entity::find().filter(within(filter));
    let over = Condition::all().add(Column::EndsAt.is_not_null()).add(Column::EndsAt.lte(now));
    match filter.status {
        None => {}
        Some(TokenStatus::Expired) => select = select.filter(unused()).filter(over),
        Some(status @ (TokenStatus::Free | TokenStatus::Assigned)) => {
            select = select.filter(Column::Status.eq(status.name())).filter(over.not());
        }
        Some(status @ (TokenStatus::Redeemed | TokenStatus::Void)) => select = select.filter(Column::Status.eq(status.name())),
    }
    let order = Order { column: Column::CreatedAt, id: Column::Id, descending: false };
    all_known(page(db, select, order, args, with_total).await?, record)
}

/// Makes somebody a learner of a company by a redeemed token; who is a member stays what they are.
///
/// # Errors
/// The database's.
pub async fn join_company(txn: &impl ConnectionTrait, company: CompanyId, account: AccountId, now: DateTime<Utc>) -> Result<(), DbErr> {
    let once = OnConflict::columns([company_member::Column::CompanyId, company_member::Column::AccountId]).do_nothing().to_owned();
    let joined = company_member::Entity::insert(company_member::ActiveModel {
        company_id: Set(company.uuid()),
        account_id: Set(account.uuid()),
        role: Set("LEARNER".to_owned()),
        via: Set("TOKEN".to_owned()),
        since: Set(now),
    })
    .on_conflict(once)
    .exec_without_returning(txn)
    .await;
    match joined {
        Ok(_) | Err(DbErr::RecordNotInserted) => Ok(()),
        Err(other) => Err(other),
    }
}
