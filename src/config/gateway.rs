//! `[[gateways]]`: which payment gateways there are, for whom, and where their secrets come from.
//!
//! Always true here: a secret stands in the file only as the name of a variable or of another file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::TimeDelta;
use domain::Currency;
use port::Mode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Map;
use toml::{Table, Value};

use super::Found;

/// The keys of a gateway, in the order of the documentation, and what holds when one is not set (nothing, if it is empty).
pub const KEYS: [(&str, &str); 10] = [
    ("id", ""),
    ("adapter", ""),
    ("mode", "\"test\""),
    ("companies", "[]"),
    ("currencies", "[]"),
    ("unpaid_for", ""),
    ("capture_at_once", "true"),
    ("base_url", ""),
    ("settings", "{}"),
    ("secrets", "{}"),
];

/// One payment gateway.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Its id, unique, part of its webhooks' address.
    pub id: String,
    /// Name of the adapter.
    pub adapter: String,
    /// Play money or real money.
    pub mode: Mode,
    /// Keys of the companies that it serves; empty = everybody.
    pub companies: Vec<String>,
    /// The currencies that it serves; empty = all that the adapter does.
    pub currencies: Vec<Currency>,
    /// How long an order waits for its money; the adapter's habit when not set.
    pub unpaid_for: Option<TimeDelta>,
    /// Whether to capture as soon as the gateway has authorised.
    pub capture_at_once: bool,
    /// Where the gateway's API is, if not at its usual address.
    pub base_url: Option<String>,
    /// The adapter's own settings.
    pub settings: Map<String, serde_json::Value>,
    /// The adapter's secrets by name.
    pub secrets: BTreeMap<String, SecretString>,
    variables: Vec<String>,
}

impl GatewaySettings {
    /// A gateway for everybody, with play money and nothing set.
    pub fn plain(id: &str, adapter: &str) -> Self {
        Self {
            id: id.to_owned(),
            adapter: adapter.to_owned(),
            mode: Mode::Test,
            companies: Vec::new(),
            currencies: Vec::new(),
            unpaid_for: None,
            capture_at_once: true,
            base_url: None,
            settings: Map::new(),
            secrets: BTreeMap::new(),
            variables: Vec::new(),
        }
    }

    /// The environment variables that its secrets were read from.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(String::as_str)
    }
}

/// Reads the list; without one, the two gateways that need nothing else.
pub(super) fn read(value: Option<&Value>, found: &mut Found) -> Vec<GatewaySettings> {
    let list = match value {
        None => return vec![GatewaySettings::plain("sandbox", "sandbox"), GatewaySettings::plain("manual", "manual")],
        Some(Value::Array(list)) => list,
        Some(_) => {
            found.add("gateways", "is a list: write [[gateways]] before the keys of each");
            return Vec::new();
        }
    };
    let mut gateways: Vec<GatewaySettings> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let place = match value.get("id").and_then(Value::as_str) {
            Some(id) => format!("gateways.{id}"),
            None => format!("gateways[{index}]"),
        };
        let Value::Table(table) = value else {
            found.add(place, "is a list of tables: write [[gateways]] before the keys of each");
            continue;
        };
        let gateway = one(table, &place, found);
        if gateways.iter().any(|other| other.id == gateway.id) {
            found.add(format_args!("{place}.id"), format!("{:?} is the id of another gateway too; give each its own", gateway.id));
        }
        gateways.push(gateway);
    }
    gateways
}

fn one(table: &Table, place: &str, found: &mut Found) -> GatewaySettings {
    let mut gateway = GatewaySettings::plain("", "");
    for key in ["id", "adapter"].into_iter().filter(|key| !table.contains_key(*key)) {
        found.add(format_args!("{place}.{key}"), "is missing");
    }
    for (key, value) in table {
        let at = format!("{place}.{key}");
        match key.as_str() {
            "id" => put(value, &mut gateway.id, &at, found, id),
            "adapter" => put(value, &mut gateway.adapter, &at, found, Ok),
            "mode" => put(value, &mut gateway.mode, &at, found, |mode: String| match mode.as_str() {
                "test" => Ok(Mode::Test),
                "live" => Ok(Mode::Live),
                _ => Err(format!("{mode:?} is neither test nor live")),
            }),
            "companies" => put(value, &mut gateway.companies, &at, found, Ok),
            "currencies" => put(value, &mut gateway.currencies, &at, found, |codes: Vec<String>| {
                codes.iter().map(|code| Currency::parse(code).map_err(|error| error.to_string())).collect()
            }),
            "unpaid_for" => put(value, &mut gateway.unpaid_for, &at, found, |text: String| time(&text).map(Some)),
            "capture_at_once" => put(value, &mut gateway.capture_at_once, &at, found, Ok),
            "base_url" => put(value, &mut gateway.base_url, &at, found, |url: String| Ok(Some(url))),
            "settings" => put(value, &mut gateway.settings, &at, found, Ok),
            "secrets" => {
                let mut references = BTreeMap::new();
                put(value, &mut references, &at, found, |references: BTreeMap<String, Value>| Ok(references));
                for (name, reference) in references {
                    match secret(&reference, &mut gateway.variables) {
                        Ok(secret) => _ = gateway.secrets.insert(name, secret),
                        Err(why) => found.add(format_args!("{at}.{name}"), why),
                    }
                }
            }
            _ => found.add(at, format!("is unknown: {key:?} is none of {}", KEYS.map(|(name, _)| name).join(", "))),
        }
    }
    gateway
}

/// Reads `value`, converts it, and puts it into its place.
fn put<'de, T: Deserialize<'de>, U>(
    value: &Value,
    place: &mut U,
    at: &str,
    found: &mut Found,
    convert: impl FnOnce(T) -> Result<U, String>,
) {
    match T::deserialize(value.clone()).map_err(|error| error.message().to_owned()).and_then(convert) {
        Ok(converted) => *place = converted,
        Err(why) => found.add(at, why),
    }
}

/// Ids stand in paths.
fn id(text: String) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if (1..=40).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text)
    } else {
        Err(format!("{text:?} is no id; write 1 to 40 small letters, digits, hyphens and underscores"))
    }
}

/// `30 minutes`, `12 hours`, `14 days`.
fn time(text: &str) -> Result<TimeDelta, String> {
    let parsed = text.trim().split_once(' ').and_then(|(number, unit)| {
        let number = number.parse::<u16>().ok().filter(|number| *number > 0).map(i64::from)?;
        match unit.trim().trim_end_matches('s') {
            "minute" => TimeDelta::try_minutes(number),
            "hour" => TimeDelta::try_hours(number),
            "day" => TimeDelta::try_days(number),
            _ => None,
        }
    });
    parsed.ok_or_else(|| format!("{text:?} is no time; write it such as \"30 minutes\", \"12 hours\" or \"14 days\""))
}

/// A secret by its reference: `{ env = "NAME" }` or `{ file = "PATH" }`.
fn secret(reference: &Value, variables: &mut Vec<String>) -> Result<SecretString, String> {
    const FORM: &str = "write where the secret is, as { env = \"VARIABLE\" } or { file = \"PATH\" }, not the secret itself";
    let table = reference.as_table().filter(|table| table.len() == 1).ok_or(FORM)?;
    let (text, source) = match (table.get("env").and_then(Value::as_str), table.get("file").and_then(Value::as_str)) {
        (Some(name), None) => {
            variables.push(name.to_owned());
            let text = std::env::var(name).map_err(|_| format!("the environment variable {name} is not set, or is not Unicode"))?;
            (text, format!("the environment variable {name}"))
        }
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            (text, path.display().to_string())
        }
        _ => return Err(FORM.to_owned()),
    };
    // Editors end files with a newline, which is no part of the secret.
    let secret = SecretString::from(text.trim_end_matches(['\r', '\n']));
    if secret.expose_secret().trim().is_empty() { Err(format!("{source} is empty")) } else { Ok(secret) }
}
