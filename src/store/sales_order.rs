//! Sales orders: their lines, what came and went, the documents that were issued, and the serial numbers of those.
//!
//! Always true here: whatever changes a sales order holds its row to the end of the transaction; what was recorded or issued is never changed; the
//! row of a series is taken by one update, and its number is given away in that transaction or not at all.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::entitlement::{Target, TargetKind};
use domain::pricing::{LineAmounts, Quote, Totals};
use domain::royalty::Originator;
use domain::sales_order::{Account, Creditable, Document, DocumentKind, SalesOrderKind, SalesOrderStatus, TokensOn};
use domain::terms::Terms;
use domain::{CompanyId, Currency, InvoiceId, Money, Percent, ProductId, SalesLineId, SalesOrderId};
use entity::{invoice, sales_credit, sales_credit_line, sales_line, sales_order, sales_payment, serial};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType};
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::catalog::{ROWS, uuids};
use super::page::{Key, Order, page};
use super::{CHUNK, corrupt, known, rows_in, search};
use crate::page::{Page, PageArgs};

/// A sales order.
#[derive(Debug, Clone, PartialEq)]
pub struct SalesOrder {
    /// Id.
    pub id: SalesOrderId,
    /// Number, for people.
    pub number: String,
    /// The company that buys.
    pub company: CompanyId,
    /// How it came about.
    pub kind: SalesOrderKind,
    /// Where it stands.
    pub status: SalesOrderStatus,
    /// Who made the sale.
    pub originator: Originator,
    /// Currency of all its amounts.
    pub currency: Currency,
    /// Language of its texts and documents.
    pub locale: String,
    /// The company's own number of it.
    pub po_number: Option<String>,
    /// What is agreed about paying.
    pub terms: Option<String>,
    /// Remarks.
    pub notes: Option<String>,
    /// Whom its documents are made out to.
    pub bill_to: Option<String>,
    /// When its seats are given; fixed when it is confirmed.
    pub tokens_on: Option<TokensOn>,
    /// Until when its quote can be accepted.
    pub valid_until: Option<DateTime<Utc>>,
    /// Its sums.
    pub totals: Totals,
    /// What came and went.
    pub account: Account,
    /// Grows with every change.
    pub version: i64,
    /// Who wrote it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last sent as a quote.
    pub quoted_at: Option<DateTime<Utc>>,
    /// Who made it hold.
    pub confirmed_by: Option<String>,
    /// When.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When its invoice was issued.
    pub invoiced_at: Option<DateTime<Utc>>,
    /// Since when nothing is due.
    pub paid_at: Option<DateTime<Utc>>,
    /// When its seats were given.
    pub given_at: Option<DateTime<Utc>>,
    /// When it was called off.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// Why.
    pub cancel_reason: Option<String>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// Its lines, in order.
    pub lines: Vec<SalesLine>,
}

/// A line of a sales order.
#[derive(Debug, Clone, PartialEq)]
pub struct SalesLine {
    /// Id.
    pub id: SalesLineId,
    /// Product.
    pub product: ProductId,
    /// What each seat opens.
    pub target: Target,
    /// SKU as it was.
    pub sku: String,
    /// Title as it was.
    pub title: String,
    /// Product code as it was.
    pub product_code: Option<String>,
    /// How many seats.
    pub quantity: u32,
    /// The recommended price with its steps, if there was one.
    pub recommended: Option<Quote>,
    /// The recommended terms of access.
    pub recommended_terms: Terms,
    /// The agreed price of one seat; none where the parts of a graduated schedule differ.
    pub unit_price: Option<Money>,
    /// The agreed terms of access.
    pub terms: Terms,
    /// Who agreed.
    pub agreed_by: String,
    /// Why it is something else than recommended; none if it is not.
    pub agreed_reason: Option<String>,
    /// Its amounts, as agreed.
    pub amounts: LineAmounts,
    /// Seats that went back.
    pub credited_quantity: u32,
    /// What of the total went back with them.
    pub credited: Money,
}

impl SalesLine {
    /// What of it can still go back.
    pub const fn creditable(&self) -> Creditable {
        Creditable { quantity: self.quantity, total: self.amounts.total, tax: self.amounts.tax, credited_quantity: self.credited_quantity }
    }

    /// How many seats it has left.
    pub const fn seats(&self) -> u32 {
        self.quantity.saturating_sub(self.credited_quantity)
    }
}

/// Money that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalesPayment {
    /// Row id.
    pub id: Uuid,
    /// The sales order.
    pub order: SalesOrderId,
    /// How much.
    pub amount: Money,
    /// What the bank or the payer called it.
    pub reference: String,
    /// Who recorded it.
    pub actor: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

/// What is not to be paid, or goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalesCredit {
    /// Row id.
    pub id: Uuid,
    /// The sales order.
    pub order: SalesOrderId,
    /// How much.
    pub amount: Money,
    /// What of that is tax.
    pub tax: Money,
    /// What of it is paid out, because it was paid.
    pub returned: Money,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub actor: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
    /// Of which lines.
    pub lines: Vec<SalesCreditLine>,
}

/// What of a line went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SalesCreditLine {
    /// The line.
    pub line: SalesLineId,
    /// How many seats.
    pub quantity: u32,
    /// What was agreed for them.
    pub amount: Money,
    /// What of that is tax.
    pub tax: Money,
}

/// A document as it was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Id.
    pub id: InvoiceId,
    /// Its number.
    pub number: String,
    /// Who it is made out to.
    pub company: CompanyId,
    /// The sales order it is about.
    pub order: SalesOrderId,
    /// The credit entry that a credit note is about.
    pub credit: Option<Uuid>,
    /// All that it says.
    pub document: Document,
    /// Who issued it.
    pub actor: String,
    /// When.
    pub issued_at: DateTime<Utc>,
}

/// What came and went of sales orders, and what was issued, by order.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// Money that came.
    pub payments: HashMap<SalesOrderId, Vec<SalesPayment>>,
    /// What went back.
    pub credits: HashMap<SalesOrderId, Vec<SalesCredit>>,
    /// Invoices and credit notes.
    pub documents: HashMap<SalesOrderId, Vec<Invoice>>,
}

/// Which sales orders a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct SalesOrderFilter {
    /// Of one of these companies.
    pub companies: Option<Vec<CompanyId>>,
    /// In one of these states.
    pub statuses: Vec<SalesOrderStatus>,
    /// Of this kind.
    pub kind: Option<SalesOrderKind>,
    /// Written from this instant on.
    pub created_from: Option<DateTime<Utc>>,
    /// Written before this instant.
    pub created_before: Option<DateTime<Utc>>,
    /// With this number.
    pub number: Option<String>,
    /// With this in the company's own number.
    pub po_number: Option<String>,
    /// With a line of this product.
    pub product: Option<ProductId>,
}

// ---- writing --------------------------------------------------------------------------------------------------------------------

/// Writes a new sales order with its lines.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &DatabaseTransaction, new: &SalesOrder) -> Result<(), DbErr> {
    sales_order::Entity::insert(order_row(new)).exec_without_returning(txn).await?;
    insert_lines(txn, new.id, 0, &new.lines).await
}

/// Writes what a sales order is now; its lines are written for themselves.
///
/// # Errors
/// The database's.
pub async fn update(txn: &DatabaseTransaction, changed: &SalesOrder) -> Result<(), DbErr> {
    let mut row = order_row(changed);
    row.id = Unchanged(changed.id.uuid());
    sales_order::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Puts other lines in the place of those of an order that nothing was agreed about yet.
///
/// # Errors
/// The database's.
pub async fn replace_lines(txn: &DatabaseTransaction, order: SalesOrderId, lines: &[SalesLine]) -> Result<(), DbErr> {
    sales_line::Entity::delete_many().filter(sales_line::Column::SalesOrderId.eq(order.uuid())).exec(txn).await?;
    insert_lines(txn, order, 0, lines).await
}

/// Writes lines behind those that are there.
///
/// # Errors
/// The database's.
pub async fn insert_lines(txn: &DatabaseTransaction, order: SalesOrderId, begin: usize, lines: &[SalesLine]) -> Result<(), DbErr> {
    let rows = lines.iter().enumerate().map(|(place, line)| line_row(order, begin + place, line)).collect::<Result<Vec<_>, _>>()?;
    for chunk in rows.chunks(ROWS) {
        sales_line::Entity::insert_many(chunk.to_vec()).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Writes quantity, amounts and what went back of a line.
///
/// # Errors
/// The database's.
pub async fn save_line(txn: &DatabaseTransaction, line: &SalesLine) -> Result<(), DbErr> {
    let row = sales_line::ActiveModel {
        id: Unchanged(line.id.uuid()),
        quantity: Set(i64::from(line.quantity)),
        subtotal_minor: Set(line.amounts.subtotal.minor),
        discount_minor: Set(line.amounts.discount.minor),
        net_minor: Set(line.amounts.net.minor),
        tax_rate_millionths: Set(i64::from(line.amounts.tax_rate.units())),
        tax_minor: Set(line.amounts.tax.minor),
        total_minor: Set(line.amounts.total.minor),
        credited_quantity: Set(i64::from(line.credited_quantity)),
        credited_minor: Set(line.credited.minor),
        ..Default::default()
    };
    sales_line::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

fn order_row(record: &SalesOrder) -> sales_order::ActiveModel {
    sales_order::ActiveModel {
        id: Set(record.id.uuid()),
        number: Set(record.number.clone()),
        company_id: Set(record.company.uuid()),
        kind: Set(record.kind.name().to_owned()),
        status: Set(record.status.name().to_owned()),
        originator: Set(record.originator.name().to_owned()),
        currency: Set(record.currency.code().to_owned()),
        locale: Set(record.locale.clone()),
        po_number: Set(record.po_number.clone()),
        terms: Set(record.terms.clone()),
        notes: Set(record.notes.clone()),
        bill_to: Set(record.bill_to.clone()),
        tokens_on: Set(record.tokens_on.map(|on| on.name().to_owned())),
        valid_until: Set(record.valid_until),
        subtotal_minor: Set(record.totals.subtotal.minor),
        discount_minor: Set(record.totals.discount.minor),
        net_minor: Set(record.totals.net.minor),
        tax_minor: Set(record.totals.tax.minor),
        total_minor: Set(record.totals.total.minor),
        paid_minor: Set(record.account.paid.minor),
        credited_minor: Set(record.account.credited.minor),
        returned_minor: Set(record.account.returned.minor),
        version: Set(record.version),
        created_by: Set(record.created_by.clone()),
        created_at: Set(record.created_at),
        quoted_at: Set(record.quoted_at),
        confirmed_by: Set(record.confirmed_by.clone()),
        confirmed_at: Set(record.confirmed_at),
        invoiced_at: Set(record.invoiced_at),
        paid_at: Set(record.paid_at),
        given_at: Set(record.given_at),
        cancelled_at: Set(record.cancelled_at),
        cancel_reason: Set(record.cancel_reason.clone()),
        touched_at: Set(record.touched_at),
    }
}

fn line_row(order: SalesOrderId, position: usize, line: &SalesLine) -> Result<sales_line::ActiveModel, DbErr> {
    let recommended = line.recommended.as_ref();
    Ok(sales_line::ActiveModel {
        id: Set(line.id.uuid()),
        sales_order_id: Set(order.uuid()),
        position: Set(i32::try_from(position).map_err(corrupt)?),
        product_id: Set(line.product.uuid()),
        target_kind: Set(line.target.kind().name().to_owned()),
        target_id: Set(line.target.uuid()),
        sku: Set(line.sku.clone()),
        title: Set(line.title.clone()),
        product_code: Set(line.product_code.clone()),
        quantity: Set(i64::from(line.quantity)),
        recommended: Set(recommended.map(json).transpose()?),
        recommended_unit_minor: Set(recommended.and_then(|quote| quote.unit_price).map(|price| price.minor)),
        recommended_subtotal_minor: Set(recommended.map(|quote| quote.subtotal.minor)),
        recommended_terms: Set(json(&line.recommended_terms)?),
        unit_price_minor: Set(line.unit_price.map(|price| price.minor)),
        terms: Set(json(&line.terms)?),
        agreed_by: Set(line.agreed_by.clone()),
        agreed_reason: Set(line.agreed_reason.clone()),
        subtotal_minor: Set(line.amounts.subtotal.minor),
        discount_minor: Set(line.amounts.discount.minor),
        net_minor: Set(line.amounts.net.minor),
        tax_rate_millionths: Set(i64::from(line.amounts.tax_rate.units())),
        tax_minor: Set(line.amounts.tax.minor),
        total_minor: Set(line.amounts.total.minor),
        credited_quantity: Set(i64::from(line.credited_quantity)),
        credited_minor: Set(line.credited.minor),
    })
}

/// Writes money that came.
///
/// # Errors
/// The database's.
pub async fn insert_payment(txn: &DatabaseTransaction, new: &SalesPayment) -> Result<(), DbErr> {
    let row = sales_payment::ActiveModel {
        id: Set(new.id),
        sales_order_id: Set(new.order.uuid()),
        amount_minor: Set(new.amount.minor),
        reference: Set(new.reference.clone()),
        actor: Set(new.actor.clone()),
        recorded_at: Set(new.recorded_at),
    };
    sales_payment::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes what went back.
///
/// # Errors
/// The database's.
pub async fn insert_credit(txn: &DatabaseTransaction, new: &SalesCredit) -> Result<(), DbErr> {
    let row = sales_credit::ActiveModel {
        id: Set(new.id),
        sales_order_id: Set(new.order.uuid()),
        amount_minor: Set(new.amount.minor),
        tax_minor: Set(new.tax.minor),
        returned_minor: Set(new.returned.minor),
        reason: Set(new.reason.clone()),
        actor: Set(new.actor.clone()),
        recorded_at: Set(new.recorded_at),
    };
    sales_credit::Entity::insert(row).exec_without_returning(txn).await?;
    let lines = new.lines.iter().map(|line| sales_credit_line::ActiveModel {
        sales_credit_id: Set(new.id),
        sales_line_id: Set(line.line.uuid()),
        quantity: Set(i64::from(line.quantity)),
        amount_minor: Set(line.amount.minor),
        tax_minor: Set(line.tax.minor),
    });
    sales_credit_line::Entity::insert_many(lines).exec_without_returning(txn).await?;
    Ok(())
}

/// The next number of a series. Its row is held to the end of the transaction: whoever issues at the same time waits, and a number is given away
/// only together with its document. So this comes last.
///
/// # Errors
/// The database's.
pub async fn next_serial(txn: &DatabaseTransaction, kind: DocumentKind) -> Result<i64, DbErr> {
    let taken = serial::Entity::update_many()
        .col_expr(serial::Column::Last, Expr::col(serial::Column::Last).add(1i64))
        .filter(serial::Column::Name.eq(kind.name()))
        .exec_with_returning(txn)
        .await?;
    taken.into_iter().next().map(|row| row.last).ok_or_else(|| corrupt(format_args!("there is no series {kind}")))
}

/// Writes a document.
///
/// # Errors
/// The database's.
pub async fn insert_invoice(txn: &DatabaseTransaction, new: &Invoice, serial: i64) -> Result<(), DbErr> {
    let row = invoice::ActiveModel {
        id: Set(new.id.uuid()),
        kind: Set(new.document.kind.name().to_owned()),
        serial: Set(serial),
        number: Set(new.number.clone()),
        company_id: Set(new.company.uuid()),
        sales_order_id: Set(new.order.uuid()),
        sales_credit_id: Set(new.credit),
        currency: Set(new.document.total.currency.code().to_owned()),
        total_minor: Set(new.document.total.minor),
        document: Set(json(&new.document)?),
        actor: Set(new.actor.clone()),
        issued_at: Set(new.issued_at),
    };
    invoice::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

// ---- holding --------------------------------------------------------------------------------------------------------------------

/// Takes a sales order's row for the rest of the transaction. (On SQLite the transaction is exclusive already.)
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lock(txn: &DatabaseTransaction, id: SalesOrderId) -> Result<Option<SalesOrder>, DbErr> {
    let mut select = sales_order::Entity::find_by_id(id.uuid());
    QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
    let rows = select.all(txn).await?;
    Ok(with_lines(txn, rows).await?.pop())
}

/// Takes the rows of these sales orders, in order of their ids: redeeming, refunding and handing out their seats comes one after the other.
///
/// # Errors
/// The database's.
pub async fn lock_all(txn: &DatabaseTransaction, ids: &[SalesOrderId]) -> Result<(), DbErr> {
    for chunk in uuids(ids).chunks(CHUNK) {
        let mut select = sales_order::Entity::find()
            .select_only()
            .column(sales_order::Column::Id)
            .filter(sales_order::Column::Id.is_in(chunk.iter().copied()))
            .order_by_asc(sales_order::Column::Id);
        QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
        select.into_tuple::<Uuid>().all(txn).await?;
    }
    Ok(())
}

/// Holds a sales order's row against whoever takes it, to the end of the transaction; several who redeem its seats at once do not wait for each
/// other.
///
/// # Errors
/// The database's.
pub async fn hold(txn: &DatabaseTransaction, id: SalesOrderId) -> Result<(), DbErr> {
    let mut select = sales_order::Entity::find_by_id(id.uuid()).select_only().column(sales_order::Column::Id);
    QueryTrait::query(&mut select).lock(LockType::Share);
    select.into_tuple::<Uuid>().one(txn).await?;
    Ok(())
}

// ---- reading --------------------------------------------------------------------------------------------------------------------

/// The sales orders with these ids, with their lines.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[SalesOrderId]) -> Result<Vec<SalesOrder>, DbErr> {
    let rows = rows_in::<sales_order::Entity>(db, sales_order::Column::Id, &uuids(ids)).await?;
    with_lines(db, rows).await
}

/// A page of sales orders, the newest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &SalesOrderFilter,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<SalesOrder>, DbErr> {
    use sales_order::Column;
    let mut condition = Condition::all()
        .add_option(filter.kind.map(|kind| Column::Kind.eq(kind.name())))
        .add_option(filter.created_from.map(|from| Column::CreatedAt.gte(from)))
        .add_option(filter.created_before.map(|before| Column::CreatedAt.lt(before)))
        .add_option(filter.number.as_ref().map(|number| Column::Number.eq(number)))
        .add_option(filter.po_number.as_ref().map(|part| search::contains(db.get_database_backend(), Column::PoNumber.into_expr(), part)));
    if let Some(companies) = &filter.companies {
        condition = condition.add(Column::CompanyId.is_in(uuids(companies)));
    }
    if !filter.statuses.is_empty() {
        condition = condition.add(Column::Status.is_in(filter.statuses.iter().map(|status| status.name())));
    }
    if let Some(product) = filter.product {
        let mut of_product = sales_line::Entity::find().select_only().column(sales_line::Column::SalesOrderId);
        of_product = of_product.filter(sales_line::Column::ProductId.eq(product.uuid()));
        condition = condition.add(Column::Id.in_subquery(of_product.into_query()));
    }
    let order = Order { column: Column::CreatedAt, id: Column::Id, descending: true };
    let Page { rows, has_next, has_previous, total } =
        page(db, sales_order::Entity::find().filter(condition), order, args, with_total).await?;
    Ok(Page { rows: with_lines(db, rows).await?, has_next, has_previous, total })
}

/// What came and went of these sales orders, and what was issued about them, in order of happening.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn books(db: &impl ConnectionTrait, orders: &[SalesOrder]) -> Result<Books, DbErr> {
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id.uuid()).collect();
    let currency: HashMap<Uuid, Currency> = orders.iter().map(|order| (order.id.uuid(), order.currency)).collect();
    let currency = |id: &Uuid| currency.get(id).copied().ok_or_else(|| corrupt(id));
    let mut books = Books::default();
    let mut payments = rows_in::<sales_payment::Entity>(db, sales_payment::Column::SalesOrderId, &ids).await?;
    payments.sort_unstable_by_key(|row| (row.recorded_at, row.id));
    for row in payments {
        let amount = Money::new(row.amount_minor, currency(&row.sales_order_id)?);
        let order = row.sales_order_id.into();
        let payment = SalesPayment { id: row.id, order, amount, reference: row.reference, actor: row.actor, recorded_at: row.recorded_at };
        books.payments.entry(order).or_default().push(payment);
    }
    let mut credits = rows_in::<sales_credit::Entity>(db, sales_credit::Column::SalesOrderId, &ids).await?;
    credits.sort_unstable_by_key(|row| (row.recorded_at, row.id));
    let of_credits: Vec<Uuid> = credits.iter().map(|row| row.id).collect();
    let mut lines: HashMap<Uuid, Vec<sales_credit_line::Model>> = HashMap::new();
    for row in rows_in::<sales_credit_line::Entity>(db, sales_credit_line::Column::SalesCreditId, &of_credits).await? {
        lines.entry(row.sales_credit_id).or_default().push(row);
    }
    for row in credits {
        let currency = currency(&row.sales_order_id)?;
        let money = |minor| Money::new(minor, currency);
        let order = row.sales_order_id.into();
        let line = |row: sales_credit_line::Model| {
            let quantity = u32::try_from(row.quantity).map_err(corrupt)?;
            Ok(SalesCreditLine { line: row.sales_line_id.into(), quantity, amount: money(row.amount_minor), tax: money(row.tax_minor) })
        };
        let mut of_credit = lines.remove(&row.id).unwrap_or_default().into_iter().map(line).collect::<Result<Vec<_>, DbErr>>()?;
        of_credit.sort_unstable_by_key(|line| line.line);
        books.credits.entry(order).or_default().push(SalesCredit {
            id: row.id,
            order,
            amount: money(row.amount_minor),
            tax: money(row.tax_minor),
            returned: money(row.returned_minor),
            reason: row.reason,
            actor: row.actor,
            recorded_at: row.recorded_at,
            lines: of_credit,
        });
    }
    let mut documents = rows_in::<invoice::Entity>(db, invoice::Column::SalesOrderId, &ids).await?;
    documents.sort_unstable_by_key(|row| (row.issued_at, row.id));
    for row in documents {
        let document = invoice_from(row)?;
        books.documents.entry(document.order).or_default().push(document);
    }
    Ok(books)
}

/// Documents by their ids.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn invoices(db: &impl ConnectionTrait, ids: &[InvoiceId]) -> Result<Vec<Invoice>, DbErr> {
    rows_in::<invoice::Entity>(db, invoice::Column::Id, &uuids(ids)).await?.into_iter().map(invoice_from).collect()
}

/// Number of the invoice of a sales order.
///
/// # Errors
/// The database's.
pub async fn invoice_number(db: &impl ConnectionTrait, order: SalesOrderId) -> Result<Option<String>, DbErr> {
    invoice::Entity::find()
        .select_only()
        .column(invoice::Column::Number)
        .filter(invoice::Column::SalesOrderId.eq(order.uuid()))
        .filter(invoice::Column::Kind.eq(DocumentKind::Invoice.name()))
        .into_tuple()
        .one(db)
        .await
}

// ---- seats beyond those bought --------------------------------------------------------------------------------------------------

/// The order in which a company's seats beyond those bought gather, if there is one, held to the end of the transaction. The caller holds the
/// company's row.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn open_overage(txn: &DatabaseTransaction, company: CompanyId, currency: Currency) -> Result<Option<SalesOrder>, DbErr> {
    use sales_order::Column;
    let mut select = sales_order::Entity::find()
        .filter(Column::CompanyId.eq(company.uuid()))
        .filter(Column::Currency.eq(currency.code()))
        .filter(Column::Kind.eq(SalesOrderKind::Overage.name()))
        .filter(Column::Status.eq(SalesOrderStatus::Confirmed.name()));
    QueryTrait::query(&mut select).lock(LockType::NoKeyUpdate);
    let rows = select.all(txn).await?;
    Ok(with_lines(txn, rows).await?.pop())
}

/// How many seats a company has beyond those bought that are not paid.
///
/// # Errors
/// The database's.
pub async fn unpaid_overage(db: &impl ConnectionTrait, company: CompanyId) -> Result<u32, DbErr> {
    use sales_order::Column;
    let unpaid = [SalesOrderStatus::Confirmed, SalesOrderStatus::Invoiced].map(SalesOrderStatus::name);
    let orders = sales_order::Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::CompanyId.eq(company.uuid()))
        .filter(Column::Kind.eq(SalesOrderKind::Overage.name()))
        .filter(Column::Status.is_in(unpaid));
    let lines: Vec<(i64, i64)> = sales_line::Entity::find()
        .select_only()
        .column(sales_line::Column::Quantity)
        .column(sales_line::Column::CreditedQuantity)
        .filter(sales_line::Column::SalesOrderId.in_subquery(orders.into_query()))
        .into_tuple()
        .all(db)
        .await?;
    let seats: i64 = lines.into_iter().map(|(sold, credited)| sold.saturating_sub(credited)).fold(0, i64::saturating_add);
    u32::try_from(seats).map_err(corrupt)
}

/// What was last agreed with a company about a product, in an order that somebody wrote and that holds.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn last_agreed(
    db: &impl ConnectionTrait,
    company: CompanyId,
    product: ProductId,
) -> Result<Option<(SalesOrder, SalesLine)>, DbErr> {
    use sales_order::Column;
    let holds = [SalesOrderStatus::Confirmed, SalesOrderStatus::Invoiced, SalesOrderStatus::Paid].map(SalesOrderStatus::name);
    let mut of_product = sales_line::Entity::find().select_only().column(sales_line::Column::SalesOrderId);
    of_product = of_product.filter(sales_line::Column::ProductId.eq(product.uuid()));
    let row = sales_order::Entity::find()
        .filter(Column::CompanyId.eq(company.uuid()))
        .filter(Column::Kind.eq(SalesOrderKind::Order.name()))
        .filter(Column::Status.is_in(holds))
        .filter(Column::Id.in_subquery(of_product.into_query()))
        .order_by_desc(Column::ConfirmedAt)
        .order_by_desc(Column::Id)
        .limit(1)
        .all(db)
        .await?;
    let found = with_lines(db, row).await?.pop();
    Ok(found.and_then(|order| {
        let line = order.lines.iter().rfind(|line| line.product == product).cloned()?;
        Some((order, line))
    }))
}

// ---- rows to values -------------------------------------------------------------------------------------------------------------

async fn with_lines(db: &impl ConnectionTrait, rows: Vec<sales_order::Model>) -> Result<Vec<SalesOrder>, DbErr> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut lines = rows_in::<sales_line::Entity>(db, sales_line::Column::SalesOrderId, &ids).await?;
    lines.sort_unstable_by_key(|line| (line.sales_order_id, line.position));
    let mut of_order: HashMap<Uuid, Vec<sales_line::Model>> = HashMap::new();
    for line in lines {
        of_order.entry(line.sales_order_id).or_default().push(line);
    }
    rows.into_iter()
        .map(|row| {
            let lines = of_order.remove(&row.id).unwrap_or_default();
            order_from(row, lines)
        })
        .collect()
}

fn order_from(row: sales_order::Model, lines: Vec<sales_line::Model>) -> Result<SalesOrder, DbErr> {
    let currency = Currency::parse(&row.currency).map_err(corrupt)?;
    let money = |minor| Money::new(minor, currency);
    let tokens_on = row.tokens_on.map(|on| known(TokensOn::parse(&on), "moment for tokens", &on)).transpose()?;
    Ok(SalesOrder {
        id: row.id.into(),
        number: row.number,
        company: row.company_id.into(),
        kind: known(SalesOrderKind::parse(&row.kind), "kind of sales order", &row.kind)?,
        status: known(SalesOrderStatus::parse(&row.status), "state of a sales order", &row.status)?,
        originator: known(Originator::parse(&row.originator), "originator", &row.originator)?,
        currency,
        locale: row.locale,
        po_number: row.po_number,
        terms: row.terms,
        notes: row.notes,
        bill_to: row.bill_to,
        tokens_on,
        valid_until: row.valid_until,
        totals: Totals {
            subtotal: money(row.subtotal_minor),
            discount: money(row.discount_minor),
            net: money(row.net_minor),
            tax: money(row.tax_minor),
            total: money(row.total_minor),
        },
        account: Account {
            total: money(row.total_minor),
            credited: money(row.credited_minor),
            paid: money(row.paid_minor),
            returned: money(row.returned_minor),
        },
        version: row.version,
        created_by: row.created_by,
        created_at: row.created_at,
        quoted_at: row.quoted_at,
        confirmed_by: row.confirmed_by,
        confirmed_at: row.confirmed_at,
        invoiced_at: row.invoiced_at,
        paid_at: row.paid_at,
        given_at: row.given_at,
        cancelled_at: row.cancelled_at,
        cancel_reason: row.cancel_reason,
        touched_at: row.touched_at,
        lines: lines.into_iter().map(|line| line_from(line, currency)).collect::<Result<_, _>>()?,
    })
}

fn line_from(row: sales_line::Model, currency: Currency) -> Result<SalesLine, DbErr> {
    let money = |minor| Money::new(minor, currency);
    let target = known(TargetKind::parse(&row.target_kind), "kind of target", &row.target_kind)?;
    Ok(SalesLine {
        id: row.id.into(),
        product: row.product_id.into(),
        target: Target::new(target, row.target_id),
        sku: row.sku,
        title: row.title,
        product_code: row.product_code,
        quantity: u32::try_from(row.quantity).map_err(corrupt)?,
        recommended: row.recommended.map(serde_json::from_value).transpose().map_err(corrupt)?,
        recommended_terms: serde_json::from_value(row.recommended_terms).map_err(corrupt)?,
        unit_price: row.unit_price_minor.map(money),
        terms: serde_json::from_value(row.terms).map_err(corrupt)?,
        agreed_by: row.agreed_by,
        agreed_reason: row.agreed_reason,
        amounts: LineAmounts {
            subtotal: money(row.subtotal_minor),
            discount: money(row.discount_minor),
            net: money(row.net_minor),
            tax_rate: Percent::from_units(row.tax_rate_millionths).map_err(corrupt)?,
            tax: money(row.tax_minor),
            total: money(row.total_minor),
        },
        credited_quantity: u32::try_from(row.credited_quantity).map_err(corrupt)?,
        credited: money(row.credited_minor),
    })
}

fn invoice_from(row: invoice::Model) -> Result<Invoice, DbErr> {
    Ok(Invoice {
        id: row.id.into(),
        number: row.number,
        company: row.company_id.into(),
        order: row.sales_order_id.into(),
        credit: row.sales_credit_id,
        document: serde_json::from_value(row.document).map_err(corrupt)?,
        actor: row.actor,
        issued_at: row.issued_at,
    })
}

fn json(value: &impl serde::Serialize) -> Result<serde_json::Value, DbErr> {
    serde_json::to_value(value).map_err(corrupt)
}
