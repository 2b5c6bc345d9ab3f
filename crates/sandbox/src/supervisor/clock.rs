//! Sets the guest's clock after it was stopped: the host slept, the host's clock was set, or the machine was stopped
//! and resumed.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rave_guest::channel::client::Client;
use rave_guest::channel::clock::ClockSet;
use rave_guest::channel::message::{Request, parse};

use super::shared::Shared;
use crate::control::ClockReport;
use crate::unix_time::now;

/// How often to check.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The smallest jump that counts, ms. `CLOCK_REALTIME` and `CLOCK_MONOTONIC` are slewed alike (`clock_gettime(2)`), so
/// they only drift apart by jumps.
const JUMP: u64 = 100;
/// How far behind the clock may be after it was set, ms.
const CLOSE: i64 = 500;
/// How often to set a clock until it is close: requests are delayed while guest and host are busy.
const ATTEMPTS: u32 = 5;
/// How long the guest may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// The host's clocks.
trait Host {
    /// `CLOCK_REALTIME`, ms since 1970.
    fn wall(&self) -> u64;
    /// `CLOCK_MONOTONIC`, which does not advance while the host sleeps, ms since an arbitrary moment.
    fn monotonic(&self) -> u64;
}

struct System(Instant);

impl Host for System {
    fn wall(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The state of the host's clocks when the guest's clock was last set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Basis {
    /// How far the wall clock is ahead of the monotonic clock, ms.
    ahead: u64,
    resumes: u64,
}

impl Basis {
    fn now(host: &impl Host, resumes: u64) -> Self {
        Self { ahead: host.wall().saturating_sub(host.monotonic()), resumes }
    }

    fn is_over(self, now: Self) -> bool {
        self.resumes != now.resumes || self.ahead.abs_diff(now.ahead) >= JUMP
    }
}

/// Watches in a thread until the machine has ended. If we attached to a running machine, its clock is set once in any
/// case.
pub(super) fn keep(shared: &Arc<Shared>, is_attached: bool) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let host = System(Instant::now());
        let mut set = (!is_attached).then(|| Basis::now(&host, 0));
        while !shared.has_ended() {
            let now = Basis::now(&host, shared.resumes());
            if set.is_none_or(|set| set.is_over(now))
                && let Some(client) = shared.client(Duration::ZERO)
            {
                match follow(&client, &host) {
                    Ok(report) => {
                        shared.clock(report);
                        set = Some(now);
                    }
                    // An older guest does not support this.
                    Err(error) if error.kind() == io::ErrorKind::Other => set = Some(now),
                    // It was stopped or restarted again.
                    Err(_) => {}
                }
            }
            thread::sleep(POLL_INTERVAL);
        }
    });
}

/// Sets the guest's clock to the host's.
fn follow(client: &Client, host: &impl Host) -> io::Result<ClockReport> {
    let mut before = None;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let answer = client.ask(&Request::Clock { time_ms: host.wall() }, ANSWER)?;
        let answer: Option<ClockSet> = answer.as_deref().and_then(parse);
        let answer = answer.ok_or(io::ErrorKind::InvalidData)?;
        let behind = i64::try_from(host.wall()).unwrap_or(i64::MAX).saturating_sub_unsigned(answer.time_ms);
        let behind_ms = *before.get_or_insert(answer.behind_ms);
        if behind.saturating_abs() <= CLOSE || attempts >= ATTEMPTS {
            return Ok(ClockReport { at: now(), behind_ms, behind_after_ms: behind });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rave_guest::channel::clock::Clock;
    use rave_guest::channel::server::{Config, Server};

    use super::*;

    /// Two hours, ms.
    const SLEEP: u64 = 2 * 60 * 60 * 1000;

    /// Clocks that a test moves.
    #[derive(Debug, Clone, Default)]
    struct Clocks {
        wall: Arc<AtomicU64>,
        monotonic: Arc<AtomicU64>,
        guest: Arc<AtomicU64>,
        /// How long a request takes to arrive, ms; each takes half as long as the previous one.
        way: Arc<AtomicU64>,
    }

    impl Clocks {
        fn run(&self, ms: u64) {
            for clock in [&self.wall, &self.monotonic, &self.guest] {
                clock.fetch_add(ms, Ordering::SeqCst);
            }
        }

        fn basis(&self, resumes: u64) -> Basis {
            Basis::now(self, resumes)
        }

        fn behind(&self) -> u64 {
            self.wall.load(Ordering::SeqCst).abs_diff(self.guest.load(Ordering::SeqCst))
        }
    }

    impl Host for Clocks {
        fn wall(&self) -> u64 {
            self.wall.load(Ordering::SeqCst)
        }

        fn monotonic(&self) -> u64 {
            self.monotonic.load(Ordering::SeqCst)
        }
    }

    impl Clock for Clocks {
        fn set(&mut self, time_ms: u64) -> Result<ClockSet, String> {
            let way = self.way.load(Ordering::SeqCst);
            self.way.store(way / 2, Ordering::SeqCst);
            self.run(way);
            let before = self.guest.swap(time_ms, Ordering::SeqCst);
            let behind_ms = i64::try_from(time_ms).unwrap() - i64::try_from(before).unwrap();
            Ok(ClockSet { behind_ms, time_ms })
        }
    }

    fn clocks() -> Clocks {
        let clocks = Clocks::default();
        for clock in [&clocks.wall, &clocks.guest] {
            clock.store(1_700_000_000_000, Ordering::SeqCst);
        }
        clocks
    }

    fn guest(clock: Option<Clocks>) -> Client {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut server = Server::new(Config::new("/nowhere", "agent"));
        if let Some(clock) = clock {
            server = server.with_clock(Box::new(clock));
        }
        thread::spawn(move || server.serve(&theirs));
        Client::begin(ours, 7, Duration::from_secs(60)).unwrap().0
    }

    #[test]
    fn suspend_clock_changes_and_stopped_machines_are_detected() {
        let clocks = clocks();
        let set = clocks.basis(0);
        clocks.run(SLEEP);
        assert!(!set.is_over(clocks.basis(0)), "time passed for all of them");
        assert!(set.is_over(clocks.basis(1)), "the machine resumed after a stop");
        clocks.wall.fetch_add(JUMP, Ordering::SeqCst);
        assert!(set.is_over(clocks.basis(0)), "the host slept");
        clocks.wall.fetch_sub(2 * JUMP, Ordering::SeqCst);
        assert!(set.is_over(clocks.basis(0)), "its clock was set back");
    }

    #[test]
    fn a_clock_stopped_for_two_hours_is_set() {
        let clocks = clocks();
        let client = guest(Some(clocks.clone()));
        clocks.wall.fetch_add(SLEEP, Ordering::SeqCst);
        let report = follow(&client, &clocks).unwrap();
        assert_eq!((report.behind_ms, report.behind_after_ms), (i64::try_from(SLEEP).unwrap(), 0));
        assert_eq!(clocks.behind(), 0);
        client.close();
    }

    #[test]
    fn a_clock_that_was_set_late_is_corrected() {
        let clocks = clocks();
        let client = guest(Some(clocks.clone()));
        clocks.wall.fetch_add(SLEEP, Ordering::SeqCst);
        clocks.way.store(4000, Ordering::SeqCst);
        let report = follow(&client, &clocks).unwrap();
        assert!(clocks.behind() <= 1000, "{} ms", clocks.behind());
        assert!(report.behind_after_ms <= CLOSE && report.behind_ms > 3_000_000, "{report:?}");
        client.close();
    }

    #[test]
    fn an_unsupported_request_is_distinguished() {
        let clocks = clocks();
        let client = guest(None);
        assert_eq!(follow(&client, &clocks).unwrap_err().kind(), io::ErrorKind::Other);
        client.close();
    }
}
