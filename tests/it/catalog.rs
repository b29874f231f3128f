//! The catalogue: what operators make and change, what is refused and why, what products derive from it, and what lists cost.

use bursar::app::entropy::{next_id, next_uuid};
use bursar::store::product::stale;
use chrono::TimeDelta;
use domain::{AccountId, CourseId, GroupId};
use entity::{account, company, company_member, person};
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::{Value, json};

use crate::util::{TestApp, amount, id};

fn refusal(code: &str, field: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), field.to_owned())]
}

/// Nothing that products derive from others is out of date.
async fn assert_derived(shop: &TestApp, after: &str) {
    let stale = stale(shop.app.db.read()).await.expect("the products are read");
    assert!(stale.is_empty(), "after {after}, what is derived of {stale:?} is not what a computation from scratch gives");
}

/// R42, R47, R55: a library with its product, courses in order, and everything an operator's list shows.
#[tokio::test]
async fn r42_r47_r55_a_library_is_made_with_its_product() {
    let shop = TestApp::new().await;
    let (a, b) = (shop.course("Anvil").await, shop.course("Bellows").await);
    let input = json!({
        "title": " Smithing ", "description": "Two crafts.\r\nOne fire.", "productCode": "CRAFT", "sku": "LIB-1", "accessDays": 365,
        "courseIds": [b, a], "prices": [amount("49.5 USD"), amount("1200 JPY")], "ordered": true,
    });
    let fields = "library { id title description sku productCode accessDays unitPrice { amount currency } ordered createdAt touchedAt
        courses { title } product { sku state listed title kind terms { value unit anchor text } prices { amount { amount currency } actor }
        target { __typename ... on Library { title } } } }";
    let operator = shop.operator();
    let made = shop.act(&operator, "libraryCreate", input, fields).await;
    let mut library = made["library"].clone();
    library.as_object_mut().expect("an object").remove("id");
    assert_eq!(
        library,
        json!({
            "title": "Smithing", "description": "Two crafts.\nOne fire.", "sku": "LIB-1", "productCode": "CRAFT", "accessDays": 365,
            "unitPrice": {"amount": "49.50", "currency": "USD"}, "ordered": true,
            "createdAt": "2026-01-01T00:00:00+00:00", "touchedAt": "2026-01-01T00:00:00+00:00",
            "courses": [{"title": "Bellows"}, {"title": "Anvil"}],
            "product": {
                "sku": "LIB-1", "state": "ON_SALE", "listed": true, "title": "Smithing", "kind": "LIBRARY",
                "terms": {"value": 365, "unit": "DAYS", "anchor": "FIRST_START", "text": "365 days from the first start"},
                "prices": [
                    {"amount": {"amount": "49.50", "currency": "USD"}, "actor": operator.actor()},
                    {"amount": {"amount": "1200", "currency": "JPY"}, "actor": operator.actor()},
                ],
                "target": {"__typename": "Library", "title": "Smithing"},
            },
        })
    );
    assert_derived(&shop, "libraryCreate").await;
}

/// R42, R43: a library without courses is there and not sold; a course sits in several libraries.
#[tokio::test]
async fn r42_r43_a_library_is_sold_once_it_holds_a_course() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let course = shop.course("Anvil").await;
    let (one, _) = shop.library("ONE", "One", "1 USD", &[]).await;
    let (two, _) = shop.library("TWO", "Two", "2 USD", &[&course]).await;
    let listed = |id: String| {
        let (shop, operator) = (&shop, operator.clone());
        async move {
            shop.ok(&operator, "query($id: ID!) { library(id: $id) { product { listed } } }", json!({ "id": id })).await["library"]["product"]["listed"].clone()
        }
    };
    assert_eq!((listed(one.clone()).await, listed(two.clone()).await), (json!(false), json!(true)));
    shop.act(&operator, "libraryCoursesSet", json!({ "libraryId": one, "courseIds": [course] }), "library { id }").await;
    assert_eq!(listed(one.clone()).await, json!(true));
    let held = shop.ok(&operator, "query($id: ID!) { course(id: $id) { libraries { title } } }", json!({ "id": course })).await;
    assert_eq!(held["course"]["libraries"], json!([{"title": "One"}, {"title": "Two"}]));
    let twice = json!({ "libraryId": one, "courseIds": [course, course] });
    assert_eq!(shop.denied(&operator, "libraryCoursesSet", twice).await, refusal("COURSE_REPEATED", "courseIds.1"));
    let nothing = next_id::<domain::CourseKind>().to_string();
    let unknown = json!({ "libraryId": one, "courseIds": [course, nothing] });
    assert_eq!(shop.denied(&operator, "libraryCoursesSet", unknown).await, refusal("NOT_FOUND", "courseIds.1"));
    // The only course archived: nothing is left to sell, in either library.
    shop.act(&operator, "courseArchive", json!({ "id": course }), "course { archivedAt }").await;
    assert_eq!((listed(one).await, listed(two).await), (json!(false), json!(false)));
    assert_derived(&shop, "courseArchive").await;
}

/// R4, R8, R11: commerce is a setting of the course, read back with it; on makes exactly one product; off and on again finds the same, only the days change.
#[tokio::test]
async fn r4_r8_r11_course_commerce_makes_one_product_and_keeps_it() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let made = shop
        .act(
            &operator,
            "courseCreate",
            json!({ "key": "Rust-101", "title": "Rust" }),
            "course { id key commerce { enabled product { id } } }",
        )
        .await;
    assert_eq!(made["course"]["commerce"], json!({"enabled": false, "product": null}));
    let course = id(&made["course"]);
    let set = "course { commerce { enabled days product { id sku listed } } }";
    let on = json!({ "courseId": course, "enabled": true, "days": 30, "prices": [amount("20 USD")] });
    let first = shop.act(&operator, "courseCommerceSet", on.clone(), set).await;
    let commerce = &first["course"]["commerce"];
    assert_eq!((&commerce["enabled"], &commerce["days"], &commerce["product"]["sku"]), (&json!(true), &json!(30), &json!("C-Rust-101")));
    let product = id(&commerce["product"]);
    // Again with prices or a SKU: the product alone changes them.
    assert_eq!(shop.denied(&operator, "courseCommerceSet", on).await, refusal("CHANGE_ON_PRODUCT", "prices"));
    let sku = json!({ "courseId": course, "enabled": true, "sku": "OTHER" });
    assert_eq!(shop.denied(&operator, "courseCommerceSet", sku).await, refusal("CHANGE_ON_PRODUCT", "sku"));
    let state = json!({ "courseId": course, "enabled": true, "state": "STOPPED" });
    assert_eq!(shop.denied(&operator, "courseCommerceSet", state).await, refusal("CHANGE_ON_PRODUCT", "state"));
    let off = shop.act(&operator, "courseCommerceSet", json!({ "courseId": course, "enabled": false }), set).await;
    assert_eq!(
        off["course"]["commerce"],
        json!({"enabled": false, "days": 30, "product": {"id": product, "sku": "C-Rust-101", "listed": false}})
    );
    assert_derived(&shop, "commerce off").await;
    let again = shop.act(&operator, "courseCommerceSet", json!({ "courseId": course, "enabled": true, "days": 60 }), set).await;
    assert_eq!(
        again["course"]["commerce"],
        json!({"enabled": true, "days": 60, "product": {"id": product, "sku": "C-Rust-101", "listed": true}})
    );
    let endless = shop.act(&operator, "courseCommerceSet", json!({ "courseId": course, "enabled": true, "days": null }), set).await;
    assert_eq!(endless["course"]["commerce"]["days"], json!(null));
    assert_derived(&shop, "commerce on").await;
}

/// What the first commerce setting of a course needs.
#[tokio::test]
async fn commerce_of_a_course_needs_a_price_and_days_that_make_sense() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let course = shop.course("Rust").await;
    for (input, expected) in [
        (json!({ "courseId": course, "enabled": true }), refusal("REQUIRED", "prices")),
        (json!({ "courseId": course, "enabled": true, "prices": [] }), refusal("REQUIRED", "prices")),
        (json!({ "courseId": course, "enabled": false, "prices": [amount("1 USD")] }), refusal("INVALID", "enabled")),
        (json!({ "courseId": course, "enabled": true, "days": 0, "prices": [amount("1 USD")] }), refusal("TERMS_INVALID", "")),
        (json!({ "courseId": course, "enabled": true, "sku": "no blanks", "prices": [amount("1 USD")] }), refusal("INVALID", "sku")),
        (json!({ "courseId": course, "enabled": true, "prices": [amount("1.005 USD")] }), refusal("TOO_MANY_DIGITS", "prices.0.amount")),
        (json!({ "courseId": course, "enabled": true, "prices": [amount("1 XYZ")] }), refusal("UNKNOWN_CURRENCY", "prices.0.currency")),
        (json!({ "courseId": "crs_nonsense", "enabled": true }), refusal("NOT_FOUND", "courseId")),
        (json!({ "courseId": next_id::<domain::CourseKind>().to_string(), "enabled": true }), refusal("NOT_FOUND", "courseId")),
    ] {
        assert_eq!(shop.denied(&operator, "courseCommerceSet", input.clone()).await, expected, "{input}");
    }
    let read =
        shop.ok(&operator, "query($id: ID!) { course(id: $id) { commerce { enabled product { id } } } }", json!({ "id": course })).await;
    assert_eq!(read["course"]["commerce"], json!({"enabled": false, "product": null}), "a refused call changes nothing");
}

/// R9: SKU, prices, state and days of a library change on its product.
#[tokio::test]
async fn r9_what_the_product_owns_changes_on_the_product() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let (library, product) = shop.library("LIB-1", "Smithing", "20 USD", &[]).await;
    for (field, value) in [("sku", json!("LIB-2")), ("prices", json!([])), ("state", json!("STOPPED")), ("accessDays", json!(7))] {
        let input = json!({ "id": library, "title": "Other", field: value });
        assert_eq!(shop.denied(&operator, "libraryUpdate", input).await, refusal("CHANGE_ON_PRODUCT", field));
    }
    let input = json!({ "id": product, "sku": "LIB-2", "state": "STOPPED", "terms": { "days": 7 } });
    let fields = "product { sku state listed title terms { text } skus { sku current } }";
    let changed = shop.act(&operator, "productUpdate", input, fields).await;
    assert_eq!(
        changed["product"],
        json!({
            "sku": "LIB-2", "state": "STOPPED", "listed": false, "title": "Smithing", "terms": {"text": "7 days from the first start"},
            "skus": [{"sku": "LIB-1", "current": false}, {"sku": "LIB-2", "current": true}],
        })
    );
    let months = json!({ "id": product, "terms": { "months": 3 } });
    assert_eq!(shop.denied(&operator, "productUpdate", months).await, refusal("TERMS_INVALID", "terms"));
    assert_derived(&shop, "productUpdate").await;
}

/// R45, c55: SKUs differ by more than case, for ever.
#[tokio::test]
async fn r45_c55_a_sku_is_unique_whatever_its_case_for_ever() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let (library, product) = shop.library("RUST-101", "Rust", "20 USD", &[]).await;
    let taken = |sku: &str| json!({ "sku": sku, "title": "Other", "prices": [amount("1 USD")] });
    for sku in ["rust-101", "RUST-101 ", "Rust-101"] {
        assert_eq!(shop.denied(&operator, "libraryCreate", taken(sku)).await, refusal("SKU_TAKEN", "sku"), "{sku}");
    }
    // Its own SKU in another case is a rename.
    let renamed = shop.act(&operator, "productUpdate", json!({ "id": product, "sku": "Rust-101" }), "product { sku skus { sku } }").await;
    assert_eq!(renamed["product"], json!({"sku": "Rust-101", "skus": [{"sku": "Rust-101"}]}));
    let found = shop.ok(&operator, r#"{ product(sku: "rust-101") { id } library(sku: "rUST-101") { id } }"#, json!({})).await;
    assert_eq!((id(&found["product"]), id(&found["library"])), (product.clone(), library.clone()));
    // A replaced SKU stays reserved, to its product alone.
    shop.act(&operator, "productUpdate", json!({ "id": product, "sku": "RUST-102" }), "product { sku }").await;
    assert_eq!(shop.denied(&operator, "libraryCreate", taken("rust-101")).await, refusal("SKU_TAKEN", "sku"));
    let back = shop.act(&operator, "productUpdate", json!({ "id": product, "sku": "rust-101" }), "product { sku }").await;
    assert_eq!(back["product"]["sku"], json!("rust-101"));
    // Archived: still reserved.
    shop.act(&operator, "libraryArchive", json!({ "id": library }), "library { archivedAt }").await;
    for sku in ["RUST-101", "rust-102"] {
        assert_eq!(shop.denied(&operator, "libraryCreate", taken(sku)).await, refusal("SKU_TAKEN", "sku"), "{sku}");
    }
    // The default SKU of a course meets the same rule.
    shop.library("C-go", "Go", "1 USD", &[]).await;
    let course = shop.act(&operator, "courseCreate", json!({ "key": "Go", "title": "Go" }), "course { id }").await;
    let on = json!({ "courseId": id(&course["course"]), "enabled": true, "prices": [amount("1 USD")] });
    assert_eq!(shop.denied(&operator, "courseCommerceSet", on).await, refusal("SKU_TAKEN", "sku"));
}

/// c55: of two parallel creates one wins, and the other gets the typed refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c55_one_of_parallel_creates_wins() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let create = |sku: &'static str| {
        let input = json!({ "input": { "sku": sku, "title": "New", "prices": [amount("1 USD")] } });
        shop.run(
            &operator,
            "mutation($input: LibraryCreateInput!) { libraryCreate(input: $input) { library { id } userErrors { code } } }",
            input,
        )
    };
    let answers = futures_util::future::join_all(["NEW-1", "new-1", "New-1", "nEW-1", "neW-1", "NEW-1"].map(create)).await;
    let codes: Vec<Value> = answers.iter().map(|answer| answer["data"]["libraryCreate"]["userErrors"].clone()).collect();
    assert_eq!(codes.iter().filter(|codes| **codes == json!([])).count(), 1, "{answers:?}");
    assert_eq!(codes.iter().filter(|codes| **codes == json!([{"code": "SKU_TAKEN"}])).count(), 5, "{answers:?}");
    let listed = shop.ok(&operator, "{ libraries { totalCount } }", json!({})).await;
    assert_eq!(listed["libraries"]["totalCount"], json!(1));
}

/// R1: course kinds, keys, and what a course's form asks for.
#[tokio::test]
async fn r1_courses_have_kinds_and_keys() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let make = |input: Value| {
        let (shop, operator) = (&shop, operator.clone());
        async move { shop.act(&operator, "courseCreate", input, "course { key kind title }").await["course"].clone() }
    };
    assert_eq!(
        make(json!({ "title": "Őszi Kurzus", "kind": "EXAM" })).await,
        json!({"key": "oszi-kurzus", "kind": "EXAM", "title": "Őszi Kurzus"})
    );
    assert_eq!(make(json!({ "title": "Oszi kurzus" })).await["key"], json!("oszi-kurzus-2"));
    let thai = make(json!({ "title": "ภาษาไทย" })).await;
    assert!(thai["key"].as_str().expect("a key").starts_with("crs_"), "{thai}");
    for (input, expected) in [
        (json!({ "title": " ", "key": "a b" }), vec![("REQUIRED", "title"), ("INVALID", "key")]),
        (json!({ "title": "x", "key": "OSZI-Kurzus" }), vec![("KEY_TAKEN", "key")]),
        (json!({ "title": "x".repeat(301) }), vec![("TOO_LONG", "title")]),
        (json!({ "title": "x", "key": "k".repeat(63) }), vec![("TOO_LONG", "key")]),
        (json!({ "title": "x", "providerId": "pro_nonsense" }), vec![("NOT_FOUND", "providerId")]),
    ] {
        let expected: Vec<(String, String)> = expected.iter().map(|(code, field)| ((*code).to_owned(), (*field).to_owned())).collect();
        assert_eq!(shop.denied(&operator, "courseCreate", input.clone()).await, expected, "{input}");
    }
    let found =
        shop.ok(&operator, r#"{ course(key: "OSZI-kurzus") { title } none: course(key: "no such key") { title } }"#, json!({})).await;
    assert_eq!(found, json!({"course": {"title": "Őszi Kurzus"}, "none": null}));
}

/// Everything that can change of provider, course and library changes, is audited, and what products derive follows each time.
#[tokio::test]
async fn what_products_derive_follows_every_write() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let provider = shop
        .act(&operator, "providerSet", json!({ "name": "Ada School", "website": "https://ada.example/" }), "provider { id website }")
        .await;
    assert_eq!(provider["provider"]["website"], json!("https://ada.example/"));
    let provider = id(&provider["provider"]);
    let course = shop.act(&operator, "courseCreate", json!({ "title": "Engines", "providerId": provider }), "course { id }").await;
    let course = id(&course["course"]);
    shop.act(&operator, "courseCommerceSet", json!({ "courseId": course, "enabled": true, "prices": [amount("9 USD")] }), "course { id }")
        .await;
    let (library, product) = shop.library("LIB", "Computing", "20 USD", &[&course]).await;
    let hits = |search: &'static str| {
        let (shop, operator) = (&shop, operator.clone());
        async move {
            let query = "query($search: String) { products(filter: { search: $search }) { nodes { title } } }";
            let found = shop.ok(&operator, query, json!({ "search": search })).await;
            found["products"]["nodes"]
                .as_array()
                .expect("nodes")
                .iter()
                .map(|node| node["title"].as_str().expect("title").to_owned())
                .collect::<Vec<_>>()
        }
    };
    // A library is found by the providers of its courses, a course by its own.
    assert_eq!(hits("ada SCHOOL").await, ["Computing", "Engines"]);
    shop.pass(TimeDelta::hours(1));
    shop.act(&operator, "providerSet", json!({ "id": provider, "name": "École Ada", "website": null }), "provider { id }").await;
    assert_derived(&shop, "providerSet").await;
    assert_eq!((hits("school").await, hits("ÉCOLE").await), (vec![], vec!["Computing".to_owned(), "Engines".to_owned()]));
    shop.act(&operator, "courseUpdate", json!({ "id": course, "title": "Analytical engines", "description": "Wheels." }), "course { id }")
        .await;
    assert_derived(&shop, "courseUpdate").await;
    assert_eq!(hits("wheels").await, ["Analytical engines"]);
    shop.act(&operator, "courseUpdate", json!({ "id": course, "providerId": null }), "course { provider { id } }").await;
    assert_derived(&shop, "courseUpdate of the provider").await;
    assert_eq!(hits("école").await, Vec::<String>::new());
    shop.act(&operator, "libraryUpdate", json!({ "id": library, "title": "Computers", "productCode": "pc-7" }), "library { id }").await;
    assert_derived(&shop, "libraryUpdate").await;
    assert_eq!(hits("PC-7").await, ["Computers"]);
    shop.act(&operator, "productUpdate", json!({ "id": product, "sku": "NEW-SKU" }), "product { id }").await;
    assert_derived(&shop, "productUpdate").await;
    assert_eq!(hits("new-sku").await, ["Computers"]);
    shop.act(&operator, "libraryCoursesSet", json!({ "libraryId": library, "courseIds": [] }), "library { id }").await;
    assert_derived(&shop, "libraryCoursesSet").await;
    shop.act(&operator, "libraryArchive", json!({ "id": library }), "library { id }").await;
    assert_derived(&shop, "libraryArchive").await;
    shop.act(&operator, "courseArchive", json!({ "id": course }), "course { id }").await;
    assert_derived(&shop, "courseArchive").await;
    assert_eq!(hits("").await, Vec::<String>::new(), "both are archived");
    // What is archived changes no more, and archiving again changes nothing.
    assert_eq!(shop.denied(&operator, "courseUpdate", json!({ "id": course, "title": "x" })).await, refusal("ARCHIVED", "id"));
    assert_eq!(shop.denied(&operator, "libraryUpdate", json!({ "id": library, "title": "x" })).await, refusal("ARCHIVED", "id"));
    assert_eq!(shop.denied(&operator, "productUpdate", json!({ "id": product, "state": "STOPPED" })).await, refusal("ARCHIVED", "id"));
    let before = shop.act(&operator, "courseArchive", json!({ "id": course }), "course { archivedAt touchedAt }").await;
    shop.pass(TimeDelta::hours(1));
    let after = shop.act(&operator, "courseArchive", json!({ "id": course }), "course { archivedAt touchedAt }").await;
    assert_eq!(before, after);
}

/// R47: touched tells of a change, and a call that changes nothing touches nothing.
#[tokio::test]
async fn r47_touched_tells_of_changes() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let (library, _) = shop.library("LIB", "Computing", "20 USD", &[]).await;
    shop.set_time("2026-02-01T00:00:00Z");
    let same = shop.act(&operator, "libraryUpdate", json!({ "id": library, "title": "Computing" }), "library { touchedAt }").await;
    assert_eq!(same["library"]["touchedAt"], json!("2026-01-01T00:00:00+00:00"));
    let other = shop
        .act(
            &operator,
            "libraryUpdate",
            json!({ "id": library, "title": "Computers" }),
            "library { createdAt touchedAt product { touchedAt } }",
        )
        .await;
    assert_eq!(
        other["library"],
        json!({"createdAt": "2026-01-01T00:00:00+00:00", "touchedAt": "2026-02-01T00:00:00+00:00", "product": {"touchedAt": "2026-02-01T00:00:00+00:00"}})
    );
}

/// R47, c45: pages by (title, id) over equal titles and equal times, filters and search; both databases agree on the order.
#[tokio::test]
async fn r47_c45_libraries_come_in_stable_pages_with_filters_and_search() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    for number in 0..25 {
        shop.library(&format!("L-{number}"), "Same title", "1 USD", &[]).await;
    }
    for (sku, title, code) in [
        ("AR-1", "تعلم البرمجة", "WORLD"),
        ("TH-1", "เรียนภาษาไทย", "world"),
        ("JA-1", "日本語 入門", "World"),
        ("PC-1", "100% _pure_", "x"),
    ] {
        let input = json!({ "sku": sku, "title": title, "productCode": code, "prices": [amount("1 USD")] });
        shop.act(&operator, "libraryCreate", input, "library { id }").await;
    }
    for sort in ["TITLE", "NEWEST", "TOUCHED"] {
        let mut seen = Vec::new();
        let mut after = Value::Null;
        let mut sizes = Vec::new();
        loop {
            let query = "query($after: String, $sort: CatalogSort!) { libraries(filter: { search: \"same\" }, sort: $sort, first: 10, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes { id } } }";
            let page = shop.ok(&operator, query, json!({ "after": after, "sort": sort })).await["libraries"].clone();
            assert_eq!(page["totalCount"], json!(25));
            let nodes = page["nodes"].as_array().expect("nodes").clone();
            sizes.push(nodes.len());
            seen.extend(nodes.iter().map(id));
            // A row added meanwhile, in front of the place, repeats and skips nothing.
            if sizes.len() == 1 && sort == "NEWEST" {
                shop.pass(TimeDelta::hours(1));
                shop.library("L-99", "Newer", "1 USD", &[]).await;
            }
            if page["pageInfo"]["hasNextPage"] == json!(false) {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(sizes, [10, 10, 5], "{sort}");
        assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 25, "{sort}");
    }
    for (filter, skus) in [
        (json!({ "search": "البرمجة" }), vec!["AR-1"]),
        (json!({ "search": "ภาษา" }), vec!["TH-1"]),
        (json!({ "search": "入門 日本" }), vec!["JA-1"]),
        (json!({ "search": "%" }), vec!["PC-1"]),
        (json!({ "search": "_" }), vec!["PC-1"]),
        (json!({ "search": "ja-1" }), vec!["JA-1"]),
        (json!({ "search": "WORLD th" }), vec!["TH-1"]),
        (json!({ "productCode": "WORLD" }), vec!["AR-1", "TH-1", "JA-1"]),
        (json!({ "sku": "pc-1" }), vec!["PC-1"]),
        (json!({ "sku": "nothing" }), vec![]),
        (json!({ "archived": "ONLY" }), vec![]),
    ] {
        let query = "query($filter: LibraryFilter) { libraries(filter: $filter) { nodes { sku } } }";
        let found = shop.ok(&operator, query, json!({ "filter": filter })).await;
        let found: Vec<&str> =
            found["libraries"]["nodes"].as_array().expect("nodes").iter().map(|node| node["sku"].as_str().expect("sku")).collect();
        assert_eq!(found, skus, "{filter}");
    }
    // Cursors of another list, made-up ones, and page sizes out of range are bad input.
    let cursor =
        shop.ok(&operator, "{ libraries(first: 1) { pageInfo { endCursor } } }", json!({})).await["libraries"]["pageInfo"]["endCursor"]
            .clone();
    for arguments in [
        "first: -1".to_owned(),
        "first: 101".to_owned(),
        "after: \"\"".to_owned(),
        "after: \"made-up\"".to_owned(),
        format!("sort: NEWEST, after: {cursor}"),
        format!("filter: {{ search: \"same\" }}, after: {cursor}"),
        format!("filter: {{ search: \"{}\" }}", "x ".repeat(101)),
    ] {
        let code = shop.top_level_code(&operator, &format!("{{ libraries({arguments}) {{ nodes {{ id }} }} }}"), json!({})).await;
        assert_eq!(code, "BAD_INPUT", "{arguments}");
    }
}

/// The character U+0000, which only one of the two databases takes, is refused as what it is, wherever a text is taken as it comes.
#[tokio::test]
async fn a_text_with_u0000_is_the_callers_mistake_on_both_databases() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    for list in [
        "offers(filter: { productCode: $text })",
        "offers(search: $text)",
        "orders(filter: { number: $text })",
        "libraries(filter: { sku: $text })",
        "libraries(filter: { productCode: $text })",
        "products(filter: { productCode: $text })",
        "jobs(status: $text)",
        "auditLog(filter: { operation: $text })",
        "auditLog(filter: { actor: $text })",
    ] {
        let query = format!("query($text: String) {{ {list} {{ pageInfo {{ hasNextPage }} }} }}");
        assert_eq!(shop.top_level_code(&operator, &query, json!({ "text": "a\0b" })).await, "BAD_INPUT", "{list}");
        shop.ok(&operator, &query, json!({ "text": "ab" })).await;
    }
    for one in ["offer(sku: $text) { id }", "node(id: $text) { id }"] {
        let kind = if one.contains("node") { "ID!" } else { "String!" };
        let query = format!("query($text: {kind}) {{ found: {one} }}");
        assert_eq!(shop.ok(&operator, &query, json!({ "text": "a\0b" })).await["found"], Value::Null, "{one}");
    }
    shop.shelf("L-1", "1.00", &["One"]).await;
    let (cart, secret) = shop.guest_cart(&["L-1"]).await;
    let place = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) { userErrors { code field message } } }";
    let input = json!({ "input": { "cartId": cart, "expectedTotal": amount("1 USD"), "idempotencyKey": "a\0b" } });
    assert_eq!(shop.refused(&shop.guest_with(&secret), place, input).await, [("INVALID".to_owned(), "idempotencyKey".to_owned())]);
}

/// Lists cost a fixed number of statements, however long they and the lists inside them are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_cost_the_same_however_long_they_are() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let provider = shop.act(&operator, "providerSet", json!({ "name": "Ada" }), "provider { id }").await;
    let provider = id(&provider["provider"]);
    let queries = [
        // Page, courses of libraries, providers, products, prices; libraries of courses and the sessions.
        (
            "{ libraries(first: 100) { totalCount nodes { title sku unitPrice { amount } courses { title provider { name } sessions { id } libraries { title } } product { prices { amount { amount } } skus { sku } } } } }",
            9,
        ),
        (
            "{ courses(first: 100) { nodes { title provider { name } commerce { enabled product { sku } } libraries { title product { sku } } } } }",
            5,
        ),
        (
            "{ products(first: 100) { nodes { sku prices { amount { amount } group { title } } target { ... on Library { title courses { title } } } } } }",
            5,
        ),
        (
            "{ groups(first: 100) { nodes { title content { target { ... on Course { title } ... on Library { title } } } product { sku } } } }",
            5,
        ),
    ];
    let mut costs: Vec<Vec<u64>> = Vec::new();
    for round in 1..=3 {
        for number in 0..4 {
            let input = json!({ "title": format!("Course {round} {number}"), "providerId": provider });
            let course = id(&shop.act(&operator, "courseCreate", input, "course { id }").await["course"]);
            let other = shop.course("Other").await;
            let (library, product) = shop.library(&format!("L-{round}-{number}"), "Library", "1 USD", &[&course, &other]).await;
            let group =
                json!({ "title": "Group", "content": [{ "courseId": course, "sees": true }, { "libraryId": library, "opens": true }] });
            let group = id(&shop.act(&operator, "groupCreate", group, "group { id }").await["group"]);
            let prices = json!([amount("1 USD"), { "amount": "0.50", "currency": "USD", "groupId": group }]);
            shop.act(&operator, "productPricesSet", json!({ "productId": product, "prices": prices }), "product { id }").await;
        }
        let mut round_costs = Vec::new();
        for (query, _) in queries {
            let (answer, cost) = shop.counted(&operator, query, json!({})).await;
            assert!(answer.get("errors").is_none(), "{answer}");
            round_costs.push(cost);
        }
        costs.push(round_costs);
    }
    let expected: Vec<u64> = queries.iter().map(|(_, cost)| *cost).collect();
    assert_eq!(costs, vec![expected.clone(), expected.clone(), expected]);
}

/// Anything by its id, for those who may see it.
#[tokio::test]
async fn nodes_are_found_by_id() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let provider = id(&shop.act(&operator, "providerSet", json!({ "name": "Ada" }), "provider { id }").await["provider"]);
    let course = shop.course("Engines").await;
    let (library, product) = shop.library("LIB", "Computing", "20 USD", &[]).await;
    let group = id(&shop.act(&operator, "groupCreate", json!({ "title": "Club" }), "group { id }").await["group"]);
    let tiers = json!({ "name": "Bulk", "tiers": [{ "minQuantity": 1, "percentOff": "0" }] });
    let schedule = id(&shop.act(&operator, "discountScheduleSet", tiers, "discountSchedule { id }").await["discountSchedule"]);
    let missing = next_id::<domain::CourseKind>().to_string();
    let ids =
        json!([course, library, missing, product, "lib_nonsense", group, provider, schedule, course, "", "zzz_00000000000000000000000007"]);
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
    let (answer, statements) = shop.counted(&operator, query, json!({ "ids": ids })).await;
    let kinds: Vec<Value> = answer["data"]["nodes"].as_array().expect("nodes").iter().map(|node| node["__typename"].clone()).collect();
    assert_eq!(
        Value::from(kinds),
        json!(["Course", "Library", null, "Product", null, "Group", "Provider", "DiscountSchedule", "Course", null, null])
    );
    assert!(statements <= 7, "{statements}: one for each kind, two for a schedule");
    let one = shop.ok(&operator, "query($id: ID!) { node(id: $id) { ... on Library { title } } }", json!({ "id": library })).await;
    assert_eq!(one["node"]["title"], json!("Computing"));
    // Others see nothing of it, without an error.
    for caller in [shop.guest(), shop.key(&["orders:read"])] {
        let none = shop.ok(&caller, "query($id: ID!) { node(id: $id) { id } }", json!({ "id": library })).await;
        assert_eq!(none["node"], json!(null));
    }
    let many: Vec<String> = (0..101).map(|_| next_id::<domain::CourseKind>().to_string()).collect();
    assert_eq!(shop.top_level_code(&operator, query, json!({ "ids": many })).await, "BAD_INPUT");
}

/// The operator's view is for operators; a malformed id is nothing, not an error.
#[tokio::test]
async fn the_operators_view_is_for_operators() {
    let shop = TestApp::new().await;
    let queries = [
        "{ provider(id: \"x\") { id } }",
        "{ providers { nodes { id } } }",
        "{ course(id: \"x\") { id } }",
        "{ courses { nodes { id } } }",
        "{ library(id: \"x\") { id } }",
        "{ libraries { nodes { id } } }",
        "{ group(id: \"x\") { id } }",
        "{ groups { nodes { id } } }",
        "{ product(id: \"x\") { id } }",
        "{ products { nodes { id } } }",
        "{ exchangeRates { nodes { rate } } }",
        "{ discountSchedule(id: \"x\") { id } }",
        "{ discountSchedules { nodes { id } } }",
    ];
    for query in queries {
        assert_eq!(shop.top_level_code(&shop.guest(), query, json!({})).await, "UNAUTHENTICATED", "{query}");
        assert_eq!(shop.top_level_code(&shop.key(&["orders:write"]), query, json!({})).await, "FORBIDDEN", "{query}");
        let answer = shop.run(&shop.key(&["catalog:read", "prices:read"]), query, json!({})).await;
        assert!(answer.get("errors").is_none(), "{answer}");
    }
    // Forbidden comes before anything that is wrong with the input.
    let mutation = "mutation { libraryArchive(input: { id: \"nonsense\" }) { userErrors { code } } }";
    assert_eq!(shop.top_level_code(&shop.key(&["catalog:read"]), mutation, json!({})).await, "FORBIDDEN");
    assert_eq!(shop.top_level_code(&shop.guest(), mutation, json!({})).await, "UNAUTHENTICATED");
}

/// R1: dated sessions of an event, shown in their zone.
#[tokio::test]
async fn r1_events_have_dated_sessions() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let plain = shop.course("Plain").await;
    let event = id(&shop.act(&operator, "courseCreate", json!({ "title": "Summit", "kind": "EVENT" }), "course { id }").await["course"]);
    let input = |starts: &str, ends: &str| json!({ "courseId": event, "startsAt": starts, "endsAt": ends, "timeZone": "Europe/Warsaw", "location": "Gdańsk", "seats": 40 });
    let fields = "session { id startsAt endsAt timeZone localStart localEnd location seats course { title } archivedAt }";
    let late = shop.act(&operator, "sessionCreate", input("2026-07-02T07:00:00Z", "2026-07-02T15:00:00Z"), fields).await;
    let early = shop.act(&operator, "sessionCreate", input("2026-03-02T08:00:00+01:00", "2026-03-02T16:30:00+01:00"), fields).await;
    let mut shown = early["session"].clone();
    shown.as_object_mut().expect("an object").remove("id");
    assert_eq!(
        shown,
        json!({
            "startsAt": "2026-03-02T07:00:00+00:00", "endsAt": "2026-03-02T15:30:00+00:00", "timeZone": "Europe/Warsaw",
            "localStart": "2026-03-02T08:00:00+01:00", "localEnd": "2026-03-02T16:30:00+01:00",
            "location": "Gdańsk", "seats": 40, "course": {"title": "Summit"}, "archivedAt": null,
        })
    );
    assert_eq!(late["session"]["localStart"], json!("2026-07-02T09:00:00+02:00"));
    let listed = shop.ok(&operator, "query($id: ID!) { course(id: $id) { sessions { localStart } } }", json!({ "id": event })).await;
    assert_eq!(
        listed["course"]["sessions"],
        json!([{"localStart": "2026-03-02T08:00:00+01:00"}, {"localStart": "2026-07-02T09:00:00+02:00"}])
    );
    for (change, expected) in [
        (json!({ "courseId": plain }), refusal("INVALID", "courseId")),
        (json!({ "endsAt": "2026-03-02T06:00:00Z", "startsAt": "2026-03-02T07:00:00Z" }), refusal("WINDOW_INVALID", "endsAt")),
        (json!({ "timeZone": "Mars/Olympus" }), refusal("INVALID", "timeZone")),
        (json!({ "seats": 0 }), refusal("INVALID", "seats")),
    ] {
        let mut bad = input("2026-03-02T08:00:00Z", "2026-03-02T16:00:00Z");
        bad.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        assert_eq!(shop.denied(&operator, "sessionCreate", bad).await, expected, "{change}");
    }
    let session = id(&late["session"]);
    let moved = json!({ "id": session, "endsAt": "2026-07-02T16:00:00Z", "seats": 50, "location": null });
    let moved = shop.act(&operator, "sessionUpdate", moved, fields).await;
    assert_eq!(
        (&moved["session"]["seats"], &moved["session"]["location"], &moved["session"]["localEnd"]),
        (&json!(50), &json!(null), &json!("2026-07-02T18:00:00+02:00"))
    );
    assert_eq!(shop.denied(&operator, "courseUpdate", json!({ "id": event, "kind": "COURSE" })).await, refusal("INVALID", "kind"));
    let gone = shop.act(&operator, "sessionUpdate", json!({ "id": session, "archived": true }), fields).await;
    assert_ne!(gone["session"]["archivedAt"], json!(null));
    assert_eq!(shop.denied(&operator, "sessionUpdate", json!({ "id": session, "seats": 1 })).await, refusal("ARCHIVED", "id"));
}

/// Providers: names are unique, addresses https, archived ones take no new courses.
#[tokio::test]
async fn providers_have_unique_names_and_https_addresses() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let provider = id(&shop.act(&operator, "providerSet", json!({ "name": "Ada" }), "provider { id }").await["provider"]);
    for (input, expected) in [
        (json!({ "name": " ADA " }), refusal("NAME_TAKEN", "name")),
        (json!({ "name": "Ｂ", "website": "http://b.example" }), refusal("INVALID", "website")),
        (json!({ "name": "B", "website": "https://" }), refusal("INVALID", "website")),
        (json!({ "website": "https://b.example" }), refusal("REQUIRED", "name")),
        (json!({ "id": "pro_1", "name": "B" }), refusal("NOT_FOUND", "id")),
    ] {
        assert_eq!(shop.denied(&operator, "providerSet", input.clone()).await, expected, "{input}");
    }
    shop.act(&operator, "providerSet", json!({ "id": provider, "archived": true }), "provider { archivedAt }").await;
    assert_eq!(
        shop.denied(&operator, "courseCreate", json!({ "title": "x", "providerId": provider })).await,
        refusal("ARCHIVED", "providerId")
    );
    let listed =
        shop.ok(&operator, "{ providers { nodes { id } } all: providers(filter: { archived: WITH }) { nodes { name } } }", json!({})).await;
    assert_eq!(listed, json!({"providers": {"nodes": []}, "all": {"nodes": [{"name": "Ada"}]}}));
}

/// R2, R5, R6, R7, R12: commerce of a group comes with its creation, for manual groups, and only its months change.
#[tokio::test]
async fn r5_r6_r7_r12_group_commerce_is_given_once() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let commerce = json!({ "sku": "CLUB", "prices": [amount("5 USD")], "months": 6 });
    let automatic = json!({ "title": "Staff", "kind": "AUTOMATIC", "rule": { "emailDomain": "example.org" }, "commerce": commerce });
    assert_eq!(shop.denied(&operator, "groupCreate", automatic).await, refusal("GROUP_NOT_MANUAL", "commerce"));
    let fields = "group { id kind commerce { months product { id sku listed kind terms { text } } } }";
    let club = shop.act(&operator, "groupCreate", json!({ "title": "Club", "commerce": commerce }), fields).await;
    let club = &club["group"];
    assert_eq!(club["commerce"]["product"]["terms"]["text"], json!("6 months from the purchase"));
    assert_eq!((&club["commerce"]["months"], &club["commerce"]["product"]["listed"]), (&json!(6), &json!(true)));
    let (club, plain) = (id(club), id(&shop.act(&operator, "groupCreate", json!({ "title": "Plain" }), fields).await["group"]));
    let staff = json!({ "title": "Staff", "kind": "AUTOMATIC", "rule": { "emailDomain": "@Example.ORG" } });
    let staff =
        shop.act(&operator, "groupCreate", staff, "group { id rule { emailDomain companyId } commerce { months } }").await["group"].clone();
    assert_eq!((&staff["rule"], &staff["commerce"]), (&json!({"emailDomain": "example.org", "companyId": null}), &json!(null)));
    for (group, change, expected) in [
        (&plain, commerce.clone(), refusal("GROUP_COMMERCE_FIXED", "commerce")),
        (&plain, json!({ "months": 3 }), refusal("GROUP_COMMERCE_FIXED", "commerce")),
        (&id(&staff), json!({ "months": 3 }), refusal("GROUP_NOT_MANUAL", "commerce")),
        (&club, json!(null), refusal("GROUP_COMMERCE_FIXED", "commerce")),
        (&club, json!({ "sku": "OTHER" }), refusal("CHANGE_ON_PRODUCT", "commerce.sku")),
        (&club, json!({ "prices": [] }), refusal("CHANGE_ON_PRODUCT", "commerce.prices")),
        (&club, json!({ "state": "STOPPED" }), refusal("CHANGE_ON_PRODUCT", "commerce.state")),
        (&club, json!({ "months": 0 }), refusal("TERMS_INVALID", "commerce")),
    ] {
        let input = json!({ "id": group, "commerce": change });
        assert_eq!(shop.denied(&operator, "groupUpdate", input.clone()).await, expected, "{input}");
    }
    let months = shop.act(&operator, "groupUpdate", json!({ "id": club, "title": "Club+", "commerce": { "months": 12 } }), fields).await;
    assert_eq!(months["group"]["commerce"]["months"], json!(12));
    assert_derived(&shop, "groupUpdate").await;
    // Stop selling is a state of the product.
    let product = id(&months["group"]["commerce"]["product"]);
    let stopped = shop.act(&operator, "productUpdate", json!({ "id": product, "state": "STOPPED" }), "product { state listed }").await;
    assert_eq!(stopped["product"], json!({"state": "STOPPED", "listed": false}));
    shop.act(&operator, "groupArchive", json!({ "id": club }), "group { archivedAt }").await;
    assert_derived(&shop, "groupArchive").await;
    assert_eq!(shop.denied(&operator, "groupUpdate", json!({ "id": club, "title": "x" })).await, refusal("ARCHIVED", "id"));
}

/// Rules go with automatic groups, content is there once, with a relation.
#[tokio::test]
async fn groups_have_rules_and_content_that_make_sense() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let course = shop.course("Anvil").await;
    let (library, _) = shop.library("LIB", "Smithing", "1 USD", &[&course]).await;
    for (input, expected) in [
        (json!({ "kind": "AUTOMATIC" }), refusal("REQUIRED", "rule")),
        (json!({ "rule": { "emailDomain": "example.org" } }), refusal("INVALID", "rule")),
        (json!({ "kind": "AUTOMATIC", "rule": {} }), refusal("INVALID", "rule")),
        (json!({ "kind": "AUTOMATIC", "rule": { "emailDomain": "no domain" } }), refusal("INVALID", "rule.emailDomain")),
        (
            json!({ "kind": "AUTOMATIC", "rule": { "companyId": next_id::<domain::CompanyKind>().to_string() } }),
            refusal("NOT_FOUND", "rule.companyId"),
        ),
        (json!({ "content": [{ "courseId": course }] }), refusal("REQUIRED", "content.0")),
        (json!({ "content": [{ "courseId": course, "libraryId": library, "sees": true }] }), refusal("INVALID", "content.0")),
        (
            json!({ "content": [{ "courseId": course, "sees": true }, { "courseId": course, "opens": true }] }),
            refusal("REPEATED", "content.1"),
        ),
        (
            json!({ "content": [{ "courseId": next_id::<domain::CourseKind>().to_string(), "sees": true }] }),
            refusal("NOT_FOUND", "content.0"),
        ),
        (json!({ "commerce": { "prices": [amount("1 USD")] } }), refusal("REQUIRED", "commerce.sku")),
        (json!({ "commerce": { "sku": "lib", "prices": [amount("1 USD")] } }), refusal("SKU_TAKEN", "commerce.sku")),
        (json!({ "commerce": { "sku": "CLUB" } }), refusal("REQUIRED", "commerce.prices")),
        (json!({ "commerce": { "sku": "CLUB", "prices": [amount("1.234 USD")] } }), refusal("TOO_MANY_DIGITS", "commerce.prices.0.amount")),
    ] {
        let mut full = json!({ "title": "Group" });
        full.as_object_mut().expect("an object").extend(input.as_object().expect("an object").clone());
        assert_eq!(shop.denied(&operator, "groupCreate", full).await, expected, "{input}");
    }
    let none = shop.ok(&operator, "{ groups { totalCount } }", json!({})).await;
    assert_eq!(none["groups"]["totalCount"], json!(0), "refused calls change nothing");
    let content = json!([{ "libraryId": library, "opens": true }, { "courseId": course, "sees": true, "opens": true }]);
    let shown = "group { id content { sees opens target { ... on Course { course: title } ... on Library { library: title } } } }";
    let made = shop.act(&operator, "groupCreate", json!({ "title": "Group", "content": content }), shown).await;
    assert_eq!(
        made["group"]["content"],
        json!([{"sees": true, "opens": true, "target": {"course": "Anvil"}}, {"sees": false, "opens": true, "target": {"library": "Smithing"}}])
    );
    let fewer = json!({ "id": id(&made["group"]), "content": [{ "libraryId": library, "sees": true }] });
    let fewer = shop.act(&operator, "groupUpdate", fewer, shown).await;
    assert_eq!(fewer["group"]["content"], json!([{"sees": true, "opens": false, "target": {"library": "Smithing"}}]));
}

/// An account as sign-up leaves it.
async fn account(shop: &TestApp, email: &str, verified: bool) -> AccountId {
    use bursar::app::secrets::Purpose;
    let (id, now) = (next_uuid(), shop.app.now());
    let hash = shop.app.secrets.hash(Purpose::Email, email);
    let who = person::ActiveModel {
        id: Set(id),
        email: Set(Some(email.to_owned())),
        email_hash: Set(hash.clone()),
        name: Set(None),
        address: Set(None),
        created_at: Set(now),
        erased_at: Set(None),
    };
    person::Entity::insert(who).exec_without_returning(shop.app.db.write()).await.expect("a person");
    let row = account::ActiveModel {
        id: Set(id),
        person_id: Set(id),
        email_hash: Set(hash),
        email_domain: Set(email.rsplit_once('@').expect("an address").1.to_owned()),
        email_verified_at: Set(verified.then_some(now)),
        password_hash: Set(None),
        operator_scopes: Set(None),
        sessions_valid_from: Set(now),
        created_at: Set(now),
        touched_at: Set(now),
    };
    account::Entity::insert(row).exec_without_returning(shop.app.db.write()).await.expect("an account");
    AccountId::new(id)
}

async fn groups_of(shop: &TestApp, account: AccountId) -> Vec<GroupId> {
    let groups = bursar::store::group::groups_of(shop.app.db.read(), account, shop.app.now()).await;
    groups.expect("the groups are read")
}

/// R2, R3: people come into a manual group by hand and leave it; an automatic one follows its rule and needs a verified e-mail.
#[tokio::test]
async fn r2_membership_is_given_by_hand_or_follows_a_rule() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let ann = account(&shop, "ann@example.org", true).await;
    let bo = account(&shop, "bo@example.org", false).await;
    let cy = account(&shop, "cy@else.example", true).await;
    let club = id(&shop.act(&operator, "groupCreate", json!({ "title": "Club" }), "group { id }").await["group"]);
    let staff = json!({ "title": "Staff", "kind": "AUTOMATIC", "rule": { "emailDomain": "example.org" } });
    let staff = id(&shop.act(&operator, "groupCreate", staff, "group { id }").await["group"]);
    let group = |text: &str| GroupId::parse(text).expect("an id");
    assert_eq!((groups_of(&shop, ann).await, groups_of(&shop, bo).await), (vec![group(&staff)], vec![]), "only a verified e-mail counts");
    // All or none, and each bad one named.
    let bad = json!({ "groupId": club, "accountIds": [bo.to_string(), next_id::<domain::AccountKind>().to_string()], "emails": ["who@example.org"] });
    let missing = vec![("NOT_FOUND".to_owned(), "accountIds.1".to_owned()), ("NOT_FOUND".to_owned(), "emails.0".to_owned())];
    assert_eq!(shop.denied(&operator, "groupMembersAdd", bad).await, missing);
    assert_eq!(groups_of(&shop, bo).await, vec![]);
    assert_eq!(shop.denied(&operator, "groupMembersAdd", json!({ "groupId": club })).await, refusal("REQUIRED", "accountIds"));
    assert_eq!(
        shop.denied(&operator, "groupMembersAdd", json!({ "groupId": staff, "accountIds": [bo.to_string()] })).await,
        refusal("GROUP_NOT_MANUAL", "groupId")
    );
    let members = "group { members { totalCount nodes { accountId source since until } } }";
    let people = json!({ "groupId": club, "accountIds": [ann.to_string()], "emails": [" BO@Example.org ", "cy@else.example"], "endsAt": "2026-03-01T00:00:00Z" });
    let added = shop.act(&operator, "groupMembersAdd", people.clone(), members).await;
    let member = |account: AccountId| {
        let (since, until) = ("2026-01-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00");
        json!({ "accountId": account.to_string(), "source": "HAND", "since": since, "until": until })
    };
    let expected = json!({ "totalCount": 3, "nodes": [member(ann), member(bo), member(cy)] });
    assert_eq!(added["group"]["members"], expected);
    // Sent again, nothing changes.
    shop.pass(TimeDelta::hours(1));
    assert_eq!(shop.act(&operator, "groupMembersAdd", people, members).await["group"]["members"], expected);
    let mut both = vec![group(&club), group(&staff)];
    both.sort();
    let mut found = groups_of(&shop, ann).await;
    found.sort();
    assert_eq!(found, both);
    let left = shop.act(&operator, "groupMembersRemove", json!({ "groupId": club, "emails": ["ann@example.org"] }), members).await;
    assert_eq!(left["group"]["members"]["totalCount"], json!(2));
    assert_eq!(groups_of(&shop, ann).await, vec![group(&staff)]);
    // Removing who is out already is no error; membership with an end is over at its instant.
    shop.act(&operator, "groupMembersRemove", json!({ "groupId": club, "accountIds": [ann.to_string()] }), members).await;
    shop.set_time("2026-02-28T23:59:59Z");
    assert_eq!(groups_of(&shop, bo).await, vec![group(&club)]);
    shop.set_time("2026-03-01T00:00:00Z");
    assert_eq!(groups_of(&shop, bo).await, vec![]);
    // Back in, without end this time.
    shop.act(&operator, "groupMembersAdd", json!({ "groupId": club, "accountIds": [bo.to_string()] }), members).await;
    assert_eq!(groups_of(&shop, bo).await, vec![group(&club)]);
    // The rule's group shows who it takes in; archived, it takes in nobody.
    let ruled =
        shop.ok(&operator, "query($id: ID!) { group(id: $id) { members { nodes { accountId source } } } }", json!({ "id": staff })).await;
    assert_eq!(ruled["group"]["members"]["nodes"], json!([{"accountId": ann.to_string(), "source": null}]));
    shop.act(&operator, "groupArchive", json!({ "id": staff }), "group { id }").await;
    assert_eq!(groups_of(&shop, ann).await, vec![]);
}

/// R2: a group's rule can be an attribute of accounts; whoever gets or loses it is in the group or out of it at once, and with it what the group
/// opens and shows.
#[tokio::test]
async fn r2_a_group_can_follow_an_attribute_of_accounts() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let course = shop.course("Only for nurses").await;
    let (library, _) = shop.library("LIB", "Nursing", "9 USD", &[&course]).await;
    let (ann, token) = shop.sign_up("ann@example.org").await;
    let ann_caller = shop.bearer(&token).await;
    let rule = json!({ "attribute": { "name": " Department", "value": "Nursing" } });
    let group = json!({ "title": "Nurses", "kind": "AUTOMATIC", "rule": rule, "content": [{ "courseId": course, "opens": true }, { "libraryId": library, "sees": true }] });
    let made =
        shop.act(&operator, "groupCreate", group, "group { id rule { companyId emailDomain attribute { name value } } }").await["group"]
            .clone();
    assert_eq!(made["rule"], json!({ "companyId": null, "emailDomain": null, "attribute": { "name": "department", "value": "Nursing" } }));
    let set = async |attributes: Value| {
        let input = json!({ "accountId": ann, "attributes": attributes });
        shop.act(&operator, "accountAttributesSet", input, "account { attributes { name value } }").await["account"]["attributes"].clone()
    };
    let seen = async || {
        let query = "query($id: ID!) { me { courses { nodes { title } } } offer(sku: \"LIB\") { sku } accessExplain(courseId: $id) { open grants { source target { kind } } } }";
        let data = shop.ok(&ann_caller, query, json!({ "id": course })).await;
        (data["me"]["courses"]["nodes"].as_array().map_or(0, Vec::len), data["offer"]["sku"].is_string(), data["accessExplain"].clone())
    };
    let outside = (0, false, json!({ "open": false, "grants": [] }));
    let inside = (1, true, json!({ "open": true, "grants": [{ "source": null, "target": { "kind": "GROUP" } }] }));
    assert_eq!(seen().await, outside);
    assert_eq!(
        set(json!([{ "name": "DEPARTMENT", "value": "nursing" }, { "name": "site", "value": "Brno" }])).await[0]["value"],
        "nursing"
    );
    assert_eq!(seen().await, outside, "the case of values counts");
    let both = set(json!([{ "name": "department", "value": "Nursing" }])).await;
    assert_eq!(both, json!([{ "name": "department", "value": "Nursing" }, { "name": "site", "value": "Brno" }]), "others stay");
    assert_eq!(seen().await, inside);
    let members = "query($id: ID!) { group(id: $id) { members { nodes { accountId source } } } }";
    let listed = shop.ok(&operator, members, json!({ "id": made["id"] })).await["group"]["members"]["nodes"].clone();
    assert_eq!(listed, json!([{ "accountId": ann, "source": null }]));
    // The rule itself changes, too.
    let change = |value: &str| json!({ "id": made["id"], "rule": { "attribute": { "name": "department", "value": value } } });
    shop.act(&operator, "groupUpdate", change("Surgery"), "").await;
    assert_eq!(seen().await, outside);
    shop.act(&operator, "groupUpdate", change("Nursing"), "").await;
    assert_eq!(seen().await, inside);
    set(json!([{ "name": "department", "value": null }])).await;
    assert_eq!(seen().await, outside);
    for (attributes, expected) in [
        (json!([{ "name": " ", "value": "x" }]), ("REQUIRED", "attributes.0.name")),
        (json!([{ "name": "a", "value": "x" }, { "name": "A", "value": "y" }]), ("REPEATED", "attributes.1.name")),
        (json!([{ "name": "a", "value": "" }]), ("REQUIRED", "attributes.0.value")),
    ] {
        let input = json!({ "accountId": ann, "attributes": attributes });
        assert_eq!(shop.denied(&operator, "accountAttributesSet", input).await, refusal(expected.0, expected.1), "{attributes}");
    }
    let two = json!({ "title": "Two", "kind": "AUTOMATIC", "rule": { "emailDomain": "example.org", "attribute": { "name": "a", "value": "b" } } });
    assert_eq!(shop.denied(&operator, "groupCreate", two).await, refusal("INVALID", "rule"));
}

/// A group's rule can be a company: its members, and verified people of the domains that it lists.
#[tokio::test]
async fn an_automatic_group_can_be_a_companys_people() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let (ann, bo, cy) = (
        account(&shop, "ann@acme.example", true).await,
        account(&shop, "bo@acme.example", false).await,
        account(&shop, "cy@else.example", false).await,
    );
    let (acme, now) = (next_uuid(), shop.app.now());
    let row = company::ActiveModel {
        id: Set(acme),
        key: Set("acme".to_owned()),
        key_folded: Set("acme".to_owned()),
        name: Set("Acme".to_owned()),
        kind: Set("RETAIL".to_owned()),
        enabled: Set(true),
        time_zone: Set(None),
        storefront: Set("PUBLIC".to_owned()),
        email_domains: Set(json!(["acme.example"])),
        reregistration_days: Set(None),
        country: Set(None),
        tax_exempt: Set(false),
        originator: Set("COMPANY".to_owned()),
        credit_limit: Set(None),
        tokens_on: Set(None),
        overage_limit: Set(None),
        created_at: Set(now),
        touched_at: Set(now),
        archived_at: Set(None),
    };
    company::Entity::insert(row).exec_without_returning(shop.app.db.write()).await.expect("a company");
    let member = company_member::ActiveModel {
        company_id: Set(acme),
        account_id: Set(cy.uuid()),
        role: Set("LEARNER".to_owned()),
        via: Set("MANAGER".to_owned()),
        since: Set(now),
    };
    company_member::Entity::insert(member).exec_without_returning(shop.app.db.write()).await.expect("a member");
    let input = json!({ "title": "Acme", "kind": "AUTOMATIC", "rule": { "companyId": domain::CompanyId::new(acme).to_string() } });
    let group = shop.act(&operator, "groupCreate", input, "group { id members { nodes { accountId } } }").await["group"].clone();
    let mut expected = [ann, cy].map(|account| json!({"accountId": account.to_string()}));
    expected.sort_by_key(Value::to_string);
    assert_eq!(group["members"]["nodes"], json!(expected));
    let group = GroupId::parse(&id(&group)).expect("an id");
    assert_eq!((groups_of(&shop, ann).await, groups_of(&shop, bo).await, groups_of(&shop, cy).await), (vec![group], vec![], vec![group]));
}

/// Every write leaves an entry with who, what, old and new; a call that changes nothing leaves none.
#[tokio::test]
async fn changes_are_audited_with_old_and_new() {
    use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let course = shop.course("Anvil").await;
    let update = |title: &str| json!({ "id": course, "title": title });
    shop.act(&operator, "courseUpdate", update("Anvils"), "course { id }").await;
    shop.act(&operator, "courseUpdate", update("Anvils"), "course { id }").await;
    let id = CourseId::parse(&course).expect("an id");
    let entries = entity::audit::Entity::find()
        .filter(entity::audit::Column::ObjectId.eq(id.uuid()))
        .order_by_asc(entity::audit::Column::Id)
        .all(shop.app.db.read())
        .await
        .expect("the audit is read");
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.operation.as_str(),
                entry.actor_kind.as_str(),
                entry.old.as_ref().map(|old| &old["title"]),
                entry.new.as_ref().map(|new| &new["title"]),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("courseCreate", "SERVICE", None, Some(&json!("Anvil"))),
            ("courseUpdate", "SERVICE", Some(&json!("Anvil")), Some(&json!("Anvils"))),
        ]
    );
}
