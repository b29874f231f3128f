//! An offer as it was at an instant: its texts, state and terms, its courses and dates.
//!
//! Always true here: what things of the catalogue said then comes from [`past`], what never changed since from their own rows.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::catalog::{CourseKind, ProductKind};
use domain::{CourseId, LibraryId, SessionId};
use entity::session;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use super::{Detail, Facts, OfferCourse, OfferSession, Viewpoint};
use crate::store::past::{self, Said};
use crate::store::{CHUNK, catalog, group, known};

/// Courses and sessions of an offer as they were at an instant.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Its courses then, in order, without those that were archived and those that only members of other groups may see.
    pub courses: Vec<OfferCourse>,
    /// Dated sessions of its events that had not ended then, in order of start.
    pub sessions: Vec<OfferSession>,
}

/// Turns the facts of an offer into those of the viewpoint's instant, and gives its courses and sessions of then. The number of statements does
/// not grow with the number of either.
///
/// # Errors
/// The database's.
pub async fn as_recorded(db: &impl ConnectionTrait, view: &Viewpoint<'_>, detail: Detail, facts: &mut Facts) -> Result<Recorded, DbErr> {
    let mut said = past::at(db, &[facts.product.uuid(), facts.target], view.at).await?;
    if let Some(Said::Product { sku, state, terms, couponable, gives }) = said.remove(&facts.product.uuid()) {
        (facts.sku, facts.terms, facts.couponable, facts.gives) = (sku, terms, couponable, gives);
        facts.saleability.sale_state = state;
    }
    let described = |text: String| if detail.description { text } else { String::new() };
    let target = facts.target;
    let ids = match (facts.kind, said.remove(&target)) {
        (ProductKind::Library, Some(Said::Library { title, description, product_code, schedule, courses, archived })) => {
            (facts.title, facts.description, facts.product_code, facts.schedule) = (title, described(description), product_code, schedule);
            facts.saleability.archived = archived;
            courses
        }
        (ProductKind::Library, _) => {
            let library = LibraryId::new(target);
            catalog::course_ids_of(db, &[library]).await?.remove(&library).unwrap_or_default()
        }
        (ProductKind::Course, _) => vec![CourseId::new(target)],
        (ProductKind::Session, said) => {
            if let Some(Said::Session { archived, .. }) = said {
                facts.saleability.archived = archived;
            }
            catalog::sessions(db, &[target.into()]).await?.into_iter().map(|session| session.course).collect()
        }
        (ProductKind::Group, Some(Said::Group { title, description, archived }))
        | (ProductKind::CreditPack, Some(Said::CreditPack { title, description, archived })) => {
            (facts.title, facts.description) = (title, described(description));
            facts.saleability.archived = archived;
            Vec::new()
        }
        (ProductKind::Group | ProductKind::CreditPack, _) => Vec::new(),
    };
    let courses = courses_then(db, &ids, view.at).await?;
    match (facts.kind, courses.first()) {
        (ProductKind::Library, _) => facts.saleability.courses = courses.iter().filter(|then| !then.archived).count(),
        (ProductKind::Course, Some(then)) => {
            (facts.title, facts.description) = (then.course.title.clone(), described(then.course.description.clone()));
            facts.saleability.archived = then.archived;
            facts.saleability.commerce_on = then.commerce_on;
            facts.saleability.event = then.course.kind == CourseKind::Event;
        }
        (ProductKind::Session, Some(then)) => {
            (facts.title, facts.description) = (then.course.title.clone(), described(then.course.description.clone()));
            facts.saleability.archived |= then.archived;
        }
        _ => {}
    }
    // Who may see what is a right of today.
    let seen_by = group::seen_by(db, &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>()).await?;
    let shown =
        |course: &OfferCourse| seen_by.get(&course.id.uuid()).is_none_or(|groups| groups.iter().any(|group| view.groups.contains(group)));
    let courses: Vec<OfferCourse> =
        courses.into_iter().filter(|then| !then.archived).map(|then| then.course).filter(|course| shown(course)).collect();
    let events: Vec<CourseId> = courses.iter().filter(|course| course.kind == CourseKind::Event).map(|course| course.id).collect();
    let mut sessions = if detail.sessions { sessions_then(db, &events, view.at).await? } else { Vec::new() };
    if facts.kind == ProductKind::Session {
        sessions.retain(|session| session.id.uuid() == target);
    }
    Ok(Recorded { courses, sessions })
}

/// A course as it was.
struct CourseThen {
    course: OfferCourse,
    commerce_on: bool,
    archived: bool,
}

/// These courses as they were at an instant, in this order.
async fn courses_then(db: &impl ConnectionTrait, ids: &[CourseId], at: DateTime<Utc>) -> Result<Vec<CourseThen>, DbErr> {
    let mut now: HashMap<CourseId, catalog::Course> =
        catalog::courses(db, ids).await?.into_iter().map(|course| (course.id, course)).collect();
    let mut said = past::at(db, &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(), at).await?;
    let then = ids.iter().filter_map(|id| {
        let course = now.remove(id)?;
        Some(match said.remove(&id.uuid()) {
            Some(Said::Course { key, kind, title, description, commerce_on, archived }) => {
                CourseThen { course: OfferCourse { id: *id, key, kind, title, description }, commerce_on, archived }
            }
            _ => CourseThen {
                archived: course.archived_at.is_some_and(|since| since <= at),
                commerce_on: course.commerce_on,
                course: OfferCourse { id: *id, key: course.key, kind: course.kind, title: course.title, description: course.description },
            },
        })
    });
    Ok(then.collect())
}

/// The sessions of these events as they were at an instant, without those that were archived or had ended, in order of start.
async fn sessions_then(db: &impl ConnectionTrait, events: &[CourseId], at: DateTime<Utc>) -> Result<Vec<OfferSession>, DbErr> {
    let mut rows = Vec::new();
    for chunk in events.chunks(CHUNK) {
        let of_events = session::Column::CourseId.is_in(chunk.iter().map(|event| event.uuid()));
        rows.extend(session::Entity::find().filter(of_events).filter(session::Column::CreatedAt.lte(at)).all(db).await?);
    }
    let mut said = past::at(db, &rows.iter().map(|row| row.id).collect::<Vec<_>>(), at).await?;
    let zone = |name: &str| known(name.parse::<Tz>().ok(), "time zone", name);
    let mut sessions: Vec<OfferSession> = Vec::with_capacity(rows.len());
    for row in rows {
        let (id, course, taken) = (SessionId::new(row.id), CourseId::new(row.course_id), row.taken);
        let (session, archived) = match said.remove(&row.id) {
            Some(Said::Session { starts_at, ends_at, time_zone, location, seats, archived }) => {
                let time_zone = zone(&time_zone)?;
                (OfferSession { id, course, starts_at, ends_at, time_zone, location, seats, taken }, archived)
            }
            _ => {
                let archived = row.archived_at.is_some_and(|since| since <= at);
                let (starts_at, ends_at, time_zone) = (row.starts_at, row.ends_at, zone(&row.time_zone)?);
                (OfferSession { id, course, starts_at, ends_at, time_zone, location: row.location, seats: row.seats, taken }, archived)
            }
        };
        if !archived && session.ends_at > at {
            sessions.push(session);
        }
    }
    sessions.sort_unstable_by_key(|session| (session.starts_at, session.id.uuid()));
    Ok(sessions)
}
