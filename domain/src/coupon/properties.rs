//! What holds for every cart and every list of coupons.

use proptest::prelude::*;
use uuid::Uuid;

use super::replay::LineFacts;
use super::samples::*;
use super::*;
use crate::catalog::CourseKind;
use crate::id::OrderLineId;
use crate::money::{Money, Percent};
use crate::order::OrderStatus;
use crate::pricing::LineAmounts;
use crate::refund::{Ask, LineAsk, MoneyFacts, Part, RefundableLine, plan};

const NONE: &[Content] = &[];

fn any_line(code: &'static str) -> impl Strategy<Value = LineFacts<'static>> {
    let price = prop_oneof![2 => 1_i64..200, 2 => 1_i64..100_000, 1 => Just(0_i64), 1 => 1_i64..1_000_000_000_000];
    let contents = prop::sample::select(vec![OF_A, OF_B, NONE]);
    let credits = prop_oneof![5 => Just(0_u32), 1 => 1_u32..100];
    (price, 1_u32..20, contents, credits, prop::bool::weighted(0.9), 1_u128..6, prop::bool::weighted(0.95)).prop_map(
        move |(minor, quantity, contents, credits, couponable, of, priced)| LineFacts {
            product: product(of),
            quantity,
            subtotal: priced.then(|| Money::new(minor, currency(code))),
            credits,
            couponable,
            product_code: if of % 2 == 0 { Some("FX") } else { None },
            contents,
            ..line(1, "0 JPY")
        },
    )
}

fn any_cart(code: &'static str) -> impl Strategy<Value = Vec<LineFacts<'static>>> {
    prop::collection::vec(any_line(code), 0..12).prop_map(|lines| {
        lines
            .into_iter()
            .zip(1..)
            .map(|(facts, number)| LineFacts { id: crate::id::CartLineId::new(Uuid::from_u128(number)), ..facts })
            .collect()
    })
}

/// A discount of any effect, scope and limits.
fn any_discount() -> impl Strategy<Value = Draft> {
    let effect = prop_oneof![
        (1_i64..=1_000_000).prop_map(|units| percent(&crate::money::Percent::from_units(units).expect("percent").to_string(), Scope::Item)),
        (1_i64..20_000).prop_map(|minor| Draft { amount: Some(Money::new(minor, currency("USD"))), ..Draft::new(CouponKind::Discount) }),
        (1_i64..20_000).prop_map(|minor| Draft { amount: Some(Money::new(minor, currency("JPY"))), ..Draft::new(CouponKind::Discount) }),
    ];
    (effect, any::<bool>(), 0_u8..8, 0_i64..50_000).prop_map(|(draft, order, limit, minimum)| {
        let scope = if order { Scope::Order } else { Scope::Item };
        let mut draft = Draft { scope, ..draft };
        match limit {
            0 => draft.providers = vec![A],
            1 => draft.products = vec![product(1), product(2)],
            2 => draft.product_codes = vec!["fx".to_owned()],
            3 => draft.kinds = vec![CourseKind::Course],
            4 => draft.minimum_purchase = Some(Money::new(minimum, draft.amount.map_or(currency("USD"), |amount| amount.currency))),
            5 => draft.currencies = vec![currency("USD"), currency("JPY")],
            _ => {}
        }
        draft
    })
}

fn any_coupon() -> impl Strategy<Value = Draft> {
    let any_pack = (1_u128..6, 0_i64..50_000, 1_i64..1_000, any::<bool>()).prop_map(|(of, minor, credits, order)| Draft {
        price: Some(Money::new(minor, currency("USD"))),
        scope: if order { Scope::Order } else { Scope::Item },
        ..pack(of, "0 USD", credits)
    });
    prop_oneof![4 => any_discount(), 1 => any_pack]
}

fn any_code() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["USD", "EUR", "JPY", "KWD", "CHF"])
}

/// A currency, a cart in it, and coupons.
fn any_case() -> impl Strategy<Value = (&'static str, Vec<LineFacts<'static>>, Vec<Draft>)> {
    any_code().prop_flat_map(|code| (Just(code), any_cart(code), prop::collection::vec(any_coupon(), 0..8)))
}

fn discount(replay: &Replay) -> i64 {
    replay.lines.iter().map(|line| line.discount.minor).sum()
}

/// What one item would be by the letter of the rule: of the free lines, most saved, then dearest, then first.
fn by_the_letter(free: &[(usize, i64)], saved: impl Fn(i64) -> i64) -> Option<usize> {
    let mut best: Option<(usize, i64)> = None;
    for (place, price) in free {
        let better = best.is_none_or(|(_, other)| (saved(*price), *price) > (saved(other), other));
        if better {
            best = Some((*place, *price));
        }
    }
    best.map(|(place, _)| place)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// R70, R73: parts add up to the whole, no line below zero, one coupon a line, one currency, free lines untouched.
    #[test]
    fn r70_r73_parts_add_up_and_no_line_falls_below_zero((code, cart, drafts) in any_case()) {
        let coupons = held(drafts);
        let replay = played(code, &cart, &coupons);
        prop_assert_eq!(replay.lines.len(), cart.len());
        prop_assert_eq!(replay.coupons.len(), coupons.len());
        let mut saved = vec![0_i64; cart.len()];
        for (place, outcome) in replay.coupons.iter().enumerate() {
            match &outcome.given {
                Given::Savings { total, lines } => {
                    prop_assert_eq!(total.currency, currency(code));
                    prop_assert!(total.minor > 0);
                    prop_assert_eq!(lines.iter().map(|saving| saving.amount.minor).sum::<i64>(), total.minor);
                    for saving in lines {
                        prop_assert!(saving.amount.minor > 0 && saving.amount.currency == currency(code));
                        let index = replay.lines.iter().position(|line| line.id == saving.line).expect("a line of the cart");
                        prop_assert_eq!(replay.lines[index].coupon, Some(place));
                        saved[index] += saving.amount.minor;
                    }
                }
                Given::Pack { lines } => prop_assert!(!lines.is_empty()),
                Given::Nothing(_) => prop_assert!(replay.lines.iter().all(|line| line.coupon != Some(place))),
            }
        }
        for ((facts, outcome), saved) in cart.iter().zip(&replay.lines).zip(saved) {
            prop_assert_eq!(outcome.discount.minor, saved);
            prop_assert_eq!(outcome.discount.currency, currency(code));
            match outcome.subtotal {
                Some(price) => {
                    let amounts = LineAmounts::new(price, outcome.discount, Percent::default(), true);
                    prop_assert!(amounts.is_ok_and(|amounts| amounts.total.minor >= 0 && amounts.total.currency == currency(code)));
                }
                None => prop_assert!(outcome.coupon.is_none()),
            }
            if facts.subtotal.is_none_or(Money::is_zero) || !facts.couponable {
                prop_assert!(outcome.coupon.is_none() && outcome.subtotal == facts.subtotal);
            }
            if outcome.pack.is_none() {
                prop_assert_eq!(outcome.subtotal, facts.subtotal);
                prop_assert!(facts.credits == 0 || outcome.discount.is_zero());
                prop_assert_eq!(outcome.credits, u64::from(facts.credits) * u64::from(facts.quantity));
            } else {
                prop_assert!(outcome.discount.is_zero());
            }
        }
    }

    /// R69: replaying the same list gives the same result.
    #[test]
    fn r69_replaying_the_same_list_gives_the_same((code, cart, drafts) in any_case()) {
        let coupons = held(drafts);
        prop_assert_eq!(played(code, &cart, &coupons), played(code, &cart, &coupons));
    }

    /// R69: a discount that is added last never raises the total, and takes nothing from those before it.
    #[test]
    fn r69_a_discount_added_last_never_raises_the_total((code, cart, drafts) in any_case(), last in any_discount()) {
        let before = held(drafts.clone());
        let after = held(drafts.into_iter().chain([last]));
        let (before, after) = (played(code, &cart, &before), played(code, &cart, &after));
        prop_assert!(left(&after).iter().sum::<i64>() <= left(&before).iter().sum::<i64>());
        prop_assert!(left(&after).iter().zip(left(&before)).all(|(after, before)| *after <= before));
        prop_assert_eq!(&after.coupons[..before.coupons.len()], &before.coupons[..]);
    }

    /// A coupon that can never work changes nothing, wherever in the list it stands.
    #[test]
    fn a_coupon_that_can_never_work_changes_nothing((code, cart, drafts) in any_case(), place in 0_usize..8, how in 0_u8..6) {
        let without = held(drafts);
        let place = place.min(without.len());
        let mut idle = Held::new(99, percent("50", Scope::Order));
        match how {
            0 => idle.void = true,
            1 => idle.active = false,
            2 => idle.rules.window.ends_at = Some(now()),
            3 => (idle.rules.total_uses, idle.uses.coupon) = (Some(3), 3),
            4 => idle.rules.limits.products = vec![product(77)].into(),
            _ => idle.rules.limits.companies = vec![crate::id::CompanyId::new(Uuid::from_u128(5))].into(),
        }
        let mut with = without.clone();
        with.insert(place, idle);
        let (without, mut with) = (played(code, &cart, &without), played(code, &cart, &with));
        prop_assert!(!with.coupons.remove(place).gives());
        for line in &mut with.lines {
            line.coupon = line.coupon.map(|coupon| if coupon > place { coupon - 1 } else { coupon });
        }
        prop_assert_eq!(with, without);
    }

    /// ITEM takes the line that the rule names by its letter.
    #[test]
    fn one_item_is_the_one_that_the_rule_names(prices in prop::collection::vec(0_i64..300, 1..10), units in 1_i64..=1_000_000, minor in 1_i64..300, as_percent in any::<bool>()) {
        let parsed = crate::money::Percent::from_units(units).expect("a percentage");
        let draft = if as_percent {
            percent(&parsed.to_string(), Scope::Item)
        } else {
            Draft { amount: Some(Money::new(minor, currency("USD"))), ..Draft::new(CouponKind::Discount) }
        };
        let saved = |price: i64| if as_percent { Money::new(price, currency("USD")).percent(parsed).expect("fits").minor } else { minor.min(price) };
        let free: Vec<(usize, i64)> = prices.iter().copied().enumerate().filter(|(_, price)| *price > 0).collect();
        let expected = by_the_letter(&free, saved).filter(|place| saved(prices[*place]) > 0);
        let replay = played("USD", &lines("USD", &prices), &held([draft]));
        prop_assert_eq!(replay.lines.iter().position(|line| line.coupon.is_some()), expected);
        prop_assert_eq!(discount(&replay), expected.map_or(0, |place| saved(prices[place])));
    }

    /// ORDER is computed on the sum and rounded once; each part is less than one unit away from its exact share.
    #[test]
    fn an_order_discount_is_computed_on_the_sum(prices in prop::collection::vec(1_i64..100_000, 1..10), units in 1_i64..=1_000_000) {
        let parsed = crate::money::Percent::from_units(units).expect("a percentage");
        let replay = played("USD", &lines("USD", &prices), &held([percent(&parsed.to_string(), Scope::Order)]));
        let sum: i64 = prices.iter().sum();
        let whole = Money::new(sum, currency("USD")).percent(parsed).expect("fits").minor;
        prop_assert_eq!(discount(&replay), whole);
        for (price, line) in prices.iter().zip(&replay.lines) {
            let exact = i128::from(whole) * i128::from(*price);
            prop_assert!((i128::from(line.discount.minor) * i128::from(sum) - exact).abs() < i128::from(sum));
        }
    }

    /// Whatever partial refunds come in whatever order: in the end exactly what was paid has gone back, line by line.
    #[test]
    fn any_order_of_partial_refunds_gives_back_exactly_what_was_paid(
        (code, cart, drafts) in any_case(),
        steps in prop::collection::vec((0_usize..12, 0_u8..3, 1_i64..40, 1_i64..50_000), 0..30),
    ) {
        let coupons = held(drafts);
        let replay = played(code, &cart, &coupons);
        let zero = Money::zero(currency(code));
        let mut lines: Vec<RefundableLine> = cart.iter().zip(&replay.lines).map(|(facts, outcome)| RefundableLine {
            id: OrderLineId::new(outcome.id.uuid()),
            total: LineAmounts::new(outcome.subtotal.unwrap_or(zero), outcome.discount, Percent::default(), true).expect("amounts").total,
            quantity: facts.quantity,
            refunded: zero,
            refunded_by_quantity: zero,
            refunded_quantity: 0,
            tokens: Vec::new(),
        }).collect();
        let paid = Money::sum(currency(code), lines.iter().map(|line| line.total)).expect("fits");
        let mut money = MoneyFacts { captured: paid, refunded: zero, refunding: zero, disputed: zero, excess: zero };
        for (place, how, units, minor) in steps {
            let ask = match lines.get(place) {
                None => Ask { amount: Some(Money::new(minor, currency(code))), ..Ask::default() },
                Some(line) => {
                    let part = if how == 0 { Part::Amount(Money::new(minor, currency(code))) } else { Part::Quantity(units) };
                    Ask { lines: vec![LineAsk { line: line.id, part }], ..Ask::default() }
                }
            };
            if let Ok(plan) = plan(OrderStatus::Paid, &money, &lines, &ask) {
                book(&mut money, &mut lines, &plan);
            }
        }
        match plan(OrderStatus::Paid, &money, &lines, &Ask::default()) {
            Ok(rest) => {
                prop_assert!(rest.whole);
                book(&mut money, &mut lines, &rest);
            }
            Err(_) => prop_assert_eq!(money.refunded, paid),
        }
        prop_assert_eq!(money.refunded, paid);
        for line in &lines {
            prop_assert_eq!(line.refunded, line.total);
        }
    }
}

/// Books a refund that went through.
fn book(money: &mut MoneyFacts, lines: &mut [RefundableLine], plan: &crate::refund::RefundPlan) {
    money.refunded = money.refunded.add(plan.amount).expect("fits");
    for part in &plan.lines {
        let line = lines.iter_mut().find(|line| line.id == part.line).expect("a line of the order");
        line.refunded = line.refunded.add(part.amount).expect("fits");
        if part.by_quantity {
            line.refunded_by_quantity = line.refunded_by_quantity.add(part.amount).expect("fits");
            line.refunded_quantity += part.quantity;
        }
    }
}
