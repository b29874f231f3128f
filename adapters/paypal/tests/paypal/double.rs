//! A double of PayPal: what Orders v2, Payments v2, Disputes and the signing of webhooks are documented to do, as far as the adapter uses them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Currency, Money};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

pub const CLIENT: &str = "client-1";
pub const CLIENT_SECRET: &str = "client-secret-4711";
pub const WEBHOOK: &str = "WEBHOOK-4711";

/// The certificates that the double hands out, by id.
const CERTIFICATES: [(&str, &[u8]); 5] = [
    ("CERT-GOOD", include_bytes!("certs/good.pem")),
    ("CERT-WITHOUT-CHAIN", include_bytes!("certs/without-chain.pem")),
    ("CERT-OVER", include_bytes!("certs/over.pem")),
    ("CERT-OTHER-NAME", include_bytes!("certs/other-name.pem")),
    ("CERT-STRANGER", include_bytes!("certs/stranger.pem")),
];

#[derive(Clone)]
pub struct Row {
    pub request: Value,
    pub status: String,
    pub authorizations: Vec<Value>,
    pub captures: Vec<Value>,
    pub refunds: Vec<Value>,
    pub disputes: Vec<Value>,
    pub reports: Vec<Vec<u8>>,
}

#[derive(Default)]
pub struct Books {
    pub orders: BTreeMap<String, Row>,
    /// What a request id gave: the object's id.
    done: HashMap<String, String>,
    pub tokens: BTreeSet<String>,
    pub tokens_given: usize,
    /// Payments whose refunds stay PENDING.
    pub refund_later: BTreeSet<String>,
    /// Payments whose capture is refused, and why.
    pub refuse_capture: HashMap<String, &'static str>,
    /// Payments whose capture PayPal looks at first.
    pub review: BTreeSet<String>,
    pub captures_taken: usize,
    pub certificates_fetched: usize,
    numbers: usize,
}

#[derive(Clone, Default)]
pub struct Double(Arc<Mutex<Books>>);

/// The headers of a delivery, signed by the leaf's key; written a second time, so that the adapter is not tested with itself.
pub fn headers(body: &[u8], webhook_id: &str, certificate_url: &str) -> Vec<(String, String)> {
    let crc = body.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    let message = format!("69cd13f0-d67a-11e5-baa3-778b53f4ae55|2027-01-15T08:00:00Z|{webhook_id}|{}", !crc);
    let key = RsaKeyPair::from_pkcs8(include_bytes!("certs/leaf.pk8")).expect("a key");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("a signature");
    [
        ("content-type", "application/json".to_owned()),
        ("paypal-transmission-id", "69cd13f0-d67a-11e5-baa3-778b53f4ae55".to_owned()),
        ("paypal-transmission-time", "2027-01-15T08:00:00Z".to_owned()),
        ("paypal-transmission-sig", STANDARD.encode(signature)),
        ("paypal-auth-algo", "SHA256withRSA".to_owned()),
        ("paypal-cert-url", certificate_url.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn minor(amount: &Value) -> i64 {
    let text = |key: &str| amount[key].as_str().unwrap_or_default();
    Money::parse(text("value"), Currency::parse(text("currency_code")).expect("a currency")).expect("an amount").minor
}

impl Books {
    fn number(&mut self, prefix: &str) -> String {
        self.numbers += 1;
        format!("{prefix}{:05}", self.numbers)
    }
}

impl Double {
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/oauth2/token", post(token))
            .route("/v1/notifications/certs/{id}", get(certificate))
            .route("/v2/checkout/orders", post(create))
            .route("/v2/checkout/orders/{order}", get(read))
            .route("/v2/checkout/orders/{order}/{step}", post(take))
            .route("/v2/payments/authorizations/{id}/capture", post(capture))
            .route("/v2/payments/authorizations/{id}/void", post(void))
            .route("/v2/payments/captures/{id}", get(read_capture))
            .route("/v2/payments/captures/{id}/refund", post(refund))
            .route("/v1/customer/disputes", get(disputes))
            .route("/v1/customer/disputes/{id}", get(dispute))
            .with_state(self.clone())
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateway's id of a payment of ours.
    pub fn order_of(&self, payment: &str) -> Option<String> {
        self.books().orders.iter().find(|(_, row)| row.request["purchase_units"][0]["custom_id"] == payment).map(|(id, _)| id.clone())
    }

    /// The buyer agrees.
    pub fn approve(&self, order: &str) {
        let mut books = self.books();
        books.orders.get_mut(order).expect("an order").status = "APPROVED".to_owned();
        let resource = shown(order, &books.orders[order]);
        report(&mut books, order, "CHECKOUT.ORDER.APPROVED", resource);
    }

    /// A refund ends.
    pub fn end_refund(&self, order: &str, refund_id: &str, status: &str) {
        let mut books = self.books();
        let row = books.orders.get_mut(order).expect("an order");
        let refund = row.refunds.iter_mut().find(|refund| refund["id"] == refund_id).expect("a refund");
        refund["status"] = status.into();
        let (resource, kind) = (refund.clone(), if status == "FAILED" { "PAYMENT.REFUND.FAILED" } else { "PAYMENT.CAPTURE.REFUNDED" });
        report(&mut books, order, kind, resource);
    }

    /// The buyer's bank takes so much back.
    pub fn open_dispute(&self, order: &str, amount: Value) {
        let mut books = self.books();
        let id = books.number("PP-D-");
        let row = books.orders.get_mut(order).expect("an order");
        let transaction =
            json!({ "seller_transaction_id": row.captures[0]["id"], "custom": row.request["purchase_units"][0]["custom_id"] });
        let dispute = json!({
            "dispute_id": id, "reason": "UNAUTHORISED", "status": "WAITING_FOR_SELLER_RESPONSE", "dispute_life_cycle_stage": "CHARGEBACK",
            "dispute_amount": amount, "disputed_transactions": [transaction], "update_time": "2027-01-20T08:00:00.000Z",
        });
        row.disputes.push(dispute.clone());
        report(&mut books, order, "CUSTOMER.DISPUTE.CREATED", dispute);
    }

    /// The bank decides.
    pub fn close_dispute(&self, order: &str, id: &str, outcome: &str) {
        let mut books = self.books();
        let row = books.orders.get_mut(order).expect("an order");
        let dispute = row.disputes.iter_mut().find(|dispute| dispute["dispute_id"] == id).expect("a dispute");
        dispute["status"] = "RESOLVED".into();
        dispute["dispute_outcome"] = json!({ "outcome_code": outcome });
        let resource = dispute.clone();
        report(&mut books, order, "CUSTOMER.DISPUTE.RESOLVED", resource);
    }

    fn enter(&self, headers: &HeaderMap) -> Result<MutexGuard<'_, Books>, Refusal> {
        let books = self.books();
        let token = headers.get("authorization").and_then(|given| given.to_str().ok()).and_then(|given| given.strip_prefix("Bearer "));
        if token.is_some_and(|token| books.tokens.contains(token)) {
            Ok(books)
        } else {
            Err((StatusCode::UNAUTHORIZED, Json(json!({ "error": "invalid_token" }))))
        }
    }
}

type Refusal = (StatusCode, Json<Value>);
type Made = (StatusCode, Json<Value>);

fn issue(issue: &str) -> Refusal {
    let details = json!([{ "issue": issue, "description": "The requested action could not be performed." }]);
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "name": "UNPROCESSABLE_ENTITY", "details": details, "debug_id": "b1d1f06c7246c" })))
}

fn missing() -> Refusal {
    let details = json!([{ "issue": "INVALID_RESOURCE_ID", "description": "Specified resource ID does not exist." }]);
    (StatusCode::NOT_FOUND, Json(json!({ "name": "RESOURCE_NOT_FOUND", "details": details, "debug_id": "b1d1f06c7246c" })))
}

/// The request's id; writes without one are made twice by PayPal, so the double insists, as on whole answers.
fn request_id(headers: &HeaderMap) -> String {
    assert!(headers.get("prefer").is_some_and(|prefer| prefer == "return=representation"), "ids of captures would be missing");
    headers.get("paypal-request-id").expect("a request id").to_str().expect("text").to_owned()
}

fn shown(order: &str, row: &Row) -> Value {
    let mut unit = row.request["purchase_units"][0].clone();
    unit["reference_id"] = "default".into();
    unit["payments"] = json!({ "authorizations": row.authorizations, "captures": row.captures, "refunds": row.refunds });
    json!({
        "id": order, "intent": row.request["intent"], "status": row.status, "purchase_units": [unit],
        "create_time": "2027-01-15T08:00:00Z",
        "links": [
            { "href": format!("https://api-m.sandbox.paypal.com/v2/checkout/orders/{order}"), "rel": "self", "method": "GET" },
            { "href": format!("https://www.sandbox.paypal.com/checkoutnow?token={order}"), "rel": "payer-action", "method": "GET" },
        ],
    })
}

fn report(books: &mut Books, order: &str, kind: &str, resource: Value) {
    let id = books.number("WH-");
    let event = json!({
        "id": id, "event_version": "1.0", "create_time": "2027-01-15T08:00:00Z", "event_type": kind, "summary": "Something happened",
        "resource": resource,
    });
    books.orders.get_mut(order).expect("an order").reports.push(event.to_string().into_bytes());
}

fn new_capture(books: &mut Books, order: &str, amount: &Value, status: &str) -> Value {
    let id = books.number("3C6793");
    books.captures_taken += 1;
    let row = books.orders.get_mut(order).expect("an order");
    let capture = json!({
        "id": id, "status": status, "amount": amount, "final_capture": true, "custom_id": row.request["purchase_units"][0]["custom_id"],
        "invoice_id": row.request["purchase_units"][0]["invoice_id"], "update_time": "2027-01-15T08:01:00Z",
        "supplementary_data": { "related_ids": { "order_id": order } },
        "links": [{ "href": format!("https://api-m.sandbox.paypal.com/v2/checkout/orders/{order}"), "rel": "up", "method": "GET" }],
    });
    row.captures.push(capture.clone());
    let kind = if status == "PENDING" { "PAYMENT.CAPTURE.PENDING" } else { "PAYMENT.CAPTURE.COMPLETED" };
    report(books, order, kind, capture.clone());
    capture
}

async fn token(
    State(double): State<Double>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Json<Value>, Refusal> {
    let known = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{CLIENT_SECRET}")));
    let given = headers.get("authorization").and_then(|given| given.to_str().ok());
    if given != Some(&known) || form.get("grant_type").map(String::as_str) != Some("client_credentials") {
        return Err((StatusCode::UNAUTHORIZED, Json(json!({ "error": "invalid_client" }))));
    }
    let mut books = double.books();
    books.tokens_given += 1;
    let token = format!("A21AA-{}", books.tokens_given);
    books.tokens.insert(token.clone());
    Ok(Json(
        json!({ "scope": "https://uri.paypal.com/services/payments", "access_token": token, "token_type": "Bearer", "expires_in": 32400 }),
    ))
}

async fn certificate(State(double): State<Double>, Path(id): Path<String>) -> Result<&'static [u8], StatusCode> {
    double.books().certificates_fetched += 1;
    CERTIFICATES.iter().find(|(known, _)| *known == id).map(|(_, pem)| *pem).ok_or(StatusCode::NOT_FOUND)
}

async fn create(State(double): State<Double>, headers: HeaderMap, Json(body): Json<Value>) -> Result<Made, Refusal> {
    let mut books = double.enter(&headers)?;
    let request_id = request_id(&headers);
    if let Some(order) = books.done.get(&request_id) {
        return Ok((StatusCode::OK, Json(shown(order, &books.orders[order]))));
    }
    let amount = &body["purchase_units"][0]["amount"];
    let decimals = amount["value"].as_str().and_then(|value| value.split_once('.')).map_or(0, |(_, decimals)| decimals.len());
    let whole = ["HUF", "JPY", "TWD"].contains(&amount["currency_code"].as_str().unwrap_or_default());
    if decimals != if whole { 0 } else { 2 } {
        return Err(issue("DECIMAL_PRECISION"));
    }
    let context = &body["payment_source"]["paypal"]["experience_context"];
    if body["intent"].is_null() || context["return_url"].is_null() || context["cancel_url"].is_null() {
        return Err(issue("MISSING_REQUIRED_PARAMETER"));
    }
    let order = books.number("5O190127TN");
    let row = Row {
        request: body,
        status: "PAYER_ACTION_REQUIRED".to_owned(),
        authorizations: Vec::new(),
        captures: Vec::new(),
        refunds: Vec::new(),
        disputes: Vec::new(),
        reports: Vec::new(),
    };
    let answer = shown(&order, &row);
    books.orders.insert(order.clone(), row);
    books.done.insert(request_id, order);
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn read(State(double): State<Double>, headers: HeaderMap, Path(order): Path<String>) -> Result<Json<Value>, Refusal> {
    let books = double.enter(&headers)?;
    Ok(Json(shown(&order, books.orders.get(&order).ok_or_else(missing)?)))
}

/// Takes or reserves the money of an approved order.
async fn take(State(double): State<Double>, headers: HeaderMap, Path((order, step)): Path<(String, String)>) -> Result<Made, Refusal> {
    let mut books = double.enter(&headers)?;
    let (request_id, row) = (request_id(&headers), books.orders.get(&order).ok_or_else(missing)?.clone());
    if books.done.contains_key(&request_id) {
        return Ok((StatusCode::OK, Json(shown(&order, &row))));
    }
    let payment = row.request["purchase_units"][0]["custom_id"].as_str().unwrap_or_default();
    match row.status.as_str() {
        "APPROVED" => {}
        "COMPLETED" => return Err(issue("ORDER_ALREADY_CAPTURED")),
        _ => return Err(issue("ORDER_NOT_APPROVED")),
    }
    if let Some(why) = books.refuse_capture.get(payment) {
        return Err(issue(why));
    }
    let wanted = if row.request["intent"] == "AUTHORIZE" { "authorize" } else { "capture" };
    assert_eq!(step, wanted, "the order's intent");
    let amount = &row.request["purchase_units"][0]["amount"];
    if step == "capture" {
        let status = if books.review.contains(payment) { "PENDING" } else { "COMPLETED" };
        new_capture(&mut books, &order, amount, status);
    } else {
        let id = books.number("0VF528");
        let held = json!({ "id": id, "status": "CREATED", "amount": amount, "update_time": "2027-01-15T08:01:00Z" });
        books.orders.get_mut(&order).expect("an order").authorizations.push(held);
    }
    books.done.insert(request_id, order.clone());
    books.orders.get_mut(&order).expect("an order").status = "COMPLETED".to_owned();
    Ok((StatusCode::CREATED, Json(shown(&order, &books.orders[&order]))))
}

fn order_with(books: &Books, which: impl Fn(&Row) -> &Vec<Value>, id: &str) -> Result<String, Refusal> {
    books.orders.iter().find(|(_, row)| which(row).iter().any(|part| part["id"] == id)).map(|(order, _)| order.clone()).ok_or_else(missing)
}

async fn capture(
    State(double): State<Double>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Result<Made, Refusal> {
    let mut books = double.enter(&headers)?;
    let request_id = request_id(&headers);
    let order = order_with(&books, |row| &row.authorizations, &id)?;
    if let Some(done) = books.done.get(&request_id) {
        let found = books.orders[&order].captures.iter().find(|capture| capture["id"] == done.as_str()).cloned();
        return Ok((StatusCode::OK, Json(found.expect("the capture that was made"))));
    }
    let row = &books.orders[&order];
    let held = row.authorizations.iter().find(|held| held["id"] == id.as_str()).expect("it was found").clone();
    let taken: i64 = row.captures.iter().map(|capture| minor(&capture["amount"])).sum();
    match held["status"].as_str() {
        Some("VOIDED") => return Err(issue("AUTHORIZATION_VOIDED")),
        Some("CAPTURED") => return Err(issue("AUTHORIZATION_ALREADY_CAPTURED")),
        _ => {}
    }
    // A tolerance as the real one has it: up to 15 % more than was reserved.
    if (taken + minor(&body["amount"])) * 100 > minor(&held["amount"]) * 115 {
        return Err(issue("MAX_CAPTURE_AMOUNT_EXCEEDED"));
    }
    let whole = taken + minor(&body["amount"]) >= minor(&held["amount"]) || body["final_capture"] == true;
    let made = new_capture(&mut books, &order, &body["amount"], "COMPLETED");
    books.done.insert(request_id, made["id"].as_str().expect("an id").to_owned());
    let row = books.orders.get_mut(&order).expect("an order");
    let held = row.authorizations.iter_mut().find(|held| held["id"] == id.as_str()).expect("it was found");
    held["status"] = if whole { "CAPTURED" } else { "PARTIALLY_CAPTURED" }.into();
    Ok((StatusCode::CREATED, Json(made)))
}

async fn void(State(double): State<Double>, headers: HeaderMap, Path(id): Path<String>) -> Result<Made, Refusal> {
    let mut books = double.enter(&headers)?;
    let order = order_with(&books, |row| &row.authorizations, &id)?;
    let row = books.orders.get_mut(&order).expect("an order");
    let held = row.authorizations.iter_mut().find(|held| held["id"] == id.as_str()).expect("it was found");
    if held["status"] != "CREATED" {
        return Err(issue("PREVIOUSLY_CAPTURED"));
    }
    held["status"] = "VOIDED".into();
    Ok((StatusCode::OK, Json(held.clone())))
}

async fn read_capture(State(double): State<Double>, headers: HeaderMap, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let books = double.enter(&headers)?;
    let order = order_with(&books, |row| &row.captures, &id)?;
    let found = books.orders[&order].captures.iter().find(|capture| capture["id"] == id.as_str()).cloned();
    Ok(Json(found.expect("it was found")))
}

async fn refund(
    State(double): State<Double>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Result<Made, Refusal> {
    let mut books = double.enter(&headers)?;
    let request_id = request_id(&headers);
    let order = order_with(&books, |row| &row.captures, &id)?;
    let payment = books.orders[&order].request["purchase_units"][0]["custom_id"].as_str().unwrap_or_default().to_owned();
    let later = books.refund_later.contains(&payment);
    if let Some(done) = books.done.get(&request_id) {
        let found = books.orders[&order].refunds.iter().find(|refund| refund["id"] == done.as_str()).cloned();
        return Ok((StatusCode::OK, Json(found.expect("the refund that was made"))));
    }
    let number = books.number("1JU087");
    let row = books.orders.get_mut(&order).expect("an order");
    let gone: i64 = row.refunds.iter().filter(|refund| refund["status"] != "FAILED").map(|refund| minor(&refund["amount"])).sum();
    let capture = row.captures.iter_mut().find(|capture| capture["id"] == id.as_str()).expect("it was found");
    if gone + minor(&body["amount"]) > minor(&capture["amount"]) {
        return Err(issue("REFUND_AMOUNT_EXCEEDED"));
    }
    capture["status"] = if gone + minor(&body["amount"]) == minor(&capture["amount"]) { "REFUNDED" } else { "PARTIALLY_REFUNDED" }.into();
    let made = json!({
        "id": number, "status": if later { "PENDING" } else { "COMPLETED" }, "amount": body["amount"], "invoice_id": body["invoice_id"],
        "update_time": "2027-01-16T08:00:00Z",
        "links": [{ "href": format!("https://api-m.sandbox.paypal.com/v2/payments/captures/{id}"), "rel": "up", "method": "GET" }],
    });
    row.refunds.push(made.clone());
    books.done.insert(request_id, number);
    if !later {
        report(&mut books, &order, "PAYMENT.CAPTURE.REFUNDED", made.clone());
    }
    Ok((StatusCode::CREATED, Json(made)))
}

async fn disputes(
    State(double): State<Double>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, Refusal> {
    let books = double.enter(&headers)?;
    let wanted = query.get("disputed_transaction_id").cloned().unwrap_or_default();
    let all = books.orders.values().flat_map(|row| &row.disputes);
    let mut items: Vec<Value> =
        all.filter(|dispute| dispute["disputed_transactions"][0]["seller_transaction_id"] == wanted.as_str()).cloned().collect();
    for item in &mut items {
        // The list does not tell how a dispute ended.
        item.as_object_mut().expect("an object").remove("dispute_outcome");
    }
    Ok(Json(json!({ "items": items, "links": [] })))
}

async fn dispute(State(double): State<Double>, headers: HeaderMap, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let books = double.enter(&headers)?;
    let found = books.orders.values().flat_map(|row| &row.disputes).find(|dispute| dispute["dispute_id"] == id.as_str()).cloned();
    found.map(Json).ok_or_else(missing)
}
