//! Accounts: signing up and in, links, keys, operators, erasure; what a credential is worth today, and that no secret is found anywhere.

use std::sync::Arc;

use bursar::app::account::SignUp;
use bursar::app::caller::{Caller, Who};
use bursar::app::sign_in::Presented;
use bursar::error::{Code, Error};
use chrono::TimeDelta;
use domain::account::Road;
use domain::text::Email;
use domain::{AccountId, CompanyId};
use entity::{account, company, company_member, one_time_link, person, service_key, signing_key};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::offer::Shelf;
use crate::util::{PASSWORD, TestApp};

const SIGN_UP: &str = "mutation($input: AccountSignUpInput!) {
    accountSignUp(input: $input) { account { id email name emailVerified } token expiresAt userErrors { code field message } } }";
const SIGN_IN: &str = "mutation($input: AccountSignInInput!) {
    accountSignIn(input: $input) { account { id } token userErrors { code field message } } }";
const REDEEM: &str = "mutation($input: AccountLinkRedeemInput!) {
    accountLinkRedeem(input: $input) { account { id emailVerified hasPassword } token userErrors { code field message } } }";
const PASSWORD_CHANGE: &str = "mutation($input: AccountPasswordChangeInput!) {
    accountPasswordChange(input: $input) { token userErrors { code field message } } }";
const EMAIL_CHANGE: &str = "mutation($input: AccountEmailChangeInput!) {
    accountEmailChange(input: $input) { account { email emailVerified } userErrors { code field message } } }";
const LINK_SEND: &str =
    "mutation($input: AccountLinkSendInput!) { accountLinkSend(input: $input) { sent userErrors { code field message } } }";
const OPERATOR_SET: &str = "mutation($input: OperatorSetInput!) {
    operatorSet(input: $input) { account { id operatorScopes } userErrors { code field message } } }";
const KEY_CREATE: &str = "mutation($input: ServiceKeyCreateInput!) {
    serviceKeyCreate(input: $input) { serviceKey { id name role companyId scopes revokedAt } secret userErrors { code field message } } }";
const KEY_REVOKE: &str = "mutation($input: ServiceKeyRevokeInput!) {
    serviceKeyRevoke(input: $input) { serviceKey { revokedAt } userErrors { code field message } } }";
const ERASE: &str = "mutation($input: PersonEraseInput!) {
    personErase(input: $input) { erased { versions accountId } userErrors { code field message } } }";

fn input(value: Value) -> Value {
    json!({ "input": value })
}

fn refusal(code: &str, field: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), field.to_owned())]
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

fn account_id(text: &str) -> AccountId {
    AccountId::parse(text).expect("an account's id")
}

impl TestApp {
    async fn resolve(&self, bearer: &str) -> Result<Caller, Error> {
        let presented = Presented { bearer: Some(SecretString::from(bearer)), ..Presented::default() };
        self.app.caller(&presented).await
    }

    async fn assert_dead(&self, bearer: &str) {
        let answer = self.resolve(bearer).await;
        assert!(matches!(answer, Err(Error::Unauthenticated(_))), "{answer:?}");
    }

    async fn sign_in(&self, email: &str, password: &str) -> Value {
        self.run(&self.guest(), SIGN_IN, input(json!({ "email": email, "password": password }))).await["data"]["accountSignIn"].clone()
    }

    async fn redeem(&self, token: &str) -> Value {
        self.run(&self.guest(), REDEEM, input(json!({ "token": token }))).await["data"]["accountLinkRedeem"].clone()
    }

    async fn link(&self, account: &str, road: Road) -> String {
        let txn = self.app.db.begin().await.expect("a transaction");
        let (_, link) = self.app.link_create(&txn, account_id(account), road).await.expect("a link");
        txn.commit().await.expect("committed");
        link.expose_secret().to_owned()
    }

    async fn key_of(&self, fields: Value) -> (String, String) {
        let data = self.ok(&self.operator(), KEY_CREATE, input(fields)).await;
        (text(&data["serviceKeyCreate"]["serviceKey"]["id"]), text(&data["serviceKeyCreate"]["secret"]))
    }

    async fn manager_of(&self, company: CompanyId, account: &str) {
        let row = company_member::ActiveModel {
            company_id: Set(company.uuid()),
            account_id: Set(account_id(account).uuid()),
            role: Set("MANAGER".to_owned()),
            via: Set("MANAGER".to_owned()),
            since: Set(self.app.now()),
        };
        company_member::Entity::insert(row).exec_without_returning(self.app.db.write()).await.expect("a member");
    }

    async fn disable(&self, company: CompanyId) {
        let update = company::Entity::update_many()
            .col_expr(company::Column::Enabled, Expr::value(false))
            .filter(company::Column::Id.eq(company.uuid()));
        update.exec(self.app.db.write()).await.expect("an update");
    }
}

// ---- signing up ---------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn who_signs_up_is_signed_in_and_me_says_who() {
    let shop = TestApp::new().await;
    let fields = json!({ "email": "  Ada@Example.ORG ", "password": PASSWORD, "name": " Ada Lovelace " });
    let data = shop.ok(&shop.guest(), SIGN_UP, input(fields)).await;
    let made = &data["accountSignUp"];
    assert_eq!(made["account"]["email"], "Ada@example.org");
    assert_eq!(made["account"]["name"], "Ada Lovelace");
    assert_eq!(made["account"]["emailVerified"], false);
    assert_eq!(made["expiresAt"], "2026-01-02T00:00:00+00:00");

    let me = "{ me { account { id } roles } }";
    let caller = shop.bearer(&text(&made["token"])).await;
    let data = shop.ok(&caller, me, json!({})).await;
    assert_eq!(data["me"], json!({ "account": { "id": made["account"]["id"] }, "roles": ["CUSTOMER"] }));
    for nobody in [shop.guest(), shop.operator()] {
        assert_eq!(shop.ok(&nobody, me, json!({})).await["me"], Value::Null);
    }
}

/// One account per normalised e-mail: of two sign-ups at once in different case, one wins.
#[tokio::test]
async fn two_sign_ups_of_one_address_make_one_account() {
    let shop = TestApp::new().await;
    let up = |email: &str| SignUp { email: email.to_owned(), password: PASSWORD.into(), name: None };
    let guest = shop.guest();
    let (one, two) =
        tokio::join!(shop.app.account_sign_up(&guest, up("ada@example.org")), shop.app.account_sign_up(&guest, up("ADA@Example.org")));
    let refused: Vec<_> = [&one, &two].into_iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(refused.len(), 1, "{one:?} {two:?}");
    assert!(refused[0].is(Code::EmailTaken), "{refused:?}");
    assert_eq!(account::Entity::find().count(shop.app.db.read()).await.expect("a count"), 1);
    assert_eq!(person::Entity::find().count(shop.app.db.read()).await.expect("a count"), 1, "the loser's person was rolled back");
    let third = json!({ "email": " adA@example.ORG", "password": PASSWORD });
    assert_eq!(shop.refused(&shop.guest(), SIGN_UP, input(third)).await, refusal("EMAIL_TAKEN", "email"));
}

#[tokio::test]
async fn a_sign_up_is_told_everything_that_is_wrong_with_it() {
    let shop = TestApp::new().await;
    let fields = json!({ "email": "ada@localhost", "password": PASSWORD, "name": "A\u{7}da" });
    let wrong = shop.refused(&shop.guest(), SIGN_UP, input(fields)).await;
    assert_eq!(wrong, [refusal("INVALID", "email"), refusal("INVALID", "name")].concat());
    for (password, code) in [
        ("", "PASSWORD_TOO_WEAK"),
        ("1234567890", "PASSWORD_TOO_WEAK"),
        ("ADA@example.org", "PASSWORD_TOO_WEAK"),
        (&"x y".repeat(99), "TOO_LONG"),
    ] {
        let fields = json!({ "email": "ada@example.org", "password": password });
        assert_eq!(shop.refused(&shop.guest(), SIGN_UP, input(fields)).await, refusal(code, "password"), "{password}");
    }
    assert_eq!(account::Entity::find().count(shop.app.db.read()).await.expect("a count"), 0);
}

// ---- passwords ----------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let shop = TestApp::new().await;
    let (id, _) = shop.sign_up("ada@example.org").await;
    let right = shop.sign_in(" ADA@example.org", PASSWORD).await;
    assert_eq!(right["account"]["id"], id);
    let wrong = shop.sign_in("ada@example.org", "three plain wordS").await;
    let unknown = shop.sign_in("bob@example.org", PASSWORD).await;
    assert_eq!(wrong["userErrors"][0]["code"], "BAD_CREDENTIALS");
    assert_eq!(wrong, unknown);
    assert_eq!(wrong["token"], Value::Null);
    // Nothing of a password is cut off in silence.
    let long = "word ".repeat(40);
    shop.ok(&shop.guest(), SIGN_UP, input(json!({ "email": "cyd@example.org", "password": long }))).await;
    assert_eq!(shop.sign_in("cyd@example.org", &long).await["userErrors"], json!([]));
    assert_eq!(shop.sign_in("cyd@example.org", &format!("{long}x")).await["userErrors"][0]["code"], "BAD_CREDENTIALS");
}

/// Ten failures for an address, then one each six seconds; whoever knows the password never waits on their own account of it.
#[tokio::test]
async fn guesses_at_a_password_are_throttled() {
    let shop = TestApp::new().await;
    shop.sign_up("ada@example.org").await;
    shop.sign_up("bob@example.org").await;
    for _ in 0..12 {
        assert_eq!(shop.sign_in("ada@example.org", PASSWORD).await["userErrors"], json!([]));
    }
    for _ in 0..10 {
        assert_eq!(shop.sign_in("Ada@example.org", "something else").await["userErrors"][0]["code"], "BAD_CREDENTIALS");
    }
    let query = input(json!({ "email": "ada@example.org", "password": PASSWORD }));
    let answer = shop.run(&shop.guest(), SIGN_IN, query.clone()).await;
    assert_eq!(answer["errors"][0]["extensions"], json!({ "code": "RATE_LIMITED", "retryAfterSeconds": 6 }), "also the right one waits");
    assert_eq!(shop.sign_in("bob@example.org", PASSWORD).await["userErrors"], json!([]), "others do not wait");
    shop.pass(TimeDelta::seconds(6));
    assert_eq!(shop.sign_in("ada@example.org", PASSWORD).await["userErrors"], json!([]));
    assert_eq!(shop.sign_in("ada@example.org", "something else").await["userErrors"][0]["code"], "BAD_CREDENTIALS");
    assert_eq!(shop.top_level_code(&shop.guest(), SIGN_IN, query).await, "RATE_LIMITED");
}

/// A list of addresses with one usual password each is stopped by where it comes from.
#[tokio::test]
async fn guesses_from_one_address_are_throttled() {
    let shop = TestApp::new().await;
    let from = |address: &str| Caller { address: Some(address.parse().expect("an address")), ..Caller::guest() };
    for index in 0..60 {
        let fields = json!({ "token": format!("made-up-{index}") });
        assert_eq!(shop.refused(&from("192.0.2.7"), REDEEM, input(fields)).await, refusal("LINK_INVALID", "token"));
    }
    let fields = input(json!({ "email": "ada@example.org", "password": PASSWORD }));
    assert_eq!(shop.top_level_code(&from("192.0.2.7"), SIGN_IN, fields.clone()).await, "RATE_LIMITED");
    assert_eq!(shop.top_level_code(&from("192.0.2.7"), SIGN_UP, fields.clone()).await, "RATE_LIMITED");
    assert_eq!(shop.refused(&from("192.0.2.8"), SIGN_IN, fields).await, refusal("BAD_CREDENTIALS", "password"));
}

#[tokio::test]
async fn another_password_ends_all_earlier_sign_ins() {
    let shop = TestApp::new().await;
    let (_, first) = shop.sign_up("ada@example.org").await;
    let second = text(&shop.sign_in("ada@example.org", PASSWORD).await["token"]);
    let mailed = shop.mailed_link("ada@example.org").await;
    let caller = shop.bearer(&first).await;
    let wrong = json!({ "currentPassword": "not this one", "newPassword": "four words are better" });
    assert_eq!(shop.refused(&caller, PASSWORD_CHANGE, input(wrong)).await, refusal("BAD_CREDENTIALS", "currentPassword"));
    let weak = json!({ "currentPassword": PASSWORD, "newPassword": "short" });
    assert_eq!(shop.refused(&caller, PASSWORD_CHANGE, input(weak)).await, refusal("PASSWORD_TOO_WEAK", "newPassword"));
    shop.bearer(&second).await;

    // At the same instant of the clock: the stamp decides, not the time.
    let good = json!({ "currentPassword": PASSWORD, "newPassword": "four words are better" });
    let fresh = text(&shop.ok(&caller, PASSWORD_CHANGE, input(good)).await["accountPasswordChange"]["token"]);
    shop.bearer(&fresh).await;
    shop.assert_dead(&first).await;
    shop.assert_dead(&second).await;
    assert_eq!(shop.redeem(&mailed).await["userErrors"][0]["code"], "LINK_INVALID");
    assert_eq!(shop.sign_in("ada@example.org", PASSWORD).await["userErrors"][0]["code"], "BAD_CREDENTIALS");
    assert_eq!(shop.sign_in("ada@example.org", "four words are better").await["userErrors"], json!([]));
    assert_eq!(
        shop.top_level_code(&shop.guest(), PASSWORD_CHANGE, input(json!({ "currentPassword": "", "newPassword": "" }))).await,
        "UNAUTHENTICATED"
    );
    assert_eq!(
        shop.top_level_code(&shop.operator(), PASSWORD_CHANGE, input(json!({ "currentPassword": "", "newPassword": "" }))).await,
        "FORBIDDEN"
    );
}

// ---- sign-ins -----------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_sign_in_dies_at_its_end() {
    let shop = TestApp::new().await;
    let (_, token) = shop.sign_up("ada@example.org").await;
    shop.set_time("2026-01-01T23:59:59.999999Z");
    shop.bearer(&token).await;
    shop.set_time("2026-01-02T00:00:00Z");
    shop.assert_dead(&token).await;
}

/// Signing keys rotate by time; what a retired one signed is good to its own end, on every server that shares the table.
#[tokio::test]
async fn signing_keys_rotate_and_servers_share_them() {
    let shop = TestApp::with(|settings| settings.sign_in_hours = 24 * 40).await;
    let (id, old) = shop.sign_up("ada@example.org").await;
    let other = shop.beside(|_| {});
    let presented = |token: &str| Presented { bearer: Some(SecretString::from(token)), ..Presented::default() };
    assert_eq!(other.caller(&presented(&old)).await.expect("verified by another server").account(), Some(account_id(&id)));
    let there = other.account_sign_in(&shop.guest(), "ada@example.org", &PASSWORD.into()).await.expect("signed in there");
    shop.bearer(there.token.expose_secret()).await;
    let kept = async || signing_key::Entity::find().count(shop.app.db.read()).await.expect("a count");
    assert_eq!(kept().await, 1, "both sign with one key");

    shop.pass(TimeDelta::days(30));
    let new = text(&shop.sign_in("ada@example.org", PASSWORD).await["token"]);
    assert_eq!(kept().await, 2);
    assert_ne!(old.split('.').next(), new.split('.').next(), "another key id");
    shop.bearer(&old).await;
    shop.bearer(&new).await;
    assert!(other.caller(&presented(&new)).await.is_ok(), "an unknown key id is looked up");

    // Once nothing can be alive that it signed, the key is forgotten.
    shop.pass(TimeDelta::days(42));
    shop.sign_in("ada@example.org", PASSWORD).await;
    assert_eq!(kept().await, 2);
}

#[tokio::test]
async fn made_up_credentials_are_dead() {
    let shop = TestApp::new().await;
    let (_, token) = shop.sign_up("ada@example.org").await;
    let (head, rest) = token.split_once('.').expect("a token");
    let (body, signature) = rest.split_once('.').expect("a token");
    let stranger = TestApp::new().await.sign_up("ada@example.org").await.1;
    for bearer in [
        "",
        "x",
        "bsk_",
        "bsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &format!("{head}.{body}."),
        &format!("{head}.{body}.{}", signature.chars().rev().collect::<String>()),
        &format!("eyJhbGciOiJub25lIn0.{body}."),
        &stranger,
    ] {
        shop.assert_dead(bearer).await;
    }
}

/// A sign-in to an account that is gone from the table, or whose signing key is.
#[tokio::test]
async fn a_sign_in_without_its_account_or_key_is_dead() {
    let shop = TestApp::new().await;
    let (_, token) = shop.sign_up("ada@example.org").await;
    signing_key::Entity::delete_many().exec(shop.app.db.write()).await.expect("deleted");
    shop.bearer(&token).await;
    let presented = Presented { bearer: Some(SecretString::from(token.as_str())), ..Presented::default() };
    assert!(matches!(shop.beside(|_| {}).caller(&presented).await, Err(Error::Unauthenticated(_))));
    one_time_link::Entity::delete_many().exec(shop.app.db.write()).await.expect("deleted");
    account::Entity::delete_many().exec(shop.app.db.write()).await.expect("deleted");
    shop.assert_dead(&token).await;
}

/// Resolving a request takes one statement, once the signing key is known; guests take none.
#[tokio::test]
async fn resolving_a_caller_takes_one_statement() {
    let shop = TestApp::new().await;
    let (id, token) = shop.sign_up("ada@example.org").await;
    let (_, key) = shop.key_of(json!({ "name": "till", "role": "SERVICE", "scopes": ["orders:read"] })).await;
    for company in ["a", "b", "c"] {
        shop.manager_of(Shelf(&shop).company(company, json!({})).await, &id).await;
    }
    for (bearer, statements) in [(None, 0), (Some(&token), 1), (Some(&key), 1)] {
        let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let presented = Presented { bearer: bearer.map(|text| text.as_str().into()), ..Presented::default() };
        let caller = bursar::store::STATEMENTS.scope(count.clone(), shop.app.caller(&presented)).await.expect("a caller");
        assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), statements, "{:?}", caller.who);
    }
    assert!(matches!(shop.bearer(&token).await.who, Who::Account { manages, .. } if manages.len() == 3));
}

// ---- links --------------------------------------------------------------------------------------------------------------------

/// The first mailed link proves the address; whatever somebody else may have set up before ends: sign-ins, links, the password.
#[tokio::test]
async fn a_mailed_link_proves_the_address_and_ends_what_was_before() {
    let shop = TestApp::new().await;
    let (id, squatter) = shop.sign_up("ada@example.org").await;
    let receipt = shop.link(&id, Road::Receipt).await;
    let owner = shop.redeem(&shop.mailed_link("ada@example.org").await).await;
    assert_eq!(owner["account"], json!({ "id": id, "emailVerified": true, "hasPassword": false }));
    shop.bearer(&text(&owner["token"])).await;
    shop.assert_dead(&squatter).await;
    assert_eq!(shop.redeem(&receipt).await["userErrors"][0]["code"], "LINK_INVALID");
    assert_eq!(shop.sign_in("ada@example.org", PASSWORD).await["userErrors"][0]["code"], "BAD_CREDENTIALS");
    // Later mailed links only sign in.
    let later = shop.redeem(&shop.link(&id, Road::Mail).await).await;
    shop.bearer(&text(&later["token"])).await;
    shop.bearer(&text(&owner["token"])).await;
    // And an order's receipt opens no account whose address is proven.
    assert_eq!(shop.redeem(&shop.link(&id, Road::Receipt).await).await["userErrors"][0]["code"], "LINK_INVALID");
}

#[tokio::test]
async fn who_follows_the_mailed_link_while_signed_in_keeps_the_password() {
    let shop = TestApp::new().await;
    let (_, first) = shop.sign_up("ada@example.org").await;
    let link = json!({ "token": shop.mailed_link("ada@example.org").await });
    let data = shop.ok(&shop.bearer(&first).await, REDEEM, input(link)).await;
    assert_eq!(data["accountLinkRedeem"]["account"]["hasPassword"], true);
    shop.assert_dead(&first).await;
    assert_eq!(shop.sign_in("ada@example.org", PASSWORD).await["userErrors"], json!([]));
}

#[tokio::test]
async fn a_receipts_link_signs_in_and_proves_nothing() {
    let shop = TestApp::new().await;
    let (id, token) = shop.sign_up("ada@example.org").await;
    for road in [Road::Receipt, Road::Operator] {
        let signed_in = shop.redeem(&shop.link(&id, road).await).await;
        assert_eq!(signed_in["account"], json!({ "id": id, "emailVerified": false, "hasPassword": true }));
        shop.bearer(&text(&signed_in["token"])).await;
        shop.bearer(&token).await;
    }
    let mut waiting = shop.ok(&shop.operator(), "{ outbox { nodes { to } } }", json!({})).await;
    assert_eq!(waiting["outbox"]["nodes"].take(), json!([{ "to": "ada@example.org" }]), "only mailed links wait");
}

#[tokio::test]
async fn a_link_works_once_and_not_for_ever() {
    let shop = TestApp::new().await;
    let (id, _) = shop.sign_up("ada@example.org").await;
    let link = shop.link(&id, Road::Receipt).await;
    let (one, two) = tokio::join!(shop.redeem(&link), shop.redeem(&link));
    let codes: Vec<&Value> =
        [&one, &two].into_iter().filter(|answer| answer["token"].is_null()).map(|answer| &answer["userErrors"][0]["code"]).collect();
    assert_eq!(codes, [&json!("LINK_INVALID")], "{one} {two}");

    let link = shop.link(&id, Road::Receipt).await;
    // A bad password leaves the link alone.
    let weak = json!({ "token": link, "newPassword": "short" });
    assert_eq!(shop.refused(&shop.guest(), REDEEM, input(weak)).await, refusal("PASSWORD_TOO_WEAK", "newPassword"));
    let good = json!({ "token": link, "newPassword": "four words are better" });
    shop.ok(&shop.guest(), REDEEM, input(good)).await;
    assert_eq!(shop.sign_in("ada@example.org", "four words are better").await["userErrors"], json!([]));
    assert_eq!(shop.sign_in("ada@example.org", PASSWORD).await["userErrors"][0]["code"], "BAD_CREDENTIALS");

    let link = shop.link(&id, Road::Receipt).await;
    shop.pass(TimeDelta::hours(72) - TimeDelta::microseconds(1));
    let early = shop.link(&id, Road::Mail).await;
    shop.pass(TimeDelta::microseconds(1));
    assert_eq!(shop.redeem(&link).await["userErrors"][0]["code"], "LINK_INVALID", "its end is the first instant too late");
    assert_eq!(shop.redeem(&early).await["userErrors"], json!([]));
    for made_up in ["", "x", &"A".repeat(43)] {
        assert_eq!(shop.redeem(made_up).await["userErrors"][0]["code"], "LINK_INVALID");
    }
}

/// An account that a guest's order made has no password; typing its address into a sign-up does not take it over, and asking for a link tells
/// nobody whether there is an account.
#[tokio::test]
async fn a_guests_account_is_entered_by_mail_only() {
    let shop = TestApp::new().await;
    let email = Email::parse("ada@example.org").expect("an address");
    let made = async || {
        let person = shop.app.person_version(&email, Some("Ada".to_owned()), None);
        let txn = shop.app.db.begin().await.expect("a transaction");
        shop.app.person_write(&txn, std::slice::from_ref(&person)).await.expect("written");
        let made = shop.app.account_for(&txn, person.id, &email).await.expect("an account");
        txn.commit().await.expect("committed");
        made
    };
    let (id, new) = made().await;
    assert!(new);
    assert_eq!(made().await, (id, false));
    let fields = json!({ "email": "ADA@example.org", "password": PASSWORD });
    assert_eq!(shop.refused(&shop.guest(), SIGN_UP, input(fields)).await, refusal("EMAIL_TAKEN", "email"));
    assert_eq!(shop.sign_in("ada@example.org", "").await["userErrors"][0]["code"], "BAD_CREDENTIALS");

    let known = shop.ok(&shop.guest(), LINK_SEND, input(json!({ "email": "ada@example.org" }))).await;
    let unknown = shop.ok(&shop.guest(), LINK_SEND, input(json!({ "email": "bob@example.org" }))).await;
    assert_eq!(known, unknown);
    let first = shop.mailed_link("ada@example.org").await;
    shop.ok(&shop.guest(), LINK_SEND, input(json!({ "email": "ada@example.org" }))).await;
    assert_eq!(shop.redeem(&first).await["userErrors"][0]["code"], "LINK_INVALID", "only the newest one mailed works");
    let entered = shop.redeem(&shop.mailed_link("ada@example.org").await).await;
    assert_eq!(entered["account"], json!({ "id": id.to_string(), "emailVerified": true, "hasPassword": false }));
    // The third within five minutes was the last.
    shop.ok(&shop.guest(), LINK_SEND, input(json!({ "email": "ada@example.org" }))).await;
    assert_eq!(shop.top_level_code(&shop.guest(), LINK_SEND, input(json!({ "email": "ada@example.org" }))).await, "RATE_LIMITED");
}

// ---- another address ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn another_address_is_unproven_and_books_keep_the_old_one() {
    let shop = TestApp::new().await;
    let (id, token) = shop.verified("ada@example.org").await;
    shop.sign_up("bob@example.org").await;
    let old_link = shop.link(&id, Road::Mail).await;
    let caller = shop.bearer(&token).await;
    let change = |email: &str, password: &str| input(json!({ "newEmail": email, "password": password }));
    assert_eq!(
        shop.refused(&caller, EMAIL_CHANGE, change("ada@example.net", "not this one")).await,
        refusal("BAD_CREDENTIALS", "password")
    );
    assert_eq!(shop.refused(&caller, EMAIL_CHANGE, change("BOB@example.org", PASSWORD)).await, refusal("EMAIL_TAKEN", "newEmail"));
    assert_eq!(shop.refused(&caller, EMAIL_CHANGE, change("nowhere", PASSWORD)).await, refusal("INVALID", "newEmail"));

    let data = shop.ok(&caller, EMAIL_CHANGE, change("ADA@example.org", PASSWORD)).await;
    assert_eq!(data["accountEmailChange"]["account"], json!({ "email": "ADA@example.org", "emailVerified": true }), "only spelled anew");
    let data = shop.ok(&caller, EMAIL_CHANGE, change("ada@example.net", PASSWORD)).await;
    assert_eq!(data["accountEmailChange"]["account"], json!({ "email": "ada@example.net", "emailVerified": false }));
    assert_eq!(
        shop.redeem(&old_link).await["userErrors"][0]["code"],
        "LINK_INVALID",
        "a link to the old address proves nothing about the new"
    );
    let proven = shop.redeem(&shop.mailed_link("ada@example.net").await).await;
    assert_eq!(proven["account"]["emailVerified"], true);
    let mut versions: Vec<String> =
        person::Entity::find().all(shop.app.db.read()).await.expect("rows").into_iter().filter_map(|row| row.email).collect();
    versions.sort();
    assert_eq!(versions, ["ADA@example.org", "ada@example.net", "ada@example.org", "bob@example.org"]);
    // The old address is free again.
    shop.sign_up("ada@example.org").await;
}

// ---- operators ----------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn rights_hold_from_the_next_request_on() {
    let shop = TestApp::new().await;
    let (id, token) = shop.sign_up("ada@example.org").await;
    let list = "{ accounts { totalCount } }";
    assert_eq!(shop.top_level_code(&shop.bearer(&token).await, list, json!({})).await, "FORBIDDEN");
    let set = async |fields: Value| {
        shop.ok(&shop.operator(), OPERATOR_SET, input(fields)).await["operatorSet"]["account"]["operatorScopes"].clone()
    };

    let all = set(json!({ "accountId": id })).await;
    assert_eq!(all.as_array().map(Vec::len), Some(22), "every scope by default");
    let caller = shop.bearer(&token).await;
    assert_eq!(shop.ok(&caller, list, json!({})).await["accounts"]["totalCount"], 1);
    assert_eq!(shop.ok(&caller, "{ me { roles } }", json!({})).await["me"]["roles"], json!(["CUSTOMER", "OPERATOR"]));

    set(json!({ "email": "boss@example.org" })).await;
    assert_eq!(set(json!({ "accountId": id, "scopes": ["catalog:read"] })).await, json!(["catalog:read"]));
    assert_eq!(shop.top_level_code(&shop.bearer(&token).await, list, json!({})).await, "FORBIDDEN");
    assert_eq!(set(json!({ "accountId": id, "scopes": null })).await, Value::Null);
    assert_eq!(shop.ok(&shop.bearer(&token).await, "{ me { roles } }", json!({})).await["me"]["roles"], json!(["CUSTOMER"]));
}

#[tokio::test]
async fn nobody_gives_scopes_that_they_lack() {
    let shop = TestApp::new().await;
    let (id, _) = shop.sign_up("ada@example.org").await;
    let lesser = shop.key(&["settings:write", "catalog:read"]);
    assert_eq!(shop.top_level_code(&lesser, OPERATOR_SET, input(json!({ "accountId": id }))).await, "FORBIDDEN");
    assert_eq!(
        shop.top_level_code(&lesser, OPERATOR_SET, input(json!({ "accountId": id, "scopes": ["catalog:write"] }))).await,
        "FORBIDDEN"
    );
    shop.ok(&lesser, OPERATOR_SET, input(json!({ "accountId": id, "scopes": ["catalog:read"] }))).await;
    let key = |scopes: Value| input(json!({ "name": "till", "role": "SERVICE", "scopes": scopes }));
    assert_eq!(shop.top_level_code(&lesser, KEY_CREATE, key(json!(["catalog:read", "orders:read"]))).await, "FORBIDDEN");
    shop.ok(&lesser, KEY_CREATE, key(json!(["catalog:read"]))).await;
}

#[tokio::test]
async fn an_operator_is_named_by_id_or_proven_address() {
    let shop = TestApp::new().await;
    shop.sign_up("ada@example.org").await;
    shop.verified("bob@example.org").await;
    let set = |fields: Value| input(fields);
    let refused = async |fields: Value| shop.refused(&shop.operator(), OPERATOR_SET, set(fields)).await;
    // Anybody could have signed up with the address that the operator types here.
    assert_eq!(refused(json!({ "email": "ada@example.org" })).await, refusal("INVALID", "email"));
    assert_eq!(refused(json!({ "email": "nobody@example.org", "scopes": null })).await, refusal("NOT_FOUND", "email"));
    assert_eq!(refused(json!({ "accountId": "acc_00000000000000000000000000" })).await, refusal("NOT_FOUND", "accountId"));
    assert_eq!(refused(json!({ "accountId": "ada" })).await, refusal("NOT_FOUND", "accountId"));
    assert_eq!(refused(json!({})).await, refusal("REQUIRED", "accountId"));
    assert_eq!(refused(json!({ "email": "bob@example.org", "scopes": [] })).await, refusal("REQUIRED", "scopes"));
    assert_eq!(refused(json!({ "email": "bob@example.org", "scopes": ["catalog:read", "all"] })).await, refusal("INVALID", "scopes.1"));
    shop.ok(&shop.operator(), OPERATOR_SET, set(json!({ "email": "BOB@example.org" }))).await;
    // An address without an account gets one, and a link to enter it.
    shop.ok(&shop.operator(), OPERATOR_SET, set(json!({ "email": "cyd@example.org", "scopes": ["orders:read"] }))).await;
    let entered = shop.redeem(&shop.mailed_link("cyd@example.org").await).await;
    let caller = shop.bearer(&text(&entered["token"])).await;
    assert!(matches!(&caller.who, Who::Account { operator: Some(scopes), .. } if scopes.iter().count() == 1));
}

/// Two operators who remove each other at once: one stays.
#[tokio::test]
async fn the_last_operator_stays() {
    let shop = TestApp::new().await;
    let (ada, _) = shop.verified("ada@example.org").await;
    let (bob, _) = shop.verified("bob@example.org").await;
    for id in [&ada, &bob] {
        shop.ok(&shop.operator(), OPERATOR_SET, input(json!({ "accountId": id }))).await;
    }
    let operator = shop.operator();
    let remove = async |id: &str| shop.run(&operator, OPERATOR_SET, input(json!({ "accountId": id, "scopes": null }))).await;
    let (one, two) = tokio::join!(remove(&ada), remove(&bob));
    let refused: Vec<&Value> = [&one, &two]
        .into_iter()
        .map(|answer| &answer["data"]["operatorSet"]["userErrors"])
        .filter(|errors| *errors != &json!([]))
        .collect();
    assert_eq!(refused.len(), 1, "{one} {two}");
    assert_eq!(refused[0][0]["code"], "LAST_OPERATOR");
    let data = shop.ok(&shop.operator(), "{ accounts(filter: { operator: true }) { nodes { id email } } }", json!({})).await;
    let last = data["accounts"]["nodes"].as_array().expect("a list").clone();
    assert_eq!(last.len(), 1);
    let last_id = &last[0]["id"];
    // Neither fewer scopes nor erasure gets around it; other scopes may go.
    let narrow = json!({ "accountId": last_id, "scopes": ["orders:write"] });
    assert_eq!(shop.refused(&shop.operator(), OPERATOR_SET, input(narrow)).await, refusal("LAST_OPERATOR", ""));
    assert_eq!(shop.refused(&shop.operator(), ERASE, input(json!({ "email": last[0]["email"] }))).await, refusal("LAST_OPERATOR", ""));
    shop.ok(&shop.operator(), OPERATOR_SET, input(json!({ "accountId": last_id, "scopes": ["settings:write"] }))).await;
}

#[tokio::test]
async fn the_first_operator_comes_in_by_a_printed_link() {
    let shop = TestApp::new().await;
    let (_, squatter) = shop.sign_up("operator@example.org").await;
    let email = Email::parse("operator@example.org").expect("an address");
    let link = shop.app.operator_link(&email).await.expect("a link").expect("the first operator");
    shop.assert_dead(&squatter).await;
    assert_eq!(shop.sign_in("operator@example.org", PASSWORD).await["userErrors"][0]["code"], "BAD_CREDENTIALS");
    let secret = link.expose_secret().strip_prefix("http://127.0.0.1:8080/account/link/").expect("the page's address");
    let entered = shop.redeem(secret).await;
    let caller = shop.bearer(&text(&entered["token"])).await;
    assert!(caller.is_operator());
    // At the next start, the same operator gets another link; somebody else does not become one.
    assert!(shop.app.operator_link(&email).await.expect("a link").is_some());
    let other = Email::parse("mallory@example.org").expect("an address");
    assert!(shop.app.operator_link(&other).await.expect("no error").is_none());
}

// ---- keys ---------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_service_keys_secret_is_told_once_and_dies_when_revoked() {
    let shop = TestApp::new().await;
    let (id, secret) = shop.key_of(json!({ "name": " till ", "role": "SERVICE", "scopes": ["orders:read", "catalog:write"] })).await;
    assert_eq!((secret.len(), secret.starts_with("bsk_")), (47, true));
    let caller = shop.bearer(&secret).await;
    assert_eq!(caller.actor(), id);
    assert!(
        matches!(&caller.who, Who::Key { scopes, .. } if scopes.iter().map(|scope| scope.to_string()).eq(["catalog:write", "orders:read"]))
    );

    let stored = service_key::Entity::find().all(shop.app.db.read()).await.expect("rows");
    assert!(!format!("{stored:?}").contains(&secret[4..]), "only its hash is kept");
    let data =
        shop.ok(&shop.operator(), "{ serviceKeys { totalCount nodes { id name role scopes createdBy revokedAt } } }", json!({})).await;
    assert_eq!(data["serviceKeys"]["totalCount"], 1);
    assert_eq!(data["serviceKeys"]["nodes"][0]["name"], "till");
    assert_eq!(data["serviceKeys"]["nodes"][0]["revokedAt"], Value::Null);

    shop.ok(&shop.operator(), KEY_REVOKE, input(json!({ "id": id }))).await;
    shop.assert_dead(&secret).await;
    shop.pass(TimeDelta::hours(1));
    let again = shop.ok(&shop.operator(), KEY_REVOKE, input(json!({ "id": id }))).await;
    assert_eq!(again["serviceKeyRevoke"]["serviceKey"]["revokedAt"], "2026-01-01T00:00:00+00:00", "when it was first revoked");
    let unknown = json!({ "id": "key_00000000000000000000000000" });
    assert_eq!(shop.refused(&shop.operator(), KEY_REVOKE, input(unknown)).await, refusal("NOT_FOUND", "id"));
}

#[tokio::test]
async fn a_key_has_what_its_role_needs() {
    let shop = TestApp::new().await;
    let company = Shelf(&shop).company("acme", json!({})).await.to_string();
    let refused = async |fields: Value| shop.refused(&shop.operator(), KEY_CREATE, input(fields)).await;
    assert_eq!(refused(json!({ "name": "x", "role": "MANAGER" })).await, refusal("REQUIRED", "companyId"));
    assert_eq!(refused(json!({ "name": "x", "role": "OPERATOR", "companyId": company })).await, refusal("INVALID", "companyId"));
    assert_eq!(
        refused(json!({ "name": "", "role": "SERVICE" })).await,
        [refusal("REQUIRED", "name"), refusal("REQUIRED", "scopes")].concat()
    );
    assert_eq!(refused(json!({ "name": "x", "role": "OPERATOR", "scopes": [] })).await, refusal("REQUIRED", "scopes"));
    assert_eq!(refused(json!({ "name": "x", "role": "SERVICE", "scopes": ["*"] })).await, refusal("INVALID", "scopes.0"));
    let nowhere = json!({ "name": "x", "role": "MANAGER", "companyId": "com_00000000000000000000000000" });
    assert_eq!(refused(nowhere).await, refusal("NOT_FOUND", "companyId"));
    let (_, operators) = shop.key_of(json!({ "name": "x", "role": "OPERATOR" })).await;
    assert!(matches!(shop.bearer(&operators).await.who, Who::Key { scopes, .. } if scopes.iter().count() == 22));
}

/// SPEC's "off: no sales, no manager sign-in": a disabled company's key is dead, and its manager is a customer.
#[tokio::test]
async fn a_disabled_companys_managers_lose_their_role() {
    let shop = TestApp::new().await;
    let company = Shelf(&shop).company("acme", json!({})).await;
    let other = Shelf(&shop).company("other", json!({})).await;
    let (id, token) = shop.verified("ada@example.org").await;
    shop.manager_of(company, &id).await;
    let (_, key) = shop.key_of(json!({ "name": "portal", "role": "MANAGER", "companyId": company.to_string() })).await;
    for bearer in [&token, &key] {
        let caller = shop.bearer(bearer).await;
        assert!(caller.manages(company) && !caller.manages(other), "{caller:?}");
        let log = "query($company: ID!) { auditLog(filter: { companyId: $company }) { nodes { operation } } }";
        let seen = shop.ok(&caller, log, json!({ "company": company.to_string() })).await;
        assert_eq!(seen["auditLog"]["nodes"], json!([{ "operation": "serviceKeyCreate" }, { "operation": "companyCreate" }]));
        assert_eq!(shop.top_level_code(&caller, log, json!({ "company": other.to_string() })).await, "FORBIDDEN");
        assert_eq!(shop.top_level_code(&caller, "{ auditLog { totalCount } }", json!({})).await, "FORBIDDEN");
    }
    shop.disable(company).await;
    let caller = shop.bearer(&token).await;
    assert!(!caller.is_manager() && caller.account().is_some());
    shop.assert_dead(&key).await;
}

// ---- erasure ------------------------------------------------------------------------------------------------------------------

/// The person's texts are gone wherever books point to them; the books, and the hash that counts coupon uses, stay.
#[tokio::test]
async fn erasing_a_person_blanks_every_version_and_ends_the_account() {
    let shop = TestApp::new().await;
    let (id, token) = shop.verified("ada@example.org").await;
    let company = Shelf(&shop).company("acme", json!({})).await;
    shop.manager_of(company, &id).await;
    let link = shop.link(&id, Road::Mail).await;
    // What an order points to: the version that its buyer typed.
    let email = Email::parse("ADA@example.org").expect("an address");
    let buyer = shop.app.person_version(&email, Some("Ada Lovelace".to_owned()), None);
    let txn = shop.app.db.begin().await.expect("a transaction");
    shop.app.person_write(&txn, std::slice::from_ref(&buyer)).await.expect("written");
    txn.commit().await.expect("committed");

    let unknown = json!({ "email": "nobody@example.org" });
    assert_eq!(shop.refused(&shop.operator(), ERASE, input(unknown)).await, refusal("NOT_FOUND", "email"));
    let data = shop.ok(&shop.operator(), ERASE, input(json!({ "email": " Ada@EXAMPLE.org" }))).await;
    assert_eq!(data["personErase"]["erased"], json!({ "versions": 2, "accountId": id }));
    let rows = person::Entity::find().all(shop.app.db.read()).await.expect("rows");
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((row.email, row.name, row.address), (None, None, None));
        assert_eq!((row.email_hash, row.erased_at), (buyer.email_hash.clone(), Some(shop.app.now())));
    }
    shop.assert_dead(&token).await;
    assert_eq!(shop.redeem(&link).await["userErrors"][0]["code"], "LINK_INVALID");
    assert_eq!(shop.sign_in("ada@example.org", PASSWORD).await["userErrors"][0]["code"], "BAD_CREDENTIALS");
    let gone = shop
        .ok(&shop.operator(), "query($id: ID!) { account(id: $id) { email name hasPassword emailVerified } }", json!({ "id": id }))
        .await;
    assert_eq!(gone["account"], json!({ "email": null, "name": null, "hasPassword": false, "emailVerified": false }));

    // Somebody who comes back starts anew; the log knows what happened, without the address.
    let (fresh, _) = shop.verified("ada@example.org").await;
    assert_ne!(fresh, id);
    let log = shop.ok(&shop.operator(), "{ auditLog(filter: { operation: \"personErase\" }) { nodes { objectId new } } }", json!({})).await;
    assert_eq!(log["auditLog"]["nodes"][0]["objectId"], id);
    assert!(!log.to_string().to_lowercase().contains("ada"), "{log}");
}

// ---- lists and logs -----------------------------------------------------------------------------------------------------------

/// Lists cost the same for one row and for many.
#[tokio::test]
async fn operators_lists_take_a_fixed_number_of_statements() {
    let shop = TestApp::new().await;
    let queries = [
        ("{ accounts(first: 100) { totalCount nodes { id email } } }", 3),
        ("{ outbox(first: 100) { totalCount nodes { to link } } }", 5),
        ("{ serviceKeys(first: 100) { totalCount nodes { id } } }", 2),
        ("{ auditLog(first: 100) { totalCount nodes { id old new } } }", 2),
    ];
    for round in 0..2 {
        for index in 0..=(round * 5) {
            shop.sign_up(&format!("user{round}{index}@example.org")).await;
            shop.key_of(json!({ "name": format!("key {index}"), "role": "OPERATOR" })).await;
        }
        for (query, statements) in queries {
            let (answer, count) = shop.counted(&shop.operator(), query, json!({})).await;
            assert_eq!((answer.get("errors"), count), (None, statements), "{query}");
        }
    }
}

/// c45 for these lists: rows of one instant appear once over all pages.
#[tokio::test]
async fn c45_pages_of_accounts_show_each_once() {
    let shop = TestApp::new().await;
    for index in 0..5 {
        shop.sign_up(&format!("user{index}@example.org")).await;
    }
    let query = "query($after: String) { accounts(first: 2, after: $after) { nodes { email } pageInfo { endCursor hasNextPage } } }";
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = shop.ok(&shop.operator(), query, json!({ "after": after })).await["accounts"].clone();
        seen.extend(page["nodes"].as_array().expect("a list").iter().map(|node| text(&node["email"])));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ["user0@example.org", "user1@example.org", "user2@example.org", "user3@example.org", "user4@example.org"]);
    assert_eq!(shop.top_level_code(&shop.operator(), "{ outbox(after: \"x\") { totalCount } }", json!({})).await, "BAD_INPUT");
    let own = shop.ok(&shop.operator(), "{ accounts(filter: { email: \"USER3@example.org\" }) { nodes { email } } }", json!({})).await;
    assert_eq!(own["accounts"]["nodes"], json!([{ "email": "user3@example.org" }]));
}

/// Who reads a link can act as its account: an operator with few scopes does not get at one with more.
#[tokio::test]
async fn links_are_shown_only_to_who_may_act_for_their_accounts() {
    let shop = TestApp::new().await;
    shop.sign_up("ada@example.org").await;
    shop.ok(&shop.operator(), OPERATOR_SET, input(json!({ "email": "boss@example.org" }))).await;
    let shown = async |scopes: &[&str]| {
        let data = shop.ok(&shop.key(scopes), "{ outbox { nodes { to link } } }", json!({})).await;
        let entries = data["outbox"]["nodes"].as_array().expect("a list").clone();
        entries.into_iter().map(|entry| (text(&entry["to"]), !entry["link"].is_null())).collect::<Vec<_>>()
    };
    let both = |ada, boss| vec![("boss@example.org".to_owned(), boss), ("ada@example.org".to_owned(), ada)];
    assert_eq!(shown(&["settings:read"]).await, both(false, false));
    assert_eq!(shown(&["settings:write"]).await, both(true, false));
    assert_eq!(shop.top_level_code(&shop.key(&["orders:write"]), "{ outbox { totalCount } }", json!({})).await, "FORBIDDEN");
}

/// Neither the database nor any `Debug` holds a secret in the clear.
#[tokio::test]
async fn secrets_are_not_found_in_tables_or_debug_texts() {
    let shop = TestApp::new().await;
    let signed_in = shop
        .app
        .account_sign_up(&shop.guest(), SignUp { email: "ada@example.org".to_owned(), password: PASSWORD.into(), name: None })
        .await
        .expect("signed up");
    let id = signed_in.account.id.to_string();
    let mailed = shop.mailed_link("ada@example.org").await;
    let receipt = shop.link(&id, Road::Receipt).await;
    let (_, key) = shop.key_of(json!({ "name": "till", "role": "OPERATOR" })).await;
    let token = signed_in.token.expose_secret().to_owned();
    let caller = Caller { cart_secret: Some(SecretString::from("cart-secret-text")), ..shop.bearer(&token).await };
    let presented = Presented { bearer: Some(token.as_str().into()), ..Presented::default() };

    let db = shop.app.db.read();
    let rows = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        account::Entity::find().all(db).await.expect("rows"),
        one_time_link::Entity::find().all(db).await.expect("rows"),
        service_key::Entity::find().all(db).await.expect("rows"),
        signing_key::Entity::find().all(db).await.expect("rows"),
        entity::audit::Entity::find().all(db).await.expect("rows"),
    );
    let up = SignUp { email: String::new(), password: PASSWORD.into(), name: None };
    let debug = format!("{signed_in:?} {caller:?} {presented:?} {up:?} {:?}", shop.app);
    let hash = signed_in.account.password_hash.clone().expect("a hash").expose_secret().to_owned();
    for secret in [PASSWORD, &mailed, &receipt, &key, &token, "cart-secret-text"] {
        assert!(!rows.contains(secret) && !debug.contains(secret), "{secret} is found");
    }
    assert!(!debug.contains(&hash), "the password's hash does not print");
}

#[tokio::test]
async fn accounts_and_keys_are_found_by_id() {
    let shop = TestApp::new().await;
    let (ada, token) = shop.sign_up("ada@example.org").await;
    let (bob, _) = shop.sign_up("bob@example.org").await;
    let (key, _) = shop.key_of(json!({ "name": "till", "role": "OPERATOR" })).await;
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }";
    let ids = json!({ "ids": [ada, bob, key] });
    let all = shop.ok(&shop.operator(), query, ids.clone()).await;
    let node = |id: &str, kind: &str| json!({ "id": id, "__typename": kind });
    assert_eq!(all["nodes"], json!([node(&ada, "Account"), node(&bob, "Account"), node(&key, "ServiceKey")]));
    let own = shop.ok(&shop.bearer(&token).await, query, ids.clone()).await;
    assert_eq!(own["nodes"], json!([node(&ada, "Account"), null, null]));
    assert_eq!(shop.ok(&shop.guest(), query, ids).await["nodes"], json!([null, null, null]));
}

#[tokio::test]
async fn me_lists_the_companies_of_a_member() {
    let shop = TestApp::new().await;
    let (id, token) = shop.verified("ada@acme.example").await;
    let shelf = Shelf(&shop);
    let managed = shelf.company("managed", json!({})).await;
    shelf.company("by-domain", json!({ "emailDomains": ["acme.example"] })).await;
    shelf.company("others", json!({})).await;
    shop.manager_of(managed, &id).await;
    let me = "{ me { roles companies { key } } }";
    let (answer, statements) = shop.counted(&shop.bearer(&token).await, me, json!({})).await;
    let expected = json!({ "roles": ["CUSTOMER", "MANAGER"], "companies": [{ "key": "by-domain" }, { "key": "managed" }] });
    assert_eq!((&answer["data"]["me"], statements), (&expected, 3));
    let unproven = shop.bearer(&shop.sign_up("bob@acme.example").await.1).await;
    assert_eq!(shop.ok(&unproven, me, json!({})).await["me"]["companies"], json!([]));
}
