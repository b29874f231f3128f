//! Batches: many codes of one coupon, for one use each.
//!
//! Always true here: a batch is made in pieces that hold the database for a moment only; making it smaller never touches a code that somebody
//! has used or holds.

use std::time::Duration;

use crate::refusal::{Code, Reason};

/// Most codes of a batch.
pub const MAX_CODES: u32 = 1_000_000;
/// Batches up to this size are made while the caller waits, larger ones in the background.
pub const MADE_AT_ONCE: u32 = 10_000;

/// Why a batch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchRefusal {
    /// None, or too many.
    #[error("A batch of {count} codes cannot be made; give 1 to {}.", MAX_CODES)]
    CountOutOfRange {
        /// What was given.
        count: i64,
    },
    /// A size that no batch can have.
    #[error("A batch cannot be brought to {count} codes; give 0 to {}.", MAX_CODES)]
    SizeOutOfRange {
        /// What was given.
        count: i64,
    },
    /// R72: too few codes can go.
    #[error(
        "{wanted} codes would have to become void, but only {free} are free; the others are used or held by an order that waits for its payment. Nothing was changed; the batch can have {least} codes at the least."
    )]
    TooFewFree {
        /// How many would have to go.
        wanted: u32,
        /// How many can.
        free: u32,
        /// The smallest size possible.
        least: u32,
    },
    /// Its codes are still being made.
    #[error("The batch is still being made: {made} of {count} codes are there. Repeat this once all are.")]
    UnderWay {
        /// How many there are.
        made: u32,
        /// How many there will be.
        count: u32,
    },
    /// A batch of a coupon that is no longer used.
    #[error("The coupon is archived and gets no more codes; create another one.")]
    Archived,
}

impl Reason for BatchRefusal {
    fn code(&self) -> Code {
        match self {
            Self::CountOutOfRange { .. } | Self::SizeOutOfRange { .. } => Code::QuantityInvalid,
            Self::TooFewFree { .. } => Code::BatchTooFewFree,
            Self::UnderWay { .. } => Code::BatchUnderWay,
            Self::Archived => Code::Archived,
        }
    }

    fn field(&self) -> Vec<String> {
        match self {
            Self::CountOutOfRange { .. } | Self::SizeOutOfRange { .. } | Self::TooFewFree { .. } => vec!["count".to_owned()],
            Self::UnderWay { .. } | Self::Archived => Vec::new(),
        }
    }
}

/// Checks how many codes a batch is to have.
///
/// # Errors
/// [`BatchRefusal::CountOutOfRange`].
pub fn check_count(count: i64) -> Result<u32, BatchRefusal> {
    u32::try_from(count).ok().filter(|count| (1..=MAX_CODES).contains(count)).ok_or(BatchRefusal::CountOutOfRange { count })
}

/// Whether a batch of that many codes is made while the caller waits.
pub const fn made_at_once(count: u32) -> bool {
    count <= MADE_AT_ONCE
}

/// A batch as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFacts {
    /// How many codes it was asked to have, void ones not counted.
    pub count: u32,
    /// How many it has, void ones not counted.
    pub made: u32,
    /// How many of these no order holds or has used.
    pub free: u32,
}

/// What bringing a batch to another size takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// Nothing; it has that size.
    Nothing,
    /// So many more codes are made.
    Make(u32),
    /// So many codes become void: the newest free ones. Where fewer of them turn out to be free by then, none does.
    Void(u32),
}

/// Plans to bring a batch to `count` codes (R72).
///
/// # Errors
/// [`BatchRefusal::SizeOutOfRange`], [`BatchRefusal::UnderWay`] or [`BatchRefusal::TooFewFree`].
pub fn resize(batch: &BatchFacts, count: i64) -> Result<Resize, BatchRefusal> {
    let wanted = u32::try_from(count).ok().filter(|count| *count <= MAX_CODES).ok_or(BatchRefusal::SizeOutOfRange { count })?;
    if batch.made < batch.count {
        return Err(BatchRefusal::UnderWay { made: batch.made, count: batch.count });
    }
    match batch.made.checked_sub(wanted) {
        Some(0) => Ok(Resize::Nothing),
        Some(surplus) if surplus > batch.free => Err(too_few(batch, surplus)),
        Some(surplus) => Ok(Resize::Void(surplus)),
        None => Ok(Resize::Make(wanted - batch.made)),
    }
}

/// The refusal where `surplus` codes were to go and fewer were free, by the time that it was done or before.
pub const fn too_few(batch: &BatchFacts, surplus: u32) -> BatchRefusal {
    BatchRefusal::TooFewFree { wanted: surplus, free: batch.free, least: batch.made.saturating_sub(batch.free) }
}

/// How many codes are made in one transaction: fewer after one that took long, more after a quick one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    size: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { size: Self::FIRST }
    }
}

impl Pace {
    /// The size of the first piece, before anything is known of the database.
    const FIRST: u32 = 500;
    /// The smallest piece.
    const LEAST: u32 = 50;
    /// The largest piece.
    const MOST: u32 = 4_000;
    /// How long a piece may hold the database.
    pub const LONGEST: Duration = Duration::from_millis(50);

    /// How many codes come next of those that are left.
    pub fn next(self, left: u32) -> u32 {
        self.size.min(left)
    }

    /// The pace after a piece that held the database for so long: half of it if that was more than half of what is allowed, twice as many if
    /// it was less than an eighth.
    #[must_use]
    pub fn after(self, held: Duration) -> Self {
        let size = if held > Self::LONGEST / 2 {
            self.size / 2
        } else if held < Self::LONGEST / 8 {
            self.size * 2
        } else {
            self.size
        };
        Self { size: size.clamp(Self::LEAST, Self::MOST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_one_to_a_million_codes() {
        for count in [1, 2, 10_000, 10_001, 1_000_000] {
            assert_eq!(check_count(count).map(i64::from), Ok(count));
        }
        for count in [0, -1, 1_000_001, i64::MAX, i64::MIN] {
            assert_eq!(check_count(count), Err(BatchRefusal::CountOutOfRange { count }));
        }
        assert!(made_at_once(10_000) && !made_at_once(10_001));
    }

    /// R72: the surplus becomes void, never a code that is used or held; if too few are free nothing changes, and it says how many are.
    #[test]
    fn r72_making_a_batch_smaller_takes_free_codes_only() {
        // 100 codes, 30 of them used or held.
        let batch = BatchFacts { count: 100, made: 100, free: 70 };
        assert_eq!(resize(&batch, 100), Ok(Resize::Nothing));
        assert_eq!(resize(&batch, 60), Ok(Resize::Void(40)));
        assert_eq!(resize(&batch, 30), Ok(Resize::Void(70)));
        assert_eq!(resize(&batch, 29), Err(BatchRefusal::TooFewFree { wanted: 71, free: 70, least: 30 }));
        assert_eq!(resize(&batch, 0), Err(BatchRefusal::TooFewFree { wanted: 100, free: 70, least: 30 }));
        assert_eq!(resize(&batch, 150), Ok(Resize::Make(50)));
        assert_eq!(resize(&batch, -1), Err(BatchRefusal::SizeOutOfRange { count: -1 }));
        assert_eq!(resize(&batch, 1_000_001), Err(BatchRefusal::SizeOutOfRange { count: 1_000_001 }));
        let unused = BatchFacts { count: 100, made: 100, free: 100 };
        assert_eq!(resize(&unused, 0), Ok(Resize::Void(100)));
        let growing = BatchFacts { count: 20_000, made: 12_000, free: 12_000 };
        assert_eq!(resize(&growing, 10), Err(BatchRefusal::UnderWay { made: 12_000, count: 20_000 }));
        let refusal = too_few(&batch, 71);
        assert_eq!((refusal.code(), refusal.field()), (Code::BatchTooFewFree, vec!["count".to_owned()]));
        assert!(refusal.to_string().contains("only 70 are free"), "{refusal}");
    }

    #[test]
    fn pieces_shrink_when_the_database_is_slow_and_grow_when_it_is_quick() {
        let pace = Pace::default();
        assert_eq!((pace.next(1_000_000), pace.next(3)), (500, 3));
        let slow = pace.after(Duration::from_millis(40));
        assert_eq!(slow.next(1_000), 250);
        assert_eq!(pace.after(Duration::from_millis(15)), pace);
        let quick = (0..20).fold(pace, |pace, _| pace.after(Duration::from_millis(1)));
        assert_eq!(quick.next(1_000_000), 4_000);
        let slowest = (0..20).fold(pace, |pace, _| pace.after(Duration::from_secs(1)));
        assert_eq!(slowest.next(1_000_000), 50);
    }
}
