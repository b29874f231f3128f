//! `/mails`: what the embedded shop would have mailed, for whoever sits at its machine.
//!
//! Always true here: the pages hold links that sign in as anybody, so they are there only where no mail server and no public address is set
//! and the server listens to this machine alone; a request that came through a proxy, from another machine or under another name is not
//! answered.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use domain::MailId;
use minijinja::{Environment, UndefinedBehavior, context};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::client_ip::ClientIp;
use super::problem::problem;
use crate::app::App;
use crate::app::caller::Caller;
use crate::app::mail::{Key, OutboxMail};
use crate::error::Result;
use crate::page::ListName;

const TEMPLATE: &str = "mails.html";
/// Mails on a page.
const ROWS: i32 = 50;
/// What a proxy adds.
const PROXIES: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "via"];

/// The routes, for a shop whose mails stay on this machine.
pub fn routes<S: Clone + Send + Sync + 'static>(app: &Arc<App>) -> Router<S> {
    Router::new()
        .route("/mails", get(list))
        .route("/mails/{id}", get(one))
        .route("/mails/{id}/html", get(html))
        .layer(from_fn(at_home))
        .with_state(app.clone())
}

/// Lets pass who sits at this machine.
async fn at_home(request: Request, next: Next) -> Response {
    if is_at_home(&request) {
        next.run(request).await
    } else {
        problem(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing here.").into_response()
    }
}

/// Whether a request comes from this machine itself, by a name of our own, through no proxy.
pub(super) fn is_at_home(request: &Request) -> bool {
    let headers = request.headers();
    let from_here = request.extensions().get::<ClientIp>().and_then(|ip| ip.0).is_some_and(|address| address.to_canonical().is_loopback());
    // A page of somebody else could lead a browser here under a name of its own.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let by_our_name = ["localhost", "127.0.0.1", "[::1]"].contains(&name);
    from_here && by_our_name && !PROXIES.iter().any(|name| headers.contains_key(*name))
}

#[derive(Deserialize)]
struct Wanted {
    after: Option<String>,
}

async fn list(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    answer(listed(&app, wanted.after.as_deref()).await.map(Some))
}

async fn listed(app: &App, after: Option<&str>) -> Result<String> {
    let list = ListName::new("mails", &())?;
    let args = list.args(Some(ROWS), after)?;
    let page = app.outbox(&Caller::system(), None, &args, false).await?;
    let last = page.rows.last().filter(|_| page.has_next).map(|shown| (Key::At(shown.mail.created_at), shown.mail.id.uuid()));
    let older = last.map(|last| list.cursor(&last)).transpose()?;
    let mails: Vec<_> = page.rows.iter().map(row).collect();
    render(&app.shop.name, context! { mails, older, mail => () })
}

async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let shown = async {
        let Some(shown) = found(&app, &id).await? else { return Ok(None) };
        let texts = shown.texts.as_ref();
        let more = context! { text => texts.map(|texts| &texts.text), html => texts.is_some_and(|texts| texts.html.is_some()) };
        let mail = context! { ..row(&shown), ..more };
        render(&app.shop.name, context! { mails => (), older => (), mail }).map(Some)
    };
    answer(shown.await)
}

/// The HTML of a mail alone: for a frame, in which nothing runs.
async fn html(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    match found(&app, &id).await {
        Ok(shown) => match shown.and_then(|shown| shown.texts).and_then(|texts| texts.html) {
            Some(html) => {
                let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src https:; sandbox allow-popups allow-top-navigation-by-user-activation; frame-ancestors 'self'";
                (headers(policy), [(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"))], Html(html)).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Err(error) => failed(&error),
    }
}

async fn found(app: &App, id: &str) -> Result<Option<OutboxMail>> {
    let Some(id) = MailId::parse(id) else { return Ok(None) };
    Ok(app.mails_by_id(&Caller::system(), &[id]).await?.remove(&id))
}

fn row(shown: &OutboxMail) -> minijinja::Value {
    let OutboxMail { mail, link, .. } = shown;
    context! {
        id => mail.id.to_string(),
        to => mail.to.as_ref().map(ToString::to_string),
        kind => mail.kind.name(),
        state => mail.state.name(),
        subject => mail.subject.as_deref(),
        error => mail.error.as_deref(),
        link => link.as_ref().map(|link| link.expose_secret()),
        created => mail.created_at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    }
}

fn render(shop: &str, what: minijinja::Value) -> Result<String> {
    let made = || {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.add_template(TEMPLATE, include_str!("mails.html"))?;
        templates.get_template(TEMPLATE)?.render(context! { shop, ..what })
    };
    made().map_err(|error: minijinja::Error| crate::internal!("the page of the mails cannot be made: {error:#}"))
}

fn answer(page: Result<Option<String>>) -> Response {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    match page {
        Ok(Some(page)) => (headers(policy), Html(page)).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such mail.").into_response(),
        Err(crate::error::Error::BadInput(message)) => problem(StatusCode::BAD_REQUEST, "BAD_INPUT", &message).into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &crate::error::Error) -> Response {
    tracing::error!(error = format!("{error:#}"), "the mails cannot be shown");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

fn headers(policy: &'static str) -> [(header::HeaderName, HeaderValue); 3] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
    ]
}
