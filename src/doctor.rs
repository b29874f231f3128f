//! `bursar doctor`: says what is set up wrong, and how to mend it.
//!
//! Always true here: nothing of the shop is made or changed (a gateway may open state of its own); a finding names the key and what to do, a note is what may well be meant so.

use std::sync::Arc;

use anyhow::anyhow;
use chrono::{TimeDelta, Utc};
use port::{GatewayFactory, Mode, OpContext};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use secrecy::ExposeSecret;

use crate::app::gateways::Gateways;
use crate::config::{Configuration, Settings, unread_variables};
use crate::serve::{edge, say};
use crate::start;
use crate::store::{self, Db};

/// How far the clocks of this machine and of the database may lie apart.
const CLOCKS_WITHIN: TimeDelta = TimeDelta::seconds(2);

/// How many things of one kind are named before the rest is counted.
const NAMED: u64 = 5;

/// What was found.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    fn finding(&mut self, text: impl Into<String>) {
        self.findings.push(text.into());
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

/// Looks at everything that a start needs, and prints what it found.
///
/// # Errors
/// There is something to mend.
pub async fn run(configuration: &Configuration, factories: &[Arc<dyn GatewayFactory>]) -> anyhow::Result<()> {
    let settings = &configuration.settings;
    let mut report = Report::default();
    for name in unread_variables(&configuration.gateways) {
        report.note(format!("{name}: nothing reads this environment variable; if it is a slip of the pen, README.md lists the names"));
    }
    if let Err(mistakes) = edge(settings) {
        report.finding(mistakes.to_string());
    }
    let public = reach(settings, &mut report);
    match start::build(&configuration.gateways, &settings.data, &start::public_url(settings, None), factories).await {
        Err(error) => report.finding(format!("{error:#}")),
        Ok(gateways) => look_at_gateways(&gateways, public, &mut report).await,
    }
    look_at_mail(settings, &mut report).await;
    if start::is_new(settings) {
        report.note(format!("{}: there is no shop yet; the first start makes one here", settings.data.display()));
    } else {
        match start::connect(settings).await {
            Err(error) => report.finding(format!("{error:#}")),
            Ok(db) => look_at_database(settings, &db, &mut report).await?,
        }
    }
    report.notes.iter().for_each(|note| say(&format!("note: {note}")));
    if report.findings.is_empty() {
        say("everything is in order");
        return Ok(());
    }
    report.findings.iter().for_each(|finding| say(finding));
    Err(anyhow!("{} to mend", report.findings.len()))
}

/// How the shop is reached; whether others than programs on this machine can.
fn reach(settings: &Settings, report: &mut Report) -> bool {
    let url = &settings.shop.public_url;
    let host = url.split_once("://").map_or("", |(_, host)| host);
    let local = ["127.", "localhost", "[::1]"].iter().any(|start| host.starts_with(start));
    let listens = !settings.server.bind.ip().is_loopback();
    if listens && url.is_empty() {
        report.finding("shop.public_url: is not set, but the server listens to other machines: set the address that buyers use");
    } else if listens && local {
        report.finding(format!(
            "shop.public_url: {url} is this machine alone, but the server listens to others: set the address that buyers use"
        ));
    } else if !url.is_empty() && !local && !url.starts_with("https://") {
        report.finding(format!("shop.public_url: {url} is not https: sign-ins and receipts would cross the network for everybody to read"));
    }
    listens || (!url.is_empty() && !local)
}

async fn look_at_gateways(gateways: &Gateways, public: bool, report: &mut Report) {
    if gateways.0.is_empty() {
        report.note("gateways: there are none, so only what costs nothing can be bought");
    }
    for instance in &gateways.0 {
        let descriptor = instance.gateway.descriptor();
        // Where the buyer follows instructions, staff see the money before the order is paid.
        if public && descriptor.mode == Mode::Test && !descriptor.capabilities.instructions && instance.companies.is_empty() {
            report.finding(format!(
                "gateways.{}: takes play money from everybody who reaches the shop: leave it out, or set its `companies`",
                instance.id
            ));
        }
        if let Err(error) = instance.gateway.check(&OpContext::new("doctor", Utc::now())).await {
            report.finding(format!("gateways.{}: {error}", instance.id));
        }
    }
}

async fn look_at_mail(settings: &Settings, report: &mut Report) {
    match start::mailer(settings) {
        Err(mistakes) => report.finding(mistakes.to_string()),
        Ok(None) => report.note("mail.smtp_url: is not set: mails stay in the query `outbox`"),
        Ok(Some(mailer)) => {
            if let Err(fault) = mailer.check().await {
                report.finding(format!("mail.smtp_url: {fault}"));
            }
            if settings.mail.smtp_url.as_ref().is_some_and(|url| in_the_clear(url.expose_secret())) {
                report.finding(
                    "mail.smtp_url: the password would cross the network in the clear: write smtps://, or ?tls=required at its end",
                );
            }
        }
    }
}

/// Whether a password would be sent to another machine for everybody on the way to read.
fn in_the_clear(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("smtp://") else { return false };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((_, host)) = place.rsplit_once('@') else { return false };
    let local = ["127.", "localhost", "[::1]"].iter().any(|start| host.starts_with(start));
    !local && !query.split('&').any(|part| part == "tls=required")
}

async fn look_at_database(settings: &Settings, db: &Db, report: &mut Report) -> anyhow::Result<()> {
    if let Some(apart) = clocks_apart(db).await?
        && apart.abs() > CLOCKS_WITHIN
    {
        report.finding(format!(
            "the clocks of this machine and of the database are {} s apart: what is due is told by the clock, so let both follow NTP",
            apart.num_seconds()
        ));
    }
    let missing = start::steps(db).await?.iter().filter(|step| !step.applied).count();
    if missing > 0 {
        report.finding(format!("{missing} steps of the tables are missing: run `bursar migrate up`, or just start the server"));
    }
    let secret = start::secret_of(settings, db).await;
    match secret {
        Err(error) => report.finding(format!("{error:#}")),
        Ok(Some(secrets)) if missing == 0 => report.findings.extend(start::foreign_secret(&secrets, db).await?),
        Ok(_) => {}
    }
    if missing > 0 {
        return Ok(());
    }
    if let Ok(installation) = store::installation::read(db.read()).await
        && let Some(fixed) = installation.base_currency
        && fixed != settings.shop.base_currency
    {
        report.finding(format!(
            "shop.base_currency: is {}, but there are prices and the base currency is {fixed} for good: set it to {fixed}",
            settings.shop.base_currency
        ));
    }
    let parked = store::job::parked(db.read()).await?;
    if parked > 0 {
        report.finding(format!("{parked} jobs gave up: see the query `jobs`, mend what their error says, then `jobReplay` them"));
    }
    let free = store::price::free_skus(db.read(), NAMED + 1).await?;
    if !free.is_empty() {
        let more = if u64::try_from(free.len())? > NAMED { ", and more" } else { "" };
        let named = free.into_iter().take(usize::try_from(NAMED)?).collect::<Vec<_>>().join(", ");
        report.note(format!("a price of 0 gives these to everybody: {named}{more}"));
    }
    Ok(())
}

/// How much later it is here than at the database; `None` where it is the same machine's clock.
async fn clocks_apart(db: &Db) -> anyhow::Result<Option<TimeDelta>> {
    if db.backend() == DbBackend::Sqlite {
        return Ok(None);
    }
    let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now_ms";
    let row =
        db.read().query_one_raw(Statement::from_string(db.backend(), sql)).await?.ok_or_else(|| anyhow!("the database tells no time"))?;
    Ok(Some(TimeDelta::milliseconds(Utc::now().timestamp_millis() - row.try_get::<i64>("", "now_ms")?)))
}
