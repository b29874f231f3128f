//! Coupons as operators see them: making and changing rules, their history, codes and uses, and what they did in a period.
//!
//! Always true here: a code or prefix is taken by the unique index alone, whoever asks at the same time; what is counted of a coupon is counted
//! while its row is held against those who write uses of it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::coupon::{CouponKind, CouponStatus, Effect, Rules, UseState};
use domain::order::OrderStatus;
use domain::{CompanyId, CouponBatchId, CouponCodeId, CouponId, Currency, Money};
use entity::{coupon, coupon_code, coupon_use, coupon_version, order, order_line};
use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, LockType, OnConflict, Order as SortOrder, Query, SelectStatement, WindowStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::catalog::{ROWS, all_known, uuids};
use super::coupon::{Coupon, CouponCode, CouponUse, code_from, coupon_from, use_from};
use super::page::{Key, Order, page};
use super::{CHUNK, corrupt, known, rows_in, search};
use crate::page::{Page, PageArgs};

/// Whether a text is a code or a prefix of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// It can be typed.
    Code,
    /// The codes of batches begin with it.
    Prefix,
}

impl TextKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Code => "CODE",
            Self::Prefix => "PREFIX",
        }
    }
}

/// A code or prefix to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewText {
    /// Row id; ids grow in order of making.
    pub id: CouponCodeId,
    /// Its coupon.
    pub coupon: CouponId,
    /// Its batch.
    pub batch: Option<CouponBatchId>,
    /// Code or prefix.
    pub kind: TextKind,
    /// As it was given.
    pub text: String,
    /// The form that is unique.
    pub key: String,
}

/// A code or prefix that somebody chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenText {
    /// Code or prefix.
    pub kind: TextKind,
    /// As it was given.
    pub text: String,
}

/// What a coupon was from a change to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct CouponVersion {
    /// The version.
    pub version: i64,
    /// What it was called.
    pub name: String,
    /// What it gave and its limits.
    pub rules: Rules,
    /// Whether it was switched on.
    pub active: bool,
    /// Who made it so.
    pub actor: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

/// Which coupons a list holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponFilter {
    /// In this status now.
    pub status: Option<CouponStatus>,
    /// Of this kind only.
    pub kind: Option<CouponKind>,
    /// With a chosen code or prefix whose key holds this text, or with exactly this code.
    pub code: Option<String>,
    /// Limited to this company, alone or among others.
    pub company: Option<CompanyId>,
}

/// A code as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRow {
    /// The code.
    pub code: CouponCode,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Where the use of the order stands that holds or has used it.
    pub use_state: Option<UseState>,
    /// Number of that order.
    pub order_number: Option<String>,
}

/// A use as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct UseRow {
    /// The use.
    pub used: CouponUse,
    /// Number of its order.
    pub order_number: String,
    /// Where its order stands.
    pub order_status: OrderStatus,
}

/// A part of a report: what a coupon did in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportAmount {
    /// What it took off orders that were paid.
    pub discount: Money,
    /// What those of their lines came to that it took.
    pub revenue: Money,
}

/// What a coupon did in a period.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRow {
    /// The coupon.
    pub coupon: Coupon,
    /// Uses by orders that were paid.
    pub uses: i64,
    /// Uses by orders that wait for their payment.
    pub reserved: i64,
    /// By currency.
    pub amounts: Vec<ReportAmount>,
}

/// Of which uses a report tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportFilter {
    /// Placed then or later.
    pub from: Option<DateTime<Utc>>,
    /// Placed before then.
    pub until: Option<DateTime<Utc>>,
    /// Of this coupon only.
    pub coupon: Option<CouponId>,
}

// ---- writing --------------------------------------------------------------------------------------------------------------------

/// Writes a new coupon.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &DatabaseTransaction, new: &Coupon) -> Result<(), DbErr> {
    coupon::Entity::insert(coupon_row(new)?).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes what a coupon is now.
///
/// # Errors
/// The database's.
pub async fn update(txn: &DatabaseTransaction, changed: &Coupon) -> Result<(), DbErr> {
    let mut row = coupon_row(changed)?;
    row.id = Unchanged(changed.id.uuid());
    coupon::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

fn coupon_row(record: &Coupon) -> Result<coupon::ActiveModel, DbErr> {
    Ok(coupon::ActiveModel {
        id: Set(record.id.uuid()),
        name: Set(record.name.clone()),
        kind: Set(record.rules.effect.kind().name().to_owned()),
        rules: Set(serde_json::to_value(&record.rules).map_err(corrupt)?),
        version: Set(record.version),
        active: Set(record.active),
        total_uses: Set(record.rules.total_uses.map(i32::try_from).transpose().map_err(corrupt)?),
        used: Set(i64::try_from(record.used).map_err(corrupt)?),
        starts_at: Set(record.rules.window.starts_at),
        ends_at: Set(record.rules.window.ends_at),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
        archived_at: Set(record.archived_at),
        public_pack_of: Set(match record.rules.effect {
            Effect::Pack(pack) if record.rules.public => Some(pack.product.uuid()),
            _ => None,
        }),
    })
}

/// Keeps what a coupon is from now on.
///
/// # Errors
/// The database's.
pub async fn insert_version(txn: &DatabaseTransaction, now: &Coupon, actor: &str) -> Result<(), DbErr> {
    let row = coupon_version::ActiveModel {
        coupon_id: Set(now.id.uuid()),
        version: Set(now.version),
        name: Set(now.name.clone()),
        rules: Set(serde_json::to_value(&now.rules).map_err(corrupt)?),
        active: Set(now.active),
        actor: Set(actor.to_owned()),
        recorded_at: Set(now.touched_at),
    };
    coupon_version::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

/// The coupon, held to the end of the transaction: nobody writes a use of it or gives one back meanwhile, and those who were at it are done.
///
/// # Errors
/// The database's.
pub async fn lock(txn: &DatabaseTransaction, id: CouponId) -> Result<Option<Coupon>, DbErr> {
    let mut select = coupon::Entity::find_by_id(id.uuid());
    QueryTrait::query(&mut select).lock(LockType::Update);
    select.one(txn).await?.map(coupon_from).transpose()
}

/// Writes codes and prefixes, but for those that are taken; says how many were written. Whoever writes the same at the same time waits here.
///
/// # Errors
/// The database's.
pub async fn insert_texts(txn: &DatabaseTransaction, texts: &[NewText], now: DateTime<Utc>) -> Result<u64, DbErr> {
    let mut written = 0;
    // In one order for everybody: two who write the same texts wait for one another, and never each for the other.
    let mut ordered: Vec<&NewText> = texts.iter().collect();
    ordered.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    for chunk in ordered.chunks(ROWS) {
        let rows = chunk.iter().map(|new| coupon_code::ActiveModel {
            id: Set(new.id.uuid()),
            coupon_id: Set(new.coupon.uuid()),
            batch_id: Set(new.batch.map(CouponBatchId::uuid)),
            kind: Set(new.kind.name().to_owned()),
            code: Set(new.text.clone()),
            code_key: Set(new.key.clone()),
            used_by: Set(None),
            void_at: Set(None),
            created_at: Set(now),
        });
        let taken = OnConflict::column(coupon_code::Column::CodeKey).do_nothing().to_owned();
        match coupon_code::Entity::insert_many(rows).on_conflict(taken).exec_without_returning(txn).await {
            Ok(rows) => written += rows,
            Err(DbErr::RecordNotInserted) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(written)
}

/// Which codes and prefixes with these keys there are: the row's id and coupon, by key.
///
/// # Errors
/// The database's.
pub async fn owners(db: &impl ConnectionTrait, keys: &[String]) -> Result<HashMap<String, (CouponCodeId, CouponId)>, DbErr> {
    let mut found = HashMap::new();
    for chunk in keys.chunks(CHUNK) {
        let rows: Vec<(String, Uuid, Uuid)> = coupon_code::Entity::find()
            .select_only()
            .columns([coupon_code::Column::CodeKey, coupon_code::Column::Id, coupon_code::Column::CouponId])
            .filter(coupon_code::Column::CodeKey.is_in(chunk))
            .into_tuple()
            .all(db)
            .await?;
        found.extend(rows.into_iter().map(|(key, id, coupon)| (key, (id.into(), coupon.into()))));
    }
    Ok(found)
}

/// How many uses of a coupon count: reserved or spent.
///
/// # Errors
/// The database's.
pub async fn counting_uses(txn: &DatabaseTransaction, id: CouponId) -> Result<u64, DbErr> {
    coupon_use::Entity::find()
        .filter(coupon_use::Column::CouponId.eq(id.uuid()))
        .filter(coupon_use::Column::State.ne(UseState::Freed.name()))
        .count(txn)
        .await
}

/// Makes the uses of a coupon stand in its count for as long as they count, or none of them where it has no limit.
///
/// # Errors
/// The database's.
pub async fn recount(txn: &DatabaseTransaction, id: CouponId, limited: bool) -> Result<(), DbErr> {
    coupon_use::Entity::update_many()
        .col_expr(coupon_use::Column::Counted, Expr::value(limited))
        .filter(coupon_use::Column::CouponId.eq(id.uuid()))
        .filter(coupon_use::Column::Counted.ne(limited))
        .exec(txn)
        .await?;
    Ok(())
}

// ---- reading --------------------------------------------------------------------------------------------------------------------

/// The coupon that has the code or prefix with this key.
///
/// # Errors
/// The database's.
pub async fn by_key(db: &impl ConnectionTrait, key: &str) -> Result<Option<Coupon>, DbErr> {
    let owner = coupon::Column::Id.in_subquery(owning(coupon_code::Column::CodeKey.eq(key)));
    coupon::Entity::find().filter(owner).one(db).await?.map(coupon_from).transpose()
}

fn owning(which: Expr) -> SelectStatement {
    Query::select().column(coupon_code::Column::CouponId).from(coupon_code::Entity).and_where(which).take()
}

/// A page of coupons, the newest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn coupon_page(
    db: &impl ConnectionTrait,
    filter: &CouponFilter,
    now: DateTime<Utc>,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Coupon>, DbErr> {
    let backend = db.get_database_backend();
    let mut select = coupon::Entity::find();
    if let Some(status) = filter.status {
        select = select.filter(has_status(status, now));
    }
    if let Some(kind) = filter.kind {
        select = select.filter(coupon::Column::Kind.eq(kind.name()));
    }
    if let Some(code) = &filter.code {
        // Codes of batches are many, and nobody knows a part of one: they are found as a whole, by the index.
        let chosen = coupon_code::Column::BatchId.is_null().and(search::contains(backend, coupon_code::Column::CodeKey.into_expr(), code));
        let hits = Condition::any()
            .add(coupon::Column::Id.in_subquery(owning(chosen)))
            .add(coupon::Column::Id.in_subquery(owning(coupon_code::Column::CodeKey.eq(code.as_str()))));
        select = select.filter(hits);
    }
    if let Some(company) = filter.company {
        select = select.filter(limited_to(backend, company));
    }
    all_known(page(db, select, NEWEST, args, with_total).await?, coupon_from)
}

const NEWEST: Order<coupon::Column> = Order { column: coupon::Column::CreatedAt, id: coupon::Column::Id, descending: true };

/// The condition that a coupon names this company among its limits.
fn limited_to(backend: DbBackend, company: CompanyId) -> Expr {
    if backend == DbBackend::Sqlite {
        Expr::cust_with_values(
            r#"EXISTS (SELECT 1 FROM json_each("coupon"."rules", '$.limits.companies') AS "named" WHERE "named"."value" = ?)"#,
            [company.to_string()],
        )
    } else {
        let named = serde_json::json!({ "limits": { "companies": [company] } });
        Expr::cust_with_values(r#""coupon"."rules" @> $1"#, [named])
    }
}

/// The condition that a coupon as a whole has this status: what `StatusFacts::at` says, of columns.
fn has_status(status: CouponStatus, now: DateTime<Utc>) -> Condition {
    use coupon::Column::{Active, ArchivedAt, EndsAt, StartsAt, TotalUses, Used};
    let on = || Active.eq(true).and(ArchivedAt.is_null());
    let over = || EndsAt.is_not_null().and(EndsAt.lte(now));
    let early = || StartsAt.is_not_null().and(StartsAt.gt(now));
    let used_up = || TotalUses.is_not_null().and(Used.into_expr().gte(TotalUses.into_expr()));
    match status {
        // Codes can be void, coupons never are.
        CouponStatus::Void => Condition::all().add(Expr::val(1i32).eq(0i32)),
        CouponStatus::Inactive => Condition::all().add(on().not()),
        CouponStatus::Expired => Condition::all().add(on()).add(over()),
        CouponStatus::NotStarted => Condition::all().add(on()).add(over().not()).add(early()),
        CouponStatus::Exhausted => Condition::all().add(on()).add(over().not()).add(early().not()).add(used_up()),
        CouponStatus::Started => Condition::all().add(on()).add(over().not()).add(early().not()).add(used_up().not()),
    }
}

/// The codes and prefixes of these coupons that somebody chose, in order of making.
///
/// # Errors
/// The database's.
pub async fn chosen(db: &impl ConnectionTrait, coupons: &[CouponId]) -> Result<HashMap<CouponId, Vec<ChosenText>>, DbErr> {
    let mut found: HashMap<CouponId, Vec<ChosenText>> = HashMap::new();
    for chunk in coupons.chunks(CHUNK) {
        let rows = coupon_code::Entity::find()
            .filter(coupon_code::Column::CouponId.is_in(chunk.iter().map(|id| id.uuid())))
            .filter(coupon_code::Column::BatchId.is_null())
            .order_by_asc(coupon_code::Column::Id)
            .all(db)
            .await?;
        for row in rows {
            let kind = if row.kind == TextKind::Prefix.name() { TextKind::Prefix } else { TextKind::Code };
            found.entry(row.coupon_id.into()).or_default().push(ChosenText { kind, text: row.code });
        }
    }
    Ok(found)
}

/// Whose codes a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CodesOf {
    /// Of a batch.
    Batch(CouponBatchId),
    /// Of a coupon.
    Coupon(CouponId),
}

/// A page of codes in order of making, each with what became of it.
///
/// # Errors
/// The database's.
pub async fn code_page(db: &impl ConnectionTrait, of: CodesOf, args: &PageArgs<Uuid>, with_total: bool) -> Result<Page<CodeRow>, DbErr> {
    let mut select = coupon_code::Entity::find().filter(coupon_code::Column::Kind.eq(TextKind::Code.name()));
    select = match of {
        CodesOf::Batch(batch) => select.filter(coupon_code::Column::BatchId.eq(batch.uuid())),
        CodesOf::Coupon(coupon) => select.filter(coupon_code::Column::CouponId.eq(coupon.uuid())),
    };
    let total = if with_total { Some(i64::try_from(select.clone().count(db).await?).map_err(corrupt)?) } else { None };
    if let Some(after) = args.after {
        select = select.filter(coupon_code::Column::Id.gt(after));
    }
    let rows = select.order_by_asc(coupon_code::Column::Id).limit(u64::from(args.first) + 1).all(db).await?;
    let page = Page::cut(rows, args, total);
    let holders: Vec<Uuid> = page.rows.iter().filter_map(|row| row.used_by).collect();
    let orders: HashMap<Uuid, order::Model> =
        rows_in::<order::Entity>(db, order::Column::Id, &holders).await?.into_iter().map(|row| (row.id, row)).collect();
    all_known(page, |row| {
        let order = row.used_by.and_then(|order| orders.get(&order));
        let use_state = order.map(|order| status_of(order).map(UseState::of)).transpose()?;
        let order_number = order.map(|order| order.number.clone());
        Ok(CodeRow { created_at: row.created_at, code: code_from(row), use_state, order_number })
    })
}

fn status_of(order: &order::Model) -> Result<OrderStatus, DbErr> {
    known(OrderStatus::parse(&order.status), "order status", &order.status)
}

/// A page of the uses of a coupon, the latest first, each with its order.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn use_page(
    db: &impl ConnectionTrait,
    coupon: CouponId,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<UseRow>, DbErr> {
    let select = coupon_use::Entity::find().filter(coupon_use::Column::CouponId.eq(coupon.uuid()));
    let latest = Order { column: coupon_use::Column::CreatedAt, id: coupon_use::Column::Id, descending: true };
    let page = page(db, select, latest, args, with_total).await?;
    let orders = orders_of(db, &page.rows).await?;
    all_known(page, |row| use_row(&orders, row))
}

async fn orders_of(db: &impl ConnectionTrait, uses: &[coupon_use::Model]) -> Result<HashMap<Uuid, order::Model>, DbErr> {
    let ids: Vec<Uuid> = uses.iter().map(|row| row.order_id).collect();
    Ok(rows_in::<order::Entity>(db, order::Column::Id, &ids).await?.into_iter().map(|row| (row.id, row)).collect())
}

fn use_row(orders: &HashMap<Uuid, order::Model>, row: coupon_use::Model) -> Result<UseRow, DbErr> {
    let order = orders.get(&row.order_id).ok_or_else(|| corrupt(format_args!("a use of no order: {}", row.id)))?;
    Ok(UseRow { order_number: order.number.clone(), order_status: status_of(order)?, used: use_from(row)? })
}

/// The first page of the uses of each of these coupons, the latest first, whatever their number in so many statements.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn first_uses(
    db: &impl ConnectionTrait,
    coupons: &[CouponId],
    first: u32,
    with_total: bool,
) -> Result<HashMap<CouponId, Page<UseRow>>, DbErr> {
    use coupon_use::Column;
    let args = PageArgs { first, after: None };
    if let [coupon] = coupons {
        return Ok(HashMap::from([(*coupon, use_page(db, *coupon, &args, with_total).await?)]));
    }
    let latest = WindowStatement::partition_by(Column::CouponId)
        .order_by(Column::CreatedAt, SortOrder::Desc)
        .order_by(Column::Id, SortOrder::Desc)
        .take();
    let placed = Query::select()
        .column(Column::Id)
        .expr_window_as(Func::cust("ROW_NUMBER"), latest, "place")
        .from(coupon_use::Entity)
        .and_where(Column::CouponId.is_in(uuids(coupons)))
        .take();
    let rows = coupon_use::Entity::find()
        .filter(Column::Id.in_subquery(nearest(placed, first)))
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Id)
        .all(db)
        .await?;
    let orders = orders_of(db, &rows).await?;
    let totals = if with_total {
        let counted = coupon_use::Entity::find().select_only().column(Column::CouponId).column_as(Column::Id.count(), "uses");
        counted.filter(Column::CouponId.is_in(uuids(coupons))).group_by(Column::CouponId).into_tuple().all(db).await?
    } else {
        Vec::new()
    };
    let pages = by_coupon(coupons, rows, |row| row.coupon_id, &args, with_total.then_some(&totals));
    pages.into_iter().map(|(coupon, page)| Ok((coupon, all_known(page, |row| use_row(&orders, row))?))).collect()
}

/// The ids of the rows that stand at most one behind the first so many of their coupon.
fn nearest(placed: SelectStatement, first: u32) -> SelectStatement {
    Query::select().column("id").from_subquery(placed, "placed").and_where(Expr::col("place").lte(i64::from(first) + 1)).take()
}

/// Rows of several coupons as a page for each.
fn by_coupon<R>(
    coupons: &[CouponId],
    rows: Vec<R>,
    coupon_of: impl Fn(&R) -> Uuid,
    args: &PageArgs<(Key, Uuid)>,
    totals: Option<&Vec<(Uuid, i64)>>,
) -> HashMap<CouponId, Page<R>> {
    let mut of: HashMap<Uuid, Vec<R>> = HashMap::new();
    for row in rows {
        of.entry(coupon_of(&row)).or_default().push(row);
    }
    let total = |id: Uuid| totals.map(|totals| totals.iter().find(|(of, _)| *of == id).map_or(0, |(_, total)| *total));
    coupons.iter().map(|id| (*id, Page::cut(of.remove(&id.uuid()).unwrap_or_default(), args, total(id.uuid())))).collect()
}

/// A page of the versions of a coupon, the latest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn version_page(
    db: &impl ConnectionTrait,
    coupon: CouponId,
    args: &PageArgs<i64>,
    with_total: bool,
) -> Result<Page<CouponVersion>, DbErr> {
    let mut select = coupon_version::Entity::find().filter(coupon_version::Column::CouponId.eq(coupon.uuid()));
    let total = if with_total { Some(i64::try_from(select.clone().count(db).await?).map_err(corrupt)?) } else { None };
    if let Some(after) = args.after {
        select = select.filter(coupon_version::Column::Version.lt(after));
    }
    let rows = select.order_by_desc(coupon_version::Column::Version).limit(u64::from(args.first) + 1).all(db).await?;
    all_known(Page::cut(rows, args, total), version_from)
}

fn version_from(row: coupon_version::Model) -> Result<CouponVersion, DbErr> {
    Ok(CouponVersion {
        version: row.version,
        name: row.name,
        rules: serde_json::from_value(row.rules).map_err(corrupt)?,
        active: row.active,
        actor: row.actor,
        recorded_at: row.recorded_at,
    })
}

/// The first page of the versions of each of these coupons, the latest first. Versions are numbered without gaps, so the first so many of each are
/// known by the coupon's own number.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn first_versions(
    db: &impl ConnectionTrait,
    coupons: &[CouponId],
    first: u32,
    with_total: bool,
) -> Result<HashMap<CouponId, Page<CouponVersion>>, DbErr> {
    let own = Expr::col((coupon::Entity, coupon::Column::Version)).sub(i64::from(first));
    let mut select = coupon_version::Entity::find();
    QueryTrait::query(&mut select).inner_join(
        coupon::Entity,
        Expr::col((coupon::Entity, coupon::Column::Id)).equals((coupon_version::Entity, coupon_version::Column::CouponId)),
    );
    let rows = select
        .filter(coupon_version::Column::CouponId.is_in(uuids(coupons)))
        .filter(Expr::col((coupon_version::Entity, coupon_version::Column::Version)).gte(own))
        .order_by_desc(coupon_version::Column::Version)
        .all(db)
        .await?;
    // The latest version counts those before it.
    let totals: Vec<(Uuid, i64)> = rows.iter().rev().map(|row| (row.coupon_id, row.version)).collect();
    let latest = totals.into_iter().collect::<HashMap<_, _>>().into_iter().collect();
    let pages = by_coupon(coupons, rows, |row| row.coupon_id, &PageArgs { first, after: None }, with_total.then_some(&latest));
    pages.into_iter().map(|(coupon, page)| Ok((coupon, all_known(page, version_from)?))).collect()
}

/// A page of coupons with what each did in a period, the newest coupon first: three statements, one more where all are counted.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn report_page(
    db: &impl ConnectionTrait,
    filter: &ReportFilter,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<ReportRow>, DbErr> {
    let mut select = coupon::Entity::find();
    if let Some(coupon) = filter.coupon {
        select = select.filter(coupon::Column::Id.eq(coupon.uuid()));
    }
    let page = all_known(page(db, select, NEWEST, args, with_total).await?, coupon_from)?;
    let ids = uuids(&page.rows.iter().map(|coupon| coupon.id).collect::<Vec<_>>());
    let within = || {
        Condition::all()
            .add(coupon_use::Column::CouponId.is_in(ids.iter().copied()))
            .add_option(filter.from.map(|from| coupon_use::Column::CreatedAt.gte(from)))
            .add_option(filter.until.map(|until| coupon_use::Column::CreatedAt.lt(until)))
    };
    // PostgreSQL adds whole numbers up to a NUMERIC, which is read back as a whole number here.
    let sum = |column: Expr| column.sum().cast_as("bigint");
    let uses: Vec<(Uuid, String, String, i64, i64)> = coupon_use::Entity::find()
        .select_only()
        .columns([coupon_use::Column::CouponId, coupon_use::Column::State, coupon_use::Column::Currency])
        .column_as(coupon_use::Column::Id.count(), "uses")
        .column_as(sum(coupon_use::Column::Discount.into_expr()), "discount")
        .filter(within())
        .filter(coupon_use::Column::State.ne(UseState::Freed.name()))
        .group_by(coupon_use::Column::CouponId)
        .group_by(coupon_use::Column::State)
        .group_by(coupon_use::Column::Currency)
        .into_tuple()
        .all(db)
        .await?;
    let mut revenue = coupon_use::Entity::find()
        .select_only()
        .columns([coupon_use::Column::CouponId, coupon_use::Column::Currency])
        .column_as(sum(order_line::Column::TotalMinor.into_expr()), "revenue")
        .filter(within())
        .filter(coupon_use::Column::State.eq(UseState::Spent.name()))
        .group_by(coupon_use::Column::CouponId)
        .group_by(coupon_use::Column::Currency);
    let of_use = Condition::all()
        .add(order_line::Column::OrderId.into_expr().equals((coupon_use::Entity, coupon_use::Column::OrderId)))
        .add(order_line::Column::CouponCode.into_expr().equals((coupon_use::Entity, coupon_use::Column::Code)));
    QueryTrait::query(&mut revenue).inner_join(order_line::Entity, of_use);
    let revenue: Vec<(Uuid, String, i64)> = revenue.into_tuple().all(db).await?;
    let revenue: HashMap<(Uuid, &str), i64> = revenue.iter().map(|(id, currency, minor)| ((*id, currency.as_str()), *minor)).collect();
    all_known(page, |coupon| {
        let id = coupon.id.uuid();
        let mut row = ReportRow { coupon, uses: 0, reserved: 0, amounts: Vec::new() };
        for (_, state, code, count, discount) in uses.iter().filter(|(of, ..)| *of == id) {
            match known(UseState::parse(state), "state of a use", state)? {
                UseState::Reserved => row.reserved += count,
                UseState::Spent => {
                    let currency = Currency::parse(code).map_err(corrupt)?;
                    let revenue = revenue.get(&(id, code.as_str())).copied().unwrap_or(0);
                    row.uses += count;
                    row.amounts.push(ReportAmount { discount: Money::new(*discount, currency), revenue: Money::new(revenue, currency) });
                }
                UseState::Freed => {}
            }
        }
        row.amounts.sort_by_key(|amount| amount.discount.currency);
        Ok(row)
    })
}
