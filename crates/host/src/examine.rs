//! Examines the whole host: one finding for each requirement.

use camino::Utf8Path;

use crate::context::Context;
use crate::for_tests::{FOR_TESTS, TEST};
use crate::probe::probe;
use crate::report::{Finding, Fix, NOT_FOUND, State};
use crate::requirement::Part;
use crate::requirements::REQUIREMENTS;
use crate::version_cache::VersionCache;
use crate::{disk_space, emulation, privileges};

/// A finding for each requirement of `parts`.
pub fn examine(context: Context<'_>, parts: &[Part]) -> Vec<Finding> {
    let mut versions = VersionCache::load(context.state_dir);
    let needed = REQUIREMENTS
        .iter()
        .chain(FOR_TESTS)
        .filter(|requirement| requirement.parts.iter().any(|part| parts.contains(part)));
    let mut findings: Vec<Finding> = needed.map(|requirement| probe(requirement, &mut versions)).collect();
    if parts.contains(&Part::Build) {
        findings.extend(privileges::findings(&mut versions));
        findings.push(disk_space::finding("cache", context.cache_dir, disk_space::CACHE_MIB, "RAVE_CACHE"));
        findings.push(disk_space::finding("output", context.out_dir, disk_space::OUT_MIB, "--out"));
    }
    if parts.contains(&Part::Boot) {
        findings.extend(emulation::finding(context, parts.contains(&Part::Desktop)));
    }
    if parts.contains(&Part::Test) {
        findings.extend(sshd_folder());
    }
    versions.save();
    findings
}

/// sshd(8) requires its empty folder even to print its settings. Only its service creates it, and that does not have to
/// run; tests as root create it themselves.
fn sshd_folder() -> Option<Finding> {
    let folder = "/run/sshd";
    let is_here = Utf8Path::new(folder).is_dir();
    let command = ["mkdir", "-p", folder].map(str::to_owned).to_vec();
    (!rustix::process::geteuid().is_root()).then(|| Finding {
        name: folder.to_owned(),
        found: if is_here { folder } else { NOT_FOUND }.to_owned(),
        needed: "any".to_owned(),
        why: "the empty folder that sshd wants",
        parts: TEST,
        state: if is_here { State::Ok } else { State::Optional },
        fix: if is_here { Fix::None } else { Fix::RootCommand(command) },
    })
}
