//! Companies: of which type they are, and what an offer becomes for one of them.
//!
//! Always true here: what an override does not say is inherited from the recommended offer, and a batch of overrides is good as a whole or
//! each of its bad rows is named.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::{ProductKind, price_limit};
use crate::credit_sale::{Gives, repeated};
use crate::id::ProductId;
use crate::money::{Currency, Money};
use crate::refusal::{Code, Reason, Refusal};
use crate::terms::{self, Terms};
use crate::text;
use crate::window::Window;

/// Most rows of one batch of overrides.
pub const MAX_ROWS: usize = 1_000;
/// Most currencies in which one override gives a price.
pub const MAX_OVERRIDE_PRICES: usize = 50;

named! {
    /// How a company buys; fixed at creation (R61).
    pub enum CompanyType {
        /// Its learners buy for themselves, with cart and order.
        Retail = "RETAIL",
        /// Seats are sold to it in bulk.
        SalesOrder = "SALES_ORDER",
    }
}

named! {
    /// Who may see a company's offers.
    pub enum Storefront {
        /// Everybody.
        Public = "PUBLIC",
        /// Its members only.
        Members = "MEMBERS",
    }
}

named! {
    /// Whether an offer is shown to a company's buyers.
    pub enum Visibility {
        /// Shown and sold.
        Visible = "VISIBLE",
        /// Neither shown nor sold.
        Hidden = "HIDDEN",
    }
}

named! {
    /// What somebody is in a company.
    pub enum MemberRole {
        /// Learns; sees what is for members.
        Learner = "LEARNER",
        /// Sets the company's offers, names its people, handles its seats.
        Manager = "MANAGER",
    }
}

named! {
    /// How somebody came into a company.
    pub enum MemberVia {
        /// A manager or an operator named them.
        Manager = "MANAGER",
        /// They redeemed a token of the company.
        Token = "TOKEN",
    }
}

impl CompanyType {
    /// The storefront that a company of this type has unless told otherwise.
    pub const fn default_storefront(self) -> Storefront {
        match self {
            Self::Retail => Storefront::Public,
            Self::SalesOrder => Storefront::Members,
        }
    }

    /// Whether such a company's learners have carts.
    pub const fn has_carts(self) -> bool {
        matches!(self, Self::Retail)
    }
}

/// Why something about a company is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompanyRefusal {
    /// A company that buys by sales order has no carts.
    #[error("This company buys by sales order and has no carts; ask its manager for a seat, or leave companyId out to buy for yourself.")]
    NoCarts,
    /// The company makes no sales.
    #[error("This company is disabled and makes no sales at present; running access goes on. Ask the operator to enable it.")]
    Disabled,
    /// The company is archived.
    #[error("This company is archived and makes no sales; leave companyId out or choose another one.")]
    Archived,
    /// The type was to be changed.
    #[error("A company's type is fixed at creation; create another company of type {wanted} and move its members.")]
    TypeFixed {
        /// What was asked for.
        wanted: CompanyType,
    },
    /// A batch without rows.
    #[error("No rows are given; name at least one product.")]
    NoRows,
    /// A batch of too many rows.
    #[error("{given} rows are too many; send at most {MAX_ROWS} at once.")]
    TooManyRows {
        /// How many were sent.
        given: usize,
    },
}

impl Reason for CompanyRefusal {
    fn code(&self) -> Code {
        match self {
            Self::NoCarts => Code::SalesOrderCompany,
            Self::Disabled => Code::CompanyDisabled,
            Self::Archived => Code::Archived,
            Self::TypeFixed { .. } => Code::CompanyTypeFixed,
            Self::NoRows => Code::Required,
            Self::TooManyRows { .. } => Code::TooLong,
        }
    }

    fn field(&self) -> Vec<String> {
        match self {
            Self::NoCarts | Self::Disabled | Self::Archived => vec!["companyId".to_owned()],
            Self::TypeFixed { .. } => vec!["type".to_owned()],
            Self::NoRows | Self::TooManyRows { .. } => vec!["rows".to_owned()],
        }
    }
}

/// What decides whether a company's learners can buy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompanyFacts {
    /// Its type.
    pub company_type: CompanyType,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether it is archived.
    pub archived: bool,
}

/// Whether carts of this company may be made and placed.
///
/// # Errors
/// [`CompanyRefusal::Archived`], [`CompanyRefusal::Disabled`] or [`CompanyRefusal::NoCarts`].
pub fn may_buy(facts: &CompanyFacts) -> Result<(), CompanyRefusal> {
    if facts.archived {
        Err(CompanyRefusal::Archived)
    } else if !facts.enabled {
        Err(CompanyRefusal::Disabled)
    } else if !facts.company_type.has_carts() {
        Err(CompanyRefusal::NoCarts)
    } else {
        Ok(())
    }
}

/// Checks a change of a company's type: there is none.
///
/// # Errors
/// [`CompanyRefusal::TypeFixed`].
pub fn check_type_unchanged(current: CompanyType, wanted: CompanyType) -> Result<(), CompanyRefusal> {
    if current == wanted { Ok(()) } else { Err(CompanyRefusal::TypeFixed { wanted }) }
}

/// What a company changes about an offer; absent = inherited (R44, R48, R49). It holds during its window; outside of it everything is inherited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Override {
    /// Its own title.
    pub title: Option<String>,
    /// Its own description.
    pub description: Option<String>,
    /// Its own unit prices, one for each currency.
    pub prices: Vec<Money>,
    /// Its own access days.
    pub access_days: Option<u32>,
    /// Whether its buyers see the offer.
    pub visibility: Option<Visibility>,
    /// When the override holds.
    pub window: Window,
}

impl Override {
    /// Its own price in `currency`.
    pub fn price(&self, currency: Currency) -> Option<Money> {
        self.prices.iter().copied().find(|price| price.currency == currency)
    }

    /// Whether it says nothing at all, so that unsetting it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self { window: self.window, ..Self::default() }
    }
}

/// An offer as recommended, before any override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferBase {
    /// What it sells.
    pub kind: ProductKind,
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// Terms of access.
    pub terms: Terms,
}

/// An offer as one company's buyers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveOffer {
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// Terms of access.
    pub terms: Terms,
    /// Whether they see it.
    pub visible: bool,
    /// The company's own prices.
    pub override_prices: Vec<Money>,
}

/// What an offer is for one company at an instant: each property from the override if it holds and says something, else as recommended.
pub fn effective(base: &OfferBase, over: Option<&Override>, now: DateTime<Utc>) -> EffectiveOffer {
    let over = over.filter(|over| over.window.contains(now));
    EffectiveOffer {
        title: over.and_then(|over| over.title.clone()).unwrap_or_else(|| base.title.clone()),
        description: over.and_then(|over| over.description.clone()).unwrap_or_else(|| base.description.clone()),
        terms: over.and_then(|over| over.access_days).map_or(base.terms, |days| base.terms.with_days(base.kind, days)),
        visible: over.and_then(|over| over.visibility) != Some(Visibility::Hidden),
        override_prices: over.map(|over| over.prices.clone()).unwrap_or_default(),
    }
}

/// A row of a batch as asked for, with the window already made from instants or days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideRow {
    /// The product.
    pub product: ProductId,
    /// See [`Override::title`].
    pub title: Option<String>,
    /// See [`Override::description`].
    pub description: Option<String>,
    /// See [`Override::prices`].
    pub prices: Vec<Money>,
    /// See [`Override::access_days`].
    pub access_days: Option<i64>,
    /// See [`Override::visibility`].
    pub visibility: Option<Visibility>,
    /// See [`Override::window`].
    pub window: Window,
    /// The number of credits that the product gives, repeated with the prices (R33).
    pub credits: Option<i64>,
}

/// Checks a batch of overrides for one company: 1 to [`MAX_ROWS`] rows, each product once. A row that could not even be read brings its faults
/// along. `known` tells what a product sells and the credits that it gives; `None` for a product that does not exist or is archived.
///
/// # Errors
/// Every fault of every bad row, with its place in the field path (`rows`, `3`, `title`); nothing is to be saved then.
pub fn check_overrides(
    rows: Vec<Result<OverrideRow, Vec<Refusal>>>,
    known: impl Fn(ProductId) -> Option<(ProductKind, Option<Gives>)>,
) -> Result<Vec<(ProductId, Override)>, Vec<Refusal>> {
    if rows.is_empty() {
        return Err(vec![CompanyRefusal::NoRows.into()]);
    }
    if rows.len() > MAX_ROWS {
        return Err(vec![CompanyRefusal::TooManyRows { given: rows.len() }.into()]);
    }
    let mut places: HashMap<ProductId, usize> = HashMap::with_capacity(rows.len());
    let mut good = Vec::with_capacity(rows.len());
    let mut refusals: Vec<Refusal> = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        let under = |fault: Refusal| fault.under(["rows".to_owned(), index.to_string()]);
        let row = match row {
            Ok(row) => row,
            Err(faults) => {
                refusals.extend(faults.into_iter().map(under));
                continue;
            }
        };
        let product = row.product;
        let mut faults = Vec::new();
        match known(product) {
            None => faults.push(Refusal::not_found("product").under(["productId"])),
            Some((kind, gives)) => match check_row(kind, gives, row) {
                Ok(over) => good.push((product, over)),
                Err(found) => faults = found,
            },
        }
        if let Some(first) = places.insert(product, index) {
            let message = format!("The product stands in row {first} already; name each product once.");
            faults.push(Refusal::at(Code::Repeated, ["productId"], message));
        }
        refusals.extend(faults.into_iter().map(under));
    }
    if refusals.is_empty() { Ok(good) } else { Err(refusals) }
}

fn check_row(kind: ProductKind, gives: Option<Gives>, row: OverrideRow) -> Result<Override, Vec<Refusal>> {
    let mut faults = Vec::new();
    if let Err(reason) = repeated(gives, row.credits, !row.prices.is_empty()) {
        faults.push(reason.into());
    }
    let title =
        row.title.map(|title| text::title(&title)).transpose().map_err(|reason| faults.push(Refusal::from(reason).under(["title"])));
    let description = row
        .description
        .map(|description| text::description(&description))
        .transpose()
        .map_err(|reason| faults.push(Refusal::from(reason).under(["description"])));
    if row.prices.len() > MAX_OVERRIDE_PRICES {
        faults.push(Refusal::at(Code::TooLong, ["prices"], format!("Give at most {MAX_OVERRIDE_PRICES} prices.")));
    }
    for (place, price) in row.prices.iter().enumerate() {
        let path = || ["prices".to_owned(), place.to_string()];
        if let Err(limit) = price_limit(*price) {
            let code = if price.minor < 0 { Code::Invalid } else { Code::TooLarge };
            faults.push(Refusal::at(
                code,
                path(),
                format!("The price {price} is out of range; give 0 or a positive amount of at most {limit}."),
            ));
        }
        if row.prices.iter().take(place).any(|other| other.currency == price.currency) {
            faults.push(Refusal::at(
                Code::Repeated,
                path(),
                format!("There is a price in {} already; give one for each currency.", price.currency),
            ));
        }
    }
    let counts_days = matches!(kind, ProductKind::Library | ProductKind::Course);
    let access_days = match row.access_days {
        Some(_) if !counts_days => {
            let message = format!("Access to a {} is not counted in days; leave accessDays out.", kind.word());
            faults.push(Refusal::at(Code::TermsInvalid, ["accessDays"], message));
            None
        }
        days => days.map(terms::days).transpose().unwrap_or_else(|reason| {
            faults.push(Refusal::from(reason).under(["accessDays"]));
            None
        }),
    };
    match (title, description) {
        (Ok(title), Ok(description)) if faults.is_empty() => {
            Ok(Override { title, description, prices: row.prices, access_days, visibility: row.visibility, window: row.window })
        }
        _ => Err(faults),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, Currency::parse(code).expect("currency"))
    }

    fn product(n: u128) -> ProductId {
        ProductId::new(Uuid::from_u128(n))
    }

    fn row(n: u128) -> OverrideRow {
        OverrideRow {
            product: product(n),
            title: None,
            description: None,
            prices: Vec::new(),
            access_days: None,
            visibility: None,
            window: Window::ALWAYS,
            credits: None,
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("instant")
    }

    fn base() -> OfferBase {
        let terms = Terms::of_kind(ProductKind::Library, Some(365), None).expect("terms");
        OfferBase { kind: ProductKind::Library, title: "Safety".to_owned(), description: "All of it".to_owned(), terms }
    }

    /// R44, R48, R49: the override wins where it says something, and only for its time.
    #[test]
    fn r44_r48_r49_absent_is_inherited() {
        let recommended = effective(&base(), None, at("2026-06-01T00:00:00Z"));
        assert_eq!((recommended.title.as_str(), recommended.visible, recommended.override_prices.len()), ("Safety", true, 0));
        let window = Window::new(Some(at("2026-06-01T00:00:00Z")), Some(at("2026-07-01T00:00:00Z"))).expect("window");
        let over = Override {
            title: Some("Acme Safety".to_owned()),
            prices: vec![money(1900, "USD")],
            access_days: Some(90),
            window,
            ..Override::default()
        };
        let own = effective(&base(), Some(&over), at("2026-06-01T00:00:00Z"));
        assert_eq!((own.title.as_str(), own.description.as_str()), ("Acme Safety", "All of it"));
        assert_eq!((own.terms.value, own.terms.anchor), (Some(90), crate::terms::Anchor::FirstStart));
        assert_eq!(own.override_prices, [money(1900, "USD")]);
        assert_eq!(effective(&base(), Some(&over), at("2026-07-01T00:00:00Z")), recommended);
        let hidden = Override { visibility: Some(Visibility::Hidden), ..Override::default() };
        assert!(!effective(&base(), Some(&hidden), at("2026-07-01T00:00:00Z")).visible);
        assert!(Override { window, ..Override::default() }.is_empty() && !hidden.is_empty());
    }

    #[test]
    fn company_types_decide_storefront_and_carts() {
        assert_eq!((CompanyType::Retail.default_storefront(), CompanyType::Retail.has_carts()), (Storefront::Public, true));
        assert_eq!((CompanyType::SalesOrder.default_storefront(), CompanyType::SalesOrder.has_carts()), (Storefront::Members, false));
        let retail = CompanyFacts { company_type: CompanyType::Retail, enabled: true, archived: false };
        for (facts, expected) in [
            (retail, Ok(())),
            (CompanyFacts { enabled: false, ..retail }, Err(Code::CompanyDisabled)),
            (CompanyFacts { archived: true, enabled: false, ..retail }, Err(Code::Archived)),
            (CompanyFacts { company_type: CompanyType::SalesOrder, ..retail }, Err(Code::SalesOrderCompany)),
        ] {
            assert_eq!(may_buy(&facts).map_err(|refusal| refusal.code()), expected, "{facts:?}");
        }
        assert!(check_type_unchanged(CompanyType::Retail, CompanyType::SalesOrder).is_err());
    }

    #[test]
    fn every_bad_row_of_a_batch_is_named() {
        let known = |id: ProductId| match id.uuid().as_u128() {
            1..=5 => Some((ProductKind::Library, None)),
            6 => Some((ProductKind::Group, None)),
            _ => None,
        };
        let rows = vec![
            OverrideRow {
                title: Some(" Own title ".to_owned()),
                prices: vec![money(0, "USD"), money(100, "JPY")],
                access_days: Some(30),
                ..row(1)
            },
            OverrideRow { title: Some("  ".to_owned()), description: Some("\u{7}".to_owned()), ..row(2) },
            row(99),
            OverrideRow { prices: vec![money(-1, "USD"), money(5, "EUR"), money(6, "EUR")], ..row(3) },
            OverrideRow { access_days: Some(0), ..row(4) },
            row(1),
            OverrideRow { access_days: Some(30), ..row(6) },
        ];
        let mut rows: Vec<Result<OverrideRow, Vec<Refusal>>> = rows.into_iter().map(Ok).collect();
        rows.push(Err(vec![Refusal::at(Code::WindowInvalid, ["endsAt"], "the end is too early")]));
        let refusals = check_overrides(rows, known).expect_err("bad rows");
        let named: Vec<(Code, String)> = refusals.iter().map(|refusal| (refusal.code, refusal.field.join("."))).collect();
        assert_eq!(
            named,
            [
                (Code::Required, "rows.1.title".to_owned()),
                (Code::Invalid, "rows.1.description".to_owned()),
                (Code::NotFound, "rows.2.productId".to_owned()),
                (Code::Invalid, "rows.3.prices.0".to_owned()),
                (Code::Repeated, "rows.3.prices.2".to_owned()),
                (Code::TermsInvalid, "rows.4.accessDays".to_owned()),
                (Code::Repeated, "rows.5.productId".to_owned()),
                (Code::TermsInvalid, "rows.6.accessDays".to_owned()),
                (Code::WindowInvalid, "rows.7.endsAt".to_owned()),
            ]
        );
    }

    #[test]
    fn a_good_batch_comes_back_checked_and_in_order() {
        let rows: Vec<Result<OverrideRow, Vec<Refusal>>> =
            (0..1_000).map(|n| Ok(OverrideRow { title: Some(format!(" {n} ")), ..row(n) })).collect();
        let good = check_overrides(rows.clone(), |_| Some((ProductKind::Library, None))).expect("good rows");
        assert_eq!((good.len(), good[999].0, good[999].1.title.as_deref()), (1_000, product(999), Some("999")));
        let more = [rows, vec![Ok(row(1_000))]].concat();
        let refused = check_overrides(more, |_| Some((ProductKind::Library, None))).expect_err("too many");
        assert_eq!((refused.len(), refused[0].code), (1, Code::TooLong));
        assert_eq!(check_overrides(Vec::new(), |_| None).expect_err("none")[0].code, Code::Required);
    }
}
