//! Reports of sales: what they are grouped by, and the days that they are about.
//!
//! Always true here: days are those of a zone, so that the months of a report are the months of whoever reads it; the parts of a period are all
//! of it, none twice.

use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::window::{Window, WindowRefusal, start_of_day};

/// Most days of a report by days.
pub const MAX_DAYS: usize = 400;
/// Most months of a report by months.
pub const MAX_MONTHS: usize = 240;
/// Months of a report of which nobody says when it begins, this one included.
const MONTHS: u32 = 12;

named! {
    /// What the rows of a report of sales are.
    pub enum SalesGroup {
        /// One for each product code; what has none together.
        ProductCode = "PRODUCT_CODE",
        /// One for each company; what was sold to nobody's together.
        Company = "COMPANY",
        /// One for each product.
        Product = "PRODUCT",
        /// One for each day, days without sales too.
        Day = "DAY",
        /// One for each month, months without sales too.
        Month = "MONTH",
    }
}

named! {
    /// What an entry of the books of sales tells of.
    pub enum SaleKind {
        /// A line was paid.
        Sale = "SALE",
        /// Money went back.
        Refund = "REFUND",
        /// It did not after all.
        RefundUndone = "REFUND_UNDONE",
    }
}

/// The days of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first day.
    pub first_day: NaiveDate,
    /// The last day, which belongs to it.
    pub last_day: NaiveDate,
    /// Whose days.
    pub zone: Tz,
}

/// A part of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its first day.
    pub first_day: NaiveDate,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// The first instant that no longer belongs to it.
    pub ends_at: DateTime<Utc>,
}

/// Why a period is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodRefusal {
    /// It ends before it begins, or is outside of the calendar.
    #[error("{0}")]
    Window(#[from] WindowRefusal),
    /// More rows than anybody reads.
    #[error("That is {count} {what}; ask for at most {limit} at once.")]
    TooLong {
        /// How many.
        count: usize,
        /// Days or months.
        what: &'static str,
        /// How many there can be.
        limit: usize,
    },
}

impl Period {
    /// The period as it was asked for; until today, and from the first day of the month eleven months before its end, where that is not said.
    ///
    /// # Errors
    /// [`PeriodRefusal::Window`].
    pub fn given(first_day: Option<NaiveDate>, last_day: Option<NaiveDate>, now: DateTime<Utc>, zone: Tz) -> Result<Self, PeriodRefusal> {
        let last_day = last_day.unwrap_or_else(|| now.with_timezone(&zone).date_naive());
        let year_ago = || last_day.checked_sub_months(Months::new(MONTHS - 1)).and_then(|day| day.with_day(1)).unwrap_or(last_day);
        let first_day = first_day.unwrap_or_else(year_ago);
        Window::from_days(Some(first_day), Some(last_day), zone)?;
        Ok(Self { first_day, last_day, zone })
    }

    /// When it begins and ends.
    ///
    /// # Errors
    /// [`PeriodRefusal::Window`].
    pub fn bounds(&self) -> Result<(DateTime<Utc>, DateTime<Utc>), PeriodRefusal> {
        Ok((start_of_day(self.first_day, self.zone)?, start_of_day(self.last_day + TimeDelta::days(1), self.zone)?))
    }

    /// Its days.
    ///
    /// # Errors
    /// [`PeriodRefusal`].
    pub fn days(&self) -> Result<Vec<Part>, PeriodRefusal> {
        let count = usize::try_from((self.last_day - self.first_day).num_days()).unwrap_or_default() + 1;
        if count > MAX_DAYS {
            return Err(PeriodRefusal::TooLong { count, what: "days", limit: MAX_DAYS });
        }
        self.parts(self.first_day.iter_days().take(count).collect())
    }

    /// Its months; the first and the last can be parts of one.
    ///
    /// # Errors
    /// [`PeriodRefusal`].
    pub fn months(&self) -> Result<Vec<Part>, PeriodRefusal> {
        let month = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
        let count = usize::try_from(month(self.last_day) - month(self.first_day)).unwrap_or_default() + 1;
        if count > MAX_MONTHS {
            return Err(PeriodRefusal::TooLong { count, what: "months", limit: MAX_MONTHS });
        }
        let mut firsts = vec![self.first_day];
        let begin = self.first_day.with_day(1).unwrap_or(self.first_day);
        firsts.extend((1u32..).take(count - 1).filter_map(|later| begin.checked_add_months(Months::new(later))));
        self.parts(firsts)
    }

    /// The parts that begin on these days, in order, the first of which is the period's.
    fn parts(&self, firsts: Vec<NaiveDate>) -> Result<Vec<Part>, PeriodRefusal> {
        let mut ends_at = self.bounds()?.1;
        let mut parts = Vec::with_capacity(firsts.len());
        for first_day in firsts.into_iter().rev() {
            let starts_at = start_of_day(first_day, self.zone)?;
            parts.push(Part { first_day, starts_at, ends_at });
            ends_at = starts_at;
        }
        parts.reverse();
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    fn period(first: &str, last: &str, zone: Tz) -> Period {
        Period::given(Some(day(first)), Some(day(last)), DateTime::UNIX_EPOCH, zone).expect("a period")
    }

    #[test]
    fn a_period_is_the_last_twelve_months_unless_it_is_given() {
        let now = "2026-03-31T23:30:00Z".parse().expect("an instant");
        let period = Period::given(None, None, now, Tz::Europe__Vienna).expect("a period");
        assert_eq!((period.first_day, period.last_day), (day("2025-05-01"), day("2026-04-01")), "in Vienna it is April already");
        let since = Period::given(Some(day("2026-01-15")), None, now, Tz::UTC).expect("a period");
        assert_eq!((since.first_day, since.last_day), (day("2026-01-15"), day("2026-03-31")));
        assert!(matches!(Period::given(Some(day("2026-05-01")), None, now, Tz::UTC), Err(PeriodRefusal::Window(_))));
        assert!(Period::given(Some(day("1950-01-01")), None, now, Tz::UTC).is_err());
    }

    #[test]
    fn the_parts_of_a_period_are_all_of_it() {
        // Clocks go forward on 29 March: that day has 23 hours.
        let days = period("2026-03-28", "2026-03-30", Tz::Europe__Vienna).days().expect("days");
        let hours: Vec<i64> = days.iter().map(|part| (part.ends_at - part.starts_at).num_hours()).collect();
        assert_eq!(hours, [24, 23, 24]);
        let months = period("2026-01-15", "2026-03-02", Tz::UTC).months().expect("months");
        let firsts: Vec<NaiveDate> = months.iter().map(|part| part.first_day).collect();
        assert_eq!(firsts, [day("2026-01-15"), day("2026-02-01"), day("2026-03-01")]);
        for parts in [days, months] {
            assert!(parts.windows(2).all(|two| two[0].ends_at == two[1].starts_at));
        }
        let whole = period("2026-01-15", "2026-03-02", Tz::UTC).bounds().expect("bounds");
        assert_eq!(whole.1.to_rfc3339(), "2026-03-03T00:00:00+00:00");
        let long = period("2020-01-01", "2026-03-02", Tz::UTC);
        assert!(matches!(long.days(), Err(PeriodRefusal::TooLong { count: 2_253, .. })));
        assert_eq!(long.months().expect("months").len(), 75);
        assert!(period("1990-01-01", "2026-03-02", Tz::UTC).months().is_err());
    }
}
