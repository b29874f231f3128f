//! PayPal (Orders v2), by redirect to its pages.
//!
//! Always true here: what the buyer approved is not paid until it was captured, and that is done by whoever hears of the approval first, the report,
//! the buyer's return or the shop's question, under one request id. Asking ([`PaymentGateway::fetch`]) captures nothing.
//!
//! Settings, secrets and what the gateway cannot do: see the README beside this crate.

mod certificate;
mod convert;
mod settings;
mod webhook;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Money;
use gateway_http::{AccessTokens, Answer, Client, Method, Nature, RequestBuilder, Url};
use port::{
    CaptureMode, Decline, Descriptor, DisputeSnapshot, Found, GatewayError, GatewayFactory, InstanceConfig, NextAction, Notification,
    Observation, OpContext, PaymentGateway, PaymentRef, PaymentStatus, RawWebhook, Received, RedirectMethod, RefundQuery, RefundRequest,
    RefundSnapshot, RefundStatus, ReturnQuery, Snapshot, StartPayment, Started, WebhookError,
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use certificate::Certificates;
use settings::Settings;
use wire::{
    CreateOrder, Dispute, Disputes, Experience, Movement, Named, NewCapture, NewRefund, NewUnit, Order, PaymentSource, Refused, Token,
    Wallet,
};

/// The adapter's name in settings.
pub const ADAPTER: &str = "paypal";

/// One account at PayPal.
#[derive(Debug)]
pub struct PayPal {
    settings: Settings,
    client: Client,
    tokens: AccessTokens,
    certificates: Certificates,
}

impl PayPal {
    /// An instance from its settings.
    ///
    /// # Errors
    /// [`GatewayError::Config`] naming the key that is wrong.
    pub fn new(config: InstanceConfig) -> Result<Self, GatewayError> {
        let settings = Settings::read(config)?;
        let client = Client::new(settings.base.clone(), "paypal-debug-id")?;
        let certificates = Certificates::new(settings.mode, &settings.base, settings.authority.as_deref())?;
        Ok(Self { settings, client, tokens: AccessTokens::new(), certificates })
    }

    /// A new access token and how long it is good for. Asking twice does no harm.
    async fn authorize(&self, ctx: &OpContext) -> Result<(SecretString, Duration), GatewayError> {
        let request = self
            .client
            .request(Method::POST, &["v1", "oauth2", "token"])
            .basic_auth(&self.settings.client_id, Some(self.settings.client_secret.expose_secret()))
            .form(&[("grant_type", "client_credentials")]);
        let token: Token = self.client.send(ctx, Nature::Read, request).await?.json()?;
        Ok((token.access_token.into(), Duration::from_secs(token.expires_in)))
    }

    /// Makes a call with an access token, once more with a new one if that one is no longer accepted.
    async fn call(
        &self,
        ctx: &OpContext,
        nature: Nature,
        method: Method,
        path: &[&str],
        finish: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, GatewayError> {
        let mut refused = None;
        loop {
            let token = self.tokens.get(refused.as_ref(), || self.authorize(ctx)).await?;
            let request = finish(self.client.request(method.clone(), path)).bearer_auth(token.expose());
            match self.client.send(ctx, nature, request).await {
                Err(GatewayError::Auth(_)) if refused.is_none() => refused = Some(token),
                other => return other,
            }
        }
    }

    async fn read<T: DeserializeOwned>(&self, ctx: &OpContext, path: &[&str]) -> Result<T, GatewayError> {
        self.call(ctx, Nature::Read, Method::GET, path, |request| request).await?.json()
    }

    async fn order(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Order, GatewayError> {
        self.read(ctx, &["v2", "checkout", "orders", reference.as_str()]).await
    }

    /// The disputes of an order's captures.
    async fn disputes(&self, ctx: &OpContext, order: &Order) -> Result<Vec<DisputeSnapshot>, GatewayError> {
        let mut found = Vec::new();
        for capture in order.captures().into_iter().filter(|_| self.settings.disputes) {
            let list = |request: RequestBuilder| request.query(&[("disputed_transaction_id", capture.id.as_str())]);
            let answer = self.call(ctx, Nature::Read, Method::GET, &["v1", "customer", "disputes"], list).await?;
            for mut dispute in answer.json::<Disputes>()?.items {
                if dispute.status == "RESOLVED" && dispute.dispute_outcome.is_none() {
                    dispute = self.read::<Dispute>(ctx, &["v1", "customer", "disputes", &dispute.dispute_id]).await?;
                }
                found.push(convert::dispute(&dispute)?);
            }
        }
        Ok(found)
    }

    /// Takes or reserves the money of an order that the buyer has approved; any other order stays as it is.
    async fn confirmed(&self, ctx: &OpContext, order: Order) -> Result<Confirmed, GatewayError> {
        if !order.is_approved() {
            return Ok(Confirmed::Order(order));
        }
        let step = if order.intent.as_deref() == Some("AUTHORIZE") { "authorize" } else { "capture" };
        // One id for this order, whoever calls: the second call gets what the first one did, so silence only means to try again.
        let request_id = format!("{}-{step}", order.id);
        let finish = |request: RequestBuilder| representation(request, &request_id).header("content-type", "application/json").body("{}");
        let answer = self.call(ctx, Nature::Read, Method::POST, &["v2", "checkout", "orders", &order.id, step], finish).await?;
        if answer.is_success() {
            return Ok(Confirmed::Order(answer.json()?));
        }
        let refused: Refused = answer.refusal().ok_or_else(|| answer.untrusted("an answer that is not expected"))?;
        if let Some(category) = convert::decline(refused.code()) {
            return Ok(Confirmed::Declined(order, Decline::new(category, refused.code())));
        }
        // Refused perhaps because another call was faster.
        let now = self.order(ctx, &PaymentRef::new(&order.id)).await?;
        if now.is_approved() {
            return Err(GatewayError::Unavailable(answer.detail(&refused.words())));
        }
        Ok(Confirmed::Order(now))
    }

    /// Everything there is to know about a payment: itself, its refunds, its disputes.
    async fn observe(&self, ctx: &OpContext, order: Order) -> Result<Vec<Observation>, GatewayError> {
        // An order of another program on the same account.
        let Some(payment_id) = order.payment_id() else { return Ok(Vec::new()) };
        let (order, decline) = match self.confirmed(ctx, order).await? {
            Confirmed::Order(order) => (order, None),
            Confirmed::Declined(order, decline) => (order, Some(decline)),
        };
        let disputes = self.disputes(ctx, &order).await?;
        let mut snapshot = order.snapshot(&disputes)?;
        if let Some(decline) = decline {
            (snapshot.status, snapshot.decline) = (PaymentStatus::Failed, Some(decline));
        }
        let reference = PaymentRef::new(&order.id);
        let mut all = vec![Observation::Payment { reference: reference.clone(), payment_id: Some(payment_id), snapshot }];
        for refund in order.refunds() {
            all.push(Observation::Refund { payment: reference.clone(), refund: convert::refund(refund)? });
        }
        all.extend(disputes.into_iter().map(|dispute| Observation::Dispute { payment: reference.clone(), dispute }));
        Ok(all)
    }

    /// The order that a stored event is about.
    async fn order_of(&self, ctx: &OpContext, notification: &Notification) -> Result<Option<PaymentRef>, GatewayError> {
        if let Some(reference) = &notification.reference {
            return Ok(Some(reference.clone()));
        }
        let named: Named = serde_json::from_value(notification.payload.clone()).unwrap_or_default();
        let Some(capture) = named.capture else { return Ok(None) };
        let capture: Movement = match self.read(ctx, &["v2", "payments", "captures", &capture]).await {
            Ok(capture) => capture,
            Err(GatewayError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let related = capture.supplementary_data.and_then(|data| data.related_ids.order_id);
        let linked = || {
            let up = capture.links.iter().find(|link| link.rel == "up" && link.href.contains("/checkout/orders/"))?;
            up.href.rsplit('/').next().map(str::to_owned)
        };
        Ok(related.or_else(linked).map(PaymentRef::new))
    }

    fn check_start(&self, request: &StartPayment) -> Result<(), GatewayError> {
        self.settings.capabilities().accepts(request.amount)?;
        if request.token.is_some() {
            return Err(GatewayError::invalid("token", "the buyer pays on PayPal's own page; leave it out"));
        }
        Ok(())
    }
}

/// What became of an approved order.
enum Confirmed {
    /// This.
    Order(Order),
    /// The buyer's bank or PayPal said no.
    Declined(Order, Decline),
}

/// A write under `request_id` that answers with the whole object: without that, ids of captures are missing.
fn representation(request: RequestBuilder, request_id: &str) -> RequestBuilder {
    request.header("paypal-request-id", request_id).header("prefer", "return=representation")
}

/// A refusal of a write.
fn refusal(answer: &Answer) -> GatewayError {
    match answer.refusal::<Refused>() {
        // The same request is on its way already.
        Some(refused) if matches!(refused.code(), "PREVIOUS_REQUEST_IN_PROGRESS" | "REQUEST_IN_PROGRESS") => {
            GatewayError::Unavailable(answer.detail(&refused.words()))
        }
        Some(_) if answer.status == 404 => GatewayError::NotFound,
        Some(refused) => GatewayError::InvalidRequest { field: "request", detail: answer.detail(&refused.words()) },
        None => answer.untrusted("an answer that is not expected"),
    }
}

#[async_trait]
impl PaymentGateway for PayPal {
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
        self.check_start(&request)?;
        let id = request.payment_id.to_string();
        let body = CreateOrder {
            intent: if request.capture == CaptureMode::Automatic { "CAPTURE" } else { "AUTHORIZE" },
            purchase_units: [NewUnit {
                custom_id: &id,
                // PayPal lets an invoice be paid once: also after it has forgotten the request's id.
                invoice_id: &id,
                description: request.description.chars().take(127).collect(),
                amount: convert::amount(request.amount)?,
            }],
            payment_source: PaymentSource {
                paypal: Wallet {
                    experience_context: Experience {
                        return_url: &request.return_url,
                        cancel_url: &request.cancel_url,
                        user_action: "PAY_NOW",
                        shipping_preference: "NO_SHIPPING",
                        locale: convert::locale(request.buyer.language.as_deref()),
                        brand_name: self.settings.brand_name.as_deref(),
                    },
                },
            },
        };
        let finish = |call: RequestBuilder| representation(call, &ctx.operation_id).json(&body);
        let answer = self.call(ctx, Nature::Write, Method::POST, &["v2", "checkout", "orders"], finish).await?;
        if (400..500).contains(&answer.status) {
            return Err(refusal(&answer));
        }
        let order: Order = answer.json()?;
        let reference = PaymentRef::new(&order.id);
        // The same request id gives the first order, whatever is asked for now.
        if order.asked().is_ok_and(|asked| asked != request.amount) {
            return Err(GatewayError::invalid("amount", "the payment was started before with another amount"));
        }
        let Ok(snapshot) = order.snapshot(&[]) else {
            return Err(GatewayError::UnknownOutcome { reference: Some(reference), detail: answer.detail("the order has no amount") });
        };
        let page = order.page().filter(|page| Url::parse(page).is_ok_and(|url| matches!(url.scheme(), "http" | "https")));
        let next_action = match (snapshot.status, page) {
            (PaymentStatus::RequiresAction, Some(page)) => {
                NextAction::Redirect { url: page.to_owned(), method: RedirectMethod::Get, fields: Vec::new() }
            }
            (PaymentStatus::RequiresAction, None) => {
                let detail = answer.detail("the answer names no page for the buyer");
                return Err(GatewayError::UnknownOutcome { reference: Some(reference), detail });
            }
            _ => NextAction::None,
        };
        Ok(Started { reference, next_action, snapshot })
    }

    async fn fetch(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let order = self.order(ctx, reference).await?;
        order.snapshot(&self.disputes(ctx, &order).await?)
    }

    async fn receive_webhook(&self, ctx: &OpContext, webhook: RawWebhook) -> Result<Received, WebhookError> {
        webhook::receive(&self.settings, &self.certificates, ctx, &webhook).await
    }

    async fn resolve(&self, ctx: &OpContext, notification: &Notification) -> Result<Vec<Observation>, GatewayError> {
        let families = ["CHECKOUT.ORDER.", "PAYMENT.CAPTURE.", "PAYMENT.AUTHORIZATION.", "PAYMENT.REFUND.", "CUSTOMER.DISPUTE."];
        if !families.iter().any(|family| notification.kind.starts_with(family)) {
            return Ok(Vec::new());
        }
        let Some(reference) = self.order_of(ctx, notification).await? else { return Ok(Vec::new()) };
        match self.order(ctx, &reference).await {
            Ok(order) => self.observe(ctx, order).await,
            // Orders that nobody paid are forgotten after some hours.
            Err(GatewayError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn complete_return(&self, ctx: &OpContext, query: ReturnQuery) -> Result<Vec<Observation>, GatewayError> {
        let Some(reference) = &query.reference else { return Ok(Vec::new()) };
        match self.order(ctx, reference).await {
            Ok(order) if order.payment_id() == Some(query.payment_id) => self.observe(ctx, order).await,
            Ok(_) | Err(GatewayError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn capture(&self, ctx: &OpContext, reference: &PaymentRef, amount: Money, last: bool) -> Result<Snapshot, GatewayError> {
        let order = self.order(ctx, reference).await?;
        let held = order.authorizations();
        let Some(held) = held.last() else { return Err(GatewayError::invalid("payment", "nothing is reserved that could be captured")) };
        // PayPal itself would take up to 15 % more than was reserved.
        if amount.minor <= 0 || amount.currency != held.amount.money()?.currency || amount.minor > held.amount.money()?.minor {
            return Err(GatewayError::invalid("amount", format!("must be more than zero and at most {}", held.amount.money()?)));
        }
        let body = NewCapture { amount: convert::amount(amount)?, final_capture: last };
        let finish = |call: RequestBuilder| representation(call, &ctx.operation_id).json(&body);
        let path = ["v2", "payments", "authorizations", held.id.as_str(), "capture"];
        let answer = self.call(ctx, Nature::Write, Method::POST, &path, finish).await?;
        if !answer.is_success() {
            return Err(refusal(&answer));
        }
        self.after_write(ctx, reference).await
    }

    async fn void(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let order = self.order(ctx, reference).await?;
        let snapshot = order.snapshot(&[])?;
        match (snapshot.status, order.authorizations().last()) {
            (PaymentStatus::Cancelled, _) => Ok(snapshot),
            (PaymentStatus::Captured, _) => Err(GatewayError::invalid("payment", "was captured and cannot be given up")),
            (PaymentStatus::Authorised, Some(held)) => {
                let path = ["v2", "payments", "authorizations", held.id.as_str(), "void"];
                let finish = |call: RequestBuilder| representation(call, &ctx.operation_id);
                let answer = self.call(ctx, Nature::Write, Method::POST, &path, finish).await?;
                if !answer.is_success() {
                    return Err(refusal(&answer));
                }
                self.after_write(ctx, reference).await
            }
            _ => Err(GatewayError::NotSupported { operation: "void" }),
        }
    }

    async fn refund(&self, ctx: &OpContext, request: RefundRequest) -> Result<RefundSnapshot, GatewayError> {
        let order = self.order(ctx, &request.payment).await?;
        let asked = order.asked()?;
        if request.amount.currency != asked.currency || request.amount.minor <= 0 {
            return Err(GatewayError::invalid("amount", format!("must be more than zero, in {}", asked.currency)));
        }
        let id = request.refund_id.to_string();
        if let Some(earlier) = order.refunds().into_iter().find(|refund| refund.invoice_id.as_deref() == Some(&id)) {
            let earlier = convert::refund(earlier)?;
            return if earlier.amount == request.amount {
                Ok(earlier)
            } else {
                Err(GatewayError::invalid("amount", "the refund was asked for before with another amount"))
            };
        }
        let totals = order.snapshot(&self.disputes(ctx, &order).await?)?.totals;
        let mut gone = totals.disputed.minor;
        for refund in order.refunds() {
            if !matches!(convert::refund_state(refund), RefundStatus::Failed | RefundStatus::Cancelled) {
                gone = gone.saturating_add(refund.amount.money()?.minor);
            }
        }
        let left = Money::new(totals.captured.minor.saturating_sub(gone), asked.currency);
        if request.amount.minor > left.minor {
            return Err(GatewayError::invalid("amount", format!("of this payment {left} is left to send back")));
        }
        let captures = order.captures();
        let mut from = None;
        for capture in &captures {
            if capture.amount.money()?.minor >= request.amount.minor
                && matches!(capture.status.as_str(), "COMPLETED" | "PARTIALLY_REFUNDED")
            {
                from = Some(capture.id.as_str());
            }
        }
        let Some(capture) = from else {
            return Err(GatewayError::invalid("amount", "is more than any one capture of this payment; refund it in parts"));
        };
        // The shop's reason is for its own records; what is sent along, the buyer reads.
        let body = NewRefund { amount: convert::amount(request.amount)?, invoice_id: &id };
        let finish = |call: RequestBuilder| representation(call, &id).json(&body);
        let answer = self.call(ctx, Nature::Write, Method::POST, &["v2", "payments", "captures", capture, "refund"], finish).await?;
        if (400..500).contains(&answer.status) {
            return Err(refusal(&answer));
        }
        let mut made: Movement = answer.json()?;
        made.invoice_id = Some(id);
        convert::refund(&made).map_err(|_| answer.untrusted("the refund has no amount"))
    }

    async fn fetch_refund(&self, ctx: &OpContext, query: &RefundQuery) -> Result<Found<RefundSnapshot>, GatewayError> {
        let order = self.order(ctx, &query.payment).await?;
        let wanted = query.refund_id.to_string();
        let found = order.refunds().into_iter().find(|refund| {
            refund.invoice_id.as_deref() == Some(&wanted) || query.reference.as_ref().is_some_and(|known| known.as_str() == refund.id)
        });
        Ok(match found {
            Some(refund) => Found::Present(convert::refund(refund)?),
            None => Found::Absent,
        })
    }

    async fn check(&self, ctx: &OpContext) -> Result<(), GatewayError> {
        self.authorize(ctx).await.map(|_| ())
    }
}

impl PayPal {
    /// The state after a write that was done. A reading that fails says nothing against it, so it is asked for later.
    async fn after_write(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        self.fetch(ctx, reference).await.map_err(|error| GatewayError::UnknownOutcome {
            reference: Some(reference.clone()),
            detail: format!("done, but the state afterwards cannot be read: {error}").into(),
        })
    }
}

/// Builds instances of PayPal.
#[derive(Debug, Default, Clone, Copy)]
pub struct PayPalFactory;

#[async_trait]
impl GatewayFactory for PayPalFactory {
    fn adapter(&self) -> &'static str {
        ADAPTER
    }

    async fn build(&self, config: InstanceConfig) -> Result<Arc<dyn PaymentGateway>, GatewayError> {
        Ok(Arc::new(PayPal::new(config)?))
    }
}
