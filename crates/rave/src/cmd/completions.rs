//! `completions`: scripts from the same types that parse the command line.
//!
//! `rave` is a program like any other. For `cargo xtask` shells complete the program `cargo`, so each script hooks into
//! that: where cargo has a completion of its own (bash, zsh, fish) it keeps working; elsewhere (elvish, PowerShell)
//! there is none to preserve.

use clap::Command;
use clap_complete::Shell;

use crate::cli;
use crate::exit::Code;
use crate::ui::Ui;

/// Runs the completion of `xtask` for `cargo xtask`, and whatever completed `cargo` before for the rest.
/// bash-completion loads cargo's own completion only on first use: this script loads it first (`_comp_load` since
/// 2.12).
const BASH: &str = r#"
{ _comp_load cargo || __load_completion cargo; } >/dev/null 2>&1
_rave_cargo_before=$(complete -p cargo 2>/dev/null | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
_rave_cargo() {
    if [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == xtask ]]; then
        COMP_WORDS=("${COMP_WORDS[@]:1}")
        COMP_CWORD=$((COMP_CWORD - 1))
        _xtask xtask "$2" "$3"
    elif [[ -n $_rave_cargo_before && $_rave_cargo_before != _rave_cargo ]]; then
        "$_rave_cargo_before" "$@"
    fi
}
complete -F _rave_cargo -o nosort -o bashdefault -o default cargo
"#;

/// fish completes the rest of the line as if it began with `xtask`.
const FISH: &str = r#"
complete -c cargo -n "__fish_seen_subcommand_from xtask" -f -a '(complete -C (string replace -r "^.*?cargo\s+xtask" xtask -- (commandline -cp)))'
"#;

/// Prints the script that completes `command`, the whole command line of the program that is running.
pub fn run(args: &cli::Completions, command: Command, ui: &Ui) -> Code {
    ui.data(&script(args.shell, command));
    Code::Ok
}

fn script(shell: Shell, command: Command) -> String {
    if command.get_name() == "rave" {
        return generate(shell, command, "rave");
    }
    let xtask = command.name("xtask").bin_name("xtask");
    match shell {
        Shell::Bash => generate(shell, xtask, "xtask") + BASH,
        Shell::Fish => generate(shell, xtask, "xtask") + FISH,
        // cargo's own `_cargo` calls a function of this name for the arguments of `cargo xtask`.
        Shell::Zsh => generate(shell, xtask.name("cargo-xtask"), "cargo-xtask"),
        _ => generate(shell, Command::new("cargo").subcommand(xtask), "cargo"),
    }
}

fn generate(shell: Shell, mut command: Command, name: &str) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;
    use rave_process::Cmd;

    fn xtask() -> Command {
        Cli::command().name("cargo xtask").bin_name("cargo xtask")
    }

    /// What bash offers for a line whose last word is being typed.
    fn bash_offers(words: &str) -> String {
        let ask = format!(
            "_own() {{ COMPREPLY=(from-cargo-itself); }}; complete -F _own cargo\n{}\n\
             COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))\n\
             _rave_cargo cargo \"${{COMP_WORDS[COMP_CWORD]}}\" \"\"; echo \"${{COMPREPLY[@]}}\"",
            script(Shell::Bash, xtask())
        );
        Cmd::new("bash").args(["--norc", "-s"]).stdin_bytes(ask.into_bytes()).output().unwrap().text()
    }

    #[test]
    fn bash_completes_cargo_xtask_and_leaves_other_words_to_cargo() {
        assert_eq!(bash_offers("cargo xtask sm"), "smoke");
        assert_eq!(bash_offers("cargo xtask image --for"), "--format");
        assert_eq!(bash_offers("cargo bui"), "from-cargo-itself");
    }

    #[test]
    fn every_shell_completes_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let for_xtask = script(shell, xtask());
            assert!(for_xtask.contains("smoke") && for_xtask.contains("cargo"), "{shell}");
            let for_rave = script(shell, Cli::command());
            assert!(for_rave.contains("smoke") && !for_rave.contains("_rave_cargo"), "{shell}");
        }
    }
}
