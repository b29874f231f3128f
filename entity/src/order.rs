//! What somebody bought, as it was at that moment.

use sea_orm::entity::prelude::*;

/// What somebody bought, as it was at that moment.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Order number, not sequential.
    #[sea_orm(column_type = "Text")]
    pub number: String,
    /// The cart it came from.
    pub cart_id: Uuid,
    /// Whose order; null until fulfilment made a guest's account.
    pub account_id: Option<Uuid>,
    /// Who bought.
    pub buyer_person_id: Uuid,
    /// Context: company.
    pub company_id: Option<Uuid>,
    /// Currency of every amount.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// Context: locale.
    #[sea_orm(column_type = "Text")]
    pub locale: String,
    /// See the order states.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// Sum of the lines' subtotals.
    pub subtotal_minor: i64,
    /// Sum of the lines' discounts.
    pub discount_minor: i64,
    /// Sum of the lines' nets.
    pub net_minor: i64,
    /// Sum of the lines' taxes.
    pub tax_minor: i64,
    /// What is to pay.
    pub total_minor: i64,
    /// How net and total relate.
    pub prices_include_tax: bool,
    /// Exchange rates used, frozen.
    #[sea_orm(column_type = "JsonBinary")]
    pub rates: Json,
    /// Grows with every change.
    pub version: i64,
    /// Actor who placed it.
    #[sea_orm(column_type = "Text")]
    pub placed_by: String,
    /// When it was placed.
    pub placed_at: DateTimeUtc,
    /// When it lapses unpaid.
    pub lapses_at: Option<DateTimeUtc>,
    /// When it was paid in full.
    pub paid_at: Option<DateTimeUtc>,
    /// The attempt that paid it; null for orders of nothing.
    pub paid_payment_id: Option<Uuid>,
    /// When all it gives was given.
    pub fulfilled_at: Option<DateTimeUtc>,
    /// When it was cancelled or lapsed.
    pub closed_at: Option<DateTimeUtc>,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
    /// Whether somebody of the shop or a company let it pass without payment.
    pub bypass: bool,
    /// Why.
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
