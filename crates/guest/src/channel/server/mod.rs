//! The guest's end: one thread polls the port and all programs' streams. Its memory is bounded by [`WINDOW`] per stream
//! and by the configured number of programs.

mod cgroup;
mod config;
mod job;
mod start;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::clock::Clock;
use super::denied;
use super::frame::{Decoder, Frame, Kind, preamble};
use super::identity::Barrier;
use super::limits::MAX_REQUEST;
use super::message::{Ended, HAS_IDENTITY, Hello, Request, SESSION_OVER, VERSION, Welcome, parse, to_json};
use cgroup::Cgroups;
pub use config::Config;
use job::{Job, Source};

/// The amount of unsent bytes above which no program's output is read.
const OUT_LIMIT: usize = 256 * 1024;
/// The most bytes of incomplete requests, all together.
const PARTS_LIMIT: usize = 4 * MAX_REQUEST;
/// The interval between checks whether a killed program has ended.
const REAP: Duration = Duration::from_millis(100);

/// The guest's end of the channel.
#[derive(Debug)]
pub struct Server {
    config: Config,
    cgroups: Option<Cgroups>,
    /// The session, once the host has started one.
    nonce: Option<u64>,
    decoder: Decoder,
    /// Incomplete requests.
    parts: BTreeMap<u32, Vec<u8>>,
    jobs: BTreeMap<u32, Job>,
    /// Killed programs that have not ended yet.
    dying: Vec<Job>,
    /// Bytes for the host.
    out: Vec<u8>,
    /// While it is set, only an identity is accepted.
    barrier: Option<Box<dyn Barrier>>,
    /// Becomes the barrier when the host holds the running machine, to fork it.
    later: Option<Box<dyn Barrier>>,
    /// Sets the clock, if the host may do so.
    clock: Option<Box<dyn Clock>>,
}

impl Server {
    /// A server without a session.
    pub fn new(config: Config) -> Self {
        let cgroups = if config.cgroups { Cgroups::own() } else { None };
        Self {
            config,
            cgroups,
            nonce: None,
            decoder: Decoder::default(),
            parts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            dying: Vec::new(),
            out: Vec::new(),
            barrier: None,
            later: None,
            clock: None,
        }
    }

    /// Lets the host set the clock.
    #[must_use]
    pub fn with_clock(self, clock: Box<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Starts at a template's barrier: no program runs before the host has renewed the identity.
    #[must_use]
    pub fn at_barrier(self, barrier: Box<dyn Barrier>) -> Self {
        Self { barrier: Some(barrier), ..self }
    }

    /// Lets the host hold the machine later, with this barrier.
    #[must_use]
    pub fn with_later_barrier(self, barrier: Box<dyn Barrier>) -> Self {
        Self { later: Some(barrier), ..self }
    }

    /// Whether it waits at a barrier, and so runs no programs.
    pub fn is_held(&self) -> bool {
        self.barrier.is_some()
    }

    /// Serves the host at the other end of `port`, which is non-blocking, until the host disconnects. All programs are
    /// killed then.
    pub fn serve(&mut self, port: impl AsFd) -> io::Result<()> {
        let result = self.run(port.as_fd());
        self.end_session();
        self.reap();
        result
    }

    fn run(&mut self, port: BorrowedFd<'_>) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let ready = self.wait(port)?;
            if ready.port && !self.receive(port, &mut buffer)? {
                return Ok(());
            }
            for (stream, source) in ready.jobs {
                self.serve_job(stream, source, &mut buffer);
            }
            self.check_jobs();
            self.reap();
            self.flush(port)?;
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self, port: BorrowedFd<'_>) -> io::Result<Ready> {
        let port_flags = if self.out.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let mut fds = vec![PollFd::from_borrowed_fd(port, port_flags)];
        let mut sources = Vec::new();
        let may_read = self.out.len() < OUT_LIMIT;
        for (stream, job) in &self.jobs {
            for (source, fd, flags) in job.awaited(may_read) {
                sources.push((*stream, source));
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
        }
        let timeout = self.timeout().map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let jobs = fds[1..].iter().zip(sources).filter(|(fd, _)| is_ready(fd)).map(|(_, source)| source);
        Ok(Ready { port: is_ready(&fds[0]), jobs: jobs.collect() })
    }

    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let next = self.jobs.values().filter_map(Job::next_check).min();
        let next = next.map(|at| at.saturating_duration_since(now));
        if self.dying.is_empty() { next } else { Some(next.unwrap_or(REAP).min(REAP)) }
    }

    /// Reads once; false if the host has disconnected.
    fn receive(&mut self, port: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<bool> {
        let count = match rustix::io::read(port, &mut *buffer) {
            Ok(0) | Err(Errno::CONNRESET) => return Ok(false),
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        self.decoder.push(&buffer[..count]);
        while let Some(frame) = self.decoder.next() {
            self.take(frame);
        }
        Ok(true)
    }

    fn take(&mut self, frame: Frame) {
        if frame.kind == Kind::Hello {
            if let Some(hello) = parse::<Hello>(&frame.payload) {
                self.begin_session(frame.nonce, &hello);
            }
            return;
        }
        if self.nonce != Some(frame.nonce) {
            // A host whose session ended with an earlier server would otherwise wait forever.
            if frame.kind == Kind::Request {
                let over = to_json(&Ended::failed(SESSION_OVER));
                Frame::new(Kind::Ended, frame.stream, frame.nonce, over).write_to(&mut self.out);
            }
            return;
        }
        match frame.kind {
            Kind::RequestPart | Kind::Request => self.take_request(frame),
            _ => self.take_for_job(&frame),
        }
    }

    fn take_for_job(&mut self, frame: &Frame) {
        let stream = frame.stream;
        let Some(job) = self.jobs.get_mut(&stream) else { return };
        match frame.kind {
            Kind::Stdin if !job.take_input(&frame.payload) => {
                self.kill(stream);
                self.send(
                    Kind::Ended,
                    stream,
                    to_json(&Ended::failed("more input than there was credit for")),
                );
            }
            Kind::StdinEnd => job.end_input(),
            Kind::OutputCredit => job.credit = job.credit.saturating_add(frame.number().unwrap_or_default()),
            Kind::Signal => job.signal(frame.number().unwrap_or_default()),
            Kind::Resize => {
                if let Some((rows, columns)) = frame.size() {
                    job.resize(rows, columns);
                }
            }
            Kind::Abandon => self.kill(stream),
            _ => {}
        }
    }

    fn begin_session(&mut self, nonce: u64, hello: &Hello) {
        self.end_session();
        self.nonce = Some(nonce);
        // Incomplete output belongs to the previous session.
        self.out = preamble();
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let welcome = Welcome {
            version: hello.version.min(VERSION),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: boot_id.trim().to_owned(),
            at_barrier: self.barrier.is_some(),
        };
        self.send(Kind::Welcome, 0, to_json(&welcome));
    }

    fn end_session(&mut self) {
        let streams: Vec<u32> = self.jobs.keys().copied().collect();
        for stream in streams {
            self.kill(stream);
        }
        self.nonce = None;
        self.parts.clear();
        self.out.clear();
    }

    fn take_request(&mut self, frame: Frame) {
        let stream = frame.stream;
        let kept: usize = self.parts.values().map(Vec::len).sum();
        let request = self.parts.entry(stream).or_default();
        if request.len() + frame.payload.len() > MAX_REQUEST || kept + frame.payload.len() > PARTS_LIMIT {
            self.parts.remove(&stream);
            return self.send(Kind::Ended, stream, to_json(&Ended::failed("the request is too long")));
        }
        request.extend(frame.payload);
        if frame.kind == Kind::Request
            && let Some(request) = self.parts.remove(&stream)
            && let Err(why) = self.start(stream, &request)
        {
            self.send(Kind::Ended, stream, to_json(&Ended::failed(why)));
        }
    }

    fn start(&mut self, stream: u32, request: &[u8]) -> Result<(), String> {
        if self.jobs.contains_key(&stream) {
            return Err("this stream is in use".into());
        }
        if self.jobs.len() >= self.config.jobs {
            return Err(format!("{} programs are already running", self.config.jobs));
        }
        let exec = match parse::<Request>(request) {
            Some(Request::Exec(exec)) if self.barrier.is_none() => exec,
            Some(Request::Hold) if self.barrier.is_none() => return self.hold(stream),
            Some(Request::Clock { time_ms }) if self.barrier.is_none() => {
                return self.set_clock(stream, time_ms);
            }
            Some(Request::Provide(provision)) if self.barrier.is_none() => {
                (self.config.provide)(&provision)?;
                self.send(Kind::Ended, stream, to_json(&Ended { code: Some(0), ..Ended::default() }));
                return Ok(());
            }
            Some(Request::Denied(notices)) if self.barrier.is_none() => {
                denied::write(&self.config.denied, &notices).map_err(|error| error.to_string())?;
                self.send(Kind::Ended, stream, to_json(&Ended { code: Some(0), ..Ended::default() }));
                return Ok(());
            }
            Some(request) => return self.pass_barrier(stream, request),
            None => return Err("this version of rave-guest does not understand the request".into()),
        };
        let cgroup = self.cgroups.as_mut().and_then(Cgroups::make);
        let job = start::start(&self.config, exec, cgroup)?;
        self.jobs.insert(stream, job);
        // Report the start at once, because the program may be silent for long.
        self.send(Kind::InputCredit, stream, 0_u32.to_le_bytes().to_vec());
        Ok(())
    }

    /// Stops everything except this server, so that the machine can be saved and resumed twice.
    fn hold(&mut self, stream: u32) -> Result<(), String> {
        let Some(mut barrier) = self.later.take() else { return Err("this guest cannot be held".into()) };
        if let Err(why) = barrier.hold() {
            // Resume what was already stopped.
            let _ = barrier.open();
            self.later = Some(barrier);
            return Err(why);
        }
        self.barrier = Some(barrier);
        self.send(Kind::Ended, stream, to_json(&Ended { code: Some(0), ..Ended::default() }));
        Ok(())
    }

    /// Handles the requests that are valid without an identity.
    fn pass_barrier(&mut self, stream: u32, request: Request) -> Result<(), String> {
        let Some(barrier) = &mut self.barrier else { return Err(HAS_IDENTITY.into()) };
        match request {
            Request::Hold => barrier.hold()?,
            Request::Renew(identity) => {
                let receipt = barrier.renew(&identity)?;
                self.send(Kind::Answer, stream, to_json(&receipt));
            }
            Request::Open => {
                barrier.open()?;
                let opened = self.barrier.take();
                self.later = self.later.take().or(opened);
            }
            Request::Exec(_) | Request::Clock { .. } | Request::Provide(_) | Request::Denied(_) => {
                return Err("this machine has no identity yet".into());
            }
        }
        self.done(stream);
        Ok(())
    }

    fn set_clock(&mut self, stream: u32, time_ms: u64) -> Result<(), String> {
        let clock = self.clock.as_mut().ok_or("the host may not set this machine's clock")?;
        let set = clock.set(time_ms)?;
        self.send(Kind::Answer, stream, to_json(&set));
        self.done(stream);
        Ok(())
    }

    /// A request that runs no program was completed.
    fn done(&mut self, stream: u32) {
        self.send(Kind::Ended, stream, to_json(&Ended { code: Some(0), ..Ended::default() }));
    }

    fn serve_job(&mut self, stream: u32, source: Source, buffer: &mut [u8]) {
        let Some(job) = self.jobs.get_mut(&stream) else { return };
        match source {
            Source::Input => {
                let taken = job.feed();
                if taken > 0 {
                    self.send(Kind::InputCredit, stream, taken.to_le_bytes().to_vec());
                }
            }
            Source::Output(kind) => {
                if let Some(count) = job.read(kind, buffer) {
                    self.send(kind, stream, buffer[..count].to_vec());
                }
            }
            Source::End => job.check_for_end(),
        }
    }

    /// Ends programs that have timed out, and reports those that are finished.
    fn check_jobs(&mut self) {
        let now = Instant::now();
        let mut over = Vec::new();
        for (stream, job) in &mut self.jobs {
            job.check_timeouts(now);
            if job.is_over(now) {
                over.push(*stream);
            }
        }
        for stream in over {
            if let Some(mut job) = self.jobs.remove(&stream) {
                let ended = job.ended();
                drop(job);
                self.send(Kind::Ended, stream, to_json(&ended));
            }
        }
        if let Some(cgroups) = &mut self.cgroups {
            cgroups.sweep();
        }
    }

    fn kill(&mut self, stream: u32) {
        if let Some(mut job) = self.jobs.remove(&stream) {
            job.kill();
            self.dying.push(job);
        }
    }

    fn reap(&mut self) {
        self.dying.retain_mut(|job| {
            job.check_for_end();
            !job.has_ended()
        });
    }

    fn send(&mut self, kind: Kind, stream: u32, payload: Vec<u8>) {
        if let Some(nonce) = self.nonce {
            Frame::new(kind, stream, nonce, payload).write_to(&mut self.out);
        }
    }

    fn flush(&mut self, port: BorrowedFd<'_>) -> io::Result<()> {
        let mut done = 0;
        while done < self.out.len() {
            match rustix::io::write(port, &self.out[done..]) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                // The next read reports that the host has disconnected.
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NODEV) => {
                    done = self.out.len();
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.out.drain(..done);
        Ok(())
    }
}

/// The result of a wait.
struct Ready {
    port: bool,
    jobs: Vec<(u32, Source)>,
}
