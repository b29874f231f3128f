//! What things of the catalogue said before they were changed, so that an offer can be shown as it was.
//!
//! Always true here: what a thing says now stands in its own table, so whatever was never changed has no row. A row says until when it held;
//! the earliest one that held beyond an instant is what the thing said then.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::catalog::{CourseKind, SaleState};
use domain::credit_sale::Gives;
use domain::terms::Terms;
use domain::{CourseId, DiscountScheduleId};
use entity::catalog_past::{ActiveModel, Column, Entity};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::catalog::{Course, Library, Session};
use super::credit_pack::CreditPack;
use super::group::Group;
use super::product::Product;
use super::{CHUNK, corrupt};

/// What an offer shows of a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of")]
pub enum Said {
    /// Of a product.
    Product {
        /// Its SKU.
        sku: String,
        /// Whether it made new sales.
        state: SaleState,
        /// How long access lasted.
        terms: Terms,
        /// Whether coupons reached it.
        couponable: bool,
        /// The credits that one unit gave; what was kept before credits were sold gave none.
        #[serde(default)]
        gives: Option<Gives>,
    },
    /// Of a course.
    Course {
        /// Its key.
        key: String,
        /// What it was.
        kind: CourseKind,
        /// Title.
        title: String,
        /// Description.
        description: String,
        /// Whether it was sold alone.
        commerce_on: bool,
        /// Whether it was archived.
        archived: bool,
    },
    /// Of a library.
    Library {
        /// Title.
        title: String,
        /// Description.
        description: String,
        /// What it was grouped by in reports.
        product_code: Option<String>,
        /// Quantity discounts.
        schedule: Option<DiscountScheduleId>,
        /// Its courses, in order.
        courses: Vec<CourseId>,
        /// Whether it was archived.
        archived: bool,
    },
    /// Of a group.
    Group {
        /// Title.
        title: String,
        /// Description.
        description: String,
        /// Whether it was archived.
        archived: bool,
    },
    /// Of a credit pack.
    CreditPack {
        /// Title.
        title: String,
        /// Description.
        description: String,
        /// Whether it was archived.
        archived: bool,
    },
    /// Of a session.
    Session {
        /// Start.
        starts_at: DateTime<Utc>,
        /// End.
        ends_at: DateTime<Utc>,
        /// Zone that its times were shown in.
        time_zone: String,
        /// Place or https address.
        location: Option<String>,
        /// Seats in all.
        seats: i64,
        /// Whether it was archived.
        archived: bool,
    },
}

impl Said {
    /// What a product says.
    pub fn product(product: &Product) -> Self {
        Self::Product {
            sku: product.sku.clone(),
            state: product.state,
            terms: product.terms,
            couponable: product.couponable,
            gives: product.gives,
        }
    }

    /// What a course says.
    pub fn course(course: &Course) -> Self {
        Self::Course {
            key: course.key.clone(),
            kind: course.kind,
            title: course.title.clone(),
            description: course.description.clone(),
            commerce_on: course.commerce_on,
            archived: course.archived_at.is_some(),
        }
    }

    /// What a library with these courses says.
    pub fn library(library: &Library, courses: &[CourseId]) -> Self {
        Self::Library {
            title: library.title.clone(),
            description: library.description.clone(),
            product_code: library.product_code.clone(),
            schedule: library.schedule,
            courses: courses.to_vec(),
            archived: library.archived_at.is_some(),
        }
    }

    /// What a group says.
    pub fn group(group: &Group) -> Self {
        Self::Group { title: group.title.clone(), description: group.description.clone(), archived: group.archived_at.is_some() }
    }

    /// What a credit pack says.
    pub fn credit_pack(pack: &CreditPack) -> Self {
        Self::CreditPack { title: pack.title.clone(), description: pack.description.clone(), archived: pack.archived_at.is_some() }
    }

    /// What a session says.
    pub fn session(session: &Session) -> Self {
        Self::Session {
            starts_at: session.starts_at,
            ends_at: session.ends_at,
            time_zone: session.time_zone.name().to_owned(),
            location: session.location.clone(),
            seats: session.seats,
            archived: session.archived_at.is_some(),
        }
    }
}

/// Keeps what a thing said until `now`, if that is another thing than it says afterwards.
///
/// # Errors
/// The database's.
pub async fn keep(txn: &impl ConnectionTrait, object: Uuid, before: &Said, after: &Said, now: DateTime<Utc>) -> Result<(), DbErr> {
    if before == after {
        return Ok(());
    }
    let row = ActiveModel {
        object_id: Set(object),
        replaced_at: Set(now),
        said: Set(serde_json::to_value(before).map_err(|error| DbErr::Json(error.to_string()))?),
    };
    // Of several changes at one instant the first tells what was said until then; what the others replaced never held.
    let kept = Entity::insert(row)
        .on_conflict(OnConflict::columns([Column::ObjectId, Column::ReplacedAt]).do_nothing().to_owned())
        .exec_without_returning(txn)
        .await;
    match kept {
        Ok(_) | Err(DbErr::RecordNotInserted) => Ok(()),
        Err(other) => Err(other),
    }
}

/// What those of these things said at the instant that say something else now; the others say what they said then.
///
/// # Errors
/// The database's.
pub async fn at(db: &impl ConnectionTrait, objects: &[Uuid], at: DateTime<Utc>) -> Result<HashMap<Uuid, Said>, DbErr> {
    let mut found = HashMap::new();
    for chunk in objects.chunks(CHUNK) {
        let rows = Entity::find()
            .filter(Column::ObjectId.is_in(chunk.iter().copied()))
            .filter(Column::ReplacedAt.gt(at))
            .order_by_asc(Column::ReplacedAt)
            .all(db)
            .await?;
        for row in rows {
            if let std::collections::hash_map::Entry::Vacant(place) = found.entry(row.object_id) {
                place.insert(serde_json::from_value(row.said).map_err(corrupt)?);
            }
        }
    }
    Ok(found)
}
