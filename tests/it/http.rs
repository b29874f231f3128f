//! The HTTP layer on a schema of its own: media types and status codes, what is refused before anything runs, what is
//! logged, and the same over WebSocket.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_graphql::{
    Context, Data, EmptySubscription, Enum, ErrorExtensions, InputObject, Object, Schema, ServerError, SimpleObject, Subscription,
    Variables,
    futures_util::{SinkExt, Stream, StreamExt, stream},
};
use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, header, request::Parts},
    middleware::from_fn,
    routing::get,
};
use bursar::{
    graphql::{
        executor::{Guarded, RequestId},
        limits::{Limits, Refusal, check},
        model::SchemaModel,
    },
    http::{
        accept,
        client_ip::{ClientIp, TrustedProxies, client_ip},
        cors,
        graphql::{Callers, Endpoint},
        headers, health, metrics, observe,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// What graphql-js 16 sends with every option on.
const INTROSPECTION: &str = include_str!("introspection.graphql");

// ---- a small schema -------------------------------------------------------------------------------------------------

/// How often resolvers ran, and what mutations did.
#[derive(Default)]
struct Seen {
    resolved: AtomicUsize,
    bumped: AtomicUsize,
    /// What the slow mutation waits for.
    go_on: Notify,
}

/// Who asks, as `Callers` found out.
struct Who(String);

#[derive(SimpleObject)]
struct Item {
    id: i32,
    title: String,
}

#[derive(SimpleObject)]
struct ItemConnection {
    nodes: Vec<Item>,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Title,
    Price,
}

#[derive(InputObject)]
struct Filter {
    title: String,
    sort: Option<Sort>,
}

struct Course;

#[Object]
impl Course {
    async fn title(&self) -> &str {
        "Money"
    }

    async fn library(&self) -> Library {
        Library
    }
}

struct Library;

#[Object]
impl Library {
    async fn courses(&self) -> Vec<Course> {
        vec![Course]
    }
}

fn explode<T>(text: &str) -> T {
    panic!("{text}")
}

fn refusal() -> async_graphql::Error {
    async_graphql::Error::new("Not for you.").extend_with(|_, extensions| extensions.set("code", "FORBIDDEN"))
}

/// Fields that fail, each with another declaration.
struct Shelf;

#[Object]
impl Shelf {
    async fn name(&self) -> &str {
        "top"
    }

    /// Ready after everything that is ready at once.
    async fn late(&self) -> &str {
        tokio::task::yield_now().await;
        "late"
    }

    async fn nullable(&self) -> async_graphql::Result<Option<i32>> {
        Err(refusal())
    }

    async fn required(&self) -> async_graphql::Result<i32> {
        Err(refusal())
    }

    async fn boxes(&self) -> Option<Vec<Shelf>> {
        Some(vec![Shelf])
    }

    async fn inner(&self) -> Shelf {
        Shelf
    }
}

#[derive(async_graphql::Union)]
enum Holder {
    Shelf(Shelf),
    Library(Library),
}

fn seen<'a>(ctx: &Context<'a>) -> &'a Seen {
    let seen = ctx.data_unchecked::<Arc<Seen>>();
    seen.resolved.fetch_add(1, Ordering::Relaxed);
    seen
}

struct Query;

#[Object]
impl Query {
    async fn hello(&self, ctx: &Context<'_>) -> String {
        seen(ctx);
        format!("Hello, {}", ctx.data_unchecked::<Who>().0)
    }

    async fn request_id(&self, ctx: &Context<'_>) -> String {
        ctx.data_unchecked::<RequestId>().to_string()
    }

    async fn echo(&self, text: String) -> String {
        text
    }

    /// Ready after everything that is ready at once.
    async fn late(&self) -> &str {
        tokio::task::yield_now().await;
        "late"
    }

    async fn count(&self, filter: Filter) -> usize {
        filter.title.len() + usize::from(filter.sort == Some(Sort::Price))
    }

    async fn items(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> ItemConnection {
        seen(ctx);
        let nodes = (0..first.unwrap_or(20)).map(|id| Item { id, title: after.clone().unwrap_or_default() }).collect();
        ItemConnection { nodes }
    }

    async fn course(&self, ctx: &Context<'_>) -> Course {
        seen(ctx);
        Course
    }

    async fn leak(&self) -> async_graphql::Result<Option<i32>> {
        Err("UNIQUE constraint failed: account.email".into())
    }

    /// Fails, and may not be null.
    async fn broken(&self) -> async_graphql::Result<i32> {
        Err(refusal())
    }

    async fn shelf(&self) -> Option<Shelf> {
        Some(Shelf)
    }

    async fn shelves(&self) -> Vec<Option<Shelf>> {
        vec![Some(Shelf), None, Some(Shelf)]
    }

    async fn holder(&self) -> Holder {
        Holder::Shelf(Shelf)
    }

    async fn forbidden(&self) -> async_graphql::Result<Option<i32>> {
        Err(refusal())
    }

    async fn boom(&self) -> Option<i32> {
        explode("a secret in a panic")
    }

    async fn endless(&self) -> i32 {
        std::future::pending().await
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn bump(&self, ctx: &Context<'_>) -> usize {
        seen(ctx).bumped.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn slow_bump(&self, ctx: &Context<'_>) -> usize {
        let seen = seen(ctx);
        seen.go_on.notified().await;
        seen.bumped.fetch_add(1, Ordering::Relaxed) + 1
    }
}

struct Live;

#[Subscription]
impl Live {
    async fn ticks(&self, count: i32) -> impl Stream<Item = i32> {
        stream::iter(0..count)
    }

    async fn unopened(&self) -> async_graphql::Result<stream::Empty<i32>> {
        Err("UNIQUE constraint failed: account.email".into())
    }

    async fn torn(&self) -> impl Stream<Item = async_graphql::Result<i32>> {
        stream::iter([Ok(1), Err("UNIQUE constraint failed: account.email".into())])
    }

    async fn forever(&self) -> impl Stream<Item = i32> {
        stream::pending()
    }
}

// ---- the server -----------------------------------------------------------------------------------------------------

struct Door;

fn admit(who: &str) -> Result<Data, ServerError> {
    if who == "dead" {
        let mut error = ServerError::new("Sign in again.", None);
        error.extensions.get_or_insert_default().set("code", "UNAUTHENTICATED");
        return Err(error);
    }
    let mut data = Data::default();
    data.insert(Who(who.to_owned()));
    Ok(data)
}

#[async_trait]
impl Callers for Door {
    async fn of_request(&self, parts: &Parts) -> Result<Data, ServerError> {
        let who = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        admit(who.unwrap_or("guest"))
    }

    async fn of_socket(&self, _parts: &Parts, init: Value) -> Result<Data, ServerError> {
        admit(init["who"].as_str().unwrap_or("guest"))
    }
}

struct Server {
    router: Router,
    guarded: Guarded<Schema<Query, Mutation, Live>>,
    seen: Arc<Seen>,
    stop: CancellationToken,
}

fn server_with(limits: Limits) -> Server {
    let seen = Arc::new(Seen::default());
    let schema = Schema::build(Query, Mutation, Live).data(seen.clone()).finish();
    let sdl = schema.sdl();
    let guarded = Guarded::new(schema, &sdl, limits).expect("the library's SDL can be read back");
    let stop = CancellationToken::new();
    let routes = Endpoint::new(guarded.clone(), Arc::new(Door)).stop_with(stop.clone()).routes();
    let router = routes.route("/panic", get(async || explode::<String>("a secret in a handler"))).layer(from_fn(headers::security));
    Server { router: observe::apply(router, TrustedProxies::default()), guarded, seen, stop }
}

fn server() -> Server {
    server_with(Limits::default())
}

#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }

    fn code(&self) -> Value {
        self.json()["errors"][0]["extensions"]["code"].clone()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers here are ASCII"))
    }
}

impl Server {
    async fn send(&self, request: Request<Body>) -> Reply {
        send(&self.router, request).await
    }

    /// POST as most clients do it, accepting both media types.
    async fn post(&self, body: impl Into<Body>, accept: &str) -> Reply {
        let request = Request::post("/graphql").header("content-type", "application/json").header("accept", accept);
        self.send(request.body(body.into()).expect("a request")).await
    }

    async fn query(&self, query: &str) -> Reply {
        self.post(json!({ "query": query }).to_string(), "application/graphql-response+json").await
    }

    async fn get(&self, path: &str, accept: &str) -> Reply {
        self.send(Request::get(path).header("accept", accept).body(Body::empty()).expect("a request")).await
    }

    fn resolved(&self) -> usize {
        self.seen.resolved.load(Ordering::Relaxed)
    }

    fn bumped(&self) -> usize {
        self.seen.bumped.load(Ordering::Relaxed)
    }

    /// What every refusal must leave behind: nothing ran, and the next caller is served.
    async fn assert_untouched(&self) {
        assert_eq!((self.resolved(), self.bumped()), (0, 0), "a resolver ran");
        assert_eq!(self.query("{ hello }").await.json()["data"], json!({ "hello": "Hello, guest" }));
    }

    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let service = self.router.clone().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        address
    }
}

async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.expect("routers do not fail");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("the body of the answer");
    Reply { status: parts.status, headers: parts.headers, body: String::from_utf8(body.into()).expect("UTF-8") }
}

// ---- media types and status codes -----------------------------------------------------------------------------------

/// SPEC: GraphQL over HTTP media types and status codes; `data` is there exactly when something ran.
#[tokio::test]
async fn each_outcome_has_its_status_in_each_media_type() {
    let server = server();
    let new = "application/graphql-response+json";
    let old = "application/json";
    // query, data there?, code of the first error, status as `new`, status as `old`
    let cases = [
        ("{ hello }", true, Value::Null, 200, 200),
        ("{ forbidden }", true, json!("FORBIDDEN"), 200, 200),
        ("{", false, json!("BAD_REQUEST"), 400, 200),
        ("", false, json!("BAD_REQUEST"), 400, 200),
        ("{ nonsense }", false, json!("BAD_REQUEST"), 400, 200),
        ("fragment F on Query { hello }", false, json!("BAD_REQUEST"), 400, 200),
        ("query A { hello } query B { hello }", false, json!("BAD_REQUEST"), 400, 200),
        ("query($unused: Int) { hello }", false, json!("BAD_REQUEST"), 400, 200),
        ("{ echo(text: 7) }", false, json!("BAD_INPUT"), 400, 200),
        ("query($text: String!) { echo(text: $text) }", false, json!("BAD_INPUT"), 400, 200),
        ("subscription { ticks(count: 1) }", false, json!("BAD_REQUEST"), 400, 200),
        ("{ boom }", false, json!("INTERNAL"), 500, 500),
    ];
    for (query, data, code, as_new, as_old) in cases {
        for (accept, status) in [(new, as_new), (old, as_old)] {
            let reply = server.post(json!({ "query": query }).to_string(), accept).await;
            assert_eq!(reply.status.as_u16(), status, "{query} as {accept}: {}", reply.body);
            assert_eq!(reply.header("content-type"), format!("{accept}; charset=utf-8"), "{query}");
            assert_eq!(reply.json().get("data").is_some(), data, "{query} as {accept}: {}", reply.body);
            assert_eq!(reply.code(), code, "{query} as {accept}: {}", reply.body);
        }
    }
}

/// STACK's table: whatever `Accept` said, the stock handler answered in one type.
#[tokio::test]
async fn the_accept_header_chooses_the_media_type() {
    let server = server();
    let check = async |accept: Option<&str>, expected: &str| {
        let mut request = Request::post("/graphql").header("content-type", "application/json");
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let reply = server.send(request.body(Body::from(r#"{"query":"{ hello }"}"#)).expect("a request")).await;
        assert_eq!(reply.header("content-type"), format!("{expected}; charset=utf-8"), "{accept:?}");
        reply
    };
    check(None, "application/json").await;
    check(Some("*/*"), "application/json").await;
    check(Some("application/*"), "application/json").await;
    check(Some("application/graphql-response+json"), "application/graphql-response+json").await;
    check(Some("application/graphql-response+json; charset=utf-8, application/json; charset=utf-8"), "application/graphql-response+json")
        .await;
    check(Some("application/json, application/graphql-response+json"), "application/json").await;
    check(Some("application/json;q=0.5, application/graphql-response+json;q=0.9"), "application/graphql-response+json").await;
    let refused = check(Some("text/html"), "application/json").await;
    assert_eq!((refused.status, refused.code()), (StatusCode::NOT_ACCEPTABLE, json!("BAD_REQUEST")));
    let refused = check(Some("application/json;q=0, application/graphql-response+json;q=0"), "application/json").await;
    assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE);
}

#[test]
fn accept_headers_are_read_as_rfc_9110_says() {
    let check = |header: &str, expected: Option<usize>| {
        let headers: HeaderMap = [(header::ACCEPT, header.parse().expect("a header"))].into_iter().collect();
        assert_eq!(accept::best(&headers, &["application/json", "text/html"]), expected, "{header}");
    };
    check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(1));
    check("APPLICATION/JSON", Some(0));
    check("text/*, application/json;q=0.9", Some(1));
    check("*/*;q=1, application/json;q=0", Some(1));
    check("*/*;q=0", None);
    check("application/json;q=0.001", Some(0));
    check("application/json;q=0.0001, image/png", None);
    check("text/plain", None);
}

/// STACK's table: a form or plain text was executed, which any web page may send with the visitor's cookies.
#[tokio::test]
async fn post_takes_json_only() {
    let server = server();
    let body = r#"{"query":"mutation { bump }"}"#;
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/json; charset=latin1"),
        Some("application/jsonp"),
    ] {
        let mut request = Request::post("/graphql");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let reply = server.send(request.body(Body::from(body)).expect("a request")).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, json!("BAD_REQUEST")), "{content_type:?}");
    }
    server.assert_untouched().await;
    let request = Request::post("/graphql").header("content-type", "Application/JSON ; Charset=\"UTF-8\"");
    let reply = server.send(request.body(Body::from(body)).expect("a request")).await;
    assert_eq!(reply.json()["data"], json!({ "bump": 1 }));
}

#[tokio::test]
async fn get_runs_queries_only() {
    let server = server();
    let reply = server.get("/graphql?query=mutation+%7B+bump+%7D", "application/json").await;
    assert_eq!((reply.status, reply.header("allow"), reply.code()), (StatusCode::METHOD_NOT_ALLOWED, "POST", json!("BAD_REQUEST")));
    server.assert_untouched().await;

    let query =
        "/graphql?query=query%20Q(%24text:String!)%7Becho(text:%24text)%7D&variables=%7B%22text%22:%22a%20%26%20b%22%7D&operationName=Q";
    assert_eq!(server.get(query, "*/*").await.json()["data"], json!({ "echo": "a & b" }));

    for path in [
        "/graphql",
        "/graphql?query=%7Bhello%7D&variables=%7B",
        "/graphql?query=%7Bhello%7D&variables=7",
        "/graphql?query=%7Bhello%7D&extensions=%5B%5D",
    ] {
        let reply = server.get(path, "*/*").await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, json!("BAD_REQUEST")), "{path}");
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let reply = server.send(Request::builder().method(method).uri("/graphql").body(Body::empty()).expect("a request")).await;
        assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, POST"));
    }
}

#[tokio::test]
async fn a_browser_gets_graphiql() {
    let reply = server().get("/graphql", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8").await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(reply.body.contains("GraphiQL"));
}

/// STACK's table: a missing query was 200, malformed JSON answered in Rust's own words.
#[tokio::test]
async fn what_is_no_graphql_request_is_400_with_json() {
    let server = server();
    for body in [
        "",
        "{",
        "\u{feff}{}",
        "{ \"not a JSON",
        "null",
        "7",
        "[]",
        r#"[{"query":"{ hello }"}]"#,
        "{}",
        r#"{"query":null}"#,
        r#"{"query":7}"#,
        r#"{"query":"{ hello }","variables":[]}"#,
        r#"{"query":"{ hello }","variables":"{}"}"#,
        r#"{"query":"{ hello }","operationName":7}"#,
        r#"{"query":"{ hello }","extensions":false}"#,
        r#"{"id":"persisted"}"#,
    ] {
        for accept in ["application/json", "application/graphql-response+json"] {
            let reply = server.post(body, accept).await;
            assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, json!("BAD_REQUEST")), "{body}: {}", reply.body);
            assert!(reply.json().get("data").is_none());
        }
    }
    let reply = server.post(&b"{\"query\":\"\xff\"}"[..], "*/*").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let nested = format!(r#"{{"query":"{{ hello }}","variables":{}}}"#, "[".repeat(100_000));
    assert_eq!(server.post(nested, "*/*").await.status, StatusCode::BAD_REQUEST);
    server.assert_untouched().await;
    let nulls = r#"{"query":"{ hello }","variables":null,"operationName":null,"extensions":null}"#;
    assert_eq!(server.post(nulls, "*/*").await.json()["data"], json!({ "hello": "Hello, guest" }));
}

/// Bad input of the issue: a body of 10 MB, announced and in chunks, through a socket as well.
#[tokio::test]
async fn a_body_of_10_mb_is_413() {
    let server = server();
    let body = format!(r#"{{"query":"{{ hello }}","variables":{{"x":"{}"}}}}"#, "x".repeat(10_000_000));
    let post = || Request::post("/graphql").header("content-type", "application/json");
    let announced = post().header("content-length", body.len()).body(Body::from(body.clone())).expect("a request");
    let pieces: Vec<Result<String, std::io::Error>> =
        body.as_bytes().chunks(65_536).map(|piece| Ok(String::from_utf8_lossy(piece).into_owned())).collect();
    let chunked = post().body(Body::from_stream(stream::iter(pieces))).expect("a request");
    for request in [announced, chunked] {
        let reply = server.send(request).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::PAYLOAD_TOO_LARGE, json!("LIMIT_EXCEEDED")));
    }
    let over_the_wire = over_the_wire(server.listen().await, &body).await;
    assert!(over_the_wire.starts_with("HTTP/1.1 413"), "{over_the_wire}");
    server.assert_untouched().await;
}

/// A client that sends all it has before it reads: it must find the answer, not a reset connection.
async fn over_the_wire(address: SocketAddr, body: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.expect("the head is sent");
    socket.write_all(body.as_bytes()).await.expect("the body is sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_dead_sign_in_is_refused_before_anything_runs() {
    let server = server();
    for (accept, status) in [("application/graphql-response+json", 401), ("application/json", 200)] {
        let request = Request::post("/graphql").header("content-type", "application/json").header("accept", accept);
        let request = request.header("authorization", "dead").body(Body::from(r#"{"query":"{ hello }"}"#)).expect("a request");
        let reply = server.send(request).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (status, json!("UNAUTHENTICATED")));
        assert!(reply.json().get("data").is_none());
    }
    server.assert_untouched().await;
}

// ---- errors ---------------------------------------------------------------------------------------------------------

/// No SQL text ever reaches a caller: an error without a code of ours is nobody's to read.
#[tokio::test]
async fn an_error_that_nobody_meant_for_the_caller_is_masked() {
    let server = server();
    let request = Request::post("/graphql").header("content-type", "application/json").header("x-request-id", "test-0001.a");
    let reply = server.send(request.body(Body::from(r#"{"query":"{ leak hello }"}"#)).expect("a request")).await;
    assert_eq!(reply.json()["data"], json!({ "leak": null, "hello": "Hello, guest" }));
    assert_eq!(reply.json()["errors"][0]["extensions"], json!({ "code": "INTERNAL", "requestId": "test-0001.a" }));
    assert!(!reply.body.contains("UNIQUE"), "{}", reply.body);

    let reply = server.query("{ boom }").await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(reply.json()["errors"][0]["extensions"]["requestId"], json!(reply.header("x-request-id")));
    assert!(!reply.body.contains("secret"), "{}", reply.body);

    let reply = server.get("/panic", "*/*").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::INTERNAL_SERVER_ERROR, json!("INTERNAL")));
    assert!(!reply.body.contains("secret"), "{}", reply.body);
}

/// The specification's rule for fields that fail, which the library does not keep: such a field is null, and where it
/// must not be, the nearest object or list around it that may be.
#[tokio::test]
async fn a_field_that_failed_is_null_and_takes_along_what_must_not_be() {
    let server = server();
    let check = async |query: &str, expected: Value| {
        let reply = server.query(query).await;
        assert_eq!(reply.json()["data"], expected, "{query}: {}", reply.body);
        assert_eq!((reply.status, reply.code()), (StatusCode::OK, json!("FORBIDDEN")), "{query}: {}", reply.body);
    };
    check("{ forbidden }", json!({ "forbidden": null })).await;
    check("{ a: forbidden b: forbidden hello }", json!({ "a": null, "b": null, "hello": "Hello, guest" })).await;
    check("{ broken hello }", json!(null)).await;
    check("{ shelf { name nullable } }", json!({ "shelf": { "name": "top", "nullable": null } })).await;
    check("{ shelf { nullable } }", json!({ "shelf": { "nullable": null } })).await;
    check("{ shelf { name required } hello }", json!({ "shelf": null, "hello": "Hello, guest" })).await;
    check("{ shelf { name inner { inner { required } } } hello }", json!({ "shelf": null, "hello": "Hello, guest" })).await;
    check("{ shelf { name boxes { required } } }", json!({ "shelf": { "name": "top", "boxes": null } })).await;
    check("{ shelves { name required } }", json!({ "shelves": [null, null, null] })).await;
    check("{ shelves { nullable } }", json!({ "shelves": [{ "nullable": null }, null, { "nullable": null }] })).await;
    check("{ holder { ... on Shelf { required } } hello }", json!(null)).await;
    check(
        "\"described \\u{41}\" query Q { ...F } fragment F on Query { shelf { ... on Shelf { x: name y: required } } }",
        json!({ "shelf": null }),
    )
    .await;
}

/// GraphQL: fields are answered in the order in which they were asked for, at every level, whichever is ready first, and where one failed too.
#[tokio::test]
async fn fields_come_in_the_order_of_the_query() {
    let server = server();
    for (query, data) in [
        ("{ late hello }", r#"{"late":"late","hello":"Hello, guest"}"#),
        ("{ b: late a: echo(text: \"a\") c: late }", r#"{"b":"late","a":"a","c":"late"}"#),
        (
            "{ shelf { late name inner { late name } } late }",
            r#"{"shelf":{"late":"late","name":"top","inner":{"late":"late","name":"top"}},"late":"late"}"#,
        ),
        ("{ shelves { late name } }", r#"{"shelves":[{"late":"late","name":"top"},null,{"late":"late","name":"top"}]}"#),
        // What is asked for twice stands where it was asked for first, with all of its fields.
        ("{ shelf { late } echo(text: \"\") shelf { name } }", r#"{"shelf":{"late":"late","name":"top"},"echo":""}"#),
        (
            "{ ...A echo(text: \"\") } fragment A on Query { late shelf { ...B name } } fragment B on Shelf { late __typename }",
            r#"{"late":"late","shelf":{"late":"late","__typename":"Shelf","name":"top"},"echo":""}"#,
        ),
        (
            "query($no: Boolean = false) { hello @include(if: $no) ... @skip(if: true) { hello } late hello }",
            r#"{"late":"late","hello":"Hello, guest"}"#,
        ),
        ("{ holder { ... on Library { __typename } ... on Shelf { late name } } }", r#"{"holder":{"late":"late","name":"top"}}"#),
        ("{ forbidden late leak hello }", r#"{"forbidden":null,"late":"late","leak":null,"hello":"Hello, guest"}"#),
    ] {
        let body = server.query(query).await.body;
        assert!(body.starts_with(&format!(r#"{{"data":{data},"#)), "{query}: {body}");
    }
}

#[tokio::test]
async fn values_that_do_not_fit_are_bad_input() {
    let server = server();
    let check = async |query: &str, variables: Value| {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let reply = server.post(body, "application/graphql-response+json").await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, json!("BAD_INPUT")), "{query} {variables}: {}", reply.body);
    };
    let echo = "query($text: String!) { echo(text: $text) }";
    check(echo, json!({})).await;
    check(echo, json!({ "text": null })).await;
    check(echo, json!({ "text": 7 })).await;
    let count = "query($filter: Filter!) { count(filter: $filter) }";
    check(count, json!({ "filter": { "title": "a", "sort": "COLOUR" } })).await;
    check(count, json!({ "filter": { "sort": "PRICE" } })).await;
    check(count, json!({ "filter": { "title": "a", "unknown": 1 } })).await;
    check("{ items(first: \"many\") { nodes { id } } }", json!({})).await;
    let body = json!({ "query": count, "variables": { "filter": { "title": "abc", "sort": "PRICE" } } }).to_string();
    assert_eq!(server.post(body, "*/*").await.json()["data"], json!({ "count": 4 }));
    // A default stands in for a variable that is not given.
    assert_eq!(server.query("query($text: String! = \"b\") { echo(text: $text) }").await.json()["data"], json!({ "echo": "b" }));
}

/// STACK: an answer to a syntax error could be as long as the query.
#[tokio::test]
async fn a_refusal_does_not_quote_the_query() {
    let server = server();
    for query in [
        format!("{{ hello(secret: \"{}\" }}", "s".repeat(50_000)),
        format!("{{ {} }}", "wrong ".repeat(1_900)),
        format!("{{ {} }}", "n".repeat(5_000)),
    ] {
        let reply = server.query(&query).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, json!("BAD_REQUEST")));
        assert!(reply.body.len() < 5_000, "{}", reply.body);
        assert!(!reply.body.contains("sss"), "{}", reply.body);
    }
    server.assert_untouched().await;
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_given_up() {
    let reply = server_with(Limits { time: Duration::from_millis(20), ..Limits::default() }).query("{ endless }").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::SERVICE_UNAVAILABLE, json!("LIMIT_EXCEEDED")));
    assert!(reply.json().get("data").is_none());
}

/// Neither the time limit nor a client that hangs up cuts a mutation in half.
#[tokio::test]
async fn a_mutation_comes_to_its_end_unheard() {
    let server = server_with(Limits { time: Duration::from_millis(200), ..Limits::default() });
    let reply = server.query("mutation { slowBump }").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::SERVICE_UNAVAILABLE, json!("LIMIT_EXCEEDED")));
    let hung_up = tokio::time::timeout(Duration::from_millis(20), server.query("mutation { slowBump }")).await;
    assert!(hung_up.is_err());
    assert_eq!((server.resolved(), server.bumped()), (2, 0));

    server.seen.go_on.notify_waiters();
    server.guarded.tasks().close();
    server.guarded.tasks().wait().await;
    assert_eq!(server.bumped(), 2);
}

// ---- C47: deep, wide and fragment-hidden ----------------------------------------------------------------------------

/// n fragments, each spreading the next twice: 2^n fields from a few hundred bytes.
fn fragment_bomb(n: usize, last: &str) -> String {
    let mut document = String::from("{ course { ...F0 } }");
    for i in 0..n {
        write!(document, " fragment F{i} on Course {{ ...F{next} ...F{next} }}", next = i + 1).expect("strings grow");
    }
    write!(document, " fragment F{n} on Course {{ {last} }}").expect("strings grow");
    document
}

fn courses(depth: usize) -> String {
    format!("{{ course {{ {} title {} }} }}", "library { courses { ".repeat(depth / 2), "} }".repeat(depth / 2))
}

fn c47_documents() -> Vec<(&'static str, String, &'static str)> {
    let deep_in_fragments = || {
        let mut document = String::from("{ course { ...F0 } }");
        for i in 0..25 {
            write!(document, " fragment F{i} on Course {{ library {{ courses {{ ...F{} }} }} }}", i + 1).expect("strings grow");
        }
        document + " fragment F25 on Course { title }"
    };
    let list_of = |one: &dyn Fn(usize) -> String, n: usize| format!("{{ {} }}", (0..n).map(one).collect::<Vec<_>>().join(" "));
    let aliases = list_of(&|i| format!("a{i}: items(first: 1) {{ nodes {{ id }} }}"), 1_000);
    let repeats = list_of(&|_| "items(first: 100) { nodes { id } }".into(), 300);
    let page_in_page = "{ a: items(first: 100) { nodes { id } } course { library { courses { library { courses { library { courses { library { \
        courses { library { courses { library { courses { title } } } } } } } } } } } } } }";
    let introspection = format!("{{ __schema {{ types {{ {} name {} }} }} }}", "fields { type { ".repeat(6), "} }".repeat(6));
    let widths = format!("{{ course {{ {} }} }}", "title ".repeat(2_001));
    let alias_bomb = {
        let spreads = (0..15).map(|i| format!("x{i}: course {{ ...A }}")).collect::<Vec<_>>().join(" ");
        let titles = (0..15).map(|i| format!("t{i}: title")).collect::<Vec<_>>().join(" ");
        format!("{{ {spreads} }} fragment A on Course {{ {titles} }}")
    };
    let many_operations = (0..101).map(|i| format!("query Q{i} {{ hello }} ")).collect::<String>();
    vec![
        ("50 deep", courses(50), "LIMIT_EXCEEDED"),
        ("50 deep in fragments", deep_in_fragments(), "LIMIT_EXCEEDED"),
        (
            "two fragments calling each other",
            "{ course { ...A } } fragment A on Course { ...B } fragment B on Course { ...A }".into(),
            "BAD_REQUEST",
        ),
        (
            "a fragment calling itself below a field",
            "{ course { ...A } } fragment A on Course { library { courses { ...A } } }".into(),
            "BAD_REQUEST",
        ),
        ("20000 levels", format!("{}{}", "{ course ".repeat(20_000), "}".repeat(20_000)), "LIMIT_EXCEEDED"),
        ("20000 levels, never closed", "{ course ".repeat(20_000), "LIMIT_EXCEEDED"),
        ("20000 lists in a value", format!("{{ echo(text: {}) }}", "[".repeat(20_000)), "LIMIT_EXCEEDED"),
        ("20000 objects in a default", format!("query($x: X = {}) {{ hello }}", "{a:".repeat(20_000)), "LIMIT_EXCEEDED"),
        ("20000 lists in a type", format!("query($x: {}Int) {{ hello }}", "[".repeat(20_000)), "LIMIT_EXCEEDED"),
        ("1000 aliases", aliases, "LIMIT_EXCEEDED"),
        ("300 repeats without alias", repeats, "LIMIT_EXCEEDED"),
        ("aliases in a fragment spread again and again", alias_bomb, "LIMIT_EXCEEDED"),
        ("lists in lists", page_in_page.into(), "LIMIT_EXCEEDED"),
        ("wide", widths, "LIMIT_EXCEEDED"),
        ("long", format!("{{ hello }} #{}", "x".repeat(256 * 1024)), "LIMIT_EXCEEDED"),
        ("many operations", many_operations, "LIMIT_EXCEEDED"),
        ("many words", format!("{{ hello {} }}", ", @include(if: true)".repeat(10_000)), "LIMIT_EXCEEDED"),
        ("many directives", format!("{{ hello {} }}", "@a ".repeat(9)), "LIMIT_EXCEEDED"),
        ("introspection in circles", introspection, "LIMIT_EXCEEDED"),
        ("fragment bomb", fragment_bomb(30, "title"), "LIMIT_EXCEEDED"),
        ("fragment bomb that leads nowhere", fragment_bomb(30, "...Unknown"), "LIMIT_EXCEEDED"),
        (
            "fragment bomb in an operation that is not the one",
            format!("query A {{ hello }} query B {}", fragment_bomb(30, "title")),
            "LIMIT_EXCEEDED",
        ),
    ]
}

/// C47 by HTTP. Without the check before the validator, the bomb alone would run for minutes.
#[tokio::test]
async fn c47_each_is_refused_before_a_resolver_runs() {
    for (what, query, code) in c47_documents() {
        let server = server();
        let body = json!({ "query": query, "operationName": query.starts_with("query A").then_some("A") }).to_string();
        let reply = server.post(body, "application/graphql-response+json").await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, json!(code)), "{what}: {}", reply.body);
        server.assert_untouched().await;
    }
}

/// C47: if introspection is on, the standard full query must pass the same limits.
#[tokio::test]
async fn c47_the_standard_introspection_query_passes() {
    let reply = server().query(INTROSPECTION).await;
    assert_eq!((reply.status, reply.json().get("errors").cloned()), (StatusCode::OK, None), "{}", reply.body);
    assert!(reply.json()["data"]["__schema"]["types"].as_array().is_some_and(|types| types.len() > 20));
}

/// The same documents over WebSocket: no way round the limits.
#[tokio::test]
async fn c47_each_is_refused_over_websocket() {
    for (what, query, code) in c47_documents() {
        let server = server();
        let mut socket = Socket::open(server.listen().await).await;
        socket.start(json!({})).await;
        socket.say(json!({ "type": "subscribe", "id": "1", "payload": { "query": query, "operationName": query.starts_with("query A").then_some("A") } })).await;
        let answer = socket.hear().await;
        assert_eq!(answer["payload"]["errors"][0]["extensions"]["code"], json!(code), "{what}: {answer}");
        assert_eq!(server.resolved(), 0, "{what}");
        assert_eq!(socket.hear().await, json!({ "type": "complete", "id": "1" }));
        socket.say(json!({ "type": "subscribe", "id": "2", "payload": { "query": "{ hello }" } })).await;
        assert_eq!(socket.hear().await["payload"]["data"], json!({ "hello": "Hello, guest" }));
    }
}

fn measured(query: &str, variables: Value) -> Result<usize, Refusal> {
    let sdl = Schema::build(Query, Mutation, EmptySubscription).finish().sdl();
    let model = SchemaModel::from_sdl(&sdl).expect("the library's SDL can be read back");
    check(query, None, &Variables::from_json(variables), &model, &Limits::default()).map(|checked| checked.cost)
}

/// C47: the cost of a page is its size times its children.
#[test]
fn c47_cost_of_a_page_is_its_size_times_its_children() {
    let cost = |query: &str, variables: Value| measured(query, variables).expect("within the limits");
    // A field of the operation 10, an object 1, a leaf nothing.
    assert_eq!(cost("{ hello }", json!({})), 10);
    assert_eq!(cost("{ course { title } }", json!({})), 10 + 1);
    // The page itself 1, and 7 nodes.
    assert_eq!(cost("{ items(first: 7) { nodes { id title } } }", json!({})), 10 + 1 + 7);
    assert_eq!(cost("{ items { nodes { id } } }", json!({})), 10 + 1 + 20);
    assert_eq!(cost("{ items(first: null) { nodes { id } } }", json!({})), 10 + 1 + 20);
    assert_eq!(cost("query($n: Int) { items(first: $n) { nodes { id } } }", json!({ "n": 9 })), 10 + 1 + 9);
    assert_eq!(cost("query($n: Int = 8) { items(first: $n) { nodes { id } } }", json!({})), 10 + 1 + 8);
    assert_eq!(cost("query($n: Int) { items(first: $n) { nodes { id } } }", json!({})), 10 + 1 + 20);
    // Through fragments the same as without.
    assert_eq!(cost("{ items(first: 7) { ...P } } fragment P on ItemConnection { nodes { ... on Item { id } } }", json!({})), 10 + 1 + 7);
    // A size that its resolver will refuse costs like the largest; none costs less than one entry.
    for size in ["5000", "-5", "99999999999999999999"] {
        assert_eq!(cost(&format!("{{ items(first: {size}) {{ nodes {{ id }} }} }}"), json!({})), 10 + 1 + 100, "{size}");
    }
    assert_eq!(cost("{ items(first: 0) { nodes { id } } }", json!({})), 10 + 1 + 1);
    // A list that is no page counts as five.
    assert_eq!(cost("{ course { library { courses { title } } } }", json!({})), 10 + 1 + 1 + 5);
}

#[tokio::test]
async fn the_cost_is_told() {
    let reply = server().query("{ items(first: 7) { nodes { id } } }").await;
    assert_eq!(reply.json()["extensions"]["cost"], json!(18));
}

/// What the parser of the library does not know of the specification of September 2025.
#[tokio::test]
async fn strings_may_hold_every_unicode_escape_and_definitions_a_description() {
    let server = server();
    let check = async |literal: &str, expected: &str| {
        let reply = server.query(&format!("{{ echo(text: {literal}) }}")).await;
        assert_eq!(reply.json()["data"]["echo"], json!(expected), "{literal}: {}", reply.body);
    };
    check(r#""a\u{1F600}b""#, "a😀b").await;
    check(r#""\uD83D\uDE00""#, "😀").await;
    check(r#""\u00e9\u{e9}é""#, "ééé").await;
    check(r#""\u{22}\u{5C}\u{A}\u0022""#, "\"\\\n\"").await;
    check(r#""\\u{1F600}""#, "\\u{1F600}").await;
    check(r#"" # { \"""#, " # { \"").await;
    check(r#""""raw \u{1F600} { # " "{""""#, "raw \\u{1F600} { # \" \"{").await;
    let escaped = format!(r##"{{ echo(text: """ \""" {} """) }}"##, "{".repeat(1_000));
    assert_eq!(server.query(&escaped).await.status, StatusCode::OK, "brackets in a string do not count");
    for literal in
        [r#""\u{110000}""#, r#""\uD83D""#, r#""\uDE00""#, r#""\u{}""#, r#""\u{zz}""#, r#""\u12""#, "\"open", "\"\"\"open", "\"a\nb\""]
    {
        let reply = server.query(&format!("{{ echo(text: {literal}) }}")).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, json!("BAD_REQUEST")), "{literal}: {}", reply.body);
    }
    let described = "\"\"\"Says\nhello {\"\"\" query Q { ...F } \"one \\u{1F600}\" fragment F on Query { hello # not } a } brace\n }";
    assert_eq!(server.query(described).await.json()["data"], json!({ "hello": "Hello, guest" }));
    let reply = server.query("\"\"\"two\nlines\"\"\" query Q { nonsense }").await;
    assert_eq!(reply.json()["errors"][0]["locations"], json!([{ "line": 2, "column": 20 }]), "positions stay those of the text sent");
}

// ---- WebSocket ------------------------------------------------------------------------------------------------------

struct Socket(tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>);

impl Socket {
    async fn open(address: SocketAddr) -> Self {
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("an address");
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a header"));
        let (socket, response) = connect_async(request).await.expect("it upgrades");
        assert_eq!(response.headers()["sec-websocket-protocol"], "graphql-transport-ws");
        Self(socket)
    }

    async fn start(&mut self, payload: Value) {
        self.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(self.hear().await["type"], "connection_ack");
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("the connection is open");
    }

    async fn next(&mut self) -> Message {
        self.0.next().await.expect("the connection is open").expect("a message")
    }

    async fn hear(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("expected text, got {other:?}"),
        }
    }

    async fn close_code(&mut self) -> u16 {
        match self.next().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("expected a close frame, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn subscriptions_are_served_over_graphql_transport_ws() {
    let server = server();
    let mut socket = Socket::open(server.listen().await).await;
    socket.start(json!({ "who": "Ann" })).await;
    socket.say(json!({ "type": "subscribe", "id": "t", "payload": { "query": "subscription($n: Int!) { ticks(count: $n) }", "variables": { "n": 2 } } })).await;
    for tick in 0..2 {
        let event = socket.hear().await;
        assert_eq!((&event["type"], &event["id"], &event["payload"]["data"]), (&json!("next"), &json!("t"), &json!({ "ticks": tick })));
    }
    assert_eq!(socket.hear().await, json!({ "type": "complete", "id": "t" }));
    // What `connection_init` said holds for every operation.
    socket.say(json!({ "type": "subscribe", "id": "q", "payload": { "query": "{ hello }" } })).await;
    assert_eq!(socket.hear().await["payload"]["data"], json!({ "hello": "Hello, Ann" }));
    assert_eq!(socket.hear().await["type"], "complete");
    socket.say(json!({ "type": "subscribe", "id": "m", "payload": { "query": "mutation { bump }" } })).await;
    assert_eq!(socket.hear().await["payload"]["data"], json!({ "bump": 1 }));
    assert_eq!(socket.hear().await["type"], "complete");
    socket.say(json!({ "type": "subscribe", "id": "l", "payload": { "query": "{ leak }" } })).await;
    assert_eq!(socket.hear().await["payload"]["errors"][0]["extensions"]["code"], json!("INTERNAL"));
    assert_eq!(socket.hear().await["type"], "complete");
    for (query, before) in [("subscription { unopened }", 0), ("subscription { torn }", 1)] {
        socket.say(json!({ "type": "subscribe", "id": "f", "payload": { "query": query } })).await;
        for _ in 0..before {
            socket.hear().await;
        }
        let event = socket.hear().await;
        assert_eq!(event["payload"]["errors"][0]["extensions"]["code"], json!("INTERNAL"), "{event}");
        assert!(!event.to_string().contains("UNIQUE"), "{event}");
        assert_eq!(socket.hear().await["type"], "complete");
    }
    // The specification allows one field to a subscription; the library would mix the events of both.
    socket
        .say(json!({ "type": "subscribe", "id": "2", "payload": { "query": "subscription { a: ticks(count: 1) b: ticks(count: 1) }" } }))
        .await;
    assert_eq!(socket.hear().await["payload"]["errors"][0]["extensions"]["code"], json!("BAD_REQUEST"));
    assert_eq!(socket.hear().await["type"], "complete");
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.hear().await["type"], "pong");
    server.stop.cancel();
    assert_eq!(socket.close_code().await, 1001);
}

#[tokio::test]
async fn a_websocket_is_closed_with_the_code_of_the_protocol() {
    let server = server();
    let address = server.listen().await;
    let closes = async |messages: &[Value], code: u16| {
        let mut socket = Socket::open(address).await;
        for message in messages {
            socket.say(message.clone()).await;
        }
        assert_eq!(socket.close_code().await, code, "{messages:?}");
    };
    closes(&[json!({ "type": "subscribe", "id": "1", "payload": { "query": "{ hello }" } })], 4401).await;
    closes(&[json!({ "type": "connection_init", "payload": { "who": "dead" } })], 4403).await;
    closes(&[json!({ "type": "nonsense" })], 4400).await;
    closes(&[json!("nonsense")], 4400).await;
    let mut twice = Socket::open(address).await;
    twice.start(json!({})).await;
    twice.say(json!({ "type": "connection_init" })).await;
    assert_eq!(twice.close_code().await, 4429);

    let mut legacy = format!("ws://{address}/graphql").into_client_request().expect("an address");
    legacy.headers_mut().insert("sec-websocket-protocol", "graphql-ws".parse().expect("a header"));
    assert!(connect_async(legacy).await.is_err(), "the older protocol is not spoken");
    server.assert_untouched().await;
}

#[tokio::test]
async fn operations_on_one_websocket_are_bounded() {
    let server = server_with(Limits { operations_per_socket: 3, ..Limits::default() });
    let mut socket = Socket::open(server.listen().await).await;
    socket.start(json!({})).await;
    for id in 1..=4 {
        socket.say(json!({ "type": "subscribe", "id": id.to_string(), "payload": { "query": "subscription { forever }" } })).await;
    }
    let answer = socket.hear().await;
    assert_eq!((&answer["id"], &answer["payload"]["errors"][0]["extensions"]["code"]), (&json!("4"), &json!("LIMIT_EXCEEDED")));
    assert_eq!(socket.hear().await, json!({ "type": "complete", "id": "4" }));
    // One that ends makes room for another.
    socket.say(json!({ "type": "complete", "id": "1" })).await;
    assert_eq!(socket.hear().await, json!({ "type": "complete", "id": "1" }));
    socket.say(json!({ "type": "subscribe", "id": "5", "payload": { "query": "{ hello }" } })).await;
    assert_eq!(socket.hear().await["payload"]["data"], json!({ "hello": "Hello, guest" }));
}

// ---- around it ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn each_request_has_an_id() {
    let server = server();
    let ask = async |id: Option<&str>| {
        let mut request = Request::post("/graphql").header("content-type", "application/json");
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let reply = server.send(request.body(Body::from(r#"{"query":"{ requestId }"}"#)).expect("a request")).await;
        assert_eq!(reply.json()["data"]["requestId"], json!(reply.header("x-request-id")), "resolvers see the id that is returned");
        reply.header("x-request-id").to_owned()
    };
    assert_eq!(ask(Some("0af7651916cd43dd8448eb211c80319c")).await, "0af7651916cd43dd8448eb211c80319c");
    let long = "x".repeat(65);
    for bad in [None, Some("short"), Some("with space in it"), Some("quote\"quote\""), Some(long.as_str())] {
        let id = ask(bad).await;
        assert_eq!((id.len(), Some(id.as_str()) == bad), (32, false), "{bad:?} became {id}");
    }
    let other = server.get("/nowhere", "*/*").await;
    assert_eq!((other.status, other.header("x-request-id").len()), (StatusCode::NOT_FOUND, 32));
}

#[tokio::test]
async fn answers_carry_security_headers() {
    let reply = server().query("{ hello }").await;
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("x-frame-options"), "DENY");
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn cors_is_what_the_setting_lists() {
    let preflight = async |origins: &[&str], origin: &str| {
        let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
        let router = cors::apply(server().router, &origins).expect("origins");
        let request = Request::builder().method(Method::OPTIONS).uri("/graphql").header("origin", origin);
        let request = request.header("access-control-request-method", "POST").header("access-control-request-headers", "authorization");
        let reply = send(&router, request.body(Body::empty()).expect("a request")).await;
        assert_eq!(reply.header("access-control-allow-credentials"), "", "never with cookies");
        reply.header("access-control-allow-origin").to_owned()
    };
    assert_eq!(preflight(&[], "https://shop.example").await, "");
    assert_eq!(preflight(&["https://shop.example"], "https://shop.example").await, "https://shop.example");
    assert_eq!(preflight(&["https://shop.example"], "https://evil.example").await, "");
    assert_eq!(preflight(&["*"], "https://any.example").await, "*");
    for wrong in
        ["shop.example", "https://shop.example/", "https://Shop.example", "ftp://shop.example", "https://a@shop.example", "", "null"]
    {
        assert!(cors::apply(Router::<()>::new(), &[wrong.to_owned()]).is_err(), "{wrong}");
    }
    assert!(cors::apply(Router::<()>::new(), &["*".to_owned(), "https://shop.example".to_owned()]).is_err());
}

/// The leftmost address is whatever the client wrote; only what our own proxies added counts.
#[test]
fn the_client_is_the_rightmost_address_that_is_not_a_proxy() {
    let check = |peer: &str, forwarded: &[&str], trusted: &str, expected: &str| {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a header"));
        }
        let trusted: TrustedProxies = trusted.parse().expect("networks");
        let peer: IpAddr = peer.parse().expect("an address");
        assert_eq!(client_ip(Some(peer), &headers, &trusted).map(|ip| ip.to_string()).as_deref(), Some(expected), "{peer} {forwarded:?}");
    };
    let proxies = "10.0.0.0/8, 192.0.2.1, fd00::/8";
    check("203.0.113.9", &[], proxies, "203.0.113.9");
    check("203.0.113.9", &["198.51.100.1"], proxies, "203.0.113.9");
    check("10.1.2.3", &["198.51.100.1"], "", "10.1.2.3");
    check("10.1.2.3", &["198.51.100.1"], proxies, "198.51.100.1");
    check("10.1.2.3", &["1.1.1.1, 198.51.100.1, 192.0.2.1"], proxies, "198.51.100.1");
    check("10.1.2.3", &["1.1.1.1", "198.51.100.1", "192.0.2.1, 10.9.9.9"], proxies, "198.51.100.1");
    check("10.1.2.3", &["10.0.0.7, 192.0.2.1"], proxies, "10.0.0.7");
    check("10.1.2.3", &["198.51.100.1, rubbish"], proxies, "10.1.2.3");
    check("10.1.2.3", &["198.51.100.1, rubbish, 192.0.2.1"], proxies, "192.0.2.1");
    check("::ffff:10.1.2.3", &["198.51.100.1:4711"], proxies, "198.51.100.1");
    check("fd00::1", &["[2001:db8::7]:443"], proxies, "2001:db8::7");
    check("fd00::1", &["2001:db8::7"], proxies, "2001:db8::7");
    assert_eq!(client_ip(None, &HeaderMap::new(), &TrustedProxies::default()), None);
    for wrong in ["10.0.0.0/33", "proxy.example", "10.0.0"] {
        assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn handlers_find_the_client_address() {
    let show = |request: Request<Body>| async move { format!("{:?}", request.extensions().get::<ClientIp>().and_then(|client| client.0)) };
    let router = observe::apply(Router::new().route("/ip", get(show)), "127.0.0.1".parse().expect("an address"));
    let mut request = Request::get("/ip").header("x-forwarded-for", "198.51.100.1").body(Body::empty()).expect("a request");
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4711))));
    assert_eq!(send(&router, request).await.body, "Some(198.51.100.1)");
}

#[tokio::test]
async fn health_and_readiness_differ() {
    let ask = async |ready: Result<(), String>, path: &str| {
        let router: Router = health::routes(move || std::future::ready(ready.clone()));
        send(&router, Request::get(path).body(Body::empty()).expect("a request")).await
    };
    assert_eq!(ask(Ok(()), "/readyz").await.status, StatusCode::OK);
    let reply = ask(Err("migrations are pending".into()), "/readyz").await;
    assert_eq!((reply.status, &reply.json()["reason"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("migrations are pending")));
    assert_eq!(ask(Err("migrations are pending".into()), "/healthz").await.status, StatusCode::OK);
}

/// Labels are templates and codes; ids, links and queries are in none of them.
#[tokio::test]
async fn metrics_count_by_route_and_code_without_ids() {
    let handle = metrics::install().expect("ours is the recorder");
    metrics::install().expect("a second call finds the first");
    let link = Router::new().route("/account/link/{token}", get(|| async { "signed in" }));
    let router = observe::apply(link.merge(metrics::routes(handle)), TrustedProxies::default());
    send(&router, Request::get("/account/link/s3cr3t-token").body(Body::empty()).expect("a request")).await;
    let server = server();
    server.query("{ hello }").await;
    server.query(&fragment_bomb(30, "title")).await;
    let reply = send(&router, Request::get("/metrics").body(Body::empty()).expect("a request")).await;
    assert!(reply.header("content-type").starts_with("text/plain"));
    for expected in [
        r#"http_requests_total{method="GET",route="/account/link/{token}",status="200"}"#,
        r#"http_request_duration_seconds_bucket{method="POST",route="/graphql",le="0.05"}"#,
        r#"graphql_operations_total{kind="query",outcome="ok"}"#,
        r#"graphql_errors_total{code="LIMIT_EXCEEDED"}"#,
    ] {
        assert!(reply.body.contains(expected), "{expected} is missing from\n{}", reply.body);
    }
    assert!(!reply.body.contains("s3cr3t"), "{}", reply.body);
}
