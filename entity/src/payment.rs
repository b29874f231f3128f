//! One attempt to pay an order; its id is the operation id at the gateway.

use sea_orm::entity::prelude::*;

/// One attempt to pay an order; its id is the operation id at the gateway.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Order.
    pub order_id: Uuid,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// Id of the gateway instance.
    #[sea_orm(column_type = "Text")]
    pub gateway: String,
    /// See the payment states.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// What is to pay.
    pub amount_minor: i64,
    /// Currency.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// The buyer's one-time token for the gateway; blanked once the gateway has answered.
    #[sea_orm(column_type = "Text", nullable)]
    pub method_token: Option<String>,
    /// The network address that the buyer asked from; blanked once the gateway has the payment.
    #[sea_orm(column_type = "Text", nullable)]
    pub buyer_ip: Option<String>,
    /// The gateway's own id.
    #[sea_orm(column_type = "Text", nullable)]
    pub reference: Option<String>,
    /// Authorised in all.
    pub authorised_minor: i64,
    /// Captured in all.
    pub captured_minor: i64,
    /// Refunded in all, by the gateway's word.
    pub refunded_minor: i64,
    /// Refunds under way.
    pub refunding_minor: i64,
    /// Disputed and not won.
    pub disputed_minor: i64,
    /// Of what went back: what was paid for no line of the order.
    pub returned_minor: i64,
    /// Whether its money is what staff recorded.
    pub recorded: bool,
    /// Safe reason of a decline.
    #[sea_orm(column_type = "Text", nullable)]
    pub decline_reason: Option<String>,
    /// What the buyer has to do.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub next_action: Option<Json>,
    /// Whether an operator has to look.
    pub needs_review: bool,
    /// Why.
    #[sea_orm(column_type = "Text", nullable)]
    pub review_reason: Option<String>,
    /// Where the buyer's browser goes afterwards.
    #[sea_orm(column_type = "Text", nullable)]
    pub return_url: Option<String>,
    /// How often the gateway was asked.
    pub polls: i32,
    /// When to ask again; null = no need.
    pub next_poll_at: Option<DateTimeUtc>,
    /// When the attempt was made.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
