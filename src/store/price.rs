//! Prices, exchange rates and discount schedules. A row is never changed but for the instant from which another one holds instead, so that
//! every earlier price can be found again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::catalog::{AppliesTo, PriceRow, Schedule, ScheduleMode, Tier};
use domain::pricing::{ExchangeRate, RateTable};
use domain::text;
use domain::window::Window;
use domain::{Currency, DiscountScheduleId, GroupId, Money, ProductId, Rate};
use entity::{discount_schedule, discount_schedule_version, exchange_rate, product, product_price};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use serde::Serialize;
use uuid::Uuid;

use super::catalog::{ROWS, Sort, uuids};
use super::page::{Key, Order};
use super::{CHUNK, known, rows_in, search};
use crate::page::{Page, PageArgs};

/// A price row of a product, from one instant to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Row id.
    pub id: Uuid,
    /// The product.
    pub product: ProductId,
    /// Amount, group and window.
    pub row: PriceRow,
    /// From when the row held.
    pub recorded_at: DateTime<Utc>,
    /// Until when it held; `None` = still.
    pub replaced_at: Option<DateTime<Utc>>,
    /// Who set it.
    pub actor: String,
    /// Who replaced it.
    pub replaced_by: Option<String>,
}

fn price_record(row: product_price::Model) -> Result<Price, DbErr> {
    let currency = known(Currency::parse(&row.currency).ok(), "currency", &row.currency)?;
    Ok(Price {
        id: row.id,
        product: row.product_id.into(),
        row: PriceRow {
            amount: Money::new(row.amount_minor, currency),
            group: row.group_id.map(Into::into),
            window: Window { starts_at: row.starts_at, ends_at: row.ends_at },
        },
        recorded_at: row.recorded_at,
        replaced_at: row.replaced_at,
        actor: row.actor,
        replaced_by: row.replaced_by,
    })
}

/// Writes new price rows.
///
/// # Errors
/// The database's.
pub async fn insert_prices(txn: &impl ConnectionTrait, prices: &[Price]) -> Result<(), DbErr> {
    for chunk in prices.chunks(ROWS) {
        let rows = chunk.iter().map(|price| product_price::ActiveModel {
            id: Set(price.id),
            product_id: Set(price.product.uuid()),
            currency: Set(price.row.amount.currency.code().to_owned()),
            amount_minor: Set(price.row.amount.minor),
            group_id: Set(price.row.group.map(GroupId::uuid)),
            starts_at: Set(price.row.window.starts_at),
            ends_at: Set(price.row.window.ends_at),
            recorded_at: Set(price.recorded_at),
            replaced_at: Set(price.replaced_at),
            actor: Set(price.actor.clone()),
            replaced_by: Set(price.replaced_by.clone()),
        });
        product_price::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Says of these price rows that they hold until `now` only.
///
/// # Errors
/// The database's.
pub async fn replace_prices(txn: &impl ConnectionTrait, rows: &[Uuid], actor: &str, now: DateTime<Utc>) -> Result<(), DbErr> {
    for chunk in rows.chunks(CHUNK) {
        product_price::Entity::update_many()
            .col_expr(product_price::Column::ReplacedAt, Expr::value(now))
            .col_expr(product_price::Column::ReplacedBy, Expr::value(actor))
            .filter(product_price::Column::Id.is_in(chunk.iter().copied()))
            .filter(product_price::Column::ReplacedAt.is_null())
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// The price rows that each of these products has: now, or as they were at an instant (whatever their windows). In the order of being set.
///
/// # Errors
/// The database's.
pub async fn prices_of(
    db: &impl ConnectionTrait,
    products: &[ProductId],
    as_of: Option<DateTime<Utc>>,
) -> Result<HashMap<ProductId, Vec<Price>>, DbErr> {
    use product_price::Column;
    let mut found: HashMap<ProductId, Vec<Price>> = HashMap::new();
    for chunk in products.chunks(CHUNK) {
        let rows = product_price::Entity::find()
            .filter(Column::ProductId.is_in(chunk.iter().map(|id| id.uuid())))
            .filter(held(Column::RecordedAt, Column::ReplacedAt, as_of))
            .order_by_asc(Column::RecordedAt)
            .order_by_asc(Column::Id)
            .all(db)
            .await?;
        for row in rows {
            let price = price_record(row)?;
            found.entry(price.product).or_default().push(price);
        }
    }
    Ok(found)
}

/// Whether a product has or had a price.
///
/// # Errors
/// The database's.
pub async fn was_priced(db: &impl ConnectionTrait, id: ProductId) -> Result<bool, DbErr> {
    let any = product_price::Entity::find().select_only().column(product_price::Column::Id);
    Ok(any.filter(product_price::Column::ProductId.eq(id.uuid())).limit(1).into_tuple::<Uuid>().one(db).await?.is_some())
}

/// The condition that a versioned row is the current one, or was at an instant.
pub(super) fn held(recorded_at: impl ColumnTrait, replaced_at: impl ColumnTrait, as_of: Option<DateTime<Utc>>) -> Condition {
    match as_of {
        None => Condition::all().add(replaced_at.is_null()),
        Some(at) => Condition::all().add(recorded_at.lte(at)).add(Condition::any().add(replaced_at.is_null()).add(replaced_at.gt(at))),
    }
}

/// Every price row that a product has or had, the latest first.
///
/// # Errors
/// The database's.
pub async fn price_page(
    db: &impl ConnectionTrait,
    product: ProductId,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Price>, DbErr> {
    use product_price::Column;
    let select = product_price::Entity::find().filter(Column::ProductId.eq(product.uuid()));
    let order = Order { column: Column::RecordedAt, id: Column::Id, descending: true };
    super::catalog::all_known(super::page::page(db, select, order, args, with_total).await?, price_record)
}

// ---- exchange rates -------------------------------------------------------------------------------------------------------------

/// An exchange rate that somebody set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetRate {
    /// Row id.
    pub id: Uuid,
    /// The rate and from when it is used.
    pub rate: ExchangeRate,
    /// When it was set.
    pub recorded_at: DateTime<Utc>,
    /// Until when it counted; `None` = still.
    pub replaced_at: Option<DateTime<Utc>>,
    /// Who set it.
    pub actor: String,
}

fn rate_record(row: exchange_rate::Model) -> Result<SetRate, DbErr> {
    Ok(SetRate {
        id: row.id,
        rate: ExchangeRate {
            base: known(Currency::parse(&row.base).ok(), "currency", &row.base)?,
            quote: known(Currency::parse(&row.quote).ok(), "currency", &row.quote)?,
            rate: known(Rate::parse(&row.rate).ok(), "rate", &row.rate)?,
            valid_from: row.valid_from,
        },
        recorded_at: row.recorded_at,
        replaced_at: row.replaced_at,
        actor: row.actor,
    })
}

/// Writes a new rate.
///
/// # Errors
/// The database's.
pub async fn insert_rate(txn: &impl ConnectionTrait, set: &SetRate) -> Result<(), DbErr> {
    exchange_rate::Entity::insert(exchange_rate::ActiveModel {
        id: Set(set.id),
        base: Set(set.rate.base.code().to_owned()),
        quote: Set(set.rate.quote.code().to_owned()),
        rate: Set(set.rate.rate.to_string()),
        valid_from: Set(set.rate.valid_from),
        recorded_at: Set(set.recorded_at),
        replaced_at: Set(set.replaced_at),
        actor: Set(set.actor.clone()),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// Says of a rate that it counts until `now` only.
///
/// # Errors
/// The database's.
pub async fn replace_rate(txn: &impl ConnectionTrait, row: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
    exchange_rate::Entity::update_many()
        .col_expr(exchange_rate::Column::ReplacedAt, Expr::value(now))
        .filter(exchange_rate::Column::Id.eq(row))
        .exec(txn)
        .await?;
    Ok(())
}

/// The current rate of a pair of currencies with exactly this start.
///
/// # Errors
/// The database's.
pub async fn rate_from(
    db: &impl ConnectionTrait,
    base: Currency,
    quote: Currency,
    valid_from: DateTime<Utc>,
) -> Result<Option<SetRate>, DbErr> {
    use exchange_rate::Column;
    exchange_rate::Entity::find()
        .filter(Column::Base.eq(base.code()))
        .filter(Column::Quote.eq(quote.code()))
        .filter(Column::ValidFrom.eq(valid_from))
        .filter(Column::ReplacedAt.is_null())
        .one(db)
        .await?
        .map(rate_record)
        .transpose()
}

/// The rates that pricing at `at` needs to bring prices in any currency to `quote`: for each pair the one that is valid then. With `as_of`, as
/// the table stood at that instant.
///
/// # Errors
/// The database's.
pub async fn rate_table(
    db: &impl ConnectionTrait,
    quote: Currency,
    at: DateTime<Utc>,
    as_of: Option<DateTime<Utc>>,
) -> Result<RateTable, DbErr> {
    use exchange_rate::Column;
    let rows = exchange_rate::Entity::find()
        .filter(Column::Quote.eq(quote.code()))
        .filter(Column::ValidFrom.lte(at))
        .filter(held(Column::RecordedAt, Column::ReplacedAt, as_of))
        .order_by_desc(Column::ValidFrom)
        .all(db)
        .await?;
    let mut latest: HashMap<Currency, ExchangeRate> = HashMap::new();
    for row in rows {
        let rate = rate_record(row)?.rate;
        latest.entry(rate.base).or_insert(rate);
    }
    RateTable::new(latest.into_values().collect()).map_err(|error| DbErr::Custom(error.to_string()))
}

/// Which rates a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RateFilter {
    /// From this currency.
    pub base: Option<Currency>,
    /// To this currency.
    pub quote: Option<Currency>,
    /// Those that were replaced too.
    pub replaced: bool,
}

/// Rates, the one with the latest start first.
///
/// # Errors
/// The database's.
pub async fn rate_page(
    db: &impl ConnectionTrait,
    filter: &RateFilter,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<SetRate>, DbErr> {
    use exchange_rate::Column;
    let mut select = exchange_rate::Entity::find();
    if let Some(base) = filter.base {
        select = select.filter(Column::Base.eq(base.code()));
    }
    if let Some(quote) = filter.quote {
        select = select.filter(Column::Quote.eq(quote.code()));
    }
    if !filter.replaced {
        select = select.filter(Column::ReplacedAt.is_null());
    }
    let order = Order { column: Column::ValidFrom, id: Column::Id, descending: true };
    super::catalog::all_known(super::page::page(db, select, order, args, with_total).await?, rate_record)
}

// ---- discount schedules ---------------------------------------------------------------------------------------------------------

/// A named discount schedule as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedSchedule {
    /// Id.
    pub id: DiscountScheduleId,
    /// Name; unique when folded.
    pub name: String,
    /// Mode, sales and tiers.
    pub schedule: Schedule,
    /// Since when it says this.
    pub recorded_at: DateTime<Utc>,
    /// Who said so.
    pub actor: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

fn schedule_of(version: &discount_schedule_version::Model) -> Result<Schedule, DbErr> {
    let mode = known(ScheduleMode::parse(&version.mode), "mode of a schedule", &version.mode)?;
    let applies_to = known(AppliesTo::parse(&version.applies_to), "scope of a schedule", &version.applies_to)?;
    let tiers: Vec<Tier> = serde_json::from_value(version.tiers.clone()).map_err(|error| DbErr::Json(error.to_string()))?;
    Schedule::new(mode, applies_to, tiers).map_err(|error| DbErr::Custom(error.to_string()))
}

/// Writes a new schedule, without what it says. Its name is known to be free.
///
/// # Errors
/// The database's.
pub async fn insert_schedule(
    txn: &impl ConnectionTrait,
    id: DiscountScheduleId,
    name: &str,
    created_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    discount_schedule::Entity::insert(discount_schedule::ActiveModel {
        id: Set(id.uuid()),
        name: Set(name.to_owned()),
        name_folded: Set(text::fold(name)),
        created_at: Set(created_at),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// Writes a schedule's new name.
///
/// # Errors
/// The database's.
pub async fn rename_schedule(txn: &impl ConnectionTrait, id: DiscountScheduleId, name: &str) -> Result<(), DbErr> {
    discount_schedule::Entity::update(discount_schedule::ActiveModel {
        id: Unchanged(id.uuid()),
        name: Set(name.to_owned()),
        name_folded: Set(text::fold(name)),
        ..Default::default()
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// Makes `schedule` what a schedule says from `now` on.
///
/// # Errors
/// The database's.
pub async fn set_schedule(
    txn: &impl ConnectionTrait,
    row: Uuid,
    id: DiscountScheduleId,
    schedule: &Schedule,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    use discount_schedule_version::{ActiveModel, Column, Entity};
    Entity::update_many()
        .col_expr(Column::ReplacedAt, Expr::value(now))
        .filter(Column::ScheduleId.eq(id.uuid()))
        .filter(Column::ReplacedAt.is_null())
        .exec(txn)
        .await?;
    Entity::insert(ActiveModel {
        id: Set(row),
        schedule_id: Set(id.uuid()),
        mode: Set(schedule.mode().name().to_owned()),
        applies_to: Set(schedule.applies_to().name().to_owned()),
        tiers: Set(serde_json::to_value(schedule.tiers()).map_err(|error| DbErr::Json(error.to_string()))?),
        recorded_at: Set(now),
        replaced_at: Set(None),
        actor: Set(actor.to_owned()),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// What these schedules say: now, or at an instant.
///
/// # Errors
/// The database's.
pub async fn schedules_at(
    db: &impl ConnectionTrait,
    ids: &[DiscountScheduleId],
    as_of: Option<DateTime<Utc>>,
) -> Result<HashMap<DiscountScheduleId, Schedule>, DbErr> {
    use discount_schedule_version::{Column, Entity};
    let mut found = HashMap::new();
    for chunk in ids.chunks(CHUNK) {
        let rows = Entity::find()
            .filter(Column::ScheduleId.is_in(chunk.iter().map(|id| id.uuid())))
            .filter(held(Column::RecordedAt, Column::ReplacedAt, as_of))
            .order_by_asc(Column::RecordedAt)
            .order_by_asc(Column::Id)
            .all(db)
            .await?;
        for row in rows {
            // Versions of one instant follow each other without holding; the last one counts.
            found.insert(row.schedule_id.into(), schedule_of(&row)?);
        }
    }
    Ok(found)
}

/// The schedules with these ids, as they are now.
///
/// # Errors
/// The database's.
pub async fn schedules(db: &impl ConnectionTrait, ids: &[DiscountScheduleId]) -> Result<Vec<NamedSchedule>, DbErr> {
    let rows = rows_in::<discount_schedule::Entity>(db, discount_schedule::Column::Id, &uuids(ids)).await?;
    named(db, rows).await
}

/// The schedule with this name, whatever its case.
///
/// # Errors
/// The database's.
pub async fn schedule_named(db: &impl ConnectionTrait, name: &str) -> Result<Option<DiscountScheduleId>, DbErr> {
    let found: Option<Uuid> = discount_schedule::Entity::find()
        .select_only()
        .column(discount_schedule::Column::Id)
        .filter(discount_schedule::Column::NameFolded.eq(text::fold(name)))
        .into_tuple()
        .one(db)
        .await?;
    Ok(found.map(Into::into))
}

/// SKUs of up to `limit` products that are sold and have a list price of 0, in their order.
///
/// # Errors
/// The database's.
pub async fn free_skus(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<String>, DbErr> {
    let free = product_price::Entity::find()
        .select_only()
        .column(product_price::Column::ProductId)
        .filter(product_price::Column::AmountMinor.eq(0i64))
        .filter(product_price::Column::GroupId.is_null())
        .filter(product_price::Column::ReplacedAt.is_null())
        .into_query();
    product::Entity::find()
        .select_only()
        .column(product::Column::Sku)
        .filter(product::Column::Id.in_subquery(free))
        .filter(product::Column::Listed.eq(true))
        .filter(product::Column::ArchivedAt.is_null())
        .order_by_asc(product::Column::SkuFolded)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// A page of schedules by name; each word of `words` is in the name.
///
/// # Errors
/// The database's.
pub async fn schedule_page(
    db: &impl ConnectionTrait,
    words: &[String],
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<NamedSchedule>, DbErr> {
    use discount_schedule::{Column, Entity};
    let select = Entity::find().filter(search::contains_all(db.get_database_backend(), &[Column::NameFolded.into_expr()], words));
    let order = Sort::Title.order(Column::NameFolded, Column::CreatedAt, Column::CreatedAt, Column::Id);
    let Page { rows, has_next, has_previous, total } = super::page::page(db, select, order, args, with_total).await?;
    Ok(Page { rows: named(db, rows).await?, has_next, has_previous, total })
}

async fn named(db: &impl ConnectionTrait, rows: Vec<discount_schedule::Model>) -> Result<Vec<NamedSchedule>, DbErr> {
    use discount_schedule_version::Column;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut versions = HashMap::new();
    for chunk in ids.chunks(CHUNK) {
        let current = discount_schedule_version::Entity::find()
            .filter(Column::ScheduleId.is_in(chunk.iter().copied()))
            .filter(Column::ReplacedAt.is_null())
            .all(db)
            .await?;
        versions.extend(current.into_iter().map(|version| (version.schedule_id, version)));
    }
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let version = versions.remove(&row.id).ok_or_else(|| DbErr::Custom(format!("the discount schedule {} says nothing", row.id)))?;
        found.push(NamedSchedule {
            id: row.id.into(),
            name: row.name,
            schedule: schedule_of(&version)?,
            recorded_at: version.recorded_at,
            actor: version.actor,
            created_at: row.created_at,
        });
    }
    Ok(found)
}
