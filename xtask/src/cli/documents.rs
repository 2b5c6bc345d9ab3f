//! The command lines in the documentation, parsed as a shell and clap would.

use camino::Utf8Path;
use clap::{CommandFactory as _, Parser as _};

use super::Cli;

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

fn read(file: &Utf8Path) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The words of a command line up to a comment or another command. Only `'` quotes are supported, as in the
/// documentation.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
            continue;
        }
        for word in part.split_whitespace() {
            if word.starts_with(['#', '|', '>', '&', ';']) || word == "..." {
                return words;
            }
            words.push(match word {
                "SHELL" => "bash".to_owned(),
                "COMMAND" => "image".to_owned(),
                // clap's notation in a usage of two lines.
                "<COMMAND>" => "--help".to_owned(),
                other => other.to_owned(),
            });
        }
    }
    words
}

/// Whether the words are exactly the name of a command or subcommand.
fn is_name(words: &[String]) -> bool {
    let mut at = Cli::command();
    for word in words {
        match at.find_subcommand(word) {
            Some(command) => at = command.clone(),
            None => return false,
        }
    }
    !words.is_empty()
}

/// Why the parser refuses the command that follows `cargo xtask` in `line`, if it does.
fn refusal(line: &str) -> Option<String> {
    let (_, command) = line.split_once("cargo xtask")?;
    let mut words = words(command);
    if is_name(&words) {
        // The name of a command alone is not a call, which may need arguments.
        words.push("--help".to_owned());
    }
    let error = Cli::try_parse_from([vec!["xtask".to_owned()], words].concat()).err()?;
    let is_help = !error.use_stderr();
    (!is_help).then(|| format!("{line}\n  {}", error.to_string().lines().next().unwrap_or_default()))
}

/// The command lines of a document, with line numbers: at the start of a line in a code block, and between backquotes.
fn command_lines(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_block = false;
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            let mut command = line.trim().trim_start_matches("$ ").to_owned();
            while command.ends_with('\\') {
                command.pop();
                command.push_str(lines.next().map_or("", |(_, next)| next.trim()));
            }
            if is_command(&command) {
                found.push((index + 1, command));
            }
        } else {
            let quoted = line.split('`').skip(1).step_by(2).map(|text| text.replace("\\|", "|"));
            let commands = quoted.filter(|text| is_command(text));
            found.extend(commands.map(|command| (index + 1, command)));
        }
    }
    found
}

/// Whether the line calls the tool: after variables, or as the last arguments of another program.
fn is_command(line: &str) -> bool {
    let Some((before, after)) = line.split_once("cargo xtask") else { return false };
    let is_whole = after.is_empty() || after.starts_with(' ');
    let of_command = |word: &str| word.contains('=') || word.contains('/') || word == "--";
    is_whole && !after.trim_start().starts_with(['`', '.']) && before.split_whitespace().all(of_command)
}

/// README.md, and every page below `docs`.
fn pages() -> Vec<camino::Utf8PathBuf> {
    let mut pages = vec!["README.md".into(), "CONTRIBUTING.md".into(), "ARCHITECTURE.md".into()];
    for folder in ["docs", "docs/adr"] {
        for entry in root().join(folder).read_dir_utf8().expect("a folder of pages") {
            let path = entry.expect("an entry").into_path();
            if path.extension() == Some("md") {
                pages.push(path.strip_prefix(root()).expect("below the root").to_owned());
            }
        }
    }
    pages
}

#[test]
fn every_command_line_of_the_old_readme_still_parses() {
    let text = read("xtask/tests/fixtures/readme-commands.txt".into());
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("cargo xtask")).collect();
    assert!(lines.len() > 80, "only {} lines", lines.len());
    let refused: Vec<String> = lines.into_iter().filter_map(refusal).collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn every_command_line_of_a_document_parses() {
    let mut refused = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for (number, line) in command_lines(&read(&page)) {
            seen += 1;
            refused.extend(refusal(&line).map(|why| format!("{page}:{number}: {why}")));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(seen > 60, "only {seen} command lines were found");
}

#[test]
fn the_readme_has_two_commands() {
    let text = read("README.md".into());
    for command in ["cargo xtask smoke --yes", "cargo xtask test --yes"] {
        assert!(text.lines().any(|line| line.starts_with(command)), "{command}");
    }
}

#[test]
fn a_command_line_that_clap_refuses_is_detected() {
    let text = "```sh\nRAVE_CPUS=4 cargo xtask run --shh   # typo\n```\nand `cargo xtask image --format \\\n`, `cargo xtask imgae`";
    let found = command_lines(text);
    let refused: Vec<_> = found.iter().filter_map(|(_, line)| refusal(line)).collect();
    assert_eq!(refused.len(), 2, "{found:?}: {refused:?}");
    assert!(refused[0].contains("--shh"), "{refused:?}");
    assert_eq!(words("image --exec 'a b' c # d"), ["image", "--exec", "a b", "c"]);
}
