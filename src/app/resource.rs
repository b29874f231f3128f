//! Resources: what operators set of the items of a course, and how each stands for a learner.
//!
//! Always true here: a change of cost or days holds for later rentals only; what leaves the list is archived and stays open to whoever rented it.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::rental::{DEFAULT_DAYS, DemoKind, Facts, MAX_RESOURCES, Price, ResourceState};
use domain::text;
use domain::{AccountId, CourseId, GroupId, ResourceId};
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::caller::{Caller, Topic};
use super::catalog::{https_address, live_course};
use super::learning::Learners;
use super::{App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::store;

pub use crate::store::resource::Resource;

/// Most characters of a demo's text.
const MAX_DEMO: usize = 2_000;

/// The whole list of a course's resources.
#[derive(Debug, Clone)]
pub struct ResourcesSet {
    /// The course.
    pub course: CourseId,
    /// Its resources in order.
    pub resources: Vec<ResourceWish>,
}

/// A resource as it is to be.
#[derive(Debug, Clone)]
pub struct ResourceWish {
    /// The one that it is; `None` = the one with this title, or a new one.
    pub id: Option<ResourceId>,
    /// Title.
    pub title: String,
    /// Credits that renting it costs; 0 = it opens with its course.
    pub cost: i64,
    /// Days that a rental lasts; the usual ones when absent.
    pub days: Option<i64>,
    /// What shows what it is about.
    pub demo: Option<(DemoKind, String)>,
}

/// What of a wish was checked.
struct Checked {
    id: Option<ResourceId>,
    title: String,
    price: Price,
    demo: Option<(DemoKind, String)>,
}

/// How a resource stands for a learner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceView {
    /// The resource.
    pub resource: Resource,
    /// What tells how it stands.
    pub facts: Facts,
    /// How it stands.
    pub state: ResourceState,
}

impl ResourceView {
    /// Until when a rental opens it.
    pub fn rented_until(&self) -> Option<DateTime<Utc>> {
        self.facts.rented_until.filter(|_| self.state == ResourceState::Rented)
    }
}

impl App {
    /// Sets the resources of a course: the whole list, in order. Those that are named by id, or without one by their title, change; others are
    /// new; what is not in the list any more is archived.
    ///
    /// # Errors
    /// Not for this caller; no such course, or an archived one; an id that is no resource of the course; each bad entry named by its place.
    pub async fn resources_set(&self, caller: &Caller, cmd: ResourcesSet) -> Result<CourseId> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let wishes = check(cmd.resources)?;
        let (txn, _) = self.begin_catalog().await?;
        let course = live_course(&txn, cmd.course, "courseId").await?;
        let held = store::resource::all_of(&txn, course.id).await?;
        let mut faults = Faults::default();
        // Those with ids first, so that a title finds only what no id took.
        let mut taken: HashSet<ResourceId> = HashSet::new();
        for (place, wish) in wishes.iter().enumerate() {
            let Some(id) = wish.id else { continue };
            if !held.iter().any(|resource| resource.id == id) {
                faults.add(Refusal::at(Code::NotFound, path(place, "id"), "The course has no such resource; check the id."));
            } else if !taken.insert(id) {
                faults.add(Refusal::at(Code::Repeated, path(place, "id"), "This resource stands in the list already; name each once."));
            }
        }
        faults.check()?;
        let mut list = Vec::with_capacity(wishes.len());
        for (wish, position) in wishes.into_iter().zip(0..) {
            let titled =
                |resource: &&Resource| resource.archived_at.is_none() && resource.title == wish.title && !taken.contains(&resource.id);
            let id = wish.id.or_else(|| held.iter().find(titled).map(|resource| resource.id));
            let before = id.and_then(|id| held.iter().find(|resource| resource.id == id));
            taken.extend(id);
            list.push(Resource {
                id: id.unwrap_or_else(entropy::next_id),
                course: course.id,
                title: wish.title,
                cost: wish.price.cost,
                days: wish.price.days,
                demo: wish.demo,
                position,
                created_at: before.map_or(now, |before| before.created_at),
                touched_at: before.map_or(now, |before| before.touched_at),
                archived_at: None,
            });
        }
        let (changed, fresh): (Vec<Resource>, Vec<Resource>) = list.into_iter().partition(|resource| taken.contains(&resource.id));
        let gone = held.iter().filter(|resource| resource.archived_at.is_none() && !taken.contains(&resource.id));
        let gone = gone.map(|resource| Resource { archived_at: Some(now), ..resource.clone() });
        let mut changes = Vec::new();
        for resource in changed.into_iter().chain(gone) {
            let before = held.iter().find(|before| before.id == resource.id);
            if before != Some(&resource) {
                let resource = Resource { touched_at: now, ..resource };
                store::resource::update(&txn, &resource).await?;
                changes.push((object(&resource), before.map(|before| json!(before)), Some(json!(resource))));
            }
        }
        store::resource::insert(&txn, &fresh).await?;
        changes.extend(fresh.iter().map(|resource| (object(resource), None, Some(json!(resource)))));
        self.audit_all(&txn, caller, "resourcesSet", changes).await?;
        txn.commit().await?;
        Ok(course.id)
    }

    /// The resources of these courses in their order, without archived ones.
    ///
    /// # Errors
    /// The database's.
    pub async fn resources_of(&self, courses: &[CourseId]) -> Result<HashMap<CourseId, Vec<Resource>>> {
        Ok(store::resource::of_courses(self.db.read(), courses).await?)
    }

    /// The resources with these ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn resources_by_id(&self, ids: &[ResourceId]) -> Result<HashMap<ResourceId, Resource>> {
        let found = store::resource::by_ids(self.db.read(), ids).await?;
        Ok(found.into_iter().map(|resource| (resource.id, resource)).collect())
    }

    /// How the resources of these courses stand for these learners, in a number of statements that grows with the learners alone; the callers see
    /// these learners.
    ///
    /// # Errors
    /// The database's.
    pub async fn resources_for(&self, places: &[(AccountId, CourseId)]) -> Result<HashMap<(AccountId, CourseId), Vec<ResourceView>>> {
        let db = self.db.read();
        let courses: Vec<CourseId> = places.iter().map(|(_, course)| *course).collect::<BTreeSet<_>>().into_iter().collect();
        let resources = store::resource::of_courses(db, &courses).await?;
        let mut found = HashMap::new();
        for account in places.iter().map(|(account, _)| *account).collect::<BTreeSet<_>>() {
            let of = |course: &CourseId| resources.get(course).cloned().unwrap_or_default();
            let mine = places.iter().filter(|(of, _)| *of == account).map(|(_, course)| *course);
            let mut views: HashMap<CourseId, Vec<ResourceView>> = HashMap::new();
            for view in self.resource_views(db, account, mine.clone().flat_map(|course| of(&course)).collect()).await? {
                views.entry(view.resource.course).or_default().push(view);
            }
            found.extend(mine.map(|course| ((account, course), views.remove(&course).unwrap_or_default())));
        }
        Ok(found)
    }

    /// How these resources stand for a learner, in a number of statements that does not grow with them.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn resource_views(
        &self,
        db: &impl ConnectionTrait,
        account: AccountId,
        resources: Vec<Resource>,
    ) -> Result<Vec<ResourceView>> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let groups = store::group::groups_of(db, account, now).await?;
        let ignores_credits = ignores_credits(db, &groups).await?;
        let courses: Vec<CourseId> = resources.iter().map(|resource| resource.course).collect::<BTreeSet<_>>().into_iter().collect();
        let archived: HashSet<CourseId> = store::catalog::courses(db, &courses)
            .await?
            .into_iter()
            .filter(|course| course.archived_at.is_some())
            .map(|course| course.id)
            .collect();
        let learners = Learners::load(db, &[account], &HashMap::from([(account, groups)])).await?;
        let learner = learners.of(account);
        let open: HashSet<CourseId> = learner.open_among(&courses, now)?;
        let view = |resource: Resource| {
            let facts = Facts {
                cost: resource.cost,
                offered: resource.archived_at.is_none() && !archived.contains(&resource.course),
                ignores_credits,
                course_open: open.contains(&resource.course),
                rented_until: learner.rented_until(resource.id),
            };
            ResourceView { state: facts.state(now), facts, resource }
        };
        Ok(resources.into_iter().map(view).collect())
    }
}

/// Whether one of these groups ignores credits.
async fn ignores_credits(db: &impl ConnectionTrait, groups: &[GroupId]) -> Result<bool> {
    Ok(store::group::groups(db, groups).await?.iter().any(|group| group.ignores_credits))
}

fn object(resource: &Resource) -> Object {
    Object::new("resource", resource.id.uuid())
}

fn path(place: usize, field: &str) -> [String; 3] {
    ["resources".to_owned(), place.to_string(), field.to_owned()]
}

fn check(wishes: Vec<ResourceWish>) -> Result<Vec<Checked>> {
    if wishes.len() > MAX_RESOURCES {
        let message = format!("A course has at most {MAX_RESOURCES} resources; put the others into another course.");
        return Err(Error::refused(Code::TooLong, ["resources"], message));
    }
    let mut faults = Faults::default();
    let mut checked = Vec::with_capacity(wishes.len());
    for (place, wish) in wishes.into_iter().enumerate() {
        let under = |refusal: Refusal| refusal.under(["resources".to_owned(), place.to_string()]);
        let title = text::title(&wish.title).map_err(|reason| under(Refusal::from(reason).under(["title"])));
        let price = Price::check(wish.cost, wish.days.unwrap_or(i64::from(DEFAULT_DAYS))).map_err(|reason| under(reason.into()));
        let demo = wish.demo.map(|(kind, demo)| check_demo(kind, &demo)).transpose().map_err(|refusal| under(refusal.under(["demo"])));
        if let (Some(title), Some(price), Some(demo)) = (faults.of(title), faults.of(price), faults.of(demo)) {
            checked.push(Checked { id: wish.id, title, price, demo });
        }
    }
    faults.check()?;
    Ok(checked)
}

fn check_demo(kind: DemoKind, demo: &str) -> Result<(DemoKind, String), Refusal> {
    let demo = match kind {
        DemoKind::Image => https_address(demo).map_err(|refusal| refusal.under(["imageUrl"]))?,
        DemoKind::Video => https_address(demo).map_err(|refusal| refusal.under(["videoUrl"]))?,
        DemoKind::Text => {
            let text = text::description(demo).map_err(|reason| Refusal::from(reason).under(["text"]))?;
            match text.chars().count() {
                0 => return Err(Refusal::at(Code::Required, ["text"], "Write the demo, or leave it out.")),
                1..=MAX_DEMO => text,
                _ => return Err(Refusal::at(Code::TooLong, ["text"], format!("A demo has at most {MAX_DEMO} characters; shorten it."))),
            }
        }
    };
    Ok((kind, demo))
}
