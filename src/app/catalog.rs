//! Providers, courses, sessions and libraries. What is sold has its product made in the same transaction; afterwards SKU, prices, sale state and
//! a library's days change on the product alone. Nothing is deleted, only archived.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Tz;
use domain::catalog::{
    CatalogRefusal, CourseKind, ProductFields, ProductKind, check_course_commerce, check_library_courses, check_no_product_fields,
};
use domain::text::{self, Key as TextKey, Sku};
use domain::window::Window;
use domain::{CourseId, DiscountScheduleId, LibraryId, ProviderId, RoyaltyPlanId, SessionId};
use sea_orm::DatabaseTransaction;
use serde_json::json;
use uuid::Uuid;

use crate::app::caller::{Caller, Topic};
use crate::app::credit_pack::CreditWish;
use crate::app::price::PriceWish;
use crate::app::product::{FirstProduct, Product, Sold, TermsWish, archived};
use crate::app::{App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::past::Said;

pub use crate::store::catalog::{Archived, Course, CourseFilter, Library, LibraryFilter, Provider, ProviderFilter, Session, Sort};
pub use crate::store::page::Key;

/// Most characters of an https address.
const MAX_ADDRESS: usize = 500;
/// Most characters of a product code and of a place.
const MAX_LINE: usize = 200;
/// Most seats of a session.
const MAX_SEATS: i64 = 1_000_000;

/// A provider to be made or changed; absent = stays.
#[derive(Debug, Clone, Default)]
pub struct ProviderSet {
    /// The one to change; `None` makes a new one.
    pub id: Option<ProviderId>,
    /// Its name; needed for a new one.
    pub name: Option<String>,
    /// Its https address; `Some(None)` takes it away.
    pub website: Option<Option<String>>,
    /// Archives it, or takes it back.
    pub archived: Option<bool>,
}

/// A course to be made.
#[derive(Debug, Clone)]
pub struct CourseCreate {
    /// Its key; made from the title when absent.
    pub key: Option<String>,
    /// What it is.
    pub kind: CourseKind,
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// Who it comes from.
    pub provider: Option<ProviderId>,
}

/// What is to change of a course; absent = stays.
#[derive(Debug, Clone)]
pub struct CourseUpdate {
    /// The course.
    pub id: CourseId,
    /// What it is.
    pub kind: Option<CourseKind>,
    /// Title.
    pub title: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Who it comes from; `Some(None)` = nobody named.
    pub provider: Option<Option<ProviderId>>,
}

/// The commerce setting of a course.
#[derive(Debug, Clone)]
pub struct CourseCommerceSet {
    /// The course.
    pub course: CourseId,
    /// Whether it is sold alone.
    pub enabled: bool,
    /// How long access lasts; absent = stays.
    pub terms: Option<TermsWish>,
    /// The first SKU; only while there is no product.
    pub sku: Option<String>,
    /// The first prices; only while there is no product.
    pub prices: Option<Vec<PriceWish>>,
    /// The credits that it gives from the start; only while there is no product.
    pub credits: CreditWish,
    /// Refused: a property of the product.
    pub state_given: bool,
}

/// A session to be made.
#[derive(Debug, Clone)]
pub struct SessionCreate {
    /// The event.
    pub course: CourseId,
    /// Start.
    pub starts_at: DateTime<Utc>,
    /// End.
    pub ends_at: DateTime<Utc>,
    /// IANA zone that its times are shown in; the shop's when absent.
    pub time_zone: Option<String>,
    /// Place or https address.
    pub location: Option<String>,
    /// Seats in all.
    pub seats: i64,
    /// How its seats are sold, if not by the product of the event.
    pub commerce: Option<SessionCommerce>,
}

/// How the seats of one session are sold.
#[derive(Debug, Clone)]
pub struct SessionCommerce {
    /// The product's SKU.
    pub sku: String,
    /// The product's prices.
    pub prices: Vec<PriceWish>,
    /// The credits that a seat gives.
    pub credits: CreditWish,
    /// How long access to the event lasts.
    pub terms: TermsWish,
}

/// What is to change of a session; absent = stays.
#[derive(Debug, Clone)]
pub struct SessionUpdate {
    /// The session.
    pub id: SessionId,
    /// Start.
    pub starts_at: Option<DateTime<Utc>>,
    /// End.
    pub ends_at: Option<DateTime<Utc>>,
    /// IANA zone that its times are shown in.
    pub time_zone: Option<String>,
    /// Place or https address; `Some(None)` takes it away.
    pub location: Option<Option<String>>,
    /// Seats in all.
    pub seats: Option<i64>,
    /// Archives it, or takes it back.
    pub archived: Option<bool>,
}

/// A library to be made, with its product.
#[derive(Debug, Clone)]
pub struct LibraryCreate {
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// Groups libraries in reports.
    pub product_code: Option<String>,
    /// Whether each course opens when the one before is passed.
    pub ordered: bool,
    /// Quantity discounts.
    pub schedule: Option<DiscountScheduleId>,
    /// What it owes its licensor.
    pub royalty_plan: Option<RoyaltyPlanId>,
    /// Its courses, in order.
    pub courses: Vec<CourseId>,
    /// The product's SKU.
    pub sku: String,
    /// How long access lasts, from the first start.
    pub terms: TermsWish,
    /// The product's prices.
    pub prices: Vec<PriceWish>,
    /// The credits that it gives.
    pub credits: CreditWish,
}

/// What is to change of a library; absent = stays.
#[derive(Debug, Clone)]
pub struct LibraryUpdate {
    /// The library.
    pub id: LibraryId,
    /// Title.
    pub title: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Groups libraries in reports; `Some(None)` takes it away.
    pub product_code: Option<Option<String>>,
    /// Whether each course opens when the one before is passed.
    pub ordered: Option<bool>,
    /// Quantity discounts; `Some(None)` takes them away.
    pub schedule: Option<Option<DiscountScheduleId>>,
    /// What it owes its licensor; `Some(None)` = nothing any more.
    pub royalty_plan: Option<Option<RoyaltyPlanId>>,
    /// Refused: properties of the product.
    pub product: ProductFields,
    /// Refused: a property of the product.
    pub terms_given: bool,
}

// ---- providers ------------------------------------------------------------------------------------------------------------------

impl App {
    /// Makes a provider, or changes one.
    ///
    /// # Errors
    /// Not for this caller; no such provider; a name that another one has; an address that is not https.
    pub async fn provider_set(&self, caller: &Caller, cmd: ProviderSet) -> Result<Provider> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let name = cmd.name.map(|name| faults.at("name", text::name(&name)));
        let website = cmd.website.map(|address| address.map(|address| faults.at("website", https_address(&address))));
        if cmd.id.is_none() && name.is_none() {
            faults.add(Refusal::at(Code::Required, ["name"], "Give a new provider a name."));
        }
        faults.check()?;
        let (txn, _) = self.begin_catalog().await?;
        let held = match cmd.id {
            None => None,
            Some(id) => {
                let held = store::catalog::providers(&txn, &[id]).await?.pop();
                Some(held.ok_or_else(|| Error::not_found("id", "provider"))?)
            }
        };
        let mut provider = held.clone().unwrap_or_else(|| Provider {
            id: entropy::next_id(),
            name: String::new(),
            website: None,
            created_at: now,
            touched_at: now,
            archived_at: None,
        });
        provider.name = name.flatten().unwrap_or(provider.name);
        provider.website = website.map_or(provider.website, Option::flatten);
        provider.archived_at = archiving(provider.archived_at, cmd.archived, now);
        let taken = store::catalog::providers_named(&txn, &[provider.name.as_str()]).await?;
        if taken.iter().any(|other| other.id != provider.id) {
            let message = "Another provider has this name; give another name, or its id to change that one.";
            return Err(Error::refused(Code::NameTaken, ["name"], message));
        }
        if held.as_ref() != Some(&provider) {
            provider.touched_at = now;
            match &held {
                None => store::catalog::insert_providers(&txn, std::slice::from_ref(&provider)).await?,
                Some(_) => {
                    store::catalog::update_provider(&txn, &provider).await?;
                    let concerned = store::product::concerned_by_provider(&txn, provider.id).await?;
                    store::product::refresh(&txn, &concerned).await?;
                }
            }
            let object = Object::new("provider", provider.id.uuid());
            self.audit(&txn, caller, "providerSet", object, held.map(|held| json!(held)), Some(json!(provider))).await?;
        }
        txn.commit().await?;
        Ok(provider)
    }

    /// The provider of an input, if it takes new courses.
    async fn live_provider(&self, txn: &DatabaseTransaction, id: ProviderId) -> Result<()> {
        let found = store::catalog::providers(txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("providerId", "provider"))?;
        if found.archived_at.is_some() { Err(archived("providerId", "provider")) } else { Ok(()) }
    }

    /// A page of providers by name or time.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn providers(
        &self,
        caller: &Caller,
        filter: &ProviderFilter,
        sort: Sort,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Provider>> {
        caller.require(Topic::Catalog.read())?;
        Ok(store::catalog::provider_page(self.db.read(), filter, sort, args, with_total).await?)
    }
}

// ---- courses --------------------------------------------------------------------------------------------------------------------

impl App {
    /// Makes a course. It is sold only inside libraries until its commerce setting is turned on.
    ///
    /// # Errors
    /// Not for this caller; a key that another course has or had; no such provider.
    pub async fn course_create(&self, caller: &Caller, cmd: CourseCreate) -> Result<Course> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let title = faults.at("title", text::title(&cmd.title));
        let description = faults.at("description", text::description(&cmd.description));
        let key = cmd.key.map(|key| faults.at("key", TextKey::parse(&key)));
        let (Some(title), Some(description)) = (title, description) else { return Err(faults.into()) };
        faults.check()?;
        let id = entropy::next_id();
        let (txn, _) = self.begin_catalog().await?;
        let key = match key.flatten() {
            Some(key) if store::catalog::courses_with_keys(&txn, &[key.to_string()]).await?.is_empty() => key,
            Some(key) => {
                let message = format!(
                    "Another course, perhaps an archived one, has the key {key}; upper and lower case make no difference. Choose another one."
                );
                return Err(Error::refused(Code::KeyTaken, ["key"], message));
            }
            None => free_key(&txn, &title, id).await?,
        };
        if let Some(provider) = cmd.provider {
            self.live_provider(&txn, provider).await?;
        }
        let course = Course {
            id,
            key: key.to_string(),
            kind: cmd.kind,
            title,
            description,
            provider: cmd.provider,
            commerce_on: false,
            created_at: now,
            touched_at: now,
            archived_at: None,
        };
        store::catalog::insert_courses(&txn, std::slice::from_ref(&course)).await?;
        self.audit(&txn, caller, "courseCreate", Object::new("course", id.uuid()), None, Some(json!(course))).await?;
        txn.commit().await?;
        Ok(course)
    }

    /// Changes a course.
    ///
    /// # Errors
    /// Not for this caller; no such course, or an archived one; no such provider.
    pub async fn course_update(&self, caller: &Caller, cmd: CourseUpdate) -> Result<Course> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let title = cmd.title.map(|title| faults.at("title", text::title(&title)));
        let description = cmd.description.map(|description| faults.at("description", text::description(&description)));
        faults.check()?;
        let (txn, _) = self.begin_catalog().await?;
        let held = live_course(&txn, cmd.id, "id").await?;
        if let Some(Some(provider)) = cmd.provider
            && held.provider != Some(provider)
        {
            self.live_provider(&txn, provider).await?;
        }
        let course = Course {
            kind: cmd.kind.unwrap_or(held.kind),
            title: title.flatten().unwrap_or_else(|| held.title.clone()),
            description: description.flatten().unwrap_or_else(|| held.description.clone()),
            provider: cmd.provider.unwrap_or(held.provider),
            ..held.clone()
        };
        if course.kind != CourseKind::Event && held.kind == CourseKind::Event {
            let sessions = store::catalog::sessions_of(&txn, &[course.id]).await?;
            if !sessions.is_empty() {
                let message = "This event has sessions, so it stays an EVENT; archive its sessions first.";
                return Err(Error::refused(Code::Invalid, ["kind"], message));
            }
        }
        let course = self.save_course(&txn, caller, "courseUpdate", held, course, now).await?;
        txn.commit().await?;
        Ok(course)
    }

    /// Archives a course: it is no longer sold, alone or in libraries; running access goes on. Archiving it again changes nothing.
    ///
    /// # Errors
    /// Not for this caller; no such course.
    pub async fn course_archive(&self, caller: &Caller, id: CourseId) -> Result<Course> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let (txn, _) = self.begin_catalog().await?;
        let held = store::catalog::courses(&txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("id", "course"))?;
        let course = Course { archived_at: held.archived_at.or(Some(now)), ..held.clone() };
        let course = self.save_course(&txn, caller, "courseArchive", held, course, now).await?;
        txn.commit().await?;
        Ok(course)
    }

    /// Writes what differs of a course, what products derive from it, and the audit entry.
    async fn save_course(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        operation: &str,
        held: Course,
        mut course: Course,
        now: DateTime<Utc>,
    ) -> Result<Course> {
        if course == held {
            return Ok(held);
        }
        course.touched_at = now;
        store::catalog::update_course(txn, &course).await?;
        store::past::keep(txn, course.id.uuid(), &Said::course(&held), &Said::course(&course), now).await?;
        store::product::touch_of(txn, &[course.id.uuid()], now).await?;
        let concerned = store::product::concerned_by_courses(txn, &[course.id]).await?;
        store::product::refresh(txn, &concerned).await?;
        self.audit(txn, caller, operation, Object::new("course", course.id.uuid()), Some(json!(held)), Some(json!(course))).await?;
        Ok(course)
    }

    /// Turns selling a course alone on or off, or changes the days of access. The first time on makes its product; later the same one serves.
    ///
    /// # Errors
    /// Not for this caller; no such course, or an archived one; properties of a product that exists ([`Code::ChangeOnProduct`]); a SKU that is
    /// taken; no price for a new product.
    pub async fn course_commerce_set(&self, caller: &Caller, cmd: CourseCommerceSet) -> Result<Course> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let sku = cmd.sku.as_deref().map(|sku| faults.at("sku", Sku::parse(sku)));
        let terms = cmd.terms.map(|terms| faults.of(terms.check(ProductKind::Course)));
        faults.check()?;
        let (sku, terms) = (sku.flatten(), terms.flatten());
        let (txn, installation) = self.begin_catalog().await?;
        let held = live_course(&txn, cmd.course, "courseId").await?;
        let product = store::product::products_of(&txn, &[held.id.uuid()]).await?.pop();
        let credits = cmd.credits != CreditWish::default();
        let given = ProductFields { sku: sku.is_some(), prices: cmd.prices.is_some(), state: cmd.state_given, credits };
        // A product that enrolling made for its orders was never sold: the setting still gives it SKU and prices.
        let unsold = match &product {
            Some(product) => !store::price::was_priced(&txn, product.id).await?,
            None => true,
        };
        check_course_commerce(!unsold, given).map_err(Refusal::from)?;
        if unsold && !cmd.enabled && given != ProductFields::default() {
            let message = "The product, with SKU and prices, is made when the setting is turned on; send enabled: true with them.";
            return Err(Error::refused(Code::Invalid, ["enabled"], message));
        }
        let course = Course { commerce_on: cmd.enabled, ..held.clone() };
        // Written before the product, which derives from it.
        let course = self.save_course(&txn, caller, "courseCommerceSet", held, course, now).await?;
        match product {
            None if cmd.enabled => {
                let sku = match sku {
                    Some(sku) => sku,
                    None => Sku::for_course(&TextKey::parse(&course.key).map_err(Refusal::from)?),
                };
                let terms = terms.unwrap_or(domain::terms::Terms::endless(ProductKind::Course));
                let first = FirstProduct { sku, terms, prices: cmd.prices.unwrap_or_default(), credits: cmd.credits };
                let sold = (ProductKind::Course, course.id.uuid());
                let product = self.make_product(&txn, caller, &installation, sold, first).await?;
                let object = Object::new("product", product.id.uuid());
                self.audit(&txn, caller, "courseCommerceSet", object, None, Some(json!(product))).await?;
            }
            Some(product) if unsold && cmd.enabled => {
                let first = Sold { sku, terms, prices: cmd.prices.unwrap_or_default(), credits: cmd.credits };
                self.sell_product(&txn, caller, &installation, product, first).await?;
            }
            Some(product) => self.set_terms(&txn, caller, "courseCommerceSet", product, terms, now).await?,
            None => {}
        }
        txn.commit().await?;
        Ok(course)
    }

    /// Changes how long access to a product lasts, where that is set with what it sells.
    pub(super) async fn set_terms(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        operation: &str,
        held: Product,
        terms: Option<domain::terms::Terms>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let Some(terms) = terms.filter(|terms| *terms != held.terms) else { return Ok(()) };
        let product = Product { terms, touched_at: now, ..held.clone() };
        store::product::update(txn, &product).await?;
        store::past::keep(txn, product.id.uuid(), &Said::product(&held), &Said::product(&product), now).await?;
        let object = Object::new("product", product.id.uuid());
        self.audit(txn, caller, operation, object, Some(json!(held)), Some(json!(product))).await
    }

    /// A page of courses.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn courses(
        &self,
        caller: &Caller,
        filter: &CourseFilter,
        sort: Sort,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Course>> {
        caller.require(Topic::Catalog.read())?;
        Ok(store::catalog::course_page(self.db.read(), filter, sort, args, with_total).await?)
    }

    /// The course with this key, whatever its case. A text that no key is names nothing.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn course_with_key(&self, caller: &Caller, key: &str) -> Result<Option<Course>> {
        caller.require(Topic::Catalog.read())?;
        match TextKey::parse(key) {
            Ok(key) => Ok(store::catalog::courses_with_keys(self.db.read(), &[key.to_string()]).await?.pop()),
            Err(_) => Ok(None),
        }
    }
}

/// The course of an input, if it may be changed.
pub(super) async fn live_course(txn: &DatabaseTransaction, id: CourseId, field: &str) -> Result<Course> {
    let course = store::catalog::courses(txn, &[id]).await?.pop().ok_or_else(|| Error::not_found(field, "course"))?;
    if course.archived_at.is_some() { Err(archived(field, "course")) } else { Ok(course) }
}

/// A key made from the title, with a number behind it if others have it, or else from the id.
async fn free_key(txn: &DatabaseTransaction, title: &str, id: CourseId) -> Result<TextKey> {
    let Some(stem) = TextKey::derive(title) else { return Ok(TextKey::from_id(id)) };
    let mut tries = vec![stem.clone()];
    for number in 2..=50 {
        tries.push(stem.with_suffix(&number.to_string()).map_err(Refusal::from)?);
    }
    let asked: Vec<String> = tries.iter().map(TextKey::to_string).collect();
    let taken = store::catalog::courses_with_keys(txn, &asked).await?;
    let free = tries.into_iter().find(|key| !taken.iter().any(|course| course.key.eq_ignore_ascii_case(key.as_str())));
    Ok(free.unwrap_or_else(|| TextKey::from_id(id)))
}

// ---- sessions -------------------------------------------------------------------------------------------------------------------

impl App {
    /// Makes a dated session of an event.
    ///
    /// # Errors
    /// Not for this caller; no such course, or one that is no event; times, zone or seats that make no sense.
    pub async fn session_create(&self, caller: &Caller, cmd: SessionCreate) -> Result<Session> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let window = faults.of(times(cmd.starts_at, cmd.ends_at));
        let zone = faults.at("timeZone", cmd.time_zone.map_or(Ok(self.shop.time_zone), |zone| time_zone(&zone)));
        let place = cmd.location.map(|place| faults.at("location", text::line("location", &place, MAX_ADDRESS)));
        let seats = faults.at("seats", seats(cmd.seats));
        let first = cmd.commerce.and_then(|commerce| {
            let sku = Sku::parse(&commerce.sku).map_err(|reason| Refusal::from(reason).under(["sku"]));
            let sku = faults.at("commerce", sku);
            let terms = faults.at("commerce", commerce.terms.check(ProductKind::Session));
            sku.zip(terms).map(|(sku, terms)| FirstProduct { sku, terms, prices: commerce.prices, credits: commerce.credits })
        });
        let (Some((starts_at, ends_at)), Some(time_zone), Some(seats)) = (window, zone, seats) else { return Err(faults.into()) };
        faults.check()?;
        let (txn, installation) = self.begin_catalog().await?;
        let course = live_course(&txn, cmd.course, "courseId").await?;
        if course.kind != CourseKind::Event {
            let message = format!("Only an EVENT has dated sessions, and this course is a {}; set its kind to EVENT first.", course.kind);
            return Err(Error::refused(Code::Invalid, ["courseId"], message));
        }
        let session = Session {
            id: entropy::next_id(),
            course: course.id,
            starts_at,
            ends_at,
            time_zone,
            location: place.flatten(),
            seats,
            taken: 0,
            created_at: now,
            touched_at: now,
            archived_at: None,
        };
        store::catalog::insert_session(&txn, &session).await?;
        let product = match first {
            None => None,
            Some(first) => {
                let sold = (ProductKind::Session, session.id.uuid());
                let made = self.make_product(&txn, caller, &installation, sold, first).await;
                Some(made.map_err(|error| error.under("commerce"))?)
            }
        };
        let new = json!({ "session": session, "product": product });
        self.audit(&txn, caller, "sessionCreate", Object::new("session", session.id.uuid()), None, Some(new)).await?;
        txn.commit().await?;
        Ok(session)
    }

    /// Changes a session.
    ///
    /// # Errors
    /// Not for this caller; no such session; times, zone or seats that make no sense.
    pub async fn session_update(&self, caller: &Caller, cmd: SessionUpdate) -> Result<Session> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let (txn, _) = self.begin_catalog().await?;
        let held = store::catalog::sessions(&txn, &[cmd.id]).await?.pop().ok_or_else(|| Error::not_found("id", "session"))?;
        if held.archived_at.is_some() && cmd.archived != Some(false) {
            return Err(archived("id", "session"));
        }
        let mut faults = Faults::default();
        let window = faults.of(times(cmd.starts_at.unwrap_or(held.starts_at), cmd.ends_at.unwrap_or(held.ends_at)));
        let zone = faults.at("timeZone", cmd.time_zone.map_or(Ok(held.time_zone), |zone| time_zone(&zone)));
        let place = cmd.location.map(|place| place.map(|place| faults.at("location", text::line("location", &place, MAX_ADDRESS))));
        let seats = faults.at("seats", seats(cmd.seats.unwrap_or(held.seats)));
        let (Some((starts_at, ends_at)), Some(time_zone), Some(seats)) = (window, zone, seats) else { return Err(faults.into()) };
        faults.check()?;
        let mut session = Session {
            starts_at,
            ends_at,
            time_zone,
            seats,
            location: place.map_or_else(|| held.location.clone(), Option::flatten),
            archived_at: archiving(held.archived_at, cmd.archived, now),
            ..held.clone()
        };
        if session != held {
            session.touched_at = now;
            if !store::catalog::update_session(&txn, &session).await? {
                let message = format!("{} seats of this session are taken; it cannot have fewer.", held.taken);
                return Err(Error::refused(Code::Invalid, ["seats"], message));
            }
            store::past::keep(&txn, session.id.uuid(), &Said::session(&held), &Said::session(&session), now).await?;
            let concerned = store::product::concerned_by_courses(&txn, &[session.course]).await?;
            store::product::refresh(&txn, &concerned).await?;
            let object = Object::new("session", session.id.uuid());
            self.audit(&txn, caller, "sessionUpdate", object, Some(json!(held)), Some(json!(session))).await?;
        }
        txn.commit().await?;
        Ok(session)
    }
}

fn times(starts_at: DateTime<Utc>, ends_at: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>), Refusal> {
    let (starts_at, ends_at) = (starts_at.trunc_subsecs(6), ends_at.trunc_subsecs(6));
    Window::new(Some(starts_at), Some(ends_at))?;
    Ok((starts_at, ends_at))
}

fn time_zone(name: &str) -> Result<Tz, Refusal> {
    name.trim()
        .parse()
        .map_err(|_| Refusal::new(Code::Invalid, format!("{name:?} is no time zone; give an IANA name such as Europe/Paris.")))
}

fn seats(seats: i64) -> Result<i64, Refusal> {
    if (1..=MAX_SEATS).contains(&seats) { Ok(seats) } else { Err(Refusal::new(Code::Invalid, format!("Give 1 to {MAX_SEATS} seats."))) }
}

// ---- libraries ------------------------------------------------------------------------------------------------------------------

impl App {
    /// Makes a library and its product, with first SKU and prices, in one transaction.
    ///
    /// # Errors
    /// Not for this caller; a SKU that is taken; courses or a schedule that are not there; no price; and what each field's form asks for.
    pub async fn library_create(&self, caller: &Caller, cmd: LibraryCreate) -> Result<Library> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let title = faults.at("title", text::title(&cmd.title));
        let description = faults.at("description", text::description(&cmd.description));
        let product_code = cmd.product_code.map(|code| faults.at("productCode", product_code(&code)));
        let sku = faults.at("sku", Sku::parse(&cmd.sku));
        let terms = faults.of(cmd.terms.check(ProductKind::Library).map_err(access_days));
        faults.of(check_library_courses(&cmd.courses));
        let (Some(title), Some(description), Some(sku), Some(terms)) = (title, description, sku, terms) else {
            return Err(faults.into());
        };
        faults.check()?;
        let (txn, installation) = self.begin_catalog().await?;
        let library = Library {
            id: entropy::next_id(),
            title,
            description,
            product_code: product_code.flatten(),
            ordered: cmd.ordered,
            schedule: cmd.schedule,
            royalty_plan: cmd.royalty_plan,
            created_at: now,
            touched_at: now,
            archived_at: None,
        };
        check_schedule(&txn, cmd.schedule).await?;
        check_royalty_plan(&txn, cmd.royalty_plan).await?;
        check_courses(&txn, &cmd.courses, &[]).await?;
        store::catalog::insert_library(&txn, &library).await?;
        store::catalog::set_library_courses(&txn, library.id, &cmd.courses).await?;
        let sold = (ProductKind::Library, library.id.uuid());
        let first = FirstProduct { sku, terms, prices: cmd.prices, credits: cmd.credits };
        let product = self.make_product(&txn, caller, &installation, sold, first).await?;
        let new = json!({ "library": library, "courses": cmd.courses, "product": product });
        self.audit(&txn, caller, "libraryCreate", Object::new("library", library.id.uuid()), None, Some(new)).await?;
        txn.commit().await?;
        Ok(library)
    }

    /// Changes a library; what its product owns is refused.
    ///
    /// # Errors
    /// Not for this caller; no such library, or an archived one; properties of the product ([`Code::ChangeOnProduct`]).
    pub async fn library_update(&self, caller: &Caller, cmd: LibraryUpdate) -> Result<Library> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let title = cmd.title.map(|title| faults.at("title", text::title(&title)));
        let description = cmd.description.map(|description| faults.at("description", text::description(&description)));
        let product_code = cmd.product_code.map(|code| code.map(|code| faults.at("productCode", product_code(&code))));
        faults.of(check_no_product_fields(ProductKind::Library, cmd.product));
        if cmd.terms_given {
            let kind = ProductKind::Library.word();
            let what = CatalogRefusal::ChangeOnProduct { what: "access days", kind, mutation: "productUpdate", field: "accessDays" };
            faults.add(what.into());
        }
        faults.check()?;
        let (txn, _) = self.begin_catalog().await?;
        let held = live_library(&txn, cmd.id).await?;
        if cmd.schedule.is_some_and(|schedule| schedule != held.schedule) {
            check_schedule(&txn, cmd.schedule.flatten()).await?;
        }
        if cmd.royalty_plan.is_some_and(|plan| plan != held.royalty_plan) {
            check_royalty_plan(&txn, cmd.royalty_plan.flatten()).await?;
        }
        let library = Library {
            title: title.flatten().unwrap_or_else(|| held.title.clone()),
            description: description.flatten().unwrap_or_else(|| held.description.clone()),
            product_code: product_code.map_or_else(|| held.product_code.clone(), Option::flatten),
            ordered: cmd.ordered.unwrap_or(held.ordered),
            schedule: cmd.schedule.unwrap_or(held.schedule),
            royalty_plan: cmd.royalty_plan.unwrap_or(held.royalty_plan),
            ..held.clone()
        };
        let library = self.save_library(&txn, caller, "libraryUpdate", held, library, now).await?;
        txn.commit().await?;
        Ok(library)
    }

    /// Archives a library: it is no longer sold; running access goes on. Archiving it again changes nothing.
    ///
    /// # Errors
    /// Not for this caller; no such library.
    pub async fn library_archive(&self, caller: &Caller, id: LibraryId) -> Result<Library> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let (txn, _) = self.begin_catalog().await?;
        let held = store::catalog::libraries(&txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("id", "library"))?;
        let library = Library { archived_at: held.archived_at.or(Some(now)), ..held.clone() };
        let library = self.save_library(&txn, caller, "libraryArchive", held, library, now).await?;
        txn.commit().await?;
        Ok(library)
    }

    /// Makes these the courses of a library, in this order. Learners who have started it keep their list.
    ///
    /// # Errors
    /// Not for this caller; no such library, or an archived one; a course that is not there, archived, or named twice.
    pub async fn library_courses_set(&self, caller: &Caller, id: LibraryId, courses: &[CourseId]) -> Result<Library> {
        caller.require(Topic::Catalog.write())?;
        check_library_courses(courses).map_err(Refusal::from)?;
        let now = self.now();
        let (txn, _) = self.begin_catalog().await?;
        let mut library = live_library(&txn, id).await?;
        let held = store::catalog::course_ids_of(&txn, &[id]).await?.remove(&id).unwrap_or_default();
        if held != courses {
            check_courses(&txn, courses, &held).await?;
            library.touched_at = now;
            store::catalog::set_library_courses(&txn, id, courses).await?;
            store::catalog::update_library(&txn, &library).await?;
            store::past::keep(&txn, id.uuid(), &Said::library(&library, &held), &Said::library(&library, courses), now).await?;
            self.library_product_follows(&txn, id, now).await?;
            let object = Object::new("library", id.uuid());
            self.audit(&txn, caller, "libraryCoursesSet", object, Some(json!(held)), Some(json!(courses))).await?;
        }
        txn.commit().await?;
        Ok(library)
    }

    /// Writes what differs of a library, what its product derives from it, and the audit entry.
    async fn save_library(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        operation: &str,
        held: Library,
        mut library: Library,
        now: DateTime<Utc>,
    ) -> Result<Library> {
        if library == held {
            return Ok(held);
        }
        library.touched_at = now;
        store::catalog::update_library(txn, &library).await?;
        let courses = store::catalog::course_ids_of(txn, &[library.id]).await?.remove(&library.id).unwrap_or_default();
        store::past::keep(txn, library.id.uuid(), &Said::library(&held, &courses), &Said::library(&library, &courses), now).await?;
        self.library_product_follows(txn, library.id, now).await?;
        let object = Object::new("library", library.id.uuid());
        self.audit(txn, caller, operation, object, Some(json!(held)), Some(json!(library))).await?;
        Ok(library)
    }

    async fn library_product_follows(&self, txn: &DatabaseTransaction, id: LibraryId, now: DateTime<Utc>) -> Result<()> {
        store::product::touch_of(txn, &[id.uuid()], now).await?;
        let product = store::product::products_of(txn, &[id.uuid()]).await?.pop();
        let product = product.ok_or_else(|| internal!("the library {id} has no product"))?;
        Ok(store::product::refresh(txn, &[product.id]).await?)
    }

    /// A page of libraries.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn libraries(
        &self,
        caller: &Caller,
        filter: &LibraryFilter,
        sort: Sort,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Library>> {
        caller.require(Topic::Catalog.read())?;
        Ok(store::catalog::library_page(self.db.read(), filter, sort, args, with_total).await?)
    }
}

async fn live_library(txn: &DatabaseTransaction, id: LibraryId) -> Result<Library> {
    let library = store::catalog::libraries(txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("id", "library"))?;
    if library.archived_at.is_some() { Err(archived("id", "library")) } else { Ok(library) }
}

async fn check_schedule(txn: &DatabaseTransaction, schedule: Option<DiscountScheduleId>) -> Result<()> {
    let Some(schedule) = schedule else { return Ok(()) };
    if store::price::schedules(txn, &[schedule]).await?.is_empty() {
        return Err(Error::not_found("discountScheduleId", "discount schedule"));
    }
    Ok(())
}

async fn check_royalty_plan(txn: &DatabaseTransaction, plan: Option<RoyaltyPlanId>) -> Result<()> {
    let Some(plan) = plan else { return Ok(()) };
    if store::royalty::plans(txn, &[plan]).await?.is_empty() {
        return Err(Error::not_found("royaltyPlanId", "royalty plan"));
    }
    Ok(())
}

/// Each course is there and, unless the library holds it already, not archived.
async fn check_courses(txn: &DatabaseTransaction, courses: &[CourseId], held: &[CourseId]) -> Result<()> {
    let known: HashMap<CourseId, Course> =
        store::catalog::courses(txn, courses).await?.into_iter().map(|course| (course.id, course)).collect();
    let mut faults = Faults::default();
    for (index, id) in courses.iter().enumerate() {
        let field = ["courseIds".to_owned(), index.to_string()];
        match known.get(id) {
            None => faults.add(Refusal::at(Code::NotFound, field, "There is no such course; check the id.")),
            Some(course) if course.archived_at.is_some() && !held.contains(id) => {
                faults.add(Refusal::at(Code::Archived, field, "This course is archived; choose another one."));
            }
            Some(_) => {}
        }
    }
    faults.check()
}

/// Terms of a library are given as its access days, or as the end of access.
fn access_days(refusal: Refusal) -> Refusal {
    let field = if refusal.field == ["endsAt"] { "accessEndsAt" } else { "accessDays" };
    Refusal { field: vec![field.to_owned()], ..refusal }
}

fn product_code(code: &str) -> Result<String, Refusal> {
    Ok(text::line("product code", code, MAX_LINE)?)
}

// ---- by id, for lists inside of what the caller may see ---------------------------------------------------------------------------

impl App {
    /// The providers with these ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn providers_by_id(&self, ids: &[ProviderId]) -> Result<HashMap<ProviderId, Provider>> {
        Ok(store::catalog::providers(self.db.read(), ids).await?.into_iter().map(|provider| (provider.id, provider)).collect())
    }

    /// The courses with these ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn courses_by_id(&self, ids: &[CourseId]) -> Result<HashMap<CourseId, Course>> {
        Ok(store::catalog::courses(self.db.read(), ids).await?.into_iter().map(|course| (course.id, course)).collect())
    }

    /// The sessions with these ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn sessions_by_id(&self, ids: &[SessionId]) -> Result<HashMap<SessionId, Session>> {
        Ok(store::catalog::sessions(self.db.read(), ids).await?.into_iter().map(|session| (session.id, session)).collect())
    }

    /// The libraries with these ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn libraries_by_id(&self, ids: &[LibraryId]) -> Result<HashMap<LibraryId, Library>> {
        Ok(store::catalog::libraries(self.db.read(), ids).await?.into_iter().map(|library| (library.id, library)).collect())
    }

    /// The courses of each of these libraries, in order, archived ones too.
    ///
    /// # Errors
    /// The database's.
    pub async fn courses_of(&self, libraries: &[LibraryId]) -> Result<HashMap<LibraryId, Vec<Course>>> {
        Ok(store::catalog::courses_of(self.db.read(), libraries).await?)
    }

    /// The libraries that hold each of these courses, by title.
    ///
    /// # Errors
    /// The database's.
    pub async fn libraries_of(&self, courses: &[CourseId]) -> Result<HashMap<CourseId, Vec<Library>>> {
        Ok(store::catalog::libraries_holding(self.db.read(), courses).await?)
    }

    /// The sessions of each of these events that were not archived, in order of their start.
    ///
    /// # Errors
    /// The database's.
    pub async fn sessions_of(&self, events: &[CourseId]) -> Result<HashMap<CourseId, Vec<Session>>> {
        Ok(store::catalog::sessions_of(self.db.read(), events).await?)
    }
}

// ---- small change ---------------------------------------------------------------------------------------------------------------

/// The archiving instant after an input that may archive or take back.
pub(super) fn archiving(held: Option<DateTime<Utc>>, wanted: Option<bool>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match wanted {
        None => held,
        Some(true) => held.or(Some(now)),
        Some(false) => None,
    }
}

/// Checks an address of a web page.
pub(super) fn https_address(address: &str) -> Result<String, Refusal> {
    let address = text::line("address", address, MAX_ADDRESS)?;
    let host = address.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    match host {
        Some(host) if !host.is_empty() && !address.chars().any(char::is_whitespace) => Ok(address),
        _ => Err(Refusal::new(Code::Invalid, "Give an address that begins with https://, such as https://example.org.")),
    }
}
