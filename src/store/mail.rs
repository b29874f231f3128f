//! The outbox: mails with what became of them, and which ends of access were looked at.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::mail::{MailState, TemplateKind};
use domain::text::Email;
use domain::{AccountId, EntitlementId, MailId, OrderId};
use entity::mail::{self, Column, Entity};
use entity::{access_notice, entitlement, one_time_link, order};
use sea_orm::prelude::Json;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::page::{Key, Order, page};
use super::{CHUNK, corrupt, known, rows_in};
use crate::page::{Page, PageArgs};

/// A mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Mail {
    /// Id.
    pub id: MailId,
    /// What it is for.
    pub kind: TemplateKind,
    /// How it stands.
    pub state: MailState,
    /// Where it goes; `None` once erased.
    pub to: Option<Email>,
    /// The name that goes with the address.
    pub to_name: Option<String>,
    /// Keyed hash of the address.
    pub email_hash: String,
    /// The same of somebody else whom it tells about.
    pub person_hash: Option<String>,
    /// Locale of its texts.
    pub locale: String,
    /// The account that it goes to.
    pub account: Option<AccountId>,
    /// The one-time link in it.
    pub link: Option<Uuid>,
    /// Names the rows that it tells about.
    pub about: Json,
    /// Its subject, once rendered.
    pub subject: Option<String>,
    /// Text and HTML, once rendered, sealed.
    pub body_sealed: Option<String>,
    /// Tries so far.
    pub tries: u32,
    /// When it is tried next.
    pub next_try_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When a mail server took it.
    pub sent_at: Option<DateTime<Utc>>,
}

/// What becomes of a mail after a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it stands.
    pub state: MailState,
    /// Tries so far.
    pub tries: u32,
    /// When it is tried next.
    pub next_try_at: Option<DateTime<Utc>>,
    /// What went wrong.
    pub error: Option<String>,
    /// When a mail server took it.
    pub sent_at: Option<DateTime<Utc>>,
}

/// Writes these mails.
///
/// # Errors
/// The database's.
pub async fn insert(txn: &impl ConnectionTrait, mails: &[Mail]) -> Result<(), DbErr> {
    for chunk in mails.chunks(CHUNK) {
        let rows = chunk.iter().map(|mail| {
            Ok(mail::ActiveModel {
                id: Set(mail.id.uuid()),
                kind: Set(mail.kind.name().to_owned()),
                state: Set(mail.state.name().to_owned()),
                to_address: Set(mail.to.as_ref().map(|to| to.as_str().to_owned())),
                to_name: Set(mail.to_name.clone()),
                email_hash: Set(mail.email_hash.clone()),
                person_hash: Set(mail.person_hash.clone()),
                locale: Set(mail.locale.clone()),
                account_id: Set(mail.account.map(AccountId::uuid)),
                link_id: Set(mail.link),
                about: Set(mail.about.clone()),
                subject: Set(mail.subject.clone()),
                body_sealed: Set(mail.body_sealed.clone()),
                tries: Set(i32::try_from(mail.tries).map_err(corrupt)?),
                next_try_at: Set(mail.next_try_at),
                error: Set(mail.error.clone()),
                created_at: Set(mail.created_at),
                sent_at: Set(mail.sent_at),
            })
        });
        Entity::insert_many(rows.collect::<Result<Vec<_>, DbErr>>()?).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// One mail.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_id(db: &impl ConnectionTrait, id: MailId) -> Result<Option<Mail>, DbErr> {
    Entity::find_by_id(id.uuid()).one(db).await?.map(from_row).transpose()
}

/// These mails; unknown ids are left out.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[MailId]) -> Result<Vec<Mail>, DbErr> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    rows_in::<Entity>(db, Column::Id, &ids).await?.into_iter().map(from_row).collect()
}

/// A page of mails, the newest first, of all states or of these.
///
/// # Errors
/// The database's, or a row that makes no sense.
pub async fn list(
    db: &impl ConnectionTrait,
    states: Option<&[MailState]>,
    args: &PageArgs<(Key, Uuid)>,
    with_total: bool,
) -> Result<Page<Mail>, DbErr> {
    let mut select = Entity::find();
    if let Some(states) = states {
        select = select.filter(Column::State.is_in(states.iter().map(|state| state.name())));
    }
    let order = Order { column: Column::CreatedAt, id: Column::Id, descending: true };
    let Page { rows, has_next, has_previous, total } = page(db, select, order, args, with_total).await?;
    Ok(Page { rows: rows.into_iter().map(from_row).collect::<Result<_, _>>()?, has_next, has_previous, total })
}

/// Keeps what a mail was rendered to, so that each try sends the same message.
///
/// # Errors
/// The database's.
pub async fn rendered(db: &impl ConnectionTrait, id: MailId, subject: &str, body_sealed: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Subject, Expr::value(subject))
        .col_expr(Column::BodySealed, Expr::value(body_sealed))
        .filter(Column::Id.eq(id.uuid()))
        // Erased meanwhile: nothing of it comes back.
        .filter(Column::ToAddress.is_not_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Notes what became of a mail, unless it went out or was called off meanwhile.
///
/// # Errors
/// The database's.
pub async fn tried(db: &impl ConnectionTrait, id: MailId, outcome: Outcome) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::State, Expr::value(outcome.state.name()))
        .col_expr(Column::Tries, Expr::value(i32::try_from(outcome.tries).map_err(corrupt)?))
        .col_expr(Column::NextTryAt, Expr::value(outcome.next_try_at))
        .col_expr(Column::Error, Expr::value(outcome.error))
        .col_expr(Column::SentAt, Expr::value(outcome.sent_at))
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::State.is_not_in([MailState::Sent.name(), MailState::Cancelled.name()]))
        .exec(db)
        .await?;
    Ok(())
}

/// Blanks what mails hold of the person with this hash of the address, and calls off those that did not go out.
///
/// # Errors
/// The database's.
pub async fn erase(txn: &impl ConnectionTrait, email_hash: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Subject, Expr::value(None::<String>))
        .col_expr(Column::BodySealed, Expr::value(None::<String>))
        .filter(Condition::any().add(Column::EmailHash.eq(email_hash)).add(Column::PersonHash.eq(email_hash)))
        .exec(txn)
        .await?;
    Entity::update_many()
        .col_expr(Column::ToAddress, Expr::value(None::<String>))
        .col_expr(Column::ToName, Expr::value(None::<String>))
        .filter(Column::EmailHash.eq(email_hash))
        .exec(txn)
        .await?;
    Entity::update_many()
        .col_expr(Column::State, Expr::value(MailState::Cancelled.name()))
        .col_expr(Column::NextTryAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::Error, Expr::value("The person was erased."))
        .filter(Condition::any().add(Column::EmailHash.eq(email_hash)).add(Column::PersonHash.eq(email_hash)))
        .filter(Column::State.is_not_in([MailState::Sent.name(), MailState::Cancelled.name()]))
        .exec(txn)
        .await?;
    Ok(())
}

/// Drops the mails of before `before` that wait for nothing, some at a time; says how many.
///
/// # Errors
/// The database's.
pub async fn drop_old(db: &impl ConnectionTrait, before: DateTime<Utc>) -> Result<u64, DbErr> {
    let old = Query::select()
        .column(Column::Id)
        .from(Entity)
        .and_where(Expr::col(Column::CreatedAt).lt(before))
        .and_where(Expr::col(Column::State).ne(MailState::Queued.name()))
        .limit(CHUNK as u64)
        .take();
    Ok(Entity::delete_many().filter(Column::Id.in_subquery(old)).exec(db).await?.rows_affected)
}

/// Which of these links still work, with their sealed secrets and ends.
///
/// # Errors
/// The database's.
pub async fn living_links(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Vec<(Uuid, Option<String>, DateTime<Utc>)>, DbErr> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let rows: Vec<(Uuid, Option<String>, DateTime<Utc>)> = one_time_link::Entity::find()
            .select_only()
            .columns([one_time_link::Column::Id, one_time_link::Column::SecretSealed, one_time_link::Column::ExpiresAt])
            .filter(one_time_link::Column::Id.is_in(chunk.iter().copied()))
            .filter(one_time_link::Column::UsedAt.is_null())
            .filter(one_time_link::Column::ExpiresAt.gt(now))
            .into_tuple()
            .all(db)
            .await?;
        found.extend(rows);
    }
    Ok(found)
}

/// Living grants that end after `now`, until `until`, and of whose end nothing was decided yet: those that end first, a chunk at most.
///
/// # Errors
/// The database's.
pub async fn ending(db: &impl ConnectionTrait, now: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<EntitlementId>, DbErr> {
    let same = |notice: access_notice::Column, grant: entitlement::Column| {
        Expr::col((access_notice::Entity, notice)).equals((entitlement::Entity, grant))
    };
    let decided = Query::select()
        .expr(Expr::val(1i32))
        .from(access_notice::Entity)
        .and_where(same(access_notice::Column::EntitlementId, entitlement::Column::Id))
        .and_where(same(access_notice::Column::EndsAt, entitlement::Column::EndsAt))
        .take();
    let ids: Vec<Uuid> = entitlement::Entity::find()
        .select_only()
        .column(entitlement::Column::Id)
        .filter(entitlement::Column::EndsAt.gt(now))
        .filter(entitlement::Column::EndsAt.lte(until))
        .filter(entitlement::Column::EndedAt.is_null())
        .filter(Expr::exists(decided).not())
        .order_by_asc(entitlement::Column::EndsAt)
        .order_by_asc(entitlement::Column::Id)
        .limit(CHUNK as u64)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(EntitlementId::new).collect())
}

/// The locales that these orders were placed in.
///
/// # Errors
/// The database's.
pub async fn order_locales(db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<HashMap<OrderId, String>, DbErr> {
    let mut locales = HashMap::new();
    for chunk in orders.chunks(CHUNK) {
        let rows: Vec<(Uuid, String)> = order::Entity::find()
            .select_only()
            .columns([order::Column::Id, order::Column::Locale])
            .filter(order::Column::Id.is_in(chunk.iter().map(|id| id.uuid())))
            .into_tuple()
            .all(db)
            .await?;
        locales.extend(rows.into_iter().map(|(id, locale)| (OrderId::new(id), locale)));
    }
    Ok(locales)
}

/// Notes that something was decided about these ends.
///
/// # Errors
/// The database's.
pub async fn decided(txn: &impl ConnectionTrait, ends: &[(EntitlementId, DateTime<Utc>)], now: DateTime<Utc>) -> Result<(), DbErr> {
    for chunk in ends.chunks(CHUNK) {
        let rows = chunk.iter().map(|(entitlement, ends_at)| access_notice::ActiveModel {
            entitlement_id: Set(entitlement.uuid()),
            ends_at: Set(*ends_at),
            decided_at: Set(now),
        });
        access_notice::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Forgets decisions about ends that are long over.
///
/// # Errors
/// The database's.
pub async fn forget_decisions(db: &impl ConnectionTrait, before: DateTime<Utc>) -> Result<(), DbErr> {
    access_notice::Entity::delete_many().filter(access_notice::Column::EndsAt.lt(before)).exec(db).await?;
    Ok(())
}

fn from_row(row: mail::Model) -> Result<Mail, DbErr> {
    Ok(Mail {
        id: row.id.into(),
        kind: known(TemplateKind::parse(&row.kind), "kind of mail", &row.kind)?,
        state: known(MailState::parse(&row.state), "state of a mail", &row.state)?,
        to: row.to_address.as_deref().map(Email::parse).transpose().map_err(corrupt)?,
        to_name: row.to_name,
        email_hash: row.email_hash,
        person_hash: row.person_hash,
        locale: row.locale,
        account: row.account_id.map(Into::into),
        link: row.link_id,
        about: row.about,
        subject: row.subject,
        body_sealed: row.body_sealed,
        tries: u32::try_from(row.tries).map_err(corrupt)?,
        next_try_at: row.next_try_at,
        error: row.error,
        created_at: row.created_at,
        sent_at: row.sent_at,
    })
}
