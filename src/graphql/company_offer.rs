//! What companies change about offers, for operators and the companies' own managers.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, NaiveDate, Utc};
use domain::company::Override;
use domain::{CompanyId, ProductId};

use super::company::Company;
use super::connection::{List, connection, wants_total};
use super::error::{UserError, answer, outcome, scope};
use super::scalar::{Money, MoneyInput, named_enum};
use crate::app::company_offer::{self as app, OverrideWish};
use crate::error::{Code, Refusal, Result};
use crate::page::ListName;

named_enum! {
    /// Whether an offer is shown to a company's buyers.
    Visibility(domain::company::Visibility)
}

/// What a company changes about an offer; null = as recommended.
#[derive(Debug, Clone, SimpleObject)]
pub struct CompanyOverride {
    /// Own title.
    pub title: Option<String>,
    /// Own description.
    pub description: Option<String>,
    /// Own unit prices, one for each currency.
    pub prices: Vec<Money>,
    /// Own access days.
    pub access_days: Option<u32>,
    /// Whether its buyers see the offer.
    pub visibility: Option<Visibility>,
    /// From when it holds; null = since ever.
    pub starts_at: Option<DateTime<Utc>>,
    /// Until just before when it holds; null = for ever.
    pub ends_at: Option<DateTime<Utc>>,
}

impl From<Override> for CompanyOverride {
    fn from(over: Override) -> Self {
        Self {
            title: over.title,
            description: over.description,
            prices: over.prices.into_iter().map(Money::from).collect(),
            access_days: over.access_days,
            visibility: over.visibility.map(Visibility::from),
            starts_at: over.window.starts_at,
            ends_at: over.window.ends_at,
        }
    }
}

/// An override that a company has now.
#[derive(Debug, Clone, SimpleObject)]
pub struct CompanyOffer {
    /// The product.
    pub product_id: ID,
    /// What the company changes.
    #[graphql(name = "override")]
    pub over: CompanyOverride,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Who set it: an account or a key.
    pub actor: String,
}

impl From<app::Version> for CompanyOffer {
    fn from(version: app::Version) -> Self {
        Self { product_id: version.product.to_string().into(), over: version.over.into(), since: version.recorded_at, actor: version.actor }
    }
}

/// A change of an override.
#[derive(Debug, Clone, SimpleObject)]
pub struct CompanyOfferChange {
    /// When.
    pub at: DateTime<Utc>,
    /// Who: an account or a key.
    pub actor: String,
    /// The override before; null = as recommended.
    pub old: Option<CompanyOverride>,
    /// The override afterwards; null = as recommended.
    pub new: Option<CompanyOverride>,
}

impl From<app::HistoryEntry> for CompanyOfferChange {
    fn from(entry: app::HistoryEntry) -> Self {
        Self { at: entry.at, actor: entry.actor, old: entry.old.map(Into::into), new: entry.new.map(Into::into) }
    }
}

/// What a row changed, or with `dryRun` would change.
#[derive(Debug, Clone, SimpleObject)]
pub struct CompanyOfferRow {
    /// The product.
    pub product_id: ID,
    /// Whether there is a difference.
    pub changed: bool,
    /// The override before; null = as recommended.
    pub old: Option<CompanyOverride>,
    /// The override afterwards; null = as recommended.
    pub new: Option<CompanyOverride>,
}

impl From<app::RowChange> for CompanyOfferRow {
    fn from(row: app::RowChange) -> Self {
        Self {
            changed: row.changes(),
            product_id: row.product.to_string().into(),
            old: row.old.map(Into::into),
            new: row.new.map(Into::into),
        }
    }
}

/// An override: the whole of what the company changes about one product. What is left out is inherited.
#[derive(Debug, InputObject)]
pub struct CompanyOfferInput {
    /// The product.
    pub product_id: ID,
    /// Own unit prices, one for each currency.
    pub prices: Option<Vec<MoneyInput>>,
    /// Of a product that gives credits: their number, repeated with the prices. A company changes the price alone.
    pub credits: Option<i64>,
    /// Own title.
    pub title: Option<String>,
    /// Own description.
    pub description: Option<String>,
    /// Own access days; libraries and courses only.
    pub access_days: Option<i32>,
    /// HIDDEN: neither shown nor sold to the company's buyers.
    pub visibility: Option<Visibility>,
    /// From when it holds.
    pub starts_at: Option<DateTime<Utc>>,
    /// Until just before when it holds.
    pub ends_at: Option<DateTime<Utc>>,
    /// The first day on which it holds, in the company's zone; instead of instants.
    pub first_day: Option<NaiveDate>,
    /// The last day on which it holds, in the company's zone; instead of instants.
    pub last_day: Option<NaiveDate>,
}

impl CompanyOfferInput {
    /// The row, or every fault that shows on reading it.
    fn read(self) -> Result<OverrideWish, Vec<Refusal>> {
        let mut faults = Vec::new();
        let product = ProductId::parse(&self.product_id);
        if product.is_none() {
            faults.push(Refusal::at(Code::NotFound, ["productId"], "There is no such product; check the id."));
        }
        let mut prices = Vec::new();
        for (place, price) in self.prices.iter().flatten().enumerate() {
            match price.parse(["prices".to_owned(), place.to_string()]) {
                Ok(price) => prices.push(price),
                Err(fault) => faults.push(fault),
            }
        }
        match product {
            Some(product) if faults.is_empty() => Ok(OverrideWish {
                product,
                title: self.title,
                description: self.description,
                prices,
                access_days: self.access_days.map(i64::from),
                visibility: self.visibility.map(|visibility| visibility.0),
                starts_at: self.starts_at,
                ends_at: self.ends_at,
                first_day: self.first_day,
                last_day: self.last_day,
                credits: self.credits,
            }),
            _ => Err(faults),
        }
    }
}

/// Overrides to be set.
#[derive(Debug, InputObject)]
pub struct CompanyOffersSetInput {
    /// The company.
    pub company_id: ID,
    /// 1 to 1,000 rows, each product once. All are set or none.
    pub rows: Vec<CompanyOfferInput>,
    /// True: nothing is written, the answer tells what would change.
    pub dry_run: Option<bool>,
}

/// Overrides to be unset.
#[derive(Debug, InputObject)]
pub struct CompanyOffersUnsetInput {
    /// The company.
    pub company_id: ID,
    /// 1 to 1,000 products, each once. All are unset or none.
    pub product_ids: Vec<ID>,
    /// True: nothing is written, the answer tells what would change.
    pub dry_run: Option<bool>,
}

/// The answer of companyOffersSet.
#[derive(Debug, SimpleObject)]
pub struct CompanyOffersSetPayload {
    /// The company.
    pub company: Option<Company>,
    /// What each row changed, in the order sent; null if the call was refused.
    pub rows: Option<Vec<CompanyOfferRow>>,
    /// Whether nothing was written because only the difference was asked for.
    pub dry_run: bool,
    /// Why the call was refused, each bad row named by its place; empty when it was done.
    pub user_errors: Vec<UserError>,
}

/// The answer of companyOffersUnset.
#[derive(Debug, SimpleObject)]
pub struct CompanyOffersUnsetPayload {
    /// The company.
    pub company: Option<Company>,
    /// What was unset, in the order sent; null if the call was refused.
    pub rows: Option<Vec<CompanyOfferRow>>,
    /// Whether nothing was written because only the difference was asked for.
    pub dry_run: bool,
    /// Why the call was refused, each bad row named by its place; empty when it was done.
    pub user_errors: Vec<UserError>,
}

/// Queries about overrides.
#[derive(Debug, Default)]
pub struct CompanyOfferQuery;

#[Object]
impl CompanyOfferQuery {
    /// The overrides that a company has now, the latest first; for operators and its own managers.
    async fn company_offers(
        &self,
        ctx: &Context<'_>,
        company_id: ID,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Option<List<CompanyOffer>>> {
        let (app, caller) = scope(ctx)?;
        let total = wants_total(ctx);
        answer(
            async {
                let list = ListName::new("companyOffers", &company_id.as_str())?;
                let args = list.args(first, after.as_deref())?;
                match app.company_offers(caller, CompanyId::parse(&company_id), &args, total).await? {
                    Some(page) => connection(&list, page, |row| (app::key(row), row.id), CompanyOffer::from).map(Some),
                    None => Ok(None),
                }
            }
            .await,
        )
    }

    /// Each change of a company's override of a product, the latest first: who, when, old, new; for operators and its own managers.
    async fn company_offer_history(
        &self,
        ctx: &Context<'_>,
        company_id: ID,
        product_id: ID,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Option<List<CompanyOfferChange>>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                let list = ListName::new("companyOfferHistory", &(company_id.as_str(), product_id.as_str()))?;
                let args = list.args(first, after.as_deref())?;
                let (company, product) = (CompanyId::parse(&company_id), ProductId::parse(&product_id));
                match app.company_offer_history(caller, company, product, &args).await? {
                    Some(page) => connection(&list, page, app::HistoryEntry::key, CompanyOfferChange::from).map(Some),
                    None => Ok(None),
                }
            }
            .await,
        )
    }
}

/// Mutations of overrides.
#[derive(Debug, Default)]
pub struct CompanyOfferMutation;

#[Object]
impl CompanyOfferMutation {
    /// Sets what a company changes about offers, up to 1,000 at once. A row that says what holds already changes nothing. For operators and the
    /// company's own managers.
    async fn company_offers_set(&self, ctx: &Context<'_>, input: CompanyOffersSetInput) -> async_graphql::Result<CompanyOffersSetPayload> {
        let (app, caller) = scope(ctx)?;
        let cmd = app::CompanyOffersSet {
            company: CompanyId::parse(&input.company_id),
            rows: input.rows.into_iter().map(CompanyOfferInput::read).collect(),
            dry_run: input.dry_run.unwrap_or(false),
        };
        let (company, rows, dry_run, user_errors) = parts(outcome(app.company_offers_set(caller, cmd).await)?);
        Ok(CompanyOffersSetPayload { company, rows, dry_run, user_errors })
    }

    /// Takes back what a company changes about offers: the recommended ones hold again. For operators and the company's own managers.
    async fn company_offers_unset(
        &self,
        ctx: &Context<'_>,
        input: CompanyOffersUnsetInput,
    ) -> async_graphql::Result<CompanyOffersUnsetPayload> {
        let (app, caller) = scope(ctx)?;
        let cmd = app::CompanyOffersUnset {
            company: CompanyId::parse(&input.company_id),
            products: input.product_ids.iter().map(|id| ProductId::parse(id)).collect(),
            dry_run: input.dry_run.unwrap_or(false),
        };
        let (company, rows, dry_run, user_errors) = parts(outcome(app.company_offers_unset(caller, cmd).await)?);
        Ok(CompanyOffersUnsetPayload { company, rows, dry_run, user_errors })
    }
}

type Parts = (Option<Company>, Option<Vec<CompanyOfferRow>>, bool, Vec<UserError>);

fn parts(outcome: Result<app::BatchChange, Vec<UserError>>) -> Parts {
    match outcome {
        Ok(change) => (Some(change.company.into()), Some(change.rows.into_iter().map(Into::into).collect()), change.dry_run, Vec::new()),
        Err(user_errors) => (None, None, false, user_errors),
    }
}
