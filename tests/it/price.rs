//! Prices, exchange rates and discount schedules: what can be set, what is kept of what was before, and what is refused.

use serde_json::{Value, json};

use crate::util::{TestApp, amount, id};

fn refusal(code: &str, field: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), field.to_owned())]
}

/// R10: prices are a set of rows; rows that stay keep their history, the others are replaced, with who and when.
#[tokio::test]
async fn r10_prices_are_versioned_rows() {
    let shop = TestApp::new().await;
    let (first, second) = (shop.operator(), shop.key(&["prices:write", "catalog:read"]));
    let (start, feb1, feb2) = ("2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00", "2026-02-02T00:00:00+00:00");
    let (_, product) = shop.library("LIB", "Smithing", "20 USD", &[]).await;
    shop.set_time("2026-02-01T00:00:00Z");
    let rows = json!([amount("20.00 USD"), amount("18 EUR"), { "amount": "15", "currency": "USD", "startsAt": "2026-03-01T00:00:00Z", "endsAt": "2026-04-01T00:00:00Z" }]);
    let shown = "product { touchedAt prices { amount { amount currency } startsAt endsAt recordedAt actor } }";
    let set = shop.act(&first, "productPricesSet", json!({ "productId": product, "prices": rows }), shown).await;
    assert_eq!(set["product"]["touchedAt"], json!("2026-02-01T00:00:00+00:00"));
    let prices = set["product"]["prices"].as_array().expect("prices").clone();
    let told: Vec<_> = prices
        .iter()
        .map(|price| (price["amount"]["amount"].as_str().expect("amount"), price["recordedAt"].as_str().expect("instant")))
        .collect();
    assert_eq!(told, [("20.00", start), ("18.00", feb1), ("15.00", feb1)]);
    // The same set again: nothing is replaced, nothing touched.
    shop.set_time("2026-02-02T00:00:00Z");
    let again = shop.act(&second, "productPricesSet", json!({ "productId": product, "prices": rows }), shown).await;
    assert_eq!(again["product"]["touchedAt"], json!("2026-02-01T00:00:00+00:00"));
    shop.act(&second, "productPricesSet", json!({ "productId": product, "prices": [amount("25 USD"), amount("18 EUR")] }), shown).await;
    let history = "query($id: ID!) { product(id: $id) { priceHistory { totalCount nodes { amount { amount currency } recordedAt replacedAt actor replacedBy } } } }";
    let history = shop.ok(&second, history, json!({ "id": product })).await["product"]["priceHistory"].clone();
    let row = |amount: &str, currency: &str, recorded: &str, replaced: Option<&str>, actor: &str, by: Option<&str>| {
        json!({
            "amount": {"amount": amount, "currency": currency}, "recordedAt": recorded, "replacedAt": replaced, "actor": actor, "replacedBy": by,
        })
    };

    let maker = history["nodes"][3]["actor"].as_str().expect("an actor").to_owned();
    assert_eq!(
        history,
        json!({ "totalCount": 4, "nodes": [
            row("25.00", "USD", feb2, None, &second.actor(), None),
            row("15.00", "USD", feb1, Some(feb2), &first.actor(), Some(&second.actor())),
            row("18.00", "EUR", feb1, None, &first.actor(), None),
            row("20.00", "USD", start, Some(feb2), &maker, Some(&second.actor())),
        ]})
    );
}

/// R10, c11: windows by days are those of the shop's zone, and become instants once.
#[tokio::test]
async fn r10_c11_windows_by_days_are_the_shops() {
    let shop = TestApp::with(|settings| settings.time_zone = chrono_tz::America::New_York).await;
    let (_, product) = shop.library("LIB", "Smithing", "20 USD", &[]).await;
    let rows = json!([amount("20 USD"), { "amount": "15", "currency": "USD", "firstDay": "2026-07-01", "lastDay": "2026-07-06" }]);
    let set = shop
        .act(
            &shop.operator(),
            "productPricesSet",
            json!({ "productId": product, "prices": rows }),
            "product { prices { startsAt endsAt } }",
        )
        .await;
    assert_eq!(set["product"]["prices"][1], json!({"startsAt": "2026-07-01T04:00:00+00:00", "endsAt": "2026-07-07T04:00:00+00:00"}));
}

/// Overlaps, amounts out of range and everything else that is wrong with a row is named by its place, and changes nothing.
#[tokio::test]
async fn bad_price_rows_are_named_by_place() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let (_, product) = shop.library("LIB", "Smithing", "20 USD", &[]).await;
    let group = id(&shop.act(&operator, "groupCreate", json!({ "title": "Club" }), "group { id }").await["group"]);
    let window =
        |amount: &str, starts: &str, ends: &str| json!({ "amount": amount, "currency": "USD", "startsAt": starts, "endsAt": ends });
    let (march, april, may) = ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z");
    let of_group = |amount: &str| json!({ "amount": amount, "currency": "USD", "groupId": group });
    for (rows, expected) in [
        (json!([amount("20 USD"), amount("21 USD")]), refusal("WINDOW_OVERLAP", "prices.1")),
        (json!([window("1", march, may), window("2", april, may)]), refusal("WINDOW_OVERLAP", "prices.1")),
        (json!([of_group("1"), of_group("2")]), refusal("WINDOW_OVERLAP", "prices.1")),
        (json!([window("1", april, march)]), refusal("WINDOW_INVALID", "prices.0.endsAt")),
        (json!([{ "amount": "1", "currency": "USD", "startsAt": march, "lastDay": "2026-04-01" }]), refusal("WINDOW_INVALID", "prices.0")),
        (json!([amount("-1 USD")]), refusal("INVALID", "prices.0")),
        (json!([amount("99999999999999 USD")]), refusal("TOO_LARGE", "prices.0")),
        (json!([amount("20 USD"), amount("1.5 JPY")]), refusal("TOO_MANY_DIGITS", "prices.1.amount")),
        (json!([amount("20 usdollar")]), refusal("UNKNOWN_CURRENCY", "prices.0.currency")),
        (json!([amount("twenty USD")]), refusal("INVALID", "prices.0.amount")),
        (json!([{ "amount": "1", "currency": "USD", "groupId": "grp_nonsense" }]), refusal("NOT_FOUND", "prices.0.groupId")),
        (
            json!([{ "amount": "1", "currency": "USD", "groupId": bursar::app::entropy::next_id::<domain::GroupKind>().to_string() }]),
            refusal("NOT_FOUND", "prices.0.groupId"),
        ),
    ] {
        let input = json!({ "productId": product, "prices": rows });
        assert_eq!(shop.denied(&operator, "productPricesSet", input).await, expected, "{rows}");
    }
    let prices =
        shop.ok(&operator, "query($id: ID!) { product(id: $id) { prices { amount { amount } } } }", json!({ "id": product })).await;
    assert_eq!(prices["product"]["prices"], json!([{"amount": {"amount": "20.00"}}]));
    // Windows that touch, other levels and other currencies stand side by side.
    let fine = json!([amount("20 USD"), amount("2000 JPY"), window("1", march, april), window("2", april, may), of_group("15")]);
    let set = shop
        .act(&operator, "productPricesSet", json!({ "productId": product, "prices": fine }), "product { prices { group { title } } }")
        .await;
    assert_eq!(set["product"]["prices"].as_array().expect("prices").len(), 5);
    // Prices have a scope of their own.
    let mutation = "mutation($input: ProductPricesSetInput!) { productPricesSet(input: $input) { userErrors { code } } }";
    let input = json!({ "input": { "productId": product, "prices": [] } });
    assert_eq!(shop.top_level_code(&shop.key(&["catalog:write"]), mutation, input).await, "FORBIDDEN");
}

/// The base currency is fixed with the first price; starting with another one is refused with a sentence.
#[tokio::test]
async fn the_base_currency_is_fixed_once_a_price_exists() {
    let shop = TestApp::new().await;
    let euro = |shop: &TestApp| shop.beside(|settings| settings.base_currency = domain::Currency::parse("EUR").expect("a currency"));
    euro(&shop).open_installation().await.expect("no price, so any base currency");
    shop.library("LIB", "Smithing", "20 USD", &[]).await;
    let refused = euro(&shop).open_installation().await.expect_err("the base currency is USD for good");
    assert!(refused.to_string().contains("USD for good"), "{refused}");
    // A server that started before with EUR writes no price any more.
    let input = json!({ "input": { "sku": "L-2", "title": "Two", "prices": [amount("1 EUR")] } });
    let other = bursar::graphql::loader::Batching::new(bursar::graphql::schema(), std::sync::Arc::new(euro(&shop)));
    let request =
        async_graphql::Request::new("mutation($input: LibraryCreateInput!) { libraryCreate(input: $input) { userErrors { code } } }")
            .variables(async_graphql::Variables::from_json(input))
            .data(std::sync::Arc::new(shop.operator()));
    let answer = serde_json::to_value(async_graphql::Executor::execute(&other, request).await).expect("JSON");
    assert_eq!(answer["data"]["libraryCreate"]["userErrors"], json!([{"code": "BASE_CURRENCY_FIXED"}]));
}

/// Rates: from their start on, replaced by another one with the same start, kept as text, at most 12 digits.
#[tokio::test]
async fn exchange_rates_are_a_table_with_history() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let rate = |base: &str, quote: &str, rate: Value, from: Value| json!({ "base": base, "quote": quote, "rate": rate, "validFrom": from });
    let fields = "exchangeRates { base quote rate validFrom replacedAt }";
    let start = "2026-01-01T00:00:00Z";
    let input = json!({ "rates": [rate("USD", "EUR", json!("0.920"), json!(null)), rate("USD", "JPY", json!("151.37"), json!("2026-06-01T00:00:00Z"))] });
    let set = shop.act(&operator, "exchangeRatesSet", input.clone(), fields).await;
    assert_eq!(
        set["exchangeRates"],
        json!([
            {"base": "USD", "quote": "EUR", "rate": "0.92", "validFrom": "2026-01-01T00:00:00+00:00", "replacedAt": null},
            {"base": "USD", "quote": "JPY", "rate": "151.37", "validFrom": "2026-06-01T00:00:00+00:00", "replacedAt": null},
        ])
    );
    // The same start with another rate replaces; the same rate changes nothing; null takes back.
    shop.act(&operator, "exchangeRatesSet", json!({ "rates": [rate("USD", "EUR", json!("0.93"), json!(start))] }), fields).await;
    shop.act(&operator, "exchangeRatesSet", json!({ "rates": [rate("USD", "EUR", json!("0.93"), json!(start))] }), fields).await;
    let gone = shop
        .act(&operator, "exchangeRatesSet", json!({ "rates": [rate("USD", "JPY", json!(null), json!("2026-06-01T00:00:00Z"))] }), fields)
        .await;
    assert_eq!(gone["exchangeRates"], json!([]));
    let listed = shop.ok(&operator, "{ exchangeRates { totalCount nodes { quote rate } } all: exchangeRates(filter: { replaced: true }) { totalCount } jpy: exchangeRates(filter: { quote: \"JPY\" }) { totalCount } }", json!({})).await;
    assert_eq!(
        listed,
        json!({"exchangeRates": {"totalCount": 1, "nodes": [{"quote": "EUR", "rate": "0.93"}]}, "all": {"totalCount": 3}, "jpy": {"totalCount": 0}})
    );
    for (rates, expected) in [
        (json!([rate("USD", "USD", json!("1"), json!(null))]), refusal("INVALID", "rates.0")),
        (
            json!([rate("USD", "EUR", json!("0.9"), json!(null)), rate("USD", "EUR", json!("0.8"), json!(null))]),
            refusal("REPEATED", "rates.1"),
        ),
        (json!([rate("USD", "EUR", json!("0.1234567890123"), json!(null))]), refusal("INVALID", "rates.0.rate")),
        (json!([rate("USD", "EUR", json!("0"), json!(null))]), refusal("INVALID", "rates.0.rate")),
        (json!([rate("USD", "EUR", json!("-1"), json!(null))]), refusal("INVALID", "rates.0.rate")),
        (json!([rate("USD", "XYZ", json!("1"), json!(null))]), refusal("UNKNOWN_CURRENCY", "rates.0.quote")),
    ] {
        assert_eq!(shop.denied(&operator, "exchangeRatesSet", json!({ "rates": rates })).await, expected, "{rates}");
    }
}

/// R50, c35: schedules with names, modes and tiers that ascend from 1; changes keep what was before.
#[tokio::test]
async fn r50_c35_discount_schedules_have_ascending_tiers() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let tier = |min: i64, price: &str| json!({ "minQuantity": min, "price": amount(price) });
    let off = |min: i64, percent: &str| json!({ "minQuantity": min, "percentOff": percent });
    let fields = "discountSchedule { id name mode appliesTo tiers { minQuantity percentOff price { amount currency } } recordedAt }";
    let input = json!({ "name": "Bulk", "tiers": [tier(1, "10 USD"), tier(11, "9 USD"), off(51, "12.50")] });
    let made = shop.act(&operator, "discountScheduleSet", input, fields).await["discountSchedule"].clone();
    let schedule = id(&made);
    assert_eq!((&made["mode"], &made["appliesTo"]), (&json!("SLAB"), &json!("SALES_ORDER")));
    assert_eq!(made["tiers"][2], json!({"minQuantity": 51, "percentOff": "12.5", "price": null}));
    for (input, expected) in [
        (json!({ "name": "A", "tiers": [] }), refusal("TIERS_INVALID", "tiers")),
        (json!({ "name": "A", "tiers": [tier(2, "1 USD")] }), refusal("TIERS_INVALID", "tiers.0")),
        (json!({ "name": "A", "tiers": [tier(0, "1 USD")] }), refusal("TIERS_INVALID", "tiers.0")),
        (json!({ "name": "A", "tiers": [tier(1, "1 USD"), tier(5, "1 USD"), tier(5, "1 USD")] }), refusal("TIERS_INVALID", "tiers.2")),
        (json!({ "name": "A", "tiers": [tier(1, "1 USD"), tier(9, "1 USD"), tier(5, "1 USD")] }), refusal("TIERS_INVALID", "tiers.2")),
        (json!({ "name": "A", "tiers": [tier(1, "1 USD"), tier(-5, "1 USD")] }), refusal("TIERS_INVALID", "tiers.1")),
        (json!({ "name": "A", "tiers": [{ "minQuantity": 1 }] }), refusal("TIERS_INVALID", "tiers.0")),
        (json!({ "name": "A", "tiers": [off(1, "101")] }), refusal("INVALID", "tiers.0.percentOff")),
        (json!({ "name": " bULK ", "tiers": [tier(1, "1 USD")] }), refusal("NAME_TAKEN", "name")),
        (json!({ "id": "dsc_nothing", "name": "A", "tiers": [tier(1, "1 USD")] }), refusal("NOT_FOUND", "id")),
    ] {
        assert_eq!(shop.denied(&operator, "discountScheduleSet", input.clone()).await, expected, "{input}");
    }
    shop.set_time("2026-02-01T00:00:00Z");
    let change = json!({ "id": schedule, "name": "Volume", "mode": "GRADUATED", "appliesTo": "ALL", "tiers": [tier(1, "10 USD")] });
    let changed = shop.act(&operator, "discountScheduleSet", change, fields).await["discountSchedule"].clone();
    assert_eq!(
        (&changed["name"], &changed["mode"], &changed["recordedAt"]),
        (&json!("Volume"), &json!("GRADUATED"), &json!("2026-02-01T00:00:00+00:00"))
    );
    // What it said before is still known, for prices as of then.
    let schedule_id = domain::DiscountScheduleId::parse(&schedule).expect("an id");
    let then = bursar::store::price::schedules_at(shop.app.db.read(), &[schedule_id], Some(crate::util::at("2026-01-15T00:00:00Z"))).await;
    assert_eq!(then.expect("read")[&schedule_id].tiers().len(), 3);
    let input = json!({ "sku": "LIB", "title": "Smithing", "discountScheduleId": schedule, "prices": [amount("1 USD")] });
    let library = shop.act(&operator, "libraryCreate", input, "library { discountSchedule { name } }").await;
    assert_eq!(library["library"]["discountSchedule"]["name"], json!("Volume"));
    let listed = shop.ok(&operator, "{ discountSchedules(search: \"vol\") { nodes { name } } }", json!({})).await;
    assert_eq!(listed["discountSchedules"]["nodes"], json!([{"name": "Volume"}]));
}
