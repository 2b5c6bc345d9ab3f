//! Runs the probe's guest once.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_process::{Cmd, Status};

use super::boot_sector::{AVX2_WRONG, DISK_SIZE, EXIT_STATUS, EXPECTED, sector};
use super::{Accelerator, Engine, Progress};
use crate::Error;
use crate::qemu::Qemu;

/// One run of the guest.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) command: String,
    pub(super) outcome: GuestRun,
}

/// How the run ended.
#[derive(Debug)]
pub(super) enum GuestRun {
    Done { ms: u64, avx2_is_wrong: bool },
    Hung { after: Duration, reached: Progress },
    Died { status: Status, tail: Vec<String>, reached: Progress },
}

impl fmt::Display for GuestRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { ms, .. } => write!(f, "the guest ran in {ms} ms"),
            Self::Hung { after, reached } => {
                write!(f, "the guest did not finish within {} s: {reached}", after.as_secs_f64())
            }
            Self::Died { status, tail, reached } => {
                write!(f, "QEMU ended ({status}) before the guest was done: {reached}")?;
                tail.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
        }
    }
}

/// QEMU's arguments for the probe: the same machine type as for real guests, without graphics and network.
fn argv(engine: Engine, disk: &Utf8Path, serial: &Utf8Path) -> Vec<String> {
    let accel = match engine.accelerator() {
        Accelerator::Kvm => "kvm",
        Accelerator::Tcg => "tcg,thread=multi",
    };
    let escape = |path: &Utf8Path| path.as_str().replace(',', ",,");
    let disk = format!("driver=raw,node-name=disk,file.driver=file,file.filename={}", escape(disk));
    let serial = format!("file,id=serial,path={}", escape(serial));
    [
        ["-machine", "q35"],
        ["-m", "size=64M"],
        ["-accel", accel],
        ["-cpu", engine.cpu()],
        ["-display", "none"],
        ["-blockdev", &disk],
        ["-device", "virtio-blk-pci,drive=disk,bootindex=0"],
        ["-chardev", &serial],
        ["-serial", "chardev:serial"],
        ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
    ]
    .into_iter()
    .flatten()
    .chain(["-nodefaults", "-no-user-config", "-no-reboot"])
    .map(str::to_owned)
    .collect()
}

pub(super) fn run(qemu: &Qemu, engine: Engine, deadline: Duration) -> Result<Run, Error> {
    let scratch = tempfile::tempdir().map_err(|e| Error::io("create a folder in", "TMPDIR", e))?;
    let folder = Utf8Path::from_path(scratch.path()).ok_or(Error::TemporaryFolderName)?;
    let (disk, serial) = (folder.join("disk"), folder.join("serial"));
    write_disk(&disk, engine.accelerator()).map_err(|e| Error::io("write", &disk, e))?;
    let command = Cmd::new(qemu.program.as_std_path()).args(argv(engine, &disk, &serial));
    let started = Instant::now();
    let mut child = command.spawn().map_err(Error::process("starting QEMU for the accelerator's proof"))?;
    let ended =
        child.wait_timeout(deadline).map_err(Error::process("waiting for the accelerator's proof"))?;
    let elapsed = started.elapsed();
    let tail = child.tail();
    if ended.is_none() {
        child.kill().map_err(Error::process("ending the accelerator's proof"))?;
    }
    let seen = match fs::read(&serial) {
        Ok(seen) => seen,
        // A guest that finished had the file: someone removed it, and the accelerator is not to blame.
        Err(error) if ended == Some(Status::Code(EXIT_STATUS)) => {
            return Err(Error::io("read", &serial, error));
        }
        Err(_) => Vec::new(), // QEMU died before it made the file
    };
    let reached = Progress::of(&seen);
    let outcome = match ended {
        Some(status) if status == Status::Code(EXIT_STATUS) && seen.starts_with(EXPECTED) => GuestRun::Done {
            ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            avx2_is_wrong: seen[EXPECTED.len()..] == [AVX2_WRONG],
        },
        Some(status) => GuestRun::Died { status, tail, reached },
        None => GuestRun::Hung { after: deadline, reached },
    };
    Ok(Run { command: command.to_string(), outcome })
}

fn write_disk(path: &Utf8Path, accelerator: Accelerator) -> std::io::Result<()> {
    let file = File::create(path)?;
    file.set_len(DISK_SIZE)?;
    file.write_all_at(&sector(accelerator == Accelerator::Tcg), 0)
}
