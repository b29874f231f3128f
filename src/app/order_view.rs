//! An order with all that is shown of it: buyer, payments, refunds, receipt, decline page, steps of fulfilment. Any number of orders costs a
//! fixed number of statements, and only for the parts that were asked for.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::cart::For;
use domain::catalog::Fulfilment;
use domain::order::{OrderStatus, retry};
use domain::payment::PaymentStatus;
use domain::{CourseId, Money, OrderId, OrderLineId};
use sea_orm::ConnectionTrait;

use super::App;
use super::caller::{Caller, Topic, Who};
use super::coupon_use::CouponUse;
use super::grant::Given;
use super::payment::{Dispute, Order, Payment, Refund, money_facts};
use crate::error::Result;
use crate::store;

pub use crate::store::person::Person;

/// Which parts are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderParts {
    /// The buyer.
    pub buyer: bool,
    /// The payments.
    pub payments: bool,
    /// The uses of coupons.
    pub coupons: bool,
    /// The refunds.
    pub refunds: bool,
    /// The disputes.
    pub disputes: bool,
    /// The receipt.
    pub receipt: bool,
    /// The steps of fulfilment.
    pub steps: bool,
}

impl OrderParts {
    /// What either wants.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            buyer: self.buyer || other.buyer,
            payments: self.payments || other.payments,
            coupons: self.coupons || other.coupons,
            refunds: self.refunds || other.refunds,
            disputes: self.disputes || other.disputes,
            receipt: self.receipt || other.receipt,
            steps: self.steps || other.steps,
        }
    }
}

/// An order with the parts that were wanted; the others are empty.
#[derive(Debug, Clone)]
pub struct OrderView {
    /// The order.
    pub order: Order,
    /// Who bought.
    pub buyer: Option<Person>,
    /// The attempts to pay it.
    pub payments: Vec<Payment>,
    /// The uses of coupons.
    pub coupons: Vec<CouponUse>,
    /// The refunds.
    pub refunds: Vec<Refund>,
    /// The disputes.
    pub disputes: Vec<Dispute>,
    /// The receipt, once it is paid.
    pub receipt: Option<Receipt>,
    /// Steps of fulfilment.
    pub steps: Vec<Step>,
}

/// What the buyer is shown after paying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Heading.
    pub heading: String,
    /// How to get to what was bought.
    pub text: String,
    /// A one-time link for the new account of a guest.
    pub sign_in_url: Option<String>,
    /// For each line what to do next.
    pub lines: Vec<ReceiptLine>,
}

/// What to do with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptLine {
    /// Line.
    pub line: OrderLineId,
    /// Title.
    pub title: String,
    /// What to do next.
    pub text: String,
    /// Courses that are open now.
    pub courses: Vec<(CourseId, String)>,
    /// Codes of seats, for those who may hand them out.
    pub tokens: Vec<String>,
}

/// What the buyer is shown after a decline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclinePage {
    /// Heading.
    pub heading: String,
    /// What to do.
    pub text: String,
    /// The safe reason.
    pub reason: Option<String>,
    /// Whether another try is possible now.
    pub can_retry: bool,
}

/// One step of fulfilment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub name: &'static str,
    /// WAITING, DONE, RETRYING or PARKED.
    pub state: &'static str,
    /// Tries so far.
    pub tries: u32,
    /// When it is tried again.
    pub next_retry_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl OrderView {
    /// The order without any of its parts.
    fn alone(order: Order) -> Self {
        Self {
            order,
            buyer: None,
            payments: Vec::new(),
            coupons: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
            receipt: None,
            steps: Vec::new(),
        }
    }

    /// What can still be refunded, by the payments that are part of this view.
    pub fn refundable(&self) -> Money {
        let paid = self.payments.iter().find(|payment| Some(payment.id) == self.order.paid_payment);
        paid.and_then(|payment| money_facts(payment).refundable().ok()).unwrap_or_else(|| Money::zero(self.order.currency))
    }

    /// The decline page, after a declined attempt of an order that still waits for its payment.
    pub fn decline_page(&self) -> Option<DeclinePage> {
        let last = self.payments.last()?;
        let failed = matches!(last.state.status, PaymentStatus::Failed | PaymentStatus::Expired | PaymentStatus::Cancelled);
        if self.order.status != OrderStatus::PendingPayment || !failed {
            return None;
        }
        let states: Vec<_> = self.payments.iter().map(|payment| payment.state).collect();
        let text = match last.decline_reason.as_deref() {
            Some("insufficient_funds") => "There is not enough money on this card or account. Use another one, or another way to pay.",
            Some("expired_card") => "The card has expired. Use another one, or another way to pay.",
            Some("authentication_failed") => "The bank could not make sure that it is you. Try again, or use another way to pay.",
            Some("limit_exceeded") => "The amount is above the limit of this card. Use another one, or ask your bank.",
            Some("buyer_cancelled") => "You have cancelled the payment. Your order is kept for a while; you can pay it now.",
            _ => "The payment was not accepted. Nothing was charged. Try again, or use another way to pay.",
        };
        Some(DeclinePage {
            heading: "The payment did not go through".to_owned(),
            text: text.to_owned(),
            reason: last.decline_reason.clone(),
            can_retry: retry(self.order.status, &states).is_ok(),
        })
    }
}

impl App {
    /// These orders with the parts that are wanted.
    ///
    /// # Errors
    /// The database's.
    pub async fn order_views(&self, caller: &Caller, orders: Vec<Order>, parts: OrderParts) -> Result<Vec<OrderView>> {
        if orders.is_empty() || parts == OrderParts::default() {
            return Ok(orders.into_iter().map(OrderView::alone).collect());
        }
        let db = &self.db.reading().await?;
        let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
        let mut buyers = HashMap::new();
        if parts.buyer {
            let wanted: Vec<_> = orders.iter().map(|order| order.buyer).collect();
            buyers = store::person::by_ids(db, &wanted).await?.into_iter().map(|person| (person.id, person)).collect();
        }
        let mut payments = if parts.payments || parts.disputes { store::payment::of_orders(db, &ids).await? } else { HashMap::new() };
        let mut coupons = if parts.coupons { store::coupon::uses_of_orders(db, &ids).await? } else { HashMap::new() };
        let mut refunds = if parts.refunds { store::payment::refunds_of(db, &ids).await? } else { HashMap::new() };
        let disputes = if parts.disputes {
            let of: Vec<_> = payments.values().flatten().map(|payment| payment.id).collect();
            store::payment::disputes_of(db, &of).await?
        } else {
            Vec::new()
        };
        let mut receipts = if parts.receipt { self.receipts(db, caller, &orders).await? } else { HashMap::new() };
        let mut steps = if parts.steps { self.steps(db, caller, &orders).await? } else { HashMap::new() };
        Ok(orders
            .into_iter()
            .map(|order| {
                let payments = payments.remove(&order.id).unwrap_or_default();
                OrderView {
                    buyer: buyers.get(&order.buyer).cloned(),
                    disputes: disputes.iter().filter(|row| payments.iter().any(|payment| payment.id == row.payment)).cloned().collect(),
                    payments,
                    coupons: coupons.remove(&order.id).unwrap_or_default(),
                    refunds: refunds.remove(&order.id).unwrap_or_default(),
                    receipt: receipts.remove(&order.id),
                    steps: steps.remove(&order.id).unwrap_or_default(),
                    order,
                }
            })
            .collect())
    }

    /// The order as it stands now, for whoever just changed it.
    ///
    /// # Errors
    /// The database's.
    pub async fn order_after(&self, id: OrderId) -> Result<Order> {
        self.order_row(id).await
    }

    async fn steps(&self, db: &impl ConnectionTrait, caller: &Caller, orders: &[Order]) -> Result<HashMap<OrderId, Vec<Step>>> {
        let ids: Vec<_> = orders.iter().map(|order| order.id.uuid()).collect();
        let jobs = store::job::of_kind(db, "Fulfil", &ids).await?;
        let mut steps = HashMap::new();
        for order in orders {
            if !order.status.was_paid() {
                continue;
            }
            let job = jobs.iter().rev().find(|job| job.object == order.id.uuid().to_string());
            let open = job.filter(|_| order.fulfilled_at.is_none());
            let state = match open {
                _ if order.fulfilled_at.is_some() => "DONE",
                Some(job) if job.status == "PARKED" => "PARKED",
                Some(job) if job.last_error.is_some() => "RETRYING",
                _ => "WAITING",
            };
            steps.insert(
                order.id,
                vec![Step {
                    name: "GRANTS",
                    state,
                    tries: job.map_or(0, |job| job.tries),
                    next_retry_at: open.filter(|job| job.status == "QUEUED").map(|job| job.run_at),
                    // What went wrong is our business, not the buyer's.
                    last_error: open.and_then(|job| job.last_error.clone()).filter(|_| caller.may(Topic::Orders.read())),
                }],
            );
        }
        Ok(steps)
    }

    async fn receipts(&self, db: &impl ConnectionTrait, caller: &Caller, orders: &[Order]) -> Result<HashMap<OrderId, Receipt>> {
        let paid: Vec<&Order> = orders.iter().filter(|order| order.status.was_paid()).collect();
        if paid.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<OrderId> = paid.iter().map(|order| order.id).collect();
        let given = self.given_by_orders(db, &ids).await?;
        let links = self.receipt_links(db, &ids).await?;
        let mut receipts = HashMap::new();
        for order in paid {
            let own = order.account.is_some() && order.account == caller.account();
            // A guest got here by the cart's secret. The link acts as the account, and a code is as good as access: reading orders is not enough.
            let buyer = own || matches!(caller.who, Who::Guest);
            let hands_out = caller.may(Topic::Learning.write())
                || order.company.is_some_and(|company| caller.may_for(Topic::Learning.write(), company));
            let link = links.get(&order.id).filter(|_| buyer || caller.may(Topic::Settings.write()));
            let sign_in_url = link.map(|secret| format!("{}/account/link/{secret}", self.shop.public_url));
            let text = match (order.fulfilled_at, own, &sign_in_url) {
                _ if order.status == OrderStatus::Refunded => "What you paid goes back to you. What was refunded is closed.",
                (None, ..) => "Your payment is in. What you bought is being prepared and opens in a moment.",
                (Some(_), true, _) => "Your payment is in. What you bought is open now.",
                (Some(_), false, Some(_)) => "Your payment is in. We made an account for your e-mail; the link signs you in once.",
                (Some(_), false, None) => "Your payment is in. Sign in with your e-mail to find what you bought; we mail you a link.",
            };
            let lines = order
                .lines
                .iter()
                .map(|line| {
                    let what = given.get(&line.id);
                    let refunded =
                        order.status == OrderStatus::Refunded || (line.refunded == line.amounts.total && !line.refunded.is_zero());
                    let codes = what.map_or(line.quantity as usize, |what| what.codes.len());
                    let text = match &line.for_ {
                        _ if refunded && what.is_none_or(Given::is_over) => "This was refunded.".to_owned(),
                        For::SelfBuyer | For::Learner { .. } if line.fulfilment == Fulfilment::Keys => {
                            "Redeem this key to open it, or hand it on; it serves once.".to_owned()
                        }
                        For::SelfBuyer => "Open your courses.".to_owned(),
                        For::Seats => format!("Hand out {codes} codes; each opens it for one learner."),
                        For::Learner { name, .. } => format!("It is open for {}.", name.as_deref().unwrap_or("the learner you named")),
                    };
                    ReceiptLine {
                        line: line.id,
                        title: line.title.clone(),
                        text,
                        courses: what.map(|what| what.courses.clone()).unwrap_or_default(),
                        tokens: what
                            .filter(|what| hands_out || (buyer && !what.of_company))
                            .map(|what| what.codes.clone())
                            .unwrap_or_default(),
                    }
                })
                .collect();
            receipts.insert(
                order.id,
                Receipt { heading: format!("Thank you for order {}", order.number), text: text.to_owned(), sign_in_url, lines },
            );
        }
        Ok(receipts)
    }

    /// Orders that were paid a while ago and are not fulfilled, whatever their state is by now.
    ///
    /// # Errors
    /// Needs the scope `orders:read`.
    pub async fn paid_not_given(&self, caller: &Caller) -> Result<Vec<Order>> {
        caller.require(Topic::Orders.read())?;
        let grace = TimeDelta::seconds(i64::from(self.shop.paid_not_given_after_s));
        Ok(store::order::paid_not_given(self.db.read(), self.now() - grace, 100).await?)
    }
}
