//! Courses from a spreadsheet: read whole and checked before anything is written, then made in transactions of moderate size.
//!
//! Always true here: a file sent again changes nothing, and what the shop has already stays as it is. An import makes courses, each with its
//! commerce setting on and a product, and no library.

use std::collections::HashMap;

use domain::catalog::{CourseKind, PriceRow, ProductKind, check_prices};
use domain::terms::Terms;
use domain::text::{self, Key, Sku};
use domain::window::Window;
use domain::{Currency, Money, ProductId, ProviderId};
use sea_orm::DatabaseTransaction;
use serde_json::json;

use crate::app::caller::{Caller, Topic};
use crate::app::catalog::{Course, Provider};
use crate::app::price::new_price;
use crate::app::{App, Object, entropy};
use crate::error::{Error, Refusal, Result};
use crate::store;
use crate::store::product::NewProduct;
use sheet::{Row, Sheet};

mod sheet;

pub mod enrollment;

/// Rows of one transaction: a few dozen milliseconds of the write lock.
const CHUNK: usize = 500;

/// How a file of courses is to be read.
#[derive(Debug, Clone, Default)]
pub struct CourseImport {
    /// Checks and counts, and writes nothing.
    pub dry_run: bool,
    /// Encoding of the file, such as `windows-1250`; UTF-8 when absent.
    pub encoding: Option<String>,
    /// Provider of rows that name none; made if there is no such provider.
    pub provider: Option<String>,
    /// Currency of rows that name none; the base currency when absent.
    pub currency: Option<Currency>,
}

/// What became of a file. `rows` is the sum of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Rows read, without the header and blank lines.
    pub rows: usize,
    /// Courses made, each with its product; with `dry_run`, that would be made.
    pub made: usize,
    /// Rows whose course is there already, the same.
    pub unchanged: usize,
    /// Rows whose course is there already, but differs: it stays as it is in the shop.
    pub different: Vec<RowNote>,
    /// Rows that were left out.
    pub bad: Vec<RowNote>,
}

/// What is to be said about one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowNote {
    /// Line of the file on which the row begins, from 1.
    pub line: u64,
    /// The course's key, as far as it was given.
    pub id: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// A row that can become a course.
#[derive(Debug, Clone)]
struct Candidate {
    line: u64,
    key: Key,
    title: String,
    description: String,
    kind: CourseKind,
    provider: Option<String>,
    price: Money,
}

impl Candidate {
    fn note(&self, reason: impl Into<String>) -> RowNote {
        RowNote { line: self.line, id: self.key.to_string(), reason: reason.into() }
    }
}

impl App {
    /// Makes courses from a CSV file. `progress` is told how many rows of how many are done.
    ///
    /// Columns are found by their names in the first line: the key (`key`, `course_id` or `id`), the title (`title` or `course_title`) and the
    /// `price` are needed; `description`, `kind`, `provider`, `currency` and `is_paid` are used where they are; others are ignored. A row with
    /// `is_paid` False needs no price, and is free; one that says otherwise than its price is bad. A key that stands twice is a repeat: the first
    /// row counts.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a file that cannot be read as a whole (empty, in another encoding, without the columns, with a lone quote or a
    /// row of another length): nothing was written then.
    pub async fn import_courses(
        &self,
        caller: &Caller,
        file: &[u8],
        options: &CourseImport,
        progress: &(dyn Fn(usize, usize) + Send + Sync),
    ) -> Result<ImportReport> {
        caller.require(Topic::Catalog.write())?;
        let sheet = Sheet::read(file, options.encoding.as_deref())?;
        let columns = Columns::find(&sheet)?;
        let mut report = ImportReport { rows: sheet.rows.len(), ..ImportReport::default() };
        let mut candidates = Vec::with_capacity(sheet.rows.len());
        let mut lines: HashMap<String, u64> = HashMap::with_capacity(sheet.rows.len());
        for row in &sheet.rows {
            match columns.candidate(row, options, self.shop.base_currency) {
                Err(reason) => report.bad.push(RowNote { line: row.line, id: row.cell(columns.key).to_owned(), reason }),
                Ok(candidate) => match lines.get(&candidate.key.folded()) {
                    Some(first) => report.bad.push(candidate.note(format!("a repeat: line {first} has this key already; that row counts"))),
                    None => {
                        lines.insert(candidate.key.folded(), candidate.line);
                        candidates.push(candidate);
                    }
                },
            }
        }
        let mut done = report.bad.len();
        progress(done, report.rows);
        for chunk in candidates.chunks(CHUNK) {
            let (txn, installation) = self.begin_catalog().await?;
            let fresh = sort_out(&txn, chunk, &mut report).await?;
            report.made += fresh.len();
            if !options.dry_run && !fresh.is_empty() {
                self.fix_base_currency(&txn, &installation).await?;
                self.make_courses(&txn, caller, &fresh).await?;
                txn.commit().await?;
            }
            done += chunk.len();
            progress(done, report.rows);
        }
        report.bad.sort_by_key(|note| note.line);
        Ok(report)
    }

    /// Writes the courses with their providers, products, prices and audit entries.
    async fn make_courses(&self, txn: &DatabaseTransaction, caller: &Caller, fresh: &[&Candidate]) -> Result<()> {
        let (now, actor) = (self.now(), caller.actor());
        let providers = self.make_providers(txn, caller, fresh).await?;
        let mut courses = Vec::with_capacity(fresh.len());
        let mut products = Vec::with_capacity(fresh.len());
        let mut prices = Vec::with_capacity(fresh.len());
        for candidate in fresh {
            let course = Course {
                id: entropy::next_id(),
                key: candidate.key.to_string(),
                kind: candidate.kind,
                title: candidate.title.clone(),
                description: candidate.description.clone(),
                provider: candidate.provider.as_deref().and_then(|name| providers.get(&text::fold(name)).copied()),
                commerce_on: true,
                created_at: now,
                touched_at: now,
                archived_at: None,
            };
            let product: ProductId = entropy::next_id();
            products.push(NewProduct {
                gives: None,
                id: product,
                kind: ProductKind::Course,
                target: course.id.uuid(),
                sku: Sku::for_course(&candidate.key),
                terms: Terms::endless(ProductKind::Course),
                created_at: now,
            });
            prices.push(new_price(product, list_price(candidate.price), &actor, now));
            courses.push(course);
        }
        store::catalog::insert_courses(txn, &courses).await?;
        store::product::insert_all(txn, &products).await?;
        store::price::insert_prices(txn, &prices).await?;
        let made = courses.iter().zip(&products).zip(&prices).map(|((course, product), price)| {
            let new = json!({ "course": course, "product": product.id, "sku": product.sku, "price": price.row.amount });
            (Object::new("course", course.id.uuid()), None, Some(new))
        });
        self.audit_all(txn, caller, "importCourses", made.collect()).await
    }

    /// The providers that rows name, by folded name; those that are not there are made.
    async fn make_providers(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        fresh: &[&Candidate],
    ) -> Result<HashMap<String, ProviderId>> {
        let now = self.now();
        let mut names: HashMap<String, &str> = HashMap::new();
        for name in fresh.iter().filter_map(|candidate| candidate.provider.as_deref()) {
            names.entry(text::fold(name)).or_insert(name);
        }
        let asked: Vec<&str> = names.values().copied().collect();
        let held = store::catalog::providers_named(txn, &asked).await?;
        let mut found: HashMap<String, ProviderId> = held.into_iter().map(|provider| (text::fold(&provider.name), provider.id)).collect();
        let missing = names.into_iter().filter(|(folded, _)| !found.contains_key(folded)).map(|(_, name)| Provider {
            id: entropy::next_id(),
            name: name.to_owned(),
            website: None,
            created_at: now,
            touched_at: now,
            archived_at: None,
        });
        let missing: Vec<Provider> = missing.collect();
        store::catalog::insert_providers(txn, &missing).await?;
        let entries = missing.iter().map(|provider| (Object::new("provider", provider.id.uuid()), None, Some(json!(provider))));
        self.audit_all(txn, caller, "importCourses", entries.collect()).await?;
        found.extend(missing.into_iter().map(|provider| (text::fold(&provider.name), provider.id)));
        Ok(found)
    }
}

fn list_price(amount: Money) -> PriceRow {
    PriceRow { amount, group: None, window: Window::ALWAYS }
}

/// The candidates that are to be made; the others are counted or noted.
async fn sort_out<'a>(txn: &DatabaseTransaction, chunk: &'a [Candidate], report: &mut ImportReport) -> Result<Vec<&'a Candidate>> {
    let keys: Vec<String> = chunk.iter().map(|candidate| candidate.key.to_string()).collect();
    let held = store::catalog::courses_with_keys(txn, &keys).await?;
    let held: HashMap<String, Course> = held.into_iter().map(|course| (course.key.to_ascii_lowercase(), course)).collect();
    let targets: Vec<_> = held.values().map(|course| course.id.uuid()).collect();
    let products = store::product::products_of(txn, &targets).await?;
    let ids: Vec<ProductId> = products.iter().map(|product| product.id).collect();
    let prices = store::price::prices_of(txn, &ids, None).await?;
    let products: HashMap<_, _> = products.into_iter().map(|product| (product.target, product.id)).collect();
    let skus: Vec<String> = chunk.iter().map(|candidate| Sku::for_course(&candidate.key).folded()).collect();
    let owners = store::product::sku_owners(txn, &skus).await?;
    let mut fresh = Vec::new();
    for (candidate, sku) in chunk.iter().zip(skus) {
        let Some(course) = held.get(&candidate.key.folded()) else {
            if owners.contains_key(&sku) {
                let sku = Sku::for_course(&candidate.key);
                report.bad.push(
                    candidate.note(format!("the SKU {sku} belongs, or once belonged, to another product; give the course another key")),
                );
            } else {
                fresh.push(candidate);
            }
            continue;
        };
        let rows = products.get(&course.id.uuid()).and_then(|product| prices.get(product));
        let priced = rows.is_some_and(|rows| rows.iter().any(|price| price.row == list_price(candidate.price)));
        match (course.title == candidate.title, priced) {
            (true, true) => report.unchanged += 1,
            (false, _) => report.different.push(candidate.note("the shop has this course with another title; change it with courseUpdate")),
            (true, false) => {
                report.different.push(candidate.note("the shop has this course with another price; change it with productPricesSet"));
            }
        }
    }
    Ok(fresh)
}

/// Where the columns are.
struct Columns {
    key: usize,
    title: usize,
    price: usize,
    description: Option<usize>,
    kind: Option<usize>,
    provider: Option<usize>,
    currency: Option<usize>,
    paid: Option<usize>,
}

impl Columns {
    fn find(sheet: &Sheet) -> Result<Self> {
        let column = |names: &[&str]| names.iter().find_map(|name| sheet.header.iter().position(|column| column == name));
        let needed = |what: &str, names: &[&str]| {
            column(names).ok_or_else(|| {
                let named = sheet.header.join(", ");
                let names = names.join(" or ");
                Error::BadInput(format!("The file has no column with the {what} ({names}); its first line names: {named}."))
            })
        };
        Ok(Self {
            key: needed("course's key", &["key", "course_id", "id"])?,
            title: needed("title", &["title", "course_title"])?,
            price: needed("price", &["price"])?,
            description: column(&["description"]),
            kind: column(&["kind"]),
            provider: column(&["provider"]),
            currency: column(&["currency"]),
            paid: column(&["is_paid"]),
        })
    }

    /// The course that a row describes, or what is wrong with it.
    fn candidate(&self, row: &Row, options: &CourseImport, base_currency: Currency) -> Result<Candidate, String> {
        let given = |column: Option<usize>| column.map(|column| row.cell(column)).filter(|cell| !cell.is_empty());
        let key = Key::parse(row.cell(self.key)).map_err(|reason| reason.to_string())?;
        let title = title(row.cell(self.title))?;
        let description = text::description(given(self.description).unwrap_or_default()).map_err(|reason| reason.to_string())?;
        let kind = match given(self.kind) {
            None => CourseKind::Course,
            Some(name) => CourseKind::parse(&name.to_ascii_uppercase()).ok_or_else(|| {
                let kinds = CourseKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
                format!("{name:?} is no kind of course; the kinds are {kinds}")
            })?,
        };
        let provider = given(self.provider).or(options.provider.as_deref());
        let provider = provider.map(text::name).transpose().map_err(|reason| reason.to_string())?;
        let currency = match given(self.currency) {
            None => options.currency.unwrap_or(base_currency),
            Some(code) => Currency::parse(code).map_err(|reason| reason.to_string())?,
        };
        let paid = given(self.paid).map(|word| match word.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("is_paid is {word:?}; write True or False")),
        });
        let paid = paid.transpose()?;
        let price = match given(Some(self.price)) {
            None if paid == Some(false) => Money::zero(currency),
            _ => Money::parse(row.cell(self.price), currency).map_err(|reason| format!("the price: {reason}"))?,
        };
        if paid.is_some_and(|paid| paid == price.is_zero()) {
            let says = if price.is_zero() { "paid, and has no price" } else { "free, and has a price" };
            return Err(format!("the row says in is_paid that the course is {says}; mend one of the two"));
        }
        check_prices(&[list_price(price)])
            .map_err(|refusals| refusals.into_iter().map(|refusal| Refusal::from(refusal).message).collect::<Vec<_>>().join(" "))?;
        Ok(Candidate { line: row.line, key, title, description, kind, provider, price })
    }
}

/// Checks a title as everywhere, but keeps a line break inside of it, which spreadsheets have: the file's titles stay as they are.
fn title(cell: &str) -> Result<String, String> {
    text::title(&cell.replace(['\r', '\n'], " ")).map_err(|reason| reason.to_string())?;
    Ok(cell.trim().replace("\r\n", "\n"))
}
