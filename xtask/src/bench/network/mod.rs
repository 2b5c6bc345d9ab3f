//! The network of sandboxes without QEMU, with generated frames, compared with a plain relay on loopback.

mod guest;
mod relay;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_net::{BadRule, Mode, Network, NoRecord, Outbound, Policy, Rule, Settings, Trust};

use crate::bench::{Report, Unit, mebibytes};
use guest::Guest;
use rave::ui::Ui;

/// Bytes of one flow, and the buffer of the guest's connection.
const FLOW: usize = 128 << 20;
const BUFFER: usize = 256 * 1024;
/// Connections of one measurement, and how many are open at once.
const CONNECTIONS: usize = 2000;
const AT_ONCE: usize = 16;
/// Number of round trips of one byte.
const ROUND_TRIPS: usize = 3000;
/// Links that share the host, and for how long.
const LINKS: usize = 20;
const SHARED: Duration = Duration::from_secs(3);

/// A flow of at least 1 Gbit/s: seconds for 1 Gbit.
const FLOW_TARGET: f64 = 1.0;
/// At least 5,000 connections a second: seconds for that many.
const CONNECTIONS_TARGET: f64 = 1.0;
/// Added latency at the 99th percentile of round trips, milliseconds.
const ADDED_TARGET: f64 = 1.0;
/// Ratio of the fastest link to the slowest: a fairness of 0.7.
const FAIR_TARGET: f64 = 1.0 / 0.7;
/// Memory of the links, without the process itself, MiB.
const MEMORY_TARGET: f64 = 25.0;

/// A network and its guest.
struct Site {
    guest: Guest,
    _network: Network,
}

impl Site {
    fn new(folder: &Utf8Path, number: usize, ports: &[u16]) -> anyhow::Result<Self> {
        let socket = folder.join(format!("net-{number}.sock"));
        let listener = UnixListener::bind(&socket)?;
        let rules: Result<Vec<Rule>, BadRule> =
            ports.iter().map(|port| format!("127.0.0.1:{port}/tcp,private").parse()).collect();
        let policy = Policy { mode: Mode::Restricted, allow: rules?, ..Policy::default() };
        let settings = Settings {
            socket,
            policy,
            forwards: Vec::new(),
            journal: None,
            authority: None,
            trust: Trust::OfHost,
            model: None,
            secrets: Vec::new(),
            witness: Arc::new(NoRecord),
            outbound: Outbound::of_this_process(),
        };
        let network = Network::start(settings)?;
        Ok(Self { guest: Guest::accept(&listener)?, _network: network })
    }
}

/// Adds the rows.
pub(crate) fn measure(report: &mut Report, ui: &Ui) -> anyhow::Result<()> {
    ui.note("bench: the network without QEMU, beside a plain relay");
    // Short: the kernel takes at most 107 bytes of a socket's path.
    let scratch = tempfile::Builder::new().prefix("rave-net-").tempdir()?;
    let folder = Utf8PathBuf::try_from(scratch.path().to_owned())?;
    let ports = [relay::source()?, relay::greeter()?, relay::echo()?];
    let relays = [relay::relay(ports[0])?, relay::relay(ports[1])?, relay::relay(ports[2])?];
    let before = resident()?;
    let mut site = Site::new(&folder, 0, &ports)?;
    let mut rows = Rows::default();
    for _ in 0..report.runs {
        rows.flow.push(site.flow(ports[0])?.as_secs_f64());
        rows.flow_floor.push(plain_flow(relays[0])?.as_secs_f64());
        rows.connections.push(site.connections(ports[1])?.as_secs_f64());
        rows.connections_floor.push(plain_connections(relays[1])?.as_secs_f64());
        let (ours, floor) = (site.p99(ports[2])?, plain_p99(relays[2])?);
        rows.p99.push(ours);
        rows.p99_floor.push(floor);
        rows.added.push(ours - floor);
    }
    let memory = mebibytes(resident()?.saturating_sub(before));
    drop(site);
    rows.add(report);
    report.add_with_target(
        "network: memory of one link and its guest",
        Unit::Mebibytes,
        &[memory],
        MEMORY_TARGET,
    );
    let shares = shares(&folder, ports[0])?;
    let (least, most) =
        shares.iter().fold((f64::MAX, 0.0_f64), |(least, most), share| (least.min(*share), most.max(*share)));
    let what = format!("network: the fastest of {LINKS} links beside the slowest");
    report.add_with_target(&what, Unit::Times, &[most / least.max(1.0)], FAIR_TARGET);
    Ok(())
}

#[derive(Default)]
struct Rows {
    flow: Vec<f64>,
    flow_floor: Vec<f64>,
    connections: Vec<f64>,
    connections_floor: Vec<f64>,
    p99: Vec<f64>,
    p99_floor: Vec<f64>,
    added: Vec<f64>,
}

impl Rows {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn add(&self, report: &mut Report) {
        let per = |values: &[f64], factor: f64| values.iter().map(|value| value * factor).collect::<Vec<_>>();
        let (gigabit, five_thousand) = (125e6 / FLOW as f64, 5000.0 / CONNECTIONS as f64);
        let flow = per(&self.flow, gigabit);
        report.add_beside(
            "network: 1 Gbit in one flow",
            Unit::Seconds,
            &flow,
            &per(&self.flow_floor, gigabit),
            None,
        );
        report.add_with_target("network: the same, alone", Unit::Seconds, &flow, FLOW_TARGET);
        let connections = per(&self.connections, five_thousand);
        let floor = per(&self.connections_floor, five_thousand);
        report.add_beside("network: 5,000 connections", Unit::Seconds, &connections, &floor, None);
        report.add_with_target("network: the same, alone", Unit::Seconds, &connections, CONNECTIONS_TARGET);
        report.add_beside(
            "network: 99th percentile of round trips",
            Unit::Milliseconds,
            &self.p99,
            &self.p99_floor,
            None,
        );
        report.add_with_target("network: what is added to it", Unit::Milliseconds, &self.added, ADDED_TARGET);
    }
}

impl Site {
    fn flow(&mut self, port: u16) -> anyhow::Result<Duration> {
        let handle = self.guest.open(port, BUFFER)?;
        let began = Instant::now();
        self.guest.read(handle, FLOW, None)?;
        let elapsed = began.elapsed();
        self.guest.drop_connection(handle)?;
        Ok(elapsed)
    }

    fn connections(&mut self, port: u16) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.guest.connect_all(port, CONNECTIONS, AT_ONCE)?;
        Ok(began.elapsed())
    }

    fn p99(&mut self, port: u16) -> anyhow::Result<f64> {
        let handle = self.guest.open(port, BUFFER)?;
        let trips: anyhow::Result<Vec<Duration>> =
            (0..ROUND_TRIPS).map(|_| self.guest.round_trip(handle)).collect();
        self.guest.drop_connection(handle)?;
        Ok(p99(trips?))
    }
}

/// The 99th percentile, milliseconds.
fn p99(mut trips: Vec<Duration>) -> f64 {
    trips.sort_unstable();
    trips.get(trips.len() * 99 / 100).map_or(f64::NAN, |trip| trip.as_secs_f64() * 1000.0)
}

fn plain(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn plain_flow(port: u16) -> anyhow::Result<Duration> {
    let mut stream = plain(port)?;
    let (mut buffer, mut came) = (vec![0; BUFFER], 0);
    let began = Instant::now();
    while came < FLOW {
        came += stream.read(&mut buffer)?;
    }
    Ok(began.elapsed())
}

fn plain_connections(port: u16) -> anyhow::Result<Duration> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(move || plain_some(port))).collect();
        threads.into_iter().try_for_each(joined)
    })?;
    Ok(began.elapsed())
}

fn plain_some(port: u16) -> anyhow::Result<()> {
    for _ in 0..CONNECTIONS / AT_ONCE {
        plain(port)?.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn plain_p99(port: u16) -> anyhow::Result<f64> {
    let mut stream = plain(port)?;
    let trip = |_| -> std::io::Result<Duration> {
        let began = Instant::now();
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        Ok(began.elapsed())
    };
    Ok(p99((0..ROUND_TRIPS).map(trip).collect::<Result<_, _>>()?))
}

/// The throughput of each of several parallel links, bytes.
fn shares(folder: &Utf8Path, port: u16) -> anyhow::Result<Vec<f64>> {
    let sites: anyhow::Result<Vec<Site>> =
        (1..=LINKS).map(|number| Site::new(folder, number, &[port])).collect();
    let mut sites = sites?;
    let end = Instant::now() + SHARED;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            sites.iter_mut().map(|site| scope.spawn(move || share(site, port, end))).collect();
        threads.into_iter().map(joined).collect()
    })
}

#[expect(clippy::cast_precision_loss, reason = "bytes of some seconds")]
fn share(site: &mut Site, port: u16, end: Instant) -> anyhow::Result<f64> {
    let handle = site.guest.open(port, BUFFER)?;
    Ok(site.guest.read(handle, usize::MAX, Some(end))? as f64)
}

fn joined<T>(thread: ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread of the measurement panicked")))
}

/// Resident memory of this process, bytes (proc(5), `statm`).
fn resident() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
