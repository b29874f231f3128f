//! Who may call what. The schema is asked for its mutations and queries, so that none is forgotten, and each is called by everybody who must not.
//!
//! A new mutation or query needs a row in [`MUTATIONS`] or [`QUERIES`]; without one the tests fail and say so.

use std::collections::BTreeMap;

use bursar::app::caller::{Caller, Scope, Scopes, Who};
use bursar::app::entropy;
use domain::CompanyId;
use entity::audit;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Map, Value, json};

use crate::offer::Shelf;
use crate::util::TestApp;

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// Everybody; what they get depends on what they show.
    Anyone,
    /// Whoever the object belongs to. Everybody may call; an id that is not theirs is NOT_FOUND for them.
    Owner,
    /// Signed-in people, about themselves.
    Person,
    /// Operators and keys with this scope.
    Scoped(&'static str),
    /// The same, and managers of the company that the input names; other managers are told that it is NOT_FOUND or FORBIDDEN.
    ScopedOrManager(&'static str),
}

use Right::{Anyone, Owner, Person, Scoped, ScopedOrManager};

/// Every mutation and who may call it. Add new ones here.
const MUTATIONS: &[(&str, Right)] = &[
    ("providerSet", Scoped("catalog:write")),
    ("courseCreate", Scoped("catalog:write")),
    ("courseUpdate", Scoped("catalog:write")),
    ("courseArchive", Scoped("catalog:write")),
    ("courseCommerceSet", Scoped("catalog:write")),
    ("resourcesSet", Scoped("catalog:write")),
    ("sessionCreate", Scoped("catalog:write")),
    ("sessionUpdate", Scoped("catalog:write")),
    ("libraryCreate", Scoped("catalog:write")),
    ("libraryUpdate", Scoped("catalog:write")),
    ("libraryArchive", Scoped("catalog:write")),
    ("libraryCoursesSet", Scoped("catalog:write")),
    ("groupCreate", Scoped("catalog:write")),
    ("groupUpdate", Scoped("catalog:write")),
    ("groupArchive", Scoped("catalog:write")),
    ("groupMembersAdd", Scoped("catalog:write")),
    ("groupMembersRemove", Scoped("catalog:write")),
    ("productUpdate", Scoped("catalog:write")),
    ("creditPackCreate", Scoped("catalog:write")),
    ("creditPackUpdate", Scoped("catalog:write")),
    ("productPricesSet", Scoped("prices:write")),
    ("exchangeRatesSet", Scoped("prices:write")),
    ("taxRatesSet", Scoped("prices:write")),
    ("discountScheduleSet", Scoped("prices:write")),
    ("licensorSet", Scoped("prices:write")),
    ("royaltyPlanSet", Scoped("prices:write")),
    ("royaltyOverrideSet", Scoped("sales:write")),
    ("royaltyPeriodClose", Scoped("sales:write")),
    ("companyCreate", Scoped("companies:write")),
    ("companyUpdate", Scoped("companies:write")),
    ("companyArchive", Scoped("companies:write")),
    ("companyMembersSet", ScopedOrManager("companies:write")),
    ("companyOffersSet", ScopedOrManager("prices:write")),
    ("companyOffersUnset", ScopedOrManager("prices:write")),
    ("cartCreate", Anyone),
    ("cartLinesSet", Owner),
    ("cartLinesRemove", Owner),
    ("cartBuyerSet", Owner),
    ("cartCouponAdd", Owner),
    ("cartCouponRemove", Owner),
    ("cartClaim", Person),
    ("couponCreate", Scoped("coupons:write")),
    ("couponUpdate", Scoped("coupons:write")),
    ("couponDeactivate", Scoped("coupons:write")),
    ("couponBatchCreate", Scoped("coupons:write")),
    ("couponBatchResize", Scoped("coupons:write")),
    ("creditGrant", Scoped("credits:write")),
    ("creditRevoke", Scoped("credits:write")),
    ("companyCreditLimitSet", ScopedOrManager("credits:write")),
    ("accountSignUp", Anyone),
    ("accountSignIn", Anyone),
    ("accountLinkRedeem", Anyone),
    ("accountLinkSend", Anyone),
    ("accountPasswordChange", Person),
    ("accountEmailChange", Person),
    ("operatorSet", Scoped("settings:write")),
    ("accountAttributesSet", Scoped("settings:write")),
    ("personErase", Scoped("settings:write")),
    ("serviceKeyCreate", Scoped("settings:write")),
    ("serviceKeyRevoke", Scoped("settings:write")),
    ("enrollmentStart", Person),
    ("enrollmentCreate", ScopedOrManager("learning:write")),
    ("enrollmentImport", ScopedOrManager("learning:write")),
    ("enrollmentReregister", Person),
    ("enrollmentResultRecord", Owner),
    ("entitlementEnd", Scoped("learning:write")),
    ("orderPlace", Owner),
    ("paymentRetry", Owner),
    ("orderCancel", Owner),
    ("orderPaymentRecord", Scoped("orders:write")),
    ("paymentCapture", Scoped("orders:write")),
    ("paymentVoid", Scoped("orders:write")),
    ("orderRefund", Scoped("refunds:write")),
    ("resourceRent", Person),
    ("rentalRenew", Person),
    ("rentalEnd", Scoped("credits:write")),
    ("tokenRedeem", Person),
    ("tokenAssign", Owner),
    ("tokenTransfer", Owner),
    ("tokenRevoke", Owner),
    ("salesOrderCreate", ScopedOrManager("sales:write")),
    ("salesOrderUpdate", ScopedOrManager("sales:write")),
    ("salesOrderQuoteSend", Scoped("sales:write")),
    ("salesOrderQuoteAccept", ScopedOrManager("sales:write")),
    ("salesOrderConfirm", ScopedOrManager("sales:write")),
    ("salesOrderInvoice", Scoped("sales:write")),
    ("salesOrderPaymentRecord", Scoped("sales:write")),
    ("salesOrderCancel", ScopedOrManager("sales:write")),
    ("salesOrderRefund", Scoped("sales:write")),
    ("jobReplay", Scoped("settings:write")),
    ("webhookEndpointCreate", Scoped("settings:write")),
    ("webhookEndpointDelete", Scoped("settings:write")),
    ("webhookReplay", Scoped("settings:write")),
    ("templateSet", Scoped("settings:write")),
    ("templatePreview", Scoped("settings:read")),
    ("shopSettingsUpdate", Scoped("settings:write")),
];

/// Every query and who may call it: the others are FORBIDDEN. Queries by id that answer null to others are `Owner`. Add new ones here.
const QUERIES: &[(&str, Right)] = &[
    ("shop", Anyone),
    ("node", Owner),
    ("nodes", Anyone),
    ("provider", Scoped("catalog:read")),
    ("providers", Scoped("catalog:read")),
    ("course", Scoped("catalog:read")),
    ("courses", Scoped("catalog:read")),
    ("resource", Scoped("catalog:read")),
    ("library", Scoped("catalog:read")),
    ("libraries", Scoped("catalog:read")),
    ("group", Scoped("catalog:read")),
    ("groups", Scoped("catalog:read")),
    ("product", Scoped("catalog:read")),
    ("products", Scoped("catalog:read")),
    ("exchangeRates", Scoped("prices:read")),
    ("taxRates", Scoped("prices:read")),
    ("discountSchedule", Scoped("prices:read")),
    ("discountSchedules", Scoped("prices:read")),
    ("licensor", Scoped("prices:read")),
    ("licensors", Scoped("prices:read")),
    ("royaltyPlan", Scoped("prices:read")),
    ("royaltyPlans", Scoped("prices:read")),
    ("royaltyStatement", Scoped("reports:read")),
    ("company", ScopedOrManager("companies:read")),
    ("companies", Scoped("companies:read")),
    ("companyMembers", ScopedOrManager("companies:read")),
    ("companyOffers", ScopedOrManager("prices:read")),
    ("companyOfferHistory", ScopedOrManager("prices:read")),
    ("offers", Anyone),
    ("offer", Anyone),
    ("cart", Owner),
    ("coupon", Scoped("coupons:read")),
    ("coupons", Scoped("coupons:read")),
    ("couponCodes", Scoped("coupons:read")),
    ("couponReport", Scoped("coupons:read")),
    ("credits", ScopedOrManager("credits:read")),
    ("creditReport", Scoped("reports:read")),
    // Managers of the company named too: r46_managers_see_their_own_sales_alone.
    ("salesReport", Scoped("reports:read")),
    ("me", Anyone),
    ("account", Owner),
    ("accounts", Scoped("settings:read")),
    ("outbox", Scoped("settings:read")),
    ("webhookEndpoints", Scoped("settings:read")),
    ("webhookDeliveries", Scoped("settings:read")),
    ("template", Scoped("settings:read")),
    ("templates", Scoped("settings:read")),
    ("shopSettings", Scoped("settings:read")),
    ("serviceKeys", Scoped("settings:read")),
    ("auditLog", ScopedOrManager("settings:read")),
    ("accessExplain", Owner),
    ("rentalQuote", Person),
    ("rentals", Person),
    ("order", Owner),
    ("orders", Person),
    ("paidNotGiven", Scoped("orders:read")),
    ("givenNotPaid", Scoped("orders:read")),
    ("paymentProblems", Scoped("orders:read")),
    ("tokens", Person),
    ("salesOrder", Owner),
    ("salesOrders", ScopedOrManager("sales:read")),
    ("jobs", Scoped("settings:read")),
];

/// Optional fields of the input of a mutation, or optional arguments of a query, that a call needs to be plausible. Add new ones here.
fn besides(call: &str, company: &str) -> Value {
    match call {
        "credits" => json!({ "companyId": company }),
        "auditLog" | "salesOrders" | "salesReport" => json!({ "filter": { "companyId": company } }),
        // Without scopes it would ask for all of them, which nobody gives who lacks one.
        "operatorSet" | "serviceKeyCreate" => json!({ "scopes": ["settings:write"] }),
        "enrollmentCreate" => json!({ "companyId": company }),
        "enrollmentImport" => json!({ "companyId": company, "csv": "email,course\nnobody@example.org,NOTHING\n" }),
        "tokenAssign" => json!({ "orderId": "ord_01m88mdsqyeexs0j7wsy3h1qvs" }),
        "enrollmentResultRecord" => json!({ "enrollmentId": "enr_01m88mdsqyeexs0j7wsy3h1qvs" }),
        _ => json!({}),
    }
}

const INTROSPECTION: &str = "{ __schema {
    queryType { fields { ...field } } mutationType { fields { ...field } }
    types { name kind isOneOf enumValues { name } inputFields { name defaultValue type { ...type } } } } }
    fragment field on __Field { name args { name defaultValue type { ...type } } type { ...type } }
    fragment type on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// The schema as it describes itself.
struct Schema {
    queries: Vec<Value>,
    mutations: Vec<Value>,
    types: BTreeMap<String, Value>,
    /// A company that is there, with people and offers of its own.
    company: String,
    /// The product that it has its own offer of.
    product: String,
}

impl Schema {
    async fn of(shop: &TestApp, company: CompanyId) -> Self {
        let course = shop.course("Irons").await;
        let (_, product) = shop.library("LIB", "Smithing", "20 USD", &[&course]).await;
        let rows = json!([{ "productId": product, "title": "Their own" }]);
        let input = json!({ "companyId": company.to_string(), "rows": rows });
        shop.act(&shop.operator(), "companyOffersSet", input, "company { id }").await;
        let lines = json!([{ "productId": product, "quantity": 1 }]);
        let input = json!({ "companyId": company.to_string(), "lines": lines, "idempotencyKey": "theirs" });
        shop.act(&shop.operator(), "salesOrderCreate", input, "").await;
        let data = shop.ok(&shop.guest(), INTROSPECTION, json!({})).await;
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let schema = &data["__schema"];
        let types = list(&schema["types"]).into_iter().map(|found| (found["name"].as_str().expect("a name").to_owned(), found)).collect();
        Self {
            queries: list(&schema["queryType"]["fields"]),
            mutations: list(&schema["mutationType"]["fields"]),
            types,
            company: company.to_string(),
            product,
        }
    }

    /// The call of a field with made-up arguments, and its variables.
    fn call(&self, kind: &str, field: &Value) -> (String, Value) {
        let name = field["name"].as_str().expect("a name");
        let (mut declared, mut passed, mut variables) = (Vec::new(), Vec::new(), Map::new());
        for argument in field["args"].as_array().expect("a list") {
            let (argument_name, ty) = (argument["name"].as_str().expect("a name"), &argument["type"]);
            let required = ty["kind"] == "NON_NULL" && argument["defaultValue"].is_null();
            let value = match (besides(name, &self.company), besides(name, &self.company).get(argument_name)) {
                (_, Some(given)) => given.clone(),
                (Value::Object(more), None) if required => {
                    let mut value = self.value(ty, argument_name, name);
                    if let Value::Object(fields) = &mut value {
                        fields.extend(more);
                    }
                    value
                }
                _ => continue,
            };
            declared.push(format!("${argument_name}: {}", written(ty)));
            passed.push(format!("{argument_name}: ${argument_name}"));
            variables.insert(argument_name.to_owned(), value);
        }
        let brackets = |list: &[String]| if list.is_empty() { String::new() } else { format!("({})", list.join(", ")) };
        let ty = named(&field["type"]);
        let selected = match (kind, ty["kind"].as_str()) {
            ("mutation", _) => " { userErrors { code } }",
            _ if ty["name"].as_str().is_some_and(|name| name.ends_with("Connection")) => " { nodes { __typename } }",
            (_, Some("OBJECT" | "INTERFACE" | "UNION")) => " { __typename }",
            _ => "",
        };
        (format!("{kind}{} {{ {name}{}{selected} }}", brackets(&declared), brackets(&passed)), Value::Object(variables))
    }

    /// A made-up value of a type: well-formed, of something that is not there. Only a company and a product are there, so that the
    /// company's managers can be told from others.
    fn value(&self, ty: &Value, field: &str, call: &str) -> Value {
        match ty["kind"].as_str().expect("a kind") {
            "NON_NULL" => self.value(&ty["ofType"], field, call),
            "LIST" => json!([self.value(&ty["ofType"], field, call)]),
            "ENUM" => self.types[ty["name"].as_str().expect("a name")]["enumValues"][0]["name"].clone(),
            "INPUT_OBJECT" => {
                let found = &self.types[ty["name"].as_str().expect("a name")];
                let fields = found["inputFields"].as_array().expect("a list");
                let required = |field: &&Value| field["type"]["kind"] == "NON_NULL" && field["defaultValue"].is_null();
                let chosen: Vec<&Value> =
                    if found["isOneOf"] == true { fields.iter().take(1).collect() } else { fields.iter().filter(required).collect() };
                let value = |field: &Value| {
                    let name = field["name"].as_str().expect("a name").to_owned();
                    let value = self.value(&field["type"], &name, call);
                    (name, value)
                };
                Value::Object(chosen.into_iter().map(value).collect())
            }
            "SCALAR" if ty["name"] == "ID" && prefix(field, call) == "com" => json!(self.company),
            "SCALAR" if ty["name"] == "ID" && prefix(field, call) == "prd" => json!(self.product),
            _ => scalar(ty["name"].as_str().expect("a name"), field, call),
        }
    }
}

/// The type that lists and non-nulls are of.
fn named(ty: &Value) -> &Value {
    if ty["ofType"].is_null() { ty } else { named(&ty["ofType"]) }
}

fn written(ty: &Value) -> String {
    match ty["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", written(&ty["ofType"])),
        Some("LIST") => format!("[{}]", written(&ty["ofType"])),
        _ => ty["name"].as_str().expect("a name").to_owned(),
    }
}

fn scalar(ty: &str, field: &str, call: &str) -> Value {
    match ty {
        "ID" => json!(format!("{}_{}", prefix(field, call), "0".repeat(26))),
        "String" if field.to_lowercase().contains("email") => json!("nobody@example.org"),
        "String" if field == "sku" || field == "key" => json!("NOTHING"),
        "String" => json!("made up by a test"),
        "Int" | "Long" => json!(1),
        "Boolean" => json!(true),
        "Float" => json!(1.5),
        "Decimal" => json!("1.00"),
        "CurrencyCode" => json!("USD"),
        "DateTime" => json!("2026-01-01T00:00:00Z"),
        "NaiveDate" => json!("2026-01-01"),
        other => panic!("teach `scalar` in tests/it/rights.rs to make up a {other} (for {field} of {call})"),
    }
}

/// The prefix of the ids that a field takes: by its own name, or by the noun that its call begins with.
fn prefix(field: &str, call: &str) -> &'static str {
    const NOUNS: [(&str, &str); 26] = [
        ("account", "acc"),
        ("cartLine", "cli"),
        ("cart", "crt"),
        ("company", "com"),
        ("batch", "bat"),
        ("coupon", "cpn"),
        ("course", "crs"),
        ("discountSchedule", "dsc"),
        ("enrollment", "enr"),
        ("entitlement", "ent"),
        ("group", "grp"),
        ("job", "job"),
        ("library", "lib"),
        ("line", "oli"),
        ("orderLine", "oli"),
        ("order", "ord"),
        ("payment", "pay"),
        ("product", "prd"),
        ("provider", "pro"),
        ("rental", "ren"),
        ("resource", "res"),
        ("salesLine", "sli"),
        ("salesOrder", "sor"),
        ("serviceKey", "key"),
        ("session", "ses"),
        ("token", "tok"),
    ];
    let of = |name: &str| NOUNS.iter().find(|(noun, _)| name.starts_with(noun)).map(|(_, prefix)| *prefix);
    of(field).or_else(|| of(call)).unwrap_or("lib")
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// A top-level error with this code.
    Error(String),
    /// `userErrors` with these codes.
    Refused(Vec<String>),
    /// Null without an error, or an empty list.
    Nothing,
    /// It was done.
    Done,
}

async fn outcome(shop: &TestApp, caller: &Caller, (query, variables): &(String, Value)) -> Outcome {
    let answer = shop.run(caller, query, variables.clone()).await;
    if let Some(error) = answer["errors"].get(0) {
        let code = error["extensions"]["code"].as_str();
        return Outcome::Error(code.map_or_else(|| format!("no code: {}", error["message"]), str::to_owned));
    }
    let field = answer["data"].as_object().and_then(|data| data.values().next()).expect("one field");
    match field.get("userErrors").and_then(Value::as_array) {
        Some(refusals) if !refusals.is_empty() => {
            Outcome::Refused(refusals.iter().map(|refusal| refusal["code"].as_str().unwrap_or_default().to_owned()).collect())
        }
        _ if field.is_null() || field["nodes"] == json!([]) => Outcome::Nothing,
        _ => Outcome::Done,
    }
}

fn is_error(outcome: &Outcome, code: &str) -> bool {
    *outcome == Outcome::Error(code.to_owned())
}

/// Everybody who may come.
struct Cast {
    guest: Caller,
    customer: Caller,
    manager: Caller,
    manager_key: Caller,
    bare_key: Caller,
    /// The manager of the company that inputs name.
    own_manager: Caller,
}

impl Cast {
    async fn of(shop: &TestApp, company: CompanyId) -> Self {
        let elsewhere = Shelf(shop).company("elsewhere", json!({})).await;
        let manager = async |email: &str, company: CompanyId| {
            let (account, token) = shop.sign_up(email).await;
            let input = json!({ "companyId": company.to_string(), "managers": [{ "accountId": account }] });
            shop.act(&shop.operator(), "companyMembersSet", input, "company { id }").await;
            shop.bearer(&token).await
        };
        Self {
            guest: shop.guest(),
            customer: shop.bearer(&shop.sign_up("customer@example.org").await.1).await,
            manager: manager("manager@example.org", elsewhere).await,
            manager_key: shop.manager_key(&elsewhere.to_string()),
            bare_key: shop.key(&[]),
            own_manager: manager("own@example.org", company).await,
        }
    }

    fn everybody(&self) -> [(&'static str, &Caller); 5] {
        [
            ("a guest", &self.guest),
            ("a customer", &self.customer),
            ("a manager of another company", &self.manager),
            ("a manager's key of another company", &self.manager_key),
            ("a key without scopes", &self.bare_key),
        ]
    }
}

/// Every scope but this one and what includes it.
fn all_but(scope: Scope) -> Caller {
    let scopes: Scopes = Scopes::all().iter().filter(|other| other.topic != scope.topic || (scope.write && !other.write)).collect();
    Caller { who: Who::Key { id: entropy::next_id(), scopes }, ..Caller::guest() }
}

/// Calls one field as everybody; says what is wrong.
async fn walk(shop: &TestApp, cast: &Cast, call: &(String, Value), right: Right) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |who: &str, came: &Outcome, fits: bool| {
        if !fits {
            wrong.push(format!("{right:?}, called by {who}: {came:?}\n    {} {}", call.0, call.1));
        }
    };
    // What a query argues about, or how often one may ask, is no matter of rights.
    let let_in = |came: &Outcome| !matches!(came, Outcome::Error(code) if code != "BAD_INPUT" && code != "RATE_LIMITED");
    let logged = async || audit::Entity::find().count(shop.app.db.read()).await.expect("a count");
    let before = logged().await;
    for (name, caller) in cast.everybody() {
        let came = outcome(shop, caller, call).await;
        let guest = matches!(caller.who, Who::Guest);
        let refused = is_error(&came, if guest { "UNAUTHENTICATED" } else { "FORBIDDEN" });
        let not_theirs = match &came {
            Outcome::Nothing => true,
            Outcome::Refused(codes) => codes.iter().any(|code| code == "NOT_FOUND"),
            Outcome::Error(_) | Outcome::Done => false,
        };
        let fits = match right {
            Anyone => let_in(&came),
            Owner => not_theirs || refused,
            Person if caller.account().is_some() => let_in(&came),
            Person | Scoped(_) => refused,
            ScopedOrManager(_) => refused || not_theirs,
        };
        expect(name, &came, fits);
    }
    if logged().await != before {
        expect("somebody wrong", &Outcome::Done, false);
    }
    if let Scoped(scope) | ScopedOrManager(scope) = right {
        let parsed = Scope::parse(scope).unwrap_or_else(|| panic!("{scope} is no scope"));
        let came = outcome(shop, &all_but(parsed), call).await;
        expect("a key with every other scope", &came, is_error(&came, "FORBIDDEN"));
        let came = outcome(shop, &shop.key(&[scope]), call).await;
        expect("a key with just this scope", &came, let_in(&came));
    }
    if let ScopedOrManager(_) = right {
        let came = outcome(shop, &cast.own_manager, call).await;
        expect("the company's own manager", &came, let_in(&came) && came != Outcome::Nothing);
    }
    wrong
}

async fn walk_all(kind: &str, table: &[(&str, Right)]) {
    let shop = TestApp::new().await;
    let company = Shelf(&shop).company("acme", json!({})).await;
    let (schema, cast) = (Schema::of(&shop, company).await, Cast::of(&shop, company).await);
    let fields = if kind == "mutation" { &schema.mutations } else { &schema.queries };
    let mut wrong = Vec::new();
    for field in fields {
        let name = field["name"].as_str().expect("a name");
        let call = schema.call(kind, field);
        match table.iter().find(|(known, _)| *known == name) {
            Some((_, right)) => wrong.extend(walk(&shop, &cast, &call, *right).await),
            None => wrong.push(format!(
                "{kind} {name} has no row: add (\"{name}\", …) to {} in tests/it/rights.rs, saying who may call it",
                if kind == "mutation" { "MUTATIONS" } else { "QUERIES" }
            )),
        }
    }
    for (name, _) in table {
        if !fields.iter().any(|field| field["name"] == *name) {
            wrong.push(format!("{kind} {name} has a row in tests/it/rights.rs, but is not in the schema"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// SPEC's walk: every mutation, as the schema lists them, with each wrong caller.
#[tokio::test]
async fn every_mutation_refuses_each_wrong_caller() {
    walk_all("mutation", MUTATIONS).await;
}

#[tokio::test]
async fn every_query_refuses_each_wrong_caller() {
    walk_all("query", QUERIES).await;
}
