//! Taxes: the operator's table of rates, and which rates a cart is priced with.
//!
//! Always true here: a sale is taxed by the country of the buyer's address, else of the company, else of the shop; where no country is known, or
//! the company is exempt, there is no tax and nothing is looked up.

use std::collections::HashSet;

use chrono::{DateTime, SubsecRound, Utc};
use domain::Percent;
use domain::catalog::CatalogRefusal;
use domain::person::{Address, country_code};
use domain::tax::{Sale, TaxClass, TaxRate, TaxRates, TaxTable};
use domain::window::check_instant;
use sea_orm::ConnectionTrait;
use serde_json::json;
use uuid::Uuid;

use super::price::MAX_RATES;
use super::{App, Object, entropy};
use crate::app::caller::{Caller, Topic};
use crate::error::{Code, Faults, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::company::Company;
use crate::store::page::Key;

pub use crate::store::tax::{SetTaxRate, TaxRateFilter};

/// A rate as it was asked for.
#[derive(Debug, Clone)]
pub struct TaxRateWish {
    /// Code of the country.
    pub country: String,
    /// Class of products; the standard one unless given.
    pub class: Option<String>,
    /// The rate; `None` takes back the one with this start.
    pub rate: Option<Percent>,
    /// From when it holds; `None` = now.
    pub valid_from: Option<DateTime<Utc>>,
}

/// The taxes of one sale.
#[derive(Debug)]
pub(super) struct Taxes {
    country: Option<String>,
    exempt: bool,
    at: DateTime<Utc>,
    rates: Box<dyn TaxRates>,
}

impl Taxes {
    /// No taxes, for what is not for sale.
    pub(super) fn none(at: DateTime<Utc>) -> Self {
        Self { country: None, exempt: false, at, rates: Box::new(TaxTable::default()) }
    }

    /// The rate for products of this class.
    pub(super) fn rate(&self, class: &TaxClass) -> Percent {
        self.rates.rate(&Sale { country: self.country.as_deref(), class, exempt: self.exempt, at: self.at })
    }
}

impl App {
    /// Sets rates in the operator's table: each holds from its start until the next start for the same country and class. A rate with the same
    /// start as another replaces it; others stay. Orders that were placed keep the rates they were placed with.
    ///
    /// # Errors
    /// Not for this caller; what is no country, class or instant; the same country, class and start twice.
    pub async fn tax_rates_set(&self, caller: &Caller, wishes: Vec<TaxRateWish>) -> Result<Vec<SetTaxRate>> {
        caller.require(Topic::Prices.write())?;
        let now = self.now();
        if wishes.len() > MAX_RATES {
            return Err(Refusal::from(CatalogRefusal::TooMany { what: "The list of rates", limit: MAX_RATES, field: "rates" }).into());
        }
        let (txn, _) = self.begin_catalog().await?;
        let mut current = Vec::with_capacity(wishes.len());
        for (country, class, rate, valid_from) in checked(wishes, now)? {
            let held = store::tax::with_start(&txn, &country, &class, valid_from).await?;
            let rate = rate.map(|rate| TaxRate { country, class, rate, valid_from });
            if let Some(held) = &held
                && rate.as_ref() == Some(&held.rate)
            {
                current.push(held.clone());
                continue;
            }
            if let Some(held) = &held {
                store::tax::replace(&txn, held.id, now).await?;
            }
            let fresh =
                rate.map(|rate| SetTaxRate { id: entropy::next_uuid(), rate, recorded_at: now, replaced_at: None, actor: caller.actor() });
            if let Some(fresh) = &fresh {
                store::tax::insert(&txn, fresh).await?;
            }
            if let Some(object) = fresh.as_ref().or(held.as_ref()) {
                let object = Object::new("taxRate", object.id);
                let [old, new] = [&held, &fresh].map(|set| set.as_ref().map(|set| json!(set.rate)));
                self.audit(&txn, caller, "taxRatesSet", object, old, new).await?;
            }
            current.extend(fresh);
        }
        txn.commit().await?;
        Ok(current)
    }

    /// A page of tax rates, the latest start first.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn tax_rates(
        &self,
        caller: &Caller,
        filter: &TaxRateFilter,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<SetTaxRate>> {
        caller.require(Topic::Prices.read())?;
        Ok(store::tax::page(self.db.read(), filter, args, with_total).await?)
    }

    /// The taxes of a sale to somebody with this address, through this company: one statement, none where no tax can be due.
    pub(super) async fn taxes(
        &self,
        db: &impl ConnectionTrait,
        address: Option<&Address>,
        company: Option<&Company>,
        at: DateTime<Utc>,
    ) -> Result<Taxes> {
        let shop = Some(&self.shop.country).filter(|country| !country.is_empty());
        let countries = [address.and_then(|address| address.country.as_ref()), company.and_then(|company| company.country.as_ref()), shop];
        let country = countries.into_iter().flatten().next().cloned();
        let exempt = company.is_some_and(|company| company.tax_exempt);
        let table = match country.as_ref().filter(|_| !exempt) {
            Some(country) => store::tax::table(db, country, at).await?,
            None => TaxTable::default(),
        };
        Ok(Taxes { country, exempt, at, rates: Box::new(table) })
    }
}

type Checked = (String, TaxClass, Option<Percent>, DateTime<Utc>);

fn checked(wishes: Vec<TaxRateWish>, now: DateTime<Utc>) -> Result<Vec<Checked>> {
    let mut faults = Faults::default();
    let mut rows = Vec::with_capacity(wishes.len());
    let mut seen = HashSet::with_capacity(wishes.len());
    for (index, wish) in wishes.into_iter().enumerate() {
        let row = index.to_string();
        let valid_from = wish.valid_from.map_or(now, |instant| instant.trunc_subsecs(6));
        let country = country_code(&wish.country).map_err(|reason| Refusal::from(reason).under(["rates", &row]));
        let class = wish.class.as_deref().map_or_else(|| Ok(TaxClass::default()), TaxClass::parse);
        let class = class.map_err(|reason| Refusal::from(reason).under(["rates", &row, "class"]));
        let start = check_instant(valid_from).map_err(|reason| Refusal::from(reason).under(["rates", &row, "validFrom"]));
        let (country, class, start) = (faults.of(country), faults.of(class), faults.of(start));
        let (Some(country), Some(class), Some(_)) = (country, class, start) else { continue };
        if !seen.insert((country.clone(), class.clone(), valid_from)) {
            let message = "The list has another rate for this country, class and start; give it once.";
            faults.add(Refusal::at(Code::Repeated, ["rates", &row], message));
            continue;
        }
        rows.push((country, class, wish.rate, valid_from));
    }
    faults.check()?;
    Ok(rows)
}
