//! `/graphql`: GraphQL over HTTP, as the specification of that name says it.
//!
//! Always true here: a request that a web page of another origin could send without asking (a form, a plain text, a
//! link) changes nothing. POST takes JSON only, GET runs queries only.
//!
//! Which status goes with what, for `application/graphql-response+json` and, in brackets, for `application/json`:
//! an operation that ran 200 (200), whatever its fields said; one refused before it ran 400 (200), by the sign-in
//! 401 or 403 (200), for its rate 429 (200); one that took too long 503 (503); one that panicked 500 (500). A request
//! that is not GraphQL over HTTP at all is 400, 405, 406, 413 or 415 with both.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_graphql::{
    Data, Executor, Extensions, Request as Operation, Response as Answer, ServerError, Value, Variables, futures_util::StreamExt,
    http::GraphiQLSource,
};
use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, BodyDataStream},
    extract::{FromRequestParts, Query, Request, State, WebSocketUpgrade},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header, request::Parts},
    response::IntoResponse,
    routing::any,
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{accept, problem::problem, socket};
use crate::graphql::{
    executor::{Carries, Guarded, Outcome, RequestId, Stage, seal},
    limits::{BAD_REQUEST, LIMIT_EXCEEDED},
};

/// Where it is served.
pub const PATH: &str = "/graphql";

const JSON: &str = "application/json";
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";
const HTML: &str = "text/html";

const BODY_BYTES: usize = 8 * 1024 * 1024;

/// How much of a body that is too large is read and thrown away, as a multiple of what is allowed, and how long. A
/// client that is still sending when the connection closes never sees why.
const DRAIN: usize = 16;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Who asks: turns what the transport knows into what resolvers look up.
#[async_trait]
pub trait Callers: Send + Sync + 'static {
    /// What an HTTP request brings: headers, and in its extensions [`RequestId`] and `ClientIp`. What it returns is
    /// found by resolvers in their context.
    ///
    /// # Errors
    /// Refuses the whole request, for example as `UNAUTHENTICATED`. The error must carry `extensions.code`.
    async fn of_request(&self, parts: &Parts) -> Result<Data, ServerError>;

    /// The same for a WebSocket: its upgrade request, and the payload of `connection_init` (null when there is none).
    /// What it returns is found by the resolvers of every operation on this connection, as long as it lasts.
    ///
    /// # Errors
    /// Closes the connection with 4403 and the message.
    async fn of_socket(&self, parts: &Parts, init: serde_json::Value) -> Result<Data, ServerError>;
}

/// A schema, ready to be served.
pub struct Endpoint<E> {
    executor: Guarded<E>,
    callers: Arc<dyn Callers>,
    body_bytes: usize,
    stop: CancellationToken,
}

impl<E: Clone> Clone for Endpoint<E> {
    fn clone(&self) -> Self {
        let Self { executor, callers, body_bytes, stop } = self;
        Self { executor: executor.clone(), callers: callers.clone(), body_bytes: *body_bytes, stop: stop.clone() }
    }
}

impl<E: Executor> Endpoint<E> {
    /// An endpoint that takes bodies of up to 2 MiB.
    #[must_use]
    pub fn new(executor: Guarded<E>, callers: Arc<dyn Callers>) -> Self {
        Self { executor, callers, body_bytes: BODY_BYTES, stop: CancellationToken::new() }
    }

    /// The largest body, and the largest message on a WebSocket, in bytes.
    #[must_use]
    pub fn body_bytes(self, body_bytes: usize) -> Self {
        Self { body_bytes, ..self }
    }

    /// When `stop` is cancelled, WebSockets are closed as "going away".
    #[must_use]
    pub fn stop_with(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// The route.
    pub fn routes<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        Router::new().route(PATH, any(serve::<E>)).with_state(self)
    }

    async fn execute(&self, parts: &Parts, mut operation: Operation, carries: Carries, media: &'static str) -> Response<Body> {
        let request_id = parts.extensions.get::<RequestId>();
        match self.callers.of_request(parts).await {
            Ok(data) => operation.data = data,
            Err(mut error) => {
                seal(&mut error, false, request_id);
                return not_admitted(error, media);
            }
        }
        if let Some(request_id) = request_id {
            operation.data.insert(request_id.clone());
        }
        respond(self.executor.run(operation, carries).await, media)
    }
}

async fn serve<E: Executor>(State(endpoint): State<Endpoint<E>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match parts.method {
        Method::GET | Method::HEAD if parts.headers.contains_key(header::UPGRADE) => upgrade(endpoint, parts).await,
        Method::GET | Method::HEAD => get(&endpoint, &parts).await,
        Method::POST => post(&endpoint, &parts, body).await,
        _ => method_not_allowed("GET, POST", "Send queries and mutations by POST, or queries by GET."),
    }
}

async fn get<E: Executor>(endpoint: &Endpoint<E>, parts: &Parts) -> Response<Body> {
    let offers = [JSON, GRAPHQL_RESPONSE, HTML];
    let media = match accept::best(&parts.headers, &offers).map(|index| offers[index]) {
        Some(HTML) => return graphiql(),
        Some(media) => media,
        None => return not_acceptable(),
    };
    match from_query_string(&parts.uri) {
        Ok(operation) => endpoint.execute(parts, operation, Carries::Queries, media).await,
        Err(message) => problem(StatusCode::BAD_REQUEST, BAD_REQUEST, message),
    }
}

async fn post<E: Executor>(endpoint: &Endpoint<E>, parts: &Parts, body: Body) -> Response<Body> {
    let offers = [JSON, GRAPHQL_RESPONSE];
    let Some(media) = accept::best(&parts.headers, &offers).map(|index| offers[index]) else { return not_acceptable() };
    if !is_json(&parts.headers) {
        let message = "Send the request as JSON in UTF-8, with the header Content-Type: application/json.";
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, BAD_REQUEST, message);
    }
    let body = match read(&parts.headers, body, endpoint.body_bytes).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    match from_json(&body) {
        Ok(operation) => endpoint.execute(parts, operation, Carries::QueriesAndMutations, media).await,
        Err(message) => problem(StatusCode::BAD_REQUEST, BAD_REQUEST, message),
    }
}

async fn upgrade<E: Executor>(endpoint: Endpoint<E>, mut parts: Parts) -> Response<Body> {
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return problem(rejection.status(), BAD_REQUEST, &rejection.body_text()),
    };
    let upgrade = upgrade.max_message_size(endpoint.body_bytes).max_frame_size(endpoint.body_bytes).protocols([socket::PROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return problem(StatusCode::BAD_REQUEST, BAD_REQUEST, "The one WebSocket protocol spoken here is graphql-transport-ws.");
    }
    let Endpoint { executor, callers, stop, .. } = endpoint;
    upgrade.on_upgrade(move |socket| socket::serve(socket, executor.for_socket(), callers, parts, stop)).into_response()
}

/// JSON in UTF-8, and nothing that a form of a web page can produce.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(JSON));
    let charset = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset")));
    let utf8 = charset.is_none_or(|(_, charset)| charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"));
    let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    essence && utf8 && !encoded
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Response<Body>> {
    let too_large = || {
        let message = format!("The body is larger than {limit} bytes.");
        problem(StatusCode::PAYLOAD_TOO_LARGE, LIMIT_EXCEEDED, &message)
    };
    let mut chunks = body.into_data_stream();
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        // A client that waits to be asked for the body has not begun to send it.
        if !headers.contains_key(header::EXPECT) {
            drain(chunks, limit).await;
        }
        return Err(too_large());
    }
    let mut whole = Vec::with_capacity(announced.unwrap_or_default());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| problem(StatusCode::BAD_REQUEST, BAD_REQUEST, "The body could not be read."))?;
        if whole.len() + chunk.len() > limit {
            drain(chunks, limit).await;
            return Err(too_large());
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

async fn drain(mut chunks: BodyDataStream, limit: usize) {
    let mut left = limit.saturating_mul(DRAIN);
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // Whether the client came to an end or not, it is answered now.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

/// The operation in the body of a POST.
fn from_json(body: &[u8]) -> Result<Operation, &'static str> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err("The body is empty: send JSON with `query` and, if wanted, `variables` and `operationName`.");
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| "The body is not valid JSON.")?;
    let mut parameters = match value {
        Value::Object(parameters) => parameters,
        Value::List(_) => return Err("Batches are not supported: send one operation per request."),
        _ => return Err("The body must be a JSON object."),
    };
    let mut take = |name: &str| parameters.swap_remove(name).unwrap_or_default();
    operation(take("query"), take("operationName"), take("variables"), take("extensions"))
}

/// The operation in the query string of a GET; `variables` and `extensions` are JSON.
fn from_query_string(uri: &Uri) -> Result<Operation, &'static str> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| "The query string is not well-formed.")?.0;
    let (mut query, mut name, mut variables, mut extensions) = (Value::Null, Value::Null, Value::Null, Value::Null);
    let json = |text: &str| match text {
        "" => Ok(Value::Null),
        text => serde_json::from_str(text).map_err(|_| "`variables` and `extensions` must be JSON."),
    };
    for (key, text) in pairs {
        match key.as_str() {
            "query" => query = Value::String(text),
            "operationName" if !text.is_empty() => name = Value::String(text),
            "variables" => variables = json(&text)?,
            "extensions" => extensions = json(&text)?,
            _ => {}
        }
    }
    operation(query, name, variables, extensions)
}

fn operation(query: Value, name: Value, variables: Value, extensions: Value) -> Result<Operation, &'static str> {
    let Value::String(query) = query else { return Err("`query` must be given, as a string.") };
    let mut operation = Operation::new(query);
    operation.operation_name = match name {
        Value::Null => None,
        Value::String(name) => Some(name),
        _ => return Err("`operationName` must be a string."),
    };
    operation.variables = match variables {
        Value::Null => Variables::default(),
        map @ Value::Object(_) => Variables::from_value(map),
        _ => return Err("`variables` must be an object."),
    };
    operation.extensions = match extensions {
        Value::Null => Extensions::default(),
        Value::Object(map) => Extensions(map.into_iter().map(|(name, value)| (name.to_string(), value)).collect()),
        _ => return Err("`extensions` must be an object."),
    };
    Ok(operation)
}

/// The body of an answer. `data` is there exactly when something ran.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

fn respond(outcome: Outcome, media: &'static str) -> Response<Body> {
    let Outcome { response, stage, operation } = outcome;
    let status = match stage {
        Stage::Ran => StatusCode::OK,
        Stage::Refused if media == GRAPHQL_RESPONSE => refusal_status(&response.errors),
        Stage::Refused => StatusCode::OK,
        Stage::NotCarried => StatusCode::METHOD_NOT_ALLOWED,
        Stage::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        Stage::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut answer = write(&response, stage == Stage::Ran, status, media);
    if stage == Stage::NotCarried {
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    answer.headers_mut().extend(response.http_headers);
    if let Some(operation) = operation {
        answer.extensions_mut().insert(operation);
    }
    answer
}

fn not_admitted(error: ServerError, media: &'static str) -> Response<Body> {
    let response = Answer::from_errors(vec![error]);
    let status = if media == GRAPHQL_RESPONSE { refusal_status(&response.errors) } else { StatusCode::OK };
    write(&response, false, status, media)
}

fn refusal_status(errors: &[ServerError]) -> StatusCode {
    let code = errors.first().and_then(|error| error.extensions.as_ref()).and_then(|extensions| extensions.get("code"));
    match code {
        Some(Value::String(code)) => match code.as_str() {
            "UNAUTHENTICATED" => StatusCode::UNAUTHORIZED,
            "FORBIDDEN" => StatusCode::FORBIDDEN,
            "RATE_LIMITED" => StatusCode::TOO_MANY_REQUESTS,
            "INTERNAL" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        },
        _ => StatusCode::BAD_REQUEST,
    }
}

fn write(response: &Answer, data: bool, status: StatusCode, media: &'static str) -> Response<Body> {
    let wire = Wire { data: data.then_some(&response.data), errors: &response.errors, extensions: &response.extensions };
    let Ok(body) = serde_json::to_vec(&wire) else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "The answer could not be written.");
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let content_type =
        if media == GRAPHQL_RESPONSE { "application/graphql-response+json; charset=utf-8" } else { "application/json; charset=utf-8" };
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn graphiql() -> Response<Body> {
    let page = GraphiQLSource::build().endpoint(PATH).subscription_endpoint(PATH).title("Bursar").finish();
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

fn not_acceptable() -> Response<Body> {
    let message = "Answers are application/json or application/graphql-response+json; the Accept header allows neither.";
    problem(StatusCode::NOT_ACCEPTABLE, BAD_REQUEST, message)
}

fn method_not_allowed(allow: &'static str, message: &str) -> Response<Body> {
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, BAD_REQUEST, message);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}
