//! `push` and `exec`, compared with rsync and ssh to the same sandbox.

use std::fs;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::find_program;

use crate::bench::tool::Tool;
use crate::bench::{Report, Unit, peer, seconds};
use rave::ui::Ui;

const NAME: &str = "work";
/// A tenth of 1 GiB in 100,000 files, which would take most of an hour under software emulation.
const FOLDERS: u64 = 100;
const FILES: u64 = 100;
const BYTES: u64 = (1 << 30) / 100_000;
/// Ratio of the time of `push` to that of rsync.
const PUSH_TARGET: f64 = 2.0;
/// Ratio of `exec true` to ssh over an existing connection.
const EXEC_TARGET: f64 = 1.0;

/// Adds the rows. The files are below `place`.
pub(crate) fn measure(report: &mut Report, tool: &Tool<'_>, place: &Utf8Path, ui: &Ui) -> anyhow::Result<()> {
    let project = place.join("project");
    make(&project)?;
    ui.note("bench: exec and push, beside ssh and rsync");
    tool.up_with(NAME, &["--allow", "debian"])?;
    let ssh = Ssh::connect(tool, place)?;
    let (mut exec, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..report.runs {
        exec.push(tool.run(&["exec", NAME, "--", "true"])?);
        floor.push(peer::time(&ssh.command(), None)?);
    }
    let (exec, floor) = (seconds(&exec), seconds(&floor));
    report.add_beside(
        "sandbox: exec, beside ssh over an existing connection",
        Unit::Seconds,
        &exec,
        &floor,
        Some(EXEC_TARGET),
    );
    let push = tool.run(&["push", NAME, project.as_str()])?;
    match ssh.rsync(tool, &project)? {
        Some(rsync) => report.add_beside(
            "sandbox: push of 10,000 files with 102 MiB, beside rsync",
            Unit::Seconds,
            &seconds(&[push]),
            &seconds(&[rsync]),
            Some(PUSH_TARGET),
        ),
        None => report.notes.push("not run: rsync is not installed".into()),
    }
    ssh.end()?;
    tool.remove(NAME)
}

/// Files of incompressible bytes.
fn make(project: &Utf8Path) -> anyhow::Result<()> {
    let mut number = 1_u64;
    for folder in 0..FOLDERS {
        let folder = project.join(folder.to_string());
        fs::create_dir_all(&folder)?;
        for file in 0..FILES {
            let bytes = (0..BYTES / 8).flat_map(|_| {
                // xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
                number ^= number << 13;
                number ^= number >> 7;
                number ^= number << 17;
                number.to_le_bytes()
            });
            fs::write(folder.join(file.to_string()), bytes.collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// ssh(1) over one connection, as `ssh-config` configures it.
struct Ssh {
    config: Utf8PathBuf,
    control: Utf8PathBuf,
}

impl Ssh {
    fn connect(tool: &Tool<'_>, place: &Utf8Path) -> anyhow::Result<Self> {
        let this = Self { config: place.join("ssh_config"), control: place.join("ssh.sock") };
        fs::write(&this.config, tool.print(&["ssh-config"])?)?;
        peer::time(
            &this.words(&["-o", "ControlMaster=yes", "-o", "ControlPersist=yes", &host(), "true"]),
            None,
        )?;
        Ok(this)
    }

    fn words(&self, more: &[&str]) -> Vec<String> {
        let control = format!("ControlPath={}", self.control);
        let first = ["ssh", "-F", self.config.as_str(), "-o", &control];
        first.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    fn command(&self) -> Vec<String> {
        self.words(&[&host(), "true"])
    }

    /// The time of the same copy; nothing if this host has no rsync.
    fn rsync(&self, tool: &Tool<'_>, project: &Utf8Path) -> anyhow::Result<Option<Duration>> {
        if find_program("rsync").is_none() {
            return Ok(None);
        }
        let install = "sudo apt-get update -q && sudo apt-get install -q -y rsync";
        tool.run(&["exec", NAME, "--", "sh", "-c", install])?;
        let (from, to) = (format!("{project}/"), format!("{}:copy/", host()));
        let words = ["rsync", "-a", "-e", &self.words(&[]).join(" "), &from, &to];
        peer::time(&words, None).map(Some)
    }

    fn end(&self) -> anyhow::Result<()> {
        peer::time(&self.words(&["-O", "exit", &host()]), None).map(drop)
    }
}

fn host() -> String {
    format!("{NAME}.rave")
}
