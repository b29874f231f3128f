//! What the tests of every adapter need: requests, instants and amounts, reports in other bytes, and the suite's report kept in the documentation.

use chrono::{DateTime, Utc};
use domain::{Currency, Money, PaymentId};
use port::{
    Buyer, CaptureMode, Found, GatewayError, Observation, OpContext, PaymentGateway, PaymentRef, PaymentStatus, Snapshot, StartPayment,
    VoidSupport,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::conformance::{Harness, Row, run};

/// Where the reports of all adapters are kept.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/gateways.md");

/// An instant of the tests.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("an instant")
}

/// An amount.
pub fn money(minor: i64, code: &str) -> Money {
    Money::new(minor, Currency::parse(code).expect("a currency"))
}

/// A request for a new payment of a shop in this place, at the gateway with this id.
pub fn request(amount: Money, gateway: &str) -> StartPayment {
    let payment_id = PaymentId::new(Uuid::now_v7());
    StartPayment {
        payment_id,
        order_reference: "B-2041-K".to_owned(),
        amount,
        description: "Kurs „Żółw i łódź” / 1".to_owned(),
        buyer: Buyer { email: Some("buyer@learner.example".to_owned()), language: Some("pl-PL".to_owned()), ..Buyer::default() },
        return_url: format!("http://127.0.0.1:8080/payments/{payment_id}/return"),
        cancel_url: format!("http://127.0.0.1:8080/payments/{payment_id}/return"),
        webhook_url: format!("http://127.0.0.1:8080/webhooks/{gateway}"),
        capture: CaptureMode::Automatic,
        lines: Vec::new(),
        expires_at: None,
        token: None,
    }
}

/// A report that was changed.
pub fn changed(body: &[u8], change: impl FnOnce(&mut Value)) -> Option<Vec<u8>> {
    let mut report: Value = serde_json::from_slice(body).ok()?;
    change(&mut report);
    serde_json::to_vec(&report).ok()
}

/// The same report in other bytes: spread over lines that end as on Windows, with escapes that nobody needs and letters of other scripts.
pub fn in_other_bytes(body: &[u8]) -> Option<Vec<u8>> {
    let mut report: Value = serde_json::from_slice(body).ok()?;
    report["zażółć"] = json!({ "東京": "https://a.example/b" });
    Some(serde_json::to_string_pretty(&report).ok()?.replace('\n', "\r\n").replace('/', "\\/").into_bytes())
}

/// What observations say of the payment itself.
pub fn seen(observations: &[Observation]) -> &Snapshot {
    let payment = observations.iter().find_map(|observation| match observation {
        Observation::Payment { snapshot, .. } => Some(snapshot),
        _ => None,
    });
    payment.expect("the payment itself")
}

/// The suite passes: these checks hold, the others do not apply, and the report is the one that is kept under `name`.
///
/// # Panics
/// It does not.
pub async fn passes(harness: &dyn Harness, name: &str, expected: impl IntoIterator<Item = std::ops::RangeInclusive<u8>>) {
    let report = run(harness).await;
    println!("{report}");
    assert_eq!(report.failures(), Vec::<&Row>::new());
    assert_eq!(report.passed(), expected.into_iter().flatten().collect::<Vec<u8>>());
    assert_eq!(report.kept_in(DOCS, name), Ok(()));
}

/// What a program with a library of others prints; `scripts/peers` installs Python with those libraries.
///
/// # Panics
/// They are not installed, or the program fails.
pub fn python(program: &str, arguments: &[String]) -> String {
    let peers = std::env::var("BURSAR_PEERS").expect("BURSAR_PEERS names where libraries of others are installed: run scripts/peers");
    let mut command = std::process::Command::new(format!("{peers}/bin/python"));
    let output = command.args(["-c", program]).args(arguments).output().expect("Python is installed: run scripts/peers");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A value of the environment, with which a test reaches an account at a gateway's own sandbox.
///
/// # Panics
/// It is not set.
pub fn credential(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: it belongs to an account at the gateway's sandbox"))
}

/// What can be tried at a gateway's own sandbox without a buyer: its credentials, a payment with its page, the same once more, reading, finding and
/// giving it up, and one that nobody made.
///
/// # Panics
/// The gateway does otherwise than the adapter says.
pub async fn begins(gateway: &dyn PaymentGateway, amount: Money) {
    let capabilities = gateway.descriptor().capabilities;
    let mut asked = request(amount, &gateway.descriptor().instance);
    (asked.return_url, asked.cancel_url) = ("https://shop.example/return".to_owned(), "https://shop.example/return".to_owned());
    asked.webhook_url = "https://shop.example/webhooks/one".to_owned();
    asked.buyer.ip = Some(std::net::IpAddr::from([192, 0, 2, 7]));
    let context = || OpContext::new(asked.payment_id.to_string(), Utc::now());
    gateway.check(&context()).await.expect("the credentials are good");
    let started = gateway.start(&context(), asked.clone()).await.expect("a payment");
    assert_eq!(started.snapshot.status, PaymentStatus::RequiresAction);
    println!("the buyer goes on here: {:?}", started.next_action);
    let again = gateway.start(&context(), asked.clone()).await.expect("the same payment");
    assert_eq!(again.reference, started.reference);
    let snapshot = gateway.fetch(&context(), &started.reference).await.expect("its state");
    assert_eq!((snapshot.status, snapshot.totals.captured.minor), (PaymentStatus::RequiresAction, 0));
    if capabilities.lookup.finds() {
        let found = gateway.find(&context(), asked.payment_id).await.expect("an answer");
        assert!(matches!(&found, Found::Present(located) if located.reference == started.reference), "{found:?}");
    }
    if capabilities.void == VoidSupport::Uncaptured {
        assert_eq!(gateway.void(&context(), &started.reference).await.expect("given up").status, PaymentStatus::Cancelled);
    }
    assert_eq!(gateway.fetch(&context(), &PaymentRef::new("nobody-has-this")).await, Err(GatewayError::NotFound));
}
