//! Bursar's rules, as plain functions over plain values.
//!
//! Nothing here reads a clock, a random number, a database or the network: whoever calls passes in what is known and saves what is decided.
//!
//! - [`money`]: amounts, percentages, exchange rates, the one rounding.
//! - [`id`]: one type for each kind of id.
//! - [`text`]: folding for search, SKUs, keys, e-mail addresses, titles.
//! - [`window`]: half-open windows of time, and days of a zone as instants.
//! - [`terms`]: how long access lasts, and from when.
//! - [`account`]: roads of one-time links, roles of keys, which passwords are good enough.
//! - [`catalog`]: what may be sold, price rows, discount schedules.
//! - [`company`]: types of companies, and what an offer becomes for one.
//! - [`pricing`]: the price of an offer as the steps it is computed from.
//! - [`cart`]: lines, merging, what stands wrong, whether it can be placed.
//! - [`coupon`]: the rule behind a code, what it gives a cart line by line, or why it gives nothing; its uses and batches of codes.
//! - [`credit_sale`]: how many credits a product gives, and how many of them a refund takes back.
//! - [`credit`]: credits in lots, which of them are spent first, and the books about them.
//! - [`rental`]: resources that are rented for credits: whether one is open, what opening it takes.
//! - [`person`]: postal addresses.
//! - [`event`]: what other systems are told, and which addresses are anybody's.
//! - [`mail`]: what mails are for, their languages, when they are tried again.
//! - [`refusal`]: the codes and sentences that callers are refused with.
//! - [`payment`]: a payment attempt and the one function that moves it.
//! - [`order`]: orders, and what arriving money means for them.
//! - [`refund`]: what can go back, of which line, and whose access ends with it.
//! - [`royalty`]: what a licensor is owed for a line, what of it refunds reverse, in which period it stands.
//! - [`reconciliation`]: what differs between the shop's books and a gateway's, and what an operator should look at.
//! - [`report`]: the days that reports are about.
//! - [`sales_order`]: seats sold to companies in bulk, what is agreed and due, what goes back.
//! - [`seat`]: seats in dated sessions.
//! - [`sheet`]: rows of cells as CSV, in which no text begins a formula.
//! - [`tax`]: the rate a line is taxed by.
//! - [`token`]: registration tokens and their codes.
//! - [`enrolling`]: enrolling without a cart, one by one or by a file.
//! - [`entitlement`]: grants, their clocks and queues, the frozen course list, how far a learner got.

#[macro_use]
mod named;

mod crockford;

pub mod account;
pub mod cart;
pub mod catalog;
pub mod company;
pub mod coupon;
pub mod credit;
pub mod credit_sale;
pub mod enrolling;
pub mod entitlement;
pub mod event;
pub mod id;
pub mod mail;
pub mod money;
pub mod order;
pub mod payment;
pub mod person;
pub mod pricing;
pub mod reconciliation;
pub mod refund;
pub mod refusal;
pub mod rental;
pub mod report;
pub mod royalty;
pub mod sales_order;
pub mod seat;
pub mod sheet;
pub mod tax;
pub mod terms;
pub mod text;
pub mod token;
pub mod window;

pub use id::*;
pub use money::{Currency, Money, MoneyError, Percent, Rate};
