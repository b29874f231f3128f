//! Sentences of the program's own that buyers read, in the languages that are shipped; what is longer stands in templates.

use chrono::{DateTime, Offset, Utc};
use chrono_tz::Tz;
use domain::Money;

use crate::store::catalog::Session;

/// A language that the program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// English, where nothing else is known.
    English,
    /// Polish.
    Polish,
}

/// How somebody gets to what an order gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceiptState {
    /// All of it went back.
    Refunded,
    /// It is paid, and not given yet.
    Preparing,
    /// The buyer is signed in.
    Open,
    /// A guest with a new account, whose link is on the receipt.
    NewAccount,
    /// A guest who has an account.
    KnownAccount,
}

impl Language {
    /// How to get to what an order gave.
    pub(super) fn receipt(self, state: ReceiptState) -> &'static str {
        match (self, state) {
            (Self::English, ReceiptState::Refunded) => "What you paid goes back to you. What was refunded is closed.",
            (Self::English, ReceiptState::Preparing) => "Your payment is in. What you bought is being prepared and opens in a moment.",
            (Self::English, ReceiptState::Open) => "Your payment is in. What you bought is open now.",
            (Self::English, ReceiptState::NewAccount) => {
                "Your payment is in. We made an account for your e-mail; the link signs you in once."
            }
            (Self::English, ReceiptState::KnownAccount) => {
                "Your payment is in. Sign in with your e-mail to find what you bought; we mail you a link."
            }
            (Self::Polish, ReceiptState::Refunded) => "Zwracamy wpłaconą kwotę. Dostęp do zwróconych produktów jest zamknięty.",
            (Self::Polish, ReceiptState::Preparing) => "Płatność dotarła. Przygotowujemy dostęp, za chwilę będzie aktywny.",
            (Self::Polish, ReceiptState::Open) => "Płatność dotarła. Dostęp jest już aktywny.",
            (Self::Polish, ReceiptState::NewAccount) => {
                "Płatność dotarła. Założyliśmy konto dla Twojego adresu; ten link zaloguje Cię jeden raz."
            }
            (Self::Polish, ReceiptState::KnownAccount) => {
                "Płatność dotarła. Zaloguj się swoim adresem e-mail, aby otworzyć zakupy; wysłaliśmy Ci link."
            }
        }
    }

    /// What to do with a line whose money went back.
    pub(super) fn line_refunded(self) -> &'static str {
        match self {
            Self::English => "This was refunded.",
            Self::Polish => "Ta pozycja została zwrócona.",
        }
    }

    /// What to do with a line for oneself.
    pub(super) fn line_open(self) -> &'static str {
        match self {
            Self::English => "Open your courses.",
            Self::Polish => "Otwórz swoje kursy.",
        }
    }

    /// What to do with codes.
    pub(super) fn line_codes(self, codes: usize) -> String {
        match self {
            Self::English => format!("Hand out {codes} codes; each opens it for one learner."),
            Self::Polish => format!("Kody do rozdania: {codes}. Każdy otwiera dostęp jednej osobie."),
        }
    }

    /// What to do with a key.
    pub(super) const fn line_key(self) -> &'static str {
        match self {
            Self::English => "Redeem this key to open it, or hand it on; it serves once.",
            Self::Polish => "Ten klucz otwiera dostęp, jeden raz; można go też komuś przekazać.",
        }
    }

    /// So many credits.
    pub(super) fn credits(self, count: u64) -> String {
        match (self, count) {
            (Self::English, 1) => "1 credit".to_owned(),
            (Self::English, count) => format!("{count} credits"),
            (Self::Polish, count) => format!("Kredyty: {count}"),
        }
    }

    /// What to do with a line of credits for oneself.
    pub(super) const fn line_credits(self) -> &'static str {
        match self {
            Self::English => "The credits are in your account.",
            Self::Polish => "Kredyty są już na Twoim koncie.",
        }
    }

    /// What to do with a line of credits for somebody else; the name if one was given.
    pub(super) fn line_credits_of(self, name: Option<&str>) -> String {
        match self {
            Self::English => format!("The credits are in the account of {}.", name.unwrap_or("the learner you named")),
            Self::Polish => format!("Kredyty są na koncie: {}.", name.unwrap_or("wskazana osoba")),
        }
    }

    /// What to do with a line for somebody else; the name if one was given.
    pub(super) fn line_learner(self, name: Option<&str>) -> String {
        match self {
            Self::English => format!("It is open for {}.", name.unwrap_or("the learner you named")),
            Self::Polish => format!("Dostęp jest otwarty dla: {}.", name.unwrap_or("wskazana osoba")),
        }
    }

    /// The language of a locale.
    pub(super) fn of(locale: &str) -> Self {
        match locale.split('-').next() {
            Some(language) if language.eq_ignore_ascii_case("pl") => Self::Polish,
            _ => Self::English,
        }
    }

    /// Why a payment was not accepted, from its safe reason.
    pub(super) fn decline(self, reason: Option<&str>) -> &'static str {
        match (self, reason) {
            (Self::English, Some("insufficient_funds")) => {
                "There is not enough money on this card or account. Use another one, or another way to pay."
            }
            (Self::English, Some("expired_card")) => "The card has expired. Use another one, or another way to pay.",
            (Self::English, Some("authentication_failed")) => {
                "The bank could not make sure that it is you. Try again, or use another way to pay."
            }
            (Self::English, Some("limit_exceeded")) => "The amount is above the limit of this card. Use another one, or ask your bank.",
            (Self::English, Some("buyer_cancelled")) => {
                "You have cancelled the payment. Your order is kept for a while; you can pay it now."
            }
            (Self::English, _) => "The payment was not accepted. Try again, or use another way to pay.",
            (Self::Polish, Some("insufficient_funds")) => {
                "Na karcie lub koncie brakuje środków. Użyj innej karty albo wybierz inny sposób płatności."
            }
            (Self::Polish, Some("expired_card")) => "Karta straciła ważność. Użyj innej karty albo wybierz inny sposób płatności.",
            (Self::Polish, Some("authentication_failed")) => {
                "Bank nie mógł potwierdzić Twojej tożsamości. Spróbuj ponownie albo wybierz inny sposób płatności."
            }
            (Self::Polish, Some("limit_exceeded")) => "Kwota przekracza limit tej karty. Użyj innej karty albo skontaktuj się z bankiem.",
            (Self::Polish, Some("buyer_cancelled")) => "Płatność została anulowana. Zamówienie jeszcze czeka; możesz zapłacić teraz.",
            (Self::Polish, _) => "Płatność nie została przyjęta. Spróbuj ponownie albo wybierz inny sposób płatności.",
        }
    }

    /// An amount as it is written in the language.
    pub(super) fn money(self, money: Money) -> String {
        let plain = money.decimal_text();
        match self {
            Self::English => format!("{plain} {}", money.currency.code()),
            // A blank that no line breaks at.
            Self::Polish => format!("{}\u{a0}{}", plain.replace('.', ","), money.currency.code()),
        }
    }

    /// A rate in millionths as a percentage, without zeros that say nothing.
    pub(super) fn percent(self, millionths: u32) -> String {
        let (whole, rest) = (millionths / 10_000, millionths % 10_000);
        let decimals = format!("{rest:04}");
        let decimals = decimals.trim_end_matches('0');
        match (self, decimals) {
            (_, "") => format!("{whole}%"),
            (Self::English, decimals) => format!("{whole}.{decimals}%"),
            (Self::Polish, decimals) => format!("{whole},{decimals}%"),
        }
    }

    /// An instant, in a zone.
    pub(super) fn instant(self, at: DateTime<Utc>, zone: Tz) -> String {
        let local = at.with_timezone(&zone);
        match self {
            Self::English => local.format("%Y-%m-%d %H:%M %Z").to_string(),
            Self::Polish => local.format("%d.%m.%Y, %H:%M %Z").to_string(),
        }
    }

    /// From when to when, in a zone; a day and a zone's name that both have in common are said once.
    pub(super) fn span(self, from: DateTime<Utc>, to: DateTime<Utc>, zone: Tz) -> String {
        let (start, end) = (from.with_timezone(&zone), to.with_timezone(&zone));
        if start.date_naive() != end.date_naive() || start.offset().fix() != end.offset().fix() {
            return format!("{} – {}", self.instant(from, zone), self.instant(to, zone));
        }
        match self {
            Self::English => format!("{}–{}", start.format("%Y-%m-%d %H:%M"), end.format("%H:%M %Z")),
            Self::Polish => format!("{}–{}", start.format("%d.%m.%Y, %H:%M"), end.format("%H:%M %Z")),
        }
    }

    /// When and where a session is.
    pub(super) fn dated(self, session: &Session) -> (String, Option<String>) {
        (self.span(session.starts_at, session.ends_at, session.time_zone), session.location.clone())
    }

    /// A day, in a zone.
    pub(super) fn day(self, at: DateTime<Utc>, zone: Tz) -> String {
        let local = at.with_timezone(&zone);
        match self {
            Self::English => local.format("%Y-%m-%d").to_string(),
            Self::Polish => local.format("%d.%m.%Y").to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Currency;

    use super::*;

    #[test]
    fn amounts_and_days_are_written_as_the_reader_writes_them() {
        let price = Money::new(123_450, Currency::parse("PLN").expect("a currency"));
        let at: DateTime<Utc> = "2026-07-31T22:30:00Z".parse().expect("an instant");
        let (english, polish) = (Language::of("en-GB"), Language::of("pl-PL"));
        assert_eq!((english.money(price), polish.money(price)), ("1234.50 PLN".to_owned(), "1234,50\u{a0}PLN".to_owned()));
        assert_eq!(english.instant(at, chrono_tz::Europe::Warsaw), "2026-08-01 00:30 CEST");
        assert_eq!(polish.instant(at, chrono_tz::Europe::Warsaw), "01.08.2026, 00:30 CEST");
        assert_eq!((english.day(at, chrono_tz::UTC), polish.day(at, chrono_tz::UTC)), ("2026-07-31".to_owned(), "31.07.2026".to_owned()));
        assert_eq!(
            (english.percent(230_000), polish.percent(85_500), english.percent(0)),
            ("23%".to_owned(), "8,55%".to_owned(), "0%".to_owned())
        );
        assert_eq!(Language::of("de"), Language::English);
    }

    #[test]
    fn a_span_is_in_its_zone_also_across_a_change_of_clocks() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
        let span = |from: &str, to: &str| {
            let said = |language: Language| language.span(at(from), at(to), chrono_tz::Europe::Warsaw);
            (said(Language::English), said(Language::Polish))
        };
        let (english, polish) = span("2026-05-04T07:00:00Z", "2026-05-04T15:30:00Z");
        assert_eq!((english.as_str(), polish.as_str()), ("2026-05-04 09:00–17:30 CEST", "04.05.2026, 09:00–17:30 CEST"));
        let (english, _) = span("2026-03-29T00:30:00Z", "2026-03-29T03:00:00Z");
        assert_eq!(english, "2026-03-29 01:30 CET – 2026-03-29 05:00 CEST");
        let (_, polish) = span("2026-05-04T07:00:00Z", "2026-05-05T15:30:00Z");
        assert_eq!(polish, "04.05.2026, 09:00 CEST – 05.05.2026, 17:30 CEST");
    }
}
