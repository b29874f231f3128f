//! What gateways and returning browsers call: webhooks, kept before they are acknowledged, and the way back from a gateway's page.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use minijinja::{Environment, context};
use port::{MAX_WEBHOOK_BYTES, RawWebhook};

use crate::app::App;
use crate::app::caller::Caller;
use crate::app::payment::WebhookFault;

/// `/webhooks/{gateway}` and `/payments/{payment}/return`.
pub fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/webhooks/{gateway}", post(receive).layer(DefaultBodyLimit::max(MAX_WEBHOOK_BYTES)))
        .route("/payments/{payment}/return", get(returned))
        .with_state(app)
}

async fn receive(
    State(app): State<Arc<App>>,
    Path(gateway): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let headers = headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect();
    let webhook = RawWebhook { headers, query: query.unwrap_or_default(), body: body.to_vec(), received_at: app.now() };
    match app.webhook_receive(&gateway, webhook).await {
        Ok(reply) => {
            let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
            (status, [(header::CONTENT_TYPE, reply.content_type)], reply.body).into_response()
        }
        Err(WebhookFault::Refused(error)) => {
            tracing::warn!(gateway, %error, "a webhook was refused");
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
            (status, "refused\n").into_response()
        }
        Err(WebhookFault::Ours(error)) => {
            tracing::error!(gateway, error = format!("{error:#}"), "a webhook could not be kept");
            (StatusCode::INTERNAL_SERVER_ERROR, "try again\n").into_response()
        }
    }
}

/// The page for buyers whose front end named no address of its own.
const RETURN_PAGE: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ shop }}</title></head>
<body style="font-family: system-ui, sans-serif; max-width: 36rem; margin: 3rem auto; padding: 0 1rem">
<h1>{{ heading }}</h1>
<p>Order <strong>{{ number }}</strong>, {{ total }}.</p>
<p>{{ text }}</p>
</body></html>
"#;

async fn returned(State(app): State<Arc<App>>, Path(payment): Path<String>, RawQuery(query): RawQuery) -> Response {
    let Some(payment) = domain::PaymentId::parse(&payment) else { return StatusCode::NOT_FOUND.into_response() };
    let order = match app.payment_returned(payment, query.unwrap_or_default()).await {
        Ok(Some((_, Some(url)))) => return Redirect::to(&url).into_response(),
        Ok(Some((order, None))) => order,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%payment, error = format!("{error:#}"), "a buyer's return could not be handled");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    match page(&app, order).await {
        Ok(page) => ([(header::CACHE_CONTROL, "no-store")], Html(page)).into_response(),
        Err(error) => {
            tracing::error!(%payment, error = format!("{error:#}"), "the page for a returning buyer failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn page(app: &App, order: domain::OrderId) -> anyhow::Result<String> {
    let order = app.order_for(&Caller::system(), order).await?.ok_or_else(|| anyhow::anyhow!("the order is gone"))?;
    let (heading, text) = if order.status.was_paid() {
        ("Thank you", "Your payment is in. You can go back to the shop.")
    } else if order.status == domain::order::OrderStatus::PendingPayment {
        ("Not paid yet", "Your payment is not in. Go back to the shop to see how it stands, or to try again.")
    } else {
        ("This order is closed", "It takes no payment any more. Money that comes all the same is sent back.")
    };
    let mut pages = Environment::new();
    pages.add_template("return.html", RETURN_PAGE)?;
    Ok(pages.get_template("return.html")?.render(context! {
        shop => app.shop.name.as_str(),
        heading,
        number => order.number,
        total => order.totals.total.to_string(),
        text,
    })?)
}
