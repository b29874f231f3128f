//! Renting resources for credits: what is taken and what is not, under clicks at once, killed connections, moving clocks and changing prices;
//! what a learner without enough credits is told; how operators end a rental.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bursar::app::caller::Caller;
use bursar::app::entropy::{next_id, next_uuid};
use bursar::app::rental::ResourceRent;
use bursar::store::STATEMENTS;
use bursar::store::credit::{self, Move, NewLot};
use chrono::{DateTime, TimeDelta, Utc};
use domain::credit::{Cause, Owner, Source, SourceKind};
use domain::{AccountId, CompanyId, ProductId, ResourceId};
use entity::{credit_entry, entitlement, rental, resource};
use futures_util::future::join_all;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::{Value, json};

use crate::credit_sale::pack;
use crate::util::{TestApp, amount, at, id};

/// A shop with a course, and a learner whom nothing opens it for.
struct Rack {
    shop: TestApp,
    course: String,
    account: AccountId,
    ann: Caller,
}

impl Rack {
    async fn new() -> Self {
        let shop = TestApp::new().await;
        let course = shop.course("Welding").await;
        let (account, token) = shop.sign_up("ann@example.org").await;
        let ann = shop.bearer(&token).await;
        Self { account: AccountId::parse(&account).expect("an account's id"), shop, course, ann }
    }

    /// The course's resources, each with its cost; gives their ids.
    async fn resources(&self, list: &[(&str, i64)]) -> Vec<String> {
        let list: Vec<Value> = list.iter().map(|(title, cost)| json!({ "title": title, "cost": cost })).collect();
        let input = json!({ "courseId": self.course, "resources": list });
        let made = self.shop.act(&self.shop.operator(), "resourcesSet", input, "course { resources { id } }").await;
        made["course"]["resources"].as_array().expect("a list").iter().map(id).collect()
    }

    async fn grant(&self, owner: Owner, count: i64, ends: Option<&str>) {
        self.grant_tied(owner, count, ends, None).await;
    }

    async fn grant_tied(&self, owner: Owner, count: i64, ends: Option<&str>, tied: Option<ProductId>) {
        let app = &self.shop.app;
        let txn = app.db.begin().await.expect("a transaction");
        let new = NewLot { id: next_id(), owner, count, expires_at: ends.map(at), product: tied, tied };
        let source = Source { kind: SourceKind::Hand, id: next_uuid() };
        let by = Move { cause: Cause::Granted, source, actor: "test", reason: None, now: app.now(), new_id: next_uuid };
        credit::grant(&txn, &new, &by).await.expect("granted");
        txn.commit().await.expect("committed");
    }

    async fn credits(&self, count: i64) {
        self.grant(Owner::Account(self.account), count, None).await;
    }

    async fn balance(&self, owner: Owner) -> i64 {
        credit::holdings(self.shop.app.db.read(), owner, self.shop.app.now()).await.expect("the lots are read").balance
    }

    async fn own(&self) -> i64 {
        self.balance(Owner::Account(self.account)).await
    }

    async fn rent(&self, resource: &str, expected: i64, key: &str) -> Value {
        rent_as(&self.shop, &self.ann, resource, expected, key).await
    }

    async fn renew(&self, rental: &Value, expected: i64, key: &str) -> Value {
        let input = json!({ "rentalId": rental, "expectedCost": expected, "idempotencyKey": key });
        let query = format!("mutation($input: RentalRenewInput!) {{ rentalRenew(input: $input) {{ {PAYLOAD} }} }}");
        self.shop.run(&self.ann, &query, json!({ "input": input })).await["data"]["rentalRenew"].clone()
    }

    async fn quote(&self, resource: &str, fields: &str) -> Value {
        let query = format!("query($id: ID!) {{ rentalQuote(resourceId: $id) {{ {fields} }} }}");
        self.shop.ok(&self.ann, &query, json!({ "id": resource })).await["rentalQuote"].clone()
    }

    async fn state(&self, resource: &str) -> String {
        self.quote(resource, "state").await["state"].as_str().expect("a state").to_owned()
    }

    /// Spendings in the books, rentals, and grants.
    async fn written(&self) -> (u64, u64, u64) {
        let db = self.shop.app.db.read();
        let spent = credit_entry::Entity::find().filter(credit_entry::Column::Cause.eq("SPENT")).count(db).await;
        let rentals = rental::Entity::find().count(db).await;
        let grants = entitlement::Entity::find().filter(entitlement::Column::SourceKind.eq("RENTAL")).count(db).await;
        (spent.expect("counted"), rentals.expect("counted"), grants.expect("counted"))
    }
}

const PAYLOAD: &str =
    "rental { id status startsAt endsAt cost parts { id cost days endsAt givenBackAt } } resource { open state rentedUntil }
    quote { cost charge balance balanceAfter missing alreadyOpen } replayed userErrors { code field message }";

async fn rent_as(shop: &TestApp, caller: &Caller, resource: &str, expected: i64, key: &str) -> Value {
    let input = json!({ "resourceId": resource, "expectedCost": expected, "idempotencyKey": key });
    let query = format!("mutation($input: ResourceRentInput!) {{ resourceRent(input: $input) {{ {PAYLOAD} }} }}");
    let answer = shop.run(caller, &query, json!({ "input": input })).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    answer["data"]["resourceRent"].clone()
}

fn code(answer: &Value) -> &str {
    answer["userErrors"][0]["code"].as_str().unwrap_or("done")
}

fn instant(value: &Value) -> DateTime<Utc> {
    at(value.as_str().expect("an instant"))
}

/// R26, R29, R41: the quote, the renting, and renting again, which takes nothing and gives the same rental; days are of 24 hours, and the rental
/// is over at its instant.
#[tokio::test]
async fn r29_r41_a_resource_is_rented_once_for_the_cost_agreed_to() {
    let rack = Rack::new().await;
    let list = rack.resources(&[("The torch", 5), ("Seams", 3)]).await;
    rack.credits(7).await;
    let fields = "resourceId courseId title cost charge balance ownBalance companyBalance balanceAfter missing days alreadyOpen state rental { id } offers { sku }";
    let quoted = json!({
        "resourceId": list[0], "courseId": rack.course, "title": "The torch", "cost": 5, "charge": 5, "balance": 7, "ownBalance": 7,
        "companyBalance": 0, "balanceAfter": 2, "missing": 0, "days": 30, "alreadyOpen": false, "state": "RENTAL_REQUIRED", "rental": null,
        "offers": [],
    });
    assert_eq!(rack.quote(&list[0], fields).await, quoted);
    let rented = rack.rent(&list[0], 5, "one").await;
    assert_eq!(code(&rented), "done");
    let rental = rented["rental"].clone();
    assert_eq!(rental["status"], "LIVE");
    assert_eq!((instant(&rental["startsAt"]), instant(&rental["endsAt"])), (at("2026-01-01T00:00:00Z"), at("2026-01-31T00:00:00Z")));
    assert_eq!(rented["resource"], json!({ "open": true, "state": "RENTED", "rentedUntil": rental["endsAt"] }));
    assert_eq!(rack.own().await, 2);

    // The same key, another key, another cost: open already.
    let again = rack.rent(&list[0], 5, "one").await;
    assert_eq!((&again["replayed"], &again["rental"]["id"]), (&json!(true), &rental["id"]));
    for (expected, key) in [(5, "two"), (0, "three"), (99, "four")] {
        let again = rack.rent(&list[0], expected, key).await;
        assert_eq!((code(&again), &again["replayed"], &again["rental"]["id"]), ("done", &json!(false), &rental["id"]));
    }
    assert_eq!(code(&rack.rent(&list[0], 4, "one").await), "IDEMPOTENCY_MISMATCH");
    assert_eq!((rack.own().await, rack.written().await), (2, (1, 1, 1)));
    let open = rack.quote(&list[0], "cost charge balance balanceAfter alreadyOpen rental { id }").await;
    let shown = json!({ "cost": 5, "charge": 0, "balance": 2, "balanceAfter": 2, "alreadyOpen": true, "rental": { "id": rental["id"] } });
    assert_eq!(open, shown);

    rack.shop.set_time("2026-01-30T23:59:59.999999Z");
    assert_eq!(rack.state(&list[0]).await, "RENTED");
    rack.shop.set_time("2026-01-31T00:00:00Z");
    assert_eq!(rack.state(&list[0]).await, "RENTAL_REQUIRED");
    let query = "query($id: ID!) { me { entitlements { nodes { source status target { kind id title } } } } rentals { totalCount nodes { id status cost resource { title } } }
        node(id: $id) { __typename } }";
    let mine = rack.shop.ok(&rack.ann, query, json!({ "id": rental["id"] })).await;
    let target = json!({ "kind": "RESOURCE", "id": list[0], "title": "The torch" });
    assert_eq!(mine["me"]["entitlements"]["nodes"], json!([{ "source": "RENTAL", "status": "EXPIRED", "target": target }]));
    let listed = json!([{ "id": rental["id"], "status": "EXPIRED", "cost": 5, "resource": { "title": "The torch" } }]);
    assert_eq!(mine["rentals"], json!({ "totalCount": 1, "nodes": listed }));
    assert_eq!(mine["node"]["__typename"], "Rental");
}

/// R41: renewing takes the cost of that day and adds the days of that day to the end; side by side with a change of the clocks, a day is 24 hours.
#[tokio::test]
async fn r41_renewing_takes_todays_cost_and_adds_days_to_the_end() {
    let shop = TestApp::with(|shop| shop.time_zone = chrono_tz::America::New_York).await;
    let course = shop.course("Welding").await;
    let (account, token) = shop.sign_up("ann@example.org").await;
    let ann = shop.bearer(&token).await;
    let rack = Rack { account: AccountId::parse(&account).expect("an account's id"), shop, course, ann };
    let list = rack.resources(&[("The torch", 5)]).await;
    rack.credits(20).await;
    // The clocks of New York go forward on 8 March 2026.
    rack.shop.set_time("2026-03-01T17:30:00Z");
    let rented = rack.rent(&list[0], 5, "rent").await;
    assert_eq!(instant(&rented["rental"]["endsAt"]), at("2026-03-31T17:30:00Z"));
    let changed = json!({ "courseId": rack.course, "resources": [{ "title": "The torch", "cost": 8, "days": 10 }] });
    rack.shop.act(&rack.shop.operator(), "resourcesSet", changed, "").await;
    rack.shop.set_time("2026-03-20T00:00:00Z");
    let rental = &rented["rental"]["id"];
    let refused = rack.renew(rental, 5, "renew").await;
    assert_eq!((code(&refused), &refused["quote"]["cost"]), ("COST_CHANGED", &json!(8)));
    assert_eq!(code(&rack.renew(rental, -1, "negative").await), "INVALID");
    let renewed = rack.renew(rental, 8, "renew").await;
    assert_eq!((code(&renewed), &renewed["rental"]["id"], &renewed["rental"]["cost"]), ("done", rental, &json!(13)));
    assert_eq!(instant(&renewed["rental"]["endsAt"]), at("2026-04-10T17:30:00Z"), "the old end and ten days");
    assert_eq!(rack.renew(rental, 8, "renew").await["replayed"], true);
    assert_eq!(rack.own().await, 7);
    rack.shop.set_time("2026-04-10T17:29:59Z");
    assert_eq!(rack.state(&list[0]).await, "RENTED");
    assert_eq!(code(&rack.renew(rental, 8, "poor").await), "INSUFFICIENT_CREDITS");
    rack.shop.set_time("2026-04-10T17:30:00Z");
    assert_eq!(code(&rack.renew(rental, 8, "late").await), "ENTITLEMENT_ENDED");
    let (_, token) = rack.shop.sign_up("bo@example.org").await;
    let input = json!({ "rentalId": rental, "expectedCost": 8, "idempotencyKey": "mine" });
    let bo = rack.shop.bearer(&token).await;
    assert_eq!(rack.shop.denied(&bo, "rentalRenew", input).await, vec![("NOT_FOUND".to_owned(), "rentalId".to_owned())]);
}

/// R29: the cost is compared where the credits are taken; a price that changed since the quote takes nothing and shows the fresh one.
#[tokio::test]
async fn r29_a_price_that_changed_since_the_quote_takes_nothing() {
    let rack = Rack::new().await;
    let list = rack.resources(&[("The torch", 5)]).await;
    rack.credits(7).await;
    rack.resources(&[("The torch", 6)]).await;
    let refused = rack.rent(&list[0], 5, "key").await;
    let quote = json!({ "cost": 6, "charge": 6, "balance": 7, "balanceAfter": 1, "missing": 0, "alreadyOpen": false });
    assert_eq!((code(&refused), &refused["userErrors"][0]["field"], &refused["quote"]), ("COST_CHANGED", &json!(["expectedCost"]), &quote));
    assert_eq!((rack.own().await, rack.written().await), (7, (0, 0, 0)));
    // A cheaper one was not agreed to either. The key was not used up.
    rack.resources(&[("The torch", 4)]).await;
    assert_eq!(code(&rack.rent(&list[0], 5, "key").await), "COST_CHANGED");
    assert_eq!(code(&rack.rent(&list[0], 4, "key2").await), "done");
    assert_eq!(rack.own().await, 3);
}

/// Two hundred at once, for one credit each, by somebody with thirty-seven: thirty-seven of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r39_two_hundred_rentals_at_once_take_no_more_than_there_is() {
    let rack = Arc::new(Rack::new().await);
    let titles: Vec<String> = (0..200).map(|number| format!("Item {number}")).collect();
    let list = rack.resources(&titles.iter().map(|title| (title.as_str(), 1)).collect::<Vec<_>>()).await;
    rack.grant(Owner::Account(rack.account), 20, Some("2026-02-01T00:00:00Z")).await;
    rack.credits(17).await;
    let rent = |(number, resource): (usize, String)| {
        let rack = rack.clone();
        tokio::spawn(async move { rack.rent(&resource, 1, &format!("key {number}")).await })
    };
    let mut outcomes: Vec<String> = Vec::new();
    for answer in join_all(list.into_iter().enumerate().map(rent)).await {
        outcomes.push(code(&answer.expect("nobody fails")).to_owned());
    }
    let count = |wanted: &str| outcomes.iter().filter(|outcome| *outcome == wanted).count();
    assert_eq!((count("done"), count("INSUFFICIENT_CREDITS")), (37, 163));
    assert_eq!((rack.own().await, rack.written().await), (0, (37, 37, 37)));
    let mails = rack.shop.ok(&rack.shop.operator(), "{ outbox(first: 100) { nodes { kind } } }", json!({})).await;
    let told = mails["outbox"]["nodes"].as_array().expect("a list").iter().filter(|mail| mail["kind"] == "CREDITS_SHORT").count();
    assert_eq!(told, 1, "163 refusals, one mail");
}

/// R41: a double click, with one key or with two, takes once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r41_clicks_at_once_with_one_key_or_two_take_once() {
    let rack = Arc::new(Rack::new().await);
    let list = rack.resources(&[("The torch", 5), ("Seams", 5)]).await;
    rack.credits(100).await;
    for (resource, keys) in [(&list[0], ["same"; 8]), (&list[1], ["a", "b", "c", "d", "e", "f", "g", "h"])] {
        let click = |key: &'static str| {
            let (rack, resource) = (rack.clone(), resource.clone());
            tokio::spawn(async move { rack.rent(&resource, 5, key).await })
        };
        let answers = join_all(keys.map(click)).await;
        let answers: Vec<Value> = answers.into_iter().map(|answer| answer.expect("nobody fails")).collect();
        assert!(
            answers.iter().all(|answer| code(answer) == "done" && answer["rental"]["id"] == answers[0]["rental"]["id"]),
            "{answers:#?}"
        );
    }
    assert_eq!((rack.own().await, rack.written().await), (90, (2, 2, 2)));
}

/// R27, R38: a rental opens its resource after product access has lapsed; product access alone does not; leaving a group that ignores credits
/// changes nothing about what was rented.
#[tokio::test]
async fn r27_r38_rentals_stand_apart_from_product_access_and_groups() {
    let rack = Rack::new().await;
    let list = rack.resources(&[("The torch", 5), ("Seams", 3), ("Safety first", 0)]).await;
    rack.credits(20).await;
    let operator = rack.shop.operator();
    let input = json!({ "title": "Class", "content": [{ "courseId": rack.course, "opens": true }] });
    let class = id(&rack.shop.act(&operator, "groupCreate", input, "group { id }").await["group"]);
    let patrons = json!({ "title": "Patrons", "ignoresCredits": true });
    let patrons = id(&rack.shop.act(&operator, "groupCreate", patrons, "group { id }").await["group"]);
    let membership = async |mutation: &str, group: &str| {
        let input = json!({ "groupId": group, "accountIds": [rack.account] });
        rack.shop.act(&operator, mutation, input, "").await;
    };
    // Without access a resource that costs nothing is not opened by renting; the answer says what opens it.
    let refused = rack.rent(&list[2], 0, "free").await;
    assert_eq!((code(&refused), &refused["userErrors"][0]["field"]), ("PAYMENT_REQUIRED", &json!(["resourceId"])));
    rack.shop.library("WELD", "Welding and more", "20.00 USD", &[&rack.course]).await;
    assert_eq!(
        rack.quote(&list[2], "state cost courseOffer { sku }").await,
        json!({ "state": "COURSE_REQUIRED", "cost": 0, "courseOffer": { "sku": "WELD" } })
    );

    membership("groupMembersAdd", &class).await;
    assert_eq!((rack.state(&list[0]).await, rack.state(&list[2]).await), ("RENTAL_REQUIRED".to_owned(), "OPEN".to_owned()));
    let open = rack.rent(&list[2], 0, "open").await;
    assert_eq!((code(&open), &open["rental"], &open["resource"]["open"]), ("done", &Value::Null, &json!(true)));
    let rented = rack.rent(&list[0], 5, "torch").await;
    membership("groupMembersRemove", &class).await;
    assert_eq!((rack.state(&list[0]).await, rack.state(&list[2]).await), ("RENTED".to_owned(), "COURSE_REQUIRED".to_owned()));

    // In a group that ignores credits the cost falls away, and ordinary access decides; what was rented stays open.
    membership("groupMembersAdd", &patrons).await;
    assert_eq!((rack.state(&list[0]).await, rack.state(&list[1]).await), ("RENTED".to_owned(), "COURSE_REQUIRED".to_owned()));
    assert_eq!(code(&rack.rent(&list[1], 3, "no access").await), "PAYMENT_REQUIRED");
    assert_eq!(code(&rack.renew(&rented["rental"]["id"], 5, "no access").await), "PAYMENT_REQUIRED");
    membership("groupMembersAdd", &class).await;
    let open = rack.rent(&list[1], 3, "ignored").await;
    assert_eq!((code(&open), &open["rental"], &open["resource"]["state"]), ("done", &Value::Null, &json!("OPEN")));
    assert_eq!(code(&rack.renew(&rented["rental"]["id"], 5, "nothing to pay").await), "NOTHING_TO_PAY");
    assert_eq!(rack.own().await, 15, "one rental was paid");
    // The group is left during the rental: it runs on; the other resource costs again.
    membership("groupMembersRemove", &patrons).await;
    assert_eq!((rack.state(&list[0]).await, rack.state(&list[1]).await), ("RENTED".to_owned(), "RENTAL_REQUIRED".to_owned()));
    assert_eq!(code(&rack.rent(&list[1], 0, "free no more").await), "COST_CHANGED");
}

/// R37, R32: with too few credits nothing is taken; what is missing and what sells it is told at once, and by one mail and one event a day.
#[tokio::test]
async fn r37_too_few_credits_name_what_is_missing_and_who_sells_it() {
    let rack = Rack::new().await;
    let list = rack.resources(&[("The torch", 5), ("Seams", 9)]).await;
    rack.credits(3).await;
    let operator = rack.shop.operator();
    let endpoint = json!({ "url": "http://127.0.0.1:1/events", "events": ["CREDITS_SHORT"] });
    rack.shop.act(&operator, "webhookEndpointCreate", endpoint, "secret").await;
    pack(&rack.shop, "CREDITS-1", "1.00 USD", 1).await;
    let twenty = pack(&rack.shop, "CREDITS-20", "15.00 USD", 20).await;
    let coupon =
        json!({ "kind": "PACK", "productId": twenty, "price": amount("30.00 USD"), "credits": 50, "codes": ["FIFTY"], "public": true });
    rack.shop.act(&operator, "couponCreate", coupon, "").await;
    let refused = rack.rent(&list[0], 5, "key").await;
    let quote = json!({ "cost": 5, "charge": 5, "balance": 3, "balanceAfter": null, "missing": 2, "alreadyOpen": false });
    assert_eq!((code(&refused), &refused["quote"]), ("INSUFFICIENT_CREDITS", &quote));
    let message = refused["userErrors"][0]["message"].as_str().expect("a text");
    assert!(message.contains("costs 5 credits and 3") && message.contains("2 are missing"), "{message}");
    assert!(message.contains("http://127.0.0.1:8080/form/CREDITS-20"), "what gives enough comes first: {message}");
    let offers = rack.quote(&list[0], "offers { sku credits url price { amount } packs { code credits price { amount } url } }").await;
    let offer = |sku: &str, credits: i64, price: &str, packs: Value| json!({ "sku": sku, "credits": credits, "url": format!("http://127.0.0.1:8080/form/{sku}"), "price": { "amount": price }, "packs": packs });
    let url = "http://127.0.0.1:8080/form/CREDITS-20?coupon=FIFTY";
    let fifty = json!([{ "code": "FIFTY", "credits": 50, "price": { "amount": "30.00" }, "url": url }]);
    assert_eq!(offers["offers"], json!([offer("CREDITS-20", 20, "15.00", fifty), offer("CREDITS-1", 1, "1.00", json!([]))]));
    assert_eq!((rack.own().await, rack.written().await), (3, (0, 0, 0)));

    let told = async || {
        rack.shop.jobs().await;
        let data = rack
            .shop
            .ok(
                &operator,
                "{ outbox(first: 100) { nodes { kind to subject text } } webhookDeliveries { nodes { event payload } } }",
                json!({}),
            )
            .await;
        let mails: Vec<Value> =
            data["outbox"]["nodes"].as_array().expect("a list").iter().filter(|mail| mail["kind"] == "CREDITS_SHORT").cloned().collect();
        (mails, data["webhookDeliveries"]["nodes"].as_array().expect("a list").clone())
    };
    let (mails, events) = told().await;
    assert_eq!((mails.len(), events.len()), (1, 1));
    let text = mails[0]["text"].as_str().expect("a text");
    assert!(mails[0]["to"] == "ann@example.org" && text.contains("The torch") && text.contains(url), "{:#}", mails[0]);
    rack.rent(&list[1], 9, "other").await;
    rack.shop.set_time("2026-01-01T23:59:59Z");
    rack.rent(&list[0], 5, "again").await;
    assert_eq!(told().await.0.len(), 1, "one a day");
    rack.shop.set_time("2026-01-02T00:00:00Z");
    rack.rent(&list[0], 5, "tomorrow").await;
    let (mails, events) = told().await;
    assert_eq!((mails.len(), events.len()), (2, 2));
    // The key was not used up by the refusal.
    rack.credits(2).await;
    assert_eq!(code(&rack.rent(&list[0], 5, "key").await), "done");
    assert_eq!(rack.own().await, 0);
}

/// R39, R40: the lot that ends first pays; at its end it pays nothing any more, whether or not that was booked; a tied one pays for the courses of
/// its product only.
#[tokio::test]
async fn r39_r40_lots_pay_to_the_instant_of_their_end_and_for_what_they_are_tied_to() {
    let rack = Rack::new().await;
    let list = rack.resources(&[("The torch", 5), ("Seams", 5), ("Plans", 2)]).await;
    let ann = Owner::Account(rack.account);
    rack.grant(ann, 5, Some("2026-01-10T00:00:00Z")).await;
    rack.grant(ann, 5, Some("2026-01-20T00:00:00Z")).await;
    rack.shop.set_time("2026-01-09T23:59:59.999999Z");
    assert_eq!(code(&rack.rent(&list[0], 5, "in time").await), "done");
    rack.shop.set_time("2026-01-20T00:00:00Z");
    assert_eq!(code(&rack.rent(&list[1], 5, "too late").await), "INSUFFICIENT_CREDITS");
    assert_eq!(rack.own().await, 0);
    let other = rack.shop.course("Casting").await;
    let product = |answer: (String, String)| ProductId::parse(&answer.1).expect("a product's id");
    let casting = product(rack.shop.library("CAST", "Casting", "20.00 USD", &[&other]).await);
    let welding = product(rack.shop.library("WELD", "Welding", "20.00 USD", &[&rack.course]).await);
    rack.grant_tied(ann, 50, None, Some(casting)).await;
    let quote = rack.quote(&list[2], "balance missing").await;
    assert_eq!(quote, json!({ "balance": 0, "missing": 2 }), "credits for casting");
    rack.grant_tied(ann, 2, None, Some(welding)).await;
    assert_eq!(code(&rack.rent(&list[2], 2, "tied").await), "done");
    assert_eq!(rack.own().await, 50);
}

/// R80, R39: a company lets its learners spend up to a limit each; own credits go first, the quote shows both, and learners at once stay within
/// what the company has.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r80_a_company_pays_for_its_learners_up_to_its_limit() {
    let rack = Arc::new(Rack::new().await);
    let list = rack.resources(&[("The torch", 5), ("Seams", 4), ("Plans", 3)]).await;
    let operator = rack.shop.operator();
    let company = json!({ "key": "acme", "name": "Acme", "type": "RETAIL" });
    let company = id(&rack.shop.act(&operator, "companyCreate", company, "company { id }").await["company"]);
    let company_id = CompanyId::parse(&company).expect("a company's id");
    rack.shop.act(&operator, "companyCreditLimitSet", json!({ "companyId": company, "limit": 8 }), "").await;
    let members = json!({ "companyId": company, "learners": [{ "accountId": rack.account }] });
    rack.shop.act(&operator, "companyMembersSet", members, "").await;
    let acme = Owner::Company(company_id);
    rack.grant(acme, 20, None).await;
    rack.credits(2).await;
    let quote = rack.quote(&list[0], "balance ownBalance companyBalance balanceAfter").await;
    assert_eq!(quote, json!({ "balance": 10, "ownBalance": 2, "companyBalance": 8, "balanceAfter": 5 }));
    assert_eq!(code(&rack.rent(&list[0], 5, "torch").await), "done");
    assert_eq!((rack.own().await, rack.balance(acme).await), (0, 17), "2 of her own, 3 of Acme's");
    let quote = rack.quote(&list[1], "balance companyBalance").await;
    assert_eq!(quote, json!({ "balance": 5, "companyBalance": 5 }), "8 less 3");
    assert_eq!(code(&rack.rent(&list[1], 4, "seams").await), "done");
    assert_eq!(code(&rack.rent(&list[2], 3, "plans").await), "INSUFFICIENT_CREDITS");
    assert_eq!(rack.balance(acme).await, 13);
    // Ten learners at once want 3 each of the 13 that are left: four of them.
    let mut learners = Vec::new();
    for number in 0..10 {
        let (account, token) = rack.shop.sign_up(&format!("learner{number}@example.org")).await;
        let members = json!({ "companyId": company, "learners": [{ "accountId": account }] });
        rack.shop.act(&operator, "companyMembersSet", members, "").await;
        learners.push(rack.shop.bearer(&token).await);
    }
    let rent = |learner: Caller| {
        let (rack, resource) = (rack.clone(), list[2].clone());
        tokio::spawn(async move { code(&rent_as(&rack.shop, &learner, &resource, 3, "key").await).to_owned() })
    };
    let outcomes = join_all(learners.into_iter().map(rent)).await;
    let done = outcomes.into_iter().filter(|outcome| outcome.as_ref().is_ok_and(|outcome| outcome == "done")).count();
    assert_eq!((done, rack.balance(acme).await), (4, 1));
}

/// An operator ends a rental: its credits return to the lots that they came from, those of a lot that has ended meanwhile end with it; without
/// giving back, and by `entitlementEnd`, access ends alone.
#[tokio::test]
async fn r41_an_operator_ends_a_rental_and_gives_its_credits_back() {
    let rack = Rack::new().await;
    let list = rack.resources(&[("The torch", 5), ("Seams", 4), ("Plans", 3)]).await;
    let operator = rack.shop.operator();
    let ann = Owner::Account(rack.account);
    rack.grant(ann, 3, Some("2026-01-05T00:00:00Z")).await;
    rack.grant(ann, 20, Some("2026-12-31T00:00:00Z")).await;
    let torch = rack.rent(&list[0], 5, "torch").await["rental"]["id"].clone();
    rack.renew(&torch, 5, "torch again").await;
    assert_eq!(rack.own().await, 13, "3 and 2, then 5");
    rack.shop.set_time("2026-01-05T00:00:00Z");
    let end = |rental: &Value, give_back: bool, key: &str| json!({ "rentalId": rental, "giveBack": give_back, "reason": "It did not play", "idempotencyKey": key });
    let fields = "rental { status endsAt parts { cost givenBackAt endedReason } } givenBack replayed";
    let ended = rack.shop.act(&operator, "rentalEnd", end(&torch, true, "end"), fields).await;
    assert_eq!((&ended["givenBack"], &ended["rental"]["status"]), (&json!(10), &json!("ENDED")));
    assert_eq!(instant(&ended["rental"]["endsAt"]), at("2026-01-05T00:00:00Z"));
    assert_eq!(rack.own().await, 20, "of the 10, 3 were of a lot that is over");
    assert_eq!(rack.state(&list[0]).await, "RENTAL_REQUIRED");
    let again = rack.shop.act(&operator, "rentalEnd", end(&torch, true, "end"), fields).await;
    assert_eq!((&again["givenBack"], &again["replayed"]), (&json!(10), &json!(true)));
    let denied = |denied: Vec<(String, String)>| denied.into_iter().map(|(code, field)| format!("{code} {field}")).collect::<Vec<_>>();
    let over = rack.shop.denied(&operator, "rentalEnd", end(&torch, true, "once more")).await;
    assert_eq!(denied(over), ["ENTITLEMENT_ENDED rentalId"]);

    // Access alone; then the credits all the same.
    let seams = rack.rent(&list[1], 4, "seams").await["rental"].clone();
    let ended = rack.shop.act(&operator, "rentalEnd", end(&seams["id"], false, "keep"), fields).await;
    assert_eq!((&ended["givenBack"], rack.own().await), (&json!(0), 16));
    let ended = rack.shop.act(&operator, "rentalEnd", end(&seams["id"], true, "after all"), fields).await;
    assert_eq!((&ended["givenBack"], rack.own().await), (&json!(4), 20));
    let plans = rack.rent(&list[2], 3, "plans").await["rental"]["id"].clone();
    let query = "{ me { entitlements(first: 1) { nodes { id } } } }";
    let grant = rack.shop.ok(&rack.ann, query, json!({})).await["me"]["entitlements"]["nodes"][0]["id"].clone();
    rack.shop.act(&operator, "entitlementEnd", json!({ "entitlementId": grant, "reason": "Lent by mistake" }), "").await;
    assert_eq!((rack.state(&list[2]).await, rack.own().await), ("RENTAL_REQUIRED".to_owned(), 17));
    // One that ran to its end was had.
    let again = rack.rent(&list[2], 3, "plans again").await["rental"]["id"].clone();
    assert_ne!(again, plans);
    rack.shop.pass(TimeDelta::days(30));
    assert_eq!(denied(rack.shop.denied(&operator, "rentalEnd", end(&again, true, "too late")).await), ["ENTITLEMENT_ENDED rentalId"]);
    for caller in [rack.ann.clone(), rack.shop.key(&["credits:read"])] {
        let query = "mutation($input: RentalEndInput!) { rentalEnd(input: $input) { userErrors { code } } }";
        assert_eq!(rack.shop.top_level_code(&caller, query, json!({ "input": end(&again, true, "mine") })).await, "FORBIDDEN");
    }
}

/// Whatever is cut off leaves all of a renting or nothing of it: the credits, the rental and the grant are one transaction.
#[tokio::test]
async fn a_renting_that_is_cut_off_leaves_all_of_it_or_nothing() {
    let rack = Rack::new().await;
    let list = rack.resources(&[("The torch", 5)]).await;
    rack.credits(9).await;
    // Cut off after each of its statements in turn, as if the connection were lost or the process killed there.
    let mut statements = 0;
    loop {
        let rent = ResourceRent { resource: ResourceId::parse(&list[0]).expect("a resource's id"), expected: 5, key: "key".to_owned() };
        let count = Arc::new(AtomicU64::new(0));
        let cut = {
            let mut renting = Box::pin(STATEMENTS.scope(count.clone(), rack.shop.app.resource_rent(&rack.ann, rent)));
            std::future::poll_fn(|cx| match renting.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if count.load(Ordering::Relaxed) >= statements => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        settled(&rack).await;
        let written = rack.written().await;
        let left = (rack.own().await, written);
        assert!(matches!(left, (9, (0, 0, 0)) | (4, (1, 1, 1))), "cut after {statements} statements: {left:?}");
        match cut {
            Some(answer) => {
                assert!(answer.expect("it is rented").value.rental.is_some());
                break;
            }
            None => statements += 1,
        }
    }
    assert!(statements > 10, "{statements} places were tried");
    assert_eq!((rack.own().await, rack.written().await), (4, (1, 1, 1)));
}

/// Waits until a transaction that was dropped is rolled back: the next one gets its turn after it.
async fn settled(rack: &Rack) {
    let txn = rack.shop.app.db.begin().await.expect("a transaction");
    txn.rollback().await.expect("rolled back");
}

/// Nonsense is refused by its field and takes nothing.
#[tokio::test]
async fn r29_nonsense_is_refused_and_takes_nothing() {
    let rack = Rack::new().await;
    let list = rack.resources(&[("The torch", 5), ("Seams", 5)]).await;
    rack.credits(9).await;
    let rent =
        |resource: &str, expected: i64, key: &str| json!({ "resourceId": resource, "expectedCost": expected, "idempotencyKey": key });
    for (input, code, field) in [
        (rent("res_01m88mdsqyeexs0j7wsy3h1qvs", 5, "k"), "NOT_FOUND", "resourceId"),
        (rent("res_nonsense", 5, "k"), "NOT_FOUND", "resourceId"),
        (rent(&rack.course, 5, "k"), "NOT_FOUND", "resourceId"),
        (rent(&list[0], -5, "k"), "INVALID", "expectedCost"),
        (rent(&list[0], 0, "k"), "COST_CHANGED", "expectedCost"),
        (rent(&list[0], 5, " "), "INVALID", "idempotencyKey"),
    ] {
        let expected = vec![(code.to_owned(), field.to_owned())];
        assert_eq!(rack.shop.denied(&rack.ann, "resourceRent", input.clone()).await, expected, "{input}");
    }
    let query = "query($id: ID!) { rentalQuote(resourceId: $id) { cost } }";
    assert_eq!(rack.shop.ok(&rack.ann, query, json!({ "id": "res_nonsense" })).await["rentalQuote"], Value::Null);
    assert_eq!(rack.shop.top_level_code(&rack.shop.guest(), query, json!({ "id": list[0] })).await, "UNAUTHENTICATED");
    // What only members of a group see does not exist for others; what was archived is no longer rented out.
    let hidden = json!({ "title": "Club", "content": [{ "courseId": rack.course, "sees": true }] });
    let club = id(&rack.shop.act(&rack.shop.operator(), "groupCreate", hidden, "group { id }").await["group"]);
    let expected = vec![("NOT_FOUND".to_owned(), "resourceId".to_owned())];
    assert_eq!(rack.shop.denied(&rack.ann, "resourceRent", rent(&list[0], 5, "hidden")).await, expected);
    let member = json!({ "groupId": club, "accountIds": [rack.account] });
    rack.shop.act(&rack.shop.operator(), "groupMembersAdd", member, "").await;
    let rented = rack.rent(&list[0], 5, "member").await;
    rack.resources(&[]).await;
    assert_eq!(rack.state(&list[0]).await, "RENTED", "what was rented stays open");
    assert_eq!(code(&rack.renew(&rented["rental"]["id"], 5, "archived").await), "ARCHIVED");
    assert_eq!(code(&rack.rent(&list[1], 5, "archived").await), "NOT_FOUND");
    assert_eq!(resource::Entity::find().count(rack.shop.app.db.read()).await.expect("counted"), 2, "nothing is deleted");
    assert_eq!((rack.own().await, rack.written().await), (4, (1, 1, 1)));
}

/// What a quote and a list of rentals cost does not grow with what there is.
#[tokio::test]
async fn rentals_are_listed_in_a_fixed_number_of_statements() {
    let rack = Rack::new().await;
    let titles: Vec<String> = (0..30).map(|number| format!("Item {number}")).collect();
    let list = rack.resources(&titles.iter().map(|title| (title.as_str(), 1)).collect::<Vec<_>>()).await;
    rack.credits(100).await;
    let query = "{ rentals(first: 100) { nodes { id resource { title } parts { cost } } } }";
    let quote = "query($id: ID!) { rentalQuote(resourceId: $id) { balance rental { id } } }";
    let mut counts = Vec::new();
    for (from, to) in [(0, 1), (1, 30)] {
        for resource in &list[from..to] {
            rack.rent(resource, 1, resource).await;
        }
        let (answer, listed) = rack.shop.counted(&rack.ann, query, json!({})).await;
        assert_eq!(answer["data"]["rentals"]["nodes"].as_array().map(Vec::len), Some(to));
        let (_, quoted) = rack.shop.counted(&rack.ann, quote, json!({ "id": list[0] })).await;
        counts.push((listed, quoted));
    }
    assert_eq!(counts[0], counts[1]);
}
