//! PayPal's words and ours.
//!
//! Always true here: amounts are text at PayPal, with two decimals or none; an amount that has no such text is refused, never rounded. An approved
//! order is not a paid one.

use chrono::{DateTime, Utc};
use domain::{Currency, Money, PaymentId, RefundId};
use port::{
    Decline, DeclineCategory, DisputeRef, DisputeSnapshot, DisputeStatus, GatewayError, PaymentStatus, RefundRef, RefundSnapshot,
    RefundStatus, Snapshot, Totals,
};

use crate::wire::{Amount, Dispute, Movement, Order};

/// The currencies that PayPal takes of everybody.
pub(crate) const CURRENCIES: [&str; 21] = [
    "USD", "EUR", "GBP", "PLN", "AUD", "CAD", "CHF", "CZK", "DKK", "HKD", "HUF", "ILS", "JPY", "MXN", "NOK", "NZD", "PHP", "SEK", "SGD",
    "THB", "TWD",
];

/// Those of which it takes no decimals, whatever ISO 4217 says.
const WHOLE: [&str; 3] = ["HUF", "JPY", "TWD"];

/// An amount as PayPal writes it.
pub(crate) fn amount(money: Money) -> Result<Amount, GatewayError> {
    let currency = money.currency;
    let value = if WHOLE.contains(&currency.code()) {
        let unit = 10_i64.pow(currency.digits());
        if money.minor % unit != 0 {
            return Err(GatewayError::invalid("amount", format!("PayPal takes no fractions of {currency}")));
        }
        (money.minor / unit).to_string()
    } else {
        money.decimal_text()
    };
    Ok(Amount { currency_code: currency.code().to_owned(), value })
}

impl Amount {
    /// The amount in our units.
    pub(crate) fn money(&self) -> Result<Money, GatewayError> {
        let read = || Money::parse(&self.value, Currency::parse(&self.currency_code)?);
        read().map_err(|error| GatewayError::Unavailable(format!("PayPal's amount: {error}").into()))
    }
}

impl Order {
    /// Our payment.
    pub(crate) fn payment_id(&self) -> Option<PaymentId> {
        PaymentId::parse(self.purchase_units.first()?.custom_id.as_deref()?)
    }

    /// What was asked for.
    pub(crate) fn asked(&self) -> Result<Money, GatewayError> {
        let unit = self.purchase_units.first().and_then(|unit| unit.amount.as_ref());
        unit.ok_or_else(|| GatewayError::Unavailable("PayPal's order has no amount".into()))?.money()
    }

    fn movements(&self, which: impl Fn(&crate::wire::Payments) -> &Vec<Movement>) -> Vec<&Movement> {
        self.purchase_units.iter().flat_map(|unit| which(&unit.payments)).collect()
    }

    /// Its authorisations.
    pub(crate) fn authorizations(&self) -> Vec<&Movement> {
        self.movements(|payments| &payments.authorizations)
    }

    /// Its captures.
    pub(crate) fn captures(&self) -> Vec<&Movement> {
        self.movements(|payments| &payments.captures)
    }

    /// Its refunds.
    pub(crate) fn refunds(&self) -> Vec<&Movement> {
        self.movements(|payments| &payments.refunds)
    }

    /// The buyer's page.
    pub(crate) fn page(&self) -> Option<&str> {
        self.links.iter().find(|link| matches!(link.rel.as_str(), "payer-action" | "approve")).map(|link| link.href.as_str())
    }

    /// Whether the buyer has agreed and the money waits for us to take or reserve it.
    pub(crate) fn is_approved(&self) -> bool {
        self.status == "APPROVED" && self.captures().is_empty() && self.authorizations().is_empty()
    }

    /// As it is told, with the disputes of its captures.
    pub(crate) fn snapshot(&self, disputes: &[DisputeSnapshot]) -> Result<Snapshot, GatewayError> {
        let currency = self.asked()?.currency;
        let mut totals = Totals::zero(currency);
        for capture in self.captures().into_iter().filter(|capture| is_taken(capture)) {
            totals.captured = plus(totals.captured, capture.amount.money()?)?;
        }
        for refund in self.refunds().into_iter().filter(|refund| refund_state(refund) == RefundStatus::Succeeded) {
            totals.refunded = plus(totals.refunded, refund.amount.money()?)?;
        }
        for held in self.authorizations().into_iter().filter(|held| is_held(held)) {
            totals.authorised = plus(totals.authorised, held.amount.money()?)?;
        }
        if totals.authorised.minor < totals.captured.minor {
            totals.authorised = totals.captured;
        }
        for dispute in disputes.iter().filter(|dispute| dispute.status.holds_money()) {
            totals.disputed = plus(totals.disputed, dispute.amount)?;
        }
        let (status, raw) = self.state(totals.captured);
        let decline = (status == PaymentStatus::Failed).then(|| Decline::new(DeclineCategory::Refused, raw));
        let moves = self.captures().into_iter().chain(self.authorizations()).chain(self.refunds());
        let changed_at = moves.filter_map(|movement| instant(movement.update_time.as_deref()?)).max();
        Ok(Snapshot { status, totals, raw_status: raw.to_owned(), method_label: Some("PayPal".to_owned()), decline, changed_at })
    }

    /// Where it stands, and PayPal's word for it.
    fn state(&self, captured: Money) -> (PaymentStatus, &str) {
        if captured.minor > 0 {
            return (PaymentStatus::Captured, "CAPTURED");
        }
        let failed = [("DECLINED", PaymentStatus::Failed), ("FAILED", PaymentStatus::Failed)];
        let held = [
            ("CREATED", PaymentStatus::Authorised),
            ("VOIDED", PaymentStatus::Cancelled),
            ("DENIED", PaymentStatus::Failed),
            ("EXPIRED", PaymentStatus::Expired),
        ];
        let (captures, authorizations) = (self.captures(), self.authorizations());
        for (movements, known) in [(captures, failed.as_slice()), (authorizations, held.as_slice())] {
            if let Some(last) = movements.last() {
                let status = known.iter().find(|(theirs, _)| *theirs == last.status).map_or(PaymentStatus::Processing, |(_, ours)| *ours);
                return (status, &last.status);
            }
        }
        let status = match self.status.as_str() {
            "CREATED" | "SAVED" | "PAYER_ACTION_REQUIRED" => PaymentStatus::RequiresAction,
            "VOIDED" => PaymentStatus::Cancelled,
            // APPROVED waits for us; COMPLETED without a movement, and whatever else there may be, waits for more to be known.
            _ => PaymentStatus::Processing,
        };
        (status, &self.status)
    }
}

fn plus(sum: Money, more: Money) -> Result<Money, GatewayError> {
    sum.add(more).map_err(|error| GatewayError::Unavailable(format!("PayPal's amounts do not add up: {error}").into()))
}

fn is_taken(capture: &Movement) -> bool {
    matches!(capture.status.as_str(), "COMPLETED" | "PARTIALLY_REFUNDED" | "REFUNDED")
}

fn is_held(authorization: &Movement) -> bool {
    matches!(authorization.status.as_str(), "CREATED" | "CAPTURED" | "PARTIALLY_CAPTURED" | "PARTIALLY_CREATED")
}

/// Where a refund stands.
pub(crate) fn refund_state(refund: &Movement) -> RefundStatus {
    match refund.status.as_str() {
        "COMPLETED" => RefundStatus::Succeeded,
        "FAILED" => RefundStatus::Failed,
        "CANCELLED" => RefundStatus::Cancelled,
        // Also whatever else there may be: it holds its amount until more is known.
        _ => RefundStatus::Pending,
    }
}

/// A refund as it is told.
pub(crate) fn refund(refund: &Movement) -> Result<RefundSnapshot, GatewayError> {
    Ok(RefundSnapshot {
        reference: RefundRef::new(&refund.id),
        refund_id: refund.invoice_id.as_deref().and_then(RefundId::parse),
        status: refund_state(refund),
        amount: refund.amount.money()?,
        raw_status: refund.status.clone(),
        changed_at: refund.update_time.as_deref().and_then(instant),
    })
}

/// A dispute as it is told.
pub(crate) fn dispute(dispute: &Dispute) -> Result<DisputeSnapshot, GatewayError> {
    let outcome = dispute.dispute_outcome.as_ref().and_then(|outcome| outcome.outcome_code.as_deref());
    let status = match (dispute.status.as_str(), outcome) {
        ("RESOLVED", Some("RESOLVED_BUYER_FAVOUR" | "RESOLVED_BUYER_FAVOR" | "ACCEPTED")) => DisputeStatus::Lost,
        (
            "RESOLVED",
            Some("RESOLVED_SELLER_FAVOUR" | "RESOLVED_SELLER_FAVOR" | "CANCELED_BY_BUYER" | "DENIED" | "RESOLVED_WITH_PAYOUT"),
        ) => DisputeStatus::Won,
        ("RESOLVED", _) => DisputeStatus::UnderReview,
        _ if dispute.dispute_life_cycle_stage.as_deref() == Some("INQUIRY") => DisputeStatus::Inquiry,
        ("OPEN" | "WAITING_FOR_SELLER_RESPONSE", _) => DisputeStatus::NeedsResponse,
        _ => DisputeStatus::UnderReview,
    };
    Ok(DisputeSnapshot {
        reference: DisputeRef::new(&dispute.dispute_id),
        status,
        amount: dispute.dispute_amount.money()?,
        reason: dispute.reason.clone().unwrap_or_default(),
        due_at: dispute.seller_response_due_date.as_deref().and_then(instant),
        changed_at: dispute.update_time.as_deref().and_then(instant),
    })
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.to_utc())
}

/// A refusal to take the money of an approved order that is the buyer's bank's *no*.
pub(crate) fn decline(code: &str) -> Option<DeclineCategory> {
    Some(match code {
        "INSTRUMENT_DECLINED" | "PAYER_ACCOUNT_RESTRICTED" | "PAYER_ACCOUNT_LOCKED_OR_CLOSED" | "CARD_CLOSED" => DeclineCategory::Refused,
        "TRANSACTION_REFUSED" | "PAYER_CANNOT_PAY" | "PAYEE_BLOCKED_TRANSACTION" => DeclineCategory::Generic,
        "CARD_EXPIRED" => DeclineCategory::ExpiredCard,
        "TRANSACTION_LIMIT_EXCEEDED" | "TRANSACTION_AMOUNT_EXCEEDS_MONTHLY_MAX_LIMIT" => DeclineCategory::LimitExceeded,
        "COMPLIANCE_VIOLATION" | "TRANSACTION_BLOCKED_BY_PAYEE" => DeclineCategory::Fraud,
        _ => return None,
    })
}

/// A locale that PayPal's pages have a form for.
pub(crate) fn locale(wanted: Option<&str>) -> Option<&str> {
    let text = wanted?;
    let (language, country) = text.split_once('-').map_or((text, None), |(language, country)| (language, Some(country)));
    let letters = |part: &str, case: fn(&u8) -> bool| part.len() == 2 && part.as_bytes().iter().all(case);
    let known = letters(language, u8::is_ascii_lowercase) && country.is_none_or(|country| letters(country, u8::is_ascii_uppercase));
    known.then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, Currency::parse(code).expect("a currency"))
    }

    fn order(status: &str, payments: Value) -> Order {
        serde_json::from_value(json!({
            "id": "5O190127TN364715T", "status": status, "intent": "CAPTURE", "new": 1,
            "purchase_units": [{ "amount": { "currency_code": "EUR", "value": "100.00" }, "payments": payments }],
        }))
        .expect("an order")
    }

    fn movement(status: &str, value: &str) -> Value {
        json!({ "id": "3C679366HH908993F", "status": status, "amount": { "currency_code": "EUR", "value": value } })
    }

    #[test]
    fn amounts_are_text_with_the_decimals_that_paypal_wants() {
        for (minor, code, text) in
            [(1_250, "EUR", "12.50"), (5, "PLN", "0.05"), (1_200, "JPY", "1200"), (123_400, "HUF", "1234"), (99_900, "TWD", "999")]
        {
            let theirs = amount(money(minor, code)).expect("an amount");
            assert_eq!((theirs.value.as_str(), theirs.money()), (text, Ok(money(minor, code))), "{code}");
        }
        for (minor, code) in [(123_450, "HUF"), (1, "TWD")] {
            assert!(matches!(amount(money(minor, code)), Err(GatewayError::InvalidRequest { field: "amount", .. })), "{code}");
        }
        assert!(CURRENCIES.iter().all(|code| Currency::parse(code).is_ok_and(|currency| currency.digits() <= 2)));
    }

    #[test]
    fn approved_is_not_paid() {
        let told = order("APPROVED", json!({})).snapshot(&[]).expect("a snapshot");
        assert_eq!((told.status, told.totals), (PaymentStatus::Processing, Totals::zero(money(0, "EUR").currency)));
    }

    #[test]
    fn states_become_ours() {
        use PaymentStatus::{Authorised, Cancelled, Captured, Expired, Failed, Processing, RequiresAction};
        for (status, payments, ours, authorised, captured) in [
            ("CREATED", json!({}), RequiresAction, 0, 0),
            ("SAVED", json!({}), RequiresAction, 0, 0),
            ("PAYER_ACTION_REQUIRED", json!({}), RequiresAction, 0, 0),
            ("VOIDED", json!({}), Cancelled, 0, 0),
            ("COMPLETED", json!({}), Processing, 0, 0),
            ("MOON", json!({}), Processing, 0, 0),
            ("COMPLETED", json!({ "captures": [movement("COMPLETED", "100.00")] }), Captured, 10_000, 10_000),
            ("COMPLETED", json!({ "captures": [movement("REFUNDED", "100.00")] }), Captured, 10_000, 10_000),
            ("COMPLETED", json!({ "captures": [movement("PENDING", "100.00")] }), Processing, 0, 0),
            ("COMPLETED", json!({ "captures": [movement("DECLINED", "100.00")] }), Failed, 0, 0),
            ("COMPLETED", json!({ "captures": [movement("MOON", "100.00")] }), Processing, 0, 0),
            ("COMPLETED", json!({ "authorizations": [movement("CREATED", "100.00")] }), Authorised, 10_000, 0),
            ("COMPLETED", json!({ "authorizations": [movement("PENDING", "100.00")] }), Processing, 0, 0),
            ("COMPLETED", json!({ "authorizations": [movement("VOIDED", "100.00")] }), Cancelled, 0, 0),
            ("COMPLETED", json!({ "authorizations": [movement("DENIED", "100.00")] }), Failed, 0, 0),
            ("COMPLETED", json!({ "authorizations": [movement("EXPIRED", "100.00")] }), Expired, 0, 0),
            (
                "COMPLETED",
                json!({ "authorizations": [movement("PARTIALLY_CAPTURED", "100.00")], "captures": [movement("COMPLETED", "40.00")] }),
                Captured,
                10_000,
                4_000,
            ),
        ] {
            let told = order(status, payments.clone()).snapshot(&[]).expect("a snapshot");
            let found = (told.status, told.totals.authorised.minor, told.totals.captured.minor);
            assert_eq!(found, (ours, authorised, captured), "{status} {payments}");
        }
    }

    #[test]
    fn refunds_add_up_once_they_are_made() {
        let refunds =
            json!([movement("COMPLETED", "5.00"), movement("PENDING", "3.00"), movement("FAILED", "1.00"), movement("COMPLETED", "0.09")]);
        let order = order("COMPLETED", json!({ "captures": [movement("PARTIALLY_REFUNDED", "100.00")], "refunds": refunds }));
        assert_eq!(order.snapshot(&[]).expect("a snapshot").totals.refunded, money(509, "EUR"));
    }

    #[test]
    fn disputes_become_ours() {
        use DisputeStatus::{Inquiry, Lost, NeedsResponse, UnderReview, Won};
        for (status, stage, outcome, ours) in [
            ("OPEN", "INQUIRY", json!(null), Inquiry),
            ("WAITING_FOR_SELLER_RESPONSE", "CHARGEBACK", json!(null), NeedsResponse),
            ("UNDER_REVIEW", "CHARGEBACK", json!(null), UnderReview),
            ("OTHER", "ARBITRATION", json!(null), UnderReview),
            ("RESOLVED", "CHARGEBACK", json!({ "outcome_code": "RESOLVED_BUYER_FAVOUR" }), Lost),
            ("RESOLVED", "INQUIRY", json!({ "outcome_code": "ACCEPTED" }), Lost),
            ("RESOLVED", "CHARGEBACK", json!({ "outcome_code": "RESOLVED_SELLER_FAVOUR" }), Won),
            ("RESOLVED", "INQUIRY", json!({ "outcome_code": "CANCELED_BY_BUYER" }), Won),
            ("RESOLVED", "CHARGEBACK", json!({ "outcome_code": "MOON" }), UnderReview),
        ] {
            let theirs: Dispute = serde_json::from_value(json!({
                "dispute_id": "PP-D-1", "status": status, "dispute_life_cycle_stage": stage, "dispute_outcome": outcome,
                "dispute_amount": { "currency_code": "EUR", "value": "3.00" },
            }))
            .expect("a dispute");
            assert_eq!(dispute(&theirs).expect("a snapshot").status, ours, "{status} {stage} {outcome}");
        }
    }

    #[test]
    fn locales_are_told_where_paypal_has_a_form_for_them() {
        for (wanted, told) in [("pl", Some("pl")), ("pl-PL", Some("pl-PL")), ("PL", None), ("zh-Hant-TW", None), ("", None)] {
            assert_eq!(locale(Some(wanted)), told, "{wanted}");
        }
    }
}
