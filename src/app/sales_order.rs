//! Sales orders as they are written and read: by operators, and by a company's own managers for that company alone.
//!
//! Always true here: what is recommended comes from the offer, priced by the one function that prices carts; what is agreed stands beside it; an
//! order of another company does not exist for a manager.

use std::collections::{BTreeMap, HashMap};

use domain::entitlement::Target;
use domain::order::OrderNumber;
use domain::pricing::{Channel, LineAmounts, Totals};
use domain::royalty::Originator;
use domain::sales_order::{
    Account, MAX_LINES, Recommended, SalesOrderKind, SalesOrderStatus, SalesRefusal, Side, Step, Wish, agree, check, quantity,
};
use domain::seat::Sold;
use domain::text;
use domain::token::TokenStatus;
use domain::{CompanyId, Currency, Money, ProductId, SalesLineId, SalesOrderId};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::{Caller, Topic, Who};
use super::company::may_for_some;
use super::offer::{ContextArgs, Detail, OfferContext, OfferView};
use super::order::target_kind;
use super::payment::money_fault;
use super::tax::Taxes;
use super::{Answer, App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::company::Company;
use crate::store::idempotency::Scope;

pub use crate::store::page::Key;
pub use crate::store::sales_order::{Invoice, SalesCredit, SalesLine, SalesOrder, SalesOrderFilter, SalesPayment};

/// Most characters of a company's own number of an order.
const MAX_PO_NUMBER: usize = 100;
/// Most characters of terms, of whom documents are made out to, of a reason.
const MAX_TERMS: usize = 1_000;
/// Most characters of notes.
const MAX_NOTES: usize = 10_000;

/// A line to be sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineWish {
    /// The product; none if the id is one of nothing.
    pub product: Option<ProductId>,
    /// How many seats.
    pub quantity: i64,
    /// The price of one seat, if another one than recommended is agreed.
    pub price: Option<Money>,
    /// Days of access, if others than recommended are agreed.
    pub access_days: Option<i64>,
    /// Why.
    pub reason: Option<String>,
}

/// What is said about a sales order as a whole; absent = stays, `Some(None)` = nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The company's own number of it.
    pub po_number: Option<Option<String>>,
    /// What is agreed about paying.
    pub terms: Option<Option<String>>,
    /// Remarks.
    pub notes: Option<Option<String>>,
    /// Whom its documents are made out to.
    pub bill_to: Option<Option<String>>,
    /// Who made the sale.
    pub originator: Option<Originator>,
}

/// A sales order to be written.
#[derive(Debug, Clone, Serialize)]
pub struct SalesOrderCreate {
    /// The company that buys; none if the id is one of nothing.
    pub company: Option<CompanyId>,
    /// Currency of its amounts; the shop's unless given.
    pub currency: Option<Currency>,
    /// Language of its texts and documents; the shop's unless given.
    pub locale: Option<String>,
    /// What is said about it.
    pub head: Head,
    /// Its lines.
    pub lines: Vec<LineWish>,
    /// Key of this request.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// What is to change of a sales order.
#[derive(Debug, Clone, Serialize)]
pub struct SalesOrderUpdate {
    /// The sales order.
    pub id: Option<SalesOrderId>,
    /// The version that the caller has seen.
    pub expected_version: Option<i64>,
    /// What is said about it.
    pub head: Head,
    /// All its lines; absent = they stay.
    pub lines: Option<Vec<LineWish>>,
    /// Key of this request.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// A sales order with all that came of it.
#[derive(Debug, Clone)]
pub struct SalesOrderView {
    /// The order.
    pub order: SalesOrder,
    /// Money that came.
    pub payments: Vec<SalesPayment>,
    /// What went back.
    pub credits: Vec<SalesCredit>,
    /// Invoices and credit notes.
    pub documents: Vec<Invoice>,
    /// How many seats of each line stand where.
    pub seats: HashMap<SalesLineId, BTreeMap<TokenStatus, u32>>,
}

impl App {
    /// Writes a sales order for a company, as a draft.
    ///
    /// # Errors
    /// Not for this caller; no such company, or one that makes no sales; each line that cannot be sold, or not like that, by its place.
    pub async fn sales_order_create(&self, caller: &Caller, cmd: SalesOrderCreate) -> Result<Answer<SalesOrderView>> {
        let company = self.require_for(caller, Topic::Sales.write(), cmd.company, "companyId")?;
        let side = side(caller);
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "salesOrderCreate", key: &cmd.idempotency_key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &cmd).await? {
            txn.commit().await?;
            return self.replayed(earlier).await;
        }
        let company = self.buying_company(&txn, company, "companyId").await?;
        let args = ContextArgs { company: Some(company.id), currency: cmd.currency, locale: cmd.locale };
        let context = self.sales_context(&txn, args).await?;
        let mut faults = Faults::default();
        let mut order = self.new_sales_order(&company, &context, SalesOrderKind::Order, &actor);
        order.originator = if side == Side::Shop { Originator::Operator } else { Originator::Company };
        write_head(&mut faults, &mut order, cmd.head, side);
        order.lines = self.sales_lines(&txn, &mut faults, &context, &cmd.lines, side, &actor).await?;
        faults.check()?;
        sum_up(&mut order)?;
        store::sales_order::insert(&txn, &order).await?;
        self.audit(&txn, caller, "salesOrderCreate", object(&order), None, Some(told(&order))).await?;
        store::idempotency::finish(&txn, &scope, serde_json::to_value(order.id)?).await?;
        txn.commit().await?;
        Ok(Answer { value: self.sales_order_view(order.id).await?, replayed: false })
    }

    /// Changes a sales order that is not agreed yet. A quote that the shop changes is a draft again.
    ///
    /// # Errors
    /// Not for this caller; no such order, or in another state or version; each line that cannot be sold, or not like that, by its place.
    pub async fn sales_order_update(&self, caller: &Caller, cmd: SalesOrderUpdate) -> Result<Answer<SalesOrderView>> {
        may_for_some(caller, Topic::Sales.write())?;
        let side = side(caller);
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "salesOrderUpdate", key: &cmd.idempotency_key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &cmd).await? {
            txn.commit().await?;
            return self.replayed(earlier).await;
        }
        let held = self.sales_order_to_write(&txn, caller, cmd.id).await?;
        check(Step::Update, side, held.status).map_err(Refusal::from)?;
        if let Some(expected) = cmd.expected_version
            && expected != held.version
        {
            let message = format!("The sales order is in version {}, not {expected}; read it again and repeat the change.", held.version);
            return Err(Error::refused(Code::SalesOrderChanged, ["expectedVersion"], message));
        }
        let company = self.buying_company(&txn, held.company, "salesOrderId").await?;
        let mut order = held.clone();
        let mut faults = Faults::default();
        write_head(&mut faults, &mut order, cmd.head, side);
        if let Some(lines) = &cmd.lines {
            let args = ContextArgs { company: Some(company.id), currency: Some(order.currency), locale: Some(order.locale.clone()) };
            let context = self.sales_context(&txn, args).await?;
            order.lines = self.sales_lines(&txn, &mut faults, &context, lines, side, &actor).await?;
        }
        faults.check()?;
        sum_up(&mut order)?;
        if order != held {
            order.status = SalesOrderStatus::Draft;
            self.save_sales_order(&txn, &mut order).await?;
            if cmd.lines.is_some() {
                store::sales_order::replace_lines(&txn, order.id, &order.lines).await?;
            }
            self.audit(&txn, caller, "salesOrderUpdate", object(&order), Some(told(&held)), Some(told(&order))).await?;
        }
        store::idempotency::finish(&txn, &scope, serde_json::to_value(order.id)?).await?;
        txn.commit().await?;
        Ok(Answer { value: self.sales_order_view(order.id).await?, replayed: false })
    }

    /// A sales order for this caller. `None`: there is none, or it is not theirs.
    ///
    /// # Errors
    /// The database's.
    pub async fn sales_order(&self, caller: &Caller, id: Option<SalesOrderId>) -> Result<Option<SalesOrderView>> {
        let Some(id) = id else { return Ok(None) };
        Ok(self.sales_orders_by_id(caller, &[id]).await?.remove(&id))
    }

    /// Those of these sales orders that the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn sales_orders_by_id(&self, caller: &Caller, ids: &[SalesOrderId]) -> Result<HashMap<SalesOrderId, SalesOrderView>> {
        let db = &self.db.reading().await?;
        let mut found = store::sales_order::by_ids(db, ids).await?;
        found.retain(|order| caller.may_for(Topic::Sales.read(), order.company));
        Ok(self.sales_order_views(db, found).await?.into_iter().map(|view| (view.order.id, view)).collect())
    }

    /// A page of sales orders, the newest first: all for operators, for managers those of their companies. `None`: nothing of what is asked for is
    /// theirs.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn sales_orders(
        &self,
        caller: &Caller,
        mut filter: SalesOrderFilter,
        args: &PageArgs<(Key, Uuid)>,
        total: bool,
    ) -> Result<Option<Page<SalesOrderView>>> {
        let scope = Topic::Sales.read();
        may_for_some(caller, scope)?;
        if !caller.may(scope) {
            let own = match &caller.who {
                Who::Account { manages, .. } => manages.clone(),
                Who::ManagerKey { company, .. } => vec![*company],
                Who::Guest | Who::Key { .. } | Who::System => Vec::new(),
            };
            filter.companies = match filter.companies {
                Some(asked) if asked.iter().any(|company| !own.contains(company)) => return Ok(None),
                Some(asked) => Some(asked),
                None => Some(own),
            };
        }
        let db = &self.db.reading().await?;
        let Page { rows, has_next, has_previous, total } = store::sales_order::list(db, &filter, args, total).await?;
        Ok(Some(Page { rows: self.sales_order_views(db, rows).await?, has_next, has_previous, total }))
    }

    // ---- for whoever takes the steps ------------------------------------------------------------------------------------------------

    /// The sales order, held to the end of the transaction, if the caller may write of its company.
    pub(super) async fn sales_order_to_write(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        id: Option<SalesOrderId>,
    ) -> Result<SalesOrder> {
        let found = match id {
            Some(id) => store::sales_order::lock(txn, id).await?,
            None => None,
        };
        let found = found.filter(|order| caller.may_for(Topic::Sales.write(), order.company));
        found.ok_or_else(|| Error::not_found("salesOrderId", "sales order"))
    }

    /// The answer of an earlier call.
    pub(super) async fn replayed(&self, earlier: Value) -> Result<Answer<SalesOrderView>> {
        Ok(Answer { value: self.sales_order_view(serde_json::from_value(earlier)?).await?, replayed: true })
    }

    /// A sales order as it is now.
    pub(super) async fn sales_order_view(&self, id: SalesOrderId) -> Result<SalesOrderView> {
        let db = &self.db.reading().await?;
        let found = store::sales_order::by_ids(db, &[id]).await?;
        self.sales_order_views(db, found).await?.pop().ok_or_else(|| internal!("{id} is gone"))
    }

    async fn sales_order_views(&self, db: &impl ConnectionTrait, orders: Vec<SalesOrder>) -> Result<Vec<SalesOrderView>> {
        let ids: Vec<SalesOrderId> = orders.iter().map(|order| order.id).collect();
        let mut books = store::sales_order::books(db, &orders).await?;
        let mut seats = store::token::standing_of_sales_orders(db, &ids, self.now()).await?;
        let view = |order: SalesOrder| SalesOrderView {
            payments: books.payments.remove(&order.id).unwrap_or_default(),
            credits: books.credits.remove(&order.id).unwrap_or_default(),
            documents: books.documents.remove(&order.id).unwrap_or_default(),
            seats: order.lines.iter().filter_map(|line| Some((line.id, seats.remove(&line.id)?))).collect(),
            order,
        };
        Ok(orders.into_iter().map(view).collect())
    }

    /// Writes what a sales order is now, as its next version.
    pub(super) async fn save_sales_order(&self, txn: &DatabaseTransaction, order: &mut SalesOrder) -> Result<()> {
        order.version += 1;
        order.touched_at = self.now();
        Ok(store::sales_order::update(txn, order).await?)
    }

    /// The company, if it may buy.
    pub(super) async fn buying_company(&self, db: &impl ConnectionTrait, id: CompanyId, field: &str) -> Result<Company> {
        let company = store::company::find(db, id).await?.ok_or_else(|| Error::not_found(field, "company"))?;
        if company.archived_at.is_some() {
            return Err(Error::refused(Code::Archived, [field], "This company is archived and buys no more; create another one."));
        }
        if !company.enabled {
            let message = "This company is disabled and buys nothing at present; running access goes on. Enable it with companyUpdate.";
            return Err(Error::refused(Code::CompanyDisabled, [field], message));
        }
        Ok(company)
    }

    /// The context of a company's bulk prices.
    pub(super) async fn sales_context(&self, db: &impl ConnectionTrait, args: ContextArgs) -> Result<OfferContext> {
        Ok(OfferContext { channel: Channel::SalesOrder, ..self.offer_context_for(db, None, args).await? })
    }

    /// A sales order of nothing.
    pub(super) fn new_sales_order(&self, company: &Company, context: &OfferContext, kind: SalesOrderKind, actor: &str) -> SalesOrder {
        let (now, zero) = (self.now(), Money::zero(context.currency));
        let mut bits = [0; 8];
        self.entropy.fill(&mut bits);
        SalesOrder {
            id: entropy::next_id(),
            number: OrderNumber::from_random(bits).to_string(),
            company: company.id,
            kind,
            status: SalesOrderStatus::Draft,
            originator: Originator::Operator,
            currency: context.currency,
            locale: context.locale.clone(),
            po_number: None,
            terms: None,
            notes: None,
            bill_to: None,
            tokens_on: None,
            valid_until: None,
            totals: Totals { subtotal: zero, discount: zero, net: zero, tax: zero, total: zero },
            account: Account { total: zero, credited: zero, paid: zero, returned: zero },
            version: 1,
            created_by: actor.to_owned(),
            created_at: now,
            quoted_at: None,
            confirmed_by: None,
            confirmed_at: None,
            invoiced_at: None,
            paid_at: None,
            given_at: None,
            cancelled_at: None,
            cancel_reason: None,
            touched_at: now,
            lines: Vec::new(),
        }
    }

    /// The lines that are wished for, with what is recommended for each. What is wrong is noted by place.
    async fn sales_lines(
        &self,
        txn: &DatabaseTransaction,
        faults: &mut Faults,
        context: &OfferContext,
        wishes: &[LineWish],
        side: Side,
        actor: &str,
    ) -> Result<Vec<SalesLine>> {
        if wishes.is_empty() {
            faults.add(SalesRefusal::NoLines.into());
        }
        if wishes.len() > MAX_LINES {
            faults.add(SalesRefusal::TooManyLines { given: wishes.len() }.into());
            return Ok(Vec::new());
        }
        let wanted = wishes.iter().filter_map(|wish| Some((wish.product?, quantity(wish.quantity).unwrap_or(1))));
        let wanted: Vec<(ProductId, u32)> = wanted.collect();
        let mut offers = self.offers_of(txn, context, Detail::default(), &wanted).await?.into_iter().peekable();
        let taxes = self.taxes(txn, None, context.company.as_ref(), context.at).await?;
        let mut lines = Vec::with_capacity(wishes.len());
        for (place, wish) in wishes.iter().enumerate() {
            // Products that are not there are left out of the offers, which are in order.
            let offer = match wish.product {
                Some(product) => offers.next_if(|offer| offer.product == product),
                None => None,
            };
            let made = match offer {
                Some(offer) if side == Side::Shop || offer.visible => self.sales_line(context, &taxes, offer, wish, side, actor)?,
                _ => Err(vec![Refusal::at(Code::NotFound, ["productId"], "There is no such product; check the id.")]),
            };
            match made {
                Ok(line) => lines.push(line),
                Err(refusals) => {
                    refusals.into_iter().for_each(|refusal| faults.add(refusal.under(["lines".to_owned(), place.to_string()])));
                }
            }
        }
        Ok(lines)
    }

    fn sales_line(
        &self,
        context: &OfferContext,
        taxes: &Taxes,
        offer: OfferView,
        wish: &LineWish,
        side: Side,
        actor: &str,
    ) -> Result<Result<SalesLine, Vec<Refusal>>> {
        let mut refusals = Vec::new();
        let seats = quantity(wish.quantity).map_err(|reason| refusals.push(reason.into())).unwrap_or(1);
        if let Err(reason) = offer.may_be_sold() {
            refusals.push(Refusal { field: vec!["productId".to_owned()], ..reason.into() });
        }
        let dated = Sold::by(offer.kind, offer.target, offer.saleability.event) != Sold::Undated;
        if dated {
            let message = "Seats in dated sessions are sold by cart, or given with enrollmentCreate; name something without dates.";
            refusals.push(Refusal::at(Code::Unsupported, ["productId"], message));
        }
        let target = target_kind(offer.kind).filter(|_| offer.gives.is_none());
        if target.is_none() {
            let message = "What gives credits is sold by cart; name something without credits.";
            refusals.push(Refusal::at(Code::Unsupported, ["productId"], message));
        }
        let reason = match wish.reason.as_deref().map(|reason| text::line("reason", reason, MAX_TERMS)).transpose() {
            Ok(reason) => reason,
            Err(reason) => {
                refusals.push(Refusal::from(reason).under(["agreedReason"]));
                None
            }
        };
        let recommended = Recommended { quote: &offer.quote, terms: offer.terms, kind: offer.kind };
        let wish = Wish { price: wish.price, access_days: wish.access_days, reason };
        let agreed = match agree(context.currency, &recommended, seats, wish, side, context.at) {
            Ok(agreed) => Some(agreed),
            Err(more) => {
                refusals.extend(more);
                None
            }
        };
        let (Some(agreed), Some(target), true) = (agreed, target, refusals.is_empty()) else { return Ok(Err(refusals)) };
        let zero = Money::zero(context.currency);
        let amounts =
            LineAmounts::new(agreed.subtotal, zero, taxes.rate(&offer.tax_class), self.shop.prices_include_tax).map_err(money_fault)?;
        Ok(Ok(SalesLine {
            id: entropy::next_id(),
            product: offer.product,
            target: Target::new(target, offer.target),
            sku: offer.sku,
            title: offer.title,
            product_code: offer.product_code,
            quantity: seats,
            recommended: offer.quote.ok(),
            recommended_terms: offer.terms,
            unit_price: agreed.unit_price,
            terms: agreed.terms,
            agreed_by: actor.to_owned(),
            agreed_reason: agreed.reason,
            amounts,
            credited_quantity: 0,
            credited: zero,
        }))
    }
}

/// For whom the caller acts: whoever may write sales orders of every company acts for the shop.
pub(super) fn side(caller: &Caller) -> Side {
    if caller.may(Topic::Sales.write()) { Side::Shop } else { Side::Company }
}

/// A reason as it is kept.
pub(super) fn reason_of(given: &str) -> Result<String> {
    Ok(text::line("reason", given, MAX_TERMS).map_err(|reason| Refusal::from(reason).under(["reason"]))?)
}

fn write_head(faults: &mut Faults, order: &mut SalesOrder, head: Head, side: Side) {
    if let Some(number) = head.po_number {
        let checked = number.map(|number| text::line("PO number", &number, MAX_PO_NUMBER)).transpose();
        order.po_number = faults.at("poNumber", checked).flatten();
    }
    let texts = [
        ("terms", head.terms, MAX_TERMS, &mut order.terms),
        ("notes", head.notes, MAX_NOTES, &mut order.notes),
        ("billTo", head.bill_to, MAX_TERMS, &mut order.bill_to),
    ];
    for (field, given, limit, place) in texts {
        if let Some(given) = given {
            let checked = given.map(|given| text::lines(field, &given, limit)).transpose();
            *place = faults.at(field, checked).flatten().filter(|text| !text.is_empty());
        }
    }
    if let Some(originator) = head.originator {
        if side == Side::Company && originator != order.originator {
            let message = "Who made the sale is the shop's to say; leave originator out.";
            faults.add(Refusal::at(Code::Unsupported, ["originator"], message));
        }
        order.originator = originator;
    }
}

/// Computes the sums of an order's lines.
pub(super) fn sum_up(order: &mut SalesOrder) -> Result<()> {
    let totals = Totals::of(order.currency, order.lines.iter().map(|line| &line.amounts));
    order.totals = totals.map_err(|reason| Refusal::from(reason).under(["lines"]))?;
    order.account.total = order.totals.total;
    Ok(())
}

pub(super) const fn object(order: &SalesOrder) -> Object {
    Object::new("salesOrder", order.id.uuid()).of_company(order.company.uuid())
}

/// A sales order for the audit log.
pub(super) fn told(order: &SalesOrder) -> Value {
    let line = |line: &SalesLine| {
        json!({
            "product": line.product, "quantity": line.quantity, "subtotal": line.amounts.subtotal, "terms": line.terms,
            "recommended": line.recommended.as_ref().map(|quote| quote.subtotal), "agreedBy": line.agreed_by, "reason": line.agreed_reason,
        })
    };
    json!({
        "status": order.status, "version": order.version, "total": order.totals.total, "poNumber": order.po_number, "terms": order.terms,
        "notes": order.notes, "billTo": order.bill_to, "originator": order.originator, "lines": order.lines.iter().map(line).collect::<Vec<_>>(),
    })
}

/// The place of a sales order in a list.
pub fn key(view: &SalesOrderView) -> (Key, Uuid) {
    (Key::At(view.order.created_at), view.order.id.uuid())
}
