//! Sales orders: what is recommended and what is agreed, quotes, invoices, money in parts, seats on confirming or on payment, what goes back, and
//! who may do which of that.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use bursar::app::caller::Caller;
use bursar::http::invoice;
use chrono::TimeDelta;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::util::{TestApp, amount, id};

/// What is asked of an order in most stories.
pub const ORDER: &str = "salesOrder { id number status version due { amount } paid { amount } credited { amount } returned { amount } total { amount }
    lines { id quantity recommendedPrice { amount } recommendedSubtotal { amount } agreedPrice { amount } agreedBy agreedReason subtotal { amount }
        terms { value } recommendedTerms { value } credited { amount } creditedQuantity seats { free assigned redeemed void } }
    documents { id kind number total { amount } url } } replayed";

/// A shop with a company and a library at 10.00 for 365 days, whose bulk price is 9.00 from 11 seats on and 8.00 from 51 on.
pub struct Bulk {
    pub shop: TestApp,
    pub operator: Caller,
    pub company: String,
    pub product: String,
    pub schedule: String,
}

impl Bulk {
    pub async fn new() -> Self {
        Self::of(TestApp::new().await).await
    }

    pub async fn of(shop: TestApp) -> Self {
        let operator = shop.operator();
        let tier = |min: i64, price: &str| json!({ "minQuantity": min, "price": amount(price) });
        let tiers = json!({ "name": "Bulk", "tiers": [tier(1, "10 USD"), tier(11, "9 USD"), tier(51, "8 USD")] });
        let schedule = id(&shop.act(&operator, "discountScheduleSet", tiers, "discountSchedule { id }").await["discountSchedule"]);
        let course = shop.course("Ada").await;
        let library = json!({ "sku": "ADA", "title": "The Ada path", "courseIds": [course], "accessDays": 365,
            "prices": [amount("10 USD")], "discountScheduleId": schedule });
        let made = shop.act(&operator, "libraryCreate", library, "library { product { id } }").await;
        let company = json!({ "name": "Acme", "type": "SALES_ORDER" });
        let company = id(&shop.act(&operator, "companyCreate", company, "company { id }").await["company"]);
        Self { product: id(&made["library"]["product"]), company, schedule, operator, shop }
    }

    pub async fn set_company(&self, change: Value) {
        let mut input = json!({ "id": self.company });
        input.as_object_mut().expect("fields").extend(change.as_object().expect("fields").clone());
        self.shop.act(&self.shop.operator(), "companyUpdate", input, "company { id }").await;
    }

    /// An input of one line with more fields of it.
    pub fn input(&self, quantity: i64, line: Value, key: &str) -> Value {
        let mut wish = json!({ "productId": self.product, "quantity": quantity });
        wish.as_object_mut().expect("fields").extend(line.as_object().expect("fields").clone());
        json!({ "companyId": self.company, "lines": [wish], "idempotencyKey": key })
    }

    pub async fn draft(&self, quantity: i64, line: Value, key: &str) -> Value {
        let input = self.input(quantity, line, key);
        self.shop.act(&self.operator, "salesOrderCreate", input, ORDER).await["salesOrder"].clone()
    }

    /// The step `name` of an order by somebody, with more of its input; the order afterwards.
    pub async fn step_by(&self, caller: &Caller, name: &str, order: &Value, more: Value) -> Value {
        self.shop.act(caller, name, step_input(order, more), ORDER).await["salesOrder"].clone()
    }

    pub async fn step(&self, name: &str, order: &Value, more: Value) -> Value {
        self.step_by(&self.operator, name, order, more).await
    }

    pub async fn denied(&self, name: &str, order: &Value, more: Value) -> Vec<(String, String)> {
        self.shop.denied(&self.operator, name, step_input(order, more)).await
    }

    pub async fn pay(&self, order: &Value, money: &str, key: &str) -> Value {
        self.step("salesOrderPaymentRecord", order, json!({ "amount": amount(money), "reference": key, "idempotencyKey": key })).await
    }

    /// A confirmed order of seats at what is recommended.
    pub async fn confirmed(&self, quantity: i64, key: &str) -> Value {
        let order = self.draft(quantity, json!({}), key).await;
        self.step("salesOrderConfirm", &order, json!({})).await
    }

    /// A person who manages the company.
    pub async fn manager(&self, email: &str) -> Caller {
        let (account, token) = self.shop.sign_up(email).await;
        let input = json!({ "companyId": self.company, "managers": [{ "accountId": account }] });
        self.shop.act(&self.shop.operator(), "companyMembersSet", input, "company { id }").await;
        self.shop.bearer(&token).await
    }

    /// The tokens of an order: id, status and code.
    pub async fn tokens(&self, order: &Value) -> Vec<Value> {
        let query = "query($id: ID) { tokens(salesOrderId: $id, first: 100) { nodes { id status code salesOrderId companyId } } }";
        let data = self.shop.ok(&self.shop.operator(), query, json!({ "id": order["id"] })).await;
        data["tokens"]["nodes"].as_array().expect("a list").clone()
    }

    pub async fn redeem(&self, learner: &Caller, token: &Value) {
        let input = json!({ "code": token["code"], "idempotencyKey": token["id"] });
        self.shop.act(learner, "tokenRedeem", input, "token { status }").await;
    }

    pub async fn learner(&self, email: &str) -> Caller {
        self.shop.bearer(&self.shop.sign_up(email).await.1).await
    }
}

fn step_input(order: &Value, more: Value) -> Value {
    // One key for each order, unless the story says otherwise.
    let mut input = json!({ "salesOrderId": order["id"], "idempotencyKey": order["id"] });
    input.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    input
}

fn refusal(code: &str, field: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), field.to_owned())]
}

async fn open_courses(shop: &TestApp, learner: &Caller) -> usize {
    let data = shop.ok(learner, "{ me { courses { nodes { title } } } }", json!({})).await;
    data["me"]["courses"]["nodes"].as_array().map_or(0, Vec::len)
}

/// R50, R79, c35: the recommended price is the company's or the list price, then the step of the schedule; what is agreed stands beside it with who
/// and why; carts do not use the schedule, and what the company is shown is what it would pay.
#[tokio::test]
async fn r50_c35_what_is_agreed_stands_beside_what_the_schedule_recommends() {
    let bulk = Bulk::new().await;
    let (shop, operator) = (&bulk.shop, bulk.operator.clone());
    for (quantity, each, subtotal) in
        [(1, "10.00", "10.00"), (10, "10.00", "100.00"), (11, "9.00", "99.00"), (50, "9.00", "450.00"), (51, "8.00", "408.00")]
    {
        let order = bulk.draft(quantity, json!({}), &format!("q{quantity}")).await;
        let line = &order["lines"][0];
        assert_eq!(
            (&line["recommendedPrice"]["amount"], &line["recommendedSubtotal"]["amount"]),
            (&json!(each), &json!(subtotal)),
            "{quantity}"
        );
        assert_eq!(
            (&line["subtotal"]["amount"], &order["total"]["amount"], &line["agreedReason"]),
            (&json!(subtotal), &json!(subtotal), &json!(null))
        );
        assert_eq!((&order["status"], &order["due"]), (&json!("DRAFT"), &json!(null)));
    }
    let shown = "query($context: ContextInput, $id: ID) { offer(id: $id, context: $context, quantity: 11) { unitPrice { amount } } }";
    for (context, each) in [(json!({ "companyId": bulk.company }), "9.00"), (json!({}), "10.00")] {
        let data = shop.ok(&operator, shown, json!({ "context": context, "id": bulk.product })).await;
        assert_eq!(data["offer"]["unitPrice"]["amount"], each, "{context}");
    }

    let lower = json!({ "agreedPrice": amount("8.50 USD"), "accessDays": 400, "agreedReason": "a framework contract" });
    let order = bulk.draft(11, lower, "lower").await;
    let line = &order["lines"][0];
    assert_eq!(
        json!([line["recommendedSubtotal"]["amount"], line["agreedPrice"]["amount"], line["subtotal"]["amount"], line["agreedReason"]]),
        json!(["99.00", "8.50", "93.50", "a framework contract"])
    );
    assert_eq!((&line["terms"]["value"], &line["recommendedTerms"]["value"]), (&json!(400), &json!(365)));
    assert!(line["agreedBy"].as_str().expect("who").starts_with("key_"));

    // The company's own price is below every step but the last one.
    let rows = json!([{ "productId": bulk.product, "prices": [amount("8.20 USD")], "accessDays": 90 }]);
    shop.act(&operator, "companyOffersSet", json!({ "companyId": bulk.company, "rows": rows }), "company { id }").await;
    let own = bulk.draft(11, json!({}), "own").await["lines"][0].clone();
    assert_eq!((&own["subtotal"]["amount"], &own["terms"]["value"]), (&json!("90.20"), &json!(90)));
    assert_eq!(bulk.draft(51, json!({}), "own51").await["lines"][0]["subtotal"]["amount"], "408.00");

    // In parts: 10 at 8.20, 40 at 8.20, 1 at 8.00. There is no price of one.
    let tier = |min: i64, price: &str| json!({ "minQuantity": min, "price": amount(price) });
    let tiers = json!({ "id": bulk.schedule, "name": "Bulk", "mode": "GRADUATED", "tiers": [tier(1, "10 USD"), tier(11, "9 USD"), tier(51, "8 USD")] });
    shop.act(&operator, "discountScheduleSet", tiers, "discountSchedule { id }").await;
    let parts = bulk.draft(51, json!({}), "parts").await["lines"][0].clone();
    assert_eq!((&parts["subtotal"]["amount"], &parts["recommendedPrice"]), (&json!("418.00"), &json!(null)));
}

/// R62: a quote goes to the company's managers and is accepted by one of them; it is invoiced once and paid in parts, never above what is due; with
/// the last part its seats are there. Whatever is sent again changes nothing.
#[tokio::test]
async fn r62_a_quote_becomes_the_order_is_invoiced_paid_in_parts_and_gives_its_seats() {
    let bulk = Bulk::new().await;
    let (shop, operator) = (&bulk.shop, bulk.operator.clone());
    let order = bulk.draft(11, json!({}), "a").await;
    assert_eq!(bulk.denied("salesOrderQuoteSend", &order, json!({})).await, refusal("REQUIRED", "salesOrderId"), "nobody to send it to");
    let manager = bulk.manager("boss@acme.test").await;
    shop.set_time("2026-06-15T12:00:00Z");
    let late = json!({ "validUntil": "2026-06-15T12:00:00Z" });
    assert_eq!(bulk.denied("salesOrderQuoteSend", &order, late).await, refusal("INVALID", "validUntil"));
    let send = json!({ "validUntil": "2026-06-30T22:00:00Z" });
    let quoted = bulk.step("salesOrderQuoteSend", &order, send.clone()).await;
    assert_eq!(quoted["status"], "QUOTED");
    let again = shop.act(&operator, "salesOrderQuoteSend", step_input(&order, send), ORDER).await;
    assert_eq!((&again["replayed"], &again["salesOrder"]["version"]), (&json!(true), &quoted["version"]));
    shop.jobs().await;
    let outbox = "{ outbox(first: 100) { nodes { kind to state subject text html } } }";
    let mails = shop.ok(&operator, outbox, json!({})).await["outbox"]["nodes"].as_array().expect("a list").clone();
    let quotes: Vec<&Value> = mails.iter().filter(|mail| mail["kind"] == "SALES_QUOTE").collect();
    let [mail] = quotes[..] else { panic!("one quote, not {quotes:#?}") };
    assert_eq!((&mail["to"], &mail["state"]), (&json!("boss@acme.test"), &json!("KEPT")));
    for part in ["11 × The Ada path at 9.00 USD: 99.00 USD", "Total: 99.00 USD", "until 2026-06-30 22:00 UTC"] {
        assert!(mail["text"].as_str().expect("a text").contains(part), "{part} in {mail:#}");
    }

    // Only the company's own people agree for it, and an operator has another way.
    assert_eq!(bulk.denied("salesOrderQuoteAccept", &order, json!({})).await, refusal("SALES_ORDER_STATE", "salesOrderId"));
    let accepted = bulk.step_by(&manager, "salesOrderQuoteAccept", &order, json!({})).await;
    assert_eq!((&accepted["status"], &accepted["due"]["amount"]), (&json!("CONFIRMED"), &json!("99.00")));
    assert_eq!(bulk.tokens(&order).await.len(), 0, "the shop gives seats on payment");
    assert_eq!(bulk.denied("salesOrderUpdate", &order, json!({ "notes": "late" })).await, refusal("SALES_ORDER_STATE", "salesOrderId"));

    let invoiced = bulk.step("salesOrderInvoice", &order, json!({})).await;
    assert_eq!((&invoiced["status"], &invoiced["documents"][0]["number"]), (&json!("INVOICED"), &json!("INV-000001")));
    assert_eq!(
        bulk.denied("salesOrderInvoice", &order, json!({ "idempotencyKey": "2" })).await,
        refusal("SALES_ORDER_STATE", "salesOrderId")
    );
    let part = bulk.pay(&order, "40.00 USD", "p1").await;
    assert_eq!(json!([part["status"], part["paid"]["amount"], part["due"]["amount"]]), json!(["INVOICED", "40.00", "59.00"]));
    assert_eq!(bulk.pay(&order, "40.00 USD", "p1").await["paid"]["amount"], "40.00", "the same record again");
    let pay = |money: &str| json!({ "amount": amount(money), "reference": "x", "idempotencyKey": money });
    for (money, code, field) in
        [("59.01 USD", "MORE_THAN_DUE", "amount"), ("1 EUR", "CURRENCY_MISMATCH", "amount.currency"), ("0 USD", "INVALID", "amount.amount")]
    {
        assert_eq!(bulk.denied("salesOrderPaymentRecord", &order, pay(money)).await, refusal(code, field), "{money}");
    }
    let paid = bulk.pay(&order, "59.00 USD", "p2").await;
    assert_eq!(json!([paid["status"], paid["due"]["amount"], paid["lines"][0]["seats"]["free"]]), json!(["PAID", "0.00", 11]));
    assert_eq!(bulk.denied("salesOrderPaymentRecord", &order, pay("1 USD")).await, refusal("SALES_ORDER_STATE", "salesOrderId"));

    let tokens = bulk.tokens(&order).await;
    assert_eq!((tokens.len(), &tokens[0]["salesOrderId"], &tokens[0]["companyId"]), (11, &order["id"], &json!(bulk.company)));
    let input = json!({ "salesOrderId": order["id"], "learners": [{ "email": "ann@acme.test" }], "idempotencyKey": "a" });
    shop.act(&manager, "tokenAssign", input, "tokens { status }").await;
    let ann = bulk.learner("ann@acme.test").await;
    let handed = bulk.tokens(&order).await.into_iter().find(|token| token["status"] == "ASSIGNED").expect("a seat");
    bulk.redeem(&ann, &handed).await;
    assert_eq!(open_courses(shop, &ann).await, 1);
    assert_eq!(shop.ok(&operator, "{ givenNotPaid { reason } }", json!({})).await["givenNotPaid"], json!([]));
}

/// A quote that is too old, one that was changed, one that was called off: none of them can be accepted, and none is mailed any more.
#[tokio::test]
async fn r62_a_quote_that_no_longer_holds_is_not_accepted() {
    let bulk = Bulk::new().await;
    let shop = &bulk.shop;
    let manager = bulk.manager("boss@acme.test").await;
    shop.set_time("2026-06-15T12:00:00Z");
    let accept = async |order: &Value, key: &str| {
        shop.denied(&manager, "salesOrderQuoteAccept", step_input(order, json!({ "idempotencyKey": key }))).await
    };
    let old = bulk.draft(1, json!({}), "old").await;
    assert_eq!(accept(&old, "draft").await, refusal("SALES_ORDER_STATE", "salesOrderId"), "it was never sent");
    bulk.step("salesOrderQuoteSend", &old, json!({ "validUntil": "2026-06-16T12:00:00Z" })).await;
    let changed = bulk.draft(1, json!({}), "changed").await;
    bulk.step("salesOrderQuoteSend", &changed, json!({ "idempotencyKey": "s2" })).await;
    assert_eq!(bulk.step("salesOrderUpdate", &changed, json!({ "notes": "wait" })).await["status"], "DRAFT");
    shop.jobs().await;
    let outbox = "{ outbox(first: 100) { nodes { kind state } } }";
    let mails = shop.ok(&shop.operator(), outbox, json!({})).await["outbox"]["nodes"].as_array().expect("a list").clone();
    let mut states: Vec<&str> =
        mails.iter().filter(|mail| mail["kind"] == "SALES_QUOTE").filter_map(|mail| mail["state"].as_str()).collect();
    states.sort_unstable();
    assert_eq!(states, ["CANCELLED", "KEPT"], "what was changed is not told any more");
    assert_eq!(accept(&changed, "changed").await, refusal("SALES_ORDER_STATE", "salesOrderId"));
    shop.set_time("2026-06-16T12:00:00Z");
    assert_eq!(accept(&old, "late").await, refusal("QUOTE_EXPIRED", "salesOrderId"));
    let gone = bulk.step_by(&manager, "salesOrderCancel", &old, json!({ "reason": "too dear" })).await;
    assert_eq!((&gone["status"], &gone["credited"]["amount"]), (&json!("CANCELLED"), &json!("0.00")), "nothing was agreed");
    assert_eq!(accept(&old, "gone").await, refusal("SALES_ORDER_STATE", "salesOrderId"));
}

/// R61: a company's managers, people and programs, order for their own company, at nothing better than what is recommended on the day, and see
/// nothing of another company's.
#[tokio::test]
async fn r61_managers_order_for_their_own_company_at_what_is_recommended() {
    let bulk = Bulk::new().await;
    let (shop, operator) = (&bulk.shop, bulk.operator.clone());
    let manager = bulk.manager("boss@acme.test").await;
    let program = shop.manager_key(&bulk.company);
    let better = json!({ "agreedPrice": amount("8.99 USD"), "accessDays": 366, "agreedReason": "please" });
    assert_eq!(
        shop.denied(&manager, "salesOrderCreate", bulk.input(11, better, "better")).await,
        [
            ("BELOW_RECOMMENDED".to_owned(), "lines.0.accessDays".to_owned()),
            ("BELOW_RECOMMENDED".to_owned(), "lines.0.agreedPrice".to_owned())
        ]
    );
    let mut whose = bulk.input(11, json!({}), "whose");
    whose["originator"] = json!("LICENSOR");
    assert_eq!(shop.denied(&manager, "salesOrderCreate", whose).await, refusal("UNSUPPORTED", "originator"));
    let made = shop.act(&program, "salesOrderCreate", bulk.input(11, json!({}), "own"), "salesOrder { id originator }").await["salesOrder"]
        .clone();
    assert_eq!(made["originator"], "COMPANY");

    // There are no steps any more: at the old price it is not confirmed by the company.
    let tiers = json!({ "id": bulk.schedule, "name": "Bulk", "tiers": [{ "minQuantity": 1, "percentOff": "0" }] });
    shop.act(&operator, "discountScheduleSet", tiers, "discountSchedule { id }").await;
    let confirm = step_input(&made, json!({}));
    assert_eq!(shop.denied(&manager, "salesOrderConfirm", confirm).await, refusal("PRICE_CHANGED", "lines.0"));
    let lines = json!({ "lines": [{ "productId": bulk.product, "quantity": 11 }], "poNumber": "PO 7", "expectedVersion": 1 });
    let updated = bulk.step_by(&manager, "salesOrderUpdate", &made, lines.clone()).await;
    assert_eq!(json!([updated["total"]["amount"], updated["version"]]), json!(["110.00", 2]));
    let stale = json!({ "idempotencyKey": "stale", "expectedVersion": 1, "notes": "x" });
    assert_eq!(
        shop.denied(&manager, "salesOrderUpdate", step_input(&made, stale)).await,
        refusal("SALES_ORDER_CHANGED", "expectedVersion")
    );
    assert_eq!(bulk.step_by(&manager, "salesOrderConfirm", &made, json!({})).await["status"], "CONFIRMED");
    assert_eq!(
        shop.denied(&manager, "salesOrderCancel", step_input(&made, json!({ "reason": "no" }))).await,
        refusal("SALES_ORDER_STATE", "salesOrderId")
    );
    let invoice = "mutation($input: SalesOrderInvoiceInput!) { salesOrderInvoice(input: $input) { userErrors { code } } }";
    assert_eq!(shop.top_level_code(&manager, invoice, json!({ "input": step_input(&made, json!({})) })).await, "FORBIDDEN");

    let other =
        id(&shop.act(&operator, "companyCreate", json!({ "name": "Elsewhere", "type": "RETAIL" }), "company { id }").await["company"]);
    let stranger = shop.manager_key(&other);
    for (name, more) in [
        ("salesOrderUpdate", json!({ "notes": "mine" })),
        ("salesOrderConfirm", json!({})),
        ("salesOrderQuoteAccept", json!({})),
        ("salesOrderCancel", json!({ "reason": "mine" })),
    ] {
        assert_eq!(shop.denied(&stranger, name, step_input(&made, more)).await, refusal("NOT_FOUND", "salesOrderId"), "{name}");
    }
    assert_eq!(shop.denied(&stranger, "salesOrderCreate", bulk.input(1, json!({}), "x")).await, refusal("NOT_FOUND", "companyId"));
    let seen = "query($id: ID!) { salesOrder(id: $id) { id } node(id: $id) { id } salesOrders { nodes { id } } }";
    let of = async |caller: &Caller| shop.ok(caller, seen, json!({ "id": made["id"] })).await;
    assert_eq!(of(&stranger).await, json!({ "salesOrder": null, "node": null, "salesOrders": { "nodes": [] } }));
    let own = json!({ "id": made["id"] });
    assert_eq!(of(&manager).await, json!({ "salesOrder": own, "node": own, "salesOrders": { "nodes": [own] } }));
    let named = "query($company: ID) { salesOrders(filter: { companyId: $company }) { nodes { id } } }";
    assert_eq!(shop.ok(&stranger, named, json!({ "company": bulk.company })).await["salesOrders"]["nodes"], json!([]));
}

/// R62: a company can have its seats on confirming; what costs nothing is paid at once, either way.
#[tokio::test]
async fn r62_seats_come_on_confirming_or_on_payment_as_company_and_shop_say() {
    let bulk = Bulk::new().await;
    let (shop, operator) = (&bulk.shop, bulk.operator.clone());
    let free = bulk.draft(2, json!({ "agreedPrice": amount("0 USD"), "agreedReason": "a gift" }), "free").await;
    let free = bulk.step("salesOrderConfirm", &free, json!({})).await;
    assert_eq!((&free["status"], &free["lines"][0]["seats"]["free"]), (&json!("PAID"), &json!(2)));
    bulk.set_company(json!({ "tokensOn": "CONFIRM" })).await;
    assert_eq!(bulk.confirmed(3, "own").await["lines"][0]["seats"]["free"], 3);
    bulk.set_company(json!({ "tokensOn": null })).await;
    let settings = "shopSettings { tokensOn invoiceSeller }";
    let set = shop.act(&operator, "shopSettingsUpdate", json!({ "tokensOn": "CONFIRM" }), settings).await;
    assert_eq!(set["shopSettings"], json!({ "tokensOn": "CONFIRM", "invoiceSeller": null }));
    let order = bulk.confirmed(4, "shop").await;
    assert_eq!((&order["status"], &order["lines"][0]["seats"]["free"]), (&json!("CONFIRMED"), &json!(4)));
    // Once they are given, paying gives no more.
    assert_eq!(bulk.pay(&order, "40.00 USD", "p").await["lines"][0]["seats"]["free"], 4);
    assert_eq!(bulk.tokens(&order).await.len(), 4);
}

/// c23, c25, c31: seats go back unused, redeemed ones on purpose only; by number or by name, each once; what was paid is paid out to the cent, what was
/// not is no longer due; credit notes follow the invoice.
#[tokio::test]
async fn c23_c25_seats_go_back_unused_unless_redeemed_ones_are_included() {
    let bulk = Bulk::new().await;
    let (shop, operator) = (&bulk.shop, bulk.operator.clone());
    // 3 seats for 10.00: 3.33 each, but for the last cent.
    let order = bulk.draft(3, json!({ "agreedPrice": amount("3.34 USD"), "agreedReason": "x" }), "a").await;
    let order = bulk.step("salesOrderConfirm", &order, json!({})).await;
    let line = order["lines"][0]["id"].clone();
    bulk.step("salesOrderInvoice", &order, json!({})).await;
    let paid = bulk.pay(&order, "10.02 USD", "p").await;
    assert_eq!(paid["status"], "PAID");
    let (ann, bob) = (bulk.learner("ann@acme.test").await, bulk.learner("bob@acme.test").await);
    let tokens = bulk.tokens(&order).await;
    bulk.redeem(&ann, &tokens[0]).await;
    bulk.redeem(&bob, &tokens[1]).await;
    let back = |quantity: i64, include: bool, key: &str| json!({ "lines": [{ "salesLineId": line, "quantity": quantity }], "includeRedeemed": include, "reason": "asked", "idempotencyKey": key });
    assert_eq!(bulk.denied("salesOrderRefund", &order, back(2, false, "1")).await, refusal("SEATS_REDEEMED", "includeRedeemed"));
    assert_eq!(bulk.denied("salesOrderRefund", &order, back(4, true, "2")).await, refusal("QUANTITY_INVALID", "lines.0.quantity"));
    assert_eq!(bulk.denied("salesOrderRefund", &order, back(0, true, "3")).await, refusal("QUANTITY_INVALID", "lines.0.quantity"));
    let named = |token: &Value, include: bool, key: &str| json!({ "lines": [{ "salesLineId": line, "tokenIds": [token["id"]] }], "includeRedeemed": include, "reason": "asked", "idempotencyKey": key });
    assert_eq!(bulk.denied("salesOrderRefund", &order, named(&tokens[1], false, "4")).await, refusal("SEATS_REDEEMED", "includeRedeemed"));

    // All that nobody redeemed: one seat.
    let first = bulk.step("salesOrderRefund", &order, json!({ "reason": "unused", "idempotencyKey": "5" })).await;
    assert_eq!(
        json!([first["status"], first["credited"]["amount"], first["returned"]["amount"], first["lines"][0]["seats"]]),
        json!(["PAID", "3.34", "3.34", { "free": 0, "assigned": 0, "redeemed": 2, "void": 1 }])
    );
    let second = bulk.step("salesOrderRefund", &order, named(&tokens[1], true, "6")).await;
    assert_eq!((&second["credited"]["amount"], open_courses(shop, &bob).await, open_courses(shop, &ann).await), (&json!("6.68"), 0, 1));
    assert_eq!(
        bulk.denied("salesOrderRefund", &order, named(&tokens[1], true, "7")).await,
        refusal("NOT_FOUND", "lines.0.tokenIds"),
        "each once"
    );
    let rest = bulk.step("salesOrderRefund", &order, back(1, true, "8")).await;
    assert_eq!(json!([rest["credited"]["amount"], rest["returned"]["amount"], rest["status"]]), json!(["10.02", "10.02", "PAID"]));
    assert_eq!(open_courses(shop, &ann).await, 0);
    assert_eq!(
        bulk.denied("salesOrderRefund", &order, json!({ "reason": "more", "idempotencyKey": "9" })).await,
        refusal("NOT_REFUNDABLE", "salesOrderId")
    );
    let documents: Vec<Value> =
        rest["documents"].as_array().expect("a list").iter().map(|found| json!([found["number"], found["total"]["amount"]])).collect();
    assert_eq!(json!(documents), json!([["INV-000001", "10.02"], ["CRN-000001", "3.34"], ["CRN-000002", "3.34"], ["CRN-000003", "3.34"]]));
    assert_eq!(shop.ok(&operator, "{ givenNotPaid { reason } }", json!({})).await["givenNotPaid"], json!([]));
}

/// c23: what is not paid yet is credited first; an order of which nothing is due any more is PAID and gives what is left of it; one that all went
/// back of before anything was paid is CANCELLED; cancelling takes no money that came.
#[tokio::test]
async fn c23_credits_settle_what_is_due_and_cancelling_takes_unpaid_orders_alone() {
    let bulk = Bulk::new().await;
    let order = bulk.confirmed(10, "a").await;
    let line = order["lines"][0]["id"].clone();
    bulk.pay(&order, "60.00 USD", "p").await;
    assert_eq!(bulk.denied("salesOrderCancel", &order, json!({ "reason": "no" })).await, refusal("SALES_ORDER_STATE", "salesOrderId"));
    let back = |quantity: i64, key: &str| json!({ "lines": [{ "salesLineId": line, "quantity": quantity }], "reason": "fewer", "idempotencyKey": key });
    let fewer = bulk.step("salesOrderRefund", &order, back(3, "1")).await;
    assert_eq!(json!([fewer["status"], fewer["due"]["amount"], fewer["returned"]["amount"]]), json!(["CONFIRMED", "10.00", "0.00"]));
    let settled = bulk.step("salesOrderRefund", &order, back(2, "2")).await;
    assert_eq!(
        json!([settled["status"], settled["due"]["amount"], settled["returned"]["amount"], settled["lines"][0]["seats"]["free"]]),
        json!(["PAID", "0.00", "10.00", 5]),
        "60.00 came for what costs 50.00 now"
    );
    assert_eq!(settled["documents"], json!([]), "what was never invoiced needs no credit note");
    let invoiced = bulk.step("salesOrderInvoice", &order, json!({})).await;
    assert_eq!(
        json!([invoiced["status"], invoiced["documents"][0]["total"]["amount"]]),
        json!(["PAID", "50.00"]),
        "what is left is invoiced"
    );

    let never = bulk.confirmed(2, "b").await;
    let gone = bulk.step("salesOrderRefund", &never, json!({ "reason": "all", "idempotencyKey": "b" })).await;
    assert_eq!((&gone["status"], &gone["credited"]["amount"]), (&json!("CANCELLED"), &json!("20.00")));

    bulk.set_company(json!({ "tokensOn": "CONFIRM" })).await;
    let order = bulk.confirmed(3, "c").await;
    bulk.step("salesOrderInvoice", &order, json!({ "idempotencyKey": "c" })).await;
    let ann = bulk.learner("ann@acme.test").await;
    bulk.redeem(&ann, &bulk.tokens(&order).await[0]).await;
    let cancel = |include: bool, key: &str| json!({ "reason": "insolvent", "includeRedeemed": include, "idempotencyKey": key });
    assert_eq!(bulk.denied("salesOrderCancel", &order, cancel(false, "1")).await, refusal("SEATS_REDEEMED", "includeRedeemed"));
    let cancelled = bulk.step("salesOrderCancel", &order, cancel(true, "2")).await;
    assert_eq!(
        json!([
            cancelled["status"],
            cancelled["due"]["amount"],
            cancelled["documents"][1]["kind"],
            cancelled["documents"][1]["total"]["amount"]
        ]),
        json!(["CANCELLED", "0.00", "CREDIT_NOTE", "30.00"])
    );
    assert_eq!(open_courses(&bulk.shop, &ann).await, 0);
    assert_eq!(bulk.denied("salesOrderRefund", &order, back(1, "late")).await, refusal("SALES_ORDER_STATE", "salesOrderId"));
}

/// R62: numbers of invoices have no gaps, however many are issued at once, whatever was given up in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r62_twenty_invoices_issued_at_once_are_numbered_without_a_gap() {
    let bulk = Arc::new(Bulk::new().await);
    let mut orders = Vec::new();
    for number in 0..20 {
        orders.push(bulk.confirmed(1, &format!("o{number}")).await);
    }
    let number_of = |order: Value| order["documents"][0]["number"].as_str().expect("a number").to_owned();
    let first = bulk.confirmed(1, "first").await;
    assert_eq!(number_of(bulk.step("salesOrderInvoice", &first, json!({})).await), "INV-000001");
    // A transaction that took the next number and was given up gives it back.
    let txn = bulk.shop.app.db.begin().await.expect("it begins");
    let kind = domain::sales_order::DocumentKind::Invoice;
    assert_eq!(bursar::store::sales_order::next_serial(&txn, kind).await.expect("a number"), 2);
    txn.rollback().await.expect("it is given up");
    let other = bulk.shop.another().await;
    let tasks: Vec<_> = orders
        .into_iter()
        .enumerate()
        .map(|(place, order)| {
            let bulk = bulk.clone();
            let app = if place % 2 == 0 { bulk.shop.app.clone() } else { other.clone() };
            tokio::spawn(async move {
                let id = domain::SalesOrderId::parse(order["id"].as_str().expect("an id"));
                let done = app.sales_order_invoice(&bulk.shop.operator(), id, &format!("i{place}")).await.expect("it is issued");
                done.value.documents[0].number.clone()
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.expect("answered"));
    }
    numbers.sort_unstable();
    let expected: Vec<String> = (2..=21).map(|number| format!("INV-{number:06}")).collect();
    assert_eq!(numbers, expected);
}

/// R62: of many who invoice, confirm or pay one order at once, one has his way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r62_of_many_who_pay_an_order_at_once_no_more_than_what_is_due_is_recorded() {
    let bulk = Arc::new(Bulk::new().await);
    let order = bulk.confirmed(4, "a").await;
    let tasks: Vec<_> = (0..8)
        .map(|place| {
            let (bulk, order) = (bulk.clone(), order.clone());
            tokio::spawn(async move {
                let input = json!({ "input": step_input(&order, json!({ "amount": amount("10 USD"), "reference": "bank", "idempotencyKey": format!("k{place}") })) });
                let pay = "mutation($input: SalesOrderPaymentRecordInput!) { salesOrderPaymentRecord(input: $input) { userErrors { code } } }";
                let answer = bulk.shop.run(&bulk.shop.operator(), pay, input).await;
                answer["data"]["salesOrderPaymentRecord"]["userErrors"][0]["code"].clone()
            })
        })
        .collect();
    let mut codes = Vec::new();
    for task in tasks {
        codes.push(task.await.expect("answered"));
    }
    assert_eq!(codes.iter().filter(|code| code.is_null()).count(), 4, "{codes:?}");
    let paid = bulk
        .shop
        .ok(&bulk.shop.operator(), "query($id: ID!) { salesOrder(id: $id) { status paid { amount } } }", json!({ "id": order["id"] }))
        .await;
    assert_eq!(paid["salesOrder"], json!({ "status": "PAID", "paid": { "amount": "40.00" } }));
    assert_eq!(bulk.tokens(&order).await.len(), 4, "seats are given once");
}

/// R62: the invoice is a page made for printing, of what was frozen; it is shown under a signed link for a while, and to whoever may see the order.
#[tokio::test]
async fn r62_the_invoice_is_a_page_of_what_was_frozen_under_a_signed_link() {
    let bulk = Bulk::new().await;
    let (shop, operator) = (&bulk.shop, bulk.operator.clone());
    shop.set_time("2026-06-15T12:00:00Z");
    let seller = json!({ "invoiceSeller": "Learnwell Ltd\n1 High Street\nTax 123" });
    shop.act(&operator, "shopSettingsUpdate", seller, "shopSettings { invoiceSeller }").await;
    let mut input = bulk.input(11, json!({}), "a");
    let head = json!({ "poNumber": "PO <7>", "terms": "Within 30 days", "billTo": "Acme & Sons\nVienna", "locale": "pl" });
    input.as_object_mut().expect("fields").extend(head.as_object().expect("fields").clone());
    let order = shop.act(&operator, "salesOrderCreate", input, ORDER).await["salesOrder"].clone();
    bulk.step("salesOrderConfirm", &order, json!({})).await;
    let invoiced = bulk.step("salesOrderInvoice", &order, json!({})).await;
    let url = invoiced["documents"][0]["url"].as_str().expect("an address").to_owned();
    let path = url.strip_prefix("http://127.0.0.1:8080").expect("the shop's address").to_owned();
    let router: Router = invoice::routes(&shop.app);
    let get = async |path: &str, bearer: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let answer = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1_000_000).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("a text"))
    };
    // What changes afterwards changes nothing of it.
    shop.act(&operator, "shopSettingsUpdate", json!({ "invoiceSeller": null }), "shopSettings { invoiceSeller }").await;
    bulk.set_company(json!({ "name": "Another name" })).await;
    let (status, page) = get(&path, None).await;
    assert_eq!(status, StatusCode::OK);
    for part in [
        "<html lang=\"pl\">",
        "Faktura INV-000001",
        "Learnwell Ltd",
        "Tax 123",
        "Acme &amp; Sons",
        "PO &lt;7&gt;",
        "15.06.2026",
        "The Ada path",
        "99,00\u{a0}USD",
        "9,00\u{a0}USD",
        "Within 30 days",
        "@media print",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("<script"));

    let bare = path.split('?').next().expect("a path").to_owned();
    assert_eq!(get(&bare, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&path.replace("expires=", "expires=9"), None).await.0, StatusCode::FORBIDDEN, "another end is not ours");
    assert_eq!(get(&format!("{bare}?signature=x"), None).await.0, StatusCode::FORBIDDEN);
    assert_eq!(get("/invoice/nonsense", None).await.0, StatusCode::NOT_FOUND);
    shop.pass(TimeDelta::minutes(15));
    assert_eq!(get(&path, None).await.0, StatusCode::FORBIDDEN, "it is over");
    let key = async |role: &str, company: Option<&str>, scopes: &[&str]| {
        let input = json!({ "name": role, "role": role, "companyId": company, "scopes": scopes });
        shop.act(&operator, "serviceKeyCreate", input, "secret").await["secret"].as_str().expect("a secret").to_owned()
    };
    let elsewhere =
        id(&shop.act(&operator, "companyCreate", json!({ "name": "Elsewhere", "type": "SALES_ORDER" }), "company { id }").await["company"]);
    assert_eq!(get(&bare, Some(&key("MANAGER", Some(&bulk.company), &["sales:read"]).await)).await.0, StatusCode::OK);
    assert_eq!(get(&bare, Some(&key("MANAGER", Some(&elsewhere), &["sales:read"]).await)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&bare, Some(&key("SERVICE", None, &["orders:read"]).await)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&bare, Some(&key("SERVICE", None, &["sales:read"]).await)).await.0, StatusCode::OK);
    assert_eq!(get(&bare, Some("dead")).await.0, StatusCode::UNAUTHORIZED);
}

/// What is wrong with an input is said by field, all of it at once, and nothing is written.
#[tokio::test]
async fn what_is_wrong_with_a_sales_order_is_said_by_field_and_nothing_is_written() {
    let bulk = Bulk::new().await;
    let (shop, operator) = (&bulk.shop, bulk.operator.clone());
    let event = shop.act(&operator, "courseCreate", json!({ "title": "A day", "kind": "EVENT" }), "course { id }").await;
    let commerce = json!({ "courseId": event["course"]["id"], "enabled": true, "prices": [amount("5 USD")] });
    let dated = shop.act(&operator, "courseCommerceSet", commerce, "course { product { id } }").await;
    let line = |change: Value| {
        let mut line = json!({ "productId": bulk.product, "quantity": 1 });
        line.as_object_mut().expect("fields").extend(change.as_object().expect("fields").clone());
        line
    };
    let wrong = |change: Value| {
        let mut input = json!({ "companyId": bulk.company, "lines": [line(json!({}))], "idempotencyKey": "k" });
        input.as_object_mut().expect("fields").extend(change.as_object().expect("fields").clone());
        input
    };
    let one = |change: Value| wrong(json!({ "lines": [line(change)] }));
    for (input, code, field) in [
        (wrong(json!({ "lines": [] })), "REQUIRED", "lines"),
        (wrong(json!({ "lines": vec![line(json!({})); 101] })), "TOO_LONG", "lines"),
        (one(json!({ "quantity": 0 })), "QUANTITY_INVALID", "lines.0.quantity"),
        (one(json!({ "quantity": 10_001 })), "QUANTITY_INVALID", "lines.0.quantity"),
        (one(json!({ "productId": "prd_nothing" })), "NOT_FOUND", "lines.0.productId"),
        (one(json!({ "productId": dated["course"]["product"]["id"] })), "UNSUPPORTED", "lines.0.productId"),
        (one(json!({ "agreedPrice": amount("1.234 USD") })), "TOO_MANY_DIGITS", "lines.0.agreedPrice.amount"),
        (one(json!({ "agreedPrice": amount("-1 USD"), "agreedReason": "x" })), "INVALID", "lines.0.agreedPrice"),
        (one(json!({ "agreedPrice": amount("1 EUR"), "agreedReason": "x" })), "CURRENCY_MISMATCH", "lines.0.agreedPrice"),
        (one(json!({ "agreedPrice": amount("1 USD") })), "REQUIRED", "lines.0.agreedReason"),
        (one(json!({ "accessDays": 0, "agreedReason": "x" })), "TERMS_INVALID", "lines.0.accessDays"),
        (wrong(json!({ "currency": "EUR" })), "NO_RATE", "lines.0.productId"),
        (wrong(json!({ "currency": "XXX" })), "UNKNOWN_CURRENCY", "currency"),
        (wrong(json!({ "locale": "e" })), "INVALID", "locale"),
        (wrong(json!({ "poNumber": "x".repeat(101) })), "TOO_LONG", "poNumber"),
        (wrong(json!({ "notes": "x".repeat(10_001) })), "TOO_LONG", "notes"),
        (wrong(json!({ "companyId": "com_nothing" })), "NOT_FOUND", "companyId"),
        (wrong(json!({ "idempotencyKey": " " })), "INVALID", "idempotencyKey"),
    ] {
        assert_eq!(shop.denied(&operator, "salesOrderCreate", input.clone()).await, refusal(code, field), "{input}");
    }
    let order = bulk.draft(1, json!({}), "a").await;
    let mismatch = bulk.input(2, json!({}), "a");
    assert_eq!(shop.denied(&operator, "salesOrderCreate", mismatch).await, refusal("IDEMPOTENCY_MISMATCH", "idempotencyKey"));
    assert_eq!(bulk.denied("salesOrderCancel", &order, json!({ "reason": " " })).await[0].1, "reason");
    for step in ["salesOrderInvoice", "salesOrderRefund", "salesOrderPaymentRecord"] {
        let more = json!({ "salesOrderInvoice": {}, "salesOrderRefund": { "reason": "x" }, "salesOrderPaymentRecord": { "amount": amount("1 USD"), "reference": "x" } });
        assert_eq!(bulk.denied(step, &order, more[step].clone()).await, refusal("SALES_ORDER_STATE", "salesOrderId"), "{step} of a draft");
    }
    bulk.set_company(json!({ "enabled": false })).await;
    assert_eq!(shop.denied(&operator, "salesOrderCreate", bulk.input(1, json!({}), "off")).await, refusal("COMPANY_DISABLED", "companyId"));
    let all = shop.ok(&operator, "{ salesOrders { totalCount } }", json!({})).await;
    assert_eq!(all["salesOrders"]["totalCount"], 1);
}

/// c45: lists come in pages without holes, filtered, in a fixed number of statements.
#[tokio::test]
async fn c45_sales_orders_are_listed_in_pages_by_filters_in_few_statements() {
    let bulk = Bulk::new().await;
    let (shop, operator) = (&bulk.shop, bulk.operator.clone());
    shop.set_time("2026-06-15T12:00:00Z");
    for number in 0..12 {
        let order = bulk.draft(2, json!({}), &format!("d{number}")).await;
        if number % 2 == 0 {
            bulk.step("salesOrderConfirm", &order, json!({ "idempotencyKey": format!("c{number}") })).await;
            bulk.pay(&order, "20.00 USD", &format!("p{number}")).await;
        }
    }
    let list = "query($filter: SalesOrderFilter, $first: Int, $after: String) { salesOrders(filter: $filter, first: $first, after: $after) {
        totalCount pageInfo { hasNextPage endCursor } nodes { id status number lines { title seats { free } } payments { reference } credits { reason } documents { number } } } }";
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = shop.ok(&operator, list, json!({ "first": 5, "after": after })).await["salesOrders"].clone();
        seen.extend(page["nodes"].as_array().expect("a list").iter().map(id));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    let distinct: std::collections::BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (12, 12));
    let statements = async |first: i64| shop.counted(&operator, list, json!({ "first": first })).await.1;
    assert_eq!(statements(2).await, statements(12).await, "a longer page costs no more statements");
    let counted = async |filter: Value| shop.ok(&operator, list, json!({ "filter": filter })).await["salesOrders"]["totalCount"].clone();
    assert_eq!(counted(json!({ "status": ["PAID"] })).await, 6);
    assert_eq!(counted(json!({ "status": ["PAID", "DRAFT"], "companyId": bulk.company, "productId": bulk.product })).await, 12);
    assert_eq!(counted(json!({ "kind": "OVERAGE" })).await, 0);
    assert_eq!(counted(json!({ "createdBefore": "2026-06-15T12:00:00Z" })).await, 0);
    assert_eq!(counted(json!({ "createdFrom": "2026-06-15T12:00:00Z" })).await, 12);
    assert_eq!(counted(json!({ "companyId": "com_nothing" })).await, 0);
    assert_eq!(counted(json!({ "poNumber": "%" })).await, 0);
    let bad = shop.top_level_code(&operator, list, json!({ "first": 101 })).await;
    assert_eq!(bad, "BAD_INPUT");

    // Seats are listed page by page as well.
    let seats = "query($after: String) { tokens(first: 5, after: $after) { pageInfo { hasNextPage endCursor } nodes { id } } }";
    let (mut seen, mut after) = (std::collections::BTreeSet::new(), Value::Null);
    loop {
        let page = shop.ok(&operator, seats, json!({ "after": after })).await["tokens"].clone();
        seen.extend(page["nodes"].as_array().expect("a list").iter().map(id));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen.len(), 12);
}
