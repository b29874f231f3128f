//! Coupons as carts and orders need them: finding codes, the codes of a cart, and the uses of an order.
//!
//! Always true here: a use of a limited coupon, and the one use of a batch's code, is taken by one conditional update; a coupon without a limit
//! has no row that its orders write.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::coupon::{Audience, Rules, UseState};
use domain::pricing::ExchangeRate;
use domain::{AccountId, CartId, CouponBatchId, CouponCodeId, CouponId, Currency, Money, OrderId, ProductId};
use entity::{account, cart_coupon, coupon, coupon_code, coupon_customer, coupon_use, order, person};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _, LockType, OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use uuid::Uuid;

use super::{CHUNK, corrupt};

/// A coupon as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coupon {
    /// Id.
    pub id: CouponId,
    /// What operators call it.
    pub name: String,
    /// What it gives and its limits.
    pub rules: Rules,
    /// Grows with every change.
    pub version: i64,
    /// Whether it is switched on.
    pub active: bool,
    /// Uses that count; kept only where their number is limited.
    pub used: u64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

/// A code that can be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponCode {
    /// Id.
    pub id: CouponCodeId,
    /// Its coupon.
    pub coupon: CouponId,
    /// Its batch: it works once then.
    pub batch: Option<CouponBatchId>,
    /// As it was given.
    pub code: String,
    /// The form by which it is found.
    pub key: String,
    /// Which order holds or has used it, if it works once.
    pub used_by: Option<OrderId>,
    /// When it was made void.
    pub void_at: Option<DateTime<Utc>>,
}

/// A code of a cart with its coupon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CartCoupon {
    /// The code.
    pub code: CouponCode,
    /// Its coupon.
    pub coupon: Coupon,
    /// Whether it gave something when the cart was last shown.
    pub gave: bool,
}

/// A use of a coupon by an order.
#[derive(Debug, Clone, PartialEq)]
pub struct CouponUse {
    /// Row id.
    pub id: Uuid,
    /// Coupon.
    pub coupon: CouponId,
    /// Code.
    pub code_id: CouponCodeId,
    /// Order.
    pub order: OrderId,
    /// Order of adding to the cart.
    pub position: i32,
    /// The code as it was given.
    pub code: String,
    /// Which version of the coupon.
    pub coupon_version: i64,
    /// Where it stands.
    pub state: UseState,
    /// Whom the coupon was for, by this code.
    pub audience: Audience,
    /// Whether it stands in the coupon's count.
    pub counted: bool,
    /// Whether the code is used up by it.
    pub single_use: bool,
    /// Account of the buyer.
    pub account: Option<AccountId>,
    /// Keyed hash of the buyer's e-mail.
    pub email_hash: String,
    /// Keyed hash of the account's e-mail.
    pub account_email_hash: Option<String>,
    /// What it took off.
    pub discount: Money,
    /// The rate that its amounts were converted by.
    pub rate: Option<ExchangeRate>,
    /// When it was taken.
    pub created_at: DateTime<Utc>,
}

/// Who buys, for limits by customer: the same account, or the same e-mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerKeys {
    /// The account.
    pub account: Option<AccountId>,
    /// Keyed hashes of the buyer's and the account's e-mails.
    pub emails: BTreeSet<String>,
}

impl CustomerKeys {
    /// Whether nothing is known of the customer yet.
    pub fn is_empty(&self) -> bool {
        self.account.is_none() && self.emails.is_empty()
    }

    fn uses(&self) -> Condition {
        Condition::any()
            .add_option(self.account.map(|account| coupon_use::Column::AccountId.eq(account.uuid())))
            .add(coupon_use::Column::EmailHash.is_in(self.emails.iter().map(String::as_str)))
            .add(coupon_use::Column::AccountEmailHash.is_in(self.emails.iter().map(String::as_str)))
    }
}

/// The row as it is.
pub(super) fn coupon_from(row: coupon::Model) -> Result<Coupon, DbErr> {
    Ok(Coupon {
        id: row.id.into(),
        name: row.name,
        rules: serde_json::from_value(row.rules).map_err(corrupt)?,
        version: row.version,
        active: row.active,
        used: u64::try_from(row.used).map_err(corrupt)?,
        created_at: row.created_at,
        touched_at: row.touched_at,
        archived_at: row.archived_at,
    })
}

/// The row as it is.
pub(super) fn code_from(row: coupon_code::Model) -> CouponCode {
    CouponCode {
        id: row.id.into(),
        coupon: row.coupon_id.into(),
        batch: row.batch_id.map(Into::into),
        code: row.code,
        key: row.code_key,
        used_by: row.used_by.map(Into::into),
        void_at: row.void_at,
    }
}

/// These coupons; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[CouponId]) -> Result<Vec<Coupon>, DbErr> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let rows = coupon::Entity::find().filter(coupon::Column::Id.is_in(chunk.iter().map(|id| id.uuid()))).all(db).await?;
        found.extend(rows.into_iter().map(coupon_from).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// These codes; unknown ids are left out.
///
/// # Errors
/// The database's.
pub async fn codes_by_ids(db: &impl ConnectionTrait, ids: &[CouponCodeId]) -> Result<Vec<CouponCode>, DbErr> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let rows = coupon_code::Entity::find().filter(coupon_code::Column::Id.is_in(chunk.iter().map(|id| id.uuid()))).all(db).await?;
        found.extend(rows.into_iter().map(code_from));
    }
    Ok(found)
}

/// The code with this key; prefixes are none.
///
/// # Errors
/// The database's.
pub async fn code_by_key(db: &impl ConnectionTrait, key: &str) -> Result<Option<CouponCode>, DbErr> {
    let found = coupon_code::Entity::find().filter(coupon_code::Column::CodeKey.eq(key)).filter(coupon_code::Column::Kind.eq("CODE"));
    Ok(found.one(db).await?.map(code_from))
}

/// The codes of a cart with their coupons, in the order of adding: one statement.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_cart(db: &impl ConnectionTrait, cart: CartId) -> Result<Vec<CartCoupon>, DbErr> {
    let mut select = coupon_code::Entity::find().select_also(coupon::Entity);
    QueryTrait::query(&mut select)
        .inner_join(
            cart_coupon::Entity,
            Expr::col((cart_coupon::Entity, cart_coupon::Column::CodeId)).equals((coupon_code::Entity, coupon_code::Column::Id)),
        )
        .inner_join(
            coupon::Entity,
            Expr::col((coupon::Entity, coupon::Column::Id)).equals((coupon_code::Entity, coupon_code::Column::CouponId)),
        );
    let gave: Vec<(Uuid, bool)> = cart_coupon::Entity::find()
        .select_only()
        .columns([cart_coupon::Column::CodeId, cart_coupon::Column::Gave])
        .filter(cart_coupon::Column::CartId.eq(cart.uuid()))
        .order_by_asc(cart_coupon::Column::Position)
        .into_tuple()
        .all(db)
        .await?;
    if gave.is_empty() {
        return Ok(Vec::new());
    }
    let rows = select.filter(cart_coupon::Column::CartId.eq(cart.uuid())).all(db).await?;
    let mut found: HashMap<Uuid, (coupon_code::Model, coupon::Model)> =
        rows.into_iter().filter_map(|(code, coupon)| Some((code.id, (code, coupon?)))).collect();
    gave.into_iter()
        .filter_map(|(id, gave)| found.remove(&id).map(|(code, coupon)| (code, coupon, gave)))
        .map(|(code, coupon, gave)| Ok(CartCoupon { code: code_from(code), coupon: coupon_from(coupon)?, gave }))
        .collect()
}

/// The packs of these products that everybody is shown, switched on, oldest first, each with the first of its codes that are of no batch.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn public_packs(db: &impl ConnectionTrait, products: &[ProductId]) -> Result<Vec<(Coupon, CouponCode)>, DbErr> {
    let mut found: Vec<(Coupon, CouponCode)> = Vec::new();
    for chunk in products.chunks(CHUNK) {
        let mut select = coupon_code::Entity::find().select_also(coupon::Entity);
        QueryTrait::query(&mut select).inner_join(
            coupon::Entity,
            Expr::col((coupon::Entity, coupon::Column::Id)).equals((coupon_code::Entity, coupon_code::Column::CouponId)),
        );
        let rows = select
            .filter(coupon::Column::PublicPackOf.is_in(chunk.iter().map(|id| id.uuid())))
            .filter(coupon::Column::Active.eq(true))
            .filter(coupon::Column::ArchivedAt.is_null())
            .filter(coupon_code::Column::Kind.eq("CODE"))
            .filter(coupon_code::Column::BatchId.is_null())
            .filter(coupon_code::Column::VoidAt.is_null())
            .order_by_asc(coupon::Column::Id)
            .order_by_asc(coupon_code::Column::Id)
            .all(db)
            .await?;
        for (code, coupon) in rows.into_iter().filter_map(|(code, coupon)| Some((code, coupon?))) {
            if found.last().is_none_or(|(last, _)| last.id.uuid() != coupon.id) {
                found.push((coupon_from(coupon)?, code_from(code)));
            }
        }
    }
    Ok(found)
}

/// Writes the codes of a cart, in this order, with whether each gave something when it was shown. Others go.
///
/// # Errors
/// The database's.
pub async fn save_cart(txn: &DatabaseTransaction, cart: CartId, codes: &[(CouponCodeId, bool)], now: DateTime<Utc>) -> Result<(), DbErr> {
    let mut gone = cart_coupon::Entity::delete_many().filter(cart_coupon::Column::CartId.eq(cart.uuid()));
    if !codes.is_empty() {
        gone = gone.filter(cart_coupon::Column::CodeId.is_not_in(codes.iter().map(|(code, _)| code.uuid())));
    }
    gone.exec(txn).await?;
    if codes.is_empty() {
        return Ok(());
    }
    let rows = codes.iter().zip(0..).map(|((code, gave), position)| cart_coupon::ActiveModel {
        cart_id: Set(cart.uuid()),
        code_id: Set(code.uuid()),
        position: Set(position),
        gave: Set(*gave),
        added_at: Set(now),
    });
    cart_coupon::Entity::insert_many(rows)
        .on_conflict(
            OnConflict::columns([cart_coupon::Column::CartId, cart_coupon::Column::CodeId])
                .update_columns([cart_coupon::Column::Position, cart_coupon::Column::Gave])
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// How often a customer has used these coupons, uses that wait for their payment included.
///
/// # Errors
/// The database's.
pub async fn uses_by(
    db: &impl ConnectionTrait,
    customer: &CustomerKeys,
    coupons: &[CouponId],
    but: Option<OrderId>,
) -> Result<HashMap<CouponId, u64>, DbErr> {
    if customer.is_empty() || coupons.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = coupon_use::Entity::find()
        .select_only()
        .column(coupon_use::Column::CouponId)
        .column_as(coupon_use::Column::Id.count(), "uses")
        .filter(coupon_use::Column::CouponId.is_in(coupons.iter().map(|id| id.uuid())))
        .filter(coupon_use::Column::State.ne(UseState::Freed.name()))
        .filter(customer.uses())
        .group_by(coupon_use::Column::CouponId);
    if let Some(order) = but {
        select = select.filter(coupon_use::Column::OrderId.ne(order.uuid()));
    }
    let rows: Vec<(Uuid, i64)> = select.into_tuple().all(db).await?;
    rows.into_iter().map(|(id, uses)| Ok((id.into(), u64::try_from(uses).map_err(corrupt)?))).collect()
}

/// What is known of whether a customer is new: whether an order of theirs was ever paid, and whether another one waits with a coupon for new
/// customers.
///
/// # Errors
/// The database's.
pub async fn customer(db: &impl ConnectionTrait, customer: &CustomerKeys, but: Option<OrderId>) -> Result<domain::coupon::Customer, DbErr> {
    let buyers = Query::select()
        .column(person::Column::Id)
        .from(person::Entity)
        .and_where(person::Column::EmailHash.is_in(customer.emails.iter().map(String::as_str)))
        .to_owned();
    let accounts = Query::select()
        .column(account::Column::Id)
        .from(account::Entity)
        .and_where(account::Column::EmailHash.is_in(customer.emails.iter().map(String::as_str)))
        .to_owned();
    let theirs = Condition::any()
        .add(order::Column::AccountId.in_subquery(accounts))
        .add_option(customer.account.map(|account| order::Column::AccountId.eq(account.uuid())))
        .add(order::Column::BuyerPersonId.in_subquery(buyers));
    let mut paid = order::Entity::find()
        .select_only()
        .column(order::Column::Id)
        .filter(theirs)
        .filter(order::Column::PaidAt.is_not_null())
        .filter(order::Column::Bypass.eq(false));
    let mut pending = coupon_use::Entity::find()
        .select_only()
        .column(coupon_use::Column::Id)
        .filter(customer.uses())
        .filter(coupon_use::Column::State.eq(UseState::Reserved.name()))
        .filter(coupon_use::Column::Audience.eq(Audience::New.name()));
    if let Some(order) = but {
        paid = paid.filter(order::Column::Id.ne(order.uuid()));
        pending = pending.filter(coupon_use::Column::OrderId.ne(order.uuid()));
    }
    let paid: Option<Uuid> = paid.limit(1).into_tuple().one(db).await?;
    let pending: Option<Uuid> = pending.limit(1).into_tuple().one(db).await?;
    Ok(domain::coupon::Customer { has_paid: paid.is_some(), new_pending: pending.is_some() })
}

/// Makes placings of one customer come one after the other, so that their uses are counted exactly: a row for each of the customer's keys,
/// taken in one order.
///
/// # Errors
/// The database's.
pub async fn lock_customer(txn: &DatabaseTransaction, customer: &CustomerKeys) -> Result<(), DbErr> {
    let mut keys: Vec<String> = customer.emails.iter().map(|hash| format!("email:{hash}")).collect();
    keys.extend(customer.account.map(|account| format!("account:{}", account.uuid())));
    keys.sort_unstable();
    // One by one: rows of one statement are not taken in a known order.
    for key in keys {
        coupon_customer::Entity::insert(coupon_customer::ActiveModel { customer: Set(key) })
            .on_conflict(OnConflict::column(coupon_customer::Column::Customer).update_column(coupon_customer::Column::Customer).to_owned())
            .exec_without_returning(txn)
            .await?;
    }
    Ok(())
}

/// Takes a use of a limited coupon; says whether there was one. Coupons without a limit are not asked.
///
/// # Errors
/// The database's.
pub async fn take_of_coupon(txn: &DatabaseTransaction, id: CouponId) -> Result<bool, DbErr> {
    let done = coupon::Entity::update_many()
        .col_expr(coupon::Column::Used, Expr::col(coupon::Column::Used).add(1i64))
        .filter(coupon::Column::Id.eq(id.uuid()))
        .filter(Expr::col(coupon::Column::Used).lt(Expr::col(coupon::Column::TotalUses)))
        .exec(txn)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Gives uses of a limited coupon back.
///
/// # Errors
/// The database's.
pub async fn free_of_coupon(txn: &DatabaseTransaction, id: CouponId) -> Result<(), DbErr> {
    coupon::Entity::update_many()
        .col_expr(coupon::Column::Used, Expr::col(coupon::Column::Used).sub(1i64))
        .filter(coupon::Column::Id.eq(id.uuid()))
        .filter(coupon::Column::Used.gt(0i64))
        .exec(txn)
        .await?;
    Ok(())
}

/// Marks a code of a batch as used by an order; says whether it was free.
///
/// # Errors
/// The database's.
pub async fn take_code(txn: &DatabaseTransaction, id: CouponCodeId, order: OrderId) -> Result<bool, DbErr> {
    let done = coupon_code::Entity::update_many()
        .col_expr(coupon_code::Column::UsedBy, Expr::value(order.uuid()))
        .filter(coupon_code::Column::Id.eq(id.uuid()))
        .filter(coupon_code::Column::UsedBy.is_null())
        .filter(coupon_code::Column::VoidAt.is_null())
        .exec(txn)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Frees a code of a batch that this order holds.
///
/// # Errors
/// The database's.
pub async fn free_code(txn: &DatabaseTransaction, id: CouponCodeId, order: OrderId) -> Result<(), DbErr> {
    coupon_code::Entity::update_many()
        .col_expr(coupon_code::Column::UsedBy, Expr::value(Option::<Uuid>::None))
        .filter(coupon_code::Column::Id.eq(id.uuid()))
        .filter(coupon_code::Column::UsedBy.eq(order.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Writes uses. What they name is held against a change of its effect until the end of the transaction, without keeping other orders waiting.
///
/// # Errors
/// The database's.
pub async fn insert_uses(txn: &DatabaseTransaction, uses: &[CouponUse]) -> Result<(), DbErr> {
    let rows = uses.iter().map(use_row).collect::<Result<Vec<_>, DbErr>>()?;
    coupon_use::Entity::insert_many(rows).exec_without_returning(txn).await?;
    Ok(())
}

/// The versions of these coupons, read after their uses were written: nobody changes them from then on before this transaction is over.
///
/// # Errors
/// The database's.
pub async fn versions(txn: &DatabaseTransaction, ids: &[CouponId]) -> Result<HashMap<CouponId, i64>, DbErr> {
    let mut select = coupon::Entity::find()
        .select_only()
        .columns([coupon::Column::Id, coupon::Column::Version])
        .filter(coupon::Column::Id.is_in(ids.iter().map(|id| id.uuid())));
    QueryTrait::query(&mut select).lock(LockType::KeyShare);
    let rows: Vec<(Uuid, i64)> = select.into_tuple().all(txn).await?;
    Ok(rows.into_iter().map(|(id, version)| (id.into(), version)).collect())
}

/// The uses of these orders, each order's in order of adding.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn uses_of_orders(db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<HashMap<OrderId, Vec<CouponUse>>, DbErr> {
    let rows = coupon_use::Entity::find()
        .filter(coupon_use::Column::OrderId.is_in(orders.iter().map(|id| id.uuid())))
        .order_by_asc(coupon_use::Column::OrderId)
        .order_by_asc(coupon_use::Column::Position)
        .all(db)
        .await?;
    let mut found: HashMap<OrderId, Vec<CouponUse>> = HashMap::new();
    for row in rows {
        let used = use_from(row)?;
        found.entry(used.order).or_default().push(used);
    }
    Ok(found)
}

/// Says where the uses of an order stand.
///
/// # Errors
/// The database's.
pub async fn move_uses(txn: &DatabaseTransaction, order: OrderId, to: UseState, now: DateTime<Utc>) -> Result<(), DbErr> {
    coupon_use::Entity::update_many()
        .set(coupon_use::ActiveModel { state: Set(to.name().to_owned()), touched_at: Set(now), ..Default::default() })
        .filter(coupon_use::Column::OrderId.eq(order.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Says whose the uses of an order are, once a guest's order belongs to an account.
///
/// # Errors
/// The database's.
pub async fn uses_belong(txn: &DatabaseTransaction, order: OrderId, account: AccountId) -> Result<(), DbErr> {
    coupon_use::Entity::update_many()
        .col_expr(coupon_use::Column::AccountId, Expr::value(account.uuid()))
        .filter(coupon_use::Column::OrderId.eq(order.uuid()))
        .filter(coupon_use::Column::AccountId.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

fn use_row(used: &CouponUse) -> Result<coupon_use::ActiveModel, DbErr> {
    Ok(coupon_use::ActiveModel {
        id: Set(used.id),
        coupon_id: Set(used.coupon.uuid()),
        code_id: Set(used.code_id.uuid()),
        order_id: Set(used.order.uuid()),
        position: Set(used.position),
        code: Set(used.code.clone()),
        coupon_version: Set(used.coupon_version),
        state: Set(used.state.name().to_owned()),
        audience: Set(used.audience.name().to_owned()),
        counted: Set(used.counted),
        single_use: Set(used.single_use),
        account_id: Set(used.account.map(AccountId::uuid)),
        email_hash: Set(used.email_hash.clone()),
        account_email_hash: Set(used.account_email_hash.clone()),
        currency: Set(used.discount.currency.code().to_owned()),
        discount: Set(used.discount.minor),
        rate: Set(used.rate.as_ref().map(serde_json::to_value).transpose().map_err(corrupt)?),
        created_at: Set(used.created_at),
        touched_at: Set(used.created_at),
    })
}

/// The row as it is.
pub(super) fn use_from(row: coupon_use::Model) -> Result<CouponUse, DbErr> {
    let currency = Currency::parse(&row.currency).map_err(corrupt)?;
    Ok(CouponUse {
        id: row.id,
        coupon: row.coupon_id.into(),
        code_id: row.code_id.into(),
        order: row.order_id.into(),
        position: row.position,
        code: row.code,
        coupon_version: row.coupon_version,
        state: UseState::parse(&row.state).ok_or_else(|| corrupt(&row.state))?,
        audience: Audience::parse(&row.audience).ok_or_else(|| corrupt(&row.audience))?,
        counted: row.counted,
        single_use: row.single_use,
        account: row.account_id.map(Into::into),
        email_hash: row.email_hash,
        account_email_hash: row.account_email_hash,
        discount: Money::new(row.discount, currency),
        rate: row.rate.map(serde_json::from_value).transpose().map_err(corrupt)?,
        created_at: row.created_at,
    })
}
