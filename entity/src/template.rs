//! A template of the shop's own, in place of the one that is shipped.

use sea_orm::entity::prelude::*;

/// A template of the shop's own, in place of the one that is shipped.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "template")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What it is for.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// Its locale, in small letters.
    #[sea_orm(column_type = "Text")]
    pub locale: String,
    /// The company that it is for; null = all.
    pub company_id: Option<Uuid>,
    /// The product that it is for; null = all.
    pub product_id: Option<Uuid>,
    /// Kind, locale, company and product in one text: one template for each.
    #[sea_orm(column_type = "Text")]
    pub place: String,
    /// Template of the subject.
    #[sea_orm(column_type = "Text")]
    pub subject: String,
    /// Template of the plain text.
    #[sea_orm(column_type = "Text")]
    pub text: String,
    /// Template of the HTML.
    #[sea_orm(column_type = "Text", nullable)]
    pub html: Option<String>,
    /// When it was first set.
    pub created_at: DateTimeUtc,
    /// When it was last set.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
