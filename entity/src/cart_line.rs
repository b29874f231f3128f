//! One line of a cart.

use sea_orm::entity::prelude::*;

/// One line of a cart.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cart_line")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Cart.
    pub cart_id: Uuid,
    /// Order of adding.
    pub position: i64,
    /// Product, session and "for" as one text; unique in the cart.
    #[sea_orm(column_type = "Text")]
    pub line_key: String,
    /// Product.
    pub product_id: Uuid,
    /// Session of an event.
    pub session_id: Option<Uuid>,
    /// SELF, SEATS or LEARNER.
    #[sea_orm(column_type = "Text")]
    pub for_kind: String,
    /// The named learner.
    pub learner_person_id: Option<Uuid>,
    /// 1 to 10,000.
    pub quantity: i64,
    /// What the buyer was last shown: total and terms.
    #[sea_orm(column_type = "JsonBinary")]
    pub shown: Json,
    /// When it was added.
    pub added_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
