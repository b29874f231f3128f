//! Enrolling without a cart: past the payment on purpose, in what is free, one by one and by files.

use std::time::Instant;

use bursar::app::caller::Caller;
use bursar::app::import::enrollment::{EnrollmentImport, EnrollmentReport};
use domain::enrolling::Verdict;
use entity::{account, cart, enrollment, entitlement, order};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::offer::Shelf;
use crate::process::Place;
use crate::session::{event, taken};
use crate::util::{TestApp, amount, id};

const DONE: &str =
    "enrollment { id status title } entitlement { source reason orderId status endsAt target { kind } } accountId orderId already
    offer { sku url } replayed";
const ORDER: &str =
    "query($id: ID!) { order(id: $id) { status bypass bypassReason placedBy total { amount } paidAt fulfilledAt payments { id }
    lines { sku title total { amount } sessionId } buyer { email name } accountId companyId } }";

/// A course that is sold alone at this price; its id.
async fn sold(shop: &TestApp, key: &str, price: &str) -> String {
    let made = shop.act(&shop.operator(), "courseCreate", json!({ "title": format!("Course {key}"), "key": key }), "course { id }").await;
    let course = id(&made["course"]);
    let set = json!({ "courseId": course, "enabled": true, "sku": key, "prices": [amount(price)], "days": 30 });
    shop.act(&shop.operator(), "courseCommerceSet", set, "").await;
    course
}

fn wish(email: &str, target: Value, bypass: bool, key: &str) -> Value {
    let reason = bypass.then_some("won a prize");
    json!({ "email": email, "name": "Ann", "target": target, "paymentBypass": bypass, "reason": reason, "idempotencyKey": key })
}

async fn enrol(shop: &TestApp, caller: &Caller, input: Value) -> Value {
    shop.act(caller, "enrollmentCreate", input, DONE).await
}

async fn refusal(shop: &TestApp, caller: &Caller, input: Value) -> Value {
    let query = "mutation($input: EnrollmentCreateInput!) { enrollmentCreate(input: $input) { orderId offer { sku url } userErrors { code field message } } }";
    let answer = shop.run(caller, query, json!({ "input": input })).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    answer["data"]["enrollmentCreate"].clone()
}

/// Rows of accounts, carts, orders, entitlements and enrollments.
async fn rows(shop: &TestApp) -> [u64; 5] {
    let db = shop.app.db.read();
    [
        account::Entity::find().count(db).await.expect("counted"),
        cart::Entity::find().count(db).await.expect("counted"),
        order::Entity::find().count(db).await.expect("counted"),
        entitlement::Entity::find().count(db).await.expect("counted"),
        enrollment::Entity::find().count(db).await.expect("counted"),
    ]
}

/// R13, R14: a bypass gives access by an order of nothing that says who did it and why; without one it is PAYMENT_REQUIRED with what to buy, and
/// nothing is made; a replay gives the same answer.
#[tokio::test]
async fn r13_r14_a_bypass_is_an_order_of_nothing_with_actor_and_reason() {
    let shop = TestApp::new().await;
    let course = sold(&shop, "ADA", "49.00 USD").await;
    let operator = shop.operator();
    let target = json!({ "courseId": course });
    let before = rows(&shop).await;
    let refused = refusal(&shop, &operator, wish("ann@example.test", target.clone(), false, "k0")).await;
    assert_eq!(
        (&refused["userErrors"][0]["code"], &refused["userErrors"][0]["field"]),
        (&json!("PAYMENT_REQUIRED"), &json!(["paymentBypass"]))
    );
    assert_eq!(refused["offer"], json!({ "sku": "ADA", "url": "http://127.0.0.1:8080/form/ADA" }));
    assert_eq!(rows(&shop).await, before, "nothing was made");

    let done = enrol(&shop, &operator, wish("ann@example.test", target.clone(), true, "k1")).await;
    assert_eq!((&done["enrollment"]["status"], &done["enrollment"]["title"]), (&json!("NOT_STARTED"), &json!("Course ADA")));
    assert_eq!((&done["already"], &done["replayed"]), (&json!(false), &json!(false)));
    let given = &done["entitlement"];
    assert_eq!((&given["source"], &given["reason"], &given["status"]), (&json!("BYPASS"), &json!("won a prize"), &json!("LIVE")));
    assert_eq!(given["endsAt"], "2026-01-31T00:00:00+00:00", "the days of the product");
    let order = shop.ok(&operator, ORDER, json!({ "id": done["orderId"] })).await["order"].clone();
    assert_eq!((&order["status"], &order["bypass"], &order["bypassReason"]), (&json!("FULFILLED"), &json!(true), &json!("won a prize")));
    assert_eq!((&order["total"]["amount"], &order["payments"]), (&json!("0.00"), &json!([])));
    assert_eq!(order["placedBy"], operator.actor());
    assert_eq!(order["lines"][0]["sku"], "ADA");
    assert_eq!(order["buyer"], json!({ "email": "ann@example.test", "name": "Ann" }));

    let after = rows(&shop).await;
    let again = enrol(&shop, &operator, wish("ann@example.test", target.clone(), true, "k1")).await;
    assert_eq!((&again["replayed"], &again["orderId"]), (&json!(true), &done["orderId"]));
    let mut mismatch = wish("ann@example.test", target.clone(), true, "k1");
    mismatch["reason"] = json!("another one");
    assert_eq!(refusal(&shop, &operator, mismatch).await["userErrors"][0]["code"], "IDEMPOTENCY_MISMATCH");
    let new_key = enrol(&shop, &operator, wish("Ann@example.test", target.clone(), true, "k2")).await;
    assert_eq!((&new_key["already"], &new_key["orderId"]), (&json!(true), &Value::Null));
    // False takes nothing away, and says that the access is there.
    let kept = enrol(&shop, &operator, wish("ann@example.test", target, false, "k3")).await;
    assert_eq!(
        (&kept["already"], &kept["entitlement"]["status"], &kept["enrollment"]["id"]),
        (&json!(true), &json!("LIVE"), &done["enrollment"]["id"])
    );
    assert_eq!(rows(&shop).await, after);

    // The account is the learner's: the mailed link signs in to it.
    let redeem = "mutation($input: AccountLinkRedeemInput!) { accountLinkRedeem(input: $input) { account { id } userErrors { message } } }";
    let link = json!({ "input": { "token": shop.mailed_link("ann@example.test").await } });
    let signed_in = shop.ok(&shop.guest(), redeem, link).await;
    assert_eq!(signed_in["accountLinkRedeem"]["account"]["id"], done["accountId"]);
    // The books agree: a bypass is neither unpaid nor ungiven.
    let books = shop.ok(&operator, "{ paidNotGiven { number } givenNotPaid { entitlementId } }", json!({})).await;
    assert_eq!(books, json!({ "paidNotGiven": [], "givenNotPaid": [] }));
}

/// What is free needs no bypass; a bypass needs a reason; a bypass makes nobody a customer who has bought before.
#[tokio::test]
async fn free_courses_need_no_bypass_and_a_bypass_needs_a_reason() {
    let shop = TestApp::new().await;
    let free = sold(&shop, "FREE", "0 USD").await;
    let paid = sold(&shop, "PAID", "10 USD").await;
    let operator = shop.operator();
    let done = enrol(&shop, &operator, wish("ann@example.test", json!({ "courseId": free }), false, "k1")).await;
    let order = shop.ok(&operator, ORDER, json!({ "id": done["orderId"] })).await["order"].clone();
    assert_eq!((&order["bypass"], &order["bypassReason"], &order["status"]), (&json!(false), &Value::Null, &json!("FULFILLED")));
    assert_eq!(done["entitlement"]["source"], "ORDER_LINE");
    let mut unexplained = wish("bob@example.test", json!({ "courseId": paid }), true, "k2");
    unexplained["reason"] = json!("  ");
    assert_eq!(refusal(&shop, &operator, unexplained).await["userErrors"][0]["code"], "REQUIRED");

    enrol(&shop, &operator, wish("cid@example.test", json!({ "course": "paid" }), true, "k3")).await;
    shop.act(&operator, "couponCreate", json!({ "kind": "DISCOUNT", "codes": ["FIRST"], "percent": "50", "audience": "NEW" }), "").await;
    let (cart, secret) = shop.guest_cart(&["FREE", "PAID"]).await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "cid@example.test" }), "").await;
    shop.act(&guest, "cartCouponAdd", json!({ "cartId": cart, "code": "FIRST" }), "").await;
    let place = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": { "amount": "5.00", "currency": "USD" }, "idempotencyKey": "p" });
    let placed = shop.act(&guest, "orderPlace", place, "order { status }").await;
    assert_eq!(placed["order"]["status"], "FULFILLED", "whoever was let in without payment is still new");
}

/// R1, R13: libraries, groups and sessions too; a course that was never sold alone; a session uses a seat and is never overfilled.
#[tokio::test]
async fn r13_whatever_is_learnt_can_be_given_without_payment() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let book = shop.course("Book").await;
    shop.library("LIB", "Books", "5 USD", &[&book]).await;
    let group = json!({ "title": "Club", "commerce": { "sku": "CLUB", "prices": [amount("5 USD")], "months": 1 } });
    let group = id(&shop.act(&operator, "groupCreate", group, "group { id }").await["group"]);
    let (conference, _, session) = event(&shop, "CONF", 1).await;
    shop.set_time("2026-01-31T12:00:00Z");
    for (key, target, kind) in [
        ("course", json!({ "courseId": book }), "COURSE"),
        ("library", json!({ "library": "lib" }), "LIBRARY"),
        ("group", json!({ "group": "CLUB" }), "GROUP"),
        ("session", json!({ "sessionId": session }), "SESSION"),
    ] {
        let done = enrol(&shop, &operator, wish("ann@example.test", target, true, key)).await;
        assert_eq!(done["entitlement"]["target"]["kind"], kind);
        assert_eq!(done["enrollment"].is_null(), ["library", "group"].contains(&key), "{key}");
        if kind == "GROUP" {
            // R12: calendar months in UTC, cut to the month's last day.
            assert_eq!(done["entitlement"]["endsAt"], "2026-02-28T12:00:00+00:00");
        }
    }
    assert_eq!(taken(&shop, &session).await, 1);
    let full = refusal(&shop, &operator, wish("bob@example.test", json!({ "sessionId": session }), true, "full")).await;
    assert_eq!(
        (&full["userErrors"][0]["code"], &full["userErrors"][0]["field"]),
        (&json!("SESSION_FULL"), &json!(["target", "sessionId"]))
    );
    assert_eq!(taken(&shop, &session).await, 1);
    for (target, expected) in [
        (json!({ "courseId": conference }), ("SESSION_REQUIRED", "courseId")),
        (json!({ "course": "NOTHING" }), ("NOT_FOUND", "course")),
        (json!({ "library": "CLUB" }), ("NOT_FOUND", "library")),
        (json!({ "groupId": "grp_01m88mdsqyeexs0j7wsy3h1qvs" }), ("NOT_FOUND", "groupId")),
    ] {
        let refused = refusal(&shop, &operator, wish("bob@example.test", target.clone(), true, "no")).await["userErrors"][0].clone();
        assert_eq!((&refused["code"], &refused["field"]), (&json!(expected.0), &json!(["target", expected.1])), "{target}");
    }
    // The course that was given before it was ever sold is sold from now on as if for the first time.
    let set = json!({ "courseId": book, "enabled": true, "sku": "BOOK", "prices": [amount("9 USD")] });
    let sold = shop.act(&operator, "courseCommerceSet", set.clone(), "course { commerce { product { sku listed } } }").await;
    assert_eq!(sold["course"]["commerce"]["product"], json!({ "sku": "BOOK", "listed": true }));
    assert_eq!(shop.denied(&operator, "courseCommerceSet", set).await[0].0, "CHANGE_ON_PRODUCT");
    shop.act(&operator, "groupArchive", json!({ "id": group }), "").await;
    let archived = refusal(&shop, &operator, wish("bob@example.test", json!({ "groupId": group }), true, "gone")).await;
    assert_eq!(archived["userErrors"][0]["code"], "ARCHIVED");
}

/// A manager enrols the learners of the company, in its name, and nobody else; customers enrol nobody.
#[tokio::test]
async fn managers_enrol_learners_of_their_company_only() {
    let shop = TestApp::new().await;
    let course = sold(&shop, "ADA", "49.00 USD").await;
    let company = Shelf(&shop).company("acme", json!({})).await.to_string();
    let (ann, ann_token) = shop.sign_up("ann@example.test").await;
    let (boss, token) = shop.sign_up("boss@example.test").await;
    let members = json!({ "companyId": company, "managers": [{ "accountId": boss }], "learners": [{ "accountId": ann }] });
    shop.act(&shop.operator(), "companyMembersSet", members, "").await;
    let boss = shop.bearer(&token).await;
    let target = json!({ "courseId": course });
    let stranger = refusal(&shop, &boss, wish("zoe@example.test", target.clone(), true, "k1")).await;
    assert_eq!((&stranger["userErrors"][0]["code"], &stranger["userErrors"][0]["field"]), (&json!("NOT_FOUND"), &json!(["email"])));
    let done = enrol(&shop, &boss, wish("ann@example.test", target.clone(), true, "k2")).await;
    let order = shop.ok(&boss, ORDER, json!({ "id": done["orderId"] })).await["order"].clone();
    assert_eq!((&order["companyId"], &order["placedBy"]), (&json!(company), &json!(boss.actor())));
    let ann = shop.bearer(&ann_token).await;
    let query = "mutation($input: EnrollmentCreateInput!) { enrollmentCreate(input: $input) { userErrors { code } } }";
    let variables = json!({ "input": wish("ann@example.test", target, true, "k3") });
    assert_eq!(shop.top_level_code(&ann, query, variables).await, "FORBIDDEN");
}

/// Enrolling the same learner at once by two operators gives one grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn enrolling_somebody_twice_at_once_gives_one_grant() {
    let shop = TestApp::new().await;
    let course = sold(&shop, "ADA", "49.00 USD").await;
    let operator = shop.operator();
    let wishes: Vec<Value> = (0..6).map(|key| wish("ann@example.test", json!({ "courseId": course }), true, &format!("k{key}"))).collect();
    // The account is there, so that all of them queue at it.
    shop.sign_up("ann@example.test").await;
    let answers = futures_util::future::join_all(wishes.into_iter().map(|wish| refusal(&shop, &operator, wish))).await;
    assert!(answers.iter().all(|answer| answer["userErrors"] == json!([])), "{answers:#?}");
    assert_eq!(answers.iter().filter(|answer| !answer["orderId"].is_null()).count(), 1);
    assert_eq!(rows(&shop).await[3], 1);
}

async fn import(shop: &TestApp, file: &[u8], options: EnrollmentImport) -> EnrollmentReport {
    shop.app.import_enrollments(&Caller::system(), file, &options, &|_, _| {}).await.expect("the file can be read")
}

fn verdicts(report: &EnrollmentReport) -> Vec<(u64, Verdict)> {
    report.rows.iter().map(|row| (row.line, row.verdict)).collect()
}

/// c33, R14: a spreadsheet's file as it comes: BOM, semicolons, CRLF, quotes, blank lines; the same by commas and tabs; sent twice it enrols nobody
/// twice.
#[tokio::test]
async fn c33_r14_a_spreadsheets_file_enrols_each_learner_once() {
    let shop = TestApp::new().await;
    sold(&shop, "C1", "49.00 USD").await;
    let file = "\u{feff}email;name;course;payment_bypass\r\nann@example.test;Ann;C1;True\r\nbo@example.test;\"Bo; Jr.\";C1;TRUE\r\n\r\n";
    let dry = import(&shop, file.as_bytes(), EnrollmentImport { dry_run: true, ..EnrollmentImport::default() }).await;
    assert_eq!(verdicts(&dry), [(2, Verdict::Enrolled), (3, Verdict::Enrolled)]);
    assert_eq!(rows(&shop).await, [0; 5], "a dry run does nothing");
    let report = import(&shop, file.as_bytes(), EnrollmentImport::default()).await;
    assert_eq!(verdicts(&report), [(2, Verdict::Enrolled), (3, Verdict::Enrolled)]);
    let read = "{ accounts(first: 10) { nodes { email name } } orders(first: 10) { nodes { bypass bypassReason placedBy } } }";
    let seen = shop.ok(&shop.operator(), read, json!({})).await;
    let mut people: Vec<(String, String)> = seen["accounts"]["nodes"]
        .as_array()
        .expect("accounts")
        .iter()
        .map(|account| (account["email"].as_str().expect("an email").to_owned(), account["name"].as_str().expect("a name").to_owned()))
        .collect();
    people.sort();
    let pair = |email: &str, name: &str| (email.to_owned(), name.to_owned());
    assert_eq!(people, [pair("ann@example.test", "Ann"), pair("bo@example.test", "Bo; Jr.")]);
    assert_eq!(seen["orders"]["nodes"][0], json!({ "bypass": true, "bypassReason": "imported from a file", "placedBy": "system" }));
    let before = rows(&shop).await;
    for same in
        [file.to_owned(), file.replace(';', ",").replace("Bo, Jr.", "Bo; Jr."), file.replace(';', "\t").replace("Bo\t Jr.", "Bo; Jr.")]
    {
        let again = import(&shop, same.as_bytes(), EnrollmentImport::default()).await;
        assert_eq!(verdicts(&again), [(2, Verdict::Already), (3, Verdict::Already)]);
    }
    assert_eq!(rows(&shop).await, before);

    // Somebody ended Ann's access since: the same file does not bring it back, however often it is sent.
    let me = "query($id: ID!) { node(id: $id) { ... on Entitlement { status } } }";
    let grants = entitlement::Entity::find().all(shop.app.db.read()).await.expect("read");
    let ended = domain::EntitlementId::new(grants[0].id).to_string();
    shop.act(&shop.operator(), "entitlementEnd", json!({ "entitlementId": ended, "reason": "left" }), "").await;
    import(&shop, file.as_bytes(), EnrollmentImport::default()).await;
    assert_eq!(rows(&shop).await, before);
    assert_eq!(shop.ok(&shop.operator(), me, json!({ "id": ended })).await["node"]["status"], "ENDED");
}

/// Each row has its verdict by its line; good ones go in beside bad ones; the report is a file for spreadsheets without formulas.
#[tokio::test]
async fn each_row_has_a_verdict_by_its_line() {
    let shop = TestApp::new().await;
    sold(&shop, "C1", "49.00 USD").await;
    sold(&shop, "FREE", "0 USD").await;
    let (_, _, session) = event(&shop, "CONF", 1).await;
    shop.library("LIB", "Books", "5 USD", &[&shop.course("Book").await]).await;
    let file = format!(
        "email,name,course,library,session,payment_bypass\n\
         ann@example.test,Ann,C1,,,true\n\
         ANN@example.test,Ann,c1,,,TRUE\n\
         bob@example.test,Bob,C1,,,\n\
         bob@example.test,Bob,C1,,,false\n\
         cid@example.test,Cid,FREE,,,\n\
         =cmd,Dan,C1,,,true\n\
         eve@example.test,Eve,NOPE,,,true\n\
         fay@example.test,Fay,C1,LIB,,true\n\
         gus@example.test,Gus,,,,true\n\
         hal@example.test,Hal,C1,,,yes\n\
         ida@example.test,Ida,,,{session},true\n\
         jim@example.test,Jim,,,{session},true\n\
         kim@example.test,\"Kim\nRay\",,lib,,true\n\
         lea@example.test,Lea,C1,,,true\n"
    );
    let report = import(&shop, file.as_bytes(), EnrollmentImport::default()).await;
    use Verdict::{Already, BadAddress, BadRow, Enrolled, PaymentRequired, Repeat, SessionFull, UnknownCourse};
    let expected = [
        (2, Enrolled),
        (3, Repeat),
        (4, PaymentRequired),
        (5, Repeat),
        (6, Enrolled),
        (7, BadAddress),
        (8, UnknownCourse),
        (9, BadRow),
        (10, BadRow),
        (11, BadRow),
        (12, Enrolled),
        (13, SessionFull),
        (14, BadRow),
        (16, Enrolled),
    ];
    assert_eq!(verdicts(&report), expected);
    let [people, _, orders, grants, _] = rows(&shop).await;
    assert_eq!((people, orders, grants), (4, 4, 4), "the others made nothing, not even accounts");
    assert_eq!(taken(&shop, &session).await, 1);
    let csv = report.csv();
    assert!(csv.starts_with("line,email,target,verdict,message\n2,ann@example.test,C1,enrolled,\n"), "{csv}");
    assert!(csv.contains("\n7,'=cmd,C1,bad_address,"), "{csv}");
    // R14: the same row comes again with true.
    let again =
        import(&shop, b"email,course,payment_bypass\nbob@example.test,C1,true\nann@example.test,C1,false\n", EnrollmentImport::default());
    assert_eq!(verdicts(&again.await), [(2, Enrolled), (3, Already)]);
}

/// Rows that mean the same by other names give one grant: a SKU and the one before it, a row without and one with a bypass.
#[tokio::test]
async fn rows_that_mean_the_same_give_one_grant() {
    let shop = TestApp::new().await;
    let (_, product) = shop.library("OLD", "Books", "0 USD", &[&shop.course("Book").await]).await;
    shop.act(&shop.operator(), "productUpdate", json!({ "id": product, "sku": "NEW" }), "").await;
    let file = "email,library,payment_bypass\nann@example.test,OLD,\nann@example.test,NEW,\nann@example.test,OLD,true\n";
    let report = import(&shop, file.as_bytes(), EnrollmentImport::default()).await;
    assert_eq!(verdicts(&report), [(2, Verdict::Enrolled), (3, Verdict::Already), (4, Verdict::Already)]);
    assert_eq!(rows(&shop).await[3], 1);
}

/// A course that is opened in every way there is: `accessExplain` names each grant with what gave it, since when and until when.
#[tokio::test]
async fn access_explain_names_every_kind_of_grant() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let course = sold(&shop, "FREE", "0 USD").await;
    shop.library("LIB", "Books", "5 USD", &[&course]).await;
    let (ann, token) = shop.sign_up("ann@example.test").await;
    enrol(&shop, &operator, wish("ann@example.test", json!({ "courseId": course }), false, "line")).await;
    enrol(&shop, &operator, wish("ann@example.test", json!({ "library": "LIB" }), true, "bypass")).await;
    let content = json!([{ "courseId": course, "opens": true }]);
    let hand = shop.act(&operator, "groupCreate", json!({ "title": "Hand", "content": content }), "group { id }").await;
    shop.act(&operator, "groupMembersAdd", json!({ "groupId": hand["group"]["id"], "accountIds": [ann] }), "").await;
    let rule = json!({ "attribute": { "name": "team", "value": "A" } });
    shop.act(&operator, "groupCreate", json!({ "title": "Rule", "kind": "AUTOMATIC", "rule": rule, "content": content }), "").await;
    shop.act(&operator, "accountAttributesSet", json!({ "accountId": ann, "attributes": [{ "name": "team", "value": "A" }] }), "").await;
    // A seat that the boss bought, by its token.
    let boss = shop.act(&shop.guest(), "cartCreate", json!({}), "cart { id } secret").await;
    let guest = shop.guest_with(boss["secret"].as_str().expect("a secret"));
    let offer = shop.ok(&shop.guest(), "{ offer(sku: \"LIB\") { id } }", json!({})).await["offer"]["id"].clone();
    let lines = json!({ "cartId": boss["cart"]["id"], "lines": [{ "productId": offer, "quantity": 1, "for": { "seats": true } }] });
    shop.act(&guest, "cartLinesSet", lines, "").await;
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": boss["cart"]["id"], "email": "boss@example.test" }), "").await;
    let place = json!({ "cartId": boss["cart"]["id"], "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": { "amount": "5.00", "currency": "USD" }, "idempotencyKey": "p" });
    let order = shop.act(&guest, "orderPlace", place, "order { receipt { lines { tokens } } }").await;
    let ann_caller = shop.bearer(&token).await;
    let code = &order["order"]["receipt"]["lines"][0]["tokens"][0];
    shop.act(&ann_caller, "tokenRedeem", json!({ "code": code, "idempotencyKey": "r" }), "token { status }").await;

    let query = "query($id: ID!) { accessExplain(courseId: $id) { open end grants { source target { kind title } why opens until } } }";
    let told = shop.ok(&ann_caller, query, json!({ "id": course })).await["accessExplain"].clone();
    let mut grants: Vec<(String, String, String)> = told["grants"]
        .as_array()
        .expect("grants")
        .iter()
        .map(|grant| {
            let text = |value: &Value| value.as_str().unwrap_or("rule").to_owned();
            (text(&grant["source"]), text(&grant["target"]["title"]), text(&grant["why"]))
        })
        .collect();
    grants.sort();
    let row = |source: &str, title: &str, why: &str| (source.to_owned(), title.to_owned(), why.to_owned());
    // The library has no end, so what comes after its first grant waits behind it.
    let expected = [
        row("BYPASS", "Books", "LIVE"),
        row("HAND", "Hand", "LIVE"),
        row("ORDER_LINE", "Course FREE", "LIVE"),
        row("TOKEN", "Books", "QUEUED"),
        row("rule", "Rule", "LIVE"),
    ];
    assert_eq!(grants, expected);
    assert_eq!((&told["open"], &told["end"]), (&json!(true), &json!("ENDLESS")));
}

/// A file that cannot be read as a whole is refused with its first bad line, and writes nothing; Windows-1250 is read where it is named.
#[tokio::test]
async fn broken_files_are_refused_and_encodings_are_named() {
    let shop = TestApp::new().await;
    sold(&shop, "C1", "49.00 USD").await;
    let operator = shop.operator();
    let query = "mutation($input: EnrollmentImportInput!) { enrollmentImport(input: $input) {
        report { dryRun rowCount counts { verdict rows } rows { line email target verdict message } resultCsv } userErrors { code field message } } }";
    for (csv, expected) in [
        ("", "is empty"),
        ("name,course\nAnn,C1\n", "no column email"),
        ("email,name\nann@example.test,Ann\n", "no column course"),
        ("email,course\nann@example.test,C1\nbo@example.test\n", "Line 3"),
        ("email,course\nann@example.test,\"C1\nbo@example.test,C1\n", "Line 2"),
    ] {
        let answer = shop.run(&operator, query, json!({ "input": { "csv": csv } })).await["data"]["enrollmentImport"].clone();
        let refusal = &answer["userErrors"][0];
        assert_eq!(refusal["code"], "INVALID", "{csv:?}");
        assert!(refusal["message"].as_str().is_some_and(|message| message.contains(expected)), "{refusal}");
    }
    assert_eq!(rows(&shop).await, [0; 5]);
    // "Łucja" in Windows-1250.
    let bytes = b"email;name;course;payment_bypass\nlucja@example.test;\xa3ucja;C1;true\n";
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    let unnamed = shop.run(&operator, query, json!({ "input": { "csvBase64": encoded } })).await["data"]["enrollmentImport"].clone();
    assert!(unnamed["userErrors"][0]["message"].as_str().is_some_and(|message| message.contains("Line 2 is not in UTF-8")), "{unnamed}");
    let input = json!({ "csvBase64": encoded, "encoding": "windows-1250", "reason": "class of 26" });
    let done = shop.ok(&operator, query, json!({ "input": input })).await["enrollmentImport"]["report"].clone();
    assert_eq!((&done["rowCount"], &done["counts"]), (&json!(1), &json!([{ "verdict": "ENROLLED", "rows": 1 }])));
    let seen = shop.ok(&operator, "{ accounts { nodes { name } } orders { nodes { bypassReason placedBy } } }", json!({})).await;
    assert_eq!(seen["accounts"]["nodes"][0]["name"], "Łucja");
    assert_eq!(seen["orders"]["nodes"][0], json!({ "bypassReason": "class of 26", "placedBy": operator.actor() }));
}

/// The command line: a dry run, the file, and the file again; progress and a report of the rows that were left out.
#[tokio::test]
async fn a_file_is_imported_on_the_command_line() {
    let here = Place::new().await;
    here.done(&["seed"]).await;
    let file = here.dir.path().join("learners.csv");
    std::fs::write(
        &file,
        "email,name,course,payment_bypass\nann@example.test,Ann,RUST-1,true\nbob,Bob,RUST-1,true\ncid@example.test,Cid,RUST-1,\n",
    )
    .expect("written");
    let (file, result) = (file.to_str().expect("a path"), here.dir.path().join("result.csv"));
    let dry = here.done(&["import", "enrollments", file, "--dry-run"]).await;
    assert_eq!(dry[0], "3 rows read, 1 would be enrolled, 0 there already", "{dry:?}");
    let done = here.done(&["import", "enrollments", file, "--reason", "class of 26", "--result", result.to_str().expect("a path")]).await;
    assert_eq!(done[0], "3 rows read, 1 enrolled, 0 there already", "{done:?}");
    assert!(done[1].starts_with("line 3: bob: bad_address: "), "{done:?}");
    assert!(done[2].starts_with("line 4: cid@example.test: payment_required: "), "{done:?}");
    assert_eq!(done[3], "2 rows left out");
    let written = std::fs::read_to_string(&result).expect("a result file");
    assert!(written.starts_with("line,email,target,verdict,message\n2,ann@example.test,RUST-1,enrolled,\n"), "{written}");
    assert_eq!(here.done(&["import", "enrollments", file]).await[0], "3 rows read, 0 enrolled, 1 there already");
    std::fs::write(here.dir.path().join("empty.csv"), "").expect("written");
    let said = here.fails(&["import", "enrollments", "empty.csv"]).await;
    assert!(said.contains("is empty"), "{said}");
}

/// A thousand rows go in within a bounded number of statements for each chunk, at a speed that keeps 50,000 below half a minute.
#[tokio::test]
async fn many_rows_cost_few_statements() {
    let shop = TestApp::new().await;
    sold(&shop, "C1", "49.00 USD").await;
    let file = |count: usize| {
        let rows: String = (0..count).map(|row| format!("learner{row}@example.test,Learner {row},C1,true\n")).collect();
        format!("email,name,course,payment_bypass\n{rows}")
    };
    let counted = async |rows: usize| {
        let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let file = file(rows);
        let report = bursar::store::STATEMENTS.scope(count.clone(), import(&shop, file.as_bytes(), EnrollmentImport::default())).await;
        assert_eq!(report.rows.len(), rows);
        count.load(std::sync::atomic::Ordering::Relaxed)
    };
    let began = Instant::now();
    let (few, many) = (counted(10).await, counted(1_000).await);
    assert!(many <= few * 5, "{few} statements for one chunk, {many} for four");
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert_eq!(rows(&shop).await[3], 1_000);
}

/// R2: a group that is not sold is joined by a file too, by its id: by hand, without an order, once however often the file is sent, with no need of a
/// bypass. Who is in an automatic group follows from its rule, and a group of the shop's own is no manager's to give.
#[tokio::test]
async fn r2_groups_that_are_not_sold_are_joined_by_file() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let ada = shop.course("Ada").await;
    let staff = json!({ "title": "Staff", "content": [{ "courseId": ada, "opens": true }] });
    let staff = id(&shop.act(&operator, "groupCreate", staff, "group { id }").await["group"]);
    let rule = json!({ "title": "Rule", "kind": "AUTOMATIC", "rule": { "emailDomain": "example.test" } });
    let rule = id(&shop.act(&operator, "groupCreate", rule, "group { id }").await["group"]);
    let file = format!(
        "email,name,group,payment_bypass\nann@example.test,Ann,{staff},\nbo@example.test,Bo,{staff},true\nann@example.test,Ann,{rule},\n\
         cid@example.test,Cid,grp_01m88mdsqyeexs0j7wsy3h1qvs,\nbad,Dan,{staff},\n"
    );
    let expected = [
        (2, Verdict::Enrolled),
        (3, Verdict::Enrolled),
        (4, Verdict::UnknownCourse),
        (5, Verdict::UnknownCourse),
        (6, Verdict::BadAddress),
    ];
    let dry = import(&shop, file.as_bytes(), EnrollmentImport { dry_run: true, ..EnrollmentImport::default() }).await;
    assert_eq!((verdicts(&dry).as_slice(), rows(&shop).await), (&expected[..], [0; 5]));
    let report = import(&shop, file.as_bytes(), EnrollmentImport::default()).await;
    assert_eq!(verdicts(&report), expected);
    assert!(report.rows[2].message.contains("AUTOMATIC"), "{}", report.rows[2].message);
    assert_eq!(rows(&shop).await, [2, 0, 0, 2, 0], "two accounts, two grants, and no order");
    let members = "query($id: ID!) { group(id: $id) { members { totalCount nodes { source until } } } }";
    let seen = shop.ok(&operator, members, json!({ "id": staff })).await["group"]["members"].clone();
    assert_eq!((&seen["totalCount"], &seen["nodes"][0]), (&json!(2), &json!({ "source": "HAND", "until": null })));
    let again = import(&shop, file.as_bytes(), EnrollmentImport::default()).await;
    assert_eq!(verdicts(&again)[..2], [(2, Verdict::Already), (3, Verdict::Already)]);
    let take_out = json!({ "groupId": staff, "emails": ["bo@example.test"] });
    shop.act(&operator, "groupMembersRemove", take_out, "group { id }").await;
    let again = import(&shop, file.as_bytes(), EnrollmentImport::default()).await;
    assert_eq!((verdicts(&again)[1], rows(&shop).await[3]), ((3, Verdict::Already), 2), "the same file does not bring anybody back");

    let done = enrol(&shop, &operator, wish("dee@example.test", json!({ "groupId": staff }), false, "dee")).await;
    assert_eq!((&done["already"], &done["orderId"], &done["entitlement"]["source"]), (&json!(false), &Value::Null, &json!("HAND")));
    let replay = enrol(&shop, &operator, wish("dee@example.test", json!({ "groupId": staff }), false, "dee")).await;
    assert_eq!((&replay["replayed"], &replay["already"]), (&json!(true), &json!(false)));
    let automatic = refusal(&shop, &operator, wish("dee@example.test", json!({ "groupId": rule }), false, "rule")).await;
    assert_eq!(automatic["userErrors"][0]["code"], "GROUP_NOT_MANUAL");

    let company = Shelf(&shop).company("acme", json!({})).await.to_string();
    let (boss, token) = shop.sign_up("boss@example.test").await;
    let learner = json!({ "companyId": company, "managers": [{ "accountId": boss }], "learners": [{ "email": "ann@example.test" }] });
    shop.act(&operator, "companyMembersSet", learner, "").await;
    let boss = shop.bearer(&token).await;
    let refused = refusal(&shop, &boss, wish("ann@example.test", json!({ "groupId": staff }), true, "boss")).await;
    assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND", "{refused:#}");
}

/// A manager gives no course that is hidden from the company's learners, whether it was ever sold or not.
#[tokio::test]
async fn managers_enrol_in_nothing_that_is_hidden_from_their_learners() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let (sold, unsold) = (sold(&shop, "SOLD", "49.00 USD").await, shop.course("Unsold").await);
    let company = Shelf(&shop).company("acme", json!({})).await.to_string();
    let (boss, token) = shop.sign_up("boss@example.test").await;
    let (ann, _) = shop.sign_up("ann@example.test").await;
    let members = json!({ "companyId": company, "managers": [{ "accountId": boss }], "learners": [{ "accountId": ann }] });
    shop.act(&operator, "companyMembersSet", members, "").await;
    let boss = shop.bearer(&token).await;
    let hide = json!({ "title": "Inner circle", "content": [{ "courseId": sold, "sees": true }, { "courseId": unsold, "sees": true }] });
    let group = id(&shop.act(&operator, "groupCreate", hide, "group { id }").await["group"]);
    for course in [&sold, &unsold] {
        let refused = refusal(&shop, &boss, wish("ann@example.test", json!({ "courseId": course }), true, course)).await;
        assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND", "{refused:#}");
    }
    shop.act(&operator, "groupMembersAdd", json!({ "groupId": group, "accountIds": [ann] }), "").await;
    for course in [&sold, &unsold] {
        let done = enrol(&shop, &boss, wish("ann@example.test", json!({ "courseId": course }), true, course)).await;
        assert_eq!(done["entitlement"]["source"], "BYPASS");
    }
}
