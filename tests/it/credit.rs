//! Credits: lots, who spends them and in which order, and the books about them, also when many reach for them at once.

use bursar::app::caller::Caller;
use bursar::app::entropy;
use bursar::store;
use bursar::store::credit::{Move, NewLot, Spending};
use bursar::store::ledger::Verified;
use bursar::store::{Db, DbOptions};
use chrono::TimeDelta;
use domain::credit::{Book, Cause, Draw, Holdings, Owner, Short, Source, SourceKind, TakeBack};
use domain::{AccountId, CompanyId, CourseId, LotId, ProductId};
use entity::{company, credit_account, credit_entry, credit_posting};
use futures_util::future::join_all;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait as _, DbBackend, EntityTrait, QueryFilter, QueryOrder, TransactionTrait};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::process::{self, Place};
use crate::util::{TestApp, at, id};

/// A shop with somebody in it.
pub struct Holder {
    pub shop: TestApp,
    pub account: AccountId,
    token: String,
}

/// What a test grants: count, end, product that the lot is tied to.
type Lot<'a> = (i64, Option<&'a str>, Option<ProductId>);

impl Holder {
    pub async fn new() -> Self {
        let shop = TestApp::new().await;
        let (account, token) = shop.sign_up("ann@example.test").await;
        Self { account: AccountId::parse(&account).expect("an account's id"), shop, token }
    }

    async fn caller(&self) -> Caller {
        self.shop.bearer(&self.token).await
    }

    fn by(&self, cause: Cause, kind: SourceKind, source: Uuid) -> Move<'static> {
        Move {
            cause,
            source: Source { kind, id: source },
            actor: "system",
            reason: None,
            now: self.shop.app.now(),
            new_id: entropy::next_uuid,
        }
    }

    /// Grants a lot; its id, which is that of its source too.
    pub async fn grant(&self, owner: Owner, (count, ends, tied): Lot<'_>) -> LotId {
        let lot: LotId = entropy::next_id();
        let new = NewLot { id: lot, owner, count, expires_at: ends.map(at), product: tied, tied };
        let txn = self.shop.app.db.begin().await.expect("it begins");
        let by = self.by(Cause::Sold, SourceKind::OrderLine, lot.uuid());
        assert_eq!(store::credit::grant(&txn, &new, &by).await.expect("it is granted"), lot);
        txn.commit().await.expect("it commits");
        lot
    }

    /// Spends; what was drawn, or what is missing.
    async fn spend(&self, source: Uuid, cost: i64, companies: &[CompanyId], products: &[ProductId]) -> Result<Vec<Draw>, Short> {
        let by = self.by(Cause::Spent, SourceKind::Rental, source);
        let spending = Spending { account: self.account, companies, cost, products };
        let txn = self.shop.app.db.begin().await.expect("it begins");
        let spent = store::credit::spend(&txn, &spending, &by).await.expect("the database answers");
        txn.commit().await.expect("it commits");
        spent
    }

    async fn give_back(&self, source: Uuid) -> i64 {
        let by = self.by(Cause::GivenBack, SourceKind::Rental, source);
        let txn = self.shop.app.db.begin().await.expect("it begins");
        let given = store::credit::give_back(&txn, by.source, &by).await.expect("the database answers");
        txn.commit().await.expect("it commits");
        given.iter().map(|draw| draw.count).sum()
    }

    async fn take_back(&self, lot: LotId, wanted: Option<i64>) -> TakeBack {
        let by = self.by(Cause::TakenBack, SourceKind::Refund, entropy::next_uuid());
        let granted = Source { kind: SourceKind::OrderLine, id: lot.uuid() };
        let txn = self.shop.app.db.begin().await.expect("it begins");
        let back = store::credit::take_back(&txn, granted, wanted, &by).await.expect("the database answers");
        txn.commit().await.expect("it commits");
        back
    }

    async fn restore(&self, refund: Uuid) -> i64 {
        let by = self.by(Cause::Restored, SourceKind::Refund, refund);
        let txn = self.shop.app.db.begin().await.expect("it begins");
        let restored = store::credit::restore(&txn, by.source, &by).await.expect("the database answers");
        txn.commit().await.expect("it commits");
        restored
    }

    async fn newest_source(&self, cause: &str) -> Uuid {
        let entries = credit_entry::Entity::find().filter(credit_entry::Column::Cause.eq(cause)).order_by_desc(credit_entry::Column::Id);
        entries.one(self.shop.app.db.read()).await.expect("rows").expect("an entry").source_id
    }

    async fn expire(&self) -> usize {
        let by = self.by(Cause::Expired, SourceKind::Lot, Uuid::nil());
        let txn = self.shop.app.db.begin().await.expect("it begins");
        let done = store::credit::expire(&txn, 100, &by).await.expect("the database answers");
        txn.commit().await.expect("it commits");
        done
    }

    pub async fn holdings(&self, owner: Owner) -> Holdings {
        store::credit::holdings(self.shop.app.db.read(), owner, self.shop.app.now()).await.expect("the database answers")
    }

    async fn balance(&self) -> i64 {
        self.holdings(Owner::Account(self.account)).await.balance
    }

    /// What is left of each of these lots by the books.
    async fn left(&self, lots: &[LotId]) -> Vec<i64> {
        let found = store::credit::by_ids(self.shop.app.db.read(), lots).await.expect("the database answers");
        lots.iter().map(|id| found.iter().find(|lot| lot.id == *id).expect("the lot").figures.left()).collect()
    }

    /// A company that lets each of its learners spend so much.
    async fn company(&self, limit: Option<i64>) -> CompanyId {
        let input = json!({ "name": "Acme", "type": "RETAIL" });
        let made = self.shop.act(&self.shop.operator(), "companyCreate", input, "company { id }").await;
        let company = CompanyId::parse(&id(&made["company"])).expect("a company's id");
        company::Entity::update_many()
            .col_expr(company::Column::CreditLimit, Expr::value(limit))
            .filter(company::Column::Id.eq(company.uuid()))
            .exec(self.shop.app.db.write())
            .await
            .expect("it is set");
        company
    }
}

fn source(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn counts(draws: &[Draw]) -> Vec<(LotId, i64)> {
    draws.iter().map(|draw| (draw.lot, draw.count)).collect()
}

/// C43: 500 until 31 January, 1000 without an end, 300 until 10 January; 600 are spent on 5 January.
#[tokio::test]
async fn c43_lots_that_end_first_are_spent_first_and_hold_nothing_from_their_end_on() {
    let ann = Holder::new().await;
    let own = Owner::Account(ann.account);
    let late = ann.grant(own, (500, Some("2026-01-31T00:00:00Z"), None)).await;
    let endless = ann.grant(own, (1000, None, None)).await;
    let soon = ann.grant(own, (300, Some("2026-01-10T00:00:00Z"), None)).await;
    ann.shop.set_time("2026-01-05T00:00:00Z");
    let drawn = ann.spend(source(1), 600, &[], &[]).await.expect("there are enough");
    assert_eq!(counts(&drawn), [(soon, 300), (late, 300)]);
    assert_eq!(ann.left(&[soon, late, endless]).await, [0, 200, 1000]);
    assert_eq!(ann.holdings(own).await, Holdings { balance: 1200, next_expiry: Some((at("2026-01-31T00:00:00Z"), 200)) });

    // No job has run, and still they are gone from that instant on.
    ann.shop.set_time("2026-01-30T23:59:59.999999Z");
    assert_eq!(ann.balance().await, 1200);
    ann.shop.set_time("2026-01-31T00:00:00Z");
    assert_eq!(ann.balance().await, 1000);
    assert_eq!(ann.spend(source(2), 1001, &[], &[]).await, Err(Short { needed: 1001, held: 1000 }));
    assert_eq!(ann.left(&[late]).await, [200], "not in the books yet");
    assert_eq!((ann.expire().await, ann.expire().await), (1, 0));
    assert_eq!((ann.left(&[late]).await, ann.balance().await), (vec![0], 1000));
}

/// R39: a tied lot pays for the courses that its product sells and for nothing else.
#[tokio::test]
async fn r39_a_tied_lot_pays_for_the_courses_of_its_product_only() {
    let ann = Holder::new().await;
    let (inside, outside) = (ann.shop.course("Inside").await, ann.shop.course("Outside").await);
    let (_, product) = ann.shop.library("LIB", "Library", "20.00 USD", &[&inside]).await;
    let product = ProductId::parse(&product).expect("a product's id");
    let selling = async |course: &str| {
        let course = CourseId::parse(course).expect("a course's id");
        store::credit::products_selling(ann.shop.app.db.read(), course).await.expect("the database answers")
    };
    assert_eq!((selling(&inside).await, selling(&outside).await), (vec![product], vec![]));
    let own = Owner::Account(ann.account);
    let tied = ann.grant(own, (10, None, Some(product))).await;
    assert_eq!(ann.spend(source(1), 1, &[], &selling(&outside).await).await, Err(Short { needed: 1, held: 0 }));
    let free = ann.grant(own, (10, None, None)).await;
    assert_eq!(counts(&ann.spend(source(2), 3, &[], &selling(&outside).await).await.expect("enough")), [(free, 3)]);
    assert_eq!(counts(&ann.spend(source(3), 12, &[], &selling(&inside).await).await.expect("enough")), [(tied, 10), (free, 2)]);
    assert_eq!(ann.balance().await, 5);
}

/// R40: what grants once grants once, whoever asks again and at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_source_grants_once_however_often_it_is_asked() {
    let ann = Holder::new().await;
    let by = ann.by(Cause::Sold, SourceKind::OrderLine, source(9));
    let granting = join_all((0..8).map(async |_| {
        let new =
            NewLot { id: entropy::next_id(), owner: Owner::Account(ann.account), count: 50, expires_at: None, product: None, tied: None };
        let txn = ann.shop.app.db.begin().await.expect("it begins");
        let lot = store::credit::grant(&txn, &new, &by).await.expect("it is granted");
        txn.commit().await.expect("it commits");
        lot
    }))
    .await;
    assert!(granting.iter().all(|lot| *lot == granting[0]), "all are told of the same lot");
    assert_eq!(ann.balance().await, 50);
}

/// R39: 60 spendings of 1 at once on a balance of 37, spread over lots: 37 succeed, and each credit is spent once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r39_sixty_spendings_at_once_on_thirty_seven_credits_are_thirty_seven() {
    let ann = Holder::new().await;
    let own = Owner::Account(ann.account);
    let lots = [
        ann.grant(own, (20, Some("2026-06-01T00:00:00Z"), None)).await,
        ann.grant(own, (10, None, None)).await,
        ann.grant(own, (7, None, None)).await,
    ];
    let spent = join_all((0..60).map(|number| ann.spend(source(100 + number), 1, &[], &[]))).await;
    let refused: Vec<&Short> = spent.iter().filter_map(|one| one.as_ref().err()).collect();
    assert_eq!((spent.len() - refused.len(), refused.len()), (37, 23));
    assert!(refused.iter().all(|short| **short == Short { needed: 1, held: 0 }));
    assert_eq!((ann.left(&lots).await, ann.balance().await), (vec![0, 0, 0], 0));
    let booked = credit_account::Entity::find_by_id(ann.account.uuid()).one(ann.shop.app.db.read()).await.expect("rows").expect("one");
    assert_eq!(booked.balance, 0);
}

/// A company lets each of its learners spend 5 of its 100: own credits first, never more than 5 however many ask at once, and what is undone
/// counts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r39_a_learner_spends_own_credits_and_then_the_companys_up_to_the_limit() {
    let ann = Holder::new().await;
    let acme = ann.company(Some(5)).await;
    let other = ann.company(None).await;
    let own = ann.grant(Owner::Account(ann.account), (2, None, None)).await;
    let theirs = ann.grant(Owner::Company(acme), (100, Some("2026-02-01T00:00:00Z"), None)).await;
    ann.grant(Owner::Company(other), (100, None, None)).await;
    let companies = [other, acme];
    assert_eq!(ann.spend(source(1), 8, &companies, &[]).await, Err(Short { needed: 8, held: 7 }));
    assert_eq!(counts(&ann.spend(source(2), 3, &companies, &[]).await.expect("enough")), [(own, 2), (theirs, 1)]);
    let spent = join_all((0..12).map(|number| ann.spend(source(100 + number), 1, &companies, &[]))).await;
    assert_eq!(spent.iter().filter(|one| one.is_ok()).count(), 4);
    assert_eq!(ann.left(&[own, theirs]).await, [0, 95]);
    // Undone, the first of them comes back to both, and the learner may spend one more of the company's.
    assert_eq!((ann.give_back(source(2)).await, ann.give_back(source(2)).await), (3, 0));
    assert_eq!(ann.left(&[own, theirs]).await, [2, 96]);
    assert_eq!(ann.spend(source(3), 4, &companies, &[]).await, Err(Short { needed: 4, held: 3 }));
    assert_eq!(counts(&ann.spend(source(4), 3, &companies, &[]).await.expect("enough")), [(own, 2), (theirs, 1)]);
}

/// What a lot's end has taken stays taken: a spending that is undone afterwards gives back credits that end at once.
#[tokio::test]
async fn what_is_given_back_to_a_lot_that_is_over_ends_with_it() {
    let ann = Holder::new().await;
    let own = Owner::Account(ann.account);
    let lot = ann.grant(own, (10, Some("2026-01-02T00:00:00Z"), None)).await;
    ann.spend(source(1), 4, &[], &[]).await.expect("enough");
    ann.shop.set_time("2026-01-03T00:00:00Z");
    assert_eq!(ann.give_back(source(1)).await, 4);
    let found = store::credit::by_ids(ann.shop.app.db.read(), &[lot]).await.expect("rows")[0];
    assert_eq!((found.figures.spent, found.figures.expired, ann.balance().await), (0, 10, 0));
    assert_eq!(ann.expire().await, 0);
}

/// A refund takes back what is unspent of its line's credits, says what was spent and what had ended, and takes nothing twice; at the same time
/// as spendings too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refund_takes_back_what_is_unspent_and_says_what_was_spent() {
    let ann = Holder::new().await;
    let own = Owner::Account(ann.account);
    let lot = ann.grant(own, (100, Some("2026-02-01T00:00:00Z"), None)).await;
    ann.spend(source(1), 30, &[], &[]).await.expect("enough");
    let back = |taken, spent, expired| TakeBack { lapsed: 0, taken, spent, expired };
    assert_eq!(ann.take_back(lot, Some(50)).await, back(50, 0, 0));
    let refund = ann.newest_source("TAKEN_BACK").await;
    assert_eq!((ann.restore(refund).await, ann.restore(refund).await, ann.balance().await), (50, 0, 70), "the refund came to nothing");
    assert_eq!(ann.take_back(lot, Some(50)).await, back(50, 0, 0));
    assert_eq!(ann.take_back(lot, None).await, back(20, 30, 0));
    assert_eq!((ann.take_back(lot, None).await, ann.balance().await), (back(0, 30, 0), 0));

    let over = ann.grant(own, (100, Some("2026-02-01T00:00:00Z"), None)).await;
    ann.spend(source(2), 30, &[], &[]).await.expect("enough");
    ann.shop.set_time("2026-02-01T00:00:00Z");
    assert_eq!(ann.take_back(over, None).await, TakeBack { lapsed: 70, ..back(0, 30, 70) });

    let raced = ann.grant(own, (10, None, None)).await;
    let (spent, back) =
        tokio::join!(join_all((0..10).map(|number| ann.spend(source(200 + number), 1, &[], &[]))), ann.take_back(raced, None));
    let spent = spent.iter().filter(|one| one.is_ok()).count() as i64;
    assert_eq!((back.taken + spent, ann.left(&[raced]).await), (10, vec![0]), "each credit went one way");
    assert_eq!(ann.take_back(LotId::new(source(77)), None).await, TakeBack::default(), "what granted nothing has nothing to take back");
}

/// The database itself refuses what would make a balance or a lot less than nothing, and a posting that is none.
#[tokio::test]
async fn the_database_holds_balances_and_lots_at_nothing_or_more() {
    let ann = Holder::new().await;
    ann.grant(Owner::Account(ann.account), (10, None, None)).await;
    let db = ann.shop.app.db.write();
    for statement in [
        "UPDATE credit_account SET balance = -1",
        "UPDATE credit_lot SET spent = 11",
        "UPDATE credit_lot SET spent = 5, revoked = 6",
        "UPDATE credit_lot SET spent = -1, expired = 1",
        "UPDATE credit_lot SET expired = -1",
        "UPDATE credit_posting SET count = 0",
        "UPDATE credit_posting SET debit = 'HELD'",
        "UPDATE credit_posting SET credit = 'SPENT'",
        "UPDATE credit_entry SET count = -10",
        "INSERT INTO credit_allowance SELECT company.id, account.id, -1 FROM company, account",
    ] {
        if statement.starts_with("INSERT") {
            ann.company(Some(1)).await;
        }
        let txn = db.begin().await.expect("it begins");
        let done = txn.execute_unprepared(statement).await;
        assert!(done.is_err(), "{statement}");
        txn.rollback().await.expect("it is taken back");
    }
    let postings = credit_posting::Entity::find().all(ann.shop.app.db.read()).await.expect("rows");
    assert_eq!((postings.len(), postings[0].count, postings[0].debit.as_str(), postings[0].credit.as_str()), (1, 10, "ISSUED", "HELD"));
}

const MINE: &str = "query($first: Int, $after: String) { me { credits {
    balance nextExpiry { at count } companies { company { id } limit spent available }
    lots(first: $first, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes { id count left spent expired revoked expiresAt tiedToTitle source } }
    entries(first: 100) { totalCount nodes { cause change happenedAt source actor reason lots { lotId count } } } } } }";

/// What somebody is granted by hand: a number, and what else the input says.
async fn granted(shop: &TestApp, whose: &Value, count: i64, key: &str, more: Value) -> Value {
    let mut input = json!({ "count": count, "reason": "goodwill", "idempotencyKey": key });
    for part in [whose, &more] {
        input.as_object_mut().expect("an input").extend(part.as_object().expect("fields").clone());
    }
    shop.act(&shop.operator(), "creditGrant", input, "lot { id count left source expiresAt } replayed").await
}

/// R40: operators grant and take away, each once, with a reason that is kept, and never more than is there.
#[tokio::test]
async fn credits_are_granted_and_taken_away_by_hand_once_with_a_reason() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let (account, token) = shop.sign_up("ann@example.test").await;
    let ann = shop.bearer(&token).await;
    let whose = json!({ "accountId": account });
    let first = granted(&shop, &whose, 50, "one", json!({ "expiresAt": "2026-03-01T00:00:00Z" })).await;
    assert_eq!((&first["lot"]["count"], &first["lot"]["left"], &first["lot"]["source"]), (&json!(50), &json!(50), &json!("HAND")));
    let again = granted(&shop, &whose, 50, "one", json!({ "expiresAt": "2026-03-01T00:00:00Z" })).await;
    // The caller of a key is another one each time, so the same one asks again.
    assert_ne!(again["lot"]["id"], first["lot"]["id"], "another key's requests are its own");
    let input = json!({ "accountId": account, "count": 7, "reason": "sorry", "idempotencyKey": "two" });
    let made = shop.act(&operator, "creditGrant", input.clone(), "lot { id } replayed").await;
    let same = shop.act(&operator, "creditGrant", input, "lot { id } replayed").await;
    assert_eq!((&made["lot"], &made["replayed"], &same["replayed"]), (&same["lot"], &json!(false), &json!(true)));
    let other = json!({ "accountId": account, "count": 8, "reason": "sorry", "idempotencyKey": "two" });
    assert_eq!(shop.denied(&operator, "creditGrant", other).await[0].0, "IDEMPOTENCY_MISMATCH");

    let revoke = |more: Value, key: &str| {
        let mut input = json!({ "reason": "a mistake", "idempotencyKey": key });
        input.as_object_mut().expect("an input").extend(more.as_object().expect("fields").clone());
        input
    };
    let entry = "entry { cause change reason lots { lotId count } } replayed";
    let input = revoke(json!({ "lotId": first["lot"]["id"], "count": 20 }), "r1");
    let taken = shop.act(&operator, "creditRevoke", input.clone(), entry).await;
    assert_eq!((&taken["entry"]["change"], &taken["entry"]["reason"]), (&json!(-20), &json!("a mistake")));
    let same = shop.act(&operator, "creditRevoke", input, entry).await;
    assert_eq!((&same["entry"], &same["replayed"]), (&taken["entry"], &json!(true)));
    // 50 - 20 + 50 + 7 = 87 are there.
    let input = revoke(json!({ "accountId": account, "count": 88 }), "r2");
    assert_eq!(shop.denied(&operator, "creditRevoke", input).await, [("TOO_FEW_CREDITS".to_owned(), "count".to_owned())]);
    let input = revoke(json!({ "accountId": account, "count": 85 }), "r3");
    let taken = shop.act(&operator, "creditRevoke", input, entry).await;
    let lots = taken["entry"]["lots"].as_array().expect("lots");
    assert_eq!(lots.iter().map(|lot| lot["count"].as_i64().expect("a number")).sum::<i64>(), 85);
    let input = revoke(json!({ "accountId": account }), "r4");
    assert_eq!(shop.act(&operator, "creditRevoke", input, entry).await["entry"]["change"], -2);
    let input = revoke(json!({ "accountId": account }), "r5");
    assert_eq!(shop.denied(&operator, "creditRevoke", input).await[0].0, "TOO_FEW_CREDITS");

    let mine = shop.ok(&ann, MINE, json!({})).await["me"]["credits"].clone();
    assert_eq!((&mine["balance"], &mine["nextExpiry"], &mine["lots"]["totalCount"]), (&json!(0), &Value::Null, &json!(0)));
    assert_eq!(mine["entries"]["totalCount"], 6);
    let sum: i64 =
        mine["entries"]["nodes"].as_array().expect("entries").iter().map(|entry| entry["change"].as_i64().expect("a number")).sum();
    assert_eq!(sum, 0, "the balance is the sum of its entries");
    assert_eq!((&mine["entries"]["nodes"][0]["reason"], &mine["entries"]["nodes"][0]["actor"]), (&Value::Null, &Value::Null));
    let audited = shop.ok(&operator, "{ auditLog(first: 100) { nodes { operation } } }", json!({})).await;
    let count = |name: &str| audited["auditLog"]["nodes"].as_array().expect("rows").iter().filter(|row| row["operation"] == name).count();
    assert_eq!((count("creditGrant"), count("creditRevoke")), (3, 3));
}

/// Bad input is named by its field and changes nothing.
#[tokio::test]
async fn what_cannot_be_granted_or_taken_away_is_refused_by_field() {
    let shop = TestApp::new().await;
    let operator = shop.operator();
    let (account, _) = shop.sign_up("ann@example.test").await;
    let (gone, _) = shop.sign_up("gone@example.test").await;
    shop.act(&operator, "personErase", json!({ "email": "gone@example.test" }), "").await;
    let nobody = AccountId::new(source(5)).to_string();
    let whole = json!({ "accountId": account, "count": 5, "reason": "why", "idempotencyKey": "k" });
    for (change, expected) in [
        (json!({ "count": 0 }), ("QUANTITY_INVALID", "count")),
        (json!({ "count": -5 }), ("QUANTITY_INVALID", "count")),
        (json!({ "count": 1_000_000_001 }), ("QUANTITY_INVALID", "count")),
        (json!({ "reason": "  " }), ("REQUIRED", "reason")),
        (json!({ "expiresAt": "2026-01-01T00:00:00Z" }), ("INVALID", "expiresAt")),
        (json!({ "accountId": nobody }), ("NOT_FOUND", "accountId")),
        (json!({ "accountId": gone }), ("NOT_FOUND", "accountId")),
        (json!({ "accountId": "ann" }), ("NOT_FOUND", "accountId")),
        (json!({ "companyId": nobody }), ("REQUIRED", "")),
        (json!({ "accountId": null }), ("REQUIRED", "")),
        (json!({ "accountId": null, "companyId": CompanyId::new(source(5)).to_string() }), ("NOT_FOUND", "companyId")),
        (json!({ "tiedToProductId": ProductId::new(source(5)).to_string() }), ("NOT_FOUND", "tiedToProductId")),
        (json!({ "idempotencyKey": "" }), ("INVALID", "idempotencyKey")),
    ] {
        let mut input = whole.clone();
        input.as_object_mut().expect("an input").extend(change.as_object().expect("fields").clone());
        let refused = shop.denied(&operator, "creditGrant", input).await;
        assert_eq!((refused[0].0.as_str(), refused[0].1.as_str()), expected, "{change}");
    }
    let whole = json!({ "accountId": account, "reason": "why", "idempotencyKey": "k" });
    for (change, expected) in [
        (json!({ "count": 0 }), ("QUANTITY_INVALID", "count")),
        (json!({}), ("TOO_FEW_CREDITS", "count")),
        (json!({ "lotId": LotId::new(source(5)).to_string() }), ("REQUIRED", "")),
        (json!({ "lotId": LotId::new(source(5)).to_string(), "accountId": null }), ("NOT_FOUND", "lotId")),
        (json!({ "accountId": nobody }), ("NOT_FOUND", "accountId")),
    ] {
        let mut input = whole.clone();
        input.as_object_mut().expect("an input").extend(change.as_object().expect("fields").clone());
        let refused = shop.denied(&operator, "creditRevoke", input).await;
        assert_eq!((refused[0].0.as_str(), refused[0].1.as_str()), expected, "{change}");
    }
    let credits = shop
        .ok(&operator, "query($id: ID) { credits(accountId: $id) { balance entries { nodes { id } } } }", json!({ "id": account }))
        .await;
    assert_eq!(credits["credits"], json!({ "balance": 0, "entries": { "nodes": [] } }));
    assert_eq!(shop.top_level_code(&operator, "{ credits { balance } }", json!({})).await, "BAD_INPUT");
}

/// Holders see their lots and moves in pages, in as many statements whatever their number; their ends are entries of that instant.
#[tokio::test]
async fn people_see_what_they_hold_what_ends_next_and_every_move() {
    let ann = Holder::new().await;
    let own = Owner::Account(ann.account);
    let caller = ann.caller().await;
    let read = async |first: i64| ann.shop.counted(&caller, MINE, json!({ "first": first })).await;
    let lots = [
        ann.grant(own, (10, Some("2026-01-10T00:00:00Z"), None)).await,
        ann.grant(own, (20, Some("2026-01-20T00:00:00Z"), None)).await,
        ann.grant(own, (5, Some("2026-01-10T00:00:00Z"), None)).await,
    ];
    ann.spend(source(1), 12, &[], &[]).await.expect("enough");
    let (answer, few) = read(100).await;
    let mine = &answer["data"]["me"]["credits"];
    assert_eq!((&mine["balance"], &mine["nextExpiry"]), (&json!(23), &json!({ "at": "2026-01-10T00:00:00+00:00", "count": 3 })));
    let left: Vec<i64> = mine["lots"]["nodes"].as_array().expect("lots").iter().filter_map(|lot| lot["left"].as_i64()).collect();
    assert_eq!(left, [3, 20], "the newest first, and what is spent is not among them");
    for _ in 0..30 {
        ann.grant(own, (1, None, None)).await;
    }
    let (answer, many) = read(10).await;
    let mine = &answer["data"]["me"]["credits"];
    assert_eq!((&mine["lots"]["totalCount"], &mine["lots"]["pageInfo"]["hasNextPage"]), (&json!(32), &json!(true)));
    assert_eq!((mine["lots"]["nodes"].as_array().map(Vec::len), few), (Some(10), many), "as many statements for 32 lots as for 2");

    ann.shop.set_time("2026-01-12T00:00:00Z");
    ann.shop.jobs().await;
    ann.shop.jobs().await;
    let (answer, _) = read(10).await;
    let mine = &answer["data"]["me"]["credits"];
    assert_eq!((&mine["balance"], &mine["nextExpiry"]["count"]), (&json!(50), &json!(20)));
    let ended: Vec<&Value> =
        mine["entries"]["nodes"].as_array().expect("entries").iter().filter(|entry| entry["cause"] == "EXPIRED").collect();
    assert_eq!((ended.len(), &ended[0]["change"], &ended[0]["happenedAt"]), (1, &json!(-3), &json!("2026-01-10T00:00:00+00:00")));
    assert_eq!(ended[0]["lots"], json!([{ "lotId": lots[2].to_string(), "count": 3 }]));
    let node = "query($id: ID!) { node(id: $id) { id ... on CreditLot { count expired } } }";
    let id = json!({ "id": lots[2].to_string() });
    let shown = json!({ "id": lots[2].to_string(), "count": 5, "expired": 3 });
    for (caller, seen) in
        [(&caller, &shown), (&ann.shop.operator(), &shown), (&ann.shop.key(&[]), &Value::Null), (&ann.shop.guest(), &Value::Null)]
    {
        assert_eq!(&ann.shop.ok(caller, node, id.clone()).await["node"], seen);
    }
    assert_eq!(ann.left(&lots).await, [0, 20, 0]);
}

/// A company lets its learners spend by its manager's word; they see how much, and others nothing.
#[tokio::test]
async fn a_company_lets_its_learners_spend_as_its_manager_says() {
    let ann = Holder::new().await;
    let (shop, acme) = (&ann.shop, ann.company(None).await);
    let ann_caller = ann.caller().await;
    let input = json!({ "companyId": acme.to_string(), "learners": [{ "accountId": ann.account.to_string() }] });
    shop.act(&shop.operator(), "companyMembersSet", input, "").await;
    granted(shop, &json!({ "companyId": acme.to_string() }), 8, "one", json!({})).await;
    let companies = async || shop.ok(&ann_caller, MINE, json!({})).await["me"]["credits"]["companies"].clone();
    assert_eq!(companies().await, json!([]), "nobody spends a company's credits unless it says so");

    let manager = shop.manager_key(&acme.to_string());
    let set = async |limit: Value| {
        let input = json!({ "companyId": acme.to_string(), "limit": limit });
        shop.act(&manager, "companyCreditLimitSet", input, "company { creditLimit }").await["company"]["creditLimit"].clone()
    };
    assert_eq!(set(json!(5)).await, 5);
    let told = |limit: i64, spent: i64, available: i64| json!([{ "company": { "id": acme.to_string() }, "limit": limit, "spent": spent, "available": available }]);
    assert_eq!(companies().await, told(5, 0, 5));
    ann.spend(source(1), 4, &[acme], &[]).await.expect("enough");
    assert_eq!(companies().await, told(5, 4, 1));
    assert_eq!(set(json!(20)).await, 20);
    assert_eq!(companies().await, told(20, 4, 4), "the company has 4 left");
    assert_eq!(set(json!(3)).await, 3);
    assert_eq!(companies().await, told(3, 4, 0));
    assert_eq!(ann.spend(source(2), 1, &[acme], &[]).await, Err(Short { needed: 1, held: 0 }));
    let refused = shop.denied(&manager, "companyCreditLimitSet", json!({ "companyId": acme.to_string(), "limit": -1 })).await;
    assert_eq!(refused, [("INVALID".to_owned(), "limit".to_owned())]);
    assert_eq!(set(Value::Null).await, Value::Null);
    assert_eq!(companies().await, json!([]));

    // Its manager sees who spent what; the learner sees no company's books.
    let query = "query($id: ID) { credits(companyId: $id) { balance entries { nodes { cause change accountId } } } }";
    let seen = shop.ok(&manager, query, json!({ "id": acme.to_string() })).await["credits"].clone();
    assert_eq!(seen["balance"], 4);
    let spent = json!({ "cause": "SPENT", "change": -4, "accountId": ann.account.to_string() });
    assert_eq!(seen["entries"]["nodes"][0], spent);
    assert_eq!(shop.top_level_code(&ann_caller, query, json!({ "id": acme.to_string() })).await, "FORBIDDEN");
}

/// Erasing somebody leaves the books as they are.
#[tokio::test]
async fn erasing_a_person_leaves_the_books() {
    let ann = Holder::new().await;
    let own = Owner::Account(ann.account);
    let lot = ann.grant(own, (10, None, None)).await;
    ann.spend(source(1), 4, &[], &[]).await.expect("enough");
    ann.shop.act(&ann.shop.operator(), "personErase", json!({ "email": "ann@example.test" }), "").await;
    let query = "query($id: ID) { credits(accountId: $id) { balance entries { nodes { cause change } } } }";
    let seen = ann.shop.ok(&ann.shop.operator(), query, json!({ "id": ann.account.to_string() })).await["credits"].clone();
    let entries = json!([{ "cause": "SPENT", "change": -4 }, { "cause": "SOLD", "change": 10 }]);
    assert_eq!((&seen["balance"], &seen["entries"]["nodes"]), (&json!(6), &entries));
    assert_eq!(ann.left(&[lot]).await, [6]);
}

async fn verified(holder: &Holder) -> Verified {
    holder.shop.app.ledger_verify().await.expect("the books can be read")
}

/// R39, R40: whatever happens in whatever order, on the database too: debits are credits, and lots, balances and entries tell the same number.
#[tokio::test]
async fn any_sequence_of_moves_leaves_books_that_agree() {
    let ann = Holder::new().await;
    let (own, acme) = (Owner::Account(ann.account), ann.company(Some(40)).await);
    let mut lots = Vec::new();
    // Drawn once and for all, so that a failure is the same each time.
    let mut drawn = 20_260_101_u64;
    let mut draw = |below: u64| {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (drawn >> 33) % below
    };
    for step in 0..120_u128 {
        match draw(7) {
            0 | 1 => {
                let owner = if draw(2) == 0 { own } else { Owner::Company(acme) };
                let ends = (ann.shop.app.now() + TimeDelta::hours(1 + draw(60) as i64)).to_rfc3339();
                lots.push(ann.grant(owner, (1 + draw(30) as i64, Some(ends.as_str()).filter(|_| step % 3 > 0), None)).await);
            }
            2 | 3 => {
                let before = ann.balance().await;
                let cost = 1 + draw(20) as i64;
                match ann.spend(source(step), cost, &[acme], &[]).await {
                    Ok(draws) => assert_eq!(draws.iter().map(|draw| draw.count).sum::<i64>(), cost),
                    Err(short) => assert!(short.held >= before && short.held < cost, "{short:?} of {before}"),
                }
            }
            4 => {
                ann.give_back(source(draw(120).into())).await;
            }
            5 if !lots.is_empty() => {
                let lot = lots[draw(lots.len() as u64) as usize];
                let wanted = (draw(2) == 0).then(|| draw(20) as i64);
                ann.take_back(lot, wanted).await;
            }
            _ => ann.shop.pass(TimeDelta::hours(draw(12) as i64)),
        }
        if step % 20 == 19 {
            ann.expire().await;
        }
    }
    let found = verified(&ann).await;
    assert_eq!(found.faults, []);
    assert!(found.entries > 60 && found.lots as usize == lots.len() && found.owners == 2, "{found:?}");
    let (debits, credits) = found.books.values().fold((0, 0), |(debits, credits), book| (debits + book.0, credits + book.1));
    assert!(debits == credits && debits > 0, "{:?}", found.books);
    let held = found.books[&Book::Held];
    let balances = ann.balance().await + ann.holdings(Owner::Company(acme)).await.balance;
    ann.expire().await;
    let left: i64 = ann.left(&lots).await.iter().sum();
    assert!(left == balances && held.1 - held.0 >= left, "what lots hold is what can be spent once all ends are in the books");
    assert_eq!(verified(&ann).await.faults, []);
}

/// A number that somebody changed by hand is found, wherever it stands, and named.
#[tokio::test]
async fn a_fault_that_is_planted_in_the_books_is_found_and_named() {
    let ann = Holder::new().await;
    let (own, acme) = (Owner::Account(ann.account), ann.company(Some(40)).await);
    let lot = ann.grant(own, (10, None, None)).await;
    let theirs = ann.grant(Owner::Company(acme), (20, None, None)).await;
    ann.spend(source(1), 14, &[acme], &[]).await.expect("enough");
    let found = verified(&ann).await;
    assert_eq!((found.faults, found.lots, found.owners, found.entries), (vec![], 2, 2, 4));
    let db = ann.shop.app.db.write();
    let run = async |statement: &str| {
        db.execute_unprepared(statement).await.expect("it can be done by hand");
    };
    for (plant, mend, expected) in [
        (
            "UPDATE credit_account SET balance = balance + 1",
            "UPDATE credit_account SET balance = balance - 1",
            vec!["balance of", "balance of"],
        ),
        (
            "UPDATE credit_lot SET spent = spent - 1 WHERE spent = 10",
            "UPDATE credit_lot SET spent = spent + 1 WHERE spent = 9",
            vec!["kept as 10 granted, 9 spent", "balance of"],
        ),
        (
            "UPDATE credit_lot SET count = count + 5 WHERE count = 20",
            "UPDATE credit_lot SET count = count - 5 WHERE count = 25",
            vec!["by its postings 20 granted, 4 spent", "balance of"],
        ),
        ("UPDATE credit_allowance SET spent = 3", "UPDATE credit_allowance SET spent = 4", vec!["kept as 3, by the entries 4"]),
        (
            "UPDATE credit_entry SET count = 11 WHERE count = 10 AND cause = 'SPENT'",
            "UPDATE credit_entry SET count = 10 WHERE count = 11",
            vec!["says 11, its postings 10"],
        ),
        (
            "UPDATE credit_posting SET count = 9 WHERE count = 10 AND credit = 'SPENT'",
            "UPDATE credit_posting SET count = 10 WHERE count = 9",
            vec!["by its postings 10 granted, 9 spent", "balance of", "says 10, its postings 9"],
        ),
        (
            "UPDATE credit_entry SET cause = 'REVOKED' WHERE cause = 'SPENT' AND count = 10",
            "UPDATE credit_entry SET cause = 'SPENT' WHERE cause = 'REVOKED'",
            vec!["1 postings for REVOKED from HELD to SPENT"],
        ),
    ] {
        run(plant).await;
        let faults: Vec<String> = verified(&ann).await.faults.iter().map(ToString::to_string).collect();
        assert!(
            faults.len() == expected.len() && faults.iter().zip(&expected).all(|(fault, part)| fault.contains(part)),
            "{plant}: {faults:#?}"
        );
        run(mend).await;
        assert_eq!(verified(&ann).await.faults, [], "{mend}");
    }
    let moved = format!("moves {theirs}, which another owner holds");
    let uuid = |id: Uuid| match db.get_database_backend() {
        DbBackend::Postgres => format!("'{id}'"),
        _ => format!("X'{}'", id.simple()),
    };
    run(&format!("UPDATE credit_posting SET lot_id = {} WHERE lot_id = {} AND credit = 'SPENT'", uuid(theirs.uuid()), uuid(lot.uuid())))
        .await;
    let faults: Vec<String> = verified(&ann).await.faults.iter().map(ToString::to_string).collect();
    assert!(faults.iter().any(|fault| fault.contains(&moved)), "{faults:#?}");
}

/// `bursar ledger verify` says what it looked at; with a fault it says which and exits with 1.
#[tokio::test]
async fn ledger_verify_exits_with_1_when_numbers_do_not_agree() {
    let here = Place::new().await;
    let said = here.done(&["ledger", "verify"]).await;
    assert_eq!(said, ["0 entries, 0 lots, 0 balances recomputed"]);
    let embedded = || DbOptions { url: format!("sqlite://{}", here.data().join("bursar.db").display()), pool: 1 };
    let db = Db::connect(&here.database.clone().unwrap_or_else(embedded)).await.expect("the shop's database answers");
    let planted = credit_account::ActiveModel {
        owner_id: Set(source(7)),
        owner_kind: Set("ACCOUNT".to_owned()),
        balance: Set(5),
        created_at: Set(at("2026-01-01T00:00:00Z")),
        touched_at: Set(at("2026-01-01T00:00:00Z")),
    };
    credit_account::Entity::insert(planted).exec_without_returning(db.write()).await.expect("it is planted");
    db.close().await.expect("it closes");
    let output = here.run(&["ledger", "verify"]).await;
    let said = process::text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let owner = AccountId::new(source(7));
    assert!(said.contains(&format!("balance of {owner}: kept as 5, by its lots 0, by its postings 0")), "{said}");
}

const REPORT: &str = "query($filter: CreditReportFilter, $by: CreditReportParts, $first: Int, $after: String) {
    creditReport(filter: $filter, by: $by, first: $first, after: $after) { totalCount pageInfo { hasNextPage endCursor }
        nodes { firstDay product { sku } issued spent expired revoked outstanding } } }";

/// What was issued, spent, expired, taken away and is owed, by month and product, with the sums of the books; ends that no job has booked are told
/// all the same.
#[tokio::test]
async fn the_report_of_credits_adds_up_to_the_books() {
    let ann = Holder::new().await;
    let own = Owner::Account(ann.account);
    let (_, product) = ann.shop.library("LIB", "Library", "20.00 USD", &[&ann.shop.course("Inside").await]).await;
    let product = ProductId::parse(&product).expect("a product's id");
    // January: 100 with the product until 10 February, 30 of them spent; 40 by nobody's.
    let sold = ann.grant(own, (100, Some("2026-02-10T00:00:00Z"), Some(product))).await;
    ann.grant(own, (40, None, None)).await;
    ann.spend(source(1), 30, &[], &[product]).await.expect("enough");
    // February: 10 spent and given back, 20 refunded, and the other 50 end.
    ann.shop.set_time("2026-02-01T00:00:00Z");
    ann.spend(source(2), 10, &[], &[product]).await.expect("enough");
    assert_eq!(ann.give_back(source(2)).await, 10);
    assert_eq!(ann.take_back(sold, Some(20)).await.taken, 20);
    // March: 5 of the others are spent.
    ann.shop.set_time("2026-03-15T12:00:00Z");
    ann.spend(source(3), 5, &[], &[]).await.expect("enough");
    let row = |day: &str, sku: Option<&str>, [issued, spent, expired, revoked, outstanding]: [i64; 5]| {
        json!({ "firstDay": day, "product": sku.map(|sku| json!({ "sku": sku })), "issued": issued, "spent": spent, "expired": expired,
            "revoked": revoked, "outstanding": outstanding })
    };
    let expected = json!([
        row("2026-01-01", None, [40, 0, 0, 0, 40]),
        row("2026-01-01", Some("LIB"), [100, 30, 0, 0, 70]),
        row("2026-02-01", None, [0, 0, 0, 0, 40]),
        row("2026-02-01", Some("LIB"), [0, 0, 50, 20, 0]),
        row("2026-03-01", None, [0, 5, 0, 0, 35]),
    ]);
    let operator = ann.shop.operator();
    let report = async |variables: Value| ann.shop.ok(&operator, REPORT, variables).await["creditReport"].clone();
    let before = report(json!({})).await;
    assert_eq!(before["nodes"], expected, "no job has run");
    ann.shop.jobs().await;
    assert_eq!(report(json!({})).await, before, "and the same with the end in the books");

    let pages = report(json!({ "first": 3 })).await;
    assert_eq!((&pages["totalCount"], pages["nodes"].as_array().map(Vec::len)), (&json!(5), Some(3)));
    let rest = report(json!({ "first": 3, "after": pages["pageInfo"]["endCursor"] })).await;
    assert_eq!(rest["nodes"], json!([expected[3], expected[4]]));
    let one = report(json!({ "filter": { "productId": product.to_string(), "firstDay": "2026-02-01", "lastDay": "2026-02-28" } })).await;
    assert_eq!(one["nodes"], json!([expected[3]]));
    let days = json!({ "filter": { "firstDay": "2026-02-09", "lastDay": "2026-02-10", "productId": product.to_string() }, "by": "DAY" });
    let rows = json!([row("2026-02-09", Some("LIB"), [0, 0, 0, 0, 50]), row("2026-02-10", Some("LIB"), [0, 0, 50, 0, 0])]);
    assert_eq!(report(days).await["nodes"], rows);
    let long = json!({ "filter": { "firstDay": "2020-01-01", "lastDay": "2026-02-10" }, "by": "DAY" });
    assert_eq!(ann.shop.top_level_code(&operator, REPORT, long).await, "BAD_INPUT");

    // Each sum beside the books.
    let books = verified(&ann).await.books;
    let sum = |column: &str| before["nodes"].as_array().expect("rows").iter().filter_map(|row| row[column].as_i64()).sum::<i64>();
    let net = |book: Book| books[&book].1 - books[&book].0;
    assert_eq!(
        (sum("issued"), sum("spent"), sum("expired"), sum("revoked")),
        (-net(Book::Issued), net(Book::Spent), net(Book::Expired), net(Book::Revoked))
    );
    assert_eq!((net(Book::Held), ann.balance().await), (35, 35), "outstanding is what can be spent");
}
