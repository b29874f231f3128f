//! What learners may open and how far they got.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::entitlement::{OpenUntil, Standing, Target};
use domain::{AccountId, CourseId, EnrollmentId, EntitlementId, OrderId};

use super::connection::{List, connection, wants_total};
use super::error::{UserError, answer, outcome, payload, scope};
use super::loader::{ResultsOf, StandingOf, loaders};
use super::offer::AccessTerms;
use super::resource::ResourceAccess;
use super::scalar::{Decimal, input_id, named_enum};
use crate::app::caller::Topic;
use crate::app::learning as app;
use crate::error::{Code, Error, Result};
use crate::page::{ListName, Page, PageArgs};

named_enum! {
    /// What kind of thing a grant is to.
    EntitlementTargetKind(domain::entitlement::TargetKind)
}

named_enum! {
    /// What kind of thing gave a grant.
    EntitlementSourceKind(domain::entitlement::SourceKind)
}

named_enum! {
    /// What a grant does for a course.
    AccessReason(domain::entitlement::Why)
}

named_enum! {
    /// How far a learner got in a course.
    EnrollmentStatus(domain::entitlement::EnrollmentStatus)
}

named_enum! {
    /// A result of a learner in a course.
    EnrollmentResult(domain::entitlement::LearningResult)
}

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum EntitlementStatus {
    /// It runs.
    Live,
    /// It opens everything; its time starts with the first start.
    NotStarted,
    /// It runs after another grant to the same.
    Queued,
    /// Its time is over.
    Expired,
    /// It was ended before its time.
    Ended,
}

impl From<Standing> for EntitlementStatus {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Live => Self::Live,
            Standing::NotStarted => Self::NotStarted,
            Standing::Queued => Self::Queued,
            Standing::Expired => Self::Expired,
            Standing::Ended => Self::Ended,
        }
    }
}

/// How the end of an access is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum AccessEnd {
    /// It is not open.
    NotOpen,
    /// It is open until a known instant.
    At,
    /// Its end follows from the first start.
    SetAtStart,
    /// It has no end.
    Endless,
}

const fn end(until: OpenUntil) -> (AccessEnd, Option<DateTime<Utc>>) {
    match until {
        OpenUntil::NotOpen => (AccessEnd::NotOpen, None),
        OpenUntil::At(end) => (AccessEnd::At, Some(end)),
        OpenUntil::SetAtStart => (AccessEnd::SetAtStart, None),
        OpenUntil::Endless => (AccessEnd::Endless, None),
    }
}

/// What a grant is to: a course, a library, a group or a session.
#[derive(Debug, Clone, SimpleObject)]
pub struct EntitlementTarget {
    /// What kind of thing it is.
    pub kind: EntitlementTargetKind,
    /// Its id.
    pub id: ID,
    /// Its title.
    pub title: String,
}

impl EntitlementTarget {
    fn of(target: Target, title: String) -> Self {
        let id = match target {
            Target::Course(id) => id.into(),
            Target::Library(id) => id.into(),
            Target::Group(id) => id.into(),
            Target::Session(id) => id.into(),
            Target::Resource(id) => id.into(),
        };
        Self { kind: target.kind().into(), id, title }
    }
}

/// A course of a grant, under the title that is fixed for the learner.
#[derive(Debug, Clone, SimpleObject)]
pub struct EntitlementCourse {
    /// The course.
    pub id: ID,
    /// Its title.
    pub title: String,
    /// Its place, from 1.
    pub position: u32,
    /// Whether this grant opens it now.
    pub open: bool,
}

/// A grant: the right that one order line, token or other source gave to one learner.
#[derive(Debug, Clone)]
pub struct Entitlement(pub app::EntitlementView);

impl From<app::EntitlementView> for Entitlement {
    fn from(view: app::EntitlementView) -> Self {
        Self(view)
    }
}

impl Entitlement {
    const fn grant(&self) -> &domain::entitlement::Grant {
        &self.0.entitlement.grant
    }
}

#[Object]
impl Entitlement {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.grant().id.into()
    }

    /// The learner.
    async fn account_id(&self) -> ID {
        self.grant().account.into()
    }

    /// What it is to.
    async fn target(&self) -> EntitlementTarget {
        EntitlementTarget::of(self.grant().target, self.0.title.clone())
    }

    /// What kind of thing gave it.
    async fn source(&self) -> EntitlementSourceKind {
        self.grant().source.kind.into()
    }

    /// The order behind it, if there is one.
    async fn order_id(&self) -> Option<ID> {
        self.0.entitlement.order.map(OrderId::into)
    }

    /// Where it stands now.
    async fn status(&self) -> EntitlementStatus {
        self.0.standing.into()
    }

    /// When it was given.
    async fn granted_at(&self) -> DateTime<Utc> {
        self.grant().granted_at
    }

    /// From when it runs or ran; null while that is not known, and for one that was ended before its turn came.
    async fn starts_at(&self) -> Option<DateTime<Utc>> {
        self.0.entitlement.starts_at
    }

    /// Until when, exclusive; null for a grant without end, and while the end is not known.
    async fn ends_at(&self) -> Option<DateTime<Utc>> {
        self.0.entitlement.ends_at
    }

    /// The first start of one of its courses since it was given; for libraries.
    async fn first_started_at(&self) -> Option<DateTime<Utc>> {
        self.grant().first_started_at
    }

    /// How long it lasts, as it was when it was given.
    async fn terms(&self) -> AccessTerms {
        self.grant().terms.into()
    }

    /// When it was ended before its time.
    async fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.grant().ended_at
    }

    /// Why it was ended.
    async fn ended_reason(&self) -> Option<&str> {
        self.0.entitlement.ended_reason.as_deref()
    }

    /// Why it was given, for grants by hand.
    async fn reason(&self) -> Option<&str> {
        self.0.entitlement.reason.as_deref()
    }

    /// Whether it was kept on purpose when its price was refunded.
    async fn kept(&self) -> bool {
        self.0.entitlement.kept
    }

    /// Whether its courses are fixed for this learner; before the first start a library grant follows the library.
    async fn frozen(&self) -> bool {
        self.grant().frozen.is_some()
    }

    /// The courses that it holds, in order.
    async fn courses(&self) -> Vec<EntitlementCourse> {
        let course = |(place, (listed, open)): (u32, &(domain::entitlement::ListedCourse, bool))| EntitlementCourse {
            id: listed.course_id.into(),
            title: listed.title.clone(),
            position: place,
            open: *open,
        };
        (1..).zip(&self.0.courses).map(course).collect()
    }
}

/// A result that was recorded.
#[derive(Debug, Clone, SimpleObject)]
pub struct EnrollmentResultEntry {
    /// The result.
    pub result: EnrollmentResult,
    /// The score, as it was given.
    pub score: Option<Decimal>,
    /// In which registration for the course, from 1.
    pub registration: i32,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Who recorded it.
    pub actor: String,
}

/// A learner's place in one course: there is one for each learner and course, whatever gave access to it.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Enrollment {
    #[graphql(skip)]
    key: EnrollmentId,
    /// The learner.
    pub account_id: ID,
    /// The course.
    pub course_id: ID,
    /// The title that the learner started with.
    pub title: String,
    /// How far the learner got.
    pub status: EnrollmentStatus,
    /// When the learner first started the course, in this registration.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was first passed, in whichever registration.
    pub passed_at: Option<DateTime<Utc>>,
    /// Which registration this is, from 1: a company can let its learners register again once there is a result.
    pub registration: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
}

impl From<app::Enrollment> for Enrollment {
    fn from(found: app::Enrollment) -> Self {
        Self {
            key: found.id,
            account_id: found.account.into(),
            course_id: found.course.into(),
            title: found.title,
            status: found.status.into(),
            started_at: found.started_at,
            passed_at: found.passed_at,
            registration: found.registration,
            created_at: found.created_at,
            touched_at: found.touched_at,
        }
    }
}

#[ComplexObject]
impl Enrollment {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.key.into()
    }

    /// Every result that was recorded, the oldest first.
    async fn results(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<EnrollmentResultEntry>> {
        let rows: Vec<app::ResultRow> = loaders(ctx)?.list(ResultsOf(self.key)).await?;
        Ok(rows
            .into_iter()
            .map(|row| EnrollmentResultEntry {
                result: row.result.into(),
                score: row.score.map(Decimal),
                registration: row.registration,
                recorded_at: row.recorded_at,
                actor: row.actor,
            })
            .collect())
    }
}

/// A course that is open to a learner now.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct OpenCourse {
    #[graphql(skip)]
    key: CourseId,
    /// The course.
    pub id: ID,
    /// Its title: the one that is fixed for the learner, else today's.
    pub title: String,
    /// Until when it is open, exclusive; null if that is not known yet or there is no end, see `end`.
    pub until: Option<DateTime<Utc>>,
    /// How the end is known.
    pub end: AccessEnd,
    /// How far the learner got.
    pub status: EnrollmentStatus,
    /// When the learner first started it.
    pub started_at: Option<DateTime<Utc>>,
    /// The learner's place in it; null for a course of a library or group that the learner has not started.
    pub enrollment: Option<Enrollment>,
    /// The grants that open it; none where the learner is in a group by its rule.
    pub entitlement_ids: Vec<ID>,
}

impl From<app::OpenCourse> for OpenCourse {
    fn from(open: app::OpenCourse) -> Self {
        let (end, until) = end(open.until);
        let status = open.enrollment.as_ref().map_or(domain::entitlement::EnrollmentStatus::NotStarted, |enrollment| enrollment.status);
        Self {
            key: open.course,
            id: open.course.into(),
            title: open.title,
            until,
            end,
            status: status.into(),
            started_at: open.enrollment.as_ref().and_then(|enrollment| enrollment.started_at),
            enrollment: open.enrollment.map(Enrollment::from),
            entitlement_ids: open.entitlements.into_iter().map(ID::from).collect(),
        }
    }
}

#[ComplexObject]
impl OpenCourse {
    /// Its resources in their order, and which of them you may open now.
    async fn resources(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ResourceAccess>> {
        let account = answer(scope(ctx)?.1.require_account())?;
        Ok(loaders(ctx)?.list(StandingOf((account, self.key))).await?.into_iter().map(ResourceAccess::from).collect())
    }
}

/// What one grant says about a course.
#[derive(Debug, Clone, SimpleObject)]
pub struct AccessGrant {
    /// The grant; null where the learner is in a group by its rule.
    pub entitlement_id: Option<ID>,
    /// What it is to.
    pub target: EntitlementTarget,
    /// What kind of thing gave it.
    pub source: Option<EntitlementSourceKind>,
    /// The order behind it, if there is one.
    pub order_id: Option<ID>,
    /// From when it runs; null while that is not known.
    pub since: Option<DateTime<Utc>>,
    /// Until when, exclusive; null for a grant without end, and while the end is not known.
    pub until: Option<DateTime<Utc>>,
    /// What it does for the course now.
    pub why: AccessReason,
    /// Whether it opens the course now.
    pub opens: bool,
    /// The course that has to be passed first, where that is why.
    pub opens_after: Option<EntitlementCourseRef>,
}

/// A course by its id and title.
#[derive(Debug, Clone, SimpleObject)]
pub struct EntitlementCourseRef {
    /// The course.
    pub id: ID,
    /// Its title.
    pub title: String,
}

/// Why a course is open for a learner, or is not.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct AccessExplanation {
    #[graphql(skip)]
    key: (AccountId, CourseId),
    /// The learner.
    pub account_id: ID,
    /// The course.
    pub course_id: ID,
    /// Its title: the one that is fixed for the learner, else today's.
    pub title: String,
    /// Whether it is open now.
    pub open: bool,
    /// Until when it is open, exclusive, queued grants that follow without a gap included; see `end`.
    pub until: Option<DateTime<Utc>>,
    /// How the end is known.
    pub end: AccessEnd,
    /// What each grant that holds the course says, in order of granting.
    pub grants: Vec<AccessGrant>,
    /// The learner's place in it, if there is one yet.
    pub enrollment: Option<Enrollment>,
}

impl From<app::AccessView> for AccessExplanation {
    fn from(view: app::AccessView) -> Self {
        let (end, until) = end(view.until);
        let grants = view.grants.into_iter().map(|found| {
            let (explanation, held) = (found.explanation, found.entitlement);
            AccessGrant {
                entitlement_id: held.as_ref().map(|held| held.id().into()),
                target: EntitlementTarget::of(explanation.target, found.title),
                source: held.as_ref().map(|held| held.grant.source.kind.into()),
                order_id: held.and_then(|held| held.order).map(OrderId::into),
                since: explanation.since,
                until: explanation.until,
                why: explanation.why.into(),
                opens: explanation.why.opens(),
                opens_after: explanation
                    .opens_after
                    .map(|before| EntitlementCourseRef { id: before.course_id.into(), title: before.title }),
            }
        });
        Self {
            key: (view.account, view.course),
            account_id: view.account.into(),
            course_id: view.course.into(),
            title: view.title,
            open: end != AccessEnd::NotOpen,
            until,
            end,
            grants: grants.collect(),
            enrollment: view.enrollment.map(Enrollment::from),
        }
    }
}

#[ComplexObject]
impl AccessExplanation {
    /// Its resources in their order, and which of them the learner may open now.
    async fn resources(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ResourceAccess>> {
        Ok(loaders(ctx)?.list(StandingOf(self.key)).await?.into_iter().map(ResourceAccess::from).collect())
    }
}

/// What `me` says of learning.
pub struct MeLearning;

#[Object]
impl MeLearning {
    /// The courses that are open to me now, unstarted ones from the grant on.
    async fn courses(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<OpenCourse>> {
        my_courses(ctx, first, after).await
    }

    /// Everything that was ever granted to me.
    async fn entitlements(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<Entitlement>> {
        my_entitlements(ctx, first, after).await
    }
}

/// The courses that are open to the caller now: a field of `me`.
///
/// # Errors
/// Paging arguments that are none; nobody is signed in.
async fn my_courses(ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<OpenCourse>> {
    let (app, caller) = scope(ctx)?;
    let list = answer(ListName::new("me.courses", &caller.actor()))?;
    let args: PageArgs<CourseId> = answer(list.args(first, after.as_deref()))?;
    let open = answer(app.me_courses(caller).await)?;
    let page = slice(open, &args, |open| open.course, wants_total(ctx));
    answer(connection(&list, page, |open| open.course, OpenCourse::from))
}

/// The grants that the caller has or had: a field of `me`.
///
/// # Errors
/// Paging arguments that are none; nobody is signed in.
async fn my_entitlements(ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<Entitlement>> {
    let (app, caller) = scope(ctx)?;
    let list = answer(ListName::new("me.entitlements", &caller.actor()))?;
    let args: PageArgs<EntitlementId> = answer(list.args(first, after.as_deref()))?;
    let held = answer(app.me_entitlements(caller).await)?;
    let page = slice(held, &args, |view| view.entitlement.id(), wants_total(ctx));
    answer(connection(&list, page, |view| view.entitlement.id(), Entitlement::from))
}

/// A page of a list that is computed as a whole, after the row with the cursor's id; from the start if that row is gone.
fn slice<T, K: PartialEq>(rows: Vec<T>, args: &PageArgs<K>, id: impl Fn(&T) -> K, with_total: bool) -> Page<T> {
    let total = with_total.then(|| i64::try_from(rows.len()).unwrap_or(i64::MAX));
    let after = args.after.as_ref().and_then(|after| rows.iter().position(|row| id(row) == *after)).map_or(0, |place| place + 1);
    Page::cut(rows.into_iter().skip(after).collect(), args, total)
}

/// Queries about access.
#[derive(Debug, Default)]
pub struct LearningQuery;

#[Object]
impl LearningQuery {
    /// Why a course is open for a learner, or is not: what each grant that holds it says. For the learner, operators, and managers of the
    /// learner's company; null for ids of nothing that you may see.
    async fn access_explain(
        &self,
        ctx: &Context<'_>,
        course_id: ID,
        #[graphql(desc = "The learner; you unless given.")] account_id: Option<ID>,
    ) -> async_graphql::Result<Option<AccessExplanation>> {
        let (app, caller) = scope(ctx)?;
        let account = account_id.map(|id| AccountId::parse(&id));
        let (Some(course), false) = (CourseId::parse(&course_id), account == Some(None)) else { return Ok(None) };
        Ok(answer(app.access_explain(caller, course, account.flatten()).await)?.map(AccessExplanation::from))
    }
}

/// Which course is started, and by whom.
#[derive(Debug, InputObject)]
pub struct EnrollmentStartInput {
    /// The course.
    course_id: ID,
    /// The learner; you unless given. Operators and programs start courses for others.
    account_id: Option<ID>,
}

/// What to buy to open a course.
#[derive(Debug, Clone, SimpleObject)]
pub struct OfferLink {
    /// SKU of the offer.
    pub sku: String,
    /// Its title.
    pub title: String,
    /// Where it is bought.
    pub url: String,
}

/// What became of it.
#[derive(Debug, SimpleObject)]
pub struct EnrollmentStartPayload {
    /// The learner's place in the course.
    pub enrollment: Option<Enrollment>,
    /// With PAYMENT_REQUIRED: what opens the course, if something on sale does.
    pub offer: Option<OfferLink>,
    /// Why the call was refused; empty when it was done.
    pub user_errors: Vec<UserError>,
}

impl EnrollmentStartPayload {
    fn of(result: Result<app::Enrollment, app::NotDone>) -> async_graphql::Result<Self> {
        let (result, remedy) = match result {
            Ok(enrollment) => (Ok(enrollment), None),
            Err(not) => (Err(not.error), not.remedy),
        };
        Ok(match outcome(result)? {
            Ok(enrollment) => Self { enrollment: Some(enrollment.into()), offer: None, user_errors: Vec::new() },
            Err(user_errors) => Self { enrollment: None, offer: remedy.map(OfferLink::from), user_errors },
        })
    }
}

impl From<app::Remedy> for OfferLink {
    fn from(remedy: app::Remedy) -> Self {
        Self { sku: remedy.sku, title: remedy.title, url: remedy.url }
    }
}

/// Which course is registered for again, and for whom.
#[derive(Debug, InputObject)]
pub struct EnrollmentReregisterInput {
    /// The course.
    course_id: ID,
    /// The learner; you unless given. Operators, programs and managers of the learner's company do it for others.
    account_id: Option<ID>,
}

/// A result to be recorded. Name the enrollment, or the learner and the course.
#[derive(Debug, InputObject)]
pub struct EnrollmentResultRecordInput {
    /// The enrollment.
    enrollment_id: Option<ID>,
    /// The learner.
    account_id: Option<ID>,
    /// The course.
    course_id: Option<ID>,
    /// The result. PASSED stays, whatever is recorded after it.
    result: EnrollmentResult,
    /// The score, a decimal number.
    score: Option<Decimal>,
}

payload! {
    /// What became of it.
    EnrollmentResultRecordPayload {
        /// The learner's place in the course.
        enrollment: Enrollment
    }
}

/// Which grant ends, and why.
#[derive(Debug, InputObject)]
pub struct EntitlementEndInput {
    /// The grant.
    entitlement_id: ID,
    /// Why; it is kept in the books.
    reason: String,
}

payload! {
    /// What became of it.
    EntitlementEndPayload {
        /// The grant.
        entitlement: Entitlement
    }
}

/// Mutations of access and progress.
#[derive(Debug, Default)]
pub struct LearningMutation;

#[Object]
impl LearningMutation {
    /// Starts a course. The first start of a course of a library fixes the library's courses, their titles and order for the learner, and sets
    /// the end. Sent again, it changes nothing. PAYMENT_REQUIRED names an offer that opens the course.
    async fn enrollment_start(&self, ctx: &Context<'_>, input: EnrollmentStartInput) -> async_graphql::Result<EnrollmentStartPayload> {
        let (app, caller) = scope(ctx)?;
        let result: Result<_, app::NotDone> = async {
            caller.require_sign_in()?;
            let course = input_id(&input.course_id, "courseId", "course")?;
            let account = input.account_id.map(|id| input_id(&id, "accountId", "learner")).transpose()?;
            app.enrollment_start(caller, course, account).await
        }
        .await;
        EnrollmentStartPayload::of(result)
    }

    /// Registers for a course again once it has a result, where a company of the learner allows it (`reregistrationDays`). Progress begins anew in
    /// the one enrollment of learner and course; its history stays, and what was passed stays passed.
    async fn enrollment_reregister(
        &self,
        ctx: &Context<'_>,
        input: EnrollmentReregisterInput,
    ) -> async_graphql::Result<EnrollmentStartPayload> {
        let (app, caller) = scope(ctx)?;
        let result: Result<_, app::NotDone> = async {
            caller.require_sign_in()?;
            let course = input_id(&input.course_id, "courseId", "course")?;
            let account = input.account_id.map(|id| input_id(&id, "accountId", "learner")).transpose()?;
            app.enrollment_reregister(caller, course, account).await
        }
        .await;
        EnrollmentStartPayload::of(result)
    }

    /// Records a result of a learner. For operators, programs, and managers of the learner's company; never the learner.
    async fn enrollment_result_record(
        &self,
        ctx: &Context<'_>,
        input: EnrollmentResultRecordInput,
    ) -> async_graphql::Result<EnrollmentResultRecordPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            app::may_record_results(caller)?;
            let place = match (input.enrollment_id, input.account_id, input.course_id) {
                (Some(id), None, None) => input_id(&id, "enrollmentId", "enrollment").map(app::Place::Enrollment),
                (None, Some(account), Some(course)) => input_id(&account, "accountId", "learner")
                    .and_then(|account| Ok(app::Place::Of(account, input_id(&course, "courseId", "course")?))),
                _ => Err(Error::refused(
                    Code::Required,
                    ["enrollmentId"],
                    "Name either the enrollment, or the learner and the course: enrollmentId, or accountId and courseId.",
                )),
            };
            let cmd = app::ResultRecord { place: place?, result: input.result.0, score: input.score.map(|score| score.0) };
            app.enrollment_result_record(caller, cmd).await
        };
        EnrollmentResultRecordPayload::of(result.await)
    }

    /// Ends a grant before its time; grants that queue behind it move up, others stay as they are. For operators and programs.
    async fn entitlement_end(&self, ctx: &Context<'_>, input: EntitlementEndInput) -> async_graphql::Result<EntitlementEndPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Learning.write())?;
            let id = input_id(&input.entitlement_id, "entitlementId", "entitlement")?;
            app.entitlement_end(caller, id, &input.reason).await
        };
        EntitlementEndPayload::of(result.await)
    }
}
