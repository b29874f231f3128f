//! Following one cart or order: what it is after each write to it, whichever server made it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::{CartId, OrderId};
use futures_util::stream::{self, Stream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Interval, MissedTickBehavior, interval};
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::cart::CartView;
use super::offer::Detail;
use super::order_view::{OrderParts, OrderView};
use crate::error::Result;
use crate::store;

/// How often it is looked up whether another server has written.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What can be followed: it has a version that grows with every write.
trait Subject: Send + 'static {
    /// What is shown of it.
    type View: Send;

    /// Its id.
    fn id(&self) -> Uuid;

    /// Its version, if it is there.
    fn version(&self, app: &App) -> impl Future<Output = Result<Option<i64>>> + Send;

    /// Its version, if this caller may see it.
    fn visible(&self, app: &App, caller: &Caller) -> impl Future<Output = Result<Option<i64>>> + Send;

    /// What it is now with the version of that, if this caller may see it.
    fn view(&self, app: &App, caller: &Caller) -> impl Future<Output = Result<Option<(i64, Self::View)>>> + Send;
}

struct CartSubject {
    id: CartId,
    detail: Detail,
}

impl Subject for CartSubject {
    type View = CartView;

    fn id(&self) -> Uuid {
        self.id.uuid()
    }

    async fn version(&self, app: &App) -> Result<Option<i64>> {
        Ok(store::cart::version(app.db.read(), self.id).await?)
    }

    async fn visible(&self, app: &App, caller: &Caller) -> Result<Option<i64>> {
        let cart = store::cart::by_id(app.db.read(), self.id).await?;
        Ok(cart.filter(|cart| app.may_read(caller, cart)).map(|cart| cart.version))
    }

    async fn view(&self, app: &App, caller: &Caller) -> Result<Option<(i64, CartView)>> {
        Ok(app.cart(caller, self.id, self.detail).await?.map(|view| (view.cart.version, view)))
    }
}

struct OrderSubject {
    id: OrderId,
    parts: OrderParts,
}

impl Subject for OrderSubject {
    type View = OrderView;

    fn id(&self) -> Uuid {
        self.id.uuid()
    }

    async fn version(&self, app: &App) -> Result<Option<i64>> {
        Ok(store::order::version(app.db.read(), self.id).await?)
    }

    async fn visible(&self, app: &App, caller: &Caller) -> Result<Option<i64>> {
        Ok(app.order_for(caller, self.id).await?.map(|order| order.version))
    }

    async fn view(&self, app: &App, caller: &Caller) -> Result<Option<(i64, OrderView)>> {
        let Some(order) = app.order_for(caller, self.id).await? else { return Ok(None) };
        Ok(app.order_views(caller, vec![order], self.parts).await?.pop().map(|view| (view.order.version, view)))
    }
}

/// What a live subscription stands on.
struct Watch<S> {
    app: Arc<App>,
    caller: Arc<Caller>,
    subject: S,
    changes: broadcast::Receiver<Uuid>,
    tick: Interval,
    /// The version that was told last; `None`: it is not the caller's to see.
    seen: Option<i64>,
    over: bool,
}

impl App {
    /// The cart after each write, whichever server made it, for as long as the caller may see it; then `None` once, and the end.
    ///
    /// # Errors
    /// The database's.
    pub async fn cart_updates(
        self: Arc<Self>,
        caller: Arc<Caller>,
        id: CartId,
        detail: Detail,
    ) -> Result<impl Stream<Item = Result<Option<CartView>>> + use<>> {
        self.updates(caller, CartSubject { id, detail }).await
    }

    /// The order after each change of it, of its payments and of its refunds, likewise.
    ///
    /// # Errors
    /// The database's.
    pub async fn order_updates(
        self: Arc<Self>,
        caller: Arc<Caller>,
        id: OrderId,
        parts: OrderParts,
    ) -> Result<impl Stream<Item = Result<Option<OrderView>>> + use<>> {
        self.updates(caller, OrderSubject { id, parts }).await
    }

    async fn updates<S: Subject>(
        self: Arc<Self>,
        caller: Arc<Caller>,
        subject: S,
    ) -> Result<impl Stream<Item = Result<Option<S::View>>> + use<S>> {
        // Listening begins before the first look, so that no write falls in between.
        let changes = self.changes.subscribe();
        let seen = subject.visible(&self, &caller).await?;
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = Watch { app: self, caller, subject, changes, tick, seen, over: false };
        Ok(stream::unfold(watch, |mut watch| async move {
            if watch.over {
                return None;
            }
            let next = watch.next().await;
            watch.over = !matches!(next, Ok(Some(_)));
            Some((next, watch))
        }))
    }
}

impl<S: Subject> Watch<S> {
    /// Waits for the next write.
    async fn next(&mut self) -> Result<Option<S::View>> {
        let Some(seen) = self.seen else { return Ok(None) };
        while self.subject.version(&self.app).await? == Some(seen) {
            self.woken().await;
        }
        // A subscription outlives sign-ins and rights.
        self.caller = Arc::new(self.app.caller_again(&self.caller).await?);
        let found = self.subject.view(&self.app, &self.caller).await?;
        self.seen = found.as_ref().map(|(version, _)| *version);
        Ok(found.map(|(_, view)| view))
    }

    /// Waits until there is reason to look again.
    async fn woken(&mut self) {
        loop {
            tokio::select! {
                changed = self.changes.recv() => match changed {
                    Ok(id) if id == self.subject.id() => return,
                    Ok(_) => {}
                    // Some were missed; this one may have been among them.
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => {
                        self.tick.tick().await;
                        return;
                    }
                },
                _ = self.tick.tick() => return,
            }
        }
    }
}
