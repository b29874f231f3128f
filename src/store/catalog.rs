//! Providers, courses, sessions and libraries: rows to records and back. Nothing is ever deleted here but the places of courses in a library.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::catalog::{CourseKind, ProductKind};
use domain::text;
use domain::{CourseId, DiscountScheduleId, LibraryId, ProviderId, RoyaltyPlanId, SessionId};
use entity::{course, library, library_course, product, provider, session};
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect,
    RelationDef, Select,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::page::{Key, Order};
use super::{known, rows_in, search};
use crate::page::{Page, PageArgs};

/// Who courses come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// Id.
    pub id: ProviderId,
    /// Name; unique when folded.
    pub name: String,
    /// https address.
    pub website: Option<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

/// A learning object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Course {
    /// Id.
    pub id: CourseId,
    /// Key; unique when folded.
    pub key: String,
    /// What it is.
    pub kind: CourseKind,
    /// Title.
    pub title: String,
    /// Description, may be empty.
    pub description: String,
    /// Who it comes from.
    pub provider: Option<ProviderId>,
    /// Whether it is sold alone.
    pub commerce_on: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

/// A dated session of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Id.
    pub id: SessionId,
    /// The event.
    pub course: CourseId,
    /// Start.
    pub starts_at: DateTime<Utc>,
    /// End.
    pub ends_at: DateTime<Utc>,
    /// Zone that its times are shown in.
    pub time_zone: Tz,
    /// Place or https address.
    pub location: Option<String>,
    /// Seats in all.
    pub seats: i64,
    /// Seats that are held or given.
    pub taken: i64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

/// One or more courses sold as one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Library {
    /// Id.
    pub id: LibraryId,
    /// Title.
    pub title: String,
    /// Description, may be empty.
    pub description: String,
    /// Groups libraries in reports; not unique.
    pub product_code: Option<String>,
    /// Whether each course opens when the one before is passed.
    pub ordered: bool,
    /// Quantity discounts.
    pub schedule: Option<DiscountScheduleId>,
    /// What it owes its licensor.
    pub royalty_plan: Option<RoyaltyPlanId>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

/// Whether a list holds what was archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Archived {
    /// Only what was not archived.
    #[default]
    Without,
    /// Both.
    With,
    /// Only what was archived.
    Only,
}

impl Archived {
    /// The condition on a column of archiving instants.
    pub(super) fn condition(self, column: impl ColumnTrait) -> Condition {
        match self {
            Self::Without => Condition::all().add(column.is_null()),
            Self::With => Condition::all(),
            Self::Only => Condition::all().add(column.is_not_null()),
        }
    }
}

/// What a list of the catalogue is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Sort {
    /// Folded title, ascending.
    #[default]
    Title,
    /// Newest first.
    Newest,
    /// Last changed first.
    Touched,
}

impl Sort {
    /// The key that a row with these properties has in this order.
    pub fn key(self, title: &str, created_at: DateTime<Utc>, touched_at: DateTime<Utc>) -> Key {
        match self {
            Self::Title => Key::Text(text::sort_key(title)),
            Self::Newest => Key::At(created_at),
            Self::Touched => Key::At(touched_at),
        }
    }

    /// The order by one of these columns.
    pub(super) fn order<C: ColumnTrait>(self, title: C, created_at: C, touched_at: C, id: C) -> Order<C> {
        let column = match self {
            Self::Title => title,
            Self::Newest => created_at,
            Self::Touched => touched_at,
        };
        Order { column, id, descending: self != Self::Title }
    }
}

// ---- providers ------------------------------------------------------------------------------------------------------------------

fn provider_record(row: provider::Model) -> Provider {
    Provider {
        id: row.id.into(),
        name: row.name,
        website: row.website,
        created_at: row.created_at,
        touched_at: row.touched_at,
        archived_at: row.archived_at,
    }
}

fn provider_row(record: &Provider) -> provider::ActiveModel {
    provider::ActiveModel {
        id: Set(record.id.uuid()),
        name: Set(record.name.clone()),
        name_folded: Set(text::fold(&record.name)),
        website: Set(record.website.clone()),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
        archived_at: Set(record.archived_at),
    }
}

/// Writes new providers.
///
/// # Errors
/// The database's.
pub async fn insert_providers(txn: &impl ConnectionTrait, records: &[Provider]) -> Result<(), DbErr> {
    for chunk in records.chunks(ROWS) {
        provider::Entity::insert_many(chunk.iter().map(provider_row)).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Writes what changed of a provider.
///
/// # Errors
/// The database's.
pub async fn update_provider(txn: &impl ConnectionTrait, record: &Provider) -> Result<(), DbErr> {
    provider::Entity::update(provider_row(record)).exec_without_returning(txn).await?;
    Ok(())
}

/// The providers with these ids.
///
/// # Errors
/// The database's.
pub async fn providers(db: &impl ConnectionTrait, ids: &[ProviderId]) -> Result<Vec<Provider>, DbErr> {
    let rows = rows_in::<provider::Entity>(db, provider::Column::Id, &uuids(ids)).await?;
    Ok(rows.into_iter().map(provider_record).collect())
}

/// The providers with these names, whatever their case.
///
/// # Errors
/// The database's.
pub async fn providers_named(db: &impl ConnectionTrait, names: &[&str]) -> Result<Vec<Provider>, DbErr> {
    let mut found = Vec::new();
    for chunk in names.chunks(super::CHUNK) {
        let folded = chunk.iter().map(|name| text::fold(name));
        let rows = provider::Entity::find().filter(provider::Column::NameFolded.is_in(folded)).all(db).await?;
        found.extend(rows.into_iter().map(provider_record));
    }
    Ok(found)
}

/// Which providers a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ProviderFilter {
    /// Folded words, each in the name.
    pub words: Vec<String>,
    /// Archived ones too?
    pub archived: Archived,
}

/// A page of providers by name or time.
///
/// # Errors
/// The database's.
pub async fn provider_page(
    db: &impl ConnectionTrait,
    filter: &ProviderFilter,
    sort: Sort,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Provider>, DbErr> {
    use provider::Column;
    let name = [Column::NameFolded.into_expr()];
    let select = provider::Entity::find()
        .filter(search::contains_all(db.get_database_backend(), &name, &filter.words))
        .filter(filter.archived.condition(Column::ArchivedAt));
    let order = sort.order(Column::NameFolded, Column::CreatedAt, Column::TouchedAt, Column::Id);
    Ok(super::page::page(db, select, order, args, with_total).await?.map(provider_record))
}

// ---- courses --------------------------------------------------------------------------------------------------------------------

fn course_record(row: course::Model) -> Result<Course, DbErr> {
    Ok(Course {
        id: row.id.into(),
        kind: known(CourseKind::parse(&row.kind), "kind of course", &row.kind)?,
        key: row.key,
        title: row.title,
        description: row.description,
        provider: row.provider_id.map(Into::into),
        commerce_on: row.commerce_enabled,
        created_at: row.created_at,
        touched_at: row.touched_at,
        archived_at: row.archived_at,
    })
}

fn course_row(record: &Course) -> course::ActiveModel {
    course::ActiveModel {
        id: Set(record.id.uuid()),
        key: Set(record.key.clone()),
        key_folded: Set(record.key.to_ascii_lowercase()),
        kind: Set(record.kind.name().to_owned()),
        title: Set(record.title.clone()),
        title_sort: Set(text::sort_key(&record.title)),
        description: Set(record.description.clone()),
        provider_id: Set(record.provider.map(ProviderId::uuid)),
        commerce_enabled: Set(record.commerce_on),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
        archived_at: Set(record.archived_at),
    }
}

/// Writes new courses.
///
/// # Errors
/// The database's.
pub async fn insert_courses(txn: &impl ConnectionTrait, records: &[Course]) -> Result<(), DbErr> {
    for chunk in records.chunks(ROWS) {
        course::Entity::insert_many(chunk.iter().map(course_row)).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Writes what changed of a course.
///
/// # Errors
/// The database's.
pub async fn update_course(txn: &impl ConnectionTrait, record: &Course) -> Result<(), DbErr> {
    course::Entity::update(course_row(record)).exec_without_returning(txn).await?;
    Ok(())
}

/// The courses with these ids.
///
/// # Errors
/// The database's.
pub async fn courses(db: &impl ConnectionTrait, ids: &[CourseId]) -> Result<Vec<Course>, DbErr> {
    rows_in::<course::Entity>(db, course::Column::Id, &uuids(ids)).await?.into_iter().map(course_record).collect()
}

/// The courses with these keys, whatever their case.
///
/// # Errors
/// The database's.
pub async fn courses_with_keys(db: &impl ConnectionTrait, keys: &[String]) -> Result<Vec<Course>, DbErr> {
    let mut found = Vec::new();
    for chunk in keys.chunks(super::CHUNK) {
        let folded = chunk.iter().map(|key| key.to_ascii_lowercase());
        let rows = course::Entity::find().filter(course::Column::KeyFolded.is_in(folded)).all(db).await?;
        for row in rows {
            found.push(course_record(row)?);
        }
    }
    Ok(found)
}

/// Whether the catalogue has been begun: there is a provider, a course or a product, archived ones too.
///
/// # Errors
/// The database's.
pub async fn begun(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let provider = provider::Entity::find().select_only().column(provider::Column::Id).limit(1).into_tuple::<Uuid>().one(db).await?;
    let course = course::Entity::find().select_only().column(course::Column::Id).limit(1).into_tuple::<Uuid>().one(db).await?;
    let product = product::Entity::find().select_only().column(product::Column::Id).limit(1).into_tuple::<Uuid>().one(db).await?;
    Ok(provider.or(course).or(product).is_some())
}

/// Which courses a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CourseFilter {
    /// Folded words, each in title, key, or the product's SKU, description or provider.
    pub words: Vec<String>,
    /// Of this kind only.
    pub kind: Option<CourseKind>,
    /// Of this provider only.
    pub provider: Option<ProviderId>,
    /// Whether it is sold alone.
    pub commerce_on: Option<bool>,
    /// Held by this library.
    pub library: Option<LibraryId>,
    /// Archived ones too?
    pub archived: Archived,
}

/// A page of courses.
///
/// # Errors
/// The database's.
pub async fn course_page(
    db: &impl ConnectionTrait,
    filter: &CourseFilter,
    sort: Sort,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Course>, DbErr> {
    use course::Column;
    let backend = db.get_database_backend();
    let mut select = course::Entity::find().filter(filter.archived.condition(Column::ArchivedAt));
    for word in &filter.words {
        let own = [Column::TitleSort.into_expr(), Column::KeyFolded.into_expr()];
        let sold = [product::Column::SearchDescription.into_expr(), product::Column::SearchRest.into_expr()];
        let word = std::slice::from_ref(word);
        let products = products_where(ProductKind::Course, search::contains_all(backend, &sold, word));
        select = select.filter(Condition::any().add(search::contains_all(backend, &own, word)).add(Column::Id.in_subquery(products)));
    }
    if let Some(kind) = filter.kind {
        select = select.filter(Column::Kind.eq(kind.name()));
    }
    if let Some(provider) = filter.provider {
        select = select.filter(Column::ProviderId.eq(provider.uuid()));
    }
    if let Some(commerce_on) = filter.commerce_on {
        select = select.filter(Column::CommerceEnabled.eq(commerce_on));
    }
    if let Some(library) = filter.library {
        let held = Query::select()
            .column(library_course::Column::CourseId)
            .from(library_course::Entity)
            .and_where(library_course::Column::LibraryId.eq(library.uuid()))
            .to_owned();
        select = select.filter(Column::Id.in_subquery(held));
    }
    let order = sort.order(Column::TitleSort, Column::CreatedAt, Column::TouchedAt, Column::Id);
    let page = super::page::page(db, select, order, args, with_total).await?;
    all_known(page, course_record)
}

/// The targets of the products of a kind that meet a condition.
fn products_where(kind: ProductKind, condition: Condition) -> SelectStatement {
    Query::select()
        .column(product::Column::TargetId)
        .from(product::Entity)
        .and_where(product::Column::Kind.eq(kind.name()))
        .cond_where(condition)
        .to_owned()
}

// ---- sessions -------------------------------------------------------------------------------------------------------------------

fn session_record(row: session::Model) -> Result<Session, DbErr> {
    Ok(Session {
        id: row.id.into(),
        course: row.course_id.into(),
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        time_zone: known(row.time_zone.parse().ok(), "time zone", &row.time_zone)?,
        location: row.location,
        seats: row.seats,
        taken: row.taken,
        created_at: row.created_at,
        touched_at: row.touched_at,
        archived_at: row.archived_at,
    })
}

fn session_row(record: &Session) -> session::ActiveModel {
    session::ActiveModel {
        id: Set(record.id.uuid()),
        course_id: Set(record.course.uuid()),
        starts_at: Set(record.starts_at),
        ends_at: Set(record.ends_at),
        time_zone: Set(record.time_zone.name().to_owned()),
        location: Set(record.location.clone()),
        seats: Set(record.seats),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
        archived_at: Set(record.archived_at),
        // Counted by the database where seats are taken and freed.
        ..Default::default()
    }
}

/// Writes a new session.
///
/// # Errors
/// The database's.
pub async fn insert_session(txn: &impl ConnectionTrait, record: &Session) -> Result<(), DbErr> {
    session::Entity::insert(session_row(record)).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes what changed of a session, unless more seats are taken than it is to have; says whether it did.
///
/// # Errors
/// The database's.
pub async fn update_session(txn: &impl ConnectionTrait, record: &Session) -> Result<bool, DbErr> {
    let done = session::Entity::update_many()
        .set(session_row(record))
        .filter(session::Column::Id.eq(record.id.uuid()))
        .filter(session::Column::Taken.lte(record.seats))
        .exec(txn)
        .await?;
    Ok(done.rows_affected == 1)
}

/// The sessions with these ids.
///
/// # Errors
/// The database's.
pub async fn sessions(db: &impl ConnectionTrait, ids: &[SessionId]) -> Result<Vec<Session>, DbErr> {
    rows_in::<session::Entity>(db, session::Column::Id, &uuids(ids)).await?.into_iter().map(session_record).collect()
}

/// The sessions of each of these events, in order of their start; archived ones are left out.
///
/// # Errors
/// The database's.
pub async fn sessions_of(db: &impl ConnectionTrait, events: &[CourseId]) -> Result<HashMap<CourseId, Vec<Session>>, DbErr> {
    let mut found: HashMap<CourseId, Vec<Session>> = HashMap::new();
    for chunk in events.chunks(super::CHUNK) {
        let rows = session::Entity::find()
            .filter(session::Column::CourseId.is_in(chunk.iter().map(|id| id.uuid())))
            .filter(session::Column::ArchivedAt.is_null())
            .order_by_asc(session::Column::StartsAt)
            .order_by_asc(session::Column::Id)
            .all(db)
            .await?;
        for row in rows {
            let record = session_record(row)?;
            found.entry(record.course).or_default().push(record);
        }
    }
    Ok(found)
}

// ---- libraries ------------------------------------------------------------------------------------------------------------------

fn library_record(row: library::Model) -> Library {
    Library {
        id: row.id.into(),
        title: row.title,
        description: row.description,
        product_code: row.product_code,
        ordered: row.ordered,
        schedule: row.discount_schedule_id.map(Into::into),
        royalty_plan: row.royalty_plan_id.map(Into::into),
        created_at: row.created_at,
        touched_at: row.touched_at,
        archived_at: row.archived_at,
    }
}

fn library_row(record: &Library) -> library::ActiveModel {
    library::ActiveModel {
        id: Set(record.id.uuid()),
        title: Set(record.title.clone()),
        title_sort: Set(text::sort_key(&record.title)),
        description: Set(record.description.clone()),
        product_code: Set(record.product_code.clone()),
        ordered: Set(record.ordered),
        discount_schedule_id: Set(record.schedule.map(DiscountScheduleId::uuid)),
        royalty_plan_id: Set(record.royalty_plan.map(RoyaltyPlanId::uuid)),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
        archived_at: Set(record.archived_at),
    }
}

/// Writes a new library.
///
/// # Errors
/// The database's.
pub async fn insert_library(txn: &impl ConnectionTrait, record: &Library) -> Result<(), DbErr> {
    library::Entity::insert(library_row(record)).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes what changed of a library.
///
/// # Errors
/// The database's.
pub async fn update_library(txn: &impl ConnectionTrait, record: &Library) -> Result<(), DbErr> {
    library::Entity::update(library_row(record)).exec_without_returning(txn).await?;
    Ok(())
}

/// The libraries with these ids.
///
/// # Errors
/// The database's.
pub async fn libraries(db: &impl ConnectionTrait, ids: &[LibraryId]) -> Result<Vec<Library>, DbErr> {
    let rows = rows_in::<library::Entity>(db, library::Column::Id, &uuids(ids)).await?;
    Ok(rows.into_iter().map(library_record).collect())
}

/// Makes these the courses of a library, in this order.
///
/// # Errors
/// The database's.
pub async fn set_library_courses(txn: &impl ConnectionTrait, library: LibraryId, courses: &[CourseId]) -> Result<(), DbErr> {
    library_course::Entity::delete_many().filter(library_course::Column::LibraryId.eq(library.uuid())).exec(txn).await?;
    let rows: Vec<_> = courses
        .iter()
        .zip(0i32..)
        .map(|(course, position)| library_course::ActiveModel {
            library_id: Set(library.uuid()),
            course_id: Set(course.uuid()),
            position: Set(position),
        })
        .collect();
    if !rows.is_empty() {
        library_course::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// The ids of the courses of each of these libraries, in order; archived ones too.
///
/// # Errors
/// The database's.
pub async fn course_ids_of(db: &impl ConnectionTrait, libraries: &[LibraryId]) -> Result<HashMap<LibraryId, Vec<CourseId>>, DbErr> {
    let mut found: HashMap<LibraryId, Vec<CourseId>> = HashMap::new();
    for chunk in libraries.chunks(super::CHUNK) {
        let rows = library_course::Entity::find()
            .filter(library_course::Column::LibraryId.is_in(chunk.iter().map(|id| id.uuid())))
            .order_by_asc(library_course::Column::Position)
            .all(db)
            .await?;
        for row in rows {
            found.entry(row.library_id.into()).or_default().push(row.course_id.into());
        }
    }
    Ok(found)
}

/// The courses of each of these libraries, in order, archived ones too, in one statement for each thousand libraries.
///
/// # Errors
/// The database's.
pub async fn courses_of(db: &impl ConnectionTrait, libraries: &[LibraryId]) -> Result<HashMap<LibraryId, Vec<Course>>, DbErr> {
    let mut found: HashMap<LibraryId, Vec<Course>> = HashMap::new();
    for chunk in libraries.chunks(super::CHUNK) {
        let rows: Vec<(library_course::Model, Option<course::Model>)> = library_course::Entity::find()
            .join(JoinType::InnerJoin, course_of_place())
            .select_also(course::Entity)
            .filter(library_course::Column::LibraryId.is_in(chunk.iter().map(|id| id.uuid())))
            .order_by_asc(library_course::Column::Position)
            .all(db)
            .await?;
        for (place, row) in rows {
            if let Some(row) = row {
                found.entry(place.library_id.into()).or_default().push(course_record(row)?);
            }
        }
    }
    Ok(found)
}

/// The libraries that hold each of these courses, by title.
///
/// # Errors
/// The database's.
pub async fn libraries_holding(db: &impl ConnectionTrait, courses: &[CourseId]) -> Result<HashMap<CourseId, Vec<Library>>, DbErr> {
    let mut found: HashMap<CourseId, Vec<Library>> = HashMap::new();
    for chunk in courses.chunks(super::CHUNK) {
        let rows: Vec<(library_course::Model, Option<library::Model>)> = library_course::Entity::find()
            .join(JoinType::InnerJoin, library_of_place())
            .select_also(library::Entity)
            .filter(library_course::Column::CourseId.is_in(chunk.iter().map(|id| id.uuid())))
            .order_by_asc(library::Column::TitleSort)
            .order_by_asc(library::Column::Id)
            .all(db)
            .await?;
        for (place, row) in rows {
            if let Some(row) = row {
                found.entry(place.course_id.into()).or_default().push(library_record(row));
            }
        }
    }
    Ok(found)
}

/// Which libraries a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LibraryFilter {
    /// Folded words, each in title, description, SKU, provider or product code.
    pub words: Vec<String>,
    /// With this folded SKU, a replaced one too.
    pub sku: Option<String>,
    /// With this folded product code.
    pub product_code: Option<String>,
    /// Holding this course.
    pub course: Option<CourseId>,
    /// Created then or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before then.
    pub created_before: Option<DateTime<Utc>>,
    /// Last changed then or later.
    pub touched_from: Option<DateTime<Utc>>,
    /// Last changed before then.
    pub touched_before: Option<DateTime<Utc>>,
    /// Archived ones too?
    pub archived: Archived,
}

/// A page of libraries.
///
/// # Errors
/// The database's.
pub async fn library_page(
    db: &impl ConnectionTrait,
    filter: &LibraryFilter,
    sort: Sort,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Library>, DbErr> {
    use library::Column;
    let between = Condition::all()
        .add_option(filter.created_from.map(|from| Column::CreatedAt.gte(from)))
        .add_option(filter.created_before.map(|before| Column::CreatedAt.lt(before)))
        .add_option(filter.touched_from.map(|from| Column::TouchedAt.gte(from)))
        .add_option(filter.touched_before.map(|before| Column::TouchedAt.lt(before)));
    let mut select: Select<library::Entity> = library::Entity::find().filter(filter.archived.condition(Column::ArchivedAt)).filter(between);
    let mut sold = super::product::search_condition(db.get_database_backend(), &filter.words);
    if let Some(code) = &filter.product_code {
        sold = sold.add(product::Column::ProductCodeFolded.eq(code.as_str()));
    }
    if let Some(sku) = &filter.sku {
        sold = sold.add(super::product::has_sku(sku));
    }
    if !sold.is_empty() {
        select = select.filter(Column::Id.in_subquery(products_where(ProductKind::Library, sold)));
    }
    if let Some(course) = filter.course {
        let holding = Query::select()
            .column(library_course::Column::LibraryId)
            .from(library_course::Entity)
            .and_where(library_course::Column::CourseId.eq(course.uuid()))
            .to_owned();
        select = select.filter(Column::Id.in_subquery(holding));
    }
    let order = sort.order(Column::TitleSort, Column::CreatedAt, Column::TouchedAt, Column::Id);
    Ok(super::page::page(db, select, order, args, with_total).await?.map(library_record))
}

// ---- small change ---------------------------------------------------------------------------------------------------------------

/// Rows of one INSERT: with a dozen columns each, well below both databases' limit on parameters.
pub(super) const ROWS: usize = 500;

pub(super) fn uuids<K: domain::id::Kind>(ids: &[domain::id::Id<K>]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}

pub(super) fn all_known<R, T>(page: Page<R>, record: impl Fn(R) -> Result<T, DbErr>) -> Result<Page<T>, DbErr> {
    let Page { rows, has_next, has_previous, total } = page;
    Ok(Page { rows: rows.into_iter().map(record).collect::<Result<_, _>>()?, has_next, has_previous, total })
}

fn course_of_place() -> RelationDef {
    library_course::Entity::belongs_to(course::Entity).from(library_course::Column::CourseId).to(course::Column::Id).into()
}

fn library_of_place() -> RelationDef {
    library_course::Entity::belongs_to(library::Entity).from(library_course::Column::LibraryId).to(library::Column::Id).into()
}
