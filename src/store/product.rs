//! Products, their SKUs, and what is derived for lists and search: one function computes the derived columns, and every write that concerns
//! them calls it, so that they always equal what a computation from scratch gives.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::catalog::{CourseKind, Fulfilment, ProductKind, SaleState, Saleability, may_be_sold};
use domain::credit_sale::Gives;
use domain::entitlement::Target;
use domain::tax::TaxClass;
use domain::terms::Terms;
use domain::text::{self, Sku};
use domain::{CourseId, Id, ProductId, ProviderId};
use entity::{course, credit_pack, group, library, library_course, product, product_sku, provider, session};
use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::Serialize;
use uuid::Uuid;

use super::catalog::{Archived, ROWS, Sort, all_known, uuids};
use super::page::Key;
use super::{CHUNK, corrupt, known, rows_in, search};
use crate::page::{Page, PageArgs};

/// The commerce side of one library, course, session, group or credit pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// Id.
    pub id: ProductId,
    /// What it sells.
    pub kind: ProductKind,
    /// The thing sold, as a bare id of that kind.
    pub target: Uuid,
    /// Its SKU as given.
    pub sku: String,
    /// Whether it makes new sales.
    pub state: SaleState,
    /// How long access lasts.
    pub terms: Terms,
    /// Whether coupons reach it.
    pub couponable: bool,
    /// Class of products that it is taxed with.
    pub tax_class: TaxClass,
    /// What buying it gives.
    pub fulfilment: Fulfilment,
    /// The credits that one unit gives.
    pub gives: Option<Gives>,
    /// Days from issue within which its keys and seats are redeemed.
    pub redeem_days: Option<u32>,
    /// Whether it is on sale with something to sell: derived.
    pub listed: bool,
    /// Title of the thing sold: derived.
    pub title: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it or its target last changed.
    pub touched_at: DateTime<Utc>,
    /// When its target was archived: derived.
    pub archived_at: Option<DateTime<Utc>>,
}

/// A product to be written; what is derived comes from its target.
#[derive(Debug, Clone)]
pub struct NewProduct {
    /// Id.
    pub id: ProductId,
    /// What it sells.
    pub kind: ProductKind,
    /// The thing sold.
    pub target: Uuid,
    /// Its SKU, reserved before.
    pub sku: Sku,
    /// How long access lasts.
    pub terms: Terms,
    /// The credits that one unit gives.
    pub gives: Option<Gives>,
    /// When it is created.
    pub created_at: DateTime<Utc>,
}

/// A SKU that a product has or had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReservedSku {
    /// As given.
    pub sku: String,
    /// The product.
    pub product: ProductId,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

fn record(row: product::Model) -> Result<Product, DbErr> {
    Ok(Product {
        id: row.id.into(),
        kind: known(ProductKind::parse(&row.kind), "kind of product", &row.kind)?,
        target: row.target_id,
        sku: row.sku,
        state: known(SaleState::parse(&row.state), "sale state", &row.state)?,
        terms: serde_json::from_value(row.terms).map_err(|error| DbErr::Json(error.to_string()))?,
        couponable: row.couponable,
        tax_class: known(TaxClass::parse(&row.tax_class).ok(), "tax class", &row.tax_class)?,
        fulfilment: known(Fulfilment::parse(&row.fulfilment), "kind of fulfilment", &row.fulfilment)?,
        gives: super::credit_pack::gives((row.credits, row.credit_days, row.credit_tied_to))?,
        redeem_days: row.redeem_days.map(u32::try_from).transpose().map_err(corrupt)?,
        listed: row.listed,
        title: row.title,
        created_at: row.created_at,
        touched_at: row.touched_at,
        archived_at: row.archived_at,
    })
}

// ---- reading --------------------------------------------------------------------------------------------------------------------

/// The products with these ids.
///
/// # Errors
/// The database's.
pub async fn products(db: &impl ConnectionTrait, ids: &[ProductId]) -> Result<Vec<Product>, DbErr> {
    rows_in::<product::Entity>(db, product::Column::Id, &uuids(ids)).await?.into_iter().map(record).collect()
}

/// The products that sell these things.
///
/// # Errors
/// The database's.
pub async fn products_of(db: &impl ConnectionTrait, targets: &[Uuid]) -> Result<Vec<Product>, DbErr> {
    rows_in::<product::Entity>(db, product::Column::TargetId, targets).await?.into_iter().map(record).collect()
}

/// The product that has or had this SKU, whatever its case.
///
/// # Errors
/// The database's.
pub async fn product_with_sku(db: &impl ConnectionTrait, sku: &Sku) -> Result<Option<Product>, DbErr> {
    product::Entity::find().filter(has_sku(&sku.folded())).one(db).await?.map(record).transpose()
}

/// The condition that a product has or had this folded SKU.
pub(super) fn has_sku(folded: &str) -> Expr {
    let reserved = Query::select()
        .column(product_sku::Column::ProductId)
        .from(product_sku::Entity)
        .and_where(product_sku::Column::SkuFolded.eq(folded))
        .to_owned();
    product::Column::Id.in_subquery(reserved)
}

/// Every SKU that these products have or had, oldest first.
///
/// # Errors
/// The database's.
pub async fn skus_of(db: &impl ConnectionTrait, products: &[ProductId]) -> Result<HashMap<ProductId, Vec<ReservedSku>>, DbErr> {
    let mut found: HashMap<ProductId, Vec<ReservedSku>> = HashMap::new();
    for chunk in products.chunks(CHUNK) {
        let rows = product_sku::Entity::find()
            .filter(product_sku::Column::ProductId.is_in(chunk.iter().map(|id| id.uuid())))
            .order_by_asc(product_sku::Column::CreatedAt)
            .order_by_asc(product_sku::Column::SkuFolded)
            .all(db)
            .await?;
        for row in rows {
            let product = row.product_id.into();
            found.entry(product).or_default().push(ReservedSku { sku: row.sku, product, created_at: row.created_at });
        }
    }
    Ok(found)
}

/// Which of these folded SKUs belong, or once belonged, to a product, and to which.
///
/// # Errors
/// The database's.
pub async fn sku_owners(db: &impl ConnectionTrait, folded: &[String]) -> Result<HashMap<String, ProductId>, DbErr> {
    let mut owners = HashMap::new();
    for chunk in folded.chunks(CHUNK) {
        let rows = product_sku::Entity::find().filter(product_sku::Column::SkuFolded.is_in(chunk)).all(db).await?;
        owners.extend(rows.into_iter().map(|row| (row.sku_folded, row.product_id.into())));
    }
    Ok(owners)
}

/// Which products a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ProductFilter {
    /// Folded words, each in title, description, SKU, provider or product code.
    pub words: Vec<String>,
    /// Of this kind only.
    pub kind: Option<ProductKind>,
    /// In this state only.
    pub state: Option<SaleState>,
    /// With this folded product code.
    pub product_code: Option<String>,
    /// Archived ones too?
    pub archived: Archived,
}

/// A page of products.
///
/// # Errors
/// The database's.
pub async fn product_page(
    db: &impl ConnectionTrait,
    filter: &ProductFilter,
    sort: Sort,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Product>, DbErr> {
    use product::Column;
    let mut select = product::Entity::find()
        .filter(search_condition(db.get_database_backend(), &filter.words))
        .filter(filter.archived.condition(Column::ArchivedAt));
    if let Some(kind) = filter.kind {
        select = select.filter(Column::Kind.eq(kind.name()));
    }
    if let Some(state) = filter.state {
        select = select.filter(Column::State.eq(state.name()));
    }
    if let Some(code) = &filter.product_code {
        select = select.filter(Column::ProductCodeFolded.eq(code.as_str()));
    }
    let order = sort.order(Column::TitleSort, Column::CreatedAt, Column::TouchedAt, Column::Id);
    all_known(super::page::page(db, select, order, args, with_total).await?, record)
}

/// The condition that each word occurs in title, description, SKU, provider or product code of a product, as operators search.
pub(super) fn search_condition(backend: DbBackend, words: &[String]) -> Condition {
    use product::Column;
    let haystacks =
        [Column::SearchTitle, Column::SearchRest, Column::SearchDescription, Column::ProductCodeFolded].map(ColumnTrait::into_expr);
    search::contains_all(backend, &haystacks, words)
}

// ---- writing --------------------------------------------------------------------------------------------------------------------

/// Reserves a SKU for a product, for ever. False if another product has it or had it. A product may have its own again, in another case too.
///
/// # Errors
/// The database's.
pub async fn reserve_sku(txn: &impl ConnectionTrait, product: ProductId, sku: &Sku, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let wanted = product_sku::ActiveModel {
        sku_folded: Set(sku.folded()),
        sku: Set(sku.as_str().to_owned()),
        product_id: Set(product.uuid()),
        created_at: Set(now),
    };
    // The database decides: of two at once the second waits here for the first one's end.
    let taken = OnConflict::column(product_sku::Column::SkuFolded).do_nothing().to_owned();
    match product_sku::Entity::insert(wanted).on_conflict(taken).exec_without_returning(txn).await {
        Ok(rows) if rows > 0 => return Ok(true),
        Ok(_) | Err(DbErr::RecordNotInserted) => {}
        Err(other) => return Err(other),
    }
    let owned = product_sku::Entity::update_many()
        .col_expr(product_sku::Column::Sku, Expr::value(sku.as_str()))
        .filter(product_sku::Column::SkuFolded.eq(sku.folded()))
        .filter(product_sku::Column::ProductId.eq(product.uuid()))
        .exec(txn)
        .await?;
    Ok(owned.rows_affected > 0)
}

/// Writes a new product, on sale, with what is derived from its target, which is written before it. False, and nothing written, if its SKU
/// belongs, or once belonged, to another product.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, new: &NewProduct) -> Result<bool, DbErr> {
    // Asked first because a violated constraint would end the transaction; the constraint stands behind it all the same.
    if !sku_owners(txn, &[new.sku.folded()]).await?.is_empty() {
        return Ok(false);
    }
    insert_many(txn, std::slice::from_ref(new)).await?;
    reserve_sku(txn, new.id, &new.sku, new.created_at).await
}

/// Writes many new products whose SKUs are known to be free, and reserves those.
///
/// # Errors
/// The database's.
pub async fn insert_all(txn: &impl ConnectionTrait, new: &[NewProduct]) -> Result<(), DbErr> {
    insert_many(txn, new).await?;
    for chunk in new.chunks(ROWS) {
        let skus = chunk.iter().map(|new| product_sku::ActiveModel {
            sku_folded: Set(new.sku.folded()),
            sku: Set(new.sku.as_str().to_owned()),
            product_id: Set(new.id.uuid()),
            created_at: Set(new.created_at),
        });
        product_sku::Entity::insert_many(skus).exec_without_returning(txn).await?;
    }
    Ok(())
}

async fn insert_many(txn: &impl ConnectionTrait, new: &[NewProduct]) -> Result<(), DbErr> {
    for chunk in new.chunks(ROWS) {
        let mut rows = Vec::with_capacity(chunk.len());
        for new in chunk {
            let (credits, credit_days, credit_tied_to) = credit_columns(new.gives)?;
            rows.push(product::Model {
                credits,
                credit_days,
                credit_tied_to,
                id: new.id.uuid(),
                kind: new.kind.name().to_owned(),
                target_id: new.target,
                sku: new.sku.as_str().to_owned(),
                sku_folded: new.sku.folded(),
                state: SaleState::OnSale.name().to_owned(),
                terms: serde_json::to_value(new.terms).map_err(|error| DbErr::Json(error.to_string()))?,
                listed: false,
                title: String::new(),
                title_sort: String::new(),
                search_title: String::new(),
                search_description: String::new(),
                search_rest: String::new(),
                product_code_folded: None,
                created_at: new.created_at,
                touched_at: new.created_at,
                archived_at: None,
                couponable: true,
                tax_class: TaxClass::STANDARD.to_owned(),
                fulfilment: Fulfilment::Enrol.name().to_owned(),
                redeem_days: None,
            });
        }
        let facts = Facts::load(txn, &rows).await?;
        for row in &mut rows {
            facts.derive(row)?.write_to(row);
        }
        product::Entity::insert_many(rows.into_iter().map(product::ActiveModel::from)).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Writes what changed of a product itself, and what is derived.
///
/// # Errors
/// The database's.
pub async fn update(txn: &impl ConnectionTrait, record: &Product) -> Result<(), DbErr> {
    let (credits, credit_days, credit_tied_to) = credit_columns(record.gives)?;
    let change = product::ActiveModel {
        id: Unchanged(record.id.uuid()),
        sku: Set(record.sku.clone()),
        sku_folded: Set(record.sku.to_ascii_lowercase()),
        state: Set(record.state.name().to_owned()),
        terms: Set(serde_json::to_value(record.terms).map_err(|error| DbErr::Json(error.to_string()))?),
        couponable: Set(record.couponable),
        tax_class: Set(record.tax_class.as_str().to_owned()),
        fulfilment: Set(record.fulfilment.name().to_owned()),
        credits: Set(credits),
        credit_days: Set(credit_days),
        credit_tied_to: Set(credit_tied_to),
        redeem_days: Set(record.redeem_days.map(i32::try_from).transpose().map_err(corrupt)?),
        touched_at: Set(record.touched_at),
        ..Default::default()
    };
    product::Entity::update(change).exec_without_returning(txn).await?;
    refresh(txn, &[record.id]).await?;
    Ok(())
}

fn credit_columns(gives: Option<Gives>) -> Result<super::credit_pack::Columns, DbErr> {
    super::credit_pack::columns(&gives.map(|gives| gives.times(1)).unwrap_or_default())
}

/// Says that the products of these things changed with them.
///
/// # Errors
/// The database's.
pub async fn touch_of(txn: &impl ConnectionTrait, targets: &[Uuid], now: DateTime<Utc>) -> Result<(), DbErr> {
    for chunk in targets.chunks(CHUNK) {
        product::Entity::update_many()
            .col_expr(product::Column::TouchedAt, Expr::value(now))
            .filter(product::Column::TargetId.is_in(chunk.iter().copied()))
            .exec(txn)
            .await?;
    }
    Ok(())
}

// ---- what is derived ------------------------------------------------------------------------------------------------------------

/// The derived columns of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Derived {
    listed: bool,
    title: String,
    title_sort: String,
    search_title: String,
    search_description: String,
    search_rest: String,
    product_code_folded: Option<String>,
    archived_at: Option<DateTime<Utc>>,
}

impl Derived {
    fn of(row: &product::Model) -> Self {
        Self {
            listed: row.listed,
            title: row.title.clone(),
            title_sort: row.title_sort.clone(),
            search_title: row.search_title.clone(),
            search_description: row.search_description.clone(),
            search_rest: row.search_rest.clone(),
            product_code_folded: row.product_code_folded.clone(),
            archived_at: row.archived_at,
        }
    }

    fn write_to(self, row: &mut product::Model) {
        row.listed = self.listed;
        row.title = self.title;
        row.title_sort = self.title_sort;
        row.search_title = self.search_title;
        row.search_description = self.search_description;
        row.search_rest = self.search_rest;
        row.product_code_folded = self.product_code_folded;
        row.archived_at = self.archived_at;
    }
}

/// What the derived columns of some products are computed from.
struct Facts {
    courses: HashMap<Uuid, course::Model>,
    libraries: HashMap<Uuid, library::Model>,
    groups: HashMap<Uuid, group::Model>,
    sessions: HashMap<Uuid, session::Model>,
    packs: HashMap<Uuid, credit_pack::Model>,
    held: HashMap<Uuid, Vec<Uuid>>,
    providers: HashMap<Uuid, String>,
}

impl Facts {
    async fn load(db: &impl ConnectionTrait, products: &[product::Model]) -> Result<Self, DbErr> {
        let targets = |kind: ProductKind| -> Vec<Uuid> {
            products.iter().filter(|product| product.kind == kind.name()).map(|product| product.target_id).collect()
        };
        let libraries = rows_in::<library::Entity>(db, library::Column::Id, &targets(ProductKind::Library)).await?;
        let groups = rows_in::<group::Entity>(db, group::Column::Id, &targets(ProductKind::Group)).await?;
        let sessions = rows_in::<session::Entity>(db, session::Column::Id, &targets(ProductKind::Session)).await?;
        let packs = rows_in::<credit_pack::Entity>(db, credit_pack::Column::Id, &targets(ProductKind::CreditPack)).await?;
        let library_ids: Vec<Uuid> = libraries.iter().map(|library| library.id).collect();
        let places = rows_in::<library_course::Entity>(db, library_course::Column::LibraryId, &library_ids).await?;
        let mut course_ids: BTreeSet<Uuid> = targets(ProductKind::Course).into_iter().collect();
        course_ids.extend(sessions.iter().map(|session| session.course_id));
        course_ids.extend(places.iter().map(|place| place.course_id));
        let course_ids: Vec<Uuid> = course_ids.into_iter().collect();
        let courses = rows_in::<course::Entity>(db, course::Column::Id, &course_ids).await?;
        let provider_ids: BTreeSet<Uuid> = courses.iter().filter_map(|course| course.provider_id).collect();
        let provider_ids: Vec<Uuid> = provider_ids.into_iter().collect();
        let providers = rows_in::<provider::Entity>(db, provider::Column::Id, &provider_ids).await?;
        let mut held: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for place in places {
            held.entry(place.library_id).or_default().push(place.course_id);
        }
        Ok(Self {
            courses: courses.into_iter().map(|course| (course.id, course)).collect(),
            libraries: libraries.into_iter().map(|library| (library.id, library)).collect(),
            groups: groups.into_iter().map(|group| (group.id, group)).collect(),
            sessions: sessions.into_iter().map(|session| (session.id, session)).collect(),
            packs: packs.into_iter().map(|pack| (pack.id, pack)).collect(),
            held,
            providers: providers.into_iter().map(|provider| (provider.id, provider.name)).collect(),
        })
    }

    fn derive(&self, product: &product::Model) -> Result<Derived, DbErr> {
        let kind = known(ProductKind::parse(&product.kind), "kind of product", &product.kind)?;
        let sale_state = known(SaleState::parse(&product.state), "sale state", &product.state)?;
        let missing = || DbErr::Custom(format!("product {} sells nothing that is there", product.id));
        let mut facts = Saleability { kind, sale_state, archived: false, courses: 0, commerce_on: false, event: false };
        let mut code = None;
        let (title, description, archived_at, providers): (&str, &str, _, BTreeSet<&str>) = match kind {
            ProductKind::Course => {
                let course = self.courses.get(&product.target_id).ok_or_else(missing)?;
                facts.commerce_on = course.commerce_enabled;
                facts.event = course.kind == CourseKind::Event.name();
                (&course.title, &course.description, course.archived_at, self.provider_of(course).into_iter().collect())
            }
            ProductKind::Session => {
                let session = self.sessions.get(&product.target_id).ok_or_else(missing)?;
                let course = self.courses.get(&session.course_id).ok_or_else(missing)?;
                let archived_at = session.archived_at.or(course.archived_at);
                (&course.title, &course.description, archived_at, self.provider_of(course).into_iter().collect())
            }
            ProductKind::Library => {
                let library = self.libraries.get(&product.target_id).ok_or_else(missing)?;
                let held = self.held.get(&library.id).into_iter().flatten().filter_map(|course| self.courses.get(course));
                let live: Vec<&course::Model> = held.filter(|course| course.archived_at.is_none()).collect();
                facts.courses = live.len();
                code = library.product_code.as_deref().map(text::fold);
                let providers = live.iter().filter_map(|course| self.provider_of(course)).collect();
                (&library.title, &library.description, library.archived_at, providers)
            }
            ProductKind::Group => {
                let group = self.groups.get(&product.target_id).ok_or_else(missing)?;
                (&group.title, &group.description, group.archived_at, BTreeSet::new())
            }
            ProductKind::CreditPack => {
                let pack = self.packs.get(&product.target_id).ok_or_else(missing)?;
                (&pack.title, &pack.description, pack.archived_at, BTreeSet::new())
            }
        };
        facts.archived = archived_at.is_some();
        Ok(Derived {
            listed: may_be_sold(&facts).is_ok(),
            title: title.to_owned(),
            title_sort: text::sort_key(title),
            search_title: text::search_text([title]),
            search_description: text::search_text([description]),
            search_rest: text::search_text(std::iter::once(product.sku.as_str()).chain(providers)),
            product_code_folded: code,
            archived_at,
        })
    }

    fn provider_of(&self, course: &course::Model) -> Option<&str> {
        course.provider_id.and_then(|provider| self.providers.get(&provider)).map(String::as_str)
    }
}

/// Computes the derived columns of these products again and writes those that differ. To be called by every write that changes a product or
/// something that they are derived from: texts, archiving, SKU, state, a course's commerce or provider, a library's courses, a provider's name.
///
/// # Errors
/// The database's.
pub async fn refresh(txn: &impl ConnectionTrait, ids: &[ProductId]) -> Result<(), DbErr> {
    for chunk in ids.chunks(CHUNK) {
        let rows = rows_in::<product::Entity>(txn, product::Column::Id, &uuids(chunk)).await?;
        let facts = Facts::load(txn, &rows).await?;
        for row in rows {
            let derived = facts.derive(&row)?;
            if derived != Derived::of(&row) {
                let change = product::ActiveModel {
                    id: Unchanged(row.id),
                    listed: Set(derived.listed),
                    title: Set(derived.title),
                    title_sort: Set(derived.title_sort),
                    search_title: Set(derived.search_title),
                    search_description: Set(derived.search_description),
                    search_rest: Set(derived.search_rest),
                    product_code_folded: Set(derived.product_code_folded),
                    archived_at: Set(derived.archived_at),
                    ..Default::default()
                };
                product::Entity::update(change).exec_without_returning(txn).await?;
            }
        }
    }
    Ok(())
}

/// The products whose derived columns are not what a computation from scratch gives: none, unless a write forgot [`refresh`].
///
/// # Errors
/// The database's.
pub async fn stale(db: &impl ConnectionTrait) -> Result<Vec<ProductId>, DbErr> {
    let ids: Vec<Uuid> = product::Entity::find().select_only().column(product::Column::Id).into_tuple().all(db).await?;
    let mut stale = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let rows = rows_in::<product::Entity>(db, product::Column::Id, chunk).await?;
        let facts = Facts::load(db, &rows).await?;
        for row in rows {
            if facts.derive(&row)? != Derived::of(&row) {
                stale.push(row.id.into());
            }
        }
    }
    Ok(stale)
}

/// The products that are derived from these courses: their own and those of libraries that hold them.
///
/// # Errors
/// The database's.
pub async fn concerned_by_courses(db: &impl ConnectionTrait, courses: &[CourseId]) -> Result<Vec<ProductId>, DbErr> {
    let mut found = BTreeSet::new();
    for chunk in courses.chunks(CHUNK) {
        let courses = uuids(chunk);
        let holding = Query::select()
            .column(library_course::Column::LibraryId)
            .from(library_course::Entity)
            .and_where(library_course::Column::CourseId.is_in(courses.iter().copied()))
            .to_owned();
        let sessions = Query::select()
            .column(session::Column::Id)
            .from(session::Entity)
            .and_where(session::Column::CourseId.is_in(courses.iter().copied()))
            .to_owned();
        let concerned = Condition::any()
            .add(product::Column::TargetId.is_in(courses))
            .add(product::Column::TargetId.in_subquery(holding))
            .add(product::Column::TargetId.in_subquery(sessions));
        let ids: Vec<Uuid> =
            product::Entity::find().select_only().column(product::Column::Id).filter(concerned).into_tuple().all(db).await?;
        found.extend(ids);
    }
    Ok(found.into_iter().map(Into::into).collect())
}

/// The products that are derived from this provider: those of its courses and of libraries that hold one.
///
/// # Errors
/// The database's.
pub async fn concerned_by_provider(db: &impl ConnectionTrait, provider: ProviderId) -> Result<Vec<ProductId>, DbErr> {
    let courses: Vec<Uuid> = course::Entity::find()
        .select_only()
        .column(course::Column::Id)
        .filter(course::Column::ProviderId.eq(provider.uuid()))
        .into_tuple()
        .all(db)
        .await?;
    concerned_by_courses(db, &courses.into_iter().map(Into::into).collect::<Vec<_>>()).await
}

impl Product {
    /// The thing that it opens; a credit pack opens nothing.
    pub const fn target(&self) -> Option<Target> {
        match self.kind {
            ProductKind::Course => Some(Target::Course(Id::new(self.target))),
            ProductKind::Library => Some(Target::Library(Id::new(self.target))),
            ProductKind::Group => Some(Target::Group(Id::new(self.target))),
            ProductKind::Session => Some(Target::Session(Id::new(self.target))),
            ProductKind::CreditPack => None,
        }
    }
}
