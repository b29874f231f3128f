//! Credits: lots, the books about them, and who holds how many.
//!
//! Always true here: whoever moves credits holds the owner's row first, own account before companies and these in the order of their ids; an entry,
//! its postings, the lots and the balance change in one transaction, each by a conditional update; entries and postings are never changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::credit::{
    self, Allowance, Book, Cause, Draw, Figures, Holdings, Lot, MAX_BALANCE, Owner, OwnerKind, Price, Purse, Short, Source, SourceKind,
    TakeBack,
};
use domain::{AccountId, CompanyId, CourseId, CreditEntryId, LotId, ProductId};
use entity::{
    company, credit_account, credit_allowance, credit_entry, credit_lot, credit_posting, group_content, library_course, product, session,
};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Select,
};
use uuid::Uuid;

use super::catalog::{all_known, uuids};
use super::page::{Key, Order, page};
use super::{CHUNK, corrupt, known, rows_in};
use crate::page::{Page, PageArgs};

/// Why credits move, who moves them, and when.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    /// Why.
    pub cause: Cause,
    /// What moved them.
    pub source: Source,
    /// Who, as stored in the books.
    pub actor: &'a str,
    /// Why, in words.
    pub reason: Option<&'a str>,
    /// Now.
    pub now: DateTime<Utc>,
    /// Gives ids of entries.
    pub new_id: fn() -> Uuid,
}

/// Credits to be granted.
#[derive(Debug, Clone, Copy)]
pub struct NewLot {
    /// Their lot's id.
    pub id: LotId,
    /// Who gets them.
    pub owner: Owner,
    /// How many; at least 1.
    pub count: i64,
    /// From when on they count for nothing.
    pub expires_at: Option<DateTime<Utc>>,
    /// The product that they were sold with.
    pub product: Option<ProductId>,
    /// The product for whose courses alone they pay.
    pub tied: Option<ProductId>,
}

/// What is to be paid with credits.
#[derive(Debug, Clone, Copy)]
pub struct Spending<'a> {
    /// Who pays.
    pub account: AccountId,
    /// The companies whose credits may be used after the account's own, in this order, as far as each lets its learners.
    pub companies: &'a [CompanyId],
    /// How many.
    pub cost: i64,
    /// The products that sell the course it is about; see [`products_selling`].
    pub products: &'a [ProductId],
}

/// Grants credits, and gives the lot. What has granted before grants nothing a second time, and the first lot is given.
///
/// # Errors
/// The database's; an owner who would hold more than [`MAX_BALANCE`].
pub async fn grant(txn: &DatabaseTransaction, new: &NewLot, by: &Move<'_>) -> Result<LotId, DbErr> {
    lock(txn, new.owner, by.now).await?;
    let row = credit_lot::ActiveModel {
        id: Set(new.id.uuid()),
        owner_id: Set(new.owner.uuid()),
        product_id: Set(new.product.map(ProductId::uuid)),
        tied_product_id: Set(new.tied.map(ProductId::uuid)),
        source_kind: Set(by.source.kind.name().to_owned()),
        source_id: Set(by.source.id),
        count: Set(new.count),
        spent: Set(0),
        expired: Set(0),
        revoked: Set(0),
        granted_at: Set(by.now),
        expires_at: Set(new.expires_at),
    };
    let again = OnConflict::columns([credit_lot::Column::SourceKind, credit_lot::Column::SourceId]).do_nothing().to_owned();
    let inserted = match credit_lot::Entity::insert(row).on_conflict(again).exec_without_returning(txn).await {
        Ok(rows) => rows > 0,
        Err(DbErr::RecordNotInserted) => false,
        Err(other) => return Err(other),
    };
    if !inserted {
        let earlier = by_source(txn, by.source).await?;
        return earlier.map(|lot| lot.id).ok_or_else(|| corrupt("a lot is neither new nor there"));
    }
    let draw = Draw { lot: new.id, owner: new.owner, count: new.count };
    record(txn, new.owner, None, &[draw], by, by.now).await?;
    change_balance(txn, new.owner, new.count, by.now).await?;
    Ok(new.id)
}

/// Pays with credits, and says from which lots; with too few nothing is taken.
///
/// # Errors
/// The database's.
pub async fn spend(txn: &DatabaseTransaction, spending: &Spending<'_>, by: &Move<'_>) -> Result<Result<Vec<Draw>, Short>, DbErr> {
    let companies: BTreeSet<Owner> = spending.companies.iter().copied().map(Owner::Company).collect();
    for owner in std::iter::once(Owner::Account(spending.account)).chain(companies) {
        lock(txn, owner, by.now).await?;
    }
    // Under the locks: what the learner may still spend of a company's credits is only known now.
    let purses = purses(txn, spending.account, spending.companies).await?;
    let lots = open_lots(txn, &purses.iter().map(|purse| purse.owner).collect::<Vec<_>>(), by.now).await?;
    let price = Price { cost: spending.cost, products: spending.products, purses: &purses };
    let draws = match credit::draw(&lots, &price, by.now) {
        Ok(draws) => draws,
        Err(short) => return Ok(Err(short)),
    };
    for purse in &purses {
        let own: Vec<Draw> = draws.iter().filter(|draw| draw.owner == purse.owner).copied().collect();
        if own.is_empty() {
            continue;
        }
        post(txn, purse.owner, Some(spending.account), &own, by, by.now).await?;
        if let Owner::Company(company) = purse.owner {
            use_allowance(txn, company, spending.account, own.iter().map(|draw| draw.count).sum()).await?;
        }
    }
    Ok(Ok(draws))
}

/// Undoes what a source spent: each lot gets back what was drawn from it, and one whose end has come ends with it. Gives what came back, which is
/// nothing a second time.
///
/// # Errors
/// The database's.
pub async fn give_back(txn: &DatabaseTransaction, spending: Source, by: &Move<'_>) -> Result<Vec<Draw>, DbErr> {
    undo(txn, Cause::Spent, &Move { cause: Cause::GivenBack, source: spending, ..*by }).await
}

/// Undoes what a refund took back, since it came to nothing. Gives how many credits came back, which are none a second time.
///
/// # Errors
/// The database's.
pub async fn restore(txn: &DatabaseTransaction, refund: Source, by: &Move<'_>) -> Result<i64, DbErr> {
    let restored = undo(txn, Cause::TakenBack, &Move { cause: Cause::Restored, source: refund, ..*by }).await?;
    Ok(restored.iter().map(|draw| draw.count).sum())
}

/// Undoes what the source of `by` did for the cause `done`, as far as that was not undone before.
async fn undo(txn: &DatabaseTransaction, done: Cause, by: &Move<'_>) -> Result<Vec<Draw>, DbErr> {
    let owners: BTreeSet<Owner> = drawn_by(txn, by.source, done, by.cause).await?.into_keys().map(|(owner, _)| owner).collect();
    for owner in &owners {
        lock(txn, *owner, by.now).await?;
    }
    let mut undone = Vec::new();
    for ((owner, account), lots) in drawn_by(txn, by.source, done, by.cause).await? {
        let draws: Vec<Draw> = lots.into_iter().map(|(lot, count)| Draw { lot, owner, count }).collect();
        if draws.is_empty() {
            continue;
        }
        // What had ended before is booked as of that end, what comes back now ends now.
        let ids: Vec<LotId> = draws.iter().map(|draw| draw.lot).collect();
        for lot in by_ids(txn, &ids).await? {
            book_end(txn, &lot, by, lot.expires_at).await?;
        }
        post(txn, owner, account, &draws, by, by.now).await?;
        if let (Cause::Spent, Owner::Company(company), Some(account)) = (done, owner, account) {
            free_allowance(txn, company, account, draws.iter().map(|draw| draw.count).sum()).await?;
        }
        for lot in by_ids(txn, &ids).await? {
            book_end(txn, &lot, by, Some(by.now)).await?;
        }
        undone.extend(draws);
    }
    Ok(undone)
}

/// Takes back what is unspent of the lot that a source granted: at most `wanted`, else all. Nothing, if it granted none.
///
/// # Errors
/// The database's.
pub async fn take_back(txn: &DatabaseTransaction, granted: Source, wanted: Option<i64>, by: &Move<'_>) -> Result<TakeBack, DbErr> {
    let Some(owner) = by_source(txn, granted).await?.map(|lot| lot.owner) else { return Ok(TakeBack::default()) };
    lock(txn, owner, by.now).await?;
    let lot = by_source(txn, granted).await?.ok_or_else(|| corrupt("a lot is gone"))?;
    let back = credit::take_back(&lot, wanted, by.now);
    book_end(txn, &lot, by, lot.expires_at).await?;
    if back.taken > 0 {
        post(txn, owner, None, &[Draw { lot: lot.id, owner, count: back.taken }], by, by.now).await?;
    }
    Ok(back)
}

/// Takes credits away, of one lot or of an owner's in the order in which they would be spent; with too few left nothing is taken.
///
/// # Errors
/// The database's.
pub async fn revoke(
    txn: &DatabaseTransaction,
    owner: Owner,
    of: Option<LotId>,
    count: Option<i64>,
    by: &Move<'_>,
) -> Result<Result<Vec<Draw>, Short>, DbErr> {
    lock(txn, owner, by.now).await?;
    let mut lots = open_lots(txn, &[owner], by.now).await?;
    lots.retain(|lot| of.is_none_or(|id| lot.id == id));
    let held = lots.iter().map(|lot| lot.open(by.now)).sum();
    let cost = count.unwrap_or(held);
    if held == 0 {
        return Ok(Err(Short { needed: count.unwrap_or(1), held }));
    }
    // Whatever they are tied to: nothing is bought here.
    let products: Vec<ProductId> = lots.iter().filter_map(|lot| lot.tied).collect();
    let price = Price { cost, products: &products, purses: &[Purse { owner, limit: None }] };
    let draws = match credit::draw(&lots, &price, by.now) {
        Ok(draws) => draws,
        Err(short) => return Ok(Err(short)),
    };
    post(txn, owner, None, &draws, by, by.now).await?;
    Ok(Ok(draws))
}

/// Books the ends of lots that are over, those of some owners at a time; gives how many owners there were. Nothing depends on its being done.
///
/// # Errors
/// The database's.
pub async fn expire(txn: &DatabaseTransaction, at_most: u64, by: &Move<'_>) -> Result<usize, DbErr> {
    let over = |select: Select<credit_lot::Entity>| select.filter(credit_lot::Column::ExpiresAt.lte(by.now)).filter(is_open());
    let owners: Vec<Uuid> = over(credit_lot::Entity::find())
        .select_only()
        .column(credit_lot::Column::OwnerId)
        .distinct()
        .limit(at_most)
        .into_tuple()
        .all(txn)
        .await?;
    let rows = rows_in::<credit_account::Entity>(txn, credit_account::Column::OwnerId, &owners).await?;
    let owners: BTreeSet<Owner> = rows.iter().map(|row| owner_of(&row.owner_kind, row.owner_id)).collect::<Result<_, _>>()?;
    for owner in &owners {
        lock(txn, *owner, by.now).await?;
        let select = over(credit_lot::Entity::find()).filter(credit_lot::Column::OwnerId.eq(owner.uuid()));
        for lot in lots_of(txn, select).await? {
            book_end(txn, &lot, by, lot.expires_at).await?;
        }
    }
    Ok(owners.len())
}

/// Whose credits somebody can spend, in this order: their own; then those of the companies that let their learners, as far as they do.
///
/// # Errors
/// The database's.
pub async fn purses(db: &impl ConnectionTrait, account: AccountId, companies: &[CompanyId]) -> Result<Vec<Purse>, DbErr> {
    let mut purses = vec![Purse::own(account)];
    let allowances = allowances(db, account, companies).await?;
    for company in companies {
        if let Some(allowance) = allowances.get(company) {
            purses.push(Purse { owner: Owner::Company(*company), limit: Some(allowance.left()) });
        }
    }
    Ok(purses)
}

/// What those of these companies that let their learners spend let this one; a company that is switched off or archived lets nobody.
///
/// # Errors
/// The database's.
pub async fn allowances(
    db: &impl ConnectionTrait,
    account: AccountId,
    companies: &[CompanyId],
) -> Result<HashMap<CompanyId, Allowance>, DbErr> {
    if companies.is_empty() {
        return Ok(HashMap::new());
    }
    let spent: Vec<(Uuid, i64)> = credit_allowance::Entity::find()
        .select_only()
        .columns([credit_allowance::Column::CompanyId, credit_allowance::Column::Spent])
        .filter(credit_allowance::Column::AccountId.eq(account.uuid()))
        .filter(credit_allowance::Column::CompanyId.is_in(companies.iter().map(|id| id.uuid())))
        .into_tuple()
        .all(db)
        .await?;
    let spent: HashMap<Uuid, i64> = spent.into_iter().collect();
    let limits: Vec<(Uuid, Option<i64>)> = company::Entity::find()
        .select_only()
        .columns([company::Column::Id, company::Column::CreditLimit])
        .filter(company::Column::Id.is_in(companies.iter().map(|id| id.uuid())))
        .filter(company::Column::CreditLimit.is_not_null())
        .filter(company::Column::Enabled.eq(true))
        .filter(company::Column::ArchivedAt.is_null())
        .into_tuple()
        .all(db)
        .await?;
    let of =
        |(id, limit): (Uuid, Option<i64>)| limit.map(|limit| (id.into(), Allowance { limit, spent: spent.get(&id).copied().unwrap_or(0) }));
    Ok(limits.into_iter().filter_map(of).collect())
}

/// What an owner can spend, and what ends next.
///
/// # Errors
/// The database's.
pub async fn holdings(db: &impl ConnectionTrait, owner: Owner, now: DateTime<Utc>) -> Result<Holdings, DbErr> {
    Ok(Holdings::of(&open_lots(db, &[owner], now).await?, now))
}

/// The lots of these owners that something can be spent of.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn open_lots(db: &impl ConnectionTrait, owners: &[Owner], now: DateTime<Utc>) -> Result<Vec<Lot>, DbErr> {
    let mut lots = Vec::new();
    for chunk in owners.chunks(CHUNK) {
        let alive = Condition::any().add(credit_lot::Column::ExpiresAt.is_null()).add(credit_lot::Column::ExpiresAt.gt(now));
        let select = credit_lot::Entity::find()
            .filter(credit_lot::Column::OwnerId.is_in(chunk.iter().map(|owner| owner.uuid())))
            .filter(is_open())
            .filter(alive);
        lots.extend(lots_of(db, select).await?);
    }
    Ok(lots)
}

/// A lot as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LotRow {
    /// The lot.
    pub lot: Lot,
    /// What granted it.
    pub source: Source,
    /// The title of the product that it is tied to.
    pub tied_title: Option<String>,
}

/// An entry of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Id.
    pub id: CreditEntryId,
    /// Why credits moved.
    pub cause: Cause,
    /// How many.
    pub count: i64,
    /// What moved them.
    pub source: Source,
    /// The learner who spent them.
    pub account: Option<AccountId>,
    /// Who did it.
    pub actor: String,
    /// Why, in words.
    pub reason: Option<String>,
    /// When they moved.
    pub happened_at: DateTime<Utc>,
    /// How many of each lot.
    pub lots: Vec<(LotId, i64)>,
}

/// The lots of an owner, the newest first; those only that something can be spent of at `open`, if that is given.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lot_page(
    db: &impl ConnectionTrait,
    owner: Owner,
    open: Option<DateTime<Utc>>,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<LotRow>, DbErr> {
    let mut select = credit_lot::Entity::find().filter(credit_lot::Column::OwnerId.eq(owner.uuid()));
    if let Some(now) = open {
        let alive = Condition::any().add(credit_lot::Column::ExpiresAt.is_null()).add(credit_lot::Column::ExpiresAt.gt(now));
        select = select.filter(is_open()).filter(alive);
    }
    let order = Order { column: credit_lot::Column::GrantedAt, id: credit_lot::Column::Id, descending: true };
    let page = page(db, select, order, args, with_total).await?;
    let tied: BTreeSet<Uuid> = page.rows.iter().filter_map(|row| row.tied_product_id).collect();
    let products = rows_in::<product::Entity>(db, product::Column::Id, &tied.into_iter().collect::<Vec<_>>()).await?;
    all_known(page, |row| lot_row_from(row, owner, &products))
}

/// These lots as they are shown; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn lot_rows(db: &impl ConnectionTrait, ids: &[LotId]) -> Result<Vec<LotRow>, DbErr> {
    let rows = rows_in::<credit_lot::Entity>(db, credit_lot::Column::Id, &uuids(ids)).await?;
    let owners: BTreeSet<Uuid> = rows.iter().map(|row| row.owner_id).collect();
    let owners = rows_in::<credit_account::Entity>(db, credit_account::Column::OwnerId, &owners.into_iter().collect::<Vec<_>>()).await?;
    let owners: HashMap<Uuid, &str> = owners.iter().map(|owner| (owner.owner_id, owner.owner_kind.as_str())).collect();
    let tied: BTreeSet<Uuid> = rows.iter().filter_map(|row| row.tied_product_id).collect();
    let products = rows_in::<product::Entity>(db, product::Column::Id, &tied.into_iter().collect::<Vec<_>>()).await?;
    rows.into_iter()
        .map(|row| {
            let kind = owners.get(&row.owner_id).ok_or_else(|| corrupt("a lot of nobody's"))?;
            let owner = owner_of(kind, row.owner_id)?;
            lot_row_from(row, owner, &products)
        })
        .collect()
}

/// The entries about an owner's credits, the newest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn entry_page(
    db: &impl ConnectionTrait,
    owner: Owner,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Entry>, DbErr> {
    let select = credit_entry::Entity::find().filter(credit_entry::Column::OwnerId.eq(owner.uuid()));
    let order = Order { column: credit_entry::Column::HappenedAt, id: credit_entry::Column::Id, descending: true };
    let Page { rows, has_next, has_previous, total } = page(db, select, order, args, with_total).await?;
    Ok(Page { rows: entries_from(db, rows).await?, has_next, has_previous, total })
}

/// An entry.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn entry(db: &impl ConnectionTrait, id: CreditEntryId) -> Result<Option<Entry>, DbErr> {
    let rows = credit_entry::Entity::find_by_id(id.uuid()).all(db).await?;
    Ok(entries_from(db, rows).await?.pop())
}

/// The entry of a source that made one only.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn entry_by_source(db: &impl ConnectionTrait, source: Source) -> Result<Option<Entry>, DbErr> {
    let rows = credit_entry::Entity::find()
        .filter(credit_entry::Column::SourceKind.eq(source.kind.name()))
        .filter(credit_entry::Column::SourceId.eq(source.id))
        .all(db)
        .await?;
    Ok(entries_from(db, rows).await?.pop())
}

async fn entries_from(db: &impl ConnectionTrait, rows: Vec<credit_entry::Model>) -> Result<Vec<Entry>, DbErr> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut lots: HashMap<Uuid, Vec<(LotId, i64)>> = HashMap::new();
    for posting in rows_in::<credit_posting::Entity>(db, credit_posting::Column::EntryId, &ids).await? {
        lots.entry(posting.entry_id).or_default().push((posting.lot_id.into(), posting.count));
    }
    rows.into_iter()
        .map(|row| {
            let mut lots = lots.remove(&row.id).unwrap_or_default();
            lots.sort_unstable();
            Ok(Entry {
                id: row.id.into(),
                cause: known(Cause::parse(&row.cause), "cause", &row.cause)?,
                count: row.count,
                source: source_of(&row.source_kind, row.source_id)?,
                account: row.account_id.map(Into::into),
                actor: row.actor,
                reason: row.reason,
                happened_at: row.happened_at,
                lots,
            })
        })
        .collect()
}

fn lot_row_from(row: credit_lot::Model, owner: Owner, products: &[product::Model]) -> Result<LotRow, DbErr> {
    let tied = row.tied_product_id.and_then(|id| products.iter().find(|product| product.id == id));
    Ok(LotRow {
        source: source_of(&row.source_kind, row.source_id)?,
        tied_title: tied.map(|product| product.title.clone()),
        lot: lot_from(row, owner)?,
    })
}

/// The lot that a source granted.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_source(db: &impl ConnectionTrait, source: Source) -> Result<Option<Lot>, DbErr> {
    let select = credit_lot::Entity::find()
        .filter(credit_lot::Column::SourceKind.eq(source.kind.name()))
        .filter(credit_lot::Column::SourceId.eq(source.id));
    Ok(lots_of(db, select).await?.pop())
}

/// These lots; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[LotId]) -> Result<Vec<Lot>, DbErr> {
    let mut lots = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        lots.extend(lots_of(db, credit_lot::Entity::find().filter(credit_lot::Column::Id.is_in(chunk.iter().map(|id| id.uuid())))).await?);
    }
    Ok(lots)
}

/// The products that sell a course: its own, its sessions', those of libraries that hold it, and of groups that open it. Lots that are tied to one
/// of them pay for what is in the course.
///
/// # Errors
/// The database's.
pub async fn products_selling(db: &impl ConnectionTrait, course: CourseId) -> Result<Vec<ProductId>, DbErr> {
    let libraries = Query::select()
        .column(library_course::Column::LibraryId)
        .from(library_course::Entity)
        .and_where(library_course::Column::CourseId.eq(course.uuid()))
        .to_owned();
    let sessions =
        Query::select().column(session::Column::Id).from(session::Entity).and_where(session::Column::CourseId.eq(course.uuid())).to_owned();
    let opened = Condition::any()
        .add(group_content::Column::TargetId.eq(course.uuid()))
        .add(group_content::Column::TargetId.in_subquery(libraries.clone()));
    let groups = Query::select()
        .column(group_content::Column::GroupId)
        .from(group_content::Entity)
        .and_where(group_content::Column::Opens.eq(true))
        .cond_where(opened)
        .to_owned();
    let selling = Condition::any()
        .add(product::Column::TargetId.eq(course.uuid()))
        .add(product::Column::TargetId.in_subquery(libraries))
        .add(product::Column::TargetId.in_subquery(sessions))
        .add(product::Column::TargetId.in_subquery(groups));
    let ids: Vec<Uuid> = product::Entity::find().select_only().column(product::Column::Id).filter(selling).into_tuple().all(db).await?;
    Ok(ids.into_iter().map(Into::into).collect())
}

/// Takes an owner's row for the rest of the transaction; makes it if there is none.
async fn lock(txn: &DatabaseTransaction, owner: Owner, now: DateTime<Utc>) -> Result<(), DbErr> {
    let row = credit_account::ActiveModel {
        owner_id: Set(owner.uuid()),
        owner_kind: Set(owner.kind().name().to_owned()),
        balance: Set(0),
        created_at: Set(now),
        touched_at: Set(now),
    };
    credit_account::Entity::insert(row)
        .on_conflict(OnConflict::column(credit_account::Column::OwnerId).update_column(credit_account::Column::TouchedAt).to_owned())
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Books what ended with a lot, if its end has come.
async fn book_end(txn: &DatabaseTransaction, lot: &Lot, by: &Move<'_>, ended_at: Option<DateTime<Utc>>) -> Result<(), DbErr> {
    let lapsed = lot.lapsed(by.now);
    if lapsed == 0 {
        return Ok(());
    }
    let by = Move { cause: Cause::Expired, source: Source { kind: SourceKind::Lot, id: lot.id.uuid() }, reason: None, ..*by };
    let draw = Draw { lot: lot.id, owner: lot.owner, count: lapsed };
    post(txn, lot.owner, None, &[draw], &by, ended_at.unwrap_or(by.now)).await
}

/// Writes an entry, and does to the lots and the balance what it says. The owner's row is held.
async fn post(
    txn: &DatabaseTransaction,
    owner: Owner,
    account: Option<AccountId>,
    draws: &[Draw],
    by: &Move<'_>,
    happened_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    record(txn, owner, account, draws, by, happened_at).await?;
    let (debit, credit) = by.cause.books();
    let (column, sign) = match (debit, credit) {
        (Book::Held, Book::Spent) => (credit_lot::Column::Spent, 1),
        (Book::Spent, Book::Held) => (credit_lot::Column::Spent, -1),
        (Book::Held, Book::Expired) => (credit_lot::Column::Expired, 1),
        (Book::Held, Book::Revoked) => (credit_lot::Column::Revoked, 1),
        (Book::Revoked, Book::Held) => (credit_lot::Column::Revoked, -1),
        _ => return Err(corrupt(format_args!("{} is no move of a lot that is there", by.cause))),
    };
    let mut all = 0_i64;
    for draw in draws {
        let mut update = credit_lot::Entity::update_many()
            .col_expr(column, Expr::col(column).add(sign * draw.count))
            .filter(credit_lot::Column::Id.eq(draw.lot.uuid()))
            .filter(credit_lot::Column::OwnerId.eq(owner.uuid()));
        update = if sign > 0 { update.filter(left().gte(draw.count)) } else { update.filter(column.gte(draw.count)) };
        if update.exec(txn).await?.rows_affected != 1 {
            return Err(corrupt(format_args!("{} has no {} credits to move from {debit} to {credit}", draw.lot, draw.count)));
        }
        all = all.checked_add(draw.count).ok_or_else(|| corrupt("too many credits"))?;
    }
    change_balance(txn, owner, -sign * all, by.now).await
}

/// Writes an entry with its postings.
async fn record(
    txn: &DatabaseTransaction,
    owner: Owner,
    account: Option<AccountId>,
    draws: &[Draw],
    by: &Move<'_>,
    happened_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let id = (by.new_id)();
    let entry = credit_entry::ActiveModel {
        id: Set(id),
        owner_id: Set(owner.uuid()),
        cause: Set(by.cause.name().to_owned()),
        count: Set(draws.iter().map(|draw| draw.count).sum()),
        source_kind: Set(by.source.kind.name().to_owned()),
        source_id: Set(by.source.id),
        account_id: Set(account.map(AccountId::uuid)),
        actor: Set(by.actor.to_owned()),
        reason: Set(by.reason.map(str::to_owned)),
        happened_at: Set(happened_at),
        recorded_at: Set(by.now),
    };
    credit_entry::Entity::insert(entry).exec_without_returning(txn).await?;
    let (debit, credit) = by.cause.books();
    for chunk in draws.chunks(CHUNK) {
        let rows = chunk.iter().map(|draw| credit_posting::ActiveModel {
            entry_id: Set(id),
            lot_id: Set(draw.lot.uuid()),
            debit: Set(debit.name().to_owned()),
            credit: Set(credit.name().to_owned()),
            count: Set(draw.count),
        });
        credit_posting::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

async fn change_balance(txn: &DatabaseTransaction, owner: Owner, change: i64, now: DateTime<Utc>) -> Result<(), DbErr> {
    let after = || Expr::col(credit_account::Column::Balance).add(change);
    let done = credit_account::Entity::update_many()
        .col_expr(credit_account::Column::Balance, after())
        .col_expr(credit_account::Column::TouchedAt, Expr::value(now))
        .filter(credit_account::Column::OwnerId.eq(owner.uuid()))
        .filter(after().between(0i64, MAX_BALANCE))
        .exec(txn)
        .await?;
    if done.rows_affected == 1 { Ok(()) } else { Err(corrupt(format_args!("a balance cannot change by {change}"))) }
}

/// Counts what a learner spent of a company's credits. The company's row of credits is held, so the limit was just looked at.
async fn use_allowance(txn: &DatabaseTransaction, company: CompanyId, account: AccountId, count: i64) -> Result<(), DbErr> {
    let row = credit_allowance::ActiveModel { company_id: Set(company.uuid()), account_id: Set(account.uuid()), spent: Set(count) };
    let more = Expr::col((credit_allowance::Entity, credit_allowance::Column::Spent)).add(count);
    credit_allowance::Entity::insert(row)
        .on_conflict(
            OnConflict::columns([credit_allowance::Column::CompanyId, credit_allowance::Column::AccountId])
                .value(credit_allowance::Column::Spent, more)
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Takes off what a learner has got back of a company's credits.
async fn free_allowance(txn: &DatabaseTransaction, company: CompanyId, account: AccountId, count: i64) -> Result<(), DbErr> {
    credit_allowance::Entity::update_many()
        .col_expr(credit_allowance::Column::Spent, Expr::col(credit_allowance::Column::Spent).sub(count))
        .filter(credit_allowance::Column::CompanyId.eq(company.uuid()))
        .filter(credit_allowance::Column::AccountId.eq(account.uuid()))
        .exec(txn)
        .await?;
    Ok(())
}

/// What was drawn of lots, by whose they are and who spent them.
type DrawnBy = BTreeMap<(Owner, Option<AccountId>), BTreeMap<LotId, i64>>;

/// What a source drew for the cause `done` and has not undone for the cause `undone`.
async fn drawn_by(db: &impl ConnectionTrait, source: Source, done: Cause, undone: Cause) -> Result<DrawnBy, DbErr> {
    let entries = credit_entry::Entity::find()
        .filter(credit_entry::Column::SourceKind.eq(source.kind.name()))
        .filter(credit_entry::Column::SourceId.eq(source.id))
        .filter(credit_entry::Column::Cause.is_in([done.name(), undone.name()]))
        .all(db)
        .await?;
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.id).collect();
    let owners: BTreeSet<Uuid> = entries.iter().map(|entry| entry.owner_id).collect();
    let owners = rows_in::<credit_account::Entity>(db, credit_account::Column::OwnerId, &owners.into_iter().collect::<Vec<_>>()).await?;
    let mut of = HashMap::new();
    for entry in entries {
        let row = owners.iter().find(|row| row.owner_id == entry.owner_id).ok_or_else(|| corrupt("an entry of nobody's"))?;
        let sign = if entry.cause == done.name() { 1 } else { -1 };
        of.insert(entry.id, ((owner_of(&row.owner_kind, row.owner_id)?, entry.account_id.map(Into::into)), sign));
    }
    let mut drawn = DrawnBy::new();
    for posting in rows_in::<credit_posting::Entity>(db, credit_posting::Column::EntryId, &ids).await? {
        let (key, sign) = of.get(&posting.entry_id).ok_or_else(|| corrupt("a posting of no entry"))?;
        *drawn.entry(*key).or_default().entry(posting.lot_id.into()).or_default() += sign * posting.count;
    }
    for lots in drawn.values_mut() {
        lots.retain(|_, count| *count > 0);
    }
    Ok(drawn)
}

/// Whether something is left of a lot, in the words of the indexes on that.
pub(super) fn is_open() -> Expr {
    left().gt(Expr::cust("0"))
}

/// What is left of a lot, as the database counts it.
pub(super) fn left() -> Expr {
    credit_lot::Column::Count
        .into_expr()
        .sub(credit_lot::Column::Spent.into_expr())
        .sub(credit_lot::Column::Expired.into_expr())
        .sub(credit_lot::Column::Revoked.into_expr())
}

fn source_of(kind: &str, id: Uuid) -> Result<Source, DbErr> {
    Ok(Source { kind: known(SourceKind::parse(kind), "source", kind)?, id })
}

fn owner_of(kind: &str, id: Uuid) -> Result<Owner, DbErr> {
    Ok(Owner::of(known(OwnerKind::parse(kind), "kind of owner", kind)?, id))
}

/// The lots of a query with their owners' kinds.
async fn lots_of(db: &impl ConnectionTrait, select: Select<credit_lot::Entity>) -> Result<Vec<Lot>, DbErr> {
    let mut select = select.select_also(credit_account::Entity);
    QueryTrait::query(&mut select).inner_join(
        credit_account::Entity,
        credit_account::Column::OwnerId.into_expr().equals((credit_lot::Entity, credit_lot::Column::OwnerId)),
    );
    let rows = select.order_by_asc(credit_lot::Column::GrantedAt).order_by_asc(credit_lot::Column::Id).all(db).await?;
    rows.into_iter()
        .map(|(row, owner)| {
            let owner = owner.ok_or_else(|| corrupt("a lot of nobody's"))?;
            lot_from(row, owner_of(&owner.owner_kind, owner.owner_id)?)
        })
        .collect()
}

fn lot_from(row: credit_lot::Model, owner: Owner) -> Result<Lot, DbErr> {
    Ok(Lot {
        id: row.id.into(),
        owner,
        product: row.product_id.map(Into::into),
        tied: row.tied_product_id.map(Into::into),
        figures: Figures { count: row.count, spent: row.spent, expired: row.expired, revoked: row.revoked },
        granted_at: row.granted_at,
        expires_at: row.expires_at,
    })
}
