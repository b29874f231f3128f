//! Jobs: running what is due, for the worker and for requests that want to see the end of what they began; what operators see and replay.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::JobId;
use domain::refusal::Code;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::payment::Ran;
use super::{App, Object, entropy};
use crate::error::{Error, Result};
use crate::outbox::{Job, Lane};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::job::Claimed;

pub use crate::store::job::JobRow;

/// For how long a worker has a job before another may take it over, unless it renews its lease: the jobs of a process that died wait so long.
pub const LEASE: TimeDelta = TimeDelta::seconds(20);
/// How often a worker renews the leases of what it has in hand: a job may take longer than a lease.
const RENEWAL: Duration = Duration::from_secs(5);
/// Jobs claimed at a time.
const BATCH: u64 = 16;
/// How often it is looked for more to do while somebody outside is waited for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Failed tries before a job is parked: with the back-off below that is about four hours.
const MAX_TRIES: u32 = 12;
/// For how long a request waits for what it began before it answers with the state so far.
const PATIENCE: Duration = Duration::from_secs(12);

/// What came to its end where jobs run side by side.
enum Step {
    /// Looking for more of them.
    Claimed(Vec<Claimed>),
    /// One of them.
    Ran,
}

impl App {
    /// Runs due jobs of every lane until none is left; gives how many ran.
    ///
    /// # Errors
    /// The database's; a job that fails is put back, not an error here.
    pub async fn run_due_jobs(&self) -> Result<u64> {
        let mut all = 0;
        loop {
            let ran = self.run_lane(Lane::Inside).await? + self.run_lane(Lane::Outgoing).await?;
            if ran == 0 {
                return Ok(all);
            }
            all += ran;
        }
    }

    /// Runs due jobs of one lane until none is left; gives how many ran.
    ///
    /// # Errors
    /// The database's; a job that fails is put back, not an error here.
    pub async fn run_lane(&self, lane: Lane) -> Result<u64> {
        let owner = entropy::next_uuid().to_string();
        let owner = owner.as_str();
        match lane {
            Lane::Inside => self.holding(owner, self.run_in_turn(owner)).await,
            Lane::Outgoing => self.holding(owner, self.run_side_by_side(owner)).await,
        }
    }

    async fn run_in_turn(&self, owner: &str) -> Result<u64> {
        let mut ran = 0;
        loop {
            let claimed = store::job::claim(self.db.write(), owner, Lane::Inside, None, self.now(), LEASE, BATCH).await?;
            if claimed.is_empty() {
                return Ok(ran);
            }
            for job in &claimed {
                self.run_job(owner, job).await?;
                ran += 1;
            }
        }
    }

    /// Runs what waits for somebody outside. Whoever is slow keeps one of the places, and the others go on.
    async fn run_side_by_side(&self, owner: &str) -> Result<u64> {
        let mut steps: FuturesUnordered<BoxFuture<'_, Result<Step>>> = FuturesUnordered::new();
        let (mut ran, mut running, mut looks, mut claiming) = (0, 0, true, false);
        loop {
            if looks && !claiming && running < BATCH {
                // Beside the others, not before them: one of them may hold the connection that claiming waits for.
                let claim = store::job::claim(self.db.write(), owner, Lane::Outgoing, None, self.now(), LEASE, BATCH - running);
                steps.push(async move { Ok(Step::Claimed(claim.await?)) }.boxed());
                (looks, claiming) = (false, true);
            }
            match tokio::time::timeout(LOOK_AGAIN, steps.next()).await {
                Err(_) => looks = true,
                Ok(None) => return Ok(ran),
                Ok(Some(step)) => match step? {
                    Step::Claimed(claimed) => {
                        claiming = false;
                        running += claimed.len() as u64;
                        for job in claimed {
                            steps.push(async move { self.run_job(owner, &job).await.map(|()| Step::Ran) }.boxed());
                        }
                    }
                    Step::Ran => {
                        (ran, running) = (ran + 1, running - 1);
                        looks |= running <= BATCH / 2;
                    }
                },
            }
        }
    }

    /// Works, and keeps the leases of `owner` alive meanwhile. Both go on side by side: the work may hold the connection that renewing waits for.
    async fn holding<T>(&self, owner: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let renewing = async {
            loop {
                tokio::time::sleep(RENEWAL).await;
                if let Err(error) = store::job::renew(self.db.write(), owner, self.now() + LEASE).await {
                    tracing::warn!(%error, "the leases of jobs in hand could not be renewed; another worker may take them over");
                }
            }
        };
        tokio::select! {
            done = work => done,
            never = renewing => never,
        }
    }

    /// Whether somebody else has a due job in hand: after [`App::run_due_jobs`] none other is left.
    ///
    /// # Errors
    /// The database's.
    pub async fn jobs_under_way(&self) -> Result<bool> {
        Ok(store::job::under_way(self.db.read(), None, self.now()).await?)
    }

    /// Runs the due jobs of one object, and waits for those that a worker already has, so that whoever began them can be shown the end. Gives
    /// up quietly after a while: the worker goes on.
    pub async fn drain(&self, object: Uuid) {
        let owner = entropy::next_uuid().to_string();
        let work = async {
            loop {
                let claimed = store::job::claim(self.db.write(), &owner, Lane::Inside, Some(object), self.now(), LEASE, 1).await?;
                if let Some(job) = claimed.first() {
                    self.run_job(&owner, job).await?;
                } else if store::job::under_way(self.db.read(), Some(object), self.now()).await? {
                    tokio::time::sleep(Duration::from_millis(15)).await;
                } else {
                    return Ok::<(), Error>(());
                }
            }
        };
        match tokio::time::timeout(PATIENCE, self.holding(&owner, work)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%object, error = format!("{error:#}"), "running the jobs of an object failed"),
            Err(_) => tracing::warn!(%object, "the jobs of an object take long; the worker goes on"),
        }
    }

    async fn run_job(&self, owner: &str, claimed: &Claimed) -> Result<()> {
        let Claimed { id, job, tries } = claimed;
        // On the heap: whoever waits for a job would carry the largest of all their futures along on its stack.
        let outcome = Box::pin(self.work_on(job, *tries)).await;
        let now = self.now();
        match outcome {
            Ok(Ran::Done) => {
                store::job::done(self.db.write(), *id, owner, *tries, now).await?;
            }
            Ok(Ran::Again(at)) => store::job::again(self.db.write(), *id, owner, *tries, at, None).await?,
            Ok(Ran::Retry { at, error }) => {
                if *tries >= MAX_TRIES {
                    tracing::error!(job = %id, kind = job.kind(), tries, error, "a job fails again and again; mend its cause");
                } else {
                    tracing::warn!(job = %id, kind = job.kind(), tries, error, "a job failed and is tried again");
                }
                store::job::again(self.db.write(), *id, owner, *tries, at, Some(error)).await?;
            }
            Ok(Ran::GiveUp(error)) => {
                tracing::error!(job = %id, kind = job.kind(), error, "a job is given up; replay it with jobReplay once its cause is mended");
                store::job::park(self.db.write(), *id, owner, *tries, error).await?;
            }
            Err(error) => {
                let text = format!("{error:#}");
                if *tries >= MAX_TRIES {
                    tracing::error!(job = %id, kind = job.kind(), error = text, "a job is parked; replay it with jobReplay once its cause is mended");
                    store::job::park(self.db.write(), *id, owner, *tries, text).await?;
                } else {
                    tracing::warn!(job = %id, kind = job.kind(), tries, error = text, "a job failed and is tried again");
                    store::job::again(self.db.write(), *id, owner, *tries, now + back_off(*tries), Some(text)).await?;
                }
            }
        }
        Ok(())
    }

    async fn work_on(&self, job: &Job, tries: u32) -> Result<Ran> {
        match job {
            Job::StartPayment { payment } => self.start_payment((*payment).into(), tries).await,
            Job::PollPayment { payment } => self.poll_payment((*payment).into()).await,
            Job::CapturePayment { payment } => self.owed(tries, self.capture_payment((*payment).into()).await),
            Job::VoidPayment { payment } => self.owed(tries, self.void_payment((*payment).into()).await),
            Job::VoidReservation { payment } => self.owed(tries, self.void_reservation((*payment).into()).await),
            Job::Fulfil { order } => self.fulfil((*order).into()).await,
            Job::LapseOrder { order } => self.order_lapse((*order).into()).await,
            Job::Refund { refund } => self.owed(tries, self.refund_send((*refund).into(), tries).await),
            Job::CouponBatch { batch } => self.coupon_batch_go_on((*batch).into()).await,
            Job::SendMail { mail } => self.mail_send((*mail).into()).await,
            Job::DeliverEvent { delivery } => self.event_deliver((*delivery).into()).await,
            Job::MailRound => self.mail_round().await,
            Job::ExpireCredits => self.credits_expire().await,
            Job::ApplyGatewayEvent { event } => self.gateway_event_apply(*event).await,
            Job::InvoiceOverage { sales_order } => self.overage_invoice((*sales_order).into()).await,
            Job::Reconcile { night } => self.reconciliation_go_on(night).await,
        }
    }

    /// What somebody's money waits for is not given up: a gateway that is out of reach for a day has to be told the day after. Trying again is
    /// harmless, since each of these has an operation id of its own.
    fn owed(&self, tries: u32, outcome: Result<Ran>) -> Result<Ran> {
        outcome.or_else(|error| Ok(Ran::Retry { at: self.now() + back_off(tries), error: format!("{error:#}") }))
    }

    /// Jobs for the operator, the newest first.
    ///
    /// # Errors
    /// Needs the scope `settings:read`.
    pub async fn jobs(&self, caller: &Caller, status: Option<String>, args: &PageArgs<Uuid>, total: bool) -> Result<Page<JobRow>> {
        caller.require(Topic::Settings.read())?;
        Ok(store::job::page(self.db.read(), status.as_deref(), None, args, total).await?)
    }

    /// These jobs, for those who may read them.
    ///
    /// # Errors
    /// The database's.
    pub async fn jobs_by_id(&self, caller: &Caller, ids: &[JobId]) -> Result<HashMap<JobId, JobRow>> {
        if !caller.may(Topic::Settings.read()) {
            return Ok(HashMap::new());
        }
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        Ok(store::job::by_ids(self.db.read(), &ids).await?.into_iter().map(|job| (JobId::new(job.id), job)).collect())
    }

    /// Queues a parked job again, or runs a waiting one at once.
    ///
    /// # Errors
    /// [`Code::NotFound`] for a job that is done or unknown; needs the scope `settings:write`.
    pub async fn job_replay(&self, caller: &Caller, id: JobId) -> Result<JobRow> {
        caller.require(Topic::Settings.write())?;
        let txn = self.db.begin().await?;
        let Some(job) = store::job::replay(&txn, id.uuid(), self.now()).await? else {
            return Err(Error::refused(Code::NotFound, ["jobId"], "There is no unfinished job with this id."));
        };
        let told = json!({ "kind": job.kind, "object": job.object });
        self.audit(&txn, caller, "jobReplay", Object::new("job", id.uuid()), None, Some(told)).await?;
        txn.commit().await?;
        self.woken();
        Ok(job)
    }

    /// When the next job is due, for tests that let time pass.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_job_at(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(store::job::next_at(self.db.read()).await?)
    }
}

/// 5 s, 10 s, 20 s, … at most an hour.
fn back_off(tries: u32) -> TimeDelta {
    TimeDelta::seconds(5 * (1_i64 << tries.saturating_sub(1).min(10))).min(TimeDelta::hours(1))
}
