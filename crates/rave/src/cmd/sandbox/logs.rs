//! `cargo xtask logs`: what a guest printed on its console, as plain text.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::interrupt;
use rave_sandbox::state::has_processes;
use rave_vm::terminal_text::plain;

use super::attend::Named;
use crate::cli;
use crate::exit::Code;
use crate::ui::Ui;

/// How often a followed log is read.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often it is read before the sandbox is checked again, which takes longer.
const READS: u32 = 5;
/// A line longer than this is printed in pieces, bytes.
const LINE: usize = 64 * 1024;

pub(super) fn run(args: &cli::Logs, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    named.store.get(&named.name)?;
    let place = named.place();
    let files = place.machine();
    let logs = if args.supervisor {
        vec![files.run_dir.join("qemu.log"), place.supervisor_log()]
    } else {
        // The previous part, if the log was rotated.
        vec![Utf8PathBuf::from(format!("{}.1", files.serial_log)), files.serial_log]
    };
    let mut last = None;
    for log in &logs {
        let mut tail = Tail::new(log);
        tail.print(ui)?;
        last = Some(tail);
    }
    let Some(mut tail) = last else { return Ok(Code::Ok) };
    if !args.follow {
        tail.rest(ui);
        return Ok(Code::Ok);
    }
    while has_processes(&place) {
        for _ in 0..READS {
            if interrupt::pause(POLL_INTERVAL).is_err() {
                return Ok(Code::Interrupted);
            }
            tail.print(ui)?;
        }
    }
    // The last lines of the machine that has just ended.
    tail.print(ui)?;
    tail.rest(ui);
    Ok(Code::Ok)
}

/// A growing log.
struct Tail {
    path: Utf8PathBuf,
    at: u64,
    /// The line that is not complete yet.
    line: Vec<u8>,
}

impl Tail {
    fn new(path: &Utf8Path) -> Self {
        Self { path: path.to_owned(), at: 0, line: Vec::new() }
    }

    /// Prints new complete lines.
    fn print(&mut self, ui: &Ui) -> anyhow::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // It was truncated because it was too long, or belongs to another start.
        if file.metadata()?.len() < self.at {
            self.at = 0;
            self.line.clear();
        }
        file.seek(SeekFrom::Start(self.at))?;
        let mut buffer = vec![0; LINE];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.at += count as u64;
            self.line.extend_from_slice(&buffer[..count]);
            let end = self.line.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1);
            let end = end.or_else(|| (self.line.len() > LINE).then_some(self.line.len()));
            if let Some(end) = end {
                let lines: Vec<u8> = self.line.drain(..end).collect();
                show(&lines, ui);
            }
        }
    }

    fn rest(&mut self, ui: &Ui) {
        show(&std::mem::take(&mut self.line), ui);
    }
}

fn show(bytes: &[u8], ui: &Ui) {
    let text = plain(&String::from_utf8_lossy(bytes));
    if !text.is_empty() {
        ui.data(&text);
    }
}
