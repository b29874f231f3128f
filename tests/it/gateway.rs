//! Gateways over a real network: the program as a process, with its settings in a file, before a Stripe of our own and before one that we did not write.

#[expect(dead_code, reason = "the adapter's own tests play more of it")]
#[path = "../../adapters/stripe/tests/stripe/double.rs"]
mod double;

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};
use serde_json::{Value, json};
use sha2::Sha256;
use testkit::fault::{Calls, Fault, FaultProxy};

use crate::process::{Place, Server, bearer, text};
use crate::server::{becomes, cart};
use double::{Double, KEY};

const SECRET: &str = "whsec_of_the_dollars";
const OTHER_SECRET: &str = "whsec_of_the_euros";

const PLACE: &str = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) { userErrors { code field message }
    order { id status payments { id status declineReason reference nextAction { kind url clientSecret } } } } }";
const RETRY: &str =
    "mutation($input: PaymentRetryInput!) { paymentRetry(input: $input) { userErrors { code field message } order { status } } }";
const REFUND: &str = "mutation($input: OrderRefundInput!) { orderRefund(input: $input) { userErrors { code field message }
    order { status refundable { amount } refunds { status amount { amount } } } } }";

/// A shop whose Stripe is at `base_url`, in this flow.
async fn shop(base_url: &str, flow: &str) -> Place {
    let mut place = Place::new().await;
    for (name, value) in [("TEST_STRIPE_KEY", KEY), ("TEST_STRIPE_USD", SECRET), ("TEST_STRIPE_EUR", OTHER_SECRET)] {
        place.set(name, value);
    }
    let account = |id: &str, currency: &str| {
        format!(
            "[[gateways]]\nid = \"{id}\"\nadapter = \"stripe\"\ncurrencies = [\"{currency}\"]\nbase_url = \"{base_url}\"\nsettings = {{ flow = \"{flow}\" \
             }}\nsecrets = {{ api_key = {{ env = \"TEST_STRIPE_KEY\" }}, webhook_secret = {{ env = \"TEST_STRIPE_{currency}\" }} }}\n\n"
        )
    };
    let file = format!("{}{}", account("cards", "USD"), account("cards-eu", "EUR"));
    std::fs::write(place.dir.path().join("bursar.toml"), file).expect("the settings are written");
    place
}

fn order(cart: &str, gateway: &str, token: Option<&str>) -> Value {
    json!({ "input": {
        "cartId": cart, "paymentMethod": { "gateway": gateway, "token": token },
        "expectedTotal": { "amount": "149.00", "currency": "USD" }, "idempotencyKey": format!("{cart}-{gateway}"),
    } })
}

/// An order that was placed, and its only payment so far.
async fn placed(server: &Server, email: &str, token: Option<&str>) -> (String, Value, Value) {
    let (cart, secret) = cart(server, "RUST-PATH", email).await;
    let answer = server.ok(&[("Cart-Secret", &secret)], PLACE, order(&cart, "cards", token)).await["orderPlace"]["order"].clone();
    let payment = answer["payments"][0].clone();
    (secret, answer, payment)
}

/// `Stripe-Signature` as Stripe makes it, written once more.
fn sign(secret: &str, body: &[u8]) -> String {
    let time = Utc::now().timestamp();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    let code: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={code}")
}

async fn deliver(server: &Server, gateway: &str, body: &[u8], signature: &str) -> u16 {
    let request = server.post(&format!("/webhooks/{gateway}")).header("Stripe-Signature", signature).body(body.to_vec());
    request.send().await.expect("an answer").status().as_u16()
}

fn words(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Two accounts side by side: the cart's currency chooses; the page, the report, the way back, a refund and a dispute end where they belong.
#[tokio::test]
async fn two_stripe_accounts_sell_by_page_report_and_return() {
    let stripe = Double::default();
    let proxy = FaultProxy::around(stripe.router()).await.expect("a port");
    let mut place = shop(&proxy.url(), "checkout").await;
    place.set("BURSAR_LOG_FILTER", "trace");
    let server = place.serve(&["--seed", "demo"]).await;
    let operator = bearer(&place.key(&[]).await);
    let operator = [("Authorization", operator.as_str())];

    let (basket, secret) = cart(&server, "RUST-PATH", "methods@example.test").await;
    let query = "query($id: ID!) { cart(id: $id) { paymentMethods { gateway displayName redirect } } }";
    let methods = server.ok(&[("Cart-Secret", &secret)], query, json!({ "id": basket })).await["cart"]["paymentMethods"].clone();
    assert_eq!(methods, json!([{ "gateway": "cards", "displayName": "Card and more", "redirect": true }]));
    for gateway in ["cards-eu", "cash"] {
        let refused = server.answer(&[("Cart-Secret", &secret)], PLACE, order(&basket, gateway, None)).await;
        assert_eq!(refused["data"]["orderPlace"]["userErrors"][0]["code"], "PAYMENT_METHOD_UNAVAILABLE", "{gateway}: {refused:#}");
    }

    // The report: believed once it is signed for this account, and done once.
    let (secret, order, payment) = placed(&server, "ann@example.test", None).await;
    assert_eq!(
        (&order["status"], &payment["status"], &payment["nextAction"]["kind"]),
        (&json!("PENDING_PAYMENT"), &json!("REQUIRES_ACTION"), &json!("REDIRECT"))
    );
    assert!(words(&payment["nextAction"]["url"]).starts_with("https://checkout.stripe.example/"));
    let id = words(&payment["id"]);
    assert!(stripe.world().approve(&id));
    let report = stripe.world().reports(&id).pop().expect("it was reported");
    assert_eq!(deliver(&server, "cards", &report, &sign("whsec_somebody_elses", &report)).await, 401);
    assert_eq!(deliver(&server, "cards-eu", &report, &sign(SECRET, &report)).await, 401, "another account's address");
    let huge = vec![b' '; port::MAX_WEBHOOK_BYTES + 1];
    for (gateway, body, status) in [("cards", &b""[..], 400), ("cards", b"{", 400), ("cards", &huge, 413), ("cash", &report, 404)] {
        assert_eq!(deliver(&server, gateway, body, &sign(SECRET, body)).await, status, "{gateway}, {} bytes", body.len());
    }
    for _ in 0..3 {
        assert_eq!(deliver(&server, "cards", &report, &sign(SECRET, &report)).await, 200);
    }
    becomes(&server, &secret, &order["id"], "FULFILLED").await;
    assert_eq!(stripe.world().objects(&id), 1);

    // A refund, and a bank that takes money back.
    let input =
        json!({ "orderId": order["id"], "amount": { "amount": "9.00", "currency": "USD" }, "reason": "goodwill", "idempotencyKey": "r1" });
    server.ok(&operator, REFUND, json!({ "input": input })).await;
    let refunded =
        "query($id: ID!) { order(id: $id) { status refundable { amount } refunds { status } disputes { status amount { amount } } } }";
    let mut seen = Value::Null;
    for _ in 0..100 {
        seen = server.ok(&operator, refunded, json!({ "id": order["id"] })).await["order"].clone();
        if seen["refunds"][0]["status"] == "SUCCEEDED" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((&seen["refunds"], &seen["refundable"]["amount"]), (&json!([{ "status": "SUCCEEDED" }]), &json!("140.00")), "{seen:#}");
    stripe.world().dispute(&id, 5_000);
    let report = stripe.world().reports(&id).pop().expect("it was reported");
    assert_eq!(deliver(&server, "cards", &report, &sign(SECRET, &report)).await, 200);
    for _ in 0..100 {
        seen = server.ok(&operator, refunded, json!({ "id": order["id"] })).await["order"].clone();
        if seen["disputes"] != json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen["disputes"], json!([{ "status": "NEEDS_RESPONSE", "amount": { "amount": "50.00" } }]), "{seen:#}");
    assert_eq!(seen["refundable"]["amount"], "90.00");

    // The browser comes back before any report: Stripe is asked. A forged return asks too, and finds nothing paid.
    let (secret, order, payment) = placed(&server, "bob@example.test", None).await;
    let back = format!("/payments/{}/return?redirect_status=succeeded", words(&payment["id"]));
    assert!(server.get(&back).await.text().await.expect("a page").contains("Not paid yet"));
    assert!(stripe.world().approve(&words(&payment["id"])));
    assert!(server.get(&back).await.text().await.expect("a page").contains("Thank you"));
    becomes(&server, &secret, &order["id"], "FULFILLED").await;
    server.stop().await;

    // However much is logged, no key, no signature and none of the buyer's data is.
    let log = std::fs::read_to_string(place.dir.path().join("log")).expect("a log");
    assert!(log.contains("TRACE"), "everything is logged");
    let signature = sign(SECRET, &report);
    for hidden in [KEY, SECRET, OTHER_SECRET, signature.split("v1=").last().expect("a signature"), "bob@example.test", "Ann Buyer"] {
        assert!(!log.contains(hidden), "logged: {hidden}");
    }
}

/// At which moment the program is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The attempt is on record; Stripe has not heard of it.
    Asking,
    /// Stripe has charged; its answer is on its way.
    Charged,
    /// The answer is there; what follows from it is not on record.
    Recording,
    /// The charge is on record.
    Recorded,
    /// Stripe has made a refund; its answer is on its way.
    Refunding,
}

/// Waits until it is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to this: {what}");
}

/// The shop's database, as somebody else who is connected to it sees it.
async fn beside(place: &Place) -> DatabaseConnection {
    let url = match &place.database {
        Some(options) => options.url.clone(),
        None => format!("sqlite://{}", place.data().join("bursar.db").display()),
    };
    let mut options = ConnectOptions::new(url);
    // One connection, so that a transaction spans the calls.
    options.max_connections(1);
    Database::connect(options).await.expect("the shop's database")
}

/// Kills the program at this moment of a card payment (or of its refund), starts it again, and sees that the buyer has paid once and has access
/// once, or that the refund was made once.
async fn killed(moment: Moment) {
    let stripe = Double::default();
    let proxy = FaultProxy::around(stripe.router()).await.expect("a port");
    let mut place = shop(&proxy.url(), "payment_intent").await;
    // The same at each start: a call that is repeated has to be the same to the letter.
    place.set("BURSAR_SHOP_PUBLIC_URL", "http://127.0.0.1:8080");
    let mut server = place.serve(&["--seed", "demo"]).await;
    let operator = bearer(&place.key(&[]).await);
    let operator = [("Authorization", operator.as_str())];
    let (basket, secret) = cart(&server, "RUST-PATH", "ann@example.test").await;
    let headers = [("Cart-Secret", secret.as_str())];
    let placing = order(&basket, "cards", Some("pm_card_visa"));
    let long = Duration::from_secs(60);
    let refund = "mutation($input: OrderRefundInput!) { orderRefund(input: $input) { userErrors { code message } order { id } } }";
    let back = |order: &Value| json!({ "input": { "orderId": order, "amount": { "amount": "9.00", "currency": "USD" }, "reason": "goodwill", "idempotencyKey": "r" } });
    let mut paid = Value::Null;
    if moment == Moment::Refunding {
        paid = server.ok(&headers, PLACE, placing.clone()).await["orderPlace"]["order"]["id"].clone();
        becomes(&server, &secret, &paid, "FULFILLED").await;
    }

    let (opened, forwarded) = (proxy.opened(), proxy.forwarded());
    match moment {
        Moment::Asking => proxy.set_on(Calls::Writes, Fault::Stall(long)),
        Moment::Charged | Moment::Refunding => proxy.set_on(Calls::Writes, Fault::Delay(long)),
        Moment::Recording => proxy.set_on(Calls::Writes, Fault::Delay(Duration::from_secs(1))),
        Moment::Recorded => {}
    }
    let asking = if moment == Moment::Refunding {
        server.request(&operator, refund, back(&paid))
    } else {
        server.request(&headers, PLACE, placing.clone())
    };
    let asking = tokio::spawn(asking.send());
    match moment {
        Moment::Asking => until("Stripe is called", async || proxy.opened() > opened).await,
        Moment::Charged | Moment::Refunding => until("Stripe has done it", async || proxy.forwarded() > forwarded).await,
        Moment::Recording => {
            until("Stripe has charged", async || proxy.forwarded() > forwarded).await;
            let holder = beside(&place).await;
            let hold = match &place.database {
                Some(_) => "BEGIN; LOCK TABLE payment IN ACCESS EXCLUSIVE MODE",
                None => "BEGIN IMMEDIATE",
            };
            holder.execute_unprepared(hold).await.expect("the hold");
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            server.kill();
            holder.execute_unprepared("ROLLBACK").await.expect("the hold ends");
            server = place.serve(&["--seed", "demo"]).await;
        }
        Moment::Recorded => {
            let onlooker = beside(&place).await;
            until("the charge is on record", async || {
                let captured =
                    Statement::from_string(onlooker.get_database_backend(), "SELECT id FROM payment WHERE status = 'CAPTURED'".to_owned());
                onlooker.query_one_raw(captured).await.expect("it can be read").is_some()
            })
            .await;
        }
    }
    if moment != Moment::Recording {
        server.kill();
        proxy.set(Fault::None);
        server = place.serve(&["--seed", "demo"]).await;
    }
    proxy.set(Fault::None);
    asking.abort();

    let order = server.ok(&headers, PLACE, placing).await["orderPlace"]["order"]["id"].clone();
    if moment == Moment::Refunding {
        assert_eq!(order, paid);
        server.ok(&operator, refund, back(&paid)).await;
        becomes(&server, &secret, &order, "PARTIALLY_REFUNDED").await;
    } else {
        becomes(&server, &secret, &order, "FULFILLED").await;
    }
    assert_eq!(stripe.world().movements(), (1, usize::from(moment == Moment::Refunding)), "{moment:?}: charges and refunds");
    let query = "{ orders(first: 10) { nodes { status payments { status captured { amount } } refunds { amount { amount } } } }
        paidNotGiven { id } givenNotPaid { __typename } paymentProblems { kind } jobs(status: \"PARKED\") { totalCount } }";
    let data = server.ok(&operator, query, json!({})).await;
    let status = if moment == Moment::Refunding { "PARTIALLY_REFUNDED" } else { "FULFILLED" };
    let refunds = if moment == Moment::Refunding { json!([{ "amount": { "amount": "9.00" } }]) } else { json!([]) };
    let whole = json!({ "status": status, "payments": [{ "status": "CAPTURED", "captured": { "amount": "149.00" } }], "refunds": refunds });
    assert_eq!(data["orders"]["nodes"], json!([whole]), "{moment:?}");
    let lists = (&data["paidNotGiven"], &data["givenNotPaid"], &data["paymentProblems"], &data["jobs"]["totalCount"]);
    assert_eq!(lists, (&json!([]), &json!([]), &json!([]), &json!(0)), "{moment:?}");
    let onlooker = beside(&place).await;
    let given =
        Statement::from_string(onlooker.get_database_backend(), "SELECT id FROM entitlement WHERE source_kind = 'ORDER_LINE'".to_owned());
    assert_eq!(onlooker.query_all_raw(given).await.expect("it can be read").len(), 1, "{moment:?}: access once");
    onlooker.close().await.expect("it goes");
    server.stop().await;
}

/// A real process before a Stripe that keeps its books, killed at each moment at which money and record could part.
#[tokio::test(flavor = "multi_thread")]
async fn c21_a_card_payment_survives_a_kill_at_each_moment() {
    let moments = [Moment::Asking, Moment::Charged, Moment::Recording, Moment::Recorded, Moment::Refunding];
    futures_util::future::join_all(moments.map(killed)).await;
}

/// A server of somebody else's, in Python; it ends with the test.
struct Peer {
    process: Child,
    python: PathBuf,
    url: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Peer {
    /// `localstripe`, on the loopback interface only: its own command listens everywhere, and keeps its state in the folder for temporary files.
    async fn localstripe(place: &Place) -> Self {
        let peers = std::env::var_os("BURSAR_PEERS").expect("BURSAR_PEERS names the Python environment of the peers: run scripts/peers");
        let python = PathBuf::from(peers).join("bin/python");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let code = "import sys; from aiohttp import web; import localstripe.server as s; web.run_app(s.app, host='127.0.0.1', port=int(sys.argv[1]))";
        let log = File::create(place.dir.path().join("localstripe.log")).expect("a log");
        let process = Command::new(&python)
            .args(["-c", code, &address.port().to_string()])
            .env("TMPDIR", place.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("Python starts");
        let peer = Self { process, python, url: format!("http://{address}") };
        for _ in 0..300 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return peer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("localstripe does not answer: {}", std::fs::read_to_string(place.dir.path().join("localstripe.log")).unwrap_or_default());
    }

    /// A proxy before it that drops what it does not know and would refuse.
    fn forgiving(&self) -> Router {
        let (to, client) = (self.url.clone(), client());
        Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let (to, client) = (to.clone(), client.clone());
            async move {
                let known = |name: &str| {
                    let unknown = ["automatic_payment_methods", "description", "return_url", "receipt_email", "created[gte]"];
                    !unknown.iter().any(|word| name.starts_with(word))
                };
                let fields = |text: &str| {
                    let url = reqwest::Url::parse(&format!("http://form/?{text}")).expect("a form");
                    url.query_pairs()
                        .filter(|(name, _)| known(name))
                        .map(|(name, value)| (name.into_owned(), value.into_owned()))
                        .collect::<Vec<_>>()
                };
                let mut request =
                    client.request(method.clone(), format!("{to}{}", uri.path())).query(&fields(uri.query().unwrap_or_default()));
                if let Some(credentials) = headers.get("authorization") {
                    request = request.header("authorization", credentials);
                }
                if method == Method::POST {
                    assert!(headers.contains_key("idempotency-key"), "each write has a key");
                    request = request.form(&fields(&String::from_utf8_lossy(&body)));
                }
                let answer = request.send().await.expect("localstripe answers");
                let status = StatusCode::from_u16(answer.status().as_u16()).expect("a status");
                (status, [("content-type", "application/json")], answer.bytes().await.expect("a body")).into_response()
            }
        })
    }

    /// Calls it as Stripe's script in a browser, or somebody at its desk, would.
    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let answer = client().post(format!("{}{path}", self.url)).basic_auth(KEY, Some("")).form(form).send().await.expect("an answer");
        let status = answer.status();
        let body: Value = answer.json().await.expect("JSON");
        assert!(status.is_success(), "{path}: {body:#}");
        body
    }

    /// The id of a card with this number.
    async fn card(&self, number: &str) -> String {
        let card =
            [("type", "card"), ("card[number]", number), ("card[exp_month]", "12"), ("card[exp_year]", "2031"), ("card[cvc]", "123")];
        words(&self.post("/v1/payment_methods", &card).await["id"])
    }

    /// What Stripe's own library for Python prints.
    fn library(&self, code: &str, args: &[&str]) -> String {
        let output = Command::new(&self.python).arg("-c").arg(code).args(args).output().expect("Python runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }
}

fn client() -> reqwest::Client {
    // Building a client needs a TLS provider, whatever it talks to. Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().expect("a client")
}

/// Against `localstripe`, which we did not write: a good card, a refused one and a second try, a card that its bank wants to see, a refund of a part,
/// reports that it signs itself; and signatures of Stripe's own library, both ways.
#[tokio::test]
#[ignore = "needs the Python packages that scripts/peers installs and names"]
async fn stripe_payments_against_localstripe() {
    let place = Place::new().await;
    let peer = Peer::localstripe(&place).await;
    let proxy = FaultProxy::around(peer.forgiving()).await.expect("a port");
    let place = shop(&proxy.url(), "payment_intent").await;
    let server = place.serve(&["--seed", "demo"]).await;
    let operator = bearer(&place.key(&[]).await);
    let hook = json!({ "url": format!("{}/webhooks/cards", server.url), "secret": SECRET });
    let told = client().post(format!("{}/_config/webhooks/w1", peer.url)).json(&hook).send().await.expect("an answer");
    assert!(told.status().is_success(), "{}", told.status());

    let good = peer.card("4242424242424242").await;
    let (secret, order, payment) = placed(&server, "good@example.test", Some(&good)).await;
    assert_eq!(payment["status"], "CAPTURED", "{order:#}");
    becomes(&server, &secret, &order["id"], "FULFILLED").await;
    let input =
        json!({ "orderId": order["id"], "amount": { "amount": "50.00", "currency": "USD" }, "reason": "goodwill", "idempotencyKey": "r1" });
    server.ok(&[("Authorization", &operator)], REFUND, json!({ "input": input })).await;
    becomes(&server, &secret, &order["id"], "PARTIALLY_REFUNDED").await;
    let refunds = client().get(format!("{}/v1/refunds", peer.url)).basic_auth(KEY, Some("")).send().await.expect("an answer");
    let refunds: Value = refunds.json().await.expect("JSON");
    assert_eq!(refunds["data"][0]["amount"], 5_000, "{refunds:#}");
    assert_eq!(refunds["data"].as_array().map(Vec::len), Some(1), "{refunds:#}");

    let refused = peer.card("4000000000000341").await;
    let (secret, order, payment) = placed(&server, "refused@example.test", Some(&refused)).await;
    assert_eq!(
        (&order["status"], &payment["status"], &payment["declineReason"]),
        (&json!("PENDING_PAYMENT"), &json!("FAILED"), &json!("declined"))
    );
    let again = peer.card("4242424242424242").await;
    let input = json!({ "orderId": order["id"], "paymentMethod": { "gateway": "cards", "token": again }, "idempotencyKey": "again" });
    server.ok(&[("Cart-Secret", &secret)], RETRY, json!({ "input": input })).await;
    becomes(&server, &secret, &order["id"], "FULFILLED").await;

    // Only the report tells the shop that the bank agreed.
    let secure = peer.card("4000002500003155").await;
    let (cart_secret, order, payment) = placed(&server, "secure@example.test", Some(&secure)).await;
    assert_eq!((&payment["status"], &payment["nextAction"]["kind"]), (&json!("REQUIRES_ACTION"), &json!("CLIENT_SECRET")), "{order:#}");
    let client_secret = words(&payment["nextAction"]["clientSecret"]);
    let intent = client_secret.split("_secret_").next().expect("the id begins the secret").to_owned();
    let done = [("client_secret", client_secret.as_str()), ("success", "true"), ("key", "pk_test_12345")];
    peer.post(&format!("/v1/payment_intents/{intent}/_authenticate"), &done).await;
    becomes(&server, &cart_secret, &order["id"], "FULFILLED").await;

    // Stripe's library signs, and checks what these tests sign.
    let body = json!({ "id": "evt_lib", "object": "event", "type": "payment_intent.succeeded", "livemode": false, "data": { "object": {
        "object": "payment_intent", "id": intent, "metadata": {} } } })
    .to_string();
    let code = "import sys, time, stripe; t = int(time.time()); b = sys.argv[1]; \
                print(f't={t},v1=' + stripe.WebhookSignature._compute_signature(f'{t}.{b}', sys.argv[2]))";
    let signature = peer.library(code, &[&body, SECRET]);
    assert_eq!(deliver(&server, "cards", body.as_bytes(), &signature).await, 200, "{signature}");
    assert_eq!(deliver(&server, "cards", format!("{body} ").as_bytes(), &signature).await, 401, "another body");
    let code = "import sys, stripe; print(stripe.Webhook.construct_event(sys.argv[1], sys.argv[2], sys.argv[3])['id'])";
    assert_eq!(peer.library(code, &[&body, &sign(SECRET, body.as_bytes()), SECRET]), "evt_lib");
    server.stop().await;
}
