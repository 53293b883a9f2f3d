//! Failed sign-ins and sign-ups: counted, so that nobody tries a thousand passwords.
//!
//! Counted per address, and per name from that address: a stranger elsewhere locks nobody out. What succeeds is never counted, and
//! what is turned away is not counted again. Kept in memory: a restart forgets it, which costs a guesser more than it gives.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::problem::Problem;

/// Failures that a person makes without anything being meant by it.
const FREE_OF_NAME: u32 = 5;
const FREE_OF_ADDRESS: u32 = 20;

const DELAY_MIN: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// So long after the last one, a failure is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
/// A bound on memory: beyond it the oldest goes.
const KEYS_MAX: usize = 10_000;
const NAME_LENGTH_MAX: usize = 32;

/// The failures of late; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Failures(Arc<Mutex<HashMap<Key, Record>>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    address: IpAddr,
    /// None: the address as a whole.
    name: Option<String>,
}

#[derive(Clone, Copy)]
struct Record {
    count: u32,
    last: Instant,
    blocked_until: Instant,
}

impl Failures {
    /// Refuses one more attempt while the delay after the last failure runs.
    pub(crate) fn check(&self, address: IpAddr, name: &str, now: Instant) -> Result<(), Problem> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = keys(address, name)
            .iter()
            .filter_map(|key| records.get(key))
            .map(|record| record.blocked_until)
            .max();
        match until.and_then(|until| until.checked_duration_since(now)) {
            Some(left) if !left.is_zero() => Err(Problem::too_many_failures(whole_seconds(left))),
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    pub(crate) fn record(&self, address: IpAddr, name: &str, now: Instant) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [of_address, of_name] = keys(address, name);
        for (key, free) in [(of_address, FREE_OF_ADDRESS), (of_name, FREE_OF_NAME)] {
            if records.len() >= KEYS_MAX && !records.contains_key(&key) {
                make_room(&mut records, now);
            }
            let before = records.get(&key).map_or(0, |record| record.remembered(now));
            records.insert(key, Record::new(before + 1, free, now));
        }
    }

    /// Forgets a name's failures, since its owner is here. The address's stay: it may be trying other names.
    pub(crate) fn forgive(&self, address: IpAddr, name: &str) {
        let [_, of_name] = keys(address, name);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&of_name);
    }
}

impl Record {
    fn new(count: u32, free: u32, now: Instant) -> Self {
        let delay = match count.checked_sub(free + 1) {
            None => Duration::ZERO,
            Some(doublings) => (DELAY_MIN * 2_u32.pow(doublings.min(8))).min(DELAY_MAX),
        };
        Self { count, last: now, blocked_until: now + delay }
    }

    /// How many failures count still: one less for each `FORGOTTEN_AFTER` without another.
    fn remembered(&self, now: Instant) -> u32 {
        let calm = now.saturating_duration_since(self.last).as_secs() / FORGOTTEN_AFTER.as_secs();
        self.count.saturating_sub(u32::try_from(calm).unwrap_or(u32::MAX))
    }
}

fn keys(address: IpAddr, name: &str) -> [Key; 2] {
    let address = network(address);
    let name = name.chars().take(NAME_LENGTH_MAX).collect();
    [Key { address, name: None }, Key { address, name: Some(name) }]
}

/// One subscriber of an IPv6 provider has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        short @ IpAddr::V4(_) => short,
    }
}

fn make_room(records: &mut HashMap<Key, Record>, now: Instant) {
    records.retain(|_, record| record.remembered(now) > 0);
    while records.len() >= KEYS_MAX {
        let oldest = records.iter().min_by_key(|(_, record)| record.last).map(|(key, _)| key);
        let Some(oldest) = oldest.cloned() else { return };
        records.remove(&oldest);
    }
}

fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn fail(failures: &Failures, address: IpAddr, name: &str, times: u32, now: Instant) {
        for _ in 0..times {
            failures.record(address, name, now);
        }
    }

    #[test]
    fn the_delay_doubles_up_to_half_a_minute() {
        let (failures, now) = (Failures::default(), Instant::now());
        fail(&failures, HERE, "vera", FREE_OF_NAME, now);
        assert!(failures.check(HERE, "vera", now).is_ok());
        for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
            failures.record(HERE, "vera", now);
            let refused = failures.check(HERE, "vera", now).unwrap_err();
            assert!(refused.detail().ends_with(&format!("in {seconds} s")), "{refused:?}");
            let later = now + Duration::from_secs(seconds);
            assert!(failures.check(HERE, "vera", later).is_ok(), "after {seconds} s");
        }
    }

    #[test]
    fn a_stranger_locks_out_nobody() {
        let (failures, now) = (Failures::default(), Instant::now());
        fail(&failures, ELSEWHERE, "vera", 100, now);
        assert!(failures.check(ELSEWHERE, "vera", now).is_err());
        assert!(failures.check(HERE, "vera", now).is_ok());
    }

    #[test]
    fn an_address_that_tries_many_names_is_delayed_for_all_of_them() {
        let (failures, now) = (Failures::default(), Instant::now());
        for number in 0..=FREE_OF_ADDRESS {
            failures.record(HERE, &format!("name-{number}"), now);
        }
        assert!(failures.check(HERE, "somebody-else", now).is_err());
        let calm = now + FORGOTTEN_AFTER * (FREE_OF_ADDRESS + 1);
        fail(&failures, HERE, "somebody-else", 1, calm);
        assert!(failures.check(HERE, "somebody-else", calm).is_ok());
    }

    #[test]
    fn forgiving_a_name_keeps_the_address() {
        let (failures, now) = (Failures::default(), Instant::now());
        fail(&failures, HERE, "vera", FREE_OF_NAME + 1, now);
        failures.forgive(HERE, "vera");
        assert!(failures.check(HERE, "vera", now).is_ok());
        let rest = FREE_OF_ADDRESS - FREE_OF_NAME;
        for number in 0..rest {
            failures.record(HERE, &format!("name-{number}"), now);
        }
        assert!(failures.check(HERE, "vera", now).is_err());
    }

    #[test]
    fn memory_is_bounded_and_the_latest_failures_stay() {
        let (failures, now) = (Failures::default(), Instant::now());
        for number in 0..u32::try_from(KEYS_MAX).unwrap() + 50 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(number));
            failures.record(address, "vera", now + Duration::from_micros(number.into()));
        }
        assert!(failures.0.lock().unwrap().len() <= KEYS_MAX);
        fail(&failures, HERE, "vera", FREE_OF_NAME + 1, now + Duration::from_secs(1));
        assert!(failures.check(HERE, "vera", now + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let (failures, now) = (Failures::default(), Instant::now());
        fail(&failures, "2001:db8:1:2::1".parse().unwrap(), "vera", 9, now);
        assert!(failures.check("2001:db8:1:2:ffff::9".parse().unwrap(), "vera", now).is_err());
        assert!(failures.check("2001:db8:1:3::1".parse().unwrap(), "vera", now).is_ok());
    }
}
