//! The report of credits: what was issued, spent, expired and taken away, and what the shop still owes, by product.
//!
//! Always true here: every figure is added up from the books of credits.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;
use domain::ProductId;
use domain::credit::report::{self, Figures, ReportParts};
use domain::report::{Part, Period};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::caller::{Caller, Topic};
use super::product::Product;
use crate::error::{Error, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;

/// What a report was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditReportWish {
    /// From the beginning of this day.
    pub first_day: Option<NaiveDate>,
    /// To the end of this day.
    pub last_day: Option<NaiveDate>,
    /// Of credits that were sold with this product.
    pub product: Option<ProductId>,
    /// A row for each day or for each month.
    pub by: ReportParts,
}

/// A row of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditReportRow {
    /// What it is about.
    pub part: Part,
    /// The product; `None` for credits that were sold with none.
    pub product: Option<Product>,
    /// What became of its credits.
    pub figures: Figures,
}

impl CreditReportRow {
    /// Its place in the report.
    pub fn place(&self) -> (NaiveDate, Option<Uuid>) {
        (self.part.first_day, self.product.as_ref().map(|product| product.id.uuid()))
    }
}

impl App {
    /// What became of credits, by day or month of the shop and by product; the last twelve months unless days are given.
    ///
    /// # Errors
    /// Needs the scope `reports:read`; [`Error::BadInput`] for days that are none or too many.
    pub async fn credit_report(&self, caller: &Caller, wish: &CreditReportWish) -> Result<Vec<CreditReportRow>> {
        caller.require(Topic::Reports.read())?;
        let now = self.now();
        let bad = |reason: domain::report::PeriodRefusal| Error::BadInput(reason.to_string());
        let period = Period::given(wish.first_day, wish.last_day, now, self.shop.time_zone).map_err(bad)?;
        let parts = match wish.by {
            ReportParts::Day => period.days(),
            ReportParts::Month => period.months(),
        }
        .map_err(bad)?;
        let bounds: Vec<_> = parts.iter().map(|part| part.starts_at).chain(parts.last().map(|part| part.ends_at)).collect();
        // Entries and what is not among them yet are read as of one instant.
        let snapshot = self.db.snapshot().await?;
        let moved = store::credit_report::moved(&snapshot, &bounds, wish.product, now).await?;
        let ids: Vec<ProductId> = moved.iter().filter_map(|moved| moved.product).collect::<BTreeSet<_>>().into_iter().collect();
        let products = store::product::products(&snapshot, &ids).await?;
        snapshot.rollback().await?;
        let products: HashMap<ProductId, Product> = products.into_iter().map(|product| (product.id, product)).collect();
        let rows = report::rows(parts.len(), &moved).ok_or_else(|| internal!("the books of credits do not add up"))?;
        rows.into_iter()
            .map(|(part, product, figures)| {
                let product = product.map(|id| products.get(&id).cloned().ok_or_else(|| internal!("{id} is gone"))).transpose()?;
                let part = *parts.get(part - 1).ok_or_else(|| internal!("a report has no part {part}"))?;
                Ok(CreditReportRow { part, product, figures })
            })
            .collect()
    }
}

/// A page of the report, after the row at this place.
pub fn page(rows: Vec<CreditReportRow>, args: &PageArgs<(NaiveDate, Option<Uuid>)>) -> Page<CreditReportRow> {
    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let rows = rows.into_iter().filter(|row| args.after.as_ref().is_none_or(|after| row.place() > *after));
    Page::cut(rows.collect(), args, Some(total))
}
