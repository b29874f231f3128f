//! `bursar serve`: the shop as a server, from the first line it prints to its orderly stop.
//!
//! Always true here: what is announced can answer; what was begun when the stop came is brought to its end, as long as the time for it lasts.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use async_trait::async_trait;
use axum::Router;
use chrono::{DateTime, Utc};
use port::{GatewayFactory, Mode};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::entropy::{Clock, SystemClock};
use crate::config::{Configuration, LimitSettings, Mistake, Mistakes, Settings};
use crate::graphql;
use crate::graphql::executor::Guarded;
use crate::graphql::limits::Limits;
use crate::graphql::loader::Batching;
use crate::http::auth::Auth;
use crate::http::client_ip::TrustedProxies;
use crate::http::graphql::Endpoint;
use crate::http::{self, Site, metrics};
use crate::start::{self, Surroundings};
use crate::worker;
use counted::Counted;
use test_clock::SettableClock;

pub mod counted;
pub mod test_clock;

/// How often messages of gateways that are played here are looked for, beside being woken.
const DELIVERY_EVERY: Duration = Duration::from_secs(1);

/// Gateways that this process plays itself: beside what every gateway does, they have pages, and messages that somebody must carry.
#[async_trait]
pub trait Playground: Send + Sync + 'static {
    /// Told before the gateways are built: where this process listens.
    fn listens_at(&self, address: SocketAddr);

    /// The pages of all that were built.
    fn pages(&self, clock: Arc<dyn Clock>) -> Router;

    /// Carries the messages that are due; how many arrived.
    async fn deliver_due(&self, now: DateTime<Utc>) -> usize;

    /// Returns when there may be a message to carry.
    async fn wait(&self);
}

/// How to serve.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether to run the worker too.
    pub worker: bool,
    /// Whether the clock is set from outside.
    pub test_clock: bool,
    /// Whether to make the demo catalogue and its operator.
    pub seed: bool,
}

/// Serves until told to stop.
///
/// # Errors
/// What keeps it from starting, with the key to mend; or what went wrong while stopping.
pub async fn run(
    configuration: &Configuration,
    options: Options,
    factories: &[Arc<dyn GatewayFactory>],
    playground: Arc<dyn Playground>,
) -> anyhow::Result<()> {
    let settings = &configuration.settings;
    if options.test_clock
        && let Some(live) = configuration.gateways.iter().find(|gateway| gateway.mode == Mode::Live)
    {
        bail!(
            "--test-clock: the gateway {:?} takes real money; a clock that is set from outside would charge for what is not due",
            live.id
        );
    }
    let proxies = edge(settings)?;
    let stop = CancellationToken::new();
    listen_to_signals(stop.clone())?;
    let listener =
        TcpListener::bind(settings.server.bind).await.with_context(|| format!("server.bind: cannot listen on {}", settings.server.bind))?;
    let address = listener.local_addr()?;
    playground.listens_at(address);

    let clock: Arc<dyn Clock> = if options.test_clock { Arc::new(SettableClock::default()) } else { Arc::new(SystemClock) };
    let surroundings = Surroundings { factories, clock: clock.clone(), address: Some(address) };
    let app = Arc::new(start::open(configuration, surroundings).await?);
    let _running = start::enter(settings, &app.db).await?;

    let sdl = graphql::sdl();
    let executor = Counted::new(Batching::new(graphql::schema(), app.clone()), options.test_clock);
    let guarded = Guarded::new(executor, &sdl, limits(&settings.limits)).context("the schema cannot be read")?;
    let tasks = guarded.tasks().clone();
    let endpoint = Endpoint::new(guarded, Arc::new(Auth::new(app.clone()))).body_bytes(settings.limits.body_bytes).stop_with(stop.clone());
    let recorder = metrics::install()?;
    let mut extra = playground.pages(clock.clone());
    if options.test_clock {
        extra = extra.merge(test_clock::routes(app.clone(), playground.clone()));
    }
    let router = http::router(Site {
        app: app.clone(),
        endpoint,
        metrics: recorder.clone(),
        cors_origins: settings.server.cors_origins.clone(),
        proxies,
        mails: mails_at_home(settings, address),
        extra,
    })?;

    let mut background = JoinSet::new();
    background.spawn(metrics::upkeep(recorder, stop.clone()));
    background.spawn(deliver(playground, clock, stop.clone()));
    if options.worker {
        background.spawn(worker::run(app.clone(), stop.clone()));
    }

    if options.seed {
        app.seed_demo().await.map_err(|error| anyhow!("the demo catalogue cannot be made: {error:#}"))?;
    }
    announce(address);
    if options.seed {
        welcome(&app, address, mails_at_home(settings, address)).await?;
    }
    let within = Duration::from_secs(settings.server.stop_s.into());
    let server = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>());
    let server = tokio::spawn(server.with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
    stop.cancelled().await;
    tracing::info!("stopping");
    let finished = tokio::time::timeout(within, async {
        server.await??;
        tasks.close();
        tasks.wait().await;
        while background.join_next().await.is_some() {}
        anyhow::Ok(())
    });
    match finished.await {
        Ok(result) => result?,
        Err(_) => tracing::warn!(
            seconds = within.as_secs(),
            "stopped before everything came to its end; the worker goes on with it at the next start"
        ),
    }
    app.db.clone().close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// Whether the mails of this shop stay on this machine and whoever sits there may read them: the embedded shop as it is tried out.
fn mails_at_home(settings: &Settings, address: SocketAddr) -> bool {
    let Settings { database, mail, shop, .. } = settings;
    database.url.is_none() && mail.smtp_url.is_none() && shop.public_url.is_empty() && address.ip().is_loopback()
}

/// What the settings say about networks and pages of others.
///
/// # Errors
/// An entry that is none.
pub(crate) fn edge(settings: &Settings) -> Result<TrustedProxies, Mistakes> {
    let mut list = Vec::new();
    if let Err(error) = http::cors::apply::<()>(Router::new(), &settings.server.cors_origins) {
        list.push(Mistake { key: "server.cors_origins".to_owned(), what: error.to_string() });
    }
    let proxies = TrustedProxies::parse(settings.server.trusted_proxies.iter().map(String::as_str))
        .map_err(|error| list.push(Mistake { key: "server.trusted_proxies".to_owned(), what: error.to_string() }));
    match proxies {
        Ok(proxies) if list.is_empty() => Ok(proxies),
        _ => Err(Mistakes { file: None, list }),
    }
}

fn limits(settings: &LimitSettings) -> Limits {
    let LimitSettings { time_s, depth, cost, aliases, .. } = *settings;
    Limits { time: Duration::from_secs(time_s.into()), depth, cost, aliases, ..Limits::default() }
}

/// Cancels `stop` at the first SIGTERM or Ctrl-C; a second ends the process at once.
pub(crate) fn listen_to_signals(stop: CancellationToken) -> std::io::Result<()> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            #[cfg(unix)]
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            #[cfg(not(unix))]
            let _ = tokio::signal::ctrl_c().await;
            if stop.is_cancelled() {
                std::process::exit(130);
            }
            stop.cancel();
        }
    });
    Ok(())
}

/// The first line, which programs that start the shop wait for.
fn announce(address: SocketAddr) {
    say(&format!("listening on {}", start::reachable(address)));
}

/// The address of the demo's operator.
const DEMO_OPERATOR: &str = "operator@shop.example";

/// Prints how to go on with the demo shop: a sign-in for its operator, and something to ask.
async fn welcome(app: &crate::app::App, address: SocketAddr, mails: bool) -> anyhow::Result<()> {
    let base = start::reachable(address);
    let email = domain::text::Email::parse(DEMO_OPERATOR)?;
    let link = app.operator_link(&email).await.map_err(|error| anyhow!("no sign-in link for the operator: {error:#}"))?;
    if let Some(link) = link {
        say(&format!("sign in as {DEMO_OPERATOR}, once: {}", link.expose_secret()));
    }
    say(&format!("open {base}/graphql and paste:"));
    say("  { offers(search: \"rust\", first: 5) { nodes { sku title price { amount currency } } } }");
    if mails {
        say(&format!("no mail leaves this machine; read them at {base}/mails"));
    }
    Ok(())
}

/// Prints a line. Nobody reading is no reason not to serve.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Carries the messages of gateways that are played here, until `stop`.
async fn deliver(playground: Arc<dyn Playground>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let carrying = async {
        loop {
            playground.deliver_due(clock.now()).await;
            let _ = tokio::time::timeout(DELIVERY_EVERY, playground.wait()).await;
        }
    };
    stop.run_until_cancelled(carrying).await;
}
