//! What is kept of a person besides the e-mail address: a name, and a postal address for invoices.
//!
//! Always true here: an address is a few plain lines as they go on an envelope; its country is an ISO 3166 code, for whoever counts by country.

use serde::{Deserialize, Serialize};

use crate::refusal::{Code, Reason};
use crate::text::{TextRefusal, line};

/// Most lines of an address.
pub const MAX_ADDRESS_LINES: usize = 8;
/// Most characters of a line of an address.
pub const MAX_ADDRESS_LINE: usize = 200;

/// A postal address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The lines in order, without the country.
    pub lines: Vec<String>,
    /// ISO 3166 code of the country, two capital letters.
    pub country: Option<String>,
}

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// No line at all.
    #[error("The address has no line; give at least one, or leave the address out.")]
    Empty,
    /// Too many lines.
    #[error("An address has at most {MAX_ADDRESS_LINES} lines; join some.")]
    TooManyLines,
    /// A line that is empty, too long or holds control characters.
    #[error("{reason}")]
    Line {
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        reason: TextRefusal,
    },
    /// Not two letters.
    #[error("{found:?} is no country code; give the two letters of ISO 3166, such as \"DE\".")]
    Country {
        /// What was given.
        found: String,
    },
}

impl Reason for AddressRefusal {
    fn code(&self) -> Code {
        match self {
            Self::Empty => Code::Required,
            Self::TooManyLines => Code::TooLong,
            Self::Line { reason, .. } => reason.code(),
            Self::Country { .. } => Code::Invalid,
        }
    }

    fn field(&self) -> Vec<String> {
        match self {
            Self::Empty | Self::TooManyLines => vec!["lines".to_owned()],
            Self::Line { index, .. } => vec!["lines".to_owned(), index.to_string()],
            Self::Country { .. } => vec!["country".to_owned()],
        }
    }
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(lines: &[String], country: Option<&str>) -> Result<Self, AddressRefusal> {
        if lines.is_empty() {
            return Err(AddressRefusal::Empty);
        }
        if lines.len() > MAX_ADDRESS_LINES {
            return Err(AddressRefusal::TooManyLines);
        }
        let lines = lines
            .iter()
            .enumerate()
            .map(|(index, text)| line("address line", text, MAX_ADDRESS_LINE).map_err(|reason| AddressRefusal::Line { index, reason }))
            .collect::<Result<_, _>>()?;
        Ok(Self { lines, country: country.map(country_code).transpose()? })
    }
}

/// Reads the ISO 3166 code of a country: two letters in any case.
///
/// # Errors
/// [`AddressRefusal::Country`].
pub fn country_code(text: &str) -> Result<String, AddressRefusal> {
    let code = text.trim().to_ascii_uppercase();
    let letters = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if letters { Ok(code) } else { Err(AddressRefusal::Country { found: code.chars().take(20).collect() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn an_address_is_trimmed_and_its_country_a_code() {
        let address = Address::parse(&lines(&[" 1 Main Street ", "Springfield"]), Some(" us ")).expect("address");
        assert_eq!(address, Address { lines: lines(&["1 Main Street", "Springfield"]), country: Some("US".to_owned()) });
    }

    #[test]
    fn a_bad_address_names_what_is_wrong() {
        let check = |texts: &[&str], country: Option<&str>, code: Code, field: &[&str]| {
            let refusal = Address::parse(&lines(texts), country).expect_err("refused");
            assert_eq!((refusal.code(), refusal.field()), (code, lines(field)), "{refusal}");
        };
        check(&[], None, Code::Required, &["lines"]);
        check(&["x"; 9], None, Code::TooLong, &["lines"]);
        check(&["x", " "], None, Code::Required, &["lines", "1"]);
        check(&[&"x".repeat(201)], None, Code::TooLong, &["lines", "0"]);
        for country in ["", "D", "DEU", "D1", "ÄÖ"] {
            check(&["x"], Some(country), Code::Invalid, &["country"]);
        }
    }
}
