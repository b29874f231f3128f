//! The embedded payment gateway, for trying and testing: it behaves like a gateway elsewhere, with a memory, a page and signed webhooks of its own.
//!
//! Always true here: no real money; it refuses to load in live mode; what it booked survives a killed shop, because it keeps its state apart from
//! the shop's tables; it decides nothing by the clock, so a payment waits on its page until somebody decides.
//!
//! - [`Token`]: how a payment goes.
//! - [`Sandbox`]: one instance. [`SandboxFactory`]: builds instances from settings and remembers them for their pages.
//! - [`Step`], [`Sandbox::advance`]: what a buyer, a bank or the gateway's staff would do later: approve, decline, expire, refund, dispute.
//! - [`Sandbox::deliver_due`]: sends the webhooks. [`pages`]: the page at `/sandbox/{payment}`.
//!
//! Settings: `display_name`, `state_dir`, `currencies`, `deliver_to`. Secrets: `webhook_secret` (made and kept in the state when not given) and
//! `webhook_secret_previous` (still accepted while the secret is replaced).

mod delivery;
mod gateway;
mod page;
mod settings;
mod signature;
mod state;
mod step;
mod token;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use port::{GatewayError, GatewayFactory, InstanceConfig, PaymentGateway};
use secrecy::SecretString;
use tokio::sync::Notify;

pub use delivery::{DeliveryReport, SignedDelivery};
pub use page::{Clock, PAGE_PATH, pages};
pub use signature::{HEADER as SIGNATURE_HEADER, TOLERANCE_SECONDS};
pub use state::PendingDelivery;
pub use step::Step;
pub use token::Token;

/// The adapter's name in settings.
pub const ADAPTER: &str = "sandbox";

/// One sandbox account. Cheap to clone; all clones are the same account.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) settings: Arc<settings::Settings>,
    pub(crate) state: state::State,
    pub(crate) signer: Arc<signature::Signer>,
    pub(crate) client: reqwest::Client,
    pub(crate) happened: Arc<Notify>,
}

impl Sandbox {
    /// Opens an instance and its state, which is created on first use.
    ///
    /// # Errors
    /// [`GatewayError::Config`] for live mode, an unknown or wrong setting, an empty secret, or no directory to keep the state in;
    /// [`GatewayError::Unavailable`] when the state cannot be opened.
    pub async fn open(config: InstanceConfig) -> Result<Self, GatewayError> {
        let settings = settings::Settings::read(config)?;
        let state = state::State::open(&settings.state_dir, &settings.id).await?;
        let mut secrets = settings.secrets.clone();
        if secrets.is_empty() {
            secrets.push(SecretString::from(state.webhook_secret().await?));
        }
        Ok(Self {
            settings: Arc::new(settings),
            state,
            signer: Arc::new(signature::Signer::new(secrets)),
            client: delivery::client()?,
            happened: Arc::new(Notify::new()),
        })
    }

    /// The instance's id.
    pub fn id(&self) -> &str {
        &self.settings.id
    }
}

/// Builds sandbox instances, and remembers them: the program needs them again for their pages and deliveries.
#[derive(Debug, Default)]
pub struct SandboxFactory {
    built: Mutex<Vec<Sandbox>>,
}

impl SandboxFactory {
    /// A factory that has built nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The instances built so far.
    pub fn built(&self) -> Vec<Sandbox> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl GatewayFactory for SandboxFactory {
    fn adapter(&self) -> &'static str {
        ADAPTER
    }

    async fn build(&self, config: InstanceConfig) -> Result<Arc<dyn PaymentGateway>, GatewayError> {
        let sandbox = Sandbox::open(config).await?;
        self.built.lock().unwrap_or_else(PoisonError::into_inner).push(sandbox.clone());
        Ok(Arc::new(sandbox))
    }
}
