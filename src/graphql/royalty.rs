//! Royalties: licensors and plans, what sold lines owe, statements, and the closing of periods.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::id::{Kind, format_any, parse_any};
use domain::refusal::Code;
use domain::royalty::{PlanRate, Rate, RoyaltyRefusal, Rule, SoldBy, Step};
use domain::{LicensorId, OrderLineKind, Percent, RoyaltyPlanId, SalesLineKind};
use uuid::Uuid;

use super::catalog::words;
use super::connection::{List, connection, wants_total};
use super::error::{answer, payload, scope};
use super::loader::{RoyaltySold, loaders};
use super::scalar::{Decimal, Money, MoneyInput, input_id, named_enum};
use crate::app::caller::Topic;
use crate::app::catalog::{Key, Sort};
use crate::app::royalty as app;
use crate::error::{Error, Refusal, Result};
use crate::internal;
use crate::page::ListName;

named_enum! {
    /// Who made a sale: the shop (OPERATOR), a company, or whoever the content is licensed from.
    Originator(domain::royalty::Originator)
}

named_enum! {
    /// By which road something was sold: RETAIL, cart and order; SALES_ORDER, in bulk.
    SaleChannel(domain::royalty::SaleChannel)
}

named_enum! {
    /// What an entry of a royalty says: SALE, the line was sold; OVERRIDE, somebody set another royalty; REVERSAL, money went back; RESTORATION,
    /// money that went back came again.
    RoyaltyEntryKind(domain::royalty::EntryKind)
}

// ---- licensors and plans --------------------------------------------------------------------------------------------------------

/// Who gets a share of sales.
#[derive(Debug, Clone)]
pub struct Licensor(app::Licensor);

impl From<app::Licensor> for Licensor {
    fn from(licensor: app::Licensor) -> Self {
        Self(licensor)
    }
}

#[Object]
impl Licensor {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Name; unique whatever the case.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// What libraries owe their licensor. For an originator and channel that it does not name, nothing is owed.
#[derive(Debug, Clone)]
pub struct RoyaltyPlan(app::NamedPlan);

impl From<app::NamedPlan> for RoyaltyPlan {
    fn from(plan: app::NamedPlan) -> Self {
        Self(plan)
    }
}

/// What is owed for sales of one originator by one road: `perUnit`, or `tiers`.
#[derive(Debug, Clone, SimpleObject)]
pub struct RoyaltyRate {
    /// Who makes the sale.
    originator: Originator,
    /// By which road.
    channel: SaleChannel,
    /// So much for each unit, whatever it is sold for; owed in this currency.
    per_unit: Option<Money>,
    /// A percentage of the line's net by quantity; the tier that is reached holds for all units.
    tiers: Option<Vec<RoyaltyTier>>,
}

/// A tier of a sliding rate. Exactly at its minimum quantity it holds.
#[derive(Debug, Clone, SimpleObject)]
pub struct RoyaltyTier {
    /// The first quantity that it holds for.
    min_quantity: u32,
    /// Percent of the line's net, after discounts and before tax.
    percent: Decimal,
}

#[Object]
impl RoyaltyPlan {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Name; unique whatever the case.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Who is owed.
    async fn licensor(&self, ctx: &Context<'_>) -> async_graphql::Result<Licensor> {
        licensor(ctx, self.0.licensor).await
    }

    /// How much.
    async fn rates(&self) -> Vec<RoyaltyRate> {
        let tier = |step: &Step| RoyaltyTier { min_quantity: step.min_quantity, percent: Decimal(step.percent.to_string()) };
        let rate = |rate: &PlanRate| {
            let (per_unit, tiers) = match &rate.rate {
                Rate::Fixed(amount) => (Some((*amount).into()), None),
                Rate::Sliding(steps) => (None, Some(steps.iter().map(tier).collect())),
            };
            RoyaltyRate { originator: rate.originator.into(), channel: rate.channel.into(), per_unit, tiers }
        };
        self.0.plan.rates().iter().map(rate).collect()
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Since when it says this.
    async fn recorded_at(&self) -> DateTime<Utc> {
        self.0.recorded_at
    }

    /// Who said so.
    async fn actor(&self) -> &str {
        &self.0.actor
    }
}

async fn licensor(ctx: &Context<'_>, id: LicensorId) -> async_graphql::Result<Licensor> {
    let found = loaders(ctx)?.one(id).await?;
    answer(found.map(Licensor).ok_or_else(|| internal!("the licensor {id} is gone")))
}

/// A licensor to be made or renamed.
#[derive(Debug, InputObject)]
pub struct LicensorSetInput {
    /// The licensor to rename; without it, a new one is made.
    id: Option<ID>,
    /// Name; unique whatever the case.
    name: String,
}

payload! {
    /// What became of it.
    LicensorSetPayload {
        /// The licensor.
        licensor: Licensor
    }
}

/// A tier: from how many units on which part of the net is owed.
#[derive(Debug, InputObject)]
pub struct RoyaltyTierInput {
    /// The first quantity that it holds for.
    min_quantity: i64,
    /// Percent of the line's net, 0 to 100 with up to 4 decimals.
    percent: Decimal,
}

/// What is owed for sales of one originator by one road: give either `perUnit` or `tiers`.
#[derive(Debug, InputObject)]
pub struct RoyaltyRateInput {
    /// Who makes the sale.
    originator: Originator,
    /// By which road.
    channel: SaleChannel,
    /// So much for each unit, whatever it is sold for; owed in this currency.
    per_unit: Option<MoneyInput>,
    /// A percentage of the line's net, by strictly ascending quantity, the first at 1.
    tiers: Option<Vec<RoyaltyTierInput>>,
}

/// A royalty plan to be made or changed.
#[derive(Debug, InputObject)]
pub struct RoyaltyPlanSetInput {
    /// The plan to change; without it, a new one is made.
    id: Option<ID>,
    /// Name; unique whatever the case.
    name: String,
    /// Who is owed.
    licensor_id: ID,
    /// What is owed, each originator and channel once. Sales that are not named owe nothing.
    rates: Vec<RoyaltyRateInput>,
}

payload! {
    /// What became of it.
    RoyaltyPlanSetPayload {
        /// The plan.
        royalty_plan: RoyaltyPlan
    }
}

fn parse_rates(inputs: &[RoyaltyRateInput]) -> Result<Vec<PlanRate>> {
    let (mut rates, mut refusals) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (index, input) in inputs.iter().enumerate() {
        let place = ["rates".to_owned(), index.to_string()];
        let rate = match (&input.per_unit, &input.tiers) {
            (Some(amount), None) => amount.parse(["perUnit"]).map(Rate::Fixed).map_err(|refusal| vec![refusal.under(place)]),
            (None, Some(tiers)) => parse_tiers(tiers)
                .map(Rate::Sliding)
                .map_err(|refusals| refusals.into_iter().map(|refusal| refusal.under(place.clone())).collect()),
            _ => Err(vec![RoyaltyRefusal::OneWay { index }.into()]),
        };
        match rate {
            Ok(rate) => rates.push(PlanRate { originator: input.originator.0, channel: input.channel.0, rate }),
            Err(more) => refusals.extend(more),
        }
    }
    if refusals.is_empty() { Ok(rates) } else { Err(refusals.into()) }
}

fn parse_tiers(inputs: &[RoyaltyTierInput]) -> Result<Vec<Step>, Vec<Refusal>> {
    let (mut steps, mut refusals) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (index, input) in inputs.iter().enumerate() {
        match Percent::parse(&input.percent.0) {
            // A quantity that no u32 holds is out of every tier's range, as 0 is; the domain says so with its place.
            Ok(percent) => steps.push(Step { min_quantity: u32::try_from(input.min_quantity).unwrap_or(0), percent }),
            Err(reason) => refusals.push(Refusal::from(reason).under(["tiers", &index.to_string(), "percent"])),
        }
    }
    if refusals.is_empty() { Ok(steps) } else { Err(refusals) }
}

// ---- what sold lines owe --------------------------------------------------------------------------------------------------------

/// A sold line that owes a royalty, as it was when it was sold.
#[derive(Debug, Clone)]
pub struct RoyaltySale(app::Sold);

fn line_id(by: SoldBy, line: Uuid) -> ID {
    let prefix = match by {
        SoldBy::OrderLine => OrderLineKind::PREFIX,
        SoldBy::SalesLine => SalesLineKind::PREFIX,
    };
    format_any(prefix, line).into()
}

#[Object]
impl RoyaltySale {
    /// The line of an order, or of a sales order.
    async fn line_id(&self) -> ID {
        line_id(self.0.by, self.0.line)
    }

    /// Number of the order.
    async fn reference(&self) -> &str {
        &self.0.reference
    }

    /// The company concerned.
    async fn company_id(&self) -> Option<ID> {
        self.0.company.map(ID::from)
    }

    /// Product.
    async fn product_id(&self) -> ID {
        self.0.product.into()
    }

    /// SKU then.
    async fn sku(&self) -> &str {
        &self.0.sku
    }

    /// Title then.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// Product code then.
    async fn product_code(&self) -> Option<&str> {
        self.0.product_code.as_deref()
    }

    /// Who is owed.
    async fn licensor(&self, ctx: &Context<'_>) -> async_graphql::Result<Licensor> {
        licensor(ctx, self.0.licensor).await
    }

    /// The plan that said so.
    async fn plan_id(&self) -> ID {
        self.0.plan.into()
    }

    /// Who made the sale.
    async fn originator(&self) -> Originator {
        self.0.originator.into()
    }

    /// By which road.
    async fn channel(&self) -> SaleChannel {
        self.0.channel.into()
    }

    /// Units.
    async fn quantity(&self) -> u32 {
        self.0.quantity
    }

    /// The line after discounts, before tax.
    async fn net(&self) -> Money {
        self.0.net.into()
    }

    /// The rule: so much for each unit.
    async fn per_unit(&self) -> Option<Money> {
        match self.0.rule {
            Rule::PerUnit(amount) => Some(amount.into()),
            Rule::Percent(_) => None,
        }
    }

    /// The rule: so many percent of the net.
    async fn percent(&self) -> Option<Decimal> {
        match self.0.rule {
            Rule::PerUnit(_) => None,
            Rule::Percent(percent) => Some(Decimal(percent.to_string())),
        }
    }

    /// The royalty that was recommended for the line when it was sold.
    async fn recommended(&self) -> Money {
        self.0.recommended.into()
    }
}

/// What is owed more or less for a sold line. Entries are only ever added; they add up to what is owed.
#[derive(Debug, Clone)]
pub struct RoyaltyEntry(app::Entry);

#[Object]
impl RoyaltyEntry {
    /// What it says.
    async fn kind(&self) -> RoyaltyEntryKind {
        self.0.change.kind.into()
    }

    /// The sold line.
    async fn sale(&self, ctx: &Context<'_>) -> async_graphql::Result<RoyaltySale> {
        let found = loaders(ctx)?.one(RoyaltySold(self.0.sold)).await?;
        answer(found.map(RoyaltySale).ok_or_else(|| internal!("the sold line {} is gone", self.0.sold)))
    }

    /// The royalty that holds for the whole line from here on, before reversals.
    async fn applied(&self) -> Money {
        self.0.change.applied.into()
    }

    /// What is owed more, or less if negative.
    async fn amount(&self) -> Money {
        self.0.change.amount.into()
    }

    /// What was sold more, or less if negative: net of discounts and tax.
    async fn net(&self) -> Money {
        self.0.change.net.into()
    }

    /// The month that it stands in, such as "2026-11".
    async fn period(&self) -> String {
        self.0.period.to_string()
    }

    /// Who made it: the id of an account or a key, or "system".
    async fn actor(&self) -> &str {
        &self.0.actor
    }

    /// Why.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// When it was made.
    async fn recorded_at(&self) -> DateTime<Utc> {
        self.0.recorded_at
    }
}

/// What a sold line owes a licensor.
#[derive(Debug, Clone)]
pub struct Royalty(app::Royalty);

impl From<app::Royalty> for Royalty {
    fn from(royalty: app::Royalty) -> Self {
        Self(royalty)
    }
}

#[Object]
impl Royalty {
    /// The line as it was sold, with the royalty that was recommended.
    async fn sale(&self) -> RoyaltySale {
        RoyaltySale(self.0.sold.clone())
    }

    /// The royalty that holds for the whole line: the recommended one, or the one that somebody set.
    async fn applied(&self) -> Money {
        self.0.applied.into()
    }

    /// What is owed: that, less the share of it whose money went back.
    async fn owed(&self) -> Money {
        self.0.owed.into()
    }

    /// The entries that it adds up from, in their order.
    async fn entries(&self) -> Vec<RoyaltyEntry> {
        self.0.entries.iter().cloned().map(RoyaltyEntry).collect()
    }
}

/// Another royalty for a sold line.
#[derive(Debug, InputObject)]
pub struct RoyaltyOverrideSetInput {
    /// The line of an order, or of a sales order.
    line_id: ID,
    /// The royalty for the whole line, in the currency that it is owed in. What of the line went back takes its share of it.
    amount: MoneyInput,
    /// Why; kept with the entry.
    reason: String,
    /// A key of your choice; the same call with the same key is done once.
    idempotency_key: String,
}

payload! {
    /// What became of it.
    RoyaltyOverrideSetPayload {
        /// What the line owes now.
        royalty: Royalty, replayed
    }
}

// ---- statements and periods -----------------------------------------------------------------------------------------------------

/// What a licensor is owed for a month, from the entries that stand in it.
#[derive(Debug, Clone)]
pub struct RoyaltyStatement(app::Statement);

#[Object]
impl RoyaltyStatement {
    /// Who is owed.
    async fn licensor(&self) -> Licensor {
        Licensor(self.0.licensor.clone())
    }

    /// The month, in the shop's zone.
    async fn period(&self) -> String {
        self.0.period.to_string()
    }

    /// Whether the period is closed: then it stays as it is, and later refunds and overrides stand in a later one.
    async fn closed(&self) -> bool {
        self.0.closed
    }

    /// What was sold, less what went back, before tax: one amount for each currency, the sum of the entries' nets.
    async fn nets(&self) -> Vec<Money> {
        self.0.nets.iter().copied().map(Money::from).collect()
    }

    /// What is owed: one amount for each currency, the sum of the entries' amounts.
    async fn royalties(&self) -> Vec<Money> {
        self.0.royalties.iter().copied().map(Money::from).collect()
    }

    /// The entries in pages, in the order they were made.
    async fn entries(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<RoyaltyEntry>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                let list = ListName::new("royaltyEntries", &(self.0.licensor.id, self.0.period.to_string()))?;
                let args = list.args(first, after.as_deref())?;
                let page = app.royalty_entries(caller, self.0.licensor.id, self.0.period, &args, wants_total(ctx)).await?;
                connection(&list, page, |entry| (Key::At(entry.recorded_at), entry.id), RoyaltyEntry)
            }
            .await,
        )
    }
}

/// A period to be closed.
#[derive(Debug, InputObject)]
pub struct RoyaltyPeriodCloseInput {
    /// The month, such as "2026-11"; those before it are closed with it.
    period: String,
    /// A key of your choice; the same call with the same key is done once.
    idempotency_key: String,
}

/// The books of royalties through a month.
#[derive(Debug, Clone, SimpleObject)]
pub struct RoyaltyBooks {
    /// The last period that is closed, such as "2026-11".
    closed_through: String,
}

impl From<domain::royalty::Period> for RoyaltyBooks {
    fn from(period: domain::royalty::Period) -> Self {
        Self { closed_through: period.to_string() }
    }
}

payload! {
    /// What became of it.
    RoyaltyPeriodClosePayload {
        /// The books.
        books: RoyaltyBooks, replayed
    }
}

// ---- queries and mutations ------------------------------------------------------------------------------------------------------

/// Queries about royalties.
#[derive(Debug, Default)]
pub struct RoyaltyQuery;

#[Object]
impl RoyaltyQuery {
    /// One licensor.
    async fn licensor(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Licensor>> {
        let (_, caller) = scope(ctx)?;
        answer(caller.require(Topic::Prices.read()))?;
        match LicensorId::parse(&id) {
            Some(id) => Ok(loaders(ctx)?.one(id).await?.map(Licensor)),
            None => Ok(None),
        }
    }

    /// Licensors in pages, by name.
    async fn licensors(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Words that all occur in the name.")] search: Option<String>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Licensor>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Prices.read())?;
                let words = words(search.as_deref())?;
                let list = ListName::new("licensors", &words)?;
                let page = app.licensors(caller, &words, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (Sort::Title.key(&row.name, row.created_at, row.created_at), row.id.uuid()), Licensor)
            }
            .await,
        )
    }

    /// One royalty plan.
    async fn royalty_plan(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<RoyaltyPlan>> {
        let (_, caller) = scope(ctx)?;
        answer(caller.require(Topic::Prices.read()))?;
        match RoyaltyPlanId::parse(&id) {
            Some(id) => Ok(loaders(ctx)?.one(id).await?.map(RoyaltyPlan)),
            None => Ok(None),
        }
    }

    /// Royalty plans in pages, by name.
    async fn royalty_plans(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Words that all occur in the name.")] search: Option<String>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<RoyaltyPlan>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Prices.read())?;
                let words = words(search.as_deref())?;
                let list = ListName::new("royaltyPlans", &words)?;
                let page = app.royalty_plans(caller, &words, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (Sort::Title.key(&row.name, row.created_at, row.created_at), row.id.uuid()), RoyaltyPlan)
            }
            .await,
        )
    }

    /// What a licensor is owed for a month, such as "2026-11". Null if there is no such licensor.
    async fn royalty_statement(
        &self,
        ctx: &Context<'_>,
        licensor_id: ID,
        period: String,
    ) -> async_graphql::Result<Option<RoyaltyStatement>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Reports.read())?;
                let period = domain::royalty::Period::parse(&period).map_err(|reason| Error::BadInput(format!("`period`: {reason}")))?;
                match LicensorId::parse(&licensor_id) {
                    Some(licensor) => Ok(app.royalty_statement(caller, licensor, period).await?.map(RoyaltyStatement)),
                    None => Ok(None),
                }
            }
            .await,
        )
    }
}

/// Mutations of royalties.
#[derive(Debug, Default)]
pub struct RoyaltyMutation;

#[Object]
impl RoyaltyMutation {
    /// Makes a licensor, or renames one.
    async fn licensor_set(&self, ctx: &Context<'_>, input: LicensorSetInput) -> async_graphql::Result<LicensorSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Prices.write())?;
            let id = input.id.as_ref().map(|id| input_id(id, "id", "licensor")).transpose()?;
            app.licensor_set(caller, app::LicensorSet { id, name: input.name }).await
        };
        LicensorSetPayload::of(result.await)
    }

    /// Makes a royalty plan, or changes one. Sales from now on owe by it; what was sold before keeps what it owed.
    async fn royalty_plan_set(&self, ctx: &Context<'_>, input: RoyaltyPlanSetInput) -> async_graphql::Result<RoyaltyPlanSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Prices.write())?;
            let cmd = app::RoyaltyPlanSet {
                id: input.id.as_ref().map(|id| input_id(id, "id", "royalty plan")).transpose()?,
                name: input.name,
                licensor: input_id(&input.licensor_id, "licensorId", "licensor")?,
                rates: parse_rates(&input.rates)?,
            };
            app.royalty_plan_set(caller, cmd).await
        };
        RoyaltyPlanSetPayload::of(result.await)
    }

    /// Sets another royalty for a sold line than was recommended. The price of the line stays; what was recommended is kept.
    async fn royalty_override_set(
        &self,
        ctx: &Context<'_>,
        input: RoyaltyOverrideSetInput,
    ) -> async_graphql::Result<RoyaltyOverrideSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Sales.write())?;
            let (by, line) = match parse_any(&input.line_id) {
                Some((OrderLineKind::PREFIX, line)) => (SoldBy::OrderLine, line),
                Some((SalesLineKind::PREFIX, line)) => (SoldBy::SalesLine, line),
                _ => {
                    return Err(Error::refused(
                        Code::NotFound,
                        ["lineId"],
                        "There is no such line of an order or sales order; check the id.",
                    ));
                }
            };
            let amount = input.amount.parse(["amount"])?;
            let cmd = app::RoyaltyOverrideSet { by, line, amount, reason: input.reason, idempotency_key: input.idempotency_key };
            app.royalty_override_set(caller, cmd).await
        };
        RoyaltyOverrideSetPayload::of(result.await)
    }

    /// Closes a period of the books of royalties, and those before it, for all licensors. What a closed period says stays; refunds and overrides
    /// from then on stand in the first open one.
    async fn royalty_period_close(
        &self,
        ctx: &Context<'_>,
        input: RoyaltyPeriodCloseInput,
    ) -> async_graphql::Result<RoyaltyPeriodClosePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Sales.write())?;
            let period = domain::royalty::Period::parse(&input.period).map_err(Refusal::from)?;
            app.royalty_period_close(caller, period, &input.idempotency_key).await
        };
        RoyaltyPeriodClosePayload::of(result.await)
    }
}
