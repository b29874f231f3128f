//! Bursar: the commerce backend for people who sell learning.
//!
//! Rooms, from the outside in: [`http`] → [`graphql`] → [`app`] → the domain and the [`store`]; the [`worker`] calls [`app`] too.
//! ARCHITECTURE.md has the map.

pub mod adapter;
pub mod app;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod error;
pub mod graphql;
pub mod http;
pub mod outbox;
pub mod page;
pub mod post;
pub mod serve;
pub mod smtp;
pub mod start;
pub mod store;
pub mod worker;
