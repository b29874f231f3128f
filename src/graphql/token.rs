//! Registration tokens: seats that were bought and can be handed out.

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{CompanyId, OrderId, ProductId, SalesOrderId, TokenId};
use uuid::Uuid;

use super::cart::LearnerInput;
use super::connection::{Finder, empty_finder, exported, wants_total};
use super::error::{UserError, answer, outcome, payload, scope};
use super::scalar::{input_id, named_enum};
use crate::app::export::Export;
use crate::app::token::{Assignee, Key, Pool, TokenView};
use crate::page::ListName;

named_enum! {
    /// Where a token stands. EXPIRED = its time is over and nobody redeemed it.
    TokenStatus(domain::token::TokenStatus)
}

/// A seat: its code opens what was bought for one learner, once.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Token {
    #[graphql(skip)]
    key: TokenId,
    /// Where it stands.
    pub status: TokenStatus,
    /// The code to hand out: for whoever bought it, managers of its company, and operators with `learning:write`; null for others.
    pub code: Option<String>,
    /// The last characters of the code, to tell seats apart.
    pub hint: String,
    /// Number of the seat, from 1.
    pub seat: i32,
    /// The product it opens.
    pub product_id: ID,
    /// The order that bought it.
    pub order_id: Option<ID>,
    /// The sales order that bought it.
    pub sales_order_id: Option<ID>,
    /// The company it was bought for.
    pub company_id: Option<ID>,
    /// Until when it can be redeemed; empty = without end.
    pub ends_at: Option<DateTime<Utc>>,
    /// Whom it was handed to, for those who see the code.
    pub assigned_to: Option<TokenLearner>,
    /// The account that redeemed it.
    pub redeemed_by: Option<ID>,
    /// When it was redeemed.
    pub redeemed_at: Option<DateTime<Utc>>,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
}

impl From<TokenView> for Token {
    fn from(view: TokenView) -> Self {
        let token = view.token;
        Self {
            key: token.id,
            status: view.status.into(),
            code: view.code,
            hint: token.code_hint,
            seat: token.seat,
            product_id: token.product.into(),
            order_id: token.order.map(ID::from),
            sales_order_id: token.sales_order.map(ID::from),
            company_id: token.company.map(ID::from),
            ends_at: token.ends_at,
            assigned_to: view
                .assigned_to
                .map(|person| TokenLearner { email: person.email.map(|email| email.as_str().to_owned()), name: person.name }),
            redeemed_by: token.redeemed_by.map(ID::from),
            redeemed_at: token.redeemed_at,
            created_at: token.created_at,
        }
    }
}

/// Whom a seat was handed to; empty once the person was erased.
#[derive(Debug, Clone, SimpleObject)]
pub struct TokenLearner {
    /// E-mail.
    pub email: Option<String>,
    /// Name.
    pub name: Option<String>,
}

#[ComplexObject]
impl Token {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.key.into()
    }
}

/// Queries about tokens.
#[derive(Debug, Default)]
pub struct TokenQuery;

#[Object]
impl TokenQuery {
    /// Tokens, the oldest first: those you bought and those of companies that you manage; for operators all. With `companyId`, `orderId`,
    /// `salesOrderId` or `productId` only the ones of that company, order, sales order or product.
    #[expect(clippy::too_many_arguments, reason = "these are the arguments of the field")]
    async fn tokens(
        &self,
        ctx: &Context<'_>,
        company_id: Option<ID>,
        order_id: Option<ID>,
        sales_order_id: Option<ID>,
        product_id: Option<ID>,
        status: Option<TokenStatus>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Finder<Token>> {
        let (app, caller) = scope(ctx)?;
        let found = async {
            let (company, order) = (company_id.map(|id| CompanyId::parse(&id)), order_id.map(|id| OrderId::parse(&id)));
            let sales_order = sales_order_id.map(|id| SalesOrderId::parse(&id));
            let product = product_id.map(|id| ProductId::parse(&id));
            // An id of nothing has no tokens; who may not ask is told so all the same.
            let nothing = company == Some(None) || order == Some(None) || sales_order == Some(None) || product == Some(None);
            let of =
                Pool { company: company.flatten(), order: order.flatten(), sales_order: sales_order.flatten(), product: product.flatten() };
            let wanted = status.map(|status| status.0);
            let list = ListName::new("tokens", &(&of, wanted))?;
            let args = list.args::<(Key, Uuid)>(first, after.as_deref())?;
            let page = app.tokens(caller, of.clone(), wanted, &args, wants_total(ctx)).await?;
            if nothing {
                return Ok(empty_finder(wants_total(ctx)));
            }
            let what = Export::Tokens { of: of.clone(), status: wanted };
            exported(&list, page, what, |view| (Key::At(view.token.created_at), view.token.id.uuid()), Token::from)
        };
        answer(found.await)
    }
}

/// Redeems a token.
#[derive(InputObject)]
pub struct TokenRedeemInput {
    /// The code, in any case, with or without separators.
    pub code: String,
    /// A new key for each token you redeem.
    pub idempotency_key: String,
}

/// Gives a seat another code.
#[derive(Debug, InputObject)]
pub struct TokenRevokeInput {
    /// The token whose code shall no longer work.
    pub token_id: ID,
}

/// Hands seats to learners, one each. Say of which order, sales order or company; where those are of several products, of which product, too.
#[derive(Debug, InputObject)]
pub struct TokenAssignInput {
    /// The order that bought the seats.
    pub order_id: Option<ID>,
    /// The sales order that bought the seats.
    pub sales_order_id: Option<ID>,
    /// The company whose seats they are. One that may exceed its seats (`overageLimit`) gets as many more as it lacks, at the last agreed price.
    pub company_id: Option<ID>,
    /// The product that they open.
    pub product_id: Option<ID>,
    /// Who gets one each: 1 to 1,000.
    pub learners: Vec<LearnerInput>,
    /// A new key for each handing out.
    pub idempotency_key: String,
}

/// The seats that were handed out.
#[derive(SimpleObject)]
pub struct TokenAssignPayload {
    /// The tokens, in the order of the learners; empty if the call was refused.
    pub tokens: Vec<Token>,
    /// Whether this is the answer of an earlier call with the same idempotency key.
    pub replayed: bool,
    /// Why the call was refused; empty when it was done.
    pub user_errors: Vec<UserError>,
}

/// Hands an unused seat to another learner.
#[derive(Debug, InputObject)]
pub struct TokenTransferInput {
    /// The token whose seat it is.
    pub token_id: ID,
    /// Who gets the seat.
    pub learner: LearnerInput,
}

payload! {
    /// The seat's token, as the learner gets it.
    TokenTransferPayload {
        /// The token.
        token: Token
    }
}

payload! {
    /// The redeemed token.
    TokenRedeemPayload {
        /// The token.
        token: Token, replayed
    }
}
payload! {
    /// The fresh token of the seat.
    TokenRevokePayload {
        /// The token.
        token: Token
    }
}

/// Mutations of tokens.
#[derive(Debug, Default)]
pub struct TokenMutation;

#[Object]
impl TokenMutation {
    /// Redeems a token for the signed-in person, at most once.
    async fn token_redeem(&self, ctx: &Context<'_>, input: TokenRedeemInput) -> async_graphql::Result<TokenRedeemPayload> {
        let (app, caller) = scope(ctx)?;
        TokenRedeemPayload::of(app.token_redeem(caller, &input.code, &input.idempotency_key).await)
    }

    /// Hands free seats to up to 1,000 learners, one each: all of them or none. The code redeems it, for whoever has it; the buyer takes no seat
    /// unless named. For whoever bought the seats, managers of their company, and operators.
    async fn token_assign(&self, ctx: &Context<'_>, input: TokenAssignInput) -> async_graphql::Result<TokenAssignPayload> {
        let (app, caller) = scope(ctx)?;
        let assigned = async {
            caller.require_sign_in()?;
            let pool = Pool {
                order: input.order_id.map(|id| input_id(&id, "orderId", "order")).transpose()?,
                sales_order: input.sales_order_id.map(|id| input_id(&id, "salesOrderId", "sales order")).transpose()?,
                company: input.company_id.map(|id| input_id(&id, "companyId", "company")).transpose()?,
                product: input.product_id.map(|id| input_id(&id, "productId", "product")).transpose()?,
            };
            let learners: Vec<Assignee> = input.learners.into_iter().map(assignee).collect();
            app.token_assign(caller, pool, &learners, &input.idempotency_key).await
        };
        Ok(match outcome(assigned.await)? {
            Ok(done) => TokenAssignPayload {
                tokens: done.value.into_iter().map(Token::from).collect(),
                replayed: done.replayed,
                user_errors: Vec::new(),
            },
            Err(user_errors) => TokenAssignPayload { tokens: Vec::new(), replayed: false, user_errors },
        })
    }

    /// Hands an unused seat to another learner. A code that somebody was given is dead then, and the seat has a fresh one.
    async fn token_transfer(&self, ctx: &Context<'_>, input: TokenTransferInput) -> async_graphql::Result<TokenTransferPayload> {
        let (app, caller) = scope(ctx)?;
        let transferred = async {
            caller.require_sign_in()?;
            let id = input_id(&input.token_id, "tokenId", "token")?;
            app.token_transfer(caller, id, &assignee(input.learner)).await
        };
        TokenTransferPayload::of(transferred.await)
    }

    /// Voids an unused code and issues a fresh one for its seat.
    async fn token_revoke(&self, ctx: &Context<'_>, input: TokenRevokeInput) -> async_graphql::Result<TokenRevokePayload> {
        let (app, caller) = scope(ctx)?;
        let revoked = async {
            caller.require_sign_in()?;
            let id = input_id(&input.token_id, "tokenId", "token")?;
            app.token_revoke(caller, id).await
        };
        TokenRevokePayload::of(revoked.await)
    }
}

fn assignee(learner: LearnerInput) -> Assignee {
    Assignee { email: learner.email, name: learner.name }
}
