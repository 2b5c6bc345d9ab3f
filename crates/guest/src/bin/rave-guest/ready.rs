//! `rave-guest ready`: reports the progress of this boot to the host, then ends. The host accepts no connections to a
//! service before it is reported to answer.
//!
//! [`watch`] examines the machine, [`Progress`] decides what is worth an event, [`port::ReadyPort`] sends it. Without
//! the port everything still goes to the journal.

mod port;
mod progress;
mod watch;

use crate::system;
use port::ReadyPort;
use progress::Progress;
use rave_guest::config::GuestConfig;
use rave_guest::protocol::{GuestEvent, GuestStage, StageState};
use std::thread;
use std::time::{Duration, Instant};

/// When the boot counts as failed. Open stages are still checked occasionally: somebody may fix the problem.
const GIVE_UP: Duration = Duration::from_secs(15 * 60);
/// Pauses between two checks: short after a change, longer while nothing changes.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);
/// The pause after [`GIVE_UP`].
const SELDOM: Duration = Duration::from_secs(10);

pub(crate) fn run(config: &GuestConfig) {
    let boot_id = system::boot_id();
    let mut port = ReadyPort::default();
    let mut progress = Progress::default();
    let mut watch = watch::Watch::new(config);
    let started = Instant::now();
    let mut pause = SHORTEST;
    let mut gave_up = false;
    send(&mut port, &boot_id, progress.reached(GuestStage::Userspace, "rave-guest runs"));
    loop {
        let seen = watch.check(&progress);
        let news = progress.update(seen);
        let longest = if gave_up { SELDOM } else { LONGEST };
        pause = if news.is_empty() { (pause * 3 / 2).min(longest) } else { SHORTEST };
        for event in news {
            send(&mut port, &boot_id, event);
        }
        if progress.is_ready() {
            break;
        }
        if !gave_up && started.elapsed() > GIVE_UP {
            gave_up = true;
            let detail = format!("not ready after {} minutes; {}", GIVE_UP.as_secs() / 60, progress.open());
            send(&mut port, &boot_id, progress::event(GuestStage::Ready, StageState::Failed, detail));
        }
        port.flush();
        thread::sleep(pause);
    }
    // The host may connect late: its programs start before the machine, but nothing requires that.
    let ready = Instant::now();
    while !port.flush() && ready.elapsed() < GIVE_UP {
        thread::sleep(LONGEST);
    }
}

fn send(port: &mut ReadyPort, boot_id: &str, event: GuestEvent) {
    let event = GuestEvent { boot_id: boot_id.to_owned(), uptime_ms: system::uptime_ms(), ..event };
    let state = match event.state {
        StageState::Waiting => "waiting",
        StageState::Ok => "ok",
        StageState::Failed => "failed",
    };
    println!("{}: {state}: {}", event.stage, event.detail);
    port.send(&event.to_line());
}
