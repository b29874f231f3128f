//! What an operator should look at among the payments.

use async_graphql::{Context, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::error::{answer, scope};
use super::scalar::named_enum;

named_enum! {
    /// Why an operator should look at a payment.
    PaymentProblemKind(domain::reconciliation::ProblemKind)
}

/// A payment that an operator should look at.
#[derive(Debug, Clone, SimpleObject)]
pub struct PaymentProblem {
    /// Why.
    pub kind: PaymentProblemKind,
    /// The payment.
    pub payment_id: ID,
    /// Its order.
    pub order_id: ID,
    /// The order's number.
    pub order_number: String,
    /// The facts, in English.
    pub detail: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Queries.
#[derive(Debug, Default)]
pub struct ReconciliationQuery;

#[Object]
impl ReconciliationQuery {
    /// Payments that an operator should look at: money that is not what was asked for, answers that were lost, refunds that failed, disputes that
    /// are open or were lost lately, and what the nightly comparison with the gateways found. At most 100 of each kind. Empty in a healthy shop.
    async fn payment_problems(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<PaymentProblem>> {
        let (app, caller) = scope(ctx)?;
        let found = answer(app.payment_problems(caller).await)?;
        Ok(found
            .into_iter()
            .map(|problem| PaymentProblem {
                kind: problem.kind.into(),
                payment_id: problem.payment.into(),
                order_id: problem.order.into(),
                order_number: problem.number,
                detail: problem.detail,
                since: problem.since,
            })
            .collect())
    }
}
