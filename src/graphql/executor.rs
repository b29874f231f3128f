//! The one door to the schema, for HTTP and WebSocket alike.
//!
//! Always true here: nothing is executed that [`limits::check`] has not seen, and no error leaves without
//! `extensions.code`. An error that nobody meant for the caller, whatever its text, leaves as `INTERNAL`.

use std::{
    any::{Any, TypeId},
    fmt,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Instant,
};

use async_graphql::{
    Data, Executor, PathSegment, Request, Response, ServerError, Value,
    futures_util::{
        FutureExt, StreamExt,
        stream::{self, BoxStream},
    },
    parser::{Error as ParseError, types::OperationType},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::{
    limits::{self, BAD_INPUT, BAD_REQUEST, Checked, INTERNAL, LIMIT_EXCEEDED, Limits, Refusal},
    model::SchemaModel,
    nulls,
    shape::Shape,
};

/// Names one request in the answer, in its log lines and in its errors. Put into the request's data by the HTTP layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Takes the id as it is.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(data: &Data) -> Option<Self> {
        data.get(&TypeId::of::<Self>()).and_then(|any| any.downcast_ref()).cloned()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which kinds of operation a transport carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// GET: what may be repeated and cached.
    Queries,
    /// POST: what has one answer.
    QueriesAndMutations,
}

/// How far an operation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It ran; errors, if any, are those of fields.
    Ran,
    /// It was refused before anything ran: there is no `data`.
    Refused,
    /// It is of a kind that this transport does not carry: there is no `data`.
    NotCarried,
    /// It took too long. A query was given up, a mutation goes on to its end, unheard.
    TimedOut,
    /// It panicked.
    Failed,
}

/// The answer to an operation, and what became of it.
#[derive(Debug)]
pub struct Outcome {
    /// The answer; every error in it has a code.
    pub response: Response,
    /// How far it came.
    pub stage: Stage,
    /// What it was, when the document could be read.
    pub operation: Option<Operation>,
}

/// What is known of an operation without running it, for the log.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Query, mutation or subscription.
    pub kind: OperationType,
    /// The name the client gave it.
    pub name: Option<String>,
    /// What it costs.
    pub cost: usize,
}

impl Operation {
    fn of(checked: &Checked) -> Self {
        Self { kind: checked.kind, name: checked.name.as_ref().map(ToString::to_string), cost: checked.cost }
    }
}

/// What is kept of a request to finish its answer.
struct Asked {
    query: String,
    operation_name: Option<String>,
    shape: Shape,
    cost: usize,
}

impl Asked {
    fn new(request: &Request, checked: &Checked) -> Self {
        let operation = limits::select(&checked.document.operations, request.operation_name.as_deref());
        let shape = operation.map(|(_, operation)| Shape::of(&checked.document, &operation.node, &request.variables)).unwrap_or_default();
        Self { query: request.query.clone(), operation_name: request.operation_name.clone(), shape, cost: checked.cost }
    }
}

/// An executor behind the limits.
#[derive(Clone)]
pub struct Guarded<E> {
    inner: E,
    rules: Arc<(SchemaModel, Limits)>,
    tasks: TaskTracker,
    /// On a WebSocket: how many more operations may run at the same time.
    slots: Option<Arc<Semaphore>>,
}

impl<E: Executor> Guarded<E> {
    /// Guards `inner`, whose schema reads `sdl`.
    ///
    /// # Errors
    /// When `sdl` is not a schema.
    pub fn new(inner: E, sdl: &str, limits: Limits) -> Result<Self, ParseError> {
        Ok(Self { inner, rules: Arc::new((SchemaModel::from_sdl(sdl)?, limits)), tasks: TaskTracker::new(), slots: None })
    }

    /// The mutations that run. An orderly stop closes the tracker and waits for it: a mutation whose client hung up, or
    /// was told that it took too long, still comes to its end.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// The same, with a bound of its own on operations that run at the same time.
    #[must_use]
    pub fn for_socket(&self) -> Self {
        let slots = Arc::new(Semaphore::new(self.rules.1.operations_per_socket));
        Self { slots: Some(slots), ..self.clone() }
    }

    /// Checks and runs an operation that has one answer.
    pub async fn run(&self, mut request: Request, carries: Carries) -> Outcome {
        let started = Instant::now();
        let request_id = RequestId::of(&request.data);
        let checked = match self.check(&request) {
            Ok(checked) => checked,
            Err(refusal) => return refused(Stage::Refused, refusal, None),
        };
        let operation = Operation::of(&checked);
        let mistake = match (checked.kind, carries) {
            (OperationType::Query, _) | (OperationType::Mutation, Carries::QueriesAndMutations) => None,
            (OperationType::Mutation, Carries::Queries) => Some("Mutations must be sent by POST."),
            (OperationType::Subscription, _) => Some("Subscriptions are served over WebSocket, by the protocol graphql-transport-ws."),
        };
        if let Some(message) = mistake {
            // A subscription by POST is a request that cannot be executed; by GET, the method is at fault as well.
            let stage = if carries == Carries::Queries { Stage::NotCarried } else { Stage::Refused };
            return refused(stage, Refusal { code: BAD_REQUEST, message: message.into(), locations: Vec::new() }, Some(operation));
        }
        let asked = Asked::new(&request, &checked);
        request.set_parsed_query(checked.document);

        let inner = self.inner.clone();
        let future = async move { inner.execute(request).await };
        let outcome = self.supervise(checked.kind, future).await;
        let (stage, mut response) = match outcome {
            Ok(Some(response)) => (Stage::Ran, response),
            Ok(None) => (Stage::TimedOut, too_slow()),
            Err(panic) => (Stage::Failed, panicked(&*panic)),
        };
        let before_execution = self.finish(&mut response, request_id.as_ref(), &asked);
        let stage = if stage == Stage::Ran && before_execution { Stage::Refused } else { stage };
        record(Some(checked.kind), stage, &response.errors, Some(started));
        Outcome { response, stage, operation: Some(operation) }
    }

    fn check(&self, request: &Request) -> Result<Checked, Refusal> {
        let (model, limits) = &*self.rules;
        limits::check(&request.query, request.operation_name.as_deref(), &request.variables, model, limits)
    }

    /// Runs `future` within the time of an operation: `None` when it ran out, an error when it panicked.
    async fn supervise<T: Send + 'static>(
        &self,
        kind: OperationType,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<Option<T>, Box<dyn Any + Send>> {
        let time = self.rules.1.time;
        if kind == OperationType::Mutation {
            // In a task of its own: neither the time limit nor a client that hangs up cuts a mutation in half.
            let task = self.tasks.spawn(future.in_current_span());
            match timeout(time, task).await {
                Ok(Ok(value)) => Ok(Some(value)),
                Ok(Err(error)) => Err(error.try_into_panic().unwrap_or_else(|_| Box::new("the task was cancelled"))),
                Err(_) => Ok(None),
            }
        } else {
            timeout(time, AssertUnwindSafe(future).catch_unwind()).await.ok().transpose()
        }
    }

    /// Puts nulls and the order of fields right, gives every error its code and tells the cost. True when the answer is one to a request that
    /// never ran.
    fn finish(&self, response: &mut Response, request_id: Option<&RequestId>, asked: &Asked) -> bool {
        let nothing = response.data == Value::Null && response.errors.iter().all(|error| error.path.is_empty());
        let before_execution = nothing && !response.errors.is_empty();
        let (model, limits) = &*self.rules;
        nulls::settle(response, &asked.query, asked.operation_name.as_deref(), model, limits);
        asked.shape.arrange(&mut response.data);
        if before_execution {
            response.errors.truncate(REQUEST_ERRORS);
        }
        for error in &mut response.errors {
            seal(error, before_execution, request_id);
        }
        response.extensions.insert("cost".into(), Value::from(asked.cost));
        before_execution
    }

    fn slot(&self) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let slot = self.slots.clone().map(Semaphore::try_acquire_owned).transpose();
        slot.map_err(|_| {
            let message = format!("At most {} operations may run at the same time on one connection.", self.rules.1.operations_per_socket);
            Refusal { code: LIMIT_EXCEEDED, message, locations: Vec::new() }
        })
    }

    async fn stream(self, mut request: Request, session: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let started = Instant::now();
        let request_id = session.as_deref().and_then(RequestId::of);
        let (slot, checked) = match self.slot().and_then(|slot| Ok((slot, self.check(&request)?))) {
            Ok(both) => both,
            Err(refusal) => {
                let answer = refused(Stage::Refused, refusal, None).response;
                return stream::once(async { answer }).boxed();
            }
        };
        let (kind, asked) = (checked.kind, Asked::new(&request, &checked));
        request.set_parsed_query(checked.document);
        let mut answers = self.inner.execute_stream(request, session);
        if kind == OperationType::Subscription {
            let events = AssertUnwindSafe(answers).catch_unwind();
            return events
                .map(move |event| {
                    // Held as long as the stream is.
                    let _slot = &slot;
                    let mut response = event.unwrap_or_else(|panic| panicked(&*panic));
                    self.finish(&mut response, request_id.as_ref(), &asked);
                    record(Some(kind), Stage::Ran, &response.errors, None);
                    response
                })
                .boxed();
        }
        stream::once(async move {
            let outcome = self.supervise(kind, async move { answers.next().await.unwrap_or_default() }).await;
            let (stage, mut response) = match outcome {
                Ok(Some(response)) => (Stage::Ran, response),
                Ok(None) => (Stage::TimedOut, too_slow()),
                Err(panic) => (Stage::Failed, panicked(&*panic)),
            };
            self.finish(&mut response, request_id.as_ref(), &asked);
            record(Some(kind), stage, &response.errors, Some(started));
            drop(slot);
            response
        })
        .boxed()
    }
}

impl<E: Executor> Executor for Guarded<E> {
    async fn execute(&self, request: Request) -> Response {
        self.run(request, Carries::QueriesAndMutations).await.response
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        self.clone().stream(request, session_data).flatten_stream().boxed()
    }
}

fn refused(stage: Stage, refusal: Refusal, operation: Option<Operation>) -> Outcome {
    let response = Response::from_errors(vec![refusal.into()]);
    record(operation.as_ref().map(|operation| operation.kind), stage, &response.errors, None);
    Outcome { response, stage, operation }
}

fn too_slow() -> Response {
    let message = "The operation took too long. A mutation may still take effect: ask for its result, or send it again with the same idempotency key.";
    let refusal = Refusal { code: LIMIT_EXCEEDED, message: message.into(), locations: Vec::new() };
    Response::from_errors(vec![refusal.into()])
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    tracing::error!(panic = panic_text(panic), "an operation panicked");
    Response::from_errors(vec![coded(ServerError::new(INTERNAL_MESSAGE, None), INTERNAL)])
}

/// What a panic said, if it was text.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("not a text")
}

/// What a caller is told of a failure of the server.
pub const INTERNAL_MESSAGE: &str = "Something went wrong on our side. Please quote the request id when you report it.";

/// The validator can find something wrong with every field; the first mistakes are enough.
const REQUEST_ERRORS: usize = 20;

/// Validation messages name fields, types and values of the request, which may be long.
const MESSAGE_CHARS: usize = 300;

/// Makes an error fit to be sent: one without a code gets one, or is masked; one of the server's own says which request.
pub(crate) fn seal(error: &mut ServerError, before_execution: bool, request_id: Option<&RequestId>) {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code")).cloned();
    let internal = match code {
        Some(code) => code == Value::from(INTERNAL),
        None => translate(error, before_execution),
    };
    if let (true, Some(id)) = (internal, request_id) {
        error.extensions.get_or_insert_default().set("requestId", id.as_str());
    }
}

/// Gives a code to an error of the GraphQL library itself. True when it is not one of those, and was masked.
fn translate(error: &mut ServerError, before_execution: bool) -> bool {
    // Errors of our own resolvers that come from another error's text have it as their source; the library's have none.
    let about_input = error.source.is_none() && INPUT_MESSAGES.iter().any(|start| error.message.starts_with(start));
    let code = match (about_input, before_execution) {
        (true, _) => BAD_INPUT,
        (false, true) => BAD_REQUEST,
        (false, false) => INTERNAL,
    };
    if code == INTERNAL {
        let path: String = error
            .path
            .iter()
            .map(|segment| match segment {
                PathSegment::Field(name) => format!(".{name}"),
                PathSegment::Index(index) => format!(".{index}"),
            })
            .collect();
        tracing::error!(error = %error.message, path, "a resolver failed with an error that has no code");
        error.message = INTERNAL_MESSAGE.into();
    } else if error.message.chars().nth(MESSAGE_CHARS).is_some() {
        error.message = error.message.chars().take(MESSAGE_CHARS).chain(['…']).collect();
    }
    let mended = coded(std::mem::replace(error, ServerError::new("", None)), code);
    *error = mended;
    code == INTERNAL
}

/// How the GraphQL library begins what it says of values that do not fit.
const INPUT_MESSAGES: [&str; 7] = [
    "Invalid value for argument",
    "Invalid default value for argument",
    "Failed to parse \"",
    "Expected input type \"",
    "The \"first\" ",
    "The \"last\" ",
    "The \"first\" and \"last\" ",
];

fn coded(mut error: ServerError, code: &str) -> ServerError {
    error.extensions.get_or_insert_default().set("code", code);
    error
}

fn record(kind: Option<OperationType>, stage: Stage, errors: &[ServerError], started: Option<Instant>) {
    let kind = match kind {
        Some(OperationType::Query) => "query",
        Some(OperationType::Mutation) => "mutation",
        Some(OperationType::Subscription) => "subscription",
        None => "unknown",
    };
    let outcome = match stage {
        Stage::Ran if errors.is_empty() => "ok",
        Stage::Ran => "error",
        Stage::Refused | Stage::NotCarried => "refused",
        Stage::TimedOut => "timeout",
        Stage::Failed => "panic",
    };
    metrics::counter!("graphql_operations_total", "kind" => kind, "outcome" => outcome).increment(1);
    if let Some(started) = started {
        metrics::histogram!("graphql_operation_duration_seconds", "kind" => kind).record(started.elapsed());
    }
    for error in errors {
        if let Some(Value::String(code)) = error.extensions.as_ref().and_then(|extensions| extensions.get("code")) {
            metrics::counter!("graphql_errors_total", "code" => code.clone()).increment(1);
        }
    }
}
