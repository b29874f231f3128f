//! Resources: the items of a course, with what renting them costs. Nothing is deleted here, only archived.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::rental::{DemoKind, Price};
use domain::{CourseId, ResourceId};
use entity::resource::{ActiveModel, Column, Entity, Model};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QueryTrait,
};
use serde::Serialize;

use super::catalog::{ROWS, uuids};
use super::{CHUNK, corrupt, known, rows_in};

/// One item inside a course.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Id.
    pub id: ResourceId,
    /// Its course.
    pub course: CourseId,
    /// Title.
    pub title: String,
    /// Credits that renting it costs; 0 = it opens with its course.
    pub cost: i64,
    /// Days that a rental lasts.
    pub days: u32,
    /// What shows what it is about: the kind, and the text or address.
    pub demo: Option<(DemoKind, String)>,
    /// Its place in the course.
    pub position: i32,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
    /// When it was archived.
    pub archived_at: Option<DateTime<Utc>>,
}

impl Resource {
    /// Its price.
    pub const fn price(&self) -> Price {
        Price { cost: self.cost, days: self.days }
    }
}

fn record(row: Model) -> Result<Resource, DbErr> {
    let demo = match (row.demo_kind, row.demo) {
        (Some(kind), Some(demo)) => Some((known(DemoKind::parse(&kind), "kind of demo", &kind)?, demo)),
        _ => None,
    };
    Ok(Resource {
        id: row.id.into(),
        course: row.course_id.into(),
        title: row.title,
        cost: row.cost,
        days: u32::try_from(row.days).map_err(corrupt)?,
        demo,
        position: row.position,
        created_at: row.created_at,
        touched_at: row.touched_at,
        archived_at: row.archived_at,
    })
}

fn row(record: &Resource) -> Result<ActiveModel, DbErr> {
    let (kind, demo) = record.demo.clone().unzip();
    Ok(ActiveModel {
        id: Set(record.id.uuid()),
        course_id: Set(record.course.uuid()),
        title: Set(record.title.clone()),
        cost: Set(record.cost),
        days: Set(i32::try_from(record.days).map_err(corrupt)?),
        demo_kind: Set(kind.map(|kind| kind.name().to_owned())),
        demo: Set(demo),
        position: Set(record.position),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
        archived_at: Set(record.archived_at),
    })
}

/// Writes new resources.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, records: &[Resource]) -> Result<(), DbErr> {
    for chunk in records.chunks(ROWS) {
        let rows = chunk.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Writes what changed of a resource.
///
/// # Errors
/// The database's.
pub async fn update(txn: &impl ConnectionTrait, record: &Resource) -> Result<(), DbErr> {
    Entity::update(row(record)?).exec_without_returning(txn).await?;
    Ok(())
}

/// The resources with these ids.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[ResourceId]) -> Result<Vec<Resource>, DbErr> {
    rows_in::<Entity>(db, Column::Id, &uuids(ids)).await?.into_iter().map(record).collect()
}

/// A resource whose price stays as it is for the rest of the transaction. Others who only look at it do not wait.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn hold(txn: &DatabaseTransaction, id: ResourceId) -> Result<Option<Resource>, DbErr> {
    let mut select = Entity::find_by_id(id.uuid());
    QueryTrait::query(&mut select).lock(LockType::Share);
    select.one(txn).await?.map(record).transpose()
}

/// The resources of these courses in their order, without archived ones.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_courses(db: &impl ConnectionTrait, courses: &[CourseId]) -> Result<HashMap<CourseId, Vec<Resource>>, DbErr> {
    let mut found: HashMap<CourseId, Vec<Resource>> = HashMap::new();
    for chunk in uuids(courses).chunks(CHUNK) {
        let rows = Entity::find()
            .filter(Column::CourseId.is_in(chunk.iter().copied()))
            .filter(Column::ArchivedAt.is_null())
            .order_by_asc(Column::Position)
            .order_by_asc(Column::Id)
            .all(db)
            .await?;
        for row in rows {
            let resource = record(row)?;
            found.entry(resource.course).or_default().push(resource);
        }
    }
    Ok(found)
}

/// All resources that a course has or had, in their order.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn all_of(db: &impl ConnectionTrait, course: CourseId) -> Result<Vec<Resource>, DbErr> {
    let select = Entity::find().filter(Column::CourseId.eq(course.uuid()));
    select.order_by_asc(Column::Position).order_by_asc(Column::Id).all(db).await?.into_iter().map(record).collect()
}
