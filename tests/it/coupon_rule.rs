//! Coupons as operators handle them: made, changed, found, counted; batches of codes made and made fewer; what became of their uses.

use std::collections::HashSet;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use bursar::http::export;
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::util::{TestApp, amount, id};

const RULES: &str = "kind scope percent amount { amount currency } productId price { amount } credits providerIds productIds productCodes
    courseKinds eventIds sessionIds companyIds currencies minimumPurchase { amount currency } startsAt endsAt totalUses usesPerCustomer audience";

fn shown() -> String {
    format!("coupon {{ id name status active version used codes prefixes rules {{ {RULES} }} }} warnings {{ code field message }}")
}

async fn made(shop: &TestApp, input: Value) -> Value {
    shop.act(&shop.operator(), "couponCreate", input, &shown()).await["coupon"].clone()
}

async fn ten_percent(shop: &TestApp, code: &str, more: Value) -> String {
    let mut input = json!({ "kind": "DISCOUNT", "percent": "10", "scope": "ORDER", "codes": [code] });
    for (name, value) in more.as_object().expect("fields") {
        input[name] = value.clone();
    }
    id(&made(shop, input).await)
}

/// The id of the coupon that has this code.
async fn coupon_of(shop: &TestApp, code: &str) -> Value {
    let query = "query($code: String) { coupon(code: $code) { id } }";
    shop.ok(&shop.operator(), query, json!({ "code": code })).await["coupon"]["id"].clone()
}

async fn changed(shop: &TestApp, input: Value) -> Value {
    shop.act(&shop.operator(), "couponUpdate", input, &shown()).await["coupon"].clone()
}

async fn coupon(shop: &TestApp, id: &str, selection: &str) -> Value {
    let query = format!("query($id: ID!) {{ coupon(id: $id) {{ {selection} }} }}");
    shop.ok(&shop.operator(), &query, json!({ "id": id })).await["coupon"].clone()
}

/// The names of the coupons that a filter lets through, the newest first.
async fn listed(shop: &TestApp, filter: Value) -> Vec<String> {
    let query = "query($filter: CouponFilter) { coupons(filter: $filter) { totalCount nodes { name } } }";
    let data = shop.ok(&shop.operator(), query, json!({ "filter": filter })).await["coupons"].clone();
    let names: Vec<String> =
        data["nodes"].as_array().expect("nodes").iter().map(|node| node["name"].as_str().expect("a name").to_owned()).collect();
    assert_eq!(data["totalCount"], json!(names.len()));
    names
}

/// A guest's cart with one of each, a buyer and a code.
async fn cart(shop: &TestApp, skus: &[&str], code: &str, email: &str) -> (String, String) {
    let (cart, secret) = shop.guest_cart(skus).await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": email, "name": "Ann" }), "cart { id }").await;
    shop.act(&guest, "cartCouponAdd", json!({ "cartId": cart, "code": code }), "cart { id }").await;
    (cart, secret)
}

async fn place(shop: &TestApp, (cart, secret): &(String, String), token: &str, total: &str) -> Value {
    let input = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": token }, "expectedTotal": amount(total),
        "idempotencyKey": cart });
    let query = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
        order { id number status payments { id } } userErrors { code field message } } }";
    shop.run(&shop.guest_with(secret), query, json!({ "input": input })).await["data"]["orderPlace"].clone()
}

async fn bought(shop: &TestApp, sku: &str, code: &str, email: &str, total: &str) -> Value {
    let order = place(shop, &cart(shop, &[sku], code, email).await, "approve", total).await;
    assert_eq!(order["order"]["status"], "FULFILLED", "{order:#}");
    order["order"].clone()
}

/// R63, R77: a coupon keeps every field that it is given, and is found by its id, by `node` and by each spelling of its codes (c09).
#[tokio::test]
async fn r63_a_coupon_is_kept_as_it_was_given() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let product = shop.shelf("L-1", "20.00", &["Smithing"]).await;
    let provider = shop.act(&operator, "providerSet", json!({ "name": "Acme" }), "provider { id }").await["provider"]["id"].clone();
    let company =
        shop.act(&operator, "companyCreate", json!({ "name": "Acme", "type": "RETAIL" }), "company { id }").await["company"]["id"].clone();
    let input = json!({ "name": "Spring sale", "kind": "DISCOUNT", "amount": amount("5.00 USD"), "scope": "ORDER", "codes": ["SPRING", "Été"],
        "prefix": "SP-", "providerIds": [provider], "productIds": [product], "productCodes": ["FX"], "courseKinds": ["EXAM"],
        "companyIds": [company], "currencies": ["USD", "EUR"], "minimumPurchase": amount("50.00 USD"), "firstDay": "2026-03-01",
        "lastDay": "2026-03-31", "totalUses": 100, "usesPerCustomer": null, "audience": "RECURRING" });
    let coupon = made(&shop, input).await;
    assert_eq!(coupon["codes"], json!(["SPRING", "Été"]));
    assert_eq!(coupon["prefixes"], json!(["SP-"]));
    assert_eq!(
        (coupon["name"].clone(), coupon["status"].clone(), coupon["version"].clone(), coupon["used"].clone()),
        (json!("Spring sale"), json!("NOT_STARTED"), json!(1), json!(0))
    );
    assert_eq!(
        coupon["rules"],
        json!({ "kind": "DISCOUNT", "scope": "ORDER", "percent": null, "amount": { "amount": "5.00", "currency": "USD" }, "productId": null,
            "price": null, "credits": null, "providerIds": [provider], "productIds": [product], "productCodes": ["fx"],
            "courseKinds": ["EXAM"], "eventIds": [], "sessionIds": [], "companyIds": [company], "currencies": ["EUR", "USD"],
            "minimumPurchase": { "amount": "50.00", "currency": "USD" }, "startsAt": "2026-03-01T00:00:00+00:00",
            "endsAt": "2026-04-01T00:00:00+00:00", "totalUses": 100, "usesPerCustomer": null, "audience": "RECURRING" })
    );
    let by =
        async |arguments: &str| shop.ok(&operator, &format!("{{ coupon({arguments}) {{ id }} }}"), json!({})).await["coupon"]["id"].clone();
    for code in ["SPRING", " spring ", "ｓｐｒｉｎｇ", "éTÉ", "sp-"] {
        assert_eq!(by(&format!("code: \"{code}\"")).await, coupon["id"], "{code}");
    }
    assert_eq!(by("code: \"AUTUMN\"").await, Value::Null);
    assert_eq!(by("code: \"🎉\"").await, Value::Null);
    assert_eq!(by("id: \"nonsense\"").await, Value::Null);
    let node = shop.ok(&operator, "query($id: ID!) { node(id: $id) { id __typename } }", json!({ "id": coupon["id"] })).await;
    assert_eq!(node["node"], json!({ "id": coupon["id"], "__typename": "Coupon" }));
    let hidden = shop.ok(&shop.guest(), "query($id: ID!) { node(id: $id) { id } }", json!({ "id": coupon["id"] })).await;
    assert_eq!(hidden["node"], Value::Null);

    // R33: a pack demands product, price and credits.
    let pack = json!({ "kind": "PACK", "productId": product, "price": amount("9.00 USD"), "credits": 10, "codes": ["PACK10"] });
    let pack = made(&shop, pack).await;
    assert_eq!((pack["rules"]["credits"].clone(), pack["rules"]["price"]["amount"].clone()), (json!(10), json!("9.00")));
    let bare = shop.denied(&operator, "couponCreate", json!({ "kind": "PACK", "codes": ["PACK11"] })).await;
    assert_eq!(
        bare,
        [("REQUIRED", "productId"), ("REQUIRED", "price"), ("REQUIRED", "credits")].map(|(code, at)| (code.to_owned(), at.to_owned()))
    );

    assert_eq!(listed(&shop, json!({})).await, ["PACK10", "Spring sale"]);
    assert_eq!(listed(&shop, json!({ "kind": "PACK" })).await, ["PACK10"]);
    assert_eq!(listed(&shop, json!({ "code": "PRIN" })).await, ["Spring sale"]);
    assert_eq!(listed(&shop, json!({ "companyId": company })).await, ["Spring sale"]);
    assert_eq!(listed(&shop, json!({ "companyId": "com_00000000000000000000000001" })).await, Vec::<String>::new());
}

/// Bad input: each bad field is named, and nothing was written.
#[tokio::test]
async fn r63_bad_coupons_are_refused_field_by_field() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let course = shop.course("No event").await;
    for (more, refusals) in [
        (json!({ "percent": "0" }), vec![("INVALID", "percent")]),
        (json!({ "percent": "101" }), vec![("INVALID", "percent")]),
        (json!({ "amount": amount("-1.00 USD") }), vec![("INVALID", "amount")]),
        (json!({ "amount": amount("1.001 USD") }), vec![("TOO_MANY_DIGITS", "amount.amount")]),
        (json!({ "percent": "10", "amount": amount("1.00 USD") }), vec![("INVALID", "percent")]),
        (json!({}), vec![("REQUIRED", "percent")]),
        (json!({ "percent": "5", "totalUses": 0, "usesPerCustomer": -1 }), vec![("INVALID", "totalUses"), ("INVALID", "usesPerCustomer")]),
        (
            json!({ "percent": "5", "startsAt": "2026-02-01T00:00:00Z", "endsAt": "2026-02-01T00:00:00Z" }),
            vec![("WINDOW_INVALID", "endsAt")],
        ),
        (json!({ "percent": "5", "firstDay": "2026-02-02", "lastDay": "2026-02-01" }), vec![("WINDOW_INVALID", "lastDay")]),
        (json!({ "percent": "5", "providerIds": ["pro_00000000000000000000000001"] }), vec![("NOT_FOUND", "providerIds.0")]),
        (json!({ "percent": "5", "productIds": ["nonsense"] }), vec![("NOT_FOUND", "productIds.0")]),
        (json!({ "percent": "5", "eventIds": [course] }), vec![("NOT_FOUND", "eventIds.0")]),
        (json!({ "percent": "5", "sessionIds": ["ses_00000000000000000000000001"] }), vec![("NOT_FOUND", "sessionIds.0")]),
        (json!({ "percent": "5", "companyIds": ["com_00000000000000000000000001"] }), vec![("NOT_FOUND", "companyIds.0")]),
        (json!({ "percent": "5", "currencies": ["USD", "XXY"] }), vec![("UNKNOWN_CURRENCY", "currencies.1")]),
        (
            json!({ "percent": "5", "codes": ["OK", "TEN OFF", "🎉", ""] }),
            vec![("INVALID", "codes.1"), ("INVALID", "codes.2"), ("REQUIRED", "codes.3")],
        ),
        (json!({ "percent": "5", "codes": ["A".repeat(10_000)], "prefix": " " }), vec![("TOO_LONG", "codes.0"), ("REQUIRED", "prefix")]),
    ] {
        let mut input = json!({ "kind": "DISCOUNT", "codes": ["TEST"] });
        for (name, value) in more.as_object().expect("fields") {
            input[name] = value.clone();
        }
        let refusals: Vec<(String, String)> = refusals.into_iter().map(|(code, field)| (code.to_owned(), field.to_owned())).collect();
        assert_eq!(shop.denied(&operator, "couponCreate", input.clone()).await, refusals, "{input}");
    }
    assert_eq!(listed(&shop, json!({})).await, Vec::<String>::new());
}

/// R74, c09: codes and prefixes are one namespace, whatever the case, even for many who ask at once; switched-off ones stay reserved.
#[tokio::test]
async fn r74_c09_codes_and_prefixes_are_unique_in_the_shop() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let first = ten_percent(&shop, "ALUM15", json!({ "prefix": "FEST-" })).await;
    shop.act(&operator, "couponDeactivate", json!({ "id": first }), "coupon { active }").await;
    let taken = |fields: &[&str]| fields.iter().map(|field| ("COUPON_CODE_TAKEN".to_owned(), (*field).to_owned())).collect::<Vec<_>>();
    let discount = |codes: Value, prefix: Value| json!({ "kind": "DISCOUNT", "percent": "5", "codes": codes, "prefix": prefix });
    for (codes, prefix, fields) in [
        (json!(["alum15"]), json!(null), &["codes.0"][..]),
        (json!(["OTHER", " Alum15 ", "fest-"]), json!(null), &["codes.1", "codes.2"]),
        (json!([]), json!("ALUM15"), &["prefix"]),
        (json!(["TWICE", "twice"]), json!("TWICE"), &["codes.1", "prefix"]),
    ] {
        assert_eq!(shop.denied(&operator, "couponCreate", discount(codes, prefix)).await, taken(fields));
    }
    let again = shop.denied(&operator, "couponUpdate", json!({ "id": first, "codes": ["ALUM15"] })).await;
    assert_eq!(again, taken(&["codes.0"]));
    assert_eq!(listed(&shop, json!({})).await, ["ALUM15"], "what was refused left nothing");
    changed(&shop, json!({ "id": first, "codes": ["ALUM16"] })).await;
    assert_eq!(coupon(&shop, &first, "codes").await["codes"], json!(["ALUM15", "ALUM16"]));

    let query = "mutation($input: CouponCreateInput!) { couponCreate(input: $input) { coupon { id } userErrors { code } } }";
    let tries = (0..8).map(|n| {
        let code = if n % 2 == 0 { "RUSH" } else { "rush" };
        shop.run(&operator, query, json!({ "input": discount(json!([code]), json!(null)) }))
    });
    let answers = join_all(tries).await;
    let done = answers.iter().filter(|answer| answer["data"]["couponCreate"]["coupon"].is_object()).count();
    let refused = answers.iter().filter(|answer| answer["data"]["couponCreate"]["userErrors"][0]["code"] == "COUPON_CODE_TAKEN").count();
    assert_eq!((done, refused), (1, 7), "{answers:#?}");
}

/// c11, SPEC 2: the days of a coupon for one company's carts are that company's: its last day ends at midnight there.
#[tokio::test]
async fn c11_the_days_of_a_companys_coupon_are_those_of_its_zone() {
    let shop = TestApp::new().await;
    let company = async |name: &str, zone: &str| {
        let input = json!({ "name": name, "type": "RETAIL", "timeZone": zone });
        id(&shop.act(&shop.operator(), "companyCreate", input, "company { id }").await["company"])
    };
    let (york, warsaw) = (company("York", "America/New_York").await, company("Warsaw", "Europe/Warsaw").await);
    let days = json!({ "firstDay": "2026-07-01", "lastDay": "2026-07-06" });
    for (code, companies, starts, ends) in [
        ("ONE", vec![&york], "2026-07-01T04:00:00+00:00", "2026-07-07T04:00:00+00:00"),
        ("TWO", vec![&york, &warsaw], "2026-07-01T00:00:00+00:00", "2026-07-07T00:00:00+00:00"),
        ("NONE", vec![], "2026-07-01T00:00:00+00:00", "2026-07-07T00:00:00+00:00"),
    ] {
        let mut more = days.clone();
        more["companyIds"] = json!(companies);
        let coupon_id = ten_percent(&shop, code, more).await;
        let rules = coupon(&shop, &coupon_id, "rules { startsAt endsAt }").await["rules"].clone();
        assert_eq!(rules, json!({ "startsAt": starts, "endsAt": ends }), "{code}");
        if code == "ONE" {
            let input = json!({ "id": coupon_id, "lastDay": "2026-12-24" });
            assert_eq!(changed(&shop, input).await["rules"]["endsAt"], "2026-12-25T05:00:00+00:00", "its companies stayed");
        }
    }
}

/// R74: many codes given at once, by several operators and in different orders, go to one of them; the others are told which are taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r74_codes_given_at_once_in_other_orders_go_to_one() {
    let shop = TestApp::new().await;
    for round in 0..4 {
        let codes: Vec<String> = (0..200).map(|number| format!("R{round}-{number}")).collect();
        let reversed: Vec<&String> = codes.iter().rev().collect();
        let input = |codes: Value| json!({ "input": { "kind": "DISCOUNT", "percent": "10", "codes": codes } });
        let query = "mutation($input: CouponCreateInput!) { couponCreate(input: $input) { coupon { id } userErrors { code } } }";
        let operator = shop.operator();
        let answers = join_all([json!(codes), json!(reversed), json!(codes), json!(reversed)].map(|codes| {
            let shop = &shop;
            let operator = &operator;
            async move { shop.run(operator, query, input(codes)).await }
        }))
        .await;
        assert!(answers.iter().all(|answer| answer.get("errors").is_none()), "no fault: {answers:#?}");
        let made = answers.iter().filter(|answer| answer["data"]["couponCreate"]["coupon"].is_object()).count();
        let taken = answers.iter().filter(|answer| answer["data"]["couponCreate"]["userErrors"][0]["code"] == "COUPON_CODE_TAKEN").count();
        assert_eq!((made, taken), (1, 3));
    }
}

/// SPEC 13: a list of coupons with all that belongs to each costs the same statements for one and for a hundred.
#[tokio::test]
async fn a_list_of_coupons_is_a_fixed_number_of_statements() {
    let shop = TestApp::new().await;
    for number in 0..100 {
        ten_percent(&shop, &format!("C{number}"), json!({})).await;
    }
    let query = "query($first: Int) { coupons(first: $first) { nodes { codes prefixes batches { id }
        versions(first: 1) { totalCount nodes { version } } uses(first: 1) { totalCount nodes { code } pageInfo { hasNextPage } } } } }";
    shop.shelf("A", "20.00", &["One"]).await;
    for (number, code) in ["C99", "C98", "C98"].iter().enumerate() {
        bought(&shop, "A", code, &format!("ann{number}@example.test"), "18.00 USD").await;
    }
    changed(&shop, json!({ "id": coupon_of(&shop, "C98").await, "name": "Changed" })).await;
    for first in [1, 40, 100] {
        let (answer, count) = shop.counted(&shop.operator(), query, json!({ "first": first })).await;
        let nodes = answer["data"]["coupons"]["nodes"].as_array().expect("nodes").clone();
        assert_eq!(nodes.len(), first);
        assert_eq!(count, 7, "of {first}");
        let told = |node: &Value| {
            let [versions, uses] = ["versions", "uses"].map(|list| (node[list]["totalCount"].clone(), node[list]["nodes"].clone()));
            (versions, uses, node["uses"]["pageInfo"]["hasNextPage"].clone())
        };
        let (version, used) = (|number: u32| json!([{ "version": number }]), |code: &str| json!([{ "code": code }]));
        assert_eq!(told(&nodes[0]), ((json!(1), version(1)), (json!(1), used("C99")), json!(false)));
        if first > 1 {
            assert_eq!(told(&nodes[1]), ((json!(2), version(2)), (json!(2), used("C98")), json!(true)));
            assert_eq!(told(&nodes[2]), ((json!(1), version(1)), (json!(0), json!([])), json!(false)));
        }
    }
    let report = "{ couponReport(filter: { from: \"2026-02-01T00:00:00Z\", until: \"2026-01-01T00:00:00Z\" }) { totalCount } }";
    assert_eq!(shop.top_level_code(&shop.operator(), report, json!({})).await, "BAD_INPUT");
}

/// R36: the first letters of a code say whom it is for, and creation warns of it, unless an audience is given.
#[tokio::test]
async fn r36_a_code_that_begins_with_new_is_warned_of() {
    let shop = TestApp::new().await;
    let input = |more: Value| json!({ "kind": "DISCOUNT", "percent": "5", "codes": ["NewYork", "SPRING"], "audience": more });
    let warned = shop.act(&shop.operator(), "couponCreate", input(json!(null)), &shown()).await;
    let warnings = warned["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0]["code"].clone(), warnings[0]["field"].clone()), (json!("AUDIENCE_FROM_CODE"), json!(["audience"])));
    let mut quiet = input(json!("ANY"));
    quiet["codes"] = json!(["newer"]);
    assert_eq!(shop.act(&shop.operator(), "couponCreate", quiet, &shown()).await["warnings"], json!([]));
    let batch = json!({ "couponId": warned["coupon"]["id"], "prefix": "recurring-", "count": 1 });
    let batch = shop.act(&shop.operator(), "couponBatchCreate", batch, "batch { id } warnings { code }").await;
    assert_eq!(batch["warnings"], json!([{ "code": "AUDIENCE_FROM_CODE" }]));
}

/// R76, c11: statuses follow from facts and time, and the filter agrees with what each coupon shows.
#[tokio::test]
async fn r76_statuses_follow_from_facts() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "20.00", &["Smithing"]).await;
    ten_percent(&shop, "ALWAYS", json!({})).await;
    ten_percent(&shop, "MARCH", json!({ "firstDay": "2026-03-01", "lastDay": "2026-03-31" })).await;
    ten_percent(&shop, "ONCE", json!({ "totalUses": 1 })).await;
    let off = ten_percent(&shop, "OFF", json!({ "lastDay": "2026-01-31" })).await;
    let deactivated = shop.act(&shop.operator(), "couponDeactivate", json!({ "id": off }), "coupon { active status version }").await;
    assert_eq!(deactivated["coupon"], json!({ "active": false, "status": "INACTIVE", "version": 2 }));
    let again = shop.act(&shop.operator(), "couponDeactivate", json!({ "id": off }), "coupon { version }").await;
    assert_eq!(again["coupon"]["version"], 2, "a second time changes nothing");
    bought(&shop, "L-1", "ONCE", "ann@example.test", "18.00 USD").await;
    let check = async |expected: [(&str, &[&str]); 6]| {
        for (status, names) in expected {
            assert_eq!(listed(&shop, json!({ "status": status })).await, names, "{status}");
        }
        let data = shop.ok(&shop.operator(), "{ coupons { nodes { name status } } }", json!({})).await;
        for node in data["coupons"]["nodes"].as_array().expect("nodes") {
            let of = expected.iter().find(|(status, _)| node["status"] == *status).expect("a status");
            assert!(of.1.contains(&node["name"].as_str().expect("a name")), "{node}");
        }
    };
    let none: &[&str] = &[];
    check([
        ("VOID", none),
        ("INACTIVE", &["OFF"]),
        ("EXPIRED", none),
        ("NOT_STARTED", &["MARCH"]),
        ("EXHAUSTED", &["ONCE"]),
        ("STARTED", &["ALWAYS"]),
    ])
    .await;
    shop.set_time("2026-03-31T23:59:59Z");
    check([
        ("VOID", none),
        ("INACTIVE", &["OFF"]),
        ("EXPIRED", none),
        ("NOT_STARTED", none),
        ("EXHAUSTED", &["ONCE"]),
        ("STARTED", &["MARCH", "ALWAYS"]),
    ])
    .await;
    shop.set_time("2026-04-01T00:00:00Z");
    assert_eq!(changed(&shop, json!({ "id": off, "active": true })).await["status"], "EXPIRED");
    check([
        ("VOID", none),
        ("INACTIVE", none),
        ("EXPIRED", &["OFF", "MARCH"]),
        ("NOT_STARTED", none),
        ("EXHAUSTED", &["ONCE"]),
        ("STARTED", &["ALWAYS"]),
    ])
    .await;
}

/// R63, R77: what a coupon gives is fixed once an order holds or has used it, and free again when that order gives it back; all else can
/// change. Each change is a version that stays.
#[tokio::test]
async fn r63_r77_the_effect_is_fixed_once_used_and_versions_stay() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    shop.shelf("L-1", "20.00", &["Smithing"]).await;
    let coupon_id = ten_percent(&shop, "TEN", json!({})).await;
    let unused = changed(&shop, json!({ "id": coupon_id, "percent": "20", "expectedVersion": 1 })).await;
    assert_eq!((unused["version"].clone(), unused["rules"]["percent"].clone()), (json!(2), json!("20")));
    let stale = shop.denied(&operator, "couponUpdate", json!({ "id": coupon_id, "percent": "30", "expectedVersion": 1 })).await;
    assert_eq!(stale, [("COUPON_CHANGED".to_owned(), "expectedVersion".to_owned())]);

    let held = place(&shop, &cart(&shop, &["L-1"], "TEN", "ann@example.test").await, "pending", "16.00 USD").await;
    assert_eq!(held["order"]["status"], "PENDING_PAYMENT", "{held:#}");
    for (change, field) in [
        (json!({ "percent": "21" }), "percent"),
        (json!({ "amount": amount("5.00 USD") }), "amount"),
        (json!({ "scope": "ITEM" }), "scope"),
    ] {
        let mut input = json!({ "id": coupon_id });
        for (name, value) in change.as_object().expect("fields") {
            input[name] = value.clone();
        }
        let refused = shop.denied(&operator, "couponUpdate", input).await;
        assert_eq!(refused, [("COUPON_EFFECT_FIXED".to_owned(), field.to_owned())]);
    }
    let limited =
        changed(&shop, json!({ "id": coupon_id, "totalUses": 5, "minimumPurchase": amount("10.00 USD"), "percent": "20.0" })).await;
    assert_eq!((limited["version"].clone(), limited["used"].clone()), (json!(3), json!(1)), "the use that waits is counted from now on");
    assert_eq!(
        coupon(&shop, &coupon_id, "uses { nodes { state version discount { amount } orderNumber orderStatus } }").await["uses"]["nodes"],
        json!([{ "state": "RESERVED", "version": 2, "discount": { "amount": "4.00" }, "orderNumber": held["order"]["number"], "orderStatus": "PENDING_PAYMENT" }])
    );

    shop.act(&operator, "orderCancel", json!({ "orderId": held["order"]["id"], "idempotencyKey": "c" }), "order { status }").await;
    assert_eq!(coupon(&shop, &coupon_id, "used").await["used"], 0, "it is given back");
    let mended = changed(&shop, json!({ "id": coupon_id, "amount": amount("5.00 USD") })).await;
    assert_eq!((mended["rules"]["percent"].clone(), mended["rules"]["amount"]["amount"].clone()), (Value::Null, json!("5.00")));
    let same = changed(&shop, json!({ "id": coupon_id, "amount": amount("5.00 USD"), "name": "TEN" })).await;
    assert_eq!(same["version"], 4, "the same again is no change");
    let history = coupon(
        &shop,
        &coupon_id,
        "versions(first: 3) { totalCount pageInfo { hasNextPage } nodes { version actor rules { percent totalUses } } }",
    )
    .await;
    let versions = &history["versions"];
    assert_eq!((versions["totalCount"].clone(), versions["pageInfo"]["hasNextPage"].clone()), (json!(4), json!(true)));
    let told: Vec<(Value, Value, Value)> = versions["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| (node["version"].clone(), node["rules"]["percent"].clone(), node["rules"]["totalUses"].clone()))
        .collect();
    assert_eq!(told, [(json!(4), json!(null), json!(5)), (json!(3), json!("20"), json!(5)), (json!(2), json!("20"), json!(null))]);
    for id in ["cpn_00000000000000000000000001", "nonsense"] {
        assert_eq!(
            shop.denied(&operator, "couponUpdate", json!({ "id": id, "name": "x" })).await,
            [("NOT_FOUND".to_owned(), "id".to_owned())]
        );
    }
}

/// R63: a limit of uses that comes, goes and comes again counts the same uses each time.
#[tokio::test]
async fn r63_a_limit_of_uses_counts_what_was_used_before_it() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "20.00", &["Smithing"]).await;
    let id = ten_percent(&shop, "TEN", json!({})).await;
    for buyer in ["a", "b", "c"] {
        bought(&shop, "L-1", "TEN", &format!("{buyer}@example.test"), "18.00 USD").await;
    }
    assert_eq!(coupon(&shop, &id, "used status").await, json!({ "used": null, "status": "STARTED" }));
    for (limit, used, status) in [
        (json!(4), json!(3), "STARTED"),
        (json!(3), json!(3), "EXHAUSTED"),
        (json!(null), json!(null), "STARTED"),
        (json!(2), json!(3), "EXHAUSTED"),
    ] {
        let now = changed(&shop, json!({ "id": id, "totalUses": limit })).await;
        assert_eq!((now["used"].clone(), now["status"].clone()), (used, json!(status)), "{limit}");
    }
}

async fn batch(shop: &TestApp, coupon: &str, prefix: Value, count: u32) -> Value {
    let input = json!({ "couponId": coupon, "prefix": prefix, "count": count });
    shop.act(&shop.operator(), "couponBatchCreate", input, "batch { id prefix count made doneAt }").await["batch"].clone()
}

/// (code, status, useState) of each code of a batch, in order of making.
async fn codes(shop: &TestApp, batch: &Value) -> Vec<(String, String, Option<String>)> {
    let query = "query($id: ID!) { couponCodes(batchId: $id, first: 100) { totalCount nodes { code status useState } } }";
    let data = shop.ok(&shop.operator(), query, json!({ "id": batch["id"] })).await["couponCodes"].clone();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let nodes = data["nodes"].as_array().expect("nodes");
    nodes
        .iter()
        .map(|node| (text(&node["code"]).expect("a code"), text(&node["status"]).expect("a status"), text(&node["useState"])))
        .collect()
}

/// R67: a batch is that number of different codes with one prefix, which serves all batches of its coupon and no other one.
#[tokio::test]
async fn r67_a_batch_is_as_many_different_codes_with_one_prefix() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let coupon_id = ten_percent(&shop, "TEN", json!({})).await;
    for count in [0, -1, 1_000_001] {
        let input = json!({ "couponId": coupon_id, "prefix": "FEST-", "count": count });
        assert_eq!(shop.denied(&operator, "couponBatchCreate", input).await, [("QUANTITY_INVALID".to_owned(), "count".to_owned())]);
    }
    let bare = shop.denied(&operator, "couponBatchCreate", json!({ "couponId": coupon_id, "count": 1 })).await;
    assert_eq!(bare, [("REQUIRED".to_owned(), "prefix".to_owned())]);
    let first = batch(&shop, &coupon_id, json!("FEST-"), 30).await;
    assert_eq!((first["count"].clone(), first["made"].clone(), first["doneAt"].is_string()), (json!(30), json!(30), true));
    let made = codes(&shop, &first).await;
    let different: HashSet<&str> = made.iter().map(|(code, ..)| code.as_str()).collect();
    assert_eq!(different.len(), 30);
    assert!(made.iter().all(|(code, status, used)| code.starts_with("FEST-") && code.len() == 15 && status == "STARTED" && used.is_none()));
    let second = batch(&shop, &coupon_id, json!("fest-"), 5).await;
    let third = batch(&shop, &coupon_id, json!(null), 5).await;
    assert_eq!((second["prefix"].clone(), third["prefix"].clone()), (json!("FEST-"), json!("FEST-")));
    let other = ten_percent(&shop, "OTHER", json!({})).await;
    let taken = shop.denied(&operator, "couponBatchCreate", json!({ "couponId": other, "prefix": "FEST-", "count": 1 })).await;
    assert_eq!(taken, [("COUPON_CODE_TAKEN".to_owned(), "prefix".to_owned())]);
    let listed = coupon(&shop, &coupon_id, "prefixes batches { count made }").await;
    assert_eq!(
        listed,
        json!({ "prefixes": ["FEST-"], "batches": [{ "count": 30, "made": 30 }, { "count": 5, "made": 5 }, { "count": 5, "made": 5 }] })
    );
    // The prefix itself is no code.
    shop.shelf("L-1", "20.00", &["Smithing"]).await;
    let (cart, secret) = shop.guest_cart(&["L-1"]).await;
    let refused = shop.denied(&shop.guest_with(&secret), "cartCouponAdd", json!({ "cartId": cart, "code": "FEST-" })).await;
    assert_eq!(refused, [("NOT_FOUND".to_owned(), "code".to_owned())]);
}

/// R67: above 10,000 the codes are made in the background; how far it is can be seen, and meanwhile the size is not changed.
#[tokio::test]
async fn r67_a_large_batch_is_made_in_the_background() {
    let shop = TestApp::new().await;
    let coupon_id = ten_percent(&shop, "TEN", json!({})).await;
    let begun = batch(&shop, &coupon_id, json!("BIG"), 10_001).await;
    assert_eq!((begun["count"].clone(), begun["made"].clone(), begun["doneAt"].clone()), (json!(10_001), json!(0), Value::Null));
    let early = shop.denied(&shop.operator(), "couponBatchResize", json!({ "batchId": begun["id"], "count": 10 })).await;
    assert_eq!(early, [("BATCH_UNDER_WAY".to_owned(), String::new())]);
    shop.jobs().await;
    let query =
        "query($id: ID!) { node(id: $id) { ... on CouponBatch { count made doneAt } } couponCodes(batchId: $id, first: 1) { totalCount } }";
    let done = shop.ok(&shop.operator(), query, json!({ "id": begun["id"] })).await;
    assert_eq!((done["node"]["made"].clone(), done["couponCodes"]["totalCount"].clone()), (json!(10_001), json!(10_001)));
    assert!(done["node"]["doneAt"].is_string());
}

/// R72: making a batch smaller voids its newest free codes and names them; used ones and held ones never; if too few are free, nothing changes.
#[tokio::test]
async fn r72_making_a_batch_smaller_voids_the_newest_free_codes() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    shop.shelf("L-1", "20.00", &["Smithing"]).await;
    let coupon_id = ten_percent(&shop, "TEN", json!({ "usesPerCustomer": null })).await;
    let made = batch(&shop, &coupon_id, json!("FEST-"), 10).await;
    let all: Vec<String> = codes(&shop, &made).await.into_iter().map(|(code, ..)| code).collect();
    // The newest is spent, the one before is held by an order that waits.
    let spent = bought(&shop, "L-1", &all[9], "ann@example.test", "18.00 USD").await;
    place(&shop, &cart(&shop, &["L-1"], &all[8], "bob@example.test").await, "pending", "18.00 USD").await;
    let resize = |count: i32| json!({ "batchId": made["id"], "count": count });
    let query = "mutation($input: CouponBatchResizeInput!) { couponBatchResize(input: $input) { userErrors { code field message } } }";
    let refused = shop.run(&operator, query, json!({ "input": resize(1) })).await["data"]["couponBatchResize"]["userErrors"][0].clone();
    assert_eq!((refused["code"].clone(), refused["field"].clone()), (json!("BATCH_TOO_FEW_FREE"), json!(["count"])));
    let message = refused["message"].as_str().expect("a message");
    assert!(
        message.contains("9 codes would have to become void, but only 8 are free") && message.contains("2 codes at the least"),
        "{message}"
    );
    for count in [-1, 1_000_001] {
        assert_eq!(shop.denied(&operator, "couponBatchResize", resize(count)).await, [("QUANTITY_INVALID".to_owned(), "count".to_owned())]);
    }
    assert!(codes(&shop, &made).await.iter().all(|(_, status, _)| status != "VOID"), "nothing changed");

    let selection = "batch { count made } voidedCodes";
    let smaller = shop.act(&operator, "couponBatchResize", resize(7), selection).await;
    assert_eq!(smaller, json!({ "batch": { "count": 7, "made": 7 }, "voidedCodes": [all[7], all[6], all[5]], "userErrors": [] }));
    let states: Vec<(String, Option<String>)> = codes(&shop, &made).await.into_iter().map(|(_, status, used)| (status, used)).collect();
    let state = |status: &str, used: Option<&str>| (status.to_owned(), used.map(str::to_owned));
    assert_eq!(states[4], state("STARTED", None));
    assert_eq!(states[5..8], [state("VOID", None), state("VOID", None), state("VOID", None)]);
    assert_eq!(states[8..], [state("EXHAUSTED", Some("RESERVED")), state("EXHAUSTED", Some("SPENT"))]);
    let (cart, secret) = shop.guest_cart(&["L-1"]).await;
    let void = shop.denied(&shop.guest_with(&secret), "cartCouponAdd", json!({ "cartId": cart, "code": all[7] })).await;
    assert_eq!(void.len(), 1, "a void code is not taken: {void:?}");
    let numbers = shop
        .ok(&operator, "query($id: ID!) { couponCodes(batchId: $id) { nodes { orderNumber voidAt } } }", json!({ "id": made["id"] }))
        .await;
    assert_eq!(numbers["couponCodes"]["nodes"][9]["orderNumber"], spent["number"]);
    assert_eq!(numbers["couponCodes"]["nodes"][7]["voidAt"], "2026-01-01T00:00:00+00:00");
    // Larger again: new codes, the void ones stay so.
    let larger = shop.act(&operator, "couponBatchResize", resize(9), selection).await;
    assert_eq!(larger, json!({ "batch": { "count": 9, "made": 9 }, "voidedCodes": [], "userErrors": [] }));
    let now = codes(&shop, &made).await;
    assert_eq!((now.len(), now.iter().filter(|(_, status, _)| status == "VOID").count()), (12, 3));
    let least = shop.act(&operator, "couponBatchResize", resize(2), selection).await;
    assert_eq!(least["voidedCodes"].as_array().expect("codes").len(), 7);
}

/// R72: buyers who take codes while a batch is made smaller keep them, and the batch becomes smaller by exactly what was asked or not at all.
#[tokio::test]
async fn r72_codes_that_are_taken_meanwhile_are_never_void() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "20.00", &["Smithing"]).await;
    let coupon_id = ten_percent(&shop, "TEN", json!({ "usesPerCustomer": null })).await;
    let made = batch(&shop, &coupon_id, json!("FEST-"), 12).await;
    let all: Vec<String> = codes(&shop, &made).await.into_iter().map(|(code, ..)| code).collect();
    let mut carts = Vec::new();
    for (place, code) in all[6..].iter().enumerate() {
        carts.push(cart(&shop, &["L-1"], code, &format!("b{place}@example.test")).await);
    }
    let operator = shop.operator();
    let query = "mutation($input: CouponBatchResizeInput!) { couponBatchResize(input: $input) { voidedCodes userErrors { code } } }";
    let resizing = shop.run(&operator, query, json!({ "input": { "batchId": made["id"], "count": 8 } }));
    let placing = join_all(carts.iter().map(|cart| place(&shop, cart, "approve", "18.00 USD")));
    let (resized, placed) = tokio::join!(resizing, placing);
    let resized = &resized["data"]["couponBatchResize"];
    let voided: HashSet<&str> = resized["voidedCodes"].as_array().expect("codes").iter().filter_map(Value::as_str).collect();
    let sold: HashSet<&str> =
        all[6..].iter().zip(&placed).filter(|(_, order)| order["order"].is_object()).map(|(code, _)| code.as_str()).collect();
    assert!(voided.is_disjoint(&sold), "{voided:?} {sold:?}");
    let gone = usize::from(resized["userErrors"] == json!([])) * 4;
    assert_eq!(voided.len(), gone, "{resized:#}");
    let states = codes(&shop, &made).await;
    assert_eq!(states.iter().filter(|(_, status, _)| status == "VOID").count(), gone);
    assert_eq!(states.iter().filter(|(_, _, used)| used.as_deref() == Some("SPENT")).count(), sold.len(), "{placed:#?}");
}

/// R77: uses are listed with their orders, and the report tells uses, discounts and revenue by coupon, period and currency, in a number of
/// statements that does not grow.
#[tokio::test]
async fn r77_uses_and_the_report_tell_what_a_coupon_did() {
    let shop = TestApp::new().await;
    shop.shelf("L-1", "20.00", &["Smithing"]).await;
    shop.shelf("L-2", "30.00", &["Baking"]).await;
    let ten = ten_percent(&shop, "TEN", json!({})).await;
    let first = bought(&shop, "L-1", "TEN", "ann@example.test", "18.00 USD").await;
    shop.pass(TimeDelta::days(40));
    bought(&shop, "L-2", "TEN", "bob@example.test", "27.00 USD").await;
    place(&shop, &cart(&shop, &["L-1"], "TEN", "cid@example.test").await, "pending", "18.00 USD").await;

    let uses = coupon(
        &shop,
        &ten,
        "uses(first: 2) { totalCount pageInfo { hasNextPage endCursor } nodes { code state orderNumber discount { amount } } }",
    )
    .await;
    let uses = &uses["uses"];
    assert_eq!((uses["totalCount"].clone(), uses["pageInfo"]["hasNextPage"].clone()), (json!(3), json!(true)));
    let query = "query($id: ID!, $after: String) { coupon(id: $id) { uses(first: 2, after: $after) { nodes { code state orderNumber discount { amount currency } } } } }";
    let rest = shop.ok(&shop.operator(), query, json!({ "id": ten, "after": uses["pageInfo"]["endCursor"] })).await;
    assert_eq!(
        rest["coupon"]["uses"]["nodes"],
        json!([{ "code": "TEN", "state": "SPENT", "orderNumber": first["number"], "discount": { "amount": "2.00", "currency": "USD" } }])
    );

    let report = "query($filter: CouponReportFilter) { couponReport(filter: $filter) {
        totalCount nodes { coupon { name } uses reserved amounts { discount { amount currency } revenue { amount } } } } }";
    let told = async |filter: Value| shop.ok(&shop.operator(), report, json!({ "filter": filter })).await["couponReport"]["nodes"].clone();
    let row = |uses: i32, reserved: i32, discount: &str, revenue: &str| {
        json!([{ "coupon": { "name": "TEN" }, "uses": uses, "reserved": reserved,
            "amounts": [{ "discount": { "amount": discount, "currency": "USD" }, "revenue": { "amount": revenue } }] }])
    };
    assert_eq!(told(json!({})).await, row(2, 1, "5.00", "45.00"));
    assert_eq!(told(json!({ "until": "2026-02-01T00:00:00Z" })).await, row(1, 0, "2.00", "18.00"));
    assert_eq!(told(json!({ "from": "2026-02-01T00:00:00Z", "couponId": ten })).await, row(1, 1, "3.00", "27.00"));

    let (_, few) = shop.counted(&shop.operator(), report, json!({})).await;
    let list = "{ coupons { nodes { name status codes prefixes batches { made } } } }";
    let (_, few_listed) = shop.counted(&shop.operator(), list, json!({})).await;
    for n in 0..12 {
        let more = ten_percent(&shop, &format!("MORE{n}"), json!({ "prefix": format!("P{n}-") })).await;
        batch(&shop, &more, json!(null), 2).await;
    }
    assert_eq!(shop.counted(&shop.operator(), report, json!({})).await.1, few);
    assert_eq!(shop.counted(&shop.operator(), list, json!({})).await.1, few_listed);
}

/// R64: a product can be closed to coupons, and opened again.
#[tokio::test]
async fn r64_a_product_can_be_closed_to_coupons() {
    let shop = TestApp::new().await;
    let product = shop.shelf("L-1", "20.00", &["Smithing"]).await;
    ten_percent(&shop, "TEN", json!({})).await;
    let set = async |couponable: bool| {
        let input = json!({ "id": product, "couponable": couponable });
        shop.act(&shop.operator(), "productUpdate", input, "product { couponable }").await["product"]["couponable"].clone()
    };
    let (cart, secret) = cart(&shop, &["L-1"], "TEN", "ann@example.test").await;
    let total = async || {
        let query = "query($id: ID!) { cart(id: $id) { total { amount } coupons { reason { code } } } }";
        let cart = shop.ok(&shop.guest_with(&secret), query, json!({ "id": cart })).await["cart"].clone();
        (cart["total"]["amount"].clone(), cart["coupons"][0]["reason"]["code"].clone())
    };
    assert_eq!(total().await, (json!("18.00"), Value::Null));
    assert_eq!(set(false).await, json!(false));
    assert_eq!(total().await, (json!("20.00"), json!("REACHES_NO_LINE")));
    assert_eq!(set(true).await, json!(true));
    assert_eq!(total().await, (json!("18.00"), Value::Null));
}

/// R67: the codes of a batch as a file, for those who may read coupons; no cell of it begins a formula.
#[tokio::test]
async fn r67_the_codes_of_a_batch_are_a_file() {
    let shop = TestApp::new().await;
    let coupon_id = ten_percent(&shop, "TEN", json!({})).await;
    let made = batch(&shop, &coupon_id, json!("-FEST"), 2_500).await;
    let key = async |scopes: &[&str]| {
        let input = json!({ "name": "export", "role": "SERVICE", "scopes": scopes });
        let made = shop.act(&shop.operator(), "serviceKeyCreate", input, "secret").await;
        made["secret"].as_str().expect("a secret").to_owned()
    };
    let router: Router = export::routes(&shop.app);
    let get = async |query: &str, bearer: Option<&str>| {
        let mut request = Request::get(format!("/export/coupon-codes.csv{query}"));
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let answer = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("routers do not fail");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.expect("the whole file");
        (status, String::from_utf8(body.into()).expect("UTF-8"))
    };
    let reader = key(&["coupons:read"]).await;
    let of = format!("?batchId={}", id(&made));
    assert_eq!(get(&of, None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&of, Some("made-up")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&of, Some(&key(&["catalog:read"]).await)).await.0, StatusCode::FORBIDDEN);
    for nothing in ["", "?batchId=nonsense", "?batchId=bat_00000000000000000000000001"] {
        assert_eq!(get(nothing, None).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(get(nothing, Some(&reader)).await.0, StatusCode::NOT_FOUND, "{nothing}");
    }
    let (status, text) = get(&of, Some(&reader)).await;
    assert_eq!(status, StatusCode::OK);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), ("code,status,use,order,void_at,created_at", 2_501));
    let different: HashSet<&&str> = lines[1..].iter().collect();
    assert_eq!(different.len(), 2_500);
    assert!(lines[1..].iter().all(|line| line.starts_with("'-FEST") && line.ends_with(",STARTED,,,,2026-01-01T00:00:00Z")), "{}", lines[1]);
}
