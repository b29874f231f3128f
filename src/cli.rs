//! The command line: what can be asked for, and with what settings.
//!
//! Always true here: standard output carries results, standard error everything else; a failure is one sentence with its causes and exit code 1.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::{Args, Parser, Subcommand};
use domain::CompanyId;
use domain::account::KeyRole;
use domain::enrolling::Verdict;
use indicatif::ProgressBar;
use port::GatewayFactory;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::app::caller::{Caller, Scope, Scopes};
use crate::app::entropy::SystemClock;
use crate::app::import::CourseImport;
use crate::app::import::enrollment::EnrollmentImport;
use crate::app::key::ServiceKeyCreate;
use crate::config::{Configuration, FILE_VARIABLE, LogFormat, LogSettings, unread_variables};
use crate::serve::{self, Playground, say};
use crate::start::Surroundings;
use crate::{adapter, doctor, graphql, start, worker};

/// The commerce backend for people who sell learning.
#[derive(Debug, Parser)]
#[command(name = "bursar", version, about)]
pub struct Cli {
    /// Settings file; without it, bursar.toml of the current directory, if there is one
    #[arg(long, global = true, env = FILE_VARIABLE, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the shop; without any setting, an embedded one with demo data
    Serve(Serve),
    /// Change the tables of the database
    Migrate {
        #[command(flatten)]
        place: Place,
        #[command(subcommand)]
        action: Migrate,
    },
    /// Print the GraphQL schema
    Schema,
    /// Run due jobs until stopped, beside servers that were started with --no-worker
    Worker {
        #[command(flatten)]
        place: Place,
    },
    /// Make the demo catalogue in a shop without products
    Seed {
        #[command(flatten)]
        place: Place,
        #[command(subcommand)]
        what: Option<SeedWhat>,
    },
    /// Service keys
    Key {
        #[command(subcommand)]
        action: Key,
    },
    /// Bring data into the shop
    Import {
        #[command(subcommand)]
        what: Import,
    },
    /// Payment adapters
    Adapter {
        #[command(subcommand)]
        action: Adapter,
    },
    /// The books of credits
    Ledger {
        #[command(subcommand)]
        action: Ledger,
    },
    /// Say what is set up wrong, and how to mend it
    Doctor {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
enum SeedWhat {
    /// Invent paid orders over three years in a shop without any, to see how fast reports and lists are
    #[command(hide = true)]
    Sales {
        /// How many orders
        #[arg(long, default_value_t = 200_000)]
        orders: u64,
        /// How many lines they have together
        #[arg(long, default_value_t = 500_000)]
        lines: u64,
    },
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Make a key and print its secret, alone, on standard output; also beside a running server
    Create {
        #[command(flatten)]
        place: Place,
        /// As what the key acts
        #[arg(long, value_enum)]
        role: Role,
        /// The company of a manager's key, by id
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        /// What the key may do, such as catalog:write; again for more. Needed for a service; the others may all that their role allows
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// What the key is for
        #[arg(long, default_value = "made on the command line")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Import {
    /// Courses of a spreadsheet (CSV with a header); each new one becomes a course with a product. Safe to repeat
    Courses {
        #[command(flatten)]
        place: Place,
        /// The file
        file: PathBuf,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Encoding of the file where it is not UTF-8, such as windows-1250
        #[arg(long, value_name = "NAME")]
        encoding: Option<String>,
        /// Provider of courses whose row names none
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
    },
    /// Enrol the learners of a spreadsheet (CSV with a header: email, name, course or library or group or session, payment_bypass). Safe to repeat
    Enrollments {
        #[command(flatten)]
        place: Place,
        /// The file
        file: PathBuf,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Encoding of the file where it is not UTF-8, such as windows-1250
        #[arg(long, value_name = "NAME")]
        encoding: Option<String>,
        /// Why the payment of rows with payment_bypass is bypassed
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Where to write the verdict of each row, as CSV
        #[arg(long, value_name = "FILE")]
        result: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Ledger {
    /// Recompute every lot and balance from the entries and compare; exit code 1 if they differ. Also beside a running server
    Verify {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
enum Adapter {
    /// Begin the crate of a payment gateway in this repository, and register it; docs/adding-a-payment-adapter.md goes on from there
    New {
        /// Its name, such as acme_pay
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    Operator,
    Manager,
    Service,
}

/// What a new shop begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Seed {
    Demo,
    None,
}

/// Where the data is.
#[derive(Debug, Default, Args)]
struct Place {
    /// Directory of the embedded database and of the installation secret
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Database, as postgres://USER:PASSWORD@HOST/NAME or sqlite://FILE
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
}

#[derive(Debug, Default, Args)]
struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<SocketAddr>,
    #[command(flatten)]
    place: Place,
    /// Leave jobs to `bursar worker`
    #[arg(long)]
    no_worker: bool,
    /// What a shop without products begins with; demo where nothing says where its data is, else none
    #[arg(long, value_enum, value_name = "SEED")]
    seed: Option<Seed>,
    /// Let POST /_test/clock set the time (never with a gateway that takes real money)
    #[arg(long)]
    test_clock: bool,
}

#[derive(Debug, Subcommand)]
enum Migrate {
    /// Bring the tables up to date
    Up,
    /// Take steps back, with what is in their tables
    Down {
        /// How many
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
    /// Say which steps this database has
    Status,
}

/// What the program was built with.
pub struct Program {
    /// The adapters of payment gateways.
    pub factories: Vec<Arc<dyn GatewayFactory>>,
    /// Those among them that are played by the program itself.
    pub playground: Arc<dyn Playground>,
}

impl Program {
    /// Does what the command line says.
    pub async fn run(self, cli: Cli) -> ExitCode {
        match self.command(cli).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Nowhere is left to say that standard error is closed.
                let _ = writeln!(std::io::stderr(), "error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    async fn command(self, cli: Cli) -> anyhow::Result<()> {
        let Cli { config, command } = cli;
        match command.unwrap_or_else(|| Command::Serve(Serve::default())) {
            Command::Serve(Serve { bind, place, no_worker, seed, test_clock }) => {
                let named = place.data.is_some() || place.database.is_some();
                let mut configuration = read(config, place)?;
                if let Some(bind) = bind {
                    configuration.settings.server.bind = bind;
                }
                // Where nobody has said a word about data, it is the shop to try.
                let untold = !named && configuration.file.is_none() && configuration.settings.database.url.is_none();
                let seed = seed.unwrap_or(if untold { Seed::Demo } else { Seed::None }) == Seed::Demo;
                let options = serve::Options { worker: !no_worker, test_clock, seed };
                serve::run(&configuration, options, &self.factories, self.playground).await
            }
            Command::Worker { place } => {
                let configuration = read(config, place)?;
                let settings = configuration.settings.clone();
                let app = self.open(configuration).await?;
                let _running = start::enter(&settings, &app.db).await?;
                let stop = CancellationToken::new();
                serve::listen_to_signals(stop.clone())?;
                worker::run(Arc::new(app), stop).await;
                Ok(())
            }
            Command::Seed { place, what: Some(SeedWhat::Sales { orders, lines }) } => {
                seed_sales(&self.open(read(config, place)?).await?, orders, lines).await
            }
            Command::Seed { place, what: None } => {
                let app = self.open(read(config, place)?).await?;
                let made = app.seed_demo().await.map_err(|error| anyhow!("{error:#}"))?;
                say(if made { "the demo catalogue is there" } else { "the shop has products already; nothing was changed" });
                Ok(())
            }
            Command::Key { action: Key::Create { place, role, company, scopes, name } } => {
                let app = self.open(read(config, place)?).await?;
                key(&app, role, company, &scopes, name).await
            }
            Command::Import { what: Import::Courses { place, file, dry_run, encoding, provider } } => {
                let app = self.open(read(config, place)?).await?;
                import_courses(&app, &file, CourseImport { dry_run, encoding, provider, currency: None }).await
            }
            Command::Adapter { action: Adapter::New { name } } => {
                for path in adapter::begin(std::path::Path::new("."), &name)? {
                    say(&format!("wrote {}", path.display()));
                }
                say(&format!("go on with docs/adding-a-payment-adapter.md; cargo test -p bursar-{name} shows what is left"));
                Ok(())
            }
            Command::Import { what: Import::Enrollments { place, file, dry_run, encoding, reason, result } } => {
                let app = self.open(read(config, place)?).await?;
                let options = EnrollmentImport { dry_run, encoding, company: None, reason };
                import_enrollments(&app, &file, options, result.as_deref()).await
            }
            Command::Ledger { action: Ledger::Verify { place } } => {
                let app = self.open(read(config, place)?).await?;
                verify(&app).await
            }
            Command::Doctor { place } => doctor::run(&read(config, place)?, &self.factories).await,
            Command::Migrate { place, action } => migrate(&read(config, place)?, action).await,
            Command::Schema => {
                std::io::stdout().write_all(graphql::sdl().as_bytes())?;
                Ok(())
            }
        }
    }
}

impl Program {
    async fn open(&self, configuration: Configuration) -> anyhow::Result<App> {
        let surroundings = Surroundings { factories: &self.factories, clock: Arc::new(SystemClock), address: None };
        start::open(&configuration, surroundings).await
    }
}

async fn verify(app: &App) -> anyhow::Result<()> {
    let verified = app.ledger_verify().await.map_err(|error| anyhow!("{error:#}"))?;
    for (book, (debits, credits)) in &verified.books {
        say(&format!("{book}: {debits} debited, {credits} credited"));
    }
    for fault in &verified.faults {
        say(&fault.to_string());
    }
    say(&format!("{} entries, {} lots, {} balances recomputed", verified.entries, verified.lots, verified.owners));
    match verified.faults.len() {
        0 => Ok(()),
        count => Err(anyhow!("{count} numbers of the books do not agree; what they are is printed above")),
    }
}

async fn seed_sales(app: &App, orders: u64, lines: u64) -> anyhow::Result<()> {
    let bar = ProgressBar::new(orders);
    let done = app.seed_sales(orders, lines, &|written| bar.set_position(written)).await;
    bar.finish_and_clear();
    done.map_err(|error| anyhow!("{error:#}"))?;
    say(&format!("{orders} orders with {lines} lines were invented"));
    Ok(())
}

async fn import_courses(app: &App, file: &std::path::Path, options: CourseImport) -> anyhow::Result<()> {
    let bytes = tokio::fs::read(file).await.with_context(|| format!("{} cannot be read", file.display()))?;
    // Drawn on standard error, and only where somebody watches.
    let bar = ProgressBar::new(0);
    let progress = |done: usize, of: usize| {
        bar.set_length(u64::try_from(of).unwrap_or(0));
        bar.set_position(u64::try_from(done).unwrap_or(0));
    };
    let report = app.import_courses(&Caller::system(), &bytes, &options, &progress).await;
    bar.finish_and_clear();
    let report = report.map_err(|error| anyhow!("{}: {error:#}", file.display()))?;
    let made = if options.dry_run { "would be made" } else { "made" };
    say(&format!("{} rows read, {} courses {made}, {} there already", report.rows, report.made, report.unchanged));
    for note in &report.different {
        say(&format!("line {}: {}: differs: {}", note.line, note.id, note.reason));
    }
    for note in &report.bad {
        say(&format!("line {}: {}: {}", note.line, note.id, note.reason));
    }
    say(&format!("{} rows left out", report.bad.len()));
    Ok(())
}

async fn import_enrollments(
    app: &App,
    file: &std::path::Path,
    options: EnrollmentImport,
    result: Option<&std::path::Path>,
) -> anyhow::Result<()> {
    let bytes = tokio::fs::read(file).await.with_context(|| format!("{} cannot be read", file.display()))?;
    // Drawn on standard error, and only where somebody watches.
    let bar = ProgressBar::new(0);
    let progress = |done: usize, of: usize| {
        bar.set_length(u64::try_from(of).unwrap_or(0));
        bar.set_position(u64::try_from(done).unwrap_or(0));
    };
    let report = app.import_enrollments(&Caller::system(), &bytes, &options, &progress).await;
    bar.finish_and_clear();
    let report = report.map_err(|error| anyhow!("{}: {error:#}", file.display()))?;
    if let Some(result) = result {
        tokio::fs::write(result, report.csv()).await.with_context(|| format!("{} cannot be written", result.display()))?;
    }
    let enrolled = if options.dry_run { "would be enrolled" } else { "enrolled" };
    let (fresh, already) = (report.count(Verdict::Enrolled), report.count(Verdict::Already));
    say(&format!("{} rows read, {fresh} {enrolled}, {already} there already", report.rows.len()));
    for row in report.rows.iter().filter(|row| !matches!(row.verdict, Verdict::Enrolled | Verdict::Already)) {
        say(&format!("line {}: {}: {}: {}", row.line, row.email, row.verdict.name().to_lowercase(), row.message));
    }
    say(&format!("{} rows left out", report.rows.len() - fresh - already));
    Ok(())
}

async fn key(app: &App, role: Role, company: Option<String>, scopes: &[String], name: String) -> anyhow::Result<()> {
    let role = match role {
        Role::Operator => KeyRole::Operator,
        Role::Manager => KeyRole::Manager,
        Role::Service => KeyRole::Service,
    };
    let company = company.map(|id| CompanyId::parse(&id).ok_or_else(|| anyhow!("--company: {id:?} is no company's id"))).transpose()?;
    let scopes = match scopes {
        [] => None,
        given => Some(
            given
                .iter()
                .map(|scope| Scope::parse(scope).ok_or_else(|| anyhow!("--scope: {scope:?} is no scope; write one such as catalog:write")))
                .collect::<anyhow::Result<Scopes>>()?,
        ),
    };
    let create = ServiceKeyCreate { name, role, company, scopes };
    let (_, secret) = app.service_key_create(&Caller::system(), create).await.map_err(|error| anyhow!("{error:#}"))?;
    say(secret.expose_secret());
    Ok(())
}

/// The settings with what the command line says over them; logs go on from here.
fn read(file: Option<PathBuf>, place: Place) -> anyhow::Result<Configuration> {
    let mut configuration = Configuration::read(file.as_deref())?;
    let settings = &mut configuration.settings;
    let mut overruled = false;
    if let Some(data) = place.data {
        settings.data = data;
        // A directory that is named on the command line is the embedded shop's, whatever database the settings know.
        overruled = settings.database.url.take().is_some() && place.database.is_none();
    }
    if let Some(url) = place.database {
        settings.database.url = Some(SecretString::from(url));
    }
    log(&settings.log)?;
    if overruled {
        tracing::warn!("--data names an embedded shop; the database of the settings is not used, add --database to use one");
    }
    for name in unread_variables(&configuration.gateways) {
        tracing::warn!(name, "nothing reads this environment variable");
    }
    Ok(configuration)
}

fn log(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter).context("log.filter")?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!(error).context("logs cannot be written"))
}

async fn migrate(configuration: &Configuration, action: Migrate) -> anyhow::Result<()> {
    let db = start::connect(&configuration.settings).await?;
    match action {
        Migrate::Up => {
            let names = start::migrate_up(&db).await?;
            names.iter().for_each(|name| say(&format!("applied {name}")));
            if names.is_empty() {
                say("nothing to do");
            }
        }
        Migrate::Down { steps } => {
            for name in start::migrate_down(&db, steps).await? {
                say(&format!("took back {name}"));
            }
        }
        Migrate::Status => {
            for step in start::steps(&db).await? {
                say(&format!("{} {}", if step.applied { "applied" } else { "missing" }, step.name));
            }
        }
    }
    db.close().await?;
    Ok(())
}
