//! `/form/{sku}`: a small order form, for shops without a front end of their own.
//!
//! Always true here: the pages work without a script and set no cookie; looking at the form makes nothing; an order is placed by the same use
//! cases as through GraphQL, after its total was shown; the cart's secret stands in forms only, never in an address.

use std::sync::Arc;

use axum::extract::{Form, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{RequestExt, Router};
use domain::cart::LineFacts;
use domain::catalog::ProductKind;
use domain::order::OrderStatus;
use domain::text::Email;
use domain::{CartId, CompanyId, Currency, Money, OrderId, SessionId};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use secrecy::SecretString;
use serde::Deserialize;

use super::client_ip::ClientIp;
use crate::app::App;
use crate::app::caller::Caller;
use crate::app::cart::{CartBuyerSet, CartCreate, CartView};
use crate::app::form::FormWords;
use crate::app::offer::{ContextArgs, Detail, PublicPack};
use crate::app::order::{OrderPlace, PaymentMethod, Placed};
use crate::app::order_view::{OrderParts, OrderView};
use crate::app::payment::BuyerAction;
use crate::app::template::ThemeFacts;
use crate::error::{Code, Error, Result};
use crate::graphql::executor::RequestId;

const TEMPLATE: &str = "form.html";

/// The form's route.
pub fn routes<S: Clone + Send + Sync + 'static>(app: &Arc<App>) -> Router<S> {
    Router::new().route("/form/{sku}", get(show).post(post)).with_state(app.clone())
}

/// What stands behind the question mark.
#[derive(Debug, Clone, Default, Deserialize)]
struct Wanted {
    coupon: Option<String>,
    locale: Option<String>,
    company: Option<String>,
    currency: Option<String>,
    session: Option<String>,
}

/// What a form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    step: String,
    name: String,
    email: String,
    coupon: String,
    cart: String,
    secret: String,
    amount: String,
    currency: String,
    session: String,
    gateway: Option<String>,
    tries: String,
}

/// A visit: what was asked for, and in which language.
struct Visit<'a> {
    app: &'a App,
    sku: String,
    wanted: Wanted,
    locale: String,
    caller: Caller,
}

/// A page to be made.
#[derive(Default)]
struct Page {
    status: StatusCode,
    heading: String,
    notices: Vec<String>,
    /// HTML that is safe.
    block: Option<String>,
    form: Option<Value>,
    review: Option<Value>,
    retry: Option<Value>,
    go: Option<Value>,
    /// Where the browser goes instead.
    away: Option<String>,
    details: Vec<(String, String)>,
}

async fn show(State(app): State<Arc<App>>, Path(sku): Path<String>, Query(wanted): Query<Wanted>, request: Request) -> Response {
    let visit = Visit::of(&app, sku, wanted, &request);
    let typed = Sent {
        coupon: visit.wanted.coupon.clone().unwrap_or_default(),
        session: visit.wanted.session.clone().unwrap_or_default(),
        ..Sent::default()
    };
    let page = visit.form(&typed, Vec::new(), StatusCode::OK).await;
    visit.answer(page).await
}

async fn post(State(app): State<Arc<App>>, Path(sku): Path<String>, Query(wanted): Query<Wanted>, request: Request) -> Response {
    let mut visit = Visit::of(&app, sku, wanted, &request);
    if !from_here(request.headers()) {
        return (StatusCode::FORBIDDEN, "The form was sent by another site.\n").into_response();
    }
    let Ok(Form(sent)) = request.extract::<Form<Sent>, _>().await else {
        return (StatusCode::UNPROCESSABLE_ENTITY, "This is not what the form sends.\n").into_response();
    };
    if !sent.secret.is_empty() {
        visit.caller.cart_secret = Some(SecretString::from(sent.secret.clone()));
    }
    let page = match sent.step.as_str() {
        "place" => visit.place(&sent).await,
        "retry" => visit.retry(&sent).await,
        _ => visit.begin(&sent).await,
    };
    visit.answer(page).await
}

/// Whether a browser that says where a form was says that it was here. Nothing hangs on it: no cookie gives a foreign page any right.
fn from_here(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let same = match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, place)| place.eq_ignore_ascii_case(host)),
        _ => true,
    };
    same && site.is_none_or(|site| matches!(site, "same-origin" | "none"))
}

impl<'a> Visit<'a> {
    fn of(app: &'a App, sku: String, wanted: Wanted, request: &Request) -> Self {
        let extensions = request.extensions();
        let caller = Caller {
            address: extensions.get::<ClientIp>().and_then(|ip| ip.0),
            request: extensions.get::<RequestId>().map(ToString::to_string),
            ..Caller::guest()
        };
        let asked = wanted.locale.as_deref().and_then(|locale| domain::text::locale(locale).ok());
        let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|languages| languages.to_str().ok()).and_then(|languages| {
            // In the order of writing, which is that of liking in every browser.
            languages.split(',').find_map(|language| domain::text::locale(language.split(';').next()?).ok())
        });
        let locale = asked.or(accepted).unwrap_or_else(|| app.shop.locale.clone());
        Self { app, sku, wanted, locale, caller }
    }

    fn context(&self) -> ContextArgs {
        ContextArgs {
            company: self.wanted.company.as_deref().and_then(CompanyId::parse),
            currency: self.wanted.currency.as_deref().and_then(|code| Currency::parse(code).ok()),
            locale: Some(self.locale.clone()),
        }
    }

    fn words(&self) -> FormWords {
        FormWords::of(&self.locale)
    }

    /// Where the forms of this visit are sent to. Everything in it was read before, so nothing needs another writing.
    fn action(&self) -> String {
        let ContextArgs { company, currency, .. } = self.context();
        let company = company.map(|company| format!("&company={company}")).unwrap_or_default();
        let currency = currency.map(|currency| format!("&currency={}", currency.code())).unwrap_or_default();
        format!("?locale={}{company}{currency}", self.locale)
    }

    fn create(&self, typed: &Sent) -> CartCreate {
        let coupon = typed.coupon.trim();
        let coupon_code = (!coupon.is_empty()).then(|| coupon.to_owned());
        CartCreate { sku: Some(self.sku.clone()), session: SessionId::parse(&typed.session), coupon_code, context: self.context() }
    }

    /// The form, with what was typed so far.
    async fn form(&self, typed: &Sent, mut notices: Vec<String>, status: StatusCode) -> Result<Page> {
        let words = self.words();
        let detail = Detail { description: true, packs: true, ..dated() };
        let (cart, refused) = match self.app.cart_preview(&self.caller, self.create(typed), detail).await {
            Ok(preview) => preview,
            Err(Error::Refused(refusals)) if refusals.iter().any(|refusal| refusal.code == Code::NotFound) => {
                return Ok(Page { status: StatusCode::NOT_FOUND, heading: words.not_found.to_owned(), ..Page::default() });
            }
            Err(other) => return Err(other),
        };
        // A code that does nothing is taken out of the form, so that sending it again goes on without.
        let coupon = if refused.is_some() { "" } else { typed.coupon.trim() };
        if let Some(refusal) = refused.filter(|_| notices.is_empty()) {
            notices.push(words.coupon_refused(&refusal));
        }
        let Some((line, offer)) = cart.lines.first().and_then(|line| Some((line, line.offer.as_ref()?))) else {
            return Ok(Page { status: StatusCode::NOT_FOUND, heading: words.not_found.to_owned(), ..Page::default() });
        };
        // A date is chosen in the form; all else that is wrong closes it.
        let chosen = SessionId::parse(&typed.session);
        let sessions: Vec<Value> = offer
            .sessions
            .iter()
            .filter(|session| session.taken < session.seats)
            .map(|session| context! { id => session.id.to_string(), label => words.session(session), chosen => Some(session.id) == chosen })
            .collect();
        let stands = domain::cart::check_line(&line.facts);
        let chooses = line.facts.seat.is_some() && !sessions.is_empty();
        let open = match &stands {
            Ok(()) => true,
            Err(_) if chooses => domain::cart::check_line(&LineFacts { seat: None, ..line.facts.clone() }).is_ok(),
            Err(_) => false,
        };
        if !open {
            notices.push(words.not_on_sale.to_owned());
        } else if chooses && typed.step == "review" && notices.is_empty() {
            notices.push(words.choose_date.to_owned());
        }
        // What has one date only says it.
        let dated = (offer.kind == ProductKind::Session).then(|| offer.sessions.first()).flatten().map(|session| words.session(session));
        let text = self.app.form_text(line.line.line.product, &self.locale).await?;
        let amounts = line.amounts();
        let form = context! {
            action => self.action(),
            open,
            title => offer.title.as_str(),
            credits => words.credits(line.facts.credits.count),
            packs => self.packs(&offer.packs),
            description => offer.description.as_str(),
            dated,
            sessions => if offer.kind == ProductKind::Session { Vec::new() } else { sessions },
            text,
            subtotal => amounts.map(|amounts| words.money(amounts.subtotal)),
            discount => amounts.filter(|amounts| !amounts.discount.is_zero()).map(|amounts| words.money(amounts.discount)),
            tax => amounts.filter(|amounts| !amounts.tax.is_zero()).map(|amounts| words.money(amounts.tax)),
            total => amounts.map(|amounts| words.money(amounts.total)),
            name => typed.name.as_str(),
            email => typed.email.as_str(),
            coupon,
        };
        Ok(Page { status, heading: offer.title.clone(), notices, form: Some(form), ..Page::default() })
    }

    /// The packs of the product that everybody is shown, each with the form that has its code filled in.
    fn packs(&self, packs: &[PublicPack]) -> Vec<Value> {
        let words = self.words();
        let link = |pack: &PublicPack| format!("{}&coupon={}", self.action(), pack.code_in_address());
        packs
            .iter()
            .map(
                |pack| context! { price => words.money(pack.price), credits => words.credits(u64::from(pack.credits)), link => link(pack) },
            )
            .collect()
    }

    /// Makes the cart, and shows what it comes to.
    async fn begin(&self, sent: &Sent) -> Result<Page> {
        let words = self.words();
        let Ok(email) = Email::parse(&sent.email) else {
            return self.form(sent, vec![words.email_wrong.to_owned()], StatusCode::UNPROCESSABLE_ENTITY).await;
        };
        let name = match sent.name.trim() {
            "" => None,
            name => match domain::text::name(name) {
                Ok(name) => Some(name),
                Err(_) => return self.form(sent, vec![words.name_wrong.to_owned()], StatusCode::UNPROCESSABLE_ENTITY).await,
            },
        };
        let created = match self.app.cart_create(&self.caller, self.create(sent), Detail::default()).await {
            Ok(created) => created,
            // The form says what is wrong with the code, or that there is no such thing.
            Err(Error::Refused(_) | Error::RateLimited { .. }) => {
                return self.form(sent, Vec::new(), StatusCode::UNPROCESSABLE_ENTITY).await;
            }
            Err(other) => return Err(other),
        };
        let secret = created.secret.ok_or_else(|| crate::internal!("a guest's cart has no secret"))?;
        let caller = Caller { cart_secret: Some(SecretString::from(secret.clone())), ..self.caller.clone() };
        let buyer = CartBuyerSet { cart: created.cart.cart.id, email, name, address: None, expected_version: None };
        let written = self.app.cart_buyer_set(&caller, buyer, dated()).await?;
        Ok(self.review(&written.cart, &secret, Vec::new()))
    }

    /// What the cart comes to, to be agreed to.
    fn review(&self, cart: &CartView, secret: &str, notices: Vec<String>) -> Page {
        let words = self.words();
        let Some(totals) = cart.totals else {
            return Page { heading: words.not_on_sale.to_owned(), status: StatusCode::UNPROCESSABLE_ENTITY, ..Page::default() };
        };
        let lines: Vec<Value> = cart
            .lines
            .iter()
            .map(|line| {
                let sessions = line.offer.iter().flat_map(|offer| &offer.sessions);
                context! {
                    title => line.offer.as_ref().map(|offer| offer.title.as_str()),
                    credits => words.credits(line.facts.credits.count),
                    dated => sessions.into_iter().find(|session| Some(session.id) == line.session).map(|session| words.session(session)),
                    total => line.amounts().map(|amounts| words.money(amounts.subtotal)),
                }
            })
            .collect();
        let review = context! {
            action => self.action(),
            lines,
            discount => (!totals.discount.is_zero()).then(|| words.money(totals.discount)),
            tax => (!totals.tax.is_zero()).then(|| words.money(totals.tax)),
            total => words.money(totals.total),
            amount => totals.total.decimal_text(),
            currency => totals.total.currency.code(),
            coupon => cart.lines.iter().find_map(|line| line.coupon.as_deref()),
            email => cart.cart.buyer.as_ref().and_then(|buyer| buyer.email.as_ref()).map(ToString::to_string),
            cart => cart.cart.id.to_string(),
            secret,
            methods => if totals.total.is_zero() { Vec::new() } else { methods(cart) },
        };
        let status = if notices.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT };
        Page { status, heading: words.review.to_owned(), notices, review: Some(review), ..Page::default() }
    }

    /// Places the order that was agreed to.
    async fn place(&self, sent: &Sent) -> Result<Page> {
        let words = self.words();
        let total = Currency::parse(&sent.currency).ok().and_then(|currency| Money::parse(&sent.amount, currency).ok());
        let (Some(cart), Some(expected_total)) = (CartId::parse(&sent.cart), total) else { return Ok(self.gone()) };
        let gateway = sent.gateway.clone().filter(|gateway| !gateway.is_empty());
        let cmd = OrderPlace {
            cart,
            // Sending the form again is the same wish; another way to pay is another one, which finds the order.
            idempotency_key: format!("form {}", gateway.as_deref().unwrap_or_default()),
            method: gateway.map(|gateway| PaymentMethod { gateway, token: None, return_url: None }),
            expected_total,
        };
        match self.app.order_place(&self.caller, cmd).await {
            Ok(Placed::Order(answer)) => self.order(answer.value, sent).await,
            Ok(Placed::Changed(cart, refusals)) => {
                let notices = refusals.into_iter().map(|refusal| words.changed(&refusal)).collect();
                match self.app.cart(&self.caller, cart, dated()).await? {
                    Some(cart) => Ok(self.review(&cart, &sent.secret, notices)),
                    None => Ok(self.gone()),
                }
            }
            Err(Error::Refused(refusals)) => {
                let Some(cart) = self.app.cart(&self.caller, cart, dated()).await? else { return Ok(self.gone()) };
                match cart.cart.order {
                    Some(order) => self.order(order, sent).await,
                    None => Ok(self.review(&cart, &sent.secret, refusals.into_iter().map(|refusal| words.changed(&refusal)).collect())),
                }
            }
            Err(other) => Err(other),
        }
    }

    /// Tries again to pay.
    async fn retry(&self, sent: &Sent) -> Result<Page> {
        let Some(cart) = CartId::parse(&sent.cart) else { return Ok(self.gone()) };
        let Some(order) = self.app.cart(&self.caller, cart, Detail::default()).await?.and_then(|cart| cart.cart.order) else {
            return Ok(self.gone());
        };
        let Some(gateway) = sent.gateway.clone() else { return self.order(order, sent).await };
        let method = PaymentMethod { gateway, token: None, return_url: None };
        let key = format!("form {}", sent.tries.chars().filter(char::is_ascii_digit).take(6).collect::<String>());
        match self.app.payment_retry(&self.caller, order, method, &key).await {
            // What stands in the way shows in how the order stands.
            Ok(_) | Err(Error::Refused(_)) => self.order(order, sent).await,
            Err(other) => Err(other),
        }
    }

    /// How the order stands, and what there is to do.
    async fn order(&self, id: OrderId, sent: &Sent) -> Result<Page> {
        let words = self.words();
        let Some(order) = self.app.order_for(&self.caller, id).await? else { return Ok(self.gone()) };
        let parts = OrderParts { payments: true, receipt: true, decline_page: true, ..OrderParts::default() };
        let Some(view) = self.app.order_views(&self.caller, vec![order], parts).await?.pop() else { return Ok(self.gone()) };
        if let Some(receipt) = &view.receipt {
            return Ok(Page { heading: receipt.heading.clone(), block: receipt.html.clone(), ..Page::default() });
        }
        if let Some(declined) = &view.decline_page {
            let retry = match self.app.cart(&self.caller, view.order.cart, Detail::default()).await?.filter(|_| declined.can_retry) {
                Some(cart) => Some(context! {
                    action => self.action(),
                    cart => sent.cart.as_str(),
                    secret => sent.secret.as_str(),
                    tries => view.payments.len(),
                    methods => methods(&cart),
                }),
                None => None,
            };
            return Ok(Page { heading: declined.heading.clone(), block: declined.html.clone(), retry, ..Page::default() });
        }
        Ok(waiting(&view, &words))
    }

    /// The cart or order of a form that is too old, or of somebody else.
    fn gone(&self) -> Page {
        Page { status: StatusCode::NOT_FOUND, heading: self.words().gone.to_owned(), ..Page::default() }
    }

    async fn answer(&self, page: Result<Page>) -> Response {
        let made = async {
            let page = match page {
                Ok(page) => page,
                Err(Error::RateLimited { .. }) => {
                    Page { status: StatusCode::TOO_MANY_REQUESTS, heading: self.words().slow_down.to_owned(), ..Page::default() }
                }
                Err(other) => return Err(other),
            };
            if let Some(url) = &page.away {
                return Ok(Redirect::to(url).into_response());
            }
            let theme = ThemeFacts::of(self.app.theme().await?);
            let text = self.render(&page, theme)?;
            Ok((page.status, headers(), Html(text)).into_response())
        };
        made.await.unwrap_or_else(|error: Error| {
            tracing::error!(error = format!("{error:#}"), "the order form cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })
    }

    fn render(&self, page: &Page, theme: ThemeFacts) -> Result<String> {
        let Page { heading, notices, block, form, review, retry, go, details, .. } = page;
        let made = || {
            let mut templates = Environment::new();
            templates.set_undefined_behavior(UndefinedBehavior::Strict);
            templates.add_template(TEMPLATE, include_str!("form.html"))?;
            templates.get_template(TEMPLATE)?.render(context! {
                locale => self.locale.as_str(),
                shop => self.app.shop.name.as_str(),
                theme => Value::from(minijinja::value::Serde(&theme)),
                t => Value::from(minijinja::value::Serde(&self.words())),
                tax_included => self.app.shop.prices_include_tax,
                heading, notices, block, form, review, retry, go, details,
            })
        };
        made().map_err(|error: minijinja::Error| crate::internal!("the page of the order form: {error:#}"))
    }
}

/// The ways to pay that a form offers.
fn methods(cart: &CartView) -> Vec<Value> {
    cart.payment_methods.iter().map(|method| context! { id => method.gateway.as_str(), name => method.display_name.as_str() }).collect()
}

/// What an order that is neither paid nor declined waits for.
fn waiting(view: &OrderView, words: &FormWords) -> Page {
    let action = view.payments.last().and_then(|payment| payment.open_action());
    let closed = view.order.status != OrderStatus::PendingPayment;
    let mut page = Page { heading: if closed { words.closed } else { words.waiting }.to_owned(), ..Page::default() };
    match action {
        Some(BuyerAction::Redirect { url, method, .. }) if method == "GET" => page.away = Some(url),
        Some(BuyerAction::Redirect { url, fields, .. }) => page.go = Some(context! { url, fields }),
        Some(BuyerAction::Instructions { text, details }) => {
            page.notices.push(text);
            page.details = details;
        }
        Some(BuyerAction::ClientSecret { .. } | BuyerAction::WaitForBuyer) | None => {}
    }
    page
}

/// What carts are read with: the dates of their lines' sessions, too.
fn dated() -> Detail {
    Detail { courses: true, sessions: true, ..Detail::default() }
}

fn headers() -> [(header::HeaderName, HeaderValue); 3] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // With it a browser says of a form that it was sent from here.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (
            header::CONTENT_SECURITY_POLICY,
            // Gateways have pages of their own, to which forms may lead.
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; img-src https:; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'",
            ),
        ),
    ]
}
