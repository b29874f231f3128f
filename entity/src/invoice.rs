//! An invoice or credit note as it was issued; never changed.

use sea_orm::entity::prelude::*;

/// An invoice or credit note as it was issued; never changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invoice")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// INVOICE or CREDIT_NOTE.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// Place among those of its kind, from 1, without gaps.
    pub serial: i64,
    /// Its number.
    #[sea_orm(column_type = "Text")]
    pub number: String,
    /// Who it is made out to.
    pub company_id: Uuid,
    /// The sales order it is about.
    pub sales_order_id: Uuid,
    /// The credit entry that a credit note is about.
    pub sales_credit_id: Option<Uuid>,
    /// Currency.
    #[sea_orm(column_type = "Text")]
    pub currency: String,
    /// Its total.
    pub total_minor: i64,
    /// All that it says.
    #[sea_orm(column_type = "JsonBinary")]
    pub document: Json,
    /// Who issued it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// When.
    pub issued_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
