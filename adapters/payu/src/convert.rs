//! PayU's words and ours.
//!
//! Always true here: amounts are hundredths of the currency at PayU, whatever the currency, and it takes only currencies that have them.

use chrono::{DateTime, Utc};
use domain::{Currency, Money, PaymentId, RefundId};
use port::{GatewayError, PaymentStatus, RefundRef, RefundSnapshot, RefundStatus, Snapshot, Totals};

use crate::wire::{Order, Refund, Verdict};

/// The currencies that PayU takes; each has hundredths, in ISO 4217 as at the gateway.
pub(crate) const CURRENCIES: [&str; 12] = ["PLN", "EUR", "USD", "GBP", "CZK", "HUF", "RON", "CHF", "DKK", "NOK", "SEK", "UAH"];

/// What a verdict means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It was done.
    Done,
    /// There is an order with our id already.
    Duplicate,
    /// There is no such object.
    NotFound,
    /// We are not known.
    Auth,
    /// Our data, or the state of the object.
    Refused,
    /// It says nothing about whether anything was done.
    Unclear,
}

impl Verdict {
    /// What it means.
    pub(crate) fn meaning(&self) -> Meaning {
        match self.status_code.as_str() {
            "SUCCESS" | "WARNING_CONTINUE_REDIRECT" | "WARNING_CONTINUE_3DS" | "WARNING_CONTINUE_CVV" => Meaning::Done,
            "ERROR_ORDER_NOT_UNIQUE" => Meaning::Duplicate,
            "DATA_NOT_FOUND" | "ERROR_ORDER_NOT_EXISTS" => Meaning::NotFound,
            "UNAUTHORIZED" | "UNAUTHORIZED_REQUEST" | "ERROR_UNKNOWN_MERCHANT_POS" => Meaning::Auth,
            "ERROR_INTERNAL" | "GENERAL_ERROR" | "TIMEOUT" | "SERVICE_NOT_AVAILABLE" => Meaning::Unclear,
            "BUSINESS_ERROR" => Meaning::Refused,
            code if code.starts_with("ERROR_") || code.starts_with("OPENPAYU_") => Meaning::Refused,
            _ => Meaning::Unclear,
        }
    }

    /// For operators.
    pub(crate) fn words(&self) -> String {
        [Some(self.status_code.as_str()), self.code_literal.as_deref(), self.status_desc.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(": ")
    }
}

impl Order {
    /// Its amount.
    pub(crate) fn money(&self) -> Result<Money, GatewayError> {
        let currency = Currency::parse(&self.currency_code).map_err(|error| GatewayError::Unavailable(error.to_string().into()))?;
        Ok(Money::new(self.total_amount, currency))
    }

    /// Where it stands. A state that nobody knows is "in the works".
    pub(crate) fn state(&self) -> PaymentStatus {
        match self.status.as_str() {
            "NEW" => PaymentStatus::RequiresAction,
            "WAITING_FOR_CONFIRMATION" => PaymentStatus::Authorised,
            "COMPLETED" => PaymentStatus::Captured,
            "CANCELED" => PaymentStatus::Cancelled,
            _ => PaymentStatus::Processing,
        }
    }

    /// How far it is, so that of a report and a reading that lags behind it the newer one counts. COMPLETED stays: nothing after it matters.
    pub(crate) fn rank(&self) -> u8 {
        match self.state() {
            PaymentStatus::Captured => 4,
            PaymentStatus::Cancelled => 3,
            PaymentStatus::Authorised => 2,
            PaymentStatus::Processing => 1,
            _ => 0,
        }
    }

    /// Our payment.
    pub(crate) fn payment_id(&self) -> Option<PaymentId> {
        PaymentId::parse(self.ext_order_id.as_deref()?)
    }

    /// As it is told.
    pub(crate) fn snapshot(&self, refunds: &[Refund]) -> Result<Snapshot, GatewayError> {
        let money = self.money()?;
        let (status, mut totals) = (self.state(), Totals::zero(money.currency));
        if matches!(status, PaymentStatus::Authorised | PaymentStatus::Captured) {
            totals.authorised = money;
        }
        if status == PaymentStatus::Captured {
            totals.captured = money;
            totals.refunded.minor =
                refunds.iter().filter(|refund| refund.state() == RefundStatus::Succeeded).map(|refund| refund.amount).sum();
        }
        let method_label = self.pay_method.as_ref().and_then(|method| method.kind.clone());
        Ok(Snapshot { status, totals, raw_status: self.status.clone(), method_label, decline: None, changed_at: None })
    }
}

impl Refund {
    /// Where it stands.
    pub(crate) fn state(&self) -> RefundStatus {
        match self.status.as_str() {
            "FINALIZED" => RefundStatus::Succeeded,
            "CANCELED" => RefundStatus::Failed,
            // Also whatever else there may be: it holds its amount until more is known.
            _ => RefundStatus::Pending,
        }
    }

    /// As it is told.
    pub(crate) fn snapshot(&self, currency: Currency) -> RefundSnapshot {
        RefundSnapshot {
            reference: RefundRef::new(&self.refund_id),
            refund_id: self.ext_refund_id.as_deref().and_then(RefundId::parse),
            status: self.state(),
            amount: Money::new(self.amount, currency),
            raw_status: self.status.clone(),
            changed_at: self.status_date_time.as_deref().and_then(instant),
        }
    }
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.to_utc())
}

/// A language of PayU's pages: the first part of the buyer's, which it falls back from by itself.
pub(crate) fn language(wanted: Option<&str>) -> String {
    let short = wanted.unwrap_or("en").split(['-', '_']).next().unwrap_or("en").to_ascii_lowercase();
    if short.len() == 2 && short.bytes().all(|byte| byte.is_ascii_lowercase()) { short } else { "en".to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(status: &str) -> Order {
        serde_json::from_value(json!({
            "orderId": "WZHF5FFDRJ140731GUEST000P01", "extOrderId": "another-shop", "currencyCode": "HUF", "totalAmount": "21000",
            "status": status, "buyer": { "email": "buyer@learner.example" }, "payMethod": { "type": "PBL" },
        }))
        .expect("an order")
    }

    #[test]
    fn each_currency_of_the_gateway_has_hundredths() {
        for code in CURRENCIES {
            assert_eq!(Currency::parse(code).expect("a currency").digits(), 2, "{code}");
        }
    }

    #[test]
    fn states_become_ours_and_an_unknown_one_is_in_the_works() {
        for (theirs, ours, authorised, captured) in [
            ("NEW", PaymentStatus::RequiresAction, 0, 0),
            ("PENDING", PaymentStatus::Processing, 0, 0),
            ("WAITING_FOR_CONFIRMATION", PaymentStatus::Authorised, 21_000, 0),
            ("COMPLETED", PaymentStatus::Captured, 21_000, 21_000),
            ("CANCELED", PaymentStatus::Cancelled, 0, 0),
            ("REJECTED", PaymentStatus::Processing, 0, 0),
            ("moon", PaymentStatus::Processing, 0, 0),
        ] {
            let told = order(theirs).snapshot(&[]).expect("a snapshot");
            assert_eq!((told.status, told.totals.authorised.minor, told.totals.captured.minor), (ours, authorised, captured), "{theirs}");
        }
    }

    #[test]
    fn a_notification_is_kept_without_the_buyer() {
        let kept = serde_json::to_string(&order("COMPLETED")).expect("JSON");
        assert!(!kept.contains("learner"), "{kept}");
    }

    #[test]
    fn verdicts_are_sorted_by_what_they_prove() {
        for (code, meaning) in [
            ("SUCCESS", Meaning::Done),
            ("WARNING_CONTINUE_REDIRECT", Meaning::Done),
            ("ERROR_ORDER_NOT_UNIQUE", Meaning::Duplicate),
            ("DATA_NOT_FOUND", Meaning::NotFound),
            ("UNAUTHORIZED", Meaning::Auth),
            ("ERROR_VALUE_INVALID", Meaning::Refused),
            ("BUSINESS_ERROR", Meaning::Refused),
            ("OPENPAYU_BUSINESS_ERROR", Meaning::Refused),
            ("SERVICE_NOT_AVAILABLE", Meaning::Unclear),
            ("MOON", Meaning::Unclear),
        ] {
            let verdict: Verdict = serde_json::from_value(json!({ "statusCode": code, "new": 1 })).expect("a verdict");
            assert_eq!(verdict.meaning(), meaning, "{code}");
        }
    }

    #[test]
    fn refunds_add_up_once_they_are_final() {
        let refund = |status: &str, amount: i64| -> Refund {
            serde_json::from_value(json!({ "refundId": "5000000142", "amount": amount, "status": status })).expect("a refund")
        };
        let refunds = [refund("FINALIZED", 500), refund("PENDING", 300), refund("CANCELED", 70), refund("moon", 20)];
        assert_eq!(order("COMPLETED").snapshot(&refunds).expect("a snapshot").totals.refunded.minor, 500);
        use RefundStatus::{Failed, Pending, Succeeded};
        assert_eq!(refunds.iter().map(Refund::state).collect::<Vec<_>>(), [Succeeded, Pending, Failed, Pending]);
    }
}
