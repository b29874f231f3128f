//! Products: made together with what they sell, and from then on the only place where SKU, sale state and terms change.

use std::collections::HashMap;

use domain::catalog::{Fulfilment, ProductKind, SaleState};
use domain::credit_sale::{self, Change};
use domain::mail::canonical_locale;
use domain::tax::TaxClass;
use domain::terms::{Terms, days};
use domain::text::Sku;
use domain::{ProductId, text};
use sea_orm::DatabaseTransaction;
use serde_json::json;
use uuid::Uuid;

use crate::app::caller::{Caller, Topic};
use crate::app::credit_pack::CreditWish;
use crate::app::price::PriceWish;
use crate::app::{App, Object, entropy};
use crate::error::{Code, Error, Faults, Refusal, Result};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::catalog::Sort;
use crate::store::installation::Installation;
use crate::store::page::Key;
use crate::store::past::Said;
use crate::store::product::NewProduct;

pub use crate::store::form_text::FormText;
pub use crate::store::product::{Product, ProductFilter, ReservedSku};

/// How long access is to last, as an input gives it.
#[derive(Debug, Clone, Copy, Default)]
pub struct TermsWish {
    /// Days, for courses and libraries.
    pub days: Option<i64>,
    /// Months, for groups.
    pub months: Option<i64>,
    /// A fixed end.
    pub ends_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl TermsWish {
    /// The terms for this kind of product.
    ///
    /// # Errors
    /// What such a product cannot have.
    pub fn check(self, kind: ProductKind) -> Result<Terms, Refusal> {
        let ends_at = self.ends_at.map(|instant| chrono::SubsecRound::trunc_subsecs(instant, 6));
        Terms::given(kind, self.days, self.months, ends_at).map_err(Refusal::from)
    }
}

/// What is to change of a product; absent = stays.
#[derive(Debug, Clone)]
pub struct ProductUpdate {
    /// The product.
    pub id: ProductId,
    /// A new SKU; the old one stays reserved to it.
    pub sku: Option<String>,
    /// Whether it makes new sales.
    pub state: Option<SaleState>,
    /// How long access lasts, for later grants.
    pub terms: Option<TermsWish>,
    /// Whether coupons reach it.
    pub couponable: Option<bool>,
    /// Class of products that it is taxed with, for later orders.
    pub tax_class: Option<String>,
    /// What buying it gives, for later orders.
    pub fulfilment: Option<Fulfilment>,
    /// The credits that it gives, for later orders.
    pub credits: Change,
    /// Days from issue within which its keys and seats are redeemed, of those issued later; `None` inside = as long as they open something.
    pub redeem_days: Option<Option<i64>>,
    /// Texts of its order form to be set, or (`None`) taken away, by locale.
    pub form_texts: Vec<(String, Option<String>)>,
}

/// How the product of something new is to be.
#[derive(Debug, Clone)]
pub struct FirstProduct {
    /// Its SKU.
    pub sku: Sku,
    /// How long access lasts.
    pub terms: Terms,
    /// Its prices.
    pub prices: Vec<PriceWish>,
    /// The credits that it gives.
    pub credits: CreditWish,
}

/// How a product that was never sold is to be sold.
#[derive(Debug, Clone)]
pub(super) struct Sold {
    /// Another SKU.
    pub(super) sku: Option<Sku>,
    /// How long access lasts; `None` = as it is.
    pub(super) terms: Option<Terms>,
    /// Its first prices.
    pub(super) prices: Vec<PriceWish>,
    /// The credits that it gives.
    pub(super) credits: CreditWish,
}

impl App {
    /// Begins a write of the catalogue. Such writes pass one at a time, so that what products derive from several rows is right.
    pub(super) async fn begin_catalog(&self) -> Result<(DatabaseTransaction, Installation)> {
        let txn = self.db.begin().await?;
        let installation = store::installation::lock(&txn).await?;
        Ok((txn, installation))
    }

    /// Changes SKU, sale state, terms or credits of a product, or whether coupons reach it.
    ///
    /// # Errors
    /// Not for this caller; no such product; [`Code::SkuTaken`]; terms or credits that it cannot have.
    pub async fn product_update(&self, caller: &Caller, cmd: ProductUpdate) -> Result<Product> {
        caller.require(Topic::Catalog.write())?;
        let now = self.now();
        let (txn, _) = self.begin_catalog().await?;
        let held = self.live_product(&txn, cmd.id).await?;
        let mut faults = Faults::default();
        let sku = cmd.sku.map(|sku| faults.at("sku", Sku::parse(&sku)));
        let terms = cmd.terms.map(|terms| faults.at("terms", terms.check(held.kind)));
        let redeem_days = cmd.redeem_days.map(|given| given.and_then(|given| faults.at("redeemDays", days(given))));
        let tax_class = cmd.tax_class.and_then(|class| faults.at("taxClass", TaxClass::parse(&class)));
        let form_texts = checked_form_texts(cmd.form_texts, &mut faults);
        let gives = match credit_sale::changed(held.kind, held.id, held.gives, cmd.credits) {
            Ok(gives) => gives,
            Err(refusals) => {
                refusals.into_iter().for_each(|refusal| faults.add(refusal));
                held.gives
            }
        };
        if held.kind == ProductKind::CreditPack && cmd.fulfilment == Some(Fulfilment::Keys) {
            let message = "A credit pack gives its credits at once and has no keys; leave fulfilment out.";
            faults.add(Refusal::at(Code::Invalid, ["fulfilment"], message));
        }
        faults.check()?;
        if let Some(to) = cmd.credits.tied_to.flatten().filter(|to| *to != held.id || held.kind == ProductKind::CreditPack) {
            self.check_tie(&txn, to).await?;
        }
        let mut product = held.clone();
        if let Some(sku) = sku.flatten() {
            if !store::product::reserve_sku(&txn, product.id, &sku, now).await? {
                return Err(sku_taken(&sku, ["sku"]));
            }
            product.sku = sku.as_str().to_owned();
        }
        product.couponable = cmd.couponable.unwrap_or(product.couponable);
        product.tax_class = tax_class.unwrap_or(product.tax_class);
        product.fulfilment = cmd.fulfilment.unwrap_or(product.fulfilment);
        product.redeem_days = redeem_days.unwrap_or(product.redeem_days);
        product.state = cmd.state.unwrap_or(product.state);
        product.gives = gives;
        product.terms = terms.flatten().unwrap_or(product.terms);
        if product != held {
            product.touched_at = now;
            store::product::update(&txn, &product).await?;
            store::past::keep(&txn, product.id.uuid(), &Said::product(&held), &Said::product(&product), now).await?;
            let object = Object::new("product", product.id.uuid());
            self.audit(&txn, caller, "productUpdate", object, Some(json!(held)), Some(json!(product))).await?;
            product = self.live_product(&txn, cmd.id).await?;
        }
        self.form_texts_set(&txn, caller, product.id, form_texts).await?;
        txn.commit().await?;
        Ok(product)
    }

    async fn form_texts_set(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        product: ProductId,
        texts: Vec<(String, Option<String>)>,
    ) -> Result<()> {
        if texts.is_empty() {
            return Ok(());
        }
        let old = store::form_text::of_products(txn, &[product]).await?.remove(&product).unwrap_or_default();
        for (locale, markdown) in texts {
            match markdown {
                Some(markdown) => store::form_text::set(txn, product, &FormText { locale, markdown }, self.now()).await?,
                None => store::form_text::unset(txn, product, &locale).await?,
            }
        }
        let new = store::form_text::of_products(txn, &[product]).await?.remove(&product).unwrap_or_default();
        if new != old {
            let object = Object::new("product", product.uuid());
            self.audit(txn, caller, "productUpdate", object, Some(json!({ "formTexts": old })), Some(json!({ "formTexts": new }))).await?;
        }
        Ok(())
    }

    /// What operators wrote for the order forms of these products.
    ///
    /// # Errors
    /// The database's.
    pub async fn form_texts_of(&self, products: &[ProductId]) -> Result<HashMap<ProductId, Vec<FormText>>> {
        Ok(store::form_text::of_products(self.db.read(), products).await?)
    }

    /// The product of an input, if it may be changed.
    pub(super) async fn live_product(&self, txn: &DatabaseTransaction, id: ProductId) -> Result<Product> {
        let product = store::product::products(txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("id", "product"))?;
        if product.archived_at.is_some() { Err(archived("id", product.kind.word())) } else { Ok(product) }
    }

    /// Makes the product of something that was just written, with its first SKU and prices.
    pub(super) async fn make_product(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        installation: &Installation,
        (kind, target): (ProductKind, Uuid),
        first: FirstProduct,
    ) -> Result<Product> {
        if first.prices.is_empty() {
            return Err(no_first_price());
        }
        let rows = self.price_rows(txn, &first.prices).await?;
        let (id, sku) = (entropy::next_id(), first.sku);
        let gives = first.credits.check(kind, id)?;
        let new = NewProduct { id, kind, target, sku: sku.clone(), terms: first.terms, gives, created_at: self.now() };
        if !store::product::insert(txn, &new).await? {
            return Err(sku_taken(&sku, ["sku"]));
        }
        self.set_prices(txn, caller, installation, id, rows).await?;
        store::product::products(txn, &[id]).await?.pop().ok_or_else(|| Error::not_found("id", "product"))
    }

    /// Gives a product that was never sold its first prices, and the SKU that is wanted.
    pub(super) async fn sell_product(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        installation: &Installation,
        held: Product,
        first: Sold,
    ) -> Result<()> {
        if first.prices.is_empty() {
            return Err(no_first_price());
        }
        let rows = self.price_rows(txn, &first.prices).await?;
        let gives = first.credits.check(held.kind, held.id)?;
        let mut product = Product { terms: first.terms.unwrap_or(held.terms), gives, touched_at: self.now(), ..held.clone() };
        if let Some(sku) = first.sku {
            if !store::product::reserve_sku(txn, product.id, &sku, product.touched_at).await? {
                return Err(sku_taken(&sku, ["sku"]));
            }
            product.sku = sku.as_str().to_owned();
        }
        store::product::update(txn, &product).await?;
        self.set_prices(txn, caller, installation, product.id, rows).await?;
        let object = Object::new("product", product.id.uuid());
        self.audit(txn, caller, "courseCommerceSet", object, Some(json!(held)), Some(json!(product))).await
    }

    /// The products with these ids, for lists inside of what the caller may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn products_by_id(&self, ids: &[ProductId]) -> Result<HashMap<ProductId, Product>> {
        Ok(store::product::products(self.db.read(), ids).await?.into_iter().map(|product| (product.id, product)).collect())
    }

    /// The products of these things, by what they sell.
    ///
    /// # Errors
    /// The database's.
    pub async fn products_of(&self, targets: &[Uuid]) -> Result<HashMap<Uuid, Product>> {
        Ok(store::product::products_of(self.db.read(), targets).await?.into_iter().map(|product| (product.target, product)).collect())
    }

    /// Every SKU that these products have or had, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn skus_of(&self, products: &[ProductId]) -> Result<HashMap<ProductId, Vec<ReservedSku>>> {
        Ok(store::product::skus_of(self.db.read(), products).await?)
    }

    /// The product that has or had this SKU, whatever its case. A text that no SKU is names nothing.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn product_with_sku(&self, caller: &Caller, sku: &str) -> Result<Option<Product>> {
        caller.require(Topic::Catalog.read())?;
        match Sku::parse(sku) {
            Ok(sku) => Ok(store::product::product_with_sku(self.db.read(), &sku).await?),
            Err(_) => Ok(None),
        }
    }

    /// A page of products.
    ///
    /// # Errors
    /// Not for this caller.
    pub async fn products(
        &self,
        caller: &Caller,
        filter: &ProductFilter,
        sort: Sort,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<Product>> {
        caller.require(Topic::Catalog.read())?;
        Ok(store::product::product_page(self.db.read(), filter, sort, args, with_total).await?)
    }
}

fn no_first_price() -> Error {
    Error::refused(Code::Required, ["prices"], "Give a first price; 0 is a price too, for something free.")
}

/// Texts by locale in the form that they are kept in; each fault by its place.
fn checked_form_texts(texts: Vec<(String, Option<String>)>, faults: &mut Faults) -> Vec<(String, Option<String>)> {
    let mut checked: Vec<(String, Option<String>)> = Vec::with_capacity(texts.len());
    for (place, (locale, markdown)) in texts.into_iter().enumerate() {
        let path = |field: &str| ["formTexts".to_owned(), place.to_string(), field.to_owned()];
        let locale = faults.of(text::locale(&locale).map_err(|reason| Refusal::from(reason).under(path("locale"))));
        let Some(locale) = locale.map(|locale| canonical_locale(&locale)) else { continue };
        if checked.iter().any(|(known, _)| *known == locale) {
            faults.add(Refusal::at(Code::Repeated, path("locale"), "This locale stands there already; give each one text."));
        }
        let markdown = match markdown.map(|markdown| text::description(&markdown)).transpose() {
            // An empty text is none.
            Ok(markdown) => markdown.filter(|markdown| !markdown.is_empty()),
            Err(reason) => {
                faults.add(Refusal::from(reason).under(path("text")));
                continue;
            }
        };
        checked.push((locale, markdown));
    }
    checked
}

/// Another product has this SKU, or had it.
pub(super) fn sku_taken<const N: usize>(sku: &Sku, field: [&str; N]) -> Error {
    let message = format!(
        "The SKU {sku} belongs, or once belonged, to another product; upper and lower case make no difference, and replaced and archived SKUs stay reserved. Choose another one."
    );
    Error::refused(Code::SkuTaken, field, message)
}

/// The thing was archived and changes no more.
pub(super) fn archived(field: &str, what: &str) -> Error {
    Error::refused(Code::Archived, [field], format!("This {what} is archived and changes no more; make a new one."))
}

/// The folded form of a text that a list is filtered by; an empty one filters nothing.
pub fn folded(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(text::fold)
}
