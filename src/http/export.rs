//! `/export/…csv`: lists too long for a page of the API, as files.
//!
//! Always true here: a file is sent while it is read, a piece at a time, so that its length costs no memory; no cell begins a formula in a
//! program for spreadsheets.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::CouponBatchId;
use domain::text::harmless_cell;
use futures_util::stream;
use serde::Deserialize;
use uuid::Uuid;

use super::auth::shown;
use super::problem::problem;
use crate::app::App;
use crate::app::caller::Caller;
use crate::app::coupon::{self, CodeRow, CodesOf, Coupon};
use crate::error::{Error, Result};
use crate::page::PageArgs;

/// Rows that are read at a time.
const PIECE: u32 = 1_000;
/// The first line of a file of codes.
const HEADING: [&str; 6] = ["code", "status", "use", "order", "void_at", "created_at"];

/// The routes of the files.
pub fn routes<S: Clone + Send + Sync + 'static>(app: &Arc<App>) -> Router<S> {
    Router::new().route("/export/coupon-codes.csv", get(coupon_codes)).with_state(app.clone())
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "batchId")]
    batch: Option<String>,
}

/// `GET /export/coupon-codes.csv?batchId=…`: the codes of a batch in order of making, with what became of each.
async fn coupon_codes(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let begun = async {
        let caller = app.caller(&shown(&parts)?).await?;
        let batch = wanted.batch.as_deref().and_then(CouponBatchId::parse);
        // The first piece is read before anything is answered: what is wrong shows in the status.
        let Some(batch) = batch else { return app.coupon_export_right(&caller).map(|()| None) };
        let first = piece(&app, &caller, batch, None).await?;
        Ok(first.map(|first| (caller, batch, first)))
    };
    match begun.await {
        Ok(Some((caller, batch, first))) => file(app, caller, batch, first),
        Ok(None) => problem(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such batch; give its id as batchId.").into_response(),
        Err(error) => refused(error),
    }
}

/// A piece of a file, and the row after which the next one goes on.
struct Piece {
    text: Vec<u8>,
    after: Option<Uuid>,
}

/// What is sent next.
enum Next {
    /// This piece, which was read.
    Ready(Piece),
    /// The piece after this row.
    After(Uuid),
}

async fn piece(app: &App, caller: &Caller, batch: CouponBatchId, after: Option<Uuid>) -> Result<Option<Piece>> {
    let args = PageArgs { first: PIECE, after };
    let Some((coupon, page)) = app.coupon_codes(caller, CodesOf::Batch(batch), &args, false).await? else { return Ok(None) };
    let mut lines = csv::Writer::from_writer(Vec::new());
    let mut write =
        |cells: [&str; 6]| lines.write_record(cells.map(harmless_cell)).map_err(|error| crate::internal!("a line of a file: {error}"));
    if after.is_none() {
        write(HEADING)?;
    }
    let now = app.now();
    for row in &page.rows {
        let [void_at, created_at] = [row.code.void_at, Some(row.created_at)].map(instant);
        let use_state = row.use_state.map_or("", |state| state.name());
        write([
            &row.code.code,
            status(&coupon, row, now),
            use_state,
            row.order_number.as_deref().unwrap_or_default(),
            &void_at,
            &created_at,
        ])?;
    }
    let text = lines.into_inner().map_err(|error| crate::internal!("a piece of a file: {error}"))?;
    Ok(Some(Piece { text, after: page.rows.last().filter(|_| page.has_next).map(|row| row.code.id.uuid()) }))
}

fn status(coupon: &Coupon, row: &CodeRow, now: DateTime<Utc>) -> &'static str {
    coupon::code_status(coupon, row, now).name()
}

fn instant(at: Option<DateTime<Utc>>) -> String {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)).unwrap_or_default()
}

fn file(app: Arc<App>, caller: Caller, batch: CouponBatchId, first: Piece) -> Response {
    let pieces = stream::try_unfold(Some(Next::Ready(first)), move |next| {
        let (app, caller) = (app.clone(), caller.clone());
        async move {
            let piece = match next {
                None => return Ok(None),
                Some(Next::Ready(piece)) => piece,
                Some(Next::After(after)) => match piece(&app, &caller, batch, Some(after)).await {
                    Ok(Some(piece)) => piece,
                    Ok(None) => return Ok(None),
                    Err(error) => {
                        tracing::error!(%batch, error = format!("{error:#}"), "a file broke off");
                        return Err(error);
                    }
                },
            };
            Ok(Some((piece.text, piece.after.map(Next::After))))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let name = format!("attachment; filename=\"coupon-codes-{batch}.csv\"");
    (headers, [(header::CONTENT_DISPOSITION, name)], Body::from_stream(pieces)).into_response()
}

fn refused(error: Error) -> Response {
    let (status, code) = match &error {
        Error::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        Error::Forbidden(_) => (StatusCode::FORBIDDEN, "FORBIDDEN"),
        Error::BadInput(_) | Error::Refused(_) => (StatusCode::BAD_REQUEST, "BAD_INPUT"),
        Error::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"),
        Error::Internal(cause) => {
            tracing::error!(error = format!("{cause:#}"), "a file could not be made");
            let message = "Something went wrong on our side; nothing is lost. Please try again.";
            return problem(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message).into_response();
        }
    };
    let mut answer = problem(status, code, &error.to_string()).into_response();
    if let Error::RateLimited { retry_after_s } = error {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    }
    answer
}
