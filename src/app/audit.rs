//! Reading the audit log. Always true here: entries are only ever read; they are written by the changes themselves.

use domain::CompanyId;
use uuid::Uuid;

use super::App;
use super::caller::{Caller, Topic};
use crate::error::Result;
use crate::page::{Page, PageArgs};
use crate::store;

pub use crate::store::audit::{Filter, Logged};
pub use crate::store::page::Key;

impl App {
    /// A page of the audit log, the newest first. A company's managers see what concerns their company.
    ///
    /// # Errors
    /// [`crate::error::Error::Forbidden`] without `settings:read`, unless the filter names a company that the caller manages.
    pub async fn audit_log(
        &self,
        caller: &Caller,
        filter: &Filter,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Logged>> {
        let own = filter.company.is_some_and(|company| caller.may_for(Topic::Settings.read(), CompanyId::new(company)));
        if !own {
            caller.require(Topic::Settings.read())?;
        }
        Ok(store::audit::list(self.db.read(), filter, args, with_total).await?)
    }
}
