//! A double of Przelewy24: what its REST API is documented to do, as far as the adapter uses it. It checks credentials and signatures by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest, Sha384};

pub const MERCHANT: u64 = 12345;
pub const API_KEY: &str = "api-key-4711";
pub const CRC: &str = "b36147eeac447028";
pub const PREVIOUS_CRC: &str = "previous-crc-0815";

/// When a refund that was taken is made.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Refunding {
    #[default]
    AtOnce,
    Later,
}

#[derive(Default)]
pub struct Session {
    pub registered: Value,
    pub token: String,
    pub status: i64,
    pub order_id: u64,
    pub refunds: Vec<Value>,
    pub reports: Vec<Vec<u8>>,
    pub verifications: usize,
}

#[derive(Default)]
pub struct Books {
    pub sessions: HashMap<String, Session>,
    pub refunding: HashMap<String, Refunding>,
    /// Registering a session again is refused instead of answered with the same token.
    pub once: bool,
    /// The next verification is refused although another one was faster.
    pub overtaken: bool,
    pub calls: usize,
}

#[derive(Clone, Default)]
pub struct Double(Arc<Mutex<Books>>);

/// The scheme written a second time, so that the adapter is not tested with itself.
pub fn sign(text: String) -> String {
    Sha384::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A notification of a payment signed with `crc`.
pub fn signed(mut notice: Value, crc: &str) -> Value {
    let text = if notice.get("refundsUuid").is_some() {
        format!(
            r#"{{"orderId":{},"sessionId":{},"refundsUuid":{},"merchantId":{},"amount":{},"currency":{},"status":{},"crc":"{crc}"}}"#,
            notice["orderId"],
            notice["sessionId"],
            notice["refundsUuid"],
            notice["merchantId"],
            notice["amount"],
            notice["currency"],
            notice["status"]
        )
    } else {
        format!(
            r#"{{"merchantId":{},"posId":{},"sessionId":{},"amount":{},"originAmount":{},"currency":{},"orderId":{},"methodId":{},"statement":{},"crc":"{crc}"}}"#,
            notice["merchantId"],
            notice["posId"],
            notice["sessionId"],
            notice["amount"],
            notice["originAmount"],
            notice["currency"],
            notice["orderId"],
            notice["methodId"],
            notice["statement"]
        )
    };
    notice["sign"] = sign(text).into();
    notice
}

impl Double {
    pub fn router(&self) -> Router {
        Router::new()
            .route("/api/v1/testAccess", get(test_access))
            .route("/api/v1/transaction/register", post(register))
            .route("/api/v1/transaction/by/sessionId/{session}", get(by_session))
            .route("/api/v1/transaction/verify", put(verify))
            .route("/api/v1/transaction/refund", post(refund))
            .route("/api/v1/refund/by/orderId/{order}", get(refunds))
            .with_state(self.clone())
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buyer pays; the gateway reports it.
    pub fn pay(&self, session: &str) -> bool {
        let mut books = self.books();
        let order_id = 300_000_000 + u64::try_from(books.calls).expect("a small number");
        let Some(session_row) = books.sessions.get_mut(session) else { return false };
        (session_row.status, session_row.order_id) = (1, order_id);
        let notice = json!({
            "merchantId": MERCHANT, "posId": MERCHANT, "sessionId": session, "amount": session_row.registered["amount"],
            "originAmount": session_row.registered["amount"], "currency": session_row.registered["currency"], "orderId": order_id,
            "methodId": 154, "statement": "p24-Zapłata/1",
        });
        session_row.reports.push(signed(notice, CRC).to_string().into_bytes());
        true
    }

    /// The gateway makes (1) or rejects (4) a refund; it reports that.
    pub fn end_refund(&self, session: &str, request_id: &str, status: i64) {
        let mut books = self.books();
        let row = books.sessions.get_mut(session).expect("a session");
        let refund = row.refunds.iter_mut().find(|refund| refund["requestId"] == request_id).expect("a refund");
        refund["status"] = status.into();
        report_refund(session, row, request_id);
    }

    fn enter(&self, headers: &HeaderMap) -> Result<MutexGuard<'_, Books>, Refusal> {
        // "12345:api-key-4711" in base64.
        let known = headers.get("authorization").is_some_and(|given| given == "Basic MTIzNDU6YXBpLWtleS00NzEx");
        let mut books = self.books();
        books.calls += 1;
        if known { Ok(books) } else { Err(refused(StatusCode::UNAUTHORIZED, "Incorrect authentication")) }
    }
}

fn report_refund(session: &str, row: &mut Session, request_id: &str) {
    let refund = row.refunds.iter().find(|refund| refund["requestId"] == request_id).expect("a refund");
    let notice = json!({
        "orderId": row.order_id, "sessionId": session, "merchantId": MERCHANT, "requestId": request_id, "refundsUuid": request_id,
        "amount": refund["amount"], "currency": row.registered["currency"], "timestamp": 1_800_000_000,
        "status": i64::from(refund["status"] == 4),
    });
    row.reports.push(signed(notice, CRC).to_string().into_bytes());
}

type Refusal = (StatusCode, Json<Value>);

fn refused(status: StatusCode, why: &str) -> Refusal {
    (status, Json(json!({ "error": why, "code": status.as_u16() })))
}

fn data(data: Value) -> Json<Value> {
    Json(json!({ "data": data, "responseCode": 0 }))
}

async fn test_access(State(double): State<Double>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    drop(double.enter(&headers)?);
    Ok(Json(json!({ "data": true, "error": "" })))
}

async fn register(State(double): State<Double>, headers: HeaderMap, Json(body): Json<Value>) -> Result<Json<Value>, Refusal> {
    let mut books = double.enter(&headers)?;
    let bad = |why: &str| refused(StatusCode::BAD_REQUEST, why);
    let expected = sign(format!(
        r#"{{"sessionId":{},"merchantId":{MERCHANT},"amount":{},"currency":{},"crc":"{CRC}"}}"#,
        body["sessionId"], body["amount"], body["currency"]
    ));
    if body["sign"] != expected.as_str() {
        return Err(bad("Incorrect CRC value"));
    }
    let needed = ["merchantId", "posId", "sessionId", "amount", "currency", "description", "email", "country", "language", "urlReturn"];
    if let Some(missing) = needed.iter().find(|key| body.get(**key).is_none()) {
        return Err(bad(&format!("Missing {missing}")));
    }
    let session = body["sessionId"].as_str().unwrap_or_default().to_owned();
    if !session.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') || session.len() > 100 {
        return Err(bad("Incorrect sessionId"));
    }
    let once = books.once;
    if let Some(known) = books.sessions.get(&session) {
        let same = known.registered["amount"] == body["amount"] && known.registered["currency"] == body["currency"];
        return if same && !once { Ok(data(json!({ "token": known.token }))) } else { Err(bad("Session already registered")) };
    }
    let token = format!("AB-{:08X}", books.sessions.len() + 1);
    books.sessions.insert(session, Session { registered: body, token: token.clone(), ..Session::default() });
    Ok(data(json!({ "token": token })))
}

async fn by_session(State(double): State<Double>, headers: HeaderMap, Path(session): Path<String>) -> Result<Json<Value>, Refusal> {
    let books = double.enter(&headers)?;
    let row = books.sessions.get(&session).ok_or_else(|| refused(StatusCode::NOT_FOUND, "Transaction not found"))?;
    Ok(data(json!({
        "statement": "p24", "orderId": row.order_id, "sessionId": session, "status": row.status, "amount": row.registered["amount"],
        "currency": row.registered["currency"], "date": "202611290041", "dateOfTransaction": "202611290041",
        "clientEmail": row.registered["email"], "accountMD5": "", "paymentMethod": 154, "description": row.registered["description"],
        "clientName": "", "clientAddress": "", "clientCity": "", "clientPostcode": "", "batchId": 0, "fee": "0",
    })))
}

async fn verify(State(double): State<Double>, headers: HeaderMap, Json(body): Json<Value>) -> Result<Json<Value>, Refusal> {
    let mut books = double.enter(&headers)?;
    let expected = sign(format!(
        r#"{{"sessionId":{},"orderId":{},"amount":{},"currency":{},"crc":"{CRC}"}}"#,
        body["sessionId"], body["orderId"], body["amount"], body["currency"]
    ));
    let overtaken = std::mem::take(&mut books.overtaken);
    let row = books.sessions.get_mut(body["sessionId"].as_str().unwrap_or_default());
    let row = row.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "Transaction not found"))?;
    if body["sign"] != expected.as_str() || body["orderId"] != row.order_id || body["amount"] != row.registered["amount"] {
        return Err(refused(StatusCode::BAD_REQUEST, "Incorrect data"));
    }
    row.verifications += 1;
    row.status = 2;
    if overtaken {
        return Err(refused(StatusCode::BAD_REQUEST, "Transaction already verified"));
    }
    Ok(data(json!({ "status": "success" })))
}

async fn refund(State(double): State<Double>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let mut books = match double.enter(&headers) {
        Ok(books) => books,
        Err(refusal) => return refusal.into_response(),
    };
    let conflict = |message: &str| {
        let error = json!({ "error": [{ "orderId": body["refunds"][0]["orderId"], "status": false, "message": message }], "code": 409 });
        (StatusCode::CONFLICT, Json(error)).into_response()
    };
    let part = body["refunds"][0].clone();
    let session = part["sessionId"].as_str().unwrap_or_default().to_owned();
    let how = books.refunding.get(&session).copied().unwrap_or_default();
    let Some(row) = books.sessions.get_mut(&session) else { return conflict("no such session") };
    if row.refunds.iter().any(|refund| refund["requestId"] == body["requestId"]) {
        return conflict("requestId is not unique");
    }
    let gone: i64 = row.refunds.iter().filter(|refund| refund["status"] != 4).filter_map(|refund| refund["amount"].as_i64()).sum();
    let left = row.registered["amount"].as_i64().unwrap_or_default() - gone;
    if row.status < 2 || part["orderId"] != row.order_id || part["amount"].as_i64().is_none_or(|amount| amount <= 0 || amount > left) {
        return conflict("amount exceeds what is left");
    }
    row.refunds.push(json!({
        "batchId": row.refunds.len() + 1, "requestId": body["requestId"], "date": "202611290042", "login": "api",
        "description": part["description"], "status": if how == Refunding::Later { 2 } else { 1 }, "amount": part["amount"],
    }));
    if how == Refunding::AtOnce {
        report_refund(&session, row, body["requestId"].as_str().unwrap_or_default());
    }
    let accepted = json!({
        "orderId": part["orderId"], "sessionId": session, "amount": part["amount"], "description": part["description"],
        "status": true, "message": "success",
    });
    (StatusCode::CREATED, Json(json!({ "data": [accepted], "responseCode": 0 }))).into_response()
}

async fn refunds(State(double): State<Double>, headers: HeaderMap, Path(order): Path<u64>) -> Result<Json<Value>, Refusal> {
    let books = double.enter(&headers)?;
    let row = books.sessions.values().find(|row| row.order_id == order && !row.refunds.is_empty());
    let row = row.ok_or_else(|| refused(StatusCode::NOT_FOUND, "No refunds found"))?;
    Ok(data(json!({
        "orderId": order, "sessionId": row.registered["sessionId"], "amount": row.registered["amount"],
        "currency": row.registered["currency"], "refunds": row.refunds,
    })))
}
