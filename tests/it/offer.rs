//! Offers: which price a buyer is shown and why, what is shown to whom, search, order and pages, and what lists cost.

use bursar::app::caller::{Caller, Who};
use bursar::app::entropy::next_uuid;
use domain::{AccountId, CompanyId, LibraryId};
use entity::{account, entitlement, person};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};

use crate::util::{TestApp, amount, at, id};

/// What offers are made of, put there as operators and managers do.
pub struct Shelf<'a>(pub &'a TestApp);

/// A library and its product.
#[derive(Clone)]
pub struct Item {
    pub library: String,
    pub product: String,
}

/// The fields of `more` on top of those of `base`.
fn with(mut base: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("fields") {
        base[name] = value.clone();
    }
    base
}

impl Shelf<'_> {
    async fn act(&self, name: &str, input: Value, selection: &str) -> Value {
        self.0.act(&self.0.operator(), name, input, selection).await
    }

    pub async fn provider(&self, name: &str) -> String {
        id(&self.act("providerSet", json!({"name": name}), "provider { id }").await["provider"])
    }

    /// A library of one course with list prices such as "20.00 USD", and 365 days of access.
    pub async fn library(&self, sku: &str, title: &str, prices: &[&str]) -> Item {
        self.library_with(sku, title, prices, json!({})).await
    }

    /// The same with more fields of the input.
    pub async fn library_with(&self, sku: &str, title: &str, prices: &[&str], more: Value) -> Item {
        let course = self.0.course(&format!("{title}: the course")).await;
        let prices: Vec<Value> = prices.iter().map(|price| amount(price)).collect();
        let input = json!({"sku": sku, "title": title, "courseIds": [course], "accessDays": 365, "prices": prices});
        let made = self.act("libraryCreate", with(input, more), "library { id product { id } }").await;
        Item { library: id(&made["library"]), product: id(&made["library"]["product"]) }
    }

    /// Many libraries of one course at 10.00 USD, with SKUs from SKU-0 on.
    pub async fn libraries(&self, count: usize) -> Vec<Item> {
        let course = self.0.course("Course").await;
        let mut items = Vec::with_capacity(count);
        for numbers in (0..count).collect::<Vec<_>>().chunks(50) {
            let parts = numbers.iter().map(|number| {
                format!(
                    "l{number}: libraryCreate(input: {{sku: \"SKU-{number}\", title: \"Title\", courseIds: [\"{course}\"],
                        prices: [{{amount: \"10\", currency: \"USD\"}}]}}) {{ library {{ id product {{ id }} }} userErrors {{ code }} }}"
                )
            });
            let document = format!("mutation {{ {} }}", parts.collect::<Vec<_>>().join(" "));
            let data = self.0.ok(&self.0.operator(), &document, json!({})).await;
            items.extend(numbers.iter().map(|number| {
                let library = &data[format!("l{number}")]["library"];
                Item { library: id(library), product: id(&library["product"]) }
            }));
        }
        items
    }

    /// Gives a product the whole set of its prices; a row is "20.00 USD" or an input with group and window.
    pub async fn prices(&self, item: &Item, rows: &[Value]) {
        let rows: Vec<Value> = rows.iter().map(|row| row.as_str().map_or_else(|| row.clone(), amount)).collect();
        self.act("productPricesSet", json!({"productId": item.product, "prices": rows}), "product { id }").await;
    }

    pub async fn rate(&self, base: &str, quote: &str, rate: &str, valid_from: &str) {
        let rate = json!({"base": base, "quote": quote, "rate": rate, "validFrom": valid_from});
        self.act("exchangeRatesSet", json!({"rates": [rate]}), "exchangeRates { rate }").await;
    }

    pub async fn schedule(&self, name: &str, mode: &str, applies_to: &str, tiers: &Value) -> String {
        let input = json!({"name": name, "mode": mode, "appliesTo": applies_to, "tiers": tiers});
        id(&self.act("discountScheduleSet", input, "discountSchedule { id }").await["discountSchedule"])
    }

    /// A group with more fields of the input.
    pub async fn group(&self, more: Value) -> String {
        id(&self.act("groupCreate", with(json!({"title": "Friends"}), more), "group { id }").await["group"])
    }

    /// Puts somebody into a group, for ever or until an instant.
    pub async fn join(&self, learner: &Caller, group: &str, until: Option<&str>) {
        let account = learner.account().expect("a learner").to_string();
        let input = json!({"groupId": group, "accountIds": [account], "endsAt": until});
        self.act("groupMembersAdd", input, "group { id }").await;
    }

    /// A company with more fields of the input; RETAIL unless that says otherwise.
    pub async fn company(&self, key: &str, more: Value) -> CompanyId {
        let input = with(json!({"key": key, "name": key, "type": "RETAIL"}), more);
        let made = self.act("companyCreate", input, "company { id }").await;
        CompanyId::parse(&id(&made["company"])).expect("a company's id")
    }

    pub async fn member(&self, company: CompanyId, learner: &Caller) {
        let account = learner.account().expect("a learner").to_string();
        self.act("companyMembersSet", json!({"companyId": company, "learners": [{"accountId": account}]}), "company { id }").await;
    }

    /// A company's override of a product.
    pub async fn own(&self, company: CompanyId, item: &Item, fields: Value) {
        let row = with(json!({"productId": item.product}), fields);
        self.act("companyOffersSet", json!({"companyId": company, "rows": [row]}), "company { id }").await;
    }

    /// Somebody with a verified e-mail, signed in. Written by hand: how people sign up is not what these tests are about, and hashing takes time.
    pub async fn learner(&self, email: &str) -> Caller {
        let (id, person, now, db) = (next_uuid(), next_uuid(), self.0.app.now(), self.0.app.db.write());
        let row = person::ActiveModel {
            id: Set(person),
            email: Set(Some(email.to_owned())),
            email_hash: Set(email.to_owned()),
            name: Set(None),
            address: Set(None),
            created_at: Set(now),
            erased_at: Set(None),
        };
        person::Entity::insert(row).exec_without_returning(db).await.expect("a person");
        let row = account::ActiveModel {
            id: Set(id),
            person_id: Set(person),
            email_hash: Set(email.to_owned()),
            email_domain: Set(email.rsplit_once('@').expect("an address").1.to_owned()),
            email_verified_at: Set(Some(now)),
            password_hash: Set(None),
            operator_scopes: Set(None),
            sessions_valid_from: Set(now),
            created_at: Set(now),
            touched_at: Set(now),
        };
        account::Entity::insert(row).exec_without_returning(db).await.expect("an account");
        Caller { who: Who::Account { id: AccountId::new(id), operator: None, manages: Vec::new() }, ..Caller::guest() }
    }

    /// Somebody whose e-mail is not verified.
    pub async fn unverified(&self, email: &str) -> Caller {
        let (learner, db) = (self.learner(email).await, self.0.app.db.write());
        let id = learner.account().expect("a learner").uuid();
        let mut row = account::Entity::find_by_id(id).one(db).await.expect("a query").expect("the account").into_active_model();
        row.email_verified_at = Set(None);
        row.update(db).await.expect("an update");
        learner
    }

    /// Gives somebody a library from now until an instant, by hand.
    pub async fn grant(&self, learner: &Caller, item: &Item, until: &str) {
        let row = entitlement::ActiveModel {
            id: Set(next_uuid()),
            account_id: Set(learner.account().expect("a learner").uuid()),
            target_kind: Set("LIBRARY".to_owned()),
            target_id: Set(LibraryId::parse(&item.library).expect("a library's id").uuid()),
            source_kind: Set("HAND".to_owned()),
            source_id: Set(next_uuid()),
            order_id: Set(None),
            actor: Set("test".to_owned()),
            reason: Set(None),
            terms: Set(json!({})),
            granted_at: Set(self.0.app.now()),
            seq: Set(1),
            starts_at: Set(Some(self.0.app.now())),
            ends_at: Set(Some(at(until))),
            first_started_at: Set(None),
            frozen: Set(None),
            kept: Set(false),
            ended_at: Set(None),
            ended_reason: Set(None),
        };
        entitlement::Entity::insert(row).exec_without_returning(self.0.app.db.write()).await.expect("a grant");
    }
}

const OFFER: &str = "query($sku: String, $id: ID, $context: ContextInput, $quantity: Int! = 1, $at: DateTime) {
    offer(sku: $sku, id: $id, context: $context, quantity: $quantity, at: $at) {
        id sku kind title price { amount currency } unitPrice { amount } subtotal { amount } listPrice { amount } unavailable
        priceBreakdown { rule label amount { amount currency } detail } accessTerms { value unit anchor text } owned
        context { companyId currency locale }
    }
}";

async fn offer(shop: &TestApp, caller: &Caller, variables: Value) -> Value {
    shop.ok(caller, OFFER, variables).await["offer"].clone()
}

async fn titles(shop: &TestApp, caller: &Caller, arguments: &str) -> Vec<String> {
    let query = format!("{{ offers(first: 100 {arguments}) {{ nodes {{ title }} }} }}");
    let data = shop.ok(caller, &query, json!({})).await;
    data["offers"]["nodes"].as_array().expect("nodes").iter().map(|node| node["title"].as_str().expect("a title").to_owned()).collect()
}

/// The rules of the breakdown, each with its amount.
fn steps(offer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    offer["priceBreakdown"].as_array().expect("steps").iter().map(|step| (text(&step["rule"]), text(&step["amount"]["amount"]))).collect()
}

fn pair(rule: &str, amount: &str) -> (String, String) {
    (rule.to_owned(), amount.to_owned())
}

/// R79, R49, R10: the company's price, else the lowest of the buyer's groups, else the sale price of a window, else the list price; half-open at
/// both instants of the window.
#[tokio::test]
async fn r79_r49_r10_the_level_decides_the_price() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LEVELS", "Levels", &["40.00 USD"]).await;
    let (silver, gold, other) = (shelf.group(json!({})).await, shelf.group(json!({})).await, shelf.group(json!({})).await);
    let row = |amount: &str, group: &str| json!({"amount": amount, "currency": "USD", "groupId": group});
    let sale = json!({"amount": "24", "currency": "USD", "startsAt": "2026-02-01T00:00:00Z", "endsAt": "2026-03-01T00:00:00Z"});
    shelf.prices(&item, &[json!("40.00 USD"), sale, row("30", &silver), row("28", &gold), row("1", &other)]).await;
    let ann = shelf.learner("ann@example.org").await;
    shelf.join(&ann, &silver, None).await;
    shelf.join(&ann, &gold, Some("2026-04-01T00:00:00Z")).await;
    let acme = shelf.company("acme", json!({})).await;
    shelf.own(acme, &item, json!({"prices": [amount("35 USD")]})).await;
    let guest = shop.guest();
    let price = async |caller: &Caller, context: Value| {
        let found = offer(&shop, caller, json!({"sku": "levels", "context": context})).await;
        (found["price"]["amount"].as_str().expect("a price").to_owned(), steps(&found))
    };
    assert_eq!(price(&guest, json!({})).await, ("40.00".to_owned(), vec![pair("LIST_PRICE", "40.00")]));
    assert_eq!(price(&ann, json!({})).await, ("28.00".to_owned(), vec![pair("GROUP_PRICE", "28.00")]));
    assert_eq!(price(&ann, json!({"companyId": acme})).await, ("35.00".to_owned(), vec![pair("COMPANY_PRICE", "35.00")]));
    // The window is half-open: its first instant belongs to it, its last does not. A group price stands above a lower sale price.
    for (now, expected) in [
        ("2026-01-31T23:59:59.999999Z", "40.00"),
        ("2026-02-01T00:00:00Z", "24.00"),
        ("2026-02-28T23:59:59.999999Z", "24.00"),
        ("2026-03-01T00:00:00Z", "40.00"),
    ] {
        shop.set_time(now);
        assert_eq!(price(&guest, json!({})).await.0, expected, "{now}");
        assert_eq!(price(&ann, json!({})).await.0, "28.00", "{now}");
    }
    let found = offer(&shop, &guest, json!({"sku": "LEVELS"})).await;
    assert_eq!(found["listPrice"]["amount"], "40.00");
    // The membership has run out at the instant of its end.
    shop.set_time("2026-04-01T00:00:00Z");
    assert_eq!(price(&ann, json!({})).await.0, "30.00");
}

/// R49: a price in the buyer's currency, else a conversion of the base currency's, rounded once; c37: yen have no decimals. Without a rate the
/// offer is listed without a price. Rates are neither inverted nor chained.
#[tokio::test]
async fn r49_c37_conversion_is_rounded_once_and_a_missing_rate_is_said() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    shelf.library("FX", "Foreign", &["9.99 USD", "8.00 EUR"]).await;
    shelf.rate("USD", "JPY", "151.37", "2025-12-01T00:00:00Z").await;
    shelf.rate("USD", "JPY", "160", "2026-02-01T00:00:00Z").await;
    shelf.rate("USD", "KWD", "0.30745", "2025-12-01T00:00:00Z").await;
    shelf.rate("GBP", "USD", "1.25", "2025-12-01T00:00:00Z").await;
    shelf.rate("EUR", "CHF", "0.95", "2025-12-01T00:00:00Z").await;
    let guest = shop.guest();
    let in_currency = async |currency: &str| offer(&shop, &guest, json!({"sku": "FX", "context": {"currency": currency}})).await;
    let usd = in_currency("USD").await;
    assert_eq!((usd["price"].clone(), usd["context"]["currency"].clone()), (json!({"amount": "9.99", "currency": "USD"}), json!("USD")));
    let eur = in_currency("eur").await;
    assert_eq!((eur["price"]["amount"].clone(), steps(&eur)), (json!("8.00"), vec![pair("LIST_PRICE", "8.00")]));
    // 9.99 × 151.37 = 1512.1863.
    let jpy = in_currency("JPY").await;
    assert_eq!(
        (jpy["price"]["amount"].clone(), steps(&jpy)),
        (json!("1512"), vec![pair("LIST_PRICE", "9.99"), pair("CONVERSION", "1512")])
    );
    assert_eq!(jpy["priceBreakdown"][1]["detail"], "1 USD = 151.37 JPY");
    // 9.99 × 0.30745 = 3.0714255.
    assert_eq!(in_currency("KWD").await["price"]["amount"], "3.071");
    for currency in ["GBP", "CHF"] {
        let none = in_currency(currency).await;
        assert_eq!((none["price"].clone(), none["unavailable"].clone()), (Value::Null, json!("NO_RATE")), "{currency}");
        assert_eq!(none["priceBreakdown"], json!([]));
        let listed = shop
            .ok(
                &guest,
                "query($c: ContextInput) { offers(context: $c) { nodes { sku price { amount } unavailable } } }",
                json!({"c": {"currency": currency}}),
            )
            .await;
        assert_eq!(listed["offers"]["nodes"], json!([{"sku": "FX", "price": null, "unavailable": "NO_RATE"}]));
    }
    // The next rate holds from its instant on.
    shop.set_time("2026-02-01T00:00:00Z");
    assert_eq!(in_currency("JPY").await["price"]["amount"], "1598");
    let code = shop.top_level_code(&guest, "{ offers(context: {currency: \"XXX\"}) { nodes { sku } } }", json!({})).await;
    assert_eq!(code, "BAD_INPUT");
}

/// R49: the level comes before the currency. A company price in a third currency only does not count; one in the base currency does, and is
/// converted.
#[tokio::test]
async fn r49_a_level_counts_only_with_the_buyers_or_the_base_currency() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let (one, two) =
        (shelf.library("ONE", "One", &["10.00 USD", "9.00 EUR"]).await, shelf.library("TWO", "Two", &["10.00 USD", "9.00 EUR"]).await);
    shelf.rate("USD", "EUR", "0.5", "2025-12-01T00:00:00Z").await;
    let acme = shelf.company("acme", json!({})).await;
    shelf.own(acme, &one, json!({"prices": [amount("1 GBP")]})).await;
    shelf.own(acme, &two, json!({"prices": [amount("12 USD")]})).await;
    let context = json!({"companyId": acme, "currency": "EUR"});
    let one = offer(&shop, &shop.guest(), json!({"sku": "ONE", "context": context})).await;
    assert_eq!(steps(&one), [pair("LIST_PRICE", "9.00")]);
    let two = offer(&shop, &shop.guest(), json!({"sku": "TWO", "context": context})).await;
    assert_eq!(
        (two["price"]["amount"].clone(), steps(&two)),
        (json!("6.00"), vec![pair("COMPANY_PRICE", "12.00"), pair("CONVERSION", "6.00")])
    );
    assert_eq!(two["listPrice"]["amount"], "9.00");
}

/// c35, R50: at a boundary the new tier holds for the whole quantity; graduated, each part has its price. Schedules for sales orders do nothing here.
#[tokio::test]
async fn c35_r50_tiers_hold_exactly_at_their_minimum() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let tier = |minimum: u32, price: &str| json!({"minQuantity": minimum, "price": amount(price)});
    let tiers = json!([tier(1, "10 USD"), tier(11, "9 USD"), tier(51, "8 USD")]);
    let guest = shop.guest();
    for (sku, mode, applies_to, expected) in [
        ("SLAB", "SLAB", "ALL", [("100.00", Some("10.00")), ("99.00", Some("9.00")), ("450.00", Some("9.00")), ("408.00", Some("8.00"))]),
        ("PARTS", "GRADUATED", "ALL", [("100.00", None), ("109.00", None), ("460.00", None), ("468.00", None)]),
        (
            "BULK",
            "SLAB",
            "SALES_ORDER",
            [("100.00", Some("10.00")), ("110.00", Some("10.00")), ("500.00", Some("10.00")), ("510.00", Some("10.00"))],
        ),
    ] {
        let schedule = shelf.schedule(sku, mode, applies_to, &tiers).await;
        shelf.library_with(sku, sku, &["10.00 USD"], json!({"discountScheduleId": schedule})).await;
        for (quantity, (subtotal, unit)) in [10, 11, 50, 51].into_iter().zip(expected) {
            let found = offer(&shop, &guest, json!({"sku": sku, "quantity": quantity})).await;
            assert_eq!(found["subtotal"]["amount"], subtotal, "{sku} {quantity}");
            assert_eq!(found["unitPrice"]["amount"].as_str(), unit, "{sku} {quantity}");
        }
    }
    let parts = offer(&shop, &guest, json!({"sku": "PARTS", "quantity": 51})).await;
    assert_eq!(
        steps(&parts),
        [pair("LIST_PRICE", "10.00"), pair("GRADUATED_TIER", "100.00"), pair("GRADUATED_TIER", "360.00"), pair("GRADUATED_TIER", "8.00")]
    );
    for quantity in [0, -1, 10_001] {
        assert_eq!(shop.top_level_code(&guest, OFFER, json!({"sku": "SLAB", "quantity": quantity})).await, "BAD_INPUT", "{quantity}");
    }
}

/// R79: a tier's fixed price in another currency is converted for the buyer and taken where it is lower.
#[tokio::test]
async fn r79_a_tier_in_another_currency_is_converted() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let tiers = json!([{"minQuantity": 1, "percentOff": "0"}, {"minQuantity": 5, "price": amount("8 EUR")}]);
    let schedule = shelf.schedule("Shared", "SLAB", "ALL", &tiers).await;
    shelf.library_with("TIER", "Tier", &["10.00 USD"], json!({"discountScheduleId": schedule})).await;
    let guest = shop.guest();
    let five = || json!({"sku": "TIER", "quantity": 5});
    assert_eq!(offer(&shop, &guest, five()).await["subtotal"]["amount"], "50.00");
    shelf.rate("EUR", "USD", "1.1", "2025-12-01T00:00:00Z").await;
    let found = offer(&shop, &guest, five()).await;
    assert_eq!(
        (found["subtotal"]["amount"].clone(), steps(&found)),
        (json!("44.00"), vec![pair("LIST_PRICE", "10.00"), pair("QUANTITY_TIER", "8.80")])
    );
}

/// R45: SKUs are found whatever their case, and a replaced one still leads to its product. What is no SKU or no id finds nothing.
#[tokio::test]
async fn r45_an_offer_is_found_by_any_sku_of_its_product_and_by_id() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("OLD-RUST", "Rust", &["10.00 USD"]).await;
    shop.act(&shop.operator(), "productUpdate", json!({"id": item.product, "sku": "Rust-101"}), "product { sku }").await;
    let guest = shop.guest();
    for sku in ["Rust-101", "rust-101", " RUST-101 ", "old-rust"] {
        assert_eq!(offer(&shop, &guest, json!({"sku": sku})).await["sku"], "Rust-101", "{sku:?}");
    }
    assert_eq!(offer(&shop, &guest, json!({"id": item.product})).await["id"], item.product);
    for variables in
        [json!({"sku": "rust"}), json!({"sku": "ru st"}), json!({"sku": "%"}), json!({"id": "prd_1"}), json!({"id": "nonsense"})]
    {
        assert_eq!(offer(&shop, &guest, variables.clone()).await, Value::Null, "{variables}");
    }
    for variables in [json!({}), json!({"sku": "a", "id": "b"})] {
        assert_eq!(shop.top_level_code(&guest, OFFER, variables).await, "BAD_INPUT");
    }
}

/// R44, R48: title, description and days of the company, for as long as its override holds.
#[tokio::test]
async fn r44_r48_a_company_shows_its_own_title_and_days() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LIB", "Plain", &["10.00 USD"]).await;
    let acme = shelf.company("acme", json!({})).await;
    shelf.own(acme, &item, json!({"title": "Acme's own", "accessDays": 30, "endsAt": "2026-02-01T00:00:00Z"})).await;
    let guest = shop.guest();
    let variables = json!({"sku": "LIB", "context": {"companyId": acme}});
    let own = offer(&shop, &guest, variables.clone()).await;
    assert_eq!((own["title"].clone(), own["accessTerms"]["text"].clone()), (json!("Acme's own"), json!("30 days from the first start")));
    let list = format!("context: {{companyId: \"{acme}\"}}, search: ");
    assert_eq!(titles(&shop, &guest, &format!("{list} \"acme own\"")).await, ["Acme's own"]);
    assert!(titles(&shop, &guest, &format!("{list} \"plain\"")).await.is_empty());
    assert!(titles(&shop, &guest, "search: \"acme\"").await.is_empty());
    shop.set_time("2026-02-01T00:00:00Z");
    let after = offer(&shop, &guest, variables).await;
    assert_eq!((after["title"].clone(), after["accessTerms"]["value"].clone()), (json!("Plain"), json!(365)));
    assert_eq!(titles(&shop, &guest, &format!("{list} \"plain\"")).await, ["Plain"]);
}

/// A company for members does not exist for others; hidden offers, and companies that are off or archived, show nothing.
#[tokio::test]
async fn what_a_buyer_may_not_see_is_not_there() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LIB", "Library", &["10.00 USD"]).await;
    let secret = shelf.library("SECRET", "Secret", &["10.00 USD"]).await;
    let domains = json!({"storefront": "MEMBERS", "emailDomains": ["other.example", "example.com"]});
    let (members, hiding) = (shelf.company("members", domains).await, shelf.company("hiding", json!({})).await);
    shelf.own(hiding, &item, json!({"visibility": "HIDDEN"})).await;
    let (off, gone) = (shelf.company("off", json!({"enabled": false})).await, shelf.company("gone", json!({})).await);
    shop.act(&shop.operator(), "companyArchive", json!({"id": gone}), "company { id }").await;
    let group = shelf.group(json!({"content": [{"libraryId": secret.library, "sees": true}]})).await;
    let ann = shelf.learner("ann@example.com").await;
    let bob = shelf.learner("bob@le.com").await;
    let eve = shelf.unverified("eve@example.com").await;
    let member = shelf.learner("max@else.where").await;
    shelf.member(members, &member).await;
    shelf.join(&member, &group, None).await;
    let guest = shop.guest();
    let seen = async |caller: &Caller, company: &str| titles(&shop, caller, &format!("context: {{companyId: \"{company}\"}}")).await;
    for (caller, company, expected) in [
        (&guest, members.to_string(), vec![]),
        (&bob, members.to_string(), vec![]),
        (&eve, members.to_string(), vec![]),
        (&ann, members.to_string(), vec!["Library"]),
        (&member, members.to_string(), vec!["Library", "Secret"]),
        (&shop.operator(), members.to_string(), vec!["Library"]),
        (&shop.manager_key(&members.to_string()), members.to_string(), vec!["Library"]),
        (&shop.manager_key(&hiding.to_string()), members.to_string(), vec![]),
        (&guest, hiding.to_string(), vec![]),
        (&guest, off.to_string(), vec![]),
        (&guest, gone.to_string(), vec![]),
        (&guest, "com_nonsense".to_owned(), vec![]),
    ] {
        assert_eq!(seen(caller, &company).await, expected, "{:?} in {company}", caller.who);
        let found = offer(&shop, caller, json!({"sku": "LIB", "context": {"companyId": company}})).await;
        assert_eq!(found.is_null(), expected.is_empty(), "{:?} in {company}", caller.who);
    }
    assert_eq!(titles(&shop, &guest, "").await, ["Library"]);
    assert_eq!(titles(&shop, &member, "").await, ["Library", "Secret"]);
    assert_eq!(offer(&shop, &guest, json!({"sku": "SECRET"})).await, Value::Null);
    assert_eq!(offer(&shop, &member, json!({"id": secret.product})).await["title"], "Secret");
}

/// Automatic groups hold the members of a company and the verified addresses of a domain.
#[tokio::test]
async fn automatic_groups_give_their_prices() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LIB", "Library", &["10.00 USD"]).await;
    let acme = shelf.company("acme", json!({"emailDomains": ["acme.example"]})).await;
    let by_company = shelf.group(json!({"kind": "AUTOMATIC", "rule": {"companyId": acme}})).await;
    let by_domain = shelf.group(json!({"kind": "AUTOMATIC", "rule": {"emailDomain": "School.example"}})).await;
    let row = |amount: &str, group: &str| json!({"amount": amount, "currency": "USD", "groupId": group});
    shelf.prices(&item, &[json!("10.00 USD"), row("7", &by_company), row("5", &by_domain)]).await;
    let unverified = shelf.unverified("una@school.example").await;
    let member = shelf.learner("max@else.where").await;
    shelf.member(acme, &member).await;
    for (caller, price) in [
        (shop.guest(), "10.00"),
        (unverified, "10.00"),
        (shelf.learner("bob@else.where").await, "10.00"),
        (member, "7.00"),
        (shelf.learner("ann@acme.example").await, "7.00"),
        (shelf.learner("zoe@school.example").await, "5.00"),
    ] {
        let found = offer(&shop, &caller, json!({"sku": "LIB"})).await;
        assert_eq!(found["price"]["amount"], price, "{:?}", caller.who);
    }
}

/// What somebody has is flagged; for a visitor nothing is known.
#[tokio::test]
async fn an_offer_says_whether_the_learner_has_it() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LIB", "Library", &["10.00 USD"]).await;
    shelf.library("NEW", "New", &["10.00 USD"]).await;
    let ann = shelf.learner("ann@example.org").await;
    shelf.grant(&ann, &item, "2026-02-01T00:00:00Z").await;
    let owned = async |caller: &Caller| {
        let data = shop.ok(caller, "{ offers { nodes { owned } } }", json!({})).await;
        data["offers"]["nodes"].as_array().expect("nodes").iter().map(|node| node["owned"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(owned(&ann).await, [json!(true), json!(false)]);
    assert_eq!(owned(&shop.guest()).await, [Value::Null, Value::Null]);
    shop.set_time("2026-02-01T00:00:00Z");
    assert_eq!(owned(&ann).await, [json!(false), json!(false)]);
}

/// R47, R79: what an offer was at an instant: the price, the override and the rate on record then.
#[tokio::test]
async fn an_offer_tells_what_it_was_at_an_instant() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    shop.set_time("2026-01-10T00:00:00Z");
    let item = shelf.library("LIB", "Library", &["10.00 USD"]).await;
    shelf.rate("USD", "EUR", "0.9", "2026-01-01T00:00:00Z").await;
    shop.set_time("2026-01-20T00:00:00Z");
    shelf.prices(&item, &[json!("12.00 USD")]).await;
    shop.set_time("2026-02-01T00:00:00Z");
    let guest = shop.guest();
    for (instant, usd, eur) in [
        ("2026-01-09T23:59:59.999999Z", None, None),
        ("2026-01-10T00:00:00Z", Some("10.00"), Some("9.00")),
        ("2026-01-19T23:59:59.999999Z", Some("10.00"), Some("9.00")),
        ("2026-01-20T00:00:00Z", Some("12.00"), Some("10.80")),
        ("2026-02-01T00:00:00Z", Some("12.00"), Some("10.80")),
    ] {
        for (currency, expected) in [("USD", usd), ("EUR", eur)] {
            let found = offer(&shop, &guest, json!({"sku": "LIB", "at": instant, "context": {"currency": currency}})).await;
            assert_eq!(found["price"]["amount"].as_str(), expected, "{instant} {currency}");
        }
    }
}

/// R47: every word occurs somewhere, whatever the script, case and width; `%` and `_` are plain characters.
#[tokio::test]
async fn r47_search_finds_words_of_every_script() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    for (sku, title) in [
        ("AR", "تعلم البرمجة بلغة بايثون"),
        ("TH", "การเขียนโปรแกรมเบื้องต้น"),
        ("JA", "ｺﾝﾋﾟｭｰﾀ 機械学習入門"),
        ("TR", "İstanbul'da Şarkı"),
        ("DE", "Straße und Übung"),
        ("FW", "Ｆｏｒｅｘ ＦＯＲ beginners"),
        ("PC_1", "100% sure"),
        ("PC-2", "1000 sure"),
    ] {
        shelf.library(sku, title, &["1.00 USD"]).await;
    }
    shelf.library_with("DESC", "Other", &["1.00 USD"], json!({"description": "All about Fencing & more"})).await;
    let guest = shop.guest();
    for (search, skus) in [
        ("البرمجة", vec!["AR"]),
        ("بايثون تعلم", vec!["AR"]),
        ("โปรแกรม", vec!["TH"]),
        ("機械学習", vec!["JA"]),
        ("コンピュータ", vec!["JA"]),
        ("İSTANBUL", vec!["TR"]),
        ("i\u{307}stanbul", vec!["TR"]),
        ("istanbul", vec![]),
        ("şarkı", vec!["TR"]),
        ("STRASSE", vec!["DE"]),
        ("übung", vec!["DE"]),
        ("u\u{308}bung", vec!["DE"]),
        ("forex", vec!["FW"]),
        ("ｆｏｒｅｘ for", vec!["FW"]),
        ("100%", vec!["PC_1"]),
        ("10%", vec![]),
        ("pc_", vec!["PC_1"]),
        ("fencing", vec!["DESC"]),
        ("other fencing desc", vec!["DESC"]),
        ("sure forex", vec![]),
        ("'; drop table product; --", vec![]),
        ("\\", vec![]),
    ] {
        let data = shop.ok(&guest, "query($s: String) { offers(search: $s) { totalCount nodes { sku } } }", json!({"s": search})).await;
        let found: Vec<_> =
            data["offers"]["nodes"].as_array().expect("nodes").iter().map(|node| node["sku"].as_str().expect("a SKU")).collect();
        assert_eq!(found, skus, "{search}");
        assert_eq!(data["offers"]["totalCount"], skus.len(), "{search}");
    }
    assert_eq!(titles(&shop, &guest, "search: \"  \"").await.len(), 9);
    let long = format!("{{ offers(search: \"{}\") {{ nodes {{ sku }} }} }}", "x".repeat(201));
    assert_eq!(shop.top_level_code(&guest, &long, json!({})).await, "BAD_INPUT");
}

/// R46, R47: filters by kind, product code, company, price and whether it is free; c45: a bad filter is bad input.
#[tokio::test]
async fn r46_r47_filters_narrow_the_list() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let a = shelf.library_with("A", "A", &["5.00 USD"], json!({"productCode": "Säfety"})).await;
    shelf.library("B", "B", &["10.00 USD"]).await;
    shelf.library("C", "C", &["0 USD"]).await;
    shelf.library("D", "D", &["3.00 GBP"]).await;
    let acme = shelf.company("acme", json!({})).await;
    shelf.own(acme, &a, json!({"prices": [amount("20 USD")]})).await;
    let guest = shop.guest();
    for (arguments, expected) in [
        ("filter: {}", vec!["A", "B", "C", "D"]),
        ("filter: {kind: LIBRARY}", vec!["A", "B", "C", "D"]),
        ("filter: {kind: [COURSE, GROUP]}", vec![]),
        ("filter: {productCode: \"SÄFETY\"}", vec!["A"]),
        ("filter: {productCode: \"safety\"}", vec![]),
        ("filter: {free: true}", vec!["C"]),
        ("filter: {free: false}", vec!["A", "B"]),
        ("filter: {priceRange: {min: \"5\", max: \"10.00\"}}", vec!["A", "B"]),
        ("filter: {priceRange: {min: \"5.01\"}}", vec!["B"]),
        ("filter: {priceRange: {max: \"4.99\"}}", vec!["C"]),
        ("filter: {providerId: \"pro_nothing\"}", vec![]),
        ("sort: PRICE", vec!["C", "A", "B", "D"]),
        ("sort: PRICE, reverse: true", vec!["B", "A", "C", "D"]),
        ("sort: TITLE, reverse: true", vec!["D", "C", "B", "A"]),
        ("sort: NEWEST", vec!["D", "C", "B", "A"]),
        ("sort: NEWEST, reverse: true", vec!["A", "B", "C", "D"]),
        ("sort: NEWEST, filter: {free: false}", vec!["B", "A"]),
    ] {
        assert_eq!(titles(&shop, &guest, arguments).await, expected, "{arguments}");
    }
    assert_eq!(titles(&shop, &guest, &format!("filter: {{companyId: \"{acme}\"}}")).await, ["A"]);
    let in_company = format!("context: {{companyId: \"{acme}\"}}, sort: PRICE");
    assert_eq!(titles(&shop, &guest, &in_company).await, ["C", "B", "A", "D"]);
    for filter in ["{priceRange: {min: \"1.234\"}}", "{priceRange: {max: \"much\"}}"] {
        let query = format!("{{ offers(filter: {filter}) {{ nodes {{ sku }} }} }}");
        assert_eq!(shop.top_level_code(&guest, &query, json!({})).await, "BAD_INPUT", "{filter}");
    }
}

/// c45: equal titles, instants and prices neither repeat nor skip a row, even when one is added meanwhile; bad arguments are bad input.
#[tokio::test]
async fn c45_pages_hold_each_offer_once() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    for number in 0..25 {
        shelf.library(&format!("SAME-{number}"), "Same", &["10.00 USD"]).await;
    }
    let guest = shop.guest();
    const PAGE: &str = "query($sort: OfferSort, $reverse: Boolean, $after: String, $search: String) {
        offers(sort: $sort, reverse: $reverse, first: 10, after: $after, search: $search) {
            totalCount pageInfo { endCursor hasNextPage hasPreviousPage } edges { cursor node { id sku } } } }";
    for sort in ["TITLE", "PRICE", "NEWEST"] {
        for reverse in [false, true] {
            let (mut seen, mut sizes, mut after) = (Vec::new(), Vec::new(), Value::Null);
            loop {
                let variables = json!({"sort": sort, "reverse": reverse, "after": after, "search": "same-"});
                let data = shop.ok(&guest, PAGE, variables).await;
                let edges = data["offers"]["edges"].as_array().expect("edges").clone();
                sizes.push(edges.len());
                seen.extend(edges.iter().map(|edge| edge["node"]["id"].as_str().expect("an id").to_owned()));
                // One that sorts before all others comes in between.
                if sizes.len() == 1 {
                    shelf.library(&format!("EARLY-{sort}-{reverse}"), "Early", &["1.00 USD"]).await;
                }
                after = data["offers"]["pageInfo"]["endCursor"].clone();
                if data["offers"]["pageInfo"]["hasNextPage"] == json!(false) {
                    break;
                }
            }
            assert_eq!(sizes, [10, 10, 5], "{sort} {reverse}");
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 25, "{sort} {reverse}");
        }
    }
    let first = shop.ok(&guest, PAGE, json!({})).await["offers"]["pageInfo"]["endCursor"].clone();
    for variables in [
        json!({"after": ""}),
        json!({"after": "made up"}),
        json!({"after": first, "sort": "PRICE"}),
        json!({"after": first, "search": "x"}),
    ] {
        assert_eq!(shop.top_level_code(&guest, PAGE, variables.clone()).await, "BAD_INPUT", "{variables}");
    }
    for first in [-1, 0, 101] {
        let query = format!("{{ offers(first: {first}) {{ nodes {{ id }} }} }}");
        assert_eq!(shop.top_level_code(&guest, &query, json!({})).await, "BAD_INPUT", "{first}");
    }
}

/// R43, R47: a library's courses in order, those of one provider found by it.
#[tokio::test]
async fn r43_offers_show_their_courses() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LIB", "Library", &["10.00 USD"]).await;
    shelf.library("OTHER", "Other", &["10.00 USD"]).await;
    let provider = shelf.provider("Bücher").await;
    let input = json!({"title": "Second", "providerId": provider});
    let second = id(&shop.act(&shop.operator(), "courseCreate", input, "course { id }").await["course"]);
    let held = shop.ok(&shop.operator(), "query($id: ID!) { library(id: $id) { courses { id } } }", json!({"id": item.library})).await;
    let courses = json!([held["library"]["courses"][0]["id"], second]);
    shop.act(&shop.operator(), "libraryCoursesSet", json!({"libraryId": item.library, "courseIds": courses}), "library { id }").await;
    let data = shop.ok(&shop.guest(), "{ offer(sku: \"LIB\") { courses { id title kind } sessions { id } } }", json!({})).await;
    let courses = data["offer"]["courses"].as_array().expect("courses").clone();
    assert_eq!(
        courses.iter().map(|course| course["title"].as_str().expect("a title")).collect::<Vec<_>>(),
        ["Library: the course", "Second"]
    );
    assert_eq!(titles(&shop, &shop.guest(), &format!("filter: {{providerId: \"{provider}\"}}")).await, ["Library"]);
    assert_eq!(titles(&shop, &shop.guest(), "search: \"library BÜCHER\"").await, ["Library"]);
}

/// R2: a course that only a group's members may see is shown to nobody else inside of a library either, with its dates, now and as of an
/// instant. Who buys the library gets all of it (R56).
#[tokio::test]
async fn r2_r56_a_hidden_course_is_hidden_inside_of_a_library_too() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let event =
        id(&shop.act(&shop.operator(), "courseCreate", json!({"title": "Secret", "kind": "EVENT"}), "course { id }").await["course"]);
    let date = json!({"courseId": event, "startsAt": "2026-03-02T09:00:00Z", "endsAt": "2026-03-02T17:00:00Z", "seats": 12});
    shop.act(&shop.operator(), "sessionCreate", date, "").await;
    let open = shop.course("Open").await;
    shelf.library_with("LIB", "Library", &["10.00 USD"], json!({"courseIds": [event, open]})).await;
    let group = shelf.group(json!({"content": [{"courseId": event, "sees": true}]})).await;
    let (member, other) = (shelf.learner("max@example.com").await, shelf.learner("ann@example.com").await);
    shelf.join(&member, &group, None).await;
    let made = shop.app.now().to_rfc3339();
    shop.pass(chrono::TimeDelta::days(1));
    let shown = async |caller: &Caller, at: Option<&str>| {
        let query = "query($at: DateTime) { offer(sku: \"LIB\", at: $at) { courses { title } sessions { seats } } }";
        let offer = shop.ok(caller, query, json!({"at": at})).await["offer"].clone();
        let titles: Vec<Value> = offer["courses"].as_array().expect("courses").iter().map(|course| course["title"].clone()).collect();
        (json!(titles), offer["sessions"].as_array().map_or(0, Vec::len))
    };
    for at in [None, Some(made.as_str())] {
        assert_eq!(shown(&member, at).await, (json!(["Secret", "Open"]), 1), "{at:?}");
        for caller in [&other, &shop.guest()] {
            assert_eq!(shown(caller, at).await, (json!(["Open"]), 0), "{at:?}");
        }
    }
    let listed = "{ offers { nodes { courses { title } } } }";
    assert_eq!(shop.ok(&other, listed, json!({})).await["offers"]["nodes"], json!([{"courses": [{"title": "Open"}]}]));
    let (cart, secret) = shop.guest_cart(&["LIB"]).await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "cartBuyerSet", json!({"cartId": cart, "email": "bo@example.test"}), "").await;
    let input = json!({"cartId": cart, "paymentMethod": {"gateway": "sandbox", "token": "approve"}, "expectedTotal": amount("10.00 USD"),
        "idempotencyKey": "k"});
    let order = shop.act(&guest, "orderPlace", input, "order { id }").await["order"]["id"].clone();
    assert_eq!(shop.open_titles(&order).await, ["Open", "Secret"]);
}

/// An event is shown with its dates and its price; a date that is over is not.
#[tokio::test]
async fn an_event_is_shown_with_its_dates() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let event = shop.act(&operator, "courseCreate", json!({"title": "Meeting", "kind": "EVENT"}), "course { id }").await;
    let course = id(&event["course"]);
    let commerce = json!({"courseId": course, "enabled": true, "sku": "MEET", "prices": [amount("50 USD")]});
    shop.act(&operator, "courseCommerceSet", commerce, "course { id }").await;
    for (starts_at, ends_at) in [("2026-03-02T09:00:00Z", "2026-03-02T17:00:00Z"), ("2026-02-02T09:00:00Z", "2026-02-02T17:00:00Z")] {
        let session = json!({"courseId": course, "startsAt": starts_at, "endsAt": ends_at, "seats": 12, "timeZone": "Europe/Prague"});
        shop.act(&operator, "sessionCreate", session, "session { id }").await;
    }
    const EVENTS: &str = "{ offers { nodes { title price { amount } unavailable sessions { startsAt seats timeZone } } }
        offer(sku: \"meet\") { courses { id kind } sessions { courseId } } }";
    let data = shop.ok(&shop.guest(), EVENTS, json!({})).await;
    let session = |starts_at: &str| json!({"startsAt": starts_at, "seats": 12, "timeZone": "Europe/Prague"});
    let (early, late) = (session("2026-02-02T09:00:00+00:00"), session("2026-03-02T09:00:00+00:00"));
    let shown = |sessions: Value| json!([{"title": "Meeting", "price": {"amount": "50.00"}, "unavailable": null, "sessions": sessions}]);
    assert_eq!(data["offers"]["nodes"], shown(json!([early, late])));
    assert_eq!(
        data["offer"],
        json!({"courses": [{"id": course, "kind": "EVENT"}], "sessions": [{"courseId": course}, {"courseId": course}]})
    );
    shop.set_time("2026-02-02T17:00:00Z");
    assert_eq!(shop.ok(&shop.guest(), EVENTS, json!({})).await["offers"]["nodes"], shown(json!([late])));
}

/// R42, R8: what was stopped, archived or taken off the shelf is no offer any more, in lists and by SKU.
#[tokio::test]
async fn r42_what_is_not_sold_is_not_offered() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let operator = shop.operator();
    let item = shelf.library("LIB", "Library", &["10.00 USD"]).await;
    let course = shop.course("Course").await;
    let commerce = |enabled: bool| match enabled {
        true => json!({"courseId": course, "enabled": true, "sku": "ALONE", "prices": [amount("5 USD")]}),
        false => json!({"courseId": course, "enabled": false}),
    };
    let guest = shop.guest();
    assert_eq!(titles(&shop, &guest, "").await, ["Library"]);
    shop.act(&operator, "courseCommerceSet", commerce(true), "course { id }").await;
    assert_eq!(titles(&shop, &guest, "").await, ["Course", "Library"]);
    shop.act(&operator, "courseCommerceSet", commerce(false), "course { id }").await;
    shop.act(&operator, "productUpdate", json!({"id": item.product, "state": "STOPPED"}), "product { id }").await;
    assert!(titles(&shop, &guest, "").await.is_empty());
    for sku in ["ALONE", "LIB"] {
        assert_eq!(offer(&shop, &guest, json!({"sku": sku})).await, Value::Null);
    }
    shop.act(&operator, "productUpdate", json!({"id": item.product, "state": "ON_SALE"}), "product { id }").await;
    assert_eq!(offer(&shop, &guest, json!({"sku": "LIB"})).await["title"], "Library");
    shop.act(&operator, "libraryArchive", json!({"id": item.library}), "library { id }").await;
    assert_eq!(offer(&shop, &guest, json!({"sku": "LIB"})).await, Value::Null);
}

/// The number of statements of a list does not grow with its rows, and one offer costs a guest two.
#[tokio::test]
async fn lists_of_offers_cost_the_same_however_long() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let tiers = json!([{"minQuantity": 1, "percentOff": "10"}]);
    let schedule = shelf.schedule("Shared", "SLAB", "ALL", &tiers).await;
    shelf.rate("USD", "EUR", "0.9", "2025-12-01T00:00:00Z").await;
    let acme = shelf.company("acme", json!({})).await;
    let ann = shelf.learner("ann@example.org").await;
    let mut counts = Vec::new();
    for round in 0..2 {
        for number in 0..25 {
            let more = json!({"discountScheduleId": schedule});
            let item = shelf.library_with(&format!("L-{round}-{number}"), "Title", &["10.00 USD"], more).await;
            shelf.own(acme, &item, json!({"prices": [amount("9 USD")]})).await;
        }
        let mut found = Vec::new();
        for (caller, arguments, fields) in [
            (shop.guest(), String::new(), "id title price { amount }"),
            (shop.guest(), "context: {currency: \"EUR\"}".to_owned(), "id title price { amount } courses { title } sessions { id }"),
            (shop.guest(), "sort: PRICE".to_owned(), "id title price { amount }"),
            (
                ann.clone(),
                format!("context: {{companyId: \"{acme}\", currency: \"EUR\"}}"),
                "id price { amount } description owned courses { title }",
            ),
        ] {
            let list = format!("first: 100 {}", arguments);
            let query = format!("{{ offers({list}) {{ totalCount nodes {{ {fields} }} }} }}");
            let (answer, statements) = shop.counted(&caller, &query, json!({})).await;
            assert_eq!(answer["data"]["offers"]["nodes"].as_array().map(Vec::len), Some(25 * (round + 1)), "{answer:#}");
            found.push(statements);
        }
        let (_, one) = shop.counted(&shop.guest(), "{ offer(sku: \"L-0-0\") { id title price { amount } } }", json!({})).await;
        found.push(one);
        counts.push(found);
    }
    // A page, its count, prices, schedules; with rates and courses; by price: candidates, prices, schedules, the page; in a company, signed in:
    // domain, groups, company besides, and what is owned. One offer: itself, its prices, its schedule.
    assert_eq!(counts[0], [4, 6, 4, 10, 3]);
    assert_eq!(counts[0], counts[1]);
    let plain = shelf.library("PLAIN", "Plain", &["1.00 USD"]).await;
    let (_, one) =
        shop.counted(&shop.guest(), "query($id: ID) { offer(id: $id) { title price { amount } } }", json!({"id": plain.product})).await;
    assert_eq!(one, 2);
}
