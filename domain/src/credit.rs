//! Credits: prepaid units that people and companies hold in lots, and the books about them.
//!
//! Always true here: every change moves a number from one book to another, so that debits are credits; what is left of a lot is never less than
//! nothing; and from its end on a lot counts for nothing, whether or not that is in the books yet.

pub mod report;

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::id::{AccountId, CompanyId, CreditEntryId, LotId, ProductId};
use crate::refusal::{Code, Reason};

/// Most credits of a lot that is granted by hand.
pub const MAX_GRANT: i64 = 1_000_000_000;
/// Most credits that one owner holds. The database keeps to it, so sums over an owner's lots never overflow.
pub const MAX_BALANCE: i64 = 1_000_000_000_000_000;

named! {
    /// What kind of owner holds credits.
    pub enum OwnerKind {
        /// A person.
        Account = "ACCOUNT",
        /// A company.
        Company = "COMPANY",
    }
}

/// Who holds credits. In order: whoever locks several owners takes them by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A person.
    Account(AccountId),
    /// A company.
    Company(CompanyId),
}

impl Owner {
    /// The owner of this kind with this id.
    pub const fn of(kind: OwnerKind, id: Uuid) -> Self {
        match kind {
            OwnerKind::Account => Self::Account(AccountId::new(id)),
            OwnerKind::Company => Self::Company(CompanyId::new(id)),
        }
    }

    /// Which kind it is.
    pub const fn kind(self) -> OwnerKind {
        match self {
            Self::Account(_) => OwnerKind::Account,
            Self::Company(_) => OwnerKind::Company,
        }
    }

    /// The bare id.
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::Account(id) => id.uuid(),
            Self::Company(id) => id.uuid(),
        }
    }

    /// The company, if it is one.
    pub const fn company(self) -> Option<CompanyId> {
        match self {
            Self::Account(_) => None,
            Self::Company(id) => Some(id),
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account(id) => id.fmt(f),
            Self::Company(id) => id.fmt(f),
        }
    }
}

named! {
    /// The books that credits move between. What owners hold is what the shop owes them.
    pub enum Book {
        /// Where credits come from.
        Issued = "ISSUED",
        /// What owners hold.
        Held = "HELD",
        /// What was paid with.
        Spent = "SPENT",
        /// What was left at a lot's end.
        Expired = "EXPIRED",
        /// What was taken away again: by a refund, or by hand.
        Revoked = "REVOKED",
    }
}

named! {
    /// Why credits moved.
    pub enum Cause {
        /// They were sold.
        Sold = "SOLD",
        /// Somebody of the shop gave them.
        Granted = "GRANTED",
        /// Something was paid with them.
        Spent = "SPENT",
        /// What they paid for was undone.
        GivenBack = "GIVEN_BACK",
        /// Their lot ended.
        Expired = "EXPIRED",
        /// Their sale was refunded.
        TakenBack = "TAKEN_BACK",
        /// The refund came to nothing.
        Restored = "RESTORED",
        /// Somebody of the shop took them away.
        Revoked = "REVOKED",
    }
}

impl Cause {
    /// The book that credits leave and the book that they come to: its debit and its credit.
    pub const fn books(self) -> (Book, Book) {
        match self {
            Self::Sold | Self::Granted => (Book::Issued, Book::Held),
            Self::Spent => (Book::Held, Book::Spent),
            Self::GivenBack => (Book::Spent, Book::Held),
            Self::Expired => (Book::Held, Book::Expired),
            Self::TakenBack | Self::Revoked => (Book::Held, Book::Revoked),
            Self::Restored => (Book::Revoked, Book::Held),
        }
    }
}

named! {
    /// What kind of thing made credits move.
    pub enum SourceKind {
        /// A line of an order.
        OrderLine = "ORDER_LINE",
        /// A line of a sales order.
        SalesLine = "SALES_LINE",
        /// A redeemed token.
        Token = "TOKEN",
        /// A rental.
        Rental = "RENTAL",
        /// A refund.
        Refund = "REFUND",
        /// Somebody of the shop, by hand; the id is the entry's own.
        Hand = "HAND",
        /// The end of a lot; the id is the lot's.
        Lot = "LOT",
    }
}

/// What made credits move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Its kind.
    pub kind: SourceKind,
    /// Its id.
    pub id: Uuid,
}

/// The numbers of a lot. What is left is what the others leave of the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Granted in all.
    pub count: i64,
    /// Paid with, less what was given back.
    pub spent: i64,
    /// Left at the end, as far as it is in the books.
    pub expired: i64,
    /// Taken away again.
    pub revoked: i64,
}

impl Figures {
    /// Of a lot that was just granted.
    pub const fn granted(count: i64) -> Self {
        Self { count, spent: 0, expired: 0, revoked: 0 }
    }

    /// What the lot holds by the books; the end of the lot is not looked at.
    pub const fn left(self) -> i64 {
        self.count - self.spent - self.expired - self.revoked
    }

    /// These figures after `count` credits went from one book to another; `None` for what cannot be: too many, less than one, or between books
    /// that no lot stands between.
    #[must_use]
    pub fn moved(self, debit: Book, credit: Book, count: i64) -> Option<Self> {
        let (mut now, left) = (self, self.left());
        if count < 1 {
            return None;
        }
        match (debit, credit) {
            (Book::Issued, Book::Held) => now.count = now.count.checked_add(count)?,
            (Book::Held, Book::Spent) if count <= left => now.spent += count,
            (Book::Held, Book::Expired) if count <= left => now.expired += count,
            (Book::Held, Book::Revoked) if count <= left => now.revoked += count,
            (Book::Spent, Book::Held) if count <= now.spent => now.spent -= count,
            (Book::Revoked, Book::Held) if count <= now.revoked => now.revoked -= count,
            _ => return None,
        }
        Some(now)
    }
}

impl Figures {
    /// What postings about a lot add up to, in whatever order they are told; `None` for what no lot can come to.
    pub fn of_postings(postings: impl IntoIterator<Item = (Book, Book, i64)>) -> Option<Self> {
        let mut sums = Self::default();
        for (debit, credit, count) in postings {
            let (sum, sign) = match (debit, credit) {
                (Book::Issued, Book::Held) => (&mut sums.count, 1),
                (Book::Held, Book::Spent) => (&mut sums.spent, 1),
                (Book::Spent, Book::Held) => (&mut sums.spent, -1),
                (Book::Held, Book::Expired) => (&mut sums.expired, 1),
                (Book::Held, Book::Revoked) => (&mut sums.revoked, 1),
                (Book::Revoked, Book::Held) => (&mut sums.revoked, -1),
                _ => return None,
            };
            *sum = sum.checked_add(count.checked_mul(sign)?)?;
        }
        (sums.spent >= 0 && sums.revoked >= 0 && sums.left() >= 0).then_some(sums)
    }
}

/// What is wrong with the books: two ways to the same number that do not meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A lot is not what its postings come to.
    #[error("{lot}: kept as {}, by its postings {}", told(Some(*.kept)), told(*.booked))]
    Lot {
        /// The lot.
        lot: LotId,
        /// As it is kept.
        kept: Figures,
        /// As its postings have it; none, if they come to something that no lot can be.
        booked: Option<Figures>,
    },
    /// A balance is not what the lots or the postings of its owner come to.
    #[error("balance of {owner}: kept as {kept}, by its lots {lots}, by its postings {booked}")]
    Balance {
        /// Whose.
        owner: Owner,
        /// As it is kept.
        kept: i64,
        /// What is left of the owner's lots.
        lots: i64,
        /// What the postings leave.
        booked: i64,
    },
    /// What a learner spent of a company's credits is not what the entries say.
    #[error("what {account} spent of {company}'s credits: kept as {kept}, by the entries {booked}")]
    Allowance {
        /// The company.
        company: CompanyId,
        /// The learner.
        account: AccountId,
        /// As it is kept.
        kept: i64,
        /// By the entries.
        booked: i64,
    },
    /// An entry is not the sum of what it moves of lots.
    #[error("{entry}: says {count}, its postings {booked}")]
    Entry {
        /// The entry.
        entry: CreditEntryId,
        /// What it says.
        count: i64,
        /// The sum of its postings.
        booked: i64,
    },
    /// An entry about one owner moves another one's lot.
    #[error("{entry}: moves {lot}, which another owner holds")]
    Foreign {
        /// The entry.
        entry: CreditEntryId,
        /// The lot.
        lot: LotId,
    },
    /// Postings between other books than their entry's cause is about.
    #[error("{count} postings for {cause} from {debit} to {credit}")]
    Books {
        /// The cause.
        cause: Cause,
        /// The book that they leave.
        debit: Book,
        /// The book that they come to.
        credit: Book,
        /// How many.
        count: i64,
    },
}

fn told(figures: Option<Figures>) -> String {
    figures.map_or_else(
        || "nothing that a lot can be".to_owned(),
        |Figures { count, spent, expired, revoked }| format!("{count} granted, {spent} spent, {expired} expired, {revoked} revoked"),
    )
}

/// Credits that were granted together, with an end of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot {
    /// Id.
    pub id: LotId,
    /// Who holds it.
    pub owner: Owner,
    /// The product that it was sold with.
    pub product: Option<ProductId>,
    /// The product for whose courses alone it pays.
    pub tied: Option<ProductId>,
    /// Its numbers.
    pub figures: Figures,
    /// When it was granted.
    pub granted_at: DateTime<Utc>,
    /// From when on it counts for nothing.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Lot {
    /// Whether its end has come.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// What can be spent of it.
    pub fn open(&self, now: DateTime<Utc>) -> i64 {
        if self.is_over(now) { 0 } else { self.figures.left() }
    }

    /// What ended with it and is not in the books yet.
    pub fn lapsed(&self, now: DateTime<Utc>) -> i64 {
        if self.is_over(now) { self.figures.left() } else { 0 }
    }

    /// Whether it pays for something of a course that `products` sell.
    pub fn pays(&self, products: &[ProductId]) -> bool {
        self.tied.is_none_or(|tied| products.contains(&tied))
    }
}

/// Somebody whose lots may be drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purse {
    /// Whose.
    pub owner: Owner,
    /// What may still be drawn from it; no end to it unless given.
    pub limit: Option<i64>,
}

impl Purse {
    /// Somebody's own.
    pub const fn own(account: AccountId) -> Self {
        Self { owner: Owner::Account(account), limit: None }
    }
}

/// What a company lets a learner spend of its credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// In all.
    pub limit: i64,
    /// Of that, what is spent.
    pub spent: i64,
}

impl Allowance {
    /// What may still be spent: nothing, where the limit was lowered below what is spent.
    pub fn left(self) -> i64 {
        self.limit.saturating_sub(self.spent).max(0)
    }
}

/// What is to be paid with credits.
#[derive(Debug, Clone, Copy)]
pub struct Price<'a> {
    /// How many.
    pub cost: i64,
    /// The products that sell the course it is about: lots that are tied to one of them pay for it.
    pub products: &'a [ProductId],
    /// From whom, the first one first.
    pub purses: &'a [Purse],
}

/// What is drawn from a lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The lot.
    pub lot: LotId,
    /// Whose it is.
    pub owner: Owner,
    /// How many credits.
    pub count: i64,
}

/// There are too few credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("This costs {needed} credits and {held} can be spent on it; {} are missing.", self.missing())]
pub struct Short {
    /// What it costs.
    pub needed: i64,
    /// What can be spent on it.
    pub held: i64,
}

impl Short {
    /// How many are missing.
    pub const fn missing(&self) -> i64 {
        self.needed.saturating_sub(self.held)
    }
}

impl Reason for Short {
    fn code(&self) -> Code {
        Code::TooFewCredits
    }
}

/// What each purse can pay towards this price, in their order.
pub fn payable(lots: &[Lot], price: &Price<'_>, now: DateTime<Utc>) -> Vec<i64> {
    let of = |purse: &Purse| {
        let all: i64 = lots.iter().filter(|lot| lot.owner == purse.owner && lot.pays(price.products)).map(|lot| lot.open(now)).sum();
        purse.limit.map_or(all, |limit| all.min(limit.max(0)))
    };
    price.purses.iter().map(of).collect()
}

/// Which lots pay, and how much of each (R39): of the first purse first; of a purse the lot that ends first, then one that is tied before one
/// that pays for anything, then the oldest.
///
/// # Errors
/// There are too few.
pub fn draw(lots: &[Lot], price: &Price<'_>, now: DateTime<Utc>) -> Result<Vec<Draw>, Short> {
    let mut missing = price.cost;
    let mut draws = Vec::new();
    for (purse, payable) in price.purses.iter().zip(payable(lots, price, now)) {
        let mut open: Vec<&Lot> =
            lots.iter().filter(|lot| lot.owner == purse.owner && lot.pays(price.products) && lot.open(now) > 0).collect();
        open.sort_by_key(|lot| (lot.expires_at.is_none(), lot.expires_at, Reverse(lot.tied.is_some()), lot.granted_at, lot.id));
        let mut from_purse = missing.min(payable);
        for lot in open {
            let count = lot.open(now).min(from_purse);
            if count > 0 {
                draws.push(Draw { lot: lot.id, owner: lot.owner, count });
                from_purse -= count;
                missing -= count;
            }
        }
    }
    if missing > 0 { Err(Short { needed: price.cost, held: price.cost - missing }) } else { Ok(draws) }
}

/// What can be spent, and what ends next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holdings {
    /// What can be spent, tied credits included.
    pub balance: i64,
    /// When something of it ends, and how much ends then.
    pub next_expiry: Option<(DateTime<Utc>, i64)>,
}

impl Holdings {
    /// Of these lots.
    pub fn of(lots: &[Lot], now: DateTime<Utc>) -> Self {
        let open = || lots.iter().filter(|lot| lot.open(now) > 0);
        let next = open().filter_map(|lot| lot.expires_at).min();
        let ending = |end| open().filter(|lot| lot.expires_at == Some(end)).map(|lot| lot.open(now)).sum();
        Self { balance: open().map(|lot| lot.open(now)).sum(), next_expiry: next.map(|end| (end, ending(end))) }
    }
}

/// What becomes of a lot whose sale is refunded, wholly or in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TakeBack {
    /// What ended with the lot and comes into the books only now.
    pub lapsed: i64,
    /// What is taken away.
    pub taken: i64,
    /// What should have been taken and was spent.
    pub spent: i64,
    /// What should have been taken and had ended.
    pub expired: i64,
}

/// Takes back what is unspent of a lot: at most `wanted` credits, else all that were not taken before. What is spent stays spent.
pub fn take_back(lot: &Lot, wanted: Option<i64>, now: DateTime<Utc>) -> TakeBack {
    let lapsed = lot.lapsed(now);
    let most = lot.figures.count - lot.figures.revoked;
    let wanted = wanted.map_or(most, |wanted| wanted.clamp(0, most));
    let taken = wanted.min(lot.open(now));
    let spent = (wanted - taken).min(lot.figures.spent);
    TakeBack { lapsed, taken, spent, expired: wanted - taken - spent }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;
