//! Windows of time: half-open, in UTC, from the start until just before the end.
//!
//! Always true here: a window is not empty, and the days it was given in became instants once, in the zone of the company or shop concerned;
//! a later change of that zone or its law moves nothing.

use std::fmt;

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::refusal::{Code, Reason};

/// The last instant that can be kept, to the microsecond.
pub const LAST_INSTANT: DateTime<Utc> = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => match day.and_hms_micro_opt(23, 59, 59, 999_999) {
        Some(last) => last.and_utc(),
        None => DateTime::<Utc>::MAX_UTC,
    },
    None => DateTime::<Utc>::MAX_UTC,
};

/// Why a window is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowRefusal {
    /// The end is not after the start.
    #[error("The window ends at {ends_at}, which is not after its start at {starts_at}; the end is exclusive and has to come later.")]
    EndNotAfterStart {
        /// The start.
        starts_at: DateTime<Utc>,
        /// The end.
        ends_at: DateTime<Utc>,
    },
    /// The last day is before the first.
    #[error(
        "The last day {last_day} is before the first day {first_day}; give the days in order, the last one still belongs to the window."
    )]
    LastDayBeforeFirst {
        /// The first day.
        first_day: NaiveDate,
        /// The last day.
        last_day: NaiveDate,
    },
    /// Instants and days at once.
    #[error("Give the window either by startsAt and endsAt, or by firstDay and lastDay, not by both.")]
    Mixed,
    /// An instant or a day that no shop needs.
    #[error("{0} is out of range; years from 1970 to 9999 can be given.")]
    OutOfRange(String),
}

impl Reason for WindowRefusal {
    fn code(&self) -> Code {
        Code::WindowInvalid
    }

    fn field(&self) -> Vec<String> {
        match self {
            Self::EndNotAfterStart { .. } => vec!["endsAt".to_owned()],
            Self::LastDayBeforeFirst { .. } => vec!["lastDay".to_owned()],
            Self::Mixed | Self::OutOfRange(_) => Vec::new(),
        }
    }
}

/// A stretch of time: `starts_at <= now < ends_at`; an absent bound is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Window {
    /// The first instant that belongs to it; none = since ever.
    pub starts_at: Option<DateTime<Utc>>,
    /// The first instant that no longer belongs to it; none = for ever.
    pub ends_at: Option<DateTime<Utc>>,
}

impl Window {
    /// All of time.
    pub const ALWAYS: Self = Self { starts_at: None, ends_at: None };

    /// A window between two instants.
    ///
    /// # Errors
    /// [`WindowRefusal::EndNotAfterStart`] or [`WindowRefusal::OutOfRange`].
    pub fn new(starts_at: Option<DateTime<Utc>>, ends_at: Option<DateTime<Utc>>) -> Result<Self, WindowRefusal> {
        for instant in starts_at.into_iter().chain(ends_at) {
            check_instant(instant)?;
        }
        match (starts_at, ends_at) {
            (Some(starts_at), Some(ends_at)) if ends_at <= starts_at => Err(WindowRefusal::EndNotAfterStart { starts_at, ends_at }),
            _ => Ok(Self { starts_at, ends_at }),
        }
    }

    /// A window from the start of the first day until the start of the day after the last, in `zone` (c11). Where that would be in the year
    /// 10000, the window ends with the last instant of 9999: no later one is ordered rightly by every database.
    ///
    /// # Errors
    /// [`WindowRefusal::LastDayBeforeFirst`] or [`WindowRefusal::OutOfRange`].
    pub fn from_days(first_day: Option<NaiveDate>, last_day: Option<NaiveDate>, zone: Tz) -> Result<Self, WindowRefusal> {
        if let (Some(first_day), Some(last_day)) = (first_day, last_day)
            && last_day < first_day
        {
            return Err(WindowRefusal::LastDayBeforeFirst { first_day, last_day });
        }
        let starts_at = first_day.map(|day| start_of_day(day, zone)).transpose()?;
        let ends_at = last_day
            .map(|day| {
                let next = day.succ_opt().filter(|_| day.year() <= 9999).ok_or_else(|| WindowRefusal::OutOfRange(day.to_string()))?;
                start_of_day(next, zone).map(|end| end.min(LAST_INSTANT))
            })
            .transpose()?;
        Self::new(starts_at, ends_at)
    }

    /// A window as an input gives it: by instants or by days, not by both; nothing given is all of time.
    ///
    /// # Errors
    /// [`WindowRefusal`].
    pub fn given(
        starts_at: Option<DateTime<Utc>>,
        ends_at: Option<DateTime<Utc>>,
        first_day: Option<NaiveDate>,
        last_day: Option<NaiveDate>,
        zone: Tz,
    ) -> Result<Self, WindowRefusal> {
        let by_instants = starts_at.is_some() || ends_at.is_some();
        let by_days = first_day.is_some() || last_day.is_some();
        match (by_instants, by_days) {
            (true, true) => Err(WindowRefusal::Mixed),
            (false, true) => Self::from_days(first_day, last_day, zone),
            _ => Self::new(starts_at, ends_at),
        }
    }

    /// Whether `instant` belongs to the window.
    pub fn contains(self, instant: DateTime<Utc>) -> bool {
        self.starts_at.is_none_or(|starts_at| starts_at <= instant) && self.ends_at.is_none_or(|ends_at| instant < ends_at)
    }

    /// Whether some instant belongs to both windows; windows that only touch do not overlap.
    pub fn overlaps(self, other: Self) -> bool {
        let before = |ends_at: Option<DateTime<Utc>>, starts_at: Option<DateTime<Utc>>| matches!((ends_at, starts_at), (Some(end), Some(start)) if end <= start);
        !before(self.ends_at, other.starts_at) && !before(other.ends_at, self.starts_at)
    }

    /// Whether the window has no bound.
    pub const fn is_always(self) -> bool {
        self.starts_at.is_none() && self.ends_at.is_none()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.starts_at, self.ends_at) {
            (None, None) => f.write_str("always"),
            (Some(starts_at), None) => write!(f, "from {starts_at}"),
            (None, Some(ends_at)) => write!(f, "until {ends_at}"),
            (Some(starts_at), Some(ends_at)) => write!(f, "from {starts_at} until {ends_at}"),
        }
    }
}

/// The instant at which `day` begins in `zone`. Where clocks skip midnight, or the whole day, it is the first instant after the gap; where
/// midnight comes twice, the earlier one.
///
/// # Errors
/// [`WindowRefusal::OutOfRange`].
pub fn start_of_day(day: NaiveDate, zone: Tz) -> Result<DateTime<Utc>, WindowRefusal> {
    let out_of_range = || WindowRefusal::OutOfRange(day.to_string());
    // The day after 9999-12-31 is still asked for as the end of that one.
    if !(1970..=10_000).contains(&day.year()) {
        return Err(out_of_range());
    }
    let midnight = day.and_time(NaiveTime::MIN);
    if let Some(found) = zone.from_local_datetime(&midnight).earliest() {
        return Ok(found.to_utc());
    }
    // Clocks jump over midnight. Somewhere in the two days around it lies the first instant whose local date is this day or a later one.
    let (mut before, mut after) = (midnight.and_utc() - Duration::hours(48), midnight.and_utc() + Duration::hours(48));
    while after - before > Duration::seconds(1) {
        let middle = before + (after - before) / 2;
        let local = middle.naive_utc() + zone.offset_from_utc_datetime(&middle.naive_utc()).fix();
        if local.date() >= day {
            after = middle;
        } else {
            before = middle;
        }
    }
    // The search ends between two whole seconds, and zones change at whole seconds.
    DateTime::from_timestamp(after.timestamp(), 0).ok_or_else(out_of_range)
}

/// Checks that a database can keep an instant and orders it rightly: one of the years 1970 to 9999.
///
/// # Errors
/// [`WindowRefusal::OutOfRange`].
pub fn check_instant(instant: DateTime<Utc>) -> Result<DateTime<Utc>, WindowRefusal> {
    // The first day of 1970 begins in 1969 in half of the world.
    if (1969..=9999).contains(&instant.year()) { Ok(instant) } else { Err(WindowRefusal::OutOfRange(instant.to_string())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("instant")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("day")
    }

    /// c11: the last day belongs to the window, in the zone concerned.
    #[test]
    fn c11_the_last_day_ends_at_the_next_local_midnight() {
        let window = Window::from_days(None, Some(day("2026-07-06")), chrono_tz::America::New_York).expect("window");
        assert_eq!(window.ends_at, Some(at("2026-07-07T04:00:00Z")));
        assert!(window.contains(at("2026-07-07T03:59:59Z")));
        assert!(!window.contains(at("2026-07-07T04:00:00Z")));
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        for (text, zone, expected) in [
            ("2026-07-06", chrono_tz::UTC, "2026-07-06T00:00:00Z"),
            ("2026-01-15", chrono_tz::Europe::Warsaw, "2026-01-14T23:00:00Z"),
            ("2026-07-15", chrono_tz::Europe::Warsaw, "2026-07-14T22:00:00Z"),
            // The days on which the clocks change begin before the change.
            ("2026-03-29", chrono_tz::Europe::Warsaw, "2026-03-28T23:00:00Z"),
            ("2026-03-30", chrono_tz::Europe::Warsaw, "2026-03-29T22:00:00Z"),
            ("2026-10-25", chrono_tz::Europe::Warsaw, "2026-10-24T22:00:00Z"),
            ("2026-10-26", chrono_tz::Europe::Warsaw, "2026-10-25T23:00:00Z"),
            // Clocks went from 24:00 to 01:00: the day began at 01:00.
            ("2018-11-04", chrono_tz::America::Sao_Paulo, "2018-11-04T03:00:00Z"),
            ("2018-11-05", chrono_tz::America::Sao_Paulo, "2018-11-05T02:00:00Z"),
            // Clocks went from 24:00 back to 23:00: the day began once.
            ("2018-02-18", chrono_tz::America::Sao_Paulo, "2018-02-18T03:00:00Z"),
            // Clocks went from 00:01 back to 23:01: midnight came twice, the earlier one counts.
            ("2006-10-29", chrono_tz::America::St_Johns, "2006-10-29T02:30:00Z"),
            // A day that was skipped begins with the day after it.
            ("2011-12-30", chrono_tz::Pacific::Apia, "2011-12-30T10:00:00Z"),
            ("2011-12-31", chrono_tz::Pacific::Apia, "2011-12-30T10:00:00Z"),
        ] {
            assert_eq!(start_of_day(day(text), zone), Ok(at(expected)), "{text} in {zone}");
        }
    }

    #[test]
    fn days_of_23_and_25_hours_are_whole_days() {
        let zone = chrono_tz::Europe::Warsaw;
        for (text, hours) in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)] {
            let window = Window::from_days(Some(day(text)), Some(day(text)), zone).expect("window");
            assert_eq!(window.ends_at.expect("end") - window.starts_at.expect("start"), Duration::hours(hours), "{text}");
        }
    }

    #[test]
    fn windows_that_hold_nothing_are_refused() {
        let (one, two) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        assert!(Window::new(Some(one), Some(two)).is_ok());
        for (starts_at, ends_at) in [(two, one), (one, one)] {
            assert_eq!(Window::new(Some(starts_at), Some(ends_at)), Err(WindowRefusal::EndNotAfterStart { starts_at, ends_at }));
        }
        let refused = Window::from_days(Some(day("2026-01-02")), Some(day("2026-01-01")), chrono_tz::UTC);
        assert!(matches!(refused, Err(WindowRefusal::LastDayBeforeFirst { .. })));
        assert!(Window::from_days(Some(day("2026-01-01")), Some(day("2026-01-01")), chrono_tz::UTC).is_ok());
        assert!(matches!(Window::from_days(Some(day("1066-01-01")), None, chrono_tz::UTC), Err(WindowRefusal::OutOfRange(_))));
        for zone in [chrono_tz::Etc::GMTPlus12, chrono_tz::UTC] {
            let window = Window::from_days(None, Some(day("9999-12-31")), zone).expect("the last day of all");
            assert_eq!(window.ends_at, Some(at("9999-12-31T23:59:59.999999Z")), "{zone}");
        }
        let after = LAST_INSTANT + Duration::microseconds(1);
        assert!(matches!(Window::new(None, Some(after)), Err(WindowRefusal::OutOfRange(_))));
        assert!(matches!(Window::from_days(Some(day("+10000-01-01")), None, chrono_tz::UTC), Err(WindowRefusal::OutOfRange(_))));
        assert!(matches!(Window::from_days(None, Some(NaiveDate::MAX), chrono_tz::UTC), Err(WindowRefusal::OutOfRange(_))));
    }

    #[test]
    fn instants_and_days_are_not_mixed() {
        let (zone, some) = (chrono_tz::UTC, at("2026-01-01T00:00:00Z"));
        assert_eq!(Window::given(Some(some), None, None, Some(day("2026-01-02")), zone), Err(WindowRefusal::Mixed));
        assert_eq!(Window::given(None, None, None, None, zone), Ok(Window::ALWAYS));
        assert_eq!(Window::given(None, Some(some), None, None, zone), Ok(Window { starts_at: None, ends_at: Some(some) }));
        assert_eq!(Window::given(None, None, Some(day("2026-01-01")), None, zone), Ok(Window { starts_at: Some(some), ends_at: None }));
    }

    #[test]
    fn windows_overlap_where_they_share_an_instant() {
        let window = |starts: Option<i64>, ends: Option<i64>| Window {
            starts_at: starts.and_then(|s| DateTime::from_timestamp(s, 0)),
            ends_at: ends.and_then(|s| DateTime::from_timestamp(s, 0)),
        };
        for (one, other, expected) in [
            (window(Some(1), Some(5)), window(Some(5), Some(9)), false),
            (window(Some(1), Some(6)), window(Some(5), Some(9)), true),
            (window(None, Some(5)), window(Some(5), None), false),
            (window(None, Some(5)), window(None, Some(2)), true),
            (Window::ALWAYS, window(Some(5), Some(9)), true),
            (Window::ALWAYS, Window::ALWAYS, true),
        ] {
            assert_eq!((one.overlaps(other), other.overlaps(one)), (expected, expected), "{one} / {other}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_belongs_to_exactly_one_local_day(seconds in 0_i64..4_000_000_000, zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec())) {
            let now = DateTime::from_timestamp(seconds, 0).expect("instant");
            let today = now.with_timezone(&zone).date_naive();
            let days = [today.pred_opt().expect("day"), today, today.succ_opt().expect("day")];
            let holding = days.iter().filter(|day| Window::from_days(Some(**day), Some(**day), zone).is_ok_and(|window| window.contains(now))).count();
            prop_assert_eq!(holding, 1, "{} in {}", now, zone);
        }
    }
}
