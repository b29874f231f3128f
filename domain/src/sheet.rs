//! Sheets: rows of cells as CSV, for programs and for programs for spreadsheets.
//!
//! Always true here: no text begins a formula, in whatever column it stands; a number is a number that we made, so that an amount below zero
//! stays one.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use unicode_normalization::UnicodeNormalization;

use crate::money::Money;

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// A text of somebody's: guarded.
    Text(String),
    /// A number of things.
    Whole(i64),
    /// An amount; its currency has a column of its own.
    Money(Money),
    /// An instant.
    At(DateTime<Utc>),
    /// A day.
    Day(NaiveDate),
    /// Yes or no.
    Flag(bool),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Whole(i64::from(number))
    }
}

impl From<Money> for Cell {
    fn from(amount: Money) -> Self {
        Self::Money(amount)
    }
}

impl From<DateTime<Utc>> for Cell {
    fn from(at: DateTime<Utc>) -> Self {
        Self::At(at)
    }
}

impl From<NaiveDate> for Cell {
    fn from(day: NaiveDate) -> Self {
        Self::Day(day)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

/// How a sheet is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// How days are written; `None` where programs read: RFC 3339, in UTC.
    days: Option<&'static str>,
    /// Between whole units and the rest of an amount.
    decimal: char,
    /// Between cells.
    delimiter: char,
    /// Whose clocks instants are shown by.
    zone: Tz,
}

impl Format {
    /// For programs: instants by RFC 3339 in UTC, decimal points, commas between cells, no mark at the beginning.
    pub const PLAIN: Self = Self { days: None, decimal: '.', delimiter: ',', zone: Tz::UTC };

    /// As programs for spreadsheets set to this locale read it without being asked: its order of day, month and year, its decimal mark, a
    /// semicolon between cells where the comma is taken, and a mark at the beginning that says that the text is UTF-8. Instants are shown by the
    /// clocks of `zone`. The empty locale is [`Format::PLAIN`].
    pub fn of(locale: &str, zone: Tz) -> Self {
        if locale.is_empty() {
            return Self::PLAIN;
        }
        let tag = locale.to_ascii_lowercase();
        let mut parts = tag.split('-');
        let language = parts.next().unwrap_or_default();
        let region = parts.rfind(|part| part.len() == 2).unwrap_or_default();
        let days = match (language, region) {
            ("en", "us") | ("fil", _) => "%m/%d/%Y",
            ("en", "gb" | "ie" | "au" | "nz" | "in") | ("fr" | "it" | "es" | "pt" | "el" | "vi" | "ca" | "gl" | "id" | "ms", _) => {
                "%d/%m/%Y"
            }
            (
                "de" | "pl" | "cs" | "sk" | "ru" | "uk" | "ro" | "bg" | "fi" | "nb" | "nn" | "no" | "da" | "tr" | "et" | "lv" | "hr" | "sl"
                | "sr" | "bs" | "mk" | "is",
                _,
            ) => "%d.%m.%Y",
            ("nl", _) => "%d-%m-%Y",
            ("hu", _) => "%Y.%m.%d",
            _ => "%Y-%m-%d",
        };
        let point = matches!(
            (language, region),
            ("en" | "fil" | "zh" | "ja" | "ko" | "he" | "th" | "ms" | "hi" | "ga" | "cy" | "mt", _)
                | ("de" | "it" | "fr", "ch" | "li")
                | ("es", "mx" | "us" | "pr" | "gt" | "hn" | "ni" | "pa" | "pe" | "sv" | "do")
        );
        let delimiter = if point && !matches!(region, "ch" | "li") { ',' } else { ';' };
        Self { days: Some(days), decimal: if point { '.' } else { ',' }, delimiter, zone }
    }

    /// What stands before the first line: for spreadsheets the mark of UTF-8, without which they take letters with accents for others.
    pub const fn beginning(&self) -> &'static str {
        if self.days.is_some() { "\u{feff}" } else { "" }
    }

    /// Writes a line to the end of `out`.
    pub fn write(&self, cells: &[Cell], out: &mut String) {
        for (place, cell) in cells.iter().enumerate() {
            if place > 0 {
                out.push(self.delimiter);
            }
            match cell {
                Cell::Empty => {}
                Cell::Text(text) => quoted(&harmless(text), out),
                Cell::Whole(number) => out.push_str(&number.to_string()),
                Cell::Money(amount) if self.decimal == '.' => out.push_str(&amount.decimal_text()),
                // With the delimiter of such a locale it needs no quotes.
                Cell::Money(amount) => out.push_str(&amount.decimal_text().replace('.', &self.decimal.to_string())),
                Cell::At(at) => out.push_str(&self.instant(*at)),
                Cell::Day(day) => out.push_str(&day.format(self.days.unwrap_or("%Y-%m-%d")).to_string()),
                Cell::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            }
        }
        out.push_str(if self.days.is_some() { "\r\n" } else { "\n" });
    }

    fn instant(&self, at: DateTime<Utc>) -> String {
        match self.days {
            None => at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            Some(days) => at.with_timezone(&self.zone).format(&format!("{days} %H:%M:%S")).to_string(),
        }
    }
}

/// A text as one, where a program for spreadsheets would take it for a formula: one that begins, after blanks, with = + - @ in any of their
/// widths, or with a tab or the end of a line.
pub fn harmless(text: &str) -> String {
    let blank = |letter: char| letter.is_whitespace() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    let controlled = text.starts_with(['\t', '\r', '\n']);
    let lead = text.trim_start_matches(blank).chars().next().and_then(|letter| letter.nfkc().next());
    if controlled || matches!(lead, Some('=' | '+' | '-' | '@' | '\u{2212}')) { format!("'{text}") } else { text.to_owned() }
}

/// In quotes where anything in it could be taken for the end of the cell, by a program that was told of another delimiter too.
fn quoted(text: &str, out: &mut String) {
    let plain = !text.contains([',', ';', '\t', '|', '"', '\r', '\n']) && text.trim() == text;
    if plain {
        out.push_str(text);
        return;
    }
    out.push('"');
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::Currency;

    fn line(locale: &str, zone: Tz, cells: &[Cell]) -> String {
        let mut out = String::new();
        Format::of(locale, zone).write(cells, &mut out);
        out
    }

    fn cells() -> Vec<Cell> {
        let usd = Currency::parse("USD").expect("a currency");
        let at: DateTime<Utc> = "2026-03-01T22:05:00Z".parse().expect("an instant");
        vec![
            Cell::from("Bread; butter"),
            Cell::from(3i64),
            Cell::from(Money::new(-123_450, usd)),
            Cell::from(at),
            Cell::from(at.date_naive()),
            Cell::from(true),
            Cell::from(None::<String>),
        ]
    }

    #[test]
    fn r47_dates_and_decimals_follow_the_locale() {
        for (locale, written) in [
            ("", "\"Bread; butter\",3,-1234.50,2026-03-01T22:05:00Z,2026-03-01,true,\n"),
            ("en", "\"Bread; butter\",3,-1234.50,2026-03-01 23:05:00,2026-03-01,true,\r\n"),
            ("en-US", "\"Bread; butter\",3,-1234.50,03/01/2026 23:05:00,03/01/2026,true,\r\n"),
            ("de-AT", "\"Bread; butter\";3;-1234,50;01.03.2026 23:05:00;01.03.2026;true;\r\n"),
            ("de-CH", "\"Bread; butter\";3;-1234.50;01.03.2026 23:05:00;01.03.2026;true;\r\n"),
            ("HU", "\"Bread; butter\";3;-1234,50;2026.03.01 23:05:00;2026.03.01;true;\r\n"),
        ] {
            assert_eq!(line(locale, Tz::Europe__Vienna, &cells()), written, "{locale:?}");
        }
        assert_eq!((Format::of("", Tz::UTC).beginning(), Format::of("de", Tz::UTC).beginning()), ("", "\u{feff}"));
    }

    #[test]
    fn r47_no_cell_begins_a_formula() {
        for (cell, written) in [
            ("FEST-1", "FEST-1"),
            ("-TEN", "'-TEN"),
            ("+1", "'+1"),
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("\t=1", "'\t=1"),
            ("\rx", "'\rx"),
            ("\n=x", "'\n=x"),
            ("  =1", "'  =1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠x", "'＠x"),
            ("﹣1", "'﹣1"),
            ("−1", "'−1"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(harmless(cell), written);
        }
    }

    proptest! {
        /// What is written is read back: the guard apart, each text as it was, in as many cells as there were.
        #[test]
        fn r47_a_line_reads_back(texts in prop::collection::vec("[a-z=+@;,\"\t\r\n -]{0,6}", 1..6), german in any::<bool>()) {
            let cells: Vec<Cell> = texts.iter().map(|text| Cell::from(text.as_str())).collect();
            let written = line(if german { "de" } else { "" }, Tz::UTC, &cells);
            prop_assert_eq!(read(&written, if german { ';' } else { ',' }), texts.iter().map(|text| harmless(text)).collect::<Vec<_>>());
        }
    }

    /// The cells of one line, as RFC 4180 has them.
    fn read(line: &str, delimiter: char) -> Vec<String> {
        let (mut cells, mut cell, mut within) = (Vec::new(), String::new(), false);
        let mut letters = line.trim_end_matches(['\r', '\n']).chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if within && letters.peek() == Some(&'"') => cell.push(letters.next().expect("peeked")),
                '"' => within = !within,
                _ if letter == delimiter && !within => cells.push(std::mem::take(&mut cell)),
                _ => cell.push(letter),
            }
        }
        cells.push(cell);
        cells
    }
}
