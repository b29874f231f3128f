//! Relay connections over [`crate::page`].

use async_graphql::connection::{Connection, DefaultConnectionName, DefaultEdgeName, Edge, EmptyFields};
use async_graphql::{Context, OutputType, SimpleObject};
use serde::Serialize;

use super::scalar::Long;
use crate::error::Result;
use crate::page::{ListName, Page};

/// What a connection has besides its rows.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct Counted {
    /// How many rows the whole list has; counted only when asked for.
    pub total_count: Option<Long>,
}

/// A list of `T` in pages.
pub type List<T> = Connection<String, T, Counted, EmptyFields, DefaultConnectionName, DefaultEdgeName>;

/// Whether the caller asked for `totalCount`.
pub fn wants_total(ctx: &Context<'_>) -> bool {
    ctx.look_ahead().field("totalCount").exists()
}

/// The connection of `page`; `key` gives the (key, id) of a row, `node` its GraphQL object.
///
/// # Errors
/// A key does not serialise.
pub fn connection<R, K: Serialize, T: OutputType>(
    list: &ListName,
    page: Page<R>,
    key: impl Fn(&R) -> K,
    node: impl Fn(R) -> T,
) -> Result<List<T>> {
    let mut connection =
        Connection::with_additional_fields(page.has_previous, page.has_next, Counted { total_count: page.total.map(Long) });
    for row in page.rows {
        let cursor = list.cursor(&key(&row))?;
        connection.edges.push(Edge::new(cursor, node(row)));
    }
    Ok(connection)
}

/// The connection of a list that holds nothing for this caller; `counted` if `totalCount` was asked for.
pub fn empty<T: OutputType>(counted: bool) -> List<T> {
    Connection::with_additional_fields(false, false, Counted { total_count: counted.then_some(Long(0)) })
}
