//! Stripe: its hosted page ([`Flow::Checkout`]) or its fields inside the shop's own page ([`Flow::PaymentIntent`]).
//!
//! Always true here: each write carries the operation id as its idempotency key and is the same to the letter when it is repeated; what a report
//! or a returning browser says is only a reason to ask; no card number is ever seen.
//!
//! The README beside this crate has the settings, what to set up at Stripe, and how each of its words is read.

mod convert;
mod settings;
mod webhook;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Currency, Money, PaymentId};
use gateway_http::{Answer, Client, Method, Nature, RequestBuilder};
use port::{
    CaptureMode, Descriptor, DisputeRef, DisputeSnapshot, Found, GatewayError, GatewayFactory, InstanceConfig, Located, MAX_WEBHOOK_BYTES,
    Mode, NextAction, Notification, Observation, OpContext, PaymentGateway, PaymentRef, PaymentStatus, RawWebhook, Received,
    RedirectMethod, RefundQuery, RefundRef, RefundRequest, RefundSnapshot, Reply, ReturnQuery, Snapshot, StartPayment, Started, Totals,
    WebhookError,
};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

pub use settings::{API_VERSION, Flow};
pub use webhook::{HEADER as SIGNATURE_HEADER, TOLERANCE_SECONDS};

use settings::Settings;
use webhook::Verifier;
use wire::{
    Balance, Charge, Dispute, Event, FLOW, FLOW_CHECKOUT, FLOW_SECRET, FLOW_TOKEN, Intent, List, PAYMENT, REFUND, Refund, Refusal, Session,
};

/// The adapter's name in settings.
pub const ADAPTER: &str = "stripe";

/// How far back from a payment's own time its objects are looked for: clocks differ.
const CLOCKS_WITHIN: TimeDelta = TimeDelta::hours(1);

/// How many pages of a hundred objects are looked through for one payment before nothing can be told.
const PAGES: usize = 20;

/// Stripe's page stays open for at least half an hour; this leaves a late start some of it.
const PAGE_OPEN_FOR: TimeDelta = TimeDelta::minutes(45);

/// Stripe's page closes within a day at the latest.
const PAGE_OPEN_AT_MOST: TimeDelta = TimeDelta::hours(23);

/// Stripe lists no more lines than this.
const MAX_LINES: usize = 100;

/// Fields of a call, in Stripe's form encoding.
type Form = Vec<(String, String)>;

/// One account at Stripe.
#[derive(Debug)]
pub struct Stripe {
    settings: Settings,
    client: Client,
    verifier: Verifier,
}

/// A payment as Stripe has it: what it is paid with, and the page, where there is one.
struct Payment {
    reference: PaymentRef,
    session: Option<Session>,
    intent: Option<Intent>,
}

impl Payment {
    fn payment_id(&self) -> Option<PaymentId> {
        let of_session = self.session.as_ref().and_then(Session::payment_id);
        of_session.or_else(|| self.intent.as_ref().and_then(|intent| wire::payment_of(&intent.metadata)))
    }
}

impl Stripe {
    /// An instance from its settings; calls nobody.
    ///
    /// # Errors
    /// [`GatewayError::Config`] for an unknown, missing or wrong setting, and for a key of the other mode.
    pub fn new(config: InstanceConfig) -> Result<Self, GatewayError> {
        let settings = Settings::read(config)?;
        let client = Client::new(settings.base_url.clone(), "request-id")?;
        let verifier = Verifier::new(settings.webhook_secrets.clone());
        Ok(Self { settings, client, verifier })
    }

    fn call(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.client
            .request(method, path)
            .bearer_auth(self.settings.api_key.expose_secret())
            .header("Stripe-Version", &self.settings.api_version)
    }

    async fn read<T: DeserializeOwned>(&self, ctx: &OpContext, path: &[&str], query: &[(&str, &str)]) -> Result<T, GatewayError> {
        let answer = self.client.send(ctx, Nature::Read, self.call(Method::GET, path).query(query)).await?;
        // Stripe says 400 to an id that is none of its kind.
        if answer.status == 400 && refused_for(&answer).is_some_and(|code| code == "resource_missing") {
            return Err(GatewayError::NotFound);
        }
        answer.json()
    }

    /// A write under the operation's id; `true`: Stripe says what it answered to an earlier call of the same operation.
    async fn write<T: DeserializeOwned>(&self, ctx: &OpContext, path: &[&str], form: &Form) -> Result<(T, bool), GatewayError> {
        let request = self.call(Method::POST, path).header("Idempotency-Key", &ctx.operation_id).form(form);
        let answer = self.client.send(ctx, Nature::Write, request).await?;
        if (400..500).contains(&answer.status) {
            return Err(refusal(&answer));
        }
        let replayed = answer.header("idempotent-replayed") == Some("true");
        Ok((answer.json()?, replayed))
    }

    async fn payment(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Payment, GatewayError> {
        let id = reference.as_str();
        if id.starts_with("cs_") {
            let session: Session =
                self.read(ctx, &["v1", "checkout", "sessions", id], &[("expand[]", "payment_intent.latest_charge")]).await?;
            return self.with_intent(ctx, session).await;
        }
        if id.starts_with("pi_") {
            let intent: Intent = self.read(ctx, &["v1", "payment_intents", id], &[("expand[]", "latest_charge")]).await?;
            return Ok(Payment { reference: reference.clone(), session: None, intent: Some(intent) });
        }
        Err(GatewayError::NotFound)
    }

    /// The session with what it is paid with, read where the session only names it.
    async fn with_intent(&self, ctx: &OpContext, session: Session) -> Result<Payment, GatewayError> {
        let intent = match &session.payment_intent {
            None => None,
            Some(expanded) => match expanded.object() {
                Some(intent) => Some(intent.clone()),
                None => {
                    let id = session.intent_id().unwrap_or_default();
                    Some(self.read(ctx, &["v1", "payment_intents", id], &[("expand[]", "latest_charge")]).await?)
                }
            },
        };
        Ok(Payment { reference: PaymentRef::new(session.id.clone()), session: Some(session), intent })
    }

    /// The PaymentIntent behind a reference.
    async fn intent_id(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<String, GatewayError> {
        if reference.as_str().starts_with("pi_") {
            return Ok(reference.as_str().to_owned());
        }
        let payment = self.payment(ctx, reference).await?;
        payment.intent.map(|intent| intent.id).ok_or_else(|| GatewayError::invalid("payment", "nothing was paid on Stripe's page yet"))
    }

    async fn refunds(&self, ctx: &OpContext, intent: &str) -> Result<Vec<Refund>, GatewayError> {
        let mut all: Vec<Refund> = Vec::new();
        for _ in 0..PAGES {
            let mut query = vec![("payment_intent", intent), ("limit", "100")];
            let after = all.last().map(|refund| refund.id.clone());
            query.extend(after.as_deref().map(|after| ("starting_after", after)));
            let list: List<Refund> = self.read(ctx, &["v1", "refunds"], &query).await?;
            let more = list.has_more && !list.data.is_empty();
            all.extend(list.data);
            if !more {
                return Ok(all);
            }
        }
        Err(GatewayError::Unavailable("this payment has more refunds than can be listed".into()))
    }

    async fn disputes(&self, ctx: &OpContext, intent: &Intent) -> Result<Vec<Dispute>, GatewayError> {
        if intent.charge().is_none_or(|charge| charge.disputed != Some(true)) {
            return Ok(Vec::new());
        }
        let list: List<Dispute> = self.read(ctx, &["v1", "disputes"], &[("payment_intent", &intent.id), ("limit", "100")]).await?;
        Ok(list.data)
    }

    /// Everything there is to know about a payment: itself, its refunds, its disputes.
    async fn observe(&self, ctx: &OpContext, payment: &Payment) -> Result<Vec<Observation>, GatewayError> {
        let (mut refunds, mut disputes) = (Vec::new(), Vec::new());
        if let Some(intent) = &payment.intent {
            // Nothing can have been sent back before something was taken.
            if intent.status == "succeeded" {
                refunds = self.refunds(ctx, &intent.id).await?;
            }
            disputes = self.disputes(ctx, intent).await?;
        }
        let reference = payment.reference.clone();
        let snapshot = self.snapshot(payment, &refunds, &disputes)?;
        let mut all = vec![Observation::Payment { reference: reference.clone(), payment_id: payment.payment_id(), snapshot }];
        for refund in &refunds {
            all.push(Observation::Refund { payment: reference.clone(), refund: refund_snapshot(refund)? });
        }
        for dispute in &disputes {
            all.push(Observation::Dispute { payment: reference.clone(), dispute: dispute_snapshot(dispute)? });
        }
        Ok(all)
    }

    /// As [`Stripe::observe`], the payment itself only; refunds are read only where Stripe says that there are any.
    async fn look(&self, ctx: &OpContext, payment: &Payment) -> Result<Snapshot, GatewayError> {
        let (mut refunds, mut disputes) = (Vec::new(), Vec::new());
        if let Some(intent) = &payment.intent {
            if intent.status == "succeeded" && intent.charge().is_none_or(|charge| charge.amount_refunded != Some(0)) {
                refunds = self.refunds(ctx, &intent.id).await?;
            }
            disputes = self.disputes(ctx, intent).await?;
        }
        self.snapshot(payment, &refunds, &disputes)
    }

    fn snapshot(&self, payment: &Payment, refunds: &[Refund], disputes: &[Dispute]) -> Result<Snapshot, GatewayError> {
        let Some(intent) = &payment.intent else {
            let session = payment.session.as_ref().ok_or(GatewayError::NotFound)?;
            let raw_status = session.status.clone().unwrap_or_default();
            let currency = currency_of(session.currency.as_deref().unwrap_or_default())?;
            let status = page_status(&raw_status, None);
            return Ok(Snapshot {
                status,
                totals: Totals::zero(currency),
                raw_status,
                method_label: None,
                decline: None,
                changed_at: None,
            });
        };
        let currency = currency_of(&intent.currency)?;
        let answered = wire::flow_of(&intent.metadata) == Some(FLOW_TOKEN)
            || payment.session.as_ref().is_some_and(|session| session.status.as_deref() == Some("complete"));
        let by_stripe = matches!(intent.cancellation_reason.as_deref(), Some("automatic" | "expired"));
        let own = convert::intent_status(&intent.status, intent.last_payment_error.is_some(), answered, by_stripe);
        let (status, raw_status) = match &payment.session {
            None => (own, intent.status.clone()),
            Some(session) => {
                let page = session.status.clone().unwrap_or_default();
                (page_status(&page, Some(own)), format!("{page}, {}", intent.status))
            }
        };
        let mut totals = Totals::zero(currency);
        if matches!(own, PaymentStatus::Authorised | PaymentStatus::Captured) {
            totals.authorised = money(intent.amount, &intent.currency)?;
        }
        if own == PaymentStatus::Captured {
            let taken = intent.amount_received.or(intent.charge().and_then(|charge| charge.amount_captured)).unwrap_or(intent.amount);
            totals.captured = money(taken, &intent.currency)?;
        }
        totals.refunded = sum(
            currency,
            refunds.iter().filter(|refund| refund.status.as_deref() == Some("succeeded")).map(|refund| (refund.amount, &*refund.currency)),
        )?;
        let held = disputes.iter().filter(|dispute| convert::dispute_status(&dispute.status).holds_money());
        let held = held.map(|dispute| money(dispute.amount, &dispute.currency)).collect::<Result<Vec<_>, _>>()?;
        // How much a dispute in another currency is of the captured money is not known, so it holds all of it.
        let held = held.into_iter().map(|amount| if amount.currency == currency { amount } else { totals.captured });
        totals.disputed = Money::sum(currency, held).map_err(|error| GatewayError::Unavailable(error.to_string().into()))?;
        let decline = intent
            .last_payment_error
            .as_ref()
            .filter(|_| status == PaymentStatus::Failed)
            .map(|problem| convert::decline(problem.code.as_deref(), problem.decline_code.as_deref()));
        Ok(Snapshot { status, totals, raw_status, method_label: intent.charge().and_then(label), decline, changed_at: None })
    }

    /// What the buyer does next.
    fn next_action(&self, payment: &Payment, status: PaymentStatus) -> Result<NextAction, GatewayError> {
        if status == PaymentStatus::Processing {
            return Ok(NextAction::WaitForBuyer);
        }
        if status != PaymentStatus::RequiresAction {
            return Ok(NextAction::None);
        }
        let elsewhere = |url: &str| NextAction::Redirect { url: url.to_owned(), method: RedirectMethod::Get, fields: Vec::new() };
        if let Some(session) = &payment.session {
            let url = session.url.as_deref().ok_or_else(|| Nature::Write.untrusted("Stripe's page has no address"))?;
            return Ok(elsewhere(url));
        }
        let intent = payment.intent.as_ref().ok_or(GatewayError::NotFound)?;
        let redirect = intent.next_action.as_ref().and_then(|action| action.redirect_to_url.as_ref()).and_then(|to| to.url.as_deref());
        match (redirect, &intent.client_secret) {
            (Some(url), _) => Ok(elsewhere(url)),
            (None, Some(secret)) => Ok(NextAction::ClientSecret { secret: secret.clone() }),
            (None, None) => Err(Nature::Write.untrusted("the payment has neither an address nor a secret for the buyer")),
        }
    }

    /// The call that makes a page. Whatever is in it must be the same when the operation is repeated, the time included.
    fn page(&self, request: &StartPayment) -> Result<Form, GatewayError> {
        let number = convert::to_stripe(request.amount)?;
        let currency = request.amount.currency.code().to_ascii_lowercase();
        let payment_id = request.payment_id.to_string();
        let mut form = Vec::new();
        let mut put = |name: &str, value: String| form.push((name.to_owned(), value));
        put("mode", "payment".to_owned());
        put("client_reference_id", payment_id.clone());
        put("success_url", request.return_url.clone());
        put("cancel_url", request.cancel_url.clone());
        put(&format!("metadata[{PAYMENT}]"), payment_id.clone());
        put(&format!("payment_intent_data[metadata][{PAYMENT}]"), payment_id);
        put(&format!("payment_intent_data[metadata][{FLOW}]"), FLOW_CHECKOUT.to_owned());
        put("payment_intent_data[description]", request.description.clone());
        if request.capture == CaptureMode::Manual {
            put("payment_intent_data[capture_method]", "manual".to_owned());
        }
        if let Some(email) = &request.buyer.email {
            put("customer_email", email.clone());
        }
        if let Some(expires_at) = closes_at(request) {
            put("expires_at", expires_at.timestamp().to_string());
        }
        for (index, (title, number)) in lines(request, number).into_iter().enumerate() {
            put(&format!("line_items[{index}][quantity]"), "1".to_owned());
            put(&format!("line_items[{index}][price_data][currency]"), currency.clone());
            put(&format!("line_items[{index}][price_data][unit_amount]"), number.to_string());
            put(&format!("line_items[{index}][price_data][product_data][name]"), title);
        }
        self.put_methods(&mut form);
        Ok(form)
    }

    /// The call that makes a PaymentIntent, confirmed at once where the buyer's browser brought what to confirm it with.
    fn intent(&self, request: &StartPayment) -> Result<Form, GatewayError> {
        let number = convert::to_stripe(request.amount)?;
        let mut form = Vec::new();
        let mut put = |name: &str, value: String| form.push((name.to_owned(), value));
        put("amount", number.to_string());
        put("currency", request.amount.currency.code().to_ascii_lowercase());
        put(&format!("metadata[{PAYMENT}]"), request.payment_id.to_string());
        put("metadata[order]", request.order_reference.clone());
        put("description", request.description.clone());
        put("expand[]", "latest_charge".to_owned());
        if request.capture == CaptureMode::Manual {
            put("capture_method", "manual".to_owned());
        }
        if let Some(email) = &request.buyer.email {
            put("receipt_email", email.clone());
        }
        match &request.token {
            Some(token) => {
                put(&format!("metadata[{FLOW}]"), FLOW_TOKEN.to_owned());
                put("payment_method", token.expose_secret().to_owned());
                put("confirm", "true".to_owned());
                put("return_url", request.return_url.clone());
            }
            None => put(&format!("metadata[{FLOW}]"), FLOW_SECRET.to_owned()),
        }
        if self.settings.payment_method_types.is_empty() {
            put("automatic_payment_methods[enabled]", "true".to_owned());
        }
        self.put_methods(&mut form);
        Ok(form)
    }

    fn put_methods(&self, form: &mut Form) {
        for (index, kind) in self.settings.payment_method_types.iter().enumerate() {
            form.push((format!("payment_method_types[{index}]"), kind.clone()));
        }
    }

    /// Looks through what was made since the payment's own time, newest first.
    async fn search<T: DeserializeOwned>(
        &self,
        ctx: &OpContext,
        path: &[&str],
        payment_id: PaymentId,
        is_it: impl Fn(&T) -> bool + Send,
        id_of: impl Fn(&T) -> String + Send,
    ) -> Result<Found<T>, GatewayError> {
        let since = made_at(payment_id).map(|at| (at - CLOCKS_WITHIN).timestamp().to_string());
        let mut after = None;
        for _ in 0..PAGES {
            let mut query = vec![("limit", "100")];
            query.extend(since.as_deref().map(|since| ("created[gte]", since)));
            query.extend(after.as_deref().map(|after| ("starting_after", after)));
            let list: List<T> = self.read(ctx, path, &query).await?;
            let last = list.data.last().map(&id_of);
            if let Some(found) = list.data.into_iter().find(|object| is_it(object)) {
                return Ok(Found::Present(found));
            }
            if !list.has_more || last.is_none() {
                return Ok(Found::Absent);
            }
            after = last;
        }
        Ok(Found::CannotTell)
    }

    /// What there is under our payment's id, whichever way it is paid.
    async fn located(&self, ctx: &OpContext, payment_id: PaymentId) -> Result<Found<Payment>, GatewayError> {
        let by_page = self.search::<Session>(
            ctx,
            &["v1", "checkout", "sessions"],
            payment_id,
            |session| session.payment_id() == Some(payment_id),
            |session| session.id.clone(),
        );
        let by_intent = self.search::<Intent>(
            ctx,
            &["v1", "payment_intents"],
            payment_id,
            // Those that are paid on a page are found by the page.
            |intent| {
                wire::payment_of(&intent.metadata) == Some(payment_id)
                    && wire::flow_of(&intent.metadata).is_some_and(|flow| flow != FLOW_CHECKOUT)
            },
            |intent| intent.id.clone(),
        );
        match self.settings.flow {
            Flow::Checkout => match by_page.await? {
                // Read by itself: a list does not show everything.
                Found::Present(session) => self.payment(ctx, &PaymentRef::new(session.id)).await.map(Found::Present),
                Found::Absent => Ok(Found::Absent),
                Found::CannotTell => Ok(Found::CannotTell),
            },
            Flow::PaymentIntent => match by_intent.await? {
                Found::Present(intent) => self.payment(ctx, &PaymentRef::new(intent.id)).await.map(Found::Present),
                Found::Absent => Ok(Found::Absent),
                Found::CannotTell => Ok(Found::CannotTell),
            },
        }
    }

    /// The payment that a PaymentIntent belongs to; `None` for one that is not the shop's.
    async fn of_intent(&self, ctx: &OpContext, id: &str) -> Result<Option<Payment>, GatewayError> {
        let reference = PaymentRef::new(id);
        let payment = self.payment(ctx, &reference).await?;
        let Some(intent) = payment.intent.as_ref().filter(|intent| wire::payment_of(&intent.metadata).is_some()) else { return Ok(None) };
        if wire::flow_of(&intent.metadata) != Some(FLOW_CHECKOUT) {
            return Ok(Some(payment));
        }
        let list: List<Session> = self.read(ctx, &["v1", "checkout", "sessions"], &[("payment_intent", id)]).await?;
        match list.data.into_iter().next() {
            Some(session) => self.payment(ctx, &PaymentRef::new(session.id)).await.map(Some),
            None => Ok(None),
        }
    }

    async fn cancelled(&self, ctx: &OpContext, payment: Payment) -> Result<Snapshot, GatewayError> {
        // A page that is closed says "expired", whoever closed it.
        self.look(ctx, &payment).await.map(|snapshot| Snapshot { status: PaymentStatus::Cancelled, ..snapshot })
    }
}

/// Where a payment on Stripe's page stands, from the page's status and that of what it is paid with.
fn page_status(page: &str, intent: Option<PaymentStatus>) -> PaymentStatus {
    match (page, intent) {
        // Money is what counts, whatever the page says.
        (_, Some(status @ (PaymentStatus::Captured | PaymentStatus::Authorised))) => status,
        ("open", _) => PaymentStatus::RequiresAction,
        ("expired", _) => PaymentStatus::Expired,
        // The buyer is done with the page; slow ways to pay go on without it.
        ("complete", Some(PaymentStatus::RequiresAction)) | ("complete", None) => PaymentStatus::Processing,
        ("complete", Some(status)) => status,
        _ => {
            tracing::warn!(status = page, "a status of a page that is not known; taken as processing");
            PaymentStatus::Processing
        }
    }
}

/// The title and number of each line, where they add up in Stripe's numbers; else one line for all.
fn lines(request: &StartPayment, number: i64) -> Vec<(String, i64)> {
    let each: Option<Vec<(String, i64)>> = request
        .lines
        .iter()
        .filter(|line| line.total.minor != 0)
        .map(|line| {
            let title = if line.quantity > 1 { format!("{} × {}", line.quantity, line.title) } else { line.title.clone() };
            Some((title, convert::to_stripe(line.total).ok()?))
        })
        .collect();
    match each {
        Some(each)
            if (1..=MAX_LINES).contains(&each.len())
                && each.iter().all(|(title, _)| !title.trim().is_empty())
                && each.iter().map(|(_, number)| number).sum::<i64>() == number =>
        {
            each
        }
        _ => vec![(request.description.clone(), number)],
    }
}

/// The instant in a payment's id.
fn made_at(payment_id: PaymentId) -> Option<DateTime<Utc>> {
    let (seconds, _) = payment_id.uuid().get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)
}

/// When the page closes: as the shop wishes, within what Stripe allows. Reckoned from the payment's id, so that it is the same at each try.
fn closes_at(request: &StartPayment) -> Option<DateTime<Utc>> {
    let made = made_at(request.payment_id)?;
    request.expires_at.map(|wished| wished.clamp(made + PAGE_OPEN_FOR, made + PAGE_OPEN_AT_MOST))
}

fn currency_of(code: &str) -> Result<Currency, GatewayError> {
    Currency::parse(code).map_err(|_| GatewayError::Unavailable("Stripe tells of a currency that is not known".into()))
}

fn money(number: i64, currency: &str) -> Result<Money, GatewayError> {
    convert::to_money(number, currency)
        .ok_or_else(|| GatewayError::Unavailable("Stripe tells of an amount that cannot be expressed in its currency".into()))
}

fn sum<'a>(currency: Currency, parts: impl Iterator<Item = (i64, &'a str)>) -> Result<Money, GatewayError> {
    let parts = parts.map(|(number, code)| money(number, code)).collect::<Result<Vec<_>, _>>()?;
    Money::sum(currency, parts).map_err(|error| GatewayError::Unavailable(error.to_string().into()))
}

/// "Visa •••• 4242".
fn label(charge: &Charge) -> Option<String> {
    let details = charge.payment_method_details.as_ref()?;
    match details.card.as_ref().and_then(|card| Some((card.brand.as_deref()?, card.last4.as_deref()?))) {
        Some((brand, last4)) => {
            let mut letters = brand.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase()).unwrap_or_default();
            Some(format!("{first}{} •••• {last4}", letters.as_str()))
        }
        None => details.kind.clone(),
    }
}

fn refund_snapshot(refund: &Refund) -> Result<RefundSnapshot, GatewayError> {
    let raw_status = refund.status.clone().unwrap_or_else(|| "pending".to_owned());
    Ok(RefundSnapshot {
        reference: RefundRef::new(refund.id.clone()),
        refund_id: wire::refund_of(&refund.metadata),
        status: convert::refund_status(&raw_status),
        amount: money(refund.amount, &refund.currency)?,
        raw_status,
        changed_at: None,
    })
}

fn dispute_snapshot(dispute: &Dispute) -> Result<DisputeSnapshot, GatewayError> {
    Ok(DisputeSnapshot {
        reference: DisputeRef::new(dispute.id.clone()),
        status: convert::dispute_status(&dispute.status),
        amount: money(dispute.amount, &dispute.currency)?,
        reason: dispute.reason.clone().unwrap_or_default(),
        due_at: dispute.evidence_details.as_ref().and_then(|details| DateTime::from_timestamp(details.due_by?, 0)),
        changed_at: None,
    })
}

/// The code of a refusal.
fn refused_for(answer: &Answer) -> Option<String> {
    answer.refusal::<Refusal>()?.error.code
}

/// What a status from 400 to 499 to a write means. Stripe's message is not repeated: it may quote what the buyer typed.
fn refusal(answer: &Answer) -> GatewayError {
    let Some(Refusal { error }) = answer.refusal::<Refusal>() else {
        return answer.untrusted("a refusal that cannot be read");
    };
    let code = error.code.as_deref().unwrap_or_default();
    let detail = |what: &str| answer.detail(what).with_code(code);
    match (answer.status, error.kind.as_deref()) {
        (402, _) | (_, Some("card_error")) => {
            GatewayError::Declined(convert::decline(error.code.as_deref(), error.decline_code.as_deref()))
        }
        (404, _) => GatewayError::NotFound,
        (_, _) if code == "resource_missing" && error.param.as_deref() != Some("payment_method") => GatewayError::NotFound,
        // Another call of the same operation is at work; this one did nothing.
        (409, _) => GatewayError::Unavailable(detail("the same operation is under way")),
        (_, Some("idempotency_error")) => {
            GatewayError::invalid("operation_id", detail("the operation was asked for before with other parameters"))
        }
        _ => {
            let param = error.param.as_deref().unwrap_or_default();
            let field = match param {
                "amount" | "amount_to_capture" | "currency" => "amount",
                "payment_method" => "token",
                _ if param.starts_with("line_items") => "amount",
                _ => "request",
            };
            GatewayError::invalid(field, detail(&format!("Stripe refuses {}", if param.is_empty() { "this" } else { param })))
        }
    }
}

#[async_trait]
impl PaymentGateway for Stripe {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            adapter: ADAPTER,
            instance: self.settings.id.clone(),
            display_name: self.settings.display_name.clone(),
            mode: self.settings.mode,
            capabilities: self.settings.capabilities(),
        }
    }

    async fn start(&self, ctx: &OpContext, request: StartPayment) -> Result<Started, GatewayError> {
        self.settings.capabilities().accepts(request.amount)?;
        let (payment, replayed) = match self.settings.flow {
            Flow::Checkout if request.token.is_some() => {
                return Err(GatewayError::invalid(
                    "token",
                    "is for the setting flow = \"payment_intent\"; on Stripe's page the buyer needs none",
                ));
            }
            Flow::Checkout => {
                let form = self.page(&request)?;
                let (session, replayed): (Session, _) = self.write(ctx, &["v1", "checkout", "sessions"], &form).await?;
                (Payment { reference: PaymentRef::new(session.id.clone()), session: Some(session), intent: None }, replayed)
            }
            Flow::PaymentIntent => {
                let form = self.intent(&request)?;
                let (intent, replayed): (Intent, _) = self.write(ctx, &["v1", "payment_intents"], &form).await?;
                (Payment { reference: PaymentRef::new(intent.id.clone()), session: None, intent: Some(intent) }, replayed)
            }
        };
        let known = |error: GatewayError| match error {
            GatewayError::UnknownOutcome { detail, .. } | GatewayError::Unavailable(detail) => {
                GatewayError::UnknownOutcome { reference: Some(payment.reference.clone()), detail }
            }
            other => other,
        };
        let told = self.snapshot(&payment, &[], &[]).map_err(known)?;
        let next_action = self.next_action(&payment, told.status).map_err(known)?;
        // What is replayed is how it stood then; how it stands now is read, if it can be.
        let now = if replayed { self.fetch(ctx, &payment.reference).await.ok() } else { None };
        let snapshot = now.unwrap_or(told);
        match snapshot.decline.clone() {
            Some(decline) => Err(GatewayError::Declined(decline)),
            None => Ok(Started { reference: payment.reference, next_action, snapshot }),
        }
    }

    async fn fetch(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let payment = self.payment(ctx, reference).await?;
        self.look(ctx, &payment).await
    }

    async fn find(&self, ctx: &OpContext, payment_id: PaymentId) -> Result<Found<Located>, GatewayError> {
        Ok(match self.located(ctx, payment_id).await? {
            Found::Present(payment) => {
                let snapshot = self.look(ctx, &payment).await?;
                Found::Present(Located { reference: payment.reference, snapshot })
            }
            Found::Absent => Found::Absent,
            Found::CannotTell => Found::CannotTell,
        })
    }

    async fn receive_webhook(&self, _ctx: &OpContext, webhook: RawWebhook) -> Result<Received, WebhookError> {
        if webhook.body.len() > MAX_WEBHOOK_BYTES {
            return Err(WebhookError::TooLarge);
        }
        self.verifier.verify(webhook.header(SIGNATURE_HEADER), &webhook.body, webhook.received_at)?;
        // The parser's message may quote the body.
        let malformed =
            |error: serde_json::Error| WebhookError::Malformed(format!("line {} column {}", error.line(), error.column()).into());
        let event: Event = serde_json::from_slice(&webhook.body).map_err(malformed)?;
        let mode = if event.livemode { Mode::Live } else { Mode::Test };
        if mode != self.settings.mode {
            return Err(WebhookError::WrongAccount);
        }
        let object = event.data.object;
        let named = object.metadata.as_ref().and_then(wire::payment_of);
        let payment_id = object.client_reference_id.as_deref().and_then(PaymentId::parse).or(named);
        let of_page = object.metadata.as_ref().and_then(wire::flow_of) == Some(FLOW_CHECKOUT);
        let reference = match object.object.as_str() {
            "checkout.session" => Some(PaymentRef::new(object.id.clone())),
            "payment_intent" if !of_page => Some(PaymentRef::new(object.id.clone())),
            _ => None,
        };
        let intent = match &object.payment_intent {
            Some(wire::Expandable::Id(id)) => Some(id.clone()),
            Some(wire::Expandable::Object(intent)) => intent.get("id").and_then(|id| id.as_str()).map(str::to_owned),
            None if object.object == "payment_intent" => Some(object.id.clone()),
            None => None,
        };
        // Only what is needed to ask: the rest is the buyer's.
        let payload = serde_json::json!({ "object": object.object, "id": object.id, "payment_intent": intent });
        let notification = Notification { dedup_key: event.id, kind: event.kind, reference, payment_id, mode, payload };
        Ok(Received { notifications: vec![notification], reply: Reply::ok() })
    }

    async fn resolve(&self, ctx: &OpContext, notification: &Notification) -> Result<Vec<Observation>, GatewayError> {
        let families = ["checkout.session.", "payment_intent.", "charge.refund", "charge.dispute.", "refund."];
        if !families.iter().any(|family| notification.kind.starts_with(family)) {
            return Ok(Vec::new());
        }
        let text = |name: &str| notification.payload.get(name).and_then(serde_json::Value::as_str);
        let payment = match (&notification.reference, text("object"), text("payment_intent")) {
            (Some(reference), Some("checkout.session"), _) => self.payment(ctx, reference).await.map(Some),
            (_, _, Some(intent)) => self.of_intent(ctx, intent).await,
            _ => Ok(None),
        };
        match payment {
            // What is not the shop's is none of its business.
            Ok(Some(payment)) if payment.payment_id().is_some() => self.observe(ctx, &payment).await,
            Ok(_) | Err(GatewayError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn complete_return(&self, ctx: &OpContext, query: ReturnQuery) -> Result<Vec<Observation>, GatewayError> {
        let payment = match &query.reference {
            Some(reference) => self.payment(ctx, reference).await?,
            None => match self.located(ctx, query.payment_id).await? {
                Found::Present(payment) => payment,
                Found::Absent | Found::CannotTell => return Ok(Vec::new()),
            },
        };
        if payment.payment_id() != Some(query.payment_id) {
            return Ok(Vec::new());
        }
        self.observe(ctx, &payment).await
    }

    async fn capture(&self, ctx: &OpContext, reference: &PaymentRef, amount: Money, _last: bool) -> Result<Snapshot, GatewayError> {
        let number = convert::to_stripe(amount)?;
        let intent = self.intent_id(ctx, reference).await?;
        let form = vec![("amount_to_capture".to_owned(), number.to_string()), ("expand[]".to_owned(), "latest_charge".to_owned())];
        let (intent, _): (Intent, _) = self.write(ctx, &["v1", "payment_intents", &intent, "capture"], &form).await?;
        self.snapshot(&Payment { reference: reference.clone(), session: None, intent: Some(intent) }, &[], &[])
    }

    async fn void(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let payment = self.payment(ctx, reference).await?;
        let snapshot = self.look(ctx, &payment).await?;
        match (snapshot.status, &payment.session, &payment.intent) {
            (PaymentStatus::Captured, _, _) => Err(GatewayError::invalid("payment", "is paid; refund it instead")),
            (PaymentStatus::Cancelled | PaymentStatus::Expired | PaymentStatus::Failed, _, _) => self.cancelled(ctx, payment).await,
            (_, Some(session), _) if session.status.as_deref() == Some("open") => {
                let path = ["v1", "checkout", "sessions", session.id.as_str(), "expire"];
                let (session, _): (Session, _) = self.write(ctx, &path, &Vec::new()).await?;
                let payment = self.with_intent(ctx, session).await?;
                self.cancelled(ctx, payment).await
            }
            (_, _, Some(intent)) => {
                let (intent, _): (Intent, _) = self.write(ctx, &["v1", "payment_intents", &intent.id, "cancel"], &Vec::new()).await?;
                self.cancelled(ctx, Payment { reference: reference.clone(), session: None, intent: Some(intent) }).await
            }
            (_, _, None) => Err(GatewayError::invalid("payment", "is under way and cannot be given up now")),
        }
    }

    async fn refund(&self, ctx: &OpContext, request: RefundRequest) -> Result<RefundSnapshot, GatewayError> {
        let number = convert::to_stripe(request.amount)?;
        let intent = self.intent_id(ctx, &request.payment).await?;
        let form = vec![
            ("payment_intent".to_owned(), intent),
            ("amount".to_owned(), number.to_string()),
            (format!("metadata[{REFUND}]"), request.refund_id.to_string()),
        ];
        let (refund, replayed): (Refund, _) = self.write(ctx, &["v1", "refunds"], &form).await?;
        let now = if replayed { self.read(ctx, &["v1", "refunds", &refund.id], &[]).await.ok() } else { None };
        let mut snapshot = refund_snapshot(&now.unwrap_or(refund))?;
        snapshot.refund_id = Some(request.refund_id);
        Ok(snapshot)
    }

    async fn fetch_refund(&self, ctx: &OpContext, query: &RefundQuery) -> Result<Found<RefundSnapshot>, GatewayError> {
        if let Some(reference) = &query.reference {
            return match self.read::<Refund>(ctx, &["v1", "refunds", reference.as_str()], &[]).await {
                Ok(refund) => refund_snapshot(&refund).map(Found::Present),
                Err(GatewayError::NotFound) => Ok(Found::Absent),
                Err(error) => Err(error),
            };
        }
        let intent = match self.intent_id(ctx, &query.payment).await {
            Ok(intent) => intent,
            // What was never paid was never refunded.
            Err(GatewayError::InvalidRequest { .. }) => return Ok(Found::Absent),
            Err(error) => return Err(error),
        };
        let refunds = self.refunds(ctx, &intent).await?;
        match refunds.iter().find(|refund| wire::refund_of(&refund.metadata) == Some(query.refund_id)) {
            Some(refund) => refund_snapshot(refund).map(Found::Present),
            None => Ok(Found::Absent),
        }
    }

    async fn check(&self, ctx: &OpContext) -> Result<(), GatewayError> {
        let balance: Balance = self.read(ctx, &["v1", "balance"], &[]).await?;
        if balance.livemode.is_some_and(|live| live != (self.settings.mode == Mode::Live)) {
            return Err(GatewayError::config("api_key", "belongs to the other mode, says Stripe"));
        }
        Ok(())
    }
}

/// Builds Stripe instances.
#[derive(Debug, Default, Clone, Copy)]
pub struct StripeFactory;

#[async_trait]
impl GatewayFactory for StripeFactory {
    fn adapter(&self) -> &'static str {
        ADAPTER
    }

    async fn build(&self, config: InstanceConfig) -> Result<Arc<dyn PaymentGateway>, GatewayError> {
        Ok(Arc::new(Stripe::new(config)?))
    }
}
