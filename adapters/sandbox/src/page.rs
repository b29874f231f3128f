//! The page where a buyer approves or declines, and where one plays everything else that happens to a payment at a gateway.
//!
//! Always true here: it works without scripts, everything shown is escaped, and a form sent from another site is refused.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::{Money, PaymentId};
use minijinja::{Environment, UndefinedBehavior, context};
use port::{DisputeRef, DisputeStatus, GatewayError, PaymentStatus, RefundRef, RefundStatus};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::Sandbox;
use crate::state::{EventRow, Payment, word};
use crate::step::Step;

/// Where the program nests [`pages`]: `start` sends buyers to `{public_url}/sandbox/{payment}`.
pub const PAGE_PATH: &str = "/sandbox";

const TEMPLATE: &str = "page.html";

/// Tells the shop's instant, which tests can set.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The page of all given instances, to be nested at [`PAGE_PATH`]: `GET` and `POST /{payment}`.
pub fn pages(sandboxes: Vec<Sandbox>, clock: Clock) -> Router {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template(TEMPLATE, include_str!("page.html")).expect("the page's own template is well-formed");
    Router::new().route("/{payment}", get(show).post(act)).with_state(Arc::new(Pages { sandboxes, clock, templates }))
}

struct Pages {
    sandboxes: Vec<Sandbox>,
    clock: Clock,
    templates: Environment<'static>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("sandboxes", &self.sandboxes).finish_non_exhaustive()
    }
}

/// What the page's forms send.
#[derive(Debug, Deserialize)]
struct Sent {
    action: String,
    /// The refund, dispute or event that a button stands beside.
    #[serde(default)]
    subject: String,
    /// A decimal amount in the payment's currency.
    #[serde(default)]
    amount: String,
}

/// Why there is no page to show.
enum Trouble {
    NotFound,
    Forbidden,
    Failed(GatewayError),
}

impl From<GatewayError> for Trouble {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::NotFound => Self::NotFound,
            other => Self::Failed(other),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "The sandbox knows no such payment."),
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "This form was sent from another site, so nothing was done. Open the payment's page and try there.")
            }
            Self::Failed(error) => {
                tracing::error!(%error, "the sandbox's page failed");
                (StatusCode::SERVICE_UNAVAILABLE, "The sandbox's state cannot be used just now; try again.")
            }
        };
        let page = format!("<!doctype html><html lang=\"en\"><title>Sandbox</title><p>{text}</p></html>");
        (status, security_headers(), Html(page)).into_response()
    }
}

/// The page may load nothing, be framed by nobody, and tells other sites nothing about itself. `same-origin` and not `no-referrer`, because then
/// browsers would hide the origin from our own forms too.
fn security_headers() -> [(HeaderName, &'static str); 4] {
    [
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}

async fn show(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Result<Response, Trouble> {
    let (sandbox, payment) = pages.find(&id).await?;
    pages.render(sandbox, &payment, StatusCode::OK, None).await
}

async fn act(
    State(pages): State<Arc<Pages>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Result<Response, Trouble> {
    let (sandbox, payment) = pages.find(&id).await?;
    if !own_site(&headers, &sandbox.settings.public_url) {
        return Err(Trouble::Forbidden);
    }
    let now = (pages.clock)();
    if sent.action == "send_again" {
        sandbox.deliver(&sent.subject, now).await?;
        return Ok(see_again(&payment));
    }
    let done = match step(&sent, &payment) {
        Ok(step) => sandbox.advance(payment.payment_id, step, now).await,
        Err(why) => Err(GatewayError::invalid("form", why)),
    };
    match done {
        // The buyer has decided: back to the shop.
        Ok(_) if matches!(sent.action.as_str(), "approve" | "decline") => Ok(Redirect::to(&payment.return_url).into_response()),
        Ok(_) => Ok(see_again(&payment)),
        Err(GatewayError::InvalidRequest { detail, .. }) => {
            let (_, payment) = pages.find(&id).await?;
            pages.render(sandbox, &payment, StatusCode::CONFLICT, Some(detail.message())).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Back to the page by GET, so that reloading it repeats nothing.
fn see_again(payment: &Payment) -> Response {
    Redirect::to(&format!("{PAGE_PATH}/{}", payment.payment_id)).into_response()
}

/// What a button means.
fn step(sent: &Sent, payment: &Payment) -> Result<Step, String> {
    let amount = || Money::parse(&sent.amount, payment.amount.currency).map_err(|error| error.to_string());
    Ok(match sent.action.as_str() {
        "approve" => Step::Approve,
        "decline" => Step::Decline,
        "expire" => Step::Expire,
        "refund" => Step::Refund(amount()?),
        "refund_complete" => Step::CompleteRefund(RefundRef::new(&sent.subject)),
        "refund_fail" => Step::FailRefund(RefundRef::new(&sent.subject)),
        "dispute" => Step::OpenDispute(amount()?),
        "dispute_won" => Step::WinDispute(DisputeRef::new(&sent.subject)),
        "dispute_lost" => Step::LoseDispute(DisputeRef::new(&sent.subject)),
        _ => return Err("there is no such button".to_owned()),
    })
}

/// Whether a form was sent from this very site. Browsers say so; a caller that says nothing is no browser and carries nobody's rights.
fn own_site(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return false;
    }
    let Some(origin) = text(ORIGIN.as_str()) else { return true };
    let Ok(origin) = Url::parse(origin) else { return false };
    let public = Url::parse(public_url).is_ok_and(|public| public.origin() == origin.origin());
    let here = text(HOST.as_str()).and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    public || here.is_some_and(|here| here.origin() == origin.origin())
}

#[derive(Serialize)]
struct RefundLine {
    reference: String,
    name: String,
    amount: String,
    status: String,
    can_complete: bool,
    can_fail: bool,
}

#[derive(Serialize)]
struct DisputeLine {
    reference: String,
    amount: String,
    status: String,
    open: bool,
}

#[derive(Serialize)]
struct EventLine {
    id: String,
    kind: String,
    delivery: String,
    error: Option<String>,
}

impl From<EventRow> for EventLine {
    fn from(event: EventRow) -> Self {
        let stamp = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let delivery = match (event.delivered_at, event.due_at) {
            (Some(at), None) => format!("taken by the shop at {}", stamp(at)),
            (_, Some(at)) => format!("due at {}, tried {} times", stamp(at), event.attempts),
            (None, None) => format!("given up after {} times", event.attempts),
        };
        Self { id: event.id, kind: event.kind, delivery, error: event.last_error }
    }
}

impl Pages {
    async fn find(&self, id: &str) -> Result<(&Sandbox, Payment), Trouble> {
        let id = PaymentId::parse(id).ok_or(Trouble::NotFound)?;
        for sandbox in &self.sandboxes {
            if let Some(payment) = sandbox.state.payment_by_id(id).await? {
                return Ok((sandbox, payment));
            }
        }
        Err(Trouble::NotFound)
    }

    async fn render(&self, sandbox: &Sandbox, payment: &Payment, status: StatusCode, message: Option<&str>) -> Result<Response, Trouble> {
        let money = |minor| Money::new(minor, payment.amount.currency);
        let shown = |minor: i64| (minor > 0).then(|| money(minor).to_string());
        let refunds = sandbox.state.refunds(payment).await?.into_iter().map(|refund| RefundLine {
            name: refund.refund_id.map_or_else(|| "made at the gateway".to_owned(), |id| id.to_string()),
            reference: refund.reference.as_str().to_owned(),
            amount: refund.amount.to_string(),
            status: word(&refund.status),
            can_complete: refund.status == RefundStatus::Pending,
            can_fail: matches!(refund.status, RefundStatus::Pending | RefundStatus::Succeeded),
        });
        let disputes = sandbox.state.disputes(payment).await?.into_iter().map(|dispute| DisputeLine {
            reference: dispute.reference.as_str().to_owned(),
            amount: dispute.amount.to_string(),
            status: word(&dispute.status),
            open: !matches!(dispute.status, DisputeStatus::Won | DisputeStatus::Lost),
        });
        let events = sandbox.state.events(&payment.reference).await?.into_iter().map(EventLine::from);
        let late = matches!(payment.status, PaymentStatus::Expired | PaymentStatus::Cancelled);
        let open = matches!(payment.status, PaymentStatus::Created | PaymentStatus::RequiresAction | PaymentStatus::Processing);
        let page = self.templates.get_template(TEMPLATE).and_then(|template| {
            template.render(context! {
                message => message,
                amount => payment.amount.to_string(),
                status => word(&payment.status),
                order => &payment.order_reference,
                description => &payment.description,
                payment => payment.payment_id.to_string(),
                return_url => &payment.return_url,
                captured => shown(payment.captured_minor),
                refunded => shown(payment.refunded_minor),
                disputed => shown(payment.disputed_minor),
                free => shown(payment.free_minor()),
                free_text => money(payment.free_minor()).decimal_text(),
                late => late,
                can_approve => open || late,
                can_decline => open,
                can_expire => open || payment.status == PaymentStatus::Authorised,
                refunds => minijinja::value::Serde(refunds.collect::<Vec<_>>()),
                disputes => minijinja::value::Serde(disputes.collect::<Vec<_>>()),
                events => minijinja::value::Serde(events.collect::<Vec<_>>()),
            })
        });
        let page = page.map_err(|error| GatewayError::Unavailable(error.to_string().into()))?;
        Ok((status, security_headers(), Html(page)).into_response())
    }
}
