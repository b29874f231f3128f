//! `/`: what this is, and where to go on.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use minijinja::{Environment, UndefinedBehavior, context};

use crate::app::App;

const TEMPLATE: &str = "home.html";

/// The walk that the page offers to paste into GraphiQL: heading and document.
pub const WALK: [(&str, &str); 3] = [
    ("The shop", "{\n  shop { name baseCurrency locale timeZone }\n}"),
    ("What is sold", "{\n  offers(first: 5, sort: TITLE) {\n    nodes { id sku title price { amount currency } }\n  }\n}"),
    ("A cart", "mutation {\n  cartCreate(input: {}) {\n    cart { id version }\n    secret\n    userErrors { code field message }\n  }\n}"),
];

/// `GET /`. The page is the same for everybody and is made once.
pub fn routes<S: Clone + Send + Sync + 'static>(app: &Arc<App>) -> Router<S> {
    let page = render(&app.shop.name).map_err(|error| tracing::error!(error = %format!("{error:#}"), "the page at / cannot be made")).ok();
    Router::new().route(
        "/",
        get(move || {
            let page = page.clone();
            async move { answer(page) }
        }),
    )
}

fn render(shop: &str) -> Result<String, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template(TEMPLATE, include_str!("home.html"))?;
    let walk: Vec<_> = WALK.iter().map(|&(title, query)| context! { title, query }).collect();
    templates.get_template(TEMPLATE)?.render(context! { shop, walk, version => env!("CARGO_PKG_VERSION") })
}

fn answer(page: Option<String>) -> Response {
    let Some(page) = page else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let policy = HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    );
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_escapes_the_name_of_the_shop_and_shows_the_walk() {
        let page = render("<b>Knits & more</b>").expect("the page is made");
        assert!(page.contains("&lt;b&gt;Knits &amp; more"), "{page}");
        assert!(!page.contains("<b>Knits"));
        assert!(page.contains("href=\"/graphql?query=%7B%0A%20%20shop"), "{page}");
    }
}
