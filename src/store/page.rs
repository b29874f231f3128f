//! Pages of lists by (key, id): the rows after a cursor, one more than asked for, and the number of all rows when somebody wants it.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::page::{Page, PageArgs};

/// What a row is sorted by, as a cursor holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    /// A folded text.
    Text(String),
    /// An instant.
    At(DateTime<Utc>),
}

/// The order of a list: by a column, equal ones by id.
#[derive(Debug, Clone, Copy)]
pub struct Order<C> {
    /// The column.
    pub column: C,
    /// The id.
    pub id: C,
    /// Largest first.
    pub descending: bool,
}

/// A page of `select` in `order`.
///
/// # Errors
/// The database's.
pub async fn page<E: EntityTrait<Model: Send + Sync>>(
    db: &impl ConnectionTrait,
    select: Select<E>,
    order: Order<E::Column>,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<E::Model>, DbErr> {
    let total = if with_total { Some(i64::try_from(select.clone().count(db).await?).unwrap_or(i64::MAX)) } else { None };
    let mut select = select;
    if let Some((key, id)) = &args.after {
        let key = match key {
            Key::Text(text) => Expr::val(text.as_str()),
            Key::At(instant) => Expr::val(*instant),
        };
        let place = Expr::tuple([order.column.into_expr(), order.id.into_expr()]);
        let after = Expr::tuple([key, Expr::val(*id)]);
        select = select.filter(if order.descending { place.lt(after) } else { place.gt(after) });
    }
    select = if order.descending {
        select.order_by_desc(order.column).order_by_desc(order.id)
    } else {
        select.order_by_asc(order.column).order_by_asc(order.id)
    };
    let rows = select.limit(u64::from(args.first) + 1).all(db).await?;
    Ok(Page::cut(rows, args, total))
}
