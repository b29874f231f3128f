//! From settings to a running [`App`]: the database and its tables, the installation secret, the gateways.
//!
//! Always true here: tables change only under a lock, so that processes that start at the same time do it once; what cannot work is said with
//! the key to mend, before anything is served.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use domain::order::{LAPSE_AFTER, LAPSE_AFTER_MANUAL};
use migration::{MigrationStatus, Migrator, MigratorTrait};
use port::{GatewayError, GatewayFactory, InstanceConfig};
use sea_orm::sqlx::{Connection, PgConnection};
use sea_orm::{ConnectionTrait, DbBackend};
use secrecy::{ExposeSecret, SecretString};

use crate::app::App;
use crate::app::entropy::{Clock, Entropy, SystemEntropy, secret_text};
use crate::app::gateways::{Gateways, Instance};
use crate::app::installation::CHECKED_TEXT;
use crate::app::mail::Mailer;
use crate::app::secrets::{Purpose, Secrets};
use crate::config::{Configuration, GatewaySettings, Mistake, Mistakes, Settings, ShopSettings};
use crate::post::HttpPoster;
use crate::smtp::Smtp;
use crate::store::{self, Db, DbOptions};

/// File of the embedded database in the data directory.
pub const DATABASE_FILE: &str = "bursar.db";

/// File of the installation secret in the data directory.
pub const SECRET_FILE: &str = "installation.secret";

/// Names the lock under which tables change on PostgreSQL: any number, the same in every version.
const MIGRATION_LOCK: i64 = 0x6275_7273_6172;

/// Connects to the database of the settings; the embedded one is made if it is not there.
///
/// # Errors
/// It cannot be reached, with the key that says where it is.
pub async fn connect(settings: &Settings) -> anyhow::Result<Db> {
    let url = match &settings.database.url {
        Some(url) => url.clone(),
        None => {
            std::fs::create_dir_all(&settings.data)
                .with_context(|| format!("data: the directory {} cannot be made", settings.data.display()))?;
            // These have a meaning in addresses.
            let file = settings.data.join(DATABASE_FILE).display().to_string().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
            SecretString::from(format!("sqlite://{file}"))
        }
    };
    let (url, shown) = (url.expose_secret(), without_password(url.expose_secret()));
    if !url.starts_with("sqlite:") {
        // A pool would try again and again, and forget why.
        PgConnection::connect(url).await.with_context(|| format!("database.url: {shown} does not answer"))?.close().await?;
    }
    let options = DbOptions { url: url.to_owned(), pool: settings.database.pool };
    Db::connect(&options).await.with_context(|| format!("database.url: {shown} cannot be opened"))
}

/// Whether the shop would be embedded, and nobody has started it yet.
pub(crate) fn is_new(settings: &Settings) -> bool {
    settings.database.url.is_none() && !settings.data.join(DATABASE_FILE).exists()
}

/// The address as it may be shown.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
        _ => url.to_owned(),
    }
}

/// A step of the tables' history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Whether this database has it.
    pub applied: bool,
}

/// Every step that this program knows, in order. Changes nothing.
///
/// # Errors
/// The database's, or it has steps that this program does not know.
pub async fn steps(db: &Db) -> anyhow::Result<Vec<Step>> {
    let steps = Migrator::get_migration_with_status_read_only(db.read()).await.context(NEWER)?;
    Ok(steps.iter().map(|step| Step { name: step.name().to_owned(), applied: step.status() == MigrationStatus::Applied }).collect())
}

const NEWER: &str = "the steps of the database's tables cannot be read; if a newer version of this program made them, run that one";

/// Applies the steps that are missing; gives their names. Processes that do so at the same time wait for one another.
///
/// # Errors
/// The database's; then nothing has changed.
pub async fn migrate_up(db: &Db) -> anyhow::Result<Vec<String>> {
    let missing = |steps: Vec<Step>| steps.into_iter().filter(|step| !step.applied).map(|step| step.name).collect::<Vec<_>>();
    if missing(steps(db).await?).is_empty() {
        return Ok(Vec::new());
    }
    let txn = locked(db).await?;
    let before = Migrator::get_applied_migrations(&txn).await.context(NEWER)?.len();
    Migrator::up(&txn, None).await.context("the tables cannot be brought up to date")?;
    let names = Migrator::get_applied_migrations(&txn).await?.iter().skip(before).map(|step| step.name().to_owned()).collect();
    txn.commit().await?;
    Ok(names)
}

/// Takes back the last `count` steps, with what is in their tables; gives their names, last first.
///
/// # Errors
/// The database's; then nothing has changed.
pub async fn migrate_down(db: &Db, count: u32) -> anyhow::Result<Vec<String>> {
    let txn = locked(db).await?;
    let before = Migrator::get_applied_migrations(&txn).await.context(NEWER)?;
    Migrator::down(&txn, Some(count)).await.context("the tables cannot be taken back")?;
    let after = Migrator::get_applied_migrations(&txn).await?.len();
    txn.commit().await?;
    Ok(before.iter().skip(after).rev().map(|step| step.name().to_owned()).collect())
}

/// A transaction that only one process has: SQLite's write lock is its own, PostgreSQL is told to.
async fn locked(db: &Db) -> anyhow::Result<sea_orm::DatabaseTransaction> {
    let txn = db.begin().await?;
    if db.backend() == DbBackend::Postgres {
        txn.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
    }
    Ok(txn)
}

/// The installation secret: from the environment, or, with an embedded database, from the data directory, where it is made if this
/// installation has none yet.
///
/// # Errors
/// It is not there, or too short, with what to do.
pub async fn installation_secret(settings: &Settings, db: &Db) -> anyhow::Result<Secrets> {
    if let Some(secrets) = secret_of(settings, db).await? {
        return Ok(secrets);
    }
    let path = settings.data.join(SECRET_FILE);
    let made = make_secret(&path, &SystemEntropy::default()).with_context(|| format!("{} cannot be written", path.display()))?;
    Secrets::new(made).with_context(|| format!("{}: this secret cannot be used", path.display()))
}

/// The secret that there is; `None` if the installation is to make its own.
///
/// # Errors
/// As [`installation_secret`].
pub(crate) async fn secret_of(settings: &Settings, db: &Db) -> anyhow::Result<Option<Secrets>> {
    let path = settings.data.join(SECRET_FILE);
    let (secret, source) = match &settings.secret {
        Some(secret) => (secret.clone(), "BURSAR_SECRET".to_owned()),
        None if db.backend() == DbBackend::Sqlite => match std::fs::read_to_string(&path) {
            Ok(text) => (SecretString::from(text.trim().to_owned()), path.display().to_string()),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(anyhow!(error).context(format!("{} cannot be read", path.display())));
            }
            Err(_) if store::installation::read(db.read()).await.is_ok() => bail!(
                "{} is missing, and this database was set up with it: put it back, or give its contents in BURSAR_SECRET",
                path.display()
            ),
            Err(_) => return Ok(None),
        },
        None => bail!(
            "BURSAR_SECRET: with PostgreSQL the installation secret must be given in this environment variable, the same to each process; \
             make one with: openssl rand -base64 32"
        ),
    };
    Secrets::new(secret).map(Some).with_context(|| format!("{source}: this secret cannot be used"))
}

/// Writes a new secret, unless another process was quicker, and reads what is there then. The file appears with its contents at once.
fn make_secret(path: &Path, entropy: &dyn Entropy) -> std::io::Result<SecretString> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let unfinished = directory.join(format!(".{SECRET_FILE}.{}", secret_text(entropy)));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(secret_text(entropy).as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&unfinished, path);
    std::fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(SecretString::from(std::fs::read_to_string(path)?)),
    }
}

/// How and where this process runs the shop.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The adapters that there are.
    pub factories: &'a [Arc<dyn GatewayFactory>],
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where this process listens, if it does.
    pub address: Option<SocketAddr>,
}

/// Opens the shop: tables brought up to date, secret checked, gateways made.
///
/// # Errors
/// What is wrong, with the key to mend.
pub async fn open(configuration: &Configuration, surroundings: Surroundings<'_>) -> anyhow::Result<App> {
    let Configuration { settings, gateways, .. } = configuration;
    let shop = ShopSettings { public_url: public_url(settings, surroundings.address), ..settings.shop.clone() };
    let gateways = build(gateways, &settings.data, &shop.public_url, surroundings.factories).await?;
    let mailer = mailer(settings)?;
    let db = connect(settings).await?;
    for name in migrate_up(&db).await? {
        tracing::info!(step = name, "tables brought up to date");
    }
    let secrets = installation_secret(settings, &db).await?;
    let app = App {
        db,
        clock: surroundings.clock,
        entropy: Arc::new(SystemEntropy::default()),
        secrets,
        shop,
        sign_in: crate::app::sign_in::SignIn::default(),
        gateways,
        mailer,
        poster: Arc::new(HttpPoster::new(&settings.events)?),
        wake: tokio::sync::Notify::new(),
        changes: tokio::sync::broadcast::channel(1_024).0,
    };
    app.open_installation().await?;
    Ok(app)
}

/// Marks this process as one that runs the jobs of an embedded shop, for as long as the file is held. If it is the only one, what dead ones had
/// in hand is free at once; elsewhere that is so once its lease is over.
///
/// # Errors
/// The file cannot be made, or the database's.
pub async fn enter(settings: &Settings, db: &Db) -> anyhow::Result<Option<File>> {
    if settings.database.url.is_some() {
        return Ok(None);
    }
    let path = settings.data.join("running.lock");
    let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    if file.try_lock().is_ok() {
        store::job::release_all(db.write()).await?;
        file.unlock()?;
    }
    // Whoever else looks from now on is not the only one. The system forgets the lock with the process, however that ends.
    file.lock_shared()?;
    Ok(Some(file))
}

/// What to do if the database was set up with another installation secret; `None` if it was not.
///
/// # Errors
/// The database's.
pub async fn foreign_secret(secrets: &Secrets, db: &Db) -> anyhow::Result<Option<String>> {
    let kept = store::installation::read(db.read()).await?.secret_check;
    let same = kept == secrets.hash(Purpose::Check, CHECKED_TEXT);
    Ok((!same).then(|| "the installation secret is not the one that this database was made with: set the old one again".to_owned()))
}

/// Where buyers reach the shop: as set, else where this process listens.
pub fn public_url(settings: &Settings, address: Option<SocketAddr>) -> String {
    if !settings.shop.public_url.is_empty() {
        return settings.shop.public_url.clone();
    }
    reachable(address.unwrap_or(settings.server.bind))
}

/// How a program on this machine reaches `address`: the address of all interfaces is none to go to.
pub fn reachable(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    format!("http://{address}")
}

/// The mail server of the settings, if there is one.
///
/// # Errors
/// Everything that is wrong with its settings.
pub fn mailer(settings: &Settings) -> Result<Option<Arc<dyn Mailer>>, Mistakes> {
    let smtp = Smtp::of(&settings.mail, &settings.shop.name).map_err(|list| Mistakes { file: None, list })?;
    Ok(smtp.map(|smtp| Arc::new(smtp) as Arc<dyn Mailer>))
}

/// Makes the gateways.
///
/// # Errors
/// Everything that is wrong with their settings.
pub async fn build(
    gateways: &[GatewaySettings],
    data: &Path,
    public_url: &str,
    factories: &[Arc<dyn GatewayFactory>],
) -> anyhow::Result<Gateways> {
    let (mut built, mut list) = (Vec::new(), Vec::new());
    for settings in gateways {
        let place = format!("gateways.{}", settings.id);
        let Some(factory) = factories.iter().find(|factory| factory.adapter() == settings.adapter) else {
            let known = factories.iter().map(|factory| factory.adapter()).collect::<Vec<_>>().join(", ");
            list.push(Mistake {
                key: format!("{place}.adapter"),
                what: format!("{:?} is no adapter of this program, which has {known}", settings.adapter),
            });
            continue;
        };
        let config = InstanceConfig {
            id: settings.id.clone(),
            mode: settings.mode,
            settings: settings.settings.clone(),
            secrets: settings.secrets.clone(),
            base_url: settings.base_url.clone(),
            data_dir: Some(PathBuf::from(data)),
            public_url: public_url.to_owned(),
        };
        match factory.build(config).await {
            Ok(gateway) => {
                let transfer = gateway.descriptor().capabilities.instructions;
                built.push(Instance {
                    id: settings.id.clone(),
                    gateway,
                    companies: settings.companies.clone(),
                    currencies: settings.currencies.iter().map(|currency| currency.code().to_owned()).collect(),
                    unpaid_for: settings.unpaid_for.unwrap_or(if transfer { LAPSE_AFTER_MANUAL } else { LAPSE_AFTER }),
                    capture_at_once: settings.capture_at_once,
                });
            }
            Err(GatewayError::Config { key, detail }) => list.push(Mistake { key: format!("{place}: {key}"), what: detail.to_string() }),
            Err(other) => list.push(Mistake { key: place, what: other.to_string() }),
        }
    }
    if list.is_empty() { Ok(Gateways(built)) } else { Err(Mistakes { file: None, list }.into()) }
}
