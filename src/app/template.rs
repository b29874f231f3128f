//! Templates: those that are shipped, those that the shop set in their place, and how one becomes a text.
//!
//! Always true here: what is put into HTML is escaped; a template that cannot be rendered is refused when it is set, with the part and line to
//! mend; rendering ends, whatever a template says.

use std::collections::BTreeMap;

use domain::CompanyId;
use domain::mail::{TemplateKind, canonical_locale, locales};
use domain::refusal::Code;
use domain::text;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};
use sea_orm::ConnectionTrait;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::shop::Theme;
use super::wording::{Language, ReceiptState};
use super::{App, Object, entropy};
use crate::error::{Error, Faults, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;

pub use crate::store::page::Key;
pub use crate::store::template::{Place, Template};

/// Most characters of a template of a text.
const MAX_BODY: usize = 100_000;
/// Most characters of a template of a subject.
const MAX_SUBJECT: usize = 1_000;
/// Most characters of a rendered subject.
const MAX_SUBJECT_LINE: usize = 250;
/// Most bytes of a rendered text.
const MAX_RENDERED: usize = 1_000_000;
/// Steps that rendering may take: loops of operators end.
const FUEL: u64 = 200_000;

/// The shipped templates: kind, locale, file.
const SHIPPED: [(TemplateKind, &str, &str); 20] = [
    (TemplateKind::OrderConfirmation, "en", include_str!("template/order_confirmation.en.tpl")),
    (TemplateKind::OrderConfirmation, "pl", include_str!("template/order_confirmation.pl.tpl")),
    (TemplateKind::OwnerCopy, "en", include_str!("template/owner_copy.en.tpl")),
    (TemplateKind::OwnerCopy, "pl", include_str!("template/owner_copy.pl.tpl")),
    (TemplateKind::SignInLink, "en", include_str!("template/sign_in_link.en.tpl")),
    (TemplateKind::SignInLink, "pl", include_str!("template/sign_in_link.pl.tpl")),
    (TemplateKind::TokenHandover, "en", include_str!("template/token_handover.en.tpl")),
    (TemplateKind::TokenHandover, "pl", include_str!("template/token_handover.pl.tpl")),
    (TemplateKind::PaymentDeclined, "en", include_str!("template/payment_declined.en.tpl")),
    (TemplateKind::PaymentDeclined, "pl", include_str!("template/payment_declined.pl.tpl")),
    (TemplateKind::AccessEndsSoon, "en", include_str!("template/access_ends_soon.en.tpl")),
    (TemplateKind::AccessEndsSoon, "pl", include_str!("template/access_ends_soon.pl.tpl")),
    (TemplateKind::CreditsShort, "en", include_str!("template/credits_short.en.tpl")),
    (TemplateKind::CreditsShort, "pl", include_str!("template/credits_short.pl.tpl")),
    (TemplateKind::SalesQuote, "en", include_str!("template/sales_quote.en.tpl")),
    (TemplateKind::SalesQuote, "pl", include_str!("template/sales_quote.pl.tpl")),
    (TemplateKind::ReceiptPage, "en", include_str!("template/receipt_page.en.tpl")),
    (TemplateKind::ReceiptPage, "pl", include_str!("template/receipt_page.pl.tpl")),
    (TemplateKind::DeclinePage, "en", include_str!("template/decline_page.en.tpl")),
    (TemplateKind::DeclinePage, "pl", include_str!("template/decline_page.pl.tpl")),
];

/// Source of a template: subject, plain text, HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Template of the subject.
    pub subject: String,
    /// Template of the plain text.
    pub text: String,
    /// Template of the HTML.
    pub html: Option<String>,
}

/// A template as it holds for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Which was found.
    pub place: Place,
    /// Its source.
    pub source: Source,
    /// Whether it is the one that comes with the program.
    pub shipped: bool,
}

/// What a template became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML.
    pub html: Option<String>,
}

/// Why a template cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template's {part}{} cannot be rendered: {what}", .line.map(|line| format!(", line {line},")).unwrap_or_default())]
pub struct TemplateFault {
    /// `subject`, `text` or `html`.
    pub part: &'static str,
    /// Where.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// What templates are filled with. Each kind has what it needs; the rest is empty.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    /// The shop.
    pub shop: ShopFacts,
    /// How it looks.
    pub theme: ThemeFacts,
    /// Locale of the texts.
    pub locale: String,
    /// Who reads it.
    pub recipient: Recipient,
    /// The company concerned.
    pub company: Option<String>,
    /// The order.
    pub order: Option<OrderFacts>,
    /// What was bought.
    pub lines: Vec<LineFacts>,
    /// A one-time link to sign in.
    pub link: Option<String>,
    /// Until when the link works.
    pub link_ends: Option<String>,
    /// A declined payment.
    pub decline: Option<DeclineFacts>,
    /// Access that ends.
    pub access: Option<AccessFacts>,
    /// A seat.
    pub token: Option<TokenFacts>,
    /// A quote.
    pub quote: Option<QuoteFacts>,
    /// How to get to what was bought.
    pub receipt: Option<String>,
    /// Credits that are missing.
    pub shortage: Option<ShortageFacts>,
}

/// Credits that are missing to rent something, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ShortageFacts {
    pub title: String,
    pub needed: String,
    pub held: String,
    pub missing: String,
    pub sales: Vec<SaleFacts>,
}

/// What sells credits, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SaleFacts {
    pub title: String,
    pub credits: String,
    pub price: String,
    pub url: String,
}

/// The shop, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ShopFacts {
    pub name: String,
    pub url: String,
}

/// The look, in a template.
#[derive(Debug, Clone, Serialize)]
pub struct ThemeFacts {
    /// The look.
    #[serde(flatten)]
    pub theme: Theme,
    /// The colour that can be read on the colour of buttons.
    pub on_primary: &'static str,
}

/// Who reads it, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Recipient {
    pub name: Option<String>,
    pub email: String,
}

/// An order, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OrderFacts {
    pub number: String,
    pub placed: String,
    pub total: String,
    pub discount: Option<String>,
    /// Taxes, where there are any.
    pub tax: Option<String>,
    /// Whether the prices shown hold the tax.
    pub tax_included: bool,
    pub buyer_name: Option<String>,
    pub buyer_email: Option<String>,
}

/// A line of an order, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LineFacts {
    /// SELF, SEATS or LEARNER.
    pub kind: &'static str,
    pub sku: String,
    pub title: String,
    pub quantity: u32,
    pub total: String,
    /// What to do with it next, on pages.
    pub text: Option<String>,
    /// From when to when its session is.
    pub when: Option<String>,
    /// Where its session is.
    pub place: Option<String>,
    pub learner: Option<String>,
    /// The credits that it gives, in words.
    pub credits: Option<String>,
    pub courses: Vec<String>,
    pub codes: Vec<String>,
    /// How many codes more there are; `None` = no more.
    pub more_codes: Option<usize>,
}

/// A declined payment, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DeclineFacts {
    pub reason: Option<String>,
    pub text: String,
    pub until: Option<String>,
}

/// Access that ends, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AccessFacts {
    pub title: String,
    pub ends: String,
    pub day: String,
    /// Where it is bought again, while it is on sale.
    pub url: Option<String>,
}

/// A seat, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TokenFacts {
    pub code: String,
    pub title: String,
    /// From when to when its session is.
    pub when: Option<String>,
    /// Where its session is.
    pub place: Option<String>,
    pub ends: Option<String>,
}

/// A quote, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct QuoteFacts {
    pub number: String,
    pub po_number: Option<String>,
    pub total: String,
    pub until: Option<String>,
    pub terms: Option<String>,
    pub lines: Vec<QuoteLineFacts>,
}

/// A line of a quote, in a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct QuoteLineFacts {
    pub title: String,
    pub quantity: u32,
    /// The price of one seat; `None` where the parts of a graduated schedule differ.
    pub each: Option<String>,
    pub total: String,
}

impl ThemeFacts {
    /// The look, with what follows from it.
    pub fn of(theme: Theme) -> Self {
        Self { on_primary: theme.on_primary(), theme }
    }
}

impl App {
    /// The template that holds for a reader: in the best locale that has one, the most particular one.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn template_for(&self, db: &impl ConnectionTrait, wanted: &Place) -> Result<Effective> {
        let found = self.templates_for(db, std::slice::from_ref(wanted)).await?.pop();
        found.ok_or_else(|| crate::internal!("one template for each that is wanted"))
    }

    /// The same for several readers, in the same order, by a number of statements that does not grow with theirs.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn templates_for(&self, db: &impl ConnectionTrait, wanted: &[Place]) -> Result<Vec<Effective>> {
        let places: Vec<Vec<Place>> = wanted.iter().map(|wanted| self.places_for(wanted)).collect();
        let all: BTreeMap<String, &Place> = places.iter().flatten().map(|place| (place.name(), place)).collect();
        let all: Vec<&str> = all.keys().map(String::as_str).collect();
        let set = store::template::at(db, &all).await?;
        places
            .into_iter()
            .map(|places| {
                for place in places {
                    if let Some(found) = set.iter().find(|template| template.place == place) {
                        let source = Source { subject: found.subject.clone(), text: found.text.clone(), html: found.html.clone() };
                        return Ok(Effective { place, source, shipped: false });
                    }
                    if place.company.is_none()
                        && place.product.is_none()
                        && let Some(source) = shipped(place.kind, &place.locale)
                    {
                        return Ok(Effective { place, source, shipped: true });
                    }
                }
                Err(crate::internal!("a template is not shipped in English"))
            })
            .collect()
    }

    /// Where a reader's template is looked for, the best place first.
    fn places_for(&self, wanted: &Place) -> Vec<Place> {
        let Place { kind, locale, company, product } = wanted;
        let mut places = Vec::new();
        for locale in locales(locale, &self.shop.locale) {
            for (company, product) in [(*company, *product), (None, *product), (*company, None), (None, None)] {
                let place = Place { kind: *kind, locale: locale.clone(), company, product };
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        places
    }

    /// The template that holds for a kind, locale, company and product.
    ///
    /// # Errors
    /// Needs the scope `settings:read`; a locale that is none.
    pub async fn template(&self, caller: &Caller, place: &Place) -> Result<Effective> {
        caller.require(Topic::Settings.read())?;
        text::locale(&place.locale).map_err(|reason| Refusal::from(reason).under(["locale"]))?;
        self.template_for(self.db.read(), place).await
    }

    /// A page of the templates that the shop set, in the order of making.
    ///
    /// # Errors
    /// Needs the scope `settings:read`.
    pub async fn templates(&self, caller: &Caller, args: &PageArgs<(Key, Uuid)>, with_total: bool) -> Result<Page<Template>> {
        caller.require(Topic::Settings.read())?;
        Ok(store::template::list(self.db.read(), args, with_total).await?)
    }

    /// Sets a template, or with `None` goes back to the one that holds without it.
    ///
    /// # Errors
    /// What is wrong with it, by part and line; [`Code::NotFound`] for a company or product that is not there; needs the scope
    /// `settings:write`.
    pub async fn template_set(&self, caller: &Caller, place: Place, source: Option<Source>) -> Result<Effective> {
        caller.require(Topic::Settings.write())?;
        let place = checked_place(place)?;
        if let Some(source) = &source {
            self.check_source(source, &place)?;
        }
        let txn = self.db.begin().await?;
        self.check_whose(&txn, &place).await?;
        let old = store::template::at(&txn, &[&place.name()]).await?.pop();
        let told = |subject: &str, text: &str, html: Option<&String>| json!({ "place": place.name(), "subject": subject, "text": text, "html": html });
        let old_told = old.as_ref().map(|old| told(&old.subject, &old.text, old.html.as_ref()));
        let new_told = source.as_ref().map(|new| told(&new.subject, &new.text, new.html.as_ref()));
        if old_told != new_told {
            let id = old.as_ref().map_or_else(entropy::next_uuid, |old| old.id);
            match source {
                Some(Source { subject, text, html }) => {
                    let now = self.now();
                    let template = Template { id, place: place.clone(), subject, text, html, created_at: now, touched_at: now };
                    store::template::set(&txn, &template).await?;
                }
                None => {
                    store::template::unset(&txn, &place).await?;
                }
            }
            let object = Object { company: place.company.map(CompanyId::uuid), ..Object::new("template", id) };
            self.audit(&txn, caller, "templateSet", object, old_told, new_told).await?;
        }
        let effective = self.template_for(&txn, &place).await?;
        txn.commit().await?;
        Ok(effective)
    }

    /// What a template becomes with made-up facts: the given source, or the one that holds.
    ///
    /// # Errors
    /// What is wrong with it, by part and line; needs the scope `settings:read`.
    pub async fn template_preview(&self, caller: &Caller, place: Place, source: Option<Source>) -> Result<Rendered> {
        caller.require(Topic::Settings.read())?;
        let place = checked_place(place)?;
        self.check_whose(self.db.read(), &place).await?;
        let source = match source {
            Some(source) => {
                self.check_source(&source, &place)?;
                source
            }
            None => self.template_for(self.db.read(), &place).await?.source,
        };
        let theme = self.choices(self.db.read()).await?.theme;
        let facts = self.sample(place.kind, &place.locale, theme, true);
        render(&source, &facts).map_err(|fault| Error::from(refusal(fault)))
    }

    async fn check_whose(&self, db: &impl ConnectionTrait, place: &Place) -> Result<()> {
        if let Some(company) = place.company
            && !store::key::is_company(db, company).await?
        {
            return Err(Error::not_found("companyId", "company"));
        }
        if let Some(product) = place.product
            && store::product::products(db, &[product]).await?.is_empty()
        {
            return Err(Error::not_found("productId", "product"));
        }
        Ok(())
    }

    fn check_source(&self, source: &Source, place: &Place) -> Result<()> {
        let mut faults = Faults::default();
        let parts = [
            ("subject", Some(&source.subject), MAX_SUBJECT),
            ("text", Some(&source.text), MAX_BODY),
            ("html", source.html.as_ref(), MAX_BODY),
        ];
        for (part, given, limit) in parts {
            let Some(given) = given else { continue };
            if given.trim().is_empty() {
                faults.add(Refusal::at(
                    Code::Required,
                    ["template", part],
                    format!("The {part} is empty; write a template, or leave the whole out."),
                ));
            } else if given.chars().count() > limit {
                faults.add(Refusal::at(
                    Code::TooLong,
                    ["template", part],
                    format!("The {part} is too long; at most {limit} characters are allowed."),
                ));
            } else if given.contains('\0') {
                faults.add(Refusal::at(Code::Invalid, ["template", part], format!("The {part} holds the character U+0000; take it out.")));
            }
        }
        faults.check()?;
        // With all that there can be, and with as little as there can be: what is missing in one mail must not stop another.
        for all in [true, false] {
            render(source, &self.sample(place.kind, &place.locale, Theme::default(), all)).map_err(|fault| Error::from(refusal(fault)))?;
        }
        Ok(())
    }

    /// Made-up facts for a kind, with all that there can be or with as little as possible.
    fn sample(&self, kind: TemplateKind, locale: &str, theme: Theme, all: bool) -> Facts {
        let words = Language::of(locale);
        let dollars = |minor| words.money(domain::Money::new(minor, self.shop.base_currency));
        let some = |text: &str| all.then(|| text.to_owned());
        let at = self.now();
        let ends = words.instant(at + chrono::TimeDelta::days(3), self.shop.time_zone);
        let page = matches!(kind, TemplateKind::ReceiptPage | TemplateKind::DeclinePage);
        let declined = matches!(kind, TemplateKind::PaymentDeclined | TemplateKind::DeclinePage);
        let has_order = declined || matches!(kind, TemplateKind::OrderConfirmation | TemplateKind::OwnerCopy | TemplateKind::ReceiptPage);
        let line = |kind, sku: &str, title: &str, quantity: u32, minor| LineFacts {
            kind,
            sku: sku.to_owned(),
            title: title.to_owned(),
            quantity,
            total: dollars(minor),
            text: page.then(|| words.line_open().to_owned()),
            when: some("2026-05-04 09:00–17:30 CEST"),
            place: some("Main hall"),
            learner: (kind == "LEARNER").then(|| "Bo Lind".to_owned()),
            credits: all.then(|| words.credits(u64::from(quantity) * 50)),
            courses: some("Rust from the first line").into_iter().collect(),
            codes: (kind == "SEATS").then(|| "7K2M9-4XQPT-W3HBN".to_owned()).into_iter().collect(),
            more_codes: (kind == "SEATS").then_some(2),
        };
        let lines = match (has_order, all) {
            (true, true) => vec![
                line("SELF", "RUST-PATH", "The Rust path", 1, 14_900),
                line("SEATS", "SQL-1", "SQL in practice", 3, 9_000),
                line("LEARNER", "GIT-1", "Git without fear", 1, 2_000),
            ],
            (true, false) => vec![line("SELF", "RUST-PATH", "The Rust path", 1, 14_900)],
            (false, true) if kind == TemplateKind::SignInLink => vec![line("LEARNER", "GIT-1", "Git without fear", 1, 2_000)],
            (false, _) => Vec::new(),
        };
        let link = (all || kind == TemplateKind::SignInLink).then(|| format!("{}/account/link/EXAMPLE", self.shop.public_url));
        Facts {
            shop: self.shop_facts(),
            theme: ThemeFacts::of(theme),
            locale: locale.to_owned(),
            recipient: Recipient { name: some("Ann Lee"), email: "ann@example.org".to_owned() },
            company: some("Acme"),
            order: has_order.then(|| OrderFacts {
                number: "B7K2-M94X".to_owned(),
                placed: words.instant(at, self.shop.time_zone),
                total: dollars(if all { 25_900 } else { 14_900 }),
                discount: all.then(|| dollars(0)),
                tax: all.then(|| dollars(4_843)),
                tax_included: self.shop.prices_include_tax,
                buyer_name: some("Ann Lee"),
                buyer_email: some("ann@example.org"),
            }),
            lines,
            link_ends: link.as_ref().map(|_| ends.clone()),
            link,
            receipt: (kind == TemplateKind::ReceiptPage).then(|| words.receipt(ReceiptState::Open).to_owned()),
            decline: declined.then(|| DeclineFacts {
                reason: some("insufficient_funds"),
                text: words.decline(all.then_some("insufficient_funds")).to_owned(),
                until: some(&ends),
            }),
            access: (kind == TemplateKind::AccessEndsSoon).then(|| AccessFacts {
                title: "The Rust path".to_owned(),
                ends: ends.clone(),
                day: words.day(at, self.shop.time_zone),
                url: all.then(|| format!("{}/form/RUST-PATH", self.shop.public_url)),
            }),
            quote: (kind == TemplateKind::SalesQuote).then(|| QuoteFacts {
                number: "B7K2M-94XQP".to_owned(),
                po_number: some("PO 4711"),
                total: dollars(9_900),
                until: some(&ends),
                terms: some("Within 30 days"),
                lines: vec![QuoteLineFacts {
                    title: "The Rust path".to_owned(),
                    quantity: 11,
                    each: all.then(|| dollars(900)),
                    total: dollars(9_900),
                }],
            }),
            token: (kind == TemplateKind::TokenHandover).then(|| TokenFacts {
                code: "7K2M9-4XQPT-W3HBN".to_owned(),
                title: "The Rust path".to_owned(),
                when: some("2026-05-04 09:00–17:30 CEST"),
                place: some("Main hall"),
                ends: some(&ends),
            }),
            shortage: (kind == TemplateKind::CreditsShort).then(|| ShortageFacts {
                title: "Lifetimes in an hour".to_owned(),
                needed: words.credits(5),
                held: words.credits(if all { 3 } else { 0 }),
                missing: words.credits(if all { 2 } else { 5 }),
                sales: all
                    .then(|| SaleFacts {
                        title: "Twenty credits".to_owned(),
                        credits: words.credits(20),
                        price: dollars(1_900),
                        url: format!("{}/form/CREDITS-20", self.shop.public_url),
                    })
                    .into_iter()
                    .collect(),
            }),
        }
    }

    pub(super) fn shop_facts(&self) -> ShopFacts {
        ShopFacts { name: self.shop.name.clone(), url: self.shop.public_url.clone() }
    }
}

fn checked_place(place: Place) -> Result<Place> {
    let locale = text::locale(&place.locale).map_err(|reason| Refusal::from(reason).under(["locale"]))?;
    Ok(Place { locale: canonical_locale(&locale), ..place })
}

fn refusal(fault: TemplateFault) -> Refusal {
    let place = fault.line.map(|line| format!("Line {line}: ")).unwrap_or_default();
    Refusal::at(
        Code::Invalid,
        ["template", fault.part],
        format!("{place}{}. Mend the template, or look at one by templatePreview.", fault.what),
    )
}

/// Fills the template of a page. One of the shop's own that makes no text is passed over: what a buyer is shown must not hang on it.
pub(super) fn render_page(template: &Effective, facts: &Facts) -> Result<Rendered> {
    let fault = match render(&template.source, facts) {
        Ok(page) => return Ok(page),
        Err(fault) => fault,
    };
    tracing::error!(place = template.place.name(), %fault, "a template makes no page; the shipped one is shown");
    let language = facts.locale.split('-').next().unwrap_or_default();
    let source = shipped(template.place.kind, language).or_else(|| shipped(template.place.kind, "en"));
    let source = source.ok_or_else(|| crate::internal!("a page is not shipped in English"))?;
    render(&source, facts).map_err(|fault| crate::internal!("the shipped template: {fault}"))
}

/// The template of this kind and locale that comes with the program.
fn shipped(kind: TemplateKind, locale: &str) -> Option<Source> {
    let (_, _, file) = SHIPPED.iter().find(|(known, language, _)| *known == kind && *language == locale)?;
    let part = |name: &str| {
        let (_, rest) = file.split_once(&format!("=== {name}\n"))?;
        Some(rest.split_once("\n=== ").map_or(rest, |(part, _)| part).trim_end().to_owned())
    };
    Some(Source { subject: part("subject")?, text: part("text")?, html: part("html") })
}

/// Fills a template.
pub(super) fn render(source: &Source, facts: &Facts) -> Result<Rendered, TemplateFault> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.set_fuel(Some(FUEL));
    let fault = |part: &'static str, error: minijinja::Error| {
        let what = match error.kind() {
            ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
            kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
        };
        TemplateFault { part, line: error.line(), what }
    };
    for (name, file) in [("layout.html", include_str!("template/layout.html")), ("parts.html", include_str!("template/parts.html"))] {
        templates.add_template(name, file).map_err(|error| fault("html", error))?;
    }
    let facts = Value::from(Serde(facts));
    // The ending decides: what goes into HTML is escaped, what goes into plain text stays as it is.
    let parts = [
        ("subject", "subject.txt", Some(&source.subject)),
        ("text", "text.txt", Some(&source.text)),
        ("html", "mail.html", source.html.as_ref()),
    ];
    let mut made = Vec::new();
    for (part, name, template) in parts {
        let Some(template) = template else { continue };
        let filled = templates.render_named_str(name, template, &facts).map_err(|error| fault(part, error))?;
        if filled.len() > MAX_RENDERED {
            return Err(TemplateFault { part, line: None, what: format!("it makes more than {MAX_RENDERED} bytes") });
        }
        made.push(filled);
    }
    let mut made = made.into_iter();
    let subject = one_line(&made.next().unwrap_or_default());
    if subject.is_empty() {
        return Err(TemplateFault { part: "subject", line: None, what: "it makes an empty line".to_owned() });
    }
    Ok(Rendered { subject, text: made.next().unwrap_or_default(), html: made.next() })
}

/// The text on one line: no name in it begins another header.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(MAX_SUBJECT_LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_shipped_in_english_and_in_polish_with_all_its_parts() {
        for kind in TemplateKind::ALL {
            for locale in ["en", "pl"] {
                let source = shipped(*kind, locale).unwrap_or_else(|| panic!("{kind} in {locale}"));
                assert!(!source.subject.is_empty() && !source.subject.contains('\n'), "{kind} in {locale}: {:?}", source.subject);
                assert!(!source.text.is_empty() && source.html.is_some(), "{kind} in {locale}");
                assert!(!source.text.contains("=== "), "{kind} in {locale}");
            }
        }
    }

    #[test]
    fn a_subject_is_one_line() {
        assert_eq!(one_line(" Order\r\nBcc: x@example.org\u{0}\t 7 "), "Order Bcc: x@example.org 7");
        assert_eq!(one_line(&"x".repeat(300)).len(), MAX_SUBJECT_LINE);
    }
}
