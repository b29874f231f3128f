//! One grant of access.

use sea_orm::entity::prelude::*;

/// One grant of access.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "entitlement")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Learner.
    pub account_id: Uuid,
    /// LIBRARY, COURSE, SESSION, GROUP or RESOURCE.
    #[sea_orm(column_type = "Text")]
    pub target_kind: String,
    /// What it opens.
    pub target_id: Uuid,
    /// ORDER_LINE, TOKEN, BYPASS, HAND or RENTAL.
    #[sea_orm(column_type = "Text")]
    pub source_kind: String,
    /// The line, token or other thing that gave it.
    pub source_id: Uuid,
    /// The order behind it, if any.
    pub order_id: Option<Uuid>,
    /// Who or what granted it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// Why, for grants by hand.
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    /// Terms then.
    #[sea_orm(column_type = "JsonBinary")]
    pub terms: Json,
    /// When it was granted.
    pub granted_at: DateTimeUtc,
    /// Order among the learner's grants to the same target.
    pub seq: i64,
    /// From when it runs; null = not yet.
    pub starts_at: Option<DateTimeUtc>,
    /// Until when; null = without end or not yet known.
    pub ends_at: Option<DateTimeUtc>,
    /// First start of a course of it since the grant.
    pub first_started_at: Option<DateTimeUtc>,
    /// The frozen list of courses: id, title, position.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub frozen: Option<Json>,
    /// Kept on purpose after a refund.
    pub kept: bool,
    /// When it was ended before its time.
    pub ended_at: Option<DateTimeUtc>,
    /// Why.
    #[sea_orm(column_type = "Text", nullable)]
    pub ended_reason: Option<String>,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
