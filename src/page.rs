//! Pages of lists: how many, after which row. Lists are ordered by (key, id), so that equal keys neither repeat nor skip a row.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Rows of a page when nothing is said.
pub const DEFAULT_FIRST: u32 = 20;
/// Rows of a page at most.
pub const MAX_FIRST: u32 = 100;

/// What a list was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageArgs<K> {
    /// Rows at most.
    pub first: u32,
    /// The (key, id) of the row before the page.
    pub after: Option<K>,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether more follow.
    pub has_next: bool,
    /// Whether some were before.
    pub has_previous: bool,
    /// All rows of the list, when asked.
    pub total: Option<i64>,
}

impl<T> Page<T> {
    /// A page of `first` rows from a query that asked for one more.
    pub fn cut<K>(mut rows: Vec<T>, args: &PageArgs<K>, total: Option<i64>) -> Self {
        let first = args.first as usize;
        let has_next = rows.len() > first;
        rows.truncate(first);
        Self { rows, has_next, has_previous: args.after.is_some(), total }
    }

    /// The same page with other rows.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page {
            rows: self.rows.into_iter().map(convert).collect(),
            has_next: self.has_next,
            has_previous: self.has_previous,
            total: self.total,
        }
    }
}

/// Names a list and what it was asked with, so that a cursor of another list is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListName(String);

impl ListName {
    /// The list `name`, sorted and filtered as `asked` says (anything that serialises).
    ///
    /// # Errors
    /// [`Error::BadInput`] for a text that holds U+0000, which PostgreSQL does not take; or `asked` does not serialise.
    pub fn new(name: &str, asked: &impl Serialize) -> Result<Self> {
        let asked = serde_json::to_value(asked)?;
        if holds_nul(&asked) {
            return Err(Error::BadInput("A text to look for holds the character U+0000, which no text here has; leave it out.".to_owned()));
        }
        let digest = Sha256::digest(serde_json::to_vec(&(name, asked))?);
        Ok(Self(URL_SAFE_NO_PAD.encode(&digest[..9])))
    }

    /// The cursor of the row with this (key, id).
    ///
    /// # Errors
    /// The key does not serialise.
    pub fn cursor(&self, key: &impl Serialize) -> Result<String> {
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(&self.0, key))?))
    }

    /// Reads `first` and `after`.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a `first` outside 1 to 100 and for a cursor that is made up or of another list.
    pub fn args<K: DeserializeOwned>(&self, first: Option<i32>, after: Option<&str>) -> Result<PageArgs<K>> {
        let first = match first {
            None => DEFAULT_FIRST,
            Some(first) => u32::try_from(first)
                .ok()
                .filter(|first| (1..=MAX_FIRST).contains(first))
                .ok_or_else(|| Error::BadInput(format!("`first` is {first}; ask for 1 to {MAX_FIRST} rows.")))?,
        };
        let after = after
            .map(|cursor| {
                let foreign = || Error::BadInput("`after` is not a cursor of this list; take one from its pageInfo or edges.".to_owned());
                let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| foreign())?;
                let (list, key): (String, Value) = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
                if list != self.0 || holds_nul(&key) {
                    return Err(foreign());
                }
                serde_json::from_value(key).map_err(|_| foreign())
            })
            .transpose()?;
        Ok(PageArgs { first, after })
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(fields) => fields.values().any(holds_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: &str) -> ListName {
        ListName::new(name, &("filter", 1)).expect("serialises")
    }

    #[test]
    fn a_cursor_leads_back_to_its_row() {
        let cursor = list("orders").cursor(&("2026", 7)).expect("cursor");
        let args: PageArgs<(String, i32)> = list("orders").args(Some(3), Some(&cursor)).expect("args");
        assert_eq!(args, PageArgs { first: 3, after: Some(("2026".to_owned(), 7)) });
    }

    /// PostgreSQL takes no U+0000: it reaches no statement, neither by a filter nor by a cursor that somebody put together.
    #[test]
    fn c45_no_u0000_passes() {
        assert!(matches!(ListName::new("orders", &("filter", "a\0b")), Err(Error::BadInput(_))));
        assert!(ListName::new("orders", &("filter", "a\\u0000b")).is_ok(), "six plain characters");
        let cursor = list("orders").cursor(&("20\u{0}26", 7)).expect("cursor");
        assert!(matches!(list("orders").args::<(String, i32)>(None, Some(&cursor)), Err(Error::BadInput(_))));
    }

    /// c45: bad paging arguments are the caller's, and said so.
    #[test]
    fn c45_bad_paging_arguments_are_bad_input() {
        let foreign = list("offers").cursor(&("2026", 7)).expect("cursor");
        for (first, after) in [
            (Some(-1), None),
            (Some(0), None),
            (Some(101), None),
            (None, Some("")),
            (None, Some("made-up")),
            (None, Some(foreign.as_str())),
        ] {
            let args: Result<PageArgs<(String, i32)>> = list("orders").args(first, after);
            assert!(matches!(args, Err(Error::BadInput(_))), "{first:?} {after:?}");
        }
    }
}
