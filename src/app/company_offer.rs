//! What companies change about offers: set and unset up to 1,000 at once, all or nothing, with every version kept.
//!
//! Always true here: a row that says what held already makes no version, and a row that says nothing leaves the recommended offer.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use domain::catalog::ProductKind;
use domain::company::{CompanyRefusal, MAX_ROWS, Override, OverrideRow, Visibility, check_overrides};
use domain::credit_sale::Gives;
use domain::window::Window;
use domain::{CompanyId, Money, ProductId};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::{App, Object, entropy};
use crate::error::{Code, Error, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::company::Company;
use crate::store::page::Key;

pub use crate::store::company_offer::Version;

/// An override as it was asked for.
#[derive(Debug, Clone)]
pub struct OverrideWish {
    /// The product.
    pub product: ProductId,
    /// Own title.
    pub title: Option<String>,
    /// Own description.
    pub description: Option<String>,
    /// Own unit prices.
    pub prices: Vec<Money>,
    /// Own access days.
    pub access_days: Option<i64>,
    /// Whether the company's buyers see the offer.
    pub visibility: Option<Visibility>,
    /// Start of its window.
    pub starts_at: Option<DateTime<Utc>>,
    /// End of its window.
    pub ends_at: Option<DateTime<Utc>>,
    /// First day of its window, in the company's zone.
    pub first_day: Option<NaiveDate>,
    /// Last day of its window, in the company's zone.
    pub last_day: Option<NaiveDate>,
    /// The number of credits that the product gives, repeated with the prices.
    pub credits: Option<i64>,
}

/// Overrides to be set.
#[derive(Debug, Clone)]
pub struct CompanyOffersSet {
    /// The company; none for an id that is none.
    pub company: Option<CompanyId>,
    /// The rows, or what was wrong with reading one.
    pub rows: Vec<Result<OverrideWish, Vec<Refusal>>>,
    /// Whether to tell only what would change.
    pub dry_run: bool,
}

/// Overrides to be unset.
#[derive(Debug, Clone)]
pub struct CompanyOffersUnset {
    /// The company; none for an id that is none.
    pub company: Option<CompanyId>,
    /// The products; none for an id that is none.
    pub products: Vec<Option<ProductId>>,
    /// Whether to tell only what would change.
    pub dry_run: bool,
}

/// What a row changed, or would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The product.
    pub product: ProductId,
    /// The override before; none = as recommended.
    pub old: Option<Override>,
    /// The override afterwards; none = as recommended.
    pub new: Option<Override>,
}

impl RowChange {
    /// Whether there is a difference.
    pub fn changes(&self) -> bool {
        self.old != self.new
    }
}

/// What a batch changed, or would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchChange {
    /// The company.
    pub company: Company,
    /// The rows in the order they were sent.
    pub rows: Vec<RowChange>,
    /// Whether nothing was written.
    pub dry_run: bool,
}

/// A change in the history of an override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The version that came or went.
    pub version: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// The override before; none = as recommended.
    pub old: Option<Override>,
    /// The override afterwards; none = as recommended.
    pub new: Option<Override>,
}

/// The place of an entry in its history: when, of which version, and whether it went.
pub type HistoryKey = (DateTime<Utc>, Uuid, bool);

impl HistoryEntry {
    /// Its place in the history.
    pub fn key(&self) -> HistoryKey {
        (self.at, self.version, self.new.is_none())
    }
}

impl App {
    /// Sets overrides of a company: each row is the whole override of its product, and what it leaves out is inherited.
    ///
    /// # Errors
    /// Not for this caller; no such company; every fault of every row, by its place. Nothing was changed then.
    pub async fn company_offers_set(&self, caller: &Caller, cmd: CompanyOffersSet) -> Result<BatchChange> {
        let id = self.require_for(caller, Topic::Prices.write(), cmd.company, "companyId")?;
        if cmd.rows.len() > MAX_ROWS {
            return Err(Refusal::from(CompanyRefusal::TooManyRows { given: cmd.rows.len() }).into());
        }
        if cmd.dry_run {
            let db = self.db.read();
            let company = store::company::find(db, id).await?;
            let company =
                company.filter(|company| company.archived_at.is_none()).ok_or_else(|| Error::not_found("companyId", "company"))?;
            let rows = self.wished(db, &company, cmd.rows).await?;
            let rows = compared(db, id, rows).await?;
            return Ok(BatchChange { company, rows, dry_run: true });
        }
        let txn = self.db.begin().await?;
        let company = self.live_company(&txn, id, "companyId").await?;
        let rows = self.wished(&txn, &company, cmd.rows).await?;
        let rows = compared(&txn, id, rows).await?;
        self.write(&txn, caller, "companyOffersSet", id, &rows).await?;
        txn.commit().await?;
        Ok(BatchChange { company, rows, dry_run: false })
    }

    /// Unsets overrides of a company, so that the recommended offers hold again.
    ///
    /// # Errors
    /// Not for this caller; no such company; every product that is none or stands twice, by its place.
    pub async fn company_offers_unset(&self, caller: &Caller, cmd: CompanyOffersUnset) -> Result<BatchChange> {
        let id = self.require_for(caller, Topic::Prices.write(), cmd.company, "companyId")?;
        let at_place = |code, place: usize, message: String| Refusal::at(code, ["productIds".to_owned(), place.to_string()], message);
        if cmd.products.is_empty() {
            return Err(Refusal::at(Code::Required, ["productIds"], "No products are given; name at least one.").into());
        }
        if cmd.products.len() > MAX_ROWS {
            let message = format!("{} products are too many; send at most {MAX_ROWS} at once.", cmd.products.len());
            return Err(Refusal::at(Code::TooLong, ["productIds"], message).into());
        }
        let txn = self.db.begin().await?;
        let company = self.live_company(&txn, id, "companyId").await?;
        let given: Vec<ProductId> = cmd.products.iter().flatten().copied().collect();
        let known: HashMap<ProductId, ProductKind> =
            store::product::products(&txn, &given).await?.into_iter().map(|product| (product.id, product.kind)).collect();
        let (mut refusals, mut places) = (Vec::new(), HashMap::new());
        let mut rows = Vec::with_capacity(given.len());
        for (place, product) in cmd.products.iter().enumerate() {
            let Some(product) = product.filter(|product| known.contains_key(product)) else {
                refusals.push(at_place(Code::NotFound, place, "There is no such product; check the id.".to_owned()));
                continue;
            };
            match places.insert(product, place) {
                Some(first) => {
                    let message = format!("The product stands at place {first} already; name each product once.");
                    refusals.push(at_place(Code::Repeated, place, message));
                }
                None => rows.push((product, Override::default())),
            }
        }
        if !refusals.is_empty() {
            return Err(refusals.into());
        }
        let rows = compared(&txn, id, rows).await?;
        if !cmd.dry_run {
            self.write(&txn, caller, "companyOffersUnset", id, &rows).await?;
        }
        txn.commit().await?;
        Ok(BatchChange { company, rows, dry_run: cmd.dry_run })
    }

    /// The overrides that are asked for, checked: windows as instants, products that exist.
    async fn wished(
        &self,
        db: &impl ConnectionTrait,
        company: &Company,
        wishes: Vec<Result<OverrideWish, Vec<Refusal>>>,
    ) -> Result<Vec<(ProductId, Override)>> {
        let products: Vec<ProductId> = wishes.iter().flatten().map(|wish| wish.product).collect();
        let known: HashMap<ProductId, (ProductKind, Option<Gives>)> = store::product::products(db, &products)
            .await?
            .into_iter()
            .filter(|product| product.archived_at.is_none())
            .map(|product| (product.id, (product.kind, product.gives)))
            .collect();
        let zone = company.time_zone.unwrap_or(self.shop.time_zone);
        let rows = wishes
            .into_iter()
            .map(|wish| {
                let wish = wish?;
                let [starts_at, ends_at] = [wish.starts_at, wish.ends_at].map(|instant| instant.map(|instant| instant.trunc_subsecs(6)));
                let window =
                    Window::given(starts_at, ends_at, wish.first_day, wish.last_day, zone).map_err(|reason| vec![reason.into()])?;
                let mut prices = wish.prices;
                prices.sort_by_key(|price| price.currency);
                Ok(OverrideRow {
                    product: wish.product,
                    title: wish.title,
                    description: wish.description,
                    prices,
                    access_days: wish.access_days,
                    visibility: wish.visibility,
                    window,
                    credits: wish.credits,
                })
            })
            .collect();
        Ok(check_overrides(rows, |product| known.get(&product).copied())?)
    }

    /// Writes what a batch changes: ends the versions before, adds the new ones, and one audit entry for all.
    async fn write(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        operation: &str,
        company: CompanyId,
        rows: &[RowChange],
    ) -> Result<()> {
        let changed: Vec<&RowChange> = rows.iter().filter(|row| row.changes()).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let (actor, now) = (caller.actor(), self.now());
        let ended: Vec<ProductId> = changed.iter().filter(|row| row.old.is_some()).map(|row| row.product).collect();
        store::company_offer::end(txn, company, &ended, &actor, now).await?;
        let added: Vec<(Uuid, ProductId, &Override)> =
            changed.iter().filter_map(|row| row.new.as_ref().map(|new| (entropy::next_uuid(), row.product, new))).collect();
        store::company_offer::insert(txn, company, &added, &actor, now).await?;
        let told = |side: fn(&RowChange) -> &Option<Override>| -> Value {
            changed.iter().map(|row| json!({"product": row.product.to_string(), "override": side(row)})).collect()
        };
        let object = Object::new("company", company.uuid()).of_company(company.uuid());
        self.audit(txn, caller, operation, object, Some(told(|row| &row.old)), Some(told(|row| &row.new))).await
    }

    /// A page of a company's current overrides, the latest first. `None`: there is no such company for this caller.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn company_offers(
        &self,
        caller: &Caller,
        company: Option<CompanyId>,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Option<Page<Version>>> {
        let Some(company) = self.seen_company(caller, Topic::Prices.read(), company).await? else { return Ok(None) };
        Ok(Some(store::company_offer::current_page(self.db.read(), company.id, args, with_total).await?))
    }

    /// A page of the changes of a company's override of a product, the latest first. `None`: there is no such company for this caller.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn company_offer_history(
        &self,
        caller: &Caller,
        company: Option<CompanyId>,
        product: Option<ProductId>,
        args: &PageArgs<HistoryKey>,
    ) -> Result<Option<Page<HistoryEntry>>> {
        let Some(company) = self.seen_company(caller, Topic::Prices.read(), company).await? else { return Ok(None) };
        let versions = match product {
            Some(product) => store::company_offer::versions(self.db.read(), company.id, product).await?,
            None => Vec::new(),
        };
        let mut entries = history(versions);
        let total = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        if let Some(after) = args.after {
            entries.retain(|entry| entry.key() < after);
        }
        entries.truncate(args.first as usize + 1);
        Ok(Some(Page::cut(entries, args, Some(total))))
    }
}

/// The place of an override in the list of a company's overrides.
pub fn key(version: &Version) -> Key {
    Key::At(version.recorded_at)
}

/// Each row beside what holds now. A row that says nothing is the same as none.
async fn compared(db: &impl ConnectionTrait, company: CompanyId, rows: Vec<(ProductId, Override)>) -> Result<Vec<RowChange>> {
    let products: Vec<ProductId> = rows.iter().map(|(product, _)| *product).collect();
    let mut current = store::company_offer::current(db, company, &products).await?;
    Ok(rows
        .into_iter()
        .map(|(product, over)| RowChange { product, old: current.remove(&product), new: Some(over).filter(|over| !over.is_empty()) })
        .collect())
}

/// The changes that versions tell of, the latest first: one for each version that came, and one where the last went without another in its place.
fn history(versions: Vec<Version>) -> Vec<HistoryEntry> {
    let mut entries: Vec<HistoryEntry> = Vec::with_capacity(versions.len() + 1);
    let mut before: Option<Version> = None;
    for version in versions {
        let old = before.take().and_then(|before| match (before.replaced_at, &before.replaced_by) {
            (Some(at), Some(actor)) if at != version.recorded_at => {
                entries.push(HistoryEntry { version: before.id, at, actor: actor.clone(), old: Some(before.over), new: None });
                None
            }
            _ => Some(before.over),
        });
        let new = Some(version.over.clone());
        entries.push(HistoryEntry { version: version.id, at: version.recorded_at, actor: version.actor.clone(), old, new });
        before = Some(version);
    }
    if let Some(Version { id, over, replaced_at: Some(at), replaced_by: Some(actor), .. }) = before {
        entries.push(HistoryEntry { version: id, at, actor, old: Some(over), new: None });
    }
    entries.reverse();
    entries
}
