//! How long it takes to price a cart of 200 lines, once its facts are in memory: 200 quotes through the whole ladder of prices, the replay of its
//! coupons, the amounts and notices of each line, the sums, and whether the cart can be placed; and how long the replay of 10 coupons takes alone.

use std::hint::black_box;

use chrono::{DateTime, Utc};
use criterion::{Criterion, criterion_group, criterion_main};

use bursar_domain::cart::{CartFacts, CartStatus, ForKind, LineFacts, OfferState, Shown, notices, problems, readiness};
use bursar_domain::catalog::{
    AppliesTo, CourseKind, PriceRow, ProductKind, SaleState, Saleability, Schedule, ScheduleMode, Tier, TierPrice,
};
use bursar_domain::coupon::{self, Added, Circumstances, Content, CouponKind, Customer, Draft, Replay, Rules, Scope, Uses};
use bursar_domain::credit_sale::Gain;
use bursar_domain::pricing::{Buyer, Channel, ExchangeRate, LineAmounts, Market, Prices, Quote, RateTable, quote};
use bursar_domain::terms::Terms;
use bursar_domain::window::Window;
use bursar_domain::{CartLineId, CouponCodeId, CouponId, Currency, GroupId, Money, Percent, ProductId, ProviderId, Rate};

const LINES: u32 = 200;

/// What a line's price hangs on, as the database would give it.
struct Facts {
    line: CartLineId,
    override_prices: Vec<Money>,
    rows: Vec<PriceRow>,
    quantity: u32,
    product: ProductId,
    product_code: String,
    contents: Vec<Content>,
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
    coupons: Vec<Rules>,
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("a currency")
}

fn provider(number: u32) -> ProviderId {
    ProviderId::new(uuid::Uuid::from_u128(u128::from(number)))
}

fn product(number: u32) -> ProductId {
    ProductId::new(uuid::Uuid::from_u128(u128::from(number)))
}

/// Ten coupons that all give something: one item of a provider, of some products, of a product code, of a kind, each by percentage and by
/// amount, and two on the order, the last of which takes what the others left.
fn ten_coupons(base: Currency) -> Vec<Rules> {
    let percent = |percent: &str| Draft { percent: Some(percent.to_owned()), ..Draft::new(CouponKind::Discount) };
    let amount = |minor| Draft { amount: Some(Money::new(minor, base)), ..Draft::new(CouponKind::Discount) };
    let drafts = [
        Draft { providers: vec![provider(1), provider(3)], ..percent("10") },
        Draft { providers: vec![provider(2)], ..amount(500) },
        Draft { products: (0..100).map(|number| product(number * 2)).collect(), ..percent("12.5") },
        Draft { products: (0..100).map(|number| product(number * 2 + 1)).collect(), ..amount(250) },
        Draft { product_codes: vec!["fx-1".to_owned(), "fx-4".to_owned()], ..percent("7.75") },
        Draft { product_codes: vec!["FX-2".to_owned()], ..amount(125) },
        Draft { kinds: vec![CourseKind::Course], ..percent("33.3333") },
        Draft { kinds: vec![CourseKind::Exam], ..amount(1) },
        Draft { kinds: vec![CourseKind::Exam], scope: Scope::Order, minimum_purchase: Some(Money::new(10_000, base)), ..amount(9_999) },
        Draft { scope: Scope::Order, ..percent("15") },
    ];
    drafts.map(|draft| draft.check().expect("a good coupon")).into()
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
                product: product(number),
                product_code: format!("FX-{}", number % 5),
                contents: vec![Content {
                    provider: Some(provider(number % 4)),
                    kind: if number % 3 == 0 { CourseKind::Exam } else { CourseKind::Course },
                }],
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
            coupons: Vec::new(),
        }
    }

    fn with_ten_coupons(base: &str, buyer: &str) -> Self {
        Self { coupons: ten_coupons(currency(base)), ..Self::new(base, buyer) }
    }

    /// Replays the coupons on lines of these prices.
    fn replay(&self, prices: &[Money]) -> Replay {
        let lines: Vec<coupon::LineFacts<'_>> = self
            .facts
            .iter()
            .zip(prices)
            .map(|(facts, price)| coupon::LineFacts {
                id: facts.line,
                product: facts.product,
                quantity: facts.quantity,
                subtotal: Some(*price),
                credits: 0,
                couponable: true,
                product_code: Some(&facts.product_code),
                contents: &facts.contents,
                session: None,
                event: None,
            })
            .collect();
        let added: Vec<Added<'_>> = self
            .coupons
            .iter()
            .zip(1..)
            .map(|(rules, number)| Added {
                code: CouponCodeId::new(uuid::Uuid::from_u128(number)),
                coupon: CouponId::new(uuid::Uuid::from_u128(number)),
                key: "newcomer",
                rules,
                active: true,
                void: false,
                single_use: false,
                uses: Uses::default(),
            })
            .collect();
        let around = Circumstances {
            enabled: true,
            company: None,
            currency: self.buyer,
            rates: &self.rates,
            customer: Some(Customer { has_paid: false, new_pending: false }),
            now: self.now,
        };
        coupon::replay(&lines, &added, &around)
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
        let quotes: Vec<Quote> = self
            .facts
            .iter()
            .map(|facts| {
                let prices = Prices { override_prices: &facts.override_prices, rows: &facts.rows, schedule: Some(&self.schedule) };
                quote(&prices, &buyer, &market, facts.quantity, self.now).expect("a price")
            })
            .collect();
        let prices: Vec<Money> = quotes.iter().map(|quote| quote.subtotal).collect();
        let replay = self.replay(&prices);
        assert!(replay.coupons.iter().all(coupon::CouponOutcome::gives), "every coupon takes part");
        let tax = Percent::parse("23").expect("a percentage");
        let lines: Vec<LineFacts> = replay
            .lines
            .iter()
            .zip(quotes)
            .map(|(line, quote)| {
                let amounts = LineAmounts::new(quote.subtotal, line.discount, tax, true).expect("amounts");
                LineFacts {
                    id: line.id,
                    offer: Some(OfferState { saleability, quote: Ok(quote), terms: self.terms }),
                    amounts: Some(amounts),
                    credits: Gain::default(),
                    for_kind: ForKind::SelfBuyer,
                    shown: Some(Shown { total: amounts.total, terms: self.terms, credits: Gain::default() }),
                    seat: None,
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
    for (name, shop) in [
        ("prices in the buyer's currency", Shop::new("USD", "USD")),
        ("every price converted", Shop::new("USD", "EUR")),
        ("prices in the buyer's currency, 10 coupons", Shop::with_ten_coupons("USD", "USD")),
        ("every price converted, 10 coupons", Shop::with_ten_coupons("USD", "EUR")),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(&shop).price()));
    }
    let (shop, prices) = (Shop::with_ten_coupons("USD", "USD"), vec![Money::new(1_999, currency("USD")); 200]);
    group.bench_function("the replay of 10 coupons alone", |bencher| bencher.iter(|| black_box(&shop).replay(black_box(&prices))));
    group.finish();
}

criterion_group!(benches, carts);
criterion_main!(benches);
