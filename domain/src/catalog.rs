//! The catalogue: what kinds of things there are, what may be sold, and where each property is changed.
//!
//! Always true here: the product owns SKU, prices, sale state and terms; libraries, courses and groups own what is learnt. A change asked for
//! in the wrong place is refused with the name of the rule and the right place.

use serde::{Deserialize, Serialize};

use crate::id::{CourseId, GroupId};
use crate::money::{Currency, Money, Percent};
use crate::refusal::{Code, Reason, Refusal};
use crate::window::Window;

/// Most courses of a library.
pub const MAX_COURSES: usize = 1_000;
/// Most price rows of a product.
pub const MAX_PRICES: usize = 1_000;
/// Most tiers of a discount schedule.
pub const MAX_TIERS: usize = 100;
/// Largest unit price, in minor units.
pub const MAX_PRICE_MINOR: i64 = 1_000_000_000_000;

named! {
    /// What a product sells.
    pub enum ProductKind {
        /// A library: one or more courses as one unit.
        Library = "LIBRARY",
        /// A single course.
        Course = "COURSE",
        /// A seat in a dated session.
        Session = "SESSION",
        /// Membership of a group.
        Group = "GROUP",
        /// Credits and nothing else.
        CreditPack = "CREDIT_PACK",
    }
}

impl ProductKind {
    /// The word for it in sentences.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Course => "course",
            Self::Session => "session",
            Self::Group => "group",
            Self::CreditPack => "credit pack",
        }
    }
}

named! {
    /// What a course is.
    pub enum CourseKind {
        /// A course.
        Course = "COURSE",
        /// A path through several things.
        Curriculum = "CURRICULUM",
        /// A text, a file, a video.
        Material = "MATERIAL",
        /// An exam.
        Exam = "EXAM",
        /// An event with dated sessions that have seats.
        Event = "EVENT",
    }
}

named! {
    /// Whether a product makes new sales. Stopping ends no access.
    pub enum SaleState {
        /// New sales are made.
        OnSale = "ON_SALE",
        /// No new sales.
        Stopped = "STOPPED",
    }
}

named! {
    /// What buying a product gives.
    pub enum Fulfilment {
        /// The buyer, or the learner who was named, is enrolled.
        Enrol = "ENROL",
        /// Activation keys, which the buyer hands out or redeems (R16).
        Keys = "KEYS",
    }
}

named! {
    /// How people come into a group.
    pub enum GroupKind {
        /// Somebody puts them in, or they buy it.
        Manual = "MANUAL",
        /// A rule decides.
        Automatic = "AUTOMATIC",
    }
}

/// Why the catalogue refuses something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogRefusal {
    /// The product or its target is archived.
    #[error("This {kind} is archived and no longer sold; running access goes on. Choose another offer.")]
    Archived {
        /// What it is.
        kind: &'static str,
    },
    /// The product is stopped.
    #[error("This {kind} is not on sale; to sell it again, set the product's state to ON_SALE with productUpdate.")]
    NotOnSale {
        /// What it is.
        kind: &'static str,
    },
    /// R42: the course's own commerce setting is off.
    #[error(
        "This course is not sold alone because its commerce setting is off; buy a library that holds it, or turn the setting on with courseCommerceSet."
    )]
    CourseNotSoldAlone,
    /// R42: a library without courses.
    #[error("This library holds no course yet; a library has to hold one or more courses to be on sale. Add them with libraryCoursesSet.")]
    LibraryEmpty,
    /// R9: a property of the product was asked for elsewhere.
    #[error("The {what} of a {kind} that is sold already belongs to its product and changes there only; use {mutation}.")]
    ChangeOnProduct {
        /// What was to be changed.
        what: &'static str,
        /// What it is the product of.
        kind: &'static str,
        /// The mutation that changes it.
        mutation: &'static str,
        /// The input field.
        field: &'static str,
    },
    /// R5, R7: commerce for a group that was created without.
    #[error(
        "A group's commerce is given only in groupCreate and cannot be added to an existing group; create a new group with commerce and move the members."
    )]
    GroupCommerceOnlyAtCreation,
    /// R7: commerce of a group was to be removed.
    #[error(
        "A group's commerce can be neither removed nor turned off; to make no new sales, set the product's state to STOPPED with productUpdate, or create a new group without commerce."
    )]
    GroupCommerceStays,
    /// R12: something else than the months.
    #[error(
        "Of a group's commerce only the months change here; SKU, prices and sale state change on the product, with productUpdate and productPricesSet."
    )]
    GroupCommerceOnlyMonths {
        /// The input field.
        field: &'static str,
    },
    /// R6: commerce for a group that a rule fills.
    #[error(
        "Only MANUAL groups can be sold; this group is AUTOMATIC, its rule decides who is in it. Create a MANUAL group with commerce instead."
    )]
    GroupNotManual,
    /// A course twice in a library.
    #[error("The course at place {index} stands at place {first} already; name each course once.")]
    CourseRepeated {
        /// Place in the list, from 0.
        index: usize,
        /// Where it stood first.
        first: usize,
    },
    /// A list that is too long.
    #[error("{what} has too many entries; at most {limit} are allowed.")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The input field.
        field: &'static str,
    },
    /// A price below zero or above what a shop sells.
    #[error("The price {amount} is out of range; give 0 for something free, or a positive amount of at most {limit}.")]
    PriceOutOfRange {
        /// Place in the list, from 0.
        index: usize,
        /// What was given.
        amount: Money,
        /// The largest price in that currency.
        limit: Money,
    },
    /// Two prices that hold at the same time.
    #[error(
        "The {level} in {currency} at place {index} ({window}) overlaps the one at place {first} ({first_window}); prices of one level and currency may not hold at the same time. Move a start or an end."
    )]
    PricesOverlap {
        /// Place in the list, from 0.
        index: usize,
        /// Place of the other one.
        first: usize,
        /// Which level.
        level: &'static str,
        /// The currency.
        currency: Currency,
        /// When it holds.
        window: Window,
        /// When the other one holds.
        first_window: Window,
    },
    /// Tiers of a discount schedule.
    #[error("The tier at place {index} is wrong: {why}.")]
    Tier {
        /// Place in the list, from 0.
        index: usize,
        /// What is wrong, and what to do.
        why: TierFault,
    },
    /// A discount schedule without tiers.
    #[error("The schedule has no tiers; give at least the one for a quantity of 1.")]
    NoTiers,
    /// The base currency cannot change any more.
    #[error(
        "The base currency is {current} and fixed, because prices exist; give prices in other currencies with productPricesSet, or exchange rates."
    )]
    BaseCurrencyFixed {
        /// The base currency.
        current: Currency,
    },
}

/// What is wrong with a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TierFault {
    /// The first tier has to begin at 1.
    #[error("the first tier has to begin at a quantity of 1")]
    FirstNotOne,
    /// Minimum quantities have to grow.
    #[error("its minimum quantity has to be larger than the one before; order the tiers by quantity and give each once")]
    NotAscending,
    /// A minimum quantity that no line reaches.
    #[error("its minimum quantity has to be from 1 to 10,000")]
    OutOfRange,
    /// A fixed price below zero or too large.
    #[error("its fixed price has to be 0 or a positive amount that is not absurdly large")]
    PriceOutOfRange,
}

impl Reason for CatalogRefusal {
    fn code(&self) -> Code {
        match self {
            Self::Archived { .. } => Code::Archived,
            Self::NotOnSale { .. } => Code::NotOnSale,
            Self::CourseNotSoldAlone => Code::CourseNotSoldAlone,
            Self::LibraryEmpty => Code::LibraryEmpty,
            Self::ChangeOnProduct { .. } | Self::GroupCommerceOnlyMonths { .. } => Code::ChangeOnProduct,
            Self::GroupCommerceOnlyAtCreation | Self::GroupCommerceStays => Code::GroupCommerceFixed,
            Self::GroupNotManual => Code::GroupNotManual,
            Self::CourseRepeated { .. } => Code::CourseRepeated,
            Self::TooMany { .. } => Code::TooLong,
            Self::PriceOutOfRange { amount, .. } if amount.minor < 0 => Code::Invalid,
            Self::PriceOutOfRange { .. } => Code::TooLarge,
            Self::PricesOverlap { .. } => Code::WindowOverlap,
            Self::Tier { .. } | Self::NoTiers => Code::TiersInvalid,
            Self::BaseCurrencyFixed { .. } => Code::BaseCurrencyFixed,
        }
    }

    fn field(&self) -> Vec<String> {
        let path = |list: &str, index: usize| vec![list.to_owned(), index.to_string()];
        match self {
            Self::ChangeOnProduct { field, .. } | Self::TooMany { field, .. } => vec![(*field).to_owned()],
            Self::GroupCommerceOnlyMonths { field } => vec!["commerce".to_owned(), (*field).to_owned()],
            Self::GroupCommerceOnlyAtCreation | Self::GroupCommerceStays | Self::GroupNotManual => vec!["commerce".to_owned()],
            Self::CourseRepeated { index, .. } => path("courseIds", *index),
            Self::PriceOutOfRange { index, .. } | Self::PricesOverlap { index, .. } => path("prices", *index),
            Self::Tier { index, .. } => path("tiers", *index),
            Self::NoTiers => vec!["tiers".to_owned()],
            Self::BaseCurrencyFixed { .. } => vec!["baseCurrency".to_owned()],
            Self::Archived { .. } | Self::NotOnSale { .. } | Self::CourseNotSoldAlone | Self::LibraryEmpty => Vec::new(),
        }
    }
}

/// What decides whether a product may be sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saleability {
    /// What the product sells.
    pub kind: ProductKind,
    /// The product's state.
    pub sale_state: SaleState,
    /// Whether the product or its target is archived.
    pub archived: bool,
    /// Of a library: how many courses it holds that are not archived.
    pub courses: usize,
    /// Of a course: whether its commerce setting is on.
    pub commerce_on: bool,
    /// Of a course: whether it is an event, so that a line has to name a session.
    pub event: bool,
}

/// Whether a product may be sold now, else the first reason why not.
///
/// # Errors
/// In order of precedence: archived, stopped, and what the kind of product needs.
pub fn may_be_sold(facts: &Saleability) -> Result<(), CatalogRefusal> {
    let kind = facts.kind.word();
    if facts.archived {
        return Err(CatalogRefusal::Archived { kind });
    }
    if facts.sale_state == SaleState::Stopped {
        return Err(CatalogRefusal::NotOnSale { kind });
    }
    match facts.kind {
        ProductKind::Library if facts.courses == 0 => Err(CatalogRefusal::LibraryEmpty),
        ProductKind::Course if !facts.commerce_on => Err(CatalogRefusal::CourseNotSoldAlone),
        ProductKind::Library | ProductKind::Course | ProductKind::Session | ProductKind::Group | ProductKind::CreditPack => Ok(()),
    }
}

/// Which properties of a product an input names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProductFields {
    /// The SKU.
    pub sku: bool,
    /// Prices.
    pub prices: bool,
    /// The sale state.
    pub state: bool,
    /// The credits that it gives.
    pub credits: bool,
}

/// Refuses product properties in a mutation of a library, a course or a group whose product exists (R9).
///
/// # Errors
/// [`CatalogRefusal::ChangeOnProduct`] for the first property named.
pub fn check_no_product_fields(kind: ProductKind, given: ProductFields) -> Result<(), CatalogRefusal> {
    let kind = kind.word();
    let refuse = |what, mutation, field| Err(CatalogRefusal::ChangeOnProduct { what, kind, mutation, field });
    if given.sku {
        return refuse("SKU", "productUpdate", "sku");
    }
    if given.prices {
        return refuse("price", "productPricesSet", "prices");
    }
    if given.state {
        return refuse("sale state", "productUpdate", "state");
    }
    if given.credits {
        return refuse("number of credits", "productUpdate", "credits");
    }
    Ok(())
}

/// Checks a course's commerce setting: SKU and prices come with the first time that it is turned on, and afterwards the same product serves
/// (R8, R9, R11). Turning it off or on and changing the days is always allowed.
///
/// # Errors
/// [`CatalogRefusal::ChangeOnProduct`].
pub fn check_course_commerce(product_exists: bool, given: ProductFields) -> Result<(), CatalogRefusal> {
    if product_exists { check_no_product_fields(ProductKind::Course, given) } else { Ok(()) }
}

/// Checks a group to be created (R6).
///
/// # Errors
/// [`CatalogRefusal::GroupNotManual`].
pub fn check_group_creation(kind: GroupKind, with_commerce: bool) -> Result<(), CatalogRefusal> {
    if with_commerce && kind != GroupKind::Manual { Err(CatalogRefusal::GroupNotManual) } else { Ok(()) }
}

/// What a change of a group says about its commerce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupCommerceChange {
    /// Nothing.
    Untouched,
    /// That it be removed or turned off.
    Removed,
    /// Its months, and perhaps properties of the product.
    Given(ProductFields),
}

/// Checks a change of an existing group's commerce: only the months change (R5, R6, R7, R12).
///
/// # Errors
/// [`CatalogRefusal::GroupNotManual`], [`CatalogRefusal::GroupCommerceOnlyAtCreation`], [`CatalogRefusal::GroupCommerceStays`] or
/// [`CatalogRefusal::GroupCommerceOnlyMonths`].
pub fn check_group_change(kind: GroupKind, has_commerce: bool, change: GroupCommerceChange) -> Result<(), CatalogRefusal> {
    match change {
        GroupCommerceChange::Untouched => Ok(()),
        GroupCommerceChange::Removed if has_commerce => Err(CatalogRefusal::GroupCommerceStays),
        GroupCommerceChange::Removed => Ok(()),
        GroupCommerceChange::Given(_) if kind != GroupKind::Manual => Err(CatalogRefusal::GroupNotManual),
        GroupCommerceChange::Given(_) if !has_commerce => Err(CatalogRefusal::GroupCommerceOnlyAtCreation),
        GroupCommerceChange::Given(ProductFields { sku: true, .. }) => Err(CatalogRefusal::GroupCommerceOnlyMonths { field: "sku" }),
        GroupCommerceChange::Given(ProductFields { prices: true, .. }) => Err(CatalogRefusal::GroupCommerceOnlyMonths { field: "prices" }),
        GroupCommerceChange::Given(ProductFields { state: true, .. }) => Err(CatalogRefusal::GroupCommerceOnlyMonths { field: "state" }),
        GroupCommerceChange::Given(ProductFields { credits: true, .. }) => {
            Err(CatalogRefusal::GroupCommerceOnlyMonths { field: "credits" })
        }
        GroupCommerceChange::Given(_) => Ok(()),
    }
}

/// Checks the courses of a library: each once, at most [`MAX_COURSES`]. None is allowed; the library is then not sold.
///
/// # Errors
/// [`CatalogRefusal::CourseRepeated`] or [`CatalogRefusal::TooMany`].
pub fn check_library_courses(courses: &[CourseId]) -> Result<(), CatalogRefusal> {
    if courses.len() > MAX_COURSES {
        return Err(CatalogRefusal::TooMany { what: "The library", limit: MAX_COURSES, field: "courseIds" });
    }
    let mut seen = std::collections::HashMap::with_capacity(courses.len());
    for (index, course) in courses.iter().enumerate() {
        if let Some(first) = seen.insert(course, index) {
            return Err(CatalogRefusal::CourseRepeated { index, first });
        }
    }
    Ok(())
}

/// A price of a product: for a group's members, or else with a window a sale price, without one the list price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceRow {
    /// The unit price.
    pub amount: Money,
    /// For members of this group only.
    pub group: Option<GroupId>,
    /// When it holds.
    pub window: Window,
}

/// The level of a price row; a company's override stands above them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PriceLevel {
    /// For members of a group.
    Group(GroupId),
    /// During a window, for everybody.
    Sale,
    /// The recommended price.
    List,
}

impl PriceRow {
    /// The row's level.
    pub const fn level(&self) -> PriceLevel {
        match self.group {
            Some(group) => PriceLevel::Group(group),
            None if self.window.is_always() => PriceLevel::List,
            None => PriceLevel::Sale,
        }
    }
}

/// Checks all price rows that a product is to have: amounts from 0 up, and no two of one level and currency that hold at the same time.
///
/// # Errors
/// Each bad row, by its place.
pub fn check_prices(rows: &[PriceRow]) -> Result<(), Vec<CatalogRefusal>> {
    if rows.len() > MAX_PRICES {
        return Err(vec![CatalogRefusal::TooMany { what: "The price list", limit: MAX_PRICES, field: "prices" }]);
    }
    let mut refusals = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        if let Err(limit) = price_limit(row.amount) {
            refusals.push(CatalogRefusal::PriceOutOfRange { index, amount: row.amount, limit });
        }
        let earlier = rows.iter().take(index).enumerate();
        let clash = earlier
            .filter(|(_, other)| other.level() == row.level() && other.amount.currency == row.amount.currency)
            .find(|(_, other)| other.window.overlaps(row.window));
        if let Some((first, other)) = clash {
            let level = match row.level() {
                PriceLevel::Group(_) => "group price",
                PriceLevel::Sale => "sale price",
                PriceLevel::List => "list price",
            };
            let currency = row.amount.currency;
            refusals.push(CatalogRefusal::PricesOverlap { index, first, level, currency, window: row.window, first_window: other.window });
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

/// Whether an amount can be a unit price; the largest one if not.
pub(crate) fn price_limit(amount: Money) -> Result<(), Money> {
    if (0..=MAX_PRICE_MINOR).contains(&amount.minor) { Ok(()) } else { Err(Money::new(MAX_PRICE_MINOR, amount.currency)) }
}

/// Checks a new base currency: it is fixed once a price exists.
///
/// # Errors
/// [`CatalogRefusal::BaseCurrencyFixed`].
pub fn check_base_currency(current: Currency, wanted: Currency, prices_exist: bool) -> Result<(), CatalogRefusal> {
    if prices_exist && current != wanted { Err(CatalogRefusal::BaseCurrencyFixed { current }) } else { Ok(()) }
}

named! {
    /// How a schedule's tiers work (R50).
    pub enum ScheduleMode {
        /// The tier found holds for the whole quantity.
        Slab = "SLAB",
        /// Each tier holds for the units that fall into it; the subtotal is the sum.
        Graduated = "GRADUATED",
    }
}

named! {
    /// Which sales a schedule is for.
    pub enum AppliesTo {
        /// Sales orders; carts do not use it.
        SalesOrder = "SALES_ORDER",
        /// Carts as well.
        All = "ALL",
    }
}

/// What a tier does to the unit price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierPrice {
    /// A percentage off the price found.
    PercentOff(Percent),
    /// This price, where it is lower than the price found; in its own currency.
    Fixed(Money),
}

impl TierPrice {
    /// Reads what an input gives: a percentage or a fixed price, exactly one.
    ///
    /// # Errors
    /// A refusal of the field concerned.
    pub fn given(percent_off: Option<&str>, fixed: Option<Money>) -> Result<Self, Refusal> {
        match (percent_off, fixed) {
            (Some(percent), None) => {
                Percent::parse(percent).map(Self::PercentOff).map_err(|reason| Refusal::from(reason).under(["percentOff"]))
            }
            (None, Some(amount)) => Ok(Self::Fixed(amount)),
            _ => Err(Refusal::new(Code::TiersInvalid, "Give each tier either percentOff or price, exactly one of them.")),
        }
    }
}

/// A tier of a discount schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tier {
    /// The first quantity that it holds for.
    pub min_quantity: u32,
    /// What it does.
    pub price: TierPrice,
}

/// A discount schedule: tiers that strictly ascend from a quantity of 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    mode: ScheduleMode,
    applies_to: AppliesTo,
    tiers: Vec<Tier>,
}

impl Schedule {
    /// A schedule of these tiers.
    ///
    /// # Errors
    /// [`CatalogRefusal::Tier`], [`CatalogRefusal::NoTiers`] or [`CatalogRefusal::TooMany`].
    pub fn new(mode: ScheduleMode, applies_to: AppliesTo, tiers: Vec<Tier>) -> Result<Self, CatalogRefusal> {
        if tiers.is_empty() {
            return Err(CatalogRefusal::NoTiers);
        }
        if tiers.len() > MAX_TIERS {
            return Err(CatalogRefusal::TooMany { what: "The schedule", limit: MAX_TIERS, field: "tiers" });
        }
        let mut before = 0;
        for (index, tier) in tiers.iter().enumerate() {
            let refuse = |why| Err(CatalogRefusal::Tier { index, why });
            if !(1..=crate::cart::MAX_QUANTITY).contains(&tier.min_quantity) {
                return refuse(TierFault::OutOfRange);
            }
            if index == 0 && tier.min_quantity != 1 {
                return refuse(TierFault::FirstNotOne);
            }
            if tier.min_quantity <= before {
                return refuse(TierFault::NotAscending);
            }
            if matches!(tier.price, TierPrice::Fixed(amount) if price_limit(amount).is_err()) {
                return refuse(TierFault::PriceOutOfRange);
            }
            before = tier.min_quantity;
        }
        Ok(Self { mode, applies_to, tiers })
    }

    /// Its mode.
    pub const fn mode(&self) -> ScheduleMode {
        self.mode
    }

    /// Which sales it is for.
    pub const fn applies_to(&self) -> AppliesTo {
        self.applies_to
    }

    /// Its tiers, by ascending quantity.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// The tier that holds for `quantity`; exactly at a border the new tier holds (c35).
    pub fn tier(&self, quantity: u32) -> Option<&Tier> {
        self.tiers.iter().rev().find(|tier| tier.min_quantity <= quantity)
    }

    /// How many of `quantity` units fall into each tier, in order; tiers that none falls into are left out.
    pub fn parts(&self, quantity: u32) -> impl Iterator<Item = (&Tier, u32)> {
        self.tiers.iter().enumerate().filter_map(move |(index, tier)| {
            let next = self.tiers.get(index + 1).map_or(quantity, |next| quantity.min(next.min_quantity - 1));
            let units = (next + 1).saturating_sub(tier.min_quantity);
            (units > 0).then_some((tier, units))
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::parse("USD").expect("currency"))
    }

    fn window(starts: &str, ends: &str) -> Window {
        let at = |text: &str| (!text.is_empty()).then(|| text.parse().expect("instant"));
        Window::new(at(starts), at(ends)).expect("window")
    }

    /// R42: what is sold, and the first reason why something is not.
    #[test]
    fn r42_what_may_be_sold() {
        let library = Saleability {
            kind: ProductKind::Library,
            sale_state: SaleState::OnSale,
            archived: false,
            courses: 1,
            commerce_on: false,
            event: false,
        };
        let course = Saleability { kind: ProductKind::Course, courses: 0, commerce_on: true, ..library };
        let check = |facts: Saleability| may_be_sold(&facts).map_err(|refusal| refusal.code());
        for (facts, expected) in [
            (library, Ok(())),
            (Saleability { courses: 0, ..library }, Err(Code::LibraryEmpty)),
            (Saleability { sale_state: SaleState::Stopped, courses: 0, ..library }, Err(Code::NotOnSale)),
            (Saleability { archived: true, sale_state: SaleState::Stopped, ..library }, Err(Code::Archived)),
            (course, Ok(())),
            (Saleability { commerce_on: false, ..course }, Err(Code::CourseNotSoldAlone)),
            (Saleability { event: true, ..course }, Ok(())),
            (Saleability { kind: ProductKind::Session, ..course }, Ok(())),
            (Saleability { kind: ProductKind::Group, ..library }, Ok(())),
            (Saleability { kind: ProductKind::Group, archived: true, ..library }, Err(Code::Archived)),
        ] {
            assert_eq!(check(facts), expected, "{facts:?}");
        }
    }

    /// R9, R11: once the product exists, only the product changes SKU, prices and state; days and the setting itself stay free.
    #[test]
    fn r9_r11_product_properties_change_on_the_product() {
        let some = ProductFields { sku: true, prices: true, ..ProductFields::default() };
        assert_eq!(check_course_commerce(false, some), Ok(()));
        assert_eq!(check_course_commerce(true, ProductFields::default()), Ok(()));
        for (given, field, mutation) in [
            (some, "sku", "productUpdate"),
            (ProductFields { prices: true, ..ProductFields::default() }, "prices", "productPricesSet"),
            (ProductFields { state: true, ..ProductFields::default() }, "state", "productUpdate"),
            (ProductFields { credits: true, ..ProductFields::default() }, "credits", "productUpdate"),
        ] {
            let refusal = check_course_commerce(true, given).expect_err("belongs to the product");
            assert_eq!((refusal.code(), refusal.field()), (Code::ChangeOnProduct, vec![field.to_owned()]));
            assert!(refusal.to_string().contains(mutation), "{refusal}");
        }
    }

    /// R5, R6, R7, R12: each refusal names the rule and what to do instead.
    #[test]
    fn r5_r6_r7_r12_group_commerce_is_given_at_creation_and_stays() {
        assert_eq!(check_group_creation(GroupKind::Manual, true), Ok(()));
        assert_eq!(check_group_creation(GroupKind::Automatic, false), Ok(()));
        assert_eq!(check_group_creation(GroupKind::Automatic, true), Err(CatalogRefusal::GroupNotManual));
        let months = GroupCommerceChange::Given(ProductFields::default());
        let price = GroupCommerceChange::Given(ProductFields { prices: true, ..ProductFields::default() });
        for (kind, has_commerce, change, expected) in [
            (GroupKind::Manual, true, GroupCommerceChange::Untouched, Ok(())),
            (GroupKind::Manual, true, months, Ok(())),
            (GroupKind::Manual, true, price, Err((Code::ChangeOnProduct, "productPricesSet"))),
            (GroupKind::Manual, true, GroupCommerceChange::Removed, Err((Code::GroupCommerceFixed, "STOPPED"))),
            (GroupKind::Manual, false, GroupCommerceChange::Removed, Ok(())),
            (GroupKind::Manual, false, months, Err((Code::GroupCommerceFixed, "new group"))),
            (GroupKind::Automatic, false, months, Err((Code::GroupNotManual, "MANUAL group"))),
        ] {
            match (check_group_change(kind, has_commerce, change), expected) {
                (Ok(()), Ok(())) => {}
                (Err(refusal), Err((code, advice))) => {
                    assert_eq!(refusal.code(), code);
                    assert!(refusal.to_string().contains(advice), "{refusal}");
                }
                (found, expected) => panic!("{kind} {has_commerce} {change:?}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_library_names_each_course_once() {
        let ids: Vec<CourseId> = (0..3).map(|n| CourseId::new(Uuid::from_u128(n))).collect();
        assert_eq!(check_library_courses(&ids), Ok(()));
        assert_eq!(check_library_courses(&[]), Ok(()));
        let refusal = check_library_courses(&[ids[0], ids[1], ids[0]]).expect_err("repeated");
        assert_eq!(refusal, CatalogRefusal::CourseRepeated { index: 2, first: 0 });
        assert_eq!(refusal.field(), ["courseIds", "2"]);
    }

    #[test]
    fn prices_of_one_level_and_currency_do_not_overlap() {
        let group = |n| Some(GroupId::new(Uuid::from_u128(n)));
        let eur = |minor| Money::new(minor, Currency::parse("EUR").expect("currency"));
        let row = |amount, group, window| PriceRow { amount, group, window };
        let (june, july, summer) = (
            window("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"),
            window("2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z"),
            window("2026-06-15T00:00:00Z", "2026-09-01T00:00:00Z"),
        );
        let good = [
            row(usd(4900), None, Window::ALWAYS),
            row(eur(4500), None, Window::ALWAYS),
            row(usd(3900), None, june),
            row(usd(3500), None, july),
            row(eur(3500), None, summer),
            row(usd(3000), group(1), Window::ALWAYS),
            row(usd(2900), group(2), june),
            row(usd(0), group(2), july),
        ];
        assert_eq!(check_prices(&good), Ok(()));
        for (extra, place, code) in [
            (row(usd(1), None, Window::ALWAYS), 0, Code::WindowOverlap),
            (row(usd(1), None, summer), 2, Code::WindowOverlap),
            (row(usd(1), group(1), june), 5, Code::WindowOverlap),
            (row(usd(1), group(2), Window::ALWAYS), 6, Code::WindowOverlap),
            (row(usd(-1), group(3), june), 8, Code::Invalid),
            (row(usd(MAX_PRICE_MINOR + 1), group(3), june), 8, Code::TooLarge),
        ] {
            let refusals = check_prices(&[&good[..], &[extra]].concat()).expect_err("bad row");
            assert_eq!(refusals.len(), 1);
            assert_eq!((refusals[0].code(), refusals[0].field()), (code, vec!["prices".to_owned(), "8".to_owned()]));
            if let CatalogRefusal::PricesOverlap { first, .. } = refusals[0] {
                assert_eq!(first, place);
            }
        }
    }

    /// c35: steps out of order, equal minimums and a minimum of 0 are refused.
    #[test]
    fn c35_tiers_strictly_ascend_from_one() {
        let tier = |min_quantity: u32| Tier { min_quantity, price: TierPrice::Fixed(usd(100)) };
        let check =
            |minimums: &[u32]| Schedule::new(ScheduleMode::Slab, AppliesTo::All, minimums.iter().copied().map(tier).collect()).map(|_| ());
        assert_eq!(check(&[1, 11, 51]), Ok(()));
        assert_eq!(check(&[1]), Ok(()));
        assert_eq!(check(&[]), Err(CatalogRefusal::NoTiers));
        for (minimums, index, why) in [
            (&[0, 11][..], 0, TierFault::OutOfRange),
            (&[2, 11], 0, TierFault::FirstNotOne),
            (&[1, 51, 11], 2, TierFault::NotAscending),
            (&[1, 11, 11], 2, TierFault::NotAscending),
            (&[1, 10_001], 1, TierFault::OutOfRange),
        ] {
            assert_eq!(check(minimums), Err(CatalogRefusal::Tier { index, why }), "{minimums:?}");
        }
        let negative = Tier { min_quantity: 1, price: TierPrice::Fixed(usd(-1)) };
        assert!(Schedule::new(ScheduleMode::Slab, AppliesTo::All, vec![negative]).is_err());
    }

    #[test]
    fn c35_the_border_belongs_to_the_new_tier() {
        let tiers = [1, 11, 51].map(|min_quantity| Tier { min_quantity, price: TierPrice::Fixed(usd(100)) });
        let schedule = Schedule::new(ScheduleMode::Graduated, AppliesTo::All, tiers.to_vec()).expect("schedule");
        for (quantity, minimum, parts) in
            [(1, 1, vec![1]), (10, 1, vec![10]), (11, 11, vec![10, 1]), (50, 11, vec![10, 40]), (51, 51, vec![10, 40, 1])]
        {
            assert_eq!(schedule.tier(quantity).map(|tier| tier.min_quantity), Some(minimum));
            assert_eq!(schedule.parts(quantity).map(|(_, units)| units).collect::<Vec<_>>(), parts);
        }
    }
}
