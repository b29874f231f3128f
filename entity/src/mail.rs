//! A mail that waits, went out, or failed.

use sea_orm::entity::prelude::*;

/// A mail that waits, went out, or failed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mail")]
pub struct Model {
    /// Row id; also that of the job that sends it, and part of the message's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What it is for.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// QUEUED, SENT, KEPT, FAILED or CANCELLED.
    #[sea_orm(column_type = "Text")]
    pub state: String,
    /// The address; null once erased.
    #[sea_orm(column_type = "Text", nullable)]
    pub to_address: Option<String>,
    /// The name that goes with it.
    #[sea_orm(column_type = "Text", nullable)]
    pub to_name: Option<String>,
    /// Keyed hash of the normalised address.
    #[sea_orm(column_type = "Text")]
    pub email_hash: String,
    /// The same of somebody else whom the mail tells about.
    #[sea_orm(column_type = "Text", nullable)]
    pub person_hash: Option<String>,
    /// Locale of its texts.
    #[sea_orm(column_type = "Text")]
    pub locale: String,
    /// The account that it goes to.
    pub account_id: Option<Uuid>,
    /// The one-time link in it.
    pub link_id: Option<Uuid>,
    /// Names the rows that it tells about.
    #[sea_orm(column_type = "JsonBinary")]
    pub about: Json,
    /// Its subject, once rendered.
    #[sea_orm(column_type = "Text", nullable)]
    pub subject: Option<String>,
    /// Its text and HTML, once rendered, sealed.
    #[sea_orm(column_type = "Text", nullable)]
    pub body_sealed: Option<String>,
    /// Tries so far.
    pub tries: i32,
    /// When it is tried next.
    pub next_try_at: Option<DateTimeUtc>,
    /// What went wrong last.
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<String>,
    /// When it was queued.
    pub created_at: DateTimeUtc,
    /// When a mail server took it.
    pub sent_at: Option<DateTimeUtc>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
