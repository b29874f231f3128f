//! A registration token: redeemed once, it makes an entitlement.

use sea_orm::entity::prelude::*;

/// A registration token: redeemed once, it makes an entitlement.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// ORDER_LINE or SALES_LINE.
    #[sea_orm(column_type = "Text")]
    pub source_kind: String,
    /// The line that bought the seat.
    pub source_id: Uuid,
    /// Number of the seat, from 1.
    pub seat: i32,
    /// Which code of the seat, from 1; revoking issues the next.
    pub issue: i32,
    /// The order behind it.
    pub order_id: Option<Uuid>,
    /// The sales order behind it.
    pub sales_order_id: Option<Uuid>,
    /// Company whose managers see it.
    pub company_id: Option<Uuid>,
    /// Account that bought it.
    pub owner_account_id: Option<Uuid>,
    /// Product.
    pub product_id: Uuid,
    /// What it opens: kind.
    #[sea_orm(column_type = "Text")]
    pub target_kind: String,
    /// What it opens.
    pub target_id: Uuid,
    /// Session.
    pub session_id: Option<Uuid>,
    /// Terms of the access it gives.
    #[sea_orm(column_type = "JsonBinary")]
    pub terms: Json,
    /// Keyed hash of the code.
    #[sea_orm(column_type = "Text")]
    pub code_hash: String,
    /// The code, sealed.
    #[sea_orm(column_type = "Text")]
    pub code_sealed: String,
    /// Last characters of the code, for lists.
    #[sea_orm(column_type = "Text")]
    pub code_hint: String,
    /// FREE, ASSIGNED, REDEEMED or VOID.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// What voided it: `refund ref_…`, `credit …`, a dispute, or a new code for its seat; of a redeemed one, that it went back all the same.
    #[sea_orm(column_type = "Text")]
    pub void_reason: Option<String>,
    /// Until when it can be redeemed.
    pub ends_at: Option<DateTimeUtc>,
    /// The person row of whom it was handed to.
    pub assigned_person_id: Option<Uuid>,
    /// Keyed hash of that person's e-mail.
    #[sea_orm(column_type = "Text", nullable)]
    pub assigned_hash: Option<String>,
    /// Who redeemed it.
    pub redeemed_by: Option<Uuid>,
    /// When.
    pub redeemed_at: Option<DateTimeUtc>,
    /// When it was issued.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
