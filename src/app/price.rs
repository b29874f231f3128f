//! Prices, exchange rates and discount schedules: what operators set, with who and when of every change.
//!
//! Always true here: `productPricesSet` gives the whole set of a product's prices; rows that stay as they were keep their history.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use domain::catalog::{AppliesTo, CatalogRefusal, PriceRow, Schedule, ScheduleMode, Tier, check_prices};
use domain::credit_sale::priced;
use domain::pricing::{ExchangeRate, RateTable};
use domain::window::{Window, check_instant};
use domain::{Currency, DiscountScheduleId, GroupId, Money, ProductId, Rate, text};
use sea_orm::DatabaseTransaction;
use serde_json::json;
use uuid::Uuid;

use crate::app::caller::{Caller, Topic};
use crate::app::product::Product;
use crate::app::{App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::installation::Installation;
use crate::store::page::Key;
use crate::store::past::Said;

pub use crate::store::price::{NamedSchedule, Price, RateFilter, SetRate};

/// Most rates of one call.
pub const MAX_RATES: usize = 1_000;

/// A price row as it was asked for.
#[derive(Debug, Clone)]
pub struct PriceWish {
    /// The unit price.
    pub amount: Money,
    /// For members of this group only.
    pub group: Option<GroupId>,
    /// Start of its window.
    pub starts_at: Option<DateTime<Utc>>,
    /// End of its window.
    pub ends_at: Option<DateTime<Utc>>,
    /// First day of its window, in the shop's zone.
    pub first_day: Option<NaiveDate>,
    /// Last day of its window, in the shop's zone.
    pub last_day: Option<NaiveDate>,
}

/// A rate as it was asked for.
#[derive(Debug, Clone)]
pub struct RateWish {
    /// The currency converted from.
    pub base: Currency,
    /// The currency converted to.
    pub quote: Currency,
    /// The rate; `None` takes back the one with this start.
    pub rate: Option<Rate>,
    /// From when it is used; `None` = now.
    pub valid_from: Option<DateTime<Utc>>,
}

/// A discount schedule to be made or changed.
#[derive(Debug, Clone)]
pub struct ScheduleSet {
    /// The one to change; `None` makes a new one.
    pub id: Option<DiscountScheduleId>,
    /// Its name.
    pub name: String,
    /// How its tiers work.
    pub mode: ScheduleMode,
    /// Which sales it is for.
    pub applies_to: AppliesTo,
    /// Its tiers.
    pub tiers: Vec<Tier>,
}

impl App {
    /// Gives a product the whole set of its prices. Rows that it has already stay untouched, with the instant from which they held; the others
    /// are replaced. `credits` is the number that one unit gives: it goes with the price, and a product that gives credits demands it (R33).
    ///
    /// # Errors
    /// Not for this caller; no such product; rows out of range, overlapping, or for a group that is not there; a number of credits that is
    /// missing or out of range.
    pub async fn product_prices_set(
        &self,
        caller: &Caller,
        id: ProductId,
        wishes: Vec<PriceWish>,
        credits: Option<i64>,
    ) -> Result<Product> {
        caller.require(Topic::Prices.write())?;
        let now = self.now();
        let (txn, installation) = self.begin_catalog().await?;
        let mut product = self.live_product(&txn, id).await?;
        let held = product.clone();
        product.gives = priced(held.kind, held.id, held.gives, credits)?;
        let rows = self.price_rows(&txn, &wishes).await?;
        let (old, new) = self.set_prices(&txn, caller, &installation, id, rows).await?;
        if old != new || product.gives != held.gives {
            product.touched_at = now;
            store::product::update(&txn, &product).await?;
            store::past::keep(&txn, id.uuid(), &Said::product(&held), &Said::product(&product), now).await?;
            let object = Object::new("product", id.uuid());
            let told = |prices: Vec<PriceRow>, product: &Product| match product.gives {
                Some(gives) => json!({ "prices": prices, "credits": gives.count }),
                None => json!(prices),
            };
            let (old, new) = (told(old, &held), told(new, &product));
            self.audit(&txn, caller, "productPricesSet", object, Some(old), Some(new)).await?;
        }
        txn.commit().await?;
        Ok(product)
    }

    /// The rows that are asked for: windows as instants, groups that exist, no two at the same time. Refusals name `prices` and the place.
    pub(super) async fn price_rows(&self, txn: &DatabaseTransaction, wishes: &[PriceWish]) -> Result<Vec<PriceRow>> {
        let mut faults = Faults::default();
        let groups: Vec<GroupId> = wishes.iter().filter_map(|wish| wish.group).collect();
        let known = store::group::groups(txn, &groups).await?;
        let mut rows = Vec::with_capacity(wishes.len());
        for (index, wish) in wishes.iter().enumerate() {
            let place = index.to_string();
            let [starts_at, ends_at] = [wish.starts_at, wish.ends_at].map(|instant| instant.map(|instant| instant.trunc_subsecs(6)));
            let window = Window::given(starts_at, ends_at, wish.first_day, wish.last_day, self.shop.time_zone);
            let window = faults.of(window.map_err(|reason| Refusal::from(reason).under(["prices", place.as_str()])));
            if let Some(wanted) = wish.group
                && !known.iter().any(|group| group.id == wanted && group.archived_at.is_none())
            {
                let message = "There is no such group, or it is archived; check the id.";
                faults.add(Refusal::at(Code::NotFound, ["prices", place.as_str(), "groupId"], message));
            }
            if let Some(window) = window {
                rows.push(PriceRow { amount: wish.amount, group: wish.group, window });
            }
        }
        faults.check()?;
        check_prices(&rows).map_err(|refusals| refusals.into_iter().map(Refusal::from).collect::<Vec<_>>())?;
        Ok(rows)
    }

    /// Makes `rows` the prices of a product. Gives the rows before and after. The first price of all fixes the base currency.
    pub(super) async fn set_prices(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        installation: &Installation,
        product: ProductId,
        rows: Vec<PriceRow>,
    ) -> Result<(Vec<PriceRow>, Vec<PriceRow>)> {
        let (now, actor) = (self.now(), caller.actor());
        if !rows.is_empty() {
            self.fix_base_currency(txn, installation).await?;
        }
        let held = store::price::prices_of(txn, &[product], None).await?.remove(&product).unwrap_or_default();
        let gone: Vec<Uuid> = held.iter().filter(|price| !rows.contains(&price.row)).map(|price| price.id).collect();
        store::price::replace_prices(txn, &gone, &actor, now).await?;
        let old: Vec<PriceRow> = held.iter().map(|price| price.row).collect();
        let fresh: Vec<Price> = rows.into_iter().filter(|row| !old.contains(row)).map(|row| new_price(product, row, &actor, now)).collect();
        store::price::insert_prices(txn, &fresh).await?;
        let stay = held.iter().filter(|price| !gone.contains(&price.id)).map(|price| price.row);
        let new = stay.chain(fresh.iter().map(|price| price.row)).collect();
        Ok((old, new))
    }

    /// Fixes the base currency with the first price of the shop.
    pub(super) async fn fix_base_currency(&self, txn: &DatabaseTransaction, installation: &Installation) -> Result<()> {
        match installation.base_currency {
            None => Ok(store::installation::fix_base_currency(txn, self.shop.base_currency).await?),
            Some(current) if current != self.shop.base_currency => {
                // Another server of this installation runs with other settings.
                Err(Refusal::from(CatalogRefusal::BaseCurrencyFixed { current }).into())
            }
            Some(_) => Ok(()),
        }
    }

    /// The price rows that each of these products has now, in the order of being set.
    ///
    /// # Errors
    /// The database's.
    pub async fn prices_of(&self, products: &[ProductId]) -> Result<HashMap<ProductId, Vec<Price>>> {
        Ok(store::price::prices_of(self.db.read(), products, None).await?)
    }

    /// The discount schedules with these ids, as they are now.
    ///
    /// # Errors
    /// The database's.
    pub async fn schedules_by_id(&self, ids: &[DiscountScheduleId]) -> Result<HashMap<DiscountScheduleId, NamedSchedule>> {
        Ok(store::price::schedules(self.db.read(), ids).await?.into_iter().map(|schedule| (schedule.id, schedule)).collect())
    }

    /// Every price row that a product has or had, the latest first.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn price_history(
        &self,
        caller: &Caller,
        product: ProductId,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Price>> {
        caller.require(Topic::Catalog.read())?;
        Ok(store::price::price_page(self.db.read(), product, args, with_total).await?)
    }

    // ---- exchange rates -----------------------------------------------------------------------------------------------------------

    /// Sets rates in the operator's table: each holds from its start until the next start of the same pair. A rate with the same start as
    /// another replaces it; other rates stay.
    ///
    /// # Errors
    /// Not for this caller; a currency to itself, or the same pair and start twice.
    pub async fn exchange_rates_set(&self, caller: &Caller, wishes: Vec<RateWish>) -> Result<Vec<SetRate>> {
        caller.require(Topic::Prices.write())?;
        let now = self.now();
        if wishes.len() > MAX_RATES {
            return Err(Refusal::from(CatalogRefusal::TooMany { what: "The list of rates", limit: MAX_RATES, field: "rates" }).into());
        }
        let starts: Vec<DateTime<Utc>> =
            wishes.iter().map(|wish| wish.valid_from.map_or(now, |instant| instant.trunc_subsecs(6))).collect();
        for (index, start) in starts.iter().enumerate() {
            check_instant(*start).map_err(|reason| Refusal::from(reason).under(["rates", &index.to_string(), "validFrom"]))?;
        }
        let one = Rate::parse("1").map_err(Refusal::from)?;
        let checked = wishes.iter().zip(&starts).map(|(wish, valid_from)| ExchangeRate {
            base: wish.base,
            quote: wish.quote,
            rate: wish.rate.unwrap_or(one),
            valid_from: *valid_from,
        });
        RateTable::new(checked.collect()).map_err(Refusal::from)?;
        let (txn, _) = self.begin_catalog().await?;
        let mut current = Vec::with_capacity(wishes.len());
        for (wish, valid_from) in wishes.into_iter().zip(starts) {
            let held = store::price::rate_from(&txn, wish.base, wish.quote, valid_from).await?;
            let rate = wish.rate.map(|rate| ExchangeRate { base: wish.base, quote: wish.quote, rate, valid_from });
            if let Some(held) = &held
                && rate == Some(held.rate)
            {
                current.push(held.clone());
                continue;
            }
            if let Some(held) = &held {
                store::price::replace_rate(&txn, held.id, now).await?;
            }
            let fresh =
                rate.map(|rate| SetRate { id: entropy::next_uuid(), rate, recorded_at: now, replaced_at: None, actor: caller.actor() });
            if let Some(fresh) = &fresh {
                store::price::insert_rate(&txn, fresh).await?;
            }
            if let Some(object) = fresh.as_ref().or(held.as_ref()) {
                let object = Object::new("exchangeRate", object.id);
                let [old, new] = [&held, &fresh].map(|set| set.as_ref().map(|set| json!(set.rate)));
                self.audit(&txn, caller, "exchangeRatesSet", object, old, new).await?;
            }
            current.extend(fresh);
        }
        txn.commit().await?;
        Ok(current)
    }

    /// A page of exchange rates, the latest start first.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn exchange_rates(
        &self,
        caller: &Caller,
        filter: &RateFilter,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<SetRate>> {
        caller.require(Topic::Prices.read())?;
        Ok(store::price::rate_page(self.db.read(), filter, args, with_total).await?)
    }

    // ---- discount schedules -------------------------------------------------------------------------------------------------------

    /// Makes a discount schedule, or changes one; what it said before is kept.
    ///
    /// # Errors
    /// Not for this caller; no such schedule; a name that another one has; tiers that do not ascend from 1.
    pub async fn discount_schedule_set(&self, caller: &Caller, cmd: ScheduleSet) -> Result<NamedSchedule> {
        caller.require(Topic::Prices.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let name = faults.at("name", text::name(&cmd.name));
        let schedule = faults.of(Schedule::new(cmd.mode, cmd.applies_to, cmd.tiers));
        let (Some(name), Some(schedule)) = (name, schedule) else { return Err(faults.into()) };
        let (txn, _) = self.begin_catalog().await?;
        let held = match cmd.id {
            None => None,
            Some(id) => {
                let held = store::price::schedules(&txn, &[id]).await?.pop();
                Some(held.ok_or_else(|| Error::not_found("id", "discount schedule"))?)
            }
        };
        if let Some(other) = store::price::schedule_named(&txn, &name).await?
            && Some(other) != cmd.id
        {
            let message = "Another discount schedule has this name; give another name, or its id to change that one.";
            return Err(Error::refused(Code::NameTaken, ["name"], message));
        }
        let id = cmd.id.unwrap_or_else(entropy::next_id);
        match &held {
            None => store::price::insert_schedule(&txn, id, &name, now).await?,
            Some(held) if held.name != name => store::price::rename_schedule(&txn, id, &name).await?,
            Some(_) => {}
        }
        if held.as_ref().is_none_or(|held| held.schedule != schedule) {
            store::price::set_schedule(&txn, entropy::next_uuid(), id, &schedule, &caller.actor(), now).await?;
        }
        let fresh = store::price::schedules(&txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("id", "discount schedule"))?;
        if held.as_ref() != Some(&fresh) {
            let object = Object::new("discountSchedule", id.uuid());
            self.audit(&txn, caller, "discountScheduleSet", object, held.map(|held| json!(held)), Some(json!(fresh))).await?;
        }
        txn.commit().await?;
        Ok(fresh)
    }

    /// A page of discount schedules by name.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn discount_schedules(
        &self,
        caller: &Caller,
        words: &[String],
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<NamedSchedule>> {
        caller.require(Topic::Prices.read())?;
        Ok(store::price::schedule_page(self.db.read(), words, args, with_total).await?)
    }
}

/// A row that holds from now on.
pub(super) fn new_price(product: ProductId, row: PriceRow, actor: &str, now: DateTime<Utc>) -> Price {
    Price { id: entropy::next_uuid(), product, row, recorded_at: now, replaced_at: None, actor: actor.to_owned(), replaced_by: None }
}
