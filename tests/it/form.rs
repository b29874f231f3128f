//! The order form and the answer pages: what they show, that looking makes nothing, and that an order goes all the way without a script.

use entity::{cart, order};
use reqwest::StatusCode;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::process::{Place, Server, bearer};
use crate::util::{TestApp, amount, id};

/// The value of a hidden field.
fn field(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let value = page.split(&start).nth(1).unwrap_or_else(|| panic!("no {name} in\n{page}")).split('"').next().expect("its end");
    value.replace("&#x2f;", "/")
}

async fn text(answer: reqwest::Response, status: StatusCode) -> String {
    assert_eq!(answer.status(), status);
    let policy = answer.headers()["content-security-policy"].to_str().expect("a text").to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    assert!(answer.headers().get("set-cookie").is_none());
    let page = answer.text().await.expect("a text");
    assert!(!page.contains("<script"), "{page}");
    page
}

async fn send(server: &Server, path: &str, fields: &[(&str, &str)], status: StatusCode) -> String {
    text(server.post(path).form(fields).send().await.expect("an answer"), status).await
}

/// The demo shop with a coupon WELCOME-10 of ten percent and an operator's key.
async fn shop() -> (Place, Server, String) {
    let here = Place::new().await;
    let server = here.serve(&["--seed", "demo"]).await;
    let key = bearer(&here.key(&[]).await);
    let create = "mutation($input: CouponCreateInput!) { couponCreate(input: $input) { coupon { id } userErrors { code field message } } }";
    let input = json!({ "kind": "DISCOUNT", "percent": "10", "scope": "ORDER", "codes": ["TEN-OFF"] });
    server.ok(&[("Authorization", &key)], create, json!({ "input": input })).await;
    (here, server, key)
}

/// R35, R35b: the form shows what is sold, the operator's text in the reader's language, and a coupon filled in with what it takes off; a code that
/// is none gives the form and a notice; looking makes no cart.
#[tokio::test]
async fn r35_the_form_has_product_and_coupon_filled_in_and_makes_no_cart() {
    let (_here, server, key) = shop().await;
    let operator = [("Authorization", key.as_str())];
    let product = server.ok(&operator, "{ product(sku: \"RUST-PATH\") { id } }", json!({})).await["product"]["id"].clone();
    let update = "mutation($input: ProductUpdateInput!) { productUpdate(input: $input) {
        product { formTexts { locale text } } userErrors { code field message } } }";
    let texts =
        json!([{ "locale": "en", "text": "Learn **Rust**.\n\n<script>x</script>" }, { "locale": "PL", "text": "Ucz się **Rusta**." }]);
    let done = server.ok(&operator, update, json!({ "input": { "id": product, "formTexts": texts } })).await;
    let kept =
        json!([{ "locale": "en", "text": "Learn **Rust**.\n\n<script>x</script>" }, { "locale": "pl", "text": "Ucz się **Rusta**." }]);
    assert_eq!(done["productUpdate"]["product"]["formTexts"], kept);
    let wrong = json!([{ "locale": "e", "text": "x" }, { "locale": "de", "text": "x" }, { "locale": "DE", "text": "y" }]);
    let refused = server.answer(&operator, update, json!({ "input": { "id": product, "formTexts": wrong } })).await;
    let fields: Vec<&Value> =
        refused["data"]["productUpdate"]["userErrors"].as_array().expect("a list").iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, [&json!(["formTexts", "0", "locale"]), &json!(["formTexts", "2", "locale"])]);

    let plain = text(server.get("/form/rust-path").await, StatusCode::OK).await;
    for part in [
        "<h1>The Rust path</h1>",
        "149.00 USD",
        "Learn <strong>Rust</strong>.",
        "&lt;script&gt;",
        "<html lang=\"en\">",
        "<label for=\"email\">",
    ] {
        assert!(plain.contains(part), "{part} in {plain}");
    }
    assert!(!plain.contains("role=\"alert\""), "{plain}");
    let filled = text(server.get("/form/RUST-PATH?coupon=ten-off&locale=pl").await, StatusCode::OK).await;
    for part in
        ["value=\"ten-off\"", "134,10\u{a0}USD", "-14,90\u{a0}USD", "Ucz się <strong>Rusta</strong>.", "<html lang=\"pl\">", "Kod rabatowy"]
    {
        assert!(filled.contains(part), "{part} in {filled}");
    }
    let unknown = text(server.get("/form/RUST-PATH?coupon=NO%22SUCH").await, StatusCode::OK).await;
    assert!(
        unknown.contains("role=\"alert\"") && unknown.contains("This coupon code is unknown.") && unknown.contains("149.00 USD"),
        "{unknown}"
    );
    assert!(unknown.contains("id=\"coupon\" name=\"coupon\" autocomplete=\"off\" maxlength=\"64\" value=\"\""), "{unknown}");
    text(server.get("/form/NOTHING").await, StatusCode::NOT_FOUND).await;
    let audit = server.ok(&operator, "{ orders(first: 1) { totalCount } }", json!({})).await;
    assert_eq!(audit["orders"]["totalCount"], 0);
    server.stop().await;
}

/// R35: the form of an event lets its date be chosen from those that have a seat, and says it again before ordering; a session's own form says its
/// date; a full event cannot be bought.
#[tokio::test]
async fn r35_the_form_of_an_event_lets_a_date_be_chosen() {
    let (_here, server, key) = shop().await;
    let operator = [("Authorization", key.as_str())];
    let act = async |name: &str, kind: &str, input: Value, fields: &str| {
        let query = format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ {fields} userErrors {{ code field message }} }} }}");
        server.ok(&operator, &query, json!({ "input": input })).await[name].clone()
    };
    let course =
        act("courseCreate", "CourseCreateInput", json!({ "title": "Workshop", "kind": "EVENT", "key": "WS" }), "course { id }").await;
    let course = id(&course["course"]);
    let set = json!({ "courseId": course, "enabled": true, "sku": "WS", "prices": [amount("20.00 USD")] });
    act("courseCommerceSet", "CourseCommerceSetInput", set, "").await;
    let mut sessions = Vec::new();
    for (month, seats, commerce) in [("05", 1, Value::Null), ("06", 5, json!({ "sku": "WS-JUNE", "prices": [amount("30.00 USD")] }))] {
        let input = json!({ "courseId": course, "startsAt": format!("2099-{month}-04T07:00:00Z"), "endsAt": format!("2099-{month}-04T15:30:00Z"),
            "timeZone": "Europe/Warsaw", "location": "Hall 1", "seats": seats, "commerce": commerce });
        sessions.push(id(&act("sessionCreate", "SessionCreateInput", input, "session { id }").await["session"]));
    }
    let own = text(server.get("/form/WS-JUNE").await, StatusCode::OK).await;
    assert!(own.contains("2099-06-04 09:00–17:30 CEST, Hall 1") && !own.contains("<select"), "{own}");
    let form = text(server.get(&format!("/form/WS?session={}", sessions[1])).await, StatusCode::OK).await;
    let option = |session: &str, chosen: &str, label: &str| format!("<option value=\"{session}\"{chosen}>{label}, Hall 1</option>");
    assert!(form.contains(&option(&sessions[0], "", "2099-05-04 09:00–17:30 CEST")), "{form}");
    assert!(form.contains(&option(&sessions[1], " selected", "2099-06-04 09:00–17:30 CEST")), "{form}");
    assert!(!form.contains("role=\"alert\""), "{form}");
    let typed = [("step", "review"), ("email", "ann@example.test")];
    let missing = send(&server, "/form/WS", &typed, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert!(missing.contains("Choose a date that has a free seat.") && missing.contains("<select"), "{missing}");
    let chosen = [typed[0], typed[1], ("session", sessions[0].as_str())];
    let review = send(&server, "/form/WS", &chosen, StatusCode::OK).await;
    assert!(review.contains("2099-05-04 09:00–17:30 CEST, Hall 1"), "{review}");
    let fields: Vec<(&str, String)> = ["step", "cart", "secret", "amount", "currency"].map(|name| (name, field(&review, name))).to_vec();
    let placed = send_all(&server, "/form/WS", &[fields, vec![("gateway", "sandbox".to_owned())]].concat()).await;
    assert!(placed.status().is_success() || placed.status().is_redirection(), "{}", placed.status());
    let left = text(server.get("/form/WS").await, StatusCode::OK).await;
    assert!(!left.contains(&sessions[0]) && left.contains(&sessions[1]), "the one seat is held: {left}");
    server.stop().await;
}

/// A guest orders by forms alone: total shown, way to pay chosen, paid on the gateway's page; sending a form again places nothing more.
#[tokio::test]
async fn r19_an_order_goes_through_forms_alone() {
    let (_here, server, key) = shop().await;
    let operator = [("Authorization", key.as_str())];
    let path = "/form/RUST-PATH?locale=en";
    let typed = |email: &'static str| [("step", "review"), ("name", "Ann <Lee>"), ("email", email), ("coupon", "TEN-OFF")];
    let wrong = send(&server, path, &typed("ann"), StatusCode::UNPROCESSABLE_ENTITY).await;
    assert!(
        wrong.contains("This is no e-mail address.") && wrong.contains("value=\"Ann &lt;Lee&gt;\"") && wrong.contains("value=\"TEN-OFF\""),
        "{wrong}"
    );
    let review = send(&server, path, &typed("ann@example.test"), StatusCode::OK).await;
    for part in ["134.10 USD", "-14.90 USD", "(TEN-OFF)", "ann@example.test", "type=\"radio\" name=\"gateway\" value=\"sandbox\""] {
        assert!(review.contains(part), "{part} in {review}");
    }
    let (cart, secret) = (field(&review, "cart"), field(&review, "secret"));
    let place = |amount: &'static str, gateway: &'static str| {
        [
            ("step", "place".to_owned()),
            ("cart", cart.clone()),
            ("secret", secret.clone()),
            ("amount", amount.to_owned()),
            ("currency", "USD".to_owned()),
            ("gateway", gateway.to_owned()),
        ]
    };
    let other = send_all(&server, path, &place("100.00", "sandbox")).await;
    assert_eq!(other.status(), StatusCode::CONFLICT, "another total than was agreed to");
    let mut stolen = place("134.10", "sandbox");
    stolen[2].1 = "made up".to_owned();
    assert_eq!(send_all(&server, path, &stolen).await.status(), StatusCode::NOT_FOUND, "without the secret there is no cart");

    for _ in 0..2 {
        let answer = send_all(&server, path, &place("134.10", "sandbox")).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let gateway = answer.headers()["location"].to_str().expect("a text").to_owned();
        assert!(gateway.starts_with(&format!("{}/sandbox/pay_", server.url)), "{gateway}");
    }
    let data = server.ok(&operator, "{ orders(first: 10) { totalCount nodes { id status payments { id } } } }", json!({})).await;
    assert_eq!((&data["orders"]["totalCount"], &data["orders"]["nodes"][0]["status"]), (&json!(1), &json!("PENDING_PAYMENT")));
    let payment = data["orders"]["nodes"][0]["payments"][0]["id"].as_str().expect("an id").to_owned();
    let decided = server.post(&format!("/sandbox/{payment}")).form(&[("action", "approve")]).send().await.expect("an answer");
    assert!(decided.status().is_redirection() || decided.status().is_success(), "{}", decided.status());
    let mut page = String::new();
    for _ in 0..100 {
        let answer = send_all(&server, path, &place("134.10", "manual")).await;
        if answer.status() == StatusCode::OK {
            page = answer.text().await.expect("a text");
            if page.contains("Thank you for order") {
                break;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(page.contains("134.10 USD") && page.contains("&#x2f;account&#x2f;link&#x2f;") && page.contains("Sign in</a>"), "{page}");

    // From another site nothing is taken, though nothing hangs on it.
    let foreign =
        server.post(path).header("origin", "https://evil.example").form(&typed("bo@example.test")).send().await.expect("an answer");
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let foreign = server.post(path).header("sec-fetch-site", "cross-site").form(&typed("bo@example.test")).send().await.expect("an answer");
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let ours =
        server.post(path).header("origin", server.url.clone()).header("sec-fetch-site", "same-origin").form(&typed("bo@example.test"));
    assert_eq!(ours.send().await.expect("an answer").status(), StatusCode::OK);
    server.stop().await;
}

async fn send_all(server: &Server, path: &str, fields: &[(&str, String)]) -> reqwest::Response {
    server.post(path).form(fields).send().await.expect("an answer")
}

/// What costs nothing needs no way to pay; bank details are shown where the buyer transfers the money.
#[tokio::test]
async fn forms_show_what_is_to_be_done_next() {
    let (_here, server, _) = shop().await;
    let typed = [("step", "review"), ("email", "ann@example.test")];
    let begun = send(&server, "/form/RUST-PATH?locale=en", &typed, StatusCode::OK).await;
    let (cart, secret) = (field(&begun, "cart"), field(&begun, "secret"));
    let fields =
        [("step", "place"), ("cart", &cart), ("secret", &secret), ("amount", "149.00"), ("currency", "USD"), ("gateway", "manual")];
    let waiting = send(&server, "/form/RUST-PATH?locale=en", &fields, StatusCode::OK).await;
    assert!(waiting.contains("Your payment is not in yet"), "{waiting}");
    let free = send(&server, "/form/C-WELCOME?locale=en", &typed, StatusCode::OK).await;
    assert!(!free.contains("type=\"radio\""), "{free}");
    let (cart, secret) = (field(&free, "cart"), field(&free, "secret"));
    let fields = [("step", "place"), ("cart", &cart), ("secret", &secret), ("amount", "0.00"), ("currency", "USD")];
    let given = send(&server, "/form/C-WELCOME?locale=en", &fields, StatusCode::OK).await;
    assert!(given.contains("Thank you for order"), "{given}");
    server.stop().await;
}

/// R18, R19: the pages after a no and after a yes are blocks from the shop's templates, with its look, in the language of the order, for a company
/// and product of their own; one that cannot be rendered any more is passed over.
#[tokio::test]
async fn r18_r19_answer_pages_are_the_shops_own() {
    let shop = TestApp::new().await;
    let product = shop.shelf("RUST", "149.00", &["Rust <1>"]).await;
    shop.act(
        &shop.operator(),
        "shopSettingsUpdate",
        json!({ "theme": { "primary": "#aa0000", "logo": "https://shop.example/l.png" } }),
        "",
    )
    .await;
    let set = async |kind: &str, locale: &str, product: Option<&str>, subject: &str, html: &str| {
        let input = json!({
            "kind": kind, "locale": locale, "productId": product,
            "template": { "subject": subject, "text": "{{ order.number }}", "html": html } });
        shop.act(&shop.operator(), "templateSet", input, "").await;
    };
    let bought = async |locale: &str, token: &str| {
        let made =
            shop.act(&shop.guest(), "cartCreate", json!({ "sku": "RUST", "context": { "locale": locale } }), "cart { id } secret").await;
        let guest = shop.guest_with(made["secret"].as_str().expect("a secret"));
        let cart = id(&made["cart"]);
        shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": format!("{cart}@example.test") }), "").await;
        let input = json!({
            "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": token }, "expectedTotal": amount("149.00 USD"), "idempotencyKey": cart });
        let look = "heading text html theme { primary logo }";
        shop.act(&guest, "orderPlace", input, &format!("order {{ number receipt {{ {look} }} declinePage {{ {look} canRetry reason }} }}"))
            .await["order"]
            .clone()
    };
    let shipped = bought("pl", "approve").await;
    let html = shipped["receipt"]["html"].as_str().expect("a block");
    assert_eq!(shipped["receipt"]["heading"], format!("Dziękujemy za zamówienie {}", shipped["number"].as_str().expect("a text")));
    for part in ["Rust &lt;1&gt;", "149,00\u{a0}USD", "background:#aa0000;color:#ffffff", "Zaloguj się</a>", "Otwórz swoje kursy."] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert_eq!(shipped["receipt"]["theme"], json!({ "primary": "#aa0000", "logo": "https://shop.example/l.png" }));
    let declined = bought("en", "decline").await["declinePage"].clone();
    assert_eq!((&declined["heading"], &declined["canRetry"]), (&json!("The payment did not go through"), &json!(true)));
    assert!(declined["html"].as_str().expect("a block").contains("Nothing was charged"), "{declined}");

    set("RECEIPT_PAGE", "en", None, "All yours", "<p>{{ receipt }}</p>").await;
    set(
        "RECEIPT_PAGE",
        "en",
        Some(&product),
        "Rust is yours",
        "<ul>{% for line in lines %}<li>{{ line.courses|join(', ') }}</li>{% endfor %}</ul>",
    )
    .await;
    set("DECLINE_PAGE", "en", None, "No luck", "<p>{{ decline.reason or 'no reason' }}</p>").await;
    let own = bought("en-GB", "approve").await["receipt"].clone();
    assert_eq!((&own["heading"], &own["html"]), (&json!("Rust is yours"), &json!("<ul><li>Rust &lt;1&gt;</li></ul>")));
    assert_eq!(bought("en", "decline").await["declinePage"]["heading"], "No luck");

    // A template that was set by hand, or by an earlier version, and fails now.
    let broken =
        entity::template::ActiveModel { html: sea_orm::ActiveValue::Set(Some("{{ nothing.at.all }}".to_owned())), ..Default::default() };
    entity::template::Entity::update_many().set(broken).exec(shop.app.db.write()).await.expect("written");
    let still = bought("en", "approve").await["receipt"].clone();
    assert!(still["heading"].as_str().expect("a text").starts_with("Thank you for order"), "{still}");

    // Any number of orders costs the same.
    let query = "{ orders(first: 50) { nodes { receipt { html } declinePage { html } } } }";
    let (_, few) = shop.counted(&shop.operator(), query, json!({})).await;
    bought("pl", "approve").await;
    bought("de", "decline").await;
    let (answer, many) = shop.counted(&shop.operator(), query, json!({})).await;
    assert_eq!((answer.get("errors"), few), (None, many));
    let carts = cart::Entity::find().count(shop.app.db.read()).await.expect("a count");
    let orders = order::Entity::find().count(shop.app.db.read()).await.expect("a count");
    assert_eq!((carts, orders), (7, 7));
}

/// R34, R35b: the form shows the credits under the title, and the public packs with price, credits and a link that fills their code in.
#[tokio::test]
async fn r34_r35b_the_form_shows_credits_and_public_packs() {
    let (_here, server, key) = shop().await;
    let operator = [("Authorization", key.as_str())];
    let create = "mutation($input: CreditPackCreateInput!) { creditPackCreate(input: $input) { creditPack { id } userErrors { code field message } } }";
    let input = json!({ "sku": "CR-100", "title": "Credits", "prices": [amount("30.00 USD")], "credits": 100 });
    let made = server.ok(&operator, create, json!({ "input": input })).await;
    let pack = id(&made["creditPackCreate"]["creditPack"]);
    let create = "mutation($input: CouponCreateInput!) { couponCreate(input: $input) { coupon { id } userErrors { code field message } } }";
    let public =
        json!({ "kind": "PACK", "productId": pack, "price": amount("80.00 USD"), "credits": 400, "codes": ["BIG+1"], "public": true });
    server.ok(&operator, create, json!({ "input": public })).await;

    let plain = text(server.get("/form/CR-100").await, StatusCode::OK).await;
    for part in ["<td>Credits<br>100 credits</td><td>30.00 USD</td>", "<h2>Packs</h2>", ">400 credits, 80.00 USD</a>"] {
        assert!(plain.contains(part), "{part} in {plain}");
    }
    let link = plain.split("<li><a href=\"").nth(1).expect("a link").split('"').next().expect("its end").replace("&#x2f;", "/");
    assert_eq!(link.replace("&amp;", "&"), "?locale=en&coupon=BIG%2B1");
    let filled = text(server.get(&format!("/form/CR-100{}", link.replace("&amp;", "&"))).await, StatusCode::OK).await;
    for part in ["<td>Credits<br>400 credits</td><td>80.00 USD</td>", "value=\"BIG+1\""] {
        assert!(filled.contains(part), "{part} in {filled}");
    }
    let polish = text(server.get("/form/CR-100?locale=pl").await, StatusCode::OK).await;
    assert!(polish.contains("Kredyty: 400, 80,00\u{a0}USD") && polish.contains("?locale=pl"), "{polish}");

    // All the way without a script: what is agreed to says the credits too.
    let review = send(
        &server,
        &format!("/form/CR-100{}", "?locale=en"),
        &[("step", "review"), ("email", "ann@example.test"), ("coupon", "BIG+1")],
        StatusCode::OK,
    )
    .await;
    assert!(review.contains("<td>Credits<br>400 credits</td><td>80.00 USD</td>"), "{review}");
    let fields: Vec<(&str, String)> = ["cart", "secret", "amount", "currency"].iter().map(|name| (*name, field(&review, name))).collect();
    let mut sent: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    sent.extend([("step", "place"), ("gateway", "manual")]);
    let placed = send(&server, "/form/CR-100?locale=en", &sent, StatusCode::OK).await;
    assert!(placed.contains("Your payment is not in yet"), "{placed}");
}
