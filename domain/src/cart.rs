//! Carts.

/// Largest quantity of a line.
pub const MAX_QUANTITY: u32 = 10_000;
