//! Synthetic addresses: each name that the guest resolves gets its own, and an address stands for its name.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::name::HostName;

/// The first address, in the benchmark range (RFC 2544), which no host on the internet uses.
const FIRST: [u8; 4] = [198, 18, 0, 0];
/// The number of addresses: 198.18.0.0/16.
const SIZE: u32 = 1 << 16;
/// The largest number of names.
const MOST: usize = 4096;
/// How long an address stands for its name after its last use. Clients keep an address for longer than its TTL of a
/// second.
const KEEP: Duration = Duration::from_secs(300);
/// Limits new names that only a wildcard allows: a burst of this many, then one per [`WILD_PAUSE`].
const WILD_BURST: f64 = 256.0;
const WILD_PAUSE: Duration = Duration::from_millis(500);

/// The names of a sandbox.
#[derive(Debug)]
pub(crate) struct Pool {
    by_name: HashMap<HostName, Ipv4Addr>,
    by_address: HashMap<Ipv4Addr, Entry>,
    next: u32,
    /// How many new names a wildcard may add now.
    wild: f64,
    refilled: Instant,
}

#[derive(Debug)]
struct Entry {
    name: HostName,
    used: Instant,
}

impl Pool {
    pub(crate) fn new(now: Instant) -> Self {
        Self { by_name: HashMap::new(), by_address: HashMap::new(), next: 1, wild: WILD_BURST, refilled: now }
    }

    /// Whether an address is in the range, even if it was not handed out.
    pub(crate) fn has(address: Ipv4Addr) -> bool {
        u32::from(address).wrapping_sub(u32::from(Ipv4Addr::from(FIRST))) < SIZE
    }

    /// The address of a name, which may be new. Returns nothing if there are too many names, or too many new ones.
    pub(crate) fn address(&mut self, name: &HostName, is_wild: bool, now: Instant) -> Option<Ipv4Addr> {
        if let Some(address) = self.by_name.get(name) {
            if let Some(entry) = self.by_address.get_mut(address) {
                entry.used = now;
            }
            return Some(*address);
        }
        if is_wild && !self.allows_wildcard_name(now) {
            return None;
        }
        if self.by_name.len() >= MOST {
            self.forget_oldest(now)?;
        }
        let address = self.free();
        self.by_name.insert(name.clone(), address);
        self.by_address.insert(address, Entry { name: name.clone(), used: now });
        Some(address)
    }

    /// The name that an address was handed out for.
    pub(crate) fn name(&mut self, address: Ipv4Addr, now: Instant) -> Option<HostName> {
        let entry = self.by_address.get_mut(&address)?;
        entry.used = now;
        Some(entry.name.clone())
    }

    fn allows_wildcard_name(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.refilled);
        self.wild = (self.wild + since.as_secs_f64() / WILD_PAUSE.as_secs_f64()).min(WILD_BURST);
        self.refilled = now;
        if self.wild < 1.0 {
            return false;
        }
        self.wild -= 1.0;
        true
    }

    fn forget_oldest(&mut self, now: Instant) -> Option<()> {
        let (address, entry) = self.by_address.iter().min_by_key(|(_, entry)| entry.used)?;
        if now.saturating_duration_since(entry.used) < KEEP {
            return None;
        }
        let (address, name) = (*address, entry.name.clone());
        self.by_address.remove(&address);
        self.by_name.remove(&name);
        Some(())
    }

    /// The next free address: a released one is reused as late as possible.
    fn free(&mut self) -> Ipv4Addr {
        loop {
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::from(FIRST)) + self.next);
            // Skip the first and the last of the range, which look like a network's own.
            self.next = if self.next >= SIZE - 2 { 1 } else { self.next + 1 };
            if !self.by_address.contains_key(&address) {
                return address;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn names_and_addresses_map_one_to_one() {
        let now = Instant::now();
        let mut pool = Pool::new(now);
        let a = pool.address(&name("a.example"), false, now).unwrap();
        let b = pool.address(&name("b.example"), false, now).unwrap();
        assert_ne!(a, b);
        assert_eq!(pool.address(&name("a.example"), false, now), Some(a));
        assert_eq!(pool.name(b, now), Some(name("b.example")));
        assert_eq!(pool.name("198.18.200.200".parse().unwrap(), now), None);
        assert!(Pool::has(a) && Pool::has("198.18.255.255".parse().unwrap()));
        assert!(!Pool::has("198.19.0.0".parse().unwrap()) && !Pool::has("198.17.255.255".parse().unwrap()));
    }

    #[test]
    fn names_are_limited_and_the_oldest_unused_one_is_replaced() {
        let now = Instant::now();
        let mut pool = Pool::new(now);
        for number in 0..MOST {
            pool.address(&name(&format!("n{number}.example")), false, now).unwrap();
        }
        assert_eq!(pool.address(&name("more.example"), false, now), None);
        let later = now + KEEP;
        pool.name(pool.by_name[&name("n0.example")], later);
        pool.address(&name("more.example"), false, later).unwrap();
        assert_eq!(pool.by_name.len(), MOST);
        assert!(pool.by_name.contains_key(&name("n0.example")));
    }

    #[test]
    fn wildcard_names_are_rate_limited() {
        let now = Instant::now();
        let mut pool = Pool::new(now);
        let mut take = |from: usize, now| {
            (from..from + 1000)
                .take_while(|number| pool.address(&name(&format!("n{number}.example")), true, now).is_some())
                .count()
        };
        assert_eq!(take(0, now), 256);
        assert_eq!(take(10_000, now + Duration::from_secs(5)), 10);
    }
}
