//! SMTP: how messages leave the shop.
//!
//! Always true here: a refusal for good is told apart from one that may pass; a message has the same id at each try; no secret is in an error.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::Error;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;

use crate::app::mail::{Letter, Mailer, SendFault};
use crate::config::{MailSettings, Mistake};

/// A mail server.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    within: Duration,
    from: Mailbox,
    reply_to: Option<Mailbox>,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The transport knows the password.
        f.debug_struct("Smtp").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Smtp {
    /// The mail server of the settings; `None` if there is none.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn of(settings: &MailSettings, shop: &str) -> Result<Option<Self>, Vec<Mistake>> {
        let Some(url) = &settings.smtp_url else { return Ok(None) };
        let mut mistakes = Vec::new();
        let mut mistake = |key: &str, what: String| mistakes.push(Mistake { key: key.to_owned(), what });
        let mailbox = |key: &str, text: &str| {
            text.trim().parse::<Mailbox>().map_err(|error| {
                (key.to_owned(), format!("is no address ({error}); write one such as shop@shop.example, or The Shop <shop@shop.example>"))
            })
        };
        let from = match settings.from.as_deref() {
            None => {
                mistake("mail.from", "is not set; write the address that mails come from".to_owned());
                None
            }
            Some(text) => mailbox("mail.from", text).map_err(|(key, what)| mistake(&key, what)).ok(),
        };
        let reply_to = match settings.reply_to.as_deref() {
            None => None,
            Some(text) => mailbox("mail.reply_to", text).map_err(|(key, what)| mistake(&key, what)).ok(),
        };
        // The address holds a password: what is wrong with it is said without showing it.
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret()).map_err(|_| {
            let what = "is no address of a mail server; write smtps://USER:PASSWORD@HOST, smtp://USER:PASSWORD@HOST:587?tls=required, or \
                        smtp://HOST:25 without a password; characters such as @ and : of a password as %40 and %3A";
            mistake("mail.smtp_url", what.to_owned());
        });
        let (Some(from), Ok(builder), true) = (from, builder, mistakes.is_empty()) else { return Err(mistakes) };
        let from = Mailbox { name: from.name.or_else(|| Some(shop.to_owned())), email: from.email };
        let within = Duration::from_secs(settings.timeout_s.into());
        Ok(Some(Self { transport: builder.timeout(Some(within)).build(), within, from, reply_to }))
    }

    fn message(&self, letter: &Letter) -> anyhow::Result<Message> {
        let to = Mailbox { name: letter.to_name.clone(), email: letter.to.as_str().parse::<Address>()? };
        let mut builder = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(letter.texts.subject.clone())
            .date(SystemTime::from(letter.written_at))
            .message_id(Some(format!("<{}@{}>", letter.id, self.from.email.domain())));
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        let mut message = match &letter.texts.html {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(letter.texts.text.clone(), html.clone()))?,
            None => builder.singlepart(SinglePart::plain(letter.texts.text.clone()))?,
        };
        // Nobody's holiday notice is meant to answer.
        message.headers_mut().insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
        Ok(message)
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, letter: &Letter) -> Result<(), SendFault> {
        let message =
            self.message(letter).map_err(|error| SendFault { for_good: true, what: format!("no message can be made: {error}") })?;
        // The transport's own patience is for connecting only. A connection that was given up on is not used again: there is one for each message.
        match tokio::time::timeout(self.within, self.transport.send(message)).await {
            Ok(sent) => sent.map(|_| ()).map_err(|error| fault(&error)),
            Err(_) => Err(SendFault { for_good: false, what: format!("the mail server took longer than {} s", self.within.as_secs()) }),
        }
    }

    async fn check(&self) -> Result<(), SendFault> {
        match self.transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SendFault { for_good: false, what: "the mail server does not answer as it should".to_owned() }),
            Err(error) => Err(fault(&error)),
        }
    }
}

fn fault(error: &Error) -> SendFault {
    let mut what = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Some errors say their cause themselves.
        if !what.contains(&said) {
            what = format!("{what}: {said}");
        }
        cause = inner.source();
    }
    // A server that does not let us in, or does not understand us, will once its settings or ours are mended.
    let about_us = error.status().is_some_and(|code| matches!(u16::from(code), 500..=504 | 521 | 530..=538));
    SendFault { for_good: error.is_permanent() && !about_us, what }
}
