//! How long it takes to price a cart of 200 lines, once its facts are in memory: 200 quotes through the whole ladder of prices, the amounts and
//! notices of each line, the sums, and whether the cart can be placed.

use std::hint::black_box;

use chrono::{DateTime, Utc};
use criterion::{Criterion, criterion_group, criterion_main};

use bursar_domain::cart::{CartFacts, CartStatus, LineFacts, OfferState, Shown, notices, problems, readiness};
use bursar_domain::catalog::{AppliesTo, PriceRow, ProductKind, SaleState, Saleability, Schedule, ScheduleMode, Tier, TierPrice};
use bursar_domain::pricing::{Buyer, Channel, ExchangeRate, LineAmounts, Market, Prices, RateTable, quote};
use bursar_domain::terms::Terms;
use bursar_domain::window::Window;
use bursar_domain::{CartLineId, Currency, GroupId, Money, Percent, Rate};

const LINES: u32 = 200;

/// What a line's price hangs on, as the database would give it.
struct Facts {
    line: CartLineId,
    override_prices: Vec<Money>,
    rows: Vec<PriceRow>,
    quantity: u32,
}

struct Shop {
    base: Currency,
    buyer: Currency,
    groups: Vec<GroupId>,
    rates: RateTable,
    schedule: Schedule,
    terms: Terms,
    now: DateTime<Utc>,
    facts: Vec<Facts>,
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("a currency")
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

impl Shop {
    /// Every fourth line has a company's own price, another one a group's, the third a sale, and the last the list price alone; prices are in
    /// `base` and the buyer pays in `buyer`. Half of the lines buy more than one, and the schedule gives them something off.
    fn new(base: &str, buyer: &str) -> Self {
        let (base, buyer) = (currency(base), currency(buyer));
        let group = GroupId::new(uuid::Uuid::from_u128(1));
        let row =
            |minor, group, starts_at| PriceRow { amount: Money::new(minor, base), group, window: Window { starts_at, ends_at: None } };
        let facts = (0..LINES).map(|number| {
            let minor = 1_000 + i64::from(number);
            let mut rows = vec![row(minor, None, None)];
            match number % 4 {
                1 => rows.push(row(minor - 100, Some(group), None)),
                2 => rows.push(row(minor - 200, None, Some(instant("2026-01-01T00:00:00Z")))),
                _ => {}
            }
            Facts {
                line: CartLineId::new(uuid::Uuid::from_u128(u128::from(number))),
                override_prices: if number % 4 == 0 { vec![Money::new(minor - 300, base)] } else { Vec::new() },
                rows,
                quantity: if number % 2 == 0 { 1 } else { 12 },
            }
        });
        let rate = ExchangeRate {
            base: currency("USD"),
            quote: currency("EUR"),
            rate: Rate::parse("0.9137").expect("a rate"),
            valid_from: instant("2026-01-01T00:00:00Z"),
        };
        let off = |percent| TierPrice::PercentOff(Percent::parse(percent).expect("a percentage"));
        let tiers = vec![Tier { min_quantity: 1, price: off("0") }, Tier { min_quantity: 10, price: off("12.5") }];
        Self {
            base,
            buyer,
            groups: vec![group],
            rates: RateTable::new(vec![rate]).expect("a table of rates"),
            schedule: Schedule::new(ScheduleMode::Slab, AppliesTo::All, tiers).expect("a schedule"),
            terms: Terms::endless(ProductKind::Library),
            now: instant("2026-06-01T00:00:00Z"),
            facts: facts.collect(),
        }
    }

    /// Prices the cart from its facts; gives what is to pay, in minor units.
    fn price(&self) -> i64 {
        let buyer = Buyer { currency: self.buyer, groups: &self.groups, channel: Channel::Cart };
        let market = Market { base_currency: self.base, rates: &self.rates };
        let saleability = Saleability {
            kind: ProductKind::Library,
            sale_state: SaleState::OnSale,
            archived: false,
            courses: 2,
            commerce_on: false,
            event: false,
        };
        let lines: Vec<LineFacts> = self
            .facts
            .iter()
            .map(|facts| {
                let prices = Prices { override_prices: &facts.override_prices, rows: &facts.rows, schedule: Some(&self.schedule) };
                let quote = quote(&prices, &buyer, &market, facts.quantity, self.now).expect("a price");
                let amounts = LineAmounts::new(quote.subtotal, Money::zero(self.buyer), 230_000, true).expect("amounts");
                LineFacts {
                    id: facts.line,
                    offer: Some(OfferState { saleability, quote: Ok(quote), terms: self.terms }),
                    amounts: Some(amounts),
                    shown: Some(Shown { total: amounts.total, terms: self.terms }),
                    owned: false,
                }
            })
            .collect();
        let cart = CartFacts {
            status: CartStatus::Open,
            order: None,
            currency: self.buyer,
            company: None,
            buyer_set: true,
            several_items: true,
            lines: &lines,
        };
        assert!(lines.iter().all(|line| notices(line).is_empty()) && problems(&cart).is_empty() && readiness(&cart).is_ready());
        cart.totals().expect("sums that fit").total.minor
    }
}

fn carts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cart of 200 lines");
    for (name, shop) in [("prices in the buyer's currency", Shop::new("USD", "USD")), ("every price converted", Shop::new("USD", "EUR"))] {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(&shop).price()));
    }
    group.finish();
}

criterion_group!(benches, carts);
criterion_main!(benches);
