//! What is written down of every request: its id, one log line, the metrics.
//!
//! Always true here: neither address nor body is logged, only the route's template. Paths hold one-time links and query
//! strings hold variables; both can be secrets.

use std::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use async_graphql::futures_util::FutureExt;
use axum::{
    Router,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tracing::{Instrument, Span, field::Empty};
use uuid::Uuid;

use super::{
    client_ip::{ClientIp, TrustedProxies, client_ip},
    problem,
};
use crate::graphql::executor::{Operation, RequestId, panic_text};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps everything that `router` has so far; meant to be the outermost layer. Gives each request a [`RequestId`] and a
/// [`ClientIp`] in its extensions, the id also in the answer, and turns a panic into an answer.
pub fn apply<S: Clone + Send + Sync + 'static>(router: Router<S>, trusted: TrustedProxies) -> Router<S> {
    router.layer(from_fn_with_state(trusted, observe))
}

async fn observe(State(trusted): State<TrustedProxies>, mut request: Request, next: Next) -> Response {
    let request_id = request.headers().get(REQUEST_ID).and_then(sane).unwrap_or_else(fresh);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let client = client_ip(peer, request.headers(), &trusted);
    request.extensions_mut().insert(request_id.clone());
    request.extensions_mut().insert(ClientIp(client));

    let mut entry = Entry::new(&request, &request_id);
    if let Some(client) = client {
        entry.span.record("client", tracing::field::display(client));
    }
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(entry.span.clone()).await;
    let mut response = answer.unwrap_or_else(|panic| {
        entry.span.in_scope(|| tracing::error!(panic = panic_text(&*panic), "a request handler panicked"));
        problem::internal(&request_id)
    });
    entry.finish(&response);
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// An id that a client or proxy chose, if it is one that cannot do harm in a log.
fn sane(value: &HeaderValue) -> Option<RequestId> {
    let text = value.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    ((8..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| RequestId::new(text))
}

fn fresh() -> RequestId {
    RequestId::new(Uuid::now_v7().simple().encode_lower(&mut Uuid::encode_buffer()))
}

/// One line of the access log, which is written even when the client hangs up and the request is dropped midway.
struct Entry {
    started: Instant,
    method: &'static str,
    route: String,
    span: Span,
    finished: bool,
}

impl Entry {
    fn new(request: &Request, request_id: &RequestId) -> Self {
        let method = known(request.method());
        let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
        let span = tracing::info_span!("request", request_id = request_id.as_str(), method, route, client = Empty);
        metrics::gauge!("http_requests_in_flight").increment(1.0);
        Self { started: Instant::now(), method, route, span, finished: false }
    }

    fn finish(&mut self, response: &Response) {
        self.write(response.status().as_u16(), response.extensions().get());
    }

    fn write(&mut self, status: u16, operation: Option<&Operation>) {
        self.finished = true;
        let elapsed = self.started.elapsed();
        let (kind, name, cost) = match operation {
            Some(operation) => (Some(operation.kind.to_string()), operation.name.as_deref(), Some(operation.cost)),
            None => (None, None, None),
        };
        self.span.in_scope(|| {
            tracing::info!(target: "bursar::access", status, duration_us = micros(elapsed), operation = kind, operation_name = name, cost, "answered");
        });
        let (method, route) = (self.method, self.route.clone());
        metrics::counter!("http_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string()).increment(1);
        metrics::histogram!("http_request_duration_seconds", "method" => method, "route" => route).record(elapsed);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        metrics::gauge!("http_requests_in_flight").decrement(1.0);
        if !self.finished {
            // What proxies call "client closed request"; nobody receives it.
            self.write(499, None);
        }
    }
}

fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// The method as a label: clients may invent methods, labels must stay few.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "OTHER",
    }
}
