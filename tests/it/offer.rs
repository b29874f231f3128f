//! Offers: which price a buyer is shown and why, what is shown to whom, search, order and pages, and what lists cost.

use bursar::app::caller::{Caller, Who};
use bursar::app::entropy::next_uuid;
use chrono::{DateTime, Utc};
use domain::catalog::ProductKind;
use domain::terms::Terms;
use domain::text;
use domain::{AccountId, CompanyId, CourseId, Currency, GroupId, LibraryId, Money, ProductId};
use entity::{
    account, company, company_member, company_offer, course, discount_schedule, discount_schedule_version, entitlement, exchange_rate,
    group, group_content, library, library_course, person, product, product_price, product_sku, provider,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::util::{START, TestApp, at};

fn money(text: &str) -> Money {
    let (amount, currency) = text.split_once(' ').expect("amount and currency");
    Money::parse(amount, Currency::parse(currency).expect("a currency")).expect("an amount")
}

/// Rows written by hand, where the catalogue's mutations are not what a test is about.
pub struct Shelf<'a>(pub &'a TestApp);

/// A product on the shelf.
#[derive(Clone)]
pub struct Item {
    pub product: ProductId,
    pub target: Uuid,
}

impl Shelf<'_> {
    fn db(&self) -> &sea_orm::DatabaseConnection {
        self.0.app.db.write()
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.app.now()
    }

    /// A course without a product.
    pub async fn course(&self, title: &str, provider: Option<Uuid>) -> CourseId {
        let (id, now) = (next_uuid(), self.now());
        let row = course::ActiveModel {
            id: Set(id),
            key: Set(id.to_string()),
            key_folded: Set(id.to_string()),
            kind: Set("COURSE".to_owned()),
            title: Set(title.to_owned()),
            title_sort: Set(text::sort_key(title)),
            description: Set(String::new()),
            provider_id: Set(provider),
            commerce_enabled: Set(false),
            created_at: Set(now),
            touched_at: Set(now),
            archived_at: Set(None),
        };
        course::Entity::insert(row).exec_without_returning(self.db()).await.expect("a course");
        CourseId::new(id)
    }

    pub async fn provider(&self, name: &str) -> Uuid {
        let (id, now) = (next_uuid(), self.now());
        let row = provider::ActiveModel {
            id: Set(id),
            name: Set(name.to_owned()),
            name_folded: Set(text::fold(name)),
            website: Set(None),
            created_at: Set(now),
            touched_at: Set(now),
            archived_at: Set(None),
        };
        provider::Entity::insert(row).exec_without_returning(self.db()).await.expect("a provider");
        id
    }

    /// A library of one course with list prices such as "20.00 USD".
    pub async fn library(&self, sku: &str, title: &str, prices: &[&str]) -> Item {
        self.library_with(sku, title, "", prices, |_| {}).await
    }

    pub async fn library_with(
        &self,
        sku: &str,
        title: &str,
        description: &str,
        prices: &[&str],
        change: impl FnOnce(&mut library::ActiveModel),
    ) -> Item {
        let course = self.course(&format!("{title}: the course"), None).await;
        let (id, now) = (next_uuid(), self.now());
        let mut row = library::ActiveModel {
            id: Set(id),
            title: Set(title.to_owned()),
            title_sort: Set(text::sort_key(title)),
            description: Set(description.to_owned()),
            product_code: Set(None),
            ordered: Set(false),
            discount_schedule_id: Set(None),
            created_at: Set(now),
            touched_at: Set(now),
            archived_at: Set(None),
        };
        change(&mut row);
        let code = row.product_code.clone().take().flatten();
        library::Entity::insert(row).exec_without_returning(self.db()).await.expect("a library");
        let place = library_course::ActiveModel { library_id: Set(id), course_id: Set(course.uuid()), position: Set(0) };
        library_course::Entity::insert(place).exec_without_returning(self.db()).await.expect("its course");
        let terms = Terms::of_kind(ProductKind::Library, Some(365), None).expect("terms");
        self.product(ProductKind::Library, LibraryId::new(id).uuid(), sku, title, description, code, terms, prices).await
    }

    /// Many libraries at 10.00 USD, with SKUs from SKU-0 on.
    pub async fn libraries(&self, count: usize) -> Vec<Item> {
        let (now, terms) = (self.now(), Terms::of_kind(ProductKind::Library, None, None).expect("terms"));
        let items: Vec<Item> = (0..count).map(|_| Item { product: ProductId::new(next_uuid()), target: next_uuid() }).collect();
        let course = self.course("Course", None).await;
        for (chunk, items) in items.chunks(500).enumerate() {
            let sku = |place: usize| format!("SKU-{}", chunk * 500 + place);
            let rows = items.iter().map(|item| library::ActiveModel {
                id: Set(item.target),
                title: Set("Title".to_owned()),
                title_sort: Set("title".to_owned()),
                description: Set(String::new()),
                product_code: Set(None),
                ordered: Set(false),
                discount_schedule_id: Set(None),
                created_at: Set(now),
                touched_at: Set(now),
                archived_at: Set(None),
            });
            library::Entity::insert_many(rows).exec_without_returning(self.db()).await.expect("libraries");
            let rows = items.iter().map(|item| library_course::ActiveModel {
                library_id: Set(item.target),
                course_id: Set(course.uuid()),
                position: Set(0),
            });
            library_course::Entity::insert_many(rows).exec_without_returning(self.db()).await.expect("their courses");
            let rows = items.iter().enumerate().map(|(place, item)| product::ActiveModel {
                id: Set(item.product.uuid()),
                kind: Set("LIBRARY".to_owned()),
                target_id: Set(item.target),
                sku: Set(sku(place)),
                sku_folded: Set(sku(place).to_lowercase()),
                state: Set("ON_SALE".to_owned()),
                terms: Set(serde_json::to_value(terms).expect("terms are JSON")),
                listed: Set(true),
                title: Set("Title".to_owned()),
                title_sort: Set("title".to_owned()),
                search_title: Set("title".to_owned()),
                search_description: Set(String::new()),
                search_rest: Set(sku(place).to_lowercase()),
                product_code_folded: Set(None),
                created_at: Set(now),
                touched_at: Set(now),
                archived_at: Set(None),
            });
            product::Entity::insert_many(rows).exec_without_returning(self.db()).await.expect("products");
            let rows = items.iter().enumerate().map(|(place, item)| product_sku::ActiveModel {
                sku_folded: Set(sku(place).to_lowercase()),
                sku: Set(sku(place)),
                product_id: Set(item.product.uuid()),
                created_at: Set(now),
            });
            product_sku::Entity::insert_many(rows).exec_without_returning(self.db()).await.expect("SKUs");
            let rows = items.iter().map(|item| product_price::ActiveModel {
                id: Set(next_uuid()),
                product_id: Set(item.product.uuid()),
                currency: Set("USD".to_owned()),
                amount_minor: Set(1_000),
                group_id: Set(None),
                starts_at: Set(None),
                ends_at: Set(None),
                recorded_at: Set(now),
                replaced_at: Set(None),
                actor: Set("test".to_owned()),
                replaced_by: Set(None),
            });
            product_price::Entity::insert_many(rows).exec_without_returning(self.db()).await.expect("prices");
        }
        items
    }

    #[expect(clippy::too_many_arguments, reason = "a row has that many columns")]
    async fn product(
        &self,
        kind: ProductKind,
        target: Uuid,
        sku: &str,
        title: &str,
        description: &str,
        code: Option<String>,
        terms: Terms,
        prices: &[&str],
    ) -> Item {
        let (id, now) = (next_uuid(), self.now());
        let row = product::ActiveModel {
            id: Set(id),
            kind: Set(kind.name().to_owned()),
            target_id: Set(target),
            sku: Set(sku.to_owned()),
            sku_folded: Set(sku.to_lowercase()),
            state: Set("ON_SALE".to_owned()),
            terms: Set(serde_json::to_value(terms).expect("terms are JSON")),
            listed: Set(true),
            title: Set(title.to_owned()),
            title_sort: Set(text::sort_key(title)),
            search_title: Set(text::search_text([title])),
            search_description: Set(text::search_text([description])),
            search_rest: Set(text::search_text([sku])),
            product_code_folded: Set(code.map(|code| text::fold(&code))),
            created_at: Set(now),
            touched_at: Set(now),
            archived_at: Set(None),
        };
        product::Entity::insert(row).exec_without_returning(self.db()).await.expect("a product");
        self.reserve(id, sku).await;
        let item = Item { product: ProductId::new(id), target };
        for price in prices {
            self.price(&item, price, None, (None, None)).await;
        }
        item
    }

    /// Reserves a SKU to a product.
    pub async fn reserve(&self, product: Uuid, sku: &str) {
        let row = product_sku::ActiveModel {
            sku_folded: Set(sku.to_lowercase()),
            sku: Set(sku.to_owned()),
            product_id: Set(product),
            created_at: Set(self.now()),
        };
        product_sku::Entity::insert(row).exec_without_returning(self.db()).await.expect("a SKU");
    }

    /// A price row from now on.
    pub async fn price(&self, item: &Item, price: &str, group: Option<GroupId>, (from, until): (Option<&str>, Option<&str>)) {
        let price = money(price);
        let row = product_price::ActiveModel {
            id: Set(next_uuid()),
            product_id: Set(item.product.uuid()),
            currency: Set(price.currency.code().to_owned()),
            amount_minor: Set(price.minor),
            group_id: Set(group.map(|group| group.uuid())),
            starts_at: Set(from.map(at)),
            ends_at: Set(until.map(at)),
            recorded_at: Set(self.now()),
            replaced_at: Set(None),
            actor: Set("test".to_owned()),
            replaced_by: Set(None),
        };
        product_price::Entity::insert(row).exec_without_returning(self.db()).await.expect("a price");
    }

    /// Replaces all current prices of a product.
    pub async fn reprice(&self, item: &Item, prices: &[&str]) {
        product_price::Entity::update_many()
            .set(product_price::ActiveModel {
                replaced_at: Set(Some(self.now())),
                replaced_by: Set(Some("test".to_owned())),
                ..Default::default()
            })
            .filter(product_price::Column::ProductId.eq(item.product.uuid()))
            .filter(product_price::Column::ReplacedAt.is_null())
            .exec(self.db())
            .await
            .expect("the old prices end");
        for price in prices {
            self.price(item, price, None, (None, None)).await;
        }
    }

    pub async fn rate(&self, base: &str, quote: &str, rate: &str, valid_from: &str) {
        let row = exchange_rate::ActiveModel {
            id: Set(next_uuid()),
            base: Set(base.to_owned()),
            quote: Set(quote.to_owned()),
            rate: Set(rate.to_owned()),
            valid_from: Set(at(valid_from)),
            recorded_at: Set(self.now()),
            replaced_at: Set(None),
            actor: Set("test".to_owned()),
        };
        exchange_rate::Entity::insert(row).exec_without_returning(self.db()).await.expect("a rate");
    }

    /// A schedule; tiers as the domain stores them.
    pub async fn schedule(&self, mode: &str, applies_to: &str, tiers: Value) -> Uuid {
        let id = next_uuid();
        let row = discount_schedule::ActiveModel {
            id: Set(id),
            name: Set(id.to_string()),
            name_folded: Set(id.to_string()),
            created_at: Set(self.now()),
        };
        discount_schedule::Entity::insert(row).exec_without_returning(self.db()).await.expect("a schedule");
        let row = discount_schedule_version::ActiveModel {
            id: Set(next_uuid()),
            schedule_id: Set(id),
            mode: Set(mode.to_owned()),
            applies_to: Set(applies_to.to_owned()),
            tiers: Set(tiers),
            recorded_at: Set(self.now()),
            replaced_at: Set(None),
            actor: Set("test".to_owned()),
        };
        discount_schedule_version::Entity::insert(row).exec_without_returning(self.db()).await.expect("its version");
        id
    }

    pub async fn group(&self, change: impl FnOnce(&mut group::ActiveModel)) -> GroupId {
        let (id, now) = (next_uuid(), self.now());
        let mut row = group::ActiveModel {
            id: Set(id),
            title: Set("Friends".to_owned()),
            title_sort: Set("friends".to_owned()),
            description: Set(String::new()),
            kind: Set("MANUAL".to_owned()),
            rule_company_id: Set(None),
            rule_email_domain: Set(None),
            commerce: Set(false),
            created_at: Set(now),
            touched_at: Set(now),
            archived_at: Set(None),
        };
        change(&mut row);
        group::Entity::insert(row).exec_without_returning(self.db()).await.expect("a group");
        GroupId::new(id)
    }

    /// Hides a target from everybody but the group's members.
    pub async fn only_for(&self, group: GroupId, kind: &str, target: Uuid) {
        let row = group_content::ActiveModel {
            group_id: Set(group.uuid()),
            target_kind: Set(kind.to_owned()),
            target_id: Set(target),
            sees: Set(true),
            opens: Set(false),
        };
        group_content::Entity::insert(row).exec_without_returning(self.db()).await.expect("a relation");
    }

    /// Somebody with a verified e-mail, signed in.
    pub async fn learner(&self, email: &str) -> Caller {
        let (id, person, now) = (next_uuid(), next_uuid(), self.now());
        let row = person::ActiveModel {
            id: Set(person),
            email: Set(Some(email.to_owned())),
            email_hash: Set(email.to_owned()),
            name: Set(None),
            address: Set(None),
            created_at: Set(now),
            erased_at: Set(None),
        };
        person::Entity::insert(row).exec_without_returning(self.db()).await.expect("a person");
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
        account::Entity::insert(row).exec_without_returning(self.db()).await.expect("an account");
        Caller { who: Who::Account { id: AccountId::new(id), operator: None, manages: Vec::new() }, ..Caller::guest() }
    }

    /// Unverifies the e-mail of a learner.
    pub async fn unverify(&self, learner: &Caller) {
        let id = learner.account().expect("a learner").uuid();
        let mut row = account::Entity::find_by_id(id).one(self.db()).await.expect("a query").expect("the account").into_active_model();
        row.email_verified_at = Set(None);
        row.update(self.db()).await.expect("an update");
    }

    /// Gives somebody something from now until an instant.
    pub async fn grant(&self, learner: &Caller, kind: &str, target: Uuid, until: Option<&str>) {
        let row = entitlement::ActiveModel {
            id: Set(next_uuid()),
            account_id: Set(learner.account().expect("a learner").uuid()),
            target_kind: Set(kind.to_owned()),
            target_id: Set(target),
            source_kind: Set("HAND".to_owned()),
            source_id: Set(next_uuid()),
            order_id: Set(None),
            actor: Set("test".to_owned()),
            reason: Set(None),
            terms: Set(json!({})),
            granted_at: Set(self.now()),
            seq: Set(1),
            starts_at: Set(Some(self.now())),
            ends_at: Set(until.map(at)),
            first_started_at: Set(None),
            frozen: Set(None),
            kept: Set(false),
            ended_at: Set(None),
            ended_reason: Set(None),
        };
        entitlement::Entity::insert(row).exec_without_returning(self.db()).await.expect("a grant");
    }

    pub async fn company(&self, key: &str, change: impl FnOnce(&mut company::ActiveModel)) -> CompanyId {
        let (id, now) = (next_uuid(), self.now());
        let mut row = company::ActiveModel {
            id: Set(id),
            key: Set(key.to_owned()),
            key_folded: Set(key.to_owned()),
            name: Set(key.to_owned()),
            kind: Set("RETAIL".to_owned()),
            enabled: Set(true),
            time_zone: Set(None),
            storefront: Set("PUBLIC".to_owned()),
            email_domains: Set(json!([])),
            created_at: Set(now),
            touched_at: Set(now),
            archived_at: Set(None),
        };
        change(&mut row);
        company::Entity::insert(row).exec_without_returning(self.db()).await.expect("a company");
        CompanyId::new(id)
    }

    pub async fn member(&self, company: CompanyId, learner: &Caller) {
        let row = company_member::ActiveModel {
            company_id: Set(company.uuid()),
            account_id: Set(learner.account().expect("a learner").uuid()),
            role: Set("LEARNER".to_owned()),
            via: Set("MANAGER".to_owned()),
            since: Set(self.now()),
        };
        company_member::Entity::insert(row).exec_without_returning(self.db()).await.expect("a member");
    }

    /// An override by hand.
    pub async fn own(&self, company: CompanyId, item: &Item, change: impl FnOnce(&mut company_offer::ActiveModel)) {
        let mut row = company_offer::ActiveModel {
            id: Set(next_uuid()),
            company_id: Set(company.uuid()),
            product_id: Set(item.product.uuid()),
            title: Set(None),
            title_sort: Set(None),
            search_title: Set(None),
            description: Set(None),
            search_description: Set(None),
            access_days: Set(None),
            visibility: Set(None),
            prices: Set(json!({})),
            starts_at: Set(None),
            ends_at: Set(None),
            recorded_at: Set(self.now()),
            replaced_at: Set(None),
            actor: Set("test".to_owned()),
            replaced_by: Set(None),
        };
        change(&mut row);
        company_offer::Entity::insert(row).exec_without_returning(self.db()).await.expect("an override");
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
    shelf.price(&item, "24.00 USD", None, (Some("2026-02-01T00:00:00Z"), Some("2026-03-01T00:00:00Z"))).await;
    let (silver, gold, other) = (shelf.group(|_| {}).await, shelf.group(|_| {}).await, shelf.group(|_| {}).await);
    shelf.price(&item, "30.00 USD", Some(silver), (None, None)).await;
    shelf.price(&item, "28.00 USD", Some(gold), (None, None)).await;
    shelf.price(&item, "1.00 USD", Some(other), (None, None)).await;
    let ann = shelf.learner("ann@example.org").await;
    shelf.grant(&ann, "GROUP", silver.uuid(), None).await;
    shelf.grant(&ann, "GROUP", gold.uuid(), Some("2026-04-01T00:00:00Z")).await;
    let acme = shelf.company("acme", |_| {}).await;
    shelf.own(acme, &item, |row| row.prices = Set(json!({"USD": 3500}))).await;
    let guest = shop.guest();
    let price = async |caller: &Caller, context: Value| {
        let found = offer(&shop, caller, json!({"sku": "levels", "context": context})).await;
        (found["price"]["amount"].as_str().expect("a price").to_owned(), steps(&found))
    };
    assert_eq!(price(&guest, json!({})).await, ("40.00".to_owned(), vec![pair("LIST_PRICE", "40.00")]));
    assert_eq!(price(&ann, json!({})).await, ("28.00".to_owned(), vec![pair("GROUP_PRICE", "28.00")]));
    assert_eq!(price(&ann, json!({"companyId": acme.to_string()})).await, ("35.00".to_owned(), vec![pair("COMPANY_PRICE", "35.00")]));
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
    let acme = shelf.company("acme", |_| {}).await;
    shelf.own(acme, &one, |row| row.prices = Set(json!({"GBP": 100}))).await;
    shelf.own(acme, &two, |row| row.prices = Set(json!({"USD": 1200}))).await;
    let context = json!({"companyId": acme.to_string(), "currency": "EUR"});
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
    let fixed = |minor: i64| json!({"fixed": {"minor": minor, "currency": "USD"}});
    let tiers = json!([
        {"min_quantity": 1, "price": fixed(1000)}, {"min_quantity": 11, "price": fixed(900)}, {"min_quantity": 51, "price": fixed(800)}
    ]);
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
        let schedule = shelf.schedule(mode, applies_to, tiers.clone()).await;
        shelf.library_with(sku, sku, "", &["10.00 USD"], |row| row.discount_schedule_id = Set(Some(schedule))).await;
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
    let tiers = json!([
        {"min_quantity": 1, "price": {"percent_off": 0}}, {"min_quantity": 5, "price": {"fixed": {"minor": 800, "currency": "EUR"}}}
    ]);
    let schedule = shelf.schedule("SLAB", "ALL", tiers).await;
    shelf.library_with("TIER", "Tier", "", &["10.00 USD"], |row| row.discount_schedule_id = Set(Some(schedule))).await;
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
    let item = shelf.library("Rust-101", "Rust", &["10.00 USD"]).await;
    shelf.reserve(item.product.uuid(), "OLD-RUST").await;
    let guest = shop.guest();
    for sku in ["Rust-101", "rust-101", " RUST-101 ", "old-rust"] {
        assert_eq!(offer(&shop, &guest, json!({"sku": sku})).await["sku"], "Rust-101", "{sku:?}");
    }
    assert_eq!(offer(&shop, &guest, json!({"id": item.product.to_string()})).await["id"], item.product.to_string());
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
    let acme = shelf.company("acme", |_| {}).await;
    shelf
        .own(acme, &item, |row| {
            row.title = Set(Some("Acme's own".to_owned()));
            row.title_sort = Set(Some("acme's own".to_owned()));
            row.search_title = Set(Some("acme's own".to_owned()));
            row.access_days = Set(Some(30));
            row.ends_at = Set(Some(at("2026-02-01T00:00:00Z")));
        })
        .await;
    let guest = shop.guest();
    let variables = json!({"sku": "LIB", "context": {"companyId": acme.to_string()}});
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
    let members = shelf
        .company("members", |row| {
            row.storefront = Set("MEMBERS".to_owned());
            row.email_domains = Set(json!(["other.example", "example.com"]));
        })
        .await;
    let hiding = shelf.company("hiding", |_| {}).await;
    shelf.own(hiding, &item, |row| row.visibility = Set(Some("HIDDEN".to_owned()))).await;
    let (off, gone) = (
        shelf.company("off", |row| row.enabled = Set(false)).await,
        shelf.company("gone", |row| row.archived_at = Set(Some(at(START)))).await,
    );
    let group = shelf.group(|_| {}).await;
    shelf.only_for(group, "LIBRARY", secret.target).await;
    let ann = shelf.learner("ann@example.com").await;
    let bob = shelf.learner("bob@le.com").await;
    let eve = shelf.learner("eve@example.com").await;
    shelf.unverify(&eve).await;
    let member = shelf.learner("max@else.where").await;
    shelf.member(members, &member).await;
    shelf.grant(&member, "GROUP", group.uuid(), None).await;
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
    assert_eq!(offer(&shop, &member, json!({"id": secret.product.to_string()})).await["title"], "Secret");
}

/// Automatic groups hold the members of a company and the verified addresses of a domain.
#[tokio::test]
async fn automatic_groups_give_their_prices() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let item = shelf.library("LIB", "Library", &["10.00 USD"]).await;
    let acme = shelf.company("acme", |row| row.email_domains = Set(json!(["acme.example"]))).await;
    let by_company = shelf
        .group(|row| {
            row.kind = Set("AUTOMATIC".to_owned());
            row.rule_company_id = Set(Some(acme.uuid()));
        })
        .await;
    let by_domain = shelf
        .group(|row| {
            row.kind = Set("AUTOMATIC".to_owned());
            row.rule_email_domain = Set(Some("school.example".to_owned()));
        })
        .await;
    shelf.price(&item, "7.00 USD", Some(by_company), (None, None)).await;
    shelf.price(&item, "5.00 USD", Some(by_domain), (None, None)).await;
    let unverified = shelf.learner("una@school.example").await;
    shelf.unverify(&unverified).await;
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
    shelf.grant(&ann, "LIBRARY", item.target, Some("2026-02-01T00:00:00Z")).await;
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
    shelf.reprice(&item, &["12.00 USD"]).await;
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
    shelf.library_with("DESC", "Other", "All about Fencing & more", &["1.00 USD"], |_| {}).await;
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

/// R47: filters by kind, product code, company, price and whether it is free; c45: a bad filter is bad input.
#[tokio::test]
async fn r47_filters_narrow_the_list() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let a = shelf.library_with("A", "A", "", &["5.00 USD"], |row| row.product_code = Set(Some("Säfety".to_owned()))).await;
    shelf.library("B", "B", &["10.00 USD"]).await;
    shelf.library("C", "C", &["0 USD"]).await;
    shelf.library("D", "D", &["3.00 GBP"]).await;
    let acme = shelf.company("acme", |_| {}).await;
    shelf.own(acme, &a, |row| row.prices = Set(json!({"USD": 2000}))).await;
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
    let second = shelf.course("Second", Some(provider)).await;
    let place = library_course::ActiveModel { library_id: Set(item.target), course_id: Set(second.uuid()), position: Set(1) };
    library_course::Entity::insert(place).exec_without_returning(shop.app.db.write()).await.expect("a place");
    let data = shop.ok(&shop.guest(), "{ offer(sku: \"LIB\") { courses { id title kind } sessions { id } } }", json!({})).await;
    let courses = data["offer"]["courses"].as_array().expect("courses").clone();
    assert_eq!(
        courses.iter().map(|course| course["title"].as_str().expect("a title")).collect::<Vec<_>>(),
        ["Library: the course", "Second"]
    );
    let filter = format!("filter: {{providerId: \"{}\"}}", domain::ProviderId::new(provider));
    assert_eq!(titles(&shop, &shop.guest(), &filter).await, ["Library"]);
}

/// The number of statements of a list does not grow with its rows, and one offer costs a guest two.
#[tokio::test]
async fn lists_of_offers_cost_the_same_however_long() {
    let shop = TestApp::new().await;
    let shelf = Shelf(&shop);
    let tiers = json!([{"min_quantity": 1, "price": {"percent_off": 100_000}}]);
    let schedule = shelf.schedule("SLAB", "ALL", tiers).await;
    shelf.rate("USD", "EUR", "0.9", "2025-12-01T00:00:00Z").await;
    let acme = shelf.company("acme", |_| {}).await;
    let ann = shelf.learner("ann@example.org").await;
    let mut counts = Vec::new();
    for round in 0..2 {
        for number in 0..25 {
            let item = shelf
                .library_with(&format!("L-{round}-{number}"), "Title", "", &["10.00 USD"], |row| {
                    row.discount_schedule_id = Set(Some(schedule))
                })
                .await;
            shelf.own(acme, &item, |row| row.prices = Set(json!({"USD": 900}))).await;
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
    let (_, one) = shop
        .counted(&shop.guest(), "query($id: ID) { offer(id: $id) { title price { amount } } }", json!({"id": plain.product.to_string()}))
        .await;
    assert_eq!(one, 2);
}
