//! Enrolling learners by a spreadsheet: a verdict for each row by its line of the file.
//!
//! Always true here: a row goes in once however often the file is sent, whatever became of the access since; a row that is not good changes
//! nothing, and the others go in all the same.

use std::collections::HashMap;

use domain::enrolling::{Verdict, bypass_of_cell};
use domain::id::Id;
use domain::seat::SeatRefusal;
use domain::sheet::{Cell, Format};
use domain::text::{self, Email};
use domain::{CompanyId, GroupId, OrderLineId, SessionId};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::sheet::{Row, Sheet};
use crate::app::App;
use crate::app::caller::Caller;
use crate::app::enrol::{Aim, AimName, Enroller, Outcome, Wish, bypass_reason};
use crate::error::{Error, Result};

/// Rows of one transaction: as many as keep it short.
const CHUNK: usize = 250;
/// Why a payment was bypassed where nobody says more.
const BY_FILE: &str = "imported from a file";

/// How a file is to be imported.
#[derive(Debug, Clone, Default)]
pub struct EnrollmentImport {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// Encoding of the file where it is not UTF-8.
    pub encoding: Option<String>,
    /// For this company, by its manager or an operator.
    pub company: Option<CompanyId>,
    /// Why the payment of rows is bypassed.
    pub reason: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnrollmentReport {
    /// Each row, in the order of the file.
    pub rows: Vec<RowVerdict>,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowVerdict {
    /// Line of the file on which it begins, from 1.
    pub line: u64,
    /// The address as it stands there.
    pub email: String,
    /// What the row names.
    pub target: String,
    /// What it came to.
    pub verdict: Verdict,
    /// The same as a sentence, where there is something to say.
    pub message: String,
}

impl EnrollmentReport {
    /// How many rows came to this.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// The report as a file: no cell of it begins a formula.
    pub fn csv(&self) -> String {
        let mut text = String::new();
        Format::PLAIN.write(&["line", "email", "target", "verdict", "message"].map(Cell::from), &mut text);
        for row in &self.rows {
            let (line, verdict) = (Cell::Whole(i64::try_from(row.line).unwrap_or(i64::MAX)), row.verdict.name().to_ascii_lowercase());
            let [email, target, message] = [&row.email, &row.target, &row.message].map(|text| Cell::from(text.as_str()));
            Format::PLAIN.write(&[line, email, target, Cell::from(verdict), message], &mut text);
        }
        text
    }
}

/// A row that can be looked at.
struct Candidate {
    /// Its place among all rows.
    place: usize,
    email: Email,
    name: Option<String>,
    aim: AimName,
    bypass: bool,
    line: OrderLineId,
}

impl App {
    /// Enrols the learners of a CSV file. `progress` is told how many rows of how many are done.
    ///
    /// Columns are found by their names in the first line: `email`, `name`, `payment_bypass`, and of `course` (a key), `library` (a SKU), `group`
    /// (a SKU, or the id of one that is not sold) and `session` (an id) whichever the file has; each row fills exactly one of those. A row that
    /// asks for no bypass enrols in what is free, and in groups that are not sold.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a file that cannot be read as a whole: nothing was written then. Not for this caller.
    pub async fn import_enrollments(
        &self,
        caller: &Caller,
        file: &[u8],
        options: &EnrollmentImport,
        progress: &(dyn Fn(usize, usize) + Send + Sync),
    ) -> Result<EnrollmentReport> {
        let company = self.enrolling_company(caller, options.company).await?;
        let reason = bypass_reason(true, options.reason.as_deref(), Some(BY_FILE))?;
        let sheet = Sheet::read(file, options.encoding.as_deref())?;
        let columns = Columns::find(&sheet)?;
        let digest = Sha256::digest(file);
        let mut verdicts: Vec<RowVerdict> = Vec::with_capacity(sheet.rows.len());
        let mut candidates = Vec::with_capacity(sheet.rows.len());
        let mut seen: HashMap<(String, AimName, bool), u64> = HashMap::with_capacity(sheet.rows.len());
        for (place, row) in sheet.rows.iter().enumerate() {
            let told = columns.of_row(row);
            let mut verdict = RowVerdict {
                line: row.line,
                email: row.cell(columns.email).to_owned(),
                target: told.as_ref().map(|(_, text)| text.clone()).unwrap_or_default(),
                verdict: Verdict::BadRow,
                message: String::new(),
            };
            match columns.candidate(row, place, told, &digest) {
                Err((kind, message)) => (verdict.verdict, verdict.message) = (kind, message),
                Ok(candidate) => {
                    let key = (candidate.email.normalised().to_owned(), candidate.aim.clone(), candidate.bypass);
                    if let Some(first) = seen.get(&key) {
                        verdict.verdict = Verdict::Repeat;
                        verdict.message = format!("Line {first} says the same; that row counts.");
                    } else {
                        seen.insert(key, row.line);
                        candidates.push(candidate);
                    }
                }
            }
            verdicts.push(verdict);
        }
        let mut done = verdicts.len() - candidates.len();
        progress(done, verdicts.len());
        let enroller = Enroller { caller, company, operation: "enrollmentImport", reason: reason.as_deref(), dry_run: options.dry_run };
        for chunk in candidates.chunks(CHUNK) {
            self.import_chunk(&enroller, chunk, &mut verdicts).await?;
            done += chunk.len();
            progress(done, verdicts.len());
        }
        Ok(EnrollmentReport { rows: verdicts })
    }

    async fn import_chunk(&self, enroller: &Enroller<'_>, chunk: &[Candidate], verdicts: &mut [RowVerdict]) -> Result<()> {
        let txn = self.db.begin().await?;
        let mut names: Vec<AimName> = chunk.iter().map(|candidate| candidate.aim.clone()).collect();
        names.sort();
        names.dedup();
        let aims = self.aims(&txn, &names, enroller.company, None).await?;
        let (mut wishes, mut places) = (Vec::with_capacity(chunk.len()), Vec::with_capacity(chunk.len()));
        for candidate in chunk {
            let verdict = &mut verdicts[candidate.place];
            match aims.get(&candidate.aim) {
                Some(Ok(aim)) if enroller.sees(aim) => {
                    wishes.push(Wish {
                        email: &candidate.email,
                        name: candidate.name.as_deref(),
                        aim,
                        bypass: candidate.bypass,
                        line: candidate.line,
                    });
                    places.push(candidate.place);
                }
                Some(Err(fault)) => (verdict.verdict, verdict.message) = (Verdict::UnknownCourse, fault.to_string()),
                Some(Ok(_)) | None => {
                    verdict.verdict = Verdict::UnknownCourse;
                    verdict.message =
                        format!("There is no such {}; check how it is written.", candidate.aim.field().trim_end_matches("Id"));
                }
            }
        }
        let outcomes = self.enrol_all(&txn, enroller, &wishes).await?;
        for ((place, outcome), wish) in places.into_iter().zip(outcomes).zip(&wishes) {
            let verdict = &mut verdicts[place];
            (verdict.verdict, verdict.message) = told(&outcome, wish.aim);
        }
        // Dropped after a dry run, with the seats that it tried.
        if enroller.dry_run {
            txn.rollback().await?
        } else {
            txn.commit().await?
        }
        Ok(())
    }
}

fn told(outcome: &Outcome, aim: &Aim) -> (Verdict, String) {
    match outcome {
        Outcome::Enrolled { .. } | Outcome::Enrollable => (Verdict::Enrolled, String::new()),
        Outcome::Already { .. } => (Verdict::Already, String::new()),
        Outcome::PaymentRequired => {
            let how = aim.sku().map(|sku| format!(" It is sold as {sku}.")).unwrap_or_default();
            (Verdict::PaymentRequired, format!("This has to be paid first, or needs payment_bypass true.{how}"))
        }
        Outcome::NoSeat(SeatRefusal::HasSeat) => (Verdict::Already, SeatRefusal::HasSeat.to_string()),
        Outcome::NoSeat(reason) => (Verdict::SessionFull, reason.to_string()),
        Outcome::NotAMember => {
            (Verdict::NotAMember, "This is nobody of your company; name them as a learner with companyMembersSet first.".to_owned())
        }
    }
}

/// Where the columns are.
struct Columns {
    email: usize,
    name: Option<usize>,
    bypass: Option<usize>,
    course: Option<usize>,
    library: Option<usize>,
    group: Option<usize>,
    session: Option<usize>,
}

impl Columns {
    fn find(sheet: &Sheet) -> Result<Self> {
        let column = |name: &str| sheet.header.iter().position(|column| column == name);
        let named = || sheet.header.join(", ");
        let email =
            column("email").ok_or_else(|| Error::BadInput(format!("The file has no column email; its first line names: {}.", named())))?;
        let found = Self {
            email,
            name: column("name"),
            bypass: column("payment_bypass"),
            course: column("course"),
            library: column("library"),
            group: column("group"),
            session: column("session"),
        };
        if [found.course, found.library, found.group, found.session].iter().all(Option::is_none) {
            return Err(Error::BadInput(format!(
                "The file has no column course, library, group or session; its first line names: {}.",
                named()
            )));
        }
        Ok(found)
    }

    /// What a row names, and the cell's text.
    fn of_row(&self, row: &Row) -> Result<(AimName, String), (Verdict, String)> {
        let filled = |column: Option<usize>| column.map(|column| row.cell(column)).filter(|cell| !cell.is_empty()).map(ToOwned::to_owned);
        let mut named = Vec::new();
        named.extend(filled(self.course).map(|key| (AimName::CourseKey(key.to_lowercase()), key)));
        named.extend(filled(self.library).map(|sku| (AimName::LibrarySku(sku.to_lowercase()), sku)));
        named.extend(filled(self.group).map(|cell| match GroupId::parse(&cell) {
            Some(id) => (AimName::Group(id), cell),
            None => (AimName::GroupSku(cell.to_lowercase()), cell),
        }));
        if let Some(id) = filled(self.session) {
            let session = SessionId::parse(&id)
                .ok_or_else(|| (Verdict::UnknownCourse, format!("{id:?} is no session's id; it begins with ses_.")))?;
            named.push((AimName::Session(session), id));
        }
        match named.len() {
            1 => Ok(named.remove(0)),
            0 => Err((Verdict::BadRow, "Name a course, a library, a group or a session.".to_owned())),
            _ => Err((Verdict::BadRow, "Name one of course, library, group and session, not several.".to_owned())),
        }
    }

    fn candidate(
        &self,
        row: &Row,
        place: usize,
        told: Result<(AimName, String), (Verdict, String)>,
        digest: &[u8],
    ) -> Result<Candidate, (Verdict, String)> {
        let email = Email::parse(row.cell(self.email)).map_err(|reason| (Verdict::BadAddress, reason.to_string()))?;
        let (aim, _) = told?;
        let bad = |message: String| (Verdict::BadRow, message);
        let cell = |column: Option<usize>| column.map(|column| row.cell(column)).unwrap_or_default();
        let bypass = bypass_of_cell(cell(self.bypass)).map_err(|fault| bad(format!("{fault}.")))?;
        let name = Some(cell(self.name)).filter(|name| !name.is_empty()).map(text::name).transpose();
        let name = name.map_err(|reason| bad(format!("the name: {reason}")))?;
        let line = line_of(digest, email.normalised(), &aim, bypass);
        Ok(Candidate { place, email, name, aim, bypass, line })
    }
}

/// The order line that a row makes: the same for the same row of the same file, so that sending it again finds that it is there.
fn line_of(file: &[u8], email: &str, aim: &AimName, bypass: bool) -> OrderLineId {
    let mut hasher = Sha256::new();
    hasher.update(file);
    hasher.update(format!("{email}\n{aim:?}\n{bypass}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize()[..16]);
    Id::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
