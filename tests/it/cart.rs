//! Carts: who may touch them, what every write and read answers, claiming and merging, and what reading one costs.

use std::sync::Arc;

use bursar::app::caller::Caller;
use bursar::app::cart::{CartCreate, PaymentMethod};
use bursar::app::entropy::next_uuid;
use bursar::app::gateways::{Gateways, Instance};
use bursar::app::offer::{ContextArgs, Detail};
use bursar::app::secrets::Purpose;
use bursar::store;
use domain::OrderId;
use entity::{cart, cart_line};
use port::{InstanceConfig, Mode};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::offer::{Item, Shelf};
use crate::util::{TestApp, amount};

const CART: &str = "fragment C on Cart {
    id version status currency locale context { companyId currency locale } subtotal { amount } discount { amount } tax { amount }
    total { amount currency }
    lines {
        id productId offer { sku title } quantity for { kind learner { email name } } unitPrice { amount } subtotal { amount }
        discount { amount } tax { amount } total { amount currency } notices { code message blocking }
    }
    paymentMethods { gateway displayName redirect instructions }
    problems { code message lineId } readiness { ready missing { code lineId message } }
    buyer { email name address { lines country } } order { id number }
}";

/// Runs a mutation whose payload holds the fields `answer`.
fn document(name: &str, answer: &str) -> String {
    let input = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
    format!("mutation($input: {input}Input!) {{ {name}(input: $input) {{ {answer} userErrors {{ code field message }} }} }} {CART}")
}

async fn write(shop: &TestApp, caller: &Caller, name: &str, input: Value) -> Value {
    shop.ok(caller, &document(name, "cart { ...C }"), json!({"input": input})).await[name]["cart"].clone()
}

async fn refused(shop: &TestApp, caller: &Caller, name: &str, input: Value) -> Vec<(String, String)> {
    shop.refused(caller, &document(name, "cart { ...C }"), json!({"input": input})).await
}

async fn read(shop: &TestApp, caller: &Caller, id: &Value) -> Value {
    let query = format!("query($id: ID!) {{ cart(id: $id) {{ ...C }} }} {CART}");
    shop.ok(caller, &query, json!({"id": id})).await["cart"].clone()
}

/// A guest's new cart, and the guest with its secret.
async fn guest_cart(shop: &TestApp, input: Value) -> (Value, Caller) {
    let answer =
        shop.ok(&shop.guest(), &document("cartCreate", "cart { ...C } secret"), json!({"input": input})).await["cartCreate"].clone();
    let secret = answer["secret"].as_str().expect("a guest's cart has a secret");
    (answer["cart"].clone(), shop.guest_with(secret))
}

async fn own_cart(shop: &TestApp, caller: &Caller, input: Value) -> Value {
    let answer = shop.ok(caller, &document("cartCreate", "cart { ...C } secret"), json!({"input": input})).await["cartCreate"].clone();
    assert_eq!(answer["secret"], Value::Null, "an account's cart has no secret");
    answer["cart"].clone()
}

fn seats(item: &Item, quantity: i64) -> Value {
    json!({"productId": item.product, "for": {"seats": true}, "quantity": quantity})
}

fn own(item: &Item) -> Value {
    json!({"productId": item.product, "for": {"self": true}, "quantity": 1})
}

fn learner(item: &Item, email: &str) -> Value {
    json!({"productId": item.product, "for": {"learner": {"email": email, "name": "Lea"}}, "quantity": 1})
}

/// (SKU, for, quantity, total) of each line.
fn lines(cart: &Value) -> Vec<(String, String, i64, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let lines = cart["lines"].as_array().expect("lines");
    lines
        .iter()
        .map(|line| {
            let quantity = line["quantity"].as_i64().expect("a quantity");
            (text(&line["offer"]["sku"]), text(&line["for"]["kind"]), quantity, text(&line["total"]["amount"]))
        })
        .collect()
}

fn line(sku: &str, for_: &str, quantity: i64, total: &str) -> (String, String, i64, String) {
    (sku.to_owned(), for_.to_owned(), quantity, total.to_owned())
}

fn codes(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|entry| entry["code"].as_str().expect("a code")).collect()
}

fn one(code: &str, field: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), field.to_owned())]
}

/// R45: the SKU, in whatever case, opens a cart with a first line.
#[tokio::test]
async fn r45_a_guest_starts_with_a_sku_and_gets_a_secret_once() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("OLD-RUST", "Rust", &["20.00 USD"]).await;
    update(&shop, &item, json!({"sku": "RUST-101"})).await;
    for sku in ["RUST-101", "rust-101", " Old-Rust "] {
        let (cart, guest) = guest_cart(&shop, json!({"sku": sku})).await;
        assert_eq!(lines(&cart), [line("RUST-101", "SELF", 1, "20.00")]);
        assert_eq!(cart["total"], json!({"amount": "20.00", "currency": "USD"}));
        assert_eq!((&cart["version"], &cart["status"], &cart["buyer"]), (&json!(1), &json!("OPEN"), &Value::Null));
        assert_eq!(read(&shop, &guest, &cart["id"]).await, cart);
    }
    let rows = cart::Entity::find().all(shop.app.db.read()).await.expect("carts");
    assert_eq!(rows.len(), 3);
    let nothing = refused(&shop, &shop.guest(), "cartCreate", json!({"sku": "RUST-102"})).await;
    assert_eq!(nothing, one("NOT_FOUND", "sku"));
    assert_eq!(refused(&shop, &shop.guest(), "cartCreate", json!({"sku": "no such SKU!"})).await, one("NOT_FOUND", "sku"));
    assert_eq!(cart::Entity::find().all(shop.app.db.read()).await.expect("carts").len(), 3, "what is refused makes no cart");
}

/// What is in the database of a cart: version and number of lines.
async fn kept(shop: &TestApp, id: &Value) -> (i64, usize) {
    let id = domain::CartId::parse(id.as_str().expect("an id")).expect("a cart's id").uuid();
    let row = cart::Entity::find_by_id(id).one(shop.app.db.read()).await.expect("a query").expect("the cart");
    let lines = cart_line::Entity::find().filter(cart_line::Column::CartId.eq(id)).all(shop.app.db.read()).await.expect("lines");
    (row.version, lines.len())
}

/// Changes a product, as an operator does.
async fn update(shop: &TestApp, item: &Item, fields: Value) {
    let mut input = fields;
    input["id"] = json!(item.product);
    shop.act(&shop.operator(), "productUpdate", input, "product { id }").await;
}

/// Keeps a library for a new group's members, whose id is given.
async fn hide(shelf: &Shelf<'_>, item: &Item) -> String {
    shelf.group(json!({"content": [{"libraryId": item.library, "sees": true}]})).await
}

/// Makes the cart an order's, as placing does.
async fn place(shop: &TestApp, id: &Value, number: &str) -> OrderId {
    let cart = domain::CartId::parse(id.as_str().expect("an id")).expect("a cart's id");
    let (order, now) = (OrderId::new(next_uuid()), shop.app.now());
    let txn = shop.app.db.begin().await.expect("a transaction");
    let buyer = next_uuid();
    let person = entity::person::ActiveModel {
        id: Set(buyer),
        email: Set(Some("buyer@example.com".to_owned())),
        email_hash: Set("hash".to_owned()),
        name: Set(None),
        address: Set(None),
        created_at: Set(now),
        erased_at: Set(None),
    };
    entity::person::Entity::insert(person).exec_without_returning(&txn).await.expect("a person");
    let zero = domain::Money::zero(shop.app.shop.base_currency);
    let new = store::order::Order {
        id: order,
        number: number.to_owned(),
        cart,
        account: None,
        buyer: buyer.into(),
        company: None,
        currency: zero.currency,
        locale: "en".to_owned(),
        status: domain::order::OrderStatus::PendingPayment,
        totals: domain::pricing::Totals { subtotal: zero, discount: zero, net: zero, tax: zero, total: zero },
        prices_include_tax: true,
        rates: Vec::new(),
        version: 1,
        placed_by: "guest".to_owned(),
        placed_at: now,
        lapses_at: None,
        paid_at: None,
        paid_payment: None,
        fulfilled_at: None,
        closed_at: None,
        touched_at: now,
        bypass: false,
        reason: None,
        lines: Vec::new(),
    };
    store::order::insert(&txn, &new).await.expect("an order");
    assert!(store::cart::ordered(&txn, cart, order, now).await.expect("an update"), "the cart was open");
    txn.commit().await.expect("a commit");
    order
}

/// A guest's cart opens with its secret, an account's for the account; operators look, and nobody else learns that it is there.
#[tokio::test]
async fn carts_open_with_their_secret_or_for_their_account() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("A", "A", &["20.00 USD"]).await;
    let (cart, guest) = guest_cart(&shop, json!({"sku": "A"})).await;
    let (_, other) = guest_cart(&shop, json!({})).await;
    let (ann, bob) = (shelf.learner("ann@example.com").await, shelf.learner("bob@example.com").await);
    let anns = own_cart(&shop, &ann, json!({"sku": "A"})).await;

    let row = cart::Entity::find().all(shop.app.db.read()).await.expect("carts");
    let secret = guest.cart_secret.as_ref().expect("a secret").expose_secret().to_owned();
    assert!(row.iter().all(|row| row.secret_hash.as_ref().is_none_or(|hash| !hash.contains(&secret))), "secrets are kept as hashes");

    for (cart, caller, reads, writes) in [
        (&cart, &guest, true, true),
        (&cart, &shop.guest(), false, false),
        (&cart, &other, false, false),
        (&cart, &shop.guest_with("x"), false, false),
        (&cart, &ann, false, false),
        (&cart, &shop.operator(), true, false),
        (&cart, &shop.key(&["orders:read"]), true, false),
        (&cart, &shop.key(&["catalog:write", "companies:write"]), false, false),
        (&anns, &ann, true, true),
        (&anns, &bob, false, false),
        (&anns, &guest, false, false),
        (&anns, &shop.guest(), false, false),
        (&anns, &shop.operator(), true, false),
    ] {
        let seen = read(&shop, caller, &cart["id"]).await;
        assert_eq!(!seen.is_null(), reads, "{caller:?}");
        let by_node = format!("query($id: ID!) {{ node(id: $id) {{ ...C }} }} {CART}");
        assert_eq!(shop.ok(caller, &by_node, json!({"id": cart["id"]})).await["node"], seen, "{caller:?}");
        let before = kept(&shop, &cart["id"]).await;
        for (name, input) in [
            ("cartLinesSet", json!({"lines": [seats(&item, 2)]})),
            ("cartLinesRemove", json!({"lineIds": [cart["lines"][0]["id"]]})),
            ("cartBuyerSet", json!({"email": "eve@example.com"})),
        ] {
            if !writes {
                let mut input = input;
                input["cartId"] = cart["id"].clone();
                assert_eq!(refused(&shop, caller, name, input).await, one("NOT_FOUND", "cartId"), "{name} by {caller:?}");
            }
        }
        assert_eq!(kept(&shop, &cart["id"]).await, before, "what is refused changes nothing");
    }
    for id in ["", "nothing", "crt_1", "prd_00000000000000000000000007", "crt_00000000000000000000000007"] {
        assert_eq!(read(&shop, &guest, &json!(id)).await, Value::Null, "{id:?}");
        let input = json!({"cartId": id, "lines": [seats(&item, 2)]});
        assert_eq!(refused(&shop, &guest, "cartLinesSet", input).await, one("NOT_FOUND", "cartId"), "{id:?}");
    }
}

#[tokio::test]
async fn lines_are_named_by_product_and_for_whom_and_others_stay() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let (a, b) = (shelf.library("A", "A", &["20.00 USD"]).await, shelf.library("B", "B", &["0.99 USD"]).await);
    let (cart, guest) = guest_cart(&shop, json!({})).await;
    let id = &cart["id"];
    let cart =
        write(&shop, &guest, "cartLinesSet", json!({"cartId": id, "lines": [own(&a), seats(&a, 3), learner(&a, "Lea@Example.com")]})).await;
    assert_eq!(lines(&cart), [line("A", "SELF", 1, "20.00"), line("A", "SEATS", 3, "60.00"), line("A", "LEARNER", 1, "20.00")]);
    assert_eq!(cart["lines"][2]["for"]["learner"], json!({"email": "Lea@example.com", "name": "Lea"}));
    assert_eq!((&cart["version"], &cart["total"]["amount"]), (&json!(2), &json!("100.00")));

    // The same person in other letters is the same line; a line left out of the input stays as it is.
    let cart = write(
        &shop,
        &guest,
        "cartLinesSet",
        json!({"cartId": id, "lines": [learner(&a, "lea@example.COM"), seats(&b, 10_000), seats(&a, 2)]}),
    )
    .await;
    assert_eq!(
        lines(&cart),
        [
            line("A", "SELF", 1, "20.00"),
            line("A", "SEATS", 2, "40.00"),
            line("A", "LEARNER", 1, "20.00"),
            line("B", "SEATS", 10_000, "9900.00")
        ]
    );
    assert_eq!(cart["lines"][3]["unitPrice"]["amount"], "0.99");
    assert_eq!(
        (&cart["subtotal"]["amount"], &cart["discount"]["amount"], &cart["tax"]["amount"]),
        (&json!("9980.00"), &json!("0.00"), &json!("0.00"))
    );
    assert_eq!(read(&shop, &guest, id).await, cart, "what a write answers is what is read");

    let gone = [&cart["lines"][0]["id"], &cart["lines"][3]["id"]];
    let cart = write(&shop, &guest, "cartLinesRemove", json!({"cartId": id, "lineIds": gone})).await;
    assert_eq!(lines(&cart), [line("A", "SEATS", 2, "40.00"), line("A", "LEARNER", 1, "20.00")]);
    assert_eq!((&cart["version"], kept(&shop, id).await), (&json!(4), (4, 2)));
}

#[tokio::test]
async fn bad_lines_are_named_by_their_place_and_change_nothing() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("A", "A", &["20.00 USD"]).await;
    let stopped = shelf.library("S", "S", &["20.00 USD"]).await;
    update(&shop, &stopped, json!({"state": "STOPPED"})).await;
    let euros = shelf.library("E", "E", &["20.00 EUR"]).await;
    let hidden = shelf.library("H", "H", &["20.00 USD"]).await;
    hide(&shelf, &hidden).await;
    let (cart, guest) = guest_cart(&shop, json!({"sku": "A"})).await;
    let id = &cart["id"];
    let product = &item.product;
    let unknown = domain::ProductId::new(next_uuid()).to_string();
    let session = domain::SessionId::new(next_uuid()).to_string();
    let good = seats(&item, 2);
    for (given, expected) in [
        (json!([seats(&item, 0)]), vec![("QUANTITY_INVALID", "lines.0.quantity")]),
        (json!([good, seats(&euros, -1)]), vec![("QUANTITY_INVALID", "lines.1.quantity")]),
        (json!([seats(&item, 10_001)]), vec![("QUANTITY_INVALID", "lines.0.quantity")]),
        (json!([{"productId": product, "quantity": 2}]), vec![("QUANTITY_INVALID", "lines.0.quantity")]),
        (
            json!([{"productId": product, "for": {"learner": {"email": "l@example.com"}}, "quantity": 2}]),
            vec![("QUANTITY_INVALID", "lines.0.quantity")],
        ),
        (json!([]), vec![("REQUIRED", "lines")]),
        (json!([good, good]), vec![("REPEATED", "lines.1")]),
        (json!([{"productId": "rubbish", "quantity": 1}]), vec![("NOT_FOUND", "lines.0.productId")]),
        (json!([good, {"productId": unknown, "quantity": 1}]), vec![("NOT_FOUND", "lines.1.productId")]),
        (json!([seats(&hidden, 1)]), vec![("NOT_FOUND", "lines.0.productId")]),
        (json!([{"productId": product, "sessionId": session, "quantity": 1}]), vec![("INVALID", "lines.0.sessionId")]),
        (json!([{"productId": product, "sessionId": "rubbish", "quantity": 1}]), vec![("NOT_FOUND", "lines.0.sessionId")]),
        (json!([{"productId": product, "for": {"self": false}, "quantity": 1}]), vec![("INVALID", "lines.0.for.self")]),
        (
            json!([learner(&item, "nobody"), learner(&item, "")]),
            vec![("INVALID", "lines.0.for.learner.email"), ("REQUIRED", "lines.1.for.learner.email")],
        ),
        (json!([seats(&euros, 1), good, seats(&stopped, 1)]), vec![("NO_RATE", "lines.0.productId"), ("NOT_ON_SALE", "lines.2.productId")]),
        (Value::Array((0..501).map(|n| learner(&item, &format!("l{n}@example.com"))).collect()), vec![("TOO_LONG", "lines")]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(code, field)| (code.to_owned(), field.to_owned())).collect();
        assert_eq!(refused(&shop, &guest, "cartLinesSet", json!({"cartId": id, "lines": given})).await, expected, "{given}");
    }
    // Beyond what an amount holds, by one line and by all together: a unit costs 9 x 10^16 yen.
    let dear = shelf.library("D", "D", &["10000000000.00 USD"]).await;
    shelf.rate("USD", "JPY", "9000000", "2025-12-01T00:00:00Z").await;
    let (yen, other_guest) = guest_cart(&shop, json!({"context": {"currency": "JPY"}})).await;
    for (given, field) in [
        (json!([seats(&dear, 10_000)]), "lines.0.quantity"),
        (json!([seats(&dear, 100), own(&dear), learner(&dear, "a@example.com"), learner(&dear, "b@example.com")]), "lines"),
    ] {
        let input = json!({"cartId": yen["id"], "lines": given});
        assert_eq!(refused(&shop, &other_guest, "cartLinesSet", input).await, one("TOO_LARGE", field));
    }
    let line_id = &cart["lines"][0]["id"];
    let other = domain::CartLineId::new(next_uuid()).to_string();
    for (given, expected) in [
        (json!([]), one("REQUIRED", "lineIds")),
        (json!([line_id, "rubbish"]), one("NOT_FOUND", "lineIds.1")),
        (json!([line_id, other]), one("NOT_FOUND", "lineIds.1")),
    ] {
        assert_eq!(refused(&shop, &guest, "cartLinesRemove", json!({"cartId": id, "lineIds": given})).await, expected, "{given}");
    }
    for (given, field) in [
        (json!({"lines": []}), "address.lines"),
        (json!({"lines": ["1 Main Street", " "]}), "address.lines.1"),
        (json!({"lines": ["1 Main Street"], "country": "Utopia"}), "address.country"),
    ] {
        let input = json!({"cartId": id, "email": "nobody", "name": "x".repeat(2_000), "address": given});
        let fields: Vec<String> = refused(&shop, &guest, "cartBuyerSet", input).await.into_iter().map(|(_, field)| field).collect();
        assert_eq!(fields, ["email", "name", field], "every fault at once");
    }
    assert_eq!(read(&shop, &guest, id).await, cart);
    assert_eq!(kept(&shop, id).await, (1, 1));
}

/// R44, R49: a company's own title and price hold in its carts; a company that makes no sales, or none to this caller, has no carts.
#[tokio::test]
async fn r49_a_cart_is_made_only_in_a_context_that_sells() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("A", "A", &["20.00 USD"]).await;
    let acme = shelf.company("acme", json!({})).await;
    shelf.own(acme, &item, json!({"prices": [amount("15.00 USD")], "title": "Acme's A"})).await;
    let club = shelf.company("club", json!({"storefront": "MEMBERS"})).await;
    let off = shelf.company("off", json!({})).await;
    shop.act(&shop.operator(), "companyUpdate", json!({"id": off, "enabled": false}), "company { id }").await;
    let bulk = shelf.company("bulk", json!({"type": "SALES_ORDER"})).await;
    let (member, stranger) = (shelf.learner("m@example.com").await, shelf.learner("s@example.com").await);
    shelf.member(club, &member).await;
    shelf.member(bulk, &member).await;
    let context = |company: &str| json!({"context": {"companyId": company}});

    for (caller, input, expected) in [
        (&shop.guest(), context("rubbish"), one("NOT_FOUND", "context.companyId")),
        (&shop.guest(), context(&domain::CompanyId::new(next_uuid()).to_string()), one("NOT_FOUND", "context.companyId")),
        (&shop.guest(), context(&club.to_string()), one("NOT_FOUND", "context.companyId")),
        (&stranger, context(&club.to_string()), one("NOT_FOUND", "context.companyId")),
        (&stranger, context(&bulk.to_string()), one("NOT_FOUND", "context.companyId")),
        (&member, context(&bulk.to_string()), one("SALES_ORDER_COMPANY", "context.companyId")),
        (&shop.guest(), context(&off.to_string()), one("COMPANY_DISABLED", "context.companyId")),
        (&shop.guest(), json!({"context": {"currency": "XYZ"}}), one("UNKNOWN_CURRENCY", "context.currency")),
        (&shop.guest(), json!({"context": {"locale": "<b>"}}), one("INVALID", "context.locale")),
        (&shop.guest(), json!({"context": {"currency": "CHF"}, "sku": "A"}), one("NO_RATE", "sku")),
    ] {
        assert_eq!(refused(&shop, caller, "cartCreate", input.clone()).await, expected, "{input}");
    }
    assert!(cart::Entity::find().all(shop.app.db.read()).await.expect("carts").is_empty());

    // The company's own title and price hold in its cart.
    let (cart, guest) = guest_cart(&shop, json!({"sku": "A", "context": {"companyId": acme.to_string(), "locale": "de-AT"}})).await;
    assert_eq!(lines(&cart), [line("A", "SELF", 1, "15.00")]);
    assert_eq!(cart["lines"][0]["offer"]["title"], "Acme's A");
    assert_eq!(cart["context"], json!({"companyId": acme.to_string(), "currency": "USD", "locale": "de-AT"}));

    // A company that closes its doors sells nothing more to a guest who came in before.
    let (before, open) = guest_cart(&shop, json!({"sku": "A", "context": {"companyId": acme.to_string()}})).await;
    shop.act(&shop.operator(), "companyUpdate", json!({"id": acme, "storefront": "MEMBERS"}), "company { id }").await;
    let closed = read(&shop, &open, &before["id"]).await;
    assert_eq!((&closed["lines"][0]["unitPrice"], &closed["readiness"]["ready"]), (&Value::Null, &json!(false)));
    shop.act(&shop.operator(), "companyUpdate", json!({"id": acme, "storefront": "PUBLIC"}), "company { id }").await;

    // A company that stops selling says so, and nothing is lost.
    shop.act(&shop.operator(), "companyUpdate", json!({"id": acme, "enabled": false}), "company { id }").await;
    let cart = read(&shop, &guest, &cart["id"]).await;
    assert_eq!((codes(&cart["problems"]), lines(&cart).len()), (vec!["COMPANY_DISABLED"], 1));

    // Who is no member any more does not keep the members' offers.
    let cart = own_cart(&shop, &member, json!({"sku": "A", "context": {"companyId": club.to_string()}})).await;
    assert_eq!(codes(&cart["problems"]), Vec::<&str>::new());
    let leaves = json!({"companyId": club, "remove": [{"accountId": member.account().expect("a member").to_string()}]});
    shop.act(&shop.operator(), "companyMembersSet", leaves, "company { id }").await;
    let cart = read(&shop, &member, &cart["id"]).await;
    assert_eq!((codes(&cart["lines"][0]["notices"]), codes(&cart["problems"])), (vec!["NOT_AVAILABLE"], vec!["NOT_AVAILABLE"]));
}

/// A write with an old version is told the fresh cart.
#[tokio::test]
async fn a_write_from_an_old_version_gets_the_fresh_cart() {
    let shop = TestApp::new().await;
    let item = Shelf(&shop).library("A", "A", &["20.00 USD"]).await;
    let (cart, guest) = guest_cart(&shop, json!({"sku": "A"})).await;
    let id = &cart["id"];
    let set = |quantity: i64, version: i64| json!({"input": {"cartId": id, "lines": [seats(&item, quantity)], "expectedVersion": version}});
    let document = document("cartLinesSet", "cart { ...C }");
    let fresh = shop.ok(&guest, &document, set(2, 1)).await["cartLinesSet"]["cart"].clone();
    assert_eq!(fresh["version"], 2);

    for (name, input) in [
        ("cartLinesSet", json!({"cartId": id, "lines": [seats(&item, 7)], "expectedVersion": 1})),
        ("cartLinesRemove", json!({"cartId": id, "lineIds": [cart["lines"][0]["id"]], "expectedVersion": 1})),
        ("cartBuyerSet", json!({"cartId": id, "email": "a@example.com", "expectedVersion": 3})),
    ] {
        let answer = shop.run(&guest, &self::document(name, "cart { ...C }"), json!({"input": input})).await["data"][name].clone();
        assert_eq!(codes(&answer["userErrors"]), ["CART_CHANGED"], "{name}");
        assert_eq!(answer["userErrors"][0]["field"], json!(["expectedVersion"]));
        assert_eq!(answer["cart"], fresh, "{name}");
    }
    assert_eq!(kept(&shop, id).await, (2, 2));
}

#[tokio::test]
async fn an_empty_cart_says_step_by_step_what_it_needs() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("A", "A", &["20.00 USD"]).await;
    let (cart, guest) = guest_cart(&shop, json!({})).await;
    let id = &cart["id"];
    assert_eq!(cart["readiness"]["ready"], false);
    assert_eq!(codes(&cart["readiness"]["missing"]), ["CART_EMPTY", "BUYER_MISSING"]);
    assert_eq!((codes(&cart["problems"]), &cart["total"]["amount"]), (vec![], &json!("0.00")));
    let cart = write(&shop, &guest, "cartLinesSet", json!({"cartId": id, "lines": [own(&item)]})).await;
    assert_eq!(codes(&cart["readiness"]["missing"]), ["BUYER_MISSING"]);
    let address = json!({"lines": ["1 Main Street", "Springfield"], "country": "us"});
    let input = json!({"cartId": id, "email": " Ann@Example.COM ", "name": "Ann", "address": address});
    let cart = write(&shop, &guest, "cartBuyerSet", input).await;
    assert_eq!(cart["readiness"], json!({"ready": true, "missing": []}));
    let buyer = json!({"email": "Ann@example.com", "name": "Ann", "address": {"lines": ["1 Main Street", "Springfield"], "country": "US"}});
    assert_eq!((&cart["buyer"], &cart["version"]), (&buyer, &json!(3)));
    assert_eq!(read(&shop, &guest, id).await, cart);
    let hash = shop.app.secrets.hash(Purpose::Email, "ann@example.com");
    let known = entity::person::Entity::find().filter(entity::person::Column::EmailHash.eq(hash)).all(shop.app.db.read()).await;
    assert_eq!(known.expect("persons").len(), 1, "the buyer is found by the keyed hash of the address");

    // A signed-in buyer is the account, until somebody else is set.
    let ann = shelf.learner("ann@example.com").await;
    let cart = own_cart(&shop, &ann, json!({"sku": "A"})).await;
    assert_eq!((&cart["buyer"]["email"], &cart["readiness"]["ready"]), (&json!("ann@example.com"), &json!(true)));
    assert_eq!(read(&shop, &ann, &cart["id"]).await, cart);
    let cart = write(&shop, &ann, "cartBuyerSet", json!({"cartId": cart["id"], "email": "office@example.com"})).await;
    assert_eq!(cart["buyer"], json!({"email": "office@example.com", "name": null, "address": null}));
}

/// R22: a shop can sell one item per order.
#[tokio::test]
async fn r22_a_shop_of_one_item_per_order_refuses_the_second_line() {
    let shop = TestApp::with(|settings| settings.several_items_per_order = false).await;
    let shelf = Shelf(&shop);
    let (a, b) = (shelf.library("A", "A", &["20.00 USD"]).await, shelf.library("B", "B", &["20.00 USD"]).await);
    let (cart, guest) = guest_cart(&shop, json!({"sku": "A"})).await;
    let refusal = refused(&shop, &guest, "cartLinesSet", json!({"cartId": cart["id"], "lines": [own(&b)]})).await;
    assert_eq!(refusal, one("SEVERAL_ITEMS", "lines.0"));
    write(&shop, &guest, "cartLinesSet", json!({"cartId": cart["id"], "lines": [own(&a)]})).await;

    // A merge is never refused for it; the cart then says what is wrong.
    let ann = shelf.learner("ann@example.com").await;
    own_cart(&shop, &ann, json!({"sku": "B"})).await;
    let cart = claim(&shop, &with_secret(&ann, &guest), &cart["id"], "k").await["cart"].clone();
    assert_eq!((lines(&cart).len(), codes(&cart["problems"])), (2, vec!["SEVERAL_ITEMS"]));
}

/// What has gone or changed since the cart was written is a notice on its line; nothing is dropped or altered in silence.
#[tokio::test]
async fn what_has_changed_is_said_on_its_line() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let mut items = Vec::new();
    for sku in ["DEARER", "STOPPED", "ARCHIVED", "HIDDEN", "UNPRICED", "SHORTER", "SAME"] {
        items.push(shelf.library(sku, sku, &["20.00 USD"]).await);
    }
    let (cart, guest) = guest_cart(&shop, json!({})).await;
    let id = &cart["id"];
    write(&shop, &guest, "cartBuyerSet", json!({"cartId": id, "email": "a@example.com"})).await;
    let wanted: Vec<Value> = items.iter().map(|item| seats(item, 2)).collect();
    let cart = write(&shop, &guest, "cartLinesSet", json!({"cartId": id, "lines": wanted})).await;
    assert_eq!((&cart["total"]["amount"], &cart["readiness"]["ready"]), (&json!("280.00"), &json!(true)));
    assert!(cart["lines"].as_array().expect("lines").iter().all(|line| codes(&line["notices"]).is_empty()));

    shelf.prices(&items[0], &[json!("25.00 USD")]).await;
    update(&shop, &items[1], json!({"state": "STOPPED"})).await;
    shop.act(&shop.operator(), "libraryArchive", json!({"id": items[2].library}), "library { id }").await;
    hide(&shelf, &items[3]).await;
    shelf.prices(&items[4], &[]).await;
    update(&shop, &items[5], json!({"terms": {"days": 30}})).await;

    let notices = |cart: &Value| -> Vec<(String, Vec<(String, bool)>)> {
        let lines = cart["lines"].as_array().expect("lines").iter();
        lines
            .map(|line| {
                let notices = line["notices"].as_array().expect("notices").iter();
                let notices = notices.map(|notice| (notice["code"].as_str().expect("a code").to_owned(), notice["blocking"] == true));
                (line["offer"]["sku"].as_str().unwrap_or("-").to_owned(), notices.collect())
            })
            .collect()
    };
    let expected = |sku: &str, codes: &[(&str, bool)]| {
        (sku.to_owned(), codes.iter().map(|(code, blocking)| ((*code).to_owned(), *blocking)).collect::<Vec<_>>())
    };
    let told = [
        expected("DEARER", &[("PRICE_CHANGED", false)]),
        expected("STOPPED", &[("NOT_ON_SALE", true)]),
        expected("ARCHIVED", &[("ARCHIVED", true)]),
        expected("-", &[("NOT_AVAILABLE", true)]),
        expected("UNPRICED", &[("NO_PRICE", true)]),
        expected("SHORTER", &[("TERMS_CHANGED", false)]),
        expected("SAME", &[]),
    ];
    let seen = read(&shop, &guest, id).await;
    assert_eq!(notices(&seen), told);
    assert_eq!(lines(&seen)[0], line("DEARER", "SEATS", 2, "50.00"));
    assert_eq!(codes(&seen["problems"]), ["NOT_ON_SALE", "ARCHIVED", "NOT_AVAILABLE", "NO_PRICE"]);
    assert_eq!(seen["problems"][0]["lineId"], seen["lines"][1]["id"]);
    assert_eq!(seen["readiness"]["ready"], false);
    assert_eq!(read(&shop, &guest, id).await, seen, "a read keeps nothing as shown");

    // A write to another line still tells, once; then the buyer has been shown it.
    let more = json!({"cartId": id, "lines": [seats(&items[6], 3)]});
    assert_eq!(notices(&write(&shop, &guest, "cartLinesSet", more).await), told);
    let after = notices(&read(&shop, &guest, id).await);
    assert_eq!((&after[0], &after[5]), (&expected("DEARER", &[]), &expected("SHORTER", &[])));
    assert_eq!(after[1..5], told[1..5], "what stands in the way stays told");

    // What may not be bought can be taken out, and what is left can be placed.
    let gone: Vec<&Value> = (1..5).map(|place| &seen["lines"][place]["id"]).collect();
    let cart = write(&shop, &guest, "cartLinesRemove", json!({"cartId": id, "lineIds": gone})).await;
    // 2 x 25.00 + 2 x 20.00 + 3 x 20.00.
    assert_eq!((&cart["total"]["amount"], &cart["readiness"]["ready"]), (&json!("150.00"), &json!(true)));
}

/// What a signed-in buyer has already is flagged, on lines for oneself only: what others have is not told.
#[tokio::test]
async fn what_the_buyer_owns_is_flagged_and_what_others_own_is_not() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("A", "A", &["20.00 USD"]).await;
    let ann = shelf.learner("ann@example.com").await;
    shelf.grant(&ann, &item, "2027-01-01T00:00:00Z").await;
    let cart = own_cart(&shop, &ann, json!({"sku": "A"})).await;
    assert_eq!(codes(&cart["lines"][0]["notices"]), ["OWNED"]);
    assert_eq!(cart["readiness"]["ready"], true, "buying it again extends the access");
    let cart = write(&shop, &ann, "cartLinesSet", json!({"cartId": cart["id"], "lines": [seats(&item, 1)]})).await;
    assert_eq!((codes(&cart["lines"][0]["notices"]), codes(&cart["lines"][1]["notices"])), (vec!["OWNED"], vec![]));
    let (cart, guest) = guest_cart(&shop, json!({})).await;
    write(&shop, &guest, "cartBuyerSet", json!({"cartId": cart["id"], "email": "ann@example.com"})).await;
    let given = json!({"cartId": cart["id"], "lines": [own(&item), learner(&item, "ann@example.com")]});
    let cart = write(&shop, &guest, "cartLinesSet", given).await;
    assert_eq!((codes(&cart["lines"][0]["notices"]), codes(&cart["lines"][1]["notices"])), (vec![], vec![]));
}

#[tokio::test]
async fn an_ordered_cart_refuses_writes_by_the_orders_number_until_it_opens_again() {
    let shop = TestApp::new().await;
    let item = Shelf(&shop).library("A", "A", &["20.00 USD"]).await;
    let (cart, guest) = guest_cart(&shop, json!({"sku": "A"})).await;
    let id = &cart["id"];
    let order = place(&shop, id, "B-7QX2").await;
    let seen = read(&shop, &guest, id).await;
    assert_eq!(
        (&seen["status"], &seen["version"], &seen["order"]),
        (&json!("ORDERED"), &json!(2), &json!({"id": order.to_string(), "number": "B-7QX2"}))
    );
    let whole = "query($id: ID!) { cart(id: $id) { order { number status placedAt total { currency } lines { id } payments { id } } } }";
    let whole = shop.ok(&guest, whole, json!({"id": id})).await["cart"]["order"].clone();
    assert_eq!((&whole["number"], &whole["total"]["currency"], &whole["payments"]), (&json!("B-7QX2"), &json!("USD"), &json!([])));
    assert_eq!(codes(&seen["readiness"]["missing"]), ["CART_ORDERED"]);
    let set = json!({"cartId": id, "lines": [seats(&item, 2)], "expectedVersion": 1});
    for (name, input) in [
        ("cartLinesSet", set.clone()),
        ("cartLinesRemove", json!({"cartId": id, "lineIds": [cart["lines"][0]["id"]]})),
        ("cartLinesRemove", json!({"cartId": id, "lineIds": ["nonsense"]})),
        ("cartBuyerSet", json!({"cartId": id, "email": "a@example.com"})),
    ] {
        let answer = shop.run(&guest, &document(name, "cart { ...C }"), json!({"input": input})).await["data"][name].clone();
        assert_eq!(codes(&answer["userErrors"]), ["CART_ORDERED"], "{name}");
        assert!(answer["userErrors"][0]["message"].as_str().is_some_and(|text| text.contains("B-7QX2")), "{answer}");
    }
    let ann = Shelf(&shop).learner("ann@example.com").await;
    let claiming = json!({"cartId": id, "idempotencyKey": "k"});
    assert_eq!(refused(&shop, &with_secret(&ann, &guest), "cartClaim", claiming).await, one("CART_ORDERED", ""));
    assert_eq!(kept(&shop, id).await, (2, 1));

    let (cart, now) = (domain::CartId::parse(id.as_str().expect("an id")).expect("a cart's id"), shop.app.now());
    let txn = shop.app.db.begin().await.expect("a transaction");
    let other = OrderId::new(next_uuid());
    assert!(!store::cart::reopen(&txn, cart, other, now).await.expect("an update"), "another order's end does not open it");
    assert!(!store::cart::ordered(&txn, cart, other, now).await.expect("an update"), "it is an order's already");
    assert!(store::cart::reopen(&txn, cart, order, now).await.expect("an update"));
    txn.commit().await.expect("a commit");
    let cart = write(&shop, &guest, "cartLinesSet", json!({"cartId": id, "lines": [seats(&item, 2)], "expectedVersion": 3})).await;
    assert_eq!((&cart["status"], &cart["version"], &cart["order"]), (&json!("OPEN"), &json!(4), &Value::Null));
}

/// The signed-in caller who still has the guest's secret.
fn with_secret(account: &Caller, guest: &Caller) -> Caller {
    Caller { cart_secret: guest.cart_secret.clone(), ..account.clone() }
}

async fn claim(shop: &TestApp, caller: &Caller, id: &Value, key: &str) -> Value {
    let document = document("cartClaim", "cart { ...C } replayed notices { code message }");
    shop.ok(caller, &document, json!({"input": {"cartId": id, "idempotencyKey": key}})).await["cartClaim"].clone()
}

/// The carts of C41: the account has {A, B x2}, the guest {B x1, C, A}.
async fn c41(shop: &TestApp) -> (Caller, Caller, Value, Value, Vec<Item>) {
    let shelf = Shelf(shop);
    let mut items = Vec::new();
    for (sku, price) in [("A", "10.00 USD"), ("B", "20.00 USD"), ("C", "30.00 USD")] {
        items.push(shelf.library(sku, sku, &[price]).await);
    }
    let ann = shelf.learner("ann@example.com").await;
    let anns = own_cart(shop, &ann, json!({})).await;
    write(shop, &ann, "cartLinesSet", json!({"cartId": anns["id"], "lines": [own(&items[0]), seats(&items[1], 2)]})).await;
    let (guests, guest) = guest_cart(shop, json!({})).await;
    let given = json!({"cartId": guests["id"], "lines": [seats(&items[1], 1), own(&items[2]), own(&items[0])]});
    write(shop, &guest, "cartLinesSet", given).await;
    (ann, guest, anns["id"].clone(), guests["id"].clone(), items)
}

fn c41_lines() -> Vec<(String, String, i64, String)> {
    vec![line("A", "SELF", 1, "10.00"), line("B", "SEATS", 3, "60.00"), line("C", "SELF", 1, "30.00")]
}

/// C41: seats add up, A for oneself stays 1, the guest's other lines come behind; the guest's cart and its secret are dead, and again changes
/// nothing.
#[tokio::test]
async fn c41_a_guests_cart_goes_into_the_accounts_once() {
    let shop = TestApp::new().await;
    let (ann, guest, anns, guests, items) = c41(&shop).await;
    Shelf(&shop).prices(&items[2], &[json!("30.00 USD")]).await;
    let both = with_secret(&ann, &guest);
    let answer = claim(&shop, &both, &guests, "login-1").await;
    assert_eq!((&answer["replayed"], &answer["cart"]["id"], codes(&answer["notices"])), (&json!(false), &anns, vec![]));
    assert_eq!((lines(&answer["cart"]), &answer["cart"]["total"]["amount"]), (c41_lines(), &json!("100.00")));
    assert_eq!(answer["cart"]["version"], 3);
    assert_eq!(read(&shop, &ann, &anns).await, answer["cart"]);

    // With the same key, with another one, and without the secret.
    for (caller, key) in [(&both, "login-1"), (&both, "login-2"), (&ann, "login-3")] {
        let again = claim(&shop, caller, &guests, key).await;
        assert_eq!((&again["replayed"], &again["cart"]), (&json!(true), &answer["cart"]), "{key}");
    }
    assert_eq!(kept(&shop, &anns).await, (3, 3));

    for caller in [&guest, &both] {
        assert_eq!(read(&shop, caller, &guests).await, Value::Null, "the guest's cart is gone");
        let input = json!({"cartId": guests, "lines": [seats(&items[1], 9)]});
        assert_eq!(refused(&shop, caller, "cartLinesSet", input).await, one("NOT_FOUND", "cartId"));
        let input = json!({"cartId": anns, "lines": [seats(&items[1], 9)]});
        assert_eq!(refused(&shop, &guest, "cartLinesSet", input).await, one("NOT_FOUND", "cartId"), "its secret opens nothing else");
    }
    // Another account cannot claim what is gone.
    let bob = Shelf(&shop).learner("bob@example.com").await;
    let input = json!({"cartId": guests, "idempotencyKey": "k"});
    assert_eq!(refused(&shop, &with_secret(&bob, &guest), "cartClaim", input).await, one("NOT_FOUND", "cartId"));
}

/// C41: two claims at the same moment, by one key and by two, add the seats once.
#[tokio::test]
async fn c41_two_claims_at_once_merge_once() {
    for keys in [["k", "k"], ["k1", "k2"]] {
        let shop = TestApp::new().await;
        let (ann, guest, anns, guests, _) = c41(&shop).await;
        let both = with_secret(&ann, &guest);
        let (one, two) = tokio::join!(claim(&shop, &both, &guests, keys[0]), claim(&shop, &both, &guests, keys[1]));
        assert_eq!((lines(&one["cart"]), lines(&two["cart"])), (c41_lines(), c41_lines()));
        assert_eq!([&one["replayed"], &two["replayed"]].iter().filter(|replayed| **replayed == &json!(true)).count(), 1);
        assert_eq!(kept(&shop, &anns).await, (3, 3));
    }
}

#[tokio::test]
async fn a_claimed_cart_is_the_accounts_where_it_had_none_like_it() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("A", "A", &["10.00 USD", "9.00 EUR"]).await;
    let group = shelf.group(json!({})).await;
    let members = json!({"amount": "4.00", "currency": "USD", "groupId": group});
    shelf.prices(&item, &[json!("10.00 USD"), json!("9.00 EUR"), members]).await;
    let ann = shelf.learner("ann@example.com").await;
    shelf.join(&ann, &group, None).await;
    // One in another currency is no place for it.
    let euros = own_cart(&shop, &ann, json!({"context": {"currency": "EUR"}})).await;
    let (cart, guest) = guest_cart(&shop, json!({"sku": "A"})).await;
    let id = &cart["id"];
    let input = json!({"cartId": id, "idempotencyKey": "k"});
    let claiming = document("cartClaim", "cart { ...C }");
    assert_eq!(shop.top_level_code(&guest, &claiming, json!({"input": input})).await, "UNAUTHENTICATED");
    assert_eq!(shop.top_level_code(&shop.operator(), &claiming, json!({"input": input})).await, "FORBIDDEN");
    assert_eq!(refused(&shop, &ann, "cartClaim", input.clone()).await, one("NOT_FOUND", "cartId"), "the secret is needed");
    let both = with_secret(&ann, &guest);
    let empty_key = json!({"cartId": id, "idempotencyKey": " "});
    assert_eq!(refused(&shop, &both, "cartClaim", empty_key).await, one("INVALID", "idempotencyKey"));

    let answer = claim(&shop, &both, id, "k").await;
    let claimed = &answer["cart"];
    assert_eq!((&claimed["id"], &claimed["version"], &answer["replayed"]), (id, &json!(2), &json!(false)));
    assert_eq!((lines(claimed), &claimed["buyer"]["email"]), (vec![line("A", "SELF", 1, "4.00")], &json!("ann@example.com")));
    assert_eq!(codes(&claimed["lines"][0]["notices"]), ["PRICE_CHANGED"], "the account's price is another one than the guest was shown");
    assert_eq!(read(&shop, &guest, id).await, Value::Null, "the secret is dead");
    assert_eq!(codes(&read(&shop, &ann, id).await["lines"][0]["notices"]), Vec::<&str>::new());
    for key in ["k", "k2"] {
        let again = claim(&shop, &both, id, key).await;
        assert_eq!((&again["replayed"], &again["cart"]["version"]), (&json!(true), &json!(2)));
    }
    let other = json!({"cartId": euros["id"], "idempotencyKey": "k"});
    assert_eq!(refused(&shop, &both, "cartClaim", other).await, one("IDEMPOTENCY_MISMATCH", "idempotencyKey"));
}

/// C41: a merge that cannot take everything over says so and is never refused.
#[tokio::test]
async fn c41_a_merge_beyond_the_largest_quantity_is_capped_and_said() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("A", "A", &["10.00 USD"]).await;
    let ann = shelf.learner("ann@example.com").await;
    let anns = own_cart(&shop, &ann, json!({})).await;
    write(&shop, &ann, "cartLinesSet", json!({"cartId": anns["id"], "lines": [seats(&item, 9_999)]})).await;
    let (cart, guest) = guest_cart(&shop, json!({})).await;
    write(&shop, &guest, "cartLinesSet", json!({"cartId": cart["id"], "lines": [seats(&item, 2), learner(&item, "lea@example.com")]}))
        .await;
    let answer = claim(&shop, &with_secret(&ann, &guest), &cart["id"], "k").await;
    assert_eq!(codes(&answer["notices"]), ["QUANTITY_INVALID"]);
    assert_eq!(lines(&answer["cart"]), [line("A", "SEATS", 10_000, "100000.00"), line("A", "LEARNER", 1, "10.00")]);
    assert_eq!(answer["cart"]["lines"][1]["for"]["learner"]["email"], "lea@example.com");
    let more = json!({"cartId": anns["id"], "lines": [learner(&item, "LEA@example.com")]});
    assert_eq!(lines(&write(&shop, &ann, "cartLinesSet", more).await).len(), 2, "the learner's line is still the same line");
}

/// Twenty writes at once to one cart: each is whole, and each has a version of its own.
#[tokio::test(flavor = "multi_thread")]
async fn writes_at_once_come_one_after_the_other() {
    let shop = Arc::new(TestApp::new().await);
    let shelf = Shelf(&shop);
    let (a, b) = (shelf.library("A", "A", &["10.00 USD"]).await, shelf.library("B", "B", &["1.00 USD"]).await);
    let (cart, guest) = guest_cart(&shop, json!({})).await;
    let writes: Vec<_> = (1..=20i64)
        .map(|n| {
            let (shop, guest, a, b, id) = (shop.clone(), guest.clone(), a.clone(), b.clone(), cart["id"].clone());
            tokio::spawn(async move {
                let given = json!({"cartId": id, "lines": [seats(&a, n), seats(&b, n), learner(&a, &format!("l{n}@example.com"))]});
                let cart = write(&shop, &guest, "cartLinesSet", given).await;
                (cart["version"].as_i64().expect("a version"), n, lines(&cart))
            })
        })
        .collect();
    let mut answers = Vec::new();
    for write in writes {
        answers.push(write.await.expect("no write panics"));
    }
    answers.sort_unstable();
    assert_eq!(answers.iter().map(|(version, ..)| *version).collect::<Vec<_>>(), (2..=21).collect::<Vec<_>>());
    for (version, n, lines) in &answers {
        assert_eq!(lines.len(), usize::try_from(*version).expect("small") + 1, "two lines of seats and a learner for each write so far");
        assert_eq!(lines.iter().filter(|(_, for_, quantity, _)| for_ == "SEATS" && quantity == n).count(), 2, "a write is whole");
    }
    let seen = read(&shop, &guest, &cart["id"]).await;
    assert_eq!((&seen["version"], lines(&seen)), (&json!(21), answers[19].2.clone()));
}

/// A cart costs the same number of statements however many lines it has.
#[tokio::test]
async fn a_carts_statements_do_not_grow_with_its_lines() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let ann = shelf.learner("ann@example.com").await;
    let anns = own_cart(&shop, &ann, json!({})).await;
    let (guests, guest) = guest_cart(&shop, json!({})).await;
    let items = shelf.libraries(50).await;
    let query = format!("query($id: ID!) {{ cart(id: $id) {{ ...C }} }} {CART}");
    for (caller, id, reading, writing) in [(&guest, &guests["id"], 4, 7), (&ann, &anns["id"], 7, 10)] {
        for lines in [2, 50] {
            let given: Vec<Value> = items[..lines].iter().map(own).collect();
            let input = json!({"input": {"cartId": id, "lines": given}});
            let (answer, statements) = shop.counted(caller, &document("cartLinesSet", "cart { ...C }"), input).await;
            assert_eq!(answer["data"]["cartLinesSet"]["cart"]["lines"].as_array().map(Vec::len), Some(lines));
            assert_eq!(statements, writing, "a write of {lines} lines");
            let (answer, statements) = shop.counted(caller, &query, json!({"id": id})).await;
            assert_eq!(answer["data"]["cart"]["lines"].as_array().map(Vec::len), Some(lines));
            assert_eq!(statements, reading, "a read of {lines} lines");
        }
    }
}

/// The gateways offered are those that serve the cart's company, currency and total.
#[tokio::test]
async fn a_cart_offers_the_gateways_that_serve_it() {
    let shop = TestApp::new().await;
    let instance = |id: &str, companies: &[&str], currencies: &[&str]| {
        let config = InstanceConfig {
            id: id.to_owned(),
            mode: Mode::Test,
            settings: serde_json::Map::from_iter([("display_name".to_owned(), json!(format!("Pay by {id}")))]),
            secrets: std::collections::BTreeMap::new(),
            base_url: None,
            data_dir: None,
            public_url: "http://shop.test".to_owned(),
        };
        Instance {
            id: id.to_owned(),
            gateway: Arc::new(manual::Manual::new(config).expect("a gateway")),
            companies: companies.iter().map(|key| (*key).to_owned()).collect(),
            currencies: currencies.iter().map(|code| (*code).to_owned()).collect(),
            unpaid_for: chrono::TimeDelta::days(14),
            capture_at_once: true,
        }
    };
    let mut app = shop.beside(|_| {});
    app.gateways = Gateways(vec![instance("invoice", &[], &[]), instance("acme-only", &["Acme"], &[]), instance("euros", &[], &["EUR"])]);
    let shelf = Shelf(&shop);
    shelf.library("A", "A", &["10.00 USD", "9.00 EUR"]).await;
    let acme = shelf.company("acme", json!({})).await;
    let euro = domain::Currency::parse("EUR").expect("a currency");
    let sku = Some("A".to_owned());
    for (sku, context, expected) in [
        (sku.clone(), ContextArgs::default(), vec!["invoice"]),
        (sku.clone(), ContextArgs { currency: Some(euro), ..ContextArgs::default() }, vec!["invoice", "euros"]),
        (sku.clone(), ContextArgs { company: Some(acme), ..ContextArgs::default() }, vec!["invoice", "acme-only"]),
        (None, ContextArgs::default(), vec![]),
    ] {
        let made =
            app.cart_create(&shop.guest(), CartCreate { sku, context, ..CartCreate::default() }, Detail::default()).await.expect("a cart");
        let methods = &made.cart.payment_methods;
        assert_eq!(methods.iter().map(|method| method.gateway.as_str()).collect::<Vec<_>>(), expected);
        if let Some(first) = methods.first() {
            let name = "Pay by invoice".to_owned();
            assert_eq!(*first, PaymentMethod { gateway: "invoice".to_owned(), display_name: name, redirect: false, instructions: true });
        }
    }
}

/// R50: a discount schedule for all holds in carts; the parts of a graduated one have no single price.
#[tokio::test]
async fn r50_a_carts_lines_are_priced_by_their_quantity() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let tiers = json!([{"minQuantity": 1, "percentOff": "0"}, {"minQuantity": 10, "percentOff": "50"}]);
    let schedule = shelf.schedule("Half", "GRADUATED", "ALL", &tiers).await;
    let item = shelf.library_with("A", "A", &["10.00 USD"], json!({"discountScheduleId": schedule})).await;
    let (cart, guest) = guest_cart(&shop, json!({})).await;
    let cart = write(&shop, &guest, "cartLinesSet", json!({"cartId": cart["id"], "lines": [seats(&item, 12)]})).await;
    // 9 x 10.00 + 3 x 5.00.
    assert_eq!((&cart["lines"][0]["unitPrice"], &cart["total"]["amount"]), (&Value::Null, &json!("105.00")));
}

/// A live subscription gives the cart after each write, whichever server made it, and ends when the cart is no longer the caller's.
#[tokio::test]
async fn a_live_subscription_follows_the_cart_while_it_is_the_callers() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("A", "A", &["10.00 USD"]).await;
    let (cart, guest) = guest_cart(&shop, json!({})).await;
    let id = &cart["id"];
    let live = "subscription($id: ID!) { cartUpdated(id: $id) { version lines { quantity offer { sku description } } } }";
    let watch = |caller: &Caller, id: &Value| shop.follow(caller, live, json!({"id": id}));
    let mut updates = watch(&guest, id);
    let (first, ()) = tokio::join!(updates.next(), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        write(&shop, &guest, "cartLinesSet", json!({"cartId": id, "lines": [seats(&item, 2)]})).await;
    });
    let seen = json!({"version": 2, "lines": [{"quantity": 2, "offer": {"sku": "A", "description": ""}}]});
    assert_eq!(first, Some(seen));

    // Another server's write tells this process nothing; it is found all the same.
    let cart_id = domain::CartId::parse(id.as_str().expect("an id")).expect("a cart's id");
    let txn = shop.app.db.begin().await.expect("a transaction");
    assert!(store::cart::change(&txn, cart_id, 2, store::cart::Change::Touch, shop.app.now()).await.expect("an update"));
    txn.commit().await.expect("a commit");
    assert_eq!(updates.next().await.expect("an event")["version"], 3);

    // The account that claims it is the only one to see it from then on.
    let ann = shelf.learner("ann@example.com").await;
    claim(&shop, &with_secret(&ann, &guest), id, "k").await;
    assert_eq!(updates.next().await, Some(Value::Null));
    assert_eq!(updates.next().await, None, "the subscription is over");

    for id in [id.clone(), json!("rubbish")] {
        let mut updates = watch(&shop.guest(), &id);
        assert_eq!((updates.next().await, updates.next().await), (Some(Value::Null), None), "{id}");
    }
}
