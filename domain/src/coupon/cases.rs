//! Worked orders and cases from the field, with numbers worked by hand.
//!
//! Always true here: what is expected was computed on paper, not by the program.

use super::samples::*;
use super::usage::{check_add, check_added, merge};
use super::*;
use crate::catalog::{AppliesTo, PriceRow, Schedule, ScheduleMode, Tier, TierPrice};
use crate::id::CouponCodeId;
use crate::money::Percent;
use crate::order::OrderStatus;
use crate::pricing::{Buyer, Channel, Folded, LineAmounts, Market, Prices, Quote, RateTable, Rule, Totals, fold, quote};
use crate::refusal::{Code, Reason};
use crate::window::Window;

/// The lines of the two worked orders: 20.00 of provider A, 30.00 and 50.00 of provider B.
fn worked_lines() -> Vec<LineFacts<'static>> {
    vec![line(1, "20.00 USD"), LineFacts { contents: OF_B, ..line(2, "30.00 USD") }, LineFacts { contents: OF_B, ..line(3, "50.00 USD") }]
}

/// X: 5.00 off one item of provider A.
fn x() -> Held {
    Held::new(0x58, Draft { providers: vec![A], ..amount("5.00 USD", Scope::Item) })
}

/// Y: 15 % off the order.
fn y() -> Held {
    Held::new(0x59, percent("15", Scope::Order))
}

fn quoted(rows: &[PriceRow], schedule: Option<&Schedule>, quantity: u32) -> Quote {
    let (usd, none) = (currency("USD"), RateTable::default());
    let buyer = Buyer { currency: usd, groups: &[], channel: Channel::Cart };
    let market = Market { base_currency: usd, rates: &none };
    quote(&Prices { rows, schedule, ..Prices::default() }, &buyer, &market, quantity, now()).expect("a price")
}

fn total(replay: &Replay) -> i64 {
    left(replay).iter().sum()
}

/// R69, R70, R71: X then Y. Item 1 has X only: 20.00 - 5.00 = 15.00. Y takes 15 % of 80.00 = 12.00 off the others, 4.50 and 7.50:
/// 15.00 + 25.50 + 42.50 = 83.00.
#[test]
fn r69_r70_r71_worked_order_one_comes_to_83() {
    let replay = played("USD", &worked_lines(), &[x(), y()]);
    assert_eq!(left(&replay), [1500, 2550, 4250]);
    assert_eq!(total(&replay), 8300);
    assert_eq!(told(&replay), ["5.00", "12.00"]);
    assert_eq!(savings(&replay, 0), [(1, 500)]);
    assert_eq!(savings(&replay, 1), [(2, 450), (3, 750)]);
    assert_eq!(replay.lines.iter().map(|line| line.coupon).collect::<Vec<_>>(), [Some(0), Some(1), Some(1)]);
}

/// R69, R70, R71: Y then X. Y takes 15 % of 100.00 = 15.00 off all: 3.00, 4.50, 7.50; 17.00 + 25.50 + 42.50 = 85.00. X stays in the cart,
/// reaches no line, and is not used up.
#[test]
fn r69_r70_r71_worked_order_two_comes_to_85_and_does_not_use_up_x() {
    let coupons = [y(), x()];
    let replay = played("USD", &worked_lines(), &coupons);
    assert_eq!(left(&replay), [1700, 2550, 4250]);
    assert_eq!(total(&replay), 8500);
    assert_eq!(told(&replay), ["15.00", "REACHES_NO_LINE"]);
    assert_eq!(replay.coupons[1].status, CouponStatus::Started);
    assert_eq!(replay.coupons[1].reason(), Some(&Nothing::NoLine(Obstacle::Taken)));
    let used: Vec<_> = replay.coupons.iter().filter(|outcome| outcome.gives()).map(|outcome| outcome.code).collect();
    assert_eq!(used, [coupons[0].added().code]);
    assert_eq!(check_added(&replay.coupons[1]), Ok(()), "it may be added all the same");
}

/// c01: 10.00 off three lines of 25.00: 3.34 + 3.33 + 3.33.
#[test]
fn c01_an_amount_off_equal_lines_loses_no_cent() {
    let replay = played("USD", &lines("USD", &[2500, 2500, 2500]), &held([amount("10.00 USD", Scope::Order)]));
    assert_eq!(savings(&replay, 0), [(1, 334), (2, 333), (3, 333)]);
    assert_eq!(total(&replay), 6500);
}

/// c03, c37: one percentage of the sum, rounded once, half away from zero; then split.
#[test]
fn c03_c37_percentages_of_odd_amounts_are_rounded_once() {
    for (code, prices, off, discounts) in [
        ("USD", &[1999][..], "25", &[500][..]),                 // 499.75
        ("USD", &[4995], "10", &[500]),                         // 499.5
        ("JPY", &[985], "10", &[99]),                           // 98.5
        ("JPY", &[980], "15", &[147]),                          // 147
        ("KWD", &[1999], "12.5", &[250]),                       // 249.875
        ("KWD", &[1250, 3335], "0.1", &[1, 4]),                 // 4.585 -> 5: shares 1.36, 3.64
        ("USD", &[333, 333, 334], "10", &[33, 33, 34]),         // 100: shares 33.3, 33.3, 33.4
        ("USD", &[999, 999, 999], "33.3333", &[333, 333, 333]), // 998.999 -> 999
        ("USD", &[5, 5, 5, 5], "50", &[3, 3, 2, 2]),            // 10: shares 2.5 each
        ("JPY", &[100, 200, 300], "7", &[7, 14, 21]),           // 42
        ("JPY", &[1, 1, 1], "50", &[1, 1, 0]),                  // 1.5 -> 2: shares 0.67 each
    ] {
        let replay = played(code, &lines(code, prices), &held([percent(off, Scope::Order)]));
        let taken: Vec<i64> = replay.lines.iter().map(|line| line.discount.minor).collect();
        assert_eq!(taken, discounts, "{off} % of {prices:?} {code}");
    }
}

/// c05: a discount is of the price to pay. 10 seats at the sale price 24.00 are 240.00; 70 % of that is 168.00; 72.00 are left.
#[test]
fn c05_a_discount_is_of_the_price_to_pay() {
    let rows = [
        PriceRow { amount: money("40.00 USD"), group: None, window: Window::ALWAYS },
        PriceRow { amount: money("24.00 USD"), group: None, window: Window { starts_at: Some(at("2026-01-01T00:00:00Z")), ends_at: None } },
    ];
    let quote = quoted(&rows, None, 10);
    let line = LineFacts { quantity: 10, subtotal: Some(quote.subtotal), ..line(1, "0 JPY") };
    let replay = played("USD", &[line], &held([percent("70", Scope::Order)]));
    assert_eq!(told(&replay), ["168.00"]);
    assert_eq!(total(&replay), 7200);
}

/// c07, R67: when the last use is taken the coupon gives nothing more, and what the buyer was shown no longer holds.
#[test]
fn c07_the_last_use_is_taken_once() {
    let mut coupons = held([Draft { total_uses: Some(1), ..percent("10", Scope::Order) }]);
    let cart = lines("USD", &[10_000]);
    let before = played("USD", &cart, &coupons);
    assert_eq!(told(&before), ["10.00"]);
    let gave: Vec<CouponCodeId> = before.coupons.iter().filter(|coupon| coupon.gives()).map(|coupon| coupon.code).collect();
    assert_eq!(before.check_shown(gave.clone()), Ok(()));
    coupons[0].uses.coupon = 1;
    let after = played("USD", &cart, &coupons);
    assert_eq!((told(&after), total(&after)), (vec!["COUPON_EXHAUSTED".to_owned()], 10_000));
    assert_eq!(after.coupons[0].status, CouponStatus::Exhausted);
    let refusal = after.check_shown(gave).expect_err("it gave something before");
    assert_eq!(refusal.code(), Code::PriceChanged);
    assert!(refusal.to_string().contains("Every use of this coupon is taken."), "{refusal}");
}

/// c09: however a code is written, a cart takes it once.
#[test]
fn c09_a_cart_takes_a_code_once() {
    let code = CouponCodeId::new(uuid::Uuid::from_u128(1));
    assert_eq!(check_add(true, &[], Some(code)), Ok(code));
    assert_eq!(check_add(true, &[code], Some(code)), Err(AddRefusal::Repeated));
    assert_eq!(check_add(true, &[], None), Err(AddRefusal::Unknown));
    assert_eq!(check_add(false, &[], Some(code)), Err(AddRefusal::Off));
    let coupon = Held::new(1, Draft { uses_per_customer: None, ..percent("10", Scope::Item) });
    let replay = played("USD", &lines("USD", &[1000, 1000]), &[coupon.clone(), coupon]);
    assert_eq!(told(&replay), ["1.00", "COUPON_REPEATED"]);
}

/// c13: shown 80.00 with a coupon that is switched off then: the fresh cart costs 100.00 and says why, and placing is refused.
#[test]
fn c13_a_coupon_that_gave_something_and_no_longer_does_stops_placing() {
    let cart = lines("USD", &[10_000]);
    let mut coupons = held([percent("20", Scope::Order)]);
    let shown = played("USD", &cart, &coupons);
    assert_eq!(total(&shown), 8000);
    coupons[0].active = false;
    let fresh = played("USD", &cart, &coupons);
    assert_eq!((total(&fresh), told(&fresh)), (10_000, vec!["COUPON_INACTIVE".to_owned()]));
    assert_eq!(fresh.check_shown([shown.coupons[0].code]).map_err(|refusal| refusal.code()), Err(Code::PriceChanged));
    assert_eq!(played("USD", &cart, &[]).check_shown([shown.coupons[0].code]), Err(replay::NoLongerGives::Gone));
}

/// c15: a payment that is told three times spends a use once, and a refund leaves it spent.
#[test]
fn c15_a_use_is_counted_once_and_stays_spent() {
    use OrderStatus::{Cancelled, Fulfilled, Lapsed, Paid, PartiallyRefunded, PendingPayment, Refunded};
    use usage::CountChange::{Free, Keep, Take};
    for (from, to, change) in [
        (PendingPayment, Paid, Keep),
        (Paid, Paid, Keep),
        (Paid, Fulfilled, Keep),
        (Fulfilled, PartiallyRefunded, Keep),
        (PartiallyRefunded, Refunded, Keep),
        (PendingPayment, Cancelled, Free),
        (PendingPayment, Lapsed, Free),
        // Late money: the use may belong to somebody else by now.
        (Lapsed, Paid, Take),
    ] {
        assert_eq!(UseState::of(from).change(UseState::of(to)), change, "{from} to {to}");
    }
    assert_eq!(UseState::of(Refunded), UseState::Spent);
}

/// c39, R75: 10.00 USD off is 9.20 EUR, 1514 yen (1513.7) and nothing in CHF, which says why; a percentage needs no rate.
#[test]
fn c39_r75_an_amount_is_converted_once() {
    let coupons = held([amount("10.00 USD", Scope::Order)]);
    for (code, price, told_of, left_over) in
        [("EUR", 5000, "9.20", 4080), ("JPY", 5000, "1514", 3486), ("USD", 5000, "10.00", 4000), ("CHF", 5000, "NO_RATE", 5000)]
    {
        let replay = played(code, &lines(code, &[price]), &coupons);
        assert_eq!((told(&replay), total(&replay)), (vec![told_of.to_owned()], left_over), "{code}");
    }
    let kept = played("EUR", &lines("EUR", &[5000]), &coupons).rates_used();
    assert_eq!(
        kept.iter().map(|rate| (rate.base, rate.quote, rate.rate.to_string())).collect::<Vec<_>>(),
        [(currency("USD"), currency("EUR"), "0.92".to_owned())]
    );
    let replay = played("CHF", &lines("CHF", &[5000]), &held([percent("10", Scope::Order)]));
    assert_eq!((told(&replay), replay.rates_used()), (vec!["5.00".to_owned()], Vec::new()));
    let reason = played("CHF", &lines("CHF", &[5000]), &coupons).coupons[0].reason().map(ToString::to_string);
    assert_eq!(reason.as_deref(), Some("This coupon is in USD, and there is no exchange rate from USD to CHF at present."));
}

/// c39, R75: converted once, then split: 10.00 USD are 3.077 KWD, over three equal lines 1.026, 1.026 and 1.025.
#[test]
fn c39_converted_amounts_are_split_in_the_carts_currency() {
    let replay = played("KWD", &lines("KWD", &[5000, 5000, 5000]), &held([amount("10.00 USD", Scope::Order)]));
    assert_eq!(savings(&replay, 0), [(1, 1026), (2, 1026), (3, 1025)]);
}

/// c41: an account's coupons come first, the guest's behind them, and none twice.
#[test]
fn c41_merging_carts_keeps_the_order_of_coupons_and_doubles_none() {
    let code = |number| CouponCodeId::new(uuid::Uuid::from_u128(number));
    assert_eq!(merge(&[code(1), code(2)], &[code(3), code(1)]), [code(1), code(2), code(3)]);
    assert_eq!(merge(&[code(1), code(2), code(3)], &[code(3), code(1)]), [code(1), code(2), code(3)]);
    assert_eq!(merge(&[], &[code(3), code(1)]), [code(3), code(1)]);
}

/// c51, R73: 100 % and an amount above the price both leave zero, and saved is what was there.
#[test]
fn c51_r73_a_coupon_above_the_amount_due_brings_it_to_zero() {
    for draft in [percent("100", Scope::Order), amount("60.00 USD", Scope::Order), amount("60.00 USD", Scope::Item)] {
        let replay = played("USD", &lines("USD", &[4900]), &held([draft]));
        assert_eq!((total(&replay), told(&replay)), (0, vec!["49.00".to_owned()]));
    }
    // No remainder goes on to other lines.
    let replay = played("USD", &lines("USD", &[4900, 100]), &held([amount("60.00 USD", Scope::Item)]));
    assert_eq!(left(&replay), [0, 100]);
}

/// c53, R77: 100.00 off from 100.00 on, by what the lines cost before any coupon.
#[test]
fn c53_r77_the_minimum_looks_at_prices_before_any_coupon() {
    let draft = Draft { minimum_purchase: Some(money("100.00 USD")), ..amount("100.00 USD", Scope::Order) };
    let coupons = held([draft]);
    for (price, told_of, left_over) in [(9_999, "COUPON_MINIMUM", 9_999), (10_000, "100.00", 0), (12_500, "100.00", 2_500)] {
        let replay = played("USD", &lines("USD", &[price]), &coupons);
        assert_eq!((told(&replay), total(&replay)), (vec![told_of.to_owned()], left_over), "{price}");
        assert_eq!(check_added(&replay.coupons[0]).is_err(), told_of == "COUPON_MINIMUM");
    }
    // From 125.00 a line is dropped to 75.00: it stops counting at once.
    assert_eq!(told(&played("USD", &lines("USD", &[7_500, 5_000]), &coupons)), ["100.00"]);
    let below = played("USD", &lines("USD", &[7_500]), &coupons);
    assert_eq!((told(&below), total(&below)), (vec!["COUPON_MINIMUM".to_owned()], 7_500));
    assert_eq!(
        below.coupons[0].reason().map(ToString::to_string).as_deref(),
        Some("This coupon works from 100.00 USD on; the lines that it is for come to 75.00 USD before coupons.")
    );
    // Another coupon before it takes nothing from the minimum: 60.00 of 120.00 are left, and 100.00 are met by the 120.00.
    let minimum = Draft { minimum_purchase: Some(money("100.00 USD")), ..amount("30.00 USD", Scope::Order) };
    let replay = played("USD", &lines("USD", &[6_000, 6_000]), &held([percent("50", Scope::Item), minimum]));
    assert_eq!((told(&replay), left(&replay)), (vec!["30.00".to_owned(), "30.00".to_owned()], vec![3_000, 3_000]));
}

/// The amounts of lines and cart that follow from a replay: with prices that include tax, and with tax on top.
#[test]
fn savings_feed_the_amounts_of_lines_and_cart() {
    let replay = played("USD", &worked_lines(), &[x(), y()]);
    let amounts = |include| {
        let rate = Percent::parse("20").expect("a percentage");
        let lines = replay.lines.iter().map(|line| LineAmounts::new(line.subtotal.expect("a price"), line.discount, rate, include));
        let lines: Vec<LineAmounts> = lines.collect::<Result<_, _>>().expect("amounts");
        Totals::of(currency("USD"), &lines).expect("sums")
    };
    let included = amounts(true);
    assert_eq!((included.subtotal, included.discount, included.total), (money("100.00 USD"), money("17.00 USD"), money("83.00 USD")));
    let on_top = amounts(false);
    assert_eq!((on_top.net, on_top.tax, on_top.total), (money("83.00 USD"), money("16.60 USD"), money("99.60 USD")));
}

/// An item is a line with its whole quantity: a percentage of its subtotal, an amount once.
#[test]
fn an_item_is_a_line_with_its_whole_quantity() {
    let cart = [LineFacts { quantity: 3, subtotal: Some(money("60.00 USD")), ..line(1, "0 JPY") }, line(2, "50.00 USD")];
    assert_eq!(savings(&played("USD", &cart, &held([percent("10", Scope::Item)])), 0), [(1, 600)]);
    assert_eq!(savings(&played("USD", &cart, &held([amount("5.00 USD", Scope::Item)])), 0), [(1, 500)]);
}

/// ITEM: where it saves most; tie, the dearest; tie, the first added. Prices, coupon, line taken.
#[test]
fn one_item_is_the_one_where_the_coupon_saves_most() {
    for (code, prices, draft, taken) in [
        ("USD", &[1000, 3000, 2000][..], percent("10", Scope::Item), (2, 300)),
        // 50 % of 1 yen and of 2 yen is 1 yen each: the dearest.
        ("JPY", &[1, 2], percent("50", Scope::Item), (2, 1)),
        // 5.00 saves 5.00 on two of them: the dearer one.
        ("USD", &[300, 700, 900], amount("5.00 USD", Scope::Item), (3, 500)),
        ("USD", &[900, 700, 300], amount("5.00 USD", Scope::Item), (1, 500)),
        // The same price: the first.
        ("USD", &[700, 900, 900], amount("5.00 USD", Scope::Item), (2, 500)),
        ("KWD", &[900, 900, 900], percent("10", Scope::Item), (1, 90)),
        // Never below zero.
        ("USD", &[300, 200], amount("5.00 USD", Scope::Item), (1, 300)),
    ] {
        assert_eq!(savings(&played(code, &lines(code, prices), &held([draft])), 0), [taken], "{prices:?} {code}");
    }
}

/// Lines of price 0 are reached by none and never get a leftover cent.
#[test]
fn free_lines_are_reached_by_no_coupon() {
    let cart = lines("USD", &[0, 1000, 0, 1000, 1000]);
    let replay = played("USD", &cart, &held([amount("10.00 USD", Scope::Order), percent("50", Scope::Item)]));
    assert_eq!(left(&replay), [0, 666, 0, 667, 667]);
    assert_eq!((replay.lines[0].coupon, replay.lines[2].coupon), (None, None));
    assert_eq!(told(&replay), ["10.00", "REACHES_NO_LINE"]);
    let free = played("USD", &lines("USD", &[0]), &held([percent("50", Scope::Order), pack(1, "5.00 USD", 10)]));
    assert_eq!(told(&free), ["REACHES_NO_LINE", "REACHES_NO_LINE"]);
    assert_eq!(free.coupons[0].reason(), Some(&Nothing::NoLine(Obstacle::Free)));
}

/// What would round to nothing takes no line, so that it stands in nobody's way.
#[test]
fn a_coupon_that_saves_less_than_a_coin_takes_no_line() {
    let replay = played("JPY", &lines("JPY", &[49]), &held([percent("1", Scope::Order), percent("10", Scope::Order)]));
    assert_eq!((told(&replay), left(&replay)), (vec!["COUPON_TOO_SMALL".to_owned(), "5".to_owned()], vec![44]));
    // 0.01 USD are 1.5137 yen.
    let replay = played("JPY", &lines("JPY", &[49]), &held([amount("0.01 USD", Scope::Order)]));
    assert_eq!(told(&replay), ["2"]);
}

/// R69: coupons apply in the order in which they were added, and each line takes the first that reaches it.
#[test]
fn r69_r70_the_order_of_adding_decides() {
    let cart = lines("USD", &[2000, 1000]);
    let item = percent("50", Scope::Item);
    // The first takes the dearest line, the second the other one, the third none.
    let replay = played("USD", &cart, &held([item.clone(), item.clone(), item.clone()]));
    assert_eq!(
        (left(&replay), told(&replay)),
        (vec![1000, 500], vec!["10.00".to_owned(), "5.00".to_owned(), "REACHES_NO_LINE".to_owned()])
    );
    let ten = percent("10", Scope::Order);
    assert_eq!(left(&played("USD", &cart, &held([item.clone(), ten.clone()]))), [1000, 900]);
    assert_eq!(left(&played("USD", &cart, &held([ten, item]))), [1800, 900]);
}

/// R32, R33: a pack stands in place of unit price and credits, times the quantity; that is no saving.
#[test]
fn r32_r33_a_pack_replaces_price_and_credits() {
    let cart = [LineFacts { quantity: 3, credits: 10, ..line(1, "30.00 USD") }, line(2, "20.00 USD")];
    let coupons = held([pack(1, "40.00 USD", 50)]);
    let replay = played("USD", &cart, &coupons);
    assert_eq!(told(&replay), ["PACK"]);
    let taken = replay.lines[0];
    assert_eq!((taken.subtotal, taken.discount, taken.credits), (Some(money("120.00 USD")), money("0 USD"), 150));
    assert_eq!(taken.pack.map(|pack| (pack.unit_price, pack.credits_each, pack.rate)), Some((money("40.00 USD"), 50, None)));
    assert_eq!((replay.lines[1].coupon, replay.lines[1].credits), (None, 0));
    // In another currency: 40.00 USD are 6055 yen (6054.8), three of them 18165.
    let cart = [LineFacts { quantity: 3, credits: 10, ..line(1, "4000 JPY") }];
    let replay = played("JPY", &cart, &coupons);
    assert_eq!(replay.lines[0].subtotal, Some(money("18165 JPY")));
    assert_eq!(replay.rates_used().len(), 1);
    let cart = [LineFacts { credits: 10, ..line(1, "30.00 CHF") }];
    let replay = played("CHF", &cart, &coupons);
    assert_eq!((told(&replay), left(&replay), replay.lines[0].credits), (vec!["NO_RATE".to_owned()], vec![3000], 10));
}

/// R32: packs come before discounts, in whatever order they were added, and what a pack took no discount touches.
#[test]
fn r32_a_pack_comes_before_discounts_and_no_discount_touches_it() {
    let cart = [line(1, "30.00 USD"), line(2, "20.00 USD")];
    for drafts in [[pack(1, "40.00 USD", 50), percent("10", Scope::Order)], [percent("10", Scope::Order), pack(1, "40.00 USD", 50)]] {
        let replay = played("USD", &cart, &held(drafts));
        assert_eq!(left(&replay), [4000, 1800]);
    }
    // Of several lines of the product, scope ITEM takes the dearest, ORDER all of them; a second pack takes what is left.
    let cart = [line(1, "30.00 USD"), LineFacts { quantity: 2, product: product(1), ..line(2, "60.00 USD") }];
    assert_eq!(left(&played("USD", &cart, &held([pack(1, "10.00 USD", 5)]))), [3000, 2000]);
    let all = Draft { scope: Scope::Order, ..pack(1, "10.00 USD", 5) };
    assert_eq!(left(&played("USD", &cart, &held([all]))), [1000, 2000]);
    assert_eq!(left(&played("USD", &cart, &held([pack(1, "10.00 USD", 5), pack(1, "25.00 USD", 5)]))), [2500, 2000]);
}

/// R32, R79: company, list and schedule first, then the pack, then discounts: each is a step that the price is computed from.
#[test]
fn r32_r79_packs_and_discounts_are_steps_of_the_price() {
    let rows = [PriceRow { amount: money("40.00 USD"), group: None, window: Window::ALWAYS }];
    let off = |percent: &str| TierPrice::PercentOff(Percent::parse(percent).expect("a percentage"));
    let tiers = vec![Tier { min_quantity: 1, price: off("0") }, Tier { min_quantity: 2, price: off("50") }];
    for (mode, subtotal, steps) in [(ScheduleMode::Slab, 6000, 2), (ScheduleMode::Graduated, 8000, 3)] {
        let schedule = Schedule::new(mode, AppliesTo::All, tiers.clone()).expect("a schedule");
        let found = quoted(&rows, Some(&schedule), 3);
        assert_eq!((found.subtotal.minor, found.steps.len()), (subtotal, steps));
        let line = LineFacts { quantity: 3, subtotal: Some(found.subtotal), ..line(1, "0 JPY") };
        let replay = played("USD", &[line], &held([pack(1, "25.00 USD", 10)]));
        let taken = replay.lines[0].pack.expect("a pack");
        let packed = found.clone().packed(taken.price, taken.rate).expect("a price");
        assert_eq!((packed.unit_price, packed.subtotal), (Some(taken.unit_price), taken.subtotal));
        assert_eq!(packed.subtotal, money("75.00 USD"));
        assert_eq!(fold(&packed.steps), Ok(Folded::Unit(money("25.00 USD"))));
        let discounted = found.clone().discounted(money("7.50 USD"));
        assert_eq!((discounted.subtotal, fold(&discounted.steps)), (found.subtotal, fold(&found.steps)));
        let last = discounted.steps.last().expect("a step");
        assert_eq!((last.rule, last.amount, last.label()), (Rule::Coupon, money("7.50 USD"), "Coupon"));
        assert_eq!(found.clone().discounted(money("0 USD")), found);
        let kept = serde_json::to_string(&packed).expect("JSON");
        assert_eq!(serde_json::from_str::<Quote>(&kept).expect("a quote"), packed);
    }
}

/// R64: a discount never touches a product that sells credits, and no coupon one that takes none.
#[test]
fn r64_credits_are_not_discounted_and_some_products_take_no_coupon() {
    let credits = LineFacts { credits: 100, ..line(1, "30.00 USD") };
    let closed = LineFacts { couponable: false, ..line(2, "30.00 USD") };
    let replay = played("USD", &[credits, closed, line(3, "10.00 USD")], &held([percent("10", Scope::Order)]));
    assert_eq!(left(&replay), [3000, 3000, 900]);
    for (cart, draft, obstacle) in [
        (credits, percent("10", Scope::Item), Obstacle::SellsCredits),
        (closed, percent("10", Scope::Item), Obstacle::NotCouponable),
        (closed, pack(2, "1.00 USD", 1), Obstacle::NotCouponable),
        (line(3, "1.00 USD"), pack(2, "1.00 USD", 1), Obstacle::OtherPackProduct),
    ] {
        let replay = played("USD", &[cart], &held([draft]));
        assert_eq!(replay.coupons[0].reason(), Some(&Nothing::NoLine(obstacle)));
    }
}

/// R68: a shop that takes no coupons says so for each one in a cart.
#[test]
fn r68_coupons_can_be_off_for_the_whole_shop() {
    let (coupons, rates) = (held([percent("10", Scope::Order)]), rates());
    let added: Vec<Added<'_>> = coupons.iter().map(Held::added).collect();
    let off = Circumstances { enabled: false, ..around("USD", &rates) };
    let replay = replay(&lines("USD", &[1000]), &added, &off);
    assert_eq!((told(&replay), left(&replay)), (vec!["COUPONS_OFF".to_owned()], vec![1000]));
    assert!(check_added(&replay.coupons[0]).is_err());
}

/// Lines without a price, or in a currency that is not the cart's, are left alone; amounts that do not fit are told.
#[test]
fn lines_that_cannot_be_reckoned_with_are_left_alone() {
    let cart = [LineFacts { subtotal: None, ..line(1, "0 JPY") }, line(2, "10.00 EUR"), line(3, "10.00 USD")];
    let replay = played("USD", &cart, &held([percent("10", Scope::Order)]));
    assert_eq!((told(&replay), left(&replay)), (vec!["1.00".to_owned()], vec![0, 1000, 900]));
    assert_eq!(told(&played("USD", &[], &held([percent("10", Scope::Order)]))), ["REACHES_NO_LINE"]);
    let large = lines("USD", &[i64::MAX, i64::MAX]);
    assert_eq!(told(&played("USD", &large, &held([percent("10", Scope::Order)]))), ["TOO_LARGE"]);
    let one = lines("USD", &[i64::MAX]);
    assert_eq!(left(&played("USD", &one, &held([percent("100", Scope::Order)]))), [0]);
}
