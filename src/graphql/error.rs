//! The only translator of errors: what a caller can mend becomes `userErrors`, the rest a top-level error with a stable code; what is our fault
//! is logged here, once, with the request id, and shown without detail.

use std::sync::Arc;

use async_graphql::{Context, ErrorExtensions, ServerError, SimpleObject};

use super::scalar::named_enum;
use crate::app::App;
use crate::app::caller::Caller;
use crate::error::{Error, Refusal, Result};

named_enum! {
    /// Why a call was refused. New codes can be added; a code never changes its meaning.
    UserErrorCode(domain::refusal::Code)
}

/// One reason why the call was refused; nothing was changed.
#[derive(Debug, Clone, SimpleObject)]
pub struct UserError {
    /// The stable reason.
    pub code: UserErrorCode,
    /// The path of the field in `input` that is to blame, outermost first; list places are numbers from 0.
    pub field: Vec<String>,
    /// What is wrong and what to do, in English.
    pub message: String,
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> Self {
        Self { code: UserErrorCode(refusal.code), field: refusal.field, message: refusal.message }
    }
}

/// The application and the caller of this request.
///
/// # Errors
/// They were not put into the request, which is a fault of ours.
pub fn scope<'a>(ctx: &Context<'a>) -> async_graphql::Result<(&'a App, &'a Caller)> {
    let app = ctx.data::<Arc<App>>()?;
    let caller = ctx.data::<Arc<Caller>>()?;
    Ok((app, caller))
}

/// Turns the result of a query into GraphQL's.
///
/// # Errors
/// The same, as a top-level error with `extensions.code`.
pub fn answer<T>(result: Result<T>) -> async_graphql::Result<T> {
    result.map_err(top_level)
}

/// Splits the result of a mutation: refusals are part of the answer.
///
/// # Errors
/// Whatever is not a refusal, as a top-level error with `extensions.code`.
pub fn outcome<T>(result: Result<T>) -> async_graphql::Result<Result<T, Vec<UserError>>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Refused(refusals)) => Ok(Err(refusals.into_iter().map(UserError::from).collect())),
        Err(other) => Err(top_level(other)),
    }
}

/// The top-level error for `error`.
pub fn top_level(error: Error) -> async_graphql::Error {
    let (code, message, retry) = match error {
        // A query has no userErrors: what is refused there is a bad argument.
        Error::Refused(refusals) => {
            let text = refusals.into_iter().map(|refusal| refusal.message).collect::<Vec<_>>().join(" ");
            ("BAD_INPUT", text, None)
        }
        Error::BadInput(message) => ("BAD_INPUT", message, None),
        Error::Forbidden(message) => ("FORBIDDEN", message, None),
        Error::Unauthenticated(message) => ("UNAUTHENTICATED", message, None),
        Error::RateLimited { retry_after_s } => {
            ("RATE_LIMITED", format!("Too many tries; try again in {retry_after_s} seconds."), Some(retry_after_s))
        }
        Error::Internal(cause) => {
            tracing::error!(error = format!("{cause:#}"), "internal error");
            ("INTERNAL", "Something went wrong on our side; nothing is lost. Quote the request id if it stays.".to_owned(), None)
        }
    };
    async_graphql::Error::new(message).extend_with(|_, extensions| {
        extensions.set("code", code);
        if let Some(seconds) = retry {
            extensions.set("retryAfterSeconds", seconds);
        }
    })
}

/// The same for a request as a whole, before any field of it ran.
pub fn refusal(error: Error) -> ServerError {
    let async_graphql::Error { message, extensions, .. } = top_level(error);
    let mut refusal = ServerError::new(message, None);
    refusal.extensions = extensions;
    refusal
}

/// Declares the payload of a mutation: the object, `userErrors`, and with `replayed` whether an earlier answer was given again.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $type:ty }) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            $(#[$field_doc])*
            pub $field: Option<$type>,
            /// Why the call was refused; empty when it was done.
            pub user_errors: Vec<$crate::graphql::error::UserError>,
        }

        impl $name {
            /// The payload of a use case's result.
            ///
            /// # Errors
            /// Whatever is not a refusal.
            pub fn of<T: Into<$type>>(result: $crate::error::Result<T>) -> async_graphql::Result<Self> {
                Ok(match $crate::graphql::error::outcome(result)? {
                    Ok(value) => Self { $field: Some(value.into()), user_errors: Vec::new() },
                    Err(user_errors) => Self { $field: None, user_errors },
                })
            }
        }
    };
    ($(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $type:ty, replayed }) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            $(#[$field_doc])*
            pub $field: Option<$type>,
            /// Whether this is the answer of an earlier call with the same idempotency key.
            pub replayed: bool,
            /// Why the call was refused; empty when it was done.
            pub user_errors: Vec<$crate::graphql::error::UserError>,
        }

        impl $name {
            /// The payload of a use case's result.
            ///
            /// # Errors
            /// Whatever is not a refusal.
            pub fn of<T: Into<$type>>(result: $crate::error::Result<$crate::app::Answer<T>>) -> async_graphql::Result<Self> {
                Ok(match $crate::graphql::error::outcome(result)? {
                    Ok(answer) => Self { $field: Some(answer.value.into()), replayed: answer.replayed, user_errors: Vec::new() },
                    Err(user_errors) => Self { $field: None, replayed: false, user_errors },
                })
            }
        }
    };
}
pub(crate) use payload;
