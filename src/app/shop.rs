//! What operators choose for the shop while it runs: its look, who gets copies of confirmations, how many mails an order makes.
//!
//! Always true here: a choice is checked when it is made, so that pages and mails can use it as it stands.

use domain::mail::OrderMails;
use domain::refusal::Code;
use domain::sales_order::TokensOn;
use domain::text::{self, Email};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::{App, Object};
use crate::error::{Faults, Refusal, Result};
use crate::store;

/// Most addresses that get a copy of confirmations.
pub const MAX_OWNER_COPIES: usize = 10;
/// Most days before the end of access that a mail can tell of it.
pub const MAX_NOTICE_DAYS: u32 = 90;
/// Most characters of an address of a picture.
const MAX_URL: usize = 2_000;
/// Most characters of the text at the foot.
const MAX_FOOTER: usize = 500;
/// Most characters of who sells.
const MAX_SELLER: usize = 1_000;
/// Most characters of a list of fonts.
const MAX_FONT: usize = 200;

/// How mails and pages look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Theme {
    /// Where the logo is, by https.
    pub logo: Option<String>,
    /// Colour of buttons and links, as #rrggbb.
    pub primary: String,
    /// Colour of the ground.
    pub background: String,
    /// Colour of text.
    pub text: String,
    /// Fonts, the first that there is.
    pub font: String,
    /// A line or two at the foot.
    pub footer: Option<String>,
}

impl Default for Theme {
    fn default() -> Self {
        Self {
            logo: None,
            primary: "#14507a".to_owned(),
            background: "#ffffff".to_owned(),
            text: "#1c1c1c".to_owned(),
            font: "system-ui, sans-serif".to_owned(),
            footer: None,
        }
    }
}

impl Theme {
    /// The colour that can be read on [`Theme::primary`]: black or white, whichever contrasts more.
    pub fn on_primary(&self) -> &'static str {
        let channel = |at: usize| self.primary.get(at..at + 2).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
        // Brightness as the eye weighs it, in thousandths of 255.
        let bright = 299 * channel(1) + 587 * channel(3) + 114 * channel(5);
        if bright >= 150 * 1_000 { "#000000" } else { "#ffffff" }
    }
}

/// All that is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Choices {
    /// How mails and pages look.
    pub theme: Theme,
    /// Who gets a copy of confirmations, as a message of its own.
    pub owner_copies: Vec<String>,
    /// How many mails an order makes.
    pub order_mails: OrderMails,
    /// How many days before its end a learner is told; 0 = never.
    pub access_notice_days: u32,
    /// When the seats of sales orders are given, where the company has no say of its own.
    pub tokens_on: TokensOn,
    /// Who sells, as invoices say it; the shop's name when absent.
    pub invoice_seller: Option<String>,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            theme: Theme::default(),
            owner_copies: Vec::new(),
            order_mails: OrderMails::PerOrder,
            access_notice_days: 7,
            tokens_on: TokensOn::Payment,
            invoice_seller: None,
        }
    }
}

/// Changes of the look; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct ThemeChange {
    /// The logo; `Some(None)` takes it away.
    pub logo: Option<Option<String>>,
    /// Colour of buttons and links.
    pub primary: Option<String>,
    /// Colour of the ground.
    pub background: Option<String>,
    /// Colour of text.
    pub text: Option<String>,
    /// Fonts.
    pub font: Option<String>,
    /// The foot; `Some(None)` takes it away.
    pub footer: Option<Option<String>>,
}

/// Changes of the choices; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct ChoicesChange {
    /// The look.
    pub theme: ThemeChange,
    /// Who gets copies.
    pub owner_copies: Option<Vec<String>>,
    /// How many mails an order makes.
    pub order_mails: Option<OrderMails>,
    /// When a learner is told of an end.
    pub access_notice_days: Option<u32>,
    /// When the seats of sales orders are given.
    pub tokens_on: Option<TokensOn>,
    /// Who sells; `Some(None)` = the shop's name.
    pub invoice_seller: Option<Option<String>>,
}

impl App {
    /// What is chosen for the shop.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn choices(&self, db: &impl ConnectionTrait) -> Result<Choices> {
        let stored = store::template::choices(db).await?;
        Ok(stored.map(serde_json::from_value).transpose()?.unwrap_or_default())
    }

    /// How the shop looks, for everybody.
    ///
    /// # Errors
    /// The database's.
    pub async fn theme(&self) -> Result<Theme> {
        Ok(self.choices(self.db.read()).await?.theme)
    }

    /// What is chosen for the shop.
    ///
    /// # Errors
    /// Needs the scope `settings:read`.
    pub async fn shop_settings(&self, caller: &Caller) -> Result<Choices> {
        caller.require(Topic::Settings.read())?;
        self.choices(self.db.read()).await
    }

    /// Changes what is chosen; what is left out stays.
    ///
    /// # Errors
    /// What is wrong with a choice; needs the scope `settings:write`.
    pub async fn shop_settings_update(&self, caller: &Caller, change: ChoicesChange) -> Result<Choices> {
        caller.require(Topic::Settings.write())?;
        let txn = self.db.begin().await?;
        // Two changes of different choices must not undo one another.
        store::installation::lock(&txn).await?;
        let old = self.choices(&txn).await?;
        let new = changed(old.clone(), change)?;
        if new != old {
            store::template::choose(&txn, json!(new), self.now()).await?;
            let object = Object::new("shop", Uuid::nil());
            self.audit(&txn, caller, "shopSettingsUpdate", object, Some(json!(old)), Some(json!(new))).await?;
        }
        txn.commit().await?;
        Ok(new)
    }
}

fn changed(mut choices: Choices, change: ChoicesChange) -> Result<Choices> {
    let mut faults = Faults::default();
    let theme = change.theme;
    if let Some(logo) = theme.logo {
        choices.theme.logo = logo.and_then(|logo| faults.of(picture(&logo)));
    }
    let colours = [
        ("primary", theme.primary, &mut choices.theme.primary),
        ("background", theme.background, &mut choices.theme.background),
        ("text", theme.text, &mut choices.theme.text),
    ];
    for (field, given, place) in colours {
        if let Some(colour) = given.and_then(|given| faults.of(colour(field, &given))) {
            *place = colour;
        }
    }
    if let Some(font) = theme.font.and_then(|given| faults.of(font(&given))) {
        choices.theme.font = font;
    }
    if let Some(footer) = theme.footer {
        let checked = footer.map(|footer| text::line("footer", &footer, MAX_FOOTER)).transpose();
        choices.theme.footer = faults.of(checked.map_err(|reason| Refusal::from(reason).under(["theme", "footer"]))).flatten();
    }
    if let Some(copies) = change.owner_copies {
        choices.owner_copies = addresses(&copies, &mut faults);
    }
    if let Some(mails) = change.order_mails {
        choices.order_mails = mails;
    }
    if let Some(days) = change.access_notice_days {
        if days > MAX_NOTICE_DAYS {
            let message = format!("{days} days are too many; write 0 (never) to {MAX_NOTICE_DAYS}.");
            faults.add(Refusal::at(Code::TooLarge, ["accessNoticeDays"], message));
        }
        choices.access_notice_days = days;
    }
    choices.tokens_on = change.tokens_on.unwrap_or(choices.tokens_on);
    if let Some(seller) = change.invoice_seller {
        let checked = seller.map(|seller| text::lines("seller", &seller, MAX_SELLER)).transpose();
        choices.invoice_seller = faults.at("invoiceSeller", checked).flatten().filter(|seller| !seller.is_empty());
    }
    faults.check()?;
    Ok(choices)
}

fn addresses(copies: &[String], faults: &mut Faults) -> Vec<String> {
    if copies.len() > MAX_OWNER_COPIES {
        let message = format!("{} addresses are too many; name {MAX_OWNER_COPIES} at most.", copies.len());
        faults.add(Refusal::at(Code::TooLong, ["ownerCopies"], message));
    }
    let mut known: Vec<Email> = Vec::new();
    for (place, copy) in copies.iter().enumerate() {
        let path = ["ownerCopies".to_owned(), place.to_string()];
        match Email::parse(copy) {
            Ok(email) if known.contains(&email) => {
                faults.add(Refusal::at(Code::Repeated, path, "This address stands there already; name each once."));
            }
            Ok(email) => known.push(email),
            Err(reason) => faults.add(Refusal::from(reason).under(path)),
        }
    }
    known.iter().map(|email| email.as_str().to_owned()).collect()
}

/// The address of a picture, which is fetched by whoever reads a mail or a page.
fn picture(text: &str) -> Result<String, Refusal> {
    let wrong =
        || Refusal::at(Code::Invalid, ["theme", "logo"], "Give the logo's address by https, such as https://shop.example/logo.png.");
    let text = text.trim();
    let host = text.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let fits = text.len() <= MAX_URL && text.chars().all(|c| c.is_ascii_graphic() && !"\"'<>\\`{}|^".contains(c));
    let host_fits = host.is_some_and(|host| !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c)));
    if fits && host_fits { Ok(text.to_owned()) } else { Err(wrong()) }
}

fn colour(field: &'static str, text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let hex = text.strip_prefix('#').is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hex {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Refusal::at(Code::Invalid, ["theme", field], "Give a colour as # and six hexadecimal digits, such as #14507a."))
}

/// A list of fonts, of characters that mean nothing else in a style sheet.
fn font(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let fits = !text.is_empty() && text.len() <= MAX_FONT && text.chars().all(|c| c.is_ascii_alphanumeric() || " ,-".contains(c));
    if fits {
        return Ok(text.to_owned());
    }
    let message = "Give names of fonts with commas between them, without quotes, such as Inter, Helvetica Neue, sans-serif.";
    Err(Refusal::at(Code::Invalid, ["theme", "font"], message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_button_contrasts_with_its_colour() {
        for (primary, on) in [("#14507a", "#ffffff"), ("#ffdd00", "#000000"), ("#ffffff", "#000000"), ("#000000", "#ffffff")] {
            assert_eq!(Theme { primary: primary.to_owned(), ..Theme::default() }.on_primary(), on, "{primary}");
        }
    }

    #[test]
    fn a_look_holds_nothing_that_leaves_its_place_in_a_page() {
        for bad in
            ["http://shop.example/l.png", "https://", "https:///x", "javascript:alert(1)", "https://a b/", "https://a/\"onerror=", "data:x"]
        {
            assert!(picture(bad).is_err(), "{bad}");
        }
        assert_eq!(picture(" https://cdn.shop.example:8443/l.svg?v=2 ").as_deref(), Ok("https://cdn.shop.example:8443/l.svg?v=2"));
        for bad in ["red", "#fff", "#12345g", "#1234567", "", "#000000;x:y"] {
            assert!(colour("primary", bad).is_err(), "{bad}");
        }
        assert_eq!(colour("primary", "#ABCDEF").as_deref(), Ok("#abcdef"));
        for bad in ["", "Inter;color:red", "a{b}", "\"Inter\"", "url(x)"] {
            assert!(font(bad).is_err(), "{bad}");
        }
    }
}
