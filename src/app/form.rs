//! What the order form says: the words of its pages in the languages that are shipped, and the text that operators write for a product.

use domain::mail::locales;
use domain::refusal::{Code, Refusal};
use domain::{Money, ProductId};
use serde::Serialize;

use super::App;
use super::markdown::safe_html;
use super::offer::OfferSession;
use super::wording::Language;
use crate::error::Result;
use crate::store;

/// The words of the pages.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct FormWords {
    #[serde(skip)]
    language: Language,
    /// Label of the name.
    pub name: &'static str,
    /// Label of the address.
    pub email: &'static str,
    /// Label of the coupon.
    pub coupon: &'static str,
    /// Label of the discount.
    pub discount: &'static str,
    /// Label of the taxes, where they come on top.
    pub tax: &'static str,
    /// Label of the taxes, where the prices hold them.
    pub tax_included: &'static str,
    /// Label of the total.
    pub total: &'static str,
    /// Label of the address that it is for.
    pub for_whom: &'static str,
    /// Label of the ways to pay.
    pub method: &'static str,
    /// Heading of the packs.
    pub packs: &'static str,
    /// Label of the dates of an event.
    pub date: &'static str,
    /// No date was chosen that has a seat.
    #[serde(skip)]
    pub choose_date: &'static str,
    /// The button that shows the total.
    pub next: &'static str,
    /// The button that orders.
    pub order: &'static str,
    /// The button that tries again.
    pub again: &'static str,
    /// The button that leads to the gateway.
    pub pay: &'static str,
    /// Heading of the page with the total.
    pub review: &'static str,
    /// There is no such product.
    pub not_found: &'static str,
    /// It cannot be bought now.
    pub not_on_sale: &'static str,
    /// The address is none.
    pub email_wrong: &'static str,
    /// The name is none.
    pub name_wrong: &'static str,
    /// The cart is not there.
    pub gone: &'static str,
    /// Too many tries.
    pub slow_down: &'static str,
    /// The payment is not in yet.
    pub waiting: &'static str,
    /// The order takes no payment.
    pub closed: &'static str,
    #[serde(skip)]
    coupon_unknown: &'static str,
    #[serde(skip)]
    coupon_useless: &'static str,
    #[serde(skip)]
    has_changed: &'static str,
}

const ENGLISH: FormWords = FormWords {
    language: Language::English,
    name: "Name",
    email: "E-mail",
    coupon: "Coupon code, if you have one",
    discount: "Discount",
    tax: "Tax",
    tax_included: "Tax in it",
    total: "Total",
    for_whom: "Access and receipt go to",
    method: "How do you want to pay?",
    packs: "Packs",
    date: "Date",
    choose_date: "Choose a date that has a free seat.",
    next: "Continue",
    order: "Order with obligation to pay",
    again: "Try again",
    pay: "Go to payment",
    review: "Your order",
    not_found: "This is not on sale here",
    not_on_sale: "This cannot be bought at present.",
    email_wrong: "This is no e-mail address. Write one like ann@example.org.",
    name_wrong: "The name is too long, or holds characters that no name has.",
    gone: "This order is not there any more. Please begin again.",
    slow_down: "Too many tries. Please wait a minute.",
    waiting: "Your payment is not in yet",
    closed: "This order is closed",
    coupon_unknown: "This coupon code is unknown. The form is without a coupon.",
    coupon_useless: "This coupon does not work here:",
    has_changed: "Something has changed. Please look at your order again:",
};

const POLISH: FormWords = FormWords {
    language: Language::Polish,
    name: "Imię i nazwisko",
    email: "E-mail",
    coupon: "Kod rabatowy (opcjonalnie)",
    discount: "Rabat",
    tax: "Podatek",
    tax_included: "W tym podatek",
    total: "Razem",
    for_whom: "Dostęp i potwierdzenie wyślemy na adres",
    method: "Wybierz sposób płatności",
    packs: "Pakiety",
    date: "Termin",
    choose_date: "Wybierz termin, w którym jest wolne miejsce.",
    next: "Dalej",
    order: "Zamawiam z obowiązkiem zapłaty",
    again: "Spróbuj ponownie",
    pay: "Przejdź do płatności",
    review: "Twoje zamówienie",
    not_found: "Tego produktu tutaj nie sprzedajemy",
    not_on_sale: "Ten produkt jest obecnie niedostępny.",
    email_wrong: "To nie jest adres e-mail. Przykład: anna@example.org.",
    name_wrong: "Imię i nazwisko jest za długie albo zawiera niedozwolone znaki.",
    gone: "Tego zamówienia już nie ma. Zacznij od początku.",
    slow_down: "Zbyt wiele prób. Odczekaj minutę.",
    waiting: "Płatność jeszcze nie dotarła",
    closed: "To zamówienie jest zamknięte",
    coupon_unknown: "Nie znamy tego kodu rabatowego. Formularz nie zawiera rabatu.",
    coupon_useless: "Tego kodu nie można tutaj użyć.",
    has_changed: "Coś się zmieniło. Sprawdź zamówienie jeszcze raz.",
};

impl FormWords {
    /// The words for a locale.
    pub fn of(locale: &str) -> Self {
        match Language::of(locale) {
            Language::English => ENGLISH,
            Language::Polish => POLISH,
        }
    }

    /// An amount.
    pub fn money(&self, money: Money) -> String {
        self.language.money(money)
    }

    /// So many credits; nothing for none.
    pub fn credits(&self, count: u64) -> Option<String> {
        (count > 0).then(|| self.language.credits(count))
    }

    /// When and where a session is.
    pub fn session(&self, session: &OfferSession) -> String {
        let when = self.language.span(session.starts_at, session.ends_at, session.time_zone);
        session.location.as_ref().map_or_else(|| when.clone(), |place| format!("{when}, {place}"))
    }

    /// Why a code is not taken.
    pub fn coupon_refused(&self, refusal: &Refusal) -> String {
        match refusal.code {
            Code::NotFound | Code::Invalid => self.coupon_unknown.to_owned(),
            Code::RateLimited => self.slow_down.to_owned(),
            _ => self.with_reason(self.coupon_useless, refusal),
        }
    }

    /// Why an order was not placed.
    pub fn changed(&self, refusal: &Refusal) -> String {
        self.with_reason(self.has_changed, refusal)
    }

    /// The sentence, and the reason where it is in the reader's language.
    fn with_reason(&self, sentence: &str, refusal: &Refusal) -> String {
        match self.language {
            Language::English => format!("{sentence} {}", refusal.message),
            Language::Polish => sentence.to_owned(),
        }
    }
}

impl App {
    /// What operators wrote for the form of a product, in the best locale that there is, as HTML that is safe.
    ///
    /// # Errors
    /// The database's.
    pub async fn form_text(&self, product: ProductId, locale: &str) -> Result<Option<String>> {
        let texts = store::form_text::of_products(self.db.read(), &[product]).await?.remove(&product).unwrap_or_default();
        let mut best = locales(locale, &self.shop.locale).into_iter();
        let text = best.find_map(|locale| texts.iter().find(|text| text.locale == locale));
        Ok(text.map(|text| safe_html(&text.markdown)))
    }
}
