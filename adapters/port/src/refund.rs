//! Money on its way back: refunds, disputes, and the facts that a gateway reports about any of it.

use chrono::{DateTime, Utc};
use domain::{Money, PaymentId, RefundId};
use serde::{Deserialize, Serialize};

use crate::payment::{PaymentRef, Snapshot, reference};

reference! {
    /// The gateway's reference of a refund.
    RefundRef
}
reference! {
    /// The gateway's reference of a dispute.
    DisputeRef
}

/// A refund that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// Our refund: the operation id of this write.
    pub refund_id: RefundId,
    /// The payment to refund from.
    pub payment: PaymentRef,
    /// How much.
    pub amount: Money,
    /// Why, for the gateway's records.
    pub reason: String,
}

/// Which refund is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundQuery {
    /// Our refund.
    pub refund_id: RefundId,
    /// The payment that it belongs to.
    pub payment: PaymentRef,
    /// The gateway's reference, unless the refund's own outcome is unknown.
    pub reference: Option<RefundRef>,
}

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefundStatus {
    /// On its way; its amount is not available for other refunds.
    Pending,
    /// The buyer has the money. Some gateways still let it fail later.
    Succeeded,
    /// It did not reach the buyer; its amount is available again.
    Failed,
    /// Called back before it was sent; its amount is available again.
    Cancelled,
}

/// What is known about a refund at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundSnapshot {
    /// The gateway's reference.
    pub reference: RefundRef,
    /// Our refund; `None` for one that was made at the gateway.
    pub refund_id: Option<RefundId>,
    /// Where it stands.
    pub status: RefundStatus,
    /// How much.
    pub amount: Money,
    /// The gateway's own word for the status.
    pub raw_status: String,
    /// The gateway's instant of the last change.
    pub changed_at: Option<DateTime<Utc>>,
}

/// Where a dispute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DisputeStatus {
    /// A question by the bank; no money has moved.
    Inquiry,
    /// Money was taken back; evidence is awaited.
    NeedsResponse,
    /// The bank decides.
    UnderReview,
    /// The money came back.
    Won,
    /// The money is gone.
    Lost,
}

impl DisputeStatus {
    /// Whether the disputed amount is out of the shop's hands in this status.
    pub const fn holds_money(self) -> bool {
        matches!(self, Self::NeedsResponse | Self::UnderReview | Self::Lost)
    }
}

/// What is known about a dispute at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisputeSnapshot {
    /// The gateway's reference.
    pub reference: DisputeRef,
    /// Where it stands.
    pub status: DisputeStatus,
    /// How much is disputed.
    pub amount: Money,
    /// The gateway's reason.
    pub reason: String,
    /// Until when evidence can be given.
    pub due_at: Option<DateTime<Utc>>,
    /// The gateway's instant of the last change.
    pub changed_at: Option<DateTime<Utc>>,
}

/// A fact about a payment, in absolute terms: "captured is now X", "refund R succeeded". Hearing it twice, or late, is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Observation {
    /// The payment itself.
    Payment {
        /// The gateway's reference.
        reference: PaymentRef,
        /// Our attempt, where the gateway says which; the report may come before the answer to `start`.
        payment_id: Option<PaymentId>,
        /// What is known.
        snapshot: Snapshot,
    },
    /// One of its refunds.
    Refund {
        /// The payment's reference.
        payment: PaymentRef,
        /// What is known.
        refund: RefundSnapshot,
    },
    /// One of its disputes.
    Dispute {
        /// The payment's reference.
        payment: PaymentRef,
        /// What is known.
        dispute: DisputeSnapshot,
    },
}
