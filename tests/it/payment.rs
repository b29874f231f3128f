//! What the shop makes of gateways that find nothing by our id, that need a last step of ours, or that tell of a payment in words of their own: a
//! gateway that answers as each test says.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bursar::app::gateways::{Gateways, Instance};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Money, PaymentId};
use port::{
    AmountLimits, Capabilities, CaptureMode, Currencies, Descriptor, GatewayError, Idempotency, IdempotencyKey, Lookup, Mode, NextAction,
    Notification, Observation, OpContext, PartialCapture, PaymentGateway, PaymentRef, PaymentStatus, RawWebhook, Received, RedirectMethod,
    RefundRequest, RefundSnapshot, RefundStatus, RefundSupport, Reply, ReturnQuery, Snapshot, StartPayment, Started, Totals, WebhookError,
    WebhookSupport,
};
use serde_json::{Value, json};

use crate::util::{TestApp, amount};

/// What the gateway has been asked, and what it has.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// The operation id of each start.
    pub(crate) starts: Vec<String>,
    /// How many of the next starts get no answer, although they arrive.
    pub(crate) lost: usize,
    /// The payment, once it was started.
    pub(crate) payment: Option<(PaymentId, Money)>,
    /// Where it stands.
    pub(crate) status: Option<PaymentStatus>,
    /// What was captured, where that is not the whole.
    pub(crate) captured: Option<i64>,
    /// What was sent back.
    pub(crate) refunded: i64,
    /// When it was read.
    pub(crate) reads: Vec<DateTime<Utc>>,
    /// When it was asked to complete.
    pub(crate) completions: Vec<DateTime<Utc>>,
    /// The reference that the notification came with, as it was resolved.
    pub(crate) resolved: Option<PaymentRef>,
    /// Whether it knows nothing of the payment any more.
    pub(crate) forgotten: bool,
    /// Whether it cannot be reached.
    pub(crate) silent: bool,
}

/// A gateway that answers as a test says: redirects, and finds nothing by our id.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) books: Arc<Mutex<Books>>,
    confirm_step: bool,
}

impl Scripted {
    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().expect("nobody panicked")
    }

    fn snapshot(books: &Books) -> Snapshot {
        let (_, amount) = books.payment.expect("a payment was started");
        let status = books.status.unwrap_or(PaymentStatus::RequiresAction);
        let mut totals = Totals::zero(amount.currency);
        if matches!(status, PaymentStatus::Authorised | PaymentStatus::Captured) {
            totals.authorised = amount;
        }
        if status == PaymentStatus::Captured {
            totals.captured = Money::new(books.captured.unwrap_or(amount.minor), amount.currency);
        }
        totals.refunded.minor = books.refunded;
        Snapshot { status, totals, raw_status: "scripted".to_owned(), method_label: None, decline: None, changed_at: None }
    }

    fn observed(books: &Books) -> Vec<Observation> {
        let (payment_id, _) = books.payment.expect("a payment was started");
        vec![Observation::Payment { reference: reference(payment_id), payment_id: Some(payment_id), snapshot: Self::snapshot(books) }]
    }
}

fn reference(payment_id: PaymentId) -> PaymentRef {
    PaymentRef::new(format!("scripted:{payment_id}"))
}

#[async_trait]
impl PaymentGateway for Scripted {
    fn descriptor(&self) -> Descriptor {
        let natural = IdempotencyKey::NaturalKey;
        Descriptor {
            adapter: "scripted",
            instance: "scripted".to_owned(),
            display_name: "Scripted".to_owned(),
            mode: Mode::Test,
            capabilities: Capabilities {
                captures: vec![CaptureMode::Automatic],
                partial_capture: PartialCapture::None,
                multiple_capture: false,
                void: false,
                refund: RefundSupport::Partial,
                refund_window_days: None,
                currencies: Currencies::Any,
                limits: AmountLimits { min_minor: 1, max_minor: i64::MAX },
                webhooks: WebhookSupport::Signed,
                idempotency: Idempotency { start: natural, capture: natural, refund: natural },
                lookup: Lookup::ByReference,
                visibility_delay: std::time::Duration::ZERO,
                redirect: true,
                client_secret: false,
                instructions: false,
                confirm_step: self.confirm_step,
                async_confirmation: true,
                disputes: false,
            },
        }
    }

    async fn start(&self, ctx: &OpContext, request: StartPayment) -> Result<Started, GatewayError> {
        let mut books = self.books();
        books.starts.push(ctx.operation_id.clone());
        books.payment = Some((request.payment_id, request.amount));
        if books.lost > 0 {
            books.lost -= 1;
            return Err(GatewayError::UnknownOutcome { reference: None, detail: "cut".into() });
        }
        let next_action = NextAction::Redirect { url: "https://pay.example/1".to_owned(), method: RedirectMethod::Get, fields: Vec::new() };
        Ok(Started { reference: reference(request.payment_id), next_action, snapshot: Self::snapshot(&books) })
    }

    async fn fetch(&self, ctx: &OpContext, known: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let mut books = self.books();
        books.reads.push(ctx.now);
        match books.payment {
            _ if books.silent => Err(GatewayError::Unavailable("silent".into())),
            Some((id, _)) if reference(id) == *known && !books.forgotten => Ok(Self::snapshot(&books)),
            _ => Err(GatewayError::NotFound),
        }
    }

    async fn receive_webhook(&self, _ctx: &OpContext, webhook: RawWebhook) -> Result<Received, WebhookError> {
        let payment_id = self.books().payment.map(|(id, _)| id);
        let notification = Notification {
            dedup_key: String::from_utf8_lossy(&webhook.body).into_owned(),
            kind: "paid".to_owned(),
            reference: Some(PaymentRef::new("what the message says")),
            payment_id,
            mode: Mode::Test,
            payload: Value::Null,
        };
        Ok(Received { notifications: vec![notification], reply: Reply::ok() })
    }

    async fn resolve(&self, _ctx: &OpContext, notification: &Notification) -> Result<Vec<Observation>, GatewayError> {
        let mut books = self.books();
        books.resolved.clone_from(&notification.reference);
        Ok(Self::observed(&books))
    }

    async fn complete_return(&self, ctx: &OpContext, query: ReturnQuery) -> Result<Vec<Observation>, GatewayError> {
        let mut books = self.books();
        books.completions.push(ctx.now);
        assert_eq!(query.reference, Some(reference(query.payment_id)));
        if books.status == Some(PaymentStatus::Processing) {
            books.status = Some(PaymentStatus::Captured);
        }
        Ok(Self::observed(&books))
    }

    async fn refund(&self, _ctx: &OpContext, request: RefundRequest) -> Result<RefundSnapshot, GatewayError> {
        let mut books = self.books();
        if books.silent {
            return Err(GatewayError::invalid("refund", "the window is over"));
        }
        books.refunded += request.amount.minor;
        Ok(RefundSnapshot {
            reference: port::RefundRef::new(request.refund_id.to_string()),
            refund_id: Some(request.refund_id),
            status: RefundStatus::Succeeded,
            amount: request.amount,
            raw_status: "sent".to_owned(),
            changed_at: None,
        })
    }

    async fn check(&self, _ctx: &OpContext) -> Result<(), GatewayError> {
        Ok(())
    }
}

/// A shop whose buyers pay by a scripted gateway.
pub(crate) struct Shop {
    pub(crate) test: TestApp,
    pub(crate) books: Arc<Mutex<Books>>,
}

impl Shop {
    pub(crate) async fn open(confirm_step: bool) -> Self {
        let books = Arc::new(Mutex::new(Books::default()));
        let gateway = Arc::new(Scripted { books: books.clone(), confirm_step });
        let instance = Instance {
            id: "scripted".to_owned(),
            gateway,
            companies: Vec::new(),
            currencies: Vec::new(),
            unpaid_for: TimeDelta::minutes(30),
            capture_at_once: true,
        };
        Self { test: TestApp::paid_by(Gateways(vec![instance])).await, books }
    }

    pub(crate) fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().expect("nobody panicked")
    }

    /// Places an order over 20.00 USD; gives it.
    pub(crate) async fn place(&self, key: &str) -> Value {
        let sku = format!("SKU-{key}");
        self.test.shelf(&sku, "20.00", &["Course"]).await;
        let (cart, secret) = self.test.guest_cart(&[&sku]).await;
        let guest = self.test.guest_with(&secret);
        let buyer = json!({ "cartId": cart, "email": format!("{key}@learner.example"), "name": "Buyer" });
        self.test.act(&guest, "cartBuyerSet", buyer, "cart { id }").await;
        let place = json!({
            "cartId": cart, "paymentMethod": { "gateway": "scripted" }, "expectedTotal": amount("20.00 USD"), "idempotencyKey": key,
        });
        self.test.act(&guest, "orderPlace", place, "order { id status payments { id status } }").await["order"].clone()
    }

    /// The order as it stands.
    pub(crate) async fn order(&self, order: &Value) -> Value {
        let query = "query($id: ID!) { order(id: $id) { status payments { id status nextAction { url } } } }";
        self.test.ok(&self.test.operator(), query, json!({ "id": order["id"] })).await["order"].clone()
    }

    /// Lets time pass and runs what is due then.
    pub(crate) async fn later(&self, time: TimeDelta) {
        self.test.pass(time);
        self.test.jobs().await;
    }
}

/// Nothing can be looked up by our id: the same operation again, under the same id, tells what became of it, and the buyer goes on.
#[tokio::test]
async fn a_start_of_unknown_outcome_is_sent_again_under_its_own_id_where_nothing_can_be_looked_up() {
    let shop = Shop::open(false).await;
    shop.books().lost = 2;
    let order = shop.place("lost").await;
    assert_eq!(order["payments"][0]["status"], "UNKNOWN");
    shop.later(TimeDelta::minutes(1)).await;
    assert_eq!(shop.order(&order).await["payments"][0]["status"], "UNKNOWN", "lost again");
    shop.later(TimeDelta::minutes(5)).await;
    let now = shop.order(&order).await;
    assert_eq!(
        (&now["payments"][0]["status"], &now["payments"][0]["nextAction"]["url"]),
        (&json!("REQUIRES_ACTION"), &json!("https://pay.example/1"))
    );
    let starts = shop.books().starts.clone();
    assert_eq!(starts, [order["payments"][0]["id"].as_str().expect("an id"); 3]);
}

/// A gateway forgets operation ids: what it may no longer recognise is not sent again, and does not become FAILED by waiting.
#[tokio::test]
async fn an_unknown_start_is_not_sent_again_once_its_id_may_be_forgotten() {
    let shop = Shop::open(false).await;
    shop.books().lost = usize::MAX;
    let order = shop.place("lost").await;
    let mut sent = Vec::new();
    for minutes in [1, 5, 30, 120, 1_440, 1_440] {
        shop.later(TimeDelta::minutes(minutes)).await;
        sent.push(shop.books().starts.len());
    }
    assert_eq!(sent, [2, 3, 4, 5, 5, 5]);
    let now = shop.order(&order).await;
    assert_eq!((&now["status"], &now["payments"][0]["status"]), (&json!("PENDING_PAYMENT"), &json!("UNKNOWN")));
}

/// After 1, 5 and 30 minutes, 2 hours, and then each day.
#[tokio::test]
async fn an_open_payment_is_asked_for_ever_more_slowly() {
    let shop = Shop::open(false).await;
    shop.place("waits").await;
    shop.books().status = Some(PaymentStatus::Processing);
    let began = shop.test.app.now();
    shop.later(TimeDelta::minutes(1)).await;
    for _ in 0..(2 * 48) {
        shop.later(TimeDelta::minutes(30)).await;
    }
    let asked: Vec<i64> = shop.books().reads.iter().map(|at| (*at - began).num_minutes()).collect();
    // The clock moves by half hours here, so the second question, due after five more minutes, comes at the next one.
    assert_eq!(asked, [1, 31, 61, 181, 1_621]);
}

/// The buyer agreed and never came back, and no report came: the question takes the last step.
#[tokio::test]
async fn asking_takes_the_last_step_where_a_payment_needs_one() {
    let shop = Shop::open(true).await;
    let order = shop.place("approved").await;
    shop.books().status = Some(PaymentStatus::Processing);
    shop.later(TimeDelta::minutes(1)).await;
    assert_eq!(shop.order(&order).await["status"], "FULFILLED");
    let books = shop.books();
    assert_eq!((books.completions.len(), books.reads.len()), (1, 0));
}

/// What a message says of a payment is not what the adapter works with.
#[tokio::test]
async fn a_report_is_worked_on_with_the_reference_that_the_shop_knows() {
    let shop = Shop::open(true).await;
    let order = shop.place("reported").await;
    shop.books().status = Some(PaymentStatus::Captured);
    let webhook = RawWebhook { headers: Vec::new(), query: String::new(), body: b"1".to_vec(), received_at: shop.test.app.now() };
    shop.test.app.webhook_receive("scripted", webhook).await.expect("it is taken");
    shop.test.jobs().await;
    assert_eq!(shop.order(&order).await["status"], "FULFILLED");
    let payment = PaymentId::parse(order["payments"][0]["id"].as_str().expect("an id")).expect("a payment's id");
    assert_eq!(shop.books().resolved, Some(reference(payment)));
}
