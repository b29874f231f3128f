//! Proving who one is: passwords, sign-in tokens, service keys, and how a request becomes a [`Caller`].
//!
//! Always true here: a token says only who somebody is; what they may do is read from the database at each request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, anyhow};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use chrono::{DateTime, TimeDelta, Utc};
use domain::account::KeyRole;
use domain::{AccountId, ServiceKeyId};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::App;
use super::caller::{Caller, Scope, Scopes, Who};
use super::entropy;
use super::jwt::{self, Claims, SigningKey};
use super::secrets::Purpose;
use super::throttle::{Throttle, address_key};
use crate::error::{Error, Result};
use crate::store;
use crate::store::account::Account;
use crate::store::key::ServiceKey;

/// How service keys begin; what follows are 43 characters.
pub const SERVICE_KEY_PREFIX: &str = "bsk_";

/// What sign-ins need in memory: the limits on guesses, the place for hashing, the signing keys.
#[derive(Debug)]
pub struct SignIn {
    /// Hashing a password takes 19 MiB and some 30 ms on purpose: more than two at once would starve everybody else.
    hashing: Arc<Semaphore>,
    by_email: Throttle,
    by_address: Throttle,
    links_by_email: Throttle,
    guesses: Throttle,
    guesses_by_address: Throttle,
    known: Mutex<HashMap<Uuid, Arc<SigningKey>>>,
    current: tokio::sync::Mutex<Option<Arc<SigningKey>>>,
}

impl Default for SignIn {
    fn default() -> Self {
        Self {
            hashing: Arc::new(Semaphore::new(2)),
            by_email: Throttle::new(10, TimeDelta::seconds(6)),
            by_address: Throttle::new(60, TimeDelta::seconds(1)),
            links_by_email: Throttle::new(3, TimeDelta::minutes(5)),
            guesses: Throttle::new(10, TimeDelta::seconds(6)),
            guesses_by_address: Throttle::new(60, TimeDelta::seconds(1)),
            known: Mutex::default(),
            current: tokio::sync::Mutex::default(),
        }
    }
}

/// A fresh sign-in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The token, for the header `Authorization: Bearer …`.
    pub token: SecretString,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// Whose it is.
    pub account: Account,
}

/// What a request shows of its sender.
#[derive(Debug, Clone, Default)]
pub struct Presented {
    /// The bearer's token or service key.
    pub bearer: Option<SecretString>,
    /// The secret of a guest's cart.
    pub cart_secret: Option<SecretString>,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// Its id.
    pub request: Option<String>,
}

/// A guess that was counted as wrong until it turns out right.
#[derive(Debug)]
pub(super) struct Guess<'a> {
    taken: Vec<(&'a Throttle, String)>,
}

impl Guess<'_> {
    /// The guess was right.
    pub(super) fn was_right(self) {
        for (throttle, key) in self.taken {
            throttle.give_back(&key);
        }
    }
}

impl App {
    /// Who sent a request, with today's rights: one statement, none for guests.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a credential that is malformed, unknown, over, ended or revoked.
    pub async fn caller(&self, presented: &Presented) -> Result<Caller> {
        let who = match &presented.bearer {
            None => Who::Guest,
            Some(bearer) if bearer.expose_secret().starts_with(SERVICE_KEY_PREFIX) => self.who_has_key(bearer.expose_secret()).await?,
            Some(bearer) => self.who_signed_in(bearer.expose_secret()).await?,
        };
        let Presented { bearer, cart_secret, address, request } = presented.clone();
        Ok(Caller { who, bearer, cart_secret, address, request })
    }

    /// The same caller with the rights of now: for whatever lasts longer than a request. Callers that brought no credential stay as they are.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] once the credential is dead.
    pub async fn caller_again(&self, caller: &Caller) -> Result<Caller> {
        let Caller { bearer, cart_secret, address, request, .. } = caller.clone();
        if bearer.is_none() {
            return Ok(caller.clone());
        }
        self.caller(&Presented { bearer, cart_secret, address, request }).await
    }

    /// What an account may do now, if nothing happened since `since` that ends its sign-ins.
    pub(super) async fn who_is_account(&self, id: AccountId, since: DateTime<Utc>) -> Result<Option<Who>> {
        let rights = store::account::rights(self.db.read(), id).await?.filter(|rights| rights.sessions_valid_from <= since);
        Ok(rights.map(|rights| Who::Account { id, operator: rights.operator.as_deref().map(read_scopes), manages: rights.manages }))
    }

    /// What a service key may do now, if it lives.
    pub(super) async fn who_is_key(&self, id: ServiceKeyId) -> Result<Option<Who>> {
        Ok(store::key::living_with_id(self.db.read(), id).await?.and_then(who_holds))
    }

    async fn who_has_key(&self, secret: &str) -> Result<Who> {
        let hash = self.secrets.hash(Purpose::ServiceKey, secret);
        let dead = || Error::Unauthenticated("This service key is unknown or revoked, or its company is disabled.".to_owned());
        store::key::living(self.db.read(), &hash).await?.and_then(who_holds).ok_or_else(dead)
    }

    async fn who_signed_in(&self, token: &str) -> Result<Who> {
        let dead = || Error::Unauthenticated("This sign-in is unknown or over; sign in again.".to_owned());
        let key = match jwt::key_id(token) {
            Some(id) => self.signing_key(id).await?.ok_or_else(dead)?,
            None => return Err(dead()),
        };
        let claims = key.read(token).ok_or_else(dead)?;
        let rights = store::account::rights(self.db.read(), claims.account()).await?.ok_or_else(dead)?;
        if !claims.are_good(rights.sessions_valid_from, self.now()) {
            return Err(dead());
        }
        let operator = rights.operator.as_deref().map(read_scopes);
        Ok(Who::Account { id: claims.account(), operator, manages: rights.manages })
    }

    /// Signs in to `account`: a token that is good until its end or until the account gets another stamp.
    pub(super) async fn signed_in(&self, account: Account) -> Result<SignedIn> {
        let now = self.now();
        let expires_at = now + TimeDelta::hours(i64::from(self.shop.sign_in_hours));
        let key = self.current_signing_key(now).await?;
        let token = key.sign(&Claims::new(account.id, account.sessions_valid_from, now, expires_at))?;
        Ok(SignedIn { token, expires_at, account })
    }

    /// Makes sure that there is a key to sign with.
    pub(super) async fn ready_to_sign(&self) -> Result<()> {
        self.current_signing_key(self.now()).await.map(|_| ())
    }

    /// A stamp that no sign-in to `account` carries yet.
    pub(super) fn fresh_stamp(&self, account: &Account) -> DateTime<Utc> {
        self.now().max(account.sessions_valid_from + TimeDelta::microseconds(1))
    }

    /// The key that signs now. Several servers share the table; if two make one at the same moment, both serve.
    async fn current_signing_key(&self, now: DateTime<Utc>) -> Result<Arc<SigningKey>> {
        let mut current = self.sign_in.current.lock().await;
        if let Some(key) = current.as_ref().filter(|key| key.signs_at(now)) {
            return Ok(key.clone());
        }
        let stored = store::key::signing(self.db.read(), now).await?;
        let key = match stored.and_then(|stored| self.opened(&stored)) {
            Some(key) => key,
            None => self.new_signing_key(now).await?,
        };
        self.remember(&key);
        *current = Some(key.clone());
        Ok(key)
    }

    async fn new_signing_key(&self, now: DateTime<Utc>) -> Result<Arc<SigningKey>> {
        let mut seed = [0; jwt::SEED];
        self.entropy.fill(&mut seed);
        let key = store::key::SigningKey {
            id: entropy::next_uuid(),
            secret_sealed: self.secrets.seal(Purpose::SigningKey, &seed, self.entropy.as_ref())?,
            created_at: now,
            retires_at: now + TimeDelta::days(i64::from(self.shop.signing_key_days)),
        };
        let forget_before = now - TimeDelta::hours(i64::from(self.shop.sign_in_hours)) - TimeDelta::days(1);
        let txn = self.db.begin().await?;
        store::key::insert_signing(&txn, &key, forget_before).await?;
        txn.commit().await?;
        Ok(Arc::new(SigningKey::new(key.id, &seed, key.retires_at)?))
    }

    /// The key of this id, retired or not: from memory, else from the table.
    async fn signing_key(&self, id: Uuid) -> Result<Option<Arc<SigningKey>>> {
        if let Some(key) = self.sign_in.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Some(key.clone()));
        }
        let stored = store::key::signing_by_id(self.db.read(), id).await?;
        let key = stored.and_then(|stored| self.opened(&stored));
        if let Some(key) = &key {
            self.remember(key);
        }
        Ok(key)
    }

    fn remember(&self, key: &Arc<SigningKey>) {
        self.sign_in.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key.id(), key.clone());
    }

    /// A stored key, unless another installation secret sealed it: then what it signed is as good as unknown.
    fn opened(&self, stored: &store::key::SigningKey) -> Option<Arc<SigningKey>> {
        let opened = self.secrets.open(Purpose::SigningKey, &stored.secret_sealed);
        match opened.and_then(|seed| SigningKey::new(stored.id, &seed, stored.retires_at)) {
            Ok(key) => Some(Arc::new(key)),
            Err(error) => {
                tracing::warn!(key = %stored.id, error = format!("{error:#}"), "a signing key cannot be opened and is passed over");
                None
            }
        }
    }

    /// Counts a guess at the secret of the account with this e-mail hash, from this caller, as wrong.
    pub(super) fn guess(&self, caller: &Caller, email_hash: Option<&str>) -> Result<Guess<'_>> {
        let now = self.now();
        let mut taken = Vec::with_capacity(2);
        if let Some(address) = caller.address {
            let key = address_key(address);
            self.sign_in.by_address.take(&key, now)?;
            taken.push((&self.sign_in.by_address, key));
        }
        if let Some(hash) = email_hash {
            self.sign_in.by_email.take(hash, now)?;
            taken.push((&self.sign_in.by_email, hash.to_owned()));
        }
        Ok(Guess { taken })
    }

    /// Counts a guess at a code of the `kind` named, by `who` it is and from this caller's address, as wrong.
    pub(super) fn guess_code(&self, caller: &Caller, kind: &str, who: &impl std::fmt::Display) -> Result<Guess<'_>> {
        let now = self.now();
        let key = format!("{kind}:{who}");
        self.sign_in.guesses.take(&key, now)?;
        let mut guess = Guess { taken: vec![(&self.sign_in.guesses, key)] };
        if let Some(address) = caller.address {
            let key = address_key(address);
            if let Err(limited) = self.sign_in.guesses_by_address.take(&key, now) {
                guess.was_right();
                return Err(limited);
            }
            guess.taken.push((&self.sign_in.guesses_by_address, key));
        }
        Ok(guess)
    }

    /// Counts a wish for a new link.
    pub(super) fn wishes_link(&self, caller: &Caller, email_hash: &str) -> Result<()> {
        if let Some(address) = caller.address {
            self.sign_in.by_address.take(&address_key(address), self.now())?;
        }
        self.sign_in.links_by_email.take(email_hash, self.now())
    }

    /// Hashes a password (Argon2id, 19 MiB, two passes) as PHC text.
    pub(super) async fn hash_password(&self, password: String) -> Result<SecretString> {
        let hashed = self.beside(move || hashed(&password)).await?;
        Ok(hashed?)
    }

    /// Whether the password is the one of this hash. Without a hash the answer is no, and takes as long.
    pub(super) async fn is_password(&self, hash: Option<SecretString>, password: String) -> Result<bool> {
        self.beside(move || {
            let known = hash.is_some();
            let hash = hash.map_or_else(nobodys_hash, Ok)?;
            let hash = PasswordHash::new(hash.expose_secret()).map_err(|error| anyhow!("a stored password hash: {error}"))?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok() && known)
        })
        .await?
    }

    /// Runs slow arithmetic beside the request threads, two at once.
    async fn beside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let turn = self.sign_in.hashing.clone().acquire_owned().await.context("hashing has closed")?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        Ok(done.await.context("hashing a password")?)
    }
}

fn hashed(password: &str) -> anyhow::Result<SecretString> {
    let hash: PasswordHash =
        Argon2::default().hash_password(password.as_bytes()).map_err(|error| anyhow!("hashing a password: {error}"))?;
    Ok(hash.to_string().into())
}

/// The hash of a password that nobody has.
fn nobodys_hash() -> anyhow::Result<SecretString> {
    static HASH: OnceLock<SecretString> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return Ok(hash.clone());
    }
    let hash = hashed(&Uuid::now_v7().to_string())?;
    Ok(HASH.get_or_init(|| hash).clone())
}

/// Who comes with a key; nobody with a manager's that is of no company.
fn who_holds(key: ServiceKey) -> Option<Who> {
    let scopes = read_scopes(&key.scopes);
    match (key.role, key.company) {
        (KeyRole::Manager, Some(company)) => Some(Who::ManagerKey { id: key.id, company, scopes }),
        (KeyRole::Manager, None) => None,
        (KeyRole::Operator | KeyRole::Service, _) => Some(Who::Key { id: key.id, scopes }),
    }
}

/// Scopes as stored. One that this version does not know allows nothing.
pub(super) fn read_scopes(stored: &[String]) -> Scopes {
    stored.iter().filter_map(|text| Scope::parse(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vector of the reference implementation (`phc-winner-argon2`, `test.c`).
    #[test]
    fn hashes_are_those_of_the_reference() {
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash::new(stored).expect("PHC text");
        assert!(Argon2::default().verify_password(b"password", &hash).is_ok());
        assert!(Argon2::default().verify_password(b"passwore", &hash).is_err());
    }

    #[test]
    fn a_hash_says_how_it_was_made_and_is_salted() {
        let (one, two) = (hashed("three plain words").expect("hashed"), hashed("three plain words").expect("hashed"));
        assert!(one.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.expose_secret());
        assert_ne!(one.expose_secret(), two.expose_secret());
    }

    #[test]
    fn scopes_of_another_version_allow_nothing() {
        let scopes = read_scopes(&["catalog:read".to_owned(), "moon:write".to_owned()]);
        assert_eq!(scopes.iter().map(|scope| scope.to_string()).collect::<Vec<_>>(), ["catalog:read"]);
    }
}
