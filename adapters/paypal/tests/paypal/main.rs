//! The conformance suite against a double of the gateway, and what is special about PayPal: approved is not paid, amounts are text, and a
//! certificate stands behind each signature.

mod double;

use std::sync::Arc;

use async_trait::async_trait;
use bursar_paypal::{PayPal, PayPalFactory};
use chrono::{DateTime, Utc};
use domain::{Money, PaymentId, RefundId};
use double::{CLIENT, CLIENT_SECRET, Double, WEBHOOK, headers};
use port::{
    CaptureMode, DeclineCategory, DisputeStatus, GatewayError, GatewayFactory, InstanceConfig, Mode, NextAction, Notification, Observation,
    OpContext, PaymentGateway, PaymentRef, PaymentStatus, RawWebhook, RefundRequest, ReturnQuery, StartPayment, Started, WebhookError,
};
use serde_json::json;
use testkit::conformance::{Act, Credentials, Harness, Key, Scenario, Wire};
use testkit::fault::{Fault, FaultProxy};
use testkit::play::{self, at, changed, money, seen};
use uuid::Uuid;

fn config(base: &str) -> InstanceConfig {
    let mut config = InstanceConfig::new("paypal", "http://127.0.0.1:8080");
    config.base_url = Some(base.to_owned());
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/paypal/certs/root.pem");
    for (key, value) in [("client_id", CLIENT), ("webhook_id", WEBHOOK), ("certificate_authority", authority)] {
        config.settings.insert(key.to_owned(), value.into());
    }
    config.secrets.insert("client_secret".to_owned(), CLIENT_SECRET.into());
    config
}

struct Player {
    gateway: Arc<dyn PaymentGateway>,
    double: Double,
    proxy: FaultProxy,
}

impl Player {
    async fn new() -> Self {
        let double = Double::default();
        let proxy = FaultProxy::around(double.router()).await.expect("a port");
        Self { gateway: Arc::new(PayPal::new(config(&proxy.url())).expect("good settings")), double, proxy }
    }

    fn order(&self, id: PaymentId) -> String {
        self.double.order_of(&id.to_string()).expect("an order")
    }

    async fn start(&self, request: &StartPayment) -> Result<Started, GatewayError> {
        self.gateway.start(&OpContext::new(request.payment_id.to_string(), at(0)), request.clone()).await
    }

    /// The buyer's browser comes back.
    async fn come_back(&self, id: PaymentId) -> Result<Vec<Observation>, GatewayError> {
        let reference = self.double.order_of(&id.to_string()).map(PaymentRef::new);
        let query = ReturnQuery { payment_id: id, reference, query: "token=5O190127TN364715T&PayerID=FSMVU44LF3YUS".to_owned() };
        self.gateway.complete_return(&context(), query).await
    }

    fn certificate(&self, id: &str) -> String {
        format!("{}/v1/notifications/certs/{id}", self.proxy.url())
    }

    async fn receive(&self, body: Vec<u8>, certificate_url: &str) -> Result<Notification, WebhookError> {
        let headers = headers(&body, WEBHOOK, certificate_url);
        let webhook = RawWebhook { headers, query: String::new(), body, received_at: at(0) };
        let mut received = self.gateway.receive_webhook(&context(), webhook).await?;
        Ok(received.notifications.pop().expect("a notification"))
    }

    async fn told(&self, body: Vec<u8>) -> Vec<Observation> {
        let notification = self.receive(body, &self.certificate("CERT-GOOD")).await.expect("genuine");
        self.gateway.resolve(&context(), &notification).await.expect("resolved")
    }
}

#[async_trait]
impl Wire for Player {
    fn proxy(&self) -> &FaultProxy {
        &self.proxy
    }

    async fn instance(&self, base_url: &str, credentials: Credentials) -> Arc<dyn PaymentGateway> {
        let mut config = config(base_url);
        if credentials == Credentials::Wrong {
            config.secrets.insert("client_secret".to_owned(), "another".into());
        }
        Arc::new(PayPal::new(config).expect("good settings"))
    }

    fn objects(&self, payment_id: PaymentId) -> usize {
        let id = payment_id.to_string();
        self.double.books().orders.values().filter(|row| row.request["purchase_units"][0]["custom_id"] == id.as_str()).count()
    }

    fn strange_status(&self, payment_id: PaymentId) -> bool {
        let order = self.order(payment_id);
        self.double.books().orders.get_mut(&order).expect("an order").status = "MOON".to_owned();
        true
    }

    fn optional_fields(&self) -> &'static [&'static str] {
        &["update_time", "create_time", "invoice_id", "final_capture", "supplementary_data"]
    }

    fn inexpressible(&self) -> Vec<Money> {
        vec![money(12_345, "HUF"), money(1, "TWD")]
    }

    fn tokens_given(&self) -> Option<usize> {
        Some(self.double.books().tokens_given)
    }

    fn end_tokens(&self) {
        self.double.books().tokens.clear();
    }
}

#[async_trait]
impl Harness for Player {
    fn gateway(&self) -> Arc<dyn PaymentGateway> {
        self.gateway.clone()
    }

    fn wire(&self) -> Option<&dyn Wire> {
        Some(self)
    }

    fn prepare(&self, scenario: Scenario, request: &mut StartPayment) -> bool {
        if scenario == Scenario::RefundPending {
            self.double.books().refund_later.insert(request.payment_id.to_string());
        }
        matches!(scenario, Scenario::Approve | Scenario::Redirect | Scenario::RefundPending)
    }

    async fn act(&self, payment_id: PaymentId, act: Act, _now: DateTime<Utc>) -> Option<Result<(), GatewayError>> {
        let order = self.order(payment_id);
        match act {
            Act::Approve => {
                self.double.approve(&order);
                return Some(self.come_back(payment_id).await.map(|_| ()));
            }
            Act::FinishRefund(reference) => self.double.end_refund(&order, reference.as_str(), "COMPLETED"),
            Act::FailRefund(reference) => self.double.end_refund(&order, reference.as_str(), "FAILED"),
            Act::OpenDispute(amount) => {
                self.double.open_dispute(&order, json!({ "currency_code": amount.currency.code(), "value": amount.decimal_text() }));
            }
            Act::WinDispute(reference) => self.double.close_dispute(&order, reference.as_str(), "RESOLVED_SELLER_FAVOUR"),
            Act::LoseDispute(reference) => self.double.close_dispute(&order, reference.as_str(), "RESOLVED_BUYER_FAVOUR"),
            // A buyer who gives up comes back to the shop; PayPal forgets the order after some hours.
            Act::Decline | Act::Expire => return None,
        }
        Some(Ok(()))
    }

    async fn reports(&self, payment_id: PaymentId) -> Vec<Vec<u8>> {
        let Some(order) = self.double.order_of(&payment_id.to_string()) else { return Vec::new() };
        self.double.books().orders[&order].reports.clone()
    }

    fn delivery(&self, key: Key, body: Vec<u8>, at: DateTime<Utc>) -> Option<RawWebhook> {
        let mut headers = match key {
            Key::Current | Key::Empty => headers(&body, WEBHOOK, &self.certificate("CERT-GOOD")),
            Key::Wrong => headers(&body, WEBHOOK, &self.certificate("CERT-STRANGER")),
            // PayPal replaces certificates, not secrets.
            Key::Previous => return None,
        };
        if key == Key::Empty {
            for (_, value) in headers.iter_mut().filter(|(name, _)| name == "paypal-transmission-sig") {
                value.clear();
            }
        }
        Some(RawWebhook { headers, query: String::new(), body, received_at: at })
    }

    fn of_unknown_kind(&self, body: &[u8]) -> Option<Vec<u8>> {
        changed(body, |event| event["event_type"] = "MOON.ROSE".into())
    }

    fn in_other_bytes(&self, body: &[u8]) -> Option<Vec<u8>> {
        play::in_other_bytes(body)
    }

    fn secrets(&self) -> Vec<String> {
        [CLIENT_SECRET, "A21AA-1"].map(str::to_owned).to_vec()
    }
}

fn context() -> OpContext {
    OpContext::new("operation", at(0))
}

fn request(amount: Money) -> StartPayment {
    StartPayment { description: "Ł".repeat(200), ..play::request(amount, "paypal") }
}

#[tokio::test]
async fn an_order_says_what_paypal_needs_and_leads_to_its_page() {
    let player = Player::new().await;
    let request = request(money(120_000, "HUF"));
    let started = player.start(&request).await.expect("a start");
    let order = player.order(request.payment_id);
    let NextAction::Redirect { url, .. } = &started.next_action else { panic!("{:?}", started.next_action) };
    assert_eq!(
        (url.as_str(), started.reference.as_str()),
        (format!("https://www.sandbox.paypal.com/checkoutnow?token={order}").as_str(), order.as_str())
    );
    let body = player.double.books().orders[&order].request.clone();
    let unit = &body["purchase_units"][0];
    assert_eq!(unit["amount"], json!({ "currency_code": "HUF", "value": "1200" }));
    assert_eq!((&unit["custom_id"], &unit["invoice_id"]), (&json!(request.payment_id), &json!(request.payment_id)));
    assert_eq!(unit["description"].as_str().expect("text").chars().count(), 127);
    assert_eq!(body["payment_source"]["paypal"]["experience_context"]["locale"], "pl-PL");
}

/// The report of the approval, the buyer's return and a repeated report all take the money; it is taken once. Asking takes nothing.
#[tokio::test]
async fn approved_is_not_paid_and_is_captured_once_by_whoever_hears_first() {
    let player = Player::new().await;
    let request = request(money(1_999, "EUR"));
    let reference = player.start(&request).await.expect("a start").reference;
    let order = player.order(request.payment_id);
    player.double.approve(&order);
    let snapshot = player.gateway.fetch(&context(), &reference).await.expect("a snapshot");
    assert_eq!((snapshot.status, snapshot.totals.captured.minor), (PaymentStatus::Processing, 0));
    assert_eq!(player.double.books().captures_taken, 0);
    let approved = player.reports(request.payment_id).await.pop().expect("a report");
    let (returned, told, again) = tokio::join!(player.come_back(request.payment_id), player.told(approved.clone()), player.told(approved));
    for observations in [returned.expect("completed"), told, again] {
        assert_eq!((seen(&observations).status, seen(&observations).totals.captured), (PaymentStatus::Captured, money(1_999, "EUR")));
    }
    assert_eq!(player.double.books().captures_taken, 1);
}

#[tokio::test]
async fn a_capture_that_paypal_looks_at_first_is_in_the_works() {
    let player = Player::new().await;
    let request = request(money(1_999, "EUR"));
    player.start(&request).await.expect("a start");
    player.double.books().review.insert(request.payment_id.to_string());
    player.double.approve(&player.order(request.payment_id));
    let observations = player.come_back(request.payment_id).await.expect("completed");
    assert_eq!((seen(&observations).status, seen(&observations).totals.captured.minor), (PaymentStatus::Processing, 0));
}

#[tokio::test]
async fn a_refused_capture_is_a_decline_where_the_buyers_bank_said_no_and_is_tried_again_otherwise() {
    let player = Player::new().await;
    for (why, category) in [("INSTRUMENT_DECLINED", DeclineCategory::Refused), ("TRANSACTION_REFUSED", DeclineCategory::Generic)] {
        let request = request(money(1_999, "EUR"));
        player.start(&request).await.expect("a start");
        player.double.books().refuse_capture.insert(request.payment_id.to_string(), why);
        player.double.approve(&player.order(request.payment_id));
        let observations = player.come_back(request.payment_id).await.expect("completed");
        let snapshot = seen(&observations);
        assert_eq!((snapshot.status, snapshot.decline.as_ref().map(|decline| decline.category)), (PaymentStatus::Failed, Some(category)));
    }
    let request = request(money(1_999, "EUR"));
    player.start(&request).await.expect("a start");
    player.double.books().refuse_capture.insert(request.payment_id.to_string(), "INTERNAL_SERVICE_ERROR");
    player.double.approve(&player.order(request.payment_id));
    let answer = player.come_back(request.payment_id).await;
    assert!(matches!(answer, Err(GatewayError::Unavailable(_))), "{answer:?}");
}

/// What is reserved is given back; what nobody agreed to runs out by itself.
#[tokio::test]
async fn a_reservation_is_given_back_and_cannot_be_captured_then() {
    let player = Player::new().await;
    let mut request = request(money(5_000, "EUR"));
    request.capture = CaptureMode::Manual;
    let reference = player.start(&request).await.expect("a start").reference;
    let early = player.gateway.void(&context(), &reference).await;
    assert_eq!(early, Err(GatewayError::NotSupported { operation: "void" }));
    player.act(request.payment_id, Act::Approve, at(0)).await.expect("a case").expect("approved");
    for attempt in ["first", "repeated"] {
        let snapshot = player.gateway.void(&context(), &reference).await.expect(attempt);
        assert_eq!((snapshot.status, snapshot.totals.captured.minor), (PaymentStatus::Cancelled, 0), "{attempt}");
    }
    let late = player.gateway.capture(&context(), &reference, money(5_000, "EUR"), true).await;
    assert!(matches!(late, Err(GatewayError::InvalidRequest { .. })), "{late:?}");

    let paid = self::request(money(5_000, "EUR"));
    let reference = player.start(&paid).await.expect("a start").reference;
    player.act(paid.payment_id, Act::Approve, at(0)).await.expect("a case").expect("paid");
    let answer = player.gateway.void(&context(), &reference).await;
    assert!(matches!(answer, Err(GatewayError::InvalidRequest { field: "payment", .. })), "{answer:?}");
}

/// A dispute names a capture only; its order is found, and how it ended is asked for.
#[tokio::test]
async fn a_dispute_is_told_of_the_order_whose_capture_it_names() {
    let player = Player::new().await;
    let request = request(money(5_000, "EUR"));
    player.start(&request).await.expect("a start");
    player.act(request.payment_id, Act::Approve, at(0)).await.expect("a case").expect("paid");
    player.act(request.payment_id, Act::OpenDispute(money(2_000, "EUR")), at(1)).await.expect("a case").expect("opened");
    let report = player.reports(request.payment_id).await.pop().expect("a report");
    let notification = player.receive(report.clone(), &player.certificate("CERT-GOOD")).await.expect("genuine");
    assert_eq!((notification.reference, notification.payment_id), (None, Some(request.payment_id)));
    let observations = player.told(report).await;
    let dispute = observations.iter().find_map(|observation| match observation {
        Observation::Dispute { dispute, .. } => Some(dispute.clone()),
        _ => None,
    });
    let dispute = dispute.expect("a dispute");
    assert_eq!((dispute.status, dispute.amount), (DisputeStatus::NeedsResponse, money(2_000, "EUR")));
    player.act(request.payment_id, Act::LoseDispute(dispute.reference), at(2)).await.expect("a case").expect("lost");
    let refund = RefundRequest {
        refund_id: RefundId::new(Uuid::now_v7()),
        payment: PaymentRef::new(player.order(request.payment_id)),
        amount: money(3_001, "EUR"),
        reason: "goodwill".to_owned(),
    };
    let answer = player.gateway.refund(&context(), refund).await;
    assert!(matches!(answer, Err(GatewayError::InvalidRequest { field: "amount", .. })), "2000 are lost: {answer:?}");
}

/// The chain has to end at an authority that is trusted, in its time, and at PayPal's name; where the certificate is, is not the sender's choice.
#[tokio::test]
async fn only_paypals_own_certificate_stands_behind_a_signature() {
    let player = Player::new().await;
    let body = br#"{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{}}"#.to_vec();
    for id in ["CERT-WITHOUT-CHAIN", "CERT-OVER", "CERT-OTHER-NAME", "CERT-STRANGER", "CERT-MISSING"] {
        let answer = player.receive(body.clone(), &player.certificate(id)).await;
        assert_eq!(answer, Err(WebhookError::BadSignature), "{id}");
    }
    let before = player.proxy.opened();
    for elsewhere in
        ["http://127.0.0.1:9/v1/notifications/certs/CERT-GOOD", "https://api.sandbox.paypal.com.evil.example/v1/notifications/certs/CERT-1"]
    {
        assert_eq!(player.receive(body.clone(), elsewhere).await, Err(WebhookError::BadSignature), "{elsewhere}");
    }
    assert_eq!(player.proxy.opened(), before);
    let fetched = player.double.books().certificates_fetched;
    for _ in 0..3 {
        player.receive(body.clone(), &player.certificate("CERT-GOOD")).await.expect("genuine");
    }
    assert_eq!(player.double.books().certificates_fetched, fetched + 1, "one is kept");
    let other_webhook = headers(&body, "ANOTHER-WEBHOOK", &player.certificate("CERT-GOOD"));
    let webhook = RawWebhook { headers: other_webhook, query: String::new(), body, received_at: at(0) };
    assert_eq!(player.gateway.receive_webhook(&context(), webhook).await, Err(WebhookError::BadSignature), "signed for another account");
}

/// A delivery that cannot be checked now is neither believed nor thrown away: PayPal sends it again.
#[tokio::test]
async fn a_certificate_that_cannot_be_fetched_asks_for_the_delivery_again() {
    let player = Player::new().await;
    let body = br#"{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{}}"#.to_vec();
    player.proxy.set(Fault::InternalError);
    let answer = player.receive(body.clone(), &player.certificate("CERT-GOOD")).await.expect_err("not checked");
    assert_eq!(answer.status(), 503, "{answer}");
    player.proxy.set(Fault::None);
    assert!(player.receive(body, &player.certificate("CERT-GOOD")).await.is_ok());
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_by_name() {
    let refused = async |change: fn(&mut InstanceConfig)| {
        let mut config = config("http://127.0.0.1:9");
        change(&mut config);
        match PayPalFactory.build(config).await {
            Err(GatewayError::Config { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|config| drop(config.settings.remove("client_id"))).await, "settings");
    assert_eq!(refused(|config| drop(config.settings.insert("webhook_id".to_owned(), " ".into()))).await, "webhook_id");
    assert_eq!(refused(|config| drop(config.settings.insert("colour".to_owned(), "red".into()))).await, "settings");
    assert_eq!(refused(|config| drop(config.settings.insert("currencies".to_owned(), json!(["KWD"])))).await, "currencies");
    assert_eq!(
        refused(|config| drop(config.settings.insert("certificate_authority".to_owned(), "/nowhere".into()))).await,
        "certificate_authority"
    );
    assert_eq!(refused(|config| drop(config.secrets.remove("client_secret"))).await, "client_secret");
    assert_eq!(refused(|config| drop(config.secrets.insert("colour".to_owned(), "red".into()))).await, "colour");
    assert_eq!(refused(|config| config.mode = Mode::Live).await, "base_url");
    assert_eq!(refused(|config| config.base_url = None).await, "certificate_authority", "a double's authority at the real PayPal");
    let test_host = |config: &mut InstanceConfig| {
        config.mode = Mode::Live;
        config.base_url = Some("https://api-m.sandbox.paypal.com".to_owned());
    };
    assert_eq!(refused(test_host).await, "base_url");
    let mut live = config("http://127.0.0.1:9");
    (live.mode, live.base_url) = (Mode::Live, None);
    live.settings.remove("certificate_authority");
    assert!(PayPalFactory.build(live).await.is_ok());
}

#[tokio::test]
async fn the_conformance_suite_passes() {
    let expected = [1..=3, 6..=6, 8..=33, 36..=38, 41..=43, 45..=45, 47..=47, 49..=50];
    play::passes(&Player::new().await, "paypal", expected).await;
}

/// What the double signs and the adapter accepts, PayPal's own library accepts too, and refuses when a byte is another.
#[tokio::test]
#[ignore = "needs a library of others: scripts/peers"]
async fn signatures_against_paypals_own_library() {
    const PROGRAM: &str = "
import sys
from OpenSSL import crypto
from paypalrestsdk.notifications import WebhookEvent
name, time, webhook, body, signature, path = sys.argv[1:]
certificate = crypto.load_certificate(crypto.FILETYPE_PEM, open(path).read())
print(WebhookEvent._get_expected_sig(name, time, webhook, body))
print(WebhookEvent._is_common_name_valid(certificate))
print(WebhookEvent._verify_signature(name, time, webhook, body, certificate, signature, 'sha256WithRSAEncryption'))
";
    let player = Player::new().await;
    let body = r#"{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","summary":"Zapłata 5 €"}"#;
    let sent = headers(body.as_bytes(), WEBHOOK, &player.certificate("CERT-GOOD"));
    let value = |name: &str| sent.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).expect("a header");
    for (body, genuine) in [(body.to_owned(), true), (body.replace('5', "6"), false)] {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/paypal/certs/good.pem");
        let (name, time, signature) =
            (value("paypal-transmission-id"), value("paypal-transmission-time"), value("paypal-transmission-sig"));
        let arguments = [name.as_str(), &time, WEBHOOK, &body, &signature, path].map(str::to_owned);
        let text = play::python(PROGRAM, &arguments);
        assert!(text.starts_with(&format!("{name}|{time}|{WEBHOOK}|")), "{text}");
        assert!(text.contains("\nTrue\n") && text.trim_end().ends_with(if genuine { "True" } else { "False" }), "{text}");
        let webhook = RawWebhook { headers: sent.clone(), query: String::new(), body: body.into_bytes(), received_at: at(0) };
        assert_eq!(player.gateway.receive_webhook(&context(), webhook).await.is_ok(), genuine);
    }
}

/// The checks of access tokens and of what is declared see their faults.
#[tokio::test]
async fn the_suite_sees_each_fault_of_an_adapter() {
    let seen = testkit::twist::each_fault_is_seen(&Player::new().await).await;
    assert!([16, 24, 26, 31].iter().all(|number| seen.contains(number)), "{seen:?}");
}

/// The same adapter at PayPal's sandbox.
#[tokio::test]
#[ignore = "needs the network and an account: BURSAR_PAYPAL_CLIENT_ID, BURSAR_PAYPAL_CLIENT_SECRET"]
async fn payments_against_the_real_paypal() {
    let mut config = config("https://api-m.sandbox.paypal.com");
    config.settings.remove("certificate_authority");
    config.settings.insert("client_id".to_owned(), play::credential("BURSAR_PAYPAL_CLIENT_ID").into());
    config.secrets.insert("client_secret".to_owned(), play::credential("BURSAR_PAYPAL_CLIENT_SECRET").into());
    play::begins(&PayPal::new(config).expect("good settings"), money(1_999, "EUR")).await;
}
