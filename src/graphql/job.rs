//! Jobs as operators see them: work that was promised in a commit.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::JobId;
use uuid::Uuid;

use super::connection::{List, connection, wants_total};
use super::error::{answer, payload, scope};
use super::scalar::input_id;
use crate::app::job::JobRow;
use crate::page::ListName;

/// A job of the worker.
#[derive(Debug, Clone, SimpleObject)]
pub struct Job {
    /// Id.
    #[graphql(owned)]
    pub id: ID,
    /// What it does.
    pub kind: String,
    /// QUEUED, DONE, or PARKED = given up until `jobReplay`.
    pub status: String,
    /// Not before.
    pub run_at: DateTime<Utc>,
    /// Tries so far.
    pub tries: u32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was promised.
    pub created_at: DateTime<Utc>,
    /// When it was done.
    pub done_at: Option<DateTime<Utc>>,
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        Self {
            id: JobId::new(row.id).into(),
            kind: row.kind,
            status: row.status,
            run_at: row.run_at,
            tries: row.tries,
            last_error: row.last_error,
            created_at: row.created_at,
            done_at: row.done_at,
        }
    }
}

/// Queries about jobs.
#[derive(Debug, Default)]
pub struct JobQuery;

#[Object]
impl JobQuery {
    /// Jobs, the newest first; for operators.
    async fn jobs(
        &self,
        ctx: &Context<'_>,
        status: Option<String>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Job>> {
        let (app, caller) = scope(ctx)?;
        let found = async {
            let list = ListName::new("jobs", &status)?;
            let args = list.args::<Uuid>(first, after.as_deref())?;
            let page = app.jobs(caller, status, &args, wants_total(ctx)).await?;
            connection(&list, page, |job| job.id, Job::from)
        };
        answer(found.await)
    }
}

/// Runs a job again.
#[derive(Debug, InputObject)]
pub struct JobReplayInput {
    /// The job.
    pub job_id: ID,
}

payload! {
    /// The job, queued.
    JobReplayPayload {
        /// The job.
        job: Job
    }
}

/// Mutations of jobs.
#[derive(Debug, Default)]
pub struct JobMutation;

#[Object]
impl JobMutation {
    /// Queues a parked job again, or runs a waiting one at once; for operators.
    async fn job_replay(&self, ctx: &Context<'_>, input: JobReplayInput) -> async_graphql::Result<JobReplayPayload> {
        let (app, caller) = scope(ctx)?;
        let replayed = async {
            let id = input_id(&input.job_id, "jobId", "job")?;
            app.job_replay(caller, id).await
        };
        JobReplayPayload::of(replayed.await)
    }
}
