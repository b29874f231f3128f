//! Plain HTTP: the GraphQL endpoint, the few pages of the shop itself, and what a server has to tell machines.
//!
//! Always true here: nothing decides; a route turns a request into a call of [`crate::app`] or of the schema, and its result into an answer.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::Executor;
use axum::Router;
use axum::middleware::from_fn;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::app::App;
use client_ip::TrustedProxies;
use graphql::Endpoint;

pub mod accept;
pub mod account;
pub mod auth;
pub mod client_ip;
pub mod cors;
pub mod export;
pub mod form;
pub mod graphql;
pub mod headers;
pub mod health;
pub mod home;
pub mod invoice;
pub mod mails;
pub mod metrics;
pub mod observe;
pub mod problem;
pub mod reports;
pub mod socket;
pub mod webhook;

/// How long readiness waits for the database.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What the router is made of.
pub struct Site<E> {
    /// The shop.
    pub app: Arc<App>,
    /// The schema, ready to be served.
    pub endpoint: Endpoint<E>,
    /// What `/metrics` reads.
    pub metrics: PrometheusHandle,
    /// Origins whose pages may call the API.
    pub cors_origins: Vec<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
    /// Whether mails are shown to whoever sits at this machine.
    pub mails: bool,
    /// Routes that come with what was configured, such as the pages of a gateway that is played here.
    pub extra: Router,
}

/// Every route, behind the layers that all of them have.
///
/// # Errors
/// An entry of `cors_origins` is no origin.
pub fn router<E: Executor>(site: Site<E>) -> Result<Router, cors::NotAnOrigin> {
    let Site { app, endpoint, metrics, cors_origins, proxies, mails, extra } = site;
    let router = endpoint
        .routes()
        .merge(home::routes(&app))
        .merge(account::routes(&app))
        .merge(export::routes(&app))
        .merge(form::routes(&app))
        .merge(invoice::routes(&app))
        .merge(webhook::routes(app.clone()))
        .merge(health::routes({
            let app = app.clone();
            move || ready(app.clone())
        }))
        .merge(metrics::routes(metrics))
        .merge(if mails { mails::routes(&app) } else { Router::new() })
        .merge(reports::routes(&app, mails))
        .merge(extra)
        .layer(from_fn(headers::security));
    Ok(observe::apply(cors::apply(router, &cors_origins)?, proxies))
}

async fn ready(app: Arc<App>) -> Result<(), String> {
    match tokio::time::timeout(READY_WITHIN, app.ready()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(error = %format!("{error:#}"), "not ready");
            Err("the database does not answer as it should".to_owned())
        }
        Err(_) => Err("the database does not answer in time".to_owned()),
    }
}
