//! Settings, read once at start: from `bursar.toml`, over it the environment, over that the command line.
//!
//! Always true here: each default is written once, beside its key; a key that nobody knows is refused; whatever is wrong is named with its key
//! and with what to write instead, all of it at once; a secret is never in a message.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use confique::meta::{FieldKind, LeafKind, Meta};
use confique::{Config, Layer};
use domain::Currency;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

pub mod gateway;

pub use gateway::GatewaySettings;

/// The file that is read when none is named and it is there.
pub const FILE: &str = "bursar.toml";

/// The variable that names another file.
pub const FILE_VARIABLE: &str = "BURSAR_CONFIG";

/// Everything that can be set, beside the gateways.
#[derive(Debug, Clone, Config)]
pub struct Settings {
    /// Directory of the embedded database, of its secret, and of the sandbox gateway's state.
    #[config(env = "BURSAR_DATA", default = "data")]
    pub data: PathBuf,
    /// Installation secret, 32 characters or more: from the environment only. With the embedded database it is made at the first start, in
    /// `installation.secret` of the data directory; with PostgreSQL it must be given, the same to each process.
    #[config(env = "BURSAR_SECRET")]
    pub secret: Option<SecretString>,
    /// How the shop is reached.
    #[config(nested)]
    pub server: ServerSettings,
    /// Where the shop's tables are.
    #[config(nested)]
    pub database: DatabaseSettings,
    /// How the shop behaves.
    #[config(nested)]
    pub shop: ShopSettings,
    /// How mails leave the shop.
    #[config(nested)]
    pub mail: MailSettings,
    /// How other systems are told of events.
    #[config(nested)]
    pub events: EventSettings,
    /// What one request may ask for.
    #[config(nested)]
    pub limits: LimitSettings,
    /// What is written to standard error.
    #[config(nested)]
    pub log: LogSettings,
}

/// How the shop is reached.
#[derive(Debug, Clone, Config)]
pub struct ServerSettings {
    /// Address and port to listen on; port 0 takes a free one.
    #[config(env = "BURSAR_SERVER_BIND", default = "127.0.0.1:8080", deserialize_with = socket_address)]
    pub bind: SocketAddr,
    /// Origins whose web pages may call the API, such as `https://shop.example`; `*` alone for all. In the environment with commas.
    #[config(env = "BURSAR_SERVER_CORS_ORIGINS", default = [], parse_env = commas)]
    pub cors_origins: Vec<String>,
    /// Addresses or networks of our own proxies, whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`. In the environment with commas.
    #[config(env = "BURSAR_SERVER_TRUSTED_PROXIES", default = [], parse_env = commas)]
    pub trusted_proxies: Vec<String>,
    /// Seconds that a stop waits for requests and jobs that are under way.
    #[config(env = "BURSAR_SERVER_STOP_S", default = 30)]
    pub stop_s: u32,
}

/// Where the shop's tables are.
#[derive(Debug, Clone, Config)]
pub struct DatabaseSettings {
    /// `postgres://USER:PASSWORD@HOST/NAME`, or `sqlite://FILE`. Not set: SQLite, in `bursar.db` of the data directory.
    #[config(env = "BURSAR_DATABASE_URL")]
    pub url: Option<SecretString>,
    /// Connections of this process: PostgreSQL's, or the readers of SQLite.
    #[config(env = "BURSAR_DATABASE_POOL", default = 8)]
    pub pool: u32,
}

/// What the shop is set to.
#[derive(Debug, Clone, Config)]
pub struct ShopSettings {
    /// Name of the shop, for pages and receipts.
    #[config(env = "BURSAR_SHOP_NAME", default = "Bursar demo shop")]
    pub name: String,
    /// Address under which buyers reach the shop, without a slash at the end, such as `https://shop.example`. Empty: the address it listens on.
    #[config(env = "BURSAR_SHOP_PUBLIC_URL", default = "")]
    pub public_url: String,
    /// Origins, beside the shop's own, that a buyer's browser may be sent back to after paying (`returnUrl`), such as `https://www.shop.example`.
    /// In the environment with commas. A shop that is reached at a loopback address sends back to any other of those too.
    #[config(env = "BURSAR_SHOP_RETURN_ORIGINS", default = [], parse_env = commas)]
    pub return_origins: Vec<String>,
    /// Base currency: prices in other currencies are converted from it. It is fixed once there is a price.
    #[config(env = "BURSAR_SHOP_BASE_CURRENCY", default = "USD")]
    pub base_currency: Currency,
    /// IANA zone of days and windows where no company's is concerned.
    #[config(env = "BURSAR_SHOP_TIME_ZONE", default = "UTC", deserialize_with = time_zone)]
    pub time_zone: Tz,
    /// Locale of texts where nothing else is asked for.
    #[config(env = "BURSAR_SHOP_LOCALE", default = "en")]
    pub locale: String,
    /// Whether prices include tax.
    #[config(env = "BURSAR_SHOP_PRICES_INCLUDE_TAX", default = true)]
    pub prices_include_tax: bool,
    /// ISO 3166 code of the country whose taxes hold where neither the buyer nor the company says another. Empty: no tax there.
    #[config(env = "BURSAR_SHOP_COUNTRY", default = "", deserialize_with = country)]
    pub country: String,
    /// Whether an order can have more than one item.
    #[config(env = "BURSAR_SHOP_SEVERAL_ITEMS_PER_ORDER", default = true)]
    pub several_items_per_order: bool,
    /// Whether the shop takes coupons.
    #[config(env = "BURSAR_SHOP_COUPONS_ENABLED", default = true)]
    pub coupons_enabled: bool,
    /// Days for which answers to idempotency keys are kept.
    #[config(env = "BURSAR_SHOP_IDEMPOTENCY_DAYS", default = 30)]
    pub idempotency_days: u32,
    /// Days for which a cart's secret opens the guest's order.
    #[config(env = "BURSAR_SHOP_GUEST_ORDER_DAYS", default = 7)]
    pub guest_order_days: u32,
    /// Hours for which a sign-in is good.
    #[config(env = "BURSAR_SHOP_SIGN_IN_HOURS", default = 24)]
    pub sign_in_hours: u32,
    /// Days for which a signing key signs, before the next one does.
    #[config(env = "BURSAR_SHOP_SIGNING_KEY_DAYS", default = 30)]
    pub signing_key_days: u32,
    /// Hours for which a one-time link works.
    #[config(env = "BURSAR_SHOP_LINK_HOURS", default = 72)]
    pub link_hours: u32,
    /// Seconds after which a paid order that is not fulfilled is shown to the operator.
    #[config(env = "BURSAR_SHOP_PAID_NOT_GIVEN_AFTER_S", default = 60)]
    pub paid_not_given_after_s: u32,
    /// Days for which mails are kept.
    #[config(env = "BURSAR_SHOP_MAIL_DAYS", default = 90)]
    pub mail_days: u32,
    /// Minutes for which the link to a file (`csvUrl`) works.
    #[config(env = "BURSAR_SHOP_CSV_LINK_MINUTES", default = 15)]
    pub csv_link_minutes: u32,
    /// Locale of dates and decimals in files, such as `de-AT`, where `csvUrl` names none. Empty: as programs read them.
    #[config(env = "BURSAR_SHOP_CSV_LOCALE", default = "")]
    pub csv_locale: String,
    /// Whether access ends when a dispute is lost.
    #[config(env = "BURSAR_SHOP_END_ACCESS_ON_LOST_DISPUTE", default = true)]
    pub end_access_on_lost_dispute: bool,
}

impl Default for ShopSettings {
    fn default() -> Self {
        Self::builder().load().expect("every setting of the shop has a default that fits")
    }
}

/// How mails leave the shop.
#[derive(Debug, Clone, Config)]
pub struct MailSettings {
    /// The mail server: `smtps://USER:PASSWORD@HOST`, or `smtp://USER:PASSWORD@HOST:587?tls=required`. Not set: mails stay in the outbox.
    #[config(env = "BURSAR_MAIL_SMTP_URL")]
    pub smtp_url: Option<SecretString>,
    /// The address that mails come from, such as `shop@shop.example` or `The Shop <shop@shop.example>`. Needed with a mail server.
    #[config(env = "BURSAR_MAIL_FROM")]
    pub from: Option<String>,
    /// The address that answers go to, if another.
    #[config(env = "BURSAR_MAIL_REPLY_TO")]
    pub reply_to: Option<String>,
    /// Seconds that the mail server may take for a message.
    #[config(env = "BURSAR_MAIL_TIMEOUT_S", default = 20)]
    pub timeout_s: u32,
}

/// How other systems are told of events.
#[derive(Debug, Clone, Config)]
pub struct EventSettings {
    /// Whether endpoints may be on this machine and in private networks, and be told by plain http.
    #[config(env = "BURSAR_EVENTS_ALLOW_PRIVATE", default = false)]
    pub allow_private: bool,
    /// Seconds that an endpoint may take to answer.
    #[config(env = "BURSAR_EVENTS_TIMEOUT_S", default = 15)]
    pub timeout_s: u32,
}

/// What one request may ask for.
#[derive(Debug, Clone, Config)]
pub struct LimitSettings {
    /// Largest body of a request, in bytes.
    #[config(env = "BURSAR_LIMITS_BODY_BYTES", default = 8_388_608)]
    pub body_bytes: usize,
    /// Seconds that a query or mutation may take.
    #[config(env = "BURSAR_LIMITS_TIME_S", default = 30)]
    pub time_s: u32,
    /// Fields within one another.
    #[config(env = "BURSAR_LIMITS_DEPTH", default = 20)]
    pub depth: usize,
    /// Cost of an operation: fields, counted for each entry of the lists that they are in.
    #[config(env = "BURSAR_LIMITS_COST", default = 20_000)]
    pub cost: usize,
    /// Aliases in a document.
    #[config(env = "BURSAR_LIMITS_ALIASES", default = 200)]
    pub aliases: usize,
}

/// What is written to standard error.
#[derive(Debug, Clone, Config)]
pub struct LogSettings {
    /// `json` (an object for each line) or `text`.
    #[config(env = "BURSAR_LOG_FORMAT", default = "text", deserialize_with = log_format)]
    pub format: LogFormat,
    /// How much: `error`, `warn`, `info`, `debug` or `trace`, also for parts, such as `info,bursar::access=warn`.
    #[config(env = "BURSAR_LOG_FILTER", default = "info,sea_orm_migration=warn")]
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key as in the file, such as `shop.time_zone`, or the variable.
    pub key: String,
    /// What is wrong, and what to write.
    pub what: String,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Each mistake, in the order of the keys.
    pub list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "the settings (environment and {}) cannot be used:", file.display())?,
            None => f.write_str("the settings (environment) cannot be used:")?,
        }
        for Mistake { key, what } in &self.list {
            write!(f, "\n  {key}: {what}")?;
        }
        Ok(())
    }
}

/// The settings of one start.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// The settings.
    pub settings: Settings,
    /// The payment gateways.
    pub gateways: Vec<GatewaySettings>,
}

impl Configuration {
    /// Reads `file`, or [`FILE`] in the current directory if it is there, and the environment.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn read(file: Option<&Path>) -> Result<Self, Mistakes> {
        let here = Path::new(FILE);
        let file = file.or_else(|| here.exists().then_some(here)).map(Path::to_path_buf);
        let mut found = Found::default();
        let text = file.as_deref().map_or_else(String::new, |path| {
            std::fs::read_to_string(path).unwrap_or_else(|error| {
                found.add(path.display(), format!("cannot be read ({error}); name the file by --config or {FILE_VARIABLE}"));
                String::new()
            })
        });
        let environment = <Settings as Config>::Layer::from_env().unwrap_or_else(|error| {
            found.add("environment", format!("{error:#}"));
            <Settings as Config>::Layer::empty()
        });
        Self::assemble(file, &text, environment, found)
    }

    /// Reads the text of a file, without the environment.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        Self::assemble(None, text, <Settings as Config>::Layer::empty(), Found::default())
    }

    fn assemble(file: Option<PathBuf>, text: &str, environment: <Settings as Config>::Layer, mut found: Found) -> Result<Self, Mistakes> {
        let table = text.parse::<Table>().unwrap_or_else(|error| {
            let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(""));
            found.add(format_args!("line {}", before.matches('\n').count() + 1), format!("is not TOML: {}", error.message()));
            Table::new()
        });
        let from_file = read_keys(&table, &Settings::META, "", &mut found);
        let gateways = gateway::read(table.get(GATEWAYS), &mut found);
        let layer = environment.with_fallback(from_file).with_fallback(<Settings as Config>::Layer::default_values());
        let settings = Settings::from_layer(layer).map_err(|error| found.add("settings", format!("{error:#}"))).ok();
        if let Some(settings) = &settings {
            check(settings, &mut found);
        }
        match settings {
            Some(settings) if found.0.is_empty() => Ok(Self { file, settings, gateways }),
            _ => Err(Mistakes { file, list: found.0 }),
        }
    }
}

/// The key of the gateways, which are a list of tables.
const GATEWAYS: &str = "gateways";

/// Mistakes as they are found.
#[derive(Debug, Default)]
struct Found(Vec<Mistake>);

impl Found {
    fn add(&mut self, key: impl fmt::Display, what: impl Into<String>) {
        self.0.push(Mistake { key: key.to_string(), what: what.into() });
    }
}

/// What `table` says for the keys that `meta` knows. Each key is read by itself, so that every mistake is found, and its message is about that
/// key and shows no other's value.
fn read_keys(table: &Table, meta: &'static Meta, path: &str, found: &mut Found) -> <Settings as Config>::Layer {
    let mut layer = <Settings as Config>::Layer::empty();
    for (name, value) in table {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let field = meta.fields.iter().find(|field| field.name == name);
        match (field.map(|field| &field.kind), value) {
            _ if key == GATEWAYS => {}
            _ if key == "secret" => found.add(key, "does not belong into a file; set the environment variable BURSAR_SECRET"),
            (None, _) => found.add(key, unknown(name, meta)),
            (Some(FieldKind::Nested { meta }), Value::Table(inner)) => {
                layer = read_keys(inner, meta, &key, found).with_fallback(layer);
            }
            (Some(FieldKind::Nested { meta }), _) => {
                found.add(key, format!("is a section: write [{name}] and its keys below, {}", names(meta)))
            }
            (Some(FieldKind::Leaf { .. }), value) => {
                let nested = key.rsplit('.').fold(value.clone(), |inner, part| Value::Table(Table::from_iter([(part.to_owned(), inner)])));
                match <Settings as Config>::Layer::deserialize(nested) {
                    Ok(one) => layer = one.with_fallback(layer),
                    Err(error) => found.add(key, error.message()),
                }
            }
        }
    }
    layer
}

fn names(meta: &Meta) -> String {
    meta.fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
}

fn unknown(name: &str, meta: &Meta) -> String {
    // The top of the file has gateways beside what the type knows.
    let more = if meta.name == Settings::META.name { ", gateways" } else { "" };
    format!("is unknown: {name:?} is none of {}{more}", names(meta))
}

/// What no type can say.
fn check(settings: &Settings, found: &mut Found) {
    let Settings { secret, server, database, shop, mail, events, limits, log, .. } = settings;
    if secret.as_ref().is_some_and(|secret| secret.expose_secret().trim().is_empty()) {
        found.add("BURSAR_SECRET", "is empty; give at least 32 random characters, or do not set it");
    }
    if let Some(url) = &database.url {
        let url = url.expose_secret();
        if !["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme)) {
            found.add("database.url", "must begin with postgres:// or sqlite://");
        }
    }
    if shop.name.trim().is_empty() {
        found.add("shop.name", "is empty; write what the shop is called");
    }
    if !shop.public_url.is_empty()
        && let Err(why) = public_url(&shop.public_url)
    {
        found.add("shop.public_url", why);
    }
    for origin in &shop.return_origins {
        if let Err(why) = public_url(origin) {
            found.add("shop.return_origins", why);
        }
    }
    if let Err(refusal) = domain::text::locale(&shop.locale) {
        found.add("shop.locale", refusal.to_string());
    }
    if let Err(refusal) = domain::text::locale(&shop.csv_locale)
        && !shop.csv_locale.is_empty()
    {
        found.add("shop.csv_locale", refusal.to_string());
    }
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log.filter) {
        found.add("log.filter", format!("{error}; write a level such as info, or a list such as info,bursar::access=warn"));
    }
    const YEAR_DAYS: usize = 366;
    let within = [
        ("server.stop_s", server.stop_s as usize, 0, 3_600),
        ("database.pool", database.pool as usize, 1, 1_000),
        ("shop.idempotency_days", shop.idempotency_days as usize, 1, 10 * YEAR_DAYS),
        ("shop.guest_order_days", shop.guest_order_days as usize, 1, 10 * YEAR_DAYS),
        ("shop.sign_in_hours", shop.sign_in_hours as usize, 1, 24 * YEAR_DAYS),
        ("shop.signing_key_days", shop.signing_key_days as usize, 1, 10 * YEAR_DAYS),
        ("shop.link_hours", shop.link_hours as usize, 1, 24 * YEAR_DAYS),
        ("shop.paid_not_given_after_s", shop.paid_not_given_after_s as usize, 0, 86_400),
        ("shop.csv_link_minutes", shop.csv_link_minutes as usize, 1, 24 * 60),
        ("shop.mail_days", shop.mail_days as usize, 4, 10 * YEAR_DAYS),
        ("mail.timeout_s", mail.timeout_s as usize, 1, 55),
        ("events.timeout_s", events.timeout_s as usize, 1, 60),
        ("limits.body_bytes", limits.body_bytes, 1_024, 1 << 30),
        ("limits.time_s", limits.time_s as usize, 1, 3_600),
        ("limits.depth", limits.depth, 1, 32),
        ("limits.cost", limits.cost, 1, 10_000_000),
        ("limits.aliases", limits.aliases, 1, 100_000),
    ];
    for (key, value, least, most) in within {
        if !(least..=most).contains(&value) {
            found.add(key, format!("is {value}; write a whole number from {least} to {most}"));
        }
    }
}

/// An address of which paths are made: scheme and host, nothing behind.
fn public_url(text: &str) -> Result<(), String> {
    let wrong =
        || format!("{text:?} is no address of a shop; write scheme and host without a slash at the end, such as https://shop.example");
    let url: axum::http::Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (url.scheme_str(), url.authority()) else { return Err(wrong()) };
    if authority.as_str().contains('@') || text != format!("{scheme}://{authority}") { Err(wrong()) } else { Ok(()) }
}

fn socket_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "{text:?} is no address to listen on; write IP and port, such as 127.0.0.1:8080, 0.0.0.0:80 or [::1]:0"
        ))
    })
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is no IANA time zone; write one such as UTC or Europe/Budapest")))
}

fn country<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match String::deserialize(deserializer)? {
        text if text.is_empty() => Ok(text),
        text => domain::person::country_code(&text).map_err(serde::de::Error::custom),
    }
}

fn log_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogFormat, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        other => Err(serde::de::Error::custom(format!("{other:?} is neither json nor text"))),
    }
}

/// A list in an environment variable.
fn commas(text: &str) -> Result<Vec<String>, std::convert::Infallible> {
    Ok(text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect())
}

/// Every key with its variable and its default as TOML, in the order of the documentation. Keys of a gateway stand as `gateways.id`.
pub fn keys() -> Vec<Key> {
    fn of(meta: &Meta, path: &str, keys: &mut Vec<Key>) {
        for field in meta.fields {
            let name = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            match field.kind {
                FieldKind::Nested { meta } => of(meta, &name, keys),
                FieldKind::Leaf { env, kind } => {
                    let default = match kind {
                        LeafKind::Required { default } => default,
                        LeafKind::Optional => None,
                    };
                    let default = default.and_then(|default| Value::try_from(default).ok()).map(|default| default.to_string());
                    keys.push(Key { name, variable: env, default });
                }
            }
        }
    }
    let mut keys = Vec::new();
    of(&Settings::META, "", &mut keys);
    keys.extend(gateway::KEYS.iter().map(|(name, default)| {
        let default = (!default.is_empty()).then(|| (*default).to_owned());
        Key { name: format!("{GATEWAYS}.{name}"), variable: None, default }
    }));
    keys
}

/// One key of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Path in the file.
    pub name: String,
    /// The environment variable that goes before the file.
    pub variable: Option<&'static str>,
    /// What holds when it is not set, as it would be written.
    pub default: Option<String>,
}

/// Variables that begin with `BURSAR_` and that nobody reads: most likely a slip of the pen. `known` are those that the gateways name.
pub fn unread_variables(gateways: &[GatewaySettings]) -> Vec<String> {
    let mut known: BTreeSet<&str> = keys_of_environment().collect();
    known.insert(FILE_VARIABLE);
    known.extend(gateways.iter().flat_map(GatewaySettings::variables));
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("BURSAR_") && !known.contains(name.as_str()))
        .collect()
}

fn keys_of_environment() -> impl Iterator<Item = &'static str> {
    keys().into_iter().filter_map(|key| key.variable)
}

#[cfg(test)]
mod tests;
