//! Taxes: under which rate a line is sold.
//!
//! Always true here: a rate is chosen by the country of the sale, the class of the product and the instant; where nothing is known it is 0.
//! Taxes come last, after discounts, and are computed and rounded line by line ([`crate::pricing::LineAmounts`]).

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::money::Percent;
use crate::refusal::{Code, Reason};

/// Most characters of the name of a class.
const MAX_CLASS: usize = 20;

/// A class of products that are taxed alike, such as STANDARD or EBOOK: capital letters, digits, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaxClass(String);

impl Default for TaxClass {
    fn default() -> Self {
        Self(Self::STANDARD.to_owned())
    }
}

impl fmt::Display for TaxClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not the name of a class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no tax class; give 1 to 20 letters, digits, underscores or hyphens, such as \"STANDARD\".")]
pub struct BadTaxClass(String);

impl Reason for BadTaxClass {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl TaxClass {
    /// The class of products that have no other, and whose rate holds for classes that a country has no rate for.
    pub const STANDARD: &'static str = "STANDARD";

    /// Reads a class, whatever its case.
    ///
    /// # Errors
    /// [`BadTaxClass`].
    pub fn parse(text: &str) -> Result<Self, BadTaxClass> {
        let class = text.trim().to_ascii_uppercase();
        let plain = class.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-');
        if class.is_empty() || class.len() > MAX_CLASS || !plain {
            return Err(BadTaxClass(text.chars().take(40).collect()));
        }
        Ok(Self(class))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A rate of the operator's table: it holds from its start until the next start for the same country and class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaxRate {
    /// ISO 3166 code of the country.
    pub country: String,
    /// Class of products.
    pub class: TaxClass,
    /// Of the net amount.
    pub rate: Percent,
    /// From when it holds.
    pub valid_from: DateTime<Utc>,
}

/// What is sold, as far as its tax depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sale<'a> {
    /// The country it is sold to, if that is known.
    pub country: Option<&'a str>,
    /// The product's class.
    pub class: &'a TaxClass,
    /// Sold through a company that is exempt.
    pub exempt: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// Knows rates. It is asked while a cart is priced, inside of transactions, so it answers from what it holds: one that asks a service does so
/// before.
pub trait TaxRates: fmt::Debug + Sync {
    /// The rate of a sale; 0 where no tax is due or none is known.
    fn rate(&self, sale: &Sale<'_>) -> Percent;
}

/// The operator's table, or what a sale needs of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaxTable(Vec<TaxRate>);

impl TaxTable {
    /// A table of these rates, in any order.
    pub const fn new(rates: Vec<TaxRate>) -> Self {
        Self(rates)
    }
}

impl TaxRates for TaxTable {
    fn rate(&self, sale: &Sale<'_>) -> Percent {
        let Some(country) = sale.country.filter(|_| !sale.exempt) else { return Percent::default() };
        let of_class = |class: &str| {
            let known = self.0.iter().filter(|row| row.country == country && row.class.as_str() == class && row.valid_from <= sale.at);
            known.max_by_key(|row| row.valid_from).map(|row| row.rate)
        };
        of_class(sale.class.as_str()).or_else(|| of_class(TaxClass::STANDARD)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn class(name: &str) -> TaxClass {
        TaxClass::parse(name).expect("a class")
    }

    fn row(country: &str, name: &str, rate: &str, from: &str) -> TaxRate {
        let rate = Percent::parse(rate).expect("a percentage");
        TaxRate { country: country.to_owned(), class: class(name), rate, valid_from: at(from) }
    }

    /// R79: Germany's rate was 16 % in the second half of 2020 and 19 % from 2021 on; e-books had a rate of their own, courses fall back to the
    /// standard one; of France nothing is known, and an exempt company pays none.
    #[test]
    fn r79_country_class_and_instant_decide_the_rate() {
        let table = TaxTable::new(vec![
            row("DE", "STANDARD", "19", "2021-01-01T00:00:00Z"),
            row("DE", "STANDARD", "16", "2020-07-01T00:00:00Z"),
            row("DE", "EBOOK", "7", "2021-01-01T00:00:00Z"),
            row("AT", "STANDARD", "20", "2020-01-01T00:00:00Z"),
        ]);
        for (country, name, exempt, instant, expected) in [
            (Some("DE"), "STANDARD", false, "2020-06-30T23:59:59Z", "0"),
            (Some("DE"), "STANDARD", false, "2020-07-01T00:00:00Z", "16"),
            (Some("DE"), "STANDARD", false, "2020-12-31T23:59:59Z", "16"),
            (Some("DE"), "STANDARD", false, "2021-01-01T00:00:00Z", "19"),
            (Some("DE"), "EBOOK", false, "2020-12-31T23:59:59Z", "16"),
            (Some("DE"), "EBOOK", false, "2021-01-01T00:00:00Z", "7"),
            (Some("DE"), "COURSE", false, "2021-01-01T00:00:00Z", "19"),
            (Some("DE"), "STANDARD", true, "2021-01-01T00:00:00Z", "0"),
            (Some("AT"), "EBOOK", false, "2021-01-01T00:00:00Z", "20"),
            (Some("FR"), "STANDARD", false, "2021-01-01T00:00:00Z", "0"),
            (None, "STANDARD", false, "2021-01-01T00:00:00Z", "0"),
        ] {
            let sale = Sale { country, class: &class(name), exempt, at: at(instant) };
            assert_eq!(table.rate(&sale), Percent::parse(expected).expect("a percentage"), "{country:?} {name} {instant}");
        }
    }

    #[test]
    fn classes_are_short_plain_names() {
        assert_eq!(class(" ebook "), class("EBOOK"));
        assert_eq!(TaxClass::default(), class("standard"));
        for bad in ["", "  ", "E BOOK", "É", "a.b", &"x".repeat(21)] {
            assert_eq!(TaxClass::parse(bad), Err(BadTaxClass(bad.to_owned())), "{bad:?}");
        }
    }
}
