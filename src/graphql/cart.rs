//! Carts: what somebody is about to buy.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, OneofObject, SimpleObject};
use domain::cart::{For, LineWish};
use domain::person::Address as PostalAddress;
use domain::refusal::Reason;
use domain::text::{self, Email};

use super::cart_coupon::CartCoupon;
use super::error::{UserError, UserErrorCode, answer, outcome, scope};
use super::offer::{ContextInput, Offer, PriceContext, PriceStep, detail};
use super::order::{Order, parts, view};
use super::scalar::{CurrencyCode, Decimal, Long, Money, input_id, named_enum};
use crate::app::cart::{
    CartBuyerSet, CartClaimed, CartCreate, CartCreated, CartLineView, CartLinesRemove, CartLinesSet, CartView, CartWritten, Person,
};
use crate::app::offer::Detail;
use crate::error::{Code, Error, Refusal, Result};

named_enum! {
    /// Whether a cart can still be written to: OPEN can, ORDERED became an order, MERGED went into an account's cart.
    CartStatus(domain::cart::CartStatus)
}

named_enum! {
    /// Whom a line is for: SELF the buyer, SEATS whoever redeems a token, LEARNER somebody named.
    LineForKind(domain::cart::ForKind)
}

/// A postal address.
#[derive(Debug, Clone, SimpleObject)]
pub struct Address {
    /// The lines in order, without the country.
    pub lines: Vec<String>,
    /// ISO 3166 code of the country.
    pub country: Option<String>,
}

/// A postal address.
#[derive(Debug, Clone, InputObject)]
pub struct AddressInput {
    /// The lines in order, without the country: 1 to 8 of at most 200 characters.
    pub lines: Vec<String>,
    /// ISO 3166 code of the country, two letters.
    pub country: Option<String>,
}

impl AddressInput {
    /// The address, or a refusal of what is wrong with it.
    ///
    /// # Errors
    /// A refusal with its path below the address.
    pub fn parse(&self) -> Result<PostalAddress, Refusal> {
        Ok(PostalAddress::parse(&self.lines, self.country.as_deref())?)
    }
}

impl From<PostalAddress> for Address {
    fn from(address: PostalAddress) -> Self {
        Self { lines: address.lines, country: address.country }
    }
}

/// Who buys.
#[derive(Debug, Clone, SimpleObject)]
pub struct Buyer {
    /// E-mail; null once the person was erased.
    pub email: Option<String>,
    /// Full name.
    pub name: Option<String>,
    /// Postal address.
    pub address: Option<Address>,
}

impl From<Person> for Buyer {
    fn from(person: Person) -> Self {
        Self { email: person.email.map(|email| email.as_str().to_owned()), name: person.name, address: person.address.map(Address::from) }
    }
}

/// Whom a line is for.
#[derive(Debug, Clone, SimpleObject)]
pub struct LineFor {
    /// Whether for the buyer, for seats, or for somebody named.
    pub kind: LineForKind,
    /// The named learner; null once they were erased.
    pub learner: Option<Learner>,
}

/// A named learner.
#[derive(Debug, Clone, SimpleObject)]
pub struct Learner {
    /// E-mail.
    pub email: String,
    /// Name.
    pub name: Option<String>,
}

impl From<For> for LineFor {
    fn from(for_: For) -> Self {
        let kind = for_.kind().into();
        let learner = match for_ {
            For::Learner { email: Some(email), name } => Some(Learner { email: email.as_str().to_owned(), name }),
            For::Learner { email: None, .. } | For::SelfBuyer | For::Seats => None,
        };
        Self { kind, learner }
    }
}

/// Something to know about a line of a cart.
#[derive(Debug, Clone, SimpleObject)]
pub struct CartNotice {
    /// What it is about, such as PRICE_CHANGED or NOT_AVAILABLE.
    pub code: UserErrorCode,
    /// The same as a sentence.
    pub message: String,
    /// Whether the cart cannot be placed while this stands.
    pub blocking: bool,
}

/// Something that stands wrong with a cart, or is missing before it can be placed.
#[derive(Debug, Clone, SimpleObject)]
pub struct CartProblem {
    /// What it is about.
    pub code: UserErrorCode,
    /// What is wrong and what to do.
    pub message: String,
    /// The line concerned; null for the cart as a whole.
    pub line_id: Option<ID>,
}

impl From<domain::cart::Problem> for CartProblem {
    fn from(problem: domain::cart::Problem) -> Self {
        Self { code: problem.code.into(), message: problem.message, line_id: problem.line.map(|line| line.to_string().into()) }
    }
}

/// Whether a cart can be placed.
#[derive(Debug, Clone, SimpleObject)]
pub struct CartReadiness {
    /// Whether it can be placed.
    pub ready: bool,
    /// What has to be done first; empty if it can be placed.
    pub missing: Vec<CartProblem>,
}

/// A way to pay for a cart, as it is now.
#[derive(Debug, Clone, SimpleObject)]
pub struct CartPaymentMethod {
    /// Id of the gateway, to be named when placing.
    pub gateway: String,
    /// What to show when the buyer chooses.
    pub display_name: String,
    /// Whether it may send the buyer's browser away.
    pub redirect: bool,
    /// Whether it answers with instructions such as bank details.
    pub instructions: bool,
}

/// A line of a cart, priced now.
#[derive(Debug, Clone, SimpleObject)]
pub struct CartLine {
    /// Id.
    pub id: ID,
    /// Id of the product.
    pub product_id: ID,
    /// The dated session that it is for.
    pub session_id: Option<ID>,
    /// The product as this buyer sees it, priced for the line's quantity; null if it is gone or no longer for them, which a notice says.
    pub offer: Option<Offer>,
    /// How many.
    pub quantity: u32,
    /// Whom it is for.
    #[graphql(name = "for")]
    pub for_: LineFor,
    /// What one costs, by a pack if a coupon sells one; null without a price, and where the parts of a graduated schedule cost differently.
    pub unit_price: Option<Money>,
    /// The steps that the subtotal is computed from; empty without a price.
    pub price_breakdown: Vec<PriceStep>,
    /// The credits that the quantity gives, the product's own or those of a pack; 0 for none.
    pub credits: Long,
    /// What the quantity costs; null without a price.
    pub subtotal: Option<Money>,
    /// What was taken off; null without a price.
    pub discount: Option<Money>,
    /// Percent of the amount without tax that is tax; null without a price.
    pub tax_rate: Option<Decimal>,
    /// Tax in the total; null without a price.
    pub tax: Option<Money>,
    /// What is to pay for the line; null without a price.
    pub total: Option<Money>,
    /// The code of the coupon that took it.
    pub coupon: Option<String>,
    /// What there is to know about it: what is gone, changed since the cart was last written, or owned already.
    pub notices: Vec<CartNotice>,
}

impl CartLine {
    fn new(view: CartLineView, context: &Arc<PriceContext>) -> Self {
        let notices = view
            .notices
            .iter()
            .map(|notice| CartNotice { code: notice.code().into(), message: notice.to_string(), blocking: notice.blocks() })
            .collect();
        let amounts = view.amounts().copied();
        let line = view.line.line;
        Self {
            id: line.id.to_string().into(),
            product_id: line.product.to_string().into(),
            session_id: view.session.map(ID::from),
            quantity: line.quantity,
            for_: line.for_.into(),
            unit_price: view.quote.as_ref().and_then(|quote| quote.unit_price).map(Money::from),
            price_breakdown: view.quote.iter().flat_map(|quote| &quote.steps).map(PriceStep::from).collect(),
            credits: Long(i64::try_from(view.facts.credits.count).unwrap_or(i64::MAX)),
            offer: view.offer.map(|offer| Offer::new(offer, context.clone())),
            subtotal: amounts.map(|amounts| amounts.subtotal.into()),
            discount: amounts.map(|amounts| amounts.discount.into()),
            tax_rate: amounts.map(|amounts| amounts.tax_rate.into()),
            tax: amounts.map(|amounts| amounts.tax.into()),
            total: amounts.map(|amounts| amounts.total.into()),
            coupon: view.coupon,
            notices,
        }
    }
}

/// What somebody is about to buy. Its company, currency and locale are fixed when it is made; every read prices it now.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Cart {
    #[graphql(skip)]
    order: Option<domain::OrderId>,
    /// Id.
    #[graphql(owned)]
    pub id: ID,
    /// Grows with every write; send it as `expectedVersion` to notice writes of others.
    pub version: Long,
    /// Whether it can still be written to.
    pub status: CartStatus,
    /// Currency of every amount.
    pub currency: CurrencyCode,
    /// Locale of texts.
    pub locale: String,
    /// The context that it is priced in, and when.
    pub context: Arc<PriceContext>,
    /// The lines in order of adding.
    pub lines: Vec<CartLine>,
    /// Its coupons in order of adding: what each saves on which line, or why it does nothing.
    pub coupons: Vec<CartCoupon>,
    /// How it can be paid as it is now; empty while there is nothing to pay.
    pub payment_methods: Vec<CartPaymentMethod>,
    /// Sum of the lines' subtotals; lines without a price are left out, here and below. Null only if the sums are too large for an amount,
    /// which `problems` says.
    pub subtotal: Option<Money>,
    /// Sum of the lines' discounts.
    pub discount: Option<Money>,
    /// Sum of the lines' taxes.
    pub tax: Option<Money>,
    /// What is to pay: repeat it as `expectedTotal` when placing.
    pub total: Option<Money>,
    /// What stands wrong with it.
    pub problems: Vec<CartProblem>,
    /// Whether it can be placed, and what has to be done first.
    pub readiness: CartReadiness,
    /// Who buys; by itself the account, for a signed-in buyer's cart.
    pub buyer: Option<Buyer>,
}

#[ComplexObject]
impl Cart {
    /// The order that it became; null while it became none, and for who may not see that order (any more).
    async fn order(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Order>> {
        let Some(id) = self.order else { return Ok(None) };
        let (app, caller) = scope(ctx)?;
        answer(view(app, caller, id, parts(ctx.look_ahead())).await)
    }
}

impl From<CartView> for Cart {
    fn from(view: CartView) -> Self {
        let context = Arc::new(PriceContext::from(&view.context));
        let (cart, totals) = (view.cart, view.totals);
        Self {
            id: cart.id.to_string().into(),
            version: Long(cart.version),
            status: cart.status.into(),
            currency: cart.currency.into(),
            locale: cart.locale,
            lines: view.lines.into_iter().map(|line| CartLine::new(line, &context)).collect(),
            context,
            coupons: cart.coupons.into_iter().zip(&view.replay.coupons).map(|(held, outcome)| CartCoupon::new(held, outcome)).collect(),
            payment_methods: view
                .payment_methods
                .into_iter()
                .map(|method| CartPaymentMethod {
                    gateway: method.gateway,
                    display_name: method.display_name,
                    redirect: method.redirect,
                    instructions: method.instructions,
                })
                .collect(),
            subtotal: totals.map(|totals| totals.subtotal.into()),
            discount: totals.map(|totals| totals.discount.into()),
            tax: totals.map(|totals| totals.tax.into()),
            total: totals.map(|totals| totals.total.into()),
            problems: view.problems.into_iter().map(CartProblem::from).collect(),
            readiness: CartReadiness {
                ready: view.readiness.is_ready(),
                missing: view.readiness.missing.into_iter().map(CartProblem::from).collect(),
            },
            buyer: cart.buyer.map(Buyer::from),
            order: cart.order,
        }
    }
}

/// Whom a line is to be for: exactly one of these.
#[derive(Debug, Clone, OneofObject)]
pub enum LineForInput {
    /// `true`: the buyer.
    #[graphql(name = "self")]
    SelfBuyer(bool),
    /// `true`: seats; each gives a token that somebody redeems.
    Seats(bool),
    /// Somebody named.
    Learner(LearnerInput),
}

/// A named learner.
#[derive(Debug, Clone, InputObject)]
pub struct LearnerInput {
    /// E-mail.
    pub email: String,
    /// Name.
    pub name: Option<String>,
}

impl LineForInput {
    /// For whom, or a refusal of what is wrong with it.
    ///
    /// # Errors
    /// A refusal with its path below `for`.
    pub fn parse(&self) -> Result<For, Refusal> {
        let given = |value: bool, field: &'static str, meant: For| {
            if value { Ok(meant) } else { Err(Refusal::at(Code::Invalid, [field], "Write true here, or name another of the choices.")) }
        };
        match self {
            Self::SelfBuyer(value) => given(*value, "self", For::SelfBuyer),
            Self::Seats(value) => given(*value, "seats", For::Seats),
            Self::Learner(learner) => Ok(For::Learner {
                email: Some(email(&learner.email).map_err(|refusal| refusal.under(["learner"]))?),
                name: name(learner.name.as_deref()).map_err(|refusal| refusal.under(["learner"]))?,
            }),
        }
    }
}

/// Reads an e-mail address.
fn email(text: &str) -> Result<Email, Refusal> {
    Email::parse(text).map_err(|reason| Refusal::from(reason).under(["email"]))
}

/// Reads a name; nothing but blanks is none.
fn name(text: Option<&str>) -> Result<Option<String>, Refusal> {
    let given = text.filter(|text| !text.trim().is_empty());
    given.map(text::name).transpose().map_err(|reason| Refusal::from(reason).under(["name"]))
}

/// A line to be set: product, session and "for" say which.
#[derive(Debug, Clone, InputObject)]
pub struct CartLineInput {
    /// Id of the product.
    pub product_id: ID,
    /// Session of an event.
    pub session_id: Option<ID>,
    /// Whom it is for; the buyer unless given.
    #[graphql(name = "for")]
    pub for_: Option<LineForInput>,
    /// The quantity that it is to have, 1 to 10,000; for oneself or a named learner 1, except of credit packs.
    pub quantity: i32,
}

impl CartLineInput {
    fn parse(&self, refuse: &mut impl FnMut(Refusal)) -> Option<LineWish> {
        let product = domain::ProductId::parse(&self.product_id);
        if product.is_none() {
            refuse(Refusal::not_found("product").under(["productId"]));
        }
        let session = self.session_id.as_ref().map(|id| domain::SessionId::parse(id));
        if session == Some(None) {
            refuse(Refusal::not_found("session").under(["sessionId"]));
        }
        let for_ = match self.for_.as_ref().map_or(Ok(For::SelfBuyer), LineForInput::parse) {
            Ok(for_) => Some(for_),
            Err(refusal) => {
                refuse(refusal.under(["for"]));
                None
            }
        };
        Some(LineWish { product: product?, session: session.flatten(), for_: for_?, quantity: i64::from(self.quantity) })
    }
}

/// A cart to be made.
#[derive(Debug, Clone, InputObject)]
pub struct CartCreateInput {
    /// SKU of a first line, for the buyer; an earlier SKU of the product does as well.
    pub sku: Option<String>,
    /// The session of an event that the first line is for.
    pub session_id: Option<ID>,
    /// The code of a first coupon.
    pub coupon_code: Option<String>,
    /// Company, currency and locale; fixed from then on.
    pub context: Option<ContextInput>,
}

/// Lines to be set.
#[derive(Debug, Clone, InputObject)]
pub struct CartLinesSetInput {
    /// Id of the cart.
    pub cart_id: ID,
    /// The lines; those of the cart that are not named stay.
    pub lines: Vec<CartLineInput>,
    /// The version that you saw; with another one nothing is written.
    pub expected_version: Option<Long>,
}

/// Lines to be taken out.
#[derive(Debug, Clone, InputObject)]
pub struct CartLinesRemoveInput {
    /// Id of the cart.
    pub cart_id: ID,
    /// Ids of the lines.
    pub line_ids: Vec<ID>,
    /// The version that you saw; with another one nothing is written.
    pub expected_version: Option<Long>,
}

/// Who buys.
#[derive(Debug, Clone, InputObject)]
pub struct CartBuyerSetInput {
    /// Id of the cart.
    pub cart_id: ID,
    /// E-mail, for the receipt and the access.
    pub email: String,
    /// Full name.
    pub name: Option<String>,
    /// Postal address.
    pub address: Option<AddressInput>,
    /// The version that you saw; with another one nothing is written.
    pub expected_version: Option<Long>,
}

/// A guest's cart to be claimed; its secret comes in the header `Cart-Secret`.
#[derive(Debug, Clone, InputObject)]
pub struct CartClaimInput {
    /// Id of the guest's cart.
    pub cart_id: ID,
    /// A key of your own, new for each thing you want done.
    pub idempotency_key: String,
}

/// The new cart.
#[derive(Debug, SimpleObject)]
pub struct CartCreatePayload {
    /// The cart.
    pub cart: Option<Cart>,
    /// A guest cart's secret, given this once: send it in the header `Cart-Secret`. Null for a signed-in buyer's cart.
    pub secret: Option<String>,
    /// Why the call was refused; empty when it was done.
    pub user_errors: Vec<UserError>,
}

/// The account's cart after claiming.
#[derive(Debug, SimpleObject)]
pub struct CartClaimPayload {
    /// The cart that the account has now.
    pub cart: Option<Cart>,
    /// What could not be taken over as it was.
    pub notices: Vec<CartNotice>,
    /// Whether it had been claimed before, so that nothing was changed.
    pub replayed: bool,
    /// Why the call was refused; empty when it was done.
    pub user_errors: Vec<UserError>,
}

/// Declares the payload of a write to a cart.
macro_rules! written_payload {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, SimpleObject)]
        pub struct $name {
            /// The cart as it is now; given with CART_CHANGED too.
            pub cart: Option<Cart>,
            /// Why the call was refused; empty when it was done.
            pub user_errors: Vec<UserError>,
        }

        impl $name {
            pub(super) fn of(result: Result<CartWritten>) -> async_graphql::Result<Self> {
                Ok(match outcome(result)? {
                    Ok(written) => Self {
                        cart: Some(written.cart.into()),
                        user_errors: written.changed.into_iter().map(UserError::from).collect(),
                    },
                    Err(user_errors) => Self { cart: None, user_errors },
                })
            }
        }
    };
}

pub(super) use written_payload;

written_payload! {
    /// The cart with the lines set.
    CartLinesSetPayload
}
written_payload! {
    /// The cart without the lines.
    CartLinesRemovePayload
}
written_payload! {
    /// The cart with its buyer.
    CartBuyerSetPayload
}

/// What of the offers of a cart's lines is read, from what was selected below `cart`.
pub(super) fn offer_detail(ctx: &Context<'_>) -> Detail {
    detail(&[ctx.look_ahead().field("cart").field("lines").field("offer")])
}

/// Queries about carts.
#[derive(Debug, Default)]
pub struct CartQuery;

#[Object]
impl CartQuery {
    /// A cart, priced now. Null if there is none or it is not yours: a guest's cart takes its secret in the header `Cart-Secret`.
    async fn cart(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Cart>> {
        let (app, caller) = scope(ctx)?;
        let Some(id) = domain::CartId::parse(&id) else { return Ok(None) };
        let detail = detail(&[ctx.look_ahead().field("lines").field("offer")]);
        Ok(answer(app.cart(caller, id, detail).await)?.map(Cart::from))
    }
}

/// Mutations of carts.
#[derive(Debug, Default)]
pub struct CartMutation;

#[Object]
impl CartMutation {
    /// Makes a cart: a signed-in buyer's own, or a guest's, whose secret is given this once.
    async fn cart_create(&self, ctx: &Context<'_>, input: CartCreateInput) -> async_graphql::Result<CartCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let made: Result<CartCreated> = async {
            let Some(context) = ContextInput::parse(input.context)? else {
                return Err(Refusal::not_found("company").under(["context", "companyId"]).into());
            };
            let session = input.session_id.map(|id| input_id(&id, "sessionId", "session")).transpose()?;
            let cmd = CartCreate { sku: input.sku, session, coupon_code: input.coupon_code, context };
            app.cart_create(caller, cmd, offer_detail(ctx)).await
        }
        .await;
        Ok(match outcome(made)? {
            Ok(made) => CartCreatePayload { cart: Some(made.cart.into()), secret: made.secret, user_errors: Vec::new() },
            Err(user_errors) => CartCreatePayload { cart: None, secret: None, user_errors },
        })
    }

    /// Sets the quantity of the lines named by product, session and "for", adding those that the cart does not have; others stay.
    async fn cart_lines_set(&self, ctx: &Context<'_>, input: CartLinesSetInput) -> async_graphql::Result<CartLinesSetPayload> {
        let (app, caller) = scope(ctx)?;
        let written = async {
            let cart = input_id(&input.cart_id, "cartId", "cart")?;
            let (mut lines, mut refusals) = (Vec::with_capacity(input.lines.len()), Vec::new());
            for (place, line) in input.lines.iter().enumerate() {
                lines.extend(line.parse(&mut |refusal| refusals.push(refusal.under(["lines".to_owned(), place.to_string()]))));
            }
            if !refusals.is_empty() {
                return Err(Error::from(refusals));
            }
            let cmd = CartLinesSet { cart, lines, expected_version: input.expected_version.map(|version| version.0) };
            app.cart_lines_set(caller, cmd, offer_detail(ctx)).await
        };
        CartLinesSetPayload::of(written.await)
    }

    /// Takes lines out of a cart.
    async fn cart_lines_remove(&self, ctx: &Context<'_>, input: CartLinesRemoveInput) -> async_graphql::Result<CartLinesRemovePayload> {
        let (app, caller) = scope(ctx)?;
        let written = async {
            let cmd = CartLinesRemove {
                cart: input_id(&input.cart_id, "cartId", "cart")?,
                lines: input.line_ids.iter().map(|id| domain::CartLineId::parse(id)).collect(),
                expected_version: input.expected_version.map(|version| version.0),
            };
            app.cart_lines_remove(caller, cmd, offer_detail(ctx)).await
        };
        CartLinesRemovePayload::of(written.await)
    }

    /// Says who buys. Needed for a guest's cart before it is placed; a signed-in buyer's cart has the account's person unless another is set.
    async fn cart_buyer_set(&self, ctx: &Context<'_>, input: CartBuyerSetInput) -> async_graphql::Result<CartBuyerSetPayload> {
        let (app, caller) = scope(ctx)?;
        let written = async {
            let cart = input_id(&input.cart_id, "cartId", "cart")?;
            let (email, name) = (email(&input.email), name(input.name.as_deref()));
            let address = input.address.as_ref().map(AddressInput::parse).transpose().map_err(|refusal| refusal.under(["address"]));
            match (email, name, address) {
                (Ok(email), Ok(name), Ok(address)) => {
                    let expected_version = input.expected_version.map(|version| version.0);
                    app.cart_buyer_set(caller, CartBuyerSet { cart, email, name, address, expected_version }, offer_detail(ctx)).await
                }
                (email, name, address) => Err([email.err(), name.err(), address.err()].into_iter().flatten().collect::<Vec<_>>().into()),
            }
        };
        CartBuyerSetPayload::of(written.await)
    }

    /// Gives a guest's cart to the signed-in account: its lines go into the account's open cart of the same company and currency, or it becomes
    /// the account's cart. From then on its secret opens nothing. Repeating it changes nothing.
    async fn cart_claim(&self, ctx: &Context<'_>, input: CartClaimInput) -> async_graphql::Result<CartClaimPayload> {
        let (app, caller) = scope(ctx)?;
        answer(caller.require_account())?;
        let claimed = async {
            let cart = input_id(&input.cart_id, "cartId", "cart")?;
            app.cart_claim(caller, cart, &input.idempotency_key, offer_detail(ctx)).await
        };
        Ok(match outcome(claimed.await)? {
            Ok(answer) => {
                let CartClaimed { cart, notices } = answer.value;
                let notices = notices
                    .iter()
                    .map(|notice| CartNotice { code: notice.code().into(), message: notice.to_string(), blocking: false })
                    .collect();
                CartClaimPayload { cart: Some(cart.into()), notices, replayed: answer.replayed, user_errors: Vec::new() }
            }
            Err(user_errors) => CartClaimPayload { cart: None, notices: Vec::new(), replayed: false, user_errors },
        })
    }
}
