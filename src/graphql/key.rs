//! Keys of programs.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;

use super::account::scopes;
use super::connection::{List, connection, wants_total};
use super::error::{UserError, answer, outcome, payload, scope};
use super::scalar::{input_id, named_enum};
use crate::app::caller::Topic;
use crate::app::key::{self as app, Key};
use crate::page::ListName;

named_enum! {
    /// What a service key is for. OPERATOR acts for the shop, with every scope unless given fewer; MANAGER acts for one company; SERVICE is a
    /// program with just the scopes that it needs.
    ServiceKeyRole(domain::account::KeyRole)
}

/// A key of a program; its secret was told once and is kept as a hash.
#[derive(Debug, Clone, SimpleObject)]
pub struct ServiceKey {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// What it is for.
    pub name: String,
    /// As what it acts.
    pub role: ServiceKeyRole,
    /// The company of a manager's key.
    pub company_id: Option<ID>,
    /// What it may do, such as "catalog:write"; a manager's key within its company.
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl From<app::ServiceKey> for ServiceKey {
    fn from(key: app::ServiceKey) -> Self {
        Self {
            id: key.id.to_string().into(),
            name: key.name,
            role: ServiceKeyRole(key.role),
            company_id: key.company.map(|id| id.to_string().into()),
            scopes: key.scopes,
            created_by: key.created_by,
            created_at: key.created_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// Queries about keys.
#[derive(Debug, Default)]
pub struct KeyQuery;

#[Object]
impl KeyQuery {
    /// All service keys, the newest first, revoked ones too. Needs `settings:read`.
    async fn service_keys(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<ServiceKey>> {
        let (app, caller) = scope(ctx)?;
        let keys = async {
            let list = ListName::new("serviceKeys", &())?;
            let args = list.args(first, after.as_deref())?;
            let page = app.service_keys(caller, &args, wants_total(ctx)).await?;
            connection(&list, page, |key| (Key::At(key.created_at), key.id.uuid()), ServiceKey::from)
        };
        answer(keys.await)
    }
}

/// A key to be made.
#[derive(Debug, InputObject)]
pub struct ServiceKeyCreateInput {
    /// What it is for.
    pub name: String,
    /// As what it acts.
    pub role: ServiceKeyRole,
    /// The company of a manager's key.
    pub company_id: Option<ID>,
    /// What it may do; a SERVICE key must name its scopes, others have all when left out.
    pub scopes: Option<Vec<String>>,
}

/// The key to revoke.
#[derive(Debug, InputObject)]
pub struct ServiceKeyRevokeInput {
    /// Its id.
    pub id: ID,
}

/// The key with its secret.
#[derive(SimpleObject)]
pub struct ServiceKeyCreatePayload {
    /// The key.
    pub service_key: Option<ServiceKey>,
    /// The secret, to be sent as `Authorization: Bearer …`. It is told here and never again.
    pub secret: Option<String>,
    /// Why the call was refused; empty when it was done.
    pub user_errors: Vec<UserError>,
}

payload! {
    /// The revoked key.
    ServiceKeyRevokePayload {
        /// The key.
        service_key: ServiceKey
    }
}

/// Mutations of keys.
#[derive(Debug, Default)]
pub struct KeyMutation;

#[Object]
impl KeyMutation {
    /// Makes a service key. Needs `settings:write`, and nobody gives scopes that they lack.
    async fn service_key_create(&self, ctx: &Context<'_>, input: ServiceKeyCreateInput) -> async_graphql::Result<ServiceKeyCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let made = async {
            caller.require(Topic::Settings.write())?;
            let cmd = app::ServiceKeyCreate {
                name: input.name,
                role: input.role.0,
                company: input.company_id.map(|id| input_id(&id, "companyId", "company")).transpose()?,
                scopes: input.scopes.map(|texts| scopes(&texts)).transpose()?,
            };
            app.service_key_create(caller, cmd).await
        };
        Ok(match outcome(made.await)? {
            Ok((key, secret)) => ServiceKeyCreatePayload {
                service_key: Some(key.into()),
                secret: Some(secret.expose_secret().to_owned()),
                user_errors: Vec::new(),
            },
            Err(user_errors) => ServiceKeyCreatePayload { service_key: None, secret: None, user_errors },
        })
    }

    /// Revokes a service key at once. Needs `settings:write`.
    async fn service_key_revoke(&self, ctx: &Context<'_>, input: ServiceKeyRevokeInput) -> async_graphql::Result<ServiceKeyRevokePayload> {
        let (app, caller) = scope(ctx)?;
        let revoked = async {
            caller.require(Topic::Settings.write())?;
            app.service_key_revoke(caller, input_id(&input.id, "id", "service key")?).await
        };
        ServiceKeyRevokePayload::of(revoked.await)
    }
}
