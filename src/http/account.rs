//! `/account/link/{token}`: where a one-time link leads.
//!
//! Always true here: looking at the page uses nothing up, because programs that preview mails look at it first; the button does. Sign-in is by
//! bearer token alone, no cookie is ever set, so that no foreign page can act as a visitor.

use std::sync::Arc;

use axum::extract::{Form, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{RequestExt, Router};
use minijinja::{Environment, UndefinedBehavior, context};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::client_ip::ClientIp;
use crate::app::App;
use crate::app::caller::Caller;
use crate::app::sign_in::SignedIn;
use crate::error::{Code, Error, Result};
use crate::graphql::executor::RequestId;

const TEMPLATE: &str = "link.html";

/// The page's route.
pub fn routes<S: Clone + Send + Sync + 'static>(app: &Arc<App>) -> Router<S> {
    Router::new().route("/account/link/{token}", get(ask).post(redeem)).with_state(app.clone())
}

#[derive(Deserialize)]
struct Wanted {
    password: Option<String>,
}

async fn ask(State(app): State<Arc<App>>) -> Response {
    page(&app, StatusCode::OK, None, None)
}

async fn redeem(State(app): State<Arc<App>>, Path(token): Path<String>, request: Request) -> Response {
    let extensions = request.extensions();
    // Nobody is signed in here: what a browser sends from a form carries no header of ours.
    let caller = Caller {
        address: extensions.get::<ClientIp>().and_then(|ip| ip.0),
        request: extensions.get::<RequestId>().map(ToString::to_string),
        ..Caller::guest()
    };
    let wanted = request.extract::<Form<Wanted>, _>().await.ok().and_then(|Form(wanted)| wanted.password);
    let password = wanted.filter(|password| !password.is_empty()).map(SecretString::from);
    match app.account_link_redeem(&caller, &SecretString::from(token), password.as_ref()).await {
        Ok(signed_in) => page(&app, StatusCode::OK, Some(&signed_in), None),
        Err(error) => refused(&app, error),
    }
}

fn refused(app: &App, error: Error) -> Response {
    let (status, message) = match &error {
        Error::Refused(_) if error.is(Code::LinkInvalid) => (StatusCode::GONE, error.to_string()),
        Error::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        Error::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, error.to_string()),
        _ => {
            tracing::error!(error = format!("{error:#}"), "a link could not be redeemed");
            (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side. Please try again.".to_owned())
        }
    };
    let mut answer = page(app, status, None, Some(message));
    if let Error::RateLimited { retry_after_s } = error {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    }
    answer
}

fn page(app: &App, status: StatusCode, signed_in: Option<&SignedIn>, wrong: Option<String>) -> Response {
    match render(&app.shop.name, signed_in, status == StatusCode::GONE, wrong) {
        Ok(text) => (status, headers(), Html(text)).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the page of a link cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn headers() -> [(header::HeaderName, HeaderValue); 3] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            ),
        ),
    ]
}

fn render(shop: &str, signed_in: Option<&SignedIn>, dead: bool, wrong: Option<String>) -> Result<String, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template(TEMPLATE, include_str!("link.html"))?;
    templates.get_template(TEMPLATE)?.render(context! {
        shop,
        dead,
        wrong,
        token => signed_in.map(|signed_in| signed_in.token.expose_secret()),
        email => signed_in.and_then(|signed_in| signed_in.account.email()).map(ToString::to_string),
        expires_at => signed_in.map(|signed_in| signed_in.expires_at.format("%Y-%m-%d %H:%M UTC").to_string()),
    })
}
