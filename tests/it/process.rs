//! The program itself, run as its users run it: a process with arguments, an environment, a directory, and what it prints.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use bursar::store::DbOptions;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::util;

/// The longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where one shop lives: a directory, and on PostgreSQL a database without tables.
pub struct Place {
    /// The directory in which the program runs; its data is in `data`.
    pub dir: TempDir,
    /// The database, where it is not the embedded one.
    pub database: Option<DbOptions>,
    /// What every process finds in its environment.
    pub environment: Vec<(&'static str, String)>,
}

impl Place {
    /// A place where nothing was ever started.
    pub async fn new() -> Self {
        let database = util::empty_postgres().await;
        let mut environment = vec![("RUST_BACKTRACE", "0".to_owned())];
        if let Some(options) = &database {
            environment.push(("BURSAR_SECRET", "a secret of the installation, for a test".to_owned()));
            environment.push(("BURSAR_DATABASE_POOL", options.pool.to_string()));
        }
        Self { dir: tempfile::tempdir().expect("a temporary directory"), database, environment }
    }

    /// Where the embedded database and the secret are.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Sets a variable for the processes that follow.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
    }

    /// `bursar` with these arguments.
    pub fn bursar(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BURSAR_")) {
            command.env_remove(name);
        }
        command.args(args).envs(self.environment.iter().map(|(name, value)| (name, value))).current_dir(self.dir.path());
        command
    }

    /// The arguments that say where this shop's data is.
    pub fn arguments(&self) -> Vec<&str> {
        match &self.database {
            Some(options) => vec!["--data", "data", "--database", &options.url],
            None => vec!["--data", "data"],
        }
    }

    /// Runs a command of this shop to its end.
    pub async fn run(&self, args: &[&str]) -> Output {
        let all = [args, &self.arguments()[..]].concat();
        self.ended(&all).await
    }

    /// Runs `bursar` with these arguments and no others to its end.
    pub async fn ended(&self, args: &[&str]) -> Output {
        let mut command = self.bursar(args);
        timeout(PATIENCE, spawn_blocking(move || command.output())).await.expect("it ends").expect("it is waited for").expect("it starts")
    }

    /// A command of this shop that goes on until it is stopped.
    pub fn running(&self, args: &[&str]) -> Running {
        let all = [args, &self.arguments()[..]].concat();
        let nowhere = || Stdio::null();
        Running(self.bursar(&all).stdin(nowhere()).stdout(nowhere()).stderr(nowhere()).spawn().expect("it starts"))
    }

    /// Runs a command that must do what it was asked; gives its lines.
    pub async fn done(&self, args: &[&str]) -> Vec<String> {
        let output = self.run(args).await;
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Runs a command that must fail by itself, not by a panic; gives what it says on standard error.
    pub async fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// `bursar serve` with more arguments, as soon as it has said where it listens.
    pub async fn serve(&self, args: &[&str]) -> Server {
        let all = [&["serve", "--bind", "127.0.0.1:0"], args, &self.arguments()[..]].concat();
        Server::start(self.bursar(&all), self.dir.path()).await
    }

    /// A service key with these scopes, or an operator's with every scope; its secret.
    pub async fn key(&self, scopes: &[&str]) -> String {
        let mut args = vec!["key", "create", "--role", if scopes.is_empty() { "operator" } else { "service" }];
        for scope in scopes {
            args.extend(["--scope", scope]);
        }
        let lines = self.done(&args).await;
        let [secret] = &lines[..] else { panic!("the secret alone, not {lines:?}") };
        secret.clone()
    }
}

/// What a process printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A process that goes on until it is stopped; it does not outlive its test.
pub struct Running(Child);

impl Running {
    /// Asks it to stop.
    pub fn ask_to_stop(&self) {
        let status = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().expect("kill is there");
        assert!(status.success(), "there is nobody to ask");
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.0.try_wait().expect("it can be waited for") {
                return status;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("it did not end in time");
    }

    /// Asks it to stop and waits until it has, in order.
    pub async fn stop(self) {
        self.ask_to_stop();
        assert_eq!(self.ended().await.code(), Some(0), "a stop in order is no failure");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server.
pub struct Server {
    process: Running,
    lines: mpsc::UnboundedReceiver<String>,
    client: Client,
    /// Where it answers, without a slash at the end.
    pub url: String,
}

impl Server {
    /// Starts `command` and waits for its first line. What it logs goes into a file of `dir`.
    pub async fn start(mut command: Command, dir: &Path) -> Self {
        let path = dir.join("log");
        let log = OpenOptions::new().create(true).append(true).open(&path).expect("a file for the log");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("it starts");
        let printed = BufReader::new(child.stdout.take().expect("its output is ours"));
        let process = Running(child);
        let (send, mut lines) = mpsc::unbounded_channel();
        // Ends with the process, whose output then does.
        std::thread::spawn(move || printed.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let first = timeout(PATIENCE, lines.recv()).await.expect("it starts in time");
        let logged = || std::fs::read_to_string(&path).unwrap_or_default();
        let first = first.unwrap_or_else(|| panic!("it ended before it listened:\n{}", logged()));
        let url = first.strip_prefix("listening on ").unwrap_or_else(|| panic!("the first line is {first:?}")).to_owned();
        // Building a client needs a TLS provider, whatever it talks to. Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build().expect("a client");
        Self { process, lines, client, url }
    }

    /// The next line that it prints.
    pub async fn line(&mut self) -> String {
        timeout(PATIENCE, self.lines.recv()).await.expect("it prints more in time").expect("it prints more")
    }

    /// GET of a path.
    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.expect("an answer")
    }

    /// POST to a path.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// A GraphQL request, not yet sent. `headers` are pairs of name and value.
    pub fn request(&self, headers: &[(&str, &str)], query: &str, variables: Value) -> RequestBuilder {
        let request = self.post("/graphql").json(&json!({ "query": query, "variables": variables }));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    /// A GraphQL request's whole answer.
    pub async fn answer(&self, headers: &[(&str, &str)], query: &str, variables: Value) -> Value {
        self.request(headers, query, variables).send().await.expect("an answer").json().await.expect("JSON")
    }

    /// The data of an operation that nobody refuses.
    pub async fn ok(&self, headers: &[(&str, &str)], query: &str, variables: Value) -> Value {
        let answer = self.answer(headers, query, variables).await;
        assert!(answer.get("errors").is_none(), "{query}\n{answer:#}");
        for field in answer["data"].as_object().into_iter().flat_map(|data| data.values()) {
            assert!(field.get("userErrors").is_none_or(|refusals| *refusals == json!([])), "{query}\n{answer:#}");
        }
        answer["data"].clone()
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) {
        self.process.ask_to_stop();
    }

    /// Waits until it has stopped, in order.
    pub async fn stopped(self) {
        assert_eq!(self.process.ended().await.code(), Some(0), "a stop in order is no failure");
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(self) {
        self.process.stop().await;
    }

    /// Ends it as a crash would.
    pub fn kill(self) {
        drop(self.process);
    }
}

/// The header of a bearer's token or key.
pub fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}
