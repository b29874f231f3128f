//! The program: chooses the payment gateways that there are, and does what the command line says.
//!
//! Always true here: this is the one file that names a concrete gateway.

// An optimised build works out the layout of the schema's nested futures here, which is deeper than the compiler's default allows.
#![recursion_limit = "256"]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use axum::Router;
use bursar::app::entropy::Clock;
use bursar::cli::{Cli, Program};
use bursar::serve::Playground;
use chrono::{DateTime, Utc};
use clap::Parser;
use port::{GatewayError, GatewayFactory, InstanceConfig, PaymentGateway};
use sandbox::{PAGE_PATH, Sandbox, SandboxFactory};

/// Answers are many small allocations, which this allocator is quick at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of stack for each thread: unoptimised, the futures of a placing alone need more than the usual 2 MiB.
const STACK: usize = 8 << 20;

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build()?;
    Ok(runtime.block_on(run(cli)))
}

async fn run(cli: Cli) -> ExitCode {
    // The one TLS library, before anybody connects. That somebody chose one already cannot be: this is the first statement that could.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sandboxes = Arc::new(Sandboxes::default());
    let factories: Vec<Arc<dyn GatewayFactory>> = vec![
        sandboxes.clone(),
        Arc::new(manual::ManualFactory),
        Arc::new(stripe::StripeFactory),
        Arc::new(przelewy24::Przelewy24Factory),
        Arc::new(payu::PayUFactory),
        Arc::new(paypal::PayPalFactory),
        // Above this line `bursar adapter new` adds the next one.
    ];
    Program { factories, playground: sandboxes }.run(cli).await
}

/// The sandbox gateways, which are played in this process.
#[derive(Debug, Default)]
struct Sandboxes {
    factory: SandboxFactory,
    address: OnceLock<SocketAddr>,
}

#[async_trait]
impl GatewayFactory for Sandboxes {
    fn adapter(&self) -> &'static str {
        self.factory.adapter()
    }

    async fn build(&self, mut config: InstanceConfig) -> Result<Arc<dyn PaymentGateway>, GatewayError> {
        // Its webhooks stay on this machine, also when buyers reach the shop under another address.
        if let Some(address) = self.address.get() {
            config.settings.entry("deliver_to").or_insert_with(|| bursar::start::reachable(*address).into());
        }
        self.factory.build(config).await
    }
}

#[async_trait]
impl Playground for Sandboxes {
    fn listens_at(&self, address: SocketAddr) {
        // Said once; a second address would be another server's.
        let _ = self.address.set(address);
    }

    fn pages(&self, clock: Arc<dyn Clock>) -> Router {
        Router::new().nest(PAGE_PATH, sandbox::pages(self.factory.built(), Arc::new(move || clock.now())))
    }

    async fn deliver_due(&self, now: DateTime<Utc>) -> usize {
        let mut delivered = 0;
        for sandbox in self.factory.built() {
            match sandbox.deliver_due(now).await {
                Ok(report) => delivered += report.delivered,
                Err(error) => tracing::warn!(gateway = sandbox.id(), %error, "messages of the sandbox wait"),
            }
        }
        delivered
    }

    async fn wait(&self) {
        let built = self.factory.built();
        if built.is_empty() {
            return std::future::pending().await;
        }
        let waits = built.iter().map(|sandbox| Box::pin(Sandbox::wait_for_event(sandbox)));
        futures_util::future::select_all(waits).await;
    }
}
