//! Templates of the shop's own, and what operators choose for the shop.

use chrono::{DateTime, Utc};
use domain::mail::TemplateKind;
use domain::{CompanyId, ProductId};
use entity::shop_choice;
use entity::template::{self, Column, Entity};
use sea_orm::prelude::Json;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::page::{Key, Order, page};
use super::{CHUNK, known};
use crate::page::{Page, PageArgs};

/// The one row of choices.
const ID: i32 = 1;

/// Which template is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it is for.
    pub kind: TemplateKind,
    /// Its locale, in small letters.
    pub locale: String,
    /// For the buyers of this company.
    pub company: Option<CompanyId>,
    /// For this product.
    pub product: Option<ProductId>,
}

impl Place {
    /// All of it in one text.
    pub fn name(&self) -> String {
        let company = self.company.map(|company| company.to_string()).unwrap_or_default();
        let product = self.product.map(|product| product.to_string()).unwrap_or_default();
        format!("{}/{}/{company}/{product}", self.kind.name(), self.locale)
    }
}

/// A template as it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Row id.
    pub id: Uuid,
    /// Which it is.
    pub place: Place,
    /// Template of the subject.
    pub subject: String,
    /// Template of the plain text.
    pub text: String,
    /// Template of the HTML.
    pub html: Option<String>,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
    /// When it was last set.
    pub touched_at: DateTime<Utc>,
}

/// Those of the templates at these places that were set.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn at(db: &impl ConnectionTrait, places: &[&str]) -> Result<Vec<Template>, DbErr> {
    let mut set = Vec::new();
    for chunk in places.chunks(CHUNK) {
        let rows = Entity::find().filter(Column::Place.is_in(chunk.iter().copied())).all(db).await?;
        set.extend(rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(set)
}

/// A page of all that were set, in the order of making.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn list(db: &impl ConnectionTrait, args: &PageArgs<(Key, Uuid)>, with_total: bool) -> Result<Page<Template>, DbErr> {
    let order = Order { column: Column::CreatedAt, id: Column::Id, descending: false };
    let Page { rows, has_next, has_previous, total } = page(db, Entity::find(), order, args, with_total).await?;
    Ok(Page { rows: rows.into_iter().map(from_row).collect::<Result<_, _>>()?, has_next, has_previous, total })
}

/// Writes a template in place of the one that was there.
///
/// # Errors
/// The database's.
pub async fn set(txn: &impl ConnectionTrait, template: &Template) -> Result<(), DbErr> {
    let row = template::ActiveModel {
        id: Set(template.id),
        kind: Set(template.place.kind.name().to_owned()),
        locale: Set(template.place.locale.clone()),
        company_id: Set(template.place.company.map(CompanyId::uuid)),
        product_id: Set(template.place.product.map(ProductId::uuid)),
        place: Set(template.place.name()),
        subject: Set(template.subject.clone()),
        text: Set(template.text.clone()),
        html: Set(template.html.clone()),
        created_at: Set(template.created_at),
        touched_at: Set(template.touched_at),
    };
    let changed = [Column::Subject, Column::Text, Column::Html, Column::TouchedAt];
    let conflict = OnConflict::column(Column::Place).update_columns(changed).to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(txn).await?;
    Ok(())
}

/// Takes a template away; says whether there was one.
///
/// # Errors
/// The database's.
pub async fn unset(txn: &impl ConnectionTrait, place: &Place) -> Result<bool, DbErr> {
    Ok(Entity::delete_many().filter(Column::Place.eq(place.name())).exec(txn).await?.rows_affected > 0)
}

/// What was chosen for the shop; `None` if nothing ever was.
///
/// # Errors
/// The database's.
pub async fn choices(db: &impl ConnectionTrait) -> Result<Option<Json>, DbErr> {
    Ok(shop_choice::Entity::find_by_id(ID).one(db).await?.map(|row| row.choices))
}

/// Writes what is chosen for the shop. The caller holds the installation's row, or the only writer.
///
/// # Errors
/// The database's.
pub async fn choose(txn: &impl ConnectionTrait, choices: Json, now: DateTime<Utc>) -> Result<(), DbErr> {
    let row = shop_choice::ActiveModel { id: Set(ID), choices: Set(choices), touched_at: Set(now) };
    let conflict = OnConflict::column(shop_choice::Column::Id)
        .update_columns([shop_choice::Column::Choices, shop_choice::Column::TouchedAt])
        .to_owned();
    shop_choice::Entity::insert(row).on_conflict(conflict).exec_without_returning(txn).await?;
    Ok(())
}

fn from_row(row: template::Model) -> Result<Template, DbErr> {
    Ok(Template {
        id: row.id,
        place: Place {
            kind: known(TemplateKind::parse(&row.kind), "kind of template", &row.kind)?,
            locale: row.locale,
            company: row.company_id.map(Into::into),
            product: row.product_id.map(Into::into),
        },
        subject: row.subject,
        text: row.text,
        html: row.html,
        created_at: row.created_at,
        touched_at: row.touched_at,
    })
}
