//! The conformance suite, and what is special about paying by transfer.

use std::sync::Arc;

use async_trait::async_trait;
use bursar_manual::{Manual, ManualFactory};
use chrono::DateTime;
use domain::{Currency, Money, PaymentId, RefundId};
use port::{
    Buyer, CaptureMode, GatewayError, GatewayFactory, InstanceConfig, Mode, NextAction, OpContext, PaymentGateway, PaymentRef,
    RefundRequest, RefundStatus, StartPayment,
};
use serde_json::{Value, json};
use testkit::conformance::{self, Harness, Scenario};

fn config(settings: Value) -> InstanceConfig {
    let mut config = InstanceConfig::new("manual", "http://127.0.0.1:9");
    config.settings = settings.as_object().expect("settings are an object").clone();
    config
}

fn bank() -> Manual {
    Manual::new(config(json!({
        "instructions": "Transfer within 14 days.",
        "details": [{ "label": "Account", "value": "PL61 1090 1014 0000 0712 1981 2874" }],
        "reference_label": "Title of the transfer",
        "currencies": ["PLN", "EUR", "JPY"],
    })))
    .expect("good settings")
}

struct Office(Arc<Manual>);

#[async_trait]
impl Harness for Office {
    fn gateway(&self) -> Arc<dyn PaymentGateway> {
        self.0.clone()
    }

    fn prepare(&self, scenario: Scenario, _request: &mut StartPayment) -> bool {
        // Whatever the buyer will do, a transfer begins with waiting.
        scenario == Scenario::Redirect
    }
}

#[tokio::test]
async fn the_conformance_suite_passes() {
    let report = conformance::run(&Office(Arc::new(bank()))).await;
    println!("{report}");
    assert_eq!(report.failures(), Vec::<&conformance::Row>::new());
    assert_eq!(report.passed(), [1, 2, 3, 19, 20, 21, 23, 26, 27, 31, 47, 50]);
    assert_eq!(report.kept_in(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/gateways.md"), "manual"), Ok(()));
}

fn request(amount: Money) -> StartPayment {
    let payment_id = PaymentId::new(uuid(7));
    StartPayment {
        payment_id,
        order_reference: "B-2041-K".to_owned(),
        amount,
        description: "Two courses".to_owned(),
        buyer: Buyer::default(),
        return_url: String::new(),
        cancel_url: String::new(),
        webhook_url: String::new(),
        capture: CaptureMode::Automatic,
        lines: Vec::new(),
        expires_at: None,
        token: None,
    }
}

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

fn zloty(minor: i64) -> Money {
    Money::new(minor, Currency::parse("PLN").expect("a currency"))
}

fn context() -> OpContext {
    OpContext::new("operation", DateTime::UNIX_EPOCH)
}

#[tokio::test]
async fn the_buyer_reads_where_to_pay_how_much_and_under_which_reference() {
    let started = bank().start(&context(), request(zloty(12_345))).await.expect("a start");
    let details = [("Account", "PL61 1090 1014 0000 0712 1981 2874"), ("Amount", "123.45 PLN"), ("Title of the transfer", "B-2041-K")]
        .map(|(label, value)| (label.to_owned(), value.to_owned()));
    assert_eq!(started.next_action, NextAction::Instructions { text: "Transfer within 14 days.".to_owned(), details: details.to_vec() });
}

#[tokio::test]
async fn a_refund_is_recorded_as_paid_out_by_staff() {
    let bank = bank();
    let started = bank.start(&context(), request(zloty(10_000))).await.expect("a start");
    let mut refund = RefundRequest {
        refund_id: RefundId::new(uuid(8)),
        payment: started.reference,
        amount: zloty(4_000),
        reason: "goodwill".to_owned(),
    };
    let recorded = bank.refund(&context(), refund.clone()).await.expect("a refund");
    assert_eq!((recorded.status, recorded.raw_status.as_str(), recorded.amount), (RefundStatus::Succeeded, "recorded", zloty(4_000)));
    refund.amount = Money::new(4_000, Currency::parse("EUR").expect("a currency"));
    assert!(matches!(bank.refund(&context(), refund.clone()).await, Err(GatewayError::InvalidRequest { field: "amount", .. })));
    refund.payment = PaymentRef::new("sbpay_1");
    assert_eq!(bank.refund(&context(), refund).await, Err(GatewayError::NotFound));
}

#[tokio::test]
async fn a_token_is_refused_because_nothing_would_be_done_with_it() {
    let mut with_token = request(zloty(100));
    with_token.token = Some("approve".into());
    assert!(matches!(bank().start(&context(), with_token).await, Err(GatewayError::InvalidRequest { field: "token", .. })));
}

#[tokio::test]
async fn wrong_settings_are_named_and_live_mode_is_fine() {
    for (settings, key) in [
        (json!({ "instruction": "x" }), "settings"),
        (json!({ "instructions": " " }), "instructions"),
        (json!({ "currencies": ["PLN", "XYZ"] }), "currencies"),
        (json!({ "details": [{ "label": "x" }] }), "settings"),
    ] {
        let error = ManualFactory.build(config(settings)).await.expect_err("wrong settings");
        assert!(matches!(&error, GatewayError::Config { key: named, .. } if named == key), "{error}");
    }
    let mut live = config(json!({}));
    live.mode = Mode::Live;
    assert_eq!(ManualFactory.build(live).await.expect("live").descriptor().mode, Mode::Live);
    let mut secret = config(json!({}));
    secret.secrets.insert("key".to_owned(), "x".into());
    assert!(matches!(Manual::new(secret), Err(GatewayError::Config { key, .. }) if key == "key"));
}
