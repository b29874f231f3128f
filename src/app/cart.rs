//! Carts: made, filled, claimed, and priced anew at every read.
//!
//! Always true here: a write holds the cart's row from its first look to its commit, and what it answers with is what it keeps as shown to the
//! buyer; nothing that stands in a cart changes or goes without a notice on its line.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::cart::{
    self as rules, CartFacts, CartRefusal, CartStatus, For, Line, LineChange, LineFacts, LineKey, LineWish, MergeNotice, NewLine, Notice,
    Problem, Readiness, Shown,
};
use domain::catalog::ProductKind;
use domain::company::{Storefront, may_buy};
use domain::coupon::usage::{check_added, merge};
use domain::coupon::{LineOutcome, Replay};
use domain::credit_sale::{Gain, Gives};
use domain::person::Address;
use domain::pricing::{LineAmounts, Quote, Totals};
use domain::text::{Email, Sku};
use domain::{AccountId, CartId, CartLineId, CouponCodeId, Money, PersonId, ProductId, SessionId};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use secrecy::ExposeSecret;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::caller::{Caller, Topic};
use super::coupon_use::{CartFacts as CouponFacts, CustomerKeys, Judge, asks_for_contents};
use super::entropy::{next_id, secret_text};
use super::offer::{ContextArgs, Detail, OfferContext, OfferView};
use super::seat::Sessions;
use super::secrets::Purpose;
use super::tax::Taxes;
use super::{Answer, App};
use crate::error::{Code, Error, Refusal, Result};
use crate::internal;
use crate::store;
use crate::store::cart::Change;
use crate::store::idempotency::Scope;
use crate::store::person::NewPerson;

pub use crate::store::cart::{Cart, CartLine};
pub use crate::store::person::Person;

/// A cart with everything known of it now.
#[derive(Debug, Clone, PartialEq)]
pub struct CartView {
    /// The cart.
    pub cart: Cart,
    /// The context that it is priced in.
    pub context: OfferContext,
    /// Its lines in order of adding.
    pub lines: Vec<CartLineView>,
    /// The sums over the lines that have a price; `None` if they are too large for an amount.
    pub totals: Option<Totals>,
    /// What its coupons come to, in the order of `cart.coupons`.
    pub replay: Replay,
    /// What stands wrong with it.
    pub problems: Vec<Problem>,
    /// Whether it can be placed, and what has to be done first.
    pub readiness: Readiness,
    /// How it can be paid.
    pub payment_methods: Vec<PaymentMethod>,
}

/// A line with everything known of it now.
#[derive(Debug, Clone, PartialEq)]
pub struct CartLineView {
    /// The line.
    pub line: CartLine,
    /// What the product is for this buyer; `None` if it is gone or not for them to see.
    pub offer: Option<OfferView>,
    /// What the rules judge the line by.
    pub facts: LineFacts,
    /// What there is to know about it.
    pub notices: Vec<Notice>,
    /// Its price and what that is computed from, before discounts: a pack's in place of the product's own.
    pub quote: Option<Quote>,
    /// The code of the coupon that took it.
    pub coupon: Option<String>,
    /// The dated session that it is for.
    pub session: Option<SessionId>,
}

impl CartLineView {
    /// The line's amounts, where it has a price.
    pub const fn amounts(&self) -> Option<&LineAmounts> {
        self.facts.amounts.as_ref()
    }
}

/// A gateway that can take what the cart costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentMethod {
    /// Id of the gateway.
    pub gateway: String,
    /// What buyers read when they choose.
    pub display_name: String,
    /// Whether it may send the buyer's browser away.
    pub redirect: bool,
    /// Whether it answers with instructions such as bank details.
    pub instructions: bool,
}

/// What a write came to.
#[derive(Debug, Clone, PartialEq)]
pub struct CartWritten {
    /// The cart as it is now.
    pub cart: CartView,
    /// Why nothing was written: the cart had moved on from the version that the caller expected.
    pub changed: Option<Refusal>,
}

/// What a new cart came to.
#[derive(Debug, Clone)]
pub struct CartCreated {
    /// The cart.
    pub cart: CartView,
    /// A guest cart's secret; it is not kept and never shown again.
    pub secret: Option<String>,
}

/// What claiming came to.
#[derive(Debug, Clone, PartialEq)]
pub struct CartClaimed {
    /// The account's cart.
    pub cart: CartView,
    /// What could not be taken over as it was.
    pub notices: Vec<MergeNotice>,
}

/// A new cart as asked for.
#[derive(Debug, Clone, Default)]
pub struct CartCreate {
    /// The SKU of a first line, for the buyer.
    pub sku: Option<String>,
    /// The session of an event that the line is for.
    pub session: Option<SessionId>,
    /// The code of a first coupon.
    pub coupon_code: Option<String>,
    /// The context; fixed from then on.
    pub context: ContextArgs,
}

/// Lines to be set.
#[derive(Debug, Clone)]
pub struct CartLinesSet {
    /// The cart.
    pub cart: CartId,
    /// The lines; the cart's others stay.
    pub lines: Vec<LineWish>,
    /// The version that the caller saw.
    pub expected_version: Option<i64>,
}

/// Lines to be taken out.
#[derive(Debug, Clone)]
pub struct CartLinesRemove {
    /// The cart.
    pub cart: CartId,
    /// The lines; `None` for what is no id, which no line of the cart has.
    pub lines: Vec<Option<CartLineId>>,
    /// The version that the caller saw.
    pub expected_version: Option<i64>,
}

/// Who buys.
#[derive(Debug, Clone)]
pub struct CartBuyerSet {
    /// The cart.
    pub cart: CartId,
    /// E-mail, for the receipt and the access.
    pub email: Email,
    /// Full name.
    pub name: Option<String>,
    /// Postal address.
    pub address: Option<Address>,
    /// The version that the caller saw.
    pub expected_version: Option<i64>,
}

/// A write under way: the cart as it will be, and what has to be written for it.
struct Draft {
    cart: Cart,
    /// Lines that this write adds or changes: nothing was shown of them as they are now.
    touched: HashSet<CartLineId>,
    removed: Vec<CartLineId>,
    persons: Vec<NewPerson>,
    change: Change,
}

impl Draft {
    fn of(cart: Cart) -> Self {
        Self { cart, touched: HashSet::new(), removed: Vec::new(), persons: Vec::new(), change: Change::Touch }
    }
}

/// Who may do what with a cart.
impl App {
    /// The cart for a write, its row held: by its secret or its account. Its status is not looked at.
    ///
    /// # Errors
    /// [`Code::NotFound`] at `cartId` for everybody else; the database's.
    pub async fn cart_for(&self, txn: &DatabaseTransaction, caller: &Caller, id: CartId) -> Result<Cart> {
        let cart = store::cart::lock(txn, id).await?.filter(|cart| self.may_write(caller, cart));
        cart.ok_or_else(|| Error::not_found("cartId", "cart"))
    }

    fn may_write(&self, caller: &Caller, cart: &Cart) -> bool {
        let own = cart.account.is_some() && cart.account == caller.account();
        own || self.knows_secret(caller, cart)
    }

    pub(super) fn may_read(&self, caller: &Caller, cart: &Cart) -> bool {
        self.may_write(caller, cart) || caller.may(Topic::Orders.read())
    }

    /// Whether the caller knows the secret of a guest's cart.
    pub(crate) fn knows_secret(&self, caller: &Caller, cart: &Cart) -> bool {
        cart.secret_hash.as_deref().is_some_and(|kept| self.is_secret(caller, kept))
    }

    /// Whether the caller's cart secret is the one of this hash.
    pub(super) fn is_secret(&self, caller: &Caller, kept: &str) -> bool {
        let Some(given) = &caller.cart_secret else { return false };
        let given = self.secrets.hash(Purpose::Cart, given.expose_secret());
        given.as_bytes().ct_eq(kept.as_bytes()).into()
    }
}

/// Reading: every read prices now.
impl App {
    /// The cart, priced now. `None`: it is not there, or not this caller's to see.
    ///
    /// # Errors
    /// The database's.
    pub async fn cart(&self, caller: &Caller, id: CartId, detail: Detail) -> Result<Option<CartView>> {
        let db = &self.db.reading().await?;
        match store::cart::by_id(db, id).await?.filter(|cart| self.may_read(caller, cart)) {
            Some(cart) => Ok(Some(self.cart_view(db, caller, cart, detail).await?)),
            None => Ok(None),
        }
    }

    /// The cart with offers, prices, notices and readiness as of now, for whoever it belongs to. The number of statements does not hang on the
    /// number of lines; inside of a transaction as well as outside.
    ///
    /// # Errors
    /// The database's.
    pub async fn cart_view(&self, db: &impl ConnectionTrait, caller: &Caller, cart: Cart, detail: Detail) -> Result<CartView> {
        self.price(db, caller, cart, detail, &HashSet::new(), Judge::Reading).await
    }

    /// The same for placing it: coupons are judged by who buys, and held back until other orders of that customer are done where one of them
    /// hangs on it.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn cart_to_place(&self, txn: &DatabaseTransaction, caller: &Caller, cart: Cart) -> Result<(CartView, CustomerKeys)> {
        let mut keys = CustomerKeys::default();
        if !cart.coupons.is_empty() {
            keys = self.customer_keys(txn, &cart, true).await?;
            if cart.coupons.iter().any(|held| held.coupon.rules.hangs_on_customer(&held.code.key)) {
                store::coupon::lock_customer(txn, &keys).await?;
            }
        }
        let view = self.price(txn, caller, cart, Detail::default(), &HashSet::new(), Judge::Placing(&keys)).await?;
        Ok((view, keys))
    }

    async fn price(
        &self,
        db: &impl ConnectionTrait,
        caller: &Caller,
        cart: Cart,
        detail: Detail,
        touched: &HashSet<CartLineId>,
        judge: Judge<'_>,
    ) -> Result<CartView> {
        let args = ContextArgs { company: cart.company, currency: Some(cart.currency), locale: Some(cart.locale.clone()) };
        let context = self.offer_context_for(db, cart.account, args).await?;
        if self.still_admitted(db, caller, &cart, &context).await? {
            self.price_in(db, context, cart, detail, touched, judge).await
        } else {
            let around = Around { coupons: CouponFacts::default(), sessions: Sessions::default(), taxes: Taxes::none(context.at) };
            self.assemble(cart, context, &HashMap::new(), touched, &around)
        }
    }

    async fn price_in(
        &self,
        db: &impl ConnectionTrait,
        context: OfferContext,
        cart: Cart,
        detail: Detail,
        touched: &HashSet<CartLineId>,
        judge: Judge<'_>,
    ) -> Result<CartView> {
        let mut wanted: Vec<(ProductId, u32)> = cart.lines.iter().map(|line| (line.line.product, line.line.quantity)).collect();
        wanted.sort_unstable_by_key(|(product, quantity)| (product.uuid(), *quantity));
        wanted.dedup();
        let offers = if wanted.is_empty() {
            Vec::new()
        } else {
            self.offers_of(
                db,
                &context,
                Detail { owned: cart.account.is_some(), contents: asks_for_contents(&cart.coupons), ..detail },
                &wanted,
            )
            .await?
        };
        let sessions = self.sessions_of_cart(db, &cart, offers.iter()).await?;
        let offers = offers.into_iter().map(|offer| ((offer.product, offer.quantity), offer)).collect();
        let coupons = self.coupon_facts(db, &context, &cart, judge).await?;
        let address = cart.buyer.as_ref().and_then(|buyer| buyer.address.as_ref());
        let taxes = self.taxes(db, address, context.company.as_ref(), context.at).await?;
        self.assemble(cart, context, &offers, touched, &Around { coupons, sessions, taxes })
    }

    /// Whether the cart's owner may still see the offers of a company that is for its members only; it was checked when the cart was made.
    async fn still_admitted(&self, db: &impl ConnectionTrait, caller: &Caller, cart: &Cart, context: &OfferContext) -> Result<bool> {
        let Some(company) = &context.company else { return Ok(true) };
        let Some(account) = cart.account else { return Ok(company.storefront == Storefront::Public) };
        let privileged = caller.manages(company.id) || caller.may(Topic::Companies.read()) || caller.may(Topic::Prices.read());
        if company.storefront == Storefront::Public || (privileged && caller.account() == Some(account)) {
            return Ok(true);
        }
        Ok(store::company::member_of(db, company.id, account).await?)
    }

    fn assemble(
        &self,
        cart: Cart,
        context: OfferContext,
        offers: &HashMap<(ProductId, u32), OfferView>,
        touched: &HashSet<CartLineId>,
        around: &Around,
    ) -> Result<CartView> {
        let Around { coupons, sessions, taxes } = around;
        let now = self.now();
        let seen: Vec<Option<&OfferView>> =
            cart.lines.iter().map(|line| offers.get(&(line.line.product, line.line.quantity)).filter(|offer| offer.visible)).collect();
        let replay = self.replay_coupons(&cart, &seen, coupons, sessions);
        let mut facts = Vec::with_capacity(cart.lines.len());
        let mut shown_offers = Vec::with_capacity(cart.lines.len());
        for ((line, offer), outcome) in cart.lines.iter().zip(&seen).zip(&replay.lines) {
            let amounts = match outcome.subtotal {
                Some(subtotal) => {
                    let rate = offer.map(|offer| taxes.rate(&offer.tax_class)).unwrap_or_default();
                    let amounts = LineAmounts::new(subtotal, outcome.discount, rate, self.shop.prices_include_tax);
                    Some(amounts.map_err(|error| internal!("amounts of cart line {}: {error}", line.line.id))?)
                }
                _ => None,
            };
            facts.push(LineFacts {
                id: line.line.id,
                offer: offer.and_then(OfferView::state),
                amounts,
                credits: offer.map(|offer| credits_of(offer, line.line.quantity, outcome)).unwrap_or_default(),
                for_kind: line.line.for_.kind(),
                shown: line.shown.filter(|_| !touched.contains(&line.line.id)),
                seat: offer.and_then(|offer| sessions.refusal(line.line.session, offer, &line.line.for_, line.line.quantity, now)),
                // Of others, what they have is not told: anybody can name a learner.
                owned: line.line.for_ == For::SelfBuyer && offer.is_some_and(|offer| offer.owned == Some(true)),
            });
            shown_offers.push(offer.cloned());
        }
        let judged = CartFacts {
            status: cart.status,
            order: cart.order_number.as_deref(),
            currency: cart.currency,
            company: context.company.as_ref().map(|company| company.facts()),
            buyer_set: cart.buyer.as_ref().is_some_and(|buyer| buyer.email.is_some()),
            several_items: self.shop.several_items_per_order,
            lines: &facts,
        };
        let (totals, problems, readiness) = (judged.totals().ok(), rules::problems(&judged), rules::readiness(&judged));
        let company_key = context.company.as_ref().map(|company| company.key.as_str());
        let payment_methods = totals.map(|totals| self.payment_methods(company_key, totals.total)).unwrap_or_default();
        let lines = cart
            .lines
            .iter()
            .zip(facts)
            .zip(shown_offers)
            .zip(&replay.lines)
            .map(|(((line, facts), offer), outcome)| CartLineView {
                quote: offer.as_ref().and_then(|offer| quote_of(offer, outcome)),
                line: line.clone(),
                session: Sessions::of_line(line.line.session, offer.as_ref()),
                offer,
                notices: rules::notices(&facts),
                facts,
                coupon: outcome.coupon.and_then(|place| cart.coupons.get(place)).map(|held| held.code.code.clone()),
            })
            .collect();
        Ok(CartView { cart, context, lines, totals, replay, problems, readiness, payment_methods })
    }

    /// The gateways that take `total` from a buyer in the context of the company with this key, in the order of the configuration.
    fn payment_methods(&self, company_key: Option<&str>, total: Money) -> Vec<PaymentMethod> {
        let serving = self.gateways.0.iter().filter(|instance| instance.serves(company_key, total));
        serving
            .map(|instance| {
                let descriptor = instance.gateway.descriptor();
                PaymentMethod {
                    gateway: instance.id.clone(),
                    display_name: descriptor.display_name,
                    redirect: descriptor.capabilities.redirect,
                    instructions: descriptor.capabilities.instructions,
                }
            })
            .collect()
    }
}

/// The credits that a line gives: those of the pack that took it, or the product's own.
fn credits_of(offer: &OfferView, quantity: u32, outcome: &LineOutcome) -> Gain {
    let gives = match outcome.pack {
        Some(pack) => Some(Gives::of(offer.kind, offer.product, offer.gives, pack.credits_each)),
        None => offer.gives,
    };
    gives.map(|gives| gives.times(quantity)).unwrap_or_default()
}

/// The price of a line before discounts: that of the pack that took it, or the offer's.
fn quote_of(offer: &OfferView, outcome: &LineOutcome) -> Option<Quote> {
    let quote = offer.quote.as_ref().ok()?.clone();
    match outcome.pack {
        Some(pack) => quote.packed(pack.price, pack.rate).ok(),
        None => Some(quote),
    }
}

/// What a cart is priced by beside its offers.
struct Around {
    coupons: CouponFacts,
    sessions: Sessions,
    taxes: Taxes,
}

/// An empty cart in this context.
fn fresh_cart(account: Option<AccountId>, secret_hash: Option<String>, context: &OfferContext, buyer: Option<Person>) -> Cart {
    Cart {
        id: next_id(),
        account,
        secret_hash,
        company: context.company.as_ref().map(|company| company.id),
        currency: context.currency,
        locale: context.locale.clone(),
        version: 1,
        status: CartStatus::Open,
        order: None,
        order_number: None,
        merged_into: None,
        buyer,
        judged: false,
        lines: Vec::new(),
        coupons: Vec::new(),
    }
}

impl CartView {
    /// Compares what the buyer agreed to with what the cart is now.
    ///
    /// # Errors
    /// [`Code::PriceChanged`] if the total is another one, or if access got worse than was shown; [`Code::CurrencyMismatch`].
    pub fn check_agreed(&self, expected: Money, now: DateTime<Utc>) -> Result<(), Refusal> {
        let fresh = self.totals.ok_or(CartRefusal::TotalTooLarge)?.total;
        let facts: Vec<LineFacts> = self.lines.iter().map(|line| line.facts.clone()).collect();
        // This says more than that the total is another one.
        self.replay.check_shown(self.cart.coupons.iter().filter(|held| held.gave).map(|held| held.code.id))?;
        Ok(rules::check_agreed(expected, fresh, &facts, now)?)
    }

    /// The codes as they are to be kept once this view was answered with.
    fn coupons_shown(&self) -> Vec<(CouponCodeId, bool)> {
        self.replay.coupons.iter().map(|outcome| (outcome.code, outcome.gives())).collect()
    }

    /// The lines as they are to be kept once this view was answered with: with what it shows of them.
    fn lines_shown(&self) -> Vec<CartLine> {
        self.lines
            .iter()
            .map(|view| {
                let fresh = match (&view.facts.amounts, &view.facts.offer) {
                    (Some(amounts), Some(offer)) => Some(Shown { total: amounts.total, terms: offer.terms, credits: view.facts.credits }),
                    // Without a price there is nothing to compare with later but what was shown before.
                    _ => view.line.shown,
                };
                CartLine { shown: fresh, ..view.line.clone() }
            })
            .collect()
    }
}

/// Writing: load, decide, save, answer with the cart as it is then.
impl App {
    /// Makes a cart: the account's, or a guest's with a secret.
    ///
    /// # Errors
    /// [`Code::NotFound`] for a company that is not there or not for this caller and for an unknown SKU; whatever keeps the company or the
    /// product from being sold.
    pub async fn cart_create(&self, caller: &Caller, cmd: CartCreate, detail: Detail) -> Result<CartCreated> {
        let reading = self.db.reading().await?;
        let db = &reading;
        let Some(context) = self.offer_context(db, caller, cmd.context).await.map_err(|error| error.under("context"))? else {
            return Err(Refusal::not_found("company").under(["context", "companyId"]).into());
        };
        if let Some(company) = &context.company {
            may_buy(&company.facts()).map_err(|reason| Refusal::from(reason).under(["context"]))?;
        }
        let (account, now) = (caller.account(), self.now());
        let secret = account.is_none().then(|| secret_text(self.entropy.as_ref()));
        let secret_hash = secret.as_deref().map(|secret| self.secrets.hash(Purpose::Cart, secret));
        let buyer = match account {
            Some(account) => store::person::of_account(db, account).await?,
            None => None,
        };
        let mut draft = Draft::of(fresh_cart(account, secret_hash, &context, buyer));
        if let Some(sku) = &cmd.sku {
            let product = self.product_of_sku(db, sku).await?;
            let line = NewLine { product, session: cmd.session, for_: For::SelfBuyer, quantity: 1 };
            self.apply(&mut draft, vec![LineChange::Add(line)], &HashMap::new());
        }
        if let Some(typed) = &cmd.coupon_code {
            let coupon = self.typed_coupon(db, caller, &draft.cart, typed).await.map_err(|error| at("couponCode", error))?;
            draft.cart.coupons.push(coupon);
        }
        let view = self.price_in(db, context, draft.cart, detail, &draft.touched, Judge::Reading).await?;
        for outcome in &view.replay.coupons {
            check_added(outcome).map_err(|refusal| Refusal { field: vec!["couponCode".to_owned()], ..refusal })?;
        }
        for line in &view.lines {
            rules::check_line(&line.facts).map_err(|refusal| Refusal { field: vec!["sku".to_owned()], ..refusal })?;
        }
        drop(reading);
        let txn = self.db.begin().await?;
        store::cart::insert(&txn, &view.cart, now).await?;
        self.cart_shown_save(&txn, &view).await?;
        txn.commit().await?;
        Ok(CartCreated { cart: view, secret })
    }

    /// What a cart would be, without making it; and why the code does nothing, if it does nothing.
    ///
    /// # Errors
    /// As for making it, except for what is wrong with the code.
    pub async fn cart_preview(&self, caller: &Caller, cmd: CartCreate, detail: Detail) -> Result<(CartView, Option<Refusal>)> {
        let db = &self.db.reading().await?;
        let Some(context) = self.offer_context(db, caller, cmd.context).await.map_err(|error| error.under("context"))? else {
            return Err(Refusal::not_found("company").under(["context", "companyId"]).into());
        };
        if let Some(company) = &context.company {
            may_buy(&company.facts()).map_err(|reason| Refusal::from(reason).under(["context"]))?;
        }
        let mut draft = Draft::of(fresh_cart(caller.account(), None, &context, None));
        if let Some(sku) = &cmd.sku {
            let product = self.product_of_sku(db, sku).await?;
            let line = NewLine { product, session: cmd.session, for_: For::SelfBuyer, quantity: 1 };
            self.apply(&mut draft, vec![LineChange::Add(line)], &HashMap::new());
        }
        let mut refused = None;
        if let Some(typed) = &cmd.coupon_code {
            match self.typed_coupon(db, caller, &draft.cart, typed).await {
                Ok(coupon) => draft.cart.coupons.push(coupon),
                Err(Error::Refused(refusals)) => refused = refusals.into_iter().next(),
                Err(limited @ Error::RateLimited { .. }) => refused = Some(Refusal::new(Code::RateLimited, limited.to_string())),
                Err(other) => return Err(other),
            }
        }
        let view = self.price_in(db, context, draft.cart, detail, &draft.touched, Judge::Reading).await?;
        let useless = view.replay.coupons.iter().find_map(|outcome| outcome.reason().copied());
        Ok((view, refused.or(useless.map(Refusal::from))))
    }

    async fn product_of_sku(&self, db: &impl ConnectionTrait, sku: &str) -> Result<ProductId> {
        let unknown = || Error::refused(Code::NotFound, ["sku"], "No product has this SKU; look for it with the query offers.");
        let folded = Sku::parse(sku).map_err(|_| unknown())?.folded();
        let owners = store::product::sku_owners(db, std::slice::from_ref(&folded)).await?;
        owners.get(&folded).copied().ok_or_else(unknown)
    }

    /// Sets the quantity of lines, and adds those that the cart does not have.
    ///
    /// # Errors
    /// Every fault of every line, by its place; [`Code::CartOrdered`]; [`Code::NotFound`] for a cart that is not the caller's.
    pub async fn cart_lines_set(&self, caller: &Caller, cmd: CartLinesSet, detail: Detail) -> Result<CartWritten> {
        let txn = self.db.begin().await?;
        let cart = match self.cart_to_write(&txn, caller, cmd.cart, cmd.expected_version, detail).await? {
            Ok(cart) => cart,
            Err(changed) => return Ok(changed),
        };
        let places: HashMap<LineKey, usize> =
            cmd.lines.iter().enumerate().map(|(place, wish)| (LineKey::new(wish.product, wish.session, &wish.for_), place)).collect();
        let existing: Vec<Line> = cart.lines.iter().map(|line| line.line.clone()).collect();
        let several = cmd.lines.iter().filter(|wish| wish.quantity > 1 && wish.for_ != For::Seats).map(|wish| wish.product);
        let packs = credit_packs(&txn, several).await?;
        let changes = rules::set_lines(&existing, cmd.lines, &packs, self.shop.several_items_per_order)?;
        let mut draft = Draft::of(cart);
        self.apply(&mut draft, changes, &HashMap::new());
        let view = self.price(&txn, caller, draft.cart.clone(), detail, &draft.touched, Judge::Reading).await?;
        let mut refusals: Vec<(usize, Refusal)> = Vec::new();
        for line in view.lines.iter().filter(|line| draft.touched.contains(&line.line.line.id)) {
            if let Err(refusal) = rules::check_line(&line.facts) {
                let place = places.get(&line.line.line.key()).copied().unwrap_or_default();
                refusals.push((place, refusal.under(["lines".to_owned(), place.to_string()])));
            }
        }
        if !refusals.is_empty() {
            refusals.sort_by_key(|(place, _)| *place);
            return Err(refusals.into_iter().map(|(_, refusal)| refusal).collect::<Vec<_>>().into());
        }
        if view.totals.is_none() {
            return Err(Refusal::from(CartRefusal::TotalTooLarge).under(["lines"]).into());
        }
        self.save(txn, draft, view).await
    }

    /// Takes lines out.
    ///
    /// # Errors
    /// [`Code::NotFound`] for each line that the cart does not have, by its place; [`Code::CartOrdered`]; [`Code::NotFound`] for a cart that
    /// is not the caller's.
    pub async fn cart_lines_remove(&self, caller: &Caller, cmd: CartLinesRemove, detail: Detail) -> Result<CartWritten> {
        let txn = self.db.begin().await?;
        let cart = match self.cart_to_write(&txn, caller, cmd.cart, cmd.expected_version, detail).await? {
            Ok(cart) => cart,
            Err(changed) => return Ok(changed),
        };
        if cmd.lines.is_empty() {
            return Err(Error::refused(Code::Required, ["lineIds"], "No lines are given; name at least one."));
        }
        let existing: Vec<CartLineId> = cart.lines.iter().map(|line| line.line.id).collect();
        rules::check_remove(&existing, &cmd.lines)?;
        let mut draft = Draft::of(cart);
        draft.cart.lines.retain(|line| !cmd.lines.contains(&Some(line.line.id)));
        draft.removed = cmd.lines.into_iter().flatten().collect();
        let view = self.price(&txn, caller, draft.cart.clone(), detail, &draft.touched, Judge::Reading).await?;
        self.save(txn, draft, view).await
    }

    /// Says who buys.
    ///
    /// # Errors
    /// [`Code::CartOrdered`]; [`Code::NotFound`] for a cart that is not the caller's.
    pub async fn cart_buyer_set(&self, caller: &Caller, cmd: CartBuyerSet, detail: Detail) -> Result<CartWritten> {
        let txn = self.db.begin().await?;
        let cart = match self.cart_to_write(&txn, caller, cmd.cart, cmd.expected_version, detail).await? {
            Ok(cart) => cart,
            Err(changed) => return Ok(changed),
        };
        let mut draft = Draft::of(cart);
        let id: PersonId = next_id();
        draft.cart.buyer = Some(Person { id, email: Some(cmd.email.clone()), name: cmd.name.clone(), address: cmd.address.clone() });
        draft.persons.push(self.new_person(id, cmd.email, cmd.name, cmd.address));
        draft.change = Change::Buyer(id);
        let view = self.price(&txn, caller, draft.cart.clone(), detail, &draft.touched, Judge::Reading).await?;
        self.save(txn, draft, view).await
    }

    /// Gives a guest's cart to the signed-in account: merged into its open cart of the same company and currency, or as its cart. Done once;
    /// again, by whichever key, it changes nothing.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] without a sign-in; [`Code::NotFound`] without the cart's secret; [`Code::CartOrdered`].
    pub async fn cart_claim(&self, caller: &Caller, id: CartId, key: &str, detail: Detail) -> Result<Answer<CartClaimed>> {
        let account = caller.require_account()?;
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "cartClaim", key };
        let txn = self.db.begin().await?;
        if let Some(answer) = self.claim(&txn, &scope, &json!({"cartId": id})).await? {
            let id: CartId = serde_json::from_value(answer["cart"].clone())?;
            return self.claimed_before(&txn, caller, id, detail).await;
        }
        store::cart::lock_account(&txn, account).await?;
        let guest = store::cart::lock(&txn, id).await?.ok_or_else(|| Error::not_found("cartId", "cart"))?;
        if let Some(own) = self.taken_over(&txn, account, &guest).await? {
            store::idempotency::finish(&txn, &scope, json!({"cart": own})).await?;
            let answer = self.claimed_before(&txn, caller, own, detail).await?;
            txn.commit().await?;
            return Ok(answer);
        }
        if !self.knows_secret(caller, &guest) {
            return Err(Error::not_found("cartId", "cart"));
        }
        rules::check_write(guest.status, guest.order_number.as_deref(), guest.version, None).map_err(Refusal::from)?;
        let now = self.now();
        let (draft, notices) = match store::cart::lock_open(&txn, account, guest.company, guest.currency).await? {
            Some(own) => {
                let lines = |cart: &Cart| cart.lines.iter().map(|line| line.line.clone()).collect::<Vec<_>>();
                let packs = credit_packs(&txn, guest.lines.iter().map(|line| line.line.product)).await?;
                let merged = rules::merge(&lines(&own), &lines(&guest), &packs);
                let learners = guest
                    .lines
                    .iter()
                    .filter_map(|line| line.learner.map(|learner| (line.line.key(), (learner, line.key.clone()))))
                    .collect();
                let mut draft = Draft::of(own);
                self.apply(&mut draft, merged.changes, &learners);
                let codes = |cart: &Cart| cart.coupons.iter().map(|held| held.code.id).collect::<Vec<_>>();
                let kept = merge(&codes(&draft.cart), &codes(&guest));
                let all: Vec<_> = draft.cart.coupons.iter().chain(&guest.coupons).cloned().collect();
                draft.cart.coupons = kept.iter().filter_map(|code| all.iter().find(|held| held.code.id == *code)).cloned().collect();
                wrote(store::cart::change(&txn, id, guest.version, Change::MergedInto(draft.cart.id), now).await?, id)?;
                (draft, merged.notices)
            }
            None => {
                wrote(store::cart::change(&txn, id, guest.version, Change::Given(account), now).await?, id)?;
                // Read again, for the account is the buyer unless the guest said who is.
                let own = store::cart::by_id(&txn, id).await?.ok_or_else(|| internal!("cart {id} went while it was held"))?;
                (Draft::of(own), Vec::new())
            }
        };
        let own = draft.cart.id;
        let mut view = self.price(&txn, caller, draft.cart.clone(), detail, &draft.touched, Judge::Reading).await?;
        self.cart_shown_save(&txn, &view).await?;
        if own != id {
            wrote(store::cart::change(&txn, own, draft.cart.version, Change::Touch, now).await?, own)?;
            view.cart.version += 1;
        }
        store::idempotency::finish(&txn, &scope, json!({"cart": own})).await?;
        txn.commit().await?;
        self.changed(id.uuid());
        self.changed(own.uuid());
        Ok(Answer { value: CartClaimed { cart: view, notices }, replayed: false })
    }

    /// The account's cart that a guest's cart is, or is part of, already.
    async fn taken_over(&self, txn: &DatabaseTransaction, account: AccountId, guest: &Cart) -> Result<Option<CartId>> {
        let own = match guest.merged_into {
            Some(target) => store::cart::by_id(txn, target).await?.filter(|cart| cart.account == Some(account)).map(|cart| cart.id),
            None => (guest.account == Some(account)).then_some(guest.id),
        };
        Ok(own)
    }

    async fn claimed_before(&self, db: &impl ConnectionTrait, caller: &Caller, id: CartId, detail: Detail) -> Result<Answer<CartClaimed>> {
        let cart = store::cart::by_id(db, id).await?.ok_or_else(|| internal!("claimed cart {id} is not there"))?;
        let cart = self.cart_view(db, caller, cart, detail).await?;
        Ok(Answer { value: CartClaimed { cart, notices: Vec::new() }, replayed: true })
    }

    /// Keeps what `view` shows, lines and coupons, as what the buyer was last shown. No new version.
    ///
    /// # Errors
    /// The database's.
    pub async fn cart_shown_save(&self, txn: &DatabaseTransaction, view: &CartView) -> Result<()> {
        if !view.cart.coupons.is_empty() {
            store::coupon::save_cart(txn, view.cart.id, &view.coupons_shown(), self.now()).await?;
        }
        Ok(store::cart::save_lines(txn, view.cart.id, &view.lines_shown()).await?)
    }

    /// Prices a cart whose codes were changed, and keeps it unless `check` refuses.
    pub(super) async fn cart_coupons_write(
        &self,
        txn: DatabaseTransaction,
        caller: &Caller,
        cart: Cart,
        detail: Detail,
        check: impl FnOnce(&Replay) -> Result<(), Refusal>,
    ) -> Result<CartWritten> {
        if cart.coupons.is_empty() {
            // The last one went; the others go and come as what is shown is kept.
            store::coupon::save_cart(&txn, cart.id, &[], self.now()).await?;
        }
        let draft = Draft::of(cart);
        let view = self.price(&txn, caller, draft.cart.clone(), detail, &draft.touched, Judge::Reading).await?;
        check(&view.replay)?;
        self.save(txn, draft, view).await
    }

    /// The cart, held and open for writing at the version expected; or else the fresh cart to answer with.
    pub(super) async fn cart_to_write(
        &self,
        txn: &DatabaseTransaction,
        caller: &Caller,
        id: CartId,
        expected_version: Option<i64>,
        detail: Detail,
    ) -> Result<Result<Cart, CartWritten>> {
        let cart = self.cart_for(txn, caller, id).await?;
        match rules::check_write(cart.status, cart.order_number.as_deref(), cart.version, expected_version) {
            Ok(()) => Ok(Ok(cart)),
            Err(reason @ CartRefusal::Changed { .. }) => {
                let cart = self.cart_view(txn, caller, cart, detail).await?;
                Ok(Err(CartWritten { cart, changed: Some(reason.into()) }))
            }
            Err(reason) => Err(Refusal::from(reason).into()),
        }
    }

    /// Brings changes of lines into the draft. `learners`: person rows that exist for named learners, with the keys of their lines.
    fn apply(&self, draft: &mut Draft, changes: Vec<LineChange>, learners: &HashMap<LineKey, (PersonId, String)>) {
        let now = self.now();
        for change in changes {
            match change {
                LineChange::SetQuantity { id, quantity } => {
                    draft.touched.insert(id);
                    for line in draft.cart.lines.iter_mut().filter(|line| line.line.id == id) {
                        line.line.quantity = quantity;
                    }
                }
                LineChange::Add(new) => {
                    let key = new.key();
                    let (learner, key) = match (learners.get(&key), &new.for_) {
                        (Some((person, stored)), _) => (Some(*person), stored.clone()),
                        (None, For::Learner { email: Some(email), name }) => {
                            let id = next_id();
                            draft.persons.push(self.new_person(id, email.clone(), name.clone(), None));
                            (Some(id), key.stored(|email| self.secrets.hash(Purpose::Email, email)))
                        }
                        (None, _) => (None, key.stored(|email| self.secrets.hash(Purpose::Email, email))),
                    };
                    // A line of somebody whose name was erased meanwhile has the same stored key, though it no longer says for whom it is.
                    if let Some(line) = draft.cart.lines.iter_mut().find(|line| line.key == key) {
                        draft.touched.insert(line.line.id);
                        (line.line.for_, line.line.quantity, line.learner) = (new.for_, new.quantity, learner);
                        continue;
                    }
                    let id = next_id();
                    draft.touched.insert(id);
                    let position = draft.cart.lines.last().map_or(0, |last| last.position + 1);
                    let line = Line { id, product: new.product, session: new.session, for_: new.for_, quantity: new.quantity };
                    draft.cart.lines.push(CartLine { line, key, learner, position, shown: None, added_at: now });
                }
            }
        }
    }

    fn new_person(&self, id: PersonId, email: Email, name: Option<String>, address: Option<Address>) -> NewPerson {
        let email_hash = self.secrets.hash(Purpose::Email, email.normalised());
        NewPerson { id, email, email_hash, name, address }
    }

    async fn save(&self, txn: DatabaseTransaction, draft: Draft, mut view: CartView) -> Result<CartWritten> {
        let (id, now) = (draft.cart.id, self.now());
        store::person::insert(&txn, &draft.persons, now).await?;
        store::cart::remove_lines(&txn, id, &draft.removed).await?;
        self.cart_shown_save(&txn, &view).await?;
        wrote(store::cart::change(&txn, id, draft.cart.version, draft.change, now).await?, id)?;
        txn.commit().await?;
        self.changed(id.uuid());
        view.cart.version += 1;
        Ok(CartWritten { cart: view, changed: None })
    }
}

/// The credit packs among these products.
async fn credit_packs(db: &impl ConnectionTrait, among: impl Iterator<Item = ProductId>) -> Result<HashSet<ProductId>> {
    let among: Vec<ProductId> = among.collect::<HashSet<_>>().into_iter().collect();
    let found = store::product::products(db, &among).await?;
    Ok(found.into_iter().filter(|product| product.kind == ProductKind::CreditPack).map(|product| product.id).collect())
}

/// A conditional write to a cart whose row is held cannot miss.
fn wrote(written: bool, id: CartId) -> Result<()> {
    if written { Ok(()) } else { Err(internal!("cart {id} changed while it was held")) }
}

/// The error, at another field.
fn at(field: &str, error: Error) -> Error {
    match error {
        Error::Refused(refusals) => {
            Error::Refused(refusals.into_iter().map(|refusal| Refusal { field: vec![field.to_owned()], ..refusal }).collect())
        }
        other => other,
    }
}
