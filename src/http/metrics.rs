//! `/metrics` for Prometheus.
//!
//! Always true here: a label has few values (a method, a route, a status, a code), never an id.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, http::header, routing::get};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of the histograms' buckets, in seconds: from a cached answer to the time limit of an operation.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How often the recorder moves what histograms gathered into their buckets. Between scrapes it would grow without.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder is the process's, whoever asks first.
static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The exporter refused its settings.
    #[error("the metrics recorder cannot be built")]
    Build(#[from] BuildError),
    /// Somebody else's recorder is there already.
    #[error("another metrics recorder is installed in this process")]
    Taken,
}

/// Installs the recorder of this process and returns what it is read by. Later calls return the same.
///
/// # Errors
/// When a recorder that is not ours is there already.
pub fn install() -> Result<PrometheusHandle, MetricsError> {
    let mut installed = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Taken)?;
    metrics::describe_counter!("http_requests_total", "Requests answered.");
    metrics::describe_histogram!("http_request_duration_seconds", metrics::Unit::Seconds, "Time until the head of the answer was ready.");
    metrics::describe_gauge!("http_requests_in_flight", "Requests being answered.");
    metrics::describe_counter!("graphql_operations_total", "GraphQL operations by kind and outcome; for subscriptions, their events.");
    metrics::describe_histogram!("graphql_operation_duration_seconds", metrics::Unit::Seconds, "Time of GraphQL operations.");
    metrics::describe_counter!("graphql_errors_total", "Top-level GraphQL errors by code.");
    *installed = Some(handle.clone());
    Ok(handle)
}

/// `GET /metrics`.
pub fn routes<S: Clone + Send + Sync + 'static>(handle: PrometheusHandle) -> Router<S> {
    let render = move || {
        let text = handle.render();
        async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text) }
    };
    Router::new().route("/metrics", get(render))
}

/// Keeps the recorder small until `stop`.
pub async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        handle.run_upkeep();
    }
}
