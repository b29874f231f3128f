//! Groups, what they show and open, and who is in them: by a grant, or by the rule of an automatic group.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::catalog::GroupKind;
use domain::entitlement::{SourceKind, Target, TargetKind};
use domain::text;
use domain::{AccountId, CompanyId, GroupId};
use entity::{account, account_attribute, company, company_member, entitlement, group, group_content, product};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::Serialize;
use uuid::Uuid;

use super::catalog::{Archived, Sort, all_known, uuids};
use super::page::Key;
use super::{CHUNK, known, rows_in, search};
use crate::page::{Page, PageArgs};

/// People who may see or get certain content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Id.
    pub id: GroupId,
    /// Title.
    pub title: String,
    /// Description, may be empty.
    pub description: String,
    /// How people come in.
    pub kind: GroupKind,
    /// Who is in an automatic group.
    pub rule: Option<Rule>,
    /// Whether membership is sold.
    pub commerce: bool,
    /// Whether members open resources without credits, as far as ordinary access goes.
    pub ignores_credits: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

/// Who is in an automatic group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Rule {
    /// The members of a company.
    Company(CompanyId),
    /// Everybody with a verified e-mail of this domain (lower-case ASCII).
    EmailDomain(String),
    /// Everybody whose account has this attribute with this value.
    Attribute {
        /// Its folded name.
        name: String,
        /// The value.
        value: String,
    },
}

/// What a group does to a course or a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Content {
    /// The course or library.
    #[serde(serialize_with = "target_text")]
    pub target: Target,
    /// Hidden from everybody but members.
    pub sees: bool,
    /// Membership opens it.
    pub opens: bool,
}

fn target_text<S: serde::Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    match target {
        Target::Course(id) => serializer.collect_str(id),
        Target::Library(id) => serializer.collect_str(id),
        Target::Group(id) => serializer.collect_str(id),
        Target::Session(id) => serializer.collect_str(id),
        Target::Resource(id) => serializer.collect_str(id),
    }
}

fn record(row: group::Model) -> Result<Group, DbErr> {
    let rule = match (row.rule_company_id, row.rule_email_domain, row.rule_attribute.zip(row.rule_value)) {
        (Some(company), ..) => Some(Rule::Company(company.into())),
        (None, Some(domain), _) => Some(Rule::EmailDomain(domain)),
        (None, None, attribute) => attribute.map(|(name, value)| Rule::Attribute { name, value }),
    };
    Ok(Group {
        id: row.id.into(),
        title: row.title,
        description: row.description,
        kind: known(GroupKind::parse(&row.kind), "kind of group", &row.kind)?,
        rule,
        commerce: row.commerce,
        ignores_credits: row.ignores_credits,
        created_at: row.created_at,
        touched_at: row.touched_at,
        archived_at: row.archived_at,
    })
}

fn row(record: &Group) -> group::ActiveModel {
    let (company, domain, attribute) = match &record.rule {
        Some(Rule::Company(company)) => (Some(company.uuid()), None, None),
        Some(Rule::EmailDomain(domain)) => (None, Some(domain.clone()), None),
        Some(Rule::Attribute { name, value }) => (None, None, Some((name.clone(), value.clone()))),
        None => (None, None, None),
    };
    let (attribute, value) = attribute.unzip();
    group::ActiveModel {
        id: Set(record.id.uuid()),
        title: Set(record.title.clone()),
        title_sort: Set(text::sort_key(&record.title)),
        description: Set(record.description.clone()),
        kind: Set(record.kind.name().to_owned()),
        rule_company_id: Set(company),
        rule_email_domain: Set(domain),
        rule_attribute: Set(attribute),
        rule_value: Set(value),
        commerce: Set(record.commerce),
        ignores_credits: Set(record.ignores_credits),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
        archived_at: Set(record.archived_at),
    }
}

/// Writes a new group.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, record: &Group) -> Result<(), DbErr> {
    group::Entity::insert(row(record)).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes what changed of a group.
///
/// # Errors
/// The database's.
pub async fn update(txn: &impl ConnectionTrait, record: &Group) -> Result<(), DbErr> {
    group::Entity::update(row(record)).exec_without_returning(txn).await?;
    Ok(())
}

/// The groups with these ids.
///
/// # Errors
/// The database's.
pub async fn groups(db: &impl ConnectionTrait, ids: &[GroupId]) -> Result<Vec<Group>, DbErr> {
    rows_in::<group::Entity>(db, group::Column::Id, &uuids(ids)).await?.into_iter().map(record).collect()
}

/// Which groups a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct GroupFilter {
    /// Folded words, each in title, or the product's SKU or description.
    pub words: Vec<String>,
    /// Of this kind only.
    pub kind: Option<GroupKind>,
    /// Whether membership is sold.
    pub commerce: Option<bool>,
    /// Archived ones too?
    pub archived: Archived,
}

/// A page of groups.
///
/// # Errors
/// The database's.
pub async fn group_page(
    db: &impl ConnectionTrait,
    filter: &GroupFilter,
    sort: Sort,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Group>, DbErr> {
    use group::Column;
    let backend = db.get_database_backend();
    let mut select = group::Entity::find().filter(filter.archived.condition(Column::ArchivedAt));
    for word in &filter.words {
        let word = std::slice::from_ref(word);
        let sold = Query::select()
            .column(product::Column::TargetId)
            .from(product::Entity)
            .cond_where(super::product::search_condition(backend, word))
            .to_owned();
        let own = search::contains_all(backend, &[Column::TitleSort.into_expr()], word);
        select = select.filter(Condition::any().add(own).add(Column::Id.in_subquery(sold)));
    }
    if let Some(kind) = filter.kind {
        select = select.filter(Column::Kind.eq(kind.name()));
    }
    if let Some(commerce) = filter.commerce {
        select = select.filter(Column::Commerce.eq(commerce));
    }
    let order = sort.order(Column::TitleSort, Column::CreatedAt, Column::TouchedAt, Column::Id);
    all_known(super::page::page(db, select, order, args, with_total).await?, record)
}

// ---- content --------------------------------------------------------------------------------------------------------------------

/// Makes this the content of a group.
///
/// # Errors
/// The database's.
pub async fn set_content(txn: &impl ConnectionTrait, group: GroupId, content: &[Content]) -> Result<(), DbErr> {
    group_content::Entity::delete_many().filter(group_content::Column::GroupId.eq(group.uuid())).exec(txn).await?;
    for chunk in content.chunks(CHUNK) {
        let rows = chunk.iter().map(|content| group_content::ActiveModel {
            group_id: Set(group.uuid()),
            target_kind: Set(content.target.kind().name().to_owned()),
            target_id: Set(content.target.uuid()),
            sees: Set(content.sees),
            opens: Set(content.opens),
        });
        group_content::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// The content of each of these groups, in order of the ids.
///
/// # Errors
/// The database's.
pub async fn content_of(db: &impl ConnectionTrait, groups: &[GroupId]) -> Result<HashMap<GroupId, Vec<Content>>, DbErr> {
    let mut found: HashMap<GroupId, Vec<Content>> = HashMap::new();
    for chunk in groups.chunks(CHUNK) {
        let rows = group_content::Entity::find()
            .filter(group_content::Column::GroupId.is_in(chunk.iter().map(|id| id.uuid())))
            .order_by_asc(group_content::Column::TargetId)
            .all(db)
            .await?;
        for row in rows {
            let kind = known(TargetKind::parse(&row.target_kind), "kind of content", &row.target_kind)?;
            let content = Content { target: Target::new(kind, row.target_id), sees: row.sees, opens: row.opens };
            found.entry(row.group_id.into()).or_default().push(content);
        }
    }
    Ok(found)
}

/// Which of these courses and libraries only members see, and of which groups.
///
/// # Errors
/// The database's.
pub async fn seen_by(db: &impl ConnectionTrait, targets: &[Uuid]) -> Result<HashMap<Uuid, Vec<GroupId>>, DbErr> {
    let mut found: HashMap<Uuid, Vec<GroupId>> = HashMap::new();
    for chunk in targets.chunks(CHUNK) {
        let rows = group_content::Entity::find()
            .filter(group_content::Column::TargetId.is_in(chunk.iter().copied()))
            .filter(group_content::Column::Sees.eq(true))
            .all(db)
            .await?;
        for row in rows {
            found.entry(row.target_id).or_default().push(row.group_id.into());
        }
    }
    Ok(found)
}

// ---- membership -----------------------------------------------------------------------------------------------------------------

/// The condition that an entitlement to a group holds at `now`: its time has come and is not over, and nobody ended it.
fn holds_at(now: DateTime<Utc>) -> Condition {
    use entitlement::Column;
    Condition::all()
        .add(Column::TargetKind.eq(TargetKind::Group.name()))
        .add(Column::StartsAt.lte(now))
        .add(Condition::any().add(Column::EndsAt.is_null()).add(Column::EndsAt.gt(now)))
        .add(Condition::any().add(Column::EndedAt.is_null()).add(Column::EndedAt.gt(now)))
}

/// The groups that an account is in at `now`: by a grant that holds, or by the rule of an automatic group that was not archived. Rules about
/// e-mails need a verified one. Two statements, however many groups there are.
///
/// # Errors
/// The database's.
pub async fn groups_of(db: &impl ConnectionTrait, account: AccountId, now: DateTime<Utc>) -> Result<Vec<GroupId>, DbErr> {
    let domain = super::company::verified_domain(db, account).await?;
    let granted = Query::select()
        .column(entitlement::Column::TargetId)
        .from(entitlement::Entity)
        .and_where(entitlement::Column::AccountId.eq(account.uuid()))
        .cond_where(holds_at(now))
        .take();
    let companies = Query::select()
        .column(company::Column::Id)
        .from(company::Entity)
        .cond_where(super::company::membership(db.get_database_backend(), account, domain.as_deref()))
        .take();
    let attribute = Query::select()
        .expr(Expr::val(1i32))
        .from(account_attribute::Entity)
        .and_where(account_attribute::Column::AccountId.eq(account.uuid()))
        .and_where(account_attribute::Column::Name.into_expr().equals((group::Entity, group::Column::RuleAttribute)))
        .and_where(account_attribute::Column::Value.into_expr().equals((group::Entity, group::Column::RuleValue)))
        .take();
    let by_rule = Condition::any()
        .add(group::Column::RuleCompanyId.in_subquery(companies))
        .add(Expr::exists(attribute))
        .add_option(domain.as_deref().map(|domain| group::Column::RuleEmailDomain.eq(domain)));
    let automatic =
        Condition::all().add(group::Column::Kind.eq(GroupKind::Automatic.name())).add(group::Column::ArchivedAt.is_null()).add(by_rule);
    let groups = group::Entity::find()
        .select_only()
        .column(group::Column::Id)
        .filter(Condition::any().add(group::Column::Id.in_subquery(granted)).add(automatic))
        .into_tuple::<Uuid>()
        .all(db)
        .await?;
    Ok(groups.into_iter().map(Into::into).collect())
}

fn domains(company: &company::Model) -> Vec<&str> {
    company.email_domains.as_array().into_iter().flatten().filter_map(|domain| domain.as_str()).collect()
}

/// Somebody in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The account.
    pub account: AccountId,
    /// What made it one: a grant's source, or `None` for the group's rule.
    pub source: Option<SourceKind>,
    /// Since when, for a grant.
    pub since: Option<DateTime<Utc>>,
    /// Until when, for a grant with an end.
    pub until: Option<DateTime<Utc>>,
}

/// A page of a group's members at `now`, by account.
///
/// # Errors
/// The database's.
pub async fn member_page(
    db: &impl ConnectionTrait,
    group: &Group,
    now: DateTime<Utc>,
    args: &PageArgs<Uuid>,
    with_total: bool,
) -> Result<Page<Member>, DbErr> {
    let granted = Query::select()
        .column(entitlement::Column::AccountId)
        .from(entitlement::Entity)
        .and_where(entitlement::Column::TargetId.eq(group.id.uuid()))
        .cond_where(holds_at(now))
        .to_owned();
    let mut members = Condition::any().add(account::Column::Id.in_subquery(granted));
    if group.archived_at.is_none() {
        match &group.rule {
            Some(Rule::EmailDomain(domain)) => members = members.add(verified_at(&[domain.as_str()])),
            Some(Rule::Attribute { name, value }) => {
                let with = Query::select()
                    .column(account_attribute::Column::AccountId)
                    .from(account_attribute::Entity)
                    .and_where(account_attribute::Column::Name.eq(name))
                    .and_where(account_attribute::Column::Value.eq(value))
                    .to_owned();
                members = members.add(account::Column::Id.in_subquery(with));
            }
            Some(Rule::Company(company)) => {
                let listed = Query::select()
                    .column(company_member::Column::AccountId)
                    .from(company_member::Entity)
                    .and_where(company_member::Column::CompanyId.eq(company.uuid()))
                    .to_owned();
                members = members.add(account::Column::Id.in_subquery(listed));
                if let Some(company) = company::Entity::find_by_id(company.uuid()).one(db).await? {
                    members = members.add(verified_at(&domains(&company)));
                }
            }
            None => {}
        }
    }
    let mut select = account::Entity::find().select_only().column(account::Column::Id).filter(members);
    let total = if with_total { Some(i64::try_from(select.clone().count(db).await?).unwrap_or(i64::MAX)) } else { None };
    if let Some(after) = args.after {
        select = select.filter(account::Column::Id.gt(after));
    }
    let accounts: Vec<Uuid> = select.order_by_asc(account::Column::Id).limit(u64::from(args.first) + 1).into_tuple().all(db).await?;
    let page = Page::cut(accounts, args, total);
    let mut grants: HashMap<Uuid, entitlement::Model> = HashMap::new();
    let rows = entitlement::Entity::find()
        .filter(entitlement::Column::TargetId.eq(group.id.uuid()))
        .filter(entitlement::Column::AccountId.is_in(page.rows.iter().copied()))
        .filter(holds_at(now))
        .order_by_asc(entitlement::Column::StartsAt)
        .all(db)
        .await?;
    for row in rows {
        grants.entry(row.account_id).or_insert(row);
    }
    let rows = page.rows.iter().map(|account| match grants.remove(account) {
        Some(grant) => Ok(Member {
            account: (*account).into(),
            source: Some(known(SourceKind::parse(&grant.source_kind), "source", &grant.source_kind)?),
            since: grant.starts_at,
            until: grant.ends_at,
        }),
        None => Ok(Member { account: (*account).into(), source: None, since: None, until: None }),
    });
    Ok(Page { rows: rows.collect::<Result<_, DbErr>>()?, has_next: page.has_next, has_previous: page.has_previous, total })
}

fn verified_at(domains: &[&str]) -> Condition {
    Condition::all().add(account::Column::EmailVerifiedAt.is_not_null()).add(account::Column::EmailDomain.is_in(domains.iter().copied()))
}

/// Which of these accounts there are.
///
/// # Errors
/// The database's.
pub async fn known_accounts(db: &impl ConnectionTrait, ids: &[AccountId]) -> Result<BTreeSet<AccountId>, DbErr> {
    let rows = rows_in::<account::Entity>(db, account::Column::Id, &uuids(ids)).await?;
    Ok(rows.into_iter().map(|row| row.id.into()).collect())
}

/// The accounts of these keyed hashes of e-mails.
///
/// # Errors
/// The database's.
pub async fn accounts_by_email(db: &impl ConnectionTrait, hashes: &[String]) -> Result<HashMap<String, AccountId>, DbErr> {
    let mut found = HashMap::new();
    for chunk in hashes.chunks(CHUNK) {
        let rows = account::Entity::find().filter(account::Column::EmailHash.is_in(chunk)).all(db).await?;
        found.extend(rows.into_iter().map(|row| (row.email_hash, row.id.into())));
    }
    Ok(found)
}

/// Whether there is a company with this id that was not archived.
///
/// # Errors
/// The database's.
pub async fn company_exists(db: &impl ConnectionTrait, id: CompanyId) -> Result<bool, DbErr> {
    Ok(company::Entity::find_by_id(id.uuid()).one(db).await?.is_some_and(|company| company.archived_at.is_none()))
}
