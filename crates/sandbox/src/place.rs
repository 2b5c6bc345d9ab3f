//! The files of one sandbox.

use camino::{Utf8Path, Utf8PathBuf};
use rave_vm::kept::KeptDisk;
use rave_vm::machine::Files;
use rave_vm::template::Template;

use crate::name::SandboxName;

/// The folder of a sandbox, mode 0700.
///
/// | file | what |
/// | --- | --- |
/// | `lock` | held by the command that changes the sandbox |
/// | `record.json` | what the sandbox is; without it there is none |
/// | `disk/` | the image that the disk began with, what it has of a template, and what was written since |
/// | `identity.json` | what a clone of a template renewed; without it the disk is the template's and none of its own |
/// | `ssh-key` | the key that it lets in |
/// | `run/` | files of the running machine, and `ctl.sock`, on which the supervisor listens |
/// | `supervisor.lock` | held by the supervisor |
/// | `supervisor.log` | what supervisors said |
/// | `failure.json` | why the last supervisor did not start the machine |
/// | `end.json` | how the machine ended the last time |
/// | `network.json` | what it may reach |
/// | `network-log.json` | what it was refused |
/// | `audit.jsonl`, `audit-head` | the record of what it did, and how much that is |
#[derive(Debug, Clone)]
pub struct Place {
    name: SandboxName,
    folder: Utf8PathBuf,
}

impl Place {
    pub(crate) fn new(root: &Utf8Path, name: SandboxName) -> Self {
        let folder = root.join(name.as_str());
        Self { name, folder }
    }

    /// The sandbox's name.
    pub fn name(&self) -> &SandboxName {
        &self.name
    }

    /// The folder.
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// The disk with the image that it lies on.
    pub fn disk(&self) -> KeptDisk {
        KeptDisk::at(self.folder.join("disk"))
    }

    /// What it has of the template that it is a clone of.
    pub fn template(&self) -> Template {
        Template::at(self.disk().folder())
    }

    /// The receipt of a clone.
    pub fn identity(&self) -> Utf8PathBuf {
        self.folder.join("identity.json")
    }

    /// The files of the running machine.
    pub fn machine(&self) -> Files {
        Files::in_dir(&self.folder.join("run"))
    }

    /// What supervisors said.
    pub fn supervisor_log(&self) -> Utf8PathBuf {
        self.folder.join("supervisor.log")
    }

    /// Pins the keys of the guest's SSH server.
    pub fn known_hosts(&self) -> Utf8PathBuf {
        self.folder.join("run/known_hosts")
    }

    /// What it may reach.
    pub fn network(&self) -> Utf8PathBuf {
        self.folder.join("network.json")
    }

    /// What it was refused.
    pub fn network_log(&self) -> Utf8PathBuf {
        self.folder.join("network-log.json")
    }

    /// The record of what it did and of what was done with it.
    pub fn audit(&self) -> rave_audit::Files {
        rave_audit::Files::at(&self.folder)
    }

    pub(crate) fn record(&self) -> Utf8PathBuf {
        self.folder.join("record.json")
    }

    pub(crate) fn lock(&self) -> Utf8PathBuf {
        self.folder.join("lock")
    }

    pub(crate) fn supervisor_lock(&self) -> Utf8PathBuf {
        self.folder.join("supervisor.lock")
    }

    pub(crate) fn control_socket(&self) -> Utf8PathBuf {
        self.folder.join("run/ctl.sock")
    }

    pub(crate) fn failure(&self) -> Utf8PathBuf {
        self.folder.join("failure.json")
    }

    /// How the machine ended the last time; not there while it runs, nor after a crash of the host.
    pub fn end(&self) -> Utf8PathBuf {
        self.folder.join("end.json")
    }
}
