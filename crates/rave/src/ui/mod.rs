//! The only code that prints. Data goes to stdout, messages go to stderr.

pub mod attached;
mod bars;
mod json;
mod pager;
mod plain;
mod secret;
mod table;
mod words;

use std::env;
use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use rave_process::progress::Event;

use crate::cli::Global;
use crate::program::Program;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const REMEDY: Style = AnsiColor::Cyan.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// The output of commands. Configured once from the flags, the environment and the streams.
#[derive(Debug)]
pub struct Ui {
    program: Program,
    color: ColorChoice,
    verbosity: Verbosity,
    progress: Progress,
    yes: bool,
}

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Stages and notes too.
    Normal,
    /// The output of the programs that are run, too.
    Verbose,
}

/// How stages are shown.
#[derive(Debug)]
enum Progress {
    /// A line when a stage starts and one when it ends.
    Plain(plain::Stages),
    /// A line for each running stage, redrawn continuously.
    Bars(bars::Bars),
}

impl Ui {
    /// Chooses the output for `program`.
    pub fn new(global: &Global, program: Program) -> Self {
        let color = match global.color {
            clap::ColorChoice::Always => ColorChoice::Always,
            clap::ColorChoice::Never => ColorChoice::Never,
            clap::ColorChoice::Auto => ColorChoice::Auto,
        };
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let can_redraw = io::stderr().is_terminal()
            && env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        let progress = if can_redraw && verbosity == Verbosity::Normal {
            Progress::Bars(bars::Bars::default())
        } else {
            Progress::Plain(plain::Stages::default())
        };
        let yes =
            global.yes || env::var_os("RAVE_YES").is_some_and(|value| !value.is_empty() && value != "0");
        Self { program, color, verbosity, progress, yes }
    }

    /// Data for stdout; a missing final newline is added. A closed pipe (`| head`) is not an error.
    pub fn data(&self, text: &str) {
        self.undisturbed(|| {
            let mut out = AutoStream::new(io::stdout().lock(), self.color);
            let newline = if text.ends_with('\n') { "" } else { "\n" };
            let _ = write!(out, "{text}{newline}").and_then(|()| out.flush());
        });
    }

    /// A value as JSON for stdout, without characters that a terminal interprets: some of its text may come from a
    /// guest.
    pub fn json(&self, value: &impl serde::Serialize) -> serde_json::Result<()> {
        self.data(&json::escaped(&serde_json::to_string_pretty(value)?));
        Ok(())
    }

    /// A table for stdout, at most `width` characters wide: its cells are wrapped.
    pub fn narrow_table(&self, headers: &[&str], rows: &[Vec<String>], width: usize) {
        self.data(&table::fit(headers, &self.renamed(rows), width));
    }

    /// A table for stdout.
    pub fn table(&self, headers: &[&str], rows: &[Vec<String>]) {
        self.data(&table::render(headers, &self.renamed(rows)));
    }

    /// Cells may contain commands to type.
    fn renamed(&self, rows: &[Vec<String>]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| self.program.rename_commands(cell)).collect()).collect()
    }

    /// Columns of the terminal that stdout is, if it is one.
    pub fn width(&self) -> Option<usize> {
        terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into())
    }

    /// A message; silent with `--quiet`.
    pub fn note(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.line(text);
        }
    }

    /// A warning.
    pub fn warn(&self, text: &str) {
        self.line(&format!("{WARNING}warning:{WARNING:#} {text}"));
    }

    /// The one error that ends the process, as `command_error::lines_of` gives it.
    pub fn error(&self, lines: &[String]) {
        if let Progress::Bars(bars) = &self.progress {
            bars.clear();
        }
        for line in lines {
            let shown = [("error:", ERROR), ("remedy:", REMEDY)].into_iter().find_map(|(head, style)| {
                line.strip_prefix(head).map(|rest| format!("{style}{head}{style:#}{rest}"))
            });
            self.line(shown.as_deref().unwrap_or(line));
        }
    }

    /// Asks a yes/no question on the terminal; end of input means no.
    pub fn ask(&self, question: &str) -> bool {
        self.undisturbed(|| {
            let mut err = AutoStream::new(io::stderr().lock(), self.color);
            let _ = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
            let mut answer = String::new();
            let read = io::stdin().read_line(&mut answer);
            read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
        })
    }

    /// Asks for one of `letters` on the terminal; `None` at the end of the input.
    pub fn ask_letter(&self, question: &str, letters: &str) -> Option<char> {
        loop {
            let answer = self.undisturbed(|| {
                let mut err = AutoStream::new(io::stderr().lock(), self.color);
                let _ = write!(err, "{question} ").and_then(|()| err.flush());
                let mut answer = String::new();
                io::stdin().read_line(&mut answer).ok().filter(|length| *length > 0).map(|_| answer)
            })?;
            let letter = answer.trim().chars().next().filter(|letter| letters.contains(*letter));
            if letter.is_some() {
                return letter;
            }
        }
    }

    /// Whether `--yes` was given, or `RAVE_YES`.
    pub fn assumes_yes(&self) -> bool {
        self.yes
    }

    /// Whether a question can be answered on a terminal.
    pub fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Data for stdout, through a pager if stdout is a terminal.
    pub fn page(&self, text: &str) {
        let is_shown = io::stdout().is_terminal() && self.undisturbed(|| pager::show(text, self.color));
        if !is_shown {
            self.data(text);
        }
    }

    /// Asks for a line without echo, always on the terminal, wherever the streams lead.
    pub fn ask_secret(&self, question: &str) -> io::Result<zeroize::Zeroizing<String>> {
        self.undisturbed(|| secret::ask(question))
    }

    /// The sink of the engines' events: `rave_process::progress::Sink` is a reference to this.
    pub fn sink(&self) -> impl Fn(Event<'_>) + Sync + '_ {
        move |event| self.event(event)
    }

    fn event(&self, event: Event<'_>) {
        match event {
            Event::Note { text } => return self.note(text),
            Event::Warning { text } => return self.warn(text),
            Event::StageOutput { stage, line } if self.verbosity == Verbosity::Verbose => {
                return self.line(&format!("  {stage} | {line}"));
            }
            _ => {}
        }
        let line = match &self.progress {
            Progress::Plain(stages) => stages.event(event),
            Progress::Bars(bars) => bars.event(event),
        };
        if let Some(line) = line {
            self.note(&line);
        }
    }

    fn line(&self, line: &str) {
        self.undisturbed(|| {
            let mut err = AutoStream::new(io::stderr().lock(), self.color);
            let _ = writeln!(err, "{}", self.program.rename_commands(line)); // nothing can be done about a closed stderr
        });
    }

    /// Runs `print` with the bars out of the way.
    fn undisturbed<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.progress {
            Progress::Plain(_) => print(),
            Progress::Bars(bars) => bars.suspend(print),
        }
    }
}
