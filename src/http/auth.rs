//! From a request to its [`Caller`](crate::app::caller::Caller): what headers and `connection_init` bring.
//!
//! Always true here: a credential that cannot be read is refused like a dead one, never passed over; nobody with a mistyped token becomes a
//! guest in silence.

use std::sync::Arc;

use async_graphql::{Data, ServerError};
use async_trait::async_trait;
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use axum::http::request::Parts;
use secrecy::SecretString;
use serde_json::Value;

use super::client_ip::ClientIp;
use super::graphql::Callers;
use crate::app::App;
use crate::app::sign_in::Presented;
use crate::error::{Error, Result};
use crate::graphql::error::refusal;
use crate::graphql::executor::RequestId;

/// The header with the secret of a guest's cart.
pub const CART_SECRET: HeaderName = HeaderName::from_static("cart-secret");

/// Finds callers by what they show.
#[derive(Debug, Clone)]
pub struct Auth {
    app: Arc<App>,
}

impl Auth {
    /// For this shop.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    async fn admit(&self, presented: Result<Presented>) -> Result<Data, ServerError> {
        let caller = match presented {
            Ok(presented) => self.app.caller(&presented).await,
            Err(error) => Err(error),
        };
        let mut data = Data::default();
        data.insert(Arc::new(caller.map_err(refusal)?));
        Ok(data)
    }
}

#[async_trait]
impl Callers for Auth {
    async fn of_request(&self, parts: &Parts) -> Result<Data, ServerError> {
        self.admit(shown(parts)).await
    }

    /// `connection_init` can carry `authorization` and `cartSecret`, because browsers cannot set headers on a WebSocket; what it lacks is taken
    /// from the headers of the upgrade request.
    async fn of_socket(&self, parts: &Parts, init: Value) -> Result<Data, ServerError> {
        self.admit(shown(parts).and_then(|shown| shown_in(&init, shown))).await
    }
}

/// What a request shows: the headers `Authorization: Bearer …` and `Cart-Secret`, the client's address and the request's id.
///
/// # Errors
/// [`Error::Unauthenticated`] for a header that cannot be read.
pub fn shown(parts: &Parts) -> Result<Presented> {
    let bearer = only(&parts.headers, &AUTHORIZATION)?.map(bearer).transpose()?;
    Ok(Presented {
        bearer,
        cart_secret: only(&parts.headers, &CART_SECRET)?.map(SecretString::from),
        address: parts.extensions.get::<ClientIp>().and_then(|ip| ip.0),
        request: parts.extensions.get::<RequestId>().map(ToString::to_string),
    })
}

fn shown_in(init: &Value, mut shown: Presented) -> Result<Presented> {
    let text = |names: &[&str]| {
        let found = init.as_object().into_iter().flatten().find(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name)));
        match found {
            None | Some((_, Value::Null)) => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text.as_str())),
            Some(_) => Err(unreadable()),
        }
    };
    if let Some(value) = text(&["authorization"])? {
        shown.bearer = Some(bearer(value)?);
    }
    if let Some(secret) = text(&["cartSecret", "cart-secret"])? {
        shown.cart_secret = Some(secret.into());
    }
    Ok(shown)
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| unreadable()),
        (Some(_), Some(_)) => Err(unreadable()),
    }
}

fn bearer(value: &str) -> Result<SecretString> {
    let (scheme, token) = value.trim().split_once(' ').ok_or_else(unreadable)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains(char::is_whitespace) {
        return Err(unreadable());
    }
    Ok(token.into())
}

fn unreadable() -> Error {
    Error::Unauthenticated("Sign in by one header, Authorization: Bearer, with a token or service key after it.".to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/graphql");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn text(secret: Option<&SecretString>) -> Option<&str> {
        secret.map(|secret| secret.expose_secret())
    }

    #[test]
    fn a_bearer_and_a_carts_secret_are_read_from_headers() {
        let check = |headers: &[(&str, &str)], bearer: Option<&str>, cart: Option<&str>| {
            let shown = shown(&parts(headers)).expect("readable");
            assert_eq!((text(shown.bearer.as_ref()), text(shown.cart_secret.as_ref())), (bearer, cart), "{headers:?}");
        };
        check(&[], None, None);
        check(&[("authorization", "Bearer abc.def"), ("cart-secret", "xyz")], Some("abc.def"), Some("xyz"));
        check(&[("Authorization", "bearer  abc ")], Some("abc"), None);
    }

    #[test]
    fn a_credential_that_cannot_be_read_is_refused_and_not_passed_over() {
        for value in ["", "Bearer", "Bearer ", "abc", "Basic YWRhOng=", "Bearer a b", "Token abc"] {
            let answer = shown(&parts(&[("authorization", value)]));
            assert!(matches!(answer, Err(Error::Unauthenticated(_))), "{value:?}");
        }
        assert!(shown(&parts(&[("authorization", "Bearer a"), ("authorization", "Bearer b")])).is_err(), "which one?");
        assert!(shown(&parts(&[("cart-secret", "a"), ("cart-secret", "b")])).is_err());
    }

    #[test]
    fn connection_init_comes_before_the_headers_of_the_upgrade() {
        let check = |init: Value, bearer: Option<&str>, cart: Option<&str>| {
            let headers = parts(&[("authorization", "Bearer header"), ("cart-secret", "header")]);
            let shown = shown_in(&init, shown(&headers).expect("readable")).expect("readable");
            assert_eq!((text(shown.bearer.as_ref()), text(shown.cart_secret.as_ref())), (bearer, cart), "{init}");
        };
        check(Value::Null, Some("header"), Some("header"));
        check(json!({ "authorization": "Bearer init", "cartSecret": "init" }), Some("init"), Some("init"));
        check(json!({ "Authorization": "Bearer init", "Cart-Secret": null }), Some("init"), Some("header"));
        for init in [json!({ "authorization": 7 }), json!({ "authorization": "init" }), json!({ "cartSecret": ["x"] })] {
            assert!(shown_in(&init, Presented::default()).is_err(), "{init}");
        }
    }
}
