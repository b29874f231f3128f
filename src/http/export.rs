//! `/export/…csv`: lists and reports as files, by a link that was signed for somebody or for who is signed in.
//!
//! Always true here: a file is sent while it is read, a piece at a time, so that its length costs no memory; what is wrong is said before the
//! first piece, in the status.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::CouponBatchId;
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;

use super::auth::shown;
use super::problem::problem;
use crate::app::App;
use crate::app::coupon::CodesOf;
use crate::app::export::{Export, LinkRefusal, Opened, Piece};
use crate::error::{Error, Result};

/// The routes of the files.
pub fn routes<S: Clone + Send + Sync + 'static>(app: &Arc<App>) -> Router<S> {
    Router::new().route("/export/{file}", get(export)).with_state(app.clone())
}

#[derive(Deserialize)]
struct Wanted {
    link: Option<String>,
    locale: Option<String>,
    #[serde(rename = "batchId")]
    batch: Option<String>,
}

/// What came of asking for a file.
enum Found {
    /// It is there; this is its beginning.
    File(Box<Opened>, Piece),
    /// There is no such thing.
    Nothing(&'static str),
    /// The link leads nowhere.
    Refused(LinkRefusal),
}

/// `GET /export/NAME.csv?link=…`, or for who is signed in by the header `Authorization`, without one: the whole list, in the form of `locale`;
/// of codes those of `batchId`.
async fn export(State(app): State<Arc<App>>, Path(file): Path<String>, Query(wanted): Query<Wanted>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let begun = async {
        let caller = app.caller(&shown(&parts)?).await?;
        let Some(name) = file.strip_suffix(".csv") else { return Ok(Found::Nothing("There is no such file.")) };
        let opened = match &wanted.link {
            Some(link) => match app.export_by_link(name, link, &caller).await? {
                Ok(opened) => opened,
                Err(refusal) => return Ok(Found::Refused(refusal)),
            },
            None => {
                let Some(what) = by_hand(name, wanted.batch.as_deref()) else {
                    // Who may not have codes is told so, whatever the batch.
                    if name == "coupon-codes" {
                        app.coupon_export_right(&caller)?;
                        return Ok(Found::Nothing("There is no such batch; give its id as batchId."));
                    }
                    return Ok(Found::Nothing("There is no such file; take a link from csvUrl."));
                };
                app.export_by_hand(&caller, what, wanted.locale.as_deref()).await?
            }
        };
        // The first piece is read before anything is answered: what is wrong shows in the status.
        Ok(match app.export_piece(&opened, None).await? {
            Some(first) => Found::File(Box::new(opened), first),
            None => Found::Nothing("What this file is about is not there; check the id."),
        })
    };
    match begun.await {
        Ok(Found::File(opened, first)) => sent(app, *opened, first),
        Ok(Found::Nothing(message)) => problem(StatusCode::NOT_FOUND, "NOT_FOUND", message).into_response(),
        Ok(Found::Refused(refusal)) => {
            let (status, code) = match refusal {
                LinkRefusal::Altered => (StatusCode::FORBIDDEN, "LINK_INVALID"),
                LinkRefusal::Foreign => (StatusCode::FORBIDDEN, "LINK_FOREIGN"),
                LinkRefusal::Over => (StatusCode::GONE, "LINK_EXPIRED"),
                LinkRefusal::Dead => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
            };
            problem(status, code, &refusal.to_string()).into_response()
        }
        Err(error) => refused(error),
    }
}

fn by_hand(name: &str, batch: Option<&str>) -> Option<Export> {
    match name {
        "coupon-codes" => batch.and_then(CouponBatchId::parse).map(|batch| Export::CouponCodes(CodesOf::Batch(batch))),
        _ => Export::whole(name),
    }
}

/// What is sent next.
enum Next {
    /// This piece, which was read.
    Ready(Piece),
    /// The piece after this row.
    After(Value),
}

fn sent(app: Arc<App>, opened: Opened, first: Piece) -> Response {
    let name = format!("attachment; filename=\"{}.csv\"", opened.what.name());
    let opened = Arc::new(opened);
    let pieces = stream::try_unfold(Some(Next::Ready(first)), move |next| {
        let (app, opened) = (app.clone(), opened.clone());
        async move {
            let piece = match next {
                None => return Ok(None),
                Some(Next::Ready(piece)) => piece,
                Some(Next::After(after)) => match going_on(&app, &opened, after).await? {
                    Some(piece) => piece,
                    None => return Ok(None),
                },
            };
            Ok::<_, Error>(Some((piece.text, piece.after.map(Next::After))))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, [(header::CONTENT_DISPOSITION, name)], Body::from_stream(pieces)).into_response()
}

async fn going_on(app: &App, opened: &Opened, after: Value) -> Result<Option<Piece>> {
    let piece = app.export_piece(opened, Some(after)).await;
    piece.inspect_err(|error| tracing::error!(file = opened.what.name(), error = format!("{error:#}"), "a file broke off"))
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
