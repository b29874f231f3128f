//! Mails: queued in the transaction that they tell about, then rendered and sent by a job each; the outbox as operators see it.
//!
//! Always true here: a mail names rows and copies none, so that what was erased or taken back meanwhile is not told; no password is in any; a
//! link in a mail is the only one that proves its address; a mail server is never spoken to inside a transaction.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::account::Road;
use domain::cart::For;
use domain::mail::{MailState, OrderMails, TemplateKind, next_try};
use domain::order::OrderStatus;
use domain::sales_order::SalesOrderStatus;
use domain::text::Email;
use domain::{
    AccountId, CompanyId, EntitlementId, MailId, OrderId, OrderLineId, PaymentId, ProductId, ResourceId, SalesOrderId, SessionId, TokenId,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::account::Account;
use super::caller::{Caller, Topic};
use super::fulfil::wholly_refunded;
use super::learning::target_titles;
use super::payment::{Order, OrderLine, Ran};
use super::rental::{CreditOffer, Quote};
use super::sales_order::SalesOrder;
use super::secrets::Purpose;
use super::sign_in::read_scopes;
use super::template::{
    AccessFacts, DeclineFacts, Facts, LineFacts, OrderFacts, Place, QuoteFacts, QuoteLineFacts, Recipient, Rendered, SaleFacts,
    ShortageFacts, TemplateFault, ThemeFacts, TokenFacts, render,
};
use super::wording::Language;
use super::{App, entropy};
use crate::error::Result;
use crate::internal;
use crate::outbox::{self, Job};
use crate::page::{Page, PageArgs};
use crate::store;
use crate::store::mail::Outcome;

pub use crate::store::mail::Mail;
pub use crate::store::page::Key;

/// For how long one try may take: less than the lease of a job.
const SEND_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked for access that ends soon.
const ROUND: TimeDelta = TimeDelta::hours(1);
/// For how long it is remembered that an end was told.
const DECISIONS_KEPT: TimeDelta = TimeDelta::days(30);
/// Most codes that a mail lists.
const MAX_CODES: usize = 50;
/// The one job that looks for access that ends soon.
pub(super) const ROUND_JOB: Uuid = Uuid::from_u128(0x6d61_696c_0000_7000_8000_0000_0000_0001);

/// A message as it goes to a mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The mail; the message's id is made of it, so that the same one sent again can be told.
    pub id: MailId,
    /// To whom.
    pub to: Email,
    /// The name that goes with the address.
    pub to_name: Option<String>,
    /// Its texts.
    pub texts: Rendered,
    /// When it was written.
    pub written_at: DateTime<Utc>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SendFault {
    /// Whether it would be refused again.
    pub for_good: bool,
    /// What happened; holds no secret.
    pub what: String,
}

/// Whoever carries messages.
#[async_trait]
pub trait Mailer: Send + Sync + std::fmt::Debug {
    /// Hands a message over.
    ///
    /// # Errors
    /// It was not taken, or nobody knows whether it was.
    async fn send(&self, letter: &Letter) -> Result<(), SendFault>;

    /// Whether the mail server can be reached and takes us.
    ///
    /// # Errors
    /// It does not.
    async fn check(&self) -> Result<(), SendFault>;
}

/// The rows that a mail tells about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderId>,
    /// Of the order, this line alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<OrderLineId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlement: Option<EntitlementId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<CompanyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<ResourceId>,
    sales_order: Option<SalesOrderId>,
}

/// A mail to be queued.
#[derive(Debug, Clone)]
struct NewMail {
    kind: TemplateKind,
    to: Email,
    to_name: Option<String>,
    locale: String,
    account: Option<AccountId>,
    link: Option<Uuid>,
    person_hash: Option<String>,
    about: About,
}

/// A seat that was assigned to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// The seat.
    pub token: TokenId,
    /// To whom.
    pub to: Email,
    /// Their name.
    pub name: Option<String>,
    /// The company that hands it out.
    pub company: Option<CompanyId>,
}

/// Somebody for whom a line was bought.
#[derive(Debug, Clone)]
pub(super) struct Learner {
    /// The account.
    pub account: AccountId,
    /// The line.
    pub line: OrderLineId,
    /// Where the mail goes.
    pub email: Email,
    /// The name.
    pub name: Option<String>,
}

/// A mail as it is shown.
#[derive(Debug, Clone)]
pub struct OutboxMail {
    /// The mail.
    pub mail: Mail,
    /// The link in it, while it works, for callers who may act for its account.
    pub link: Option<SecretString>,
    /// Until when the link works.
    pub link_expires_at: Option<DateTime<Utc>>,
    /// What it was rendered to, for the same callers.
    pub texts: Option<Rendered>,
}

/// What a mail came to when its turn came.
enum Said {
    Letter(Box<Letter>),
    /// There is nothing left to say, and why.
    Nothing(&'static str),
    /// Its template makes no text; whoever set it can mend it.
    Unrendered(TemplateFault),
}

// ---- queueing ------------------------------------------------------------------------------------------------------------------

impl App {
    async fn mail_queue(&self, txn: &DatabaseTransaction, new: Vec<NewMail>) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mails: Vec<Mail> = new
            .into_iter()
            .map(|new| {
                Ok(Mail {
                    id: entropy::next_id(),
                    kind: new.kind,
                    state: MailState::Queued,
                    email_hash: self.email_hash(&new.to),
                    to: Some(new.to),
                    to_name: new.to_name,
                    person_hash: new.person_hash,
                    locale: new.locale,
                    account: new.account,
                    link: new.link,
                    about: json!(new.about),
                    subject: None,
                    body_sealed: None,
                    tries: 0,
                    next_try_at: Some(now),
                    error: None,
                    created_at: now,
                    sent_at: None,
                })
            })
            .collect::<Result<_>>()?;
        store::mail::insert(txn, &mails).await?;
        // The job has the mail's id, so that whoever sees the mail can name its job.
        let jobs: Vec<_> =
            mails.iter().map(|mail| (mail.id.uuid(), Job::SendMail { mail: mail.id.uuid() }, mail.id.uuid().to_string())).collect();
        Ok(outbox::enqueue_all(txn, &jobs, now).await?)
    }

    /// Mails a link that signs in to an account and proves its address.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn mail_link(&self, txn: &DatabaseTransaction, account: AccountId, to: &Email, name: Option<&str>) -> Result<()> {
        let link = self.link_create(txn, account, Road::Mail).await?.0;
        let mail = NewMail {
            link: Some(link),
            account: Some(account),
            to_name: name.map(str::to_owned),
            ..NewMail::of(TemplateKind::SignInLink, to, &self.shop.locale)
        };
        self.mail_queue(txn, vec![mail]).await
    }

    /// Invites people to the accounts that a company made for them.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn mail_invitations(
        &self,
        txn: &DatabaseTransaction,
        company: CompanyId,
        people: &[(AccountId, Email)],
    ) -> Result<()> {
        let accounts: Vec<AccountId> = people.iter().map(|(account, _)| *account).collect();
        let links = self.links_create(txn, &accounts).await?;
        let invitation = |((account, email), link): (&(AccountId, Email), Uuid)| NewMail {
            link: Some(link),
            account: Some(*account),
            about: About { company: Some(company), ..About::default() },
            ..NewMail::of(TemplateKind::SignInLink, email, &self.shop.locale)
        };
        self.mail_queue(txn, people.iter().zip(links).map(invitation).collect()).await
    }

    /// Hands seats over to those whom they were assigned to, each by a mail with its code.
    ///
    /// # Errors
    /// The database's.
    pub async fn mail_handovers(&self, txn: &DatabaseTransaction, seats: &[Handover]) -> Result<()> {
        let handover = |seat: &Handover| NewMail {
            to_name: seat.name.clone(),
            about: About { token: Some(seat.token), company: seat.company, ..About::default() },
            ..NewMail::of(TemplateKind::TokenHandover, &seat.to, &self.shop.locale)
        };
        self.mail_queue(txn, seats.iter().map(handover).collect()).await
    }

    /// Sends a quote to these managers of its company.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn mail_quote(
        &self,
        txn: &DatabaseTransaction,
        order: &SalesOrder,
        managers: &[(AccountId, String, Option<String>)],
    ) -> Result<()> {
        let quote = |(account, email, name): &(AccountId, String, Option<String>)| {
            let to = Email::parse(email).map_err(|reason| internal!("the address of a manager: {reason}"))?;
            Ok(NewMail {
                to_name: name.clone(),
                account: Some(*account),
                about: About { company: Some(order.company), sales_order: Some(order.id), ..About::default() },
                ..NewMail::of(TemplateKind::SalesQuote, &to, &order.locale)
            })
        };
        self.mail_queue(txn, managers.iter().map(quote).collect::<Result<_>>()?).await
    }

    /// Tells of an order that is given: its buyer, the people it was bought for, and whoever gets copies. `by_link` is whether the buyer
    /// comes in by a mailed link.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn mail_fulfilled(
        &self,
        txn: &DatabaseTransaction,
        order: &Order,
        buyer: Option<AccountId>,
        by_link: bool,
        learners: Vec<Learner>,
    ) -> Result<()> {
        let choices = self.choices(txn).await?;
        let person = store::person::by_id(txn, order.buyer).await?.ok_or_else(|| internal!("{} has no buyer", order.number))?;
        let mut mails = Vec::new();
        if let Some(email) = &person.email {
            let link = match buyer.filter(|_| by_link) {
                Some(buyer) => Some(self.link_create(txn, buyer, Road::Mail).await?.0),
                None => None,
            };
            let confirmation = NewMail {
                to_name: person.name.clone(),
                account: buyer,
                about: About { order: Some(order.id), ..About::default() },
                ..NewMail::of(TemplateKind::OrderConfirmation, email, &order.locale)
            };
            match choices.order_mails {
                OrderMails::PerOrder => mails.push(NewMail { link, ..confirmation }),
                OrderMails::PerCourse => {
                    // A link works once, so it has a mail of its own.
                    if link.is_some() {
                        let about = About::default();
                        mails.push(NewMail { kind: TemplateKind::SignInLink, link, about, ..confirmation.clone() });
                    }
                    mails.extend(order.lines.iter().filter(|line| !wholly_refunded(line)).map(|line| NewMail {
                        about: About { line: Some(line.id), ..confirmation.about.clone() },
                        ..confirmation.clone()
                    }));
                }
            }
        }
        for learner in learners.into_iter().filter(|learner| Some(learner.account) != buyer) {
            let link = self.link_create(txn, learner.account, Road::Mail).await?.0;
            mails.push(NewMail {
                to_name: learner.name,
                account: Some(learner.account),
                link: Some(link),
                about: About { order: Some(order.id), line: Some(learner.line), ..About::default() },
                ..NewMail::of(TemplateKind::SignInLink, &learner.email, &order.locale)
            });
        }
        for copy in &choices.owner_copies {
            let to = Email::parse(copy).map_err(|reason| internal!("an address for copies: {reason}"))?;
            mails.push(NewMail {
                person_hash: person.email.as_ref().map(|email| self.email_hash(email)),
                about: About { order: Some(order.id), ..About::default() },
                ..NewMail::of(TemplateKind::OwnerCopy, &to, &self.shop.locale)
            });
        }
        self.mail_queue(txn, mails).await
    }

    /// Tells the buyer of an attempt that was declined.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn mail_declined(&self, txn: &DatabaseTransaction, order: &Order, payment: PaymentId) -> Result<()> {
        let person = store::person::by_id(txn, order.buyer).await?;
        let Some((email, name)) = person.and_then(|person| Some((person.email?, person.name))) else { return Ok(()) };
        let mail = NewMail {
            to_name: name,
            account: order.account,
            about: About { order: Some(order.id), payment: Some(payment), ..About::default() },
            ..NewMail::of(TemplateKind::PaymentDeclined, &email, &order.locale)
        };
        self.mail_queue(txn, vec![mail]).await
    }

    /// Tells a learner that credits are missing for this resource.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn mail_shortage(&self, txn: &DatabaseTransaction, account: AccountId, resource: ResourceId) -> Result<()> {
        let person = store::account::by_ids(txn, &[account]).await?.pop().map(|account| account.person);
        let Some((email, name)) = person.and_then(|person| Some((person.email?, person.name))) else { return Ok(()) };
        let mail = NewMail {
            to_name: name,
            account: Some(account),
            about: About { resource: Some(resource), ..About::default() },
            ..NewMail::of(TemplateKind::CreditsShort, &email, &self.shop.locale)
        };
        self.mail_queue(txn, vec![mail]).await
    }

    /// Looks for access that ends soon, and drops what is too old to keep. Comes round again.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn mail_round(&self) -> Result<Ran> {
        let now = self.now();
        let too_old = now - TimeDelta::days(i64::from(self.shop.mail_days));
        while store::mail::drop_old(self.db.write(), too_old).await? == store::CHUNK as u64 {}
        while store::event::drop_old(self.db.write(), too_old).await? == store::CHUNK as u64 {}
        store::mail::forget_decisions(self.db.write(), now - DECISIONS_KEPT).await?;
        store::rental::forget_shortages(self.db.write(), now - DECISIONS_KEPT).await?;
        let days = self.choices(self.db.read()).await?.access_notice_days;
        let notice = TimeDelta::days(i64::from(days));
        while days > 0 && self.mail_endings(notice).await? == store::CHUNK {}
        Ok(Ran::Again(now + ROUND))
    }

    /// Decides about some of the ends that come near; says about how many.
    async fn mail_endings(&self, notice: TimeDelta) -> Result<usize> {
        let now = self.now();
        let txn = self.db.begin().await?;
        let ids = store::mail::ending(&txn, now, now + notice).await?;
        let endings = store::entitlement::by_ids(&txn, &ids).await?;
        let accounts: Vec<AccountId> = endings.iter().map(|ending| ending.grant.account).collect::<BTreeSet<_>>().into_iter().collect();
        let targets: Vec<Uuid> = endings.iter().map(|ending| ending.grant.target.uuid()).collect::<BTreeSet<_>>().into_iter().collect();
        let queues = store::entitlement::of_accounts_to(&txn, &accounts, &targets).await?;
        let people: HashMap<AccountId, Account> =
            store::account::by_ids(&txn, &accounts).await?.into_iter().map(|account| (account.id, account)).collect();
        let orders: Vec<OrderId> = endings.iter().filter_map(|ending| ending.order).collect();
        let locales = store::mail::order_locales(&txn, &orders).await?;
        let mut mails = Vec::new();
        for ending in &endings {
            let goes_on = queues.iter().any(|other| {
                other.id() != ending.id()
                    && other.grant.account == ending.grant.account
                    && other.grant.target == ending.grant.target
                    && other.grant.ended_at.is_none()
                    && (other.ends_at.is_none() || other.ends_at > ending.ends_at)
            });
            // Access that lasts no longer than the notice would end as soon as it begins.
            let lasts = ending.starts_at.zip(ending.ends_at).is_some_and(|(start, end)| start <= now && end - start > notice);
            let person = people.get(&ending.grant.account).map(|account| &account.person);
            if let (false, true, Some((email, name))) =
                (goes_on, lasts, person.and_then(|person| Some((person.email.as_ref()?, &person.name))))
            {
                let locale = ending.order.and_then(|order| locales.get(&order)).unwrap_or(&self.shop.locale);
                mails.push(NewMail {
                    to_name: name.clone(),
                    account: Some(ending.grant.account),
                    about: About { entitlement: Some(ending.id()), order: ending.order, ..About::default() },
                    ..NewMail::of(TemplateKind::AccessEndsSoon, email, locale)
                });
            }
        }
        let ends: Vec<_> = endings.iter().filter_map(|ending| Some((ending.id(), ending.ends_at?))).collect();
        store::mail::decided(&txn, &ends, now).await?;
        self.mail_queue(&txn, mails).await?;
        txn.commit().await?;
        Ok(ids.len())
    }
}

impl NewMail {
    fn of(kind: TemplateKind, to: &Email, locale: &str) -> Self {
        Self {
            kind,
            to: to.clone(),
            to_name: None,
            locale: locale.to_owned(),
            account: None,
            link: None,
            person_hash: None,
            about: About::default(),
        }
    }
}

// ---- sending -------------------------------------------------------------------------------------------------------------------

impl App {
    /// Sends a mail, or keeps it where there is no mail server. A mail that went out is not sent again; one whose fate is unknown is, as the
    /// same message.
    ///
    /// # Errors
    /// The database's: the job is run again.
    pub(crate) async fn mail_send(&self, id: MailId) -> Result<Ran> {
        let Some(mail) = store::mail::by_id(self.db.read(), id).await? else { return Ok(Ran::Done) };
        if matches!(mail.state, MailState::Sent | MailState::Cancelled) {
            return Ok(Ran::Done);
        }
        let letter = match self.letter(&mail).await? {
            Said::Letter(letter) => letter,
            Said::Nothing(why) => {
                let outcome = Outcome { error: Some(why.to_owned()), ..Outcome::of(MailState::Cancelled, &mail) };
                store::mail::tried(self.db.write(), id, outcome).await?;
                return Ok(Ran::Done);
            }
            Said::Unrendered(fault) => return self.mail_failed(&mail, &SendFault { for_good: false, what: fault.to_string() }).await,
        };
        let Some(mailer) = &self.mailer else {
            store::mail::tried(self.db.write(), id, Outcome::of(MailState::Kept, &mail)).await?;
            return Ok(Ran::Done);
        };
        let sent = tokio::time::timeout(SEND_WITHIN, mailer.send(&letter)).await.unwrap_or_else(|_| {
            Err(SendFault { for_good: false, what: format!("the mail server took longer than {} s", SEND_WITHIN.as_secs()) })
        });
        match sent {
            Ok(()) => {
                let outcome = Outcome { tries: mail.tries + 1, sent_at: Some(self.now()), ..Outcome::of(MailState::Sent, &mail) };
                store::mail::tried(self.db.write(), id, outcome).await?;
                Ok(Ran::Done)
            }
            Err(fault) => self.mail_failed(&mail, &fault).await,
        }
    }

    async fn mail_failed(&self, mail: &Mail, fault: &SendFault) -> Result<Ran> {
        let (now, tries) = (self.now(), mail.tries + 1);
        let again = if fault.for_good { None } else { next_try(tries, self.jitter(), mail.created_at, now) };
        let state = if again.is_some() { MailState::Queued } else { MailState::Failed };
        let outcome = Outcome { tries, next_try_at: again, error: Some(fault.what.clone()), ..Outcome::of(state, mail) };
        store::mail::tried(self.db.write(), mail.id, outcome).await?;
        Ok(match again {
            Some(at) => Ran::Retry { at, error: fault.what.clone() },
            None => Ran::GiveUp(fault.what.clone()),
        })
    }

    /// Thousandths, by chance.
    pub(super) fn jitter(&self) -> u16 {
        let mut bytes = [0; 2];
        self.entropy.fill(&mut bytes);
        u16::from_be_bytes(bytes) % 1_000
    }

    /// What a mail says now.
    async fn letter(&self, mail: &Mail) -> Result<Said> {
        let Some(to) = mail.to.clone() else { return Ok(Said::Nothing("The person was erased.")) };
        let db = self.db.read();
        let mut link = None;
        if let Some(id) = mail.link {
            link = store::mail::living_links(db, &[id], self.now()).await?.pop();
            if link.is_none() && mail.kind == TemplateKind::SignInLink {
                return Ok(Said::Nothing("Its link was used, replaced, or is too old."));
            }
        }
        let link_died = mail.link.is_some() && link.is_none();
        let texts = match self.rendered(mail)?.filter(|_| !link_died) {
            Some(texts) => texts,
            None => {
                let link = match link {
                    Some((_, sealed, ends)) => self.link_opened(sealed.as_deref())?.map(|secret| (secret, ends)),
                    None => None,
                };
                let texts = match self.say(mail, &to, link).await? {
                    Some(Ok(texts)) => texts,
                    Some(Err(fault)) => return Ok(Said::Unrendered(fault)),
                    None => return Ok(Said::Nothing("What it tells about has changed since; there is nothing left to say.")),
                };
                let body = serde_json::to_vec(&(&texts.text, &texts.html))?;
                let sealed = self.secrets.seal(Purpose::Mail, &body, self.entropy.as_ref())?;
                store::mail::rendered(self.db.write(), mail.id, &texts.subject, &sealed).await?;
                texts
            }
        };
        Ok(Said::Letter(Box::new(Letter { id: mail.id, to, to_name: mail.to_name.clone(), texts, written_at: mail.created_at })))
    }

    /// What a mail was rendered to before.
    fn rendered(&self, mail: &Mail) -> Result<Option<Rendered>> {
        let (Some(subject), Some(sealed)) = (&mail.subject, &mail.body_sealed) else { return Ok(None) };
        let opened = self.secrets.open(Purpose::Mail, sealed)?;
        let (text, html) = serde_json::from_slice(&opened)?;
        Ok(Some(Rendered { subject: subject.clone(), text, html }))
    }

    fn link_opened(&self, sealed: Option<&str>) -> Result<Option<SecretString>> {
        let Some(sealed) = sealed else { return Ok(None) };
        let secret = String::from_utf8(self.secrets.open(Purpose::Link, sealed)?).map_err(|_| internal!("a link's secret is no text"))?;
        Ok(Some(self.link_address(&secret.into())))
    }

    /// Renders a mail from the rows that it tells about; `None` if they leave nothing to say.
    async fn say(
        &self,
        mail: &Mail,
        to: &Email,
        link: Option<(SecretString, DateTime<Utc>)>,
    ) -> Result<Option<Result<Rendered, TemplateFault>>> {
        let db = self.db.read();
        let about: About = serde_json::from_value(mail.about.clone())?;
        let (words, zone) = (Language::of(&mail.locale), self.shop.time_zone);
        let mut facts = Facts {
            shop: self.shop_facts(),
            theme: ThemeFacts::of(self.choices(db).await?.theme),
            locale: mail.locale.clone(),
            recipient: Recipient { name: mail.to_name.clone(), email: to.to_string() },
            company: None,
            order: None,
            lines: Vec::new(),
            link: link.as_ref().map(|(link, _)| link.expose_secret().to_owned()),
            link_ends: link.map(|(_, ends)| words.instant(ends, zone)),
            decline: None,
            access: None,
            token: None,
            quote: None,
            receipt: None,
            shortage: None,
        };
        let (mut company, mut product) = (about.company, None);
        if let Some(id) = about.order {
            let Some(order) = store::order::by_id(db, id).await? else { return Ok(None) };
            company = company.or(order.company);
            let lines: Vec<&OrderLine> = order.lines.iter().filter(|line| about.line.is_none_or(|only| only == line.id)).collect();
            product = one_product(&lines);
            if mail.kind == TemplateKind::PaymentDeclined {
                let declined = match about.payment {
                    Some(payment) => store::payment::by_id(db, payment).await?,
                    None => None,
                };
                let Some(declined) = declined.filter(|_| order.status == OrderStatus::PendingPayment) else { return Ok(None) };
                facts.decline = Some(DeclineFacts {
                    text: words.decline(declined.decline_reason.as_deref()).to_owned(),
                    reason: declined.decline_reason,
                    until: order.lapses_at.map(|at| words.instant(at, zone)),
                });
            } else if mail.kind != TemplateKind::AccessEndsSoon && order.status == OrderStatus::Refunded {
                return Ok(None);
            }
            facts.lines = self.line_facts(db, &order, &lines, mail.kind, words).await?;
            facts.order = Some(self.order_facts(db, &order, &lines, about.line.is_some(), words).await?);
        }
        if let Some(id) = about.entitlement {
            let ending = store::entitlement::by_ids(db, &[id]).await?.pop().filter(|ending| !ending.is_over(self.now()));
            let Some((ending, ends)) = ending.and_then(|ending| ending.ends_at.map(|ends| (ending, ends))) else { return Ok(None) };
            let title = target_titles(db, std::iter::once(ending.grant.target)).await?.remove(&ending.grant.target);
            let title = title.ok_or_else(|| internal!("{id} opens nothing that has a title"))?;
            let product = store::product::products_of(db, &[ending.grant.target.uuid()]).await?.pop().filter(|product| product.listed);
            let context = company.map(|company| format!("?company={company}")).unwrap_or_default();
            let url = product.map(|product| format!("{}/form/{}{context}", self.shop.public_url, product.sku));
            facts.access = Some(AccessFacts { title, ends: words.instant(ends, zone), day: words.day(ends, zone), url });
        }
        if let Some(id) = about.token {
            let token = store::token::by_ids(db, &[id]).await?.pop();
            let Some(token) = token.filter(|token| token.redeemed_by.is_none() && token.status != domain::token::TokenStatus::Void) else {
                return Ok(None);
            };
            let title = target_titles(db, std::iter::once(token.target)).await?.remove(&token.target);
            let title = title.ok_or_else(|| internal!("{id} opens nothing that has a title"))?;
            product = Some(token.product);
            let sessions: Vec<SessionId> = token.session.into_iter().collect();
            let (when, place) = store::catalog::sessions(db, &sessions).await?.first().map(|session| words.dated(session)).unzip();
            let ends = token.ends_at.map(|at| words.instant(at, zone));
            facts.token = Some(TokenFacts { code: self.code_of(&token)?, title, when, place: place.flatten(), ends });
        }
        if let (Some(resource), Some(account)) = (about.resource, mail.account) {
            // As it is now: credits may have come meanwhile, or the resource was opened in another way.
            let Some(quote) = self.quote_for(account, resource).await?.filter(|quote| quote.missing() > 0) else { return Ok(None) };
            facts.shortage = Some(shortage_facts(&quote, words));
        }
        if let Some(id) = about.sales_order {
            let quoted = store::sales_order::by_ids(db, &[id]).await?.pop();
            let Some(quoted) = quoted.filter(|order| order.status == SalesOrderStatus::Quoted) else { return Ok(None) };
            facts.quote = Some(QuoteFacts {
                number: quoted.number,
                po_number: quoted.po_number,
                total: words.money(quoted.totals.total),
                until: quoted.valid_until.map(|at| words.instant(at, zone)),
                terms: quoted.terms,
                lines: quoted
                    .lines
                    .into_iter()
                    .map(|line| QuoteLineFacts {
                        title: line.title,
                        quantity: line.quantity,
                        each: line.unit_price.map(|price| words.money(price)),
                        total: words.money(line.amounts.total),
                    })
                    .collect(),
            });
        }
        if let Some(company) = company {
            facts.company = store::company::find(db, company).await?.map(|company| company.name);
        }
        let place = Place { kind: mail.kind, locale: mail.locale.clone(), company, product };
        let template = self.template_for(db, &place).await?;
        Ok(Some(render(&template.source, &facts)))
    }

    async fn order_facts(
        &self,
        db: &impl ConnectionTrait,
        order: &Order,
        lines: &[&OrderLine],
        part: bool,
        words: Language,
    ) -> Result<OrderFacts> {
        let buyer = store::person::by_id(db, order.buyer).await?;
        let (mut total, mut discount, mut tax) = (order.totals.total, order.totals.discount, order.totals.tax);
        if part {
            let sum = |amount: fn(&OrderLine) -> domain::Money| {
                lines.iter().try_fold(domain::Money::zero(order.currency), |sum, line| sum.add(amount(line)))
            };
            total = sum(|line| line.amounts.total).map_err(super::payment::money_fault)?;
            discount = sum(|line| line.amounts.discount).map_err(super::payment::money_fault)?;
            tax = sum(|line| line.amounts.tax).map_err(super::payment::money_fault)?;
        }
        Ok(OrderFacts {
            number: order.number.clone(),
            placed: words.day(order.placed_at, self.shop.time_zone),
            total: words.money(total),
            discount: (!discount.is_zero()).then(|| words.money(discount)),
            tax: (!tax.is_zero()).then(|| words.money(tax)),
            tax_included: order.prices_include_tax,
            buyer_name: buyer.as_ref().and_then(|buyer| buyer.name.clone()),
            buyer_email: buyer.and_then(|buyer| buyer.email).map(|email| email.to_string()),
        })
    }

    async fn line_facts(
        &self,
        db: &impl ConnectionTrait,
        order: &Order,
        lines: &[&OrderLine],
        kind: TemplateKind,
        words: Language,
    ) -> Result<Vec<LineFacts>> {
        let confirms = kind == TemplateKind::OrderConfirmation;
        let mut given = if confirms { self.given_by_orders(db, &[order.id]).await? } else { HashMap::new() };
        let sessions = sessions_of(db, lines.iter().copied()).await?;
        let facts = lines.iter().map(|line| {
            let given = given.remove(&line.id).unwrap_or_default();
            let more = given.codes.len().saturating_sub(MAX_CODES);
            let (when, place) = line.session.and_then(|session| sessions.get(&session)).map(|session| words.dated(session)).unzip();
            LineFacts {
                when,
                place: place.flatten(),
                kind: line.for_.kind().name(),
                credits: (!line.credits.is_none()).then(|| words.credits(line.credits.count)),
                sku: line.sku.clone(),
                title: line.title.clone(),
                quantity: line.quantity,
                total: words.money(line.amounts.total),
                text: None,
                learner: match &line.for_ {
                    For::Learner { name, email } if confirms => name.clone().or_else(|| email.as_ref().map(ToString::to_string)),
                    For::Learner { .. } | For::SelfBuyer | For::Seats => None,
                },
                courses: given.courses.into_iter().map(|(_, title)| title).collect(),
                codes: given.codes.into_iter().take(MAX_CODES).collect(),
                more_codes: (more > 0).then_some(more),
            }
        });
        Ok(facts.collect())
    }
}

impl Outcome {
    /// The mail as it stands, in another state, with nothing left to do.
    fn of(state: MailState, mail: &Mail) -> Self {
        Self { state, tries: mail.tries, next_try_at: None, error: None, sent_at: None }
    }
}

/// The sessions that these lines are for.
pub(super) async fn sessions_of(
    db: &impl ConnectionTrait,
    lines: impl Iterator<Item = &OrderLine>,
) -> Result<HashMap<SessionId, store::catalog::Session>> {
    let ids: Vec<SessionId> = lines.filter_map(|line| line.session).collect::<BTreeSet<_>>().into_iter().collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(store::catalog::sessions(db, &ids).await?.into_iter().map(|session| (session.id, session)).collect())
}

fn shortage_facts(quote: &Quote, words: Language) -> ShortageFacts {
    let count = |count: i64| words.credits(u64::try_from(count).unwrap_or(0));
    let offer = |offer: &CreditOffer| {
        let own = offer.price.map(|price| SaleFacts {
            title: offer.title.clone(),
            credits: words.credits(u64::from(offer.credits)),
            price: words.money(price),
            url: offer.url.clone(),
        });
        let packs = offer.packs.iter().map(|pack| SaleFacts {
            title: offer.title.clone(),
            credits: words.credits(u64::from(pack.credits)),
            price: words.money(pack.price),
            url: pack.url.clone(),
        });
        own.into_iter().chain(packs).collect::<Vec<_>>()
    };
    ShortageFacts {
        title: quote.view.resource.title.clone(),
        needed: count(quote.charge()),
        held: count(quote.balance()),
        missing: count(quote.missing()),
        sales: quote.credit_offers.iter().flat_map(offer).collect(),
    }
}

/// The product of these lines, if they have one in common.
pub(super) fn one_product(lines: &[&OrderLine]) -> Option<ProductId> {
    let first = lines.first()?.product;
    lines.iter().all(|line| line.product == first).then_some(first)
}

// ---- looking -------------------------------------------------------------------------------------------------------------------

impl App {
    /// A page of mails, the newest first, of all states or of these. Who reads a link can act as its account, so links and texts are there only
    /// for callers with `settings:write` and, where the account is an operator, with all of its scopes.
    ///
    /// # Errors
    /// [`crate::error::Error::Forbidden`] without `settings:read`.
    pub async fn outbox(
        &self,
        caller: &Caller,
        states: Option<&[MailState]>,
        args: &PageArgs<(Key, Uuid)>,
        with_total: bool,
    ) -> Result<Page<OutboxMail>> {
        caller.require(Topic::Settings.read())?;
        let Page { rows, has_next, has_previous, total } = store::mail::list(self.db.read(), states, args, with_total).await?;
        Ok(Page { rows: self.outbox_mails(caller, rows).await?, has_next, has_previous, total })
    }

    /// These mails, for those who may read them.
    ///
    /// # Errors
    /// The database's.
    pub async fn mails_by_id(&self, caller: &Caller, ids: &[MailId]) -> Result<HashMap<MailId, OutboxMail>> {
        if !caller.may(Topic::Settings.read()) {
            return Ok(HashMap::new());
        }
        let found = self.outbox_mails(caller, store::mail::by_ids(self.db.read(), ids).await?).await?;
        Ok(found.into_iter().map(|shown| (shown.mail.id, shown)).collect())
    }

    async fn outbox_mails(&self, caller: &Caller, mails: Vec<Mail>) -> Result<Vec<OutboxMail>> {
        let ids: Vec<Uuid> = mails.iter().filter_map(|mail| mail.link).collect();
        let links: HashMap<Uuid, (Option<String>, DateTime<Utc>)> = store::mail::living_links(self.db.read(), &ids, self.now())
            .await?
            .into_iter()
            .map(|(id, sealed, ends)| (id, (sealed, ends)))
            .collect();
        let ids: Vec<AccountId> = mails.iter().filter_map(|mail| mail.account).collect::<BTreeSet<_>>().into_iter().collect();
        let accounts = store::account::by_ids(self.db.read(), &ids).await?;
        let shown = mails.into_iter().map(|mail| {
            let account = accounts.iter().find(|account| Some(account.id) == mail.account);
            let operator = account.and_then(|account| account.operator.as_deref());
            let acts = caller.may(Topic::Settings.write())
                && operator.is_none_or(|scopes| read_scopes(scopes).iter().all(|scope| caller.may(scope)));
            let link = mail.link.and_then(|id| links.get(&id));
            // What was sealed with an earlier installation secret cannot be shown; it is listed all the same.
            let address = link.filter(|_| acts).and_then(|(sealed, _)| self.link_opened(sealed.as_deref()).ok().flatten());
            let texts = if acts { self.rendered(&mail).ok().flatten() } else { None };
            OutboxMail { link: address, link_expires_at: link.map(|(_, ends)| *ends), texts, mail }
        });
        Ok(shown.collect())
    }
}
