//! A mail server on this machine that does as it is told: takes messages, refuses, delays, hangs up.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with one message. Without a turn it takes it.
#[derive(Debug, Clone)]
pub enum Turn {
    /// Takes it.
    Take,
    /// Refuses the message, once all of it was sent, with this reply.
    RefuseMessage(&'static str),
    /// Takes it, and says so after so long.
    Delay(Duration),
    /// Keeps it, and hangs up before it says so.
    HangUpAfter,
    /// Hangs up in the middle.
    HangUp,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it, by the envelope.
    pub from: String,
    /// To whom, by the envelope.
    pub to: Vec<String>,
    /// All of it.
    pub data: String,
}

impl Received {
    /// The value of a header, unfolded; panics if it is not there.
    pub fn header(&self, name: &str) -> String {
        let head = self.data.split("\r\n\r\n").next().expect("a head").replace("\r\n ", " ").replace("\r\n\t", " ");
        let prefix = format!("{name}: ");
        let line = head.split("\r\n").find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name} in\n{head}")).to_owned()
    }
}

#[derive(Debug, Default)]
struct State {
    turns: VecDeque<Turn>,
    refused: HashMap<String, &'static str>,
    received: Vec<Received>,
}

/// The server; it ends with the test.
pub struct MailServer {
    /// Where it is, as `mail.smtp_url` says it.
    pub url: String,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

impl MailServer {
    /// A server that takes every message.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("smtp://{}", listener.local_addr().expect("its address"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                // A client that is gone is no concern of the server's.
                tokio::spawn(async move { converse(stream, &state).await.ok() });
            }
        });
        Self { url, state, serving }
    }

    /// What it does with the next messages.
    pub fn then(&self, turns: impl IntoIterator<Item = Turn>) {
        self.state.lock().expect("nobody panicked").turns.extend(turns);
    }

    /// Refuses this recipient with this reply from now on.
    pub fn refuse(&self, address: &str, reply: &'static str) {
        self.state.lock().expect("nobody panicked").refused.insert(address.to_owned(), reply);
    }

    /// What arrived so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().expect("nobody panicked").received.clone()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn converse(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read);
    write.write_all(b"220 double ESMTP\r\n").await?;
    let (mut message, mut turn) = (Received { from: String::new(), to: Vec::new(), data: String::new() }, Turn::Take);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-double\r\n250-8BITMIME\r\n250 SMTPUTF8",
            "MAIL" => {
                turn = state.lock().expect("nobody panicked").turns.pop_front().unwrap_or(Turn::Take);
                message = Received { from: path(line), to: Vec::new(), data: String::new() };
                if matches!(turn, Turn::HangUp) {
                    return Ok(());
                }
                "250 OK"
            }
            "RCPT" => {
                message.to.push(path(line));
                state.lock().expect("nobody panicked").refused.get(&path(line)).copied().unwrap_or("250 OK")
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                loop {
                    let mut part = String::new();
                    if lines.read_line(&mut part).await? == 0 {
                        return Ok(());
                    }
                    if part == ".\r\n" {
                        break;
                    }
                    message.data.push_str(part.strip_prefix('.').unwrap_or(&part));
                }
                if !matches!(turn, Turn::RefuseMessage(_)) {
                    state.lock().expect("nobody panicked").received.push(message.clone());
                }
                if let Turn::Delay(time) = turn {
                    tokio::time::sleep(time).await;
                }
                match turn {
                    Turn::RefuseMessage(reply) => reply,
                    Turn::HangUpAfter => return Ok(()),
                    _ => "250 taken",
                }
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            "RSET" | "NOOP" => "250 OK",
            _ => "502 what?",
        };
        write.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

/// The address between the angle brackets.
fn path(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}
