//! Seats beyond those that a company bought: taken up to its limit at the last agreed price, gathered in one sales order, billed as the next month
//! begins.
//!
//! Always true here: who takes seats holds the company's row while they are counted, so that it never takes more than it may; a gathering order is
//! invoiced once, whoever asks how often.

use domain::pricing::LineAmounts;
use domain::royalty::Originator;
use domain::sales_order::{SalesOrderKind, SalesOrderStatus, TokensOn, billed_at, overage, price_of_one};
use domain::{CompanyId, Money, ProductId, SalesOrderId, TokenId};
use sea_orm::DatabaseTransaction;
use serde_json::json;

use super::caller::Caller;
use super::offer::ContextArgs;
use super::payment::{Ran, money_fault};
use super::sales_order::{SalesLine, SalesOrder, object, sum_up};
use super::sales_order_deal::sold;
use super::{App, entropy};
use crate::error::{Refusal, Result};
use crate::internal;
use crate::outbox::Job;
use crate::store;

impl App {
    /// Makes as many seats as a company lacks, if it may take them. The caller holds the company's row. `None`: it may take none at all, or nothing
    /// was ever agreed about this product.
    ///
    /// # Errors
    /// [`domain::sales_order::SalesRefusal::OverageLimit`].
    pub(super) async fn take_beyond(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        company: CompanyId,
        product: ProductId,
        free: usize,
        needed: usize,
    ) -> Result<Option<Vec<TokenId>>> {
        let company = self.buying_company(txn, company, "companyId").await?;
        let Some(limit) = company.overage_limit.filter(|limit| *limit > 0) else { return Ok(None) };
        let Some((agreed, line)) = store::sales_order::last_agreed(txn, company.id, product).await? else { return Ok(None) };
        let unpaid = store::sales_order::unpaid_overage(txn, company.id).await?;
        let extra = overage(free, needed, unpaid, limit).map_err(Refusal::from)?;
        let price = price_of_one(line.unit_price, line.amounts.subtotal, line.quantity).map_err(money_fault)?;
        let open = store::sales_order::open_overage(txn, company.id, agreed.currency).await?;
        let begun = open.is_none();
        let mut order = match open {
            Some(open) => open,
            None => self.gathering(txn, &company, &agreed).await?,
        };
        let same = |other: &SalesLine| other.product == product && other.unit_price == Some(price) && other.terms == line.terms;
        let place = order.lines.iter().position(same);
        let seats = match place {
            Some(place) => order.lines[place].quantity.checked_add(extra).ok_or_else(|| internal!("too many seats"))?,
            None => extra,
        };
        let subtotal = price.times(i64::from(seats)).map_err(Refusal::from)?;
        let zero = Money::zero(order.currency);
        let rate = line.amounts.tax_rate;
        let amounts = LineAmounts::new(subtotal, zero, rate, self.shop.prices_include_tax).map_err(Refusal::from)?;
        let place = match place {
            Some(place) => {
                (order.lines[place].quantity, order.lines[place].amounts) = (seats, amounts);
                place
            }
            None => {
                order.lines.push(SalesLine {
                    id: entropy::next_id(),
                    quantity: seats,
                    unit_price: Some(price),
                    agreed_by: line.agreed_by.clone(),
                    agreed_reason: Some(format!("as last agreed, in {}", agreed.number)),
                    amounts,
                    credited_quantity: 0,
                    credited: zero,
                    ..line
                });
                order.lines.len() - 1
            }
        };
        sum_up(&mut order)?;
        let taken = &order.lines[place];
        match (begun, taken.quantity == extra) {
            (true, _) => store::sales_order::insert(txn, &order).await?,
            (false, true) => store::sales_order::insert_lines(txn, order.id, place, std::slice::from_ref(taken)).await?,
            (false, false) => store::sales_order::save_line(txn, taken).await?,
        }
        self.issue_tokens(txn, self.seats_of(&order, taken, taken.quantity)).await?;
        let made = store::token::unused_of_line(txn, sold(taken.id), Some(u64::from(extra))).await?;
        let told = json!({ "product": product, "seats": extra, "each": price, "total": order.totals.total });
        if begun {
            let at = billed_at(self.now(), self.shop.time_zone).map_err(Refusal::from)?;
            self.enqueue(txn, &Job::InvoiceOverage { sales_order: order.id.uuid() }, order.id.uuid(), at).await?;
        } else {
            self.save_sales_order(txn, &mut order).await?;
        }
        self.audit(txn, caller, "overageTake", object(&order), None, Some(told)).await?;
        Ok(Some(made))
    }

    /// The order in which seats beyond those bought gather from now on.
    async fn gathering(&self, txn: &DatabaseTransaction, company: &store::company::Company, agreed: &SalesOrder) -> Result<SalesOrder> {
        let args = ContextArgs { company: Some(company.id), currency: Some(agreed.currency), locale: Some(agreed.locale.clone()) };
        let context = self.sales_context(txn, args).await?;
        let actor = Caller::system().actor();
        let now = self.now();
        Ok(SalesOrder {
            status: SalesOrderStatus::Confirmed,
            originator: Originator::Operator,
            po_number: agreed.po_number.clone(),
            terms: agreed.terms.clone(),
            bill_to: agreed.bill_to.clone(),
            tokens_on: Some(TokensOn::Confirm),
            confirmed_by: Some(actor.clone()),
            confirmed_at: Some(now),
            given_at: Some(now),
            ..self.new_sales_order(company, &context, SalesOrderKind::Overage, &actor)
        })
    }

    /// Invoices the seats that a company took beyond those it had bought, unless that was done.
    ///
    /// # Errors
    /// The database's: the job is run again.
    pub async fn overage_invoice(&self, id: SalesOrderId) -> Result<Ran> {
        let txn = self.db.begin().await?;
        let Some(order) = store::sales_order::lock(&txn, id).await? else { return Ok(Ran::Done) };
        let waits = order.kind == SalesOrderKind::Overage && order.status == SalesOrderStatus::Confirmed;
        if !waits || order.lines.iter().all(|line| line.seats() == 0) {
            return Ok(Ran::Done);
        }
        self.invoice_order(&txn, &Caller::system(), order).await?;
        txn.commit().await?;
        Ok(Ran::Done)
    }
}
