//! The specification: what `rave.toml` says, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use camino::Utf8PathBuf;

use crate::{
    Base, ClaudeCode, Compression, Date, Feature, Format, Hostname, LicenceName, MebiBytes, Mirror,
    NetworkDefaults, Nixos, PackageName, Port, ProfileName, ServiceName, Suite, UserName,
};

/// All that `rave.toml`, `rave.local.toml` and `RAVE_*` say, checked; made by [`load`](crate::load).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What is built where the command line does not say.
    pub defaults: Defaults,
    /// Who lives in the guest.
    pub guest: Guest,
    /// The size of the virtual machine.
    pub vm: VmSize,
    /// What all sandboxes together may take.
    pub sandboxes: SandboxLimits,
    /// What sandboxes may reach where nobody says otherwise.
    pub network: NetworkDefaults,
    /// How artifacts are compressed.
    pub compress: Compress,
    /// What the guest offers, and on which ports.
    pub services: Services,
    /// How the npm tools come into the guest.
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
    /// Every Debian package that a profile asks for, each once: all profiles', its features', its own, and the user's.
    pub fn debian_packages(&self, profile: &Profile) -> BTreeSet<String> {
        let features =
            profile.features.iter().filter_map(|feature| self.debian.features.get(feature)).flatten();
        let own = self.debian.packages.iter().chain(features).chain(&profile.packages).cloned();
        own.chain(self.extra.packages.iter().map(ToString::to_string)).collect()
    }

    /// The profile of that name.
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
    /// What it should have named: `profile`.
    pub kind: &'static str,
    /// The name as it was given.
    pub name: String,
    /// The name that was most likely meant.
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

/// What is built where the command line does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// A key of [`Spec::profiles`].
    pub profile: ProfileName,
    /// At least one, none twice.
    pub formats: Vec<Format>,
    /// `None`: decided by what the host has.
    pub base: Option<Base>,
}

/// The guest's user and name.
#[derive(Clone, PartialEq, Eq)]
pub struct Guest {
    /// The login name.
    pub user: UserName,
    /// The login password: no control character, no colon (chpasswd(8) reads `name:password` lines).
    pub password: String,
    /// The host name.
    pub hostname: Hostname,
    /// Public keys that may log in over SSH, as lines of `authorized_keys` without options (sshd(8)); none twice.
    pub authorized_keys: Vec<String>,
    /// Host names that the gateway's pages are called by, besides addresses, names without a dot, and those below
    /// `localhost`, `local` and `internal`; none twice.
    pub gateway_names: Vec<Hostname>,
    /// Files of certificate authorities that the guest trusts, in PEM, below the folder of `rave.toml`; none twice.
    pub certificates: Vec<Utf8PathBuf>,
}

/// The documented password of a fresh guest; any other is masked where values are shown.
pub const WELL_KNOWN_PASSWORD: &str = "agent";

/// Stands where a password is not shown.
pub(crate) const MASK: &str = "***";

impl Guest {
    /// The password as it may be shown: any but the documented one is masked.
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

/// What all sandboxes together may take, within [`SANDBOXES_LIMITS`](crate::SANDBOXES_LIMITS); `None`: what the host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Memory of those that run.
    pub memory: Option<MebiBytes>,
    /// Disk of all.
    pub disk: Option<MebiBytes>,
    /// None is started where the host cannot give all of QEMU's fence.
    pub require_fence: bool,
    /// How long the record of one outlives it, days, within [`KEEP_AUDIT_LIMITS`](crate::KEEP_AUDIT_LIMITS).
    pub keep_audit: u64,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self { memory: None, disk: None, require_fence: false, keep_audit: 30 }
    }
}

/// How the artifacts are compressed of which one can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compress {
    /// The clusters of the qcow2.
    pub qemu: Compression,
    /// [`Compression::Zstd`] makes an `.img.zst` beside the raw disk; never [`Compression::Zlib`].
    pub raw: Compression,
}

impl Compress {
    /// The same for both; the raw disk stays alone where it cannot be compressed that way.
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
    /// Where it listens in the guest.
    pub guest: Port,
    /// Where the host reaches it, on 127.0.0.1.
    pub host: Port,
}

/// The services, each with its ports; no guest port and no host port occurs twice.
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
    /// The service of that name.
    pub const fn get(&self, name: ServiceName) -> Service {
        match name {
            ServiceName::Kanban => self.kanban,
            ServiceName::Router => self.router,
            ServiceName::Gateway => self.gateway,
            ServiceName::Ssh => self.ssh,
        }
    }

    /// Every service, in the order of [`ServiceName::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (ServiceName, Service)> + use<> {
        let services = *self;
        ServiceName::ALL.iter().map(move |name| (*name, services.get(*name)))
    }
}

/// How the npm tools come into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tools {
    /// Claude Code; the others are always in the image.
    pub claude: ClaudeCode,
}

/// What a release may not contain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Release {
    /// SPDX identifiers of licences, or `LicenseRef-` ones of the bills of materials, that no package of a guest may need;
    /// none twice.
    pub denied_licences: Vec<LicenceName>,
}

/// What users add to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extra {
    /// Packages of the base's own archive.
    pub packages: Vec<PackageName>,
    /// Unit files, relative to `rave.toml`, each ending in a suffix of systemd.unit(5); no file name twice.
    pub units: Vec<Utf8PathBuf>,
    /// Name and value, for login shells and services; no name twice.
    pub environment: Vec<(String, String)>,
}

/// A kind of guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What it is for, in a line.
    pub description: String,
    /// No passwords and no root login; a key is needed.
    pub hardened: bool,
    /// What it adds to what every guest has; none twice.
    pub features: Vec<Feature>,
    /// Debian packages on top of [`Debian::packages`] and those of the features (key `debian`).
    pub packages: Vec<String>,
}

/// The Debian base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debian {
    /// The suite of the archive.
    pub suite: Suite,
    /// The time stamp of what is packed where the environment has no `SOURCE_DATE_EPOCH`.
    pub date: Date,
    /// Where packages are fetched from instead of mmdebstrap's default archive; no image names it.
    pub mirror: Option<Mirror>,
    /// The same for the suite of security updates.
    pub security_mirror: Option<Mirror>,
    /// Packages that every profile holds.
    pub packages: Vec<String>,
    /// Packages that each feature needs on top.
    pub features: BTreeMap<Feature, Vec<String>>,
}
