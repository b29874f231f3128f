//! The audit log.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::id::{Kind, format_any, parse_any};
use domain::{AuditId, CompanyId};
use serde::Serialize;
use serde_json::Value;

use super::connection::{List, connection, wants_total};
use super::error::{answer, scope};
use super::scalar::instant;
use crate::app::audit::{self as app, Key};
use crate::error::{Error, Result};
use crate::page::ListName;

/// One privileged change: who did what to which object, and how it was before.
#[derive(Debug, Clone, SimpleObject)]
pub struct AuditEntry {
    /// Its id.
    pub id: ID,
    /// When.
    pub at: DateTime<Utc>,
    /// OPERATOR, MANAGER, SERVICE, CUSTOMER, GUEST or SYSTEM.
    pub actor_kind: String,
    /// Account or key, or "guest" or "system".
    pub actor: String,
    /// The company concerned.
    pub company_id: Option<ID>,
    /// The mutation or job.
    pub operation: String,
    /// The kind of the object.
    pub object_kind: String,
    /// The object.
    pub object_id: Option<ID>,
    /// What it was before.
    pub old: Option<Value>,
    /// What it is since.
    pub new: Option<Value>,
    /// The request that did it, as in the logs.
    pub request_id: Option<String>,
}

impl From<app::Logged> for AuditEntry {
    fn from(entry: app::Logged) -> Self {
        Self {
            id: AuditId::new(entry.id).to_string().into(),
            at: entry.happened_at,
            actor_kind: entry.actor_kind,
            actor: entry.actor,
            company_id: entry.company.map(|id| CompanyId::new(id).to_string().into()),
            operation: entry.operation,
            object_id: entry
                .object
                .map(|id| prefix(&entry.object_kind).map_or_else(|| id.to_string(), |known| format_any(known, id)).into()),
            object_kind: entry.object_kind,
            old: entry.old,
            new: entry.new,
            request_id: entry.request,
        }
    }
}

/// The prefix of ids of a kind of object, as audit entries name kinds.
fn prefix(kind: &str) -> Option<&'static str> {
    macro_rules! known {
        ($($name:literal $kind:ident)*) => {
            match kind { $($name => Some(<domain::id::$kind as Kind>::PREFIX),)* _ => None }
        };
    }
    known! {
        "account" AccountKind
        "company" CompanyKind
        "provider" ProviderKind
        "course" CourseKind
        "session" SessionKind
        "library" LibraryKind
        "group" GroupKind
        "product" ProductKind
        "cart" CartKind
        "order" OrderKind
        "payment" PaymentKind
        "refund" RefundKind
        "entitlement" EntitlementKind
        "enrollment" EnrollmentKind
        "token" TokenKind
        "discountSchedule" DiscountScheduleKind
        "serviceKey" ServiceKeyKind
        "job" JobKind
    }
}

/// Which entries a list shows; what is left out does not matter.
#[derive(Debug, Default, InputObject, Serialize)]
pub struct AuditFilter {
    /// Of this account or key.
    pub actor: Option<String>,
    /// Concerning this company.
    pub company_id: Option<ID>,
    /// About this object.
    pub object_id: Option<ID>,
    /// By this mutation or job.
    pub operation: Option<String>,
    /// From this instant on.
    pub from: Option<DateTime<Utc>>,
    /// Before this instant.
    pub until: Option<DateTime<Utc>>,
}

impl AuditFilter {
    fn read(&self) -> Result<app::Filter> {
        let malformed = |what: &str| Error::BadInput(format!("`{what}` is not an id."));
        let company = self.company_id.as_ref().map(|id| CompanyId::parse(id).ok_or_else(|| malformed("companyId"))).transpose()?;
        let object = self.object_id.as_ref().map(|id| parse_any(id).ok_or_else(|| malformed("objectId"))).transpose()?;
        Ok(app::Filter {
            actor: self.actor.clone(),
            company: company.map(CompanyId::uuid),
            operation: self.operation.clone(),
            object: object.map(|(_, id)| id),
            from: instant(self.from, "filter.from")?,
            until: instant(self.until, "filter.until")?,
        })
    }
}

/// Queries about the audit log.
#[derive(Debug, Default)]
pub struct AuditQuery;

#[Object]
impl AuditQuery {
    /// What was changed by whom, the newest first. Needs `settings:read`; a company's managers see what concerns their company, by a filter that
    /// names it.
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        filter: Option<AuditFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<AuditEntry>> {
        let (app, caller) = scope(ctx)?;
        let filter = filter.unwrap_or_default();
        let entries = async {
            let list = ListName::new("auditLog", &filter)?;
            let args = list.args(first, after.as_deref())?;
            let page = app.audit_log(caller, &filter.read()?, &args, wants_total(ctx)).await?;
            connection(&list, page, |entry| (Key::At(entry.happened_at), entry.id), AuditEntry::from)
        };
        answer(entries.await)
    }
}
