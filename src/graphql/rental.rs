//! Renting resources for credits.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{AccountId, RentalId, ResourceId};

use super::connection::{List, connection, wants_total};
use super::error::{UserError, answer, outcome, scope};
use super::learning::{EntitlementStatus, OfferLink};
use super::resource::{Resource, ResourceAccess, ResourceDemo, ResourceState};
use super::scalar::{Long, Money, input_id};
use crate::app::Answer;
use crate::app::caller::Topic;
use crate::app::rental as app;
use crate::error::{Error, Result};
use crate::page::ListName;

/// A resource that was opened for credits, with its renewals.
#[derive(Debug, Clone)]
pub struct Rental(app::RentalView);

impl From<app::RentalView> for Rental {
    fn from(view: app::RentalView) -> Self {
        Self(view)
    }
}

#[Object]
impl Rental {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// The learner.
    async fn account_id(&self) -> ID {
        self.0.account.into()
    }

    /// What was rented.
    async fn resource(&self) -> Resource {
        self.0.resource.clone().into()
    }

    /// Where it stands now: LIVE, EXPIRED, or ENDED before its time.
    async fn status(&self) -> EntitlementStatus {
        self.0.standing.into()
    }

    /// When it was rented.
    async fn starts_at(&self) -> Option<DateTime<Utc>> {
        self.0.starts_at
    }

    /// Until when the resource is open by it, exclusive, renewals included.
    async fn ends_at(&self) -> Option<DateTime<Utc>> {
        self.0.ends_at
    }

    /// Credits that it cost, renewals included; what was given back is among them.
    async fn cost(&self) -> Long {
        Long(self.0.parts.iter().fold(0, |sum, part| part.rental.cost.saturating_add(sum)))
    }

    /// What was paid for it: the renting, then each renewal.
    async fn parts(&self) -> Vec<RentalPart> {
        let part = |part: &app::RentalPart| RentalPart {
            id: part.rental.id.into(),
            entitlement_id: part.grant.id().into(),
            cost: part.rental.cost,
            days: part.rental.days,
            rented_at: part.rental.rented_at,
            starts_at: part.grant.starts_at,
            ends_at: part.grant.ends_at,
            ended_at: part.grant.grant.ended_at,
            ended_reason: part.grant.ended_reason.clone(),
            given_back_at: part.rental.given_back_at,
        };
        self.0.parts.iter().map(part).collect()
    }
}

/// The renting of a resource, or a renewal.
#[derive(Debug, Clone, SimpleObject)]
pub struct RentalPart {
    /// Its id; the entries of the credits that paid for it name it as their source.
    id: ID,
    /// The grant that it gave.
    entitlement_id: ID,
    /// Credits that it cost.
    cost: i64,
    /// Days of 24 hours that it added.
    days: u32,
    /// When it was paid.
    rented_at: DateTime<Utc>,
    /// From when it runs.
    starts_at: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    ends_at: Option<DateTime<Utc>>,
    /// When it was ended before its time.
    ended_at: Option<DateTime<Utc>>,
    /// Why.
    ended_reason: Option<String>,
    /// When its credits were given back.
    given_back_at: Option<DateTime<Utc>>,
}

/// What renting a resource would take from you now, and what it would leave.
#[derive(Debug, Clone)]
pub struct RentalQuote(app::Quote);

#[Object]
impl RentalQuote {
    /// The resource.
    async fn resource_id(&self) -> ID {
        self.0.view.resource.id.into()
    }

    /// Its course.
    async fn course_id(&self) -> ID {
        self.0.view.resource.course.into()
    }

    /// Title.
    async fn title(&self) -> &str {
        &self.0.view.resource.title
    }

    /// Credits that it costs you today: what `resourceRent` and `rentalRenew` want to be agreed to as `expectedCost`. 0 where it opens with
    /// its course, for everybody or because a group of yours ignores credits.
    async fn cost(&self) -> i64 {
        self.0.view.facts.own_cost()
    }

    /// What `resourceRent` would take now: the cost, or nothing for what is open already.
    async fn charge(&self) -> i64 {
        self.0.charge()
    }

    /// Credits that you can spend on it: your own, and those of companies that let you. What is tied to other products is not among them.
    async fn balance(&self) -> Long {
        Long(self.0.balance())
    }

    /// Your own among them; they are spent first.
    async fn own_balance(&self) -> Long {
        Long(self.0.own)
    }

    /// Those of your companies among them, as far as their limits let you.
    async fn company_balance(&self) -> Long {
        Long(self.0.of_companies)
    }

    /// What would be left of the balance; null if it does not suffice.
    async fn balance_after(&self) -> Option<Long> {
        (self.0.missing() == 0).then(|| Long(self.0.balance() - self.0.charge()))
    }

    /// Credits that are missing to rent it now.
    async fn missing(&self) -> Long {
        Long(self.0.missing())
    }

    /// Days of 24 hours that a rental lasts.
    async fn days(&self) -> u32 {
        self.0.view.resource.days
    }

    /// What shows what it is about.
    async fn demo(&self) -> Option<ResourceDemo> {
        ResourceDemo::of(self.0.view.resource.demo.as_ref())
    }

    /// How it stands for you.
    async fn state(&self) -> ResourceState {
        self.0.view.state.into()
    }

    /// Whether it is open to you already, so that renting takes nothing.
    async fn already_open(&self) -> bool {
        self.0.view.state.opens()
    }

    /// The rental that opens it now.
    async fn rental(&self) -> Option<Rental> {
        self.0.rental.clone().map(Rental)
    }

    /// Where credits are missing: the offers that sell them, first those that give enough, the cheapest first.
    async fn offers(&self) -> Vec<CreditOffer> {
        self.0.credit_offers.iter().cloned().map(CreditOffer::from).collect()
    }

    /// Where it opens with its course, which is not open to you: an offer that opens the course, if one is on sale.
    async fn course_offer(&self) -> Option<OfferLink> {
        self.0.course_offer.clone().map(OfferLink::from)
    }
}

/// An offer that sells credits.
#[derive(Debug, Clone, SimpleObject)]
pub struct CreditOffer {
    /// SKU of the offer.
    sku: String,
    /// Its title.
    title: String,
    /// Credits that one gives.
    credits: u32,
    /// What one costs.
    price: Option<Money>,
    /// Where it is bought.
    url: String,
    /// Its public packs: coupons with a price and a number of credits of their own.
    packs: Vec<CreditOfferPack>,
}

/// A public pack of an offer that sells credits.
#[derive(Debug, Clone, SimpleObject)]
pub struct CreditOfferPack {
    /// The coupon's code.
    code: String,
    /// Credits that it gives.
    credits: u32,
    /// What it costs.
    price: Money,
    /// Where it is bought, with the code filled in.
    url: String,
}

impl From<app::CreditOffer> for CreditOffer {
    fn from(offer: app::CreditOffer) -> Self {
        let pack =
            |pack: app::CreditPackLink| CreditOfferPack { code: pack.code, credits: pack.credits, price: pack.price.into(), url: pack.url };
        Self {
            sku: offer.sku,
            title: offer.title,
            credits: offer.credits,
            price: offer.price.map(Money::from),
            url: offer.url,
            packs: offer.packs.into_iter().map(pack).collect(),
        }
    }
}

/// A resource to be rented.
#[derive(Debug, InputObject)]
pub struct ResourceRentInput {
    /// The resource.
    resource_id: ID,
    /// The credits that you agree to, as `rentalQuote` shows them. Another cost by now is COST_CHANGED, and nothing is taken.
    expected_cost: i64,
    /// A new key for each thing you want done; the same again gives the same answer.
    idempotency_key: String,
}

/// A rental to be renewed.
#[derive(Debug, InputObject)]
pub struct RentalRenewInput {
    /// The rental.
    rental_id: ID,
    /// The credits that you agree to: today's cost.
    expected_cost: i64,
    /// A new key for each thing you want done; the same again gives the same answer.
    idempotency_key: String,
}

/// A rental to be ended.
#[derive(Debug, InputObject)]
pub struct RentalEndInput {
    /// The rental.
    rental_id: ID,
    /// Whether the credits go back: those of the running part in whole, and those of renewals that were still to come.
    #[graphql(default = true)]
    give_back: bool,
    /// Why; it is kept in the books.
    reason: String,
    /// A new key for each thing you want done; the same again gives the same answer.
    idempotency_key: String,
}

/// What became of it.
#[derive(Debug, SimpleObject)]
pub struct ResourceRentPayload {
    /// The rental that opens the resource; null where it is open with its course.
    rental: Option<Rental>,
    /// The resource as it stands now.
    resource: Option<ResourceAccess>,
    /// With COST_CHANGED, INSUFFICIENT_CREDITS and PAYMENT_REQUIRED: what it takes now, how many credits are missing, and what sells them.
    quote: Option<RentalQuote>,
    /// Whether this is the answer of an earlier call with the same idempotency key.
    replayed: bool,
    /// Why the call was refused; empty when it was done.
    user_errors: Vec<UserError>,
}

/// What became of it.
#[derive(Debug, SimpleObject)]
pub struct RentalRenewPayload {
    /// The rental with its new end.
    rental: Option<Rental>,
    /// The resource as it stands now.
    resource: Option<ResourceAccess>,
    /// With COST_CHANGED, INSUFFICIENT_CREDITS and PAYMENT_REQUIRED: what it takes now, how many credits are missing, and what sells them.
    quote: Option<RentalQuote>,
    /// Whether this is the answer of an earlier call with the same idempotency key.
    replayed: bool,
    /// Why the call was refused; empty when it was done.
    user_errors: Vec<UserError>,
}

/// What became of it.
#[derive(Debug, SimpleObject)]
pub struct RentalEndPayload {
    /// The rental.
    rental: Option<Rental>,
    /// Credits that went back to the lots that they came from. Those of a lot whose end has come ended with it.
    given_back: Option<Long>,
    /// Whether this is the answer of an earlier call with the same idempotency key.
    replayed: bool,
    /// Why the call was refused; empty when it was done.
    user_errors: Vec<UserError>,
}

impl ResourceRentPayload {
    fn of(result: Result<Answer<app::Rented>, app::NotRented>) -> async_graphql::Result<Self> {
        let (result, quote) = match result {
            Ok(rented) => (Ok(rented), None),
            Err(not) => (Err(not.error), not.quote.map(|quote| RentalQuote(*quote))),
        };
        Ok(match outcome(result)? {
            Ok(Answer { value, replayed }) => Self {
                rental: value.rental.map(Rental),
                resource: Some(value.resource.into()),
                quote: None,
                replayed,
                user_errors: Vec::new(),
            },
            Err(user_errors) => Self { rental: None, resource: None, quote, replayed: false, user_errors },
        })
    }
}

/// Queries of rentals.
#[derive(Debug, Default)]
pub struct RentalQuery;

#[Object]
impl RentalQuery {
    /// What renting a resource would take from you now, and what it would leave; null for what you may not see.
    async fn rental_quote(&self, ctx: &Context<'_>, resource_id: ID) -> async_graphql::Result<Option<RentalQuote>> {
        let (app, caller) = scope(ctx)?;
        answer(caller.require_account())?;
        match ResourceId::parse(&resource_id) {
            Some(id) => Ok(answer(app.rental_quote(caller, id).await)?.map(RentalQuote)),
            None => Ok(None),
        }
    }

    /// Rentals, the newest first: your own; with `credits:read`, those of whoever is named, and for programs those of everybody.
    async fn rentals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The learner; you unless given.")] account_id: Option<ID>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Rental>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require_sign_in()?;
                let account = account_id.as_ref().map(|id| AccountId::parse(id).unwrap_or(AccountId::new(uuid::Uuid::nil())));
                let list = ListName::new("rentals", &(caller.actor(), account))?;
                let page = app.rentals(caller, account, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                let key = |view: &app::RentalView| {
                    let rented_at = view.parts.first().map(|part| part.rental.rented_at).unwrap_or_default();
                    (app::Key::At(rented_at), RentalId::uuid(view.id))
                };
                connection(&list, page, key, Rental::from)
            }
            .await,
        )
    }
}

/// Mutations of rentals.
#[derive(Debug, Default)]
pub struct RentalMutation;

#[Object]
impl RentalMutation {
    /// Rents a resource for the credits agreed to. What is open to you already costs nothing, and the rental that opens it is given. With too few
    /// credits nothing is taken: INSUFFICIENT_CREDITS, and `quote` says how many are missing and what sells them.
    async fn resource_rent(&self, ctx: &Context<'_>, input: ResourceRentInput) -> async_graphql::Result<ResourceRentPayload> {
        let (app, caller) = scope(ctx)?;
        let result: Result<_, app::NotRented> = async {
            caller.require_account()?;
            let resource = input_id(&input.resource_id, "resourceId", "resource")?;
            let cmd = app::ResourceRent { resource, expected: input.expected_cost, key: input.idempotency_key };
            app.resource_rent(caller, cmd).await
        }
        .await;
        ResourceRentPayload::of(result)
    }

    /// Adds days to the end of a living rental, for the credits that its resource costs today.
    async fn rental_renew(&self, ctx: &Context<'_>, input: RentalRenewInput) -> async_graphql::Result<RentalRenewPayload> {
        let (app, caller) = scope(ctx)?;
        let result: Result<_, app::NotRented> = async {
            caller.require_account()?;
            let rental = input_id(&input.rental_id, "rentalId", "rental")?;
            let cmd = app::RentalRenew { rental, expected: input.expected_cost, key: input.idempotency_key };
            app.rental_renew(caller, cmd).await
        }
        .await;
        let ResourceRentPayload { rental, resource, quote, replayed, user_errors } = ResourceRentPayload::of(result)?;
        Ok(RentalRenewPayload { rental, resource, quote, replayed, user_errors })
    }

    /// Ends a rental before its time and gives its credits back, for operators and programs. `entitlementEnd` ends a part of it without that.
    async fn rental_end(&self, ctx: &Context<'_>, input: RentalEndInput) -> async_graphql::Result<RentalEndPayload> {
        let (app, caller) = scope(ctx)?;
        let result: Result<_, Error> = async {
            caller.require(Topic::Credits.write())?;
            let rental = input_id(&input.rental_id, "rentalId", "rental")?;
            let cmd = app::RentalEnd { rental, give_back: input.give_back, reason: input.reason, key: input.idempotency_key };
            app.rental_end(caller, cmd).await
        }
        .await;
        Ok(match outcome(result)? {
            Ok(Answer { value, replayed }) => RentalEndPayload {
                rental: Some(value.rental.into()),
                given_back: Some(Long(value.given_back)),
                replayed,
                user_errors: Vec::new(),
            },
            Err(user_errors) => RentalEndPayload { rental: None, given_back: None, replayed: false, user_errors },
        })
    }
}
