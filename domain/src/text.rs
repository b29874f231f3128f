//! Texts that come from people: folded for search and keys, checked for length, and the three that have a form of their own (SKU, key, e-mail).
//!
//! Always true here: what two databases must find alike is folded in this program, never by them; a parsed value needs no further check.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;

use crate::id::{Id, Kind};
use crate::refusal::{Code, Reason};

/// Most characters of a title.
pub const MAX_TITLE: usize = 300;
/// Most characters of a description.
pub const MAX_DESCRIPTION: usize = 20_000;
/// Most characters of a name of a person, a company, a provider or a schedule.
pub const MAX_NAME: usize = 200;
/// Most characters of a SKU.
pub const MAX_SKU: usize = 64;
/// Most characters of a key: with `C-` in front it is still a SKU.
pub const MAX_KEY: usize = 62;
/// Most characters of a search.
pub const MAX_SEARCH: usize = 200;
/// Most words of a search.
pub const MAX_SEARCH_WORDS: usize = 16;
/// Most bytes of an e-mail address.
pub const MAX_EMAIL: usize = 254;

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextRefusal {
    /// Nothing but blanks.
    #[error("The {what} is empty; give at least one character that is not a blank.")]
    Empty {
        /// What the text is.
        what: &'static str,
    },
    /// Longer than it may be.
    #[error("The {what} is too long; at most {limit} characters are allowed.")]
    TooLong {
        /// What the text is.
        what: &'static str,
        /// The limit in characters.
        limit: usize,
    },
    /// A control character.
    #[error("The {what} holds a control character (U+{code:04X}); take it out.")]
    Control {
        /// What the text is.
        what: &'static str,
        /// The code point.
        code: u32,
    },
    /// A character outside the alphabet of SKUs and keys.
    #[error("The {what} holds {found:?}; only the letters A to Z and a to z, digits, dot, underscore and hyphen are allowed.")]
    Alphabet {
        /// What the text is.
        what: &'static str,
        /// The first character that is not allowed.
        found: char,
    },
    /// Not an e-mail address.
    #[error("{text:?} is not an e-mail address; write it like ann@example.org, without a name around it.")]
    Email {
        /// What was given, shortened.
        text: String,
    },
    /// Not a locale.
    #[error("{text:?} is not a locale; write a language tag like en, de-AT or zh-Hant.")]
    Locale {
        /// What was given, shortened.
        text: String,
    },
    /// A search of too many words.
    #[error("The search has too many words; at most {limit} are looked for.")]
    TooManyWords {
        /// The limit.
        limit: usize,
    },
}

impl Reason for TextRefusal {
    fn code(&self) -> Code {
        match self {
            Self::Empty { .. } => Code::Required,
            Self::TooLong { .. } | Self::TooManyWords { .. } => Code::TooLong,
            Self::Control { .. } | Self::Alphabet { .. } | Self::Email { .. } | Self::Locale { .. } => Code::Invalid,
        }
    }
}

/// The form in which texts are compared and searched: compatibility-composed, case-folded, composed again, so that full-width, accented and
/// upper-case spellings of a word become one.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let composed: String = text.nfkc().collect();
    caseless::default_case_fold_str(&composed).nfkc().collect()
}

/// The folded words of a search, each once, in the order given; a hit holds every one of them. A blank search has no words and finds all.
///
/// # Errors
/// [`TextRefusal::TooLong`] above [`MAX_SEARCH`] characters, [`TextRefusal::TooManyWords`] above [`MAX_SEARCH_WORDS`], and
/// [`TextRefusal::Control`] for characters that no text of the shop holds.
pub fn search_words(query: &str) -> Result<Vec<String>, TextRefusal> {
    let query = query.trim();
    if query.chars().count() > MAX_SEARCH {
        return Err(TextRefusal::TooLong { what: "search", limit: MAX_SEARCH });
    }
    let mut words: Vec<String> = Vec::new();
    for word in fold(query).split_whitespace() {
        refuse_control("search", word, |_| false)?;
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    if words.len() > MAX_SEARCH_WORDS {
        return Err(TextRefusal::TooManyWords { limit: MAX_SEARCH_WORDS });
    }
    Ok(words)
}

/// The folded text that a row is searched by. The parts stand on lines of their own: a search word has no blanks, so none spans two parts.
pub fn search_text<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&fold(part));
    }
    text
}

/// Whether a row with this folded text is a hit for these folded words: the definition that a database's search must agree with.
pub fn is_hit(search_text: &str, words: &[String]) -> bool {
    words.iter().all(|word| search_text.contains(word.as_str()))
}

/// What a title is sorted by, byte by byte: the folded title.
pub fn sort_key(title: &str) -> String {
    fold(title.trim())
}

/// Checks a title: trimmed, one line, 1 to [`MAX_TITLE`] characters.
///
/// # Errors
/// [`TextRefusal`].
pub fn title(text: &str) -> Result<String, TextRefusal> {
    line("title", text, MAX_TITLE)
}

/// Checks a name of a person or a thing: trimmed, one line, 1 to [`MAX_NAME`] characters.
///
/// # Errors
/// [`TextRefusal`].
pub fn name(text: &str) -> Result<String, TextRefusal> {
    line("name", text, MAX_NAME)
}

/// Checks any other text of one line; `what` names it in the refusal, `limit` is in characters.
///
/// # Errors
/// [`TextRefusal`].
pub fn line(what: &'static str, text: &str, limit: usize) -> Result<String, TextRefusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TextRefusal::Empty { what });
    }
    bounded(what, text, limit)?;
    refuse_control(what, text, |_| false)?;
    Ok(text.to_owned())
}

/// Checks the form of a locale: a language tag of 2 to 35 letters, digits and hyphens (`en`, `de-AT`, `zh-Hant`). Whether the shop has texts for
/// it is another matter.
///
/// # Errors
/// [`TextRefusal::Locale`].
pub fn locale(text: &str) -> Result<String, TextRefusal> {
    let tag = text.trim();
    let language = tag.split('-').next().unwrap_or_default();
    let formed = tag.len() <= 35
        && (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && tag.split('-').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if formed { Ok(tag.to_owned()) } else { Err(TextRefusal::Locale { text: tag.chars().take(40).collect() }) }
}

/// Checks a description: trimmed, may be empty, may have lines and tabs, at most [`MAX_DESCRIPTION`] characters; line ends become `\n`.
///
/// # Errors
/// [`TextRefusal`].
pub fn description(text: &str) -> Result<String, TextRefusal> {
    lines("description", text, MAX_DESCRIPTION)
}

/// Checks any other text that may have lines; trimmed, may be empty; `what` names it in the refusal, `limit` is in characters.
///
/// # Errors
/// [`TextRefusal`].
pub fn lines(what: &'static str, text: &str, limit: usize) -> Result<String, TextRefusal> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.trim();
    bounded(what, text, limit)?;
    refuse_control(what, text, |found| matches!(found, '\n' | '\t'))?;
    Ok(text.to_owned())
}

/// A stock keeping unit: how carts, partners and spreadsheets name a product. Kept as given, unique by [`Sku::folded`] (R45, c55).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sku(String);

impl Sku {
    /// Reads a SKU: trimmed, 1 to [`MAX_SKU`] letters A to Z in either case, digits, dots, underscores and hyphens.
    ///
    /// # Errors
    /// [`TextRefusal`].
    pub fn parse(text: &str) -> Result<Self, TextRefusal> {
        plain("SKU", text, MAX_SKU).map(Self)
    }

    /// The SKU that a course's product gets when none is given.
    pub fn for_course(key: &Key) -> Self {
        Self(format!("C-{key}"))
    }

    /// As given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that is unique over all products.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a course or a company. Kept as given, unique by [`Key::folded`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// Reads a key: trimmed, 1 to [`MAX_KEY`] characters of the alphabet of SKUs.
    ///
    /// # Errors
    /// [`TextRefusal`].
    pub fn parse(text: &str) -> Result<Self, TextRefusal> {
        plain("key", text, MAX_KEY).map(Self)
    }

    /// A key made from a title: its Latin letters and digits in lower case, without accents, other characters as single hyphens. `None` if
    /// too little of the title can be written so; [`Key::from_id`] serves then.
    pub fn derive(title: &str) -> Option<Self> {
        let mut key = String::new();
        for found in title.nfkd().filter(|found| !unicode_normalization::char::is_combining_mark(*found)) {
            if key.len() >= Self::DERIVED {
                break;
            }
            if found.is_ascii_alphanumeric() {
                key.push(found.to_ascii_lowercase());
            } else if !key.is_empty() && !key.ends_with('-') {
                key.push('-');
            }
        }
        let key = key.trim_matches('-');
        (key.len() >= 2).then(|| Self(key.to_owned()))
    }

    /// A key made from an id, for things whose title gives none.
    pub fn from_id<K: Kind>(id: Id<K>) -> Self {
        Self(id.to_string())
    }

    /// This key with a hyphen and `suffix`, shortened in front of it if need be: the next try when a derived key is taken.
    ///
    /// # Errors
    /// [`TextRefusal`] if the suffix has other characters or leaves no room.
    pub fn with_suffix(&self, suffix: &str) -> Result<Self, TextRefusal> {
        let room = MAX_KEY.saturating_sub(suffix.len() + 1);
        let stem: String = self.0.chars().take(room).collect();
        Self::parse(&format!("{}-{suffix}", stem.trim_end_matches('-')))
    }

    /// As given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that is unique.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    const DERIVED: usize = 48;
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address. Two are the same if their normalised forms are; there are no rules about dots or plus signs.
#[derive(Clone)]
pub struct Email {
    shown: String,
    normalised: String,
}

impl Email {
    /// Reads an address: trimmed, composed (NFC), with a domain that has a dot; neither a name around it nor an IP address as its domain.
    ///
    /// # Errors
    /// [`TextRefusal::Empty`] or [`TextRefusal::Email`].
    pub fn parse(text: &str) -> Result<Self, TextRefusal> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TextRefusal::Empty { what: "e-mail address" });
        }
        let refused = || TextRefusal::Email { text: text.chars().take(80).collect() };
        // An address of 254 bytes in ASCII can be longer as typed; far beyond that no work is spent on it.
        if text.len() > MAX_EMAIL * 4 || text.chars().any(char::is_control) {
            return Err(refused());
        }
        let composed: String = text.nfc().collect();
        let (local, domain) = composed.rsplit_once('@').ok_or_else(refused)?;
        let domain = idna::domain_to_ascii(domain).map_err(|_| refused())?;
        let shown = format!("{local}@{domain}");
        let syntax = email_address::Options::default().with_required_tld().without_display_text().without_domain_literal();
        if shown.len() > MAX_EMAIL || email_address::EmailAddress::parse_with_options(&shown, syntax).is_err() {
            return Err(refused());
        }
        let normalised = format!("{}@{domain}", local.to_lowercase().nfc().collect::<String>());
        Ok(Self { shown, normalised })
    }

    /// As typed, but for blanks around it and the domain in lower-case ASCII.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// The form that is compared, hashed and unique.
    pub fn normalised(&self) -> &str {
        &self.normalised
    }

    /// The domain in lower-case ASCII.
    pub fn domain(&self) -> &str {
        self.normalised.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// A domain as [`Email::domain`] gives it, from what an operator typed (`Example.ORG`, `müller.example`, with or without a leading `@`).
    ///
    /// # Errors
    /// [`TextRefusal::Email`] if no address can have that domain.
    pub fn parse_domain(text: &str) -> Result<String, TextRefusal> {
        let domain = text.trim().trim_start_matches('@');
        Self::parse(&format!("x@{domain}"))
            .map(|email| email.domain().to_owned())
            .map_err(|_| TextRefusal::Email { text: format!("…@{}", domain.chars().take(80).collect::<String>()) })
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.normalised == other.normalised
    }
}
impl Eq for Email {}
impl Hash for Email {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normalised.hash(state);
    }
}
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Logs hold no addresses of people.
        write!(f, "Email(…@{})", self.domain())
    }
}
impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

macro_rules! text_forms {
    ($($type:ident)*) => {
        $(
            impl FromStr for $type {
                type Err = TextRefusal;
                fn from_str(text: &str) -> Result<Self, TextRefusal> {
                    Self::parse(text)
                }
            }
            impl serde::Serialize for $type {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(self.as_str())
                }
            }
            impl<'de> serde::Deserialize<'de> for $type {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    Self::parse(&text).map_err(serde::de::Error::custom)
                }
            }
        )*
    };
}

text_forms! { Sku Key Email }

fn plain(what: &'static str, text: &str, limit: usize) -> Result<String, TextRefusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TextRefusal::Empty { what });
    }
    bounded(what, text, limit)?;
    match text.chars().find(|found| !found.is_ascii_alphanumeric() && !matches!(found, '.' | '_' | '-')) {
        Some(found) => Err(TextRefusal::Alphabet { what, found }),
        None => Ok(text.to_owned()),
    }
}

fn bounded(what: &'static str, text: &str, limit: usize) -> Result<(), TextRefusal> {
    if text.chars().count() > limit { Err(TextRefusal::TooLong { what, limit }) } else { Ok(()) }
}

fn refuse_control(what: &'static str, text: &str, allowed: impl Fn(char) -> bool) -> Result<(), TextRefusal> {
    match text.chars().find(|found| found.is_control() && !allowed(*found)) {
        Some(found) => Err(TextRefusal::Control { what, code: u32::from(found) }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::CourseId;

    #[test]
    fn folding_makes_spellings_of_one_word_alike() {
        for (one, other) in [
            ("STRASSE", "straße"),
            ("ＦＯＲＥＸ", "forex"),
            ("e\u{301}clair", "ÉCLAIR"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("プログラミング", "ﾌﾟﾛｸﾞﾗﾐﾝｸﾞ"),
            ("ﻣﺮﺣﺒﺎ", "مرحبا"),
            ("ﬁnance", "FINANCE"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} and {other}");
        }
        assert_ne!(fold("İ"), fold("i"));
    }

    /// Every word occurs somewhere, `%` and `_` are plain characters.
    #[test]
    fn search_finds_rows_that_hold_every_word() {
        let row = search_text([
            "Forex für Anfänger 100%",
            "Lernen Sie\nhandeln",
            "FX_01",
            "Bücher & Söhne",
            "การเขียนโปรแกรม",
            "機械学習入門",
            "تعلم البرمجة",
        ]);
        for (query, hit) in [
            ("forex", true),
            ("FÜR  forex", true),
            ("forex\u{3000}söhne", true),
            ("anfa\u{308}nger", true),
            ("100%", true),
            ("1%0", false),
            ("fx_01", true),
            ("fx-01", false),
            ("F_rex", false),
            ("เขียน", true),
            ("機械学習", true),
            ("البرمجة", true),
            ("forex aktien", false),
            ("siehandeln", false),
            ("", true),
            ("   ", true),
        ] {
            assert_eq!(is_hit(&row, &search_words(query).expect(query)), hit, "{query:?}");
        }
        assert_eq!(search_words("a A b ａ").expect("words"), ["a", "b"]);
    }

    #[test]
    fn a_search_is_bounded() {
        assert_eq!(search_words(&"x".repeat(201)), Err(TextRefusal::TooLong { what: "search", limit: 200 }));
        let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
        assert_eq!(search_words(&many.join(" ")), Err(TextRefusal::TooManyWords { limit: 16 }));
        assert_eq!(search_words("a\0b"), Err(TextRefusal::Control { what: "search", code: 0 }));
    }

    /// c55, R45: case and blanks make no other SKU.
    #[test]
    fn c55_skus_differ_by_folded_form_only() {
        let sku = Sku::parse("RUST-101 ").expect("sku");
        assert_eq!((sku.as_str(), sku.folded()), ("RUST-101", "rust-101".to_owned()));
        assert_eq!(Sku::parse("\trust-101\n").expect("sku").folded(), sku.folded());
        for (text, code) in [
            ("", Code::Required),
            ("  ", Code::Required),
            ("A B", Code::Invalid),
            ("É1", Code::Invalid),
            ("a/b", Code::Invalid),
            ("Ａ", Code::Invalid),
            ("a\0", Code::Invalid),
        ] {
            assert_eq!(Sku::parse(text).map_err(|refusal| refusal.code()), Err(code), "{text:?}");
        }
        assert!(Sku::parse(&"x".repeat(64)).is_ok());
        assert_eq!(Sku::parse(&"x".repeat(65)).map_err(|refusal| refusal.code()), Err(Code::TooLong));
    }

    #[test]
    fn a_course_without_sku_gets_one_from_its_key() {
        let key = Key::parse(&"k".repeat(62)).expect("key");
        assert_eq!(Sku::for_course(&key).as_str().len(), 64);
        assert!(Key::parse(&"k".repeat(63)).is_err());
        assert_eq!(Sku::for_course(&Key::parse("Rust.1").expect("key")).as_str(), "C-Rust.1");
    }

    #[test]
    fn keys_are_made_from_titles_or_ids() {
        for (title, key) in [
            ("Őszi vásár: 10 % off!", Some("oszi-vasar-10-off")),
            ("  C++ & Rust  ", Some("c-rust")),
            ("機械学習", None),
            ("Ａｚｕｒｅ", Some("azure")),
            ("№ 5", Some("no-5")),
            ("", None),
        ] {
            assert_eq!(Key::derive(title).as_ref().map(Key::as_str), key, "{title:?}");
        }
        let id = Key::from_id(CourseId::new(uuid::Uuid::from_u128(9)));
        assert_eq!(Key::parse(id.as_str()), Ok(id));
        let long = Key::parse(&"k".repeat(62)).expect("key");
        assert_eq!(long.with_suffix("22").expect("key").as_str(), format!("{}-22", "k".repeat(59)));
        assert!(long.with_suffix("ü").is_err());
    }

    #[test]
    fn addresses_are_the_same_whatever_their_case_and_blanks() {
        let ann = Email::parse("  Ann.O+x@EXAMPLE.org ").expect("address");
        assert_eq!((ann.as_str(), ann.normalised(), ann.domain()), ("Ann.O+x@example.org", "ann.o+x@example.org", "example.org"));
        for (one, other, same) in [
            ("ann@example.org", "ANN@Example.Org", true),
            ("an.n@example.org", "ann@example.org", false),
            ("ann+a@example.org", "ann@example.org", false),
            ("Rene\u{301}@example.org", "RENÉ@example.org", true),
            ("a@müller.example", "a@MÜLLER.example", true),
            ("a@müller.example", "a@xn--mller-kva.example", true),
        ] {
            assert_eq!(Email::parse(one).expect(one) == Email::parse(other).expect(other), same, "{one} and {other}");
        }
        assert_eq!(format!("{ann:?}"), "Email(…@example.org)");
        assert_eq!(Email::parse_domain(" @Example.ORG"), Ok("example.org".to_owned()));
        assert!(Email::parse_domain("example").is_err() && Email::parse_domain("a@b.org").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "x".repeat(250));
        for text in [
            "",
            " ",
            "ann",
            "ann@",
            "@example.org",
            "ann@example",
            "ann@exam ple.org",
            "an n@example.org",
            "Ann <ann@example.org>",
            "ann@[127.0.0.1]",
            "ann@@example.org",
            "a@b@example.org",
            "ann@example..org",
            "ann@-example.org",
            "ann@example.org.",
            "ann@example.org\nbcc: x@example.org",
            ".ann@example.org",
            "ann@example.org, bo@example.org",
            long.as_str(),
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_locale_has_the_form_of_a_language_tag() {
        for tag in ["en", "de-AT", "zh-Hant-TW", " pt-BR "] {
            assert_eq!(locale(tag), Ok(tag.trim().to_owned()));
        }
        for tag in ["", "e", "en_US", "en-", "-en", "123", "en-<script>", "engelsk dansk", "en-abcdefghi"] {
            assert!(matches!(locale(tag), Err(TextRefusal::Locale { .. })), "{tag:?}");
        }
    }

    #[test]
    fn titles_and_descriptions_are_trimmed_and_bounded() {
        assert_eq!(title("  برمجة بايثون "), Ok("برمجة بايثون".to_owned()));
        assert_eq!(title(" \u{3000} "), Err(TextRefusal::Empty { what: "title" }));
        assert_eq!(title("a\nb"), Err(TextRefusal::Control { what: "title", code: 10 }));
        assert_eq!(title("a\0b"), Err(TextRefusal::Control { what: "title", code: 0 }));
        assert!(title(&"ü".repeat(300)).is_ok());
        assert_eq!(title(&"ü".repeat(301)), Err(TextRefusal::TooLong { what: "title", limit: 300 }));
        assert_eq!(description("a\r\nb\tc\r\n"), Ok("a\nb\tc".to_owned()));
        assert_eq!(description(" "), Ok(String::new()));
        assert!(description("a\u{7}").is_err());
        assert!(description(&"x".repeat(20_001)).is_err());
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,40}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn a_derived_key_is_a_key(title in "\\PC{0,80}") {
            if let Some(key) = Key::derive(&title) {
                prop_assert_eq!(Key::parse(key.as_str()), Ok(key));
            }
        }

        #[test]
        fn an_address_survives_storing(local in "[a-zA-Z0-9é+._-]{1,12}") {
            if let Ok(email) = Email::parse(&format!("{local}@Example.org")) {
                let again = Email::parse(email.normalised()).expect("normalised addresses are addresses");
                prop_assert_eq!(again.normalised(), email.normalised());
            }
        }
    }
}
