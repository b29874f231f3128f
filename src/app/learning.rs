//! What learners may open and how far they got: reading it, starting courses, recording results, ending a grant.
//!
//! Always true here: whether a course is open is computed from grants and the clock each time, so nothing has to run at the end of an access.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::entitlement::{
    Contents, CourseList, EnrollmentStatus, Explanation, Grant, Holdings, LearningResult, ListedCourse, OpenUntil, Source, SourceKind,
    Standing, StartRefusal, Target, open_until, reregister,
};
use domain::terms::Terms;
use domain::text;
use domain::{
    AccountId, CompanyId, CourseId, EnrollmentId, EntitlementId, GroupId, LibraryId, ResourceId, SessionId, catalog::ProductKind,
};
use sea_orm::ConnectionTrait;
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Scope, Topic, Who};
use super::grant::{Queues, new_enrollment, save_slots};
use super::offer::{ContextArgs, Detail};
use super::{App, Object, entropy};
use crate::error::{Code, Error, Refusal, Result};
use crate::internal;
use crate::store;

pub use crate::store::enrollment::{Enrollment, ResultRow};
pub use crate::store::entitlement::Entitlement;

/// A course that a learner may open now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCourse {
    /// The course.
    pub course: CourseId,
    /// The title that is fixed for this learner, else the one of today.
    pub title: String,
    /// Until when it is open.
    pub until: OpenUntil,
    /// The grants that open it, in order of granting; none where the rule of a group does.
    pub entitlements: Vec<EntitlementId>,
    /// The learner's place in it, if there is one yet.
    pub enrollment: Option<Enrollment>,
    /// When the newest of the grants that open it was given, and its place in that grant's list.
    pub place: (DateTime<Utc>, u32),
}

/// A grant as its learner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitlementView {
    /// The grant.
    pub entitlement: Entitlement,
    /// Where it stands now.
    pub standing: Standing,
    /// Title of what it is to.
    pub title: String,
    /// The courses that it holds, in order, and whether it opens each of them now.
    pub courses: Vec<(ListedCourse, bool)>,
}

/// Why a course is open for a learner, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessView {
    /// The learner.
    pub account: AccountId,
    /// The course.
    pub course: CourseId,
    /// The title that is fixed for this learner, else the one of today.
    pub title: String,
    /// Until when it is open.
    pub until: OpenUntil,
    /// What each grant that holds it says, in order of granting.
    pub grants: Vec<AccessGrant>,
    /// The learner's place in it, if there is one yet.
    pub enrollment: Option<Enrollment>,
}

/// What one grant says about a course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessGrant {
    /// What it says.
    pub explanation: Explanation,
    /// The grant; `None` where the rule of a group says it.
    pub entitlement: Option<Entitlement>,
    /// Title of what it is to.
    pub title: String,
}

/// What opens a course that a learner may not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// SKU of the offer.
    pub sku: String,
    /// Its title.
    pub title: String,
    /// Where it is bought.
    pub url: String,
}

/// Why a course was not started or nobody was enrolled, and what would open it.
#[derive(Debug)]
pub struct NotDone {
    /// Why.
    pub error: Error,
    /// What to buy, where buying helps and something is on sale.
    pub remedy: Option<Remedy>,
}

impl<E: Into<Error>> From<E> for NotDone {
    fn from(error: E) -> Self {
        Self { error: error.into(), remedy: None }
    }
}

/// A result to be recorded.
#[derive(Debug, Clone)]
pub struct ResultRecord {
    /// Whose result in what.
    pub place: Place,
    /// The result.
    pub result: LearningResult,
    /// Score, as a decimal number.
    pub score: Option<String>,
}

/// A learner's place in a course, by one of two names.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// By its id.
    Enrollment(EnrollmentId),
    /// By learner and course.
    Of(AccountId, CourseId),
}

/// The facts about some learners that tell what is open to them.
pub(super) struct Learners {
    learners: HashMap<AccountId, Facts>,
    contents: Contents,
    titles: HashMap<CourseId, String>,
}

#[derive(Default)]
struct Facts {
    entitlements: Vec<Entitlement>,
    grants: Vec<Grant>,
    enrollments: HashMap<CourseId, Enrollment>,
    passed: BTreeSet<CourseId>,
}

/// One of them.
pub(super) struct Learner<'a> {
    facts: &'a Facts,
    all: &'a Learners,
}

static NOTHING: std::sync::LazyLock<Facts> = std::sync::LazyLock::new(Facts::default);

impl Learners {
    /// Reads the facts in a number of statements that does not grow with learners, grants and courses. `member_of`: the groups
    /// that these learners are in, by a grant or by the rule of an automatic group.
    pub(super) async fn load(
        db: &impl ConnectionTrait,
        accounts: &[AccountId],
        member_of: &HashMap<AccountId, Vec<GroupId>>,
    ) -> Result<Self> {
        let mut learners: HashMap<AccountId, Facts> = HashMap::new();
        for held in store::entitlement::of_accounts(db, accounts).await? {
            let facts = learners.entry(held.grant.account).or_default();
            facts.grants.push(held.grant.clone());
            facts.entitlements.push(held);
        }
        for (account, groups) in member_of {
            let facts = learners.entry(*account).or_default();
            let granted: BTreeSet<Target> = facts.grants.iter().map(|grant| grant.target).collect();
            let by_rule = groups.iter().filter(|group| !granted.contains(&Target::Group(**group))).map(|group| by_rule(*account, *group));
            facts.grants.extend(by_rule);
        }
        for enrollment in store::enrollment::of_accounts(db, accounts).await? {
            let facts = learners.entry(enrollment.account).or_default();
            if enrollment.passed_at.is_some() {
                facts.passed.insert(enrollment.course);
            }
            facts.enrollments.insert(enrollment.course, enrollment);
        }
        let targets: BTreeSet<Target> = learners.values().flat_map(|facts| &facts.grants).map(|grant| grant.target).collect();
        let (contents, titles) = contents(db, &targets).await?;
        Ok(Self { learners, contents, titles })
    }

    pub(super) fn of(&self, account: AccountId) -> Learner<'_> {
        Learner { facts: self.learners.get(&account).unwrap_or(&NOTHING), all: self }
    }
}

/// Membership by the rule of an automatic group, as if it were a grant without end. It is in no book and has the group's own id.
fn by_rule(account: AccountId, group: GroupId) -> Grant {
    Grant {
        id: EntitlementId::new(group.uuid()),
        account,
        target: Target::Group(group),
        source: Source { kind: SourceKind::Hand, id: group.uuid() },
        granted_at: DateTime::UNIX_EPOCH,
        seq: 0,
        terms: Terms::endless(ProductKind::Group),
        first_started_at: None,
        ended_at: None,
        frozen: None,
    }
}

/// What these targets open at present, and the titles of all courses concerned.
async fn contents(db: &impl ConnectionTrait, targets: &BTreeSet<Target>) -> Result<(Contents, HashMap<CourseId, String>)> {
    let mut libraries: BTreeSet<LibraryId> = BTreeSet::new();
    let (mut groups, mut sessions, mut courses) = (Vec::<GroupId>::new(), Vec::<SessionId>::new(), BTreeSet::new());
    for target in targets {
        match *target {
            Target::Course(course) => drop(courses.insert(course)),
            Target::Library(library) => drop(libraries.insert(library)),
            Target::Group(group) => groups.push(group),
            Target::Session(session) => sessions.push(session),
            Target::Resource(_) => {}
        }
    }
    let mut opened: HashMap<GroupId, Vec<Target>> = HashMap::new();
    for (group, content) in store::group::content_of(db, &groups).await? {
        let opens: Vec<Target> = content.into_iter().filter(|content| content.opens).map(|content| content.target).collect();
        for target in &opens {
            match *target {
                Target::Course(course) => drop(courses.insert(course)),
                Target::Library(library) => drop(libraries.insert(library)),
                Target::Group(_) | Target::Session(_) | Target::Resource(_) => {}
            }
        }
        opened.insert(group, opens);
    }
    let events: HashMap<SessionId, CourseId> =
        store::catalog::sessions(db, &sessions).await?.into_iter().map(|session| (session.id, session.course)).collect();
    courses.extend(events.values());
    let libraries: Vec<LibraryId> = libraries.into_iter().collect();
    let ordered: HashMap<LibraryId, bool> =
        store::catalog::libraries(db, &libraries).await?.into_iter().map(|library| (library.id, library.ordered)).collect();
    let held = store::catalog::courses_of(db, &libraries).await?;
    let courses: Vec<CourseId> = courses.into_iter().collect();
    let mut titles: HashMap<CourseId, String> =
        store::catalog::courses(db, &courses).await?.into_iter().map(|course| (course.id, course.title)).collect();
    titles.extend(held.values().flatten().map(|course| (course.id, course.title.clone())));

    let list = |ordered: bool, courses: &mut dyn Iterator<Item = CourseId>| {
        let mut seen = BTreeSet::new();
        let courses = courses.filter(|course| seen.insert(*course)).zip(0..).map(|(course_id, position)| ListedCourse {
            course_id,
            title: titles.get(&course_id).cloned().unwrap_or_default(),
            position,
        });
        CourseList { ordered, courses: courses.collect() }
    };
    let of_library = |library: &LibraryId| held.get(library).into_iter().flatten().map(|course| course.id);
    let mut found = Contents::new();
    for target in targets {
        let list = match target {
            Target::Course(_) | Target::Resource(_) => continue,
            Target::Library(library) => list(ordered.get(library).copied().unwrap_or(false), &mut of_library(library)),
            Target::Session(session) => list(false, &mut events.get(session).copied().into_iter()),
            Target::Group(group) => {
                let mut courses = opened.get(group).into_iter().flatten().flat_map(|target| match target {
                    Target::Course(course) => vec![*course],
                    Target::Library(library) => of_library(library).collect(),
                    Target::Group(_) | Target::Session(_) | Target::Resource(_) => Vec::new(),
                });
                list(false, &mut courses)
            }
        };
        found.insert(*target, list);
    }
    Ok((found, titles))
}

impl<'a> Learner<'a> {
    fn holdings(&self) -> Result<Holdings<'a>> {
        Holdings::of(&self.facts.grants, &self.all.contents).map_err(|refusal| internal!("a learner's grants: {refusal}"))
    }

    fn entitlement(&self, id: EntitlementId) -> Option<&'a Entitlement> {
        self.facts.entitlements.iter().find(|held| held.id() == id)
    }

    /// The title of a course: the one of a list that is fixed for this learner, else the one that the learner started with, else today's.
    fn title(&self, holdings: &Holdings<'_>, course: CourseId, explained: &[Explanation]) -> String {
        let fixed = explained.iter().filter(|explanation| explanation.why.opens()).find_map(|explanation| {
            let list = holdings.list(explanation.grant)?;
            let present = self.all.contents.get(&explanation.target).is_some_and(|present| std::ptr::eq(present, list));
            let listed = list.courses.iter().find(|listed| listed.course_id == course)?;
            (!present).then(|| listed.title.clone())
        });
        let started = || self.facts.enrollments.get(&course).filter(|enrollment| enrollment.started_at.is_some());
        fixed
            .or_else(|| started().map(|enrollment| enrollment.title.clone()))
            .or_else(|| self.all.titles.get(&course).cloned())
            .unwrap_or_default()
    }

    /// Whether some grant opens the course now, or could later.
    pub(super) fn holds(&self, course: CourseId, now: DateTime<Utc>) -> Result<bool> {
        Ok(self.holdings()?.courses(now).contains(&course))
    }

    /// Which of these courses are open now.
    pub(super) fn open_among(&self, courses: &[CourseId], now: DateTime<Utc>) -> Result<HashSet<CourseId>> {
        let holdings = self.holdings()?;
        Ok(courses.iter().copied().filter(|course| holdings.is_open(*course, &self.facts.passed, now)).collect())
    }

    /// When the last rental of a resource ends or ended; those that were ended before their time are left out.
    pub(super) fn rented_until(&self, resource: ResourceId) -> Option<DateTime<Utc>> {
        let rentals = self.facts.entitlements.iter().filter(|held| held.grant.target == Target::Resource(resource));
        rentals.filter(|held| held.grant.ended_at.is_none()).filter_map(|held| held.ends_at).max()
    }

    /// The courses that are open now.
    fn open_courses(&self, now: DateTime<Utc>) -> Result<Vec<OpenCourse>> {
        let holdings = self.holdings()?;
        let mut open = Vec::new();
        for course in holdings.courses(now) {
            let explained = holdings.explain(course, &self.facts.passed, now);
            let opening = || explained.iter().filter(|explanation| explanation.why.opens());
            let Some(newest) = opening().next_back() else { continue };
            let granted_at = self.facts.grants.iter().find(|grant| grant.id == newest.grant).map_or(now, |grant| grant.granted_at);
            let position = holdings
                .list(newest.grant)
                .and_then(|list| list.courses.iter().find(|listed| listed.course_id == course))
                .map_or(0, |listed| listed.position);
            open.push(OpenCourse {
                course,
                title: self.title(&holdings, course, &explained),
                until: open_until(&explained),
                entitlements: opening().map(|explanation| explanation.grant).filter(|id| self.entitlement(*id).is_some()).collect(),
                enrollment: self.facts.enrollments.get(&course).cloned(),
                place: (granted_at, position),
            });
        }
        Ok(open)
    }

    /// The courses that a grant holds and that are open now, through this grant or another one.
    pub(super) fn open_through(&self, id: EntitlementId, now: DateTime<Utc>) -> Result<Vec<(CourseId, String)>> {
        let holdings = self.holdings()?;
        let courses: Vec<CourseId> = match (self.entitlement(id).map(|held| held.grant.target), holdings.list(id)) {
            (Some(Target::Course(course)), _) => vec![course],
            (_, Some(list)) => list.courses.iter().map(|listed| listed.course_id).collect(),
            _ => Vec::new(),
        };
        let mut open = Vec::new();
        for course in courses {
            let explained = holdings.explain(course, &self.facts.passed, now);
            if explained.iter().any(|explanation| explanation.why.opens()) {
                open.push((course, self.title(&holdings, course, &explained)));
            }
        }
        Ok(open)
    }

    fn views(&self, titles: &HashMap<Target, String>, now: DateTime<Utc>) -> Result<Vec<EntitlementView>> {
        let holdings = self.holdings()?;
        let standing: HashMap<EntitlementId, Standing> = holdings.slots().map(|slot| (slot.id, slot.standing(now))).collect();
        let view = |held: &Entitlement| {
            let own = match held.grant.target {
                Target::Course(course_id) => {
                    let explained = holdings.explain(course_id, &self.facts.passed, now);
                    vec![ListedCourse { course_id, title: self.title(&holdings, course_id, &explained), position: 0 }]
                }
                Target::Library(_) | Target::Group(_) | Target::Session(_) | Target::Resource(_) => {
                    holdings.list(held.id()).map(|list| list.courses.clone()).unwrap_or_default()
                }
            };
            let open = |course| {
                let explained = holdings.explain(course, &self.facts.passed, now);
                explained.iter().any(|explanation| explanation.grant == held.id() && explanation.why.opens())
            };
            EntitlementView {
                entitlement: held.clone(),
                standing: standing.get(&held.id()).copied().unwrap_or(Standing::Ended),
                title: titles.get(&held.grant.target).cloned().unwrap_or_default(),
                courses: own.into_iter().map(|listed| (open(listed.course_id), listed)).map(|(open, listed)| (listed, open)).collect(),
            }
        };
        Ok(self.facts.entitlements.iter().map(view).collect())
    }
}

impl App {
    async fn learner(&self, db: &impl ConnectionTrait, account: AccountId) -> Result<Learners> {
        let groups = store::group::groups_of(db, account, self.now()).await?;
        Learners::load(db, &[account], &HashMap::from([(account, groups)])).await
    }

    /// The courses that are open to the caller now, those of the newest grants first. Of a library that was bought and not started, all that it
    /// holds at present; of an ordered one, those whose turn has come. The number of statements does not grow with grants and courses.
    ///
    /// # Errors
    /// Nobody is signed in.
    pub async fn me_courses(&self, caller: &Caller) -> Result<Vec<OpenCourse>> {
        let account = caller.require_account()?;
        let learners = self.learner(self.db.read(), account).await?;
        let mut open = learners.of(account).open_courses(self.now())?;
        open.sort_by(|one, other| {
            let key = |course: &OpenCourse| (course.place.1, course.course);
            other.place.0.cmp(&one.place.0).then_with(|| key(one).cmp(&key(other)))
        });
        Ok(open)
    }

    /// All grants that the caller has or had, the newest first.
    ///
    /// # Errors
    /// Nobody is signed in.
    pub async fn me_entitlements(&self, caller: &Caller) -> Result<Vec<EntitlementView>> {
        let account = caller.require_account()?;
        let mut views = self.entitlements_of(&[account]).await?;
        views.reverse();
        Ok(views)
    }

    pub(super) async fn entitlements_of(&self, accounts: &[AccountId]) -> Result<Vec<EntitlementView>> {
        let db = self.db.read();
        // What a grant opens by itself does not hang on the groups that somebody is in.
        let learners = Learners::load(db, accounts, &HashMap::new()).await?;
        let targets = learners.learners.values().flat_map(|facts| &facts.entitlements).map(|held| held.grant.target);
        let titles = target_titles(db, targets).await?;
        let mut views = Vec::new();
        for account in accounts {
            views.extend(learners.of(*account).views(&titles, self.now())?);
        }
        Ok(views)
    }

    /// Those of these grants that the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn entitlements_by_id(&self, caller: &Caller, ids: &[EntitlementId]) -> Result<HashMap<EntitlementId, EntitlementView>> {
        let db = self.db.read();
        let held = store::entitlement::by_ids(db, ids).await?;
        let seen = self.learners_seen(caller, held.iter().map(|held| held.grant.account)).await?;
        let views = self.entitlements_of(&seen).await?.into_iter().filter(|view| ids.contains(&view.entitlement.id()));
        Ok(views.map(|view| (view.entitlement.id(), view)).collect())
    }

    /// Those of these enrollments that the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn enrollments_by_id(&self, caller: &Caller, ids: &[EnrollmentId]) -> Result<HashMap<EnrollmentId, Enrollment>> {
        let found = store::enrollment::by_ids(self.db.read(), ids).await?;
        let seen = self.learners_seen(caller, found.iter().map(|enrollment| enrollment.account)).await?;
        Ok(found.into_iter().filter(|found| seen.contains(&found.account)).map(|found| (found.id, found)).collect())
    }

    /// The results of enrollments that the caller may see, each list the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn results_of(&self, enrollments: &[EnrollmentId]) -> Result<HashMap<EnrollmentId, Vec<ResultRow>>> {
        let mut found: HashMap<EnrollmentId, Vec<ResultRow>> = HashMap::new();
        for result in store::enrollment::results(self.db.read(), enrollments).await? {
            found.entry(result.enrollment).or_default().push(result);
        }
        Ok(found)
    }

    async fn learners_seen(&self, caller: &Caller, accounts: impl Iterator<Item = AccountId>) -> Result<Vec<AccountId>> {
        let accounts: Vec<AccountId> = accounts.collect::<BTreeSet<_>>().into_iter().collect();
        let reached = self.learners_within_reach(self.db.read(), caller, Topic::Learning.read(), &accounts).await?;
        Ok(accounts.into_iter().filter(|account| caller.account() == Some(*account) || reached.contains(account)).collect())
    }

    /// Those of these learners whom an operator's or key's scope, or managing a company that they are members of, lets the caller at.
    async fn learners_within_reach(
        &self,
        db: &impl ConnectionTrait,
        caller: &Caller,
        scope: Scope,
        accounts: &[AccountId],
    ) -> Result<BTreeSet<AccountId>> {
        if caller.may(scope) {
            return Ok(accounts.iter().copied().collect());
        }
        let managed: Vec<CompanyId> = match &caller.who {
            Who::Account { manages, .. } => manages.clone(),
            Who::ManagerKey { company, .. } if caller.may_for(scope, *company) => vec![*company],
            Who::ManagerKey { .. } | Who::Guest | Who::Key { .. } | Who::System => Vec::new(),
        };
        if managed.is_empty() || accounts.is_empty() {
            return Ok(BTreeSet::new());
        }
        Ok(store::company::members_among(db, &managed, accounts).await?)
    }

    /// Why a course is open for a learner or is not; the caller unless one is named. `None`: there is no such course, or the learner is not the
    /// caller's to see.
    ///
    /// # Errors
    /// Nobody is signed in; the database's.
    pub async fn access_explain(&self, caller: &Caller, course: CourseId, account: Option<AccountId>) -> Result<Option<AccessView>> {
        caller.require_sign_in()?;
        let account = match account {
            Some(account) => account,
            None => caller.require_account()?,
        };
        if self.learners_seen(caller, std::iter::once(account)).await?.is_empty() {
            return Ok(None);
        }
        let db = self.db.read();
        let Some(found) = store::catalog::courses(db, &[course]).await?.pop() else { return Ok(None) };
        let learners = self.learner(db, account).await?;
        let learner = learners.of(account);
        let holdings = learner.holdings()?;
        let mut explained = holdings.explain(course, &learner.facts.passed, self.now());
        let titles = target_titles(db, explained.iter().map(|explanation| explanation.target)).await?;
        let until = open_until(&explained);
        let title = match learner.title(&holdings, course, &explained) {
            title if title.is_empty() => found.title,
            title => title,
        };
        let grants = explained
            .drain(..)
            .map(|mut explanation| {
                let entitlement = learner.entitlement(explanation.grant).cloned();
                if entitlement.is_none() {
                    explanation.since = None;
                }
                AccessGrant { title: titles.get(&explanation.target).cloned().unwrap_or_default(), explanation, entitlement }
            })
            .collect();
        let enrollment = learner.facts.enrollments.get(&course).cloned();
        Ok(Some(AccessView { account, course, title, until, grants, enrollment }))
    }

    /// Starts a course for a learner; the caller unless one is named. The first start of a course fixes the list of every live library grant
    /// that holds it, and starts their time. Again, it changes nothing.
    ///
    /// # Errors
    /// [`Code::PaymentRequired`] with what to buy if nothing opens the course, [`Code::CourseLocked`] if an earlier one has to be passed;
    /// [`Code::NotFound`] for a course that is not there or a learner whom this caller may not act for.
    pub async fn enrollment_start(&self, caller: &Caller, course: CourseId, account: Option<AccountId>) -> Result<Enrollment, NotDone> {
        caller.require_sign_in()?;
        let account = match account {
            Some(account) if caller.account() == Some(account) || caller.may(Topic::Learning.write()) => account,
            Some(_) => return Err(Error::not_found("accountId", "learner").into()),
            None => caller.require_account()?,
        };
        let now = self.now();
        let txn = self.db.begin().await?;
        store::entitlement::lock_learners(&txn, &[account]).await?;
        let Some(found) = store::catalog::courses(&txn, &[course]).await?.pop() else {
            return Err(Error::not_found("courseId", "course").into());
        };
        let learners = self.learner(&txn, account).await?;
        let learner = learners.of(account);
        let holdings = learner.holdings()?;
        let started = match holdings.start(course, &learner.facts.passed, now) {
            Ok(started) => started,
            Err(refusal @ StartRefusal::Locked { .. }) => return Err(Refusal::from(refusal).under(["courseId"]).into()),
            Err(refusal) => {
                txn.rollback().await?;
                return Err(self.payment_required(caller, &refusal, course, account).await?);
            }
        };
        let before: HashMap<CourseId, Enrollment> = learner.facts.enrollments.clone();
        let mut touched: HashMap<CourseId, Enrollment> = HashMap::new();
        for start in &started {
            store::entitlement::set_started(&txn, start).await?;
            for listed in &start.frozen.courses {
                let place = touched.entry(listed.course_id).or_insert_with(|| match before.get(&listed.course_id) {
                    Some(there) if there.started_at.is_some() => there.clone(),
                    Some(there) => Enrollment { title: listed.title.clone(), ..there.clone() },
                    None => new_enrollment(account, listed.course_id, listed.title.clone(), now),
                });
                place.touched_at = now;
            }
        }
        let explained = holdings.explain(course, &learner.facts.passed, now);
        let title = match learner.title(&holdings, course, &explained) {
            title if title.is_empty() => found.title,
            title => title,
        };
        let mut own = touched
            .remove(&course)
            .or_else(|| before.get(&course).cloned())
            .unwrap_or_else(|| new_enrollment(account, course, title.clone(), now));
        if own.started_at.is_none() {
            own = Enrollment { title, status: own.status.start(), started_at: Some(now), touched_at: now, ..own };
        }
        touched.insert(course, own.clone());
        let (there, fresh): (Vec<Enrollment>, Vec<Enrollment>) =
            touched.into_values().partition(|enrollment| before.contains_key(&enrollment.course));
        store::enrollment::insert(&txn, &fresh).await?;
        for enrollment in there {
            if before.get(&enrollment.course).is_some_and(|held| {
                (&held.title, held.status, held.started_at) != (&enrollment.title, enrollment.status, enrollment.started_at)
            }) {
                store::enrollment::update(&txn, &enrollment).await?;
            }
        }
        if !started.is_empty() {
            let mut held = learner.facts.entitlements.clone();
            for start in &started {
                if let Some(held) = held.iter_mut().find(|held| held.id() == start.grant) {
                    held.grant.first_started_at = Some(start.first_started_at);
                    held.grant.frozen = Some(start.frozen.clone());
                }
            }
            let mut queues = Queues::of(held);
            queues.lay_out()?;
            let moved: Vec<Entitlement> = queues.changed().collect();
            save_slots(&txn, &moved).await?;
        }
        if caller.account() != Some(account) {
            let new = json!({ "account": account, "course": course });
            self.audit(&txn, caller, "enrollmentStart", Object::new("enrollment", own.id.uuid()), None, Some(new)).await?;
        }
        txn.commit().await?;
        Ok(own)
    }

    /// The refusal to open a course that nothing opens, with what would.
    async fn payment_required(&self, caller: &Caller, refusal: &StartRefusal, course: CourseId, account: AccountId) -> Result<NotDone> {
        let remedy = self.remedy(course, Some(account), None).await?;
        let message = match &remedy {
            Some(remedy) => {
                format!("{}. Offer {:?} ({}) opens it: {}", capitalised(&refusal.to_string()), remedy.title, remedy.sku, remedy.url)
            }
            None => format!("{}. Nothing that is on sale holds it at present.", capitalised(&refusal.to_string())),
        };
        tracing::debug!(%course, actor = caller.actor(), "nothing opens the course");
        Ok(NotDone { error: Error::refused(Code::PaymentRequired, ["courseId"], message), remedy })
    }

    /// What this learner can buy to open a course: the course itself, else the first library that holds it.
    pub(super) async fn remedy(&self, course: CourseId, account: Option<AccountId>, company: Option<CompanyId>) -> Result<Option<Remedy>> {
        let db = self.db.read();
        let libraries = store::catalog::libraries_holding(db, &[course]).await?.remove(&course).unwrap_or_default();
        let targets: Vec<Uuid> = std::iter::once(course.uuid()).chain(libraries.iter().map(|library| library.id.uuid())).collect();
        let mut products = store::product::products_of(db, &targets).await?;
        products.sort_by_key(|product| targets.iter().position(|target| *target == product.target));
        let wanted: Vec<_> = products.iter().map(|product| (product.id, 1)).collect();
        let context = self.offer_context_for(db, account, ContextArgs { company, ..ContextArgs::default() }).await?;
        let offers = self.offers_of(db, &context, Detail::default(), &wanted).await?;
        let sold = offers.into_iter().find(|offer| offer.visible && offer.may_be_sold().is_ok() && offer.quote.is_ok());
        Ok(sold.map(|offer| self.remedy_by(&offer)))
    }

    /// Records a result of a learner: by an operator, a program or a manager of the learner's company, never by the learner.
    ///
    /// # Errors
    /// Not for this caller; a learner who has no place in the course; a score that is no number.
    pub async fn enrollment_result_record(&self, caller: &Caller, cmd: ResultRecord) -> Result<Enrollment> {
        may_record_results(caller)?;
        let scope = Topic::Learning.write();
        let score = cmd.score.as_deref().map(check_score).transpose()?;
        let (field, what) = match cmd.place {
            Place::Enrollment(_) => ("enrollmentId", "enrollment"),
            Place::Of(..) => ("courseId", "course of this learner; grant it first"),
        };
        let now = self.now();
        let missing = || Error::not_found(field, what);
        let (account, course) = match cmd.place {
            Place::Of(account, course) => (account, course),
            Place::Enrollment(id) => {
                let found = store::enrollment::by_ids(self.db.read(), &[id]).await?.pop().ok_or_else(missing)?;
                (found.account, found.course)
            }
        };
        let txn = self.db.begin().await?;
        store::entitlement::lock_learners(&txn, &[account]).await?;
        // A manager is a learner too, and never the judge of that.
        let own = caller.account() == Some(account) && !caller.may(scope);
        if own || self.learners_within_reach(&txn, caller, scope, &[account]).await?.is_empty() {
            return Err(missing());
        }
        let old = match store::enrollment::of_course(&txn, account, course).await? {
            Some(found) => found,
            None => {
                // The library is not started, or a group opens the course: exams are also taken on paper.
                let learners = self.learner(&txn, account).await?;
                let learner = learners.of(account);
                let holdings = learner.holdings()?;
                if !holdings.courses(now).contains(&course) {
                    return Err(missing());
                }
                let title = learner.title(&holdings, course, &[]);
                let fresh = new_enrollment(account, course, title, now);
                store::enrollment::insert(&txn, std::slice::from_ref(&fresh)).await?;
                fresh
            }
        };
        let passed_at = old.passed_at.or((cmd.result == LearningResult::Passed).then_some(now));
        let new = Enrollment { status: old.status.record(cmd.result), passed_at, touched_at: now, ..old.clone() };
        store::enrollment::update(&txn, &new).await?;
        let result = ResultRow {
            id: entropy::next_uuid(),
            enrollment: new.id,
            result: cmd.result,
            score: score.clone(),
            registration: new.registration,
            actor: caller.actor(),
            recorded_at: now,
        };
        store::enrollment::add_result(&txn, &result).await?;
        let told = json!({ "status": new.status, "result": cmd.result, "score": score, "account": account, "course": course });
        let object = Object::new("enrollment", new.id.uuid());
        self.audit(&txn, caller, "enrollmentResultRecord", object, Some(json!({ "status": old.status })), Some(told)).await?;
        txn.commit().await?;
        Ok(new)
    }

    /// Registers a learner again for a course with a result, where a company of the learner allows it: progress begins anew under the same
    /// enrollment, which keeps its history. The caller unless a learner is named.
    ///
    /// # Errors
    /// [`Code::ReregistrationRefused`] with when it is possible; [`Code::PaymentRequired`] with what to buy if nothing opens the course;
    /// [`Code::NotFound`] for a course that the learner has no place in, or a learner whom this caller may not act for.
    pub async fn enrollment_reregister(
        &self,
        caller: &Caller,
        course: CourseId,
        account: Option<AccountId>,
    ) -> Result<Enrollment, NotDone> {
        caller.require_sign_in()?;
        let scope = Topic::Learning.write();
        let account = match account {
            Some(account) if caller.account() == Some(account) => account,
            Some(account) if !self.learners_within_reach(self.db.read(), caller, scope, &[account]).await?.is_empty() => account,
            Some(_) => return Err(Error::not_found("accountId", "learner").into()),
            None => caller.require_account()?,
        };
        let now = self.now();
        let txn = self.db.begin().await?;
        store::entitlement::lock_learners(&txn, &[account]).await?;
        let Some(old) = store::enrollment::of_course(&txn, account, course).await? else {
            return Err(Error::not_found("courseId", "course of this learner").into());
        };
        let results = store::enrollment::results(&txn, &[old.id]).await?;
        let last = results.iter().rev().find(|result| result.registration == old.registration).map(|result| result.recorded_at);
        let ids = store::company::companies_of(&txn, account, None).await?;
        let companies = store::company::companies(&txn, &ids).await?;
        let allowing = companies.iter().filter(|company| company.archived_at.is_none()).filter_map(|company| company.reregistration_days);
        reregister(old.status, last, allowing.min(), now).map_err(|refusal| Refusal::from(refusal).under(["courseId"]))?;
        let learners = self.learner(&txn, account).await?;
        let learner = learners.of(account);
        let explained = learner.holdings()?.explain(course, &learner.facts.passed, now);
        if !explained.iter().any(|explanation| explanation.why.opens()) {
            txn.rollback().await?;
            let refusal = if explained.is_empty() { StartRefusal::NoGrant } else { StartRefusal::Over };
            return Err(self.payment_required(caller, &refusal, course, account).await?);
        }
        let new = Enrollment {
            status: EnrollmentStatus::NotStarted,
            started_at: None,
            registration: old.registration + 1,
            touched_at: now,
            ..old.clone()
        };
        store::enrollment::update(&txn, &new).await?;
        let (was, told) = (json!({ "status": old.status, "registration": old.registration }), json!({ "registration": new.registration }));
        self.audit(&txn, caller, "enrollmentReregister", Object::new("enrollment", new.id.uuid()), Some(was), Some(told)).await?;
        txn.commit().await?;
        Ok(new)
    }

    /// Ends a grant before its time. What another grant gave stays as it was; those that queue behind it move up.
    ///
    /// # Errors
    /// Needs the scope `learning:write`; no such grant, or one that is over.
    pub async fn entitlement_end(&self, caller: &Caller, id: EntitlementId, reason: &str) -> Result<EntitlementView> {
        caller.require(Topic::Learning.write())?;
        let reason = text::line("reason", reason, text::MAX_TITLE).map_err(|refusal| Refusal::from(refusal).under(["reason"]))?;
        let now = self.now();
        let missing = || Error::not_found("entitlementId", "entitlement");
        let known = store::entitlement::by_ids(self.db.read(), &[id]).await?.pop().ok_or_else(missing)?;
        let txn = self.db.begin().await?;
        store::entitlement::lock_learners(&txn, &[known.grant.account]).await?;
        let held = store::entitlement::by_ids(&txn, &[id]).await?;
        if self.end_grants(&txn, &held, &reason, now).await?.is_empty() {
            return Err(Error::refused(Code::EntitlementEnded, ["entitlementId"], "This grant is over already; there is nothing to end."));
        }
        let new = json!({ "account": known.grant.account, "reason": reason, "endedAt": now });
        self.audit(&txn, caller, "entitlementEnd", Object::new("entitlement", id.uuid()), None, Some(new)).await?;
        txn.commit().await?;
        self.entitlements_of(&[known.grant.account]).await?.into_iter().find(|view| view.entitlement.id() == id).ok_or_else(missing)
    }
}

/// Whether the caller may record results at all: an operator, a program or a company's manager.
///
/// # Errors
/// Nobody of them.
pub fn may_record_results(caller: &Caller) -> Result<()> {
    if caller.may(Topic::Learning.write()) || caller.is_manager() {
        return Ok(());
    }
    Err(caller.denied("Results are recorded by operators, programs and managers of the learner's company."))
}

pub(super) fn capitalised(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// A score: a decimal number, kept as it was given.
fn check_score(text: &str) -> Result<String> {
    let text = text.trim();
    match text.parse::<rust_decimal::Decimal>() {
        Ok(_) if text.len() <= 20 => Ok(text.to_owned()),
        _ => {
            Err(Error::refused(Code::Invalid, ["score"], "Give the score as a decimal number of at most 20 characters, such as \"87.5\"."))
        }
    }
}

/// The titles of these targets as they are now.
pub(super) async fn target_titles(db: &impl ConnectionTrait, targets: impl Iterator<Item = Target>) -> Result<HashMap<Target, String>> {
    let (mut courses, mut libraries, mut groups, mut sessions) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut resources = BTreeSet::new();
    for target in targets {
        match target {
            Target::Course(id) => drop(courses.insert(id)),
            Target::Library(id) => drop(libraries.insert(id)),
            Target::Group(id) => drop(groups.insert(id)),
            Target::Session(id) => drop(sessions.insert(id)),
            Target::Resource(id) => drop(resources.insert(id)),
        }
    }
    let sessions: Vec<_> = sessions.into_iter().collect();
    let events: HashMap<SessionId, CourseId> =
        store::catalog::sessions(db, &sessions).await?.into_iter().map(|session| (session.id, session.course)).collect();
    courses.extend(events.values());
    let (courses, libraries, groups): (Vec<_>, Vec<_>, Vec<_>) =
        (courses.into_iter().collect(), libraries.into_iter().collect(), groups.into_iter().collect());
    let mut titles = HashMap::new();
    let resources: Vec<_> = resources.into_iter().collect();
    titles.extend(store::resource::by_ids(db, &resources).await?.into_iter().map(|found| (Target::Resource(found.id), found.title)));
    titles.extend(store::catalog::courses(db, &courses).await?.into_iter().map(|course| (Target::Course(course.id), course.title)));
    titles.extend(store::catalog::libraries(db, &libraries).await?.into_iter().map(|found| (Target::Library(found.id), found.title)));
    titles.extend(store::group::groups(db, &groups).await?.into_iter().map(|group| (Target::Group(group.id), group.title)));
    for (session, course) in events {
        if let Some(title) = titles.get(&Target::Course(course)).cloned() {
            titles.insert(Target::Session(session), title);
        }
    }
    Ok(titles)
}
