//! Each limit of a coupon where it alone decides, and what makes a good or a bad coupon.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::replay::LineFacts;
use super::samples::*;
use super::*;
use crate::catalog::CourseKind;
use crate::id::{CompanyId, CourseId, SessionId};
use crate::refusal::{Code, Reason, Refusal};

const EXAM_OF_A: &[Content] = &[Content { provider: Some(A), kind: CourseKind::Exam }];
const EVENT_OF_A: &[Content] = &[Content { provider: Some(A), kind: CourseKind::Event }];
const OF_BOTH: &[Content] =
    &[Content { provider: Some(A), kind: CourseKind::Course }, Content { provider: Some(B), kind: CourseKind::Exam }];
const OF_NOBODY: &[Content] = &[Content { provider: None, kind: CourseKind::Course }];

fn session(number: u128) -> SessionId {
    SessionId::new(Uuid::from_u128(number))
}

fn course(number: u128) -> CourseId {
    CourseId::new(Uuid::from_u128(number))
}

/// Session `number` of event 7, whose product is 70; the session is sold by product `of`.
fn seat(number: u128, of: u128) -> LineFacts<'static> {
    LineFacts {
        product: product(of),
        contents: EVENT_OF_A,
        session: Some(session(number)),
        event: Some(Event { course: course(7), product: Some(product(70)) }),
        ..line(number, "10.00 USD")
    }
}

/// The code of what 10 % off one line gives under this limit.
fn with(line: LineFacts<'_>, limit: impl FnOnce(&mut Draft)) -> String {
    let mut draft = percent("10", Scope::Item);
    limit(&mut draft);
    let replay = played("USD", &[line], &held([draft]));
    match replay.coupons[0].reason() {
        None => "GIVES".to_owned(),
        Some(Nothing::NoLine(obstacle)) => format!("{obstacle:?}"),
        Some(reason) => reason.code().to_string(),
    }
}

/// R71: the provider alone decides. A library with courses of others as well is not an item of that provider.
#[test]
fn r71_the_provider_alone_decides() {
    for (contents, verdict) in
        [(OF_A, "GIVES"), (OF_B, "OtherProvider"), (OF_BOTH, "OtherProvider"), (OF_NOBODY, "OtherProvider"), (&[], "OtherProvider")]
    {
        let line = LineFacts { contents, ..line(1, "10.00 USD") };
        assert_eq!(with(line, |draft| draft.providers = vec![A]), verdict, "{contents:?}");
    }
    let both = LineFacts { contents: OF_BOTH, ..line(1, "10.00 USD") };
    assert_eq!(with(both, |draft| draft.providers = vec![B, A]), "GIVES");
}

#[test]
fn r63_the_product_alone_decides() {
    assert_eq!(with(line(1, "10.00 USD"), |draft| draft.products = vec![product(3), product(1)]), "GIVES");
    assert_eq!(with(line(2, "10.00 USD"), |draft| draft.products = vec![product(3), product(1)]), "OtherProduct");
}

#[test]
fn r63_the_product_code_alone_decides_in_any_spelling() {
    for (code, verdict) in [
        (Some("FX"), "GIVES"),
        (Some("fx"), "GIVES"),
        (Some("ＦＸ"), "GIVES"),
        (Some("FX2"), "OtherProductCode"),
        (None, "OtherProductCode"),
    ] {
        let line = LineFacts { product_code: code, ..line(1, "10.00 USD") };
        assert_eq!(with(line, |draft| draft.product_codes = vec!["Options".to_owned(), " Fx ".to_owned()]), verdict, "{code:?}");
    }
}

/// R65: coupons work on all kinds, unless limited to some.
#[test]
fn r65_the_kind_alone_decides() {
    for (contents, verdict) in [(OF_A, "OtherKind"), (EXAM_OF_A, "GIVES"), (OF_BOTH, "OtherKind"), (&[], "OtherKind")] {
        let line = LineFacts { contents, ..line(1, "10.00 USD") };
        assert_eq!(with(line, |draft| draft.kinds = vec![CourseKind::Exam]), verdict, "{contents:?}");
    }
    for kind in CourseKind::ALL {
        let contents = [Content { provider: None, kind: *kind }];
        let line = LineFacts { contents: &contents, ..line(1, "10.00 USD") };
        assert_eq!(with(line, |_| {}), "GIVES", "{kind}");
        assert_eq!(with(line, |draft| draft.kinds = vec![*kind]), "GIVES", "{kind}");
    }
    assert_eq!(with(seat(1, 70), |draft| draft.kinds = vec![CourseKind::Event]), "GIVES", "the kind EVENT covers sessions");
}

/// R65: an event covers its sessions, by whichever product they are sold; a session covers itself only.
#[test]
fn r65_an_event_covers_its_sessions_and_a_session_only_itself() {
    // Sold by the event's product, by one of its own; the limit by the event, and by the event's product.
    for seat in [seat(1, 70), seat(1, 71)] {
        assert_eq!(with(seat, |draft| draft.events = vec![course(7)]), "GIVES");
        assert_eq!(with(seat, |draft| draft.products = vec![product(70)]), "GIVES");
        assert_eq!(with(seat, |draft| draft.events = vec![course(8)]), "OtherEvent");
        assert_eq!(with(seat, |draft| draft.sessions = vec![session(1)]), "GIVES");
        assert_eq!(with(seat, |draft| draft.sessions = vec![session(2)]), "OtherSession");
    }
    assert_eq!(with(seat(1, 71), |draft| draft.products = vec![product(71)]), "GIVES");
    assert_eq!(with(seat(2, 72), |draft| draft.products = vec![product(71)]), "OtherProduct");
    assert_eq!(with(line(1, "10.00 USD"), |draft| draft.sessions = vec![session(1)]), "OtherSession");
    assert_eq!(with(line(1, "10.00 USD"), |draft| draft.events = vec![course(7)]), "OtherEvent");
}

/// What 10 % off 10.00 gives when `change` was made to the coupon and its circumstances.
fn judged(change: impl FnOnce(&mut Held, &mut Circumstances<'_>)) -> String {
    let rates = rates();
    let (mut coupon, mut circumstances) = (Held::new(1, percent("10", Scope::Order)), around("USD", &rates));
    change(&mut coupon, &mut circumstances);
    let price = crate::money::Money::new(1000, circumstances.currency);
    let line = LineFacts { subtotal: Some(price), ..line(1, "0 JPY") };
    told(&replay(&[line], &[coupon.added()], &circumstances)).remove(0)
}

#[test]
fn r63_the_company_alone_decides() {
    let company = |number| CompanyId::new(Uuid::from_u128(number));
    for (cart, verdict) in [(Some(company(1)), "1.00"), (Some(company(2)), "COUPON_OTHER_COMPANY"), (None, "COUPON_OTHER_COMPANY")] {
        let found = judged(|coupon, around| {
            coupon.rules.limits.companies = vec![company(1), company(9)].into();
            around.company = cart;
        });
        assert_eq!(found, verdict);
    }
    assert_eq!(judged(|_, around| around.company = Some(company(2))), "1.00", "without the limit the company does not matter");
}

#[test]
fn r75_the_currency_alone_decides() {
    for (code, verdict) in [("USD", "COUPON_OTHER_CURRENCY"), ("EUR", "1.00"), ("CHF", "1.00")] {
        let found = judged(|coupon, around| {
            coupon.rules.limits.currencies = vec![currency("EUR"), currency("CHF")].into();
            around.currency = currency(code);
        });
        assert_eq!(found, verdict, "{code}");
    }
}

/// R77: the minimum is in the coupon's own currency: 9.00 USD are 8.28 EUR, 1362 yen; 10.00 USD are 9.20 EUR. Without a rate, nothing.
#[test]
fn r77_the_minimum_alone_decides_in_its_own_currency() {
    for (code, minimum, verdict) in [
        ("USD", "10.00 USD", "1.00"),
        ("USD", "10.01 USD", "COUPON_MINIMUM"),
        ("EUR", "10.00 USD", "1.00"),
        ("EUR", "10.86 USD", "1.00"),           // 9.9912 -> 9.99
        ("EUR", "10.88 USD", "COUPON_MINIMUM"), // 10.0096 -> 10.01
        ("JPY", "6.60 USD", "100"),             // 999.04 -> 999
        ("JPY", "6.62 USD", "COUPON_MINIMUM"),  // 1002.07 -> 1002
        ("CHF", "0.01 USD", "NO_RATE"),
        ("CHF", "10.00 CHF", "1.00"),
    ] {
        let found = judged(|coupon, around| {
            coupon.rules.limits.minimum = Some(money(minimum));
            around.currency = currency(code);
        });
        assert_eq!(found, verdict, "{minimum} in {code}");
    }
    // Only the lines that it is for count: 5.00 of A and 50.00 of B.
    let cart = [line(1, "5.00 USD"), LineFacts { contents: OF_B, ..line(2, "50.00 USD") }];
    let draft = Draft { providers: vec![A], minimum_purchase: Some(money("10.00 USD")), ..percent("10", Scope::Order) };
    assert_eq!(told(&played("USD", &cart, &held([draft]))), ["COUPON_MINIMUM"]);
}

#[test]
fn r63_r76_the_window_alone_decides() {
    let window = crate::window::Window::new(Some(at("2026-06-01T00:00:00Z")), Some(at("2026-07-01T00:00:00Z"))).expect("a window");
    for (now, verdict) in [
        ("2026-05-31T23:59:59.999999Z", "COUPON_NOT_STARTED"),
        ("2026-06-01T00:00:00Z", "1.00"),
        ("2026-06-30T23:59:59.999999Z", "1.00"),
        ("2026-07-01T00:00:00Z", "COUPON_EXPIRED"),
    ] {
        let found = judged(|coupon, around| {
            coupon.rules.window = window;
            around.now = at(now);
        });
        assert_eq!(found, verdict, "{now}");
    }
}

#[test]
fn r63_the_number_of_uses_alone_decides() {
    for (limit, used, verdict) in [
        (Some(50), 0, "1.00"),
        (Some(50), 49, "1.00"),
        (Some(50), 50, "COUPON_EXHAUSTED"),
        (Some(50), 51, "COUPON_EXHAUSTED"),
        (None, 1_000_000, "1.00"),
    ] {
        let found = judged(|coupon, _| {
            coupon.rules.total_uses = limit;
            coupon.uses.coupon = used;
        });
        assert_eq!(found, verdict, "{used} of {limit:?}");
    }
}

/// R67: a code of a batch works once, whatever the limit of its coupon is.
#[test]
fn r67_a_code_of_a_batch_works_once() {
    for (single_use, used, verdict) in [(true, 0, "1.00"), (true, 1, "COUPON_EXHAUSTED"), (false, 1, "1.00")] {
        let found = judged(|coupon, _| (coupon.single_use, coupon.uses.code) = (single_use, used));
        assert_eq!(found, verdict);
    }
}

#[test]
fn r63_the_uses_of_one_customer_alone_decide() {
    for (limit, used, verdict) in [
        (Some(1), 0, "1.00"),
        (Some(1), 1, "COUPON_CUSTOMER_LIMIT"),
        (Some(3), 2, "1.00"),
        (Some(3), 3, "COUPON_CUSTOMER_LIMIT"),
        (None, 9, "1.00"),
    ] {
        let found = judged(|coupon, _| {
            coupon.rules.uses_per_customer = limit;
            coupon.uses.customer = used;
        });
        assert_eq!(found, verdict, "{used} of {limit:?}");
    }
    assert_eq!(Draft::new(CouponKind::Discount).uses_per_customer, Some(1), "one, unless said otherwise");
}

/// Two codes of one coupon in one cart are two uses of it.
#[test]
fn codes_of_one_coupon_in_one_cart_count_together() {
    let twice = |draft: Draft| {
        let first = Held { single_use: true, ..Held::new(1, draft) };
        let second = Held { code: 2, ..first.clone() };
        told(&played("USD", &lines("USD", &[1000, 1000]), &[first, second]))
    };
    let item = percent("10", Scope::Item);
    assert_eq!(twice(item.clone()), ["1.00", "COUPON_CUSTOMER_LIMIT"]);
    assert_eq!(twice(Draft { uses_per_customer: Some(2), ..item.clone() }), ["1.00", "1.00"]);
    assert_eq!(twice(Draft { uses_per_customer: None, total_uses: Some(1), ..item }), ["1.00", "COUPON_EXHAUSTED"]);
}

/// R36: whom the coupon is for, said or by the first letters of its code; a customer who is not known yet is not held against it.
#[test]
fn r36_the_audience_alone_decides() {
    use Audience::{Any, New, Recurring};
    let never = Some(Customer { has_paid: false, new_pending: false });
    let paid = Some(Customer { has_paid: true, new_pending: false });
    let pending = Some(Customer { has_paid: false, new_pending: true });
    for (key, said, customer, verdict) in [
        ("code", Some(New), never, "1.00"),
        ("code", Some(New), paid, "COUPON_FOR_NEW"),
        ("code", Some(New), pending, "COUPON_FOR_NEW"),
        ("code", Some(New), None, "1.00"),
        ("code", Some(Recurring), never, "COUPON_FOR_RECURRING"),
        ("code", Some(Recurring), pending, "COUPON_FOR_RECURRING"),
        ("code", Some(Recurring), paid, "1.00"),
        ("code", Some(Recurring), None, "1.00"),
        ("code", None, never, "1.00"),
        ("code", None, paid, "1.00"),
        ("newyork", None, paid, "COUPON_FOR_NEW"),
        ("newyork", Some(Any), paid, "1.00"),
        ("recurring5", None, never, "COUPON_FOR_RECURRING"),
        ("recurring5", Some(New), never, "1.00"),
    ] {
        let found = judged(|coupon, around| {
            (coupon.key, coupon.rules.audience) = (key.to_owned(), said);
            around.customer = customer;
        });
        assert_eq!(found, verdict, "{key} {said:?} {customer:?}");
    }
}

/// R76: what keeps a coupon from working is told in the order of its statuses, and before any limit.
#[test]
fn r76_reasons_come_in_the_order_of_statuses() {
    let everything_wrong = |coupon: &mut Held, around: &mut Circumstances<'_>| {
        coupon.rules.window.ends_at = Some(now());
        coupon.rules.total_uses = Some(1);
        coupon.uses = Uses { coupon: 1, code: 1, customer: 1 };
        coupon.rules.limits.currencies = vec![currency("EUR")].into();
        (coupon.active, coupon.void, around.enabled) = (false, true, false);
    };
    let later = |instant: &str| Some(at(instant) as DateTime<Utc>);
    let mut found = Vec::new();
    for mended in 0..7 {
        found.push(judged(|coupon, around| {
            everything_wrong(coupon, around);
            around.enabled = mended > 0;
            coupon.void = mended <= 1;
            coupon.active = mended > 2;
            if mended > 3 {
                coupon.rules.window.ends_at = later("2027-01-01T00:00:00Z");
                coupon.rules.window.starts_at = later("2026-12-01T00:00:00Z");
            }
            if mended > 4 {
                coupon.rules.window.starts_at = None;
            }
            if mended > 5 {
                coupon.rules.total_uses = None;
            }
        }));
    }
    assert_eq!(
        found,
        [
            "COUPONS_OFF",
            "COUPON_VOID",
            "COUPON_INACTIVE",
            "COUPON_EXPIRED",
            "COUPON_NOT_STARTED",
            "COUPON_EXHAUSTED",
            "COUPON_OTHER_CURRENCY"
        ]
    );
}

fn refused(draft: Draft) -> Vec<(String, Code)> {
    let refusals: Vec<Refusal> = draft.check().expect_err("a bad draft");
    refusals.into_iter().map(|refusal| (refusal.field.join("."), refusal.code)).collect()
}

/// R63, R77: good drafts become rules, and the draft of rules is the one that they came from.
#[test]
fn r63_good_coupons_are_kept_as_given() {
    let full = Draft {
        providers: vec![B, A, A],
        products: vec![product(2), product(1)],
        product_codes: vec!["FX ".to_owned(), "fx".to_owned()],
        kinds: vec![CourseKind::Exam],
        events: vec![course(7)],
        sessions: vec![session(1)],
        companies: vec![CompanyId::new(Uuid::from_u128(1))],
        currencies: vec![currency("USD"), currency("EUR")],
        minimum_purchase: Some(money("50.00 USD")),
        total_uses: Some(1_000_000_000),
        uses_per_customer: None,
        audience: Some(Audience::Recurring),
        ..amount("5.00 USD", Scope::Order)
    };
    let rules = full.check().expect("a good draft");
    assert_eq!(rules.limits.providers.as_slice(), [A, B]);
    assert_eq!(rules.limits.product_codes.as_slice(), ["fx"]);
    assert_eq!(Draft::of(&rules).check().as_ref(), Ok(&rules));
    let kept = serde_json::to_string(&rules).expect("JSON");
    assert_eq!(serde_json::from_str::<Rules>(&kept).expect("rules"), rules);
    for draft in [percent("0.0001", Scope::Item), percent("100", Scope::Order), amount("1 JPY", Scope::Order), pack(1, "0 USD", 1)] {
        let rules = draft.check().expect("a good draft");
        assert_eq!(Draft::of(&rules).check().as_ref(), Ok(&rules));
        let kept = serde_json::to_string(&rules).expect("JSON");
        assert_eq!(serde_json::from_str::<Rules>(&kept).expect("rules"), rules);
    }
}

/// Bad input: every bad field is named, at its path.
#[test]
fn bad_coupons_are_refused_field_by_field() {
    let discount = || Draft::new(CouponKind::Discount);
    let one = |field: &str, code| vec![(field.to_owned(), code)];
    for (draft, refusals) in [
        (discount(), one("percent", Code::Required)),
        (percent("0", Scope::Item), one("percent", Code::Invalid)),
        (percent("0.0000", Scope::Item), one("percent", Code::Invalid)),
        (percent("101", Scope::Item), one("percent", Code::Invalid)),
        (percent("100.0001", Scope::Item), one("percent", Code::Invalid)),
        (percent("-5", Scope::Item), one("percent", Code::Invalid)),
        (percent("12.34567", Scope::Item), one("percent", Code::Invalid)),
        (percent("half", Scope::Item), one("percent", Code::Invalid)),
        (amount("0 USD", Scope::Item), one("amount", Code::Invalid)),
        (amount("-5.00 USD", Scope::Item), one("amount", Code::Invalid)),
        (amount("10000000000.01 USD", Scope::Item), one("amount", Code::TooLarge)),
        (Draft { percent: Some("5".to_owned()), ..amount("5.00 USD", Scope::Item) }, one("percent", Code::Invalid)),
        (Draft { credits: Some(5), ..percent("5", Scope::Item) }, one("credits", Code::Invalid)),
        (Draft { price: Some(money("5 USD")), ..percent("5", Scope::Item) }, one("price", Code::Invalid)),
        (Draft { product: Some(product(1)), ..percent("5", Scope::Item) }, one("productId", Code::Invalid)),
        (Draft { minimum_purchase: Some(money("-1 USD")), ..percent("5", Scope::Item) }, one("minimumPurchase", Code::Invalid)),
        (
            Draft { minimum_purchase: Some(money("5 EUR")), ..amount("5.00 USD", Scope::Item) },
            one("minimumPurchase", Code::CurrencyMismatch),
        ),
        (Draft { total_uses: Some(0), ..percent("5", Scope::Item) }, one("totalUses", Code::Invalid)),
        (Draft { total_uses: Some(-1), ..percent("5", Scope::Item) }, one("totalUses", Code::Invalid)),
        (Draft { total_uses: Some(1_000_000_001), ..percent("5", Scope::Item) }, one("totalUses", Code::Invalid)),
        (Draft { uses_per_customer: Some(0), ..percent("5", Scope::Item) }, one("usesPerCustomer", Code::Invalid)),
        (
            Draft { product_codes: vec!["FX".to_owned(), " ".to_owned()], ..percent("5", Scope::Item) },
            one("productCodes.1", Code::Required),
        ),
        (Draft { products: (0..1_001).map(product).collect(), ..percent("5", Scope::Item) }, one("productIds", Code::TooLong)),
        // Several at once.
        (
            Draft { total_uses: Some(0), uses_per_customer: Some(-2), ..percent("101", Scope::Item) },
            vec![
                ("percent".to_owned(), Code::Invalid),
                ("totalUses".to_owned(), Code::Invalid),
                ("usesPerCustomer".to_owned(), Code::Invalid),
            ],
        ),
    ] {
        assert_eq!(refused(draft.clone()), refusals, "{draft:?}");
    }
}

/// R33: a pack demands price and number of credits, and names its product.
#[test]
fn r33_a_pack_demands_product_price_and_credits() {
    let bare = Draft::new(CouponKind::Pack);
    assert_eq!(
        refused(bare),
        [("productId".to_owned(), Code::Required), ("price".to_owned(), Code::Required), ("credits".to_owned(), Code::Required)]
    );
    for (draft, field, code) in [
        (Draft { credits: None, ..pack(1, "5.00 USD", 1) }, "credits", Code::Required),
        (Draft { price: None, ..pack(1, "5.00 USD", 1) }, "price", Code::Required),
        (pack(1, "5.00 USD", 0), "credits", Code::Invalid),
        (pack(1, "5.00 USD", -3), "credits", Code::Invalid),
        (pack(1, "5.00 USD", 1_000_000_001), "credits", Code::Invalid),
        (pack(1, "-5.00 USD", 1), "price", Code::Invalid),
        (Draft { percent: Some("5".to_owned()), ..pack(1, "5.00 USD", 1) }, "percent", Code::Invalid),
        (Draft { amount: Some(money("5 USD")), ..pack(1, "5.00 USD", 1) }, "amount", Code::Invalid),
        (Draft { minimum_purchase: Some(money("5 EUR")), ..pack(1, "5.00 USD", 1) }, "minimumPurchase", Code::CurrencyMismatch),
    ] {
        assert_eq!(refused(draft), [(field.to_owned(), code)]);
    }
}

/// R63: what a coupon gives can change only while nothing is used; limits, window and audience can change at any time.
#[test]
fn r63_the_effect_is_fixed_once_the_coupon_was_used() {
    let rules = |draft: Draft| draft.check().expect("a good draft");
    let before = rules(percent("10", Scope::Item));
    let packed = rules(pack(1, "5.00 USD", 10));
    for (before, after, field) in [
        (&before, rules(percent("11", Scope::Item)), "percent"),
        (&before, rules(amount("5.00 USD", Scope::Item)), "amount"),
        (&before, rules(percent("10", Scope::Order)), "scope"),
        (&before, packed.clone(), "kind"),
        (&packed, rules(pack(2, "5.00 USD", 10)), "productId"),
        (&packed, rules(pack(1, "5.01 USD", 10)), "price"),
        (&packed, rules(pack(1, "5.00 USD", 11)), "credits"),
    ] {
        assert_eq!(after.check_change(before, 0), Ok(()), "unused: {field}");
        let refusal = after.check_change(before, 2).expect_err("it was used");
        assert_eq!((refusal.code(), refusal.field()), (Code::CouponEffectFixed, vec![field.to_owned()]));
    }
    let limited = Draft { total_uses: Some(5), providers: vec![A], audience: Some(Audience::New), ..percent("10", Scope::Item) };
    assert_eq!(rules(limited).check_change(&before, 2), Ok(()));
}
