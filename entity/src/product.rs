//! The commerce side of one library, course, session or group.

use sea_orm::entity::prelude::*;

/// The commerce side of one library, course, session or group.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "product")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// LIBRARY, COURSE, SESSION, GROUP or CREDIT_PACK.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// The thing sold.
    pub target_id: Uuid,
    /// Current SKU as given.
    #[sea_orm(column_type = "Text")]
    pub sku: String,
    /// Current SKU in lower case.
    #[sea_orm(column_type = "Text")]
    pub sku_folded: String,
    /// ON_SALE or STOPPED.
    #[sea_orm(column_type = "Text")]
    pub state: String,
    /// How long access lasts and from when: the domain's terms.
    #[sea_orm(column_type = "JsonBinary")]
    pub terms: Json,
    /// Derived: on sale, not archived, with something to sell; kept by every write that concerns it.
    pub listed: bool,
    /// Derived: title of the target.
    #[sea_orm(column_type = "Text")]
    pub title: String,
    /// Derived: folded title, for order.
    #[sea_orm(column_type = "Text")]
    pub title_sort: String,
    /// Derived: folded title, for search.
    #[sea_orm(column_type = "Text")]
    pub search_title: String,
    /// Derived: folded description, for search.
    #[sea_orm(column_type = "Text")]
    pub search_description: String,
    /// Derived: folded SKU and provider names, for search.
    #[sea_orm(column_type = "Text")]
    pub search_rest: String,
    /// Derived: folded product code of a library.
    #[sea_orm(column_type = "Text", nullable)]
    pub product_code_folded: Option<String>,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it or its target last changed.
    pub touched_at: DateTimeUtc,
    /// When it was archived.
    pub archived_at: Option<DateTimeUtc>,
    /// What buying it gives: ENROL or KEYS.
    #[sea_orm(column_type = "Text")]
    pub fulfilment: String,
    /// Whether discounts of coupons reach it.
    pub couponable: bool,
    /// The credits that one unit gives; 0 = none.
    pub credits: i64,
    /// For how many days its credits can be spent; null = without end.
    pub credit_days: Option<i32>,
    /// The product whose courses its credits pay for; null = any.
    pub credit_tied_to: Option<Uuid>,
    /// Days from issue within which its keys and seats are redeemed.
    pub redeem_days: Option<i32>,
    /// Class of products that it is taxed with.
    #[sea_orm(column_type = "Text")]
    pub tax_class: String,
}

/// No relations: the store joins by column.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
