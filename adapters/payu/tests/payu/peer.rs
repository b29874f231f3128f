//! PayU as somebody else has written it: the simulator of python-getpaid, on the loopback interface, installed by `scripts/peers`.

use std::net::{SocketAddr, TcpListener as Port};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bursar_payu::PayU;
use domain::RefundId;
use port::{Found, GatewayError, NextAction, PaymentGateway, PaymentStatus, RawWebhook, RefundQuery, RefundRequest, RefundStatus};
use reqwest::Client;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::double::SECOND_KEY;
use crate::{at, config, context, pln, request, seen};

/// A process that ends with its test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A TLS provider and no proxy: everything is on this machine.
fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

/// The simulator behind a pass-through that adds the list of refunds, which it does not have.
async fn simulator() -> (Peer, String) {
    let peers = std::env::var("BURSAR_PEERS").expect("BURSAR_PEERS names where gateways of others are installed: run scripts/peers");
    let port = Port::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port").port();
    let child = Command::new(format!("{peers}/bin/getpaid-simulator"))
        .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--plugin-failure-mode", "strict"])
        .env("SIMULATOR_HOST", "127.0.0.1")
        .env("SIMULATOR_PAYU_SECOND_KEY", SECOND_KEY)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the simulator is installed: run scripts/peers");
    let (peer, base, http) = (Peer(child), format!("http://127.0.0.1:{port}"), client());
    for _ in 0..300 {
        if http.get(format!("{base}/sim/status")).send().await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let forwarded = base.clone();
    let forward = move |request: Request| forward(client(), forwarded.clone(), request);
    let router = Router::new()
        .route("/payu/api/v2_1/orders/{order}/refunds", get(|| async { r#"{"refunds":[]}"# }).post(forward.clone()))
        .fallback(forward);
    (peer, format!("http://{}", serve(router).await))
}

async fn forward(http: Client, base: String, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a short body");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut call = http.request(parts.method, format!("{base}{path}")).body(body);
    for name in ["authorization", "content-type", "host"] {
        if let Some(value) = parts.headers.get(name) {
            call = call.header(name, value);
        }
    }
    let answer = call.send().await.expect("the simulator answers");
    let mut headers = HeaderMap::new();
    for name in ["content-type", "location"] {
        if let Some(value) = answer.headers().get(name) {
            headers.insert(name, value.clone());
        }
    }
    (answer.status(), headers, answer.bytes().await.expect("a body")).into_response()
}

type Deliveries = Arc<Mutex<Vec<(HeaderMap, Vec<u8>)>>>;

/// The shop's address for reports: it keeps what comes, and refuses the first two deliveries.
async fn shop() -> (String, Deliveries) {
    let kept = Deliveries::default();
    let hook = |State(kept): State<Deliveries>, headers: HeaderMap, body: Bytes| async move {
        let mut kept = kept.lock().expect("nobody panicked");
        kept.push((headers, body.to_vec()));
        if kept.len() <= 2 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
    };
    let router = Router::new().route("/hook", post(hook)).with_state(kept.clone());
    (format!("http://{}/hook", serve(router).await), kept)
}

async fn deliveries(kept: &Deliveries, count: usize) -> Vec<RawWebhook> {
    for _ in 0..300 {
        if kept.lock().expect("nobody panicked").len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let kept = kept.lock().expect("nobody panicked");
    kept.iter()
        .map(|(headers, body)| {
            let headers = headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
            RawWebhook { headers: headers.collect(), query: String::new(), body: body.clone(), received_at: at(0) }
        })
        .collect()
}

/// The buyer's decision on the simulator's page.
async fn decide(base: &str, page: &str, action: &str) {
    let path = page.parse::<Uri>().expect("an address").path().to_owned();
    let answer = client().post(format!("{base}{path}")).form(&[("action", action)]).send().await.expect("the page answers");
    assert!(answer.status().is_redirection() || answer.status().is_success(), "{}", answer.status());
}

#[tokio::test]
#[ignore = "needs a gateway of others: scripts/peers"]
async fn payments_against_a_simulator_of_payu() {
    let (_peer, base) = simulator().await;
    let (hook, kept) = shop().await;
    let gateway = PayU::new(config(&format!("{base}/payu"))).expect("good settings");
    gateway.check(&context()).await.expect("a token");

    let mut paid = request(5_000);
    paid.webhook_url.clone_from(&hook);
    let started = gateway.start(&context(), paid.clone()).await.expect("a start");
    let NextAction::Redirect { url, .. } = &started.next_action else { panic!("{:?}", started.next_action) };
    let snapshot = gateway.fetch(&context(), &started.reference).await.expect("a snapshot");
    assert_eq!((snapshot.status, snapshot.totals.captured.minor), (PaymentStatus::Processing, 0));
    let early = RefundRequest {
        refund_id: RefundId::new(Uuid::now_v7()),
        payment: started.reference.clone(),
        amount: pln(1),
        reason: "early".to_owned(),
    };
    assert!(matches!(gateway.refund(&context(), early).await, Err(GatewayError::InvalidRequest { .. })));

    decide(&base, url, "approve").await;
    let delivered = deliveries(&kept, 3).await;
    assert_eq!(delivered.len(), 3, "refused twice, then taken");
    let mut keys = Vec::new();
    for delivery in &delivered {
        let received = gateway.receive_webhook(&context(), delivery.clone()).await.expect("the simulator's signature is genuine");
        keys.push(received.notifications[0].dedup_key.clone());
        let observations = gateway.resolve(&context(), &received.notifications[0]).await.expect("resolved");
        assert_eq!((seen(&observations).status, seen(&observations).totals.captured), (PaymentStatus::Captured, pln(5_000)));
        let mut forged = delivery.clone();
        *forged.body.last_mut().expect("a body") ^= 1;
        assert!(gateway.receive_webhook(&context(), forged).await.is_err());
    }
    keys.dedup();
    assert_eq!(keys.len(), 1, "one report, however often it is sent");
    assert!(matches!(gateway.void(&context(), &started.reference).await, Err(GatewayError::InvalidRequest { .. })));

    let refund_id = RefundId::new(Uuid::now_v7());
    let part = RefundRequest { refund_id, payment: started.reference.clone(), amount: pln(2_000), reason: "part".to_owned() };
    let refund = gateway.refund(&context(), part).await.expect("a refund");
    assert_eq!((refund.status, refund.refund_id, refund.amount), (RefundStatus::Succeeded, Some(refund_id), pln(2_000)));
    let query = RefundQuery { refund_id, payment: started.reference, reference: Some(refund.reference) };
    assert_eq!(gateway.fetch_refund(&context(), &query).await, Ok(Found::Absent), "the simulator keeps no list");

    for given_up in [true, false] {
        let mut other = request(700);
        other.webhook_url.clone_from(&hook);
        let started = gateway.start(&context(), other).await.expect("a start");
        let NextAction::Redirect { url, .. } = &started.next_action else { panic!("{:?}", started.next_action) };
        if given_up {
            decide(&base, url, "reject").await;
        } else {
            gateway.void(&context(), &started.reference).await.expect("called off");
        }
        let snapshot = gateway.fetch(&context(), &started.reference).await.expect("a snapshot");
        assert_eq!(snapshot.status, PaymentStatus::Cancelled);
    }
    assert_eq!(gateway.fetch(&context(), &port::PaymentRef::new("nobody-has-this")).await, Err(GatewayError::NotFound));
}
