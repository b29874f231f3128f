//! Sends the sandbox's events to the shop, signed, as a gateway would: over HTTP, again and again until the shop takes them.
//!
//! Always true here: nothing is sent to another machine, redirects are not followed, and an event is sent at least once, never lost.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use port::GatewayError;
use reqwest::Url;

use crate::settings::loopback;
use crate::state::PendingDelivery;
use crate::{Sandbox, signature};

/// How many events are on their way at a time.
const PARALLEL: i64 = 16;

/// How long the shop may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An event ready to be posted. Printed without its signature.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedDelivery {
    /// The webhook address.
    pub url: String,
    /// Name and value of each header.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl fmt::Debug for SignedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedDelivery").field("url", &self.url).field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// What a round of deliveries came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryReport {
    /// Events that the shop took.
    pub delivered: usize,
    /// Events that it did not take; they will be tried again.
    pub failed: usize,
}

/// The client that deliveries are made with.
pub(crate) fn client() -> Result<reqwest::Client, GatewayError> {
    // Only plain loopback HTTP is spoken, yet the client wants a TLS configuration; one without any root trusts nobody.
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| GatewayError::Unavailable(error.to_string().into()))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(3))
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| GatewayError::Unavailable(error.to_string().into()))
}

impl Sandbox {
    /// The events that wait to be sent, earliest first.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when the state cannot be read.
    pub async fn pending_deliveries(&self) -> Result<Vec<PendingDelivery>, GatewayError> {
        self.state.pending().await
    }

    /// An event as it is posted at `now`: the body is the same at each sending, the signature is fresh.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for an event that does not exist.
    pub async fn signed(&self, event_id: &str, now: DateTime<Utc>) -> Result<SignedDelivery, GatewayError> {
        let (body, url) = self.state.event(event_id).await?.ok_or(GatewayError::NotFound)?;
        let signature = self.signer.sign(body.as_bytes(), now);
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned()), (signature::HEADER.to_owned(), signature)];
        Ok(SignedDelivery { url, headers, body: body.into_bytes() })
    }

    /// Notes that the shop took an event.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for an event that does not exist.
    pub async fn mark_delivered(&self, event_id: &str, now: DateTime<Utc>) -> Result<(), GatewayError> {
        if self.state.mark_delivered(event_id, now).await? { Ok(()) } else { Err(GatewayError::NotFound) }
    }

    /// Makes an event due again, whether or not it was delivered before: "send again".
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for an event that does not exist.
    pub async fn send_again(&self, event_id: &str, now: DateTime<Utc>) -> Result<(), GatewayError> {
        if !self.state.requeue(event_id, now).await? {
            return Err(GatewayError::NotFound);
        }
        self.happened.notify_one();
        Ok(())
    }

    /// Posts one event now. `true`: the shop took it.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for an event that does not exist. A shop that does not take the event is no error here: it is tried again later.
    pub async fn deliver(&self, event_id: &str, now: DateTime<Utc>) -> Result<bool, GatewayError> {
        let delivery = self.signed(event_id, now).await?;
        match self.post(delivery).await {
            Ok(()) => self.state.mark_delivered(event_id, now).await.map(|_| true),
            Err(why) => {
                tracing::warn!(instance = %self.settings.id, event = event_id, why, "the shop did not take a sandbox webhook");
                self.state.mark_failed(event_id, now, &why).await.map(|()| false)
            }
        }
    }

    /// Posts all events that are due at `now`, several at a time. Safe to call from several processes at once: each event is claimed first.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when the state cannot be used.
    pub async fn deliver_due(&self, now: DateTime<Utc>) -> Result<DeliveryReport, GatewayError> {
        let mut report = DeliveryReport::default();
        loop {
            let claimed = self.state.claim_due(now, PARALLEL).await?;
            if claimed.is_empty() {
                return Ok(report);
            }
            let mut tasks = tokio::task::JoinSet::new();
            for delivery in claimed {
                let sandbox = self.clone();
                tasks.spawn(async move { sandbox.deliver(&delivery.event_id, now).await });
            }
            while let Some(done) = tasks.join_next().await {
                let taken = done.map_err(|error| GatewayError::Unavailable(error.to_string().into()))??;
                *if taken { &mut report.delivered } else { &mut report.failed } += 1;
            }
        }
    }

    /// Waits until something happened in this process that makes an event due. Changes made by other processes are not heard: call
    /// [`deliver_due`](Self::deliver_due) now and then as well.
    pub async fn wait_for_event(&self) {
        self.happened.notified().await;
    }

    async fn post(&self, delivery: SignedDelivery) -> Result<(), String> {
        let mut url = Url::parse(&delivery.url).map_err(|error| format!("{}: {error}", delivery.url))?;
        if let Some(base) = &self.settings.deliver_to {
            let mut there = base.clone();
            there.set_path(url.path());
            there.set_query(url.query());
            url = there;
        }
        let url = loopback(url.as_str()).map_err(|why| format!("{url} {why}; name this shop's own address in the setting deliver_to"))?;
        let mut request = self.client.post(url).body(delivery.body);
        for (name, value) in delivery.headers {
            request = request.header(name, value);
        }
        // The error's own text would repeat the address only.
        let answer = request.send().await.map_err(|error| {
            if error.is_timeout() { "no answer in time".to_owned() } else { format!("cannot be reached: {}", error.without_url()) }
        })?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("answered {status}")) }
    }
}
