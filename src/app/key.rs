//! Keys of programs. Always true here: a key's secret is told once, when it is made, and is nowhere afterwards.

use std::collections::HashMap;

use domain::account::KeyRole;
use domain::text;
use domain::{CompanyId, ServiceKeyId};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::account::may_give;
use super::caller::{Caller, Scopes, Topic};
use super::entropy;
use super::secrets::Purpose;
use super::sign_in::SERVICE_KEY_PREFIX;
use super::{App, Object};
use crate::error::{Code, Error, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;

pub use crate::store::key::ServiceKey;
pub use crate::store::page::Key;

/// A key to be made.
#[derive(Debug, Clone)]
pub struct ServiceKeyCreate {
    /// What it is for.
    pub name: String,
    /// As what it acts.
    pub role: KeyRole,
    /// The company of a manager's key.
    pub company: Option<CompanyId>,
    /// What it may do; all that its role allows when absent.
    pub scopes: Option<Scopes>,
}

impl App {
    /// Makes a key; its secret is in this answer only.
    ///
    /// # Errors
    /// [`Code::Required`] for a manager's key without a company or a service's without scopes; [`Code::NotFound`] for a company that is not
    /// there; [`Error::Forbidden`] for scopes that the caller does not have.
    pub async fn service_key_create(&self, caller: &Caller, cmd: ServiceKeyCreate) -> Result<(ServiceKey, SecretString)> {
        caller.require(Topic::Settings.write())?;
        let mut refusals = Vec::new();
        let name = text::name(&cmd.name).map_err(|refusal| refusals.push(Refusal::from(refusal).under(["name"]))).unwrap_or_default();
        match (cmd.role, cmd.company) {
            (KeyRole::Manager, None) => {
                refusals.push(Refusal::at(Code::Required, ["companyId"], "A manager's key is for one company; name it."));
            }
            (KeyRole::Operator | KeyRole::Service, Some(_)) => {
                refusals.push(Refusal::at(Code::Invalid, ["companyId"], "Only a manager's key has a company; leave it out."));
            }
            _ => {}
        }
        let none = cmd.scopes.as_ref().is_none_or(|scopes| scopes.iter().next().is_none());
        if none && (cmd.role == KeyRole::Service || cmd.scopes.is_some()) {
            refusals.push(Refusal::at(Code::Required, ["scopes"], "Name the scopes that the program needs, such as \"catalog:read\"."));
        }
        if !refusals.is_empty() {
            return Err(refusals.into());
        }
        let scopes = cmd.scopes.unwrap_or_else(Scopes::all);
        may_give(caller, &scopes)?;

        let secret = format!("{SERVICE_KEY_PREFIX}{}", entropy::secret_text(self.entropy.as_ref()));
        let key = ServiceKey {
            id: entropy::next_id(),
            name,
            role: cmd.role,
            company: cmd.company,
            scopes: scopes.iter().map(|scope| scope.to_string()).collect(),
            created_by: caller.actor(),
            created_at: self.now(),
            revoked_at: None,
        };
        let txn = self.db.begin().await?;
        if let Some(company) = key.company
            && !store::key::is_company(&txn, company).await?
        {
            return Err(Error::not_found("companyId", "company"));
        }
        store::key::insert(&txn, &key, &self.secrets.hash(Purpose::ServiceKey, &secret)).await?;
        let new = json!({ "name": key.name, "role": key.role, "scopes": key.scopes });
        self.audit(&txn, caller, "serviceKeyCreate", object(&key), None, Some(new)).await?;
        txn.commit().await?;
        Ok((key, secret.into()))
    }

    /// Revokes a key at once. A revoked one stays as it is.
    ///
    /// # Errors
    /// [`Code::NotFound`].
    pub async fn service_key_revoke(&self, caller: &Caller, id: ServiceKeyId) -> Result<ServiceKey> {
        caller.require(Topic::Settings.write())?;
        let txn = self.db.begin().await?;
        let revoked = store::key::revoke(&txn, id, self.now()).await?;
        let key = store::key::by_id(&txn, id).await?.ok_or_else(|| Error::not_found("id", "service key"))?;
        if revoked {
            self.audit(&txn, caller, "serviceKeyRevoke", object(&key), None, None).await?;
        }
        txn.commit().await?;
        Ok(key)
    }

    /// Those of these keys that the caller may see: all with `settings:read`, else none.
    ///
    /// # Errors
    /// The database's.
    pub async fn service_keys_by_id(&self, caller: &Caller, ids: &[ServiceKeyId]) -> Result<HashMap<ServiceKeyId, ServiceKey>> {
        if !caller.may(Topic::Settings.read()) {
            return Ok(HashMap::new());
        }
        let found = store::key::by_ids(self.db.read(), ids).await?;
        Ok(found.into_iter().map(|key| (key.id, key)).collect())
    }

    /// A page of keys, the newest first, revoked ones too.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `settings:read`.
    pub async fn service_keys(&self, caller: &Caller, args: &PageArgs<(Key, Uuid)>, with_total: bool) -> Result<Page<ServiceKey>> {
        caller.require(Topic::Settings.read())?;
        Ok(store::key::list(self.db.read(), args, with_total).await?)
    }
}

fn object(key: &ServiceKey) -> Object {
    let object = Object::new("serviceKey", key.id.uuid());
    match key.company {
        Some(company) => object.of_company(company.uuid()),
        None => object,
    }
}
