//! Throttle of sign-in attempts, per account and per address. Attempts on an account are slowed, never refused, so that nobody can
//! lock its owner out; an address that fails often is refused for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

const WINDOW_MS: u64 = 15 * 60_000;
/// Failures of an account without a delay.
const FREE_FAILURES: u32 = 5;
const DELAY_FIRST_MS: u64 = 250;
const DELAY_MAX_MS: u64 = 4_000;
/// Failures of an address in a window, after which it waits.
const ADDRESS_FAILURES: u32 = 50;
/// Accounts and addresses remembered; the oldest are forgotten beyond it.
const ENTRIES_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub struct Throttle(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    accounts: HashMap<String, Count>,
    addresses: HashMap<IpAddr, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    since_ms: u64,
    last_ms: u64,
}

/// Delay before an attempt, or the seconds after which the address may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    After { delay_ms: u64 },
    Refused { retry_after_s: u64 },
}

impl Throttle {
    pub fn check(&self, account: &str, address: Option<IpAddr>, now_ms: u64) -> Verdict {
        let failures = self.lock();
        let from = address.and_then(|address| failures.addresses.get(&network(address)));
        if let Some(count) = from.filter(|count| count.current(now_ms) >= ADDRESS_FAILURES) {
            let left_ms = (count.since_ms + WINDOW_MS).saturating_sub(now_ms);
            return Verdict::Refused {
                retry_after_s: left_ms.div_ceil(1_000).max(1),
            };
        }
        let failed = failures.accounts.get(account);
        let over = failed
            .map_or(0, |count| count.current(now_ms))
            .saturating_sub(FREE_FAILURES);
        let delay_ms = match over {
            0 => 0,
            over => (DELAY_FIRST_MS << (over - 1).min(8)).min(DELAY_MAX_MS),
        };
        Verdict::After { delay_ms }
    }

    pub fn note_failure(&self, account: &str, address: Option<IpAddr>, now_ms: u64) {
        let mut failures = self.lock();
        if let Some(address) = address {
            bump(&mut failures.addresses, network(address), now_ms);
        }
        bump(&mut failures.accounts, account.to_owned(), now_ms);
    }

    pub fn note_success(&self, account: &str) {
        self.lock().accounts.remove(account);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Count {
    fn current(&self, now_ms: u64) -> u32 {
        match now_ms < self.since_ms + WINDOW_MS {
            true => self.failures,
            false => 0,
        }
    }
}

/// Adds a failure.
fn bump<K: std::hash::Hash + Eq + Clone>(counts: &mut HashMap<K, Count>, key: K, now_ms: u64) {
    if counts.len() >= ENTRIES_MAX && !counts.contains_key(&key) {
        counts.retain(|_, count| now_ms < count.since_ms + WINDOW_MS);
        if counts.len() >= ENTRIES_MAX
            && let Some(oldest) = counts.iter().min_by_key(|(_, count)| count.last_ms)
        {
            let oldest = oldest.0.clone();
            counts.remove(&oldest);
        }
    }
    let fresh = Count {
        failures: 0,
        since_ms: now_ms,
        last_ms: now_ms,
    };
    let count = counts.entry(key).or_insert(fresh);
    if now_ms >= count.since_ms + WINDOW_MS {
        *count = fresh;
    }
    count.failures += 1;
    count.last_ms = now_ms;
}

/// An IPv6 client has a whole /64 of addresses.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000_000;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn account_under_attack_is_slowed_and_never_refused() {
        let throttle = Throttle::default();
        for attempt in 0..1_000u32 {
            let from = address(&format!("10.0.{}.{}", attempt / 250, attempt % 250));
            throttle.note_failure("ada@example.com", from, NOW_MS);
        }
        let verdict = throttle.check("ada@example.com", address("192.0.2.1"), NOW_MS);
        assert_eq!(
            verdict,
            Verdict::After {
                delay_ms: DELAY_MAX_MS
            }
        );
        let other = throttle.check("eve@example.com", address("192.0.2.1"), NOW_MS);
        assert_eq!(other, Verdict::After { delay_ms: 0 });
        let later = throttle.check("ada@example.com", None, NOW_MS + WINDOW_MS);
        assert_eq!(later, Verdict::After { delay_ms: 0 });
    }

    #[test]
    fn address_that_fails_often_is_refused_for_a_while_in_all_its_forms() {
        let throttle = Throttle::default();
        for attempt in 0..ADDRESS_FAILURES {
            let from = address(&format!("2001:db8:0:1::{attempt:x}"));
            throttle.note_failure(&format!("{attempt}@example.com"), from, NOW_MS);
        }
        let refused = throttle.check("ada@example.com", address("2001:db8:0:1::ffff"), NOW_MS);
        assert_eq!(
            refused,
            Verdict::Refused {
                retry_after_s: WINDOW_MS / 1_000
            }
        );
        let neighbor = throttle.check("ada@example.com", address("2001:db8:0:2::1"), NOW_MS);
        assert_eq!(neighbor, Verdict::After { delay_ms: 0 });
    }

    #[test]
    fn throttle_remembers_a_bounded_number_of_accounts() {
        let throttle = Throttle::default();
        for attempt in 0..ENTRIES_MAX as u64 + 10 {
            throttle.note_failure(&attempt.to_string(), None, NOW_MS + attempt);
        }
        let accounts = &throttle.lock().accounts;
        assert_eq!(accounts.len(), ENTRIES_MAX);
        assert!(!accounts.contains_key("0"), "the oldest is forgotten");
    }
}
