//! The books of credits looked through from the command line.

use super::App;
use crate::error::Result;
use crate::store;

pub use crate::store::ledger::Verified;

impl App {
    /// Recomputes every lot, balance and allowance from the entries, and says what does not agree. All is read as of one instant, so that it can
    /// run beside a shop in use.
    ///
    /// # Errors
    /// The database's, or a row that makes no sense.
    pub async fn ledger_verify(&self) -> Result<Verified> {
        let snapshot = self.db.snapshot().await?;
        let verified = store::ledger::verify(&snapshot).await?;
        snapshot.rollback().await?;
        Ok(verified)
    }
}
