//! The program as a server: how it starts, what it refuses to start with, and that a stop or a crash loses nothing.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::process::{Place, Server, bearer, text};

const COURSE: &str =
    "mutation($input: CourseCreateInput!) { courseCreate(input: $input) { course { id } userErrors { code field message } } }";

/// A guest's cart with one of this SKU and its buyer; its id and secret.
pub async fn cart(server: &Server, sku: &str, email: &str) -> (String, String) {
    let create = "mutation($sku: String) { cartCreate(input: { sku: $sku }) { secret cart { id } userErrors { code field message } } }";
    let made = server.ok(&[], create, json!({ "sku": sku })).await["cartCreate"].clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let (cart, secret) = (text(&made["cart"]["id"]), text(&made["secret"]));
    let buyer = "mutation($input: CartBuyerSetInput!) { cartBuyerSet(input: $input) { userErrors { code field message } } }";
    let input = json!({ "cartId": cart, "email": email, "name": "Ann Buyer" });
    server.ok(&[("Cart-Secret", &secret)], buyer, json!({ "input": input })).await;
    (cart, secret)
}

const PLACE: &str = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
    order { id status payments { id status nextAction { __typename } } } replayed userErrors { code field message } } }";

/// An order for a cart of one RUST-PATH, paid by `token`.
fn place(cart: &str, token: &str) -> Value {
    json!({ "input": {
        "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": token },
        "expectedTotal": { "amount": "149.00", "currency": "USD" }, "idempotencyKey": format!("{cart}-once"),
    } })
}

/// Asks for the order until its status is `wanted`.
pub async fn becomes(server: &Server, secret: &str, order: &Value, wanted: &str) {
    let query = "query($id: ID!) { order(id: $id) { status } }";
    for _ in 0..600 {
        let data = server.ok(&[("Cart-Secret", secret)], query, json!({ "id": order })).await;
        if data["order"]["status"] == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let data = server
        .ok(&[("Cart-Secret", secret)], "query($id: ID!) { order(id: $id) { status payments { status } } }", json!({ "id": order }))
        .await;
    panic!("{order} never became {wanted}: {data:#}");
}

/// The first line comes once the shop answers; a second start finds what the first left.
#[tokio::test]
async fn the_first_line_says_where_the_shop_answers() {
    let place = Place::new().await;
    let server = place.serve(&["--seed", "none"]).await;
    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    let data = server.ok(&[], "{ shop { name } offers { totalCount } }", json!({})).await;
    assert_eq!(data, json!({ "shop": { "name": "Bursar demo shop" }, "offers": { "totalCount": 0 } }));
    for (path, part) in [("/", "GraphiQL"), ("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "http_requests_total")] {
        let answer = server.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let body = answer.text().await.expect("a text");
        assert!(body.contains(part), "{path}: {body}");
    }
    assert_eq!(server.get("/nowhere").await.status(), 404);
    assert_eq!(server.post("/_test/clock").body("{}").send().await.expect("an answer").status(), 404, "no test clock unless asked for");

    let key = bearer(&place.key(&["catalog:write"]).await);
    let made = server.ok(&[("Authorization", &key)], COURSE, json!({ "input": { "title": "Kept" } })).await;
    server.stop().await;

    let server = place.serve(&["--seed", "none"]).await;
    let query = "query($id: ID!) { course(id: $id) { title } }";
    let data = server.ok(&[("Authorization", &key)], query, json!({ "id": made["courseCreate"]["course"]["id"] })).await;
    assert_eq!(data["course"]["title"], "Kept");
    server.stop().await;
}

/// `bursar key create` works beside a running server, prints the secret alone, and gives what was asked for.
#[tokio::test]
async fn a_key_made_beside_a_running_server_works_at_once() {
    let place = Place::new().await;
    let server = place.serve(&["--seed", "demo"]).await;
    let reader = bearer(&place.key(&["catalog:read"]).await);
    let input = json!({ "input": { "title": "New" } });
    let refused = server.answer(&[("Authorization", &reader)], COURSE, input.clone()).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
    let unknown = server.answer(&[("Authorization", "Bearer nobody")], COURSE, input.clone()).await;
    assert_eq!(unknown["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    let writer = bearer(&place.key(&[]).await);
    server.ok(&[("Authorization", &writer)], COURSE, input).await;

    let companies = server.ok(&[("Authorization", &writer)], "{ companies(first: 1) { nodes { id } } }", json!({})).await;
    let company = companies["companies"]["nodes"][0]["id"].as_str().expect("the demo has companies");
    assert_eq!(place.done(&["key", "create", "--role", "manager", "--company", company]).await.len(), 1);
    for (args, part) in [
        (&["key", "create", "--role", "manager"][..], "company"),
        (&["key", "create", "--role", "manager", "--company", "com_nothing"], "com_nothing"),
        (&["key", "create", "--role", "service", "--scope", "catalog:burn"], "catalog:burn"),
    ] {
        let said = place.fails(args).await;
        assert!(said.contains(part), "{said}");
    }
    server.stop().await;
}

/// What was answered before a stop is there after it; what was cut off by a crash goes on at the next start, and nobody is charged twice.
#[tokio::test]
async fn a_stop_or_a_crash_amid_orders_loses_none_and_charges_none_twice() {
    for crash in [false, true] {
        let here = Place::new().await;
        let server = here.serve(&["--seed", "demo"]).await;
        let operator = bearer(&here.key(&["orders:read"]).await);
        let mut carts = Vec::new();
        for number in 0..8 {
            carts.push(cart(&server, "RUST-PATH", &format!("ann{number}@example.test")).await);
        }
        let placing = join_all(carts.iter().map(|(cart, secret)| {
            let request = server.request(&[("Cart-Secret", secret)], PLACE, place(cart, "approve"));
            async { request.send().await.ok()?.json::<Value>().await.ok() }
        }));
        // Long enough for some to be under way, short enough for none to be sure of its end.
        let moment = Duration::from_millis(150);
        if crash {
            // Whoever still waits for an answer then never gets one.
            let _ = tokio::time::timeout(moment, placing).await;
            server.kill();
        } else {
            let (answers, ()) = tokio::join!(placing, async {
                tokio::time::sleep(moment).await;
                server.ask_to_stop();
            });
            server.stopped().await;
            for answer in answers.into_iter().flatten() {
                assert_eq!(answer["data"]["orderPlace"]["userErrors"], json!([]), "{answer:#}");
            }
        }

        let server = here.serve(&["--seed", "demo", "--test-clock"]).await;
        if crash && here.database.is_some() {
            // What the dead process had in hand is free once its time for it is over; an embedded shop knows at once that nobody else is there.
            let later = chrono::Utc::now() + chrono::TimeDelta::minutes(5);
            server.post("/_test/clock").json(&json!({ "now": later.to_rfc3339() })).send().await.expect("an answer");
            server.post("/_test/jobs").send().await.expect("an answer");
        }
        for (cart, secret) in &carts {
            let placed = server.ok(&[("Cart-Secret", secret)], PLACE, place(cart, "approve")).await["orderPlace"]["order"].clone();
            becomes(&server, secret, &placed["id"], "FULFILLED").await;
        }
        let query = "{ orders(first: 100) { totalCount nodes { status payments { status captured { amount } } } }
            paidNotGiven { id } givenNotPaid { __typename } }";
        let data = server.ok(&[("Authorization", &operator)], query, json!({})).await;
        let paid = json!({ "status": "FULFILLED", "payments": [{ "status": "CAPTURED", "captured": { "amount": "149.00" } }] });
        assert_eq!(data["orders"]["nodes"], Value::from(vec![paid; 8]), "crash: {crash}");
        assert_eq!((&data["paidNotGiven"], &data["givenNotPaid"]), (&json!([]), &json!([])));
        server.stop().await;
    }
}

/// Jobs that a server without a worker leaves are done by `bursar worker`, which stops in order too.
#[tokio::test]
async fn a_worker_of_its_own_does_the_jobs() {
    let here = Place::new().await;
    let server = here.serve(&["--seed", "demo", "--no-worker"]).await;
    let (cart, secret) = cart(&server, "RUST-PATH", "ann@example.test").await;
    let order = server.ok(&[("Cart-Secret", &secret)], PLACE, place(&cart, "pending")).await["orderPlace"]["order"].clone();
    assert_eq!(order["payments"][0]["status"], "PROCESSING", "{order:#}");
    let page = format!("/sandbox/{}", order["payments"][0]["id"].as_str().expect("an id"));
    let approved = server.post(&page).form(&[("action", "approve")]).send().await.expect("an answer");
    assert_eq!(approved.status(), 303);

    let worker = here.running(&["worker"]);
    becomes(&server, &secret, &order["id"], "FULFILLED").await;
    worker.stop().await;
    server.stop().await;
}

/// Processes that start at the same time on an empty database set it up once, and all of them serve.
#[tokio::test]
async fn processes_that_start_at_once_set_up_once() {
    let here = Place::new().await;
    let servers = join_all((0..3).map(|_| here.serve(&["--seed", "none"]))).await;
    let key = bearer(&here.key(&["catalog:write"]).await);
    for server in &servers {
        server.ok(&[("Authorization", &key)], COURSE, json!({ "input": { "title": "One of three" } })).await;
    }
    for server in &servers {
        let data = server.ok(&[("Authorization", &key)], "{ courses { totalCount } }", json!({})).await;
        assert_eq!(data["courses"]["totalCount"], 3);
    }
    join_all(servers.into_iter().map(Server::stop)).await;
    let status = here.done(&["migrate", "status"]).await;
    assert!(status.len() >= 8 && status.iter().all(|line| line.starts_with("applied ")), "{status:?}");
}

/// With another secret nothing that was sealed could be read: the program says so and does not start.
#[tokio::test]
async fn a_wrong_installation_secret_is_refused_with_a_sentence() {
    let mut here = Place::new().await;
    here.serve(&["--seed", "none"]).await.stop().await;
    let serve = ["serve", "--bind", "127.0.0.1:0"];
    let other = "another secret, just as long as the first one";
    if here.database.is_some() {
        here.set("BURSAR_SECRET", other);
        assert!(here.fails(&serve).await.contains("the installation secret is not the one that this database was made with"));
        here.set("BURSAR_SECRET", "short");
        assert!(here.fails(&serve).await.contains("BURSAR_SECRET: this secret cannot be used"));
        here.environment.retain(|(name, _)| *name != "BURSAR_SECRET");
        assert!(here.fails(&serve).await.contains("BURSAR_SECRET: with PostgreSQL the installation secret must be given"));
    } else {
        let file = here.data().join("installation.secret");
        let secret = std::fs::read_to_string(&file).expect("it was made at the first start");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600, "for its owner alone");
        }
        std::fs::write(&file, other).expect("it can be written");
        assert!(here.fails(&serve).await.contains("the installation secret is not the one that this database was made with"));
        std::fs::remove_file(&file).expect("it can be removed");
        assert!(here.fails(&serve).await.contains("installation.secret is missing, and this database was set up with it"));
        here.set("BURSAR_SECRET", &secret);
        here.serve(&["--seed", "none"]).await.stop().await;
    }
}

/// Whatever is wrong with the settings is named with its key, before anything is opened.
#[tokio::test]
async fn mistakes_in_the_settings_are_named_with_their_keys() {
    let mut here = Place::new().await;
    let serve = ["serve", "--bind", "127.0.0.1:0"];
    // The file, and what must be said.
    let cases: [(&str, &[&str]); 6] = [
        ("[shop]\nnmae = 'x'\ntime_zone = 'Mars/Base'", &["bursar.toml", "shop.nmae: is unknown", "shop.time_zone: ", "Europe/Budapest"]),
        ("[server]\ncors_origins = ['shop.example']", &["server.cors_origins: ", "is not an origin"]),
        ("[server]\ntrusted_proxies = ['10.0.0']", &["server.trusted_proxies: ", "10.0.0.0/8"]),
        ("[[gateways]]\nid = 'a'\nadapter = 'paypall'", &["gateways.a.adapter: ", "sandbox, manual"]),
        ("[[gateways]]\nid = 'a'\nadapter = 'sandbox'\nmode = 'live'", &["gateways.a: mode: ", "mode = \"test\""]),
        ("[[gateways]]\nid = 'a'\nadapter = 'manual'\nsettings = { colour = 'red' }", &["gateways.a: settings: ", "colour"]),
    ];
    for (file, parts) in cases {
        std::fs::write(here.dir.path().join("bursar.toml"), file).expect("the file is written");
        let said = here.fails(&serve).await;
        for part in parts {
            assert!(said.contains(part), "{file}\nshould say {part:?}, but says {said}");
        }
    }
    std::fs::remove_file(here.dir.path().join("bursar.toml")).expect("it is there");
    here.set("BURSAR_DATABASE_POOL", "many");
    assert!(here.fails(&serve).await.contains("BURSAR_DATABASE_POOL"));
    here.set("BURSAR_DATABASE_POOL", "4");
    let output = here.ended(&["serve", "--database", "postgres://ann:hunter2@127.0.0.1:1/shop"]).await;
    let said = text(&output.stderr);
    assert!(said.contains("database.url: postgres://…@127.0.0.1:1/shop does not answer") && !said.contains("hunter2"), "{said}");
    let output = here.ended(&["serve", "--config", "nowhere.toml"]).await;
    assert!(text(&output.stderr).contains("nowhere.toml: cannot be read"));
}

/// A clock that is set from outside, for tests; never beside real money.
#[tokio::test]
async fn a_test_clock_is_set_from_outside_and_never_beside_real_money() {
    let here = Place::new().await;
    let server = here.serve(&["--seed", "demo", "--test-clock"]).await;
    let answer = server.answer(&[], "{ offers(first: 3) { nodes { sku } } }", json!({})).await;
    assert!(answer["extensions"]["statements"].as_u64().is_some_and(|count| count > 0), "{answer:#}");

    let (cart, secret) = cart(&server, "RUST-PATH", "ann@example.test").await;
    let order = server.ok(&[("Cart-Secret", &secret)], PLACE, place(&cart, "redirect")).await["orderPlace"]["order"].clone();
    assert_eq!(order["status"], "PENDING_PAYMENT");
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let set = server.post("/_test/clock").json(&json!({ "now": later.to_rfc3339() })).send().await.expect("an answer");
    assert_eq!(set.status(), 200);
    let ran: Value = server.post("/_test/jobs").send().await.expect("an answer").json().await.expect("JSON");
    assert!(ran["jobs"].is_u64(), "{ran}");
    let data = server.ok(&[("Cart-Secret", &secret)], "query($id: ID!) { order(id: $id) { status } }", json!({ "id": order["id"] })).await;
    assert_eq!(data["order"]["status"], "LAPSED", "thirty minutes have passed");
    let wrong = server.post("/_test/clock").body("{\"now\": \"tomorrow\"}").send().await.expect("an answer");
    assert_eq!(wrong.status(), 400);
    server.stop().await;

    std::fs::write(here.dir.path().join("bursar.toml"), "[[gateways]]\nid = 'till'\nadapter = 'manual'\nmode = 'live'").expect("written");
    let said = here.fails(&["serve", "--bind", "127.0.0.1:0", "--test-clock"]).await;
    assert!(said.contains("--test-clock: the gateway \"till\" takes real money"), "{said}");
}

/// Without a word it is the shop to try: demo data, a sign-in for its operator, something to ask.
#[tokio::test]
async fn without_arguments_it_is_the_demo_shop() {
    let mut here = Place::new().await;
    here.set("BURSAR_SERVER_BIND", "127.0.0.1:0");
    for arguments in [&[][..], &["serve"]] {
        let mut server = Server::start(here.bursar(arguments), here.dir.path()).await;
        let line = server.line().await;
        let link = line.rsplit_once(' ').expect("the line ends with the link").1.to_owned();
        let path = link.strip_prefix(&server.url).unwrap_or_else(|| panic!("{line}")).to_owned();
        assert!(path.starts_with("/account/link/"), "{line}");
        assert_eq!(server.line().await, format!("open {}/graphql and paste:", server.url));
        let query = server.line().await;
        let data = server.ok(&[], &query, json!({})).await;
        assert!(!data["offers"]["nodes"].as_array().expect("a list").is_empty(), "{data:#}");
        assert_eq!(server.get(&path).await.status(), 200);
        let token = path.trim_start_matches("/account/link/");
        let redeem =
            "mutation($input: AccountLinkRedeemInput!) { accountLinkRedeem(input: $input) { token userErrors { code field message } } }";
        let redeemed = server.ok(&[], redeem, json!({ "input": { "token": token } })).await;
        let operator = bearer(redeemed["accountLinkRedeem"]["token"].as_str().expect("a token"));
        let data = server.ok(&[("Authorization", &operator)], "{ courses { totalCount } }", json!({})).await;
        assert_eq!(data["courses"]["totalCount"], 30);
        server.stop().await;
    }
    assert!(here.dir.path().join("data/bursar.db").exists(), "the embedded shop is in ./data");
}

/// `bursar doctor` names what is wrong with what to do, and succeeds where nothing is.
#[tokio::test]
async fn the_doctor_says_what_to_mend() {
    let mut here = Place::new().await;
    let new = doctor(&here, here.database.is_none()).await;
    if here.database.is_some() {
        assert!(new.contains("steps of the tables are missing: run `bursar migrate up`"), "{new}");
    } else {
        assert!(new.contains("note: data: there is no shop yet"), "{new}");
        assert!(!here.data().join("bursar.db").exists(), "looking makes nothing");
    }
    here.serve(&["--seed", "demo"]).await.stop().await;
    let said = doctor(&here, true).await;
    assert!(said.contains("everything is in order"), "{said}");
    assert!(said.contains("note: ") && said.contains("WELCOME"), "what costs nothing is said: {said}");

    here.set("BURSAR_SERVER_BIND", "0.0.0.0:8080");
    here.set("BURSAR_SHOP_BASE_CURRENCY", "EUR");
    let said = doctor(&here, false).await;
    assert!(said.contains("shop.public_url: "), "{said}");
    assert!(said.contains("shop.base_currency: "), "{said}");
    here.set("BURSAR_SHOP_PUBLIC_URL", "http://shop.example");
    let said = doctor(&here, false).await;
    assert!(said.contains("shop.public_url: ") && said.contains("https"), "{said}");
    assert!(said.contains("gateways.sandbox: "), "play money in a shop for everybody: {said}");
    assert!(said.ends_with("to mend\n"), "{said}");
}

async fn doctor(here: &Place, healthy: bool) -> String {
    let output = here.run(&["doctor"]).await;
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(if healthy { 0 } else { 1 }), "{said}");
    said
}
