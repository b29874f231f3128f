//! Events: facts that other systems are told of, when a delivery may be tried, and which addresses are anybody's.
//!
//! Always true here: the events of one object are numbered in the order in which they happened; an address counts as public only if nothing says
//! otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, TimeDelta, Utc};

named! {
    /// What happened.
    pub enum EventKind {
        /// A cart became an order.
        OrderPlaced = "ORDER_PLACED",
        /// An order was paid.
        OrderPaid = "ORDER_PAID",
        /// All that an order gives was given.
        OrderFulfilled = "ORDER_FULFILLED",
        /// An order was cancelled.
        OrderCancelled = "ORDER_CANCELLED",
        /// An order was not paid in time.
        OrderLapsed = "ORDER_LAPSED",
        /// Money of an order went back, a part or all of it.
        OrderRefunded = "ORDER_REFUNDED",
        /// A learner wanted to rent something and had too few credits; told once a day. The object is the account.
        CreditsShort = "CREDITS_SHORT",
    }
}

impl EventKind {
    /// The type as the envelope says it: `order.paid`.
    pub fn wire(self) -> String {
        self.name().to_ascii_lowercase().replacen('_', ".", 1)
    }
}

named! {
    /// How a delivery stands.
    pub enum DeliveryState {
        /// Waits for its first or next try.
        Queued = "QUEUED",
        /// The endpoint took it.
        Delivered = "DELIVERED",
        /// Given up.
        Failed = "FAILED",
    }
}

/// Failures in a row after which an endpoint is left alone for a while.
pub const CIRCUIT_OPENS_AT: u32 = 5;
/// The longest that an endpoint is left alone.
const LONGEST_REST: TimeDelta = TimeDelta::hours(1);

/// For how long an endpoint is left alone after so many failures in a row; `None` while it may be tried at once.
pub fn rest_after(failures: u32) -> Option<TimeDelta> {
    let over = failures.checked_sub(CIRCUIT_OPENS_AT)?;
    Some(TimeDelta::minutes(1 << over.min(6)).min(LONGEST_REST))
}

/// Whether a request that somebody else chose the address of may go there: an address of the public network, not one of this machine, of a
/// private network, or set aside for something else; an IPv4 address inside an IPv6 one counts as what it is.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let set_aside = address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !set_aside
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // Mapped, and translated (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
        // 6to4.
        [0x2002, high, low, ..] => inner(high, low),
        // Teredo and other protocols' own, documentation.
        [0x2001, second, ..] if second < 0x0200 || second == 0x0db8 => false,
        // What is handed out for the public network.
        [first, ..] => (0x2000..0x4000).contains(&first) && !(first == 0x3fff && parts[1] < 0x1000),
    }
}

/// Until when a delivery that was queued then is tried.
pub fn tried_until(queued_at: DateTime<Utc>) -> DateTime<Utc> {
    queued_at + crate::mail::TRIED_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_public_in_any_clothes() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("93.184.216.34", true),
            ("127.0.0.1", false),
            ("127.8.9.1", false),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("192.0.0.8", false),
            ("192.0.2.1", false),
            ("198.18.0.1", false),
            ("203.0.113.9", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::127.0.0.1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b::808:808", true),
            ("2002:7f00:1::", false),
            ("2001:0:4136:e378::", false),
            ("2001:db8::1", false),
            ("2606:4700:4700::1111", true),
            ("2001:4860:4860::8888", true),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("3fff:1::1", false),
            ("3fff:1000::1", true),
            ("3fff:0:1::", false),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), public, "{address}");
        }
    }

    #[test]
    fn an_endpoint_is_left_alone_longer_and_longer() {
        let minutes: Vec<Option<i64>> =
            [0, 4, 5, 6, 7, 10, 11, 100].map(|failures| rest_after(failures).map(|rest| rest.num_minutes())).to_vec();
        assert_eq!(minutes, [None, None, Some(1), Some(2), Some(4), Some(32), Some(60), Some(60)]);
    }

    #[test]
    fn types_are_written_with_a_dot() {
        let wire: Vec<String> = EventKind::ALL.iter().map(|kind| kind.wire()).collect();
        assert_eq!(
            wire,
            ["order.placed", "order.paid", "order.fulfilled", "order.cancelled", "order.lapsed", "order.refunded", "credits.short"]
        );
    }
}
