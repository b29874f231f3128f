//! Which web pages of other origins may call the API: those of the setting, by default none.
//!
//! Always true here: credentials (cookies) are never allowed. Sign-in is a header that the page has to have, so that a
//! page that has none acts as a guest.

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, Uri, header},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// An entry of the setting that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin: write scheme, host and, if unusual, port, like https://shop.example, or * alone for every origin")]
pub struct NotAnOrigin(String);

/// Lets pages of the given origins call what `router` has so far. `*` alone means every origin; an empty list, none.
///
/// # Errors
/// Names the first entry that is no origin.
pub fn apply<S: Clone + Send + Sync + 'static>(router: Router<S>, origins: &[String]) -> Result<Router<S>, NotAnOrigin> {
    let allowed = match origins {
        [] => return Ok(router),
        [all] if all == "*" => AllowOrigin::any(),
        listed => AllowOrigin::list(listed.iter().map(|origin| parse(origin)).collect::<Result<Vec<_>, _>>()?),
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("cart-secret"),
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
        .max_age(Duration::from_secs(3600));
    Ok(router.layer(layer))
}

/// Browsers send an origin in exactly one form, so another form in the setting would never match.
fn parse(origin: &str) -> Result<HeaderValue, NotAnOrigin> {
    let wrong = || NotAnOrigin(origin.to_owned());
    let uri: Uri = origin.parse().map_err(|_| wrong())?;
    let (scheme, authority) = (uri.scheme_str().unwrap_or(""), uri.authority().map_or("", |authority| authority.as_str()));
    let exact = format!("{scheme}://{authority}").to_ascii_lowercase() == *origin;
    if !exact || !matches!(scheme, "http" | "https") || authority.contains('@') {
        return Err(wrong());
    }
    HeaderValue::from_str(origin).map_err(|_| wrong())
}
