//! `cargo xtask completions`: scripts from the same types that parse the command line.

use clap::CommandFactory;

use crate::cli::{self, Cli};
use crate::exit::Code;
use crate::ui::Ui;

pub(crate) fn run(args: &cli::Completions, ui: &Ui) -> Code {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "xtask", &mut script);
    ui.data(&String::from_utf8_lossy(&script));
    Code::Ok
}
