//! Przelewy24: bank transfers, BLIK, cards and wallets of Poland, by redirect to its pages.
//!
//! Always true here: a payment is verified with what the shop asked for, which is in the payment's reference, and never with what a message says;
//! until it is verified the money is an advance and the payment is not captured. Asking ([`PaymentGateway::fetch`]) verifies nothing: that is done
//! when the gateway reports, when the buyer comes back, and when the shop asks to complete a payment.
//!
//! Settings, secrets and what the gateway cannot do: see the README beside this crate.

mod convert;
mod settings;
mod sign;
mod webhook;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use domain::{Money, PaymentId};
use gateway_http::{Answer, Client, Method, Nature, RequestBuilder};
use port::{
    CaptureMode, Descriptor, Detail, Found, GatewayError, GatewayFactory, InstanceConfig, Located, NextAction, Notification, Observation,
    OpContext, PaymentGateway, PaymentRef, PaymentStatus, RawWebhook, Received, RedirectMethod, RefundQuery, RefundRequest, RefundSnapshot,
    RefundStatus, ReturnQuery, Snapshot, StartPayment, Started, Totals, WebhookError,
};
use secrecy::ExposeSecret;

use convert::{Asked, Stage};
use settings::Settings;
use wire::{Answered, Refund, RefundOrder, RefundPart, Refunds, Refused, Register, Registered, Transaction, TransactionNotice, Verify};

/// The adapter's name in settings.
pub const ADAPTER: &str = "przelewy24";

/// Longest e-mail address that the gateway takes, in characters.
const LONGEST_EMAIL: usize = 50;

/// Longest name of a buyer that the gateway takes, in characters; it is shown only, so a longer one is cut.
const LONGEST_NAME: usize = 40;

/// Longest time limit that the gateway takes, in minutes.
const LONGEST_MINUTES: i64 = 99;

/// One account at Przelewy24.
#[derive(Debug)]
pub struct Przelewy24 {
    settings: Settings,
    client: Client,
}

impl Przelewy24 {
    /// An instance from its settings.
    ///
    /// # Errors
    /// [`GatewayError::Config`] naming the key that is wrong.
    pub fn new(config: InstanceConfig) -> Result<Self, GatewayError> {
        let settings = Settings::read(config)?;
        let client = Client::new(settings.base.clone(), "x-request-id")?;
        Ok(Self { settings, client })
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let path: Vec<&str> = ["api", "v1"].iter().chain(path).copied().collect();
        self.client.request(method, &path).basic_auth(self.settings.pos_id, Some(self.settings.api_key.expose_secret()))
    }

    async fn transaction(&self, ctx: &OpContext, session: &str) -> Result<Transaction, GatewayError> {
        let request = self.request(Method::GET, &["transaction", "by", "sessionId", session]);
        let answer: Answered<Transaction> = self.client.send(ctx, Nature::Read, request).await?.json()?;
        Ok(answer.data)
    }

    /// The refunds of a payment that the buyer has at least begun.
    async fn refunds(&self, ctx: &OpContext, transaction: &Transaction) -> Result<Vec<Refund>, GatewayError> {
        if transaction.order_id == 0 || !matches!(transaction.stage(), Stage::Made | Stage::Returned) {
            return Ok(Vec::new());
        }
        let request = self.request(Method::GET, &["refund", "by", "orderId", &transaction.order_id.to_string()]);
        match self.client.send(ctx, Nature::Read, request).await?.json::<Answered<Refunds>>() {
            Ok(answer) => Ok(answer.data.refunds),
            Err(GatewayError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Makes an advance the shop's money, if it is what was asked for; anything else stays as it is.
    async fn verified(&self, ctx: &OpContext, asked: Asked, mut transaction: Transaction) -> Result<Transaction, GatewayError> {
        if transaction.stage() != Stage::Advance || transaction.money()? != asked.amount {
            return Ok(transaction);
        }
        let (session, currency) = (asked.session(), asked.amount.currency.code());
        let sign = sign::verification(&self.settings.crcs[0], &session, transaction.order_id, asked.amount);
        let body = Verify {
            merchant_id: self.settings.merchant_id,
            pos_id: self.settings.pos_id,
            session_id: &session,
            amount: asked.amount.minor,
            currency,
            order_id: transaction.order_id,
            sign: &sign,
        };
        // Verifying twice does no harm, so silence means no more than that it has to be tried again.
        let answer = self.client.send(ctx, Nature::Read, self.request(Method::PUT, &["transaction", "verify"]).json(&body)).await?;
        if answer.is_success() {
            transaction.status = 2.into();
            return Ok(transaction);
        }
        // Refused perhaps because another call was faster.
        let now = self.transaction(ctx, &session).await?;
        if now.stage() == Stage::Advance {
            return Err(GatewayError::Unavailable(words(&answer, "the payment was not verified")));
        }
        Ok(now)
    }

    /// Everything there is to know about a payment: itself and its refunds.
    async fn observe(&self, ctx: &OpContext, asked: Asked, transaction: &Transaction) -> Result<Vec<Observation>, GatewayError> {
        let refunds = self.refunds(ctx, transaction).await?;
        let (reference, snapshot) = (asked.reference(), convert::snapshot(asked, transaction, &refunds)?);
        let mut all = vec![Observation::Payment { reference: reference.clone(), payment_id: Some(asked.payment_id), snapshot }];
        for refund in refunds {
            all.push(Observation::Refund { payment: reference.clone(), refund: refund.snapshot(asked.amount.currency) });
        }
        Ok(all)
    }

    fn check_start(&self, request: &StartPayment) -> Result<(), GatewayError> {
        self.settings.capabilities().accepts(request.amount)?;
        if request.capture != CaptureMode::Automatic {
            return Err(GatewayError::invalid("capture", "Przelewy24 reserves nothing first; set capture_at_once = true"));
        }
        if request.token.is_some() {
            return Err(GatewayError::invalid("token", "the buyer pays on Przelewy24's own page; leave it out"));
        }
        Ok(())
    }

    /// What the gateway has under a session that it does not register again: the page's address was in the first answer only.
    async fn known(&self, ctx: &OpContext, asked: Asked, refused: &Answer) -> Result<Started, GatewayError> {
        match self.transaction(ctx, &asked.session()).await {
            Ok(transaction) if transaction.money()? == asked.amount => {
                let snapshot = convert::snapshot(asked, &transaction, &self.refunds(ctx, &transaction).await?)?;
                Ok(Started { reference: asked.reference(), next_action: NextAction::None, snapshot })
            }
            Ok(_) => Err(GatewayError::invalid("amount", "the payment was started before with another amount")),
            Err(GatewayError::NotFound) => Err(GatewayError::InvalidRequest { field: "request", detail: words(refused, "refused") }),
            Err(error) => Err(error),
        }
    }
}

/// A refusal in the gateway's words.
fn words(answer: &Answer, otherwise: &str) -> Detail {
    let words = answer.refusal::<Refused>().map(|refused| refused.words()).filter(|words| !words.is_empty());
    answer.detail(words.as_deref().unwrap_or(otherwise))
}

#[async_trait]
impl PaymentGateway for Przelewy24 {
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
        let email = request.buyer.email.as_deref().ok_or_else(|| GatewayError::invalid("buyer.email", "Przelewy24 needs one"))?;
        if email.chars().count() > LONGEST_EMAIL {
            return Err(GatewayError::invalid("buyer.email", format!("Przelewy24 takes none of more than {LONGEST_EMAIL} characters")));
        }
        let client: Option<String> = request.buyer.name.as_deref().map(|name| name.chars().take(LONGEST_NAME).collect());
        let asked = Asked { payment_id: request.payment_id, amount: request.amount };
        let session = asked.session();
        let sign = sign::registration(&self.settings.crcs[0], self.settings.merchant_id, &session, asked.amount);
        let minutes = request.expires_at.map(|end| (end - ctx.now).num_minutes().clamp(1, LONGEST_MINUTES));
        let body = Register {
            merchant_id: self.settings.merchant_id,
            pos_id: self.settings.pos_id,
            session_id: &session,
            amount: asked.amount.minor,
            currency: asked.amount.currency.code(),
            description: &request.description,
            email,
            client: client.as_deref(),
            country: request.buyer.country.as_deref().unwrap_or(&self.settings.country),
            language: convert::language(request.buyer.language.as_deref()),
            url_return: &request.return_url,
            url_status: &request.webhook_url,
            time_limit: minutes,
            channel: self.settings.channel,
            encoding: "UTF-8",
            sign: &sign,
        };
        let answer = self.client.send(ctx, Nature::Write, self.request(Method::POST, &["transaction", "register"]).json(&body)).await?;
        if (400..500).contains(&answer.status) {
            return self.known(ctx, asked, &answer).await;
        }
        let token = answer.json::<Answered<Registered>>()?.data.token;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(answer.untrusted("the answer has no usable token"));
        }
        let mut page = self.settings.base.clone();
        if let Ok(mut parts) = page.path_segments_mut() {
            parts.pop_if_empty().extend(["trnRequest", &token]);
        }
        Ok(Started {
            reference: asked.reference(),
            next_action: NextAction::Redirect { url: page.into(), method: RedirectMethod::Get, fields: Vec::new() },
            snapshot: Snapshot {
                status: PaymentStatus::RequiresAction,
                totals: Totals::zero(asked.amount.currency),
                raw_status: "registered".to_owned(),
                method_label: None,
                decline: None,
                changed_at: None,
            },
        })
    }

    async fn fetch(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let asked = Asked::read(reference).ok_or(GatewayError::NotFound)?;
        let transaction = self.transaction(ctx, &asked.session()).await?;
        convert::snapshot(asked, &transaction, &self.refunds(ctx, &transaction).await?)
    }

    async fn find(&self, ctx: &OpContext, payment_id: PaymentId) -> Result<Found<Located>, GatewayError> {
        let transaction = match self.transaction(ctx, &payment_id.to_string()).await {
            Ok(transaction) => transaction,
            Err(GatewayError::NotFound) => return Ok(Found::Absent),
            Err(error) => return Err(error),
        };
        let asked = Asked { payment_id, amount: transaction.money()? };
        let snapshot = convert::snapshot(asked, &transaction, &self.refunds(ctx, &transaction).await?)?;
        Ok(Found::Present(Located { reference: asked.reference(), snapshot }))
    }

    async fn receive_webhook(&self, _ctx: &OpContext, webhook: RawWebhook) -> Result<Received, WebhookError> {
        webhook::receive(&self.settings, &webhook)
    }

    async fn resolve(&self, ctx: &OpContext, notification: &Notification) -> Result<Vec<Observation>, GatewayError> {
        let Some(payment_id) = notification.payment_id else { return Ok(Vec::new()) };
        let mut transaction = match self.transaction(ctx, &payment_id.to_string()).await {
            Ok(transaction) => transaction,
            // It has just told us of it.
            Err(GatewayError::NotFound) => return Err(GatewayError::Unavailable("the gateway does not show the payment yet".into())),
            Err(error) => return Err(error),
        };
        let asked = match notification.reference.as_ref().and_then(Asked::read) {
            Some(asked) if asked.payment_id == payment_id => asked,
            _ => Asked { payment_id, amount: transaction.money()? },
        };
        if notification.kind == webhook::PAID {
            let notice: TransactionNotice = serde_json::from_value(notification.payload.clone())
                .map_err(|_| GatewayError::Unavailable("the stored notification cannot be read".into()))?;
            // Of the message only the number is taken, and where it names other money than was asked for, that is what staff have to see.
            if matches!(transaction.stage(), Stage::Unpaid | Stage::Advance) {
                transaction.order_id = notice.order_id;
                transaction.status = 1.into();
                let odd = [notice.amount, notice.origin_amount].into_iter().find(|amount| *amount != asked.amount.minor);
                if odd.is_some() || notice.currency != asked.amount.currency.code() {
                    (transaction.amount, transaction.currency) = (odd.unwrap_or(notice.amount), notice.currency);
                }
            }
        }
        let transaction = self.verified(ctx, asked, transaction).await?;
        self.observe(ctx, asked, &transaction).await
    }

    async fn complete_return(&self, ctx: &OpContext, query: ReturnQuery) -> Result<Vec<Observation>, GatewayError> {
        let transaction = match self.transaction(ctx, &query.payment_id.to_string()).await {
            Ok(transaction) => transaction,
            Err(GatewayError::NotFound) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        match query.reference.as_ref().and_then(Asked::read).filter(|asked| asked.payment_id == query.payment_id) {
            Some(asked) => {
                let transaction = self.verified(ctx, asked, transaction).await?;
                self.observe(ctx, asked, &transaction).await
            }
            // What was asked for is not known here, so nothing is verified.
            None => self.observe(ctx, Asked { payment_id: query.payment_id, amount: transaction.money()? }, &transaction).await,
        }
    }

    async fn refund(&self, ctx: &OpContext, request: RefundRequest) -> Result<RefundSnapshot, GatewayError> {
        let asked = Asked::read(&request.payment).ok_or(GatewayError::NotFound)?;
        if request.amount.currency != asked.amount.currency || request.amount.minor <= 0 {
            return Err(GatewayError::invalid("amount", format!("must be more than zero, in {}", asked.amount.currency)));
        }
        let transaction = self.transaction(ctx, &asked.session()).await?;
        if !matches!(transaction.stage(), Stage::Made | Stage::Returned) {
            return Err(GatewayError::invalid("payment", "nothing was captured that could be sent back"));
        }
        let (request_id, known) = (request.refund_id.to_string(), self.refunds(ctx, &transaction).await?);
        if let Some(earlier) = known.iter().find(|refund| refund.request_id.as_deref() == Some(&request_id)) {
            return if earlier.amount == request.amount.minor {
                Ok(earlier.snapshot(asked.amount.currency))
            } else {
                Err(GatewayError::invalid("amount", "the refund was asked for before with another amount"))
            };
        }
        let gone: i64 = known.iter().filter(|refund| refund.state() != RefundStatus::Failed).map(|refund| refund.amount).sum();
        let left = Money::new(transaction.amount.saturating_sub(gone), asked.amount.currency);
        if request.amount.minor > left.minor {
            return Err(GatewayError::invalid("amount", format!("of this payment {left} is left to send back")));
        }
        let session = asked.session();
        let body = RefundOrder {
            request_id: &request_id,
            refunds_uuid: &request_id,
            refunds: [RefundPart {
                order_id: transaction.order_id,
                session_id: &session,
                amount: request.amount.minor,
                // The buyer reads it: the shop's reason is for its own records.
                description: &request_id,
            }],
            url_status: &self.settings.webhook_url,
        };
        let answer = self.client.send(ctx, Nature::Write, self.request(Method::POST, &["transaction", "refund"]).json(&body)).await?;
        if (400..500).contains(&answer.status) {
            return Err(GatewayError::InvalidRequest { field: "refund", detail: words(&answer, "refused") });
        }
        if !answer.is_success() {
            return Err(answer.untrusted("an answer that is not expected"));
        }
        // Accepted, no more: the gateway sends it on later and reports it then.
        let accepted =
            Refund { batch_id: serde_json::Value::Null, request_id: Some(request_id), status: 2.into(), amount: request.amount.minor };
        Ok(accepted.snapshot(asked.amount.currency))
    }

    async fn fetch_refund(&self, ctx: &OpContext, query: &RefundQuery) -> Result<Found<RefundSnapshot>, GatewayError> {
        let asked = Asked::read(&query.payment).ok_or(GatewayError::NotFound)?;
        let transaction = self.transaction(ctx, &asked.session()).await?;
        let wanted = query.refund_id.to_string();
        let found = self.refunds(ctx, &transaction).await?.into_iter().find(|refund| {
            refund.request_id.as_deref() == Some(&wanted)
                || query.reference.as_ref().is_some_and(|reference| refund.reference() == *reference)
        });
        Ok(found.map_or(Found::Absent, |refund| Found::Present(refund.snapshot(asked.amount.currency))))
    }

    async fn check(&self, ctx: &OpContext) -> Result<(), GatewayError> {
        let answer: Answered<bool> = self.client.send(ctx, Nature::Read, self.request(Method::GET, &["testAccess"])).await?.json()?;
        if answer.data { Ok(()) } else { Err(GatewayError::Auth("the gateway does not accept pos_id and api_key".into())) }
    }
}

/// Builds instances of Przelewy24.
#[derive(Debug, Default, Clone, Copy)]
pub struct Przelewy24Factory;

#[async_trait]
impl GatewayFactory for Przelewy24Factory {
    fn adapter(&self) -> &'static str {
        ADAPTER
    }

    async fn build(&self, config: InstanceConfig) -> Result<Arc<dyn PaymentGateway>, GatewayError> {
        Ok(Arc::new(Przelewy24::new(config)?))
    }
}
