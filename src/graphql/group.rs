//! Groups, their content and members, as operators see and change them.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject, Union};
use chrono::{DateTime, Utc};
use domain::catalog::{GroupCommerceChange, ProductFields};
use domain::entitlement::Target;
use domain::{CompanyId, CourseId, GroupId, LibraryId};
use uuid::Uuid;

use super::account::AccountAttribute;
use super::catalog::{Archived, Course, Library, Sort, may_read, words};
use super::connection::{List, connection, wants_total};
use super::credit_pack::credit_wish;
use super::error::{answer, payload, scope};
use super::loader::{ContentOf, ProductOf, loaders};
use super::price::{PriceInput, parse_prices};
use super::product::{Product, SaleState};
use super::scalar::{input_id, input_ids, named_enum};
use crate::app::caller::Topic;
use crate::app::catalog;
use crate::app::group as app;
use crate::app::product::TermsWish;
use crate::error::{Code, Refusal, Result};
use crate::page::ListName;

named_enum! {
    /// How people come into a group: MANUAL, somebody puts them in or they buy it; AUTOMATIC, a rule decides.
    GroupKind(domain::catalog::GroupKind)
}

named_enum! {
    /// What kind of thing gave a grant.
    GrantSource(domain::entitlement::SourceKind)
}

/// People who may see or get certain content.
#[derive(Debug, Clone)]
pub struct Group(app::Group);

impl From<app::Group> for Group {
    fn from(group: app::Group) -> Self {
        Self(group)
    }
}

#[Object]
impl Group {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Title.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// Description; may be empty.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// How people come in.
    async fn kind(&self) -> GroupKind {
        self.0.kind.into()
    }

    /// Who is in an AUTOMATIC group.
    async fn rule(&self) -> Option<GroupRule> {
        self.0.rule.as_ref().map(|rule| match rule {
            app::Rule::Company(company) => GroupRule { company_id: Some(company.to_string().into()), email_domain: None, attribute: None },
            app::Rule::EmailDomain(domain) => GroupRule { company_id: None, email_domain: Some(domain.clone()), attribute: None },
            app::Rule::Attribute { name, value } => {
                let attribute = AccountAttribute { name: name.clone(), value: value.clone() };
                GroupRule { company_id: None, email_domain: None, attribute: Some(attribute) }
            }
        })
    }

    /// What members see and get.
    async fn content(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<GroupContent>> {
        Ok(loaders(ctx)?.list(ContentOf(self.0.id)).await?.into_iter().map(GroupContent).collect())
    }

    /// How membership is sold; null if it is not. Given at creation, and for good.
    async fn commerce(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<GroupCommerce>> {
        let product = loaders(ctx)?.one(ProductOf(self.0.id.uuid())).await?;
        Ok(product.map(|product| GroupCommerce { months: product.terms.value, product: product.into() }))
    }

    /// Whether members open resources without credits: what those cost falls away, and ordinary access to the course decides. One such group
    /// suffices.
    async fn ignores_credits(&self) -> bool {
        self.0.ignores_credits
    }

    /// Its product, if membership is sold; the same as `commerce.product`.
    async fn product(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Product>> {
        Ok(loaders(ctx)?.one(ProductOf(self.0.id.uuid())).await?.map(Product::from))
    }

    /// Who is in it now, by grant or by rule.
    async fn members(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<GroupMember>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                let list = ListName::new("groupMembers", &self.0.id)?;
                let page = app.group_members(caller, &self.0, &list.args::<Uuid>(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| row.account.uuid(), GroupMember::from)
            }
            .await,
        )
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

/// Who is in an AUTOMATIC group: one of the three.
#[derive(Debug, Clone, SimpleObject)]
pub struct GroupRule {
    /// The members of this company.
    company_id: Option<ID>,
    /// Everybody with a verified e-mail of this domain.
    email_domain: Option<String>,
    /// Everybody whose account has this attribute with this value.
    attribute: Option<AccountAttribute>,
}

/// How membership of a group is sold.
#[derive(Debug, Clone, SimpleObject)]
pub struct GroupCommerce {
    /// Calendar months of membership from the grant, for later grants; null for no end or a fixed one (see the product's `terms`).
    months: Option<u32>,
    /// Its product.
    product: Product,
}

/// What a group does to a course or a library.
#[derive(Debug, Clone)]
pub struct GroupContent(app::Content);

/// A course or a library.
#[derive(Clone, Union)]
pub enum Learning {
    /// A course.
    Course(Course),
    /// A library.
    Library(Library),
}

#[Object]
impl GroupContent {
    /// The course or library.
    async fn target(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Learning>> {
        let loaders = loaders(ctx)?;
        Ok(match self.0.target {
            Target::Course(id) => loaders.one(id).await?.map(|found| Learning::Course(found.into())),
            Target::Library(id) => loaders.one(id).await?.map(|found| Learning::Library(found.into())),
            Target::Group(_) | Target::Session(_) | Target::Resource(_) => None,
        })
    }

    /// Only members see it; it is hidden from everybody else.
    async fn sees(&self) -> bool {
        self.0.sees
    }

    /// Membership opens it.
    async fn opens(&self) -> bool {
        self.0.opens
    }
}

/// Somebody in a group.
#[derive(Debug, Clone, SimpleObject)]
pub struct GroupMember {
    /// The account.
    account_id: ID,
    /// What gave the membership; null where the group's rule did.
    source: Option<GrantSource>,
    /// Since when, for a grant.
    since: Option<DateTime<Utc>>,
    /// Until when, for a grant with an end.
    until: Option<DateTime<Utc>>,
}

impl From<app::Member> for GroupMember {
    fn from(member: app::Member) -> Self {
        Self {
            account_id: member.account.to_string().into(),
            source: member.source.map(GrantSource),
            since: member.since,
            until: member.until,
        }
    }
}

/// Who is in an AUTOMATIC group: give exactly one.
#[derive(Debug, InputObject)]
pub struct GroupRuleInput {
    /// The members of this company.
    company_id: Option<ID>,
    /// Everybody with a verified e-mail of this domain, such as "example.org".
    email_domain: Option<String>,
    /// Everybody whose account has this attribute with exactly this value; see `accountAttributesSet`.
    attribute: Option<GroupAttributeInput>,
}

/// An attribute of accounts with a value.
#[derive(Debug, InputObject)]
pub struct GroupAttributeInput {
    /// Its name, in any case.
    name: String,
    /// The value.
    value: String,
}

impl GroupRuleInput {
    fn parse(self) -> Result<app::Rule> {
        match (self.company_id, self.email_domain, self.attribute) {
            (Some(id), None, None) => match CompanyId::parse(&id) {
                Some(id) => Ok(app::Rule::Company(id)),
                None => Err(Refusal::at(Code::NotFound, ["rule", "companyId"], "There is no such company; check the id.").into()),
            },
            (None, Some(domain), None) => Ok(app::Rule::EmailDomain(domain)),
            (None, None, Some(attribute)) => Ok(app::Rule::Attribute { name: attribute.name, value: attribute.value }),
            _ => Err(Refusal::at(Code::Invalid, ["rule"], "Give companyId, emailDomain or attribute, exactly one of them.").into()),
        }
    }
}

/// What a group does to a course or a library: name one of the two, and at least one relation.
#[derive(Debug, InputObject)]
pub struct GroupContentInput {
    /// The course.
    course_id: Option<ID>,
    /// The library.
    library_id: Option<ID>,
    /// Only members are to see it; it is hidden from everybody else.
    #[graphql(default)]
    sees: bool,
    /// Membership is to open it.
    #[graphql(default)]
    opens: bool,
}

fn parse_content(inputs: Vec<GroupContentInput>) -> Result<Vec<app::Content>> {
    let (mut content, mut refusals) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (index, input) in inputs.into_iter().enumerate() {
        let place = ["content".to_owned(), index.to_string()];
        let target = match (&input.course_id, &input.library_id) {
            (Some(id), None) => CourseId::parse(id).map(Target::Course).ok_or("There is no such course; check the id."),
            (None, Some(id)) => LibraryId::parse(id).map(Target::Library).ok_or("There is no such library; check the id."),
            _ => {
                let message = "Name either a course or a library, exactly one of them.";
                refusals.push(Refusal::at(Code::Invalid, place, message));
                continue;
            }
        };
        match target {
            Ok(target) => content.push(app::Content { target, sees: input.sees, opens: input.opens }),
            Err(message) => refusals.push(Refusal::at(Code::NotFound, place, message)),
        }
    }
    if refusals.is_empty() { Ok(content) } else { Err(refusals.into()) }
}

/// How membership is sold. SKU and prices go with `groupCreate` only; of a group that is sold, only the months change.
#[derive(Debug, InputObject)]
pub struct GroupCommerceInput {
    /// The product's SKU.
    sku: Option<String>,
    /// The product's prices.
    prices: Option<Vec<PriceInput>>,
    /// The credits that one unit gives, stated with the prices; none when left out.
    credits: Option<i64>,
    /// For how many days from the purchase its credits can be spent; without end when left out.
    credit_days: Option<i64>,
    /// Whether its credits pay for resources of its own courses only, as they do when left out, or (`false`) for any.
    credits_tied: Option<bool>,
    /// Calendar months of membership from the grant; null = without end.
    months: MaybeUndefined<i64>,
    /// Refused: the sale state changes on the product.
    state: Option<SaleState>,
}

/// A group to be made.
#[derive(Debug, InputObject)]
pub struct GroupCreateInput {
    /// Title.
    title: String,
    /// Description.
    #[graphql(default)]
    description: String,
    /// How people come in.
    #[graphql(default_with = "GroupKind(domain::catalog::GroupKind::Manual)")]
    kind: GroupKind,
    /// Who is in an AUTOMATIC group.
    rule: Option<GroupRuleInput>,
    /// What members see and get.
    #[graphql(default)]
    content: Vec<GroupContentInput>,
    /// How membership is sold: for MANUAL groups, here only, and for good.
    commerce: Option<GroupCommerceInput>,
    /// Whether members open resources without credits: what those cost falls away, and ordinary access to the course decides.
    #[graphql(default)]
    ignores_credits: bool,
}

payload! {
    /// What became of it.
    GroupCreatePayload {
        /// The group.
        group: Group
    }
}

/// What is to change of a group. What is left out stays.
#[derive(Debug, InputObject)]
pub struct GroupUpdateInput {
    /// The group.
    id: ID,
    /// Title.
    title: Option<String>,
    /// Description.
    description: Option<String>,
    /// Who is in an AUTOMATIC group.
    rule: Option<GroupRuleInput>,
    /// What members see and get: the whole list.
    content: Option<Vec<GroupContentInput>>,
    /// Of a group that is sold, the months; anything else is refused with the rule and the way out.
    commerce: MaybeUndefined<GroupCommerceInput>,
    /// Whether members open resources without credits.
    ignores_credits: Option<bool>,
}

payload! {
    /// What became of it.
    GroupUpdatePayload {
        /// The group.
        group: Group
    }
}

/// A group to be archived.
#[derive(Debug, InputObject)]
pub struct GroupArchiveInput {
    /// The group.
    id: ID,
}

payload! {
    /// What became of it.
    GroupArchivePayload {
        /// The group.
        group: Group
    }
}

/// People to be put into a MANUAL group by hand.
#[derive(Debug, InputObject)]
pub struct GroupMembersAddInput {
    /// The group.
    group_id: ID,
    /// Accounts.
    #[graphql(default)]
    account_ids: Vec<ID>,
    /// E-mails of accounts.
    #[graphql(default)]
    emails: Vec<String>,
    /// Until when; without end when left out.
    ends_at: Option<DateTime<Utc>>,
    /// Why.
    reason: Option<String>,
}

payload! {
    /// What became of it.
    GroupMembersAddPayload {
        /// The group.
        group: Group
    }
}

/// People whose membership, given by hand, is to end.
#[derive(Debug, InputObject)]
pub struct GroupMembersRemoveInput {
    /// The group.
    group_id: ID,
    /// Accounts.
    #[graphql(default)]
    account_ids: Vec<ID>,
    /// E-mails of accounts.
    #[graphql(default)]
    emails: Vec<String>,
    /// Why.
    reason: Option<String>,
}

payload! {
    /// What became of it.
    GroupMembersRemovePayload {
        /// The group.
        group: Group
    }
}

/// Which groups to list.
#[derive(Debug, Default, InputObject)]
pub struct GroupFilter {
    /// Words that each occur in title, or the product's SKU or description.
    search: Option<String>,
    /// Of this kind only.
    kind: Option<GroupKind>,
    /// Whether membership is sold.
    sold: Option<bool>,
    /// Archived ones too?
    #[graphql(default)]
    archived: Archived,
}

/// Queries about groups.
#[derive(Debug, Default)]
pub struct GroupQuery;

#[Object]
impl GroupQuery {
    /// One group.
    async fn group(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Group>> {
        may_read(ctx)?;
        match GroupId::parse(&id) {
            Some(id) => Ok(loaders(ctx)?.one(id).await?.map(Group)),
            None => Ok(None),
        }
    }

    /// Groups in pages.
    async fn groups(
        &self,
        ctx: &Context<'_>,
        filter: Option<GroupFilter>,
        #[graphql(default)] sort: Sort,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Group>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Catalog.read())?;
                let filter = filter.unwrap_or_default();
                let filter = app::GroupFilter {
                    words: words(filter.search.as_deref())?,
                    kind: filter.kind.map(|kind| kind.0),
                    commerce: filter.sold,
                    archived: filter.archived.into(),
                };
                let sort = catalog::Sort::from(sort);
                let list = ListName::new("groups", &(&filter, sort))?;
                let page = app.groups(caller, &filter, sort, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                connection(&list, page, |row| (sort.key(&row.title, row.created_at, row.touched_at), row.id.uuid()), Group)
            }
            .await,
        )
    }
}

/// Mutations of groups.
#[derive(Debug, Default)]
pub struct GroupMutation;

#[Object]
impl GroupMutation {
    /// Makes a group. Selling membership is decided here, for MANUAL groups only and for good.
    async fn group_create(&self, ctx: &Context<'_>, input: GroupCreateInput) -> async_graphql::Result<GroupCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let commerce = input.commerce.map(|commerce| {
                let prices = commerce.prices.map(|prices| parse_prices(&prices, &["commerce", "prices"])).transpose()?;
                let terms = TermsWish { months: Option::<Option<i64>>::from(commerce.months).flatten(), ..TermsWish::default() };
                let credits = credit_wish(commerce.credits, commerce.credit_days, commerce.credits_tied);
                Ok::<_, crate::error::Error>(app::GroupCommerce { sku: commerce.sku, prices, terms, credits })
            });
            let cmd = app::GroupCreate {
                title: input.title,
                description: input.description,
                kind: input.kind.0,
                rule: input.rule.map(GroupRuleInput::parse).transpose()?,
                content: parse_content(input.content)?,
                commerce: commerce.transpose()?,
                ignores_credits: input.ignores_credits,
            };
            app.group_create(caller, cmd).await
        };
        GroupCreatePayload::of(result.await)
    }

    /// Changes a group. Its commerce can be neither added nor removed; only the months change.
    async fn group_update(&self, ctx: &Context<'_>, input: GroupUpdateInput) -> async_graphql::Result<GroupUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let (commerce, terms) = match input.commerce {
                MaybeUndefined::Undefined => (GroupCommerceChange::Untouched, None),
                MaybeUndefined::Null => (GroupCommerceChange::Removed, None),
                MaybeUndefined::Value(commerce) => {
                    let (sku, prices, state) = (commerce.sku.is_some(), commerce.prices.is_some(), commerce.state.is_some());
                    let months: Option<Option<i64>> = commerce.months.into();
                    let terms = months.map(|months| TermsWish { months, ..TermsWish::default() });
                    let credits = commerce.credits.is_some() || commerce.credit_days.is_some() || commerce.credits_tied.is_some();
                    (GroupCommerceChange::Given(ProductFields { sku, prices, state, credits }), terms)
                }
            };
            let cmd = app::GroupUpdate {
                id: input_id(&input.id, "id", "group")?,
                title: input.title,
                description: input.description,
                rule: input.rule.map(GroupRuleInput::parse).transpose()?,
                content: input.content.map(parse_content).transpose()?,
                commerce,
                ignores_credits: input.ignores_credits,
                terms,
            };
            app.group_update(caller, cmd).await
        };
        GroupUpdatePayload::of(result.await)
    }

    /// Archives a group: membership is no longer sold or given, and its rule counts no more. Membership that was granted goes on to its end.
    async fn group_archive(&self, ctx: &Context<'_>, input: GroupArchiveInput) -> async_graphql::Result<GroupArchivePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            app.group_archive(caller, input_id(&input.id, "id", "group")?).await
        };
        GroupArchivePayload::of(result.await)
    }

    /// Puts people into a MANUAL group by hand, all or none. Who is in it by hand already stays as they are.
    async fn group_members_add(&self, ctx: &Context<'_>, input: GroupMembersAddInput) -> async_graphql::Result<GroupMembersAddPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let group = input_id(&input.group_id, "groupId", "group")?;
            let people = app::People { accounts: input_ids(&input.account_ids, "accountIds", "account")?, emails: input.emails };
            app.group_members_add(caller, group, people, input.ends_at, input.reason).await
        };
        GroupMembersAddPayload::of(result.await)
    }

    /// Ends membership that was given by hand, all or none.
    async fn group_members_remove(
        &self,
        ctx: &Context<'_>,
        input: GroupMembersRemoveInput,
    ) -> async_graphql::Result<GroupMembersRemovePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let group = input_id(&input.group_id, "groupId", "group")?;
            let people = app::People { accounts: input_ids(&input.account_ids, "accountIds", "account")?, emails: input.emails };
            app.group_members_remove(caller, group, people, input.reason).await
        };
        GroupMembersRemovePayload::of(result.await)
    }
}
