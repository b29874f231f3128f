//! Sales orders: seats sold to companies in bulk, with their payments, credit entries and documents.

use async_graphql::{ComplexObject, Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::token::TokenStatus;
use domain::{CompanyId, ProductId, SalesLineId, SalesOrderId, TokenId};
use uuid::Uuid;

use super::connection::{List, connection, empty, wants_total};
use super::error::{answer, payload, scope};
use super::loader::{RoyaltyOf, loaders};
use super::offer::{AccessTerms, PriceStep};
use super::royalty::{Originator, Royalty};
use super::scalar::{CurrencyCode, Long, Money, MoneyInput, input_ids, instant, named_enum};
use crate::app::caller::Topic;
use crate::app::sales_order::{self as app, Head, Key, LineWish};
use crate::app::sales_order_deal::{RefundLine, SalesOrderRefund};
use crate::error::{Faults, Result};
use crate::page::ListName;

named_enum! {
    /// Where a sales order stands. PAID = nothing is due any more; what goes back later is a credit entry, and the state stays.
    SalesOrderStatus(domain::sales_order::SalesOrderStatus)
}

named_enum! {
    /// How a sales order came about: somebody wrote it (ORDER), or it gathers the seats that a company took beyond those that it had bought (OVERAGE).
    SalesOrderKind(domain::sales_order::SalesOrderKind)
}

named_enum! {
    /// When the seats of a sales order are given: as soon as it is confirmed (CONFIRM), or once it is paid (PAYMENT).
    TokensOn(domain::sales_order::TokensOn)
}

named_enum! {
    /// What a document is.
    InvoiceKind(domain::sales_order::DocumentKind)
}

/// Seats sold to a company in bulk.
#[derive(Debug, Clone)]
pub struct SalesOrder(app::SalesOrderView);

impl From<app::SalesOrderView> for SalesOrder {
    fn from(view: app::SalesOrderView) -> Self {
        Self(view)
    }
}

#[Object]
impl SalesOrder {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.order.id.into()
    }

    /// Its number, for people; numbers are not sequential.
    async fn number(&self) -> &str {
        &self.0.order.number
    }

    /// The company that buys.
    async fn company_id(&self) -> ID {
        self.0.order.company.into()
    }

    /// How it came about.
    async fn kind(&self) -> SalesOrderKind {
        self.0.order.kind.into()
    }

    /// Where it stands.
    async fn status(&self) -> SalesOrderStatus {
        self.0.order.status.into()
    }

    /// Who made the sale.
    async fn originator(&self) -> Originator {
        self.0.order.originator.into()
    }

    /// Currency of all its amounts.
    async fn currency(&self) -> CurrencyCode {
        self.0.order.currency.into()
    }

    /// Language of its texts and documents.
    async fn locale(&self) -> &str {
        &self.0.order.locale
    }

    /// The company's own number of it.
    async fn po_number(&self) -> Option<&str> {
        self.0.order.po_number.as_deref()
    }

    /// What is agreed about paying.
    async fn terms(&self) -> Option<&str> {
        self.0.order.terms.as_deref()
    }

    /// Remarks.
    async fn notes(&self) -> Option<&str> {
        self.0.order.notes.as_deref()
    }

    /// Whom its documents are made out to, in lines; null = the company's name.
    async fn bill_to(&self) -> Option<&str> {
        self.0.order.bill_to.as_deref()
    }

    /// When its seats are given; null until it is confirmed, and fixed from then on.
    async fn tokens_on(&self) -> Option<TokensOn> {
        self.0.order.tokens_on.map(TokensOn)
    }

    /// Until when its quote can be accepted.
    async fn valid_until(&self) -> Option<DateTime<Utc>> {
        self.0.order.valid_until
    }

    /// Its lines, in order.
    async fn lines(&self) -> Vec<SalesLine> {
        self.0.order.lines.iter().map(|line| SalesLine::of(line, self.0.seats.get(&line.id))).collect()
    }

    /// Sum of the lines' subtotals.
    async fn subtotal(&self) -> Money {
        self.0.order.totals.subtotal.into()
    }

    /// Sum of the taxes.
    async fn tax(&self) -> Money {
        self.0.order.totals.tax.into()
    }

    /// What it costs, as agreed.
    async fn total(&self) -> Money {
        self.0.order.totals.total.into()
    }

    /// Money that came.
    async fn paid(&self) -> Money {
        self.0.order.account.paid.into()
    }

    /// What of the total is not to be paid, or went back.
    async fn credited(&self) -> Money {
        self.0.order.account.credited.into()
    }

    /// What of the money that came is to be paid out again.
    async fn returned(&self) -> Money {
        self.0.order.account.returned.into()
    }

    /// What is still to be paid; null until it is confirmed.
    async fn due(&self) -> async_graphql::Result<Option<Money>> {
        if self.0.order.confirmed_at.is_none() {
            return Ok(None);
        }
        let due = self.0.order.account.due().map_err(|error| crate::internal!("what is due: {error}"));
        Ok(Some(answer(due)?.into()))
    }

    /// Money that came, in order.
    async fn payments(&self) -> Vec<SalesPayment> {
        let payment = |payment: &app::SalesPayment| SalesPayment {
            amount: payment.amount.into(),
            reference: payment.reference.clone(),
            actor: payment.actor.clone(),
            recorded_at: payment.recorded_at,
        };
        self.0.payments.iter().map(payment).collect()
    }

    /// What went back, in order.
    async fn credits(&self) -> Vec<SalesCredit> {
        self.0.credits.iter().map(SalesCredit::from).collect()
    }

    /// Its invoice; null until it is issued.
    async fn invoice(&self) -> Option<Invoice> {
        let kind = domain::sales_order::DocumentKind::Invoice;
        self.0.documents.iter().find(|document| document.document.kind == kind).cloned().map(Invoice::from)
    }

    /// Its invoice and the credit notes to it, in order of issuing.
    async fn documents(&self) -> Vec<Invoice> {
        self.0.documents.iter().cloned().map(Invoice::from).collect()
    }

    /// Grows with every change.
    async fn version(&self) -> Long {
        Long(self.0.order.version)
    }

    /// Who wrote it.
    async fn created_by(&self) -> &str {
        &self.0.order.created_by
    }

    /// When it was written.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.order.created_at
    }

    /// When it was last sent as a quote.
    async fn quoted_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.quoted_at
    }

    /// Who confirmed or accepted it.
    async fn confirmed_by(&self) -> Option<&str> {
        self.0.order.confirmed_by.as_deref()
    }

    /// When it was confirmed or accepted.
    async fn confirmed_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.confirmed_at
    }

    /// When its invoice was issued.
    async fn invoiced_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.invoiced_at
    }

    /// Since when nothing is due.
    async fn paid_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.paid_at
    }

    /// When its seats were given. They are listed by `tokens(salesOrderId:)`.
    async fn given_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.given_at
    }

    /// When it was cancelled.
    async fn cancelled_at(&self) -> Option<DateTime<Utc>> {
        self.0.order.cancelled_at
    }

    /// Why it was cancelled.
    async fn cancel_reason(&self) -> Option<&str> {
        self.0.order.cancel_reason.as_deref()
    }

    /// When it last changed.
    async fn touched_at(&self) -> DateTime<Utc> {
        self.0.order.touched_at
    }
}

/// A line of a sales order: what is recommended, and beside it what is agreed.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct SalesLine {
    /// Its id.
    pub id: ID,
    /// The product.
    pub product_id: ID,
    /// SKU as it was.
    pub sku: String,
    /// Title as it was.
    pub title: String,
    /// How many seats.
    pub quantity: u32,
    /// The recommended price of one seat: the company's or the list price, then the discount schedule. Null without a price, and where the parts of
    /// a graduated schedule differ.
    pub recommended_price: Option<Money>,
    /// The recommended price of all seats; null without a price.
    pub recommended_subtotal: Option<Money>,
    /// What the recommended price is computed from.
    pub price_breakdown: Vec<PriceStep>,
    /// The agreed price of one seat; null where the parts of a graduated schedule differ.
    pub agreed_price: Option<Money>,
    /// Who agreed.
    pub agreed_by: String,
    /// Why something else than recommended is agreed; null if it is not.
    pub agreed_reason: Option<String>,
    /// The recommended terms of access.
    pub recommended_terms: AccessTerms,
    /// The agreed terms of access.
    pub terms: AccessTerms,
    /// The agreed price of all seats.
    pub subtotal: Money,
    /// Without tax.
    pub net: Money,
    /// Tax.
    pub tax: Money,
    /// What is paid for the line.
    pub total: Money,
    /// Seats that went back.
    pub credited_quantity: u32,
    /// What of the total went back with them.
    pub credited: Money,
    /// Where its seats stand; all zero until they are given.
    pub seats: SalesSeats,
}

#[ComplexObject]
impl SalesLine {
    /// What it owes a licensor, once its seats are given or, taken beyond those that were bought, billed; for operators and keys with
    /// `reports:read`.
    async fn royalty(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Royalty>> {
        let (_, caller) = scope(ctx)?;
        match SalesLineId::parse(&self.id).filter(|_| caller.may(Topic::Reports.read())) {
            Some(line) => Ok(loaders(ctx)?.one(RoyaltyOf(line.uuid())).await?.map(Royalty::from)),
            None => Ok(None),
        }
    }
}

/// How many seats stand where.
#[derive(Debug, Clone, Copy, Default, SimpleObject)]
pub struct SalesSeats {
    /// Nobody has them.
    pub free: u32,
    /// They were handed out and not redeemed.
    pub assigned: u32,
    /// They were redeemed.
    pub redeemed: u32,
    /// They went back.
    pub void: u32,
    /// Their time ran out before anybody redeemed them.
    pub expired: u32,
}

impl SalesLine {
    fn of(line: &app::SalesLine, seats: Option<&std::collections::BTreeMap<TokenStatus, u32>>) -> Self {
        let seats = |status| seats.and_then(|seats| seats.get(&status)).copied().unwrap_or(0);
        let recommended = line.recommended.as_ref();
        Self {
            id: line.id.into(),
            product_id: line.product.into(),
            sku: line.sku.clone(),
            title: line.title.clone(),
            quantity: line.quantity,
            recommended_price: recommended.and_then(|quote| quote.unit_price).map(Money::from),
            recommended_subtotal: recommended.map(|quote| quote.subtotal.into()),
            price_breakdown: recommended.map(|quote| quote.steps.iter().map(PriceStep::from).collect()).unwrap_or_default(),
            agreed_price: line.unit_price.map(Money::from),
            agreed_by: line.agreed_by.clone(),
            agreed_reason: line.agreed_reason.clone(),
            recommended_terms: line.recommended_terms.into(),
            terms: line.terms.into(),
            subtotal: line.amounts.subtotal.into(),
            net: line.amounts.net.into(),
            tax: line.amounts.tax.into(),
            total: line.amounts.total.into(),
            credited_quantity: line.credited_quantity,
            credited: line.credited.into(),
            seats: SalesSeats {
                free: seats(TokenStatus::Free),
                assigned: seats(TokenStatus::Assigned),
                redeemed: seats(TokenStatus::Redeemed),
                void: seats(TokenStatus::Void),
                expired: seats(TokenStatus::Expired),
            },
        }
    }
}

/// Money that came for a sales order.
#[derive(Debug, Clone, SimpleObject)]
pub struct SalesPayment {
    /// How much.
    pub amount: Money,
    /// What the bank or the payer called it.
    pub reference: String,
    /// Who recorded it.
    pub actor: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

/// What of a sales order is not to be paid, or goes back.
#[derive(Debug, Clone, SimpleObject)]
pub struct SalesCredit {
    /// How much.
    pub amount: Money,
    /// What of that is to be paid out, because it was paid.
    pub returned: Money,
    /// Of which lines.
    pub lines: Vec<SalesCreditLine>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub actor: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

/// What of a line went back.
#[derive(Debug, Clone, SimpleObject)]
pub struct SalesCreditLine {
    /// The line.
    pub sales_line_id: ID,
    /// How many seats.
    pub quantity: u32,
    /// What was agreed for them.
    pub amount: Money,
}

impl From<&app::SalesCredit> for SalesCredit {
    fn from(credit: &app::SalesCredit) -> Self {
        let lines = credit.lines.iter().map(|line| SalesCreditLine {
            sales_line_id: line.line.into(),
            quantity: line.quantity,
            amount: line.amount.into(),
        });
        Self {
            amount: credit.amount.into(),
            returned: credit.returned.into(),
            lines: lines.collect(),
            reason: credit.reason.clone(),
            actor: credit.actor.clone(),
            recorded_at: credit.recorded_at,
        }
    }
}

/// An invoice or a credit note, as it was issued.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Invoice {
    #[graphql(skip)]
    key: domain::InvoiceId,
    /// What it is.
    pub kind: InvoiceKind,
    /// Its number; those of a kind follow one another without a gap.
    pub number: String,
    /// The sales order it is about.
    pub sales_order_id: ID,
    /// Its total.
    pub total: Money,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
}

impl From<app::Invoice> for Invoice {
    fn from(invoice: app::Invoice) -> Self {
        Self {
            key: invoice.id,
            kind: invoice.document.kind.into(),
            number: invoice.number,
            sales_order_id: invoice.order.into(),
            total: invoice.document.total.into(),
            issued_at: invoice.issued_at,
        }
    }
}

#[ComplexObject]
impl Invoice {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.key.into()
    }

    /// Where it can be read and printed, for 15 minutes without signing in.
    async fn url(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        let (app, _) = scope(ctx)?;
        Ok(app.invoice_url(self.key))
    }
}

/// A line to be sold.
#[derive(Debug, Clone, InputObject)]
pub struct SalesLineInput {
    /// The product.
    pub product_id: ID,
    /// How many seats: 1 to 10,000.
    pub quantity: i64,
    /// The price of one seat, if another one than recommended is agreed. A company's manager cannot agree on a lower one.
    pub agreed_price: Option<MoneyInput>,
    /// Days of access, if others than recommended are agreed. A company's manager cannot agree on more.
    pub access_days: Option<i64>,
    /// Why something else than recommended is agreed; needed then.
    pub agreed_reason: Option<String>,
}

/// A sales order to be written.
#[derive(Debug, InputObject)]
pub struct SalesOrderCreateInput {
    /// The company that buys.
    pub company_id: ID,
    /// Its lines: 1 to 100.
    pub lines: Vec<SalesLineInput>,
    /// Currency of its amounts; the shop's base currency unless given.
    pub currency: Option<CurrencyCode>,
    /// Language of its texts and documents; the shop's unless given.
    pub locale: Option<String>,
    /// The company's own number of it.
    pub po_number: Option<String>,
    /// What is agreed about paying.
    pub terms: Option<String>,
    /// Remarks.
    pub notes: Option<String>,
    /// Whom its documents are made out to: name, address, tax number, in lines; the company's name unless given.
    pub bill_to: Option<String>,
    /// Who made the sale; OPERATOR unless given, or COMPANY if a company's manager writes it. For operators.
    pub originator: Option<Originator>,
    /// A new key for each sales order.
    pub idempotency_key: String,
}

/// What is to change of a sales order that is not agreed yet; what is left out stays.
#[derive(Debug, InputObject)]
pub struct SalesOrderUpdateInput {
    /// The sales order.
    pub sales_order_id: ID,
    /// The version that was seen; another one is refused with SALES_ORDER_CHANGED.
    pub expected_version: Option<Long>,
    /// All its lines, priced anew.
    pub lines: Option<Vec<SalesLineInput>>,
    /// The company's own number of it.
    #[graphql(default)]
    pub po_number: MaybeUndefined<String>,
    /// What is agreed about paying.
    #[graphql(default)]
    pub terms: MaybeUndefined<String>,
    /// Remarks.
    #[graphql(default)]
    pub notes: MaybeUndefined<String>,
    /// Whom its documents are made out to.
    #[graphql(default)]
    pub bill_to: MaybeUndefined<String>,
    /// Who made the sale. For operators.
    pub originator: Option<Originator>,
    /// A new key for each change.
    pub idempotency_key: String,
}

/// A sales order to be sent as a quote.
#[derive(Debug, InputObject)]
pub struct SalesOrderQuoteSendInput {
    /// The sales order.
    pub sales_order_id: ID,
    /// Until when it can be accepted; without end unless given.
    pub valid_until: Option<DateTime<Utc>>,
    /// A new key for each sending.
    pub idempotency_key: String,
}

/// A quote to be accepted.
#[derive(Debug, InputObject)]
pub struct SalesOrderQuoteAcceptInput {
    /// The sales order.
    pub sales_order_id: ID,
    /// A new key for each accepting.
    pub idempotency_key: String,
}

/// A sales order to be confirmed.
#[derive(Debug, InputObject)]
pub struct SalesOrderConfirmInput {
    /// The sales order.
    pub sales_order_id: ID,
    /// A new key for each confirming.
    pub idempotency_key: String,
}

/// A sales order to be invoiced.
#[derive(Debug, InputObject)]
pub struct SalesOrderInvoiceInput {
    /// The sales order.
    pub sales_order_id: ID,
    /// A new key for each invoice.
    pub idempotency_key: String,
}

/// Money that came for a sales order.
#[derive(Debug, InputObject)]
pub struct SalesOrderPaymentRecordInput {
    /// The sales order.
    pub sales_order_id: ID,
    /// How much; at most what is due.
    pub amount: MoneyInput,
    /// What the bank or the payer called it.
    pub reference: String,
    /// A new key for each payment.
    pub idempotency_key: String,
}

/// A sales order to be called off.
#[derive(Debug, InputObject)]
pub struct SalesOrderCancelInput {
    /// The sales order.
    pub sales_order_id: ID,
    /// Why; kept and shown.
    pub reason: String,
    /// Whether redeemed seats are taken back too, which ends the access that they gave.
    #[graphql(default = false)]
    pub include_redeemed: bool,
    /// A new key for each call.
    pub idempotency_key: String,
}

/// Seats of a line that go back: how many, or which.
#[derive(Debug, InputObject)]
pub struct SalesRefundLineInput {
    /// The line.
    pub sales_line_id: ID,
    /// How many seats; unused ones, the newest first.
    pub quantity: Option<i64>,
    /// Which seats.
    pub token_ids: Option<Vec<ID>>,
}

/// Seats of a sales order that go back.
#[derive(Debug, InputObject)]
pub struct SalesOrderRefundInput {
    /// The sales order.
    pub sales_order_id: ID,
    /// Of which lines; all seats that nobody redeemed unless given.
    pub lines: Option<Vec<SalesRefundLineInput>>,
    /// Whether redeemed seats go back too, which ends the access that they gave.
    #[graphql(default = false)]
    pub include_redeemed: bool,
    /// Why; kept and shown.
    pub reason: String,
    /// A new key for each refund.
    pub idempotency_key: String,
}

macro_rules! order_payload {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(payload! {
            $(#[$doc])*
            $name {
                /// The sales order as it is now.
                sales_order: SalesOrder, replayed
            }
        })*
    };
}

order_payload! {
    /// The answer of salesOrderCreate.
    SalesOrderCreatePayload;
    /// The answer of salesOrderUpdate.
    SalesOrderUpdatePayload;
    /// The answer of salesOrderQuoteSend.
    SalesOrderQuoteSendPayload;
    /// The answer of salesOrderQuoteAccept.
    SalesOrderQuoteAcceptPayload;
    /// The answer of salesOrderConfirm.
    SalesOrderConfirmPayload;
    /// The answer of salesOrderInvoice.
    SalesOrderInvoicePayload;
    /// The answer of salesOrderPaymentRecord.
    SalesOrderPaymentRecordPayload;
    /// The answer of salesOrderCancel.
    SalesOrderCancelPayload;
    /// The answer of salesOrderRefund.
    SalesOrderRefundPayload;
}

/// Which sales orders to list.
#[derive(Debug, Default, InputObject)]
pub struct SalesOrderFilter {
    /// Of this company.
    company_id: Option<ID>,
    /// In one of these states.
    status: Option<Vec<SalesOrderStatus>>,
    /// Of this kind.
    kind: Option<SalesOrderKind>,
    /// With this number.
    number: Option<String>,
    /// With this in the company's own number.
    po_number: Option<String>,
    /// With a line of this product.
    product_id: Option<ID>,
    /// Written then or later.
    created_from: Option<DateTime<Utc>>,
    /// Written before then.
    created_before: Option<DateTime<Utc>>,
}

/// Queries about sales orders.
#[derive(Debug, Default)]
pub struct SalesOrderQuery;

#[Object]
impl SalesOrderQuery {
    /// A sales order, for operators and the company's managers; null for others.
    async fn sales_order(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<SalesOrder>> {
        let (app, caller) = scope(ctx)?;
        Ok(answer(app.sales_order(caller, SalesOrderId::parse(&id)).await)?.map(SalesOrder))
    }

    /// Sales orders, the newest first: for operators all, for managers those of their companies.
    async fn sales_orders(
        &self,
        ctx: &Context<'_>,
        filter: Option<SalesOrderFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<SalesOrder>> {
        let (app, caller) = scope(ctx)?;
        let found = async {
            let asked = filter.unwrap_or_default();
            let company = asked.company_id.map(|id| CompanyId::parse(&id));
            let product = asked.product_id.map(|id| ProductId::parse(&id));
            // An id of nothing has no sales orders; who may not ask is told so all the same.
            let nothing = company == Some(None) || product == Some(None);
            let filter = app::SalesOrderFilter {
                companies: company.flatten().map(|company| vec![company]),
                statuses: asked.status.unwrap_or_default().into_iter().map(|status| status.0).collect(),
                kind: asked.kind.map(|kind| kind.0),
                created_from: instant(asked.created_from, "createdFrom")?,
                created_before: instant(asked.created_before, "createdBefore")?,
                number: asked.number,
                po_number: asked.po_number,
                product: product.flatten(),
            };
            let list = ListName::new("salesOrders", &filter)?;
            let args = list.args::<(Key, Uuid)>(first, after.as_deref())?;
            match app.sales_orders(caller, filter, &args, wants_total(ctx)).await? {
                Some(page) if !nothing => connection(&list, page, app::key, SalesOrder),
                _ => Ok(empty(wants_total(ctx))),
            }
        };
        answer(found.await)
    }
}

/// Mutations of sales orders.
#[derive(Debug, Default)]
pub struct SalesOrderMutation;

#[Object]
impl SalesOrderMutation {
    /// Writes a sales order, as a draft. For operators, and for managers for their own company.
    async fn sales_order_create(&self, ctx: &Context<'_>, input: SalesOrderCreateInput) -> async_graphql::Result<SalesOrderCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let created = async {
            let company = app.require_for(caller, Topic::Sales.write(), CompanyId::parse(&input.company_id), "companyId")?;
            let cmd = app::SalesOrderCreate {
                company: Some(company),
                currency: input.currency.map(|currency| currency.parse(["currency"])).transpose()?,
                locale: input.locale,
                head: Head {
                    po_number: input.po_number.map(Some),
                    terms: input.terms.map(Some),
                    notes: input.notes.map(Some),
                    bill_to: input.bill_to.map(Some),
                    originator: input.originator.map(|originator| originator.0),
                },
                lines: wishes(input.lines)?,
                idempotency_key: input.idempotency_key,
            };
            app.sales_order_create(caller, cmd).await
        };
        SalesOrderCreatePayload::of(created.await)
    }

    /// Changes a sales order that is not agreed yet; lines are priced anew. A quote that an operator changes is a draft again; a manager changes
    /// drafts only.
    async fn sales_order_update(&self, ctx: &Context<'_>, input: SalesOrderUpdateInput) -> async_graphql::Result<SalesOrderUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        let updated = async {
            app.require_some_company(caller, Topic::Sales.write())?;
            let cmd = app::SalesOrderUpdate {
                id: SalesOrderId::parse(&input.sales_order_id),
                expected_version: input.expected_version.map(|version| version.0),
                head: Head {
                    po_number: input.po_number.into(),
                    terms: input.terms.into(),
                    notes: input.notes.into(),
                    bill_to: input.bill_to.into(),
                    originator: input.originator.map(|originator| originator.0),
                },
                lines: input.lines.map(wishes).transpose()?,
                idempotency_key: input.idempotency_key,
            };
            app.sales_order_update(caller, cmd).await
        };
        SalesOrderUpdatePayload::of(updated.await)
    }

    /// Sends a sales order to the company's managers as a quote. For operators.
    async fn sales_order_quote_send(
        &self,
        ctx: &Context<'_>,
        input: SalesOrderQuoteSendInput,
    ) -> async_graphql::Result<SalesOrderQuoteSendPayload> {
        let (app, caller) = scope(ctx)?;
        let id = SalesOrderId::parse(&input.sales_order_id);
        SalesOrderQuoteSendPayload::of(app.sales_order_quote_send(caller, id, input.valid_until, &input.idempotency_key).await)
    }

    /// Accepts a quote: it becomes the order, confirmed at what it says. For the company's managers.
    async fn sales_order_quote_accept(
        &self,
        ctx: &Context<'_>,
        input: SalesOrderQuoteAcceptInput,
    ) -> async_graphql::Result<SalesOrderQuoteAcceptPayload> {
        let (app, caller) = scope(ctx)?;
        let id = SalesOrderId::parse(&input.sales_order_id);
        SalesOrderQuoteAcceptPayload::of(app.sales_order_quote_accept(caller, id, &input.idempotency_key).await)
    }

    /// Makes a sales order hold. For operators; a company's manager confirms a draft whose lines are at what is recommended today, or worse for the
    /// company.
    async fn sales_order_confirm(
        &self,
        ctx: &Context<'_>,
        input: SalesOrderConfirmInput,
    ) -> async_graphql::Result<SalesOrderConfirmPayload> {
        let (app, caller) = scope(ctx)?;
        let id = SalesOrderId::parse(&input.sales_order_id);
        SalesOrderConfirmPayload::of(app.sales_order_confirm(caller, id, &input.idempotency_key).await)
    }

    /// Issues the invoice of a confirmed sales order, once. For operators.
    async fn sales_order_invoice(
        &self,
        ctx: &Context<'_>,
        input: SalesOrderInvoiceInput,
    ) -> async_graphql::Result<SalesOrderInvoicePayload> {
        let (app, caller) = scope(ctx)?;
        let id = SalesOrderId::parse(&input.sales_order_id);
        SalesOrderInvoicePayload::of(app.sales_order_invoice(caller, id, &input.idempotency_key).await)
    }

    /// Records money that came for a confirmed sales order, in parts or at once; it is PAID once nothing is due. For operators.
    async fn sales_order_payment_record(
        &self,
        ctx: &Context<'_>,
        input: SalesOrderPaymentRecordInput,
    ) -> async_graphql::Result<SalesOrderPaymentRecordPayload> {
        let (app, caller) = scope(ctx)?;
        let recorded = async {
            caller.require(Topic::Sales.write())?;
            let id = SalesOrderId::parse(&input.sales_order_id);
            let amount = input.amount.parse(["amount"])?;
            app.sales_order_payment_record(caller, id, amount, &input.reference, &input.idempotency_key).await
        };
        SalesOrderPaymentRecordPayload::of(recorded.await)
    }

    /// Calls a sales order off for which no money came; its seats are void, and an invoice that is out gets a credit note. For operators; a
    /// company's manager calls off drafts and quotes.
    async fn sales_order_cancel(&self, ctx: &Context<'_>, input: SalesOrderCancelInput) -> async_graphql::Result<SalesOrderCancelPayload> {
        let (app, caller) = scope(ctx)?;
        let id = SalesOrderId::parse(&input.sales_order_id);
        SalesOrderCancelPayload::of(app.sales_order_cancel(caller, id, input.include_redeemed, &input.reason, &input.idempotency_key).await)
    }

    /// Gives seats of a confirmed sales order back, as a credit entry: what is not paid is no longer due, what was paid is paid out. Unused seats
    /// become void. For operators.
    async fn sales_order_refund(&self, ctx: &Context<'_>, input: SalesOrderRefundInput) -> async_graphql::Result<SalesOrderRefundPayload> {
        let (app, caller) = scope(ctx)?;
        let refunded = async {
            caller.require(Topic::Sales.write())?;
            let cmd = SalesOrderRefund {
                id: SalesOrderId::parse(&input.sales_order_id),
                lines: refund_lines(input.lines.unwrap_or_default())?,
                include_redeemed: input.include_redeemed,
                reason: input.reason,
                idempotency_key: input.idempotency_key,
            };
            app.sales_order_refund(caller, cmd).await
        };
        SalesOrderRefundPayload::of(refunded.await)
    }
}

fn wishes(lines: Vec<SalesLineInput>) -> Result<Vec<LineWish>> {
    let mut faults = Faults::default();
    let mut wishes = Vec::with_capacity(lines.len());
    for (place, line) in lines.into_iter().enumerate() {
        let path = ["lines".to_owned(), place.to_string(), "agreedPrice".to_owned()];
        let price = line.agreed_price.and_then(|price| faults.of(price.parse(path)));
        wishes.push(LineWish {
            product: ProductId::parse(&line.product_id),
            quantity: line.quantity,
            price,
            access_days: line.access_days,
            reason: line.agreed_reason,
        });
    }
    faults.check()?;
    Ok(wishes)
}

fn refund_lines(lines: Vec<SalesRefundLineInput>) -> Result<Vec<RefundLine>> {
    let line = |(place, line): (usize, SalesRefundLineInput)| {
        let tokens: Result<Vec<TokenId>> = input_ids(&line.token_ids.unwrap_or_default(), "tokenIds", "token");
        let tokens = tokens.map_err(|error| error.under(&place.to_string()).under("lines"))?;
        Ok(RefundLine { line: SalesLineId::parse(&line.sales_line_id), quantity: line.quantity, tokens })
    };
    lines.into_iter().enumerate().map(line).collect()
}
