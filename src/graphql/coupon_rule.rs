//! What coupons give and what they are limited to, as operators read and write it.

use async_graphql::{ID, InputObject, MaybeUndefined, SimpleObject};
use chrono::{DateTime, NaiveDate, Utc};
use domain::coupon::{Effect, Rules};

use super::offer::CourseKind;
use super::scalar::{CurrencyCode, Decimal, Money, MoneyInput, input_id, input_ids, named_enum};
use crate::app::coupon::CouponWish;
use crate::error::{Code, Error, Faults, Refusal, Result};

named_enum! {
    /// What a coupon does: DISCOUNT takes something off; PACK sells one product at another price and with another number of credits.
    CouponKind(domain::coupon::CouponKind)
}

named_enum! {
    /// How much of a cart a coupon takes: one line with its whole quantity (ITEM), or every line that it is for and that no other coupon has
    /// taken (ORDER).
    CouponScope(domain::coupon::Scope)
}

named_enum! {
    /// Whom a coupon is for: whoever knows a code (ANY), customers none of whose orders was ever paid (NEW), or the others (RECURRING).
    CouponAudience(domain::coupon::Audience)
}

/// What a coupon gives and what it is limited to, as of a version.
#[derive(Debug, Clone, SimpleObject)]
pub struct CouponRules {
    /// What it does.
    kind: CouponKind,
    /// How much of a cart it takes.
    scope: CouponScope,
    /// Percent off, of a discount.
    percent: Option<Decimal>,
    /// Amount off, of a discount; converted for carts in other currencies.
    amount: Option<Money>,
    /// The product, of a pack.
    product_id: Option<ID>,
    /// The price of one, of a pack.
    price: Option<Money>,
    /// The credits that one gives, of a pack.
    credits: Option<u32>,
    /// Providers from whom everything that a line gives has to come; empty = any.
    provider_ids: Vec<ID>,
    /// Products that it is for; empty = any. The product of an event covers its sessions.
    product_ids: Vec<ID>,
    /// Product codes that it is for, folded; empty = any.
    product_codes: Vec<String>,
    /// Kinds that everything a line gives has to be of; empty = any.
    course_kinds: Vec<CourseKind>,
    /// Events that it is for, each with its sessions; empty = any.
    event_ids: Vec<ID>,
    /// Sessions that it is for; empty = any.
    session_ids: Vec<ID>,
    /// Companies for whose carts it is; empty = all carts.
    company_ids: Vec<ID>,
    /// Currencies of carts that it is for; empty = any.
    currencies: Vec<CurrencyCode>,
    /// The least that the lines it is for have to cost before any coupon.
    minimum_purchase: Option<Money>,
    /// From when it works; null = since ever.
    starts_at: Option<DateTime<Utc>>,
    /// Until when it works, exclusive; null = for ever.
    ends_at: Option<DateTime<Utc>>,
    /// How often it can be used; null = without end.
    total_uses: Option<u32>,
    /// How often one customer can use it; null = without end.
    uses_per_customer: Option<u32>,
    /// Whom it is for; null = the first letters of a code say so.
    audience: Option<CouponAudience>,
    /// Of a pack: whether the order form of its product shows it to everybody.
    public: bool,
}

impl From<&Rules> for CouponRules {
    fn from(rules: &Rules) -> Self {
        fn ids<K: domain::id::Kind>(ids: &[domain::Id<K>]) -> Vec<ID> {
            ids.iter().map(|id| id.to_string().into()).collect()
        }
        let (percent, amount, pack) = match rules.effect {
            Effect::Percent(percent) => (Some(Decimal(percent.to_string())), None, None),
            Effect::Amount(amount) => (None, Some(amount.into()), None),
            Effect::Pack(pack) => (None, None, Some(pack)),
        };
        let limits = &rules.limits;
        Self {
            kind: rules.effect.kind().into(),
            scope: rules.scope.into(),
            percent,
            amount,
            product_id: pack.map(|pack| pack.product.to_string().into()),
            price: pack.map(|pack| pack.price.into()),
            credits: pack.map(|pack| pack.credits),
            provider_ids: ids(limits.providers.as_slice()),
            product_ids: ids(limits.products.as_slice()),
            product_codes: limits.product_codes.as_slice().to_vec(),
            course_kinds: limits.kinds.as_slice().iter().map(|kind| CourseKind(*kind)).collect(),
            event_ids: ids(limits.events.as_slice()),
            session_ids: ids(limits.sessions.as_slice()),
            company_ids: ids(limits.companies.as_slice()),
            currencies: limits.currencies.as_slice().iter().map(|currency| (*currency).into()).collect(),
            minimum_purchase: limits.minimum.map(Money::from),
            starts_at: rules.window.starts_at,
            ends_at: rules.window.ends_at,
            total_uses: rules.total_uses,
            uses_per_customer: rules.uses_per_customer,
            audience: rules.audience.map(CouponAudience),
            public: rules.public,
        }
    }
}

/// What a coupon is to give and to be limited to. Lists that are empty or left out do not limit.
#[derive(Debug, InputObject)]
pub struct CouponRulesInput {
    /// Percent off, of a discount: above 0, up to 100, with up to 4 decimals. Give this or `amount`.
    percent: MaybeUndefined<Decimal>,
    /// Amount off, of a discount.
    amount: MaybeUndefined<MoneyInput>,
    /// The product, of a pack.
    product_id: MaybeUndefined<ID>,
    /// The price of one, of a pack.
    price: MaybeUndefined<MoneyInput>,
    /// The credits that one gives, of a pack.
    credits: MaybeUndefined<i64>,
    /// How much of a cart it takes; ITEM unless given.
    scope: Option<CouponScope>,
    /// Providers from whom everything that a line gives has to come.
    provider_ids: MaybeUndefined<Vec<ID>>,
    /// Products that it is for. The product of an event covers its sessions.
    product_ids: MaybeUndefined<Vec<ID>>,
    /// Product codes that it is for, whatever their case.
    product_codes: MaybeUndefined<Vec<String>>,
    /// Kinds that everything a line gives has to be of.
    course_kinds: MaybeUndefined<Vec<CourseKind>>,
    /// Events that it is for, each with its sessions.
    event_ids: MaybeUndefined<Vec<ID>>,
    /// Sessions that it is for.
    session_ids: MaybeUndefined<Vec<ID>>,
    /// Companies for whose carts it is.
    company_ids: MaybeUndefined<Vec<ID>>,
    /// Currencies of carts that it is for.
    currencies: MaybeUndefined<Vec<CurrencyCode>>,
    /// The least that the lines it is for have to cost before any coupon, in the coupon's own currency.
    minimum_purchase: MaybeUndefined<MoneyInput>,
    /// From when it works. Give instants or days, not both.
    starts_at: MaybeUndefined<DateTime<Utc>>,
    /// Until when it works, exclusive.
    ends_at: MaybeUndefined<DateTime<Utc>>,
    /// The first day that it works, in the zone of its companies if they share one, else in the shop's.
    first_day: MaybeUndefined<NaiveDate>,
    /// The last day that it works, in the same zone; all of that day still belongs to it.
    last_day: MaybeUndefined<NaiveDate>,
    /// How often it can be used; without end unless given.
    total_uses: MaybeUndefined<i64>,
    /// How often one customer can use it; once unless given, null = without end.
    uses_per_customer: MaybeUndefined<i64>,
    /// Whom it is for. Unless given, codes that begin with "new" or "recurring" are for such customers, and others for everybody.
    audience: MaybeUndefined<CouponAudience>,
    /// Of a pack: whether the order form of its product shows it to everybody, with price, credits and a link by one of its codes that is of no
    /// batch. False unless given.
    public: Option<bool>,
}

impl CouponRulesInput {
    /// The wish that it says.
    ///
    /// # Errors
    /// Every fault of every field.
    pub(super) fn wish(self, kind: Option<CouponKind>) -> Result<CouponWish> {
        let mut faults = Faults::default();
        let mut wish = CouponWish { kind: kind.map(|kind| kind.0), scope: self.scope.map(|scope| scope.0), ..CouponWish::default() };
        wish.percent = given(self.percent).map(|percent| percent.map(|percent| percent.0));
        wish.amount = money(&mut faults, "amount", self.amount);
        wish.price = money(&mut faults, "price", self.price);
        wish.minimum_purchase = money(&mut faults, "minimumPurchase", self.minimum_purchase);
        wish.product = given(self.product_id).map(|id| id.and_then(|id| noted(&mut faults, input_id(&id, "productId", "product"))));
        wish.credits = self.credits.into();
        wish.public = self.public;
        wish.providers = ids(&mut faults, "providerIds", "provider", self.provider_ids);
        wish.products = ids(&mut faults, "productIds", "product", self.product_ids);
        wish.product_codes = given(self.product_codes).map(Option::unwrap_or_default);
        wish.kinds = given(self.course_kinds).map(|kinds| kinds.unwrap_or_default().into_iter().map(|kind| kind.0).collect());
        wish.events = ids(&mut faults, "eventIds", "event", self.event_ids);
        wish.sessions = ids(&mut faults, "sessionIds", "session", self.session_ids);
        wish.companies = ids(&mut faults, "companyIds", "company", self.company_ids);
        wish.currencies = given(self.currencies).map(|codes| {
            let codes = codes.unwrap_or_default();
            let parsed = codes.iter().enumerate().map(|(place, code)| code.parse(["currencies", &place.to_string()]));
            parsed.collect::<Vec<_>>().into_iter().filter_map(|code| noted(&mut faults, code)).collect()
        });
        wish.starts_at = self.starts_at.into();
        wish.ends_at = self.ends_at.into();
        wish.first_day = self.first_day.into();
        wish.last_day = self.last_day.into();
        wish.total_uses = self.total_uses.into();
        wish.uses_per_customer = self.uses_per_customer.into();
        wish.audience = given(self.audience).map(|audience| audience.map(|audience| audience.0));
        faults.check()?;
        Ok(wish)
    }
}

fn given<T>(value: MaybeUndefined<T>) -> Option<Option<T>> {
    value.into()
}

/// The value, or none and its refusals noted.
fn noted<T>(faults: &mut Faults, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Refused(refusals)) => {
            refusals.into_iter().for_each(|refusal| faults.add(refusal));
            None
        }
        // Reading a value meets nothing else.
        Err(other) => {
            faults.add(Refusal::at(Code::Invalid, Vec::<String>::new(), other.to_string()));
            None
        }
    }
}

fn money(faults: &mut Faults, field: &str, value: MaybeUndefined<MoneyInput>) -> Option<Option<domain::Money>> {
    given(value).map(|amount| amount.and_then(|amount| faults.of(amount.parse([field]))))
}

fn ids<K: domain::id::Kind>(faults: &mut Faults, field: &str, what: &str, value: MaybeUndefined<Vec<ID>>) -> Option<Vec<domain::Id<K>>> {
    given(value).map(|ids| noted(faults, input_ids(&ids.unwrap_or_default(), field, what)).unwrap_or_default())
}
