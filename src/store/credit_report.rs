//! What moved in the books of credits, added up for a report.

use chrono::{DateTime, Utc};
use domain::ProductId;
use domain::credit::Book;
use domain::credit::report::Moved;
use entity::{credit_entry, credit_lot, credit_posting};
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait};
use uuid::Uuid;

use super::credit::{is_open, left};
use super::{corrupt, known};

/// What moved before the first and between each two of these instants, by product. What ended until `now` and is not in the books yet is among it:
/// two statements.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn moved(
    db: &impl ConnectionTrait,
    bounds: &[DateTime<Utc>],
    product: Option<ProductId>,
    now: DateTime<Utc>,
) -> Result<Vec<Moved>, DbErr> {
    let Some(end) = bounds.last() else { return Ok(Vec::new()) };
    let happened = || Expr::col((credit_entry::Entity, credit_entry::Column::HappenedAt));
    let part: Expr =
        (0i64..).zip(bounds).fold(CaseStatement::new(), |case, (part, bound)| case.case(happened().lt(*bound), Expr::val(part))).into();
    let mut select = credit_posting::Entity::find()
        .select_only()
        .column_as(part, "part")
        .column(credit_lot::Column::ProductId)
        .columns([credit_posting::Column::Debit, credit_posting::Column::Credit])
        .column_as(credit_posting::Column::Count.into_expr().sum().cast_as("bigint"), "sum")
        .filter(happened().lt(*end))
        // The first column: PostgreSQL does not see that an expression with the same parameters is the same.
        .group_by(Expr::cust("1"))
        .group_by(credit_lot::Column::ProductId)
        .group_by(credit_posting::Column::Debit)
        .group_by(credit_posting::Column::Credit);
    if let Some(product) = product {
        select = select.filter(credit_lot::Column::ProductId.eq(product.uuid()));
    }
    QueryTrait::query(&mut select)
        .inner_join(
            credit_entry::Entity,
            credit_entry::Column::Id.into_expr().equals((credit_posting::Entity, credit_posting::Column::EntryId)),
        )
        .inner_join(credit_lot::Entity, credit_lot::Column::Id.into_expr().equals((credit_posting::Entity, credit_posting::Column::LotId)));
    let rows: Vec<(i64, Option<Uuid>, String, String, i64)> = select.into_tuple().all(db).await?;
    let book = |name: &str| known(Book::parse(name), "book", name);
    let mut moved = Vec::with_capacity(rows.len());
    for (part, product, debit, credit, count) in rows {
        let part = usize::try_from(part).map_err(corrupt)?;
        moved.push(Moved { part, product: product.map(Into::into), debit: book(&debit)?, credit: book(&credit)?, count });
    }

    let mut lapsed = credit_lot::Entity::find()
        .select_only()
        .columns([credit_lot::Column::ExpiresAt, credit_lot::Column::ProductId])
        .column_as(left(), "left")
        .filter(is_open())
        .filter(credit_lot::Column::ExpiresAt.lte(now))
        .filter(credit_lot::Column::ExpiresAt.lt(*end));
    if let Some(product) = product {
        lapsed = lapsed.filter(credit_lot::Column::ProductId.eq(product.uuid()));
    }
    let lapsed: Vec<(Option<DateTime<Utc>>, Option<Uuid>, i64)> = lapsed.into_tuple().all(db).await?;
    moved.extend(lapsed.into_iter().filter_map(|(ended, product, count)| {
        let part = bounds.iter().position(|bound| ended.is_some_and(|ended| ended < *bound))?;
        Some(Moved { part, product: product.map(Into::into), debit: Book::Held, credit: Book::Expired, count })
    }));
    Ok(moved)
}
