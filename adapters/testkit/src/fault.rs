//! A proxy between an adapter and a gateway's double that makes the network misbehave, one fault at a time.
//!
//! Always true here: what was forwarded is counted, so a test can tell a call that never arrived from one whose answer was lost. It speaks HTTP/1.1
//! with one request per connection, on loopback only.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The answer comes so much later; the call is forwarded at once.
    Delay(Duration),
    /// The connection is reset before the call is forwarded.
    ResetBefore,
    /// The call is forwarded, then the connection is reset instead of answering.
    ResetAfter,
    /// The call is forwarded, and the connection ends in the middle of the answer's body.
    ResetWithinBody,
    /// 429 with `Retry-After` in seconds; nothing is forwarded.
    TooManyRequests(u32),
    /// 500 with a JSON error; nothing is forwarded.
    InternalError,
    /// 502 with a page for humans, although the call was forwarded.
    BadGatewayPage,
    /// The call is forwarded, and its status comes back with half of its body, as if that were all.
    CutBody,
    /// The call is forwarded twice; the second answer comes back.
    Twice,
}

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
    forwarded: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy before `upstream` on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn before(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (fault, forwarded) = (Arc::new(Mutex::new(Fault::None)), Arc::new(AtomicUsize::new(0)));
        let (current, count) = (fault.clone(), forwarded.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fault = *current.lock().unwrap_or_else(PoisonError::into_inner);
                // A connection that breaks is what this is for: nobody is told.
                tokio::spawn(serve(client, upstream, fault, count.clone()));
            }
        });
        Ok(Self { address, fault, forwarded, task })
    }

    /// Where the proxy listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address behind [`url`](Self::url).
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes wrong with the connections opened from now on.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// How many calls have reached the gateway so far.
    pub fn forwarded(&self) -> usize {
        self.forwarded.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, upstream: SocketAddr, fault: Fault, forwarded: Arc<AtomicUsize>) -> io::Result<()> {
    let request = read_request(&mut client).await?;
    let forward = async || {
        let answer = forward(upstream, &request).await?;
        forwarded.fetch_add(1, Ordering::SeqCst);
        Ok::<_, io::Error>(answer)
    };
    let answer = match fault {
        Fault::None => forward().await?,
        Fault::Delay(time) => {
            let answer = forward().await?;
            tokio::time::sleep(time).await;
            answer
        }
        Fault::ResetBefore => return client.set_zero_linger(),
        Fault::ResetAfter => {
            forward().await?;
            return client.set_zero_linger();
        }
        Fault::ResetWithinBody => {
            let answer = forward().await?;
            let (head, body) = split(&answer);
            client.write_all(head).await?;
            client.write_all(&body[..body.len() / 2]).await?;
            return client.shutdown().await;
        }
        Fault::TooManyRequests(seconds) => {
            canned("429 Too Many Requests", "application/json", &format!("Retry-After: {seconds}\r\n"), "{}")
        }
        Fault::InternalError => canned("500 Internal Server Error", "application/json", "", r#"{"error":"internal"}"#),
        Fault::BadGatewayPage => {
            forward().await?;
            canned("502 Bad Gateway", "text/html", "", "<html><body><h1>502 Bad Gateway</h1></body></html>")
        }
        Fault::CutBody => {
            let answer = forward().await?;
            let (head, body) = split(&answer);
            let status = head.split(|byte| *byte == b'\r').next().and_then(|line| line.get("HTTP/1.1 ".len()..)).unwrap_or(b"200 OK");
            canned(&String::from_utf8_lossy(status), "application/json", "", &String::from_utf8_lossy(&body[..body.len() / 2]))
        }
        Fault::Twice => {
            forward().await?;
            forward().await?
        }
    };
    client.write_all(&answer).await?;
    client.shutdown().await
}

/// Reads one request with its body and asks for the connection to end after the answer.
async fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while split(&bytes).0.is_empty() {
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = String::from_utf8_lossy(split(&bytes).0).into_owned();
    let length = head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0);
    while split(&bytes).1.len() < length {
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let (first, rest) = head.split_once("\r\n").unwrap_or((&head, "\r\n"));
    let kept: String =
        rest.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:") && *line != "\r\n").collect();
    Ok([format!("{first}\r\n{kept}Connection: close\r\n\r\n").as_bytes(), split(&bytes).1].concat())
}

async fn forward(upstream: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut gateway = TcpStream::connect(upstream).await?;
    gateway.write_all(request).await?;
    let mut answer = Vec::new();
    gateway.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Head, with its empty line, and body; both empty while the head is not complete.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    match message.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(end) => message.split_at(end + 4),
        None => (&[], &[]),
    }
}

fn canned(status: &str, content_type: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}
