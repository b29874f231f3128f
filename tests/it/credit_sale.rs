//! Selling credits: products and packs that give them, what buyers see of them, and what carts, coupons and orders make of them.

use bursar::app::entropy;
use bursar::store::credit::{self, Move, Spending};
use chrono::TimeDelta;
use domain::credit::{Cause, Lot, Owner, Source, SourceKind};
use domain::{AccountId, OrderId, ProductId};
use sandbox::Step;
use serde_json::{Value, json};

use crate::util::{TestApp, amount, id};

const CART: &str = "cart { id version total { amount } readiness { ready }
    lines { id quantity unitPrice { amount } total { amount } credits coupon priceBreakdown { rule } notices { code blocking } }
    coupons { code savings { amount } lines { lineId savings { amount } } reason { code } } }";

const PLACE: &str = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
    order { id status total { amount } payments { id } coupons { code state savings { amount } }
        lines { id credits creditDays creditsTiedTo unitPrice { amount } total { amount } } }
    cart { total { amount } lines { credits } } userErrors { code field message } } }";

/// A credit pack at a list price in USD; its product's id.
pub async fn pack(shop: &TestApp, sku: &str, price: &str, credits: i64) -> String {
    let input =
        json!({ "sku": sku, "title": format!("Pack {sku}"), "description": "For lessons", "prices": [amount(price)], "credits": credits });
    id(&shop.act(&shop.operator(), "creditPackCreate", input, "creditPack { id }").await["creditPack"])
}

/// A guest who buys.
pub struct Buyer {
    /// The cart.
    pub cart: String,
    /// Its secret.
    pub secret: String,
}

impl Buyer {
    /// A guest with a cart of these lines: product, for, quantity.
    pub async fn of(shop: &TestApp, email: &str, lines: &[(&str, Value, i64)]) -> Self {
        let made = shop.act(&shop.guest(), "cartCreate", json!({}), "cart { id } secret").await;
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        let buyer = Self { cart: id(&made["cart"]), secret };
        buyer.set(shop, lines).await;
        let input = json!({ "cartId": buyer.cart, "email": email, "name": "Ann" });
        shop.act(&shop.guest_with(&buyer.secret), "cartBuyerSet", input, "").await;
        buyer
    }

    /// Sets lines; the cart as it is then.
    pub async fn set(&self, shop: &TestApp, lines: &[(&str, Value, i64)]) -> Value {
        let lines: Vec<Value> =
            lines.iter().map(|(product, for_, quantity)| json!({ "productId": product, "for": for_, "quantity": quantity })).collect();
        let input = json!({ "cartId": self.cart, "lines": lines });
        shop.act(&shop.guest_with(&self.secret), "cartLinesSet", input, CART).await["cart"].clone()
    }

    /// Adds a code; the cart as it is then.
    pub async fn code(&self, shop: &TestApp, code: &str) -> Value {
        let input = json!({ "cartId": self.cart, "code": code });
        shop.act(&shop.guest_with(&self.secret), "cartCouponAdd", input, CART).await["cart"].clone()
    }

    /// Places the cart at this total and pays it.
    pub async fn place(&self, shop: &TestApp, total: &str) -> Value {
        self.place_by(shop, "approve", total).await
    }

    /// The same, with what the sandbox is to do.
    pub async fn place_by(&self, shop: &TestApp, token: &str, total: &str) -> Value {
        let input = json!({ "input": {
            "cartId": self.cart, "paymentMethod": { "gateway": "sandbox", "token": token },
            "expectedTotal": amount(total), "idempotencyKey": format!("{} at {total}", self.cart) } });
        shop.run(&shop.guest_with(&self.secret), PLACE, input).await["data"]["orderPlace"].clone()
    }
}

/// For the buyer.
pub fn own() -> Value {
    json!({ "self": true })
}

async fn product(shop: &TestApp, id: &str) -> Value {
    let query = "query($id: ID!) { node(id: $id) { id ... on Product { kind sku title listed credits creditDays creditsTiedTo { id }
        target { __typename ... on CreditPack { title description } } prices { amount { amount } } terms { text } } } }";
    shop.ok(&shop.operator(), query, json!({ "id": id })).await["node"].clone()
}

async fn coupon(shop: &TestApp, code: &str, rules: Value) -> Value {
    let mut input = json!({ "codes": [code] });
    input.as_object_mut().expect("an object").extend(rules.as_object().expect("rules").clone());
    shop.act(&shop.operator(), "couponCreate", input, "coupon { id status }").await["coupon"].clone()
}

fn one(code: &str, field: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), field.to_owned())]
}

/// R31: a credit pack is a product of its own kind, found, changed and archived like others; its credits pay for anything unless it is tied.
#[tokio::test]
async fn r31_a_credit_pack_is_a_product_like_others() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let library = shop.shelf("LIB", "50.00", &["One"]).await;
    let free = pack(&shop, "CR-100", "30.00 USD", 100).await;
    let shown = product(&shop, &free).await;
    assert_eq!(
        (&shown["kind"], &shown["credits"], &shown["creditDays"], &shown["creditsTiedTo"], &shown["listed"]),
        (&json!("CREDIT_PACK"), &json!(100), &Value::Null, &Value::Null, &json!(true))
    );
    assert_eq!(shown["target"], json!({ "__typename": "CreditPack", "title": "Pack CR-100", "description": "For lessons" }));
    let tied = json!({ "sku": "CR-T", "title": "For one library", "prices": [amount("9.00 USD")], "credits": 20, "creditDays": 365, "creditsTiedTo": library });
    let tied = id(&shop.act(&operator, "creditPackCreate", tied, "creditPack { id }").await["creditPack"]);
    let shown = product(&shop, &tied).await;
    assert_eq!((&shown["creditDays"], &shown["creditsTiedTo"]["id"]), (&json!(365), &json!(library)));

    let good = json!({ "sku": "CR-X", "title": "X", "prices": [amount("9.00 USD")], "credits": 20 });
    let with = |field: &str, value: Value| {
        let mut input = good.clone();
        input[field] = value;
        input
    };
    for (input, refused) in [
        (with("credits", json!(0)), one("INVALID", "credits")),
        (with("credits", json!(-5)), one("INVALID", "credits")),
        (with("credits", json!(1_000_000_001)), one("INVALID", "credits")),
        (with("creditDays", json!(0)), one("INVALID", "creditDays")),
        (with("creditsTiedTo", json!(free)), one("INVALID", "creditsTiedTo")),
        (with("creditsTiedTo", json!("prd_nothing")), one("NOT_FOUND", "creditsTiedTo")),
        (with("prices", json!([])), one("REQUIRED", "prices")),
        (with("sku", json!("cr-100")), one("SKU_TAKEN", "sku")),
        (with("title", json!(" ")), one("REQUIRED", "title")),
    ] {
        assert_eq!(shop.denied(&operator, "creditPackCreate", input).await, refused);
    }

    let list = "query($kind: [ProductKind!], $search: String) { offers(filter: { kind: $kind }, search: $search) {
        nodes { sku kind credits creditDays creditsTiedTo price { amount } description courses { id } unavailable } } }";
    let found = shop.ok(&shop.guest(), list, json!({ "kind": ["CREDIT_PACK"], "search": "lessons" })).await;
    assert_eq!(
        found["offers"]["nodes"],
        json!([{ "sku": "CR-100", "kind": "CREDIT_PACK", "credits": 100, "creditDays": null, "creditsTiedTo": null,
            "price": { "amount": "30.00" }, "description": "For lessons", "courses": [], "unavailable": null }])
    );
    let products = "{ products(filter: { kind: CREDIT_PACK, search: \"one library\" }) { nodes { id } } }";
    assert_eq!(shop.ok(&operator, products, json!({})).await["products"]["nodes"], json!([{ "id": tied }]));

    // It changes as a pack, and goes; what it was is still known.
    let before = shop.app.now();
    shop.pass(TimeDelta::hours(1));
    let update = json!({ "id": free, "title": "A hundred", "archived": true });
    let changed = shop.act(&operator, "creditPackUpdate", update, "creditPack { title listed archivedAt }").await;
    assert_eq!((&changed["creditPack"]["title"], &changed["creditPack"]["listed"]), (&json!("A hundred"), &json!(false)));
    let offer = "query($at: DateTime) { offer(sku: \"CR-100\", at: $at) { title credits } }";
    assert_eq!(shop.ok(&shop.guest(), offer, json!({})).await["offer"], Value::Null);
    let then = shop.ok(&shop.guest(), offer, json!({ "at": before.to_rfc3339() })).await;
    assert_eq!(then["offer"], json!({ "title": "Pack CR-100", "credits": 100 }));
    assert_eq!(shop.denied(&operator, "creditPackUpdate", json!({ "id": free, "title": "Late" })).await, one("ARCHIVED", "id"));
    assert_eq!(shop.denied(&operator, "creditPackUpdate", json!({ "id": library, "title": "Late" })).await, one("NOT_FOUND", "id"));
    shop.act(&operator, "creditPackUpdate", json!({ "id": free, "archived": false }), "").await;
    assert_eq!(shop.ok(&shop.guest(), offer, json!({})).await["offer"]["title"], "A hundred");

    // It gives no access and always credits, at once.
    for (input, refused) in [
        (json!({ "id": free, "terms": { "days": 3 } }), one("TERMS_INVALID", "terms")),
        (json!({ "id": free, "fulfilment": "KEYS" }), one("INVALID", "fulfilment")),
        (json!({ "id": free, "credits": null }), one("REQUIRED", "credits")),
        (json!({ "id": free, "creditsTiedTo": tied }), one("INVALID", "creditsTiedTo")),
        (json!({ "id": free, "creditsTiedTo": free }), one("INVALID", "creditsTiedTo")),
    ] {
        assert_eq!(shop.denied(&operator, "productUpdate", input).await, refused);
    }
}

/// R33: whoever sets the price of a product that gives credits states their number, wherever that is done.
#[tokio::test]
async fn r33_a_price_is_set_with_the_number_of_credits() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let course = shop.course("One").await;
    let input = json!({ "sku": "LIB", "title": "Library", "prices": [amount("50.00 USD")], "courseIds": [course], "credits": 40, "creditDays": 90 });
    let made = shop.act(&operator, "libraryCreate", input, "library { id product { id } }").await["library"].clone();
    let (library, lib) = (id(&made), id(&made["product"]));
    let shown = product(&shop, &lib).await;
    assert_eq!(
        (&shown["credits"], &shown["creditDays"], &shown["creditsTiedTo"]["id"]),
        (&json!(40), &json!(90), &json!(lib)),
        "its own courses"
    );

    let set = |credits: Value| json!({ "productId": lib, "prices": [amount("60.00 USD")], "credits": credits });
    assert_eq!(shop.denied(&operator, "productPricesSet", set(Value::Null)).await, one("REQUIRED", "credits"));
    assert_eq!(shop.denied(&operator, "productPricesSet", set(json!(0))).await, one("INVALID", "credits"));
    assert_eq!(shop.denied(&operator, "productPricesSet", set(json!(-40))).await, one("INVALID", "credits"));
    assert_eq!(product(&shop, &lib).await["prices"], json!([{ "amount": { "amount": "50.00" } }]), "nothing was set");
    let before = shop.app.now();
    shop.pass(TimeDelta::minutes(1));
    shop.act(&operator, "productPricesSet", set(json!(45)), "").await;
    let shown = product(&shop, &lib).await;
    assert_eq!((&shown["credits"], &shown["creditDays"]), (&json!(45), &json!(90)), "the number goes with the price, its terms stay");
    let then = "query($at: DateTime) { offer(sku: \"LIB\", at: $at) { credits price { amount } } }";
    let then = shop.ok(&shop.guest(), then, json!({ "at": before.to_rfc3339() })).await;
    assert_eq!(then["offer"], json!({ "credits": 40, "price": { "amount": "50.00" } }));

    // A company's price repeats the number, and cannot change it.
    let company = json!({ "name": "Acme", "key": "acme", "type": "RETAIL" });
    let company = id(&shop.act(&operator, "companyCreate", company, "company { id }").await["company"]);
    let row = |credits: Value| json!({ "companyId": company, "rows": [{ "productId": lib, "prices": [amount("30.00 USD")], "credits": credits }] });
    assert_eq!(shop.denied(&operator, "companyOffersSet", row(Value::Null)).await, one("REQUIRED", "rows.0.credits"));
    assert_eq!(shop.denied(&operator, "companyOffersSet", row(json!(46))).await, one("INVALID", "rows.0.credits"));
    shop.act(&operator, "companyOffersSet", row(json!(45)), "").await;

    // Afterwards the product alone changes them.
    assert_eq!(shop.denied(&operator, "libraryUpdate", json!({ "id": library, "credits": 5 })).await, one("CHANGE_ON_PRODUCT", "credits"));
    for (input, refused) in [
        (json!({ "id": lib, "credits": 0 }), one("INVALID", "credits")),
        (json!({ "id": lib, "creditDays": -1 }), one("INVALID", "creditDays")),
    ] {
        assert_eq!(shop.denied(&operator, "productUpdate", input).await, refused);
    }
    shop.act(&operator, "productUpdate", json!({ "id": lib, "creditDays": null, "creditsTiedTo": null }), "").await;
    let shown = product(&shop, &lib).await;
    assert_eq!((&shown["creditDays"], &shown["creditsTiedTo"], &shown["credits"]), (&Value::Null, &Value::Null, &json!(45)));
    shop.act(&operator, "productUpdate", json!({ "id": lib, "credits": null }), "").await;
    assert_eq!(product(&shop, &lib).await["credits"], Value::Null);
    shop.act(&operator, "productPricesSet", set(Value::Null), "").await;
    assert_eq!(shop.denied(&operator, "productUpdate", json!({ "id": lib, "creditDays": 5 })).await, one("INVALID", "creditDays"));
    assert_eq!(shop.denied(&operator, "companyOffersSet", row(json!(45))).await, one("INVALID", "rows.0.credits"));

    // Courses and groups say them with their first price.
    let commerce = |more: Value| {
        let mut input = json!({ "courseId": course, "enabled": true, "prices": [amount("9.00 USD")] });
        input.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        input
    };
    let wrong = shop.denied(&operator, "courseCommerceSet", commerce(json!({ "credits": 0 }))).await;
    assert_eq!(wrong, one("INVALID", "credits"));
    let wrong = shop.denied(&operator, "courseCommerceSet", commerce(json!({ "creditsTied": false }))).await;
    assert_eq!(wrong, one("INVALID", "creditsTied"));
    let sold = commerce(json!({ "credits": 7, "creditsTied": false }));
    let sold = shop.act(&operator, "courseCommerceSet", sold, "course { product { id } }").await;
    let shown = product(&shop, &id(&sold["course"]["product"])).await;
    assert_eq!((&shown["credits"], &shown["creditsTiedTo"]), (&json!(7), &Value::Null));
    let later = json!({ "courseId": course, "enabled": true, "credits": 8 });
    assert_eq!(shop.denied(&operator, "courseCommerceSet", later).await, one("CHANGE_ON_PRODUCT", "credits"));
    let group =
        |credits: i64| json!({ "title": "Circle", "commerce": { "sku": "GRP", "prices": [amount("5.00 USD")], "credits": credits } });
    assert_eq!(shop.denied(&operator, "groupCreate", group(0)).await, one("INVALID", "commerce.credits"));
    shop.act(&operator, "groupCreate", group(3), "").await;
    let offer = shop.ok(&shop.guest(), "{ offer(sku: \"GRP\") { credits } }", json!({})).await;
    assert_eq!(offer["offer"]["credits"], 3);
}

/// R31, R34: several packs for oneself or a named learner, none for seats; the line and the order say how many credits that is.
#[tokio::test]
async fn r31_r34_one_person_buys_several_packs_and_sees_the_credits() {
    let shop = TestApp::new().await;
    let pack = pack(&shop, "CR-100", "30.00 USD", 100).await;
    let library = shop.shelf("LIB", "50.00", &["One"]).await;
    let bo = json!({ "learner": { "email": "bo@example.test", "name": "Bo" } });
    let ann = Buyer::of(&shop, "ann@example.test", &[(&pack, own(), 3), (&pack, bo, 2), (&library, own(), 1)]).await;
    let guest = shop.guest_with(&ann.secret);
    let lines = |product: &str, for_: Value, quantity: i64| json!({ "cartId": ann.cart, "lines": [{ "productId": product, "for": for_, "quantity": quantity }] });
    let seats = shop.denied(&guest, "cartLinesSet", lines(&pack, json!({ "seats": true }), 2)).await;
    assert_eq!(seats, one("INVALID", "lines.0.for"));
    let many = shop.denied(&guest, "cartLinesSet", lines(&pack, own(), 10_001)).await;
    assert_eq!(many, one("QUANTITY_INVALID", "lines.0.quantity"));
    let twice = shop.denied(&guest, "cartLinesSet", lines(&library, own(), 2)).await;
    assert_eq!(twice, one("QUANTITY_INVALID", "lines.0.quantity"));

    let placed = ann.place(&shop, "200.00 USD").await;
    assert_eq!(placed["order"]["status"], "FULFILLED", "{placed:#}");
    let credits: Vec<&Value> = placed["order"]["lines"].as_array().expect("lines").iter().map(|line| &line["credits"]).collect();
    assert_eq!(credits, [&json!(300), &json!(200), &json!(0)]);
    let query = "query($id: ID!) { order(id: $id) { receipt { html lines { title text credits courses { title } } } } }";
    let receipt = shop.ok(&guest, query, json!({ "id": placed["order"]["id"] })).await["order"]["receipt"].clone();
    let told: Vec<(&Value, &Value)> =
        receipt["lines"].as_array().expect("lines").iter().map(|line| (&line["credits"], &line["text"])).collect();
    assert_eq!(
        told,
        [
            (&json!(300), &json!("The credits are in your account.")),
            (&json!(200), &json!("The credits are in the account of Bo.")),
            (&json!(0), &json!("Open your courses.")),
        ]
    );
    assert!(receipt["html"].as_str().expect("a page").contains("300 credits"), "{receipt:#}");
}

/// R32, R33, R64: a discount never touches a product that gives credits; a pack replaces its price and number, is no saving, and is used up.
#[tokio::test]
async fn r32_r33_r64_packs_are_on_sale_and_discounts_leave_credits_alone() {
    let shop = TestApp::new().await;
    let credits = pack(&shop, "CR-100", "30.00 USD", 100).await;
    let library = shop.shelf("LIB", "50.00", &["One"]).await;
    coupon(&shop, "TEN", json!({ "kind": "DISCOUNT", "percent": "10", "scope": "ORDER" })).await;
    let rules = json!({ "kind": "PACK", "productId": credits, "price": amount("80.00 USD"), "credits": 400, "totalUses": 1 });
    let big = coupon(&shop, "BIG", rules).await;
    let of_library = json!({ "kind": "PACK", "productId": library, "price": amount("70.00 USD"), "credits": 25 });
    coupon(&shop, "WITH-LESSONS", of_library).await;

    let ann = Buyer::of(&shop, "ann@example.test", &[(&credits, own(), 2), (&library, own(), 1)]).await;
    let cart = ann.code(&shop, "TEN").await;
    assert_eq!(cart["total"]["amount"], "105.00", "2 x 30.00 whole, 50.00 less 10 %");
    let cart = ann.code(&shop, "BIG").await;
    assert_eq!(cart["total"]["amount"], "205.00", "2 x 80.00, 50.00 less 10 %");
    let line = &cart["lines"][0];
    assert_eq!(
        (&line["unitPrice"]["amount"], &line["credits"], &line["coupon"], &line["total"]["amount"]),
        (&json!("80.00"), &json!(800), &json!("BIG"), &json!("160.00"))
    );
    assert_eq!(line["priceBreakdown"], json!([{ "rule": "LIST_PRICE" }, { "rule": "PACK" }]));
    let held = &cart["coupons"][1];
    assert_eq!(
        (&held["savings"], &held["lines"], &held["reason"]),
        (&Value::Null, &json!([{ "lineId": line["id"], "savings": null }]), &Value::Null)
    );

    let placed = ann.place(&shop, "205.00 USD").await;
    assert_eq!(placed["order"]["status"], "FULFILLED", "{placed:#}");
    assert_eq!(
        placed["order"]["coupons"],
        json!([{ "code": "TEN", "state": "SPENT", "savings": { "amount": "5.00" } }, { "code": "BIG", "state": "SPENT", "savings": null }])
    );
    let bought = &placed["order"]["lines"][0];
    assert_eq!(
        (&bought["unitPrice"]["amount"], &bought["credits"], &bought["creditsTiedTo"]),
        (&json!("80.00"), &json!(800), &Value::Null)
    );
    let query = "query($id: ID!) { coupon(id: $id) { status } }";
    assert_eq!(shop.ok(&shop.operator(), query, json!({ "id": big["id"] })).await["coupon"]["status"], "EXHAUSTED");
    let bob = Buyer::of(&shop, "bob@example.test", &[(&credits, own(), 1)]).await;
    let spent = json!({ "cartId": bob.cart, "code": "BIG" });
    assert_eq!(shop.denied(&shop.guest_with(&bob.secret), "cartCouponAdd", spent).await, one("COUPON_EXHAUSTED", "code"));

    // A pack of something that gives no credits by itself: they are tied to it.
    let eve = Buyer::of(&shop, "eve@example.test", &[(&library, own(), 1)]).await;
    let cart = eve.code(&shop, "WITH-LESSONS").await;
    assert_eq!((&cart["lines"][0]["credits"], &cart["total"]["amount"]), (&json!(25), &json!("70.00")));
    let placed = eve.place(&shop, "70.00 USD").await;
    assert_eq!(placed["order"]["lines"][0]["creditsTiedTo"], json!(library));
}

/// SPEC 7: placing compares the credits shown with the credits now, and takes nothing where they got worse.
#[tokio::test]
async fn r33_credits_that_got_worse_stop_the_placing() {
    let shop = TestApp::new().await;
    let credits = pack(&shop, "CR-100", "30.00 USD", 100).await;
    let ann = Buyer::of(&shop, "ann@example.test", &[(&credits, own(), 1)]).await;
    let change = async |input: Value| {
        let mut update = json!({ "id": credits });
        update.as_object_mut().expect("an object").extend(input.as_object().expect("an object").clone());
        shop.act(&shop.operator(), "productUpdate", update, "").await;
    };
    change(json!({ "credits": 99 })).await;
    let refused = ann.place(&shop, "30.00 USD").await;
    assert_eq!((&refused["userErrors"][0]["code"], &refused["order"]), (&json!("PRICE_CHANGED"), &Value::Null), "{refused:#}");
    assert_eq!(refused["cart"]["lines"], json!([{ "credits": 99 }]), "the fresh cart");
    assert!(refused["userErrors"][0]["message"].as_str().expect("a sentence").contains("99 credits, not 100 credits"));
    change(json!({ "creditDays": 30 })).await;
    let query = "query($id: ID!) { cart(id: $id) { lines { notices { code blocking } } readiness { ready } } }";
    let cart = shop.ok(&shop.guest_with(&ann.secret), query, json!({ "id": ann.cart })).await["cart"].clone();
    assert_eq!(cart["lines"][0]["notices"], json!([{ "code": "CREDITS_CHANGED", "blocking": false }]));
    assert_eq!(cart["readiness"]["ready"], true);
    let input = json!({ "input": { "cartId": ann.cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": amount("30.00 USD"), "idempotencyKey": "again" } });
    let refused = shop.run(&shop.guest_with(&ann.secret), PLACE, input).await["data"]["orderPlace"].clone();
    assert_eq!(refused["userErrors"][0]["code"], "PRICE_CHANGED", "for 30 days instead of without end");
    // More of them is no reason to ask again.
    change(json!({ "credits": 150 })).await;
    let input = json!({ "input": { "cartId": ann.cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": amount("30.00 USD"), "idempotencyKey": "more" } });
    let placed = shop.run(&shop.guest_with(&ann.secret), PLACE, input).await["data"]["orderPlace"].clone();
    assert_eq!((&placed["order"]["lines"][0]["credits"], &placed["order"]["lines"][0]["creditDays"]), (&json!(150), &json!(30)));
    change(json!({ "credits": 5 })).await;
    let query = "query($id: ID!) { order(id: $id) { lines { credits } } }";
    let order = shop.ok(&shop.operator(), query, json!({ "id": placed["order"]["id"] })).await;
    assert_eq!(order["order"]["lines"], json!([{ "credits": 150 }]), "frozen at placing");
}

/// R35b: packs that are shown to everybody stand with the offer, with price, credits and link; others do not.
#[tokio::test]
async fn r35b_public_packs_stand_with_the_offer() {
    let shop = TestApp::new().await;
    let credits = pack(&shop, "CR-100", "30.00 USD", 100).await;
    let rules = |price: &str, credits_of: i64, more: Value| {
        let mut rules = json!({ "kind": "PACK", "productId": credits, "price": amount(price), "credits": credits_of });
        rules.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        rules
    };
    coupon(&shop, "B.I G".replace(' ', "+").as_str(), rules("80.00 USD", 400, json!({ "public": true }))).await;
    coupon(&shop, "SECRET", rules("1.00 USD", 400, json!({}))).await;
    let ended = json!({ "public": true, "endsAt": shop.app.now().to_rfc3339() });
    coupon(&shop, "ENDED", rules("70.00 USD", 400, ended)).await;
    coupon(&shop, "POUNDS", rules("70.00 USD", 400, json!({ "public": true, "currencies": ["GBP"] }))).await;
    let discount = json!({ "kind": "DISCOUNT", "percent": "10", "codes": ["TEN"], "public": true });
    assert_eq!(shop.denied(&shop.operator(), "couponCreate", discount).await, one("INVALID", "public"));
    let query = "{ offers { nodes { sku packs { code price { amount } credits link } } } }";
    let offers = shop.ok(&shop.guest(), query, json!({})).await["offers"]["nodes"].clone();
    assert_eq!(
        offers,
        json!([{ "sku": "CR-100", "packs": [{ "code": "B.I+G", "price": { "amount": "80.00" }, "credits": 400,
            "link": "http://127.0.0.1:8080/form/CR-100?coupon=B.I%2BG" }] }])
    );
    let many = shop.counted(&shop.guest(), query, json!({})).await.1;
    for number in 0..5 {
        pack(&shop, &format!("CR-{number}"), "3.00 USD", 10).await;
    }
    assert_eq!(shop.counted(&shop.guest(), query, json!({})).await.1, many, "as many statements for more offers");
}

// ---- granting and taking back --------------------------------------------------------------------------------------------------------

const REFUNDS: &str = "query($id: ID!) { order(id: $id) { status lines { id } refunds { status creditsTaken creditsSpent lines { orderLineId creditsTaken creditsSpent } } } }";

async fn account(shop: &TestApp, email: &str) -> AccountId {
    let hash = shop.app.email_hash_of(email).expect("an address");
    let found = bursar::store::group::accounts_by_email(shop.app.db.read(), std::slice::from_ref(&hash)).await.expect("accounts are read");
    found[&hash]
}

/// What somebody can spend.
async fn balance(shop: &TestApp, email: &str) -> i64 {
    let owner = Owner::Account(account(shop, email).await);
    credit::holdings(shop.app.db.read(), owner, shop.app.now()).await.expect("lots are read").balance
}

async fn lots(shop: &TestApp, email: &str) -> Vec<Lot> {
    let owner = Owner::Account(account(shop, email).await);
    credit::open_lots(shop.app.db.read(), &[owner], shop.app.now()).await.expect("lots are read")
}

/// Somebody pays with credits, for something of these products' courses.
async fn spend(shop: &TestApp, email: &str, cost: i64, products: &[&str]) {
    let products: Vec<ProductId> = products.iter().map(|id| ProductId::parse(id).expect("an id")).collect();
    let account = account(shop, email).await;
    let spending = Spending { account, companies: &[], cost, products: &products };
    let source = Source { kind: SourceKind::Rental, id: entropy::next_uuid() };
    let by = Move { cause: Cause::Spent, source, actor: "test", reason: None, now: shop.app.now(), new_id: entropy::next_uuid };
    let txn = shop.app.db.begin().await.expect("a transaction");
    credit::spend(&txn, &spending, &by).await.expect("the database answers").expect("there are enough");
    txn.commit().await.expect("it is written");
}

/// Refunds of an order: status, credits taken, credits spent, the oldest first.
async fn refunds(shop: &TestApp, order: &Value) -> Vec<(String, i64, i64)> {
    let found = shop.ok(&shop.operator(), REFUNDS, json!({ "id": order["id"] })).await["order"]["refunds"].clone();
    let row = |refund: &Value| {
        let count = |field: &str| refund[field].as_i64().expect("a number");
        (refund["status"].as_str().expect("a status").to_owned(), count("creditsTaken"), count("creditsSpent"))
    };
    found.as_array().expect("a list").iter().map(row).collect()
}

async fn refund(shop: &TestApp, order: &Value, more: Value) {
    let mut input = json!({ "orderId": order["id"], "reason": "asked", "idempotencyKey": entropy::next_uuid().to_string() });
    input.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    shop.act(&shop.operator(), "orderRefund", input, "").await;
}

fn of_line(order: &Value, place: usize, part: Value) -> Value {
    let mut line = json!({ "orderLineId": order["lines"][place]["id"] });
    line.as_object_mut().expect("an object").extend(part.as_object().expect("an object").clone());
    json!([line])
}

fn succeeded(taken: i64, spent: i64) -> (String, i64, i64) {
    ("SUCCEEDED".to_owned(), taken, spent)
}

/// R31, R39, R40: what is paid for is granted once, to whom it was bought for, with its end and its tie; nothing is granted before the money is in.
#[tokio::test]
async fn r31_r40_credits_are_granted_once_with_the_payment() {
    let shop = TestApp::new().await;
    let pack = pack(&shop, "CR-100", "30.00 USD", 100).await;
    let library = shop.shelf("LIB", "50.00", &["One"]).await;
    shop.act(&shop.operator(), "productUpdate", json!({ "id": library, "credits": 40, "creditDays": 90 }), "").await;
    let bo = json!({ "learner": { "email": "bo@example.test", "name": "Bo" } });
    let ann = Buyer::of(&shop, "ann@example.test", &[(&pack, own(), 3), (&pack, bo, 2), (&library, own(), 1)]).await;
    let waiting = Buyer::of(&shop, "eve@example.test", &[(&pack, own(), 1)]).await;
    let input = json!({ "input": { "cartId": waiting.cart, "paymentMethod": { "gateway": "sandbox", "token": "pending" },
        "expectedTotal": amount("30.00 USD"), "idempotencyKey": "slow" } });
    let slow = shop.run(&shop.guest_with(&waiting.secret), PLACE, input).await["data"]["orderPlace"]["order"].clone();

    let placed = ann.place(&shop, "200.00 USD").await["order"].clone();
    assert_eq!(placed["status"], "FULFILLED");
    let order = OrderId::parse(placed["id"].as_str().expect("an id")).expect("an order's id");
    for _ in 0..2 {
        shop.jobs().await;
        shop.webhooks().await;
        shop.app.fulfil(order).await.expect("nothing is left to do");
    }
    assert_eq!((balance(&shop, "ann@example.test").await, balance(&shop, "bo@example.test").await), (340, 200));
    let library = ProductId::parse(&library).expect("an id");
    let (mut ends, now) = (lots(&shop, "ann@example.test").await, shop.app.now());
    ends.sort_by_key(|lot| lot.figures.count);
    let seen: Vec<_> = ends.iter().map(|lot| (lot.figures.count, lot.expires_at, lot.tied)).collect();
    assert_eq!(seen, [(40, Some(now + TimeDelta::days(90)), Some(library)), (300, None, None)]);

    // Its money comes later, and the credits with it.
    shop.approve(&slow["payments"][0]["id"]).await;
    shop.webhooks().await;
    assert_eq!(balance(&shop, "eve@example.test").await, 100);
    // At the end of the 90 days the rest is there still.
    shop.pass(TimeDelta::days(90));
    assert_eq!(balance(&shop, "ann@example.test").await, 300);
}

/// A whole refund takes back all that is unspent, and says what was spent; nobody falls below zero.
#[tokio::test]
async fn r39_a_whole_refund_takes_back_what_is_unspent_and_says_what_is_not() {
    let shop = TestApp::new().await;
    let pack = pack(&shop, "CR-100", "30.00 USD", 100).await;
    let library = shop.shelf("LIB", "50.00", &["One"]).await;
    let ann = Buyer::of(&shop, "ann@example.test", &[(&pack, own(), 2), (&library, own(), 1)]).await;
    let order = ann.place(&shop, "110.00 USD").await["order"].clone();
    spend(&shop, "ann@example.test", 70, &[]).await;
    refund(&shop, &order, json!({})).await;
    assert_eq!(refunds(&shop, &order).await, [succeeded(130, 70)]);
    assert_eq!(balance(&shop, "ann@example.test").await, 0);
    let lines = shop.ok(&shop.operator(), REFUNDS, json!({ "id": order["id"] })).await["order"]["refunds"][0]["lines"].clone();
    let told: Vec<(&Value, &Value)> =
        lines.as_array().expect("lines").iter().map(|line| (&line["creditsTaken"], &line["creditsSpent"])).collect();
    assert_eq!(told, [(&json!(130), &json!(70)), (&json!(0), &json!(0))]);
    let lists = shop.ok(&shop.operator(), "{ paidNotGiven { id } givenNotPaid { reason } }", json!({})).await;
    assert_eq!(lists, json!({ "paidNotGiven": [], "givenNotPaid": [] }));
}

/// Parts take their share cumulatively: 10.00 for 100 credits, three times 3.33, the last cent the rest. What is kept on purpose is left alone.
#[tokio::test]
async fn r39_partial_refunds_take_their_share_cumulatively() {
    let shop = TestApp::new().await;
    let pack = pack(&shop, "CR-100", "10.00 USD", 100).await;
    let ann = Buyer::of(&shop, "ann@example.test", &[(&pack, own(), 1)]).await;
    let order = ann.place(&shop, "10.00 USD").await["order"].clone();
    for (part, left) in [("3.33", 67), ("3.33", 33), ("3.33", 0)] {
        refund(&shop, &order, json!({ "lines": of_line(&order, 0, json!({ "amount": amount(&format!("{part} USD")) })) })).await;
        assert_eq!(balance(&shop, "ann@example.test").await, left);
    }
    refund(&shop, &order, json!({})).await;
    assert_eq!(refunds(&shop, &order).await, [succeeded(33, 0), succeeded(34, 0), succeeded(33, 0), succeeded(0, 0)]);

    // By units, with some spent: three packs, one goes back, then the rest.
    let bob = Buyer::of(&shop, "bob@example.test", &[(&pack, own(), 3)]).await;
    let order = bob.place(&shop, "30.00 USD").await["order"].clone();
    spend(&shop, "bob@example.test", 250, &[]).await;
    refund(&shop, &order, json!({ "lines": of_line(&order, 0, json!({ "quantity": 1 })) })).await;
    assert_eq!(refunds(&shop, &order).await, [succeeded(50, 50)]);
    refund(&shop, &order, json!({})).await;
    assert_eq!(refunds(&shop, &order).await, [succeeded(50, 50), succeeded(0, 200)]);

    // A gift of money takes no credits: kept on purpose, or of the order as a whole.
    let eve = Buyer::of(&shop, "eve@example.test", &[(&pack, own(), 1)]).await;
    let order = eve.place(&shop, "10.00 USD").await["order"].clone();
    let kept = json!({ "lines": of_line(&order, 0, json!({ "amount": amount("5.00 USD") })), "access": "KEEP" });
    refund(&shop, &order, kept).await;
    refund(&shop, &order, json!({ "amount": amount("1.00 USD") })).await;
    assert_eq!(balance(&shop, "eve@example.test").await, 100);
    refund(&shop, &order, json!({})).await;
    assert_eq!(refunds(&shop, &order).await, [succeeded(0, 0), succeeded(0, 0), succeeded(100, 0)]);
}

/// A refund that bounces gives back just what it took; again it takes it once more.
#[tokio::test]
async fn c23_a_refund_that_bounces_gives_the_credits_back() {
    let shop = TestApp::new().await;
    let pack = pack(&shop, "CR-100", "30.00 USD", 100).await;
    let ann = Buyer::of(&shop, "ann@example.test", &[(&pack, own(), 1)]).await;
    let order = ann.place_by(&shop, "refund_pending", "30.00 USD").await["order"].clone();
    spend(&shop, "ann@example.test", 20, &[]).await;
    let payment = &order["payments"][0]["id"];
    shop.act(&shop.operator(), "orderRefund", json!({ "orderId": order["id"], "reason": "asked", "idempotencyKey": "a" }), "").await;
    assert_eq!(balance(&shop, "ann@example.test").await, 80, "nothing is taken before the money is there");
    let reference = shop.refund_reference(payment).await;
    shop.advance(payment, Step::CompleteRefund(reference.clone())).await;
    shop.webhooks().await;
    assert_eq!(balance(&shop, "ann@example.test").await, 0);
    shop.advance(payment, Step::FailRefund(reference)).await;
    shop.webhooks().await;
    shop.webhooks().await;
    assert_eq!(balance(&shop, "ann@example.test").await, 80);
    assert_eq!(refunds(&shop, &order).await, [("FAILED".to_owned(), 0, 0)]);
    refund(&shop, &order, json!({})).await;
    let reference = shop.refund_reference(payment).await;
    shop.advance(payment, Step::CompleteRefund(reference)).await;
    shop.webhooks().await;
    assert_eq!(balance(&shop, "ann@example.test").await, 0);
    assert_eq!(refunds(&shop, &order).await[1], succeeded(80, 20));
}

/// A dispute that is lost ends unspent credits like access, unless the shop keeps it.
#[tokio::test]
async fn r39_a_lost_dispute_ends_unspent_credits() {
    for (ends, left) in [(true, 0), (false, 70)] {
        let shop = TestApp::with(|shop| shop.end_access_on_lost_dispute = ends).await;
        let pack = pack(&shop, "CR-100", "30.00 USD", 100).await;
        let ann = Buyer::of(&shop, "ann@example.test", &[(&pack, own(), 1)]).await;
        let order = ann.place(&shop, "30.00 USD").await["order"].clone();
        spend(&shop, "ann@example.test", 30, &[]).await;
        let payment = &order["payments"][0]["id"];
        let thirty = domain::Money::new(3_000, domain::Currency::parse("USD").expect("USD"));
        shop.advance(payment, Step::OpenDispute(thirty)).await;
        shop.webhooks().await;
        assert_eq!(balance(&shop, "ann@example.test").await, 70);
        let reference = shop.dispute_reference(payment).await;
        shop.advance(payment, Step::LoseDispute(reference)).await;
        shop.webhooks().await;
        assert_eq!(balance(&shop, "ann@example.test").await, left, "ends: {ends}");
    }
}

/// Credits of seats and keys go to whoever redeems one, once, and go back with it.
#[tokio::test]
async fn r16_r31_credits_of_a_seat_go_to_whoever_redeems_it() {
    let shop = TestApp::new().await;
    let library = shop.shelf("LIB", "50.00", &["One"]).await;
    shop.act(&shop.operator(), "productUpdate", json!({ "id": library, "credits": 40 }), "").await;
    let seats = Buyer::of(&shop, "boss@example.test", &[(&library, json!({ "seats": true }), 3)]).await;
    let order = seats.place(&shop, "150.00 USD").await["order"].clone();
    assert_eq!((&order["status"], &order["lines"][0]["credits"]), (&json!("FULFILLED"), &json!(120)));
    assert_eq!(balance(&shop, "boss@example.test").await, 0, "the buyer takes no seat");
    let read = "query($id: ID!) { tokens(orderId: $id, first: 10) { nodes { id code status } } }";
    let tokens = shop.ok(&shop.operator(), read, json!({ "id": order["id"] })).await["tokens"]["nodes"].clone();
    let (_, token) = shop.verified("ann@example.test").await;
    let ann = shop.bearer(&token).await;
    for _ in 0..2 {
        shop.act(&ann, "tokenRedeem", json!({ "code": tokens[0]["code"], "idempotencyKey": "mine" }), "").await;
    }
    let seen: Vec<_> = lots(&shop, "ann@example.test").await.iter().map(|lot| (lot.figures.count, lot.tied)).collect();
    assert_eq!(seen, [(40, ProductId::parse(&library))]);
    spend(&shop, "ann@example.test", 15, &[&library]).await;

    // An unused seat has given nothing; the redeemed one gives back what is unspent.
    refund(&shop, &order, json!({ "lines": of_line(&order, 0, json!({ "tokenIds": [tokens[1]["id"]] })), "access": "END" })).await;
    refund(&shop, &order, json!({ "lines": of_line(&order, 0, json!({ "tokenIds": [tokens[0]["id"]] })), "access": "END" })).await;
    assert_eq!(refunds(&shop, &order).await, [succeeded(0, 0), succeeded(25, 15)]);
    assert_eq!(balance(&shop, "ann@example.test").await, 0);
    let dead = json!({ "code": tokens[1]["code"], "idempotencyKey": "late" });
    assert_eq!(shop.denied(&ann, "tokenRedeem", dead).await, one("TOKEN_VOID", "code"));
}
