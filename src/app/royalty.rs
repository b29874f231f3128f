//! Royalties: licensors and plans, what a sale owes, what of it refunds and lost disputes reverse, what people set instead, and the periods of
//! the books.
//!
//! Always true here: entries are added in the transaction of what they tell of, and what a closed period says stays.

use std::collections::HashMap;

use domain::entitlement::Target;
use domain::payment::{DisputeStatus, disputed};
use domain::refund::{Access, RefundStatus};
use domain::royalty::{
    Change, EntryKind, Gone, Originator, PaidLine, Period, Plan, PlanRate, Recommended, Sale, SaleChannel, SoldBy, gone,
};
use domain::{CompanyId, LibraryId, LicensorId, Money, OrderLineId, ProductId, RoyaltyPlanId, text};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::payment::{Order, OrderLine, money_fault};
use super::sales_order::{SalesLine, SalesOrder};
use super::{Answer, App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::internal;
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::idempotency::Scope;
use crate::store::page::Key;

pub use crate::store::royalty::{Entry, Licensor, NamedPlan, Sold};

/// Most characters of a reason.
const MAX_REASON: usize = 1_000;

/// A licensor to be made or renamed.
#[derive(Debug, Clone)]
pub struct LicensorSet {
    /// The one to change; `None` makes a new one.
    pub id: Option<LicensorId>,
    /// Its name.
    pub name: String,
}

/// A plan to be made or changed.
#[derive(Debug, Clone)]
pub struct RoyaltyPlanSet {
    /// The one to change; `None` makes a new one.
    pub id: Option<RoyaltyPlanId>,
    /// Its name.
    pub name: String,
    /// Who is owed.
    pub licensor: LicensorId,
    /// How much.
    pub rates: Vec<PlanRate>,
}

/// Another royalty for a sold line than was recommended.
#[derive(Debug, Clone)]
pub struct RoyaltyOverrideSet {
    /// What kind of line it is.
    pub by: SoldBy,
    /// The line.
    pub line: Uuid,
    /// The royalty for the whole line.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// Key of this request.
    pub idempotency_key: String,
}

/// What is sold, for a recommendation.
#[derive(Debug, Clone, Copy)]
pub struct Selling {
    /// What it opens, if anything; only libraries owe royalties.
    pub target: Option<Target>,
    /// Units.
    pub quantity: u32,
    /// The line after discounts, before tax.
    pub net: Money,
}

/// A sold line that owes what was recommended for it.
#[derive(Debug, Clone)]
pub struct NewSale {
    /// What kind of line it is.
    pub by: SoldBy,
    /// The line.
    pub line: Uuid,
    /// What was recommended when it was sold.
    pub recommended: Recommended,
    /// The company concerned.
    pub company: Option<CompanyId>,
    /// Number of the order.
    pub reference: String,
    /// Product.
    pub product: ProductId,
    /// SKU then.
    pub sku: String,
    /// Title then.
    pub title: String,
    /// Product code then.
    pub product_code: Option<String>,
    /// Units.
    pub quantity: u32,
    /// The line after discounts, before tax.
    pub net: Money,
}

/// A sold line with what it owes.
#[derive(Debug, Clone)]
pub struct Royalty {
    /// The line as it was sold.
    pub sold: Sold,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// The royalty that holds for the whole line.
    pub applied: Money,
    /// What is owed: that, less what of it was reversed.
    pub owed: Money,
}

/// What a licensor is owed for a period.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Who is owed.
    pub licensor: Licensor,
    /// The month.
    pub period: Period,
    /// Whether it stays as it is.
    pub closed: bool,
    /// What was sold, less what went back, by currency.
    pub nets: Vec<Money>,
    /// What is owed, by currency.
    pub royalties: Vec<Money>,
}

/// Licensors and plans.
impl App {
    /// Makes a licensor, or renames one.
    ///
    /// # Errors
    /// Not for this caller; no such licensor; a name that another one has.
    pub async fn licensor_set(&self, caller: &Caller, cmd: LicensorSet) -> Result<Licensor> {
        caller.require(Topic::Prices.write())?;
        let name = text::name(&cmd.name).map_err(|reason| Refusal::from(reason).under(["name"]))?;
        let (txn, _) = self.begin_catalog().await?;
        let held = match cmd.id {
            None => None,
            Some(id) => {
                let held = store::royalty::licensors(&txn, &[id]).await?.pop();
                Some(held.ok_or_else(|| Error::not_found("id", "licensor"))?)
            }
        };
        if store::royalty::licensor_named(&txn, &name).await?.is_some_and(|other| Some(other) != cmd.id) {
            let message = "Another licensor has this name; give another name, or its id to change that one.";
            return Err(Error::refused(Code::NameTaken, ["name"], message));
        }
        let licensor = match &held {
            Some(held) => Licensor { name, ..held.clone() },
            None => Licensor { id: entropy::next_id(), name, created_at: self.now() },
        };
        match &held {
            None => store::royalty::insert_licensor(&txn, &licensor).await?,
            Some(_) => store::royalty::rename_licensor(&txn, licensor.id, &licensor.name).await?,
        }
        if held.as_ref() != Some(&licensor) {
            let object = Object::new("licensor", licensor.id.uuid());
            self.audit(&txn, caller, "licensorSet", object, held.map(|held| json!(held)), Some(json!(licensor))).await?;
        }
        txn.commit().await?;
        Ok(licensor)
    }

    /// Makes a royalty plan, or changes one for sales from now on; what it said before is kept.
    ///
    /// # Errors
    /// Not for this caller; no such plan or licensor; a name that another one has; rates that say nothing, or two things at once.
    pub async fn royalty_plan_set(&self, caller: &Caller, cmd: RoyaltyPlanSet) -> Result<NamedPlan> {
        caller.require(Topic::Prices.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let name = faults.at("name", text::name(&cmd.name));
        let plan = faults.of(Plan::new(cmd.rates));
        let (Some(name), Some(plan)) = (name, plan) else { return Err(faults.into()) };
        let (txn, _) = self.begin_catalog().await?;
        let held = match cmd.id {
            None => None,
            Some(id) => {
                let held = store::royalty::plans(&txn, &[id]).await?.pop();
                Some(held.ok_or_else(|| Error::not_found("id", "royalty plan"))?)
            }
        };
        if store::royalty::licensors(&txn, &[cmd.licensor]).await?.is_empty() {
            return Err(Error::not_found("licensorId", "licensor"));
        }
        if store::royalty::plan_named(&txn, &name).await?.is_some_and(|other| Some(other) != cmd.id) {
            let message = "Another royalty plan has this name; give another name, or its id to change that one.";
            return Err(Error::refused(Code::NameTaken, ["name"], message));
        }
        let id = cmd.id.unwrap_or_else(entropy::next_id);
        match &held {
            None => store::royalty::insert_plan(&txn, id, &name, now).await?,
            Some(held) if held.name != name => store::royalty::rename_plan(&txn, id, &name).await?,
            Some(_) => {}
        }
        if held.as_ref().is_none_or(|held| (held.licensor, &held.plan) != (cmd.licensor, &plan)) {
            store::royalty::set_plan(&txn, entropy::next_uuid(), id, cmd.licensor, &plan, &caller.actor(), now).await?;
        }
        let fresh = store::royalty::plans(&txn, &[id]).await?.pop().ok_or_else(|| internal!("the royalty plan {id} is gone"))?;
        if held.as_ref() != Some(&fresh) {
            let object = Object::new("royaltyPlan", id.uuid());
            self.audit(&txn, caller, "royaltyPlanSet", object, held.map(|held| json!(held)), Some(json!(fresh))).await?;
        }
        txn.commit().await?;
        Ok(fresh)
    }

    /// The licensors with these ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn licensors_by_id(&self, ids: &[LicensorId]) -> Result<HashMap<LicensorId, Licensor>> {
        Ok(store::royalty::licensors(self.db.read(), ids).await?.into_iter().map(|found| (found.id, found)).collect())
    }

    /// The royalty plans with these ids, as they are now.
    ///
    /// # Errors
    /// The database's.
    pub async fn royalty_plans_by_id(&self, ids: &[RoyaltyPlanId]) -> Result<HashMap<RoyaltyPlanId, NamedPlan>> {
        Ok(store::royalty::plans(self.db.read(), ids).await?.into_iter().map(|found| (found.id, found)).collect())
    }

    /// A page of licensors by name.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn licensors(
        &self,
        caller: &Caller,
        words: &[String],
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Licensor>> {
        caller.require(Topic::Prices.read())?;
        Ok(store::royalty::licensor_page(self.db.read(), words, args, with_total).await?)
    }

    /// A page of royalty plans by name.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn royalty_plans(
        &self,
        caller: &Caller,
        words: &[String],
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<NamedPlan>> {
        caller.require(Topic::Prices.read())?;
        Ok(store::royalty::plan_page(self.db.read(), words, args, with_total).await?)
    }
}

/// What sales owe.
impl App {
    /// What is owed for each of these lines by the plans of now, in one statement; `None`: nothing.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn royalties_recommended(
        &self,
        db: &impl ConnectionTrait,
        originator: Originator,
        channel: SaleChannel,
        lines: &[Selling],
    ) -> Result<Vec<Option<Recommended>>> {
        let library = |line: &Selling| match line.target {
            Some(Target::Library(library)) => Some(library),
            _ => None,
        };
        let mut libraries: Vec<LibraryId> = lines.iter().filter_map(library).collect();
        libraries.sort_unstable();
        libraries.dedup();
        let plans = store::royalty::plans_of_libraries(db, &libraries).await?;
        let recommended = |line: &Selling| {
            let Some((plan, licensor, rates)) = library(line).and_then(|library| plans.get(&library)) else { return Ok(None) };
            let sale = Sale { originator, channel, quantity: line.quantity, net: line.net };
            let found = rates.recommend(&sale).map_err(money_fault)?;
            Ok(found.map(|(rule, amount)| Recommended { plan: *plan, licensor: *licensor, originator, channel, rule, amount }))
        };
        lines.iter().map(recommended).collect()
    }

    /// Enters what these lines owe. The caller holds the order that they belong to; a line that is entered already stays as it is.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn royalties_record(&self, txn: &DatabaseTransaction, sales: Vec<NewSale>) -> Result<()> {
        if sales.is_empty() {
            return Ok(());
        }
        let lines: Vec<Uuid> = sales.iter().map(|sale| sale.line).collect();
        let known: Vec<Uuid> = store::royalty::sold_by_lines(txn, &lines).await?.into_iter().map(|sold| sold.line).collect();
        let sold: Vec<Sold> = sales.into_iter().filter(|sale| !known.contains(&sale.line)).map(sold).collect();
        store::royalty::insert_sold(txn, &sold).await?;
        let change = |sold: &Sold| Change {
            kind: EntryKind::Sale,
            applied: sold.recommended,
            gone: Gone::NOTHING,
            amount: sold.recommended,
            net: sold.net,
        };
        let changes = sold.iter().map(|sold| (sold, 0, change(sold))).collect();
        self.royalties_enter(txn, changes, &Caller::system().actor(), None).await
    }

    /// Enters what is owed more or less for lines of which more or less of the money is gone than when that was last looked at. Lines that owe
    /// nothing are passed over. The caller holds the order that they belong to.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn royalties_follow(
        &self,
        txn: &DatabaseTransaction,
        by: SoldBy,
        gone: &HashMap<Uuid, Gone>,
        cause: &str,
    ) -> Result<()> {
        let lines: Vec<Uuid> = gone.keys().copied().collect();
        let sold = store::royalty::lock_sold(txn, by, &lines).await?;
        let entries = store::royalty::entries_of(txn, &sold.iter().map(|sold| sold.id).collect::<Vec<_>>()).await?;
        let mut changes = Vec::new();
        for sold in &sold {
            let (Some(entries), Some(gone)) = (entries.get(&sold.id), gone.get(&sold.line)) else { continue };
            let account = store::royalty::account(sold, entries)?;
            if let Some(change) = account.follow(*gone).map_err(money_fault)? {
                changes.push((sold, next_place(entries)?, change));
            }
        }
        self.royalties_enter(txn, changes, &Caller::system().actor(), Some(cause)).await
    }

    async fn royalties_enter(
        &self,
        txn: &DatabaseTransaction,
        changes: Vec<(&Sold, i32, Change)>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let period = Period::of(now, self.shop.time_zone).open(store::royalty::open_through(txn).await?);
        let entries: Vec<Entry> = changes
            .into_iter()
            .map(|(sold, place, change)| Entry {
                id: entropy::next_uuid(),
                sold: sold.id,
                place,
                licensor: sold.licensor,
                period,
                change,
                actor: actor.to_owned(),
                reason: reason.map(ToOwned::to_owned),
                recorded_at: now,
            })
            .collect();
        Ok(store::royalty::insert_entries(txn, &entries).await?)
    }

    /// Enters what the lines of an order owe, once it is fulfilled, and what of it refunds before that have reversed. The caller holds the
    /// order's row.
    pub(super) async fn order_royalties_record(&self, txn: &DatabaseTransaction, order: &Order) -> Result<()> {
        let sale = |line: &OrderLine| {
            Some(NewSale {
                by: SoldBy::OrderLine,
                line: line.id.uuid(),
                recommended: line.royalty?,
                company: order.company,
                reference: order.number.clone(),
                product: line.product,
                sku: line.sku.clone(),
                title: line.title.clone(),
                product_code: line.product_code.clone(),
                quantity: line.quantity,
                net: line.amounts.net,
            })
        };
        self.royalties_record(txn, order.lines.iter().filter_map(sale).collect()).await?;
        self.order_royalties_follow(txn, order, "money that went back before it was given").await
    }

    /// Enters what is owed more or less for an order's lines as its refunds and disputes stand now. Before the order is fulfilled there is
    /// nothing to follow. The caller holds the order's row.
    pub(super) async fn order_royalties_follow(&self, txn: &DatabaseTransaction, order: &Order, cause: &str) -> Result<()> {
        if order.lines.iter().all(|line| line.royalty.is_none()) {
            return Ok(());
        }
        let refunds = store::payment::refunds_of(txn, &[order.id]).await?.remove(&order.id).unwrap_or_default();
        let (mut refunded, mut ended): (HashMap<OrderLineId, Money>, Vec<OrderLineId>) = (HashMap::new(), Vec::new());
        let back = refunds.iter().filter(|refund| refund.status == RefundStatus::Succeeded);
        for line in back.flat_map(|refund| &refund.lines) {
            let sum = refunded.entry(line.line).or_insert(Money::zero(order.currency));
            *sum = sum.add(line.amount).map_err(money_fault)?;
            if line.access == Access::End {
                ended.push(line.line);
            }
        }
        let disputes = match order.paid_payment {
            Some(payment) => store::payment::disputes_of(txn, &[payment]).await?,
            None => Vec::new(),
        };
        let lost = disputes.iter().filter(|dispute| dispute.status == DisputeStatus::Lost);
        // One in another currency than the order's takes all of it, as it does of what can be refunded.
        let lost = disputed(order.totals.total, lost.map(|dispute| (dispute.status, dispute.amount))).map_err(money_fault)?;
        let paid: Vec<PaidLine> = order
            .lines
            .iter()
            .map(|line| PaidLine {
                total: line.amounts.total,
                refunded: refunded.get(&line.id).copied().unwrap_or(Money::zero(order.currency)),
                ended: ended.contains(&line.id),
            })
            .collect();
        let gone = gone(order.currency, &paid, lost).map_err(money_fault)?;
        let gone = order.lines.iter().zip(gone).filter(|(line, _)| line.royalty.is_some());
        let gone = gone.map(|(line, gone)| (line.id.uuid(), gone)).collect();
        self.royalties_follow(txn, SoldBy::OrderLine, &gone, cause).await
    }

    /// Enters what the lines of a sales order owe, once its seats are given, or billed if they were taken beyond those that were bought, and what of
    /// it seats that went back before have reversed. The caller holds the order's row.
    pub(super) async fn sales_royalties_record(&self, txn: &DatabaseTransaction, order: &SalesOrder) -> Result<()> {
        let selling = |line: &SalesLine| Selling { target: Some(line.target), quantity: line.quantity, net: line.amounts.net };
        let selling: Vec<Selling> = order.lines.iter().map(selling).collect();
        let recommended = self.royalties_recommended(txn, order.originator, SaleChannel::SalesOrder, &selling).await?;
        let sale = |(line, recommended): (&SalesLine, Option<Recommended>)| {
            Some(NewSale {
                by: SoldBy::SalesLine,
                line: line.id.uuid(),
                recommended: recommended?,
                company: Some(order.company),
                reference: order.number.clone(),
                product: line.product,
                sku: line.sku.clone(),
                title: line.title.clone(),
                product_code: line.product_code.clone(),
                quantity: line.quantity,
                net: line.amounts.net,
            })
        };
        self.royalties_record(txn, order.lines.iter().zip(recommended).filter_map(sale).collect()).await?;
        self.sales_royalties_follow(txn, order, "seats that went back before they were given").await
    }

    /// Enters what is owed less for a sales order's lines as its credit entries stand now. The caller holds the order's row.
    pub(super) async fn sales_royalties_follow(&self, txn: &DatabaseTransaction, order: &SalesOrder, cause: &str) -> Result<()> {
        let mut gone = HashMap::new();
        for line in order.lines.iter().filter(|line| line.credited_quantity > 0) {
            let (part, whole) = match line.amounts.total.minor {
                0 => (i64::from(line.credited_quantity), i64::from(line.quantity)),
                total => (line.credited.minor, total),
            };
            gone.insert(line.id.uuid(), Gone::of(part, whole).map_err(money_fault)?);
        }
        self.royalties_follow(txn, SoldBy::SalesLine, &gone, cause).await
    }

    /// Sets another royalty for a sold line than was recommended. The price stays what it is, and what was recommended is kept.
    ///
    /// # Errors
    /// Not for this caller; [`Code::NoRoyalty`]; an amount in another currency, below zero or out of range; no reason.
    pub async fn royalty_override_set(&self, caller: &Caller, cmd: RoyaltyOverrideSet) -> Result<Answer<Royalty>> {
        caller.require(Topic::Sales.write())?;
        let reason = text::line("reason", &cmd.reason, MAX_REASON).map_err(|reason| Refusal::from(reason).under(["reason"]))?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "royaltyOverrideSet", key: &cmd.idempotency_key };
        let txn = self.db.begin().await?;
        let input = json!({ "by": cmd.by, "line": cmd.line, "amount": cmd.amount, "reason": reason });
        let replayed = self.claim(&txn, &scope, &input).await?.is_some();
        if !replayed {
            let sold = store::royalty::lock_sold(&txn, cmd.by, &[cmd.line]).await?.pop().ok_or_else(|| {
                let message = "No royalty is recorded for this line: its library had no plan for such a sale, or it is not given yet. \
                               Check the id, or try again once the sale is complete.";
                Error::refused(Code::NoRoyalty, ["lineId"], message)
            })?;
            let entries = store::royalty::entries_of(&txn, &[sold.id]).await?.remove(&sold.id).unwrap_or_default();
            let account = store::royalty::account(&sold, &entries)?;
            let change = account.set(cmd.amount).map_err(Refusal::from)?;
            if change.applied != account.applied {
                self.royalties_enter(&txn, vec![(&sold, next_place(&entries)?, change)], &actor, Some(&reason)).await?;
                let object = Object { kind: "royalty", id: cmd.line, company: None };
                let (old, new) = (json!({ "applied": account.applied }), json!({ "applied": change.applied, "reason": reason }));
                self.audit(&txn, caller, "royaltyOverrideSet", object, Some(old), Some(new)).await?;
            }
            store::idempotency::finish(&txn, &scope, json!(cmd.line)).await?;
        }
        txn.commit().await?;
        let found = self.royalties_of(&[cmd.line]).await?.remove(&cmd.line);
        let value = found.ok_or_else(|| internal!("the royalty of the line {} is gone", cmd.line))?;
        Ok(Answer { value, replayed })
    }

    /// What each of these lines owes; lines that owe nothing are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn royalties_of(&self, lines: &[Uuid]) -> Result<HashMap<Uuid, Royalty>> {
        let db = &self.db.reading().await?;
        let sold = store::royalty::sold_by_lines(db, lines).await?;
        let mut entries = store::royalty::entries_of(db, &sold.iter().map(|sold| sold.id).collect::<Vec<_>>()).await?;
        let royalty = |sold: Sold| {
            let entries = entries.remove(&sold.id).unwrap_or_default();
            let account = store::royalty::account(&sold, &entries)?;
            Ok((sold.line, Royalty { sold, entries, applied: account.applied, owed: account.owed }))
        };
        sold.into_iter().map(royalty).collect()
    }

    /// What was sold under these ids of royalties.
    ///
    /// # Errors
    /// The database's.
    pub async fn royalties_sold(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Sold>> {
        Ok(store::royalty::sold(self.db.read(), ids).await?)
    }
}

/// Periods of the books.
impl App {
    /// Closes a period and those before it, for all licensors: what is entered from now on stands in later ones.
    ///
    /// # Errors
    /// Not for this caller; a period that has not begun, or that is closed ([`Code::PeriodClosed`]).
    pub async fn royalty_period_close(&self, caller: &Caller, period: Period, key: &str) -> Result<Answer<Period>> {
        caller.require(Topic::Sales.write())?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "royaltyPeriodClose", key };
        let txn = self.db.begin().await?;
        if self.claim(&txn, &scope, &json!({ "period": period.to_string() })).await?.is_some() {
            txn.commit().await?;
            return Ok(Answer { value: period, replayed: true });
        }
        let closed = store::royalty::lock_book(&txn).await?;
        period.close(Period::of(self.now(), self.shop.time_zone), closed).map_err(Refusal::from)?;
        store::royalty::close_through(&txn, period).await?;
        let told = |period: Option<Period>| json!({ "closedThrough": period.map(|period| period.to_string()) });
        let object = Object::new("royaltyBook", Uuid::nil());
        self.audit(&txn, caller, "royaltyPeriodClose", object, Some(told(closed)), Some(told(Some(period)))).await?;
        store::idempotency::finish(&txn, &scope, json!(period.to_string())).await?;
        txn.commit().await?;
        Ok(Answer { value: period, replayed: false })
    }

    /// What a licensor is owed for a period; `None`: there is no such licensor.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn royalty_statement(&self, caller: &Caller, licensor: LicensorId, period: Period) -> Result<Option<Statement>> {
        caller.require(Topic::Reports.read())?;
        let db = &self.db.reading().await?;
        let Some(licensor) = store::royalty::licensors(db, &[licensor]).await?.pop() else { return Ok(None) };
        let closed = store::royalty::closed_through(db).await?.is_some_and(|closed| closed >= period);
        let (nets, royalties) = store::royalty::totals(db, licensor.id, period).await?;
        Ok(Some(Statement { licensor, period, closed, nets, royalties }))
    }

    /// A page of the entries of a statement.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn royalty_entries(
        &self,
        caller: &Caller,
        licensor: LicensorId,
        period: Period,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Entry>> {
        caller.require(Topic::Reports.read())?;
        Ok(store::royalty::entry_page(self.db.read(), licensor, period, args, with_total).await?)
    }
}

fn sold(sale: NewSale) -> Sold {
    let Recommended { plan, licensor, originator, channel, rule, amount } = sale.recommended;
    Sold {
        id: entropy::next_uuid(),
        by: sale.by,
        line: sale.line,
        licensor,
        plan,
        originator,
        channel,
        rule,
        company: sale.company,
        reference: sale.reference,
        product: sale.product,
        sku: sale.sku,
        title: sale.title,
        product_code: sale.product_code,
        quantity: sale.quantity,
        net: sale.net,
        recommended: amount,
    }
}

fn next_place(entries: &[Entry]) -> Result<i32> {
    i32::try_from(entries.len()).map_err(|_| internal!("a royalty has more entries than can be counted"))
}
