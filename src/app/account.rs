//! Accounts: signing up and in, one-time links, passwords and addresses, operators, erasure.
//!
//! Always true here: an address counts as somebody's own only once a link mailed to it was followed. Whatever was set up before that, by
//! whoever typed the address, ends at that moment: sign-ins, links, and a password whose owner is not signed in.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use domain::OrderId;
use domain::account::{Road, new_password, password_form};
use domain::person::Address;
use domain::text::{self, Email};
use domain::{AccountId, PersonId};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Scope, Scopes, Topic};
use super::entropy;
use super::secrets::Purpose;
use super::sign_in::{SignedIn, read_scopes};
use super::{App, Object};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::account::{Change, Filter, Link, NewAccount};
use crate::store::person::NewPerson;

pub use crate::store::account::Account;
pub use crate::store::page::Key;

/// What somebody gives to sign up.
#[derive(Debug, Clone)]
pub struct SignUp {
    /// Address as typed.
    pub email: String,
    /// Password as typed.
    pub password: SecretString,
    /// Full name.
    pub name: Option<String>,
}

/// Which account an operator means.
#[derive(Debug, Clone)]
pub enum Whose {
    /// The one with this id.
    Account(AccountId),
    /// The one of this address, as typed.
    Email(String),
}

/// What erasing a person did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// How many versions of the person were blanked.
    pub versions: u64,
    /// The account that ended, if there was one.
    pub account: Option<AccountId>,
}

/// Reads an address of an input.
fn email(text: &str, field: &str) -> Result<Email> {
    Email::parse(text).map_err(|refusal| Refusal::from(refusal).under([field]).into())
}

fn taken(field: &str) -> Error {
    Error::refused(
        Code::EmailTaken,
        [field],
        "There is an account for this address. Sign in, or ask for a link by accountLinkSend; it is mailed to the address.",
    )
}

fn bad_credentials(field: &str) -> Error {
    Error::refused(Code::BadCredentials, [field], "E-mail and password do not match. Try again, or ask for a link by accountLinkSend.")
}

impl App {
    /// The keyed hash by which an address is known.
    pub fn email_hash(&self, email: &Email) -> String {
        self.secrets.hash(Purpose::Email, email.normalised())
    }

    /// A version of a person, ready to be written by [`App::person_write`].
    pub fn person_version(&self, email: &Email, name: Option<String>, address: Option<Address>) -> NewPerson {
        NewPerson { id: entropy::next_id(), email: email.clone(), email_hash: self.email_hash(email), name, address }
    }

    /// Writes versions of persons.
    ///
    /// # Errors
    /// The database's.
    pub async fn person_write(&self, txn: &DatabaseTransaction, persons: &[NewPerson]) -> Result<()> {
        Ok(store::person::insert(txn, persons, self.now()).await?)
    }

    /// Makes an account and signs in to it. Its address is not proven until the mailed link is followed.
    ///
    /// # Errors
    /// [`Code::EmailTaken`], also for an account that a guest's order made; [`Code::PasswordTooWeak`]; what is wrong with address or name;
    /// [`Error::RateLimited`] for who tries out addresses.
    pub async fn account_sign_up(&self, caller: &Caller, cmd: SignUp) -> Result<SignedIn> {
        let mut refusals = Vec::new();
        let parsed = Email::parse(&cmd.email).map_err(|refusal| refusals.push(Refusal::from(refusal).under(["email"]))).ok();
        let name = name(cmd.name.as_deref()).map_err(|refusal| refusals.push(refusal)).ok().flatten();
        let password = parsed.as_ref().and_then(|email| {
            let password = new_password(cmd.password.expose_secret(), email);
            password.map_err(|refusal| refusals.push(Refusal::from(refusal).under(["password"]))).ok()
        });
        let (Some(email), Some(password), true) = (parsed, password, refusals.is_empty()) else { return Err(refusals.into()) };

        let guess = self.guess(caller, None)?;
        let person = self.person_version(&email, name, None);
        // Before the expensive hash; the insert decides between two at once.
        if store::account::by_email_hash(self.db.read(), &person.email_hash).await?.is_some() {
            return Err(taken("email"));
        }
        let password_hash = self.hash_password(password).await?;
        let txn = self.db.begin().await?;
        let Some(account) = self.account_insert(&txn, &person, Some(password_hash), None).await? else {
            return Err(taken("email"));
        };
        self.mail_link(&txn, account, &email, person.name.as_deref()).await?;
        txn.commit().await?;
        self.woken();
        guess.was_right();
        self.signed_in(self.account_of(account).await?).await
    }

    /// Signs in by password.
    ///
    /// # Errors
    /// [`Code::BadCredentials`], the same and after the same time for an unknown address; [`Error::RateLimited`] after failures.
    pub async fn account_sign_in(&self, caller: &Caller, email_text: &str, password: &SecretString) -> Result<SignedIn> {
        let email = email(email_text, "email")?;
        let hash = self.email_hash(&email);
        let guess = self.guess(caller, Some(&hash))?;
        let account = store::account::by_email_hash(self.db.read(), &hash).await?;
        let stored = account.as_ref().and_then(|account| account.password_hash.clone());
        // Nobody's password is longer than what is looked at.
        let given = password_form(&password.expose_secret().chars().take(domain::account::MAX_PASSWORD + 1).collect::<String>());
        let right = self.is_password(stored, given).await?;
        let Some(account) = account.filter(|_| right) else { return Err(bad_credentials("password")) };
        guess.was_right();
        self.signed_in(account).await
    }

    /// Signs in by a one-time link, and sets a password if one is given. A mailed link proves the address.
    ///
    /// # Errors
    /// [`Code::LinkInvalid`] for a link that is unknown, used or too old; [`Code::PasswordTooWeak`], and then the link still works;
    /// [`Error::RateLimited`] after failures.
    pub async fn account_link_redeem(&self, caller: &Caller, secret: &SecretString, password: Option<&SecretString>) -> Result<SignedIn> {
        let invalid = || Error::refused(Code::LinkInvalid, ["token"], "This link is unknown, was used, or is too old; ask for a new one.");
        let guess = self.guess(caller, None)?;
        let secret_hash = self.secrets.hash(Purpose::Link, secret.expose_secret());
        let link = store::account::link(self.db.read(), &secret_hash).await?;
        let link = link.filter(|link| link.used_at.is_none() && self.now() < link.expires_at).ok_or_else(invalid)?;
        guess.was_right();
        let before = self.account_of(link.account).await?;
        let email = before.email().cloned().ok_or_else(invalid)?;
        let password_hash = match password {
            Some(password) => {
                let password =
                    new_password(password.expose_secret(), &email).map_err(|refusal| Refusal::from(refusal).under(["newPassword"]))?;
                Some(self.hash_password(password).await?)
            }
            None => None,
        };

        // Whatever can fail besides the database fails before the link is used up.
        self.ready_to_sign().await?;
        let txn = self.db.begin().await?;
        if !store::account::use_link(&txn, link.id, self.now()).await? {
            return Err(invalid());
        }
        let account = store::account::lock(&txn, link.account).await?.ok_or_else(invalid)?;
        if link.road == Road::Receipt && account.email_verified_at.is_some() {
            // Whoever ordered may have been somebody else; by now the account is its owner's.
            return Err(invalid());
        }
        let proves = link.road.verifies_email() && account.email_verified_at.is_none();
        let mut change = Change::default();
        if proves {
            change.email_verified_at = Some(Some(self.now()));
            // Whoever set a password here may have been somebody else, unless the same person is signed in.
            if caller.account() != Some(account.id) {
                change.password_hash = Some(None);
            }
        }
        if proves || password_hash.is_some() {
            change.sessions_valid_from = Some(self.fresh_stamp(&account));
            // A link from a receipt proves nothing: the mailed one stays its owner's way in.
            let road = if link.road.verifies_email() { None } else { Some(link.road) };
            store::account::end_links(&txn, account.id, road, self.now()).await?;
        }
        if password_hash.is_some() {
            change.password_hash = Some(password_hash);
        }
        store::account::change(&txn, account.id, change, self.now()).await?;
        txn.commit().await?;
        self.signed_in(self.account_of(link.account).await?).await
    }

    /// Mails a link to the account of this address, if there is one. The answer never tells whether there is.
    ///
    /// # Errors
    /// A malformed address; [`Error::RateLimited`] for who asks too often.
    pub async fn account_link_send(&self, caller: &Caller, email_text: &str) -> Result<()> {
        let email = email(email_text, "email")?;
        let hash = self.email_hash(&email);
        self.wishes_link(caller, &hash)?;
        let Some(account) = store::account::by_email_hash(self.db.read(), &hash).await? else { return Ok(()) };
        let txn = self.db.begin().await?;
        // Only the newest waits, so that a flood of wishes does not become a flood of links.
        store::account::end_links(&txn, account.id, Some(Road::Mail), self.now()).await?;
        self.mail_link(&txn, account.id, &email, account.person.name.as_deref()).await?;
        txn.commit().await?;
        self.woken();
        Ok(())
    }

    /// Exchanges the password of the account that is signed in; all its other sign-ins end.
    ///
    /// # Errors
    /// [`Code::BadCredentials`] for a wrong current password; [`Code::PasswordTooWeak`]; [`Error::RateLimited`] after failures.
    pub async fn account_password_change(&self, caller: &Caller, current: &SecretString, new: &SecretString) -> Result<SignedIn> {
        let account = self.account_of(caller.require_account()?).await?;
        let email = account.email().cloned().ok_or_else(|| caller.denied("This account was erased."))?;
        let new = new_password(new.expose_secret(), &email).map_err(|refusal| Refusal::from(refusal).under(["newPassword"]))?;
        self.prove(caller, &account, current, "currentPassword").await?;
        let hash = self.hash_password(new).await?;

        let txn = self.db.begin().await?;
        let Some(locked) = store::account::lock(&txn, account.id).await? else { return Err(bad_credentials("currentPassword")) };
        if !same_hash(&locked, &account) {
            return Err(bad_credentials("currentPassword"));
        }
        let stamp = self.fresh_stamp(&locked);
        let change = Change { sessions_valid_from: Some(stamp), password_hash: Some(Some(hash)), ..Change::default() };
        store::account::change(&txn, account.id, change, self.now()).await?;
        store::account::end_links(&txn, account.id, None, self.now()).await?;
        self.audit(&txn, caller, "accountPasswordChange", Object::new("account", account.id.uuid()), None, None).await?;
        txn.commit().await?;
        self.signed_in(self.account_of(account.id).await?).await
    }

    /// Gives the account that is signed in another address: a new version of its person, not proven until the mailed link is followed. Books go
    /// on pointing to the version that they were written with.
    ///
    /// # Errors
    /// [`Code::BadCredentials`] for a wrong password; [`Code::EmailTaken`]; [`Error::RateLimited`] after failures.
    pub async fn account_email_change(&self, caller: &Caller, new_email: &str, password: &SecretString) -> Result<Account> {
        let account = self.account_of(caller.require_account()?).await?;
        let new_email = email(new_email, "newEmail")?;
        self.prove(caller, &account, password, "password").await?;
        let person = self.person_version(&new_email, account.person.name.clone(), account.person.address.clone());

        let txn = self.db.begin().await?;
        let Some(locked) = store::account::lock(&txn, account.id).await? else { return Err(bad_credentials("password")) };
        if !same_hash(&locked, &account) {
            return Err(bad_credentials("password"));
        }
        self.person_write(&txn, std::slice::from_ref(&person)).await?;
        if !store::account::change_email(&txn, account.id, person.id, &person.email_hash, new_email.domain(), self.now()).await? {
            return Err(taken("newEmail"));
        }
        // The same address in another spelling is proven already.
        if person.email_hash != locked.email_hash {
            let change = Change { email_verified_at: Some(None), ..Change::default() };
            store::account::change(&txn, account.id, change, self.now()).await?;
            // A link mailed to the old address must not prove the new one.
            store::account::end_links(&txn, account.id, None, self.now()).await?;
            self.mail_link(&txn, account.id, &new_email, person.name.as_deref()).await?;
        }
        let (old, new) = (json!({ "emailHash": locked.email_hash }), json!({ "emailHash": person.email_hash }));
        self.audit(&txn, caller, "accountEmailChange", Object::new("account", account.id.uuid()), Some(old), Some(new)).await?;
        txn.commit().await?;
        self.account_of(account.id).await
    }

    /// Makes an account an operator, changes its scopes, or (`None`) takes them away.
    ///
    /// # Errors
    /// [`Code::LastOperator`] if nobody were left who may set operators; [`Code::NotFound`]; [`Code::Invalid`] for an address that is not
    /// proven; [`Error::Forbidden`] for scopes that the caller does not have.
    pub async fn operator_set(&self, caller: &Caller, whose: &Whose, scopes: Option<Scopes>) -> Result<Account> {
        caller.require(Topic::Settings.write())?;
        if let Some(scopes) = &scopes {
            may_give(caller, scopes)?;
        }
        let address = match whose {
            Whose::Account(_) => None,
            Whose::Email(text) => Some(email(text, "email")?),
        };
        let not_found = || match whose {
            Whose::Account(_) => Error::not_found("accountId", "account"),
            Whose::Email(_) => Error::refused(Code::NotFound, ["email"], "No account has this address."),
        };

        let txn = self.db.begin().await?;
        let operators = store::account::lock_operators(&txn).await?;
        let known = match (whose, &address) {
            (Whose::Account(id), _) => Some(*id),
            (Whose::Email(_), Some(address)) => {
                store::account::by_email_hash(&txn, &self.email_hash(address)).await?.map(|account| account.id)
            }
            (Whose::Email(_), None) => None,
        };
        let known = match known {
            Some(id) => store::account::lock(&txn, id).await?,
            None => None,
        };
        let (id, old) = match (known, &address, &scopes) {
            (Some(account), ..) if account.person.email.is_none() => return Err(not_found()),
            (Some(account), Some(_), Some(_)) if account.email_verified_at.is_none() && account.operator.is_none() => {
                return Err(Error::refused(
                    Code::Invalid,
                    ["email"],
                    "Nobody has proven yet that this account's address is theirs. Let its owner follow the mailed link first, or name the \
                     account by its id if you know whose it is.",
                ));
            }
            (Some(account), ..) => (account.id, account.operator),
            (None, Some(address), Some(_)) => {
                let person = self.person_version(address, None, None);
                let Some(id) = self.account_insert(&txn, &person, None, None).await? else { return Err(not_found()) };
                self.mail_link(&txn, id, address, None).await?;
                (id, None)
            }
            _ => return Err(not_found()),
        };
        let keeps = scopes.as_ref().is_some_and(|scopes| scopes.allow(Topic::Settings.write()));
        self.leaves_an_operator(&operators, id, keeps)?;
        let names = scopes.as_ref().map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect::<Vec<_>>());
        store::account::change(&txn, id, Change { operator: Some(names.clone()), ..Change::default() }, self.now()).await?;
        let (old, new) = (json!({ "scopes": old }), json!({ "scopes": names }));
        self.audit(&txn, caller, "operatorSet", Object::new("account", id.uuid()), Some(old), Some(new)).await?;
        txn.commit().await?;
        self.account_of(id).await
    }

    /// Refuses what would leave the shop without anybody who may set operators. `operators` are all of them, locked.
    fn leaves_an_operator(&self, operators: &[(AccountId, Vec<String>)], changed: AccountId, keeps: bool) -> Result<()> {
        let rules = |scopes: &[String]| read_scopes(scopes).allow(Topic::Settings.write());
        let loses = !keeps && operators.iter().any(|(id, scopes)| *id == changed && rules(scopes));
        if loses && !operators.iter().any(|(id, scopes)| *id != changed && rules(scopes)) {
            return Err(Refusal::new(
                Code::LastOperator,
                "This is the last operator with settings:write; make somebody else one first, or nobody could make operators any more.",
            )
            .into());
        }
        Ok(())
    }

    /// Blanks name, e-mail and address of everybody with this address wherever books point to them, and ends their account. The books stay, and
    /// the keyed hash of the address stays with the blanked versions.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the address was never given here; [`Code::LastOperator`].
    pub async fn person_erase(&self, caller: &Caller, email_text: &str) -> Result<Erased> {
        caller.require(Topic::Settings.write())?;
        let email = email(email_text, "email")?;
        let hash = self.email_hash(&email);

        let txn = self.db.begin().await?;
        let operators = store::account::lock_operators(&txn).await?;
        let account = match store::account::by_email_hash(&txn, &hash).await? {
            Some(found) => store::account::lock(&txn, found.id).await?,
            None => None,
        };
        store::mail::erase(&txn, &hash).await?;
        let Some(versions) = store::person::erase(&txn, &hash, self.now()).await? else {
            return Err(Error::refused(Code::NotFound, ["email"], "Nobody with this address is known here; check the spelling."));
        };
        if let Some(account) = &account {
            self.leaves_an_operator(&operators, account.id, false)?;
            store::account::erase(&txn, account.id, self.fresh_stamp(account), self.now()).await?;
        }
        let account = account.map(|account| account.id);
        let object = Object::new("account", account.map_or(Uuid::nil(), AccountId::uuid));
        let new = json!({ "emailHash": hash, "versions": versions });
        self.audit(&txn, caller, "personErase", object, None, Some(new)).await?;
        txn.commit().await?;
        Ok(Erased { versions, account })
    }

    /// Sets attributes of an account, by which automatic groups can take people in; those that are not named stay. Whoever a change concerns is
    /// in such a group, or out of it, from then on.
    ///
    /// # Errors
    /// Needs the scope `settings:write`; no such account; each name or value that is none, by its place.
    pub async fn account_attributes_set(&self, caller: &Caller, id: AccountId, wishes: &[(String, Option<String>)]) -> Result<Account> {
        caller.require(Topic::Settings.write())?;
        let mut faults = Faults::default();
        if wishes.len() > MAX_ATTRIBUTES {
            let message = format!("An account has at most {MAX_ATTRIBUTES} attributes.");
            faults.add(Refusal::at(Code::TooLong, ["attributes"], message));
        }
        let mut wanted: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (place, (name, value)) in wishes.iter().enumerate() {
            let under =
                |field: &'static str| move |refusal: Refusal| refusal.under(["attributes".to_owned(), place.to_string(), field.to_owned()]);
            let name = faults.of(attribute_name(name).map_err(under("name")));
            let value = faults.of(value.as_deref().map(attribute_value).transpose().map_err(under("value")));
            if let (Some(name), Some(value)) = (name, value)
                && wanted.insert(name, value).is_some()
            {
                let message = "This attribute stands in the list already; name each once.";
                faults.add(under("name")(Refusal::new(Code::Repeated, message)));
            }
        }
        faults.check()?;
        let txn = self.db.begin().await?;
        let account = store::account::lock(&txn, id).await?.filter(|account| account.person.email.is_some());
        let account = account.ok_or_else(|| Error::not_found("accountId", "account"))?;
        let held: BTreeMap<String, String> =
            store::account::attributes(&txn, &[id]).await?.remove(&id).unwrap_or_default().into_iter().collect();
        let mut fresh = held.clone();
        for (name, value) in wanted {
            match value {
                Some(value) => drop(fresh.insert(name, value)),
                None => drop(fresh.remove(&name)),
            }
        }
        if fresh.len() > MAX_ATTRIBUTES {
            let message = format!("An account has at most {MAX_ATTRIBUTES} attributes; take some away with a value of null.");
            return Err(Error::refused(Code::TooLong, ["attributes"], message));
        }
        if fresh != held {
            store::account::set_attributes(&txn, id, &fresh).await?;
            let object = Object::new("account", id.uuid());
            self.audit(&txn, caller, "accountAttributesSet", object, Some(json!(held)), Some(json!(fresh))).await?;
        }
        txn.commit().await?;
        Ok(account)
    }

    /// The attributes of these accounts, each list by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn attributes_of(&self, accounts: &[AccountId]) -> Result<HashMap<AccountId, Vec<(String, String)>>> {
        Ok(store::account::attributes(self.db.read(), accounts).await?)
    }

    /// An account, for operators with `settings:read` and for itself.
    ///
    /// # Errors
    /// The database's.
    pub async fn account(&self, caller: &Caller, id: AccountId) -> Result<Option<Account>> {
        if caller.account() != Some(id) && !caller.may(Topic::Settings.read()) {
            return Ok(None);
        }
        Ok(store::account::by_id(self.db.read(), id).await?)
    }

    /// Those of these accounts that the caller may see: all for operators with `settings:read`, else its own.
    ///
    /// # Errors
    /// The database's.
    pub async fn accounts_by_id(&self, caller: &Caller, ids: &[AccountId]) -> Result<HashMap<AccountId, Account>> {
        let all = caller.may(Topic::Settings.read());
        let seen: Vec<AccountId> = ids.iter().copied().filter(|id| all || caller.account() == Some(*id)).collect();
        let found = store::account::by_ids(self.db.read(), &seen).await?;
        Ok(found.into_iter().map(|account| (account.id, account)).collect())
    }

    /// A page of accounts, the newest first; with an address, its account alone.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `settings:read`; [`Error::BadInput`] for a malformed address.
    pub async fn accounts(
        &self,
        caller: &Caller,
        address: Option<&str>,
        operator: Option<bool>,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Account>> {
        caller.require(Topic::Settings.read())?;
        let hash = address.map(|text| email(text, "email").map(|email| self.email_hash(&email))).transpose()?;
        Ok(store::account::list(self.db.read(), &Filter { email_hash: hash, operator }, args, with_total).await?)
    }

    /// Makes a one-time link to the account, in the caller's transaction; gives its row and its secret, which is stored only as a hash, and sealed
    /// where it waits to be mailed.
    ///
    /// # Errors
    /// The database's.
    pub async fn link_create(&self, txn: &DatabaseTransaction, account: AccountId, road: Road) -> Result<(Uuid, SecretString)> {
        self.link_write(txn, account, road, None).await
    }

    /// Makes a link to be mailed to each of these accounts; gives their rows, in the same order.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn links_create(&self, txn: &DatabaseTransaction, accounts: &[AccountId]) -> Result<Vec<Uuid>> {
        let made: Vec<(Link, String, SecretString)> =
            accounts.iter().map(|account| self.new_link(*account, Road::Mail, None)).collect::<Result<_>>()?;
        let rows: Vec<(Link, String)> = made.into_iter().map(|(link, hash, _)| (link, hash)).collect();
        store::account::insert_links(txn, &rows).await?;
        Ok(rows.iter().map(|(link, _)| link.id).collect())
    }

    /// Makes the one-time link that the receipt of an order shows.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn link_for_receipt(&self, txn: &DatabaseTransaction, account: AccountId, order: OrderId) -> Result<()> {
        self.link_write(txn, account, Road::Receipt, Some(order)).await.map(|_| ())
    }

    /// The secrets of the links that receipts of these orders can still show.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn receipt_links(&self, db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<HashMap<OrderId, String>> {
        let mut secrets = HashMap::new();
        for link in store::account::receipt_links(db, orders, self.now()).await? {
            if let (Some(order), Some(sealed)) = (link.order, link.secret_sealed) {
                let secret = self.secrets.open(Purpose::Link, &sealed)?;
                secrets.insert(order, String::from_utf8(secret).map_err(|_| crate::internal!("a link's secret is no text"))?);
            }
        }
        Ok(secrets)
    }

    async fn link_write(
        &self,
        txn: &DatabaseTransaction,
        account: AccountId,
        road: Road,
        order: Option<OrderId>,
    ) -> Result<(Uuid, SecretString)> {
        let (link, hash, secret) = self.new_link(account, road, order)?;
        let id = link.id;
        store::account::insert_links(txn, &[(link, hash)]).await?;
        Ok((id, secret))
    }

    /// A link with the hash of its secret, and the secret.
    fn new_link(&self, account: AccountId, road: Road, order: Option<OrderId>) -> Result<(Link, String, SecretString)> {
        let secret = entropy::secret_text(self.entropy.as_ref());
        let waits = road == Road::Mail || order.is_some();
        let sealed = waits.then(|| self.secrets.seal(Purpose::Link, secret.as_bytes(), self.entropy.as_ref())).transpose()?;
        let link = Link {
            id: entropy::next_uuid(),
            account,
            road,
            order,
            secret_sealed: sealed,
            created_at: self.now(),
            expires_at: self.now() + TimeDelta::hours(i64::from(self.shop.link_hours)),
            used_at: None,
        };
        Ok((link, self.secrets.hash(Purpose::Link, &secret), secret.into()))
    }

    /// The address of the page where a link's bearer signs in.
    pub fn link_address(&self, secret: &SecretString) -> SecretString {
        format!("{}/account/link/{}", self.shop.public_url, secret.expose_secret()).into()
    }

    /// The account of a person's address, made if there is none; says whether it was. For whatever gives something to an address: nothing about
    /// the address is proven by it.
    ///
    /// # Errors
    /// The database's.
    pub async fn account_for(&self, txn: &DatabaseTransaction, person: PersonId, email: &Email) -> Result<(AccountId, bool)> {
        let email_hash = self.email_hash(email);
        let new = NewAccount {
            id: entropy::next_id(),
            person,
            email_hash: email_hash.clone(),
            email_domain: email.domain().to_owned(),
            password_hash: None,
            operator: None,
        };
        if store::account::insert(txn, &new, self.now()).await? {
            return Ok((new.id, true));
        }
        let known = store::account::by_email_hash(txn, &email_hash).await?;
        known.map(|account| (account.id, false)).ok_or_else(|| crate::internal!("an account vanished while it was looked up"))
    }

    /// The first operator of the shop, made if there is no operator at all, and a link that signs in to it. `None` if the shop has operators and
    /// this is not one of them. For start-up only.
    ///
    /// # Errors
    /// The database's.
    pub async fn operator_link(&self, email: &Email) -> Result<Option<SecretString>> {
        let txn = self.db.begin().await?;
        let operators = store::account::lock_operators(&txn).await?;
        let person = self.person_version(email, None, None);
        let known = store::account::by_email_hash(&txn, &person.email_hash).await?;
        let account = match known {
            Some(account) if account.operator.is_some() => account.id,
            _ if !operators.is_empty() => return Ok(None),
            known => {
                let id = match known {
                    Some(account) => {
                        // Whoever signed up with this address before must not come in with it now.
                        let stamp = self.fresh_stamp(&account);
                        let change = Change { sessions_valid_from: Some(stamp), password_hash: Some(None), ..Change::default() };
                        store::account::change(&txn, account.id, change, self.now()).await?;
                        store::account::end_links(&txn, account.id, None, self.now()).await?;
                        account.id
                    }
                    None => {
                        let made = self.account_insert(&txn, &person, None, None).await?;
                        made.ok_or_else(|| crate::internal!("another process made the first operator just now; start again"))?
                    }
                };
                let scopes: Vec<String> = Scopes::all().iter().map(|scope| scope.to_string()).collect();
                let change = Change { operator: Some(Some(scopes.clone())), ..Change::default() };
                store::account::change(&txn, id, change, self.now()).await?;
                let new = json!({ "scopes": scopes });
                self.audit(&txn, &Caller::system(), "operatorSet", Object::new("account", id.uuid()), None, Some(new)).await?;
                id
            }
        };
        let (_, secret) = self.link_create(&txn, account, Road::Operator).await?;
        txn.commit().await?;
        Ok(Some(self.link_address(&secret)))
    }

    /// Writes a person and its account; `None` if the address has one.
    async fn account_insert(
        &self,
        txn: &DatabaseTransaction,
        person: &NewPerson,
        password_hash: Option<SecretString>,
        operator: Option<Vec<String>>,
    ) -> Result<Option<AccountId>> {
        self.person_write(txn, std::slice::from_ref(person)).await?;
        let new = NewAccount {
            id: entropy::next_id(),
            person: person.id,
            email_hash: person.email_hash.clone(),
            email_domain: person.email.domain().to_owned(),
            password_hash,
            operator,
        };
        Ok(store::account::insert(txn, &new, self.now()).await?.then_some(new.id))
    }

    async fn account_of(&self, id: AccountId) -> Result<Account> {
        store::account::by_id(self.db.read(), id).await?.ok_or_else(|| crate::internal!("account {id} is gone"))
    }

    /// Lets pass who knows the account's password.
    async fn prove(&self, caller: &Caller, account: &Account, password: &SecretString, field: &str) -> Result<()> {
        let guess = self.guess(caller, Some(&account.email_hash))?;
        let given = password_form(&password.expose_secret().chars().take(domain::account::MAX_PASSWORD + 1).collect::<String>());
        if !self.is_password(account.password_hash.clone(), given).await? {
            return Err(Error::refused(
                Code::BadCredentials,
                [field],
                "This is not the account's password. An account without one gets it by a link: accountLinkSend, then accountLinkRedeem with \
                 newPassword.",
            ));
        }
        guess.was_right();
        Ok(())
    }
}

/// Whether nobody exchanged the password since it was looked at.
fn same_hash(now: &Account, before: &Account) -> bool {
    let text = |account: &Account| account.password_hash.as_ref().map(|hash| hash.expose_secret().to_owned());
    text(now) == text(before)
}

fn name(text: Option<&str>) -> Result<Option<String>, Refusal> {
    let text = text.filter(|text| !text.trim().is_empty());
    text.map(|text| text::name(text).map_err(|refusal| Refusal::from(refusal).under(["name"]))).transpose()
}

/// Nobody gives rights that they do not have.
pub(super) fn may_give(caller: &Caller, scopes: &Scopes) -> Result<()> {
    let missing: Vec<Scope> = scopes.iter().filter(|scope| !caller.may(*scope)).collect();
    match missing.first() {
        None => Ok(()),
        Some(scope) => Err(Error::Forbidden(format!("You cannot give the scope {scope}, because you do not have it."))),
    }
}

/// Most attributes of an account.
pub const MAX_ATTRIBUTES: usize = 100;
/// Most characters of an attribute's name or value.
const MAX_ATTRIBUTE: usize = 200;

/// The name of an attribute, the same whatever its case.
///
/// # Errors
/// Nothing, too long, or more than a line.
pub(super) fn attribute_name(name: &str) -> Result<String, Refusal> {
    text::line("name", name, MAX_ATTRIBUTE).map(|name| text::fold(&name)).map_err(Refusal::from)
}

/// The value of an attribute; its case counts.
///
/// # Errors
/// Nothing, too long, or more than a line.
pub(super) fn attribute_value(value: &str) -> Result<String, Refusal> {
    text::line("value", value, MAX_ATTRIBUTE).map_err(Refusal::from)
}
