//! The shop itself: what a front end learns of it, and that the migrations go up, down and up again.

use serde_json::json;

use crate::util::TestApp;

#[tokio::test]
async fn a_front_end_reads_the_shops_name_and_currency() {
    let shop = TestApp::new().await;
    let answer = shop.run(&shop.guest(), "{ shop { name baseCurrency timeZone } }", json!({})).await;
    assert_eq!(answer["data"]["shop"], json!({"name": "Test shop", "baseCurrency": "USD", "timeZone": "UTC"}));
}
