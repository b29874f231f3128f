//! Endpoints that are told of events, and what became of each telling, for operators.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{EventDeliveryId, WebhookEndpointId};
use secrecy::ExposeSecret;

use super::connection::{List, connection, wants_total};
use super::error::{UserError, answer, outcome, payload, scope};
use super::scalar::{Long, input_id, named_enum};
use crate::app::caller::Topic;
use crate::app::event as app;
use crate::error::{Code, Error, Result};
use crate::page::ListName;

named_enum! {
    /// What happened. On the wire it is written as in `order.paid`.
    EventKind(domain::event::EventKind)
}

named_enum! {
    /// How a delivery stands: QUEUED for its first or next try, DELIVERED, or FAILED = given up until `webhookReplay`.
    DeliveryState(domain::event::DeliveryState)
}

/// An address that is told of events by POST, as Standard Webhooks say: headers `webhook-id`, `webhook-timestamp`, `webhook-signature`, and a body
/// `{id, type, version, occurredAt, objectId, sequence, data}`. Whatever is not answered by 2xx is sent again for three days.
#[derive(Debug, Clone, SimpleObject)]
pub struct WebhookEndpoint {
    /// Id.
    #[graphql(owned)]
    pub id: ID,
    /// Its address.
    pub url: String,
    /// The events that it is told of; null = all.
    pub events: Option<Vec<EventKind>>,
    /// Failures in a row.
    pub failures: u32,
    /// Until when it is left alone because of them.
    pub rests_until: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was taken away.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl From<app::Endpoint> for WebhookEndpoint {
    fn from(endpoint: app::Endpoint) -> Self {
        Self {
            id: endpoint.id.into(),
            url: endpoint.url,
            events: endpoint.kinds.map(|kinds| kinds.into_iter().map(EventKind).collect()),
            failures: endpoint.failures,
            rests_until: endpoint.rests_until,
            created_at: endpoint.created_at,
            deleted_at: endpoint.deleted_at,
        }
    }
}

/// The telling of one event to one endpoint.
#[derive(Debug, Clone, SimpleObject)]
pub struct WebhookDelivery {
    /// Id.
    pub id: ID,
    /// The endpoint.
    pub endpoint_id: ID,
    /// The event, the same for every endpoint.
    pub event_id: ID,
    /// What happened.
    pub event: EventKind,
    /// To what.
    pub object_id: ID,
    /// The how many-th event of that object it is.
    pub sequence: Long,
    /// How it stands.
    pub state: DeliveryState,
    /// Tries so far.
    pub tries: u32,
    /// When it is tried next.
    pub next_try_at: Option<DateTime<Utc>>,
    /// The status of the endpoint's last answer.
    pub status_code: Option<u16>,
    /// What went wrong last.
    pub error: Option<String>,
    /// What is sent: JSON.
    pub payload: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the endpoint took it.
    pub delivered_at: Option<DateTime<Utc>>,
}

impl From<app::DeliveryView> for WebhookDelivery {
    fn from(view: app::DeliveryView) -> Self {
        let payload = app::payload(&view);
        let app::DeliveryView { delivery, event } = view;
        Self {
            id: delivery.id.into(),
            endpoint_id: delivery.endpoint.into(),
            event_id: event.id.into(),
            event: event.kind.into(),
            object_id: event.object_ref.into(),
            sequence: Long(event.sequence),
            state: delivery.state.into(),
            tries: delivery.tries,
            next_try_at: delivery.next_try_at,
            status_code: delivery.status_code,
            error: delivery.error,
            payload,
            created_at: delivery.created_at,
            delivered_at: delivery.delivered_at,
        }
    }
}

/// Which deliveries a list shows; what is left out does not matter.
#[derive(Debug, Default, InputObject)]
pub struct WebhookDeliveryFilter {
    /// To this endpoint.
    pub endpoint_id: Option<ID>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// About the object with this id.
    pub object_id: Option<ID>,
}

/// Queries about endpoints and deliveries.
#[derive(Debug, Default)]
pub struct EventQuery;

#[Object]
impl EventQuery {
    /// The endpoints that are told of events, in the order of making. Needs `settings:read`.
    async fn webhook_endpoints(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<WebhookEndpoint>> {
        let (app, caller) = scope(ctx)?;
        let endpoints = async {
            let list = ListName::new("webhookEndpoints", &())?;
            let args = list.args(first, after.as_deref())?;
            let page = app.webhook_endpoints(caller, &args, wants_total(ctx)).await?;
            connection(&list, page, |endpoint| (app::Key::At(endpoint.created_at), endpoint.id.uuid()), WebhookEndpoint::from)
        };
        answer(endpoints.await)
    }

    /// What became of each event at each endpoint, the newest first. Needs `settings:read`.
    async fn webhook_deliveries(
        &self,
        ctx: &Context<'_>,
        filter: Option<WebhookDeliveryFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<WebhookDelivery>> {
        let (app, caller) = scope(ctx)?;
        let deliveries = async {
            caller.require(Topic::Settings.read())?;
            let filter = filter.unwrap_or_default();
            let filter = app::DeliveryFilter {
                endpoint: filter.endpoint_id.map(|id| input_id(&id, "endpointId", "webhook endpoint")).transpose()?,
                state: filter.state.map(|state| state.0),
                // An id of any kind; of what has no events there are no deliveries.
                object: filter.object_id.map(|id| domain::id::parse_any(&id).map_or_else(uuid::Uuid::nil, |(_, uuid)| uuid)),
            };
            let list = ListName::new("webhookDeliveries", &filter)?;
            let args = list.args(first, after.as_deref())?;
            let page = app.webhook_deliveries(caller, &filter, &args, wants_total(ctx)).await?;
            connection(&list, page, |view| (app::Key::At(view.delivery.created_at), view.delivery.id.uuid()), WebhookDelivery::from)
        };
        answer(deliveries.await)
    }
}

/// An endpoint to be made.
#[derive(Debug, InputObject)]
pub struct WebhookEndpointCreateInput {
    /// Its address, by https.
    pub url: String,
    /// The events that it is to be told of; all unless given.
    pub events: Option<Vec<EventKind>>,
}

/// The endpoint with its secret.
#[derive(SimpleObject)]
pub struct WebhookEndpointCreatePayload {
    /// The endpoint.
    pub webhook_endpoint: Option<WebhookEndpoint>,
    /// The secret that signs, for the library of Standard Webhooks. It is told here and never again.
    pub secret: Option<String>,
    /// Why the call was refused; empty when it was done.
    pub user_errors: Vec<UserError>,
}

/// The endpoint to take away.
#[derive(Debug, InputObject)]
pub struct WebhookEndpointDeleteInput {
    /// Its id.
    pub id: ID,
}

payload! {
    /// The endpoint that was taken away.
    WebhookEndpointDeletePayload {
        /// The endpoint.
        webhook_endpoint: WebhookEndpoint
    }
}

/// What to send again: one delivery, or all to an endpoint since an instant.
#[derive(Debug, InputObject)]
pub struct WebhookReplayInput {
    /// One delivery.
    pub delivery_id: Option<ID>,
    /// An endpoint; with `since`.
    pub endpoint_id: Option<ID>,
    /// From when on, at most 1,000 deliveries at once, the oldest first.
    pub since: Option<DateTime<Utc>>,
}

/// What was queued again.
#[derive(SimpleObject)]
pub struct WebhookReplayPayload {
    /// How many deliveries; those that wait anyway are not among them.
    pub count: Option<u32>,
    /// Why the call was refused; empty when it was done.
    pub user_errors: Vec<UserError>,
}

/// Mutations of endpoints.
#[derive(Debug, Default)]
pub struct EventMutation;

#[Object]
impl EventMutation {
    /// Makes an endpoint that is told of events from now on. Needs `settings:write`.
    async fn webhook_endpoint_create(
        &self,
        ctx: &Context<'_>,
        input: WebhookEndpointCreateInput,
    ) -> async_graphql::Result<WebhookEndpointCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let kinds = input.events.map(|events| events.into_iter().map(|event| event.0).collect());
        Ok(match outcome(app.webhook_endpoint_create(caller, &input.url, kinds).await)? {
            Ok((endpoint, secret)) => WebhookEndpointCreatePayload {
                webhook_endpoint: Some(endpoint.into()),
                secret: Some(secret.expose_secret().to_owned()),
                user_errors: Vec::new(),
            },
            Err(user_errors) => WebhookEndpointCreatePayload { webhook_endpoint: None, secret: None, user_errors },
        })
    }

    /// Takes an endpoint away, with what still waits for it. Needs `settings:write`.
    async fn webhook_endpoint_delete(
        &self,
        ctx: &Context<'_>,
        input: WebhookEndpointDeleteInput,
    ) -> async_graphql::Result<WebhookEndpointDeletePayload> {
        let (app, caller) = scope(ctx)?;
        let deleted = async {
            caller.require(Topic::Settings.write())?;
            app.webhook_endpoint_delete(caller, input_id::<domain::WebhookEndpointKind>(&input.id, "id", "webhook endpoint")?).await
        };
        WebhookEndpointDeletePayload::of(deleted.await)
    }

    /// Sends deliveries again, whether they arrived or were given up. Needs `settings:write`.
    async fn webhook_replay(&self, ctx: &Context<'_>, input: WebhookReplayInput) -> async_graphql::Result<WebhookReplayPayload> {
        let (app, caller) = scope(ctx)?;
        let replayed = async {
            caller.require(Topic::Settings.write())?;
            app.webhook_replay(caller, which(&input)?).await
        };
        Ok(match outcome(replayed.await)? {
            Ok(count) => WebhookReplayPayload { count: Some(u32::try_from(count).unwrap_or(u32::MAX)), user_errors: Vec::new() },
            Err(user_errors) => WebhookReplayPayload { count: None, user_errors },
        })
    }
}

fn which(input: &WebhookReplayInput) -> Result<app::Replay> {
    match (&input.delivery_id, &input.endpoint_id, input.since) {
        (Some(delivery), None, None) => {
            let delivery: EventDeliveryId = input_id(delivery, "deliveryId", "delivery")?;
            Ok(app::Replay::Delivery(delivery))
        }
        (None, Some(endpoint), Some(since)) => {
            let endpoint: WebhookEndpointId = input_id(endpoint, "endpointId", "webhook endpoint")?;
            let since =
                domain::window::check_instant(since).map_err(|reason| Error::refused(Code::Invalid, ["since"], reason.to_string()))?;
            Ok(app::Replay::Since(endpoint, since))
        }
        _ => Err(Error::refused(Code::Invalid, ["deliveryId"], "Give either deliveryId, or endpointId and since.")),
    }
}
