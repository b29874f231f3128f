//! Payments by an operator's hand, reservations that come late, and where a buyer's browser may go afterwards.

use chrono::TimeDelta;
use port::{OpContext, PaymentGateway, PaymentRef, PaymentStatus};
use sandbox::Step;
use serde_json::{Value, json};

use crate::util::{TestApp, amount};

/// A shop whose operators capture by hand, with one library at 55.00 USD.
async fn by_hand() -> TestApp {
    let shop = TestApp::with_gateways(|gateways| gateways.0.iter_mut().for_each(|instance| instance.capture_at_once = false)).await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    shop
}

/// A guest's order, paid with this token of the sandbox: the order, and the secret of its cart.
async fn placed(shop: &TestApp, email: &str, token: &str) -> (Value, String) {
    let (cart, secret) = shop.guest_cart(&["L-1"]).await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": email }), "").await;
    let input = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": token },
        "expectedTotal": amount("55.00 USD"), "idempotencyKey": email });
    (shop.act(&guest, "orderPlace", input, "order { id payments { id status } }").await["order"].clone(), secret)
}

async fn payment(shop: &TestApp, order: &Value) -> Value {
    let query = "query($id: ID!) { order(id: $id) { payments { status captured { amount } reference } } }";
    shop.ok(&shop.operator(), query, json!({ "id": order["id"] })).await["order"]["payments"][0].clone()
}

/// What two calls about one payment at once come to: the codes of both, the done one first.
fn codes(answers: [&Value; 2]) -> [Value; 2] {
    let mut codes = answers.map(|answer| {
        assert!(answer.get("errors").is_none(), "{answer:#}");
        answer["data"].as_object().and_then(|data| data.values().next()).expect("one field")["userErrors"][0]["code"].clone()
    });
    codes.sort_by_key(|code| !code.is_null());
    codes
}

/// Of two operators who capture and void one payment at the same time, one has their way, and the other is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_decide_about_a_payment_at_once_one_is_told_no() {
    let shop = by_hand().await;
    let operator = shop.operator();
    let act = |name: &str| {
        let (first, rest) = name.split_at(1);
        format!(
            "mutation($input: {}{rest}Input!) {{ {name}(input: $input) {{ userErrors {{ code field message }} }} }}",
            first.to_uppercase()
        )
    };
    for (round, (one, other)) in
        [("paymentCapture", "paymentVoid"), ("paymentVoid", "paymentCapture"), ("paymentCapture", "paymentCapture")].into_iter().enumerate()
    {
        let (order, _) = placed(&shop, &format!("buyer{round}@example.test"), "authorise").await;
        assert_eq!(order["payments"][0]["status"], "AUTHORISED");
        let input = |key: &str| json!({ "input": { "paymentId": order["payments"][0]["id"], "idempotencyKey": format!("{key} {round}") } });
        let (first, second) = (act(one), act(other));
        let both = tokio::join!(shop.run(&operator, &first, input("one")), shop.run(&operator, &second, input("two")));
        let [done, told] = codes([&both.0, &both.1]);
        assert_eq!(done, Value::Null, "{both:#?}");
        assert!(told == "PAYMENT_UNDER_WAY" || told == "PAYMENT_STATE", "{both:#?}");
        let captured = both.0["data"].as_object().is_some_and(|data| {
            let won = data.values().next().is_some_and(|payload| payload["userErrors"][0].is_null());
            (if won { one } else { other }) == "paymentCapture"
        });
        let after = payment(&shop, &order).await;
        assert_eq!(after["status"], if captured { "CAPTURED" } else { "CANCELLED" }, "the one who was not told no had their way");
    }
}

/// While a capture or void waits for its gateway, no other is begun.
#[tokio::test]
async fn a_capture_that_is_under_way_is_named() {
    use bursar::outbox::{Job, enqueue};
    let shop = by_hand().await;
    let (order, _) = placed(&shop, "ann@example.test", "authorise").await;
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let id = domain::PaymentId::parse(&text(&order["payments"][0]["id"])).expect("a payment's id").uuid();
    let object = domain::OrderId::parse(&text(&order["id"])).expect("an order's id").uuid().to_string();
    let (now, later) = (shop.app.now(), shop.app.now() + TimeDelta::minutes(1));
    let job = Job::CapturePayment { payment: id };
    enqueue(shop.app.db.write(), bursar::app::entropy::next_uuid(), &job, object, later, now).await.expect("it waits");
    let input = json!({ "paymentId": order["payments"][0]["id"], "idempotencyKey": "v" });
    let refused = shop.denied(&shop.operator(), "paymentVoid", input.clone()).await;
    assert_eq!(refused, [("PAYMENT_UNDER_WAY".to_owned(), "paymentId".to_owned())]);
    shop.pass(TimeDelta::minutes(1));
    shop.jobs().await;
    assert_eq!(payment(&shop, &order).await["status"], "CAPTURED");
    assert_eq!(shop.denied(&shop.operator(), "paymentVoid", input).await[0].0, "PAYMENT_STATE");
}

/// A reservation that comes after its attempt ran out is given back, whether its order still waits or has lapsed; nobody captures it.
#[tokio::test]
async fn a_reservation_that_comes_too_late_is_given_back() {
    let shop = by_hand().await;
    for (email, lapsed) in [("ann@example.test", false), ("bo@example.test", true)] {
        let (order, _) = placed(&shop, email, "redirect").await;
        let id = &order["payments"][0]["id"];
        shop.advance(id, Step::Expire).await;
        shop.webhooks().await;
        assert_eq!(payment(&shop, &order).await["status"], "EXPIRED");
        if lapsed {
            shop.pass(TimeDelta::minutes(31));
            shop.jobs().await;
        }
        shop.advance(id, Step::Approve).await;
        shop.webhooks().await;
        let after = payment(&shop, &order).await;
        assert_eq!((&after["status"], &after["captured"]["amount"]), (&json!("CANCELLED"), &json!("0.00")), "lapsed: {lapsed}");
        let reference = PaymentRef::new(after["reference"].as_str().expect("a reference"));
        let there = shop.sandbox.fetch(&OpContext::new("ask", shop.app.now()), &reference).await.expect("the sandbox knows it");
        assert_eq!(there.status, PaymentStatus::Cancelled, "the gateway holds nothing any more");
        let query = "query($id: ID!) { order(id: $id) { status } }";
        let status = shop.ok(&shop.operator(), query, json!({ "id": order["id"] })).await["order"]["status"].clone();
        assert_eq!(status, if lapsed { "LAPSED" } else { "PENDING_PAYMENT" });
    }
    assert_eq!(shop.ok(&shop.operator(), "{ jobs(status: \"PARKED\") { totalCount } }", json!({})).await["jobs"]["totalCount"], 0);
}

/// A buyer's browser is sent back to the shop and to the origins that its settings list, and nowhere else.
#[tokio::test]
async fn a_browser_is_sent_back_to_the_shops_own_origins_only() {
    let shop = TestApp::with(|shop| {
        shop.public_url = "https://shop.example".to_owned();
        shop.return_origins = vec!["https://www.shop.example:8443".to_owned()];
    })
    .await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let (cart, secret) = shop.guest_cart(&["L-1"]).await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "ann@example.test" }), "").await;
    let place = |url: &str| {
        json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "decline", "returnUrl": url },
            "expectedTotal": amount("55.00 USD"), "idempotencyKey": format!("k{url}") })
    };
    for url in [
        "https://evil.example/",
        "https://shop.example.evil.example/",
        "https://shop.example@evil.example/",
        "https://shop.example:444/",
        "http://shop.example/",
        "https://www.shop.example/",
        "http://127.0.0.1:8080/",
        "http://localhost/",
        "javascript:alert(1)",
        "//shop.example/",
        "/thanks",
        "",
    ] {
        let refused = shop.denied(&guest, "orderPlace", place(url)).await;
        assert_eq!(refused, [("INVALID".to_owned(), "paymentMethod.returnUrl".to_owned())], "{url}");
    }
    let order = shop.act(&guest, "orderPlace", place("https://shop.example/thanks?x=1#y"), "order { id }").await["order"]["id"].clone();
    let retry = |url: &str| json!({ "orderId": order, "paymentMethod": { "gateway": "sandbox", "token": "decline", "returnUrl": url }, "idempotencyKey": url });
    assert_eq!(shop.denied(&guest, "paymentRetry", retry("https://evil.example/")).await[0].1, "paymentMethod.returnUrl");
    shop.act(&guest, "paymentRetry", retry("https://WWW.shop.example:8443/back"), "").await;

    // Where a shop is tried out, its pages may be served at another port of the same machine.
    let local = TestApp::new().await;
    local.shelf("L-1", "55.00", &["Rust"]).await;
    let (cart, secret) = local.guest_cart(&["L-1"]).await;
    let guest = local.guest_with(&secret);
    local.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "ann@example.test" }), "").await;
    let input = |url: &str| {
        json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "decline", "returnUrl": url },
            "expectedTotal": amount("55.00 USD"), "idempotencyKey": format!("k{url}") })
    };
    assert_eq!(local.denied(&guest, "orderPlace", input("https://shop.example/")).await[0].1, "paymentMethod.returnUrl");
    local.act(&guest, "orderPlace", input("http://localhost:3000/thanks"), "").await;
}
