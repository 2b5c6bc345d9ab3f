//! The command line. It is too simple for a parser library, and the program must stay small.

use rave_guest::channel::relay::SUBCOMMAND as SSH_AGENT;
use rave_guest::channel::session::{SUBCOMMAND, Session};
use rave_guest::tree::serve::{SUBCOMMAND as TREE, Task};
use std::path::PathBuf;

/// The text of `--help`.
pub(crate) const HELP: &str = "\
usage: rave-guest COMMAND

  health           the state of every service, as JSON; exit code 1 when one is not ok
  health --serve   the same over HTTP, on the listening socket that is standard input
  tools            check that the pinned tools exist, and repair the links to them
  claude           install Claude Code as locked, as soon as the network allows
  setup            prepare the user's home and configuration
  ssh-keys         generate the SSH server's keys if they are missing; authorize the host's key
  ready            report each stage of this boot to the host
  channel          run programs for the host
  channel --barrier  the same in a template and its clones, which run nothing without an identity
  provide          trust the authority, and set the variables, that the host passed
  git-credential get  print the placeholder of the user's secret for a host, for git
  barrier          wait until a clone of a template has its own identity
  tree ...         send or receive files for the host, which is the only caller
  session ...      become a program of the channel, which is the only caller
  ssh-agent ...    offer the user's SSH agent to programs, for the host, which is the only caller
  install          install this system from the ISO to a disk
  install --answers FILE  the same without questions, with the answers in a file
  install --check  compare the medium with its digests
  unlock-router    remove a stale lock of Claude Code Router
  --version
  --help";

/// The command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    Health,
    HealthServe,
    Tools,
    Claude,
    Setup,
    SshKeys,
    Ready,
    Channel {
        /// Whether this boot is that of a template.
        at_barrier: bool,
    },
    Barrier,
    Provide,
    GitCredential {
        /// Whether git asks for a credential; otherwise it offers one, which is not stored.
        is_asked: bool,
    },
    Session(Box<Session>),
    Tree(Task),
    UnlockRouter,
    /// With the path of its socket.
    SshAgent(PathBuf),
    /// With the file of answers, if one is given.
    Install(Option<PathBuf>),
    CheckMedium,
}

/// Parses `args` (without the program's own name). Fails with a message.
pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, String> {
    let args: Vec<String> = args.collect();
    let arguments: Vec<&str> = args.iter().map(String::as_str).collect();
    Ok(match arguments.as_slice() {
        ["help" | "--help" | "-h"] => Command::Help,
        ["--version" | "-V"] => Command::Version,
        ["health"] => Command::Health,
        ["health", "--serve"] => Command::HealthServe,
        ["tools"] => Command::Tools,
        ["claude"] => Command::Claude,
        ["setup"] => Command::Setup,
        ["ssh-keys"] => Command::SshKeys,
        ["ready"] => Command::Ready,
        ["channel"] => Command::Channel { at_barrier: false },
        ["channel", "--barrier"] => Command::Channel { at_barrier: true },
        ["provide"] => Command::Provide,
        // Operations of other versions are ignored, as git requires (gitcredentials(7)).
        ["git-credential", operation] => Command::GitCredential { is_asked: *operation == "get" },
        ["barrier"] => Command::Barrier,
        [SUBCOMMAND, arguments @ ..] => {
            let session = Session::of_arguments(arguments).ok_or("session is only for the channel")?;
            Command::Session(Box::new(session))
        }
        [TREE, arguments @ ..] => {
            Command::Tree(Task::of_arguments(arguments).ok_or("tree is only for the host")?)
        }
        [SSH_AGENT, socket] => Command::SshAgent(socket.into()),
        ["unlock-router"] => Command::UnlockRouter,
        ["install"] => Command::Install(None),
        ["install", "--check"] => Command::CheckMedium,
        ["install", "--answers", file] => Command::Install(Some(file.into())),
        [] => return Err("a command is required".into()),
        arguments => return Err(format!("unknown arguments: {}", arguments.join(" "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_command_in_the_help_is_parsed() {
        for line in HELP.lines().skip(2).filter(|line| !line.contains("...")) {
            let command = line.trim().split("  ").next().unwrap();
            assert!(parse_line(command).is_ok(), "{command}");
        }
    }

    #[test]
    fn unknown_arguments_are_named() {
        assert_eq!(parse_line("health --loud"), Err("unknown arguments: health --loud".into()));
        assert_eq!(parse_line(""), Err("a command is required".into()));
    }
}
