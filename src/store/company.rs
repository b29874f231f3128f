//! Companies and their people: rows, lookups, and who is a member.

use chrono::{DateTime, Utc};
use domain::company::{CompanyFacts, CompanyType, Storefront};
use domain::{AccountId, CompanyId};
use entity::{account, company, company_member};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QuerySelect};

use super::{known, search};

/// A company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Its id.
    pub id: CompanyId,
    /// Unique short name.
    pub key: String,
    /// Name.
    pub name: String,
    /// How it buys.
    pub company_type: CompanyType,
    /// Whether it makes sales and its managers may sign in.
    pub enabled: bool,
    /// IANA zone; the shop's when absent.
    pub time_zone: Option<String>,
    /// Who may see its offers.
    pub storefront: Storefront,
    /// E-mail domains whose verified people are members.
    pub email_domains: Vec<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

impl Company {
    /// What decides whether its learners can buy.
    pub const fn facts(&self) -> CompanyFacts {
        CompanyFacts { company_type: self.company_type, enabled: self.enabled, archived: self.archived_at.is_some() }
    }

    fn of(row: company::Model) -> Result<Self, DbErr> {
        Ok(Self {
            id: CompanyId::new(row.id),
            company_type: known(CompanyType::parse(&row.kind), "company type", &row.kind)?,
            storefront: known(Storefront::parse(&row.storefront), "storefront", &row.storefront)?,
            email_domains: serde_json::from_value(row.email_domains).map_err(|error| DbErr::Json(error.to_string()))?,
            key: row.key,
            name: row.name,
            enabled: row.enabled,
            time_zone: row.time_zone,
            created_at: row.created_at,
            touched_at: row.touched_at,
            archived_at: row.archived_at,
        })
    }
}

/// The company, archived or not.
///
/// # Errors
/// The database's.
pub async fn find(db: &impl ConnectionTrait, id: CompanyId) -> Result<Option<Company>, DbErr> {
    company::Entity::find_by_id(id.uuid()).one(db).await?.map(Company::of).transpose()
}

/// Whether somebody is a member of a company: named by a manager or by a redeemed token, or by a verified e-mail of a domain that the company
/// lists.
///
/// # Errors
/// The database's.
pub async fn member_of(db: &impl ConnectionTrait, company: CompanyId, account: AccountId) -> Result<bool, DbErr> {
    Ok(!companies_of(db, account, Some(company)).await?.is_empty())
}

/// The companies that somebody is a member of, archived ones too; only `among` if that is given.
///
/// # Errors
/// The database's.
pub async fn companies_of(db: &impl ConnectionTrait, account: AccountId, among: Option<CompanyId>) -> Result<Vec<CompanyId>, DbErr> {
    let verified = verified_domain(db, account).await?;
    let mut select = company::Entity::find().select_only().column(company::Column::Id).filter(membership(
        db.get_database_backend(),
        account,
        verified.as_deref(),
    ));
    if let Some(among) = among {
        select = select.filter(company::Column::Id.eq(among.uuid()));
    }
    Ok(select.into_tuple::<uuid::Uuid>().all(db).await?.into_iter().map(CompanyId::new).collect())
}

/// The domain of somebody's e-mail, if that is verified.
///
/// # Errors
/// The database's.
pub async fn verified_domain(db: &impl ConnectionTrait, account: AccountId) -> Result<Option<String>, DbErr> {
    let domain = account::Entity::find_by_id(account.uuid())
        .select_only()
        .column(account::Column::EmailDomain)
        .filter(account::Column::EmailVerifiedAt.is_not_null())
        // Erasing a person blanks it.
        .filter(account::Column::EmailDomain.ne(""))
        .into_tuple::<String>()
        .one(db)
        .await?;
    Ok(domain)
}

/// The condition on `company` that this account is a member; `verified` is the domain of its e-mail, if that is verified.
pub(super) fn membership(backend: DbBackend, account: AccountId, verified: Option<&str>) -> Condition {
    let named = Query::select()
        .column(company_member::Column::CompanyId)
        .from(company_member::Entity)
        .and_where(company_member::Column::AccountId.eq(account.uuid()))
        .take();
    let by_domain = verified.map(|domain| {
        // Domains are kept as a JSON list of plain lower-case texts, so the quoted domain occurs in its text exactly if it is listed.
        let listed = Expr::col((company::Entity, company::Column::EmailDomains)).cast_as("text");
        search::contains(backend, listed, &format!("\"{domain}\""))
    });
    Condition::any().add(company::Column::Id.in_subquery(named)).add_option(by_domain)
}
