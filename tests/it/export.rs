//! Lists and reports as files: signed links, whom they are for, what stands in the files, and how long ones are sent.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use bursar::app::caller::Caller;
use bursar::http::export;
use chrono::TimeDelta;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::offer::Shelf;
use crate::util::{TestApp, amount, id};

/// Asks for the file behind a link, or at a path.
pub async fn get(shop: &TestApp, url: &str, bearer: Option<&str>) -> Response {
    let router: Router = export::routes(&shop.app);
    let mut request = Request::get(url.trim_start_matches("http://127.0.0.1:8080"));
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("routers do not fail")
}

/// The text of the file behind a link.
pub async fn file(shop: &TestApp, url: &Value) -> String {
    let answer = get(shop, url.as_str().unwrap_or_else(|| panic!("no link: {url}")), None).await;
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.expect("the whole file");
    let text = String::from_utf8(body.into()).expect("UTF-8");
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

/// The status and code that a link is refused with.
async fn refused(shop: &TestApp, url: &str, bearer: Option<&str>) -> (u16, String) {
    let answer = get(shop, url, bearer).await;
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), usize::MAX).await.expect("an answer");
    let told: Value = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("no refusal: {}", String::from_utf8_lossy(&body)));
    assert!(told["errors"][0]["message"].as_str().is_some_and(|message| message.len() > 20), "{told}");
    (status, told["errors"][0]["extensions"]["code"].as_str().expect("a code").to_owned())
}

/// A service key that is kept: its id, its secret, and the caller that it makes.
pub async fn key(shop: &TestApp, scopes: &[&str]) -> (String, String, Caller) {
    let input = json!({ "name": "export", "role": "SERVICE", "scopes": scopes });
    let made = shop.act(&shop.operator(), "serviceKeyCreate", input, "secret serviceKey { id }").await;
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let caller = shop.bearer(&secret).await;
    (id(&made["serviceKey"]), secret, caller)
}

/// Somebody who manages a company: the sign-in and the account.
pub async fn manager(shop: &TestApp, email: &str, company: &str) -> (String, String) {
    let (account, token) = shop.sign_up(email).await;
    let input = json!({ "companyId": company, "managers": [{ "accountId": account }] });
    shop.act(&shop.operator(), "companyMembersSet", input, "company { id }").await;
    (token, account)
}

/// R47: a link works for its time, as it was made, for whom it was made, with the rights of now.
#[tokio::test]
async fn r47_a_link_is_signed_for_somebody_and_dies() {
    let shop = TestApp::new().await;
    shop.library("LIB", "Smithing", "20 USD", &[&shop.course("Forge").await]).await;
    let (key_id, secret, reader) = key(&shop, &["catalog:read"]).await;
    let query = "{ libraries { csvUrl totalCount nodes { id } } }";
    let asked = shop.ok(&reader, query, json!({})).await["libraries"].clone();
    assert_eq!(asked["totalCount"], 1);
    let link = asked["csvUrl"].as_str().expect("a link").to_owned();
    assert!(link.starts_with("http://127.0.0.1:8080/export/libraries.csv?link="), "{link}");
    assert!(file(&shop, &json!(link)).await.contains(",Smithing,LIB,"));
    assert_eq!(get(&shop, &link, Some(&secret)).await.status(), StatusCode::OK, "with its own key too");

    // Altered: another filter, another signature, another file, none at all.
    let (before, signature) = link.rsplit_once('.').expect("a signature");
    let mut letters: Vec<char> = before.chars().collect();
    let place = letters.len() - 30;
    letters[place] = if letters[place] == 'A' { 'B' } else { 'A' };
    for wrong in [
        format!("{}.{signature}", letters.into_iter().collect::<String>()),
        format!("{before}.{}", "A".repeat(signature.len())),
        before.to_owned(),
        link.replace("libraries.csv", "orders.csv"),
        "/export/libraries.csv?link=made.up".to_owned(),
        "/export/libraries.csv?link=".to_owned(),
    ] {
        assert_eq!(refused(&shop, &wrong, None).await, (403, "LINK_INVALID".to_owned()), "{wrong}");
    }
    // Foreign: of another shop, and shown by somebody else.
    let other = TestApp::with(|settings| settings.name = "Other".to_owned()).await;
    let (_, _, theirs) = key(&other, &["catalog:read"]).await;
    let their_link = other.ok(&theirs, query, json!({})).await["libraries"]["csvUrl"].as_str().expect("a link").to_owned();
    assert_eq!(refused(&shop, &their_link, None).await.0, 401, "the same secret in tests, but nobody that this shop knows");
    let (_, another, _) = key(&shop, &["catalog:read"]).await;
    assert_eq!(refused(&shop, &link, Some(&another)).await, (403, "LINK_FOREIGN".to_owned()));
    assert_eq!(refused(&shop, &link, Some("made-up")).await, (401, "UNAUTHENTICATED".to_owned()));

    // Over after a quarter of an hour.
    shop.pass(TimeDelta::seconds(15 * 60 - 1));
    assert!(file(&shop, &json!(link)).await.contains("Smithing"));
    shop.pass(TimeDelta::seconds(1));
    assert_eq!(refused(&shop, &link, None).await, (410, "LINK_EXPIRED".to_owned()));

    // Dead with its key.
    let fresh = shop.ok(&reader, query, json!({})).await["libraries"]["csvUrl"].as_str().expect("a link").to_owned();
    shop.act(&shop.operator(), "serviceKeyRevoke", json!({ "id": key_id }), "").await;
    assert_eq!(refused(&shop, &fresh, None).await, (401, "UNAUTHENTICATED".to_owned()));

    // Nobody gets a link who is nobody; a locale that is none is told.
    assert_eq!(shop.top_level_code(&shop.guest(), query, json!({})).await, "UNAUTHENTICATED");
    let (_, _, again) = key(&shop, &["catalog:read"]).await;
    let query = "{ libraries { csvUrl(locale: \"no such locale\") } }";
    assert_eq!(shop.top_level_code(&again, query, json!({})).await, "BAD_INPUT");
    for path in ["/export/nothing.csv", "/export/libraries", "/export/coupon-codes.csv"] {
        let status = get(&shop, path, Some(&another)).await.status();
        assert!(status == StatusCode::NOT_FOUND || status == StatusCode::FORBIDDEN, "{path}: {status}");
    }
}

/// R47: a right that was taken back since opens no file; a password that was changed ends the links of before.
#[tokio::test]
async fn r47_rights_are_looked_at_again_when_a_file_is_asked_for() {
    let shop = TestApp::new().await;
    let company = Shelf(&shop).company("acme", json!({})).await.to_string();
    let (token, account) = manager(&shop, "boss@example.test", &company).await;
    let boss = shop.bearer(&token).await;
    let query = "query($company: ID) { orders(filter: { companyId: $company }) { csvUrl } }";
    let link = shop.ok(&boss, query, json!({ "company": company })).await["orders"]["csvUrl"].clone();
    assert!(file(&shop, &link).await.starts_with("number,id,status,placed_at,"));

    let input = json!({ "scopes": ["orders:read"], "accountId": account });
    shop.act(&shop.operator(), "operatorSet", input, "").await;
    let boss = shop.bearer(&token).await;
    let all = shop.ok(&boss, "{ orders { csvUrl } }", json!({})).await["orders"]["csvUrl"].clone();
    file(&shop, &all).await;
    shop.pass(TimeDelta::seconds(1));
    let change = json!({ "currentPassword": crate::util::PASSWORD, "newPassword": "three other words" });
    shop.act(&boss, "accountPasswordChange", change, "").await;
    for link in [link, all] {
        assert_eq!(refused(&shop, link.as_str().expect("a link"), None).await, (401, "UNAUTHENTICATED".to_owned()));
    }
}

/// R47: libraries, companies, orders, coupons and tokens are files, with the filters of their lists; no cell begins a formula in any of them; dates
/// and decimals follow the locale.
#[tokio::test]
async fn r47_every_finder_is_a_file_with_the_filters_of_its_list() {
    let shop = TestApp::new().await;
    let (_, _, reader) = key(&shop, &["catalog:read", "companies:read", "orders:read", "coupons:read", "learning:read"]).await;
    let shelf = Shelf(&shop);
    let more = json!({ "productCode": "=code" });
    let bread = shelf.library_with("BREAD", "=HYPERLINK(\"x\")", &["20.00 USD"], more).await;
    shop.pass(TimeDelta::days(1));
    shelf.library("IRON", "Iron", &["30.00 USD"]).await;
    let company = shelf.company("acme", json!({ "name": "@ACME; sons", "timeZone": "Europe/Vienna" })).await.to_string();
    let coupon = json!({ "name": "+ten", "kind": "DISCOUNT", "percent": "10", "scope": "ORDER", "codes": ["-TEN"] });
    shop.act(&shop.operator(), "couponCreate", coupon, "").await;

    // Bought for the company: three seats of the bread, with the coupon.
    let context = json!({ "context": { "companyId": company } });
    let made = shop.act(&shop.guest(), "cartCreate", context, "cart { id } secret").await;
    let guest = shop.guest_with(made["secret"].as_str().expect("a secret"));
    let cart = made["cart"]["id"].clone();
    let lines = json!([{ "productId": bread.product, "quantity": 3, "for": { "seats": true } }]);
    shop.act(&guest, "cartLinesSet", json!({ "cartId": cart, "lines": lines }), "").await;
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "ann@example.test", "name": "-Ann" }), "").await;
    shop.act(&guest, "cartCouponAdd", json!({ "cartId": cart, "code": "-TEN" }), "").await;
    let input = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": amount("54.00 USD"), "idempotencyKey": "once" });
    let order = shop.act(&guest, "orderPlace", input, "order { id number }").await["order"].clone();

    let lines = async |query: &str| -> Vec<String> {
        let data = shop.ok(&reader, query, json!({ "company": company })).await;
        let url = data.as_object().and_then(|data| data.values().next()).expect("one field")["csvUrl"].clone();
        file(&shop, &url).await.lines().map(str::to_owned).collect()
    };
    let all = lines("{ libraries { csvUrl } }").await;
    assert_eq!(all[0], "id,title,sku,product_code,courses,state,ordered,created_at,touched_at,archived_at");
    assert_eq!(all.len(), 3);
    let bread_line = ",\"'=HYPERLINK(\"\"x\"\")\",BREAD,'=code,1,ON_SALE,false,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,";
    assert!(all[1].ends_with(bread_line), "{all:?}");
    for filter in [
        "search: \"hyperlink\"",
        "sku: \"bread\"",
        "productCode: \"=CODE\"",
        "createdBefore: \"2026-01-02T00:00:00Z\"",
        "touchedBefore: \"2026-01-02T00:00:00Z\", createdFrom: \"2026-01-01T00:00:00Z\"",
    ] {
        let found = lines(&format!("{{ libraries(filter: {{ {filter} }}) {{ csvUrl }} }}")).await;
        assert_eq!(found[1..], all[1..2], "{filter}");
    }
    assert_eq!(lines("{ libraries(filter: { touchedFrom: \"2026-01-02T00:00:00Z\" }) { csvUrl } }").await[1..], all[2..]);

    let found = lines("{ companies(filter: { search: \"acme\" }) { csvUrl } }").await;
    assert_eq!(found.len(), 2);
    assert!(found[1].contains(",acme,\"'@ACME; sons\",RETAIL,true,Europe/Vienna,PUBLIC,"), "{found:?}");

    let found =
        lines("query($company: ID) { orders(filter: { companyId: $company, statuses: [FULFILLED] }) { csvUrl(locale: \"de\") } }").await;
    let [number, order_id] = [&order["number"], &order["id"]].map(|text| text.as_str().expect("a text"));
    assert_eq!(
        found[0],
        "\u{feff}number;id;status;placed_at;paid_at;fulfilled_at;company;buyer_email;buyer_name;units;skus;coupons;currency;subtotal;discount;net;tax;total;refunded;bypass"
    );
    let at = "02.01.2026 01:00:00";
    let written = format!(
        "{number};{order_id};FULFILLED;{at};{at};{at};acme;ann@example.test;'-Ann;3;BREAD;'-TEN;USD;60,00;6,00;54,00;0,00;54,00;0,00;false"
    );
    assert_eq!(found[1..], [written]);
    assert_eq!(lines("query($company: ID) { orders(filter: { companyId: $company, statuses: [LAPSED] }) { csvUrl } }").await.len(), 1);

    let found = lines("{ coupons(filter: { kind: DISCOUNT }) { csvUrl } }").await;
    assert!(found[1].contains(",'+ten,DISCOUNT,10,,,ORDER,STARTED,true,'-TEN,,,,,,2026-01-02T00:00:00Z,"), "{found:?}");
    let found = lines("{ couponReport { csvUrl } }").await;
    assert!(found[1].ends_with(",'+ten,1,0,USD,6.00,54.00"), "{found:?}");

    // Who may read tokens sees no code; who may hand them out does.
    let found = lines("query($company: ID) { tokens(companyId: $company, status: FREE) { csvUrl } }").await;
    assert_eq!((found.len(), found[1].split(',').nth(2)), (4, Some("")));
    let (token, _) = manager(&shop, "boss@example.test", &company).await;
    let boss = shop.bearer(&token).await;
    let url = shop.ok(&boss, "{ tokens { csvUrl } }", json!({})).await["tokens"]["csvUrl"].clone();
    let theirs = file(&shop, &url).await;
    assert_eq!((theirs.lines().count(), theirs.contains(",BREAD,\"'=HYPERLINK(\"\"x\"\")\",")), (4, true));
    assert!(theirs.lines().nth(1).and_then(|line| line.split(',').nth(2)).is_some_and(|code| code.len() > 10), "{theirs}");
    // A manager of another company has no such rows, whatever the link asks for, and no link to all companies.
    let elsewhere = shelf.company("elsewhere", json!({})).await.to_string();
    let (token, _) = manager(&shop, "other@example.test", &elsewhere).await;
    let other = shop.bearer(&token).await;
    let query = "query($company: ID) { tokens(companyId: $company) { csvUrl } orders(filter: { companyId: $company }) { csvUrl } }";
    let links = shop.ok(&other, query, json!({ "company": company })).await;
    for list in ["tokens", "orders"] {
        assert_eq!(file(&shop, &links[list]["csvUrl"]).await.lines().count(), 1, "{list}: the heading alone");
    }
    for query in ["{ companies { csvUrl } }", "{ libraries { csvUrl } }", "{ coupons { csvUrl } }", "{ couponReport { csvUrl } }"] {
        assert_eq!(shop.top_level_code(&other, query, json!({})).await, "FORBIDDEN", "{query}");
    }
    for path in ["companies", "libraries", "coupons", "coupon-report"] {
        assert_eq!(refused(&shop, &format!("/export/{path}.csv"), Some(&token)).await, (403, "FORBIDDEN".to_owned()), "{path}");
    }
}

/// A file of many rows is sent piece by piece: no piece holds more than some hundred rows, and nothing is read before it is wanted.
#[tokio::test]
async fn a_long_file_is_sent_in_small_pieces_as_they_are_wanted() {
    let shop = TestApp::new().await;
    let (_, _, reader) = key(&shop, &["coupons:read"]).await;
    let coupon = json!({ "kind": "DISCOUNT", "percent": "10", "scope": "ORDER", "codes": ["TEN"] });
    let coupon = id(&shop.act(&shop.operator(), "couponCreate", coupon, "coupon { id }").await["coupon"]);
    let input = json!({ "couponId": coupon, "prefix": "MANY-", "count": 10_000 });
    let batch = id(&shop.act(&shop.operator(), "couponBatchCreate", input, "batch { id }").await["batch"]);
    let query = "query($batch: ID) { couponCodes(batchId: $batch, first: 1) { csvUrl } }";
    let url = shop.ok(&reader, query, json!({ "batch": batch })).await["couponCodes"]["csvUrl"].clone();
    let answer = get(&shop, url.as_str().expect("a link"), None).await;
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"coupon-codes.csv\"");
    let mut pieces = answer.into_body().into_data_stream();
    let (mut rows, mut longest, mut count) = (0, 0, 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.expect("a piece");
        rows += piece.iter().filter(|byte| **byte == b'\n').count();
        longest = longest.max(piece.len());
        count += 1;
    }
    assert_eq!((rows, count), (10_001, 20));
    assert!(longest < 64 * 1024, "{longest} bytes at once");
}

/// A cursor of the tokens leads to the rows after it.
#[tokio::test]
async fn tokens_are_turned_page_by_page() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("BREAD", "Bread", &["1.00 USD"]).await;
    let made = shop.act(&shop.guest(), "cartCreate", json!({}), "cart { id } secret").await;
    let guest = shop.guest_with(made["secret"].as_str().expect("a secret"));
    let cart = made["cart"]["id"].clone();
    let lines = json!([{ "productId": item.product, "quantity": 3, "for": { "seats": true } }]);
    shop.act(&guest, "cartLinesSet", json!({ "cartId": cart, "lines": lines }), "").await;
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "ann@example.test", "name": "Ann" }), "").await;
    let input = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": amount("3.00 USD"), "idempotencyKey": "once" });
    shop.act(&guest, "orderPlace", input, "order { id }").await;
    let page = "query($after: String) { tokens(first: 1, after: $after) { nodes { seat } pageInfo { endCursor hasNextPage } } }";
    let (mut seats, mut after) = (Vec::new(), Value::Null);
    for more in [true, true, false] {
        let found = shop.ok(&shop.operator(), page, json!({ "after": after })).await["tokens"].clone();
        seats.push(found["nodes"][0]["seat"].as_i64());
        assert_eq!(found["pageInfo"]["hasNextPage"], more);
        after = found["pageInfo"]["endCursor"].clone();
    }
    seats.sort_unstable();
    assert_eq!(seats, [Some(1), Some(2), Some(3)]);
}
