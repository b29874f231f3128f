//! Enrollments: a learner's place in a course, one row for each pair, with the history of results under it.

use chrono::{DateTime, Utc};
use domain::entitlement::{EnrollmentStatus, LearningResult};
use domain::{AccountId, CourseId, EnrollmentId};
use entity::enrollment::{ActiveModel, Column, Entity, Model};
use entity::enrollment_result;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::catalog::{ROWS, uuids};
use super::{CHUNK, known, rows_in};

/// A learner's place in one course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrollment {
    /// Id.
    pub id: EnrollmentId,
    /// The learner.
    pub account: AccountId,
    /// The course.
    pub course: CourseId,
    /// The title that the learner started with; until the start, the one of the grant.
    pub title: String,
    /// How far the learner got.
    pub status: EnrollmentStatus,
    /// The first start of this course.
    pub started_at: Option<DateTime<Utc>>,
    /// When the course was first passed, in whichever registration.
    pub passed_at: Option<DateTime<Utc>>,
    /// Which registration this is, from 1.
    pub registration: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
}

/// One recorded result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRow {
    /// Row id.
    pub id: Uuid,
    /// The enrollment.
    pub enrollment: EnrollmentId,
    /// The result.
    pub result: LearningResult,
    /// Score as given.
    pub score: Option<String>,
    /// In which registration, from 1.
    pub registration: i32,
    /// Who recorded it.
    pub actor: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

fn record(row: Model) -> Result<Enrollment, DbErr> {
    Ok(Enrollment {
        id: row.id.into(),
        account: row.account_id.into(),
        course: row.course_id.into(),
        title: row.title,
        status: known(EnrollmentStatus::parse(&row.status), "state of an enrollment", &row.status)?,
        started_at: row.started_at,
        passed_at: row.passed_at,
        registration: row.registration,
        created_at: row.created_at,
        touched_at: row.touched_at,
    })
}

fn row(record: &Enrollment) -> ActiveModel {
    ActiveModel {
        id: Set(record.id.uuid()),
        account_id: Set(record.account.uuid()),
        course_id: Set(record.course.uuid()),
        title: Set(record.title.clone()),
        status: Set(record.status.name().to_owned()),
        started_at: Set(record.started_at),
        passed_at: Set(record.passed_at),
        registration: Set(record.registration),
        created_at: Set(record.created_at),
        touched_at: Set(record.touched_at),
    }
}

/// Writes new enrollments; learners who have a place in the course keep theirs.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, new: &[Enrollment]) -> Result<(), DbErr> {
    for chunk in new.chunks(ROWS) {
        let one_each = OnConflict::columns([Column::AccountId, Column::CourseId]).do_nothing().to_owned();
        match Entity::insert_many(chunk.iter().map(row)).on_conflict(one_each).exec_without_returning(txn).await {
            Ok(_) | Err(DbErr::RecordNotInserted) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Writes what changed of an enrollment.
///
/// # Errors
/// The database's.
pub async fn update(txn: &impl ConnectionTrait, record: &Enrollment) -> Result<(), DbErr> {
    Entity::update(ActiveModel { id: Unchanged(record.id.uuid()), ..row(record) }).exec_without_returning(txn).await?;
    Ok(())
}

/// The enrollments with these ids.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[EnrollmentId]) -> Result<Vec<Enrollment>, DbErr> {
    rows_in::<Entity>(db, Column::Id, &uuids(ids)).await?.into_iter().map(record).collect()
}

/// Every enrollment of these learners.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_accounts(db: &impl ConnectionTrait, accounts: &[AccountId]) -> Result<Vec<Enrollment>, DbErr> {
    rows_in::<Entity>(db, Column::AccountId, &uuids(accounts)).await?.into_iter().map(record).collect()
}

/// The learner's place in a course.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn of_course(db: &impl ConnectionTrait, account: AccountId, course: CourseId) -> Result<Option<Enrollment>, DbErr> {
    Entity::find()
        .filter(Column::AccountId.eq(account.uuid()))
        .filter(Column::CourseId.eq(course.uuid()))
        .one(db)
        .await?
        .map(record)
        .transpose()
}

/// Adds a result to the history.
///
/// # Errors
/// The database's.
pub async fn add_result(txn: &impl ConnectionTrait, result: &ResultRow) -> Result<(), DbErr> {
    enrollment_result::Entity::insert(enrollment_result::ActiveModel {
        id: Set(result.id),
        enrollment_id: Set(result.enrollment.uuid()),
        result: Set(result.result.name().to_owned()),
        score: Set(result.score.clone()),
        registration: Set(result.registration),
        actor: Set(result.actor.clone()),
        recorded_at: Set(result.recorded_at),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// The results of these enrollments, the oldest first.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn results(db: &impl ConnectionTrait, enrollments: &[EnrollmentId]) -> Result<Vec<ResultRow>, DbErr> {
    let mut found = Vec::new();
    for chunk in uuids(enrollments).chunks(CHUNK) {
        let rows = enrollment_result::Entity::find()
            .filter(enrollment_result::Column::EnrollmentId.is_in(chunk.iter().copied()))
            .order_by_asc(enrollment_result::Column::RecordedAt)
            .order_by_asc(enrollment_result::Column::Id)
            .all(db)
            .await?;
        for row in rows {
            found.push(ResultRow {
                id: row.id,
                enrollment: row.enrollment_id.into(),
                result: known(LearningResult::parse(&row.result), "result", &row.result)?,
                score: row.score,
                registration: row.registration,
                actor: row.actor,
                recorded_at: row.recorded_at,
            });
        }
    }
    Ok(found)
}
