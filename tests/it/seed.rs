//! The demo catalogue: what is in it, that it comes once, and that it fits every base currency.

use bursar::store::product::stale;
use serde_json::json;

use crate::util::TestApp;

const COUNTS: &str =
    "{ courses { totalCount } libraries { totalCount } companies { totalCount } groups { totalCount } providers { totalCount }
    products { totalCount } exchangeRates { totalCount } discountSchedules { totalCount } }";

fn counts() -> serde_json::Value {
    let list = |count: i64| json!({ "totalCount": count });
    json!({
        "courses": list(30), "libraries": list(12), "companies": list(3), "groups": list(2), "providers": list(7),
        // 27 courses are sold alone, 12 libraries, one group.
        "products": list(40), "exchangeRates": list(1), "discountSchedules": list(1),
    })
}

#[tokio::test]
async fn the_demo_catalogue_comes_once() {
    let shop = TestApp::new().await;
    assert!(shop.app.seed_demo().await.expect("an empty shop takes the demo"));
    assert_eq!(shop.ok(&shop.operator(), COUNTS, json!({})).await, counts());
    assert_eq!(stale(shop.app.db.read()).await.expect("read"), vec![]);
    assert!(!shop.app.seed_demo().await.expect("a shop with a catalogue stays as it is"));
    assert_eq!(shop.ok(&shop.operator(), COUNTS, json!({})).await, counts());
}

/// A shop that an operator has begun to fill, or a first start that was cut short, is no shop for the demo; it starts all the same.
#[tokio::test]
async fn a_shop_that_was_begun_gets_no_demo() {
    for (mutation, input) in
        [("providerSet", json!({ "name": "Ferrous Academy" })), ("courseCreate", json!({ "title": "Rust", "key": "RUST-1" }))]
    {
        let shop = TestApp::new().await;
        shop.act(&shop.operator(), mutation, input, "").await;
        assert!(!shop.app.seed_demo().await.expect("it is left alone"), "{mutation}");
    }
}

/// The demo has a second currency, whatever the base currency is: without digits, with three, and where the base is the euro itself.
#[tokio::test]
async fn the_demo_catalogue_fits_every_base_currency() {
    for base in ["EUR", "JPY", "KWD"] {
        let shop = TestApp::with(|settings| settings.base_currency = domain::Currency::parse(base).expect("a currency")).await;
        assert!(shop.app.seed_demo().await.expect("an empty shop takes the demo"), "{base}");
        assert_eq!(shop.ok(&shop.operator(), COUNTS, json!({})).await, counts(), "{base}");
    }
}
