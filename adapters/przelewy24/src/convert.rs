//! Przelewy24's words and ours.
//!
//! Always true here: amounts are hundredths of the currency at Przelewy24, whatever the currency, and it takes only currencies that have them.

use domain::{Currency, Money, PaymentId, RefundId};
use port::{GatewayError, PaymentRef, PaymentStatus, RefundRef, RefundSnapshot, RefundStatus, Snapshot, Totals};

use crate::wire::{Refund, Transaction, whole};

/// The currencies that Przelewy24 takes; each has hundredths, in ISO 4217 as at the gateway.
pub(crate) const CURRENCIES: [&str; 11] = ["PLN", "EUR", "GBP", "USD", "CZK", "CHF", "DKK", "HUF", "NOK", "RON", "SEK"];

/// What the shop asked for. It is the payment's reference, so that a payment is verified with the shop's own values, never with those of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) payment_id: PaymentId,
    pub(crate) amount: Money,
}

impl Asked {
    /// `PAYMENT:MINOR:CURRENCY`.
    pub(crate) fn reference(self) -> PaymentRef {
        PaymentRef::new(format!("{}:{}:{}", self.payment_id, self.amount.minor, self.amount.currency))
    }

    /// Reads a reference again; `None` for one that is none of ours.
    pub(crate) fn read(reference: &PaymentRef) -> Option<Self> {
        let mut parts = reference.as_str().splitn(3, ':');
        let payment_id = PaymentId::parse(parts.next()?)?;
        let minor = parts.next()?.parse().ok()?;
        let currency = Currency::parse(parts.next()?).ok()?;
        Some(Self { payment_id, amount: Money::new(minor, currency) })
    }

    /// The session's id at the gateway: letters, digits and `_` only, on which all who sign agree.
    pub(crate) fn session(self) -> String {
        self.payment_id.to_string()
    }
}

/// How far a payment is at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody has paid.
    Unpaid,
    /// The buyer has paid, the money waits for our verification.
    Advance,
    /// Verified: the money is the shop's.
    Made,
    /// Sent back.
    Returned,
    /// Whatever this is.
    Other,
}

impl Transaction {
    /// How far it is.
    pub(crate) fn stage(&self) -> Stage {
        match whole(&self.status) {
            Some(0) => Stage::Unpaid,
            Some(1) => Stage::Advance,
            Some(2) => Stage::Made,
            Some(3) => Stage::Returned,
            _ => Stage::Other,
        }
    }

    /// Its amount.
    pub(crate) fn money(&self) -> Result<Money, GatewayError> {
        let currency = Currency::parse(&self.currency).map_err(|error| GatewayError::Unavailable(error.to_string().into()))?;
        Ok(Money::new(self.amount, currency))
    }
}

/// A payment of which `asked` was asked.
pub(crate) fn snapshot(asked: Asked, transaction: &Transaction, refunds: &[Refund]) -> Result<Snapshot, GatewayError> {
    let paid = transaction.money()?;
    let mut totals = Totals::zero(asked.amount.currency);
    let status = match transaction.stage() {
        Stage::Unpaid => PaymentStatus::RequiresAction,
        // Money that is not what was asked for is never verified; told as reserved, it is for staff to look at.
        Stage::Advance if paid != asked.amount => {
            totals = Totals::zero(paid.currency);
            totals.authorised = paid;
            PaymentStatus::Authorised
        }
        Stage::Advance | Stage::Other => PaymentStatus::Processing,
        stage @ (Stage::Made | Stage::Returned) => {
            totals = Totals::zero(paid.currency);
            (totals.authorised, totals.captured) = (paid, paid);
            let listed = refunds.iter().filter(|refund| refund.state() == RefundStatus::Succeeded).map(|refund| refund.amount).sum();
            // Returned without a list of refunds: by the gateway's staff, and whole.
            totals.refunded.minor = if stage == Stage::Returned && refunds.is_empty() { paid.minor } else { listed };
            PaymentStatus::Captured
        }
    };
    let raw_status = whole(&transaction.status).map_or_else(|| transaction.status.to_string(), |status| status.to_string());
    Ok(Snapshot { status, totals, raw_status, method_label: None, decline: None, changed_at: None })
}

impl Refund {
    /// Where it stands.
    pub(crate) fn state(&self) -> RefundStatus {
        match whole(&self.status) {
            Some(1) => RefundStatus::Succeeded,
            Some(4) => RefundStatus::Failed,
            // 2 is under way, 3 awaits acceptance; whatever else there may be holds its amount until more is known.
            _ => RefundStatus::Pending,
        }
    }

    /// Its reference: the request's id, which is our refund's; the gateway's own number where it was made there.
    pub(crate) fn reference(&self) -> RefundRef {
        match self.request_id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => RefundRef::new(id),
            None => RefundRef::new(whole(&self.batch_id).map_or_else(|| self.batch_id.to_string(), |number| format!("batch-{number}"))),
        }
    }

    /// As it is told.
    pub(crate) fn snapshot(&self, currency: Currency) -> RefundSnapshot {
        RefundSnapshot {
            reference: self.reference(),
            refund_id: self.request_id.as_deref().and_then(RefundId::parse),
            status: self.state(),
            amount: Money::new(self.amount, currency),
            raw_status: whole(&self.status).map_or_else(|| self.status.to_string(), |status| status.to_string()),
            changed_at: None,
        }
    }
}

/// A language of the gateway's pages: the buyer's, or English.
pub(crate) fn language(wanted: Option<&str>) -> &'static str {
    const PAGES: [&str; 15] = ["bg", "cs", "de", "en", "es", "fr", "hr", "hu", "it", "nl", "pl", "pt", "se", "sk", "ro"];
    let short = wanted.unwrap_or("en").split(['-', '_']).next().unwrap_or("en").to_ascii_lowercase();
    // The gateway writes Swedish as the country.
    let short = if short == "sv" { "se" } else { short.as_str() };
    PAGES.into_iter().find(|page| *page == short).unwrap_or("en")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, Currency::parse(code).expect("a currency"))
    }

    fn asked() -> Asked {
        Asked { payment_id: PaymentId::parse("pay_01h455vb4pex5vsknk084sn02q").expect("an id"), amount: money(1999, "PLN") }
    }

    fn transaction(status: serde_json::Value, amount: i64, currency: &str) -> Transaction {
        serde_json::from_value(json!({ "orderId": "77", "status": status, "amount": amount.to_string(), "currency": currency, "new": {} }))
            .expect("a transaction")
    }

    #[test]
    fn each_currency_of_the_gateway_has_hundredths() {
        for code in CURRENCIES {
            assert_eq!(Currency::parse(code).expect("a currency").digits(), 2, "{code}");
        }
    }

    #[test]
    fn a_reference_says_what_was_asked_for() {
        assert_eq!(Asked::read(&asked().reference()), Some(asked()));
        assert!(asked().session().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        for other in ["", "nobody-has-this", "pay_01h455vb4pex5vsknk084sn02q", "pay_01h455vb4pex5vsknk084sn02q:x:PLN"] {
            assert_eq!(Asked::read(&PaymentRef::new(other)), None, "{other}");
        }
    }

    #[test]
    fn stages_become_our_states() {
        let state = |status: serde_json::Value| snapshot(asked(), &transaction(status, 1999, "PLN"), &[]).expect("a snapshot");
        for (status, ours, captured) in [
            (json!(0), PaymentStatus::RequiresAction, 0),
            (json!(1), PaymentStatus::Processing, 0),
            (json!(2), PaymentStatus::Captured, 1999),
            (json!("2"), PaymentStatus::Captured, 1999),
            (json!(3), PaymentStatus::Captured, 1999),
            (json!(9), PaymentStatus::Processing, 0),
            (json!("odd"), PaymentStatus::Processing, 0),
            (json!(null), PaymentStatus::Processing, 0),
        ] {
            let told = state(status.clone());
            assert_eq!((told.status, told.totals.captured.minor), (ours, captured), "{status}");
        }
        assert_eq!(state(json!(3)).totals.refunded.minor, 1999, "returned by the gateway's staff");
    }

    #[test]
    fn another_amount_or_currency_is_told_and_never_as_captured_before_it_is_verified() {
        for (amount, currency) in [(1998, "PLN"), (1999, "EUR")] {
            let told = snapshot(asked(), &transaction(json!(1), amount, currency), &[]).expect("a snapshot");
            assert_eq!((told.status, told.totals.authorised), (PaymentStatus::Authorised, money(amount, currency)));
        }
    }

    #[test]
    fn refunds_add_up_once_they_are_made() {
        let refund = |status: i64, amount: i64| -> Refund {
            serde_json::from_value(json!({ "batchId": 5, "requestId": "", "status": status, "amount": amount })).expect("a refund")
        };
        let refunds = [refund(1, 500), refund(2, 300), refund(3, 100), refund(4, 70), refund(1, 9)];
        let told = snapshot(asked(), &transaction(json!(2), 1999, "PLN"), &refunds).expect("a snapshot");
        assert_eq!(told.totals.refunded.minor, 509);
        let states: Vec<_> = refunds.iter().map(Refund::state).collect();
        use RefundStatus::{Failed, Pending, Succeeded};
        assert_eq!(states, [Succeeded, Pending, Pending, Failed, Succeeded]);
        assert_eq!(refunds[0].snapshot(asked().amount.currency).reference.as_str(), "batch-5");
        assert_eq!(refund(7, 1).state(), Pending, "an unknown state frees nothing");
    }

    #[test]
    fn pages_come_in_the_buyers_language_where_there_is_one() {
        for (wanted, page) in
            [(Some("pl-PL"), "pl"), (Some("sv"), "se"), (Some("ja"), "en"), (Some("uk-UA"), "en"), (None, "en"), (Some("DE_at"), "de")]
        {
            assert_eq!(language(wanted), page, "{wanted:?}");
        }
    }
}
