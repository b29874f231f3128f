//! A proxy between an adapter and a gateway's double that makes the network misbehave, one fault at a time.
//!
//! Always true here: what was forwarded is counted, so a test can tell a call that never arrived from one whose answer was lost. It speaks HTTP/1.1
//! with one request per connection, on loopback only.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
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
    /// The call waits so long, and is never forwarded.
    Stall(Duration),
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
    /// 307 to another place at the proxy; nothing is forwarded.
    Redirect,
    /// 401; nothing is forwarded.
    Unauthorised,
    /// Every object of the answer's JSON has a field more that nobody knows.
    MoreFields,
    /// These fields are missing from every object of the answer's JSON.
    Without(&'static [&'static str]),
}

/// Which calls something goes wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Every call.
    All,
    /// Those that only look: GET and HEAD.
    Reads,
    /// All others.
    Writes,
}

/// Where [`Fault::Redirect`] points.
const ELSEWHERE: &str = "/elsewhere";

/// What the proxy has seen.
#[derive(Debug, Default)]
struct Seen {
    opened: AtomicUsize,
    forwarded: AtomicUsize,
    strayed: AtomicUsize,
    credentials: Mutex<BTreeSet<String>>,
}

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: Arc<Mutex<(Calls, Fault)>>,
    seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts a proxy before `upstream` on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn before(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (fault, seen) = (Arc::new(Mutex::new((Calls::All, Fault::None))), Arc::new(Seen::default()));
        let (current, counts) = (fault.clone(), seen.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counts.opened.fetch_add(1, Ordering::SeqCst);
                let fault = *current.lock().unwrap_or_else(PoisonError::into_inner);
                // A connection that breaks is what this is for: nobody is told.
                tokio::spawn(serve(client, upstream, fault, counts.clone()));
            }
        });
        Ok(Self { address, fault, seen, tasks: vec![task] })
    }

    /// Serves `double` on a free port of the loopback interface, and starts a proxy before it.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn around(double: axum::Router) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let upstream = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            // It ends with the proxy; why is nobody's business.
            let _ = axum::serve(listener, double).await;
        });
        let mut proxy = Self::before(upstream).await?;
        proxy.tasks.push(serving);
        Ok(proxy)
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
        self.set_on(Calls::All, fault);
    }

    /// What goes wrong with some of the calls on the connections opened from now on.
    pub fn set_on(&self, calls: Calls, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = (calls, fault);
    }

    /// How many connections were opened so far.
    pub fn opened(&self) -> usize {
        self.seen.opened.load(Ordering::SeqCst)
    }

    /// How many calls have reached the gateway so far.
    pub fn forwarded(&self) -> usize {
        self.seen.forwarded.load(Ordering::SeqCst)
    }

    /// How many calls followed [`Fault::Redirect`].
    pub fn strayed(&self) -> usize {
        self.seen.strayed.load(Ordering::SeqCst)
    }

    /// What the calls so far identified themselves with: the last word of each `Authorization` header.
    pub fn credentials(&self) -> Vec<String> {
        self.seen.credentials.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(mut client: TcpStream, upstream: SocketAddr, fault: (Calls, Fault), seen: Arc<Seen>) -> io::Result<()> {
    let request = read_request(&mut client).await?;
    seen.note(&request);
    let reads = request.starts_with(b"GET ") || request.starts_with(b"HEAD ");
    let fault = match fault {
        (Calls::All, fault) => fault,
        (Calls::Reads, fault) if reads => fault,
        (Calls::Writes, fault) if !reads => fault,
        _ => Fault::None,
    };
    let forward = async || {
        let answer = forward(upstream, &request).await?;
        seen.forwarded.fetch_add(1, Ordering::SeqCst);
        Ok::<_, io::Error>(answer)
    };
    let answer = match fault {
        Fault::None => forward().await?,
        Fault::Delay(time) => {
            let answer = forward().await?;
            tokio::time::sleep(time).await;
            answer
        }
        Fault::Stall(time) => {
            tokio::time::sleep(time).await;
            return client.set_zero_linger();
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
        Fault::Redirect => canned("307 Temporary Redirect", "text/plain", &format!("Location: {ELSEWHERE}\r\n"), ""),
        Fault::Unauthorised => canned("401 Unauthorized", "application/json", "", r#"{"error":"unauthorised"}"#),
        Fault::MoreFields => {
            changed(&forward().await?, &|object| _ = object.insert("a_new_field".to_owned(), json!({ "of": ["tomorrow"] })))
        }
        Fault::Without(fields) => changed(&forward().await?, &|object| object.retain(|name, _| !fields.contains(&name.as_str()))),
    };
    client.write_all(&answer).await?;
    client.shutdown().await
}

impl Seen {
    fn note(&self, request: &[u8]) {
        let head = String::from_utf8_lossy(split(request).0).into_owned();
        if head.split(' ').nth(1).is_some_and(|path| path.starts_with(ELSEWHERE)) {
            self.strayed.fetch_add(1, Ordering::SeqCst);
        }
        let headers = head.lines().filter_map(|line| line.split_once(':'));
        for (_, value) in headers.filter(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            let word = value.split_whitespace().next_back().unwrap_or_default().to_owned();
            self.credentials.lock().unwrap_or_else(PoisonError::into_inner).insert(word);
        }
    }
}

/// The same answer after `change` to each object of its JSON; one that is no JSON stays as it is.
fn changed(answer: &[u8], change: &dyn Fn(&mut Map<String, Value>)) -> Vec<u8> {
    let (head, body) = split(answer);
    let Ok(mut value) = serde_json::from_slice(body) else { return answer.to_vec() };
    change_all(&mut value, change);
    let body = value.to_string();
    let head = String::from_utf8_lossy(head);
    let kept = head.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("content-length:") && *line != "\r\n");
    format!("{}Content-Length: {}\r\n\r\n{body}", kept.collect::<String>(), body.len()).into_bytes()
}

fn change_all(value: &mut Value, change: &dyn Fn(&mut Map<String, Value>)) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| change_all(value, change)),
        Value::Object(object) => {
            object.values_mut().for_each(|value| change_all(value, change));
            change(object);
        }
        _ => {}
    }
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
