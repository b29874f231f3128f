//! A double of PayU: what its REST API is documented to do, as far as the adapter uses it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const POS: &str = "460718";
pub const CLIENT_SECRET: &str = "client-secret-4711";
pub const SECOND_KEY: &str = "13a980d4f851f3d9a1cfc792fb1f5e50";
pub const PREVIOUS_KEY: &str = "previous-key-0815";

pub struct Row {
    pub body: Value,
    pub status: String,
    pub refunds: Vec<Value>,
    pub reports: Vec<Vec<u8>>,
}

#[derive(Default)]
pub struct Books {
    pub orders: BTreeMap<String, Row>,
    pub tokens: BTreeSet<String>,
    pub tokens_given: usize,
    /// Payments whose refunds stay PENDING.
    pub refund_later: BTreeSet<String>,
    /// Orders that a reading still shows in this state.
    pub lagging: HashMap<String, String>,
    /// Whether the buyer's money waits for a capture.
    pub waits_for_confirmation: bool,
    /// How often somebody followed the redirect to the buyer's page.
    pub pages_shown: usize,
}

#[derive(Clone, Default)]
pub struct Double(Arc<Mutex<Books>>);

/// The scheme written a second time, so that the adapter is not tested with itself.
pub fn signature(body: &[u8], key: &str) -> String {
    let code: String = Sha256::digest([body, key.as_bytes()].concat()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sender=checkout;signature={code};algorithm=SHA-256;content=DOCUMENT")
}

impl Double {
    pub fn router(&self) -> Router {
        Router::new()
            .route("/pl/standard/user/oauth/authorize", post(authorize))
            .route("/api/v2_1/orders", post(create))
            .route("/api/v2_1/orders/{order}", get(read).delete(cancel))
            .route("/api/v2_1/orders/{order}/captures", post(capture))
            .route("/api/v2_1/orders/{order}/refunds", get(refunds).post(refund))
            .route("/pay/{order}", get(page))
            .with_state(self.clone())
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateway's id of a payment of ours.
    pub fn order_of(&self, ext_order_id: &str) -> Option<String> {
        self.books().orders.iter().find(|(_, row)| row.body["extOrderId"] == ext_order_id).map(|(id, _)| id.clone())
    }

    /// The order moves on; the gateway reports it.
    pub fn moves(&self, order: &str, status: &str) {
        let mut books = self.books();
        let row = books.orders.get_mut(order).expect("an order");
        row.status = status.to_owned();
        let mut told = shown(order, row);
        told["orderCreateDate"] = "2026-11-29T00:41:00.000+01:00".into();
        let report = json!({ "order": told, "localReceiptDateTime": "2026-11-29T00:42:00.000+01:00", "properties": [] });
        row.reports.push(report.to_string().into_bytes());
    }

    /// The buyer pays.
    pub fn pay(&self, order: &str) {
        self.moves(order, "PENDING");
        let waits = self.books().waits_for_confirmation;
        self.moves(order, if waits { "WAITING_FOR_CONFIRMATION" } else { "COMPLETED" });
    }

    /// A refund does not go through; the gateway reports it.
    pub fn fail_refund(&self, order: &str, refund_id: &str) {
        let mut books = self.books();
        let row = books.orders.get_mut(order).expect("an order");
        let refund = row.refunds.iter_mut().find(|refund| refund["refundId"] == refund_id).expect("a refund");
        refund["status"] = "CANCELED".into();
        let report = json!({
            "orderId": order, "extOrderId": row.body["extOrderId"],
            "refund": {
                "refundId": refund_id, "amount": refund["amount"], "currencyCode": "PLN", "status": "CANCELED",
                "statusDateTime": "2026-11-30T10:00:00.000+01:00", "reason": "refund", "reasonDescription": "on request",
            },
        });
        row.reports.push(report.to_string().into_bytes());
    }

    fn enter(&self, headers: &HeaderMap) -> Result<MutexGuard<'_, Books>, Refusal> {
        let books = self.books();
        let token = headers.get("authorization").and_then(|given| given.to_str().ok()).and_then(|given| given.strip_prefix("Bearer "));
        if token.is_some_and(|token| books.tokens.contains(token)) {
            Ok(books)
        } else {
            Err(refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Invalid or expired token"))
        }
    }
}

type Refusal = (StatusCode, Json<Value>);

fn refused(status: StatusCode, code: &str, why: &str) -> Refusal {
    (status, Json(json!({ "status": { "statusCode": code, "severity": "INFO", "statusDesc": why } })))
}

fn missing() -> Refusal {
    refused(StatusCode::NOT_FOUND, "DATA_NOT_FOUND", "Could not find data for given criteria.")
}

fn shown(order: &str, row: &Row) -> Value {
    let mut told = row.body.clone();
    told["orderId"] = order.into();
    told["status"] = row.status.clone().into();
    if row.status != "NEW" {
        told["payMethod"] = json!({ "amount": row.body["totalAmount"], "type": "PBL" });
    }
    told
}

async fn authorize(State(double): State<Double>, Form(form): Form<HashMap<String, String>>) -> Result<Json<Value>, Refusal> {
    let given = |key: &str| form.get(key).map(String::as_str);
    if given("grant_type") != Some("client_credentials") || given("client_id") != Some(POS) || given("client_secret") != Some(CLIENT_SECRET)
    {
        return Err((StatusCode::UNAUTHORIZED, Json(json!({ "error": "invalid_client", "error_description": "Bad client credentials" }))));
    }
    let mut books = double.books();
    books.tokens_given += 1;
    let token = format!("token-{}", books.tokens_given);
    books.tokens.insert(token.clone());
    Ok(Json(json!({ "access_token": token, "token_type": "bearer", "expires_in": 43199, "grant_type": "client_credentials" })))
}

async fn create(State(double): State<Double>, headers: HeaderMap, Json(body): Json<Value>) -> Result<Response, Refusal> {
    let mut books = double.enter(&headers)?;
    let needed = ["customerIp", "merchantPosId", "description", "currencyCode", "totalAmount", "products", "notifyUrl"];
    if let Some(missing) = needed.iter().find(|key| body.get(**key).is_none()) {
        return Err(refused(StatusCode::BAD_REQUEST, "ERROR_VALUE_MISSING", missing));
    }
    if body["merchantPosId"] != POS || body["totalAmount"].as_str().is_none_or(|amount| amount.parse::<i64>().is_err()) {
        return Err(refused(StatusCode::BAD_REQUEST, "ERROR_VALUE_INVALID", "merchantPosId or totalAmount"));
    }
    if let Some((order, known)) = books.orders.iter().find(|(_, row)| row.body["extOrderId"] == body["extOrderId"]) {
        let status = json!({ "statusCode": "ERROR_ORDER_NOT_UNIQUE", "code": "110", "codeLiteral": "ORDER_NOT_UNIQUE" });
        let answer = json!({ "orderId": order, "extOrderId": known.body["extOrderId"], "status": status });
        return Ok((StatusCode::BAD_REQUEST, Json(answer)).into_response());
    }
    let order = format!("WZHF5FFDRJ140731GUEST{:03}P01", books.orders.len());
    let answer = json!({
        "status": { "statusCode": "SUCCESS" }, "redirectUri": format!("http://127.0.0.1:9/pay/{order}"), "orderId": order,
        "extOrderId": body["extOrderId"],
    });
    let location = format!("/pay/{order}");
    books.orders.insert(order, Row { body, status: "NEW".to_owned(), refunds: Vec::new(), reports: Vec::new() });
    Ok((StatusCode::FOUND, [("location", location)], Json(answer)).into_response())
}

async fn page(State(double): State<Double>) -> &'static str {
    double.books().pages_shown += 1;
    "<html>Pay here</html>"
}

async fn read(State(double): State<Double>, headers: HeaderMap, Path(order): Path<String>) -> Result<Json<Value>, Refusal> {
    let books = double.enter(&headers)?;
    let mut told = shown(&order, books.orders.get(&order).ok_or_else(missing)?);
    if let Some(old) = books.lagging.get(&order) {
        told["status"] = old.clone().into();
    }
    Ok(Json(json!({ "orders": [told], "status": { "statusCode": "SUCCESS", "statusDesc": "Request processing successful" } })))
}

async fn cancel(State(double): State<Double>, headers: HeaderMap, Path(order): Path<String>) -> Result<Json<Value>, Refusal> {
    let mut books = double.enter(&headers)?;
    let row = books.orders.get_mut(&order).ok_or_else(missing)?;
    if matches!(row.status.as_str(), "COMPLETED" | "CANCELED") {
        // Said with HTTP 200, as PayU does.
        return Err(refused(StatusCode::OK, "ERROR_VALUE_INVALID", "Wrong order status"));
    }
    row.status = "CANCELED".to_owned();
    Ok(Json(json!({ "orderId": order, "status": { "statusCode": "SUCCESS" } })))
}

async fn capture(State(double): State<Double>, headers: HeaderMap, Path(order): Path<String>) -> Result<Json<Value>, Refusal> {
    let mut books = double.enter(&headers)?;
    let row = books.orders.get_mut(&order).ok_or_else(missing)?;
    if row.status != "WAITING_FOR_CONFIRMATION" {
        return Err(refused(StatusCode::OK, "ERROR_VALUE_INVALID", "Wrong order status"));
    }
    row.status = "COMPLETED".to_owned();
    Ok(Json(json!({ "orderId": order, "status": { "statusCode": "SUCCESS" } })))
}

async fn refund(State(double): State<Double>, headers: HeaderMap, Path(order): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let mut books = double.enter(&headers)?;
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let asked = &body["refund"];
    let ext_order_id = books.orders.get(&order).ok_or_else(missing)?.body["extOrderId"].as_str().unwrap_or_default().to_owned();
    let later = books.refund_later.contains(&ext_order_id);
    let number = books.orders.values().map(|row| row.refunds.len()).sum::<usize>();
    let row = books.orders.get_mut(&order).ok_or_else(missing)?;
    let minor = |value: &Value| value.as_str().and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    let gone: i64 = row.refunds.iter().filter(|refund| refund["status"] != "CANCELED").map(|refund| minor(&refund["amount"])).sum();
    let amount = minor(&asked["amount"]);
    if row.status != "COMPLETED" || amount <= 0 || amount > minor(&row.body["totalAmount"]) - gone {
        return Err(refused(StatusCode::OK, "BUSINESS_ERROR", "Refund is not possible"));
    }
    if row.refunds.iter().any(|known| known["extRefundId"] == asked["extRefundId"]) {
        return Err(refused(StatusCode::BAD_REQUEST, "ERROR_VALUE_INVALID", "extRefundId is not unique"));
    }
    let made = json!({
        "refundId": format!("50000{number:05}"), "extRefundId": asked["extRefundId"], "amount": asked["amount"],
        "currencyCode": row.body["currencyCode"], "description": asked["description"],
        "status": if later { "PENDING" } else { "FINALIZED" }, "statusDateTime": "2026-11-29T00:43:00.000+01:00",
    });
    row.refunds.push(made.clone());
    if !later {
        let mut told = made.clone();
        told.as_object_mut().expect("an object").remove("extRefundId");
        row.reports.push(json!({ "orderId": order, "extOrderId": ext_order_id, "refund": told }).to_string().into_bytes());
    }
    Ok(Json(json!({ "orderId": order, "refund": made, "status": { "statusCode": "SUCCESS" } })))
}

async fn refunds(State(double): State<Double>, headers: HeaderMap, Path(order): Path<String>) -> Result<Json<Value>, Refusal> {
    let books = double.enter(&headers)?;
    Ok(Json(json!({ "refunds": books.orders.get(&order).ok_or_else(missing)?.refunds })))
}
