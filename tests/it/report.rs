//! Reports of sales: what counts when and for whom, in which days; the page with charts; and that every figure can be added up again.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use bursar::http::reports;
use bursar::start::{migrate_down, migrate_up};
use chrono::TimeDelta;
use sandbox::Step;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::export::{file, key, manager};
use crate::offer::Shelf;
use crate::util::{TestApp, amount};

const REPORT: &str = "query($filter: SalesReportFilter, $group: SalesGroup! = PRODUCT_CODE, $first: Int, $after: String) {
    salesReport(filter: $filter, groupBy: $group, first: $first, after: $after) {
        firstDay lastDay timeZone totalCount csvUrl entriesCsvUrl pageUrl pageInfo { hasNextPage endCursor }
        totals { ...sums }
        nodes { productCode company { key } product { sku } firstDay quantity gross { amount currency } discount { amount } net { amount }
            tax { amount } total { amount } refundedQuantity refunded { amount } } } }
    fragment sums on SalesSums { quantity gross { amount currency } discount { amount } net { amount } tax { amount } total { amount }
        refundedQuantity refunded { amount } }";

/// What was sold: (subject, quantity, gross, discount, total, refunded units, refunded).
type Row = (Option<String>, i64, String, String, String, i64, String);

fn row(subject: Option<&str>, (quantity, gross, discount, total): (i64, &str, &str, &str), (units, refunded): (i64, &str)) -> Row {
    (subject.map(str::to_owned), quantity, gross.to_owned(), discount.to_owned(), total.to_owned(), units, refunded.to_owned())
}

fn read(node: &Value) -> Row {
    let text = |name: &str| node[name]["amount"].as_str().expect("an amount").to_owned();
    let number = |name: &str| node[name].as_i64().expect("a number");
    let subject = [&node["productCode"], &node["company"]["key"], &node["product"]["sku"], &node["firstDay"]];
    let subject = subject.into_iter().find_map(Value::as_str).map(str::to_owned);
    assert_eq!(text("net"), text("total"), "no taxes in these shops");
    (subject, number("quantity"), text("gross"), text("discount"), text("total"), number("refundedQuantity"), text("refunded"))
}

async fn asked(shop: &TestApp, caller: &bursar::app::caller::Caller, group: &str, filter: Value) -> Value {
    shop.ok(caller, REPORT, json!({ "group": group, "filter": filter })).await["salesReport"].clone()
}

async fn rows(shop: &TestApp, group: &str, filter: Value) -> Vec<Row> {
    let report = asked(shop, &shop.operator(), group, filter).await;
    report["nodes"].as_array().expect("rows").iter().map(read).collect()
}

/// Buys seats, each (product, units), for a company or none; gives the order.
async fn buys(shop: &TestApp, company: Option<&str>, lines: &[(&str, u32)], (token, total): (&str, &str), coupon: Option<&str>) -> Value {
    let made = shop.act(&shop.guest(), "cartCreate", json!({ "context": { "companyId": company } }), "cart { id } secret").await;
    let guest = shop.guest_with(made["secret"].as_str().expect("a secret"));
    let cart = made["cart"]["id"].clone();
    let lines: Vec<Value> =
        lines.iter().map(|(product, units)| json!({ "productId": product, "quantity": units, "for": { "seats": true } })).collect();
    shop.act(&guest, "cartLinesSet", json!({ "cartId": cart, "lines": lines }), "").await;
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "ann@example.test", "name": "Ann" }), "").await;
    if let Some(code) = coupon {
        shop.act(&guest, "cartCouponAdd", json!({ "cartId": cart, "code": code }), "").await;
    }
    let input = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": token }, "expectedTotal": amount(total),
        "idempotencyKey": "once" });
    shop.act(&guest, "orderPlace", input, "order { id status total { amount } lines { id sku } payments { id } }").await["order"].clone()
}

/// A shop in Vienna with a year's worth of a few sales.
struct Trade {
    shop: TestApp,
    acme: String,
    rust: String,
    orders: Vec<Value>,
}

impl Trade {
    async fn new() -> Self {
        let shop = TestApp::with(|settings| settings.time_zone = chrono_tz::Europe::Vienna).await;
        let shelf = Shelf(&shop);
        let rust = shelf.library_with("RUST-1", "Rust", &["100.00 USD"], json!({ "productCode": "RUST" })).await.product;
        let more = shelf.library_with("RUST-2", "More Rust", &["20.00 USD"], json!({ "productCode": "rust" })).await.product;
        let plain = shelf.library("PLAIN", "Plain", &["5.00 USD"]).await.product;
        let acme = shelf.company("acme", json!({ "timeZone": "America/New_York" })).await.to_string();
        let coupon = json!({ "kind": "DISCOUNT", "percent": "10", "scope": "ORDER", "codes": ["TEN"], "usesPerCustomer": 9 });
        shop.act(&shop.operator(), "couponCreate", coupon, "").await;
        let mut orders = Vec::new();

        shop.set_time("2026-01-15T12:00:00Z");
        orders.push(buys(&shop, Some(&acme), &[(&more, 3), (&plain, 1)], ("approve", "65.00 USD"), None).await);
        buys(&shop, None, &[(&rust, 1)], ("decline", "100.00 USD"), None).await;
        // The last hour of January in UTC is February in Vienna.
        shop.set_time("2026-01-31T23:30:00Z");
        orders.push(buys(&shop, None, &[(&rust, 1)], ("refund_pending", "90.00 USD"), Some("TEN")).await);
        // One seat goes back in February.
        shop.set_time("2026-02-03T12:00:00Z");
        let [order, line] = [&orders[0]["id"], &orders[0]["lines"][0]["id"]];
        let refund =
            json!({ "orderId": order, "lines": [{ "orderLineId": line, "quantity": 1 }], "reason": "one too many", "idempotencyKey": "r" });
        shop.act(&shop.operator(), "orderRefund", refund, "").await;
        shop.jobs().await;
        Self { shop, acme, rust, orders }
    }
}

/// R46: sales by product code, company, product and month, in the shop's days; sold counts when it was paid, what went back when it did; a
/// declined order counts for nothing.
#[tokio::test]
async fn r46_sales_are_reported_by_product_code_company_product_and_period() {
    let Trade { shop, acme, rust, .. } = Trade::new().await;
    let all = || json!({ "firstDay": "2026-01-01", "lastDay": "2026-02-28" });
    // 100.00 and 3 × 20.00 under the one code, however it is written; 5.00 without a code.
    let codes = [row(Some("RUST"), (4, "160.00", "10.00", "150.00"), (1, "20.00")), row(None, (1, "5.00", "0.00", "5.00"), (0, "0.00"))];
    assert_eq!(rows(&shop, "PRODUCT_CODE", all()).await, codes);
    let companies =
        [row(None, (1, "100.00", "10.00", "90.00"), (0, "0.00")), row(Some("acme"), (4, "65.00", "0.00", "65.00"), (1, "20.00"))];
    assert_eq!(rows(&shop, "COMPANY", all()).await, companies);
    let products = [
        row(Some("RUST-1"), (1, "100.00", "10.00", "90.00"), (0, "0.00")),
        row(Some("RUST-2"), (3, "60.00", "0.00", "60.00"), (1, "20.00")),
        row(Some("PLAIN"), (1, "5.00", "0.00", "5.00"), (0, "0.00")),
    ];
    assert_eq!(rows(&shop, "PRODUCT", all()).await, products);
    let months = [
        row(Some("2026-01-01"), (4, "65.00", "0.00", "65.00"), (0, "0.00")),
        row(Some("2026-02-01"), (1, "100.00", "10.00", "90.00"), (1, "20.00")),
    ];
    assert_eq!(rows(&shop, "MONTH", all()).await, months);
    // A company's report is by the days of its zone: in New York its order was paid on 15 January, and there is nothing else.
    let mut days = rows(&shop, "DAY", json!({ "companyId": acme, "firstDay": "2026-01-14", "lastDay": "2026-01-16" })).await;
    let empty = |day| row(Some(day), (0, "0.00", "0.00", "0.00"), (0, "0.00"));
    assert_eq!(days.remove(1), row(Some("2026-01-15"), (4, "65.00", "0.00", "65.00"), (0, "0.00")));
    assert_eq!(days, [empty("2026-01-14"), empty("2026-01-16")]);
    let told = asked(&shop, &shop.operator(), "DAY", json!({ "companyId": acme, "firstDay": "2026-01-14", "lastDay": "2026-01-16" })).await;
    assert_eq!(told["timeZone"], "America/New_York");

    // Filters: by product, by code in any case, by days.
    assert_eq!(rows(&shop, "PRODUCT", json!({ "productId": rust })).await, products[..1]);
    assert_eq!(rows(&shop, "PRODUCT", json!({ "productCode": "Rust" })).await, products[..2]);
    let february = rows(&shop, "PRODUCT_CODE", json!({ "firstDay": "2026-02-01", "lastDay": "2026-02-01" })).await;
    assert_eq!(february, [row(Some("RUST"), (1, "100.00", "10.00", "90.00"), (0, "0.00"))]);
    assert!(rows(&shop, "PRODUCT_CODE", json!({ "firstDay": "2025-01-01", "lastDay": "2025-12-31" })).await.is_empty());
    let usual = asked(&shop, &shop.operator(), "PRODUCT_CODE", json!({})).await;
    assert_eq!(
        (&usual["firstDay"], &usual["lastDay"], &usual["timeZone"]),
        (&json!("2025-03-01"), &json!("2026-02-03"), &json!("Europe/Vienna"))
    );

    // Page by page, and as files.
    let first = shop.ok(&shop.operator(), REPORT, json!({ "filter": all(), "first": 1 })).await["salesReport"].clone();
    assert_eq!(
        (&first["pageInfo"]["hasNextPage"], &first["totalCount"], first["nodes"].as_array().map(Vec::len)),
        (&json!(true), &json!(2), Some(1))
    );
    let after = json!({ "filter": all(), "first": 1, "after": first["pageInfo"]["endCursor"] });
    let second = shop.ok(&shop.operator(), REPORT, after).await["salesReport"].clone();
    assert_eq!((read(&second["nodes"][0]), &second["pageInfo"]["hasNextPage"]), (codes[1].clone(), &json!(false)));
    let (_, _, reader) = key(&shop, &["reports:read"]).await;
    let expected = "product_code,currency,quantity,gross,discount,net,tax,total,refunded_quantity,refunded\n\
                    RUST,USD,4,160.00,10.00,150.00,0.00,150.00,1,20.00\n,USD,1,5.00,0.00,5.00,0.00,5.00,0,0.00\n";
    assert_eq!(file(&shop, &asked(&shop, &reader, "PRODUCT_CODE", all()).await["csvUrl"]).await, expected);
    let months = file(&shop, &asked(&shop, &reader, "MONTH", all()).await["csvUrl"]).await;
    assert_eq!(months.lines().nth(2), Some("2026-02-01,USD,1,100.00,10.00,90.00,0.00,90.00,1,20.00"));

    // A fixed number of statements, and what is wrong is told.
    let (_, few) = shop.counted(&shop.operator(), REPORT, json!({ "group": "PRODUCT" })).await;
    assert!(few <= 3, "{few} statements");
    for (group, filter) in [
        ("DAY", json!({ "firstDay": "2024-01-01", "lastDay": "2026-01-01" })),
        ("MONTH", json!({ "firstDay": "1990-01-01", "lastDay": "2026-01-01" })),
        ("COMPANY", json!({ "firstDay": "2026-01-02", "lastDay": "2026-01-01" })),
        ("COMPANY", json!({ "firstDay": "1066-10-14", "lastDay": "2026-01-01" })),
        ("COMPANY", json!({ "companyId": "nonsense" })),
        ("COMPANY", json!({ "productCode": "a\u{0}b" })),
    ] {
        let code = shop.top_level_code(&shop.operator(), REPORT, json!({ "group": group, "filter": filter })).await;
        assert_eq!(code, "BAD_INPUT", "{group} {filter}");
    }
}

/// R46: the totals are those of the orders and refunds, and the sum of the entries; also after a refund whose money came back, and after the
/// entries were made anew from the orders.
#[tokio::test]
async fn r46_every_figure_can_be_added_up_again() {
    let Trade { shop, orders, .. } = Trade::new().await;
    let (_, _, reader) = key(&shop, &["reports:read"]).await;
    let told = |report: &Value| read(&report["totals"][0]);
    let report = asked(&shop, &reader, "PRODUCT", json!({})).await;
    // 65.00 + 90.00 were paid, 20.00 went back.
    assert_eq!(told(&report), row(None, (5, "165.00", "10.00", "155.00"), (1, "20.00")));
    let seen = shop
        .ok(
            &shop.operator(),
            "{ orders { nodes { status total { amount } lines { quantity } refunds { status amount { amount } } } } }",
            json!({}),
        )
        .await;
    let cents = |amount: &Value| amount["amount"].as_str().expect("an amount").replace('.', "").parse::<i64>().expect("cents");
    let paid: Vec<&Value> =
        seen["orders"]["nodes"].as_array().expect("orders").iter().filter(|order| order["status"] != "LAPSED").collect();
    assert_eq!(paid.iter().map(|order| cents(&order["total"])).sum::<i64>(), 15_500);
    assert_eq!(
        paid.iter().flat_map(|order| order["refunds"].as_array().expect("refunds")).map(|refund| cents(&refund["amount"])).sum::<i64>(),
        2_000
    );

    let entries = file(&shop, &report["entriesCsvUrl"]).await;
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    let heading: Vec<&str> = entries.lines().next().expect("a heading").split(',').collect();
    for line in entries.lines().skip(1) {
        for (name, cell) in heading.iter().zip(line.split(',')) {
            if let Ok(number) = cell.replace('.', "").parse::<i64>() {
                *sums.entry(name).or_default() += number;
            }
        }
    }
    let added = ["quantity", "gross", "discount", "total", "refunded_quantity", "refunded"].map(|name| sums[name]);
    assert_eq!((entries.lines().count(), added), (5, [5, 16_500, 1_000, 15_500, 1, 2_000]));

    // A gateway takes a refund back on the next day: an entry more, and the day before is as it was.
    let payment = &orders[1]["payments"][0]["id"];
    let refund = json!({ "orderId": orders[1]["id"], "lines": [{ "orderLineId": orders[1]["lines"][0]["id"], "amount": amount("30.00 USD") }],
        "reason": "goodwill", "idempotencyKey": "r2" });
    shop.act(&shop.operator(), "orderRefund", refund, "").await;
    assert_eq!(told(&asked(&shop, &reader, "PRODUCT", json!({})).await).6, "20.00", "it is under way");
    let reference = shop.refund_reference(payment).await;
    shop.advance(payment, Step::CompleteRefund(reference.clone())).await;
    shop.webhooks().await;
    assert_eq!(told(&asked(&shop, &reader, "PRODUCT", json!({})).await).6, "50.00");
    shop.pass(TimeDelta::days(1));
    shop.advance(payment, Step::FailRefund(reference)).await;
    shop.webhooks().await;
    let after = asked(&shop, &reader, "DAY", json!({ "firstDay": "2026-02-03", "lastDay": "2026-02-04" })).await;
    let refunded: Vec<String> = after["nodes"].as_array().expect("days").iter().map(|day| read(day).6).collect();
    assert_eq!(refunded, ["50.00", "-30.00"]);
    assert_eq!(told(&after).6, "20.00");

    // A shop that sold before there were entries has them by its orders.
    let before = asked(&shop, &reader, "PRODUCT_CODE", json!({ "firstDay": "2026-01-01" })).await;
    loop {
        let down = migrate_down(&shop.app.db, 1).await.expect("a step is taken back");
        if down.iter().any(|name| name == "m0024_report") {
            break;
        }
    }
    migrate_up(&shop.app.db).await.expect("and done again");
    let again = asked(&shop, &reader, "PRODUCT_CODE", json!({ "firstDay": "2026-01-01" })).await;
    assert_eq!((&again["nodes"], &again["totals"]), (&before["nodes"], &before["totals"]));
}

/// Managers see their own company's sales, by hand and by key, and nobody else's; others nothing.
#[tokio::test]
async fn r46_managers_see_their_own_sales_alone() {
    let Trade { shop, acme, .. } = Trade::new().await;
    let (token, _) = manager(&shop, "boss@example.test", &acme).await;
    let boss = shop.bearer(&token).await;
    for filter in [json!({}), json!({ "companyId": acme })] {
        let report = asked(&shop, &boss, "COMPANY", filter).await;
        assert_eq!(
            report["nodes"].as_array().expect("rows").iter().map(read).collect::<Vec<_>>(),
            [row(Some("acme"), (4, "65.00", "0.00", "65.00"), (1, "20.00"))]
        );
        let entries = file(&shop, &report["entriesCsvUrl"]).await;
        assert_eq!((entries.lines().count(), entries.matches(",acme,").count()), (4, 3));
        assert!(file(&shop, &report["csvUrl"]).await.contains("acme,acme,USD,4,65.00"));
    }
    let by_key = asked(&shop, &shop.manager_key(&acme), "PRODUCT_CODE", json!({})).await;
    assert_eq!(read(&by_key["totals"][0]).4, "65.00");

    let elsewhere = Shelf(&shop).company("elsewhere", json!({})).await.to_string();
    let (token, _) = manager(&shop, "other@example.test", &elsewhere).await;
    let other = shop.bearer(&token).await;
    let asks = |company: &str| json!({ "filter": { "companyId": company } });
    assert_eq!(shop.top_level_code(&other, REPORT, asks(&acme)).await, "FORBIDDEN");
    assert_eq!(shop.top_level_code(&shop.manager_key(&elsewhere), REPORT, asks(&acme)).await, "FORBIDDEN");
    assert!(asked(&shop, &other, "COMPANY", json!({})).await["nodes"].as_array().is_some_and(Vec::is_empty));
    let (_, customer) = shop.sign_up("cid@example.test").await;
    assert_eq!(shop.top_level_code(&shop.bearer(&customer).await, REPORT, json!({})).await, "FORBIDDEN");
    assert_eq!(shop.top_level_code(&shop.key(&["orders:read"]), REPORT, json!({})).await, "FORBIDDEN");
    assert_eq!(shop.top_level_code(&shop.guest(), REPORT, json!({})).await, "UNAUTHENTICATED");
    // Of two companies one has to be named; who manages none any more has no link that works.
    let (account, token) = (other.account().expect("an account").to_string(), token);
    let link = asked(&shop, &other, "COMPANY", json!({})).await["csvUrl"].as_str().expect("a link").to_owned();
    let input = json!({ "companyId": acme, "managers": [{ "accountId": account }] });
    shop.act(&shop.operator(), "companyMembersSet", input, "company { id }").await;
    assert_eq!(shop.top_level_code(&shop.bearer(&token).await, REPORT, json!({})).await, "BAD_INPUT");
    for company in [&acme, &elsewhere] {
        let input = json!({ "companyId": company, "remove": [{ "accountId": account }] });
        shop.act(&shop.operator(), "companyMembersSet", input, "company { id }").await;
    }
    assert_eq!(crate::export::get(&shop, &link, None).await.status(), 403);
}

/// The page of reports: charts without a script, for whom its link was made, for a while; its own links go on from there.
#[tokio::test]
async fn r46_the_page_of_reports_draws_the_same_figures() {
    let Trade { shop, acme, .. } = Trade::new().await;
    let (_, _, reader) = key(&shop, &["reports:read"]).await;
    let router: Router = reports::routes(&shop.app, false);
    let get = async |url: &str, bearer: Option<&str>| {
        let mut request = Request::get(url.trim_start_matches("http://127.0.0.1:8080"));
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let answer = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("routers do not fail");
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.expect("a page");
        (status, String::from_utf8(body.into()).expect("UTF-8"))
    };
    let report = asked(&shop, &reader, "COMPANY", json!({ "firstDay": "2026-01-01", "lastDay": "2026-03-31" })).await;
    let link = report["pageUrl"].as_str().expect("a link").to_owned();
    let (status, page) = get(&link, None).await;
    assert_eq!(status, 200, "{page}");
    for shown in [
        "<svg",
        "2026-01-01 to 2026-03-31 (Europe&#x2f;Vienna)",
        ">RUST</a>",
        ">acme</a>",
        "<dd>155.00</dd>",
        "<td>2026-02</td>",
        "viewport",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // 90.00 is the longest bar: all of the height; 65.00 is 65 · 160 / 90 = 115 of it.
    assert!(page.contains("height=\"160\"") && page.contains("height=\"115\""), "{page}");
    assert!(!page.contains("<script") && !page.contains("onclick"), "no script");
    // Its links are signed for the same reader and lead on: to the company alone.
    let to_company = page.split("href=\"").find(|rest| rest.split("</a>").next().is_some_and(|text| text.ends_with(">acme")));
    let href = to_company.and_then(|rest| rest.split('"').next()).expect("a link").replace("&amp;", "&").replace("&#x2f;", "/");
    let (status, page) = get(&href, None).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("<b>acme</b>") && page.contains("<dd>65.00</dd>") && !page.contains("155.00"), "{page}");

    let manager_link = {
        let (token, _) = manager(&shop, "boss@example.test", &acme).await;
        let boss = shop.bearer(&token).await;
        assert_eq!(get("/reports", Some(&token)).await.0, 200, "by the header too");
        asked(&shop, &boss, "COMPANY", json!({})).await["pageUrl"].as_str().expect("a link").to_owned()
    };
    let (status, page) = get(&manager_link, None).await;
    assert!(status == 200 && page.contains("<dd>65.00</dd>") && !page.contains("155.00"), "{page}");
    // Nobody else.
    assert_eq!(get("/reports", None).await.0, 401);
    let (_, customer) = shop.sign_up("cid@example.test").await;
    assert_eq!(get("/reports", Some(&customer)).await.0, 403);
    assert_eq!(get(&format!("{link}x"), None).await.0, 403);
    assert_eq!(get("/reports?firstDay=yesterday", None).await.0, 400);
    shop.pass(TimeDelta::minutes(15));
    let (status, page) = get(&link, None).await;
    assert!(status == 410 && page.contains("pageUrl"), "{page}");
}

/// What `bursar seed sales` invents adds up, goes into a shop without orders alone, and is in the reports and lists.
#[tokio::test]
async fn invented_sales_are_as_many_as_were_asked_for() {
    let shop = TestApp::new().await;
    let nothing = shop.app.seed_sales(10, 25, &|_| {}).await.expect_err("there is nothing to sell");
    assert!(nothing.to_string().contains("bursar seed"), "{nothing}");
    shop.app.seed_demo().await.expect("an empty shop takes the demo");
    assert!(shop.app.seed_sales(10, 9, &|_| {}).await.is_err(), "an order without a line");
    let told = std::sync::Mutex::new(Vec::new());
    shop.app.seed_sales(1_100, 2_750, &|written| told.lock().expect("a list").push(written)).await.expect("sales");
    assert_eq!(*told.lock().expect("a list"), [500, 1_000, 1_100]);
    assert!(shop.app.seed_sales(10, 25, &|_| {}).await.is_err(), "there are orders now");

    let all = json!({ "firstDay": "2023-01-01" });
    let report = asked(&shop, &shop.operator(), "MONTH", all.clone()).await;
    let seen = shop.ok(&shop.operator(), "{ orders(first: 1) { totalCount } }", json!({})).await;
    assert_eq!((&seen["orders"]["totalCount"], report["totalCount"].as_i64()), (&json!(1_100), Some(37)));
    let (_, _, reader) = key(&shop, &["reports:read"]).await;
    let entries = file(&shop, &asked(&shop, &reader, "COMPANY", all).await["entriesCsvUrl"]).await;
    assert_eq!(entries.lines().count(), 2_751);
}
