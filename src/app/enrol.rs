//! Enrolling without a cart: by an operator, a program or a company's manager, past the payment on purpose or where there is nothing to pay.
//!
//! Always true here: whoever is let in has an order of nothing that says who did it and why; a refusal makes nothing, not even an account; a
//! session is never given more often than it has seats.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::cart::For;
use domain::catalog::{CourseKind, Fulfilment, GroupKind, ProductKind};
use domain::credit_sale::Gain;
use domain::enrolling::{Decision, Facts, decide};
use domain::entitlement::{Source, SourceKind, Target, TargetKind};
use domain::order::{OrderNumber, OrderStatus};
use domain::pricing::{LineAmounts, Totals};
use domain::refusal::Reason;
use domain::seat::{SeatRefusal, SeatState};
use domain::text::{self, Email, Key as TextKey, Sku};
use domain::{
    AccountId, CompanyId, CourseId, EntitlementId, GroupId, LibraryId, Money, OrderId, OrderLineId, Percent, ProductId, SessionId,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::caller::{Caller, Topic, Who};
use super::grant::{NewGrant, new_enrollment};
use super::learning::{Enrollment, EntitlementView, Learners, NotDone, Remedy};
use super::offer::{ContextArgs, Detail, OfferView};
use super::payment::{Order, OrderLine};
use super::seat::Wanted;
use super::{Answer, App, Object, entropy};
use crate::error::{Code, Error, Refusal, Result};
use crate::internal;
use crate::store;
use crate::store::account::NewAccount;
use crate::store::idempotency::Scope;
use crate::store::product::{NewProduct, Product};

/// What learners are to be enrolled in, as a caller names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum AimName {
    /// A course, by id.
    Course(CourseId),
    /// A course, by key.
    CourseKey(String),
    /// A library, by id.
    Library(LibraryId),
    /// A library, by SKU.
    LibrarySku(String),
    /// A group, by id.
    Group(GroupId),
    /// A group, by SKU.
    GroupSku(String),
    /// A dated session.
    Session(SessionId),
}

impl AimName {
    /// The field of an input, or the column of a file, that names it.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Course(_) => "courseId",
            Self::CourseKey(_) => "course",
            Self::Library(_) => "libraryId",
            Self::LibrarySku(_) => "library",
            Self::Group(_) => "groupId",
            Self::GroupSku(_) => "group",
            Self::Session(_) => "sessionId",
        }
    }
}

/// Enrols one learner.
#[derive(Debug, Clone)]
pub struct EnrollmentCreate {
    /// The learner's e-mail.
    pub email: String,
    /// The learner's name.
    pub name: Option<String>,
    /// What in.
    pub aim: AimName,
    /// Whether to let them in without payment.
    pub payment_bypass: bool,
    /// Why.
    pub reason: Option<String>,
    /// For this company, by its manager or an operator.
    pub company: Option<CompanyId>,
    /// Key of this request.
    pub idempotency_key: String,
}

/// What enrolling one learner came to.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The learner.
    pub account: AccountId,
    /// The order of nothing; `None` if the learner had the access already, or nothing is sold.
    pub order: Option<OrderId>,
    /// Whether the learner had the access already.
    pub already: bool,
    /// The grant that gives the access; `None` where another grant opens it.
    pub entitlement: Option<EntitlementView>,
    /// The learner's place in the course; `None` for libraries and groups.
    pub enrollment: Option<Enrollment>,
}

/// What is kept of an answer for its idempotency key.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    account: AccountId,
    order: Option<OrderId>,
    /// Whether it was given by hand, without an order.
    #[serde(default)]
    by_hand: bool,
    entitlement: Option<EntitlementId>,
    course: Option<CourseId>,
}

/// What learners can be enrolled in.
#[derive(Debug, Clone)]
pub(super) struct Aim {
    /// What a grant is to.
    pub(super) target: Target,
    /// The course that it is, or the event of the session.
    course: Option<CourseId>,
    /// What sells it; a course that was never sold alone has none.
    product: Option<Product>,
    /// The offer of that product.
    offer: Option<OfferView>,
    /// Product code of a library.
    product_code: Option<String>,
    /// Key of a course.
    key: String,
    title: String,
    /// Whether it is kept for members of groups that the learner is not in; told of what nothing sells.
    hidden: bool,
}

impl Aim {
    /// Whether it is a group that is not sold: membership is given by hand, and no order tells of it.
    fn by_hand(&self) -> bool {
        self.product.is_none() && matches!(self.target, Target::Group(_))
    }

    /// Whether it costs nothing to whoever sees its offer.
    fn is_free(&self) -> bool {
        self.by_hand()
            || self.offer.as_ref().is_some_and(|offer| {
                offer.visible && offer.may_be_sold().is_ok() && offer.quote.as_ref().is_ok_and(|quote| quote.subtotal.is_zero())
            })
    }

    /// Whether buyers in the context see it.
    fn is_visible(&self) -> bool {
        self.offer.as_ref().map_or(!self.hidden, |offer| offer.visible)
    }

    /// The SKU that sells it, as long as it does.
    pub(super) fn sku(&self) -> Option<&str> {
        self.offer.as_ref().filter(|offer| offer.visible && offer.may_be_sold().is_ok()).map(|offer| offer.sku.as_str())
    }

    const fn session(&self) -> Option<SessionId> {
        match self.target {
            Target::Session(session) => Some(session),
            Target::Course(_) | Target::Library(_) | Target::Group(_) | Target::Resource(_) => None,
        }
    }
}

/// Somebody to be enrolled.
#[derive(Debug, Clone)]
pub(super) struct Wish<'a> {
    pub(super) email: &'a Email,
    pub(super) name: Option<&'a str>,
    pub(super) aim: &'a Aim,
    pub(super) bypass: bool,
    /// The line of the order. The same line is written once, whoever sends it again.
    pub(super) line: OrderLineId,
}

/// What a wish came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// By an order of nothing; by hand where nothing is sold.
    Enrolled {
        account: AccountId,
        order: Option<OrderId>,
    },
    /// The same, had it not been a dry run.
    Enrollable,
    /// By a living grant; or this line was written once, and its account is another one's by now.
    Already {
        account: Option<AccountId>,
    },
    PaymentRequired,
    NoSeat(SeatRefusal),
    NotAMember,
}

/// Who enrols, for whom, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Enroller<'a> {
    pub(super) caller: &'a Caller,
    /// The company that the orders are for.
    pub(super) company: Option<CompanyId>,
    pub(super) operation: &'static str,
    pub(super) reason: Option<&'a str>,
    /// Nothing is written.
    pub(super) dry_run: bool,
}

impl Enroller<'_> {
    /// Whether whoever enrols may do so in this: a manager in what the company sees. Groups that are not sold are the shop's own affair.
    pub(super) fn sees(&self, aim: &Aim) -> bool {
        self.members_only().is_none() || (aim.is_visible() && !aim.by_hand())
    }

    /// A manager enrols the learners of the company, nobody else.
    fn members_only(&self) -> Option<CompanyId> {
        self.company.filter(|_| !self.caller.may(Topic::Learning.write()))
    }
}

impl App {
    /// Enrols a learner: past the payment if that is asked for, else in what is free or theirs already.
    ///
    /// # Errors
    /// [`Code::PaymentRequired`] with what to buy, and nothing was made; [`Code::SessionFull`], [`Code::AlreadyHasSeat`]; [`Code::NotFound`] for a
    /// target or a company that is not there or not for this caller, and for learners who are not a manager's.
    pub async fn enrollment_create(&self, caller: &Caller, cmd: EnrollmentCreate) -> Result<Answer<Enrolled>, NotDone> {
        let company = self.enrolling_company(caller, cmd.company).await?;
        let mut refusals = Vec::new();
        let email = Email::parse(&cmd.email).map_err(|reason| refusals.push(Refusal::from(reason).under(["email"]))).ok();
        let name = cmd.name.as_deref().filter(|name| !name.trim().is_empty()).map(text::name).transpose();
        let name = name.map_err(|reason| refusals.push(Refusal::from(reason).under(["name"]))).ok().flatten();
        let reason = bypass_reason(cmd.payment_bypass, cmd.reason.as_deref(), None).map_err(|refusal| refusals.push(refusal)).ok();
        let (Some(email), Some(reason), true) = (email, reason, refusals.is_empty()) else { return Err(Error::from(refusals).into()) };
        let actor = caller.actor();
        let scope = Scope { actor: &actor, operation: "enrollmentCreate", key: &cmd.idempotency_key };
        let txn = self.db.begin().await?;
        let input = json!({
            "email": self.email_hash(&email), "aim": cmd.aim, "bypass": cmd.payment_bypass, "company": company, "reason": reason,
        });
        if let Some(earlier) = self.claim(&txn, &scope, &input).await? {
            txn.commit().await?;
            return Ok(Answer { value: self.enrolled(serde_json::from_value(earlier)?).await?, replayed: true });
        }
        let known = store::account::by_email_hash(&txn, &self.email_hash(&email)).await?.map(|account| account.id);
        let names = [cmd.aim.clone()];
        let mut aims = self.aims(&txn, &names, company, known).await?;
        let unknown = || Refusal::at(Code::NotFound, ["target", cmd.aim.field()], "There is no such target; check how it is named.");
        let aim = aims.remove(&cmd.aim).ok_or_else(|| Error::from(unknown()))?;
        let aim = aim.map_err(|fault| Error::from(Refusal::at(fault.code(), ["target", cmd.aim.field()], fault.to_string())))?;
        let enroller = Enroller { caller, company, operation: "enrollmentCreate", reason: reason.as_deref(), dry_run: false };
        if !enroller.sees(&aim) {
            return Err(Error::from(unknown()).into());
        }
        let wish = Wish { email: &email, name: name.as_deref(), aim: &aim, bypass: cmd.payment_bypass, line: entropy::next_id() };
        let outcome = self.enrol_all(&txn, &enroller, std::slice::from_ref(&wish)).await?.pop();
        let (account, order, given) = match outcome.ok_or_else(|| internal!("a wish without an outcome"))? {
            Outcome::Enrolled { account, order } => (account, order, true),
            Outcome::Already { account } => (account.ok_or_else(|| internal!("somebody without an account has access"))?, None, false),
            Outcome::Enrollable => return Err(internal!("a dry run where none was asked for").into()),
            Outcome::PaymentRequired => {
                txn.rollback().await?;
                return Err(self.pay_first(&aim, company, known).await?);
            }
            Outcome::NoSeat(reason) => {
                return Err(Error::refused(reason.code(), ["target", "sessionId"], reason.to_string()).into());
            }
            Outcome::NotAMember => {
                let message = "This is nobody of your company; name them as a learner with companyMembersSet first.";
                return Err(Error::refused(Code::NotFound, ["email"], message).into());
            }
        };
        if given && known.is_none() {
            // The learner gets in by it; it proves the address, too.
            self.mail_link(&txn, account, &email, name.as_deref()).await?;
            tracing::debug!(%account, "an account was made for a learner who was enrolled");
        }
        let held = store::entitlement::of_accounts_to(&txn, &[account], &[aim.target.uuid()]).await?;
        let now = self.now();
        let newest = held.iter().rev().find(|held| if given { held.grant.source.id == wish.line.uuid() } else { !held.is_over(now) });
        let kept =
            Kept { account, order, by_hand: given && order.is_none(), entitlement: newest.map(|held| held.id()), course: aim.course };
        store::idempotency::finish(&txn, &scope, serde_json::to_value(&kept)?).await?;
        txn.commit().await?;
        self.woken();
        Ok(Answer { value: self.enrolled(kept).await?, replayed: false })
    }

    async fn enrolled(&self, kept: Kept) -> Result<Enrolled> {
        let views = self.entitlements_of(&[kept.account]).await?;
        let enrollment = match kept.course {
            Some(course) => store::enrollment::of_course(self.db.read(), kept.account, course).await?,
            None => None,
        };
        let entitlement = views.into_iter().find(|view| Some(view.entitlement.id()) == kept.entitlement);
        let already = kept.order.is_none() && !kept.by_hand;
        Ok(Enrolled { account: kept.account, order: kept.order, already, entitlement, enrollment })
    }

    /// The company that a caller enrols for: its own for a manager, the one that is named for an operator, none else.
    pub(super) async fn enrolling_company(&self, caller: &Caller, named: Option<CompanyId>) -> Result<Option<CompanyId>> {
        may_enrol(caller)?;
        let scope = Topic::Learning.write();
        let own = enrols_for(caller);
        let company = match (named, caller.may(scope), own.as_slice()) {
            (None, true, _) => None,
            (None, false, [only]) => Some(*only),
            (None, false, _) => return Err(Error::refused(Code::Required, ["companyId"], "Say for which of your companies.")),
            (Some(company), ..) => {
                let found = if caller.may_for(scope, company) { store::company::find(self.db.read(), company).await? } else { None };
                Some(found.filter(|found| found.archived_at.is_none()).ok_or_else(|| Error::not_found("companyId", "company"))?.id)
            }
        };
        Ok(company)
    }

    /// The refusal of what has to be paid, with what to buy.
    async fn pay_first(&self, aim: &Aim, company: Option<CompanyId>, account: Option<AccountId>) -> Result<NotDone> {
        let remedy = match (&aim.offer, aim.target) {
            (Some(offer), _) if offer.visible && offer.may_be_sold().is_ok() && offer.quote.is_ok() => Some(self.remedy_by(offer)),
            (_, Target::Course(course)) => self.remedy(course, account, company).await?,
            _ => None,
        };
        let message = match &remedy {
            Some(remedy) => format!(
                "This has to be paid first: {:?} ({}), {}. To enrol without payment, send paymentBypass: true with a reason.",
                remedy.title, remedy.sku, remedy.url
            ),
            None => "This is not free, and nothing on sale opens it. To enrol without payment, send paymentBypass: true with a reason."
                .to_owned(),
        };
        Ok(NotDone { error: Error::refused(Code::PaymentRequired, ["paymentBypass"], message), remedy })
    }

    /// What buys this offer.
    pub(super) fn remedy_by(&self, offer: &OfferView) -> Remedy {
        Remedy { url: format!("{}/form/{}", self.shop.public_url, offer.sku), sku: offer.sku.clone(), title: offer.title.clone() }
    }

    /// What these names mean, with offers for somebody in the context of a company, in a number of statements that does not grow with them.
    /// Names of nothing are left out.
    pub(super) async fn aims(
        &self,
        db: &impl ConnectionTrait,
        names: &[AimName],
        company: Option<CompanyId>,
        account: Option<AccountId>,
    ) -> Result<HashMap<AimName, Result<Aim, AimFault>>> {
        let keys = |pick: fn(&AimName) -> Option<String>| names.iter().filter_map(pick).collect::<Vec<_>>();
        let course_keys = keys(|name| if let AimName::CourseKey(key) = name { Some(key.trim().to_owned()) } else { None });
        let skus = keys(|name| match name {
            AimName::LibrarySku(sku) | AimName::GroupSku(sku) => Sku::parse(sku).ok().map(|sku| sku.folded()),
            _ => None,
        });
        let sessions: Vec<SessionId> =
            names.iter().filter_map(|name| if let AimName::Session(id) = name { Some(*id) } else { None }).collect();
        let sessions: HashMap<SessionId, store::catalog::Session> =
            store::catalog::sessions(db, &sessions).await?.into_iter().map(|session| (session.id, session)).collect();
        let mut course_ids: Vec<CourseId> =
            names.iter().filter_map(|name| if let AimName::Course(id) = name { Some(*id) } else { None }).collect();
        course_ids.extend(sessions.values().map(|session| session.course));
        let mut courses = store::catalog::courses(db, &course_ids).await?;
        courses.extend(store::catalog::courses_with_keys(db, &course_keys).await?);
        let by_key: HashMap<String, CourseId> = courses.iter().map(|course| (course.key.to_ascii_lowercase(), course.id)).collect();
        let courses: HashMap<CourseId, store::catalog::Course> = courses.into_iter().map(|course| (course.id, course)).collect();
        let owners = store::product::sku_owners(db, &skus).await?;
        let mut targets: BTreeSet<uuid::Uuid> = courses.keys().map(|course| course.uuid()).collect();
        targets.extend(sessions.keys().map(|session| session.uuid()));
        targets.extend(names.iter().filter_map(|name| match name {
            AimName::Library(id) => Some(id.uuid()),
            AimName::Group(id) => Some(id.uuid()),
            _ => None,
        }));
        let mut products = store::product::products_of(db, &targets.into_iter().collect::<Vec<_>>()).await?;
        products.extend(store::product::products(db, &owners.values().copied().collect::<Vec<_>>()).await?);
        let by_id: HashMap<ProductId, Product> = products.iter().map(|product| (product.id, product.clone())).collect();
        let by_target: HashMap<uuid::Uuid, Product> = products.into_iter().map(|product| (product.target, product)).collect();
        let context = self.offer_context_for(db, account, ContextArgs { company, ..ContextArgs::default() }).await?;
        // What nothing sells has no offer that would say so.
        let unsold: Vec<uuid::Uuid> = courses.keys().map(|id| id.uuid()).filter(|id| !by_target.contains_key(id)).collect();
        let seen_by = store::group::seen_by(db, &unsold).await?;
        let hidden =
            |id: CourseId| seen_by.get(&id.uuid()).is_some_and(|groups| !groups.iter().any(|group| context.groups.contains(group)));
        let groups: Vec<GroupId> = names
            .iter()
            .filter_map(|name| if let AimName::Group(id) = name { Some(*id) } else { None })
            .filter(|id| !by_target.contains_key(&id.uuid()))
            .collect();
        let groups: HashMap<GroupId, store::group::Group> =
            store::group::groups(db, &groups).await?.into_iter().map(|group| (group.id, group)).collect();
        let wanted: Vec<(ProductId, u32)> = by_id.keys().map(|product| (*product, 1)).collect();
        let offers: HashMap<ProductId, OfferView> = match wanted.is_empty() {
            true => HashMap::new(),
            false => {
                let offers = self.offers_of(db, &context, Detail::default(), &wanted).await?;
                offers.into_iter().map(|offer| (offer.product, offer)).collect()
            }
        };
        let sold = |product: &Product, target: Target, course: Option<CourseId>| {
            let offer = offers.get(&product.id).cloned();
            Aim {
                target,
                course,
                product: Some(product.clone()),
                product_code: offer.as_ref().and_then(|offer| offer.product_code.clone()),
                key: String::new(),
                title: product.title.clone(),
                offer,
                hidden: false,
            }
        };
        let of_course = |id: CourseId, target: Target, product: Option<&Product>| {
            let course = courses.get(&id)?;
            let bare = Aim {
                target,
                course: Some(id),
                product: None,
                offer: None,
                product_code: None,
                key: course.key.clone(),
                title: course.title.clone(),
                hidden: hidden(id),
            };
            let aim = product.map_or(bare, |product| Aim { key: course.key.clone(), ..sold(product, target, Some(id)) });
            Some(if course.archived_at.is_some() {
                Err(AimFault::Archived)
            } else if course.kind == CourseKind::Event && matches!(target, Target::Course(_)) {
                Err(AimFault::NeedsSession)
            } else {
                Ok(aim)
            })
        };
        let of_product = |product: Option<&Product>, kind: ProductKind| {
            let product = product.filter(|product| product.kind == kind)?;
            let target = Target::new(if kind == ProductKind::Group { TargetKind::Group } else { TargetKind::Library }, product.target);
            Some(if product.archived_at.is_some() { Err(AimFault::Archived) } else { Ok(sold(product, target, None)) })
        };
        let by_hand = |id: GroupId| {
            let group = groups.get(&id)?;
            let aim = Aim {
                target: Target::Group(id),
                course: None,
                product: None,
                offer: None,
                product_code: None,
                key: String::new(),
                title: group.title.clone(),
                hidden: false,
            };
            Some(match (group.archived_at, group.kind) {
                (Some(_), _) => Err(AimFault::Archived),
                (None, GroupKind::Automatic) => Err(AimFault::ByRule),
                (None, GroupKind::Manual) => Ok(aim),
            })
        };
        let by_sku = |sku: &str| Sku::parse(sku).ok().and_then(|sku| by_id.get(owners.get(&sku.folded())?));
        let mut found = HashMap::new();
        for name in names {
            let aim = match name {
                AimName::Course(id) => of_course(*id, Target::Course(*id), by_target.get(&id.uuid())),
                AimName::CourseKey(key) => {
                    let id = by_key.get(&key.trim().to_ascii_lowercase()).copied();
                    id.and_then(|id| of_course(id, Target::Course(id), by_target.get(&id.uuid())))
                }
                AimName::Library(id) => of_product(by_target.get(&id.uuid()), ProductKind::Library),
                AimName::Group(id) => match by_target.get(&id.uuid()) {
                    Some(product) => of_product(Some(product), ProductKind::Group),
                    None => by_hand(*id),
                },
                AimName::LibrarySku(sku) => of_product(by_sku(sku), ProductKind::Library),
                AimName::GroupSku(sku) => of_product(by_sku(sku), ProductKind::Group),
                AimName::Session(id) => sessions.get(id).and_then(|session| {
                    let product = by_target.get(&id.uuid()).or_else(|| by_target.get(&session.course.uuid()));
                    let aim = of_course(session.course, Target::Session(*id), product);
                    let over = session.archived_at.is_some() || session.ends_at <= self.now();
                    if over { Some(Err(AimFault::Over)) } else { aim }
                }),
            };
            if let Some(aim) = aim {
                found.insert(name.clone(), aim);
            }
        }
        Ok(found)
    }

    /// Enrols these learners; says of each what it came to.
    pub(super) async fn enrol_all(&self, txn: &DatabaseTransaction, enroller: &Enroller<'_>, wishes: &[Wish<'_>]) -> Result<Vec<Outcome>> {
        let now = self.now();
        if !enroller.dry_run && wishes.iter().any(|wish| wish.aim.product.is_none() && !wish.aim.by_hand()) {
            // A product will be made: writes of the catalogue pass one at a time, and are waited for before learners are held.
            store::installation::lock(txn).await?;
        }
        let hashes: Vec<String> = wishes.iter().map(|wish| self.email_hash(wish.email)).collect();
        let known = store::group::accounts_by_email(txn, &hashes).await?;
        let ids: Vec<AccountId> = known.values().copied().collect::<BTreeSet<_>>().into_iter().collect();
        // Whether somebody has a thing already hangs on all of their grants: two who enrol them at once would both find nothing.
        store::entitlement::lock_learners(txn, &ids).await?;
        let members = match enroller.members_only() {
            Some(company) => Some(store::company::members_among(txn, &[company], &ids).await?),
            None => None,
        };
        let decisions = self.decide_all(txn, wishes, &hashes, &known, now).await?;
        let mut outcomes: Vec<Option<Outcome>> = vec![None; wishes.len()];
        let (mut given, mut giving) = (Vec::new(), HashSet::new());
        for (place, decision) in decisions.into_iter().enumerate() {
            let account = known.get(&hashes[place]).copied();
            if members.as_ref().is_some_and(|members| account.is_none_or(|account| !members.contains(&account))) {
                outcomes[place] = Some(Outcome::NotAMember);
                continue;
            }
            // Another wish of this call may give it: by another name of the same, or with a bypass where this one has none.
            let same = (hashes[place].as_str(), wishes[place].aim.target);
            match (decision, account) {
                (Decision::Enrol { .. } | Decision::PaymentRequired, account) if giving.contains(&same) => {
                    outcomes[place] = Some(Outcome::Already { account });
                }
                (Decision::Enrol { bypass }, _) => {
                    giving.insert(same);
                    given.push((place, bypass));
                }
                (Decision::Already, account) => outcomes[place] = Some(Outcome::Already { account }),
                (Decision::PaymentRequired, _) => outcomes[place] = Some(Outcome::PaymentRequired),
            }
        }
        // Sessions in the order of their ids, as everybody takes them.
        given.sort_by_key(|(place, _)| (wishes[*place].aim.session(), *place));
        let mut seated = Vec::with_capacity(given.len());
        for (place, bypass) in given {
            let wish = &wishes[place];
            let refused = match wish.aim.session() {
                None => None,
                Some(session) => {
                    let kind = source_kind(bypass);
                    let source = Source { kind, id: wish.line.uuid() };
                    let holder = Some(hashes[place].clone());
                    self.seat_take(txn, Wanted { session, source, order: None, holder, quantity: 1, state: SeatState::Given }).await?
                }
            };
            match refused {
                Some(reason) => outcomes[place] = Some(Outcome::NoSeat(reason)),
                None => seated.push((place, bypass)),
            }
        }
        if enroller.dry_run {
            for (place, _) in seated {
                outcomes[place] = Some(Outcome::Enrollable);
            }
        } else {
            for (place, account, order) in self.enrol_seated(txn, enroller, wishes, &hashes, known, &seated).await? {
                outcomes[place] = Some(Outcome::Enrolled { account, order });
            }
        }
        self.places_of_those_let_in(txn, wishes, &outcomes, enroller.dry_run).await?;
        outcomes.into_iter().map(|outcome| outcome.ok_or_else(|| internal!("a wish without an outcome"))).collect()
    }

    async fn decide_all(
        &self,
        txn: &DatabaseTransaction,
        wishes: &[Wish<'_>],
        hashes: &[String],
        known: &HashMap<String, AccountId>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Decision>> {
        let ids: Vec<AccountId> = known.values().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let targets: Vec<_> = wishes.iter().map(|wish| wish.aim.target.uuid()).collect::<BTreeSet<_>>().into_iter().collect();
        let held = store::entitlement::of_accounts_to(txn, &ids, &targets).await?;
        let living: HashSet<(AccountId, Target)> =
            held.iter().filter(|held| !held.is_over(now)).map(|held| (held.grant.account, held.grant.target)).collect();
        let lines: Vec<OrderLineId> = wishes.iter().map(|wish| wish.line).collect();
        let mut written = store::order::lines_there(txn, &lines).await?;
        // What is given by hand has no order; its grant tells.
        written.extend(
            held.iter().filter(|held| held.grant.source.kind == SourceKind::Hand).map(|held| OrderLineId::new(held.grant.source.id)),
        );
        // What else opens a course is asked only for those who would have to pay.
        let asking: BTreeSet<AccountId> =
            wishes.iter().zip(hashes).filter(|(wish, _)| !wish.bypass).filter_map(|(_, hash)| known.get(hash).copied()).collect();
        let asking: Vec<AccountId> = asking.into_iter().collect();
        let mut member_of: HashMap<AccountId, Vec<GroupId>> = HashMap::new();
        for account in &asking {
            member_of.insert(*account, store::group::groups_of(txn, *account, now).await?);
        }
        let learners = Learners::load(txn, &asking, &member_of).await?;
        let mut decisions = Vec::with_capacity(wishes.len());
        for (wish, hash) in wishes.iter().zip(hashes) {
            let account = known.get(hash).copied();
            let open = match (account, wish.aim.target) {
                (Some(account), Target::Course(course)) if !wish.bypass => learners.of(account).holds(course, now)?,
                (Some(account), Target::Group(group)) if !wish.bypass => {
                    member_of.get(&account).is_some_and(|groups| groups.contains(&group))
                }
                _ => false,
            };
            decisions.push(decide(Facts {
                bypass: wish.bypass,
                free: wish.aim.is_free(),
                has_same: account.is_some_and(|account| living.contains(&(account, wish.aim.target))) || written.contains(&wish.line),
                open,
            }));
        }
        Ok(decisions)
    }

    /// Writes accounts, orders and grants of those who have a seat, if they need one.
    async fn enrol_seated(
        &self,
        txn: &DatabaseTransaction,
        enroller: &Enroller<'_>,
        wishes: &[Wish<'_>],
        hashes: &[String],
        mut accounts: HashMap<String, AccountId>,
        seated: &[(usize, bool)],
    ) -> Result<Vec<(usize, AccountId, Option<OrderId>)>> {
        let now = self.now();
        let mut persons = Vec::new();
        let mut fresh: Vec<NewAccount> = Vec::new();
        for (place, _) in seated {
            let (wish, hash) = (&wishes[*place], &hashes[*place]);
            if accounts.contains_key(hash) {
                continue;
            }
            let person = self.person_version(wish.email, wish.name.map(ToOwned::to_owned), None);
            let new = NewAccount {
                id: entropy::next_id(),
                person: person.id,
                email_hash: hash.clone(),
                email_domain: wish.email.domain().to_owned(),
                password_hash: None,
                operator: None,
            };
            accounts.insert(hash.clone(), new.id);
            persons.push(person);
            fresh.push(new);
        }
        self.person_write(txn, &persons).await?;
        let made = store::account::insert_all(txn, &fresh, now).await?;
        if made != u64::try_from(fresh.len()).unwrap_or(u64::MAX) {
            // Somebody signed up with one of the addresses at this instant: their account counts.
            let wanted: Vec<String> = fresh.iter().map(|new| new.email_hash.clone()).collect();
            accounts.extend(store::group::accounts_by_email(txn, &wanted).await?);
        }
        let ids: Vec<AccountId> = seated.iter().filter_map(|(place, _)| accounts.get(&hashes[*place]).copied()).collect();
        let ids: Vec<AccountId> = ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let persons: HashMap<AccountId, domain::PersonId> =
            store::account::by_ids(txn, &ids).await?.into_iter().map(|account| (account.id, account.person.id)).collect();
        let products = self.products_of_aims(txn, seated.iter().map(|(place, _)| wishes[*place].aim)).await?;
        let (mut orders, mut grants, mut audits, mut enrolled) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (place, bypass) in seated {
            let wish = &wishes[*place];
            let account = accounts.get(&hashes[*place]).copied().ok_or_else(|| internal!("an account vanished"))?;
            let buyer = persons.get(&account).copied().ok_or_else(|| internal!("{account} is nobody"))?;
            if wish.aim.by_hand() {
                let reason = enroller.reason.map(ToOwned::to_owned);
                let terms = domain::terms::Terms::endless(ProductKind::Group);
                let object = Object { kind: "group", id: wish.aim.target.uuid(), company: enroller.company.map(CompanyId::uuid) };
                audits.push((object, None, Some(json!({ "added": [account], "reason": reason }))));
                grants.push(NewGrant {
                    account,
                    target: wish.aim.target,
                    source: Source { kind: SourceKind::Hand, id: wish.line.uuid() },
                    order: None,
                    actor: enroller.caller.actor(),
                    reason,
                    terms,
                    now,
                });
                enrolled.push((*place, account, None));
                continue;
            }
            let product = products.get(&wish.aim.target).ok_or_else(|| internal!("nothing sells what is given"))?;
            let order = self.order_of_nothing(enroller, wish, product, (account, buyer), *bypass, now);
            grants.push(NewGrant {
                account,
                target: wish.aim.target,
                source: Source { kind: source_kind(*bypass), id: wish.line.uuid() },
                order: Some(order.id),
                actor: enroller.caller.actor(),
                reason: order.reason.clone(),
                terms: order.lines.first().map_or(product.terms, |line| line.terms),
                now,
            });
            let object = Object { kind: "order", id: order.id.uuid(), company: enroller.company.map(CompanyId::uuid) };
            let new = json!({ "account": account, "sku": product.sku, "bypass": bypass, "reason": order.reason });
            audits.push((object, None, Some(new)));
            enrolled.push((*place, account, Some(order.id)));
            orders.push(order);
        }
        store::cart::insert_ordered(txn, &orders).await?;
        store::order::insert_all(txn, &orders).await?;
        self.grant_all(txn, grants).await?;
        self.audit_all(txn, enroller.caller, enroller.operation, audits).await?;
        Ok(enrolled)
    }

    /// Whoever is let in by another grant has a place in the course, too.
    async fn places_of_those_let_in(
        &self,
        txn: &DatabaseTransaction,
        wishes: &[Wish<'_>],
        outcomes: &[Option<Outcome>],
        dry_run: bool,
    ) -> Result<()> {
        if dry_run {
            return Ok(());
        }
        let now = self.now();
        let places = wishes.iter().zip(outcomes).filter_map(|(wish, outcome)| match (outcome, wish.aim.course) {
            (Some(Outcome::Already { account: Some(account) }), Some(course)) => {
                Some(new_enrollment(*account, course, wish.aim.title.clone(), now))
            }
            _ => None,
        });
        Ok(store::enrollment::insert(txn, &places.collect::<Vec<_>>()).await?)
    }

    /// The products of these aims. A course that was never sold alone gets one that is not on sale, for its orders to name.
    async fn products_of_aims<'a>(
        &self,
        txn: &DatabaseTransaction,
        aims: impl Iterator<Item = &'a Aim>,
    ) -> Result<HashMap<Target, Product>> {
        let mut products: HashMap<Target, Product> = HashMap::new();
        for aim in aims {
            if products.contains_key(&aim.target) || aim.by_hand() {
                continue;
            }
            let product = match (&aim.product, aim.course) {
                (Some(product), _) => product.clone(),
                (None, Some(course)) => self.product_of_course(txn, course, &aim.key).await?,
                (None, None) => return Err(internal!("nothing sells what is given")),
            };
            products.insert(aim.target, product);
        }
        Ok(products)
    }

    async fn product_of_course(&self, txn: &DatabaseTransaction, course: CourseId, key: &str) -> Result<Product> {
        if let Some(product) = store::product::products_of(txn, &[course.uuid()]).await?.pop() {
            return Ok(product);
        }
        let sku = Sku::for_course(&TextKey::parse(key).map_err(Refusal::from)?);
        let new = NewProduct {
            gives: None,
            id: entropy::next_id(),
            kind: ProductKind::Course,
            target: course.uuid(),
            sku,
            terms: domain::terms::Terms::endless(ProductKind::Course),
            created_at: self.now(),
        };
        if !store::product::insert(txn, &new).await? {
            // Made meanwhile, or the SKU is another product's.
            let made = store::product::products_of(txn, &[course.uuid()]).await?.pop();
            return made.ok_or_else(|| {
                let message =
                    format!("The SKU {} belongs to another product; give this course a product with courseCommerceSet first.", new.sku);
                Error::refused(Code::SkuTaken, ["target"], message)
            });
        }
        store::product::products(txn, &[new.id]).await?.pop().ok_or_else(|| internal!("a product vanished"))
    }

    fn order_of_nothing(
        &self,
        enroller: &Enroller<'_>,
        wish: &Wish<'_>,
        product: &Product,
        (account, buyer): (AccountId, domain::PersonId),
        bypass: bool,
        now: DateTime<Utc>,
    ) -> Order {
        let currency = self.shop.base_currency;
        let zero = Money::zero(currency);
        let mut bits = [0; 8];
        self.entropy.fill(&mut bits);
        let amounts = LineAmounts { subtotal: zero, discount: zero, net: zero, tax_rate: Percent::default(), tax: zero, total: zero };
        let line = OrderLine {
            id: wish.line,
            product: product.id,
            target: Some(wish.aim.target),
            sku: product.sku.clone(),
            title: wish.aim.offer.as_ref().map_or_else(|| wish.aim.title.clone(), |offer| offer.title.clone()),
            product_code: wish.aim.product_code.clone(),
            coupon: None,
            session: wish.aim.session(),
            for_: For::SelfBuyer,
            learner: None,
            quantity: 1,
            unit_price: Some(zero),
            list_price: None,
            amounts,
            breakdown: Vec::new(),
            terms: wish.aim.offer.as_ref().map_or(product.terms, |offer| offer.terms),
            fulfilment: Fulfilment::Enrol,
            // Whoever is enrolled by staff gets the place; credits are granted with a reason of their own.
            credits: Gain::default(),
            refunded: zero,
            refunded_by_quantity: zero,
            refunded_quantity: 0,
            royalty: None,
        };
        Order {
            id: entropy::next_id(),
            number: OrderNumber::from_random(bits).to_string(),
            cart: entropy::next_id(),
            account: Some(account),
            buyer,
            company: enroller.company,
            currency,
            locale: self.shop.locale.clone(),
            status: OrderStatus::Fulfilled,
            totals: Totals { subtotal: zero, discount: zero, net: zero, tax: zero, total: zero },
            prices_include_tax: self.shop.prices_include_tax,
            rates: Vec::new(),
            version: 1,
            placed_by: enroller.caller.actor(),
            placed_at: now,
            lapses_at: None,
            paid_at: Some(now),
            paid_payment: None,
            fulfilled_at: Some(now),
            closed_at: None,
            touched_at: now,
            bypass,
            reason: enroller.reason.map(ToOwned::to_owned).filter(|_| bypass),
            lines: vec![line],
        }
    }
}

/// Whether the caller may enrol anybody.
///
/// # Errors
/// Neither an operator or program with `learning:write` nor a company's manager.
pub fn may_enrol(caller: &Caller) -> Result<()> {
    if caller.may(Topic::Learning.write()) || !enrols_for(caller).is_empty() {
        return Ok(());
    }
    Err(caller.denied("Learners are enrolled by operators, programs and managers of their company."))
}

/// The companies whose learners a manager enrols.
fn enrols_for(caller: &Caller) -> Vec<CompanyId> {
    match &caller.who {
        Who::Account { manages, .. } => manages.clone(),
        Who::ManagerKey { company, .. } if caller.may_for(Topic::Learning.write(), *company) => vec![*company],
        Who::ManagerKey { .. } | Who::Guest | Who::Key { .. } | Who::System => Vec::new(),
    }
}

/// Why somebody is let in without payment: as given, else `by_default`; without a bypass there is nothing to explain.
pub(super) fn bypass_reason(bypass: bool, given: Option<&str>, by_default: Option<&str>) -> Result<Option<String>, Refusal> {
    let given = given.filter(|reason| !reason.trim().is_empty());
    match given.or(by_default) {
        Some(reason) => text::line("reason", reason, text::MAX_TITLE).map(Some).map_err(|reason| Refusal::from(reason).under(["reason"])),
        None if bypass => {
            Err(Refusal::at(Code::Required, ["reason"], "Say why the payment is bypassed; it is kept with the order of nothing."))
        }
        None => Ok(None),
    }
}

const fn source_kind(bypass: bool) -> SourceKind {
    if bypass { SourceKind::Bypass } else { SourceKind::OrderLine }
}

/// Why nobody can be enrolled in something that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AimFault {
    /// It was archived.
    #[error("This is archived; nobody is enrolled in it any more.")]
    Archived,
    /// It is an event.
    #[error("This is an event with dated sessions; name one of its sessions.")]
    NeedsSession,
    /// The session is over.
    #[error("This session is over or was called off; choose another one.")]
    Over,
    /// It is an automatic group.
    #[error("The rule of an AUTOMATIC group decides who is in it; nobody is enrolled in it.")]
    ByRule,
}

impl Reason for AimFault {
    fn code(&self) -> Code {
        match self {
            Self::Archived => Code::Archived,
            Self::NeedsSession => Code::SessionRequired,
            Self::Over => Code::SessionOver,
            Self::ByRule => Code::GroupNotManual,
        }
    }
}
