//! Reports of sales.

use async_graphql::connection::{Connection, DefaultConnectionName, DefaultEdgeName, Edge, EmptyFields};
use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::NaiveDate;

use super::error::{answer, scope};
use super::scalar::{Long, Money, input_id, named_enum};
use crate::app::export::Export;
use crate::app::product::folded;
use crate::app::report::{self as app, SalesFilter, SalesWish, Subject};
use crate::error::Result;
use crate::page::ListName;

named_enum! {
    /// What the rows of a report of sales are: one for each product code, company or product (what has none, together), or for each day or month
    /// of the period, those without sales too.
    SalesGroup(domain::report::SalesGroup)
}

/// Which sales to report.
#[derive(Debug, Default, InputObject)]
pub struct SalesReportFilter {
    /// From the beginning of this day; the first day of the month eleven months before the last day unless given.
    first_day: Option<NaiveDate>,
    /// To the end of this day; today unless given.
    last_day: Option<NaiveDate>,
    /// Sold in the context of this company, and by the days of its zone. Managers of one company need not name it.
    company_id: Option<ID>,
    /// Of this product.
    product_id: Option<ID>,
    /// With this product code, whatever its case.
    product_code: Option<String>,
}

/// What was sold, and what went back, in one currency. Sold counts on the day that the order was paid, what went back on the day that it did.
#[derive(Debug, Clone, SimpleObject)]
pub struct SalesSums {
    /// Units sold.
    quantity: Long,
    /// What they cost before discounts.
    gross: Money,
    /// What discounts took off.
    discount: Money,
    /// What is left without tax.
    net: Money,
    /// Tax.
    tax: Money,
    /// What was paid for them.
    total: Money,
    /// Units that went back.
    refunded_quantity: Long,
    /// What went back, tax included.
    refunded: Money,
}

impl From<app::Sums> for SalesSums {
    fn from(sums: app::Sums) -> Self {
        Self {
            quantity: Long(sums.quantity),
            gross: sums.gross.into(),
            discount: sums.discount.into(),
            net: sums.net.into(),
            tax: sums.tax.into(),
            total: sums.total.into(),
            refunded_quantity: Long(sums.refunded_quantity),
            refunded: sums.refunded.into(),
        }
    }
}

/// The company of a row.
#[derive(Debug, Clone, SimpleObject)]
pub struct SalesReportCompany {
    /// Its id.
    id: ID,
    /// Its key.
    key: String,
    /// Its name.
    name: String,
}

/// The product of a row.
#[derive(Debug, Clone, SimpleObject)]
pub struct SalesReportProduct {
    /// Its id.
    id: ID,
    /// Its SKU now.
    sku: String,
    /// Its title now.
    title: String,
}

/// A row of a report of sales: what it is about, and the sums of one currency.
#[derive(SimpleObject)]
pub struct SalesReportRow {
    /// The product code, of a report by those; null for what has none.
    product_code: Option<String>,
    /// The company, of a report by those; null for what was sold to nobody's.
    company: Option<SalesReportCompany>,
    /// The product, of a report by those.
    product: Option<SalesReportProduct>,
    /// The day, or the first day of the month, of a report by those.
    first_day: Option<NaiveDate>,
    /// The sums.
    #[graphql(flatten)]
    sums: SalesSums,
}

impl From<app::SalesRow> for SalesReportRow {
    fn from(row: app::SalesRow) -> Self {
        let mut shown = Self { product_code: None, company: None, product: None, first_day: None, sums: row.sums.into() };
        match row.subject {
            Subject::ProductCode(code) => shown.product_code = code,
            Subject::Company(company) => {
                shown.company = company.map(|found| SalesReportCompany { id: found.id.into(), key: found.key, name: found.name });
            }
            Subject::Product(found) => {
                shown.product = Some(SalesReportProduct { id: found.id.into(), sku: found.sku, title: found.title });
            }
            Subject::Days(first) => shown.first_day = Some(first),
        }
        shown
    }
}

/// What a report of sales has besides its rows.
#[derive(Debug, Clone)]
pub struct SalesReportSummary {
    report: app::SalesReport,
    wish: SalesWish,
    group: domain::report::SalesGroup,
    total: Option<i64>,
}

#[Object]
impl SalesReportSummary {
    /// How many rows there are.
    async fn total_count(&self) -> Option<Long> {
        self.total.map(Long)
    }

    /// The first day that it is about.
    async fn first_day(&self) -> NaiveDate {
        self.report.period.first_day
    }

    /// The last day that it is about.
    async fn last_day(&self) -> NaiveDate {
        self.report.period.last_day
    }

    /// The zone of the days, such as "Europe/Vienna".
    async fn time_zone(&self) -> &'static str {
        self.report.period.zone.name()
    }

    /// The sums of all rows, one for each currency.
    async fn totals(&self) -> Vec<SalesSums> {
        self.report.totals.iter().cloned().map(SalesSums::from).collect()
    }

    /// A link to all rows as CSV, as `csvUrl` of lists: good for some minutes, for whoever is signed in.
    async fn csv_url(&self, ctx: &Context<'_>, locale: Option<String>) -> async_graphql::Result<Option<String>> {
        let (app, caller) = scope(ctx)?;
        let what = Export::Sales { wish: self.days(), group: self.group };
        answer(app.export_url(caller, what, locale.as_deref()))
    }

    /// A link to a page with charts of these sales, for people: good for some minutes, for whoever is signed in.
    async fn page_url(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
        let (app, caller) = scope(ctx)?;
        answer(app.report_page_url(caller, self.days()))
    }

    /// A link to what the report adds up, as CSV: a line for each line of an order that was paid and of a refund that went back.
    async fn entries_csv_url(&self, ctx: &Context<'_>, locale: Option<String>) -> async_graphql::Result<Option<String>> {
        let (app, caller) = scope(ctx)?;
        answer(app.export_url(caller, Export::SaleEntries(self.days()), locale.as_deref()))
    }
}

impl SalesReportSummary {
    /// What was asked for, with the days that were meant: a link that is followed past midnight leads to the same report.
    fn days(&self) -> SalesWish {
        let period = self.report.period;
        SalesWish { first_day: Some(period.first_day), last_day: Some(period.last_day), ..self.wish.clone() }
    }
}

/// A report of sales, its rows in pages.
pub type SalesReport = Connection<String, SalesReportRow, SalesReportSummary, EmptyFields, DefaultConnectionName, DefaultEdgeName>;

/// Queries about sales.
#[derive(Debug, Default)]
pub struct ReportQuery;

#[Object]
impl ReportQuery {
    /// What was sold in a period, from the lines of paid orders and of refunds: by currency, what sold most first; by days and months in their order.
    /// Needs `reports:read`, or is a manager's own company.
    async fn sales_report(
        &self,
        ctx: &Context<'_>,
        filter: Option<SalesReportFilter>,
        #[graphql(default_with = "SalesGroup(domain::report::SalesGroup::ProductCode)")] group_by: SalesGroup,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<SalesReport> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require_sign_in()?;
                let wish = wish(filter.unwrap_or_default())?;
                let list = ListName::new("salesReport", &(&wish, group_by.0))?;
                let args = list.args(first, after.as_deref())?;
                let (report, page) = app.sales_report(caller, &wish, group_by.0).await?.page(&args);
                let summary = SalesReportSummary { report, wish, group: group_by.0, total: page.total };
                let mut connection = Connection::with_additional_fields(page.has_previous, page.has_next, summary);
                for row in page.rows {
                    connection.edges.push(Edge::new(list.cursor(&row.place)?, SalesReportRow::from(row)));
                }
                Ok(connection)
            }
            .await,
        )
    }
}

fn wish(filter: SalesReportFilter) -> Result<SalesWish> {
    let company = filter.company_id.map(|id| input_id(&id, "companyId", "company")).transpose()?;
    let product = filter.product_id.map(|id| input_id(&id, "productId", "product")).transpose()?;
    let filter_by = SalesFilter { company, product, product_code: folded(filter.product_code.as_deref()) };
    Ok(SalesWish { filter: filter_by, first_day: filter.first_day, last_day: filter.last_day })
}
