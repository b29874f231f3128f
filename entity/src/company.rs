//! An organisation that buys or resells.

use sea_orm::entity::prelude::*;

/// An organisation that buys or resells.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "company")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Unique short name as given; configuration names companies by it.
    #[sea_orm(column_type = "Text")]
    pub key: String,
    /// The key in lower case.
    #[sea_orm(column_type = "Text")]
    pub key_folded: String,
    /// Name.
    #[sea_orm(column_type = "Text")]
    pub name: String,
    /// RETAIL or SALES_ORDER; fixed at creation.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// Off: no sales, no manager sign-in; running access stays.
    pub enabled: bool,
    /// IANA zone; the shop's when absent.
    #[sea_orm(column_type = "Text", nullable)]
    pub time_zone: Option<String>,
    /// PUBLIC or MEMBERS.
    #[sea_orm(column_type = "Text")]
    pub storefront: String,
    /// E-mail domains whose verified people are members.
    #[sea_orm(column_type = "JsonBinary")]
    pub email_domains: Json,
    /// Days after completing a course from which its learners may register again; null = never.
    pub reregistration_days: Option<i32>,
    /// ISO 3166 code of its country.
    #[sea_orm(column_type = "Text", nullable)]
    pub country: Option<String>,
    /// Whether sales through it are free of tax.
    pub tax_exempt: bool,
    /// Who counts as having made its retail sales: OPERATOR, COMPANY or LICENSOR.
    #[sea_orm(column_type = "Text")]
    pub originator: String,
    /// How much of its credits each of its learners may spend; null = none of them may.
    pub credit_limit: Option<i64>,
    /// When the seats of its sales orders are given: CONFIRM or PAYMENT; null = as the shop says.
    #[sea_orm(column_type = "Text", nullable)]
    pub tokens_on: Option<String>,
    /// How many seats it may take beyond those that it bought; null = none.
    pub overage_limit: Option<i32>,
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
