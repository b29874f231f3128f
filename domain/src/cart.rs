//! Carts: their lines, what stands wrong with them, and whether they can be placed.
//!
//! Always true here: a line is named by product, session and whom it is for; what has gone or changed is said on the line and never altered
//! in silence; the function that tells whether a cart can be placed is the one that guards placing.

use std::collections::{HashMap, HashSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::{CatalogRefusal, ProductKind, Saleability, may_be_sold};
use crate::company::{CompanyFacts, may_buy};
use crate::credit_sale::Gain;
use crate::id::{CartLineId, ProductId, SessionId};
use crate::money::{Currency, Money, MoneyError};
use crate::pricing::{LineAmounts, Quote, Totals, Unavailable};
use crate::refusal::{Code, Reason, Refusal};
use crate::seat::SeatRefusal;
use crate::terms::Terms;
use crate::text::Email;

/// Largest quantity of a line.
pub const MAX_QUANTITY: u32 = 10_000;
/// Most lines of a cart. Merging two carts may exceed it, for then nothing is dropped.
pub const MAX_LINES: usize = 500;

named! {
    /// Whether a cart can still be written to.
    pub enum CartStatus {
        /// It can.
        Open = "OPEN",
        /// It was placed and is an order.
        Ordered = "ORDERED",
        /// It was a guest's and is part of an account's cart now.
        Merged = "MERGED",
    }
}

named! {
    /// Whom a line is for, without the person.
    pub enum ForKind {
        /// The buyer.
        SelfBuyer = "SELF",
        /// Whoever redeems a token.
        Seats = "SEATS",
        /// A named learner.
        Learner = "LEARNER",
    }
}

/// Whom a line is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum For {
    /// The buyer.
    SelfBuyer,
    /// Whoever redeems a token; the line gives as many as its quantity.
    Seats,
    /// A named learner.
    Learner {
        /// The learner's e-mail; `None` once the learner was erased.
        email: Option<Email>,
        /// The learner's name.
        name: Option<String>,
    },
}

impl For {
    /// Without the person.
    pub const fn kind(&self) -> ForKind {
        match self {
            Self::SelfBuyer => ForKind::SelfBuyer,
            Self::Seats => ForKind::Seats,
            Self::Learner { .. } => ForKind::Learner,
        }
    }
}

/// Why a cart refuses something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CartRefusal {
    /// A quantity outside its bounds.
    #[error("A quantity of {quantity} is out of range; give 1 to {MAX_QUANTITY}. To take a line out of the cart, use cartLinesRemove.")]
    QuantityOutOfRange {
        /// What was given.
        quantity: i64,
    },
    /// Several of what one person gets once.
    #[error("A line for oneself or for a named learner has a quantity of 1; to buy {quantity}, make it a line for seats.")]
    OnlyOneEach {
        /// What was given.
        quantity: i64,
    },
    /// Credits for whoever redeems a token.
    #[error("A credit pack has no seats: its credits go to somebody's account. Make it a line for yourself or for a named learner.")]
    NoSeats,
    /// The same line twice in one input.
    #[error("This line is named at place {first} already; name each product, session and \"for\" once.")]
    Repeated {
        /// Place of the other one, from 0.
        first: usize,
    },
    /// Nothing to set.
    #[error("No lines are given; name at least one.")]
    NoLines,
    /// A cart of too many lines.
    #[error("A cart holds at most {MAX_LINES} lines; place it, or take lines out with cartLinesRemove.")]
    TooManyLines,
    /// The shop sells one item at a time.
    #[error("This shop sells one item per order; place the cart with the item in it first, or take that out with cartLinesRemove.")]
    SeveralItems,
    /// The cart is an order.
    #[error("This cart was placed as order {order} and cannot change; cancel that order while it is unpaid, or start a new cart.")]
    Ordered {
        /// The order's number.
        order: String,
    },
    /// The cart went into an account's cart.
    #[error("This cart was merged into the account's cart; go on with that one.")]
    Merged,
    /// Somebody else changed the cart meanwhile.
    #[error("The cart is at version {version}, not {expected}; look at it again and repeat the change with its version.")]
    Changed {
        /// The version that was expected.
        expected: i64,
        /// The version that the cart has.
        version: i64,
    },
    /// The cart is empty.
    #[error("The cart is empty; add a line with cartLinesSet.")]
    Empty,
    /// Nobody buys.
    #[error("The cart has no buyer; set name and e-mail with cartBuyerSet.")]
    BuyerMissing,
    /// The product is gone, or not for this buyer.
    #[error("This product is not available here any more; take the line out with cartLinesRemove.")]
    NotAvailable,
    /// The sum of the cart is more than an amount can hold.
    #[error("The total of the cart is too large; take lines out or order fewer.")]
    TotalTooLarge,
    /// The price to pay differs from the one agreed to.
    #[error("The total is {fresh}, not {expected}; look at the cart again and place it with the new total.")]
    PriceChanged {
        /// What the buyer agreed to.
        expected: Money,
        /// What it costs now.
        fresh: Money,
    },
    /// Access got worse since the buyer saw it.
    #[error("Access now lasts {fresh}, not {shown} as shown before; look at the cart again and place it if you agree.")]
    TermsWorse {
        /// The line.
        line: CartLineId,
        /// What was shown.
        shown: Terms,
        /// What it is now.
        fresh: Terms,
    },
    /// The line gives less credits than the buyer saw.
    #[error(
        "A line now gives {}, not {} as shown before; look at the cart again and place it if you agree.",
        credit_words(fresh),
        credit_words(shown)
    )]
    CreditsWorse {
        /// The line.
        line: CartLineId,
        /// What was shown.
        shown: Gain,
        /// What it is now.
        fresh: Gain,
    },
    /// The expected total is in another currency than the cart.
    #[error("The expected total is in {found}, but the cart is in {expected}; repeat the total that the cart shows.")]
    ExpectedCurrency {
        /// The cart's currency.
        expected: Currency,
        /// What was given.
        found: Currency,
    },
}

impl Reason for CartRefusal {
    fn code(&self) -> Code {
        match self {
            Self::QuantityOutOfRange { .. } | Self::OnlyOneEach { .. } => Code::QuantityInvalid,
            Self::Repeated { .. } => Code::Repeated,
            Self::NoLines => Code::Required,
            Self::TooManyLines => Code::TooLong,
            Self::SeveralItems => Code::SeveralItems,
            Self::NoSeats => Code::Invalid,
            Self::Ordered { .. } => Code::CartOrdered,
            Self::Merged => Code::CartClaimed,
            Self::Changed { .. } => Code::CartChanged,
            Self::Empty => Code::CartEmpty,
            Self::BuyerMissing => Code::BuyerMissing,
            Self::NotAvailable => Code::NotAvailable,
            Self::TotalTooLarge => Code::TooLarge,
            Self::PriceChanged { .. } | Self::TermsWorse { .. } | Self::CreditsWorse { .. } => Code::PriceChanged,
            Self::ExpectedCurrency { .. } => Code::CurrencyMismatch,
        }
    }

    fn field(&self) -> Vec<String> {
        let field = match self {
            Self::QuantityOutOfRange { .. } | Self::OnlyOneEach { .. } => "quantity",
            Self::NoLines | Self::TooManyLines => "lines",
            Self::NoSeats => "for",
            Self::Changed { .. } => "expectedVersion",
            Self::PriceChanged { .. } | Self::ExpectedCurrency { .. } => "expectedTotal",
            Self::Repeated { .. }
            | Self::SeveralItems
            | Self::Ordered { .. }
            | Self::Merged
            | Self::Empty
            | Self::BuyerMissing
            | Self::NotAvailable
            | Self::TotalTooLarge
            | Self::TermsWorse { .. }
            | Self::CreditsWorse { .. } => return Vec::new(),
        };
        vec![field.to_owned()]
    }
}

/// Checks the quantity of a line; `counted` is whether one person can have several: of credit packs.
///
/// # Errors
/// [`CartRefusal::QuantityOutOfRange`] or [`CartRefusal::OnlyOneEach`].
pub fn check_quantity(kind: ForKind, counted: bool, quantity: i64) -> Result<u32, CartRefusal> {
    let checked = u32::try_from(quantity).ok().filter(|quantity| (1..=MAX_QUANTITY).contains(quantity));
    match checked.ok_or(CartRefusal::QuantityOutOfRange { quantity })? {
        1 => Ok(1),
        checked if counted || kind == ForKind::Seats => Ok(checked),
        _ => Err(CartRefusal::OnlyOneEach { quantity }),
    }
}

/// What names a line within its cart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LineKey {
    product: ProductId,
    session: Option<SessionId>,
    kind: ForKind,
    learner: Option<Email>,
}

impl LineKey {
    /// The key of a line for this product, session and person.
    pub fn new(product: ProductId, session: Option<SessionId>, for_: &For) -> Self {
        let learner = match for_ {
            For::Learner { email, .. } => email.clone(),
            For::SelfBuyer | For::Seats => None,
        };
        Self { product, session, kind: for_.kind(), learner }
    }

    /// The key as one text, for a unique column. A learner's normalised address goes through `hash` first: addresses are kept with persons only.
    pub fn stored(&self, hash: impl FnOnce(&str) -> String) -> String {
        let session = self.session.map(|session| session.to_string()).unwrap_or_default();
        let learner = self.learner.as_ref().map(|email| hash(email.normalised())).unwrap_or_default();
        format!("{}/{session}/{}/{learner}", self.product, self.kind)
    }
}

/// A line of a cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its id.
    pub id: CartLineId,
    /// The product.
    pub product: ProductId,
    /// The session of an event.
    pub session: Option<SessionId>,
    /// Whom it is for.
    pub for_: For,
    /// How many.
    pub quantity: u32,
}

impl Line {
    /// What names it within its cart.
    pub fn key(&self) -> LineKey {
        LineKey::new(self.product, self.session, &self.for_)
    }
}

/// A line as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineWish {
    /// The product.
    pub product: ProductId,
    /// The session of an event.
    pub session: Option<SessionId>,
    /// Whom it is for.
    pub for_: For,
    /// The quantity that the line is to have.
    pub quantity: i64,
}

/// A line without an id yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// The product.
    pub product: ProductId,
    /// The session of an event.
    pub session: Option<SessionId>,
    /// Whom it is for.
    pub for_: For,
    /// How many.
    pub quantity: u32,
}

impl NewLine {
    /// What names it within its cart.
    pub fn key(&self) -> LineKey {
        LineKey::new(self.product, self.session, &self.for_)
    }
}

/// What is to be written of a cart's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineChange {
    /// A line comes behind the others.
    Add(NewLine),
    /// A line gets another quantity.
    SetQuantity {
        /// The line.
        id: CartLineId,
        /// Its new quantity.
        quantity: u32,
    },
}

/// Sets the quantity of the lines named, and adds those that the cart does not have; other lines stay. A line that has its quantity already
/// gives no change. `packs` are the credit packs among the products.
///
/// # Errors
/// Every fault, with its place in the field path (`lines`, `0`, `quantity`); nothing is to be saved then.
pub fn set_lines(
    existing: &[Line],
    wishes: Vec<LineWish>,
    packs: &HashSet<ProductId>,
    several_items: bool,
) -> Result<Vec<LineChange>, Vec<Refusal>> {
    if wishes.is_empty() {
        return Err(vec![CartRefusal::NoLines.into()]);
    }
    if wishes.len() > MAX_LINES {
        return Err(vec![CartRefusal::TooManyLines.into()]);
    }
    let known: HashMap<LineKey, &Line> = existing.iter().map(|line| (line.key(), line)).collect();
    let mut places: HashMap<LineKey, usize> = HashMap::with_capacity(wishes.len());
    let mut count = existing.len();
    let (mut changes, mut refusals) = (Vec::new(), Vec::new());
    for (index, wish) in wishes.into_iter().enumerate() {
        let mut refuse = |refusal: Refusal| refusals.push(refusal.under(["lines".to_owned(), index.to_string()]));
        let key = LineKey::new(wish.product, wish.session, &wish.for_);
        if let Some(first) = places.insert(key.clone(), index) {
            refuse(CartRefusal::Repeated { first }.into());
            continue;
        }
        let quantity = match check_quantity(wish.for_.kind(), packs.contains(&wish.product), wish.quantity) {
            Ok(quantity) => quantity,
            Err(reason) => {
                refuse(reason.into());
                continue;
            }
        };
        match known.get(&key) {
            Some(line) if line.quantity == quantity => {}
            Some(line) => changes.push(LineChange::SetQuantity { id: line.id, quantity }),
            None => {
                count += 1;
                if !several_items && count > 1 {
                    refuse(CartRefusal::SeveralItems.into());
                } else if count > MAX_LINES {
                    refuse(CartRefusal::TooManyLines.into());
                }
                changes.push(LineChange::Add(NewLine { product: wish.product, session: wish.session, for_: wish.for_, quantity }));
            }
        }
    }
    if refusals.is_empty() { Ok(changes) } else { Err(refusals) }
}

/// What merging a guest's cart into an account's comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// What is to be written to the account's cart.
    pub changes: Vec<LineChange>,
    /// What could not be taken over as it was. Merging never fails for it.
    pub notices: Vec<MergeNotice>,
}

/// Something that merging could not take over as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeNotice {
    /// Two quantities add up to more than a line can have.
    #[error("Both carts together held {sum} of one line; {MAX_QUANTITY} is the most, so that is what the line has now.")]
    Capped {
        /// The product of that line.
        product: ProductId,
        /// What the quantities add up to.
        sum: u32,
    },
}

impl Reason for MergeNotice {
    fn code(&self) -> Code {
        Code::QuantityInvalid
    }
}

/// Merges a guest's lines into an account's (c41): quantities of the same product, session and "for" add up, lines for oneself or a named
/// learner stay at 1 unless they are of `packs`, the credit packs among the products, and the guest's other lines come behind the account's.
pub fn merge(account: &[Line], guest: &[Line], packs: &HashSet<ProductId>) -> Merged {
    let known: HashMap<LineKey, &Line> = account.iter().map(|line| (line.key(), line)).collect();
    let mut merged = Merged::default();
    for line in guest {
        match known.get(&line.key()) {
            None => {
                let (product, session, for_, quantity) = (line.product, line.session, line.for_.clone(), line.quantity);
                merged.changes.push(LineChange::Add(NewLine { product, session, for_, quantity }));
            }
            Some(own) if own.for_.kind() == ForKind::Seats || packs.contains(&line.product) => {
                let sum = own.quantity.saturating_add(line.quantity);
                if sum > MAX_QUANTITY {
                    merged.notices.push(MergeNotice::Capped { product: line.product, sum });
                }
                merged.changes.push(LineChange::SetQuantity { id: own.id, quantity: sum.min(MAX_QUANTITY) });
            }
            Some(_) => {}
        }
    }
    merged
}

/// Whether a cart may be written to: open, and at the version that the caller saw, if it says which. `order` is the number of the order that
/// an ordered cart became.
///
/// # Errors
/// [`CartRefusal::Ordered`], [`CartRefusal::Merged`] or [`CartRefusal::Changed`].
pub fn check_write(status: CartStatus, order: Option<&str>, version: i64, expected_version: Option<i64>) -> Result<(), CartRefusal> {
    check_open(status, order)?;
    match expected_version {
        Some(expected) if expected != version => Err(CartRefusal::Changed { expected, version }),
        _ => Ok(()),
    }
}

fn check_open(status: CartStatus, order: Option<&str>) -> Result<(), CartRefusal> {
    match status {
        CartStatus::Open => Ok(()),
        CartStatus::Ordered => Err(CartRefusal::Ordered { order: order.unwrap_or("unknown").to_owned() }),
        CartStatus::Merged => Err(CartRefusal::Merged),
    }
}

/// What a product is for the buyer of a line, at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferState {
    /// Whether it may be sold at all.
    pub saleability: Saleability,
    /// Its price for the line's quantity.
    pub quote: Result<Quote, Unavailable>,
    /// The terms of access that it gives.
    pub terms: Terms,
}

/// Whether a line may be added or changed as it is.
///
/// # Errors
/// The first thing that would stand wrong with the line.
pub fn check_line(line: &LineFacts) -> Result<(), Refusal> {
    let offer = line.offer.as_ref().ok_or_else(|| Refusal::not_found("product").under(["productId"]))?;
    if line.pack_for_seats(offer) {
        return Err(CartRefusal::NoSeats.into());
    }
    may_be_sold(&offer.saleability).map_err(|reason| Refusal::from(reason).under(["productId"]))?;
    match &offer.quote {
        Ok(_) => {}
        Err(reason @ Unavailable::TooLarge) => return Err(Refusal::from(*reason).under(["quantity"])),
        Err(reason) => return Err(Refusal::from(*reason).under(["productId"])),
    }
    line.seat.clone().map_or(Ok(()), |reason| Err(reason.into()))
}

/// What a buyer was shown of a line when the cart was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What the line cost.
    pub total: Money,
    /// The terms of access.
    pub terms: Terms,
    /// The credits; carts that were written before credits were sold show none.
    #[serde(default)]
    pub credits: Gain,
}

/// A line with all that is known of it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFacts {
    /// The line.
    pub id: CartLineId,
    /// Its offer; none if the product is gone or not for this buyer to see.
    pub offer: Option<OfferState>,
    /// Its amounts, where there is a price.
    pub amounts: Option<LineAmounts>,
    /// The credits that it gives, its own or a pack's.
    pub credits: Gain,
    /// Whom it is for.
    pub for_kind: ForKind,
    /// What the buyer was shown.
    pub shown: Option<Shown>,
    /// Why there is no seat in its session for it.
    pub seat: Option<SeatRefusal>,
    /// Whether the one it is for has a live grant of the same already.
    pub owned: bool,
}

impl LineFacts {
    /// Whether credits are all that it sells, and it is for nobody's account.
    fn pack_for_seats(&self, offer: &OfferState) -> bool {
        self.for_kind == ForKind::Seats && offer.saleability.kind == ProductKind::CreditPack
    }
}

/// The credits of a line in words.
fn credit_words(gain: &Gain) -> String {
    let count = match gain.count {
        0 => return "no credits".to_owned(),
        1 => "1 credit".to_owned(),
        count => format!("{count} credits"),
    };
    let tie = if gain.tied_to.is_some() { " for one product's courses" } else { "" };
    let days = gain.days.map(|days| format!(" for {days} days")).unwrap_or_default();
    format!("{count}{tie}{days}")
}

/// Something to know about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The product is gone or not for this buyer.
    NotAvailable,
    /// The product may not be sold.
    NotSold(CatalogRefusal),
    /// The product has no price here.
    NoPrice(Unavailable),
    /// There is no seat in its session for it.
    NoSeat(SeatRefusal),
    /// The price is another one than was shown.
    PriceChanged {
        /// What was shown.
        shown: Money,
        /// What it is now.
        fresh: Money,
    },
    /// The terms of access are other ones than were shown.
    TermsChanged {
        /// What was shown.
        shown: Terms,
        /// What they are now.
        fresh: Terms,
    },
    /// The credits are other ones than were shown.
    CreditsChanged {
        /// What was shown.
        shown: Gain,
        /// What they are now.
        fresh: Gain,
    },
    /// A credit pack is for somebody's account.
    NoSeats,
    /// The learner has it already.
    Owned,
}

impl Notice {
    /// Whether the cart cannot be placed while this stands.
    pub const fn blocks(&self) -> bool {
        matches!(self, Self::NotAvailable | Self::NotSold(_) | Self::NoPrice(_) | Self::NoSeat(_) | Self::NoSeats)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAvailable => CartRefusal::NotAvailable.fmt(f),
            Self::NotSold(reason) => reason.fmt(f),
            Self::NoPrice(reason) => reason.fmt(f),
            Self::NoSeat(reason) => reason.fmt(f),
            Self::PriceChanged { shown, fresh } => write!(f, "This line now costs {fresh}; it was {shown} when the cart last changed."),
            Self::TermsChanged { shown, fresh } => write!(f, "Access now lasts {fresh}; it was {shown} when the cart last changed."),
            Self::CreditsChanged { shown, fresh } => {
                write!(f, "This line now gives {}; it was {} when the cart last changed.", credit_words(fresh), credit_words(shown))
            }
            Self::NoSeats => CartRefusal::NoSeats.fmt(f),
            Self::Owned => f.write_str("The learner has this already; buying it again extends the access."),
        }
    }
}

impl Reason for Notice {
    fn code(&self) -> Code {
        match self {
            Self::NotAvailable => Code::NotAvailable,
            Self::NotSold(reason) => reason.code(),
            Self::NoPrice(reason) => reason.code(),
            Self::NoSeat(reason) => reason.code(),
            Self::PriceChanged { .. } => Code::PriceChanged,
            Self::TermsChanged { .. } => Code::TermsChanged,
            Self::CreditsChanged { .. } => Code::CreditsChanged,
            Self::NoSeats => CartRefusal::NoSeats.code(),
            Self::Owned => Code::Owned,
        }
    }
}

/// What is to know about a line: what blocks placing first, then what changed since the buyer saw it.
pub fn notices(line: &LineFacts) -> Vec<Notice> {
    let Some(offer) = &line.offer else { return vec![Notice::NotAvailable] };
    let mut notices = Vec::new();
    if let Err(reason) = may_be_sold(&offer.saleability) {
        notices.push(Notice::NotSold(reason));
    }
    if let Err(reason) = &offer.quote {
        notices.push(Notice::NoPrice(*reason));
    }
    if line.pack_for_seats(offer) {
        notices.push(Notice::NoSeats);
    }
    notices.extend(line.seat.clone().map(Notice::NoSeat));
    if let Some(shown) = line.shown {
        if let Some(fresh) = line.amounts.map(|amounts| amounts.total).filter(|fresh| *fresh != shown.total) {
            notices.push(Notice::PriceChanged { shown: shown.total, fresh });
        }
        if offer.terms != shown.terms {
            notices.push(Notice::TermsChanged { shown: shown.terms, fresh: offer.terms });
        }
        if line.credits != shown.credits {
            notices.push(Notice::CreditsChanged { shown: shown.credits, fresh: line.credits });
        }
    }
    if line.owned {
        notices.push(Notice::Owned);
    }
    notices
}

/// Something that stands wrong with a cart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The stable code.
    pub code: Code,
    /// The line concerned; none = the cart as a whole.
    pub line: Option<CartLineId>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    fn of(reason: &impl Reason, line: Option<CartLineId>) -> Self {
        Self { code: reason.code(), line, message: reason.to_string() }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let field: Vec<String> = problem.line.map(|line| vec!["lines".to_owned(), line.to_string()]).unwrap_or_default();
        Self { code: problem.code, field, message: problem.message }
    }
}

/// A cart with all that is known of it now.
#[derive(Debug, Clone, Copy)]
pub struct CartFacts<'a> {
    /// Its status.
    pub status: CartStatus,
    /// The number of the order that it became.
    pub order: Option<&'a str>,
    /// Its currency.
    pub currency: Currency,
    /// The company of its context.
    pub company: Option<CompanyFacts>,
    /// Whether it has a buyer.
    pub buyer_set: bool,
    /// Whether the shop sells several items per order.
    pub several_items: bool,
    /// Its lines.
    pub lines: &'a [LineFacts],
}

impl CartFacts<'_> {
    /// The sums over the lines that have a price.
    ///
    /// # Errors
    /// [`MoneyError`] if they do not fit or a line is in another currency.
    pub fn totals(&self) -> Result<Totals, MoneyError> {
        Totals::of(self.currency, self.lines.iter().filter_map(|line| line.amounts.as_ref()))
    }
}

/// What stands wrong with a cart: the company, the shop's limit on items, then line by line.
pub fn problems(cart: &CartFacts<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(Err(reason)) = cart.company.as_ref().map(may_buy) {
        problems.push(Problem::of(&reason, None));
    }
    if !cart.several_items && cart.lines.len() > 1 {
        problems.push(Problem::of(&CartRefusal::SeveralItems, None));
    }
    if cart.totals().is_err() {
        problems.push(Problem::of(&CartRefusal::TotalTooLarge, None));
    }
    for line in cart.lines {
        problems.extend(notices(line).iter().filter(|notice| notice.blocks()).map(|notice| Problem::of(notice, Some(line.id))));
    }
    problems
}

/// Whether a cart can be placed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readiness {
    /// What has to be done first; nothing = it can be placed.
    pub missing: Vec<Problem>,
}

impl Readiness {
    /// Whether it can be placed.
    pub fn is_ready(&self) -> bool {
        self.missing.is_empty()
    }

    /// Guards placing.
    ///
    /// # Errors
    /// Everything that has to be done first.
    pub fn guard(self) -> Result<(), Vec<Refusal>> {
        if self.is_ready() { Ok(()) } else { Err(self.missing.into_iter().map(Refusal::from).collect()) }
    }
}

/// Whether a cart can be placed, and what has to be done first: an order or a merged cart is told as that alone; else lines, buyer, and
/// everything that stands wrong.
pub fn readiness(cart: &CartFacts<'_>) -> Readiness {
    if let Err(reason) = check_open(cart.status, cart.order) {
        return Readiness { missing: vec![Problem::of(&reason, None)] };
    }
    let mut missing = Vec::new();
    if cart.lines.is_empty() {
        missing.push(Problem::of(&CartRefusal::Empty, None));
    }
    if !cart.buyer_set {
        missing.push(Problem::of(&CartRefusal::BuyerMissing, None));
    }
    missing.extend(problems(cart));
    Readiness { missing }
}

/// Compares what the buyer agreed to with what the cart is now: the total, and for each line the terms of access and the credits as last shown.
/// Better ones are no reason to ask again.
///
/// # Errors
/// [`CartRefusal::ExpectedCurrency`], [`CartRefusal::PriceChanged`], [`CartRefusal::TermsWorse`] or [`CartRefusal::CreditsWorse`].
pub fn check_agreed(expected: Money, fresh: Money, lines: &[LineFacts], now: DateTime<Utc>) -> Result<(), CartRefusal> {
    if expected.currency != fresh.currency {
        return Err(CartRefusal::ExpectedCurrency { expected: fresh.currency, found: expected.currency });
    }
    if expected != fresh {
        return Err(CartRefusal::PriceChanged { expected, fresh });
    }
    for line in lines {
        if let (Some(shown), Some(offer)) = (line.shown, &line.offer)
            && offer.terms.worse_than(shown.terms, now)
        {
            return Err(CartRefusal::TermsWorse { line: line.id, shown: shown.terms, fresh: offer.terms });
        }
        if let Some(shown) = line.shown
            && line.credits.worse_than(&shown.credits)
        {
            return Err(CartRefusal::CreditsWorse { line: line.id, shown: shown.credits, fresh: line.credits });
        }
    }
    Ok(())
}

/// Checks the lines to be taken out: each has to be in the cart; naming one twice does no harm. `None` is what is no id at all.
///
/// # Errors
/// Each unknown line, with its place in the field path (`lineIds`, `0`).
pub fn check_remove(existing: &[CartLineId], ids: &[Option<CartLineId>]) -> Result<(), Vec<Refusal>> {
    let known: HashSet<&CartLineId> = existing.iter().collect();
    let unknown = ids.iter().enumerate().filter(|(_, id)| id.as_ref().is_none_or(|id| !known.contains(id)));
    let refusals: Vec<Refusal> =
        unknown.map(|(index, _)| Refusal::not_found("line in this cart").under(["lineIds".to_owned(), index.to_string()])).collect();
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::{ProductKind, SaleState};
    use crate::company::CompanyType;

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::parse("USD").expect("currency"))
    }

    fn product(n: u128) -> ProductId {
        ProductId::new(Uuid::from_u128(n))
    }

    fn id(n: u128) -> CartLineId {
        CartLineId::new(Uuid::from_u128(n))
    }

    fn learner(email: &str) -> For {
        For::Learner { email: Some(Email::parse(email).expect("address")), name: None }
    }

    fn line(n: u128, of: u128, for_: For, quantity: u32) -> Line {
        Line { id: id(n), product: product(of), session: None, for_, quantity }
    }

    fn at_session(of: u128, session: u128, quantity: i64) -> LineWish {
        LineWish { session: Some(SessionId::new(Uuid::from_u128(session))), ..wish(of, For::Seats, quantity) }
    }

    fn wish(of: u128, for_: For, quantity: i64) -> LineWish {
        LineWish { product: product(of), session: None, for_, quantity }
    }

    fn library() -> Saleability {
        Saleability {
            kind: ProductKind::Library,
            sale_state: SaleState::OnSale,
            archived: false,
            courses: 1,
            commerce_on: false,
            event: false,
        }
    }

    fn days(value: i64) -> Terms {
        Terms::of_kind(ProductKind::Library, Some(value), None).expect("terms")
    }

    fn facts(n: u128, minor: i64) -> LineFacts {
        let quote = Quote { quantity: 1, unit_price: Some(usd(minor)), list_price: None, subtotal: usd(minor), steps: Vec::new() };
        LineFacts {
            id: id(n),
            offer: Some(OfferState { saleability: library(), quote: Ok(quote), terms: days(30) }),
            amounts: Some(LineAmounts::new(usd(minor), usd(0), crate::Percent::default(), true).expect("amounts")),
            credits: Gain::default(),
            for_kind: ForKind::SelfBuyer,
            shown: Some(Shown { total: usd(minor), terms: days(30), credits: Gain::default() }),
            seat: None,
            owned: false,
        }
    }

    fn cart(lines: &[LineFacts]) -> CartFacts<'_> {
        let currency = Currency::parse("USD").expect("currency");
        CartFacts { status: CartStatus::Open, order: None, currency, company: None, buyer_set: true, several_items: true, lines }
    }

    fn now() -> DateTime<Utc> {
        "2026-06-15T12:00:00Z".parse().expect("instant")
    }

    #[test]
    fn quantities_are_1_to_10_000_and_1_for_one_person() {
        for (kind, quantity, expected) in [
            (ForKind::Seats, 1, Ok(1)),
            (ForKind::Seats, 10_000, Ok(10_000)),
            (ForKind::Seats, 10_001, Err(CartRefusal::QuantityOutOfRange { quantity: 10_001 })),
            (ForKind::Seats, 0, Err(CartRefusal::QuantityOutOfRange { quantity: 0 })),
            (ForKind::Seats, -1, Err(CartRefusal::QuantityOutOfRange { quantity: -1 })),
            (ForKind::Seats, i64::MAX, Err(CartRefusal::QuantityOutOfRange { quantity: i64::MAX })),
            (ForKind::SelfBuyer, 1, Ok(1)),
            (ForKind::SelfBuyer, 2, Err(CartRefusal::OnlyOneEach { quantity: 2 })),
            (ForKind::SelfBuyer, 0, Err(CartRefusal::QuantityOutOfRange { quantity: 0 })),
            (ForKind::Learner, 1, Ok(1)),
            (ForKind::Learner, 10_001, Err(CartRefusal::QuantityOutOfRange { quantity: 10_001 })),
        ] {
            assert_eq!(check_quantity(kind, false, quantity), expected, "{kind} {quantity}");
        }
    }

    /// SPEC 5: of credit packs one person can have several, and they have no seats.
    #[test]
    fn r31_one_person_can_buy_several_credit_packs() {
        let packs = HashSet::from([product(1)]);
        assert_eq!(check_quantity(ForKind::SelfBuyer, true, 3), Ok(3));
        assert_eq!(check_quantity(ForKind::Learner, true, 10_001), Err(CartRefusal::QuantityOutOfRange { quantity: 10_001 }));
        let changes = set_lines(&[], vec![wish(1, For::SelfBuyer, 3), wish(2, For::SelfBuyer, 1)], &packs, true).expect("changes");
        assert_eq!(changes.len(), 2);
        assert_eq!(set_lines(&[], vec![wish(2, For::SelfBuyer, 3)], &packs, true).expect_err("no pack")[0].code, Code::QuantityInvalid);
        let merged = merge(&[line(1, 1, For::SelfBuyer, 2)], &[line(2, 1, For::SelfBuyer, 3)], &packs);
        assert_eq!(merged.changes, [LineChange::SetQuantity { id: id(1), quantity: 5 }]);
        let mut seats = LineFacts { for_kind: ForKind::Seats, ..facts(1, 100) };
        assert_eq!(check_line(&seats), Ok(()));
        seats.offer.as_mut().expect("offer").saleability.kind = ProductKind::CreditPack;
        let refusal = check_line(&seats).expect_err("no seats");
        assert_eq!((refusal.code, refusal.field.join(".").as_str()), (Code::Invalid, "for"));
        assert!(!readiness(&cart(std::slice::from_ref(&seats))).is_ready());
    }

    /// SPEC 7: placing asks again where a line gives less credits than was shown, and not where it gives more.
    #[test]
    fn r33_placing_asks_again_if_credits_got_worse() {
        let credits = |count| Gain { count, days: None, tied_to: None };
        let shown = Shown { total: usd(100), terms: days(30), credits: credits(50) };
        for (fresh, expected) in [(50, Ok(())), (51, Ok(())), (49, Err(Code::PriceChanged)), (0, Err(Code::PriceChanged))] {
            let line = LineFacts { shown: Some(shown), credits: credits(fresh), ..facts(1, 100) };
            let changed = notices(&line).iter().map(Reason::code).collect::<Vec<_>>();
            assert_eq!(changed.is_empty(), fresh == 50, "{changed:?}");
            assert_eq!(check_agreed(usd(100), usd(100), &[line], now()).map_err(|refusal| refusal.code()), expected, "{fresh}");
        }
        assert_eq!(
            credit_words(&Gain { count: 1, days: Some(30), tied_to: Some(product(1)) }),
            "1 credit for one product's courses for 30 days"
        );
    }

    #[test]
    fn lines_are_set_by_product_and_person() {
        let existing = [line(1, 1, For::SelfBuyer, 1), line(2, 1, For::Seats, 5), line(3, 1, learner("ann@example.org"), 1)];
        let changes = set_lines(
            &existing,
            vec![
                wish(1, For::Seats, 7),
                wish(1, For::SelfBuyer, 1),
                wish(1, learner("ANN@example.org"), 1),
                wish(2, For::Seats, 3),
                wish(1, learner("bo@example.org"), 1),
            ],
            &HashSet::new(),
            true,
        );
        let added = |of, for_, quantity| LineChange::Add(NewLine { product: product(of), session: None, for_, quantity });
        let expected =
            [LineChange::SetQuantity { id: id(2), quantity: 7 }, added(2, For::Seats, 3), added(1, learner("bo@example.org"), 1)];
        assert_eq!(changes.expect("changes"), expected);
    }

    #[test]
    fn every_bad_line_is_named_and_nothing_is_set() {
        let wishes = vec![wish(1, For::Seats, 0), wish(2, For::SelfBuyer, 2), wish(3, For::Seats, 1), wish(3, For::Seats, 4)];
        let refusals = set_lines(&[], wishes, &HashSet::new(), true).expect_err("bad lines");
        let named: Vec<_> = refusals.iter().map(|refusal| (refusal.code, refusal.field.join("."))).collect();
        assert_eq!(
            named,
            [
                (Code::QuantityInvalid, "lines.0.quantity".to_owned()),
                (Code::QuantityInvalid, "lines.1.quantity".to_owned()),
                (Code::Repeated, "lines.3".to_owned()),
            ]
        );
        assert_eq!(set_lines(&[], Vec::new(), &HashSet::new(), true).expect_err("none")[0].code, Code::Required);
        let many = (0..501).map(|n| wish(n, For::Seats, 1)).collect();
        assert_eq!(set_lines(&[], many, &HashSet::new(), true).expect_err("many")[0].code, Code::TooLong);
    }

    /// Each session of an event is a line of its own.
    #[test]
    fn sessions_of_one_event_are_different_lines() {
        let changes =
            set_lines(&[], vec![wish(1, For::Seats, 1), at_session(1, 1, 2), at_session(1, 2, 3)], &HashSet::new(), true).expect("changes");
        assert_eq!(changes.len(), 3);
        let twice = set_lines(&[], vec![at_session(1, 1, 2), at_session(1, 1, 3)], &HashSet::new(), true).expect_err("twice");
        assert_eq!((twice[0].code, twice[0].field.join(".").as_str()), (Code::Repeated, "lines.1"));
    }

    /// A line without a seat in its session blocks the cart, and cannot be added or changed.
    #[test]
    fn a_line_without_a_seat_blocks() {
        let full = LineFacts { seat: Some(SeatRefusal::Full { free: 1, wanted: 2 }), ..facts(1, 100) };
        let found = notices(&full);
        assert_eq!(found.iter().map(|notice| (notice.code(), notice.blocks())).collect::<Vec<_>>(), [(Code::SessionFull, true)]);
        let refusal = check_line(&full).expect_err("full");
        assert_eq!((refusal.code, refusal.field.join(".").as_str()), (Code::SessionFull, "quantity"));
        assert_eq!(check_line(&facts(1, 100)), Ok(()));
    }

    /// R22: a shop may sell one item per order.
    #[test]
    fn r22_one_item_per_order_where_the_shop_says_so() {
        let existing = [line(1, 1, For::Seats, 5)];
        assert_eq!(
            set_lines(&existing, vec![wish(1, For::Seats, 6)], &HashSet::new(), false),
            Ok(vec![LineChange::SetQuantity { id: id(1), quantity: 6 }])
        );
        assert_eq!(
            set_lines(&existing, vec![wish(2, For::Seats, 6)], &HashSet::new(), false).expect_err("second")[0].code,
            Code::SeveralItems
        );
        let lines = [facts(1, 100), facts(2, 200)];
        let missing = readiness(&CartFacts { several_items: false, ..cart(&lines) }).missing;
        assert_eq!(missing.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::SeveralItems]);
    }

    /// c41: A x 1 and seats B x 2 meet seats B x 1, C x 1 and A x 1.
    #[test]
    fn c41_guest_lines_join_the_accounts() {
        let account = [line(1, 1, For::SelfBuyer, 1), line(2, 2, For::Seats, 2)];
        let guest = [line(3, 2, For::Seats, 1), line(4, 3, For::SelfBuyer, 1), line(5, 1, For::SelfBuyer, 1)];
        let merged = merge(&account, &guest, &HashSet::new());
        let added = LineChange::Add(NewLine { product: product(3), session: None, for_: For::SelfBuyer, quantity: 1 });
        assert_eq!(merged.changes, [LineChange::SetQuantity { id: id(2), quantity: 3 }, added]);
        assert!(merged.notices.is_empty());
    }

    #[test]
    fn c41_merging_never_fails() {
        let merged = merge(&[line(1, 1, For::Seats, 9_999)], &[line(2, 1, For::Seats, 5)], &HashSet::new());
        assert_eq!(merged.changes, [LineChange::SetQuantity { id: id(1), quantity: 10_000 }]);
        assert_eq!(merged.notices, [MergeNotice::Capped { product: product(1), sum: 10_004 }]);
    }

    #[test]
    fn a_cart_that_is_an_order_or_has_moved_on_is_not_written() {
        assert_eq!(check_write(CartStatus::Open, None, 3, None), Ok(()));
        assert_eq!(check_write(CartStatus::Open, None, 3, Some(3)), Ok(()));
        assert_eq!(check_write(CartStatus::Open, None, 3, Some(2)), Err(CartRefusal::Changed { expected: 2, version: 3 }));
        let ordered = check_write(CartStatus::Ordered, Some("7K3QM-9XW2R"), 3, Some(2)).expect_err("ordered");
        assert_eq!(ordered.code(), Code::CartOrdered);
        assert!(ordered.to_string().contains("7K3QM-9XW2R"));
        assert_eq!(check_write(CartStatus::Merged, None, 3, None), Err(CartRefusal::Merged));
    }

    #[test]
    fn notices_say_what_is_gone_and_what_changed() {
        let good = facts(1, 100);
        let offer = |change: &dyn Fn(&mut OfferState)| {
            let mut offer = good.offer.clone().expect("offer");
            change(&mut offer);
            Some(offer)
        };
        let no_rate = Unavailable::NoRate { from: usd(0).currency, to: usd(0).currency };
        for (line, expected) in [
            (good.clone(), vec![]),
            (LineFacts { shown: None, ..good.clone() }, vec![]),
            (LineFacts { offer: None, amounts: None, ..good.clone() }, vec![(Code::NotAvailable, true)]),
            (LineFacts { offer: offer(&|offer| offer.saleability.archived = true), ..good.clone() }, vec![(Code::Archived, true)]),
            (
                LineFacts { offer: offer(&|offer| offer.saleability.sale_state = SaleState::Stopped), ..good.clone() },
                vec![(Code::NotOnSale, true)],
            ),
            (LineFacts { offer: offer(&|offer| offer.quote = Err(no_rate)), amounts: None, ..good.clone() }, vec![(Code::NoRate, true)]),
            (
                LineFacts { shown: Some(Shown { total: usd(90), terms: days(30), credits: Gain::default() }), ..good.clone() },
                vec![(Code::PriceChanged, false)],
            ),
            (
                LineFacts { offer: offer(&|offer| offer.terms = days(20)), owned: true, ..good.clone() },
                vec![(Code::TermsChanged, false), (Code::Owned, false)],
            ),
        ] {
            let found: Vec<_> = notices(&line).iter().map(|notice| (notice.code(), notice.blocks())).collect();
            assert_eq!(found, expected, "{line:?}");
            let blocked = expected.iter().filter(|(_, blocks)| *blocks).count();
            assert_eq!(problems(&cart(std::slice::from_ref(&line))).len(), blocked);
        }
    }

    /// One function tells whether a cart can be placed, in order of precedence, and guards placing.
    #[test]
    fn readiness_names_everything_that_is_missing() {
        let (fine, gone) = ([facts(1, 100), facts(2, 0)], [facts(1, 100), LineFacts { offer: None, amounts: None, ..facts(2, 5) }]);
        let huge = [facts(1, i64::MAX), facts(2, 1)];
        let sales = CompanyFacts { company_type: CompanyType::SalesOrder, enabled: true, archived: false };
        let off = CompanyFacts { company_type: CompanyType::Retail, enabled: false, archived: false };
        for (cart, expected) in [
            (cart(&fine), vec![]),
            (cart(&[]), vec![Code::CartEmpty]),
            (CartFacts { buyer_set: false, ..cart(&[]) }, vec![Code::CartEmpty, Code::BuyerMissing]),
            (cart(&gone), vec![Code::NotAvailable]),
            (cart(&huge), vec![Code::TooLarge]),
            (
                CartFacts { company: Some(off), buyer_set: false, ..cart(&gone) },
                vec![Code::BuyerMissing, Code::CompanyDisabled, Code::NotAvailable],
            ),
            (CartFacts { company: Some(sales), ..cart(&fine) }, vec![Code::SalesOrderCompany]),
            (CartFacts { status: CartStatus::Ordered, order: Some("X"), buyer_set: false, ..cart(&gone) }, vec![Code::CartOrdered]),
            (CartFacts { status: CartStatus::Merged, ..cart(&fine) }, vec![Code::CartClaimed]),
        ] {
            let ready = readiness(&cart);
            assert_eq!(ready.missing.iter().map(|problem| problem.code).collect::<Vec<_>>(), expected);
            assert_eq!(ready.is_ready(), expected.is_empty());
            assert_eq!(ready.guard().map_err(|refusals| refusals.len()), if expected.is_empty() { Ok(()) } else { Err(expected.len()) });
        }
        let refusals = readiness(&cart(&gone)).guard().expect_err("gone");
        assert_eq!(refusals[0].field, ["lines".to_owned(), id(2).to_string()]);
    }

    #[test]
    fn placing_asks_again_if_total_or_terms_got_worse() {
        let line = facts(1, 100);
        let with_terms = |terms: Terms| {
            let mut line = line.clone();
            line.offer.as_mut().expect("offer").terms = terms;
            [line]
        };
        let eur = Money::new(100, Currency::parse("EUR").expect("currency"));
        for (expected, lines, code) in [
            (usd(100), with_terms(days(30)), Ok(())),
            (usd(100), with_terms(days(60)), Ok(())),
            (usd(100), with_terms(days(29)), Err(Code::PriceChanged)),
            (usd(99), with_terms(days(30)), Err(Code::PriceChanged)),
            (usd(101), with_terms(days(30)), Err(Code::PriceChanged)),
            (eur, with_terms(days(30)), Err(Code::CurrencyMismatch)),
        ] {
            assert_eq!(check_agreed(expected, usd(100), &lines, now()).map_err(|refusal| refusal.code()), code, "{expected}");
        }
    }

    #[test]
    fn only_lines_of_the_cart_are_taken_out() {
        assert_eq!(check_remove(&[id(1), id(2)], &[Some(id(2)), Some(id(2))]), Ok(()));
        let refusals = check_remove(&[id(1)], &[Some(id(1)), Some(id(7)), None]).expect_err("unknown");
        assert_eq!(refusals.iter().map(|refusal| refusal.field.join(".")).collect::<Vec<_>>(), ["lineIds.1", "lineIds.2"]);
    }

    #[test]
    fn a_stored_key_holds_no_address() {
        let key = line(1, 1, learner("Ann@example.org"), 1).key().stored(|email| format!("hash-of-{}-characters", email.len()));
        assert!(key.ends_with("//LEARNER/hash-of-15-characters") && !key.contains('@'), "{key}");
        assert!(line(1, 1, For::Seats, 1).key().stored(|_| "never".to_owned()).ends_with("//SEATS/"));
    }

    proptest! {
        #[test]
        fn merging_keeps_every_unit_of_seats(account in prop::collection::btree_map(0_u128..6, 1_u32..5_000, 0..6), guest in prop::collection::btree_map(0_u128..6, 1_u32..5_000, 0..6)) {
            let lines = |from: &std::collections::BTreeMap<u128, u32>| from.iter().map(|(of, quantity)| line(*of, *of, For::Seats, *quantity)).collect::<Vec<_>>();
            let mut held: HashMap<ProductId, u32> = account.iter().map(|(of, quantity)| (product(*of), *quantity)).collect();
            for change in merge(&lines(&account), &lines(&guest), &HashSet::new()).changes {
                match change {
                    LineChange::Add(new) => prop_assert_eq!(held.insert(new.product, new.quantity), None),
                    LineChange::SetQuantity { id, quantity } => {
                        held.insert(ProductId::new(id.uuid()), quantity);
                    }
                }
            }
            prop_assert_eq!(held.values().sum::<u32>(), account.values().chain(guest.values()).sum::<u32>());
        }

        #[test]
        fn setting_lines_again_changes_nothing(wishes in prop::collection::btree_map(0_u128..20, 1_i64..=10_000, 1..10)) {
            let wishes: Vec<LineWish> = wishes.into_iter().map(|(of, quantity)| wish(of, For::Seats, quantity)).collect();
            let lines: Vec<Line> = set_lines(&[], wishes.clone(), &HashSet::new(), true)
                .expect("lines")
                .into_iter()
                .enumerate()
                .filter_map(|(n, change)| match change {
                    LineChange::Add(new) => Some(Line { id: id(n as u128), product: new.product, session: new.session, for_: new.for_, quantity: new.quantity }),
                    LineChange::SetQuantity { .. } => None,
                })
                .collect();
            prop_assert_eq!(lines.len(), wishes.len());
            prop_assert_eq!(set_lines(&lines, wishes, &HashSet::new(), true), Ok(Vec::new()));
        }
    }
}
