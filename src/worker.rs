//! The worker: claims due jobs, runs them, retries with back-off, parks what will not work. Several processes can run one; a job is claimed by
//! one statement and its lease runs out if the process dies.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::outbox::Lane;

/// How often the table is looked at when nobody wakes the worker.
const POLL: Duration = Duration::from_secs(1);

/// Runs due jobs until `stop`. What waits for somebody outside has a lane of its own.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    tokio::join!(lane(&app, Lane::Inside, &stop), lane(&app, Lane::Outgoing, &stop));
}

async fn lane(app: &App, lane: Lane, stop: &CancellationToken) {
    let mut begun = None;
    loop {
        // Once a night; of several processes one begins it.
        if lane == Lane::Inside && begun != Some(app.night()) {
            match app.reconciliation_begin().await {
                Ok(_) => begun = Some(app.night()),
                Err(error) => tracing::error!(error = format!("{error:#}"), "the comparison with the gateways cannot begin"),
            }
        }
        if let Err(error) = app.run_lane(lane).await {
            tracing::error!(error = format!("{error:#}"), "the worker cannot reach its jobs");
        }
        let woken = async {
            match lane {
                Lane::Inside => app.wake.notified().await,
                // Nobody sits and waits for what goes out.
                Lane::Outgoing => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = woken => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}
