//! The specification: the checked content of `rave.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use camino::Utf8PathBuf;

use crate::{
    Base, ClaudeCode, Compression, Date, Feature, Format, Hostname, LicenceName, MebiBytes, Mirror,
    NetworkDefaults, Nixos, PackageName, Port, ProfileName, ServiceName, Suite, UserName,
};

/// The checked content of `rave.toml`, `rave.local.toml` and `RAVE_*`, as read by [`load`](crate::load).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What to build by default.
    pub defaults: Defaults,
    /// The guest's user and names.
    pub guest: Guest,
    /// The size of the virtual machine.
    pub vm: VmSize,
    /// What all sandboxes together may use.
    pub sandboxes: SandboxLimits,
    /// What sandboxes may reach by default.
    pub network: NetworkDefaults,
    /// How artifacts are compressed.
    pub compress: Compress,
    /// The guest's services and their ports.
    pub services: Services,
    /// How the npm tools are installed in the guest.
    pub tools: Tools,
    /// What users add to the guest.
    pub extra: Extra,
    /// What a release may not contain.
    pub release: Release,
    /// Kinds of guest, by name; never empty.
    pub profiles: BTreeMap<ProfileName, Profile>,
    /// The Debian base.
    pub debian: Debian,
    /// How the `NixOS` base is built.
    pub nixos: Nixos,
}

impl Spec {
    /// All Debian packages of a profile: those of every profile, of its features, its own, and the user's.
    pub fn debian_packages(&self, profile: &Profile) -> BTreeSet<String> {
        let features =
            profile.features.iter().filter_map(|feature| self.debian.features.get(feature)).flatten();
        let own = self.debian.packages.iter().chain(features).chain(&profile.packages).cloned();
        own.chain(self.extra.packages.iter().map(ToString::to_string)).collect()
    }

    /// The profile of this name.
    pub fn profile(&self, name: &str) -> Result<&Profile, UnknownName> {
        self.profiles.get(name).ok_or_else(|| {
            let known = self.profiles.keys().map(ProfileName::as_str);
            UnknownName {
                kind: "profile",
                name: name.to_owned(),
                nearest: crate::nearest(name, known.clone()).map(str::to_owned),
                known: known.map(str::to_owned).collect(),
            }
        })
    }
}

/// A name that is not in the specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} {name:?}{}", self.remedy())]
pub struct UnknownName {
    /// The kind of name: `profile`.
    pub kind: &'static str,
    /// The name as given.
    pub name: String,
    /// The valid name that was most likely meant.
    pub nearest: Option<String>,
    /// Every valid name.
    pub known: Vec<String>,
}

impl UnknownName {
    fn remedy(&self) -> String {
        let known: Vec<_> = self.known.iter().map(String::as_str).collect();
        crate::invalid_value::remedy(&crate::invalid_value::one_of(&known), self.nearest.as_deref())
    }
}

/// What to build by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// A key of [`Spec::profiles`].
    pub profile: ProfileName,
    /// At least one format, without duplicates.
    pub formats: Vec<Format>,
    /// `None`: chosen by what the host has.
    pub base: Option<Base>,
}

/// The guest's user and names.
#[derive(Clone, PartialEq, Eq)]
pub struct Guest {
    /// The login name.
    pub user: UserName,
    /// The login password, without control characters or colons (chpasswd(8) reads lines of `name:password`).
    pub password: String,
    /// The host name.
    pub hostname: Hostname,
    /// Public keys that may log in over SSH, as lines of `authorized_keys` without options (sshd(8)), without
    /// duplicates.
    pub authorized_keys: Vec<String>,
    /// Host names of the gateway's pages, in addition to addresses, names without a dot, and those below `localhost`,
    /// `local` and `internal`; without duplicates.
    pub gateway_names: Vec<Hostname>,
    /// PEM files of certificate authorities that the guest trusts, below the folder of `rave.toml`, without duplicates.
    pub certificates: Vec<Utf8PathBuf>,
}

/// The documented password of a new guest; any other is masked where values are shown.
pub const WELL_KNOWN_PASSWORD: &str = "agent";

/// Replaces a password that is not shown.
pub(crate) const MASK: &str = "***";

impl Guest {
    /// The password for display: any but the documented one is masked.
    pub fn shown_password(&self) -> &str {
        if self.password == WELL_KNOWN_PASSWORD { WELL_KNOWN_PASSWORD } else { MASK }
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("user", &self.user)
            .field("password", &self.shown_password())
            .field("hostname", &self.hostname)
            .field("authorized_keys", &self.authorized_keys)
            .field("gateway_names", &self.gateway_names)
            .field("certificates", &self.certificates)
            .finish()
    }
}

/// The size of the virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmSize {
    /// Memory, within [`MEMORY_LIMITS`](crate::MEMORY_LIMITS).
    pub memory: MebiBytes,
    /// Virtual CPUs, within [`CPUS_LIMITS`](crate::CPUS_LIMITS).
    pub cpus: u32,
    /// Disk, within [`DISK_LIMITS`](crate::DISK_LIMITS); the root filesystem grows to it at first boot.
    pub disk: MebiBytes,
}

/// What all sandboxes together may use, within [`SANDBOXES_LIMITS`](crate::SANDBOXES_LIMITS); `None`: what the host
/// has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Memory of running sandboxes.
    pub memory: Option<MebiBytes>,
    /// Disk of all sandboxes.
    pub disk: Option<MebiBytes>,
    /// Whether sandboxes are only started if the host supports all of QEMU's fence.
    pub require_fence: bool,
    /// How many days a record outlives its sandbox, within [`KEEP_AUDIT_LIMITS`](crate::KEEP_AUDIT_LIMITS).
    pub keep_audit: u64,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self { memory: None, disk: None, require_fence: false, keep_audit: 30 }
    }
}

/// The compression of artifacts that support a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compress {
    /// Of the qcow2's clusters.
    pub qemu: Compression,
    /// [`Compression::Zstd`] adds an `.img.zst` to the raw disk; never [`Compression::Zlib`].
    pub raw: Compression,
}

impl Compress {
    /// The same for both; the raw disk stays uncompressed if it does not support the compression.
    pub fn all(compression: Compression) -> Self {
        let raw = if compression == Compression::Zstd { compression } else { Compression::None };
        Self { qemu: compression, raw }
    }
}

impl Default for Compress {
    fn default() -> Self {
        Self { qemu: Compression::Zstd, raw: Compression::None }
    }
}

/// The ports of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The port in the guest.
    pub guest: Port,
    /// The port of 127.0.0.1 on the host.
    pub host: Port,
}

/// The services with their ports; no guest port and no host port occurs twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Services {
    /// Vibe Kanban.
    pub kanban: Service,
    /// Claude Code Router.
    pub router: Service,
    /// nginx in front of both.
    pub gateway: Service,
    /// OpenSSH.
    pub ssh: Service,
}

impl Services {
    /// The service of this name.
    pub const fn get(&self, name: ServiceName) -> Service {
        match name {
            ServiceName::Kanban => self.kanban,
            ServiceName::Router => self.router,
            ServiceName::Gateway => self.gateway,
            ServiceName::Ssh => self.ssh,
        }
    }

    /// All services, in the order of [`ServiceName::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (ServiceName, Service)> + use<> {
        let services = *self;
        ServiceName::ALL.iter().map(move |name| (*name, services.get(*name)))
    }
}

/// How the npm tools are installed in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tools {
    /// Claude Code; the other tools are always in the image.
    pub claude: ClaudeCode,
}

/// What a release may not contain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Release {
    /// Identifiers of licences, by SPDX or as `LicenseRef-` in the bills of materials, that no package of a guest may
    /// require; without duplicates.
    pub denied_licences: Vec<LicenceName>,
}

/// What users add to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extra {
    /// Packages of the base's own archive.
    pub packages: Vec<PackageName>,
    /// Unit files, relative to `rave.toml`, each ending in a suffix of systemd.unit(5), without duplicate file names.
    pub units: Vec<Utf8PathBuf>,
    /// Names and values, for login shells and services, without duplicate names.
    pub environment: Vec<(String, String)>,
}

/// A kind of guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its purpose, in one line.
    pub description: String,
    /// Whether it has no passwords and no root login, so that a key is needed.
    pub hardened: bool,
    /// What it adds to the common content of guests, without duplicates.
    pub features: Vec<Feature>,
    /// Debian packages in addition to [`Debian::packages`] and those of the features (key `debian`).
    pub packages: Vec<String>,
}

/// The Debian base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debian {
    /// The suite of the archive.
    pub suite: Suite,
    /// The time stamp of packed files if the environment has no `SOURCE_DATE_EPOCH`.
    pub date: Date,
    /// The source of packages instead of mmdebstrap's default archive; not recorded in images.
    pub mirror: Option<Mirror>,
    /// The same for the suite of security updates.
    pub security_mirror: Option<Mirror>,
    /// Packages of every profile.
    pub packages: Vec<String>,
    /// Additional packages of each feature.
    pub features: BTreeMap<Feature, Vec<String>>,
}
