//! Signatures: SHA-384, in hexadecimal, of compact JSON whose keys stand in an order fixed for each kind of message, the account's CRC last.
//!
//! Always true here: nothing is escaped that JSON does not insist on (serde_json's compact output is exactly that), signatures are compared in
//! constant time, and an expected one is written nowhere.

use domain::Money;
use gateway_http::hex;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha384};
use subtle::ConstantTimeEq;

use crate::wire::{RefundNotice, TransactionNotice};

/// Fields in their order, and the CRC after them.
#[derive(Serialize)]
struct Signed<'a, T> {
    #[serde(flatten)]
    fields: &'a T,
    crc: &'a str,
}

/// What is signed of a registration.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registration<'a> {
    session_id: &'a str,
    merchant_id: u64,
    amount: i64,
    currency: &'a str,
}

/// What is signed of a verification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verification<'a> {
    session_id: &'a str,
    order_id: u64,
    amount: i64,
    currency: &'a str,
}

/// What is signed of a notification of a refund.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refunded<'a> {
    order_id: u64,
    session_id: &'a str,
    refunds_uuid: &'a str,
    merchant_id: u64,
    amount: i64,
    currency: &'a str,
    status: i64,
}

/// Of a registration.
pub(crate) fn registration(crc: &SecretString, merchant_id: u64, session_id: &str, amount: Money) -> String {
    let currency = amount.currency.code();
    hex::encode(&digest(crc, &Registration { session_id, merchant_id, amount: amount.minor, currency }))
}

/// Of a verification.
pub(crate) fn verification(crc: &SecretString, session_id: &str, order_id: u64, amount: Money) -> String {
    let currency = amount.currency.code();
    hex::encode(&digest(crc, &Verification { session_id, order_id, amount: amount.minor, currency }))
}

/// Whether one of the CRCs made the signature of this notification of a payment.
pub(crate) fn transaction_is_genuine(crcs: &[SecretString], notice: &TransactionNotice, sign: &str) -> bool {
    is_genuine(crcs, notice, sign)
}

/// Whether one of the CRCs made the signature of this notification of a refund.
pub(crate) fn refund_is_genuine(crcs: &[SecretString], notice: &RefundNotice, sign: &str) -> bool {
    let fields = Refunded {
        order_id: notice.order_id,
        session_id: &notice.session_id,
        refunds_uuid: &notice.refunds_uuid,
        merchant_id: notice.merchant_id,
        amount: notice.amount,
        currency: &notice.currency,
        status: notice.status,
    };
    is_genuine(crcs, &fields, sign)
}

fn is_genuine(crcs: &[SecretString], fields: &impl Serialize, sign: &str) -> bool {
    let Some(given) = hex::decode(sign) else { return false };
    crcs.iter().any(|crc| digest(crc, fields).ct_eq(&given).into())
}

fn digest(crc: &SecretString, fields: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(&Signed { fields, crc: crc.expose_secret() }).expect("plain fields are always JSON");
    Sha384::digest(text.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use domain::Currency;

    use super::*;

    fn crc() -> SecretString {
        "b36147eeac447028".into()
    }

    fn pln(minor: i64) -> Money {
        Money::new(minor, Currency::parse("PLN").expect("a currency"))
    }

    fn notice(statement: &str) -> TransactionNotice {
        TransactionNotice {
            merchant_id: 12345,
            pos_id: 12345,
            session_id: "order-001".to_owned(),
            amount: 1999,
            origin_amount: 1999,
            currency: "PLN".to_owned(),
            order_id: 987_654_321,
            method_id: 154,
            statement: statement.to_owned(),
        }
    }

    /// Three foreign libraries agree on this one.
    #[test]
    fn a_registration_is_signed_as_others_sign_it() {
        assert_eq!(
            registration(&crc(), 12345, "order-001", pln(1999)),
            "0ae8292ad35e06fc0c06a59a890245c80bb56234981ba9cb392088e209623edc3755499be56f858f6f87551ade6170cf"
        );
    }

    /// Made by a foreign library, the second with letters and a slash that some escape and the gateway does not.
    #[test]
    fn a_notification_that_others_signed_is_genuine() {
        for (statement, sign) in [
            ("p24-J7X-B1B-U9O", "2877c211842c1ec1a13a011552156b17222244d21faeeb3fd34cf57e68ace696313a70325f5f8b60ccca87cf431567a8"),
            ("Zapłata/1", "64b42f6346828b9c6e2d3be333bf26371ddcb46082a54b77fcd94e5b6fada26ec62c52fae9f80bf8d1ad23c5a1965883"),
        ] {
            assert!(transaction_is_genuine(&[crc()], &notice(statement), sign), "{statement}");
            assert!(transaction_is_genuine(&["new".into(), crc()], &notice(statement), sign), "the replaced CRC");
            assert!(!transaction_is_genuine(&["new".into()], &notice(statement), sign));
            assert!(!transaction_is_genuine(&[crc()], &TransactionNotice { amount: 1998, ..notice(statement) }, sign));
            assert!(!transaction_is_genuine(&[crc()], &notice(statement), &sign[2..]));
            assert!(!transaction_is_genuine(&[crc()], &notice(statement), ""));
        }
    }
}
