//! Who calls, and what they may do. Rights are read from the database at each request, never from a token's claims.

use std::collections::BTreeSet;
use std::net::IpAddr;

use domain::{AccountId, CompanyId, ServiceKeyId};
use secrecy::SecretString;

use crate::error::{Error, Result};

/// What operators and service keys can be allowed, topic by topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The topic.
    pub topic: Topic,
    /// Whether it may change things; writing includes reading.
    pub write: bool,
}

/// Topics of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Providers, courses, libraries, groups, products.
    Catalog,
    /// Companies and their members.
    Companies,
    /// Prices, overrides, rates, schedules.
    Prices,
    /// Coupons.
    Coupons,
    /// Orders and payments.
    Orders,
    /// Refunds.
    Refunds,
    /// Credits.
    Credits,
    /// Enrollments, results, entitlements, tokens.
    Learning,
    /// Bulk sales.
    Sales,
    /// Reports.
    Reports,
    /// Accounts, keys, audit, jobs.
    Settings,
}

impl Topic {
    /// All topics, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Catalog,
        Self::Companies,
        Self::Prices,
        Self::Coupons,
        Self::Orders,
        Self::Refunds,
        Self::Credits,
        Self::Learning,
        Self::Sales,
        Self::Reports,
        Self::Settings,
    ];

    /// The name used in scopes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Companies => "companies",
            Self::Prices => "prices",
            Self::Coupons => "coupons",
            Self::Orders => "orders",
            Self::Refunds => "refunds",
            Self::Credits => "credits",
            Self::Learning => "learning",
            Self::Sales => "sales",
            Self::Reports => "reports",
            Self::Settings => "settings",
        }
    }

    /// The right to see this topic.
    pub const fn read(self) -> Scope {
        Scope { topic: self, write: false }
    }

    /// The right to change this topic.
    pub const fn write(self) -> Scope {
        Scope { topic: self, write: true }
    }
}

impl Scope {
    /// Reads `catalog:write`.
    pub fn parse(text: &str) -> Option<Self> {
        let (topic, right) = text.split_once(':')?;
        let topic = Topic::ALL.into_iter().find(|known| known.name() == topic)?;
        match right {
            "read" => Some(topic.read()),
            "write" => Some(topic.write()),
            _ => None,
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.topic.name(), if self.write { "write" } else { "read" })
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Every scope there is: what an operator has unless told otherwise.
    pub fn all() -> Self {
        Topic::ALL.into_iter().flat_map(|topic| [topic.read(), topic.write()]).collect()
    }

    /// Whether `scope` is allowed; writing includes reading.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || (!scope.write && self.0.contains(&scope.topic.write()))
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub enum Who {
    /// Nobody signed in; perhaps with a cart's secret.
    Guest,
    /// A signed-in person.
    Account {
        /// The account.
        id: AccountId,
        /// The operator's scopes, if it is one.
        operator: Option<Scopes>,
        /// Enabled companies that this person manages.
        manages: Vec<CompanyId>,
    },
    /// A program with a service key of an operator or service role.
    Key {
        /// The key.
        id: ServiceKeyId,
        /// What it may do.
        scopes: Scopes,
    },
    /// A program with a company manager's key.
    ManagerKey {
        /// The key.
        id: ServiceKeyId,
        /// Its company.
        company: CompanyId,
        /// What it may do, within the company.
        scopes: Scopes,
    },
    /// The shop itself: jobs and start-up.
    System,
}

/// A request's caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub who: Who,
    /// The sign-in or key that showed who it is, for looking again later.
    pub bearer: Option<SecretString>,
    /// The secret of a guest's cart, from the header.
    pub cart_secret: Option<SecretString>,
    /// Where the request came from, for rate limits.
    pub address: Option<IpAddr>,
    /// The request's id, for logs and audit.
    pub request: Option<String>,
}

impl Caller {
    /// The shop itself.
    pub const fn system() -> Self {
        Self { who: Who::System, bearer: None, cart_secret: None, address: None, request: None }
    }

    /// A visitor who is not signed in.
    pub const fn guest() -> Self {
        Self { who: Who::Guest, bearer: None, cart_secret: None, address: None, request: None }
    }

    /// The signed-in account, if any.
    pub const fn account(&self) -> Option<AccountId> {
        match &self.who {
            Who::Account { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The actor as stored in books and logs: `acc_…`, `key_…`, `guest` or `system`.
    pub fn actor(&self) -> String {
        match &self.who {
            Who::Guest => "guest".to_owned(),
            Who::Account { id, .. } => id.to_string(),
            Who::Key { id, .. } | Who::ManagerKey { id, .. } => id.to_string(),
            Who::System => "system".to_owned(),
        }
    }

    /// The kind of actor, as the audit log names it.
    pub const fn actor_kind(&self) -> &'static str {
        match &self.who {
            Who::Guest => "GUEST",
            Who::Account { operator: Some(_), .. } => "OPERATOR",
            Who::Account { manages, .. } if !manages.is_empty() => "MANAGER",
            Who::Account { .. } => "CUSTOMER",
            Who::Key { .. } => "SERVICE",
            Who::ManagerKey { .. } => "MANAGER",
            Who::System => "SYSTEM",
        }
    }

    /// Whether an operator's or service key's scope allows this.
    pub fn may(&self, scope: Scope) -> bool {
        match &self.who {
            Who::Account { operator: Some(scopes), .. } | Who::Key { scopes, .. } => scopes.allow(scope),
            Who::System => true,
            Who::Guest | Who::Account { .. } | Who::ManagerKey { .. } => false,
        }
    }

    /// Lets operators and keys with `scope` pass.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] without a sign-in, [`Error::Forbidden`] for everybody else.
    pub fn require(&self, scope: Scope) -> Result<()> {
        if self.may(scope) { Ok(()) } else { Err(self.denied(&format!("This needs an operator or a key with the scope {scope}."))) }
    }

    /// Whether this caller manages `company`.
    pub fn manages(&self, company: CompanyId) -> bool {
        match &self.who {
            Who::Account { manages, .. } => manages.contains(&company),
            Who::ManagerKey { company: own, .. } => *own == company,
            _ => false,
        }
    }

    /// Whether an operator's scope or managing `company` (with the scope, for a key) allows this.
    pub fn may_for(&self, scope: Scope, company: CompanyId) -> bool {
        let within = match &self.who {
            Who::ManagerKey { scopes, .. } => scopes.allow(scope),
            _ => true,
        };
        self.may(scope) || (within && self.manages(company))
    }

    /// Whether the caller is a manager of any company.
    pub fn is_manager(&self) -> bool {
        match &self.who {
            Who::Account { manages, .. } => !manages.is_empty(),
            Who::ManagerKey { .. } => true,
            _ => false,
        }
    }

    /// Whether the caller is a signed-in operator.
    pub const fn is_operator(&self) -> bool {
        matches!(&self.who, Who::Account { operator: Some(_), .. })
    }

    /// The signed-in account.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for guests, [`Error::Forbidden`] for keys.
    pub fn require_account(&self) -> Result<AccountId> {
        self.account().ok_or_else(|| self.denied("This is for a signed-in person."))
    }

    /// Lets everybody pass who is signed in, programs too.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for guests.
    pub fn require_sign_in(&self) -> Result<()> {
        if matches!(self.who, Who::Guest) { Err(self.denied("This is for people and programs that are signed in.")) } else { Ok(()) }
    }

    /// The refusal of an operation that is not for this caller.
    pub fn denied(&self, why: &str) -> Error {
        match &self.who {
            Who::Guest => Error::Unauthenticated(format!("{why} Sign in first.")),
            _ => Error::Forbidden(why.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_includes_reading_and_not_the_other_way_round() {
        let scopes: Scopes = [Topic::Catalog.write(), Topic::Orders.read()].into_iter().collect();
        assert!(scopes.allow(Topic::Catalog.read()) && scopes.allow(Topic::Catalog.write()) && scopes.allow(Topic::Orders.read()));
        assert!(!scopes.allow(Topic::Orders.write()) && !scopes.allow(Topic::Prices.read()));
    }

    #[test]
    fn scopes_read_back_as_written() {
        for scope in Scopes::all().iter() {
            assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
        }
        for text in ["", "catalog", "catalog:", "catalog:delete", "Catalog:read", "x:read"] {
            assert_eq!(Scope::parse(text), None, "{text:?}");
        }
    }
}
