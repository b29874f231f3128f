//! How the program turns settings into gateway instances: it lists its factories, and names no gateway elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
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
