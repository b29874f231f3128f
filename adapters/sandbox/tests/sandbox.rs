//! The conformance suite, and what is special about the sandbox: it remembers, it shows a page, it signs and sends.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::post;
use bursar_sandbox::{DeliveryReport, SIGNATURE_HEADER, Sandbox, SandboxFactory, Step, Token, pages};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Currency, Money, PaymentId, RefundId};
use hmac::{Hmac, KeyInit, Mac};
use port::{
    Buyer, CaptureMode, Found, GatewayError, GatewayFactory, InstanceConfig, Mode, NextAction, OpContext, PaymentGateway, PaymentStatus,
    RawWebhook, RefundRequest, StartPayment, Started,
};
use sea_orm::sqlx::Row;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::conformance::{Act, Harness, Key, Scenario};
use testkit::play::{self, changed};
use tower::ServiceExt;
use uuid::Uuid;

const CURRENT: &str = "current-secret-4711";
const PREVIOUS: &str = "previous-secret-0815";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("an instant")
}

fn config(dir: &Path) -> InstanceConfig {
    let mut config = InstanceConfig::new("sandbox", "http://127.0.0.1:8080");
    config.data_dir = Some(dir.to_owned());
    config
}

async fn open(dir: &TempDir) -> Sandbox {
    Sandbox::open(config(dir.path())).await.expect("the sandbox opens")
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn euro(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").expect("a currency"))
}

fn request(token: Token, minor: i64) -> StartPayment {
    StartPayment {
        payment_id: PaymentId::new(Uuid::now_v7()),
        order_reference: "B-2041-K".to_owned(),
        amount: euro(minor),
        description: "<script>alert(1)</script> & Łódź".to_owned(),
        buyer: Buyer::default(),
        return_url: "http://127.0.0.1:8080/return?order=1".to_owned(),
        cancel_url: "http://127.0.0.1:8080/cancel".to_owned(),
        webhook_url: "http://127.0.0.1:8080/webhooks/sandbox".to_owned(),
        capture: CaptureMode::Automatic,
        lines: Vec::new(),
        expires_at: None,
        token: Some(SecretString::from(token.text())),
    }
}

fn context(operation_id: impl ToString) -> OpContext {
    OpContext::new(operation_id.to_string(), at(0))
}

async fn start(sandbox: &Sandbox, request: &StartPayment) -> Result<Started, GatewayError> {
    sandbox.start(&context(request.payment_id), request.clone()).await
}

async fn started(sandbox: &Sandbox, request: &StartPayment) -> Started {
    start(sandbox, request).await.expect("a start")
}

/// The scheme written a second time, so that the adapter is not tested with itself.
fn sign(secret: &str, body: &[u8], at: DateTime<Utc>) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(format!("{}.", at.timestamp()).as_bytes());
    mac.update(body);
    let code: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={},v1={code}", at.timestamp())
}

struct Player(Sandbox);

#[async_trait]
impl Harness for Player {
    fn gateway(&self) -> Arc<dyn PaymentGateway> {
        Arc::new(self.0.clone())
    }

    fn prepare(&self, scenario: Scenario, request: &mut StartPayment) -> bool {
        let token = match scenario {
            Scenario::Approve => Token::Approve,
            Scenario::Decline => Token::Decline,
            Scenario::Redirect => Token::Redirect,
            Scenario::Pending => Token::Pending,
            Scenario::Authorise => Token::Authorise,
            Scenario::TimeoutCharged => Token::TimeoutCharged,
            Scenario::TimeoutNotCharged => Token::TimeoutNotCharged,
            Scenario::Down => Token::GatewayDown,
            Scenario::RefundPending => Token::RefundPending,
            Scenario::RefundTimeout => Token::RefundTimeout,
        };
        request.token = Some(SecretString::from(token.text()));
        true
    }

    async fn act(&self, payment_id: PaymentId, act: Act, now: DateTime<Utc>) -> Option<Result<(), GatewayError>> {
        let step = match act {
            Act::Approve => Step::Approve,
            Act::Decline => Step::Decline,
            Act::Expire => Step::Expire,
            Act::FinishRefund(reference) => Step::CompleteRefund(reference),
            Act::FailRefund(reference) => Step::FailRefund(reference),
            Act::OpenDispute(amount) => Step::OpenDispute(amount),
            Act::WinDispute(reference) => Step::WinDispute(reference),
            Act::LoseDispute(reference) => Step::LoseDispute(reference),
        };
        Some(self.0.advance(payment_id, step, now).await.map(|_| ()))
    }

    async fn reports(&self, payment_id: PaymentId) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        for delivery in self.0.pending_deliveries().await.expect("the state is readable") {
            if delivery.payment_id == payment_id {
                bodies.push(self.0.signed(&delivery.event_id, delivery.due_at).await.expect("the event exists").body);
            }
        }
        bodies
    }

    fn delivery(&self, key: Key, body: Vec<u8>, at: DateTime<Utc>) -> Option<RawWebhook> {
        let secret = match key {
            Key::Current => CURRENT,
            Key::Previous => PREVIOUS,
            Key::Wrong => "somebody else's",
            Key::Empty => "",
        };
        let headers =
            vec![("content-type".to_owned(), "application/json".to_owned()), ("sandbox-signature".to_owned(), sign(secret, &body, at))];
        Some(RawWebhook { headers, query: String::new(), body, received_at: at })
    }

    fn for_another_account(&self, body: &[u8]) -> Option<Vec<u8>> {
        changed(body, |event| event["instance"] = "sandbox-2".into())
    }

    fn of_unknown_kind(&self, body: &[u8]) -> Option<Vec<u8>> {
        changed(body, |event| event["type"] = "moon.rose".into())
    }

    fn in_other_bytes(&self, body: &[u8]) -> Option<Vec<u8>> {
        play::in_other_bytes(body)
    }

    fn tolerance(&self) -> Option<TimeDelta> {
        Some(TimeDelta::seconds(300))
    }

    fn secrets(&self) -> Vec<String> {
        vec![CURRENT.to_owned(), PREVIOUS.to_owned()]
    }
}

#[tokio::test]
async fn the_conformance_suite_passes() {
    let dir = directory();
    for currencies in [None, Some(json!(["PLN", "EUR", "JPY", "KWD"]))] {
        let mut config = config(dir.path());
        config.secrets.insert("webhook_secret".to_owned(), CURRENT.into());
        config.secrets.insert("webhook_secret_previous".to_owned(), PREVIOUS.into());
        config.settings.extend(currencies.map(|codes| ("currencies".to_owned(), codes)));
        let player = Player(Sandbox::open(config).await.expect("it opens"));
        let expected = [1..=7, 10..=11, 18..=21, 23..=39, 41..=43, 45..=47, 49..=50];
        play::passes(&player, "sandbox", expected).await;
    }
}

/// The checks of late success and of what the sandbox declares see their faults.
#[tokio::test]
async fn the_suite_sees_each_fault_of_an_adapter() {
    let dir = directory();
    let mut config = config(dir.path());
    config.secrets.insert("webhook_secret".to_owned(), CURRENT.into());
    config.secrets.insert("webhook_secret_previous".to_owned(), PREVIOUS.into());
    let seen = testkit::twist::each_fault_is_seen(&Player(Sandbox::open(config).await.expect("it opens"))).await;
    assert!([2, 5, 31, 35, 37, 46].iter().all(|number| seen.contains(number)), "{seen:?}");
}

#[tokio::test]
async fn c21_what_was_booked_survives_a_killed_shop() {
    let dir = directory();
    let charged = request(Token::TimeoutCharged, 5_000);
    let waiting = request(Token::Redirect, 700);
    {
        let sandbox = open(&dir).await;
        assert!(matches!(start(&sandbox, &charged).await, Err(GatewayError::UnknownOutcome { .. })));
        started(&sandbox, &waiting).await;
    }
    let sandbox = open(&dir).await;
    let Found::Present(located) = sandbox.find(&context("ask"), charged.payment_id).await.expect("find") else {
        panic!("the charge is gone")
    };
    assert_eq!((located.snapshot.status, located.snapshot.totals.captured), (PaymentStatus::Captured, euro(5_000)));
    assert_eq!(started(&sandbox, &charged).await.reference, located.reference);
    let snapshot = sandbox.advance(waiting.payment_id, Step::Approve, at(5)).await.expect("approved after the restart");
    assert_eq!(snapshot.totals.captured, euro(700));
}

#[tokio::test]
async fn two_processes_on_one_file_make_one_object_of_one_operation() {
    let dir = directory();
    let (one, other) = tokio::join!(open(&dir), open(&dir));
    let request = request(Token::Approve, 1_000);
    let mut tasks = tokio::task::JoinSet::new();
    for sandbox in [&one, &other].into_iter().cycle().take(10) {
        let (sandbox, request) = (sandbox.clone(), request.clone());
        tasks.spawn(async move { started(&sandbox, &request).await.reference });
    }
    let references: BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(references.len(), 1, "{references:?}");
    assert_eq!(one.pending_deliveries().await.expect("pending").len(), 1, "one payment.captured");
}

#[tokio::test]
async fn two_accounts_on_one_file_do_not_see_each_other() {
    let dir = directory();
    let mut second = config(dir.path());
    second.id = "sandbox-2".to_owned();
    let (first, second) = (open(&dir).await, Sandbox::open(second).await.expect("it opens"));
    let request = request(Token::Approve, 1_000);
    let reference = started(&first, &request).await.reference;
    assert_eq!(second.fetch(&context("ask"), &reference).await, Err(GatewayError::NotFound));
    assert_eq!(second.find(&context("ask"), request.payment_id).await, Ok(Found::Absent));
    assert_eq!(second.pending_deliveries().await, Ok(Vec::new()));
    let event = first.pending_deliveries().await.expect("pending").remove(0).event_id;
    let delivery = first.signed(&event, at(0)).await.expect("signed");
    let webhook = RawWebhook { headers: delivery.headers, query: String::new(), body: delivery.body, received_at: at(0) };
    assert!(first.receive_webhook(&context("hook"), webhook.clone()).await.is_ok());
    assert!(second.receive_webhook(&context("hook"), webhook).await.is_err(), "each account has a secret of its own");
}

#[tokio::test]
async fn a_secret_of_its_own_is_kept_and_never_printed() {
    let dir = directory();
    let sandbox = open(&dir).await;
    started(&sandbox, &request(Token::Approve, 1_000)).await;
    let event = sandbox.pending_deliveries().await.expect("pending").remove(0).event_id;
    let delivery = sandbox.signed(&event, at(0)).await.expect("signed");

    let file = SqlitePool::connect_with(SqliteConnectOptions::new().filename(dir.path().join("sandbox.db"))).await.expect("the file");
    let secret: String = sea_orm::sqlx::query("SELECT value FROM secret").fetch_one(&file).await.expect("a secret").get("value");
    assert!(secret.len() > 32);
    assert!(delivery.headers.contains(&(SIGNATURE_HEADER.to_owned(), sign(&secret, &delivery.body, at(0)))));
    let signature = sign(&secret, &delivery.body, at(0));
    for printed in [format!("{sandbox:?}"), format!("{delivery:?}"), format!("{:?}", SandboxFactory::new())] {
        assert!(!printed.contains(&secret) && !printed.contains(&signature), "{printed}");
    }

    let webhook = RawWebhook { headers: delivery.headers, query: String::new(), body: delivery.body, received_at: at(1) };
    let again = open(&dir).await;
    assert!(again.receive_webhook(&context("hook"), webhook).await.is_ok(), "the secret is the same after a restart");
}

#[tokio::test]
async fn wrong_settings_and_live_mode_are_refused_by_name() {
    let dir = directory();
    let factory = SandboxFactory::new();
    let good = config(dir.path());
    let mut cases = Vec::new();
    cases.push(("mode", InstanceConfig { mode: Mode::Live, ..good.clone() }));
    cases.push(("state_dir", InstanceConfig { data_dir: None, ..good.clone() }));
    cases.push(("public_url", InstanceConfig { public_url: "javascript:alert(1)".to_owned(), ..good.clone() }));
    for (key, value) in [("webhook_secret", ""), ("webhook_secret_previous", "old"), ("secret_of_another", "x")] {
        let mut case = good.clone();
        case.secrets.insert(key.to_owned(), value.into());
        cases.push((key, case));
    }
    for (key, setting, value) in [
        ("settings", "currency", json!("EUR")),
        ("currencies", "currencies", json!(["EUR", "XYZ"])),
        ("deliver_to", "deliver_to", json!("https://127.0.0.1:8080")),
        ("deliver_to", "deliver_to", json!("http://shop.example")),
    ] {
        let mut case = good.clone();
        case.settings.insert(setting.to_owned(), value);
        cases.push((key, case));
    }
    for (key, case) in cases {
        let error = factory.build(case).await.expect_err(key);
        assert!(matches!(&error, GatewayError::Config { key: named, .. } if named == key), "{key}: {error}");
    }
    assert!(factory.built().is_empty());
    let mut elsewhere = InstanceConfig { data_dir: None, ..good };
    elsewhere.settings.insert("state_dir".to_owned(), json!(dir.path().join("deep/er")));
    factory.build(elsewhere).await.expect("a directory given in the settings is created");
    assert_eq!(factory.built().len(), 1);
}

#[tokio::test]
async fn tokens_do_what_they_say() {
    let dir = directory();
    let sandbox = open(&dir).await;
    let redirect = request(Token::Redirect, 1_000);
    let url = format!("http://127.0.0.1:8080/sandbox/{}", redirect.payment_id);
    let answer = started(&sandbox, &redirect).await;
    assert!(matches!(&answer.next_action, NextAction::Redirect { url: there, .. } if *there == url), "{answer:?}");
    let no_token = StartPayment { token: None, ..request(Token::Approve, 1_000) };
    assert_eq!(started(&sandbox, &no_token).await.snapshot.status, PaymentStatus::RequiresAction);

    let pending = request(Token::Pending, 1_000);
    let answer = started(&sandbox, &pending).await;
    assert_eq!((answer.snapshot.status, answer.next_action), (PaymentStatus::Processing, NextAction::WaitForBuyer));
    let snapshot = sandbox.advance(pending.payment_id, Step::Decline, at(1)).await.expect("declined");
    assert_eq!(snapshot.status, PaymentStatus::Failed);
    assert!(sandbox.advance(pending.payment_id, Step::Approve, at(2)).await.is_err(), "a declined attempt stays declined");

    let reserved = started(&sandbox, &request(Token::Authorise, 1_000)).await;
    assert_eq!(reserved.snapshot.status, PaymentStatus::Authorised, "whatever the capture mode");
    let snapshot = sandbox.capture(&context("capture-1"), &reserved.reference, euro(1_000), true).await.expect("captured");
    assert_eq!((snapshot.status, snapshot.totals.captured), (PaymentStatus::Captured, euro(1_000)));

    let wrong = StartPayment { token: Some("approved".into()), ..request(Token::Approve, 1_000) };
    let error = start(&sandbox, &wrong).await.expect_err("no such token");
    assert!(
        matches!(&error, GatewayError::InvalidRequest { field: "token", .. }) && error.to_string().contains("approve, decline"),
        "{error}"
    );
    let script = StartPayment { return_url: "javascript:alert(1)".to_owned(), ..request(Token::Approve, 1_000) };
    assert!(matches!(start(&sandbox, &script).await, Err(GatewayError::InvalidRequest { field: "return_url", .. })));
}

#[tokio::test]
async fn c23_ten_refunds_at_once_never_exceed_what_was_taken() {
    let dir = directory();
    let sandbox = open(&dir).await;
    let payment = started(&sandbox, &request(Token::Approve, 10_000)).await.reference;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let refund = RefundRequest {
            refund_id: RefundId::new(Uuid::now_v7()),
            payment: payment.clone(),
            amount: euro(3_000),
            reason: String::new(),
        };
        let sandbox = sandbox.clone();
        tasks.spawn(async move { sandbox.refund(&context(refund.refund_id), refund).await.is_ok() });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|made| *made).count(), 3, "three times 3000 of 10000");
    assert_eq!(sandbox.fetch(&context("ask"), &payment).await.expect("fetch").totals.refunded, euro(9_000));
}

/// A shop that answers deliveries with a status that the test sets, and keeps what it got.
struct Shop {
    base: String,
    status: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<RawWebhook>>>,
}

impl Shop {
    async fn open() -> Self {
        let (status, got) = (Arc::new(AtomicU16::new(200)), Arc::new(Mutex::new(Vec::new())));
        let (answer, keep) = (status.clone(), got.clone());
        let take = move |headers: HeaderMap, body: Bytes| {
            let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect();
            keep.lock().expect("no panic").push(RawWebhook { headers, query: String::new(), body: body.to_vec(), received_at: at(0) });
            let status = StatusCode::from_u16(answer.load(Ordering::Relaxed)).expect("a status");
            async move { (status, [("location", "/webhooks/sandbox")]) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().route("/webhooks/sandbox", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, status, got }
    }

    fn got(&self) -> Vec<RawWebhook> {
        self.got.lock().expect("no panic").clone()
    }

    fn request(&self, token: Token) -> StartPayment {
        StartPayment { webhook_url: format!("{}/webhooks/sandbox", self.base), ..request(token, 1_000) }
    }
}

#[tokio::test]
async fn c15_events_are_delivered_signed_and_can_be_sent_again() {
    let (dir, shop) = (directory(), Shop::open().await);
    let sandbox = open(&dir).await;
    let paid = shop.request(Token::Approve);
    started(&sandbox, &paid).await;
    sandbox.wait_for_event().await;
    assert_eq!(sandbox.deliver_due(at(0)).await, Ok(DeliveryReport { delivered: 1, failed: 0 }));
    assert_eq!(sandbox.deliver_due(at(0)).await, Ok(DeliveryReport::default()), "it was delivered");

    let first = shop.got().remove(0);
    let received = sandbox.receive_webhook(&context("hook"), first.clone()).await.expect("the sandbox's own signature");
    let notification = &received.notifications[0];
    assert_eq!((notification.kind.as_str(), notification.payment_id), ("payment.captured", Some(paid.payment_id)));

    sandbox.send_again(&notification.dedup_key, at(3_600)).await.expect("the event exists");
    assert_eq!(sandbox.deliver_due(at(3_600)).await, Ok(DeliveryReport { delivered: 1, failed: 0 }));
    let second = RawWebhook { received_at: at(3_600), ..shop.got().remove(1) };
    assert_eq!(second.body, first.body, "the same report");
    assert_ne!(second.header(SIGNATURE_HEADER), first.header(SIGNATURE_HEADER), "signed anew, for now");
    let again = sandbox.receive_webhook(&context("hook"), second).await.expect("fresh enough");
    assert_eq!(again.notifications[0].dedup_key, notification.dedup_key);
    assert_eq!(sandbox.send_again("sbevt_none", at(0)).await, Err(GatewayError::NotFound));
}

#[tokio::test]
async fn an_event_that_the_shop_does_not_take_is_tried_again_later_and_then_rests() {
    let (dir, shop) = (directory(), Shop::open().await);
    let sandbox = open(&dir).await;
    started(&sandbox, &shop.request(Token::Approve)).await;
    let (failed, nothing) = (DeliveryReport { delivered: 0, failed: 1 }, DeliveryReport::default());
    let mut now = 0;
    for (status, wait) in [(500, 10), (302, 60), (401, 300), (503, 1_800), (500, 7_200), (500, 21_600), (500, 86_400), (500, 86_400)] {
        shop.status.store(status, Ordering::Relaxed);
        assert_eq!(sandbox.deliver_due(at(now)).await, Ok(failed), "answered {status}");
        assert_eq!(sandbox.deliver_due(at(now + wait - 1)).await, Ok(nothing), "not before {wait} seconds have passed");
        now += wait;
    }
    assert_eq!(sandbox.deliver_due(at(now)).await, Ok(failed));
    assert_eq!(sandbox.pending_deliveries().await, Ok(Vec::new()), "given up until somebody sends it again");
    assert_eq!(shop.got().len(), 9, "no redirect was followed");
}

#[tokio::test]
async fn two_processes_deliver_each_event_once() {
    let (dir, shop) = (directory(), Shop::open().await);
    let (one, other) = (open(&dir).await, open(&dir).await);
    for _ in 0..40 {
        started(&one, &shop.request(Token::Approve)).await;
    }
    let (first, second) = tokio::join!(one.deliver_due(at(0)), other.deliver_due(at(0)));
    let delivered = first.expect("first").delivered + second.expect("second").delivered;
    assert_eq!((delivered, shop.got().len()), (40, 40));
}

#[tokio::test]
async fn a_lost_answer_is_followed_by_a_late_report() {
    let (dir, shop) = (directory(), Shop::open().await);
    let sandbox = open(&dir).await;
    assert!(start(&sandbox, &shop.request(Token::TimeoutCharged)).await.is_err());
    assert!(start(&sandbox, &shop.request(Token::TimeoutNotCharged)).await.is_err());
    assert_eq!(sandbox.deliver_due(at(299)).await, Ok(DeliveryReport::default()));
    assert_eq!(sandbox.deliver_due(at(300)).await, Ok(DeliveryReport { delivered: 1, failed: 0 }));
}

#[tokio::test]
async fn deliveries_stay_on_this_machine() {
    let (dir, shop) = (directory(), Shop::open().await);
    let sandbox = open(&dir).await;
    let elsewhere = StartPayment { webhook_url: "https://shop.example/webhooks/sandbox".to_owned(), ..request(Token::Approve, 1_000) };
    started(&sandbox, &elsewhere).await;
    assert_eq!(sandbox.deliver_due(at(0)).await, Ok(DeliveryReport { delivered: 0, failed: 1 }));

    let mut config = config(dir.path());
    config.settings.insert("deliver_to".to_owned(), json!(shop.base));
    let sandbox = Sandbox::open(config).await.expect("it opens");
    assert_eq!(sandbox.deliver_due(at(10)).await, Ok(DeliveryReport { delivered: 1, failed: 0 }));
}

fn router(sandbox: &Sandbox) -> Router {
    Router::new().nest(bursar_sandbox::PAGE_PATH, pages(vec![sandbox.clone()], Arc::new(|| at(60))))
}

async fn get(router: &Router, path: &str) -> (StatusCode, String) {
    let answer = router.clone().oneshot(Request::get(path).body(Body::empty()).expect("a request")).await.expect("infallible");
    text(answer).await
}

async fn text(answer: Response<Body>) -> (StatusCode, String) {
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

async fn send(router: &Router, path: &str, form: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::post(path).header("content-type", "application/x-www-form-urlencoded").header("host", "127.0.0.1:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.clone().oneshot(request.body(Body::from(form.to_owned())).expect("a request")).await.expect("infallible")
}

fn location(answer: &Response<Body>) -> &str {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    answer.headers()["location"].to_str().expect("text")
}

#[tokio::test]
async fn the_page_shows_a_payment_escaped_and_a_buyer_approves_there() {
    let dir = directory();
    let sandbox = open(&dir).await;
    let payment = request(Token::Redirect, 4_999);
    let reference = started(&sandbox, &payment).await.reference;
    let (router, path) = (router(&sandbox), format!("/sandbox/{}", payment.payment_id));
    let (status, page) = get(&router, &path).await;
    assert_eq!(status, StatusCode::OK);
    for shown in
        ["49.99 EUR", "REQUIRES_ACTION", "B-2041-K", "&lt;script&gt;", "Łódź", "value=\"approve\"", "value=\"decline\"", "value=\"expire\""]
    {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
    assert!(!page.contains("<script"), "{page}");

    let answer = send(&router, &path, "action=approve", &[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!(location(&answer), "http://127.0.0.1:8080/return?order=1");
    let snapshot = sandbox.fetch(&context("ask"), &reference).await.expect("fetch");
    assert_eq!((snapshot.status, snapshot.totals.captured, snapshot.changed_at), (PaymentStatus::Captured, euro(4_999), Some(at(60))));
    let again = send(&router, &path, "action=approve", &[]).await;
    assert_eq!(location(&again), "http://127.0.0.1:8080/return?order=1", "a second click does no harm");
    let (_, page) = get(&router, &path).await;
    assert!(page.contains("payment.captured") && page.contains("Send again") && !page.contains("value=\"approve\""), "{page}");

    for path in ["/sandbox/nonsense", "/sandbox/pay_00000000000000000000000000", "/sandbox/ord_00000000000000000000000000"] {
        assert_eq!(get(&router, path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_buyer_declines_on_the_page() {
    let dir = directory();
    let sandbox = open(&dir).await;
    let payment = request(Token::Redirect, 1_000);
    started(&sandbox, &payment).await;
    let (router, path) = (router(&sandbox), format!("/sandbox/{}", payment.payment_id));
    let answer = send(&router, &path, "action=decline", &[]).await;
    assert_eq!(location(&answer), "http://127.0.0.1:8080/return?order=1");
    assert!(matches!(start(&sandbox, &payment).await, Err(GatewayError::Declined(_))));
    let (status, page) = text(send(&router, &path, "action=approve", &[]).await).await;
    assert!(status == StatusCode::CONFLICT && page.contains("was declined"), "{status}: {page}");
}

#[tokio::test]
async fn a_form_from_another_site_does_nothing() {
    let dir = directory();
    let sandbox = open(&dir).await;
    let payment = request(Token::Redirect, 1_000);
    let reference = started(&sandbox, &payment).await.reference;
    let (router, path) = (router(&sandbox), format!("/sandbox/{}", payment.payment_id));
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "http://127.0.0.1:9999")],
        &[("origin", "https://127.0.0.1:8080.evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:8080")],
    ] {
        assert_eq!(send(&router, &path, "action=approve", headers).await.status(), StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(sandbox.fetch(&context("ask"), &reference).await.expect("fetch").status, PaymentStatus::RequiresAction);
}

#[tokio::test]
async fn the_page_plays_refunds_disputes_late_money_and_sends_again() {
    let (dir, shop) = (directory(), Shop::open().await);
    let sandbox = open(&dir).await;
    let payment = shop.request(Token::Redirect);
    let reference = started(&sandbox, &payment).await.reference;
    let (router, path) = (router(&sandbox), format!("/sandbox/{}", payment.payment_id));
    let press = async |form: String| assert_eq!(location(&send(&router, &path, &form, &[]).await), path, "{form}");

    press("action=expire".to_owned()).await;
    assert!(get(&router, &path).await.1.contains("Approve late"));
    send(&router, &path, "action=approve", &[]).await;
    press("action=refund&amount=2.50".to_owned()).await;
    press("action=dispute&amount=3".to_owned()).await;
    let totals = sandbox.fetch(&context("ask"), &reference).await.expect("fetch").totals;
    assert_eq!((totals.captured, totals.refunded, totals.disputed), (euro(1_000), euro(250), euro(300)));
    let (status, page) = text(send(&router, &path, "action=refund&amount=4.51", &[]).await).await;
    assert!(status == StatusCode::CONFLICT && page.contains("only 4.50 EUR"), "{status}: {page}");
    let (status, _) = text(send(&router, &path, "action=refund&amount=1.001", &[]).await).await;
    assert_eq!(status, StatusCode::CONFLICT, "too many decimals");

    let subject = |page: &str, prefix: &str| {
        let start = page.find(&format!("value=\"{prefix}")).expect("a hidden field") + "value=\"".len();
        page[start..].split('"').next().expect("an end").to_owned()
    };
    let page = get(&router, &path).await.1;
    press(format!("action=refund_fail&subject={}", subject(&page, "sbref_"))).await;
    press(format!("action=dispute_lost&subject={}", subject(&page, "sbdis_"))).await;
    let totals = sandbox.fetch(&context("ask"), &reference).await.expect("fetch").totals;
    assert_eq!((totals.refunded, totals.disputed), (euro(0), euro(300)));

    press(format!("action=send_again&subject={}", subject(&page, "sbevt_"))).await;
    assert_eq!(shop.got().len(), 1, "sent at once");
    let body: Value = serde_json::from_slice(&shop.got()[0].body).expect("JSON");
    assert_eq!(body["type"], "payment.expired");
    let kinds: Vec<String> = sandbox.pending_deliveries().await.expect("pending").into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["payment.captured", "refund.succeeded", "dispute.opened", "refund.failed", "dispute.lost"]);
}
