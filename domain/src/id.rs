//! Ids: one type for each kind of thing, so that a cart's id never stands where an order's belongs.
//!
//! Written as the kind's prefix, `_` and 26 characters of base32 over a UUID v7 (the TypeID format); minted outside and passed in.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A kind of thing that has ids.
pub trait Kind: Send + Sync + 'static {
    /// The prefix that ids of this kind carry.
    const PREFIX: &'static str;
}

/// The id of one thing of kind `K`.
pub struct Id<K: Kind>(Uuid, PhantomData<fn() -> K>);

impl<K: Kind> Id<K> {
    /// The id that `uuid` is for this kind.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The bare UUID, as stored.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// Reads an id of this kind; anything else, also an id of another kind, is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, uuid) = parse_any(text)?;
        (prefix == K::PREFIX).then_some(Self::new(uuid))
    }
}

impl<K: Kind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: Kind> Copy for Id<K> {}
impl<K: Kind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K: Kind> Eq for Id<K> {}
impl<K: Kind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Kind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K: Kind> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_any(K::PREFIX, self.0))
    }
}
impl<K: Kind> From<Uuid> for Id<K> {
    fn from(uuid: Uuid) -> Self {
        Self::new(uuid)
    }
}
impl<K: Kind> serde::Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: Kind> serde::Deserialize<'de> for Id<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an id of this kind"))
    }
}

/// Writes `uuid` as an id with `prefix`.
pub fn format_any(prefix: &str, uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    let mut text = String::with_capacity(prefix.len() + 27);
    text.push_str(prefix);
    text.push('_');
    for position in (0..26).rev() {
        text.push(char::from(ALPHABET[usize::try_from((bits >> (position * 5)) & 31).unwrap_or(0)]));
    }
    text
}

/// Reads an id of any kind as its prefix and UUID; `None` for anything that no id looks like.
pub fn parse_any(text: &str) -> Option<(&str, Uuid)> {
    let (prefix, digits) = text.rsplit_once('_')?;
    if digits.len() != 26 || prefix.is_empty() {
        return None;
    }
    let mut bits: u128 = 0;
    for (index, byte) in digits.bytes().enumerate() {
        let value = ALPHABET.iter().position(|letter| *letter == byte)?;
        // 26 digits hold 130 bits; an id has 128.
        if index == 0 && value > 7 {
            return None;
        }
        bits = (bits << 5) | u128::try_from(value).ok()?;
    }
    Some((prefix, Uuid::from_u128(bits)))
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $id:ident $prefix:literal;)*) => {
        $(
            $(#[$doc])*
            pub enum $kind {}
            impl Kind for $kind { const PREFIX: &'static str = $prefix; }
            $(#[$doc])*
            pub type $id = Id<$kind>;
        )*
    };
}

kinds! {
    /// An account.
    AccountKind AccountId "acc";
    /// A company.
    CompanyKind CompanyId "com";
    /// A provider: who a course comes from.
    ProviderKind ProviderId "pro";
    /// A course.
    CourseKind CourseId "crs";
    /// A resource: one item inside a course.
    ResourceKind ResourceId "res";
    /// A dated session of an event.
    SessionKind SessionId "ses";
    /// A library.
    LibraryKind LibraryId "lib";
    /// A group.
    GroupKind GroupId "grp";
    /// A product.
    ProductKind ProductId "prd";
    /// A cart.
    CartKind CartId "crt";
    /// A cart's line.
    CartLineKind CartLineId "cli";
    /// An order.
    OrderKind OrderId "ord";
    /// An order's line.
    OrderLineKind OrderLineId "oli";
    /// A payment attempt; also its operation id at the gateway.
    PaymentKind PaymentId "pay";
    /// A refund.
    RefundKind RefundId "ref";
    /// An entitlement.
    EntitlementKind EntitlementId "ent";
    /// An enrollment.
    EnrollmentKind EnrollmentId "enr";
    /// A registration token.
    TokenKind TokenId "tok";
    /// A sales order.
    SalesOrderKind SalesOrderId "sor";
    /// A sales order's line.
    SalesLineKind SalesLineId "sli";
    /// An invoice or credit note.
    InvoiceKind InvoiceId "inv";
    /// A discount schedule.
    DiscountScheduleKind DiscountScheduleId "dsc";
    /// A licensor: who gets a share of sales.
    LicensorKind LicensorId "lic";
    /// A royalty plan.
    RoyaltyPlanKind RoyaltyPlanId "roy";
    /// A coupon: the rule behind its codes.
    CouponKind CouponId "cpn";
    /// A code of a coupon, that people type.
    CouponCodeKind CouponCodeId "cod";
    /// A batch of codes.
    CouponBatchKind CouponBatchId "bat";
    /// A lot of credits.
    LotKind LotId "lot";
    /// An entry of the books of credits.
    CreditEntryKind CreditEntryId "cre";
    /// A rental: a resource that was opened for some days.
    RentalKind RentalId "ren";
    /// A service key.
    ServiceKeyKind ServiceKeyId "key";
    /// An event.
    EventKind EventId "evt";
    /// The telling of an event to an endpoint.
    EventDeliveryKind EventDeliveryId "dlv";
    /// An endpoint that is told of events.
    WebhookEndpointKind WebhookEndpointId "whk";
    /// A mail.
    MailKind MailId "eml";
    /// A job of the worker.
    JobKind JobId "job";
    /// A version of a person's name, e-mail and address.
    PersonKind PersonId "per";
    /// An entry of the audit log.
    AuditKind AuditId "aud";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_what_they_were() {
        for bits in [0, 1, u128::MAX, 0x0190_1b2c_3d4e_7abc_8def_0123_4567_89ab] {
            let id = LibraryId::new(Uuid::from_u128(bits));
            assert_eq!(LibraryId::parse(&id.to_string()), Some(id));
        }
        assert_eq!(LibraryId::new(Uuid::from_u128(u128::MAX)).to_string(), "lib_7zzzzzzzzzzzzzzzzzzzzzzzzz");
    }

    #[test]
    fn malformed_ids_and_ids_of_another_kind_are_none() {
        let order = OrderId::new(Uuid::from_u128(7)).to_string();
        for text in [
            "",
            "lib",
            "lib_",
            "lib_123",
            "LIB_00000000000000000000000007",
            "lib_0000000000000000000000000u",
            "lib_80000000000000000000000000",
            order.as_str(),
        ] {
            assert_eq!(LibraryId::parse(text), None, "{text:?}");
        }
    }
}
