//! Entitlements: what each grant opens and when, the list of courses that is frozen for a learner, and how far the learner got.
//!
//! Always true here: grants to the same target follow one another, so that no paid time is swallowed; grants to different targets run side
//! by side; nothing is remembered but the facts of each grant, so ending one puts every other one right again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{AccountId, CourseId, EntitlementId, GroupId, LibraryId, ResourceId, SessionId};
use crate::refusal::{Code, Reason};
use crate::terms::{Anchor, Terms, TermsRefusal};

named! {
    /// What kind of thing a grant is to.
    pub enum TargetKind {
        /// One course.
        Course = "COURSE",
        /// A library.
        Library = "LIBRARY",
        /// Membership of a group.
        Group = "GROUP",
        /// A dated session of an event.
        Session = "SESSION",
        /// One item inside a course.
        Resource = "RESOURCE",
    }
}

/// What a grant is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// One course.
    Course(CourseId),
    /// A library: its courses.
    Library(LibraryId),
    /// Membership of a group: all that it opens.
    Group(GroupId),
    /// A dated session: its event.
    Session(SessionId),
    /// One item inside a course, and nothing else of the course.
    Resource(ResourceId),
}

impl Target {
    /// The target of that kind with that id.
    pub const fn new(kind: TargetKind, uuid: Uuid) -> Self {
        match kind {
            TargetKind::Course => Self::Course(CourseId::new(uuid)),
            TargetKind::Library => Self::Library(LibraryId::new(uuid)),
            TargetKind::Group => Self::Group(GroupId::new(uuid)),
            TargetKind::Session => Self::Session(SessionId::new(uuid)),
            TargetKind::Resource => Self::Resource(ResourceId::new(uuid)),
        }
    }

    /// Its kind.
    pub const fn kind(self) -> TargetKind {
        match self {
            Self::Course(_) => TargetKind::Course,
            Self::Library(_) => TargetKind::Library,
            Self::Group(_) => TargetKind::Group,
            Self::Session(_) => TargetKind::Session,
            Self::Resource(_) => TargetKind::Resource,
        }
    }

    /// Its bare id, as stored.
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::Course(id) => id.uuid(),
            Self::Library(id) => id.uuid(),
            Self::Group(id) => id.uuid(),
            Self::Session(id) => id.uuid(),
            Self::Resource(id) => id.uuid(),
        }
    }
}

named! {
    /// What kind of thing gave a grant.
    pub enum SourceKind {
        /// A line of an order, bought for oneself or a named learner.
        OrderLine = "ORDER_LINE",
        /// A line of a sales order; it gives by tokens.
        SalesLine = "SALES_LINE",
        /// A redeemed token.
        Token = "TOKEN",
        /// Enrolling without payment, on purpose.
        Bypass = "BYPASS",
        /// Somebody of the shop, by hand.
        Hand = "HAND",
        /// Credits: the renting of a resource, or a renewal.
        Rental = "RENTAL",
    }
}

/// What gave a grant: each source gives one learner one grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Its kind.
    pub kind: SourceKind,
    /// Its id.
    pub id: Uuid,
}

/// A course as a learner's list holds it: under the title that it had then, whatever it is called later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedCourse {
    /// The course.
    pub course_id: CourseId,
    /// Its title.
    pub title: String,
    /// Its place, ascending.
    pub position: u32,
}

/// Courses in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CourseList {
    /// Whether each course opens once the one before it is passed.
    pub ordered: bool,
    /// The courses; their `position` counts, not their place here.
    pub courses: Vec<ListedCourse>,
}

impl CourseList {
    /// Whether the course is in the list.
    pub fn holds(&self, course: CourseId) -> bool {
        self.courses.iter().any(|listed| listed.course_id == course)
    }

    /// The course that has to be passed before this one opens, if the list is ordered and that one is not passed.
    pub fn locked_by(&self, course: CourseId, passed: &BTreeSet<CourseId>) -> Option<&ListedCourse> {
        let place = self.courses.iter().find(|listed| listed.course_id == course)?.position;
        let before = self.courses.iter().filter(|listed| listed.position < place).max_by_key(|listed| listed.position)?;
        (self.ordered && !passed.contains(&before.course_id)).then_some(before)
    }
}

/// One grant: the right that one order line, token or other source gave to one learner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: EntitlementId,
    /// The learner.
    pub account: AccountId,
    /// What it is to.
    pub target: Target,
    /// What gave it.
    pub source: Source,
    /// When it was given.
    pub granted_at: DateTime<Utc>,
    /// Its place among grants given at the same instant.
    pub seq: i64,
    /// How long it lasts, as it was then.
    pub terms: Terms,
    /// The first start of a course of it since it was given. Kept for libraries.
    pub first_started_at: Option<DateTime<Utc>>,
    /// When it was ended before its time.
    pub ended_at: Option<DateTime<Utc>>,
    /// The courses that are fixed for this learner since the first start. Kept for libraries.
    pub frozen: Option<CourseList>,
}

impl Grant {
    fn place(&self) -> (DateTime<Utc>, i64, EntitlementId) {
        (self.granted_at, self.seq, self.id)
    }
}

/// When a grant runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The grant.
    pub id: EntitlementId,
    /// From when it runs or ran; `None` = not yet known, or never.
    pub starts_at: Option<DateTime<Utc>>,
    /// Until when, exclusive; `None` = without end, or not yet known.
    pub ends_at: Option<DateTime<Utc>>,
    /// What its start waits for.
    pub waits: Waits,
    /// When it was ended before its time.
    pub ended_at: Option<DateTime<Utc>>,
}

/// What the start of a grant waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// Nothing: its start is known, or its time was over before it came.
    No,
    /// The learner's first start.
    ForStart,
    /// A grant before it whose end is not known; behind one without end it waits for ever.
    InQueue,
}

/// Where a grant stands at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Live,
    /// It opens everything; its time starts with the learner's first start.
    NotStarted,
    /// It runs after another grant to the same target.
    Queued,
    /// Its time is over.
    Expired,
    /// It was ended before its time.
    Ended,
}

impl Standing {
    /// Whether the grant opens something, now or later.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::NotStarted | Self::Queued)
    }
}

impl Slot {
    /// Where the grant stands at `now`.
    pub fn standing(&self, now: DateTime<Utc>) -> Standing {
        let over = |end: Option<DateTime<Utc>>| end.is_some_and(|end| end <= now);
        if over(self.ended_at) && !self.ran_out() {
            Standing::Ended
        } else if over(self.ends_at) {
            Standing::Expired
        } else {
            match (self.waits, self.starts_at) {
                (Waits::ForStart, _) => Standing::NotStarted,
                (Waits::InQueue, _) => Standing::Queued,
                (Waits::No, Some(start)) if start > now => Standing::Queued,
                (Waits::No, _) => Standing::Live,
            }
        }
    }

    /// Whether its time was over when it was ended, so that ending it changed nothing.
    fn ran_out(&self) -> bool {
        matches!((self.ends_at, self.ended_at), (Some(end), Some(ended)) if end <= ended)
    }

    /// Until when it opened or opens something.
    fn until(&self) -> Option<DateTime<Utc>> {
        match (self.ends_at, self.ended_at) {
            (Some(end), Some(ended)) => Some(end.min(ended)),
            (end, ended) => end.or(ended),
        }
    }
}

/// Lays out the grants of one learner to one target, in order of granting (R48, R78).
///
/// Each runs from its own anchor (the grant, or the first start since then where terms wait for it) or, if the one before it is not over when it is given, from the
/// end of that one; a queued grant needs no start of its own. A grant that was ended leaves the queue, as if it had never been given, unless
/// its time was over anyway. A fixed end holds wherever the grant stands; if its turn comes later than that, it never runs.
///
/// # Errors
/// An end that no calendar holds.
pub fn schedule(grants: &[Grant]) -> Result<Vec<Slot>, TermsRefusal> {
    let mut grants: Vec<&Grant> = grants.iter().collect();
    grants.sort_by_key(|grant| grant.place());
    Ok(queue(&grants)?.into_iter().map(|queued| queued.slot).collect())
}

/// A slot, and the place of the grant that it queues behind.
struct Queued {
    slot: Slot,
    behind: Option<usize>,
}

/// When the grants so far in the queue are over.
#[derive(Clone, Copy)]
enum Tail {
    Free,
    Until(DateTime<Utc>, usize),
    Open(usize),
}

fn queue(grants: &[&Grant]) -> Result<Vec<Queued>, TermsRefusal> {
    let mut tail = Tail::Free;
    let mut queued = Vec::with_capacity(grants.len());
    for (place, grant) in grants.iter().enumerate() {
        let slot = |starts_at, ends_at, waits| Slot { id: grant.id, starts_at, ends_at, waits, ended_at: grant.ended_at };
        let from = |start: DateTime<Utc>| -> Result<Slot, TermsRefusal> {
            let end = grant.terms.ends_at(start)?;
            let runs = end.is_none_or(|end| start < end);
            Ok(slot(runs.then_some(start), end, Waits::No))
        };
        let fixed_end = match grant.terms.anchor {
            Anchor::FixedDate(end) => Some(end),
            Anchor::Purchase | Anchor::FirstStart => None,
        };
        let (slot, behind) = match tail {
            Tail::Open(before) => (slot(None, fixed_end, Waits::InQueue), Some(before)),
            Tail::Until(end, before) if end > grant.granted_at => (from(end)?, Some(before)),
            Tail::Free | Tail::Until(..) => {
                let slot = match grant.first_started_at {
                    _ if !grant.terms.waits_for_start() => from(grant.granted_at)?,
                    Some(started) => from(started.max(grant.granted_at))?,
                    None => slot(None, None, Waits::ForStart),
                };
                (slot, None)
            }
        };
        if grant.ended_at.is_none() || slot.ran_out() {
            tail = match (tail, slot.ends_at) {
                (Tail::Open(_), _) | (_, None) => Tail::Open(place),
                (Tail::Until(before, _), Some(end)) => Tail::Until(end.max(before), place),
                (Tail::Free, Some(end)) => Tail::Until(end, place),
            };
        }
        queued.push(Queued { slot, behind });
    }
    Ok(queued)
}

/// What targets open at present, for grants whose list is not frozen: a library's courses, a group's courses (those of its libraries too), a
/// session's event. A course opens itself and need not be told.
pub type Contents = HashMap<Target, CourseList>;

/// All grants of one learner, laid out: what may be opened, and why.
#[derive(Debug)]
pub struct Holdings<'a> {
    held: Vec<Held<'a>>,
}

#[derive(Debug)]
struct Held<'a> {
    grant: &'a Grant,
    slot: Slot,
    /// `None` for a course, and for a target whose content was not told.
    list: Option<&'a CourseList>,
}

impl Held<'_> {
    fn holds(&self, course: CourseId) -> bool {
        self.grant.target == Target::Course(course) || self.list.is_some_and(|list| list.holds(course))
    }
}

impl<'a> Holdings<'a> {
    /// Lays out the grants of one learner, to whatever targets.
    ///
    /// A grant holds its frozen list; a queued one without such a list holds that of the grant before it (R59); any other one what its target
    /// opens at present.
    ///
    /// # Errors
    /// An end that no calendar holds.
    pub fn of(grants: &'a [Grant], contents: &'a Contents) -> Result<Self, TermsRefusal> {
        let mut targets: BTreeMap<Target, Vec<&Grant>> = BTreeMap::new();
        for grant in grants {
            targets.entry(grant.target).or_default().push(grant);
        }
        let mut held = Vec::with_capacity(grants.len());
        for (target, mut grants) in targets {
            grants.sort_by_key(|grant| grant.place());
            let mut lists: Vec<Option<&CourseList>> = Vec::with_capacity(grants.len());
            for (grant, queued) in grants.iter().zip(queue(&grants)?) {
                let frozen = grant.frozen.as_ref().or_else(|| lists[queued.behind?]);
                lists.push(frozen);
                held.push(Held { grant, slot: queued.slot, list: frozen.or_else(|| contents.get(&target)) });
            }
        }
        held.sort_by_key(|held| held.grant.place());
        Ok(Self { held })
    }

    /// When each grant runs, in order of granting.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.held.iter().map(|held| &held.slot)
    }

    /// The list of courses that a grant holds: frozen, kept from the grant it queues behind, or what its target opens at present. `None` for a
    /// course, and for no grant of these.
    pub fn list(&self, grant: EntitlementId) -> Option<&CourseList> {
        self.held.iter().find(|held| held.grant.id == grant)?.list
    }

    /// Every course that some grant opens now or could open later, locked ones too.
    pub fn courses(&self, now: DateTime<Utc>) -> BTreeSet<CourseId> {
        let mut courses = BTreeSet::new();
        for held in self.held.iter().filter(|held| held.slot.standing(now).is_live()) {
            if let Target::Course(course) = held.grant.target {
                courses.insert(course);
            }
            courses.extend(held.list.iter().flat_map(|list| &list.courses).map(|listed| listed.course_id));
        }
        courses
    }

    /// What each grant that holds the course has to say about it, in order of granting. `passed` are the courses that the learner passed.
    pub fn explain(&self, course: CourseId, passed: &BTreeSet<CourseId>, now: DateTime<Utc>) -> Vec<Explanation> {
        let explain = |held: &Held<'_>| {
            let lock = || held.list.and_then(|list| list.locked_by(course, passed));
            let (why, opens_after) = match held.slot.standing(now) {
                Standing::Queued => (Why::Queued, None),
                Standing::Expired => (Why::Expired, None),
                Standing::Ended => (Why::Ended, None),
                open @ (Standing::Live | Standing::NotStarted) => match lock() {
                    Some(before) => (Why::LockedByOrder, Some(before.clone())),
                    None if open == Standing::Live => (Why::Live, None),
                    None => (Why::NotStarted, None),
                },
            };
            let until = held.slot.until();
            Explanation {
                grant: held.grant.id,
                target: held.grant.target,
                // One that was ended before its turn came never ran.
                since: held.slot.starts_at.filter(|since| until.is_none_or(|until| *since < until)),
                until,
                why,
                opens_after,
            }
        };
        self.held.iter().filter(|held| held.holds(course)).map(explain).collect()
    }

    /// Whether any grant opens the course.
    pub fn is_open(&self, course: CourseId, passed: &BTreeSet<CourseId>, now: DateTime<Utc>) -> bool {
        self.explain(course, passed, now).iter().any(|explanation| explanation.why.opens())
    }

    /// Starts a course: every live library grant that holds it and has no start yet has its first start now, and its list is frozen: the one
    /// of the grant it queues behind, else what the library holds at present (R48, R59). Save what is returned, and lay out anew.
    ///
    /// # Errors
    /// [`StartRefusal`] if no grant opens the course.
    pub fn start(&self, course: CourseId, passed: &BTreeSet<CourseId>, now: DateTime<Utc>) -> Result<Vec<Started>, StartRefusal> {
        let explained = self.explain(course, passed, now);
        if !explained.iter().any(|explanation| explanation.why.opens()) {
            return Err(match explained.into_iter().max_by_key(|explanation| explanation.why) {
                None => StartRefusal::NoGrant,
                Some(Explanation { opens_after: Some(before), .. }) => StartRefusal::Locked { before: before.title },
                Some(_) => StartRefusal::Over,
            });
        }
        let counts = |held: &&Held<'_>| {
            matches!(held.grant.target, Target::Library(_))
                && held.grant.first_started_at.is_none()
                && held.holds(course)
                && held.slot.standing(now).is_live()
        };
        let started =
            |held: &Held<'_>| Started { grant: held.grant.id, first_started_at: now, frozen: held.list.cloned().unwrap_or_default() };
        Ok(self.held.iter().filter(counts).map(started).collect())
    }
}

/// A library grant whose first start this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The grant.
    pub grant: EntitlementId,
    /// Its first start.
    pub first_started_at: DateTime<Utc>,
    /// The courses that are fixed for this learner from now on.
    pub frozen: CourseList,
}

/// Why a course cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartRefusal {
    /// The learner has nothing that holds the course.
    #[error("nothing that this learner has opens the course; buy it, or a library that holds it")]
    NoGrant,
    /// What held the course is over.
    #[error("the access to this course is over; buy it again to go on")]
    Over,
    /// An earlier course of the library is not passed.
    #[error("this course opens once {before:?} is passed")]
    Locked {
        /// The title of the course before it.
        before: String,
    },
}

impl Reason for StartRefusal {
    fn code(&self) -> Code {
        match self {
            Self::NoGrant => Code::PaymentRequired,
            Self::Over => Code::EntitlementEnded,
            Self::Locked { .. } => Code::CourseLocked,
        }
    }
}

named! {
    /// What a grant does for a course.
    pub enum Why {
        /// Nothing: it was ended before its time.
        Ended = "ENDED",
        /// Nothing: its time is over.
        Expired = "EXPIRED",
        /// Nothing yet: it runs after another grant to the same target.
        Queued = "QUEUED",
        /// Nothing yet: an earlier course of the list has to be passed first.
        LockedByOrder = "LOCKED_BY_ORDER",
        /// It opens the course; its time starts with the learner's first start.
        NotStarted = "NOT_STARTED",
        /// It opens the course.
        Live = "LIVE",
    }
}

impl Why {
    /// Whether the course may be opened because of it.
    pub const fn opens(self) -> bool {
        matches!(self, Self::Live | Self::NotStarted)
    }
}

/// What one grant says about a course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The grant.
    pub grant: EntitlementId,
    /// What the grant is to.
    pub target: Target,
    /// From when it runs; `None` = not yet known, or never.
    pub since: Option<DateTime<Utc>>,
    /// Until when, exclusive; `None` = without end, or not yet known.
    pub until: Option<DateTime<Utc>>,
    /// What it does for the course at that instant.
    pub why: Why,
    /// The course that has to be passed first, where that is why.
    pub opens_after: Option<ListedCourse>,
}

/// Until when a course is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenUntil {
    /// It is not open.
    NotOpen,
    /// Until that instant, exclusive.
    At(DateTime<Utc>),
    /// The end follows from the learner's first start.
    SetAtStart,
    /// Without end.
    Endless,
}

/// Until when a course is open, as its grants explain it: side by side, and queued ones that follow without a gap.
pub fn open_until(explained: &[Explanation]) -> OpenUntil {
    let mut until: Option<DateTime<Utc>> = None;
    let mut set_at_start = false;
    for explanation in explained.iter().filter(|explanation| explanation.why.opens()) {
        match (explanation.why, explanation.until) {
            (Why::Live, None) => return OpenUntil::Endless,
            (_, None) => set_at_start = true,
            (_, Some(end)) => until = Some(until.map_or(end, |known| known.max(end))),
        }
    }
    if set_at_start {
        return OpenUntil::SetAtStart;
    }
    let Some(mut until) = until else { return OpenUntil::NotOpen };
    let mut queued: Vec<_> = explained.iter().filter(|explanation| explanation.why == Why::Queued).collect();
    queued.sort_by_key(|explanation| explanation.since);
    for explanation in queued {
        match (explanation.since, explanation.until) {
            (Some(since), None) if since <= until => return OpenUntil::Endless,
            (Some(since), Some(end)) if since <= until => until = until.max(end),
            _ => {}
        }
    }
    OpenUntil::At(until)
}

named! {
    /// How far a learner got in a course.
    pub enum EnrollmentStatus {
        /// Enrolled.
        NotStarted = "NOT_STARTED",
        /// At it.
        Started = "STARTED",
        /// Through it, without a mark.
        Completed = "COMPLETED",
        /// Passed.
        Passed = "PASSED",
        /// Failed.
        Failed = "FAILED",
    }
}

named! {
    /// A result that the shop's staff records; learners never do.
    pub enum LearningResult {
        /// Through it, without a mark.
        Completed = "COMPLETED",
        /// Passed.
        Passed = "PASSED",
        /// Failed.
        Failed = "FAILED",
    }
}

impl EnrollmentStatus {
    /// After a start of the course: a first one counts, a later one takes no result away.
    #[must_use]
    pub const fn start(self) -> Self {
        match self {
            Self::NotStarted => Self::Started,
            other => other,
        }
    }

    /// After a result: the latest one counts, except that PASSED stays (another try can fail, and takes neither the pass nor the courses that
    /// it opened away). A result needs no start: exams are also taken on paper. The history keeps every result.
    #[must_use]
    pub const fn record(self, result: LearningResult) -> Self {
        match (self, result) {
            (Self::Passed, _) | (_, LearningResult::Passed) => Self::Passed,
            (_, LearningResult::Completed) => Self::Completed,
            (_, LearningResult::Failed) => Self::Failed,
        }
    }
}

impl EnrollmentStatus {
    /// Whether there is a result.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Passed | Self::Failed)
    }
}

/// Whether a learner may register for a course again: once there is a result, and as many days after it as the company says. What was passed
/// stays passed, whatever comes of the new registration.
///
/// # Errors
/// [`ReregisterRefusal`].
pub fn reregister(
    status: EnrollmentStatus,
    last_result_at: Option<DateTime<Utc>>,
    days: Option<u32>,
    now: DateTime<Utc>,
) -> Result<(), ReregisterRefusal> {
    let Some(days) = days else { return Err(ReregisterRefusal::NotAllowed) };
    let finished = last_result_at.filter(|_| status.is_finished()).ok_or(ReregisterRefusal::NotFinished)?;
    let from = finished + chrono::TimeDelta::days(i64::from(days));
    if now < from { Err(ReregisterRefusal::TooSoon { from }) } else { Ok(()) }
}

/// Why a learner cannot register again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReregisterRefusal {
    /// No company of the learner lets them.
    #[error("no company of this learner allows registering again; set reregistrationDays with companyUpdate")]
    NotAllowed,
    /// There is no result yet.
    #[error("this course has no result yet; register again once it is completed")]
    NotFinished,
    /// The company's days are not over.
    #[error("the company lets its learners register again from {} on", from.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))]
    TooSoon {
        /// From when on.
        from: DateTime<Utc>,
    },
}

impl Reason for ReregisterRefusal {
    fn code(&self) -> Code {
        Code::ReregistrationRefused
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::ProductKind;

    /// R61: registering again needs a company that allows it, a result, and the company's days since then.
    #[test]
    fn r61_registering_again_waits_for_a_result_and_the_companys_days() {
        let done = Some(at("2026-03-01"));
        for (status, result_at, days, now, expected) in [
            (EnrollmentStatus::Passed, done, None, "2027-01-01", Err(ReregisterRefusal::NotAllowed)),
            (EnrollmentStatus::Started, done, Some(0), "2027-01-01", Err(ReregisterRefusal::NotFinished)),
            (EnrollmentStatus::Passed, None, Some(0), "2027-01-01", Err(ReregisterRefusal::NotFinished)),
            (EnrollmentStatus::Passed, done, Some(30), "2026-03-30", Err(ReregisterRefusal::TooSoon { from: at("2026-03-31") })),
            (EnrollmentStatus::Passed, done, Some(30), "2026-03-31", Ok(())),
            (EnrollmentStatus::Failed, done, Some(0), "2026-03-01", Ok(())),
            (EnrollmentStatus::Completed, done, Some(0), "2026-03-01", Ok(())),
        ] {
            assert_eq!(reregister(status, result_at, days, at(now)), expected, "{status} {days:?} {now}");
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        let text = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
        text.parse().expect("an instant of the tests")
    }

    fn course(number: u128) -> CourseId {
        CourseId::new(Uuid::from_u128(number))
    }

    const A: u128 = 0xA;
    const B: u128 = 0xB;
    const C: u128 = 0xC;

    fn library(number: u128) -> Target {
        Target::new(TargetKind::Library, Uuid::from_u128(number))
    }

    fn list(ordered: bool, courses: &[u128]) -> CourseList {
        let listed =
            |(position, number): (u32, &u128)| ListedCourse { course_id: course(*number), title: format!("Course {number:X}"), position };
        CourseList { ordered, courses: (1..).zip(courses).map(listed).collect() }
    }

    /// A grant of `value` days (months for groups) from its target's own clock; 0 = without end.
    fn grant(number: u128, target: Target, granted: &str, value: i64) -> Grant {
        let kind = match target.kind() {
            TargetKind::Course => ProductKind::Course,
            TargetKind::Library => ProductKind::Library,
            TargetKind::Group => ProductKind::Group,
            TargetKind::Session | TargetKind::Resource => ProductKind::Session,
        };
        Grant {
            id: EntitlementId::new(Uuid::from_u128(number)),
            account: AccountId::new(Uuid::from_u128(1)),
            target,
            source: Source { kind: SourceKind::OrderLine, id: Uuid::from_u128(number) },
            granted_at: at(granted),
            seq: 0,
            terms: Terms::of_kind(kind, (value > 0).then_some(value), None).expect("terms"),
            first_started_at: None,
            ended_at: None,
            frozen: None,
        }
    }

    fn started(grant: Grant, start: &str) -> Grant {
        Grant { first_started_at: Some(at(start)), ..grant }
    }

    fn ended(grant: Grant, end: &str) -> Grant {
        Grant { ended_at: Some(at(end)), ..grant }
    }

    fn until(grant: Grant, end: &str) -> Grant {
        Grant { terms: Terms { value: None, anchor: Anchor::FixedDate(at(end)), ..grant.terms }, ..grant }
    }

    /// Start and end of each grant, "-" where there is none.
    fn spans(grants: &[Grant]) -> Vec<(String, String)> {
        let text =
            |instant: Option<DateTime<Utc>>| instant.map_or("-".to_owned(), |instant| instant.to_rfc3339().replace("T00:00:00+00:00", ""));
        schedule(grants).expect("a calendar holds it").iter().map(|slot| (text(slot.starts_at), text(slot.ends_at))).collect()
    }

    #[track_caller]
    fn check(grants: &[Grant], expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(start, end)| ((*start).to_owned(), (*end).to_owned())).collect();
        assert_eq!(spans(grants), expected);
    }

    fn nothing_passed() -> BTreeSet<CourseId> {
        BTreeSet::new()
    }

    /// c27: bought again before the end, the paid time is added; after the end, it runs anew.
    #[test]
    fn c27_buying_again_before_the_end_swallows_no_paid_time() {
        let first = started(grant(1, library(1), "2026-01-05", 365), "2026-01-10");
        check(std::slice::from_ref(&first), &[("2026-01-10", "2027-01-10")]);
        let again = grant(2, library(1), "2026-12-20", 365);
        check(&[first.clone(), again.clone()], &[("2026-01-10", "2027-01-10"), ("2027-01-10", "2028-01-10")]);
        let idle = started(again.clone(), "2027-02-01");
        check(&[first.clone(), idle], &[("2026-01-10", "2027-01-10"), ("2027-01-10", "2028-01-10")]);
        check(&[first.clone(), ended(again, "2026-12-28")], &[("2026-01-10", "2027-01-10"), ("2027-01-10", "2028-01-10")]);
        let anew = grant(2, library(1), "2027-01-20", 365);
        check(&[first.clone(), anew.clone()], &[("2026-01-10", "2027-01-10"), ("-", "-")]);
        check(&[first, started(anew, "2027-02-01")], &[("2026-01-10", "2027-01-10"), ("2027-02-01", "2028-02-01")]);
    }

    /// c27: one course, seen by its learner: open until the end of the chain; the refund of the second purchase brings the end back.
    #[test]
    fn c27_the_end_of_a_course_counts_what_is_queued() {
        let contents = Contents::from([(library(1), list(false, &[A]))]);
        let first = started(grant(1, library(1), "2026-01-05", 365), "2026-01-10");
        let second = grant(2, library(1), "2026-12-20", 365);
        let end = |grants: &[Grant], now: &str| {
            let holdings = Holdings::of(grants, &contents).expect("laid out");
            open_until(&holdings.explain(course(A), &nothing_passed(), at(now)))
        };
        assert_eq!(end(&[first.clone(), second.clone()], "2026-12-21"), OpenUntil::At(at("2028-01-10")));
        assert_eq!(end(&[first.clone(), second.clone()], "2027-06-01"), OpenUntil::At(at("2028-01-10")));
        assert_eq!(end(&[first.clone(), second.clone()], "2028-01-10"), OpenUntil::NotOpen);
        let refunded = [first.clone(), ended(second, "2026-12-28")];
        assert_eq!(end(&refunded, "2026-12-28"), OpenUntil::At(at("2027-01-10")));
        assert_eq!(end(&[first, grant(3, library(1), "2026-12-20", 0)], "2026-12-21"), OpenUntil::Endless);
    }

    /// c29: two libraries that hold the same course run side by side; refunding one leaves what the other gave.
    #[test]
    fn c29_libraries_with_a_common_course_run_side_by_side() {
        let contents = Contents::from([(library(1), list(false, &[A])), (library(2), list(false, &[A, B]))]);
        let one = started(grant(1, library(1), "2025-12-31", 365), "2025-12-31");
        check(std::slice::from_ref(&one), &[("2025-12-31", "2026-12-31")]);
        let two = grant(2, library(2), "2026-05-30", 365);

        let grants = [one.clone(), two.clone()];
        let holdings = Holdings::of(&grants, &contents).expect("laid out");
        assert_eq!(holdings.courses(at("2026-05-30")), BTreeSet::from([course(A), course(B)]));
        let starts = holdings.start(course(A), &nothing_passed(), at("2026-06-01")).expect("open");
        let frozen = list(false, &[A, B]);
        assert_eq!(
            starts,
            [Started { grant: two.id, first_started_at: at("2026-06-01"), frozen: frozen.clone() }],
            "library 1 has its start"
        );

        let two = Grant { frozen: Some(frozen), ..started(two, "2026-06-01") };
        let explained = |grants: &[Grant], number, now: &str| {
            let holdings = Holdings::of(grants, &contents).expect("laid out");
            let explained = holdings.explain(course(number), &nothing_passed(), at(now));
            let until = open_until(&explained);
            (
                explained
                    .into_iter()
                    .map(|explanation| (explanation.grant, explanation.since, explanation.until, explanation.why))
                    .collect::<Vec<_>>(),
                until,
            )
        };
        let both = [one.clone(), two.clone()];
        let by_one = |why| (one.id, Some(at("2025-12-31")), Some(at("2026-12-31")), why);
        let by_two = |why| (two.id, Some(at("2026-06-01")), Some(at("2027-06-01")), why);
        assert_eq!(explained(&both, A, "2026-06-01"), (vec![by_one(Why::Live), by_two(Why::Live)], OpenUntil::At(at("2027-06-01"))));
        assert_eq!(explained(&both, A, "2026-12-31"), (vec![by_one(Why::Expired), by_two(Why::Live)], OpenUntil::At(at("2027-06-01"))));
        assert_eq!(explained(&both, B, "2026-06-01"), (vec![by_two(Why::Live)], OpenUntil::At(at("2027-06-01"))));
        let refunded = [one.clone(), ended(two.clone(), "2026-07-01")];
        let gone = (two.id, Some(at("2026-06-01")), Some(at("2026-07-01")), Why::Ended);
        assert_eq!(explained(&refunded, A, "2026-07-01"), (vec![by_one(Why::Live), gone], OpenUntil::At(at("2026-12-31"))));
        assert_eq!(explained(&refunded, B, "2026-07-01"), (vec![gone], OpenUntil::NotOpen));
        assert_eq!(explained(&both, C, "2026-07-01"), (vec![], OpenUntil::NotOpen));
    }

    /// A grant that was ended while it waited for its turn never ran: it has no start that lies behind its end.
    #[test]
    fn a_grant_that_ended_before_its_turn_never_ran() {
        let first = grant(1, Target::Course(course(A)), "2026-01-10", 365);
        let second = grant(2, Target::Course(course(A)), "2026-03-01", 365);
        let explained = |second: Grant, now: &str| {
            let (grants, contents) = ([first.clone(), second], Contents::new());
            let holdings = Holdings::of(&grants, &contents).expect("laid out");
            let told = holdings.explain(course(A), &nothing_passed(), at(now)).pop().expect("the second");
            (told.since, told.until, told.why)
        };
        let (turn, over) = (Some(at("2027-01-10")), Some(at("2028-01-10")));
        assert_eq!(explained(second.clone(), "2026-04-01"), (turn, over, Why::Queued));
        assert_eq!(explained(ended(second.clone(), "2026-04-01"), "2026-04-02"), (None, Some(at("2026-04-01")), Why::Ended));
        assert_eq!(explained(ended(second, "2027-02-01"), "2027-02-02"), (turn, Some(at("2027-02-01")), Why::Ended));
    }

    #[test]
    fn r78_each_target_has_its_own_clock() {
        let of = |kind, number| Target::new(kind, Uuid::from_u128(number));
        check(&[grant(1, of(TargetKind::Course, A), "2026-03-01", 30)], &[("2026-03-01", "2026-03-31")]);
        check(&[grant(1, of(TargetKind::Session, 5), "2026-03-01", 30)], &[("2026-03-01", "2026-03-31")]);
        check(&[grant(1, of(TargetKind::Group, 6), "2026-01-31", 1)], &[("2026-01-31", "2026-02-28")]);
        let group = of(TargetKind::Group, 6);
        check(
            &[grant(1, group, "2026-01-31", 1), grant(2, group, "2026-02-01", 1)],
            &[("2026-01-31", "2026-02-28"), ("2026-02-28", "2026-03-28")],
        );
        check(&[grant(1, library(1), "2026-03-01", 30)], &[("-", "-")]);
        check(&[grant(1, library(1), "2026-03-01", 0)], &[("2026-03-01", "-")]);
        check(&[started(grant(1, library(1), "2026-03-01", 30), "2026-04-01")], &[("2026-04-01", "2026-05-01")]);
        check(&[until(grant(1, group, "2026-03-01", 1), "2026-06-30T22:00:00Z")], &[("2026-03-01", "2026-06-30T22:00:00+00:00")]);
    }

    #[test]
    fn grants_to_one_target_queue_in_order_of_granting() {
        let target = Target::Course(course(A));
        let year = |number, granted| grant(number, target, granted, 365);
        let three = [year(1, "2026-01-01"), year(2, "2026-02-01"), year(3, "2026-03-01")];
        check(&three, &[("2026-01-01", "2027-01-01"), ("2027-01-01", "2028-01-01"), ("2028-01-01", "2028-12-31")]);
        let [one, two, three] = three;
        check(
            &[three.clone(), one.clone(), two.clone()],
            &[("2026-01-01", "2027-01-01"), ("2027-01-01", "2028-01-01"), ("2028-01-01", "2028-12-31")],
        );

        // Ending one moves those behind it up: to the end before it, or to their own anchor.
        let out = ended(two.clone(), "2026-04-01");
        check(
            &[one.clone(), out, three.clone()],
            &[("2026-01-01", "2027-01-01"), ("2027-01-01", "2028-01-01"), ("2027-01-01", "2028-01-01")],
        );
        let out = ended(one.clone(), "2026-04-01");
        check(
            &[out, two.clone(), three.clone()],
            &[("2026-01-01", "2027-01-01"), ("2026-02-01", "2027-02-01"), ("2027-02-01", "2028-02-01")],
        );
        let late = ended(one.clone(), "2027-02-01");
        check(&[late, two.clone()], &[("2026-01-01", "2027-01-01"), ("2027-01-01", "2028-01-01")]);

        let same_instant = [Grant { seq: 2, ..year(1, "2026-01-01") }, Grant { seq: 1, ..year(2, "2026-01-01") }];
        let slots = schedule(&same_instant).expect("laid out");
        assert_eq!(slots.iter().map(|slot| slot.id).collect::<Vec<_>>(), [two.id, one.id]);
        check(&[one, year(2, "2027-01-01")], &[("2026-01-01", "2027-01-01"), ("2027-01-01", "2028-01-01")]);
    }

    #[test]
    fn nothing_runs_behind_a_grant_without_end_or_start() {
        let target = Target::Course(course(A));
        let endless = grant(1, target, "2026-01-01", 0);
        let behind = grant(2, target, "2026-02-01", 30);
        check(&[endless.clone(), behind.clone()], &[("2026-01-01", "-"), ("-", "-")]);
        check(&[ended(endless, "2026-03-01"), behind], &[("2026-01-01", "-"), ("2026-02-01", "2026-03-03")]);
        // Two libraries bought at once: one start counts for both, one after the other.
        let both = [grant(1, library(1), "2026-01-01", 30), grant(2, library(1), "2026-01-02", 30)];
        check(&both, &[("-", "-"), ("-", "-")]);
        let standings: Vec<_> = schedule(&both).expect("laid out").iter().map(|slot| slot.standing(at("2026-01-02"))).collect();
        assert_eq!(standings, [Standing::NotStarted, Standing::Queued]);
        let [one, two] = both;
        check(&[started(one, "2026-02-01"), started(two, "2026-02-01")], &[("2026-02-01", "2026-03-03"), ("2026-03-03", "2026-04-02")]);
    }

    #[test]
    fn a_fixed_end_holds_wherever_the_grant_stands() {
        let target = Target::Course(course(A));
        let month = grant(1, target, "2026-01-01", 31);
        let fixed = |end| until(grant(2, target, "2026-01-15", 1), end);
        check(&[month.clone(), fixed("2026-06-30")], &[("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-06-30")]);
        check(&[month.clone(), fixed("2026-01-20")], &[("2026-01-01", "2026-02-01"), ("-", "2026-01-20")]);
        let behind = grant(3, target, "2026-01-16", 28);
        check(&[month, fixed("2026-01-20"), behind], &[("2026-01-01", "2026-02-01"), ("-", "2026-01-20"), ("2026-02-01", "2026-03-01")]);
    }

    #[test]
    fn standings_change_at_the_instant() {
        let target = Target::Course(course(A));
        let standing = |grants: &[Grant], place: usize, now: &str| schedule(grants).expect("laid out")[place].standing(at(now));
        let two = [grant(1, target, "2026-01-01", 31), grant(2, target, "2026-01-02", 28)];
        assert_eq!(standing(&two, 0, "2026-01-31T23:59:59Z"), Standing::Live);
        assert_eq!(standing(&two, 1, "2026-01-31T23:59:59Z"), Standing::Queued);
        assert_eq!(standing(&two, 0, "2026-02-01"), Standing::Expired);
        assert_eq!(standing(&two, 1, "2026-02-01"), Standing::Live);
        let out = [ended(grant(1, target, "2026-01-01", 31), "2026-01-10"), ended(grant(2, target, "2026-01-02", 0), "2026-01-10")];
        assert_eq!((standing(&out, 0, "2026-01-10"), standing(&out, 1, "2026-01-10")), (Standing::Ended, Standing::Ended));
        let late = [ended(grant(1, target, "2026-01-01", 31), "2026-02-10")];
        assert_eq!(standing(&late, 0, "2026-02-10"), Standing::Expired, "it was over before it was ended");
    }

    /// R59, R60: frozen at the first start, kept by a queued re-purchase, frozen anew after the end; titles stay.
    #[test]
    fn r59_r60_the_list_is_frozen_at_the_first_start() {
        let mut contents = Contents::from([(library(1), list(false, &[A, B]))]);
        let first = grant(1, library(1), "2026-01-01", 365);
        let holds = |grants: &[Grant], contents: &Contents, id: EntitlementId| {
            let holdings = Holdings::of(grants, contents).expect("laid out");
            holdings.list(id).expect("a library has a list").courses.iter().map(|listed| listed.title.clone()).collect::<Vec<_>>()
        };
        assert_eq!(holds(std::slice::from_ref(&first), &contents, first.id), ["Course A", "Course B"]);
        contents.insert(library(1), list(false, &[A, B, C]));
        assert_eq!(
            holds(std::slice::from_ref(&first), &contents, first.id),
            ["Course A", "Course B", "Course C"],
            "it follows the library until then"
        );

        let grants = [first];
        let starts =
            Holdings::of(&grants, &contents).expect("laid out").start(course(C), &nothing_passed(), at("2026-01-10")).expect("open");
        let [first] = grants;
        let [start] = starts.try_into().expect("one grant");
        assert_eq!((start.grant, start.first_started_at, &start.frozen), (first.id, at("2026-01-10"), &list(false, &[A, B, C])));
        let first = Grant { first_started_at: Some(start.first_started_at), frozen: Some(start.frozen), ..first };

        let mut changed = list(false, &[B]);
        changed.courses[0].title = "Renamed".to_owned();
        contents.insert(library(1), changed);
        assert_eq!(holds(std::slice::from_ref(&first), &contents, first.id), ["Course A", "Course B", "Course C"]);
        let queued = grant(2, library(1), "2026-12-20", 365);
        let grants = [first.clone(), queued.clone()];
        assert_eq!(holds(&grants, &contents, queued.id), ["Course A", "Course B", "Course C"]);
        let starts =
            Holdings::of(&grants, &contents).expect("laid out").start(course(A), &nothing_passed(), at("2027-02-01")).expect("open");
        assert_eq!(starts, [Started { grant: queued.id, first_started_at: at("2027-02-01"), frozen: list(false, &[A, B, C]) }]);

        let anew = grant(3, library(1), "2027-03-01", 365);
        assert_eq!(holds(&[first.clone(), anew.clone()], &contents, anew.id), ["Renamed"], "after the end it freezes anew");
        assert_eq!(holds(&[ended(first, "2026-12-28"), queued.clone()], &contents, queued.id), ["Renamed"], "nothing to queue behind");
    }

    /// R58: a course of an ordered list opens once the one before it is passed, for learners of that list.
    #[test]
    fn r58_courses_open_one_after_another() {
        let contents = Contents::from([(library(1), list(true, &[B, A, C])), (library(2), list(false, &[C]))]);
        let ordered = [grant(1, library(1), "2026-01-01", 365)];
        let holdings = Holdings::of(&ordered, &contents).expect("laid out");
        let now = at("2026-01-02");
        let open = |passed: &[u128]| {
            let passed = passed.iter().copied().map(course).collect();
            [B, A, C].map(|number| holdings.is_open(course(number), &passed, now))
        };
        assert_eq!(open(&[]), [true, false, false]);
        assert_eq!(open(&[B]), [true, true, false]);
        assert_eq!(open(&[B, A]), [true, true, true]);
        let explained = holdings.explain(course(A), &nothing_passed(), now);
        assert_eq!(
            (explained[0].why, explained[0].opens_after.as_ref().map(|before| before.course_id)),
            (Why::LockedByOrder, Some(course(B)))
        );
        let refused = holdings.start(course(A), &nothing_passed(), now).expect_err("locked");
        assert_eq!((refused.code(), refused.to_string().as_str()), (Code::CourseLocked, "this course opens once \"Course B\" is passed"));

        let both = [grant(1, library(1), "2026-01-01", 365), grant(2, library(2), "2026-01-01", 365)];
        let holdings = Holdings::of(&both, &contents).expect("laid out");
        assert!(holdings.is_open(course(C), &nothing_passed(), now), "the other library opens it");
    }

    #[test]
    fn groups_and_sessions_open_what_they_hold() {
        let (group, session) = (Target::new(TargetKind::Group, Uuid::from_u128(6)), Target::new(TargetKind::Session, Uuid::from_u128(7)));
        let contents = Contents::from([(group, list(false, &[A, B])), (session, list(false, &[C]))]);
        let grants =
            [grant(1, group, "2026-01-31", 1), grant(2, session, "2026-01-31", 0), grant(3, Target::Course(course(A)), "2026-01-31", 60)];
        let holdings = Holdings::of(&grants, &contents).expect("laid out");
        let open = |now: &str| [A, B, C].map(|number| holdings.is_open(course(number), &nothing_passed(), at(now)));
        assert_eq!(open("2026-02-27"), [true, true, true]);
        assert_eq!(open("2026-02-28"), [true, false, true]);
        assert_eq!(open("2026-04-01"), [false, false, true]);
        assert_eq!(holdings.courses(at("2026-02-28")), BTreeSet::from([course(A), course(C)]), "B was the group's");
        assert_eq!(holdings.start(course(A), &nothing_passed(), at("2026-02-01")), Ok(vec![]), "only libraries wait for a start");
    }

    #[test]
    fn starting_what_is_not_open_is_refused() {
        let contents = Contents::from([(library(1), list(false, &[A]))]);
        let refused = |grants: &[Grant], number| {
            let holdings = Holdings::of(grants, &contents).expect("laid out");
            holdings.start(course(number), &nothing_passed(), at("2027-06-01")).map_err(|refusal| refusal.code())
        };
        let over = started(grant(1, library(1), "2026-01-01", 365), "2026-01-01");
        assert_eq!(refused(&[], A), Err(Code::PaymentRequired));
        assert_eq!(refused(std::slice::from_ref(&over), B), Err(Code::PaymentRequired));
        assert_eq!(refused(std::slice::from_ref(&over), A), Err(Code::EntitlementEnded));
        assert_eq!(refused(&[ended(grant(1, library(1), "2027-01-01", 365), "2027-02-01")], A), Err(Code::EntitlementEnded));
    }

    #[test]
    fn the_latest_result_counts_and_a_pass_stays() {
        use EnrollmentStatus::{Completed, Failed, NotStarted, Passed, Started};
        let after = |results: &[LearningResult]| results.iter().fold(NotStarted.start(), |status, result| status.record(*result));
        assert_eq!(after(&[]), Started);
        assert_eq!(after(&[LearningResult::Failed]), Failed);
        assert_eq!(after(&[LearningResult::Failed, LearningResult::Completed]), Completed);
        assert_eq!(after(&[LearningResult::Completed, LearningResult::Failed]), Failed);
        assert_eq!(after(&[LearningResult::Failed, LearningResult::Passed]), Passed);
        assert_eq!(after(&[LearningResult::Passed, LearningResult::Failed, LearningResult::Completed]), Passed);
        assert_eq!(NotStarted.record(LearningResult::Passed), Passed, "an exam on paper");
        assert_eq!([Started, Completed, Passed, Failed].map(EnrollmentStatus::start), [Started, Completed, Passed, Failed]);
    }

    #[test]
    fn frozen_lists_are_kept_as_json() {
        let frozen = list(true, &[A, B]);
        let json = serde_json::to_value(&frozen).expect("json");
        assert_eq!(json["courses"][1]["title"], "Course B");
        assert_eq!(serde_json::from_value::<CourseList>(json).expect("reads back"), frozen);
    }

    fn grants() -> impl Strategy<Value = Vec<Grant>> {
        let one = (0_i64..800, 1_i64..400, prop::option::weighted(0.2, 0_i64..1000));
        prop::collection::vec(one, 1..7).prop_map(|given| {
            let day = |days: i64| at("2026-01-01") + TimeDelta::days(days);
            let one = |(number, (granted, days, out)): (u128, (i64, i64, Option<i64>))| Grant {
                granted_at: day(granted),
                ended_at: out.map(|after| day(granted + after)),
                ..grant(number, Target::Course(course(A)), "2026-01-01", days)
            };
            (1..).zip(given).map(one).collect()
        })
    }

    proptest! {
        /// No paid time is swallowed: each grant has its whole length, not before it was given, and those not ended never overlap.
        #[test]
        fn queued_grants_keep_their_whole_length_and_never_overlap(grants in grants()) {
            let slots = schedule(&grants).expect("laid out");
            let mut over = None;
            for slot in slots {
                let grant = grants.iter().find(|grant| grant.id == slot.id).expect("one of them");
                let (start, end) = (slot.starts_at.expect("runs"), slot.ends_at.expect("ends"));
                prop_assert_eq!(end - start, TimeDelta::days(i64::from(grant.terms.value.expect("days"))));
                prop_assert!(start >= grant.granted_at);
                prop_assert!(over.is_none_or(|over| over <= start));
                if grant.ended_at.is_none() || grant.ended_at >= Some(end) {
                    over = Some(end);
                }
            }
        }

        /// Ending a grant moves those behind it up, or leaves them where they are.
        #[test]
        fn ending_one_grant_never_delays_another(grants in grants(), which in any::<prop::sample::Index>()) {
            let mut grants: Vec<_> = grants.into_iter().map(|grant| Grant { ended_at: None, ..grant }).collect();
            let before = schedule(&grants).expect("laid out");
            let which = which.index(grants.len());
            grants[which].ended_at = Some(grants[which].granted_at);
            let ended = grants[which].id;
            let after = schedule(&grants).expect("laid out");
            for (before, after) in before.iter().zip(&after).filter(|(before, _)| before.id != ended) {
                prop_assert_eq!(before.id, after.id);
                prop_assert!(after.starts_at <= before.starts_at);
            }
        }

        #[test]
        fn the_order_of_rows_does_not_matter((grants, shuffled) in grants().prop_flat_map(|grants| (Just(grants.clone()), Just(grants).prop_shuffle()))) {
            prop_assert_eq!(schedule(&grants), schedule(&shuffled));
        }
    }
}
