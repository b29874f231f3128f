//! Reports of sales, from the books of entries (`store::sale`), so that each figure can be added up again from the file of entries.
//!
//! Always true here: operators and keys with `reports:read` see all, managers their own company; the days are those of the company that the
//! report is about, else of the shop.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use domain::report::{Part, Period, SalesGroup};
use domain::{CompanyId, ProductId, text};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::caller::{Caller, Topic, Who};
use super::company::Company;
use super::product::Product;
use crate::error::{Error, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::sale::GroupKey;

pub use crate::store::sale::{Entry, SalesFilter, Sums};

/// What a report was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalesWish {
    /// Which sales.
    pub filter: SalesFilter,
    /// From the beginning of this day.
    pub first_day: Option<NaiveDate>,
    /// To the end of this day.
    pub last_day: Option<NaiveDate>,
}

/// What a row of a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A product code; `None` for what has none.
    ProductCode(Option<String>),
    /// A company; `None` for what was sold to nobody's.
    Company(Option<Company>),
    /// A product.
    Product(Product),
    /// A day, or the part of a month that begins with it.
    Days(NaiveDate),
}

/// A row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalesRow {
    /// Its place in the report.
    pub place: Place,
    /// What it is about.
    pub subject: Subject,
    /// What was sold and went back.
    pub sums: Sums,
}

/// Where a row stands: by currency, what sold most first; of days and months in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place(String, i64, String);

/// A report of sales.
#[derive(Debug, Clone)]
pub struct SalesReport {
    /// Its days.
    pub period: Period,
    /// All of it, by currency.
    pub totals: Vec<Sums>,
    /// Its rows.
    pub rows: Vec<SalesRow>,
}

/// Entries as they are shown: with what they name.
#[derive(Debug)]
pub struct EntryPage {
    /// The entries.
    pub page: Page<Entry>,
    /// Their companies.
    pub companies: HashMap<CompanyId, Company>,
    /// Their products.
    pub products: HashMap<ProductId, Product>,
}

impl App {
    /// What was sold in a period, by `group`: three statements at most, and one for the zone of a company.
    ///
    /// # Errors
    /// Not for this caller; a period that is none or has more days than a report.
    pub async fn sales_report(&self, caller: &Caller, wish: &SalesWish, group: SalesGroup) -> Result<SalesReport> {
        let (filter, period) = self.sales_asked(caller, wish).await?;
        let parts = match group {
            SalesGroup::Day => period.days(),
            SalesGroup::Month => period.months(),
            SalesGroup::ProductCode | SalesGroup::Company | SalesGroup::Product => Ok(Vec::new()),
        };
        let parts = parts.map_err(|refusal| Error::BadInput(refusal.to_string()))?;
        let bounds = period.bounds().map_err(|refusal| Error::BadInput(refusal.to_string()))?;
        let found = store::sale::sums(self.db.read(), &filter, bounds, Some(group), &parts).await?;
        let mut totals: BTreeMap<&'static str, Sums> = BTreeMap::new();
        for (_, sums) in &found {
            add(totals.entry(sums.total.currency.code()).or_insert_with(|| Sums::zero(sums.total.currency)), sums)?;
        }
        let mut rows = match group {
            SalesGroup::ProductCode => by_code(found)?,
            SalesGroup::Company => self.by_company(found).await?,
            SalesGroup::Product => self.by_product(found).await?,
            SalesGroup::Day | SalesGroup::Month => by_part(found, &parts)?,
        };
        rows.sort_unstable_by(|one, other| one.place.cmp(&other.place));
        Ok(SalesReport { period, totals: totals.into_values().collect(), rows })
    }

    /// A page of the entries that a report adds up, the oldest first.
    ///
    /// # Errors
    /// Not for this caller; a period that is none.
    pub async fn sale_entries(&self, caller: &Caller, wish: &SalesWish, args: &PageArgs<(DateTime<Utc>, Uuid)>) -> Result<EntryPage> {
        let (filter, period) = self.sales_asked(caller, wish).await?;
        let bounds = period.bounds().map_err(|refusal| Error::BadInput(refusal.to_string()))?;
        let page = store::sale::entries(self.db.read(), &filter, bounds, args).await?;
        let companies = self.named_companies(page.rows.iter().filter_map(|entry| entry.company)).await?;
        let products = self.named_products(page.rows.iter().map(|entry| entry.product)).await?;
        Ok(EntryPage { page, companies, products })
    }

    /// Which sales the caller may see of those asked for, and of which days.
    async fn sales_asked(&self, caller: &Caller, wish: &SalesWish) -> Result<(SalesFilter, Period)> {
        let mut filter = wish.filter.clone();
        filter.company = self.sales_company(caller, filter.company)?;
        let company = match filter.company {
            Some(company) => store::company::find(self.db.read(), company).await?,
            None => None,
        };
        let zone = company.and_then(|company| company.time_zone).unwrap_or(self.shop.time_zone);
        let period = Period::given(wish.first_day, wish.last_day, self.now(), zone);
        Ok((filter, period.map_err(|refusal| Error::BadInput(format!("`filter`: {refusal}")))?))
    }

    /// The company whose sales the caller asks for; a manager's own where only that can be meant.
    fn sales_company(&self, caller: &Caller, asked: Option<CompanyId>) -> Result<Option<CompanyId>> {
        let scope = Topic::Reports.read();
        if caller.may(scope) {
            return Ok(asked);
        }
        let own = match &caller.who {
            Who::Account { manages, .. } => manages.as_slice(),
            Who::ManagerKey { company, .. } => std::slice::from_ref(company),
            Who::Guest | Who::Key { .. } | Who::System => &[],
        };
        let denied = || caller.denied(&format!("Sales are told to operators and keys with {scope}, and to managers of their own company."));
        match (asked, own) {
            (Some(company), _) if caller.may_for(scope, company) => Ok(Some(company)),
            (None, [company]) if caller.may_for(scope, *company) => Ok(Some(*company)),
            (None, [_, _, ..]) => Err(Error::BadInput("You manage several companies; name one as `companyId`.".to_owned())),
            _ => Err(denied()),
        }
    }

    async fn named_companies(&self, ids: impl Iterator<Item = CompanyId>) -> Result<HashMap<CompanyId, Company>> {
        let ids: Vec<CompanyId> = ids.collect::<BTreeSet<_>>().into_iter().collect();
        Ok(store::company::companies(self.db.read(), &ids).await?.into_iter().map(|company| (company.id, company)).collect())
    }

    async fn named_products(&self, ids: impl Iterator<Item = ProductId>) -> Result<HashMap<ProductId, Product>> {
        let ids: Vec<ProductId> = ids.collect::<BTreeSet<_>>().into_iter().collect();
        self.products_by_id(&ids).await
    }

    async fn by_company(&self, found: Vec<(GroupKey, Sums)>) -> Result<Vec<SalesRow>> {
        let id = |key: &GroupKey| if let GroupKey::Company(id) = key { *id } else { None };
        let named = self.named_companies(found.iter().filter_map(|(key, _)| id(key))).await?;
        let row = |(key, sums): (GroupKey, Sums)| {
            let company = id(&key).and_then(|id| named.get(&id).cloned());
            let text = company.as_ref().map_or_else(String::new, |company| company.id.to_string());
            SalesRow { place: most(&sums, text), subject: Subject::Company(company), sums }
        };
        Ok(found.into_iter().map(row).collect())
    }

    async fn by_product(&self, found: Vec<(GroupKey, Sums)>) -> Result<Vec<SalesRow>> {
        let id = |key: &GroupKey| if let GroupKey::Product(id) = key { Some(*id) } else { None };
        let named = self.named_products(found.iter().filter_map(|(key, _)| id(key))).await?;
        let row = |(key, sums): (GroupKey, Sums)| {
            let product = id(&key).and_then(|id| named.get(&id).cloned()).ok_or_else(|| internal!("a product that was sold is gone"))?;
            Ok(SalesRow { place: most(&sums, product.id.to_string()), subject: Subject::Product(product), sums })
        };
        found.into_iter().map(row).collect()
    }
}

/// A product code without its spelling, and a currency.
type FoldedCode = (Option<String>, &'static str);
/// How a product code is shown, and what was sold under it.
type SpelledSums = (Option<String>, Sums);

/// Product codes are the same however they are written; shown is the first spelling of them in the order of letters.
fn by_code(found: Vec<(GroupKey, Sums)>) -> Result<Vec<SalesRow>> {
    let mut merged: BTreeMap<FoldedCode, SpelledSums> = BTreeMap::new();
    for (key, sums) in found {
        let code = if let GroupKey::ProductCode(code) = key { code } else { None };
        let currency = sums.total.currency;
        let held = merged.entry((code.as_deref().map(text::fold), currency.code())).or_insert_with(|| (code.clone(), Sums::zero(currency)));
        add(&mut held.1, &sums)?;
        if code < held.0 {
            held.0 = code;
        }
    }
    let row = |((folded, _), (code, sums)): (FoldedCode, SpelledSums)| SalesRow {
        place: most(&sums, folded.unwrap_or_default()),
        subject: Subject::ProductCode(code),
        sums,
    };
    Ok(merged.into_iter().map(row).collect())
}

/// Each part in each currency that was sold in; without any sale there is no currency, and no row.
fn by_part(found: Vec<(GroupKey, Sums)>, parts: &[Part]) -> Result<Vec<SalesRow>> {
    let mut sold: HashMap<(usize, &'static str), Sums> = HashMap::new();
    let mut currencies = BTreeMap::new();
    for (key, sums) in found {
        let GroupKey::Part(number) = key else { return Err(internal!("sales by days have no day")) };
        let currency = sums.total.currency;
        currencies.insert(currency.code(), currency);
        sold.insert((number, currency.code()), sums);
    }
    let mut rows = Vec::with_capacity(parts.len() * currencies.len());
    for (number, part) in parts.iter().enumerate() {
        for (code, currency) in &currencies {
            let sums = sold.remove(&(number, *code)).unwrap_or_else(|| Sums::zero(*currency));
            let place = Place(part.first_day.to_string(), 0, (*code).to_owned());
            rows.push(SalesRow { place, subject: Subject::Days(part.first_day), sums });
        }
    }
    Ok(rows)
}

fn add(to: &mut Sums, sums: &Sums) -> Result<()> {
    *to = to.plus(sums).ok_or_else(|| internal!("the sums of a report are too large"))?;
    Ok(())
}

/// By currency, what sold most first.
fn most(sums: &Sums, key: String) -> Place {
    Place(sums.total.currency.code().to_owned(), sums.total.minor.saturating_neg(), key)
}

impl SalesReport {
    /// The rows after a place, `first` of them.
    pub fn page(mut self, args: &PageArgs<Place>) -> (Self, Page<SalesRow>) {
        let total = i64::try_from(self.rows.len()).ok();
        let mut rows = std::mem::take(&mut self.rows);
        if let Some(after) = &args.after {
            rows.retain(|row| row.place > *after);
        }
        rows.truncate(args.first as usize + 1);
        (self, Page::cut(rows, args, total))
    }
}
