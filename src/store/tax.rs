//! The operator's table of tax rates. A row is never changed but for the instant at which another one took its place.

use chrono::{DateTime, Utc};
use domain::Percent;
use domain::tax::{TaxClass, TaxRate, TaxTable};
use entity::tax_rate::{ActiveModel, Column, Entity, Model};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use serde::Serialize;
use uuid::Uuid;

use super::page::{Key, Order};
use super::{corrupt, known};
use crate::page::{Page, PageArgs};

/// A tax rate that somebody set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetTaxRate {
    /// Row id.
    pub id: Uuid,
    /// The rate, and for what and from when it holds.
    pub rate: TaxRate,
    /// When it was set.
    pub recorded_at: DateTime<Utc>,
    /// Until when it counted; `None` = still.
    pub replaced_at: Option<DateTime<Utc>>,
    /// Who set it.
    pub actor: String,
}

fn record(row: Model) -> Result<SetTaxRate, DbErr> {
    Ok(SetTaxRate {
        id: row.id,
        rate: TaxRate {
            class: known(TaxClass::parse(&row.class).ok(), "tax class", &row.class)?,
            rate: Percent::from_units(row.rate_millionths).map_err(corrupt)?,
            country: row.country,
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
pub async fn insert(txn: &impl ConnectionTrait, set: &SetTaxRate) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(set.id),
        country: Set(set.rate.country.clone()),
        class: Set(set.rate.class.as_str().to_owned()),
        rate_millionths: Set(i64::from(set.rate.rate.units())),
        valid_from: Set(set.rate.valid_from),
        recorded_at: Set(set.recorded_at),
        replaced_at: Set(set.replaced_at),
        actor: Set(set.actor.clone()),
    };
    Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Says of a rate that it counts until `now` only.
///
/// # Errors
/// The database's.
pub async fn replace(txn: &impl ConnectionTrait, row: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::update_many().col_expr(Column::ReplacedAt, Expr::value(now)).filter(Column::Id.eq(row)).exec(txn).await?;
    Ok(())
}

/// The current rate of a country and class with exactly this start.
///
/// # Errors
/// The database's.
pub async fn with_start(
    db: &impl ConnectionTrait,
    country: &str,
    class: &TaxClass,
    valid_from: DateTime<Utc>,
) -> Result<Option<SetTaxRate>, DbErr> {
    let row = Entity::find()
        .filter(Column::Country.eq(country))
        .filter(Column::Class.eq(class.as_str()))
        .filter(Column::ValidFrom.eq(valid_from))
        .filter(Column::ReplacedAt.is_null())
        .one(db)
        .await?;
    row.map(record).transpose()
}

/// The rates of a country that have begun at an instant.
///
/// # Errors
/// The database's.
pub async fn table(db: &impl ConnectionTrait, country: &str, at: DateTime<Utc>) -> Result<TaxTable, DbErr> {
    let rows = Entity::find()
        .filter(Column::Country.eq(country))
        .filter(Column::ValidFrom.lte(at))
        .filter(Column::ReplacedAt.is_null())
        .all(db)
        .await?;
    Ok(TaxTable::new(rows.into_iter().map(|row| Ok(record(row)?.rate)).collect::<Result<_, DbErr>>()?))
}

/// Which rates a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TaxRateFilter {
    /// Of this country.
    pub country: Option<String>,
    /// Of this class.
    pub class: Option<TaxClass>,
    /// Those that were replaced too.
    pub replaced: bool,
}

/// Rates, the one with the latest start first.
///
/// # Errors
/// The database's.
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &TaxRateFilter,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<SetTaxRate>, DbErr> {
    let mut select = Entity::find();
    if let Some(country) = &filter.country {
        select = select.filter(Column::Country.eq(country));
    }
    if let Some(class) = &filter.class {
        select = select.filter(Column::Class.eq(class.as_str()));
    }
    if !filter.replaced {
        select = select.filter(Column::ReplacedAt.is_null());
    }
    let order = Order { column: Column::ValidFrom, id: Column::Id, descending: true };
    super::catalog::all_known(super::page::page(db, select, order, args, with_total).await?, record)
}
