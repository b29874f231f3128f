//! `/healthz`: the process answers. `/readyz`: it can do its work.

use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

/// Both routes. `ready` says what is missing, in words an operator understands and a stranger may read: the route is
/// open to everybody.
pub fn routes<S, F, Fut>(ready: F) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), String>> + Send,
{
    let readiness = move || {
        let ready = ready();
        async move { answer(ready.await) }
    };
    Router::new().route("/healthz", get(|| async { Json(json!({ "status": "ok" })) })).route("/readyz", get(readiness))
}

fn answer(ready: Result<(), String>) -> Response {
    match ready {
        Ok(()) => Json(json!({ "status": "ready" })).into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "reason": reason }))).into_response(),
    }
}
