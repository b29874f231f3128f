//! People who may see or get certain content.

use sea_orm::entity::prelude::*;

/// People who may see or get certain content.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "group")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Title.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// Folded title, for order.
    #[sea_orm(column_type = "Text")]
    pub title_sort: String,
    /// Description, may be empty.
    #[sea_orm(column_type = "Text")]
    pub description: String,
    /// MANUAL or AUTOMATIC.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// Automatic: members of this company.
    pub rule_company_id: Option<Uuid>,
    /// Automatic: verified e-mails of this domain.
    #[sea_orm(column_type = "Text", nullable)]
    pub rule_email_domain: Option<String>,
    /// Automatic: accounts with this attribute ….
    #[sea_orm(column_type = "Text", nullable)]
    pub rule_attribute: Option<String>,
    /// … equal to this value.
    #[sea_orm(column_type = "Text", nullable)]
    pub rule_value: Option<String>,
    /// Whether membership is sold; given at creation only.
    pub commerce: bool,
    /// Whether members open resources without credits, as far as ordinary access goes.
    pub ignores_credits: bool,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
    /// When it was archived.
    pub archived_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
