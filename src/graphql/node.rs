//! Anything by its id. Each topic adds its kinds to [`Node`] and to the one `match` that finds them.

use std::collections::HashMap;

use async_graphql::{Context, ID, Interface, Object};
use domain::id::{Id, Kind, parse_any};
use uuid::Uuid;

use super::account::Account;
use super::cart::Cart;
use super::catalog::{Course, Library, Provider, Session};
use super::company::Company;
use super::error::{answer, scope};
use super::group::Group;
use super::key::ServiceKey;
use super::learning::{Enrollment, Entitlement};
use super::offer::detail;
use super::price::DiscountSchedule;
use super::product::Product;
use super::token::Token;
use crate::app::App;
use crate::app::caller::{Caller, Topic};
use crate::app::offer::Detail;
use crate::error::{Error, Result};

/// Most ids of one call of `nodes`.
const MAX_IDS: usize = 100;

/// Something that has an id.
#[derive(Interface, Clone)]
#[graphql(field(name = "id", ty = "ID", desc = "Its id."))]
pub enum Node {
    /// Who courses come from.
    Provider(Provider),
    /// A learning object.
    Course(Course),
    /// A dated session of an event.
    Session(Session),
    /// Courses sold as one unit.
    Library(Library),
    /// People who may see or get certain content.
    Group(Group),
    /// The commerce side of a library, course or group.
    Product(Product),
    /// Quantity discounts.
    DiscountSchedule(DiscountSchedule),
    /// An organisation that buys or resells.
    Company(Company),
    /// Somebody who can sign in.
    Account(Account),
    /// A key of a program.
    ServiceKey(ServiceKey),
    /// A grant.
    Entitlement(Entitlement),
    /// A learner's place in a course.
    Enrollment(Enrollment),
    /// A seat.
    Token(Token),
    /// What somebody is about to buy.
    Cart(Box<Cart>),
}

/// Queries by id.
#[derive(Debug, Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object with this id; null if there is none, it is not yours to see, or the id is malformed.
    async fn node(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Node>> {
        let (app, caller) = scope(ctx)?;
        Ok(answer(find(app, caller, std::slice::from_ref(&id), offer_detail(ctx)).await)?.pop().flatten())
    }

    /// The objects with these ids, in the same order, with null where `node` gives null. At most 100 ids.
    async fn nodes(&self, ctx: &Context<'_>, ids: Vec<ID>) -> async_graphql::Result<Vec<Option<Node>>> {
        let (app, caller) = scope(ctx)?;
        if ids.len() > MAX_IDS {
            return answer(Err(Error::BadInput(format!("`ids` names {} objects; ask for {MAX_IDS} at most.", ids.len()))));
        }
        answer(find(app, caller, &ids, offer_detail(ctx)).await)
    }
}

/// What of the offers of carts is read, from what was selected of them.
fn offer_detail(ctx: &Context<'_>) -> Detail {
    detail(&[ctx.look_ahead().field("lines").field("offer")])
}

/// Finds each id's object, in one go for each kind of id; carts one by one, for each is priced in a context of its own.
async fn find(app: &App, caller: &Caller, ids: &[ID], detail: Detail) -> Result<Vec<Option<Node>>> {
    let mut kinds: HashMap<&str, Vec<Uuid>> = HashMap::new();
    for (prefix, uuid) in ids.iter().filter_map(|id| parse_any(id)) {
        kinds.entry(prefix).or_default().push(uuid);
    }
    let mut found: HashMap<(&str, Uuid), Node> = HashMap::new();
    for (prefix, uuids) in kinds {
        let nodes = of_kind(app, caller, prefix, &uuids, detail).await?;
        found.extend(nodes.into_iter().map(|(uuid, node)| ((prefix, uuid), node)));
    }
    Ok(ids.iter().map(|id| parse_any(id).and_then(|key| found.get(&key).cloned())).collect())
}

/// The objects of one kind that this caller may see.
async fn of_kind(app: &App, caller: &Caller, prefix: &str, uuids: &[Uuid], detail: Detail) -> Result<HashMap<Uuid, Node>> {
    let catalog = caller.may(Topic::Catalog.read());
    Ok(match prefix {
        domain::ProviderKind::PREFIX if catalog => named(app.providers_by_id(&ids(uuids)).await?, |found| Node::Provider(found.into())),
        domain::CourseKind::PREFIX if catalog => named(app.courses_by_id(&ids(uuids)).await?, |found| Node::Course(found.into())),
        domain::SessionKind::PREFIX if catalog => named(app.sessions_by_id(&ids(uuids)).await?, |found| Node::Session(found.into())),
        domain::LibraryKind::PREFIX if catalog => named(app.libraries_by_id(&ids(uuids)).await?, |found| Node::Library(found.into())),
        domain::GroupKind::PREFIX if catalog => named(app.groups_by_id(&ids(uuids)).await?, |found| Node::Group(found.into())),
        domain::ProductKind::PREFIX if catalog => named(app.products_by_id(&ids(uuids)).await?, |found| Node::Product(found.into())),
        domain::DiscountScheduleKind::PREFIX if catalog => {
            named(app.schedules_by_id(&ids(uuids)).await?, |found| Node::DiscountSchedule(found.into()))
        }
        domain::CompanyKind::PREFIX => named(app.companies_by_id(caller, &ids(uuids)).await?, |found| Node::Company(found.into())),
        domain::AccountKind::PREFIX => named(app.accounts_by_id(caller, &ids(uuids)).await?, |found| Node::Account(found.into())),
        domain::ServiceKeyKind::PREFIX => named(app.service_keys_by_id(caller, &ids(uuids)).await?, |found| Node::ServiceKey(found.into())),
        domain::EntitlementKind::PREFIX => {
            named(app.entitlements_by_id(caller, &ids(uuids)).await?, |found| Node::Entitlement(found.into()))
        }
        domain::TokenKind::PREFIX => named(app.tokens_by_id(caller, &ids(uuids)).await?, |found| Node::Token(found.into())),
        domain::EnrollmentKind::PREFIX => named(app.enrollments_by_id(caller, &ids(uuids)).await?, |found| Node::Enrollment(found.into())),
        domain::CartKind::PREFIX => {
            let mut found = HashMap::new();
            for uuid in uuids {
                if let Some(cart) = app.cart(caller, domain::CartId::new(*uuid), detail).await? {
                    found.insert(*uuid, Node::Cart(Box::new(cart.into())));
                }
            }
            found
        }
        _ => HashMap::new(),
    })
}

fn ids<K: Kind>(uuids: &[Uuid]) -> Vec<Id<K>> {
    uuids.iter().copied().map(Id::new).collect()
}

fn named<K: Kind, T>(found: HashMap<Id<K>, T>, node: impl Fn(T) -> Node) -> HashMap<Uuid, Node> {
    found.into_iter().map(|(id, found)| (id.uuid(), node(found))).collect()
}
