//! Companies: created and changed, their people, and what they change about offers: one by one and a thousand at once, with every version kept.

use async_graphql::Executor as _;
use bursar::app::caller::{Caller, Who};
use domain::CompanyId;
use serde_json::{Value, json};

use crate::offer::{Item, Shelf};
use crate::util::TestApp;

const CREATE: &str = "mutation($input: CompanyCreateInput!) { companyCreate(input: $input) {
    company { id key name type enabled timeZone storefront emailDomains archivedAt } userErrors { code field message } } }";
const UPDATE: &str = "mutation($input: CompanyUpdateInput!) { companyUpdate(input: $input) {
    company { id key name type enabled timeZone storefront emailDomains } userErrors { code field message } } }";
const MEMBERS_SET: &str = "mutation($input: CompanyMembersSetInput!) { companyMembersSet(input: $input) {
    company { id } userErrors { code field message } } }";
const SET: &str = "mutation($input: CompanyOffersSetInput!) { companyOffersSet(input: $input) {
    company { id } dryRun
    rows { productId changed old { ...all } new { ...all } } userErrors { code field message } } }
    fragment all on CompanyOverride { title description prices { amount currency } accessDays visibility startsAt endsAt }";
const UNSET: &str = "mutation($input: CompanyOffersUnsetInput!) { companyOffersUnset(input: $input) {
    dryRun rows { changed old { title } new { title } } userErrors { code field message } } }";
const HISTORY: &str = "query($company: ID!, $product: ID!, $first: Int, $after: String) {
    companyOfferHistory(companyId: $company, productId: $product, first: $first, after: $after) {
        totalCount pageInfo { hasNextPage endCursor }
        nodes { at actor old { prices { amount } title } new { prices { amount } title } } } }";

async fn company(shop: &TestApp, input: Value) -> Value {
    shop.ok(&shop.operator(), CREATE, json!({"input": input})).await["companyCreate"]["company"].clone()
}

async fn retail(shop: &TestApp, key: &str) -> String {
    let made = company(shop, json!({"key": key, "name": key, "type": "RETAIL"})).await;
    made["id"].as_str().expect("an id").to_owned()
}

fn row(item: &Item, more: Value) -> Value {
    let mut row = json!({"productId": item.product});
    for (name, value) in more.as_object().expect("fields") {
        row[name] = value.clone();
    }
    row
}

fn usd(amount: &str) -> Value {
    json!([{"amount": amount, "currency": "USD"}])
}

async fn set(shop: &TestApp, caller: &Caller, company: &str, rows: Value) -> Value {
    shop.ok(caller, SET, json!({"input": {"companyId": company, "rows": rows}})).await["companyOffersSet"].clone()
}

async fn price(shop: &TestApp, sku: &str, company: &str) -> String {
    let query = "query($sku: String, $context: ContextInput) { offer(sku: $sku, context: $context) { price { amount } } }";
    let data = shop.ok(&shop.guest(), query, json!({"sku": sku, "context": {"companyId": company}})).await;
    data["offer"]["price"]["amount"].as_str().unwrap_or("none").to_owned()
}

async fn history(shop: &TestApp, company: &str, item: &Item) -> Vec<(String, Option<String>, Option<String>)> {
    let variables = json!({"company": company, "product": item.product});
    let data = shop.ok(&shop.operator(), HISTORY, variables).await;
    let amount = |side: &Value| side["prices"][0]["amount"].as_str().map(str::to_owned);
    let nodes = data["companyOfferHistory"]["nodes"].as_array().expect("nodes");
    nodes.iter().map(|node| (node["at"].as_str().expect("an instant").to_owned(), amount(&node["old"]), amount(&node["new"]))).collect()
}

fn manager(shop: &TestApp, company: &str) -> Caller {
    let learner = shop.guest();
    let manages = vec![CompanyId::parse(company).expect("a company's id")];
    Caller { who: Who::Account { id: bursar::app::entropy::next_id(), operator: None, manages }, ..learner }
}

#[tokio::test]
async fn a_company_is_created_with_what_its_type_suggests() {
    let shop = TestApp::new().await;
    let retail = company(&shop, json!({"name": " Žluťoučký & Co. ", "type": "RETAIL"})).await;
    assert_eq!(retail["key"], "zlutoucky-co");
    assert_eq!(
        (retail["name"].as_str(), retail["storefront"].as_str(), retail["enabled"].as_bool(), retail["timeZone"].as_str()),
        (Some("Žluťoučký & Co."), Some("PUBLIC"), Some(true), None)
    );
    let bulk = json!({"key": "Bulk.1", "name": "Bulk", "type": "SALES_ORDER", "timeZone": "Asia/Tokyo", "enabled": false,
        "emailDomains": ["Example.ORG", "@example.org", "müller.example"]});
    let bulk = company(&shop, bulk).await;
    assert_eq!(
        (bulk["key"].clone(), bulk["type"].clone(), bulk["storefront"].clone(), bulk["enabled"].clone(), bulk["timeZone"].clone()),
        (json!("Bulk.1"), json!("SALES_ORDER"), json!("MEMBERS"), json!(false), json!("Asia/Tokyo"))
    );
    assert_eq!(bulk["emailDomains"], json!(["example.org", "xn--mller-kva.example"]));
    let operator = shop.operator();
    let wrong = json!({"key": "a b", "name": " ", "type": "RETAIL", "timeZone": "Mars/Base", "emailDomains": ["ok.example", "none"]});
    assert_eq!(
        shop.refused(&operator, CREATE, json!({"input": wrong})).await,
        [
            ("INVALID".to_owned(), "key".to_owned()),
            ("REQUIRED".to_owned(), "name".to_owned()),
            ("INVALID".to_owned(), "timeZone".to_owned()),
            ("INVALID".to_owned(), "emailDomains.1".to_owned()),
        ]
    );
    let taken = json!({"input": {"key": "bulk.1", "name": "Other", "type": "RETAIL"}});
    assert_eq!(shop.refused(&operator, CREATE, taken).await, [("KEY_TAKEN".to_owned(), "key".to_owned())]);
    // A key that was made from the name gives way.
    let again = company(&shop, json!({"name": "Zlutoucky Co", "type": "RETAIL"})).await;
    assert_eq!(again["key"], again["id"]);
}

/// R61's base: the type is fixed at creation; everything else changes, and what is left out stays.
#[tokio::test]
async fn a_companys_type_is_fixed() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let made = company(&shop, json!({"key": "acme", "name": "Acme", "type": "RETAIL", "timeZone": "Europe/Vienna"})).await;
    let id = made["id"].clone();
    let other_type = json!({"input": {"id": id, "type": "SALES_ORDER", "name": "New"}});
    assert_eq!(shop.refused(&operator, UPDATE, other_type).await, [("COMPANY_TYPE_FIXED".to_owned(), "type".to_owned())]);
    let changed = shop.ok(&operator, UPDATE, json!({"input": {"id": id, "type": "RETAIL", "enabled": false}})).await;
    let changed = &changed["companyUpdate"]["company"];
    assert_eq!(
        (changed["name"].as_str(), changed["enabled"].as_bool(), changed["timeZone"].as_str()),
        (Some("Acme"), Some(false), Some("Europe/Vienna"))
    );
    let changed = shop.ok(&operator, UPDATE, json!({"input": {"id": id, "timeZone": null, "name": "Acme 2"}})).await;
    assert_eq!(changed["companyUpdate"]["company"]["timeZone"], Value::Null);
    retail(&shop, "other").await;
    assert_eq!(
        shop.refused(&operator, UPDATE, json!({"input": {"id": id, "key": "OTHER"}})).await,
        [("KEY_TAKEN".to_owned(), "key".to_owned())]
    );
    for id in ["com_00000000000000000000000001", "nonsense"] {
        assert_eq!(shop.refused(&operator, UPDATE, json!({"input": {"id": id}})).await, [("NOT_FOUND".to_owned(), "id".to_owned())]);
    }
    const ARCHIVE: &str = "mutation($input: CompanyArchiveInput!) { companyArchive(input: $input) { company { archivedAt } userErrors { code field message } } }";
    for _ in 0..2 {
        let archived = shop.ok(&operator, ARCHIVE, json!({"input": {"id": id}})).await;
        assert_eq!(archived["companyArchive"]["company"]["archivedAt"], "2026-01-01T00:00:00+00:00");
    }
    assert_eq!(
        shop.refused(&operator, UPDATE, json!({"input": {"id": id, "name": "x"}})).await,
        [("ARCHIVED".to_owned(), "id".to_owned())]
    );
    let listed = shop
        .ok(
            &operator,
            "{ companies { totalCount nodes { key } } archived: companies(filter: {archived: ONLY}) { nodes { key } } }",
            json!({}),
        )
        .await;
    assert_eq!(listed["companies"], json!({"totalCount": 1, "nodes": [{"key": "other"}]}));
    assert_eq!(listed["archived"]["nodes"], json!([{"key": "acme"}]));
    for (search, keys) in [("ACME 2", vec!["acme"]), ("other", vec!["other"]), ("OTH _", vec![]), ("e", vec!["other", "acme"])] {
        let query = "query($search: String) { companies(filter: {search: $search, archived: WITH}) { nodes { key } } }";
        let data = shop.ok(&operator, query, json!({"search": search})).await;
        let found: Vec<_> = data["companies"]["nodes"].as_array().expect("nodes").iter().map(|node| node["key"].clone()).collect();
        assert_eq!(found, keys, "{search}");
    }
}

/// Operators with the scope and the company's own managers; what is another company's does not exist; others are told that it is not for them.
#[tokio::test]
async fn companies_are_for_operators_and_their_own_managers() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LIB", "Library", &["10.00 USD"]).await;
    let (own, other) = (retail(&shop, "own").await, retail(&shop, "other").await);
    let learner = shelf.learner("ann@example.org").await;
    let create = json!({"input": {"name": "X", "type": "RETAIL"}});
    let update = json!({"input": {"id": own, "name": "X"}});
    let offers = json!({"input": {"companyId": own, "rows": [row(&item, json!({"prices": usd("9.00")}))]}});
    let unset = json!({"input": {"companyId": own, "productIds": [item.product]}});
    let members = json!({"input": {"companyId": own, "learners": []}});
    let read = json!({"company": own, "product": item.product});
    const READ: &str = "query($company: ID!) { company(id: $company) { key } }";
    const LIST: &str = "query($company: ID!) { companyOffers(companyId: $company) { nodes { productId } } companyMembers(companyId: $company) { nodes { email } } }";
    let weak = shop.key(&["catalog:write"]);
    for (document, variables) in [
        (CREATE, &create),
        (UPDATE, &update),
        (SET, &offers),
        (UNSET, &unset),
        (MEMBERS_SET, &members),
        (READ, &read),
        (LIST, &read),
        (HISTORY, &read),
    ] {
        assert_eq!(shop.top_level_code(&shop.guest(), document, variables.clone()).await, "UNAUTHENTICATED", "{document}");
        assert_eq!(shop.top_level_code(&learner, document, variables.clone()).await, "FORBIDDEN", "{document}");
        assert_eq!(shop.top_level_code(&weak, document, variables.clone()).await, "FORBIDDEN", "{document}");
    }
    assert_eq!(shop.top_level_code(&learner, "{ companies { nodes { key } } }", json!({})).await, "FORBIDDEN");
    for caller in [manager(&shop, &own), shop.manager_key(&own)] {
        assert_eq!(shop.top_level_code(&caller, CREATE, create.clone()).await, "FORBIDDEN");
        assert_eq!(shop.top_level_code(&caller, UPDATE, update.clone()).await, "FORBIDDEN");
        assert_eq!(shop.top_level_code(&caller, "{ companies { nodes { key } } }", json!({})).await, "FORBIDDEN");
        shop.ok(&caller, SET, offers.clone()).await;
        shop.ok(&caller, UNSET, unset.clone()).await;
        shop.pass(chrono::TimeDelta::seconds(1));
        shop.ok(&caller, MEMBERS_SET, members.clone()).await;
        assert_eq!(shop.ok(&caller, READ, read.clone()).await["company"]["key"], "own");
        assert_eq!(shop.ok(&caller, READ, json!({"company": other})).await["company"], Value::Null);
    }
    for caller in [manager(&shop, &other), shop.manager_key(&other)] {
        let not_found = [("NOT_FOUND".to_owned(), "companyId".to_owned())];
        assert_eq!(shop.refused(&caller, SET, offers.clone()).await, not_found);
        assert_eq!(shop.refused(&caller, UNSET, unset.clone()).await, not_found);
        assert_eq!(shop.refused(&caller, MEMBERS_SET, members.clone()).await, not_found);
        assert_eq!(shop.ok(&caller, HISTORY, read.clone()).await["companyOfferHistory"], Value::Null);
        assert_eq!(shop.ok(&caller, LIST, read.clone()).await["companyOffers"], Value::Null);
    }
    assert_eq!(history(&shop, &own, &item).await.len(), 4);
}

/// Managers and learners are named by account or e-mail; a new e-mail gets an account that is not verified; naming again changes nothing.
#[tokio::test]
async fn a_manager_names_the_people_of_a_company() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let id = retail(&shop, "acme").await;
    let ann = shelf.learner("ann@example.org").await.account().expect("an account").to_string();
    const LIST: &str = "query($company: ID!) { companyMembers(companyId: $company, first: 2) { totalCount pageInfo { hasNextPage } nodes { accountId email role via } } }";
    let caller = shop.manager_key(&id);
    let input =
        json!({"companyId": id, "managers": [{"accountId": ann}], "learners": [{"email": " Bo@Example.org"}, {"email": "cy@example.org"}]});
    for _ in 0..2 {
        shop.ok(&caller, MEMBERS_SET, json!({"input": input})).await;
    }
    let people = shop.ok(&caller, LIST, json!({"company": id})).await["companyMembers"].clone();
    assert_eq!((people["totalCount"].clone(), people["pageInfo"]["hasNextPage"].clone()), (json!(3), json!(true)));
    assert_eq!(people["nodes"][0], json!({"accountId": ann, "email": "ann@example.org", "role": "MANAGER", "via": "MANAGER"}));
    assert_eq!(people["nodes"][1]["role"], "LEARNER");
    // The role changes; who has no account is in no company, so nothing happens to them.
    let input = json!({"companyId": id, "managers": [{"email": "BO@example.org"}], "remove": [{"accountId": ann}, {"email": "nobody@example.org"}]});
    shop.ok(&caller, MEMBERS_SET, json!({"input": input})).await;
    let people = shop.ok(&caller, LIST, json!({"company": id})).await["companyMembers"].clone();
    let named: Vec<_> =
        people["nodes"].as_array().expect("nodes").iter().map(|node| (node["email"].clone(), node["role"].clone())).collect();
    assert!(
        named.contains(&(json!("Bo@example.org"), json!("MANAGER"))) && named.contains(&(json!("cy@example.org"), json!("LEARNER"))),
        "{named:?}"
    );
    assert_eq!(people["totalCount"], 2);
    let wrong = json!({"companyId": id,
        "managers": [{"email": "none"}, {"accountId": "acc_00000000000000000000000001"}, {}],
        "learners": [{"email": "dee@example.org"}, {"email": "DEE@example.org"}]});
    assert_eq!(
        shop.refused(&caller, MEMBERS_SET, json!({"input": wrong})).await,
        [("INVALID".to_owned(), "managers.0.email".to_owned()), ("REQUIRED".to_owned(), "managers.2".to_owned())]
    );
    let wrong = json!({"companyId": id, "managers": [{"accountId": "acc_00000000000000000000000001"}],
        "learners": [{"email": "dee@example.org"}, {"email": "DEE@example.org"}]});
    assert_eq!(
        shop.refused(&caller, MEMBERS_SET, json!({"input": wrong})).await,
        [("NOT_FOUND".to_owned(), "managers.0".to_owned()), ("REPEATED".to_owned(), "learners.1".to_owned())]
    );
    assert_eq!(shop.ok(&caller, LIST, json!({"company": id})).await["companyMembers"]["totalCount"], 2);
}

/// R49: a company's price changes nothing for others; set again it makes no version; unset, the recommended price is back; every change tells
/// when, old and new, and the price as of any instant can be asked for.
#[tokio::test]
async fn r49_an_override_is_set_kept_and_unset() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LIB", "Library", &["20.00 USD"]).await;
    let (acme, other) = (retail(&shop, "acme").await, retail(&shop, "other").await);
    let caller = shop.manager_key(&acme);
    let rows = |amount: &str| json!([row(&item, json!({"prices": usd(amount)}))]);
    shop.set_time("2026-02-01T00:00:00Z");
    let first = set(&shop, &caller, &acme, rows("15")).await;
    assert_eq!((first["rows"][0]["changed"].clone(), first["rows"][0]["old"].clone()), (json!(true), Value::Null));
    assert_eq!(first["rows"][0]["new"]["prices"], json!([{"amount": "15.00", "currency": "USD"}]));
    shop.set_time("2026-03-01T00:00:00Z");
    assert_eq!(set(&shop, &caller, &acme, rows("15.00")).await["rows"][0]["changed"], false);
    assert_eq!((price(&shop, "LIB", &acme).await, price(&shop, "LIB", &other).await), ("15.00".to_owned(), "20.00".to_owned()));
    let second = set(&shop, &caller, &acme, rows("12.00")).await;
    assert_eq!(second["rows"][0]["old"]["prices"], json!([{"amount": "15.00", "currency": "USD"}]));
    shop.set_time("2026-04-01T00:00:00Z");
    let products = json!([item.product]);
    let dry = shop.ok(&caller, UNSET, json!({"input": {"companyId": acme, "productIds": products, "dryRun": true}})).await;
    assert_eq!(
        (dry["companyOffersUnset"]["dryRun"].clone(), dry["companyOffersUnset"]["rows"][0]["changed"].clone()),
        (json!(true), json!(true))
    );
    assert_eq!(price(&shop, "LIB", &acme).await, "12.00");
    for changed in [true, false] {
        let unset = shop.ok(&caller, UNSET, json!({"input": {"companyId": acme, "productIds": products}})).await;
        assert_eq!(unset["companyOffersUnset"]["rows"][0]["changed"], changed);
    }
    assert_eq!(price(&shop, "LIB", &acme).await, "20.00");
    let some = |amount: &str| Some(amount.to_owned());
    assert_eq!(
        history(&shop, &acme, &item).await,
        [
            ("2026-04-01T00:00:00+00:00".to_owned(), some("12.00"), None),
            ("2026-03-01T00:00:00+00:00".to_owned(), some("15.00"), some("12.00")),
            ("2026-02-01T00:00:00+00:00".to_owned(), None, some("15.00")),
        ]
    );
    assert!(history(&shop, &other, &item).await.is_empty());
    let variables = json!({"company": acme, "product": item.product, "first": 2});
    let page = shop.ok(&caller, HISTORY, variables).await["companyOfferHistory"].clone();
    assert_eq!((page["totalCount"].clone(), page["pageInfo"]["hasNextPage"].clone()), (json!(3), json!(true)));
    assert!(page["nodes"][0]["actor"].as_str().is_some_and(|actor| actor.starts_with("key_")), "{page}");
    let variables = json!({"company": acme, "product": item.product, "first": 2, "after": page["pageInfo"]["endCursor"]});
    let rest = shop.ok(&caller, HISTORY, variables).await["companyOfferHistory"].clone();
    assert_eq!((rest["nodes"].as_array().map(Vec::len), rest["nodes"][0]["at"].clone()), (Some(1), json!("2026-02-01T00:00:00+00:00")));
    const AT: &str =
        "query($context: ContextInput, $at: DateTime) { offer(sku: \"lib\", context: $context, at: $at) { price { amount } } }";
    for (instant, expected) in [
        ("2026-01-31T23:59:59.999999Z", "20.00"),
        ("2026-02-01T00:00:00Z", "15.00"),
        ("2026-02-28T23:59:59.999999Z", "15.00"),
        ("2026-03-01T00:00:00Z", "12.00"),
        ("2026-04-01T00:00:00Z", "20.00"),
    ] {
        let data = shop.ok(&caller, AT, json!({"context": {"companyId": acme}, "at": instant})).await;
        assert_eq!(data["offer"]["price"]["amount"], expected, "{instant}");
    }
}

/// R44, R48, c11: title, text and days of the company within a window of whole days in its zone; a row that says nothing unsets.
#[tokio::test]
async fn r44_r48_an_overrides_days_are_those_of_the_companys_zone() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library_with("LIB", "Library", &["20.00 USD"], json!({"description": "Everything"})).await;
    let made = company(&shop, json!({"key": "acme", "name": "Acme", "type": "RETAIL", "timeZone": "America/New_York"})).await;
    let id = made["id"].as_str().expect("an id");
    let fields = json!({"title": "  Own ", "description": "Mine", "accessDays": 90, "firstDay": "2026-03-01", "lastDay": "2026-03-31"});
    let done = set(&shop, &shop.operator(), id, json!([row(&item, fields)])).await;
    assert_eq!(
        done["rows"][0]["new"],
        json!({"title": "Own", "description": "Mine", "prices": [], "accessDays": 90, "visibility": null,
            // New York is 5 hours behind on the first day and 4 on the last: the clocks change on 8 March.
            "startsAt": "2026-03-01T05:00:00+00:00", "endsAt": "2026-04-01T04:00:00+00:00"})
    );
    const OFFER: &str = "query($context: ContextInput) { offer(sku: \"lib\", context: $context) { title description price { amount } accessTerms { value } } }";
    for (now, title, description, days) in [
        ("2026-03-01T04:59:59.999999Z", "Library", "Everything", 365),
        ("2026-03-01T05:00:00Z", "Own", "Mine", 90),
        ("2026-04-01T03:59:59.999999Z", "Own", "Mine", 90),
        ("2026-04-01T04:00:00Z", "Library", "Everything", 365),
    ] {
        shop.set_time(now);
        let data = shop.ok(&shop.guest(), OFFER, json!({"context": {"companyId": id}})).await;
        let expected = json!({"title": title, "description": description, "price": {"amount": "20.00"}, "accessTerms": {"value": days}});
        assert_eq!(data["offer"], expected, "{now}");
    }
    // A description of its own is searched, the recommended one then is not.
    set(&shop, &shop.operator(), id, json!([row(&item, json!({"description": "Ｍｉｎｅ"}))])).await;
    const SEARCH: &str = "query($context: ContextInput, $search: String) { offers(context: $context, search: $search) { totalCount } }";
    for (search, hits) in [("mine", 1), ("everything", 0), ("library mine", 1)] {
        let data = shop.ok(&shop.guest(), SEARCH, json!({"context": {"companyId": id}, "search": search})).await;
        assert_eq!(data["offers"]["totalCount"], hits, "{search}");
    }
    let emptied = set(&shop, &shop.operator(), id, json!([row(&item, json!({}))])).await;
    assert_eq!((emptied["rows"][0]["changed"].clone(), emptied["rows"][0]["new"].clone()), (json!(true), Value::Null));
    let listed = shop.ok(&shop.operator(), "query($id: ID!) { companyOffers(companyId: $id) { totalCount } }", json!({"id": id})).await;
    assert_eq!(listed["companyOffers"]["totalCount"], 0);
}

/// R49: each bad row is named by its index, whatever is wrong with it, and nothing of the batch is done.
#[tokio::test]
async fn r49_every_bad_row_is_named_and_nothing_is_changed() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let (one, two, three) = (
        shelf.library("ONE", "One", &["1.00 USD"]).await,
        shelf.library("TWO", "Two", &["1.00 USD"]).await,
        shelf.library("THREE", "Three", &["1.00 USD"]).await,
    );
    let id = retail(&shop, "acme").await;
    let money = |amount: &str, currency: &str| json!({"prices": [{"amount": amount, "currency": currency}]});
    let rows = json!([
        row(&one, money("0.50", "USD")),
        row(&two, money("1.234", "USD")),
        {"productId": "prd_nonsense"},
        {"productId": "prd_00000000000000000000000001"},
        row(&three, json!({"title": " ", "accessDays": 0, "prices": [{"amount": "1", "currency": "USD"}, {"amount": "2", "currency": "usd"}]})),
        row(&one, json!({})),
        row(&two, json!({"startsAt": "2026-02-01T00:00:00Z", "endsAt": "2026-02-01T00:00:00Z"})),
        row(&two, json!({"startsAt": "2026-02-01T00:00:00Z", "lastDay": "2026-03-01"})),
        row(&two, money("5", "XYZ")),
        row(&two, money("-5", "USD")),
    ]);
    let input = json!({"companyId": id, "rows": rows});
    let refused = shop.refused(&shop.operator(), SET, json!({"input": input})).await;
    let named: Vec<(&str, &str)> = refused.iter().map(|(code, field)| (code.as_str(), field.as_str())).collect();
    assert_eq!(
        named,
        [
            ("TOO_MANY_DIGITS", "rows.1.prices.0.amount"),
            ("NOT_FOUND", "rows.2.productId"),
            ("NOT_FOUND", "rows.3.productId"),
            ("REQUIRED", "rows.4.title"),
            ("REPEATED", "rows.4.prices.1"),
            ("TERMS_INVALID", "rows.4.accessDays"),
            ("REPEATED", "rows.5.productId"),
            ("WINDOW_INVALID", "rows.6.endsAt"),
            ("WINDOW_INVALID", "rows.7"),
            ("UNKNOWN_CURRENCY", "rows.8.prices.0.currency"),
            ("INVALID", "rows.9.prices.0"),
        ]
    );
    let listed = shop.ok(&shop.operator(), "query($id: ID!) { companyOffers(companyId: $id) { totalCount } }", json!({"id": id})).await;
    assert_eq!(listed["companyOffers"]["totalCount"], 0);
    let none = json!({"input": {"companyId": id, "rows": []}});
    assert_eq!(shop.refused(&shop.operator(), SET, none).await, [("REQUIRED".to_owned(), "rows".to_owned())]);
    let unset = json!({"input": {"companyId": id, "productIds": [one.product, "prd_x", one.product]}});
    assert_eq!(
        shop.refused(&shop.operator(), UNSET, unset).await,
        [("NOT_FOUND".to_owned(), "productIds.1".to_owned()), ("REPEATED".to_owned(), "productIds.2".to_owned())]
    );
}

/// R49: a thousand rows go in together in the statements of one row, first dry with old and new; 1,001 are refused; the same again makes no
/// version; two bad rows among them are named and nothing is done.
#[tokio::test]
async fn r49_a_thousand_overrides_are_set_at_once() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let items = shelf.libraries(1_001).await;
    let id = retail(&shop, "acme").await;
    let caller = shop.manager_key(&id);
    let batch = |items: &[Item], amount: &str| -> Value {
        items.iter().map(|item| row(item, json!({"prices": usd(amount), "title": "Own title", "description": "Own text"}))).collect()
    };
    let send = |rows: Value, dry_run: bool| json!({"input": {"companyId": id, "rows": rows, "dryRun": dry_run}});
    let changed = |answer: &Value| -> usize {
        answer["data"]["companyOffersSet"]["rows"].as_array().expect("rows").iter().filter(|row| row["changed"] == json!(true)).count()
    };
    let (one, statements_of_one) = shop.counted(&caller, SET, send(batch(&items[..1], "5.00"), false)).await;
    assert_eq!(changed(&one), 1);
    let (dry, _) = shop.counted(&caller, SET, send(batch(&items[..1_000], "6.00"), true)).await;
    assert_eq!(changed(&dry), 1_000, "{:#}", dry["errors"]);
    assert_eq!(dry["data"]["companyOffersSet"]["rows"][0]["old"]["prices"][0]["amount"], "5.00");
    assert_eq!(dry["data"]["companyOffersSet"]["rows"][999]["new"]["prices"][0]["amount"], "6.00");
    assert_eq!(price(&shop, "SKU-999", &id).await, "10.00");
    let (all, statements) = shop.counted(&caller, SET, send(batch(&items[..1_000], "6.00"), false)).await;
    assert_eq!((changed(&all), price(&shop, "SKU-999", &id).await), (1_000, "6.00".to_owned()));
    // One row was new, so nothing had to be ended there.
    assert_eq!(statements, statements_of_one + 1);
    let (again, _) = shop.counted(&caller, SET, send(batch(&items[..1_000], "6.00"), false)).await;
    assert_eq!((changed(&again), history(&shop, &id, &items[5]).await.len()), (0, 1));
    let too_many = shop.refused(&caller, SET, send(batch(&items, "7.00"), false)).await;
    assert_eq!(too_many, [("TOO_LONG".to_owned(), "rows".to_owned())]);
    let mut rows = batch(&items[..1_000], "8.00");
    rows[17]["prices"] = usd("1.001");
    rows[640]["accessDays"] = json!(0);
    assert_eq!(
        shop.refused(&caller, SET, send(rows, false)).await,
        [
            ("TOO_MANY_DIGITS".to_owned(), "rows.17.prices.0.amount".to_owned()),
            ("TERMS_INVALID".to_owned(), "rows.640.accessDays".to_owned())
        ]
    );
    assert_eq!(price(&shop, "SKU-0", &id).await, "6.00");
    let products: Vec<String> = items[..1_000].iter().map(|item| item.product.clone()).collect();
    shop.ok(&caller, UNSET, json!({"input": {"companyId": id, "productIds": products}})).await;
    assert_eq!((price(&shop, "SKU-0", &id).await, price(&shop, "SKU-999", &id).await), ("10.00".to_owned(), "10.00".to_owned()));
}

/// Of several who set the same override at once, each is done in turn: one version holds in the end, and each old is the new before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overrides_set_at_once_leave_one_that_holds() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LIB", "Library", &["20.00 USD"]).await;
    let id = retail(&shop, "acme").await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=8 {
        let (app, schema, caller) = (shop.app.clone(), shop.schema.clone(), shop.manager_key(&id));
        let variables = json!({"input": {"companyId": id, "rows": [row(&item, json!({"prices": usd(&format!("{number}.00"))}))]}});
        tasks.spawn(async move {
            let request = async_graphql::Request::new(SET)
                .variables(async_graphql::Variables::from_json(variables))
                .data(app)
                .data(std::sync::Arc::new(caller));
            serde_json::to_value(schema.execute(request).await).expect("JSON")
        });
    }
    while let Some(answer) = tasks.join_next().await {
        let answer = answer.expect("the task ends");
        assert_eq!(answer["data"]["companyOffersSet"]["userErrors"], json!([]), "{answer:#}");
    }
    let entries = history(&shop, &id, &item).await;
    assert_eq!(entries.len(), 8);
    for pair in entries.windows(2) {
        assert_eq!(pair[0].1, pair[1].2, "{entries:?}");
    }
    assert_eq!(Some(price(&shop, "LIB", &id).await), entries[0].2);
    let listed = shop.ok(&shop.operator(), "query($id: ID!) { companyOffers(companyId: $id) { totalCount } }", json!({"id": id})).await;
    assert_eq!(listed["companyOffers"]["totalCount"], 1);
}
