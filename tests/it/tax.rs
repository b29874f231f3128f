//! Taxes: the operator's table, which rate a line gets, and what cart, order, form and mail say of it.

use serde_json::{Value, json};

use crate::util::{TestApp, amount, id};

const LINES: &str = "lines { subtotal { amount } discount { amount } taxRate tax { amount } total { amount } }";
const TOTALS: &str = "subtotal { amount } discount { amount } tax { amount } total { amount }";

/// Germany at 19 %, 7 % for e-books; Austria at 20 %.
async fn rates(shop: &TestApp) {
    let rates = json!([
        { "country": "DE", "rate": "19", "validFrom": "2021-01-01T00:00:00Z" },
        { "country": "DE", "class": "ebook", "rate": "7", "validFrom": "2021-01-01T00:00:00Z" },
        { "country": "AT", "rate": "20", "validFrom": "2021-01-01T00:00:00Z" },
    ]);
    shop.act(&shop.operator(), "taxRatesSet", json!({ "rates": rates }), "taxRates { country }").await;
}

async fn buyer(shop: &TestApp, secret: &str, cart: &str, country: &str) {
    let address = json!({ "lines": ["Main Street 1"], "country": country });
    let buyer = json!({ "cartId": cart, "email": "ann@example.test", "name": "Ann", "address": address });
    shop.act(&shop.guest_with(secret), "cartBuyerSet", buyer, "").await;
}

async fn cart(shop: &TestApp, secret: &str, cart: &str) -> Value {
    let query = format!("query($id: ID!) {{ cart(id: $id) {{ {LINES} {TOTALS} }} }}");
    shop.ok(&shop.guest_with(secret), &query, json!({ "id": cart })).await["cart"].clone()
}

fn line([subtotal, discount, rate, tax, total]: [&str; 5]) -> Value {
    let [subtotal, discount, tax, total] = [subtotal, discount, tax, total].map(|amount| json!({ "amount": amount }));
    json!({ "subtotal": subtotal, "discount": discount, "taxRate": rate, "tax": tax, "total": total })
}

/// R79: price, then coupon, then tax. With tax in the prices, 10 % off 119.00 and 10.70 leaves 107.10 and 9.63, of which 19 % and 7 % make 17.10
/// and 0.63 tax. The order keeps its rates when the table changes.
#[tokio::test]
async fn r79_tax_comes_last_and_the_order_keeps_it() {
    let shop = TestApp::new().await;
    rates(&shop).await;
    shop.shelf("COURSES", "119.00", &["Rust"]).await;
    let book = shop.shelf("BOOK", "10.70", &["Reading"]).await;
    let classed = shop.act(&shop.operator(), "productUpdate", json!({ "id": book, "taxClass": "ebook" }), "product { taxClass }").await;
    assert_eq!(classed["product"]["taxClass"], "EBOOK");
    let coupon = json!({ "kind": "DISCOUNT", "percent": "10", "scope": "ORDER", "codes": ["TEN"] });
    shop.act(&shop.operator(), "couponCreate", coupon, "coupon { id }").await;
    let (id, secret) = shop.guest_cart(&["COURSES", "BOOK"]).await;
    shop.act(&shop.guest_with(&secret), "cartCouponAdd", json!({ "cartId": id, "code": "TEN" }), "").await;
    let untaxed = [line(["119.00", "11.90", "0", "0.00", "107.10"]), line(["10.70", "1.07", "0", "0.00", "9.63"])];
    assert_eq!(cart(&shop, &secret, &id).await["lines"], json!(untaxed), "nobody knows where it is sold to");
    buyer(&shop, &secret, &id, "de").await;
    let read = cart(&shop, &secret, &id).await;
    let taxed = [line(["119.00", "11.90", "19", "17.10", "107.10"]), line(["10.70", "1.07", "7", "0.63", "9.63"])];
    assert_eq!(read["lines"], json!(taxed));
    assert_eq!([&read["tax"]["amount"], &read["total"]["amount"]], ["17.73", "116.73"]);
    let place = json!({ "cartId": id, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": amount("116.73 USD"), "idempotencyKey": "one" });
    let placed = shop.act(&shop.guest_with(&secret), "orderPlace", place, "order { id }").await;
    let raised = json!({ "rates": [{ "country": "DE", "rate": "25" }] });
    shop.act(&shop.operator(), "taxRatesSet", raised, "taxRates { rate }").await;
    let query = format!("query($id: ID!) {{ order(id: $id) {{ status totals {{ {TOTALS} net {{ amount }} }} {LINES} }} }}");
    let order = shop.ok(&shop.operator(), &query, json!({ "id": placed["order"]["id"] })).await["order"].clone();
    assert_eq!(order["lines"], json!(taxed));
    assert_eq!([&order["totals"]["net"]["amount"], &order["totals"]["tax"]["amount"]], ["99.00", "17.73"]);
    shop.jobs().await;
    let mails = "{ outbox { nodes { to subject text } } }";
    let mails = shop.ok(&shop.operator(), mails, json!({})).await["outbox"]["nodes"].clone();
    let told =
        mails.as_array().expect("mails").iter().filter_map(|mail| mail["text"].as_str()).any(|text| text.contains("Tax in it: 17.73 USD"));
    assert!(told, "{mails:#}");
}

/// R79: with tax on top, 20 % of 100.00 makes 120.00, which is what is charged and agreed to: a rate that rises meanwhile is a price that changed.
#[tokio::test]
async fn r79_tax_on_top_is_part_of_what_is_agreed_to() {
    let shop = TestApp::with(|shop| (shop.prices_include_tax, shop.country) = (false, "AT".to_owned())).await;
    rates(&shop).await;
    shop.shelf("COURSES", "100.00", &["Rust"]).await;
    let (id, secret) = shop.guest_cart(&["COURSES"]).await;
    let guest = shop.guest_with(&secret);
    assert_eq!(cart(&shop, &secret, &id).await["lines"][0], line(["100.00", "0.00", "20", "20.00", "120.00"]), "the shop's country");
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": id, "email": "ann@example.test", "name": "Ann" }), "").await;
    let place = |total: &str, key: &str| {
        json!({ "cartId": id, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
            "expectedTotal": amount(total), "idempotencyKey": key })
    };
    shop.act(&shop.operator(), "taxRatesSet", json!({ "rates": [{ "country": "AT", "rate": "22.5" }] }), "taxRates { rate }").await;
    assert_eq!(shop.denied(&guest, "orderPlace", place("120.00 USD", "one")).await[0].0, "PRICE_CHANGED");
    let payments = "order { payments { amount { amount } } lines { taxRate tax { amount } total { amount } } }";
    let order = shop.act(&guest, "orderPlace", place("122.50 USD", "two"), payments).await["order"].clone();
    assert_eq!(order["payments"][0]["amount"]["amount"], "122.50");
    assert_eq!(order["lines"][0], json!({ "taxRate": "22.5", "tax": { "amount": "22.50" }, "total": { "amount": "122.50" } }));
}

/// The buyer's country goes before the company's, and that before the shop's; through an exempt company there is no tax.
#[tokio::test]
async fn the_buyers_country_then_the_companys_then_the_shops() {
    let shop = TestApp::with(|shop| shop.country = "DE".to_owned()).await;
    rates(&shop).await;
    shop.shelf("COURSES", "100.00", &["Rust"]).await;
    let operator = shop.operator();
    let company = json!({ "name": "Acme", "type": "RETAIL", "country": "at" });
    let company = shop.act(&operator, "companyCreate", company, "company { id country taxExempt }").await["company"].clone();
    assert_eq!([&company["country"], &company["taxExempt"]], [&json!("AT"), &json!(false)]);
    let rate = async |company: Option<&str>, country: Option<&str>| {
        let made = shop
            .act(&shop.guest(), "cartCreate", json!({ "sku": "COURSES", "context": { "companyId": company } }), "cart { id } secret")
            .await;
        let (cart_id, secret) = (id(&made["cart"]), made["secret"].as_str().expect("a secret").to_owned());
        if let Some(country) = country {
            buyer(&shop, &secret, &cart_id, country).await;
        }
        cart(&shop, &secret, &cart_id).await["lines"][0]["taxRate"].as_str().expect("a rate").to_owned()
    };
    let acme = id(&company);
    assert_eq!(rate(None, None).await, "19");
    assert_eq!(rate(None, Some("FR")).await, "0");
    assert_eq!(rate(Some(&acme), None).await, "20");
    assert_eq!(rate(Some(&acme), Some("DE")).await, "19");
    shop.act(&operator, "companyUpdate", json!({ "id": acme, "taxExempt": true }), "").await;
    assert_eq!(rate(Some(&acme), Some("DE")).await, "0");
    shop.act(&operator, "companyUpdate", json!({ "id": acme, "taxExempt": false, "country": null }), "").await;
    assert_eq!(rate(Some(&acme), None).await, "19");
}

/// A rate is replaced by one with the same start, taken back by null, and every earlier word of it is kept.
#[tokio::test]
async fn the_table_of_rates_keeps_its_history() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    rates(&shop).await;
    let set = async |rate: Value| {
        let rate = json!({ "rates": [{ "country": "AT", "rate": rate, "validFrom": "2021-01-01T00:00:00Z" }] });
        shop.act(&operator, "taxRatesSet", rate, "taxRates { country class rate }").await["taxRates"].clone()
    };
    assert_eq!(set(json!("20.5")).await, json!([{ "country": "AT", "class": "STANDARD", "rate": "20.5" }]));
    assert_eq!(set(json!("20.5")).await, json!([{ "country": "AT", "class": "STANDARD", "rate": "20.5" }]), "again");
    assert_eq!(set(Value::Null).await, json!([]));
    let query = "query($filter: TaxRateFilter) { taxRates(filter: $filter) { totalCount nodes { country class rate } } }";
    let listed = async |filter: Value| shop.ok(&operator, query, json!({ "filter": filter })).await["taxRates"]["totalCount"].clone();
    assert_eq!(listed(json!({})).await, 2);
    assert_eq!(listed(json!({ "country": "at" })).await, 0);
    assert_eq!(listed(json!({ "country": "AT", "replaced": true })).await, 2);
    assert_eq!(listed(json!({ "class": "EBOOK" })).await, 1);
}

/// What is no country, class, rate or start is named by its place, and changes nothing.
#[tokio::test]
async fn bad_tax_rates_are_named_by_place() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let good = json!({ "country": "AT", "rate": "20", "validFrom": "2021-01-01T00:00:00Z" });
    for (bad, code, field) in [
        (json!({ "country": "Austria", "rate": "20" }), "INVALID", "rates.1.country"),
        (json!({ "country": "AT", "class": "e book", "rate": "20" }), "INVALID", "rates.1.class"),
        (json!({ "country": "AT", "rate": "100.1" }), "INVALID", "rates.1.rate"),
        (json!({ "country": "AT", "rate": "-1" }), "INVALID", "rates.1.rate"),
        (json!({ "country": "AT", "rate": "0.00001" }), "INVALID", "rates.1.rate"),
        (json!({ "country": "AT", "rate": "1", "validFrom": "1950-01-01T00:00:00Z" }), "WINDOW_INVALID", "rates.1.validFrom"),
        (json!({ "country": "at", "class": "standard", "rate": "21", "validFrom": "2021-01-01T00:00:00Z" }), "REPEATED", "rates.1"),
    ] {
        let refused = shop.denied(&operator, "taxRatesSet", json!({ "rates": [good, bad] })).await;
        assert_eq!(refused, [(code.to_owned(), field.to_owned())], "{bad}");
    }
    let left = shop.ok(&operator, "{ taxRates(filter: { replaced: true }) { totalCount } }", json!({})).await;
    assert_eq!(left["taxRates"]["totalCount"], 0);
    let (_, product) = shop.library("LIB", "Smithing", "20 USD", &[]).await;
    let refused = shop.denied(&operator, "productUpdate", json!({ "id": product, "taxClass": "" })).await;
    assert_eq!(refused, [("INVALID".to_owned(), "taxClass".to_owned())]);
    let refused = shop.denied(&operator, "companyCreate", json!({ "name": "Acme", "type": "RETAIL", "country": "Austria" })).await;
    assert_eq!(refused, [("INVALID".to_owned(), "country".to_owned())]);
}
