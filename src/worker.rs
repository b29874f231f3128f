//! The worker: claims due jobs, runs them, retries with back-off, parks what will not work. Several processes can run one; a job is claimed by
//! one statement and its lease runs out if the process dies.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often the table is looked at when nobody wakes the worker.
const POLL: Duration = Duration::from_secs(1);

/// Runs due jobs until `stop`.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut begun = None;
    loop {
        // Once a night; of several processes one begins it.
        if begun != Some(app.night()) {
            match app.reconciliation_begin().await {
                Ok(_) => begun = Some(app.night()),
                Err(error) => tracing::error!(error = format!("{error:#}"), "the comparison with the gateways cannot begin"),
            }
        }
        match app.run_due_jobs().await {
            Ok(_) => {}
            Err(error) => tracing::error!(error = format!("{error:#}"), "the worker cannot reach its jobs"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.wake.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}
