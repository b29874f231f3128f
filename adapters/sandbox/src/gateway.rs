//! The port, answered from the sandbox's own state.
//!
//! Always true here: an operation id does its work once; a repeat with the same parameters gives the same object, as it is by then.

use async_trait::async_trait;
use chrono::TimeDelta;
use domain::{Money, PaymentId};
use port::{
    Decline, DeclineCategory, Descriptor, Found, GatewayError, Located, MAX_WEBHOOK_BYTES, Mode, NextAction, Notification, Observation,
    OpContext, PaymentGateway, PaymentRef, PaymentStatus, RawWebhook, Received, RedirectMethod, RefundQuery, RefundRequest, RefundSnapshot,
    RefundStatus, Reply, ReturnQuery, Snapshot, StartPayment, Started, WebhookError,
};
use secrecy::ExposeSecret;

use crate::page::PAGE_PATH;
use crate::settings::http_url;
use crate::signature::HEADER;
use crate::state::{self, EventBody, Payment};
use crate::step::{Made, state_conflict};
use crate::token::Token;
use crate::{ADAPTER, Sandbox};

/// A sandbox in trouble reports late: its answer got lost first, and asking is quicker than waiting.
const TROUBLE_DELAY: TimeDelta = TimeDelta::minutes(5);

impl Sandbox {
    /// Books what the token asks for, unless this operation did so before; `true`: it was done now.
    async fn book(&self, ctx: &OpContext, request: &StartPayment, token: Token) -> Result<(Payment, bool), GatewayError> {
        let fingerprint = format!("{} {} {} {}", request.payment_id, request.amount, token.text(), state::word(&request.capture));
        let mut txn = self.state.begin().await?;
        if let Some(known) = state::payment_by_operation(&mut txn, self.id(), &ctx.operation_id).await? {
            return state::same_operation(&known.fingerprint, &fingerprint).map(|()| (known, false));
        }
        if state::payment_by_id(&mut txn, self.id(), request.payment_id).await?.is_some() {
            return Err(GatewayError::invalid("payment_id", "was started before by another operation"));
        }
        let mut payment = Payment {
            reference: PaymentRef::new(state::new_reference("sbpay")),
            payment_id: request.payment_id,
            operation_id: ctx.operation_id.clone(),
            fingerprint,
            token,
            capture: request.capture,
            status: PaymentStatus::Created,
            amount: request.amount,
            authorised_minor: 0,
            captured_minor: 0,
            refunded_minor: 0,
            refunding_minor: 0,
            disputed_minor: 0,
            decline: None,
            order_reference: request.order_reference.clone(),
            description: request.description.clone(),
            return_url: request.return_url.clone(),
            webhook_url: request.webhook_url.clone(),
            changed_at: ctx.now,
        };
        match token {
            Token::Decline => {
                payment.status = PaymentStatus::Failed;
                payment.decline = Some(DeclineCategory::InsufficientFunds);
            }
            Token::Redirect => payment.status = PaymentStatus::RequiresAction,
            Token::Pending => payment.status = PaymentStatus::Processing,
            Token::Approve | Token::Authorise | Token::TimeoutCharged | Token::RefundPending | Token::RefundTimeout => payment.book(),
            Token::TimeoutNotCharged | Token::GatewayDown => {}
        }
        let due_at = if token == Token::TimeoutCharged { ctx.now + TROUBLE_DELAY } else { ctx.now };
        self.record(&mut txn, &mut payment, ctx.now, due_at).await?;
        state::commit(txn, Some(&payment.reference)).await?;
        self.happened.notify_one();
        Ok((payment, true))
    }

    fn next_action(&self, payment: &Payment) -> NextAction {
        match payment.status {
            PaymentStatus::RequiresAction => NextAction::Redirect {
                url: format!("{}{PAGE_PATH}/{}", self.settings.public_url, payment.payment_id),
                method: RedirectMethod::Get,
                fields: Vec::new(),
            },
            PaymentStatus::Processing => NextAction::WaitForBuyer,
            _ => NextAction::None,
        }
    }

    /// Everything there is to know about a payment: itself, its refunds, its disputes.
    async fn observe(&self, payment: &Payment) -> Result<Vec<Observation>, GatewayError> {
        let reference = &payment.reference;
        let mut all =
            vec![Observation::Payment { reference: reference.clone(), payment_id: Some(payment.payment_id), snapshot: payment.snapshot() }];
        for refund in self.state.refunds(payment).await? {
            all.push(Observation::Refund { payment: reference.clone(), refund });
        }
        for dispute in self.state.disputes(payment).await? {
            all.push(Observation::Dispute { payment: reference.clone(), dispute });
        }
        Ok(all)
    }
}

/// A call whose time is up before it began was certainly not processed.
fn in_time(ctx: &OpContext) -> Result<(), GatewayError> {
    if ctx.remaining().is_zero() {
        Err(GatewayError::Unavailable("the deadline had passed before anything was done".into()))
    } else {
        Ok(())
    }
}

fn lost(reference: Option<PaymentRef>) -> GatewayError {
    GatewayError::UnknownOutcome { reference, detail: "the sandbox did not answer in time".into() }
}

#[async_trait]
impl PaymentGateway for Sandbox {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            adapter: ADAPTER,
            instance: self.settings.id.clone(),
            display_name: self.settings.display_name.clone(),
            mode: Mode::Test,
            capabilities: self.settings.capabilities(),
        }
    }

    async fn start(&self, ctx: &OpContext, request: StartPayment) -> Result<Started, GatewayError> {
        in_time(ctx)?;
        let token = request.token.as_ref().map_or(Ok(Token::Redirect), |token| Token::parse(token.expose_secret()))?;
        self.settings.capabilities().accepts(request.amount)?;
        for (field, url) in [("return_url", &request.return_url), ("webhook_url", &request.webhook_url)] {
            if http_url(url).is_none() {
                return Err(GatewayError::invalid(field, "must be an http or https address"));
            }
        }
        match token {
            Token::GatewayDown => return Err(GatewayError::Unavailable("the sandbox plays being out of order".into())),
            Token::TimeoutNotCharged => return Err(lost(None)),
            _ => {}
        }
        let (payment, fresh) = self.book(ctx, &request, token).await?;
        match (token, payment.status) {
            // Only the first answer gets lost: whoever repeats the operation learns what became of it.
            (Token::TimeoutCharged, _) if fresh => Err(lost(None)),
            (_, PaymentStatus::Failed) => {
                Err(GatewayError::Declined(Decline::new(payment.decline.unwrap_or(DeclineCategory::Generic), "sandbox_decline")))
            }
            _ => Ok(Started { next_action: self.next_action(&payment), snapshot: payment.snapshot(), reference: payment.reference }),
        }
    }

    async fn fetch(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        in_time(ctx)?;
        self.state.payment(reference).await?.map(|payment| payment.snapshot()).ok_or(GatewayError::NotFound)
    }

    async fn find(&self, ctx: &OpContext, payment_id: PaymentId) -> Result<Found<Located>, GatewayError> {
        in_time(ctx)?;
        let payment = self.state.payment_by_id(payment_id).await?;
        Ok(payment.map_or(Found::Absent, |payment| Found::Present(Located { snapshot: payment.snapshot(), reference: payment.reference })))
    }

    async fn receive_webhook(&self, _ctx: &OpContext, webhook: RawWebhook) -> Result<Received, WebhookError> {
        if webhook.body.len() > MAX_WEBHOOK_BYTES {
            return Err(WebhookError::TooLarge);
        }
        self.signer.verify(webhook.header(HEADER), &webhook.body, webhook.received_at)?;
        let malformed = |error: serde_json::Error| WebhookError::Malformed(error.to_string().into());
        let payload: serde_json::Value = serde_json::from_slice(&webhook.body).map_err(malformed)?;
        let event: EventBody = serde_json::from_value(payload.clone()).map_err(malformed)?;
        if event.instance != self.settings.id || event.mode != Mode::Test {
            return Err(WebhookError::WrongAccount);
        }
        let payment = event.data.payment;
        let notification = Notification {
            dedup_key: event.id,
            kind: event.kind,
            payment_id: payment.as_ref().and_then(|payment| payment.payment_id),
            reference: payment.map(|payment| payment.reference),
            mode: event.mode,
            payload,
        };
        Ok(Received { notifications: vec![notification], reply: Reply::ok() })
    }

    async fn resolve(&self, ctx: &OpContext, notification: &Notification) -> Result<Vec<Observation>, GatewayError> {
        in_time(ctx)?;
        let known = ["payment.", "refund.", "dispute."].iter().any(|family| notification.kind.starts_with(family));
        let Some(reference) = notification.reference.as_ref().filter(|_| known) else { return Ok(Vec::new()) };
        // The report names the payment; what is true of it is read, so old reports do no harm.
        match self.state.payment(reference).await? {
            Some(payment) => self.observe(&payment).await,
            None => Ok(Vec::new()),
        }
    }

    async fn complete_return(&self, ctx: &OpContext, query: ReturnQuery) -> Result<Vec<Observation>, GatewayError> {
        in_time(ctx)?;
        match self.state.payment_by_id(query.payment_id).await? {
            Some(payment) => self.observe(&payment).await,
            None => Ok(Vec::new()),
        }
    }

    async fn capture(&self, ctx: &OpContext, reference: &PaymentRef, amount: Money, _last: bool) -> Result<Snapshot, GatewayError> {
        in_time(ctx)?;
        let mut txn = self.state.begin().await?;
        let mut payment = state::payment(&mut txn, self.id(), reference).await?.ok_or(GatewayError::NotFound)?;
        if !state::note_operation(&mut txn, self.id(), "capture", &ctx.operation_id, &format!("{reference} {amount}")).await? {
            return Ok(payment.snapshot());
        }
        if payment.status != PaymentStatus::Authorised {
            return Err(state_conflict(&payment, "cannot be captured"));
        }
        if amount.currency != payment.amount.currency || amount.minor <= 0 || amount.minor > payment.authorised_minor {
            let authorised = Money::new(payment.authorised_minor, payment.amount.currency);
            return Err(GatewayError::invalid("amount", format!("must be more than zero and at most {authorised}")));
        }
        payment.captured_minor = amount.minor;
        payment.status = PaymentStatus::Captured;
        self.record(&mut txn, &mut payment, ctx.now, ctx.now).await?;
        state::commit(txn, Some(reference)).await?;
        self.happened.notify_one();
        Ok(payment.snapshot())
    }

    async fn void(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        in_time(ctx)?;
        let mut txn = self.state.begin().await?;
        let mut payment = state::payment(&mut txn, self.id(), reference).await?.ok_or(GatewayError::NotFound)?;
        if !state::note_operation(&mut txn, self.id(), "void", &ctx.operation_id, reference.as_str()).await? {
            return Ok(payment.snapshot());
        }
        match payment.status {
            PaymentStatus::Captured => return Err(state_conflict(&payment, "cannot be given up; refund it")),
            // Nothing is reserved any more, which is what was asked for.
            PaymentStatus::Cancelled | PaymentStatus::Failed | PaymentStatus::Expired => return Ok(payment.snapshot()),
            _ => payment.status = PaymentStatus::Cancelled,
        }
        self.record(&mut txn, &mut payment, ctx.now, ctx.now).await?;
        state::commit(txn, Some(reference)).await?;
        self.happened.notify_one();
        Ok(payment.snapshot())
    }

    async fn refund(&self, ctx: &OpContext, request: RefundRequest) -> Result<RefundSnapshot, GatewayError> {
        in_time(ctx)?;
        let mut txn = self.state.begin().await?;
        let payment = state::payment(&mut txn, self.id(), &request.payment).await?.ok_or(GatewayError::NotFound)?;
        if let Some(known) = state::refund_by_id(&mut txn, self.id(), request.refund_id).await? {
            return if known.payment == request.payment && known.snapshot.amount == request.amount {
                Ok(known.snapshot)
            } else {
                Err(GatewayError::invalid("refund_id", "was used before with other parameters"))
            };
        }
        let status = if payment.token == Token::RefundPending { RefundStatus::Pending } else { RefundStatus::Succeeded };
        let refund = RefundSnapshot::made(Some(request.refund_id), request.amount, status, ctx.now);
        self.make_refund(&mut txn, &payment, &refund, &request.reason, ctx.now).await?;
        state::commit(txn, Some(&request.payment)).await?;
        self.happened.notify_one();
        if payment.token == Token::RefundTimeout { Err(lost(Some(request.payment))) } else { Ok(refund) }
    }

    async fn fetch_refund(&self, ctx: &OpContext, query: &RefundQuery) -> Result<Found<RefundSnapshot>, GatewayError> {
        in_time(ctx)?;
        let known = self.state.refund_by_id(query.refund_id).await?.filter(|refund| refund.payment == query.payment);
        Ok(known.map_or(Found::Absent, |refund| Found::Present(refund.snapshot)))
    }

    async fn check(&self, ctx: &OpContext) -> Result<(), GatewayError> {
        in_time(ctx)?;
        self.state.ping().await
    }
}
