//! Giving access and taking it back, within the caller's transaction: grants, seats and what becomes of them when money goes back.
//!
//! Always true here: a source gives a learner one grant, however often it is told to; ending a grant touches no other but those that queue
//! behind it; whatever reads or writes a learner's queue holds that learner's row.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::entitlement::{EnrollmentStatus, Grant, Source, SourceKind, Target, schedule};
use domain::order::{Given as Money, GivenNotPaid, given_not_paid};
use domain::payment::DisputeStatus;
use domain::refund::Ends;
use domain::terms::Terms;
use domain::token::{TokenCode, TokenStatus, redeemable_until};
use domain::{AccountId, CompanyId, CourseId, EntitlementId, OrderId, OrderLineId, PersonId, ProductId, SalesOrderId, SessionId, TokenId};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::caller::{Caller, Topic};
use super::learning::Learners;
use super::secrets::Purpose;
use super::{App, entropy};
use crate::error::Result;
use crate::internal;
use crate::store;
use crate::store::enrollment::Enrollment;
use crate::store::token::Token;

pub use crate::store::entitlement::Entitlement;

/// A grant to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// The learner.
    pub account: AccountId,
    /// What it is to.
    pub target: Target,
    /// What gives it.
    pub source: Source,
    /// The order behind it.
    pub order: Option<OrderId>,
    /// Who or what grants it.
    pub actor: String,
    /// Why, for grants by hand.
    pub reason: Option<String>,
    /// Terms of the access.
    pub terms: Terms,
    /// When.
    pub now: DateTime<Utc>,
}

/// Seats to be given to whoever bought them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssue {
    /// The line that sold them, of an order or a sales order.
    pub line: Source,
    /// Its order.
    pub order: Option<OrderId>,
    /// Its sales order.
    pub sales_order: Option<SalesOrderId>,
    /// The company whose managers hand them out.
    pub company: Option<CompanyId>,
    /// The account that bought them; `None` for a company's own, which its managers hand out as long as they manage it.
    pub owner: Option<AccountId>,
    /// The product.
    pub product: ProductId,
    /// What each opens.
    pub target: Target,
    /// The dated session.
    pub session: Option<SessionId>,
    /// Terms of the access that each gives.
    pub terms: Terms,
    /// How many.
    pub quantity: u32,
    /// The learner whom they are for: the person row, and the keyed hash of the e-mail.
    pub learner: Option<(PersonId, String)>,
    /// When.
    pub now: DateTime<Utc>,
}

/// What was taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Grants that were ended.
    pub entitlements: Vec<EntitlementId>,
    /// Tokens that were voided.
    pub tokens: Vec<TokenId>,
}

/// What a line gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Courses of the line's grant that are open now.
    pub courses: Vec<(CourseId, String)>,
    /// Codes of its seats that are not void, in order of the seats.
    pub codes: Vec<String>,
    /// Whether its seats are a company's own, so that having bought them shows no codes.
    pub of_company: bool,
}

impl Given {
    /// Whether nothing of it is left.
    pub const fn is_over(&self) -> bool {
        self.courses.is_empty() && self.codes.is_empty()
    }
}

/// Live access that no money stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpaid {
    /// The entitlement.
    pub entitlement: EntitlementId,
    /// The order.
    pub order: OrderId,
    /// The learner.
    pub account: AccountId,
    /// Why.
    pub reason: GivenNotPaid,
}

impl App {
    /// Gives one grant; `false` if its source gave this learner one before. See [`App::grant_all`].
    ///
    /// # Errors
    /// The database's; an end that no calendar holds.
    pub async fn grant(&self, txn: &DatabaseTransaction, new: NewGrant) -> Result<bool> {
        Ok(self.grant_all(txn, vec![new]).await? == 1)
    }

    /// Gives these grants, each once for each source and learner, queues them behind what the learner has of the same, and enrols learners in
    /// courses that they are granted as such. Says how many were new.
    ///
    /// # Errors
    /// The database's; an end that no calendar holds.
    pub async fn grant_all(&self, txn: &DatabaseTransaction, new: Vec<NewGrant>) -> Result<usize> {
        let accounts: Vec<AccountId> = new.iter().map(|new| new.account).collect::<BTreeSet<_>>().into_iter().collect();
        let targets: Vec<_> = new.iter().map(|new| new.target.uuid()).collect::<BTreeSet<_>>().into_iter().collect();
        // When a grant ends depends on all others of this learner to the same target. Two that are given at once (two orders, or an order and
        // a token) would not see each other and run side by side: paid time would be swallowed.
        store::entitlement::lock_learners(txn, &accounts).await?;
        let mut queues = Queues::of(store::entitlement::of_accounts_to(txn, &accounts, &targets).await?);
        let events = events_of(txn, new.iter().map(|new| new.target)).await?;
        let (mut fresh, mut courses) = (HashSet::new(), Vec::new());
        for new in new {
            let place = match new.target {
                Target::Course(course) => Some((new.account, course, new.now)),
                Target::Session(session) => events.get(&session).map(|course| (new.account, *course, new.now)),
                Target::Library(_) | Target::Group(_) | Target::Resource(_) => None,
            };
            if let Some(id) = queues.push(new) {
                fresh.insert(id);
                courses.extend(place);
            }
        }
        queues.lay_out()?;
        let (written, moved): (Vec<Entitlement>, Vec<Entitlement>) = queues.changed().partition(|held| fresh.contains(&held.id()));
        if store::entitlement::insert(txn, &written).await? != u64::try_from(fresh.len()).unwrap_or(u64::MAX) {
            return Err(internal!("a source gave the same learner something else before"));
        }
        save_slots(txn, &moved).await?;
        self.enrol(txn, &courses).await?;
        Ok(fresh.len())
    }

    /// Makes the enrollments of these learners in these courses, under the titles that the courses have now; those that are there stay.
    async fn enrol(&self, txn: &DatabaseTransaction, places: &[(AccountId, CourseId, DateTime<Utc>)]) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        let ids: Vec<CourseId> = places.iter().map(|(_, course, _)| *course).collect::<BTreeSet<_>>().into_iter().collect();
        let titles: HashMap<CourseId, String> =
            store::catalog::courses(txn, &ids).await?.into_iter().map(|course| (course.id, course.title)).collect();
        let rows: Vec<Enrollment> = places
            .iter()
            .map(|(account, course, now)| {
                let title = titles.get(course).cloned().ok_or_else(|| internal!("{course} was granted and is not there"))?;
                Ok(new_enrollment(*account, *course, title, *now))
            })
            .collect::<Result<_>>()?;
        Ok(store::enrollment::insert(txn, &rows).await?)
    }

    /// Makes the tokens of a line: one for each seat that has none yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn issue_tokens(&self, txn: &DatabaseTransaction, issue: TokenIssue) -> Result<()> {
        let there: HashSet<i32> = store::token::seats_of_line(txn, issue.line).await?.into_iter().collect();
        let seats = i32::try_from(issue.quantity).map_err(|_| internal!("{} seats are too many", issue.quantity))?;
        let product = store::product::products(txn, &[issue.product]).await?.pop();
        let redeem_days = product.and_then(|product| product.redeem_days);
        let ends_at = redeemable_until(issue.terms, redeem_days, issue.now).map_err(|refusal| internal!("the end of a seat: {refusal}"))?;
        let mut tokens = Vec::new();
        for seat in (1..=seats).filter(|seat| !there.contains(seat)) {
            tokens.push(self.new_token(Token {
                id: entropy::next_id(),
                source: issue.line,
                seat,
                issue: 1,
                order: issue.order,
                sales_order: issue.sales_order,
                company: issue.company,
                owner: issue.owner,
                product: issue.product,
                target: issue.target,
                session: issue.session,
                terms: issue.terms,
                code_hash: String::new(),
                code_sealed: String::new(),
                code_hint: String::new(),
                status: if issue.learner.is_some() { TokenStatus::Assigned } else { TokenStatus::Free },
                assigned_to: issue.learner.as_ref().map(|(person, _)| *person),
                assigned_hash: issue.learner.as_ref().map(|(_, hash)| hash.clone()),
                ends_at,
                redeemed_by: None,
                redeemed_at: None,
                created_at: issue.now,
                touched_at: issue.now,
            })?);
        }
        store::token::insert(txn, &tokens).await?;
        Ok(())
    }

    /// The same token with a code of its own.
    pub(super) fn new_token(&self, token: Token) -> Result<Token> {
        let mut bits = [0; 10];
        self.entropy.fill(&mut bits);
        let code = TokenCode::from_random(bits);
        Ok(Token {
            code_hash: self.secrets.hash(Purpose::Token, code.canonical()),
            code_sealed: self.secrets.seal(Purpose::Token, code.canonical().as_bytes(), self.entropy.as_ref())?,
            code_hint: code.hint().to_owned(),
            ..token
        })
    }

    /// The code of a token, as it is shown to those who may hand it out.
    pub(super) fn code_of(&self, token: &Token) -> Result<String> {
        let opened = self.secrets.open(Purpose::Token, &token.code_sealed)?;
        let code = std::str::from_utf8(&opened).ok().and_then(|code| TokenCode::parse(code).ok());
        Ok(code.ok_or_else(|| internal!("the sealed code of {} is none", token.id))?.grouped())
    }

    /// The tokens of an order's lines that are not void, in order of the seats.
    ///
    /// # Errors
    /// The database's.
    pub async fn tokens_not_void(&self, txn: &DatabaseTransaction, order: OrderId) -> Result<HashMap<OrderLineId, Vec<TokenId>>> {
        Ok(store::token::ids_not_void(txn, order).await?)
    }

    /// Takes back what a refund or a lost dispute says of a line. The caller holds the order's row.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_given(&self, txn: &DatabaseTransaction, line: OrderLineId, ends: &Ends, reason: &str) -> Result<Ended> {
        if *ends == Ends::Nothing {
            return Ok(Ended::default());
        }
        let now = self.now();
        let sold = Source { kind: SourceKind::OrderLine, id: line.uuid() };
        let order = store::entitlement::order_of_line(txn, line).await?.ok_or_else(|| internal!("there is no line {line}"))?;
        // All of the order's learners, since the other lines of the refund come next: taken at once, they are taken in one order.
        store::entitlement::lock_learners_of_order(txn, order).await?;
        let (tokens, given) = match ends {
            Ends::Nothing => (Vec::new(), Vec::new()),
            Ends::Everything => (store::token::unused_of_line(txn, sold, None).await?, store::entitlement::of_line(txn, line).await?),
            Ends::Units(units) => (store::token::unused_of_line(txn, sold, Some(u64::from(*units))).await?, Vec::new()),
            Ends::Tokens(ids) => {
                let unused: HashSet<TokenId> = store::token::unused_of_line(txn, sold, None).await?.into_iter().collect();
                let sources: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
                let given = store::entitlement::of_sources(txn, SourceKind::Token, &sources).await?;
                (ids.iter().copied().filter(|id| unused.contains(id)).collect(), given)
            }
        };
        let voided = store::token::void(txn, &tokens, reason, now).await?;
        self.seats_give_up(txn, line, usize::try_from(voided).unwrap_or(usize::MAX)).await?;
        let entitlements = self.end_grants(txn, &given, reason, now).await?;
        if *ends == Ends::Everything {
            // Seats of a line that was refunded before anything was given.
            self.seats_end(txn, line).await?;
        }
        Ok(Ended { entitlements, tokens })
    }

    /// Gives back what [`App::end_given`] took of an order for this reason, because the money did not go back after all. The caller holds the
    /// order's row.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_back(&self, txn: &DatabaseTransaction, order: OrderId, reason: &str) -> Result<()> {
        store::entitlement::lock_learners_of_order(txn, order).await?;
        for (line, tokens) in store::token::voided_of_order(txn, order, reason).await? {
            if self.seats_take_back(txn, line, tokens.len()).await? {
                store::token::unvoid(txn, &tokens, self.now()).await?;
            } else {
                tracing::error!(%order, %line, "a refund failed, and the seats that it freed were sold meanwhile; its tokens stay void");
            }
        }
        let mut ended = store::entitlement::ended_of_order(txn, order, reason).await?;
        let gone = self.seats_retake(txn, &ended.iter().collect::<Vec<_>>()).await?;
        if !gone.is_empty() {
            tracing::error!(%order, "a refund failed, and the seats that it freed were sold meanwhile; access to those sessions stays ended");
            ended.retain(|held| !gone.contains(&held.grant.source));
        }
        let ids: Vec<EntitlementId> = ended.iter().map(Entitlement::id).collect();
        store::entitlement::unend(txn, &ids).await?;
        lay_out_anew(txn, &ended.iter().collect::<Vec<_>>()).await
    }

    /// Ends those of these grants that are not over, and lays out anew what queued behind them. The caller holds the learners' rows.
    pub(super) async fn end_grants(
        &self,
        txn: &DatabaseTransaction,
        grants: &[Entitlement],
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<EntitlementId>> {
        let ended: Vec<&Entitlement> = grants.iter().filter(|held| !held.is_over(now)).collect();
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<EntitlementId> = ended.iter().map(|held| held.id()).collect();
        store::entitlement::end(txn, &ids, reason, now).await?;
        self.seats_free(txn, &ended).await?;
        lay_out_anew(txn, &ended).await?;
        Ok(ids)
    }

    /// Marks all that a line gave as kept on purpose, so that it is not shown as given and not paid.
    ///
    /// # Errors
    /// The database's.
    pub async fn keep_given(&self, txn: &DatabaseTransaction, line: OrderLineId) -> Result<()> {
        Ok(store::entitlement::keep(txn, line).await?)
    }

    /// What the lines of these orders gave, for their receipts. The number of statements does not grow with that of orders.
    ///
    /// # Errors
    /// The database's.
    pub async fn given_by_orders(&self, db: &impl ConnectionTrait, orders: &[OrderId]) -> Result<HashMap<OrderLineId, Given>> {
        let mut given: HashMap<OrderLineId, Given> = HashMap::new();
        for token in store::token::not_void_of_orders(db, orders).await? {
            let given = given.entry(OrderLineId::new(token.source.id)).or_default();
            given.of_company = token.owner.is_none();
            given.codes.push(self.code_of(&token)?);
        }
        let direct = store::entitlement::direct_of_orders(db, orders).await?;
        let accounts: Vec<AccountId> = direct.iter().map(|held| held.grant.account).collect::<BTreeSet<_>>().into_iter().collect();
        let learners = Learners::load(db, &accounts, &HashMap::new()).await?;
        for held in direct {
            let courses = learners.of(held.grant.account).open_through(held.id(), self.now())?;
            given.entry(OrderLineId::new(held.grant.source.id)).or_default().courses.extend(courses);
        }
        Ok(given)
    }

    /// Live access that no money stands behind. Empty in a healthy shop.
    ///
    /// # Errors
    /// Needs the scope `orders:read`.
    pub async fn given_not_paid(&self, caller: &Caller) -> Result<Vec<Unpaid>> {
        caller.require(Topic::Orders.read())?;
        let doubtful = store::entitlement::doubtful(self.db.read(), self.now()).await?;
        Ok(doubtful
            .into_iter()
            .filter_map(|found| {
                let reason = given_not_paid(&Money {
                    live: true,
                    order: found.status,
                    line_wholly_refunded: found.line_wholly_refunded,
                    dispute: found.dispute_lost.then_some(DisputeStatus::Lost),
                    bypass: found.source.kind == SourceKind::Bypass,
                    kept: found.kept,
                })?;
                Some(Unpaid { entitlement: found.entitlement, order: found.order, account: found.account, reason })
            })
            .collect())
    }
}

/// The events of the sessions among these targets.
async fn events_of(txn: &DatabaseTransaction, targets: impl Iterator<Item = Target>) -> Result<HashMap<SessionId, CourseId>> {
    let sessions = targets.filter_map(|target| if let Target::Session(session) = target { Some(session) } else { None });
    let sessions: Vec<SessionId> = sessions.collect::<BTreeSet<_>>().into_iter().collect();
    if sessions.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(store::catalog::sessions(txn, &sessions).await?.into_iter().map(|session| (session.id, session.course)).collect())
}

/// An enrollment that nobody has started.
pub(super) fn new_enrollment(account: AccountId, course: CourseId, title: String, now: DateTime<Utc>) -> Enrollment {
    Enrollment {
        id: entropy::next_id(),
        account,
        course,
        title,
        status: EnrollmentStatus::NotStarted,
        started_at: None,
        passed_at: None,
        registration: 1,
        created_at: now,
        touched_at: now,
    }
}

/// Writes when these grants run.
pub(super) async fn save_slots(txn: &impl ConnectionTrait, moved: &[Entitlement]) -> Result<()> {
    for held in moved {
        store::entitlement::set_slot(txn, held.id(), held.starts_at, held.ends_at).await?;
    }
    Ok(())
}

/// Computes anew when the grants run that queue with these.
async fn lay_out_anew(txn: &DatabaseTransaction, grants: &[&Entitlement]) -> Result<()> {
    let accounts: Vec<AccountId> = grants.iter().map(|held| held.grant.account).collect::<BTreeSet<_>>().into_iter().collect();
    let targets: Vec<_> = grants.iter().map(|held| held.grant.target.uuid()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut queues = Queues::of(store::entitlement::of_accounts_to(txn, &accounts, &targets).await?);
    queues.lay_out()?;
    let moved: Vec<Entitlement> = queues.changed().collect();
    save_slots(txn, &moved).await
}

/// Grants by learner and target, each queue in order of granting.
pub(super) struct Queues {
    queues: BTreeMap<(AccountId, Target), Vec<Entitlement>>,
    changed: BTreeSet<EntitlementId>,
}

impl Queues {
    pub(super) fn of(held: Vec<Entitlement>) -> Self {
        let mut queues: BTreeMap<_, Vec<Entitlement>> = BTreeMap::new();
        for held in held {
            queues.entry((held.grant.account, held.grant.target)).or_default().push(held);
        }
        Self { queues, changed: BTreeSet::new() }
    }

    /// Puts a new grant at the end of its queue, unless its source gave it before.
    fn push(&mut self, new: NewGrant) -> Option<EntitlementId> {
        let queue = self.queues.entry((new.account, new.target)).or_default();
        if queue.iter().any(|held| held.grant.source == new.source) {
            return None;
        }
        let id = entropy::next_id();
        queue.push(Entitlement {
            grant: Grant {
                id,
                account: new.account,
                target: new.target,
                source: new.source,
                granted_at: new.now,
                seq: queue.iter().map(|held| held.grant.seq + 1).max().unwrap_or(0),
                terms: new.terms,
                first_started_at: None,
                ended_at: None,
                frozen: None,
            },
            order: new.order,
            actor: new.actor,
            reason: new.reason,
            starts_at: None,
            ends_at: None,
            kept: false,
            ended_reason: None,
        });
        self.changed.insert(id);
        Some(id)
    }

    /// Computes when each grant runs, and remembers whose time that changes.
    pub(super) fn lay_out(&mut self) -> Result<()> {
        for queue in self.queues.values_mut() {
            let grants: Vec<Grant> = queue.iter().map(|held| held.grant.clone()).collect();
            let slots = schedule(&grants).map_err(|refusal| internal!("a queue of grants: {refusal}"))?;
            let slots: HashMap<EntitlementId, _> = slots.into_iter().map(|slot| (slot.id, (slot.starts_at, slot.ends_at))).collect();
            for held in queue {
                let found = slots.get(&held.id()).copied().unwrap_or_default();
                if found != (held.starts_at, held.ends_at) {
                    (held.starts_at, held.ends_at) = found;
                    self.changed.insert(held.id());
                }
            }
        }
        Ok(())
    }

    /// The grants that are new or run at another time than before.
    pub(super) fn changed(self) -> impl Iterator<Item = Entitlement> {
        let Self { queues, changed } = self;
        queues.into_values().flatten().filter(move |held| changed.contains(&held.id()))
    }
}
