//! What QEMU may do on this host ([`rave_fence`]): a guest that has taken over its QEMU has access to the files of its
//! own machine, and nothing else.
//!
//! A program of ours drops all other rights and then becomes QEMU, with the same process id, so that finding, watching
//! and killing QEMU work as without a fence.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fence::{Offer, Rules};
use rave_process::Cmd;

use crate::Error;
use crate::files::write_atomically;
use crate::machine::{Display, Fence, Firmware, Grants, Machine, Memory, Overlay};

/// The program that becomes QEMU, and what this host supports of the fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fencer {
    /// The program.
    pub program: Utf8PathBuf,
    /// Its arguments before the rules file, `--` and QEMU.
    pub arguments: Vec<String>,
    /// What this host supports.
    pub offer: Offer,
}

/// Where libraries, firmware and parts of QEMU are, in addition to QEMU's own installation. Users have no files of
/// their own there.
const INSTALLED: [&str; 6] = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/nix/store", "/gnu/store"];
/// What else it reads: firmware, the loader's cache of libraries, information about the host's processors and memory,
/// random numbers.
const READ: [&str; 5] =
    ["/usr/share", "/etc/ld.so.cache", "/sys/devices/system", "/dev/urandom", "/dev/random"];
/// Devices it uses.
const DEVICES: [&str; 2] = ["/dev/kvm", "/dev/null"];

/// The command that becomes `program`, the machine's QEMU, without QEMU's arguments. Creates the files that a fenced
/// QEMU cannot create.
pub(crate) fn command(machine: &Machine, program: &Utf8Path, fencer: Option<&Fencer>) -> Result<Cmd, Error> {
    let Fence::Closed(grants) = &machine.fence else { return Ok(Cmd::new(program.as_std_path())) };
    let bad = |why: &str| Error::BadMachine { name: machine.name.clone(), why: why.into() };
    if machine.display != Display::Headless {
        return Err(bad("screens do not work behind a fence"));
    }
    let fencer = fencer.ok_or_else(|| bad("no program was given that fences QEMU"))?;
    let rules = rules(machine, grants, program, &fencer.offer);
    make_missing(machine)?;
    let file = machine.files.run_dir.join("fence.json");
    let text = serde_json::to_vec_pretty(&rules).map_err(|e| Error::io("write", &file, e.into()))?;
    write_atomically(&file, &text, 0o600)?;
    Ok(Cmd::new(fencer.program.as_std_path()).args(fencer.arguments.iter().map(String::as_str)).args([
        file.as_str(),
        "--",
        program.as_str(),
    ]))
}

/// What the QEMU of this machine may do. Does not touch the system.
fn rules(machine: &Machine, grants: &Grants, program: &Utf8Path, offer: &Offer) -> Rules {
    let files = &machine.files;
    let paths = |paths: &[&str]| paths.iter().map(Utf8PathBuf::from).collect::<Vec<_>>();
    let mut rules = Rules::all_of(offer);
    rules.execute = paths(&INSTALLED);
    rules.execute.push(program.to_owned());
    rules.read = paths(&READ);
    // /usr/local, or another prefix that `make install` was given.
    if let Some(prefix) = program.parent().and_then(Utf8Path::parent) {
        rules.execute.push(prefix.join("lib"));
        rules.read.push(prefix.join("share/qemu"));
    }
    rules.write = paths(&DEVICES);
    rules.write.extend([files.serial_log.clone(), files.ready_log.clone()]);
    rules.sockets = vec![files.run_dir.clone()];
    rules.read.extend((0..machine.credentials.len()).map(|index| files.credential(index)));
    if let Firmware::Uefi { code, .. } = &machine.firmware {
        rules.read.push(code.clone());
        rules.write.push(files.uefi_vars());
    }
    disks(&mut rules, machine);
    if let Some(kernel) = &machine.kernel {
        rules.read.push(kernel.image.clone());
        rules.read.extend(kernel.initrd.clone());
    }
    match &machine.memory {
        Memory::Anonymous => {}
        Memory::File(file) => rules.write.push(file.clone()),
        Memory::CopyOf(file) | Memory::Resumed { file, .. } => rules.read.push(file.clone()),
    }
    rules.write.extend(grants.files.iter().cloned());
    rules
}

/// A disk may have backing files in the same folder.
fn disks(rules: &mut Rules, machine: &Machine) {
    if let Some(disk) = &machine.disk {
        rules.read.push(disk.path.clone());
        rules.read.extend(disk.path.parent().map(Utf8Path::to_owned));
        rules.write.push(match &machine.overlay {
            Overlay::Throwaway => machine.files.throwaway(),
            Overlay::Keep(kept) => kept.clone(),
            Overlay::None => disk.path.clone(),
        });
    }
    for disk in &machine.more_disks {
        let list = if disk.read_only { &mut rules.read } else { &mut rules.write };
        list.push(disk.path.clone());
    }
}

/// A fenced QEMU cannot create files, so the files it writes must exist beforehand.
fn make_missing(machine: &Machine) -> Result<(), Error> {
    let Fence::Closed(grants) = &machine.fence else { return Ok(()) };
    let memory = match &machine.memory {
        Memory::File(file) => Some(file),
        _ => None,
    };
    let logs = [&machine.files.serial_log, &machine.files.ready_log];
    for file in logs.into_iter().chain(memory).chain(&grants.files) {
        if fs::metadata(file).is_err() {
            let made = OpenOptions::new().create(true).append(true).mode(0o600).open(file);
            made.map_err(|e| Error::io("create", file, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Disk, DiskFormat, Interface, Link};
    use rave_fence::Given;

    fn machine() -> Machine {
        let disk = Disk::whole("/s/a/disk/template.qcow2", DiskFormat::Qcow2, Interface::Virtio);
        Machine {
            disk: Some(disk),
            overlay: Overlay::Keep("/s/a/disk/disk.qcow2".into()),
            memory: Memory::CopyOf("/s/a/disk/memory".into()),
            link: Link::Stream,
            ..Machine::new("a", Utf8Path::new("/s/a/run"))
        }
    }

    fn offer(network: Given) -> Offer {
        Offer { network, files: Given::Partly("a bit".into()), calls: Given::Whole }
    }

    #[test]
    fn only_the_overlay_of_a_clone_is_writable() {
        let rules = rules(&machine(), &Grants::default(), "/usr/bin/qemu".into(), &offer(Given::Whole));
        let below = |list: &[Utf8PathBuf]| -> Vec<String> {
            list.iter().filter(|path| path.starts_with("/s")).map(ToString::to_string).collect()
        };
        assert_eq!(
            below(&rules.write),
            ["/s/a/run/serial.log", "/s/a/run/ready.jsonl", "/s/a/disk/disk.qcow2"]
        );
        assert_eq!(below(&rules.read), ["/s/a/disk/template.qcow2", "/s/a/disk", "/s/a/disk/memory"]);
        assert_eq!(below(&rules.sockets), ["/s/a/run"]);
        assert!(below(&rules.execute).is_empty());
        assert!(rules.network && rules.files && rules.calls);
    }

    #[test]
    fn only_the_top_layer_of_a_disk_is_writable_and_nothing_of_a_moment() {
        let resumed = Machine {
            disk: Some(Disk::whole("/s/a/disk/disk-1.qcow2", DiskFormat::Qcow2, Interface::Virtio)),
            overlay: Overlay::Keep("/s/a/disk/disk-2.qcow2".into()),
            memory: Memory::Resumed { file: "/s/a/disk/memory".into(), has_generation: true },
            ..machine()
        };
        let rules = rules(&resumed, &Grants::default(), "/q".into(), &offer(Given::Whole));
        let disks = |list: &[Utf8PathBuf]| -> Vec<Utf8PathBuf> {
            list.iter().filter(|path| path.starts_with("/s/a/disk")).cloned().collect()
        };
        assert_eq!(disks(&rules.write), ["/s/a/disk/disk-2.qcow2"]);
        // The lower layers and the state of the devices are in the folder.
        assert_eq!(disks(&rules.read), ["/s/a/disk/disk-1.qcow2", "/s/a/disk", "/s/a/disk/memory"]);
        assert!(disks(&rules.sockets).is_empty());
    }

    #[test]
    fn unsupported_rules_are_omitted() {
        let lacks = offer(Given::No("no".into()));
        assert!(!rules(&machine(), &Grants::default(), "/q".into(), &lacks).network);
    }

    #[test]
    fn a_machine_is_not_started_without_its_required_fence() {
        let fenced = Machine { fence: Fence::Closed(Grants::default()), ..machine() };
        assert!(matches!(command(&fenced, "/q".into(), None), Err(Error::BadMachine { .. })));
        let screen = Machine { display: Display::Gtk, ..fenced };
        assert!(command(&screen, "/q".into(), None).unwrap_err().to_string().contains("screens"));
    }
}
