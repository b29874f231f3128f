//! Seats in dated sessions: held when an order is placed, given when it is paid, freed when it lapses, is cancelled or refunded, and never sold
//! twice.

use bursar::app::caller::Caller;
use chrono::TimeDelta;
use domain::seat::SeatState;
use entity::{session, session_seat};
use futures_util::future::join_all;
use sandbox::Step;
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use crate::process::{Place, Server, bearer};
use crate::util::{TestApp, amount, id};

const PLACE: &str = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
    order { id status payments { id } lines { id sessionId } receipt { lines { courses { title } tokens } } }
    cart { readiness { ready missing { code } } lines { notices { code } } } userErrors { code field message } } }";

/// An event at 20.00 with one session of that many seats in June: the event, its product and the session.
pub async fn event(shop: &TestApp, key: &str, seats: u32) -> (String, String, String) {
    let operator = shop.operator();
    let made =
        shop.act(&operator, "courseCreate", json!({ "title": format!("Event {key}"), "kind": "EVENT", "key": key }), "course { id }").await;
    let course = id(&made["course"]);
    let set = json!({ "courseId": course, "enabled": true, "sku": key, "prices": [amount("20.00 USD")] });
    let product = shop.act(&operator, "courseCommerceSet", set, "course { commerce { product { id } } }").await;
    let product = id(&product["course"]["commerce"]["product"]);
    let session = dated(shop, &course, "2026-06-01T07:00:00Z", seats).await;
    (course, product, session)
}

async fn dated(shop: &TestApp, course: &str, starts_at: &str, seats: u32) -> String {
    let ends_at = crate::util::at(starts_at) + TimeDelta::hours(8);
    let input =
        json!({ "courseId": course, "startsAt": starts_at, "endsAt": ends_at.to_rfc3339(), "timeZone": "Europe/Warsaw", "seats": seats });
    id(&shop.act(&shop.operator(), "sessionCreate", input, "session { id }").await["session"])
}

/// A guest with a cart.
struct Buyer {
    cart: String,
    caller: Caller,
}

async fn buyer(shop: &TestApp, email: &str) -> Buyer {
    let made = shop.act(&shop.guest(), "cartCreate", json!({}), "cart { id } secret").await;
    let caller = shop.guest_with(made["secret"].as_str().expect("a secret"));
    let cart = id(&made["cart"]);
    shop.act(&caller, "cartBuyerSet", json!({ "cartId": cart, "email": email }), "").await;
    Buyer { cart, caller }
}

fn line(product: &str, session: &str) -> Value {
    json!({ "productId": product, "sessionId": session, "quantity": 1 })
}

async fn set(shop: &TestApp, buyer: &Buyer, line: Value) {
    shop.act(&buyer.caller, "cartLinesSet", json!({ "cartId": buyer.cart, "lines": [line] }), "").await;
}

async fn place(shop: &TestApp, buyer: &Buyer, total: &str, token: &str) -> Value {
    let input = json!({ "input": {
        "cartId": buyer.cart, "paymentMethod": { "gateway": "sandbox", "token": token },
        "expectedTotal": { "amount": total, "currency": "USD" }, "idempotencyKey": format!("{}-{token}", buyer.cart) } });
    shop.run(&buyer.caller, PLACE, input).await["data"]["orderPlace"].clone()
}

fn code(payload: &Value) -> &str {
    payload["userErrors"][0]["code"].as_str().unwrap_or("done")
}

/// Seats of a session that are taken; the books of seats must agree.
pub async fn taken(shop: &TestApp, wanted: &str) -> i64 {
    let wanted = domain::SessionId::parse(wanted).expect("a session's id").uuid();
    let rows = session_seat::Entity::find().all(shop.app.db.read()).await.expect("the seats are read");
    let living = rows.iter().filter(|row| row.session_id == wanted && row.state != SeatState::Freed.name());
    let session = session::Entity::find_by_id(wanted).one(shop.app.db.read()).await.expect("read").expect("a session");
    assert_eq!(living.map(|row| row.quantity).sum::<i64>(), session.taken, "the count is the sum of what took seats");
    assert!(session.taken <= session.seats && session.taken >= 0);
    session.taken
}

/// R1, R65: an event is bought for a session of it; the line says what is missing, what is over and what is full.
#[tokio::test]
async fn r1_an_event_is_bought_for_one_of_its_sessions() {
    let shop = TestApp::new().await;
    let (course, product, session) = event(&shop, "CONF", 3).await;
    let (_, _, elsewhere) = event(&shop, "FAIR", 3).await;
    let over = dated(&shop, &course, "2025-12-01T07:00:00Z", 3).await;
    shop.library("LIB", "Books", "5 USD", &[&shop.course("Book").await]).await;
    let book = shop.ok(&shop.guest(), "{ offer(sku: \"LIB\") { id } }", json!({})).await["offer"]["id"].clone();
    let ann = buyer(&shop, "ann@example.test").await;
    let at = |field: &str| format!("lines.0.{field}");
    for (line, expected) in [
        (json!({ "productId": product, "quantity": 1 }), ("SESSION_REQUIRED".to_owned(), at("sessionId"))),
        (line(&product, &elsewhere), ("NOT_FOUND".to_owned(), at("sessionId"))),
        (line(&product, &over), ("SESSION_OVER".to_owned(), at("sessionId"))),
        (json!({ "productId": book, "sessionId": session, "quantity": 1 }), ("INVALID".to_owned(), at("sessionId"))),
        (
            json!({ "productId": product, "sessionId": session, "quantity": 4, "for": { "seats": true } }),
            ("SESSION_FULL".to_owned(), at("quantity")),
        ),
    ] {
        assert_eq!(shop.denied(&ann.caller, "cartLinesSet", json!({ "cartId": ann.cart, "lines": [line] })).await, [expected], "{line}");
    }
    let sku_alone = json!({ "sku": "CONF" });
    assert_eq!(shop.denied(&shop.guest(), "cartCreate", sku_alone).await, [("SESSION_REQUIRED".to_owned(), "sku".to_owned())]);
    let made = shop.act(&shop.guest(), "cartCreate", json!({ "sku": "CONF", "sessionId": session }), "cart { lines { sessionId } }").await;
    assert_eq!(made["cart"]["lines"][0]["sessionId"], session);

    set(&shop, &ann, line(&product, &session)).await;
    let placed = place(&shop, &ann, "20.00", "approve").await;
    assert_eq!((code(&placed), &placed["order"]["status"]), ("done", &json!("FULFILLED")));
    assert_eq!(placed["order"]["lines"][0]["sessionId"], session);
    assert_eq!(placed["order"]["receipt"]["lines"][0]["courses"], json!([{ "title": "Event CONF" }]));
    assert_eq!(taken(&shop, &session).await, 1);

    // The offer shows what is left, and the times as the clocks there do.
    let offer = "{ offer(sku: \"CONF\") { sessions { id seats seatsLeft localStart } } }";
    let shown = shop.ok(&shop.guest(), offer, json!({})).await["offer"]["sessions"].clone();
    assert_eq!(shown, json!([{ "id": session, "seats": 3, "seatsLeft": 2, "localStart": "2026-06-01T09:00:00+02:00" }]));
    // Fewer seats than are taken are refused; so many are not.
    let shrink = json!({ "id": session, "seats": 1 });
    shop.act(&shop.operator(), "sessionUpdate", shrink, "session { seats seatsTaken }").await;
    let too_few = json!({ "input": { "id": session, "seats": 0 } });
    let update = "mutation($input: SessionUpdateInput!) { sessionUpdate(input: $input) { userErrors { code field message } } }";
    assert_eq!(shop.refused(&shop.operator(), update, too_few).await, [("INVALID".to_owned(), "seats".to_owned())]);
    shop.act(&shop.operator(), "sessionUpdate", json!({ "id": session, "seats": 5 }), "").await;
    let bob = buyer(&shop, "bob@example.test").await;
    set(&shop, &bob, line(&product, &session)).await;
    assert_eq!(code(&place(&shop, &bob, "20.00", "approve").await), "done");
    let below = json!({ "input": { "id": session, "seats": 1 } });
    assert_eq!(shop.refused(&shop.operator(), update, below).await, [("INVALID".to_owned(), "seats".to_owned())]);
}

/// Times are shown as the clocks of the session's zone do, on both sides of a change of the clocks.
#[tokio::test]
async fn times_are_shown_in_the_sessions_zone_across_a_change_of_clocks() {
    let shop = TestApp::new().await;
    let (course, _, _) = event(&shop, "CONF", 3).await;
    // In Warsaw the clocks go from 02:00 to 03:00 on 29 March 2026, and back from 03:00 to 02:00 on 25 October.
    dated(&shop, &course, "2026-03-28T23:30:00Z", 3).await;
    dated(&shop, &course, "2026-10-25T00:30:00Z", 3).await;
    let query = "{ offer(sku: \"CONF\") { sessions { localStart localEnd } } }";
    let shown = shop.ok(&shop.guest(), query, json!({})).await["offer"]["sessions"].clone();
    assert_eq!(
        shown,
        json!([
            { "localStart": "2026-03-29T00:30:00+01:00", "localEnd": "2026-03-29T09:30:00+02:00" },
            { "localStart": "2026-06-01T09:00:00+02:00", "localEnd": "2026-06-01T17:00:00+02:00" },
            { "localStart": "2026-10-25T02:30:00+02:00", "localEnd": "2026-10-25T09:30:00+01:00" },
        ])
    );
}

/// Seats are held at placing, through a declined card, and freed by cancelling and lapsing; the last one is then free for somebody else.
#[tokio::test]
async fn seats_are_held_while_an_order_waits_and_freed_when_it_ends() {
    let shop = TestApp::new().await;
    let (_, product, session) = event(&shop, "CONF", 1).await;
    let (ann, bob) = (buyer(&shop, "ann@example.test").await, buyer(&shop, "bob@example.test").await);
    for buyer in [&ann, &bob] {
        set(&shop, buyer, line(&product, &session)).await;
    }
    let declined = place(&shop, &ann, "20.00", "decline").await;
    assert_eq!((&declined["order"]["status"], taken(&shop, &session).await), (&json!("PENDING_PAYMENT"), 1));
    let refused = place(&shop, &bob, "20.00", "approve").await;
    assert_eq!((&refused["order"], code(&refused)), (&Value::Null, "SESSION_FULL"));
    // The cart says so by itself, too, and the order's own cart has nothing to complain about.
    let notices = "query($id: ID!) { cart(id: $id) { lines { notices { code blocking } } } }";
    let seen = shop.ok(&bob.caller, notices, json!({ "id": bob.cart })).await;
    assert_eq!(seen["cart"]["lines"][0]["notices"], json!([{ "code": "SESSION_FULL", "blocking": true }]));
    let own = shop.ok(&ann.caller, notices, json!({ "id": ann.cart })).await;
    assert_eq!(own["cart"]["lines"][0]["notices"], json!([]));
    shop.act(&ann.caller, "orderCancel", json!({ "orderId": declined["order"]["id"], "idempotencyKey": "c" }), "").await;
    assert_eq!(taken(&shop, &session).await, 0);

    let pending = place(&shop, &bob, "20.00", "pending").await;
    assert_eq!((code(&pending), taken(&shop, &session).await), ("done", 1));
    shop.advance(&pending["order"]["payments"][0]["id"], Step::Expire).await;
    shop.webhooks().await;
    shop.pass(TimeDelta::minutes(30));
    shop.jobs().await;
    assert_eq!(taken(&shop, &session).await, 0, "lapsed");

    // c21: Bob's money comes late. While the seat is free it is honoured.
    shop.approve(&pending["order"]["payments"][0]["id"]).await;
    shop.webhooks().await;
    let read = "query($id: ID!) { order(id: $id) { status payments { refunded { amount } } } }";
    let seen = async |order: &Value| shop.ok(&shop.operator(), read, json!({ "id": order["order"]["id"] })).await["order"].clone();
    assert_eq!((seen(&pending).await["status"].as_str(), taken(&shop, &session).await), (Some("FULFILLED"), 1));
}

/// c21: money of a lapsed order that comes after its last seat was sold goes back at once.
#[tokio::test]
async fn c21_late_money_for_a_seat_that_is_gone_goes_back() {
    let shop = TestApp::new().await;
    let (_, product, session) = event(&shop, "CONF", 1).await;
    let (ann, bob) = (buyer(&shop, "ann@example.test").await, buyer(&shop, "bob@example.test").await);
    for buyer in [&ann, &bob] {
        set(&shop, buyer, line(&product, &session)).await;
    }
    let lapsed = place(&shop, &ann, "20.00", "pending").await;
    shop.advance(&lapsed["order"]["payments"][0]["id"], Step::Expire).await;
    shop.webhooks().await;
    shop.pass(TimeDelta::minutes(30));
    shop.jobs().await;
    assert_eq!(code(&place(&shop, &bob, "20.00", "approve").await), "done");
    shop.approve(&lapsed["order"]["payments"][0]["id"]).await;
    shop.webhooks().await;
    shop.jobs().await;
    let read = "query($id: ID!) { order(id: $id) { status payments { refunded { amount } } } }";
    let order = shop.ok(&shop.operator(), read, json!({ "id": lapsed["order"]["id"] })).await["order"].clone();
    assert_eq!(order, json!({ "status": "LAPSED", "payments": [{ "refunded": { "amount": "20.00" } }] }));
    assert_eq!(taken(&shop, &session).await, 1);
}

/// Nobody has two seats in one session: not by a second order, not by being named twice, not by a seat that somebody hands out.
#[tokio::test]
async fn buying_the_same_session_twice_is_refused() {
    let shop = TestApp::new().await;
    let (_, product, session) = event(&shop, "CONF", 10).await;
    let (_, token) = shop.sign_up("ann@example.test").await;
    let ann = shop.bearer(&token).await;
    let first = buyer(&shop, "Ann@Example.test").await;
    set(&shop, &first, line(&product, &session)).await;
    assert_eq!(code(&place(&shop, &first, "20.00", "approve").await), "done");
    let second = buyer(&shop, "ann@example.test").await;
    set(&shop, &second, line(&product, &session)).await;
    let refused = place(&shop, &second, "20.00", "approve").await;
    assert_eq!((&refused["order"], code(&refused)), (&Value::Null, "ALREADY_HAS_SEAT"));
    // Signed in, the cart itself says so.
    let made = shop.act(&ann, "cartCreate", json!({}), "cart { id }").await;
    let own = json!({ "cartId": made["cart"]["id"], "lines": [line(&product, &session)] });
    assert_eq!(shop.denied(&ann, "cartLinesSet", own).await, [("ALREADY_HAS_SEAT".to_owned(), "lines.0.sessionId".to_owned())]);
    // One learner by two lines of one cart.
    let twice = buyer(&shop, "bob@example.test").await;
    let named = json!({ "productId": product, "sessionId": session, "quantity": 1, "for": { "learner": { "email": "BOB@example.test" } } });
    shop.act(&twice.caller, "cartLinesSet", json!({ "cartId": twice.cart, "lines": [line(&product, &session), named] }), "").await;
    assert_eq!(code(&place(&shop, &twice, "40.00", "approve").await), "ALREADY_HAS_SEAT");
    assert_eq!(taken(&shop, &session).await, 1);

    // A token of the session is nothing for Ann, and stays for somebody else.
    let boss = buyer(&shop, "boss@example.test").await;
    set(&shop, &boss, json!({ "productId": product, "sessionId": session, "quantity": 2, "for": { "seats": true } })).await;
    let order = place(&shop, &boss, "40.00", "approve").await["order"].clone();
    assert_eq!(taken(&shop, &session).await, 3);
    let tokens = &order["receipt"]["lines"][0]["tokens"];
    let redeem = |key: &str| json!({ "code": tokens[0], "idempotencyKey": key });
    assert_eq!(shop.denied(&ann, "tokenRedeem", redeem("a")).await, [("ALREADY_HAS_SEAT".to_owned(), "code".to_owned())]);
    let bob = shop.bearer(&shop.sign_up("bob@example.test").await.1).await;
    shop.act(&bob, "tokenRedeem", redeem("b"), "token { status }").await;
    assert_eq!(
        shop.ok(&bob, "{ me { courses { nodes { title } } } }", json!({})).await["me"]["courses"]["nodes"],
        json!([{ "title": "Event CONF" }])
    );
    assert_eq!(taken(&shop, &session).await, 3, "redeeming takes no further seat");

    // Refunding the line frees Bob's seat and the one that nobody has.
    let refund = json!({ "orderId": order["id"], "reason": "called off", "idempotencyKey": "r",
        "lines": [{ "orderLineId": order["lines"][0]["id"], "quantity": 2 }] });
    shop.act(&shop.operator(), "orderRefund", refund, "order { status }").await;
    assert_eq!(taken(&shop, &session).await, 1);
}

/// A whole refund and the end of an entitlement free the seat; the learner can come back.
#[tokio::test]
async fn refunds_and_ended_access_free_the_seat() {
    let shop = TestApp::new().await;
    let (_, product, session) = event(&shop, "CONF", 1).await;
    for ended in ["refund", "entitlementEnd"] {
        let ann = buyer(&shop, "ann@example.test").await;
        set(&shop, &ann, line(&product, &session)).await;
        let order = place(&shop, &ann, "20.00", "approve").await["order"].clone();
        assert_eq!((&order["status"], taken(&shop, &session).await), (&json!("FULFILLED"), 1), "{ended}");
        if ended == "refund" {
            let input = json!({ "orderId": order["id"], "reason": "asked", "idempotencyKey": "r", "lines": [{ "orderLineId": order["lines"][0]["id"], "quantity": 1 }] });
            shop.act(&shop.operator(), "orderRefund", input, "").await;
        } else {
            let read = "query($id: ID!) { order(id: $id) { accountId } }";
            let account = shop.ok(&shop.operator(), read, json!({ "id": order["id"] })).await["order"]["accountId"].clone();
            let event = shop.ok(&shop.operator(), "{ courses { nodes { id } } }", json!({})).await["courses"]["nodes"][0]["id"].clone();
            let explain = "query($course: ID!, $account: ID) { accessExplain(courseId: $course, accountId: $account) { open grants { entitlementId opens target { kind id } } } }";
            let told = shop.ok(&shop.operator(), explain, json!({ "course": event, "account": account })).await["accessExplain"].clone();
            let open = told["grants"].as_array().expect("grants").iter().find(|grant| grant["opens"] == true).expect("an open one").clone();
            assert_eq!(open["target"], json!({ "kind": "SESSION", "id": session }));
            let end = json!({ "entitlementId": open["entitlementId"], "reason": "cannot come" });
            shop.act(&shop.operator(), "entitlementEnd", end, "").await;
        }
        assert_eq!(taken(&shop, &session).await, 0, "{ended}");
    }
}

/// A session can have a product of its own, at a price of its own; the event's product sells it as well.
#[tokio::test]
async fn a_session_can_have_a_product_of_its_own() {
    let shop = TestApp::new().await;
    let (course, product, _) = event(&shop, "CONF", 5).await;
    let input = json!({ "courseId": course, "startsAt": "2026-09-01T07:00:00Z", "endsAt": "2026-09-01T15:00:00Z", "seats": 2,
        "commerce": { "sku": "CONF-SEP", "prices": [amount("15.00 USD")] } });
    let made = shop.act(&shop.operator(), "sessionCreate", input, "session { id product { id sku listed } }").await["session"].clone();
    assert_eq!((&made["product"]["sku"], &made["product"]["listed"]), (&json!("CONF-SEP"), &json!(true)));
    let ann = buyer(&shop, "ann@example.test").await;
    set(&shop, &ann, json!({ "productId": made["product"]["id"], "quantity": 1 })).await;
    let order = place(&shop, &ann, "15.00", "approve").await["order"].clone();
    assert_eq!(order["lines"][0]["sessionId"], made["id"]);
    assert_eq!(taken(&shop, &id(&made)).await, 1);
    let bob = buyer(&shop, "bob@example.test").await;
    set(&shop, &bob, line(&product, &id(&made))).await;
    assert_eq!(code(&place(&shop, &bob, "20.00", "approve").await), "done");
    assert_eq!(taken(&shop, &id(&made)).await, 2);
    let taken_sku = json!({ "courseId": course, "startsAt": "2026-09-02T07:00:00Z", "endsAt": "2026-09-02T15:00:00Z", "seats": 2,
        "commerce": { "sku": "conf", "prices": [amount("15.00 USD")] } });
    assert_eq!(shop.denied(&shop.operator(), "sessionCreate", taken_sku).await[0].0, "SKU_TAKEN");
}

/// R2: a session with a product of its own is hidden with its event, in lists, by its SKU and in carts, and seen by the members of the group.
#[tokio::test]
async fn r2_a_session_of_a_hidden_event_is_hidden() {
    let shop = TestApp::new().await;
    let (course, _, _) = event(&shop, "CONF", 5).await;
    let input = json!({ "courseId": course, "startsAt": "2026-09-01T07:00:00Z", "endsAt": "2026-09-01T15:00:00Z", "seats": 2,
        "commerce": { "sku": "CONF-SEP", "prices": [amount("15.00 USD")] } });
    let made = shop.act(&shop.operator(), "sessionCreate", input, "session { product { id } }").await["session"]["product"].clone();
    let hide = json!({ "title": "Inner circle", "content": [{ "courseId": course, "sees": true }] });
    let group = id(&shop.act(&shop.operator(), "groupCreate", hide, "group { id }").await["group"]);
    let (ann, token) = shop.sign_up("ann@example.test").await;
    let ann_calls = shop.bearer(&token).await;
    let query = "{ offers { nodes { sku } } offer(sku: \"CONF-SEP\") { sku } }";
    let seen = async |caller: &Caller| shop.ok(caller, query, json!({})).await;
    assert_eq!(seen(&shop.guest()).await, json!({ "offers": { "nodes": [] }, "offer": null }));
    assert_eq!(seen(&ann_calls).await["offer"], Value::Null);
    let bob = buyer(&shop, "bob@example.test").await;
    let lines = json!({ "cartId": bob.cart, "lines": [{ "productId": made["id"], "quantity": 1 }] });
    assert_eq!(shop.denied(&bob.caller, "cartLinesSet", lines).await[0].0, "NOT_FOUND");
    shop.act(&shop.operator(), "groupMembersAdd", json!({ "groupId": group, "accountIds": [ann] }), "").await;
    let all = seen(&ann_calls).await;
    assert_eq!((&all["offers"]["nodes"].as_array().map(Vec::len), &all["offer"]["sku"]), (&Some(2), &json!("CONF-SEP")));
}

/// Confirmation and receipt of a seat say when and where it is, by the clocks of the session's zone, also across a change of clocks.
#[tokio::test]
async fn a_seats_mail_and_receipt_say_when_and_where() {
    let shop = TestApp::new().await;
    let (course, product, _) = event(&shop, "CONF", 5).await;
    let night = json!({ "courseId": course, "startsAt": "2026-03-29T00:30:00Z", "endsAt": "2026-03-29T03:00:00Z", "seats": 2,
        "timeZone": "Europe/Warsaw", "location": "Hala <1>" });
    let night = id(&shop.act(&shop.operator(), "sessionCreate", night, "session { id }").await["session"]);
    let ann = buyer(&shop, "ann@example.test").await;
    set(&shop, &ann, line(&product, &night)).await;
    let order = place(&shop, &ann, "20.00", "approve").await["order"].clone();
    let receipt =
        shop.ok(&ann.caller, "query($id: ID!) { order(id: $id) { receipt { html lines { when place } } } }", json!({ "id": order["id"] }));
    let receipt = receipt.await["order"]["receipt"].clone();
    let when = "2026-03-29 01:30 CET – 2026-03-29 05:00 CEST";
    assert_eq!(receipt["lines"], json!([{ "when": when, "place": "Hala <1>" }]));
    assert!(receipt["html"].as_str().is_some_and(|html| html.contains(when) && html.contains("Hala &lt;1&gt;")), "{receipt:#}");
    shop.jobs().await;
    let mails = shop.ok(&shop.operator(), "{ outbox { nodes { text html } } }", json!({})).await["outbox"]["nodes"].clone();
    assert!(mails[0]["text"].as_str().is_some_and(|text| text.contains(&format!("{when}, Hala <1>"))), "{mails:#}");
    assert!(mails[0]["html"].as_str().is_some_and(|html| html.contains(when) && html.contains("Hala &lt;1&gt;")), "{mails:#}");
}

/// R65: a coupon of an event covers all its sessions, one of a session only that.
#[tokio::test]
async fn r65_coupons_of_events_and_sessions_reach_their_seats() {
    let shop = TestApp::new().await;
    let (course, product, june) = event(&shop, "CONF", 5).await;
    let july = dated(&shop, &course, "2026-07-01T07:00:00Z", 5).await;
    let (_, fair, other) = event(&shop, "FAIR", 5).await;
    for (code, limit) in [
        ("EVENT", json!({ "eventIds": [course] })),
        ("JUNE", json!({ "sessionIds": [june] })),
        ("SEATS", json!({ "courseKinds": ["EVENT"] })),
        ("SKU", json!({ "productIds": [product] })),
    ] {
        let mut input = json!({ "kind": "DISCOUNT", "codes": [code], "percent": "50" });
        input.as_object_mut().expect("an object").extend(limit.as_object().expect("a limit").clone());
        shop.act(&shop.operator(), "couponCreate", input, "coupon { id }").await;
    }
    for (line, expected) in [
        (line(&product, &june), ["EVENT", "JUNE", "SEATS", "SKU"].as_slice()),
        (line(&product, &july), &["EVENT", "SEATS", "SKU"]),
        (line(&fair, &other), &["SEATS"]),
    ] {
        let mut reaching = Vec::new();
        for code in ["EVENT", "JUNE", "SEATS", "SKU"] {
            let ann = buyer(&shop, "ann@example.test").await;
            set(&shop, &ann, line.clone()).await;
            let add =
                "mutation($input: CartCouponAddInput!) { cartCouponAdd(input: $input) { cart { total { amount } } userErrors { code } } }";
            let answer = shop.run(&ann.caller, add, json!({ "input": { "cartId": ann.cart, "code": code } })).await;
            if answer["data"]["cartCouponAdd"]["cart"]["total"]["amount"] == "10.00" {
                reaching.push(code);
            }
        }
        assert_eq!(reaching, expected, "{line}");
    }
}

async fn guest(server: &Server, number: usize, line: &Value) -> (String, String) {
    let create = "mutation { cartCreate(input: {}) { secret cart { id } userErrors { code field message } } }";
    let made = server.ok(&[], create, json!({})).await["cartCreate"].clone();
    let (cart, secret) = (id(&made["cart"]), made["secret"].as_str().expect("a secret").to_owned());
    let set = "mutation($lines: CartLinesSetInput!, $buyer: CartBuyerSetInput!) {
        cartLinesSet(input: $lines) { userErrors { code field message } } cartBuyerSet(input: $buyer) { userErrors { code field message } } }";
    let input =
        json!({ "lines": { "cartId": cart, "lines": [line] }, "buyer": { "cartId": cart, "email": format!("rush{number}@example.test") } });
    server.ok(&[("Cart-Secret", &secret)], set, input).await;
    (cart, secret)
}

/// A hundred buyers at once, by HTTP, for the last ten seats: ten have one, ninety are refused without being charged, nobody sees a fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_buyers_at_once_ten_have_the_last_ten_seats() {
    let here = Place::new().await;
    let server = here.serve(&[]).await;
    let operator = bearer(&here.key(&[]).await);
    let headers = [("Authorization", operator.as_str())];
    let create = "mutation { courseCreate(input: { title: \"Conference\", kind: EVENT, key: \"CONF\" }) { course { id } userErrors { code field message } } }";
    let course = server.ok(&headers, create, json!({})).await["courseCreate"]["course"]["id"].clone();
    let sell = "mutation($set: CourseCommerceSetInput!, $session: SessionCreateInput!) {
        courseCommerceSet(input: $set) { course { commerce { product { id } } } userErrors { code field message } }
        sessionCreate(input: $session) { session { id } userErrors { code field message } } }";
    let input = json!({ "set": { "courseId": course, "enabled": true, "sku": "CONF", "prices": [amount("20.00 USD")] },
        "session": { "courseId": course, "startsAt": "2090-06-01T07:00:00Z", "endsAt": "2090-06-01T15:00:00Z", "seats": 10 } });
    let sold = server.ok(&headers, sell, input).await;
    let product = id(&sold["courseCommerceSet"]["course"]["commerce"]["product"]);
    let session = id(&sold["sessionCreate"]["session"]);
    let mut carts = Vec::new();
    for batch in (0..100).collect::<Vec<_>>().chunks(20) {
        carts.extend(join_all(batch.iter().map(|number| async { guest(&server, *number, &line(&product, &session)).await })).await);
    }
    let answers = join_all(carts.iter().map(|(cart, secret)| {
        let input = json!({ "input": { "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
            "expectedTotal": { "amount": "20.00", "currency": "USD" }, "idempotencyKey": cart } });
        let request = server.request(&[("Cart-Secret", secret)], PLACE, input);
        async { request.send().await.expect("an answer").json::<Value>().await.expect("JSON") }
    }))
    .await;
    assert!(answers.iter().all(|answer| answer.get("errors").is_none()), "no fault: {answers:?}");
    let placed = answers.iter().filter(|answer| answer["data"]["orderPlace"]["order"]["status"] == "FULFILLED").count();
    let refused = answers.iter().filter(|answer| answer["data"]["orderPlace"]["userErrors"][0]["code"] == "SESSION_FULL").count();
    assert_eq!((placed, refused), (10, 90));
    let query = "query($id: ID!) { node(id: $id) { ... on Session { seats seatsTaken } } orders(first: 1) { totalCount } }";
    let seen = server.ok(&headers, query, json!({ "id": session })).await;
    assert_eq!(seen, json!({ "node": { "seats": 10, "seatsTaken": 10 }, "orders": { "totalCount": 10 } }));
    server.stop().await;
}
