//! The limits of coupons, each where it alone decides: one coupon with that one limit, a cart that it lets through and one that it does not.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::process::{Place, bearer};
use crate::util::{TestApp, amount, id};

/// What a coupon of 10 % does in a cart: its savings, or the code of the reason why it does nothing.
const OUTCOME: &str = "cart { total { amount } coupons { savings { amount } reason { code } } }";

/// A shop whose two products differ in everything that a limit can ask for: FIRST is a course of provider One, sold alone at 20.00; SECOND a
/// library at 40.00 with an exam of provider Two and product code EXAMS.
struct Shop {
    shop: TestApp,
    /// The products' ids.
    products: [String; 2],
    /// The providers' ids.
    providers: [String; 2],
}

impl Shop {
    async fn new() -> Self {
        let shop = TestApp::new().await;
        let operator = shop.operator();
        let mut providers = Vec::new();
        let mut courses = Vec::new();
        for (name, kind) in [("One", "COURSE"), ("Two", "EXAM")] {
            let provider = id(&shop.act(&operator, "providerSet", json!({ "name": name }), "provider { id }").await["provider"]);
            let course = json!({ "title": name, "kind": kind, "providerId": provider });
            courses.push(id(&shop.act(&operator, "courseCreate", course, "course { id }").await["course"]));
            providers.push(provider);
        }
        let alone =
            json!({ "courseId": courses[0], "enabled": true, "sku": "FIRST", "prices": [amount("20.00 USD"), amount("18.00 EUR")] });
        let first = shop.act(&operator, "courseCommerceSet", alone, "course { product { id } }").await["course"]["product"].clone();
        let library = json!({ "title": "Second", "sku": "SECOND", "courseIds": [courses[1]], "productCode": "EXAMS",
            "prices": [amount("40.00 USD"), amount("36.00 EUR")] });
        let second = shop.act(&operator, "libraryCreate", library, "library { product { id } }").await["library"]["product"].clone();
        let [one, two] = &providers[..] else { panic!("two providers") };
        Self { products: [id(&first), id(&second)], providers: [one.clone(), two.clone()], shop }
    }

    /// A coupon of 10 % off the order, used as often as one likes, with this code and these limits and no others.
    async fn coupon(&self, code: &str, limits: Value) {
        let mut input = json!({ "kind": "DISCOUNT", "percent": "10", "scope": "ORDER", "codes": [code], "usesPerCustomer": null });
        input.as_object_mut().expect("an object").extend(limits.as_object().expect("limits").clone());
        self.shop.act(&self.shop.operator(), "couponCreate", input, "coupon { id }").await;
    }

    /// A guest's cart with one line in this context; its id and secret.
    async fn cart(&self, sku: &str, context: Value) -> (String, String) {
        let input = json!({ "sku": sku, "context": context });
        let made = self.shop.act(&self.shop.guest(), "cartCreate", input, "cart { id } secret").await;
        (id(&made["cart"]), made["secret"].as_str().expect("a secret").to_owned())
    }

    /// What the coupon does in a new cart with one of this SKU.
    async fn outcome(&self, sku: &str, code: &str, context: Value) -> String {
        let (cart, secret) = self.cart(sku, context).await;
        self.added(&cart, &secret, code).await
    }

    /// What the coupon does in this cart.
    async fn added(&self, cart: &str, secret: &str, code: &str) -> String {
        let query =
            format!("mutation($input: CartCouponAddInput!) {{ cartCouponAdd(input: $input) {{ {OUTCOME} userErrors {{ code }} }} }}");
        let answer = self.shop.run(&self.shop.guest_with(secret), &query, json!({ "input": { "cartId": cart, "code": code } })).await;
        let payload = &answer["data"]["cartCouponAdd"];
        let said = [
            &payload["userErrors"][0]["code"],
            &payload["cart"]["coupons"][0]["reason"]["code"],
            &payload["cart"]["coupons"][0]["savings"]["amount"],
        ];
        said.iter().find_map(|value| value.as_str()).unwrap_or_else(|| panic!("no outcome in {answer:#}")).to_owned()
    }

    /// Places a cart of FIRST with the coupon for this buyer; what it saved, or the sentence of the refusal.
    async fn bought(&self, code: &str, email: &str, total: &str) -> String {
        let (cart, secret) = self.cart("FIRST", json!({})).await;
        self.added(&cart, &secret, code).await;
        self.placed(&cart, &secret, email, total).await
    }

    async fn placed(&self, cart: &str, secret: &str, email: &str, total: &str) -> String {
        let guest = self.shop.guest_with(secret);
        self.shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": email, "name": "Ann" }), "").await;
        let query = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) { order { coupons { savings { amount } } } userErrors { code message } } }";
        let input = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
            "expectedTotal": amount(total), "idempotencyKey": cart });
        let answer = self.shop.run(&guest, query, json!({ "input": input })).await["data"]["orderPlace"].clone();
        match answer["order"]["coupons"][0]["savings"]["amount"].as_str() {
            Some(savings) => savings.to_owned(),
            None => format!("{}: {}", answer["userErrors"][0]["code"].as_str().expect("a refusal"), answer["userErrors"][0]["message"]),
        }
    }
}

/// R63, R64: a provider, a product, a product code and a kind of course each decide alone which lines a coupon reaches.
#[tokio::test]
async fn r63_provider_product_product_code_and_kind_each_decide_alone() {
    let here = Shop::new().await;
    let limits = [
        ("PROVIDER", json!({ "providerIds": [here.providers[1]] })),
        ("PRODUCT", json!({ "productIds": [here.products[1]] })),
        ("PRODUCT-CODE", json!({ "productCodes": ["EXAMS"] })),
        ("KIND", json!({ "courseKinds": ["EXAM"] })),
    ];
    for (code, limit) in limits {
        here.coupon(code, limit).await;
        assert_eq!(here.outcome("SECOND", code, json!({})).await, "4.00", "{code} lets its own through");
        assert_eq!(here.outcome("FIRST", code, json!({})).await, "REACHES_NO_LINE", "{code} stops others");
    }
}

/// R63: a company and a currency each decide alone in which carts a coupon works.
#[tokio::test]
async fn r63_company_and_currency_each_decide_alone() {
    let here = Shop::new().await;
    let company = json!({ "name": "Acme", "type": "RETAIL" });
    let company = id(&here.shop.act(&here.shop.operator(), "companyCreate", company, "company { id }").await["company"]);
    here.coupon("ACME", json!({ "companyIds": [company] })).await;
    assert_eq!(here.outcome("FIRST", "ACME", json!({ "companyId": company })).await, "2.00");
    assert_eq!(here.outcome("FIRST", "ACME", json!({})).await, "COUPON_OTHER_COMPANY");
    here.coupon("EURO", json!({ "currencies": ["EUR"] })).await;
    assert_eq!(here.outcome("FIRST", "EURO", json!({ "currency": "EUR" })).await, "1.80");
    assert_eq!(here.outcome("FIRST", "EURO", json!({ "currency": "USD" })).await, "COUPON_OTHER_CURRENCY");
}

/// R63: a minimum purchase decides alone, to the cent: 40.00 is enough for 40.00 and not for 40.01.
#[tokio::test]
async fn r63_a_minimum_purchase_decides_alone() {
    let here = Shop::new().await;
    here.coupon("FORTY", json!({ "minimumPurchase": amount("40.00 USD") })).await;
    here.coupon("MORE", json!({ "minimumPurchase": amount("40.01 USD") })).await;
    assert_eq!(here.outcome("SECOND", "FORTY", json!({})).await, "4.00");
    assert_eq!(here.outcome("SECOND", "MORE", json!({})).await, "COUPON_MINIMUM");
    assert_eq!(here.outcome("FIRST", "FORTY", json!({})).await, "COUPON_MINIMUM");
}

/// R63, c11: a window decides alone: its first instant is in it, its last is not.
#[tokio::test]
async fn r63_c11_a_window_decides_alone() {
    let here = Shop::new().await;
    let starts = here.shop.app.now() + TimeDelta::hours(1);
    here.coupon("LATER", json!({ "startsAt": starts.to_rfc3339() })).await;
    here.coupon("SOON-OVER", json!({ "endsAt": starts.to_rfc3339() })).await;
    here.shop.pass(TimeDelta::minutes(60) - TimeDelta::milliseconds(1));
    assert_eq!(here.outcome("FIRST", "LATER", json!({})).await, "COUPON_NOT_STARTED");
    assert_eq!(here.outcome("FIRST", "SOON-OVER", json!({})).await, "2.00");
    here.shop.pass(TimeDelta::milliseconds(1));
    assert_eq!(here.outcome("FIRST", "LATER", json!({})).await, "2.00");
    assert_eq!(here.outcome("FIRST", "SOON-OVER", json!({})).await, "COUPON_EXPIRED");
}

/// R36, R63: an audience decides alone, without a prefix that would give it, and is judged at placing.
#[tokio::test]
async fn r36_r63_an_audience_decides_alone() {
    let here = Shop::new().await;
    here.coupon("FRESH", json!({ "audience": "NEW" })).await;
    here.coupon("BACK", json!({ "audience": "RECURRING" })).await;
    assert!(here.bought("BACK", "ann@example.test", "18.00 USD").await.starts_with("PRICE_CHANGED"));
    assert_eq!(here.bought("FRESH", "ann@example.test", "18.00 USD").await, "2.00");
    assert!(here.bought("FRESH", "ann@example.test", "18.00 USD").await.starts_with("PRICE_CHANGED"));
    assert_eq!(here.bought("BACK", "ann@example.test", "18.00 USD").await, "2.00");
}

/// R63: a number of uses decides alone, whoever the customer is; so does a number of uses per customer, however many are left.
#[tokio::test]
async fn r63_uses_and_uses_per_customer_each_decide_alone() {
    let here = Shop::new().await;
    here.coupon("TWO-IN-ALL", json!({ "totalUses": 2 })).await;
    assert_eq!(here.bought("TWO-IN-ALL", "ann@example.test", "18.00 USD").await, "2.00");
    let (cart, secret) = here.cart("FIRST", json!({})).await;
    assert_eq!(here.added(&cart, &secret, "TWO-IN-ALL").await, "2.00");
    assert_eq!(here.bought("TWO-IN-ALL", "ann@example.test", "18.00 USD").await, "2.00", "the same customer again");
    let late = here.placed(&cart, &secret, "bob@example.test", "18.00 USD").await;
    assert!(late.starts_with("PRICE_CHANGED"), "{late}");
    assert_eq!(here.outcome("FIRST", "TWO-IN-ALL", json!({})).await, "COUPON_EXHAUSTED");

    here.coupon("TWO-EACH", json!({ "usesPerCustomer": 2 })).await;
    for (email, saved) in [("ann", true), ("ann", true), ("ann", false), ("bob", true), ("bob", true), ("bob", false)] {
        let outcome = here.bought("TWO-EACH", &format!("{email}@example.test"), "18.00 USD").await;
        assert_eq!(outcome == "2.00", saved, "{email}: {outcome}");
    }
}

/// R69: adding a coupon costs the same number of statements however many lines and coupons stand in the cart already.
#[tokio::test]
async fn r69_adding_a_coupon_is_a_fixed_number_of_statements() {
    let here = Shop::new().await;
    let mut skus = vec!["FIRST".to_owned(), "SECOND".to_owned()];
    for number in 0..18 {
        let sku = format!("MORE-{number}");
        here.shop.shelf(&sku, "10.00", &["One", "Two"]).await;
        skus.push(sku);
    }
    for number in 0..8 {
        here.coupon(
            &format!("C{number}"),
            json!({ "minimumPurchase": amount("1.00 USD"), "totalUses": 100, "providerIds": [here.providers[0]] }),
        )
        .await;
    }
    let query = format!("mutation($input: CartCouponAddInput!) {{ cartCouponAdd(input: $input) {{ {OUTCOME} userErrors {{ code }} }} }}");
    let mut counts = Vec::new();
    for (lines, before) in [(1, 1), (20, 1), (20, 7)] {
        let skus: Vec<&str> = skus[..lines].iter().map(String::as_str).collect();
        let (cart, secret) = here.shop.guest_cart(&skus).await;
        for number in 0..before {
            here.added(&cart, &secret, &format!("C{}", number + 1)).await;
        }
        let input = json!({ "input": { "cartId": cart, "code": "C0" } });
        let (answer, count) = here.shop.counted(&here.shop.guest_with(&secret), &query, input).await;
        assert_eq!(answer["data"]["cartCouponAdd"]["userErrors"], json!([]), "{answer:#}");
        counts.push(count);
    }
    assert_eq!(counts, [14; 3]);
}

/// c07, R68: a server that is killed between placing and paying leaves a count that is right: what was placed holds its use, what was not does not,
/// and a use of an order that is never paid is free again.
#[tokio::test]
async fn c07_a_crash_between_placing_and_paying_leaves_a_correct_count() {
    let here = Place::new().await;
    let server = here.serve(&["--seed", "demo", "--no-worker"]).await;
    let operator = bearer(&here.key(&[]).await);
    let create = "mutation($input: CouponCreateInput!) { couponCreate(input: $input) { coupon { id } userErrors { code field message } } }";
    let rules = json!({ "input": { "kind": "DISCOUNT", "percent": "10", "codes": ["HELD"], "totalUses": 6 } });
    let coupon = server.ok(&[("Authorization", &operator)], create, rules).await["couponCreate"]["coupon"]["id"].clone();
    let mut carts = Vec::new();
    for number in 0..8 {
        carts.push(crate::coupon::guest(&server, number, "held").await);
    }
    let place =
        "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) { order { id status coupons { state } } userErrors { code } } }";
    let input = |cart: &String| {
        json!({ "input": { "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "redirect" },
            "expectedTotal": amount("134.10 USD"), "idempotencyKey": cart } })
    };
    let placing = futures_util::future::join_all(carts.iter().map(|(cart, secret)| {
        let request = server.request(&[("Cart-Secret", secret)], place, input(cart));
        async { request.send().await.ok()?.json::<Value>().await.ok() }
    }));
    // Some are under way then, and no answer comes any more.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(150), placing).await;
    server.kill();

    let server = here.serve(&["--seed", "demo", "--no-worker", "--test-clock"]).await;
    let uses = "query($id: ID!) { coupon(id: $id) { used uses(first: 100) { nodes { state } } } orders(first: 100) { nodes { coupons { state } } } }";
    let seen = async || {
        let data = server.ok(&[("Authorization", &operator)], uses, json!({ "id": coupon })).await;
        let holding = |list: &Value, pointer: &str| {
            let states = list.as_array().expect("a list").iter().filter_map(|row| row.pointer(pointer));
            states.filter(|state| *state != "FREED").count()
        };
        let used = data["coupon"]["used"].as_u64().expect("a count");
        (used, holding(&data["coupon"]["uses"]["nodes"], "/state"), holding(&data["orders"]["nodes"], "/coupons/0/state"))
    };
    let (used, rows, orders) = seen().await;
    assert_eq!((used, rows), (orders as u64, orders), "the count, the uses and the orders after the crash");
    // Whoever had no answer asks again: six hold a use, two are refused.
    let mut held = 0;
    for (cart, secret) in &carts {
        let answer = server.answer(&[("Cart-Secret", secret)], place, input(cart)).await["data"]["orderPlace"].clone();
        held += usize::from(answer["order"]["coupons"][0]["state"] == "RESERVED");
    }
    assert_eq!((held, seen().await), (6, (6, 6, 6)));
    // None of them is ever paid.
    let later = chrono::Utc::now() + TimeDelta::days(3);
    server.post("/_test/clock").json(&json!({ "now": later.to_rfc3339() })).send().await.expect("an answer");
    server.post("/_test/jobs").send().await.expect("an answer");
    assert_eq!(seen().await, (0, 0, 0));
    server.stop().await;
}
