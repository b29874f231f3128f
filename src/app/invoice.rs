//! Invoices and credit notes: issued with numbers that have no gaps, from what is frozen then, and shown under signed links.
//!
//! Always true here: a document's number is taken last in the transaction that issues it, so that it comes with its document or not at all; what
//! a document says is never computed again.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::sales_order::{
    Creditable, Document, DocumentKind, DocumentLine, SalesOrderKind, SalesOrderStatus, SalesRefusal, Side, Step, check, credit,
};
use domain::{InvoiceId, Money, SalesOrderId};
use sea_orm::DatabaseTransaction;
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::caller::{Caller, Topic};
use super::payment::money_fault;
use super::sales_order::{Invoice, SalesCredit, SalesLine, SalesOrder, SalesOrderView, object};
use super::secrets::Purpose;
use super::wording::Language;
use super::{Answer, App, Object, entropy};
use crate::error::{Code, Error, Refusal, Result};
use crate::store;
use crate::store::idempotency::Scope;

/// For how long a signed link works.
const LINK_LASTS: TimeDelta = TimeDelta::minutes(15);

/// What a link to a document shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLink {
    /// When it ends, in seconds since 1970.
    pub expires: i64,
    /// That we made it.
    pub signature: String,
}

/// A document as it is printed: every text is in its language.
#[derive(Debug, Clone, Serialize)]
pub struct DocumentPage {
    /// Language.
    pub locale: String,
    /// What it is, with its number.
    pub heading: String,
    /// Who sells.
    pub seller: Part,
    /// Who buys.
    pub buyer: Part,
    /// Label and text of each fact about it.
    pub facts: Vec<(&'static str, String)>,
    /// Heads of the columns.
    pub columns: [&'static str; 7],
    /// Cells of the lines.
    pub lines: Vec<[String; 7]>,
    /// Label and amount of each sum.
    pub sums: Vec<(&'static str, String)>,
    /// What was agreed about paying, or why.
    pub terms: Option<String>,
}

/// A labelled text of several lines.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Label.
    pub label: &'static str,
    /// Its lines.
    pub lines: Vec<String>,
}

impl App {
    /// Issues the invoice of an agreed sales order, once.
    ///
    /// # Errors
    /// Not for this caller; no such order, or in another state; it has its invoice already; nothing is left to invoice.
    pub async fn sales_order_invoice(&self, caller: &Caller, id: Option<SalesOrderId>, key: &str) -> Result<Answer<SalesOrderView>> {
        caller.require(Topic::Sales.write())?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "salesOrderInvoice", key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "order": id })).await? {
            txn.commit().await?;
            return self.replayed(earlier).await;
        }
        let order = self.sales_order_to_write(&txn, caller, id).await?;
        if let Some(number) = store::sales_order::invoice_number(&txn, order.id).await? {
            let message = format!("The sales order has its invoice, {number}; a sales order is invoiced once.");
            return Err(Error::refused(Code::SalesOrderState, ["salesOrderId"], message));
        }
        check(Step::Invoice, Side::Shop, order.status).map_err(Refusal::from)?;
        store::idempotency::finish(&txn, &scope, json!(order.id)).await?;
        let id = order.id;
        self.invoice_order(&txn, caller, order).await?;
        txn.commit().await?;
        Ok(Answer { value: self.sales_order_view(id).await?, replayed: false })
    }

    /// Issues the invoice of an order whose row is held and that has none. Nothing else is to be written in this transaction.
    pub(super) async fn invoice_order(&self, txn: &DatabaseTransaction, caller: &Caller, held: SalesOrder) -> Result<()> {
        let mut order = held.clone();
        if order.status == SalesOrderStatus::Confirmed {
            order.status = SalesOrderStatus::Invoiced;
        }
        order.invoiced_at = Some(self.now());
        let lines = order.lines.iter().filter(|line| line.seats() > 0).map(left_of).collect::<Result<Vec<_>>>()?;
        if lines.is_empty() {
            return Err(Refusal::from(SalesRefusal::NothingLeft).into());
        }
        let terms = order.terms.clone();
        if order.kind == SalesOrderKind::Overage {
            // Until it is billed its lines grow.
            self.sales_royalties_record(txn, &order).await?;
        }
        let document = self.document(txn, DocumentKind::Invoice, &order, lines, None, terms).await?;
        self.save_sales_order(txn, &mut order).await?;
        let new = json!({ "status": order.status, "total": document.total });
        self.audit(txn, caller, "salesOrderInvoice", object(&order), Some(json!({ "status": held.status })), Some(new)).await?;
        self.issue(txn, caller, &order, document, None).await
    }

    /// Issues the credit note for a credit entry, if the order has an invoice. Nothing else is to be written in this transaction.
    pub(super) async fn credit_note(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        order: &SalesOrder,
        entry: Option<&SalesCredit>,
    ) -> Result<()> {
        let Some(entry) = entry else { return Ok(()) };
        let Some(about) = store::sales_order::invoice_number(txn, order.id).await? else { return Ok(()) };
        let mut lines = Vec::with_capacity(entry.lines.len());
        for part in &entry.lines {
            let of = order.lines.iter().find(|line| line.id == part.line);
            let line = of.ok_or_else(|| crate::internal!("a credit entry of {} is about another order", order.number))?;
            lines.push(document_line(line, part.quantity, part.amount, part.tax)?);
        }
        let reason = Some(entry.reason.clone());
        let document = self.document(txn, DocumentKind::CreditNote, order, lines, Some(about), reason).await?;
        self.issue(txn, caller, order, document, Some(entry)).await
    }

    async fn document(
        &self,
        txn: &DatabaseTransaction,
        kind: DocumentKind,
        order: &SalesOrder,
        lines: Vec<DocumentLine>,
        about: Option<String>,
        terms: Option<String>,
    ) -> Result<Document> {
        let seller = self.choices(txn).await?.invoice_seller.unwrap_or_else(|| self.shop.name.clone());
        let buyer = match &order.bill_to {
            Some(buyer) => buyer.clone(),
            None => store::company::find(txn, order.company).await?.map(|company| company.name).unwrap_or_default(),
        };
        let sum = |amount: fn(&DocumentLine) -> Money| Money::sum(order.currency, lines.iter().map(amount)).map_err(money_fault);
        Ok(Document {
            kind,
            locale: order.locale.clone(),
            day: self.now().with_timezone(&self.shop.time_zone).date_naive(),
            seller,
            buyer,
            order_number: order.number.clone(),
            po_number: order.po_number.clone(),
            about,
            terms,
            net: sum(|line| line.net)?,
            tax: sum(|line| line.tax)?,
            total: sum(|line| line.total)?,
            lines,
        })
    }

    /// Gives a document its number. The last statements of a transaction: whoever issues at the same time waits for its end.
    async fn issue(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        order: &SalesOrder,
        document: Document,
        entry: Option<&SalesCredit>,
    ) -> Result<()> {
        let id: InvoiceId = entropy::next_id();
        let told = json!({ "salesOrder": order.id, "kind": document.kind, "total": document.total });
        let issued = Object::new("invoice", id.uuid()).of_company(order.company.uuid());
        self.audit(txn, caller, "invoiceIssue", issued, None, Some(told)).await?;
        let serial = store::sales_order::next_serial(txn, document.kind).await?;
        let invoice = Invoice {
            id,
            number: document.kind.number(serial),
            company: order.company,
            order: order.id,
            credit: entry.map(|entry| entry.id),
            document,
            actor: caller.actor(),
            issued_at: self.now(),
        };
        Ok(store::sales_order::insert_invoice(txn, &invoice, serial).await?)
    }

    /// Those of these documents that the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn invoices_by_id(&self, caller: &Caller, ids: &[InvoiceId]) -> Result<HashMap<InvoiceId, Invoice>> {
        let mut found = store::sales_order::invoices(self.db.read(), ids).await?;
        found.retain(|invoice| caller.may_for(Topic::Sales.read(), invoice.company));
        Ok(found.into_iter().map(|invoice| (invoice.id, invoice)).collect())
    }

    /// The document's page under a link that works for a while without signing in.
    pub fn invoice_url(&self, id: InvoiceId) -> String {
        let expires = (self.now() + LINK_LASTS).timestamp();
        let signature = self.link_signature(id, expires);
        format!("{}/invoice/{id}?expires={expires}&signature={signature}", self.shop.public_url)
    }

    fn link_signature(&self, id: InvoiceId, expires: i64) -> String {
        self.secrets.hash(Purpose::DocumentLink, &format!("{id}.{expires}"))
    }

    /// A document to be printed, for whoever has a link that we signed and that is not over, or may see it. `None`: there is none, or it is not
    /// theirs.
    ///
    /// # Errors
    /// [`Code::LinkInvalid`] for a link that is over or that we did not sign.
    pub async fn invoice_page(&self, caller: &Caller, id: Option<InvoiceId>, link: Option<&SignedLink>) -> Result<Option<DocumentPage>> {
        if let Some(link) = link {
            let signed = id.is_some_and(|id| {
                let expected = self.link_signature(id, link.expires);
                bool::from(expected.as_bytes().ct_eq(link.signature.as_bytes()))
            });
            if !signed || link.expires <= self.now().timestamp() {
                let message = "This link is over, or is none of ours; take a fresh one from the sales order.";
                return Err(Refusal::new(Code::LinkInvalid, message).into());
            }
        }
        let Some(id) = id else { return Ok(None) };
        let found = store::sales_order::invoices(self.db.read(), &[id]).await?.pop();
        let seen = |invoice: &Invoice| link.is_some() || caller.may_for(Topic::Sales.read(), invoice.company);
        Ok(found.filter(seen).map(|invoice| page(&invoice)))
    }
}

/// What is left of a line, as a document tells it.
fn left_of(line: &SalesLine) -> Result<DocumentLine> {
    let whole = Creditable { credited_quantity: 0, ..line.creditable() };
    let taxed = match line.credited_quantity {
        0 => Money::zero(line.amounts.tax.currency),
        units => credit(&whole, units)?.tax,
    };
    let total = line.amounts.total.sub(line.credited).map_err(money_fault)?;
    let tax = line.amounts.tax.sub(taxed).map_err(money_fault)?;
    document_line(line, line.seats(), total, tax)
}

fn document_line(line: &SalesLine, quantity: u32, total: Money, tax: Money) -> Result<DocumentLine> {
    Ok(DocumentLine {
        sku: line.sku.clone(),
        title: line.title.clone(),
        quantity,
        unit_price: line.unit_price,
        net: total.sub(tax).map_err(money_fault)?,
        tax_rate: line.amounts.tax_rate.units(),
        tax,
        total,
    })
}

/// The words of documents.
struct Words {
    invoice: &'static str,
    credit_note: &'static str,
    seller: &'static str,
    buyer: &'static str,
    day: &'static str,
    order: &'static str,
    po_number: &'static str,
    about: &'static str,
    columns: [&'static str; 7],
    net: &'static str,
    tax: &'static str,
    total: &'static str,
}

const ENGLISH: Words = Words {
    invoice: "Invoice",
    credit_note: "Credit note",
    seller: "From",
    buyer: "To",
    day: "Date",
    order: "Sales order",
    po_number: "Your number",
    about: "To invoice",
    columns: ["SKU", "Description", "Seats", "Price each", "Net", "Tax", "Total"],
    net: "Net",
    tax: "Tax",
    total: "Total",
};

const POLISH: Words = Words {
    invoice: "Faktura",
    credit_note: "Faktura korygująca",
    seller: "Sprzedawca",
    buyer: "Nabywca",
    day: "Data",
    order: "Zamówienie",
    po_number: "Numer nabywcy",
    about: "Do faktury",
    columns: ["SKU", "Opis", "Miejsca", "Cena", "Netto", "Podatek", "Razem"],
    net: "Netto",
    tax: "Podatek",
    total: "Razem",
};

fn page(invoice: &Invoice) -> DocumentPage {
    let document = &invoice.document;
    let language = Language::of(&document.locale);
    let words = match language {
        Language::English => &ENGLISH,
        Language::Polish => &POLISH,
    };
    let part = |label, text: &str| Part { label, lines: text.lines().map(str::to_owned).collect() };
    let noon: DateTime<Utc> = document.day.and_time(chrono::NaiveTime::MIN).and_utc();
    let mut facts = vec![(words.day, language.day(noon, chrono_tz::UTC)), (words.order, document.order_number.clone())];
    facts.extend(document.po_number.clone().map(|number| (words.po_number, number)));
    facts.extend(document.about.clone().map(|number| (words.about, number)));
    let line = |line: &DocumentLine| {
        [
            line.sku.clone(),
            line.title.clone(),
            line.quantity.to_string(),
            line.unit_price.map(|price| language.money(price)).unwrap_or_default(),
            language.money(line.net),
            format!("{} ({})", language.money(line.tax), language.percent(line.tax_rate)),
            language.money(line.total),
        ]
    };
    let kind = match document.kind {
        DocumentKind::Invoice => words.invoice,
        DocumentKind::CreditNote => words.credit_note,
    };
    DocumentPage {
        locale: document.locale.clone(),
        heading: format!("{kind} {}", invoice.number),
        seller: part(words.seller, &document.seller),
        buyer: part(words.buyer, &document.buyer),
        facts,
        columns: words.columns,
        lines: document.lines.iter().map(line).collect(),
        sums: vec![
            (words.net, language.money(document.net)),
            (words.tax, language.money(document.tax)),
            (words.total, language.money(document.total)),
        ],
        terms: document.terms.clone(),
    }
}
