//! Coupons in carts: what each saves on which line, or why it does nothing.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use domain::coupon::{CouponOutcome, Given};
use domain::refusal::Reason;

use super::cart::{Cart, offer_detail, written_payload};
use super::error::{UserError, UserErrorCode, outcome, scope};
use super::scalar::{Long, Money, input_id, named_enum};
use crate::app::cart::CartWritten;
use crate::app::coupon_use::CartCoupon as Held;
use crate::error::Result;

named_enum! {
    /// Where a coupon or one of its codes stands.
    CouponStatus(domain::coupon::CouponStatus)
}

/// A coupon of a cart, as of now.
#[derive(Debug, Clone, SimpleObject)]
pub struct CartCoupon {
    /// The code.
    pub code: String,
    /// Where it stands.
    pub status: CouponStatus,
    /// What it takes off in all; null if it gives nothing, and for a pack, which is another price and no saving.
    pub savings: Option<Money>,
    /// What of that falls to which line.
    pub lines: Vec<CartCouponLine>,
    /// Why it does nothing; null if it gives something.
    pub reason: Option<CouponReason>,
}

/// What a coupon saves on a line.
#[derive(Debug, Clone, SimpleObject)]
pub struct CartCouponLine {
    /// The line.
    pub line_id: ID,
    /// What is taken off; null for a pack.
    pub savings: Option<Money>,
}

/// Why a coupon does nothing.
#[derive(Debug, Clone, SimpleObject)]
pub struct CouponReason {
    /// The stable code.
    pub code: UserErrorCode,
    /// What it is and what can be done.
    pub message: String,
}

impl CartCoupon {
    pub(super) fn new(held: Held, outcome: &CouponOutcome) -> Self {
        let (savings, lines, reason) = match &outcome.given {
            Given::Savings { total, lines } => {
                let lines = lines.iter().map(|saving| CartCouponLine { line_id: saving.line.into(), savings: Some(saving.amount.into()) });
                (Some((*total).into()), lines.collect(), None)
            }
            Given::Pack { lines } => {
                (None, lines.iter().map(|line| CartCouponLine { line_id: (*line).into(), savings: None }).collect(), None)
            }
            Given::Nothing(reason) => (None, Vec::new(), Some(CouponReason { code: reason.code().into(), message: reason.to_string() })),
        };
        Self { code: held.code.code, status: outcome.status.into(), savings, lines, reason }
    }
}

/// A code to be added.
#[derive(Debug, Clone, InputObject)]
pub struct CartCouponAddInput {
    /// Id of the cart.
    pub cart_id: ID,
    /// The code, in any spelling.
    pub code: String,
    /// The version that you saw; with another one nothing is written.
    pub expected_version: Option<Long>,
}

/// A code to be taken out.
#[derive(Debug, Clone, InputObject)]
pub struct CartCouponRemoveInput {
    /// Id of the cart.
    pub cart_id: ID,
    /// The code, in any spelling.
    pub code: String,
    /// The version that you saw; with another one nothing is written.
    pub expected_version: Option<Long>,
}

written_payload! {
    /// The cart with the code.
    CartCouponAddPayload
}
written_payload! {
    /// The cart without the code.
    CartCouponRemovePayload
}

/// Mutations of the coupons of carts.
#[derive(Debug, Default)]
pub struct CartCouponMutation;

#[Object]
impl CartCouponMutation {
    /// Adds a coupon by its code, after those that the cart has. Every change of the cart replays all of them in their order; one that gives
    /// nothing stays, says why, and is not used up. Wrong guesses are slowed down.
    async fn cart_coupon_add(&self, ctx: &Context<'_>, input: CartCouponAddInput) -> async_graphql::Result<CartCouponAddPayload> {
        let (app, caller) = scope(ctx)?;
        let written = async {
            let cart = input_id(&input.cart_id, "cartId", "cart")?;
            let version = input.expected_version.map(|version| version.0);
            app.cart_coupon_add(caller, cart, &input.code, version, offer_detail(ctx)).await
        };
        CartCouponAddPayload::of(written.await)
    }

    /// Takes a coupon out of a cart.
    async fn cart_coupon_remove(&self, ctx: &Context<'_>, input: CartCouponRemoveInput) -> async_graphql::Result<CartCouponRemovePayload> {
        let (app, caller) = scope(ctx)?;
        let written = async {
            let cart = input_id(&input.cart_id, "cartId", "cart")?;
            let version = input.expected_version.map(|version| version.0);
            app.cart_coupon_remove(caller, cart, &input.code, version, offer_detail(ctx)).await
        };
        CartCouponRemovePayload::of(written.await)
    }
}
