//! An order with all that is shown of it: buyer, payments, refunds, receipt, decline page, steps of fulfilment. Any number of orders costs a
//! fixed number of statements, and only for the parts that were asked for.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use domain::cart::For;
use domain::catalog::Fulfilment;
use domain::mail::TemplateKind;
use domain::order::{OrderStatus, retry};
use domain::payment::PaymentStatus;
use domain::{CompanyId, CourseId, Money, OrderId, OrderLineId, SessionId};
use sea_orm::ConnectionTrait;

use super::App;
use super::caller::{Caller, Topic, Who};
use super::coupon_use::CouponUse;
use super::grant::Given;
use super::mail::{one_product, sessions_of};
use super::payment::{Dispute, Order, OrderLine, Payment, Refund, money_facts};
use super::shop::Theme;
use super::template::{DeclineFacts, Effective, Facts, LineFacts, OrderFacts, Place, Recipient, Rendered, ThemeFacts, render_page};
use super::wording::{Language, ReceiptState};
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
    /// The page after a decline.
    pub decline_page: bool,
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
            decline_page: self.decline_page || other.decline_page,
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
    /// The page after a decline, while the order waits for its payment.
    pub decline_page: Option<DeclinePage>,
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
    /// The page's block as HTML, from the shop's template.
    pub html: Option<String>,
    /// How it looks.
    pub theme: Theme,
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
    /// The credits that it gives, all units together.
    pub credits: u64,
    /// From when to when its session is.
    pub when: Option<String>,
    /// Where its session is.
    pub place: Option<String>,
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
    /// The page's block as HTML, from the shop's template.
    pub html: Option<String>,
    /// How it looks.
    pub theme: Theme,
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
            decline_page: None,
            steps: Vec::new(),
        }
    }

    /// What can still be refunded, by the payments that are part of this view.
    pub fn refundable(&self) -> Money {
        let paid = self.payments.iter().find(|payment| Some(payment.id) == self.order.paid_payment);
        paid.and_then(|payment| money_facts(payment).refundable().ok()).unwrap_or_else(|| Money::zero(self.order.currency))
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
        let mut payments = if parts.payments || parts.disputes || parts.decline_page {
            store::payment::of_orders(db, &ids).await?
        } else {
            HashMap::new()
        };
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
        let mut declined = if parts.decline_page { self.decline_pages(db, &orders, &payments).await? } else { HashMap::new() };
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
                    decline_page: declined.remove(&order.id),
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
        let pages = self.pages(db, TemplateKind::ReceiptPage, &paid).await?;
        let mut receipts = HashMap::new();
        for (order, page) in paid.into_iter().zip(&pages.templates) {
            let own = order.account.is_some() && order.account == caller.account();
            // A guest got here by the cart's secret. The link acts as the account, and a code is as good as access: reading orders is not enough.
            let buyer = own || matches!(caller.who, Who::Guest);
            let hands_out = caller.may(Topic::Learning.write())
                || order.company.is_some_and(|company| caller.may_for(Topic::Learning.write(), company));
            let link = links.get(&order.id).filter(|_| buyer || caller.may(Topic::Settings.write()));
            let sign_in_url = link.map(|secret| format!("{}/account/link/{secret}", self.shop.public_url));
            let words = Language::of(&order.locale);
            let state = match (order.fulfilled_at, own, &sign_in_url) {
                _ if order.status == OrderStatus::Refunded => ReceiptState::Refunded,
                (None, ..) => ReceiptState::Preparing,
                (Some(_), true, _) => ReceiptState::Open,
                (Some(_), false, Some(_)) => ReceiptState::NewAccount,
                (Some(_), false, None) => ReceiptState::KnownAccount,
            };
            let mut lines: Vec<ReceiptLine> = order
                .lines
                .iter()
                .map(|line| {
                    let what = given.get(&line.id);
                    let refunded =
                        order.status == OrderStatus::Refunded || (line.refunded == line.amounts.total && !line.refunded.is_zero());
                    let codes = what.map_or(line.quantity as usize, |what| what.codes.len());
                    let text = match &line.for_ {
                        _ if refunded && what.is_none_or(Given::is_over) => words.line_refunded().to_owned(),
                        For::Learner { name, .. } if line.target.is_none() => words.line_credits_of(name.as_deref()),
                        For::SelfBuyer | For::Seats if line.target.is_none() => words.line_credits().to_owned(),
                        For::SelfBuyer | For::Learner { .. } if line.fulfilment == Fulfilment::Keys => words.line_key().to_owned(),
                        For::SelfBuyer => words.line_open().to_owned(),
                        For::Seats => words.line_codes(codes),
                        For::Learner { name, .. } => words.line_learner(name.as_deref()),
                    };
                    ReceiptLine {
                        line: line.id,
                        title: line.title.clone(),
                        text,
                        credits: line.credits.count,
                        when: None,
                        place: None,
                        courses: what.map(|what| what.courses.clone()).unwrap_or_default(),
                        tokens: what
                            .filter(|what| hands_out || (buyer && !what.of_company))
                            .map(|what| what.codes.clone())
                            .unwrap_or_default(),
                    }
                })
                .collect();
            let mut facts = pages.facts(self, order);
            facts.receipt = Some(words.receipt(state).to_owned());
            facts.link = sign_in_url.clone();
            for (line, facts) in lines.iter_mut().zip(&mut facts.lines) {
                (line.when, line.place) = (facts.when.clone(), facts.place.clone());
                facts.text = Some(line.text.clone());
                facts.courses = line.courses.iter().map(|(_, title)| title.clone()).collect();
                facts.codes = line.tokens.clone();
            }
            let Rendered { subject: heading, text, html } = render_page(page, &facts)?;
            receipts.insert(order.id, Receipt { heading, text, html, theme: pages.theme.clone(), sign_in_url, lines });
        }
        Ok(receipts)
    }

    /// The pages after a decline, of those of these orders that still wait for their payment and whose last attempt failed.
    async fn decline_pages(
        &self,
        db: &impl ConnectionTrait,
        orders: &[Order],
        payments: &HashMap<OrderId, Vec<Payment>>,
    ) -> Result<HashMap<OrderId, DeclinePage>> {
        let failed = |order: &Order| {
            let of = payments.get(&order.id)?;
            let last = of
                .last()
                .filter(|last| matches!(last.state.status, PaymentStatus::Failed | PaymentStatus::Expired | PaymentStatus::Cancelled))?;
            (order.status == OrderStatus::PendingPayment).then_some((of, last))
        };
        let declined: Vec<&Order> = orders.iter().filter(|order| failed(order).is_some()).collect();
        if declined.is_empty() {
            return Ok(HashMap::new());
        }
        let pages = self.pages(db, TemplateKind::DeclinePage, &declined).await?;
        let mut made = HashMap::new();
        for (order, page) in declined.into_iter().zip(&pages.templates) {
            let Some((of, last)) = failed(order) else { continue };
            let words = Language::of(&order.locale);
            let mut facts = pages.facts(self, order);
            facts.decline = Some(DeclineFacts {
                reason: last.decline_reason.clone(),
                text: words.decline(last.decline_reason.as_deref()).to_owned(),
                until: order.lapses_at.map(|at| words.instant(at, self.shop.time_zone)),
            });
            let Rendered { subject: heading, text, html } = render_page(page, &facts)?;
            let states: Vec<_> = of.iter().map(|payment| payment.state).collect();
            let can_retry = retry(order.status, &states).is_ok();
            let reason = last.decline_reason.clone();
            made.insert(order.id, DeclinePage { heading, text, html, theme: pages.theme.clone(), reason, can_retry });
        }
        Ok(made)
    }

    /// What pages of these orders are made of: a fixed number of statements.
    async fn pages(&self, db: &impl ConnectionTrait, kind: TemplateKind, orders: &[&Order]) -> Result<Pages> {
        let wanted: Vec<Place> = orders
            .iter()
            .map(|order| {
                let lines: Vec<&OrderLine> = order.lines.iter().collect();
                Place { kind, locale: order.locale.clone(), company: order.company, product: one_product(&lines) }
            })
            .collect();
        let templates = self.templates_for(db, &wanted).await?;
        let ids: Vec<CompanyId> = orders.iter().filter_map(|order| order.company).collect::<BTreeSet<_>>().into_iter().collect();
        let companies = if ids.is_empty() { Vec::new() } else { store::company::companies(db, &ids).await? };
        let companies = companies.into_iter().map(|company| (company.id, company.name)).collect();
        let sessions = sessions_of(db, orders.iter().flat_map(|order| &order.lines)).await?;
        Ok(Pages { templates, companies, sessions, theme: self.choices(db).await?.theme })
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

/// What the pages of some orders are made of.
struct Pages {
    /// A template for each order, in the same order.
    templates: Vec<Effective>,
    companies: HashMap<CompanyId, String>,
    sessions: HashMap<SessionId, store::catalog::Session>,
    theme: Theme,
}

impl Pages {
    /// The facts of an order's page, without those of its kind. A page names nobody: it may be shown to others than the buyer.
    fn facts(&self, app: &App, order: &Order) -> Facts {
        let words = Language::of(&order.locale);
        let lines = order.lines.iter().map(|line| {
            let (when, place) = line.session.and_then(|session| self.sessions.get(&session)).map(|session| words.dated(session)).unzip();
            LineFacts {
                kind: line.for_.kind().name(),
                credits: (!line.credits.is_none()).then(|| words.credits(line.credits.count)),
                sku: line.sku.clone(),
                title: line.title.clone(),
                quantity: line.quantity,
                total: words.money(line.amounts.total),
                text: None,
                when,
                place: place.flatten(),
                learner: None,
                courses: Vec::new(),
                codes: Vec::new(),
                more_codes: None,
            }
        });
        Facts {
            shop: app.shop_facts(),
            theme: ThemeFacts::of(self.theme.clone()),
            locale: order.locale.clone(),
            recipient: Recipient { name: None, email: String::new() },
            company: order.company.and_then(|company| self.companies.get(&company).cloned()),
            order: Some(OrderFacts {
                number: order.number.clone(),
                placed: words.day(order.placed_at, app.shop.time_zone),
                total: words.money(order.totals.total),
                discount: (!order.totals.discount.is_zero()).then(|| words.money(order.totals.discount)),
                tax: (!order.totals.tax.is_zero()).then(|| words.money(order.totals.tax)),
                tax_included: order.prices_include_tax,
                buyer_name: None,
                buyer_email: None,
            }),
            lines: lines.collect(),
            link: None,
            link_ends: None,
            decline: None,
            access: None,
            token: None,
            quote: None,
            receipt: None,
            shortage: None,
        }
    }
}
