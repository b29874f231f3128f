//! Orders and payments: placing, paying by every road, lapsing, cancelling, late money, refunds and disputes. Each story through the public
//! GraphQL, the sandbox gateway and its signed webhooks.

use chrono::TimeDelta;
use sandbox::Step;
use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use crate::util::TestApp;

const PLACE: &str = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
    order { id number status total { amount currency } version paidAt fulfilledAt lapsesAt
      payments { id status declineReason attempt nextAction { kind url text } captured { amount } needsReview }
      declinePage { heading reason canRetry } receipt { heading signInUrl lines { title courses { title } tokens } }
      fulfilment { steps { name state } } lines { id title total { amount } refunded { amount } } }
    cart { id total { amount } } replayed userErrors { code field message } } }";

const ORDER: &str = "query($id: ID!) { order(id: $id) { id number status paidAt fulfilledAt
    payments { id status captured { amount } refunded { amount } disputed { amount } needsReview declineReason }
    refunds { id status origin amount { amount } reason lines { amount { amount } access } } refundable { amount }
    disputes { status amount { amount } } lines { id refunded { amount } } } }";

const REFUND: &str = "mutation($input: OrderRefundInput!) { orderRefund(input: $input) {
    order { id status refundable { amount } refunds { status amount { amount } } } replayed userErrors { code field message } } }";

/// What a guest needs to place a cart.
struct Ready {
    cart: String,
    secret: String,
}

/// A guest's cart with these SKUs and a buyer.
async fn ready(shop: &TestApp, skus: &[&str]) -> Ready {
    ready_for(shop, skus, "ann@example.test").await
}

async fn ready_for(shop: &TestApp, skus: &[&str], email: &str) -> Ready {
    let (cart, secret) = shop.guest_cart(skus).await;
    let guest = shop.guest_with(&secret);
    let set = "mutation($input: CartBuyerSetInput!) { cartBuyerSet(input: $input) { userErrors { code field message } } }";
    shop.ok(&guest, set, json!({ "input": { "cartId": cart, "email": email, "name": "Ann" } })).await;
    Ready { cart, secret }
}

fn place(ready: &Ready, token: &str, total: &str, key: &str) -> Value {
    place_by(ready, "sandbox", Some(token), total, key)
}

fn place_by(ready: &Ready, gateway: &str, token: Option<&str>, total: &str, key: &str) -> Value {
    json!({ "input": {
        "cartId": ready.cart, "paymentMethod": { "gateway": gateway, "token": token },
        "expectedTotal": { "amount": total, "currency": "USD" }, "idempotencyKey": key } })
}

/// Places and gives the order of the payload.
async fn placed(shop: &TestApp, ready: &Ready, token: &str, total: &str) -> Value {
    let guest = shop.guest_with(&ready.secret);
    shop.ok(&guest, PLACE, place(ready, token, total, "k1")).await["orderPlace"]["order"].clone()
}

async fn order(shop: &TestApp, id: &Value) -> Value {
    shop.ok(&shop.operator(), ORDER, json!({ "id": id })).await["order"].clone()
}

/// Live entitlements behind an order.
async fn grants(shop: &TestApp, order: &Value) -> usize {
    shop.live_grants(order.as_str().expect("an id")).await
}

/// The books hold: nothing is paid and not given, nothing given and not paid.
async fn books_balance(shop: &TestApp) {
    let query = "{ paidNotGiven { number } givenNotPaid { entitlementId reason } }";
    shop.pass(TimeDelta::minutes(2));
    let data = shop.ok(&shop.operator(), query, json!({})).await;
    assert_eq!(data, json!({ "paidNotGiven": [], "givenNotPaid": [] }));
}

#[tokio::test]
async fn a_guest_buys_a_course_and_has_it_the_moment_after() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let order = placed(&shop, &ready(&shop, &["L-1"]).await, "approve", "49.00").await;
    assert_eq!(order["status"], "FULFILLED");
    assert_eq!(order["total"], json!({ "amount": "49.00", "currency": "USD" }));
    assert_eq!(order["payments"][0]["status"], "CAPTURED");
    assert_eq!(order["fulfilment"]["steps"], json!([{ "name": "GRANTS", "state": "DONE" }]));
    assert_eq!(order["receipt"]["lines"][0]["courses"], json!([{ "title": "Rust" }]));
    assert!(order["receipt"]["signInUrl"].as_str().is_some_and(|url| url.contains("/account/link/")));
    assert_eq!(grants(&shop, &order["id"]).await, 1);
    books_balance(&shop).await;
}

/// A declined attempt is no error: the order waits, says why, and can be paid again.
#[tokio::test]
async fn a_declined_order_waits_and_can_be_paid_again() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let order = placed(&shop, &cart, "decline", "49.00").await;
    assert_eq!(order["status"], "PENDING_PAYMENT");
    assert_eq!(order["payments"][0]["status"], "FAILED");
    assert_eq!(order["payments"][0]["declineReason"], "insufficient_funds");
    assert_eq!(order["declinePage"]["canRetry"], true);
    let retry = "mutation($input: PaymentRetryInput!) { paymentRetry(input: $input) { order { status payments { attempt status } declinePage { heading } } replayed userErrors { code field message } } }";
    let input = json!({ "input": { "orderId": order["id"], "paymentMethod": { "gateway": "sandbox", "token": "approve" }, "idempotencyKey": "r1" } });
    let guest = shop.guest_with(&cart.secret);
    let retried = shop.ok(&guest, retry, input.clone()).await["paymentRetry"].clone();
    assert_eq!(retried["order"]["status"], "FULFILLED");
    assert_eq!(retried["order"]["declinePage"], Value::Null);
    assert_eq!(retried["order"]["payments"], json!([{ "attempt": 1, "status": "FAILED" }, { "attempt": 2, "status": "CAPTURED" }]));
    let again = shop.ok(&guest, retry, input).await["paymentRetry"].clone();
    assert_eq!((again["replayed"].as_bool(), &again["order"]["payments"]), (Some(true), &retried["order"]["payments"]));
    books_balance(&shop).await;
}

/// c19: two clicks at once with one key make one order; with two keys the second is told of the first.
#[tokio::test]
async fn c19_two_clicks_on_pay_make_one_order_and_one_charge() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let guest = shop.guest_with(&cart.secret);
    let (same, twin) = tokio::join!(
        shop.run(&guest, PLACE, place(&cart, "approve", "49.00", "k1")),
        shop.run(&guest, PLACE, place(&cart, "approve", "49.00", "k1")),
    );
    let (same, twin) = (&same["data"]["orderPlace"], &twin["data"]["orderPlace"]);
    assert_eq!(same["order"]["id"], twin["order"]["id"]);
    let replays = [same, twin].iter().filter(|answer| answer["replayed"] == true).count();
    assert_eq!(replays, 1);
    assert_eq!(same["order"]["payments"].as_array().map(Vec::len), Some(1));

    let cart = ready_for(&shop, &["L-1"], "bo@example.test").await;
    let guest = shop.guest_with(&cart.secret);
    let (one, two) = tokio::join!(
        shop.run(&guest, PLACE, place(&cart, "approve", "49.00", "k2")),
        shop.run(&guest, PLACE, place(&cart, "approve", "49.00", "k3")),
    );
    let answers = [&one["data"]["orderPlace"], &two["data"]["orderPlace"]];
    let won = answers.iter().find(|answer| answer["order"].is_object()).expect("one order");
    let lost = answers.iter().find(|answer| answer["order"].is_null()).expect("one refusal");
    assert_eq!(lost["userErrors"][0]["code"], "ALREADY_PLACED");
    let told = lost["userErrors"][0]["message"].as_str().expect("a sentence");
    let number = won["order"]["number"].as_str().expect("a number");
    // Which of the two sentences it is hangs on whether the winner was paid by then; once it is, there is nothing to pay or cancel.
    assert!(told.starts_with(&format!("This cart is order {number} already. ")), "{told}");
    let later = shop.run(&guest, PLACE, place(&cart, "approve", "49.00", "k4")).await["data"]["orderPlace"]["userErrors"][0].clone();
    let sentence = format!("This cart is order {number} already. That order was paid; to buy more, make a new cart.");
    assert_eq!((&later["code"], &later["message"]), (&json!("ALREADY_PLACED"), &json!(sentence)));
    books_balance(&shop).await;
}

/// The link of a receipt belongs to whoever typed the address: using it leaves the mailed one to its owner, whose way in ends the other's.
#[tokio::test]
async fn the_receipts_link_leaves_the_mailed_one_to_the_owner_of_the_address() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let placed = placed(&shop, &cart, "approve", "49.00").await;
    let receipt = placed["receipt"]["signInUrl"].as_str().expect("a link").rsplit('/').next().expect("its token").to_owned();
    let redeem = "mutation($token: String!, $password: String) { accountLinkRedeem(input: { token: $token, newPassword: $password }) {
        token userErrors { code field message } } }";
    let stranger = json!({ "token": receipt, "password": "four other plain words" });
    let stranger = shop.ok(&shop.guest(), redeem, stranger).await["accountLinkRedeem"]["token"].as_str().expect("a sign-in").to_owned();
    let me = "{ me { account { email } } }";
    assert_eq!(shop.ok(&shop.bearer(&stranger).await, me, json!({})).await["me"]["account"]["email"], "ann@example.test");

    shop.pass(TimeDelta::seconds(1));
    let mailed = shop.mailed_link("ann@example.test").await;
    let owner = shop.ok(&shop.guest(), redeem, json!({ "token": mailed, "password": null })).await["accountLinkRedeem"]["token"].clone();
    assert_eq!(
        shop.ok(&shop.bearer(owner.as_str().expect("a sign-in")).await, me, json!({})).await["me"]["account"]["email"],
        "ann@example.test"
    );
    let presented = bursar::app::sign_in::Presented { bearer: Some(stranger.into()), ..Default::default() };
    assert!(shop.app.caller(&presented).await.is_err(), "the stranger's sign-in has ended");
}

/// c21: what was bought for somebody who was erased before it could be given goes back, line by line; the rest of the order is given. Nobody
/// shares an account with others who were erased.
#[tokio::test]
async fn c21_what_was_bought_for_somebody_who_was_erased_goes_back() {
    let shop = TestApp::new().await;
    let product = shop.shelf("L-1", "49.00", &["Rust"]).await;
    let erase = async |email: &str| {
        shop.act(&shop.operator(), "personErase", json!({ "email": email }), "").await;
    };
    let pay = async |placed: &Value| {
        shop.approve(&placed["payments"][0]["id"]).await;
        shop.webhooks().await;
        order(&shop, &placed["id"]).await
    };
    let state = |order: &Value| json!([order["status"], order["refunds"][0]["amount"]["amount"], order["refunds"][0]["reason"]]);
    let reason = "who it was bought for was erased";

    // A named learner of two: the buyer's own line is given all the same.
    let cart = ready(&shop, &["L-1"]).await;
    let line = json!({ "productId": product, "for": { "learner": { "email": "bob@example.test" } }, "quantity": 1 });
    let guest = shop.guest_with(&cart.secret);
    shop.act(&guest, "cartLinesSet", json!({ "cartId": cart.cart, "lines": [line] }), "").await;
    let waiting = placed(&shop, &cart, "pending", "98.00").await;
    erase("bob@example.test").await;
    let paid = pay(&waiting).await;
    assert_eq!(state(&paid), json!(["PARTIALLY_REFUNDED", "49.00", reason]));
    assert_eq!((paid["fulfilledAt"].is_string(), grants(&shop, &paid["id"]).await), (true, 1));
    let lines: Vec<_> = paid["lines"].as_array().expect("lines").iter().map(|line| line["refunded"]["amount"].clone()).collect();
    assert_eq!(lines, ["0.00", "49.00"]);
    let cart_lines = "query($id: ID!) { cart(id: $id) { lines { for { kind learner { email } } } } }";
    let seen = shop.ok(&guest, cart_lines, json!({ "id": cart.cart })).await["cart"]["lines"][1].clone();
    assert_eq!(seen["for"], json!({ "kind": "LEARNER", "learner": null }), "nobody's address stands there");

    // A guest, and a signed-in buyer, of the whole order.
    let cart = ready_for(&shop, &["L-1"], "cy@example.test").await;
    let waiting = placed(&shop, &cart, "pending", "49.00").await;
    erase("cy@example.test").await;
    let paid = pay(&waiting).await;
    assert_eq!((state(&paid), grants(&shop, &paid["id"]).await), (json!(["REFUNDED", "49.00", reason]), 0));

    let dee = shop.bearer(&shop.verified("dee@example.test").await.1).await;
    let made = shop.act(&dee, "cartCreate", json!({ "sku": "L-1" }), "cart { id }").await;
    let input = json!({ "cartId": made["cart"]["id"], "paymentMethod": { "gateway": "sandbox", "token": "pending" },
        "expectedTotal": { "amount": "49.00", "currency": "USD" }, "idempotencyKey": "k" });
    let waiting = shop.act(&dee, "orderPlace", input, "order { id payments { id } }").await["order"].clone();
    erase("dee@example.test").await;
    let paid = pay(&waiting).await;
    assert_eq!((state(&paid), grants(&shop, &paid["id"]).await), (json!(["REFUNDED", "49.00", reason]), 0));
    books_balance(&shop).await;
}

/// Tokens, references and reasons have bounds, and no character that only one of the two databases takes.
#[tokio::test]
async fn texts_about_money_have_bounds() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let guest = shop.guest_with(&cart.secret);
    for token in ["a\0b", &"x".repeat(4_001)] {
        let refused = shop.refused(&guest, PLACE, place(&cart, token, "55.00", "k0")).await;
        assert_eq!(refused, [("INVALID".to_owned(), "paymentMethod.token".to_owned())]);
    }
    let placed = shop.ok(&guest, PLACE, place_by(&cart, "manual", None, "55.00", "k1")).await["orderPlace"]["order"].clone();
    for reference in ["", "a\0b", &"x".repeat(201)] {
        let input = json!({ "orderId": placed["id"], "amount": { "amount": "55.00", "currency": "USD" }, "reference": reference, "idempotencyKey": "r" });
        let refused = shop.denied(&shop.operator(), "orderPaymentRecord", input).await;
        assert_eq!(refused[0].1, "reference", "{refused:?}");
    }
    let reason = json!({ "orderId": placed["id"], "reason": "a\0b", "idempotencyKey": "b" });
    assert_eq!(shop.denied(&shop.operator(), "orderRefund", reason).await[0].1, "reason");
}

/// Whoever writes to a cart while it is being placed either comes before, or is told by which order it was placed; its buyer is never missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_to_a_cart_that_is_being_placed_come_before_or_name_its_order() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let guest = shop.guest_with(&cart.secret);
    let buyer = "mutation($input: CartBuyerSetInput!) { cartBuyerSet(input: $input) { userErrors { code field message } } }";
    let answers = futures_util::future::join_all((0..24).map(|index| {
        let (shop, guest, cart) = (&shop, &guest, &cart);
        async move {
            if index % 2 == 0 {
                let answer = shop.run(guest, PLACE, place(cart, "approve", "49.00", &format!("k{index}"))).await;
                answer["data"]["orderPlace"].clone()
            } else {
                let input = json!({ "input": { "cartId": cart.cart, "email": format!("b{index}@example.test"), "name": "Bob" } });
                shop.run(guest, buyer, input).await["data"]["cartBuyerSet"].clone()
            }
        }
    }))
    .await;
    let placed: Vec<&Value> = answers.iter().filter(|answer| answer["order"].is_object()).collect();
    let [placed] = placed[..] else { panic!("one order, not {}", placed.len()) };
    let number = placed["order"]["number"].as_str().expect("a number");
    for refusal in answers.iter().flat_map(|answer| answer["userErrors"].as_array().expect("a list")) {
        assert!(refusal["code"] == "CART_ORDERED" || refusal["code"] == "ALREADY_PLACED", "{refusal:#}");
        assert!(refusal["message"].as_str().is_some_and(|message| message.contains(number)), "{refusal:#}");
    }
}

#[tokio::test]
async fn a_key_that_was_used_for_another_input_is_a_mismatch() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    placed(&shop, &cart, "approve", "49.00").await;
    let refused = shop.refused(&shop.guest_with(&cart.secret), PLACE, place(&cart, "decline", "49.00", "k1")).await;
    assert_eq!(refused, [("IDEMPOTENCY_MISMATCH".to_owned(), "idempotencyKey".to_owned())]);
}

/// c13: what is charged is what was shown, or nothing.
#[tokio::test]
async fn c13_another_total_than_expected_takes_nothing_and_shows_the_fresh_cart() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let answer = shop.run(&shop.guest_with(&cart.secret), PLACE, place(&cart, "approve", "48.00", "k1")).await;
    let payload = &answer["data"]["orderPlace"];
    assert_eq!(payload["order"], Value::Null);
    assert_eq!(payload["userErrors"][0]["code"], "PRICE_CHANGED");
    assert_eq!(payload["cart"]["total"]["amount"], "49.00");
    // The key was not used up: with the right total it places.
    assert_eq!(placed(&shop, &cart, "approve", "49.00").await["status"], "FULFILLED");
}

/// c51: nothing to pay needs no gateway, and gives access all the same.
#[tokio::test]
async fn c51_a_total_of_zero_is_paid_at_once_without_a_gateway() {
    let shop = TestApp::new().await;
    shop.shelf("L-0", "0.00", &["Free"]).await;
    let cart = ready(&shop, &["L-0"]).await;
    let input =
        json!({ "input": { "cartId": cart.cart, "expectedTotal": { "amount": "0.00", "currency": "USD" }, "idempotencyKey": "k1" } });
    let guest = shop.guest_with(&cart.secret);
    let order = shop.ok(&guest, PLACE, input.clone()).await["orderPlace"].clone();
    assert_eq!((order["order"]["status"].as_str(), order["order"]["payments"].as_array().map(Vec::len)), (Some("FULFILLED"), Some(0)));
    assert_eq!(grants(&shop, &order["order"]["id"]).await, 1);
    let again = shop.ok(&guest, PLACE, input).await["orderPlace"].clone();
    assert_eq!((&again["order"]["id"], again["replayed"].as_bool()), (&order["order"]["id"], Some(true)));
    books_balance(&shop).await;
}

/// c15: the same news by the reply and by webhooks, thrice and at once, pays once and gives once.
#[tokio::test]
async fn c15_the_same_webhook_three_times_changes_nothing_more() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "50.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "pending", "50.00").await;
    assert_eq!(placed["status"], "PENDING_PAYMENT");
    shop.approve(&placed["payments"][0]["id"]).await;
    let event = shop.sandbox.pending_deliveries().await.expect("the sandbox answers").last().expect("an event").event_id.clone();
    tokio::join!(shop.webhook(&event), shop.webhook(&event));
    shop.jobs().await;
    let first = order(&shop, &placed["id"]).await;
    assert_eq!((first["status"].as_str(), first["payments"][0]["captured"]["amount"].as_str()), (Some("FULFILLED"), Some("50.00")));
    shop.pass(TimeDelta::minutes(4));
    shop.webhook(&event).await;
    shop.jobs().await;
    assert_eq!(order(&shop, &placed["id"]).await, first);
    assert_eq!(grants(&shop, &placed["id"]).await, 1);
    books_balance(&shop).await;
}

/// c17: the failure of an earlier attempt that is heard late does not undo what a later one paid.
#[tokio::test]
async fn c17_a_late_failure_after_success_changes_nothing() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "50.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let placed = placed(&shop, &cart, "decline", "50.00").await;
    let retry =
        "mutation($input: PaymentRetryInput!) { paymentRetry(input: $input) { order { status } userErrors { code field message } } }";
    let input = json!({ "input": { "orderId": placed["id"], "paymentMethod": { "gateway": "sandbox", "token": "approve" }, "idempotencyKey": "r1" } });
    shop.ok(&shop.guest_with(&cart.secret), retry, input).await;
    // Both attempts' webhooks arrive only now.
    assert!(shop.webhooks().await >= 2);
    let after = order(&shop, &placed["id"]).await;
    assert_eq!(after["status"], "FULFILLED");
    assert_eq!(
        after["payments"].as_array().map(|all| all.iter().map(|one| one["status"].clone()).collect::<Vec<_>>()),
        Some(vec![json!("FAILED"), json!("CAPTURED")])
    );
    assert_eq!(grants(&shop, &placed["id"]).await, 1);
    books_balance(&shop).await;
}

/// c21 a: the gateway charged and its answer was lost: asking settles it, once.
#[tokio::test]
async fn c21_a_lost_answer_is_settled_by_asking_and_charged_once() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "timeout_charged", "55.00").await;
    assert_eq!((placed["status"].as_str(), placed["payments"][0]["status"].as_str()), (Some("PENDING_PAYMENT"), Some("UNKNOWN")));
    shop.pass(TimeDelta::minutes(1));
    shop.jobs().await;
    let after = order(&shop, &placed["id"]).await;
    assert_eq!((after["status"].as_str(), after["payments"][0]["captured"]["amount"].as_str()), (Some("FULFILLED"), Some("55.00")));
    shop.pass(TimeDelta::minutes(5));
    shop.webhooks().await;
    assert_eq!(order(&shop, &placed["id"]).await, after);
    books_balance(&shop).await;
}

#[tokio::test]
async fn an_answer_that_never_was_leaves_the_order_payable() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "timeout_not_charged", "55.00").await;
    assert_eq!(placed["payments"][0]["status"], "UNKNOWN");
    // While nobody knows, the order does not lapse: money may have been taken.
    shop.pass(TimeDelta::minutes(1));
    shop.jobs().await;
    let after = order(&shop, &placed["id"]).await;
    assert_eq!((after["status"].as_str(), after["payments"][0]["status"].as_str()), (Some("PENDING_PAYMENT"), Some("FAILED")));
    shop.pass(TimeDelta::minutes(40));
    shop.jobs().await;
    assert_eq!(order(&shop, &placed["id"]).await["status"], "LAPSED");
}

#[tokio::test]
async fn an_authorised_payment_is_captured_by_itself() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "authorise", "55.00").await;
    assert_eq!((placed["status"].as_str(), placed["payments"][0]["status"].as_str()), (Some("FULFILLED"), Some("CAPTURED")));
    books_balance(&shop).await;
}

#[tokio::test]
async fn a_redirect_is_finished_on_the_gateways_page() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "redirect", "55.00").await;
    assert_eq!(placed["payments"][0]["status"], "REQUIRES_ACTION");
    assert_eq!(placed["payments"][0]["nextAction"]["kind"], "REDIRECT");
    shop.approve(&placed["payments"][0]["id"]).await;
    // The browser comes back before any webhook; that alone proves nothing, asking does.
    let payment = domain::PaymentId::parse(placed["payments"][0]["id"].as_str().expect("an id")).expect("an id");
    shop.app.payment_returned(payment, "paid=yes".to_owned()).await.expect("handled");
    assert_eq!(order(&shop, &placed["id"]).await["status"], "FULFILLED");
    books_balance(&shop).await;
}

#[tokio::test]
async fn a_forged_return_pays_nothing() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "redirect", "55.00").await;
    let payment = domain::PaymentId::parse(placed["payments"][0]["id"].as_str().expect("an id")).expect("an id");
    shop.app.payment_returned(payment, "status=CAPTURED&paid=yes".to_owned()).await.expect("handled");
    assert_eq!(order(&shop, &placed["id"]).await["status"], "PENDING_PAYMENT");
}

/// An unpaid order lapses after 30 minutes, and its cart opens again.
#[tokio::test]
async fn an_unpaid_order_lapses_and_its_cart_opens_again() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let placed = placed(&shop, &cart, "redirect", "55.00").await;
    shop.pass(TimeDelta::minutes(30) - TimeDelta::microseconds(1));
    shop.jobs().await;
    assert_eq!(order(&shop, &placed["id"]).await["status"], "PENDING_PAYMENT");
    shop.pass(TimeDelta::microseconds(1));
    shop.jobs().await;
    assert_eq!(order(&shop, &placed["id"]).await["status"], "LAPSED");
    let again = shop.ok(&shop.guest_with(&cart.secret), PLACE, place(&cart, "approve", "55.00", "k2")).await;
    assert_eq!(again["orderPlace"]["order"]["status"], "FULFILLED");
    books_balance(&shop).await;
}

/// c21 c: money that comes after the order lapsed is honoured, if its cart has no other order.
#[tokio::test]
async fn c21_late_money_on_a_lapsed_order_is_honoured() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "redirect", "55.00").await;
    shop.pass(TimeDelta::minutes(31));
    shop.jobs().await;
    assert_eq!(order(&shop, &placed["id"]).await["status"], "LAPSED");
    shop.approve(&placed["payments"][0]["id"]).await;
    shop.webhooks().await;
    let after = order(&shop, &placed["id"]).await;
    assert_eq!((after["status"].as_str(), after["payments"][0]["captured"]["amount"].as_str()), (Some("FULFILLED"), Some("55.00")));
    books_balance(&shop).await;
}

/// c21 b: late money of an order whose cart was placed anew goes back at once, and the order stays lapsed.
#[tokio::test]
async fn c21_late_money_that_has_no_order_to_pay_goes_back_at_once() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let placed = placed(&shop, &cart, "redirect", "55.00").await;
    shop.pass(TimeDelta::minutes(31));
    shop.jobs().await;
    shop.ok(&shop.guest_with(&cart.secret), PLACE, place(&cart, "approve", "55.00", "k2")).await;
    shop.approve(&placed["payments"][0]["id"]).await;
    shop.webhooks().await;
    let after = order(&shop, &placed["id"]).await;
    assert_eq!(after["status"], "LAPSED");
    assert_eq!(after["refunds"][0]["origin"], "LATE_MONEY");
    assert_eq!(after["refunds"][0]["status"], "SUCCEEDED");
    assert_eq!(after["payments"][0]["refunded"]["amount"], "55.00");
    assert_eq!(grants(&shop, &placed["id"]).await, 0);
    books_balance(&shop).await;
}

#[tokio::test]
async fn late_money_on_a_cancelled_order_goes_back_and_it_stays_cancelled() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let placed = placed(&shop, &cart, "pending", "55.00").await;
    let cancel =
        "mutation($input: OrderCancelInput!) { orderCancel(input: $input) { order { status } userErrors { code field message } } }";
    let input = json!({ "input": { "orderId": placed["id"], "idempotencyKey": "c1" } });
    let guest = shop.guest_with(&cart.secret);
    assert_eq!(shop.ok(&guest, cancel, input).await["orderCancel"]["order"]["status"], "CANCELLED");
    shop.approve(&placed["payments"][0]["id"]).await;
    shop.webhooks().await;
    let after = order(&shop, &placed["id"]).await;
    assert_eq!(after["status"], "CANCELLED");
    assert_eq!(after["payments"][0]["refunded"]["amount"], "55.00");
    let again = json!({ "input": { "orderId": placed["id"], "idempotencyKey": "c2" } });
    assert_eq!(shop.refused(&guest, cancel, again).await[0].0, "NOT_PENDING");
    books_balance(&shop).await;
}

/// Orders by invoice wait 14 days; part payments add up; all of it makes the order PAID.
#[tokio::test]
async fn an_invoice_is_paid_once_all_of_it_is_recorded() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let guest = shop.guest_with(&cart.secret);
    let placed = shop.ok(&guest, PLACE, place_by(&cart, "manual", None, "55.00", "k1")).await["orderPlace"]["order"].clone();
    assert_eq!((placed["status"].as_str(), placed["payments"][0]["status"].as_str()), (Some("PENDING_PAYMENT"), Some("REQUIRES_ACTION")));
    assert_eq!(placed["payments"][0]["nextAction"]["kind"], "INSTRUCTIONS");
    let record = "mutation($input: OrderPaymentRecordInput!) { orderPaymentRecord(input: $input) { order { status payments { status captured { amount } } } replayed userErrors { code field message } } }";
    let pay = |amount: &str, key: &str| json!({ "input": { "orderId": placed["id"], "amount": { "amount": amount, "currency": "USD" }, "reference": "bank 1", "idempotencyKey": key } });
    let operator = shop.operator();
    let part = shop.ok(&operator, record, pay("20.00", "p1")).await["orderPaymentRecord"].clone();
    assert_eq!(
        (part["order"]["status"].as_str(), part["order"]["payments"][0]["captured"]["amount"].as_str()),
        (Some("PENDING_PAYMENT"), Some("20.00"))
    );
    assert_eq!(shop.ok(&operator, record, pay("20.00", "p1")).await["orderPaymentRecord"]["replayed"], true);
    assert_eq!(shop.refused(&operator, record, pay("-1.00", "p3")).await[0].0, "INVALID");
    let whole = shop.ok(&operator, record, pay("35.00", "p4")).await["orderPaymentRecord"].clone();
    assert_eq!(
        (whole["order"]["status"].as_str(), whole["order"]["payments"][0]["status"].as_str()),
        (Some("FULFILLED"), Some("CAPTURED"))
    );
    books_balance(&shop).await;
}

#[tokio::test]
async fn an_invoice_lapses_after_14_days_and_its_part_payment_goes_back() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let guest = shop.guest_with(&cart.secret);
    let placed = shop.ok(&guest, PLACE, place_by(&cart, "manual", None, "55.00", "k1")).await["orderPlace"]["order"].clone();
    let record = "mutation($input: OrderPaymentRecordInput!) { orderPaymentRecord(input: $input) { userErrors { code field message } } }";
    let input = json!({ "input": { "orderId": placed["id"], "amount": { "amount": "20.00", "currency": "USD" }, "reference": "bank 1", "idempotencyKey": "p1" } });
    shop.ok(&shop.operator(), record, input).await;
    shop.pass(TimeDelta::days(14) - TimeDelta::seconds(1));
    shop.jobs().await;
    assert_eq!(order(&shop, &placed["id"]).await["status"], "PENDING_PAYMENT");
    shop.pass(TimeDelta::seconds(1));
    shop.jobs().await;
    let after = order(&shop, &placed["id"]).await;
    assert_eq!((after["status"].as_str(), after["payments"][0]["refunded"]["amount"].as_str()), (Some("LAPSED"), Some("20.00")));
}

/// c23: refunds never add up to more than was paid, also when they come at once.
#[tokio::test]
async fn c23_refunds_never_add_up_to_more_than_was_paid() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "100.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "approve", "100.00").await;
    let refund = |amount: &str, key: &str| json!({ "input": { "orderId": placed["id"], "amount": { "amount": amount, "currency": "USD" }, "reason": "asked", "idempotencyKey": key } });
    let operator = shop.operator();
    let (one, two) = tokio::join!(shop.run(&operator, REFUND, refund("60.00", "a")), shop.run(&operator, REFUND, refund("60.00", "b")));
    let codes: Vec<_> = [&one, &two].iter().map(|answer| answer["data"]["orderRefund"]["userErrors"][0]["code"].clone()).collect();
    assert!(codes.contains(&Value::Null) && codes.contains(&json!("REFUND_TOO_LARGE")), "{codes:?}");
    let rest = shop.ok(&operator, REFUND, refund("40.00", "c")).await["orderRefund"]["order"].clone();
    assert_eq!((rest["status"].as_str(), rest["refundable"]["amount"].as_str()), (Some("REFUNDED"), Some("0.00")));
    for (amount, code) in [("0.01", "NOT_REFUNDABLE"), ("0.00", "INVALID"), ("-5.00", "INVALID")] {
        assert_eq!(shop.refused(&operator, REFUND, refund(amount, amount)).await[0].0, code, "{amount}");
    }
}

/// A line of another order is none of this one's; one key is one refund, and with another amount it is refused.
#[tokio::test]
async fn c23_a_refund_is_of_the_orders_own_lines_and_once_for_each_key() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "100.00", &["Rust"]).await;
    let first = placed(&shop, &ready_for(&shop, &["L-1"], "ann@example.test").await, "approve", "100.00").await;
    let other = placed(&shop, &ready_for(&shop, &["L-1"], "bo@example.test").await, "approve", "100.00").await;
    let operator = shop.operator();
    let usd = |amount: &str| json!({ "amount": amount, "currency": "USD" });
    let of = |line: &Value, key: &str| json!({ "input": { "orderId": first["id"], "lines": [{ "orderLineId": line, "amount": usd("5.00") }], "reason": "asked", "idempotencyKey": key } });
    let refused = shop.refused(&operator, REFUND, of(&other["lines"][0]["id"], "foreign")).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    let whole =
        |amount: &str| json!({ "input": { "orderId": first["id"], "amount": usd(amount), "reason": "asked", "idempotencyKey": "once" } });
    for _ in 0..2 {
        let order = shop.ok(&operator, REFUND, whole("5.00")).await["orderRefund"]["order"].clone();
        assert_eq!(order["refundable"]["amount"], "95.00");
    }
    assert_eq!(shop.refused(&operator, REFUND, whole("6.00")).await[0].0, "IDEMPOTENCY_MISMATCH");
}

/// c23: what a buyer disputes at the bank cannot be refunded as well.
#[tokio::test]
async fn c23_a_disputed_amount_is_not_refundable() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "100.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "approve", "100.00").await;
    let dispute = Step::OpenDispute(domain::Money::new(3000, domain::Currency::parse("USD").expect("USD")));
    shop.advance(&placed["payments"][0]["id"], dispute).await;
    shop.webhooks().await;
    let after = order(&shop, &placed["id"]).await;
    assert_eq!(after["refundable"]["amount"], "70.00");
    let refund = |amount: &str, key: &str| json!({ "input": { "orderId": placed["id"], "amount": { "amount": amount, "currency": "USD" }, "reason": "asked", "idempotencyKey": key } });
    assert_eq!(shop.refused(&shop.operator(), REFUND, refund("70.01", "a")).await[0].0, "REFUND_TOO_LARGE");
    shop.ok(&shop.operator(), REFUND, refund("70.00", "b")).await;
}

/// c23: a refund that fails frees its amount again.
#[tokio::test]
async fn c23_a_failed_refund_can_be_asked_for_again() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "100.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "refund_pending", "100.00").await;
    let refund = |key: &str| json!({ "input": { "orderId": placed["id"], "reason": "asked", "idempotencyKey": key } });
    let pending = shop.ok(&shop.operator(), REFUND, refund("a")).await["orderRefund"]["order"].clone();
    assert_eq!((pending["status"].as_str(), pending["refunds"][0]["status"].as_str()), (Some("FULFILLED"), Some("PENDING")));
    assert_eq!(shop.refused(&shop.operator(), REFUND, refund("b")).await[0].0, "NOT_REFUNDABLE");
    assert_eq!(grants(&shop, &placed["id"]).await, 1);
    let reference = shop.refund_reference(&placed["payments"][0]["id"]).await;
    shop.advance(&placed["payments"][0]["id"], Step::FailRefund(reference)).await;
    shop.webhooks().await;
    let failed = order(&shop, &placed["id"]).await;
    assert_eq!((failed["refunds"][0]["status"].as_str(), failed["refundable"]["amount"].as_str()), (Some("FAILED"), Some("100.00")));
    assert_eq!(failed["lines"][0]["refunded"]["amount"], "0.00");
    shop.ok(&shop.operator(), REFUND, refund("c")).await;
    let reference = shop.refund_reference(&placed["payments"][0]["id"]).await;
    shop.advance(&placed["payments"][0]["id"], Step::CompleteRefund(reference)).await;
    shop.webhooks().await;
    assert_eq!(order(&shop, &placed["id"]).await["status"], "REFUNDED");
    assert_eq!(grants(&shop, &placed["id"]).await, 0);
    books_balance(&shop).await;
}

/// c23: a refund that the bank sends back after it had succeeded gives the access back that it took, codes of seats too.
#[tokio::test]
async fn c23_a_refund_that_bounces_gives_back_what_it_took() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "40.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let guest = shop.guest_with(&cart.secret);
    let product = shop.ok(&guest, "{ offer(sku: \"L-1\") { id } }", json!({})).await["offer"]["id"].clone();
    let seats = json!({ "cartId": cart.cart, "lines": [{ "productId": product, "for": { "seats": true }, "quantity": 2 }] });
    shop.act(&guest, "cartLinesSet", seats, "").await;
    let placed = placed(&shop, &cart, "refund_pending", "120.00").await;
    let codes = placed["receipt"]["lines"][1]["tokens"].clone();
    assert_eq!((grants(&shop, &placed["id"]).await, codes.as_array().map(Vec::len)), (1, Some(2)));
    let payment = &placed["payments"][0]["id"];

    let refund = json!({ "input": { "orderId": placed["id"], "reason": "asked", "idempotencyKey": "a" } });
    shop.ok(&shop.operator(), REFUND, refund).await;
    let reference = shop.refund_reference(payment).await;
    shop.advance(payment, Step::CompleteRefund(reference.clone())).await;
    shop.webhooks().await;
    let read = "query($id: ID!) { order(id: $id) { status receipt { lines { text courses { title } tokens } } } }";
    let id = json!({ "id": placed["id"] });
    let gone = json!({ "text": "This was refunded.", "courses": [], "tokens": [] });
    assert_eq!(shop.ok(&guest, read, id.clone()).await["order"], json!({ "status": "REFUNDED", "receipt": { "lines": [gone, gone] } }));
    assert_eq!(grants(&shop, &placed["id"]).await, 0);

    shop.advance(payment, Step::FailRefund(reference)).await;
    shop.webhooks().await;
    let back = shop.ok(&guest, read, id).await["order"].clone();
    assert_eq!((&back["status"], &back["receipt"]["lines"][1]["tokens"]), (&json!("FULFILLED"), &codes));
    assert_eq!(back["receipt"]["lines"][0]["courses"], json!([{ "title": "Rust" }]));
    assert_eq!(grants(&shop, &placed["id"]).await, 1);
    books_balance(&shop).await;
}

/// c25: refunding one line ends what that line gave, and nothing else.
#[tokio::test]
async fn c25_refunding_one_line_ends_only_what_it_gave() {
    let shop = TestApp::new().await;
    for (sku, title) in [("A", "Ada"), ("B", "Basic"), ("C", "Cobol")] {
        shop.shelf(sku, "49.00", &[title]).await;
    }
    let placed = placed(&shop, &ready(&shop, &["A", "B", "C"]).await, "approve", "147.00").await;
    let line = |index: usize| placed["lines"][index]["id"].clone();
    let refund =
        |lines: Value, key: &str| json!({ "input": { "orderId": placed["id"], "lines": lines, "reason": "asked", "idempotencyKey": key } });
    let whole = |index: usize| json!([{ "orderLineId": line(index), "amount": { "amount": "49.00", "currency": "USD" } }]);
    let after = shop.ok(&shop.operator(), REFUND, refund(whole(1), "b")).await["orderRefund"]["order"].clone();
    assert_eq!(after["status"], "PARTIALLY_REFUNDED");
    assert_eq!(shop.open_titles(&placed["id"]).await, ["Ada", "Cobol"]);
    // A part of a line keeps the access it gave.
    let part = json!([{ "orderLineId": line(0), "amount": { "amount": "5.00", "currency": "USD" } }]);
    shop.ok(&shop.operator(), REFUND, refund(part, "a")).await;
    assert_eq!(shop.open_titles(&placed["id"]).await, ["Ada", "Cobol"]);
    let rest = shop.ok(&shop.operator(), REFUND, refund(json!([]), "rest")).await["orderRefund"]["order"].clone();
    assert_eq!(rest["status"], "REFUNDED");
    assert_eq!(shop.open_titles(&placed["id"]).await, Vec::<String>::new());
    books_balance(&shop).await;
}

#[tokio::test]
async fn a_refund_made_at_the_gateway_is_recorded_and_a_whole_one_ends_access() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "100.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "approve", "100.00").await;
    let usd = |minor| domain::Money::new(minor, domain::Currency::parse("USD").expect("USD"));
    shop.advance(&placed["payments"][0]["id"], Step::Refund(usd(2500))).await;
    shop.webhooks().await;
    let part = order(&shop, &placed["id"]).await;
    assert_eq!((part["status"].as_str(), part["refunds"][0]["origin"].as_str()), (Some("PARTIALLY_REFUNDED"), Some("GATEWAY")));
    assert_eq!(grants(&shop, &placed["id"]).await, 1);
    shop.advance(&placed["payments"][0]["id"], Step::Refund(usd(7500))).await;
    shop.webhooks().await;
    shop.webhooks().await;
    let whole = order(&shop, &placed["id"]).await;
    assert_eq!((whole["status"].as_str(), whole["refunds"].as_array().map(Vec::len)), (Some("REFUNDED"), Some(2)));
    assert_eq!(grants(&shop, &placed["id"]).await, 0);
    books_balance(&shop).await;
}

#[tokio::test]
async fn a_lost_dispute_ends_access_and_a_won_one_does_not() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "100.00", &["Rust"]).await;
    let usd = domain::Money::new(10_000, domain::Currency::parse("USD").expect("USD"));
    for (email, won, left) in [("ann@example.test", true, 1), ("bo@example.test", false, 0)] {
        let placed = placed(&shop, &ready_for(&shop, &["L-1"], email).await, "approve", "100.00").await;
        shop.advance(&placed["payments"][0]["id"], Step::OpenDispute(usd)).await;
        shop.webhooks().await;
        assert_eq!(grants(&shop, &placed["id"]).await, 1);
        let reference = shop.dispute_reference(&placed["payments"][0]["id"]).await;
        let step = if won { Step::WinDispute(reference) } else { Step::LoseDispute(reference) };
        shop.advance(&placed["payments"][0]["id"], step).await;
        shop.webhooks().await;
        let after = order(&shop, &placed["id"]).await;
        assert_eq!(after["disputes"][0]["status"], if won { "WON" } else { "LOST" });
        assert_eq!((after["status"].as_str(), grants(&shop, &placed["id"]).await), (Some("FULFILLED"), left));
    }
    books_balance(&shop).await;
}

#[tokio::test]
async fn a_lost_dispute_leaves_access_on_purpose_where_the_shop_says_so() {
    let shop = TestApp::with(|settings| settings.end_access_on_lost_dispute = false).await;
    shop.shelf("L-1", "100.00", &["Rust"]).await;
    let placed = placed(&shop, &ready(&shop, &["L-1"]).await, "approve", "100.00").await;
    lose_dispute(&shop, &placed).await;
    assert_eq!(
        (order(&shop, &placed["id"]).await["disputes"][0]["status"].as_str(), grants(&shop, &placed["id"]).await),
        (Some("LOST"), 1)
    );
    books_balance(&shop).await;
}

async fn lose_dispute(shop: &TestApp, placed: &Value) {
    let payment = &placed["payments"][0]["id"];
    shop.advance(payment, Step::OpenDispute(domain::Money::new(10_000, domain::Currency::parse("USD").expect("USD")))).await;
    shop.webhooks().await;
    let reference = shop.dispute_reference(payment).await;
    shop.advance(payment, Step::LoseDispute(reference)).await;
    shop.webhooks().await;
}

/// Access that came back to life without money behind it is shown with its reason; what is paid for is not, nor what was kept on purpose.
#[tokio::test]
async fn access_that_nobody_paid_for_is_shown_with_its_reason() {
    let shop = TestApp::new().await;
    for sku in ["A", "B"] {
        shop.shelf(sku, "100.00", &[sku]).await;
    }
    let mut orders = Vec::new();
    for (index, skus) in [&["A"][..], &["A"], &["A", "B"], &["A"], &["A"]].into_iter().enumerate() {
        let cart = ready_for(&shop, skus, &format!("buyer{index}@example.test")).await;
        orders.push(placed(&shop, &cart, "approve", &format!("{}00.00", skus.len())).await);
    }
    let refund = async |order: &Value, lines: Value, access: Option<&str>| {
        let input = json!({ "orderId": order["id"], "lines": lines, "access": access, "reason": "asked", "idempotencyKey": "k" });
        shop.act(&shop.operator(), "orderRefund", input, "order { id }").await;
    };
    refund(&orders[1], json!([]), None).await;
    let line = json!([{ "orderLineId": orders[2]["lines"][1]["id"], "amount": { "amount": "100.00", "currency": "USD" } }]);
    refund(&orders[2], line, None).await;
    lose_dispute(&shop, &orders[3]).await;
    let kept = json!([{ "orderLineId": orders[4]["lines"][0]["id"], "amount": { "amount": "100.00", "currency": "USD" } }]);
    refund(&orders[4], kept, Some("KEEP")).await;
    books_balance(&shop).await;

    // What no use case does: an order that was given loses its payment, and what was ended lives again.
    let db = shop.app.db.write();
    let id = |order: &Value| domain::OrderId::parse(order["id"].as_str().expect("an id")).expect("an order's id").uuid();
    let lapsed = entity::order::ActiveModel { id: Unchanged(id(&orders[0])), status: Set("LAPSED".to_owned()), ..Default::default() };
    entity::order::Entity::update(lapsed).exec_without_returning(db).await.expect("written");
    let revived = entity::entitlement::ActiveModel { ended_at: Set(None), ..Default::default() };
    entity::entitlement::Entity::update_many().set(revived).exec(db).await.expect("written");
    let found = shop.ok(&shop.operator(), "{ givenNotPaid { orderId reason } }", json!({})).await["givenNotPaid"].clone();
    let reasons: Vec<_> = orders
        .iter()
        .map(|order| {
            let of_order = found.as_array().into_iter().flatten().filter(|row| row["orderId"] == order["id"]);
            of_order.map(|row| row["reason"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(reasons, [vec!["UNPAID"], vec!["REFUNDED"], vec!["REFUNDED"], vec!["CHARGED_BACK"], vec![]]);
}

#[tokio::test]
async fn an_order_is_seen_by_its_cart_for_a_week_and_by_nobody_else() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let placed = placed(&shop, &cart, "approve", "49.00").await;
    let other = ready_for(&shop, &["L-1"], "eve@example.test").await;
    let see = "query($id: ID!) { order(id: $id) { number } }";
    let id = json!({ "id": placed["id"] });
    assert!(shop.ok(&shop.guest_with(&cart.secret), see, id.clone()).await["order"].is_object());
    for stranger in [shop.guest(), shop.guest_with(&other.secret), shop.guest_with("made up"), shop.key(&["catalog:read"])] {
        assert_eq!(shop.ok(&stranger, see, id.clone()).await["order"], Value::Null);
    }
    assert_eq!(shop.ok(&shop.guest(), see, json!({ "id": "ord_nonsense" })).await["order"], Value::Null);
    shop.pass(TimeDelta::days(7));
    assert_eq!(shop.ok(&shop.guest_with(&cart.secret), see, id).await["order"], Value::Null);
}

/// An order, its payments, refunds and jobs are found by their ids, by whoever may see the order; any number for the same statements.
#[tokio::test]
async fn orders_and_their_parts_are_nodes_for_those_who_may_see_them() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id
        ... on Order { number payments { status } } ... on Payment { amount { amount } } ... on Refund { amount { amount } } ... on Job { kind status } } }";
    let mut rows = Vec::new();
    let mut carts = Vec::new();
    for index in 0..3 {
        let cart = ready_for(&shop, &["L-1"], &format!("b{index}@example.test")).await;
        let placed = placed(&shop, &cart, "approve", "49.00").await;
        let back = json!({ "input": { "orderId": placed["id"], "reason": "goodwill", "idempotencyKey": format!("back{index}"),
            "lines": [{ "orderLineId": placed["lines"][0]["id"], "amount": { "amount": "9.00", "currency": "USD" } }] } });
        let refund = "mutation($input: OrderRefundInput!) { orderRefund(input: $input) { order { refunds { id } } userErrors { code field message } } }";
        let refunded = shop.ok(&shop.operator(), refund, back).await["orderRefund"]["order"]["refunds"][0]["id"].clone();
        let ids = vec![placed["id"].clone(), placed["payments"][0]["id"].clone(), refunded];
        let known = json!([
            { "__typename": "Order", "id": ids[0], "number": placed["number"], "payments": [{ "status": "CAPTURED" }] },
            { "__typename": "Payment", "id": ids[1], "amount": { "amount": "49.00" } },
            { "__typename": "Refund", "id": ids[2], "amount": { "amount": "9.00" } },
        ]);
        rows.push((ids, known));
        carts.push(cart);
    }
    let jobs = shop.ok(&shop.operator(), "{ jobs(first: 1) { nodes { id kind status } } }", json!({})).await["jobs"]["nodes"][0].clone();
    let mut job = jobs.clone();
    job["__typename"] = json!("Job");
    let job_id = json!({ "ids": [jobs["id"]] });
    assert_eq!(shop.ok(&shop.operator(), query, job_id.clone()).await["nodes"], json!([job]));
    assert_eq!(shop.ok(&shop.key(&["orders:read"]), query, job_id).await["nodes"], json!([null]));

    let (ids, known) = &rows[0];
    let own = shop.ok(&shop.guest_with(&carts[0].secret), query, json!({ "ids": ids })).await;
    assert_eq!(&own["nodes"], known);
    for stranger in [shop.guest(), shop.guest_with(&carts[1].secret), shop.key(&["catalog:read"])] {
        assert_eq!(shop.ok(&stranger, query, json!({ "ids": ids })).await["nodes"], json!([null, null, null]));
    }
    let all: Vec<Value> = rows.iter().flat_map(|(ids, _)| ids.clone()).collect();
    let (found, few) = shop.counted(&shop.operator(), query, json!({ "ids": ids })).await;
    assert_eq!(&found["data"]["nodes"], known);
    let (found, many) = shop.counted(&shop.operator(), query, json!({ "ids": all })).await;
    assert!(found["data"]["nodes"].as_array().expect("a list").iter().all(Value::is_object), "{found:#}");
    assert_eq!(many, few, "nine ids and three");
}

/// A live subscription gives the order after each change of it and of its payments, and nothing to strangers.
#[tokio::test]
async fn a_live_subscription_follows_the_order_to_its_course() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let guest = shop.guest_with(&cart.secret);
    let placed = placed(&shop, &cart, "pending", "49.00").await;
    let live = "subscription($id: ID!) { orderUpdated(id: $id) { status payments { status } receipt { lines { courses { title } } } } }";
    let id = json!({ "id": placed["id"] });
    let mut updates = shop.follow(&guest, live, id.clone());
    let (first, ()) = tokio::join!(updates.next(), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        shop.approve(&placed["payments"][0]["id"]).await;
        shop.webhooks().await;
    });
    // It may be seen paid first; the end is that the course is open.
    let mut seen = first.expect("an event");
    while seen["status"] != "FULFILLED" {
        assert_eq!(seen["status"], "PAID", "{seen:#}");
        seen = updates.next().await.expect("an event");
    }
    let receipt = json!({ "lines": [{ "courses": [{ "title": "Rust" }] }] });
    assert_eq!(seen, json!({ "status": "FULFILLED", "payments": [{ "status": "CAPTURED" }], "receipt": receipt }));
    // After a week the secret of the cart opens the order no more, whoever was still watching.
    shop.pass(TimeDelta::days(7));
    let (last, ()) = tokio::join!(updates.next(), async {
        let back = json!({ "input": { "orderId": placed["id"], "reason": "late", "idempotencyKey": "back" } });
        shop.ok(&shop.operator(), REFUND, back).await;
    });
    assert_eq!((last, updates.next().await), (Some(Value::Null), None));

    for (stranger, id) in [(shop.guest(), id), (shop.operator(), json!({ "id": "rubbish" }))] {
        let mut updates = shop.follow(&stranger, live, id);
        assert_eq!((updates.next().await, updates.next().await), (Some(Value::Null), None));
    }
}

/// Seeing an order by a scope for reading is not enough to cancel it or to pay it again.
#[tokio::test]
async fn who_only_reads_orders_moves_none() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "49.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let placed = placed(&shop, &cart, "decline", "49.00").await;
    assert_eq!(placed["status"], "PENDING_PAYMENT");
    let reader = shop.key(&["orders:read"]);
    let cancel =
        "mutation($input: OrderCancelInput!) { orderCancel(input: $input) { order { status } userErrors { code field message } } }";
    let input = json!({ "input": { "orderId": placed["id"], "idempotencyKey": "c" } });
    assert_eq!(shop.top_level_code(&reader, cancel, input.clone()).await, "FORBIDDEN");
    let retry =
        "mutation($input: PaymentRetryInput!) { paymentRetry(input: $input) { order { status } userErrors { code field message } } }";
    let method = json!({ "gateway": "sandbox", "token": "approve" });
    let again = json!({ "input": { "orderId": placed["id"], "paymentMethod": method, "idempotencyKey": "r" } });
    assert_eq!(shop.top_level_code(&reader, retry, again.clone()).await, "FORBIDDEN");
    assert_eq!(order(&shop, &placed["id"]).await["status"], "PENDING_PAYMENT");
    let paid = shop.ok(&shop.guest_with(&cart.secret), retry, again).await;
    assert_eq!(paid["paymentRetry"]["order"]["status"], "FULFILLED", "the guest's own");
}

/// c45: pages of orders placed at the same instant neither repeat nor skip one, also when another comes meanwhile.
#[tokio::test]
async fn c45_pages_of_orders_with_equal_times_show_each_once() {
    let shop = TestApp::new().await;
    shop.shelf("L-0", "0.00", &["Free"]).await;
    let free = |cart: &Ready| json!({ "input": { "cartId": cart.cart, "expectedTotal": { "amount": "0", "currency": "USD" }, "idempotencyKey": "k" } });
    for index in 0..25 {
        let cart = ready_for(&shop, &["L-0"], &format!("b{index}@example.test")).await;
        shop.ok(&shop.guest_with(&cart.secret), PLACE, free(&cart)).await;
    }
    let list = "query($after: String) { orders(first: 10, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } totalCount } }";
    let (mut seen, mut after, mut sizes) = (Vec::new(), Value::Null, Vec::new());
    loop {
        let page = shop.ok(&shop.operator(), list, json!({ "after": after })).await["orders"].clone();
        let nodes = page["nodes"].as_array().cloned().expect("nodes");
        sizes.push(nodes.len());
        seen.extend(nodes.into_iter().map(|node| node["id"].to_string()));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
        shop.pass(TimeDelta::seconds(1));
        let cart = ready_for(&shop, &["L-0"], &format!("late{}@example.test", seen.len())).await;
        shop.ok(&shop.guest_with(&cart.secret), PLACE, free(&cart)).await;
    }
    assert_eq!(sizes, [10, 10, 5]);
    let total = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((total, seen.len()), (25, 25));
    for (first, after) in [(10, json!("")), (10, json!("made-up")), (-1, Value::Null), (101, Value::Null)] {
        let query = "query($first: Int, $after: String) { orders(first: $first, after: $after) { nodes { id } } }";
        assert_eq!(shop.top_level_code(&shop.operator(), query, json!({ "first": first, "after": after })).await, "BAD_INPUT");
    }
}

/// A list of orders costs the same number of statements whether it has 2 or 20.
#[tokio::test]
async fn a_list_of_orders_costs_a_fixed_number_of_statements() {
    let shop = TestApp::new().await;
    shop.shelf("L-0", "0.00", &["Free"]).await;
    let list =
        "{ orders(first: 50) { nodes { number buyer { email } lines { title } payments { status } refunds { status } disputes { status }
        receipt { lines { courses { title } } } fulfilment { steps { state } } } } }";
    let mut counts = Vec::new();
    for batch in [2, 18] {
        for index in 0..batch {
            let cart = ready_for(&shop, &["L-0"], &format!("b{batch}-{index}@example.test")).await;
            let input =
                json!({ "input": { "cartId": cart.cart, "expectedTotal": { "amount": "0", "currency": "USD" }, "idempotencyKey": "k" } });
            shop.ok(&shop.guest_with(&cart.secret), PLACE, input).await;
        }
        counts.push(shop.counted(&shop.operator(), list, json!({})).await.1);
    }
    assert_eq!(counts[0], counts[1]);
}

/// What was promised in a commit is done by whichever process finds it, once.
#[tokio::test]
async fn two_workers_fulfil_each_order_once() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "10.00", &["Rust"]).await;
    let mut orders = Vec::new();
    for index in 0..12 {
        let cart = ready_for(&shop, &["L-1"], &format!("b{index}@example.test")).await;
        let order = placed(&shop, &cart, "pending", "10.00").await;
        shop.approve(&order["payments"][0]["id"]).await;
        orders.push(order);
    }
    for delivery in shop.sandbox.pending_deliveries().await.expect("the sandbox answers") {
        shop.webhook(&delivery.event_id).await;
    }
    let other = shop.another().await;
    let (one, two) = tokio::join!(shop.app.run_due_jobs(), other.run_due_jobs());
    one.expect("the jobs run");
    two.expect("the jobs run");
    for placed in orders {
        assert_eq!(order(&shop, &placed["id"]).await["status"], "FULFILLED");
        assert_eq!(grants(&shop, &placed["id"]).await, 1);
    }
    books_balance(&shop).await;
}

/// A cut between placing and asking the gateway loses nothing: the job that was committed with the order goes on.
#[tokio::test]
async fn an_order_whose_request_died_is_paid_by_the_worker() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "10.00", &["Rust"]).await;
    let cart = ready(&shop, &["L-1"]).await;
    let guest = shop.guest_with(&cart.secret);
    // The request is dropped as soon as it has committed: it never gets to run what it promised.
    let request = shop.run(&guest, PLACE, place(&cart, "approve", "10.00", "k1"));
    let dropped = tokio::time::timeout(std::time::Duration::from_millis(0), request).await;
    drop(dropped);
    shop.pass(TimeDelta::minutes(3));
    shop.jobs().await;
    let again = shop.ok(&guest, PLACE, place(&cart, "approve", "10.00", "k1")).await["orderPlace"]["order"].clone();
    assert_eq!((again["status"].as_str(), again["payments"].as_array().map(Vec::len)), (Some("FULFILLED"), Some(1)));
    assert_eq!(grants(&shop, &again["id"]).await, 1);
    books_balance(&shop).await;
}
