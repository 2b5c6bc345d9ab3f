//! `cargo xtask ssh-config`: stanzas of `ssh_config(5)`, with which `ssh NAME.rave`, editors, rsync and git reach
//! sandboxes. They contain no port: `ssh-proxy` finds it at each connection, so they stay valid until the sandbox is
//! removed.

use std::fs;
use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_process::{Cmd, shell_quote};
use rave_sandbox::Store;
use rave_vm::keys::KeyPair;
use rave_vm::ssh::{Stanza, quote};

use super::ssh::alias;
use crate::cli;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::program::this_program;
use crate::settings;
use crate::ui::Ui;

const HEAD: &str = "# Written by rave for its sandboxes; changes are lost.\n";

pub(super) fn run(args: &cli::SshConfig, ui: &Ui) -> anyhow::Result<Code> {
    let store = Store::new(&settings::state_dir()?);
    if !args.install && !args.remove {
        ui.data(text(&store)?.trim_end());
        return Ok(Code::Ok);
    }
    let config = user_config()?;
    let line = format!("Include {}", quote(&file(&store)));
    let before = match fs::read_to_string(&config) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unusable("read", &config, &error).into()),
    };
    let after = if args.install { with_line(&before, &line) } else { without_line(&before, &line) };
    if args.install {
        make(&store)?;
        report_sent(ui);
    }
    if after == before {
        ui.note(&format!("{config} is already up to date"));
        return Ok(Code::Ok);
    }
    replace(&config, &after).map_err(|error| unusable("write", &config, &error))?;
    let verb = if args.install { "includes" } else { "no longer includes" };
    ui.note(&format!("{config} {verb} {}", file(&store)));
    Ok(Code::Ok)
}

/// Warns about variables that the user's own configuration sends to sandboxes: ssh(1) adds later `SendEnv` lines, so a
/// stanza cannot take them back.
fn report_sent(ui: &Ui) {
    // Any name: what is of interest is what is sent to all hosts.
    let Ok(printed) = Cmd::new("ssh").args(["-G", "rave.rave"]).output() else { return };
    let text = printed.text();
    let sent = sent(&text);
    if !sent.is_empty() {
        ui.warn(&format!(
            "your ssh configuration sends {} to every host, and to sandboxes too: move it below `Host * !*.rave`",
            sent.join(", ")
        ));
    }
}

/// The variables that are sent according to `ssh -G`, without those of the language, which Debian's configuration
/// sends.
fn sent(printed: &str) -> Vec<&str> {
    let lines = printed.lines().filter_map(|line| line.split_once(' '));
    let names = lines.filter_map(|(key, value)| match key {
        "sendenv" => Some(value),
        "setenv" => value.split('=').next(),
        _ => None,
    });
    names
        .filter(|name| !matches!(*name, "LANG" | "COLORTERM" | "NO_COLOR") && !name.starts_with("LC_"))
        .collect()
}

/// Updates the file, if it exists.
pub(super) fn write(store: &Store) -> anyhow::Result<()> {
    if file(store).exists() { make(store) } else { Ok(()) }
}

fn make(store: &Store) -> anyhow::Result<()> {
    let file = file(store);
    let text = text(store)?;
    let write = || {
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        Replace::new(&file).mode(0o600).write(&text)
    };
    write().map_err(|error| unusable("write", &file, &error).into())
}

fn unusable(action: &str, path: &Utf8Path, error: &std::io::Error) -> CommandError {
    CommandError::host_not_ready(format!("could not {action} {path}: {error}"))
}

fn file(store: &Store) -> Utf8PathBuf {
    store.root().with_file_name("ssh_config")
}

fn text(store: &Store) -> anyhow::Result<String> {
    let program = this_program()?;
    let state = settings::state_dir()?;
    let mut text = HEAD.to_owned();
    for name in store.names()? {
        // A sandbox with an unreadable record or key cannot be logged into.
        let Ok(record) = store.get(&name) else { continue };
        let place = store.place(&name);
        let Ok(key) = KeyPair::read(place.folder()) else { continue };
        let proxy =
            [program.as_str(), "ssh-proxy", name.as_str(), "--state", state.as_str()].map(shell_quote);
        let stanza = Stanza {
            alias: &alias(&name),
            user: &record.user,
            proxy: &proxy.join(" "),
            key: &key.private,
            known_hosts: &place.known_hosts(),
        };
        text.push('\n');
        text += &stanza.to_string();
    }
    Ok(text)
}

/// `~/.ssh/config`, or the target of that link.
fn user_config() -> anyhow::Result<Utf8PathBuf> {
    let home = std::env::var("HOME").ok().filter(|home| !home.is_empty());
    let home = home.ok_or_else(|| CommandError::host_not_ready("HOME is not set"))?;
    let config = Utf8PathBuf::from(home).join(".ssh/config");
    Ok(config.canonicalize_utf8().unwrap_or(config))
}

/// The line comes first, where no `Host` line limits it.
fn with_line(text: &str, line: &str) -> String {
    if text.lines().any(|other| other.trim() == line) { text.to_owned() } else { format!("{line}\n{text}") }
}

fn without_line(text: &str, line: &str) -> String {
    text.split_inclusive('\n').filter(|other| other.trim() != line).collect()
}

fn replace(config: &Utf8Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    if let Some(folder) = config.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mode = fs::metadata(config).map_or(0o600, |about| about.permissions().mode() & 0o777);
    Replace::new(config).mode(mode).write(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_users_configuration_are_named() {
        let printed =
            "host rave.rave\nsendenv LANG\nsendenv LC_*\nsendenv GH_*\nsetenv TOKEN=a=b\nforwardagent no\n";
        assert_eq!(sent(printed), ["GH_*", "TOKEN"]);
        assert!(sent("sendenv LANG\n").is_empty());
    }

    #[test]
    fn the_include_line_is_first_unique_and_removed_alone() {
        let before = "Host a\n  User b";
        let line = "Include \"/x y/ssh_config\"";
        let with = with_line(before, line);
        assert_eq!(with, "Include \"/x y/ssh_config\"\nHost a\n  User b");
        assert_eq!(with_line(&with, line), with);
        assert_eq!(without_line(&with, line), before);
        assert_eq!(without_line(before, line), before);
    }
}
