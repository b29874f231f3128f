//! Offers as they were at an instant: texts, courses, dates, state, terms and schedule, beside the prices that `offer.rs` asks about.

use serde_json::{Value, json};

use crate::offer::Shelf;
use crate::util::{TestApp, amount, id};

const THEN: &str = "query($sku: String, $at: DateTime) { offer(sku: $sku, at: $at) {
    sku title description productCode price { amount } accessTerms { value } courses { title description } sessions { seats }
} }";

/// What the offer was at an instant, now if there is none.
async fn then(shop: &TestApp, sku: &str, at: Option<&str>) -> Value {
    shop.ok(&shop.guest(), THEN, json!({ "sku": sku, "at": at })).await["offer"].clone()
}

fn titles(offer: &Value) -> Vec<&str> {
    offer["courses"].as_array().into_iter().flatten().filter_map(|course| course["title"].as_str()).collect()
}

/// R44, R47, R49: what a library's offer said at each instant, long after everything of it was changed, and after it was archived. Each change
/// holds from its own instant on.
#[tokio::test]
async fn r44_r49_an_offer_tells_what_its_library_was_at_an_instant() {
    let shop = TestApp::new().await;
    let (shelf, operator) = (Shelf(&shop), shop.operator());
    let tiers = json!([{ "minQuantity": 1, "percentOff": "10" }]);
    let schedule = shelf.schedule("Less", "SLAB", "ALL", &tiers).await;
    let (first, second) = (shop.course("First").await, shop.course("Second").await);
    shop.set_time("2026-01-10T00:00:00Z");
    let more = json!({ "courseIds": [first], "description": "Old words", "productCode": "OLD", "discountScheduleId": schedule });
    let item = shelf.library_with("LIB", "Old title", &["10.00 USD"], more).await;
    let set = |field: &str, value: Value| json!({ "id": item.library, field: value });
    shop.set_time("2026-01-12T00:00:00Z");
    let texts = json!({ "id": item.library, "title": "New title", "description": "New words", "productCode": "NEW" });
    shop.act(&operator, "libraryUpdate", texts, "").await;
    shop.set_time("2026-01-14T00:00:00Z");
    shop.act(&operator, "libraryCoursesSet", json!({ "libraryId": item.library, "courseIds": [second, first] }), "").await;
    shop.set_time("2026-01-16T00:00:00Z");
    shop.act(&operator, "courseUpdate", json!({ "id": first, "title": "First, revised", "description": "More" }), "").await;
    shop.set_time("2026-01-18T00:00:00Z");
    shop.act(&operator, "libraryUpdate", set("discountScheduleId", Value::Null), "").await;
    shop.set_time("2026-01-20T00:00:00Z");
    shop.act(&operator, "productUpdate", json!({ "id": item.product, "terms": { "days": 30 }, "sku": "LIB-2" }), "").await;
    shop.set_time("2026-01-22T00:00:00Z");
    shop.act(&operator, "courseArchive", json!({ "id": second }), "").await;
    shop.set_time("2026-01-24T00:00:00Z");
    shop.act(&operator, "productUpdate", json!({ "id": item.product, "state": "STOPPED" }), "").await;
    shop.set_time("2026-01-26T00:00:00Z");
    shop.act(&operator, "productUpdate", json!({ "id": item.product, "state": "ON_SALE" }), "").await;
    shop.set_time("2026-01-28T00:00:00Z");
    shop.act(&operator, "libraryArchive", json!({ "id": item.library }), "").await;
    shop.set_time("2026-02-01T00:00:00Z");

    assert_eq!(then(&shop, "LIB", None).await, Value::Null, "it is archived");
    for (instant, title, code, courses, price, days, sku) in [
        ("2026-01-10T00:00:00Z", "Old title", "OLD", &["First"][..], "9.00", 365, "LIB"),
        ("2026-01-11T23:59:59.999999Z", "Old title", "OLD", &["First"], "9.00", 365, "LIB"),
        ("2026-01-12T00:00:00Z", "New title", "NEW", &["First"], "9.00", 365, "LIB"),
        ("2026-01-14T00:00:00Z", "New title", "NEW", &["Second", "First"], "9.00", 365, "LIB"),
        ("2026-01-16T00:00:00Z", "New title", "NEW", &["Second", "First, revised"], "9.00", 365, "LIB"),
        ("2026-01-18T00:00:00Z", "New title", "NEW", &["Second", "First, revised"], "10.00", 365, "LIB"),
        ("2026-01-20T00:00:00Z", "New title", "NEW", &["Second", "First, revised"], "10.00", 30, "LIB-2"),
        ("2026-01-22T00:00:00Z", "New title", "NEW", &["First, revised"], "10.00", 30, "LIB-2"),
        ("2026-01-27T23:59:59Z", "New title", "NEW", &["First, revised"], "10.00", 30, "LIB-2"),
    ] {
        let offer = then(&shop, "LIB", Some(instant)).await;
        let told = json!([offer["title"], offer["productCode"], offer["price"]["amount"], offer["accessTerms"]["value"], offer["sku"]]);
        assert_eq!(told, json!([title, code, price, days, sku]), "{instant}");
        assert_eq!(titles(&offer), courses, "{instant}");
        assert_eq!(offer["description"], if title == "Old title" { "Old words" } else { "New words" }, "{instant}");
    }
    for (instant, why) in [
        ("2026-01-09T23:59:59Z", "it did not exist"),
        ("2026-01-24T00:00:00Z", "it was stopped"),
        ("2026-01-28T00:00:00Z", "it was archived"),
    ] {
        assert_eq!(then(&shop, "LIB", Some(instant)).await, Value::Null, "{why}");
    }
}

/// R42, R47: a course that is sold alone, an event with its dates and a group's offer are told as they were; what was off then was no offer,
/// whatever it is now. Of several changes at one instant, the first tells what was said before.
#[tokio::test]
async fn r42_an_offer_tells_what_its_course_event_or_group_was_at_an_instant() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    shop.set_time("2026-01-10T00:00:00Z");
    let event = id(&shop.act(&operator, "courseCreate", json!({ "title": "Meeting", "kind": "EVENT" }), "course { id }").await["course"]);
    let commerce = json!({ "courseId": event, "enabled": true, "sku": "MEET", "prices": [amount("50 USD")] });
    shop.act(&operator, "courseCommerceSet", commerce, "").await;
    let date = json!({ "courseId": event, "startsAt": "2026-03-02T09:00:00Z", "endsAt": "2026-03-02T17:00:00Z", "seats": 12 });
    let session = id(&shop.act(&operator, "sessionCreate", date, "session { id }").await["session"]);
    let group =
        json!({ "title": "Friends", "kind": "MANUAL", "description": "Old", "commerce": { "sku": "CLUB", "prices": [amount("5 USD")] } });
    let group = id(&shop.act(&operator, "groupCreate", group, "group { id }").await["group"]);

    shop.set_time("2026-01-12T00:00:00Z");
    shop.act(&operator, "courseCommerceSet", json!({ "courseId": event, "enabled": false }), "").await;
    shop.set_time("2026-01-14T00:00:00Z");
    shop.act(&operator, "courseCommerceSet", json!({ "courseId": event, "enabled": true }), "").await;
    for title in ["Never shown", "Congress"] {
        shop.act(&operator, "courseUpdate", json!({ "id": event, "title": title }), "").await;
    }
    shop.act(&operator, "sessionUpdate", json!({ "id": session, "seats": 40 }), "").await;
    shop.act(&operator, "groupUpdate", json!({ "id": group, "title": "Members", "description": "New" }), "").await;
    shop.set_time("2026-01-16T00:00:00Z");
    shop.act(&operator, "sessionUpdate", json!({ "id": session, "archived": true }), "").await;

    for (instant, title, seats) in [
        (Some("2026-01-10T00:00:00Z"), "Meeting", json!([{ "seats": 12 }])),
        (Some("2026-01-14T00:00:00Z"), "Congress", json!([{ "seats": 40 }])),
        (Some("2026-01-16T00:00:00Z"), "Congress", json!([])),
        (None, "Congress", json!([])),
    ] {
        let offer = then(&shop, "MEET", instant).await;
        assert_eq!((&offer["title"], &offer["sessions"]), (&json!(title), &seats), "{instant:?}");
        assert_eq!(titles(&offer), [title], "{instant:?}");
    }
    assert_eq!(then(&shop, "MEET", Some("2026-01-13T00:00:00Z")).await, Value::Null, "it was not sold alone then");
    let club = then(&shop, "CLUB", Some("2026-01-13T00:00:00Z")).await;
    assert_eq!((&club["title"], &club["description"]), (&json!("Friends"), &json!("Old")));
    assert_eq!(then(&shop, "CLUB", Some("2026-01-14T00:00:00Z")).await["title"], "Members");
}

/// What an offer was costs the same number of statements for a library of thirty changed courses as for one of two.
#[tokio::test]
async fn an_offer_of_an_instant_costs_the_same_however_many_courses_it_had() {
    let shop = TestApp::new().await;
    let (shelf, operator) = (Shelf(&shop), shop.operator());
    let mut costs = Vec::new();
    for (sku, count) in [("FEW", 2), ("MANY", 30)] {
        let mut courses = Vec::new();
        for number in 0..count {
            courses.push(shop.course(&format!("{sku} {number}")).await);
        }
        shelf.library_with(sku, sku, &["10.00 USD"], json!({ "courseIds": courses })).await;
        let before = shop.app.now().to_rfc3339();
        shop.pass(chrono::TimeDelta::days(1));
        for course in &courses {
            shop.act(&operator, "courseUpdate", json!({ "id": course, "title": "Changed" }), "").await;
        }
        let (answer, statements) = shop.counted(&shop.guest(), THEN, json!({ "sku": sku, "at": before })).await;
        let offer = &answer["data"]["offer"];
        assert_eq!(titles(offer).len(), count, "{answer:#}");
        assert!(titles(offer).iter().all(|title| title.starts_with(sku)), "{offer:#}");
        costs.push(statements);
    }
    assert_eq!(costs, [7, 7], "the product; what it and the library said; its courses, as they are and as they were; who may see; prices");
}

/// A product that nobody changed since it was made says what it always said, also where that was before its changes were kept.
#[tokio::test]
async fn what_was_never_changed_says_what_it_always_said() {
    let shop = TestApp::new().await;
    let item = Shelf(&shop).library("LIB", "Library", &["10.00 USD"]).await;
    let made = shop.app.now().to_rfc3339();
    shop.pass(chrono::TimeDelta::days(1));
    let now = then(&shop, "LIB", None).await;
    assert_eq!(then(&shop, "LIB", Some(&made)).await, now);
    // A call that changes nothing keeps nothing.
    shop.act(&shop.operator(), "libraryUpdate", json!({ "id": item.library, "title": "Library" }), "").await;
    assert_eq!(then(&shop, "LIB", Some(&made)).await, now);
}
