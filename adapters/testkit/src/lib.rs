//! What payment adapters are tested with.
//!
//! - [`conformance`]: the suite that every adapter passes, with a report of what was proven and what does not apply.
//! - [`fault`]: a proxy that resets, delays, cuts, refuses or repeats what an adapter sends.
//! - [`play`]: what the tests of every adapter need.
//! - [`twist`]: adapters with one fault each, with which the suite is tested itself.

pub mod conformance;
pub mod fault;
pub mod play;
pub mod twist;
