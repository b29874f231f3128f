//! What companies change about offers, and every version of it. A version is never changed but for the instant from which another one, or none,
//! holds instead.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::company::{Override, Visibility};
use domain::window::Window;
use domain::{CompanyId, ProductId, text};
use entity::company_offer::{self, Column, Entity};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use serde::Serialize;
use uuid::Uuid;

use super::offer::PricesCell;
use super::page::{Key, Order, page};
use super::{CHUNK, corrupt, known};
use crate::page::{Page, PageArgs};

/// Rows of one statement: with their columns they stay within what PostgreSQL and SQLite take.
const ROWS: usize = 1_000;

/// A version of an override.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Row id.
    pub id: Uuid,
    /// The product.
    pub product: ProductId,
    /// What it says.
    pub over: Override,
    /// From when it held.
    pub recorded_at: DateTime<Utc>,
    /// Until when it held; none = still.
    pub replaced_at: Option<DateTime<Utc>>,
    /// Who set it.
    pub actor: String,
    /// Who replaced or unset it.
    pub replaced_by: Option<String>,
}

fn version(row: company_offer::Model) -> Result<Version, DbErr> {
    let prices: PricesCell = serde_json::from_value(row.prices).map_err(corrupt)?;
    Ok(Version {
        id: row.id,
        product: row.product_id.into(),
        over: Override {
            title: row.title,
            description: row.description,
            prices: prices.amounts(),
            access_days: row.access_days.map(u32::try_from).transpose().map_err(corrupt)?,
            visibility: row.visibility.map(|name| known(Visibility::parse(&name), "visibility", &name)).transpose()?,
            window: Window { starts_at: row.starts_at, ends_at: row.ends_at },
        },
        recorded_at: row.recorded_at,
        replaced_at: row.replaced_at,
        actor: row.actor,
        replaced_by: row.replaced_by,
    })
}

/// The current overrides of a company for these products.
///
/// # Errors
/// The database's.
pub async fn current(db: &impl ConnectionTrait, company: CompanyId, products: &[ProductId]) -> Result<HashMap<ProductId, Override>, DbErr> {
    let mut found = HashMap::new();
    for chunk in products.chunks(CHUNK) {
        let rows = Entity::find()
            .filter(Column::CompanyId.eq(company.uuid()))
            .filter(Column::ProductId.is_in(chunk.iter().map(|product| product.uuid())))
            .filter(Column::ReplacedAt.is_null())
            .all(db)
            .await?;
        for row in rows {
            let version = version(row)?;
            found.insert(version.product, version.over);
        }
    }
    Ok(found)
}

/// A page of a company's current overrides, the latest first.
///
/// # Errors
/// The database's.
pub async fn current_page(
    db: &impl ConnectionTrait,
    company: CompanyId,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Version>, DbErr> {
    let select = Entity::find().filter(Column::CompanyId.eq(company.uuid())).filter(Column::ReplacedAt.is_null());
    let order = Order { column: Column::RecordedAt, id: Column::Id, descending: true };
    super::catalog::all_known(page(db, select, order, args, with_total).await?, version)
}

/// Every version of a company's override of a product, the earliest first.
///
/// # Errors
/// The database's.
pub async fn versions(db: &impl ConnectionTrait, company: CompanyId, product: ProductId) -> Result<Vec<Version>, DbErr> {
    Entity::find()
        .filter(Column::CompanyId.eq(company.uuid()))
        .filter(Column::ProductId.eq(product.uuid()))
        .order_by_asc(Column::RecordedAt)
        .order_by_asc(Column::Id)
        .all(db)
        .await?
        .into_iter()
        .map(version)
        .collect()
}

/// Ends the current overrides of these products.
///
/// # Errors
/// The database's.
pub async fn end(
    txn: &impl ConnectionTrait,
    company: CompanyId,
    products: &[ProductId],
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    for chunk in products.chunks(CHUNK) {
        Entity::update_many()
            .set(company_offer::ActiveModel { replaced_at: Set(Some(now)), replaced_by: Set(Some(actor.to_owned())), ..Default::default() })
            .filter(Column::CompanyId.eq(company.uuid()))
            .filter(Column::ProductId.is_in(chunk.iter().map(|product| product.uuid())))
            .filter(Column::ReplacedAt.is_null())
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// Writes overrides that hold from now on; the ones before them were ended.
///
/// # Errors
/// The database's.
pub async fn insert(
    txn: &impl ConnectionTrait,
    company: CompanyId,
    overrides: &[(Uuid, ProductId, &Override)],
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    for chunk in overrides.chunks(ROWS) {
        let rows = chunk.iter().map(|(id, product, over)| {
            Ok(company_offer::ActiveModel {
                id: Set(*id),
                company_id: Set(company.uuid()),
                product_id: Set(product.uuid()),
                title: Set(over.title.clone()),
                title_sort: Set(over.title.as_deref().map(text::sort_key)),
                search_title: Set(over.title.as_deref().map(|title| text::search_text([title]))),
                description: Set(over.description.clone()),
                search_description: Set(over.description.as_deref().map(|description| text::search_text([description]))),
                access_days: Set(over.access_days.map(i32::try_from).transpose().map_err(corrupt)?),
                visibility: Set(over.visibility.map(|visibility| visibility.name().to_owned())),
                prices: Set(serde_json::to_value(over.prices.iter().copied().collect::<PricesCell>()).map_err(corrupt)?),
                starts_at: Set(over.window.starts_at),
                ends_at: Set(over.window.ends_at),
                recorded_at: Set(now),
                replaced_at: Set(None),
                actor: Set(actor.to_owned()),
                replaced_by: Set(None),
            })
        });
        Entity::insert_many(rows.collect::<Result<Vec<_>, DbErr>>()?).exec_without_returning(txn).await?;
    }
    Ok(())
}
