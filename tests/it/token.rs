//! Seats: bought as tokens, redeemed once each, given another code, refunded.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bursar::app::caller::Caller;
use entity::entitlement;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::util::{TestApp, id};

const REDEEM: &str = "mutation($code: String!, $key: String!) { tokenRedeem(input: { code: $code, idempotencyKey: $key }) {
    token { id status } replayed userErrors { code field message } } }";
const COURSES: &str = "{ me { courses { nodes { title } } } }";

/// An order of seats in a library of two courses at 10.00, and the codes on its receipt.
async fn seats(shop: &TestApp, quantity: u32) -> (Value, Vec<String>) {
    seats_for(shop, quantity, None).await
}

/// The same, bought for a company.
async fn seats_for(shop: &TestApp, quantity: u32, company: Option<&str>) -> (Value, Vec<String>) {
    let product = shop.shelf("SEATS", "10.00", &["Ada", "Basic"]).await;
    let input = json!({ "context": { "companyId": company } });
    let made = shop.act(&shop.guest(), "cartCreate", input, "cart { id } secret").await;
    let guest = shop.guest_with(made["secret"].as_str().expect("a secret"));
    let set = "mutation($input: CartLinesSetInput!) { cartLinesSet(input: $input) { userErrors { code field message } } }";
    let line = json!({ "productId": product, "quantity": quantity, "for": { "seats": true } });
    shop.ok(&guest, set, json!({ "input": { "cartId": made["cart"]["id"], "lines": [line] } })).await;
    let buyer = "mutation($input: CartBuyerSetInput!) { cartBuyerSet(input: $input) { userErrors { code field message } } }";
    shop.ok(&guest, buyer, json!({ "input": { "cartId": made["cart"]["id"], "email": "boss@example.test", "name": "Boss" } })).await;
    let place = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
        order { id status lines { id } receipt { lines { tokens } } } userErrors { code field message } } }";
    let input = json!({ "input": {
        "cartId": made["cart"]["id"], "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": { "amount": format!("{}.00", quantity * 10), "currency": "USD" }, "idempotencyKey": "k" } });
    let order = shop.ok(&guest, place, input).await["orderPlace"]["order"].clone();
    let codes = order["receipt"]["lines"][0]["tokens"].as_array().expect("codes").iter();
    (order.clone(), codes.map(|code| code.as_str().expect("a code").to_owned()).collect())
}

/// R3, R56, R57, R62: seats are tokens; the buyer takes none; each opens every course of the library for one learner, once.
#[tokio::test]
async fn r3_r56_r57_r62_a_seat_opens_all_courses_for_one_learner_once() {
    let shop = TestApp::new().await;
    let (order, codes) = seats(&shop, 3).await;
    assert_eq!((order["status"].as_str(), codes.len()), (Some("FULFILLED"), 3));
    assert_eq!(shop.live_grants(order["id"].as_str().expect("an id")).await, 0);

    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    let bob = shop.bearer(&shop.sign_up("bob@example.test").await.1).await;
    let typed = codes[0].to_lowercase().replace('-', " ");
    let redeemed = shop.ok(&ann, REDEEM, json!({ "code": typed, "key": "a" })).await["tokenRedeem"].clone();
    assert_eq!((redeemed["token"]["status"].as_str(), redeemed["replayed"].as_bool()), (Some("REDEEMED"), Some(false)));
    let again = shop.ok(&ann, REDEEM, json!({ "code": codes[0], "key": "a" })).await["tokenRedeem"].clone();
    assert_eq!(again["replayed"], true);
    assert_eq!(shop.ok(&ann, COURSES, json!({})).await["me"]["courses"]["nodes"], json!([{ "title": "Ada" }, { "title": "Basic" }]));
    assert_eq!(shop.refused(&bob, REDEEM, json!({ "code": codes[0], "key": "b" })).await, [("TOKEN_USED".to_owned(), "code".to_owned())]);

    // Two at once for one seat: one has it.
    let (one, two) = tokio::join!(
        shop.run(&ann, REDEEM, json!({ "code": codes[1], "key": "c" })),
        shop.run(&bob, REDEEM, json!({ "code": codes[1], "key": "c" })),
    );
    let codes_of = |answer: &Value| answer["data"]["tokenRedeem"]["userErrors"][0]["code"].clone();
    let mut outcomes = [codes_of(&one), codes_of(&two)];
    outcomes.sort_by_key(Value::to_string);
    assert_eq!(outcomes, [json!("TOKEN_USED"), Value::Null]);
}

/// R62: a code that leaked is exchanged for a fresh one of the same seat.
#[tokio::test]
async fn r62_a_revoked_code_is_dead_and_its_seat_has_a_fresh_one() {
    let shop = TestApp::new().await;
    let (order, codes) = seats(&shop, 1).await;
    let operator = shop.operator();
    let list = "query($order: ID) { tokens(orderId: $order) { nodes { id status code seat } } }";
    let token = shop.ok(&operator, list, json!({ "order": order["id"] })).await["tokens"]["nodes"][0].clone();
    let revoke = "mutation($input: TokenRevokeInput!) { tokenRevoke(input: $input) { token { status code seat } userErrors { code field message } } }";
    let fresh = shop.ok(&operator, revoke, json!({ "input": { "tokenId": token["id"] } })).await["tokenRevoke"]["token"].clone();
    assert_eq!((fresh["status"].as_str(), fresh["seat"].as_i64()), (Some("FREE"), Some(1)));
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    assert_eq!(shop.refused(&ann, REDEEM, json!({ "code": codes[0], "key": "a" })).await[0].0, "TOKEN_VOID");
    shop.ok(&ann, REDEEM, json!({ "code": fresh["code"], "key": "b" })).await;
    assert_eq!(shop.refused(&ann, revoke, json!({ "input": { "tokenId": token["id"] } })).await[0].0, "NOT_FOUND");
}

/// Guesses at codes get one answer, and soon none.
#[tokio::test]
async fn guesses_at_codes_are_refused_alike_and_then_slowed_down() {
    let shop = TestApp::new().await;
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    for guess in 0..10 {
        let code = format!("000000-000000-0000{guess:02}");
        assert_eq!(shop.refused(&ann, REDEEM, json!({ "code": code, "key": code })).await[0].0, "TOKEN_INVALID");
    }
    assert_eq!(shop.top_level_code(&ann, REDEEM, json!({ "code": "000000-000000-000099", "key": "z" })).await, "RATE_LIMITED");
}

/// R62: however many redeem a seat at the same instant, one of them has it, and one grant is in the books.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r62_of_many_who_redeem_a_seat_at_once_one_has_it() {
    let shop = Arc::new(TestApp::new().await);
    let (_, codes) = seats(&shop, 1).await;
    let mut learners = Vec::new();
    for place in 0..8 {
        learners.push(shop.bearer(&shop.sign_up(&format!("learner{place}@example.test")).await.1).await);
    }
    let tasks: Vec<_> = learners
        .into_iter()
        .map(|learner| {
            let (shop, code) = (shop.clone(), codes[0].clone());
            tokio::spawn(async move { shop.run(&learner, REDEEM, json!({ "code": code, "key": "k" })).await })
        })
        .collect();
    let (mut redeemed, mut used) = (0, 0);
    for task in tasks {
        let answer = task.await.expect("answered");
        match answer["data"]["tokenRedeem"]["userErrors"][0]["code"].as_str() {
            None if answer["data"]["tokenRedeem"]["token"]["status"] == "REDEEMED" => redeemed += 1,
            Some("TOKEN_USED") => used += 1,
            _ => panic!("{answer:#}"),
        }
    }
    assert_eq!((redeemed, used), (1, 7));
    assert_eq!(entitlement::Entity::find().count(shop.app.db.read()).await.expect("counted"), 1);
}

/// C25, R62: refunding named seats ends what they gave; refunding units voids unused seats, the newest first; the rest voids the rest and ends
/// all that redeemed seats gave.
#[tokio::test]
async fn c25_r62_refunds_of_seats_void_codes_and_end_what_they_gave() {
    let shop = TestApp::new().await;
    let (order, codes) = seats(&shop, 5).await;
    let line = &order["lines"][0]["id"];
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    let bob = shop.bearer(&shop.sign_up("bob@example.test").await.1).await;
    for (learner, code) in [(&ann, &codes[0]), (&bob, &codes[1])] {
        shop.ok(learner, REDEEM, json!({ "code": code, "key": "k" })).await;
    }
    // Part of a line keeps access unless it is told to end it.
    let refund = async |lines: Value, access: Option<&str>, key: &str| {
        let input = json!({ "orderId": order["id"], "lines": lines, "access": access, "reason": "asked", "idempotencyKey": key });
        shop.act(&shop.operator(), "orderRefund", input, "order { status }").await["order"]["status"].clone()
    };
    let list = "query($order: ID) { tokens(orderId: $order) { nodes { id status } } }";
    let tokens = async || shop.ok(&shop.operator(), list, json!({ "order": order["id"] })).await["tokens"]["nodes"].clone();
    let standing = |tokens: &Value| tokens.as_array().into_iter().flatten().map(|token| token["status"].clone()).collect::<Vec<_>>();
    let open = async |learner: &Caller| shop.ok(learner, COURSES, json!({})).await["me"]["courses"]["nodes"].as_array().map_or(0, Vec::len);

    let first = tokens().await;
    let named = json!([{ "orderLineId": line, "tokenIds": [first[0]["id"]] }]);
    assert_eq!(refund(named.clone(), Some("END"), "a").await, "PARTIALLY_REFUNDED");
    let again = json!({ "orderId": order["id"], "lines": named, "access": "END", "reason": "asked", "idempotencyKey": "again" });
    let known = [("NOT_FOUND".to_owned(), "lines.0.tokenIds".to_owned())];
    assert_eq!(shop.denied(&shop.operator(), "orderRefund", again).await, known, "a seat is paid back once");
    assert_eq!((open(&ann).await, open(&bob).await), (0, 2), "Ann's seat went back, Bob's did not");
    assert_eq!(standing(&tokens().await), ["REDEEMED", "REDEEMED", "FREE", "FREE", "FREE"]);
    refund(json!([{ "orderLineId": line, "quantity": 1 }]), Some("END"), "b").await;
    assert_eq!(standing(&tokens().await), ["REDEEMED", "REDEEMED", "FREE", "FREE", "VOID"]);
    assert_eq!(refund(json!([]), None, "rest").await, "REFUNDED");
    assert_eq!(standing(&tokens().await), ["REDEEMED", "REDEEMED", "VOID", "VOID", "VOID"]);
    assert_eq!((open(&ann).await, open(&bob).await), (0, 0));
    assert_eq!(shop.refused(&ann, REDEEM, json!({ "code": codes[2], "key": "late" })).await[0].0, "TOKEN_VOID");
    let revoke = json!({ "tokenId": first[2]["id"] });
    assert_eq!(shop.denied(&shop.operator(), "tokenRevoke", revoke).await, [("TOKEN_VOID".to_owned(), "tokenId".to_owned())]);
    assert_eq!(shop.ok(&shop.operator(), "{ givenNotPaid { reason } }", json!({})).await["givenNotPaid"], json!([]));
}

/// R3, R61, R62: a company's seats are its managers' to hand out and exchange; redeeming one makes a member of the company; who only reads sees
/// no code.
#[tokio::test]
async fn r3_r61_r62_a_companys_seats_are_its_managers_to_hand_out() {
    let shop = TestApp::new().await;
    let made = shop.act(&shop.operator(), "companyCreate", json!({ "name": "Acme", "type": "RETAIL" }), "company { id }").await;
    let company = id(&made["company"]);
    let (order, codes) = seats_for(&shop, 2, Some(&company)).await;
    let manager = shop.manager_key(&company);
    let list = "query($company: ID, $order: ID, $status: TokenStatus) {
        tokens(companyId: $company, orderId: $order, status: $status) { totalCount nodes { id code hint status redeemedBy } } }";
    let of_company = json!({ "company": company });
    let seen = shop.ok(&manager, list, of_company.clone()).await["tokens"].clone();
    assert_eq!((&seen["nodes"][0]["code"], &seen["totalCount"]), (&json!(codes[0]), &json!(2)));
    assert_eq!(shop.ok(&manager, list, json!({ "order": order["id"] })).await["tokens"], seen);
    let reader = shop.ok(&shop.key(&["learning:read"]), list, of_company.clone()).await["tokens"]["nodes"].clone();
    let hint = codes[0][codes[0].len() - 4..].to_owned();
    assert_eq!((&reader[0]["code"], &reader[0]["hint"]), (&Value::Null, &json!(hint)));

    // Who reads the order sees neither its codes nor the buyer's link; the manager sees the codes, and the link is the buyer's alone.
    let receipt = "query($id: ID!) { order(id: $id) { receipt { signInUrl lines { tokens } } } }";
    let receipt = async |caller: &Caller| {
        let order = shop.ok(caller, receipt, json!({ "id": order["id"] })).await["order"].clone();
        (order["receipt"]["signInUrl"].is_string(), order["receipt"]["lines"][0]["tokens"].as_array().map(Vec::len))
    };
    assert_eq!(receipt(&shop.key(&["orders:read"])).await, (false, Some(0)));
    assert_eq!(receipt(&manager).await, (false, Some(2)));
    assert_eq!(receipt(&shop.operator()).await, (true, Some(2)));

    let (account, bearer) = shop.sign_up("ann@example.test").await;
    let ann = shop.bearer(&bearer).await;
    assert_eq!(shop.ok(&ann, list, of_company.clone()).await["tokens"], json!({ "totalCount": 0, "nodes": [] }));
    assert_eq!(shop.ok(&ann, list, json!({ "order": "ord_nonsense" })).await["tokens"]["nodes"], json!([]));
    assert_eq!(shop.top_level_code(&shop.guest(), list, of_company.clone()).await, "UNAUTHENTICATED");
    assert_eq!(shop.top_level_code(&shop.key(&["orders:read"]), list, of_company.clone()).await, "FORBIDDEN");
    let node = "query($id: ID!) { node(id: $id) { ... on Token { id code status } } }";
    let token = json!({ "id": seen["nodes"][0]["id"] });
    assert_eq!(shop.ok(&ann, node, token.clone()).await["node"], Value::Null);

    shop.ok(&ann, REDEEM, json!({ "code": codes[0], "key": "k" })).await;
    let mine = json!({ "id": token["id"], "code": null, "status": "REDEEMED" });
    assert_eq!(shop.ok(&ann, node, token.clone()).await["node"], mine, "whoever redeemed it sees it");
    let members = "query($company: ID!) { companyMembers(companyId: $company) { nodes { accountId role via } } }";
    let members = shop.ok(&manager, members, of_company.clone()).await["companyMembers"]["nodes"].clone();
    assert_eq!(members, json!([{ "accountId": account, "role": "LEARNER", "via": "TOKEN" }]));
    let redeemed = shop.ok(&manager, list, json!({ "company": company, "status": "REDEEMED" })).await["tokens"]["nodes"].clone();
    assert_eq!(redeemed[0]["redeemedBy"], json!(account));

    let (revoke, input) = ("tokenRevoke", json!({ "tokenId": seen["nodes"][1]["id"] }));
    let stranger = shop.manager_key(&domain::CompanyId::new(bursar::app::entropy::next_uuid()).to_string());
    for other in [&ann, &stranger, &shop.key(&["learning:read"])] {
        assert_eq!(shop.denied(other, revoke, input.clone()).await, [("NOT_FOUND".to_owned(), "tokenId".to_owned())]);
    }
    let fresh = shop.act(&manager, revoke, input.clone(), "token { code status }").await["token"].clone();
    assert_ne!(fresh["code"], json!(codes[1]));
    assert_eq!(shop.denied(&manager, revoke, input).await, [("TOKEN_VOID".to_owned(), "tokenId".to_owned())]);
    let free = shop.ok(&manager, list, json!({ "order": order["id"], "status": "FREE" })).await["tokens"].clone();
    assert_eq!((&free["totalCount"], &free["nodes"][0]["code"]), (&json!(1), &fresh["code"]));
}

/// R3, R62: seats that a manager buys for a company are the company's: who manages it no more sees none of their codes, on the receipt, in the
/// list or by id, and exchanges none; another manager does. Seats that a learner buys there are their own.
#[tokio::test]
async fn r3_r62_who_manages_a_company_no_more_sees_none_of_its_codes() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let product = shop.shelf("SEATS", "10.00", &["Ada"]).await;
    let company = id(&shop.act(&operator, "companyCreate", json!({ "name": "Acme", "type": "RETAIL" }), "company { id }").await["company"]);
    let (boss, boss_token) = shop.verified("boss@example.test").await;
    let (_, ann_token) = shop.verified("ann@example.test").await;
    shop.act(&operator, "companyMembersSet", json!({ "companyId": company, "managers": [{ "accountId": boss }] }), "").await;
    let buy = async |token: &str| {
        let buyer = shop.bearer(token).await;
        let cart =
            shop.act(&buyer, "cartCreate", json!({ "context": { "companyId": company } }), "cart { id }").await["cart"]["id"].clone();
        let line = json!({ "productId": product, "quantity": 2, "for": { "seats": true } });
        shop.act(&buyer, "cartLinesSet", json!({ "cartId": cart, "lines": [line] }), "").await;
        let input = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
            "expectedTotal": { "amount": "20.00", "currency": "USD" }, "idempotencyKey": "k" });
        shop.act(&buyer, "orderPlace", input, "order { id }").await["order"]["id"].clone()
    };
    let (by_boss, by_ann) = (buy(&boss_token).await, buy(&ann_token).await);
    // How many codes somebody sees of an order: on its receipt, in the list, by id.
    let seen = async |token: &str, order: &Value| {
        let caller = shop.bearer(token).await;
        let receipt = "query($id: ID!) { order(id: $id) { receipt { lines { tokens } } } }";
        let receipt = shop.ok(&caller, receipt, json!({ "id": order })).await;
        let receipt = receipt["order"]["receipt"]["lines"][0]["tokens"].as_array().map_or(0, Vec::len);
        let list = "query($order: ID) { tokens(orderId: $order) { nodes { code } } }";
        let list = shop.ok(&caller, list, json!({ "order": order })).await["tokens"]["nodes"].as_array().expect("nodes").clone();
        let all = "query($order: ID) { tokens(orderId: $order) { nodes { id } } }";
        let one = shop.ok(&operator, all, json!({ "order": order })).await["tokens"]["nodes"][0]["id"].clone();
        let node = shop.ok(&caller, "query($id: ID!) { node(id: $id) { ... on Token { code } } }", json!({ "id": one })).await;
        (receipt, list.iter().filter(|token| token["code"].is_string()).count(), node["node"]["code"].is_string())
    };
    assert_eq!(seen(&boss_token, &by_boss).await, (2, 2, true));
    assert_eq!(seen(&boss_token, &by_ann).await, (2, 2, true), "the company's managers see its learners' seats as well");
    assert_eq!(seen(&ann_token, &by_ann).await, (2, 2, true));

    shop.act(&operator, "companyMembersSet", json!({ "companyId": company, "remove": [{ "accountId": boss }] }), "").await;
    assert_eq!(seen(&boss_token, &by_boss).await, (0, 0, false));
    assert_eq!(seen(&ann_token, &by_ann).await, (2, 2, true));
    let all = "query($order: ID) { tokens(orderId: $order) { nodes { id } } }";
    let token = shop.ok(&operator, all, json!({ "order": by_boss })).await["tokens"]["nodes"][0]["id"].clone();
    let revoke = json!({ "tokenId": token });
    assert_eq!(shop.denied(&shop.bearer(&boss_token).await, "tokenRevoke", revoke).await[0].0, "NOT_FOUND");
}

/// Everything that is logged while it is here.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// R62: a code is in no log and in no row but sealed, whatever is done with it.
#[tokio::test]
async fn r62_codes_are_in_no_log_and_in_no_plain_row() {
    let log = Log::default();
    let (writer, shop) = (log.clone(), TestApp::new().await);
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("what is logged is caught");
    let (_, codes) = seats(&shop, 2).await;
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    for key in ["a", "b"] {
        shop.run(&ann, REDEEM, json!({ "code": codes[0], "key": key })).await;
    }
    shop.run(&ann, REDEEM, json!({ "code": &codes[1][..10], "key": "c" })).await;
    drop(guard);
    let mut written = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("text");
    assert!(written.contains("what is logged is caught"));
    let db = shop.app.db.read();
    written += &format!("{:?}", entity::token::Entity::find().all(db).await.expect("the rows"));
    written += &format!("{:?}", entity::audit::Entity::find().all(db).await.expect("the rows"));
    written += &format!("{:?}", entity::idempotency::Entity::find().all(db).await.expect("the rows"));
    written += &format!("{:?}", entity::job::Entity::find().all(db).await.expect("the rows"));
    for code in codes {
        assert!(!written.contains(&code) && !written.contains(&code.replace('-', "")), "a code in {written}");
    }
}

const ASSIGNED: &str = "tokens { id status code assignedTo { email name } } replayed";

fn learners(emails: &[&str]) -> Value {
    emails.iter().map(|email| json!({ "email": email })).collect()
}

/// Statuses of an order's tokens, in order of their seats.
async fn standing(shop: &TestApp, order: &Value) -> Vec<String> {
    let list = "query($order: ID) { tokens(orderId: $order, first: 100) { nodes { seat status } } }";
    let tokens = shop.ok(&shop.operator(), list, json!({ "order": order["id"] })).await["tokens"]["nodes"].clone();
    tokens.as_array().into_iter().flatten().map(|token| token["status"].as_str().unwrap_or_default().to_owned()).collect()
}

/// C31, R3: ten seats, three handed out; nine more at once are refused whole, with both numbers; seven go; the buyer has no seat unless named. A
/// seat that was taken back can be given again.
#[tokio::test]
async fn c31_more_learners_than_seats_get_none_of_them() {
    let shop = TestApp::new().await;
    let (order, _) = seats(&shop, 10).await;
    let operator = shop.operator();
    let assign = |emails: Vec<String>, key: &str| {
        let emails: Vec<&str> = emails.iter().map(String::as_str).collect();
        json!({ "orderId": order["id"], "learners": learners(&emails), "idempotencyKey": key })
    };
    let people = |from: usize, to: usize| (from..to).map(|number| format!("learner{number}@example.test")).collect::<Vec<_>>();
    let first = shop.act(&operator, "tokenAssign", assign(people(0, 3), "a"), ASSIGNED).await;
    assert_eq!(first["tokens"].as_array().map(Vec::len), Some(3));
    assert_eq!(first["tokens"][0]["assignedTo"]["email"], "learner0@example.test");
    let query = "mutation($input: TokenAssignInput!) { tokenAssign(input: $input) { tokens { id } userErrors { code field message } } }";
    let refused = shop.run(&operator, query, json!({ "input": assign(people(3, 12), "b") })).await["data"]["tokenAssign"].clone();
    assert_eq!((&refused["userErrors"][0]["code"], &refused["tokens"]), (&json!("TOO_FEW_TOKENS"), &json!([])));
    let message = refused["userErrors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("7 free, 9 needed"), "{message}");
    assert_eq!(standing(&shop, &order).await.iter().filter(|status| *status == "ASSIGNED").count(), 3);

    let replay = shop.act(&operator, "tokenAssign", assign(people(0, 3), "a"), ASSIGNED).await;
    assert_eq!((&replay["replayed"], &replay["tokens"]), (&json!(true), &first["tokens"]));
    let at = |place: &str| vec![("REPEATED".to_owned(), format!("learners.{place}.email"))];
    let mut doubled = people(3, 5);
    doubled.push("LEARNER3@example.test".to_owned());
    assert_eq!(shop.denied(&operator, "tokenAssign", assign(doubled, "c")).await, at("2"));
    let mut known = people(3, 5);
    known.push("learner0@example.test".to_owned());
    assert_eq!(shop.denied(&operator, "tokenAssign", assign(known, "d")).await, at("2"), "who has an unused seat gets no second one");
    let bad = assign(vec!["nobody".to_owned(), "a@example.test".to_owned()], "e");
    assert_eq!(shop.denied(&operator, "tokenAssign", bad).await, [("INVALID".to_owned(), "learners.0.email".to_owned())]);
    shop.act(&operator, "tokenAssign", assign(people(3, 10), "f"), ASSIGNED).await;
    assert_eq!(standing(&shop, &order).await, ["ASSIGNED"; 10], "ten bought are ten for others");
    assert_eq!(shop.live_grants(order["id"].as_str().expect("an id")).await, 0);
    // Taken back from one, it is free for another one.
    shop.act(&operator, "tokenRevoke", json!({ "tokenId": first["tokens"][0]["id"] }), "token { status }").await;
    let again = shop.act(&operator, "tokenAssign", assign(people(10, 11), "g"), ASSIGNED).await;
    assert_eq!(again["tokens"][0]["assignedTo"]["email"], "learner10@example.test");
    // Named, the buyer has one as well; of others, nobody hands out anything.
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    let stranger = assign(people(11, 12), "h");
    assert_eq!(shop.denied(&ann, "tokenAssign", stranger).await, [("NOT_FOUND".to_owned(), "orderId".to_owned())]);
    let nothing = json!({ "learners": learners(&["x@example.test"]), "idempotencyKey": "i" });
    assert_eq!(shop.denied(&operator, "tokenAssign", nothing).await, [("REQUIRED".to_owned(), "orderId".to_owned())]);
}

/// C31: two who hand out at once never hand out more than there is; each call gets all of its seats or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c31_two_who_hand_out_at_once_share_no_seat() {
    let shop = Arc::new(TestApp::new().await);
    let (order, _) = seats(&shop, 10).await;
    let query = "mutation($input: TokenAssignInput!) { tokenAssign(input: $input) { tokens { id } userErrors { code } } }";
    let tasks: Vec<_> = (0..4)
        .map(|call| {
            let (shop, order) = (shop.clone(), order["id"].clone());
            tokio::spawn(async move {
                let emails: Vec<String> = (0..4).map(|number| format!("l{call}-{number}@example.test")).collect();
                let emails: Vec<&str> = emails.iter().map(String::as_str).collect();
                let input = json!({ "orderId": order, "learners": learners(&emails), "idempotencyKey": format!("k{call}") });
                shop.run(&shop.operator(), query, json!({ "input": input })).await["data"]["tokenAssign"].clone()
            })
        })
        .collect();
    let (mut done, mut refused, mut ids) = (0, 0, std::collections::BTreeSet::new());
    for task in tasks {
        let answer = task.await.expect("answered");
        match answer["userErrors"][0]["code"].as_str() {
            None => {
                done += 1;
                ids.extend(answer["tokens"].as_array().expect("tokens").iter().map(|token| token["id"].to_string()));
            }
            Some("TOO_FEW_TOKENS") => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((done, refused, ids.len()), (2, 2, 8));
    assert_eq!(standing(&shop, &order).await.iter().filter(|status| *status == "FREE").count(), 2);
}

/// R62: an unused seat goes to somebody else; the code that was handed out is dead then. A redeemed one stays where it is.
#[tokio::test]
async fn r62_an_unused_seat_is_transferred_and_the_old_code_dies() {
    let shop = TestApp::new().await;
    let (order, codes) = seats(&shop, 2).await;
    let operator = shop.operator();
    let input = json!({ "orderId": order["id"], "learners": learners(&["ann@example.test"]), "idempotencyKey": "a" });
    let assigned = shop.act(&operator, "tokenAssign", input, ASSIGNED).await["tokens"][0].clone();
    assert_eq!(assigned["code"], json!(codes[0]), "nobody had the code of a free seat: it stays");
    let to = |token: &Value, email: &str| json!({ "tokenId": token["id"], "learner": { "email": email, "name": "Bob" } });
    let fields = "token { id status code seat assignedTo { email name } }";
    let moved = shop.act(&operator, "tokenTransfer", to(&assigned, "bob@example.test"), fields).await["token"].clone();
    assert_eq!((&moved["status"], &moved["seat"]), (&json!("ASSIGNED"), &json!(1)));
    assert_eq!(moved["assignedTo"], json!({ "email": "bob@example.test", "name": "Bob" }));
    assert_ne!(moved["code"], assigned["code"]);
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    let bob = shop.bearer(&shop.sign_up("bob@example.test").await.1).await;
    assert_eq!(shop.refused(&ann, REDEEM, json!({ "code": codes[0], "key": "a" })).await[0].0, "TOKEN_VOID");
    shop.ok(&bob, REDEEM, json!({ "code": moved["code"], "key": "b" })).await;
    let used = [("TOKEN_USED".to_owned(), "tokenId".to_owned())];
    assert_eq!(shop.denied(&operator, "tokenTransfer", to(&moved, "cid@example.test")).await, used);
    assert_eq!(shop.denied(&ann, "tokenTransfer", to(&moved, "ann@example.test")).await, [("NOT_FOUND".to_owned(), "tokenId".to_owned())]);
    let none = shop.denied(&operator, "tokenTransfer", to(&moved, "nobody")).await;
    assert_eq!(none, [("INVALID".to_owned(), "learner.email".to_owned())]);
}

/// R16, R17: a product can give a key instead of an enrolment: to redeem or to hand on, once; its terms are those of the purchase. What was bought
/// as an enrolment before stays one.
#[tokio::test]
async fn r16_r17_a_product_can_give_a_key_instead_of_an_enrolment() {
    let shop = TestApp::new().await;
    let product = shop.shelf("KEYS", "10.00", &["Ada", "Basic"]).await;
    let update = json!({ "id": product, "fulfilment": "KEYS", "terms": { "days": 30 } });
    let updated = shop.act(&shop.operator(), "productUpdate", update, "product { fulfilment }").await;
    assert_eq!(updated["product"]["fulfilment"], "KEYS");
    let (cart, secret) = shop.guest_cart(&["KEYS"]).await;
    let guest = shop.guest_with(&secret);
    let named = json!({ "productId": product, "quantity": 1, "for": { "learner": { "email": "ann@example.test", "name": "Ann" } } });
    shop.act(&guest, "cartLinesSet", json!({ "cartId": cart, "lines": [named] }), "").await;
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "boss@example.test" }), "").await;
    let place = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": { "amount": "20.00", "currency": "USD" }, "idempotencyKey": "p" });
    let order = shop
        .act(&guest, "orderPlace", place, "order { id status lines { id } receipt { lines { text tokens courses { title } } } }")
        .await["order"]
        .clone();
    assert_eq!((&order["status"], shop.live_grants(order["id"].as_str().expect("an id")).await), (&json!("FULFILLED"), 0));
    let receipt = &order["receipt"]["lines"];
    assert_eq!(
        (&receipt[0]["courses"], &receipt[0]["text"]),
        (&json!([]), &json!("Redeem this key to open it, or hand it on; it serves once."))
    );
    assert_eq!(standing(&shop, &order).await, ["FREE", "ASSIGNED"], "the one for a named learner is theirs");
    // Later terms and another fulfilment change nothing about keys that were issued.
    shop.act(&shop.operator(), "productUpdate", json!({ "id": product, "fulfilment": "ENROL", "terms": { "days": 5 } }), "").await;
    let cid = shop.bearer(&shop.sign_up("cid@example.test").await.1).await;
    shop.ok(&cid, REDEEM, json!({ "code": receipt[0]["tokens"][0], "key": "c" })).await;
    let mine = shop.ok(&cid, "{ me { entitlements { nodes { source terms { text } } } } }", json!({})).await;
    assert_eq!(mine["me"]["entitlements"]["nodes"], json!([{ "source": "TOKEN", "terms": { "text": "30 days from the first start" } }]));
    // A refund of the line ends what its key gave, wherever it went.
    let refund = json!({ "orderId": order["id"], "reason": "asked", "idempotencyKey": "r" });
    shop.act(&shop.operator(), "orderRefund", refund, "order { status }").await;
    assert_eq!(standing(&shop, &order).await, ["REDEEMED", "VOID"]);
    assert_eq!(shop.ok(&cid, COURSES, json!({})).await["me"]["courses"]["nodes"], json!([]));
}

/// A key to something that ends on a fixed day can be redeemed until then.
#[tokio::test]
async fn keys_to_what_ends_on_a_day_expire_with_it() {
    let shop = TestApp::new().await;
    let product = shop.shelf("SEATS", "10.00", &["Ada"]).await;
    shop.act(&shop.operator(), "productUpdate", json!({ "id": product, "terms": { "endsAt": "2026-06-01T00:00:00Z" } }), "").await;
    let made = shop.act(&shop.guest(), "cartCreate", json!({}), "cart { id } secret").await;
    let (cart, guest) = (&made["cart"]["id"], shop.guest_with(made["secret"].as_str().expect("a secret")));
    let line = json!({ "productId": product, "quantity": 2, "for": { "seats": true } });
    shop.act(&guest, "cartLinesSet", json!({ "cartId": cart, "lines": [line] }), "").await;
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "boss@example.test" }), "").await;
    let place = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": { "amount": "20.00", "currency": "USD" }, "idempotencyKey": "p" });
    let order = shop.act(&guest, "orderPlace", place, "order { id receipt { lines { tokens } } }").await["order"].clone();
    shop.set_time("2026-06-01T00:00:00Z");
    assert_eq!(standing(&shop, &order).await, ["EXPIRED", "EXPIRED"]);
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    let code = &order["receipt"]["lines"][0]["tokens"][0];
    assert_eq!(shop.refused(&ann, REDEEM, json!({ "code": code, "key": "a" })).await[0].0, "TOKEN_EXPIRED");
    let assign = json!({ "orderId": order["id"], "learners": learners(&["bo@example.test"]), "idempotencyKey": "x" });
    assert_eq!(shop.denied(&shop.operator(), "tokenAssign", assign).await, [("TOO_FEW_TOKENS".to_owned(), "learners".to_owned())]);
}

/// R16: a product can say within how many days its keys and seats are redeemed; a fresh code for a seat has no more time than the old one, and what
/// was issued before keeps what it had.
#[tokio::test]
async fn r16_keys_and_seats_are_redeemed_within_the_products_days() {
    let shop = TestApp::new().await;
    let (old, _) = seats(&shop, 1).await;
    let product = shop.ok(&shop.operator(), "{ product(sku: \"SEATS\") { id redeemDays } }", json!({})).await["product"].clone();
    assert_eq!(product["redeemDays"], Value::Null);
    let update = async |days: Value| {
        let input = json!({ "id": product["id"], "redeemDays": days });
        shop.run(
            &shop.operator(),
            "mutation($input: ProductUpdateInput!) { productUpdate(input: $input) { product { redeemDays }
            userErrors { code field } } }",
            json!({ "input": input }),
        )
        .await["data"]["productUpdate"]
            .clone()
    };
    for wrong in [0, -1, 1_000_000] {
        assert_eq!(update(json!(wrong)).await["userErrors"][0]["field"], json!(["redeemDays"]), "{wrong}");
    }
    assert_eq!(update(json!(30)).await["product"]["redeemDays"], 30);
    let made = shop.act(&shop.guest(), "cartCreate", json!({}), "cart { id } secret").await;
    let (cart, guest) = (&made["cart"]["id"], shop.guest_with(made["secret"].as_str().expect("a secret")));
    let line = json!({ "productId": product["id"], "quantity": 2, "for": { "seats": true } });
    shop.act(&guest, "cartLinesSet", json!({ "cartId": cart, "lines": [line] }), "").await;
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "boss@example.test" }), "").await;
    let place = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": { "amount": "20.00", "currency": "USD" }, "idempotencyKey": "p" });
    let order = shop.act(&guest, "orderPlace", place, "order { id receipt { lines { tokens } } }").await["order"].clone();
    let codes = &order["receipt"]["lines"][0]["tokens"];
    let query = "query($order: ID) { tokens(orderId: $order) { nodes { id status endsAt code } } }";
    let ends = async |order: &Value| {
        let data = shop.ok(&shop.operator(), query, json!({ "order": order["id"] })).await;
        let tokens = data["tokens"]["nodes"].as_array().expect("tokens").clone();
        tokens.iter().map(|token| (token["status"].clone(), token["endsAt"].clone())).collect::<Vec<_>>()
    };
    let until = json!("2026-01-31T00:00:00+00:00");
    assert_eq!(ends(&order).await, [(json!("FREE"), until.clone()), (json!("FREE"), until.clone())]);
    assert_eq!(ends(&old).await, [(json!("FREE"), Value::Null)], "what was issued before keeps what it had");

    shop.set_time("2026-01-30T23:59:59Z");
    let ann = shop.bearer(&shop.sign_up("ann@example.test").await.1).await;
    shop.ok(&ann, REDEEM, json!({ "code": codes[0], "key": "a" })).await;
    let second = shop.ok(&shop.operator(), query, json!({ "order": order["id"] })).await["tokens"]["nodes"][1]["id"].clone();
    let fresh = shop.act(&shop.operator(), "tokenRevoke", json!({ "tokenId": second }), "token { code endsAt }").await["token"].clone();
    assert_eq!(fresh["endsAt"], until);
    shop.set_time("2026-01-31T00:00:00Z");
    let bo = shop.bearer(&shop.sign_up("bo@example.test").await.1).await;
    assert_eq!(shop.refused(&bo, REDEEM, json!({ "code": fresh["code"], "key": "b" })).await[0].0, "TOKEN_EXPIRED");
    assert_eq!(ends(&order).await.iter().filter(|(status, _)| status == "EXPIRED").count(), 1);
    assert_eq!(shop.ok(&ann, COURSES, json!({})).await["me"]["courses"]["nodes"].as_array().map(Vec::len), Some(2), "access lasts");
}

/// Seats that a manager bought before they were kept as the company's own become it: who manages the company no more sees none of their codes.
#[tokio::test]
async fn r3_seats_that_a_manager_bought_before_become_the_companys() {
    let shop = TestApp::new().await;
    let company = crate::offer::Shelf(&shop).company("acme", json!({})).await.to_string();
    let (order, codes) = seats_for(&shop, 2, Some(&company)).await;
    assert_eq!(codes.len(), 2);
    let entered = shop
        .act(&shop.guest(), "accountLinkRedeem", json!({ "token": shop.mailed_link("boss@example.test").await }), "account { id } token")
        .await;
    let query = "query($order: ID) { tokens(orderId: $order) { nodes { code } } }";
    let seen = async || {
        let boss = shop.bearer(entered["token"].as_str().expect("a token")).await;
        shop.ok(&boss, query, json!({ "order": order["id"] })).await["tokens"]["nodes"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(seen().await, 2, "what a customer bought is theirs");
    let members = |role: &str| json!({ "companyId": company, role: [{ "accountId": entered["account"]["id"] }] });
    shop.act(&shop.operator(), "companyMembersSet", members("managers"), "").await;
    let mut taken_back = Vec::new();
    while !taken_back.iter().any(|step: &String| step.contains("m0026")) {
        taken_back.extend(bursar::start::migrate_down(&shop.app.db, 1).await.expect("it is taken back"));
    }
    bursar::start::migrate_up(&shop.app.db).await.expect("it is done again");
    assert_eq!(seen().await, 2, "a manager sees the company's seats");
    shop.act(&shop.operator(), "companyMembersSet", members("remove"), "").await;
    assert_eq!(seen().await, 0);
}
