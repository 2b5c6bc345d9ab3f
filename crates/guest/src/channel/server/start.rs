//! Starts a program with its streams.
#![expect(
    clippy::disallowed_types,
    reason = "rave-process ties children to a CLI on the host; here the server does that"
)]

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::tcsetwinsize;

use super::cgroup::Cgroup;
use super::config::Config;
use super::job::{Job, Streams, window_size};
use crate::channel::message::{Exec, Terminal};
use crate::channel::session::{SUBCOMMAND, Session, overriding};
use crate::channel::user::User;

/// The initial search path of a login shell; that of login.defs(5) on Debian, including root's folders.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn start(config: &Config, exec: Exec, cgroup: Option<Cgroup>) -> Result<Job, String> {
    let name = exec.user.as_deref().unwrap_or(&config.user);
    let user = User::find(name).ok_or_else(|| format!("there is no user {name:?} in /etc/passwd"))?;
    check(&exec)?;
    // Relative to the home, as for a login.
    let workdir = exec.workdir.as_ref().map(|workdir| match workdir.as_str() {
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("{}/{relative}", user.home),
    });
    // An interactive shell gets the variables as ssh would give them: its profile comes last.
    let own = if exec.command.is_empty() { &[] } else { exec.env.as_slice() };
    let (shadows, variables) = overriding(&user, own);
    let session = Session {
        cgroup: cgroup.as_ref().map(|cgroup| cgroup.path().to_string_lossy().into_owned()),
        has_terminal: exec.terminal.is_some(),
        workdir,
        variables,
        command: exec.command,
        user,
    };
    let mut command = Command::new(&config.program);
    command.arg(SUBCOMMAND).args(session.to_arguments()).env_clear();
    command.envs(environment(&session.user, exec.terminal.as_ref())).envs(exec.env).envs(shadows);
    let started = match &exec.terminal {
        Some(terminal) => on_terminal(command, terminal),
        None => on_pipes(command),
    };
    let (child, streams) = started.map_err(|error| format!("cannot start the program: {error}"))?;
    Job::new(child, streams, cgroup, exec.timeout_ms)
        .map_err(|error| format!("cannot watch the program: {error}"))
}

/// Refuses what the kernel would refuse with a less helpful error.
fn check(exec: &Exec) -> Result<(), String> {
    let has_nul = |text: &String| text.contains('\0');
    if exec.command.iter().any(has_nul) || exec.workdir.as_ref().is_some_and(has_nul) {
        return Err("an argument has a NUL byte".into());
    }
    let bad = |(name, value): &&(String, String)| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    match exec.env.iter().find(bad) {
        Some((name, _)) => Err(format!("{name:?} cannot be set as a variable")),
        None => Ok(()),
    }
}

/// The variables that login(1) sets.
fn environment(user: &User, terminal: Option<&Terminal>) -> Vec<(String, String)> {
    let mut variables = vec![
        ("HOME".to_owned(), user.home.clone()),
        ("USER".to_owned(), user.name.clone()),
        ("LOGNAME".to_owned(), user.name.clone()),
        ("SHELL".to_owned(), user.shell.clone()),
        // NixOS has its programs elsewhere, and the server's own PATH leads there.
        ("PATH".to_owned(), std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned())),
    ];
    if let Ok(language) = std::env::var("LANG") {
        variables.push(("LANG".to_owned(), language));
    }
    let runtime = format!("/run/user/{}", user.uid);
    if std::path::Path::new(&runtime).is_dir() {
        variables.push(("XDG_RUNTIME_DIR".to_owned(), runtime));
    }
    if let Some(terminal) = terminal {
        variables.push(("TERM".to_owned(), terminal.kind.clone()));
    }
    variables
}

type Started = (std::process::Child, Streams);

fn on_pipes(mut command: Command) -> std::io::Result<Started> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let streams = Streams {
        input: child.stdin.take().map(OwnedFd::from),
        output: child.stdout.take().map(OwnedFd::from),
        errors: child.stderr.take().map(OwnedFd::from),
        is_terminal: false,
    };
    for fd in [&streams.input, &streams.output, &streams.errors].into_iter().flatten() {
        do_not_block(fd)?;
    }
    Ok((child, streams))
}

fn on_terminal(mut command: Command, terminal: &Terminal) -> std::io::Result<Started> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    tcsetwinsize(&ours, window_size(terminal.rows, terminal.columns))?;
    let duplicate = || theirs.try_clone().map(Stdio::from);
    let child = command.stdin(duplicate()?).stdout(duplicate()?).stderr(duplicate()?).spawn()?;
    do_not_block(&ours)?;
    let input = ours.try_clone()?;
    Ok((child, Streams { input: Some(input), output: Some(ours), errors: None, is_terminal: true }))
}

fn do_not_block(fd: &OwnedFd) -> std::io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    Ok(fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}
