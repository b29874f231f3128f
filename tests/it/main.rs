//! The integration tests: one program, a file per topic, on the database that `BURSAR_TEST_DATABASE` names (a SQLite file per test when
//! absent; `postgres://…` for a database per test).

mod account;
mod auth;
mod cart;
mod catalog;
mod company;
mod http;
mod import;
mod learning;
mod offer;
mod order;
mod price;
mod rights;
mod seed;
mod shop;
mod tidy;
mod token;
mod util;
