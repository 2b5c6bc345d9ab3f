//! Attacks from inside a guest as root: a row for each attack of [`ATTACKS`].
//!
//! A row passes if an allowed attempt of the same kind works, and the attack has the expected outcome, gets it at once,
//! and is logged.

mod attack;
mod servers;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rave_net::Log;
use rave_process::progress::{Event, Sink, StageOutcome, Unit};
use rave_vm::ssh::Ssh;
use rave_vm::terminal_text::plain;

pub use attack::{ATTACKS, Attack};
pub use servers::Servers;

use crate::poll::{CheckError, Observation, ensure};
use crate::registry::SelectError;
use crate::report::{CheckResult, Outcome};

/// The group of the rows.
const GROUP: &str = "isolation";
/// The progress display's name for them.
const STAGE: &str = "attacks";
/// The program, as the guest runs it.
const PROBE: &str = include_str!("probe.py");
const PROBE_PATH: &str = "/run/rave-probe.py";
/// A line that does not occur in the program.
const END: &str = "RAVE-PROBE-END";
/// How long one attempt may take: the longest sends 100,000 frames from an emulated processor.
const LIMIT: Duration = Duration::from_secs(300);
/// How soon the first refusal must come on an otherwise idle host, milliseconds.
const AT_ONCE: f64 = 50.0;
/// How long the log may lag behind.
const LOG_LAG: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// The guest, its log, and how strict to be.
pub struct Target<'a> {
    /// SSH access to the guest.
    pub ssh: &'a Ssh,
    /// The denials so far, or why they are unknown.
    pub log: &'a dyn Fn() -> Result<Log, String>,
    /// Whether its network resolves the names of [`Servers::resolve`].
    pub has_names: bool,
    /// Whether the host is otherwise idle and does not emulate, so that the time of a refusal can be judged.
    pub is_quiet: bool,
}

/// The outcome of an attempt, as printed by `probe.py`.
#[derive(Debug, PartialEq)]
struct Attempt {
    verdict: String,
    milliseconds: f64,
    detail: String,
}

impl Attempt {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.lines().last()?.splitn(3, '\t');
        let (verdict, milliseconds) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        Some(Self {
            verdict,
            milliseconds,
            detail: plain(parts.next().unwrap_or_default()).trim().to_owned(),
        })
    }
}

/// The attacks in `only`, by their names or those of their rows, or all if it is empty; in their order.
pub fn select(only: &[String]) -> Result<Vec<&'static Attack>, SelectError> {
    let known = || ATTACKS.iter().map(|attack| attack.name);
    let mut names = BTreeSet::new();
    for wanted in only {
        let name = wanted.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('-')).unwrap_or(wanted);
        let unknown =
            || SelectError::Unknown { name: wanted.clone(), nearest: rave_spec::nearest(name, known()) };
        names.insert(known().find(|known| *known == name).ok_or_else(unknown)?);
    }
    Ok(ATTACKS.iter().filter(|attack| names.is_empty() || names.contains(attack.name)).collect())
}

/// Runs the attacks one after another; returns a row for each.
pub fn run(target: &Target<'_>, attacks: &[&Attack], servers: &Servers, sink: Sink<'_>) -> Vec<CheckResult> {
    let started = Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let uploaded = upload(target.ssh);
    let mut rows = Vec::new();
    for (number, attack) in (1_u64..).zip(attacks) {
        rows.push(row(attack, target, servers, uploaded.as_ref()));
        let (unit, total) = (Unit::Checks, Some(attacks.len() as u64));
        sink(Event::StageProgress { stage: STAGE, done: number, total, unit });
    }
    let outcome = StageOutcome::Built;
    sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome });
    rows
}

/// The rows for a guest that did not become ready.
pub fn not_run(attacks: &[&Attack], reason: &str) -> Vec<CheckResult> {
    attacks
        .iter()
        .map(|attack| result(attack, Outcome::NotRun(reason.to_owned()), Duration::ZERO, ""))
        .collect()
}

/// Copies the program into the guest's memory.
fn upload(ssh: &Ssh) -> Result<(), String> {
    let command = format!("sudo -n tee {PROBE_PATH} >/dev/null <<'{END}'\n{PROBE}{END}\n");
    match ssh.exec(&command, LIMIT) {
        Ok(output) if output.success() => Ok(()),
        Ok(output) => Err(format!("could not copy the program into the guest: {}", output.stderr.join("\n"))),
        Err(error) => Err(error.to_string()),
    }
}

fn row(
    attack: &Attack,
    target: &Target<'_>,
    servers: &Servers,
    uploaded: Result<&(), &String>,
) -> CheckResult {
    let started = Instant::now();
    let lacks = servers.lacks(attack).map(str::to_owned);
    let names = (attack.needs_names && !target.has_names)
        .then(|| "its names would be resolved by another process, which does not know them".to_owned());
    let mut seen = Observation::default();
    let outcome = match (uploaded, lacks.or(names)) {
        (Err(why), _) => Outcome::Error(why.clone()),
        (_, Some(why)) => Outcome::NotRun(why),
        (Ok(()), None) => match attempt(attack, target, servers, &mut seen) {
            Ok(()) => Outcome::Passed,
            Err(CheckError::Failed(why) | CheckError::Crashed(why)) => Outcome::Failed(why),
            Err(CheckError::CouldNotRun(why) | CheckError::NotYet(why)) => Outcome::Error(why),
            Err(CheckError::Interrupted) => Outcome::NotRun("interrupted".into()),
        },
    };
    result(attack, outcome, started.elapsed(), &seen.answer)
}

fn attempt(
    attack: &Attack,
    target: &Target<'_>,
    servers: &Servers,
    seen: &mut Observation,
) -> Result<(), CheckError> {
    let (control, expected) = attack.control;
    let control = try_it(target.ssh, &servers.arguments(control))?;
    ensure(control.verdict == expected, || {
        format!(
            "an allowed attempt does not work: {} instead of {expected} ({})",
            control.verdict, control.detail
        )
    })?;
    let logged_message = servers.logged(attack);
    let before = match &logged_message {
        Some(begins) => count(&read(target.log)?, begins),
        None => 0,
    };
    let tried = try_it(target.ssh, &servers.arguments(attack.tries))?;
    let logged_message = logged_message.map(|begins| logged(target.log, &begins, before)).transpose()?;
    let suffix = match &logged_message {
        Some(Some(message)) => format!("; logged: {message}"),
        Some(None) => "; not logged".into(),
        None => String::new(),
    };
    seen.note(format!("{} after {:.1} ms{suffix}", tried.verdict, tried.milliseconds));
    ensure(is_expected(&tried.verdict, attack.expect), || {
        format!("{} instead of {} ({})", tried.verdict, attack.expect.join(" or "), tried.detail)
    })?;
    ensure(logged_message != Some(None), || "it was refused, but not logged".into())?;
    let is_one = !matches!(attack.tries[0], "each" | "flood" | "slow" | "jumbo" | "arp" | "raw");
    let is_late = target.is_quiet && is_one && tried.verdict != "silent" && tried.milliseconds > AT_ONCE;
    ensure(!is_late, || format!("it was refused after {:.1} ms, not within {AT_ONCE}", tried.milliseconds))
}

fn try_it(ssh: &Ssh, arguments: &[String]) -> Result<Attempt, CheckError> {
    let quoted: Vec<String> = arguments.iter().map(|argument| rave_process::shell_quote(argument)).collect();
    let command = format!("sudo -n python3 {PROBE_PATH} {}", quoted.join(" "));
    let output = ssh.exec(&command, LIMIT)?;
    Attempt::parse(&output.text()).ok_or_else(|| {
        let message = plain(&output.stderr.join("\n")).trim().to_owned();
        CheckError::CouldNotRun(format!("the program in the guest failed ({}): {message}", output.status))
    })
}

/// Whether every target had one of these outcomes; `each` puts a `+` between different ones.
fn is_expected(verdict: &str, expect: &[&str]) -> bool {
    verdict.split('+').all(|verdict| expect.contains(&verdict))
}

fn read(log: &dyn Fn() -> Result<Log, String>) -> Result<Log, CheckError> {
    log().map_err(|why| CheckError::CouldNotRun(format!("cannot read the network's log: {why}")))
}

/// How often a destination with this prefix was denied.
fn count(log: &Log, begins: &str) -> u64 {
    log.denials.iter().filter(|denial| denial.to.starts_with(begins)).map(|denial| denial.count).sum()
}

/// The log's message about a destination with this prefix, once it was denied more often than before. Another thread
/// writes the log.
fn logged(
    log: &dyn Fn() -> Result<Log, String>,
    begins: &str,
    before: u64,
) -> Result<Option<String>, CheckError> {
    let deadline = Instant::now() + LOG_LAG;
    loop {
        let log = read(log)?;
        if count(&log, begins) > before {
            let denial = log.denials.iter().rev().find(|denial| denial.to.starts_with(begins));
            return Ok(denial.map(|denial| plain(&denial.message()).trim().to_owned()));
        }
        if Instant::now() >= deadline || rave_process::interrupt::pause(PAUSE).is_err() {
            return Ok(None);
        }
    }
}

fn result(attack: &Attack, outcome: Outcome, elapsed: Duration, last_answer: &str) -> CheckResult {
    CheckResult {
        name: format!("isolation-{}", attack.name),
        group: GROUP.into(),
        title: attack.title.into(),
        outcome,
        seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        attempts: 1,
        last_answer: last_answer.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_are_selected_by_name_or_row() {
        let chosen = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            select(&only).map(|attacks| attacks.iter().map(|attack| attack.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).unwrap().len(), ATTACKS.len());
        assert_eq!(chosen(&["udp", "isolation-icmp"]).unwrap(), ["udp", "icmp"]);
        let unknown = SelectError::Unknown { name: "isolation-icmq".into(), nearest: Some("icmp") };
        assert_eq!(chosen(&["isolation-icmq"]).unwrap_err(), unknown);
    }
    use rave_net::{Denial, Kind};

    fn log(to: &str, count: u64) -> Log {
        let (kind, rule) = (Kind::Connection, "mode restricted".into());
        let denial = Denial { first: 1, last: 1, count, kind, to: to.into(), rule, allow: None };
        Log { denials: vec![denial], ..Log::default() }
    }

    #[test]
    fn the_probes_output_is_parsed_and_escaped() {
        let attempt = Attempt::parse("noise\nrefused\t1.5\t\u{1b}[2Jwhy").unwrap();
        assert_eq!((attempt.verdict.as_str(), attempt.milliseconds), ("refused", 1.5));
        assert!(!attempt.detail.contains('\u{1b}'), "{attempt:?}");
        assert_eq!(Attempt::parse("Traceback"), None);
        assert_eq!(Attempt::parse(""), None);
    }

    #[test]
    fn an_earlier_denial_does_not_count() {
        let is = |begins, before| logged(&|| Ok(log("1.1.1.1:80", 3)), begins, before).unwrap().is_some();
        assert!(is("1.1.1.1:80", 2));
        assert!(!is("1.1.1.1:80", 3) && !is("1.1.1.2:80", 0));
    }

    #[test]
    fn an_unreadable_log_is_not_a_log_without_denials() {
        let result = logged(&|| Err("it is gone".into()), "1.1.1.1:80", 0);
        assert!(matches!(result, Err(CheckError::CouldNotRun(why)) if why.ends_with("it is gone")));
    }

    /// Runs the program on this host.
    fn probe(arguments: &[&str]) -> Attempt {
        let output = rave_process::Cmd::new("python3").args(["-c", PROBE]).args(arguments).output().unwrap();
        Attempt::parse(&output.text()).unwrap()
    }

    #[test]
    fn a_reached_target_is_not_hidden_by_blocked_ones() {
        if rave_process::find_program("python3").is_none() {
            rave_testing::skip!("this host has no python3");
        }
        let servers = Servers::start().unwrap();
        let open = format!("127.0.0.1:{}", servers.fill("{open}"));
        // A port without a listener: it has been closed.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = listener.local_addr().unwrap().to_string();
        drop(listener);
        let refused = ["refused"];
        assert!(is_expected(&probe(&["each", "tcp", &closed, &closed]).verdict, &refused));
        for targets in [[&closed, &open], [&open, &closed]] {
            let found = probe(&["each", "tcp", targets[0], targets[1]]);
            assert_eq!(found.verdict, "open+refused", "{found:?}");
            assert!(!is_expected(&found.verdict, &refused) && found.detail.contains(&open), "{found:?}");
        }
        assert!(is_expected("refused+unreachable", &["unreachable", "refused"]));
        // The control attempt for IPv6 works if it is allowed.
        let mapped = format!("::ffff:127.0.0.1:{}", servers.fill("{open}"));
        assert_eq!(probe(&["each", "tcp6", &mapped]).verdict, "open");
    }
}
