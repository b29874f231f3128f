//! Any sequence of grants, spendings, reversals, refunds, revocations and ends keeps the books right, whichever way the balance is found.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::cases::{at, product};
use super::*;

/// Something that happens to the books.
#[derive(Debug, Clone)]
enum Happening {
    Grant { owner: usize, count: i64, tied: Option<u128>, hours: Option<i64> },
    Spend { cost: i64, product: u128, limit: Option<i64> },
    GiveBack { nth: usize },
    TakeBack { nth: usize, count: Option<i64> },
    Restore { nth: usize },
    BookEnds,
    Wait { hours: i64 },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0_usize..2, 1_i64..40, prop::option::of(1_u128..3), prop::option::of(1_i64..60))
            .prop_map(|(owner, count, tied, hours)| Happening::Grant { owner, count, tied, hours }),
        6 => (1_i64..30, 1_u128..3, prop::option::of(0_i64..30)).prop_map(|(cost, product, limit)| Happening::Spend { cost, product, limit }),
        2 => any::<usize>().prop_map(|nth| Happening::GiveBack { nth }),
        2 => (any::<usize>(), prop::option::of(0_i64..40)).prop_map(|(nth, count)| Happening::TakeBack { nth, count }),
        1 => any::<usize>().prop_map(|nth| Happening::Restore { nth }),
        1 => Just(Happening::BookEnds),
        3 => (1_i64..20).prop_map(|hours| Happening::Wait { hours }),
    ]
}

/// Credits one by one, each with the place of its lot: the other way to tell what is there.
type Units = Vec<usize>;

#[derive(Debug, Default)]
struct Books {
    lots: Vec<Lot>,
    postings: Vec<(usize, Book, Book, i64)>,
    spendings: Vec<Vec<(usize, i64)>>,
    refunds: Vec<(usize, i64)>,
    units: Units,
}

fn owner(number: usize) -> Owner {
    [Owner::Account(AccountId::new(Uuid::from_u128(1))), Owner::Company(CompanyId::new(Uuid::from_u128(2)))][number]
}

impl Books {
    fn post(&mut self, lot: usize, cause: Cause, count: i64) {
        let (debit, credit) = cause.books();
        let figures = &mut self.lots[lot].figures;
        *figures = figures.moved(debit, credit, count).expect("what the rules decide can be booked");
        self.postings.push((lot, debit, credit, count));
    }

    fn place(&self, id: LotId) -> usize {
        self.lots.iter().position(|lot| lot.id == id).expect("a lot of these books")
    }

    fn book_ends(&mut self, lot: usize, now: DateTime<Utc>) {
        let lapsed = self.lots[lot].lapsed(now);
        if lapsed > 0 {
            self.post(lot, Cause::Expired, lapsed);
        }
    }

    /// Takes units one after the other, each time the one that is to go first.
    fn take_units(&mut self, cost: i64, products: &[ProductId], purses: &[Purse], now: DateTime<Utc>) -> Option<BTreeMap<usize, i64>> {
        let mut taken: BTreeMap<usize, i64> = BTreeMap::new();
        let mut units = self.units.clone();
        for _ in 0..cost {
            let of = |owner: Owner| taken.iter().filter(|(lot, _)| self.lots[**lot].owner == owner).map(|(_, count)| count).sum::<i64>();
            let may = |place: &usize| {
                let lot = &self.lots[*place];
                let purse = purses.iter().position(|purse| purse.owner == lot.owner)?;
                let within = purses[purse].limit.is_none_or(|limit| of(lot.owner) < limit);
                let alive = lot.expires_at.is_none_or(|end| now < end);
                let fits = lot.tied.is_none_or(|tied| products.contains(&tied));
                let end = lot.expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
                (within && alive && fits).then_some((purse, end, lot.tied.is_none(), lot.granted_at, lot.id))
            };
            let first = (0..units.len()).filter_map(|unit| may(&units[unit]).map(|key| (key, unit))).min()?;
            *taken.entry(units.swap_remove(first.1)).or_default() += 1;
        }
        self.units = units;
        Some(taken)
    }

    fn happen(&mut self, what: &Happening, now: &mut DateTime<Utc>) -> Result<(), TestCaseError> {
        match *what {
            Happening::Grant { owner: number, count, tied, hours } => {
                let place = self.lots.len();
                self.lots.push(Lot {
                    id: LotId::new(Uuid::from_u128(place as u128)),
                    owner: owner(number),
                    product: None,
                    tied: tied.map(product),
                    figures: Figures::default(),
                    granted_at: *now,
                    expires_at: hours.map(|hours| *now + TimeDelta::hours(hours)),
                });
                self.post(place, Cause::Granted, count);
                self.units.extend((0..count).map(|_| place));
            }
            Happening::Spend { cost, product: number, limit } => {
                let purses = [Purse { owner: owner(0), limit: None }, Purse { owner: owner(1), limit }];
                let price = Price { cost, products: &[product(number)], purses: &purses };
                let one_by_one = self.take_units(cost, price.products, &purses, *now);
                match draw(&self.lots, &price, *now) {
                    Ok(draws) => {
                        let drawn: Vec<(usize, i64)> = draws.iter().map(|draw| (self.place(draw.lot), draw.count)).collect();
                        prop_assert_eq!(drawn.iter().map(|(_, count)| count).sum::<i64>(), cost);
                        prop_assert_eq!(one_by_one, Some(drawn.iter().copied().collect()));
                        for (lot, count) in &drawn {
                            self.post(*lot, Cause::Spent, *count);
                        }
                        self.spendings.push(drawn);
                    }
                    Err(short) => {
                        prop_assert_eq!(one_by_one, None);
                        prop_assert_eq!(short.held, payable(&self.lots, &price, *now).iter().sum::<i64>());
                        prop_assert!(short.missing() > 0);
                    }
                }
            }
            Happening::GiveBack { nth } if !self.spendings.is_empty() => {
                let place = nth % self.spendings.len();
                for (lot, count) in self.spendings.swap_remove(place) {
                    self.post(lot, Cause::GivenBack, count);
                    self.units.extend((0..count).map(|_| lot));
                    self.book_ends(lot, *now);
                }
            }
            Happening::TakeBack { nth, count } if !self.lots.is_empty() => {
                let place = nth % self.lots.len();
                let lot = self.lots[place];
                let back = take_back(&lot, count, *now);
                prop_assert_eq!(back.taken + back.spent + back.expired, {
                    let most = lot.figures.count - lot.figures.revoked;
                    count.map_or(most, |count| count.min(most))
                });
                self.book_ends(place, *now);
                if back.taken > 0 {
                    self.post(place, Cause::TakenBack, back.taken);
                    self.refunds.push((place, back.taken));
                }
                for _ in 0..back.taken {
                    let unit = self.units.iter().position(|unit| *unit == place).expect("what is taken was there");
                    self.units.swap_remove(unit);
                }
            }
            Happening::Restore { nth } if !self.refunds.is_empty() => {
                let (lot, count) = self.refunds.swap_remove(nth % self.refunds.len());
                self.post(lot, Cause::Restored, count);
                self.units.extend((0..count).map(|_| lot));
                self.book_ends(lot, *now);
            }
            Happening::BookEnds => {
                for lot in 0..self.lots.len() {
                    self.book_ends(lot, *now);
                }
            }
            Happening::Wait { hours } => *now += TimeDelta::hours(hours),
            Happening::GiveBack { .. } | Happening::TakeBack { .. } | Happening::Restore { .. } => {}
        }
        Ok(())
    }

    fn check(&self, now: DateTime<Utc>) -> Result<(), TestCaseError> {
        let mut books: BTreeMap<Book, i64> = BTreeMap::new();
        let mut by_postings = vec![Figures::default(); self.lots.len()];
        for (place, lot) in self.lots.iter().enumerate() {
            let own = self.postings.iter().rev().filter(|(of, ..)| *of == place).map(|(_, debit, credit, count)| (*debit, *credit, *count));
            prop_assert_eq!(Figures::of_postings(own), Some(lot.figures), "in whatever order");
        }
        for (lot, debit, credit, count) in &self.postings {
            *books.entry(*debit).or_default() -= count;
            *books.entry(*credit).or_default() += count;
            by_postings[*lot] = by_postings[*lot].moved(*debit, *credit, *count).expect("no lot ever held less than nothing");
        }
        prop_assert_eq!(books.values().sum::<i64>(), 0, "debits are credits");
        prop_assert_eq!(books.get(&Book::Held).copied().unwrap_or(0), self.lots.iter().map(|lot| lot.figures.left()).sum::<i64>());
        for ((place, lot), figures) in self.lots.iter().enumerate().zip(by_postings) {
            prop_assert_eq!(lot.figures, figures);
            prop_assert!(figures.left() >= 0 && figures.spent >= 0 && figures.expired >= 0 && figures.revoked >= 0);
            prop_assert_eq!(lot.open(now) + lot.lapsed(now), figures.left());
            if !lot.is_over(now) {
                prop_assert_eq!(self.units.iter().filter(|unit| **unit == place).count() as i64, lot.open(now));
            }
        }
        for number in 0..2 {
            let of: Vec<Lot> = self.lots.iter().filter(|lot| lot.owner == owner(number)).copied().collect();
            let alive = self.units.iter().filter(|unit| self.lots[**unit].owner == owner(number) && !self.lots[**unit].is_over(now));
            prop_assert_eq!(Holdings::of(&of, now).balance, alive.count() as i64);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 256 } else { 2_000 }))]

    /// R39, R40: whatever happens, in whatever order.
    #[test]
    fn any_sequence_keeps_the_books_and_the_balance_by_every_route(happenings in prop::collection::vec(happening(), 1..60)) {
        let mut now = at("2026-01-01T00:00:00Z");
        let mut books = Books::default();
        for what in &happenings {
            books.happen(what, &mut now)?;
            books.check(now)?;
        }
    }
}
