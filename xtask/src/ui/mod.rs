//! The only code that prints. stdout is data, stderr is talk.

mod table;

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::cli::Global;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Where commands say things. Chosen once from the flags, the environment and the streams.
#[derive(Debug)]
pub(crate) struct Ui {
    color: ColorChoice,
    quiet: bool,
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        let color = match global.color {
            clap::ColorChoice::Always => ColorChoice::Always,
            clap::ColorChoice::Never => ColorChoice::Never,
            clap::ColorChoice::Auto => ColorChoice::Auto,
        };
        Self { color, quiet: global.quiet }
    }

    /// Data for stdout; a newline is added where the text has none.
    /// A reader that has gone away (`| head`) wants no more and is no error.
    pub(crate) fn data(&self, text: &str) {
        let mut out = AutoStream::new(io::stdout().lock(), self.color);
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        let _ = write!(out, "{text}{newline}").and_then(|()| out.flush());
    }

    /// A table for stdout.
    pub(crate) fn table(&self, headers: &[&str], rows: &[Vec<String>]) {
        self.data(&table::render(headers, rows));
    }

    /// A line of talk; silent under `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.talk(text);
        }
    }

    /// Something that may hurt later.
    pub(crate) fn warn(&self, text: &str) {
        self.talk(&format!("{WARNING}warning:{WARNING:#} {text}"));
    }

    /// The one error that ends the process, as `exit::lines_of` gives it.
    pub(crate) fn error(&self, lines: &[String]) {
        for line in lines {
            match line.split_once(": ") {
                Some((head @ ("error" | "remedy"), rest)) => {
                    self.talk(&format!("{ERROR}{head}:{ERROR:#} {rest}"));
                }
                _ => self.talk(line),
            }
        }
    }

    fn talk(&self, line: &str) {
        let mut err = AutoStream::new(io::stderr().lock(), self.color);
        let _ = writeln!(err, "{line}"); // nobody is left to be told
    }
}
