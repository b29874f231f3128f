//! What a coupon is: its effect and its limits, how they are checked when given, and what may change later.
//!
//! Always true here: rules that were checked hold together, each bad field of a draft is named, and what a coupon gives does not change once
//! somebody has used it.

use serde::{Deserialize, Serialize};

use super::code::audience_of;
use super::{Audience, CouponKind, Scope};
use crate::catalog::{CourseKind, price_limit};
use crate::id::{CompanyId, CourseId, ProductId, ProviderId, SessionId};
use crate::money::{Currency, Money, Percent};
use crate::refusal::{Code, Reason, Refusal};
use crate::text::{TextRefusal, fold, line};
use crate::window::Window;

/// Most entries of one limit.
pub const MAX_LIMIT: usize = 1_000;
/// Most uses that a limit of uses can name.
pub const MAX_USES: u32 = 1_000_000_000;
/// Most credits that one unit of a pack gives.
pub const MAX_CREDITS: u32 = 1_000_000_000;
/// Uses per customer, unless the coupon says otherwise.
pub const USES_PER_CUSTOMER: u32 = 1;
/// Most characters of a product code.
const MAX_PRODUCT_CODE: usize = 200;
/// Up to so many values are looked through one by one, which is quicker then.
const SHORT: usize = 8;

/// What a coupon gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A percentage off; more than 0.
    Percent(Percent),
    /// An amount off; more than 0.
    Amount(Money),
    /// A pack (R32).
    Pack(Pack),
}

/// A product at a price of its own, with credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// The one product that it is for.
    pub product: ProductId,
    /// The price of one unit.
    pub price: Money,
    /// The credits that one unit gives; at least 1 (R33).
    pub credits: u32,
}

impl Effect {
    /// Discount or pack.
    pub const fn kind(&self) -> CouponKind {
        match self {
            Self::Percent(_) | Self::Amount(_) => CouponKind::Discount,
            Self::Pack(_) => CouponKind::Pack,
        }
    }

    /// The coupon's own currency; a percentage has none.
    pub const fn currency(&self) -> Option<Currency> {
        match self {
            Self::Percent(_) => None,
            Self::Amount(amount) => Some(amount.currency),
            Self::Pack(pack) => Some(pack.price.currency),
        }
    }
}

/// The values that a limit allows, each once and in order; without any, there is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<T>", bound = "T: Ord + Clone + Serialize + for<'a> Deserialize<'a>")]
pub struct OneOf<T>(Vec<T>);

impl<T> Default for OneOf<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> From<Vec<T>> for OneOf<T> {
    fn from(mut values: Vec<T>) -> Self {
        values.sort_unstable();
        values.dedup();
        Self(values)
    }
}

impl<T: Ord> OneOf<T> {
    /// Whether nothing is limited.
    pub const fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the limit names the value.
    pub fn names(&self, value: &T) -> bool {
        if self.0.len() <= SHORT { self.0.contains(value) } else { self.0.binary_search(value).is_ok() }
    }

    /// Whether the limit lets the value pass.
    pub fn admits(&self, value: &T) -> bool {
        self.is_any() || self.names(value)
    }

    /// The values.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl OneOf<String> {
    /// Whether the limit of folded texts lets the text pass.
    pub(super) fn admits_text(&self, text: Option<&str>) -> bool {
        if self.is_any() {
            return true;
        }
        let Some(text) = text else { return false };
        if !text.is_ascii() {
            return self.names(&fold(text));
        }
        // Folded as [`fold`] does it, without a copy for each line and coupon.
        if self.0.len() <= SHORT {
            return self.0.iter().any(|known| known.eq_ignore_ascii_case(text));
        }
        let folded = || text.bytes().map(|byte| byte.to_ascii_lowercase());
        self.0.binary_search_by(|known| known.bytes().cmp(folded())).is_ok()
    }
}

/// What a coupon is limited to. Every limit has to let a line or a cart pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Providers from whom everything that the line gives has to come (R71).
    pub providers: OneOf<ProviderId>,
    /// Products. The product of an event covers its sessions.
    pub products: OneOf<ProductId>,
    /// Product codes, folded.
    pub product_codes: OneOf<String>,
    /// Kinds that everything the line gives has to be of. EVENT covers the sessions of events.
    pub kinds: OneOf<CourseKind>,
    /// Events; each covers its sessions (R65).
    pub events: OneOf<CourseId>,
    /// Sessions; each covers itself only (R65).
    pub sessions: OneOf<SessionId>,
    /// Companies in whose context the cart has to be.
    pub companies: OneOf<CompanyId>,
    /// Currencies that the cart has to be in.
    pub currencies: OneOf<Currency>,
    /// The least that the lines it is for have to cost before any coupon, in the coupon's own currency (R77).
    pub minimum: Option<Money>,
}

/// What a coupon is, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// What it gives.
    pub effect: Effect,
    /// How much of a cart it takes.
    pub scope: Scope,
    /// What it is limited to.
    pub limits: Limits,
    /// When it works.
    pub window: Window,
    /// How often it can be used; none = without end.
    pub total_uses: Option<u32>,
    /// How often one customer can use it; none = without end.
    pub uses_per_customer: Option<u32>,
    /// Whom it is for, if that was said; else the first letters of the code say it.
    pub audience: Option<Audience>,
    /// Of a pack: whether the order form of its product shows it to everybody (R35b).
    #[serde(default)]
    pub public: bool,
}

impl Rules {
    /// Whom the coupon is for when it is used by the code with this key.
    pub fn audience_by(&self, key: &str) -> Audience {
        self.audience.unwrap_or_else(|| audience_of(key))
    }

    /// Whether orders of the same customer have to be placed one after the other for it, when it is used by the code with this key.
    pub fn hangs_on_customer(&self, key: &str) -> bool {
        self.uses_per_customer.is_some() || self.audience_by(key) != Audience::Any
    }

    /// Whether what it gives is another thing than before.
    pub fn gives_other_than(&self, before: &Self) -> bool {
        (self.effect, self.scope) != (before.effect, before.scope)
    }

    /// Checks a change of a coupon: what it gives can change only while it has no use, reserved or spent (R63). Everything else can change at
    /// any time and holds for later orders; those that were placed keep what they were given.
    ///
    /// # Errors
    /// [`RuleRefusal::EffectFixed`] for the first field that may not change.
    pub fn check_change(&self, before: &Self, uses: u64) -> Result<(), RuleRefusal> {
        if uses == 0 || !self.gives_other_than(before) {
            return Ok(());
        }
        let field = match (self.effect, before.effect) {
            _ if self.effect == before.effect => "scope",
            _ if self.effect.kind() != before.effect.kind() => "kind",
            (Effect::Percent(_), _) => "percent",
            (Effect::Amount(_), _) => "amount",
            (Effect::Pack(pack), Effect::Pack(earlier)) if pack.product != earlier.product => "productId",
            (Effect::Pack(pack), Effect::Pack(earlier)) if pack.credits != earlier.credits => "credits",
            (Effect::Pack(_), _) => "price",
        };
        Err(RuleRefusal::EffectFixed { field, uses })
    }
}

/// Why a coupon is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleRefusal {
    /// Neither a percentage nor an amount.
    #[error("The coupon takes nothing off; give a percent or an amount.")]
    NothingOff,
    /// A percentage and an amount.
    #[error("Give the discount as a percent or as an amount, not as both.")]
    PercentAndAmount,
    /// A percentage of 0.
    #[error("A discount of 0 % gives nothing; give a percentage above 0, up to 100.")]
    PercentZero,
    /// An amount of nothing or less.
    #[error("A discount of {amount} gives nothing; give an amount above 0.")]
    AmountNotPositive {
        /// What was given.
        amount: Money,
    },
    /// An amount or a price that no shop needs.
    #[error("{amount} is too large; give at most {limit}.")]
    AmountTooLarge {
        /// The input field.
        field: &'static str,
        /// What was given.
        amount: Money,
        /// The largest amount in that currency.
        limit: Money,
    },
    /// A price or a minimum below zero.
    #[error("{amount} is below zero; give 0 or more.")]
    AmountNegative {
        /// The input field.
        field: &'static str,
        /// What was given.
        amount: Money,
    },
    /// R33: a pack without what makes it one.
    #[error("A pack names its product, the price of one and the credits that one gives; the {what} is missing.")]
    PackMissing {
        /// What is missing.
        what: &'static str,
        /// The input field.
        field: &'static str,
    },
    /// A field of the other kind of coupon.
    #[error("A coupon of kind {kind} has no {field}; leave it out.")]
    NotOfKind {
        /// The kind.
        kind: CouponKind,
        /// The input field.
        field: &'static str,
    },
    /// A number outside its bounds.
    #[error("{found} is out of range for {what}; give 1 to {limit}, or nothing for no limit.")]
    UsesOutOfRange {
        /// What is counted.
        what: &'static str,
        /// The input field.
        field: &'static str,
        /// What was given.
        found: i64,
        /// The largest number.
        limit: u32,
    },
    /// A pack of too few or too many credits.
    #[error("{found} credits are out of range; a pack gives 1 to {MAX_CREDITS} with each unit.")]
    CreditsOutOfRange {
        /// What was given.
        found: i64,
    },
    /// A minimum in another currency than the coupon's own.
    #[error("The minimum purchase is in {found}, but the coupon is in {expected}; give it in {expected}.")]
    MinimumCurrency {
        /// The coupon's own currency.
        expected: Currency,
        /// What was given.
        found: Currency,
    },
    /// A limit of too many entries.
    #[error("At most {MAX_LIMIT} entries are allowed here.")]
    TooMany {
        /// The input field.
        field: &'static str,
    },
    /// R63: what the coupon gives is fixed.
    #[error("The coupon has {uses} {}, so its {field} is fixed; everything but what it gives can still change. Deactivate it and create another one.", if *uses == 1 { "use" } else { "uses" })]
    EffectFixed {
        /// The input field.
        field: &'static str,
        /// Uses that are reserved or spent.
        uses: u64,
    },
}

impl Reason for RuleRefusal {
    fn code(&self) -> Code {
        match self {
            Self::NothingOff | Self::PackMissing { .. } => Code::Required,
            Self::PercentAndAmount
            | Self::PercentZero
            | Self::AmountNotPositive { .. }
            | Self::AmountNegative { .. }
            | Self::NotOfKind { .. }
            | Self::UsesOutOfRange { .. }
            | Self::CreditsOutOfRange { .. } => Code::Invalid,
            Self::AmountTooLarge { .. } => Code::TooLarge,
            Self::MinimumCurrency { .. } => Code::CurrencyMismatch,
            Self::TooMany { .. } => Code::TooLong,
            Self::EffectFixed { .. } => Code::CouponEffectFixed,
        }
    }

    fn field(&self) -> Vec<String> {
        let field = match self {
            Self::NothingOff | Self::PercentZero | Self::PercentAndAmount => "percent",
            Self::AmountNotPositive { .. } => "amount",
            Self::CreditsOutOfRange { .. } => "credits",
            Self::MinimumCurrency { .. } => "minimumPurchase",
            Self::AmountTooLarge { field, .. }
            | Self::AmountNegative { field, .. }
            | Self::PackMissing { field, .. }
            | Self::NotOfKind { field, .. }
            | Self::UsesOutOfRange { field, .. }
            | Self::TooMany { field }
            | Self::EffectFixed { field, .. } => field,
        };
        vec![field.to_owned()]
    }
}

/// A coupon as asked for. The window was read before; `None` for uses is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Discount or pack.
    pub kind: CouponKind,
    /// A discount's percentage.
    pub percent: Option<String>,
    /// A discount's amount.
    pub amount: Option<Money>,
    /// A pack's product.
    pub product: Option<ProductId>,
    /// A pack's price for one.
    pub price: Option<Money>,
    /// A pack's credits for one.
    pub credits: Option<i64>,
    /// How much of a cart it takes.
    pub scope: Scope,
    /// Limit: providers.
    pub providers: Vec<ProviderId>,
    /// Limit: products.
    pub products: Vec<ProductId>,
    /// Limit: product codes.
    pub product_codes: Vec<String>,
    /// Limit: kinds of courses.
    pub kinds: Vec<CourseKind>,
    /// Limit: events.
    pub events: Vec<CourseId>,
    /// Limit: sessions.
    pub sessions: Vec<SessionId>,
    /// Limit: companies.
    pub companies: Vec<CompanyId>,
    /// Limit: currencies.
    pub currencies: Vec<Currency>,
    /// Limit: the least that the lines it is for have to cost.
    pub minimum_purchase: Option<Money>,
    /// When it works.
    pub window: Window,
    /// How often it can be used.
    pub total_uses: Option<i64>,
    /// How often one customer can use it.
    pub uses_per_customer: Option<i64>,
    /// Whom it is for.
    pub audience: Option<Audience>,
    /// Of a pack: whether everybody is shown it.
    pub public: bool,
}

impl Draft {
    /// A draft that says nothing but the kind: for one item, without limits but that of one use per customer.
    pub fn new(kind: CouponKind) -> Self {
        Self {
            kind,
            percent: None,
            amount: None,
            product: None,
            price: None,
            credits: None,
            scope: Scope::Item,
            providers: Vec::new(),
            products: Vec::new(),
            product_codes: Vec::new(),
            kinds: Vec::new(),
            events: Vec::new(),
            sessions: Vec::new(),
            companies: Vec::new(),
            currencies: Vec::new(),
            minimum_purchase: None,
            window: Window::ALWAYS,
            total_uses: None,
            uses_per_customer: Some(i64::from(USES_PER_CUSTOMER)),
            audience: None,
            public: false,
        }
    }

    /// The draft that says what these rules say: the start of a change.
    pub fn of(rules: &Rules) -> Self {
        let (percent, amount, pack) = match rules.effect {
            Effect::Percent(percent) => (Some(percent.to_string()), None, None),
            Effect::Amount(amount) => (None, Some(amount), None),
            Effect::Pack(pack) => (None, None, Some(pack)),
        };
        let limits = &rules.limits;
        Self {
            kind: rules.effect.kind(),
            percent,
            amount,
            product: pack.map(|pack| pack.product),
            price: pack.map(|pack| pack.price),
            credits: pack.map(|pack| i64::from(pack.credits)),
            scope: rules.scope,
            providers: limits.providers.0.clone(),
            products: limits.products.0.clone(),
            product_codes: limits.product_codes.0.clone(),
            kinds: limits.kinds.0.clone(),
            events: limits.events.0.clone(),
            sessions: limits.sessions.0.clone(),
            companies: limits.companies.0.clone(),
            currencies: limits.currencies.0.clone(),
            minimum_purchase: limits.minimum,
            window: rules.window,
            total_uses: rules.total_uses.map(i64::from),
            uses_per_customer: rules.uses_per_customer.map(i64::from),
            audience: rules.audience,
            public: rules.public,
        }
    }

    /// Checks everything.
    ///
    /// # Errors
    /// Each bad field, by its path: `percent`, `amount`, `productId`, `price`, `credits`, `minimumPurchase`, `totalUses`, `usesPerCustomer`,
    /// `productCodes` `0`, and so on.
    pub fn check(self) -> Result<Rules, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let effect = self.effect(&mut refusals);
        let mut refuse = |refusal: RuleRefusal| refusals.push(refusal.into());
        for (field, count) in [
            ("providerIds", self.providers.len()),
            ("productIds", self.products.len()),
            ("productCodes", self.product_codes.len()),
            ("courseKinds", self.kinds.len()),
            ("eventIds", self.events.len()),
            ("sessionIds", self.sessions.len()),
            ("companyIds", self.companies.len()),
            ("currencies", self.currencies.len()),
        ] {
            if count > MAX_LIMIT {
                refuse(RuleRefusal::TooMany { field });
            }
        }
        if let Some(minimum) = self.minimum_purchase {
            let own = effect.as_ref().and_then(Effect::currency).unwrap_or(minimum.currency);
            if let Err(refusal) = in_bounds("minimumPurchase", minimum) {
                refuse(refusal);
            } else if own != minimum.currency {
                refuse(RuleRefusal::MinimumCurrency { expected: own, found: minimum.currency });
            }
        }
        let mut uses = |what, field, found: Option<i64>| {
            let found = found?;
            let checked = u32::try_from(found).ok().filter(|uses| (1..=MAX_USES).contains(uses));
            if checked.is_none() {
                refuse(RuleRefusal::UsesOutOfRange { what, field, found, limit: MAX_USES });
            }
            checked
        };
        let total_uses = uses("the total number of uses", "totalUses", self.total_uses);
        let uses_per_customer = uses("the number of uses per customer", "usesPerCustomer", self.uses_per_customer);
        let mut product_codes = Vec::with_capacity(self.product_codes.len().min(MAX_LIMIT));
        for (index, code) in self.product_codes.iter().take(MAX_LIMIT).enumerate() {
            match product_code(code) {
                Ok(code) => product_codes.push(code),
                Err(refusal) => refusals.push(Refusal::from(refusal).under(["productCodes".to_owned(), index.to_string()])),
            }
        }
        match effect {
            Some(effect) if refusals.is_empty() => Ok(Rules {
                effect,
                scope: self.scope,
                limits: Limits {
                    providers: self.providers.into(),
                    products: self.products.into(),
                    product_codes: product_codes.into(),
                    kinds: self.kinds.into(),
                    events: self.events.into(),
                    sessions: self.sessions.into(),
                    companies: self.companies.into(),
                    currencies: self.currencies.into(),
                    // A minimum of nothing is none.
                    minimum: self.minimum_purchase.filter(|minimum| !minimum.is_zero()),
                },
                window: self.window,
                total_uses,
                uses_per_customer,
                audience: self.audience,
                public: self.public,
            }),
            _ => Err(refusals),
        }
    }

    fn effect(&self, refusals: &mut Vec<Refusal>) -> Option<Effect> {
        let before = refusals.len();
        let mut refuse = |refusal: RuleRefusal| refusals.push(refusal.into());
        let kind = self.kind;
        let effect = match kind {
            CouponKind::Discount => {
                for (field, given) in [
                    ("productId", self.product.is_some()),
                    ("price", self.price.is_some()),
                    ("credits", self.credits.is_some()),
                    ("public", self.public),
                ] {
                    if given {
                        refuse(RuleRefusal::NotOfKind { kind, field });
                    }
                }
                match (&self.percent, self.amount) {
                    (None, None) => {
                        refuse(RuleRefusal::NothingOff);
                        None
                    }
                    (Some(_), Some(_)) => {
                        refuse(RuleRefusal::PercentAndAmount);
                        None
                    }
                    (Some(percent), None) => match Percent::parse(percent) {
                        Ok(percent) if percent.units() == 0 => {
                            refuse(RuleRefusal::PercentZero);
                            None
                        }
                        Ok(percent) => Some(Effect::Percent(percent)),
                        Err(error) => {
                            refusals.push(Refusal::from(error).under(["percent"]));
                            None
                        }
                    },
                    (None, Some(amount)) if amount.minor <= 0 => {
                        refuse(RuleRefusal::AmountNotPositive { amount });
                        None
                    }
                    (None, Some(amount)) => match in_bounds("amount", amount) {
                        Ok(()) => Some(Effect::Amount(amount)),
                        Err(refusal) => {
                            refuse(refusal);
                            None
                        }
                    },
                }
            }
            CouponKind::Pack => {
                for (field, given) in [("percent", self.percent.is_some()), ("amount", self.amount.is_some())] {
                    if given {
                        refuse(RuleRefusal::NotOfKind { kind, field });
                    }
                }
                if self.product.is_none() {
                    refuse(RuleRefusal::PackMissing { what: "product", field: "productId" });
                }
                match self.price.map(|price| in_bounds("price", price)) {
                    None => refuse(RuleRefusal::PackMissing { what: "price", field: "price" }),
                    Some(Err(refusal)) => refuse(refusal),
                    Some(Ok(())) => {}
                }
                let credits = match self.credits {
                    None => {
                        refuse(RuleRefusal::PackMissing { what: "number of credits", field: "credits" });
                        None
                    }
                    Some(found) => {
                        let credits = u32::try_from(found).ok().filter(|credits| (1..=MAX_CREDITS).contains(credits));
                        if credits.is_none() {
                            refuse(RuleRefusal::CreditsOutOfRange { found });
                        }
                        credits
                    }
                };
                match (self.product, self.price, credits) {
                    (Some(product), Some(price), Some(credits)) => Some(Effect::Pack(Pack { product, price, credits })),
                    _ => None,
                }
            }
        };
        effect.filter(|_| refusals.len() == before)
    }
}

fn in_bounds(field: &'static str, amount: Money) -> Result<(), RuleRefusal> {
    match price_limit(amount) {
        Ok(()) => Ok(()),
        Err(_) if amount.minor < 0 => Err(RuleRefusal::AmountNegative { field, amount }),
        Err(limit) => Err(RuleRefusal::AmountTooLarge { field, amount, limit }),
    }
}

/// A product code as limits keep it.
fn product_code(code: &str) -> Result<String, TextRefusal> {
    line("product code", code, MAX_PRODUCT_CODE).map(|code| fold(&code))
}
