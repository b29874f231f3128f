//! Amounts of money: whole minor units with a currency, checked arithmetic, and the one place where anything is rounded.
//!
//! Always true here: no float is involved, no two currencies are mixed, overflow is an error, and the parts of a split add up to the whole.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Why an amount, a currency, a percentage or a rate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The code names no currency with minor units.
    #[error("{0:?} is not an ISO 4217 currency that prices can be given in; use a code such as USD, EUR or JPY")]
    UnknownCurrency(String),
    /// The text is not a plain decimal number.
    #[error("{0:?} is not a decimal number; write it like 12.50, without exponent, sign of the currency or grouping")]
    NotANumber(String),
    /// More decimals than the currency has.
    #[error("{text:?} has too many decimals; {currency} has {digits}")]
    TooManyDigits {
        /// What was given.
        text: String,
        /// The currency it was given in.
        currency: Currency,
        /// How many decimals that currency has.
        digits: u32,
    },
    /// Outside of what an amount can hold.
    #[error("the amount is too large")]
    Overflow,
    /// Two currencies where one was expected.
    #[error("the amount is in {found}, but {expected} is expected")]
    CurrencyMismatch {
        /// The currency that the computation is in.
        expected: Currency,
        /// The currency that was met.
        found: Currency,
    },
    /// A percentage outside its bounds or with too many decimals.
    #[error("{0:?} is not a percentage from 0 to 100 with at most 4 decimals")]
    BadPercent(String),
    /// An exchange rate that is not a positive decimal of at most 12 significant digits.
    #[error("{0:?} is not an exchange rate; give a positive decimal number with at most 12 significant digits")]
    BadRate(String),
}

/// An ISO 4217 currency that has minor units.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Reads a code such as `USD`; case and surrounding blanks do not matter.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`] for codes that ISO 4217 does not list or that have no minor unit (gold, the test code).
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(&code.trim().to_ascii_uppercase())
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or_else(|| MoneyError::UnknownCurrency(code.trim().chars().take(16).collect()))
    }

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimals an amount has: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Currency {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.code().cmp(other.code())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(code: &str) -> Result<Self, MoneyError> {
        Self::parse(code)
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).map_err(serde::de::Error::custom)
    }
}

/// An amount: `minor` is in the currency's smallest unit (cents for USD, yen for JPY, fils for KWD).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Whole minor units; negative amounts exist only as differences.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

#[expect(clippy::should_implement_trait, reason = "the operators cannot fail, these sums can")]
impl Money {
    /// An amount of `minor` smallest units.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// Reads a decimal text such as `12.5`; missing decimals are filled up with zeros.
    ///
    /// # Errors
    /// [`MoneyError::NotANumber`], [`MoneyError::TooManyDigits`] (more digits than the currency's are refused) or [`MoneyError::Overflow`].
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let not_a_number = || MoneyError::NotANumber(text.chars().take(40).collect());
        let trimmed = text.trim();
        let (negative, digits) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || (digits.contains('.') && fraction.is_empty()) {
            return Err(not_a_number());
        }
        let places = currency.digits() as usize;
        if fraction.len() > places {
            return Err(MoneyError::TooManyDigits { text: text.chars().take(40).collect(), currency, digits: currency.digits() });
        }
        let mut minor: i64 = 0;
        let padding = std::iter::repeat_n(b'0', places - fraction.len());
        for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
            minor = minor.checked_mul(10).and_then(|m| m.checked_add(i64::from(digit - b'0'))).ok_or(MoneyError::Overflow)?;
        }
        Ok(Self::new(if negative { -minor } else { minor }, currency))
    }

    /// The amount as decimal text with exactly the currency's digits: "12.50" USD, "1200" JPY, "1.250" KWD.
    pub fn decimal_text(self) -> String {
        let places = self.currency.digits() as usize;
        let sign = if self.minor < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.minor.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    /// Whether the amount is nothing.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// Another currency, or overflow.
    pub fn add(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        self.minor.checked_add(other.minor).map(|minor| Self::new(minor, self.currency)).ok_or(MoneyError::Overflow)
    }

    /// The difference, which can be negative.
    ///
    /// # Errors
    /// Another currency, or overflow.
    pub fn sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        self.minor.checked_sub(other.minor).map(|minor| Self::new(minor, self.currency)).ok_or(MoneyError::Overflow)
    }

    /// This unit price for `quantity` units.
    ///
    /// # Errors
    /// Overflow.
    pub fn times(self, quantity: i64) -> Result<Self, MoneyError> {
        self.minor.checked_mul(quantity).map(|minor| Self::new(minor, self.currency)).ok_or(MoneyError::Overflow)
    }

    /// `percent` of this amount, rounded once.
    ///
    /// # Errors
    /// Overflow.
    pub fn percent(self, percent: Percent) -> Result<Self, MoneyError> {
        let minor = ratio(self.minor, i128::from(percent.0), i128::from(Percent::WHOLE))?;
        Ok(Self::new(minor, self.currency))
    }

    /// The sum of several amounts of one currency; nothing gives zero.
    ///
    /// # Errors
    /// Another currency, or overflow.
    pub fn sum(currency: Currency, amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::add)
    }

    /// Splits the amount over `weights` by largest remainder: the floor of each exact share, then one unit more for the largest
    /// remainders, ties to the earlier. The parts add up to the whole; a weight of zero gets nothing. All weights zero: nothing can be split,
    /// all parts are zero.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] for a negative amount or weight.
    pub fn split(self, weights: &[i64]) -> Result<Vec<Self>, MoneyError> {
        if self.minor < 0 || weights.iter().any(|weight| *weight < 0) {
            return Err(MoneyError::Overflow);
        }
        let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
        if whole == 0 {
            return Ok(vec![Self::zero(self.currency); weights.len()]);
        }
        let mut parts = Vec::with_capacity(weights.len());
        let mut remainders = Vec::with_capacity(weights.len());
        let mut left = i128::from(self.minor);
        for (index, weight) in weights.iter().enumerate() {
            let exact = i128::from(self.minor) * i128::from(*weight);
            let (floor, remainder) = divided(exact, whole);
            left -= floor;
            parts.push(floor);
            remainders.push((remainder, index));
        }
        let left = usize::try_from(left).map_err(|_| MoneyError::Overflow)?;
        if (1..remainders.len()).contains(&left) {
            // Which ones are the largest matters, not their order.
            remainders.select_nth_unstable_by(left - 1, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        }
        for (_, index) in remainders.into_iter().take(left) {
            parts[index] += 1;
        }
        parts
            .into_iter()
            .map(|part| i64::try_from(part).map(|minor| Self::new(minor, self.currency)).map_err(|_| MoneyError::Overflow))
            .collect()
    }

    fn same(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch { expected: self.currency, found: other.currency })
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal_text(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A percentage from 0 to 100 with up to 4 decimals, kept as an integer: 12.5 % is 125 000 units of 0.0001 %.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Percent(u32);

impl Percent {
    /// Units of 0.0001 % in the whole.
    pub const WHOLE: u32 = 1_000_000;

    /// Reads `12.5`; 0 and 100 are allowed.
    ///
    /// # Errors
    /// [`MoneyError::BadPercent`].
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let bad = || MoneyError::BadPercent(text.chars().take(40).collect());
        let value = Decimal::from_str_exact(text.trim()).map_err(|_| bad())?;
        let units = value.checked_mul(Decimal::from(10_000)).ok_or_else(bad)?;
        if !units.fract().is_zero() || units.is_sign_negative() && !units.is_zero() || units > Decimal::from(Self::WHOLE) {
            return Err(bad());
        }
        u32::try_from(units.trunc()).map(Self).map_err(|_| bad())
    }

    /// From units of 0.0001 %, as stored.
    ///
    /// # Errors
    /// [`MoneyError::BadPercent`] above the whole.
    pub fn from_units(units: i64) -> Result<Self, MoneyError> {
        u32::try_from(units).ok().filter(|units| *units <= Self::WHOLE).map(Self).ok_or_else(|| MoneyError::BadPercent(units.to_string()))
    }

    /// Units of 0.0001 %.
    pub const fn units(self) -> u32 {
        self.0
    }

    /// What is left of the whole: 12.5 % becomes 87.5 %.
    pub const fn rest(self) -> Self {
        Self(Self::WHOLE - self.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Decimal::new(i64::from(self.0), 4).normalize())
    }
}

/// An exchange rate: how many units of the quote currency one unit of the base currency buys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate(Decimal);

impl Rate {
    /// Reads a positive decimal of at most 12 significant digits.
    ///
    /// # Errors
    /// [`MoneyError::BadRate`].
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let bad = || MoneyError::BadRate(text.chars().take(40).collect());
        let value = Decimal::from_str_exact(text.trim()).map_err(|_| bad())?.normalize();
        let significant = value.mantissa().unsigned_abs().to_string().len();
        if value.is_zero() || value.is_sign_negative() || significant > 12 {
            return Err(bad());
        }
        Ok(Self(value))
    }

    /// `amount` in `quote`, rounded once.
    ///
    /// # Errors
    /// Overflow.
    pub fn convert(self, amount: Money, quote: Currency) -> Result<Money, MoneyError> {
        let (numerator, denominator) = self.factor(amount.currency, quote)?;
        Ok(Money::new(ratio(amount.minor, numerator, denominator)?, quote))
    }

    /// The exact factor from minor units of `base` to minor units of `quote`, as numerator and denominator: for computations that convert and
    /// go on, and round at their own end.
    ///
    /// # Errors
    /// Overflow.
    pub fn factor(self, base: Currency, quote: Currency) -> Result<(i128, i128), MoneyError> {
        let mut numerator = self.0.mantissa();
        let mut denominator = 10_i128.checked_pow(self.0.scale()).ok_or(MoneyError::Overflow)?;
        let (from, to) = (base.digits(), quote.digits());
        if to >= from {
            numerator = numerator.checked_mul(10_i128.pow(to - from)).ok_or(MoneyError::Overflow)?;
        } else {
            denominator = denominator.checked_mul(10_i128.pow(from - to)).ok_or(MoneyError::Overflow)?;
        }
        Ok((numerator, denominator))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// `amount * numerator / denominator`, rounded half away from zero: the project's one rounding.
///
/// # Errors
/// [`MoneyError::Overflow`] if a step does not fit or the denominator is not positive.
pub fn ratio(amount: i64, numerator: i128, denominator: i128) -> Result<i64, MoneyError> {
    if denominator <= 0 {
        return Err(MoneyError::Overflow);
    }
    let exact = i128::from(amount).checked_mul(numerator).ok_or(MoneyError::Overflow)?;
    let (quotient, remainder) = divided(exact, denominator);
    let remainder = remainder.abs();
    let rounded = if remainder >= denominator - remainder { quotient + exact.signum() } else { quotient };
    i64::try_from(rounded).map_err(|_| MoneyError::Overflow)
}

/// Quotient, towards zero, and remainder of a division by a positive number. Dividing is what prices take their time for, and what fits 64 bits,
/// as nearly all does, is divided much faster there.
fn divided(exact: i128, by: i128) -> (i128, i128) {
    match (i64::try_from(exact), i64::try_from(by)) {
        (Ok(exact), Ok(by)) if by > 0 => (i128::from(exact / by), i128::from(exact % by)),
        _ => (exact / by, exact % by),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).expect("a currency of the tests")
    }

    #[test]
    fn amounts_show_exactly_the_currencys_digits() {
        for (minor, code, text) in [
            (1250, "USD", "12.50"),
            (1200, "JPY", "1200"),
            (1250, "KWD", "1.250"),
            (5, "USD", "0.05"),
            (-5, "EUR", "-0.05"),
            (0, "JPY", "0"),
        ] {
            assert_eq!(Money::new(minor, currency(code)).decimal_text(), text);
            assert_eq!(Money::parse(text, currency(code)), Ok(Money::new(minor, currency(code))));
        }
    }

    #[test]
    fn fewer_digits_are_padded_and_more_are_refused() {
        assert_eq!(Money::parse("12.5", currency("USD")), Ok(Money::new(1250, currency("USD"))));
        assert_eq!(Money::parse("12", currency("KWD")), Ok(Money::new(12_000, currency("KWD"))));
        assert!(matches!(Money::parse("12.505", currency("USD")), Err(MoneyError::TooManyDigits { digits: 2, .. })));
        assert!(matches!(Money::parse("12.0", currency("JPY")), Err(MoneyError::TooManyDigits { digits: 0, .. })));
        for text in ["", "1e3", "12,50", "+5", "1 000", "0x10", ".5", "5.", "-", "--5", "１２"] {
            assert!(matches!(Money::parse(text, currency("USD")), Err(MoneyError::NotANumber(_))), "{text:?}");
        }
        assert_eq!(Money::parse("99999999999999999999", currency("USD")), Err(MoneyError::Overflow));
    }

    #[test]
    fn currencies_without_minor_units_are_refused() {
        for code in ["XAU", "XXX", "ABC", "", "US", "USDD"] {
            assert!(matches!(Currency::parse(code), Err(MoneyError::UnknownCurrency(_))), "{code:?}");
        }
        assert_eq!(Currency::parse(" usd ").map(Currency::code), Ok("USD"));
    }

    /// c03, c37: percentages of odd amounts are rounded once, half away from zero.
    #[test]
    fn c03_c37_percentages_round_half_away_from_zero() {
        for (minor, code, percent, expected) in [
            (1999, "USD", "25", 500),
            (4995, "USD", "10", 500),
            (985, "JPY", "10", 99),
            (980, "JPY", "15", 147),
            (1, "USD", "50", 1),
            (1, "USD", "49.9999", 0),
        ] {
            let part = Money::new(minor, currency(code)).percent(Percent::parse(percent).expect("percent"));
            assert_eq!(part, Ok(Money::new(expected, currency(code))), "{percent} % of {minor}");
        }
    }

    /// c01: a fixed amount over equal lines loses no cent.
    #[test]
    fn c01_split_gives_the_odd_cents_to_the_earlier_lines() {
        let parts = Money::new(1000, currency("USD")).split(&[2500, 2500, 2500]).expect("split");
        assert_eq!(parts.iter().map(|part| part.minor).collect::<Vec<_>>(), [334, 333, 333]);
    }

    /// c39: amounts are converted once, at the rate as given.
    #[test]
    fn c39_conversion_rounds_once_and_respects_digits() {
        for (minor, from, rate, to, expected) in [
            (1000, "USD", "0.92", "EUR", 920),
            (1000, "USD", "151.37", "JPY", 1514),
            (1000, "JPY", "0.0066", "USD", 660),
            (1, "USD", "0.3077", "KWD", 3),
        ] {
            let converted = Rate::parse(rate).expect("rate").convert(Money::new(minor, currency(from)), currency(to));
            assert_eq!(converted, Ok(Money::new(expected, currency(to))), "{minor} {from} at {rate}");
        }
    }

    #[test]
    fn rates_and_percentages_outside_their_bounds_are_refused() {
        for text in ["0", "-1", "1234567890123", "0.1234567890123", "x", ""] {
            assert!(Rate::parse(text).is_err(), "{text:?}");
        }
        for text in ["-1", "100.0001", "0.00001", "x", ""] {
            assert!(Percent::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Percent::parse("12.5").map(|percent| percent.to_string()), Ok("12.5".to_owned()));
    }

    #[test]
    fn currencies_are_never_mixed_and_overflow_is_an_error() {
        let (usd, eur) = (Money::new(1, currency("USD")), Money::new(1, currency("EUR")));
        assert!(matches!(usd.add(eur), Err(MoneyError::CurrencyMismatch { .. })));
        assert_eq!(Money::new(i64::MAX, currency("USD")).add(usd), Err(MoneyError::Overflow));
        assert_eq!(Money::new(i64::MAX, currency("USD")).times(2), Err(MoneyError::Overflow));
    }

    proptest! {
        #[test]
        fn parts_of_a_split_add_up_and_differ_from_the_exact_share_by_less_than_one(minor in 0_i64..1_000_000_000, weights in prop::collection::vec(0_i64..1_000_000, 1..30)) {
            let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
            let parts = Money::new(minor, currency("USD")).split(&weights).expect("split");
            prop_assume!(whole > 0);
            prop_assert_eq!(parts.iter().map(|part| part.minor).sum::<i64>(), minor);
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = i128::from(minor) * i128::from(*weight);
                prop_assert!((i128::from(part.minor) * whole - exact).abs() < whole);
                if *weight == 0 { prop_assert_eq!(part.minor, 0); }
            }
        }

        #[test]
        fn division_is_the_same_in_64_bits_and_beyond(exact in any::<i64>(), far in any::<i128>(), by in 1_i64.., far_by in 1_i128..) {
            for (exact, by) in [(i128::from(exact), i128::from(by)), (far, i128::from(by)), (i128::from(exact), far_by), (far, far_by)] {
                prop_assert_eq!(divided(exact, by), (exact / by, exact % by));
            }
        }

        #[test]
        fn text_and_amount_are_the_same_thing(minor in any::<i64>().prop_filter("has an opposite", |minor| *minor != i64::MIN), code in prop::sample::select(vec!["USD", "JPY", "KWD", "CLF"])) {
            let amount = Money::new(minor, currency(code));
            prop_assert_eq!(Money::parse(&amount.decimal_text(), currency(code)), Ok(amount));
        }

        #[test]
        fn a_percentage_and_its_rest_lose_at_most_the_rounding(minor in 0_i64..1_000_000_000_000, units in 0_i64..=1_000_000) {
            let percent = Percent::from_units(units).expect("percent");
            let amount = Money::new(minor, currency("USD"));
            let sum = amount.percent(percent).expect("part").minor + amount.percent(percent.rest()).expect("rest").minor;
            prop_assert!((sum - minor).abs() <= 1);
        }
    }
}
