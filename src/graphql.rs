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
pub mod resource;
pub mod scalar;
mod shape;
pub mod shop;
pub mod token;

/// Every query.
#[derive(MergedObject, Default)]
pub struct Query(
    shop::ShopQuery,
    node::NodeQuery,
    catalog::CatalogQuery,
    resource::ResourceQuery,
    group::GroupQuery,
    product::ProductQuery,
    price::PriceQuery,
    company::CompanyQuery,
    company_offer::CompanyOfferQuery,
    offer::OfferQuery,
    cart::CartQuery,
    coupon::CouponQuery,
    account::AccountQuery,
    mail::MailQuery,
    event::EventQuery,
    key::KeyQuery,
    audit::AuditQuery,
    learning::LearningQuery,
    order::OrderQuery,
    reconciliation::ReconciliationQuery,
    token::TokenQuery,
    job::JobQuery,
);

/// Every mutation.
#[derive(MergedObject, Default)]
pub struct Mutation(
    catalog::CatalogMutation,
    resource::ResourceMutation,
    group::GroupMutation,
    product::ProductMutation,
    credit_pack::CreditPackMutation,
    price::PriceMutation,
    company::CompanyMutation,
    company_offer::CompanyOfferMutation,
    cart::CartMutation,
    coupon::CouponMutation,
    cart_coupon::CartCouponMutation,
    account::AccountMutation,
    mail::MailMutation,
    event::EventMutation,
    key::KeyMutation,
    learning::LearningMutation,
    enrol::EnrolMutation,
    order::OrderMutation,
    token::TokenMutation,
    job::JobMutation,
    shop::ShopMutation,
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
