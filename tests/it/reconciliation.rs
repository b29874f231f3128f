//! The nightly comparison with the gateways, and the list of what an operator should look at.

use chrono::TimeDelta;
use port::PaymentStatus;
use sandbox::Step;
use serde_json::{Value, json};

use crate::payment::Shop;
use crate::util::{TestApp, amount};

const PROBLEMS: &str = "{ paymentProblems { kind paymentId orderId orderNumber detail since } }";

async fn problems(shop: &TestApp) -> Vec<Value> {
    shop.ok(&shop.operator(), PROBLEMS, json!({})).await["paymentProblems"].as_array().expect("a list").clone()
}

fn kinds(problems: &[Value]) -> Vec<&str> {
    problems.iter().map(|problem| problem["kind"].as_str().expect("a kind")).collect()
}

/// A night passes; the comparison is begun once, whoever asks.
async fn night(shop: &TestApp) {
    shop.pass(TimeDelta::days(1));
    assert!(shop.app.reconciliation_begin().await.expect("it begins"), "the first one begins it");
    assert!(!shop.app.reconciliation_begin().await.expect("it has begun"), "the second one does not");
    shop.jobs().await;
}

/// An order that was paid at the scripted gateway.
async fn paid(shop: &Shop, key: &str) -> Value {
    let order = shop.place(key).await;
    shop.books().status = Some(PaymentStatus::Captured);
    shop.later(TimeDelta::minutes(1)).await;
    assert_eq!(shop.order(&order).await["status"], "FULFILLED");
    order
}

/// What a night's comparison finds is listed, until a later night finds that it is gone.
#[tokio::test]
async fn what_differs_from_the_gateway_is_listed_until_it_agrees() {
    let shop = Shop::open(false).await;
    let order = paid(&shop, "differs").await;
    night(&shop.test).await;
    assert_eq!(problems(&shop.test).await, Vec::<Value>::new(), "the same figures");

    shop.books().refunded = 500;
    night(&shop.test).await;
    let found = problems(&shop.test).await;
    assert_eq!(kinds(&found), ["DIFFERS_FROM_GATEWAY"]);
    assert_eq!((&found[0]["paymentId"], &found[0]["orderId"]), (&order["payments"][0]["id"], &order["id"]));
    assert_eq!(found[0]["detail"], "REFUNDED_DIFFERS: here 0.00 USD, at the gateway 5.00 USD");
    let since = found[0]["since"].clone();

    shop.books().silent = true;
    night(&shop.test).await;
    assert_eq!(problems(&shop.test).await[0]["since"], since, "a gateway that gives no answer changes nothing");
    shop.books().silent = false;

    shop.books().forgotten = true;
    night(&shop.test).await;
    let found = problems(&shop.test).await;
    assert_eq!((&found[0]["detail"], &found[0]["since"]), (&json!("MISSING_AT_GATEWAY: here CAPTURED, at the gateway unknown"), &since));

    shop.books().forgotten = false;
    shop.books().refunded = 0;
    night(&shop.test).await;
    assert_eq!(problems(&shop.test).await, Vec::<Value>::new());
}

/// A report was missed and polling had ended: the comparison hears it, by the one door, and nothing differs then.
#[tokio::test]
async fn money_that_no_report_told_of_goes_in_by_the_one_door() {
    let shop = Shop::open(false).await;
    let order = shop.place("late").await;
    shop.later(TimeDelta::minutes(31)).await;
    assert_eq!(shop.order(&order).await["status"], "LAPSED");
    shop.books().status = Some(PaymentStatus::Captured);
    night(&shop.test).await;
    assert_eq!(shop.order(&order).await["status"], "FULFILLED", "late money is honoured");
    assert_eq!(problems(&shop.test).await, Vec::<Value>::new());
}

/// More payments than one run of the job compares, and each is compared.
#[tokio::test]
async fn a_night_goes_through_all_payments_in_parts() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["Course"]).await;
    for number in 0..25 {
        let (cart, secret) = shop.guest_cart(&["A"]).await;
        let guest = shop.guest_with(&secret);
        let buyer = json!({ "cartId": cart, "email": format!("buyer{number}@learner.example"), "name": "Buyer" });
        shop.act(&guest, "cartBuyerSet", buyer, "cart { id }").await;
        let method = json!({ "gateway": "sandbox", "token": "approve" });
        let place =
            json!({ "cartId": cart, "paymentMethod": method, "expectedTotal": amount("20.00 USD"), "idempotencyKey": number.to_string() });
        shop.act(&guest, "orderPlace", place, "order { id }").await;
    }
    night(&shop).await;
    let run = bursar::store::reconciliation::run(shop.app.db.read(), &shop.app.night().to_string()).await.expect("read").expect("a run");
    assert_eq!((run.compared, run.differing, run.unanswered, run.ended_at.is_some()), (25, 0, 0, true));
}

/// A chargeback and a refund that failed are shown, until the one is won and the other made up for; a lost answer, once asking has had its time.
#[tokio::test]
async fn chargebacks_failed_refunds_and_lost_answers_are_shown() {
    let shop = Shop::open(false).await;
    let order = paid(&shop, "refund").await;
    shop.books().silent = true;
    let refund = json!({ "orderId": order["id"], "amount": amount("5.00 USD"), "reason": "goodwill", "idempotencyKey": "first" });
    shop.test.act(&shop.test.operator(), "orderRefund", refund.clone(), "order { refunds { status failure } }").await;
    let found = problems(&shop.test).await;
    assert_eq!(kinds(&found), ["REFUND_FAILED"]);
    assert!(found[0]["detail"].as_str().expect("text").contains("the window is over"), "{found:?}");
    shop.books().silent = false;
    let mut again = refund;
    again["idempotencyKey"] = json!("second");
    shop.test.act(&shop.test.operator(), "orderRefund", again, "order { refunds { status } }").await;
    assert_eq!(problems(&shop.test).await, Vec::<Value>::new(), "made up for");

    let shop = Shop::open(false).await;
    shop.books().lost = usize::MAX;
    shop.place("unknown").await;
    assert_eq!(problems(&shop.test).await, Vec::<Value>::new(), "asking has its time");
    shop.later(TimeDelta::minutes(61)).await;
    assert_eq!(kinds(&problems(&shop.test).await), ["OUTCOME_UNKNOWN"]);

    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["Course"]).await;
    let (cart, secret) = shop.guest_cart(&["A"]).await;
    let guest = shop.guest_with(&secret);
    let buyer = json!({ "cartId": cart, "email": "buyer@learner.example", "name": "Buyer" });
    shop.act(&guest, "cartBuyerSet", buyer, "cart { id }").await;
    let method = json!({ "gateway": "sandbox", "token": "approve" });
    let place = json!({ "cartId": cart, "paymentMethod": method, "expectedTotal": amount("20.00 USD"), "idempotencyKey": "1" });
    let order = shop.act(&guest, "orderPlace", place, "order { payments { id } }").await["order"].clone();
    let payment = &order["payments"][0]["id"];
    let usd = domain::Currency::parse("USD").expect("a currency");
    shop.advance(payment, Step::OpenDispute(domain::Money::new(2_000, usd))).await;
    shop.webhooks().await;
    let found = problems(&shop).await;
    assert_eq!((kinds(&found), &found[0]["paymentId"]), (vec!["DISPUTED"], payment));
    night(&shop).await;
    assert_eq!(kinds(&problems(&shop).await), ["DISPUTED"], "both sides know of it");
    let reference = shop.dispute_reference(payment).await;
    shop.advance(payment, Step::WinDispute(reference)).await;
    shop.webhooks().await;
    assert_eq!(problems(&shop).await, Vec::<Value>::new());
}

/// However many problems there are, the list is one number of statements.
#[tokio::test]
async fn the_list_of_problems_is_a_fixed_number_of_statements() {
    let shop = Shop::open(false).await;
    let (_, none) = shop.test.counted(&shop.test.operator(), PROBLEMS, json!({})).await;
    shop.books().lost = usize::MAX;
    for key in ["a", "b", "c"] {
        shop.place(key).await;
    }
    shop.later(TimeDelta::minutes(61)).await;
    let (found, three) = shop.test.counted(&shop.test.operator(), PROBLEMS, json!({})).await;
    assert_eq!(found["data"]["paymentProblems"].as_array().expect("a list").len(), 3);
    assert_eq!(three, none);
}
