//! Companies and their people, for operators and the companies' own managers.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::CompanyId;

use super::catalog::{Archived, words};
use super::connection::{Finder, List, connection, exported, wants_total};
use super::error::{answer, payload, scope};
use super::royalty::Originator;
use super::sales_order::TokensOn;
use super::scalar::{Long, input_id, named_enum};
use crate::app::company::{self as app, MemberName};
use crate::app::export::Export;
use crate::error::{Faults, Refusal, Result};
use crate::page::ListName;

named_enum! {
    /// How a company buys: RETAIL, its learners buy for themselves with cart and order; SALES_ORDER, seats are sold to it in bulk.
    CompanyType(domain::company::CompanyType)
}

named_enum! {
    /// Who sees a company's offers: everybody (PUBLIC) or its members (MEMBERS).
    Storefront(domain::company::Storefront)
}

named_enum! {
    /// What somebody is in a company.
    MemberRole(domain::company::MemberRole)
}

named_enum! {
    /// How somebody came into a company: named by a MANAGER or an operator, or by redeeming a TOKEN.
    MemberVia(domain::company::MemberVia)
}

/// An organisation that buys or resells.
#[derive(Debug, Clone)]
pub struct Company(app::Company);

impl From<app::Company> for Company {
    fn from(company: app::Company) -> Self {
        Self(company)
    }
}

#[Object]
impl Company {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Its unique key; settings name companies by it.
    async fn key(&self) -> &str {
        &self.0.key
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// How it buys; fixed at creation.
    #[graphql(name = "type")]
    async fn company_type(&self) -> CompanyType {
        self.0.company_type.into()
    }

    /// Whether it makes sales and its managers can act for it. Off, running access goes on.
    async fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// IANA zone of its days; null = the shop's.
    async fn time_zone(&self) -> Option<&'static str> {
        self.0.time_zone.map(|zone| zone.name())
    }

    /// Who sees its offers.
    async fn storefront(&self) -> Storefront {
        self.0.storefront.into()
    }

    /// E-mail domains whose verified people are members.
    async fn email_domains(&self) -> &[String] {
        &self.0.email_domains
    }

    /// Days after a result from which its learners may register for a course again; null = never.
    async fn reregistration_days(&self) -> Option<u32> {
        self.0.reregistration_days
    }

    /// ISO 3166 code of its country, where buyers give none.
    async fn country(&self) -> Option<&str> {
        self.0.country.as_deref()
    }

    /// Whether sales through it are free of tax.
    async fn tax_exempt(&self) -> bool {
        self.0.tax_exempt
    }

    /// Who counts as having made its retail sales: royalties can differ by that.
    async fn originator(&self) -> Originator {
        self.0.originator.into()
    }

    /// How many of its credits each of its learners may spend in all; null = none of them may.
    async fn credit_limit(&self) -> Option<Long> {
        self.0.credit_limit.map(Long)
    }

    /// When the seats of its sales orders are given; null = as the shop says.
    async fn tokens_on(&self) -> Option<TokensOn> {
        self.0.tokens_on.map(TokensOn)
    }

    /// How many seats it may take beyond those that it bought, until they are paid; null = none.
    async fn overage_limit(&self) -> Option<u32> {
        self.0.overage_limit
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn touched_at(&self) -> DateTime<Utc> {
        self.0.touched_at
    }

    /// When it was archived.
    async fn archived_at(&self) -> Option<DateTime<Utc>> {
        self.0.archived_at
    }
}

/// What companies are to the person who is signed in: a part of [`super::account::Me`].
#[derive(Debug)]
pub struct MeCompanies(pub domain::AccountId);

#[Object]
impl MeCompanies {
    /// The companies that the person is a member of: named by a manager, by a redeemed token, or by the domain of a verified e-mail.
    async fn companies(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Company>> {
        let (app, _) = scope(ctx)?;
        Ok(answer(app.companies_of(self.0).await)?.into_iter().map(Company::from).collect())
    }
}

/// Somebody whom a manager or a token made part of a company.
#[derive(Debug, Clone, SimpleObject)]
pub struct CompanyMember {
    /// The account.
    pub account_id: ID,
    /// Its e-mail; null once erased.
    pub email: Option<String>,
    /// What they are.
    pub role: MemberRole,
    /// How they came in.
    pub via: MemberVia,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl From<app::Member> for CompanyMember {
    fn from(member: app::Member) -> Self {
        Self {
            account_id: member.account.to_string().into(),
            email: member.email,
            role: member.role.into(),
            via: member.via.into(),
            since: member.since,
        }
    }
}

/// A company to be created.
#[derive(Debug, InputObject)]
pub struct CompanyCreateInput {
    /// Its unique key: 1 to 62 letters, digits, dots, underscores, hyphens. Made from the name unless given.
    pub key: Option<String>,
    /// Its name.
    pub name: String,
    /// How it buys; fixed from now on.
    #[graphql(name = "type")]
    pub company_type: CompanyType,
    /// Whether it makes sales; true unless given.
    pub enabled: Option<bool>,
    /// IANA zone of its days, such as "Europe/Vienna"; the shop's unless given.
    pub time_zone: Option<String>,
    /// Who sees its offers; PUBLIC for RETAIL and MEMBERS for SALES_ORDER unless given.
    pub storefront: Option<Storefront>,
    /// E-mail domains whose verified people are members, such as "example.org".
    pub email_domains: Option<Vec<String>>,
    /// Days after a result from which its learners may register for a course again; left out = never.
    pub reregistration_days: Option<i64>,
    /// ISO 3166 code of its country: what its sales are taxed by where the buyer gives no address.
    pub country: Option<String>,
    /// Whether sales through it are free of tax; false unless given.
    pub tax_exempt: Option<bool>,
    /// Who counts as having made its retail sales, for royalties; COMPANY unless given.
    pub originator: Option<Originator>,
    /// When the seats of its sales orders are given; as the shop says unless given.
    pub tokens_on: Option<TokensOn>,
    /// How many seats its managers may hand out beyond those that it bought, until they are paid: up to 10,000. Left out = none.
    pub overage_limit: Option<i64>,
}

/// What is to change of a company; what is left out stays.
#[derive(Debug, InputObject)]
pub struct CompanyUpdateInput {
    /// The company.
    pub id: ID,
    /// Its unique key.
    pub key: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Cannot change: another type than it has is refused with COMPANY_TYPE_FIXED.
    #[graphql(name = "type")]
    pub company_type: Option<CompanyType>,
    /// Whether it makes sales and its managers can act for it.
    pub enabled: Option<bool>,
    /// IANA zone of its days; null = the shop's. Windows that were given in days stay as they are.
    pub time_zone: MaybeUndefined<String>,
    /// Who sees its offers.
    pub storefront: Option<Storefront>,
    /// All e-mail domains whose verified people are members.
    pub email_domains: Option<Vec<String>>,
    /// Days after a result from which its learners may register for a course again; null = never.
    pub reregistration_days: MaybeUndefined<i64>,
    /// ISO 3166 code of its country; null = not known.
    pub country: MaybeUndefined<String>,
    /// Whether sales through it are free of tax, for later orders.
    pub tax_exempt: Option<bool>,
    /// Who counts as having made its retail sales from now on, for royalties.
    pub originator: Option<Originator>,
    /// When the seats of its sales orders are given; null = as the shop says.
    pub tokens_on: MaybeUndefined<TokensOn>,
    /// How many seats its managers may hand out beyond those that it bought, until they are paid: up to 10,000; null = none.
    pub overage_limit: MaybeUndefined<i64>,
}

/// A company to be archived.
#[derive(Debug, InputObject)]
pub struct CompanyArchiveInput {
    /// The company.
    pub id: ID,
}

/// A person, by exactly one of account and e-mail.
#[derive(Debug, InputObject)]
pub struct CompanyMemberInput {
    /// The account.
    pub account_id: Option<ID>,
    /// The e-mail. Somebody who has no account yet gets one, and comes in by a mailed link.
    pub email: Option<String>,
}

/// Who is to be what in a company; whoever is not named stays as they are. At most 1,000 people at once.
#[derive(Debug, InputObject)]
pub struct CompanyMembersSetInput {
    /// The company.
    pub company_id: ID,
    /// Who is to be a manager.
    pub managers: Option<Vec<CompanyMemberInput>>,
    /// Who is to be a learner.
    pub learners: Option<Vec<CompanyMemberInput>>,
    /// Who is to leave.
    pub remove: Option<Vec<CompanyMemberInput>>,
}

payload! {
    /// The answer of companyCreate.
    CompanyCreatePayload {
        /// The new company.
        company: Company
    }
}

payload! {
    /// The answer of companyUpdate.
    CompanyUpdatePayload {
        /// The company as it is now.
        company: Company
    }
}

payload! {
    /// The answer of companyArchive.
    CompanyArchivePayload {
        /// The archived company.
        company: Company
    }
}

payload! {
    /// The answer of companyMembersSet.
    CompanyMembersSetPayload {
        /// The company.
        company: Company
    }
}

/// Which companies to list.
#[derive(Debug, Default, InputObject)]
pub struct CompanyFilter {
    /// Words that all occur in the key or the name.
    search: Option<String>,
    /// Archived ones too?
    #[graphql(default)]
    archived: Archived,
}

/// Queries about companies.
#[derive(Debug, Default)]
pub struct CompanyQuery;

#[Object]
impl CompanyQuery {
    /// A company, for operators and its own managers.
    async fn company(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Company>> {
        let (app, caller) = scope(ctx)?;
        Ok(answer(app.company(caller, CompanyId::parse(&id)).await)?.map(Company::from))
    }

    /// The companies, the newest first, for operators.
    async fn companies(
        &self,
        ctx: &Context<'_>,
        filter: Option<CompanyFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Finder<Company>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                let CompanyFilter { search, archived } = filter.unwrap_or_default();
                let filter = app::CompanyFilter { words: words(search.as_deref())?, archived: archived.into() };
                let list = ListName::new("companies", &filter)?;
                let page = app.companies(caller, &filter, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                exported(&list, page, Export::Companies(filter), |company| (app::key(company), company.id.uuid()), Company::from)
            }
            .await,
        )
    }

    /// The people whom a manager or a token made part of a company, for operators and its own managers. Those who are members only by the domain
    /// of their e-mail are not listed.
    async fn company_members(
        &self,
        ctx: &Context<'_>,
        company_id: ID,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Option<List<CompanyMember>>> {
        let (app, caller) = scope(ctx)?;
        let total = wants_total(ctx);
        answer(
            async {
                let list = ListName::new("companyMembers", &company_id.as_str())?;
                let args = list.args(first, after.as_deref())?;
                match app.company_members(caller, CompanyId::parse(&company_id), &args, total).await? {
                    Some(page) => connection(&list, page, |member| member.account.uuid(), CompanyMember::from).map(Some),
                    None => Ok(None),
                }
            }
            .await,
        )
    }
}

/// Mutations of companies.
#[derive(Debug, Default)]
pub struct CompanyMutation;

#[Object]
impl CompanyMutation {
    /// Creates a company. For operators.
    async fn company_create(&self, ctx: &Context<'_>, input: CompanyCreateInput) -> async_graphql::Result<CompanyCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let cmd = app::CompanyCreate {
            key: input.key,
            name: input.name,
            company_type: input.company_type.0,
            enabled: input.enabled,
            time_zone: input.time_zone,
            storefront: input.storefront.map(|storefront| storefront.0),
            email_domains: input.email_domains.unwrap_or_default(),
            reregistration_days: input.reregistration_days,
            country: input.country,
            tax_exempt: input.tax_exempt.unwrap_or(false),
            originator: input.originator.map(|originator| originator.0),
            tokens_on: input.tokens_on.map(|on| on.0),
            overage_limit: input.overage_limit,
        };
        CompanyCreatePayload::of(app.company_create(caller, cmd).await)
    }

    /// Changes a company; its type is fixed. For operators.
    async fn company_update(&self, ctx: &Context<'_>, input: CompanyUpdateInput) -> async_graphql::Result<CompanyUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        CompanyUpdatePayload::of(
            async {
                caller.require(crate::app::caller::Topic::Companies.write())?;
                let cmd = app::CompanyUpdate {
                    id: input_id(&input.id, "id", "company")?,
                    key: input.key,
                    name: input.name,
                    company_type: input.company_type.map(|company_type| company_type.0),
                    enabled: input.enabled,
                    time_zone: match input.time_zone {
                        MaybeUndefined::Undefined => None,
                        MaybeUndefined::Null => Some(None),
                        MaybeUndefined::Value(zone) => Some(Some(zone)),
                    },
                    storefront: input.storefront.map(|storefront| storefront.0),
                    email_domains: input.email_domains,
                    reregistration_days: input.reregistration_days.into(),
                    country: input.country.into(),
                    tax_exempt: input.tax_exempt,
                    originator: input.originator.map(|originator| originator.0),
                    tokens_on: input.tokens_on.map_value(|on| on.0).into(),
                    overage_limit: input.overage_limit.into(),
                };
                app.company_update(caller, cmd).await
            }
            .await,
        )
    }

    /// Archives a company: no sales, no managers; running access goes on. For operators.
    async fn company_archive(&self, ctx: &Context<'_>, input: CompanyArchiveInput) -> async_graphql::Result<CompanyArchivePayload> {
        let (app, caller) = scope(ctx)?;
        CompanyArchivePayload::of(
            async {
                caller.require(crate::app::caller::Topic::Companies.write())?;
                app.company_archive(caller, input_id(&input.id, "id", "company")?).await
            }
            .await,
        )
    }

    /// Names a company's managers and learners, and takes people out. For operators and the company's own managers.
    async fn company_members_set(
        &self,
        ctx: &Context<'_>,
        input: CompanyMembersSetInput,
    ) -> async_graphql::Result<CompanyMembersSetPayload> {
        let (app, caller) = scope(ctx)?;
        CompanyMembersSetPayload::of(
            async {
                let write = crate::app::caller::Topic::Companies.write();
                let id = app.require_for(caller, write, CompanyId::parse(&input.company_id), "companyId")?;
                let mut faults = Faults::default();
                let managers = names(&mut faults, "managers", input.managers);
                let learners = names(&mut faults, "learners", input.learners);
                let remove = names(&mut faults, "remove", input.remove);
                faults.check()?;
                app.company_members_set(caller, app::CompanyMembersSet { id, managers, learners, remove }).await
            }
            .await,
        )
    }
}

fn names(faults: &mut Faults, list: &str, given: Option<Vec<CompanyMemberInput>>) -> Vec<MemberName> {
    given
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(place, member)| faults.of(name(member).map_err(|refusal| refusal.under([list.to_owned(), place.to_string()]))))
        .collect()
}

fn name(member: CompanyMemberInput) -> Result<MemberName, Refusal> {
    use crate::error::Code;
    match (member.account_id, member.email) {
        (Some(id), None) => domain::AccountId::parse(&id).map(MemberName::Account).ok_or_else(|| {
            Refusal::at(Code::NotFound, ["accountId"], "There is no such account; check the id, or name the person by e-mail.")
        }),
        (None, Some(email)) => {
            domain::text::Email::parse(&email).map(MemberName::Email).map_err(|reason| Refusal::from(reason).under(["email"]))
        }
        _ => Err(Refusal::new(Code::Required, "Name each person either by accountId or by email, exactly one of them.")),
    }
}
