//! Comparing the shop's books with a gateway's, payment by payment, and what an operator should look at.
//!
//! Always true here: the shop's books are the left side; a refund under way may or may not be in the gateway's sums yet, so it is no difference.

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::payment::{PaymentState, PaymentStatus};

named! {
    /// What differs between the shop's books and the gateway's.
    pub enum DifferenceKind {
        /// The gateway does not know a payment with money in it.
        MissingAtGateway = "MISSING_AT_GATEWAY",
        /// One side says that money is there or reserved, the other that it is over.
        StatusDiffers = "STATUS_DIFFERS",
        /// Another sum was captured.
        CapturedDiffers = "CAPTURED_DIFFERS",
        /// Another sum was sent back.
        RefundedDiffers = "REFUNDED_DIFFERS",
        /// Another sum is disputed.
        DisputedDiffers = "DISPUTED_DIFFERS",
    }
}

named! {
    /// Why an operator should look at a payment.
    pub enum ProblemKind {
        /// Money of another amount or currency came than was asked for, or went back before the order was paid.
        NeedsReview = "NEEDS_REVIEW",
        /// The answer of the gateway was lost a while ago, and asking has not told what became of it.
        OutcomeUnknown = "OUTCOME_UNKNOWN",
        /// A refund did not reach the buyer, and none was made in its place.
        RefundFailed = "REFUND_FAILED",
        /// The buyer's bank asks for money back, or took it lately.
        Disputed = "DISPUTED",
        /// The nightly comparison found other figures at the gateway.
        DiffersFromGateway = "DIFFERS_FROM_GATEWAY",
    }
}

/// One difference, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// What the shop has.
    pub ours: String,
    /// What the gateway says.
    pub theirs: String,
}

/// What a gateway says of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theirs {
    /// Where it stands.
    pub status: PaymentStatus,
    /// Captured in all.
    pub captured: Money,
    /// Sent back in all.
    pub refunded: Money,
    /// Disputed in all; `None` where the gateway does not tell.
    pub disputed: Option<Money>,
}

/// What differs; `theirs` is `None` where the gateway does not know the payment, `refunding` is the sum of refunds under way.
pub fn compare(ours: &PaymentState, refunding: Money, theirs: Option<&Theirs>) -> Vec<Difference> {
    let totals = &ours.totals;
    let difference = |kind, ours: String, theirs: String| Difference { kind, ours, theirs };
    let Some(theirs) = theirs else {
        // What nobody paid is forgotten by some gateways, and that is no difference.
        let money = matches!(ours.status, PaymentStatus::Authorised | PaymentStatus::Captured) || !totals.captured.is_zero();
        return if money {
            vec![difference(DifferenceKind::MissingAtGateway, ours.status.to_string(), "unknown".to_owned())]
        } else {
            Vec::new()
        };
    };
    let mut found = Vec::new();
    if contradicts(ours.status, theirs.status) {
        found.push(difference(DifferenceKind::StatusDiffers, ours.status.to_string(), theirs.status.to_string()));
    }
    if totals.captured != theirs.captured {
        found.push(difference(DifferenceKind::CapturedDiffers, totals.captured.to_string(), theirs.captured.to_string()));
    }
    let same_currency = totals.refunded.currency == theirs.refunded.currency;
    let at_most = totals.refunded.minor.saturating_add(refunding.minor);
    if same_currency && !(totals.refunded.minor..=at_most).contains(&theirs.refunded.minor) {
        found.push(difference(DifferenceKind::RefundedDiffers, totals.refunded.to_string(), theirs.refunded.to_string()));
    }
    if let Some(disputed) = theirs.disputed.filter(|disputed| *disputed != totals.disputed) {
        found.push(difference(DifferenceKind::DisputedDiffers, totals.disputed.to_string(), disputed.to_string()));
    }
    found
}

/// Whether one side says that money is there or reserved, and the other that it is over or has not begun. A payment that the shop gave up may
/// well be open at a gateway that cannot call it off.
const fn contradicts(ours: PaymentStatus, theirs: PaymentStatus) -> bool {
    use PaymentStatus::{Authorised, Cancelled, Captured, Created, Expired, Failed, RequiresAction};
    matches!(
        (ours, theirs),
        (Captured | Authorised, Created | RequiresAction | Failed | Cancelled | Expired)
            | (Cancelled | Failed | Expired, Authorised | Captured)
            | (Captured, Authorised)
    )
}

#[cfg(test)]
mod tests {
    use DifferenceKind::{CapturedDiffers, DisputedDiffers, MissingAtGateway, RefundedDiffers, StatusDiffers};
    use PaymentStatus::{Authorised, Cancelled, Captured, Expired, Failed, Processing, RequiresAction, Unknown};

    use super::*;
    use crate::money::Currency;
    use crate::payment::Totals;

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::parse("USD").expect("a currency"))
    }

    fn ours(status: PaymentStatus, captured: i64, refunded: i64, disputed: i64) -> PaymentState {
        let none = Totals::none(usd(0).currency);
        let totals =
            Totals { authorised: usd(captured), captured: usd(captured), refunded: usd(refunded), disputed: usd(disputed), ..none };
        PaymentState { status, totals, ..PaymentState::created(usd(2_000)) }
    }

    fn theirs(status: PaymentStatus, captured: i64, refunded: i64, disputed: Option<i64>) -> Theirs {
        Theirs { status, captured: usd(captured), refunded: usd(refunded), disputed: disputed.map(usd) }
    }

    fn check(ours: &PaymentState, refunding: i64, theirs: Option<&Theirs>, expected: &[DifferenceKind]) {
        let found: Vec<_> = compare(ours, usd(refunding), theirs).into_iter().map(|difference| difference.kind).collect();
        assert_eq!(found, expected, "{ours:?} and {theirs:?}");
    }

    #[test]
    fn the_same_figures_are_no_difference() {
        check(&ours(Captured, 2_000, 500, 0), 0, Some(&theirs(Captured, 2_000, 500, Some(0))), &[]);
        check(&ours(Cancelled, 0, 0, 0), 0, Some(&theirs(RequiresAction, 0, 0, None)), &[]);
        check(&ours(RequiresAction, 0, 0, 0), 0, Some(&theirs(Processing, 0, 0, None)), &[]);
        check(&ours(Unknown, 0, 0, 0), 0, Some(&theirs(RequiresAction, 0, 0, None)), &[]);
        check(&ours(Captured, 2_000, 0, 300), 0, Some(&theirs(Captured, 2_000, 0, None)), &[]);
    }

    #[test]
    fn a_refund_under_way_is_on_either_side_of_it() {
        for refunded in [500, 800, 1_000] {
            check(&ours(Captured, 2_000, 500, 0), 500, Some(&theirs(Captured, 2_000, refunded, None)), &[]);
        }
        for refunded in [499, 1_001] {
            check(&ours(Captured, 2_000, 500, 0), 500, Some(&theirs(Captured, 2_000, refunded, None)), &[RefundedDiffers]);
        }
    }

    #[test]
    fn other_figures_are_differences() {
        check(&ours(Captured, 2_000, 0, 0), 0, Some(&theirs(Captured, 1_500, 0, None)), &[CapturedDiffers]);
        check(&ours(Captured, 2_000, 0, 0), 0, Some(&theirs(Cancelled, 0, 0, None)), &[StatusDiffers, CapturedDiffers]);
        check(&ours(Cancelled, 0, 0, 0), 0, Some(&theirs(Authorised, 0, 0, None)), &[StatusDiffers]);
        check(&ours(Expired, 0, 0, 0), 0, Some(&theirs(Captured, 2_000, 0, None)), &[StatusDiffers, CapturedDiffers]);
        check(&ours(Captured, 2_000, 0, 0), 0, Some(&theirs(Captured, 2_000, 0, Some(700))), &[DisputedDiffers]);
    }

    #[test]
    fn what_the_gateway_does_not_know_matters_only_where_money_is() {
        check(&ours(Captured, 2_000, 0, 0), 0, None, &[MissingAtGateway]);
        check(&ours(Authorised, 0, 0, 0), 0, None, &[MissingAtGateway]);
        for status in [Failed, Expired, RequiresAction, Unknown] {
            check(&ours(status, 0, 0, 0), 0, None, &[]);
        }
    }

    #[test]
    fn another_currency_shows_in_what_was_captured() {
        let mut euro = theirs(Captured, 2_000, 0, None);
        let currency = Currency::parse("EUR").expect("a currency");
        (euro.captured.currency, euro.refunded.currency) = (currency, currency);
        let found = compare(&ours(Captured, 2_000, 0, 0), usd(0), Some(&euro));
        assert_eq!(found.iter().map(|difference| difference.kind).collect::<Vec<_>>(), [CapturedDiffers]);
        assert!(found[0].theirs.contains("EUR"), "{found:?}");
    }
}
