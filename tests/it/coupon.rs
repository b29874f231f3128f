//! Coupons in carts and orders: what they save on which line, who may use them how often, and what becomes of a use as the order goes on.

use chrono::TimeDelta;
use futures_util::future::join_all;
use sandbox::Step;
use serde_json::{Value, json};

use crate::process::{Place, Server, bearer};
use crate::util::{TestApp, amount};

const CART: &str = "cart { id version total { amount } discount { amount }
    lines { id offer { sku } discount { amount } total { amount } coupon }
    coupons { code status savings { amount } lines { lineId savings { amount } } reason { code message } } }";

const PLACE: &str = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
    order { id status total { amount } discount { amount } payments { id status } coupons { code state savings { amount } } lines { id coupon discount { amount } total { amount } } }
    cart { total { amount } coupons { code reason { code } } } userErrors { code field message } } }";

/// A guest with a cart: its id and the header that opens it.
struct Buyer {
    cart: String,
    secret: String,
}

async fn buyer(shop: &TestApp, skus: &[&str], email: &str) -> Buyer {
    let (cart, secret) = shop.guest_cart(skus).await;
    let buyer = Buyer { cart, secret };
    let input = json!({ "cartId": buyer.cart, "email": email, "name": "Ann" });
    shop.act(&shop.guest_with(&buyer.secret), "cartBuyerSet", input, "").await;
    buyer
}

/// Creates a coupon with these codes.
async fn coupon(shop: &TestApp, codes: &[&str], rules: Value) -> Value {
    let mut input = json!({ "kind": "DISCOUNT", "codes": codes });
    input.as_object_mut().expect("an object").extend(rules.as_object().expect("rules").clone());
    shop.act(&shop.operator(), "couponCreate", input, "coupon { id status }").await["coupon"].clone()
}

async fn add(shop: &TestApp, buyer: &Buyer, code: &str) -> Value {
    let input = json!({ "cartId": buyer.cart, "code": code });
    shop.act(&shop.guest_with(&buyer.secret), "cartCouponAdd", input, CART).await["cart"].clone()
}

async fn place(shop: &TestApp, buyer: &Buyer, total: &str, token: &str) -> Value {
    let input = json!({ "input": {
        "cartId": buyer.cart, "paymentMethod": { "gateway": "sandbox", "token": token },
        "expectedTotal": { "amount": total, "currency": "USD" }, "idempotencyKey": format!("{}-{token}", buyer.cart) } });
    shop.run(&shop.guest_with(&buyer.secret), PLACE, input).await["data"]["orderPlace"].clone()
}

async fn status(shop: &TestApp, coupon: &Value) -> Value {
    let query = "query($id: ID!) { coupon(id: $id) { status } }";
    shop.ok(&shop.operator(), query, json!({ "id": coupon["id"] })).await["coupon"]["status"].clone()
}

fn texts(list: &Value, pointer: &str) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|row| row.pointer(pointer).and_then(Value::as_str).unwrap_or("null").to_owned()).collect()
}

/// R69, R70, R71: lines of 20.00, 30.00 and 50.00; X takes 5.00 off one item, the first one, Y 15 % off the order. X then Y is 15.00 + 25.50 +
/// 42.50 = 83.00; Y then X is 17.00 + 25.50 + 42.50 = 85.00, and X reaches no line and is not used up.
#[tokio::test]
async fn r69_r70_r71_the_order_of_adding_decides_and_a_line_takes_one() {
    let shop = TestApp::new().await;
    let first = shop.shelf("A", "20.00", &["One"]).await;
    shop.shelf("B", "30.00", &["Two"]).await;
    shop.shelf("C", "50.00", &["Three"]).await;
    let x = coupon(&shop, &["X"], json!({ "amount": amount("5.00 USD"), "productIds": [first], "scope": "ITEM", "totalUses": 1 })).await;
    coupon(&shop, &["Y"], json!({ "percent": "15", "scope": "ORDER" })).await;

    let ann = buyer(&shop, &["A", "B", "C"], "ann@example.test").await;
    add(&shop, &ann, "X").await;
    let cart = add(&shop, &ann, "y").await;
    assert_eq!((&cart["total"]["amount"], &cart["discount"]["amount"]), (&json!("83.00"), &json!("17.00")));
    assert_eq!(texts(&cart["lines"], "/total/amount"), ["15.00", "25.50", "42.50"]);
    assert_eq!(texts(&cart["lines"], "/coupon"), ["X", "Y", "Y"]);
    assert_eq!(texts(&cart["coupons"], "/savings/amount"), ["5.00", "12.00"]);

    let bob = buyer(&shop, &["A", "B", "C"], "bob@example.test").await;
    add(&shop, &bob, "Y").await;
    let cart = add(&shop, &bob, "X").await;
    assert_eq!(texts(&cart["lines"], "/total/amount"), ["17.00", "25.50", "42.50"]);
    assert_eq!((&cart["total"]["amount"], &cart["coupons"][1]["reason"]["code"]), (&json!("85.00"), &json!("REACHES_NO_LINE")));
    let placed = place(&shop, &bob, "85.00", "approve").await;
    assert_eq!(placed["order"]["coupons"], json!([{ "code": "Y", "state": "SPENT", "savings": { "amount": "15.00" } }]));
    assert_eq!(texts(&placed["order"]["lines"], "/discount/amount"), ["3.00", "4.50", "7.50"]);
    assert_eq!(status(&shop, &x).await, "STARTED", "X was not used up");
    let placed = place(&shop, &ann, "83.00", "approve").await;
    assert_eq!(texts(&placed["order"]["coupons"], "/code"), ["X", "Y"]);
    assert_eq!(status(&shop, &x).await, "EXHAUSTED");
}

/// c09, R66: blanks and case around a code do not matter; it counts once; a code that is none is told like every wrong guess, and guessing is
/// slowed down, each alias of a request counted.
#[tokio::test]
async fn c09_r66_codes_are_typed_in_any_spelling_and_guessing_is_slowed() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    coupon(&shop, &["Save10"], json!({ "percent": "10" })).await;
    let ann = buyer(&shop, &["A"], "ann@example.test").await;
    let cart = add(&shop, &ann, "  SAVE10 ").await;
    assert_eq!((&cart["coupons"][0]["code"], &cart["total"]["amount"]), (&json!("Save10"), &json!("18.00")));
    let guest = shop.guest_with(&ann.secret);
    let again = json!({ "cartId": ann.cart, "code": "save10" });
    assert_eq!(shop.denied(&guest, "cartCouponAdd", again).await, [("COUPON_REPEATED".to_owned(), "code".to_owned())]);
    for _ in 0..10 {
        let wrong = json!({ "cartId": ann.cart, "code": "guess" });
        assert_eq!(shop.denied(&guest, "cartCouponAdd", wrong).await, [("NOT_FOUND".to_owned(), "code".to_owned())]);
    }
    let one = "cartCouponAdd(input: $input) { userErrors { code } }";
    let query = format!("mutation($input: CartCouponAddInput!) {{ a: {one} b: {one} }}");
    let answer = shop.run(&guest, &query, json!({ "input": { "cartId": ann.cart, "code": "guess" } })).await;
    assert_eq!(texts(&answer["errors"], "/extensions/code"), ["RATE_LIMITED", "RATE_LIMITED"]);
    let removed = shop.act(&guest, "cartCouponRemove", json!({ "cartId": ann.cart, "code": "SAVE10" }), CART).await;
    assert_eq!((&removed["cart"]["total"]["amount"], &removed["cart"]["coupons"]), (&json!("20.00"), &json!([])));
}

/// c11, c13: a coupon that ended while it stood in the cart stops at once; placing at the old total takes nothing and shows the fresh cart.
#[tokio::test]
async fn c11_c13_a_coupon_that_ended_meanwhile_stops_the_placing() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    let ends = shop.app.now() + TimeDelta::hours(1);
    coupon(&shop, &["SOON"], json!({ "percent": "50", "endsAt": ends.to_rfc3339() })).await;
    let ann = buyer(&shop, &["A"], "ann@example.test").await;
    assert_eq!(add(&shop, &ann, "SOON").await["total"]["amount"], "10.00");
    shop.pass(TimeDelta::hours(1));
    let refused = place(&shop, &ann, "10.00", "approve").await;
    assert_eq!(refused["userErrors"][0]["code"], "PRICE_CHANGED", "{refused:#}");
    assert_eq!(
        (&refused["cart"]["total"]["amount"], &refused["cart"]["coupons"][0]["reason"]["code"]),
        (&json!("20.00"), &json!("COUPON_EXPIRED"))
    );
    // Agreeing to the fresh cart is possible.
    assert_eq!(place(&shop, &ann, "20.00", "pending").await["order"]["coupons"], json!([]));
    let bob = buyer(&shop, &["A"], "bob@example.test").await;
    let late = json!({ "cartId": bob.cart, "code": "SOON" });
    let expired = [("COUPON_EXPIRED".to_owned(), "code".to_owned())];
    assert_eq!(shop.denied(&shop.guest_with(&bob.secret), "cartCouponAdd", late).await, expired);
}

/// R63: one customer uses a coupon once, whichever case the address is written in; a double click is one use.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r63_one_customer_uses_a_coupon_once() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    coupon(&shop, &["ONCE"], json!({ "percent": "10" })).await;
    let mut carts = Vec::new();
    for email in ["ann@example.test", "ANN@Example.test", "ann@EXAMPLE.test"] {
        let buyer = buyer(&shop, &["A"], email).await;
        add(&shop, &buyer, "ONCE").await;
        carts.push(buyer);
    }
    let answers =
        join_all(carts.iter().flat_map(|buyer| [place(&shop, buyer, "18.00", "approve"), place(&shop, buyer, "18.00", "approve")])).await;
    let orders: std::collections::BTreeSet<String> =
        answers.iter().filter_map(|answer| answer["order"]["id"].as_str()).map(str::to_owned).collect();
    assert_eq!(orders.len(), 1, "{answers:#?}");
    let refusals: Vec<&Value> = answers.iter().filter(|answer| answer["order"].is_null()).collect();
    assert_eq!(refusals.len(), 4);
    for refused in refusals {
        assert_eq!(refused["userErrors"][0]["code"], "PRICE_CHANGED");
    }
}

/// c13, R63: before a placing nobody is told who has ordered; a placing that is refused for it shows the fresh cart, which can be placed, and stays
/// so until somebody else buys.
#[tokio::test]
async fn c13_r63_a_refused_placing_shows_the_cart_as_it_is_for_its_buyer() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    coupon(&shop, &["ONCE"], json!({ "percent": "50" })).await;
    let first = buyer(&shop, &["A"], "ann@example.test").await;
    add(&shop, &first, "ONCE").await;
    assert_eq!(place(&shop, &first, "10.00", "approve").await["order"]["status"], "FULFILLED");

    let again = buyer(&shop, &["A"], "ann@example.test").await;
    let guest = shop.guest_with(&again.secret);
    let read = async || {
        let query = format!("query($id: ID!) {{ {} }}", CART.replacen("cart {", "cart(id: $id) {", 1));
        let cart = shop.ok(&guest, &query, json!({ "id": again.cart })).await["cart"].clone();
        (cart["total"]["amount"].clone(), cart["coupons"][0]["reason"]["code"].clone())
    };
    assert_eq!(add(&shop, &again, "ONCE").await["total"]["amount"], "10.00", "whoever looks is not told who has ordered");
    let refused = place(&shop, &again, "10.00", "approve").await;
    assert_eq!(refused["userErrors"][0]["code"], "PRICE_CHANGED");
    let fresh = (&refused["cart"]["total"]["amount"], &refused["cart"]["coupons"][0]["reason"]["code"]);
    assert_eq!(fresh, (&json!("20.00"), &json!("COUPON_CUSTOMER_LIMIT")));
    assert_eq!(read().await, (json!("20.00"), json!("COUPON_CUSTOMER_LIMIT")));

    let other = json!({ "cartId": again.cart, "email": "bob@example.test", "name": "Bob" });
    shop.act(&guest, "cartBuyerSet", other, "").await;
    assert_eq!(read().await, (json!("10.00"), Value::Null), "of Bob nothing was told");
    let ann = json!({ "cartId": again.cart, "email": "ann@example.test", "name": "Ann" });
    shop.act(&guest, "cartBuyerSet", ann, "").await;
    assert_eq!(place(&shop, &again, "10.00", "decline").await["userErrors"][0]["code"], "PRICE_CHANGED");
    let key = json!({ "input": { "cartId": again.cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": amount("20.00 USD"), "idempotencyKey": "agreed" } });
    let placed = shop.run(&guest, PLACE, key).await["data"]["orderPlace"].clone();
    assert_eq!((&placed["order"]["status"], &placed["order"]["coupons"]), (&json!("FULFILLED"), &json!([])));
}

/// An order that lapsed while its payment was open at the gateway.
async fn lapsed(shop: &TestApp, buyer: &Buyer, total: &str) -> Value {
    let order = place(shop, buyer, total, "pending").await["order"].clone();
    shop.advance(&order["payments"][0]["id"], Step::Expire).await;
    shop.webhooks().await;
    shop.pass(TimeDelta::minutes(30));
    shop.jobs().await;
    order
}

/// What became of an order whose money came late: its status, the states of its uses, and what was sent back.
async fn after_late_money(shop: &TestApp, order: &Value) -> (String, Vec<String>, String) {
    shop.approve(&order["payments"][0]["id"]).await;
    shop.webhooks().await;
    shop.jobs().await;
    let read = "query($id: ID!) { order(id: $id) { status coupons { state } payments { refunded { amount } } } }";
    let seen = shop.ok(&shop.operator(), read, json!({ "id": order["id"] })).await["order"].clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&seen["status"]), texts(&seen["coupons"], "/state"), text(&seen["payments"][0]["refunded"]["amount"]))
}

/// c21: an order that held two uses of one coupon is honoured late only while both are left; else its money goes back at once.
#[tokio::test]
async fn c21_late_money_needs_all_uses_of_a_coupon_that_the_order_held() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    shop.shelf("B", "30.00", &["Two"]).await;
    let rules = json!({ "amount": amount("5.00 USD"), "scope": "ITEM", "totalUses": 2, "usesPerCustomer": null });
    coupon(&shop, &["Q1", "Q2"], rules).await;
    let both = async |email: &str| {
        let buyer = buyer(&shop, &["A", "B"], email).await;
        add(&shop, &buyer, "Q1").await;
        assert_eq!(add(&shop, &buyer, "Q2").await["total"]["amount"], "40.00");
        buyer
    };
    let ann = both("ann@example.test").await;
    let order = lapsed(&shop, &ann, "40.00").await;
    assert_eq!(after_late_money(&shop, &order).await, ("FULFILLED".to_owned(), vec!["SPENT".to_owned(); 2], "0.00".to_owned()));
    // Of what an order holds nothing is held against it.
    let query = "query($id: ID!) { cart(id: $id) { total { amount } coupons { reason { code } } } }";
    let cart = shop.ok(&shop.guest_with(&ann.secret), query, json!({ "id": ann.cart })).await["cart"].clone();
    assert_eq!(cart, json!({ "total": { "amount": "40.00" }, "coupons": [{ "reason": null }, { "reason": null }] }));

    let more = json!({ "amount": amount("5.00 USD"), "scope": "ITEM", "totalUses": 2, "usesPerCustomer": null });
    coupon(&shop, &["R1", "R2"], more).await;
    let bob = buyer(&shop, &["A", "B"], "bob@example.test").await;
    add(&shop, &bob, "R1").await;
    add(&shop, &bob, "R2").await;
    let order = lapsed(&shop, &bob, "40.00").await;
    let cid = buyer(&shop, &["A"], "cid@example.test").await;
    add(&shop, &cid, "R1").await;
    assert_eq!(place(&shop, &cid, "15.00", "approve").await["order"]["status"], "FULFILLED");
    assert_eq!(after_late_money(&shop, &order).await, ("LAPSED".to_owned(), vec!["FREED".to_owned(); 2], "40.00".to_owned()));
}

/// c21, R36, R63: late money is honoured only if its customer may still use the coupon: not a second time, and not as a new customer who has paid
/// for something else meanwhile.
#[tokio::test]
async fn c21_r36_late_money_keeps_the_limits_of_its_customer() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    coupon(&shop, &["ONCE"], json!({ "percent": "50" })).await;
    coupon(&shop, &["NEW50"], json!({ "percent": "50", "usesPerCustomer": null })).await;
    for (code, email) in [("ONCE", "ann@example.test"), ("NEW50", "bob@example.test")] {
        let late = buyer(&shop, &["A"], email).await;
        add(&shop, &late, code).await;
        let order = lapsed(&shop, &late, "10.00").await;
        let other = buyer(&shop, &["A"], &email.to_uppercase()).await;
        add(&shop, &other, code).await;
        assert_eq!(place(&shop, &other, "10.00", "approve").await["order"]["status"], "FULFILLED");
        assert_eq!(after_late_money(&shop, &order).await, ("LAPSED".to_owned(), vec!["FREED".to_owned()], "10.00".to_owned()), "{code}");
    }
}

/// R63: what a guest used counts for the account that the order came to, also under another address.
#[tokio::test]
async fn r63_a_guests_use_counts_for_the_account_that_was_made() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    coupon(&shop, &["ONCE"], json!({ "percent": "50" })).await;
    let guest = buyer(&shop, &["A"], "ann@example.test").await;
    add(&shop, &guest, "ONCE").await;
    assert_eq!(place(&shop, &guest, "10.00", "approve").await["order"]["status"], "FULFILLED");
    let link = shop.mailed_link("ann@example.test").await;
    let redeemed =
        shop.act(&shop.guest(), "accountLinkRedeem", json!({ "token": link, "newPassword": "a long password 1" }), "token").await;
    let ann = shop.bearer(redeemed["token"].as_str().expect("a token")).await;
    let change = json!({ "newEmail": "ann@elsewhere.test", "password": "a long password 1" });
    shop.act(&ann, "accountEmailChange", change, "").await;
    let made = shop.act(&ann, "cartCreate", json!({ "sku": "A" }), "cart { id }").await["cart"].clone();
    let again = json!({ "cartId": made["id"], "code": "ONCE" });
    let cart = shop.act(&ann, "cartCouponAdd", again, CART).await["cart"].clone();
    assert_eq!((&cart["total"]["amount"], &cart["coupons"][0]["reason"]["code"]), (&json!("20.00"), &json!("COUPON_CUSTOMER_LIMIT")));
}

/// R77: a coupon that gets another name while orders are placed with it stops none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r77_a_new_name_stops_no_order() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    let coupon = coupon(&shop, &["TEN"], json!({ "percent": "10" })).await;
    let mut buyers = Vec::new();
    for number in 0..12 {
        let buyer = buyer(&shop, &["A"], &format!("ann{number}@example.test")).await;
        add(&shop, &buyer, "TEN").await;
        buyers.push(buyer);
    }
    let renaming = async {
        for number in 0..24 {
            let input = json!({ "id": coupon["id"], "name": format!("Name {number}") });
            shop.act(&shop.operator(), "couponUpdate", input, "").await;
        }
    };
    let (answers, ()) = tokio::join!(join_all(buyers.iter().map(|buyer| place(&shop, buyer, "18.00", "approve"))), renaming);
    for answer in answers {
        assert_eq!(answer["userErrors"], json!([]), "{answer:#}");
    }
}

/// R36: a code that starts with NEW is for those who never paid; a pending order with one counts, and so does a refunded one.
#[tokio::test]
async fn r36_new_and_recurring_are_judged_at_placing() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    coupon(&shop, &["NEW10"], json!({ "percent": "10", "usesPerCustomer": null })).await;
    coupon(&shop, &["RECURRING20"], json!({ "percent": "20" })).await;
    let with = async |email: &str, code: &str| {
        let buyer = buyer(&shop, &["A"], email).await;
        add(&shop, &buyer, code).await;
        buyer
    };
    let refused = async |buyer: &Buyer, total: &str| place(&shop, buyer, total, "approve").await["userErrors"][0]["message"].to_string();
    assert!(refused(&with("ann@example.test", "RECURRING20").await, "16.00").await.contains("returning customers"));
    let first = place(&shop, &with("ann@example.test", "NEW10").await, "18.00", "pending").await;
    assert_eq!(first["order"]["status"], "PENDING_PAYMENT");
    assert!(refused(&with("ann@example.test", "NEW10").await, "18.00").await.contains("new customers"), "one is pending");
    shop.approve(&first["order"]["payments"][0]["id"]).await;
    shop.webhooks().await;
    assert!(refused(&with("Ann@Example.test", "NEW10").await, "18.00").await.contains("new customers"));
    let back = place(&shop, &with("ann@example.test", "RECURRING20").await, "16.00", "approve").await;
    assert_eq!(back["order"]["status"], "FULFILLED");
    assert_eq!(place(&shop, &with("bob@example.test", "NEW10").await, "18.00", "approve").await["order"]["status"], "FULFILLED");
}

/// c07: a declined card keeps the hold for its owner; lapse frees it; late money is honoured only while a use is left for it.
#[tokio::test]
async fn c07_a_hold_outlives_a_declined_card_and_ends_with_the_order() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    let last = coupon(&shop, &["LAST"], json!({ "percent": "50", "totalUses": 1 })).await;
    let ann = buyer(&shop, &["A"], "ann@example.test").await;
    let bob = buyer(&shop, &["A"], "bob@example.test").await;
    add(&shop, &ann, "LAST").await;
    add(&shop, &bob, "LAST").await;
    let declined = place(&shop, &ann, "10.00", "decline").await["order"].clone();
    assert_eq!((&declined["status"], &declined["coupons"][0]["state"]), (&json!("PENDING_PAYMENT"), &json!("RESERVED")));
    assert_eq!(status(&shop, &last).await, "EXHAUSTED");
    let refused = place(&shop, &bob, "10.00", "approve").await;
    assert_eq!((&refused["order"], &refused["userErrors"][0]["code"]), (&Value::Null, &json!("PRICE_CHANGED")));
    assert_eq!(refused["cart"]["coupons"][0]["reason"]["code"], "COUPON_EXHAUSTED");
    shop.pass(TimeDelta::minutes(30));
    shop.jobs().await;
    assert_eq!(status(&shop, &last).await, "STARTED", "free again");

    // Money of a lapsed order comes late: Cid's use is gone to Dan by then, so it goes back.
    let cid = buyer(&shop, &["A"], "cid@example.test").await;
    add(&shop, &cid, "LAST").await;
    let lapsed = place(&shop, &cid, "10.00", "pending").await["order"].clone();
    // The gateway says nothing until the order has lapsed.
    let read = "query($id: ID!) { order(id: $id) { status coupons { state } payments { refunded { amount } } } }";
    let seen = async |order: &Value| shop.ok(&shop.operator(), read, json!({ "id": order["id"] })).await["order"].clone();
    shop.advance(&lapsed["payments"][0]["id"], Step::Expire).await;
    shop.webhooks().await;
    shop.pass(TimeDelta::minutes(30));
    shop.jobs().await;
    assert_eq!(seen(&lapsed).await["coupons"], json!([{ "state": "FREED" }]));
    let dan = buyer(&shop, &["A"], "dan@example.test").await;
    add(&shop, &dan, "LAST").await;
    assert_eq!(place(&shop, &dan, "10.00", "approve").await["order"]["coupons"][0]["state"], "SPENT");
    shop.approve(&lapsed["payments"][0]["id"]).await;
    shop.webhooks().await;
    shop.jobs().await;
    let late = seen(&lapsed).await;
    assert_eq!((&late["status"], &late["coupons"][0]["state"]), (&json!("LAPSED"), &json!("FREED")));
    assert_eq!(late["payments"][0]["refunded"]["amount"], "10.00");
}

/// R73, c51, c01: 10.00 off over three lines of 25.00 is split 3.34, 3.33, 3.33; a coupon above the amount due makes it zero, which is paid
/// without a gateway; refunds give back what was paid for a line.
#[tokio::test]
async fn r73_c01_c51_discounts_are_split_stored_and_refunded_by_line() {
    let shop = TestApp::new().await;
    for sku in ["A", "B", "C"] {
        shop.shelf(sku, "25.00", &[sku]).await;
    }
    coupon(&shop, &["TEN"], json!({ "amount": amount("10.00 USD"), "scope": "ORDER" })).await;
    coupon(&shop, &["ALL"], json!({ "amount": amount("500.00 USD"), "scope": "ORDER" })).await;
    let ann = buyer(&shop, &["A", "B", "C"], "ann@example.test").await;
    let cart = add(&shop, &ann, "TEN").await;
    assert_eq!(texts(&cart["lines"], "/discount/amount"), ["3.34", "3.33", "3.33"]);
    let order = place(&shop, &ann, "65.00", "approve").await["order"].clone();
    assert_eq!(texts(&order["lines"], "/total/amount"), ["21.66", "21.67", "21.67"]);
    let refund = json!({ "orderId": order["id"], "reason": "asked", "idempotencyKey": "r",
        "lines": [{ "orderLineId": order["lines"][0]["id"], "quantity": 1 }] });
    let refunded = shop.act(&shop.operator(), "orderRefund", refund, "order { refunds { amount { amount } } coupons { state } }").await;
    assert_eq!(refunded["order"]["refunds"][0]["amount"]["amount"], "21.66");
    assert_eq!(refunded["order"]["coupons"][0]["state"], "SPENT", "a refund leaves the use spent");

    let bob = buyer(&shop, &["A", "B"], "bob@example.test").await;
    assert_eq!(add(&shop, &bob, "ALL").await["total"]["amount"], "0.00");
    let free = place(&shop, &bob, "0.00", "approve").await["order"].clone();
    assert_eq!((&free["status"], &free["payments"]), (&json!("FULFILLED"), &json!([])));
}

/// c41: a guest's cart brings its coupons along when it is claimed; one that both carts hold stands once.
#[tokio::test]
async fn c41_claiming_a_cart_keeps_its_coupons_once() {
    let shop = TestApp::new().await;
    shop.shelf("A", "20.00", &["One"]).await;
    for code in ["ONE", "TWO"] {
        coupon(&shop, &[code], json!({ "percent": "10" })).await;
    }
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    let create = shop.act(&ann, "cartCreate", json!({ "sku": "A", "couponCode": "two" }), CART).await["cart"].clone();
    assert_eq!(texts(&create["coupons"], "/code"), ["TWO"]);
    let guest = buyer(&shop, &["A"], "ann@example.test").await;
    add(&shop, &guest, "ONE").await;
    add(&shop, &guest, "TWO").await;
    let mut both = ann.clone();
    both.cart_secret = Some(guest.secret.clone().into());
    let claimed = shop.act(&both, "cartClaim", json!({ "cartId": guest.cart, "idempotencyKey": "k" }), CART).await["cart"].clone();
    assert_eq!((&claimed["id"], texts(&claimed["coupons"], "/code")), (&create["id"], vec!["TWO".to_owned(), "ONE".to_owned()]));
    assert_eq!(claimed["total"]["amount"], "18.00", "a line takes one of them");
    let unknown = json!({ "sku": "A", "couponCode": "nothing" });
    assert_eq!(shop.denied(&ann, "cartCreate", unknown).await, [("NOT_FOUND".to_owned(), "couponCode".to_owned())]);
}

/// A guest of a running demo shop with a cart of one course path and a code; its id and secret.
pub async fn guest(server: &Server, number: usize, code: &str) -> (String, String) {
    let create = "mutation($code: String) { cartCreate(input: { sku: \"RUST-PATH\", couponCode: $code }) { secret cart { id } userErrors { code field message } } }";
    let made = server.ok(&[], create, json!({ "code": code })).await["cartCreate"].clone();
    let (cart, secret) = (made["cart"]["id"].as_str().expect("an id").to_owned(), made["secret"].as_str().expect("a secret").to_owned());
    let set = "mutation($input: CartBuyerSetInput!) { cartBuyerSet(input: $input) { userErrors { code field message } } }";
    let input = json!({ "input": { "cartId": cart, "email": format!("rush{number}@example.test"), "name": "Ann" } });
    server.ok(&[("Cart-Secret", &secret)], set, input).await;
    (cart, secret)
}

/// c07: 200 buyers at once, by HTTP, for a code with 50 uses: 50 orders have it, 150 are refused without being charged, nobody sees a fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c07_of_two_hundred_buyers_at_once_fifty_have_the_code() {
    let here = Place::new().await;
    let server = here.serve(&["--seed", "demo"]).await;
    let operator = bearer(&here.key(&[]).await);
    let create = "mutation($input: CouponCreateInput!) { couponCreate(input: $input) { coupon { id } userErrors { code field message } } }";
    let rules = json!({ "input": { "kind": "DISCOUNT", "percent": "10", "codes": ["RUSH"], "totalUses": 50 } });
    let coupon = server.ok(&[("Authorization", &operator)], create, rules).await["couponCreate"]["coupon"]["id"].clone();
    let mut carts = Vec::new();
    for batch in (0..200).collect::<Vec<_>>().chunks(20) {
        carts.extend(join_all(batch.iter().map(|number| guest(&server, *number, "rush"))).await);
    }
    let answers = join_all(carts.iter().map(|(cart, secret)| {
        let input = json!({ "input": { "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
            "expectedTotal": { "amount": "134.10", "currency": "USD" }, "idempotencyKey": cart } });
        let request = server.request(&[("Cart-Secret", secret)], PLACE, input);
        async { request.send().await.expect("an answer").json::<Value>().await.expect("JSON") }
    }))
    .await;
    assert!(answers.iter().all(|answer| answer.get("errors").is_none()), "no fault");
    let placed = answers.iter().filter(|answer| answer["data"]["orderPlace"]["order"].is_object()).count();
    let refused = answers.iter().filter(|answer| answer["data"]["orderPlace"]["userErrors"][0]["code"] == "PRICE_CHANGED").count();
    assert_eq!((placed, refused), (50, 150));
    let query = "query($id: ID!) { coupon(id: $id) { status } orders(first: 1) { totalCount } }";
    let seen = server.ok(&[("Authorization", &operator)], query, json!({ "id": coupon })).await;
    assert_eq!(seen, json!({ "coupon": { "status": "EXHAUSTED" }, "orders": { "totalCount": 50 } }));
    server.stop().await;
}
