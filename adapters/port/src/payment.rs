//! An attempt to pay: what is asked for, what the buyer does next, and what is known about it.

use std::fmt;

use chrono::{DateTime, Utc};
use domain::{Currency, Money, PaymentId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::error::Decline;

/// A reference that a gateway gave to one of its objects.
macro_rules! reference {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The reference as the gateway wrote it.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text, as stored.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use reference;

reference! {
    /// The gateway's reference of a payment.
    PaymentRef
}

/// Who pays. Printed without the person's data.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Buyer {
    /// E-mail address.
    pub email: Option<String>,
    /// Full name.
    pub name: Option<String>,
    /// Country, ISO 3166 two letters.
    pub country: Option<String>,
    /// Language, BCP 47.
    pub language: Option<String>,
    /// The buyer's address on the network; some gateways insist on it.
    pub ip: Option<std::net::IpAddr>,
}

impl fmt::Debug for Buyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buyer").field("country", &self.country).field("language", &self.language).finish_non_exhaustive()
    }
}

/// When money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CaptureMode {
    /// As soon as the buyer agrees.
    Automatic,
    /// Reserved first, taken later by `capture`.
    Manual,
}

/// One line of what is paid for, for gateways that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSummary {
    /// What the buyer reads.
    pub title: String,
    /// How many.
    pub quantity: u32,
    /// What the line costs in all.
    pub total: Money,
}

/// What an attempt asks for.
#[derive(Debug, Clone)]
pub struct StartPayment {
    /// The attempt's id: the reference by which `find` asks. Letters, digits and `_` only.
    pub payment_id: PaymentId,
    /// The order's number as buyers and banks see it.
    pub order_reference: String,
    /// How much.
    pub amount: Money,
    /// One line about the purchase.
    pub description: String,
    /// Who pays.
    pub buyer: Buyer,
    /// Where the browser goes afterwards.
    pub return_url: String,
    /// Where the browser goes when the buyer gives up.
    pub cancel_url: String,
    /// Where the gateway reports to.
    pub webhook_url: String,
    /// When the money is taken.
    pub capture: CaptureMode,
    /// What is paid for. Their totals add up to the amount.
    pub lines: Vec<LineSummary>,
    /// Until when the buyer may pay; `None`: the gateway's own limit.
    pub expires_at: Option<DateTime<Utc>>,
    /// What the gateway's fields or buttons gave the buyer's browser; never a card number.
    pub token: Option<SecretString>,
}

/// How the browser is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RedirectMethod {
    /// A plain link or redirect.
    Get,
    /// A form that is posted.
    Post,
}

/// What the buyer has to do now. Kept by the caller while the payment waits, so `Debug` does not show secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NextAction {
    /// Nothing.
    None,
    /// Go to the gateway's page.
    Redirect {
        /// Where to.
        url: String,
        /// How.
        method: RedirectMethod,
        /// The fields to post, in order.
        fields: Vec<(String, String)>,
    },
    /// Finish in the gateway's fields inside our page.
    ClientSecret {
        /// What the gateway's script needs; it opens this payment only, yet is not for logs.
        secret: String,
    },
    /// Pay by other means, as described.
    Instructions {
        /// The text for the buyer.
        text: String,
        /// Label and value, in order: bank, account, reference.
        details: Vec<(String, String)>,
    },
    /// Confirm elsewhere, for example in the bank's app.
    WaitForBuyer,
}

impl fmt::Debug for NextAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Redirect { url, method, fields } => {
                let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
                f.debug_struct("Redirect").field("url", url).field("method", method).field("field_names", &names).finish()
            }
            Self::ClientSecret { .. } => f.write_str("ClientSecret"),
            Self::Instructions { text, details } => f.debug_struct("Instructions").field("text", text).field("details", details).finish(),
            Self::WaitForBuyer => f.write_str("WaitForBuyer"),
        }
    }
}

/// Where a payment stands at the gateway. "Partially" is read from the totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentStatus {
    /// Known to the gateway, nothing has happened.
    Created,
    /// The buyer has to do something.
    RequiresAction,
    /// The gateway is at it; also every status of a gateway that we do not know.
    Processing,
    /// Money is reserved.
    Authorised,
    /// Money was taken.
    Captured,
    /// Given up before any money was taken.
    Cancelled,
    /// The gateway said no.
    Failed,
    /// The buyer did not act in time.
    Expired,
}

impl PaymentStatus {
    /// Whether money was taken or none will be, as far as the gateway promises. Late money can still follow `Cancelled` and `Expired`.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Captured | Self::Cancelled | Self::Failed | Self::Expired)
    }
}

/// A payment's sums so far, each absolute, all in the payment's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Reserved at the most so far, including what was captured of it.
    pub authorised: Money,
    /// Taken so far.
    pub captured: Money,
    /// Sent back so far: refunds that succeeded.
    pub refunded: Money,
    /// Held or lost by disputes: those under way and those lost.
    pub disputed: Money,
}

impl Totals {
    /// Nothing yet, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        let zero = Money::zero(currency);
        Self { authorised: zero, captured: zero, refunded: zero, disputed: zero }
    }
}

/// What is known about a payment at one moment. Absolute, so applying it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where it stands.
    pub status: PaymentStatus,
    /// Its sums.
    pub totals: Totals,
    /// The gateway's own word for the status.
    pub raw_status: String,
    /// How the buyer paid, to be shown: "Visa •••• 4242".
    pub method_label: Option<String>,
    /// Why it failed, when it did.
    pub decline: Option<Decline>,
    /// The gateway's instant of the last change.
    pub changed_at: Option<DateTime<Utc>>,
}

/// An attempt that the gateway took up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The gateway's reference.
    pub reference: PaymentRef,
    /// What the buyer does next.
    pub next_action: NextAction,
    /// Where it stands.
    pub snapshot: Snapshot,
}

/// The answer to "do you have this?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// Yes.
    Present(T),
    /// Certainly not, once the gateway's visibility delay has passed.
    Absent,
    /// The gateway cannot tell; nothing follows from it.
    CannotTell,
}

/// A payment found by our own id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The gateway's reference.
    pub reference: PaymentRef,
    /// Where it stands.
    pub snapshot: Snapshot,
}

/// A browser that came back from the gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct ReturnQuery {
    /// The attempt that the return address belongs to.
    pub payment_id: PaymentId,
    /// The gateway's reference, where `start` gave one.
    pub reference: Option<PaymentRef>,
    /// The raw query of the address, without the question mark. Anybody can write it.
    pub query: String,
}

impl fmt::Debug for ReturnQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReturnQuery").field("payment_id", &self.payment_id).field("reference", &self.reference).finish_non_exhaustive()
    }
}
