//! Credits: what people and companies hold, the lots and entries behind it, and granting and taking away by hand.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, NaiveDate, Utc};
use domain::credit::{Book, Owner};
use domain::{AccountId, CompanyId};

use super::company::Company;
use super::connection::{List, connection, wants_total};
use super::error::{answer, payload, scope};
use super::product::Product;
use super::scalar::{Long, input_id, named_enum};
use crate::app::caller::Topic;
use crate::app::credit::{self as app, RevokeOf};
use crate::app::credit_report as report;
use crate::error::{Code, Error, Refusal, Result};
use crate::page::ListName;

named_enum! {
    /// Why credits moved: SOLD by an order, GRANTED by the shop, SPENT, GIVEN_BACK because what they paid for was undone, EXPIRED, TAKEN_BACK by a
    /// refund, RESTORED because that refund came to nothing, REVOKED by the shop.
    CreditCause(domain::credit::Cause)
}

named_enum! {
    /// What kind of thing made credits move.
    CreditSourceKind(domain::credit::SourceKind)
}

/// What somebody holds.
#[derive(Debug, Clone, Copy)]
pub struct Credits(Owner);

/// What ends next.
#[derive(Debug, Clone, SimpleObject)]
pub struct CreditExpiry {
    /// From when on it counts for nothing.
    pub at: DateTime<Utc>,
    /// How many credits end then.
    pub count: Long,
}

#[Object]
impl Credits {
    /// What can be spent now, credits included that pay for certain courses only.
    async fn balance(&self, ctx: &Context<'_>) -> async_graphql::Result<Long> {
        let (app, _) = scope(ctx)?;
        Ok(Long(answer(app.credit_holdings(self.0).await)?.balance))
    }

    /// What ends next; null if nothing does.
    async fn next_expiry(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<CreditExpiry>> {
        let (app, _) = scope(ctx)?;
        let next = answer(app.credit_holdings(self.0).await)?.next_expiry;
        Ok(next.map(|(at, count)| CreditExpiry { at, count: Long(count) }))
    }

    /// The lots, the newest first; unless `open` is false, those only that something can be spent of.
    async fn lots(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = true)] open: bool,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<CreditLot>> {
        let (app, _) = scope(ctx)?;
        let now = app.now();
        answer(
            async {
                let list = ListName::new("credits.lots", &(self.0.uuid(), open))?;
                let page = app.credit_lots(self.0, open, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, app::lot_key, |row| CreditLot::of(&row, now))
            }
            .await,
        )
    }

    /// Every move of the credits, the newest first.
    async fn entries(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<CreditEntry>> {
        let (app, caller) = scope(ctx)?;
        let told = caller.may(Topic::Credits.read());
        answer(
            async {
                let list = ListName::new("credits.entries", &self.0.uuid())?;
                let page = app.credit_entries(self.0, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, app::entry_key, |entry| CreditEntry::of(&entry, told))
            }
            .await,
        )
    }

    /// What my companies let me spend of their credits once my own are spent; of others' credits, and where no company does, an empty list.
    async fn companies(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<CompanyCredits>> {
        let (app, caller) = scope(ctx)?;
        match self.0 {
            Owner::Account(account) if caller.account() == Some(account) => {
                Ok(answer(app.company_purses(account).await)?.into_iter().map(CompanyCredits::from).collect())
            }
            Owner::Account(_) | Owner::Company(_) => Ok(Vec::new()),
        }
    }
}

/// What a company lets a learner spend of its credits.
#[derive(Debug, Clone, SimpleObject)]
pub struct CompanyCredits {
    /// The company.
    pub company: Company,
    /// What the learner may spend in all.
    pub limit: Long,
    /// Of that, what is spent.
    pub spent: Long,
    /// What can be spent now: what the limit leaves, as far as the company has so many.
    pub available: Long,
}

impl From<app::CompanyPurse> for CompanyCredits {
    fn from(purse: app::CompanyPurse) -> Self {
        Self {
            limit: Long(purse.allowance.limit),
            spent: Long(purse.allowance.spent),
            available: Long(purse.allowance.left().min(purse.balance)),
            company: purse.company.into(),
        }
    }
}

/// Credits that were granted together.
#[derive(Debug, Clone, SimpleObject)]
pub struct CreditLot {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// Granted in all.
    pub count: Long,
    /// What can be spent of it now: nothing from its end on.
    pub left: Long,
    /// What was spent of it, less what was given back.
    pub spent: Long,
    /// What was left at its end.
    pub expired: Long,
    /// What was taken away, by a refund or by the shop.
    pub revoked: Long,
    /// When it was granted.
    pub granted_at: DateTime<Utc>,
    /// From when on it counts for nothing; null = never.
    pub expires_at: Option<DateTime<Utc>>,
    /// The product for whose courses alone it pays; null = it pays for any.
    pub tied_to_product_id: Option<ID>,
    /// The title of that product.
    pub tied_to_title: Option<String>,
    /// What kind of thing granted it.
    pub source: CreditSourceKind,
}

impl CreditLot {
    /// The lot as it is at `now`.
    pub fn of(row: &app::LotRow, now: DateTime<Utc>) -> Self {
        let lot = &row.lot;
        Self {
            id: lot.id.to_string().into(),
            count: Long(lot.figures.count),
            left: Long(lot.open(now)),
            spent: Long(lot.figures.spent),
            expired: Long(lot.figures.expired + lot.lapsed(now)),
            revoked: Long(lot.figures.revoked),
            granted_at: lot.granted_at,
            expires_at: lot.expires_at,
            tied_to_product_id: lot.tied.map(|product| product.to_string().into()),
            tied_to_title: row.tied_title.clone(),
            source: row.source.kind.into(),
        }
    }
}

/// A move of credits.
#[derive(Debug, Clone, SimpleObject)]
pub struct CreditEntry {
    /// Its id.
    pub id: ID,
    /// Why they moved.
    pub cause: CreditCause,
    /// What it changed of the balance: more than 0 for what came, less for what went.
    pub change: Long,
    /// When.
    pub happened_at: DateTime<Utc>,
    /// What kind of thing moved them.
    pub source: CreditSourceKind,
    /// How many of each lot.
    pub lots: Vec<CreditEntryLot>,
    /// The learner who spent them, of a company's credits too.
    pub account_id: Option<ID>,
    /// Who did it, for operators.
    pub actor: Option<String>,
    /// Why, in words, for operators.
    pub reason: Option<String>,
}

/// What an entry moved of a lot.
#[derive(Debug, Clone, SimpleObject)]
pub struct CreditEntryLot {
    /// The lot.
    pub lot_id: ID,
    /// How many credits.
    pub count: Long,
}

impl CreditEntry {
    /// `told`: whether the caller is told who did it and why.
    fn of(entry: &app::Entry, told: bool) -> Self {
        let sign = if entry.cause.books().1 == Book::Held { 1 } else { -1 };
        Self {
            id: entry.id.to_string().into(),
            cause: entry.cause.into(),
            change: Long(sign * entry.count),
            happened_at: entry.happened_at,
            source: entry.source.kind.into(),
            lots: entry.lots.iter().map(|(lot, count)| CreditEntryLot { lot_id: lot.to_string().into(), count: Long(*count) }).collect(),
            account_id: entry.account.map(|account| account.to_string().into()),
            actor: told.then(|| entry.actor.clone()),
            reason: entry.reason.clone().filter(|_| told),
        }
    }
}

/// What the signed-in person holds: a part of [`super::account::Me`].
#[derive(Debug)]
pub struct MeCredits(pub AccountId);

#[Object]
impl MeCredits {
    /// My credits.
    async fn credits(&self) -> Credits {
        Credits(Owner::Account(self.0))
    }
}

/// Credits to be granted. Name exactly one of account and company.
#[derive(Debug, InputObject)]
pub struct CreditGrantInput {
    /// The person who gets them.
    pub account_id: Option<ID>,
    /// The company that gets them.
    pub company_id: Option<ID>,
    /// How many: 1 to 1,000,000,000.
    pub count: Long,
    /// From when on they count for nothing; never unless given.
    pub expires_at: Option<DateTime<Utc>>,
    /// The product for whose courses alone they pay; for any unless given.
    pub tied_to_product_id: Option<ID>,
    /// Why; kept in the books.
    pub reason: String,
    /// A new key for each thing you want done; the same again changes nothing and gives the same answer.
    pub idempotency_key: String,
}

/// Credits to be taken away. Name exactly one of lot, account and company.
#[derive(Debug, InputObject)]
pub struct CreditRevokeInput {
    /// The lot to take from.
    pub lot_id: Option<ID>,
    /// The person to take from: first what would be spent first.
    pub account_id: Option<ID>,
    /// The company to take from: first what would be spent first.
    pub company_id: Option<ID>,
    /// How many; all that are left unless given. Refused if fewer are left.
    pub count: Option<Long>,
    /// Why; kept in the books.
    pub reason: String,
    /// A new key for each thing you want done; the same again changes nothing and gives the same answer.
    pub idempotency_key: String,
}

/// What a company is to let its learners spend.
#[derive(Debug, InputObject)]
pub struct CompanyCreditLimitSetInput {
    /// The company.
    pub company_id: ID,
    /// How many of its credits each of its learners may spend in all; null = none of them may.
    pub limit: Option<Long>,
}

payload! {
    /// The answer of creditGrant.
    CreditGrantPayload {
        /// The new lot.
        lot: CreditLot, replayed
    }
}

payload! {
    /// The answer of creditRevoke.
    CreditRevokePayload {
        /// What was taken, and of which lots.
        entry: CreditEntry, replayed
    }
}

payload! {
    /// The answer of companyCreditLimitSet.
    CompanyCreditLimitSetPayload {
        /// The company as it is now.
        company: Company
    }
}

named_enum! {
    /// Whether a report of credits has a row for each DAY or for each MONTH.
    CreditReportParts(domain::credit::report::ReportParts)
}

/// What to report of credits.
#[derive(Debug, Default, InputObject)]
pub struct CreditReportFilter {
    /// From the beginning of this day of the shop; the first day of the month eleven months before the last day unless given.
    first_day: Option<NaiveDate>,
    /// To the end of this day; today unless given.
    last_day: Option<NaiveDate>,
    /// Of credits that were sold with this product.
    product_id: Option<ID>,
}

/// What became of the credits of a product in a day or month.
#[derive(Debug, Clone, SimpleObject)]
pub struct CreditReportRow {
    /// The first day that the row is about.
    pub first_day: NaiveDate,
    /// The product that they were sold with; null for those that were sold with none.
    pub product: Option<Product>,
    /// Granted, by sales and by hand.
    pub issued: Long,
    /// Paid with, less what was given back.
    pub spent: Long,
    /// Left at their lots' ends.
    pub expired: Long,
    /// Taken away again, by refunds and by hand.
    pub revoked: Long,
    /// What is held at the end of it, or now: what the shop owes.
    pub outstanding: Long,
}

impl From<report::CreditReportRow> for CreditReportRow {
    fn from(row: report::CreditReportRow) -> Self {
        let figures = row.figures;
        Self {
            first_day: row.part.first_day,
            product: row.product.map(Product::from),
            issued: Long(figures.issued),
            spent: Long(figures.spent),
            expired: Long(figures.expired),
            revoked: Long(figures.revoked),
            outstanding: Long(figures.outstanding),
        }
    }
}

/// Queries about credits.
#[derive(Debug, Default)]
pub struct CreditQuery;

#[Object]
impl CreditQuery {
    /// What a person or a company holds; name exactly one of them. For operators; a company's also for its managers.
    async fn credits(&self, ctx: &Context<'_>, account_id: Option<ID>, company_id: Option<ID>) -> async_graphql::Result<Option<Credits>> {
        let (app, caller) = scope(ctx)?;
        let owner = match (account_id, company_id) {
            (Some(id), None) => app.credits_of_account(caller, AccountId::parse(&id)).await,
            (None, Some(id)) => app.credits_of_company(caller, CompanyId::parse(&id)).await,
            _ => Err(Error::BadInput("Name exactly one of `accountId` and `companyId`.".to_owned())),
        };
        Ok(answer(owner)?.map(Credits))
    }

    /// What became of credits by day or month and by product, in this order: issued, spent, expired, revoked, and what the shop still owes. A product
    /// of which nothing moved and nothing is held has no row. For operators and keys with reports:read.
    async fn credit_report(
        &self,
        ctx: &Context<'_>,
        filter: Option<CreditReportFilter>,
        #[graphql(desc = "By months unless given.")] by: Option<CreditReportParts>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<CreditReportRow>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Reports.read())?;
                let filter = filter.unwrap_or_default();
                let wish = report::CreditReportWish {
                    first_day: filter.first_day,
                    last_day: filter.last_day,
                    product: filter.product_id.as_ref().map(|id| input_id(id, "productId", "product")).transpose()?,
                    by: by.map_or(domain::credit::report::ReportParts::Month, |by| by.0),
                };
                let list = ListName::new("creditReport", &wish)?;
                let args = list.args(first, after.as_deref())?;
                let page = report::page(app.credit_report(caller, &wish).await?, &args);
                connection(&list, page, report::CreditReportRow::place, CreditReportRow::from)
            }
            .await,
        )
    }
}

/// Mutations of credits.
#[derive(Debug, Default)]
pub struct CreditMutation;

#[Object]
impl CreditMutation {
    /// Grants credits. For operators and keys with credits:write.
    async fn credit_grant(&self, ctx: &Context<'_>, input: CreditGrantInput) -> async_graphql::Result<CreditGrantPayload> {
        let (app, caller) = scope(ctx)?;
        let now = app.now();
        let granted = async {
            caller.require(Topic::Credits.write())?;
            let cmd = app::CreditGrant {
                owner: owner(input.account_id.as_ref(), input.company_id.as_ref())?,
                count: input.count.0,
                expires_at: input.expires_at,
                tied: input.tied_to_product_id.as_ref().map(|id| input_id(id, "tiedToProductId", "product")).transpose()?,
                reason: input.reason,
                idempotency_key: input.idempotency_key,
            };
            Ok(app.credit_grant(caller, cmd).await?.map(|row| CreditLot::of(&row, now)))
        };
        CreditGrantPayload::of(granted.await)
    }

    /// Takes credits away that are not spent. For operators and keys with credits:write.
    async fn credit_revoke(&self, ctx: &Context<'_>, input: CreditRevokeInput) -> async_graphql::Result<CreditRevokePayload> {
        let (app, caller) = scope(ctx)?;
        let revoked = async {
            caller.require(Topic::Credits.write())?;
            let of = match (&input.lot_id, &input.account_id, &input.company_id) {
                (Some(id), None, None) => RevokeOf::Lot(input_id(id, "lotId", "lot of credits")?),
                (Some(_), ..) => return Err(Refusal::new(Code::Required, "Name exactly one of lotId, accountId and companyId.").into()),
                (None, account, company) => RevokeOf::Owner(owner(account.as_ref(), company.as_ref())?),
            };
            let cmd = app::CreditRevoke {
                of,
                count: input.count.map(|count| count.0),
                reason: input.reason,
                idempotency_key: input.idempotency_key,
            };
            Ok(app.credit_revoke(caller, cmd).await?.map(|entry| CreditEntry::of(&entry, true)))
        };
        CreditRevokePayload::of(revoked.await)
    }

    /// Says how many of a company's credits each of its learners may spend. For operators and the company's own managers.
    async fn company_credit_limit_set(
        &self,
        ctx: &Context<'_>,
        input: CompanyCreditLimitSetInput,
    ) -> async_graphql::Result<CompanyCreditLimitSetPayload> {
        let (app, caller) = scope(ctx)?;
        let set = async {
            let id = app.require_for(caller, Topic::Credits.write(), CompanyId::parse(&input.company_id), "companyId")?;
            app.company_credit_limit_set(caller, id, input.limit.map(|limit| limit.0)).await
        };
        CompanyCreditLimitSetPayload::of(set.await)
    }
}

fn owner(account: Option<&ID>, company: Option<&ID>) -> Result<Owner> {
    match (account, company) {
        (Some(id), None) => Ok(Owner::Account(input_id(id, "accountId", "account")?)),
        (None, Some(id)) => Ok(Owner::Company(input_id(id, "companyId", "company")?)),
        _ => Err(Refusal::new(Code::Required, "Name exactly one of accountId and companyId.").into()),
    }
}
