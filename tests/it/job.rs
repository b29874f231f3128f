//! Leases of jobs: a dead process's jobs are soon another's, and a living one keeps what it has in hand for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bursar::outbox::{Job, Lane, enqueue};
use bursar::store::job::claim;
use chrono::TimeDelta;
use entity::job;
use port::{Descriptor, GatewayError, OpContext, PaymentGateway, PaymentRef, Snapshot, StartPayment, Started};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;
use tokio::sync::Notify;

use crate::util::{TestApp, amount};

/// The job of a process that was killed is run by another one within half a minute.
#[tokio::test]
async fn a_dead_processs_job_is_anothers_within_half_a_minute() {
    let shop = TestApp::new().await;
    // What comes round every hour is out of the way.
    shop.jobs().await;
    let (id, now) = (bursar::app::entropy::next_uuid(), shop.app.now());
    // Of an order that is not there, so that there is nothing to do.
    let job = Job::LapseOrder { order: id };
    enqueue(shop.app.db.write(), id, &job, id.to_string(), now, now).await.expect("it waits");
    let lease = bursar::app::job::LEASE;
    assert!(lease <= TimeDelta::seconds(30));
    assert_eq!(claim(shop.app.db.write(), "killed", Lane::Inside, None, now, lease, 1).await.expect("claimed").len(), 1);
    let ran = async || shop.app.run_due_jobs().await.expect("the jobs run");
    assert_eq!(ran().await, 0);
    shop.pass(lease - TimeDelta::seconds(1));
    assert_eq!(ran().await, 0, "it could be alive");
    shop.pass(TimeDelta::seconds(1));
    assert_eq!(ran().await, 1);
}

/// A gateway that takes its time.
#[derive(Debug)]
struct Slow(Arc<dyn PaymentGateway>, Arc<Notify>);

#[async_trait]
impl PaymentGateway for Slow {
    fn descriptor(&self) -> Descriptor {
        self.0.descriptor()
    }

    async fn start(&self, ctx: &OpContext, request: StartPayment) -> Result<Started, GatewayError> {
        self.1.notified().await;
        self.0.start(ctx, request).await
    }

    async fn fetch(&self, ctx: &OpContext, payment: &PaymentRef) -> Result<Snapshot, GatewayError> {
        self.0.fetch(ctx, payment).await
    }

    async fn check(&self, ctx: &OpContext) -> Result<(), GatewayError> {
        self.0.check(ctx).await
    }
}

/// A job that takes longer than a lease stays in the hands that have it.
#[tokio::test]
async fn a_job_that_takes_long_stays_in_hand() {
    let go_on = Arc::new(Notify::new());
    let slow = go_on.clone();
    let shop = TestApp::with_gateways(move |gateways| {
        let sandbox = gateways.0[0].gateway.clone();
        gateways.0[0].gateway = Arc::new(Slow(sandbox, slow));
    })
    .await;
    // What comes round every hour is out of the way.
    shop.jobs().await;
    shop.shelf("L-1", "55.00", &["Rust"]).await;
    let (cart, secret) = shop.guest_cart(&["L-1"]).await;
    let guest = shop.guest_with(&secret);
    shop.act(&guest, "cartBuyerSet", json!({ "cartId": cart, "email": "ann@example.test" }), "").await;
    let input = json!({ "cartId": cart, "paymentMethod": { "gateway": "sandbox", "token": "approve" },
        "expectedTotal": amount("55.00 USD"), "idempotencyKey": "k" });
    let placing = shop.act(&guest, "orderPlace", input, "order { status }");
    let watching = async {
        let begun = loop {
            let job = job::Entity::find().filter(job::Column::Kind.eq("StartPayment")).one(shop.app.db.read()).await.expect("it is read");
            if let Some(lease) = job.and_then(|job| job.lease_until) {
                break lease;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        shop.pass(bursar::app::job::LEASE - TimeDelta::seconds(1));
        let renewed = async {
            loop {
                let job =
                    job::Entity::find().filter(job::Column::Kind.eq("StartPayment")).one(shop.app.db.read()).await.expect("it is read");
                if job.and_then(|job| job.lease_until).is_some_and(|until| until > begun) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(11), renewed).await.expect("the lease is renewed in time");
        shop.pass(bursar::app::job::LEASE - TimeDelta::seconds(1));
        assert_eq!(shop.app.run_due_jobs().await.expect("nobody fails"), 0, "nobody else takes it");
        go_on.notify_one();
    };
    let (placed, ()) = tokio::join!(placing, watching);
    assert_eq!(placed["order"]["status"], "FULFILLED");
}
