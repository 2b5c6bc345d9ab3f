//! `rave-guest channel`: serves the host on the virtio-serial port. At a template's barrier the host first sends an
//! identity.

use crate::clock::SystemClock;
use crate::error::Error;
use crate::files::failed;
use crate::{fork, provide, template};
use rave_guest::channel::server::{Config, Server};
use rave_guest::channel::{PORT_NAME, denied};
use rave_guest::config::GuestConfig;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread;
use std::time::Duration;

/// Linux's `O_NONBLOCK` on x86-64 and arm64.
const O_NONBLOCK: i32 = 0o4000;
/// How often to check whether the host is connected: only poll(2) reports it, and would not wait for it.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(crate) fn run(config: &GuestConfig, at_barrier: bool) -> Result<(), Error> {
    let path = format!("/dev/virtio-ports/{PORT_NAME}");
    let port = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(&path);
    let port = port.map_err(failed("open", &path))?;
    let program = std::env::current_exe().map_err(failed("find", "rave-guest"))?;
    let config_of_server = Config {
        cgroups: true,
        provide: provide::for_the_channel,
        denied: denied::PATH.into(),
        ..Config::new(program, &config.user)
    };
    let mut server = Server::new(config_of_server).with_clock(Box::new(SystemClock));
    // Without control groups nothing can be held, and the server reports that to a host that asks.
    if let Ok(barrier) = fork::barrier_of(config) {
        server = server.with_later_barrier(barrier);
    }
    if at_barrier && let Some(barrier) = template::barrier_of(config) {
        server = server.at_barrier(barrier);
    } else if fork::is_held() {
        // The server was restarted while the machine was held, or in a fork: nothing continues without the host.
        server = server.at_barrier(fork::barrier_of(config)?);
    }
    loop {
        let mut fds = [PollFd::new(&port, PollFlags::IN)];
        let is_connected = poll(&mut fds, None).is_ok() && !fds[0].revents().contains(PollFlags::HUP);
        if is_connected {
            server.serve(&port).map_err(failed("read", &path))?;
        } else {
            thread::sleep(POLL_INTERVAL);
        }
    }
}
