//! Courses from spreadsheets: what is made, what is reported, and that a broken file changes nothing. The real catalogue is imported where its
//! file is found beside the repository; otherwise that test says that it was left out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use bursar::app::caller::Caller;
use bursar::app::import::{CourseImport, ImportReport, RowNote};
use bursar::error::Error;
use bursar::store::product::stale;
use serde_json::{Value, json};

use crate::process::{Place, bearer};
use crate::util::TestApp;

async fn import(shop: &TestApp, file: &str, options: CourseImport) -> ImportReport {
    shop.app.import_courses(&Caller::system(), file.as_bytes(), &options, &|_, _| {}).await.expect("the file can be read")
}

fn note(line: u64, id: &str, reason: &str) -> RowNote {
    RowNote { line, id: id.to_owned(), reason: reason.to_owned() }
}

async fn courses(shop: &TestApp) -> Value {
    let query =
        "{ courses(filter: { archived: WITH }) { nodes { key title kind description provider { name } commerce { enabled } libraries { id }
        product { sku listed terms { text } prices { amount { amount currency } } } } } }";
    shop.ok(&shop.operator(), query, json!({})).await["courses"]["nodes"].clone()
}

const FILE: &str = "\u{feff}key;title;description;provider;price;currency;kind\r\n\
    B-1;\"Banking; \"\"for all\"\"\";Money.;Ada;20;;\r\n\
    \r\n\
    a-2;เรียนภาษาไทย;;ada;0;EUR;exam\r\n\
    b-1;Banking again;;;1;;\r\n\
    c 3;Bad key;;;1;;\r\n\
    d-4; ;;;1;;\r\n\
    e-5;Bad price;;;1.005;;\r\n\
    f-6;No price;;;;;\r\n\
    g-7;Bad kind;;;1;;SONG\r\n\
    h-8;Bad currency;;;1;XYZ;\r\n";

/// R42: each good row becomes a course that is sold alone, with its product; bad rows are named by line and key; no library is made.
#[tokio::test]
async fn r42_rows_become_courses_with_products() {
    let shop = TestApp::new().await;
    let steps = Mutex::new(Vec::new());
    let report = shop
        .app
        .import_courses(&Caller::system(), FILE.as_bytes(), &CourseImport::default(), &|done, of| {
            steps.lock().expect("steps").push((done, of))
        })
        .await
        .expect("the file can be read");
    assert_eq!((report.rows, report.made, report.unchanged, report.different.len()), (9, 2, 0, 0));
    let bad: Vec<(u64, &str)> = report.bad.iter().map(|note| (note.line, note.id.as_str())).collect();
    assert_eq!(bad, [(5, "b-1"), (6, "c 3"), (7, "d-4"), (8, "e-5"), (9, "f-6"), (10, "g-7"), (11, "h-8")]);
    assert_eq!(report.bad[0], note(5, "b-1", "a repeat: line 2 has this key already; that row counts"));
    assert_eq!(*steps.lock().expect("steps"), [(7, 9), (9, 9)]);
    let made = courses(&shop).await;
    let course = |key: &str, title: &str, kind: &str, description: &str, amount: &str, currency: &str| {
        json!({
            "key": key, "title": title, "kind": kind, "description": description, "provider": {"name": "Ada"}, "commerce": {"enabled": true},
            "libraries": [],
            "product": {
                "sku": format!("C-{key}"), "listed": true, "terms": {"text": "without end"},
                "prices": [{"amount": {"amount": amount, "currency": currency}}],
            },
        })
    };
    assert_eq!(
        made,
        json!([
            course("B-1", "Banking; \"for all\"", "COURSE", "Money.", "20.00", "USD"),
            course("a-2", "เรียนภาษาไทย", "EXAM", "", "0.00", "EUR")
        ])
    );
    assert_eq!(stale(shop.app.db.read()).await.expect("read"), vec![]);
    // Sent again: nothing changes, and what differs stays as it is in the shop.
    let again = import(&shop, FILE, CourseImport::default()).await;
    assert_eq!((again.made, again.unchanged, again.bad.len()), (0, 2, 7));
    let other = import(&shop, "id,course_title,price\nb-1,Other,20\nA-2,เรียนภาษาไทย,5\n", CourseImport::default()).await;
    assert_eq!(
        other.different,
        [
            note(2, "b-1", "the shop has this course with another title; change it with courseUpdate"),
            note(3, "A-2", "the shop has this course with another price; change it with productPricesSet"),
        ]
    );
    assert_eq!(courses(&shop).await, made);
}

/// A dry run counts and writes nothing; options fill what rows leave out; a SKU that is taken is the row's fault.
#[tokio::test]
async fn options_and_dry_runs() {
    let shop = TestApp::new().await;
    let file = "key,title,price\n1,One,5\n2,Two,6\n";
    let dry = import(&shop, file, CourseImport { dry_run: true, ..CourseImport::default() }).await;
    assert_eq!((dry.made, courses(&shop).await), (2, json!([])));
    shop.library("c-2", "Takes the SKU", "1 USD", &[]).await;
    let options =
        CourseImport { provider: Some("Ada".to_owned()), currency: domain::Currency::parse("EUR").ok(), ..CourseImport::default() };
    let report = import(&shop, file, options).await;
    assert_eq!((report.made, report.bad.iter().map(|note| (note.line, note.id.as_str())).collect::<Vec<_>>()), (1, vec![(3, "2")]));
    let made = courses(&shop).await;
    assert_eq!(
        (&made[0]["provider"]["name"], &made[0]["product"]["prices"][0]["amount"]),
        (&json!("Ada"), &json!({"amount": "5.00", "currency": "EUR"}))
    );
}

/// What a file says in `is_paid` has to go with the price: a free row needs none, and one that contradicts itself is nobody's to guess.
#[tokio::test]
async fn a_row_that_is_free_needs_no_price_and_none_contradicts_itself() {
    let shop = TestApp::new().await;
    let file = "course_id,course_title,is_paid,price\n1,Free,False,0\n2,Free too,FALSE,\n3,Paid,true,20\n4,Not said,,5\n\
        5,Free at a price,False,20\n6,Paid at none,True,0\n7,No price,True,\n8,Perhaps,maybe,1\n";
    let report = import(&shop, file, CourseImport::default()).await;
    let bad: Vec<(u64, &str)> = report.bad.iter().map(|note| (note.line, note.reason.as_str())).collect();
    assert_eq!(bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [6, 7, 8, 9]);
    assert_eq!(bad[0].1, "the row says in is_paid that the course is free, and has a price; mend one of the two");
    assert_eq!(bad[1].1, "the row says in is_paid that the course is paid, and has no price; mend one of the two");
    assert!(bad[2].1.starts_with("the price: "), "{bad:?}");
    assert_eq!(bad[3].1, "is_paid is \"maybe\"; write True or False");
    let made = courses(&shop).await;
    let price = |course: &Value| course["product"]["prices"][0]["amount"]["amount"].clone();
    let prices: BTreeMap<String, Value> =
        made.as_array().expect("courses").iter().map(|course| (course["key"].as_str().expect("a key").to_owned(), price(course))).collect();
    assert_eq!(json!(prices), json!({ "1": "0.00", "2": "0.00", "3": "20.00", "4": "5.00" }));
}

/// Wrong columns, wrong encoding, a lone quote, empty: a clear sentence, and nothing changes.
#[tokio::test]
async fn broken_files_change_nothing() {
    let shop = TestApp::new().await;
    for (file, expected) in [
        (&b""[..], "empty"),
        (b"title,price\nOne,5\n", "no column with the course's key"),
        (b"key,name,price\n1,One,5\n", "no column with the title"),
        (b"key,title\n1,One\n", "no column with the price"),
        (b"key,title,price\n1,One,5\n2,Two\n", "Line 3 has 2 cells"),
        (b"key,title,price\n1,One,5\n2,\"Two,6\n", "Line 3 has a lone quote"),
        (b"key,title,price\n1,One,5\n2,T\xff,6\n", "Line 3 is not in UTF-8"),
    ] {
        let refused = shop.app.import_courses(&Caller::system(), file, &CourseImport::default(), &|_, _| {}).await;
        match refused {
            Err(Error::BadInput(message)) => assert!(message.contains(expected), "{message}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert_eq!(courses(&shop).await, json!([]));
    let file = b"key,title,price\n1,One,5\n";
    let guest = shop.app.import_courses(&Caller::guest(), file, &CourseImport::default(), &|_, _| {}).await;
    assert!(matches!(guest, Err(Error::Unauthenticated(_))));
}

/// The real catalogue: 3,678 rows make 3,672 courses and products, 6 are repeats; every title is intact; sent again, nothing changes.
#[tokio::test]
async fn the_real_catalogue_is_imported() {
    let Some(file) = real_catalogue().map(|path| std::fs::read(path).expect("it can be read")) else { return };
    let shop = TestApp::new().await;
    let begun = std::time::Instant::now();
    let report =
        shop.app.import_courses(&Caller::system(), &file, &CourseImport::default(), &|_, _| {}).await.expect("the file can be read");
    println!("imported in {:?}", begun.elapsed());
    assert_eq!((report.rows, report.made, report.unchanged, report.different.len()), (3_678, 3_672, 0, 0));
    let bad: Vec<(u64, &str, bool)> =
        report.bad.iter().map(|note| (note.line, note.id.as_str(), note.reason.starts_with("a repeat"))).collect();
    assert_eq!(
        bad,
        [(790, "837322"), (791, "1157298"), (897, "1035638"), (1_103, "1084454"), (1_476, "185526"), (2_568, "28295")]
            .map(|(line, id)| (line, id, true))
    );
    // The first row of each key, as the CSV reader gives it.
    let mut titles: BTreeMap<String, String> = BTreeMap::new();
    for record in csv::Reader::from_reader(file.as_slice()).records() {
        let record = record.expect("a row");
        titles.entry(record[0].to_owned()).or_insert_with(|| record[1].trim().to_owned());
    }
    let operator = shop.operator();
    let (mut after, mut seen) = (Value::Null, BTreeMap::new());
    loop {
        let query = "query($after: String) { courses(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes { key title product { listed } } } }";
        let page = shop.ok(&operator, query, json!({ "after": after })).await["courses"].clone();
        for node in page["nodes"].as_array().expect("nodes") {
            assert_eq!(node["product"]["listed"], json!(true));
            seen.insert(node["key"].as_str().expect("key").to_owned(), node["title"].as_str().expect("title").to_owned());
        }
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen, titles);
    let found = shop.ok(&shop.guest(), "{ offers(search: \"forex\") { totalCount } }", json!({})).await;
    assert_eq!(found["offers"]["totalCount"], json!(156));
    let again =
        shop.app.import_courses(&Caller::system(), &file, &CourseImport::default(), &|_, _| {}).await.expect("the file can be read");
    assert_eq!((again.made, again.unchanged, again.different.len(), again.bad), (0, 3_672, 0, report.bad));
}

/// The walk of a guest through the real catalogue, by HTTP alone: search, two courses in a cart, place, approve, receipt, own courses.
#[tokio::test]
async fn a_guest_buys_two_courses_of_the_real_catalogue() {
    let Some(path) = real_catalogue() else { return };
    let here = Place::new().await;
    let said = here.done(&["import", "courses", path.to_str().expect("a path in UTF-8")]).await.join("\n");
    for part in ["3678 rows read", "3672 courses made", "line 790", "837322", "line 2568", "28295"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let server = here.serve(&["--seed", "none"]).await;

    let search = "query($after: String) { offers(search: \"forex\", first: 100, after: $after) {
        totalCount pageInfo { hasNextPage endCursor } nodes { title id sku price { amount currency } } } }";
    let first = server.ok(&[], search, json!({})).await["offers"].clone();
    let second = server.ok(&[], search, json!({ "after": first["pageInfo"]["endCursor"] })).await["offers"].clone();
    assert_eq!((&first["totalCount"], &second["pageInfo"]["hasNextPage"]), (&json!(156), &json!(false)));
    let offers: Vec<Value> = [first, second].iter().flat_map(|page| page["nodes"].as_array().expect("nodes").clone()).collect();
    assert_eq!(offers.len(), 156);
    assert!(offers.iter().all(|offer| offer["title"].as_str().is_some_and(|title| title.to_lowercase().contains("forex"))));

    // Whole dollars, as in the file: 195 and 20.
    let priced = |amount: &str| {
        let price = json!({ "amount": amount, "currency": "USD" });
        offers.iter().find(|offer| offer["price"] == price).unwrap_or_else(|| panic!("one of them costs {amount}"))
    };
    let (dear, cheap) = (priced("195.00"), priced("20.00"));
    let create = "mutation { cartCreate(input: {}) { secret cart { id } userErrors { code field message } } }";
    let made = server.ok(&[], create, json!({})).await["cartCreate"].clone();
    let (cart, secret) = (made["cart"]["id"].clone(), made["secret"].as_str().expect("a secret").to_owned());
    let guest = [("Cart-Secret", secret.as_str())];
    let fill = "mutation($input: CartLinesSetInput!) { cartLinesSet(input: $input) {
        cart { total { amount } readiness { missing { code } } } userErrors { code field message } } }";
    let line = |offer: &Value| json!({ "productId": offer["id"], "for": { "self": true }, "quantity": 1 });
    let input = json!({ "input": { "cartId": cart, "lines": [line(dear), line(cheap)] } });
    let filled = server.ok(&guest, fill, input).await["cartLinesSet"]["cart"].clone();
    assert_eq!(filled, json!({ "total": { "amount": "215.00" }, "readiness": { "missing": [{ "code": "BUYER_MISSING" }] } }));
    let buyer = "mutation($input: CartBuyerSetInput!) { cartBuyerSet(input: $input) { cart { readiness { ready } } userErrors { code field message } } }";
    let input = json!({ "input": { "cartId": cart, "email": "ann@example.test", "name": "Ann Buyer" } });
    assert_eq!(server.ok(&guest, buyer, input).await["cartBuyerSet"]["cart"]["readiness"]["ready"], true);

    let place = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
        order { id status payments { id status } } userErrors { code field message } } }";
    let input = json!({ "input": { "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "pending" },
        "expectedTotal": { "amount": "215.00", "currency": "USD" }, "idempotencyKey": "forex" } });
    let order = server.ok(&guest, place, input).await["orderPlace"]["order"].clone();
    assert_eq!((&order["status"], &order["payments"][0]["status"]), (&json!("PENDING_PAYMENT"), &json!("PROCESSING")));
    let page = format!("/sandbox/{}", order["payments"][0]["id"].as_str().expect("an id"));
    assert_eq!(server.post(&page).form(&[("action", "approve")]).send().await.expect("an answer").status(), 303);

    let titles = [&dear["title"], &cheap["title"]];
    let read = "query($id: ID!) { order(id: $id) { status receipt { signInUrl lines { title courses { title } } } } }";
    let receipt = loop {
        let order = server.ok(&guest, read, json!({ "id": order["id"] })).await["order"].clone();
        if order["status"] == "FULFILLED" {
            break order["receipt"].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let lines: Vec<Value> = titles.iter().map(|title| json!({ "title": title, "courses": [{ "title": title }] })).collect();
    assert_eq!(receipt["lines"], Value::from(lines));

    let token = receipt["signInUrl"].as_str().and_then(|link| link.rsplit('/').next()).expect("a link");
    let redeem = "mutation($input: AccountLinkRedeemInput!) { accountLinkRedeem(input: $input) { token userErrors { code } } }";
    let redeemed = server.ok(&[], redeem, json!({ "input": { "token": token } })).await["accountLinkRedeem"].clone();
    let learner = bearer(redeemed["token"].as_str().expect("a sign-in"));
    let mine = server.ok(&[("Authorization", &learner)], "{ me { courses { nodes { title } } } }", json!({})).await;
    let mut open: Vec<Value> = mine["me"]["courses"]["nodes"].as_array().expect("a list").clone();
    open.sort_by_key(|course| course["title"] == *titles[1]);
    assert_eq!(open, titles.map(|title| json!({ "title": title })));
    server.stop().await;
}

/// The file of the real catalogue, where it is found.
fn real_catalogue() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/udemy_courses.csv");
    if !path.is_file() {
        println!("left out: the real catalogue is not beside the repository ({})", path.display());
        return None;
    }
    Some(path)
}
