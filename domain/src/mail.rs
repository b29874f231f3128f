//! Mails: what each is for, how it stands, in which language its template is looked for, and when it is tried again.
//!
//! Always true here: a mail that may have arrived is never made anew, only sent again as the same message; trying ends after a fixed time.

use chrono::{DateTime, TimeDelta, Utc};

named! {
    /// What a template is for.
    pub enum TemplateKind {
        /// To the buyer, once all that an order gives is given.
        OrderConfirmation = "ORDER_CONFIRMATION",
        /// The same news to the shop's owner, as a message of its own.
        OwnerCopy = "OWNER_COPY",
        /// A link that signs in once.
        SignInLink = "SIGN_IN_LINK",
        /// The code of a seat, to whom it was assigned.
        TokenHandover = "TOKEN_HANDOVER",
        /// To the buyer, after an attempt to pay was declined.
        PaymentDeclined = "PAYMENT_DECLINED",
        /// To the learner, some days before access ends.
        AccessEndsSoon = "ACCESS_ENDS_SOON",
        /// To a learner who wanted to rent something and has too few credits, once a day.
        CreditsShort = "CREDITS_SHORT",
        /// A quote, to the managers of the company that it is for.
        SalesQuote = "SALES_QUOTE",
        /// The page that a buyer is shown after paying; its subject is the heading.
        ReceiptPage = "RECEIPT_PAGE",
        /// The page after a decline; its subject is the heading.
        DeclinePage = "DECLINE_PAGE",
    }
}

named! {
    /// How a mail stands.
    pub enum MailState {
        /// Waits for its first or next try.
        Queued = "QUEUED",
        /// A mail server took it.
        Sent = "SENT",
        /// No mail server is configured: it stays here, for whoever looks.
        Kept = "KEPT",
        /// Given up: refused for good, or tried for too long.
        Failed = "FAILED",
        /// There was nothing left to say when its turn came, such as a link that was used meanwhile.
        Cancelled = "CANCELLED",
    }
}

named! {
    /// How many mails an order of several items makes.
    pub enum OrderMails {
        /// One for the whole order.
        PerOrder = "PER_ORDER",
        /// One for each of its lines.
        PerCourse = "PER_COURSE",
    }
}

/// How long something that leaves the shop is tried.
pub const TRIED_FOR: TimeDelta = TimeDelta::days(3);
/// The longest pause between two tries.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);

/// When to try again after `tries` failed ones: 10 s, 20 s, 40 s, … at most an hour apart; `None` once it was tried for [`TRIED_FOR`].
/// `jitter` in thousandths lengthens the pause by up to a quarter, so that many failures of one moment do not meet again.
pub fn next_try(tries: u32, jitter: u16, since: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let pause = TimeDelta::seconds(10_i64 << tries.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    let jitter = pause * i32::from(jitter.min(1_000)) / 4_000;
    let at = now + pause + jitter;
    (at < since + TRIED_FOR).then_some(at)
}

/// The locales in which a text is looked for, the best first, each once: what was asked for, its language, the shop's, its language, English.
pub fn locales(wanted: &str, shop: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for tag in [wanted, shop, "en"] {
        let tag = canonical_locale(tag);
        let language = tag.split('-').next().unwrap_or_default().to_owned();
        for candidate in [tag, language] {
            if !candidate.is_empty() && !found.contains(&candidate) {
                found.push(candidate);
            }
        }
    }
    found
}

/// A locale as templates are kept under: in small letters, since tags differ in case only for the eye.
pub fn canonical_locale(tag: &str) -> String {
    tag.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_language_is_looked_for_before_the_shops() {
        for (wanted, shop, expected) in [
            ("pl-PL", "en", &["pl-pl", "pl", "en"][..]),
            ("de", "pl", &["de", "pl", "en"]),
            ("en", "en", &["en"]),
            ("EN-gb", "de-AT", &["en-gb", "en", "de-at", "de"]),
            ("", "pl", &["pl", "en"]),
        ] {
            assert_eq!(locales(wanted, shop), expected, "{wanted:?} in a shop of {shop:?}");
        }
    }

    #[test]
    fn tries_grow_apart_and_end_after_three_days() {
        let start = at("2026-01-01T00:00:00Z");
        let mut now = start;
        let mut tries = 0;
        let mut pauses = Vec::new();
        while let Some(next) = next_try(tries + 1, 0, start, now) {
            pauses.push((next - now).num_seconds());
            now = next;
            tries += 1;
        }
        assert_eq!(pauses[..5], [10, 20, 40, 80, 160]);
        assert!(pauses.windows(2).all(|two| two[0] <= two[1]), "{pauses:?}");
        assert_eq!(pauses.last(), Some(&3_600));
        assert!(now < start + TRIED_FOR && now + TimeDelta::hours(2) > start + TRIED_FOR, "{now}");
        assert!((75..=90).contains(&tries), "{tries} tries");
    }

    proptest! {
        #[test]
        fn a_pause_is_never_shorter_than_without_jitter_nor_longer_by_more_than_a_quarter(tries in 1u32..2_000, jitter in 0u16..=u16::MAX) {
            let start = at("2026-01-01T00:00:00Z");
            let plain = next_try(tries, 0, start, start).expect("at the beginning") - start;
            let with = next_try(tries, jitter, start, start).expect("at the beginning") - start;
            prop_assert!(with >= plain && with <= plain + plain / 4);
        }
    }
}
