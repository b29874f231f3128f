//! The one error of use cases. What a caller can mend is [`Error::Refused`]; what is our fault is [`Error::Internal`] and is shown without detail.

pub use domain::refusal::{Code, Refusal};

/// What a use case answers instead of a result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can mend this: entries of `userErrors`. Nothing was changed.
    #[error("{}", .0.iter().map(|refusal| refusal.message.as_str()).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Refusal>),
    /// The operation is not for this caller's role.
    #[error("{0}")]
    Forbidden(String),
    /// There is no sign-in, or it is no longer good.
    #[error("{0}")]
    Unauthenticated(String),
    /// An argument of a query is malformed.
    #[error("{0}")]
    BadInput(String),
    /// Too many calls; try again after so many seconds.
    #[error("Too many tries; try again in {retry_after_s} seconds.")]
    RateLimited {
        /// Whole seconds to wait.
        retry_after_s: u64,
    },
    /// Our fault. The chain of causes is logged once, by the translator to GraphQL or HTTP.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

/// A result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// One refusal with a field path of input names, outermost first.
    pub fn refused<const N: usize>(code: Code, field: [&str; N], message: impl Into<String>) -> Self {
        Refusal::at(code, field, message.into()).into()
    }

    /// The thing that an input names is not there, or not to be seen by this caller.
    pub fn not_found(field: &str, what: &str) -> Self {
        Self::refused(Code::NotFound, [field], format!("There is no such {what}; check the id."))
    }

    /// The same error further out: `field` goes in front of the path of each refusal.
    #[must_use]
    pub fn under(self, field: &str) -> Self {
        match self {
            Self::Refused(refusals) => Self::Refused(refusals.into_iter().map(|refusal| refusal.under([field])).collect()),
            other => other,
        }
    }

    /// Whether the first refusal has this code.
    pub fn is(&self, code: Code) -> bool {
        matches!(self, Self::Refused(refusals) if refusals.first().is_some_and(|refusal| refusal.code == code))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }
}

impl From<Vec<Refusal>> for Error {
    fn from(refusals: Vec<Refusal>) -> Self {
        Self::Refused(refusals)
    }
}

/// Collects what is wrong with several fields of one input, so that a caller reads of all of them at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<Refusal>);

impl Faults {
    /// The value of a field, or none and a fault noted under `field`.
    pub fn at<T, R: Into<Refusal>>(&mut self, field: &str, result: Result<T, R>) -> Option<T> {
        result.map_err(|reason| self.0.push(reason.into().under([field]))).ok()
    }

    /// The same for a reason that knows its field itself.
    pub fn of<T, R: Into<Refusal>>(&mut self, result: Result<T, R>) -> Option<T> {
        result.map_err(|reason| self.0.push(reason.into())).ok()
    }

    /// Notes a fault.
    pub fn add(&mut self, refusal: Refusal) {
        self.0.push(refusal);
    }

    /// Passes if nothing was noted.
    ///
    /// # Errors
    /// [`Error::Refused`] with everything that was noted.
    pub fn check(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(self.into()) }
    }
}

impl From<Faults> for Error {
    fn from(faults: Faults) -> Self {
        Self::Refused(faults.0)
    }
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Internal(anyhow::Error::new(error).context("database"))
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(anyhow::Error::new(error).context("stored JSON"))
    }
}

/// An internal error with a sentence for the log.
#[macro_export]
macro_rules! internal {
    ($($arg:tt)*) => { $crate::error::Error::Internal(anyhow::anyhow!($($arg)*)) };
}
