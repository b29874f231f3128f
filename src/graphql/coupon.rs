//! Coupons for operators: rules with their history, codes, batches, uses and the report.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{CouponBatchId, CouponId};

use super::cart_coupon::CouponStatus;
use super::connection::{Finder, List, connection, exported, wants_total};
use super::coupon_rule::{CouponAudience, CouponKind, CouponRules, CouponRulesInput};
use super::error::{UserError, UserErrorCode, answer, outcome, payload, scope};
use super::loader::{BatchesOf, ChosenOf, FirstUses, FirstVersions, loaders};
use super::order::{CouponUseState, OrderStatus};
use super::scalar::{Long, Money, input_id, instant};
use crate::app::caller::Topic;
use crate::app::coupon::{self as app, CouponName, Written};
use crate::app::coupon_batch as batch;
use crate::app::export::Export;
use crate::error::{Error, Refusal, Result};
use crate::page::ListName;

/// The rule behind codes.
#[derive(Debug, Clone)]
pub struct Coupon(app::Coupon);

impl From<app::Coupon> for Coupon {
    fn from(coupon: app::Coupon) -> Self {
        Self(coupon)
    }
}

/// What a coupon was from a change to the next.
#[derive(Debug, Clone, SimpleObject)]
pub struct CouponVersion {
    /// The version.
    version: Long,
    /// What operators called it.
    name: String,
    /// Whether it was switched on.
    active: bool,
    /// What it gave and its limits.
    rules: CouponRules,
    /// Who made it so.
    actor: String,
    /// When.
    recorded_at: DateTime<Utc>,
}

impl From<app::CouponVersion> for CouponVersion {
    fn from(version: app::CouponVersion) -> Self {
        Self {
            version: Long(version.version),
            rules: CouponRules::from(&version.rules),
            name: version.name,
            active: version.active,
            actor: version.actor,
            recorded_at: version.recorded_at,
        }
    }
}

/// Many codes of one coupon, for one use each.
#[derive(Debug, Clone)]
pub struct CouponBatch(batch::CouponBatch);

impl From<batch::CouponBatch> for CouponBatch {
    fn from(batch: batch::CouponBatch) -> Self {
        Self(batch)
    }
}

#[Object]
impl CouponBatch {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Its coupon.
    async fn coupon_id(&self) -> ID {
        self.0.coupon.to_string().into()
    }

    /// What its codes begin with.
    async fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// How many codes it is to have, void ones not counted.
    async fn count(&self) -> u32 {
        self.0.count
    }

    /// How many it has by now, void ones not counted.
    async fn made(&self) -> u32 {
        self.0.made
    }

    /// Who asked for it.
    async fn actor(&self) -> &str {
        &self.0.actor
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When the last of its codes was made; null while they are being made.
    async fn done_at(&self) -> Option<DateTime<Utc>> {
        self.0.done_at
    }
}

/// A code that can be typed, with what became of it.
#[derive(Debug, Clone, SimpleObject)]
pub struct CouponCode {
    /// Its id.
    id: ID,
    /// As it was given.
    code: String,
    /// Its batch; null for a code that somebody chose.
    batch_id: Option<ID>,
    /// Where it stands now.
    status: CouponStatus,
    /// Where its one use stands; null while nobody holds it, and for codes that somebody chose.
    use_state: Option<CouponUseState>,
    /// The order that holds or has used it.
    order_id: Option<ID>,
    /// That order's number.
    order_number: Option<String>,
    /// When it was made void.
    void_at: Option<DateTime<Utc>>,
    /// When it was made.
    created_at: DateTime<Utc>,
}

/// A use of a coupon by an order.
#[derive(Debug, Clone, SimpleObject)]
pub struct CouponUse {
    /// The code as it was given.
    code: String,
    /// Where it stands.
    state: CouponUseState,
    /// Which version of the coupon it is of.
    version: Long,
    /// Whom the coupon was for, by this code.
    audience: CouponAudience,
    /// The order.
    order_id: ID,
    /// Its number.
    order_number: String,
    /// Where it stands.
    order_status: OrderStatus,
    /// What it takes off; of a pack nothing.
    discount: Money,
    /// When it was taken.
    created_at: DateTime<Utc>,
}

impl From<app::UseRow> for CouponUse {
    fn from(row: app::UseRow) -> Self {
        Self {
            code: row.used.code,
            state: row.used.state.into(),
            version: Long(row.used.coupon_version),
            audience: row.used.audience.into(),
            order_id: row.used.order.to_string().into(),
            order_number: row.order_number,
            order_status: row.order_status.into(),
            discount: row.used.discount.into(),
            created_at: row.used.created_at,
        }
    }
}

/// What a coupon did in one currency.
#[derive(Debug, Clone, SimpleObject)]
pub struct CouponReportAmount {
    /// What it took off orders that were paid.
    discount: Money,
    /// What those of their lines came to that it took, tax included; refunds are not taken off.
    revenue: Money,
}

/// What a coupon did in a period.
#[derive(Debug, Clone, SimpleObject)]
pub struct CouponReportRow {
    /// The coupon.
    coupon: Coupon,
    /// Its uses by orders that were paid.
    uses: Long,
    /// Its uses by orders that wait for their payment.
    reserved: Long,
    /// What it took off and what was sold with it, by currency.
    amounts: Vec<CouponReportAmount>,
}

impl From<app::ReportRow> for CouponReportRow {
    fn from(row: app::ReportRow) -> Self {
        let amount = |amount: app::ReportAmount| CouponReportAmount { discount: amount.discount.into(), revenue: amount.revenue.into() };
        Self {
            coupon: row.coupon.into(),
            uses: Long(row.uses),
            reserved: Long(row.reserved),
            amounts: row.amounts.into_iter().map(amount).collect(),
        }
    }
}

#[Object]
impl Coupon {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What operators call it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it gives and what it is limited to.
    async fn rules(&self) -> CouponRules {
        CouponRules::from(&self.0.rules)
    }

    /// Where it stands now, as a whole.
    async fn status(&self, ctx: &Context<'_>) -> async_graphql::Result<CouponStatus> {
        Ok(app::status(&self.0, scope(ctx)?.0.now()).into())
    }

    /// Whether it is switched on.
    async fn active(&self) -> bool {
        self.0.active
    }

    /// Grows with every change.
    async fn version(&self) -> Long {
        Long(self.0.version)
    }

    /// Uses that are reserved or spent, where the number of uses is limited; null where it is not and nobody counts.
    async fn used(&self) -> Option<Long> {
        self.0.rules.total_uses.map(|_| Long(i64::try_from(self.0.used).unwrap_or(i64::MAX)))
    }

    /// The codes that somebody chose, in order of making. Those of batches are found with `couponCodes`.
    async fn codes(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<String>> {
        self.chosen(ctx, app::ChosenKind::Code).await
    }

    /// What the codes of its batches begin with.
    async fn prefixes(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<String>> {
        self.chosen(ctx, app::ChosenKind::Prefix).await
    }

    /// Its batches in order of making.
    async fn batches(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<CouponBatch>> {
        Ok(loaders(ctx)?.list(BatchesOf(self.0.id)).await?.into_iter().map(CouponBatch).collect())
    }

    /// Its uses with their orders, the latest first; those that were given back too.
    async fn uses(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<CouponUse>> {
        let (app, caller) = scope(ctx)?;
        answer(caller.require(Topic::Coupons.read()))?;
        let list = answer(ListName::new("couponUses", &self.0.id))?;
        let (args, total) = (answer(list.args(first, after.as_deref()))?, wants_total(ctx));
        let page = match &args.after {
            // A cursor is of one coupon's list only.
            Some(_) => answer(app.coupon_uses(caller, self.0.id, &args, total).await)?,
            None => loaders(ctx)?.page(FirstUses(self.0.id, args.first, total)).await?,
        };
        answer(connection(&list, page, app::use_key, CouponUse::from))
    }

    /// Everything that it was, the latest version first.
    async fn versions(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<CouponVersion>> {
        let (app, caller) = scope(ctx)?;
        answer(caller.require(Topic::Coupons.read()))?;
        let list = answer(ListName::new("couponVersions", &self.0.id))?;
        let (args, total) = (answer(list.args(first, after.as_deref()))?, wants_total(ctx));
        let page = match &args.after {
            Some(_) => answer(app.coupon_versions(caller, self.0.id, &args, total).await)?,
            None => loaders(ctx)?.page(FirstVersions(self.0.id, args.first, total)).await?,
        };
        answer(connection(&list, page, |version| version.version, CouponVersion::from))
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn touched_at(&self) -> DateTime<Utc> {
        self.0.touched_at
    }
}

impl Coupon {
    async fn chosen(&self, ctx: &Context<'_>, kind: app::ChosenKind) -> async_graphql::Result<Vec<String>> {
        let chosen = loaders(ctx)?.list(ChosenOf(self.0.id)).await?;
        Ok(chosen.into_iter().filter(|text| text.kind == kind).map(|text| text.text).collect())
    }
}

/// A coupon to be made.
#[derive(Debug, InputObject)]
pub struct CouponCreateInput {
    /// What operators call it; its first code or prefix unless given.
    name: Option<String>,
    /// What it does.
    kind: CouponKind,
    /// Its codes, at most 1,000, that many customers can use. For codes that work once, make a batch.
    codes: Option<Vec<String>>,
    /// What the codes of its batches begin with.
    prefix: Option<String>,
    /// What it is to be.
    #[graphql(flatten)]
    rules: CouponRulesInput,
}

/// What is to change of a coupon. What is left out stays.
#[derive(Debug, InputObject)]
pub struct CouponUpdateInput {
    /// The coupon.
    id: ID,
    /// The version that was seen; another one is refused with COUPON_CHANGED.
    expected_version: Option<Long>,
    /// What operators call it.
    name: Option<String>,
    /// Whether it is switched on.
    active: Option<bool>,
    /// What it does; fixed, like all that it gives, once it was used.
    kind: Option<CouponKind>,
    /// Codes that it gets besides those that it has.
    codes: Option<Vec<String>>,
    /// A prefix that it gets besides those that it has.
    prefix: Option<String>,
    /// What it is to be.
    #[graphql(flatten)]
    rules: CouponRulesInput,
}

/// A coupon to be switched off.
#[derive(Debug, InputObject)]
pub struct CouponDeactivateInput {
    /// The coupon.
    id: ID,
}

/// A batch to be made.
#[derive(Debug, InputObject)]
pub struct CouponBatchCreateInput {
    /// The coupon.
    coupon_id: ID,
    /// What the codes begin with; the coupon's own prefix unless given.
    prefix: Option<String>,
    /// How many codes, 1 to 1,000,000. Above 10,000 they are made in the background.
    count: i64,
}

/// A batch to be brought to another number of codes.
#[derive(Debug, InputObject)]
pub struct CouponBatchResizeInput {
    /// The batch.
    batch_id: ID,
    /// How many codes it is to have, void ones not counted.
    count: i64,
}

/// Something that was done and may not be what was meant.
#[derive(Debug, Clone, SimpleObject)]
pub struct CouponWarning {
    /// What it is.
    code: UserErrorCode,
    /// The field of `input` that would say otherwise.
    field: Vec<String>,
    /// What follows and what to do about it.
    message: String,
}

impl From<Refusal> for CouponWarning {
    fn from(warning: Refusal) -> Self {
        Self { code: UserErrorCode(warning.code), field: warning.field, message: warning.message }
    }
}

/// The payload of a mutation that can warn.
macro_rules! warning_payload {
    ($(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $type:ty }) => {
        $(#[$doc])*
        #[derive(SimpleObject)]
        pub struct $name {
            $(#[$field_doc])*
            $field: Option<$type>,
            /// What was done and may not be what was meant.
            warnings: Vec<CouponWarning>,
            /// Why the call was refused; empty when it was done.
            user_errors: Vec<UserError>,
        }

        impl $name {
            fn of<T: Into<$type>>(result: Result<Written<T>>) -> async_graphql::Result<Self> {
                Ok(match outcome(result)? {
                    Ok(written) => Self {
                        $field: Some(written.value.into()),
                        warnings: written.warnings.into_iter().map(CouponWarning::from).collect(),
                        user_errors: Vec::new(),
                    },
                    Err(user_errors) => Self { $field: None, warnings: Vec::new(), user_errors },
                })
            }
        }
    };
}

warning_payload! {
    /// The answer of couponCreate.
    CouponCreatePayload {
        /// The new coupon.
        coupon: Coupon
    }
}

warning_payload! {
    /// The answer of couponUpdate.
    CouponUpdatePayload {
        /// The coupon as it is now.
        coupon: Coupon
    }
}

warning_payload! {
    /// The answer of couponBatchCreate.
    CouponBatchCreatePayload {
        /// The batch, with as many codes as were made by now.
        batch: CouponBatch
    }
}

payload! {
    /// The answer of couponDeactivate.
    CouponDeactivatePayload {
        /// The coupon as it is now.
        coupon: Coupon
    }
}

/// The answer of couponBatchResize.
#[derive(Debug, SimpleObject)]
pub struct CouponBatchResizePayload {
    /// The batch as it is now.
    batch: Option<CouponBatch>,
    /// The codes that became void, the newest first, so that whoever has them can be told.
    voided_codes: Vec<String>,
    /// Why the call was refused; empty when it was done.
    user_errors: Vec<UserError>,
}

/// Which coupons to list.
#[derive(Debug, Default, InputObject)]
pub struct CouponFilter {
    /// In this status now.
    status: Option<CouponStatus>,
    /// Of this kind only.
    kind: Option<CouponKind>,
    /// With a chosen code or a prefix that holds this text, or with exactly this code, whatever the case.
    code: Option<String>,
    /// Limited to this company, alone or among others.
    company_id: Option<ID>,
}

/// Of which uses to report: those by orders that were placed in a period.
#[derive(Debug, Default, InputObject)]
pub struct CouponReportFilter {
    /// Placed then or later.
    from: Option<DateTime<Utc>>,
    /// Placed before then.
    until: Option<DateTime<Utc>>,
    /// Of this coupon only.
    coupon_id: Option<ID>,
}

/// Queries about coupons.
#[derive(Debug, Default)]
pub struct CouponQuery;

#[Object]
impl CouponQuery {
    /// One coupon, by id, or by a code or prefix of it, however that is written.
    async fn coupon(&self, ctx: &Context<'_>, id: Option<ID>, code: Option<String>) -> async_graphql::Result<Option<Coupon>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Coupons.read())?;
                let name = match (id, code) {
                    (Some(id), None) => match CouponId::parse(&id) {
                        Some(id) => CouponName::Id(id),
                        None => return Ok(None),
                    },
                    (None, Some(code)) => CouponName::Code(code),
                    _ => return Err(Error::BadInput("Give either `id` or `code`.".to_owned())),
                };
                Ok(app.coupon(caller, &name).await?.map(Coupon))
            }
            .await,
        )
    }

    /// Coupons in pages, the newest first.
    async fn coupons(
        &self,
        ctx: &Context<'_>,
        filter: Option<CouponFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Finder<Coupon>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Coupons.read())?;
                let filter = filter.unwrap_or_default();
                let company = filter.company_id.as_ref().map(|id| input_id(id, "companyId", "company")).transpose()?;
                let filter = app::CouponFilter {
                    status: filter.status.map(|status| status.0),
                    kind: filter.kind.map(|kind| kind.0),
                    code: crate::app::product::folded(filter.code.as_deref()),
                    company,
                };
                let named = (filter.status.map(|status| status.name()), filter.kind.map(|kind| kind.name()), &filter.code, filter.company);
                let list = ListName::new("coupons", &named)?;
                let page = app.coupons(caller, &filter, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                exported(&list, page, Export::Coupons(filter), app::key, Coupon)
            }
            .await,
        )
    }

    /// The codes of a batch, or all codes of a coupon, in order of making, each with what became of it. Null: there is no such batch or coupon.
    async fn coupon_codes(
        &self,
        ctx: &Context<'_>,
        batch_id: Option<ID>,
        coupon_id: Option<ID>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Option<Finder<CouponCode>>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Coupons.read())?;
                let of = match (batch_id, coupon_id) {
                    (Some(batch), None) => CouponBatchId::parse(&batch).map(app::CodesOf::Batch),
                    (None, Some(coupon)) => CouponId::parse(&coupon).map(app::CodesOf::Coupon),
                    _ => return Err(Error::BadInput("Give either `batchId` or `couponId`.".to_owned())),
                };
                let Some(of) = of else { return Ok(None) };
                let list = ListName::new("couponCodes", &of)?;
                let args = list.args(first, after.as_deref())?;
                let Some((coupon, page)) = app.coupon_codes(caller, of, &args, wants_total(ctx)).await? else { return Ok(None) };
                let now = app.now();
                exported(
                    &list,
                    page,
                    Export::CouponCodes(of),
                    |row| row.code.id.uuid(),
                    |row| CouponCode {
                        id: row.code.id.to_string().into(),
                        batch_id: row.code.batch.map(|batch| batch.to_string().into()),
                        status: app::code_status(&coupon, &row, now).into(),
                        use_state: row.use_state.map(CouponUseState),
                        order_id: row.code.used_by.map(|order| order.to_string().into()),
                        order_number: row.order_number,
                        void_at: row.code.void_at,
                        created_at: row.created_at,
                        code: row.code.code,
                    },
                )
                .map(Some)
            }
            .await,
        )
    }

    /// What each coupon did in a period, the newest coupon first.
    async fn coupon_report(
        &self,
        ctx: &Context<'_>,
        filter: Option<CouponReportFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Finder<CouponReportRow>> {
        let (app, caller) = scope(ctx)?;
        answer(
            async {
                caller.require(Topic::Coupons.read())?;
                let filter = filter.unwrap_or_default();
                let filter = app::ReportFilter {
                    from: instant(filter.from, "filter.from")?,
                    until: instant(filter.until, "filter.until")?,
                    coupon: filter.coupon_id.as_ref().map(|id| input_id(id, "couponId", "coupon")).transpose()?,
                };
                let list = ListName::new("couponReport", &filter)?;
                let page = app.coupon_report(caller, &filter, &list.args(first, after.as_deref())?, wants_total(ctx)).await?;
                exported(&list, page, Export::CouponReport(filter), |row| app::key(&row.coupon), CouponReportRow::from)
            }
            .await,
        )
    }
}

/// Mutations of coupons.
#[derive(Debug, Default)]
pub struct CouponMutation;

#[Object]
impl CouponMutation {
    /// Makes a coupon, with its codes and the prefix of its batches.
    async fn coupon_create(&self, ctx: &Context<'_>, input: CouponCreateInput) -> async_graphql::Result<CouponCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Coupons.write())?;
            let cmd = app::CouponCreate {
                name: input.name,
                wish: input.rules.wish(Some(input.kind))?,
                codes: input.codes.unwrap_or_default(),
                prefix: input.prefix,
            };
            app.coupon_create(caller, cmd).await
        };
        CouponCreatePayload::of(result.await)
    }

    /// Changes a coupon, switches it on again, or gives it more codes. Orders that were placed keep what they were given.
    async fn coupon_update(&self, ctx: &Context<'_>, input: CouponUpdateInput) -> async_graphql::Result<CouponUpdatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Coupons.write())?;
            let cmd = app::CouponUpdate {
                id: input_id(&input.id, "id", "coupon")?,
                expected_version: input.expected_version.map(|version| version.0),
                name: input.name,
                active: input.active,
                wish: input.rules.wish(input.kind)?,
                codes: input.codes.unwrap_or_default(),
                prefix: input.prefix,
            };
            app.coupon_update(caller, cmd).await
        };
        CouponUpdatePayload::of(result.await)
    }

    /// Switches a coupon off. Orders that were placed with it keep it.
    async fn coupon_deactivate(&self, ctx: &Context<'_>, input: CouponDeactivateInput) -> async_graphql::Result<CouponDeactivatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Coupons.write())?;
            app.coupon_deactivate(caller, input_id(&input.id, "id", "coupon")?).await
        };
        CouponDeactivatePayload::of(result.await)
    }

    /// Makes many codes of a coupon for one use each: at once up to 10,000, in the background above; `made` tells how far it is.
    async fn coupon_batch_create(
        &self,
        ctx: &Context<'_>,
        input: CouponBatchCreateInput,
    ) -> async_graphql::Result<CouponBatchCreatePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Coupons.write())?;
            let coupon = input_id(&input.coupon_id, "couponId", "coupon")?;
            app.coupon_batch_create(caller, batch::CouponBatchCreate { coupon, prefix: input.prefix, count: input.count }).await
        };
        CouponBatchCreatePayload::of(result.await)
    }

    /// Brings a batch to another number of codes: more are made, or the newest free ones become void. Codes that an order holds or has used
    /// never do; if too few are free, nothing changes.
    async fn coupon_batch_resize(
        &self,
        ctx: &Context<'_>,
        input: CouponBatchResizeInput,
    ) -> async_graphql::Result<CouponBatchResizePayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Coupons.write())?;
            app.coupon_batch_resize(caller, input_id(&input.batch_id, "batchId", "batch")?, input.count).await
        };
        Ok(match outcome(result.await)? {
            Ok(done) => CouponBatchResizePayload { batch: Some(done.batch.into()), voided_codes: done.voided, user_errors: Vec::new() },
            Err(user_errors) => CouponBatchResizePayload { batch: None, voided_codes: Vec::new(), user_errors },
        })
    }
}
