//! Licensors, royalty plans, and the entries of what is owed. Sold lines and entries are only ever added; what a plan said before is kept.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::royalty::{Account, Change, EntryKind, Gone, Originator, Period, Plan, PlanRate, Rule, SaleChannel, SoldBy};
use domain::text;
use domain::{CompanyId, Currency, LibraryId, LicensorId, Money, ProductId, RoyaltyPlanId};
use entity::{library, licensor, royalty, royalty_book, royalty_entry, royalty_plan, royalty_plan_version};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait, JoinType, QueryFilter, QueryOrder, QuerySelect,
    RelationDef,
};
use serde::Serialize;
use uuid::Uuid;

use super::catalog::{ROWS, Sort, all_known, uuids};
use super::page::{Key, Order};
use super::{CHUNK, corrupt, known, rows_in, search};
use crate::page::{Page, PageArgs};

// ---- licensors ------------------------------------------------------------------------------------------------------------------

/// Who gets a share of sales.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Licensor {
    /// Id.
    pub id: LicensorId,
    /// Name; unique when folded.
    pub name: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

fn licensor_record(row: licensor::Model) -> Licensor {
    Licensor { id: row.id.into(), name: row.name, created_at: row.created_at }
}

/// Writes a new licensor. Its name is known to be free.
///
/// # Errors
/// The database's.
pub async fn insert_licensor(txn: &impl ConnectionTrait, new: &Licensor) -> Result<(), DbErr> {
    licensor::Entity::insert(licensor::ActiveModel {
        id: Set(new.id.uuid()),
        name: Set(new.name.clone()),
        name_folded: Set(text::fold(&new.name)),
        created_at: Set(new.created_at),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// Writes a licensor's new name.
///
/// # Errors
/// The database's.
pub async fn rename_licensor(txn: &impl ConnectionTrait, id: LicensorId, name: &str) -> Result<(), DbErr> {
    licensor::Entity::update(licensor::ActiveModel {
        id: Unchanged(id.uuid()),
        name: Set(name.to_owned()),
        name_folded: Set(text::fold(name)),
        ..Default::default()
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// The licensors with these ids.
///
/// # Errors
/// The database's.
pub async fn licensors(db: &impl ConnectionTrait, ids: &[LicensorId]) -> Result<Vec<Licensor>, DbErr> {
    let rows = rows_in::<licensor::Entity>(db, licensor::Column::Id, &uuids(ids)).await?;
    Ok(rows.into_iter().map(licensor_record).collect())
}

/// The licensor with this name, whatever its case.
///
/// # Errors
/// The database's.
pub async fn licensor_named(db: &impl ConnectionTrait, name: &str) -> Result<Option<LicensorId>, DbErr> {
    let found = licensor::Entity::find().filter(licensor::Column::NameFolded.eq(text::fold(name))).one(db).await?;
    Ok(found.map(|row| row.id.into()))
}

/// A page of licensors by name; each word of `words` is in the name.
///
/// # Errors
/// The database's.
pub async fn licensor_page(
    db: &impl ConnectionTrait,
    words: &[String],
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Licensor>, DbErr> {
    use licensor::{Column, Entity};
    let select = Entity::find().filter(search::contains_all(db.get_database_backend(), &[Column::NameFolded.into_expr()], words));
    let order = Sort::Title.order(Column::NameFolded, Column::CreatedAt, Column::CreatedAt, Column::Id);
    Ok(super::page::page(db, select, order, args, with_total).await?.map(licensor_record))
}

// ---- plans ----------------------------------------------------------------------------------------------------------------------

/// A named plan as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedPlan {
    /// Id.
    pub id: RoyaltyPlanId,
    /// Name; unique when folded.
    pub name: String,
    /// Who is owed.
    pub licensor: LicensorId,
    /// How much.
    pub plan: Plan,
    /// Since when it says this.
    pub recorded_at: DateTime<Utc>,
    /// Who said so.
    pub actor: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

fn plan_of(rates: serde_json::Value) -> Result<Plan, DbErr> {
    let rates: Vec<PlanRate> = serde_json::from_value(rates).map_err(corrupt)?;
    Plan::new(rates).map_err(corrupt)
}

/// Writes a new plan, without what it says. Its name is known to be free.
///
/// # Errors
/// The database's.
pub async fn insert_plan(txn: &impl ConnectionTrait, id: RoyaltyPlanId, name: &str, created_at: DateTime<Utc>) -> Result<(), DbErr> {
    royalty_plan::Entity::insert(royalty_plan::ActiveModel {
        id: Set(id.uuid()),
        name: Set(name.to_owned()),
        name_folded: Set(text::fold(name)),
        created_at: Set(created_at),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// Writes a plan's new name.
///
/// # Errors
/// The database's.
pub async fn rename_plan(txn: &impl ConnectionTrait, id: RoyaltyPlanId, name: &str) -> Result<(), DbErr> {
    royalty_plan::Entity::update(royalty_plan::ActiveModel {
        id: Unchanged(id.uuid()),
        name: Set(name.to_owned()),
        name_folded: Set(text::fold(name)),
        ..Default::default()
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// Makes this what a plan says from `now` on.
///
/// # Errors
/// The database's.
pub async fn set_plan(
    txn: &impl ConnectionTrait,
    row: Uuid,
    id: RoyaltyPlanId,
    licensor: LicensorId,
    plan: &Plan,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    use royalty_plan_version::{ActiveModel, Column, Entity};
    Entity::update_many()
        .col_expr(Column::ReplacedAt, Expr::value(now))
        .filter(Column::PlanId.eq(id.uuid()))
        .filter(Column::ReplacedAt.is_null())
        .exec(txn)
        .await?;
    Entity::insert(ActiveModel {
        id: Set(row),
        plan_id: Set(id.uuid()),
        licensor_id: Set(licensor.uuid()),
        rates: Set(serde_json::to_value(plan.rates()).map_err(corrupt)?),
        recorded_at: Set(now),
        replaced_at: Set(None),
        actor: Set(actor.to_owned()),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// The plans with these ids, as they are now.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn plans(db: &impl ConnectionTrait, ids: &[RoyaltyPlanId]) -> Result<Vec<NamedPlan>, DbErr> {
    let rows = rows_in::<royalty_plan::Entity>(db, royalty_plan::Column::Id, &uuids(ids)).await?;
    named(db, rows).await
}

/// What each of these libraries owes, as it is now; those that owe nothing are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn plans_of_libraries(
    db: &impl ConnectionTrait,
    libraries: &[LibraryId],
) -> Result<HashMap<LibraryId, (RoyaltyPlanId, LicensorId, Plan)>, DbErr> {
    use royalty_plan_version::Column;
    let version = library::Entity::belongs_to(royalty_plan_version::Entity).from(library::Column::RoyaltyPlanId).to(Column::PlanId);
    let version: RelationDef = version.into();
    let mut found = HashMap::new();
    for chunk in libraries.chunks(CHUNK) {
        let rows: Vec<(Uuid, Uuid, Uuid, serde_json::Value)> = library::Entity::find()
            .select_only()
            .column(library::Column::Id)
            .column(Column::PlanId)
            .column(Column::LicensorId)
            .column(Column::Rates)
            .join(JoinType::InnerJoin, version.clone())
            .filter(library::Column::Id.is_in(chunk.iter().map(|id| id.uuid())))
            .filter(Column::ReplacedAt.is_null())
            .into_tuple()
            .all(db)
            .await?;
        for (library, plan, licensor, rates) in rows {
            found.insert(library.into(), (plan.into(), licensor.into(), plan_of(rates)?));
        }
    }
    Ok(found)
}

/// The plan with this name, whatever its case.
///
/// # Errors
/// The database's.
pub async fn plan_named(db: &impl ConnectionTrait, name: &str) -> Result<Option<RoyaltyPlanId>, DbErr> {
    let found = royalty_plan::Entity::find().filter(royalty_plan::Column::NameFolded.eq(text::fold(name))).one(db).await?;
    Ok(found.map(|row| row.id.into()))
}

/// A page of plans by name; each word of `words` is in the name.
///
/// # Errors
/// The database's.
pub async fn plan_page(
    db: &impl ConnectionTrait,
    words: &[String],
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<NamedPlan>, DbErr> {
    use royalty_plan::{Column, Entity};
    let select = Entity::find().filter(search::contains_all(db.get_database_backend(), &[Column::NameFolded.into_expr()], words));
    let order = Sort::Title.order(Column::NameFolded, Column::CreatedAt, Column::CreatedAt, Column::Id);
    let Page { rows, has_next, has_previous, total } = super::page::page(db, select, order, args, with_total).await?;
    Ok(Page { rows: named(db, rows).await?, has_next, has_previous, total })
}

async fn named(db: &impl ConnectionTrait, rows: Vec<royalty_plan::Model>) -> Result<Vec<NamedPlan>, DbErr> {
    use royalty_plan_version::Column;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut versions = HashMap::new();
    for chunk in ids.chunks(CHUNK) {
        let current = royalty_plan_version::Entity::find()
            .filter(Column::PlanId.is_in(chunk.iter().copied()))
            .filter(Column::ReplacedAt.is_null())
            .all(db)
            .await?;
        versions.extend(current.into_iter().map(|version| (version.plan_id, version)));
    }
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let version = versions.remove(&row.id).ok_or_else(|| corrupt(format_args!("the royalty plan {} says nothing", row.id)))?;
        found.push(NamedPlan {
            id: row.id.into(),
            name: row.name,
            licensor: version.licensor_id.into(),
            recorded_at: version.recorded_at,
            actor: version.actor,
            plan: plan_of(version.rates)?,
            created_at: row.created_at,
        });
    }
    Ok(found)
}

// ---- what was sold --------------------------------------------------------------------------------------------------------------

/// A sold line that owes a royalty, as it was when it was sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sold {
    /// Row id.
    pub id: Uuid,
    /// What kind of line it is.
    pub by: SoldBy,
    /// The line.
    pub line: Uuid,
    /// Who is owed.
    pub licensor: LicensorId,
    /// The plan that said so.
    pub plan: RoyaltyPlanId,
    /// Who made the sale.
    pub originator: Originator,
    /// By which road.
    pub channel: SaleChannel,
    /// How it was computed.
    pub rule: Rule,
    /// The company concerned.
    pub company: Option<CompanyId>,
    /// Number of the order.
    pub reference: String,
    /// Product.
    pub product: ProductId,
    /// SKU then.
    pub sku: String,
    /// Title then.
    pub title: String,
    /// Product code then.
    pub product_code: Option<String>,
    /// Units.
    pub quantity: u32,
    /// The line after discounts, before tax.
    pub net: Money,
    /// The royalty that was recommended.
    pub recommended: Money,
}

fn currency(code: &str) -> Result<Currency, DbErr> {
    known(Currency::parse(code).ok(), "currency", code)
}

fn sold_record(row: royalty::Model) -> Result<Sold, DbErr> {
    Ok(Sold {
        id: row.id,
        by: known(SoldBy::parse(&row.source_kind), "kind of line", &row.source_kind)?,
        line: row.line_id,
        licensor: row.licensor_id.into(),
        plan: row.plan_id.into(),
        originator: known(Originator::parse(&row.originator), "originator", &row.originator)?,
        channel: known(SaleChannel::parse(&row.channel), "channel", &row.channel)?,
        rule: serde_json::from_value(row.rule).map_err(corrupt)?,
        company: row.company_id.map(Into::into),
        reference: row.reference,
        product: row.product_id.into(),
        sku: row.sku,
        title: row.title,
        product_code: row.product_code,
        quantity: u32::try_from(row.quantity).map_err(corrupt)?,
        net: Money::new(row.net_minor, currency(&row.net_currency)?),
        recommended: Money::new(row.recommended_minor, currency(&row.currency)?),
    })
}

fn sold_row(sold: &Sold) -> Result<royalty::ActiveModel, DbErr> {
    Ok(royalty::ActiveModel {
        id: Set(sold.id),
        source_kind: Set(sold.by.name().to_owned()),
        line_id: Set(sold.line),
        licensor_id: Set(sold.licensor.uuid()),
        plan_id: Set(sold.plan.uuid()),
        originator: Set(sold.originator.name().to_owned()),
        channel: Set(sold.channel.name().to_owned()),
        rule: Set(serde_json::to_value(sold.rule).map_err(corrupt)?),
        company_id: Set(sold.company.map(CompanyId::uuid)),
        reference: Set(sold.reference.clone()),
        product_id: Set(sold.product.uuid()),
        sku: Set(sold.sku.clone()),
        title: Set(sold.title.clone()),
        product_code: Set(sold.product_code.clone()),
        quantity: Set(i64::from(sold.quantity)),
        net_minor: Set(sold.net.minor),
        net_currency: Set(sold.net.currency.code().to_owned()),
        recommended_minor: Set(sold.recommended.minor),
        currency: Set(sold.recommended.currency.code().to_owned()),
    })
}

/// Writes sold lines. A line that stands there already breaks the unique index `royalty_source_kind_line_id_key`.
///
/// # Errors
/// The database's.
pub async fn insert_sold(txn: &DatabaseTransaction, sold: &[Sold]) -> Result<(), DbErr> {
    for chunk in sold.chunks(ROWS) {
        let rows = chunk.iter().map(sold_row).collect::<Result<Vec<_>, _>>()?;
        royalty::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// What was sold by these lines and owes a royalty.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn sold_by_lines(db: &impl ConnectionTrait, lines: &[Uuid]) -> Result<Vec<Sold>, DbErr> {
    rows_in::<royalty::Entity>(db, royalty::Column::LineId, lines).await?.into_iter().map(sold_record).collect()
}

/// What was sold under these row ids.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn sold(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<HashMap<Uuid, Sold>, DbErr> {
    let rows = rows_in::<royalty::Entity>(db, royalty::Column::Id, ids).await?;
    rows.into_iter().map(|row| Ok((row.id, sold_record(row)?))).collect()
}

/// The same by lines, held for the rest of the transaction: whoever writes a further entry of a line holds it, so that they follow each other.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lock_sold(txn: &DatabaseTransaction, by: SoldBy, lines: &[Uuid]) -> Result<Vec<Sold>, DbErr> {
    let mut found = Vec::new();
    for chunk in lines.chunks(CHUNK) {
        let rows = royalty::Entity::find()
            .filter(royalty::Column::SourceKind.eq(by.name()))
            .filter(royalty::Column::LineId.is_in(chunk.iter().copied()))
            // In one order, so that two who want several never wait for each other.
            .order_by_asc(royalty::Column::Id)
            .lock_exclusive()
            .all(txn)
            .await?;
        for row in rows {
            found.push(sold_record(row)?);
        }
    }
    Ok(found)
}

// ---- entries --------------------------------------------------------------------------------------------------------------------

/// What is owed more or less for a sold line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Row id.
    pub id: Uuid,
    /// The sold line.
    pub sold: Uuid,
    /// Place among the entries of the line, from 0.
    pub place: i32,
    /// Who is owed.
    pub licensor: LicensorId,
    /// The month that it stands in.
    pub period: Period,
    /// What it says.
    pub change: Change,
    /// Who made it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When it was made.
    pub recorded_at: DateTime<Utc>,
}

fn period(text: &str) -> Result<Period, DbErr> {
    Period::parse(text).map_err(corrupt)
}

fn entry_record(row: royalty_entry::Model) -> Result<Entry, DbErr> {
    let owed_in = currency(&row.currency)?;
    Ok(Entry {
        id: row.id,
        sold: row.royalty_id,
        place: row.place,
        licensor: row.licensor_id.into(),
        period: period(&row.period)?,
        change: Change {
            kind: known(EntryKind::parse(&row.kind), "kind of entry", &row.kind)?,
            applied: Money::new(row.applied_minor, owed_in),
            gone: Gone::of(row.gone_part, row.gone_whole).map_err(corrupt)?,
            amount: Money::new(row.amount_minor, owed_in),
            net: Money::new(row.net_minor, currency(&row.net_currency)?),
        },
        actor: row.actor,
        reason: row.reason,
        recorded_at: row.recorded_at,
    })
}

fn entry_row(entry: &Entry) -> royalty_entry::ActiveModel {
    royalty_entry::ActiveModel {
        id: Set(entry.id),
        royalty_id: Set(entry.sold),
        place: Set(entry.place),
        licensor_id: Set(entry.licensor.uuid()),
        period: Set(entry.period.to_string()),
        kind: Set(entry.change.kind.name().to_owned()),
        applied_minor: Set(entry.change.applied.minor),
        gone_part: Set(entry.change.gone.part()),
        gone_whole: Set(entry.change.gone.whole()),
        amount_minor: Set(entry.change.amount.minor),
        currency: Set(entry.change.amount.currency.code().to_owned()),
        net_minor: Set(entry.change.net.minor),
        net_currency: Set(entry.change.net.currency.code().to_owned()),
        actor: Set(entry.actor.clone()),
        reason: Set(entry.reason.clone()),
        recorded_at: Set(entry.recorded_at),
    }
}

/// Writes entries. The caller has the period from [`open_through`] in the same transaction.
///
/// # Errors
/// The database's.
pub async fn insert_entries(txn: &DatabaseTransaction, entries: &[Entry]) -> Result<(), DbErr> {
    for chunk in entries.chunks(ROWS) {
        royalty_entry::Entity::insert_many(chunk.iter().map(entry_row)).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// The entries of each of these sold lines, in their order.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn entries_of(db: &impl ConnectionTrait, sold: &[Uuid]) -> Result<HashMap<Uuid, Vec<Entry>>, DbErr> {
    use royalty_entry::{Column, Entity};
    let mut found: HashMap<Uuid, Vec<Entry>> = HashMap::new();
    for chunk in sold.chunks(CHUNK) {
        let rows = Entity::find().filter(Column::RoyaltyId.is_in(chunk.iter().copied())).order_by_asc(Column::Place).all(db).await?;
        for row in rows {
            let entry = entry_record(row)?;
            found.entry(entry.sold).or_default().push(entry);
        }
    }
    Ok(found)
}

/// What the entries of a line come to.
///
/// # Errors
/// There is none, or they do not add up.
pub fn account(sold: &Sold, entries: &[Entry]) -> Result<Account, DbErr> {
    let last = entries.last().ok_or_else(|| corrupt(format_args!("the royalty {} has no entry", sold.id)))?;
    let sum = |currency, amount: fn(&Entry) -> Money| Money::sum(currency, entries.iter().map(amount)).map_err(corrupt);
    Ok(Account {
        net: sold.net,
        applied: last.change.applied,
        gone: last.change.gone,
        owed: sum(sold.recommended.currency, |entry| entry.change.amount)?,
        net_left: sum(sold.net.currency, |entry| entry.change.net)?,
    })
}

/// Through which period the books are closed. Until the end of the transaction nobody closes another one, so that an entry never gets into a
/// period that was closed meanwhile.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn open_through(txn: &DatabaseTransaction) -> Result<Option<Period>, DbErr> {
    let row = royalty_book::Entity::find().lock_shared().one(txn).await?;
    closed(row)
}

/// The same for whoever closes: waits until every entry that is being written is there.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lock_book(txn: &DatabaseTransaction) -> Result<Option<Period>, DbErr> {
    let row = royalty_book::Entity::find().lock_exclusive().one(txn).await?;
    closed(row)
}

/// The same for readers.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn closed_through(db: &impl ConnectionTrait) -> Result<Option<Period>, DbErr> {
    closed(royalty_book::Entity::find().one(db).await?)
}

fn closed(row: Option<royalty_book::Model>) -> Result<Option<Period>, DbErr> {
    let row = row.ok_or_else(|| corrupt("the book of royalties is gone"))?;
    row.closed_through.as_deref().map(period).transpose()
}

/// Closes the books through `period`.
///
/// # Errors
/// The database's.
pub async fn close_through(txn: &DatabaseTransaction, period: Period) -> Result<(), DbErr> {
    royalty_book::Entity::update_many().col_expr(royalty_book::Column::ClosedThrough, Expr::value(period.to_string())).exec(txn).await?;
    Ok(())
}

/// A page of a licensor's entries of a period, in the order they were made.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn entry_page(
    db: &impl ConnectionTrait,
    licensor: LicensorId,
    period: Period,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Entry>, DbErr> {
    use royalty_entry::{Column, Entity};
    let select = Entity::find().filter(Column::LicensorId.eq(licensor.uuid())).filter(Column::Period.eq(period.to_string()));
    let order = Order { column: Column::RecordedAt, id: Column::Id, descending: false };
    all_known(super::page::page(db, select, order, args, with_total).await?, entry_record)
}

/// What a licensor's entries of a period come to: the nets by currency of the sales, and the royalties by the currency that they are owed in.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn totals(db: &impl ConnectionTrait, licensor: LicensorId, period: Period) -> Result<(Vec<Money>, Vec<Money>), DbErr> {
    use royalty_entry::Column;
    let sums = async |column: Column, by: Column| {
        let rows: Vec<(String, i64)> = royalty_entry::Entity::find()
            .select_only()
            .column(by)
            .column_as(column.into_expr().sum().cast_as("bigint"), "amount")
            .filter(Column::LicensorId.eq(licensor.uuid()))
            .filter(Column::Period.eq(period.to_string()))
            .group_by(by)
            .order_by_asc(by)
            .into_tuple()
            .all(db)
            .await?;
        rows.into_iter().map(|(code, minor)| Ok(Money::new(minor, currency(&code)?))).collect::<Result<Vec<_>, DbErr>>()
    };
    Ok((sums(Column::NetMinor, Column::NetCurrency).await?, sums(Column::AmountMinor, Column::Currency).await?))
}
