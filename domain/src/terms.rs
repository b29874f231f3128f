//! Terms of access: how long what was bought stays open, and from when that is counted.
//!
//! Always true here: a day is 24 hours, months are calendar months in UTC clamped to the end of the month, and terms become an instant once
//! for each grant (R12, R48, R78).

use std::fmt;

use chrono::{DateTime, Datelike, Duration, Months, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::ProductKind;
use crate::refusal::{Code, Reason};

/// Most days of access.
pub const MAX_DAYS: u32 = 36_500;
/// Most months of access.
pub const MAX_MONTHS: u32 = 1_200;

/// Why terms are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsRefusal {
    /// A number outside its bounds.
    #[error("Access for {value} {unit} is out of range; give 1 to {limit} {unit}, or nothing for access without end.")]
    OutOfRange {
        /// What was given.
        value: i64,
        /// In which unit.
        unit: &'static str,
        /// The largest number.
        limit: u32,
    },
    /// A duration and a fixed end at once.
    #[error("Give either a number of {unit} or a fixed end, not both.")]
    Both {
        /// The unit of this kind of product.
        unit: &'static str,
    },
    /// The wrong unit for the kind of product.
    #[error("Access to a {kind} is counted in {unit}; give the number of {unit}.")]
    WrongUnit {
        /// The kind of product.
        kind: &'static str,
        /// The unit of this kind.
        unit: &'static str,
    },
    /// Something that gives no access.
    #[error("A credit pack gives no access; for how long its credits can be spent is set as creditDays.")]
    NoAccess,
    /// An end that no calendar holds.
    #[error("The end of access lies beyond the year 9999; give shorter terms.")]
    TooFar,
    /// A fixed end that no shop needs.
    #[error("The end of access, {0}, is out of range; years from 1970 to 9999 can be given.")]
    EndOutOfRange(DateTime<Utc>),
}

impl Reason for TermsRefusal {
    fn code(&self) -> Code {
        Code::TermsInvalid
    }

    fn field(&self) -> Vec<String> {
        if let Self::EndOutOfRange(_) = self { vec!["endsAt".to_owned()] } else { Vec::new() }
    }
}

named! {
    /// What the length of access is counted in.
    pub enum TermUnit {
        /// Days of 24 hours.
        Days = "DAYS",
        /// Calendar months in UTC.
        Months = "MONTHS",
    }
}

named! {
    /// The name of a clock.
    pub enum AnchorName {
        /// See [`Anchor::Purchase`].
        Purchase = "PURCHASE",
        /// See [`Anchor::FirstStart`].
        FirstStart = "FIRST_START",
        /// See [`Anchor::FixedDate`].
        FixedDate = "FIXED_DATE",
    }
}

/// From when the length of access is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "name", content = "ends_at", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Anchor {
    /// From the grant.
    Purchase,
    /// From the first start of any course of it since the grant.
    FirstStart,
    /// Not counted: access ends at this instant whenever it was bought.
    FixedDate(DateTime<Utc>),
}

impl Anchor {
    /// Its name.
    pub const fn name(self) -> AnchorName {
        match self {
            Self::Purchase => AnchorName::Purchase,
            Self::FirstStart => AnchorName::FirstStart,
            Self::FixedDate(_) => AnchorName::FixedDate,
        }
    }
}

/// How long access lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// How many units; none = no end, unless the anchor is a fixed date.
    pub value: Option<u32>,
    /// What they are counted in.
    pub unit: TermUnit,
    /// From when.
    pub anchor: Anchor,
}

impl Terms {
    /// Access without end for this kind of product.
    pub const fn endless(kind: ProductKind) -> Self {
        let (unit, anchor) = match kind {
            // A credit pack gives no access, so there is nothing to count.
            ProductKind::Course | ProductKind::Session | ProductKind::CreditPack => (TermUnit::Days, Anchor::Purchase),
            ProductKind::Library => (TermUnit::Days, Anchor::FirstStart),
            ProductKind::Group => (TermUnit::Months, Anchor::Purchase),
        };
        Self { value: None, unit, anchor }
    }

    /// The terms that a product of this kind can have: courses and sessions days from the grant, libraries days from the first start, groups
    /// months from the grant; or a fixed end for each. Neither a number nor an end: no end.
    ///
    /// # Errors
    /// [`TermsRefusal`].
    pub fn of_kind(kind: ProductKind, value: Option<i64>, fixed_end: Option<DateTime<Utc>>) -> Result<Self, TermsRefusal> {
        let endless = Self::endless(kind);
        if kind == ProductKind::CreditPack && (value.is_some() || fixed_end.is_some()) {
            return Err(TermsRefusal::NoAccess);
        }
        match (value, fixed_end) {
            (Some(_), Some(_)) => Err(TermsRefusal::Both { unit: unit_word(endless.unit) }),
            (None, Some(end)) => {
                let end = representable(end).map_err(|_| TermsRefusal::EndOutOfRange(end))?;
                Ok(Self { anchor: Anchor::FixedDate(end), ..endless })
            }
            (value, None) => Ok(Self { value: value.map(|value| length(endless.unit, value)).transpose()?, ..endless }),
        }
    }

    /// As [`Terms::of_kind`], for inputs that name their unit: one that this kind does not count in is refused.
    ///
    /// # Errors
    /// [`TermsRefusal`].
    pub fn given(
        kind: ProductKind,
        days: Option<i64>,
        months: Option<i64>,
        fixed_end: Option<DateTime<Utc>>,
    ) -> Result<Self, TermsRefusal> {
        let unit = Self::endless(kind).unit;
        let (value, other) = match unit {
            TermUnit::Days => (days, months),
            TermUnit::Months => (months, days),
        };
        if other.is_some() && kind == ProductKind::CreditPack {
            return Err(TermsRefusal::NoAccess);
        }
        if other.is_some() {
            return Err(TermsRefusal::WrongUnit { kind: kind.word(), unit: unit_word(unit) });
        }
        Self::of_kind(kind, value, fixed_end)
    }

    /// The same terms with another number of days; a fixed end or a number of months gives way, the clock stays the one of the kind.
    #[must_use]
    pub fn with_days(self, kind: ProductKind, days: u32) -> Self {
        Self { value: Some(days), unit: TermUnit::Days, anchor: Self::endless(kind).anchor }
    }

    /// Whether the clock waits for the learner's first start.
    pub const fn waits_for_start(self) -> bool {
        matches!(self.anchor, Anchor::FirstStart) && self.value.is_some()
    }

    /// When access ends if its clock starts at `from` (the grant, the first start, or the end of the grant before it); none = never. With a
    /// fixed date, `from` does not matter.
    ///
    /// # Errors
    /// [`TermsRefusal::TooFar`].
    pub fn ends_at(self, from: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TermsRefusal> {
        if let Anchor::FixedDate(end) = self.anchor {
            return Ok(Some(end));
        }
        let Some(value) = self.value else { return Ok(None) };
        let end = match self.unit {
            TermUnit::Days => from.checked_add_signed(Duration::days(i64::from(value))),
            TermUnit::Months => from.checked_add_months(Months::new(value)),
        };
        end.ok_or(TermsRefusal::TooFar).and_then(representable).map(Some)
    }

    /// Whether these terms give a buyer less than `shown`: an earlier end if both clocks started at `now`, or a clock that starts by itself
    /// where the other one waited for the first start.
    pub fn worse_than(self, shown: Self, now: DateTime<Utc>) -> bool {
        let (fresh_end, shown_end) = match (self.ends_at(now), shown.ends_at(now)) {
            (Ok(fresh_end), Ok(shown_end)) => (fresh_end, shown_end),
            _ => return self != shown,
        };
        match (fresh_end, shown_end) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(fresh_end), Some(shown_end)) => fresh_end < shown_end || (shown.waits_for_start() && !self.waits_for_start()),
        }
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.anchor, self.value) {
            (Anchor::FixedDate(end), _) => write!(f, "until {end}"),
            (_, None) => f.write_str("without end"),
            (anchor, Some(value)) => {
                let unit = match (self.unit, value) {
                    (TermUnit::Days, 1) => "day",
                    (TermUnit::Months, 1) => "month",
                    (unit, _) => unit_word(unit),
                };
                let from = if anchor == Anchor::FirstStart { "the first start" } else { "the purchase" };
                write!(f, "{value} {unit} from {from}")
            }
        }
    }
}

/// Checks a number of days of access, as overrides give it.
///
/// # Errors
/// [`TermsRefusal::OutOfRange`].
pub fn days(value: i64) -> Result<u32, TermsRefusal> {
    length(TermUnit::Days, value)
}

fn length(unit: TermUnit, value: i64) -> Result<u32, TermsRefusal> {
    let limit = match unit {
        TermUnit::Days => MAX_DAYS,
        TermUnit::Months => MAX_MONTHS,
    };
    u32::try_from(value).ok().filter(|length| (1..=limit).contains(length)).ok_or(TermsRefusal::OutOfRange {
        value,
        unit: unit_word(unit),
        limit,
    })
}

const fn unit_word(unit: TermUnit) -> &'static str {
    match unit {
        TermUnit::Days => "days",
        TermUnit::Months => "months",
    }
}

fn representable(end: DateTime<Utc>) -> Result<DateTime<Utc>, TermsRefusal> {
    if (1970..=9999).contains(&end.year()) { Ok(end) } else { Err(TermsRefusal::TooFar) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("instant")
    }

    /// R12: calendar months from the grant, clamped to the end of the month, in UTC.
    #[test]
    fn r12_group_months_are_calendar_months_clamped_to_the_month_end() {
        for (months, from, expected) in [
            (1, "2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z"),
            (1, "2028-01-31T10:00:00Z", "2028-02-29T10:00:00Z"),
            (2, "2026-01-31T10:00:00Z", "2026-03-31T10:00:00Z"),
            (12, "2028-02-29T00:00:00Z", "2029-02-28T00:00:00Z"),
            (1, "2026-12-31T23:59:59.999999Z", "2027-01-31T23:59:59.999999Z"),
            (1200, "2026-05-05T00:00:00Z", "2126-05-05T00:00:00Z"),
        ] {
            let terms = Terms::of_kind(ProductKind::Group, Some(months), None).expect("terms");
            assert_eq!(terms.ends_at(at(from)), Ok(Some(at(expected))), "{months} from {from}");
        }
    }

    /// R48, R78, c27: a library's days run from the first start, a course's from the grant; a day is 24 hours, also across clock changes.
    #[test]
    fn r48_r78_each_kind_has_its_clock() {
        let library = Terms::of_kind(ProductKind::Library, Some(365), None).expect("terms");
        assert_eq!((library.anchor, library.waits_for_start()), (Anchor::FirstStart, true));
        assert_eq!(library.ends_at(at("2026-01-10T00:00:00Z")), Ok(Some(at("2027-01-10T00:00:00Z"))));
        assert_eq!(library.ends_at(at("2027-01-10T00:00:00Z")), Ok(Some(at("2028-01-10T00:00:00Z"))));
        let course = Terms::of_kind(ProductKind::Course, Some(30), None).expect("terms");
        assert_eq!((course.anchor, course.waits_for_start()), (Anchor::Purchase, false));
        assert_eq!(course.ends_at(at("2026-03-28T12:00:00Z")), Ok(Some(at("2026-04-27T12:00:00Z"))));
        let endless = Terms::of_kind(ProductKind::Library, None, None).expect("terms");
        assert_eq!((endless.ends_at(at("2026-01-01T00:00:00Z")), endless.waits_for_start()), (Ok(None), false));
        let end = at("2026-06-30T22:00:00Z");
        let fixed = Terms::of_kind(ProductKind::Group, None, Some(end)).expect("terms");
        assert_eq!(fixed.ends_at(at("2031-01-01T00:00:00Z")), Ok(Some(end)));
    }

    #[test]
    fn terms_outside_their_bounds_are_refused() {
        for (kind, value, ok) in [
            (ProductKind::Course, 1, true),
            (ProductKind::Course, 0, false),
            (ProductKind::Course, -1, false),
            (ProductKind::Library, 36_500, true),
            (ProductKind::Library, 36_501, false),
            (ProductKind::Group, 1_200, true),
            (ProductKind::Group, 1_201, false),
            (ProductKind::Group, i64::MAX, false),
        ] {
            assert_eq!(Terms::of_kind(kind, Some(value), None).is_ok(), ok, "{kind} {value}");
        }
        let end = at("2026-06-30T22:00:00Z");
        assert_eq!(Terms::of_kind(ProductKind::Course, Some(3), Some(end)), Err(TermsRefusal::Both { unit: "days" }));
        for (days, months) in [(Some(3), None), (None, Some(3))] {
            assert_eq!(Terms::given(ProductKind::CreditPack, days, months, None), Err(TermsRefusal::NoAccess));
        }
        assert_eq!(Terms::given(ProductKind::Group, Some(3), None, None), Err(TermsRefusal::WrongUnit { kind: "group", unit: "months" }));
        assert_eq!(Terms::given(ProductKind::Library, None, Some(3), None), Err(TermsRefusal::WrongUnit { kind: "library", unit: "days" }));
        let long = Terms::of_kind(ProductKind::Course, Some(36_500), None).expect("terms");
        assert_eq!(long.ends_at(at("9950-01-01T00:00:00Z")), Err(TermsRefusal::TooFar));
    }

    #[test]
    fn terms_got_worse_if_they_end_earlier_or_no_longer_wait() {
        let now = at("2026-02-01T00:00:00Z");
        let library = |value: Option<i64>| Terms::of_kind(ProductKind::Library, value, None).expect("terms");
        let course = |value: Option<i64>| Terms::of_kind(ProductKind::Course, value, None).expect("terms");
        let group = |value: i64| Terms::of_kind(ProductKind::Group, Some(value), None).expect("terms");
        let until = |text: &str| Terms::of_kind(ProductKind::Course, None, Some(at(text))).expect("terms");
        for (fresh, shown, worse) in [
            (library(Some(30)), library(Some(30)), false),
            (library(Some(29)), library(Some(30)), true),
            (library(Some(31)), library(Some(30)), false),
            (library(None), library(Some(30)), false),
            (library(Some(30)), library(None), true),
            (course(Some(30)), library(Some(30)), true),
            (course(Some(30)), course(None), true),
            (library(Some(30)), course(Some(30)), false),
            (until("2026-02-20T00:00:00Z"), course(Some(30)), true),
            (until("2026-04-20T00:00:00Z"), course(Some(30)), false),
            (group(1), group(2), true),
            (course(Some(27)), group(1), true),
        ] {
            assert_eq!(fresh.worse_than(shown, now), worse, "{fresh} after {shown}");
        }
    }

    #[test]
    fn terms_read_as_words_and_survive_storing() {
        for (terms, words) in [
            (Terms::of_kind(ProductKind::Library, Some(1), None), "1 day from the first start"),
            (Terms::of_kind(ProductKind::Group, Some(6), None), "6 months from the purchase"),
            (Terms::of_kind(ProductKind::Course, None, None), "without end"),
            (Terms::of_kind(ProductKind::Course, None, Some(at("2026-06-30T22:00:00Z"))), "until 2026-06-30 22:00:00 UTC"),
        ] {
            let terms = terms.expect("terms");
            assert_eq!(terms.to_string(), words);
            let kept = serde_json::to_string(&terms).expect("json");
            assert_eq!(serde_json::from_str::<Terms>(&kept).expect("terms"), terms, "{kept}");
        }
    }
}
