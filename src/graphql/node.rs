//! Anything by its id. Each topic adds its kinds to [`Node`] and to the one `match` that finds them.

use std::collections::HashMap;

use async_graphql::{Context, ID, Interface, Object};
use domain::id::{Id, Kind, parse_any};
use uuid::Uuid;

use super::account::Account;
use super::cart::Cart;
use super::catalog::{Course, Library, Provider, Session};
use super::company::Company;
use super::coupon::{Coupon, CouponBatch};
use super::credit::CreditLot;
use super::error::{answer, scope};
use super::event::WebhookEndpoint;
use super::group::Group;
use super::job::Job;
use super::key::ServiceKey;
use super::learning::{Enrollment, Entitlement};
use super::mail::Mail;
use super::offer::detail;
use super::order::{self, Order, Payment, Refund};
use super::price::DiscountSchedule;
use super::product::Product;
use super::rental::Rental;
use super::resource::Resource;
use super::royalty::{Licensor, RoyaltyPlan};
use super::sales_order::{Invoice, SalesOrder};
use super::token::Token;
use crate::app::App;
use crate::app::caller::{Caller, Topic};
use crate::app::offer::Detail;
use crate::app::order_view::OrderParts;
use crate::error::{Error, Result};

/// Most ids of one call of `nodes`.
const MAX_IDS: usize = 100;
/// Most ids of carts among them: each cart is priced in a context of its own.
const MAX_CARTS: usize = 10;

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
    /// One item inside a course.
    Resource(Resource),
    /// People who may see or get certain content.
    Group(Group),
    /// The commerce side of a library, course or group.
    Product(Product),
    /// Quantity discounts.
    DiscountSchedule(DiscountSchedule),
    /// Who gets a share of sales.
    Licensor(Licensor),
    /// What libraries owe their licensor.
    RoyaltyPlan(RoyaltyPlan),
    /// The rule behind codes.
    Coupon(Coupon),
    /// Many codes of a coupon.
    CouponBatch(CouponBatch),
    /// Credits that were granted together.
    CreditLot(Box<CreditLot>),
    /// An organisation that buys or resells.
    Company(Company),
    /// Somebody who can sign in.
    Account(Account),
    /// A key of a program.
    ServiceKey(ServiceKey),
    /// A grant.
    Entitlement(Entitlement),
    /// A resource that was opened for credits.
    Rental(Box<Rental>),
    /// A learner's place in a course.
    Enrollment(Enrollment),
    /// A seat.
    Token(Token),
    /// Seats sold to a company in bulk.
    SalesOrder(Box<SalesOrder>),
    /// An invoice or a credit note.
    Invoice(Box<Invoice>),
    /// What somebody is about to buy.
    Cart(Box<Cart>),
    /// What somebody bought.
    Order(Box<Order>),
    /// One attempt to pay an order.
    Payment(Box<Payment>),
    /// Money on its way back.
    Refund(Box<Refund>),
    /// Where another system is told of events.
    WebhookEndpoint(Box<WebhookEndpoint>),
    /// A mail.
    Mail(Box<Mail>),
    /// A job of the worker.
    Job(Job),
}

/// Queries by id.
#[derive(Debug, Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object with this id; null if there is none, it is not yours to see, or the id is malformed.
    async fn node(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Node>> {
        let (app, caller) = scope(ctx)?;
        Ok(answer(find(app, caller, std::slice::from_ref(&id), Wanted::of(ctx)).await)?.pop().flatten())
    }

    /// The objects with these ids, in the same order, with null where `node` gives null. At most 100 ids, of carts 10.
    async fn nodes(&self, ctx: &Context<'_>, ids: Vec<ID>) -> async_graphql::Result<Vec<Option<Node>>> {
        let (app, caller) = scope(ctx)?;
        if ids.len() > MAX_IDS {
            return answer(Err(Error::BadInput(format!("`ids` names {} objects; ask for {MAX_IDS} at most.", ids.len()))));
        }
        let carts = ids.iter().filter(|id| domain::CartId::parse(id).is_some()).count();
        if carts > MAX_CARTS {
            return answer(Err(Error::BadInput(format!("`ids` names {carts} carts; ask for {MAX_CARTS} at most."))));
        }
        answer(find(app, caller, &ids, Wanted::of(ctx)).await)
    }
}

/// What is read of objects with costly parts, from what was selected of them.
#[derive(Clone, Copy)]
struct Wanted {
    /// Of the offers of carts.
    offer: Detail,
    /// Of orders.
    order: OrderParts,
}

impl Wanted {
    fn of(ctx: &Context<'_>) -> Self {
        Self { offer: detail(&[ctx.look_ahead().field("lines").field("offer")]), order: order::parts(ctx.look_ahead()) }
    }
}

/// Finds each id's object, in one go for each kind of id; carts one by one.
async fn find(app: &App, caller: &Caller, ids: &[ID], wanted: Wanted) -> Result<Vec<Option<Node>>> {
    let mut kinds: HashMap<&str, Vec<Uuid>> = HashMap::new();
    for (prefix, uuid) in ids.iter().filter_map(|id| parse_any(id)) {
        kinds.entry(prefix).or_default().push(uuid);
    }
    let mut found: HashMap<(&str, Uuid), Node> = HashMap::new();
    for (prefix, uuids) in kinds {
        let nodes = of_kind(app, caller, prefix, &uuids, wanted).await?;
        found.extend(nodes.into_iter().map(|(uuid, node)| ((prefix, uuid), node)));
    }
    Ok(ids.iter().map(|id| parse_any(id).and_then(|key| found.get(&key).cloned())).collect())
}

/// The objects of one kind that this caller may see.
async fn of_kind(app: &App, caller: &Caller, prefix: &str, uuids: &[Uuid], wanted: Wanted) -> Result<HashMap<Uuid, Node>> {
    let catalog = caller.may(Topic::Catalog.read());
    let coupons = caller.may(Topic::Coupons.read());
    let prices = caller.may(Topic::Prices.read());
    Ok(match prefix {
        domain::ProviderKind::PREFIX if catalog => named(app.providers_by_id(&ids(uuids)).await?, |found| Node::Provider(found.into())),
        domain::CourseKind::PREFIX if catalog => named(app.courses_by_id(&ids(uuids)).await?, |found| Node::Course(found.into())),
        domain::SessionKind::PREFIX if catalog => named(app.sessions_by_id(&ids(uuids)).await?, |found| Node::Session(found.into())),
        domain::ResourceKind::PREFIX if catalog => named(app.resources_by_id(&ids(uuids)).await?, |found| Node::Resource(found.into())),
        domain::LibraryKind::PREFIX if catalog => named(app.libraries_by_id(&ids(uuids)).await?, |found| Node::Library(found.into())),
        domain::GroupKind::PREFIX if catalog => named(app.groups_by_id(&ids(uuids)).await?, |found| Node::Group(found.into())),
        domain::ProductKind::PREFIX if catalog => named(app.products_by_id(&ids(uuids)).await?, |found| Node::Product(found.into())),
        domain::DiscountScheduleKind::PREFIX if catalog => {
            named(app.schedules_by_id(&ids(uuids)).await?, |found| Node::DiscountSchedule(found.into()))
        }
        domain::LicensorKind::PREFIX if prices => named(app.licensors_by_id(&ids(uuids)).await?, |found| Node::Licensor(found.into())),
        domain::RoyaltyPlanKind::PREFIX if prices => {
            named(app.royalty_plans_by_id(&ids(uuids)).await?, |found| Node::RoyaltyPlan(found.into()))
        }
        domain::CouponKind::PREFIX if coupons => named(app.coupons_by_id(&ids(uuids)).await?, |found| Node::Coupon(found.into())),
        domain::CouponBatchKind::PREFIX if coupons => {
            named(app.coupon_batches_by_id(&ids(uuids)).await?, |found| Node::CouponBatch(found.into()))
        }
        domain::LotKind::PREFIX => {
            let now = app.now();
            named(app.credit_lots_by_id(caller, &ids(uuids)).await?, |row| Node::CreditLot(Box::new(CreditLot::of(&row, now))))
        }
        domain::CompanyKind::PREFIX => named(app.companies_by_id(caller, &ids(uuids)).await?, |found| Node::Company(found.into())),
        domain::AccountKind::PREFIX => named(app.accounts_by_id(caller, &ids(uuids)).await?, |found| Node::Account(found.into())),
        domain::ServiceKeyKind::PREFIX => named(app.service_keys_by_id(caller, &ids(uuids)).await?, |found| Node::ServiceKey(found.into())),
        domain::EntitlementKind::PREFIX => {
            named(app.entitlements_by_id(caller, &ids(uuids)).await?, |found| Node::Entitlement(found.into()))
        }
        domain::RentalKind::PREFIX => named(app.rentals_by_id(caller, &ids(uuids)).await?, |found| Node::Rental(Box::new(found.into()))),
        domain::TokenKind::PREFIX => named(app.tokens_by_id(caller, &ids(uuids)).await?, |found| Node::Token(found.into())),
        domain::SalesOrderKind::PREFIX => {
            named(app.sales_orders_by_id(caller, &ids(uuids)).await?, |found| Node::SalesOrder(Box::new(found.into())))
        }
        domain::InvoiceKind::PREFIX => named(app.invoices_by_id(caller, &ids(uuids)).await?, |found| Node::Invoice(Box::new(found.into()))),
        domain::EnrollmentKind::PREFIX => named(app.enrollments_by_id(caller, &ids(uuids)).await?, |found| Node::Enrollment(found.into())),
        domain::CartKind::PREFIX => {
            let mut found = HashMap::new();
            for uuid in uuids {
                if let Some(cart) = app.cart(caller, domain::CartId::new(*uuid), wanted.offer).await? {
                    found.insert(*uuid, Node::Cart(Box::new(cart.into())));
                }
            }
            found
        }
        domain::OrderKind::PREFIX => {
            let orders = app.orders_for(caller, &ids(uuids)).await?;
            let views = app.order_views(caller, orders, wanted.order).await?;
            views.into_iter().map(|view| (view.order.id.uuid(), Node::Order(Box::new(Order(view))))).collect()
        }
        domain::PaymentKind::PREFIX => {
            named(app.payments_by_id(caller, &ids(uuids)).await?, |found| Node::Payment(Box::new(Payment(found))))
        }
        domain::RefundKind::PREFIX => named(app.refunds_by_id(caller, &ids(uuids)).await?, |found| Node::Refund(Box::new(Refund(found)))),
        domain::WebhookEndpointKind::PREFIX => {
            named(app.webhook_endpoints_by_id(caller, &ids(uuids)).await?, |found| Node::WebhookEndpoint(Box::new(found.into())))
        }
        domain::MailKind::PREFIX => named(app.mails_by_id(caller, &ids(uuids)).await?, |found| Node::Mail(Box::new(found.into()))),
        domain::JobKind::PREFIX => named(app.jobs_by_id(caller, &ids(uuids)).await?, |found| Node::Job(found.into())),
        _ => HashMap::new(),
    })
}

fn ids<K: Kind>(uuids: &[Uuid]) -> Vec<Id<K>> {
    uuids.iter().copied().map(Id::new).collect()
}

fn named<K: Kind, T>(found: HashMap<Id<K>, T>, node: impl Fn(T) -> Node) -> HashMap<Uuid, Node> {
    found.into_iter().map(|(id, found)| (id.uuid(), node(found))).collect()
}
