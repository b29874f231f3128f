//! The outbox and the templates of mails, for operators.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::JobId;
use secrecy::ExposeSecret;

use super::connection::{List, connection, wants_total};
use super::error::{answer, payload, scope};
use super::scalar::{input_id, named_enum};
use crate::app::caller::Topic;
use crate::app::mail as app;
use crate::app::template::{self, Key, Place};
use crate::error::Result;
use crate::page::ListName;

named_enum! {
    /// What a template or a mail is for.
    TemplateKind(domain::mail::TemplateKind)
}

named_enum! {
    /// How a mail stands: QUEUED for its first or next try; SENT = a mail server took it; KEPT = there is no mail server, it stays here; FAILED =
    /// given up, jobReplay tries it again; CANCELLED = there was nothing left to say.
    MailState(domain::mail::MailState)
}

/// A mail of the outbox.
#[derive(Debug, Clone, SimpleObject)]
pub struct Mail {
    /// Id.
    #[graphql(owned)]
    pub id: ID,
    /// What it is for.
    pub kind: TemplateKind,
    /// How it stands.
    pub state: MailState,
    /// The address that it goes to; null once the person was erased.
    pub to: Option<String>,
    /// The account that it goes to.
    pub account_id: Option<ID>,
    /// Locale of its texts.
    pub locale: String,
    /// The one-time link in it, while it works. Whoever has it can act as the account, so it takes `settings:write`, and for an operator's account
    /// all of its scopes, to see it; null for others.
    pub link: Option<String>,
    /// Until when the link works; null if there is none, or it was used.
    pub expires_at: Option<DateTime<Utc>>,
    /// Its subject, once it was rendered.
    pub subject: Option<String>,
    /// Its plain text, once it was rendered; for those who may see the link.
    pub text: Option<String>,
    /// Its HTML, once it was rendered; for those who may see the link.
    pub html: Option<String>,
    /// Tries so far.
    pub tries: u32,
    /// When it is tried next.
    pub next_try_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    pub error: Option<String>,
    /// The job that sends it, for jobReplay.
    pub job_id: ID,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When a mail server took it.
    pub sent_at: Option<DateTime<Utc>>,
}

impl From<app::OutboxMail> for Mail {
    fn from(shown: app::OutboxMail) -> Self {
        let app::OutboxMail { mail, link, link_expires_at, texts } = shown;
        let (text, html) = texts.map_or((None, None), |texts| (Some(texts.text), texts.html));
        Self {
            id: mail.id.into(),
            kind: mail.kind.into(),
            state: mail.state.into(),
            to: mail.to.map(|to| to.to_string()),
            account_id: mail.account.map(Into::into),
            locale: mail.locale,
            link: link.map(|link| link.expose_secret().to_owned()),
            expires_at: link_expires_at,
            subject: mail.subject,
            text,
            html,
            tries: mail.tries,
            next_try_at: mail.next_try_at,
            error: mail.error,
            job_id: JobId::new(mail.id.uuid()).into(),
            created_at: mail.created_at,
            sent_at: mail.sent_at,
        }
    }
}

/// A template of a mail: a subject, a plain text and perhaps HTML, in the language of MiniJinja. What is filled into HTML is escaped. The facts to
/// fill in are `shop`, `theme`, `locale`, `recipient`, `company`, `order`, `lines`, `link`, `link_ends`, `decline`, `access`, `token` and `receipt`, as far
/// as the kind has them.
#[derive(Debug, Clone, SimpleObject)]
pub struct Template {
    /// What it is for.
    pub kind: TemplateKind,
    /// Its locale.
    pub locale: String,
    /// The company that it is for; null = everybody.
    pub company_id: Option<ID>,
    /// The product that it is for; null = all.
    pub product_id: Option<ID>,
    /// Template of the subject.
    pub subject: String,
    /// Template of the plain text.
    pub text: String,
    /// Template of the HTML.
    pub html: Option<String>,
    /// Whether it is the one that comes with the program.
    pub shipped: bool,
}

impl Template {
    fn of(place: Place, source: template::Source, shipped: bool) -> Self {
        Self {
            kind: place.kind.into(),
            locale: place.locale,
            company_id: place.company.map(Into::into),
            product_id: place.product.map(Into::into),
            subject: source.subject,
            text: source.text,
            html: source.html,
            shipped,
        }
    }
}

impl From<template::Effective> for Template {
    fn from(found: template::Effective) -> Self {
        Self::of(found.place, found.source, found.shipped)
    }
}

impl From<template::Template> for Template {
    fn from(set: template::Template) -> Self {
        let template::Template { place, subject, text, html, .. } = set;
        Self::of(place, template::Source { subject, text, html }, false)
    }
}

/// What a template became.
#[derive(Debug, Clone, SimpleObject)]
pub struct TemplatePreview {
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: Option<String>,
}

impl From<template::Rendered> for TemplatePreview {
    fn from(rendered: template::Rendered) -> Self {
        let template::Rendered { subject, text, html } = rendered;
        Self { subject, text, html }
    }
}

/// Queries about mails and templates.
#[derive(Debug, Default)]
pub struct MailQuery;

#[Object]
impl MailQuery {
    /// Mails that wait, went out, failed or are kept, the newest first. Needs `settings:read`, and `settings:write` to see links and texts.
    async fn outbox(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Mails in these states only.")] states: Option<Vec<MailState>>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Mail>> {
        let (app, caller) = scope(ctx)?;
        let outbox = async {
            let states: Option<Vec<_>> = states.map(|states| states.into_iter().map(|state| state.0).collect());
            let list = ListName::new("outbox", &states)?;
            let args = list.args(first, after.as_deref())?;
            let page = app.outbox(caller, states.as_deref(), &args, wants_total(ctx)).await?;
            connection(&list, page, |shown| (Key::At(shown.mail.created_at), shown.mail.id.uuid()), Mail::from)
        };
        answer(outbox.await)
    }

    /// The template that holds: in the best locale that has one, the most particular one. Needs `settings:read`.
    async fn template(
        &self,
        ctx: &Context<'_>,
        kind: TemplateKind,
        locale: String,
        company_id: Option<ID>,
        product_id: Option<ID>,
    ) -> async_graphql::Result<Template> {
        let (app, caller) = scope(ctx)?;
        let found = async {
            caller.require(Topic::Settings.read())?;
            app.template(caller, &place(kind, locale, company_id.as_ref(), product_id.as_ref())?).await
        };
        Ok(answer(found.await)?.into())
    }

    /// The templates that the shop has set, in the order of making. Needs `settings:read`.
    async fn templates(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> async_graphql::Result<List<Template>> {
        let (app, caller) = scope(ctx)?;
        let templates = async {
            let list = ListName::new("templates", &())?;
            let args = list.args(first, after.as_deref())?;
            let page = app.templates(caller, &args, wants_total(ctx)).await?;
            connection(&list, page, |set| (Key::At(set.created_at), set.id), Template::from)
        };
        answer(templates.await)
    }
}

/// A template of the shop's own.
#[derive(Debug, Clone, InputObject)]
pub struct TemplateInput {
    /// Template of the subject.
    pub subject: String,
    /// Template of the plain text.
    pub text: String,
    /// Template of the HTML; without one the mail is plain text.
    pub html: Option<String>,
}

impl From<TemplateInput> for template::Source {
    fn from(input: TemplateInput) -> Self {
        let TemplateInput { subject, text, html } = input;
        Self { subject, text, html }
    }
}

/// Which template to set, and to what.
#[derive(Debug, Clone, InputObject)]
pub struct TemplateSetInput {
    /// What it is for.
    pub kind: TemplateKind,
    /// Its locale, such as `en`, `pl` or `de-AT`.
    pub locale: String,
    /// For the buyers of this company; null = everybody.
    pub company_id: Option<ID>,
    /// For this product; null = all.
    pub product_id: Option<ID>,
    /// The template; null takes the shop's own away, and the one that holds without it does.
    pub template: Option<TemplateInput>,
}

/// Which template to look at.
#[derive(Debug, Clone, InputObject)]
pub struct TemplatePreviewInput {
    /// What it is for.
    pub kind: TemplateKind,
    /// Its locale.
    pub locale: String,
    /// For the buyers of this company.
    pub company_id: Option<ID>,
    /// For this product.
    pub product_id: Option<ID>,
    /// A template that is not set yet; null = the one that holds.
    pub template: Option<TemplateInput>,
}

payload! {
    /// The template that holds now.
    TemplateSetPayload {
        /// The template.
        template: Template
    }
}

payload! {
    /// The template, filled with made-up facts.
    TemplatePreviewPayload {
        /// What it became.
        preview: TemplatePreview
    }
}

/// Mutations of templates.
#[derive(Debug, Default)]
pub struct MailMutation;

#[Object]
impl MailMutation {
    /// Sets a template of the shop's own, or takes it away. Needs `settings:write`.
    async fn template_set(&self, ctx: &Context<'_>, input: TemplateSetInput) -> async_graphql::Result<TemplateSetPayload> {
        let (app, caller) = scope(ctx)?;
        let set = async {
            caller.require(Topic::Settings.write())?;
            let place = place(input.kind, input.locale, input.company_id.as_ref(), input.product_id.as_ref())?;
            app.template_set(caller, place, input.template.map(Into::into)).await
        };
        TemplateSetPayload::of(set.await)
    }

    /// Shows what a template becomes with made-up facts; changes nothing. Needs `settings:read`.
    async fn template_preview(&self, ctx: &Context<'_>, input: TemplatePreviewInput) -> async_graphql::Result<TemplatePreviewPayload> {
        let (app, caller) = scope(ctx)?;
        let shown = async {
            caller.require(Topic::Settings.read())?;
            let place = place(input.kind, input.locale, input.company_id.as_ref(), input.product_id.as_ref())?;
            app.template_preview(caller, place, input.template.map(Into::into)).await
        };
        TemplatePreviewPayload::of(shown.await)
    }
}

fn place(kind: TemplateKind, locale: String, company: Option<&ID>, product: Option<&ID>) -> Result<Place> {
    Ok(Place {
        kind: kind.0,
        locale,
        company: company.map(|id| input_id(id, "companyId", "company")).transpose()?,
        product: product.map(|id| input_id(id, "productId", "product")).transpose()?,
    })
}
