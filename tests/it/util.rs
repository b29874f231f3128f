//! The test shop: a migrated database of its own, a clock that the test sets, callers of every role, and GraphQL in process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use async_graphql::{Executor, Request, Variables};
use bursar::app::App;
use bursar::app::caller::{Caller, Scope, Scopes, Who};
use bursar::app::entropy::{self, SystemEntropy, TestClock};
use bursar::app::gateways::{Gateways, Instance};
use bursar::app::secrets::Secrets;
use bursar::app::sign_in::{Presented, SignIn};
use bursar::config::{EventSettings, ShopSettings};
use bursar::graphql;
use bursar::graphql::loader::Batching;
use bursar::post::HttpPoster;
use bursar::store::{Db, DbOptions, STATEMENTS};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{OrderId, PaymentId};
use entity::entitlement;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use manual::Manual;
use migration::{Migrator, MigratorTrait};
use port::{DisputeRef, InstanceConfig, Observation, OpContext, PaymentGateway, RawWebhook, RefundRef, ReturnQuery};
use sandbox::{Sandbox, Step};
use sea_orm::{ColumnTrait, ConnectionTrait, Database, EntityTrait, QueryFilter};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

/// When the tests' world begins: 2026-01-01T00:00:00Z.
pub const START: &str = "2026-01-01T00:00:00Z";

/// The password of everybody who signs up in a test.
pub const PASSWORD: &str = "three plain words";

fn signed_in(payload: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&payload["account"]["id"]), text(&payload["token"]))
}

/// An instant of a test, from RFC 3339 text.
pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an RFC 3339 instant")
}

/// A shop of one test.
pub struct TestApp {
    /// The application.
    pub app: Arc<App>,
    /// Its schema, as requests run it.
    pub schema: Batching,
    /// Its clock.
    pub clock: Arc<TestClock>,
    /// Where its files are, for as long as the test runs.
    _dir: TempDir,
    /// The account at the sandbox gateway.
    pub sandbox: Sandbox,
    options: DbOptions,
}

impl TestApp {
    /// A shop with nothing in it.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, with other settings.
    pub async fn with(change: impl FnOnce(&mut ShopSettings)) -> Self {
        Self::made(change, |_| {}).await
    }

    /// The same, whose gateways are set in another way.
    pub async fn with_gateways(change: impl FnOnce(&mut Gateways)) -> Self {
        Self::made(|_| {}, change).await
    }

    /// A shop with nothing in it, and these gateways instead of the embedded ones.
    pub async fn paid_by(gateways: Gateways) -> Self {
        Self::made(|_| {}, |embedded| *embedded = gateways).await
    }

    async fn made(change: impl FnOnce(&mut ShopSettings), change_gateways: impl FnOnce(&mut Gateways)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = database(&dir).await;
        let db = Db::connect(&options).await.expect("the test database answers");
        let clock = Arc::new(TestClock::at(at(START)));
        let mut shop =
            ShopSettings { name: "Test shop".to_owned(), public_url: "http://127.0.0.1:8080".to_owned(), ..ShopSettings::default() };
        change(&mut shop);
        let (sandbox, mut gateways) = gateways(&dir).await;
        change_gateways(&mut gateways);
        let app = server(db, clock.clone(), shop, gateways);
        app.open_installation().await.expect("a fresh installation opens");
        let app = Arc::new(app);
        Self { schema: Batching::new(graphql::schema(), app.clone()), app, clock, _dir: dir, sandbox, options }
    }

    /// The same shop as another process on the same database and gateway would see it.
    pub async fn another(&self) -> Arc<App> {
        let db = Db::connect(&self.options).await.expect("the test database answers");
        let app = server(db, self.clock.clone(), self.app.shop.clone(), self.app.gateways.clone());
        Arc::new(app)
    }

    /// Runs the jobs that are due, to the end. Whoever paid then has what they paid for, and nobody else does, whatever the story is.
    pub async fn jobs(&self) {
        self.app.run_due_jobs().await.expect("the jobs run");
        let paid = self.app.paid_not_given(&self.operator()).await.expect("the orders are read");
        let given = self.app.given_not_paid(&self.operator()).await.expect("the grants are read");
        assert!(paid.is_empty() && given.is_empty(), "paid and not given: {paid:#?}\ngiven and not paid: {given:#?}");
    }

    /// Delivers the webhooks that the sandbox owes, and applies them; gives how many there were.
    pub async fn webhooks(&self) -> usize {
        let due = self.sandbox.pending_deliveries().await.expect("the sandbox answers");
        let mut delivered = 0;
        for delivery in due.into_iter().filter(|delivery| delivery.due_at <= self.app.now()) {
            self.webhook(&delivery.event_id).await;
            self.sandbox.mark_delivered(&delivery.event_id, self.app.now()).await.expect("the sandbox answers");
            delivered += 1;
        }
        self.jobs().await;
        delivered
    }

    /// Delivers one webhook of the sandbox, again if need be, without applying it.
    pub async fn webhook(&self, event: &str) {
        let signed = self.sandbox.signed(event, self.app.now()).await.expect("the sandbox knows the event");
        let webhook = RawWebhook { headers: signed.headers, query: String::new(), body: signed.body, received_at: self.app.now() };
        self.app.webhook_receive("sandbox", webhook).await.expect("a signed webhook is taken");
    }

    /// A library of new courses with these titles, at a list price in USD; gives its product's id.
    pub async fn shelf(&self, sku: &str, price: &str, titles: &[&str]) -> String {
        let mut courses = Vec::new();
        for title in titles {
            let create =
                "mutation($input: CourseCreateInput!) { courseCreate(input: $input) { course { id } userErrors { code field message } } }";
            let input = json!({ "input": { "title": title, "kind": "COURSE" } });
            courses.push(self.ok(&self.operator(), create, input).await["courseCreate"]["course"]["id"].clone());
        }
        let create = "mutation($input: LibraryCreateInput!) { libraryCreate(input: $input) { library { product { id } } userErrors { code field message } } }";
        let input = json!({ "input": {
            "title": format!("Library {sku}"), "courseIds": courses, "sku": sku, "prices": [{ "amount": price, "currency": "USD" }] } });
        let library = self.ok(&self.operator(), create, input).await["libraryCreate"]["library"].clone();
        library["product"]["id"].as_str().expect("an id").to_owned()
    }

    /// A guest's cart with one of each of these SKUs; gives its id and secret.
    pub async fn guest_cart(&self, skus: &[&str]) -> (String, String) {
        let create = "mutation { cartCreate(input: {}) { cart { id } secret userErrors { code field message } } }";
        let made = self.ok(&self.guest(), create, json!({})).await["cartCreate"].clone();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (cart, secret) = (text(&made["cart"]["id"]), text(&made["secret"]));
        let mut lines = Vec::new();
        for sku in skus {
            let offer = self.ok(&self.guest(), "query($sku: String) { offer(sku: $sku) { id } }", json!({ "sku": sku })).await;
            lines.push(json!({ "productId": offer["offer"]["id"], "quantity": 1 }));
        }
        let set = "mutation($input: CartLinesSetInput!) { cartLinesSet(input: $input) { userErrors { code field message } } }";
        self.ok(&self.guest_with(&secret), set, json!({ "input": { "cartId": cart, "lines": lines } })).await;
        (cart, secret)
    }

    /// Lets the buyer approve a payment on the sandbox's page.
    pub async fn approve(&self, payment: &Value) {
        self.advance(payment, Step::Approve).await;
    }

    /// Lets something happen to a payment at the sandbox.
    pub async fn advance(&self, payment: &Value, step: Step) {
        let payment = PaymentId::parse(payment.as_str().expect("an id")).expect("a payment's id");
        self.sandbox.advance(payment, step, self.app.now()).await.expect("the sandbox lets it happen");
    }

    async fn told(&self, payment: &Value) -> Vec<Observation> {
        let payment_id = PaymentId::parse(payment.as_str().expect("an id")).expect("a payment's id");
        let query = ReturnQuery { payment_id, reference: None, query: String::new() };
        self.sandbox.complete_return(&OpContext::new("told", self.app.now()), query).await.expect("the sandbox answers")
    }

    /// The sandbox's reference of the newest refund that is under way.
    pub async fn refund_reference(&self, payment: &Value) -> RefundRef {
        let pending = self.told(payment).await.into_iter().rev().find_map(|told| match told {
            Observation::Refund { refund, .. } if refund.status == port::RefundStatus::Pending => Some(refund.reference),
            _ => None,
        });
        pending.expect("a refund under way")
    }

    /// The sandbox's reference of the newest dispute.
    pub async fn dispute_reference(&self, payment: &Value) -> DisputeRef {
        let newest = self.told(payment).await.into_iter().rev().find_map(|told| match told {
            Observation::Dispute { dispute, .. } => Some(dispute.reference),
            _ => None,
        });
        newest.expect("a dispute")
    }

    /// How many live entitlements stand behind an order.
    pub async fn live_grants(&self, order: &str) -> usize {
        let order = OrderId::parse(order).expect("an order's id");
        let live = entitlement::Entity::find()
            .filter(entitlement::Column::OrderId.eq(order.uuid()))
            .filter(entitlement::Column::EndedAt.is_null())
            .all(self.app.db.read());
        live.await.expect("the grants are read").len()
    }

    /// Titles of the courses that an order's lines open now.
    pub async fn open_titles(&self, order: &Value) -> Vec<String> {
        let order = OrderId::parse(order.as_str().expect("an id")).expect("an order's id");
        let given = self.app.given_by_orders(self.app.db.read(), &[order]).await.expect("the grants are read");
        let mut titles: Vec<String> = given.into_values().flat_map(|given| given.courses).map(|(_, title)| title).collect();
        titles.sort();
        titles
    }

    /// A second server on the same database, with settings of its own.
    pub fn beside(&self, change: impl FnOnce(&mut ShopSettings)) -> App {
        let mut shop = self.app.shop.clone();
        change(&mut shop);
        server(self.app.db.clone(), self.clock.clone(), shop, self.app.gateways.clone())
    }

    /// Lets time pass.
    pub fn pass(&self, time: TimeDelta) {
        use bursar::app::entropy::Clock;
        self.clock.set(self.clock.now() + time);
    }

    /// Sets the time.
    pub fn set_time(&self, text: &str) {
        use bursar::app::entropy::Clock;
        self.clock.set(at(text));
    }

    /// A visitor.
    pub fn guest(&self) -> Caller {
        Caller::guest()
    }

    /// A visitor with the secret of a cart.
    pub fn guest_with(&self, cart_secret: &str) -> Caller {
        Caller { cart_secret: Some(SecretString::from(cart_secret)), ..Caller::guest() }
    }

    /// A program with every scope.
    pub fn operator(&self) -> Caller {
        Caller { who: Who::Key { id: entropy::next_id(), scopes: Scopes::all() }, ..Caller::guest() }
    }

    /// A program with just these scopes, such as `catalog:read`.
    pub fn key(&self, scopes: &[&str]) -> Caller {
        let scopes = scopes.iter().map(|scope| Scope::parse(scope).expect("a scope")).collect();
        Caller { who: Who::Key { id: entropy::next_id(), scopes }, ..Caller::guest() }
    }

    /// A program of a company's manager.
    pub fn manager_key(&self, company: &str) -> Caller {
        let company = domain::CompanyId::parse(company).expect("a company's id");
        Caller { who: Who::ManagerKey { id: entropy::next_id(), company, scopes: Scopes::all() }, ..Caller::guest() }
    }

    /// The caller that a bearer's token or key makes, with today's rights.
    pub async fn bearer(&self, bearer: &str) -> Caller {
        let presented = Presented { bearer: Some(SecretString::from(bearer)), ..Presented::default() };
        self.app.caller(&presented).await.expect("a living credential")
    }

    /// Somebody who signed up with [`PASSWORD`] and has not proven the address: their account's id and the token of their sign-in.
    pub async fn sign_up(&self, email: &str) -> (String, String) {
        let query =
            "mutation($input: AccountSignUpInput!) { accountSignUp(input: $input) { account { id } token userErrors { message } } }";
        let input = serde_json::json!({ "input": { "email": email, "password": PASSWORD } });
        signed_in(&self.ok(&self.guest(), query, input).await["accountSignUp"])
    }

    /// Somebody who signed up with [`PASSWORD`] and proved the address by the mailed link: their account's id and the token of their sign-in.
    pub async fn verified(&self, email: &str) -> (String, String) {
        let (_, token) = self.sign_up(email).await;
        let query = "mutation($input: AccountLinkRedeemInput!) {
            accountLinkRedeem(input: $input) { account { id } token userErrors { message } } }";
        let input = serde_json::json!({ "input": { "token": self.mailed_link(email).await } });
        signed_in(&self.ok(&self.bearer(&token).await, query, input).await["accountLinkRedeem"])
    }

    /// The secret of the newest living link that was mailed to this address.
    pub async fn mailed_link(&self, email: &str) -> String {
        let data = self.ok(&self.operator(), "{ outbox(first: 100) { nodes { to link } } }", serde_json::json!({})).await;
        let waiting =
            data["outbox"]["nodes"].as_array().into_iter().flatten().find(|entry| entry["to"] == email && !entry["link"].is_null());
        let link = waiting.unwrap_or_else(|| panic!("no link waits for {email}: {data:#}"))["link"].as_str().expect("its text");
        link.strip_prefix("http://127.0.0.1:8080/account/link/").expect("the page's address").to_owned()
    }

    /// Runs a GraphQL document as `caller`; the answer as JSON with `data` and perhaps `errors`.
    pub async fn run(&self, caller: &Caller, query: &str, variables: Value) -> Value {
        self.counted(caller, query, variables).await.0
    }

    /// The same, with the number of SQL statements it took.
    pub async fn counted(&self, caller: &Caller, query: &str, variables: Value) -> (Value, u64) {
        let count = Arc::new(AtomicU64::new(0));
        let request = Request::new(query).variables(Variables::from_json(variables)).data(Arc::new(caller.clone()));
        let response = STATEMENTS.scope(count.clone(), self.schema.execute(request)).await;
        let json = serde_json::to_value(&response).expect("an answer is JSON");
        (json, count.load(Ordering::Relaxed))
    }

    /// Follows a live subscription.
    pub fn follow(&self, caller: &Caller, subscription: &str, variables: Value) -> Followed {
        let request =
            Request::new(subscription).variables(Variables::from_json(variables)).data(self.app.clone()).data(Arc::new(caller.clone()));
        Followed(self.schema.execute_stream(request, None))
    }

    /// Runs a document that must be free of top-level errors and of `userErrors`; gives `data`.
    pub async fn ok(&self, caller: &Caller, query: &str, variables: Value) -> Value {
        let answer = self.run(caller, query, variables).await;
        assert!(answer.get("errors").is_none(), "top-level errors in {answer:#}\nof {query}");
        for (name, field) in answer["data"].as_object().into_iter().flatten() {
            if let Some(refusals) = field.get("userErrors").and_then(Value::as_array) {
                assert!(refusals.is_empty(), "{name} was refused: {refusals:#?}\nof {query}");
            }
        }
        answer["data"].clone()
    }

    /// Runs one mutation that must be refused; gives (code, field path joined by dots) of each refusal.
    pub async fn refused(&self, caller: &Caller, query: &str, variables: Value) -> Vec<(String, String)> {
        let answer = self.run(caller, query, variables).await;
        assert!(answer.get("errors").is_none(), "top-level errors in {answer:#}");
        let field = answer["data"].as_object().and_then(|data| data.values().next()).cloned().expect("one mutation");
        let refusals = field["userErrors"].as_array().cloned().expect("the query asks for userErrors { code field message }");
        assert!(!refusals.is_empty(), "it was not refused: {answer:#}");
        refusals
            .iter()
            .map(|refusal| {
                let path = refusal["field"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(".");
                (refusal["code"].as_str().unwrap_or_default().to_owned(), path)
            })
            .collect()
    }

    /// Runs the mutation `name` with its one `input`, which must be done; gives `selection` of its payload.
    pub async fn act(&self, caller: &Caller, name: &str, input: Value, selection: &str) -> Value {
        let data = self.ok(caller, &mutation(name, selection), json!({ "input": input })).await;
        data[name].clone()
    }

    /// Runs the mutation `name` with its one `input`, which must be refused; gives (code, field path joined by dots) of each refusal.
    pub async fn denied(&self, caller: &Caller, name: &str, input: Value) -> Vec<(String, String)> {
        self.refused(caller, &mutation(name, ""), json!({ "input": input })).await
    }

    /// A course that is sold only inside libraries; its id.
    pub async fn course(&self, title: &str) -> String {
        let made = self.act(&self.operator(), "courseCreate", json!({ "title": title }), "course { id }").await;
        id(&made["course"])
    }

    /// A library with one list price such as "20.00 USD"; its id and its product's.
    pub async fn library(&self, sku: &str, title: &str, price: &str, courses: &[&str]) -> (String, String) {
        let input = json!({ "sku": sku, "title": title, "prices": [amount(price)], "courseIds": courses });
        let made = self.act(&self.operator(), "libraryCreate", input, "library { id product { id } }").await;
        (id(&made["library"]), id(&made["library"]["product"]))
    }

    /// The code of the top-level error that a document must get.
    pub async fn top_level_code(&self, caller: &Caller, query: &str, variables: Value) -> String {
        let answer = self.run(caller, query, variables).await;
        answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("no top-level code in {answer:#}")).to_owned()
    }
}

/// The document of a mutation with its one input.
fn mutation(name: &str, selection: &str) -> String {
    let (first, rest) = name.split_at(1);
    let input = format!("{}{rest}Input", first.to_uppercase());
    format!("mutation($input: {input}!) {{ {name}(input: $input) {{ {selection} userErrors {{ code field message }} }} }}")
}

/// The `id` of a selected object.
pub fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_else(|| panic!("no id in {object}")).to_owned()
}

/// "20.00 USD" as an input.
pub fn amount(text: &str) -> Value {
    let (amount, currency) = text.split_once(' ').expect("an amount and a currency");
    json!({ "amount": amount, "currency": currency })
}

fn server(db: Db, clock: Arc<TestClock>, shop: ShopSettings, gateways: Gateways) -> App {
    App {
        db,
        clock,
        entropy: Arc::new(SystemEntropy::default()),
        secrets: Secrets::new(SecretString::from("test secret of the installation, long enough")).expect("a secret"),
        shop,
        sign_in: SignIn::default(),
        gateways,
        mailer: None,
        poster: Arc::new(HttpPoster::new(&EventSettings { allow_private: true, timeout_s: 2 }).expect("a client")),
        wake: tokio::sync::Notify::new(),
        changes: tokio::sync::broadcast::channel(64).0,
    }
}

/// The gateways that the embedded shop has: `sandbox`, which keeps its state in `dir`, and `manual`.
async fn gateways(dir: &TempDir) -> (Sandbox, Gateways) {
    let config = InstanceConfig { data_dir: Some(dir.path().to_owned()), ..InstanceConfig::new("sandbox", "http://127.0.0.1:8080") };
    let sandbox = Sandbox::open(config).await.expect("the sandbox opens");
    let manual = Manual::new(InstanceConfig::new("manual", "http://127.0.0.1:8080")).expect("the manual gateway needs nothing");
    let instance = |id: &str, gateway: Arc<dyn PaymentGateway>, unpaid_for| Instance {
        id: id.to_owned(),
        gateway,
        companies: Vec::new(),
        currencies: Vec::new(),
        unpaid_for,
        capture_at_once: true,
    };
    let gateways = Gateways(vec![
        instance("sandbox", Arc::new(sandbox.clone()), domain::order::LAPSE_AFTER),
        instance("manual", Arc::new(manual), domain::order::LAPSE_AFTER_MANUAL),
    ]);
    (sandbox, gateways)
}

/// A migrated database of the test's own.
async fn database(dir: &TempDir) -> DbOptions {
    match std::env::var("BURSAR_TEST_DATABASE") {
        Ok(server) if server.starts_with("postgres") => DbOptions { url: postgres(&server).await, pool: pool() },
        _ => {
            let file = dir.path().join("bursar.db");
            tokio::fs::copy(sqlite_template().await, &file).await.expect("the template is copied");
            DbOptions { url: format!("sqlite://{}", file.display()), pool: 4 }
        }
    }
}

/// A migrated SQLite file, made once per run of the program.
async fn sqlite_template() -> std::path::PathBuf {
    static TEMPLATE: tokio::sync::OnceCell<(TempDir, std::path::PathBuf)> = tokio::sync::OnceCell::const_new();
    let (_, file) = TEMPLATE
        .get_or_init(|| async {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let file = dir.path().join("template.db");
            let connection = Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await.expect("SQLite opens");
            Migrator::up(&connection, None).await.expect("the migrations run");
            connection.close().await.expect("it closes");
            (dir, file)
        })
        .await;
    file.clone()
}

/// A PostgreSQL database cloned from a migrated template, made once per run of the program.
async fn postgres(server: &str) -> String {
    static TEMPLATE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    let (base, run) = (base_of(server), std::process::id());
    let template = TEMPLATE
        .get_or_init(|| async {
            let name = format!("bursar_template_{run}");
            let admin = Database::connect(server).await.expect("the PostgreSQL of BURSAR_TEST_DATABASE answers");
            admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a template database");
            admin.close().await.expect("it closes");
            let connection = Database::connect(format!("{base}/{name}")).await.expect("the template answers");
            Migrator::up(&connection, None).await.expect("the migrations run");
            connection.close().await.expect("it closes");
            name
        })
        .await;
    create_database(server, &format!("TEMPLATE {template}")).await
}

/// A new database on the PostgreSQL server; its address.
async fn create_database(server: &str, how: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("bursar_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let admin = Database::connect(server).await.expect("PostgreSQL answers");
    admin.execute_unprepared(&format!("CREATE DATABASE {name} {how}")).await.expect("a database for the test");
    admin.close().await.expect("it closes");
    format!("{}/{name}", base_of(server))
}

fn base_of(server: &str) -> String {
    server.trim_end_matches('/').rsplit_once('/').map_or(server, |(base, _)| base).to_owned()
}

/// A PostgreSQL database without tables, and how many connections to use; `None` where the tests run on SQLite.
pub async fn empty_postgres() -> Option<DbOptions> {
    let server = std::env::var("BURSAR_TEST_DATABASE").ok().filter(|server| server.starts_with("postgres"))?;
    Some(DbOptions { url: create_database(&server, "").await, pool: pool() })
}

fn pool() -> u32 {
    std::env::var("BURSAR_TEST_POOL").ok().and_then(|pool| pool.parse().ok()).unwrap_or(8)
}

/// The events of a live subscription.
pub struct Followed(BoxStream<'static, async_graphql::Response>);

impl Followed {
    /// What its one field says next; `None` at its end.
    pub async fn next(&mut self) -> Option<Value> {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), self.0.next()).await.expect("an event in time");
        next.map(|response| {
            assert!(response.errors.is_empty(), "{:?}", response.errors);
            let data = serde_json::to_value(&response.data).expect("JSON");
            data.as_object().and_then(|data| data.values().next()).cloned().expect("one field")
        })
    }
}
