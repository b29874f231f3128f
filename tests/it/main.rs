//! The integration tests: one program, a file per topic, on the database that `BURSAR_TEST_DATABASE` names (a SQLite file per test when
//! absent; `postgres://…` for a database per test).

mod account;
mod attempt;
mod auth;
mod cart;
mod catalog;
mod company;
mod coupon;
mod coupon_limit;
mod coupon_rule;
mod event;
mod form;
mod http;
mod import;
mod invoice;
mod job;
mod learning;
mod mail;
mod migration;
mod offer;
mod order;
mod past;
mod price;
mod process;
mod readme;
mod rights;
mod schema;
mod seed;
mod server;
mod shop;
mod smtp;
mod tidy;
mod token;
mod util;
