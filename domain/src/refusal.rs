//! What is said to a caller who can mend something: a stable code, the path of the field, and a sentence that says what to do.
//!
//! Always true here: a code never changes its name, and whoever gets a refusal can act on it without reading anything else.

use std::fmt;

use crate::money::MoneyError;

named! {
    /// The stable name of a reason; the API's `UserErrorCode`.
    pub enum Code {
        /// The value is malformed or not allowed here.
        Invalid = "INVALID",
        /// Something has to be given.
        Required = "REQUIRED",
        /// A text or a list is too long.
        TooLong = "TOO_LONG",
        /// A number or an amount is too large.
        TooLarge = "TOO_LARGE",
        /// There is no such thing, or the caller may not see it.
        NotFound = "NOT_FOUND",
        /// Two rows of one input name the same thing.
        Repeated = "REPEATED",
        /// The feature is not there, or not for this kind of thing.
        Unsupported = "UNSUPPORTED",
        /// Too many tries; wait.
        RateLimited = "RATE_LIMITED",

        /// The SKU belongs, or once belonged, to another product.
        SkuTaken = "SKU_TAKEN",
        /// The key belongs to another course or company.
        KeyTaken = "KEY_TAKEN",
        /// The name belongs to another thing of this kind.
        NameTaken = "NAME_TAKEN",
        /// SKU, prices and sale state change on the product only.
        ChangeOnProduct = "CHANGE_ON_PRODUCT",
        /// A group's commerce is given at creation and stays.
        GroupCommerceFixed = "GROUP_COMMERCE_FIXED",
        /// Only manual groups are sold.
        GroupNotManual = "GROUP_NOT_MANUAL",
        /// The thing is archived.
        Archived = "ARCHIVED",
        /// The product is not on sale.
        NotOnSale = "NOT_ON_SALE",
        /// The course is not sold alone.
        CourseNotSoldAlone = "COURSE_NOT_SOLD_ALONE",
        /// The library holds no course.
        LibraryEmpty = "LIBRARY_EMPTY",
        /// An event is bought for one of its sessions.
        SessionRequired = "SESSION_REQUIRED",
        /// The session has too few free seats.
        SessionFull = "SESSION_FULL",
        /// The session is over or was called off.
        SessionOver = "SESSION_OVER",
        /// The learner has a seat in this session.
        AlreadyHasSeat = "ALREADY_HAS_SEAT",
        /// A course stands twice in a library.
        CourseRepeated = "COURSE_REPEATED",
        /// Access terms that this kind of product cannot have.
        TermsInvalid = "TERMS_INVALID",
        /// A window that ends before it starts, or is given in two ways at once.
        WindowInvalid = "WINDOW_INVALID",
        /// Two windows for the same level and currency overlap.
        WindowOverlap = "WINDOW_OVERLAP",
        /// A discount schedule whose tiers do not ascend from 1.
        TiersInvalid = "TIERS_INVALID",
        /// The base currency is fixed once a price exists.
        BaseCurrencyFixed = "BASE_CURRENCY_FIXED",

        /// ISO 4217 does not list the code, or it has no minor unit.
        UnknownCurrency = "UNKNOWN_CURRENCY",
        /// More decimals than the currency has.
        TooManyDigits = "TOO_MANY_DIGITS",
        /// An amount in another currency than expected.
        CurrencyMismatch = "CURRENCY_MISMATCH",
        /// No exchange rate into the buyer's currency.
        NoRate = "NO_RATE",
        /// No price at all.
        NoPrice = "NO_PRICE",
        /// The price to pay is another one than was shown.
        PriceChanged = "PRICE_CHANGED",

        /// The company makes no sales at present.
        CompanyDisabled = "COMPANY_DISABLED",
        /// A company that buys by sales order has no carts.
        SalesOrderCompany = "SALES_ORDER_COMPANY",
        /// The company's type is fixed.
        CompanyTypeFixed = "COMPANY_TYPE_FIXED",

        /// A quantity outside its bounds.
        QuantityInvalid = "QUANTITY_INVALID",
        /// The cart is an order already.
        CartOrdered = "CART_ORDERED",
        /// The cart was merged into an account's cart.
        CartClaimed = "CART_CLAIMED",
        /// The cart has another version than expected.
        CartChanged = "CART_CHANGED",
        /// The cart has no line.
        CartEmpty = "CART_EMPTY",
        /// The cart has no buyer.
        BuyerMissing = "BUYER_MISSING",
        /// The shop sells one item per order.
        SeveralItems = "SEVERAL_ITEMS",
        /// The product is gone or not for this buyer.
        NotAvailable = "NOT_AVAILABLE",
        /// The learner has it already; buying extends it.
        Owned = "OWNED",
        /// The access terms are other ones than were shown.
        TermsChanged = "TERMS_CHANGED",
        /// The credits are other ones than were shown.
        CreditsChanged = "CREDITS_CHANGED",

        /// There is an order for this cart already.
        AlreadyPlaced = "ALREADY_PLACED",
        /// The idempotency key was used for another input.
        IdempotencyMismatch = "IDEMPOTENCY_MISMATCH",
        /// The payment method does not serve this order.
        PaymentMethodUnavailable = "PAYMENT_METHOD_UNAVAILABLE",
        /// The order does not wait for a payment.
        NotPending = "NOT_PENDING",
        /// An attempt is under way, or its outcome is not known yet.
        PaymentUnderWay = "PAYMENT_UNDER_WAY",
        /// The payment is not in a state for this.
        PaymentState = "PAYMENT_STATE",
        /// Nothing of the order can be refunded.
        NotRefundable = "NOT_REFUNDABLE",
        /// More than what is left to refund.
        RefundTooLarge = "REFUND_TOO_LARGE",

        /// No royalty is recorded for the line.
        NoRoyalty = "NO_ROYALTY",
        /// The period is closed and stays as it is.
        PeriodClosed = "PERIOD_CLOSED",
        /// The sales order is not in a state for this.
        SalesOrderState = "SALES_ORDER_STATE",
        /// The sales order is not in the version that the call expects; read it again.
        SalesOrderChanged = "SALES_ORDER_CHANGED",
        /// A company's own people agree on nothing better than what is recommended.
        BelowRecommended = "BELOW_RECOMMENDED",
        /// The quote is too old to be accepted.
        QuoteExpired = "QUOTE_EXPIRED",
        /// More money than is due.
        MoreThanDue = "MORE_THAN_DUE",
        /// Learners have redeemed seats that were to go back.
        SeatsRedeemed = "SEATS_REDEEMED",

        /// The shop takes no coupons.
        CouponsOff = "COUPONS_OFF",
        /// The code or prefix belongs, or once belonged, to a coupon of this shop.
        CouponCodeTaken = "COUPON_CODE_TAKEN",
        /// The cart holds this code already.
        CouponRepeated = "COUPON_REPEATED",
        /// The coupon is not in the version that the call expects; read it again.
        CouponChanged = "COUPON_CHANGED",
        /// The audience follows from how the code begins.
        AudienceFromCode = "AUDIENCE_FROM_CODE",
        /// What a coupon gives is fixed once it was used.
        CouponEffectFixed = "COUPON_EFFECT_FIXED",
        /// The code was made void.
        CouponVoid = "COUPON_VOID",
        /// The coupon was switched off.
        CouponInactive = "COUPON_INACTIVE",
        /// The coupon's time is over.
        CouponExpired = "COUPON_EXPIRED",
        /// The coupon's time has not come.
        CouponNotStarted = "COUPON_NOT_STARTED",
        /// Every use of the coupon or code is taken.
        CouponExhausted = "COUPON_EXHAUSTED",
        /// This customer has had every use of the coupon that one customer gets.
        CouponCustomerLimit = "COUPON_CUSTOMER_LIMIT",
        /// The coupon is for customers who have not bought before.
        CouponForNew = "COUPON_FOR_NEW",
        /// The coupon is for customers who have bought before.
        CouponForRecurring = "COUPON_FOR_RECURRING",
        /// The coupon is for other companies.
        CouponOtherCompany = "COUPON_OTHER_COMPANY",
        /// The coupon is for carts in other currencies.
        CouponOtherCurrency = "COUPON_OTHER_CURRENCY",
        /// The lines that the coupon is for cost less than its minimum purchase.
        CouponMinimum = "COUPON_MINIMUM",
        /// No line of the cart is left for the coupon to take.
        ReachesNoLine = "REACHES_NO_LINE",
        /// What the coupon gives comes to less than the smallest coin.
        CouponTooSmall = "COUPON_TOO_SMALL",
        /// A batch's codes are still being made.
        BatchUnderWay = "BATCH_UNDER_WAY",
        /// Fewer codes of a batch are free than are to go.
        BatchTooFewFree = "BATCH_TOO_FEW_FREE",

        /// There are fewer credits than are needed.
        TooFewCredits = "TOO_FEW_CREDITS",

        /// The e-mail belongs to another account.
        EmailTaken = "EMAIL_TAKEN",
        /// E-mail and password do not match.
        BadCredentials = "BAD_CREDENTIALS",
        /// The link is unknown, used or too old.
        LinkInvalid = "LINK_INVALID",
        /// The password is too short or too easy to guess.
        PasswordTooWeak = "PASSWORD_TOO_WEAK",
        /// The last operator cannot be removed.
        LastOperator = "LAST_OPERATOR",

        /// No token reads like that.
        TokenInvalid = "TOKEN_INVALID",
        /// The token was redeemed.
        TokenUsed = "TOKEN_USED",
        /// The token's time is over.
        TokenExpired = "TOKEN_EXPIRED",
        /// The token was voided.
        TokenVoid = "TOKEN_VOID",
        /// Fewer seats are free than are to be handed out.
        TooFewTokens = "TOO_FEW_TOKENS",
        /// The credits of a learner do not suffice for what is to be rented.
        InsufficientCredits = "INSUFFICIENT_CREDITS",
        /// A resource costs another number of credits than was agreed to.
        CostChanged = "COST_CHANGED",
        /// There is nothing to pay: it is open without credits.
        NothingToPay = "NOTHING_TO_PAY",
        /// The learner has no live grant.
        PaymentRequired = "PAYMENT_REQUIRED",
        /// An earlier course of the library has to be passed first.
        CourseLocked = "COURSE_LOCKED",
        /// The learner cannot register for the course again, or not yet.
        ReregistrationRefused = "REREGISTRATION_REFUSED",
        /// The learner has not started the course.
        NotStarted = "NOT_STARTED",
        /// The grant is over.
        EntitlementEnded = "ENTITLEMENT_ENDED",
    }
}

/// A topic's own reason with its facts; `Display` is the sentence for the caller.
pub trait Reason: fmt::Display {
    /// The stable code.
    fn code(&self) -> Code;

    /// The path of the field, as far as the topic knows it.
    fn field(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A refusal as a caller sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// The path of the field in the input, outermost first; empty where no single field is to blame.
    pub field: Vec<String>,
    /// One or two English sentences that say what is wrong and what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal of the call as a whole.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, field: Vec::new(), message: message.into() }
    }

    /// A refusal of one field.
    pub fn at<S: Into<String>>(code: Code, field: impl IntoIterator<Item = S>, message: impl Into<String>) -> Self {
        Self { code, field: field.into_iter().map(Into::into).collect(), message: message.into() }
    }

    /// The same refusal, further out: `prefix` goes in front of the field path.
    #[must_use]
    pub fn under<S: Into<String>>(mut self, prefix: impl IntoIterator<Item = S>) -> Self {
        self.field.splice(0..0, prefix.into_iter().map(Into::into));
        self
    }

    /// No such thing, or none that this caller may see.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}, or it is not yours to see; check the id."))
    }
}

impl<R: Reason> From<R> for Refusal {
    fn from(reason: R) -> Self {
        Self { code: reason.code(), field: reason.field(), message: reason.to_string() }
    }
}

impl Reason for MoneyError {
    fn code(&self) -> Code {
        match self {
            Self::UnknownCurrency(_) => Code::UnknownCurrency,
            Self::TooManyDigits { .. } => Code::TooManyDigits,
            Self::Overflow => Code::TooLarge,
            Self::CurrencyMismatch { .. } => Code::CurrencyMismatch,
            Self::NotANumber(_) | Self::BadPercent(_) | Self::BadRate(_) => Code::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_reads_back() {
        let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::parse(code.name()), Some(*code));
            assert!(code.name().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code}");
            assert_eq!(serde_json::to_value(code).expect("a name"), code.name());
        }
        assert_eq!(Code::parse("invalid"), None);
    }

    #[test]
    fn refusals_carry_code_path_and_sentence() {
        let refusal = Refusal::from(MoneyError::Overflow).under(["rows", "3"]).under(["input"]);
        assert_eq!(refusal, Refusal::at(Code::TooLarge, ["input", "rows", "3"], "the amount is too large"));
    }
}
