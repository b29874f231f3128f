//! What payment adapters are tested with.
//!
//! - [`conformance`]: the suite that every adapter passes, with a report of what was proven and what does not apply.
//! - [`fault`]: a proxy that resets, delays, cuts, refuses or repeats what an adapter sends.

pub mod conformance;
pub mod fault;
