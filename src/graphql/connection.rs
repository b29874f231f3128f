//! Relay connections over [`crate::page`].

use async_graphql::connection::{Connection, DefaultConnectionName, DefaultEdgeName, Edge, EmptyFields};
use async_graphql::{Context, Object, OutputType, SimpleObject};
use serde::Serialize;

use super::error::{answer, scope};
use super::scalar::Long;
use crate::app::export::Export;
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

/// What the connection of a list has that can be had as a file.
#[derive(Debug, Clone)]
pub struct Filed {
    total: Option<i64>,
    /// `None` for a list of nothing.
    what: Option<Export>,
}

#[Object]
impl Filed {
    /// How many rows the whole list has; counted only when asked for.
    async fn total_count(&self) -> Option<Long> {
        self.total.map(Long)
    }

    /// A link to the whole list, as it is filtered, as CSV: good for some minutes, for whoever is signed in. With a `locale`, such as "de-AT", its
    /// dates and decimals are as spreadsheets set to it read them; "" is for programs; the shop's setting unless given. Null for who is not signed in.
    async fn csv_url(&self, ctx: &Context<'_>, locale: Option<String>) -> async_graphql::Result<Option<String>> {
        let (app, caller) = scope(ctx)?;
        match &self.what {
            Some(what) => answer(app.export_url(caller, what.clone(), locale.as_deref())),
            None => Ok(None),
        }
    }
}

/// A list of `T` in pages that can be had as a file.
pub type Finder<T> = Connection<String, T, Filed, EmptyFields, DefaultConnectionName, DefaultEdgeName>;

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
    let more = Counted { total_count: page.total.map(Long) };
    let mut connection = Connection::with_additional_fields(page.has_previous, page.has_next, more);
    connection.edges = edges(list, page, key, node)?;
    Ok(connection)
}

/// The same for a list that can be had as the file `what`.
///
/// # Errors
/// A key does not serialise.
pub fn exported<R, K: Serialize, T: OutputType>(
    list: &ListName,
    page: Page<R>,
    what: Export,
    key: impl Fn(&R) -> K,
    node: impl Fn(R) -> T,
) -> Result<Finder<T>> {
    let more = Filed { total: page.total, what: Some(what) };
    let mut connection = Connection::with_additional_fields(page.has_previous, page.has_next, more);
    connection.edges = edges(list, page, key, node)?;
    Ok(connection)
}

fn edges<R, K: Serialize, T: OutputType>(
    list: &ListName,
    page: Page<R>,
    key: impl Fn(&R) -> K,
    node: impl Fn(R) -> T,
) -> Result<Vec<Edge<String, T, EmptyFields, DefaultEdgeName>>> {
    page.rows.into_iter().map(|row| Ok(Edge::new(list.cursor(&key(&row))?, node(row)))).collect()
}

/// The connection of a list that holds nothing for this caller; `counted` if `totalCount` was asked for.
pub fn empty<T: OutputType>(counted: bool) -> List<T> {
    Connection::with_additional_fields(false, false, Counted { total_count: counted.then_some(Long(0)) })
}

/// The same for a list that could be had as a file.
pub fn empty_finder<T: OutputType>(counted: bool) -> Finder<T> {
    Connection::with_additional_fields(false, false, Filed { total: counted.then_some(0), what: None })
}
