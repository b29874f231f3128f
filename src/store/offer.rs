//! What offers are made of: products with a company's overrides, prices, schedules and rates, each kind of fact in one statement however many
//! products are asked about.
//!
//! Always true here: a statement names the columns that it needs and nothing else, and a fact that is out of its window or of another group is
//! left in the database.

use std::collections::HashMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::catalog::{AppliesTo, CourseKind, Fulfilment, PriceRow, ProductKind, SaleState, Saleability, Schedule, ScheduleMode, Tier};
use domain::company::{Override, Visibility};
use domain::coupon::Content;
use domain::credit_sale::Gives;
use domain::pricing::{Channel, ExchangeRate};
use domain::tax::TaxClass;
use domain::terms::Terms;
use domain::window::Window;
use domain::{AccountId, CompanyId, CourseId, Currency, DiscountScheduleId, GroupId, Money, ProductId, ProviderId, Rate, SessionId};
use entity::{
    company_offer, course, credit_pack, discount_schedule_version, entitlement, exchange_rate, group, group_content, library,
    library_course, product, product_price, product_sku, session,
};
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, IntoColumnRef, Order, Query, SelectStatement, UnionType};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromJsonQueryResult, QueryFilter, QueryResult, QuerySelect,
    TryGetable,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CHUNK, corrupt, known, search};

pub use recorded::{Recorded, as_recorded};

mod recorded;

/// For whom and as of when offers are read.
#[derive(Debug, Clone, Copy)]
pub struct Viewpoint<'a> {
    /// The company whose overrides hold.
    pub company: Option<CompanyId>,
    /// The groups that the buyer is in.
    pub groups: &'a [GroupId],
    /// The instant that windows and rates are judged at.
    pub at: DateTime<Utc>,
    /// Whether facts are those on record at that instant; else the current ones.
    pub recorded: bool,
}

/// What is to be read besides what every offer needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Detail {
    /// Descriptions.
    pub description: bool,
    /// Courses.
    pub courses: bool,
    /// Descriptions of the courses.
    pub course_descriptions: bool,
    /// Dated sessions; needs courses.
    pub sessions: bool,
    /// Whether the buyer has it already.
    pub owned: bool,
    /// What coupons see of the courses.
    pub contents: bool,
    /// Packs that everybody is shown.
    pub packs: bool,
}

/// A product as it is kept, with the override of the company concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The product.
    pub product: ProductId,
    /// What it sells.
    pub kind: ProductKind,
    /// The library, course, session, group or credit pack.
    pub target: Uuid,
    /// SKU as given.
    pub sku: String,
    /// Recommended title.
    pub title: String,
    /// Recommended description; empty unless asked for.
    pub description: String,
    /// Recommended terms.
    pub terms: Terms,
    /// What decides whether it may be sold.
    pub saleability: Saleability,
    /// Whether it is hidden from those who are not in certain groups, and the buyer is in none of them.
    pub restricted: bool,
    /// Whether coupons reach it.
    pub couponable: bool,
    /// Class of products that it is taxed with.
    pub tax_class: TaxClass,
    /// What buying it gives.
    pub fulfilment: Fulfilment,
    /// The credits that one unit gives.
    pub gives: Option<Gives>,
    /// Product code of a library.
    pub product_code: Option<String>,
    /// Discount schedule of a library.
    pub schedule: Option<DiscountScheduleId>,
    /// The company's override that holds at the instant, without its description unless asked for.
    pub over: Option<Override>,
    /// When the product was created.
    pub created_at: DateTime<Utc>,
    /// What it is sorted by under the title that is shown.
    pub title_sort: String,
}

/// What the price of a product hangs on, and what it is sorted by: the least of it, for pricing many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The product.
    pub product: ProductId,
    /// Discount schedule of a library.
    pub schedule: Option<DiscountScheduleId>,
    /// The company's own prices.
    pub override_prices: Vec<Money>,
    /// When the product was created.
    pub created_at: DateTime<Utc>,
    /// What it is sorted by under the title that is shown.
    pub title_sort: String,
}

/// What lists of offers are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    /// By title.
    Title,
    /// By price for one.
    Price,
    /// The newest first.
    Newest,
}

/// The place of an offer in a sorted list, without its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SortKey {
    /// By title: the folded title.
    Title(String),
    /// By price: minor units.
    Price(Option<i64>),
    /// By age: microseconds since 1970.
    Newest(i64),
}

/// Which offers a list holds, but for what depends on their price.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Folded words, all of which occur in title, description, SKU or provider.
    pub words: Vec<String>,
    /// Kinds of products; empty = all.
    pub kinds: Vec<ProductKind>,
    /// With a course of this provider.
    pub provider: Option<ProviderId>,
    /// Libraries of this folded product code.
    pub product_code: Option<String>,
    /// With an override of this company that holds.
    pub overridden_by: Option<CompanyId>,
}

/// A stretch of a list in the database's order.
#[derive(Debug, Clone)]
pub struct Stretch<'a> {
    /// By title or by age.
    pub sort: Sort,
    /// Whether the order is turned round.
    pub reverse: bool,
    /// The row before it.
    pub after: Option<&'a (SortKey, Uuid)>,
    /// Rows at most.
    pub limit: u64,
}

/// A course of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferCourse {
    /// The course.
    pub id: CourseId,
    /// Its key.
    pub key: String,
    /// What it is.
    pub kind: CourseKind,
    /// Its title.
    pub title: String,
    /// Its description; may be empty.
    pub description: String,
}

/// A dated session of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferSession {
    /// The session.
    pub id: SessionId,
    /// Its event.
    pub course: CourseId,
    /// Start.
    pub starts_at: DateTime<Utc>,
    /// End.
    pub ends_at: DateTime<Utc>,
    /// IANA zone that its times are shown in.
    pub time_zone: Tz,
    /// Place or https address.
    pub location: Option<String>,
    /// Seats in all.
    pub seats: i64,
    /// Seats that are held or given.
    pub taken: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
#[serde(transparent)]
struct TermsCell(Terms);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
#[serde(transparent)]
struct TiersCell(Vec<Tier>);

/// Own prices of an override as they are stored: minor units by currency.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, FromJsonQueryResult)]
#[serde(transparent)]
pub struct PricesCell(pub std::collections::BTreeMap<Currency, i64>);

impl PricesCell {
    /// The prices.
    pub fn amounts(&self) -> Vec<Money> {
        self.0.iter().map(|(currency, minor)| Money::new(*minor, *currency)).collect()
    }
}

impl FromIterator<Money> for PricesCell {
    fn from_iter<I: IntoIterator<Item = Money>>(amounts: I) -> Self {
        Self(amounts.into_iter().map(|amount| (amount.currency, amount.minor)).collect())
    }
}

/// The cells of a row from left to right, as the statement named its columns.
struct Cells<'a> {
    row: &'a QueryResult,
    next: usize,
}

impl<'a> Cells<'a> {
    const fn of(row: &'a QueryResult) -> Self {
        Self { row, next: 0 }
    }

    fn take<T: TryGetable>(&mut self) -> Result<T, DbErr> {
        let index = self.next;
        self.next += 1;
        self.row.try_get_by_index(index)
    }

    /// A word of a closed list.
    fn word<T>(&mut self, what: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, DbErr> {
        let word: String = self.take()?;
        known(parse(&word), what, &word)
    }
}

impl Viewpoint<'_> {
    /// The condition that a versioned row is the one to read.
    fn holds(&self, recorded_at: impl ColumnTrait, replaced_at: impl ColumnTrait) -> Condition {
        if self.recorded {
            Condition::all().add(recorded_at.lte(self.at)).add(Condition::any().add(replaced_at.is_null()).add(replaced_at.gt(self.at)))
        } else {
            Condition::all().add(replaced_at.is_null())
        }
    }

    /// The condition that the instant is in a row's window.
    fn within(&self, starts_at: impl ColumnTrait, ends_at: impl ColumnTrait) -> Condition {
        Condition::all()
            .add(Condition::any().add(starts_at.is_null()).add(starts_at.lte(self.at)))
            .add(Condition::any().add(ends_at.is_null()).add(ends_at.gt(self.at)))
    }

    /// The condition that a row of `company_offer` is this company's override that holds, for any product.
    fn override_holds(&self, company: CompanyId) -> Condition {
        Condition::all()
            .add(company_offer::Column::CompanyId.eq(company.uuid()))
            .add(self.holds(company_offer::Column::RecordedAt, company_offer::Column::ReplacedAt))
            .add(self.within(company_offer::Column::StartsAt, company_offer::Column::EndsAt))
    }

    /// Whether the product is hidden from those who are not in certain groups and the buyer is in none of them.
    fn restricted(&self) -> Expr {
        // A session is hidden with its event.
        let of_event = Query::select()
            .expr(Expr::val(1))
            .from(session::Entity)
            .and_where(session::Column::Id.into_expr().equals((product::Entity, product::Column::TargetId)))
            .and_where(self.hidden((session::Entity, session::Column::CourseId)))
            .take();
        let session = product::Column::Kind.eq(ProductKind::Session.name()).and(Expr::exists(of_event));
        self.hidden((product::Entity, product::Column::TargetId)).or(session)
    }

    /// Whether what this column names, a course or a library, is hidden from those who are not in certain groups and the buyer is in none of
    /// them.
    fn hidden(&self, target: impl IntoColumnRef + Clone) -> Expr {
        let sees = |groups: Option<&[GroupId]>| {
            let mut select = Query::select();
            select
                .expr(Expr::val(1))
                .from(group_content::Entity)
                .and_where(group_content::Column::TargetId.into_expr().equals(target.clone()))
                .and_where(group_content::Column::Sees.eq(true));
            if let Some(groups) = groups {
                select.and_where(group_content::Column::GroupId.is_in(groups.iter().map(|group| group.uuid())));
            }
            Expr::exists(select)
        };
        let hidden = sees(None);
        if self.groups.is_empty() { hidden } else { hidden.and(sees(Some(self.groups)).not()) }
    }

    /// The title's sort key as this company's buyers see it.
    fn title_sort(&self) -> Expr {
        self.own(company_offer::Column::TitleSort, product::Column::TitleSort)
    }

    /// A column of the override where there is one, else the product's.
    fn own(&self, over: company_offer::Column, base: product::Column) -> Expr {
        match self.company {
            Some(_) => Func::coalesce([over.into_expr(), base.into_expr()]).into(),
            None => base.into_expr(),
        }
    }

    /// Joins the override to a statement about `product`.
    fn join_override(&self, select: &mut SelectStatement) {
        if let Some(company) = self.company {
            let on = self
                .override_holds(company)
                .add(company_offer::Column::ProductId.into_expr().equals((product::Entity, product::Column::Id)));
            select.left_join(company_offer::Entity, on);
        }
    }

    /// The conditions of a list on `product`, and on `company_offer` if there is a company.
    fn listed(&self, backend: DbBackend, filter: &ListFilter) -> Condition {
        let mut all = Condition::all().add(product::Column::Listed.eq(true)).add(self.restricted().not());
        if self.company.is_some() {
            let shown = Condition::any()
                .add(company_offer::Column::Visibility.is_null())
                .add(company_offer::Column::Visibility.ne(Visibility::Hidden.name()));
            all = all.add(shown);
        }
        let haystacks = [
            self.own(company_offer::Column::SearchTitle, product::Column::SearchTitle),
            self.own(company_offer::Column::SearchDescription, product::Column::SearchDescription),
            product::Column::SearchRest.into_expr(),
        ];
        all = all.add(search::contains_all(backend, &haystacks, &filter.words));
        if !filter.kinds.is_empty() {
            all = all.add(product::Column::Kind.is_in(filter.kinds.iter().map(|kind| kind.name())));
        }
        if let Some(provider) = filter.provider {
            all = all.add(sold_by(provider));
        }
        if let Some(code) = &filter.product_code {
            all = all.add(product::Column::ProductCodeFolded.eq(code.as_str()));
        }
        if let Some(company) = filter.overridden_by {
            let overridden = Query::select()
                .column((company_offer::Entity, company_offer::Column::ProductId))
                .from(company_offer::Entity)
                .cond_where(self.override_holds(company))
                .take();
            all = all.add(product::Column::Id.in_subquery(overridden));
        }
        all
    }
}

/// The condition that a product sells a course of this provider.
fn sold_by(provider: ProviderId) -> Condition {
    let courses =
        || Query::select().column(course::Column::Id).from(course::Entity).and_where(course::Column::ProviderId.eq(provider.uuid())).take();
    let libraries = Query::select()
        .column(library_course::Column::LibraryId)
        .from(library_course::Entity)
        .and_where(library_course::Column::CourseId.in_subquery(courses()))
        .take();
    let sessions = Query::select()
        .column(session::Column::Id)
        .from(session::Entity)
        .and_where(session::Column::CourseId.in_subquery(courses()))
        .take();
    Condition::any()
        .add(product::Column::TargetId.in_subquery(courses()))
        .add(product::Column::TargetId.in_subquery(libraries))
        .add(product::Column::TargetId.in_subquery(sessions))
}

/// Whether the product's target is a library with a course that is not archived.
fn holds_course() -> Expr {
    let courses = Query::select()
        .expr(Expr::val(1))
        .from(library_course::Entity)
        .inner_join(course::Entity, course::Column::Id.into_expr().equals((library_course::Entity, library_course::Column::CourseId)))
        .and_where(library_course::Column::LibraryId.into_expr().equals((product::Entity, product::Column::TargetId)))
        .and_where(course::Column::ArchivedAt.is_null())
        .take();
    Expr::exists(courses)
}

/// The statement of [`Facts`], without conditions; its columns are the ones that [`read_facts`] takes.
fn select_facts(view: &Viewpoint<'_>, detail: Detail, restricted: Expr, holds_course: Expr) -> SelectStatement {
    let target = || product::Column::TargetId.into_expr();
    let mut select = Query::select();
    select
        .exprs([
            product::Column::Id.into_expr(),
            product::Column::Kind.into_expr(),
            target(),
            product::Column::Sku.into_expr(),
            product::Column::Title.into_expr(),
            product::Column::Terms.into_expr(),
            product::Column::State.into_expr(),
            product::Column::CreatedAt.into_expr(),
            view.title_sort(),
            restricted,
            product::Column::ArchivedAt.into_expr(),
            course::Column::Kind.into_expr(),
            course::Column::CommerceEnabled.into_expr(),
            library::Column::ProductCode.into_expr(),
            library::Column::DiscountScheduleId.into_expr(),
            holds_course,
            product::Column::Couponable.into_expr(),
            product::Column::Fulfilment.into_expr(),
            product::Column::Credits.into_expr(),
            product::Column::CreditDays.into_expr(),
            product::Column::CreditTiedTo.into_expr(),
            product::Column::TaxClass.into_expr(),
        ])
        .from(product::Entity)
        .left_join(library::Entity, library::Column::Id.into_expr().eq(target()))
        .left_join(course::Entity, course::Column::Id.into_expr().eq(target()));
    view.join_override(&mut select);
    if view.company.is_some() {
        select.exprs([
            company_offer::Column::Title.into_expr(),
            company_offer::Column::Prices.into_expr(),
            company_offer::Column::AccessDays.into_expr(),
            company_offer::Column::Visibility.into_expr(),
            company_offer::Column::StartsAt.into_expr(),
            company_offer::Column::EndsAt.into_expr(),
        ]);
    }
    if detail.description {
        let of_session = Query::select()
            .column((course::Entity, course::Column::Description))
            .from(session::Entity)
            .inner_join(course::Entity, course::Column::Id.into_expr().equals((session::Entity, session::Column::CourseId)))
            .and_where(session::Column::Id.into_expr().equals((product::Entity, product::Column::TargetId)))
            .take();
        select.left_join(group::Entity, group::Column::Id.into_expr().eq(target()));
        select.left_join(credit_pack::Entity, credit_pack::Column::Id.into_expr().eq(target()));
        select.expr(Func::coalesce([
            library::Column::Description.into_expr(),
            course::Column::Description.into_expr(),
            group::Column::Description.into_expr(),
            credit_pack::Column::Description.into_expr(),
            Expr::SubQuery(None, Box::new(of_session.into())),
            Expr::val(""),
        ]));
        if view.company.is_some() {
            select.expr(company_offer::Column::Description.into_expr());
        }
    }
    select
}

/// Reads a row of [`select_facts`].
fn read_facts(row: &QueryResult, view: &Viewpoint<'_>, detail: Detail) -> Result<Facts, DbErr> {
    let mut cells = Cells::of(row);
    let product = ProductId::new(cells.take()?);
    let kind = cells.word("kind of product", ProductKind::parse)?;
    let target = cells.take()?;
    let sku = cells.take()?;
    let title = cells.take()?;
    let TermsCell(terms) = cells.take()?;
    let sale_state = cells.word("sale state", SaleState::parse)?;
    let created_at = cells.take()?;
    let title_sort = cells.take()?;
    let restricted = cells.take()?;
    // Archived things of before their changes were kept have this instant alone.
    let archived = cells.take::<Option<DateTime<Utc>>>()?.is_some_and(|since| !view.recorded || since <= view.at);
    let event = cells.take::<Option<String>>()?.is_some_and(|kind| kind == CourseKind::Event.name());
    let commerce_on = cells.take::<Option<bool>>()?.unwrap_or(false);
    let product_code = cells.take()?;
    let schedule = cells.take::<Option<Uuid>>()?.map(DiscountScheduleId::new);
    let courses = usize::from(cells.take::<bool>()?);
    let couponable = cells.take()?;
    let fulfilment = cells.word("kind of fulfilment", Fulfilment::parse)?;
    let gives = super::credit_pack::gives((cells.take()?, cells.take()?, cells.take()?))?;
    let tax_class = cells.word("tax class", |name| TaxClass::parse(name).ok())?;
    let mut over = match view.company {
        Some(_) => read_override(&mut cells)?,
        None => None,
    };
    let mut description = String::new();
    if detail.description {
        description = cells.take()?;
        if view.company.is_some() {
            let own = cells.take()?;
            over = over.map(|over| Override { description: own, ..over });
        }
    }
    let saleability = Saleability { kind, sale_state, archived, courses, commerce_on, event };
    Ok(Facts {
        product,
        kind,
        target,
        sku,
        title,
        description,
        terms,
        saleability,
        restricted,
        couponable,
        tax_class,
        fulfilment,
        gives,
        product_code,
        schedule,
        over,
        created_at,
        title_sort,
    })
}

fn read_override(cells: &mut Cells<'_>) -> Result<Option<Override>, DbErr> {
    let title = cells.take()?;
    let prices = cells.take::<Option<PricesCell>>()?;
    let access_days = cells.take::<Option<i32>>()?;
    let visibility = cells.take::<Option<String>>()?;
    let window = Window { starts_at: cells.take()?, ends_at: cells.take()? };
    // Prices are never null, so that they tell whether there is a row at all.
    let Some(prices) = prices else { return Ok(None) };
    Ok(Some(Override {
        title,
        description: None,
        prices: prices.amounts(),
        access_days: access_days.map(u32::try_from).transpose().map_err(|_| DbErr::Type("negative access days".to_owned()))?,
        visibility: visibility.map(|name| known(Visibility::parse(&name), "visibility", &name)).transpose()?,
        window,
    }))
}

/// Which products [`facts`] are read of.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// These.
    Products(&'a [ProductId]),
    /// The one that has, or ever had, this folded SKU.
    Sku(&'a str),
}

/// The facts of certain products, in no order; those that do not exist are left out.
///
/// # Errors
/// The database's.
pub async fn facts(db: &impl ConnectionTrait, view: &Viewpoint<'_>, detail: Detail, which: Which<'_>) -> Result<Vec<Facts>, DbErr> {
    let mut found = Vec::new();
    match which {
        Which::Products(products) => {
            for chunk in products.chunks(CHUNK) {
                let mut select = select_facts(view, detail, view.restricted(), holds_course());
                select.and_where(product::Column::Id.is_in(chunk.iter().map(|product| product.uuid())));
                read_all(db, &select, view, detail, &mut found).await?;
            }
        }
        Which::Sku(folded) => {
            let mut select = select_facts(view, detail, view.restricted(), holds_course());
            let reserved = Query::select()
                .column(product_sku::Column::ProductId)
                .from(product_sku::Entity)
                .and_where(product_sku::Column::SkuFolded.eq(folded))
                .take();
            select.and_where(product::Column::Id.in_subquery(reserved));
            read_all(db, &select, view, detail, &mut found).await?;
        }
    }
    Ok(found)
}

/// A stretch of the list, in its order.
///
/// # Errors
/// The database's.
pub async fn list(
    db: &impl ConnectionTrait,
    view: &Viewpoint<'_>,
    detail: Detail,
    filter: &ListFilter,
    stretch: &Stretch<'_>,
) -> Result<Vec<Facts>, DbErr> {
    let backend = db.get_database_backend();
    // What is listed is restricted for nobody who is shown it, and a library that is listed holds a course: neither is looked up for each row.
    let mut select = select_facts(view, detail, Expr::val(false), Expr::val(true));
    select.cond_where(view.listed(backend, filter));
    let (key, downwards) = match stretch.sort {
        Sort::Newest => (product::Column::CreatedAt.into_expr(), !stretch.reverse),
        Sort::Title | Sort::Price => (view.title_sort(), stretch.reverse),
    };
    if let Some((after, id)) = stretch.after {
        let after = match after {
            SortKey::Title(title) => Expr::val(title.as_str()),
            SortKey::Newest(micros) => Expr::val(DateTime::from_timestamp_micros(*micros).unwrap_or_default()),
            SortKey::Price(_) => return Err(DbErr::Custom("a list by price is not in the database's order".to_owned())),
        };
        let here = Expr::tuple([key.clone(), product::Column::Id.into_expr()]);
        let there = Expr::tuple([after, Expr::val(*id)]);
        select.and_where(if downwards { here.lt(there) } else { here.gt(there) });
    }
    let order = if downwards { Order::Desc } else { Order::Asc };
    select.order_by_expr(key, order.clone()).order_by_expr(product::Column::Id.into_expr(), order);
    let mut statement = backend.build(&select);
    // As text: PostgreSQL plans anew, each time, a statement whose limit it is only told when it runs, and that takes longer than running it.
    write!(statement.sql, " LIMIT {}", stretch.limit).map_err(corrupt)?;
    db.query_all_raw(statement).await?.iter().map(|row| read_facts(row, view, detail)).collect()
}

async fn read_all(
    db: &impl ConnectionTrait,
    select: &SelectStatement,
    view: &Viewpoint<'_>,
    detail: Detail,
    found: &mut Vec<Facts>,
) -> Result<(), DbErr> {
    for row in db.query_all(select).await? {
        found.push(read_facts(&row, view, detail)?);
    }
    Ok(())
}

/// How many offers a list has.
///
/// # Errors
/// The database's.
pub async fn count(db: &impl ConnectionTrait, view: &Viewpoint<'_>, filter: &ListFilter) -> Result<i64, DbErr> {
    let mut select = Query::select();
    select.expr(Expr::col((product::Entity, product::Column::Id)).count()).from(product::Entity);
    view.join_override(&mut select);
    select.cond_where(view.listed(db.get_database_backend(), filter));
    match db.query_one(&select).await? {
        Some(row) => row.try_get_by_index(0),
        None => Ok(0),
    }
}

/// Every offer of a list with what its price hangs on, in no order.
///
/// # Errors
/// The database's.
pub async fn candidates(db: &impl ConnectionTrait, view: &Viewpoint<'_>, filter: &ListFilter) -> Result<Vec<Candidate>, DbErr> {
    let mut select = Query::select();
    select
        .exprs([
            product::Column::Id.into_expr(),
            library::Column::DiscountScheduleId.into_expr(),
            product::Column::CreatedAt.into_expr(),
            view.title_sort(),
        ])
        .from(product::Entity)
        .left_join(library::Entity, library::Column::Id.into_expr().equals((product::Entity, product::Column::TargetId)));
    view.join_override(&mut select);
    if view.company.is_some() {
        select.expr(company_offer::Column::Prices.into_expr());
    }
    select.cond_where(view.listed(db.get_database_backend(), filter));
    let rows = db.query_all(&select).await?;
    rows.iter()
        .map(|row| {
            let mut cells = Cells::of(row);
            Ok(Candidate {
                product: ProductId::new(cells.take()?),
                schedule: cells.take::<Option<Uuid>>()?.map(DiscountScheduleId::new),
                created_at: cells.take()?,
                title_sort: cells.take()?,
                override_prices: match view.company {
                    Some(_) => cells.take::<Option<PricesCell>>()?.map(|prices| prices.amounts()).unwrap_or_default(),
                    None => Vec::new(),
                },
            })
        })
        .collect()
}

/// Of which products [`prices`] are read.
#[derive(Debug, Clone, Copy)]
pub enum PricesOf<'a> {
    /// Of these.
    Products(&'a [ProductId]),
    /// Of all that a list holds.
    List(&'a ListFilter),
}

/// The price rows that hold at the instant and are for everybody or for one of the buyer's groups.
///
/// # Errors
/// The database's.
pub async fn prices(db: &impl ConnectionTrait, view: &Viewpoint<'_>, of: PricesOf<'_>) -> Result<HashMap<ProductId, Vec<PriceRow>>, DbErr> {
    let select = |which: Expr| {
        let for_buyer = Condition::any().add(product_price::Column::GroupId.is_null()).add_option(
            (!view.groups.is_empty()).then(|| product_price::Column::GroupId.is_in(view.groups.iter().map(|group| group.uuid()))),
        );
        Query::select()
            .exprs([
                product_price::Column::ProductId.into_expr(),
                product_price::Column::Currency.into_expr(),
                product_price::Column::AmountMinor.into_expr(),
                product_price::Column::GroupId.into_expr(),
                product_price::Column::StartsAt.into_expr(),
                product_price::Column::EndsAt.into_expr(),
            ])
            .from(product_price::Entity)
            .and_where(which)
            .cond_where(view.holds(product_price::Column::RecordedAt, product_price::Column::ReplacedAt))
            .cond_where(view.within(product_price::Column::StartsAt, product_price::Column::EndsAt))
            .cond_where(for_buyer)
            .take()
    };
    let mut statements = Vec::new();
    match of {
        PricesOf::Products(products) => {
            for chunk in products.chunks(CHUNK) {
                statements.push(select(product_price::Column::ProductId.is_in(chunk.iter().map(|product| product.uuid()))));
            }
        }
        PricesOf::List(filter) => {
            let mut listed = Query::select();
            listed.column((product::Entity, product::Column::Id)).from(product::Entity);
            view.join_override(&mut listed);
            listed.cond_where(view.listed(db.get_database_backend(), filter));
            statements.push(select(product_price::Column::ProductId.in_subquery(listed)));
        }
    }
    let mut found: HashMap<ProductId, Vec<PriceRow>> = HashMap::new();
    for statement in statements {
        for row in db.query_all(&statement).await? {
            let mut cells = Cells::of(&row);
            let product = ProductId::new(cells.take()?);
            let currency = currency(&cells.take::<String>()?)?;
            let amount = Money::new(cells.take()?, currency);
            let group = cells.take::<Option<Uuid>>()?.map(GroupId::new);
            let window = Window { starts_at: cells.take()?, ends_at: cells.take()? };
            found.entry(product).or_default().push(PriceRow { amount, group, window });
        }
    }
    Ok(found)
}

/// Those of the schedules that are for a sale by this road.
///
/// # Errors
/// The database's.
pub async fn schedules(
    db: &impl ConnectionTrait,
    view: &Viewpoint<'_>,
    ids: &[DiscountScheduleId],
    channel: Channel,
) -> Result<HashMap<DiscountScheduleId, Schedule>, DbErr> {
    let mut found = HashMap::new();
    for chunk in ids.chunks(CHUNK) {
        let select = Query::select()
            .exprs([
                discount_schedule_version::Column::ScheduleId.into_expr(),
                discount_schedule_version::Column::Mode.into_expr(),
                discount_schedule_version::Column::Tiers.into_expr(),
                discount_schedule_version::Column::AppliesTo.into_expr(),
            ])
            .from(discount_schedule_version::Entity)
            .and_where(discount_schedule_version::Column::ScheduleId.is_in(chunk.iter().map(|id| id.uuid())))
            .and_where_option((channel == Channel::Cart).then(|| discount_schedule_version::Column::AppliesTo.eq(AppliesTo::All.name())))
            .cond_where(view.holds(discount_schedule_version::Column::RecordedAt, discount_schedule_version::Column::ReplacedAt))
            .take();
        for row in db.query_all(&select).await? {
            let mut cells = Cells::of(&row);
            let id = DiscountScheduleId::new(cells.take()?);
            let mode = cells.word("schedule mode", ScheduleMode::parse)?;
            let TiersCell(tiers) = cells.take()?;
            let applies_to = cells.word("road of a schedule", AppliesTo::parse)?;
            let schedule = Schedule::new(mode, applies_to, tiers).map_err(|reason| DbErr::Type(reason.to_string()))?;
            found.insert(id, schedule);
        }
    }
    Ok(found)
}

/// The rates from each of `bases` to `quote` that are valid at the instant.
///
/// # Errors
/// The database's.
pub async fn rates(
    db: &impl ConnectionTrait,
    view: &Viewpoint<'_>,
    bases: &[Currency],
    quote: Currency,
) -> Result<Vec<ExchangeRate>, DbErr> {
    let later = sea_orm::sea_query::Alias::new("later");
    let of_later = |column: exchange_rate::Column| Expr::col((later.clone(), column));
    let later_holds = if view.recorded {
        of_later(exchange_rate::Column::RecordedAt)
            .lte(view.at)
            .and(of_later(exchange_rate::Column::ReplacedAt).is_null().or(of_later(exchange_rate::Column::ReplacedAt).gt(view.at)))
    } else {
        of_later(exchange_rate::Column::ReplacedAt).is_null()
    };
    let superseded = Query::select()
        .expr(Expr::val(1))
        .from_as(exchange_rate::Entity, later.clone())
        .and_where(of_later(exchange_rate::Column::Base).equals((exchange_rate::Entity, exchange_rate::Column::Base)))
        .and_where(of_later(exchange_rate::Column::Quote).equals((exchange_rate::Entity, exchange_rate::Column::Quote)))
        .and_where(of_later(exchange_rate::Column::ValidFrom).gt(exchange_rate::Column::ValidFrom.into_expr()))
        .and_where(of_later(exchange_rate::Column::ValidFrom).lte(view.at))
        .and_where(later_holds)
        .take();
    let select = Query::select()
        .exprs([
            exchange_rate::Column::Base.into_expr(),
            exchange_rate::Column::Rate.into_expr(),
            exchange_rate::Column::ValidFrom.into_expr(),
        ])
        .from(exchange_rate::Entity)
        .and_where(exchange_rate::Column::Base.is_in(bases.iter().map(|base| base.code())))
        .and_where(exchange_rate::Column::Quote.eq(quote.code()))
        .and_where(exchange_rate::Column::ValidFrom.lte(view.at))
        .cond_where(view.holds(exchange_rate::Column::RecordedAt, exchange_rate::Column::ReplacedAt))
        .and_where(Expr::not_exists(superseded))
        .take();
    let rows = db.query_all(&select).await?;
    rows.iter()
        .map(|row| {
            let mut cells = Cells::of(row);
            let base = currency(&cells.take::<String>()?)?;
            let rate = Rate::parse(&cells.take::<String>()?).map_err(|error| DbErr::Type(error.to_string()))?;
            Ok(ExchangeRate { base, quote, rate, valid_from: cells.take()? })
        })
        .collect()
}

/// Which of these targets somebody has a live grant for.
///
/// # Errors
/// The database's.
pub async fn owned(db: &impl ConnectionTrait, account: AccountId, targets: &[Uuid], at: DateTime<Utc>) -> Result<Vec<Uuid>, DbErr> {
    let mut found = Vec::new();
    for chunk in targets.chunks(CHUNK) {
        let rows = entitlement::Entity::find()
            .select_only()
            .column(entitlement::Column::TargetId)
            .distinct()
            .filter(entitlement::Column::AccountId.eq(account.uuid()))
            .filter(entitlement::Column::TargetId.is_in(chunk.iter().copied()))
            .filter(live(at))
            .into_tuple::<Uuid>()
            .all(db)
            .await?;
        found.extend(rows);
    }
    Ok(found)
}

/// The condition that a grant was neither ended nor has run out.
fn live(at: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(entitlement::Column::EndedAt.is_null())
        .add(Condition::any().add(entitlement::Column::EndsAt.is_null()).add(entitlement::Column::EndsAt.gt(at)))
}

/// The courses of what these offers sell, by target, in order; archived ones are left out, and so is what only members of other groups may
/// see. Their descriptions are empty unless wanted.
///
/// # Errors
/// The database's.
pub async fn courses(
    db: &impl ConnectionTrait,
    view: &Viewpoint<'_>,
    targets: &[(ProductKind, Uuid)],
    descriptions: bool,
) -> Result<HashMap<Uuid, Vec<OfferCourse>>, DbErr> {
    let mut found: HashMap<Uuid, Vec<OfferCourse>> = HashMap::new();
    for chunk in targets.chunks(CHUNK) {
        let of = |kind: ProductKind| chunk.iter().filter(move |(found, _)| *found == kind).map(|(_, target)| *target).collect::<Vec<_>>();
        let columns = |owner: Expr, place: Expr| {
            let mut select = Query::select();
            select.expr_as(owner, "owner").exprs([
                course::Column::Id.into_expr(),
                course::Column::Key.into_expr(),
                course::Column::Kind.into_expr(),
                course::Column::Title.into_expr(),
                if descriptions { course::Column::Description.into_expr() } else { Expr::val("") },
            ]);
            select.expr_as(place, "place").and_where(course::Column::ArchivedAt.is_null());
            select.and_where(view.hidden((course::Entity, course::Column::Id)).not());
            select
        };
        let mut parts = Vec::new();
        let libraries = of(ProductKind::Library);
        if !libraries.is_empty() {
            let mut part = columns(library_course::Column::LibraryId.into_expr(), library_course::Column::Position.into_expr());
            part.from(library_course::Entity)
                .inner_join(
                    course::Entity,
                    course::Column::Id.into_expr().equals((library_course::Entity, library_course::Column::CourseId)),
                )
                .and_where(library_course::Column::LibraryId.is_in(libraries));
            parts.push(part);
        }
        let alone = of(ProductKind::Course);
        if !alone.is_empty() {
            let mut part = columns(course::Column::Id.into_expr(), Expr::val(0i32));
            part.from(course::Entity).and_where(course::Column::Id.is_in(alone));
            parts.push(part);
        }
        let sessions = of(ProductKind::Session);
        if !sessions.is_empty() {
            let mut part = columns(session::Column::Id.into_expr(), Expr::val(0i32));
            part.from(session::Entity)
                .inner_join(course::Entity, course::Column::Id.into_expr().equals((session::Entity, session::Column::CourseId)))
                .and_where(session::Column::Id.is_in(sessions));
            parts.push(part);
        }
        let mut parts = parts.into_iter();
        let Some(mut select) = parts.next() else { continue };
        select.unions(parts.map(|part| (UnionType::All, part)));
        select.order_by("owner", Order::Asc).order_by("place", Order::Asc);
        for row in db.query_all(&select).await? {
            let mut cells = Cells::of(&row);
            let owner = cells.take()?;
            let course = OfferCourse {
                id: CourseId::new(cells.take()?),
                key: cells.take()?,
                kind: cells.word("kind of course", CourseKind::parse)?,
                title: cells.take()?,
                description: cells.take()?,
            };
            found.entry(owner).or_default().push(course);
        }
    }
    Ok(found)
}

/// From whom and of what kind everything is that these offers give, by target, each pair once; what a group opens belongs to it. Archived
/// courses are left out.
///
/// # Errors
/// The database's.
pub async fn contents(db: &impl ConnectionTrait, targets: &[(ProductKind, Uuid)]) -> Result<HashMap<Uuid, Vec<Content>>, DbErr> {
    let mut found: HashMap<Uuid, Vec<Content>> = HashMap::new();
    for chunk in targets.chunks(CHUNK) {
        let of = |kind: ProductKind| chunk.iter().filter(move |(found, _)| *found == kind).map(|(_, target)| *target).collect::<Vec<_>>();
        let columns = |owner: Expr| {
            let mut select = Query::select();
            select.expr_as(owner, "owner").exprs([course::Column::ProviderId.into_expr(), course::Column::Kind.into_expr()]);
            select.and_where(course::Column::ArchivedAt.is_null());
            select
        };
        let course_id = || course::Column::Id.into_expr();
        let mut parts = Vec::new();
        let libraries = of(ProductKind::Library);
        if !libraries.is_empty() {
            let mut part = columns(library_course::Column::LibraryId.into_expr());
            part.from(library_course::Entity)
                .inner_join(course::Entity, course_id().equals((library_course::Entity, library_course::Column::CourseId)))
                .and_where(library_course::Column::LibraryId.is_in(libraries));
            parts.push(part);
        }
        let alone = of(ProductKind::Course);
        if !alone.is_empty() {
            let mut part = columns(course_id());
            part.from(course::Entity).and_where(course::Column::Id.is_in(alone));
            parts.push(part);
        }
        let sessions = of(ProductKind::Session);
        if !sessions.is_empty() {
            let mut part = columns(session::Column::Id.into_expr());
            part.from(session::Entity)
                .inner_join(course::Entity, course_id().equals((session::Entity, session::Column::CourseId)))
                .and_where(session::Column::Id.is_in(sessions));
            parts.push(part);
        }
        let groups = of(ProductKind::Group);
        if !groups.is_empty() {
            let mut part = columns(group_content::Column::GroupId.into_expr());
            part.from(group_content::Entity)
                .inner_join(course::Entity, course_id().equals((group_content::Entity, group_content::Column::TargetId)))
                .and_where(group_content::Column::Opens.eq(true))
                .and_where(group_content::Column::GroupId.is_in(groups.iter().copied()));
            parts.push(part);
            let mut part = columns(group_content::Column::GroupId.into_expr());
            part.from(group_content::Entity)
                .inner_join(
                    library_course::Entity,
                    library_course::Column::LibraryId.into_expr().equals((group_content::Entity, group_content::Column::TargetId)),
                )
                .inner_join(course::Entity, course_id().equals((library_course::Entity, library_course::Column::CourseId)))
                .and_where(group_content::Column::Opens.eq(true))
                .and_where(group_content::Column::GroupId.is_in(groups));
            parts.push(part);
        }
        let mut parts = parts.into_iter();
        let Some(mut select) = parts.next() else { continue };
        // One part alone has its doubles taken out by itself, several by their union.
        if parts.len() == 0 {
            select.distinct();
        }
        select.unions(parts.map(|part| (UnionType::Distinct, part)));
        for row in db.query_all(&select).await? {
            let mut cells = Cells::of(&row);
            let owner = cells.take()?;
            let provider = cells.take::<Option<Uuid>>()?.map(ProviderId::new);
            let kind = cells.word("kind of course", CourseKind::parse)?;
            found.entry(owner).or_default().push(Content { provider, kind });
        }
    }
    Ok(found)
}

/// The sessions of these events that have not ended, in order of start.
///
/// # Errors
/// The database's.
pub async fn sessions(db: &impl ConnectionTrait, events: &[CourseId], at: DateTime<Utc>) -> Result<Vec<OfferSession>, DbErr> {
    let mut found = Vec::new();
    for chunk in events.chunks(CHUNK) {
        let select = Query::select()
            .exprs([
                session::Column::Id.into_expr(),
                session::Column::CourseId.into_expr(),
                session::Column::StartsAt.into_expr(),
                session::Column::EndsAt.into_expr(),
                session::Column::TimeZone.into_expr(),
                session::Column::Location.into_expr(),
                session::Column::Seats.into_expr(),
                session::Column::Taken.into_expr(),
            ])
            .from(session::Entity)
            .and_where(session::Column::CourseId.is_in(chunk.iter().map(|event| event.uuid())))
            .and_where(session::Column::ArchivedAt.is_null())
            .and_where(session::Column::EndsAt.gt(at))
            .order_by(session::Column::StartsAt, Order::Asc)
            .order_by(session::Column::Id, Order::Asc)
            .take();
        for row in db.query_all(&select).await? {
            let mut cells = Cells::of(&row);
            found.push(OfferSession {
                id: SessionId::new(cells.take()?),
                course: CourseId::new(cells.take()?),
                starts_at: cells.take()?,
                ends_at: cells.take()?,
                time_zone: cells.word("time zone", |zone| zone.parse().ok())?,
                location: cells.take()?,
                seats: cells.take()?,
                taken: cells.take()?,
            });
        }
    }
    Ok(found)
}

fn currency(code: &str) -> Result<Currency, DbErr> {
    Currency::parse(code).map_err(|error| DbErr::Type(error.to_string()))
}
