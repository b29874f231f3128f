//! How the program turns settings into gateway instances: it lists its factories, and names no gateway elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use domain::Currency;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::PaymentGateway;
use crate::error::GatewayError;

/// Test money or real money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// No real money moves.
    Test,
    /// Real money moves.
    Live,
}

/// The settings of one gateway instance.
#[derive(Debug, Clone)]
pub struct InstanceConfig {
    /// The instance's id. It, not the adapter's name, is in the webhook address, so that two accounts at one gateway live side by side.
    pub id: String,
    /// Test or live.
    pub mode: Mode,
    /// The adapter's own settings; each adapter refuses keys that it does not know.
    pub settings: Map<String, Value>,
    /// The adapter's secrets by name, read from environment or files by the caller.
    pub secrets: BTreeMap<String, SecretString>,
    /// Where the gateway's API is, when not at its usual address for the mode.
    pub base_url: Option<String>,
    /// Where an adapter with state of its own may keep files; `None` where the program has no directory.
    pub data_dir: Option<PathBuf>,
    /// Where buyers reach this shop, without a slash at the end: `https://shop.example`.
    pub public_url: String,
}

impl InstanceConfig {
    /// A test-mode instance with nothing set.
    pub fn new(id: impl Into<String>, public_url: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            mode: Mode::Test,
            settings: Map::new(),
            secrets: BTreeMap::new(),
            base_url: None,
            data_dir: None,
            public_url: public_url.into(),
        }
    }
}

/// Builds the instances of one adapter.
#[async_trait]
pub trait GatewayFactory: fmt::Debug + Send + Sync {
    /// The adapter's name as settings give it.
    fn adapter(&self) -> &'static str;

    /// Builds an instance, checking its settings but calling nobody.
    ///
    /// # Errors
    /// [`GatewayError::Config`] naming the key that is wrong, or [`GatewayError::Unavailable`] where state of its own cannot be opened.
    async fn build(&self, config: InstanceConfig) -> Result<Arc<dyn PaymentGateway>, GatewayError>;
}

/// The currencies that an instance takes: those that are written, or `usual` where none are. `gateway` takes no others than `taken`.
///
/// # Errors
/// [`GatewayError::Config`] on `currencies`: the list is empty, or names what is no currency or one that the gateway does not take.
pub fn currencies<'a>(
    written: Option<&[String]>,
    usual: &[&'a str],
    gateway: &str,
    taken: &[&'a str],
) -> Result<Vec<Currency>, GatewayError> {
    let wrong = |why: String| GatewayError::config("currencies", why);
    let one = |code: &str| {
        let known = Currency::parse(code).map_err(|error| wrong(error.to_string()))?;
        if taken.contains(&known.code()) {
            Ok(known)
        } else {
            Err(wrong(format!("{gateway} does not take {known}; it takes {}", taken.join(", "))))
        }
    };
    match written {
        Some([]) => Err(wrong("must name at least one currency".to_owned())),
        Some(codes) => codes.iter().map(|code| one(code)).collect(),
        None => usual.iter().map(|code| one(code)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_those_of_the_gateway() {
        let taken = |written: Option<&[&str]>| {
            let written = written.map(|codes| codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>());
            currencies(written.as_deref(), &["PLN"], "Acme", &["EUR", "PLN"])
        };
        let refused = |result: Result<Vec<Currency>, GatewayError>| match result {
            Err(GatewayError::Config { key, detail }) => format!("{key}: {detail}"),
            other => panic!("{other:?}"),
        };
        let codes = |found: Vec<Currency>| found.iter().map(|currency| currency.code().to_owned()).collect::<Vec<_>>();
        assert_eq!(codes(taken(None).expect("the usual")), ["PLN"]);
        assert_eq!(codes(taken(Some(&["EUR"])).expect("one of them")), ["EUR"]);
        assert_eq!(refused(taken(Some(&[]))), "currencies: must name at least one currency");
        assert_eq!(refused(taken(Some(&["KWD"]))), "currencies: Acme does not take KWD; it takes EUR, PLN");
        assert!(refused(taken(Some(&["EURO"]))).starts_with("currencies: "));
    }
}
