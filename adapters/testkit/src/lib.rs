//! What payment adapters are tested with.
//!
//! - [`conformance`]: the suite that every adapter passes, with a report of what was proven and what does not apply.

pub mod conformance;
