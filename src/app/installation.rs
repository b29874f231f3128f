//! The installation itself: made at the first start, and checked at every later one.

use crate::app::App;
use crate::app::credit::EXPIRE_JOB;
use crate::app::mail::ROUND_JOB;
use crate::app::secrets::Purpose;
use crate::error::Result;
use crate::internal;
use crate::outbox::{self, Job};
use crate::store::installation;

/// What the keyed hash that tells a wrong installation secret is a hash of.
pub(crate) const CHECKED_TEXT: &str = "bursar installation";

impl App {
    /// Makes the installation's row at the first start; later, refuses to run with another secret, or with another base currency once prices
    /// exist. To be called before anything else, once the tables are there.
    ///
    /// # Errors
    /// A sentence for whoever starts the program, as an internal error.
    pub async fn open_installation(&self) -> Result<()> {
        let check = self.secrets.hash(Purpose::Check, CHECKED_TEXT);
        let installation = installation::open(self.db.write(), &check, self.now()).await?;
        if installation.secret_check != check {
            return Err(internal!(
                "the installation secret is not the one that this database was made with; set the old one again, or what was sealed with it cannot be read"
            ));
        }
        match installation.base_currency {
            Some(fixed) if fixed != self.shop.base_currency => Err(internal!(
                "the base currency is set to {}, but this shop has prices and its base currency is {fixed} for good; set it to {fixed}",
                self.shop.base_currency
            )),
            _ => {
                outbox::enqueue_round(self.db.write(), ROUND_JOB, &Job::MailRound, self.now()).await?;
                Ok(outbox::enqueue_round(self.db.write(), EXPIRE_JOB, &Job::ExpireCredits, self.now()).await?)
            }
        }
    }

    /// Whether the shop can do its work: reads the row that is there once it was set up.
    ///
    /// # Errors
    /// The database does not answer, or was never set up.
    pub async fn ready(&self) -> Result<()> {
        installation::read(self.db.read()).await?;
        Ok(())
    }
}
