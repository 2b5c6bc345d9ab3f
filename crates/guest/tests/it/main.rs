//! Tests the guest's files with the real programs that will read them: systemd, nginx, sshd, visudo, the shell, and the
//! npm tools themselves.
//!
//! A test whose program is missing on this host says so on standard error and is skipped, by [`host::has`].

mod channel;
mod channel_barrier;
mod channel_faults;
mod channel_host;
mod gateway;
mod git;
mod host;
mod npm_tools;
mod shell;
mod ssh;
mod units;
