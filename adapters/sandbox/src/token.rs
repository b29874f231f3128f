//! The tokens that decide how a sandbox payment goes.

use port::GatewayError;

/// What the payment token asks the sandbox to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Paid at once.
    Approve,
    /// Refused at once.
    Decline,
    /// Sent to the sandbox's page; also what no token means.
    Redirect,
    /// Being worked on until the page, or [`Sandbox::advance`](crate::Sandbox::advance), decides.
    Pending,
    /// Paid, but the answer gets lost.
    TimeoutCharged,
    /// Not paid, and the answer gets lost.
    TimeoutNotCharged,
    /// Money is reserved; the shop takes it later.
    Authorise,
    /// The sandbox is out of order; nothing is done.
    GatewayDown,
    /// Paid at once; refunds of it stay pending until the page completes or fails them.
    RefundPending,
    /// Paid at once; the answers to its refunds get lost, though they are made.
    RefundTimeout,
}

impl Token {
    /// All tokens.
    pub const ALL: [Self; 10] = [
        Self::Approve,
        Self::Decline,
        Self::Redirect,
        Self::Pending,
        Self::TimeoutCharged,
        Self::TimeoutNotCharged,
        Self::Authorise,
        Self::GatewayDown,
        Self::RefundPending,
        Self::RefundTimeout,
    ];

    /// How the token is written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline => "decline",
            Self::Redirect => "redirect",
            Self::Pending => "pending",
            Self::TimeoutCharged => "timeout_charged",
            Self::TimeoutNotCharged => "timeout_not_charged",
            Self::Authorise => "authorise",
            Self::GatewayDown => "gateway_down",
            Self::RefundPending => "refund_pending",
            Self::RefundTimeout => "refund_timeout",
        }
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`GatewayError::InvalidRequest`] naming the tokens there are.
    pub fn parse(text: &str) -> Result<Self, GatewayError> {
        Self::ALL.into_iter().find(|token| token.text() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.into_iter().map(Self::text).collect();
            GatewayError::invalid("token", format!("the sandbox knows the tokens {}", known.join(", ")))
        })
    }
}
