//! PayU (the REST API of Poland, Czechia, Slovakia, Romania and Hungary), by redirect to its pages.
//!
//! Always true here: the answer to a new order is read where it is, a redirect included; the verdict in the body is looked at whatever the HTTP
//! status says; of a signed report and a reading that lags behind it, the one that is further counts.
//!
//! Settings, secrets and what the gateway cannot do: see the README beside this crate.

mod convert;
mod settings;
mod signature;
mod webhook;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Money;
use gateway_http::{AccessTokens, Answer, Client, Method, Nature, RequestBuilder, Url};
use port::{
    Descriptor, Found, GatewayError, GatewayFactory, InstanceConfig, NextAction, Notification, Observation, OpContext, PaymentGateway,
    PaymentRef, PaymentStatus, RawWebhook, Received, RedirectMethod, RefundQuery, RefundRequest, RefundSnapshot, RefundStatus, ReturnQuery,
    Snapshot, StartPayment, Started, Totals, WebhookError,
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use convert::Meaning;
use settings::Settings;
use wire::{
    Buyer, CreateOrder, CreateRefund, Created, Envelope, Notice, Order, Orders, Product, Refund, RefundOrder, Refunded, Refunds, Token,
};

/// The adapter's name in settings.
pub const ADAPTER: &str = "payu";

/// Shortest time in which a buyer can pay, in seconds.
const SHORTEST_VALIDITY: i64 = 60;

/// One point of sale at PayU.
#[derive(Debug)]
pub struct PayU {
    settings: Settings,
    client: Client,
    tokens: AccessTokens,
}

impl PayU {
    /// An instance from its settings.
    ///
    /// # Errors
    /// [`GatewayError::Config`] naming the key that is wrong.
    pub fn new(config: InstanceConfig) -> Result<Self, GatewayError> {
        let settings = Settings::read(config)?;
        let client = Client::new(settings.base.clone(), "x-request-id")?;
        Ok(Self { settings, client, tokens: AccessTokens::new() })
    }

    /// A new access token and how long it is good for. Asking twice does no harm.
    async fn authorize(&self, ctx: &OpContext) -> Result<(SecretString, Duration), GatewayError> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.settings.client_id.as_str()),
            ("client_secret", self.settings.client_secret.expose_secret()),
        ];
        let request = self.client.request(Method::POST, &["pl", "standard", "user", "oauth", "authorize"]).form(&form);
        let answer = self.client.send(ctx, Nature::Read, request).await?;
        if (400..500).contains(&answer.status) {
            return Err(GatewayError::Auth(answer.detail("the gateway gives no access token for these credentials")));
        }
        let token: Token = answer.json()?;
        Ok((token.access_token.into(), Duration::from_secs(token.expires_in)))
    }

    /// Makes a call with an access token, once more with a new one if that one is no longer accepted.
    async fn call(
        &self,
        ctx: &OpContext,
        nature: Nature,
        path: &[&str],
        finish: impl Fn(RequestBuilder) -> RequestBuilder,
        method: Method,
    ) -> Result<Answer, GatewayError> {
        let path: Vec<&str> = ["api", "v2_1", "orders"].iter().chain(path).copied().collect();
        let mut refused = None;
        loop {
            let token = self.tokens.get(refused.as_ref(), || self.authorize(ctx)).await?;
            let request = finish(self.client.request(method.clone(), &path)).bearer_auth(token.expose());
            match self.client.send(ctx, nature, request).await {
                Err(GatewayError::Auth(_)) if refused.is_none() => refused = Some(token),
                other => return other,
            }
        }
    }

    async fn order(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Order, GatewayError> {
        let answer = self.call(ctx, Nature::Read, &[reference.as_str()], |request| request, Method::GET).await?;
        done::<Orders>(&answer)?.orders.into_iter().find(|order| order.order_id == reference.as_str()).ok_or(GatewayError::NotFound)
    }

    /// The refunds of an order that was paid.
    async fn refunds(&self, ctx: &OpContext, order: &Order) -> Result<Vec<Refund>, GatewayError> {
        if order.state() != PaymentStatus::Captured {
            return Ok(Vec::new());
        }
        let answer = self.call(ctx, Nature::Read, &[&order.order_id, "refunds"], |request| request, Method::GET).await?;
        match done::<Refunds>(&answer) {
            Ok(found) => Ok(found.refunds),
            Err(GatewayError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The order that an earlier try made; the page's address was in the first answer only.
    async fn known(&self, ctx: &OpContext, request: &StartPayment, created: Created) -> Result<Started, GatewayError> {
        let ours = created.ext_order_id.is_none_or(|id| id == request.payment_id.to_string());
        let Some(reference) = created.order_id.filter(|_| ours).map(PaymentRef::new) else {
            let detail = "the gateway has an order with this id and does not say which".into();
            return Err(GatewayError::UnknownOutcome { reference: None, detail });
        };
        let order = match self.order(ctx, &reference).await {
            Ok(order) => order,
            Err(error) => return Err(GatewayError::UnknownOutcome { reference: Some(reference), detail: error.to_string().into() }),
        };
        if order.money()? != request.amount {
            return Err(GatewayError::invalid("amount", "the payment was started before with another amount"));
        }
        let snapshot = order.snapshot(&self.refunds(ctx, &order).await?)?;
        Ok(Started { reference, next_action: NextAction::None, snapshot })
    }

    async fn observe(&self, ctx: &OpContext, order: &Order, reported: Option<&Refund>) -> Result<Vec<Observation>, GatewayError> {
        let mut refunds = self.refunds(ctx, order).await?;
        if let Some(reported) = reported {
            match refunds.iter_mut().find(|refund| refund.refund_id == reported.refund_id) {
                Some(refund) if refund.state() == RefundStatus::Pending => refund.status.clone_from(&reported.status),
                Some(_) => {}
                None => refunds.push(reported.clone()),
            }
        }
        let (reference, currency) = (PaymentRef::new(&order.order_id), order.money()?.currency);
        let snapshot = order.snapshot(&refunds)?;
        let mut all = vec![Observation::Payment { reference: reference.clone(), payment_id: order.payment_id(), snapshot }];
        for refund in refunds {
            all.push(Observation::Refund { payment: reference.clone(), refund: refund.snapshot(currency) });
        }
        Ok(all)
    }

    fn check_start(&self, request: &StartPayment) -> Result<(), GatewayError> {
        let capabilities = self.settings.capabilities();
        capabilities.accepts(request.amount)?;
        if !capabilities.captures.contains(&request.capture) {
            return Err(GatewayError::invalid(
                "capture",
                "the point of sale decides when money is taken: set capture_at_once to what auto_receive says",
            ));
        }
        if request.token.is_some() {
            return Err(GatewayError::invalid("token", "the buyer pays on PayU's own page; leave it out"));
        }
        Ok(())
    }

    fn new_order<'a>(&'a self, ctx: &OpContext, request: &'a StartPayment, id: &'a str) -> CreateOrder<'a> {
        let line = |name: String, amount: Money| Product { name, unit_price: amount.minor.to_string(), quantity: "1" };
        let products = if request.lines.is_empty() {
            vec![line(request.description.clone(), request.amount)]
        } else {
            // A line's total is not always its quantity times a whole amount, so the quantity stands in its name.
            let name = |title: &str, quantity: u32| if quantity == 1 { title.to_owned() } else { format!("{quantity} × {title}") };
            request.lines.iter().map(|part| line(name(&part.title, part.quantity), part.total)).collect()
        };
        let language = convert::language(request.buyer.language.as_deref());
        CreateOrder {
            ext_order_id: id,
            notify_url: &request.webhook_url,
            continue_url: &request.return_url,
            customer_ip: request.buyer.ip.unwrap_or(self.settings.customer_ip).to_string(),
            merchant_pos_id: &self.settings.pos_id,
            description: &request.description,
            currency_code: request.amount.currency.code(),
            total_amount: request.amount.minor.to_string(),
            validity_time: request.expires_at.map(|end| (end - ctx.now).num_seconds().max(SHORTEST_VALIDITY).to_string()),
            buyer: request.buyer.email.as_deref().map(|email| Buyer { email, language }),
            products,
        }
    }
}

/// What the answer's verdict makes of it, with the body only where something was done.
fn verdict(answer: &Answer) -> Result<(), GatewayError> {
    let Some(Envelope { status }) = answer.refusal() else {
        return match answer.status {
            404 => Err(GatewayError::NotFound),
            _ if answer.is_success() => Ok(()),
            _ => Err(answer.untrusted("an answer that is not expected")),
        };
    };
    match status.meaning() {
        Meaning::Done => Ok(()),
        Meaning::NotFound => Err(GatewayError::NotFound),
        Meaning::Auth => Err(GatewayError::Auth(answer.detail(&status.words()))),
        Meaning::Refused | Meaning::Duplicate => {
            Err(GatewayError::InvalidRequest { field: "request", detail: answer.detail(&status.words()) })
        }
        Meaning::Unclear => Err(answer.untrusted(&status.words())),
    }
}

/// The body of an answer that says that it was done, whatever its HTTP status.
fn done<T: DeserializeOwned>(answer: &Answer) -> Result<T, GatewayError> {
    verdict(answer)?;
    serde_json::from_slice(&answer.body).map_err(|_| answer.untrusted("the answer cannot be read"))
}

#[async_trait]
impl PaymentGateway for PayU {
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
        let body = self.new_order(ctx, &request, &id);
        let answer = self.call(ctx, Nature::Write, &[], |call| call.json(&body), Method::POST).await?;
        let duplicate = answer.refusal::<Envelope>().is_some_and(|envelope| envelope.status.meaning() == Meaning::Duplicate);
        let created: Created =
            if duplicate { answer.refusal().ok_or_else(|| answer.untrusted("the answer cannot be read"))? } else { done(&answer)? };
        if duplicate {
            return self.known(ctx, &request, created).await;
        }
        let reference = created.order_id.filter(|id| !id.is_empty()).map(PaymentRef::new);
        let page = created.redirect_uri.filter(|text| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https")));
        let (Some(reference), Some(url)) = (reference.clone(), page) else {
            return Err(GatewayError::UnknownOutcome {
                reference,
                detail: answer.detail("the answer names no order, or no page for the buyer"),
            });
        };
        Ok(Started {
            reference,
            next_action: NextAction::Redirect { url, method: RedirectMethod::Get, fields: Vec::new() },
            snapshot: Snapshot {
                status: PaymentStatus::RequiresAction,
                totals: Totals::zero(request.amount.currency),
                raw_status: "NEW".to_owned(),
                method_label: None,
                decline: None,
                changed_at: None,
            },
        })
    }

    async fn fetch(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let order = self.order(ctx, reference).await?;
        order.snapshot(&self.refunds(ctx, &order).await?)
    }

    async fn receive_webhook(&self, _ctx: &OpContext, webhook: RawWebhook) -> Result<Received, WebhookError> {
        webhook::receive(&self.settings, &webhook)
    }

    async fn resolve(&self, ctx: &OpContext, notification: &Notification) -> Result<Vec<Observation>, GatewayError> {
        let Some(reference) = &notification.reference else { return Ok(Vec::new()) };
        let notice: Notice = serde_json::from_value(notification.payload.clone())
            .map_err(|_| GatewayError::Unavailable("the stored notification cannot be read".into()))?;
        let reported = notice.order.filter(|order| order.order_id == reference.as_str());
        let order = match (self.order(ctx, reference).await, reported) {
            (Ok(read), Some(reported)) if reported.rank() > read.rank() => reported,
            (Ok(read), _) => read,
            (Err(GatewayError::NotFound), Some(reported)) => reported,
            (Err(GatewayError::NotFound), None) => return Err(GatewayError::Unavailable("the gateway does not show the order yet".into())),
            (Err(error), _) => return Err(error),
        };
        self.observe(ctx, &order, notice.refund.as_ref().filter(|_| notification.kind == webhook::REFUND)).await
    }

    async fn complete_return(&self, ctx: &OpContext, query: ReturnQuery) -> Result<Vec<Observation>, GatewayError> {
        let Some(reference) = &query.reference else { return Ok(Vec::new()) };
        match self.order(ctx, reference).await {
            Ok(order) if order.payment_id().is_none_or(|id| id == query.payment_id) => self.observe(ctx, &order, None).await,
            Ok(_) | Err(GatewayError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn capture(&self, ctx: &OpContext, reference: &PaymentRef, amount: Money, _last: bool) -> Result<Snapshot, GatewayError> {
        if self.settings.auto_receive {
            return Err(GatewayError::NotSupported { operation: "capture" });
        }
        let mut order = self.order(ctx, reference).await?;
        if order.money()? != amount {
            return Err(GatewayError::invalid("amount", format!("must be the whole: {}", order.money()?)));
        }
        match order.state() {
            // By an earlier try of this operation.
            PaymentStatus::Captured => return order.snapshot(&self.refunds(ctx, &order).await?),
            PaymentStatus::Authorised => {}
            _ => return Err(GatewayError::invalid("payment", format!("is {} and cannot be captured", order.status))),
        }
        verdict(&self.call(ctx, Nature::Write, &[reference.as_str(), "captures"], |call| call, Method::POST).await?)?;
        order.status = "COMPLETED".to_owned();
        order.snapshot(&[])
    }

    async fn void(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let mut order = self.order(ctx, reference).await?;
        match order.state() {
            PaymentStatus::Captured => return Err(GatewayError::invalid("payment", "is COMPLETED and cannot be given up")),
            PaymentStatus::Cancelled => return order.snapshot(&[]),
            _ => {}
        }
        verdict(&self.call(ctx, Nature::Write, &[reference.as_str()], |call| call, Method::DELETE).await?)?;
        order.status = "CANCELED".to_owned();
        order.snapshot(&[])
    }

    async fn refund(&self, ctx: &OpContext, request: RefundRequest) -> Result<RefundSnapshot, GatewayError> {
        let order = self.order(ctx, &request.payment).await?;
        let money = order.money()?;
        if request.amount.currency != money.currency || request.amount.minor <= 0 {
            return Err(GatewayError::invalid("amount", format!("must be more than zero, in {}", money.currency)));
        }
        if order.state() != PaymentStatus::Captured {
            return Err(GatewayError::invalid("payment", format!("is {}: nothing was captured that could be sent back", order.status)));
        }
        let (id, known) = (request.refund_id.to_string(), self.refunds(ctx, &order).await?);
        if let Some(earlier) = known.iter().find(|refund| refund.ext_refund_id.as_deref() == Some(&id)) {
            return if earlier.amount == request.amount.minor {
                Ok(earlier.snapshot(money.currency))
            } else {
                Err(GatewayError::invalid("amount", "the refund was asked for before with another amount"))
            };
        }
        let gone: i64 = known.iter().filter(|refund| refund.state() != RefundStatus::Failed).map(|refund| refund.amount).sum();
        let left = Money::new(money.minor.saturating_sub(gone), money.currency);
        if request.amount.minor > left.minor {
            return Err(GatewayError::invalid("amount", format!("of this payment {left} is left to send back")));
        }
        let refund = RefundOrder {
            // PayU insists on a description, and the buyer reads it: the shop's reason is for its own records.
            description: &id,
            amount: request.amount.minor.to_string(),
            currency_code: money.currency.code(),
            ext_refund_id: &id,
        };
        let body = CreateRefund { refund };
        let answer = self.call(ctx, Nature::Write, &[&order.order_id, "refunds"], |call| call.json(&body), Method::POST).await?;
        let mut made = done::<Refunded>(&answer)?.refund;
        made.ext_refund_id = Some(id);
        Ok(made.snapshot(money.currency))
    }

    async fn fetch_refund(&self, ctx: &OpContext, query: &RefundQuery) -> Result<Found<RefundSnapshot>, GatewayError> {
        let order = self.order(ctx, &query.payment).await?;
        let (wanted, currency) = (query.refund_id.to_string(), order.money()?.currency);
        let found = self.refunds(ctx, &order).await?.into_iter().find(|refund| {
            refund.ext_refund_id.as_deref() == Some(&wanted)
                || query.reference.as_ref().is_some_and(|reference| reference.as_str() == refund.refund_id)
        });
        Ok(found.map_or(Found::Absent, |refund| Found::Present(refund.snapshot(currency))))
    }

    async fn check(&self, ctx: &OpContext) -> Result<(), GatewayError> {
        self.authorize(ctx).await.map(|_| ())
    }
}

/// Builds instances of PayU.
#[derive(Debug, Default, Clone, Copy)]
pub struct PayUFactory;

#[async_trait]
impl GatewayFactory for PayUFactory {
    fn adapter(&self) -> &'static str {
        ADAPTER
    }

    async fn build(&self, config: InstanceConfig) -> Result<Arc<dyn PaymentGateway>, GatewayError> {
        Ok(Arc::new(PayU::new(config)?))
    }
}
