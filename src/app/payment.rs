//! Payment attempts: asking the gateway, hearing from it by whichever road, and the one door by which every answer enters, [`App::settle_payment`].
//!
//! Always true here: the attempt is on record before the gateway is asked, no transaction is open while it is asked, and an answer that is heard
//! twice, late or out of order leads to the same state.

use chrono::{DateTime, TimeDelta, Utc};
use domain::event::EventKind;
use domain::order::{self as rule, OrderEvent, OrderStatus, PaidBy, Settle, SettleFacts};
use domain::payment::{self, Late, Observation, PaymentStatus};
use domain::{Money, OrderId, PaymentId};
use port::{
    Buyer, CaptureMode, DeclineCategory, Found, GatewayError, IdempotencyKey, LineSummary, Located, NextAction, Notification, OpContext,
    PaymentRef, RawWebhook, Reply, ReturnQuery, Snapshot, StartPayment, Started, WebhookError,
};
use sea_orm::DatabaseTransaction;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::gateways::Instance;
use super::{App, Object, entropy};
use crate::app::caller::Caller;
use crate::error::{Error, Result};
use crate::internal;
use crate::outbox::Job;
use crate::store;
use crate::store::order::StateChange;

pub use crate::store::order::{Order, OrderFilter, OrderLine};
pub use crate::store::payment::{Dispute, Origin, Payment, Refund, RefundLine};

/// How often a gateway that cannot be reached is asked to start before the attempt fails and the buyer may try another way.
const START_TRIES: u32 = 4;

/// For so long a start of unknown outcome is sent again under its own id where nothing can be looked up by it. Gateways forget such ids, the
/// quickest of those that we know after six hours.
const START_AGAIN_WITHIN: TimeDelta = TimeDelta::hours(3);

/// By which road an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// The gateway's reply to our call.
    Reply,
    /// A webhook.
    Webhook,
    /// The buyer's browser came back.
    Return,
    /// We asked.
    Poll,
    /// An operator recorded it.
    Operator,
}

impl Road {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reply => "REPLY",
            Self::Webhook => "WEBHOOK",
            Self::Return => "RETURN",
            Self::Poll => "POLL",
            Self::Operator => "OPERATOR",
        }
    }
}

/// What was heard of an attempt.
#[derive(Debug, Clone)]
pub struct News {
    /// By which road.
    pub road: Road,
    /// The gateway's id of the payment, if it was said.
    pub reference: Option<String>,
    /// The facts.
    pub seen: Observation,
    /// Why it was declined.
    pub decline: Option<DeclineCategory>,
    /// What the buyer has to do.
    pub next_action: Option<NextAction>,
    /// The gateway's own words, for the record; no secrets.
    pub detail: Value,
}

impl News {
    fn status(road: Road, status: PaymentStatus, detail: Value) -> Self {
        Self { road, reference: None, seen: Observation::of(status), decline: None, next_action: None, detail }
    }

    /// What a snapshot of the gateway says.
    pub fn snapshot(road: Road, reference: &PaymentRef, snapshot: &Snapshot) -> Self {
        let mut seen = Observation::of(status_of(snapshot.status));
        let totals = snapshot.totals;
        if totals.authorised.minor > 0 || snapshot.status == port::PaymentStatus::Authorised {
            seen = seen.with_authorised(totals.authorised);
        }
        if totals.captured.minor > 0 || snapshot.status == port::PaymentStatus::Captured {
            seen = seen.with_captured(totals.captured);
        }
        Self {
            road,
            reference: Some(reference.as_str().to_owned()),
            seen,
            decline: snapshot.decline.as_ref().map(|decline| decline.category),
            next_action: None,
            detail: json!({ "status": snapshot.raw_status, "method": snapshot.method_label }),
        }
    }
}

pub(crate) const fn status_of(status: port::PaymentStatus) -> PaymentStatus {
    match status {
        port::PaymentStatus::Created => PaymentStatus::Created,
        port::PaymentStatus::RequiresAction => PaymentStatus::RequiresAction,
        port::PaymentStatus::Processing => PaymentStatus::Processing,
        port::PaymentStatus::Authorised => PaymentStatus::Authorised,
        port::PaymentStatus::Captured => PaymentStatus::Captured,
        port::PaymentStatus::Cancelled => PaymentStatus::Cancelled,
        port::PaymentStatus::Failed => PaymentStatus::Failed,
        port::PaymentStatus::Expired => PaymentStatus::Expired,
    }
}

/// What a buyer has to do for an attempt, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuyerAction {
    /// Go to the gateway's page.
    Redirect {
        /// Where.
        url: String,
        /// GET or POST.
        method: String,
        /// Form fields of a POST.
        fields: Vec<(String, String)>,
    },
    /// Let the gateway's script finish it.
    ClientSecret {
        /// For that script.
        secret: String,
    },
    /// Follow the instructions.
    Instructions {
        /// What to tell the buyer.
        text: String,
        /// What to quote.
        details: Vec<(String, String)>,
    },
    /// Confirm in an app.
    WaitForBuyer,
}

impl Payment {
    /// What the buyer has to do now; nothing once the attempt has moved on.
    pub fn open_action(&self) -> Option<BuyerAction> {
        if !matches!(self.state.status, PaymentStatus::RequiresAction | PaymentStatus::Processing) {
            return None;
        }
        match serde_json::from_value(self.next_action.clone()?).ok()? {
            NextAction::None => None,
            NextAction::Redirect { url, method, fields } => {
                let method = match method {
                    port::RedirectMethod::Get => "GET",
                    port::RedirectMethod::Post => "POST",
                };
                Some(BuyerAction::Redirect { url, method: method.to_owned(), fields })
            }
            NextAction::ClientSecret { secret } => Some(BuyerAction::ClientSecret { secret }),
            NextAction::Instructions { text, details } => Some(BuyerAction::Instructions { text, details }),
            NextAction::WaitForBuyer => Some(BuyerAction::WaitForBuyer),
        }
    }
}

/// What the worker does with a job after a run of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ran {
    /// It is finished.
    Done,
    /// It waits for something; run it again then.
    Again(DateTime<Utc>),
    /// It failed, and knows itself when to be tried again.
    Retry {
        /// When.
        at: DateTime<Utc>,
        /// What went wrong.
        error: String,
    },
    /// It failed, and another try is of no use until somebody mended what went wrong.
    GiveUp(String),
}

impl App {
    /// Asks the gateway to start an attempt. Safe to repeat: the operation id is the attempt's.
    ///
    /// # Errors
    /// Ours only; whatever the gateway says becomes the attempt's state.
    pub async fn start_payment(&self, id: PaymentId, tries: u32) -> Result<Ran> {
        let Some(attempt) = store::payment::by_id(self.db.read(), id).await? else { return Ok(Ran::Done) };
        // A report may have come before the answer, and the answer, with what the buyer has to do, may have been lost.
        let actionless = tries > 1 && attempt.state.status == PaymentStatus::RequiresAction && attempt.next_action.is_none();
        if attempt.state.status != PaymentStatus::Created && !actionless {
            return Ok(Ran::Done);
        }
        let order = self.order_row(attempt.order).await?;
        if order.status != OrderStatus::PendingPayment {
            self.settle_payment(id, News::status(Road::Reply, PaymentStatus::Cancelled, json!({ "why": "the order takes no payment" })))
                .await?;
            return Ok(Ran::Done);
        }
        let Some(instance) = self.gateways.get(&attempt.gateway) else {
            return self.give_up(id, "the gateway is no longer configured").await;
        };
        let capabilities = instance.gateway.descriptor().capabilities;
        let ctx = OpContext::new(id.to_string(), self.now()).with_attempt(tries);
        // Whether an earlier call may have arrived of which nobody heard: each answer is on record, so that a try without one ended with its process.
        let unheard = tries > 1 && store::payment::answers(self.db.read(), id).await? + 1 < u64::from(tries);
        let recognised = match capabilities.idempotency.start {
            IdempotencyKey::NaturalKey => true,
            IdempotencyKey::OperationId => self.now() - attempt.created_at <= START_AGAIN_WITHIN,
            IdempotencyKey::None => false,
        };
        if unheard && !recognised {
            // The gateway would make a second payment; whether an earlier call arrived has to be found out by asking.
            let found = if capabilities.lookup.finds() { instance.gateway.find(&ctx, id).await } else { Ok(Found::CannotTell) };
            match found {
                Ok(Found::Present(Located { reference, snapshot })) => {
                    self.settle_found(instance, &attempt, reference, snapshot).await?;
                    return Ok(Ran::Done);
                }
                // Nothing that was sent before can turn up any more.
                Ok(Found::Absent) if capabilities.visibility_delay.is_zero() => {}
                Ok(Found::Absent | Found::CannotTell) | Err(_) => {
                    let why = json!({ "why": "asked, and no answer came before the program ended" });
                    self.settle_payment(id, News::status(Road::Reply, PaymentStatus::Unknown, why)).await?;
                    return Ok(Ran::Done);
                }
            }
        }
        let request = self.start_request(instance, &order, &attempt).await?;
        match instance.gateway.start(&ctx, request).await {
            Ok(started) => self.settle_started(instance, id, Road::Reply, started).await?,
            Err(GatewayError::Declined(decline)) => {
                let mut news = News::status(Road::Reply, PaymentStatus::Failed, json!({ "code": decline.provider_code }));
                news.decline = Some(decline.category);
                self.settle_payment(id, news).await?;
            }
            Err(GatewayError::UnknownOutcome { reference, detail }) => {
                let mut news = News::status(Road::Reply, PaymentStatus::Unknown, json!({ "why": detail.to_string() }));
                news.reference = reference.map(|reference| reference.as_str().to_owned());
                self.settle_payment(id, news).await?;
            }
            Err(error) if error.is_retryable() && tries < START_TRIES => {
                tracing::warn!(payment = %id, gateway = attempt.gateway, %error, "the gateway cannot start a payment now");
                self.settle_payment(id, News::status(Road::Reply, PaymentStatus::Created, json!({ "why": error.to_string() }))).await?;
                let wait = match error {
                    GatewayError::RateLimited { retry_after: Some(wait) } => TimeDelta::from_std(wait).unwrap_or(TimeDelta::minutes(1)),
                    _ => TimeDelta::seconds(5) * i32::try_from(tries).unwrap_or(1),
                };
                return Ok(Ran::Again(self.now() + wait));
            }
            // This call did nothing, but one before it may have: only asking can end the attempt. A payment of which nobody got the page waits for
            // nobody, and is not asked for where it cannot be.
            Err(error) if unheard && (capabilities.lookup.finds() || !capabilities.redirect) => {
                tracing::error!(payment = %id, gateway = attempt.gateway, %error, "the gateway refused to start a payment again");
                let why = json!({ "why": error.to_string() });
                self.settle_payment(id, News::status(Road::Reply, PaymentStatus::Unknown, why)).await?;
            }
            Err(error) => {
                tracing::error!(payment = %id, gateway = attempt.gateway, %error, "the gateway refused to start a payment");
                return self.give_up(id, &error.to_string()).await;
            }
        }
        Ok(Ran::Done)
    }

    /// Takes up what a start gave. Where the payment is there and the address of its page is not, because the gateway tells that once only and the
    /// answer was lost, the buyer could neither pay nor choose anew: the attempt ends, and the gateway is told to close what nobody can reach.
    async fn settle_started(&self, instance: &Instance, id: PaymentId, road: Road, started: Started) -> Result<()> {
        let pageless = instance.gateway.descriptor().capabilities.redirect
            && started.next_action == NextAction::None
            && started.snapshot.status == port::PaymentStatus::RequiresAction;
        let mut news = News::snapshot(road, &started.reference, &started.snapshot);
        news.next_action = Some(started.next_action);
        self.settle_payment(id, news).await?;
        if pageless {
            self.close_pageless(id, road).await?;
        }
        Ok(())
    }

    async fn close_pageless(&self, id: PaymentId, road: Road) -> Result<()> {
        let Some(known) = store::payment::by_id(self.db.read(), id).await? else { return Ok(()) };
        let txn = self.db.begin().await?;
        let order = store::order::lock(&txn, known.order).await?.ok_or_else(|| internal!("{id} has no order"))?;
        let attempt = store::payment::by_id(&txn, id).await?.ok_or_else(|| internal!("{id} is gone"))?;
        // It moved on meanwhile, or somebody else learnt the address.
        if attempt.state.status != PaymentStatus::RequiresAction || attempt.open_action().is_some() {
            return Ok(());
        }
        let mut news = News::status(road, PaymentStatus::Failed, json!({ "why": "the address of the gateway's page is lost" }));
        news.decline = Some(DeclineCategory::Generic);
        self.apply_news(&txn, &order, attempt, news).await?;
        self.enqueue(&txn, &Job::VoidReservation { payment: id.uuid() }, order.id.uuid(), self.now()).await?;
        txn.commit().await?;
        self.woken();
        self.changed(known.order.uuid());
        Ok(())
    }

    async fn give_up(&self, id: PaymentId, why: &str) -> Result<Ran> {
        let mut news = News::status(Road::Reply, PaymentStatus::Failed, json!({ "why": why }));
        news.decline = Some(DeclineCategory::Generic);
        self.settle_payment(id, news).await?;
        Ok(Ran::Done)
    }

    async fn start_request(&self, instance: &Instance, order: &Order, attempt: &Payment) -> Result<StartPayment> {
        let buyer = store::person::by_id(self.db.read(), order.buyer).await?;
        let base = &self.shop.public_url;
        Ok(StartPayment {
            payment_id: attempt.id,
            order_reference: order.number.clone(),
            amount: attempt.state.amount,
            description: format!("{} {}", self.shop.name, order.number),
            buyer: Buyer {
                email: buyer.as_ref().and_then(|person| person.email.as_ref()).map(|email| email.as_str().to_owned()),
                name: buyer.as_ref().and_then(|person| person.name.clone()),
                country: None,
                language: Some(order.locale.clone()),
                ip: attempt.buyer_ip,
            },
            return_url: format!("{base}/payments/{}/return", attempt.id),
            cancel_url: format!("{base}/payments/{}/return", attempt.id),
            webhook_url: format!("{base}/webhooks/{}", instance.id),
            capture: if instance.capture_at_once { CaptureMode::Automatic } else { CaptureMode::Manual },
            lines: order
                .lines
                .iter()
                .map(|line| LineSummary { title: line.title.clone(), quantity: line.quantity, total: line.amounts.total })
                .collect(),
            expires_at: order.lapses_at,
            token: attempt.method_token.clone().map(SecretString::from),
        })
    }

    /// Asks the gateway what became of an attempt.
    ///
    /// # Errors
    /// Ours only; a read that fails keeps what is known, and is tried again.
    pub async fn poll_payment(&self, id: PaymentId) -> Result<Ran> {
        let Some(attempt) = store::payment::by_id(self.db.read(), id).await? else { return Ok(Ran::Done) };
        if attempt.state.status.is_final() || attempt.state.status == PaymentStatus::Created {
            return Ok(Ran::Done);
        }
        if let Err(error) = self.ask(&attempt).await {
            tracing::warn!(payment = %id, gateway = attempt.gateway, error = format!("{error:#}"), "asking the gateway failed");
        }
        let txn = self.db.begin().await?;
        store::order::lock(&txn, attempt.order).await?;
        let Some(mut attempt) = store::payment::by_id(&txn, id).await? else { return Ok(Ran::Done) };
        attempt.polls += 1;
        attempt.next_poll_at = payment::next_poll_at(attempt.state.status, attempt.polls, self.now());
        store::payment::save(&txn, &attempt).await?;
        txn.commit().await?;
        Ok(attempt.next_poll_at.map_or(Ran::Done, Ran::Again))
    }

    async fn ask(&self, attempt: &Payment) -> Result<()> {
        let Some(instance) = self.gateways.get(&attempt.gateway) else { return Ok(()) };
        let capabilities = instance.gateway.descriptor().capabilities;
        let ctx = OpContext::new(format!("{}:ask", attempt.id), self.now());
        if let Some(reference) = attempt.reference.as_deref().filter(|_| capabilities.lookup.reads()).map(PaymentRef::new) {
            if capabilities.confirm_step {
                // Reading alone makes no payment of this gateway final, and the browser that should have come back may never come.
                let query = ReturnQuery { payment_id: attempt.id, reference: Some(reference), query: String::new() };
                let observations = instance.gateway.complete_return(&ctx, query).await.map_err(|error| internal!("complete: {error}"))?;
                let heard = !observations.is_empty();
                for observation in observations {
                    self.observe(&attempt.gateway, Road::Poll, observation).await?;
                }
                if heard {
                    return Ok(());
                }
            } else {
                match instance.gateway.fetch(&ctx, &reference).await {
                    Ok(snapshot) => return self.settle_payment(attempt.id, News::snapshot(Road::Poll, &reference, &snapshot)).await,
                    Err(GatewayError::NotFound) => {}
                    Err(error) => return Err(internal!("fetch: {error}")),
                }
            }
        }
        if !capabilities.lookup.finds() {
            return self.start_again(instance, attempt).await;
        }
        match instance.gateway.find(&ctx, attempt.id).await {
            Ok(Found::Present(Located { reference, snapshot })) => self.settle_found(instance, attempt, reference, snapshot).await,
            Ok(Found::Absent) if attempt.state.status == PaymentStatus::Unknown => {
                let visible = TimeDelta::from_std(capabilities.visibility_delay).unwrap_or(TimeDelta::zero());
                if self.now() - attempt.created_at < visible {
                    return Ok(());
                }
                let mut news =
                    News::status(Road::Poll, PaymentStatus::Failed, json!({ "why": "the gateway never got it; nothing was charged" }));
                news.decline = Some(DeclineCategory::Generic);
                self.settle_payment(attempt.id, news).await
            }
            Ok(Found::Absent | Found::CannotTell) => Ok(()),
            Err(error) => Err(internal!("find: {error}")),
        }
    }

    /// Takes up a payment that was found by our id. What the buyer has to do is in the answer to the start alone, so that answer is asked for once
    /// more where the gateway still gives it.
    async fn settle_found(&self, instance: &Instance, attempt: &Payment, reference: PaymentRef, snapshot: Snapshot) -> Result<()> {
        let capabilities = instance.gateway.descriptor().capabilities;
        let actionless = snapshot.status == port::PaymentStatus::RequiresAction && attempt.next_action.is_none() && capabilities.redirect;
        if actionless
            && capabilities.idempotency.start == IdempotencyKey::OperationId
            && let Err(error) = self.start_again(instance, attempt).await
        {
            tracing::warn!(payment = %attempt.id, gateway = attempt.gateway, error = format!("{error:#}"), "what the buyer has to do is lost");
        }
        self.settle_payment(attempt.id, News::snapshot(Road::Poll, &reference, &snapshot)).await?;
        if actionless { self.close_pageless(attempt.id, Road::Poll).await } else { Ok(()) }
    }

    /// Settles a start of unknown outcome where the gateway finds nothing by our id: the same operation again gives what the first try made, and
    /// makes it only if there is nothing. The buyer pays on the gateway's page, so a payment of which nobody got the address charges nobody.
    async fn start_again(&self, instance: &Instance, attempt: &Payment) -> Result<()> {
        let capabilities = instance.gateway.descriptor().capabilities;
        let unknown = attempt.state.status == PaymentStatus::Unknown && attempt.reference.is_none();
        let recognised = capabilities.idempotency.start != IdempotencyKey::None && capabilities.redirect;
        if !unknown || !recognised || self.now() - attempt.created_at > START_AGAIN_WITHIN {
            return Ok(());
        }
        let order = self.order_row(attempt.order).await?;
        if order.status != OrderStatus::PendingPayment {
            return Ok(());
        }
        let request = self.start_request(instance, &order, attempt).await?;
        let ctx = OpContext::new(attempt.id.to_string(), self.now()).with_attempt(attempt.polls + 2);
        match instance.gateway.start(&ctx, request).await {
            Ok(started) => self.settle_started(instance, attempt.id, Road::Poll, started).await,
            Err(GatewayError::Declined(decline)) => {
                let mut news = News::status(Road::Poll, PaymentStatus::Failed, json!({ "code": decline.provider_code }));
                news.decline = Some(decline.category);
                self.settle_payment(attempt.id, news).await
            }
            Err(GatewayError::UnknownOutcome { reference: Some(reference), detail }) => {
                let mut news = News::status(Road::Poll, PaymentStatus::Unknown, json!({ "why": detail.to_string() }));
                news.reference = Some(reference.as_str().to_owned());
                self.settle_payment(attempt.id, news).await
            }
            Err(error) => Err(internal!("start again: {error}")),
        }
    }

    /// Captures an authorised attempt whole.
    ///
    /// # Errors
    /// The gateway could not be reached or gave no answer: try again, the operation id stays the same.
    pub async fn capture_payment(&self, id: PaymentId) -> Result<Ran> {
        let Some(attempt) = store::payment::by_id(self.db.read(), id).await? else { return Ok(Ran::Done) };
        if attempt.state.status != PaymentStatus::Authorised {
            return Ok(Ran::Done);
        }
        let (instance, reference) = self.at_gateway(&attempt)?;
        let ctx = OpContext::new(format!("{id}:capture"), self.now()).with_budget(std::time::Duration::from_secs(30));
        match instance.gateway.capture(&ctx, &reference, attempt.state.amount, true).await {
            Ok(snapshot) => self.settle_payment(id, News::snapshot(Road::Reply, &reference, &snapshot)).await?,
            Err(GatewayError::InvalidRequest { field, detail }) => {
                tracing::warn!(payment = %id, field, %detail, "the gateway refused a capture; asking for the state");
                self.ask(&attempt).await?;
            }
            Err(error) => return Err(internal!("capture: {error}")),
        }
        Ok(Ran::Done)
    }

    /// Ends an attempt that shall not be paid any more.
    ///
    /// # Errors
    /// The gateway could not be reached or gave no answer: try again.
    pub async fn void_payment(&self, id: PaymentId) -> Result<Ran> {
        let Some(attempt) = store::payment::by_id(self.db.read(), id).await? else { return Ok(Ran::Done) };
        if attempt.state.status.is_final() {
            return Ok(Ran::Done);
        }
        let ended = || News::status(Road::Reply, PaymentStatus::Cancelled, json!({ "why": "ended by the shop" }));
        if attempt.reference.is_none() && attempt.state.status == PaymentStatus::Created {
            self.settle_payment(id, ended()).await?;
            return Ok(Ran::Done);
        }
        let (instance, reference) = self.at_gateway(&attempt)?;
        let ctx = OpContext::new(format!("{id}:void"), self.now()).with_budget(std::time::Duration::from_secs(30));
        match instance.gateway.void(&ctx, &reference).await {
            Ok(snapshot) => self.settle_payment(id, News::snapshot(Road::Reply, &reference, &snapshot)).await?,
            // What cannot be voided runs out by itself; money that comes all the same is refunded.
            Err(GatewayError::NotSupported { .. } | GatewayError::NotFound) => self.settle_payment(id, ended()).await?,
            Err(GatewayError::InvalidRequest { field, detail }) => {
                tracing::warn!(payment = %id, field, %detail, "the gateway refused to void; asking for the state");
                self.ask(&attempt).await?;
            }
            Err(error) => return Err(internal!("void: {error}")),
        }
        Ok(Ran::Done)
    }

    /// Gives back what was reserved for an attempt that was over by then: nobody captures it, and a buyer's money is not to be held for nothing.
    ///
    /// # Errors
    /// The gateway could not be reached, gave no answer, or holds the money all the same: try again.
    pub async fn void_reservation(&self, id: PaymentId) -> Result<Ran> {
        let Some(attempt) = store::payment::by_id(self.db.read(), id).await? else { return Ok(Ran::Done) };
        if attempt.state.status == PaymentStatus::Captured {
            return Ok(Ran::Done);
        }
        let (instance, reference) = self.at_gateway(&attempt)?;
        let ctx = OpContext::new(format!("{id}:void"), self.now()).with_budget(std::time::Duration::from_secs(30));
        let snapshot = match instance.gateway.void(&ctx, &reference).await {
            Ok(snapshot) => snapshot,
            // It runs out by itself.
            Err(GatewayError::NotSupported { .. } | GatewayError::NotFound) => return Ok(Ran::Done),
            // Given back already, or captured by somebody: the gateway knows.
            Err(GatewayError::InvalidRequest { .. }) => {
                instance.gateway.fetch(&ctx, &reference).await.map_err(|error| internal!("fetch: {error}"))?
            }
            Err(error) => return Err(internal!("void: {error}")),
        };
        if snapshot.status == port::PaymentStatus::Authorised {
            return Err(internal!("{id} is over, and its gateway holds the money all the same"));
        }
        self.settle_payment(id, News::snapshot(Road::Reply, &reference, &snapshot)).await?;
        Ok(Ran::Done)
    }

    pub(crate) fn at_gateway(&self, attempt: &Payment) -> Result<(&Instance, PaymentRef)> {
        let instance =
            self.gateways.get(&attempt.gateway).ok_or_else(|| internal!("the gateway {} is no longer configured", attempt.gateway))?;
        let reference = attempt.reference.as_deref().ok_or_else(|| internal!("{} has no reference at its gateway yet", attempt.id))?;
        Ok((instance, PaymentRef::new(reference)))
    }

    /// The one door: applies what was heard of an attempt, and decides what follows for its order, all in one transaction under the order's
    /// lock. Hearing the same again, late or in another order changes nothing more.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle_payment(&self, id: PaymentId, news: News) -> Result<()> {
        let Some(known) = store::payment::by_id(self.db.read(), id).await? else {
            return Err(internal!("news of an unknown payment {id}"));
        };
        let txn = self.db.begin().await?;
        let order = store::order::lock(&txn, known.order).await?.ok_or_else(|| internal!("{id} has no order"))?;
        let attempt = store::payment::by_id(&txn, id).await?.ok_or_else(|| internal!("{id} is gone"))?;
        self.apply_news(&txn, &order, attempt, news).await?;
        txn.commit().await?;
        self.woken();
        self.changed(known.order.uuid());
        Ok(())
    }

    /// The inside of [`App::settle_payment`], for callers that hold the order's lock in a transaction of their own.
    pub(crate) async fn apply_news(&self, txn: &DatabaseTransaction, order: &Order, mut attempt: Payment, news: News) -> Result<()> {
        let (id, now) = (attempt.id, self.now());
        let before = attempt.state.status;
        let step = payment::apply(&attempt.state, &news.seen);
        attempt.state = step.state;
        if attempt.reference.is_none() {
            attempt.reference = news.reference.clone();
        }
        if news.road == Road::Reply && attempt.state.status != PaymentStatus::Created {
            // One answer is all that the buyer's token is good for.
            attempt.method_token = None;
        }
        if attempt.reference.is_some() || attempt.state.status.is_final() {
            // The gateway has it, or needs it no more.
            attempt.buyer_ip = None;
        }
        if let Some(action) = &news.next_action {
            attempt.next_action = Some(serde_json::to_value(action)?);
        }
        if attempt.state.status == PaymentStatus::Failed
            && let Some(category) = news.decline
        {
            attempt.decline_reason = Some(category.buyer_message_key().to_owned());
        }
        if attempt.state.status.is_final() {
            attempt.next_poll_at = None;
        } else if attempt.next_poll_at.is_none()
            && self.gateways.get(&attempt.gateway).is_some_and(|gateway| gateway.gateway.descriptor().capabilities.lookup.reads())
            && let Some(at) = payment::next_poll_at(attempt.state.status, attempt.polls, now)
        {
            attempt.next_poll_at = Some(at);
            self.enqueue(txn, &Job::PollPayment { payment: id.uuid() }, id.uuid(), at).await?;
        }
        attempt.touched_at = now;
        if let Some(review) = step.newly_in_review {
            tracing::error!(payment = %id, order = order.number, review = review.name(), "a payment needs an operator: {review}");
        }
        if step.late.is_some() {
            tracing::warn!(payment = %id, order = order.number, late = ?step.late, "late money");
        }
        // What was known before is old news that came late, and was given back with the attempt.
        if step.late == Some(Late::AuthorisedAfterEnd) && step.changed {
            self.enqueue(txn, &Job::VoidReservation { payment: id.uuid() }, order.id.uuid(), now).await?;
        }
        if attempt.state.status == PaymentStatus::Failed && before != PaymentStatus::Failed && order.status == OrderStatus::PendingPayment {
            self.mail_declined(txn, order, id).await?;
        }
        store::payment::save(txn, &attempt).await?;
        store::payment::record(
            txn,
            store::payment::Heard {
                id: entropy::next_uuid(),
                payment: id,
                road: news.road.name(),
                status: news.seen.status.name().to_owned(),
                detail: news.detail,
                changed: step.changed,
                at: now,
            },
        )
        .await?;
        self.decide(txn, order, attempt).await
    }

    /// What an attempt's state means for its order. Safe to repeat: once carried out, there is nothing more to do.
    async fn decide(&self, txn: &DatabaseTransaction, order: &Order, mut attempt: Payment) -> Result<()> {
        let now = self.now();
        let lapsed = order.status == OrderStatus::Lapsed;
        let products: Vec<_> = order.lines.iter().map(|line| line.product).collect();
        if lapsed {
            // A placing holds its cart before its customer; so does late money that takes its coupons anew.
            store::cart::hold(txn, order.cart).await?;
        }
        let facts = SettleFacts {
            order: order.status,
            payment: &attempt.state,
            refunding: attempt.refunding,
            paid_by: match order.paid_payment {
                Some(payment) if payment == attempt.id => PaidBy::This,
                Some(_) => PaidBy::Another,
                None => PaidBy::Nobody,
            },
            everything_there: !lapsed
                || (store::order::all_there(txn, &products).await?
                    && self.uses_there(txn, order).await?
                    && self.seats_there(txn, order).await?),
            cart_taken: lapsed && store::order::cart_taken(txn, order.cart, order.id).await?,
        };
        match rule::settle(&facts).map_err(money_fault)? {
            Settle::Nothing => store::order::touch(txn, order.id, now).await?,
            Settle::Review(_) => {
                // The reason stands on the attempt; the operator sees it there and was told in the log.
                store::order::touch(txn, order.id, now).await?;
            }
            decision @ (Settle::Pay | Settle::PayHonoured) => {
                let event = if decision == Settle::Pay { OrderEvent::Paid } else { OrderEvent::Honoured };
                self.pay(txn, order, &event, Some(attempt.id)).await?;
            }
            Settle::Capture => {
                if self.gateways.get(&attempt.gateway).is_some_and(|instance| instance.capture_at_once) {
                    self.enqueue(txn, &Job::CapturePayment { payment: attempt.id.uuid() }, order.id.uuid(), now).await?;
                }
                store::order::touch(txn, order.id, now).await?;
            }
            Settle::Void => {
                self.enqueue(txn, &Job::VoidPayment { payment: attempt.id.uuid() }, order.id.uuid(), now).await?;
                store::order::touch(txn, order.id, now).await?;
            }
            Settle::RefundAtOnce { amount, why } => {
                let refund = Refund {
                    id: entropy::next_id(),
                    order: order.id,
                    payment: attempt.id,
                    amount,
                    status: domain::refund::RefundStatus::Pending,
                    origin: Origin::LateMoney,
                    reason: why.name().to_owned(),
                    actor: Caller::system().actor(),
                    reference: None,
                    failure: None,
                    polls: 0,
                    created_at: now,
                    settled_at: None,
                    lines: Vec::new(),
                };
                tracing::error!(order = order.number, payment = %attempt.id, why = why.name(), "money without an order to pay is sent back");
                store::payment::insert_refund(txn, &refund).await?;
                attempt.refunding = attempt.refunding.add(amount).map_err(money_fault)?;
                attempt.state.totals.returned = attempt.state.totals.returned.add(amount).map_err(money_fault)?;
                attempt.state = attempt.state.reviewed();
                store::payment::save(txn, &attempt).await?;
                store::order::touch(txn, order.id, now).await?;
                self.enqueue(txn, &Job::Refund { refund: refund.id.uuid() }, order.id.uuid(), now).await?;
                let object = Object { kind: "order", id: order.id.uuid(), company: order.company.map(domain::CompanyId::uuid) };
                let told = json!({ "refund": refund.id, "amount": amount, "why": why.name() });
                self.audit(txn, &Caller::system(), "lateMoneyRefund", object, None, Some(told)).await?;
            }
        }
        Ok(())
    }

    /// Makes an order PAID and promises its fulfilment, in the caller's transaction and under the order's lock.
    pub(crate) async fn pay(&self, txn: &DatabaseTransaction, order: &Order, event: &OrderEvent, by: Option<PaymentId>) -> Result<()> {
        let now = self.now();
        let to = rule::advance(order.status, event).map_err(|refusal| internal!("{}: {refusal}", order.number))?;
        let change = StateChange { from: order.status, to, now, paid_by: Some(by) };
        if !store::order::advance(txn, order.id, &change).await? {
            return Err(internal!("{} was changed under its lock", order.number));
        }
        if !self.uses_move(txn, order, to).await? {
            // Decided anew when this is tried again: without its coupons the order cannot be honoured.
            return Err(internal!("a coupon of {} was used up meanwhile", order.number));
        }
        if !self.seats_move(txn, order, to).await? {
            // As above: decided anew when this is tried again.
            return Err(internal!("a seat of {} was taken meanwhile", order.number));
        }
        if matches!(event, OrderEvent::Honoured) && !store::cart::ordered(txn, order.cart, order.id, now).await? {
            return Err(internal!("the cart of {} was taken meanwhile", order.number));
        }
        self.tell_order(txn, EventKind::OrderPaid, order, json!({})).await?;
        for other in store::payment::of_order(txn, order.id).await? {
            let open = matches!(other.state.status, PaymentStatus::RequiresAction | PaymentStatus::Authorised | PaymentStatus::Created);
            if Some(other.id) != by && open {
                self.enqueue(txn, &Job::VoidPayment { payment: other.id.uuid() }, order.id.uuid(), now).await?;
            }
        }
        self.enqueue(txn, &Job::Fulfil { order: order.id.uuid() }, order.id.uuid(), now).await
    }

    /// Verifies a webhook and keeps it with the job that applies it, in one commit, before it is acknowledged.
    ///
    /// # Errors
    /// The adapter's, for a delivery that cannot be trusted; ours, when it could not be kept (then the gateway sends it again).
    pub async fn webhook_receive(&self, gateway: &str, webhook: RawWebhook) -> Result<Reply, WebhookFault> {
        let instance = self.gateways.get(gateway).ok_or(WebhookFault::Refused(WebhookError::NotSupported))?;
        let now = self.now();
        let body = webhook.body.clone();
        let ctx = OpContext::new(entropy::next_uuid().to_string(), now);
        let received = instance.gateway.receive_webhook(&ctx, webhook).await.map_err(WebhookFault::Refused)?;
        if !received.notifications.is_empty() {
            let txn = self.db.begin().await.map_err(Error::from)?;
            for notification in &received.notifications {
                let event = store::payment::GatewayEvent {
                    id: entropy::next_uuid(),
                    gateway: instance.id.clone(),
                    dedup_key: notification.dedup_key.clone(),
                    notification: serde_json::to_value(notification).map_err(Error::from)?,
                    body: body.clone(),
                    received_at: now,
                };
                let id = event.id;
                if store::payment::keep_event(&txn, event).await.map_err(Error::from)? {
                    self.enqueue(&txn, &Job::ApplyGatewayEvent { event: id }, id, now).await?;
                }
            }
            txn.commit().await.map_err(Error::from)?;
            self.woken();
        }
        Ok(received.reply)
    }

    /// Applies a kept webhook.
    ///
    /// # Errors
    /// The gateway could not be asked, or the payment is not known yet: try again.
    pub async fn gateway_event_apply(&self, event: Uuid) -> Result<Ran> {
        let Some((gateway, notification)) = store::payment::pending_event(self.db.read(), event).await? else { return Ok(Ran::Done) };
        let instance = self.gateways.get(&gateway).ok_or_else(|| internal!("the gateway {gateway} is no longer configured"))?;
        let mut notification: Notification = serde_json::from_value(notification)?;
        if let Some(id) = notification.payment_id
            && let Some(known) = store::payment::by_id(self.db.read(), id).await?.filter(|payment| payment.gateway == gateway)
            && let Some(reference) = known.reference
        {
            // What the shop knows of its payment counts, not what a message says of it.
            notification.reference = Some(PaymentRef::new(reference));
        }
        let ctx = OpContext::new(event.to_string(), self.now());
        let observations = instance.gateway.resolve(&ctx, &notification).await.map_err(|error| internal!("resolve: {error}"))?;
        for observation in observations {
            self.observe(&gateway, Road::Webhook, observation).await?;
        }
        store::payment::event_applied(self.db.write(), event, self.now()).await?;
        Ok(Ran::Done)
    }

    /// The buyer's browser came back from the gateway: a hint to ask, never a proof. Gives the order and where the browser goes on.
    ///
    /// # Errors
    /// Ours only.
    pub async fn payment_returned(&self, id: PaymentId, query: String) -> Result<Option<(OrderId, Option<String>)>> {
        let Some(attempt) = store::payment::by_id(self.db.read(), id).await? else { return Ok(None) };
        if let Some(instance) = self.gateways.get(&attempt.gateway) {
            let ctx = OpContext::new(format!("{id}:return"), self.now());
            let query = ReturnQuery { payment_id: id, reference: attempt.reference.as_deref().map(PaymentRef::new), query };
            match instance.gateway.complete_return(&ctx, query).await {
                Ok(observations) => {
                    for observation in observations {
                        self.observe(&attempt.gateway, Road::Return, observation).await?;
                    }
                }
                Err(GatewayError::NotSupported { .. }) => {}
                Err(error) => tracing::warn!(payment = %id, %error, "the gateway did not say how the buyer came back"),
            }
        }
        self.drain(attempt.order.uuid()).await;
        Ok(Some((attempt.order, attempt.return_url)))
    }

    async fn observe(&self, gateway: &str, road: Road, observation: port::Observation) -> Result<()> {
        match observation {
            port::Observation::Payment { reference, payment_id, snapshot } => {
                let payment = self.payment_of(gateway, payment_id, &reference).await?;
                self.settle_payment(payment.id, News::snapshot(road, &reference, &snapshot)).await
            }
            port::Observation::Refund { payment, refund } => {
                let payment = self.payment_of(gateway, None, &payment).await?;
                self.settle_refund(payment.id, &refund).await
            }
            port::Observation::Dispute { payment, dispute } => {
                let payment = self.payment_of(gateway, None, &payment).await?;
                self.settle_dispute(payment.id, &dispute).await
            }
        }
    }

    async fn payment_of(&self, gateway: &str, id: Option<PaymentId>, reference: &PaymentRef) -> Result<Payment> {
        let found = match id {
            Some(id) => store::payment::by_id(self.db.read(), id).await?.filter(|payment| payment.gateway == gateway),
            None => store::payment::by_reference(self.db.read(), gateway, reference.as_str()).await?,
        };
        found.ok_or_else(|| internal!("{gateway} tells of a payment that is not known (yet)"))
    }

    pub(crate) async fn order_row(&self, id: OrderId) -> Result<Order> {
        store::order::by_id(self.db.read(), id).await?.ok_or_else(|| internal!("order {id} is gone"))
    }
}

/// Why a webhook was not taken.
#[derive(Debug, thiserror::Error)]
pub enum WebhookFault {
    /// It cannot be trusted or read.
    #[error(transparent)]
    Refused(WebhookError),
    /// It could not be kept; the gateway shall send it again.
    #[error(transparent)]
    Ours(#[from] Error),
}

/// A sum that cannot be: amounts of one attempt are bounded by what the gateway said of it.
pub(crate) fn money_fault(error: domain::MoneyError) -> Error {
    internal!("amounts do not add up: {error}")
}

/// The amounts of an attempt as the refund rules take them.
pub(crate) fn money_facts(attempt: &Payment) -> domain::refund::MoneyFacts {
    let totals = attempt.state.totals;
    domain::refund::MoneyFacts {
        captured: totals.captured,
        refunded: totals.refunded,
        refunding: attempt.refunding,
        disputed: totals.disputed,
        excess: attempt.state.excess(),
    }
}

/// A new attempt for `amount`, before the gateway was asked.
pub(crate) fn new_attempt(
    order: OrderId,
    number: u32,
    gateway: String,
    amount: Money,
    method_token: Option<String>,
    return_url: Option<String>,
    now: DateTime<Utc>,
) -> Payment {
    Payment {
        id: entropy::next_id(),
        order,
        attempt: number,
        gateway,
        state: payment::PaymentState::created(amount),
        method_token,
        buyer_ip: None,
        reference: None,
        refunding: Money::zero(amount.currency),
        decline_reason: None,
        next_action: None,
        return_url,
        polls: 0,
        next_poll_at: None,
        created_at: now,
        touched_at: now,
    }
}
