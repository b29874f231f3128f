//! Settings and secrets of an instance, read and refused in the same words by every adapter.

use std::collections::BTreeMap;

use port::{GatewayError, InstanceConfig};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

/// The adapter's own settings, taken out of `config`. `known` names them all, for whoever misspelt one.
///
/// # Errors
/// [`GatewayError::Config`] on `settings`: one is missing, unknown or of another kind.
pub fn settings<T: DeserializeOwned>(config: &mut InstanceConfig, adapter: &str, known: &str) -> Result<T, GatewayError> {
    serde_json::from_value(std::mem::take(&mut config.settings).into())
        .map_err(|error| GatewayError::config("settings", format!("{error}; {adapter} has {known}")))
}

/// The secrets of an instance, taken out one by one.
pub struct Secrets {
    adapter: &'static str,
    known: &'static [&'static str],
    left: BTreeMap<String, SecretString>,
}

impl Secrets {
    /// Those of `config`; `known` names all that the adapter has.
    pub fn of(config: &mut InstanceConfig, adapter: &'static str, known: &'static [&'static str]) -> Self {
        Self { adapter, known, left: std::mem::take(&mut config.secrets) }
    }

    /// One that there may be.
    ///
    /// # Errors
    /// [`GatewayError::Config`] on `name`: it is there, and empty. Everybody knows the empty secret.
    pub fn optional(&mut self, name: &str) -> Result<Option<SecretString>, GatewayError> {
        let Some(secret) = self.left.remove(name) else { return Ok(None) };
        if secret.expose_secret().trim().is_empty() {
            return Err(GatewayError::config(name, "must not be empty"));
        }
        Ok(Some(secret))
    }

    /// One that there has to be; `hint` says where it is found.
    ///
    /// # Errors
    /// [`GatewayError::Config`] on `name`: it is missing or empty.
    pub fn required(&mut self, name: &str, hint: &str) -> Result<SecretString, GatewayError> {
        self.optional(name)?.ok_or_else(|| GatewayError::config(name, format!("is missing among the secrets: {hint}")))
    }

    /// One that is in use, and after it the one that it replaces, `NAME_previous`, while both are accepted.
    ///
    /// # Errors
    /// As for [`required`](Self::required) and [`optional`](Self::optional).
    pub fn rotated(&mut self, name: &str, hint: &str) -> Result<Vec<SecretString>, GatewayError> {
        let current = self.required(name, hint)?;
        Ok([Some(current), self.optional(&format!("{name}_previous"))?].into_iter().flatten().collect())
    }

    /// Nothing is left over.
    ///
    /// # Errors
    /// [`GatewayError::Config`] on a secret that nobody took, which may be a misspelt one.
    pub fn done(self) -> Result<(), GatewayError> {
        match self.left.into_keys().next() {
            Some(unknown) => {
                let why = format!("is no secret of {}, which has {}", self.adapter, self.known.join(", "));
                Err(GatewayError::config(unknown, why))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<T>(result: Result<T, GatewayError>) -> String {
        match result {
            Err(GatewayError::Config { key, detail }) => format!("{key}: {detail}"),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was taken"),
        }
    }

    fn config(secrets: &[(&str, &str)]) -> InstanceConfig {
        let mut config = InstanceConfig::new("one", "http://127.0.0.1:8080");
        config.secrets = secrets.iter().map(|(name, secret)| ((*name).to_owned(), (*secret).into())).collect();
        config
    }

    #[test]
    fn secrets_are_there_not_empty_and_no_others() {
        let of = |given: &[(&str, &str)]| Secrets::of(&mut config(given), "acme", &["key", "sign", "sign_previous"]);
        let mut good = of(&[("key", "k"), ("sign", "new"), ("sign_previous", "old")]);
        assert_eq!(good.required("key", "ask them").expect("it is there").expose_secret(), "k");
        let both = good.rotated("sign", "ask them").expect("both");
        assert_eq!(both.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(), ["new", "old"]);
        assert!(good.done().is_ok());
        assert_eq!(key(of(&[]).required("key", "ask them")), "key: is missing among the secrets: ask them");
        assert_eq!(key(of(&[("key", " ")]).required("key", "ask them")), "key: must not be empty");
        assert_eq!(key(of(&[("sign", "new"), ("sign_previous", "")]).rotated("sign", "ask them")), "sign_previous: must not be empty");
        assert_eq!(key(of(&[("sgin", "x")]).done()), "sgin: is no secret of acme, which has key, sign, sign_previous");
    }
}
