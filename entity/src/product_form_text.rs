//! What operators write for the order form of a product, in one language.

use sea_orm::entity::prelude::*;

/// What operators write for the order form of a product, in one language.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "product_form_text")]
pub struct Model {
    /// The product.
    #[sea_orm(primary_key, auto_increment = false)]
    pub product_id: Uuid,
    /// The locale, in small letters.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub locale: String,
    /// The text, in Markdown.
    #[sea_orm(column_type = "Text")]
    pub markdown: String,
    /// When it was last set.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
