//! Credits by numbers worked out by hand.

use super::*;

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant of the tests")
}

pub(super) fn product(number: u128) -> ProductId {
    ProductId::new(Uuid::from_u128(number))
}

const ANN: Owner = Owner::Account(AccountId::new(Uuid::from_u128(1)));
const ACME: Owner = Owner::Company(CompanyId::new(Uuid::from_u128(2)));

/// Lot `number` of Ann's, granted on 1 January and free.
fn lot(number: u128, count: i64, ends: Option<&str>) -> Lot {
    Lot {
        id: LotId::new(Uuid::from_u128(number)),
        owner: ANN,
        product: None,
        tied: None,
        figures: Figures::granted(count),
        granted_at: at("2026-01-01T00:00:00Z"),
        expires_at: ends.map(|day| at(&format!("2026-{day}T00:00:00Z"))),
    }
}

/// What lots with these numbers pay of a cost, Ann's own before Acme's.
fn drawn(lots: &[Lot], cost: i64, acme: Option<i64>, now: &str) -> Result<Vec<(u128, i64)>, (i64, i64)> {
    let purses = [Purse { owner: ANN, limit: None }, Purse { owner: ACME, limit: acme }];
    let price = Price { cost, products: &[product(7)], purses: &purses };
    let draws = draw(lots, &price, at(now)).map_err(|short| (short.needed, short.held))?;
    Ok(draws.into_iter().map(|draw| (draw.lot.uuid().as_u128(), draw.count)).collect())
}

/// C43: 500 until 31 January, 1000 without an end, 300 until 10 January; 600 are spent on 5 January.
#[test]
fn c43_what_ends_first_is_spent_first_and_counts_for_nothing_from_its_end_on() {
    let mut lots = [lot(1, 500, Some("01-31")), lot(2, 1000, None), lot(3, 300, Some("01-10"))];
    assert_eq!(drawn(&lots, 600, None, "2026-01-05T00:00:00Z"), Ok(vec![(3, 300), (1, 300)]));
    for (place, count) in [(2, 300), (0, 300)] {
        lots[place].figures = lots[place].figures.moved(Book::Held, Book::Spent, count).expect("so many are left");
    }
    assert_eq!(lots.map(|lot| lot.figures.left()), [200, 1000, 0]);
    let holdings = |now: &str| Holdings::of(&lots, at(now));
    assert_eq!(holdings("2026-01-05T00:00:00Z"), Holdings { balance: 1200, next_expiry: Some((at("2026-01-31T00:00:00Z"), 200)) });
    assert_eq!(holdings("2026-01-30T23:59:59.999999Z").balance, 1200);
    assert_eq!(holdings("2026-01-31T00:00:00Z").balance, 1000, "nothing was booked, and still it is over");
    assert_eq!(holdings("2026-02-01T00:00:00Z"), Holdings { balance: 1000, next_expiry: None });
    assert_eq!(drawn(&lots, 1001, None, "2026-02-01T00:00:00Z"), Err((1001, 1000)));
}

/// R39: equal ends, tied ones first, then the oldest; a tied lot pays for its product's courses only.
#[test]
fn r39_of_equal_ends_tied_lots_go_first_and_then_the_oldest() {
    let older = |lot: Lot| Lot { granted_at: at("2025-12-31T00:00:00Z"), ..lot };
    let tied = |number: u128, lot: Lot| Lot { tied: Some(product(number)), ..lot };
    let lots = [
        older(lot(1, 10, None)),
        lot(2, 10, None),
        tied(7, lot(3, 10, None)),
        tied(8, lot(4, 10, Some("01-10"))),
        lot(5, 10, Some("03-01")),
        tied(7, lot(6, 10, Some("03-01"))),
    ];
    let now = "2026-01-05T00:00:00Z";
    assert_eq!(drawn(&lots, 50, None, now), Ok(vec![(6, 10), (5, 10), (3, 10), (1, 10), (2, 10)]), "4 is for another product");
    assert_eq!(drawn(&lots, 51, None, now), Err((51, 50)));
    assert_eq!(drawn(&lots, 11, None, now), Ok(vec![(6, 10), (5, 1)]));
    assert_eq!(Holdings::of(&lots, at(now)), Holdings { balance: 60, next_expiry: Some((at("2026-01-10T00:00:00Z"), 10)) });
}

/// A learner's own lots come first, even those without an end; of the company's at most what the learner may still spend.
#[test]
fn r39_own_lots_go_before_the_companys_and_the_companys_up_to_the_limit() {
    let lots = [Lot { owner: ACME, ..lot(1, 100, Some("01-10")) }, lot(2, 5, None)];
    let now = "2026-01-05T00:00:00Z";
    for (cost, limit, expected) in [
        (5, Some(10), Ok(vec![(2, 5)])),
        (15, Some(10), Ok(vec![(2, 5), (1, 10)])),
        (16, Some(10), Err((16, 15))),
        (105, None, Ok(vec![(2, 5), (1, 100)])),
        (6, Some(-3), Err((6, 5))),
    ] {
        assert_eq!(drawn(&lots, cost, limit, now), expected, "{cost} {limit:?}");
    }
}

/// R32, SPEC 7: of 100 credits 30 were spent; a refund takes the other 70 and says so, and nothing a second time.
#[test]
fn a_refund_takes_what_is_unspent_and_says_what_was_not() {
    let spent = |lot: Lot, count| Lot { figures: lot.figures.moved(Book::Held, Book::Spent, count).expect("so many are left"), ..lot };
    let (open, over) = (spent(lot(1, 100, None), 30), spent(lot(2, 100, Some("01-10")), 30));
    let now = at("2026-01-10T00:00:00Z");
    let back = |taken, spent, expired| TakeBack { lapsed: 0, taken, spent, expired };
    assert_eq!(take_back(&open, None, now), back(70, 30, 0));
    assert_eq!(take_back(&open, Some(50), now), back(50, 0, 0));
    assert_eq!(take_back(&open, Some(80), now), back(70, 10, 0));
    assert_eq!(take_back(&open, Some(-1), now), back(0, 0, 0));
    // Whether or not its end is in the books: 70 ended, 30 were spent.
    assert_eq!(take_back(&over, None, now), TakeBack { lapsed: 70, ..back(0, 30, 70) });
    let booked = Lot { figures: over.figures.moved(Book::Held, Book::Expired, 70).expect("so many are left"), ..over };
    assert_eq!(take_back(&booked, None, now), back(0, 30, 70));
    let refunded = Lot { figures: open.figures.moved(Book::Held, Book::Revoked, 70).expect("so many are left"), ..open };
    assert_eq!(take_back(&refunded, None, now), back(0, 30, 0));
}

#[test]
fn nothing_leaves_a_book_that_does_not_hold_it() {
    let figures = Figures { count: 10, spent: 4, expired: 1, revoked: 2 };
    assert_eq!(figures.left(), 3);
    for (debit, credit, count, expected) in [
        (Book::Held, Book::Spent, 3, Some(0)),
        (Book::Held, Book::Spent, 4, None),
        (Book::Held, Book::Expired, 4, None),
        (Book::Held, Book::Revoked, 4, None),
        (Book::Spent, Book::Held, 4, Some(7)),
        (Book::Spent, Book::Held, 5, None),
        (Book::Issued, Book::Held, 5, Some(8)),
        (Book::Issued, Book::Held, i64::MAX, None),
        (Book::Held, Book::Spent, 0, None),
        (Book::Held, Book::Spent, -1, None),
        (Book::Held, Book::Issued, 1, None),
        (Book::Expired, Book::Held, 1, None),
        (Book::Held, Book::Held, 1, None),
    ] {
        assert_eq!(figures.moved(debit, credit, count).map(Figures::left), expected, "{count} from {debit} to {credit}");
    }
    for cause in Cause::ALL {
        let (debit, credit) = cause.books();
        assert!(debit != credit && (debit == Book::Held) != (credit == Book::Held), "{cause}: one side is what somebody holds");
    }
}
