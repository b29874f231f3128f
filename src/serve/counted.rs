//! Tells in each answer how many SQL statements it took.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::futures_util::stream::{self, BoxStream};
use async_graphql::futures_util::{Stream, StreamExt};
use async_graphql::{Data, Executor, Request, Response, Value};

use crate::store::STATEMENTS;

/// An executor whose answers carry `extensions.statements`.
#[derive(Debug, Clone)]
pub struct Counted<E> {
    inner: E,
    told: bool,
}

impl<E> Counted<E> {
    /// Counts for `inner` if the answers are to tell.
    pub const fn new(inner: E, told: bool) -> Self {
        Self { inner, told }
    }
}

fn tell(mut response: Response, count: &AtomicU64) -> Response {
    response.extensions.insert("statements".to_owned(), Value::from(count.swap(0, Ordering::Relaxed)));
    response
}

impl<E: Executor> Executor for Counted<E> {
    async fn execute(&self, request: Request) -> Response {
        if !self.told {
            return self.inner.execute(request).await;
        }
        let count = Arc::new(AtomicU64::new(0));
        let response = STATEMENTS.scope(count.clone(), self.inner.execute(request)).await;
        tell(response, &count)
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let mut answers = self.inner.execute_stream(request, session_data);
        if !self.told {
            return answers;
        }
        let count = Arc::new(AtomicU64::new(0));
        let counting = count.clone();
        stream::poll_fn(move |cx| STATEMENTS.sync_scope(counting.clone(), || Pin::new(&mut answers).poll_next(cx)))
            .map(move |response| tell(response, &count))
            .boxed()
    }
}
