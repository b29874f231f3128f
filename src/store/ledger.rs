//! The books of credits looked through: what is kept beside what the entries come to.
//!
//! Always true here: nothing is written, and all of it is read as of one instant.

use std::collections::{BTreeMap, HashMap};

use domain::credit::{Book, Cause, Fault, Figures, Owner, OwnerKind};
use domain::{AccountId, CompanyId, LotId};
use entity::{credit_account, credit_allowance, credit_entry, credit_lot, credit_posting};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select};
use uuid::Uuid;

use super::credit::left;
use super::{CHUNK, known};

/// What was looked through, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Owners whose balance was recomputed.
    pub owners: u64,
    /// Lots that were recomputed.
    pub lots: u64,
    /// Entries in the books.
    pub entries: u64,
    /// What left and what came to each book: its debits and credits.
    pub books: BTreeMap<Book, (i64, i64)>,
    /// What does not agree.
    pub faults: Vec<Fault>,
}

/// Recomputes every lot, balance and allowance from the entries, and compares.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn verify(db: &impl ConnectionTrait) -> Result<Verified, DbErr> {
    let mut found = Verified { entries: credit_entry::Entity::find().count(db).await?, ..Verified::default() };
    lots(db, &mut found).await?;
    balances(db, &mut found).await?;
    allowances(db, &mut found).await?;
    entries(db, &mut found).await?;
    Ok(found)
}

fn book(name: &str) -> Result<Book, DbErr> {
    known(Book::parse(name), "book", name)
}

/// A sum as a whole number: PostgreSQL adds whole numbers up to a NUMERIC.
fn sum(of: Expr) -> Expr {
    of.sum().cast_as("bigint")
}

async fn lots(db: &impl ConnectionTrait, found: &mut Verified) -> Result<(), DbErr> {
    let mut after: Option<Uuid> = None;
    loop {
        let mut select = credit_lot::Entity::find().order_by_asc(credit_lot::Column::Id).limit(CHUNK as u64);
        if let Some(after) = after {
            select = select.filter(credit_lot::Column::Id.gt(after));
        }
        let rows = select.all(db).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.id);
        let sums: Vec<(Uuid, String, String, i64)> = credit_posting::Entity::find()
            .select_only()
            .columns([credit_posting::Column::LotId, credit_posting::Column::Debit, credit_posting::Column::Credit])
            .column_as(sum(credit_posting::Column::Count.into_expr()), "sum")
            .filter(credit_posting::Column::LotId.is_in(rows.iter().map(|row| row.id)))
            .group_by(credit_posting::Column::LotId)
            .group_by(credit_posting::Column::Debit)
            .group_by(credit_posting::Column::Credit)
            .into_tuple()
            .all(db)
            .await?;
        let mut postings: HashMap<Uuid, Vec<(Book, Book, i64)>> = HashMap::new();
        for (lot, debit, credit, count) in sums {
            let (debit, credit) = (book(&debit)?, book(&credit)?);
            postings.entry(lot).or_default().push((debit, credit, count));
            found.books.entry(debit).or_default().0 += count;
            found.books.entry(credit).or_default().1 += count;
        }
        for row in rows {
            found.lots += 1;
            let kept = Figures { count: row.count, spent: row.spent, expired: row.expired, revoked: row.revoked };
            let booked = Figures::of_postings(postings.remove(&row.id).unwrap_or_default());
            if booked != Some(kept) {
                found.faults.push(Fault::Lot { lot: row.id.into(), kept, booked });
            }
        }
    }
}

/// The postings of a query beside their entries.
fn beside_entries(mut select: Select<credit_posting::Entity>) -> Select<credit_posting::Entity> {
    let same = credit_entry::Column::Id.into_expr().equals((credit_posting::Entity, credit_posting::Column::EntryId));
    QueryTrait::query(&mut select).inner_join(credit_entry::Entity, same);
    select
}

async fn balances(db: &impl ConnectionTrait, found: &mut Verified) -> Result<(), DbErr> {
    let mut after: Option<Uuid> = None;
    loop {
        let mut select = credit_account::Entity::find().order_by_asc(credit_account::Column::OwnerId).limit(CHUNK as u64);
        if let Some(after) = after {
            select = select.filter(credit_account::Column::OwnerId.gt(after));
        }
        let rows = select.all(db).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.owner_id);
        let ids = || rows.iter().map(|row| row.owner_id);
        let lots: Vec<(Uuid, i64)> = credit_lot::Entity::find()
            .select_only()
            .column(credit_lot::Column::OwnerId)
            .column_as(sum(left()), "sum")
            .filter(credit_lot::Column::OwnerId.is_in(ids()))
            .group_by(credit_lot::Column::OwnerId)
            .into_tuple()
            .all(db)
            .await?;
        let lots: HashMap<Uuid, i64> = lots.into_iter().collect();
        let moves: Vec<(Uuid, String, i64)> = beside_entries(credit_posting::Entity::find().select_only())
            .column(credit_entry::Column::OwnerId)
            .column(credit_posting::Column::Credit)
            .column_as(sum(credit_posting::Column::Count.into_expr()), "sum")
            .filter(credit_entry::Column::OwnerId.is_in(ids()))
            .group_by(credit_entry::Column::OwnerId)
            .group_by(credit_posting::Column::Credit)
            .into_tuple()
            .all(db)
            .await?;
        let mut booked: HashMap<Uuid, i64> = HashMap::new();
        for (owner, credit, count) in moves {
            let sign = if book(&credit)? == Book::Held { 1 } else { -1 };
            *booked.entry(owner).or_default() += sign * count;
        }
        for row in &rows {
            found.owners += 1;
            let kind = known(OwnerKind::parse(&row.owner_kind), "kind of owner", &row.owner_kind)?;
            let of = |sums: &HashMap<Uuid, i64>| sums.get(&row.owner_id).copied().unwrap_or(0);
            let (kept, lots, booked) = (row.balance, of(&lots), of(&booked));
            if kept != lots || kept != booked {
                found.faults.push(Fault::Balance { owner: Owner::of(kind, row.owner_id), kept, lots, booked });
            }
        }
    }
}

async fn allowances(db: &impl ConnectionTrait, found: &mut Verified) -> Result<(), DbErr> {
    let mut companies = credit_entry::Entity::find()
        .select_only()
        .columns([credit_entry::Column::OwnerId, credit_entry::Column::AccountId, credit_entry::Column::Cause])
        .column_as(sum(credit_entry::Column::Count.into_expr()), "sum")
        .filter(credit_account::Column::OwnerKind.eq(OwnerKind::Company.name()))
        .filter(credit_entry::Column::Cause.is_in([Cause::Spent.name(), Cause::GivenBack.name()]))
        .group_by(credit_entry::Column::OwnerId)
        .group_by(credit_entry::Column::AccountId)
        .group_by(credit_entry::Column::Cause);
    let same = credit_account::Column::OwnerId.into_expr().equals((credit_entry::Entity, credit_entry::Column::OwnerId));
    QueryTrait::query(&mut companies).inner_join(credit_account::Entity, same);
    let sums: Vec<(Uuid, Option<Uuid>, String, i64)> = companies.into_tuple().all(db).await?;
    let mut spent: BTreeMap<(CompanyId, AccountId), (i64, i64)> = BTreeMap::new();
    for (company, account, cause, count) in sums {
        let account = known(account, "learner of a spending", &cause)?;
        let sign = if cause == Cause::Spent.name() { 1 } else { -1 };
        spent.entry((company.into(), account.into())).or_default().0 += sign * count;
    }
    for row in credit_allowance::Entity::find().all(db).await? {
        spent.entry((row.company_id.into(), row.account_id.into())).or_default().1 = row.spent;
    }
    let wrong = spent.into_iter().filter(|(_, (booked, kept))| booked != kept);
    found.faults.extend(wrong.map(|((company, account), (booked, kept))| Fault::Allowance { company, account, kept, booked }));
    Ok(())
}

async fn entries(db: &impl ConnectionTrait, found: &mut Verified) -> Result<(), DbErr> {
    let posted = || sum(Expr::col((credit_posting::Entity, credit_posting::Column::Count)));
    let differs = Expr::col((credit_entry::Entity, credit_entry::Column::Count)).ne(posted());
    let mut unequal = credit_entry::Entity::find()
        .select_only()
        .columns([credit_entry::Column::Id, credit_entry::Column::Count])
        .column_as(posted(), "sum")
        .group_by(credit_entry::Column::Id)
        .group_by(credit_entry::Column::Count)
        .having(differs.or(posted().is_null()));
    let own = credit_posting::Column::EntryId.into_expr().equals((credit_entry::Entity, credit_entry::Column::Id));
    QueryTrait::query(&mut unequal).left_join(credit_posting::Entity, own);
    let unequal: Vec<(Uuid, i64, Option<i64>)> = unequal.into_tuple().all(db).await?;
    found.faults.extend(unequal.into_iter().map(|(id, count, booked)| Fault::Entry {
        entry: id.into(),
        count,
        booked: booked.unwrap_or(0),
    }));

    let mut foreign = beside_entries(credit_posting::Entity::find().select_only())
        .columns([credit_posting::Column::EntryId, credit_posting::Column::LotId])
        .filter(Expr::col((credit_lot::Entity, credit_lot::Column::OwnerId)).ne(credit_entry::Column::OwnerId.into_expr()));
    let moved = credit_lot::Column::Id.into_expr().equals((credit_posting::Entity, credit_posting::Column::LotId));
    QueryTrait::query(&mut foreign).inner_join(credit_lot::Entity, moved);
    let foreign: Vec<(Uuid, Uuid)> = foreign.into_tuple().all(db).await?;
    found.faults.extend(foreign.into_iter().map(|(entry, lot)| Fault::Foreign { entry: entry.into(), lot: LotId::new(lot) }));

    let kinds: Vec<(String, String, String, i64)> = beside_entries(credit_posting::Entity::find().select_only())
        .column(credit_entry::Column::Cause)
        .columns([credit_posting::Column::Debit, credit_posting::Column::Credit])
        .column_as(credit_posting::Column::LotId.count(), "postings")
        .group_by(credit_entry::Column::Cause)
        .group_by(credit_posting::Column::Debit)
        .group_by(credit_posting::Column::Credit)
        .into_tuple()
        .all(db)
        .await?;
    for (cause, debit, credit, count) in kinds {
        let (cause, debit, credit) = (known(Cause::parse(&cause), "cause", &cause)?, book(&debit)?, book(&credit)?);
        if cause.books() != (debit, credit) {
            found.faults.push(Fault::Books { cause, debit, credit, count });
        }
    }
    Ok(())
}
