//! The demo catalogue: 30 courses, 12 libraries, 3 companies with overrides, groups, two currencies. Made through the same use cases that
//! operators call, so whatever the rules refuse would be refused here too.

use std::collections::HashMap;

use chrono::{TimeDelta, TimeZone, Utc};
use domain::catalog::{AppliesTo, CourseKind, GroupKind, ScheduleMode, Tier, TierPrice};
use domain::company::{CompanyType, Visibility};
use domain::entitlement::Target;
use domain::rental::DemoKind;
use domain::{CourseId, Currency, Money, Percent, ProductId, ProviderId, Rate};

use super::App;
use super::caller::Caller;
use super::catalog::{CourseCommerceSet, CourseCreate, LibraryCreate, ProviderSet, SessionCreate};
use super::company::CompanyCreate;
use super::company_offer::{CompanyOffersSet, OverrideWish};
use super::credit_pack::CreditWish;
use super::group::{Content, GroupCommerce, GroupCreate, Rule};
use super::price::{PriceWish, RateWish, ScheduleSet};
use super::product::TermsWish;
use super::resource::{ResourceWish, ResourcesSet};
use crate::error::Result;
use crate::{internal, store};

/// Key, title, description, provider, price in cents of a course that is also sold alone.
const COURSES: [(&str, &str, &str, &str, Option<i64>); 30] = [
    ("RUST-1", "Rust from the first line", "Ownership, borrowing and your first command line tool.", "Ferrous Academy", Some(4_900)),
    ("RUST-2", "Asynchronous Rust", "Futures, tasks and the services that live on them.", "Ferrous Academy", Some(6_900)),
    ("RUST-3", "Rust for embedded boards", "Blinking lights without an operating system.", "Ferrous Academy", Some(7_900)),
    ("SQL-1", "SQL by asking questions", "From a single table to joins you can explain.", "Ferrous Academy", Some(3_900)),
    ("SQL-2", "Databases that never lose money", "Transactions, locks and ledgers.", "Ferrous Academy", Some(8_900)),
    ("WEB-1", "Web pages that anybody can use", "Accessible HTML, step by step.", "Open Door Studio", Some(2_900)),
    ("WEB-2", "CSS without fear", "Layouts that hold on every screen.", "Open Door Studio", Some(2_900)),
    ("WEB-3", "GraphQL for front ends", "Ask for what you need, cache what you got.", "Open Door Studio", Some(5_900)),
    ("SEC-1", "Passwords, keys and other secrets", "How they leak, and how they stay where they are.", "Nordlys Security", Some(4_500)),
    ("SEC-2", "Threat modelling in an afternoon", "Four questions that find most trouble.", "Nordlys Security", Some(9_900)),
    ("SEC-3", "Phishing: a drill for everybody", "Recognise it, report it, go on with your day.", "Nordlys Security", Some(1_500)),
    ("SAFE-1", "First aid at work", "What to do until help arrives.", "Helping Hands", Some(3_500)),
    ("SAFE-2", "Fire safety for wardens", "Doors, drills and assembly points.", "Helping Hands", Some(2_500)),
    ("SAFE-3", "Lifting without hurting yourself", "Ten minutes that save your back.", "Helping Hands", None),
    ("LEAD-1", "Your first team", "The first ninety days of leading people.", "Kompas Leadership", Some(12_900)),
    ("LEAD-2", "Feedback that lands", "Say it so that it helps.", "Kompas Leadership", Some(5_900)),
    ("LEAD-3", "Meetings worth having", "Fewer, shorter, with an outcome.", "Kompas Leadership", Some(3_900)),
    ("FIN-1", "Reading a balance sheet", "What the numbers say, and what they hide.", "Ledger House", Some(6_500)),
    ("FIN-2", "Book-keeping in double entry", "Every amount twice, every mistake once.", "Ledger House", Some(7_500)),
    ("FIN-3", "Prices, taxes and rounding", "Where the cent goes.", "Ledger House", Some(4_500)),
    ("LANG-PL", "Polski od podstaw", "Pierwsze rozmowy, pierwsze teksty, bez strachu przed przypadkami.", "Babel Courses", Some(4_900)),
    ("LANG-AR", "العربية للمبتدئين", "الحروف والأصوات والجمل الأولى.", "Babel Courses", Some(4_900)),
    ("LANG-JA", "はじめての日本語", "ひらがなから会話まで。", "Babel Courses", Some(5_900)),
    ("LANG-TH", "ภาษาไทยเบื้องต้น", "ตัวอักษร เสียง และประโยคแรก", "Babel Courses", Some(5_900)),
    ("LANG-HU", "Őszi magyar nyelvtanfolyam", "Ragok, hangrend, és bátorság.", "Babel Courses", Some(5_500)),
    ("WELCOME", "How learning works here", "A short tour of your courses, free for everybody.", "Open Door Studio", Some(0)),
    ("MATH-1", "Statistics with your own data", "Means, spreads and honest charts.", "Ledger House", Some(5_500)),
    ("MATH-2", "Probability by playing", "Dice, cards and why casinos win.", "Ledger House", None),
    ("EXAM-RUST", "Rust practitioner exam", "Ninety minutes, forty questions, one certificate.", "Ferrous Academy", Some(14_900)),
    ("CONF", "Learning days", "Two days of talks and workshops, in the room.", "Kompas Leadership", None),
];

/// SKU, title, description, product code, price in cents, access days, whether courses open one after the other, keys of the courses.
type LibraryRow = (&'static str, &'static str, &'static str, &'static str, i64, Option<i64>, bool, &'static [&'static str]);

const LIBRARIES: [LibraryRow; 12] = [
    (
        "RUST-PATH",
        "The Rust path",
        "From the first line to services, in order.",
        "RUST",
        14_900,
        Some(365),
        true,
        &["RUST-1", "RUST-2", "RUST-3"],
    ),
    ("RUST-CERT", "Rust with certificate", "The path and the exam.", "RUST", 24_900, Some(365), true, &["RUST-1", "RUST-2", "EXAM-RUST"]),
    ("DATA-DUO", "SQL twice", "Questions first, money second.", "DATA", 9_900, Some(180), false, &["SQL-1", "SQL-2"]),
    ("WEB-TRIO", "Front end trio", "Pages, layouts and GraphQL.", "WEB", 8_900, Some(180), false, &["WEB-1", "WEB-2", "WEB-3"]),
    (
        "SEC-BASE",
        "Security for everybody",
        "Secrets and phishing for the whole company.",
        "SEC",
        4_900,
        Some(365),
        false,
        &["SEC-1", "SEC-3"],
    ),
    (
        "SEC-ALL",
        "Security, all of it",
        "With threat modelling for those who build.",
        "SEC",
        12_900,
        Some(365),
        false,
        &["SEC-1", "SEC-2", "SEC-3"],
    ),
    ("SAFE-SET", "Safe at work", "What every workplace has to teach.", "SAFE", 6_900, Some(730), true, &["SAFE-1", "SAFE-2", "SAFE-3"]),
    ("LEAD-SET", "Leading people", "Teams, feedback and meetings.", "LEAD", 17_900, Some(365), false, &["LEAD-1", "LEAD-2", "LEAD-3"]),
    (
        "FIN-SET",
        "Money, understood",
        "Balance sheets, double entry, rounding.",
        "FIN",
        14_900,
        Some(365),
        false,
        &["FIN-1", "FIN-2", "FIN-3"],
    ),
    (
        "LANG-EU",
        "Two languages of Central Europe",
        "Polish and Hungarian for beginners.",
        "LANG",
        7_900,
        None,
        false,
        &["LANG-PL", "LANG-HU"],
    ),
    (
        "LANG-ALL",
        "Five languages",
        "Every language course there is.",
        "LANG",
        19_900,
        None,
        false,
        &["LANG-PL", "LANG-AR", "LANG-JA", "LANG-TH", "LANG-HU"],
    ),
    ("STARTER", "Starter shelf", "A first look at everything.", "START", 1_900, Some(90), false, &["WELCOME", "WEB-1", "SQL-1", "MATH-2"]),
];

impl App {
    /// Makes the demo catalogue in a shop whose own was not begun; says whether it did. A first start that was cut short leaves a part of it.
    ///
    /// # Errors
    /// The database's.
    pub async fn seed_demo(&self) -> Result<bool> {
        let caller = Caller::system();
        if store::catalog::begun(self.db.read()).await? {
            return Ok(false);
        }
        // The second currency is the euro, unless that is the first.
        let (second, rate) = if self.shop.base_currency.code() == "EUR" { ("USD", "1.09") } else { ("EUR", "0.92") };
        let second = Currency::parse(second).map_err(|error| internal!("{error}"))?;
        let rate = Rate::parse(rate).map_err(|error| internal!("{error}"))?;
        let since = self.now() - TimeDelta::days(1);
        self.exchange_rates_set(
            &caller,
            vec![RateWish { base: self.shop.base_currency, quote: second, rate: Some(rate), valid_from: Some(since) }],
        )
        .await?;
        let courses = self.seed_courses(&caller).await?;
        let libraries = self.seed_libraries(&caller, &courses, second).await?;
        self.seed_groups(&caller, &courses).await?;
        self.seed_companies(&caller, &libraries, second).await?;
        Ok(true)
    }

    async fn seed_courses(&self, caller: &Caller) -> Result<HashMap<&'static str, CourseId>> {
        let mut providers: HashMap<&str, ProviderId> = HashMap::new();
        let mut courses = HashMap::new();
        for (key, title, description, provider, price) in COURSES {
            let provider = match providers.get(provider) {
                Some(id) => *id,
                None => {
                    let set = ProviderSet { id: None, name: Some(provider.to_owned()), website: None, archived: None };
                    let id = self.provider_set(caller, set).await?.id;
                    providers.insert(provider, id);
                    id
                }
            };
            let kind = match key {
                "EXAM-RUST" => CourseKind::Exam,
                "CONF" => CourseKind::Event,
                _ => CourseKind::Course,
            };
            let create = CourseCreate {
                key: Some(key.to_owned()),
                kind,
                title: title.to_owned(),
                description: description.to_owned(),
                provider: Some(provider),
            };
            let course = self.course_create(caller, create).await?.id;
            if let Some(cents) = price {
                let terms = TermsWish { days: (cents > 0).then_some(365), ..TermsWish::default() };
                let set = CourseCommerceSet {
                    credits: CreditWish::default(),
                    course,
                    enabled: true,
                    terms: Some(terms),
                    sku: None,
                    prices: Some(vec![self.list_price(cents)]),
                    state_given: false,
                };
                self.course_commerce_set(caller, set).await?;
            }
            courses.insert(key, course);
        }
        let event = courses["CONF"];
        for (month, place) in [(3, "Kraków"), (9, "Lisbon")] {
            let starts_at = Utc.with_ymd_and_hms(2027, month, 15, 8, 0, 0).single().ok_or_else(|| internal!("no such instant"))?;
            let session = SessionCreate {
                course: event,
                starts_at,
                ends_at: starts_at + TimeDelta::hours(32),
                time_zone: Some(if month == 3 { "Europe/Warsaw" } else { "Europe/Lisbon" }.to_owned()),
                location: Some(place.to_owned()),
                seats: 80,
                commerce: None,
            };
            self.session_create(caller, session).await?;
        }
        Ok(courses)
    }

    async fn seed_libraries(
        &self,
        caller: &Caller,
        courses: &HashMap<&'static str, CourseId>,
        second: Currency,
    ) -> Result<HashMap<&'static str, ProductId>> {
        let percent = |text: &str| Percent::parse(text).map(TierPrice::PercentOff).map_err(|error| internal!("{error}"));
        let schedule = ScheduleSet {
            id: None,
            name: "Teams".to_owned(),
            mode: ScheduleMode::Slab,
            applies_to: AppliesTo::All,
            tiers: vec![
                Tier { min_quantity: 1, price: percent("0")? },
                Tier { min_quantity: 5, price: percent("10")? },
                Tier { min_quantity: 25, price: percent("20")? },
            ],
        };
        let schedule = self.discount_schedule_set(caller, schedule).await?.id;
        let mut products = HashMap::new();
        for (sku, title, description, code, cents, days, ordered, keys) in LIBRARIES {
            let mut prices = vec![self.list_price(cents)];
            if sku == "RUST-PATH" {
                prices.push(list(Money::new(13_900, second)));
            }
            let create = LibraryCreate {
                credits: CreditWish::default(),
                title: title.to_owned(),
                description: description.to_owned(),
                product_code: Some(code.to_owned()),
                ordered,
                schedule: code.starts_with('S').then_some(schedule),
                royalty_plan: None,
                courses: keys.iter().map(|key| courses[key]).collect(),
                sku: sku.to_owned(),
                terms: TermsWish { days, ..TermsWish::default() },
                prices,
            };
            let library = self.library_create(caller, create).await?;
            let product = self.products_of(&[library.id.uuid()]).await?.remove(&library.id.uuid());
            products.insert(sku, product.ok_or_else(|| internal!("a library without a product"))?.id);
        }
        Ok(products)
    }

    async fn seed_groups(&self, caller: &Caller, courses: &HashMap<&'static str, CourseId>) -> Result<()> {
        let sold = GroupCreate {
            title: "Members' club".to_owned(),
            description: "A month of workshops and everything that goes with them.".to_owned(),
            kind: GroupKind::Manual,
            rule: None,
            content: vec![opens(courses["MATH-2"]), opens(courses["LEAD-3"])],
            commerce: Some(GroupCommerce {
                credits: CreditWish::default(),
                sku: Some("CLUB".to_owned()),
                prices: Some(vec![self.list_price(1_200)]),
                terms: TermsWish { months: Some(1), ..TermsWish::default() },
            }),
            ignores_credits: false,
        };
        self.group_create(caller, sold).await?;
        let automatic = GroupCreate {
            title: "People of Acme".to_owned(),
            description: "Everybody with a verified address at acme.example.".to_owned(),
            kind: GroupKind::Automatic,
            rule: Some(Rule::EmailDomain("acme.example".to_owned())),
            content: vec![opens(courses["SAFE-3"])],
            commerce: None,
            ignores_credits: false,
        };
        self.group_create(caller, automatic).await?;
        let resource = |title: &str, cost, demo: &str| ResourceWish {
            id: None,
            title: title.to_owned(),
            cost,
            days: None,
            demo: Some((DemoKind::Text, demo.to_owned())),
        };
        let resources = vec![
            resource("Worked exercises", 0, "Twelve exercises with their solutions, step by step."),
            resource("Recorded workshop", 5, "Two hours in a class: questions that people really ask."),
        ];
        self.resources_set(caller, ResourcesSet { course: courses["MATH-2"], resources }).await?;
        Ok(())
    }

    async fn seed_companies(&self, caller: &Caller, libraries: &HashMap<&'static str, ProductId>, second: Currency) -> Result<()> {
        let base = self.shop.base_currency;
        let companies = [
            ("acme", "Acme Tools", CompanyType::Retail, "Europe/Warsaw", "acme.example"),
            ("bluebird", "Bluebird Air", CompanyType::Retail, "America/New_York", "bluebird.example"),
            ("cedar", "Cedar Hospitals", CompanyType::SalesOrder, "Europe/Lisbon", "cedar.example"),
        ];
        for (key, name, company_type, zone, domain) in companies {
            let create = CompanyCreate {
                tokens_on: None,
                overage_limit: None,
                key: Some(key.to_owned()),
                name: name.to_owned(),
                company_type,
                enabled: None,
                time_zone: Some(zone.to_owned()),
                storefront: None,
                email_domains: vec![domain.to_owned()],
                reregistration_days: None,
                country: None,
                tax_exempt: false,
                originator: None,
            };
            let company = self.company_create(caller, create).await?.id;
            let rows = match key {
                "acme" => vec![
                    OverrideWish {
                        prices: vec![Money::new(3_900, base)],
                        title: Some("Security at Acme".to_owned()),
                        ..inherited(libraries["SEC-BASE"])
                    },
                    OverrideWish { prices: vec![Money::new(9_900, base), Money::new(9_200, second)], ..inherited(libraries["RUST-PATH"]) },
                ],
                "bluebird" => vec![
                    OverrideWish { prices: vec![Money::new(5_900, base)], access_days: Some(180), ..inherited(libraries["SAFE-SET"]) },
                    OverrideWish { visibility: Some(Visibility::Hidden), ..inherited(libraries["LANG-ALL"]) },
                ],
                _ => vec![OverrideWish { prices: vec![Money::new(4_900, base)], ..inherited(libraries["SAFE-SET"]) }],
            };
            let set = CompanyOffersSet { company: Some(company), rows: rows.into_iter().map(Ok).collect(), dry_run: false };
            self.company_offers_set(caller, set).await?;
        }
        Ok(())
    }

    fn list_price(&self, cents: i64) -> PriceWish {
        list(Money::new(cents, self.shop.base_currency))
    }
}

/// A list price.
fn list(amount: Money) -> PriceWish {
    PriceWish { amount, group: None, starts_at: None, ends_at: None, first_day: None, last_day: None }
}

/// Membership opens the course; everybody may see it.
const fn opens(course: CourseId) -> Content {
    Content { target: Target::Course(course), sees: false, opens: true }
}

/// An override that inherits everything.
const fn inherited(product: ProductId) -> OverrideWish {
    OverrideWish {
        credits: None,
        product,
        title: None,
        description: None,
        prices: Vec::new(),
        access_days: None,
        visibility: None,
        starts_at: None,
        ends_at: None,
        first_day: None,
        last_day: None,
    }
}
