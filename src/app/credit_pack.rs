//! Credit packs: credits that are sold by themselves. Their product owns SKU, prices, sale state and the credits, as every product does.

use std::collections::HashMap;

use domain::ProductId;
use domain::catalog::ProductKind;
use domain::credit_sale::{self, Change, Gives, SaleRefusal};
use domain::terms::Terms;
use domain::text::{self, Sku};
use sea_orm::DatabaseTransaction;
use serde_json::json;
use uuid::Uuid;

use super::caller::{Caller, Topic};
use super::catalog::archiving;
use super::price::PriceWish;
use super::product::{FirstProduct, Product};
use super::{App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::internal;
use crate::store;
use crate::store::past::Said;

pub use crate::store::credit_pack::CreditPack;

/// The credits of a new product, as an input gives them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreditWish {
    /// How many one unit gives.
    pub count: Option<i64>,
    /// For how many days they can be spent.
    pub days: Option<i64>,
    /// What they pay for.
    pub tie: Option<Tie>,
}

/// What credits pay for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// Resources of the courses that the product itself sells, or of any (`false`).
    Own(bool),
    /// Resources of the courses that this product sells.
    To(ProductId),
}

impl CreditWish {
    /// What a new product gives.
    ///
    /// # Errors
    /// Every bad field.
    pub(super) fn check(self, kind: ProductKind, product: ProductId) -> Result<Option<Gives>, Vec<Refusal>> {
        let tied_to = match self.tie {
            Some(Tie::Own(_)) if self.count.is_none() => return Err(vec![SaleRefusal::TermsWithout { field: "creditsTied" }.into()]),
            None => None,
            Some(Tie::Own(own)) => Some(own.then_some(product)),
            Some(Tie::To(other)) => Some(Some(other)),
        };
        credit_sale::changed(kind, product, None, Change { count: self.count.map(Some), days: self.days.map(Some), tied_to })
    }
}

/// A credit pack to be made, with its product.
#[derive(Debug, Clone)]
pub struct CreditPackCreate {
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// The product's SKU.
    pub sku: String,
    /// The product's prices.
    pub prices: Vec<PriceWish>,
    /// The credits that one pack gives.
    pub credits: CreditWish,
}

/// What is to change of a credit pack; absent = stays.
#[derive(Debug, Clone)]
pub struct CreditPackUpdate {
    /// Its product.
    pub product: ProductId,
    /// Title.
    pub title: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Archives it, or takes it back.
    pub archived: Option<bool>,
}

impl App {
    /// Makes a credit pack and its product, with first SKU, prices and number of credits, in one transaction.
    ///
    /// # Errors
    /// Not for this caller; a SKU that is taken; no price, no credits; and what each field's form asks for.
    pub async fn credit_pack_create(&self, caller: &Caller, cmd: CreditPackCreate) -> Result<Product> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let title = faults.at("title", text::title(&cmd.title));
        let description = faults.at("description", text::description(&cmd.description));
        let sku = faults.at("sku", Sku::parse(&cmd.sku));
        if let Err(refusals) = cmd.credits.check(ProductKind::CreditPack, entropy::next_id()) {
            refusals.into_iter().for_each(|refusal| faults.add(refusal));
        }
        let (Some(title), Some(description), Some(sku)) = (title, description, sku) else { return Err(faults.into()) };
        faults.check()?;
        let (txn, installation) = self.begin_catalog().await?;
        if let Some(Tie::To(product)) = cmd.credits.tie {
            self.check_tie(&txn, product).await?;
        }
        let pack = CreditPack { id: entropy::next_uuid(), title, description, created_at: now, touched_at: now, archived_at: None };
        store::credit_pack::insert(&txn, &pack).await?;
        let first = FirstProduct { sku, terms: Terms::endless(ProductKind::CreditPack), prices: cmd.prices, credits: cmd.credits };
        let product = self.make_product(&txn, caller, &installation, (ProductKind::CreditPack, pack.id), first).await?;
        let new = json!({ "creditPack": pack, "product": product });
        self.audit(&txn, caller, "creditPackCreate", Object::new("product", product.id.uuid()), None, Some(new)).await?;
        txn.commit().await?;
        Ok(product)
    }

    /// Changes a credit pack, archives it or takes it back. Archived it is no longer sold; credits that were bought stay.
    ///
    /// # Errors
    /// Not for this caller; no such credit pack, or an archived one that stays so.
    pub async fn credit_pack_update(&self, caller: &Caller, cmd: CreditPackUpdate) -> Result<Product> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let mut faults = Faults::default();
        let title = cmd.title.map(|title| faults.at("title", text::title(&title)));
        let description = cmd.description.map(|description| faults.at("description", text::description(&description)));
        faults.check()?;
        let (txn, _) = self.begin_catalog().await?;
        let product = store::product::products(&txn, &[cmd.product]).await?.pop();
        let product = product.filter(|product| product.kind == ProductKind::CreditPack);
        let product = product.ok_or_else(|| Error::not_found("id", "credit pack"))?;
        let held = store::credit_pack::packs(&txn, &[product.target]).await?.pop();
        let held = held.ok_or_else(|| internal!("{} sells no pack", product.id))?;
        if held.archived_at.is_some() && cmd.archived != Some(false) && (title.is_some() || description.is_some()) {
            return Err(super::product::archived("id", "credit pack"));
        }
        let mut pack = CreditPack {
            title: title.flatten().unwrap_or_else(|| held.title.clone()),
            description: description.flatten().unwrap_or_else(|| held.description.clone()),
            archived_at: archiving(held.archived_at, cmd.archived, now),
            ..held.clone()
        };
        if pack != held {
            pack.touched_at = now;
            store::credit_pack::update(&txn, &pack).await?;
            store::past::keep(&txn, pack.id, &Said::credit_pack(&held), &Said::credit_pack(&pack), now).await?;
            store::product::touch_of(&txn, &[pack.id], now).await?;
            store::product::refresh(&txn, &[product.id]).await?;
            let object = Object::new("product", product.id.uuid());
            self.audit(&txn, caller, "creditPackUpdate", object, Some(json!(held)), Some(json!(pack))).await?;
        }
        let product = store::product::products(&txn, &[product.id]).await?.pop().ok_or_else(|| internal!("{} is gone", cmd.product))?;
        txn.commit().await?;
        Ok(product)
    }

    /// Credits are tied to a product that has courses.
    pub(super) async fn check_tie(&self, txn: &DatabaseTransaction, to: ProductId) -> Result<()> {
        let found = store::product::products(txn, &[to]).await?.pop().ok_or_else(|| Error::not_found("creditsTiedTo", "product"))?;
        if found.kind == ProductKind::CreditPack {
            let message = "A credit pack sells no courses that credits could pay for; name the product of a library, a course or a group.";
            return Err(Error::refused(Code::Invalid, ["creditsTiedTo"], message));
        }
        Ok(())
    }

    /// The credit packs with these row ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn credit_packs_by_id(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, CreditPack>> {
        Ok(store::credit_pack::packs(self.db.read(), ids).await?.into_iter().map(|pack| (pack.id, pack)).collect())
    }
}
