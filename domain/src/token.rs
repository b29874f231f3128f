//! Registration tokens: the code that is handed out, and what may happen to the seat behind it.
//!
//! Always true here: a token is redeemed once, before its end, and a code with one wrong or two swapped characters is nobody's code.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::crockford;
use crate::refusal::{Code, Reason};
use crate::terms::{Anchor, TermUnit, Terms, TermsRefusal};

named! {
    /// Where a token stands. EXPIRED is never stored; it follows from the end (see [`status`]).
    pub enum TokenStatus {
        /// Nobody has it.
        Free = "FREE",
        /// It was handed to a learner, who has not redeemed it.
        Assigned = "ASSIGNED",
        /// It became an entitlement.
        Redeemed = "REDEEMED",
        /// It was revoked or refunded.
        Void = "VOID",
        /// Its time ran out before anybody redeemed it.
        Expired = "EXPIRED",
    }
}

/// The status at an instant: an unused token is EXPIRED from its end on, whatever job has run.
pub fn status(stored: TokenStatus, ends_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> TokenStatus {
    match stored {
        TokenStatus::Free | TokenStatus::Assigned if ends_at.is_some_and(|end| end <= now) => TokenStatus::Expired,
        other => other,
    }
}

/// Until when a code can be redeemed: as long as it would open something, and within the product's days from when its seat was given.
///
/// # Errors
/// An end that no calendar holds.
pub fn redeemable_until(terms: Terms, redeem_days: Option<u32>, issued_at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, TermsRefusal> {
    let fixed = match terms.anchor {
        Anchor::FixedDate(end) => Some(end),
        Anchor::Purchase | Anchor::FirstStart => None,
    };
    let limit = match redeem_days {
        Some(days) => Terms { value: Some(days), unit: TermUnit::Days, anchor: Anchor::Purchase }.ends_at(issued_at)?,
        None => None,
    };
    Ok(fixed.into_iter().chain(limit).min())
}

/// The status of a token after redeeming it; `status` is the one at this instant.
///
/// # Errors
/// Redeemed, void or expired.
pub fn redeem(status: TokenStatus) -> Result<TokenStatus, TokenRefusal> {
    unused(status).map(|()| TokenStatus::Redeemed)
}

/// The status of a token after revoking it; a fresh one is issued for its seat.
///
/// # Errors
/// Redeemed, void or expired: there is no unused code to take back.
pub fn revoke(status: TokenStatus) -> Result<TokenStatus, TokenRefusal> {
    unused(status).map(|()| TokenStatus::Void)
}

/// What handing a seat to somebody does to its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// Nobody has the code yet: the same token goes to the learner.
    Assign,
    /// Somebody has the code: it dies, and a fresh one of the same seat goes to the learner.
    Replace,
}

/// How an unused token comes to a (new) learner.
///
/// # Errors
/// Redeemed, void or expired.
pub fn transfer(status: TokenStatus) -> Result<HandOver, TokenRefusal> {
    unused(status).map(|()| if status == TokenStatus::Free { HandOver::Assign } else { HandOver::Replace })
}

/// Whether this many free seats can be handed out: all or none (c31).
///
/// # Errors
/// [`TokenRefusal::TooFew`].
pub const fn assign(free: usize, needed: usize) -> Result<(), TokenRefusal> {
    if free < needed { Err(TokenRefusal::TooFew { free, needed }) } else { Ok(()) }
}

/// The status of a token after its price was refunded with the access: unused ones are void, a redeemed one stays what it is (the
/// entitlement that it gave ends).
#[must_use]
pub const fn refund(status: TokenStatus) -> TokenStatus {
    match status {
        TokenStatus::Redeemed => TokenStatus::Redeemed,
        TokenStatus::Free | TokenStatus::Assigned | TokenStatus::Void | TokenStatus::Expired => TokenStatus::Void,
    }
}

const fn unused(status: TokenStatus) -> Result<(), TokenRefusal> {
    match status {
        TokenStatus::Free | TokenStatus::Assigned => Ok(()),
        TokenStatus::Redeemed => Err(TokenRefusal::Used),
        TokenStatus::Void => Err(TokenRefusal::Void),
        TokenStatus::Expired => Err(TokenRefusal::Expired),
    }
}

/// Why a token is refused. None of them repeats the code: it is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRefusal {
    /// Not as many characters as a code has.
    #[error("a token has {} letters and digits, not {found}; check that it was copied in full", TokenCode::LENGTH)]
    Length {
        /// How many were given, separators left out.
        found: usize,
    },
    /// A character that no code contains.
    #[error("{found:?} occurs in no token; tokens are made of digits and the letters A to Z without I, L, O and U")]
    Character {
        /// The first such character.
        found: char,
    },
    /// The check characters do not fit the rest.
    #[error("the token is mistyped; compare it with the one you were given")]
    Mistyped,
    /// No token has this code.
    #[error("there is no such token; compare it with the one you were given")]
    NotFound,
    /// It was redeemed, by this or another learner.
    #[error("the token was redeemed already; each one serves once")]
    Used,
    /// It was revoked or refunded.
    #[error("the token is void; ask whoever gave it to you for a new one")]
    Void,
    /// Fewer free seats than learners.
    #[error("{free} free, {needed} needed; buy more seats, or hand out fewer at once")]
    TooFew {
        /// Seats that are free.
        free: usize,
        /// Seats that are needed.
        needed: usize,
    },
    /// Its time is over.
    #[error("the token could be redeemed until its end only; ask whoever gave it to you for a new one")]
    Expired,
}

impl Reason for TokenRefusal {
    fn code(&self) -> Code {
        match self {
            Self::Length { .. } | Self::Character { .. } | Self::Mistyped | Self::NotFound => Code::TokenInvalid,
            Self::Used => Code::TokenUsed,
            Self::Void => Code::TokenVoid,
            Self::Expired => Code::TokenExpired,
            Self::TooFew { .. } => Code::TooFewTokens,
        }
    }
}

/// A token's code: 80 random bits as 16 characters, and 2 check characters. A secret: it is looked up by a keyed hash and kept sealed, so it
/// has no `Display`, and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenCode(String);

impl TokenCode {
    /// How many characters a code has, without separators.
    pub const LENGTH: usize = 18;
    const DATA: usize = 16;
    const GROUP: usize = 6;

    /// The code of 80 random bits.
    pub fn from_random(bits: [u8; 10]) -> Self {
        let whole = bits.iter().fold(0_u128, |whole, byte| (whole << 8) | u128::from(*byte));
        let mut values = [0_u8; Self::LENGTH];
        for (index, value) in values.iter_mut().take(Self::DATA).enumerate() {
            *value = u8::try_from((whole >> (5 * (Self::DATA - 1 - index))) & 31).unwrap_or(0);
        }
        let data: [u8; Self::DATA] = std::array::from_fn(|index| values[index]);
        [values[Self::DATA], values[Self::DATA + 1]] = check_values(&data);
        Self(values.iter().map(|value| crockford::digit(*value)).collect())
    }

    /// Reads a code as people type it: in any case, with or without blanks and hyphens, O for 0, I and L for 1.
    ///
    /// # Errors
    /// A wrong length, a character that no code has, or check characters that do not fit. It does not say whether the token exists.
    pub fn parse(text: &str) -> Result<Self, TokenRefusal> {
        let typed = || text.chars().filter(|typed| !crockford::separates(*typed));
        let found = typed().count();
        if found != Self::LENGTH {
            return Err(TokenRefusal::Length { found });
        }
        let mut values = [0_u8; Self::LENGTH];
        for (value, typed) in values.iter_mut().zip(typed()) {
            *value = crockford::value(typed).ok_or(TokenRefusal::Character { found: typed })?;
        }
        let data: [u8; Self::DATA] = std::array::from_fn(|index| values[index]);
        if check_values(&data) != [values[Self::DATA], values[Self::DATA + 1]] {
            return Err(TokenRefusal::Mistyped);
        }
        Ok(Self(values.iter().map(|value| crockford::digit(*value)).collect()))
    }

    /// The one spelling that is hashed and sealed: 18 capitals and digits.
    pub fn canonical(&self) -> &str {
        &self.0
    }

    /// The code as it is shown: three groups of six.
    pub fn grouped(&self) -> String {
        crockford::grouped(&self.0, Self::GROUP)
    }

    /// The last four characters, for lists: enough to tell tokens apart, too few to guess one.
    pub fn hint(&self) -> &str {
        &self.0[Self::LENGTH - 4..]
    }
}

impl fmt::Debug for TokenCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCode(secret)")
    }
}

/// The two check values: a Reed-Solomon code over the field of 32 elements (generator (x - 2)(x - 4)). Any two valid codes differ in three
/// characters or more, so one or two wrong ones, and so any two swapped ones, are always noticed.
fn check_values(data: &[u8; TokenCode::DATA]) -> [u8; 2] {
    // (x - 2)(x - 4) = x² + 6x + 8: 2 + 4 = 6 and 2 · 4 = 8 in this field.
    data.iter().fold([0, 0], |[high, low], value| {
        let lead = value ^ high;
        [low ^ field_product(lead, 6), field_product(lead, 8)]
    })
}

/// The product in the field of 32 elements, modulo x⁵ + x² + 1.
fn field_product(a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in (0..5).rev() {
        product <<= 1;
        if product & 0b10_0000 != 0 {
            product ^= 0b10_0101;
        }
        if b >> bit & 1 == 1 {
            product ^= a;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use TokenStatus::{Assigned, Expired, Free, Redeemed, Void};
    use proptest::prelude::*;

    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("an instant of the tests").to_utc()
    }

    #[test]
    fn unused_tokens_expire_at_their_end_and_used_ones_never() {
        let end = instant("2027-01-01T00:00:00Z");
        let (before, at) = (instant("2026-12-31T23:59:59Z"), end);
        for (stored, then, later) in
            [(Free, Free, Expired), (Assigned, Assigned, Expired), (Redeemed, Redeemed, Redeemed), (Void, Void, Void)]
        {
            assert_eq!(status(stored, Some(end), before), then);
            assert_eq!(status(stored, Some(end), at), later);
            assert_eq!(status(stored, None, at), stored);
        }
    }

    /// R16: without days of its own a key is good as long as it would open something; with them, whichever ends first counts.
    #[test]
    fn r16_a_key_is_redeemed_within_its_days() {
        let issued = instant("2026-01-01T00:00:00Z");
        let endless = Terms { value: None, unit: TermUnit::Days, anchor: Anchor::Purchase };
        let fixed = Terms { anchor: Anchor::FixedDate(instant("2026-02-01T00:00:00Z")), ..endless };
        let year = Terms { value: Some(365), ..endless };
        for (terms, days, until) in [
            (endless, None, None),
            (year, None, None),
            (year, Some(30), Some("2026-01-31T00:00:00Z")),
            (fixed, None, Some("2026-02-01T00:00:00Z")),
            (fixed, Some(30), Some("2026-01-31T00:00:00Z")),
            (fixed, Some(60), Some("2026-02-01T00:00:00Z")),
        ] {
            assert_eq!(redeemable_until(terms, days, issued), Ok(until.map(instant)), "{terms:?} {days:?}");
        }
    }

    #[test]
    fn each_token_is_redeemed_once_and_only_unused_ones_are_revoked() {
        for (status, refusal) in [(Redeemed, TokenRefusal::Used), (Void, TokenRefusal::Void), (Expired, TokenRefusal::Expired)] {
            assert_eq!(redeem(status), Err(refusal));
            assert_eq!(revoke(status), Err(refusal));
        }
        for status in [Free, Assigned] {
            assert_eq!((redeem(status), revoke(status)), (Ok(Redeemed), Ok(Void)));
        }
        assert_eq!([Free, Assigned, Redeemed, Void, Expired].map(refund), [Void, Void, Redeemed, Void, Void]);
    }

    /// C31: all learners get a seat, or none does. Handing on a seat kills the code that somebody has.
    #[test]
    fn c31_seats_are_handed_out_all_or_none() {
        assert_eq!(assign(7, 7), Ok(()));
        let refusal = assign(7, 9).expect_err("too few");
        assert_eq!(refusal.to_string(), "7 free, 9 needed; buy more seats, or hand out fewer at once");
        assert_eq!((transfer(Free), transfer(Assigned)), (Ok(HandOver::Assign), Ok(HandOver::Replace)));
        for (status, refusal) in [(Redeemed, TokenRefusal::Used), (Void, TokenRefusal::Void), (Expired, TokenRefusal::Expired)] {
            assert_eq!(transfer(status), Err(refusal));
        }
    }

    #[test]
    fn codes_are_eighteen_characters_in_three_groups() {
        let zero = TokenCode::from_random([0; 10]);
        assert_eq!((zero.canonical(), zero.grouped().as_str()), ("000000000000000000", "000000-000000-000000"));
        // The last bit set: data 0…01, checks 6 and 8.
        let one = TokenCode::from_random([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((one.grouped().as_str(), one.hint()), ("000000-000000-000168", "0168"));
        assert_eq!(TokenCode::from_random([0xff; 10]).canonical().get(..16), Some("ZZZZZZZZZZZZZZZZ"));
        assert_eq!(format!("{one:?}"), "TokenCode(secret)");
    }

    #[test]
    fn people_may_type_codes_as_they_like() {
        let one = TokenCode::from_random([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        for text in ["000000-000000-000168", "  000000 000000 000168\n", "oooooo–OOOOOO—ooo l68", "000000000000000I68"] {
            assert_eq!(TokenCode::parse(text), Ok(one.clone()), "{text:?}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_is_wrong() {
        for (text, refusal) in [
            ("", TokenRefusal::Length { found: 0 }),
            ("000000-000000-00016", TokenRefusal::Length { found: 17 }),
            ("000000-000000-0001688", TokenRefusal::Length { found: 19 }),
            ("000000-000000-00016U", TokenRefusal::Character { found: 'U' }),
            ("000000-000000-00016é", TokenRefusal::Character { found: 'é' }),
            ("000000-000000-000186", TokenRefusal::Mistyped),
            ("000000-000000-000169", TokenRefusal::Mistyped),
        ] {
            assert_eq!(TokenCode::parse(text), Err(refusal), "{text:?}");
        }
        assert_eq!(
            TokenRefusal::Length { found: 3 }.to_string(),
            "a token has 18 letters and digits, not 3; check that it was copied in full"
        );
    }

    /// The field's multiplication table is one: every element but 0 has an inverse, and products distribute.
    #[test]
    fn the_field_is_a_field() {
        for a in 1..32 {
            let row: std::collections::BTreeSet<_> = (0..32).map(|b| field_product(a, b)).collect();
            assert_eq!(row.len(), 32);
            for (b, c) in (0..32).flat_map(|b| (0..32).map(move |c| (b, c))) {
                assert_eq!(field_product(a, b), field_product(b, a));
                assert_eq!(field_product(a, b ^ c), field_product(a, b) ^ field_product(a, c));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bits in any::<[u8; 10]>()) {
            let code = TokenCode::from_random(bits);
            prop_assert_eq!(TokenCode::parse(&code.grouped()), Ok(code.clone()));
            prop_assert_eq!(TokenCode::parse(&code.grouped().to_lowercase()), Ok(code));
        }

        #[test]
        fn one_wrong_character_is_always_noticed(bits in any::<[u8; 10]>(), at in 0_usize..18, by in 1_u8..32) {
            let code = TokenCode::from_random(bits);
            let mut typed: Vec<char> = code.canonical().chars().collect();
            typed[at] = crockford::digit(crockford::value(typed[at]).expect("a digit") ^ by);
            prop_assert_eq!(TokenCode::parse(&typed.iter().collect::<String>()), Err(TokenRefusal::Mistyped));
        }

        #[test]
        fn two_swapped_characters_are_always_noticed(bits in any::<[u8; 10]>(), at in 0_usize..18, with in 0_usize..18) {
            let code = TokenCode::from_random(bits);
            let mut typed: Vec<char> = code.canonical().chars().collect();
            typed.swap(at, with);
            let typed: String = typed.iter().collect();
            let expected = if typed == code.canonical() { Ok(code) } else { Err(TokenRefusal::Mistyped) };
            prop_assert_eq!(TokenCode::parse(&typed), expected);
        }

        #[test]
        fn different_bits_give_different_codes(one in any::<[u8; 10]>(), other in any::<[u8; 10]>()) {
            prop_assert_eq!(one == other, TokenCode::from_random(one) == TokenCode::from_random(other));
        }
    }
}
