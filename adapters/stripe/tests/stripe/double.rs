//! Stripe's side of the tests: what its public documentation says of the endpoints that the adapter calls, with a memory, on a loopback port.
//!
//! Always true here: a parameter that is not documented is refused as Stripe refuses it, a key is remembered with what was asked and answered, and
//! nothing goes wrong on the way: that is the proxy's part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use gateway_http::Url;
use serde_json::{Value, json};

/// The only key that this Stripe knows.
pub const KEY: &str = "sk_test_double4711";

/// What it is given: names and values in Stripe's form encoding.
type Form = Vec<(String, String)>;

/// Its answer: status and object.
type Answer = (u16, Value);

#[derive(Debug, Default)]
pub struct World {
    sessions: BTreeMap<String, Value>,
    intents: BTreeMap<String, Value>,
    charges: BTreeMap<String, Value>,
    refunds: BTreeMap<String, Value>,
    disputes: BTreeMap<String, Value>,
    /// How a session's payment is made once the buyer pays: the parameters of `payment_intent_data`.
    paid_as: BTreeMap<String, Form>,
    /// Payments whose refunds stay on their way.
    pub slow_refunds: BTreeSet<String>,
    /// Reports by payment, oldest first.
    reports: Vec<(String, Vec<u8>)>,
    answers: BTreeMap<String, (String, Answer)>,
    numbers: u32,
}

/// The double.
#[derive(Debug, Clone, Default)]
pub struct Double(Arc<Mutex<World>>);

impl Double {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no panic")
    }

    pub fn router(&self) -> Router {
        let double = self.clone();
        Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let answer = double.answer(&method, &uri, &headers, &body);
            async move { answer }
        })
    }

    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
        let header_text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let respond = |(status, object): Answer, replayed: bool| {
            let status = StatusCode::from_u16(status).expect("a status");
            let headers = [(header::CONTENT_TYPE.as_str(), "application/json"), ("request-id", "req_double")];
            let mut response = (status, headers, object.to_string()).into_response();
            if replayed {
                response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
            }
            response
        };
        if header_text("authorization") != format!("Bearer {KEY}") {
            return respond(refuse(401, "invalid_request_error", "api_key_invalid", None), false);
        }
        assert!(!header_text("stripe-version").is_empty(), "the version is pinned");
        let parts: Vec<String> = uri.path().split('/').skip(2).map(str::to_owned).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let mut world = self.world();
        if method == Method::GET {
            return respond(world.get(&parts, &form(uri.query().unwrap_or_default().as_bytes())), false);
        }
        assert_eq!(header_text("content-type"), "application/x-www-form-urlencoded");
        let (key, asked) = (header_text("idempotency-key"), format!("{} {}", uri.path(), String::from_utf8_lossy(body)));
        assert!(!key.is_empty(), "every write has a key");
        if let Some((earlier, answer)) = world.answers.get(&key) {
            return if *earlier == asked {
                respond(answer.clone(), true)
            } else {
                respond(refuse(400, "idempotency_error", "", None), false)
            };
        }
        let answer = world.post(&parts, &form(body));
        world.answers.insert(key, (asked, answer.clone()));
        respond(answer, false)
    }
}

fn form(text: &[u8]) -> Form {
    let url = format!("http://double/?{}", String::from_utf8_lossy(text));
    Url::parse(&url).expect("a form").query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn number(form: &Form, name: &str) -> Option<i64> {
    field(form, name).and_then(|text| text.parse().ok())
}

/// `prefix[name]=value` as an object.
fn metadata(form: &Form, prefix: &str) -> Value {
    let named = form.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')?, value)));
    Value::Object(named.map(|(name, value)| (name.to_owned(), value.clone().into())).collect())
}

fn refuse(status: u16, kind: &str, code: &str, param: Option<&str>) -> Answer {
    (status, json!({ "error": { "type": kind, "code": code, "param": param, "message": "for buyer@learner.example" } }))
}

fn invalid(code: &str, param: &str) -> Answer {
    refuse(400, "invalid_request_error", code, Some(param))
}

fn missing() -> Answer {
    refuse(404, "invalid_request_error", "resource_missing", Some("id"))
}

/// Refuses what is not documented: names without their numbers, `*` for any name of metadata.
fn only(form: &Form, known: &[&str]) -> Result<(), Answer> {
    for (name, _) in form {
        let plain: String = name.split_inclusive('[').map(|part| part.trim_start_matches(|letter: char| letter.is_ascii_digit())).collect();
        let starred = plain.rfind('[').map(|at| format!("{}[*]", &plain[..at]));
        if !known.contains(&plain.as_str()) && !starred.is_some_and(|starred| known.contains(&starred.as_str())) {
            return Err(invalid("parameter_unknown", name));
        }
    }
    Ok(())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("it fits")
}

impl World {
    fn id(&mut self, prefix: &str) -> String {
        self.numbers += 1;
        format!("{prefix}_{:05}", self.numbers)
    }

    fn get(&mut self, parts: &[&str], query: &Form) -> Answer {
        let found = match parts {
            ["balance"] => return (200, json!({ "object": "balance", "livemode": false })),
            ["checkout", "sessions"] => return self.list(&self.sessions, query, &["payment_intent"]),
            ["payment_intents"] => return self.list(&self.intents, query, &[]),
            ["refunds"] => return self.list(&self.refunds, query, &["payment_intent"]),
            ["disputes"] => return self.list(&self.disputes, query, &["payment_intent"]),
            ["checkout", "sessions", id] => self.sessions.get(*id).cloned(),
            ["payment_intents", id] => self.intents.get(*id).cloned(),
            ["refunds", id] => self.refunds.get(*id).cloned(),
            _ => None,
        };
        let Some(mut object) = found else { return missing() };
        for (_, path) in query.iter().filter(|(name, _)| name == "expand[]") {
            self.expand(&mut object, &path.split('.').collect::<Vec<_>>());
        }
        (200, object)
    }

    fn expand(&self, object: &mut Value, path: &[&str]) {
        let Some((name, rest)) = path.split_first() else { return };
        let store = if *name == "payment_intent" { &self.intents } else { &self.charges };
        if let Some(mut inner) = object[name].as_str().and_then(|id| store.get(id)).cloned() {
            self.expand(&mut inner, rest);
            object[name] = inner;
        }
    }

    /// Newest first, a page at a time.
    fn list(&self, all: &BTreeMap<String, Value>, query: &Form, filters: &[&str]) -> Answer {
        let known = [filters, &["limit", "created[gte]", "starting_after"]].concat();
        if let Err(answer) = only(query, &known) {
            return answer;
        }
        let since = number(query, "created[gte]").unwrap_or(0);
        let fits = |object: &&Value| {
            object["created"].as_i64() >= Some(since)
                && filters.iter().all(|name| field(query, name).is_none_or(|value| object[*name] == value))
        };
        let mut data: Vec<Value> = all.values().rev().filter(fits).cloned().collect();
        if let Some(after) = field(query, "starting_after") {
            let at = data.iter().position(|object| object["id"] == after).map_or(data.len(), |at| at + 1);
            data.drain(..at);
        }
        let limit = usize::try_from(number(query, "limit").unwrap_or(10)).expect("a limit");
        let more = data.len() > limit;
        data.truncate(limit);
        (200, json!({ "object": "list", "data": data, "has_more": more }))
    }

    fn post(&mut self, parts: &[&str], form: &Form) -> Answer {
        let done = match parts {
            ["checkout", "sessions"] => self.make_session(form),
            ["checkout", "sessions", id, "expire"] => self.expire(id),
            ["payment_intents"] => self.make_intent(form),
            ["payment_intents", id, "capture"] => self.capture(id, form),
            ["payment_intents", id, "cancel"] => self.cancel(id),
            ["refunds"] => self.refund(form),
            _ => Err(missing()),
        };
        done.map_or_else(|answer| answer, |object| (200, object))
    }

    fn make_session(&mut self, form: &Form) -> Result<Value, Answer> {
        only(
            form,
            &[
                "mode",
                "client_reference_id",
                "success_url",
                "cancel_url",
                "customer_email",
                "expires_at",
                "metadata[*]",
                "payment_intent_data[metadata][*]",
                "payment_intent_data[description]",
                "payment_intent_data[capture_method]",
                "payment_method_types[]",
                "line_items[][quantity]",
                "line_items[][price_data][currency]",
                "line_items[][price_data][unit_amount]",
                "line_items[][price_data][product_data][name]",
            ],
        )?;
        if field(form, "mode") != Some("payment") || field(form, "success_url").is_none() {
            return Err(invalid("parameter_missing", "mode"));
        }
        if let Some(at) = number(form, "expires_at")
            && !(now() + 30 * 60..=now() + 24 * 3_600).contains(&at)
        {
            return Err(invalid("parameter_invalid_integer", "expires_at"));
        }
        let mut total = 0;
        for index in 0.. {
            let line = format!("line_items[{index}]");
            let Some(amount) = number(form, &format!("{line}[price_data][unit_amount]")) else { break };
            if field(form, &format!("{line}[price_data][product_data][name]")).is_none_or(str::is_empty) {
                return Err(invalid("parameter_missing", "line_items"));
            }
            total += amount * number(form, &format!("{line}[quantity]")).unwrap_or(0);
        }
        if !(1..=99_999_999).contains(&total) {
            return Err(invalid("amount_too_large", "line_items"));
        }
        let id = self.id("cs_test");
        let session = json!({
            "id": id, "object": "checkout.session", "status": "open", "payment_status": "unpaid", "created": now(), "livemode": false,
            "url": format!("https://checkout.stripe.example/c/pay/{id}"), "amount_total": total,
            "currency": field(form, "line_items[0][price_data][currency]"), "client_reference_id": field(form, "client_reference_id"),
            "payment_intent": null, "metadata": metadata(form, "metadata"),
        });
        self.sessions.insert(id.clone(), session.clone());
        self.paid_as.insert(id, form.clone());
        Ok(session)
    }

    fn expire(&mut self, id: &str) -> Result<Value, Answer> {
        let session = self.sessions.get_mut(id).ok_or_else(missing)?;
        if session["status"] != "open" {
            return Err(invalid("", "session"));
        }
        session["status"] = "expired".into();
        session["url"] = Value::Null;
        let session = session.clone();
        self.report("checkout.session.expired", &session);
        Ok(session)
    }

    fn make_intent(&mut self, form: &Form) -> Result<Value, Answer> {
        only(
            form,
            &[
                "amount",
                "currency",
                "metadata[*]",
                "description",
                "expand[]",
                "capture_method",
                "receipt_email",
                "payment_method",
                "confirm",
                "return_url",
                "automatic_payment_methods[enabled]",
                "payment_method_types[]",
            ],
        )?;
        let amount = number(form, "amount").filter(|amount| (1..=99_999_999).contains(amount)).ok_or_else(|| invalid("", "amount"))?;
        let id = self.id("pi");
        let intent = json!({
            "id": id, "object": "payment_intent", "status": "requires_payment_method", "amount": amount, "amount_received": 0,
            "currency": field(form, "currency"), "client_secret": format!("{id}_secret_hidden"), "created": now(), "livemode": false,
            "capture_method": field(form, "capture_method").unwrap_or("automatic"), "latest_charge": null, "next_action": null,
            "last_payment_error": null, "cancellation_reason": null, "metadata": metadata(form, "metadata"),
        });
        self.intents.insert(id.clone(), intent);
        match (field(form, "confirm"), field(form, "payment_method")) {
            (None, _) => {}
            (Some(_), Some("pm_card_visa")) => self.pay(&id),
            (Some(_), Some("pm_card_visa_chargeDeclinedInsufficientFunds")) => {
                let error = json!({ "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds" });
                let intent = self.intents.get_mut(&id).expect("it was made");
                intent["last_payment_error"] = error.clone();
                let mut error = error;
                error["payment_intent"] = intent.clone();
                let intent = intent.clone();
                self.report("payment_intent.payment_failed", &intent);
                return Err((402, json!({ "error": error })));
            }
            (Some(_), Some("pm_card_authenticationRequired")) => {
                let intent = self.intents.get_mut(&id).expect("it was made");
                intent["status"] = "requires_action".into();
                intent["next_action"] =
                    json!({ "type": "redirect_to_url", "redirect_to_url": { "url": "https://hooks.stripe.example/3ds" } });
            }
            (Some(_), _) => {
                self.intents.remove(&id);
                return Err(invalid("resource_missing", "payment_method"));
            }
        }
        let mut intent = self.intents[&id].clone();
        self.expand(&mut intent, &["latest_charge"]);
        Ok(intent)
    }

    /// The money of an intent is taken, or reserved.
    fn pay(&mut self, id: &str) {
        let charge = self.id("ch");
        let intent = self.intents.get_mut(id).expect("it is there");
        let manual = intent["capture_method"] == "manual";
        let (amount, taken) = (intent["amount"].clone(), if manual { json!(0) } else { intent["amount"].clone() });
        intent["status"] = if manual { "requires_capture" } else { "succeeded" }.into();
        intent["amount_received"] = taken.clone();
        intent["latest_charge"] = charge.clone().into();
        let intent = intent.clone();
        let object = json!({
            "id": charge, "object": "charge", "amount": amount, "amount_captured": taken, "amount_refunded": 0, "disputed": false,
            "payment_method_details": { "type": "card", "card": { "brand": "visa", "last4": "4242" } },
        });
        self.charges.insert(charge, object);
        self.report(if manual { "payment_intent.amount_capturable_updated" } else { "payment_intent.succeeded" }, &intent);
    }

    fn capture(&mut self, id: &str, form: &Form) -> Result<Value, Answer> {
        only(form, &["amount_to_capture", "expand[]"])?;
        let intent = self.intents.get_mut(id).ok_or_else(missing)?;
        if intent["status"] != "requires_capture" {
            return Err(invalid("payment_intent_unexpected_state", "id"));
        }
        let amount = number(form, "amount_to_capture").unwrap_or(0);
        if amount > intent["amount"].as_i64().unwrap_or(0) {
            return Err(invalid("amount_too_large", "amount_to_capture"));
        }
        intent["status"] = "succeeded".into();
        intent["amount_received"] = amount.into();
        let mut intent = intent.clone();
        let charge = self.charges.get_mut(intent["latest_charge"].as_str().unwrap_or_default()).expect("it was charged");
        charge["amount_captured"] = amount.into();
        self.report("payment_intent.succeeded", &intent);
        self.expand(&mut intent, &["latest_charge"]);
        Ok(intent)
    }

    fn cancel(&mut self, id: &str) -> Result<Value, Answer> {
        let intent = self.intents.get_mut(id).ok_or_else(missing)?;
        if matches!(intent["status"].as_str(), Some("succeeded" | "canceled" | "processing")) {
            return Err(invalid("payment_intent_unexpected_state", "id"));
        }
        intent["status"] = "canceled".into();
        let intent = intent.clone();
        self.report("payment_intent.canceled", &intent);
        Ok(intent)
    }

    fn refund(&mut self, form: &Form) -> Result<Value, Answer> {
        only(form, &["payment_intent", "amount", "metadata[*]"])?;
        let intent = self.intents.get(field(form, "payment_intent").unwrap_or_default()).ok_or_else(missing)?.clone();
        let (id, payment) = (self.id("re"), payment_of(&intent));
        let charge = intent["latest_charge"].as_str().and_then(|id| self.charges.get(id)).ok_or_else(|| invalid("", "payment_intent"))?;
        if charge["disputed"] == true {
            return Err(invalid("charge_disputed", "payment_intent"));
        }
        let amount = number(form, "amount").unwrap_or(0);
        if amount > intent["amount_received"].as_i64().unwrap_or(0) - charge["amount_refunded"].as_i64().unwrap_or(0) {
            return Err(invalid("charge_already_refunded", "amount"));
        }
        let status = if self.slow_refunds.contains(&payment) { "pending" } else { "succeeded" };
        let refund = json!({
            "id": id, "object": "refund", "status": status, "amount": amount, "currency": intent["currency"], "created": now(),
            "payment_intent": intent["id"], "charge": intent["latest_charge"], "metadata": metadata(form, "metadata"),
        });
        self.refunds.insert(id, refund.clone());
        self.count_refunds(&refund);
        self.report_of(&payment, "refund.created", &refund);
        Ok(refund)
    }

    /// A charge counts what is refunded or on its way.
    fn count_refunds(&mut self, refund: &Value) {
        let of_charge = self.refunds.values().filter(|other| other["charge"] == refund["charge"] && other["status"] != "failed");
        let sum: i64 = of_charge.filter_map(|other| other["amount"].as_i64()).sum();
        let charge = self.charges.get_mut(refund["charge"].as_str().unwrap_or_default()).expect("it was charged");
        charge["amount_refunded"] = sum.into();
    }

    fn report(&mut self, kind: &str, object: &Value) {
        self.report_of(&payment_of(object), kind, object);
    }

    fn report_of(&mut self, payment: &str, kind: &str, object: &Value) {
        let id = self.id("evt");
        let event = json!({
            "id": id, "object": "event", "api_version": "2024-06-20", "created": now(), "livemode": false, "pending_webhooks": 1,
            "type": kind, "data": { "object": object }, "request": { "id": null, "idempotency_key": null },
        });
        self.reports.push((payment.to_owned(), event.to_string().into_bytes()));
    }

    // What happens at Stripe without the shop.

    /// The reports about a payment, oldest first.
    pub fn reports(&self, payment: &str) -> Vec<Vec<u8>> {
        self.reports.iter().filter(|(of, _)| of == payment).map(|(_, body)| body.clone()).collect()
    }

    /// How many payments there are of an attempt.
    pub fn objects(&self, payment: &str) -> usize {
        let direct =
            self.intents.values().filter(|intent| payment_of(intent) == payment && intent["metadata"]["bursar_flow"] != "checkout");
        direct.count() + self.sessions.values().filter(|session| session["client_reference_id"] == payment).count()
    }

    fn session_of(&mut self, payment: &str) -> Option<&mut Value> {
        self.sessions.values_mut().find(|session| session["client_reference_id"] == payment)
    }

    pub fn intent_of(&mut self, payment: &str) -> Option<&mut Value> {
        self.intents.values_mut().find(|intent| payment_of(intent) == payment)
    }

    /// The buyer pays. `false`: it is too late.
    pub fn approve(&mut self, payment: &str) -> bool {
        let Some(session) = self.session_of(payment).map(|session| session.clone()) else {
            let Some(id) = self.intent_of(payment).and_then(|intent| intent["id"].as_str().map(str::to_owned)) else { return false };
            self.pay(&id);
            return true;
        };
        if session["status"] != "open" {
            return false;
        }
        let intent = self.open_intent(&session);
        self.pay(&intent);
        self.close(payment, if self.intents[&intent]["status"] == "succeeded" { "paid" } else { "unpaid" });
        let session = self.session_of(payment).expect("it is there").clone();
        self.report("checkout.session.completed", &session);
        true
    }

    /// The buyer chose a slow way to pay, and the money never came. `false`: that is nothing for this payment.
    pub fn fail_slowly(&mut self, payment: &str) -> bool {
        let Some(session) = self.session_of(payment).map(|session| session.clone()) else { return false };
        let intent = self.open_intent(&session);
        self.intents.get_mut(&intent).expect("it was made")["last_payment_error"] =
            json!({ "type": "card_error", "code": "payment_intent_payment_attempt_failed" });
        self.close(payment, "unpaid");
        let session = self.session_of(payment).expect("it is there").clone();
        self.report("checkout.session.async_payment_failed", &session);
        true
    }

    /// What a session is paid with, made when the buyer decides.
    fn open_intent(&mut self, session: &Value) -> String {
        let form = self.paid_as[session["id"].as_str().expect("an id")].clone();
        let id = self.id("pi");
        let intent = json!({
            "id": id, "object": "payment_intent", "status": "requires_payment_method", "amount": session["amount_total"], "amount_received": 0,
            "currency": session["currency"], "client_secret": format!("{id}_secret_hidden"), "created": now(), "livemode": false,
            "capture_method": field(&form, "payment_intent_data[capture_method]").unwrap_or("automatic"), "latest_charge": null,
            "next_action": null, "last_payment_error": null, "cancellation_reason": null,
            "metadata": metadata(&form, "payment_intent_data[metadata]"),
        });
        self.intents.insert(id.clone(), intent);
        id
    }

    fn close(&mut self, payment: &str, payment_status: &str) {
        let intent = self.intent_of(payment).expect("it was made")["id"].clone();
        let session = self.session_of(payment).expect("it is there");
        session["status"] = "complete".into();
        session["payment_status"] = payment_status.into();
        session["payment_intent"] = intent;
        session["url"] = Value::Null;
    }

    /// Time is up on the page. `false`: there is no page.
    pub fn run_out(&mut self, payment: &str) -> bool {
        let Some(id) = self.session_of(payment).and_then(|session| session["id"].as_str().map(str::to_owned)) else { return false };
        self.expire(&id).is_ok()
    }

    /// The payment gets a status that nobody documents.
    pub fn strange(&mut self, payment: &str) {
        if let Some(session) = self.session_of(payment) {
            session["status"] = "moonlit".into();
        } else if let Some(intent) = self.intent_of(payment) {
            intent["status"] = "moonlit".into();
        }
    }

    /// A refund ends.
    pub fn end_refund(&mut self, payment: &str, id: &str, status: &str) {
        let refund = self.refunds.get_mut(id).expect("it was made");
        refund["status"] = status.into();
        let refund = refund.clone();
        self.count_refunds(&refund);
        self.report_of(payment, if status == "failed" { "refund.failed" } else { "refund.updated" }, &refund);
    }

    /// The bank takes so much back.
    pub fn dispute(&mut self, payment: &str, amount: i64) {
        let intent = self.intent_of(payment).expect("it was paid").clone();
        let id = self.id("du");
        let dispute = json!({
            "id": id, "object": "dispute", "status": "needs_response", "reason": "fraudulent", "amount": amount, "currency": intent["currency"],
            "payment_intent": intent["id"], "charge": intent["latest_charge"], "created": now(), "evidence_details": { "due_by": now() + 604_800 },
            "metadata": {},
        });
        self.charges.get_mut(intent["latest_charge"].as_str().unwrap_or_default()).expect("it was charged")["disputed"] = true.into();
        self.disputes.insert(id, dispute.clone());
        self.report_of(payment, "charge.dispute.created", &dispute);
    }

    /// How many charges there are, and how many refunds of them.
    pub fn movements(&self) -> (usize, usize) {
        (self.charges.len(), self.refunds.len())
    }

    /// The bank decides.
    pub fn end_dispute(&mut self, payment: &str, id: &str, status: &str) {
        let dispute = self.disputes.get_mut(id).expect("it was opened");
        dispute["status"] = status.into();
        let dispute = dispute.clone();
        self.report_of(payment, "charge.dispute.closed", &dispute);
    }
}

fn payment_of(object: &Value) -> String {
    object["metadata"]["bursar_payment"].as_str().unwrap_or_default().to_owned()
}
