//! Nested lists without a statement for each row: what the objects of one level ask for is collected and loaded at once.
//!
//! Always true here: a batch is loaded only once every resolver that can go on has gone on, so the number of statements follows from the shape
//! of the query, not from luck or from the length of a list. That is why the loaders run within the request's own task ([`Batching`]) and not
//! in tasks of their own, where one could start before the others have asked. Nothing is cached: a mutation's answer shows what it wrote.

use std::any::TypeId;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, Data, Executor, Request, Response, ServerError};
use domain::{
    AccountId, CouponId, CourseId, DiscountScheduleId, EnrollmentId, GroupId, LibraryId, LicensorId, ProductId, ProviderId, ResourceId,
    RoyaltyPlanId, SessionId,
};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesUnordered, StreamExt};
use futures_util::task::AtomicWaker;
use uuid::Uuid;

use super::BursarSchema;
use super::error::{refusal, top_level};
use crate::app::App;
use crate::app::caller::Caller;
use crate::app::{catalog, coupon, coupon_batch, credit_pack, group, learning, price, product, resource, royalty};
use crate::internal;
use crate::page::Page;

/// Most keys of one batch: as many as one statement names.
const BATCH: usize = 1_000;

/// What loads the batches.
pub struct Batch(Arc<App>);

/// The loaders of one request.
pub struct Loaders(DataLoader<Batch>);

/// The loaders of this request.
///
/// # Errors
/// They were not put into the request, which is a fault of ours.
pub fn loaders<'a>(ctx: &Context<'a>) -> async_graphql::Result<&'a Loaders> {
    ctx.data::<Loaders>()
}

impl Loaders {
    fn new(app: Arc<App>, queue: Queue) -> Self {
        Self(DataLoader::new(Batch(app), move |batch| queue.push(batch)).delay(Duration::ZERO).max_batch_size(BATCH))
    }

    /// The value of `key`, if there is one.
    ///
    /// # Errors
    /// What loading met, as a top-level error.
    pub async fn one<K>(&self, key: K) -> async_graphql::Result<Option<<Batch as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Batch: Loader<K, Error = async_graphql::Error>,
    {
        self.0.load_one(key).await
    }

    /// The list that belongs to `key`, empty if nothing does.
    ///
    /// # Errors
    /// What loading met, as a top-level error.
    pub async fn list<K, V>(&self, key: K) -> async_graphql::Result<Vec<V>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Batch: Loader<K, Error = async_graphql::Error, Value = Vec<V>>,
    {
        Ok(self.0.load_one(key).await?.unwrap_or_default())
    }
}

impl Loaders {
    /// The page that belongs to `key`; every key has one.
    ///
    /// # Errors
    /// What loading met, as a top-level error.
    pub async fn page<K, V>(&self, key: K) -> async_graphql::Result<Page<V>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Batch: Loader<K, Error = async_graphql::Error, Value = Page<V>>,
    {
        self.0.load_one(key).await?.ok_or_else(|| top_level(internal!("a page was not loaded")))
    }
}

/// The product that sells a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProductOf(pub Uuid);

/// The courses of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CoursesOf(pub LibraryId);

/// The libraries that hold a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LibrariesOf(pub CourseId);

/// The sessions of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionsOf(pub CourseId);

/// The resources of a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResourcesOf(pub CourseId);

/// The resources of a course as they stand for a learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StandingOf(pub (AccountId, CourseId));

/// The content of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentOf(pub GroupId);

/// The prices of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PricesOf(pub ProductId);

/// The SKUs of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SkusOf(pub ProductId);

/// What operators wrote for the order form of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FormTextsOf(pub ProductId);

/// A credit pack by its row id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackOf(pub Uuid);

/// The codes and prefixes of a coupon that somebody chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChosenOf(pub CouponId);

/// The batches of a coupon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchesOf(pub CouponId);

/// The attributes of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttributesOf(pub AccountId);

/// The first page of what belongs to a coupon: how many rows, and whether all are to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FirstUses(pub CouponId, pub u32, pub bool);

/// The same of its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FirstVersions(pub CouponId, pub u32, pub bool);

/// The results of an enrollment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResultsOf(pub EnrollmentId);

/// What a sold line owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoyaltyOf(pub Uuid);

/// The sold line of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoyaltySold(pub Uuid);

/// Loads the values of `Key` by a method of the app that takes ids and gives a map by id.
macro_rules! loads {
    ($($key:ty => $value:ty, $method:ident;)*) => {
        $(impl Loader<$key> for Batch {
            type Value = $value;
            type Error = async_graphql::Error;

            async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, $value>, Self::Error> {
                self.0.$method(keys).await.map_err(top_level)
            }
        })*
    };
}

/// The same for keys that say which list of a thing they mean.
macro_rules! loads_of {
    ($($key:ident => $value:ty, $method:ident;)*) => {
        $(impl Loader<$key> for Batch {
            type Value = $value;
            type Error = async_graphql::Error;

            async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, $value>, Self::Error> {
                let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
                let found = self.0.$method(&ids).await.map_err(top_level)?;
                Ok(found.into_iter().map(|(id, value)| ($key(id), value)).collect())
            }
        })*
    };
}

/// The same for first pages: keys that ask for pages of one size are loaded at once.
macro_rules! loads_pages_of {
    ($($key:ident => $value:ty, $method:ident;)*) => {
        $(impl Loader<$key> for Batch {
            type Value = Page<$value>;
            type Error = async_graphql::Error;

            async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, Page<$value>>, Self::Error> {
                let mut asked: HashMap<(u32, bool), Vec<CouponId>> = HashMap::new();
                for key in keys {
                    asked.entry((key.1, key.2)).or_default().push(key.0);
                }
                let mut found = HashMap::new();
                for ((first, total), ids) in asked {
                    let pages = self.0.$method(&ids, first, total).await.map_err(top_level)?;
                    found.extend(pages.into_iter().map(|(id, page)| ($key(id, first, total), page)));
                }
                Ok(found)
            }
        })*
    };
}

loads_pages_of! {
    FirstUses => coupon::UseRow, coupons_first_uses;
    FirstVersions => coupon::CouponVersion, coupons_first_versions;
}

loads! {
    ProviderId => catalog::Provider, providers_by_id;
    CourseId => catalog::Course, courses_by_id;
    SessionId => catalog::Session, sessions_by_id;
    LibraryId => catalog::Library, libraries_by_id;
    GroupId => group::Group, groups_by_id;
    ResourceId => resource::Resource, resources_by_id;
    ProductId => product::Product, products_by_id;
    DiscountScheduleId => price::NamedSchedule, schedules_by_id;
    LicensorId => royalty::Licensor, licensors_by_id;
    RoyaltyPlanId => royalty::NamedPlan, royalty_plans_by_id;
}

loads_of! {
    ProductOf => product::Product, products_of;
    CoursesOf => Vec<catalog::Course>, courses_of;
    LibrariesOf => Vec<catalog::Library>, libraries_of;
    SessionsOf => Vec<catalog::Session>, sessions_of;
    ContentOf => Vec<group::Content>, content_of;
    ResourcesOf => Vec<resource::Resource>, resources_of;
    StandingOf => Vec<resource::ResourceView>, resources_for;
    PricesOf => Vec<price::Price>, prices_of;
    SkusOf => Vec<product::ReservedSku>, skus_of;
    FormTextsOf => Vec<product::FormText>, form_texts_of;
    PackOf => credit_pack::CreditPack, credit_packs_by_id;
    ChosenOf => Vec<coupon::ChosenText>, coupon_texts_of;
    BatchesOf => Vec<coupon_batch::CouponBatch>, coupon_batches_of;
    AttributesOf => Vec<(String, String)>, attributes_of;
    ResultsOf => Vec<learning::ResultRow>, results_of;
    RoyaltyOf => royalty::Royalty, royalties_of;
    RoyaltySold => royalty::Sold, royalties_sold;
}

/// The schema as it is to be run: each operation gets the app and loaders of its own, which run within its task.
#[derive(Clone)]
pub struct Batching {
    schema: BursarSchema,
    app: Arc<App>,
}

impl Batching {
    /// `schema` over `app`.
    pub const fn new(schema: BursarSchema, app: Arc<App>) -> Self {
        Self { schema, app }
    }

    fn equip(&self, request: Request) -> (Request, Queue) {
        let queue = Queue::default();
        (request.data(self.app.clone()).data(Loaders::new(self.app.clone(), queue.clone())), queue)
    }
}

impl Executor for Batching {
    async fn execute(&self, request: Request) -> Response {
        let (request, queue) = self.equip(request);
        let mut main = Box::pin(self.schema.execute(request));
        let mut running = FuturesUnordered::new();
        let woken = Arc::default();
        poll_fn(move |cx| queue.drive(&mut running, &woken, cx, |cx| main.as_mut().poll(cx))).await
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let this = self.clone();
        let begin = async move {
            match this.renewed(request, session_data.as_deref()).await {
                Ok(request) => this.begun(request, session_data),
                Err(refusal) => stream::once(async { Response::from_errors(vec![refusal]) }).boxed(),
            }
        };
        stream::once(begin).flatten().boxed()
    }
}

impl Batching {
    /// The request with its caller's rights of now: a connection outlives sign-ins and rights.
    async fn renewed(&self, request: Request, session: Option<&Data>) -> Result<Request, ServerError> {
        let known = session.and_then(|data| data.get(&TypeId::of::<Arc<Caller>>()));
        let Some(caller) = known.and_then(|any| any.downcast_ref::<Arc<Caller>>()) else { return Ok(request) };
        match self.app.caller_again(caller).await {
            Ok(caller) => Ok(request.data(Arc::new(caller))),
            Err(error) => Err(refusal(error)),
        }
    }

    fn begun(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let (request, queue) = self.equip(request);
        let mut main = Executor::execute_stream(&self.schema, request, session_data);
        let mut running = FuturesUnordered::new();
        let woken = Arc::default();
        stream::poll_fn(move |cx| queue.drive(&mut running, &woken, cx, |cx| main.poll_next_unpin(cx))).boxed()
    }
}

/// Passes wakings on and remembers that there was one.
#[derive(Default)]
struct Woken {
    yes: AtomicBool,
    outer: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.yes.store(true, Ordering::SeqCst);
        self.outer.wake();
    }
}

/// Batches that were asked for and wait to be run.
#[derive(Clone, Default)]
struct Queue(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl Queue {
    fn push(&self, batch: BoxFuture<'static, ()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    }

    /// Lets `main` go on as far as it can, then the batches that it waits for, and so on until it is ready or everything waits.
    ///
    /// A `main` that waits and was woken meanwhile can go on: a long list is polled in pieces, of which each but the last asks to be polled
    /// again. It is, by whoever polls us and was woken with it, before any batch begins.
    fn drive<T>(
        &self,
        running: &mut FuturesUnordered<BoxFuture<'static, ()>>,
        woken: &Arc<Woken>,
        cx: &mut std::task::Context<'_>,
        mut main: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        woken.outer.register(cx.waker());
        let waker = Waker::from(woken.clone());
        loop {
            woken.yes.store(false, Ordering::SeqCst);
            if let Poll::Ready(ready) = main(&mut std::task::Context::from_waker(&waker)) {
                return Poll::Ready(ready);
            }
            if woken.yes.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
            running.extend(std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)));
            match running.poll_next_unpin(cx) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
