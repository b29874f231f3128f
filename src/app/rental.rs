//! Renting resources for credits: what it would cost, doing it, renewing it, ending it, and telling a learner whose credits do not suffice.
//!
//! Always true here: the cost agreed to is compared, the credits are taken and the resource is opened in one transaction, under the learner's
//! row and with the resource's price held; what is open already takes nothing.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::credit::{self, Cause, Owner, Short};
use domain::entitlement::{Source, SourceKind, Standing, Target};
use domain::event::EventKind;
use domain::rental::{ResourceState, terms};
use domain::text;
use domain::{AccountId, CompanyId, Money, ProductId, RentalId, ResourceId};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::grant::{Entitlement, NewGrant};
use super::learning::{Remedy, capitalised};
use super::offer::{ContextArgs, Detail, OfferView};
use super::resource::{Resource, ResourceView};
use super::{Answer, App, Object, entropy};
use crate::error::{Code, Error, Refusal, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::credit::{Move, Spending};
use crate::store::idempotency::{self, Scope};
use crate::store::rental::Rental;

pub use crate::store::page::Key;

/// Most offers that are named to somebody whose credits do not suffice.
const MAX_OFFERS: usize = 20;

/// A resource to be rented.
#[derive(Debug, Clone)]
pub struct ResourceRent {
    /// The resource.
    pub resource: ResourceId,
    /// The credits that the learner agreed to.
    pub expected: i64,
    /// Idempotency key.
    pub key: String,
}

/// A rental to be renewed.
#[derive(Debug, Clone)]
pub struct RentalRenew {
    /// The rental.
    pub rental: RentalId,
    /// The credits that the learner agreed to.
    pub expected: i64,
    /// Idempotency key.
    pub key: String,
}

/// A rental to be ended.
#[derive(Debug, Clone)]
pub struct RentalEnd {
    /// The rental.
    pub rental: RentalId,
    /// Whether its credits go back.
    pub give_back: bool,
    /// Why.
    pub reason: String,
    /// Idempotency key.
    pub key: String,
}

/// What renting a resource would take from a learner, and what it would leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The resource as it stands for the learner.
    pub view: ResourceView,
    /// The rental that opens it now.
    pub rental: Option<RentalView>,
    /// The learner's own credits that can be spent on it.
    pub own: i64,
    /// Those of companies that let the learner spend them, as far as they do.
    pub of_companies: i64,
    /// Offers that sell credits for it, where some are missing.
    pub credit_offers: Vec<CreditOffer>,
    /// What opens its course, where that is what it takes.
    pub course_offer: Option<Remedy>,
}

impl Quote {
    /// What renting it takes now: nothing, if it is open or opens with its course.
    pub const fn charge(&self) -> i64 {
        match self.view.state {
            ResourceState::RentalRequired => self.view.facts.own_cost(),
            ResourceState::Rented | ResourceState::Open | ResourceState::CourseRequired => 0,
        }
    }

    /// All credits that can be spent on it.
    pub const fn balance(&self) -> i64 {
        self.own.saturating_add(self.of_companies)
    }

    /// How many are missing to rent it.
    pub const fn missing(&self) -> i64 {
        let missing = self.charge().saturating_sub(self.balance());
        if missing > 0 { missing } else { 0 }
    }
}

/// An offer that sells credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditOffer {
    /// SKU.
    pub sku: String,
    /// Title.
    pub title: String,
    /// Credits that one gives.
    pub credits: u32,
    /// What one costs.
    pub price: Option<Money>,
    /// Where it is bought.
    pub url: String,
    /// Its packs that everybody is shown.
    pub packs: Vec<CreditPackLink>,
}

/// A pack of an offer that sells credits: a coupon with a price and a number of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditPackLink {
    /// The coupon's code.
    pub code: String,
    /// Credits that it gives.
    pub credits: u32,
    /// What it costs.
    pub price: Money,
    /// Where it is bought, with the code filled in.
    pub url: String,
}

/// What became of renting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rented {
    /// The rental that opens the resource; `None` where it is open with its course.
    pub rental: Option<RentalView>,
    /// The resource as it stands now.
    pub resource: ResourceView,
}

/// Why nothing was rented or renewed.
#[derive(Debug)]
pub struct NotRented {
    /// Why.
    pub error: Error,
    /// What it would take now.
    pub quote: Option<Box<Quote>>,
}

impl<E: Into<Error>> From<E> for NotRented {
    fn from(error: E) -> Self {
        Self { error: error.into(), quote: None }
    }
}

/// A renting with its renewals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RentalView {
    /// Its id: that of the renting.
    pub id: RentalId,
    /// The learner.
    pub account: AccountId,
    /// What was rented.
    pub resource: Resource,
    /// What was paid, in order.
    pub parts: Vec<RentalPart>,
    /// Where it stands.
    pub standing: Standing,
    /// From when it runs or ran.
    pub starts_at: Option<DateTime<Utc>>,
    /// When it ends or ended.
    pub ends_at: Option<DateTime<Utc>>,
}

/// The renting or a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RentalPart {
    /// The payment.
    pub rental: Rental,
    /// What it gave.
    pub grant: Entitlement,
}

impl RentalPart {
    /// Whether all of its time was had.
    fn ran_out(&self, now: DateTime<Utc>) -> bool {
        let until = self.grant.grant.ended_at.unwrap_or(now);
        self.grant.ends_at.is_some_and(|end| end <= until)
    }
}

/// What a rental's end gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The rental.
    pub rental: RentalView,
    /// Credits that went back to the lots they came from.
    pub given_back: i64,
}

// ---- looking -------------------------------------------------------------------------------------------------------------------

impl App {
    /// What renting a resource would take from the caller. `None`: there is no such resource, or it is not the caller's to see.
    ///
    /// # Errors
    /// Nobody is signed in.
    pub async fn rental_quote(&self, caller: &Caller, id: ResourceId) -> Result<Option<Quote>> {
        let account = caller.require_account()?;
        self.quote_for(account, id).await
    }

    /// The same for a learner.
    pub(super) async fn quote_for(&self, account: AccountId, id: ResourceId) -> Result<Option<Quote>> {
        let db = self.db.read();
        let Some(resource) = store::resource::by_ids(db, &[id]).await?.pop() else { return Ok(None) };
        let Some(view) = self.shown(db, account, resource).await? else { return Ok(None) };
        let now = self.now();
        let (products, companies) = self.payers(db, account, &view.resource).await?;
        let purses = store::credit::purses(db, account, &companies).await?;
        let lots = store::credit::open_lots(db, &purses.iter().map(|purse| purse.owner).collect::<Vec<_>>(), now).await?;
        let price = credit::Price { cost: view.facts.own_cost(), products: &products, purses: &purses };
        let (mut own, mut of_companies) = (0_i64, 0_i64);
        for (purse, payable) in purses.iter().zip(credit::payable(&lots, &price, now)) {
            match purse.owner {
                Owner::Account(_) => own = own.saturating_add(payable),
                Owner::Company(_) => of_companies = of_companies.saturating_add(payable),
            }
        }
        let rental = match view.state {
            ResourceState::Rented => self.live_rental(db, account, id).await?,
            ResourceState::Open | ResourceState::RentalRequired | ResourceState::CourseRequired => None,
        };
        let mut quote = Quote { view, rental, own, of_companies, credit_offers: Vec::new(), course_offer: None };
        if quote.missing() > 0 {
            quote.credit_offers = self.credit_offers(db, account, &products, quote.missing()).await?;
        }
        if quote.view.state == ResourceState::CourseRequired {
            quote.course_offer = self.remedy(quote.view.resource.course, Some(account), None).await?;
        }
        Ok(Some(quote))
    }

    /// The resource as it stands for a learner who may see it: not in a course that only members of other groups see, unless the course or
    /// the resource is open.
    async fn shown(&self, db: &impl ConnectionTrait, account: AccountId, resource: Resource) -> Result<Option<ResourceView>> {
        let course = resource.course;
        let Some(view) = self.resource_views(db, account, vec![resource]).await?.pop() else { return Ok(None) };
        let rented = view.facts.rented_until.is_some();
        if rented || view.facts.course_open {
            return Ok(Some(view));
        }
        if !view.facts.offered {
            return Ok(None);
        }
        let seen_by = store::group::seen_by(db, &[course.uuid()]).await?.remove(&course.uuid()).unwrap_or_default();
        if seen_by.is_empty() {
            return Ok(Some(view));
        }
        let groups = store::group::groups_of(db, account, self.now()).await?;
        Ok(Some(view).filter(|_| seen_by.iter().any(|group| groups.contains(group))))
    }

    /// Which tied credits pay for a resource, and which companies may pay for a learner.
    async fn payers(&self, db: &impl ConnectionTrait, account: AccountId, resource: &Resource) -> Result<(Vec<ProductId>, Vec<CompanyId>)> {
        let products = store::credit::products_selling(db, resource.course).await?;
        let mut companies = store::company::companies_of(db, account, None).await?;
        companies.sort_unstable_by_key(|company| company.uuid());
        Ok((products, companies))
    }

    /// What sells credits that pay for something of a course that `products` sell: first what gives as many as are missing, the cheaper one
    /// first.
    async fn credit_offers(
        &self,
        db: &impl ConnectionTrait,
        account: AccountId,
        products: &[ProductId],
        missing: i64,
    ) -> Result<Vec<CreditOffer>> {
        let selling = store::credit_pack::products_giving(db, products).await?;
        let wanted: Vec<_> = selling.into_iter().map(|product| (product, 1)).collect();
        let context = self.offer_context_for(db, Some(account), ContextArgs::default()).await?;
        let offers = self.offers_of(db, &context, Detail { packs: true, ..Detail::default() }, &wanted).await?;
        let sold = |offer: &OfferView| offer.visible && offer.may_be_sold().is_ok() && offer.quote.is_ok();
        let mut found: Vec<CreditOffer> = offers.iter().filter(|offer| sold(offer)).filter_map(|offer| self.credit_offer(offer)).collect();
        found.sort_by(|one, other| {
            let key = |offer: &CreditOffer| {
                let most = offer.packs.iter().map(|pack| pack.credits).chain([offer.credits]).max().unwrap_or(0);
                (i64::from(most) < missing, offer.price.map(|price| price.minor), offer.credits)
            };
            key(one).cmp(&key(other)).then_with(|| one.sku.cmp(&other.sku))
        });
        found.truncate(MAX_OFFERS);
        Ok(found)
    }

    fn credit_offer(&self, offer: &OfferView) -> Option<CreditOffer> {
        let credits = offer.gives.map(|gives| gives.count)?;
        let Remedy { sku, title, url } = self.remedy_by(offer);
        let pack = |pack: &super::offer::PublicPack| CreditPackLink {
            code: pack.code.clone(),
            credits: pack.credits,
            price: pack.price,
            url: format!("{url}?coupon={}", pack.code_in_address()),
        };
        let packs = offer.packs.iter().map(pack).collect();
        Some(CreditOffer { sku, title, credits, price: offer.price(), packs, url })
    }

    /// The rental that opens a resource for a learner now.
    async fn live_rental(&self, db: &impl ConnectionTrait, account: AccountId, resource: ResourceId) -> Result<Option<RentalView>> {
        let held = store::entitlement::of_accounts_to(db, &[account], &[resource.uuid()]).await?;
        let now = self.now();
        let live = held.iter().rfind(|held| held.grant.source.kind == SourceKind::Rental && !held.is_over(now));
        let Some(live) = live else { return Ok(None) };
        self.rental_by_part(db, RentalId::new(live.grant.source.id)).await
    }

    /// The rental that this is the renting or a renewal of.
    async fn rental_by_part(&self, db: &impl ConnectionTrait, id: RentalId) -> Result<Option<RentalView>> {
        let Some(part) = store::rental::by_ids(db, &[id]).await?.pop() else { return Ok(None) };
        Ok(self.rental_views(db, &[part.first]).await?.pop())
    }

    /// These rentals, in this order; in a fixed number of statements.
    async fn rental_views(&self, db: &impl ConnectionTrait, firsts: &[RentalId]) -> Result<Vec<RentalView>> {
        let now = self.now();
        let rows = store::rental::parts_of(db, firsts).await?;
        let sources: Vec<Uuid> = rows.iter().map(|row| row.id.uuid()).collect();
        let mut grants: HashMap<Uuid, Entitlement> = HashMap::new();
        for grant in store::entitlement::of_sources(db, SourceKind::Rental, &sources).await? {
            grants.insert(grant.grant.source.id, grant);
        }
        let ids: Vec<ResourceId> = rows.iter().map(|row| row.resource).collect::<BTreeSet<_>>().into_iter().collect();
        let resources: HashMap<ResourceId, Resource> =
            store::resource::by_ids(db, &ids).await?.into_iter().map(|resource| (resource.id, resource)).collect();
        let mut parts: HashMap<RentalId, Vec<RentalPart>> = HashMap::new();
        for rental in rows {
            let grant = grants.remove(&rental.id.uuid()).ok_or_else(|| internal!("{} gave nothing", rental.id))?;
            parts.entry(rental.first).or_default().push(RentalPart { rental, grant });
        }
        let mut views = Vec::with_capacity(firsts.len());
        for first in firsts {
            let Some(parts) = parts.remove(first) else { continue };
            let Some(renting) = parts.first() else { continue };
            let resource = resources.get(&renting.rental.resource).cloned();
            let resource = resource.ok_or_else(|| internal!("{} was rented and is not there", renting.rental.resource))?;
            views.push(RentalView::of(*first, resource, parts, now));
        }
        Ok(views)
    }

    /// A page of rentals, the newest first: the caller's own, or somebody's whom the caller may see with `credits:read`.
    ///
    /// # Errors
    /// Nobody is signed in; somebody else's without the scope.
    pub async fn rentals(
        &self,
        caller: &Caller,
        account: Option<AccountId>,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<RentalView>> {
        caller.require_sign_in()?;
        let account = match account {
            Some(account) if caller.account() == Some(account) => Some(account),
            Some(account) => {
                caller.require(Topic::Credits.read())?;
                Some(account)
            }
            // A program has no rentals of its own: it lists everybody's.
            None if caller.account().is_none() => {
                caller.require(Topic::Credits.read())?;
                None
            }
            None => caller.account(),
        };
        let db = self.db.read();
        let Page { rows, has_next, has_previous, total } = store::rental::list(db, account, args, with_total).await?;
        let firsts: Vec<RentalId> = rows.iter().map(|row| row.id).collect();
        Ok(Page { rows: self.rental_views(db, &firsts).await?, has_next, has_previous, total })
    }

    /// Those of these rentals that the caller may see, by the ids asked for.
    ///
    /// # Errors
    /// The database's.
    pub async fn rentals_by_id(&self, caller: &Caller, ids: &[RentalId]) -> Result<HashMap<RentalId, RentalView>> {
        let db = self.db.read();
        let all = caller.may(Topic::Credits.read());
        let parts = store::rental::by_ids(db, ids).await?;
        let parts: Vec<&Rental> = parts.iter().filter(|part| all || caller.account() == Some(part.account)).collect();
        let firsts: Vec<RentalId> = parts.iter().map(|part| part.first).collect::<BTreeSet<_>>().into_iter().collect();
        let views = self.rental_views(db, &firsts).await?;
        let view = |first: RentalId| views.iter().find(|view| view.id == first).cloned();
        Ok(parts.into_iter().filter_map(|part| Some((part.id, view(part.first)?))).collect())
    }
}

impl RentalView {
    fn of(id: RentalId, resource: Resource, parts: Vec<RentalPart>, now: DateTime<Utc>) -> Self {
        let live = parts.iter().any(|part| !part.grant.is_over(now));
        let cut = parts.iter().rev().find(|part| !part.ran_out(now)).and_then(|part| part.grant.grant.ended_at);
        let last = parts.iter().filter(|part| part.grant.grant.ended_at.is_none()).filter_map(|part| part.grant.ends_at).max();
        let (standing, ends_at) = match (live, cut) {
            (true, _) => (Standing::Live, last),
            (false, Some(ended)) => (Standing::Ended, Some(ended)),
            (false, None) => (Standing::Expired, parts.iter().filter_map(|part| part.grant.ends_at).max()),
        };
        let starts_at = parts.first().map(|part| part.rental.rented_at);
        let account = parts.first().map_or_else(|| AccountId::new(Uuid::nil()), |part| part.rental.account);
        Self { id, account, resource, parts, standing, starts_at, ends_at }
    }
}

// ---- renting -------------------------------------------------------------------------------------------------------------------

/// What is taken from whom, for what.
struct Payment {
    account: AccountId,
    /// The rental that is renewed.
    first: Option<RentalId>,
    resource: Resource,
    cost: i64,
}

impl App {
    /// Rents a resource for the caller, for the credits agreed to. What is open already takes nothing, and its rental is given (R41).
    ///
    /// # Errors
    /// [`Code::CostChanged`] with the fresh quote; [`Code::InsufficientCredits`] with what is missing and where it is sold;
    /// [`Code::PaymentRequired`] where ordinary access opens it and there is none; [`Code::NotFound`], [`Code::Archived`].
    pub async fn resource_rent(&self, caller: &Caller, cmd: ResourceRent) -> Result<Answer<Rented>, NotRented> {
        let account = caller.require_account()?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "resourceRent", key: &cmd.key };
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "resource": cmd.resource, "expected": cmd.expected })).await? {
            let rental: Option<RentalId> = serde_json::from_value(earlier).map_err(Error::from)?;
            txn.commit().await?;
            return Ok(Answer { value: self.rented(account, cmd.resource, rental).await?, replayed: true });
        }
        // Two of one learner's come one after the other, so the second finds the first one's rental. The price stays as it is until the commit.
        store::entitlement::lock_learners(&txn, &[account]).await?;
        let missing = || Error::not_found("resourceId", "resource");
        let resource = store::resource::hold(&txn, cmd.resource).await?.ok_or_else(missing)?;
        let view = self.shown(&txn, account, resource).await?.ok_or_else(missing)?;
        let rental = match view.facts.rent(cmd.expected, self.now()) {
            Ok(None) => self.live_rental(&txn, account, cmd.resource).await?.map(|rental| rental.id),
            Ok(Some(cost)) => {
                let payment = Payment { account, first: None, resource: view.resource, cost };
                match self.pay_rental(&txn, caller, payment).await? {
                    Ok(rental) => Some(rental),
                    Err(short) => {
                        txn.rollback().await?;
                        return Err(self.short(account, cmd.resource, &short).await?);
                    }
                }
            }
            Err(refusal) => {
                txn.rollback().await?;
                let refusal = Refusal::from(refusal);
                let refusal = if refusal.field.is_empty() { refusal.under(["resourceId"]) } else { refusal };
                return Err(self.not_rented(account, cmd.resource, refusal).await?);
            }
        };
        idempotency::finish(&txn, &scope, json!(rental)).await?;
        txn.commit().await?;
        Ok(Answer { value: self.rented(account, cmd.resource, rental).await?, replayed: false })
    }

    /// Adds the days of today to the end of a living rental of the caller's, for the credits agreed to.
    ///
    /// # Errors
    /// As for [`App::resource_rent`]; [`Code::EntitlementEnded`] for a rental that is over, [`Code::NothingToPay`] for what is open without one.
    pub async fn rental_renew(&self, caller: &Caller, cmd: RentalRenew) -> Result<Answer<Rented>, NotRented> {
        let account = caller.require_account()?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "rentalRenew", key: &cmd.key };
        let missing = || Error::not_found("rentalId", "rental");
        let part = store::rental::by_ids(self.db.read(), &[cmd.rental]).await?.pop();
        let part = part.filter(|part| part.account == account).ok_or_else(missing)?;
        let txn = self.db.begin().await?;
        if let Some(earlier) = self.claim(&txn, &scope, &json!({ "rental": cmd.rental, "expected": cmd.expected })).await? {
            let rental: Option<RentalId> = serde_json::from_value(earlier).map_err(Error::from)?;
            txn.commit().await?;
            return Ok(Answer { value: self.rented(account, part.resource, rental).await?, replayed: true });
        }
        store::entitlement::lock_learners(&txn, &[account]).await?;
        let resource = store::resource::hold(&txn, part.resource).await?.ok_or_else(missing)?;
        let rental = self.rental_by_part(&txn, part.first).await?.ok_or_else(missing)?;
        let view = self.resource_views(&txn, account, vec![resource]).await?.pop().ok_or_else(missing)?;
        let mut facts = view.facts;
        // This rental's end, not that of a later one of the same resource.
        facts.rented_until = rental.ends_at.filter(|_| rental.standing.is_live());
        let cost = match facts.renew(cmd.expected, self.now()) {
            Ok(cost) => cost,
            Err(refusal) => {
                txn.rollback().await?;
                let refusal = Refusal::from(refusal);
                let refusal = if refusal.field.is_empty() { refusal.under(["rentalId"]) } else { refusal };
                return Err(self.not_rented(account, part.resource, refusal).await?);
            }
        };
        let payment = Payment { account, first: Some(part.first), resource: view.resource, cost };
        if let Err(short) = self.pay_rental(&txn, caller, payment).await? {
            txn.rollback().await?;
            return Err(self.short(account, part.resource, &short).await?);
        }
        idempotency::finish(&txn, &scope, json!(part.first)).await?;
        txn.commit().await?;
        Ok(Answer { value: self.rented(account, part.resource, Some(part.first)).await?, replayed: false })
    }

    /// Takes the credits and opens the resource. The caller holds the learner's row and the resource's.
    async fn pay_rental(&self, txn: &DatabaseTransaction, caller: &Caller, payment: Payment) -> Result<Result<RentalId, Short>> {
        let Payment { account, first, resource, cost } = payment;
        let (now, actor, id) = (self.now(), caller.actor(), entropy::next_id::<domain::RentalKind>());
        let (products, companies) = self.payers(txn, account, &resource).await?;
        let source = credit::Source { kind: credit::SourceKind::Rental, id: id.uuid() };
        let by = Move { cause: Cause::Spent, source, actor: &actor, reason: None, now, new_id: entropy::next_uuid };
        let spending = Spending { account, companies: &companies, cost, products: &products };
        if let Err(short) = store::credit::spend(txn, &spending, &by).await? {
            return Ok(Err(short));
        }
        let rental = Rental {
            id,
            first: first.unwrap_or(id),
            account,
            resource: resource.id,
            cost,
            days: resource.days,
            rented_at: now,
            given_back_at: None,
        };
        store::rental::insert(txn, &rental).await?;
        let grant = NewGrant {
            account,
            target: Target::Resource(resource.id),
            source: Source { kind: SourceKind::Rental, id: id.uuid() },
            order: None,
            actor,
            reason: None,
            terms: terms(resource.days),
            now,
        };
        self.grant(txn, grant).await?;
        Ok(Ok(rental.first))
    }

    async fn rented(&self, account: AccountId, resource: ResourceId, rental: Option<RentalId>) -> Result<Rented> {
        let db = self.db.read();
        let rental = match rental {
            Some(rental) => self.rental_views(db, &[rental]).await?.pop(),
            None => None,
        };
        let found = store::resource::by_ids(db, &[resource]).await?;
        let resource = self.resource_views(db, account, found).await?.pop().ok_or_else(|| internal!("{resource} is gone"))?;
        Ok(Rented { rental, resource })
    }

    /// The refusal with what it would take now.
    async fn not_rented(&self, account: AccountId, resource: ResourceId, refusal: Refusal) -> Result<NotRented> {
        let quote = self.quote_for(account, resource).await?.map(Box::new);
        Ok(NotRented { error: refusal.into(), quote })
    }

    /// The same for too few credits; the learner is told by mail, once a day.
    async fn short(&self, account: AccountId, resource: ResourceId, short: &Short) -> Result<NotRented> {
        self.tell_shortage(account, resource, short).await?;
        let quote = self.quote_for(account, resource).await?;
        let sold = match quote.as_ref().and_then(|quote| quote.credit_offers.first()) {
            Some(offer) => format!(" Credits are sold by offer {:?} ({}): {}", offer.title, offer.sku, offer.url),
            None => String::new(),
        };
        let refusal = Refusal::at(Code::InsufficientCredits, ["resourceId"], format!("{}{sold}", capitalised(&short.to_string())));
        Ok(NotRented { error: refusal.into(), quote: quote.map(Box::new) })
    }

    /// Queues the mail and the event that a learner's credits do not suffice, unless that was done this day.
    async fn tell_shortage(&self, account: AccountId, resource: ResourceId, short: &Short) -> Result<()> {
        let now = self.now();
        let day = now.with_timezone(&self.shop.time_zone).date_naive().to_string();
        let txn = self.db.begin().await?;
        // The account's events are numbered under its row.
        store::entitlement::lock_learners(&txn, &[account]).await?;
        if store::rental::note_shortage(&txn, account, &day, now).await? {
            self.mail_shortage(&txn, account, resource).await?;
            let data = json!({
                "accountId": account, "resourceId": resource, "needed": short.needed, "held": short.held, "missing": short.missing(),
            });
            self.tell(&txn, EventKind::CreditsShort, (account.uuid(), account.to_string()), data).await?;
            txn.commit().await?;
            self.woken();
        }
        Ok(())
    }

    /// Ends what is left of a rental, and gives back the credits of all that of it which was not had to its end: of the running part in whole,
    /// and of renewals that were still to come. They return to the lots that they came from; a lot whose end has come ends with them.
    ///
    /// # Errors
    /// Needs the scope `credits:write`; no such rental; one that is over, or whose credits were given back.
    pub async fn rental_end(&self, caller: &Caller, cmd: RentalEnd) -> Result<Answer<Ended>> {
        caller.require(Topic::Credits.write())?;
        let reason = text::line("reason", &cmd.reason, text::MAX_TITLE).map_err(|refusal| Refusal::from(refusal).under(["reason"]))?;
        let (now, actor) = (self.now(), caller.actor());
        let scope = Scope { actor: &actor, operation: "rentalEnd", key: &cmd.key };
        let missing = || Error::not_found("rentalId", "rental");
        let part = store::rental::by_ids(self.db.read(), &[cmd.rental]).await?.pop().ok_or_else(missing)?;
        let txn = self.db.begin().await?;
        let input = json!({ "rental": cmd.rental, "giveBack": cmd.give_back, "reason": reason });
        if let Some(earlier) = self.claim(&txn, &scope, &input).await? {
            let given_back: i64 = serde_json::from_value(earlier).map_err(Error::from)?;
            txn.commit().await?;
            let rental = self.rental_by_part(self.db.read(), part.first).await?.ok_or_else(missing)?;
            return Ok(Answer { value: Ended { rental, given_back }, replayed: true });
        }
        store::entitlement::lock_learners(&txn, &[part.account]).await?;
        let rental = self.rental_by_part(&txn, part.first).await?.ok_or_else(missing)?;
        let live: Vec<Entitlement> = rental.parts.iter().map(|part| part.grant.clone()).filter(|grant| !grant.is_over(now)).collect();
        let owed: Vec<RentalId> = rental
            .parts
            .iter()
            .filter(|part| cmd.give_back && part.rental.given_back_at.is_none() && !part.ran_out(now))
            .map(|part| part.rental.id)
            .collect();
        if live.is_empty() && owed.is_empty() {
            let message =
                "This rental is over, or its credits were given back; there is nothing to end. Credits can be granted with creditGrant.";
            return Err(Error::refused(Code::EntitlementEnded, ["rentalId"], message));
        }
        self.end_grants(&txn, &live, &reason, now).await?;
        let mut given_back = 0_i64;
        for id in &owed {
            let source = credit::Source { kind: credit::SourceKind::Rental, id: id.uuid() };
            let by = Move { cause: Cause::GivenBack, source, actor: &actor, reason: Some(&reason), now, new_id: entropy::next_uuid };
            let draws = store::credit::give_back(&txn, source, &by).await?;
            given_back = draws.iter().fold(given_back, |sum, draw| sum.saturating_add(draw.count));
        }
        store::rental::given_back(&txn, &owed, now).await?;
        let new = json!({ "account": part.account, "resource": part.resource, "reason": reason, "givenBack": given_back, "endedAt": now });
        self.audit(&txn, caller, "rentalEnd", Object::new("rental", part.first.uuid()), None, Some(new)).await?;
        idempotency::finish(&txn, &scope, json!(given_back)).await?;
        txn.commit().await?;
        let rental = self.rental_by_part(self.db.read(), part.first).await?.ok_or_else(missing)?;
        Ok(Answer { value: Ended { rental, given_back }, replayed: false })
    }
}
