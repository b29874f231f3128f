//! Events out: kept with the deliveries that they owe in the transaction that they tell about, then told to each endpoint by a job of its own.
//!
//! Always true here: what is told of one object arrives at an endpoint in the order in which it happened, at least once; an endpoint that is ill
//! holds up nobody else's; no request goes to an address that is not public, unless the settings allow it; no name or address of mail is told.

use std::collections::HashMap;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use domain::event::{DeliveryState, EventKind, rest_after, tried_until};
use domain::mail::next_try;
use domain::{EventDeliveryId, WebhookEndpointId};
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::DatabaseTransaction;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::payment::{Order, Ran};
use super::secrets::Purpose;
use super::{App, Object, entropy};
use crate::error::{Code, Error, Refusal, Result};
use crate::outbox::{self, Job};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::event::Tried;

pub use crate::store::event::{Delivery, DeliveryFilter, Endpoint, Event, Replay};
pub use crate::store::page::Key;

/// Most endpoints of a shop: each makes work of every event.
pub const MAX_ENDPOINTS: usize = 20;
/// Most characters of an endpoint's address.
const MAX_URL: usize = 2_000;
/// Most deliveries that one call queues again.
pub const MAX_REPLAY: u64 = 1_000;
/// How secrets of endpoints begin.
const SECRET_PREFIX: &str = "whsec_";
/// How often it is looked whether what has to arrive first has arrived.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(2);
/// For how long one try after a rest keeps the others off.
const PROBE: TimeDelta = TimeDelta::minutes(1);

/// What is sent to an endpoint.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Where to.
    pub url: String,
    /// Id of the event, the same at each try.
    pub id: String,
    /// Seconds of this try.
    pub timestamp: i64,
    /// The signature of all of it.
    pub signature: String,
    /// The envelope.
    pub body: String,
}

/// Why a notice did not arrive, or nobody knows whether it did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct PostFault {
    /// What the endpoint answered, if it did.
    pub status: Option<u16>,
    /// What happened.
    pub what: String,
}

/// Whoever carries notices.
#[async_trait]
pub trait Poster: Send + Sync + std::fmt::Debug {
    /// Hands a notice over; gives the status of the answer.
    ///
    /// # Errors
    /// It was not taken.
    async fn post(&self, notice: &Notice) -> Result<u16, PostFault>;

    /// Whether notices may be sent to this address at all.
    ///
    /// # Errors
    /// Why not, with what to write instead.
    fn check(&self, url: &str) -> Result<(), String>;
}

/// A delivery with the event that it tells.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryView {
    /// The delivery.
    pub delivery: Delivery,
    /// Its event.
    pub event: Event,
}

// ---- keeping -------------------------------------------------------------------------------------------------------------------

impl App {
    /// Keeps the event that an order's state makes, for whoever wants it. The caller holds the order's row, and calls [`App::woken`] after the commit.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn tell_order(&self, txn: &DatabaseTransaction, kind: EventKind, order: &Order, more: Value) -> Result<()> {
        let mut data = order_data(order);
        if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
            data.extend(more);
        }
        self.tell(txn, kind, (order.id.uuid(), order.id.to_string()), data).await
    }

    /// Keeps an event about an object, named by its row and its id, for whoever wants it. What is told of one object at once is told by whoever
    /// holds the object's row. Call [`App::woken`] after the commit.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn tell(
        &self,
        txn: &DatabaseTransaction,
        kind: EventKind,
        (object, object_ref): (Uuid, String),
        data: Value,
    ) -> Result<()> {
        let endpoints = store::event::endpoints(txn).await?;
        let listening: Vec<&Endpoint> =
            endpoints.iter().filter(|endpoint| endpoint.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))).collect();
        if listening.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let event = Event {
            id: entropy::next_id(),
            kind,
            object,
            object_ref,
            sequence: store::event::next_sequence(txn, object).await?,
            data,
            occurred_at: now,
        };
        store::event::insert(txn, &event).await?;
        let deliveries: Vec<Delivery> = listening
            .into_iter()
            .map(|endpoint| Delivery {
                id: entropy::next_id(),
                event: event.id,
                endpoint: endpoint.id,
                object,
                sequence: event.sequence,
                state: DeliveryState::Queued,
                tries: 0,
                next_try_at: Some(now),
                status_code: None,
                error: None,
                queued_at: now,
                created_at: now,
                delivered_at: None,
            })
            .collect();
        store::event::insert_deliveries(txn, &deliveries).await?;
        Ok(outbox::enqueue_all(txn, &jobs_of(&deliveries), now).await?)
    }
}

/// A job for each delivery. Those to one endpoint about one object run one after the other.
fn jobs_of(deliveries: &[Delivery]) -> Vec<(Uuid, Job, String)> {
    let job = |delivery: &Delivery| {
        let key = format!("{}/{}", delivery.endpoint.uuid(), delivery.object);
        (entropy::next_uuid(), Job::DeliverEvent { delivery: delivery.id.uuid() }, key)
    };
    deliveries.iter().map(job).collect()
}

/// What others may know of an order: what was bought, for how much. Who bought is asked by the account's id.
fn order_data(order: &Order) -> Value {
    let money = |amount: domain::Money| json!({ "amount": amount.decimal_text(), "currency": amount.currency.code() });
    let lines: Vec<Value> = order
        .lines
        .iter()
        .map(|line| {
            json!({
                "id": line.id, "productId": line.product, "sku": line.sku, "title": line.title, "quantity": line.quantity,
                "for": line.for_.kind().name(), "total": money(line.amounts.total), "credits": line.credits.count,
            })
        })
        .collect();
    json!({
        "orderId": order.id, "number": order.number, "accountId": order.account, "companyId": order.company, "locale": order.locale,
        "total": money(order.totals.total), "discount": money(order.totals.discount), "lines": lines,
    })
}

// ---- telling -------------------------------------------------------------------------------------------------------------------

impl App {
    /// Tells an endpoint of an event, once what has to arrive before has arrived.
    ///
    /// # Errors
    /// The database's: the job is run again.
    pub(crate) async fn event_deliver(&self, id: EventDeliveryId) -> Result<Ran> {
        let db = self.db.read();
        let Some(delivery) = store::event::delivery(db, id).await?.filter(|found| found.state == DeliveryState::Queued) else {
            return Ok(Ran::Done);
        };
        let now = self.now();
        if let Some(first) = store::event::earlier(db, &delivery).await? {
            return Ok(Ran::Again(first.next_try_at.unwrap_or(now).max(now + LOOK_AGAIN)));
        }
        let Some(endpoint) = store::event::endpoint(db, delivery.endpoint).await?.filter(|endpoint| endpoint.deleted_at.is_none()) else {
            return Ok(Ran::Done);
        };
        if let Some(until) = endpoint.rests_until {
            // One of those who come after the rest tries; the others look again.
            let may = now >= until && store::event::probe(self.db.write(), endpoint.id, now, now + PROBE).await?;
            if !may {
                return self.event_waits(&delivery, until.max(now + LOOK_AGAIN)).await;
            }
        }
        let Some(event) = store::event::by_ids(db, &[delivery.event]).await?.pop() else { return Ok(Ran::Done) };
        let notice = self.notice(&endpoint, &event)?;
        match self.poster.post(&notice).await {
            Ok(status) => {
                store::event::endpoint_well(self.db.write(), endpoint.id).await?;
                let tried = Tried {
                    state: DeliveryState::Delivered,
                    tries: delivery.tries + 1,
                    next_try_at: None,
                    status_code: Some(status),
                    error: None,
                    delivered_at: Some(self.now()),
                };
                store::event::tried(self.db.write(), id, tried).await?;
                Ok(Ran::Done)
            }
            Err(fault) => self.event_failed(&endpoint, &delivery, fault).await,
        }
    }

    /// Puts a delivery off without a try, unless its time is over.
    async fn event_waits(&self, delivery: &Delivery, at: DateTime<Utc>) -> Result<Ran> {
        let over = at >= tried_until(delivery.queued_at);
        let tried = Tried {
            state: if over { DeliveryState::Failed } else { DeliveryState::Queued },
            tries: delivery.tries,
            next_try_at: (!over).then_some(at),
            status_code: delivery.status_code,
            error: Some("The endpoint failed several times in a row and is left alone for a while.".to_owned()),
            delivered_at: None,
        };
        store::event::tried(self.db.write(), delivery.id, tried).await?;
        Ok(if over { Ran::Done } else { Ran::Again(at) })
    }

    async fn event_failed(&self, endpoint: &Endpoint, delivery: &Delivery, fault: PostFault) -> Result<Ran> {
        let (now, tries) = (self.now(), delivery.tries + 1);
        let failures = store::event::endpoint_ill(self.db.write(), endpoint.id).await?;
        let rest = rest_after(failures).map(|rest| now + rest);
        if let Some(until) = rest {
            tracing::warn!(endpoint = %endpoint.id, failures, %until, "an endpoint is left alone for a while");
            store::event::endpoint_rests(self.db.write(), endpoint.id, until).await?;
        }
        let again = next_try(tries, self.jitter(), delivery.queued_at, now).map(|at| rest.map_or(at, |rest| at.max(rest)));
        let again = again.filter(|at| *at < tried_until(delivery.queued_at));
        let tried = Tried {
            state: if again.is_some() { DeliveryState::Queued } else { DeliveryState::Failed },
            tries,
            next_try_at: again,
            status_code: fault.status,
            error: Some(fault.what.clone()),
            delivered_at: None,
        };
        store::event::tried(self.db.write(), delivery.id, tried).await?;
        Ok(match again {
            Some(at) => Ran::Retry { at, error: fault.what },
            // webhookReplay is the way back; a job that is given up would only say the same.
            None => Ran::Done,
        })
    }

    fn notice(&self, endpoint: &Endpoint, event: &Event) -> Result<Notice> {
        let body = envelope(event).to_string();
        let (id, timestamp) = (event.id.to_string(), self.now().timestamp());
        let key = self.secrets.open(Purpose::WebhookEndpoint, &endpoint.secret_sealed)?;
        Ok(Notice { url: endpoint.url.clone(), signature: signature(&key, &id, timestamp, &body), id, timestamp, body })
    }
}

/// The event as it is told: the same text at each try.
fn envelope(event: &Event) -> Value {
    json!({
        "id": event.id, "type": event.kind.wire(), "version": 1, "occurredAt": event.occurred_at, "objectId": event.object_ref,
        "sequence": event.sequence, "data": event.data,
    })
}

/// The signature of Standard Webhooks, version 1.
fn signature(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

// ---- endpoints -----------------------------------------------------------------------------------------------------------------

impl App {
    /// Makes an endpoint; its secret is in this answer only.
    ///
    /// # Errors
    /// What is wrong with the address; too many endpoints; needs the scope `settings:write`.
    pub async fn webhook_endpoint_create(
        &self,
        caller: &Caller,
        url: &str,
        kinds: Option<Vec<EventKind>>,
    ) -> Result<(Endpoint, SecretString)> {
        caller.require(Topic::Settings.write())?;
        let url = url.trim();
        if url.chars().count() > MAX_URL {
            return Err(Error::refused(
                Code::TooLong,
                ["url"],
                format!("The address is too long; at most {MAX_URL} characters are allowed."),
            ));
        }
        self.poster.check(url).map_err(|why| Error::refused(Code::Invalid, ["url"], why))?;
        if kinds.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::refused(Code::Required, ["events"], "Name at least one event, or leave the list out for all of them."));
        }
        let mut key = [0; 32];
        self.entropy.fill(&mut key);
        let endpoint = Endpoint {
            id: entropy::next_id(),
            url: url.to_owned(),
            secret_sealed: self.secrets.seal(Purpose::WebhookEndpoint, &key, self.entropy.as_ref())?,
            kinds,
            failures: 0,
            rests_until: None,
            created_at: self.now(),
            deleted_at: None,
        };
        let txn = self.db.begin().await?;
        // Counted under a lock, so that two at once do not pass the limit together.
        store::installation::lock(&txn).await?;
        if store::event::endpoints(&txn).await?.len() >= MAX_ENDPOINTS {
            let message = format!("There are {MAX_ENDPOINTS} endpoints, which is the most; delete one first.");
            return Err(Refusal::new(Code::TooLarge, message).into());
        }
        store::event::insert_endpoint(&txn, &endpoint).await?;
        let new = json!({ "url": endpoint.url, "kinds": endpoint.kinds });
        self.audit(&txn, caller, "webhookEndpointCreate", Object::new("webhookEndpoint", endpoint.id.uuid()), None, Some(new)).await?;
        txn.commit().await?;
        Ok((endpoint, format!("{SECRET_PREFIX}{}", STANDARD.encode(key)).into()))
    }

    /// Takes an endpoint away, with what still waits for it.
    ///
    /// # Errors
    /// [`Code::NotFound`]; needs the scope `settings:write`.
    pub async fn webhook_endpoint_delete(&self, caller: &Caller, id: WebhookEndpointId) -> Result<Endpoint> {
        caller.require(Topic::Settings.write())?;
        let txn = self.db.begin().await?;
        if !store::event::delete_endpoint(&txn, id, self.now()).await? {
            return Err(Error::not_found("id", "webhook endpoint"));
        }
        self.audit(&txn, caller, "webhookEndpointDelete", Object::new("webhookEndpoint", id.uuid()), None, None).await?;
        let endpoint = store::event::endpoint(&txn, id).await?.ok_or_else(|| Error::not_found("id", "webhook endpoint"))?;
        txn.commit().await?;
        Ok(endpoint)
    }

    /// A page of the endpoints, in the order of making.
    ///
    /// # Errors
    /// Needs the scope `settings:read`.
    pub async fn webhook_endpoints(&self, caller: &Caller, args: &PageArgs<(Key, Uuid)>, with_total: bool) -> Result<Page<Endpoint>> {
        caller.require(Topic::Settings.read())?;
        Ok(store::event::endpoint_page(self.db.read(), args, with_total).await?)
    }

    /// These endpoints, for those who may read them.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_endpoints_by_id(
        &self,
        caller: &Caller,
        ids: &[WebhookEndpointId],
    ) -> Result<HashMap<WebhookEndpointId, Endpoint>> {
        if !caller.may(Topic::Settings.read()) {
            return Ok(HashMap::new());
        }
        let found = store::event::endpoints_by_ids(self.db.read(), ids).await?;
        Ok(found.into_iter().map(|endpoint| (endpoint.id, endpoint)).collect())
    }

    /// A page of deliveries with their events, the newest first.
    ///
    /// # Errors
    /// Needs the scope `settings:read`.
    pub async fn webhook_deliveries(
        &self,
        caller: &Caller,
        filter: &DeliveryFilter,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<DeliveryView>> {
        caller.require(Topic::Settings.read())?;
        let Page { rows, has_next, has_previous, total } = store::event::delivery_page(self.db.read(), filter, args, with_total).await?;
        let ids: Vec<_> = rows.iter().map(|delivery| delivery.event).collect();
        let events = store::event::by_ids(self.db.read(), &ids).await?;
        let view = |delivery: Delivery| {
            let event = events.iter().find(|event| event.id == delivery.event)?.clone();
            Some(DeliveryView { delivery, event })
        };
        Ok(Page { rows: rows.into_iter().filter_map(view).collect(), has_next, has_previous, total })
    }

    /// Queues deliveries again, whether they arrived or were given up; gives how many. Those that wait anyway stay as they are.
    ///
    /// # Errors
    /// [`Code::NotFound`] for what is not there; needs the scope `settings:write`.
    pub async fn webhook_replay(&self, caller: &Caller, which: Replay) -> Result<usize> {
        caller.require(Topic::Settings.write())?;
        let now = self.now();
        let txn = self.db.begin().await?;
        let endpoint = match which {
            Replay::Delivery(id) => {
                store::event::delivery(&txn, id).await?.ok_or_else(|| Error::not_found("deliveryId", "delivery"))?.endpoint
            }
            Replay::Since(endpoint, _) => endpoint,
        };
        let living = store::event::endpoint(&txn, endpoint).await?.filter(|endpoint| endpoint.deleted_at.is_none());
        if living.is_none() {
            return Err(Error::not_found("endpointId", "webhook endpoint"));
        }
        let deliveries = store::event::replay(&txn, which, MAX_REPLAY, now).await?;
        outbox::enqueue_all(&txn, &jobs_of(&deliveries), now).await?;
        // Whoever asks for it again says that the endpoint is well.
        store::event::endpoint_well(&txn, endpoint).await?;
        let told = json!({ "deliveries": deliveries.len() });
        self.audit(&txn, caller, "webhookReplay", Object::new("webhookEndpoint", endpoint.uuid()), None, Some(told)).await?;
        txn.commit().await?;
        Ok(deliveries.len())
    }
}

/// The envelope of a delivery's event, as it is sent.
pub fn payload(view: &DeliveryView) -> String {
    envelope(&view.event).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both directions against the reference library.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let (key, body) = ([7; 32], r#"{"id":"evt_1","data":{"title":"Zażółć"}}"#);
        let secret = format!("{SECRET_PREFIX}{}", STANDARD.encode(key));
        let reference = standardwebhooks::Webhook::new(&secret).expect("a secret");
        assert_eq!(reference.sign("evt_1", 1_614_265_330, body.as_bytes()).expect("signed"), signature(&key, "evt_1", 1_614_265_330, body));
    }
}
