//! Orders by invoice, whose money staff record as it comes: too much, too late, or for an order that has no use for it. What really came is
//! always on record, and nobody keeps it in silence.

use bursar::app::caller::Caller;
use bursar::start::{migrate_down, migrate_up};
use chrono::TimeDelta;
use domain::PaymentId;
use serde_json::{Value, json};

use crate::util::{TestApp, amount};

const ORDER: &str = "id number status refundable { amount } lines { id refunded { amount } }
    payments { id gateway status captured { amount } refunded { amount } needsReview reviewReason }
    refunds { status origin reason amount { amount } }";

/// An order of one library at 55.00 USD that waits for an invoice to be paid, and the secret of its cart.
async fn invoiced(shop: &TestApp, email: &str) -> (Value, String) {
    let (cart, secret) = shop.guest_cart(&["L-1"]).await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": email, "name": "Ann" }), "").await;
    let input = json!({
        "cartId": cart, "paymentMethod": { "gateway": "manual" }, "expectedTotal": amount("55.00 USD"), "idempotencyKey": email,
    });
    let placed = shop.act(&guest, "orderPlace", input, "order { id }").await["order"]["id"].clone();
    (placed, secret)
}

fn transfer(order: &Value, money: &str, key: &str) -> Value {
    json!({ "orderId": order, "amount": amount(money), "reference": format!("bank {key}"), "idempotencyKey": key })
}

/// Records a transfer; the order afterwards.
async fn record(shop: &TestApp, order: &Value, money: &str, key: &str) -> Value {
    record_as(shop, &shop.operator(), order, money, key).await
}

async fn record_as(shop: &TestApp, operator: &Caller, order: &Value, money: &str, key: &str) -> Value {
    let selection = format!("order {{ {ORDER} }}");
    shop.act(operator, "orderPaymentRecord", transfer(order, money, key), &selection).await["order"].clone()
}

/// Gives money back; the order afterwards.
async fn refund(shop: &TestApp, order: &Value, what: Value, key: &str) -> Value {
    let mut input = json!({ "orderId": order, "reason": "asked", "idempotencyKey": key });
    for (name, value) in what.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    shop.act(&shop.operator(), "orderRefund", input, &format!("order {{ {ORDER} }}")).await["order"].clone()
}

/// Status of order and payment, captured, refunded and refundable, and whether somebody has to look.
fn state(order: &Value) -> Value {
    let payment = &order["payments"][0];
    json!([
        order["status"],
        payment["status"],
        payment["captured"]["amount"],
        payment["refunded"]["amount"],
        order["refundable"]["amount"],
        payment["needsReview"]
    ])
}

/// c23: more than was due pays the order, is recorded as it came, and stands there for somebody to look at until it has gone back; it takes
/// nothing from the lines, and nobody's access ends with it. All that is left gives back both.
#[tokio::test]
async fn c23_more_than_was_due_is_recorded_shown_and_refundable() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let (order, _) = invoiced(&shop, "ann@example.test").await;
    assert_eq!(state(&record(&shop, &order, "20.00 USD", "p1").await)[0], "PENDING_PAYMENT");
    let operator = shop.operator();
    let paid = record_as(&shop, &operator, &order, "45.00 USD", "p2").await;
    assert_eq!(state(&paid), json!(["FULFILLED", "CAPTURED", "65.00", "0.00", "65.00", true]));
    let told = "10.00 USD more than was due came in; refund it, or settle it with the payer";
    assert_eq!(paid["payments"][0]["reviewReason"], told);
    assert_eq!(state(&record_as(&shop, &operator, &order, "45.00 USD", "p2").await), state(&paid), "the same transfer again");
    // Another one, long after the order was paid.
    shop.pass(TimeDelta::days(30));
    let more = record(&shop, &order, "5.00 USD", "p3").await;
    assert_eq!(state(&more), json!(["FULFILLED", "CAPTURED", "70.00", "0.00", "70.00", true]));

    let too_much = json!({ "orderId": order, "amount": amount("70.01 USD"), "reason": "asked", "idempotencyKey": "r0" });
    assert_eq!(shop.denied(&shop.operator(), "orderRefund", too_much).await[0].0, "REFUND_TOO_LARGE");
    let part = refund(&shop, &order, json!({ "amount": amount("9.00 USD") }), "r1").await;
    assert_eq!(state(&part), json!(["FULFILLED", "CAPTURED", "70.00", "9.00", "61.00", true]));
    let back = refund(&shop, &order, json!({ "amount": amount("6.00 USD") }), "r2").await;
    assert_eq!(state(&back), json!(["FULFILLED", "CAPTURED", "70.00", "15.00", "55.00", false]));
    assert_eq!(back["lines"][0]["refunded"]["amount"], "0.00");
    assert_eq!(shop.open_titles(&order).await, ["Rust"]);

    let goodwill = refund(&shop, &order, json!({ "amount": amount("5.00 USD") }), "r3").await;
    assert_eq!(state(&goodwill)[0], "PARTIALLY_REFUNDED");
    assert_eq!(goodwill["lines"][0]["refunded"]["amount"], "5.00");
    record(&shop, &order, "1.00 USD", "p4").await;
    let all = refund(&shop, &order, json!({}), "r4").await;
    assert_eq!(state(&all), json!(["REFUNDED", "CAPTURED", "71.00", "71.00", "0.00", false]));
    assert!(shop.open_titles(&order).await.is_empty());
}

/// A line that is refunded while too much is there is refunded in whole, and the order with it; the rest stays to be given back.
#[tokio::test]
async fn what_came_beyond_what_was_due_outlives_the_refund_of_the_lines() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let (order, _) = invoiced(&shop, "ann@example.test").await;
    let paid = record(&shop, &order, "60.00 USD", "p1").await;
    let lines = json!({ "lines": [{ "orderLineId": paid["lines"][0]["id"], "quantity": 1 }] });
    let after = refund(&shop, &order, lines, "r1").await;
    assert_eq!(state(&after), json!(["REFUNDED", "CAPTURED", "60.00", "55.00", "5.00", true]));
    assert!(shop.open_titles(&order).await.is_empty());
    let rest = refund(&shop, &order, json!({}), "r2").await;
    assert_eq!(state(&rest), json!(["REFUNDED", "CAPTURED", "60.00", "60.00", "0.00", false]));
}

/// c21: an order that lapsed is honoured by the whole sum that comes after its part went back, and is worth that sum from then on.
#[tokio::test]
async fn c21_the_whole_sum_after_a_part_went_back_pays_a_lapsed_order() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let (order, _) = invoiced(&shop, "ann@example.test").await;
    record(&shop, &order, "20.00 USD", "p1").await;
    shop.pass(TimeDelta::days(14));
    shop.jobs().await;
    // Another part of a lapsed order goes back as the first did.
    let late = record(&shop, &order, "30.00 USD", "p2").await;
    assert_eq!(state(&late), json!(["LAPSED", "REQUIRES_ACTION", "50.00", "50.00", "0.00", false]));
    assert_eq!(late["refunds"][1]["origin"], "LATE_MONEY");

    // What went back before the last step of the tables is known after it too.
    let id = PaymentId::parse(late["payments"][0]["id"].as_str().expect("an id")).expect("a payment's id");
    let returned = async || {
        let payment = bursar::store::payment::by_id(shop.app.db.read(), id).await.expect("it is read").expect("the payment");
        payment.state.totals.returned.minor
    };
    assert_eq!(returned().await, 5000);
    migrate_down(&shop.app.db, 1).await.expect("it is taken back");
    migrate_up(&shop.app.db).await.expect("it is done again");
    assert_eq!(returned().await, 5000);

    let paid = record(&shop, &order, "55.00 USD", "p3").await;
    assert_eq!(state(&paid), json!(["FULFILLED", "CAPTURED", "105.00", "50.00", "55.00", false]));
    let part = refund(&shop, &order, json!({ "amount": amount("5.00 USD") }), "r1").await;
    assert_eq!(state(&part), json!(["PARTIALLY_REFUNDED", "CAPTURED", "105.00", "55.00", "50.00", false]));
    let all = refund(&shop, &order, json!({}), "r2").await;
    assert_eq!(state(&all), json!(["REFUNDED", "CAPTURED", "105.00", "105.00", "0.00", false]));
}

/// Money for an order that was cancelled, or paid by card meanwhile, is on record and goes back; an order that was never to be paid by invoice
/// takes none, and neither does anything that no amount can hold.
#[tokio::test]
async fn money_that_an_order_has_no_use_for_is_recorded_and_goes_back() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let (cancelled, secret) = invoiced(&shop, "ann@example.test").await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "orderCancel", json!({ "orderId": cancelled, "idempotencyKey": "c" }), "").await;
    for (key, captured) in [("p1", "55.00"), ("p2", "110.00")] {
        let after = record(&shop, &cancelled, "55.00 USD", key).await;
        assert_eq!((&after["status"], &after["refundable"]["amount"]), (&json!("CANCELLED"), &json!("0.00")));
        let payment = &after["payments"][0];
        assert_eq!((&payment["captured"]["amount"], &payment["refunded"]["amount"]), (&json!(captured), &json!(captured)));
        assert_eq!(after["refunds"].as_array().expect("refunds").last().expect("one")["reason"], "ORDER_CANCELLED");
    }

    let (by_card, secret) = invoiced(&shop, "bo@example.test").await;
    let retry = json!({ "orderId": by_card, "paymentMethod": { "gateway": "sandbox", "token": "approve" }, "idempotencyKey": "r" });
    let guest = shop.guest_with(&secret);
    let paid = shop.act(&guest, "paymentRetry", retry, "order { status }").await;
    assert_eq!(paid["order"]["status"], "FULFILLED");
    let twice = record(&shop, &by_card, "55.00 USD", "p3").await;
    assert_eq!((&twice["status"], &twice["refundable"]["amount"]), (&json!("FULFILLED"), &json!("55.00")), "the card's money stays");
    let refunds: Vec<Value> = twice["refunds"].as_array().expect("refunds").iter().map(|refund| refund["reason"].clone()).collect();
    assert_eq!(refunds, ["PAID_TWICE"]);

    let (waiting, _) = invoiced(&shop, "cy@example.test").await;
    for (money, code) in [("0.00 USD", "INVALID"), ("1.00 EUR", "CURRENCY_MISMATCH")] {
        assert_eq!(shop.denied(&shop.operator(), "orderPaymentRecord", transfer(&waiting, money, "p4")).await[0].0, code, "{money}");
    }
    record(&shop, &waiting, "92233720368547758.07 USD", "p5").await;
    let refused = shop.denied(&shop.operator(), "orderPaymentRecord", transfer(&waiting, "0.01 USD", "p6")).await;
    assert_eq!(refused, [("TOO_LARGE".to_owned(), "amount.amount".to_owned())]);

    let (cart, secret) = shop.guest_cart(&["L-1"]).await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "dee@example.test" }), "").await;
    let input = json!({
        "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": amount("55.00 USD"), "idempotencyKey": "k",
    });
    let placed = shop.act(&guest, "orderPlace", input, "order { id }").await["order"]["id"].clone();
    let refused = shop.denied(&shop.operator(), "orderPaymentRecord", transfer(&placed, "1.00 USD", "p7")).await;
    assert_eq!(refused, [("PAYMENT_STATE".to_owned(), "orderId".to_owned())]);
}
