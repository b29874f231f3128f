//! What can go wrong, sorted by what the caller should do about it.
//!
//! Always true here: texts are for operators and logs, capped, without control characters, and never hold a secret, a signature or a body.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::payment::PaymentRef;

/// The reason class of a gateway's *no*, safe to keep and to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeclineCategory {
    /// Not enough money or credit.
    InsufficientFunds,
    /// The card or account is refused or blocked.
    Refused,
    /// The card is out of date.
    ExpiredCard,
    /// The gateway or the bank suspects fraud; the buyer is never told so.
    Fraud,
    /// The buyer could not be authenticated.
    AuthenticationFailed,
    /// A limit of the card, the account or the gateway.
    LimitExceeded,
    /// The buyer gave up.
    BuyerCancelled,
    /// No, without a reason.
    Generic,
}

impl DeclineCategory {
    /// Names the text that the buyer may read. Fraud reads like a decline without a reason.
    pub const fn buyer_message_key(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::Refused => "refused",
            Self::ExpiredCard => "expired_card",
            Self::AuthenticationFailed => "authentication_failed",
            Self::LimitExceeded => "limit_exceeded",
            Self::BuyerCancelled => "buyer_cancelled",
            Self::Fraud | Self::Generic => "declined",
        }
    }
}

/// A gateway's *no*.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// Why, in our words.
    pub category: DeclineCategory,
    /// Why, in the gateway's code; for operators only.
    pub provider_code: Option<String>,
}

impl Decline {
    /// A decline of `category` with the gateway's own code.
    pub fn new(category: DeclineCategory, provider_code: impl Into<String>) -> Self {
        Self { category, provider_code: Some(provider_code.into()) }
    }
}

/// What an operator needs in order to look into an error at the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detail {
    message: String,
    code: Option<String>,
    request_id: Option<String>,
}

impl Detail {
    /// Longest text that is kept, in characters: a gateway's HTML error page is not a message.
    pub const MAX_CHARS: usize = 300;

    /// A sentence; cut at [`Self::MAX_CHARS`], control characters become blanks.
    pub fn new(message: impl AsRef<str>) -> Self {
        Self { message: clean(message.as_ref()), code: None, request_id: None }
    }

    /// The same with the gateway's error code.
    pub fn with_code(mut self, code: impl AsRef<str>) -> Self {
        self.code = Some(clean(code.as_ref()));
        self
    }

    /// The same with the gateway's id of the request.
    pub fn with_request_id(mut self, request_id: impl AsRef<str>) -> Self {
        self.request_id = Some(clean(request_id.as_ref()));
        self
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The gateway's error code.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The gateway's id of the request.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(code) = &self.code {
            write!(f, " [code {code}]")?;
        }
        if let Some(request_id) = &self.request_id {
            write!(f, " [request {request_id}]")?;
        }
        Ok(())
    }
}

impl From<&str> for Detail {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Detail {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

fn clean(text: &str) -> String {
    text.chars().take(Detail::MAX_CHARS).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Why an operation has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The gateway answered *no*. The attempt has failed; the buyer may try again with a new one.
    #[error("declined ({})", .0.category.buyer_message_key())]
    Declined(Decline),
    /// Our data, or a conflict with the payment's state. Not to be retried as it is.
    #[error("the gateway refuses {field}: {detail}")]
    InvalidRequest {
        /// Which part of the request.
        field: &'static str,
        /// Why.
        detail: Detail,
    },
    /// The gateway does not accept who we are. Not to be retried; the instance is unhealthy.
    #[error("the gateway refuses the credentials: {0}")]
    Auth(Detail),
    /// Too many calls. Retry the same operation id.
    #[error("the gateway asks for fewer calls")]
    RateLimited {
        /// How long to wait, where the gateway says so.
        retry_after: Option<Duration>,
    },
    /// Certainly not processed. Retry the same operation id.
    #[error("the gateway cannot be reached: {0}")]
    Unavailable(Detail),
    /// Sent, and no answer that can be trusted. Never retried under a new operation id: ask first.
    #[error("the outcome is unknown: {detail}")]
    UnknownOutcome {
        /// The gateway's reference, where at least that is known.
        reference: Option<PaymentRef>,
        /// What happened.
        detail: Detail,
    },
    /// The gateway does not know the object.
    #[error("the gateway does not know this object")]
    NotFound,
    /// This gateway has no such operation, and its capabilities say so.
    #[error("this gateway does not support {operation}")]
    NotSupported {
        /// The trait's method.
        operation: &'static str,
    },
    /// The instance's settings are wrong.
    #[error("setting {key}: {detail}")]
    Config {
        /// The setting's key.
        key: String,
        /// What is wrong and how to mend it.
        detail: Detail,
    },
}

impl GatewayError {
    /// Our data or a state conflict in `field`.
    pub fn invalid(field: &'static str, detail: impl Into<Detail>) -> Self {
        Self::InvalidRequest { field, detail: detail.into() }
    }

    /// A wrong setting.
    pub fn config(key: impl Into<String>, detail: impl Into<Detail>) -> Self {
        Self::Config { key: key.into(), detail: detail.into() }
    }

    /// Whether the same operation may simply be tried again later under its own id.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unavailable(_))
    }
}

/// Why a delivery is not accepted. Nothing of it may be stored as trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// No signature, or none that can be read.
    #[error("the signature is missing or malformed")]
    MissingSignature,
    /// No known secret made this signature over these bytes.
    #[error("the signature does not match")]
    BadSignature,
    /// Signed too long ago, or too far in the future.
    #[error("the signature's time is outside of the tolerance")]
    Stale,
    /// Longer than a delivery can be.
    #[error("the body is too large")]
    TooLarge,
    /// Authentic, but for another account or mode.
    #[error("the delivery is meant for another instance or mode")]
    WrongAccount,
    /// Authentic, but not what the gateway documents.
    #[error("the body cannot be read: {0}")]
    Malformed(Detail),
    /// Whether it is authentic cannot be told now; the gateway shall send it again.
    #[error("the delivery cannot be checked now: {0}")]
    Unavailable(Detail),
    /// This gateway sends no webhooks.
    #[error("this gateway sends no webhooks")]
    NotSupported,
}

impl WebhookError {
    /// The HTTP status to answer with: 4xx, because 5xx means "could not be checked or stored, send it again".
    pub const fn status(&self) -> u16 {
        match self {
            Self::MissingSignature | Self::BadSignature | Self::Stale => 401,
            Self::TooLarge => 413,
            Self::WrongAccount | Self::Malformed(_) => 400,
            Self::NotSupported => 404,
            Self::Unavailable(_) => 503,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fraud_reads_like_a_decline_without_reason() {
        assert_eq!(DeclineCategory::Fraud.buyer_message_key(), DeclineCategory::Generic.buyer_message_key());
        let error = GatewayError::Declined(Decline::new(DeclineCategory::Fraud, "suspected_fraud"));
        assert_eq!(error.to_string(), "declined (declined)");
    }

    #[test]
    fn details_are_capped_and_hold_no_control_characters() {
        let detail = Detail::new(format!("502\r\n{}", "x".repeat(1_000))).with_code("a\nb").with_request_id("req_1");
        assert_eq!(detail.message().chars().count(), Detail::MAX_CHARS);
        assert!(detail.to_string().ends_with("x [code a b] [request req_1]"));
        assert!(!detail.to_string().contains(['\r', '\n']));
    }
}
