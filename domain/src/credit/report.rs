//! What became of credits in each part of a period, by product: added up from the books.

use std::collections::BTreeMap;

use super::Book;
use crate::id::ProductId;

named! {
    /// What the rows of a report of credits are about.
    pub enum ReportParts {
        /// A day each.
        Day = "DAY",
        /// A month each.
        Month = "MONTH",
    }
}

/// What went from one book to another, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// In which part, from 1; 0 for what was before the first.
    pub part: usize,
    /// The product that the credits were sold with.
    pub product: Option<ProductId>,
    /// The book that they left.
    pub debit: Book,
    /// The book that they came to.
    pub credit: Book,
    /// How many.
    pub count: i64,
}

/// What became of the credits of a product in one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Granted.
    pub issued: i64,
    /// Paid with, less what was given back.
    pub spent: i64,
    /// Left at their lots' ends.
    pub expired: i64,
    /// Taken away again, less what came back since a refund came to nothing.
    pub revoked: i64,
    /// What owners hold at the end of the part: what the shop owes.
    pub outstanding: i64,
}

impl Figures {
    fn add(&mut self, moved: &Moved) -> Option<()> {
        let (column, sign) = match (moved.debit, moved.credit) {
            (Book::Issued, Book::Held) => (&mut self.issued, 1),
            (Book::Held, Book::Spent) => (&mut self.spent, 1),
            (Book::Spent, Book::Held) => (&mut self.spent, -1),
            (Book::Held, Book::Expired) => (&mut self.expired, 1),
            (Book::Held, Book::Revoked) => (&mut self.revoked, 1),
            (Book::Revoked, Book::Held) => (&mut self.revoked, -1),
            _ => return None,
        };
        *column = column.checked_add(moved.count.checked_mul(sign)?)?;
        let held = if moved.credit == Book::Held { moved.count } else { moved.count.checked_neg()? };
        self.outstanding = self.outstanding.checked_add(held)?;
        Some(())
    }
}

/// The figures of each of `parts` parts and each product, in the order of parts and products; what neither moved nor is held has no row. `None` for
/// numbers that no books come to.
pub fn rows(parts: usize, moved: &[Moved]) -> Option<Vec<(usize, Option<ProductId>, Figures)>> {
    let mut of: BTreeMap<Option<ProductId>, BTreeMap<usize, Figures>> = BTreeMap::new();
    for one in moved {
        of.entry(one.product).or_default().entry(one.part).or_default().add(one)?;
    }
    let mut rows = Vec::new();
    for (product, by_part) in of {
        let mut held = by_part.get(&0).map_or(0, |before| before.outstanding);
        for part in 1..=parts {
            let mut figures = by_part.get(&part).copied().unwrap_or_default();
            held = held.checked_add(figures.outstanding)?;
            figures.outstanding = held;
            if figures != Figures::default() {
                rows.push((part, product, figures));
            }
        }
    }
    rows.sort_by_key(|(part, product, _)| (*part, *product));
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::super::cases::product;
    use super::*;

    /// 100 of product 1 before, 30 of them spent in part 1 and 5 given back in part 2, the rest ended in part 3; 10 of nothing's in part 2.
    #[test]
    fn what_is_held_is_carried_from_part_to_part() {
        let moved = |part, product, debit, credit, count| Moved { part, product, debit, credit, count };
        let one = Some(product(1));
        let all = [
            moved(0, one, Book::Issued, Book::Held, 100),
            moved(1, one, Book::Held, Book::Spent, 30),
            moved(2, one, Book::Spent, Book::Held, 5),
            moved(2, None, Book::Issued, Book::Held, 10),
            moved(2, None, Book::Held, Book::Revoked, 4),
            moved(3, one, Book::Held, Book::Expired, 75),
        ];
        let found = rows(4, &all).expect("books add up");
        let figures = |issued, spent, expired, revoked, outstanding| Figures { issued, spent, expired, revoked, outstanding };
        assert_eq!(
            found,
            [
                (1, one, figures(0, 30, 0, 0, 70)),
                (2, None, figures(10, 0, 0, 4, 6)),
                (2, one, figures(0, -5, 0, 0, 75)),
                (3, None, figures(0, 0, 0, 0, 6)),
                (3, one, figures(0, 0, 75, 0, 0)),
                (4, None, figures(0, 0, 0, 0, 6)),
            ]
        );
        assert_eq!(rows(1, &[moved(1, None, Book::Spent, Book::Expired, 1)]), None);
        assert_eq!(rows(3, &[]), Some(Vec::new()));
    }
}
