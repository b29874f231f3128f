//! Coupons for operators: made, changed, switched off; found, listed, and what became of them.
//!
//! Always true here: what a coupon gives is compared with its uses while its row is held, so that nobody uses it meanwhile; every change is a
//! version that stays.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use chrono_tz::Tz;
use domain::catalog::CourseKind;
use domain::coupon::{
    Audience, AudienceWarning, CouponCode, CouponKind, CouponStatus, Draft, Prefix, Rules, Scope, StatusFacts, Uses, code,
};
use domain::window::Window;
use domain::{CompanyId, CouponId, CourseId, Currency, Id, Money, ProductId, ProviderId, SessionId, text};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::{App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::coupon_rule::{NewText, TextKind};
use crate::store::page::Key;

pub use crate::store::coupon::Coupon;
pub use crate::store::coupon_rule::{
    ChosenText, CodeRow, CodesOf, CouponFilter, CouponVersion, ReportAmount, ReportFilter, ReportRow, TextKind as ChosenKind, UseRow,
};

/// Most codes that one call gives a coupon.
pub const MAX_CODES: usize = 1_000;

/// What a coupon is to be; absent = stays, or the default of a new one.
#[derive(Debug, Clone, Default)]
pub struct CouponWish {
    /// Discount or pack.
    pub kind: Option<CouponKind>,
    /// A discount's percentage.
    pub percent: Option<Option<String>>,
    /// A discount's amount.
    pub amount: Option<Option<Money>>,
    /// A pack's product.
    pub product: Option<Option<ProductId>>,
    /// A pack's price.
    pub price: Option<Option<Money>>,
    /// A pack's credits.
    pub credits: Option<Option<i64>>,
    /// How much of a cart it takes.
    pub scope: Option<Scope>,
    /// Limit: providers.
    pub providers: Option<Vec<ProviderId>>,
    /// Limit: products.
    pub products: Option<Vec<ProductId>>,
    /// Limit: product codes.
    pub product_codes: Option<Vec<String>>,
    /// Limit: kinds of courses.
    pub kinds: Option<Vec<CourseKind>>,
    /// Limit: events.
    pub events: Option<Vec<CourseId>>,
    /// Limit: sessions.
    pub sessions: Option<Vec<SessionId>>,
    /// Limit: companies.
    pub companies: Option<Vec<CompanyId>>,
    /// Limit: currencies.
    pub currencies: Option<Vec<Currency>>,
    /// Limit: the least that the lines it is for have to cost.
    pub minimum_purchase: Option<Option<Money>>,
    /// Start of its window.
    pub starts_at: Option<Option<DateTime<Utc>>>,
    /// End of its window.
    pub ends_at: Option<Option<DateTime<Utc>>>,
    /// First day of its window, in the zone of its companies if they share one, else in the shop's.
    pub first_day: Option<Option<NaiveDate>>,
    /// Last day of its window, in the same zone; it still belongs to it.
    pub last_day: Option<Option<NaiveDate>>,
    /// How often it can be used.
    pub total_uses: Option<Option<i64>>,
    /// How often one customer can use it.
    pub uses_per_customer: Option<Option<i64>>,
    /// Whom it is for.
    pub audience: Option<Option<Audience>>,
    /// Of a pack: whether everybody is shown it.
    pub public: Option<bool>,
}

impl CouponWish {
    /// The draft with what is wished for in place of what it said.
    fn apply(self, draft: Draft, zone: Tz) -> Result<Draft, Vec<Refusal>> {
        let window = self.window(draft.window, zone).map_err(|refusal| vec![refusal])?;
        let kind = self.kind.unwrap_or(draft.kind);
        let was = draft.kind;
        // What belongs to the other kind of coupon, or to the other way to say a discount, goes with it.
        let keeps = |kept: CouponKind, given_instead: bool| kind == kept && was == kept && !given_instead;
        let by_percent = matches!(self.percent, Some(Some(_)));
        let by_amount = matches!(self.amount, Some(Some(_)));
        Ok(Draft {
            kind,
            percent: self.percent.unwrap_or(draft.percent.filter(|_| keeps(CouponKind::Discount, by_amount))),
            amount: self.amount.unwrap_or(draft.amount.filter(|_| keeps(CouponKind::Discount, by_percent))),
            product: self.product.unwrap_or(draft.product.filter(|_| keeps(CouponKind::Pack, false))),
            price: self.price.unwrap_or(draft.price.filter(|_| keeps(CouponKind::Pack, false))),
            credits: self.credits.unwrap_or(draft.credits.filter(|_| keeps(CouponKind::Pack, false))),
            scope: self.scope.unwrap_or(draft.scope),
            providers: self.providers.unwrap_or(draft.providers),
            products: self.products.unwrap_or(draft.products),
            product_codes: self.product_codes.unwrap_or(draft.product_codes),
            kinds: self.kinds.unwrap_or(draft.kinds),
            events: self.events.unwrap_or(draft.events),
            sessions: self.sessions.unwrap_or(draft.sessions),
            companies: self.companies.unwrap_or(draft.companies),
            currencies: self.currencies.unwrap_or(draft.currencies),
            minimum_purchase: self.minimum_purchase.unwrap_or(draft.minimum_purchase),
            window,
            total_uses: self.total_uses.unwrap_or(draft.total_uses),
            uses_per_customer: self.uses_per_customer.unwrap_or(draft.uses_per_customer),
            audience: self.audience.unwrap_or(draft.audience),
            public: self.public.unwrap_or(draft.public && keeps(CouponKind::Pack, false)),
        })
    }

    fn window(&self, before: Window, zone: Tz) -> Result<Window, Refusal> {
        let instant = |given: Option<Option<DateTime<Utc>>>| given.flatten().map(|instant| instant.trunc_subsecs(6));
        let (starts_at, ends_at) = (instant(self.starts_at), instant(self.ends_at));
        let given = Window::given(starts_at, ends_at, self.first_day.flatten(), self.last_day.flatten(), zone)?;
        let start = if self.starts_at.is_some() || self.first_day.is_some() { given.starts_at } else { before.starts_at };
        let end = if self.ends_at.is_some() || self.last_day.is_some() { given.ends_at } else { before.ends_at };
        Ok(Window::new(start, end)?)
    }
}

/// A coupon to be made.
#[derive(Debug, Clone)]
pub struct CouponCreate {
    /// What operators call it; its first code or prefix unless given.
    pub name: Option<String>,
    /// What it is to be.
    pub wish: CouponWish,
    /// Its codes.
    pub codes: Vec<String>,
    /// What the codes of its batches begin with.
    pub prefix: Option<String>,
}

/// What is to change of a coupon; absent = stays.
#[derive(Debug, Clone)]
pub struct CouponUpdate {
    /// The coupon.
    pub id: CouponId,
    /// The version that the caller has seen.
    pub expected_version: Option<i64>,
    /// What operators call it.
    pub name: Option<String>,
    /// Whether it is switched on.
    pub active: Option<bool>,
    /// What it is to be.
    pub wish: CouponWish,
    /// Codes that it gets besides those that it has.
    pub codes: Vec<String>,
    /// Another prefix for its batches.
    pub prefix: Option<String>,
}

/// A coupon that was written, and what its operator may not have meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Written<T> {
    /// What was written.
    pub value: T,
    /// What follows from the first letters of codes.
    pub warnings: Vec<Refusal>,
}

/// Which coupon is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CouponName {
    /// This one.
    Id(CouponId),
    /// The one that this code or prefix belongs to, however it is written.
    Code(String),
}

/// A code or prefix as it was given.
#[derive(Debug, Clone)]
pub(super) struct Text {
    kind: TextKind,
    text: String,
    key: String,
    field: Vec<String>,
    taken: code::CodeRefusal,
}

impl Text {
    fn code(text: &str, place: usize) -> Result<Self, Refusal> {
        let field = vec!["codes".to_owned(), place.to_string()];
        match CouponCode::parse(text) {
            Ok(code) => Ok(Self { kind: TextKind::Code, text: code.to_string(), key: code.key(), field, taken: code.taken() }),
            Err(reason) => Err(Refusal { field, ..reason.into() }),
        }
    }

    pub(super) fn prefix(text: &str) -> Result<Self, Refusal> {
        let prefix = Prefix::parse(text)?;
        let field = vec!["prefix".to_owned()];
        Ok(Self { kind: TextKind::Prefix, text: prefix.to_string(), key: prefix.key(), field, taken: prefix.taken() })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn refusal(&self) -> Refusal {
        Refusal { field: self.field.clone(), ..self.taken.clone().into() }
    }
}

impl App {
    /// Makes a coupon with its codes.
    ///
    /// # Errors
    /// Not for this caller; fields that are none, ids of nothing; [`Code::CouponCodeTaken`].
    pub async fn coupon_create(&self, caller: &Caller, cmd: CouponCreate) -> Result<Written<Coupon>> {
        caller.require(Topic::Coupons.write())?;
        let (id, now) = (entropy::next_id(), self.now());
        let mut faults = Faults::default();
        let texts = texts(&mut faults, &cmd.codes, cmd.prefix.as_deref());
        let name = match &cmd.name {
            Some(name) => faults.at("name", text::name(name)),
            None => Some(texts.first().map_or_else(|| id.to_string(), |text| text.text.clone())),
        };
        self.check_ids(&mut faults, &cmd.wish).await?;
        let draft = Draft::new(cmd.wish.kind.unwrap_or(CouponKind::Discount));
        let zone = self.zone_of_coupon(self.db.read(), &cmd.wish, &[]).await?;
        let rules = match cmd.wish.apply(draft, zone).and_then(Draft::check) {
            Ok(rules) => Some(rules),
            Err(refusals) => {
                refusals.into_iter().for_each(|refusal| faults.add(refusal));
                None
            }
        };
        faults.check()?;
        let (Some(name), Some(rules)) = (name, rules) else { return Err(crate::internal!("a checked coupon lacks a part")) };
        let warnings = warnings(&rules, &texts);
        let coupon = Coupon { id, name, rules, version: 1, active: true, used: 0, created_at: now, touched_at: now, archived_at: None };
        let txn = self.db.begin().await?;
        store::coupon_rule::insert(&txn, &coupon).await?;
        store::coupon_rule::insert_version(&txn, &coupon, &caller.actor()).await?;
        self.give_texts(&txn, id, &texts).await?;
        self.audit(&txn, caller, "couponCreate", object(id), None, Some(told(&coupon, &texts))).await?;
        txn.commit().await?;
        Ok(Written { value: coupon, warnings })
    }

    /// Changes a coupon, or gives it more codes.
    ///
    /// # Errors
    /// Not for this caller; no such coupon; [`Code::CouponChanged`] for another version than expected; [`Code::CouponEffectFixed`] where it was
    /// used; fields that are none, ids of nothing; [`Code::CouponCodeTaken`].
    pub async fn coupon_update(&self, caller: &Caller, cmd: CouponUpdate) -> Result<Written<Coupon>> {
        caller.require(Topic::Coupons.write())?;
        let mut faults = Faults::default();
        let texts = texts(&mut faults, &cmd.codes, cmd.prefix.as_deref());
        let name = cmd.name.as_deref().map(|name| faults.at("name", text::name(name)));
        self.check_ids(&mut faults, &cmd.wish).await?;
        let now = self.now();
        let txn = self.db.begin().await?;
        let held = store::coupon_rule::lock(&txn, cmd.id).await?.ok_or_else(|| Error::not_found("id", "coupon"))?;
        if held.archived_at.is_some() {
            return Err(Error::refused(Code::Archived, ["id"], "This coupon is archived and changes no more; create another one."));
        }
        if let Some(expected) = cmd.expected_version
            && expected != held.version
        {
            let message = format!("The coupon is in version {}, not {expected}; read it again and repeat the change.", held.version);
            return Err(Error::refused(Code::CouponChanged, ["expectedVersion"], message));
        }
        let zone = self.zone_of_coupon(&txn, &cmd.wish, held.rules.limits.companies.as_slice()).await?;
        let rules = match cmd.wish.apply(Draft::of(&held.rules), zone).and_then(Draft::check) {
            Ok(rules) => rules,
            Err(refusals) => {
                refusals.into_iter().for_each(|refusal| faults.add(refusal));
                held.rules.clone()
            }
        };
        faults.check()?;
        if rules.gives_other_than(&held.rules) {
            let uses = store::coupon_rule::counting_uses(&txn, cmd.id).await?;
            rules.check_change(&held.rules, uses).map_err(Refusal::from)?;
        }
        let mut coupon = held.clone();
        coupon.name = name.flatten().unwrap_or(coupon.name);
        coupon.active = cmd.active.unwrap_or(coupon.active);
        coupon.rules = rules;
        if coupon.rules.total_uses != held.rules.total_uses {
            let limited = coupon.rules.total_uses.is_some();
            store::coupon_rule::recount(&txn, cmd.id, limited).await?;
            coupon.used = if limited { store::coupon_rule::counting_uses(&txn, cmd.id).await? } else { 0 };
        }
        let warnings = warnings(&coupon.rules, &texts);
        if coupon != held {
            coupon.version += 1;
        }
        if coupon != held || !texts.is_empty() {
            coupon.touched_at = now;
            store::coupon_rule::update(&txn, &coupon).await?;
            if coupon.version != held.version {
                store::coupon_rule::insert_version(&txn, &coupon, &caller.actor()).await?;
            }
            self.give_texts(&txn, cmd.id, &texts).await?;
            self.audit(&txn, caller, "couponUpdate", object(cmd.id), Some(told(&held, &[])), Some(told(&coupon, &texts))).await?;
        }
        txn.commit().await?;
        Ok(Written { value: coupon, warnings })
    }

    /// Switches a coupon off; orders that hold it keep it. Again, it changes nothing.
    ///
    /// # Errors
    /// Not for this caller; no such coupon.
    pub async fn coupon_deactivate(&self, caller: &Caller, id: CouponId) -> Result<Coupon> {
        caller.require(Topic::Coupons.write())?;
        let txn = self.db.begin().await?;
        let held = store::coupon_rule::lock(&txn, id).await?.ok_or_else(|| Error::not_found("id", "coupon"))?;
        if !held.active {
            return Ok(held);
        }
        let coupon = Coupon { active: false, version: held.version + 1, touched_at: self.now(), ..held.clone() };
        store::coupon_rule::update(&txn, &coupon).await?;
        store::coupon_rule::insert_version(&txn, &coupon, &caller.actor()).await?;
        self.audit(&txn, caller, "couponDeactivate", object(id), Some(told(&held, &[])), Some(told(&coupon, &[]))).await?;
        txn.commit().await?;
        Ok(coupon)
    }

    /// The zone of a coupon's days: that of the companies for whose carts it is, where they share one, else the shop's (SPEC 2).
    async fn zone_of_coupon(&self, db: &impl ConnectionTrait, wish: &CouponWish, held: &[CompanyId]) -> Result<Tz> {
        let companies = given(&wish.companies).unwrap_or(if wish.companies.is_some() { &[] } else { held });
        if companies.is_empty() || !(matches!(wish.first_day, Some(Some(_))) || matches!(wish.last_day, Some(Some(_)))) {
            return Ok(self.shop.time_zone);
        }
        let found = store::company::companies(db, companies).await?;
        let mut zones = found.iter().map(|company| company.time_zone.unwrap_or(self.shop.time_zone));
        let first = zones.next().unwrap_or(self.shop.time_zone);
        Ok(if zones.all(|zone| zone == first) { first } else { self.shop.time_zone })
    }

    /// Writes codes and prefixes of a coupon.
    pub(super) async fn give_texts(&self, txn: &DatabaseTransaction, coupon: CouponId, texts: &[Text]) -> Result<()> {
        if texts.is_empty() {
            return Ok(());
        }
        let rows: Vec<NewText> = texts
            .iter()
            .map(|text| NewText {
                id: entropy::next_id(),
                coupon,
                batch: None,
                kind: text.kind,
                text: text.text.clone(),
                key: text.key.clone(),
            })
            .collect();
        if store::coupon_rule::insert_texts(txn, &rows, self.now()).await? == rows.len() as u64 {
            return Ok(());
        }
        let keys: Vec<String> = texts.iter().map(|text| text.key.clone()).collect();
        let owners = store::coupon_rule::owners(txn, &keys).await?;
        let taken = rows.iter().zip(texts).filter(|(row, _)| owners.get(&row.key).is_none_or(|(id, _)| *id != row.id));
        Err(taken.map(|(_, text)| text.refusal()).collect::<Vec<_>>().into())
    }

    /// Whether everything is there that a coupon is to be limited to.
    async fn check_ids(&self, faults: &mut Faults, wish: &CouponWish) -> Result<()> {
        let db = self.db.read();
        if let Some(wanted) = given(&wish.providers) {
            let found = store::catalog::providers(db, wanted).await?;
            missing(faults, "providerIds", "provider", wanted, found.into_iter().map(|provider| provider.id).collect());
        }
        if let Some(wanted) = given(&wish.products) {
            let found = store::product::products(db, wanted).await?;
            missing(faults, "productIds", "product", wanted, found.into_iter().map(|product| product.id).collect());
        }
        if let Some(Some(wanted)) = wish.product
            && store::product::products(db, &[wanted]).await?.is_empty()
        {
            faults.add(Refusal::at(Code::NotFound, ["productId"], "There is no such product; check the id."));
        }
        if let Some(wanted) = given(&wish.events) {
            let found = store::catalog::courses(db, wanted).await?;
            let events = found.into_iter().filter(|course| course.kind == CourseKind::Event).map(|course| course.id).collect();
            missing(faults, "eventIds", "event", wanted, events);
        }
        if let Some(wanted) = given(&wish.sessions) {
            let found = store::catalog::sessions(db, wanted).await?;
            missing(faults, "sessionIds", "session", wanted, found.into_iter().map(|session| session.id).collect());
        }
        if let Some(wanted) = given(&wish.companies) {
            let found = store::company::companies(db, wanted).await?;
            missing(faults, "companyIds", "company", wanted, found.into_iter().map(|company| company.id).collect());
        }
        Ok(())
    }

    // ---- reading ------------------------------------------------------------------------------------------------------------------

    /// One coupon.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn coupon(&self, caller: &Caller, name: &CouponName) -> Result<Option<Coupon>> {
        caller.require(Topic::Coupons.read())?;
        match name {
            CouponName::Id(id) => Ok(store::coupon::by_ids(self.db.read(), &[*id]).await?.pop()),
            CouponName::Code(typed) => match code::key_of(typed) {
                Some(key) => Ok(store::coupon_rule::by_key(self.db.read(), &key).await?),
                None => Ok(None),
            },
        }
    }

    /// The coupons with these ids, for those who may read them.
    ///
    /// # Errors
    /// The database's.
    pub async fn coupons_by_id(&self, ids: &[CouponId]) -> Result<HashMap<CouponId, Coupon>> {
        Ok(store::coupon::by_ids(self.db.read(), ids).await?.into_iter().map(|coupon| (coupon.id, coupon)).collect())
    }

    /// A page of coupons, the newest first.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn coupons(
        &self,
        caller: &Caller,
        filter: &CouponFilter,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Coupon>> {
        caller.require(Topic::Coupons.read())?;
        Ok(store::coupon_rule::coupon_page(self.db.read(), filter, self.now(), args, with_total).await?)
    }

    /// The codes and prefixes of these coupons that somebody chose, for lists inside of what the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn coupon_texts_of(&self, coupons: &[CouponId]) -> Result<HashMap<CouponId, Vec<ChosenText>>> {
        Ok(store::coupon_rule::chosen(self.db.read(), coupons).await?)
    }

    /// A page of codes of a batch or coupon, with the coupon. `None`: there is no such batch or coupon.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn coupon_codes(
        &self,
        caller: &Caller,
        of: CodesOf,
        args: &PageArgs<Uuid>,
        with_total: bool,
    ) -> Result<Option<(Coupon, Page<CodeRow>)>> {
        caller.require(Topic::Coupons.read())?;
        let db = self.db.read();
        let coupon = match of {
            CodesOf::Coupon(coupon) => coupon,
            CodesOf::Batch(batch) => match store::coupon_batch::by_ids(db, &[batch]).await?.pop() {
                Some(batch) => batch.coupon,
                None => return Ok(None),
            },
        };
        let Some(coupon) = store::coupon::by_ids(db, &[coupon]).await?.pop() else { return Ok(None) };
        let page = store::coupon_rule::code_page(db, of, args, with_total).await?;
        Ok(Some((coupon, page)))
    }

    /// Whether this caller may have codes at all.
    ///
    /// # Errors
    /// Not for this caller.
    pub fn coupon_export_right(&self, caller: &Caller) -> Result<()> {
        caller.require(Topic::Coupons.read())
    }

    /// A page of the uses of a coupon, the latest first.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn coupon_uses(
        &self,
        caller: &Caller,
        coupon: CouponId,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<UseRow>> {
        caller.require(Topic::Coupons.read())?;
        Ok(store::coupon_rule::use_page(self.db.read(), coupon, args, with_total).await?)
    }

    /// A page of the versions of a coupon, the latest first.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn coupon_versions(
        &self,
        caller: &Caller,
        coupon: CouponId,
        args: &PageArgs<i64>,
        with_total: bool,
    ) -> Result<Page<CouponVersion>> {
        caller.require(Topic::Coupons.read())?;
        Ok(store::coupon_rule::version_page(self.db.read(), coupon, args, with_total).await?)
    }

    /// The first uses of each of these coupons, for lists inside of what the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn coupons_first_uses(&self, coupons: &[CouponId], first: u32, with_total: bool) -> Result<HashMap<CouponId, Page<UseRow>>> {
        Ok(store::coupon_rule::first_uses(self.db.read(), coupons, first, with_total).await?)
    }

    /// The first versions of each of these coupons, for lists inside of what the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn coupons_first_versions(
        &self,
        coupons: &[CouponId],
        first: u32,
        with_total: bool,
    ) -> Result<HashMap<CouponId, Page<CouponVersion>>> {
        Ok(store::coupon_rule::first_versions(self.db.read(), coupons, first, with_total).await?)
    }

    /// A page of coupons with what each did in a period, the newest coupon first.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn coupon_report(
        &self,
        caller: &Caller,
        filter: &ReportFilter,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<ReportRow>> {
        caller.require(Topic::Coupons.read())?;
        if let (Some(from), Some(until)) = (filter.from, filter.until)
            && from >= until
        {
            return Err(Error::BadInput("`filter`: `from` has to be before `until`.".to_owned()));
        }
        Ok(store::coupon_rule::report_page(self.db.read(), filter, args, with_total).await?)
    }
}

/// Where a coupon as a whole stands at an instant.
pub fn status(coupon: &Coupon, now: DateTime<Utc>) -> CouponStatus {
    facts(coupon).at(now)
}

/// Where a code of a coupon stands at an instant.
pub fn code_status(coupon: &Coupon, row: &CodeRow, now: DateTime<Utc>) -> CouponStatus {
    let facts = facts(coupon);
    StatusFacts { void: row.code.void_at.is_some(), exhausted: facts.exhausted || row.code.used_by.is_some(), ..facts }.at(now)
}

fn facts(coupon: &Coupon) -> StatusFacts {
    StatusFacts {
        void: false,
        active: coupon.active && coupon.archived_at.is_none(),
        window: coupon.rules.window,
        exhausted: Uses { coupon: coupon.used, ..Uses::default() }.exhaust(&coupon.rules, false),
    }
}

/// The codes and the prefix of an input, each as its key; a spelling that repeats another one is taken by it.
fn texts(faults: &mut Faults, codes: &[String], prefix: Option<&str>) -> Vec<Text> {
    if codes.len() > MAX_CODES {
        let message = format!("{} codes are too many for one call; give {MAX_CODES} at most, or make a batch.", codes.len());
        faults.add(Refusal::at(Code::TooLong, ["codes"], message));
        return Vec::new();
    }
    let read = codes.iter().enumerate().map(|(place, code)| Text::code(code, place)).chain(prefix.map(Text::prefix));
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for text in read {
        match text {
            Ok(text) if !seen.insert(text.key.clone()) => faults.add(text.refusal()),
            Ok(text) => found.push(text),
            Err(refusal) => faults.add(refusal),
        }
    }
    found
}

/// What follows from how codes and prefixes begin.
pub(super) fn warnings(rules: &Rules, texts: &[Text]) -> Vec<Refusal> {
    AudienceWarning::of(rules.audience, texts.iter().map(Text::text)).into_iter().map(Refusal::from).collect()
}

fn given<T>(list: &Option<Vec<T>>) -> Option<&[T]> {
    // Longer ones are refused without being looked up.
    list.as_deref().filter(|list| !list.is_empty() && list.len() <= domain::coupon::rule::MAX_LIMIT)
}

fn missing<K: domain::id::Kind>(faults: &mut Faults, field: &str, what: &str, wanted: &[Id<K>], found: HashSet<Id<K>>) {
    for (place, _) in wanted.iter().enumerate().filter(|(_, id)| !found.contains(id)) {
        let field = [field.to_owned(), place.to_string()];
        faults.add(Refusal::at(Code::NotFound, field, format!("There is no such {what}; check the id.")));
    }
}

pub(super) const fn object(id: CouponId) -> Object {
    Object::new("coupon", id.uuid())
}

/// A coupon for the audit log, with codes that it gets.
fn told(coupon: &Coupon, texts: &[Text]) -> Value {
    let mut told = json!({ "name": coupon.name, "rules": coupon.rules, "version": coupon.version, "active": coupon.active });
    if !texts.is_empty() {
        told["texts"] = json!(texts.iter().map(Text::text).collect::<Vec<_>>());
    }
    told
}

/// The place of a coupon in a list.
pub fn key(coupon: &Coupon) -> (Key, Uuid) {
    (Key::At(coupon.created_at), coupon.id.uuid())
}

/// The place of a use in a list.
pub fn use_key(row: &UseRow) -> (Key, Uuid) {
    (Key::At(row.used.created_at), row.used.id)
}
