//! What a coupon gives the lines that it takes.
//!
//! Always true here: an amount is brought into the cart's currency once and rounded once; what is taken off is never more than what is there,
//! and its parts add up to it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::condition::Nothing;
use super::rule::{Effect, Pack};
use crate::money::{Currency, Money, MoneyError};
use crate::pricing::{ExchangeRate, RateTable};

/// What a pack makes of a line: the unit price and credits that stand in place of the product's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackPrice {
    /// The pack's price for one, as the coupon says it.
    pub price: Money,
    /// The rate by which it was converted.
    pub rate: Option<ExchangeRate>,
    /// The price of one, in the cart's currency.
    pub unit_price: Money,
    /// The price of all.
    pub subtotal: Money,
    /// The credits that one gives.
    pub credits_each: u32,
    /// The credits that all give.
    pub credits: u64,
}

/// The way from a coupon's own currency into that of a cart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange<'a> {
    pub(super) currency: Currency,
    pub(super) rates: &'a RateTable,
    pub(super) now: DateTime<Utc>,
}

impl Exchange<'_> {
    /// The amount in the cart's currency, with the rate if it needs one.
    pub(super) fn brought(&self, amount: Money) -> Result<(Money, Option<ExchangeRate>), Nothing> {
        let (from, to) = (amount.currency, self.currency);
        if from == to {
            return Ok((amount, None));
        }
        let rate = self.rates.at(from, to, self.now).ok_or(Nothing::NoRate { from, to })?;
        Ok((rate.rate.convert(amount, to)?, Some(rate)))
    }

    /// What a discount takes off `price`: a percentage of it, or an amount, but no more than there is (R73).
    pub(super) fn off(&self, effect: &Effect, price: Money) -> Result<(Money, Option<ExchangeRate>), Nothing> {
        let (off, rate) = match effect {
            Effect::Percent(percent) => (price.percent(*percent)?, None),
            Effect::Amount(amount) => {
                let (amount, rate) = self.brought(*amount)?;
                (Money::new(amount.minor.min(price.minor), price.currency), rate)
            }
            Effect::Pack(_) => (Money::zero(price.currency), None),
        };
        if off.is_zero() { Err(Nothing::TooSmall { currency: price.currency }) } else { Ok((off, rate)) }
    }

    /// What a pack makes of a line of this quantity.
    pub(super) fn pack(&self, pack: &Pack, quantity: u32) -> Result<PackPrice, Nothing> {
        let (unit_price, rate) = self.brought(pack.price)?;
        let subtotal = unit_price.times(i64::from(quantity))?;
        let credits = u64::from(pack.credits) * u64::from(quantity);
        Ok(PackPrice { price: pack.price, rate, unit_price, subtotal, credits_each: pack.credits, credits })
    }
}

impl From<MoneyError> for Nothing {
    fn from(_: MoneyError) -> Self {
        // Currencies are brought together before they meet, so an amount that does not fit is all that can go wrong.
        Self::TooLarge
    }
}
