//! The nightly comparison of payments with their gateways, and the list of what an operator should look at.
//!
//! Always true here: what a gateway says goes in by the one door first, so a report that was missed is made up for; only what differs after that is
//! noted. Nothing is corrected by itself, and a gateway that gives no answer changes nothing that was noted before.

use chrono::{NaiveDate, TimeDelta};
use domain::payment::apply;
use domain::reconciliation::{Theirs, compare};
use port::{GatewayError, OpContext, PaymentRef, Snapshot};

use super::App;
use super::caller::{Caller, Topic};
use super::entropy;
use super::payment::{News, Payment, Ran, Road};
use crate::error::Result;
use crate::internal;
use crate::outbox::Job;
use crate::store;

pub use crate::store::reconciliation::Problem;

/// When the night's comparison begins: so long after midnight of the shop's zone.
const BEGINS: TimeDelta = TimeDelta::hours(3);
/// Payments that were made in this time are compared: refunds and chargebacks come late.
const RECENT: TimeDelta = TimeDelta::days(30);
/// Payments compared in one run of the job, so that its lease outlasts a gateway that answers slowly.
const BATCH: u64 = 20;
/// How long a gateway may take for one answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(4);
/// A lost answer that asking has not replaced by then is the operator's.
const UNKNOWN_FOR: TimeDelta = TimeDelta::hours(1);
/// For so long a lost dispute is shown.
const LOST_FOR: TimeDelta = TimeDelta::days(30);
/// Entries of each kind in the list.
const LISTED: u64 = 100;

/// How the comparison of one payment ended.
enum Compared {
    /// They agree.
    Agrees,
    /// They differ.
    Differs,
    /// The gateway gave no answer, or the payment changed meanwhile.
    Unanswered,
    /// There is nothing to ask.
    Skipped,
}

impl App {
    /// The night that it is now, by the date of its morning in the shop's zone.
    pub fn night(&self) -> NaiveDate {
        (self.now() - BEGINS).with_timezone(&self.shop.time_zone).date_naive()
    }

    /// Begins this night's comparison, unless somebody did; says whether.
    ///
    /// # Errors
    /// The database's.
    pub async fn reconciliation_begin(&self) -> Result<bool> {
        let night = self.night().to_string();
        if store::reconciliation::run(self.db.read(), &night).await?.is_some() {
            return Ok(false);
        }
        let txn = self.db.begin().await?;
        let begun = store::reconciliation::begin(&txn, &night, self.now()).await?;
        if begun {
            self.enqueue(&txn, &Job::Reconcile { night }, entropy::next_uuid(), self.now()).await?;
        }
        txn.commit().await?;
        self.woken();
        Ok(begun)
    }

    /// Compares the next payments of a night's run.
    ///
    /// # Errors
    /// The database's: try again, what was compared twice is noted once.
    pub async fn reconciliation_go_on(&self, night: &str) -> Result<Ran> {
        let Some(mut run) = store::reconciliation::run(self.db.read(), night).await?.filter(|run| run.ended_at.is_none()) else {
            return Ok(Ran::Done);
        };
        let attempts = store::reconciliation::attempts(self.db.read(), run.began_at - RECENT, run.after, BATCH).await?;
        let last = u64::try_from(attempts.len()).unwrap_or(BATCH) < BATCH;
        for attempt in attempts {
            run.after = Some(attempt.id.uuid());
            match self.reconcile(&attempt).await? {
                Compared::Agrees => run.compared += 1,
                Compared::Differs => {
                    run.compared += 1;
                    run.differing += 1;
                }
                Compared::Unanswered => run.unanswered += 1,
                Compared::Skipped => {}
            }
        }
        if last {
            run.ended_at = Some(self.now());
            let (compared, differing, unanswered) = (run.compared, run.differing, run.unanswered);
            tracing::info!(night, compared, differing, unanswered, "payments were compared with their gateways");
        }
        store::reconciliation::save(self.db.write(), &run).await?;
        Ok(if last { Ran::Done } else { Ran::Again(self.now()) })
    }

    async fn reconcile(&self, attempt: &Payment) -> Result<Compared> {
        let (Some(instance), Some(reference)) = (self.gateways.get(&attempt.gateway), attempt.reference.as_deref().map(PaymentRef::new))
        else {
            return Ok(Compared::Skipped);
        };
        let capabilities = instance.gateway.descriptor().capabilities;
        if !capabilities.lookup.reads() {
            return Ok(Compared::Skipped);
        }
        let ctx = OpContext::new(format!("{}:reconcile", attempt.id), self.now()).with_budget(PATIENCE);
        let snapshot = match instance.gateway.fetch(&ctx, &reference).await {
            Ok(snapshot) => Some(snapshot),
            Err(GatewayError::NotFound) => None,
            Err(error) => {
                tracing::warn!(payment = %attempt.id, gateway = attempt.gateway, %error, "a payment cannot be compared with its gateway");
                return Ok(Compared::Unanswered);
            }
        };
        let news = snapshot.as_ref().map(|snapshot| News::snapshot(Road::Poll, &reference, snapshot));
        if let Some(news) = news.filter(|news| apply(&attempt.state, &news.seen).changed) {
            tracing::warn!(payment = %attempt.id, gateway = attempt.gateway, "the gateway tells what no report has told");
            self.settle_payment(attempt.id, news).await?;
        }
        let theirs = snapshot.map(|snapshot| theirs(&snapshot, capabilities.disputes));
        self.note_differences(attempt, theirs.as_ref()).await
    }

    async fn note_differences(&self, asked: &Payment, theirs: Option<&Theirs>) -> Result<Compared> {
        let txn = self.db.begin().await?;
        store::order::lock(&txn, asked.order).await?;
        let attempt = store::payment::by_id(&txn, asked.id).await?.ok_or_else(|| internal!("{} is gone", asked.id))?;
        let differences = compare(&attempt.state, attempt.refunding, theirs);
        if !differences.is_empty() && attempt.touched_at != asked.touched_at {
            // It moved while the gateway was asked: what differs now may be only that.
            return Ok(Compared::Unanswered);
        }
        let new = store::reconciliation::note(&txn, attempt.id, &differences, self.now()).await?;
        txn.commit().await?;
        if new {
            tracing::error!(payment = %attempt.id, gateway = attempt.gateway, ?differences, "a payment differs from what its gateway says");
        }
        Ok(if differences.is_empty() { Compared::Agrees } else { Compared::Differs })
    }

    /// Payments that an operator should look at: in review, of unknown outcome, with a refund that failed or a dispute, or other than their
    /// gateway says.
    ///
    /// # Errors
    /// Needs the scope `orders:read`.
    pub async fn payment_problems(&self, caller: &Caller) -> Result<Vec<Problem>> {
        caller.require(Topic::Orders.read())?;
        let now = self.now();
        Ok(store::reconciliation::problems(self.db.read(), now - UNKNOWN_FOR, now - LOST_FOR, LISTED).await?)
    }
}

fn theirs(snapshot: &Snapshot, tells_disputes: bool) -> Theirs {
    let totals = &snapshot.totals;
    Theirs {
        status: super::payment::status_of(snapshot.status),
        captured: totals.captured,
        refunded: totals.refunded,
        disputed: tells_disputes.then_some(totals.disputed),
    }
}
