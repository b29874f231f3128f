//! Lists and reports as files: what can be had, the links that lead there, and the rows piece by piece.
//!
//! Always true here: a link says what is exported and for whom and is signed, so that nobody makes one up; whoever it was made for is looked up
//! again when the file is asked for, and each piece asks the same question as the list in the API, so that a link is no right. A file is read a
//! piece at a time: its length costs no memory.

use std::collections::{BTreeSet, HashMap};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use domain::coupon::Effect;
use domain::report::{SaleKind, SalesGroup};
use domain::sheet::{Cell, Format};
use domain::token::TokenStatus;
use domain::{AccountId, CompanyId, Money, OrderLineId, ProductId, RefundId, ServiceKeyId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::App;
use super::caller::{Caller, Who};
use super::catalog::{LibraryFilter, Sort};
use super::company::{self, CompanyFilter};
use super::coupon::{self, CodesOf, CouponFilter, ReportFilter};
use super::order_view::{OrderParts, OrderView};
use super::payment::OrderFilter;
use super::product::Product;
use super::report::{SalesRow, SalesWish, Subject, Sums};
use super::secrets::Purpose;
use super::token::Pool;
use crate::error::{Error, Result};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::page::Key;

/// Rows that are read at a time.
const PIECE: u32 = 500;

/// What can be had as a file, with the filter of its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Export {
    /// The codes of a batch or coupon, with what became of each.
    CouponCodes(CodesOf),
    /// What each coupon did in a period, a row for each currency.
    CouponReport(ReportFilter),
    /// Coupons.
    Coupons(CouponFilter),
    /// Companies.
    Companies(CompanyFilter),
    /// Libraries.
    Libraries {
        /// Which.
        filter: LibraryFilter,
        /// In which order.
        sort: Sort,
    },
    /// Orders.
    Orders(OrderFilter),
    /// Registration tokens.
    Tokens {
        /// Of these.
        #[serde(default)]
        of: Pool,
        /// In this state.
        status: Option<TokenStatus>,
    },
    /// What was sold in a period, by a group.
    Sales {
        /// Which sales.
        wish: SalesWish,
        /// By what.
        group: SalesGroup,
    },
    /// The entries that such a report adds up.
    SaleEntries(SalesWish),
}

impl Export {
    /// The name of the file, without `.csv`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CouponCodes(_) => "coupon-codes",
            Self::CouponReport(_) => "coupon-report",
            Self::Coupons(_) => "coupons",
            Self::Companies(_) => "companies",
            Self::Libraries { .. } => "libraries",
            Self::Orders(_) => "orders",
            Self::Tokens { .. } => "tokens",
            Self::Sales { .. } => "sales",
            Self::SaleEntries(_) => "sale-entries",
        }
    }

    /// The whole list of that name, where there is one.
    pub fn whole(name: &str) -> Option<Self> {
        Some(match name {
            "coupon-report" => Self::CouponReport(ReportFilter::default()),
            "coupons" => Self::Coupons(CouponFilter::default()),
            "companies" => Self::Companies(CompanyFilter::default()),
            "libraries" => Self::Libraries { filter: LibraryFilter::default(), sort: Sort::default() },
            "orders" => Self::Orders(OrderFilter::default()),
            "tokens" => Self::Tokens { of: Pool::default(), status: None },
            "sales" => Self::Sales { wish: SalesWish::default(), group: SalesGroup::ProductCode },
            "sale-entries" => Self::SaleEntries(SalesWish::default()),
            _ => return None,
        })
    }

    const fn heading(&self) -> &'static [&'static str] {
        match self {
            Self::CouponCodes(_) => &["code", "status", "use", "order", "void_at", "created_at"],
            Self::CouponReport(_) => &["coupon_id", "name", "uses", "reserved", "currency", "discount", "revenue"],
            Self::Coupons(_) => &[
                "id",
                "name",
                "kind",
                "percent",
                "amount",
                "currency",
                "scope",
                "status",
                "active",
                "codes",
                "prefixes",
                "starts_at",
                "ends_at",
                "total_uses",
                "used",
                "created_at",
                "touched_at",
            ],
            Self::Companies(_) => {
                &["id", "key", "name", "type", "enabled", "time_zone", "storefront", "created_at", "touched_at", "archived_at"]
            }
            Self::Libraries { .. } => {
                &["id", "title", "sku", "product_code", "courses", "state", "ordered", "created_at", "touched_at", "archived_at"]
            }
            Self::Orders(_) => &[
                "number",
                "id",
                "status",
                "placed_at",
                "paid_at",
                "fulfilled_at",
                "company",
                "buyer_email",
                "buyer_name",
                "units",
                "skus",
                "coupons",
                "currency",
                "subtotal",
                "discount",
                "net",
                "tax",
                "total",
                "refunded",
                "bypass",
            ],
            Self::Tokens { .. } => &[
                "id",
                "status",
                "code",
                "hint",
                "seat",
                "sku",
                "title",
                "order_id",
                "company",
                "assigned_email",
                "assigned_name",
                "redeemed_at",
                "ends_at",
                "created_at",
            ],
            Self::Sales { group, .. } => match group {
                SalesGroup::ProductCode => {
                    &["product_code", "currency", "quantity", "gross", "discount", "net", "tax", "total", "refunded_quantity", "refunded"]
                }
                SalesGroup::Company => &[
                    "company",
                    "name",
                    "currency",
                    "quantity",
                    "gross",
                    "discount",
                    "net",
                    "tax",
                    "total",
                    "refunded_quantity",
                    "refunded",
                ],
                SalesGroup::Product => {
                    &["sku", "title", "currency", "quantity", "gross", "discount", "net", "tax", "total", "refunded_quantity", "refunded"]
                }
                SalesGroup::Day => {
                    &["day", "currency", "quantity", "gross", "discount", "net", "tax", "total", "refunded_quantity", "refunded"]
                }
                SalesGroup::Month => {
                    &["month", "currency", "quantity", "gross", "discount", "net", "tax", "total", "refunded_quantity", "refunded"]
                }
            },
            Self::SaleEntries(_) => &[
                "kind",
                "at",
                "source",
                "order_id",
                "line_id",
                "refund_id",
                "company",
                "sku",
                "product_code",
                "currency",
                "quantity",
                "gross",
                "discount",
                "net",
                "tax",
                "total",
                "refunded_quantity",
                "refunded",
            ],
        }
    }

    /// The company that alone it is about, by whose clocks instants are shown.
    const fn company(&self) -> Option<CompanyId> {
        match self {
            Self::Orders(filter) => filter.company,
            Self::Tokens { of, .. } => of.company,
            Self::Sales { wish, .. } | Self::SaleEntries(wish) => wish.filter.company,
            Self::CouponCodes(_) | Self::CouponReport(_) | Self::Coupons(_) | Self::Companies(_) | Self::Libraries { .. } => None,
        }
    }
}

/// What a link says. Its text is signed, not hidden.
#[derive(Serialize, Deserialize)]
struct Link {
    what: Export,
    holder: Holder,
    locale: String,
    made_at: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// For whom a link was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Holder {
    Account(AccountId),
    Key(ServiceKeyId),
}

impl Holder {
    fn of(caller: &Caller) -> Option<Self> {
        match &caller.who {
            Who::Account { id, .. } => Some(Self::Account(*id)),
            Who::Key { id, .. } | Who::ManagerKey { id, .. } => Some(Self::Key(*id)),
            Who::Guest | Who::System => None,
        }
    }
}

/// Why a link leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefusal {
    /// Made up, changed, or of another shop.
    #[error("This link is not as the shop made it; ask for a fresh one (csvUrl).")]
    Altered,
    /// Its time is over.
    #[error("This link is over; ask for a fresh one (csvUrl).")]
    Over,
    /// Somebody else is signed in.
    #[error("This link was made for somebody else; ask for one of your own (csvUrl).")]
    Foreign,
    /// Whoever it was made for can no longer sign in with what they had.
    #[error("Whoever this link was made for may no longer sign in, or has changed how; sign in and ask for a fresh one (csvUrl).")]
    Dead,
}

/// A file that is being read.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What it holds.
    pub what: Export,
    /// For whom, with the rights of now.
    pub caller: Caller,
    format: Format,
}

/// A piece of a file, and where the next one begins.
#[derive(Debug)]
pub struct Piece {
    /// Its lines.
    pub text: String,
    /// The key of its last row, if more follow.
    pub after: Option<Value>,
}

impl App {
    /// A link to a file, good for a while, for whoever is signed in; `None` for others.
    ///
    /// # Errors
    /// A locale that is none.
    pub fn export_url(&self, caller: &Caller, what: Export, locale: Option<&str>) -> Result<Option<String>> {
        let name = what.name();
        let link = self.signed(caller, what, locale)?;
        Ok(link.map(|link| format!("{}/export/{name}.csv?link={link}", self.shop.public_url)))
    }

    /// A link to the page with charts of these sales, as [`App::export_url`].
    ///
    /// # Errors
    /// The link does not serialise.
    pub fn report_page_url(&self, caller: &Caller, wish: SalesWish) -> Result<Option<String>> {
        let link = self.signed(caller, Export::Sales { wish, group: SalesGroup::ProductCode }, None)?;
        Ok(link.map(|link| format!("{}/reports?link={link}", self.shop.public_url)))
    }

    fn signed(&self, caller: &Caller, what: Export, locale: Option<&str>) -> Result<Option<String>> {
        let Some(holder) = Holder::of(caller) else { return Ok(None) };
        let locale = self.sheet_locale(locale)?;
        let made_at = self.now();
        let until = made_at + TimeDelta::minutes(i64::from(self.shop.csv_link_minutes));
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Link { what, holder, locale, made_at, until })?);
        let signature = self.secrets.hash(Purpose::Export, &text);
        Ok(Some(format!("{text}.{signature}")))
    }

    /// The file that a link leads to, with the rights that whoever it was made for has now. `shown` is who else shows up with it.
    ///
    /// # Errors
    /// The database's.
    pub async fn export_by_link(&self, name: &str, link: &str, shown: &Caller) -> Result<Result<Opened, LinkRefusal>> {
        let Some(Link { what, holder, locale, made_at, until }) = self.read_link(link).filter(|link| link.what.name() == name) else {
            return Ok(Err(LinkRefusal::Altered));
        };
        if self.now() >= until {
            return Ok(Err(LinkRefusal::Over));
        }
        if Holder::of(shown).is_some_and(|other| other != holder) {
            return Ok(Err(LinkRefusal::Foreign));
        }
        let who = match holder {
            Holder::Account(id) => self.who_is_account(id, made_at).await?,
            Holder::Key(id) => self.who_is_key(id).await?,
        };
        let Some(who) = who else { return Ok(Err(LinkRefusal::Dead)) };
        let caller = Caller { who, bearer: None, cart_secret: None, address: shown.address, request: shown.request.clone() };
        self.export_open(caller, what, &locale).await.map(Ok)
    }

    /// The file for a caller who is signed in.
    ///
    /// # Errors
    /// A locale that is none; the database's.
    pub async fn export_by_hand(&self, caller: &Caller, what: Export, locale: Option<&str>) -> Result<Opened> {
        caller.require_sign_in()?;
        let locale = self.sheet_locale(locale)?;
        self.export_open(caller.clone(), what, &locale).await
    }

    async fn export_open(&self, caller: Caller, what: Export, locale: &str) -> Result<Opened> {
        let zone = match what.company().filter(|_| !locale.is_empty()) {
            Some(company) => store::company::find(self.db.read(), company).await?.and_then(|company| company.time_zone),
            None => None,
        };
        Ok(Opened { what, caller, format: Format::of(locale, zone.unwrap_or(self.shop.time_zone)) })
    }

    fn sheet_locale(&self, given: Option<&str>) -> Result<String> {
        match given {
            None => Ok(self.shop.csv_locale.clone()),
            Some("") => Ok(String::new()),
            Some(locale) => domain::text::locale(locale).map_err(|reason| Error::BadInput(format!("`locale`: {reason}"))),
        }
    }

    fn read_link(&self, link: &str) -> Option<Link> {
        let (text, signature) = link.split_once('.')?;
        let own = self.secrets.hash(Purpose::Export, text);
        if !bool::from(own.as_bytes().ct_eq(signature.as_bytes())) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    /// The piece of a file after a row; `None`: what it is about is not there.
    ///
    /// # Errors
    /// Not for this caller; the database's.
    pub async fn export_piece(&self, opened: &Opened, after: Option<Value>) -> Result<Option<Piece>> {
        let Opened { what, caller, format } = opened;
        let mut text = String::new();
        if after.is_none() {
            text.push_str(format.beginning());
            format.write(&what.heading().iter().map(|name| Cell::from(*name)).collect::<Vec<_>>(), &mut text);
        }
        let Some(rows) = self.export_rows(caller, what, after).await? else { return Ok(None) };
        for cells in &rows.cells {
            format.write(cells, &mut text);
        }
        Ok(Some(Piece { text, after: rows.after }))
    }

    async fn export_rows(&self, caller: &Caller, what: &Export, after: Option<Value>) -> Result<Option<Rows>> {
        let now = self.now();
        Ok(Some(match what {
            Export::CouponCodes(of) => {
                let Some((coupon, page)) = self.coupon_codes(caller, *of, &args(after)?, false).await? else { return Ok(None) };
                Rows::of(
                    page,
                    |row| row.code.id.uuid(),
                    |row| {
                        let status = coupon::code_status(&coupon, &row, now).name();
                        let used = row.use_state.map(|state| state.name());
                        vec![
                            row.code.code.into(),
                            status.into(),
                            used.into(),
                            row.order_number.into(),
                            row.code.void_at.into(),
                            row.created_at.into(),
                        ]
                    },
                )?
            }
            Export::CouponReport(filter) => {
                let page = self.coupon_report(caller, filter, &args(after)?, false).await?;
                Rows::many(page, |row| coupon::key(&row.coupon), report_cells)?
            }
            Export::Coupons(filter) => {
                let page = self.coupons(caller, filter, &args(after)?, false).await?;
                let ids: Vec<_> = page.rows.iter().map(|row| row.id).collect();
                let texts = self.coupon_texts_of(&ids).await?;
                Rows::of(page, coupon::key, |row| {
                    let own = texts.get(&row.id).map_or(&[][..], Vec::as_slice);
                    let of =
                        |kind| own.iter().filter(|text| text.kind == kind).map(|text| text.text.as_str()).collect::<Vec<_>>().join(" ");
                    let (codes, prefixes) = (of(coupon::ChosenKind::Code), of(coupon::ChosenKind::Prefix));
                    coupon_cells(&row, codes, prefixes, now)
                })?
            }
            Export::Companies(filter) => {
                let page = self.companies(caller, filter, &args(after)?, false).await?;
                Rows::of(
                    page,
                    |row| (company::key(row), row.id.uuid()),
                    |row| {
                        vec![
                            row.id.to_string().into(),
                            row.key.into(),
                            row.name.into(),
                            row.company_type.name().into(),
                            row.enabled.into(),
                            row.time_zone.map(|zone| zone.name()).into(),
                            row.storefront.name().into(),
                            row.created_at.into(),
                            row.touched_at.into(),
                            row.archived_at.into(),
                        ]
                    },
                )?
            }
            Export::Libraries { filter, sort } => {
                let page = self.libraries(caller, filter, *sort, &args(after)?, false).await?;
                let ids: Vec<_> = page.rows.iter().map(|row| row.id).collect();
                let targets: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
                let (products, courses) = (self.products_of(&targets).await?, store::catalog::course_ids_of(self.db.read(), &ids).await?);
                Rows::of(
                    page,
                    |row| (sort.key(&row.title, row.created_at, row.touched_at), row.id.uuid()),
                    |row| {
                        let product = products.get(&row.id.uuid());
                        vec![
                            row.id.to_string().into(),
                            row.title.into(),
                            product.map(|product| product.sku.as_str()).into(),
                            row.product_code.into(),
                            counted(courses.get(&row.id).map_or(0, Vec::len)),
                            product.map(|product| product.state.name()).into(),
                            row.ordered.into(),
                            row.created_at.into(),
                            row.touched_at.into(),
                            row.archived_at.into(),
                        ]
                    },
                )?
            }
            Export::Orders(filter) => {
                let page = self.orders(caller, filter.clone(), &args(after)?, false).await?;
                let (has_next, has_previous, total) = (page.has_next, page.has_previous, page.total);
                let companies = self.company_keys(page.rows.iter().filter_map(|order| order.company)).await?;
                let parts = OrderParts { buyer: true, coupons: true, ..OrderParts::default() };
                let rows = self.order_views(caller, page.rows, parts).await?;
                let page = Page { rows, has_next, has_previous, total };
                Rows::tried(page, |row| (row.order.placed_at, row.order.id.uuid()), |row| order_cells(&row, &companies))?
            }
            Export::Tokens { of, status } => {
                let page = self.tokens(caller, of.clone(), *status, &args(after)?, false).await?;
                let companies = self.company_keys(page.rows.iter().filter_map(|row| row.token.company)).await?;
                let products: BTreeSet<ProductId> = page.rows.iter().map(|row| row.token.product).collect();
                let products = self.products_by_id(&products.into_iter().collect::<Vec<_>>()).await?;
                Rows::of(
                    page,
                    |row| (Key::At(row.token.created_at), row.token.id.uuid()),
                    |row| {
                        let product: Option<&Product> = products.get(&row.token.product);
                        let person = row.assigned_to.as_ref();
                        vec![
                            row.token.id.to_string().into(),
                            row.status.name().into(),
                            row.code.into(),
                            row.token.code_hint.into(),
                            Cell::Whole(i64::from(row.token.seat)),
                            product.map(|product| product.sku.as_str()).into(),
                            product.map(|product| product.title.as_str()).into(),
                            row.token.order.map(|order| order.to_string()).into(),
                            row.token.company.and_then(|company| companies.get(&company).cloned()).into(),
                            person.and_then(|person| person.email.as_ref()).map(|email| email.as_str()).into(),
                            person.and_then(|person| person.name.as_deref()).into(),
                            row.token.redeemed_at.into(),
                            row.token.ends_at.into(),
                            row.token.created_at.into(),
                        ]
                    },
                )?
            }
            // As long as there are codes, companies, products or days: one piece.
            Export::Sales { wish, group } => {
                let report = self.sales_report(caller, wish, *group).await?;
                Rows { cells: report.rows.into_iter().map(sales_cells).collect(), after: None }
            }
            Export::SaleEntries(wish) => {
                let found = self.sale_entries(caller, wish, &args(after)?).await?;
                let (companies, products) = (found.companies, found.products);
                Rows::of(
                    found.page,
                    |entry| (entry.at, entry.id),
                    |entry| {
                        let refund = (entry.kind != SaleKind::Sale).then(|| RefundId::new(entry.cause).to_string());
                        let first: [Cell; 9] = [
                            entry.kind.name().into(),
                            entry.at.into(),
                            entry.source.name().into(),
                            entry.order.to_string().into(),
                            OrderLineId::new(entry.line).to_string().into(),
                            refund.into(),
                            entry.company.and_then(|company| companies.get(&company)).map(|company| company.key.as_str()).into(),
                            products.get(&entry.product).map(|product| product.sku.as_str()).into(),
                            entry.product_code.into(),
                        ];
                        first.into_iter().chain(sums_cells(&entry.sums)).collect()
                    },
                )?
            }
        }))
    }

    /// The keys of these companies, which stand in the rows that the caller may see.
    async fn company_keys(&self, ids: impl Iterator<Item = CompanyId>) -> Result<HashMap<CompanyId, String>> {
        let ids: Vec<CompanyId> = ids.collect::<BTreeSet<_>>().into_iter().collect();
        Ok(store::company::companies(self.db.read(), &ids).await?.into_iter().map(|company| (company.id, company.key)).collect())
    }
}

/// The rows of a piece, as cells.
struct Rows {
    cells: Vec<Vec<Cell>>,
    after: Option<Value>,
}

impl Rows {
    /// A line for each row of a page.
    fn of<R, K: Serialize>(page: Page<R>, key: impl Fn(&R) -> K, cells: impl Fn(R) -> Vec<Cell>) -> Result<Self> {
        Self::tried(page, key, |row| Ok(cells(row)))
    }

    /// The same, where a row can make no sense.
    fn tried<R, K: Serialize>(page: Page<R>, key: impl Fn(&R) -> K, cells: impl Fn(R) -> Result<Vec<Cell>>) -> Result<Self> {
        let after = Self::last(&page, key)?;
        Ok(Self { cells: page.rows.into_iter().map(cells).collect::<Result<_>>()?, after })
    }

    /// Some lines for each row of a page.
    fn many<R, K: Serialize>(page: Page<R>, key: impl Fn(&R) -> K, cells: impl Fn(R) -> Vec<Vec<Cell>>) -> Result<Self> {
        let after = Self::last(&page, key)?;
        Ok(Self { cells: page.rows.into_iter().flat_map(cells).collect(), after })
    }

    fn last<R, K: Serialize>(page: &Page<R>, key: impl Fn(&R) -> K) -> Result<Option<Value>> {
        Ok(page.rows.last().filter(|_| page.has_next).map(|row| serde_json::to_value(key(row))).transpose()?)
    }
}

fn args<K: DeserializeOwned>(after: Option<Value>) -> Result<PageArgs<K>> {
    Ok(PageArgs { first: PIECE, after: after.map(serde_json::from_value).transpose()? })
}

fn counted(number: usize) -> Cell {
    Cell::Whole(i64::try_from(number).unwrap_or(i64::MAX))
}

fn sales_cells(row: SalesRow) -> Vec<Cell> {
    let first: Vec<Cell> = match row.subject {
        Subject::ProductCode(code) => vec![code.into()],
        Subject::Company(company) => {
            let (key, name) = company.map(|company| (company.key, company.name)).unzip();
            vec![key.into(), name.into()]
        }
        Subject::Product(product) => vec![product.sku.into(), product.title.into()],
        Subject::Days(first) => vec![first.into()],
    };
    first.into_iter().chain(sums_cells(&row.sums)).collect()
}

fn sums_cells(sums: &Sums) -> [Cell; 9] {
    [
        sums.total.currency.code().into(),
        sums.quantity.into(),
        sums.gross.into(),
        sums.discount.into(),
        sums.net.into(),
        sums.tax.into(),
        sums.total.into(),
        sums.refunded_quantity.into(),
        sums.refunded.into(),
    ]
}

fn report_cells(row: coupon::ReportRow) -> Vec<Vec<Cell>> {
    let first: [Cell; 4] = [row.coupon.id.to_string().into(), row.coupon.name.into(), Cell::Whole(row.uses), Cell::Whole(row.reserved)];
    let line = |amounts: [Cell; 3]| first.iter().cloned().chain(amounts).collect();
    if row.amounts.is_empty() {
        return vec![line([Cell::Empty, Cell::Empty, Cell::Empty])];
    }
    let amounts = row.amounts.into_iter();
    amounts.map(|amount| line([amount.discount.currency.code().into(), amount.discount.into(), amount.revenue.into()])).collect()
}

fn coupon_cells(row: &coupon::Coupon, codes: String, prefixes: String, now: DateTime<Utc>) -> Vec<Cell> {
    let rules = &row.rules;
    let (percent, amount): (Option<String>, Option<Money>) = match rules.effect {
        Effect::Percent(percent) => (Some(percent.to_string()), None),
        Effect::Amount(amount) => (None, Some(amount)),
        Effect::Pack(pack) => (None, Some(pack.price)),
    };
    vec![
        row.id.to_string().into(),
        row.name.as_str().into(),
        rules.effect.kind().name().into(),
        percent.into(),
        amount.into(),
        amount.map(|amount| amount.currency.code()).into(),
        rules.scope.name().into(),
        coupon::status(row, now).name().into(),
        row.active.into(),
        codes.into(),
        prefixes.into(),
        rules.window.starts_at.into(),
        rules.window.ends_at.into(),
        rules.total_uses.into(),
        rules.total_uses.map(|_| i64::try_from(row.used).unwrap_or(i64::MAX)).into(),
        row.created_at.into(),
        row.touched_at.into(),
    ]
}

fn order_cells(view: &OrderView, companies: &HashMap<CompanyId, String>) -> Result<Vec<Cell>> {
    let (order, buyer) = (&view.order, view.buyer.as_ref());
    let mut refunded = Money::zero(order.currency);
    for line in &order.lines {
        refunded = refunded.add(line.refunded).map_err(|error| crate::internal!("{}: {error}", order.number))?;
    }
    let totals = &order.totals;
    let texts = |texts: Vec<&str>| Cell::from(texts.join(" "));
    Ok(vec![
        order.number.as_str().into(),
        order.id.to_string().into(),
        order.status.name().into(),
        order.placed_at.into(),
        order.paid_at.into(),
        order.fulfilled_at.into(),
        order.company.and_then(|company| companies.get(&company).cloned()).into(),
        buyer.and_then(|buyer| buyer.email.as_ref()).map(|email| email.as_str()).into(),
        buyer.and_then(|buyer| buyer.name.as_deref()).into(),
        Cell::Whole(order.lines.iter().map(|line| i64::from(line.quantity)).sum()),
        texts(order.lines.iter().map(|line| line.sku.as_str()).collect()),
        texts(view.coupons.iter().map(|used| used.code.as_str()).collect()),
        order.currency.code().into(),
        totals.subtotal.into(),
        totals.discount.into(),
        totals.net.into(),
        totals.tax.into(),
        totals.total.into(),
        refunded.into(),
        order.bypass.into(),
    ])
}
