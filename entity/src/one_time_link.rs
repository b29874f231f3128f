//! A link that signs its bearer in once.

use sea_orm::entity::prelude::*;

/// A link that signs its bearer in once.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "one_time_link")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose link.
    pub account_id: Uuid,
    /// Keyed hash of the secret in the link.
    #[sea_orm(column_type = "Text")]
    pub secret_hash: String,
    /// The secret sealed, for links that wait in the operator's outbox; blanked once used.
    #[sea_orm(column_type = "Text", nullable)]
    pub secret_sealed: Option<String>,
    /// RECEIPT, MAIL or OPERATOR: only MAIL verifies the e-mail.
    #[sea_orm(column_type = "Text")]
    pub road: String,
    /// The order whose receipt shows it.
    pub order_id: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// Until when it works.
    pub expires_at: DateTimeUtc,
    /// When it was used.
    pub used_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
