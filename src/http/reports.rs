//! `/reports`: what was sold, as charts and tables, for operators and managers of companies.
//!
//! Always true here: the page shows what `salesReport` tells whoever asks, by the same queries; it needs no script, and its charts are drawn in
//! whole numbers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use chrono::{Datelike, Months, NaiveDate, TimeDelta};
use domain::report::{Period, SalesGroup};
use domain::{CompanyId, Currency, Money};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::{Deserialize, Serialize};

use super::auth::shown;
use super::mails::is_at_home;
use crate::app::App;
use crate::app::caller::{Caller, Who};
use crate::app::export::{Export, LinkRefusal};
use crate::app::product::folded;
use crate::app::report::{SalesFilter, SalesReport, SalesRow, SalesWish, Subject, Sums};
use crate::error::{Error, Result};

const TEMPLATE: &str = "reports.html";
/// Bars of a chart by product code or company; the others are in the file.
const BARS: usize = 12;
/// Up to so many days are shown day by day, longer ones by months.
const BY_DAYS: i64 = 62;
/// Width and height of a chart over time, without what is written around it.
const WIDTH: i128 = 640;
const HEIGHT: i128 = 160;

#[derive(Clone)]
struct Site {
    app: Arc<App>,
    /// Whether whoever sits at this machine is let in without a sign-in, as with `/mails`.
    at_home: bool,
}

/// The route.
pub fn routes<S: Clone + Send + Sync + 'static>(app: &Arc<App>, at_home: bool) -> Router<S> {
    Router::new().route("/reports", get(page)).with_state(Site { app: app.clone(), at_home })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    link: Option<String>,
    first_day: Option<NaiveDate>,
    last_day: Option<NaiveDate>,
    company_id: Option<String>,
    product_code: Option<String>,
}

/// `GET /reports`, by a link (`salesReport { pageUrl }`), with the header `Authorization`, or from the machine of an embedded shop.
async fn page(
    State(site): State<Site>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Response {
    let Ok(Query(wanted)) = wanted else {
        return told(StatusCode::BAD_REQUEST, "Days are written as 2026-01-31.");
    };
    let home = site.at_home && is_at_home(&request);
    let (parts, _) = request.into_parts();
    let made = async {
        let caller = site.app.caller(&shown(&parts)?).await?;
        let (caller, wish) = match &wanted.link {
            Some(link) => match site.app.export_by_link("sales", link, &caller).await? {
                Ok(opened) => match opened.what {
                    Export::Sales { wish, .. } => (opened.caller, wish),
                    _ => return Ok(Err(LinkRefusal::Altered)),
                },
                Err(refusal) => return Ok(Err(refusal)),
            },
            None => {
                let caller = if home && matches!(caller.who, Who::Guest) { Caller::system() } else { caller };
                (caller, plain_wish(&wanted)?)
            }
        };
        drawn(&site.app, &caller, &wish).await.map(Ok)
    };
    match made.await {
        Ok(Ok(page)) => (StatusCode::OK, headers(), Html(page)).into_response(),
        Ok(Err(LinkRefusal::Over)) => told(StatusCode::GONE, &LinkRefusal::Over.to_string().replace("csvUrl", "salesReport { pageUrl }")),
        Ok(Err(refusal)) => told(StatusCode::FORBIDDEN, &refusal.to_string().replace("csvUrl", "salesReport { pageUrl }")),
        Err(Error::Unauthenticated(_)) => told(
            StatusCode::UNAUTHORIZED,
            "This page is for operators and managers. Ask for its link with the query { salesReport { pageUrl } } and open that.",
        ),
        Err(Error::Internal(cause)) => {
            tracing::error!(error = format!("{cause:#}"), "the page of reports cannot be made");
            told(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side; nothing is lost. Please try again.")
        }
        Err(error @ Error::Forbidden(_)) => told(StatusCode::FORBIDDEN, &error.to_string()),
        Err(error) => told(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn plain_wish(wanted: &Wanted) -> Result<SalesWish> {
    let company = wanted.company_id.as_deref().filter(|id| !id.is_empty());
    let company =
        company.map(|id| CompanyId::parse(id).ok_or_else(|| Error::BadInput("There is no such company.".to_owned()))).transpose()?;
    let filter = SalesFilter { company, product: None, product_code: folded(wanted.product_code.as_deref()) };
    Ok(SalesWish { filter, first_day: wanted.first_day, last_day: wanted.last_day })
}

/// A link of the page.
#[derive(Serialize)]
struct Anchor {
    text: String,
    href: String,
}

/// What is sold in one currency.
#[derive(Serialize)]
struct Block {
    currency: &'static str,
    quantity: i64,
    gross: String,
    discount: String,
    net: String,
    tax: String,
    total: String,
    refunded: String,
    over_time: Vec<Bar>,
    codes: Vec<Bar>,
    companies: Vec<Bar>,
}

/// A row of a chart.
#[derive(Serialize)]
struct Bar {
    label: String,
    href: Option<String>,
    quantity: i64,
    total: String,
    refunded: String,
    /// Where it stands and how long it is, in the chart's own units.
    x: i128,
    y: i128,
    width: i128,
    height: i128,
}

async fn drawn(app: &App, caller: &Caller, wish: &SalesWish) -> Result<String> {
    let codes = app.sales_report(caller, wish, SalesGroup::ProductCode).await?;
    let period = codes.period;
    let by_days = (period.last_day - period.first_day).num_days() < BY_DAYS;
    let time = app.sales_report(caller, wish, if by_days { SalesGroup::Day } else { SalesGroup::Month }).await?;
    let companies = app.sales_report(caller, wish, SalesGroup::Company).await?;

    let href = |wish: SalesWish| -> Result<String> { Ok(app.report_page_url(caller, wish.clone())?.unwrap_or_else(|| plain_href(&wish))) };
    let mut blocks = Vec::new();
    for totals in &codes.totals {
        blocks.push(block(totals, [&time, &codes, &companies], wish, by_days, &href)?);
    }
    let days = |first: NaiveDate, last: NaiveDate| SalesWish { first_day: Some(first), last_day: Some(last), ..wish.clone() };
    let mut periods = Vec::new();
    for (text, first, last) in periods_of(app, &period) {
        periods.push(Anchor { text, href: href(days(first, last))? });
    }
    let mut filters = Vec::new();
    if let Some(company) = wish.filter.company {
        let name = companies.rows.iter().find_map(|row| match &row.subject {
            Subject::Company(Some(found)) if found.id == company => Some(found.name.clone()),
            _ => None,
        });
        let filter = SalesFilter { company: None, ..wish.filter.clone() };
        filters.push(Anchor { text: name.unwrap_or_else(|| company.to_string()), href: href(SalesWish { filter, ..wish.clone() })? });
    }
    if let Some(code) = &wish.filter.product_code {
        let filter = SalesFilter { product_code: None, ..wish.filter.clone() };
        filters.push(Anchor { text: code.clone(), href: href(SalesWish { filter, ..wish.clone() })? });
    }
    let mut files = Vec::new();
    for (text, group) in [
        ("by product code", SalesGroup::ProductCode),
        ("by product", SalesGroup::Product),
        ("by company", SalesGroup::Company),
        ("by day", SalesGroup::Day),
        ("by month", SalesGroup::Month),
    ] {
        let what = Export::Sales { wish: days(period.first_day, period.last_day), group };
        files.extend(app.export_url(caller, what, Some(&app.shop.locale))?.map(|href| Anchor { text: text.to_owned(), href }));
    }
    let entries = Export::SaleEntries(days(period.first_day, period.last_day));
    files.extend(app.export_url(caller, entries, Some(&app.shop.locale))?.map(|href| Anchor { text: "each entry".to_owned(), href }));
    let (first_day, last_day) = (period.first_day.to_string(), period.last_day.to_string());
    render(context! {
        shop => app.shop.name.as_str(), first_day, last_day, zone => period.zone.name(), by_days,
        blocks => Value::from(Serde(&blocks)), periods => Value::from(Serde(&periods)), filters => Value::from(Serde(&filters)),
        files => Value::from(Serde(&files)),
        chart_width => i64::try_from(WIDTH).unwrap_or_default(), chart_height => i64::try_from(HEIGHT).unwrap_or_default(),
    })
}

/// Periods that people ask for, as seen from today.
fn periods_of(app: &App, period: &Period) -> Vec<(String, NaiveDate, NaiveDate)> {
    let today = app.now().with_timezone(&period.zone).date_naive();
    let month = today.with_day(1).unwrap_or(today);
    let earlier = |months: u32| month.checked_sub_months(Months::new(months)).unwrap_or(month);
    let year = NaiveDate::from_ymd_opt(today.year(), 1, 1).unwrap_or(month);
    let last_year = NaiveDate::from_ymd_opt(today.year() - 1, 1, 1).unwrap_or(year);
    let day = TimeDelta::days(1);
    vec![
        ("this month".to_owned(), month, today),
        ("last month".to_owned(), earlier(1), month - day),
        ("three months".to_owned(), earlier(2), today),
        ("twelve months".to_owned(), earlier(11), today),
        (today.year().to_string(), year, today),
        (last_year.year().to_string(), last_year, year - day),
    ]
}

/// The page's own address, for those whom it knows without a link.
fn plain_href(wish: &SalesWish) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("firstDay", wish.first_day.map(|day| day.to_string())),
        ("lastDay", wish.last_day.map(|day| day.to_string())),
        ("companyId", wish.filter.company.map(|company| company.to_string())),
        ("productCode", wish.filter.product_code.clone()),
    ] {
        if let Some(value) = value {
            pairs.append_pair(name, &value);
        }
    }
    format!("/reports?{}", pairs.finish())
}

fn block(
    totals: &Sums,
    [time, codes, companies]: [&SalesReport; 3],
    wish: &SalesWish,
    by_days: bool,
    href: &impl Fn(SalesWish) -> Result<String>,
) -> Result<Block> {
    let currency = totals.total.currency;
    let narrowed = |filter: SalesFilter| href(SalesWish { filter, ..wish.clone() });
    let label = |row: &SalesRow| -> Result<(String, Option<String>)> {
        Ok(match &row.subject {
            Subject::Days(first) => (first.format(if by_days { "%Y-%m-%d" } else { "%Y-%m" }).to_string(), None),
            Subject::ProductCode(None) => ("no product code".to_owned(), None),
            Subject::ProductCode(Some(code)) => {
                let filter = SalesFilter { product_code: folded(Some(code)), ..wish.filter.clone() };
                (code.clone(), Some(narrowed(filter)?))
            }
            Subject::Company(None) => ("no company".to_owned(), None),
            Subject::Company(Some(company)) => {
                let filter = SalesFilter { company: Some(company.id), ..wish.filter.clone() };
                (company.name.clone(), Some(narrowed(filter)?))
            }
            Subject::Product(product) => (product.title.clone(), None),
        })
    };
    Ok(Block {
        currency: currency.code(),
        quantity: totals.quantity,
        gross: totals.gross.decimal_text(),
        discount: totals.discount.decimal_text(),
        net: totals.net.decimal_text(),
        tax: totals.tax.decimal_text(),
        total: totals.total.decimal_text(),
        refunded: totals.refunded.decimal_text(),
        over_time: bars(time, currency, usize::MAX, &label)?,
        codes: bars(codes, currency, BARS, &label)?,
        companies: bars(companies, currency, BARS, &label)?,
    })
}

/// The rows of a currency as bars: over time side by side, else one below the other.
fn bars(
    report: &SalesReport,
    currency: Currency,
    most: usize,
    label: &impl Fn(&SalesRow) -> Result<(String, Option<String>)>,
) -> Result<Vec<Bar>> {
    let rows: Vec<&SalesRow> = report.rows.iter().filter(|row| row.sums.total.currency == currency).take(most).collect();
    let minor = |amount: Money| i128::from(amount.minor.max(0));
    let longest = rows.iter().map(|row| minor(row.sums.total)).max().unwrap_or(0).max(1);
    let step = (WIDTH / i128::try_from(rows.len().max(1)).unwrap_or(1)).max(1);
    let mut made = Vec::with_capacity(rows.len());
    for (place, row) in (0i128..).zip(rows) {
        let ((label, href), sold) = (label(row)?, minor(row.sums.total));
        let (width, height) = match row.subject {
            Subject::Days(_) => ((step * 8 / 10).max(1), sold * HEIGHT / longest),
            _ => (sold * 100 / longest, 100),
        };
        made.push(Bar {
            label,
            href,
            quantity: row.sums.quantity,
            total: row.sums.total.decimal_text(),
            refunded: row.sums.refunded.decimal_text(),
            x: place * step,
            y: HEIGHT - height.min(HEIGHT),
            width,
            height,
        });
    }
    Ok(made)
}

fn render(what: Value) -> Result<String> {
    let made = || {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.add_template(TEMPLATE, include_str!("reports.html"))?;
        templates.get_template(TEMPLATE)?.render(what)
    };
    made().map_err(|error: minijinja::Error| crate::internal!("the page of reports cannot be made: {error:#}"))
}

/// A page that says one thing.
fn told(status: StatusCode, message: &str) -> Response {
    match render(context! { message, shop => "Reports" }) {
        Ok(page) => (status, headers(), Html(page)).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the page of reports cannot be made");
            status.into_response()
        }
    }
}

fn headers() -> [(header::HeaderName, HeaderValue); 3] {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
    ]
}
