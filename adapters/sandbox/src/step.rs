//! What happens to a payment after its start: the buyer decides, the bank disputes, a refund fails, staff of the gateway send money back.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Money, PaymentId};
use port::{
    CaptureMode, DeclineCategory, DisputeRef, DisputeSnapshot, DisputeStatus, GatewayError, PaymentStatus, RefundRef, RefundSnapshot,
    RefundStatus, Snapshot,
};
use sea_orm::sqlx::sqlite::SqliteConnection;

use crate::Sandbox;
use crate::state::{self, Payment, Subject};
use crate::token::Token;

/// How long evidence can be given in a dispute.
const EVIDENCE_DAYS: i64 = 7;

/// Something that is done to a payment at the gateway, not by the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The buyer pays. Also of a payment that expired or was cancelled: late money.
    Approve,
    /// The buyer's bank says no.
    Decline,
    /// The buyer did not act in time, or the reserved money is given back.
    Expire,
    /// Staff of the gateway refund so much.
    Refund(Money),
    /// A refund on its way arrives.
    CompleteRefund(RefundRef),
    /// A refund fails, even one that had succeeded.
    FailRefund(RefundRef),
    /// The buyer's bank takes so much back and asks for evidence.
    OpenDispute(Money),
    /// The shop wins a dispute: the money comes back.
    WinDispute(DisputeRef),
    /// The shop loses a dispute.
    LoseDispute(DisputeRef),
}

impl Sandbox {
    /// Does `step` to a payment and writes its event. A step that was done already changes nothing.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for an unknown payment, refund or dispute; [`GatewayError::InvalidRequest`] when the payment's state or sums do
    /// not allow the step.
    pub async fn advance(&self, payment_id: PaymentId, step: Step, now: DateTime<Utc>) -> Result<Snapshot, GatewayError> {
        let mut txn = self.state.begin().await?;
        let payment = state::payment_by_id(&mut txn, self.id(), payment_id).await?.ok_or(GatewayError::NotFound)?;
        let reference = payment.reference.clone();
        self.take_step(&mut txn, payment, step, now).await?;
        let payment = state::payment(&mut txn, self.id(), &reference).await?.ok_or(GatewayError::NotFound)?;
        state::commit(txn, Some(&reference)).await?;
        self.happened.notify_one();
        Ok(payment.snapshot())
    }

    async fn take_step(
        &self,
        connection: &mut SqliteConnection,
        mut payment: Payment,
        step: Step,
        now: DateTime<Utc>,
    ) -> Result<(), GatewayError> {
        match step {
            Step::Approve => match payment.status {
                PaymentStatus::Authorised | PaymentStatus::Captured => Ok(()),
                PaymentStatus::Failed => Err(state_conflict(&payment, "was declined")),
                _ => {
                    payment.book();
                    self.record(connection, &mut payment, now, now).await
                }
            },
            Step::Decline => match payment.status {
                PaymentStatus::Failed => Ok(()),
                PaymentStatus::Created | PaymentStatus::RequiresAction | PaymentStatus::Processing => {
                    payment.status = PaymentStatus::Failed;
                    payment.decline = Some(DeclineCategory::Refused);
                    self.record(connection, &mut payment, now, now).await
                }
                _ => Err(state_conflict(&payment, "cannot be declined any more")),
            },
            Step::Expire => match payment.status {
                PaymentStatus::Expired => Ok(()),
                PaymentStatus::Captured | PaymentStatus::Failed | PaymentStatus::Cancelled => Err(state_conflict(&payment, "is over")),
                _ => {
                    payment.status = PaymentStatus::Expired;
                    self.record(connection, &mut payment, now, now).await
                }
            },
            Step::Refund(amount) => {
                let refund = RefundSnapshot::made(None, amount, RefundStatus::Succeeded, now);
                self.make_refund(connection, &payment, &refund, "made at the gateway", now).await
            }
            Step::CompleteRefund(reference) => {
                let mut refund = find_refund(connection, &payment, &reference).await?;
                match refund.status {
                    RefundStatus::Succeeded => return Ok(()),
                    RefundStatus::Pending => refund.status = RefundStatus::Succeeded,
                    RefundStatus::Failed | RefundStatus::Cancelled => {
                        return Err(state_conflict(&payment, "has this refund failed already"));
                    }
                }
                self.record_refund(connection, &payment, &refund, "", now).await
            }
            Step::FailRefund(reference) => {
                let mut refund = find_refund(connection, &payment, &reference).await?;
                match refund.status {
                    RefundStatus::Failed | RefundStatus::Cancelled => return Ok(()),
                    RefundStatus::Pending | RefundStatus::Succeeded => refund.status = RefundStatus::Failed,
                }
                self.record_refund(connection, &payment, &refund, "", now).await
            }
            Step::OpenDispute(amount) => {
                check_free(&payment, amount)?;
                let dispute = DisputeSnapshot {
                    reference: DisputeRef::new(state::new_reference("sbdis")),
                    status: DisputeStatus::NeedsResponse,
                    amount,
                    reason: "not recognised by the buyer".to_owned(),
                    due_at: Some(now + TimeDelta::days(EVIDENCE_DAYS)),
                    changed_at: Some(now),
                };
                self.record_dispute(connection, &payment, dispute, "dispute.opened", now).await
            }
            Step::WinDispute(reference) => self.decide_dispute(connection, &payment, &reference, DisputeStatus::Won, now).await,
            Step::LoseDispute(reference) => self.decide_dispute(connection, &payment, &reference, DisputeStatus::Lost, now).await,
        }
    }

    async fn decide_dispute(
        &self,
        connection: &mut SqliteConnection,
        payment: &Payment,
        reference: &DisputeRef,
        verdict: DisputeStatus,
        now: DateTime<Utc>,
    ) -> Result<(), GatewayError> {
        let known = state::disputes(connection, payment).await?;
        let mut dispute = known.into_iter().find(|dispute| dispute.reference == *reference).ok_or(GatewayError::NotFound)?;
        if dispute.status == verdict {
            return Ok(());
        }
        if matches!(dispute.status, DisputeStatus::Won | DisputeStatus::Lost) {
            return Err(state_conflict(payment, "has this dispute decided already"));
        }
        dispute.status = verdict;
        let kind = if verdict == DisputeStatus::Won { "dispute.won" } else { "dispute.lost" };
        self.record_dispute(connection, payment, dispute, kind, now).await
    }

    /// Saves a payment whose status changed, with the event that says so.
    pub(crate) async fn record(
        &self,
        connection: &mut SqliteConnection,
        payment: &mut Payment,
        now: DateTime<Utc>,
        due_at: DateTime<Utc>,
    ) -> Result<(), GatewayError> {
        payment.changed_at = now;
        state::save(connection, self.id(), payment).await?;
        let kind = match payment.status {
            PaymentStatus::Authorised => "payment.authorised",
            PaymentStatus::Captured => "payment.captured",
            PaymentStatus::Cancelled => "payment.cancelled",
            PaymentStatus::Failed => "payment.failed",
            PaymentStatus::Expired => "payment.expired",
            // Waiting for the buyer is what `start` answered; there is nothing to report.
            PaymentStatus::Created | PaymentStatus::RequiresAction | PaymentStatus::Processing => return Ok(()),
        };
        state::write_event(connection, self.id(), payment, kind, Subject::Payment, now, due_at).await
    }

    /// Makes a new refund if there is money for it.
    pub(crate) async fn make_refund(
        &self,
        connection: &mut SqliteConnection,
        payment: &Payment,
        refund: &RefundSnapshot,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<(), GatewayError> {
        check_free(payment, refund.amount)?;
        self.record_refund(connection, payment, refund, reason, now).await
    }

    async fn record_refund(
        &self,
        connection: &mut SqliteConnection,
        payment: &Payment,
        refund: &RefundSnapshot,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<(), GatewayError> {
        state::save_refund(connection, self.id(), &payment.reference, refund, reason, now).await?;
        // Read again, so that the event tells the sums with this refund in them.
        let payment = state::payment(connection, self.id(), &payment.reference).await?.ok_or(GatewayError::NotFound)?;
        let kind = match refund.status {
            RefundStatus::Pending => "refund.pending",
            RefundStatus::Succeeded => "refund.succeeded",
            RefundStatus::Failed => "refund.failed",
            RefundStatus::Cancelled => "refund.cancelled",
        };
        state::write_event(connection, self.id(), &payment, kind, Subject::Refund(refund), now, now).await
    }

    async fn record_dispute(
        &self,
        connection: &mut SqliteConnection,
        payment: &Payment,
        dispute: DisputeSnapshot,
        kind: &str,
        now: DateTime<Utc>,
    ) -> Result<(), GatewayError> {
        state::save_dispute(connection, &payment.reference, &dispute, now).await?;
        let payment = state::payment(connection, self.id(), &payment.reference).await?.ok_or(GatewayError::NotFound)?;
        state::write_event(connection, self.id(), &payment, kind, Subject::Dispute(&dispute), now, now).await
    }
}

impl Payment {
    /// The buyer agreed: the money is taken, or reserved where the shop takes it later.
    pub(crate) fn book(&mut self) {
        self.decline = None;
        self.authorised_minor = self.amount.minor;
        if self.token == Token::Authorise || self.capture == CaptureMode::Manual {
            self.status = PaymentStatus::Authorised;
        } else {
            self.status = PaymentStatus::Captured;
            self.captured_minor = self.amount.minor;
        }
    }
}

/// A refund that has just been made.
pub(crate) trait Made {
    fn made(refund_id: Option<domain::RefundId>, amount: Money, status: RefundStatus, now: DateTime<Utc>) -> Self;
}

impl Made for RefundSnapshot {
    fn made(refund_id: Option<domain::RefundId>, amount: Money, status: RefundStatus, now: DateTime<Utc>) -> Self {
        let raw_status = state::word(&status).to_ascii_lowercase();
        Self { reference: RefundRef::new(state::new_reference("sbref")), refund_id, status, amount, raw_status, changed_at: Some(now) }
    }
}

/// Refuses to move more money than is left.
fn check_free(payment: &Payment, amount: Money) -> Result<(), GatewayError> {
    if amount.currency != payment.amount.currency {
        return Err(GatewayError::invalid("amount", format!("the payment is in {}", payment.amount.currency)));
    }
    if amount.minor <= 0 {
        return Err(GatewayError::invalid("amount", "must be more than zero"));
    }
    if amount.minor > payment.free_minor() {
        let left = Money::new(payment.free_minor().max(0), payment.amount.currency);
        return Err(GatewayError::invalid("amount", format!("only {left} of this payment is left")));
    }
    Ok(())
}

async fn find_refund(connection: &mut SqliteConnection, payment: &Payment, reference: &RefundRef) -> Result<RefundSnapshot, GatewayError> {
    let known = state::refunds(connection, payment).await?;
    known.into_iter().find(|refund| refund.reference == *reference).ok_or(GatewayError::NotFound)
}

/// The payment's state does not allow what is asked.
pub(crate) fn state_conflict(payment: &Payment, why: &str) -> GatewayError {
    let status = state::word(&payment.status);
    GatewayError::invalid("payment", format!("a payment that is {status} {why}"))
}
