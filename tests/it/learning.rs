//! Access: when each grant runs, what is fixed at the first start, what a refund ends, who may see and record what, and what reading it costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bursar::app::caller::{Caller, Who};
use bursar::app::entropy::{next_id, next_uuid};
use bursar::app::grant::NewGrant;
use bursar::app::learning::OpenCourse;
use bursar::store::STATEMENTS;
use chrono::{DateTime, Utc};
use domain::catalog::ProductKind;
use domain::entitlement::{OpenUntil, Source, SourceKind, Target};
use domain::terms::Terms;
use domain::{AccountId, CourseId, EntitlementId, GroupId, LibraryId};
use entity::{account, entitlement, person};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};

use crate::util::{TestApp, at};

/// A shop with courses and learners.
struct School(TestApp);

impl School {
    async fn new() -> Self {
        Self(TestApp::new().await)
    }

    /// A learner, and the caller that is signed in as it.
    async fn learner(&self) -> (AccountId, Caller) {
        let (id, now) = (next_id(), self.0.app.now());
        let person = next_uuid();
        let db = self.0.app.db.write();
        let row = person::ActiveModel {
            id: Set(person),
            email: Set(Some(format!("{id}@example.org"))),
            email_hash: Set(id.to_string()),
            name: Set(Some("A learner".to_owned())),
            address: Set(None),
            created_at: Set(now),
            erased_at: Set(None),
        };
        person::Entity::insert(row).exec_without_returning(db).await.expect("a person");
        let row = account::ActiveModel {
            id: Set(AccountId::uuid(id)),
            person_id: Set(person),
            email_hash: Set(id.to_string()),
            email_domain: Set("example.org".to_owned()),
            email_verified_at: Set(Some(now)),
            password_hash: Set(None),
            operator_scopes: Set(None),
            sessions_valid_from: Set(now),
            created_at: Set(now),
            touched_at: Set(now),
        };
        account::Entity::insert(row).exec_without_returning(db).await.expect("an account");
        (id, Caller { who: Who::Account { id, operator: None, manages: Vec::new() }, ..Caller::guest() })
    }

    async fn act(&self, mutation: &str, input: Value, fields: &str) -> Value {
        self.act_as(&self.0.operator(), mutation, input, fields).await
    }

    async fn act_as(&self, caller: &Caller, mutation: &str, input: Value, fields: &str) -> Value {
        self.0.ok(caller, &document(mutation, fields), json!({ "input": input })).await[mutation].clone()
    }

    async fn refused(&self, caller: &Caller, mutation: &str, input: Value) -> Vec<(String, String)> {
        self.0.refused(caller, &document(mutation, ""), json!({ "input": input })).await
    }

    async fn course(&self, title: &str) -> CourseId {
        let made = self.act("courseCreate", json!({ "title": title }), "course { id }").await;
        CourseId::parse(made["course"]["id"].as_str().expect("an id")).expect("a course's id")
    }

    async fn library(&self, sku: &str, ordered: bool, courses: &[CourseId]) -> LibraryId {
        let input = json!({
            "title": format!("Library {sku}"), "sku": sku, "accessDays": 365, "ordered": ordered, "courseIds": courses,
            "prices": [{ "amount": "10.00", "currency": "USD" }],
        });
        let made = self.act("libraryCreate", input, "library { id }").await;
        LibraryId::parse(made["library"]["id"].as_str().expect("an id")).expect("a library's id")
    }

    async fn set_courses(&self, library: LibraryId, courses: &[CourseId]) {
        self.act("libraryCoursesSet", json!({ "libraryId": library, "courseIds": courses }), "library { id }").await;
    }

    /// Gives a grant as a paid order line would.
    async fn give(&self, account: AccountId, target: Target, terms: Terms) -> EntitlementId {
        let (id, new) = self.give_from(account, target, terms, next_uuid()).await;
        assert!(new, "a source of its own gives a new grant");
        id
    }

    async fn give_from(&self, account: AccountId, target: Target, terms: Terms, line: uuid::Uuid) -> (EntitlementId, bool) {
        let app = &self.0.app;
        let txn = app.db.begin().await.expect("a transaction");
        let source = Source { kind: SourceKind::OrderLine, id: line };
        let grant = NewGrant { account, target, source, order: None, actor: "system".to_owned(), reason: None, terms, now: app.now() };
        let new = app.grant(&txn, grant).await.expect("granted");
        txn.commit().await.expect("committed");
        let row = entitlement::Entity::find()
            .filter(entitlement::Column::SourceId.eq(line))
            .filter(entitlement::Column::AccountId.eq(account.uuid()))
            .one(app.db.read())
            .await;
        (row.expect("the rows are read").expect("the grant is in the books").id.into(), new)
    }

    async fn buy(&self, account: AccountId, library: LibraryId, when: &str) -> EntitlementId {
        self.0.set_time(when);
        self.give(account, Target::Library(library), days(365)).await
    }

    async fn start(&self, caller: &Caller, course: CourseId, when: &str) -> Value {
        self.0.set_time(when);
        let fields = "enrollment { id title status startedAt }";
        self.act_as(caller, "enrollmentStart", json!({ "courseId": course }), fields).await["enrollment"].clone()
    }

    async fn pass(&self, account: AccountId, course: CourseId, result: &str) -> Value {
        let input = json!({ "accountId": account, "courseId": course, "result": result });
        self.act("enrollmentResultRecord", input, "enrollment { id status results { result score recordedAt } }").await["enrollment"]
            .clone()
    }

    async fn end(&self, entitlement: EntitlementId) {
        let input = json!({ "entitlementId": entitlement, "reason": "refunded" });
        self.act("entitlementEnd", input, "entitlement { id }").await;
    }

    async fn row(&self, entitlement: EntitlementId) -> entitlement::Model {
        let found = entitlement::Entity::find_by_id(entitlement.uuid()).one(self.0.app.db.read()).await;
        found.expect("the row is read").expect("it is there")
    }

    async fn ends_at(&self, entitlement: EntitlementId) -> Option<DateTime<Utc>> {
        self.row(entitlement).await.ends_at
    }

    async fn open(&self, caller: &Caller) -> Vec<OpenCourse> {
        self.0.app.me_courses(caller).await.expect("the courses")
    }

    async fn titles(&self, caller: &Caller) -> Vec<String> {
        self.open(caller).await.into_iter().map(|course| course.title).collect()
    }

    async fn until(&self, caller: &Caller, course: CourseId) -> OpenUntil {
        let view = self.0.app.access_explain(caller, course, None).await.expect("explained").expect("their own");
        view.until
    }

    async fn enrollments(&self, account: AccountId) -> u64 {
        let rows = entity::enrollment::Entity::find().filter(entity::enrollment::Column::AccountId.eq(account.uuid()));
        rows.count(self.0.app.db.read()).await.expect("counted")
    }
}

fn document(mutation: &str, fields: &str) -> String {
    let input = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
    format!("mutation($input: {input}!) {{ {mutation}(input: $input) {{ {fields} userErrors {{ code field message }} }} }}")
}

fn days(days: i64) -> Terms {
    Terms::of_kind(ProductKind::Library, Some(days), None).expect("terms")
}

fn refusal(code: &str, field: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), field.to_owned())]
}

/// C27 (a), R48: bought again before the end, the second year follows the first: 2028-01-10, not 2027-12-20. The second purchase refunded, the
/// end is 2027-01-10 again. The same source told twice gives nothing more.
#[tokio::test]
async fn c27_r48_buying_again_before_the_end_adds_the_whole_time() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let course = school.course("Anvil").await;
    let library = school.library("L", false, &[course]).await;
    let first = school.buy(account, library, "2026-01-05T00:00:00Z").await;
    assert_eq!(school.until(&learner, course).await, OpenUntil::SetAtStart);
    school.start(&learner, course, "2026-01-10T00:00:00Z").await;
    assert_eq!(school.ends_at(first).await, Some(at("2027-01-10T00:00:00Z")));

    school.0.set_time("2026-12-20T00:00:00Z");
    let line = next_uuid();
    let (second, new) = school.give_from(account, Target::Library(library), days(365), line).await;
    assert!(new);
    assert_eq!(school.give_from(account, Target::Library(library), days(365), line).await, (second, false), "the same event again");
    assert_eq!(
        (school.row(second).await.starts_at, school.ends_at(second).await),
        (Some(at("2027-01-10T00:00:00Z")), Some(at("2028-01-10T00:00:00Z")))
    );
    assert_eq!(school.until(&learner, course).await, OpenUntil::At(at("2028-01-10T00:00:00Z")));
    assert_eq!(school.enrollments(account).await, 1);

    school.end(second).await;
    assert_eq!(school.until(&learner, course).await, OpenUntil::At(at("2027-01-10T00:00:00Z")));
    assert_eq!(school.ends_at(first).await, Some(at("2027-01-10T00:00:00Z")), "the first one is not touched");
    school.0.set_time("2027-01-10T00:00:00Z");
    assert!(school.open(&learner).await.is_empty(), "over by the clock alone");
}

/// C27: the first of two refunded, the second one moves up and keeps its whole time: 365 days from its own grant's first start.
#[tokio::test]
async fn c27_ending_the_first_of_two_moves_the_second_up() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let course = school.course("Anvil").await;
    let library = school.library("L", false, &[course]).await;
    let first = school.buy(account, library, "2026-01-01T00:00:00Z").await;
    school.start(&learner, course, "2026-01-10T00:00:00Z").await;
    let second = school.buy(account, library, "2026-02-01T00:00:00Z").await;
    assert_eq!(school.ends_at(second).await, Some(at("2028-01-10T00:00:00Z")));
    school.0.set_time("2026-03-01T00:00:00Z");
    school.end(first).await;
    assert_eq!(school.until(&learner, course).await, OpenUntil::SetAtStart, "its own clock waits for its first start");
    school.start(&learner, course, "2026-03-02T00:00:00Z").await;
    assert_eq!(school.ends_at(second).await, Some(at("2027-03-02T00:00:00Z")));
}

/// C27 (b): bought after the end and started 2027-02-01, it runs 365 days from then: 2028-02-01. One enrollment, progress kept, the list frozen
/// anew.
#[tokio::test]
async fn c27_r59_buying_again_after_the_end_starts_anew() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let (a, b) = (school.course("A").await, school.course("B").await);
    let library = school.library("L", false, &[a]).await;
    school.buy(account, library, "2026-01-01T00:00:00Z").await;
    let one = school.start(&learner, a, "2026-01-10T00:00:00Z").await;
    school.pass(account, a, "PASSED").await;
    school.set_courses(library, &[a, b]).await;

    let second = school.buy(account, library, "2027-01-20T00:00:00Z").await;
    let two = school.start(&learner, a, "2027-02-01T00:00:00Z").await;
    assert_eq!(school.ends_at(second).await, Some(at("2028-02-01T00:00:00Z")));
    assert_eq!((&one["id"], &two["status"]), (&two["id"], &json!("PASSED")), "one enrollment, progress kept");
    assert_eq!(two["startedAt"], json!("2026-01-10T00:00:00+00:00"));
    assert_eq!(school.titles(&learner).await, ["A", "B"], "frozen anew");
}

/// R59, R60: until the start it follows the library; from the start on it is fixed, with titles and order; a queued re-purchase keeps the list.
#[tokio::test]
async fn r59_r60_the_first_start_fixes_courses_titles_and_order() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let (a, b, c) = (school.course("A").await, school.course("B").await, school.course("C").await);
    let library = school.library("L", false, &[a, b]).await;
    school.buy(account, library, "2026-01-01T00:00:00Z").await;
    assert_eq!(school.enrollments(account).await, 0, "none before the freeze");
    school.set_courses(library, &[b, a, c]).await;
    assert_eq!(school.titles(&learner).await, ["B", "A", "C"], "bought and not started");

    school.start(&learner, a, "2026-01-02T00:00:00Z").await;
    assert_eq!(school.enrollments(account).await, 3, "one for each course of the frozen list");
    school.set_courses(library, &[c]).await;
    for (course, title) in [(a, "A, renamed"), (b, "B, renamed")] {
        school.act("courseUpdate", json!({ "id": course, "title": title }), "course { id }").await;
    }
    school.act("courseArchive", json!({ "id": b }), "course { id }").await;
    assert_eq!(school.titles(&learner).await, ["B", "A", "C"], "bought and started");
    assert_eq!(school.start(&learner, b, "2026-01-03T00:00:00Z").await["title"], json!("B"));

    school.buy(account, library, "2026-06-01T00:00:00Z").await;
    school.0.set_time("2027-06-01T00:00:00Z");
    assert_eq!(school.titles(&learner).await, ["B", "A", "C"], "the queued one, running by now, keeps the list");
    let (other, new) = school.learner().await;
    school.give(other, Target::Library(library), days(365)).await;
    assert_eq!(school.titles(&new).await, ["C"], "another learner gets today's");
}

/// R58: the next opens once the one before is passed, not completed or failed; the order is the frozen one.
#[tokio::test]
async fn r58_an_ordered_library_opens_one_after_the_other() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let (a, b, c) = (school.course("A").await, school.course("B").await, school.course("C").await);
    let library = school.library("L", true, &[a, b, c]).await;
    school.buy(account, library, "2026-01-01T00:00:00Z").await;
    let start = |course: CourseId| json!({ "courseId": course });
    assert_eq!(school.titles(&learner).await, ["A"]);
    assert_eq!(school.refused(&learner, "enrollmentStart", start(b)).await, refusal("COURSE_LOCKED", "courseId"));
    school.start(&learner, a, "2026-01-02T00:00:00Z").await;
    school.set_courses(library, &[c, b, a]).await;
    for result in ["COMPLETED", "FAILED"] {
        school.pass(account, a, result).await;
        assert_eq!(school.refused(&learner, "enrollmentStart", start(b)).await, refusal("COURSE_LOCKED", "courseId"), "{result}");
    }
    let passed = school.pass(account, a, "PASSED").await;
    let results: Vec<&str> = passed["results"].as_array().expect("a list").iter().filter_map(|entry| entry["result"].as_str()).collect();
    assert_eq!(results, ["COMPLETED", "FAILED", "PASSED"], "the history");
    school.start(&learner, b, "2026-01-03T00:00:00Z").await;
    assert_eq!(school.titles(&learner).await, ["A", "B"]);
    assert_eq!(school.refused(&learner, "enrollmentStart", start(c)).await, refusal("COURSE_LOCKED", "courseId"));
    let why = school.0.ok(
        &learner,
        "query($id: ID!) { accessExplain(courseId: $id) { open grants { why opensAfter { id title } } } }",
        json!({ "id": c }),
    );
    let expected = json!({ "open": false, "grants": [{ "why": "LOCKED_BY_ORDER", "opensAfter": { "id": b, "title": "B" } }] });
    assert_eq!(why.await["accessExplain"], expected);
}

/// C29: A until 2026-12-31 through L1; L2 = {A, B} started 2026-06-01 opens both until 2027-06-01. One enrollment for A, fed by two
/// entitlements; L2 ended, A is open until 2026-12-31 again.
#[tokio::test]
async fn c29_grants_to_different_targets_run_side_by_side() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let (a, b) = (school.course("A").await, school.course("B").await);
    let (one, two) = (school.library("L1", false, &[a]).await, school.library("L2", false, &[a, b]).await);
    let first = school.buy(account, one, "2025-12-31T00:00:00Z").await;
    school.start(&learner, a, "2025-12-31T00:00:00Z").await;
    assert_eq!(school.until(&learner, a).await, OpenUntil::At(at("2026-12-31T00:00:00Z")));
    let second = school.buy(account, two, "2026-05-20T00:00:00Z").await;
    school.start(&learner, b, "2026-06-01T00:00:00Z").await;
    assert_eq!(school.until(&learner, a).await, OpenUntil::At(at("2027-06-01T00:00:00Z")));
    assert_eq!(school.until(&learner, b).await, OpenUntil::At(at("2027-06-01T00:00:00Z")));
    let open = school.open(&learner).await;
    let fed_by = open.iter().find(|open| open.course == a).expect("A is open");
    assert_eq!(fed_by.entitlements, [first, second]);
    assert_eq!((open.len(), school.enrollments(account).await), (2, 2));
    school.end(second).await;
    assert_eq!(school.until(&learner, a).await, OpenUntil::At(at("2026-12-31T00:00:00Z")));
    assert_eq!(school.until(&learner, b).await, OpenUntil::NotOpen);
    assert_eq!(school.enrollments(account).await, 2, "progress stays");
}

/// R48: one start counts for every live library grant that holds the course, and not for one that is given later.
#[tokio::test]
async fn r48_one_start_counts_for_every_live_grant_that_holds_the_course() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let (a, b) = (school.course("A").await, school.course("B").await);
    let mut held = Vec::new();
    for sku in ["L1", "L2"] {
        let library = school.library(sku, false, &[a, b]).await;
        held.push(school.buy(account, library, "2026-01-01T00:00:00Z").await);
    }
    let apart = school.library("L3", false, &[b]).await;
    let apart = school.buy(account, apart, "2026-01-01T00:00:00Z").await;
    school.start(&learner, a, "2026-02-01T00:00:00Z").await;
    for held in &held {
        assert_eq!(school.ends_at(*held).await, Some(at("2027-02-01T00:00:00Z")));
    }
    assert_eq!(school.ends_at(apart).await, None, "it does not hold A");
    school.start(&learner, a, "2026-03-01T00:00:00Z").await;
    assert_eq!(school.ends_at(held[0]).await, Some(at("2027-02-01T00:00:00Z")), "the first start, not the latest");
    let later = school.library("L4", false, &[a]).await;
    let later = school.buy(account, later, "2026-04-01T00:00:00Z").await;
    assert_eq!(school.ends_at(later).await, None, "the first start since that grant");
    school.start(&learner, a, "2026-05-01T00:00:00Z").await;
    assert_eq!(school.ends_at(later).await, Some(at("2027-05-01T00:00:00Z")));
}

/// R12, R78: the three clocks. A group's months count from the grant, clamped to the end of the month (31 January + 1 month = 28 February); a
/// course's days from the grant; a library's from the first start; a fixed end stands where it is.
#[tokio::test]
async fn r12_r78_each_kind_of_product_has_its_clock() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let (a, b) = (school.course("A").await, school.course("B").await);
    let library = school.library("L", false, &[b]).await;
    let input = json!({ "title": "Members", "content": [{ "courseId": a, "opens": true }, { "libraryId": library, "opens": true }] });
    let made = school.act("groupCreate", input, "group { id }").await;
    let group = GroupId::parse(made["group"]["id"].as_str().expect("an id")).expect("a group's id");
    let months = |months| Terms::of_kind(ProductKind::Group, Some(months), None).expect("terms");

    school.0.set_time("2026-01-31T10:00:00Z");
    let first = school.give(account, Target::Group(group), months(1)).await;
    assert_eq!(school.ends_at(first).await, Some(at("2026-02-28T10:00:00Z")));
    assert_eq!(school.titles(&learner).await, ["A", "B"], "what membership opens, its libraries' courses too");
    let second = school.give(account, Target::Group(group), months(1)).await;
    assert_eq!(school.ends_at(second).await, Some(at("2026-03-28T10:00:00Z")), "it queues");
    school.0.set_time("2026-03-28T09:59:59.999999Z");
    assert_eq!(school.titles(&learner).await, ["A", "B"]);
    school.0.set_time("2026-03-28T10:00:00Z");
    assert!(school.titles(&learner).await.is_empty());

    let course = Terms::of_kind(ProductKind::Course, Some(30), None).expect("terms");
    let alone = school.give(account, Target::Course(a), course).await;
    assert_eq!(school.ends_at(alone).await, Some(at("2026-04-27T10:00:00Z")));
    assert_eq!(school.enrollments(account).await, 1, "made at the grant");
    let started = school.buy(account, library, "2026-04-01T00:00:00Z").await;
    school.start(&learner, b, "2026-04-10T00:00:00Z").await;
    assert_eq!(school.ends_at(started).await, Some(at("2027-04-10T00:00:00Z")));
    let end = at("2026-06-30T22:00:00Z");
    let fixed = Terms::of_kind(ProductKind::Course, None, Some(end)).expect("terms");
    let (other, _) = school.learner().await;
    let fixed = school.give(other, Target::Course(a), fixed).await;
    assert_eq!(school.ends_at(fixed).await, Some(end));
}

/// R11: what is granted lives on to its own end, whatever becomes of the product; new days hold for later grants only.
#[tokio::test]
async fn r11_grants_live_on_when_the_product_changes() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let course = school.course("A").await;
    let commerce = json!({ "courseId": course, "enabled": true, "days": 30, "prices": [{ "amount": "1.00", "currency": "USD" }] });
    school.act("courseCommerceSet", commerce, "course { id }").await;
    let held = school.give(account, Target::Course(course), Terms::of_kind(ProductKind::Course, Some(30), None).expect("terms")).await;
    school.act("courseCommerceSet", json!({ "courseId": course, "enabled": false, "days": 5 }), "course { id }").await;
    assert_eq!(school.ends_at(held).await, Some(at("2026-01-31T00:00:00Z")));
    assert_eq!(school.titles(&learner).await, ["A"]);
}

/// Nothing opens the course: PAYMENT_REQUIRED with an offer that would, and nothing is made.
#[tokio::test]
async fn r14_a_course_that_nothing_opens_asks_for_payment() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let course = school.course("A").await;
    let start = format!(
        "mutation($input: EnrollmentStartInput!) {{ enrollmentStart(input: $input) {{ {} userErrors {{ code field message }} }} }}",
        "enrollment { id } offer { sku title url }"
    );
    let input = json!({ "input": { "courseId": course } });
    let answer = school.0.run(&learner, &start, input.clone()).await["data"]["enrollmentStart"].clone();
    assert_eq!((&answer["userErrors"][0]["code"], &answer["offer"]), (&json!("PAYMENT_REQUIRED"), &Value::Null), "not on sale");
    let library = school.library("L", false, &[course]).await;
    let offer = json!({ "sku": "L", "title": "Library L", "url": "http://127.0.0.1:8080/form/L" });
    let answer = school.0.run(&learner, &start, input.clone()).await["data"]["enrollmentStart"].clone();
    assert_eq!((&answer["userErrors"][0]["code"], &answer["offer"]), (&json!("PAYMENT_REQUIRED"), &offer));
    let message = answer["userErrors"][0]["message"].as_str().expect("a text");
    assert!(message.contains("(L)") && message.contains("http://127.0.0.1:8080/form/L"), "{message}");
    assert_eq!(school.enrollments(account).await, 0);
    // Over is as good as nothing.
    school.buy(account, library, "2026-01-01T00:00:00Z").await;
    school.start(&learner, course, "2026-01-01T00:00:00Z").await;
    school.0.set_time("2027-01-01T00:00:00Z");
    let answer = school.0.run(&learner, &start, input).await["data"]["enrollmentStart"].clone();
    assert_eq!((&answer["userErrors"][0]["code"], &answer["offer"]), (&json!("PAYMENT_REQUIRED"), &offer));
}

/// Who may start, record, end and see: the learner, operators, managers of the learner's company, each what is theirs.
#[tokio::test]
async fn access_and_results_are_for_those_concerned() {
    let school = School::new().await;
    let shop = &school.0;
    let (account, learner) = school.learner().await;
    let (_, stranger) = school.learner().await;
    let course = school.course("A").await;
    let library = school.library("L", false, &[course]).await;
    let held = school.buy(account, library, "2026-01-01T00:00:00Z").await;
    let started = school.start(&learner, course, "2026-01-02T00:00:00Z").await;
    let company = company(&school, account).await;
    let manager = shop.manager_key(&company.to_string());
    let other_manager = shop.manager_key(&domain::CompanyId::new(next_uuid()).to_string());

    let record = document("enrollmentResultRecord", "enrollment { status }");
    let result = json!({ "input": { "enrollmentId": started["id"], "result": "PASSED", "score": "87.5" } });
    assert_eq!(shop.top_level_code(&learner, &record, result.clone()).await, "FORBIDDEN", "never the learner");
    assert_eq!(shop.top_level_code(&shop.guest(), &record, result.clone()).await, "UNAUTHENTICATED");
    assert_eq!(shop.top_level_code(&shop.key(&["learning:read"]), &record, result.clone()).await, "FORBIDDEN");
    assert_eq!(shop.refused(&other_manager, &record, result.clone()).await, refusal("NOT_FOUND", "enrollmentId"));
    let own = Caller { who: Who::Account { id: account, operator: None, manages: vec![company] }, ..Caller::guest() };
    assert_eq!(shop.refused(&own, &record, result.clone()).await, refusal("NOT_FOUND", "enrollmentId"), "a manager's own");
    let bad = json!({ "input": { "enrollmentId": started["id"], "result": "PASSED", "score": "very good" } });
    assert_eq!(shop.refused(&manager, &record, bad).await, refusal("INVALID", "score"));
    assert_eq!(shop.ok(&manager, &record, result).await["enrollmentResultRecord"]["enrollment"]["status"], "PASSED");

    let explain = "query($c: ID!, $a: ID) { accessExplain(courseId: $c, accountId: $a) { accountId open until end title
        enrollment { status results { score actor } }
        grants { entitlementId source target { kind id title } since until why opens } } }";
    let of = json!({ "c": course, "a": account });
    let expected = json!({
        "accountId": account, "open": true, "until": "2027-01-02T00:00:00+00:00", "end": "AT", "title": "A",
        "enrollment": { "status": "PASSED", "results": [{ "score": "87.5", "actor": manager.actor() }] },
        "grants": [{
            "entitlementId": held, "source": "ORDER_LINE", "target": { "kind": "LIBRARY", "id": library, "title": "Library L" },
            "since": "2026-01-02T00:00:00+00:00", "until": "2027-01-02T00:00:00+00:00", "why": "LIVE", "opens": true,
        }],
    });
    for caller in [&learner, &manager, &shop.key(&["learning:read"])] {
        assert_eq!(shop.ok(caller, explain, of.clone()).await["accessExplain"], expected);
    }
    for caller in [&stranger, &other_manager, &shop.key(&["orders:read"])] {
        assert_eq!(shop.ok(caller, explain, of.clone()).await["accessExplain"], Value::Null);
    }
    assert_eq!(shop.top_level_code(&shop.guest(), explain, of).await, "UNAUTHENTICATED");
    assert_eq!(shop.ok(&learner, explain, json!({ "c": "crs_nonsense" })).await["accessExplain"], Value::Null);

    let start = json!({ "courseId": course, "accountId": account });
    assert_eq!(school.refused(&stranger, "enrollmentStart", start.clone()).await, refusal("NOT_FOUND", "accountId"));
    school.act("enrollmentStart", start, "enrollment { id }").await;
    let end = json!({ "input": { "entitlementId": held, "reason": "asked for" } });
    let ending = document("entitlementEnd", "entitlement { status endedReason }");
    for (caller, code) in [(&learner, "FORBIDDEN"), (&manager, "FORBIDDEN"), (&shop.guest(), "UNAUTHENTICATED")] {
        assert_eq!(shop.top_level_code(caller, &ending, end.clone()).await, code);
    }
    let node = "query($id: ID!) { node(id: $id) { __typename id ... on Entitlement { status courses { title open } } } }";
    let seen = json!({ "__typename": "Entitlement", "id": held, "status": "LIVE", "courses": [{ "title": "A", "open": true }] });
    assert_eq!(shop.ok(&learner, node, json!({ "id": held })).await["node"], seen);
    assert_eq!(shop.ok(&stranger, node, json!({ "id": held })).await["node"], Value::Null);
    assert_eq!(shop.ok(&manager, node, json!({ "id": started["id"] })).await["node"]["__typename"], "Enrollment");
    assert_eq!(shop.ok(&stranger, node, json!({ "id": started["id"] })).await["node"], Value::Null);
    let ended = shop.ok(&shop.operator(), &ending, end.clone()).await["entitlementEnd"]["entitlement"].clone();
    assert_eq!(ended, json!({ "status": "ENDED", "endedReason": "asked for" }));
    assert_eq!(shop.refused(&shop.operator(), &ending, end).await, refusal("ENTITLEMENT_ENDED", "entitlementId"));
    assert!(school.open(&learner).await.is_empty());
    let rows = entity::audit::Entity::find().filter(entity::audit::Column::ObjectKind.is_in(["enrollment", "entitlement"]));
    let operations: Vec<String> = rows
        .order_by_asc(entity::audit::Column::Id)
        .all(shop.app.db.read())
        .await
        .expect("the log")
        .into_iter()
        .map(|row| row.operation)
        .collect();
    assert_eq!(operations, ["enrollmentResultRecord", "enrollmentStart", "entitlementEnd"]);
}

/// A company whose member the learner is.
async fn company(school: &School, member: AccountId) -> domain::CompanyId {
    let (id, now) = (next_uuid(), school.0.app.now());
    let row = entity::company::ActiveModel {
        id: Set(id),
        key: Set(id.to_string()),
        key_folded: Set(id.to_string()),
        name: Set("A company".to_owned()),
        kind: Set("RETAIL".to_owned()),
        enabled: Set(true),
        time_zone: Set(None),
        storefront: Set("PUBLIC".to_owned()),
        email_domains: Set(json!([])),
        reregistration_days: Set(None),
        country: Set(None),
        tax_exempt: Set(false),
        originator: Set("COMPANY".to_owned()),
        credit_limit: Set(None),
        tokens_on: Set(None),
        overage_limit: Set(None),
        created_at: Set(now),
        touched_at: Set(now),
        archived_at: Set(None),
    };
    let db = school.0.app.db.write();
    entity::company::Entity::insert(row).exec_without_returning(db).await.expect("a company");
    let row = entity::company_member::ActiveModel {
        company_id: Set(id),
        account_id: Set(member.uuid()),
        role: Set("LEARNER".to_owned()),
        via: Set("MANAGER".to_owned()),
        since: Set(now),
    };
    entity::company_member::Entity::insert(row).exec_without_returning(db).await.expect("a member");
    id.into()
}

/// R2: the rule of an automatic group opens what the group opens, without a grant.
#[tokio::test]
async fn r2_an_automatic_group_opens_its_content() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let course = school.course("A").await;
    let company = company(&school, account).await;
    let input = json!({
        "title": "Everybody", "kind": "AUTOMATIC", "rule": { "companyId": company }, "content": [{ "courseId": course, "opens": true }],
    });
    school.act("groupCreate", input, "group { id }").await;
    let open = school.open(&learner).await;
    assert_eq!((open.len(), open[0].title.as_str(), open[0].until), (1, "A", OpenUntil::Endless));
    assert!(open[0].entitlements.is_empty());
    assert_eq!(school.start(&learner, course, "2026-01-02T00:00:00Z").await["status"], "STARTED");
    let (_, stranger) = school.learner().await;
    assert!(school.open(&stranger).await.is_empty());
}

/// Two grants of one learner at once queue as well, on both databases: neither swallows the other's time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c27_grants_that_come_at_once_queue() {
    let school = Arc::new(School::new().await);
    let (account, _) = school.learner().await;
    let course = school.course("A").await;
    let terms = Terms::of_kind(ProductKind::Course, Some(10), None).expect("terms");
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let school = school.clone();
            tokio::spawn(async move { school.give(account, Target::Course(course), terms).await })
        })
        .collect();
    let mut ends = Vec::new();
    for task in tasks {
        ends.push(task.await.expect("given"));
    }
    let mut found = Vec::new();
    for held in ends {
        found.push(school.ends_at(held).await.expect("an end"));
    }
    found.sort();
    let expected: Vec<_> = (1..=8).map(|place| at("2026-01-01T00:00:00Z") + chrono::TimeDelta::days(10 * place)).collect();
    assert_eq!(found, expected);
}

/// What `me.courses` costs does not grow with courses and grants: 8 statements for 3 courses and for 60.
#[tokio::test]
async fn me_courses_takes_a_fixed_number_of_statements() {
    let school = School::new().await;
    let (account, learner) = school.learner().await;
    let mut counts = Vec::new();
    let mut made = 0;
    for wanted in [3, 60] {
        while made < wanted {
            let (in_library, in_group, alone) = (school.course("A").await, school.course("B").await, school.course("C").await);
            let library = school.library(&format!("L{made}"), false, &[in_library]).await;
            let input = json!({ "title": "G", "content": [{ "courseId": in_group, "opens": true }] });
            let group = school.act("groupCreate", input, "group { id }").await;
            let group = GroupId::parse(group["group"]["id"].as_str().expect("an id")).expect("a group");
            school.give(account, Target::Library(library), days(365)).await;
            school.give(account, Target::Group(group), Terms::endless(ProductKind::Group)).await;
            school.give(account, Target::Course(alone), Terms::endless(ProductKind::Course)).await;
            made += 3;
        }
        let count = Arc::new(AtomicU64::new(0));
        let open = STATEMENTS.scope(count.clone(), school.open(&learner)).await;
        assert_eq!(open.len(), wanted);
        counts.push(count.load(Ordering::Relaxed));
    }
    assert_eq!(counts, [8, 8]);
}

/// R61: where the learner's company allows it, a course with a result is registered for again: a new result in the history of the one enrollment;
/// what was passed stays passed, and opens what comes after it.
#[tokio::test]
async fn r61_a_course_is_registered_for_again_under_one_enrollment() {
    let school = School::new().await;
    let (one, two) = (school.course("One").await, school.course("Two").await);
    let library = school.library("LIB", true, &[one, two]).await;
    let (ann, caller) = school.learner().await;
    let company = company(&school, ann).await;
    school.give(ann, Target::Library(library), Terms::of_kind(ProductKind::Library, Some(365), None).expect("terms")).await;
    let operator = school.0.operator();
    let again = json!({ "courseId": one });
    let refused = async |caller: &Caller| school.refused(caller, "enrollmentReregister", again.clone()).await;
    let not_yet = [("REREGISTRATION_REFUSED".to_owned(), "courseId".to_owned())];
    assert_eq!(refused(&caller).await, [("NOT_FOUND".to_owned(), "courseId".to_owned())], "no place in it");
    school.act_as(&caller, "enrollmentStart", json!({ "courseId": one }), "enrollment { id }").await;
    assert_eq!(refused(&caller).await, not_yet, "the company does not allow it");
    let allow = json!({ "id": company, "reregistrationDays": 30 });
    let allowed = school.act("companyUpdate", allow, "company { reregistrationDays }").await;
    assert_eq!(allowed["company"]["reregistrationDays"], 30);
    assert_eq!(refused(&caller).await, not_yet, "there is no result yet");
    let record = async |result: &str| {
        let input = json!({ "accountId": ann, "courseId": one, "result": result });
        school.act("enrollmentResultRecord", input, "enrollment { id status }").await["enrollment"].clone()
    };
    let passed = record("PASSED").await;
    assert_eq!(refused(&caller).await, not_yet, "the company's days are not over");
    school.0.pass(chrono::TimeDelta::days(30));
    let fields = "enrollment { id status registration startedAt passedAt results { result registration } }";
    let fresh = school.act_as(&caller, "enrollmentReregister", again.clone(), fields).await["enrollment"].clone();
    assert_eq!((&fresh["id"], &fresh["status"], &fresh["registration"]), (&passed["id"], &json!("NOT_STARTED"), &json!(2)));
    assert_eq!((&fresh["startedAt"], fresh["passedAt"].is_string()), (&Value::Null, true));
    assert_eq!(fresh["results"], json!([{ "result": "PASSED", "registration": 1 }]));
    assert_eq!(refused(&caller).await, not_yet, "the new registration has no result yet");
    // The second course stays open: the first one was passed, whatever comes of this try.
    school.act_as(&caller, "enrollmentStart", json!({ "courseId": two }), "enrollment { id }").await;
    let started = school.act_as(&caller, "enrollmentStart", json!({ "courseId": one }), fields).await["enrollment"].clone();
    assert_eq!((&started["status"], started["startedAt"].is_string()), (&json!("STARTED"), true));
    assert_eq!(record("FAILED").await["status"], "FAILED");
    let node = "query($id: ID!) { node(id: $id) { ... on Enrollment { results { result registration } } } }";
    let seen = school.0.ok(&operator, node, json!({ "id": passed["id"] })).await;
    let history = json!([{ "result": "PASSED", "registration": 1 }, { "result": "FAILED", "registration": 2 }]);
    assert_eq!(seen["node"]["results"], history);
    // Of somebody else's learners, nobody registers anybody; without access it has to be paid.
    let (_, stranger) = school.learner().await;
    let for_ann = json!({ "courseId": one, "accountId": ann });
    assert_eq!(
        school.refused(&stranger, "enrollmentReregister", for_ann.clone()).await,
        [("NOT_FOUND".to_owned(), "accountId".to_owned())]
    );
    school.0.pass(chrono::TimeDelta::days(400));
    let over = school.refused(&operator, "enrollmentReregister", for_ann).await;
    assert_eq!(over, [("PAYMENT_REQUIRED".to_owned(), "courseId".to_owned())]);
}
