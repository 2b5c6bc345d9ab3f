//! The files of one sandbox.

use camino::{Utf8Path, Utf8PathBuf};
use rave_vm::kept::KeptDisk;
use rave_vm::layers::Layers;
use rave_vm::machine::Files;
use rave_vm::moment::Moment;
use rave_vm::template::Template;

use crate::name::SandboxName;

/// The folder of a sandbox, mode 0700.
///
/// | file | content |
/// | --- | --- |
/// | `lock` | held by the command that changes the sandbox |
/// | `record.json` | describes the sandbox; without it there is no sandbox |
/// | `disk/` | the base image, what a clone has of its template, and what was written since |
/// | `identity.json` | what a clone or a fork renewed; without it the disk is still the template's or the parent's |
/// | `identity-before.json` | the same for a sandbox being restored from a snapshot, as of that snapshot |
/// | `fork.json` | marks a fork that has no identity yet |
/// | `snapshots/` | a folder for each snapshot |
/// | `workspace/` | what was pushed and pulled, managed by another crate; it is restored with the disk |
/// | `disk.new/`, `restored.old/` | what a `restore` has begun, or has yet to remove |
/// | `ssh-key` | a key that the guest accepts |
/// | `run/` | files of the running machine; QEMU may create sockets in it and remove its files |
/// | `ctl.sock` | the supervisor listens on it |
/// | `known_hosts` | pins the keys of its SSH server |
/// | `supervisor.lock` | held by the supervisor |
/// | `supervisor.log` | the supervisors' output |
/// | `failure.json` | why the last supervisor did not start the machine |
/// | `end.json` | how the machine last ended |
/// | `network.json` | what it may reach |
/// | `network-log.json` | what it was denied |
/// | `model-token`, `model-usage.json` | its token for the model, and what it has used |
/// | `placeholders.json` | its placeholders for the user's secrets |
/// | `ssh-agent.json` | the key of the user's SSH agent that it may use, and the host |
/// | `authority-key.pem`, `authority.json` | the key and the certificate that open TLS |
/// | `audit.jsonl`, `audit-head` | the record of what it did, and the record's length |
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

    /// Whether the sandbox exists, even if its record is unreadable.
    pub fn has_record(&self) -> bool {
        self.record().exists()
    }

    /// The disk with its base image.
    pub fn disk(&self) -> KeptDisk {
        KeptDisk::at(self.folder.join("disk"))
    }

    /// The files of the template that it is a clone of.
    pub fn template(&self) -> Template {
        Template::at(self.disk().folder())
    }

    /// The layers of the disk.
    pub fn layers(&self) -> Layers {
        Layers::at(self.disk().folder())
    }

    /// The moment that its next start resumes from, if it exists.
    pub fn moment(&self) -> Moment {
        Moment::at(self.disk().folder())
    }

    /// The file that the lowest layer lies on.
    pub(crate) fn on(&self) -> Option<Utf8PathBuf> {
        Some(self.template().disk()).filter(|disk| disk.exists()).or_else(|| self.disk().base())
    }

    /// Marks a fork without an identity.
    pub(crate) fn fork(&self) -> Utf8PathBuf {
        self.folder.join("fork.json")
    }

    pub(crate) fn identity_before(&self) -> Utf8PathBuf {
        self.folder.join("identity-before.json")
    }

    pub(crate) fn snapshots(&self) -> Utf8PathBuf {
        self.folder.join("snapshots")
    }

    /// The receipt of a clone.
    pub fn identity(&self) -> Utf8PathBuf {
        self.folder.join("identity.json")
    }

    /// The files of the running machine.
    pub fn machine(&self) -> Files {
        Files::in_dir(&self.folder.join("run"))
    }

    /// The supervisors' output.
    pub fn supervisor_log(&self) -> Utf8PathBuf {
        self.folder.join("supervisor.log")
    }

    /// Pins the keys of the guest's SSH server.
    pub fn known_hosts(&self) -> Utf8PathBuf {
        self.folder.join("known_hosts")
    }

    /// What it may reach.
    pub fn network(&self) -> Utf8PathBuf {
        self.folder.join("network.json")
    }

    /// What it was denied.
    pub fn network_log(&self) -> Utf8PathBuf {
        self.folder.join("network-log.json")
    }

    /// What it has used of the model.
    pub fn model_usage(&self) -> Utf8PathBuf {
        self.folder.join("model-usage.json")
    }

    pub(crate) fn model_token(&self) -> Utf8PathBuf {
        self.folder.join("model-token")
    }

    pub(crate) fn ssh_agent(&self) -> Utf8PathBuf {
        self.folder.join("ssh-agent.json")
    }

    pub(crate) fn placeholders(&self) -> Utf8PathBuf {
        self.folder.join("placeholders.json")
    }

    /// The sandbox's substitutes for credentials, and the key that opens its TLS: a fork has the same as its parent.
    pub(crate) fn inherited(&self) -> [Utf8PathBuf; 3] {
        [self.model_token(), self.placeholders(), self.folder.join(rave_net::AUTHORITY_KEY)]
    }

    /// The audit record of what it did and of what was done with it.
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
        self.folder.join("ctl.sock")
    }

    pub(crate) fn failure(&self) -> Utf8PathBuf {
        self.folder.join("failure.json")
    }

    /// How the machine last ended; missing while it is running, and after a crash of the host.
    pub fn end(&self) -> Utf8PathBuf {
        self.folder.join("end.json")
    }
}
