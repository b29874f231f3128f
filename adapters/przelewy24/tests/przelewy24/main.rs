//! The conformance suite against a double of the gateway, and what is special about Przelewy24: money is the shop's only once it is verified.

mod double;

use std::sync::Arc;

use async_trait::async_trait;
use bursar_przelewy24::{Przelewy24, Przelewy24Factory};
use chrono::{DateTime, Utc};
use domain::{PaymentId, RefundId};
use double::{API_KEY, CRC, Double, MERCHANT, PREVIOUS_CRC, Refunding, signed};
use port::{
    Found, GatewayError, GatewayFactory, InstanceConfig, Mode, NextAction, Notification, Observation, OpContext, PaymentGateway,
    PaymentRef, PaymentStatus, RawWebhook, RefundRequest, RefundStatus, ReturnQuery, StartPayment, Started, WebhookError,
};
use serde_json::{Value, json};
use testkit::conformance::{Act, Credentials, Harness, Key, Scenario, Wire};
use testkit::fault::FaultProxy;
use testkit::play::{self, at, money, python, seen};
use uuid::Uuid;

fn config(base: &str) -> InstanceConfig {
    let mut config = InstanceConfig::new("p24", "http://127.0.0.1:8080");
    config.base_url = Some(base.to_owned());
    config.settings.insert("merchant_id".to_owned(), MERCHANT.into());
    config.settings.insert("currencies".to_owned(), json!(["PLN", "EUR", "GBP", "USD", "CZK", "CHF", "HUF"]));
    for (name, secret) in [("api_key", API_KEY), ("crc", CRC), ("crc_previous", PREVIOUS_CRC)] {
        config.secrets.insert(name.to_owned(), secret.into());
    }
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
        let gateway = Przelewy24::new(config(&proxy.url())).expect("good settings");
        Self { gateway: Arc::new(gateway), double, proxy }
    }

    fn reference(&self, id: PaymentId) -> Option<PaymentRef> {
        let books = self.double.books();
        let body = &books.sessions.get(&id.to_string())?.registered;
        Some(PaymentRef::new(format!("{id}:{}:{}", body["amount"], body["currency"].as_str()?)))
    }

    /// The buyer's browser comes back.
    async fn come_back(&self, id: PaymentId) -> Result<Vec<Observation>, GatewayError> {
        let query = ReturnQuery { payment_id: id, reference: self.reference(id), query: String::new() };
        self.gateway.complete_return(&context(), query).await
    }

    async fn receive(&self, body: Vec<u8>) -> Result<Notification, WebhookError> {
        let webhook = RawWebhook { headers: Vec::new(), query: String::new(), body, received_at: at(0) };
        let mut received = self.gateway.receive_webhook(&context(), webhook).await?;
        Ok(received.notifications.pop().expect("one of ours"))
    }

    async fn start(&self, request: &StartPayment) -> Result<Started, GatewayError> {
        self.gateway.start(&context(), request.clone()).await
    }

    /// The last report about a payment.
    fn report(&self, id: PaymentId) -> Vec<u8> {
        self.double.books().sessions[&id.to_string()].reports.last().cloned().expect("a report")
    }

    fn verifications(&self, id: PaymentId) -> usize {
        self.double.books().sessions[&id.to_string()].verifications
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
            config.secrets.insert("api_key".to_owned(), "another".into());
        }
        Arc::new(Przelewy24::new(config).expect("good settings"))
    }

    fn objects(&self, payment_id: PaymentId) -> usize {
        usize::from(self.double.books().sessions.contains_key(&payment_id.to_string()))
    }

    fn strange_status(&self, payment_id: PaymentId) -> bool {
        self.double.books().sessions.get_mut(&payment_id.to_string()).expect("a session").status = 42;
        true
    }

    fn optional_fields(&self) -> &'static [&'static str] {
        &["batchId", "statement", "clientName", "fee", "responseCode"]
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
        let refunding = match scenario {
            Scenario::Approve | Scenario::Redirect => Refunding::AtOnce,
            Scenario::RefundPending => Refunding::Later,
            _ => return false,
        };
        self.double.books().refunding.insert(request.payment_id.to_string(), refunding);
        true
    }

    async fn act(&self, payment_id: PaymentId, act: Act, _now: DateTime<Utc>) -> Option<Result<(), GatewayError>> {
        let session = payment_id.to_string();
        match act {
            Act::Approve => {
                assert!(self.double.pay(&session), "an unknown session");
                Some(self.come_back(payment_id).await.map(|_| ()))
            }
            Act::FailRefund(reference) => {
                self.double.end_refund(&session, reference.as_str(), 4);
                Some(Ok(()))
            }
            Act::FinishRefund(reference) => {
                self.double.end_refund(&session, reference.as_str(), 1);
                Some(Ok(()))
            }
            _ => None,
        }
    }

    async fn reports(&self, payment_id: PaymentId) -> Vec<Vec<u8>> {
        self.double.books().sessions.get(&payment_id.to_string()).map(|session| session.reports.clone()).unwrap_or_default()
    }

    fn delivery(&self, key: Key, body: Vec<u8>, at: DateTime<Utc>) -> Option<RawWebhook> {
        let crc = match key {
            Key::Current => CRC,
            Key::Previous => PREVIOUS_CRC,
            Key::Wrong => "somebody else's",
            Key::Empty => "",
        };
        let body = match serde_json::from_slice::<Value>(&body) {
            Ok(notice) if key != Key::Current => signed(notice, crc).to_string().into_bytes(),
            _ => body,
        };
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Some(RawWebhook { headers, query: String::new(), body, received_at: at })
    }

    fn for_another_account(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut notice: Value = serde_json::from_slice(body).ok()?;
        notice["merchantId"] = 54321.into();
        Some(signed(notice, CRC).to_string().into_bytes())
    }

    fn in_other_bytes(&self, body: &[u8]) -> Option<Vec<u8>> {
        play::in_other_bytes(body)
    }

    fn secrets(&self) -> Vec<String> {
        [API_KEY, CRC, PREVIOUS_CRC].map(str::to_owned).to_vec()
    }
}

fn context() -> OpContext {
    OpContext::new("operation", at(0))
}

fn request(minor: i64) -> StartPayment {
    let mut request = play::request(money(minor, "PLN"), "p24");
    (request.buyer.language, request.expires_at) = (Some("sv-SE".to_owned()), Some(at(30 * 60)));
    request
}

#[tokio::test]
async fn a_registration_says_what_the_gateway_needs_and_leads_to_its_page() {
    let player = Player::new().await;
    let request = request(1_999);
    let started = player.start(&request).await.expect("a start");
    let NextAction::Redirect { url, .. } = &started.next_action else { panic!("{:?}", started.next_action) };
    assert!(url.ends_with("/trnRequest/AB-00000001"), "{url}");
    let registered = player.double.books().sessions[&request.payment_id.to_string()].registered.clone();
    assert_eq!((registered["amount"].clone(), registered["currency"].clone()), (json!(1_999), json!("PLN")));
    assert_eq!(
        (registered["timeLimit"].clone(), registered["language"].clone(), registered["country"].clone()),
        (json!(30), json!("se"), json!("PL"))
    );
    assert_eq!(registered["urlStatus"], "http://127.0.0.1:8080/webhooks/p24");
    assert_eq!(started.reference.as_str(), format!("{}:1999:PLN", request.payment_id));

    let mut long = self::request(100);
    long.buyer.name = Some("Ł".repeat(41));
    long.buyer.email = Some(format!("{}@learner.example", "b".repeat(34)));
    player.start(&long).await.expect("a name is cut, and fifty characters are an address");
    assert_eq!(player.double.books().sessions[&long.payment_id.to_string()].registered["client"], "Ł".repeat(40));
    for email in [None, Some(format!("{}@learner.example", "b".repeat(35)))] {
        let mut refused = self::request(100);
        refused.buyer.email = email;
        let answer = player.start(&refused).await;
        assert!(matches!(answer, Err(GatewayError::InvalidRequest { field: "buyer.email", .. })), "{answer:?}");
    }
}

/// The money of a payment that was not verified is an advance, and asking makes it no more than that.
#[tokio::test]
async fn only_a_verified_payment_is_captured_and_asking_verifies_nothing() {
    let player = Player::new().await;
    let request = request(1_999);
    let started = player.start(&request).await.expect("a start");
    player.double.pay(&request.payment_id.to_string());
    for _ in 0..2 {
        let snapshot = player.gateway.fetch(&context(), &started.reference).await.expect("a snapshot");
        assert_eq!((snapshot.status, snapshot.totals.captured.minor), (PaymentStatus::Processing, 0));
    }
    assert_eq!(player.verifications(request.payment_id), 0);
    let notification = player.receive(player.report(request.payment_id)).await.expect("genuine");
    assert!(notification.payload.get("sign").is_none(), "a signature is stored");
    for _ in 0..2 {
        let observations = player.gateway.resolve(&context(), &notification).await.expect("resolved");
        let snapshot = seen(&observations);
        assert_eq!((snapshot.status, snapshot.totals.captured), (PaymentStatus::Captured, request.amount));
    }
    assert_eq!(player.verifications(request.payment_id), 1, "a repeated report verifies nothing again");
}

/// The report and the buyer's return verify at the same time: the one that comes second is refused and sees what the first has done.
#[tokio::test]
async fn whoever_verifies_second_sees_the_payment_made() {
    let player = Player::new().await;
    let request = request(1_999);
    player.start(&request).await.expect("a start");
    player.double.pay(&request.payment_id.to_string());
    player.double.books().overtaken = true;
    let observations = player.come_back(request.payment_id).await.expect("completed");
    assert_eq!(seen(&observations).status, PaymentStatus::Captured);
}

/// A signed report of other money than the shop asked for is never verified; staff see what came.
#[tokio::test]
async fn a_report_of_another_amount_is_not_verified() {
    let player = Player::new().await;
    for (key, value, found) in [
        ("amount", json!(1), money(1, "PLN")),
        ("originAmount", json!(5), money(5, "PLN")),
        ("currency", json!("EUR"), money(1_999, "EUR")),
    ] {
        let request = request(1_999);
        let started = player.start(&request).await.expect("a start");
        player.double.pay(&request.payment_id.to_string());
        let mut notice: Value = serde_json::from_slice(&player.report(request.payment_id)).expect("JSON");
        notice[key] = value;
        let mut notification = player.receive(signed(notice, CRC).to_string().into_bytes()).await.expect("genuine");
        // As the shop does: what it knows of the payment counts, not what the message says.
        notification.reference = Some(started.reference.clone());
        let observations = player.gateway.resolve(&context(), &notification).await.expect("resolved");
        let snapshot = seen(&observations);
        assert_eq!((snapshot.status, snapshot.totals.authorised), (PaymentStatus::Authorised, found), "{key}");
        assert_eq!(player.verifications(request.payment_id), 0, "{key}");
    }
}

/// Where the gateway does not register a session twice, what it has is found, and another amount is refused.
#[tokio::test]
async fn a_session_that_is_not_registered_again_is_found() {
    let player = Player::new().await;
    player.double.books().once = true;
    let request = request(1_999);
    let first = player.start(&request).await.expect("a start");
    let again = player.start(&request).await.expect("the same start again");
    assert_eq!((again.reference, again.next_action), (first.reference, NextAction::None));
    assert_eq!(again.snapshot.status, PaymentStatus::RequiresAction);
    let mut other = request.clone();
    other.amount = money(2_000, "PLN");
    let answer = player.start(&other).await;
    assert!(matches!(answer, Err(GatewayError::InvalidRequest { field: "amount", .. })), "{answer:?}");
    assert_eq!(player.double.books().sessions.len(), 1);
}

#[tokio::test]
async fn a_rejected_refund_is_told_by_its_report() {
    let player = Player::new().await;
    let request = request(5_000);
    assert!(player.prepare(Scenario::RefundPending, &mut request.clone()));
    let started = player.start(&request).await.expect("a start");
    player.act(request.payment_id, Act::Approve, at(0)).await.expect("a case").expect("paid");
    let refund_id = RefundId::new(Uuid::now_v7());
    let asked = RefundRequest { refund_id, payment: started.reference.clone(), amount: money(2_000, "PLN"), reason: "part".to_owned() };
    let refund = player.gateway.refund(&context(), asked).await.expect("accepted");
    assert_eq!((refund.status, refund.refund_id), (RefundStatus::Pending, Some(refund_id)));
    player.act(request.payment_id, Act::FailRefund(refund.reference), at(1)).await.expect("a case").expect("rejected");
    let mut notification = player.receive(player.report(request.payment_id)).await.expect("genuine");
    assert_eq!((notification.kind.as_str(), notification.payment_id), ("refund", Some(request.payment_id)));
    notification.reference = Some(started.reference);
    let observations = player.gateway.resolve(&context(), &notification).await.expect("resolved");
    let told = observations.iter().find_map(|observation| match observation {
        Observation::Refund { refund, .. } => Some((refund.refund_id, refund.status)),
        _ => None,
    });
    assert_eq!(told, Some((Some(refund_id), RefundStatus::Failed)));
    assert_eq!(seen(&observations).totals.refunded.minor, 0);
}

#[tokio::test]
async fn sessions_of_others_are_passed_over() {
    let player = Player::new().await;
    let gateway = player.gateway();
    let notice = json!({
        "merchantId": MERCHANT, "posId": MERCHANT, "sessionId": "another-shop-1", "amount": 1, "originAmount": 1, "currency": "PLN",
        "orderId": 1, "methodId": 1, "statement": "",
    });
    let body = signed(notice, CRC).to_string().into_bytes();
    let webhook = RawWebhook { headers: Vec::new(), query: String::new(), body, received_at: at(0) };
    let received = gateway.receive_webhook(&context(), webhook).await.expect("genuine");
    assert!(received.notifications.is_empty() && received.reply.status == 200, "{received:?}");
}

#[tokio::test]
async fn a_payment_without_an_answer_is_found_by_our_id() {
    let player = Player::new().await;
    let request = request(1_999);
    assert_eq!(player.gateway.find(&context(), request.payment_id).await, Ok(Found::Absent));
    let started = player.start(&request).await.expect("a start");
    let Ok(Found::Present(located)) = player.gateway.find(&context(), request.payment_id).await else { panic!("not found") };
    assert_eq!(located.reference, started.reference);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_by_name() {
    let refused = async |change: fn(&mut InstanceConfig)| {
        let mut config = config("http://127.0.0.1:9");
        change(&mut config);
        match Przelewy24Factory.build(config).await {
            Err(GatewayError::Config { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|config| drop(config.settings.remove("merchant_id"))).await, "settings");
    assert_eq!(refused(|config| drop(config.settings.insert("colour".to_owned(), "red".into()))).await, "settings");
    assert_eq!(refused(|config| drop(config.settings.insert("currencies".to_owned(), json!(["JPY"])))).await, "currencies");
    assert_eq!(refused(|config| drop(config.settings.insert("country".to_owned(), "Poland".into()))).await, "country");
    assert_eq!(refused(|config| drop(config.secrets.remove("crc"))).await, "crc");
    assert_eq!(refused(|config| drop(config.secrets.insert("api_key".to_owned(), " ".into()))).await, "api_key");
    assert_eq!(refused(|config| drop(config.secrets.insert("colour".to_owned(), "red".into()))).await, "colour");
    assert_eq!(refused(|config| config.mode = Mode::Live).await, "base_url");
    assert_eq!(refused(|config| config.base_url = Some("http://sandbox.przelewy24.pl".to_owned())).await, "base_url");
    let test_host = |config: &mut InstanceConfig| {
        config.mode = Mode::Live;
        config.base_url = Some("https://sandbox.przelewy24.pl".to_owned());
    };
    assert_eq!(refused(test_host).await, "base_url");
    let mut live = config("http://127.0.0.1:9");
    (live.mode, live.base_url) = (Mode::Live, None);
    assert!(Przelewy24Factory.build(live).await.is_ok());
}

#[tokio::test]
async fn the_conformance_suite_passes() {
    let expected = [1..=3, 6..=15, 17..=21, 23..=23, 27..=33, 35..=39, 42..=43, 47..=47, 49..=50];
    play::passes(&Player::new().await, "przelewy24", expected).await;
}

/// The client of python-getpaid, for the double at the address in its first argument.
const FOREIGN: &str = "
import asyncio, json, sys
from decimal import Decimal
from getpaid_przelewy24.client import P24Client
client = P24Client(merchant_id=12345, pos_id=12345, api_key='api-key-4711', crc_key='b36147eeac447028')
client.base_url = sys.argv[1]
";

/// What the adapter signs, a foreign library signs alike; what that library signs, the adapter accepts; and that library's client is served by our
/// double, which shows that the double speaks as the gateway does.
#[tokio::test]
#[ignore = "needs a library of others: scripts/peers"]
async fn signatures_and_the_double_against_a_foreign_library() {
    let player = Player::new().await;
    let request = request(1_999);
    player.start(&request).await.expect("a start");
    let registered = player.double.books().sessions[&request.payment_id.to_string()].registered.clone();
    // The order of keys counts, so the text is made by hand.
    let order = |text: String| {
        let program = format!("{FOREIGN}print(client._calculate_sign(json.loads(sys.argv[2])))");
        python(&program, &[String::new(), text])
    };
    let expected = order(format!(r#"{{"sessionId":"{}","merchantId":12345,"amount":1999,"currency":"PLN"}}"#, request.payment_id));
    assert_eq!(registered["sign"], expected.as_str());

    let notice = format!(
        r#"{{"merchantId":12345,"posId":12345,"sessionId":"{}","amount":1999,"originAmount":1999,"currency":"PLN","orderId":7,"methodId":154,"statement":"p24-A1-B2"}}"#,
        request.payment_id
    );
    let mut signed: Value = serde_json::from_str(&notice).expect("JSON");
    signed["sign"] = order(notice).into();
    assert!(player.receive(signed.to_string().into_bytes()).await.is_ok());

    let session = PaymentId::new(Uuid::now_v7()).to_string();
    let register = format!(
        "{FOREIGN}print(asyncio.run(client.register_transaction(session_id=sys.argv[2], amount=Decimal('19.99'), currency='PLN', description='x',
    email='buyer@learner.example', url_return='http://127.0.0.1:9', url_status='http://127.0.0.1:9', country='PL', language='pl'))['data']['token'])"
    );
    let url = player.proxy.url();
    let token = {
        let arguments = [url.clone(), session.clone()];
        tokio::task::spawn_blocking(move || python(&register, &arguments)).await.expect("it runs")
    };
    assert_eq!(token, player.double.books().sessions[&session].token);
    player.double.pay(&session);
    let order_id = player.double.books().sessions[&session].order_id;
    let rest = format!(
        "{FOREIGN}
async def main():
    session, order = sys.argv[2], int(sys.argv[3])
    assert await client.test_access()
    before = await client.get_transaction_by_session_id(session)
    await client.verify_transaction(session_id=session, order_id=order, amount=Decimal('19.99'), currency='PLN')
    after = await client.get_transaction_by_session_id(session)
    print(before['data']['status'], after['data']['status'], after['data']['amount'])
asyncio.run(main())"
    );
    let arguments = [url, session.clone(), order_id.to_string()];
    let told = tokio::task::spawn_blocking(move || python(&rest, &arguments)).await.expect("it runs");
    assert_eq!(told, "1 2 1999");
    assert_eq!(player.double.books().sessions[&session].verifications, 1);
}

/// The same adapter at Przelewy24's sandbox.
#[tokio::test]
#[ignore = "needs the network and an account: BURSAR_P24_MERCHANT_ID, BURSAR_P24_API_KEY, BURSAR_P24_CRC"]
async fn payments_against_the_real_przelewy24() {
    let mut config = config("https://sandbox.przelewy24.pl");
    config.settings.insert("merchant_id".to_owned(), play::credential("BURSAR_P24_MERCHANT_ID").parse::<u64>().expect("a number").into());
    for (name, variable) in [("api_key", "BURSAR_P24_API_KEY"), ("crc", "BURSAR_P24_CRC")] {
        config.secrets.insert(name.to_owned(), play::credential(variable).into());
    }
    play::begins(&Przelewy24::new(config).expect("good settings"), money(1_999, "PLN")).await;
}
