//! The public contract: types, queries and mutations, a file per topic. Resolvers convert and call [`crate::app`]; no rule and no query lives here.

use async_graphql::{MergedObject, MergedSubscription, SDLExportOptions, Schema};

pub mod account;
pub mod audit;
pub mod cart;
pub mod cart_coupon;
pub mod catalog;
pub mod company;
pub mod company_offer;
pub mod connection;
pub mod coupon;
pub mod coupon_rule;
pub mod credit;
pub mod credit_pack;
pub mod enrol;
pub mod error;
pub mod event;
pub mod executor;
pub mod group;
pub mod job;
pub mod key;
pub mod learning;
pub mod limits;
pub mod live;
pub mod loader;
pub mod mail;
pub mod model;
pub mod node;
mod nulls;
pub mod offer;
pub mod order;
pub mod price;
pub mod product;
pub mod reconciliation;
pub mod rental;
pub mod report;
pub mod resource;
pub mod royalty;
pub mod sales_order;
pub mod scalar;
mod shape;
pub mod shop;
pub mod tax;
pub mod token;

/// Every query. They come in parts: as one list they would be too deep for the compiler.
#[derive(MergedObject, Default)]
pub struct Query(CatalogQueries, SaleQueries, PeopleQueries);

/// Queries about what is sold, and to whom it is shown.
#[derive(MergedObject, Default)]
pub struct CatalogQueries(
    shop::ShopQuery,
    node::NodeQuery,
    catalog::CatalogQuery,
    resource::ResourceQuery,
    group::GroupQuery,
    product::ProductQuery,
    price::PriceQuery,
    tax::TaxQuery,
    company::CompanyQuery,
    company_offer::CompanyOfferQuery,
    offer::OfferQuery,
);

/// Queries about sales and the money in them.
#[derive(MergedObject, Default)]
pub struct SaleQueries(
    cart::CartQuery,
    coupon::CouponQuery,
    credit::CreditQuery,
    order::OrderQuery,
    sales_order::SalesOrderQuery,
    reconciliation::ReconciliationQuery,
    royalty::RoyaltyQuery,
    report::ReportQuery,
);

/// Queries about people, what they may open, and what the shop does behind their backs.
#[derive(MergedObject, Default)]
pub struct PeopleQueries(
    account::AccountQuery,
    learning::LearningQuery,
    rental::RentalQuery,
    token::TokenQuery,
    mail::MailQuery,
    event::EventQuery,
    key::KeyQuery,
    audit::AuditQuery,
    job::JobQuery,
);

/// Every mutation, in parts like the queries.
#[derive(MergedObject, Default)]
pub struct Mutation(CatalogMutations, SaleMutations, PeopleMutations);

/// Mutations of what is sold, and to whom it is shown.
#[derive(MergedObject, Default)]
pub struct CatalogMutations(
    catalog::CatalogMutation,
    resource::ResourceMutation,
    group::GroupMutation,
    product::ProductMutation,
    credit_pack::CreditPackMutation,
    price::PriceMutation,
    tax::TaxMutation,
    company::CompanyMutation,
    company_offer::CompanyOfferMutation,
    shop::ShopMutation,
);

/// Mutations of sales and the money in them.
#[derive(MergedObject, Default)]
pub struct SaleMutations(
    cart::CartMutation,
    coupon::CouponMutation,
    cart_coupon::CartCouponMutation,
    credit::CreditMutation,
    order::OrderMutation,
    sales_order::SalesOrderMutation,
    royalty::RoyaltyMutation,
);

/// Mutations of people, what they may open, and what the shop does behind their backs.
#[derive(MergedObject, Default)]
pub struct PeopleMutations(
    account::AccountMutation,
    learning::LearningMutation,
    rental::RentalMutation,
    enrol::EnrolMutation,
    token::TokenMutation,
    mail::MailMutation,
    event::EventMutation,
    key::KeyMutation,
    job::JobMutation,
);

/// Every subscription.
#[derive(MergedSubscription, Default)]
pub struct Subscription(live::LiveSubscription);

/// The schema.
pub type BursarSchema = Schema<Query, Mutation, Subscription>;

/// Builds the schema. What a request needs comes with its data: the caller from whoever received it, the app and its loaders from
/// [`loader::Batching`], which runs it.
pub fn schema() -> BursarSchema {
    // Limits on depth and cost are checked before execution, by our own guard.
    Schema::build(Query::default(), Mutation::default(), Subscription::default()).finish()
}

/// The schema as text, the same at each build: the contents of `schema.graphql`.
pub fn sdl() -> String {
    let mut sdl =
        schema().sdl_with_options(SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items().include_specified_by());
    if !sdl.ends_with('\n') {
        sdl.push('\n');
    }
    sdl
}
