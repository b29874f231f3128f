//! Theirs to ours and back: amounts in Stripe's units, its words for what went wrong, its statuses.
//!
//! Always true here: a conversion of an amount is exact or refused. A status that nobody documents is "processing", never an end.

use domain::{Currency, Money};
use port::{Decline, DeclineCategory, DisputeStatus, GatewayError, PaymentStatus, RefundStatus};

/// Largest amount of one payment, in Stripe's units: eight digits.
pub(crate) const MAX: i64 = 99_999_999;

/// The currencies that Stripe presents, as far as ISO 4217 still lists them.
const TAKEN: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CVE CZK \
                     DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD JPY KES KGS KHR KMF \
                     KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN \
                     PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TND TOP TRY TTD TWD TZS UAH UGX \
                     USD UYU UZS VND VUV WST XAF XCD XOF XPF YER ZAR ZMW";

/// Those that Stripe counts in whole units.
const WHOLE: &str = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF";

/// Those that Stripe counts in thousandths, in tens of them.
const THOUSANDTHS: &str = "BHD JOD KWD OMR TND";

/// Those that have no fractions any more and are sent in hundredths all the same, always with 00 at the end.
const PADDED: &str = "ISK UGX";

/// The currencies that Stripe takes.
pub(crate) fn presented() -> Vec<&'static str> {
    TAKEN.split_whitespace().collect()
}

/// How many decimals Stripe's numbers of a currency have, and of what they are multiples.
fn unit(currency: Currency) -> (u32, i64) {
    let listed = |list: &str| list.split_whitespace().any(|code| code == currency.code());
    if listed(WHOLE) {
        (0, 1)
    } else if listed(THOUSANDTHS) {
        (3, 10)
    } else if listed(PADDED) {
        (2, 100)
    } else {
        (2, 1)
    }
}

/// An amount as Stripe counts it.
pub(crate) fn to_stripe(amount: Money) -> Result<i64, GatewayError> {
    let (digits, multiple) = unit(amount.currency);
    let own = amount.currency.digits();
    let number = if digits >= own {
        amount.minor.checked_mul(10_i64.pow(digits - own))
    } else {
        let divisor = 10_i64.pow(own - digits);
        (amount.minor % divisor == 0).then(|| amount.minor / divisor)
    };
    match number {
        Some(number) if number <= 0 => Err(GatewayError::invalid("amount", "must be more than zero")),
        Some(number) if number > MAX => Err(GatewayError::invalid("amount", format!("{amount} is more than Stripe takes at once"))),
        Some(number) if number % multiple == 0 => Ok(number),
        _ => {
            Err(GatewayError::invalid("amount", format!("Stripe has no number for {amount}: it takes {} in larger steps", amount.currency)))
        }
    }
}

/// An amount of Stripe's; `None` where it is none of a currency that we know, or has fractions that we cannot express.
pub(crate) fn to_money(number: i64, currency: &str) -> Option<Money> {
    let currency = Currency::parse(currency).ok()?;
    let (digits, own) = (unit(currency).0, currency.digits());
    let minor = if own >= digits {
        number.checked_mul(10_i64.pow(own - digits))?
    } else {
        let divisor = 10_i64.pow(digits - own);
        if number % divisor != 0 {
            return None;
        }
        number / divisor
    };
    Some(Money::new(minor, currency))
}

/// Why Stripe, or the bank behind it, said no.
pub(crate) fn decline(code: Option<&str>, decline_code: Option<&str>) -> Decline {
    let word = decline_code.or(code).unwrap_or("unknown");
    let category = match word {
        "insufficient_funds" => DeclineCategory::InsufficientFunds,
        "expired_card" | "invalid_expiry_month" | "invalid_expiry_year" => DeclineCategory::ExpiredCard,
        "fraudulent" | "stolen_card" | "lost_card" | "pickup_card" | "merchant_blacklist" | "highest_risk_level" => DeclineCategory::Fraud,
        "authentication_required" | "payment_intent_authentication_failure" | "authentication_not_handled" => {
            DeclineCategory::AuthenticationFailed
        }
        "card_velocity_exceeded" | "withdrawal_count_limit_exceeded" | "amount_too_large" => DeclineCategory::LimitExceeded,
        "card_declined" | "generic_decline" | "unknown" => DeclineCategory::Generic,
        _ => DeclineCategory::Refused,
    };
    Decline::new(category, word)
}

/// Where a PaymentIntent stands. `answered`: it was confirmed by us with the buyer's means of payment, so a failure is the end of it; otherwise the
/// buyer has its secret and may go on trying.
pub(crate) fn intent_status(status: &str, failed: bool, answered: bool, cancelled_by_stripe: bool) -> PaymentStatus {
    match status {
        "requires_payment_method" if failed && answered => PaymentStatus::Failed,
        "requires_payment_method" | "requires_confirmation" | "requires_action" => PaymentStatus::RequiresAction,
        "processing" => PaymentStatus::Processing,
        "requires_capture" => PaymentStatus::Authorised,
        "canceled" if cancelled_by_stripe => PaymentStatus::Expired,
        "canceled" => PaymentStatus::Cancelled,
        "succeeded" => PaymentStatus::Captured,
        unknown => {
            tracing::warn!(status = unknown, "a status of a payment that is not known; taken as processing");
            PaymentStatus::Processing
        }
    }
}

/// Where a refund stands.
pub(crate) fn refund_status(status: &str) -> RefundStatus {
    match status {
        "succeeded" => RefundStatus::Succeeded,
        "failed" => RefundStatus::Failed,
        "canceled" => RefundStatus::Cancelled,
        "pending" | "requires_action" => RefundStatus::Pending,
        unknown => {
            tracing::warn!(status = unknown, "a status of a refund that is not known; taken as pending");
            RefundStatus::Pending
        }
    }
}

/// Where a dispute stands. A warning is a question; no money has moved for it.
pub(crate) fn dispute_status(status: &str) -> DisputeStatus {
    match status {
        "warning_needs_response" | "warning_under_review" | "warning_closed" => DisputeStatus::Inquiry,
        "needs_response" => DisputeStatus::NeedsResponse,
        "won" | "prevented" => DisputeStatus::Won,
        "lost" => DisputeStatus::Lost,
        "under_review" => DisputeStatus::UnderReview,
        unknown => {
            tracing::warn!(status = unknown, "a status of a dispute that is not known; taken as under review");
            DisputeStatus::UnderReview
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, Currency::parse(code).expect("a currency"))
    }

    #[test]
    fn every_listed_currency_is_one() {
        assert!(presented().iter().all(|code| Currency::parse(code).is_ok_and(|currency| currency.code() == *code)));
        let taken = |list: &str| list.split_whitespace().all(|code| presented().contains(&code));
        assert!(taken(WHOLE) && taken(THOUSANDTHS) && taken(PADDED));
    }

    /// Amounts in our minor units, and Stripe's numbers for them.
    #[test]
    fn amounts_become_stripes_numbers_and_come_back() {
        for (minor, code, number) in [
            (1_999, "PLN", 1_999),
            (1_999, "EUR", 1_999),
            (500, "JPY", 500),
            (12_340, "KWD", 12_340),
            (12_345, "HUF", 12_345),
            (12_345, "TWD", 12_345),
            (5, "ISK", 500),
            (5_000, "UGX", 500_000),
            (12_300, "MGA", 123),
            (700, "XAF", 700),
            (99_999_999, "USD", 99_999_999),
        ] {
            assert_eq!(to_stripe(money(minor, code)), Ok(number), "{minor} {code}");
            assert_eq!(to_money(number, &code.to_ascii_lowercase()), Some(money(minor, code)), "{number} {code}");
        }
    }

    #[test]
    fn what_stripe_has_no_number_for_is_refused() {
        for (minor, code) in [
            (12_345, "KWD"),
            (12_345, "MGA"),
            (0, "EUR"),
            (-1, "EUR"),
            (100_000_000, "EUR"),
            (1_000_000, "ISK"),
            (i64::MAX, "ISK"),
            (i64::MAX, "EUR"),
            (i64::MIN, "JPY"),
        ] {
            let refused = to_stripe(money(minor, code));
            assert!(matches!(refused, Err(GatewayError::InvalidRequest { field: "amount", .. })), "{minor} {code}: {refused:?}");
        }
        assert_eq!(to_money(550, "isk"), None, "half a króna");
        assert_eq!(to_money(1, "xyz"), None);
    }

    #[test]
    fn declines_are_sorted_and_fraud_is_told_to_nobody() {
        for (code, decline_code, category) in [
            (Some("card_declined"), Some("insufficient_funds"), DeclineCategory::InsufficientFunds),
            (Some("card_declined"), Some("generic_decline"), DeclineCategory::Generic),
            (Some("card_declined"), Some("stolen_card"), DeclineCategory::Fraud),
            (Some("card_declined"), Some("do_not_honor"), DeclineCategory::Refused),
            (Some("expired_card"), None, DeclineCategory::ExpiredCard),
            (Some("authentication_required"), None, DeclineCategory::AuthenticationFailed),
            (None, None, DeclineCategory::Generic),
        ] {
            assert_eq!(decline(code, decline_code).category, category, "{code:?} {decline_code:?}");
        }
    }

    #[test]
    fn statuses_become_ours() {
        use PaymentStatus::{Authorised, Cancelled, Captured, Expired, Failed, Processing, RequiresAction};
        for (status, failed, answered, by_stripe, ours) in [
            ("requires_payment_method", false, true, false, RequiresAction),
            ("requires_payment_method", true, true, false, Failed),
            ("requires_payment_method", true, false, false, RequiresAction),
            ("requires_action", false, true, false, RequiresAction),
            ("processing", false, true, false, Processing),
            ("requires_capture", false, true, false, Authorised),
            ("canceled", false, true, false, Cancelled),
            ("canceled", false, true, true, Expired),
            ("succeeded", false, true, false, Captured),
            ("moon_rises", true, true, true, Processing),
        ] {
            assert_eq!(intent_status(status, failed, answered, by_stripe), ours, "{status}");
        }
        assert_eq!(refund_status("requires_action"), RefundStatus::Pending);
        assert_eq!(refund_status("moon_rises"), RefundStatus::Pending);
        assert_eq!(dispute_status("warning_closed"), DisputeStatus::Inquiry);
        assert_eq!(dispute_status("moon_rises"), DisputeStatus::UnderReview);
    }
}
