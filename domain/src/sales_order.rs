//! Sales orders: seats sold to companies in bulk. Who may take which step, what is agreed beside what is recommended, what is due, what goes
//! back, and seats beyond those that were bought.
//!
//! Always true here: a recommended price comes from the one function that prices carts; who agreed on another one, and why, stands beside it; what
//! went back of a line is a share of its total that never depends on how it was cut up.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::catalog::{MAX_PRICE_MINOR, ProductKind};
use crate::money::{Currency, Money, MoneyError, ratio};
use crate::pricing::{Quote, Unavailable};
use crate::refusal::{Code, Reason, Refusal};
use crate::terms::Terms;
use crate::window::{WindowRefusal, start_of_day};

/// Most lines of a sales order.
pub const MAX_LINES: usize = 100;
/// Most seats of one line.
pub const MAX_QUANTITY: u32 = 10_000;
/// Most seats that a company can be allowed beyond those that it bought.
pub const MAX_OVERAGE: u32 = 10_000;

named! {
    /// Where a sales order stands.
    pub enum SalesOrderStatus {
        /// Being written.
        Draft = "DRAFT",
        /// Offered to the company, at these prices.
        Quoted = "QUOTED",
        /// Agreed.
        Confirmed = "CONFIRMED",
        /// Agreed, and an invoice is out.
        Invoiced = "INVOICED",
        /// Nothing is due any more.
        Paid = "PAID",
        /// Called off before it was paid.
        Cancelled = "CANCELLED",
    }
}

named! {
    /// How a sales order came about.
    pub enum SalesOrderKind {
        /// Somebody wrote it.
        Order = "ORDER",
        /// It gathers the seats that a company took beyond those that it had bought, until they are billed.
        Overage = "OVERAGE",
    }
}

named! {
    /// When the seats of a sales order are given.
    pub enum TokensOn {
        /// As soon as it is agreed.
        Confirm = "CONFIRM",
        /// Once it is paid.
        Payment = "PAYMENT",
    }
}

named! {
    /// What a document is.
    pub enum DocumentKind {
        /// What is to be paid.
        Invoice = "INVOICE",
        /// What of an invoice is not to be paid, or goes back.
        CreditNote = "CREDIT_NOTE",
    }
}

impl DocumentKind {
    /// The document's number: those of a kind follow one another without a gap.
    pub fn number(self, serial: i64) -> String {
        let prefix = match self {
            Self::Invoice => "INV",
            Self::CreditNote => "CRN",
        };
        format!("{prefix}-{serial:06}")
    }
}

/// For whom somebody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The shop.
    Shop,
    /// The company that buys.
    Company,
}

/// What somebody does with a sales order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Changes what is in it.
    Update,
    /// Sends it to the company.
    Send,
    /// Agrees to what was sent.
    Accept,
    /// Makes it hold.
    Confirm,
    /// Issues its invoice.
    Invoice,
    /// Records money that came for it.
    RecordPayment,
    /// Calls all of it off.
    Cancel,
    /// Gives seats back.
    Refund,
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::Update => "changed",
            Self::Send => "sent as a quote",
            Self::Accept => "accepted",
            Self::Confirm => "confirmed",
            Self::Invoice => "invoiced",
            Self::RecordPayment => "paid",
            Self::Cancel => "cancelled",
            Self::Refund => "refunded",
        }
    }

    /// In which states this side can do it.
    pub const fn from(self, side: Side) -> &'static [SalesOrderStatus] {
        use SalesOrderStatus::{Confirmed, Draft, Invoiced, Paid, Quoted};
        match (self, side) {
            (Self::Update | Self::Send | Self::Confirm, Side::Shop) | (Self::Cancel, Side::Company) => &[Draft, Quoted],
            (Self::Update | Self::Confirm, Side::Company) => &[Draft],
            (Self::Accept, Side::Company) => &[Quoted],
            (Self::Invoice, Side::Shop) => &[Confirmed, Paid],
            (Self::RecordPayment, Side::Shop) => &[Confirmed, Invoiced],
            (Self::Cancel, Side::Shop) => &[Draft, Quoted, Confirmed, Invoiced],
            (Self::Refund, Side::Shop) => &[Confirmed, Invoiced, Paid],
            (Self::Accept, Side::Shop) | (Self::Send | Self::Invoice | Self::RecordPayment | Self::Refund, Side::Company) => &[],
        }
    }
}

/// Whether a sales order in this state can be taken this step.
///
/// # Errors
/// [`SalesRefusal::State`].
pub fn check(step: Step, side: Side, status: SalesOrderStatus) -> Result<(), SalesRefusal> {
    if step.from(side).contains(&status) { Ok(()) } else { Err(SalesRefusal::State { step, side, status }) }
}

/// Why something about a sales order is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SalesRefusal {
    /// It is not in a state for this.
    #[error("{}", state_words(*.step, *.side, *.status))]
    State {
        /// What was to be done.
        step: Step,
        /// By whom.
        side: Side,
        /// Where it stands.
        status: SalesOrderStatus,
    },
    /// A company's own person asked for a lower price than is recommended.
    #[error("{agreed} is less than the recommended {recommended}; leave agreedPrice out, or ask the shop for a quote.")]
    BelowRecommended {
        /// What was asked for, of the whole line.
        agreed: Money,
        /// What is recommended, of the whole line.
        recommended: Money,
    },
    /// A company's own person asked for longer access than is recommended.
    #[error("Access {agreed} is longer than the recommended one, {recommended}; leave accessDays out, or ask the shop for a quote.")]
    LongerThanRecommended {
        /// What was asked for.
        agreed: Terms,
        /// What is recommended.
        recommended: Terms,
    },
    /// Another price or other days without a reason.
    #[error("Say why something else than recommended is agreed, as agreedReason; it is kept with the line.")]
    ReasonMissing,
    /// An agreed price in another currency.
    #[error("The sales order is in {expected}, and the agreed price in {found}; give it in {expected}.")]
    OtherCurrency {
        /// The order's.
        expected: Currency,
        /// The price's.
        found: Currency,
    },
    /// An agreed price that no amount of ours is.
    #[error("An agreed price is 0 or more, and at most {limit}.")]
    PriceOutOfRange {
        /// The most.
        limit: Money,
    },
    /// A quantity outside of its bounds.
    #[error("{given} seats are out of range; give 1 to {MAX_QUANTITY}.")]
    Quantity {
        /// What was given.
        given: i64,
    },
    /// No lines.
    #[error("A sales order has at least one line; name a product and how many seats.")]
    NoLines,
    /// Too many lines.
    #[error("{given} lines are too many; a sales order has at most {MAX_LINES}.")]
    TooManyLines {
        /// How many were given.
        given: usize,
    },
    /// The quote is too old.
    #[error("The quote could be accepted until {0}; ask the shop for another one.")]
    QuoteExpired(DateTime<Utc>),
    /// More money than is due.
    #[error("{given} is more than the {due} that is due; record what is due, and send the rest back.")]
    MoreThanDue {
        /// What was to be recorded.
        given: Money,
        /// What is due.
        due: Money,
    },
    /// Money came for it.
    #[error("{paid} was recorded for it; give seats back with salesOrderRefund instead.")]
    HasPayments {
        /// How much.
        paid: Money,
    },
    /// More units than the line has left.
    #[error("{asked} seats are more than the {left} that the line has left; name {left} at most.")]
    TooManyUnits {
        /// How many were asked for.
        asked: u32,
        /// How many are left.
        left: u32,
    },
    /// Learners have redeemed some of the seats.
    #[error(
        "{unused} of the seats are unused, and {redeemed} were redeemed by learners; give back {unused} at most, or say includeRedeemed to end \
         the access of those learners."
    )]
    Redeemed {
        /// How many nobody redeemed.
        unused: u32,
        /// How many were redeemed.
        redeemed: u32,
    },
    /// Nothing is left to give back.
    #[error("Nothing of this sales order is left to give back.")]
    NothingLeft,
    /// The company takes more seats than it may.
    #[error(
        "{free} free, {needed} needed, and the company may take {left} more than it has bought until what it took is paid; buy more seats, hand \
         out fewer at once, or ask the shop to raise overageLimit."
    )]
    OverageLimit {
        /// Seats that are free.
        free: usize,
        /// Seats that are needed.
        needed: usize,
        /// How many it may take beyond those.
        left: u32,
    },
}

fn state_words(step: Step, side: Side, status: SalesOrderStatus) -> String {
    let from = step.from(side).iter().map(|status| status.name()).collect::<Vec<_>>().join(" or ");
    match (side, from.is_empty()) {
        (Side::Company, true) => format!("A sales order is {} by the shop; ask it to.", step.words()),
        (Side::Shop, true) => format!("A quote is {} by the company's managers; confirm the order with salesOrderConfirm.", step.words()),
        (Side::Shop, false) => format!("The sales order is {status}; it can be {} while it is {from}.", step.words()),
        (Side::Company, false) => {
            format!("The sales order is {status}; a company's manager can have it {} while it is {from}. Ask the shop.", step.words())
        }
    }
}

impl Reason for SalesRefusal {
    fn code(&self) -> Code {
        match self {
            Self::State { .. } | Self::HasPayments { .. } => Code::SalesOrderState,
            Self::BelowRecommended { .. } | Self::LongerThanRecommended { .. } => Code::BelowRecommended,
            Self::ReasonMissing | Self::NoLines => Code::Required,
            Self::OtherCurrency { .. } => Code::CurrencyMismatch,
            Self::PriceOutOfRange { .. } => Code::Invalid,
            Self::Quantity { .. } | Self::TooManyUnits { .. } => Code::QuantityInvalid,
            Self::TooManyLines { .. } => Code::TooLong,
            Self::QuoteExpired(_) => Code::QuoteExpired,
            Self::MoreThanDue { .. } => Code::MoreThanDue,
            Self::Redeemed { .. } => Code::SeatsRedeemed,
            Self::NothingLeft => Code::NotRefundable,
            Self::OverageLimit { .. } => Code::TooFewTokens,
        }
    }

    fn field(&self) -> Vec<String> {
        let field = match self {
            Self::BelowRecommended { .. } => "agreedPrice",
            Self::LongerThanRecommended { .. } => "accessDays",
            Self::ReasonMissing => "agreedReason",
            Self::OtherCurrency { .. } | Self::PriceOutOfRange { .. } => "agreedPrice",
            Self::Quantity { .. } | Self::TooManyUnits { .. } => "quantity",
            Self::NoLines | Self::TooManyLines { .. } => "lines",
            Self::MoreThanDue { .. } => "amount",
            Self::OverageLimit { .. } => "learners",
            Self::State { .. } | Self::HasPayments { .. } | Self::QuoteExpired(_) | Self::NothingLeft => "salesOrderId",
            Self::Redeemed { .. } => "includeRedeemed",
        };
        vec![field.to_owned()]
    }
}

// ---- what is agreed ----------------------------------------------------------------------------------------------------------------

/// What is recommended for a line, as of the instant it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recommended<'a> {
    /// The price, or why there is none.
    pub quote: &'a Result<Quote, Unavailable>,
    /// The terms of access.
    pub terms: Terms,
    /// What is sold.
    pub kind: ProductKind,
}

/// What somebody wants to be agreed; absent = what is recommended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// The price of one seat.
    pub price: Option<Money>,
    /// Days of access.
    pub access_days: Option<i64>,
    /// Why it is something else than recommended.
    pub reason: Option<String>,
}

/// What is agreed for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The price of one seat; none where the parts of a graduated schedule differ.
    pub unit_price: Option<Money>,
    /// The price of all seats.
    pub subtotal: Money,
    /// The terms of access.
    pub terms: Terms,
    /// Why it is something else than recommended; `None` = it is what is recommended.
    pub reason: Option<String>,
}

/// What is agreed for a line of `quantity` seats. What the shop agrees on is its own matter, with a reason; a company's own people can agree on
/// nothing better than what is recommended.
///
/// # Errors
/// Every reason why not, each at its field.
pub fn agree(
    currency: Currency,
    recommended: &Recommended<'_>,
    quantity: u32,
    wish: Wish,
    side: Side,
    now: DateTime<Utc>,
) -> Result<Agreed, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let terms = match wish.access_days.map(|days| Terms::given(recommended.kind, Some(days), None, None)) {
        Some(Err(reason)) => {
            refusals.push(Refusal::from(reason).under(["accessDays"]));
            recommended.terms
        }
        Some(Ok(terms)) => terms,
        None => recommended.terms,
    };
    if side == Side::Company && recommended.terms.worse_than(terms, now) {
        refusals.push(SalesRefusal::LongerThanRecommended { agreed: terms, recommended: recommended.terms }.into());
    }
    let priced = match (wish.price, recommended.quote) {
        (None, Ok(quote)) => Ok((quote.unit_price, quote.subtotal)),
        (None, Err(reason)) => Err(Refusal { field: vec!["productId".to_owned()], ..Refusal::from(*reason) }),
        (Some(price), quote) => agreed_price(currency, price, quantity).map_err(Refusal::from).and_then(|subtotal| match (side, quote) {
            (Side::Company, Err(reason)) => Err(Refusal { field: vec!["productId".to_owned()], ..Refusal::from(*reason) }),
            (Side::Company, Ok(quote)) if subtotal.minor < quote.subtotal.minor => {
                Err(SalesRefusal::BelowRecommended { agreed: subtotal, recommended: quote.subtotal }.into())
            }
            // The same sum by another road is no other price.
            (_, Ok(quote)) if subtotal == quote.subtotal => Ok((quote.unit_price, quote.subtotal)),
            (Side::Shop | Side::Company, _) => Ok((Some(price), subtotal)),
        }),
    };
    let (unit_price, subtotal) = match priced {
        Ok(priced) => priced,
        Err(refusal) => {
            refusals.push(refusal);
            (None, Money::zero(currency))
        }
    };
    let differs = terms != recommended.terms || recommended.quote.as_ref().map(|quote| quote.subtotal) != Ok(subtotal);
    if differs && refusals.is_empty() && wish.reason.is_none() {
        refusals.push(SalesRefusal::ReasonMissing.into());
    }
    if refusals.is_empty() { Ok(Agreed { unit_price, subtotal, terms, reason: wish.reason.filter(|_| differs) }) } else { Err(refusals) }
}

fn agreed_price(currency: Currency, price: Money, quantity: u32) -> Result<Money, SalesRefusal> {
    if price.currency != currency {
        return Err(SalesRefusal::OtherCurrency { expected: currency, found: price.currency });
    }
    let out_of_range = || SalesRefusal::PriceOutOfRange { limit: Money::new(MAX_PRICE_MINOR, currency) };
    if !(0..=MAX_PRICE_MINOR).contains(&price.minor) {
        return Err(out_of_range());
    }
    price.times(i64::from(quantity)).map_err(|_| out_of_range())
}

/// Checks a number of seats.
///
/// # Errors
/// [`SalesRefusal::Quantity`].
pub fn quantity(given: i64) -> Result<u32, SalesRefusal> {
    u32::try_from(given).ok().filter(|quantity| (1..=MAX_QUANTITY).contains(quantity)).ok_or(SalesRefusal::Quantity { given })
}

/// What one more seat costs at what was agreed for a line: its unit price, or where the parts of a graduated schedule differ what a seat cost on
/// average, rounded once.
///
/// # Errors
/// Overflow.
pub fn price_of_one(unit_price: Option<Money>, subtotal: Money, quantity: u32) -> Result<Money, MoneyError> {
    match unit_price {
        Some(price) => Ok(price),
        None => Ok(Money::new(ratio(subtotal.minor, 1, i128::from(quantity))?, subtotal.currency)),
    }
}

// ---- what is due -------------------------------------------------------------------------------------------------------------------

/// What came and went of a sales order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// What it costs.
    pub total: Money,
    /// What of that is not to be paid, or went back.
    pub credited: Money,
    /// Money that came.
    pub paid: Money,
    /// Money that was paid out again.
    pub returned: Money,
}

impl Account {
    /// What is left of the price.
    ///
    /// # Errors
    /// Overflow.
    pub fn net(&self) -> Result<Money, MoneyError> {
        self.total.sub(self.credited)
    }

    /// What is still to be paid.
    ///
    /// # Errors
    /// Overflow.
    pub fn due(&self) -> Result<Money, MoneyError> {
        let open = self.net()?.sub(self.held()?)?;
        Ok(Money::new(open.minor.max(0), open.currency))
    }

    /// What has to be paid out, because more came than the order costs by now.
    ///
    /// # Errors
    /// Overflow.
    pub fn to_return(&self) -> Result<Money, MoneyError> {
        let over = self.held()?.sub(self.net()?)?;
        Ok(Money::new(over.minor.max(0), over.currency))
    }

    fn held(&self) -> Result<Money, MoneyError> {
        self.paid.sub(self.returned)
    }
}

/// Where an agreed order stands once `account` is what it is: PAID when nothing is due.
///
/// # Errors
/// Overflow.
pub fn settle(status: SalesOrderStatus, account: &Account) -> Result<SalesOrderStatus, MoneyError> {
    use SalesOrderStatus::{Confirmed, Invoiced, Paid};
    Ok(match status {
        Confirmed | Invoiced if account.due()?.is_zero() => Paid,
        other => other,
    })
}

/// Checks money that came.
///
/// # Errors
/// Nothing or less, another currency, more than is due.
pub fn payment(account: &Account, amount: Money) -> Result<(), Refusal> {
    if amount.currency != account.total.currency {
        let message = format!("The sales order is in {}.", account.total.currency);
        return Err(Refusal::at(Code::CurrencyMismatch, ["amount", "currency"], message));
    }
    if amount.minor <= 0 {
        return Err(Refusal::at(Code::Invalid, ["amount", "amount"], "Record an amount of more than zero."));
    }
    let due = account.due()?;
    if amount.minor > due.minor { Err(SalesRefusal::MoreThanDue { given: amount, due }.into()) } else { Ok(()) }
}

// ---- what goes back ----------------------------------------------------------------------------------------------------------------

/// A line, and what of it went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Creditable {
    /// How many seats it sold.
    pub quantity: u32,
    /// What is paid for it.
    pub total: Money,
    /// What of that is tax.
    pub tax: Money,
    /// How many seats went back.
    pub credited_quantity: u32,
}

/// What goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// Seats.
    pub quantity: u32,
    /// What was paid for them.
    pub total: Money,
    /// What of that is tax.
    pub tax: Money,
}

/// What `units` seats of a line give back: their share of the line so far, less what went back before. Cut up in whatever way, all seats give
/// back the whole line.
///
/// # Errors
/// [`SalesRefusal::Quantity`] for none, [`SalesRefusal::TooManyUnits`].
pub fn credit(line: &Creditable, units: u32) -> Result<Credit, Refusal> {
    let left = line.quantity.saturating_sub(line.credited_quantity);
    if units == 0 {
        return Err(SalesRefusal::Quantity { given: 0 }.into());
    }
    if units > left {
        return Err(SalesRefusal::TooManyUnits { asked: units, left }.into());
    }
    let (before, after) = (line.credited_quantity, line.credited_quantity + units);
    let share = |whole: Money| -> Result<Money, MoneyError> {
        let part = |units: u32| ratio(whole.minor, i128::from(units), i128::from(line.quantity));
        Money::new(part(after)?, whole.currency).sub(Money::new(part(before)?, whole.currency))
    };
    Ok(Credit { quantity: units, total: share(line.total)?, tax: share(line.tax)? })
}

/// Which seats go back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeatsBack {
    /// Seats whose tokens were not made yet.
    pub unmade: u32,
    /// Seats that nobody redeemed.
    pub unused: u32,
    /// Seats that learners redeemed, whose access ends.
    pub redeemed: u32,
}

/// Which seats of a line go back for `units`: those that were never made, then those that nobody redeemed, and redeemed ones only on purpose.
///
/// # Errors
/// [`SalesRefusal::Redeemed`].
pub fn seats_back(unmade: u32, unused: u32, redeemed: u32, units: u32, include_redeemed: bool) -> Result<SeatsBack, SalesRefusal> {
    let from_unmade = units.min(unmade);
    let from_unused = (units - from_unmade).min(unused);
    let rest = units - from_unmade - from_unused;
    if rest > 0 && (!include_redeemed || rest > redeemed) {
        return Err(SalesRefusal::Redeemed { unused: unmade.saturating_add(unused), redeemed });
    }
    Ok(SeatsBack { unmade: from_unmade, unused: from_unused, redeemed: rest })
}

// ---- seats beyond those that were bought -------------------------------------------------------------------------------------------

/// How many seats have to be made beyond the free ones, for a company that may take `limit` of them and has `unpaid` already.
///
/// # Errors
/// [`SalesRefusal::OverageLimit`].
pub fn overage(free: usize, needed: usize, unpaid: u32, limit: u32) -> Result<u32, SalesRefusal> {
    let left = limit.saturating_sub(unpaid);
    let missing = needed.saturating_sub(free);
    u32::try_from(missing).ok().filter(|missing| *missing <= left).ok_or(SalesRefusal::OverageLimit { free, needed, left })
}

/// When seats that were taken at `now` are billed: as the next month begins in the shop's zone.
///
/// # Errors
/// The end of the calendar.
pub fn billed_at(now: DateTime<Utc>, zone: Tz) -> Result<DateTime<Utc>, WindowRefusal> {
    let today = now.with_timezone(&zone).date_naive();
    let (year, month) = if today.month() == 12 { (today.year() + 1, 1) } else { (today.year(), today.month() + 1) };
    let first = NaiveDate::from_ymd_opt(year, month, 1).ok_or_else(|| WindowRefusal::OutOfRange(today.to_string()))?;
    start_of_day(first, zone)
}

/// What a document says, frozen when it is issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What it is.
    pub kind: DocumentKind,
    /// In which language it is printed.
    pub locale: String,
    /// The day it is of, in the shop's zone.
    pub day: NaiveDate,
    /// Who sells: name, address, tax number, in lines.
    pub seller: String,
    /// Who buys, in lines.
    pub buyer: String,
    /// Number of the sales order.
    pub order_number: String,
    /// The buyer's own number of it.
    pub po_number: Option<String>,
    /// Number of the invoice that a credit note is about.
    pub about: Option<String>,
    /// What was agreed about paying, or why seats go back.
    pub terms: Option<String>,
    /// Its lines.
    pub lines: Vec<DocumentLine>,
    /// Sum of the net amounts.
    pub net: Money,
    /// Sum of the taxes.
    pub tax: Money,
    /// What is to pay, or is not.
    pub total: Money,
}

/// A line of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentLine {
    /// SKU.
    pub sku: String,
    /// Title.
    pub title: String,
    /// How many seats.
    pub quantity: u32,
    /// The price of one, where there is one.
    pub unit_price: Option<Money>,
    /// Without tax.
    pub net: Money,
    /// Tax rate in millionths.
    pub tax_rate: u32,
    /// Tax.
    pub tax: Money,
    /// With tax.
    pub total: Money,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{AppliesTo, PriceRow, Schedule, ScheduleMode, Tier, TierPrice};
    use crate::pricing::{Buyer, Channel, Market, Prices, RateTable, quote};
    use crate::window::Window;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).expect("a currency")
    }

    fn usd(minor: i64) -> Money {
        Money::new(minor, currency("USD"))
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn tiers(mode: ScheduleMode, applies_to: AppliesTo) -> Schedule {
        let tier = |min_quantity, minor| Tier { min_quantity, price: TierPrice::Fixed(usd(minor)) };
        Schedule::new(mode, applies_to, vec![tier(1, 1_000), tier(11, 900), tier(51, 800)]).expect("a schedule")
    }

    fn recommended(quantity: u32, mode: ScheduleMode, channel: Channel) -> Result<Quote, Unavailable> {
        let schedule = tiers(mode, AppliesTo::SalesOrder);
        let rows = [PriceRow { amount: usd(1_000), group: None, window: Window::ALWAYS }];
        let prices = Prices { override_prices: &[], rows: &rows, schedule: Some(&schedule) };
        let buyer = Buyer { currency: currency("USD"), groups: &[], channel };
        let rates = RateTable::default();
        let market = Market { base_currency: currency("USD"), rates: &rates };
        quote(&prices, &buyer, &market, quantity, at("2026-06-15T12:00:00Z"))
    }

    fn agreed(quantity: u32, wish: Wish, side: Side) -> Result<Agreed, Vec<Code>> {
        let found = recommended(quantity, ScheduleMode::Slab, Channel::SalesOrder);
        let recommended = Recommended { quote: &found, terms: days(365), kind: ProductKind::Library };
        agree(currency("USD"), &recommended, quantity, wish, side, at("2026-06-15T12:00:00Z"))
            .map_err(|refusals| refusals.into_iter().map(|refusal| refusal.code).collect())
    }

    fn days(days: i64) -> Terms {
        Terms::of_kind(ProductKind::Library, Some(days), None).expect("terms")
    }

    fn wish(minor: Option<i64>, days: Option<i64>, reason: Option<&str>) -> Wish {
        Wish { price: minor.map(usd), access_days: days, reason: reason.map(str::to_owned) }
    }

    /// c35: the step that is reached holds for the whole quantity, or each for its own part; carts do not use a schedule for sales orders.
    #[test]
    fn c35_a_line_costs_what_the_one_tier_function_says() {
        for (quantity, slab, graduated) in
            [(1, 1_000, 1_000), (10, 10_000, 10_000), (11, 9_900, 10_900), (50, 45_000, 46_000), (51, 40_800, 46_800)]
        {
            let subtotal = |mode, channel| recommended(quantity, mode, channel).expect("a price").subtotal;
            assert_eq!(subtotal(ScheduleMode::Slab, Channel::SalesOrder), usd(slab), "{quantity}");
            assert_eq!(subtotal(ScheduleMode::Graduated, Channel::SalesOrder), usd(graduated), "{quantity}");
            assert_eq!(subtotal(ScheduleMode::Slab, Channel::Cart), usd(1_000 * i64::from(quantity)), "{quantity}");
        }
    }

    #[test]
    fn the_shop_agrees_on_anything_with_a_reason_and_a_company_on_nothing_better() {
        let plain = |quantity: i64| Agreed { unit_price: Some(usd(900)), subtotal: usd(900 * quantity), terms: days(365), reason: None };
        for side in [Side::Shop, Side::Company] {
            assert_eq!(agreed(11, Wish::default(), side), Ok(plain(11)));
            assert_eq!(agreed(11, wish(Some(900), Some(365), None), side), Ok(plain(11)), "the same is no other price");
        }
        let lower = Agreed { unit_price: Some(usd(850)), subtotal: usd(9_350), terms: days(400), reason: Some("a friend".to_owned()) };
        assert_eq!(agreed(11, wish(Some(850), Some(400), Some("a friend")), Side::Shop), Ok(lower));
        assert_eq!(agreed(11, wish(Some(850), None, None), Side::Shop), Err(vec![Code::Required]));
        assert_eq!(agreed(11, wish(Some(850), None, Some("x")), Side::Company), Err(vec![Code::BelowRecommended]));
        assert_eq!(agreed(11, wish(None, Some(366), Some("x")), Side::Company), Err(vec![Code::BelowRecommended]));
        assert!(agreed(11, wish(Some(950), Some(30), Some("a rounder sum")), Side::Company).is_ok(), "worse for itself is its own matter");
        assert_eq!(agreed(11, wish(Some(-1), Some(0), Some("x")), Side::Shop), Err(vec![Code::TermsInvalid, Code::Invalid]));
        assert_eq!(
            agreed(11, Wish { price: Some(Money::new(1, currency("EUR"))), ..Wish::default() }, Side::Shop),
            Err(vec![Code::CurrencyMismatch])
        );
        assert_eq!(agreed(11, wish(Some(i64::MAX), None, Some("x")), Side::Shop), Err(vec![Code::Invalid]));
    }

    #[test]
    fn without_a_price_the_shop_names_one_and_a_company_asks_for_it() {
        let none = Err(Unavailable::NoPrice);
        let recommended = Recommended { quote: &none, terms: days(365), kind: ProductKind::Library };
        let agreed = |wish, side| agree(currency("USD"), &recommended, 2, wish, side, at("2026-06-15T12:00:00Z"));
        let codes = |result: Result<Agreed, Vec<Refusal>>| {
            result.map_err(|refusals| refusals.into_iter().map(|found| found.code).collect::<Vec<_>>())
        };
        assert_eq!(codes(agreed(Wish::default(), Side::Shop)), Err(vec![Code::NoPrice]));
        assert_eq!(codes(agreed(wish(Some(500), None, Some("x")), Side::Company)), Err(vec![Code::NoPrice]));
        assert_eq!(agreed(wish(Some(500), None, Some("new")), Side::Shop).map(|agreed| agreed.subtotal), Ok(usd(1_000)));
        let months = Recommended { kind: ProductKind::Group, terms: Terms::endless(ProductKind::Group), ..recommended };
        assert_eq!(
            codes(agree(currency("USD"), &months, 2, wish(Some(1), Some(30), Some("x")), Side::Shop, at("2026-06-15T12:00:00Z"))),
            Err(vec![Code::TermsInvalid])
        );
    }

    #[test]
    fn each_step_has_its_states_and_its_side() {
        use SalesOrderStatus as Status;
        let can =
            |step: Step, side| -> Vec<Status> { Status::ALL.iter().copied().filter(|status| check(step, side, *status).is_ok()).collect() };
        for (step, shop, company) in [
            (Step::Update, &[Status::Draft, Status::Quoted][..], &[Status::Draft][..]),
            (Step::Send, &[Status::Draft, Status::Quoted], &[]),
            (Step::Accept, &[], &[Status::Quoted]),
            (Step::Confirm, &[Status::Draft, Status::Quoted], &[Status::Draft]),
            (Step::Invoice, &[Status::Confirmed, Status::Paid], &[]),
            (Step::RecordPayment, &[Status::Confirmed, Status::Invoiced], &[]),
            (Step::Cancel, &[Status::Draft, Status::Quoted, Status::Confirmed, Status::Invoiced], &[Status::Draft, Status::Quoted]),
            (Step::Refund, &[Status::Confirmed, Status::Invoiced, Status::Paid], &[]),
        ] {
            assert_eq!((can(step, Side::Shop).as_slice(), can(step, Side::Company).as_slice()), (shop, company), "{step:?}");
        }
    }

    #[test]
    fn money_pays_until_nothing_is_due_and_never_more() {
        let account =
            |credited, paid, returned| Account { total: usd(10_000), credited: usd(credited), paid: usd(paid), returned: usd(returned) };
        let codes = |account: Account, amount| payment(&account, amount).map_err(|refusal| refusal.code);
        assert_eq!(codes(account(0, 0, 0), usd(10_000)), Ok(()));
        assert_eq!(codes(account(0, 4_000, 0), usd(6_001)), Err(Code::MoreThanDue));
        assert_eq!(codes(account(1_000, 4_000, 0), usd(5_000)), Ok(()));
        assert_eq!(codes(account(0, 0, 0), usd(0)), Err(Code::Invalid));
        assert_eq!(codes(account(0, 0, 0), Money::new(1, currency("EUR"))), Err(Code::CurrencyMismatch));
        let settled = |account: Account| settle(SalesOrderStatus::Invoiced, &account).expect("a state");
        assert_eq!(settled(account(0, 9_999, 0)), SalesOrderStatus::Invoiced);
        assert_eq!(settled(account(0, 10_000, 0)), SalesOrderStatus::Paid);
        assert_eq!(settled(account(6_000, 4_000, 0)), SalesOrderStatus::Paid, "what is not to be paid is not due");
        assert_eq!(account(3_000, 10_000, 0).to_return(), Ok(usd(3_000)));
        assert_eq!(account(3_000, 10_000, 2_000).to_return(), Ok(usd(1_000)));
        assert_eq!(account(3_000, 7_000, 0).to_return(), Ok(usd(0)));
    }

    #[test]
    fn seats_go_back_unused_ones_first_and_redeemed_ones_on_purpose() {
        let back = |unmade, unused, redeemed| Ok(SeatsBack { unmade, unused, redeemed });
        assert_eq!(seats_back(0, 7, 3, 7, false), back(0, 7, 0));
        assert_eq!(seats_back(0, 7, 3, 8, false), Err(SalesRefusal::Redeemed { unused: 7, redeemed: 3 }));
        assert_eq!(seats_back(0, 7, 3, 8, true), back(0, 7, 1));
        assert_eq!(seats_back(10, 0, 0, 4, false), back(4, 0, 0));
        assert_eq!(seats_back(0, 7, 3, 11, true), Err(SalesRefusal::Redeemed { unused: 7, redeemed: 3 }));
    }

    #[test]
    fn a_company_takes_more_seats_than_it_has_up_to_its_limit() {
        assert_eq!(overage(7, 5, 0, 0), Ok(0));
        assert_eq!(overage(7, 9, 0, 2), Ok(2));
        assert_eq!(overage(7, 9, 1, 2), Err(SalesRefusal::OverageLimit { free: 7, needed: 9, left: 1 }));
        assert_eq!(overage(0, 1, 5, 2), Err(SalesRefusal::OverageLimit { free: 0, needed: 1, left: 0 }));
    }

    #[test]
    fn what_was_taken_in_a_month_is_billed_as_the_next_begins_in_the_shops_zone() {
        let vienna = chrono_tz::Europe::Vienna;
        for (now, zone, billed) in [
            ("2026-06-15T12:00:00Z", Tz::UTC, "2026-07-01T00:00:00Z"),
            ("2026-06-30T21:59:59Z", vienna, "2026-06-30T22:00:00Z"),
            ("2026-06-30T22:00:00Z", vienna, "2026-07-31T22:00:00Z"),
            ("2026-12-31T23:30:00Z", Tz::UTC, "2027-01-01T00:00:00Z"),
            ("2026-12-31T23:30:00Z", vienna, "2027-01-31T23:00:00Z"),
        ] {
            assert_eq!(billed_at(at(now), zone), Ok(at(billed)), "{now} in {zone}");
        }
    }

    #[test]
    fn numbers_of_documents_sort_as_they_were_issued() {
        assert_eq!(
            (DocumentKind::Invoice.number(7), DocumentKind::CreditNote.number(1_234_567)),
            ("INV-000007".to_owned(), "CRN-1234567".to_owned())
        );
    }

    proptest! {
        /// However seats go back, all of them give back the whole line to the cent, and no part is below zero.
        #[test]
        fn all_seats_give_back_the_whole_line(total in 0_i64..10_000_000, rate in 0_u32..500_000, parts in proptest::collection::vec(1_u32..40, 1..12)) {
            let quantity = parts.iter().sum::<u32>();
            let tax = ratio(total, i128::from(rate), 1_000_000 + i128::from(rate)).expect("a tax");
            let (mut given, mut taxed, mut done) = (0, 0, 0);
            for units in parts {
                let line = Creditable { quantity, total: usd(total), tax: usd(tax), credited_quantity: done };
                let back = credit(&line, units).expect("a part");
                prop_assert!(back.total.minor >= 0 && back.tax.minor >= 0);
                given += back.total.minor;
                taxed += back.tax.minor;
                done += units;
            }
            prop_assert_eq!((given, taxed), (total, tax));
            let line = Creditable { quantity, total: usd(total), tax: usd(tax), credited_quantity: done };
            prop_assert!(credit(&line, 1).is_err());
        }

        /// The price of a line is that of a naive loop over its seats, in either mode.
        #[test]
        fn a_lines_price_is_that_of_a_naive_loop(quantity in 1_u32..200) {
            let each = |seat: u32| if seat >= 51 { 800 } else if seat >= 11 { 900 } else { 1_000 };
            let graduated: i64 = (1..=quantity).map(each).sum();
            let found = |mode| recommended(quantity, mode, Channel::SalesOrder).expect("a price").subtotal;
            prop_assert_eq!(found(ScheduleMode::Slab), usd(each(quantity) * i64::from(quantity)));
            prop_assert_eq!(found(ScheduleMode::Graduated), usd(graduated));
        }
    }
}
