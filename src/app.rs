//! Use cases. A file per topic, each an `impl App` with one method for each thing a caller can ask for: load, decide, save.
//!
//! Always true here: rules are the domain's, statements the store's; a gateway is never called inside a transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::refusal::Code;
use sea_orm::DatabaseTransaction;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use crate::config::ShopSettings;
use crate::error::{Error, Result};
use crate::outbox::{self, Job};
use crate::store::idempotency::{Claim, Scope};
use crate::store::{self, Db};
use caller::Caller;
use entropy::{Clock, Entropy};
use secrets::Secrets;

pub mod account;
pub mod audit;
pub mod caller;
pub mod cart;
pub mod catalog;
pub mod company;
pub mod company_offer;
pub mod coupon;
pub mod coupon_batch;
pub mod coupon_use;
pub mod credit;
pub mod credit_pack;
pub mod credit_report;
mod credit_sale;
pub mod enrol;
pub mod entropy;
pub mod event;
pub mod export;
pub mod form;
pub mod fulfil;
pub mod gateways;
pub mod grant;
pub mod group;
pub mod import;
pub mod installation;
pub mod invoice;
pub mod job;
pub mod jwt;
pub mod key;
pub mod learning;
pub mod ledger;
mod live;
pub mod mail;
mod markdown;
pub mod offer;
pub mod order;
pub mod order_view;
mod overage;
pub mod payment;
pub mod price;
pub mod product;
pub mod public_pack;
pub mod reconciliation;
pub mod refund;
pub mod rental;
pub mod report;
pub mod resource;
pub mod royalty;
pub mod sales_order;
pub mod sales_order_deal;
mod seat;
pub mod secrets;
pub mod seed;
pub mod seed_sales;
pub mod shop;
pub mod sign_in;
pub mod tax;
pub mod template;
pub mod throttle;
pub mod token;
mod wording;

/// Everything that use cases need.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Keyed hashes and sealing.
    pub secrets: Secrets,
    /// What the shop is set to.
    pub shop: ShopSettings,
    /// What sign-ins need in memory.
    pub sign_in: sign_in::SignIn,
    /// The payment gateways.
    pub gateways: gateways::Gateways,
    /// Who carries mails; without one they stay in the outbox.
    pub mailer: Option<Arc<dyn mail::Mailer>>,
    /// Who carries notices of events.
    pub poster: Arc<dyn event::Poster>,
    /// Wakes the worker when a job was committed.
    pub wake: Notify,
    /// Says which cart or order changed, for live subscriptions in this process.
    pub changes: broadcast::Sender<Uuid>,
}

/// The answer of a mutation with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was made, or had been made.
    pub value: T,
    /// Whether an earlier call with the same key had made it.
    pub replayed: bool,
}

impl<T> Answer<T> {
    /// The same answer about something else.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: convert(self.value), replayed: self.replayed }
    }
}

/// What a change was about, for the audit log.
#[derive(Debug, Clone, Copy)]
pub struct Object {
    /// The kind: `course`, `order`, ….
    pub kind: &'static str,
    /// The row.
    pub id: Uuid,
    /// The company concerned.
    pub company: Option<Uuid>,
}

impl Object {
    /// An object without a company.
    pub const fn new(kind: &'static str, id: Uuid) -> Self {
        Self { kind, id, company: None }
    }

    /// The same, concerning a company.
    #[must_use]
    pub const fn of_company(mut self, company: Uuid) -> Self {
        self.company = Some(company);
        self
    }
}

impl App {
    /// Now.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Writes an audit entry into `txn`: every privileged change has one, in its own transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        operation: &str,
        object: Object,
        old: Option<Value>,
        new: Option<Value>,
    ) -> Result<()> {
        self.audit_all(txn, caller, operation, vec![(object, old, new)]).await
    }

    /// The same for many changes of one operation: the object, what it was and what it is.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit_all(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        operation: &str,
        changes: Vec<(Object, Option<Value>, Option<Value>)>,
    ) -> Result<()> {
        let happened_at = self.now();
        let entries = changes.into_iter().map(|(object, old, new)| store::audit::Entry {
            id: entropy::next_uuid(),
            happened_at,
            actor_kind: caller.actor_kind(),
            actor: caller.actor(),
            company: object.company,
            operation,
            object_kind: object.kind,
            object: Some(object.id),
            old,
            new,
            request: caller.request.clone(),
        });
        Ok(store::audit::record(txn, entries.collect()).await?)
    }

    /// Writes a job into `txn`; call [`App::woken`] once that is committed.
    ///
    /// # Errors
    /// The database's.
    pub async fn enqueue(&self, txn: &DatabaseTransaction, job: &Job, object: Uuid, run_at: DateTime<Utc>) -> Result<()> {
        Ok(outbox::enqueue(txn, entropy::next_uuid(), job, object.to_string(), run_at, self.now()).await?)
    }

    /// Tells the worker that there may be work.
    pub fn woken(&self) {
        self.wake.notify_one();
    }

    /// Tells live subscriptions of this process that a cart or order changed.
    pub fn changed(&self, object: Uuid) {
        // Nobody listening is no fault.
        let _ = self.changes.send(object);
    }

    /// Claims an idempotency key as the first statement of `txn`. `Some` is the answer of an earlier call.
    ///
    /// # Errors
    /// [`Code::Invalid`] for an empty or overlong key, [`Code::IdempotencyMismatch`] for a key that was used with another input.
    pub async fn claim(&self, txn: &DatabaseTransaction, scope: &Scope<'_>, input: &impl Serialize) -> Result<Option<Value>> {
        if scope.key.trim().is_empty() || scope.key.len() > 255 || scope.key.contains(char::is_control) {
            return Err(Error::refused(
                Code::Invalid,
                ["idempotencyKey"],
                "Give a key of 1 to 255 characters without control characters, a new one for each thing you want done.",
            ));
        }
        // Keys of objects are sorted, so that the hash does not hang on the order they were sent in.
        let canonical = serde_json::to_vec(&serde_json::to_value(input)?)?;
        let hash = Sha256::digest(&canonical).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let now = self.now();
        let expires_at = now + chrono::TimeDelta::days(i64::from(self.shop.idempotency_days));
        match store::idempotency::claim(txn, scope, &hash, now, expires_at).await? {
            Claim::Fresh => Ok(None),
            Claim::Replay(answer) => Ok(Some(answer)),
            Claim::Mismatch => Err(Error::refused(
                Code::IdempotencyMismatch,
                ["idempotencyKey"],
                "This key was used for another input. Use a new key for a new request, or send the earlier input again.",
            )),
        }
    }
}
