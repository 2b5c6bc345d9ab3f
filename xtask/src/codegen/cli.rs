//! `docs/cli.md`: the reference of every command, generated from clap's help texts. It is the only snapshot of them.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use rave::cli::HELP_WIDTH;

use super::Generated;
use crate::cli::Cli;

/// The generated file.
const PATH: &str = "docs/cli.md";

/// The text above the commands.
const HEAD: &str = "\
# Commands

This page is the reference of every command, option and exit code. `cargo xtask codegen` generates it; do not edit it.

Data goes to stdout, progress and messages to stderr. `cargo xtask COMMAND --help` prints the same help texts.
The program `rave` has the same commands, except `test`, `bench`, `ci`, `codegen` and `install`: see [configuration.md](configuration.md#rave-from-any-folder).

| exit code | meaning |
| --- | --- |
| 0 | ok |
| 1 | a check or test failed, or the guest did not come up |
| 2 | wrong usage, or an invalid `rave.toml` |
| 3 | the host is not ready |
| 4 | a build failed |
| 130 | interrupted |

`exec`, `ssh NAME COMMAND` and `run --exec` exit with the code of the command in the guest.
";

/// Renders the page.
pub(super) fn generate() -> Generated {
    let root = Cli::command().term_width(HELP_WIDTH);
    let mut text = HEAD.to_owned();
    add(&root, &["cargo xtask".to_owned()], &mut text);
    Generated { path: PATH.into(), text }
}

/// Adds the output of `--help` for the command with the path `names`, and then for its subcommands.
fn add(root: &clap::Command, names: &[String], text: &mut String) {
    let line = names.iter().cloned().chain(["--help".to_owned()]);
    let help = match root.clone().try_get_matches_from(line) {
        Err(help) => help.to_string(),
        Ok(_) => unreachable!("--help is an error to clap"),
    };
    // clap leaves spaces at the ends of lines.
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## `{}`\n\n```text\n{}\n```\n", names.join(" "), lines.join("\n"));
    let command = names
        .iter()
        .skip(1)
        .fold(root, |command, name| command.find_subcommand(name).expect("a command that was found before"));
    for own in command.get_subcommands().filter(|own| !own.is_hide_set()) {
        add(root, &[names, &[own.get_name().to_owned()]].concat(), text);
    }
}
