//! What a file may say, and what it is told when it says something else.

use super::*;

fn mistakes(text: &str) -> Vec<(String, String)> {
    match Configuration::parse(text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.list.into_iter().map(|Mistake { key, what }| (key, what)).collect(),
    }
}

#[test]
fn without_a_file_there_is_an_embedded_shop_with_sandbox_and_manual() {
    let Configuration { settings, gateways, .. } = Configuration::parse("").expect("the defaults fit");
    assert_eq!(settings.data, Path::new("data"));
    assert_eq!(settings.server.bind.to_string(), "127.0.0.1:8080");
    assert!(settings.database.url.is_none() && settings.secret.is_none());
    assert_eq!(settings.shop.base_currency.code(), "USD");
    assert_eq!(settings.shop.idempotency_days, 30);
    assert_eq!(gateways.iter().map(|gateway| gateway.id.as_str()).collect::<Vec<_>>(), ["sandbox", "manual"]);
}

#[test]
fn a_file_sets_what_it_names_and_leaves_the_rest() {
    let text = r#"
        data = "elsewhere"
        [server]
        bind = "[::1]:0"
        cors_origins = ["https://shop.example"]
        [shop]
        time_zone = "Europe/Budapest"
        base_currency = "HUF"
        [[gateways]]
        id = "till"
        adapter = "manual"
        mode = "live"
        companies = ["acme"]
        currencies = ["HUF", "EUR"]
        unpaid_for = "14 days"
        capture_at_once = false
        settings = { instructions = "Pay at the till." }
    "#;
    let Configuration { settings, gateways, .. } = Configuration::parse(text).expect("it fits");
    assert_eq!(settings.data, Path::new("elsewhere"));
    assert_eq!(settings.server.bind.to_string(), "[::1]:0");
    assert_eq!(settings.shop.time_zone, Tz::Europe__Budapest);
    assert_eq!(settings.shop.base_currency.code(), "HUF");
    assert_eq!(settings.shop.locale, "en");
    let [till] = &gateways[..] else { panic!("one gateway: {gateways:?}") };
    assert_eq!((till.mode, till.unpaid_for, till.capture_at_once), (port::Mode::Live, chrono::TimeDelta::try_days(14), false));
    assert_eq!(till.currencies.iter().map(|currency| currency.code()).collect::<Vec<_>>(), ["HUF", "EUR"]);
    assert_eq!(till.settings["instructions"], "Pay at the till.");
}

#[test]
fn each_mistake_is_named_with_its_key_and_what_to_write() {
    // Text, key, part of what is said.
    let cases = [
        ("shpo = 1", "shpo", "none of data, secret, server, database, shop, mail, events, limits, log, gateways"),
        ("[shop]\nnmae = 'x'", "shop.nmae", "none of name, public_url"),
        ("shop = 1", "shop", "write [shop]"),
        ("secret = 'x'", "secret", "BURSAR_SECRET"),
        ("data = 7", "data", "expected"),
        ("[server]\nbind = 'localhost'", "server.bind", "127.0.0.1:8080"),
        ("[server]\nbind = 80", "server.bind", "expected a string"),
        ("[database]\nurl = 'mysql://x'", "database.url", "postgres://"),
        ("[database]\npool = 0", "database.pool", "from 1 to"),
        ("[database]\npool = -1", "database.pool", "u32"),
        ("[shop]\nname = ' '", "shop.name", "is empty"),
        ("[shop]\ncountry = 'Austria'", "shop.country", "such as \"DE\""),
        ("[shop]\ntime_zone = 'Mars/Base'", "shop.time_zone", "Europe/Budapest"),
        ("[shop]\nbase_currency = 'XXQ'", "shop.base_currency", "ISO 4217"),
        ("[shop]\nlocale = '??'", "shop.locale", "language tag"),
        ("[shop]\npublic_url = 'https://shop.example/'", "shop.public_url", "without a slash"),
        ("[shop]\npublic_url = 'shop.example'", "shop.public_url", "scheme and host"),
        ("[shop]\npublic_url = 'ftp://shop.example'", "shop.public_url", "scheme and host"),
        ("[shop]\nlink_hours = 0", "shop.link_hours", "from 1 to"),
        ("[shop]\nprices_include_tax = 'yes'", "shop.prices_include_tax", "a boolean"),
        ("[limits]\ndepth = 33", "limits.depth", "from 1 to 32"),
        ("[log]\nformat = 'xml'", "log.format", "neither json nor text"),
        ("[log]\nfilter = 'info=info=info'", "log.filter", "a level such as info"),
        ("a = 1\nb = = 2", "line 2", "is not TOML"),
        ("gateways = 1", "gateways", "[[gateways]]"),
        ("[[gateways]]\nadapter = 'manual'", "gateways[0].id", "is missing"),
        ("[[gateways]]\nid = 'a'", "gateways.a.adapter", "is missing"),
        ("[[gateways]]\nid = 'A B'\nadapter = 'manual'", "gateways.A B.id", "small letters"),
        ("[[gateways]]\nid = 'a'\nadapter = 'x'\n[[gateways]]\nid = 'a'\nadapter = 'x'", "gateways.a.id", "another gateway"),
        ("[[gateways]]\nid = 'a'\nadapter = 'x'\nmode = 'real'", "gateways.a.mode", "neither test nor live"),
        ("[[gateways]]\nid = 'a'\nadapter = 'x'\ncurrencies = ['usd', 'QQQ']", "gateways.a.currencies", "QQQ"),
        ("[[gateways]]\nid = 'a'\nadapter = 'x'\nunpaid_for = '0 days'", "gateways.a.unpaid_for", "14 days"),
        ("[[gateways]]\nid = 'a'\nadapter = 'x'\nunpaid_for = 30", "gateways.a.unpaid_for", "expected a string"),
        ("[[gateways]]\nid = 'a'\nadapter = 'x'\nkey = 1", "gateways.a.key", "none of id, adapter"),
        ("[[gateways]]\nid = 'a'\nadapter = 'x'\nsecrets = { key = 'hunter2' }", "gateways.a.secrets.key", "not the secret itself"),
        (
            "[[gateways]]\nid = 'a'\nadapter = 'x'\nsecrets = { key = { env = 'NOBODY_SETS_THIS' } }",
            "gateways.a.secrets.key",
            "NOBODY_SETS_THIS is not set",
        ),
        (
            "[[gateways]]\nid = 'a'\nadapter = 'x'\nsecrets = { key = { file = 'no/such/file' } }",
            "gateways.a.secrets.key",
            "no/such/file cannot be read",
        ),
    ];
    for (text, key, what) in cases {
        let found = mistakes(text);
        assert!(found.iter().any(|(at, said)| at == key && said.contains(what)), "{text}\nshould say {key}: …{what}…\nbut says {found:#?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_none_shows_a_secret() {
    let text = "
        [database]
        url = 'mysql://root:hunter2@db'
        pool = 'hunter2'
        [shop]
        time_zone = 'Mars/Base'
        surprise = true
        [[gateways]]
        id = 'a'
        adapter = 'x'
        secrets = { key = 'hunter2' }
    ";
    let Err(mistakes) = Configuration::parse(text) else { panic!("it is wrong") };
    let keys: Vec<&str> = mistakes.list.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["database.pool", "shop.surprise", "shop.time_zone", "gateways.a.secrets.key", "database.url"], "{mistakes}");
    assert!(!format!("{:?}", Configuration::parse("[database]\nurl = 'postgres://u:hunter2@db/x'")).contains("hunter2"));
}

#[test]
fn a_secret_of_a_gateway_is_read_from_its_file_without_the_line_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("key");
    let gateway = |text: &str| {
        std::fs::write(&path, text).expect("the file is written");
        let path = path.display();
        Configuration::parse(&format!("[[gateways]]\nid = 'a'\nadapter = 'x'\nsecrets = {{ key = {{ file = '{path}' }} }}"))
    };
    let read = gateway("hunter2\r\n").expect("it fits");
    assert_eq!(read.gateways[0].secrets["key"].expose_secret(), "hunter2");
    assert!(!format!("{read:?}").contains("hunter2"));
    assert!(gateway("\n").expect_err("it is empty").to_string().contains("is empty"));
}
