//! Somebody who can sign in; one for each normalised e-mail.

use sea_orm::entity::prelude::*;

/// Somebody who can sign in; one for each normalised e-mail.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The current version of name and e-mail.
    pub person_id: Uuid,
    /// Keyed hash of the normalised e-mail.
    #[sea_orm(column_type = "Text")]
    pub email_hash: String,
    /// Domain of the e-mail, for rights that follow from it once verified; empty once erased.
    #[sea_orm(column_type = "Text")]
    pub email_domain: String,
    /// When a mailed link proved the e-mail.
    pub email_verified_at: Option<DateTimeUtc>,
    /// Argon2id hash in PHC format; none for accounts that use links only.
    #[sea_orm(column_type = "Text", nullable)]
    pub password_hash: Option<String>,
    /// Scopes of an operator; null for everybody else.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub operator_scopes: Option<Json>,
    /// Sign-ins issued before this instant are dead.
    pub sessions_valid_from: DateTimeUtc,
    /// When the account was made.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub touched_at: DateTimeUtc,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
