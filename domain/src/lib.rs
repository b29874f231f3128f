//! Bursar's rules, as plain functions over plain values.
//!
//! Nothing here reads a clock, a random number, a database or the network: whoever calls passes in what is known and saves what is decided.
//!
//! - [`money`]: amounts, percentages, exchange rates, the one rounding.
//! - [`id`]: one type for each kind of id.

pub mod id;
pub mod money;

pub use id::*;
pub use money::{Currency, Money, MoneyError, Percent, Rate};
