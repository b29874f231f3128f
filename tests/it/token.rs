//! Seats: bought as tokens, redeemed once each, given another code, refunded.

use serde_json::{Value, json};

use crate::util::TestApp;

const REDEEM: &str = "mutation($code: String!, $key: String!) { tokenRedeem(input: { code: $code, idempotencyKey: $key }) {
    token { id status } replayed userErrors { code field message } } }";
const COURSES: &str = "{ me { courses { nodes { title } } } }";

/// An order of seats in a library of two courses at 10.00, and the codes on its receipt.
async fn seats(shop: &TestApp, quantity: u32) -> (Value, Vec<String>) {
    let product = shop.shelf("SEATS", "10.00", &["Ada", "Basic"]).await;
    let create = "mutation { cartCreate(input: {}) { cart { id } secret userErrors { code field message } } }";
    let made = shop.ok(&shop.guest(), create, json!({})).await["cartCreate"].clone();
    let guest = shop.guest_with(made["secret"].as_str().expect("a secret"));
    let set = "mutation($input: CartLinesSetInput!) { cartLinesSet(input: $input) { userErrors { code field message } } }";
    let line = json!({ "productId": product, "quantity": quantity, "for": { "seats": true } });
    shop.ok(&guest, set, json!({ "input": { "cartId": made["cart"]["id"], "lines": [line] } })).await;
    let buyer = "mutation($input: CartBuyerSetInput!) { cartBuyerSet(input: $input) { userErrors { code field message } } }";
    shop.ok(&guest, buyer, json!({ "input": { "cartId": made["cart"]["id"], "email": "boss@example.test", "name": "Boss" } })).await;
    let place = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
        order { id status receipt { lines { tokens } } } userErrors { code field message } } }";
    let input = json!({ "input": {
        "cartId": made["cart"]["id"], "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": { "amount": format!("{}.00", quantity * 10), "currency": "USD" }, "idempotencyKey": "k" } });
    let order = shop.ok(&guest, place, input).await["orderPlace"]["order"].clone();
    let codes = order["receipt"]["lines"][0]["tokens"].as_array().expect("codes").iter();
    (order.clone(), codes.map(|code| code.as_str().expect("a code").to_owned()).collect())
}

/// R3, R56, R57, R62: seats are tokens; the buyer takes none; each opens every course of the library for one learner, once.
#[tokio::test]
async fn r3_r56_r57_r62_a_seat_opens_all_courses_for_one_learner_once() {
    let shop = TestApp::new().await;
    let (order, codes) = seats(&shop, 3).await;
    assert_eq!((order["status"].as_str(), codes.len()), (Some("FULFILLED"), 3));
    assert_eq!(shop.live_grants(order["id"].as_str().expect("an id")).await, 0);

    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    let bob = shop.bearer(&shop.sign_up("bob@example.test").await.1).await;
    let typed = codes[0].to_lowercase().replace('-', " ");
    let redeemed = shop.ok(&ann, REDEEM, json!({ "code": typed, "key": "a" })).await["tokenRedeem"].clone();
    assert_eq!((redeemed["token"]["status"].as_str(), redeemed["replayed"].as_bool()), (Some("REDEEMED"), Some(false)));
    let again = shop.ok(&ann, REDEEM, json!({ "code": codes[0], "key": "a" })).await["tokenRedeem"].clone();
    assert_eq!(again["replayed"], true);
    assert_eq!(shop.ok(&ann, COURSES, json!({})).await["me"]["courses"]["nodes"], json!([{ "title": "Ada" }, { "title": "Basic" }]));
    assert_eq!(shop.refused(&bob, REDEEM, json!({ "code": codes[0], "key": "b" })).await, [("TOKEN_USED".to_owned(), "code".to_owned())]);

    // Two at once for one seat: one has it.
    let (one, two) = tokio::join!(
        shop.run(&ann, REDEEM, json!({ "code": codes[1], "key": "c" })),
        shop.run(&bob, REDEEM, json!({ "code": codes[1], "key": "c" })),
    );
    let codes_of = |answer: &Value| answer["data"]["tokenRedeem"]["userErrors"][0]["code"].clone();
    let mut outcomes = [codes_of(&one), codes_of(&two)];
    outcomes.sort_by_key(Value::to_string);
    assert_eq!(outcomes, [json!("TOKEN_USED"), Value::Null]);
}

/// R62: a code that leaked is exchanged for a fresh one of the same seat.
#[tokio::test]
async fn r62_a_revoked_code_is_dead_and_its_seat_has_a_fresh_one() {
    let shop = TestApp::new().await;
    let (order, codes) = seats(&shop, 1).await;
    let operator = shop.operator();
    let list = "query($order: ID) { tokens(orderId: $order) { nodes { id status code seat } } }";
    let token = shop.ok(&operator, list, json!({ "order": order["id"] })).await["tokens"]["nodes"][0].clone();
    let revoke = "mutation($input: TokenRevokeInput!) { tokenRevoke(input: $input) { token { status code seat } userErrors { code field message } } }";
    let fresh = shop.ok(&operator, revoke, json!({ "input": { "tokenId": token["id"] } })).await["tokenRevoke"]["token"].clone();
    assert_eq!((fresh["status"].as_str(), fresh["seat"].as_i64()), (Some("FREE"), Some(1)));
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    assert_eq!(shop.refused(&ann, REDEEM, json!({ "code": codes[0], "key": "a" })).await[0].0, "TOKEN_VOID");
    shop.ok(&ann, REDEEM, json!({ "code": fresh["code"], "key": "b" })).await;
    assert_eq!(shop.refused(&ann, revoke, json!({ "input": { "tokenId": token["id"] } })).await[0].0, "NOT_FOUND");
}

/// Guesses at codes get one answer, and soon none.
#[tokio::test]
async fn guesses_at_codes_are_refused_alike_and_then_slowed_down() {
    let shop = TestApp::new().await;
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    for guess in 0..10 {
        let code = format!("000000-000000-0000{guess:02}");
        assert_eq!(shop.refused(&ann, REDEEM, json!({ "code": code, "key": code })).await[0].0, "TOKEN_INVALID");
    }
    assert_eq!(shop.top_level_code(&ann, REDEEM, json!({ "code": "000000-000000-000099", "key": "z" })).await, "RATE_LIMITED");
}
