//! How often somebody may guess. Always true here: only failures count, so that a shop full of people who know their passwords never waits.
//!
//! Each key has a bucket of tries that fills up again at an even rate (the "generic cell rate algorithm": one instant for each key). A try is
//! taken before the guess is looked at, so that a thousand at once are not a thousand free ones, and given back when the guess was right; this
//! is why no ready-made limiter serves, they never give back. Kept in the memory of the process: several servers each allow as much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::{Error, Result};

/// From this many keys on, those whose buckets are full again are forgotten.
const SWEEP_AT: usize = 10_000;

/// A limit on failures.
#[derive(Debug)]
pub struct Throttle {
    every: TimeDelta,
    burst: i32,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    /// For each key, when its bucket will be full again.
    full_at: HashMap<String, DateTime<Utc>>,
    /// How many keys there were after the last sweep.
    swept_to: usize,
}

impl Throttle {
    /// Allows `burst` failures at once, and one more each `every`.
    pub fn new(burst: u16, every: TimeDelta) -> Self {
        Self { every, burst: i32::from(burst.max(1)), buckets: Mutex::default() }
    }

    /// Takes one try of `key`.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the seconds until the next one.
    pub fn take(&self, key: &str, now: DateTime<Utc>) -> Result<()> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        // Sweeping again only at twice as many keeps a flood of keys from being swept at each try.
        if buckets.full_at.len() >= SWEEP_AT.max(buckets.swept_to.saturating_mul(2)) {
            buckets.full_at.retain(|_, full| *full > now);
            buckets.swept_to = buckets.full_at.len();
        }
        // Later than after a full burst is nothing that can be waited for: the clock was put back since, and the bucket counts as full.
        let known = buckets.full_at.get(key).copied().filter(|full| *full <= now + self.every * self.burst);
        let full = known.unwrap_or(now).max(now);
        let early = full - now - self.every * (self.burst - 1);
        if early > TimeDelta::zero() {
            let whole = u64::try_from(early.num_seconds()).unwrap_or(0);
            let rest = u64::from(early.subsec_nanos() > 0);
            return Err(Error::RateLimited { retry_after_s: whole + rest });
        }
        buckets.full_at.insert(key.to_owned(), full + self.every);
        Ok(())
    }

    /// Gives back what [`Self::take`] took: the guess was right.
    pub fn give_back(&self, key: &str) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = buckets.full_at.get_mut(key) {
            *full -= self.every;
        }
    }
}

/// The key of a network address. One customer of a provider has a whole /64 of IPv6 addresses.
pub fn address_key(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("address:{address}"),
        IpAddr::V6(address) => format!("address:{:x}/64", address.to_bits() >> 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("an instant")
    }

    fn wait(result: Result<()>) -> u64 {
        match result {
            Ok(()) => 0,
            Err(Error::RateLimited { retry_after_s }) => retry_after_s,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn failures_use_up_the_bucket_and_time_fills_it() {
        let throttle = Throttle::new(3, TimeDelta::seconds(10));
        let waits: Vec<u64> = (0..5).map(|_| wait(throttle.take("a", seconds(0)))).collect();
        assert_eq!(waits, [0, 0, 0, 10, 10]);
        assert_eq!(wait(throttle.take("b", seconds(0))), 0, "another key has a bucket of its own");
        assert_eq!(wait(throttle.take("a", seconds(9))), 1);
        assert_eq!([wait(throttle.take("a", seconds(10))), wait(throttle.take("a", seconds(10)))], [0, 10]);
        assert_eq!([1, 1, 1, 1].map(|_| wait(throttle.take("a", seconds(1_000)))), [0, 0, 0, 10], "never more than the bucket holds");
    }

    #[test]
    fn a_clock_that_was_put_back_locks_nobody_out_for_longer() {
        let throttle = Throttle::new(3, TimeDelta::seconds(10));
        for _ in 0..3 {
            throttle.take("a", seconds(1_000_000)).expect("a try");
        }
        assert_eq!([(); 4].map(|()| wait(throttle.take("a", seconds(0)))), [0, 0, 0, 10]);
    }

    #[test]
    fn what_was_right_costs_nothing() {
        let throttle = Throttle::new(2, TimeDelta::seconds(10));
        for _ in 0..100 {
            assert_eq!(wait(throttle.take("a", seconds(0))), 0);
            throttle.give_back("a");
        }
    }

    #[test]
    fn a_flood_of_keys_is_forgotten_once_their_time_is_over() {
        let throttle = Throttle::new(1, TimeDelta::seconds(10));
        for index in 0..SWEEP_AT {
            throttle.take(&index.to_string(), seconds(0)).expect("the first try");
        }
        throttle.take("a", seconds(11)).expect("the first try");
        assert_eq!(throttle.buckets.lock().expect("not poisoned").full_at.len(), 1);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        let key = |text: &str| address_key(text.parse().expect("an address"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
