//! The payment gateways of this installation, by the id of their instance.

use std::sync::Arc;

use chrono::TimeDelta;
use domain::Money;
use port::PaymentGateway;

/// One configured gateway.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its id, as in the configuration and in the webhook's address.
    pub id: String,
    /// The adapter.
    pub gateway: Arc<dyn PaymentGateway>,
    /// Company keys it serves; empty = all, and buyers without a company.
    pub companies: Vec<String>,
    /// Currency codes it serves; empty = all that the adapter does.
    pub currencies: Vec<String>,
    /// How long an order waits for its money.
    pub unpaid_for: TimeDelta,
    /// Whether to capture as soon as the gateway has authorised.
    pub capture_at_once: bool,
}

impl Instance {
    /// Whether it can take `amount` from a buyer in the context of the company with this key.
    pub fn serves(&self, company_key: Option<&str>, amount: Money) -> bool {
        let company =
            self.companies.is_empty() || company_key.is_some_and(|key| self.companies.iter().any(|known| known.eq_ignore_ascii_case(key)));
        let currency = self.currencies.is_empty() || self.currencies.iter().any(|code| code.eq_ignore_ascii_case(amount.currency.code()));
        company && currency && self.gateway.descriptor().capabilities.accepts(amount).is_ok()
    }
}

/// All of them, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Gateways(pub Vec<Instance>);

impl Gateways {
    /// The instance with this id.
    pub fn get(&self, id: &str) -> Option<&Instance> {
        self.0.iter().find(|instance| instance.id == id)
    }
}
