//! Tax rates, as operators see and set them.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::Percent;
use domain::person::country_code;
use domain::tax::TaxClass;

use super::connection::{List, connection, wants_total};
use super::error::{UserError, answer, outcome, scope};
use super::scalar::Decimal;
use crate::app::caller::Topic;
use crate::app::catalog::Key;
use crate::app::tax as app;
use crate::error::{Refusal, Result};
use crate::page::ListName;

/// A tax rate of the operator's table. It holds from its start until the next start for the same country and class.
#[derive(Debug, Clone, SimpleObject)]
pub struct TaxRate {
    /// ISO 3166 code of the country.
    country: String,
    /// Class of products.
    class: String,
    /// Percent of the net amount.
    rate: Decimal,
    /// From when it holds.
    valid_from: DateTime<Utc>,
    /// When it was set.
    recorded_at: DateTime<Utc>,
    /// When another rate with the same start replaced it, or it was taken back; null = it counts.
    replaced_at: Option<DateTime<Utc>>,
    /// Who set it.
    actor: String,
}

impl From<app::SetTaxRate> for TaxRate {
    fn from(set: app::SetTaxRate) -> Self {
        Self {
            country: set.rate.country,
            class: set.rate.class.to_string(),
            rate: set.rate.rate.into(),
            valid_from: set.rate.valid_from,
            recorded_at: set.recorded_at,
            replaced_at: set.replaced_at,
            actor: set.actor,
        }
    }
}

/// A tax rate to be set.
#[derive(Debug, InputObject)]
pub struct TaxRateInput {
    /// ISO 3166 code of the country, two letters.
    country: String,
    /// Class of products: 1 to 20 letters, digits, underscores, hyphens; STANDARD when left out, whose rate holds for every class that has none.
    class: Option<String>,
    /// Percent of the net amount, 0 to 100 with at most 4 decimals. Null takes back the rate with this start.
    rate: Option<Decimal>,
    /// From when it holds; now when left out.
    valid_from: Option<DateTime<Utc>>,
}

/// Tax rates to be set. Rates of other countries and classes, or with another start, stay.
#[derive(Debug, InputObject)]
pub struct TaxRatesSetInput {
    /// The rates, at most 1,000.
    rates: Vec<TaxRateInput>,
}

/// What became of it.
#[derive(Debug, SimpleObject)]
pub struct TaxRatesSetPayload {
    /// The rates that count now, in the order of the input, without those taken back.
    tax_rates: Option<Vec<TaxRate>>,
    /// Why the call was refused; empty when it was done.
    user_errors: Vec<UserError>,
}

/// Which tax rates to list.
#[derive(Debug, Default, InputObject)]
pub struct TaxRateFilter {
    /// Of this country.
    country: Option<String>,
    /// Of this class.
    class: Option<String>,
    /// Those that were replaced or taken back too.
    #[graphql(default)]
    replaced: bool,
}

fn parse_rates(inputs: Vec<TaxRateInput>) -> Result<Vec<app::TaxRateWish>> {
    let (mut wishes, mut refusals) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (index, input) in inputs.into_iter().enumerate() {
        match input.rate.map(|rate| Percent::parse(&rate.0)).transpose() {
            Ok(rate) => wishes.push(app::TaxRateWish { country: input.country, class: input.class, rate, valid_from: input.valid_from }),
            Err(reason) => refusals.push(Refusal::from(reason).under(["rates", &index.to_string(), "rate"])),
        }
    }
    if refusals.is_empty() { Ok(wishes) } else { Err(refusals.into()) }
}

/// Queries about taxes.
#[derive(Debug, Default)]
pub struct TaxQuery;

#[Object]
impl TaxQuery {
    /// Tax rates in pages, the latest start first.
    async fn tax_rates(
        &self,
        ctx: &Context<'_>,
        filter: Option<TaxRateFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<TaxRate>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Prices.read())?;
                let filter = filter.unwrap_or_default();
                let under = |refusal: Refusal| refusal.under(["filter"]);
                let class = filter.class.map(|class| TaxClass::parse(&class).map_err(|reason| Refusal::from(reason).under(["class"])));
                let filter = app::TaxRateFilter {
                    country: filter.country.map(|code| country_code(&code).map_err(Refusal::from)).transpose().map_err(under)?,
                    class: class.transpose().map_err(under)?,
                    replaced: filter.replaced,
                };
                let list = ListName::new("taxRates", &filter)?;
                let page = app.tax_rates(caller, &filter, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (Key::At(row.rate.valid_from), row.id), TaxRate::from)
            }
            .await,
        )
    }
}

/// Mutations of taxes.
#[derive(Debug, Default)]
pub struct TaxMutation;

#[Object]
impl TaxMutation {
    /// Sets tax rates in the operator's table. A rate with the same country, class and start as another replaces it; the others stay. Orders that
    /// were placed keep theirs.
    async fn tax_rates_set(&self, ctx: &Context<'_>, input: TaxRatesSetInput) -> async_graphql::Result<TaxRatesSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Prices.write())?;
            app.tax_rates_set(caller, parse_rates(input.rates)?).await
        };
        Ok(match outcome(result.await)? {
            Ok(rates) => TaxRatesSetPayload { tax_rates: Some(rates.into_iter().map(TaxRate::from).collect()), user_errors: Vec::new() },
            Err(user_errors) => TaxRatesSetPayload { tax_rates: None, user_errors },
        })
    }
}
