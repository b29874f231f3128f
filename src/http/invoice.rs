//! `/invoice/{id}`: an invoice or a credit note as it was issued, made for printing.
//!
//! Always true here: it is shown to whoever has a signed link that is not over, and to whoever may see the sales order; a page is made of what was
//! frozen alone.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use domain::InvoiceId;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Deserialize;

use super::auth::shown;
use super::problem::problem;
use crate::app::App;
use crate::app::caller::Caller;
use crate::app::invoice::{DocumentPage, SignedLink};
use crate::error::{Error, Result};

const TEMPLATE: &str = "invoice.html";

/// The page's route.
pub fn routes<S: Clone + Send + Sync + 'static>(app: &Arc<App>) -> Router<S> {
    Router::new().route("/invoice/{id}", get(invoice)).with_state(app.clone())
}

#[derive(Deserialize)]
struct Signed {
    expires: Option<i64>,
    signature: Option<String>,
}

async fn invoice(State(app): State<Arc<App>>, Path(id): Path<String>, Query(signed): Query<Signed>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let link = match signed {
        Signed { expires: None, signature: None } => None,
        Signed { expires, signature } => {
            Some(SignedLink { expires: expires.unwrap_or_default(), signature: signature.unwrap_or_default() })
        }
    };
    let made = async {
        // A link is good by itself, whoever follows it.
        let caller = if link.is_some() { Caller::guest() } else { app.caller(&shown(&parts)?).await? };
        let page = app.invoice_page(&caller, InvoiceId::parse(&id), link.as_ref()).await?;
        page.map(|page| render(&page)).transpose()
    };
    let policy = HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    );
    match made.await {
        Ok(Some(page)) => ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page)).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such document, or it is not yours to see.").into_response(),
        Err(Error::Refused(refusals)) => {
            let message = refusals.into_iter().map(|refusal| refusal.message).collect::<Vec<_>>().join(" ");
            problem(StatusCode::FORBIDDEN, "LINK_INVALID", &message).into_response()
        }
        Err(Error::Unauthenticated(message)) => problem(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", &message).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "a document cannot be shown");
            let message = "Something went wrong on our side; nothing is lost. Please try again.";
            problem(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message).into_response()
        }
    }
}

fn render(page: &DocumentPage) -> Result<String> {
    let made = || {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.add_template(TEMPLATE, include_str!("invoice.html"))?;
        templates.get_template(TEMPLATE)?.render(context! { page => minijinja::Value::from(minijinja::value::Serde(page)) })
    };
    made().map_err(|error: minijinja::Error| crate::internal!("the page of a document: {error:#}"))
}
