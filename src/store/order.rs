//! Orders and their lines.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::cart::For;
use domain::catalog::{Fulfilment, ProductKind};
use domain::credit_sale::Gain;
use domain::entitlement::Target;
use domain::order::OrderStatus;
use domain::pricing::{ExchangeRate, LineAmounts, Step};
use domain::royalty::Recommended;
use domain::terms::Terms;
use domain::text::Email;
use domain::{AccountId, CartId, CompanyId, Currency, Money, OrderId, OrderLineId, PaymentId, Percent, PersonId, ProductId, SessionId};
use entity::{order, order_line, person, product};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait, JoinType,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::CHUNK;
use super::catalog::ROWS;
use super::corrupt;
use crate::page::{Page, PageArgs};

/// An order with its lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Id.
    pub id: OrderId,
    /// Number, not sequential.
    pub number: String,
    /// The cart it came from.
    pub cart: CartId,
    /// Whose; `None` until fulfilment made a guest's account.
    pub account: Option<AccountId>,
    /// Who bought: the version of name, e-mail and address of then.
    pub buyer: PersonId,
    /// Context: company.
    pub company: Option<CompanyId>,
    /// Currency of all amounts.
    pub currency: Currency,
    /// Context: locale.
    pub locale: String,
    /// State.
    pub status: OrderStatus,
    /// Sums over the lines.
    pub totals: domain::pricing::Totals,
    /// How net and total relate.
    pub prices_include_tax: bool,
    /// Exchange rates used, frozen.
    pub rates: Vec<ExchangeRate>,
    /// Grows with every change.
    pub version: i64,
    /// Actor who placed it.
    pub placed_by: String,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
    /// When it lapses unpaid.
    pub lapses_at: Option<DateTime<Utc>>,
    /// When it was paid in full.
    pub paid_at: Option<DateTime<Utc>>,
    /// The attempt that paid it.
    pub paid_payment: Option<PaymentId>,
    /// When all it gives was given.
    pub fulfilled_at: Option<DateTime<Utc>>,
    /// When it was cancelled or lapsed.
    pub closed_at: Option<DateTime<Utc>>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// Whether somebody let it pass without payment.
    pub bypass: bool,
    /// Why.
    pub reason: Option<String>,
    /// The lines in order.
    pub lines: Vec<OrderLine>,
}

/// One line, as it was at placing.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderLine {
    /// Id.
    pub id: OrderLineId,
    /// Product.
    pub product: ProductId,
    /// What it opens; a credit pack opens nothing.
    pub target: Option<Target>,
    /// SKU then.
    pub sku: String,
    /// Title then.
    pub title: String,
    /// Product code then.
    pub product_code: Option<String>,
    /// The code of the coupon that took it.
    pub coupon: Option<String>,
    /// Session of an event.
    pub session: Option<SessionId>,
    /// For whom.
    pub for_: For,
    /// The person row of a named learner.
    pub learner: Option<PersonId>,
    /// Units.
    pub quantity: u32,
    /// Unit price; `None` where the steps of a graduated schedule differ.
    pub unit_price: Option<Money>,
    /// List unit price.
    pub list_price: Option<Money>,
    /// Amounts.
    pub amounts: LineAmounts,
    /// Steps of the price.
    pub breakdown: Vec<Step>,
    /// Terms of access.
    pub terms: Terms,
    /// What it gives: a place, or a key to hand on.
    pub fulfilment: Fulfilment,
    /// The credits that it gives, all units together.
    pub credits: Gain,
    /// Refunded so far, under way included.
    pub refunded: Money,
    /// Of that, refunded by quantity.
    pub refunded_by_quantity: Money,
    /// Units refunded so far.
    pub refunded_quantity: u32,
    /// The royalty that was recommended, if one is owed.
    pub royalty: Option<Recommended>,
}

/// Which orders a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OrderFilter {
    /// Of this account.
    pub account: Option<AccountId>,
    /// In the context of this company.
    pub company: Option<CompanyId>,
    /// In one of these states.
    pub statuses: Vec<OrderStatus>,
    /// Placed from this instant on.
    pub placed_from: Option<DateTime<Utc>>,
    /// Placed before this instant.
    pub placed_before: Option<DateTime<Utc>>,
    /// With this number.
    pub number: Option<String>,
    /// By a buyer with this keyed e-mail hash.
    pub buyer_hash: Option<String>,
}

/// Writes a new order with its lines.
///
/// # Errors
/// The database's; a second live order of one cart breaks the unique index `order_cart_id_key`.
pub async fn insert(txn: &DatabaseTransaction, new: &Order) -> Result<(), DbErr> {
    insert_all(txn, std::slice::from_ref(new)).await
}

/// The same for several orders.
///
/// # Errors
/// The database's.
pub async fn insert_all(txn: &DatabaseTransaction, new: &[Order]) -> Result<(), DbErr> {
    for chunk in new.chunks(ROWS) {
        let rows = chunk.iter().map(order_row).collect::<Result<Vec<_>, _>>()?;
        order::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    let mut lines = Vec::new();
    for order in new {
        for (position, line) in order.lines.iter().enumerate() {
            lines.push(line_row(order.id, position, line)?);
        }
    }
    for chunk in lines.chunks(ROWS) {
        order_line::Entity::insert_many(chunk.to_vec()).exec_without_returning(txn).await?;
    }
    super::sale::record_orders(txn, new).await
}

/// Which of these lines there are.
///
/// # Errors
/// The database's.
pub async fn lines_there(db: &impl ConnectionTrait, ids: &[OrderLineId]) -> Result<HashSet<OrderLineId>, DbErr> {
    let mut found = HashSet::new();
    for chunk in ids.chunks(CHUNK) {
        let select = order_line::Entity::find().select_only().column(order_line::Column::Id);
        let rows = select.filter(order_line::Column::Id.is_in(chunk.iter().map(|id| id.uuid()))).into_tuple::<Uuid>().all(db).await?;
        found.extend(rows.into_iter().map(OrderLineId::new));
    }
    Ok(found)
}

fn order_row(new: &Order) -> Result<order::ActiveModel, DbErr> {
    Ok(order::ActiveModel {
        id: Set(new.id.uuid()),
        number: Set(new.number.clone()),
        cart_id: Set(new.cart.uuid()),
        account_id: Set(new.account.map(AccountId::uuid)),
        buyer_person_id: Set(new.buyer.uuid()),
        company_id: Set(new.company.map(CompanyId::uuid)),
        currency: Set(new.currency.code().to_owned()),
        locale: Set(new.locale.clone()),
        status: Set(new.status.name().to_owned()),
        subtotal_minor: Set(new.totals.subtotal.minor),
        discount_minor: Set(new.totals.discount.minor),
        net_minor: Set(new.totals.net.minor),
        tax_minor: Set(new.totals.tax.minor),
        total_minor: Set(new.totals.total.minor),
        prices_include_tax: Set(new.prices_include_tax),
        rates: Set(json(&new.rates)?),
        version: Set(new.version),
        placed_by: Set(new.placed_by.clone()),
        placed_at: Set(new.placed_at),
        lapses_at: Set(new.lapses_at),
        paid_at: Set(new.paid_at),
        paid_payment_id: Set(new.paid_payment.map(PaymentId::uuid)),
        fulfilled_at: Set(new.fulfilled_at),
        closed_at: Set(new.closed_at),
        touched_at: Set(new.touched_at),
        bypass: Set(new.bypass),
        reason: Set(new.reason.clone()),
    })
}

fn line_row(order: OrderId, position: usize, line: &OrderLine) -> Result<order_line::ActiveModel, DbErr> {
    let (credits, credit_days, credit_tied_to) = super::credit_pack::columns(&line.credits)?;
    let (target_kind, target_id) = match line.target {
        Some(target) => (target.kind().name(), target.uuid()),
        None => (ProductKind::CreditPack.name(), line.product.uuid()),
    };
    Ok(order_line::ActiveModel {
        id: Set(line.id.uuid()),
        order_id: Set(order.uuid()),
        position: Set(i32::try_from(position).map_err(|_| DbErr::Custom("too many lines".to_owned()))?),
        product_id: Set(line.product.uuid()),
        target_kind: Set(target_kind.to_owned()),
        target_id: Set(target_id),
        sku: Set(line.sku.clone()),
        title: Set(line.title.clone()),
        product_code: Set(line.product_code.clone()),
        session_id: Set(line.session.map(SessionId::uuid)),
        for_kind: Set(for_kind(&line.for_).to_owned()),
        learner_person_id: Set(line.learner.map(PersonId::uuid)),
        quantity: Set(i64::from(line.quantity)),
        unit_price_minor: Set(line.unit_price.map(|price| price.minor)),
        list_price_minor: Set(line.list_price.map(|price| price.minor)),
        subtotal_minor: Set(line.amounts.subtotal.minor),
        discount_minor: Set(line.amounts.discount.minor),
        net_minor: Set(line.amounts.net.minor),
        tax_rate_millionths: Set(i64::from(line.amounts.tax_rate.units())),
        tax_minor: Set(line.amounts.tax.minor),
        total_minor: Set(line.amounts.total.minor),
        breakdown: Set(json(&line.breakdown)?),
        terms: Set(json(&line.terms)?),
        refunded_minor: Set(line.refunded.minor),
        refunded_by_quantity_minor: Set(line.refunded_by_quantity.minor),
        refunded_quantity: Set(i64::from(line.refunded_quantity)),
        coupon_code: Set(line.coupon.clone()),
        fulfilment: Set(line.fulfilment.name().to_owned()),
        credits: Set(credits),
        credit_days: Set(credit_days),
        credit_tied_to: Set(credit_tied_to),
        royalty: Set(line.royalty.as_ref().map(json).transpose()?),
    })
}

/// The orders with these ids, with their lines, in a fixed number of statements; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[OrderId]) -> Result<Vec<Order>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = order::Entity::find().filter(order::Column::Id.is_in(ids.iter().map(|id| id.uuid()))).all(db).await?;
    with_lines(db, rows).await
}

/// One order.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_id(db: &impl ConnectionTrait, id: OrderId) -> Result<Option<Order>, DbErr> {
    Ok(by_ids(db, &[id]).await?.pop())
}

/// The order's version: what a live subscription looks at.
///
/// # Errors
/// The database's.
pub async fn version(db: &impl ConnectionTrait, id: OrderId) -> Result<Option<i64>, DbErr> {
    order::Entity::find_by_id(id.uuid()).select_only().column(order::Column::Version).into_tuple().one(db).await
}

/// Takes the order's row for the rest of the transaction. Everything that moves money or state of an order takes it first, so that answers
/// of one gateway that come by several roads at once are applied one after the other. (On SQLite the transaction is exclusive already.)
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lock(txn: &DatabaseTransaction, id: OrderId) -> Result<Option<Order>, DbErr> {
    let rows = order::Entity::find_by_id(id.uuid()).lock_exclusive().all(txn).await?;
    Ok(with_lines(txn, rows).await?.pop())
}

async fn with_lines(db: &impl ConnectionTrait, rows: Vec<order::Model>) -> Result<Vec<Order>, DbErr> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let learner = order_line::Entity::belongs_to(person::Entity).from(order_line::Column::LearnerPersonId).to(person::Column::Id);
    let lines = order_line::Entity::find()
        .join(JoinType::LeftJoin, learner.into())
        .select_also(person::Entity)
        .filter(order_line::Column::OrderId.is_in(rows.iter().map(|row| row.id)))
        .order_by_asc(order_line::Column::OrderId)
        .order_by_asc(order_line::Column::Position)
        .all(db)
        .await?;
    let mut of_order: HashMap<Uuid, Vec<(order_line::Model, Option<person::Model>)>> = HashMap::new();
    for (line, learner) in lines {
        of_order.entry(line.order_id).or_default().push((line, learner));
    }
    rows.into_iter()
        .map(|row| {
            let lines = of_order.remove(&row.id).unwrap_or_default();
            from_row(row, lines)
        })
        .collect()
}

fn from_row(row: order::Model, lines: Vec<(order_line::Model, Option<person::Model>)>) -> Result<Order, DbErr> {
    let currency = Currency::parse(&row.currency).map_err(corrupt)?;
    let money = |minor| Money::new(minor, currency);
    Ok(Order {
        id: row.id.into(),
        number: row.number,
        cart: row.cart_id.into(),
        account: row.account_id.map(Into::into),
        buyer: row.buyer_person_id.into(),
        company: row.company_id.map(Into::into),
        currency,
        locale: row.locale,
        status: OrderStatus::parse(&row.status).ok_or_else(|| corrupt(&row.status))?,
        totals: domain::pricing::Totals {
            subtotal: money(row.subtotal_minor),
            discount: money(row.discount_minor),
            net: money(row.net_minor),
            tax: money(row.tax_minor),
            total: money(row.total_minor),
        },
        prices_include_tax: row.prices_include_tax,
        rates: serde_json::from_value(row.rates).map_err(corrupt)?,
        version: row.version,
        placed_by: row.placed_by,
        placed_at: row.placed_at,
        lapses_at: row.lapses_at,
        paid_at: row.paid_at,
        paid_payment: row.paid_payment_id.map(Into::into),
        fulfilled_at: row.fulfilled_at,
        closed_at: row.closed_at,
        touched_at: row.touched_at,
        bypass: row.bypass,
        reason: row.reason,
        lines: lines.into_iter().map(|(line, learner)| line_from_row(line, learner, currency)).collect::<Result<_, _>>()?,
    })
}

fn line_from_row(row: order_line::Model, learner: Option<person::Model>, currency: Currency) -> Result<OrderLine, DbErr> {
    let money = |minor| Money::new(minor, currency);
    let target = match domain::entitlement::TargetKind::parse(&row.target_kind) {
        Some(kind) => Some(Target::new(kind, row.target_id)),
        None if row.target_kind == ProductKind::CreditPack.name() => None,
        None => return Err(corrupt(&row.target_kind)),
    };
    Ok(OrderLine {
        id: row.id.into(),
        product: row.product_id.into(),
        target,
        sku: row.sku,
        title: row.title,
        product_code: row.product_code,
        coupon: row.coupon_code,
        session: row.session_id.map(Into::into),
        for_: for_from(&row.for_kind, learner)?,
        learner: row.learner_person_id.map(Into::into),
        quantity: u32::try_from(row.quantity).map_err(corrupt)?,
        unit_price: row.unit_price_minor.map(money),
        list_price: row.list_price_minor.map(money),
        amounts: LineAmounts {
            subtotal: money(row.subtotal_minor),
            discount: money(row.discount_minor),
            net: money(row.net_minor),
            tax_rate: Percent::from_units(row.tax_rate_millionths).map_err(corrupt)?,
            tax: money(row.tax_minor),
            total: money(row.total_minor),
        },
        breakdown: serde_json::from_value(row.breakdown).map_err(corrupt)?,
        terms: serde_json::from_value(row.terms).map_err(corrupt)?,
        fulfilment: Fulfilment::parse(&row.fulfilment).ok_or_else(|| corrupt(&row.fulfilment))?,
        credits: super::credit_pack::gain((row.credits, row.credit_days, row.credit_tied_to))?,
        refunded: money(row.refunded_minor),
        refunded_by_quantity: money(row.refunded_by_quantity_minor),
        refunded_quantity: u32::try_from(row.refunded_quantity).map_err(corrupt)?,
        royalty: row.royalty.map(serde_json::from_value).transpose().map_err(corrupt)?,
    })
}

/// The stored word for whom a line is.
pub fn for_kind(for_: &For) -> &'static str {
    match for_ {
        For::SelfBuyer => "SELF",
        For::Seats => "SEATS",
        For::Learner { .. } => "LEARNER",
    }
}

/// Reads for whom a line is; a learner whose person was erased keeps the line but has neither address nor name.
///
/// # Errors
/// A word that none of ours is.
pub fn for_from(kind: &str, learner: Option<person::Model>) -> Result<For, DbErr> {
    match kind {
        "SELF" => Ok(For::SelfBuyer),
        "SEATS" => Ok(For::Seats),
        "LEARNER" => {
            let (email, name) = learner.map_or((None, None), |learner| (learner.email, learner.name));
            let email = email.as_deref().map(Email::parse).transpose().map_err(corrupt)?;
            Ok(For::Learner { email, name })
        }
        other => Err(corrupt(other)),
    }
}

/// What changes of an order's state.
#[derive(Debug, Clone)]
pub struct StateChange {
    /// The state it must be in still.
    pub from: OrderStatus,
    /// The new one.
    pub to: OrderStatus,
    /// Now.
    pub now: DateTime<Utc>,
    /// Set when it becomes PAID: the attempt that paid, if any.
    pub paid_by: Option<Option<PaymentId>>,
}

/// Moves the order's state, if it is still in the one expected; says whether it was.
///
/// # Errors
/// The database's.
pub async fn advance(txn: &DatabaseTransaction, id: OrderId, change: &StateChange) -> Result<bool, DbErr> {
    let mut update = order::Entity::update_many()
        .col_expr(order::Column::Status, Expr::value(change.to.name()))
        .col_expr(order::Column::Version, Expr::col(order::Column::Version).add(1i64))
        .col_expr(order::Column::TouchedAt, Expr::value(change.now));
    if let Some(payment) = change.paid_by {
        update = update
            .col_expr(order::Column::PaidAt, Expr::value(change.now))
            .col_expr(order::Column::PaidPaymentId, Expr::value(payment.map(PaymentId::uuid)))
            .col_expr(order::Column::ClosedAt, Expr::value(None::<DateTime<Utc>>));
    }
    if matches!(change.to, OrderStatus::Cancelled | OrderStatus::Lapsed) {
        update = update.col_expr(order::Column::ClosedAt, Expr::value(change.now));
    }
    if change.to == OrderStatus::Fulfilled {
        update = update.col_expr(order::Column::FulfilledAt, Expr::value(change.now));
    }
    let done = update.filter(order::Column::Id.eq(id.uuid())).filter(order::Column::Status.eq(change.from.name())).exec(txn).await?;
    let moved = done.rows_affected == 1;
    if moved && change.paid_by.is_some() {
        super::sale::record_paid(txn, id, change.now).await?;
    }
    Ok(moved)
}

/// Notes that the order's grants are in, whatever its state is by now.
///
/// # Errors
/// The database's.
pub async fn set_fulfilled(txn: &DatabaseTransaction, id: OrderId, status: OrderStatus, now: DateTime<Utc>) -> Result<(), DbErr> {
    order::Entity::update_many()
        .col_expr(order::Column::Status, Expr::value(status.name()))
        .col_expr(order::Column::FulfilledAt, Expr::value(now))
        .col_expr(order::Column::Version, Expr::col(order::Column::Version).add(1i64))
        .col_expr(order::Column::TouchedAt, Expr::value(now))
        .filter(order::Column::Id.eq(id.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Notes that something about the order changed, for whoever watches its version.
///
/// # Errors
/// The database's.
pub async fn touch(txn: &DatabaseTransaction, id: OrderId, now: DateTime<Utc>) -> Result<(), DbErr> {
    order::Entity::update_many()
        .col_expr(order::Column::Version, Expr::col(order::Column::Version).add(1i64))
        .col_expr(order::Column::TouchedAt, Expr::value(now))
        .filter(order::Column::Id.eq(id.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// The credits that a line of an order gives, all units together, and its units; `None` if there is no such line.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn credits_of_line(db: &impl ConnectionTrait, line: OrderLineId) -> Result<Option<(Gain, u32)>, DbErr> {
    let Some(row) = order_line::Entity::find_by_id(line.uuid()).one(db).await? else { return Ok(None) };
    let gain = super::credit_pack::gain((row.credits, row.credit_days, row.credit_tied_to))?;
    Ok(Some((gain, u32::try_from(row.quantity).map_err(corrupt)?)))
}

/// Sets when the order lapses.
///
/// # Errors
/// The database's.
pub async fn set_lapse(txn: &DatabaseTransaction, id: OrderId, at: DateTime<Utc>) -> Result<(), DbErr> {
    order::Entity::update_many()
        .col_expr(order::Column::LapsesAt, Expr::value(at))
        .filter(order::Column::Id.eq(id.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Gives the order to an account, if it has none yet.
///
/// # Errors
/// The database's.
pub async fn set_account(txn: &DatabaseTransaction, id: OrderId, account: AccountId) -> Result<(), DbErr> {
    order::Entity::update_many()
        .col_expr(order::Column::AccountId, Expr::value(account.uuid()))
        .filter(order::Column::Id.eq(id.uuid()))
        .filter(order::Column::AccountId.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

/// Adds to what was refunded of a line (or takes back, with negative numbers, when a refund failed).
///
/// # Errors
/// The database's.
pub async fn add_refunded(
    txn: &DatabaseTransaction,
    line: OrderLineId,
    amount_minor: i64,
    by_quantity_minor: i64,
    quantity: i64,
) -> Result<(), DbErr> {
    use order_line::Column;
    order_line::Entity::update_many()
        .col_expr(Column::RefundedMinor, Expr::col(Column::RefundedMinor).add(amount_minor))
        .col_expr(Column::RefundedByQuantityMinor, Expr::col(Column::RefundedByQuantityMinor).add(by_quantity_minor))
        .col_expr(Column::RefundedQuantity, Expr::col(Column::RefundedQuantity).add(quantity))
        .filter(Column::Id.eq(line.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Whether the cart has a live order besides this one.
///
/// # Errors
/// The database's.
pub async fn cart_taken(db: &impl ConnectionTrait, cart: CartId, but: OrderId) -> Result<bool, DbErr> {
    let live = order::Entity::find()
        .filter(order::Column::CartId.eq(cart.uuid()))
        .filter(order::Column::Id.ne(but.uuid()))
        .filter(order::Column::Status.is_not_in([OrderStatus::Cancelled.name(), OrderStatus::Lapsed.name()]))
        .count(db)
        .await?;
    Ok(live > 0)
}

/// The live order of a cart: its id and number.
///
/// # Errors
/// The database's.
pub async fn live_of_cart(db: &impl ConnectionTrait, cart: CartId) -> Result<Option<(String, OrderStatus)>, DbErr> {
    let row: Option<(String, String)> = order::Entity::find()
        .select_only()
        .column(order::Column::Number)
        .column(order::Column::Status)
        .filter(order::Column::CartId.eq(cart.uuid()))
        .filter(order::Column::Status.is_not_in([OrderStatus::Cancelled.name(), OrderStatus::Lapsed.name()]))
        .into_tuple()
        .one(db)
        .await?;
    row.map(|(number, status)| Ok((number, OrderStatus::parse(&status).ok_or_else(|| corrupt(&status))?))).transpose()
}

/// Whether every product of these is still there, not archived.
///
/// # Errors
/// The database's.
pub async fn all_there(db: &impl ConnectionTrait, products: &[ProductId]) -> Result<bool, DbErr> {
    let gone = product::Entity::find()
        .filter(product::Column::Id.is_in(products.iter().map(|id| id.uuid())))
        .filter(product::Column::ArchivedAt.is_not_null())
        .count(db)
        .await?;
    Ok(gone == 0)
}

/// A page of orders, the newest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &OrderFilter,
    args: &PageArgs<(DateTime<Utc>, Uuid)>,
    total: bool,
) -> Result<Page<Order>, DbErr> {
    use order::Column;
    let mut condition = Condition::all();
    if let Some(account) = filter.account {
        condition = condition.add(Column::AccountId.eq(account.uuid()));
    }
    if let Some(company) = filter.company {
        condition = condition.add(Column::CompanyId.eq(company.uuid()));
    }
    if !filter.statuses.is_empty() {
        condition = condition.add(Column::Status.is_in(filter.statuses.iter().map(|status| status.name())));
    }
    if let Some(from) = filter.placed_from {
        condition = condition.add(Column::PlacedAt.gte(from));
    }
    if let Some(before) = filter.placed_before {
        condition = condition.add(Column::PlacedAt.lt(before));
    }
    if let Some(number) = &filter.number {
        condition = condition.add(Column::Number.eq(number));
    }
    if let Some(hash) = &filter.buyer_hash {
        condition = condition.add(Column::BuyerPersonId.in_subquery(
            person::Entity::find().select_only().column(person::Column::Id).filter(person::Column::EmailHash.eq(hash)).into_query(),
        ));
    }
    let all = order::Entity::find().filter(condition);
    let total = if total { Some(i64::try_from(all.clone().count(db).await?).map_err(corrupt)?) } else { None };
    let mut rows = all;
    if let Some((placed_at, id)) = args.after {
        // As one pair, so that the index leads to its place: a later page costs no more than the first.
        let place = Expr::tuple([Column::PlacedAt.into_expr(), Column::Id.into_expr()]);
        rows = rows.filter(place.lt(Expr::tuple([Expr::val(placed_at), Expr::val(id)])));
    }
    let rows = rows.order_by_desc(Column::PlacedAt).order_by_desc(Column::Id).limit(u64::from(args.first) + 1).all(db).await?;
    Ok(Page::cut(with_lines(db, rows).await?, args, total))
}

/// Orders that were paid by `paid_before` and whose grants are not in.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn paid_not_given(db: &impl ConnectionTrait, paid_before: DateTime<Utc>, limit: u64) -> Result<Vec<Order>, DbErr> {
    let rows = order::Entity::find()
        .filter(order::Column::PaidAt.lte(paid_before))
        .filter(order::Column::FulfilledAt.is_null())
        .order_by_asc(order::Column::PaidAt)
        .order_by_asc(order::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    with_lines(db, rows).await
}

fn json(value: &impl serde::Serialize) -> Result<serde_json::Value, DbErr> {
    serde_json::to_value(value).map_err(corrupt)
}
