//! What operators write for the order forms of products, in Markdown.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::ProductId;
use entity::product_form_text::{ActiveModel, Column, Entity};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::rows_in;

/// A text in one language.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FormText {
    /// Its locale, in small letters.
    pub locale: String,
    /// The text.
    pub markdown: String,
}

/// The texts of these products, by locale.
///
/// # Errors
/// The database's.
pub async fn of_products(db: &impl ConnectionTrait, products: &[ProductId]) -> Result<HashMap<ProductId, Vec<FormText>>, DbErr> {
    let ids: Vec<Uuid> = products.iter().map(|product| product.uuid()).collect();
    let mut texts: HashMap<ProductId, Vec<FormText>> = HashMap::new();
    for row in rows_in::<Entity>(db, Column::ProductId, &ids).await? {
        texts.entry(row.product_id.into()).or_default().push(FormText { locale: row.locale, markdown: row.markdown });
    }
    texts.values_mut().for_each(|texts| texts.sort_by(|one, other| one.locale.cmp(&other.locale)));
    Ok(texts)
}

/// Writes a text in place of the one that was there.
///
/// # Errors
/// The database's.
pub async fn set(txn: &impl ConnectionTrait, product: ProductId, text: &FormText, now: DateTime<Utc>) -> Result<(), DbErr> {
    let row = ActiveModel {
        product_id: Set(product.uuid()),
        locale: Set(text.locale.clone()),
        markdown: Set(text.markdown.clone()),
        touched_at: Set(now),
    };
    let conflict =
        OnConflict::columns([Column::ProductId, Column::Locale]).update_columns([Column::Markdown, Column::TouchedAt]).to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(txn).await?;
    Ok(())
}

/// Takes a text away.
///
/// # Errors
/// The database's.
pub async fn unset(txn: &impl ConnectionTrait, product: ProductId, locale: &str) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::ProductId.eq(product.uuid())).filter(Column::Locale.eq(locale)).exec(txn).await?;
    Ok(())
}
