//! The client before a gateway that misbehaves: what each kind of silence becomes. And addresses, and access tokens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use bursar_gateway_http::{AccessTokens, Answer, Client, MAX_ANSWER_BYTES, Method, Nature, Url, Usual, base_url, is_loopback};
use chrono::DateTime;
use port::{GatewayError, InstanceConfig, Mode, OpContext};
use serde_json::Value;
use testkit::fault::{Fault, FaultProxy};
use tokio::net::TcpListener;

fn context() -> OpContext {
    OpContext::new("operation", DateTime::from_timestamp(1_800_000_000, 0).expect("an instant"))
}

/// A gateway with a proxy before it.
async fn gateway() -> (FaultProxy, Client) {
    let router = Router::new()
        .route("/v1/charges", post(|| async { ([("request-id", "req_1")], r#"{"id":"ch_1"}"#) }).get(|| async { r#"{"id":"ch_1"}"# }))
        .route("/v1/refused", post(|| async { (StatusCode::PAYMENT_REQUIRED, r#"{"error":{"code":"card_declined"}}"#) }))
        .route("/v1/401", get(|| async { (StatusCode::UNAUTHORIZED, "sk_test_shown_by_mistake") }))
        .route("/v1/403", get(|| async { StatusCode::FORBIDDEN }))
        .route("/v1/moved", post(|| async { (StatusCode::FOUND, [("location", "/v1/charges")]) }))
        .route("/v1/slow-down", get(|| async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "Fri, 15 Jan 2027 08:02:00 GMT")]) }))
        .route("/v1/long", get(|| async { "x".repeat(MAX_ANSWER_BYTES + 1) }))
        .route("/v1/a%2Fb%3Fc", get(|| async { "{}" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let proxy = FaultProxy::before(address).await.expect("a port");
    let client = Client::new(Url::parse(&proxy.url()).expect("an address"), "request-id").expect("a client");
    (proxy, client)
}

async fn call(client: &Client, nature: Nature, name: &str) -> Result<Answer, GatewayError> {
    let method = if nature == Nature::Write { Method::POST } else { Method::GET };
    client.send(&context(), nature, client.request(method, &["v1", name])).await
}

#[tokio::test]
async fn answers_are_read_and_refusals_are_left_to_the_adapter() {
    let (_proxy, client) = gateway().await;
    let answer = call(&client, Nature::Write, "charges").await.expect("an answer");
    assert_eq!(answer.json::<Value>().expect("JSON")["id"], "ch_1");
    assert_eq!(answer.detail("look").request_id(), Some("req_1"));
    let refused = call(&client, Nature::Write, "refused").await.expect("an answer");
    assert_eq!((refused.status, refused.refusal::<Value>().expect("JSON")["error"]["code"].clone()), (402, "card_declined".into()));
    let missing = call(&client, Nature::Write, "nothing-here").await.expect("an answer");
    assert_eq!(missing.json::<Value>(), Err(GatewayError::NotFound));
    let escaped = client.send(&context(), Nature::Read, client.request(Method::GET, &["v1", "a/b?c"])).await.expect("an answer");
    assert_eq!(escaped.status, 200);
    for climbing in ["..", ".", ""] {
        let url = client.request(Method::GET, &["v1", climbing]).build().expect("a request").url().clone();
        assert_eq!(url.path().matches('/').count(), 2, "{url}");
    }
}

#[tokio::test]
async fn statuses_that_mean_the_same_everywhere_are_errors() {
    let (_proxy, client) = gateway().await;
    for status in ["401", "403"] {
        let error = call(&client, Nature::Read, status).await.expect_err("refused credentials");
        assert!(matches!(error, GatewayError::Auth(_)) && !error.to_string().contains("sk_test"), "{error}");
    }
    let error = call(&client, Nature::Read, "slow-down").await.expect_err("too many");
    assert_eq!(error, GatewayError::RateLimited { retry_after: Some(Duration::from_secs(120)) }, "a date, seen from the shop's clock");
    assert!(matches!(call(&client, Nature::Read, "long").await, Err(GatewayError::Unavailable(_))));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (proxy, client) = gateway().await;
    let answer = call(&client, Nature::Write, "moved").await.expect("an answer");
    assert_eq!((answer.status, answer.header("location"), proxy.forwarded()), (302, Some("/v1/charges"), 1));
    assert!(matches!(answer.json::<Value>(), Err(GatewayError::UnknownOutcome { .. })));
}

/// A write whose answer is missing or broken is unknown; a read is unavailable; nothing is tried twice.
#[tokio::test]
async fn silence_after_sending_is_unknown_for_a_write_and_unavailable_for_a_read() {
    let (proxy, client) = gateway().await;
    for (fault, arrived) in [
        (Fault::ResetBefore, 0),
        (Fault::ResetAfter, 1),
        (Fault::ResetWithinBody, 1),
        (Fault::InternalError, 0),
        (Fault::BadGatewayPage, 1),
        (Fault::CutBody, 1),
    ] {
        proxy.set(fault);
        let before = proxy.forwarded();
        let written = call(&client, Nature::Write, "charges").await.and_then(|answer| answer.json::<Value>());
        assert!(matches!(written, Err(GatewayError::UnknownOutcome { .. })), "{fault:?}: {written:?}");
        assert_eq!(proxy.forwarded() - before, arrived, "{fault:?}");
        let read = call(&client, Nature::Read, "charges").await.and_then(|answer| answer.json::<Value>());
        assert!(matches!(read, Err(GatewayError::Unavailable(_))), "{fault:?}: {read:?}");
    }
    proxy.set(Fault::TooManyRequests(7));
    let answer = call(&client, Nature::Write, "charges").await.expect_err("too many");
    assert_eq!(answer, GatewayError::RateLimited { retry_after: Some(Duration::from_secs(7)) });
}

#[tokio::test]
async fn nobody_listening_is_certainly_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let client = Client::new(Url::parse(&closed).expect("an address"), "request-id").expect("a client");
    let error = call(&client, Nature::Write, "charges").await.expect_err("nobody");
    assert!(matches!(error, GatewayError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn the_deadline_is_kept() {
    let (proxy, client) = gateway().await;
    proxy.set(Fault::Delay(Duration::from_secs(30)));
    let began = Instant::now();
    let ctx = context().with_budget(Duration::from_millis(300));
    let late = client.send(&ctx, Nature::Write, client.request(Method::POST, &["v1", "charges"])).await.map(|answer| answer.status);
    assert!(matches!(late, Err(GatewayError::UnknownOutcome { .. })), "{late:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let spent = context().with_budget(Duration::ZERO);
    let late = client.send(&spent, Nature::Write, client.request(Method::POST, &["v1", "charges"])).await.map(|answer| answer.status);
    assert!(matches!(late, Err(GatewayError::Unavailable(_))), "{late:?}");
    assert_eq!(proxy.forwarded(), 1);
}

#[test]
fn plain_http_and_real_money_stay_apart() {
    let usual = Usual { test: "https://api.sandbox.example/v2", live: "https://api.example/v2" };
    let at = |mode, url: Option<&str>| {
        let mut config = InstanceConfig::new("one", "https://shop.example");
        config.mode = mode;
        config.base_url = url.map(str::to_owned);
        base_url(&config, usual).map(|url| url.to_string())
    };
    assert_eq!(at(Mode::Test, None).as_deref(), Ok("https://api.sandbox.example/v2"));
    assert_eq!(at(Mode::Live, None).as_deref(), Ok("https://api.example/v2"));
    for good in ["http://127.0.0.1:8420", "http://localhost:1/payu", "http://[::1]:1", "https://api.example"] {
        assert!(at(Mode::Test, Some(good)).is_ok(), "{good}");
    }
    for bad in [
        "http://api.example",
        "ftp://127.0.0.1",
        "https://user:word@api.example",
        "https://api.example/?key=1",
        "api.example",
        "http://127.0.0.1.evil.example",
    ] {
        let error = at(Mode::Test, Some(bad)).expect_err(bad);
        assert!(matches!(&error, GatewayError::Config { key, .. } if key == "base_url"), "{error}");
    }
    for bad in ["http://127.0.0.1:8420", "https://localhost", "https://api.sandbox.example/other"] {
        assert!(at(Mode::Live, Some(bad)).is_err(), "{bad}");
    }
    assert!(is_loopback(&Url::parse("http://127.9.9.9").expect("an address")));
}

#[tokio::test]
async fn ten_callers_share_one_token_and_a_refused_one_is_replaced_once() {
    let (tokens, asked) = (AccessTokens::new(), AtomicUsize::new(0));
    let ask = || async {
        tokio::task::yield_now().await;
        let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
        Ok((format!("token {number}").into(), Duration::from_secs(3600)))
    };
    let ten = || async { futures(std::iter::repeat_with(|| tokens.get(None, ask)).take(10)).await };
    let first = ten().await;
    assert!(first.iter().all(|token| token == "token 1"), "{first:?}");

    let refused = tokens.get(None, ask).await.expect("a token");
    let renewed = futures(std::iter::repeat_with(|| tokens.get(Some(&refused), ask)).take(10)).await;
    assert!(renewed.iter().all(|token| token == "token 2"), "{renewed:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert!(!format!("{tokens:?} {refused:?}").contains("token 1"), "printed");

    let short = AccessTokens::new();
    for _ in 0..2 {
        short.get(None, || async { Ok(("soon over".into(), Duration::from_secs(59))) }).await.expect("a token");
    }
    let failed = short.get(None, || async { Err(GatewayError::Auth("no".into())) }).await.map(|token| token.expose().to_owned());
    assert!(failed.is_err(), "a token that ends within a minute is not used again");
}

async fn futures<F: Future<Output = Result<bursar_gateway_http::AccessToken, GatewayError>>>(
    calls: impl Iterator<Item = F>,
) -> Vec<String> {
    let mut texts = Vec::new();
    for token in futures_util::future::join_all(calls).await {
        texts.push(token.expect("a token").expose().to_owned());
    }
    texts
}
