//! Live subscriptions: what changed, as it changes, whichever server changed it.

use std::sync::Arc;

use async_graphql::{Context, ID, Subscription};
use futures_util::stream::{self, Stream, StreamExt};

use super::cart::Cart;
use super::error::answer;
use super::offer::detail;
use super::order::{self, Order};
use crate::app::App;
use crate::app::caller::Caller;

/// Every subscription.
#[derive(Debug, Default)]
pub struct LiveSubscription;

#[Subscription]
impl LiveSubscription {
    /// The cart after each write to it. Null, and then the end, if it is not or no longer yours.
    async fn cart_updated(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Option<Cart>>> + use<>> {
        let (app, caller) = (ctx.data::<Arc<App>>()?.clone(), ctx.data::<Arc<Caller>>()?.clone());
        let detail = detail(&[ctx.look_ahead().field("lines").field("offer")]);
        let updates = match domain::CartId::parse(&id) {
            Some(id) => answer(app.cart_updates(caller, id, detail).await)?.left_stream(),
            None => stream::once(async { Ok(None) }).right_stream(),
        };
        Ok(updates.map(|update| answer(update).map(|cart| cart.map(Cart::from))))
    }

    /// The order after each change of it, of its payments and of its refunds. Null, and then the end, if it is not or no longer yours.
    async fn order_updated(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Option<Order>>> + use<>> {
        let (app, caller) = (ctx.data::<Arc<App>>()?.clone(), ctx.data::<Arc<Caller>>()?.clone());
        let parts = order::parts(ctx.look_ahead());
        let updates = match domain::OrderId::parse(&id) {
            Some(id) => answer(app.order_updates(caller, id, parts).await)?.left_stream(),
            None => stream::once(async { Ok(None) }).right_stream(),
        };
        Ok(updates.map(|update| answer(update).map(|order| order.map(Order))))
    }
}
