//! Enrolling learners without a cart: one by one, or by a file.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::{UserError, outcome, payload, scope};
use super::learning::{Enrollment, Entitlement, OfferLink};
use super::scalar::{input_id, named_enum};
use crate::app::enrol::{AimName, EnrollmentCreate, may_enrol};
use crate::app::import::enrollment::{EnrollmentImport, EnrollmentReport, RowVerdict};
use crate::app::learning::NotDone;
use crate::error::{Code, Error, Result};

named_enum! {
    /// What a row of an import came to.
    EnrollmentVerdict(domain::enrolling::Verdict)
}

/// What a learner is enrolled in: exactly one of these.
#[derive(Debug, OneofObject)]
pub enum EnrollmentTargetInput {
    /// A course, by id. For an event name the session.
    CourseId(ID),
    /// A course, by key.
    Course(String),
    /// A library, by id.
    LibraryId(ID),
    /// A library, by SKU.
    Library(String),
    /// A manual group, by id. Membership of one that is not sold is given by hand, without an order.
    GroupId(ID),
    /// A group that is sold, by SKU.
    Group(String),
    /// A dated session of an event, by id; it uses a seat.
    SessionId(ID),
}

impl EnrollmentTargetInput {
    fn parse(self) -> Result<AimName> {
        let under = |error: Error| error.under("target");
        Ok(match self {
            Self::CourseId(id) => AimName::Course(input_id(&id, "courseId", "course").map_err(under)?),
            Self::LibraryId(id) => AimName::Library(input_id(&id, "libraryId", "library").map_err(under)?),
            Self::GroupId(id) => AimName::Group(input_id(&id, "groupId", "group").map_err(under)?),
            Self::SessionId(id) => AimName::Session(input_id(&id, "sessionId", "session").map_err(under)?),
            Self::Course(key) => AimName::CourseKey(key),
            Self::Library(sku) => AimName::LibrarySku(sku),
            Self::Group(sku) => AimName::GroupSku(sku),
        })
    }
}

/// Enrols one learner.
#[derive(Debug, InputObject)]
pub struct EnrollmentCreateInput {
    /// The learner's e-mail; an account is made for one that has none.
    email: String,
    /// The learner's name.
    name: Option<String>,
    /// What in.
    target: EnrollmentTargetInput,
    /// Whether to let the learner in without payment. Without it, only what is free is given, and nothing is ever taken away.
    #[graphql(default)]
    payment_bypass: bool,
    /// Why the payment is bypassed; needed with `paymentBypass`, and kept with the order of nothing.
    reason: Option<String>,
    /// The company that it is for. A manager of one company can leave it out.
    company_id: Option<ID>,
    /// A new key for each learner you enrol.
    idempotency_key: String,
}

/// What became of it.
#[derive(SimpleObject)]
pub struct EnrollmentCreatePayload {
    /// The learner's place in the course or event; null for a library or a group.
    pub enrollment: Option<Enrollment>,
    /// The grant; null where another one opens the course already.
    pub entitlement: Option<Entitlement>,
    /// The learner.
    pub account_id: Option<ID>,
    /// The order of nothing; null if the learner had the access already, and for a group that is not sold.
    pub order_id: Option<ID>,
    /// Whether the learner had the access already; nothing was given then.
    pub already: bool,
    /// With PAYMENT_REQUIRED: what to buy, if something on sale opens it.
    pub offer: Option<OfferLink>,
    /// Whether this is the answer of an earlier call with the same idempotency key.
    pub replayed: bool,
    /// Why the call was refused; empty when it was done.
    pub user_errors: Vec<UserError>,
}

/// Enrols the learners of a CSV file. Give its text as `csv`, or its bytes as `csvBase64`.
#[derive(InputObject)]
pub struct EnrollmentImportInput {
    /// The file as text.
    csv: Option<String>,
    /// The file's bytes in base64, for files that are not in UTF-8.
    csv_base64: Option<String>,
    /// Encoding of the bytes where it is not UTF-8, such as windows-1250.
    encoding: Option<String>,
    /// Says what would be done, and does nothing.
    #[graphql(default)]
    dry_run: bool,
    /// Why the payment of rows with `payment_bypass` is bypassed.
    reason: Option<String>,
    /// The company that it is for. A manager of one company can leave it out.
    company_id: Option<ID>,
}

/// What a row came to.
#[derive(Debug, Clone, SimpleObject)]
pub struct EnrollmentRow {
    /// Line of the file on which it begins, from 1.
    pub line: u32,
    /// The address as it stands there.
    pub email: String,
    /// The course, library, group or session as it stands there.
    pub target: String,
    /// What it came to.
    pub verdict: EnrollmentVerdict,
    /// The same as a sentence, where there is something to say.
    pub message: String,
}

impl From<RowVerdict> for EnrollmentRow {
    fn from(row: RowVerdict) -> Self {
        Self {
            line: u32::try_from(row.line).unwrap_or(u32::MAX),
            email: row.email,
            target: row.target,
            verdict: row.verdict.into(),
            message: row.message,
        }
    }
}

/// How many rows came to what.
#[derive(Debug, Clone, SimpleObject)]
pub struct EnrollmentCount {
    /// The verdict.
    pub verdict: EnrollmentVerdict,
    /// How many rows.
    pub rows: u32,
}

/// What a file came to.
#[derive(Debug, Clone)]
pub struct EnrollmentImportReport {
    report: EnrollmentReport,
    dry_run: bool,
}

#[Object]
impl EnrollmentImportReport {
    /// Whether nothing was done.
    async fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// How many rows were read, without the header and blank lines.
    async fn row_count(&self) -> u32 {
        u32::try_from(self.report.rows.len()).unwrap_or(u32::MAX)
    }

    /// How many rows came to what; verdicts of no row are left out.
    async fn counts(&self) -> Vec<EnrollmentCount> {
        let counts = domain::enrolling::Verdict::ALL.iter().map(|verdict| (*verdict, self.report.count(*verdict)));
        counts
            .filter(|(_, rows)| *rows > 0)
            .map(|(verdict, rows)| EnrollmentCount { verdict: verdict.into(), rows: u32::try_from(rows).unwrap_or(u32::MAX) })
            .collect()
    }

    /// Each row, in the order of the file.
    async fn rows(&self) -> Vec<EnrollmentRow> {
        self.report.rows.iter().cloned().map(EnrollmentRow::from).collect()
    }

    /// The same as a file for spreadsheets: line, email, target, verdict, message.
    async fn result_csv(&self) -> String {
        self.report.csv()
    }
}

payload! {
    /// What became of it.
    EnrollmentImportPayload {
        /// The verdict of each row.
        report: EnrollmentImportReport
    }
}

/// Mutations that enrol learners.
#[derive(Debug, Default)]
pub struct EnrolMutation;

#[Object]
impl EnrolMutation {
    /// Enrols a learner in a course, a library, a group or a session: past the payment with `paymentBypass`, else in what is free.
    /// PAYMENT_REQUIRED names what to buy, and nothing was made. For operators, programs, and managers for the learners of their company.
    async fn enrollment_create(&self, ctx: &Context<'_>, input: EnrollmentCreateInput) -> async_graphql::Result<EnrollmentCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let result: Result<_, NotDone> = async {
            may_enrol(caller)?;
            let cmd = EnrollmentCreate {
                email: input.email,
                name: input.name,
                aim: input.target.parse()?,
                payment_bypass: input.payment_bypass,
                reason: input.reason,
                company: input.company_id.map(|id| input_id(&id, "companyId", "company")).transpose()?,
                idempotency_key: input.idempotency_key,
            };
            app.enrollment_create(caller, cmd).await
        }
        .await;
        let (result, remedy) = match result {
            Ok(enrolled) => (Ok(enrolled), None),
            Err(not) => (Err(not.error), not.remedy),
        };
        let offer = remedy.map(OfferLink::from);
        Ok(match outcome(result)? {
            Ok(done) => EnrollmentCreatePayload {
                enrollment: done.value.enrollment.map(Enrollment::from),
                entitlement: done.value.entitlement.map(Entitlement::from),
                account_id: Some(done.value.account.into()),
                order_id: done.value.order.map(ID::from),
                already: done.value.already,
                offer: None,
                replayed: done.replayed,
                user_errors: Vec::new(),
            },
            Err(user_errors) => EnrollmentCreatePayload {
                enrollment: None,
                entitlement: None,
                account_id: None,
                order_id: None,
                already: false,
                offer,
                replayed: false,
                user_errors,
            },
        })
    }

    /// Enrols the learners of a CSV file, with a verdict for each row by its line. Columns: `email`, `name`, one of `course` (a key), `library` (a
    /// SKU), `group` (a SKU, or the id of one that is not sold) and `session` (an id), and `payment_bypass` (true or false). Comma, semicolon or tab. Rows that are not good change
    /// nothing; good ones go in once however often the file is sent. For operators, programs, and managers for the learners of their company.
    async fn enrollment_import(&self, ctx: &Context<'_>, input: EnrollmentImportInput) -> async_graphql::Result<EnrollmentImportPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            may_enrol(caller)?;
            let bytes = match (input.csv, input.csv_base64) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(encoded)) => STANDARD.decode(encoded.trim()).map_err(|_| {
                    Error::refused(Code::Invalid, ["csvBase64"], "This is no base64; encode the bytes of the file as they are.")
                })?,
                _ => return Err(Error::refused(Code::Required, ["csv"], "Give the file as csv or as csvBase64, one of the two.")),
            };
            let options = EnrollmentImport {
                dry_run: input.dry_run,
                encoding: input.encoding,
                company: input.company_id.map(|id| input_id(&id, "companyId", "company")).transpose()?,
                reason: input.reason,
            };
            let report = app.import_enrollments(caller, &bytes, &options, &|_, _| {}).await.map_err(|error| match error {
                // What is wrong with the file is something that the caller can mend.
                Error::BadInput(message) => Error::refused(Code::Invalid, ["csv"], message),
                other => other,
            })?;
            Ok(EnrollmentImportReport { report, dry_run: options.dry_run })
        };
        EnrollmentImportPayload::of(result.await)
    }
}
