//! `serve --test-clock`: a clock that is set from outside, and jobs that run when told, so that weeks pass in a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use super::Playground;
use crate::app::App;
use crate::app::entropy::{Clock, SystemClock};
use crate::error::Result;

/// Shows the machine's time until it is set; from then on it stands.
#[derive(Debug)]
pub struct SettableClock(AtomicI64);

/// Not set: no instant that a clock is set to.
const RUNNING: i64 = i64::MIN;

impl Default for SettableClock {
    fn default() -> Self {
        Self(AtomicI64::new(RUNNING))
    }
}

impl Clock for SettableClock {
    fn now(&self) -> DateTime<Utc> {
        match self.0.load(Ordering::SeqCst) {
            RUNNING => SystemClock.now(),
            micros => DateTime::from_timestamp_micros(micros).unwrap_or_default(),
        }
    }

    fn set(&self, now: DateTime<Utc>) -> bool {
        self.0.store(now.timestamp_micros(), Ordering::SeqCst);
        true
    }
}

/// `POST /_test/clock {"now": RFC 3339}` and `POST /_test/jobs`.
pub fn routes(app: Arc<App>, playground: Arc<dyn Playground>) -> Router {
    let jobs = {
        let app = app.clone();
        move || jobs(app.clone(), playground.clone())
    };
    Router::new().route("/_test/clock", post(clock)).route("/_test/jobs", post(jobs)).with_state(app)
}

/// For how long those are waited for who have a job in hand; one that died with it keeps it until its lease ends, by a clock that may stand still.
const PATIENCE: Duration = Duration::from_secs(20);

async fn jobs(app: Arc<App>, playground: Arc<dyn Playground>) -> Response {
    match run_all(&app, &*playground).await {
        Ok((ran, delivered)) => Json(json!({ "jobs": ran, "webhooks": delivered })).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": format!("{error:#}") }))).into_response(),
    }
}

/// Runs what is due, carries the messages that it causes, and waits for what the worker has in hand, until nothing is left.
async fn run_all(app: &App, playground: &dyn Playground) -> Result<(u64, usize)> {
    let (mut ran, mut delivered) = (0, 0);
    let until = Instant::now() + PATIENCE;
    loop {
        let carried = playground.deliver_due(app.now()).await;
        let done = app.run_due_jobs().await?;
        delivered += carried;
        ran += done;
        if carried > 0 || done > 0 {
            continue;
        }
        if !app.jobs_under_way().await? || Instant::now() >= until {
            return Ok((ran, delivered));
        }
        sleep(Duration::from_millis(15)).await;
    }
}

#[derive(Deserialize)]
struct Setting {
    now: DateTime<Utc>,
}

async fn clock(State(app): State<Arc<App>>, body: String) -> Response {
    match serde_json::from_str::<Setting>(&body) {
        Ok(Setting { now }) => {
            app.clock.set(now);
            app.woken();
            Json(json!({ "now": app.now() })).into_response()
        }
        Err(error) => {
            let hint = format!("{error}; send {{\"now\": \"2026-01-01T00:00:00Z\"}}");
            (StatusCode::BAD_REQUEST, Json(json!({ "error": hint }))).into_response()
        }
    }
}
