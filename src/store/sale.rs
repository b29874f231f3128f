//! The books of sales: an entry for each line that was paid and for each line of a refund that went back, and their sums.
//!
//! Always true here: entries are written in the transaction of what they tell of, once, and never changed; money that did not go back after all
//! is another entry.

use chrono::{DateTime, Utc};
use domain::entitlement::SourceKind;
use domain::refund::RefundStatus;
use domain::report::{Part, SaleKind, SalesGroup};
use domain::{CompanyId, Currency, Money, OrderId, ProductId, text};
use entity::{order, order_line, sale_entry};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, OnConflict, SelectStatement, ValueTuple};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QueryResult, QuerySelect,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::catalog::ROWS;
use super::order::Order;
use super::payment::Refund;
use super::{corrupt, rows_in};
use crate::page::{Page, PageArgs};

/// Which entries a report adds up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalesFilter {
    /// Sold in the context of this company.
    pub company: Option<CompanyId>,
    /// Of this product.
    pub product: Option<ProductId>,
    /// With this folded product code.
    pub product_code: Option<String>,
}

/// What some entries add up to, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// Units sold.
    pub quantity: i64,
    /// Before discounts.
    pub gross: Money,
    /// Discounts.
    pub discount: Money,
    /// Without tax.
    pub net: Money,
    /// Tax.
    pub tax: Money,
    /// What was paid.
    pub total: Money,
    /// Units that went back.
    pub refunded_quantity: i64,
    /// What went back.
    pub refunded: Money,
}

impl Sums {
    /// Nothing.
    pub const fn zero(currency: Currency) -> Self {
        let zero = Money::zero(currency);
        Self { quantity: 0, gross: zero, discount: zero, net: zero, tax: zero, total: zero, refunded_quantity: 0, refunded: zero }
    }

    /// Both together; `None` if that is more than there is.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        let money = |one: Money, other: Money| one.add(other).ok();
        Some(Self {
            quantity: self.quantity.checked_add(other.quantity)?,
            gross: money(self.gross, other.gross)?,
            discount: money(self.discount, other.discount)?,
            net: money(self.net, other.net)?,
            tax: money(self.tax, other.tax)?,
            total: money(self.total, other.total)?,
            refunded_quantity: self.refunded_quantity.checked_add(other.refunded_quantity)?,
            refunded: money(self.refunded, other.refunded)?,
        })
    }
}

/// What entries have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupKey {
    /// Nothing: all of them.
    All,
    /// A product code as it was written; `None` for what has none.
    ProductCode(Option<String>),
    /// The company.
    Company(Option<CompanyId>),
    /// The product.
    Product(ProductId),
    /// The part of the period with this number.
    Part(usize),
}

/// An entry as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Row id.
    pub id: Uuid,
    /// What it tells of.
    pub kind: SaleKind,
    /// When.
    pub at: DateTime<Utc>,
    /// What the line is of.
    pub source: SourceKind,
    /// The line.
    pub line: Uuid,
    /// The order that was paid, or the refund.
    pub cause: Uuid,
    /// The line's order.
    pub order: OrderId,
    /// Company.
    pub company: Option<CompanyId>,
    /// Product.
    pub product: ProductId,
    /// Product code then.
    pub product_code: Option<String>,
    /// What it adds.
    pub sums: Sums,
}

/// Writes what orders sold that were paid when they were written.
pub(super) async fn record_orders(txn: &DatabaseTransaction, orders: &[Order]) -> Result<(), DbErr> {
    let paid = orders.iter().filter_map(|order| order.paid_at.map(|at| (order, at)));
    let entries = paid.flat_map(|(order, at)| {
        order.lines.iter().map(move |line| {
            let amounts = &line.amounts;
            sale_entry::ActiveModel {
                quantity: Set(i64::from(line.quantity)),
                subtotal_minor: Set(amounts.subtotal.minor),
                discount_minor: Set(amounts.discount.minor),
                net_minor: Set(amounts.net.minor),
                tax_minor: Set(amounts.tax.minor),
                total_minor: Set(amounts.total.minor),
                ..blank(
                    SaleKind::Sale,
                    (order.id.uuid(), at),
                    (order.id.uuid(), order.company.map(CompanyId::uuid), order.currency.code()),
                    (line.id.uuid(), line.product.uuid(), line.product_code.as_deref()),
                )
            }
        })
    });
    insert(txn, entries.collect()).await
}

/// Writes what an order sold that becomes PAID.
pub(super) async fn record_paid(txn: &DatabaseTransaction, id: OrderId, at: DateTime<Utc>) -> Result<(), DbErr> {
    let sold = order::Entity::find_by_id(id.uuid()).one(txn).await?.ok_or_else(|| corrupt(format_args!("{id} is gone")))?;
    let lines = order_line::Entity::find().filter(order_line::Column::OrderId.eq(id.uuid())).all(txn).await?;
    let entries = lines.iter().map(|line| sale_entry::ActiveModel {
        quantity: Set(line.quantity),
        subtotal_minor: Set(line.subtotal_minor),
        discount_minor: Set(line.discount_minor),
        net_minor: Set(line.net_minor),
        tax_minor: Set(line.tax_minor),
        total_minor: Set(line.total_minor),
        ..of_line(SaleKind::Sale, (id.uuid(), at), &sold, line)
    });
    insert(txn, entries.collect()).await
}

/// Writes what a refund gave back once it succeeded, and takes it back once it did not after all. Said again, it writes nothing.
pub(super) async fn record_refund(txn: &DatabaseTransaction, refund: &Refund) -> Result<(), DbErr> {
    if refund.lines.is_empty() {
        return Ok(());
    }
    let at = refund.settled_at.unwrap_or(refund.created_at);
    match refund.status {
        RefundStatus::Pending => Ok(()),
        RefundStatus::Succeeded => {
            let sold = order::Entity::find_by_id(refund.order.uuid()).one(txn).await?;
            let sold = sold.ok_or_else(|| corrupt(format_args!("{} is gone", refund.order)))?;
            let ids: Vec<Uuid> = refund.lines.iter().map(|part| part.line.uuid()).collect();
            let lines = rows_in::<order_line::Entity>(txn, order_line::Column::Id, &ids).await?;
            let entries = refund.lines.iter().filter_map(|part| {
                let line = lines.iter().find(|line| line.id == part.line.uuid())?;
                Some(sale_entry::ActiveModel {
                    refunded_quantity: Set(i64::from(part.quantity)),
                    refunded_minor: Set(part.amount.minor),
                    ..of_line(SaleKind::Refund, (refund.id.uuid(), at), &sold, line)
                })
            });
            insert(txn, entries.collect()).await
        }
        RefundStatus::Failed | RefundStatus::Cancelled => {
            let select = sale_entry::Entity::find()
                .filter(sale_entry::Column::CauseId.eq(refund.id.uuid()))
                .filter(sale_entry::Column::Kind.eq(SaleKind::Refund.name()));
            let entries = select.all(txn).await?.into_iter().map(|entry| sale_entry::ActiveModel {
                id: Set(Uuid::now_v7()),
                kind: Set(SaleKind::RefundUndone.name().to_owned()),
                at: Set(at),
                refunded_quantity: Set(-entry.refunded_quantity),
                refunded_minor: Set(-entry.refunded_minor),
                ..entry.into()
            });
            insert(txn, entries.collect()).await
        }
    }
}

fn of_line(kind: SaleKind, cause: (Uuid, DateTime<Utc>), sold: &order::Model, line: &order_line::Model) -> sale_entry::ActiveModel {
    blank(kind, cause, (sold.id, sold.company_id, &sold.currency), (line.id, line.product_id, line.product_code.as_deref()))
}

/// An entry that adds nothing yet.
fn blank(
    kind: SaleKind,
    (cause, at): (Uuid, DateTime<Utc>),
    (order, company, currency): (Uuid, Option<Uuid>, &str),
    (line, product, product_code): (Uuid, Uuid, Option<&str>),
) -> sale_entry::ActiveModel {
    sale_entry::ActiveModel {
        id: Set(Uuid::now_v7()),
        kind: Set(kind.name().to_owned()),
        source_kind: Set(SourceKind::OrderLine.name().to_owned()),
        line_id: Set(line),
        cause_id: Set(cause),
        order_id: Set(order),
        at: Set(at),
        company_id: Set(company),
        product_id: Set(product),
        product_code: Set(product_code.map(ToOwned::to_owned)),
        product_code_folded: Set(product_code.map(text::fold)),
        currency: Set(currency.to_owned()),
        quantity: Set(0),
        subtotal_minor: Set(0),
        discount_minor: Set(0),
        net_minor: Set(0),
        tax_minor: Set(0),
        total_minor: Set(0),
        refunded_quantity: Set(0),
        refunded_minor: Set(0),
    }
}

async fn insert(txn: &DatabaseTransaction, entries: Vec<sale_entry::ActiveModel>) -> Result<(), DbErr> {
    let columns = [sale_entry::Column::CauseId, sale_entry::Column::LineId, sale_entry::Column::Kind];
    for chunk in entries.chunks(ROWS) {
        let once = OnConflict::columns(columns).do_nothing().to_owned();
        match sale_entry::Entity::insert_many(chunk.to_vec()).on_conflict(once).exec_without_returning(txn).await {
            Ok(_) | Err(DbErr::RecordNotInserted) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn within(filter: &SalesFilter) -> Condition {
    let column = |column| Expr::col((sale_entry::Entity, column));
    Condition::all()
        .add_option(filter.company.map(|company| column(sale_entry::Column::CompanyId).eq(company.uuid())))
        .add_option(filter.product.map(|product| column(sale_entry::Column::ProductId).eq(product.uuid())))
        .add_option(filter.product_code.as_deref().map(|code| column(sale_entry::Column::ProductCodeFolded).eq(code)))
}

/// The columns that are added up, in the order of [`Sums`].
const SUMMED: [sale_entry::Column; 8] = [
    sale_entry::Column::Quantity,
    sale_entry::Column::SubtotalMinor,
    sale_entry::Column::DiscountMinor,
    sale_entry::Column::NetMinor,
    sale_entry::Column::TaxMinor,
    sale_entry::Column::TotalMinor,
    sale_entry::Column::RefundedQuantity,
    sale_entry::Column::RefundedMinor,
];

/// What the entries between two instants add up to by `group`, and by currency; `parts` are the days or months that they are grouped by, if they
/// are. `None`: all of them together. One statement.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn sums(
    db: &impl ConnectionTrait,
    filter: &SalesFilter,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    group: Option<SalesGroup>,
    parts: &[Part],
) -> Result<Vec<(GroupKey, Sums)>, DbErr> {
    let column = |column| Expr::col((sale_entry::Entity, column));
    let (at, part) = (column(sale_entry::Column::At), Alias::new("part"));
    let mut select = SelectStatement::new();
    select.expr(column(sale_entry::Column::Currency));
    for summed in SUMMED {
        // PostgreSQL adds whole numbers up to a NUMERIC, which is read back as a whole number here.
        select.expr(column(summed).sum().cast_as("bigint"));
    }
    match group {
        Some(SalesGroup::Day | SalesGroup::Month) => {
            if parts.is_empty() {
                return Ok(Vec::new());
            }
            // A list of the parts, and for each the entries between its ends: found by the index.
            let rows =
                (0i64..).zip(parts).map(|(number, part)| ValueTuple::Three(number.into(), part.starts_at.into(), part.ends_at.into()));
            let of_part = |name: &'static str| Expr::col((part.clone(), Alias::new(name)));
            let between = Condition::all().add(at.clone().gte(of_part("column2"))).add(at.lt(of_part("column3")));
            select.from_values(rows, part.clone()).inner_join(sale_entry::Entity, between);
            select.expr(of_part("column1")).add_group_by([of_part("column1")]);
        }
        other => {
            select.from(sale_entry::Entity).and_where(at.clone().gte(from)).and_where(at.lt(until));
            match other {
                Some(SalesGroup::ProductCode) => {
                    select.expr(column(sale_entry::Column::ProductCode)).add_group_by([column(sale_entry::Column::ProductCode)]);
                }
                Some(SalesGroup::Company) => {
                    select.expr(column(sale_entry::Column::CompanyId)).add_group_by([column(sale_entry::Column::CompanyId)]);
                }
                Some(SalesGroup::Product) => {
                    select.expr(column(sale_entry::Column::ProductId)).add_group_by([column(sale_entry::Column::ProductId)]);
                }
                Some(SalesGroup::Day | SalesGroup::Month) | None => {}
            }
        }
    }
    select.cond_where(within(filter)).add_group_by([column(sale_entry::Column::Currency)]);
    db.query_all(&select).await?.iter().map(|row| Ok((key_of(row, group)?, sums_of(row)?))).collect()
}

fn sums_of(row: &QueryResult) -> Result<Sums, DbErr> {
    let currency = Currency::parse(&row.try_get_by_index::<String>(0)?).map_err(corrupt)?;
    let number = |place: usize| row.try_get_by_index::<i64>(place);
    let money = |place: usize| Ok::<_, DbErr>(Money::new(number(place)?, currency));
    Ok(Sums {
        quantity: number(1)?,
        gross: money(2)?,
        discount: money(3)?,
        net: money(4)?,
        tax: money(5)?,
        total: money(6)?,
        refunded_quantity: number(7)?,
        refunded: money(8)?,
    })
}

fn key_of(row: &QueryResult, group: Option<SalesGroup>) -> Result<GroupKey, DbErr> {
    let place = SUMMED.len() + 1;
    Ok(match group {
        None => GroupKey::All,
        Some(SalesGroup::ProductCode) => GroupKey::ProductCode(row.try_get_by_index(place)?),
        Some(SalesGroup::Company) => GroupKey::Company(row.try_get_by_index::<Option<Uuid>>(place)?.map(CompanyId::new)),
        Some(SalesGroup::Product) => GroupKey::Product(ProductId::new(row.try_get_by_index(place)?)),
        Some(SalesGroup::Day | SalesGroup::Month) => GroupKey::Part(usize::try_from(row.try_get_by_index::<i64>(place)?).map_err(corrupt)?),
    })
}

/// A page of the entries between two instants, the oldest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn entries(
    db: &impl ConnectionTrait,
    filter: &SalesFilter,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    args: &PageArgs<(DateTime<Utc>, Uuid)>,
) -> Result<Page<Entry>, DbErr> {
    use sale_entry::Column;
    let mut select = sale_entry::Entity::find().filter(within(filter)).filter(Column::At.gte(from)).filter(Column::At.lt(until));
    if let Some((at, id)) = args.after {
        let place = Expr::tuple([Column::At.into_expr(), Column::Id.into_expr()]);
        select = select.filter(place.gt(Expr::tuple([Expr::val(at), Expr::val(id)])));
    }
    let rows = select.order_by_asc(Column::At).order_by_asc(Column::Id).limit(u64::from(args.first) + 1).all(db).await?;
    super::catalog::all_known(Page::cut(rows, args, None), entry)
}

fn entry(row: sale_entry::Model) -> Result<Entry, DbErr> {
    let currency = Currency::parse(&row.currency).map_err(corrupt)?;
    let money = |minor| Money::new(minor, currency);
    Ok(Entry {
        id: row.id,
        kind: super::known(SaleKind::parse(&row.kind), "kind of entry", &row.kind)?,
        at: row.at,
        source: super::known(SourceKind::parse(&row.source_kind), "source of an entry", &row.source_kind)?,
        line: row.line_id,
        cause: row.cause_id,
        order: row.order_id.into(),
        company: row.company_id.map(CompanyId::new),
        product: row.product_id.into(),
        product_code: row.product_code,
        sums: Sums {
            quantity: row.quantity,
            gross: money(row.subtotal_minor),
            discount: money(row.discount_minor),
            net: money(row.net_minor),
            tax: money(row.tax_minor),
            total: money(row.total_minor),
            refunded_quantity: row.refunded_quantity,
            refunded: money(row.refunded_minor),
        },
    })
}
