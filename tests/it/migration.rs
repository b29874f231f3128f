//! The tables: every step can be taken back and done again with rows in them, once by however many processes; many writers wait for one another.

use bursar::start::{migrate_down, migrate_up, steps};
use bursar::store::{Db, DbOptions};
use entity::{account, audit, job, order, order_line, payment, person, product_price};
use futures_util::future::join_all;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::util::{self, TestApp, amount};

/// A shop with rows in its tables: the demo, a paid order, a refund, accounts, keys, jobs, the audit log.
async fn lived_in() -> TestApp {
    let shop = TestApp::new().await;
    shop.app.seed_demo().await.expect("an empty shop takes the demo");
    let (cart, secret) = shop.guest_cart(&["RUST-PATH"]).await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "ann@example.test", "name": "Ann" }), "").await;
    let input = json!({
        "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": amount("149.00 USD"), "idempotencyKey": "once",
    });
    let order = shop.act(&guest, "orderPlace", input, "order { id status lines { id } }").await["order"].clone();
    assert_eq!(order["status"], "FULFILLED");
    let lines = json!([{ "orderLineId": order["lines"][0]["id"], "amount": amount("9.00 USD") }]);
    let input = json!({ "orderId": order["id"], "lines": lines, "reason": "goodwill", "idempotencyKey": "back" });
    shop.act(&shop.operator(), "orderRefund", input, "").await;
    shop.jobs().await;
    shop
}

/// Rows of some tables of each step, first step first.
async fn rows(db: &Db) -> Vec<u64> {
    async fn count<E: EntityTrait>(db: &Db) -> u64
    where
        E::Model: Send + Sync,
        sea_orm::Select<E>: for<'a> PaginatorTrait<'a, sea_orm::DatabaseConnection>,
    {
        PaginatorTrait::count(E::find(), db.read()).await.expect("the table can be read")
    }
    vec![
        count::<person::Entity>(db).await,
        count::<account::Entity>(db).await,
        count::<product_price::Entity>(db).await,
        count::<order::Entity>(db).await,
        count::<order_line::Entity>(db).await,
        count::<payment::Entity>(db).await,
        count::<job::Entity>(db).await,
        count::<audit::Entity>(db).await,
    ]
}

#[tokio::test]
async fn every_step_goes_down_and_up_again_with_rows_in_the_tables() {
    let shop = lived_in().await;
    let db = &shop.app.db;
    let before = rows(db).await;
    assert!(before.iter().all(|count| *count > 0), "there is something to lose in each: {before:?}");

    // One step at a time, so that each is undone where the ones before it still hold rows.
    let all: Vec<String> = steps(db).await.expect("the steps are read").into_iter().map(|step| step.name).collect();
    for name in all.iter().rev() {
        assert_eq!(migrate_down(db, 1).await.expect("it is taken back"), std::slice::from_ref(name));
    }
    assert!(steps(db).await.expect("the steps are read").iter().all(|step| !step.applied));
    assert_eq!(migrate_up(db).await.expect("the tables come back"), all);
    assert_eq!(rows(db).await, vec![0; before.len()]);
    assert!(migrate_up(db).await.expect("there is nothing to do").is_empty());

    // And the shop lives again, in the same tables.
    shop.app.open_installation().await.expect("an installation like the first");
    assert!(shop.app.seed_demo().await.expect("an empty shop takes the demo"));
    assert_eq!(rows(db).await[2], before[2]);
}

/// A step that is taken back and done again leaves the other tables' rows alone.
#[tokio::test]
async fn the_last_step_down_and_up_keeps_the_rows_of_the_others() {
    let shop = lived_in().await;
    let db = &shop.app.db;
    let before = rows(db).await;
    let last = migrate_down(db, 1).await.expect("it is taken back");
    assert_eq!(migrate_up(db).await.expect("it is done again"), last);
    let after = rows(db).await;
    assert_eq!(after[..6], before[..6], "{last:?} holds jobs and the audit log alone");
}

#[tokio::test]
async fn programs_that_bring_tables_up_to_date_at_once_do_each_step_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = empty(&dir).await;
    let databases = join_all((0..4).map(|_| Db::connect(&options))).await;
    let databases: Vec<Db> = databases.into_iter().map(|db| db.expect("the database answers")).collect();
    let done = join_all(databases.iter().map(migrate_up)).await;
    let done: Vec<Vec<String>> = done.into_iter().map(|names| names.expect("nobody fails")).collect();
    let all = steps(&databases[0]).await.expect("the steps are read").len();
    assert_eq!(done.iter().map(Vec::len).filter(|count| *count > 0).collect::<Vec<_>>(), [all], "one did all, the others none");
}

async fn empty(dir: &TempDir) -> DbOptions {
    let embedded = || DbOptions { url: format!("sqlite://{}", dir.path().join("bursar.db").display()), pool: 2 };
    util::empty_postgres().await.unwrap_or_else(embedded)
}

/// 64 writers at once in two processes, some in long transactions: each waits for its turn, none is told that the database is locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_writers_at_once_never_find_the_database_locked() {
    let shop = TestApp::new().await;
    let other = shop.another().await;
    let create = |number: usize| {
        let app = if number.is_multiple_of(2) { shop.app.clone() } else { other.clone() };
        let operator = shop.operator();
        tokio::spawn(async move {
            for round in 0..3 {
                let cmd = bursar::app::catalog::ProviderSet { name: Some(format!("Provider {number}-{round}")), ..Default::default() };
                app.provider_set(&operator, cmd).await.expect("a writer waits for its turn");
            }
        })
    };
    for writer in join_all((0..64).map(create)).await {
        writer.expect("no writer fails");
    }
    let data = shop.ok(&shop.operator(), "{ providers { totalCount } auditLog { totalCount } }", json!({})).await;
    assert_eq!(data["providers"]["totalCount"], 192);
    assert_eq!(data["auditLog"]["totalCount"], Value::from(192), "each change with its entry, none twice");
}
