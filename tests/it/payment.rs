//! What the shop makes of gateways that find nothing by our id, that need a last step of ours, or that tell of a payment in words of their own: a
//! gateway that answers as each test says.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bursar::app::caller::Caller;
use bursar::app::gateways::{Gateways, Instance};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Money, PaymentId};
use port::{
    AmountLimits, Capabilities, CaptureMode, Currencies, Descriptor, DisputeRef, DisputeSnapshot, DisputeStatus, Found, GatewayError,
    Idempotency, IdempotencyKey, Located, Lookup, Mode, NextAction, Notification, Observation, OpContext, PartialCapture, PaymentGateway,
    PaymentRef, PaymentStatus, RawWebhook, Received, RedirectMethod, RefundRequest, RefundSnapshot, RefundStatus, RefundSupport, Reply,
    ReturnQuery, Snapshot, StartPayment, Started, Totals, VoidSupport, WebhookError, WebhookSupport,
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
    /// What it answers to a start instead of taking it up.
    pub(crate) refuses: Option<GatewayError>,
    /// Whether its answers to a start leave out the page.
    pub(crate) pageless: bool,
    /// Whether the answers to refunds get lost.
    pub(crate) mute: bool,
    /// From where each start was asked for.
    pub(crate) addresses: Vec<Option<IpAddr>>,
    /// What it tells besides the payment.
    pub(crate) told: Vec<Observation>,
    /// How often it was asked to give a payment up.
    pub(crate) voids: usize,
}

/// A gateway that answers as a test says: redirects, and finds nothing by our id.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) books: Arc<Mutex<Books>>,
    capabilities: Capabilities,
}

/// What it can do unless a test says otherwise: it sends the buyer to its page, and finds nothing by our id.
fn capabilities() -> Capabilities {
    let natural = IdempotencyKey::NaturalKey;
    Capabilities {
        captures: vec![CaptureMode::Automatic],
        partial_capture: PartialCapture::None,
        multiple_capture: false,
        void: VoidSupport::None,
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
        confirm_step: false,
        async_confirmation: true,
        disputes: false,
    }
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
        Descriptor {
            adapter: "scripted",
            instance: "scripted".to_owned(),
            display_name: "Scripted".to_owned(),
            mode: Mode::Test,
            capabilities: self.capabilities.clone(),
        }
    }

    async fn start(&self, ctx: &OpContext, request: StartPayment) -> Result<Started, GatewayError> {
        let mut books = self.books();
        books.starts.push(ctx.operation_id.clone());
        books.addresses.push(request.buyer.ip);
        if let Some(refusal) = &books.refuses {
            return Err(refusal.clone());
        }
        books.payment = Some((request.payment_id, request.amount));
        if books.lost > 0 {
            books.lost -= 1;
            return Err(GatewayError::UnknownOutcome { reference: None, detail: "cut".into() });
        }
        let page = NextAction::Redirect { url: "https://pay.example/1".to_owned(), method: RedirectMethod::Get, fields: Vec::new() };
        let next_action = if books.pageless { NextAction::None } else { page };
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

    async fn find(&self, _ctx: &OpContext, payment_id: PaymentId) -> Result<Found<Located>, GatewayError> {
        let books = self.books();
        match books.payment {
            _ if books.silent => Err(GatewayError::Unavailable("silent".into())),
            Some((id, _)) if id == payment_id => Ok(Found::Present(Located { reference: reference(id), snapshot: Self::snapshot(&books) })),
            _ => Ok(Found::Absent),
        }
    }

    async fn void(&self, _ctx: &OpContext, _known: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let mut books = self.books();
        books.voids += 1;
        books.status = Some(PaymentStatus::Cancelled);
        Ok(Self::snapshot(&books))
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
        Ok(Self::observed(&books).into_iter().chain(books.told.clone()).collect())
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
        if books.mute {
            return Err(GatewayError::UnknownOutcome { reference: None, detail: "cut".into() });
        }
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
        Self::open_with(|capabilities| capabilities.confirm_step = confirm_step).await
    }

    /// One whose gateway can do other things.
    async fn open_with(change: impl FnOnce(&mut Capabilities)) -> Self {
        let books = Arc::new(Mutex::new(Books::default()));
        let mut capabilities = capabilities();
        change(&mut capabilities);
        let gateway = Arc::new(Scripted { books: books.clone(), capabilities });
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
        self.place_from(key, None).await
    }

    /// The same by a buyer at this network address.
    async fn place_from(&self, key: &str, address: Option<IpAddr>) -> Value {
        let sku = format!("SKU-{key}");
        self.test.shelf(&sku, "20.00", &["Course"]).await;
        let (cart, secret) = self.test.guest_cart(&[&sku]).await;
        let guest = Caller { address, ..self.test.guest_with(&secret) };
        let buyer = json!({ "cartId": cart, "email": format!("{key}@learner.example"), "name": "Buyer" });
        self.test.act(&guest, "cartBuyerSet", buyer, "cart { id }").await;
        let place = json!({
            "cartId": cart, "paymentMethod": { "gateway": "scripted" }, "expectedTotal": amount("20.00 USD"), "idempotencyKey": key,
        });
        self.test.act(&guest, "orderPlace", place, "order { id status payments { id status } }").await["order"].clone()
    }

    /// The order as it stands.
    pub(crate) async fn order(&self, order: &Value) -> Value {
        let query = "query($id: ID!) { order(id: $id) { status payments { id status nextAction { url } }
            refunds { status } disputes { status amount { amount currency } } refundable { amount } } }";
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

/// The payment's id of an order that was placed.
fn payment_of(order: &Value) -> PaymentId {
    PaymentId::parse(order["payments"][0]["id"].as_str().expect("an id")).expect("a payment's id")
}

/// What the gateway holds of a payment after a start whose process ended before the answer came.
fn charged_unheard(shop: &Shop, order: &Value) {
    let usd = domain::Currency::parse("USD").expect("a currency");
    let mut books = shop.books();
    books.payment = Some((payment_of(order), Money::new(2_000, usd)));
    books.status = Some(PaymentStatus::Captured);
}

/// A process ended between the charge and its record. Whatever the gateway says to the next start, since it forgot the operation or the key was
/// changed meanwhile, is no word on the first: the payment is asked for, the buyer has paid once and has access.
#[tokio::test]
async fn a_start_that_ended_with_its_process_is_asked_for_before_it_is_given_up() {
    for refusal in [
        GatewayError::invalid("operation_id", "was asked for before with other parameters"),
        GatewayError::Auth("the key was changed".into()),
        GatewayError::NotFound,
    ] {
        let shop = Shop::open_with(|capabilities| {
            capabilities.lookup = Lookup::ByMerchantReference;
            capabilities.idempotency.start = IdempotencyKey::OperationId;
        })
        .await;
        shop.books().refuses = Some(GatewayError::Unavailable("down".into()));
        let order = shop.place("killed").await;
        assert_eq!(order["payments"][0]["status"], "CREATED");
        charged_unheard(&shop, &order);
        shop.books().refuses = Some(refusal);
        // The second try was the one that ended; this is the third.
        shop.test.app.start_payment(payment_of(&order), 3).await.expect("it is settled");
        assert_eq!(shop.order(&order).await["payments"][0]["status"], "UNKNOWN");
        shop.later(TimeDelta::minutes(1)).await;
        assert_eq!(shop.order(&order).await["status"], "FULFILLED");
    }
}

/// Each call was answered, and nothing was done: the attempt ends, and the buyer may choose another way. So it does where a call may have made a
/// payment of which nobody got the page.
#[tokio::test]
async fn a_start_that_was_refused_each_time_ends() {
    let finds = |capabilities: &mut Capabilities| capabilities.lookup = Lookup::ByMerchantReference;
    let pages: fn(&mut Capabilities) = |_| ();
    for (change, tries) in [(finds as fn(&mut Capabilities), 2), (pages, 2), (pages, 3)] {
        let shop = Shop::open_with(change).await;
        shop.books().refuses = Some(GatewayError::Unavailable("down".into()));
        let order = shop.place("refused").await;
        shop.books().refuses = Some(GatewayError::Auth("the key was changed".into()));
        shop.test.app.start_payment(payment_of(&order), tries).await.expect("it is settled");
        assert_eq!(shop.order(&order).await["payments"][0]["status"], "FAILED", "{tries}");
    }
}

/// What the gateway would do twice is sent again only where each earlier call was answered; an operation id is good for some hours only.
#[tokio::test]
async fn what_would_be_done_twice_is_not_sent_again() {
    for (key, hours, sent) in [
        (IdempotencyKey::None, 0, false),
        (IdempotencyKey::OperationId, 0, true),
        (IdempotencyKey::OperationId, 4, false),
        (IdempotencyKey::NaturalKey, 4, true),
    ] {
        let shop = Shop::open_with(|capabilities| capabilities.idempotency.start = key).await;
        shop.books().refuses = Some(GatewayError::Unavailable("down".into()));
        let order = shop.place("again").await;
        shop.books().refuses = None;
        shop.test.pass(TimeDelta::hours(hours));
        shop.test.app.start_payment(payment_of(&order), 3).await.expect("it is settled");
        assert_eq!(shop.books().starts.len(), if sent { 2 } else { 1 }, "{key:?} after {hours} hours");
        let status = shop.order(&order).await["payments"][0]["status"].clone();
        assert_eq!(status, if sent { "REQUIRES_ACTION" } else { "UNKNOWN" }, "{key:?} after {hours} hours");

        let shop = Shop::open_with(|capabilities| capabilities.idempotency.start = key).await;
        shop.books().refuses = Some(GatewayError::Unavailable("down".into()));
        let order = shop.place("again").await;
        shop.books().refuses = None;
        shop.later(TimeDelta::seconds(5)).await;
        assert_eq!(shop.order(&order).await["payments"][0]["status"], "REQUIRES_ACTION", "{key:?}: the first was answered");
    }
}

/// Where the operation's id may be forgotten, what is there is taken up, and what is not is sent again only where nothing can turn up any more.
#[tokio::test]
async fn what_may_be_forgotten_is_looked_for_first() {
    for (charged, visible, status, sent) in
        [(true, 0, "CAPTURED", 1), (true, 60, "CAPTURED", 1), (false, 0, "REQUIRES_ACTION", 2), (false, 60, "UNKNOWN", 1)]
    {
        let shop = Shop::open_with(|capabilities| {
            capabilities.lookup = Lookup::ByMerchantReference;
            capabilities.idempotency.start = IdempotencyKey::None;
            capabilities.visibility_delay = std::time::Duration::from_secs(visible);
        })
        .await;
        shop.books().refuses = Some(GatewayError::Unavailable("down".into()));
        let order = shop.place("forgotten").await;
        shop.books().refuses = None;
        if charged {
            charged_unheard(&shop, &order);
        }
        shop.test.app.start_payment(payment_of(&order), 3).await.expect("it is settled");
        let now = shop.order(&order).await["payments"][0]["status"].clone();
        assert_eq!((now, shop.books().starts.len()), (json!(status), sent), "charged: {charged}, visible after {visible} seconds");
    }
}

/// A gateway that knows the payment and does not tell its page again would leave the buyer with nothing to do: the attempt ends, the gateway is told
/// to close it, and another attempt pays.
#[tokio::test]
async fn a_payment_whose_page_is_lost_ends_and_another_can_be_made() {
    let shop = Shop::open(false).await;
    shop.books().lost = 1;
    let order = shop.place("page").await;
    shop.books().pageless = true;
    shop.later(TimeDelta::minutes(1)).await;
    let now = shop.order(&order).await;
    assert_eq!((&now["status"], &now["payments"][0]["status"]), (&json!("PENDING_PAYMENT"), &json!("CANCELLED")));
    assert_eq!(shop.books().voids, 1);
    (shop.books().pageless, shop.books().status) = (false, None);
    let retry = json!({ "orderId": order["id"], "paymentMethod": { "gateway": "scripted" }, "idempotencyKey": "again" });
    shop.test.act(&shop.test.operator(), "paymentRetry", retry, "order { id }").await;
    assert_eq!(shop.order(&order).await["payments"][1]["nextAction"]["url"], "https://pay.example/1");

    // One that recognises the operation tells the page once more.
    let shop = Shop::open_with(|capabilities| {
        capabilities.lookup = Lookup::ByMerchantReference;
        capabilities.idempotency.start = IdempotencyKey::OperationId;
    })
    .await;
    shop.books().lost = 1;
    let order = shop.place("told").await;
    shop.later(TimeDelta::minutes(1)).await;
    assert_eq!(shop.order(&order).await["payments"][0]["nextAction"]["url"], "https://pay.example/1");
    assert_eq!(shop.books().voids, 0);
}

/// The buyer's network address goes along with the start and with each repetition of it, and is kept no longer than that.
#[tokio::test]
async fn the_buyers_address_goes_to_the_gateway_and_is_not_kept() {
    let shop = Shop::open(false).await;
    let address = IpAddr::from([192, 0, 2, 7]);
    shop.books().lost = 1;
    let order = shop.place_from("address", Some(address)).await;
    shop.later(TimeDelta::minutes(1)).await;
    assert_eq!(shop.books().addresses, [Some(address); 2]);
    let attempt =
        bursar::store::payment::by_id(shop.test.app.db.read(), payment_of(&order)).await.expect("it is read").expect("it is there");
    assert_eq!((attempt.state.status, attempt.buyer_ip), (domain::payment::PaymentStatus::RequiresAction, None));
}

/// A refund whose answer got lost is not sent a second time to a gateway that would pay it twice and cannot be asked; the operator sees it.
#[tokio::test]
async fn a_refund_that_would_be_paid_twice_is_not_sent_again() {
    for (key, sent) in [(IdempotencyKey::None, 500), (IdempotencyKey::NaturalKey, 1_000)] {
        let shop = Shop::open_with(|capabilities| capabilities.idempotency.refund = key).await;
        let order = shop.place("refund").await;
        shop.books().status = Some(PaymentStatus::Captured);
        shop.later(TimeDelta::minutes(1)).await;
        shop.books().mute = true;
        let refund = json!({ "orderId": order["id"], "amount": amount("5.00 USD"), "reason": "goodwill", "idempotencyKey": "r" });
        shop.test.act(&shop.test.operator(), "orderRefund", refund, "order { id }").await;
        shop.later(TimeDelta::seconds(5)).await;
        // This gateway counts each call, whatever it says of itself.
        assert_eq!(shop.books().refunded, sent, "{key:?}");
    }
}

/// A gateway that is out of reach for days has to be told of a refund all the same; meanwhile the operator sees it.
#[tokio::test]
async fn a_refund_waits_for_a_gateway_that_is_away_for_days() {
    let shop = Shop::open_with(|capabilities| capabilities.idempotency.refund = IdempotencyKey::OperationId).await;
    let order = shop.place("refund").await;
    shop.books().status = Some(PaymentStatus::Captured);
    shop.later(TimeDelta::minutes(1)).await;
    shop.books().mute = true;
    let refund = json!({ "orderId": order["id"], "amount": amount("5.00 USD"), "reason": "goodwill", "idempotencyKey": "r" });
    shop.test.act(&shop.test.operator(), "orderRefund", refund, "order { id }").await;
    for _ in 0..48 {
        shop.later(TimeDelta::hours(1)).await;
    }
    let problems = shop.test.ok(&shop.test.operator(), "{ paymentProblems { kind detail } }", json!({})).await["paymentProblems"].clone();
    assert_eq!(problems, json!([{ "kind": "OUTCOME_UNKNOWN", "detail": "the gateway has not taken up a refund" }]));
    assert_eq!(shop.order(&order).await["refunds"], json!([{ "status": "PENDING" }]));
    shop.books().mute = false;
    shop.later(TimeDelta::hours(1)).await;
    assert_eq!(shop.order(&order).await["refunds"], json!([{ "status": "SUCCEEDED" }]));
    let problems = shop.test.ok(&shop.test.operator(), "{ paymentProblems { kind } }", json!({})).await["paymentProblems"].clone();
    assert_eq!(problems, json!([]));
}

/// A chargeback in the currency of the buyer's account is shown, and nothing can be refunded beside it.
#[tokio::test]
async fn a_dispute_in_another_currency_is_shown_and_holds_the_payment() {
    let shop = Shop::open(true).await;
    let order = shop.place("disputed").await;
    shop.books().status = Some(PaymentStatus::Captured);
    let tell = async |key: &str, status: DisputeStatus, minor: i64, code: &str| {
        shop.books().told = vec![Observation::Dispute {
            payment: reference(payment_of(&order)),
            dispute: DisputeSnapshot {
                reference: DisputeRef::new("du_1"),
                status,
                amount: Money::new(minor, domain::Currency::parse(code).expect("a currency")),
                reason: "fraudulent".to_owned(),
                due_at: None,
                changed_at: None,
            },
        }];
        let webhook = RawWebhook { headers: Vec::new(), query: String::new(), body: key.into(), received_at: shop.test.app.now() };
        shop.test.app.webhook_receive("scripted", webhook).await.expect("it is taken");
        shop.test.jobs().await;
        shop.order(&order).await
    };
    let now = tell("opened", DisputeStatus::NeedsResponse, 1_850, "EUR").await;
    assert_eq!(now["disputes"], json!([{ "status": "NEEDS_RESPONSE", "amount": amount("18.50 EUR") }]));
    assert_eq!(now["refundable"]["amount"], "0.00");
    let now = tell("less", DisputeStatus::NeedsResponse, 500, "USD").await;
    assert_eq!((&now["disputes"][0]["amount"], &now["refundable"]["amount"]), (&amount("5.00 USD"), &json!("15.00")));
    let now = tell("won", DisputeStatus::Won, 500, "USD").await;
    assert_eq!((&now["disputes"][0]["status"], &now["refundable"]["amount"]), (&json!("WON"), &json!("20.00")));
}
