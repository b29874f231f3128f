//! Batches: many codes of one coupon, made in pieces that hold the database for a moment only, and made fewer all at once.
//!
//! Always true here: a batch is promised together with the job that makes its codes, so that a server that dies on the way leaves nothing half
//! done; small ones are made before the caller has the answer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::coupon::Prefix;
use domain::coupon::batch::{self, BatchFacts, BatchRefusal, Pace, Resize};
use domain::{CouponBatchId, CouponId};
use sea_orm::DatabaseTransaction;
use serde_json::json;

use super::caller::{Caller, Topic};
use super::coupon::{Text, Written, object, warnings};
use super::payment::Ran;
use super::{App, Object, entropy};
use crate::error::{Code, Error, Refusal, Result};
use crate::outbox::Job;
use crate::store;
use crate::store::coupon_rule::{NewText, TextKind};

pub use crate::store::coupon_batch::CouponBatch;

/// How long a job makes codes before others have their turn.
const TURN: Duration = Duration::from_millis(500);

/// A batch to be made.
#[derive(Debug, Clone)]
pub struct CouponBatchCreate {
    /// The coupon.
    pub coupon: CouponId,
    /// What its codes begin with; the coupon's own prefix unless given.
    pub prefix: Option<String>,
    /// How many codes.
    pub count: i64,
}

/// What became of a batch, and the codes that were made void for it, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// The batch.
    pub batch: CouponBatch,
    /// Codes that work no more.
    pub voided: Vec<String>,
}

impl App {
    /// Makes a batch of codes: up to ten thousand at once, more of them in the background.
    ///
    /// # Errors
    /// Not for this caller; no such coupon; a number of codes out of range; no prefix, or one that is taken.
    pub async fn coupon_batch_create(&self, caller: &Caller, cmd: CouponBatchCreate) -> Result<Written<CouponBatch>> {
        caller.require(Topic::Coupons.write())?;
        let count = batch::check_count(cmd.count).map_err(Refusal::from)?;
        let prefix = cmd.prefix.as_deref().map(Text::prefix).transpose()?;
        let now = self.now();
        let txn = self.db.begin().await?;
        let coupon = store::coupon_rule::lock(&txn, cmd.coupon).await?.ok_or_else(|| Error::not_found("couponId", "coupon"))?;
        if coupon.archived_at.is_some() {
            return Err(Refusal::from(BatchRefusal::Archived).into());
        }
        let (prefix, new) = self.prefix_of(&txn, cmd.coupon, prefix).await?;
        let batch = CouponBatch {
            id: entropy::next_id(),
            coupon: cmd.coupon,
            prefix,
            count,
            made: 0,
            actor: caller.actor(),
            created_at: now,
            done_at: None,
        };
        store::coupon_batch::insert(&txn, &batch).await?;
        let job = Job::CouponBatch { batch: batch.id.uuid() };
        self.enqueue(&txn, &job, batch.id.uuid(), now).await?;
        self.audit(&txn, caller, "couponBatchCreate", object(cmd.coupon), None, Some(json!(batch))).await?;
        txn.commit().await?;
        let warnings = warnings(&coupon.rules, new.as_slice());
        Ok(Written { value: self.made(batch, count).await?, warnings })
    }

    /// The prefix that a batch of a coupon gets, and that it is new if it is.
    async fn prefix_of(&self, txn: &DatabaseTransaction, coupon: CouponId, given: Option<Text>) -> Result<(String, Option<Text>)> {
        if let Some(prefix) = given {
            let mut held = store::coupon_rule::chosen(txn, &[coupon]).await?.remove(&coupon).unwrap_or_default().into_iter();
            let known = held.find(|text| text.kind == TextKind::Prefix && domain::text::fold(&text.text) == prefix.key());
            return Ok(match known {
                Some(known) => (known.text, None),
                None => {
                    self.give_texts(txn, coupon, std::slice::from_ref(&prefix)).await?;
                    (prefix.text().to_owned(), Some(prefix))
                }
            });
        }
        let held = store::coupon_rule::chosen(txn, &[coupon]).await?.remove(&coupon).unwrap_or_default();
        match held.into_iter().find(|text| text.kind == TextKind::Prefix) {
            Some(prefix) => Ok((prefix.text, None)),
            None => {
                Err(Error::refused(Code::Required, ["prefix"], "The coupon has no prefix yet; give the one that its codes begin with."))
            }
        }
    }

    /// The batch once its codes are made, where the caller waits for so many; else as it is.
    async fn made(&self, batch: CouponBatch, lacking: u32) -> Result<CouponBatch> {
        if !batch::made_at_once(lacking) {
            self.woken();
            return Ok(batch);
        }
        self.drain(batch.id.uuid()).await;
        // Read where it was written: other connections may not see it yet.
        Ok(store::coupon_batch::by_ids(self.db.write(), &[batch.id]).await?.pop().unwrap_or(batch))
    }

    /// Goes on making the codes of a batch, piece by piece, for a while.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn coupon_batch_go_on(&self, id: CouponBatchId) -> Result<Ran> {
        let (began, mut pace) = (Instant::now(), Pace::default());
        loop {
            // Drawn before the database is held.
            let mut random = vec![0; 8 * pace.next(u32::MAX) as usize];
            self.entropy.fill(&mut random);
            let txn = self.db.begin().await?;
            let held = Instant::now();
            let Some(mut batch) = store::coupon_batch::lock(&txn, id).await? else { return Ok(Ran::Done) };
            let left = batch.count.saturating_sub(batch.made);
            if left == 0 {
                return Ok(Ran::Done);
            }
            let prefix = Prefix::parse(&batch.prefix).map_err(|reason| crate::internal!("the prefix of a batch: {reason}"))?;
            let codes = random.chunks_exact(8).take(pace.next(left) as usize).map(|bytes| {
                let text = prefix.code(bytes.iter().fold(0, |drawn, byte| drawn << 8 | u64::from(*byte)));
                let key = domain::text::fold(&text);
                NewText { id: entropy::next_id(), coupon: batch.coupon, batch: Some(id), kind: TextKind::Code, text, key }
            });
            let codes: Vec<NewText> = codes.collect();
            let now = self.now();
            // A code that exists already is left out here and drawn again with the next piece.
            let written = store::coupon_rule::insert_texts(&txn, &codes, now).await?;
            batch.made += u32::try_from(written).map_err(|_| crate::internal!("a piece of {written} codes"))?;
            batch.done_at = (batch.made >= batch.count).then_some(now);
            store::coupon_batch::update(&txn, &batch).await?;
            txn.commit().await?;
            if batch.done_at.is_some() {
                return Ok(Ran::Done);
            }
            pace = pace.after(held.elapsed());
            if began.elapsed() > TURN {
                tracing::debug!(batch = %id, made = batch.made, count = batch.count, "codes are being made");
                return Ok(Ran::Again(now));
            }
        }
    }

    /// Gives a batch another number of codes: more are made, or the newest free ones become void. Used and held ones never do.
    ///
    /// # Errors
    /// Not for this caller; no such batch; a number out of range; [`Code::BatchTooFewFree`]; [`Code::BatchUnderWay`].
    pub async fn coupon_batch_resize(&self, caller: &Caller, id: CouponBatchId, count: i64) -> Result<Resized> {
        caller.require(Topic::Coupons.write())?;
        let now = self.now();
        let txn = self.db.begin().await?;
        let held = store::coupon_batch::lock(&txn, id).await?.ok_or_else(|| Error::not_found("batchId", "batch"))?;
        let free = store::coupon_batch::free(&txn, id).await?;
        let facts = BatchFacts { count: held.count, made: held.made, free };
        let mut batch = held.clone();
        let (mut voided, mut lacking) = (Vec::new(), 0);
        match batch::resize(&facts, count).map_err(Refusal::from)? {
            Resize::Nothing => return Ok(Resized { batch, voided }),
            Resize::Make(more) => {
                let coupon = store::coupon::by_ids(&txn, &[batch.coupon]).await?.pop();
                if coupon.is_none_or(|coupon| coupon.archived_at.is_some()) {
                    return Err(Refusal::from(BatchRefusal::Archived).into());
                }
                lacking = more;
                batch.count += more;
                batch.done_at = None;
                self.enqueue(&txn, &Job::CouponBatch { batch: id.uuid() }, id.uuid(), now).await?;
            }
            Resize::Void(surplus) => {
                voided = store::coupon_batch::make_void(&txn, id, surplus, now).await?;
                let free = u32::try_from(voided.len()).map_err(|_| crate::internal!("{} codes became void", voided.len()))?;
                if free < surplus {
                    // Buyers took some of them meanwhile. Leaving without a commit gives the others back.
                    return Err(Refusal::from(batch::too_few(&BatchFacts { free, ..facts }, surplus)).into());
                }
                batch.made -= surplus;
                batch.count = batch.made;
            }
        }
        store::coupon_batch::update(&txn, &batch).await?;
        let told = json!({ "batch": batch, "voided": voided.len() });
        self.audit(&txn, caller, "couponBatchResize", Object::new("couponBatch", id.uuid()), Some(json!(held)), Some(told)).await?;
        txn.commit().await?;
        if lacking > 0 {
            batch = self.made(batch, lacking).await?;
        }
        Ok(Resized { batch, voided })
    }

    /// The batches of these coupons in order of making, for lists inside of what the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn coupon_batches_of(&self, coupons: &[CouponId]) -> Result<HashMap<CouponId, Vec<CouponBatch>>> {
        Ok(store::coupon_batch::of_coupons(self.db.read(), coupons).await?)
    }

    /// The batches with these ids, for those who may read them.
    ///
    /// # Errors
    /// The database's.
    pub async fn coupon_batches_by_id(&self, ids: &[CouponBatchId]) -> Result<HashMap<CouponBatchId, CouponBatch>> {
        Ok(store::coupon_batch::by_ids(self.db.read(), ids).await?.into_iter().map(|batch| (batch.id, batch)).collect())
    }
}
