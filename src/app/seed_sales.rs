//! Sales by the hundred thousand, to see how fast reports and lists are with them.
//!
//! Always true here: only a shop without orders takes them, because they look like orders that were paid, and nobody paid them.

use chrono::{DateTime, Months, TimeDelta, Utc};
use domain::cart::For;
use domain::catalog::{Fulfilment, ProductKind};
use domain::credit_sale::Gain;
use domain::entitlement::Target;
use domain::order::{OrderNumber, OrderStatus};
use domain::pricing::{LineAmounts, Totals};
use domain::text::Email;
use domain::{CompanyId, Money, Percent, PersonId};

use super::caller::Caller;
use super::catalog::{LibraryFilter, Sort};
use super::company::CompanyFilter;
use super::payment::OrderFilter;
use super::product::Product;
use super::{App, entropy};
use crate::error::{Code, Error, Result};
use crate::page::PageArgs;
use crate::store::order::{Order, OrderLine};
use crate::store::person::NewPerson;
use crate::{internal, store};

/// Orders of one transaction.
const CHUNK: u64 = 500;
/// Months over which the sales are spread, up to now.
const MONTHS: u32 = 36;
/// People who buy.
const BUYERS: u64 = 500;

/// What is sold, and by whom.
struct Stock {
    libraries: Vec<(Product, Option<String>)>,
    companies: Vec<CompanyId>,
    buyers: Vec<PersonId>,
    begin: DateTime<Utc>,
    span: TimeDelta,
}

impl App {
    /// Writes `orders` paid orders with `lines` lines among them, of the libraries and companies that there are, over three years. `progress` is told
    /// how many are written.
    ///
    /// # Errors
    /// There are orders already, or nothing to sell; fewer lines than orders.
    pub async fn seed_sales(&self, orders: u64, lines: u64, progress: &(dyn Fn(u64) + Sync)) -> Result<()> {
        if lines < orders {
            return Err(Error::refused(Code::Invalid, ["lines"], "Each order has a line; ask for at least as many lines as orders."));
        }
        let stock = self.stock().await?;
        let mut written = 0;
        while written < orders {
            let until = (written + CHUNK).min(orders);
            // So many lines up to each order, that all of them come to what was asked for.
            let share = |order: u64| u64::try_from(u128::from(lines) * u128::from(order) / u128::from(orders)).unwrap_or(u64::MAX);
            let chunk = (written..until).map(|number| self.sold(&stock, number, orders, share(number + 1) - share(number)));
            let chunk: Vec<Order> = chunk.collect::<Result<_>>()?;
            let txn = self.db.begin().await?;
            store::cart::insert_ordered(&txn, &chunk).await?;
            store::order::insert_all(&txn, &chunk).await?;
            txn.commit().await?;
            written = until;
            progress(written);
        }
        Ok(())
    }

    async fn stock(&self) -> Result<Stock> {
        let (caller, now) = (Caller::system(), self.now());
        let one = PageArgs { first: 1, after: None };
        if !self.orders(&caller, OrderFilter::default(), &one, false).await?.rows.is_empty() {
            return Err(Error::refused(Code::Invalid, [], "The shop has orders already; invented ones go into a shop without any."));
        }
        let many = || PageArgs { first: 1_000, after: None };
        let libraries = self.libraries(&caller, &LibraryFilter::default(), Sort::Title, &many(), false).await?.rows;
        let mut products = self.products_of(&libraries.iter().map(|library| library.id.uuid()).collect::<Vec<_>>()).await?;
        let sold = libraries.into_iter().filter_map(|library| Some((products.remove(&library.id.uuid())?, library.product_code)));
        let libraries: Vec<(Product, Option<String>)> = sold.filter(|(product, _)| product.kind == ProductKind::Library).collect();
        if libraries.is_empty() {
            return Err(Error::refused(Code::Invalid, [], "There are no libraries to sell; make some first, or run bursar seed."));
        }
        let companies = self.companies(&caller, &CompanyFilter::default(), &many(), false).await?.rows;
        let mut persons = Vec::new();
        for number in 0..BUYERS {
            let email = Email::parse(&format!("buyer-{number}@example.invalid")).map_err(|error| internal!("{error}"))?;
            let email_hash = self.email_hash(&email);
            persons.push(NewPerson { id: entropy::next_id(), email, email_hash, name: Some(format!("Buyer {number}")), address: None });
        }
        let txn = self.db.begin().await?;
        store::person::insert(&txn, &persons, now).await?;
        txn.commit().await?;
        let begin = now.checked_sub_months(Months::new(MONTHS)).unwrap_or(now);
        Ok(Stock {
            libraries,
            companies: companies.into_iter().map(|company| company.id).collect(),
            buyers: persons.into_iter().map(|person| person.id).collect(),
            begin,
            span: now - begin,
        })
    }

    fn sold(&self, stock: &Stock, number: u64, of: u64, lines: u64) -> Result<Order> {
        let mut bits = [0; 24];
        self.entropy.fill(&mut bits);
        let [number_bits, mut chance, _] = [0, 8, 16].map(|at| bits[at..at + 8].try_into().unwrap_or([0; 8])).map(u64::from_be_bytes);
        // As many ways to fall as are wanted, from one drawing.
        let mut draw = |ways: usize| {
            let ways = u64::try_from(ways.max(1)).unwrap_or(1);
            let drawn = chance % ways;
            chance = chance.rotate_right(7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            usize::try_from(drawn).unwrap_or(0)
        };
        let seconds = i128::from(stock.span.num_seconds()) * i128::from(number) / i128::from(of.max(1));
        let at = stock.begin + TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0));
        let currency = self.shop.base_currency;
        // One order in three is nobody's company's.
        let company = stock.companies.get(draw(stock.companies.len() + stock.companies.len() / 2 + 1)).copied();
        let mut sold = Vec::new();
        for _ in 0..lines {
            let (product, code) = &stock.libraries[draw(stock.libraries.len())];
            let (quantity, price) = (1 + i64::try_from(draw(5)).unwrap_or(0), 990 + 500 * i64::try_from(draw(20)).unwrap_or(0));
            let subtotal = Money::new(quantity * price, currency);
            let discount = if draw(4) == 0 { Money::new(subtotal.minor / 10, currency) } else { Money::zero(currency) };
            let amounts = LineAmounts::new(subtotal, discount, Percent::default(), self.shop.prices_include_tax)
                .map_err(|error| internal!("{error}"))?;
            sold.push(OrderLine {
                id: entropy::next_id(),
                product: product.id,
                target: Some(Target::Library(product.target.into())),
                sku: product.sku.clone(),
                title: product.title.clone(),
                product_code: code.clone(),
                coupon: None,
                session: None,
                for_: For::Seats,
                learner: None,
                quantity: u32::try_from(quantity).unwrap_or(1),
                unit_price: Some(Money::new(price, currency)),
                list_price: Some(Money::new(price, currency)),
                amounts,
                breakdown: Vec::new(),
                terms: product.terms,
                fulfilment: Fulfilment::Enrol,
                credits: Gain::default(),
                royalty: None,
                refunded: Money::zero(currency),
                refunded_by_quantity: Money::zero(currency),
                refunded_quantity: 0,
            });
        }
        let totals = Totals::of(currency, sold.iter().map(|line| &line.amounts)).map_err(|error| internal!("{error}"))?;
        Ok(Order {
            id: entropy::next_id(),
            number: OrderNumber::from_random(number_bits.to_be_bytes()).to_string(),
            cart: entropy::next_id(),
            account: None,
            buyer: stock.buyers[draw(stock.buyers.len())],
            company,
            currency,
            locale: self.shop.locale.clone(),
            status: OrderStatus::Fulfilled,
            totals,
            prices_include_tax: self.shop.prices_include_tax,
            rates: Vec::new(),
            version: 1,
            placed_by: Caller::system().actor(),
            placed_at: at,
            lapses_at: None,
            paid_at: Some(at),
            paid_payment: None,
            fulfilled_at: Some(at),
            closed_at: None,
            touched_at: at,
            bypass: false,
            reason: None,
            lines: sold,
        })
    }
}
