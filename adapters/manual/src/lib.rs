//! The gateway without a gateway: invoices and transfers. The buyer gets instructions; staff record what arrived.
//!
//! Always true here: nobody is called and nothing is kept, so nothing can be looked up afterwards. What the adapter must know again, the payment and
//! its currency, is in the reference that `start` gives.
//!
//! Money is recorded by staff in the shop itself, not through the port; the capabilities therefore have no webhooks and no lookup. A refund is what
//! staff say they have paid out by hand: it is answered as [`RefundStatus::Succeeded`] with the raw status `recorded`. The sums behind it are the
//! shop's, which checks them before it asks.
//!
//! Settings: `display_name`, `instructions` (a text), `details` (list of `{ label, value }`: bank, account), `reference_label`, `amount_label`,
//! `currencies`. No secrets.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{Currency, PaymentId};
use port::{
    AmountLimits, Capabilities, CaptureMode, Currencies, Descriptor, GatewayError, GatewayFactory, Idempotency, IdempotencyKey,
    InstanceConfig, Lookup, Mode, NextAction, OpContext, PartialCapture, PaymentGateway, PaymentRef, PaymentStatus, RefundRef,
    RefundRequest, RefundSnapshot, RefundStatus, RefundSupport, Snapshot, StartPayment, Started, Totals, VoidSupport, WebhookSupport,
};
use serde::Deserialize;

/// The adapter's name in settings.
pub const ADAPTER: &str = "manual";

/// A line of the instructions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    label: String,
    value: String,
}

/// The instance's `settings` as they are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    display_name: String,
    instructions: String,
    details: Vec<Line>,
    reference_label: String,
    amount_label: String,
    currencies: Option<Vec<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            display_name: "Invoice".to_owned(),
            instructions: "Please transfer the amount and give the reference, so that we can match your payment. Your order is completed when the money \
                           has arrived."
                .to_owned(),
            details: Vec::new(),
            reference_label: "Reference".to_owned(),
            amount_label: "Amount".to_owned(),
            currencies: None,
        }
    }
}

/// One way to pay by invoice or transfer.
#[derive(Debug)]
pub struct Manual {
    id: String,
    mode: Mode,
    settings: Settings,
    currencies: Currencies,
}

impl Manual {
    /// An instance from its settings.
    ///
    /// # Errors
    /// [`GatewayError::Config`] for an unknown or wrong setting, or any secret: there is nothing to keep secret.
    pub fn new(config: InstanceConfig) -> Result<Self, GatewayError> {
        let settings: Settings = serde_json::from_value(config.settings.into()).map_err(|error| {
            let known = "display_name, instructions, details, reference_label, amount_label, currencies";
            GatewayError::config("settings", format!("{error}; manual has {known}"))
        })?;
        if let Some(key) = config.secrets.into_keys().next() {
            return Err(GatewayError::config(key, "manual has no secrets"));
        }
        if settings.instructions.trim().is_empty() {
            return Err(GatewayError::config("instructions", "must tell the buyer how to pay"));
        }
        let currencies = match &settings.currencies {
            None => Currencies::Any,
            Some(codes) => codes
                .iter()
                .map(|code| Currency::parse(code).map_err(|error| GatewayError::config("currencies", error.to_string())))
                .collect::<Result<Vec<_>, _>>()
                .map(Currencies::Only)?,
        };
        Ok(Self { id: config.id, mode: config.mode, settings, currencies })
    }

    fn capabilities(&self) -> Capabilities {
        let natural = IdempotencyKey::NaturalKey;
        Capabilities {
            captures: vec![CaptureMode::Automatic],
            partial_capture: PartialCapture::None,
            multiple_capture: false,
            void: VoidSupport::Uncaptured,
            refund: RefundSupport::Partial,
            refund_window_days: None,
            currencies: self.currencies.clone(),
            limits: AmountLimits { min_minor: 1, max_minor: i64::MAX },
            webhooks: WebhookSupport::None,
            idempotency: Idempotency { start: natural, capture: natural, refund: natural },
            lookup: Lookup::None,
            visibility_delay: Duration::ZERO,
            redirect: false,
            client_secret: false,
            instructions: true,
            confirm_step: false,
            async_confirmation: true,
            disputes: false,
        }
    }
}

/// The reference of a payment: its id and its currency.
fn reference_of(payment_id: PaymentId, currency: Currency) -> PaymentRef {
    PaymentRef::new(format!("{payment_id}:{currency}"))
}

/// Reads a reference again.
fn read_reference(reference: &PaymentRef) -> Result<(PaymentId, Currency), GatewayError> {
    let (id, currency) = reference.as_str().split_once(':').ok_or(GatewayError::NotFound)?;
    Ok((PaymentId::parse(id).ok_or(GatewayError::NotFound)?, Currency::parse(currency).map_err(|_| GatewayError::NotFound)?))
}

fn snapshot(ctx: &OpContext, status: PaymentStatus, currency: Currency, raw_status: &str) -> Snapshot {
    Snapshot {
        status,
        totals: Totals::zero(currency),
        raw_status: raw_status.to_owned(),
        method_label: None,
        decline: None,
        changed_at: Some(ctx.now),
    }
}

#[async_trait]
impl PaymentGateway for Manual {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            adapter: ADAPTER,
            instance: self.id.clone(),
            display_name: self.settings.display_name.clone(),
            mode: self.mode,
            capabilities: self.capabilities(),
        }
    }

    async fn start(&self, ctx: &OpContext, request: StartPayment) -> Result<Started, GatewayError> {
        self.capabilities().accepts(request.amount)?;
        if request.capture != CaptureMode::Automatic {
            return Err(GatewayError::invalid("capture", "a transfer cannot be reserved first"));
        }
        if request.token.is_some() {
            return Err(GatewayError::invalid("token", "there is none for paying by transfer; leave it out"));
        }
        let mut details: Vec<(String, String)> =
            self.settings.details.iter().map(|line| (line.label.clone(), line.value.clone())).collect();
        details.push((self.settings.amount_label.clone(), request.amount.to_string()));
        details.push((self.settings.reference_label.clone(), request.order_reference));
        Ok(Started {
            reference: reference_of(request.payment_id, request.amount.currency),
            next_action: NextAction::Instructions { text: self.settings.instructions.clone(), details },
            snapshot: snapshot(ctx, PaymentStatus::RequiresAction, request.amount.currency, "awaiting money"),
        })
    }

    async fn void(&self, ctx: &OpContext, reference: &PaymentRef) -> Result<Snapshot, GatewayError> {
        let (_, currency) = read_reference(reference)?;
        Ok(snapshot(ctx, PaymentStatus::Cancelled, currency, "given up"))
    }

    async fn refund(&self, ctx: &OpContext, request: RefundRequest) -> Result<RefundSnapshot, GatewayError> {
        let (_, currency) = read_reference(&request.payment)?;
        if request.amount.currency != currency {
            return Err(GatewayError::invalid("amount", format!("the payment is in {currency}")));
        }
        if request.amount.minor <= 0 {
            return Err(GatewayError::invalid("amount", "must be more than zero"));
        }
        Ok(RefundSnapshot {
            reference: RefundRef::new(request.refund_id.to_string()),
            refund_id: Some(request.refund_id),
            status: RefundStatus::Succeeded,
            amount: request.amount,
            raw_status: "recorded".to_owned(),
            changed_at: Some(ctx.now),
        })
    }

    async fn check(&self, _ctx: &OpContext) -> Result<(), GatewayError> {
        Ok(())
    }
}

/// Builds manual instances.
#[derive(Debug, Default, Clone, Copy)]
pub struct ManualFactory;

#[async_trait]
impl GatewayFactory for ManualFactory {
    fn adapter(&self) -> &'static str {
        ADAPTER
    }

    async fn build(&self, config: InstanceConfig) -> Result<Arc<dyn PaymentGateway>, GatewayError> {
        Ok(Arc::new(Manual::new(config)?))
    }
}
