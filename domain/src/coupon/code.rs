//! Codes and prefixes: what people type to use a coupon, and the key by which two spellings are one.
//!
//! Always true here: what was read as a code consists of visible letters, digits and a few signs, and so does its key.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::Audience;
use crate::crockford;
use crate::refusal::{Code, Reason};
use crate::text::fold;

/// Most characters of a code or a prefix.
pub const MAX_CODE: usize = 64;
/// Random characters behind the prefix of a code of a batch; five bits each.
pub const RANDOM_CHARACTERS: usize = 10;
/// Most characters that any code has: those of a batch stand behind a prefix.
const MAX_TYPED: usize = MAX_CODE + RANDOM_CHARACTERS;
/// Composing a text makes it shorter, but not by more than this; nothing longer is looked at.
const DECOMPOSED: usize = 8;

/// Why a code or a prefix is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeRefusal {
    /// Nothing but blanks.
    #[error("The {what} is empty; give at least one letter or digit.")]
    Empty {
        /// A code or a prefix.
        what: &'static str,
    },
    /// Longer than it may be.
    #[error("The {what} is too long; at most {limit} characters are allowed.")]
    TooLong {
        /// A code or a prefix.
        what: &'static str,
        /// The limit in characters.
        limit: usize,
    },
    /// A blank inside.
    #[error("The {what} holds a blank; write it as one word, with a hyphen if need be.")]
    Blank {
        /// A code or a prefix.
        what: &'static str,
    },
    /// A character that nobody sees.
    #[error("The {what} holds an invisible character (U+{code:04X}); take it out.")]
    Hidden {
        /// A code or a prefix.
        what: &'static str,
        /// The code point.
        code: u32,
    },
    /// Another character that is not allowed.
    #[error("The {what} holds {found:?}; only letters and digits of any script and - _ . % + are allowed.")]
    Alphabet {
        /// A code or a prefix.
        what: &'static str,
        /// The first character that is not allowed.
        found: char,
    },
    /// Another coupon has it, or this one has it already.
    #[error(
        "The {what} {text} is taken, in this or another spelling; codes and prefixes are unique in the shop, and used, expired and void ones stay reserved. Choose another one."
    )]
    Taken {
        /// A code or a prefix.
        what: &'static str,
        /// As it was given.
        text: String,
    },
}

impl CodeRefusal {
    const fn what(&self) -> &'static str {
        match self {
            Self::Empty { what }
            | Self::TooLong { what, .. }
            | Self::Blank { what }
            | Self::Hidden { what, .. }
            | Self::Alphabet { what, .. }
            | Self::Taken { what, .. } => what,
        }
    }
}

impl Reason for CodeRefusal {
    fn code(&self) -> Code {
        match self {
            Self::Empty { .. } => Code::Required,
            Self::TooLong { .. } => Code::TooLong,
            Self::Blank { .. } | Self::Hidden { .. } | Self::Alphabet { .. } => Code::Invalid,
            Self::Taken { .. } => Code::CouponCodeTaken,
        }
    }

    fn field(&self) -> Vec<String> {
        vec![self.what().to_owned()]
    }
}

/// Codes and prefixes are read alike and share one namespace; they are two types so that neither stands where the other belongs.
macro_rules! typed {
    ($($(#[$doc:meta])* $type:ident $what:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
            #[serde(try_from = "String", into = "String")]
            pub struct $type(String);

            impl $type {
                /// Reads it: trimmed, composed (NFC), 1 to [`MAX_CODE`] letters and digits of any script and `- _ . % +`.
                ///
                /// # Errors
                /// [`CodeRefusal`].
                pub fn parse(text: &str) -> Result<Self, CodeRefusal> {
                    read($what, text, MAX_CODE).map(Self)
                }

                /// As given.
                pub fn as_str(&self) -> &str {
                    &self.0
                }

                /// The form that is unique over all codes and prefixes of the shop (R74, c09).
                pub fn key(&self) -> String {
                    fold(&self.0)
                }

                /// The refusal for one that is taken already.
                pub fn taken(&self) -> CodeRefusal {
                    CodeRefusal::Taken { what: $what, text: self.0.clone() }
                }
            }

            impl fmt::Display for $type {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl TryFrom<String> for $type {
                type Error = CodeRefusal;
                fn try_from(text: String) -> Result<Self, CodeRefusal> {
                    Self::parse(&text)
                }
            }

            impl From<$type> for String {
                fn from(typed: $type) -> Self {
                    typed.0
                }
            }
        )*
    };
}

typed! {
    /// A code that somebody chose.
    CouponCode "code";
    /// What the codes of a coupon's batches begin with.
    Prefix "prefix";
}

impl Prefix {
    /// A code of a batch: the prefix and ten characters of Crockford's base32 from the lowest 50 of these random bits. The caller draws them
    /// from a source that nobody can guess, and draws again where a code exists already.
    pub fn code(&self, random: u64) -> String {
        let mut code = String::with_capacity(self.0.len() + RANDOM_CHARACTERS);
        code.push_str(&self.0);
        for position in (0..RANDOM_CHARACTERS).rev() {
            // Five bits fit a byte.
            code.push(crockford::digit(u8::try_from((random >> (position * 5)) & 31).unwrap_or_default()));
        }
        code
    }
}

/// The key to look a typed code up by; none for what cannot be a code of any coupon.
pub fn key_of(typed: &str) -> Option<String> {
    read("code", typed, MAX_TYPED).ok().map(|code| fold(&code))
}

/// The audience that follows from how a code or prefix begins, unless the coupon says one (R36).
pub fn audience_of(key: &str) -> Audience {
    if key.starts_with("new") {
        Audience::New
    } else if key.starts_with("recurring") {
        Audience::Recurring
    } else {
        Audience::Any
    }
}

/// Told at creation: the audience follows from the first letters, which may be those of a city or a year.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text} begins with \"{}\", so the coupon is for {} only. If that is not meant, set its audience to ANY.",
    if *audience == Audience::New { "new" } else { "recurring" },
    audience.words()
)]
pub struct AudienceWarning {
    /// The code or prefix.
    pub text: String,
    /// The audience that follows.
    pub audience: Audience,
}

impl AudienceWarning {
    /// The warnings for a coupon with these codes and prefixes; none if its audience was given.
    pub fn of<'a>(given: Option<Audience>, texts: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        if given.is_some() {
            return Vec::new();
        }
        let warnings = texts.into_iter().map(|text| Self { text: text.to_owned(), audience: audience_of(&fold(text)) });
        warnings.filter(|warning| warning.audience != Audience::Any).collect()
    }
}

impl Reason for AudienceWarning {
    fn code(&self) -> Code {
        Code::AudienceFromCode
    }

    fn field(&self) -> Vec<String> {
        vec!["audience".to_owned()]
    }
}

fn read(what: &'static str, text: &str, limit: usize) -> Result<String, CodeRefusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(CodeRefusal::Empty { what });
    }
    if text.chars().nth(limit * DECOMPOSED).is_some() {
        return Err(CodeRefusal::TooLong { what, limit });
    }
    let composed: String = text.nfc().collect();
    if composed.chars().count() > limit {
        return Err(CodeRefusal::TooLong { what, limit });
    }
    check(what, &composed)?;
    // A fraction or a ligature is a letter or digit whose key is more than that.
    check(what, &fold(&composed))?;
    if !composed.chars().any(char::is_alphanumeric) {
        return Err(CodeRefusal::Empty { what });
    }
    Ok(composed)
}

fn check(what: &'static str, text: &str) -> Result<(), CodeRefusal> {
    let mut after_letter = false;
    for found in text.chars() {
        use GeneralCategory::{
            Control, DecimalNumber, Format, LineSeparator, LowercaseLetter, ModifierLetter, NonspacingMark, OtherLetter,
            ParagraphSeparator, SpaceSeparator, SpacingMark, TitlecaseLetter, UppercaseLetter,
        };
        if is_invisible(found) {
            return Err(CodeRefusal::Hidden { what, code: u32::from(found) });
        }
        after_letter = match found.general_category() {
            UppercaseLetter | LowercaseLetter | TitlecaseLetter | ModifierLetter | OtherLetter | DecimalNumber => true,
            // Vowel signs and accents belong to the letter before them.
            NonspacingMark | SpacingMark if after_letter => true,
            SpaceSeparator | LineSeparator | ParagraphSeparator => return Err(CodeRefusal::Blank { what }),
            Control if found.is_whitespace() => return Err(CodeRefusal::Blank { what }),
            Control | Format => return Err(CodeRefusal::Hidden { what, code: u32::from(found) }),
            _ if matches!(found, '-' | '_' | '.' | '%' | '+') => false,
            _ => return Err(CodeRefusal::Alphabet { what, found }),
        };
    }
    Ok(())
}

/// Letters and marks that Unicode lists as ignorable by default: they are shown as nothing.
const fn is_invisible(found: char) -> bool {
    matches!(
        found,
        '\u{034F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'
            ..='\u{180F}' | '\u{3164}' | '\u{FE00}'
            ..='\u{FE0F}' | '\u{FFA0}' | '\u{E0100}'
            ..='\u{E01EF}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_are_letters_and_digits_of_any_script_and_a_few_signs() {
        for (typed, shown, key) in [
            ("ALUM15", "ALUM15", "alum15"),
            ("  spring-2026 \n", "spring-2026", "spring-2026"),
            ("15%_off.now+1", "15%_off.now+1", "15%_off.now+1"),
            ("e\u{301}te\u{301}", "été", "été"),
            ("ＦＵＬＬ１５", "ＦＵＬＬ１５", "full15"),
            ("STRASSE", "STRASSE", "strasse"),
            ("Straße", "Straße", "strasse"),
            ("ΣΊΣΥΦΟΣ", "ΣΊΣΥΦΟΣ", "σίσυφοσ"),
            ("春の割引", "春の割引", "春の割引"),
            ("छूट१५", "छूट१५", "छूट१५"),
            ("क्षमा", "क्षमा", "क्षमा"),
            ("ลดราคา", "ลดราคา", "ลดราคา"),
            ("خصم٢٠", "خصم٢٠", "خصم٢٠"),
            ("할인", "할인", "할인"),
        ] {
            let code = CouponCode::parse(typed).unwrap_or_else(|refusal| panic!("{typed:?}: {refusal}"));
            assert_eq!((code.as_str(), code.key().as_str()), (shown, key), "{typed:?}");
            assert_eq!(key_of(typed).as_deref(), Some(key));
        }
    }

    /// Bad input: emoji, blanks, invisible and control characters, nothing at all, too much; each is told apart.
    #[test]
    fn bad_codes_are_refused_with_what_is_wrong() {
        use CodeRefusal::{Alphabet, Blank, Empty, Hidden, TooLong};
        let what = "code";
        for (typed, refusal) in [
            ("", Empty { what }),
            (" \t\n", Empty { what }),
            ("-", Empty { what }),
            ("+.%_", Empty { what }),
            ("TEN OFF", Blank { what }),
            ("TEN\u{a0}OFF", Blank { what }),
            ("TEN\nOFF", Blank { what }),
            ("TEN\u{200b}OFF", Hidden { what, code: 0x200b }),
            ("TEN\u{200d}OFF", Hidden { what, code: 0x200d }),
            ("\u{feff}TEN", Hidden { what, code: 0xfeff }),
            ("TEN\u{202e}OFF", Hidden { what, code: 0x202e }),
            ("TEN\u{ad}OFF", Hidden { what, code: 0xad }),
            ("TEN\0", Hidden { what, code: 0 }),
            ("TEN\u{7f}X", Hidden { what, code: 0x7f }),
            ("TEN\u{3164}", Hidden { what, code: 0x3164 }),
            ("A\u{fe0f}", Hidden { what, code: 0xfe0f }),
            ("\u{301}A", Alphabet { what, found: '\u{301}' }),
            ("1\u{20e3}", Alphabet { what, found: '\u{20e3}' }),
            ("PARTY🎉", Alphabet { what, found: '🎉' }),
            ("🅰BC", Alphabet { what, found: '🅰' }),
            ("Ⓜ", Alphabet { what, found: 'Ⓜ' }),
            ("½OFF", Alphabet { what, found: '½' }),
            ("10$", Alphabet { what, found: '$' }),
            ("A/B", Alphabet { what, found: '/' }),
            ("A'B", Alphabet { what, found: '\'' }),
            ("ﷺ", Blank { what }),
        ] {
            assert_eq!(CouponCode::parse(typed), Err(refusal), "{typed:?}");
        }
        let limit = MAX_CODE;
        assert!(CouponCode::parse(&"é".repeat(64)).is_ok());
        assert!(CouponCode::parse(&"e\u{301}".repeat(64)).is_ok(), "letters are counted once composed");
        assert_eq!(CouponCode::parse(&"é".repeat(65)), Err(TooLong { what, limit }));
        assert_eq!(CouponCode::parse(&"A".repeat(10_000)), Err(TooLong { what, limit }));
        assert_eq!(Prefix::parse("A B"), Err(Blank { what: "prefix" }));
    }

    /// c09: blanks around a code and its case do not matter; R74: the key is the same for all of its spellings.
    #[test]
    fn c09_r74_each_spelling_of_a_code_or_prefix_has_one_key() {
        for typed in ["ALUM15", "ALUM15  ", " alum15", "Alum15\n", "ａｌｕｍ１５"] {
            assert_eq!(key_of(typed).as_deref(), Some("alum15"), "{typed:?}");
        }
        let taken = CouponCode::parse("alum15").expect("a code").taken();
        assert_eq!((taken.code(), taken.field()), (Code::CouponCodeTaken, vec!["code".to_owned()]));
        assert_eq!(Prefix::parse("ALUM15").expect("a prefix").key(), "alum15");
    }

    /// R36: the first letters give the audience, in any case; creation warns, unless an audience was given.
    #[test]
    fn r36_the_first_letters_of_a_code_give_its_audience() {
        for (typed, audience) in [
            ("NEW10", Audience::New),
            ("newcomer", Audience::New),
            ("NewYork2026", Audience::New),
            ("ｎｅｗ", Audience::New),
            ("RECURRING-5", Audience::Recurring),
            ("Recurring", Audience::Recurring),
            ("RECUR", Audience::Any),
            ("ANEW", Audience::Any),
            ("SPRING", Audience::Any),
        ] {
            assert_eq!(audience_of(&CouponCode::parse(typed).expect("a code").key()), audience, "{typed}");
        }
        let warnings = AudienceWarning::of(None, ["NewYork", "SPRING", "recurring-"]);
        assert_eq!(warnings.iter().map(|warning| warning.audience).collect::<Vec<_>>(), [Audience::New, Audience::Recurring]);
        assert_eq!(
            warnings[0].to_string(),
            "NewYork begins with \"new\", so the coupon is for new customers only. If that is not meant, set its audience to ANY."
        );
        assert_eq!(AudienceWarning::of(Some(Audience::Any), ["NewYork"]), []);
    }

    /// R67: the codes of a batch share a prefix and differ in ten characters that nobody mistakes for each other.
    #[test]
    fn r67_codes_of_a_batch_are_a_prefix_and_ten_random_characters() {
        let prefix = Prefix::parse("Spring-").expect("a prefix");
        assert_eq!(prefix.code(0), "Spring-0000000000");
        assert_eq!(prefix.code(u64::MAX), "Spring-ZZZZZZZZZZ");
        assert_eq!(prefix.code(1), "Spring-0000000001");
        assert_eq!(prefix.code(32 + (10 << 45)), "Spring-A000000010");
        let longest = Prefix::parse(&"P".repeat(64)).expect("a prefix").code(7);
        assert_eq!(key_of(&longest).map(|key| key.len()), Some(74));
        assert_eq!(key_of(&format!("{longest}X")), None);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_or_refused_and_reading_again_changes_nothing(typed in "\\PC{0,80}") {
            if let Ok(code) = CouponCode::parse(&typed) {
                prop_assert_eq!(CouponCode::parse(code.as_str()), Ok(code.clone()));
                prop_assert_eq!(fold(&code.key()), code.key());
                prop_assert!((1..=MAX_CODE).contains(&code.as_str().chars().count()));
            }
        }

        /// The key of a prefix need be found once for all codes of a batch.
        #[test]
        fn the_key_of_a_code_begins_with_the_key_of_its_prefix(typed in "\\PC{1,20}", random in any::<u64>()) {
            if let Ok(prefix) = Prefix::parse(&typed) {
                let code = prefix.code(random);
                let digits = fold(&code[prefix.as_str().len()..]);
                prop_assert_eq!(fold(&code), prefix.key() + &digits);
            }
        }

        #[test]
        fn different_random_bits_give_different_codes(one in 0_u64..1 << 50, other in 0_u64..1 << 50) {
            let prefix = Prefix::parse("x").expect("a prefix");
            prop_assert_eq!(prefix.code(one) == prefix.code(other), one == other);
            prop_assert!(key_of(&prefix.code(one)).is_some());
        }
    }
}
