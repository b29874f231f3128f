//! Lines and coupons for the tests, and what became of them in short.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::*;
use crate::catalog::CourseKind;
use crate::id::{CartLineId, CouponCodeId, CouponId, ProductId, ProviderId};
use crate::money::{Currency, Money, Rate};
use crate::pricing::{ExchangeRate, RateTable};
use crate::refusal::Reason;

pub(super) const A: ProviderId = ProviderId::new(Uuid::from_u128(0xa));
pub(super) const B: ProviderId = ProviderId::new(Uuid::from_u128(0xb));
pub(super) const OF_A: &[Content] = &[Content { provider: Some(A), kind: CourseKind::Course }];
pub(super) const OF_B: &[Content] = &[Content { provider: Some(B), kind: CourseKind::Course }];

pub(super) fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("a currency")
}

/// `12.50 USD`.
pub(super) fn money(text: &str) -> Money {
    let (amount, code) = text.split_once(' ').expect("amount and currency");
    Money::parse(amount, currency(code)).expect("an amount")
}

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

pub(super) fn now() -> DateTime<Utc> {
    at("2026-06-15T12:00:00Z")
}

pub(super) fn product(number: u128) -> ProductId {
    ProductId::new(Uuid::from_u128(number))
}

/// Rates from USD, as in c39; none to CHF.
pub(super) fn rates() -> RateTable {
    let rate = |quote, rate| ExchangeRate {
        base: currency("USD"),
        quote: currency(quote),
        rate: Rate::parse(rate).expect("a rate"),
        valid_from: at("2026-01-01T00:00:00Z"),
    };
    RateTable::new(vec![rate("EUR", "0.92"), rate("JPY", "151.37"), rate("KWD", "0.3077")]).expect("a table")
}

/// Line `number` for one of product `number`, of provider A.
pub(super) fn line(number: u128, price: &str) -> LineFacts<'static> {
    LineFacts {
        id: CartLineId::new(Uuid::from_u128(number)),
        product: product(number),
        quantity: 1,
        subtotal: Some(money(price)),
        credits: 0,
        couponable: true,
        product_code: None,
        contents: OF_A,
        session: None,
        event: None,
    }
}

/// Lines 1, 2, … of these prices in minor units.
pub(super) fn lines(code: &str, prices: &[i64]) -> Vec<LineFacts<'static>> {
    let numbered = prices.iter().zip(1..);
    numbered.map(|(price, number)| LineFacts { subtotal: Some(Money::new(*price, currency(code))), ..line(number, "0 JPY") }).collect()
}

/// A coupon in a cart.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) code: u128,
    pub(super) coupon: u128,
    pub(super) key: String,
    pub(super) rules: Rules,
    pub(super) active: bool,
    pub(super) void: bool,
    pub(super) single_use: bool,
    pub(super) uses: Uses,
}

impl Held {
    pub(super) fn new(number: u128, draft: Draft) -> Self {
        let rules = draft.check().expect("a good draft");
        Self {
            code: number,
            coupon: number,
            key: format!("code{number}"),
            rules,
            active: true,
            void: false,
            single_use: false,
            uses: Uses::default(),
        }
    }

    pub(super) fn added(&self) -> Added<'_> {
        Added {
            code: CouponCodeId::new(Uuid::from_u128(self.code)),
            coupon: CouponId::new(Uuid::from_u128(self.coupon)),
            key: &self.key,
            rules: &self.rules,
            active: self.active,
            void: self.void,
            single_use: self.single_use,
            uses: self.uses,
        }
    }
}

pub(super) fn percent(percent: &str, scope: Scope) -> Draft {
    Draft { percent: Some(percent.to_owned()), scope, ..Draft::new(CouponKind::Discount) }
}

pub(super) fn amount(amount: &str, scope: Scope) -> Draft {
    Draft { amount: Some(money(amount)), scope, ..Draft::new(CouponKind::Discount) }
}

pub(super) fn pack(of: u128, price: &str, credits: i64) -> Draft {
    Draft { product: Some(product(of)), price: Some(money(price)), credits: Some(credits), ..Draft::new(CouponKind::Pack) }
}

/// Coupons 1, 2, … from these drafts.
pub(super) fn held(drafts: impl IntoIterator<Item = Draft>) -> Vec<Held> {
    drafts.into_iter().zip(1..).map(|(draft, number)| Held::new(number, draft)).collect()
}

pub(super) fn around<'a>(code: &str, rates: &'a RateTable) -> Circumstances<'a> {
    Circumstances { enabled: true, company: None, currency: currency(code), rates, customer: None, now: now() }
}

pub(super) fn played(code: &str, lines: &[LineFacts<'_>], coupons: &[Held]) -> Replay {
    let added: Vec<Added<'_>> = coupons.iter().map(Held::added).collect();
    replay(lines, &added, &around(code, &rates()))
}

/// What each line costs in the end, in minor units.
pub(super) fn left(replay: &Replay) -> Vec<i64> {
    replay.lines.iter().map(|line| line.subtotal.map_or(0, |price| price.minor) - line.discount.minor).collect()
}

/// What each coupon did: what it saved (`5.00`), `PACK`, or the code of the reason why it did nothing.
pub(super) fn told(replay: &Replay) -> Vec<String> {
    let told = replay.coupons.iter().map(|coupon| match &coupon.given {
        Given::Savings { total, .. } => total.decimal_text(),
        Given::Pack { .. } => "PACK".to_owned(),
        Given::Nothing(reason) => reason.code().to_string(),
    });
    told.collect()
}

/// What one coupon saved line by line: the number of the line and minor units.
pub(super) fn savings(replay: &Replay, place: usize) -> Vec<(u128, i64)> {
    match &replay.coupons[place].given {
        Given::Savings { lines, .. } => lines.iter().map(|saving| (saving.line.uuid().as_u128(), saving.amount.minor)).collect(),
        Given::Pack { .. } | Given::Nothing(_) => Vec::new(),
    }
}
