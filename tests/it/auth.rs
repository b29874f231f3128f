//! From HTTP requests and WebSockets to callers: which headers count, what a dead credential gets, and the page of a one-time link.

use std::net::SocketAddr;
use std::sync::Arc;

use async_graphql::futures_util::{SinkExt, StreamExt};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::middleware::from_fn;
use bursar::graphql;
use bursar::graphql::executor::Guarded;
use bursar::graphql::limits::Limits;
use bursar::http::auth::Auth;
use bursar::http::client_ip::TrustedProxies;
use bursar::http::graphql::Endpoint;
use bursar::http::{account, headers, observe};
use chrono::TimeDelta;
use domain::AccountId;
use domain::account::Road;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tower::ServiceExt;

use crate::util::{PASSWORD, TestApp};

fn site(shop: &TestApp) -> Router {
    let guarded = Guarded::new(shop.schema.clone(), &graphql::sdl(), Limits::default()).expect("the schema can be read");
    let endpoint = Endpoint::new(guarded, Arc::new(Auth::new(shop.app.clone())));
    let router = endpoint.routes().merge(account::routes(&shop.app)).layer(from_fn(headers::security));
    observe::apply(router, TrustedProxies::default())
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

async fn send(router: &Router, request: Request<Body>) -> Reply {
    let (parts, body) = router.clone().oneshot(request).await.expect("routers do not fail").into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("the body of the answer");
    Reply { status: parts.status, headers: parts.headers, body: String::from_utf8(body.into()).expect("UTF-8") }
}

async fn ask(router: &Router, query: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request =
        Request::post("/graphql").header("content-type", "application/json").header("accept", "application/graphql-response+json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(router, request.body(Body::from(json!({ "query": query }).to_string())).expect("a request")).await
}

async fn link(shop: &TestApp, account: &str, road: Road) -> String {
    let txn = shop.app.db.begin().await.expect("a transaction");
    let (_, link) = shop.app.link_create(&txn, AccountId::parse(account).expect("an id"), road).await.expect("a link");
    txn.commit().await.expect("committed");
    link.expose_secret().to_owned()
}

/// SPEC: no or dead sign-in is UNAUTHENTICATED; a credential that is there and not good never makes its bearer a guest.
#[tokio::test]
async fn a_request_is_signed_in_by_its_bearer_or_refused() {
    let shop = TestApp::new().await;
    let router = site(&shop);
    let (id, token) = shop.sign_up("ada@example.org").await;
    let me = "{ me { account { id } } }";
    assert_eq!(ask(&router, me, &[]).await.json()["data"]["me"], Value::Null);
    let reply = ask(&router, me, &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(reply.json()["data"]["me"]["account"]["id"], id);
    for bad in ["Bearer made-up", "Bearer bsk_made-up", "Basic YWRhOng=", "", &token] {
        let reply = ask(&router, "{ shop { name } }", &[("authorization", bad)]).await;
        assert_eq!((reply.status, &reply.json()["errors"][0]["extensions"]["code"]), (StatusCode::UNAUTHORIZED, &json!("UNAUTHENTICATED")));
        assert!(reply.json().get("data").is_none(), "nothing ran");
    }
    shop.pass(TimeDelta::hours(24));
    let reply = ask(&router, "{ shop { name } }", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "a day later");
}

#[tokio::test]
async fn a_guests_cart_opens_by_its_secret_in_a_header() {
    let shop = TestApp::new().await;
    let router = site(&shop);
    let reply = ask(&router, "mutation { cartCreate(input: {}) { cart { id } secret userErrors { code } } }", &[]).await.json();
    let made = &reply["data"]["cartCreate"];
    let (id, secret) = (made["cart"]["id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));
    let cart = format!("{{ cart(id: \"{id}\") {{ id }} }}");
    assert_eq!(ask(&router, &cart, &[("cart-secret", secret)]).await.json()["data"]["cart"]["id"], id);
    for wrong in ["", "made-up", &secret.to_uppercase()] {
        assert_eq!(ask(&router, &cart, &[("cart-secret", wrong)]).await.json()["data"]["cart"], Value::Null);
    }
    assert_eq!(ask(&router, &cart, &[]).await.json()["data"]["cart"], Value::Null);
}

/// The audit log and the limits know where a request came from.
#[tokio::test]
async fn audit_and_limits_see_the_request() {
    let shop = TestApp::new().await;
    let router = site(&shop);
    let (id, token) = shop.sign_up("ada@example.org").await;
    shop.ok(
        &shop.operator(),
        "mutation($input: OperatorSetInput!) { operatorSet(input: $input) { userErrors { message } } }",
        json!({ "input": { "accountId": id } }),
    )
    .await;
    let bearer = format!("Bearer {token}");
    let made = "mutation { providerSet(input: { name: \"Acme\" }) { userErrors { message } } }";
    ask(&router, made, &[("authorization", &bearer), ("x-request-id", "request-of-a-test")]).await;
    let log = "{ auditLog(first: 1) { nodes { operation actor actorKind requestId } } }";
    let reply = ask(&router, log, &[("authorization", &bearer)]).await.json();
    let expected = json!({ "operation": "providerSet", "actor": id, "actorKind": "OPERATOR", "requestId": "request-of-a-test" });
    assert_eq!(reply["data"]["auditLog"]["nodes"][0], expected);

    let guess = async |address: [u8; 4]| {
        let query = "mutation { accountLinkRedeem(input: { token: \"made-up\" }) { userErrors { code } } }";
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .extension(ConnectInfo(SocketAddr::from((address, 4711))))
            .body(Body::from(json!({ "query": query }).to_string()));
        send(&router, request.expect("a request")).await.json()["errors"][0]["extensions"]["code"].clone()
    };
    for _ in 0..60 {
        assert_eq!(guess([192, 0, 2, 7]).await, Value::Null);
    }
    assert_eq!(guess([192, 0, 2, 7]).await, "RATE_LIMITED");
    assert_eq!(guess([192, 0, 2, 8]).await, Value::Null);
}

// ---- the page of a link -------------------------------------------------------------------------------------------------------

async fn page(router: &Router, method: Method, token: &str, form: &str) -> Reply {
    let request = Request::builder().method(method).uri(format!("/account/link/{token}"));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(Body::from(form.to_owned()));
    send(router, request.expect("a request")).await
}

/// Programs that preview mails follow every link in them; the one-time link is still good after that.
#[tokio::test]
async fn looking_at_a_link_does_not_use_it_up_and_the_button_does() {
    let shop = TestApp::with(|settings| settings.name = "<b>Knits & more</b>".to_owned()).await;
    let router = site(&shop);
    let (id, _) = shop.sign_up("ada@example.org").await;
    let token = link(&shop, &id, Road::Mail).await;
    for method in [Method::GET, Method::HEAD, Method::GET] {
        let reply = page(&router, method, &token, "").await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!((reply.header("cache-control"), reply.header("referrer-policy")), ("no-store", "no-referrer"));
        assert!(!reply.body.contains("<b>Knits"), "escaped: {}", reply.body);
        assert!(!reply.body.contains(&token), "the link's secret is in the address and nowhere else");
    }
    let reply = page(&router, Method::POST, &token, "password=").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("set-cookie"), "", "sign-in is by bearer alone");
    let bearer = reply.body.split("Bearer ").nth(1).and_then(|rest| rest.split(['&', '"']).next()).expect("the token").to_owned();
    assert_eq!(shop.bearer(&bearer).await.account().map(|account| account.to_string()), Some(id));
    assert!(reply.body.contains("ada@example.org"));
    let again = page(&router, Method::POST, &token, "").await;
    assert_eq!(again.status, StatusCode::GONE);
    assert!(again.body.contains("unknown, was used, or is too old") && !again.body.contains("Bearer"));
}

#[tokio::test]
async fn the_page_sets_a_password_and_a_bad_one_leaves_the_link_alone() {
    let shop = TestApp::new().await;
    let router = site(&shop);
    let (id, _) = shop.sign_up("ada@example.org").await;
    let token = link(&shop, &id, Road::Mail).await;
    let weak = page(&router, Method::POST, &token, "password=short").await;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(weak.body.contains("too short") && weak.body.contains("<form"), "{}", weak.body);
    assert_eq!(page(&router, Method::POST, &token, "password=four+words+are+better").await.status, StatusCode::OK);
    let guest = shop.guest();
    shop.app.account_sign_in(&guest, "ada@example.org", &"four words are better".into()).await.expect("the new password");
    assert!(shop.app.account_sign_in(&guest, "ada@example.org", &PASSWORD.into()).await.is_err());
    assert_eq!(page(&router, Method::POST, "%3Cscript%3E", "").await.status, StatusCode::GONE);
}

// ---- WebSockets ---------------------------------------------------------------------------------------------------------------

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(shop: &TestApp, init: Value) -> Socket {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let service = site(shop).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a header"));
    let (mut socket, _) = connect_async(request).await.expect("it answers");
    say(&mut socket, json!({ "type": "connection_init", "payload": init })).await;
    socket
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.expect("sent");
}

/// The next message, or the code that the connection was closed with.
async fn hear(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await.expect("an answer").expect("an answer") {
            Message::Text(text) => return Ok(serde_json::from_str(&text).expect("JSON")),
            Message::Close(frame) => return Err(frame.expect("a reason").code.into()),
            _ => {}
        }
    }
}

async fn over(socket: &mut Socket, query: &str) -> Value {
    say(socket, json!({ "id": "1", "type": "subscribe", "payload": { "query": query } })).await;
    let answer = hear(socket).await.expect("an answer");
    if answer["type"] == "next" {
        assert_eq!(hear(socket).await.expect("the end")["type"], "complete");
    }
    answer["payload"].clone()
}

/// A connection lasts longer than a sign-in: each operation goes by the rights of its moment.
#[tokio::test]
async fn a_sockets_rights_are_those_of_each_moment() {
    let shop = TestApp::new().await;
    let (id, token) = shop.sign_up("ada@example.org").await;
    let mut socket = connect(&shop, json!({ "authorization": format!("Bearer {token}") })).await;
    assert_eq!(hear(&mut socket).await.expect("an answer")["type"], "connection_ack");
    assert_eq!(over(&mut socket, "{ me { account { id } } }").await["data"]["me"]["account"]["id"], id);
    let list = "{ accounts { totalCount } }";
    assert_eq!(over(&mut socket, list).await["errors"][0]["extensions"]["code"], "FORBIDDEN");
    let set = "mutation($input: OperatorSetInput!) { operatorSet(input: $input) { userErrors { message } } }";
    shop.ok(&shop.operator(), set, json!({ "input": { "accountId": id } })).await;
    assert_eq!(over(&mut socket, list).await["data"]["accounts"]["totalCount"], 1);
    shop.pass(TimeDelta::hours(24));
    let dead = over(&mut socket, list).await;
    assert!(dead.to_string().contains("UNAUTHENTICATED"), "{dead}");
}

#[tokio::test]
async fn a_socket_with_a_dead_sign_in_is_closed() {
    let shop = TestApp::new().await;
    let mut socket = connect(&shop, json!({ "authorization": "Bearer made-up" })).await;
    assert_eq!(hear(&mut socket).await, Err(4403));
}

/// A subscription to a cart ends with the sign-in that opened it: the next write is told to nobody.
#[tokio::test]
async fn a_subscription_ends_with_its_sign_in() {
    let shop = TestApp::new().await;
    let (_, token) = shop.sign_up("ada@example.org").await;
    let caller = shop.bearer(&token).await;
    let made = shop.ok(&caller, "mutation { cartCreate(input: {}) { cart { id } userErrors { message } } }", json!({})).await;
    let id = made["cartCreate"]["cart"]["id"].as_str().expect("an id").to_owned();
    let mut socket = connect(&shop, json!({ "authorization": format!("Bearer {token}") })).await;
    assert_eq!(hear(&mut socket).await.expect("an answer")["type"], "connection_ack");
    let subscription = format!("subscription {{ cartUpdated(id: \"{id}\") {{ version }} }}");
    say(&mut socket, json!({ "id": "1", "type": "subscribe", "payload": { "query": subscription } })).await;
    let touch = async |email: &str| {
        let input = json!({ "cartId": id, "email": email });
        let query = "mutation($input: CartBuyerSetInput!) { cartBuyerSet(input: $input) { userErrors { message } } }";
        shop.ok(&caller, query, json!({ "input": input })).await;
    };
    // The subscription is heard once it has begun; until then a write may be missed.
    let first = loop {
        touch("ada@example.org").await;
        if let Ok(message) = tokio::time::timeout(std::time::Duration::from_millis(300), hear(&mut socket)).await {
            break message.expect("an event");
        }
    };
    assert_eq!(first["type"], "next", "{first}");
    shop.pass(TimeDelta::hours(24));
    touch("bob@example.org").await;
    let mut last = Value::Null;
    while let Ok(Ok(message)) = tokio::time::timeout(std::time::Duration::from_secs(5), hear(&mut socket)).await {
        let end = message["type"] == "complete" || message["type"] == "error";
        if message["type"] != "complete" {
            last = message;
        }
        if end {
            break;
        }
    }
    assert!(last.to_string().contains("UNAUTHENTICATED"), "{last}");
}
