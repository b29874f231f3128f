//! Seats beyond those that a company bought: up to its limit, at the last agreed price, billed as the next month begins.

use std::sync::Arc;

use bursar::app::caller::Caller;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::sales_order::Bulk;
use crate::util::{TestApp, amount};

const LIST: &str = "query($kind: SalesOrderKind) { salesOrders(filter: { kind: $kind }) { nodes { id status total { amount } invoicedAt
    lines { quantity agreedPrice { amount } seats { free assigned void } } documents { number total { amount } } } } }";

async fn overages(bulk: &Bulk) -> Vec<Value> {
    let data = bulk.shop.ok(&bulk.shop.operator(), LIST, json!({ "kind": "OVERAGE" })).await;
    data["salesOrders"]["nodes"].as_array().expect("a list").clone()
}

fn assign(bulk: &Bulk, learners: &[String], key: &str) -> Value {
    let learners: Vec<Value> = learners.iter().map(|email| json!({ "email": email })).collect();
    json!({ "companyId": bulk.company, "productId": bulk.product, "learners": learners, "idempotencyKey": key })
}

fn people(from: usize, count: usize) -> Vec<String> {
    (from..from + count).map(|number| format!("learner{number}@acme.test")).collect()
}

/// Ten seats at 8.00 that are paid, three of them handed out.
async fn ten_seats(bulk: &Bulk) -> Caller {
    let order = bulk.draft(10, json!({ "agreedPrice": amount("8 USD"), "agreedReason": "a year's contract" }), "ten").await;
    bulk.step("salesOrderConfirm", &order, json!({ "idempotencyKey": "ten" })).await;
    bulk.pay(&order, "80.00 USD", "ten").await;
    let manager = bulk.manager("boss@acme.test").await;
    bulk.shop.act(&manager, "tokenAssign", assign(bulk, &people(0, 3), "three"), "tokens { id }").await;
    manager
}

/// c31: more learners than seats are refused as a whole, with the numbers; a company that may exceed its seats gets as many as it lacks, at the last
/// agreed price, and never more than its limit.
#[tokio::test]
async fn c31_r61_a_company_takes_seats_beyond_those_it_has_up_to_its_limit() {
    let bulk = Bulk::new().await;
    let shop = &bulk.shop;
    let manager = ten_seats(&bulk).await;
    let refused = async |count: usize, key: &str| {
        let mutation = "mutation($input: TokenAssignInput!) { tokenAssign(input: $input) { userErrors { code field message } } }";
        let answer = shop.run(&manager, mutation, json!({ "input": assign(&bulk, &people(40, count), key) })).await;
        let error = answer["data"]["tokenAssign"]["userErrors"][0].clone();
        (error["code"].clone(), error["message"].as_str().unwrap_or_default().to_owned())
    };
    let (code, message) = refused(9, "nine").await;
    assert!(code == "TOO_FEW_TOKENS" && message.starts_with("7 free, 9 needed"), "{code} {message}");
    bulk.set_company(json!({ "overageLimit": 1 })).await;
    let (code, message) = refused(9, "nine").await;
    assert!(code == "TOO_FEW_TOKENS" && message.contains("7 free, 9 needed, and the company may take 1 more"), "{code} {message}");
    assert_eq!(overages(&bulk).await, Vec::<Value>::new(), "what was refused made nothing");
    bulk.set_company(json!({ "overageLimit": 3 })).await;
    let done = shop.act(&manager, "tokenAssign", assign(&bulk, &people(3, 9), "nine"), "tokens { id status } replayed").await;
    assert_eq!(done["tokens"].as_array().map(Vec::len), Some(9));
    let again = shop.act(&manager, "tokenAssign", assign(&bulk, &people(3, 9), "nine"), "tokens { id status } replayed").await;
    assert_eq!((&again["replayed"], &again["tokens"]), (&json!(true), &done["tokens"]));
    let found = overages(&bulk).await;
    let line = &found[0]["lines"][0];
    assert_eq!(
        json!([
            found.len(),
            found[0]["status"],
            found[0]["total"]["amount"],
            line["quantity"],
            line["agreedPrice"]["amount"],
            line["seats"]["assigned"]
        ]),
        json!([1, "CONFIRMED", "16.00", 2, "8.00", 2])
    );
    // The last one that is left, then none; what is taken gathers in one line.
    shop.act(&manager, "tokenAssign", assign(&bulk, &people(12, 1), "last"), "tokens { id }").await;
    assert_eq!(refused(10, "more").await.0, "TOO_FEW_TOKENS");
    let found = overages(&bulk).await;
    assert_eq!((found.len(), &found[0]["lines"][0]["quantity"], &found[0]["total"]["amount"]), (1, &json!(3), &json!("24.00")));
    // Whoever is no manager of the company takes none.
    let stranger = bulk.learner("stranger@example.test").await;
    let denied = shop.denied(&stranger, "tokenAssign", assign(&bulk, &people(30, 1), "x")).await;
    assert_eq!(denied, [("NOT_FOUND".to_owned(), "companyId".to_owned())]);
}

/// R61, R80: what was taken is billed once as the next month begins in the shop's zone; once it is paid, the limit is free again.
#[tokio::test]
async fn r61_r80_seats_taken_are_billed_once_as_the_month_begins_in_the_shops_zone() {
    let bulk = Bulk::of(TestApp::with(|shop| shop.time_zone = chrono_tz::Europe::Vienna).await).await;
    let shop = &bulk.shop;
    shop.set_time("2026-06-15T12:00:00Z");
    bulk.set_company(json!({ "overageLimit": 4 })).await;
    let manager = ten_seats(&bulk).await;
    shop.act(&manager, "tokenAssign", assign(&bulk, &people(3, 11), "a"), "tokens { id }").await;
    shop.set_time("2026-06-30T21:59:59Z");
    shop.jobs().await;
    assert_eq!(overages(&bulk).await[0]["status"], "CONFIRMED", "it is June in Vienna");
    shop.set_time("2026-06-30T22:00:00Z");
    shop.jobs().await;
    let billed = overages(&bulk).await[0].clone();
    assert_eq!(
        json!([
            billed["status"],
            billed["documents"][0]["number"],
            billed["documents"][0]["total"]["amount"],
            billed["documents"].as_array().map(Vec::len)
        ]),
        json!(["INVOICED", "INV-000001", "32.00", 1])
    );
    // The job again, on this server and another one: nothing.
    let id = domain::SalesOrderId::parse(billed["id"].as_str().expect("an id")).expect("an id");
    shop.app.overage_invoice(id).await.expect("nothing to do");
    shop.another().await.overage_invoice(id).await.expect("nothing to do");
    assert_eq!(overages(&bulk).await[0], billed);
    let denied = shop.denied(&manager, "tokenAssign", assign(&bulk, &people(20, 1), "b")).await;
    assert_eq!(denied[0].0, "TOO_FEW_TOKENS", "what was taken is not paid");
    bulk.pay(&billed, "32.00 USD", "july").await;
    shop.act(&manager, "tokenAssign", assign(&bulk, &people(20, 1), "c"), "tokens { id }").await;
    let found = overages(&bulk).await;
    assert_eq!((found.len(), &found[0]["status"], &found[0]["total"]["amount"]), (2, &json!("CONFIRMED"), &json!("8.00")));
    shop.pass(TimeDelta::days(40));
    shop.jobs().await;
    assert_eq!(overages(&bulk).await[0]["documents"][0]["number"], "INV-000002");
}

/// c31: however many hand out seats at once, a company never takes more than it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c31_of_many_who_take_seats_at_once_no_more_than_the_limit_get_one() {
    let bulk = Arc::new(Bulk::new().await);
    bulk.set_company(json!({ "overageLimit": 5 })).await;
    let manager = ten_seats(&bulk).await;
    bulk.shop.act(&manager, "tokenAssign", assign(&bulk, &people(3, 7), "seven"), "tokens { id }").await;
    let tasks: Vec<_> = (0..12)
        .map(|place| {
            let (bulk, manager) = (bulk.clone(), manager.clone());
            tokio::spawn(async move {
                let mutation = "mutation($input: TokenAssignInput!) { tokenAssign(input: $input) { tokens { id } userErrors { code } } }";
                let input = assign(&bulk, &people(100 + place, 1), &format!("k{place}"));
                let answer = bulk.shop.run(&manager, mutation, json!({ "input": input })).await;
                answer["data"]["tokenAssign"]["userErrors"][0]["code"].clone()
            })
        })
        .collect();
    let mut codes = Vec::new();
    for task in tasks {
        codes.push(task.await.expect("answered"));
    }
    let refused = codes.iter().filter(|code| **code == "TOO_FEW_TOKENS").count();
    assert_eq!((codes.iter().filter(|code| code.is_null()).count(), refused), (5, 7), "{codes:?}");
    let found = overages(&bulk).await;
    assert_eq!((found.len(), &found[0]["lines"][0]["quantity"], &found[0]["lines"][0]["seats"]["assigned"]), (1, &json!(5), &json!(5)));
}
