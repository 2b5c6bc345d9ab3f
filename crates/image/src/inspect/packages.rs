//! The facts about a package and its descriptors.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use super::facts::{MachineFacts, OvaFacts};
use super::remarks::Remarks;
use crate::foreign::Container;
use crate::formats::ova::{self, Member, Package};
use crate::formats::ovf::{Envelope, resource};
use crate::formats::vmx;

pub(super) fn facts(file: &mut File, package: &Package, remarks: &mut Remarks) -> OvaFacts {
    let mut machine = None;
    match &package.envelope {
        Some(Ok(envelope)) => machine = Some(envelope_facts(envelope)),
        Some(Err(error)) => remarks.problems.push(error.to_string()),
        None => remarks.problems.push("it contains no .ovf".into()),
    }
    let boot = package.boot_disk().map_err(|why| remarks.problems.push(why)).ok();
    if let Some(boot) = &boot {
        remarks
            .notes
            .extend(boot.left_out.iter().map(|name| format!("{name} is not inspected: it does not boot")));
    }
    let members = package.members.iter().map(|member| member.name.clone()).collect();
    OvaFacts {
        files: members,
        machine,
        digests_hold: digests(file, package, remarks),
        boot_disk: boot.as_ref().map(|boot| boot.member.name.clone()),
        boot_member: boot.map(|boot| boot.member).filter(|member| is_image(file, member, remarks)),
    }
}

/// Whether a member can be inspected in place.
fn is_image(file: &File, member: &Member, remarks: &mut Remarks) -> bool {
    match Container::of_file(file, member.offset, member.size) {
        Ok(Container::Packed(packing)) => {
            let how =
                format!("its disk {} is compressed by {}, and not looked into", member.name, packing.name());
            remarks.notes.push(how);
            false
        }
        Ok(found) if found.driver().is_none() => {
            remarks.problems.push(format!("its disk {} is {}", member.name, found.refusal()));
            false
        }
        Ok(_) => true,
        Err(error) => {
            remarks.problems.push(error.to_string());
            false
        }
    }
}

/// How many lines of the `.mf` match.
fn digests(file: &mut File, package: &Package, remarks: &mut Remarks) -> usize {
    let lines = match package.digests(file) {
        Ok(Ok(lines)) => lines,
        Ok(Err(error)) => {
            remarks.problems.push(error.to_string());
            return 0;
        }
        Err(error) => {
            remarks.problems.push(error.to_string());
            return 0;
        }
    };
    let mut hold = 0;
    for line in lines {
        let Some(algorithm) = line.algorithm() else {
            remarks.notes.push(format!("the {} of {} is not checked", line.algorithm, line.name));
            continue;
        };
        match check_digest(file, &package.members, &line, algorithm) {
            Ok(()) => hold += 1,
            Err(problem) => remarks.problems.push(problem),
        }
    }
    hold
}

/// Checks one line.
pub(crate) fn check_digest(
    file: &mut File,
    members: &[Member],
    line: &ova::DigestLine,
    algorithm: ova::Algorithm,
) -> Result<(), String> {
    let name = &line.name;
    let member = members
        .iter()
        .find(|member| member.name == *name)
        .ok_or_else(|| format!("{name} is in its .mf and not in the archive"))?;
    file.seek(SeekFrom::Start(member.offset)).map_err(|error| error.to_string())?;
    let found = algorithm.of_reader(file.take(member.size)).map_err(|error| error.to_string())?;
    if found.eq_ignore_ascii_case(&line.digits) {
        Ok(())
    } else {
        Err(format!("the {} of {name} is {found}, its .mf says {}", algorithm.name(), line.digits))
    }
}

pub(super) fn envelope_facts(envelope: &Envelope) -> MachineFacts {
    let system = &envelope.system;
    let models = |kinds: &[u16]| {
        let items = system.items.iter().filter(|item| kinds.contains(&item.kind));
        items.map(|item| item.model.clone().unwrap_or_else(|| item.name.clone())).collect()
    };
    let guest = system
        .system
        .as_ref()
        .map(|os| os.vbox.clone().or_else(|| os.vmware.clone()).unwrap_or_else(|| os.id.to_string()));
    let forwards = system.machine.iter().flat_map(|machine| &machine.forwards);
    MachineFacts {
        name: system.name.clone().unwrap_or_else(|| system.id.clone()),
        family: system.family.clone().unwrap_or_default(),
        guest: guest.unwrap_or_default(),
        cpus: system.quantity(resource::PROCESSOR),
        memory_mib: system.memory_mib(),
        controllers: models(&[resource::SCSI, resource::OTHER_STORAGE]),
        cards: models(&[resource::ETHERNET]),
        forwards: forwards
            .map(|one| format!("{} {}:{} -> {}", one.name, one.host_address, one.host, one.guest))
            .collect(),
    }
}

pub(super) fn vmx_facts(machine: &vmx::Vmx) -> MachineFacts {
    let controller = |disk: &vmx::VmxDisk| match &disk.bus {
        vmx::Bus::Scsi(model) => model.clone(),
        vmx::Bus::Sata => "sata".into(),
        vmx::Bus::Nvme => "nvme".into(),
        vmx::Bus::Ide => "ide".into(),
    };
    MachineFacts {
        name: machine.name.clone(),
        family: format!("vmx-{}", machine.hardware),
        guest: machine.guest_os.clone(),
        cpus: Some(machine.cpus.into()),
        memory_mib: Some(machine.memory_mib),
        controllers: machine.disks.iter().map(controller).collect(),
        cards: machine.cards.iter().map(|card| card.model.clone()).collect(),
        forwards: Vec::new(),
    }
}
