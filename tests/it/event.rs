//! Events told to other systems: signed, in order for each object, again until they arrive, and never into a private network unless allowed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bursar::config::EventSettings;
use bursar::post::HttpPoster;
use chrono::TimeDelta;
use entity::event;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::process::{Place, bearer};
use crate::smtp::MailServer;
use crate::util::{TestApp, amount, id};

/// What arrived.
#[derive(Debug, Clone)]
struct Told {
    path: String,
    headers: HeaderMap,
    body: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Type, object and place.
    fn brief(&self) -> (String, String, i64) {
        let body = self.json();
        (text(&body["type"]), text(&body["objectId"]), body["sequence"].as_i64().expect("a number"))
    }
}

#[derive(Debug, Default)]
struct Inbox {
    told: Vec<Told>,
    /// What a path answers; 204 otherwise.
    answers: HashMap<String, u16>,
}

/// Another system, which takes what it is told to any path.
struct Other {
    url: String,
    inbox: Arc<Mutex<Inbox>>,
    serving: JoinHandle<()>,
}

impl Other {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let router = Router::new().fallback(take).with_state(inbox.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self { url, inbox, serving }
    }

    /// What a path answers from now on. 0: nothing, for longer than anybody waits.
    fn answers(&self, path: &str, status: u16) {
        self.inbox.lock().expect("nobody panicked").answers.insert(path.to_owned(), status);
    }

    fn told(&self, path: &str) -> Vec<Told> {
        let inbox = self.inbox.lock().expect("nobody panicked");
        inbox.told.iter().filter(|told| told.path == path).cloned().collect()
    }

    fn briefs(&self, path: &str) -> Vec<(String, String, i64)> {
        self.told(path).iter().map(Told::brief).collect()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(inbox): State<Arc<Mutex<Inbox>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let status = {
        let mut inbox = inbox.lock().expect("nobody panicked");
        inbox.told.push(Told { path: path.clone(), headers, body: String::from_utf8(body.to_vec()).expect("UTF-8") });
        inbox.answers.get(&path).copied().unwrap_or(204)
    };
    match status {
        0 => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            StatusCode::OK.into_response()
        }
        302 => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        status => StatusCode::from_u16(status).expect("a status").into_response(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

impl TestApp {
    /// An endpoint; its id and secret.
    async fn endpoint(&self, url: &str, events: Value) -> (String, String) {
        let made = self
            .act(&self.operator(), "webhookEndpointCreate", json!({ "url": url, "events": events }), "webhookEndpoint { id } secret")
            .await;
        (id(&made["webhookEndpoint"]), text(&made["secret"]))
    }

    /// A guest's order of RUST, approved or not; its id.
    async fn sold(&self, token: &str) -> String {
        let made = self.act(&self.guest(), "cartCreate", json!({ "sku": "RUST" }), "cart { id } secret").await;
        let guest = self.guest_with(made["secret"].as_str().expect("a secret"));
        let cart = id(&made["cart"]);
        self.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "ann@example.test", "name": "Ann Lee" }), "").await;
        let input = json!({
            "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": token }, "expectedTotal": amount("149.00 USD"), "idempotencyKey": cart });
        id(&self.act(&guest, "orderPlace", input, "order { id }").await["order"])
    }

    async fn deliveries(&self) -> Vec<Value> {
        let query = "{ webhookDeliveries(first: 100) { nodes {
            id event objectId sequence state tries nextTryAt statusCode error payload eventId endpointId deliveredAt } } }";
        let mut nodes = self.ok(&self.operator(), query, json!({})).await["webhookDeliveries"]["nodes"].as_array().expect("a list").clone();
        nodes.reverse();
        nodes
    }
}

fn of(events: &[(&str, i64)], order: &str) -> Vec<(String, String, i64)> {
    events.iter().map(|(kind, place)| ((*kind).to_owned(), order.to_owned(), *place)).collect()
}

const SOLD: [(&str, i64); 3] = [("order.placed", 1), ("order.paid", 2), ("order.fulfilled", 3)];

/// What happens to an order is told in order, in the envelope of the documents, signed as Standard Webhooks says; nobody's name or address is in it.
#[tokio::test]
async fn events_of_an_order_are_told_in_order_and_signed() {
    let shop = TestApp::new().await;
    shop.shelf("RUST", "149.00", &["Rust"]).await;
    shop.sold("approve").await;
    assert_eq!(event::Entity::find().count(shop.app.db.read()).await, Ok(0), "nobody listens, nothing is kept");
    let other = Other::start().await;
    let (_, secret) = shop.endpoint(&format!("{}/all", other.url), Value::Null).await;
    shop.endpoint(&format!("{}/paid", other.url), json!(["ORDER_PAID"])).await;
    let order = shop.sold("approve").await;
    shop.jobs().await;
    assert_eq!(other.briefs("/all"), of(&SOLD, &order));
    assert_eq!(other.briefs("/paid"), of(&[("order.paid", 2)], &order));

    let told = &other.told("/all")[2];
    let body = told.json();
    assert_eq!((&body["version"], &body["occurredAt"]), (&json!(1), &json!("2026-01-01T00:00:00Z")));
    assert_eq!((&body["data"]["orderId"], &body["data"]["total"]), (&json!(order), &amount("149.00 USD")));
    assert!(text(&body["data"]["accountId"]).starts_with("acc_") && body["data"]["lines"][0]["sku"] == "RUST", "{body:#}");
    assert!(!told.body.contains("Ann") && !told.body.contains("example.test"), "{}", told.body);
    let header = |name: &str| told.headers[name].to_str().expect("a text").to_owned();
    assert_eq!((header("webhook-id"), header("content-type")), (text(&body["id"]), "application/json".to_owned()));
    let reference = standardwebhooks::Webhook::new(&secret).expect("a secret of Standard Webhooks");
    let at: i64 = header("webhook-timestamp").parse().expect("seconds");
    assert_eq!(at, shop.app.now().timestamp());
    let signed = |body: &str| reference.sign(&header("webhook-id"), at, body.as_bytes()).expect("signed");
    assert_eq!(header("webhook-signature"), signed(&told.body));
    assert_ne!(header("webhook-signature"), signed(&format!("{} ", told.body)));

    let deliveries = shop.deliveries().await;
    assert_eq!(deliveries.len(), 4);
    for delivery in &deliveries {
        assert_eq!(
            (&delivery["state"], &delivery["tries"], &delivery["statusCode"]),
            (&json!("DELIVERED"), &json!(1), &json!(204)),
            "{delivery:#}"
        );
    }
    assert!(deliveries.iter().any(|delivery| delivery["payload"] == told.body));
    let rows = format!("{:?}", entity::webhook_endpoint::Entity::find().all(shop.app.db.read()).await.expect("rows"));
    assert!(!rows.contains(secret.trim_start_matches("whsec_")), "the secret is sealed at rest");

    // A refund and a cancelled order are told too.
    let cancelled = shop.sold("pending").await;
    shop.act(&shop.operator(), "orderCancel", json!({ "orderId": cancelled, "idempotencyKey": "no" }), "").await;
    let back = json!({ "orderId": order, "amount": amount("149.00 USD"), "reason": "goodwill", "idempotencyKey": "back" });
    shop.act(&shop.operator(), "orderRefund", back, "").await;
    shop.jobs().await;
    let briefs = other.briefs("/all");
    assert!(briefs.contains(&("order.cancelled".to_owned(), cancelled, 2)), "{briefs:?}");
    assert!(briefs.contains(&("order.refunded".to_owned(), order, 4)), "{briefs:?}");
}

/// A failing telling holds back what comes after it for the same object and endpoint, and nothing else: other objects and other endpoints go on. Then
/// all of it arrives in order, though the endpoint that took something and did not say so gets it twice.
#[tokio::test]
async fn a_failing_endpoint_holds_back_its_own_objects_only() {
    let shop = TestApp::new().await;
    shop.shelf("RUST", "149.00", &["Rust"]).await;
    let other = Other::start().await;
    shop.endpoint(&format!("{}/ill", other.url), Value::Null).await;
    shop.endpoint(&format!("{}/well", other.url), Value::Null).await;
    other.answers("/ill", 500);
    let first = shop.sold("approve").await;
    shop.jobs().await;
    assert_eq!(other.briefs("/ill"), of(&SOLD[..1], &first), "what comes after waits");
    assert_eq!(other.briefs("/well"), of(&SOLD, &first));
    // The endpoint is well again before that one's next try: another order passes it.
    other.answers("/ill", 200);
    let second = shop.sold("approve").await;
    shop.jobs().await;
    assert_eq!(other.briefs("/ill"), [of(&SOLD[..1], &first), of(&SOLD, &second)].concat());
    for _ in 0..12 {
        shop.pass(TimeDelta::seconds(5));
        shop.jobs().await;
    }
    assert_eq!(other.briefs("/ill"), [of(&SOLD[..1], &first), of(&SOLD, &second), of(&SOLD, &first)].concat());
    let ids: Vec<Value> = other.told("/ill").iter().map(|told| told.json()["id"].clone()).collect();
    assert_eq!(ids[0], ids[4], "the same event again has the same id");
    assert_eq!(other.told("/ill")[0].body, other.told("/ill")[4].body);
    let tries: Vec<Value> = shop.deliveries().await.iter().map(|delivery| delivery["tries"].clone()).collect();
    assert_eq!(tries.iter().filter(|tries| **tries == 2).count(), 1, "{tries:?}");
}

/// Five failures in a row open the circuit: nothing is sent for a while, then one try; silence is a failure too. A success closes it.
#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_left_alone_for_a_while() {
    let shop = TestApp::new().await;
    shop.shelf("RUST", "149.00", &["Rust"]).await;
    let other = Other::start().await;
    let (endpoint, _) = shop.endpoint(&format!("{}/ill", other.url), json!(["ORDER_PAID"])).await;
    other.answers("/ill", 0);
    for _ in 0..2 {
        shop.sold("approve").await;
    }
    shop.jobs().await;
    let failed = shop.deliveries().await;
    assert!(
        failed.iter().all(|delivery| delivery["statusCode"].is_null() && !delivery["error"].is_null()),
        "silence is no answer: {failed:#?}"
    );
    other.answers("/ill", 503);
    for _ in 0..4 {
        shop.sold("approve").await;
    }
    shop.jobs().await;
    let standing = async || {
        let data = shop.ok(&shop.operator(), "{ webhookEndpoints { nodes { id failures restsUntil } } }", json!({})).await;
        data["webhookEndpoints"]["nodes"][0].clone()
    };
    let ill = standing().await;
    assert!(ill["failures"].as_u64().expect("a number") >= 5 && ill["restsUntil"].is_string(), "{ill}");
    let before = other.told("/ill").len();
    shop.pass(TimeDelta::seconds(40));
    shop.jobs().await;
    assert_eq!(other.told("/ill").len(), before, "it is left alone");
    shop.set_time(ill["restsUntil"].as_str().expect("an instant"));
    shop.pass(TimeDelta::seconds(1));
    shop.jobs().await;
    assert_eq!(other.told("/ill").len(), before + 1, "one of six tries it");
    assert!(standing().await["restsUntil"].as_str() > ill["restsUntil"].as_str(), "and it is left alone again");
    other.answers("/ill", 200);
    for _ in 0..200 {
        shop.pass(TimeDelta::seconds(30));
        shop.jobs().await;
    }
    assert_eq!(standing().await, json!({ "id": endpoint, "failures": 0, "restsUntil": null }));
    assert!(shop.deliveries().await.iter().all(|delivery| delivery["state"] == "DELIVERED"));
}

/// After three days a telling is given up; webhookReplay sends it again, one or all since an instant. What an endpoint that was taken away was owed is
/// called off.
#[tokio::test]
async fn a_telling_is_given_up_after_three_days_and_can_be_replayed() {
    let shop = TestApp::new().await;
    shop.shelf("RUST", "149.00", &["Rust"]).await;
    let other = Other::start().await;
    let (endpoint, _) = shop.endpoint(&format!("{}/dead", other.url), Value::Null).await;
    other.answers("/dead", 410);
    let order = shop.sold("approve").await;
    for _ in 0..80 {
        shop.pass(TimeDelta::hours(1));
        shop.jobs().await;
    }
    let dead = shop.deliveries().await;
    assert!(dead.iter().all(|delivery| delivery["state"] == "FAILED"), "{dead:#?}");
    assert_eq!((&dead[0]["statusCode"], &dead[0]["nextTryAt"]), (&json!(410), &Value::Null));
    assert!(other.told("/dead").len() > 20, "{}", other.told("/dead").len());

    other.answers("/dead", 200);
    let before = other.told("/dead").len();
    let one = shop.act(&shop.operator(), "webhookReplay", json!({ "deliveryId": dead[2]["id"] }), "count").await;
    assert_eq!(one["count"], 1);
    shop.jobs().await;
    assert_eq!(other.briefs("/dead")[before..], of(&SOLD[2..], &order)[..]);
    let since = json!({ "endpointId": endpoint, "since": "2026-01-01T00:00:00Z" });
    let all = shop.act(&shop.operator(), "webhookReplay", since, "count").await;
    assert_eq!(all["count"], 3);
    for _ in 0..4 {
        shop.jobs().await;
        shop.pass(TimeDelta::seconds(3));
    }
    assert_eq!(other.briefs("/dead")[before + 1..], of(&SOLD, &order)[..], "in order");
    let refused = |code: &str, field: &str| vec![(code.to_owned(), field.to_owned())];
    assert_eq!(shop.denied(&shop.operator(), "webhookReplay", json!({})).await, refused("INVALID", "deliveryId"));
    assert_eq!(
        shop.denied(&shop.operator(), "webhookReplay", json!({ "deliveryId": "dlv_nothing" })).await,
        refused("NOT_FOUND", "deliveryId")
    );

    other.answers("/dead", 500);
    shop.sold("approve").await;
    shop.jobs().await;
    shop.act(&shop.operator(), "webhookEndpointDelete", json!({ "id": endpoint }), "webhookEndpoint { deletedAt }").await;
    let before = other.told("/dead").len();
    shop.pass(TimeDelta::hours(2));
    shop.jobs().await;
    assert_eq!(other.told("/dead").len(), before);
    assert!(shop.deliveries().await.iter().all(|delivery| delivery["state"] != "QUEUED"));
    assert_eq!(shop.denied(&shop.operator(), "webhookEndpointDelete", json!({ "id": endpoint })).await, refused("NOT_FOUND", "id"));
    shop.pass(TimeDelta::days(91));
    shop.jobs().await;
    assert!(shop.deliveries().await.is_empty(), "what is old is dropped");
}

/// Numbers of an object's events go on where they were, though the old events are dropped: whoever sorts by them is never misled.
#[tokio::test]
async fn numbers_of_events_go_on_after_old_ones_are_dropped() {
    let shop = TestApp::new().await;
    shop.shelf("RUST", "149.00", &["Rust"]).await;
    let other = Other::start().await;
    shop.endpoint(&format!("{}/all", other.url), Value::Null).await;
    let order = shop.sold("approve").await;
    shop.jobs().await;
    shop.pass(TimeDelta::days(91));
    shop.jobs().await;
    assert_eq!(event::Entity::find().count(shop.app.db.read()).await, Ok(0));
    let back = json!({ "orderId": order, "amount": amount("49.00 USD"), "reason": "goodwill", "idempotencyKey": "back" });
    shop.act(&shop.operator(), "orderRefund", back, "").await;
    shop.jobs().await;
    assert_eq!(other.briefs("/all"), [of(&SOLD, &order), of(&[("order.refunded", 4)], &order)].concat());
}

/// An endpoint that says nothing keeps its own events waiting, and nobody else's: what comes meanwhile goes out at once.
#[tokio::test]
async fn a_silent_endpoint_keeps_no_other_waiting() {
    let shop = TestApp::new().await;
    shop.shelf("RUST", "149.00", &["Rust"]).await;
    let other = Other::start().await;
    shop.endpoint(&format!("{}/silent", other.url), json!(["ORDER_PLACED"])).await;
    shop.endpoint(&format!("{}/well", other.url), json!(["ORDER_FULFILLED"])).await;
    other.answers("/silent", 0);
    let mut patient = shop.beside(|_| {});
    let settings = EventSettings { allow_private: true, timeout_s: 20 };
    patient.poster = Arc::new(HttpPoster::new(&settings).expect("a client"));
    shop.sold("pending").await;
    let work = tokio::spawn(async move { patient.run_due_jobs().await });
    for _ in 0..100 {
        if !other.told("/silent").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(other.told("/silent").len(), 1);
    let began = std::time::Instant::now();
    let second = shop.sold("approve").await;
    while other.told("/well").is_empty() && began.elapsed() < Duration::from_secs(12) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Numbers are of what somebody listens to.
    assert_eq!(other.briefs("/well"), of(&[("order.fulfilled", 2)], &second), "after {:?}", began.elapsed());
    work.abort();
}

/// No request goes to a private address: not by its number, not by a name that leads there, not by a redirect. The settings can allow it.
#[tokio::test]
async fn no_notice_goes_into_a_private_network() {
    let shop = TestApp::new().await;
    shop.shelf("RUST", "149.00", &["Rust"]).await;
    let other = Other::start().await;
    let port = other.url.rsplit(':').next().expect("a port").to_owned();
    let strict = HttpPoster::new(&EventSettings { allow_private: false, timeout_s: 2 }).expect("a client");
    use bursar::app::event::Poster;
    for bad in [
        "",
        "hooks.example",
        "ftp://hooks.example/",
        "http://hooks.example/",
        "https://user:pass@hooks.example/",
        "https://hooks.example/#here",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00::1]/",
    ] {
        assert!(strict.check(bad).is_err(), "{bad}");
    }
    for good in ["https://hooks.example/bursar?x=1", "https://93.184.216.34:8443/", "https://localhost/"] {
        assert_eq!(strict.check(good), Ok(()), "{good}");
    }
    // A name that leads here is found out when it is resolved, and an address that was allowed once is not any more.
    let mut app = shop.beside(|_| {});
    app.poster = Arc::new(strict);
    shop.endpoint(&format!("https://localhost:{port}/by-name"), json!(["ORDER_PAID"])).await;
    shop.endpoint(&format!("{}/by-number", other.url), json!(["ORDER_PAID"])).await;
    shop.sold("approve").await;
    app.run_due_jobs().await.expect("the jobs run");
    let failed = shop.deliveries().await;
    assert_eq!(failed.len(), 2);
    assert!(text(&failed[0]["error"]).contains("private network"), "{failed:#?}");
    assert!(text(&failed[1]["error"]).contains("https://"), "{failed:#?}");
    assert!(other.inbox.lock().expect("nobody panicked").told.is_empty());

    // Allowed, a redirect is still not followed.
    other.answers("/by-number", 302);
    shop.pass(TimeDelta::minutes(1));
    shop.jobs().await;
    assert_eq!((other.told("/by-number").len(), other.told("/elsewhere").len()), (1, 0));
    let redirected = shop.deliveries().await.into_iter().find(|delivery| delivery["statusCode"] == 302).expect("it is in the log");
    assert!(text(&redirected["error"]).contains("redirect"), "{redirected}");
    let refused = shop.denied(&shop.operator(), "webhookEndpointCreate", json!({ "url": "nowhere" })).await;
    assert_eq!(refused, [("INVALID".to_owned(), "url".to_owned())]);
    let refused = shop.denied(&shop.operator(), "webhookEndpointCreate", json!({ "url": other.url, "events": [] })).await;
    assert_eq!(refused, [("REQUIRED".to_owned(), "events".to_owned())]);
}

/// An order that is not placed after all leaves no event.
#[tokio::test]
async fn events_are_kept_with_what_they_tell_or_not_at_all() {
    let shop = TestApp::new().await;
    shop.shelf("RUST", "149.00", &["Rust"]).await;
    let other = Other::start().await;
    shop.endpoint(&other.url, Value::Null).await;
    let made = shop.act(&shop.guest(), "cartCreate", json!({ "sku": "RUST" }), "cart { id } secret").await;
    let guest = shop.guest_with(made["secret"].as_str().expect("a secret"));
    let cart = id(&made["cart"]);
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "ann@example.test" }), "").await;
    let input = json!({
        "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" }, "expectedTotal": amount("1.00 USD"), "idempotencyKey": "x" });
    assert_eq!(shop.denied(&guest, "orderPlace", input).await[0].0, "PRICE_CHANGED");
    assert_eq!(event::Entity::find().count(shop.app.db.read()).await, Ok(0));
}

/// R24: a process that is killed again and again amid orders loses and doubles nothing: each order is charged and given once, each mail and each
/// event arrives, the events of an order in their order; what arrives twice can be told as the same.
#[tokio::test]
async fn r24_a_process_killed_again_and_again_loses_and_doubles_nothing() {
    let (mails, other) = (MailServer::start().await, Other::start().await);
    let mut here = Place::new().await;
    here.set("BURSAR_MAIL_SMTP_URL", &mails.url);
    here.set("BURSAR_MAIL_FROM", "shop@shop.example");
    here.set("BURSAR_EVENTS_ALLOW_PRIVATE", "true");
    let mut server = here.serve(&["--seed", "demo"]).await;
    let key = bearer(&here.key(&[]).await);
    let operator = [("Authorization", key.as_str())];
    let endpoint = "mutation($url: String!) { webhookEndpointCreate(input: { url: $url }) { userErrors { code } } }";
    server.ok(&operator, endpoint, json!({ "url": format!("{}/all", other.url) })).await;
    let mut carts = Vec::new();
    for number in 0..6 {
        carts.push(crate::server::cart(&server, "RUST-PATH", &format!("ann{number}@example.test")).await);
    }
    let place = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) { order { id status receipt { signInUrl } }
        userErrors { code field message } } }";
    let input = |cart: &str| {
        json!({ "input": { "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
            "expectedTotal": { "amount": "149.00", "currency": "USD" }, "idempotencyKey": "once" } })
    };
    let mut now = chrono::Utc::now();
    for round in 1..=4 {
        let placing = futures_util::future::join_all(carts.iter().map(|(cart, secret)| {
            let request = server.request(&[("Cart-Secret", secret)], place, input(cart));
            async { request.send().await.ok() }
        }));
        // Each time it dies at another point of its work.
        let _ = tokio::time::timeout(Duration::from_millis(70 * round), placing).await;
        server.kill();
        server = here.serve(&["--seed", "none", "--test-clock"]).await;
        // What a dead process had in hand on a shared database is free once its time for it is over.
        now += TimeDelta::minutes(4);
        server.post("/_test/clock").json(&json!({ "now": now.to_rfc3339() })).send().await.expect("an answer");
    }
    let mut orders = Vec::new();
    for (cart, secret) in &carts {
        let order = server.ok(&[("Cart-Secret", secret)], place, input(cart)).await["orderPlace"]["order"].clone();
        crate::server::becomes(&server, secret, &order["id"], "FULFILLED").await;
        let read = "query($id: ID!) { order(id: $id) { id receipt { signInUrl } } }";
        orders.push(server.ok(&[("Cart-Secret", secret)], read, json!({ "id": order["id"] })).await["order"].clone());
    }
    let query = "{ outbox(first: 100) { totalCount nodes { state to } } webhookDeliveries(first: 100) { nodes { state } }
        orders(first: 100) { nodes { status payments { status captured { amount } } } } paidNotGiven { id } givenNotPaid { orderId } }";
    let mut found = Value::Null;
    for _ in 0..60 {
        // Whatever waits for its next try has it.
        now += TimeDelta::seconds(20);
        server.post("/_test/clock").json(&json!({ "now": now.to_rfc3339() })).send().await.expect("an answer");
        server.post("/_test/jobs").send().await.expect("an answer");
        found = server.ok(&operator, query, json!({})).await;
        let all = |list: &str, state: &str| found[list]["nodes"].as_array().expect("a list").iter().all(|one| one["state"] == state);
        if all("outbox", "SENT") && all("webhookDeliveries", "DELIVERED") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let paid = json!({ "status": "FULFILLED", "payments": [{ "status": "CAPTURED", "captured": { "amount": "149.00" } }] });
    assert_eq!(found["orders"]["nodes"], Value::from(vec![paid; 6]));
    assert_eq!((&found["paidNotGiven"], &found["givenNotPaid"]), (&json!([]), &json!([])));
    assert_eq!(found["outbox"]["totalCount"], 6, "one mail for each order: {found:#}");
    let received = mails.received();
    let told = other.briefs("/all");
    for (number, order) in orders.iter().enumerate() {
        let to = format!("ann{number}@example.test");
        let ids: std::collections::BTreeSet<_> =
            received.iter().filter(|message| message.to == [to.clone()]).map(|message| message.header("Message-ID")).collect();
        assert_eq!(ids.len(), 1, "{to}: {ids:?}");
        let mut seen: Vec<(String, i64)> = Vec::new();
        for (kind, _, place) in told.iter().filter(|(_, object, _)| order["id"] == **object) {
            if !seen.contains(&(kind.clone(), *place)) {
                seen.push((kind.clone(), *place));
            }
        }
        assert_eq!(seen, SOLD.map(|(kind, place)| (kind.to_owned(), place)), "{}", order["id"]);
        let link = text(&order["receipt"]["signInUrl"]);
        let enter = "mutation($token: String!) { accountLinkRedeem(input: { token: $token }) { token userErrors { code } } }";
        let token = link.rsplit('/').next().expect("its last part");
        let entered = bearer(&text(&server.ok(&[], enter, json!({ "token": token })).await["accountLinkRedeem"]["token"]));
        let mine = server.ok(&[("Authorization", &entered)], "{ me { entitlements { nodes { status } } } }", json!({})).await;
        assert_eq!(mine["me"]["entitlements"]["nodes"], json!([{ "status": "NOT_STARTED" }]), "given once");
    }
    server.stop().await;
}

/// The signature is good for the official library of another language.
#[tokio::test]
#[ignore = "installs a library of npm's"]
async fn signatures_are_good_for_the_library_of_another_language() {
    let shop = TestApp::new().await;
    shop.shelf("RUST", "149.00", &["Rust"]).await;
    let other = Other::start().await;
    let (_, secret) = shop.endpoint(&format!("{}/all", other.url), json!(["ORDER_PAID"])).await;
    shop.set_time(&chrono::Utc::now().to_rfc3339());
    shop.sold("approve").await;
    shop.jobs().await;
    let [told] = &other.told("/all")[..] else { panic!("one event") };
    let header = |name: &str| told.headers[name].to_str().expect("a text").to_owned();
    let headers: HashMap<&str, String> =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].into_iter().map(|name| (name, header(name))).collect();
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/webhooks");
    std::fs::create_dir_all(&place).expect("a directory");
    std::fs::write(place.join("package.json"), r#"{ "private": true, "dependencies": { "standardwebhooks": "1.1.1" } }"#).expect("written");
    let program = "const { Webhook } = require('standardwebhooks'); const { secret, body, headers } = JSON.parse(process.argv[1]);
        console.log(new Webhook(secret).verify(body, headers).type);
        try { new Webhook(secret).verify(body + ' ', headers); console.log('taken'); } catch { console.log('refused'); }";
    let asked = json!({ "secret": secret, "body": told.body, "headers": headers }).to_string();
    let run = move || {
        let install = std::process::Command::new("npm")
            .args(["install", "--no-package-lock", "--no-audit", "--no-fund"])
            .current_dir(&place)
            .output();
        let install = install.expect("npm is there");
        assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
        std::process::Command::new("node").args(["-e", program, &asked]).current_dir(&place).output().expect("node is there")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("it is waited for");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "order.paid\nrefused\n", "{}", String::from_utf8_lossy(&output.stderr));
}
