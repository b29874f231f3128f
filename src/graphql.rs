//! The public contract: types, queries and mutations, a file per topic. Resolvers convert and call [`crate::app`]; no rule and no query lives here.

use async_graphql::{EmptyMutation, EmptySubscription, MergedObject, SDLExportOptions, Schema};

pub mod connection;
pub mod error;
pub mod offer;
pub mod scalar;
pub mod shop;

/// Every query.
#[derive(MergedObject, Default)]
pub struct Query(shop::ShopQuery, offer::OfferQuery);

/// The schema.
pub type BursarSchema = Schema<Query, EmptyMutation, EmptySubscription>;

/// Builds the schema. What a request needs (the app, the caller, its loaders) comes with the request's data.
pub fn schema() -> BursarSchema {
    // Limits on depth and cost are checked before execution, by our own guard.
    Schema::build(Query::default(), EmptyMutation, EmptySubscription).finish()
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
