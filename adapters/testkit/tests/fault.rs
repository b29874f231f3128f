//! Shows each fault of the proxy to a client, and what the gateway behind it noticed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use bursar_testkit::fault::{Fault, FaultProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A gateway that counts its charges and echoes what it got.
struct Gateway {
    charges: Arc<AtomicUsize>,
    proxy: FaultProxy,
}

impl Gateway {
    async fn open() -> Self {
        let charges = Arc::new(AtomicUsize::new(0));
        let counter = charges.clone();
        let charge = move |body: String| async move {
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            format!(r#"{{"charge":{number},"for":"{body}"}}"#)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/charges", post(charge))).await });
        Self { charges, proxy: FaultProxy::before(address).await.expect("a port") }
    }

    /// Charges through the proxy with `fault` on.
    async fn charge(&self, fault: Fault) -> Result<Answer, std::io::Error> {
        self.proxy.set(fault);
        call(self.proxy.address()).await
    }

    fn charges(&self) -> usize {
        assert_eq!(self.charges.load(Ordering::SeqCst), self.proxy.forwarded(), "what was forwarded is what arrived");
        self.proxy.forwarded()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
    announced: usize,
}

async fn call(address: SocketAddr) -> Result<Answer, std::io::Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"POST /charges HTTP/1.1\r\nHost: gateway\r\nConnection: keep-alive\r\nContent-Length: 6\r\n\r\n").await?;
    // The body in a packet of its own: a proxy must wait for it.
    stream.write_all(b"B-2041").await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = head.to_ascii_lowercase();
    let announced = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).and_then(|length| length.parse().ok());
    Ok(Answer { status: head[9..12].parse().expect("a status"), body: body.to_owned(), announced: announced.expect("a length"), head })
}

#[tokio::test]
async fn without_a_fault_the_call_goes_through_unchanged() {
    let gateway = Gateway::open().await;
    let answer = gateway.charge(Fault::None).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_str(), gateway.charges()), (200, r#"{"charge":1,"for":"B-2041"}"#, 1));
    assert!(gateway.proxy.url().starts_with("http://127.0.0.1:"));
}

#[tokio::test]
async fn a_delayed_answer_is_late_although_the_charge_was_made() {
    let gateway = Gateway::open().await;
    let late = tokio::time::timeout(Duration::from_secs(1), gateway.charge(Fault::Delay(Duration::from_secs(30)))).await;
    assert!(late.is_err(), "answered in time");
    assert_eq!(gateway.charges(), 1);
}

#[tokio::test]
async fn resets_before_and_after_look_alike_but_differ_in_what_was_charged() {
    let gateway = Gateway::open().await;
    assert!(gateway.charge(Fault::ResetBefore).await.is_err());
    assert_eq!(gateway.charges(), 0);
    assert!(gateway.charge(Fault::ResetAfter).await.is_err());
    assert_eq!(gateway.charges(), 1);
}

#[tokio::test]
async fn an_answer_breaks_off_in_its_body() {
    let gateway = Gateway::open().await;
    let answer = gateway.charge(Fault::ResetWithinBody).await.expect("half an answer");
    assert_eq!((answer.status, answer.announced, answer.body.as_str()), (200, 27, r#"{"charge":1,""#));
    assert_eq!(gateway.charges(), 1);
}

#[tokio::test]
async fn a_body_is_cut_as_if_that_were_all() {
    let gateway = Gateway::open().await;
    let answer = gateway.charge(Fault::CutBody).await.expect("an answer");
    assert_eq!((answer.status, answer.announced, answer.body.as_str()), (200, 13, r#"{"charge":1,""#));
    assert_eq!(gateway.charges(), 1);
}

#[tokio::test]
async fn refusals_and_errors_are_answered_without_the_gateway() {
    let gateway = Gateway::open().await;
    let answer = gateway.charge(Fault::TooManyRequests(7)).await.expect("an answer");
    assert!(answer.status == 429 && answer.head.contains("retry-after: 7"), "{answer:?}");
    let answer = gateway.charge(Fault::InternalError).await.expect("an answer");
    assert!(answer.status == 500 && answer.body.starts_with('{'), "{answer:?}");
    assert_eq!(gateway.charges(), 0);
}

#[tokio::test]
async fn an_error_page_hides_a_charge() {
    let gateway = Gateway::open().await;
    let answer = gateway.charge(Fault::BadGatewayPage).await.expect("an answer");
    assert!(answer.status == 502 && answer.body.starts_with("<html>"), "{answer:?}");
    assert_eq!(gateway.charges(), 1);
}

#[tokio::test]
async fn a_call_arrives_twice() {
    let gateway = Gateway::open().await;
    let answer = gateway.charge(Fault::Twice).await.expect("an answer");
    assert_eq!((answer.body.as_str(), gateway.charges()), (r#"{"charge":2,"for":"B-2041"}"#, 2));
}
