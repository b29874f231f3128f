//! Groups: what members see and get, and who is one. Membership is granted (by hand or by a purchase) or follows from an automatic group's rule.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, SubsecRound, Utc};
use domain::catalog::{GroupCommerceChange, GroupKind, ProductKind, check_group_change, check_group_creation};
use domain::entitlement::{Source, SourceKind, Target};
use domain::text::{self, Email, Sku};
use domain::{AccountId, CourseId, GroupId, LibraryId};
use sea_orm::DatabaseTransaction;
use serde_json::json;
use uuid::Uuid;

use crate::app::account::{attribute_name, attribute_value};
use crate::app::caller::{Caller, Topic};
use crate::app::catalog::Sort;
use crate::app::credit_pack::CreditWish;
use crate::app::grant::{Entitlement, NewGrant};
use crate::app::price::PriceWish;
use crate::app::product::{FirstProduct, TermsWish, archived};
use crate::app::secrets::Purpose;
use crate::app::{App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::page::Key;
use crate::store::past::Said;

pub use crate::store::group::{Content, Group, GroupFilter, Member, Rule};

/// Most entries of a group's content.
pub const MAX_CONTENT: usize = 5_000;
/// Most people of one call.
pub const MAX_PEOPLE: usize = 1_000;

/// A group to be made.
#[derive(Debug, Clone)]
pub struct GroupCreate {
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// How people come in.
    pub kind: GroupKind,
    /// Who is in an automatic group.
    pub rule: Option<Rule>,
    /// What members see and get.
    pub content: Vec<Content>,
    /// How membership is sold.
    pub commerce: Option<GroupCommerce>,
    /// Whether members open resources without credits.
    pub ignores_credits: bool,
}

/// How membership of a new group is sold.
#[derive(Debug, Clone)]
pub struct GroupCommerce {
    /// The product's SKU.
    pub sku: Option<String>,
    /// The product's prices.
    pub prices: Option<Vec<PriceWish>>,
    /// How long membership lasts.
    pub terms: TermsWish,
    /// The credits that membership gives.
    pub credits: CreditWish,
}

/// What is to change of a group; absent = stays.
#[derive(Debug, Clone)]
pub struct GroupUpdate {
    /// The group.
    pub id: GroupId,
    /// Title.
    pub title: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Who is in an automatic group.
    pub rule: Option<Rule>,
    /// What members see and get: the whole list.
    pub content: Option<Vec<Content>>,
    /// What the input says about commerce.
    pub commerce: GroupCommerceChange,
    /// Whether members open resources without credits.
    pub ignores_credits: Option<bool>,
    /// How long membership lasts, of a group that is sold.
    pub terms: Option<TermsWish>,
}

/// People of a group, by account or by e-mail.
#[derive(Debug, Clone, Default)]
pub struct People {
    /// Accounts.
    pub accounts: Vec<AccountId>,
    /// E-mails of accounts.
    pub emails: Vec<String>,
}

impl App {
    /// Makes a group, and its product if membership is sold.
    ///
    /// # Errors
    /// Not for this caller; commerce for an automatic group; a rule that does not go with the kind; content that is not there; a SKU that is
    /// taken.
    pub async fn group_create(&self, caller: &Caller, cmd: GroupCreate) -> Result<Group> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let title = faults.at("title", text::title(&cmd.title));
        let description = faults.at("description", text::description(&cmd.description));
        faults.of(check_group_creation(cmd.kind, cmd.commerce.is_some()));
        let rule = faults.of(check_rule(cmd.kind, cmd.rule));
        faults.of(check_content(&cmd.content));
        let first = match cmd.commerce {
            None => None,
            Some(commerce) => {
                let sku = commerce.sku.ok_or_else(|| Refusal::at(Code::Required, ["sku"], "Give the product of the group a SKU."));
                let sku = sku.and_then(|sku| Sku::parse(&sku).map_err(|reason| Refusal::from(reason).under(["sku"])));
                let sku = faults.at("commerce", sku);
                let terms = faults.at("commerce", commerce.terms.check(ProductKind::Group));
                sku.zip(terms).map(|(sku, terms)| FirstProduct {
                    sku,
                    terms,
                    prices: commerce.prices.unwrap_or_default(),
                    credits: commerce.credits,
                })
            }
        };
        let (Some(title), Some(description), Some(rule)) = (title, description, rule) else { return Err(faults.into()) };
        faults.check()?;
        let (txn, installation) = self.begin_catalog().await?;
        self.check_rule_company(&txn, rule.as_ref()).await?;
        check_targets(&txn, &cmd.content, &[]).await?;
        let group = Group {
            id: entropy::next_id(),
            title,
            description,
            kind: cmd.kind,
            rule,
            commerce: first.is_some(),
            ignores_credits: cmd.ignores_credits,
            created_at: now,
            touched_at: now,
            archived_at: None,
        };
        store::group::insert(&txn, &group).await?;
        store::group::set_content(&txn, group.id, &cmd.content).await?;
        let product = match first {
            None => None,
            Some(first) => {
                let sold = (ProductKind::Group, group.id.uuid());
                let made = self.make_product(&txn, caller, &installation, sold, first).await;
                Some(made.map_err(|error| error.under("commerce"))?)
            }
        };
        let new = json!({ "group": group, "content": cmd.content, "product": product });
        self.audit(&txn, caller, "groupCreate", Object::new("group", group.id.uuid()), None, Some(new)).await?;
        txn.commit().await?;
        Ok(group)
    }

    /// Changes a group. Of its commerce only the months change.
    ///
    /// # Errors
    /// Not for this caller; no such group, or an archived one; each rule about a group's commerce with its own sentence.
    pub async fn group_update(&self, caller: &Caller, cmd: GroupUpdate) -> Result<Group> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let title = cmd.title.map(|title| faults.at("title", text::title(&title)));
        let description = cmd.description.map(|description| faults.at("description", text::description(&description)));
        if let Some(content) = &cmd.content {
            faults.of(check_content(content));
        }
        faults.check()?;
        let (txn, _) = self.begin_catalog().await?;
        let held = live_group(&txn, cmd.id, "id").await?;
        check_group_change(held.kind, held.commerce, cmd.commerce).map_err(Refusal::from)?;
        let terms = cmd.terms.map(|terms| terms.check(ProductKind::Group).map_err(|refusal| refusal.under(["commerce"]))).transpose()?;
        let rule = match cmd.rule {
            None => held.rule.clone(),
            given => {
                let rule = check_rule(held.kind, given)?;
                self.check_rule_company(&txn, rule.as_ref()).await?;
                rule
            }
        };
        let mut group = Group {
            title: title.flatten().unwrap_or_else(|| held.title.clone()),
            description: description.flatten().unwrap_or_else(|| held.description.clone()),
            rule,
            ignores_credits: cmd.ignores_credits.unwrap_or(held.ignores_credits),
            ..held.clone()
        };
        let shown = store::group::content_of(&txn, &[group.id]).await?.remove(&group.id).unwrap_or_default();
        let content = match cmd.content {
            Some(mut content) => {
                check_targets(&txn, &content, &shown).await?;
                content.sort_by_key(|content| content.target.uuid());
                content
            }
            None => shown.clone(),
        };
        if group != held || content != shown {
            group.touched_at = now;
            store::group::update(&txn, &group).await?;
            store::past::keep(&txn, group.id.uuid(), &Said::group(&held), &Said::group(&group), now).await?;
            if content != shown {
                store::group::set_content(&txn, group.id, &content).await?;
            }
            self.group_product_follows(&txn, &group, now).await?;
            let (old, new) = (json!({ "group": held, "content": shown }), json!({ "group": group, "content": content }));
            self.audit(&txn, caller, "groupUpdate", Object::new("group", group.id.uuid()), Some(old), Some(new)).await?;
        }
        if let Some(product) = store::product::products_of(&txn, &[group.id.uuid()]).await?.pop() {
            self.set_terms(&txn, caller, "groupUpdate", product, terms, now).await?;
        }
        txn.commit().await?;
        Ok(group)
    }

    /// Archives a group: membership is no longer sold or given, and the rule of an automatic group counts no more; membership that was granted
    /// goes on to its end. Archiving it again changes nothing.
    ///
    /// # Errors
    /// Not for this caller; no such group.
    pub async fn group_archive(&self, caller: &Caller, id: GroupId) -> Result<Group> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let (txn, _) = self.begin_catalog().await?;
        let held = store::group::groups(&txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("id", "group"))?;
        let mut group = held.clone();
        if group.archived_at.is_none() {
            group.archived_at = Some(now);
            group.touched_at = now;
            store::group::update(&txn, &group).await?;
            store::past::keep(&txn, group.id.uuid(), &Said::group(&held), &Said::group(&group), now).await?;
            self.group_product_follows(&txn, &group, now).await?;
            let object = Object::new("group", id.uuid());
            self.audit(&txn, caller, "groupArchive", object, Some(json!(held)), Some(json!(group))).await?;
        }
        txn.commit().await?;
        Ok(group)
    }

    async fn group_product_follows(&self, txn: &DatabaseTransaction, group: &Group, now: DateTime<Utc>) -> Result<()> {
        store::product::touch_of(txn, &[group.id.uuid()], now).await?;
        for product in store::product::products_of(txn, &[group.id.uuid()]).await? {
            store::product::refresh(txn, &[product.id]).await?;
        }
        Ok(())
    }

    async fn check_rule_company(&self, txn: &DatabaseTransaction, rule: Option<&Rule>) -> Result<()> {
        match rule {
            Some(Rule::Company(company)) if !store::group::company_exists(txn, *company).await? => {
                Err(Refusal::at(Code::NotFound, ["rule", "companyId"], "There is no such company, or it is archived; check the id.").into())
            }
            _ => Ok(()),
        }
    }

    /// Puts people into a manual group by hand: from now on, without end or until `ends_at`. Who is in it by hand already stays as they are.
    ///
    /// # Errors
    /// Not for this caller; no such group, an archived or automatic one; people without an account.
    pub async fn group_members_add(
        &self,
        caller: &Caller,
        id: GroupId,
        people: People,
        ends_at: Option<DateTime<Utc>>,
        reason: Option<String>,
    ) -> Result<Group> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let ends_at = ends_at.map(|instant| instant.trunc_subsecs(6));
        if ends_at.is_some_and(|instant| instant <= now) {
            faults.add(Refusal::at(Code::Invalid, ["endsAt"], "The end of the membership is over already; give a later one, or none."));
        }
        let wish = TermsWish { ends_at, ..TermsWish::default() };
        let terms = faults.of(wish.check(ProductKind::Group));
        let reason = reason.map(|reason| faults.at("reason", text::line("reason", &reason, text::MAX_TITLE)));
        let Some(terms) = terms else { return Err(faults.into()) };
        faults.check()?;
        let (txn, _) = self.begin_catalog().await?;
        let group = live_group(&txn, id, "groupId").await?;
        if group.kind != GroupKind::Manual {
            let message = "The rule of an AUTOMATIC group decides who is in it; change the rule with groupUpdate, or use a MANUAL group.";
            return Err(Error::refused(Code::GroupNotManual, ["groupId"], message));
        }
        let accounts = self.accounts_of(&txn, &people).await?;
        let held = self.memberships(&txn, id, &accounts).await?;
        let by_hand = |account: &AccountId| {
            held.iter().any(|held| held.grant.account == *account && held.grant.source.kind == SourceKind::Hand && !held.is_over(now))
        };
        let added: Vec<AccountId> = accounts.iter().filter(|account| !by_hand(account)).copied().collect();
        if !added.is_empty() {
            let (actor, reason) = (caller.actor(), reason.flatten());
            let grant = |account: &AccountId| NewGrant {
                account: *account,
                target: Target::Group(id),
                source: Source { kind: SourceKind::Hand, id: entropy::next_uuid() },
                order: None,
                actor: actor.clone(),
                reason: reason.clone(),
                terms,
                now,
            };
            self.grant_all(&txn, added.iter().map(grant).collect()).await?;
            let new = json!({ "added": added, "endsAt": ends_at });
            self.audit(&txn, caller, "groupMembersAdd", Object::new("group", id.uuid()), None, Some(new)).await?;
        }
        txn.commit().await?;
        Ok(group)
    }

    /// Ends membership that was given by hand. Who is not in the group stays out of it; membership that was bought is not ended here.
    ///
    /// # Errors
    /// Not for this caller; no such group; people without an account, or whose membership was not given by hand.
    pub async fn group_members_remove(&self, caller: &Caller, id: GroupId, people: People, reason: Option<String>) -> Result<Group> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let reason = reason.map(|reason| text::line("reason", &reason, text::MAX_TITLE)).transpose();
        let reason =
            reason.map_err(|reason| Refusal::from(reason).under(["reason"]))?.unwrap_or_else(|| "taken out of the group".to_owned());
        let (txn, _) = self.begin_catalog().await?;
        let group = store::group::groups(&txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("groupId", "group"))?;
        let accounts = self.accounts_of(&txn, &people).await?;
        let held = self.memberships(&txn, id, &accounts).await?;
        let (mut ended, mut removed) = (Vec::new(), Vec::new());
        for account in &accounts {
            let live: Vec<&Entitlement> = held.iter().filter(|held| held.grant.account == *account && !held.is_over(now)).collect();
            let by_hand: Vec<Entitlement> =
                live.iter().filter(|held| held.grant.source.kind == SourceKind::Hand).map(|held| (*held).clone()).collect();
            if by_hand.is_empty() && !live.is_empty() {
                let message =
                    format!("The membership of {account} was bought, not given by hand; refund its order, or end the entitlement.");
                return Err(Error::refused(Code::Unsupported, ["accountIds"], message));
            }
            if !by_hand.is_empty() {
                removed.push(*account);
            }
            ended.extend(by_hand);
        }
        if !ended.is_empty() {
            self.end_grants(&txn, &ended, &reason, now).await?;
            let new = json!({ "removed": removed, "reason": reason });
            self.audit(&txn, caller, "groupMembersRemove", Object::new("group", id.uuid()), None, Some(new)).await?;
        }
        txn.commit().await?;
        Ok(group)
    }

    /// Every grant of membership in a group that these accounts have or had, holding their rows.
    async fn memberships(&self, txn: &DatabaseTransaction, id: GroupId, accounts: &[AccountId]) -> Result<Vec<Entitlement>> {
        store::entitlement::lock_learners(txn, accounts).await?;
        Ok(store::entitlement::of_accounts_to(txn, accounts, &[id.uuid()]).await?)
    }

    /// The accounts that are named, each once. Whoever has none is named by place.
    async fn accounts_of(&self, txn: &DatabaseTransaction, people: &People) -> Result<Vec<AccountId>> {
        let mut faults = Faults::default();
        let count = people.accounts.len() + people.emails.len();
        if count == 0 {
            faults.add(Refusal::at(Code::Required, ["accountIds"], "Name at least one account, or one e-mail of an account."));
        }
        if count > MAX_PEOPLE {
            let message = format!("At most {MAX_PEOPLE} people go into one call; send the others in another one.");
            faults.add(Refusal::at(Code::TooLong, ["accountIds"], message));
        }
        let mut hashes = Vec::with_capacity(people.emails.len());
        for (index, email) in people.emails.iter().enumerate() {
            let email = Email::parse(email).map_err(|reason| Refusal::from(reason).under([index.to_string()]));
            hashes.extend(faults.at("emails", email).map(|email| (index, self.secrets.hash(Purpose::Email, email.normalised()))));
        }
        faults.check()?;
        let mut faults = Faults::default();
        let known = store::group::known_accounts(txn, &people.accounts).await?;
        let by_email = store::group::accounts_by_email(txn, &hashes.iter().map(|(_, hash)| hash.clone()).collect::<Vec<_>>()).await?;
        let mut found = BTreeSet::new();
        for (index, account) in people.accounts.iter().enumerate() {
            if known.contains(account) {
                found.insert(*account);
            } else {
                let field = ["accountIds".to_owned(), index.to_string()];
                faults.add(Refusal::at(Code::NotFound, field, "There is no such account; check the id."));
            }
        }
        for (index, hash) in hashes {
            match by_email.get(&hash) {
                Some(account) => {
                    found.insert(*account);
                }
                None => {
                    let message = "Nobody with this e-mail has an account; they can sign up first.";
                    faults.add(Refusal::at(Code::NotFound, ["emails".to_owned(), index.to_string()], message));
                }
            }
        }
        faults.check()?;
        Ok(found.into_iter().collect())
    }

    /// The groups with these ids, for lists inside of what the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn groups_by_id(&self, ids: &[GroupId]) -> Result<HashMap<GroupId, Group>> {
        Ok(store::group::groups(self.db.read(), ids).await?.into_iter().map(|group| (group.id, group)).collect())
    }

    /// What members of each of these groups see and get.
    ///
    /// # Errors
    /// The database's.
    pub async fn content_of(&self, groups: &[GroupId]) -> Result<HashMap<GroupId, Vec<Content>>> {
        Ok(store::group::content_of(self.db.read(), groups).await?)
    }

    /// A page of groups.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn groups(
        &self,
        caller: &Caller,
        filter: &GroupFilter,
        sort: Sort,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Group>> {
        caller.require(Topic::Catalog.read())?;
        Ok(store::group::group_page(self.db.read(), filter, sort, args, with_total).await?)
    }

    /// A page of a group's members now, by account.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn group_members(&self, caller: &Caller, group: &Group, args: &PageArgs<Uuid>, with_total: bool) -> Result<Page<Member>> {
        caller.require(Topic::Catalog.read())?;
        Ok(store::group::member_page(self.db.read(), group, self.now(), args, with_total).await?)
    }
}

async fn live_group(txn: &DatabaseTransaction, id: GroupId, field: &str) -> Result<Group> {
    let group = store::group::groups(txn, &[id]).await?.pop().ok_or_else(|| Error::not_found(field, "group"))?;
    if group.archived_at.is_some() { Err(archived(field, "group")) } else { Ok(group) }
}

/// An automatic group has a rule, a manual one has none. A domain is brought into the form that accounts have.
fn check_rule(kind: GroupKind, rule: Option<Rule>) -> Result<Option<Rule>, Refusal> {
    match (kind, rule) {
        (GroupKind::Manual, None) => Ok(None),
        (GroupKind::Manual, Some(_)) => {
            Err(Refusal::at(Code::Invalid, ["rule"], "A MANUAL group has no rule; leave it out, or make an AUTOMATIC group."))
        }
        (GroupKind::Automatic, None) => Err(Refusal::at(
            Code::Required,
            ["rule"],
            "An AUTOMATIC group needs a rule: a company, a domain of verified e-mails, or an attribute.",
        )),
        (GroupKind::Automatic, Some(Rule::EmailDomain(domain))) => {
            let domain = Email::parse_domain(&domain).map_err(|reason| Refusal::from(reason).under(["rule", "emailDomain"]))?;
            Ok(Some(Rule::EmailDomain(domain)))
        }
        (GroupKind::Automatic, Some(Rule::Attribute { name, value })) => {
            let under = |field: &'static str| move |refusal: Refusal| refusal.under(["rule", "attribute", field]);
            let name = attribute_name(&name).map_err(under("name"))?;
            let value = attribute_value(&value).map_err(under("value"))?;
            Ok(Some(Rule::Attribute { name, value }))
        }
        (GroupKind::Automatic, rule) => Ok(rule),
    }
}

/// Each course or library once, and with one relation at least.
fn check_content(content: &[Content]) -> Result<(), Refusal> {
    if content.len() > MAX_CONTENT {
        let message = format!("A group has at most {MAX_CONTENT} entries of content.");
        return Err(Refusal::at(Code::TooLong, ["content"], message));
    }
    let mut seen = HashSet::new();
    for (index, entry) in content.iter().enumerate() {
        let field = ["content".to_owned(), index.to_string()];
        if !seen.insert(entry.target) {
            return Err(Refusal::at(Code::Repeated, field, "This course or library stands in the list already; name each once."));
        }
        if !entry.sees && !entry.opens {
            let message = "Say what membership does: `sees` hides it from others, `opens` gives it to members.";
            return Err(Refusal::at(Code::Required, field, message));
        }
    }
    Ok(())
}

/// The content is there and, unless the group has it already, not archived.
async fn check_targets(txn: &DatabaseTransaction, content: &[Content], held: &[Content]) -> Result<()> {
    let courses: Vec<CourseId> =
        content.iter().filter_map(|content| if let Target::Course(id) = content.target { Some(id) } else { None }).collect();
    let libraries: Vec<LibraryId> =
        content.iter().filter_map(|content| if let Target::Library(id) = content.target { Some(id) } else { None }).collect();
    let courses = store::catalog::courses(txn, &courses).await?;
    let libraries = store::catalog::libraries(txn, &libraries).await?;
    let live = courses.iter().map(|course| (Target::Course(course.id), course.archived_at.is_none()));
    let live: HashMap<Target, bool> =
        live.chain(libraries.iter().map(|library| (Target::Library(library.id), library.archived_at.is_none()))).collect();
    let mut faults = Faults::default();
    for (index, entry) in content.iter().enumerate() {
        let field = ["content".to_owned(), index.to_string()];
        match live.get(&entry.target) {
            None => faults.add(Refusal::at(Code::NotFound, field, "There is no such course or library; check the id.")),
            Some(false) if !held.iter().any(|held| held.target == entry.target) => {
                faults.add(Refusal::at(Code::Archived, field, "This is archived; choose something else."));
            }
            Some(_) => {}
        }
    }
    faults.check()
}
