//! Orders as buyers and operators see them, and what they can do with them.

use async_graphql::{Context, Enum, ID, InputObject, Lookahead, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::refund::{Ask, LineAsk};
use uuid::Uuid;

use super::connection::{Finder, exported, wants_total};
use super::error::{UserError, answer, outcome, payload, scope};
use super::loader::{RoyaltyOf, loaders};
use super::royalty::Royalty;
use super::scalar::{Decimal, Long, Money, MoneyInput, input_id, input_ids, instant, named_enum};
use super::shop::Theme;
use crate::app::caller::{Caller, Topic};
use crate::app::coupon_use::CouponUse;
use crate::app::export::Export;
use crate::app::order::{OrderPaymentRecord, OrderPlace, PaymentMethod, Placed};
use crate::app::order_view::{OrderParts, OrderView};
use crate::app::payment::{self as app, OrderFilter};
use crate::app::refund::OrderRefund;
use crate::app::{Answer, App};
use crate::error::{Refusal, Result};
use crate::page::ListName;

named_enum! {
    /// Where an order stands.
    OrderStatus(domain::order::OrderStatus)
}
named_enum! {
    /// Where a payment attempt stands. UNKNOWN = the gateway was asked and its answer was lost; it is being asked what became of it.
    PaymentStatus(domain::payment::PaymentStatus)
}
named_enum! {
    /// Where a refund stands.
    RefundStatus(domain::refund::RefundStatus)
}
named_enum! {
    /// What a refund does to the access that its lines gave.
    RefundAccess(domain::refund::Access)
}
named_enum! {
    /// Where a dispute at the gateway stands.
    DisputeStatus(domain::payment::DisputeStatus)
}
named_enum! {
    /// For whom a line was bought.
    ForKind(domain::cart::ForKind)
}
named_enum! {
    /// Why access that was given is not paid for.
    GivenNotPaidReason(domain::order::GivenNotPaid)
}

/// What somebody bought, as it was at that moment.
#[derive(Debug, Clone)]
pub struct Order(pub OrderView);

#[Object]
impl Order {
    /// Id.
    pub async fn id(&self) -> ID {
        self.0.order.id.into()
    }
    /// Order number for people; not sequential.
    async fn number(&self) -> &str {
        &self.0.order.number
    }
    /// Where it stands.
    async fn status(&self) -> OrderStatus {
        self.0.order.status.into()
    }
    /// Grows with every change.
    async fn version(&self) -> Long {
        Long(self.0.order.version)
    }
    /// The cart it was made from.
    async fn cart_id(&self) -> ID {
        self.0.order.cart.into()
    }
    /// The account it belongs to; for a guest's order empty until fulfilment has made or found one.
    async fn account_id(&self) -> Option<ID> {
        self.0.order.account.map(ID::from)
    }
    /// Context: the company.
    async fn company_id(&self) -> Option<ID> {
        self.0.order.company.map(ID::from)
    }
    /// Context: the currency of every amount.
    async fn currency(&self) -> super::scalar::CurrencyCode {
        self.0.order.currency.into()
    }
    /// Context: the locale.
    async fn locale(&self) -> &str {
        &self.0.order.locale
    }
    /// Who bought.
    async fn buyer(&self) -> Option<OrderBuyer> {
        self.0
            .buyer
            .as_ref()
            .map(|buyer| OrderBuyer { email: buyer.email.as_ref().map(|email| email.as_str().to_owned()), name: buyer.name.clone() })
    }
    /// The lines, as they were at placing.
    async fn lines(&self) -> Vec<OrderLine> {
        self.0.order.lines.iter().cloned().map(OrderLine).collect()
    }
    /// Sum of the lines before discounts.
    async fn subtotal(&self) -> Money {
        self.0.order.totals.subtotal.into()
    }
    /// Sum of the discounts.
    async fn discount(&self) -> Money {
        self.0.order.totals.discount.into()
    }
    /// Sum without tax.
    async fn net(&self) -> Money {
        self.0.order.totals.net.into()
    }
    /// Sum of the taxes.
    async fn tax(&self) -> Money {
        self.0.order.totals.tax.into()
    }
    /// What is to pay.
    async fn total(&self) -> Money {
        self.0.order.totals.total.into()
    }
    /// The sums in one object.
    async fn totals(&self) -> OrderTotals {
        let totals = self.0.order.totals;
        OrderTotals {
            subtotal: totals.subtotal.into(),
            discount: totals.discount.into(),
            net: totals.net.into(),
            tax: totals.tax.into(),
            total: totals.total.into(),
        }
    }
    /// Exchange rates that its prices were converted with.
    async fn rates(&self) -> Vec<UsedRate> {
        let rates = self.0.order.rates.iter();
        rates
            .map(|used| UsedRate {
                base: used.base.into(),
                quote: used.quote.into(),
                rate: Decimal(used.rate.to_string()),
                valid_from: used.valid_from,
            })
            .collect()
    }
    /// When it was placed.
    async fn placed_at(&self) -> DateTime<Utc> {
        self.0.order.placed_at
    }
    /// When it lapses if it is not paid.
    async fn lapses_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.lapses_at
    }
    /// When it was paid in full.
    async fn paid_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.paid_at
    }
    /// When all it gives was given.
    async fn fulfilled_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.fulfilled_at
    }
    /// When it was cancelled or lapsed.
    async fn closed_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.closed_at
    }
    /// Whether somebody let it pass without payment: an order of nothing.
    async fn bypass(&self) -> bool {
        self.0.order.bypass
    }
    /// Why, for operators and managers of its company.
    async fn bypass_reason(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<&str>> {
        let (_, caller) = scope(ctx)?;
        let scope = Topic::Orders.read();
        let shown = caller.may(scope) || self.0.order.company.is_some_and(|company| caller.may_for(scope, company));
        Ok(self.0.order.reason.as_deref().filter(|_| shown))
    }
    /// Who placed it: an account or a key, or its cart for a guest; for operators and managers of its company.
    async fn placed_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<&str>> {
        let (_, caller) = scope(ctx)?;
        let scope = Topic::Orders.read();
        let shown = caller.may(scope) || self.0.order.company.is_some_and(|company| caller.may_for(scope, company));
        Ok(Some(self.0.order.placed_by.as_str()).filter(|_| shown))
    }
    /// The coupons that it used, in order of adding.
    async fn coupons(&self) -> Vec<OrderCoupon> {
        self.0.coupons.iter().map(OrderCoupon::from).collect()
    }
    /// The attempts to pay it, in order.
    async fn payments(&self) -> Vec<Payment> {
        self.0.payments.iter().cloned().map(Payment).collect()
    }
    /// Money on its way back, the oldest first.
    async fn refunds(&self) -> Vec<Refund> {
        self.0.refunds.iter().cloned().map(Refund).collect()
    }
    /// Disputes that buyers opened at the gateway.
    async fn disputes(&self) -> Vec<Dispute> {
        self.0.disputes.iter().cloned().map(Dispute::from).collect()
    }
    /// What can still be refunded.
    async fn refundable(&self) -> Money {
        self.0.refundable().into()
    }
    /// Once it is paid: for each line what to do next.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.receipt.clone().map(Receipt::from)
    }
    /// After a declined payment: what to say and how to go on.
    async fn decline_page(&self) -> Option<DeclinePage> {
        self.0.decline_page.clone().map(|page| DeclinePage {
            heading: page.heading,
            text: page.text,
            html: page.html,
            theme: page.theme.into(),
            reason: page.reason,
            can_retry: page.can_retry,
        })
    }
    /// How far giving what was paid for has come.
    async fn fulfilment(&self) -> Fulfilment {
        Fulfilment { steps: self.0.steps.iter().map(|step| FulfilmentStep::from(step.clone())).collect() }
    }
}

named_enum! {
    /// Where a use of a coupon stands: RESERVED while its order waits for the payment, SPENT once that was paid, whatever is refunded later,
    /// FREED when it was cancelled or lapsed.
    CouponUseState(domain::coupon::UseState)
}

/// A coupon that an order used.
#[derive(Debug, Clone, SimpleObject)]
pub struct OrderCoupon {
    /// The code.
    pub code: String,
    /// What it took off; null for a pack.
    pub savings: Option<Money>,
    /// Where its use stands.
    pub state: CouponUseState,
}

impl From<&CouponUse> for OrderCoupon {
    fn from(used: &CouponUse) -> Self {
        Self {
            code: used.code.clone(),
            savings: Some(used.discount).filter(|discount| !discount.is_zero()).map(Money::from),
            state: used.state.into(),
        }
    }
}

/// Who bought; empty once the person was erased.
#[derive(Debug, Clone, SimpleObject)]
pub struct OrderBuyer {
    /// E-mail.
    pub email: Option<String>,
    /// Name.
    pub name: Option<String>,
}

/// Sums of an order.
#[derive(Debug, Clone, SimpleObject)]
pub struct OrderTotals {
    /// Before discounts.
    pub subtotal: Money,
    /// Discounts.
    pub discount: Money,
    /// Without tax.
    pub net: Money,
    /// Taxes.
    pub tax: Money,
    /// What is to pay.
    pub total: Money,
}

/// An exchange rate as it was used.
#[derive(Debug, Clone, SimpleObject)]
pub struct UsedRate {
    /// One unit of this …
    pub base: super::scalar::CurrencyCode,
    /// … bought so many units of this.
    pub quote: super::scalar::CurrencyCode,
    /// The rate.
    pub rate: Decimal,
    /// Since when it held.
    pub valid_from: DateTime<Utc>,
}

/// A line of an order.
#[derive(Debug, Clone)]
pub struct OrderLine(pub app::OrderLine);

#[Object]
impl OrderLine {
    /// Id.
    async fn id(&self) -> ID {
        self.0.id.into()
    }
    /// Product.
    async fn product_id(&self) -> ID {
        self.0.product.into()
    }
    /// SKU then.
    async fn sku(&self) -> &str {
        &self.0.sku
    }
    /// Title then.
    async fn title(&self) -> &str {
        &self.0.title
    }
    /// Product code then.
    async fn product_code(&self) -> Option<&str> {
        self.0.product_code.as_deref()
    }
    /// The dated session that it is for.
    async fn session_id(&self) -> Option<ID> {
        self.0.session.map(ID::from)
    }
    /// For whom.
    #[graphql(name = "for")]
    async fn for_kind(&self) -> ForKind {
        self.0.for_.kind().into()
    }
    /// Units.
    async fn quantity(&self) -> u32 {
        self.0.quantity
    }
    /// The code of the coupon that took it.
    async fn coupon(&self) -> Option<&str> {
        self.0.coupon.as_deref()
    }
    /// Unit price; empty where the steps of a graduated schedule differ.
    async fn unit_price(&self) -> Option<Money> {
        self.0.unit_price.map(Money::from)
    }
    /// Before discounts.
    async fn subtotal(&self) -> Money {
        self.0.amounts.subtotal.into()
    }
    /// Discounts.
    async fn discount(&self) -> Money {
        self.0.amounts.discount.into()
    }
    /// Without tax.
    async fn net(&self) -> Money {
        self.0.amounts.net.into()
    }
    /// Percent of the amount without tax that is tax, as it was at placing.
    async fn tax_rate(&self) -> Decimal {
        self.0.amounts.tax_rate.into()
    }
    /// Tax.
    async fn tax(&self) -> Money {
        self.0.amounts.tax.into()
    }
    /// What is paid for the line.
    async fn total(&self) -> Money {
        self.0.amounts.total.into()
    }
    /// What of it was refunded, refunds under way included.
    async fn refunded(&self) -> Money {
        self.0.refunded.into()
    }
    /// The credits that it gives, all units together, as they were at placing; 0 for none.
    async fn credits(&self) -> Long {
        Long(i64::try_from(self.0.credits.count).unwrap_or(i64::MAX))
    }
    /// For how many days from the purchase its credits can be spent; null = without end.
    async fn credit_days(&self) -> Option<u32> {
        self.0.credits.days
    }
    /// Id of the product whose courses' resources its credits pay for; null = they pay for any.
    async fn credits_tied_to(&self) -> Option<ID> {
        self.0.credits.tied_to.map(ID::from)
    }
    /// How long access lasts, in words; a credit pack gives none.
    async fn access_terms(&self) -> String {
        self.0.terms.to_string()
    }
    /// What it owes a licensor, once it is given; for operators and keys with `reports:read`.
    async fn royalty(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Royalty>> {
        let (_, caller) = scope(ctx)?;
        if !caller.may(Topic::Reports.read()) {
            return Ok(None);
        }
        Ok(loaders(ctx)?.one(RoyaltyOf(self.0.id.uuid())).await?.map(Royalty::from))
    }
}

/// One attempt to pay an order.
#[derive(Debug, Clone)]
pub struct Payment(pub app::Payment);

#[Object]
impl Payment {
    /// Id; also the operation id at the gateway.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }
    /// Number of the attempt, from 1.
    async fn attempt(&self) -> u32 {
        self.0.attempt
    }
    /// The gateway.
    async fn gateway(&self) -> &str {
        &self.0.gateway
    }
    /// Where it stands.
    async fn status(&self) -> PaymentStatus {
        self.0.state.status.into()
    }
    /// What was to pay.
    async fn amount(&self) -> Money {
        self.0.state.amount.into()
    }
    /// What was captured.
    async fn captured(&self) -> Money {
        self.0.state.totals.captured.into()
    }
    /// What was refunded.
    async fn refunded(&self) -> Money {
        self.0.state.totals.refunded.into()
    }
    /// What is disputed and not won.
    async fn disputed(&self) -> Money {
        self.0.state.totals.disputed.into()
    }
    /// The gateway's own id.
    async fn reference(&self) -> Option<&str> {
        self.0.reference.as_deref()
    }
    /// A safe word for why it was declined, such as `insufficient_funds`.
    async fn decline_reason(&self) -> Option<&str> {
        self.0.decline_reason.as_deref()
    }
    /// What the buyer has to do now.
    async fn next_action(&self) -> Option<NextAction> {
        self.0.open_action().map(NextAction::from)
    }
    /// Whether an operator has to look at it before anything goes on.
    async fn needs_review(&self) -> bool {
        self.0.state.review.is_some()
    }
    /// Why an operator has to look.
    async fn review_reason(&self) -> Option<String> {
        self.0.state.review.map(|review| review.to_string())
    }
    /// When the attempt was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// What the buyer has to do.
#[derive(Debug, Clone, SimpleObject)]
pub struct NextAction {
    /// The kind: REDIRECT, CLIENT_SECRET, INSTRUCTIONS or WAIT_FOR_BUYER.
    pub kind: NextActionKind,
    /// REDIRECT: where to send the browser.
    pub url: Option<String>,
    /// REDIRECT: GET or POST.
    pub method: Option<String>,
    /// REDIRECT by POST: the form's fields. INSTRUCTIONS: what to quote, such as the bank account.
    pub fields: Vec<NamedText>,
    /// INSTRUCTIONS: what to tell the buyer.
    pub text: Option<String>,
    /// CLIENT_SECRET: for the gateway's own script.
    pub client_secret: Option<String>,
}

/// A name and a text.
#[derive(Debug, Clone, SimpleObject)]
pub struct NamedText {
    /// Name.
    pub name: String,
    /// Text.
    pub value: String,
}

/// Kinds of what the buyer has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum NextActionKind {
    /// Go to the gateway's page.
    Redirect,
    /// Let the gateway's script finish it.
    ClientSecret,
    /// Follow the instructions, such as paying an invoice.
    Instructions,
    /// Confirm in an app.
    WaitForBuyer,
}

impl From<app::BuyerAction> for NextAction {
    fn from(action: app::BuyerAction) -> Self {
        let named = |fields: Vec<(String, String)>| fields.into_iter().map(|(name, value)| NamedText { name, value }).collect();
        let empty =
            Self { kind: NextActionKind::WaitForBuyer, url: None, method: None, fields: Vec::new(), text: None, client_secret: None };
        match action {
            app::BuyerAction::Redirect { url, method, fields } => {
                Self { kind: NextActionKind::Redirect, url: Some(url), method: Some(method), fields: named(fields), ..empty }
            }
            app::BuyerAction::ClientSecret { secret } => Self { kind: NextActionKind::ClientSecret, client_secret: Some(secret), ..empty },
            app::BuyerAction::Instructions { text, details } => {
                Self { kind: NextActionKind::Instructions, text: Some(text), fields: named(details), ..empty }
            }
            app::BuyerAction::WaitForBuyer => empty,
        }
    }
}

/// Money on its way back.
#[derive(Debug, Clone)]
pub struct Refund(pub app::Refund);

#[Object]
impl Refund {
    /// Id; also the operation id at the gateway.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }
    /// The payment it gives back from.
    async fn payment_id(&self) -> ID {
        self.0.payment.into()
    }
    /// Amount.
    async fn amount(&self) -> Money {
        self.0.amount.into()
    }
    /// Where it stands.
    async fn status(&self) -> RefundStatus {
        self.0.status.into()
    }
    /// SHOP = asked for here, GATEWAY = made at the gateway, LATE_MONEY = money that came without an order to pay.
    async fn origin(&self) -> &str {
        self.0.origin.name()
    }
    /// Why.
    async fn reason(&self) -> &str {
        &self.0.reason
    }
    /// Why it failed.
    async fn failure(&self) -> Option<&str> {
        self.0.failure.as_deref()
    }
    /// What of which line it gives back.
    async fn lines(&self) -> Vec<RefundLine> {
        self.0
            .lines
            .iter()
            .map(|line| RefundLine {
                order_line_id: line.line.into(),
                amount: line.amount.into(),
                quantity: line.quantity,
                access: line.access.into(),
                credits_taken: Long(i64::try_from(line.credits_taken).unwrap_or(i64::MAX)),
                credits_spent: Long(i64::try_from(line.credits_spent).unwrap_or(i64::MAX)),
            })
            .collect()
    }
    /// The credits that it took back: what was unspent of its share of what its lines gave.
    async fn credits_taken(&self) -> Long {
        Long(self.0.lines.iter().map(|line| i64::try_from(line.credits_taken).unwrap_or(i64::MAX)).fold(0, i64::saturating_add))
    }
    /// The credits of its share that were spent already; they stay spent.
    async fn credits_spent(&self) -> Long {
        Long(self.0.lines.iter().map(|line| i64::try_from(line.credits_spent).unwrap_or(i64::MAX)).fold(0, i64::saturating_add))
    }
    /// When it was asked for.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
    /// When it succeeded or failed.
    async fn settled_at(&self) -> Option<DateTime<Utc>> {
        self.0.settled_at
    }
}

/// What of a line a refund gives back.
#[derive(Debug, Clone, SimpleObject)]
pub struct RefundLine {
    /// Line.
    pub order_line_id: ID,
    /// Amount.
    pub amount: Money,
    /// Units; 0 where it named an amount.
    pub quantity: u32,
    /// What happens to the access it gave.
    pub access: RefundAccess,
    /// The credits that it took back: what was unspent of its share of what the line gave.
    pub credits_taken: Long,
    /// The credits of its share that were spent already; they stay spent.
    pub credits_spent: Long,
}

/// A dispute that a buyer opened at the gateway.
#[derive(Debug, Clone, SimpleObject)]
pub struct Dispute {
    /// The payment.
    pub payment_id: ID,
    /// The gateway's own id.
    pub reference: String,
    /// Amount.
    pub amount: Money,
    /// Where it stands.
    pub status: DisputeStatus,
    /// The gateway's reason.
    pub reason: Option<String>,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
}

impl From<app::Dispute> for Dispute {
    fn from(dispute: app::Dispute) -> Self {
        Self {
            payment_id: dispute.payment.into(),
            reference: dispute.reference,
            amount: dispute.amount.into(),
            status: dispute.status.into(),
            reason: dispute.reason,
            opened_at: dispute.opened_at,
        }
    }
}

/// What the buyer is shown after paying.
#[derive(Debug, Clone, SimpleObject)]
pub struct Receipt {
    /// Heading.
    pub heading: String,
    /// How to get to what was bought, as plain text.
    pub text: String,
    /// The block of the page as HTML, from the shop's template; what was filled in is escaped. Null where the template has none.
    pub html: Option<String>,
    /// How the page looks.
    pub theme: Theme,
    /// A one-time link that signs in the new account of a guest; empty when it was used, has run out, or is only mailed.
    pub sign_in_url: Option<String>,
    /// For each line what to do next.
    pub lines: Vec<ReceiptLine>,
}

/// What to do with a line that was bought.
#[derive(Debug, Clone, SimpleObject)]
pub struct ReceiptLine {
    /// Line.
    pub order_line_id: ID,
    /// Title.
    pub title: String,
    /// What to do next, in words.
    pub text: String,
    /// The credits that it gives, all units together; 0 for none.
    pub credits: Long,
    /// From when to when its session is, in words, by the clocks of the session's zone; null where there is none.
    pub when: Option<String>,
    /// Where its session is.
    pub place: Option<String>,
    /// The courses that are open now.
    pub courses: Vec<ReceiptCourse>,
    /// Codes of seats to hand out.
    pub tokens: Vec<String>,
}

/// A course to go to.
#[derive(Debug, Clone, SimpleObject)]
pub struct ReceiptCourse {
    /// Course.
    pub course_id: ID,
    /// Title.
    pub title: String,
}

impl From<crate::app::order_view::Receipt> for Receipt {
    fn from(receipt: crate::app::order_view::Receipt) -> Self {
        Self {
            heading: receipt.heading,
            text: receipt.text,
            html: receipt.html,
            theme: receipt.theme.into(),
            sign_in_url: receipt.sign_in_url,
            lines: receipt
                .lines
                .into_iter()
                .map(|line| ReceiptLine {
                    order_line_id: line.line.into(),
                    title: line.title,
                    credits: Long(i64::try_from(line.credits).unwrap_or(i64::MAX)),
                    text: line.text,
                    when: line.when,
                    place: line.place,
                    courses: line.courses.into_iter().map(|(id, title)| ReceiptCourse { course_id: id.into(), title }).collect(),
                    tokens: line.tokens,
                })
                .collect(),
        }
    }
}

/// What the buyer is shown after a decline.
#[derive(Debug, Clone, SimpleObject)]
pub struct DeclinePage {
    /// Heading.
    pub heading: String,
    /// What to do, as plain text.
    pub text: String,
    /// The block of the page as HTML, from the shop's template. Null where the template has none.
    pub html: Option<String>,
    /// How the page looks.
    pub theme: Theme,
    /// The safe reason.
    pub reason: Option<String>,
    /// Whether `paymentRetry` can be called now.
    pub can_retry: bool,
}

/// Steps of giving what was paid for.
#[derive(Debug, Clone, SimpleObject)]
pub struct Fulfilment {
    /// The steps.
    pub steps: Vec<FulfilmentStep>,
}

/// One step.
#[derive(Debug, Clone, SimpleObject)]
pub struct FulfilmentStep {
    /// What it does: GRANTS.
    pub name: String,
    /// WAITING, DONE, RETRYING or PARKED.
    pub state: String,
    /// Tries so far.
    pub tries: u32,
    /// When it is tried again.
    pub next_retry_at: Option<DateTime<Utc>>,
    /// What went wrong last; for operators.
    pub last_error: Option<String>,
}

impl From<crate::app::order_view::Step> for FulfilmentStep {
    fn from(step: crate::app::order_view::Step) -> Self {
        Self {
            name: step.name.to_owned(),
            state: step.state.to_owned(),
            tries: step.tries,
            next_retry_at: step.next_retry_at,
            last_error: step.last_error,
        }
    }
}

/// Access that was given and is not paid for.
#[derive(Debug, Clone, SimpleObject)]
pub struct GivenNotPaid {
    /// The entitlement.
    pub entitlement_id: ID,
    /// The order behind it.
    pub order_id: ID,
    /// The learner.
    pub account_id: ID,
    /// Why.
    pub reason: GivenNotPaidReason,
}

/// Which orders to list; everything given must fit.
#[derive(Debug, Clone, Default, InputObject)]
pub struct OrderFilterInput {
    /// In one of these states.
    pub statuses: Option<Vec<OrderStatus>>,
    /// In the context of this company; for its managers and for operators.
    pub company_id: Option<ID>,
    /// Of this account; for operators.
    pub account_id: Option<ID>,
    /// Placed from this instant on.
    pub placed_from: Option<DateTime<Utc>>,
    /// Placed before this instant.
    pub placed_before: Option<DateTime<Utc>>,
    /// With this number, in any spelling.
    pub number: Option<String>,
    /// By a buyer with this e-mail.
    pub buyer_email: Option<String>,
}

/// Queries about orders.
#[derive(Debug, Default)]
pub struct OrderQuery;

#[Object]
impl OrderQuery {
    /// One order; null for an id that is malformed, unknown or not yours to see.
    async fn order(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Order>> {
        let (app, caller) = scope(ctx)?;
        let Some(id) = domain::OrderId::parse(&id) else { return Ok(None) };
        answer(view(app, caller, id, parts(ctx.look_ahead())).await)
    }

    /// Orders, the newest first: your own, your company's, or for operators all.
    async fn orders(
        &self,
        ctx: &Context<'_>,
        filter: Option<OrderFilterInput>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Finder<Order>> {
        let (app, caller) = scope(ctx)?;
        let look = ctx.look_ahead();
        let (nodes, edges) = (parts(look.field("nodes")), parts(look.field("edges").field("node")));
        answer(orders(app, caller, filter.unwrap_or_default(), first, after, wants_total(ctx), nodes.and(edges)).await)
    }

    /// Orders that were paid a while ago and are not fulfilled; for operators. Empty in a healthy shop.
    async fn paid_not_given(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Order>> {
        let (app, caller) = scope(ctx)?;
        let found = answer(app.paid_not_given(caller).await)?;
        let views = answer(app.order_views(caller, found, parts(ctx.look_ahead())).await)?;
        Ok(views.into_iter().map(Order).collect())
    }

    /// Live access that no paid order stands behind; for operators. Empty in a healthy shop.
    async fn given_not_paid(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<GivenNotPaid>> {
        let (app, caller) = scope(ctx)?;
        let found = answer(app.given_not_paid(caller).await)?;
        Ok(found
            .into_iter()
            .map(|row| GivenNotPaid {
                entitlement_id: row.entitlement.into(),
                order_id: row.order.into(),
                account_id: row.account.into(),
                reason: row.reason.into(),
            })
            .collect())
    }
}

async fn orders(
    app: &App,
    caller: &Caller,
    filter: OrderFilterInput,
    first: Option<i32>,
    after: Option<String>,
    total: bool,
    parts: OrderParts,
) -> Result<Finder<Order>> {
    let company = filter.company_id.as_ref().map(|id| input_id(id, "companyId", "company")).transpose()?;
    let account = filter.account_id.as_ref().map(|id| input_id(id, "accountId", "account")).transpose()?;
    let filter = OrderFilter {
        account,
        company,
        statuses: filter.statuses.unwrap_or_default().into_iter().map(|status| status.0).collect(),
        placed_from: instant(filter.placed_from, "filter.placedFrom")?,
        placed_before: instant(filter.placed_before, "filter.placedBefore")?,
        number: filter.number.map(|number| domain::order::OrderNumber::parse(&number).map_or(number, |known| known.to_string())),
        buyer_hash: filter.buyer_email.map(|email| app.email_hash_of(&email)).transpose()?,
    };
    let list = ListName::new("orders", &filter)?;
    let args = list.args::<(DateTime<Utc>, Uuid)>(first, after.as_deref())?;
    let page = app.orders(caller, filter.clone(), &args, total).await?;
    let (has_next, has_previous, total) = (page.has_next, page.has_previous, page.total);
    let rows = app.order_views(caller, page.rows, parts).await?;
    let page = crate::page::Page { rows, has_next, has_previous, total };
    exported(&list, page, Export::Orders(filter), |view| (view.order.placed_at, view.order.id.uuid()), Order)
}

/// Which parts of an order are asked for, so that the others cost nothing.
pub(super) fn parts(look: Lookahead<'_>) -> OrderParts {
    let any = |names: &[&str]| names.iter().any(|name| look.field(name).exists());
    OrderParts {
        buyer: any(&["buyer"]),
        payments: any(&["payments", "refundable"]),
        coupons: any(&["coupons"]),
        refunds: any(&["refunds"]),
        disputes: any(&["disputes"]),
        receipt: any(&["receipt"]),
        decline_page: any(&["declinePage"]),
        steps: any(&["fulfilment"]),
    }
}

pub(super) async fn view(app: &App, caller: &Caller, id: domain::OrderId, parts: OrderParts) -> Result<Option<Order>> {
    let Some(order) = app.order_for(caller, id).await? else { return Ok(None) };
    Ok(app.order_views(caller, vec![order], parts).await?.pop().map(Order))
}

/// The order as it stands after a mutation of it.
async fn after(app: &App, caller: &Caller, result: Result<Answer<domain::OrderId>>, parts: OrderParts) -> Result<Answer<Order>> {
    let answer = result?;
    let order = app.order_after(answer.value).await?;
    let view = app.order_views(caller, vec![order], parts).await?.pop();
    let view = view.ok_or_else(|| crate::internal!("an order without a view"))?;
    Ok(Answer { value: Order(view), replayed: answer.replayed })
}

/// How an order shall be paid.
#[derive(Debug, Clone, InputObject)]
pub struct PaymentMethodInput {
    /// One of the cart's `paymentMethods`.
    pub gateway: String,
    /// The one-time token of the gateway's own form, if it has one.
    pub token: Option<String>,
    /// Where the buyer's browser goes after the gateway's page: an address of the shop, or of an origin that its settings list.
    pub return_url: Option<String>,
}

impl From<PaymentMethodInput> for PaymentMethod {
    fn from(input: PaymentMethodInput) -> Self {
        Self { gateway: input.gateway, token: input.token, return_url: input.return_url }
    }
}

/// Places a cart.
#[derive(Debug, Clone, InputObject)]
pub struct OrderPlaceInput {
    /// Cart.
    pub cart_id: ID,
    /// How it shall be paid; not needed when the total is zero.
    pub payment_method: Option<PaymentMethodInput>,
    /// The cart's total that the buyer agreed to.
    pub expected_total: MoneyInput,
    /// A new key for each order you want; the same key again gives the same order.
    pub idempotency_key: String,
}

/// What became of placing a cart.
#[derive(SimpleObject)]
pub struct OrderPlacePayload {
    /// The order. A declined payment is no error: the order waits for its payment, with the attempt FAILED.
    pub order: Option<Order>,
    /// After PRICE_CHANGED: the cart as it is now.
    pub cart: Option<super::cart::Cart>,
    /// Whether this is the answer of an earlier call with the same idempotency key.
    pub replayed: bool,
    /// Why the cart was not placed; empty when it was.
    pub user_errors: Vec<UserError>,
}

/// Tries to pay an order again.
#[derive(Debug, Clone, InputObject)]
pub struct PaymentRetryInput {
    /// Order.
    pub order_id: ID,
    /// How it shall be paid.
    pub payment_method: PaymentMethodInput,
    /// A new key for each try you want.
    pub idempotency_key: String,
}

/// Cancels an order that waits for its payment.
#[derive(Debug, Clone, InputObject)]
pub struct OrderCancelInput {
    /// Order.
    pub order_id: ID,
    /// A new key for each request.
    pub idempotency_key: String,
}

/// Records money that came for an order by invoice.
#[derive(Debug, Clone, InputObject)]
pub struct OrderPaymentRecordInput {
    /// Order.
    pub order_id: ID,
    /// How much came; part payments add up, and what comes beyond what is due is recorded too.
    pub amount: MoneyInput,
    /// The bank's reference.
    pub reference: String,
    /// A new key for each payment that came.
    pub idempotency_key: String,
}

/// Does something with one payment by hand.
#[derive(Debug, Clone, InputObject)]
pub struct PaymentCaptureInput {
    /// Payment.
    pub payment_id: ID,
    /// A new key for each request.
    pub idempotency_key: String,
}

/// Does something with one payment by hand.
#[derive(Debug, Clone, InputObject)]
pub struct PaymentVoidInput {
    /// Payment.
    pub payment_id: ID,
    /// A new key for each request.
    pub idempotency_key: String,
}

/// Gives money back. Without lines and amount: all that is left.
#[derive(Debug, Clone, InputObject)]
pub struct OrderRefundInput {
    /// Order.
    pub order_id: ID,
    /// What of which line.
    pub lines: Option<Vec<OrderRefundLineInput>>,
    /// An amount without a line, of what came beyond what was due as far as there is any; it changes no access.
    pub amount: Option<MoneyInput>,
    /// What happens to access; when absent it ends for lines that are then wholly refunded.
    pub access: Option<RefundAccess>,
    /// Why; kept with the refund.
    pub reason: String,
    /// A new key for each refund you want.
    pub idempotency_key: String,
}

/// What of a line: exactly one of `amount`, `quantity` and `tokenIds`.
#[derive(Debug, Clone, InputObject)]
pub struct OrderRefundLineInput {
    /// Line.
    pub order_line_id: ID,
    /// An amount.
    pub amount: Option<MoneyInput>,
    /// A number of units.
    pub quantity: Option<i32>,
    /// Seats by their tokens.
    pub token_ids: Option<Vec<ID>>,
}

payload! {
    /// The order after another try to pay it.
    PaymentRetryPayload {
        /// The order.
        order: Order, replayed
    }
}
payload! {
    /// The cancelled order.
    OrderCancelPayload {
        /// The order.
        order: Order, replayed
    }
}
payload! {
    /// The order with the money recorded.
    OrderPaymentRecordPayload {
        /// The order.
        order: Order, replayed
    }
}
payload! {
    /// The order after capturing.
    PaymentCapturePayload {
        /// The order.
        order: Order, replayed
    }
}
payload! {
    /// The order after voiding.
    PaymentVoidPayload {
        /// The order.
        order: Order, replayed
    }
}
payload! {
    /// The order with its refund.
    OrderRefundPayload {
        /// The order.
        order: Order, replayed
    }
}

/// Mutations of orders.
#[derive(Debug, Default)]
pub struct OrderMutation;

#[Object]
impl OrderMutation {
    /// Places a cart as an order and starts its payment.
    async fn order_place(&self, ctx: &Context<'_>, input: OrderPlaceInput) -> async_graphql::Result<OrderPlacePayload> {
        let (app, caller) = scope(ctx)?;
        let parts = parts(ctx.look_ahead().field("order"));
        let detail = super::offer::detail(&[ctx.look_ahead().field("cart").field("lines").field("offer")]);
        let placed = async {
            let cmd = OrderPlace {
                cart: input_id(&input.cart_id, "cartId", "cart")?,
                method: input.payment_method.map(PaymentMethod::from),
                expected_total: input.expected_total.parse(["expectedTotal"])?,
                idempotency_key: input.idempotency_key,
            };
            Ok(match app.order_place(caller, cmd).await? {
                Placed::Order(answer) => {
                    let answer = after(app, caller, Ok(answer), parts).await?;
                    OrderPlacePayload { order: Some(answer.value), cart: None, replayed: answer.replayed, user_errors: Vec::new() }
                }
                Placed::Changed(cart, refusals) => {
                    let cart = app.cart(caller, cart, detail).await?.map(super::cart::Cart::from);
                    OrderPlacePayload {
                        order: None,
                        cart,
                        replayed: false,
                        user_errors: refusals.into_iter().map(UserError::from).collect(),
                    }
                }
            })
        };
        Ok(match outcome(placed.await)? {
            Ok(payload) => payload,
            Err(user_errors) => OrderPlacePayload { order: None, cart: None, replayed: false, user_errors },
        })
    }

    /// Tries to pay an order again after an attempt failed.
    async fn payment_retry(&self, ctx: &Context<'_>, input: PaymentRetryInput) -> async_graphql::Result<PaymentRetryPayload> {
        let (app, caller) = scope(ctx)?;
        let parts = parts(ctx.look_ahead().field("order"));
        let retried = async {
            let id = input_id(&input.order_id, "orderId", "order")?;
            let answer = app.payment_retry(caller, id, input.payment_method.into(), &input.idempotency_key).await;
            after(app, caller, answer, parts).await
        };
        PaymentRetryPayload::of(retried.await)
    }

    /// Cancels an order that waits for its payment; its cart opens again.
    async fn order_cancel(&self, ctx: &Context<'_>, input: OrderCancelInput) -> async_graphql::Result<OrderCancelPayload> {
        let (app, caller) = scope(ctx)?;
        let parts = parts(ctx.look_ahead().field("order"));
        let cancelled = async {
            let id = input_id(&input.order_id, "orderId", "order")?;
            after(app, caller, app.order_cancel(caller, id, &input.idempotency_key).await, parts).await
        };
        OrderCancelPayload::of(cancelled.await)
    }

    /// Records money that came by invoice, whatever became of the order; for operators. The order is PAID once all of it is recorded. More than
    /// was due stands on the payment (`needsReview`) until `orderRefund` gives it back; what the order has no use for is refunded at once.
    async fn order_payment_record(
        &self,
        ctx: &Context<'_>,
        input: OrderPaymentRecordInput,
    ) -> async_graphql::Result<OrderPaymentRecordPayload> {
        let (app, caller) = scope(ctx)?;
        let parts = parts(ctx.look_ahead().field("order"));
        let recorded = async {
            let cmd = OrderPaymentRecord {
                order: input_id(&input.order_id, "orderId", "order")?,
                amount: input.amount.parse(["amount"])?,
                reference: input.reference,
                idempotency_key: input.idempotency_key,
            };
            after(app, caller, app.order_payment_record(caller, cmd).await, parts).await
        };
        OrderPaymentRecordPayload::of(recorded.await)
    }

    /// Captures an authorised payment; for operators.
    async fn payment_capture(&self, ctx: &Context<'_>, input: PaymentCaptureInput) -> async_graphql::Result<PaymentCapturePayload> {
        let (app, caller) = scope(ctx)?;
        let parts = parts(ctx.look_ahead().field("order"));
        let captured = async {
            let id = input_id(&input.payment_id, "paymentId", "payment")?;
            after(app, caller, app.payment_capture(caller, id, &input.idempotency_key).await, parts).await
        };
        PaymentCapturePayload::of(captured.await)
    }

    /// Voids a payment that is not captured yet; for operators.
    async fn payment_void(&self, ctx: &Context<'_>, input: PaymentVoidInput) -> async_graphql::Result<PaymentVoidPayload> {
        let (app, caller) = scope(ctx)?;
        let parts = parts(ctx.look_ahead().field("order"));
        let voided = async {
            let id = input_id(&input.payment_id, "paymentId", "payment")?;
            after(app, caller, app.payment_void(caller, id, &input.idempotency_key).await, parts).await
        };
        PaymentVoidPayload::of(voided.await)
    }

    /// Refunds an order, whole or in part; for operators.
    async fn order_refund(&self, ctx: &Context<'_>, input: OrderRefundInput) -> async_graphql::Result<OrderRefundPayload> {
        let (app, caller) = scope(ctx)?;
        let parts = parts(ctx.look_ahead().field("order"));
        let refunded = async {
            let order = input_id(&input.order_id, "orderId", "order")?;
            let cmd = OrderRefund { order, ask: ask(&input)?, reason: input.reason, idempotency_key: input.idempotency_key };
            after(app, caller, app.order_refund(caller, cmd).await, parts).await
        };
        OrderRefundPayload::of(refunded.await)
    }
}

fn ask(input: &OrderRefundInput) -> Result<Ask> {
    let mut lines = Vec::new();
    for (index, line) in input.lines.iter().flatten().enumerate() {
        let place = index.to_string();
        let id = input_id(&line.order_line_id, "orderLineId", "order line")
            .map_err(|error| under(error, ["lines".to_owned(), place.clone()]))?;
        let amount = line.amount.as_ref().map(|amount| amount.parse(["lines", &place, "amount"])).transpose()?;
        let tokens = line.token_ids.as_ref().map(|ids| input_ids(ids, "tokenIds", "token")).transpose();
        let tokens = tokens.map_err(|error| under(error, ["lines".to_owned(), place.clone()]))?;
        lines.push(LineAsk::given(index, id, amount, line.quantity.map(i64::from), tokens).map_err(Refusal::from)?);
    }
    let amount = input.amount.as_ref().map(|amount| amount.parse(["amount"])).transpose()?;
    Ok(Ask { lines, amount, access: input.access.map(|access| access.0) })
}

fn under<const N: usize>(error: crate::error::Error, path: [String; N]) -> crate::error::Error {
    match error {
        crate::error::Error::Refused(refusals) => {
            refusals.into_iter().map(|refusal| refusal.under(path.clone())).collect::<Vec<_>>().into()
        }
        other => other,
    }
}
