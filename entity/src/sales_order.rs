//! Seats sold to a company in bulk.

use sea_orm::entity::prelude::*;

/// Seats sold to a company in bulk.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sales_order")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Number for people.
    #[sea_orm(column_type = "Text")]
    pub number: String,
    /// The company that buys.
    pub company_id: Uuid,
    /// ORDER, or OVERAGE: seats beyond those bought.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// DRAFT, QUOTED, CONFIRMED, INVOICED, PAID or CANCELLED.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// Who made the sale: OPERATOR, COMPANY or LICENSOR.
    #[sea_orm(column_type = "Text")]
    pub originator: String,
    /// Currency of all its amounts.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// Language of its texts and documents.
    #[sea_orm(column_type = "Text")]
    pub locale: String,
    /// The company's own number of it.
    #[sea_orm(column_type = "Text", nullable)]
    pub po_number: Option<String>,
    /// What is agreed about paying.
    #[sea_orm(column_type = "Text", nullable)]
    pub terms: Option<String>,
    /// Remarks.
    #[sea_orm(column_type = "Text", nullable)]
    pub notes: Option<String>,
    /// Whom its documents are made out to, in lines.
    #[sea_orm(column_type = "Text", nullable)]
    pub bill_to: Option<String>,
    /// When its seats are given; fixed when it is confirmed.
    #[sea_orm(column_type = "Text", nullable)]
    pub tokens_on: Option<String>,
    /// Until when its quote can be accepted.
    pub valid_until: Option<DateTimeUtc>,
    /// Sum of the subtotals.
    pub subtotal_minor: i64,
    /// Sum of the discounts.
    pub discount_minor: i64,
    /// Sum of the net amounts.
    pub net_minor: i64,
    /// Sum of the taxes.
    pub tax_minor: i64,
    /// What it costs.
    pub total_minor: i64,
    /// Money that came.
    pub paid_minor: i64,
    /// What of the total is not to be paid, or went back.
    pub credited_minor: i64,
    /// Money that was paid out again.
    pub returned_minor: i64,
    /// Grows with every change.
    pub version: i64,
    /// Who wrote it.
    #[sea_orm(column_type = "Text")]
    pub created_by: String,
    /// When.
    pub created_at: DateTimeUtc,
    /// When it was last sent as a quote.
    pub quoted_at: Option<DateTimeUtc>,
    /// Who made it hold.
    #[sea_orm(column_type = "Text", nullable)]
    pub confirmed_by: Option<String>,
    /// When.
    pub confirmed_at: Option<DateTimeUtc>,
    /// When its invoice was issued.
    pub invoiced_at: Option<DateTimeUtc>,
    /// Since when nothing is due.
    pub paid_at: Option<DateTimeUtc>,
    /// When its seats were given.
    pub given_at: Option<DateTimeUtc>,
    /// When it was called off.
    pub cancelled_at: Option<DateTimeUtc>,
    /// Why.
    #[sea_orm(column_type = "Text", nullable)]
    pub cancel_reason: Option<String>,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
