//! Payment attempts, what was heard of them, stored webhooks, refunds and disputes.

use std::collections::HashMap;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use domain::payment::{DisputeStatus, PaymentState, PaymentStatus, Review, Totals};
use domain::refund::{Access, RefundStatus};
use domain::{Currency, Money, OrderId, OrderLineId, PaymentId, RefundId, TokenId};
use entity::{dispute, gateway_event, payment, payment_event, refund, refund_line};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::Value;
use uuid::Uuid;

use super::corrupt;

/// One attempt to pay an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Payment {
    /// Id; the operation id at the gateway.
    pub id: PaymentId,
    /// Order.
    pub order: OrderId,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Id of the gateway instance.
    pub gateway: String,
    /// Status and totals, as the domain moves them.
    pub state: PaymentState,
    /// The buyer's one-time token; blanked once the gateway has answered.
    pub method_token: Option<String>,
    /// The network address that the buyer asked from; blanked once the gateway has the payment.
    pub buyer_ip: Option<IpAddr>,
    /// The gateway's own id.
    pub reference: Option<String>,
    /// Refunds under way.
    pub refunding: Money,
    /// Safe reason of a decline.
    pub decline_reason: Option<String>,
    /// What the buyer has to do.
    pub next_action: Option<Value>,
    /// Where the buyer's browser goes afterwards.
    pub return_url: Option<String>,
    /// How often the gateway was asked.
    pub polls: u32,
    /// When to ask again.
    pub next_poll_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
}

/// A refund with its lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Refund {
    /// Id; the operation id at the gateway.
    pub id: RefundId,
    /// Order.
    pub order: OrderId,
    /// The attempt that captured the money.
    pub payment: PaymentId,
    /// Amount.
    pub amount: Money,
    /// State.
    pub status: RefundStatus,
    /// Who began it.
    pub origin: Origin,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub actor: String,
    /// The gateway's own id.
    pub reference: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
    /// How often the gateway was asked.
    pub polls: u32,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it succeeded or failed.
    pub settled_at: Option<DateTime<Utc>>,
    /// What of which line it gives back.
    pub lines: Vec<RefundLine>,
}

/// Where a refund began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Here, by an operator.
    Shop,
    /// At the gateway.
    Gateway,
    /// Here, because money came that has no order to pay.
    LateMoney,
}

impl Origin {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shop => "SHOP",
            Self::Gateway => "GATEWAY",
            Self::LateMoney => "LATE_MONEY",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Shop, Self::Gateway, Self::LateMoney].into_iter().find(|origin| origin.name() == name)
    }
}

/// What of a line a refund gives back.
#[derive(Debug, Clone, PartialEq)]
pub struct RefundLine {
    /// Line.
    pub line: OrderLineId,
    /// Amount.
    pub amount: Money,
    /// Units; 0 where it named an amount.
    pub quantity: u32,
    /// Whether the amount followed from units.
    pub by_quantity: bool,
    /// Tokens it voids.
    pub tokens: Vec<TokenId>,
    /// What happens to the access.
    pub access: Access,
    /// Whether it takes its share of the line's credits.
    pub takes_credits: bool,
    /// That share.
    pub credits: u64,
    /// What of it was unspent, and taken; known once the refund is done.
    pub credits_taken: u64,
    /// What of it was spent already.
    pub credits_spent: u64,
}

/// A dispute at the gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispute {
    /// Row id.
    pub id: Uuid,
    /// Attempt.
    pub payment: PaymentId,
    /// The gateway's own id.
    pub reference: String,
    /// Disputed amount.
    pub amount: Money,
    /// State.
    pub status: DisputeStatus,
    /// The gateway's reason.
    pub reason: Option<String>,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
}

/// Something heard of an attempt.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Row id.
    pub id: Uuid,
    /// Attempt.
    pub payment: PaymentId,
    /// REPLY, WEBHOOK, RETURN, POLL or OPERATOR.
    pub road: &'static str,
    /// Status reported.
    pub status: String,
    /// Facts reported.
    pub detail: Value,
    /// Whether it changed the attempt.
    pub changed: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// Writes a new attempt.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &DatabaseTransaction, new: &Payment) -> Result<(), DbErr> {
    payment::Entity::insert(row_of(new)?).exec_without_returning(txn).await?;
    Ok(())
}

/// Saves an attempt that was read under the lock of its order.
///
/// # Errors
/// The database's.
pub async fn save(txn: &DatabaseTransaction, changed: &Payment) -> Result<(), DbErr> {
    let mut row = row_of(changed)?;
    row.id = sea_orm::ActiveValue::Unchanged(changed.id.uuid());
    row.update(txn).await?;
    Ok(())
}

fn row_of(payment: &Payment) -> Result<payment::ActiveModel, DbErr> {
    let state = &payment.state;
    Ok(payment::ActiveModel {
        id: Set(payment.id.uuid()),
        order_id: Set(payment.order.uuid()),
        attempt: Set(i32::try_from(payment.attempt).map_err(corrupt)?),
        gateway: Set(payment.gateway.clone()),
        status: Set(state.status.name().to_owned()),
        amount_minor: Set(state.amount.minor),
        currency: Set(state.amount.currency.code().to_owned()),
        method_token: Set(payment.method_token.clone()),
        buyer_ip: Set(payment.buyer_ip.map(|address| address.to_string())),
        reference: Set(payment.reference.clone()),
        authorised_minor: Set(state.totals.authorised.minor),
        captured_minor: Set(state.totals.captured.minor),
        refunded_minor: Set(state.totals.refunded.minor),
        refunding_minor: Set(payment.refunding.minor),
        disputed_minor: Set(state.totals.disputed.minor),
        returned_minor: Set(state.totals.returned.minor),
        recorded: Set(state.recorded),
        decline_reason: Set(payment.decline_reason.clone()),
        next_action: Set(payment.next_action.clone()),
        needs_review: Set(state.review.is_some()),
        review_reason: Set(state.review.map(|review| serde_json::to_string(&review)).transpose().map_err(corrupt)?),
        return_url: Set(payment.return_url.clone()),
        polls: Set(i32::try_from(payment.polls).map_err(corrupt)?),
        next_poll_at: Set(payment.next_poll_at),
        created_at: Set(payment.created_at),
        touched_at: Set(payment.touched_at),
    })
}

pub(super) fn from_row(row: payment::Model) -> Result<Payment, DbErr> {
    let currency = Currency::parse(&row.currency).map_err(corrupt)?;
    let money = |minor| Money::new(minor, currency);
    let review: Option<Review> = row.review_reason.as_deref().map(serde_json::from_str).transpose().map_err(corrupt)?;
    Ok(Payment {
        id: row.id.into(),
        order: row.order_id.into(),
        attempt: u32::try_from(row.attempt).map_err(corrupt)?,
        gateway: row.gateway,
        state: PaymentState {
            amount: money(row.amount_minor),
            status: PaymentStatus::parse(&row.status).ok_or_else(|| corrupt(&row.status))?,
            totals: Totals {
                authorised: money(row.authorised_minor),
                captured: money(row.captured_minor),
                refunded: money(row.refunded_minor),
                disputed: money(row.disputed_minor),
                returned: money(row.returned_minor),
            },
            review,
            recorded: row.recorded,
        },
        method_token: row.method_token,
        buyer_ip: row.buyer_ip.as_deref().map(str::parse).transpose().map_err(corrupt)?,
        reference: row.reference,
        refunding: money(row.refunding_minor),
        decline_reason: row.decline_reason,
        next_action: row.next_action,
        return_url: row.return_url,
        polls: u32::try_from(row.polls).map_err(corrupt)?,
        next_poll_at: row.next_poll_at,
        created_at: row.created_at,
        touched_at: row.touched_at,
    })
}

/// The attempt with this id.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_id(db: &impl ConnectionTrait, id: PaymentId) -> Result<Option<Payment>, DbErr> {
    payment::Entity::find_by_id(id.uuid()).one(db).await?.map(from_row).transpose()
}

/// These attempts; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[PaymentId]) -> Result<Vec<Payment>, DbErr> {
    let rows = payment::Entity::find().filter(payment::Column::Id.is_in(ids.iter().map(|id| id.uuid()))).all(db).await?;
    rows.into_iter().map(from_row).collect()
}

/// The attempt that a gateway knows by this reference.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_reference(db: &impl ConnectionTrait, gateway: &str, reference: &str) -> Result<Option<Payment>, DbErr> {
    payment::Entity::find()
        .filter(payment::Column::Gateway.eq(gateway))
        .filter(payment::Column::Reference.eq(reference))
        .one(db)
        .await?
        .map(from_row)
        .transpose()
}

/// The attempts of these orders, each order's in order of trying.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_orders(db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<HashMap<OrderId, Vec<Payment>>, DbErr> {
    let rows = payment::Entity::find()
        .filter(payment::Column::OrderId.is_in(orders.iter().map(|id| id.uuid())))
        .order_by_asc(payment::Column::OrderId)
        .order_by_asc(payment::Column::Attempt)
        .all(db)
        .await?;
    let mut of_order: HashMap<OrderId, Vec<Payment>> = HashMap::new();
    for row in rows {
        let payment = from_row(row)?;
        of_order.entry(payment.order).or_default().push(payment);
    }
    Ok(of_order)
}

/// The attempts of one order.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_order(db: &impl ConnectionTrait, order: OrderId) -> Result<Vec<Payment>, DbErr> {
    Ok(of_orders(db, &[order]).await?.remove(&order).unwrap_or_default())
}

/// Appends what was heard.
///
/// # Errors
/// The database's.
pub async fn record(txn: &DatabaseTransaction, heard: Heard) -> Result<(), DbErr> {
    payment_event::Entity::insert(payment_event::ActiveModel {
        id: Set(heard.id),
        payment_id: Set(heard.payment.uuid()),
        road: Set(heard.road.to_owned()),
        status: Set(heard.status),
        detail: Set(heard.detail),
        changed: Set(heard.changed),
        happened_at: Set(heard.at),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// A verified webhook to keep.
#[derive(Debug, Clone)]
pub struct GatewayEvent {
    /// Row id.
    pub id: Uuid,
    /// Id of the gateway instance.
    pub gateway: String,
    /// The gateway's event id, or a hash of the body.
    pub dedup_key: String,
    /// What the adapter understood.
    pub notification: Value,
    /// Raw body.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: DateTime<Utc>,
}

/// Keeps a verified webhook; says whether it is new.
///
/// # Errors
/// The database's.
pub async fn keep_event(txn: &DatabaseTransaction, event: GatewayEvent) -> Result<bool, DbErr> {
    let done = gateway_event::Entity::insert(gateway_event::ActiveModel {
        id: Set(event.id),
        gateway: Set(event.gateway),
        dedup_key: Set(event.dedup_key),
        notification: Set(event.notification),
        body: Set(event.body),
        received_at: Set(event.received_at),
        applied_at: Set(None),
    })
    .on_conflict(OnConflict::columns([gateway_event::Column::Gateway, gateway_event::Column::DedupKey]).do_nothing().to_owned())
    .exec_without_returning(txn)
    .await;
    match done {
        Ok(rows) => Ok(rows > 0),
        Err(DbErr::RecordNotInserted) => Ok(false),
        Err(other) => Err(other),
    }
}

/// A kept webhook that was not applied yet: the gateway and the notification.
///
/// # Errors
/// The database's.
pub async fn pending_event(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<(String, Value)>, DbErr> {
    Ok(gateway_event::Entity::find_by_id(id)
        .filter(gateway_event::Column::AppliedAt.is_null())
        .one(db)
        .await?
        .map(|row| (row.gateway, row.notification)))
}

/// Notes that a kept webhook was applied.
///
/// # Errors
/// The database's.
pub async fn event_applied(db: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
    gateway_event::Entity::update_many()
        .col_expr(gateway_event::Column::AppliedAt, Expr::value(now))
        .filter(gateway_event::Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}

/// The refunds of an attempt, locked with their order by the caller.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn refunds_of_payment(db: &impl ConnectionTrait, payment: PaymentId) -> Result<Vec<Refund>, DbErr> {
    let rows = refund::Entity::find()
        .filter(refund::Column::PaymentId.eq(payment.uuid()))
        .order_by_asc(refund::Column::CreatedAt)
        .order_by_asc(refund::Column::Id)
        .all(db)
        .await?;
    with_lines(db, rows).await
}

/// Writes a new refund with its lines.
///
/// # Errors
/// The database's.
pub async fn insert_refund(txn: &DatabaseTransaction, new: &Refund) -> Result<(), DbErr> {
    refund::Entity::insert(refund::ActiveModel {
        id: Set(new.id.uuid()),
        order_id: Set(new.order.uuid()),
        payment_id: Set(new.payment.uuid()),
        amount_minor: Set(new.amount.minor),
        currency: Set(new.amount.currency.code().to_owned()),
        status: Set(new.status.name().to_owned()),
        origin: Set(new.origin.name().to_owned()),
        reason: Set(new.reason.clone()),
        actor: Set(new.actor.clone()),
        access: Set("DEFAULT".to_owned()),
        reference: Set(new.reference.clone()),
        failure: Set(new.failure.clone()),
        polls: Set(0),
        next_poll_at: Set(None),
        created_at: Set(new.created_at),
        settled_at: Set(new.settled_at),
    })
    .exec_without_returning(txn)
    .await?;
    if new.lines.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::with_capacity(new.lines.len());
    for line in &new.lines {
        rows.push(refund_line::ActiveModel {
            refund_id: Set(new.id.uuid()),
            order_line_id: Set(line.line.uuid()),
            amount_minor: Set(line.amount.minor),
            quantity: Set(i64::from(line.quantity)),
            by_quantity: Set(line.by_quantity),
            token_ids: Set(serde_json::to_value(&line.tokens).map_err(corrupt)?),
            ends_access: Set(line.access == Access::End),
            takes_credits: Set(line.takes_credits),
            credits: Set(i64::try_from(line.credits).map_err(corrupt)?),
            credits_taken: Set(i64::try_from(line.credits_taken).map_err(corrupt)?),
            credits_spent: Set(i64::try_from(line.credits_spent).map_err(corrupt)?),
        });
    }
    refund_line::Entity::insert_many(rows).exec_without_returning(txn).await?;
    super::sale::record_refund(txn, new).await
}

/// Saves state, reference and failure of a refund that was read under the lock of its order.
///
/// # Errors
/// The database's.
pub async fn save_refund(txn: &DatabaseTransaction, changed: &Refund) -> Result<(), DbErr> {
    refund::Entity::update_many()
        .col_expr(refund::Column::Status, Expr::value(changed.status.name()))
        .col_expr(refund::Column::Reference, Expr::value(changed.reference.clone()))
        .col_expr(refund::Column::Failure, Expr::value(changed.failure.clone()))
        .col_expr(refund::Column::Polls, Expr::value(i32::try_from(changed.polls).map_err(corrupt)?))
        .col_expr(refund::Column::SettledAt, Expr::value(changed.settled_at))
        .filter(refund::Column::Id.eq(changed.id.uuid()))
        .exec(txn)
        .await?;
    super::sale::record_refund(txn, changed).await
}

/// Notes what came of taking a line's credits back: how many it was about, taken, spent already. Read under the lock of its order.
///
/// # Errors
/// The database's.
pub async fn set_credits_back(
    txn: &DatabaseTransaction,
    refund: RefundId,
    line: OrderLineId,
    (credits, taken, spent): (u64, u64, u64),
) -> Result<(), DbErr> {
    use refund_line::Column;
    let cell = |count: u64| i64::try_from(count).map(Expr::value).map_err(corrupt);
    refund_line::Entity::update_many()
        .col_expr(Column::Credits, cell(credits)?)
        .col_expr(Column::CreditsTaken, cell(taken)?)
        .col_expr(Column::CreditsSpent, cell(spent)?)
        .filter(Column::RefundId.eq(refund.uuid()))
        .filter(Column::OrderLineId.eq(line.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// The refunds of these orders with their lines, the oldest first, in two statements.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn refunds_of(db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<HashMap<OrderId, Vec<Refund>>, DbErr> {
    let rows = refund::Entity::find()
        .filter(refund::Column::OrderId.is_in(orders.iter().map(|id| id.uuid())))
        .order_by_asc(refund::Column::CreatedAt)
        .order_by_asc(refund::Column::Id)
        .all(db)
        .await?;
    let mut of_order: HashMap<OrderId, Vec<Refund>> = HashMap::new();
    for refund in with_lines(db, rows).await? {
        of_order.entry(refund.order).or_default().push(refund);
    }
    Ok(of_order)
}

/// One refund with its lines.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn refund_by_id(db: &impl ConnectionTrait, id: RefundId) -> Result<Option<Refund>, DbErr> {
    Ok(refunds_by_ids(db, &[id]).await?.pop())
}

/// These refunds with their lines, in two statements; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn refunds_by_ids(db: &impl ConnectionTrait, ids: &[RefundId]) -> Result<Vec<Refund>, DbErr> {
    let rows = refund::Entity::find().filter(refund::Column::Id.is_in(ids.iter().map(|id| id.uuid()))).all(db).await?;
    with_lines(db, rows).await
}

async fn with_lines(db: &impl ConnectionTrait, rows: Vec<refund::Model>) -> Result<Vec<Refund>, DbErr> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let lines = refund_line::Entity::find().filter(refund_line::Column::RefundId.is_in(rows.iter().map(|row| row.id))).all(db).await?;
    rows.into_iter()
        .map(|row| {
            let currency = Currency::parse(&row.currency).map_err(corrupt)?;
            let own = lines.iter().filter(|line| line.refund_id == row.id);
            Ok(Refund {
                lines: own
                    .map(|line| {
                        Ok(RefundLine {
                            line: line.order_line_id.into(),
                            amount: Money::new(line.amount_minor, currency),
                            quantity: u32::try_from(line.quantity).map_err(corrupt)?,
                            by_quantity: line.by_quantity,
                            tokens: serde_json::from_value(line.token_ids.clone()).map_err(corrupt)?,
                            access: if line.ends_access { Access::End } else { Access::Keep },
                            takes_credits: line.takes_credits,
                            credits: u64::try_from(line.credits).map_err(corrupt)?,
                            credits_taken: u64::try_from(line.credits_taken).map_err(corrupt)?,
                            credits_spent: u64::try_from(line.credits_spent).map_err(corrupt)?,
                        })
                    })
                    .collect::<Result<_, DbErr>>()?,
                id: row.id.into(),
                order: row.order_id.into(),
                payment: row.payment_id.into(),
                amount: Money::new(row.amount_minor, currency),
                status: RefundStatus::parse(&row.status).ok_or_else(|| corrupt(&row.status))?,
                origin: Origin::parse(&row.origin).ok_or_else(|| corrupt(&row.origin))?,
                reason: row.reason,
                actor: row.actor,
                reference: row.reference,
                failure: row.failure,
                polls: u32::try_from(row.polls).map_err(corrupt)?,
                created_at: row.created_at,
                settled_at: row.settled_at,
            })
        })
        .collect()
}

/// The disputes of an attempt.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn disputes_of(db: &impl ConnectionTrait, payments: &[PaymentId]) -> Result<Vec<Dispute>, DbErr> {
    dispute::Entity::find()
        .filter(dispute::Column::PaymentId.is_in(payments.iter().map(|id| id.uuid())))
        .order_by_asc(dispute::Column::OpenedAt)
        .order_by_asc(dispute::Column::Id)
        .all(db)
        .await?
        .into_iter()
        .map(|row| {
            let currency = Currency::parse(&row.currency).map_err(corrupt)?;
            Ok(Dispute {
                id: row.id,
                payment: row.payment_id.into(),
                reference: row.reference,
                amount: Money::new(row.amount_minor, currency),
                status: DisputeStatus::parse(&row.status).ok_or_else(|| corrupt(&row.status))?,
                reason: row.reason,
                opened_at: row.opened_at,
                touched_at: row.touched_at,
            })
        })
        .collect()
}

/// Writes a dispute, new or changed, under the lock of its order.
///
/// # Errors
/// The database's.
pub async fn put_dispute(txn: &DatabaseTransaction, dispute: &Dispute) -> Result<(), DbErr> {
    let row = dispute::Model {
        id: dispute.id,
        payment_id: dispute.payment.uuid(),
        reference: dispute.reference.clone(),
        amount_minor: dispute.amount.minor,
        currency: dispute.amount.currency.code().to_owned(),
        status: dispute.status.name().to_owned(),
        reason: dispute.reason.clone(),
        opened_at: dispute.opened_at,
        touched_at: dispute.touched_at,
    };
    dispute::Entity::insert(row.into_active_model().reset_all())
        .on_conflict(
            OnConflict::columns([dispute::Column::PaymentId, dispute::Column::Reference])
                .update_columns([
                    dispute::Column::Status,
                    dispute::Column::AmountMinor,
                    dispute::Column::Currency,
                    dispute::Column::Reason,
                    dispute::Column::TouchedAt,
                ])
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// How often the gateway has answered when an attempt was sent to it.
///
/// # Errors
/// The database's.
pub async fn answers(db: &impl ConnectionTrait, payment: PaymentId) -> Result<u64, DbErr> {
    use payment_event::Column;
    payment_event::Entity::find().filter(Column::PaymentId.eq(payment.uuid())).filter(Column::Road.eq("REPLY")).count(db).await
}

/// What was heard of an attempt, the oldest first: road, status, whether it changed anything, when.
///
/// # Errors
/// The database's.
pub async fn events_of(db: &impl ConnectionTrait, payment: PaymentId) -> Result<Vec<(String, String, bool, DateTime<Utc>)>, DbErr> {
    use payment_event::Column;
    payment_event::Entity::find()
        .select_only()
        .columns([Column::Road, Column::Status, Column::Changed, Column::HappenedAt])
        .filter(Column::PaymentId.eq(payment.uuid()))
        .order_by_asc(Column::HappenedAt)
        .order_by_asc(Column::Id)
        .into_tuple()
        .all(db)
        .await
}
