//! The npm tools of the guest: fetched on the host from the committed lock, pruned to what this
//! architecture uses, packed as a tar with fixed owners and times.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::assets::npm;
use rave_guest::config::GuestConfig;
use rave_process::progress::Event;
use serde::{Deserialize, Serialize};

use crate::bases::debian::NetworkAccess;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::licences;
use crate::stage_runner::StageRunner;
use crate::tool::tool;
use crate::tree::root_tar::Extent;

/// The name of this stage.
pub const STAGE: &str = "tools";

/// The tools' folder in the guest, without the leading slash.
pub const PLACE: &str = "opt/rave/tools";

/// Changes whenever this file makes a different tar from the same inputs.
const REVISION: &[u8] = b"3";

const TAR: &str = "tools.tar";
const EXTENT: &str = "tools.json";

/// Space for unpacking the packages, bytes.
const ROOM: u64 = 1 << 30;

/// The packed tools.
#[derive(Debug, Clone)]
pub struct NpmTools {
    /// The tar, with paths below [`PLACE`].
    pub tar: Utf8PathBuf,
    /// Their size on a disk, including folders that are left out.
    pub extent: Extent,
    /// Folders of the tar that are left out of the guest, without a leading slash.
    pub left_out: Vec<String>,
}

impl NpmTools {
    /// No tools: an empty tar.
    pub(crate) fn none(stages: &StageRunner<'_>) -> Result<Self, Error> {
        let tar = stages.cache_dir().join("empty.tar");
        let mut builder = tar::Builder::new(File::create(&tar).at("create", &tar)?);
        builder.finish().at("write", &tar)?;
        Ok(Self { tar, extent: Extent::default(), left_out: Vec::new() })
    }
}

/// A tool of the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NpmPackage {
    /// Its name in the npm registry.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its Subresource Integrity string from the lock.
    pub integrity: String,
    /// Its licence as an SPDX expression, if the lock has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// Changes when, and only when, the tar would change.
pub fn key(epoch: u64) -> Digest {
    let mut hasher = Hasher::default();
    hasher.field("revision", REVISION);
    hasher.field("package.json", npm::PACKAGE_JSON.as_bytes());
    hasher.field("package-lock.json", npm::PACKAGE_LOCK.as_bytes());
    for pattern in npm::PRUNE {
        hasher.field("prune", pattern.as_bytes());
    }
    hasher.field("epoch", &epoch.to_le_bytes());
    hasher.finish()
}

/// The command line of the fetch. Scripts of packages are never run on the host.
pub fn argv(npm_cache: &Utf8Path, network: NetworkAccess) -> Vec<String> {
    let fixed = [
        "npm",
        "ci",
        "--ignore-scripts",
        "--omit=dev",
        "--os=linux",
        "--cpu=x64",
        "--libc=glibc",
        "--no-audit",
        "--no-fund",
        "--no-progress",
        // The origin of a package must not be recorded in the guest: it differs without network access and with a
        // mirror.
        "--omit-lockfile-registry-resolved",
        // The defaults, which a builder's .npmrc may override.
        "--install-strategy=hoisted",
        "--bin-links",
        "--no-install-links",
        "--no-legacy-peer-deps",
    ];
    let cache = match network {
        NetworkAccess::Allowed => "--prefer-offline",
        NetworkAccess::Off => "--offline",
    };
    fixed.into_iter().chain([cache]).map(String::from).chain([format!("--cache={npm_cache}")]).collect()
}

/// Fetches and packs the tools of every guest, or takes them from the cache, and lists those that this guest does not
/// get.
pub(crate) fn build(
    stages: &StageRunner<'_>,
    config: &GuestConfig,
    epoch: u64,
    network: NetworkAccess,
) -> Result<NpmTools, Error> {
    let entry = stages.run(STAGE, &key(epoch), |pending| {
        let scratch = stages.scratch(ROOM)?;
        let folder = scratch.path();
        let lock_path = folder.join("package-lock.json");
        let lock = match network {
            NetworkAccess::Allowed => npm::PACKAGE_LOCK.to_owned(),
            NetworkAccess::Off => lock_for_cache()?,
        };
        fs::write(folder.join("package.json"), npm::PACKAGE_JSON).at("write", folder.join("package.json"))?;
        fs::write(&lock_path, lock).at("write", &lock_path)?;
        let argv = argv(&stages.cache_dir().join("npm"), network);
        stages
            .network()
            .for_node(tool(&argv[0]))
            .args(&argv[1..])
            .current_dir(folder)
            .log_file(stages.log(STAGE))
            .run(&mut |line| stages.report(Event::StageOutput { stage: STAGE, line: line.text }))
            .stage(STAGE)?;
        // The guest gets the committed lock, whichever one npm read.
        fs::write(&lock_path, npm::PACKAGE_LOCK).at("write", &lock_path)?;
        unpack_servers(folder)?;
        let extent = pack(folder, &pending.file(TAR), epoch)?;
        let place = pending.file(EXTENT);
        fs::write(&place, serde_json::to_vec(&extent).expect("plain data")).at("write", &place)
    })?;
    let place = entry.file(EXTENT);
    let text = fs::read(&place).at("read", &place)?;
    let extent = serde_json::from_slice(&text)
        .map_err(|error| Error::Damaged { path: place, detail: error.to_string() })?;
    let folder = |package: &&str| format!("{PLACE}/node_modules/{package}");
    let left_out = npm::left_out(config).iter().map(folder).collect();
    Ok(NpmTools { tar: entry.file(TAR), extent, left_out })
}

/// The packages of the committed lock for this guest.
pub fn locked(config: &GuestConfig) -> Result<Vec<NpmPackage>, Error> {
    let left_out = npm::left_out(config);
    let held = |place: &str| !left_out.iter().any(|package| place == format!("node_modules/{package}"));
    of_lock(held)
}

/// The packages that are fetched for every guest.
pub fn fetched() -> Result<Vec<NpmPackage>, Error> {
    of_lock(|_| true)
}

/// The packages of the lock for this architecture whose path `held` accepts.
fn of_lock(held: impl Fn(&str) -> bool) -> Result<Vec<NpmPackage>, Error> {
    #[derive(Deserialize)]
    struct Lock {
        packages: std::collections::BTreeMap<String, LockEntry>,
    }
    #[derive(Deserialize)]
    struct LockEntry {
        version: Option<String>,
        integrity: Option<String>,
        /// An object in old packages.
        license: Option<serde_json::Value>,
        #[serde(default)]
        os: Vec<String>,
        #[serde(default)]
        cpu: Vec<String>,
        #[serde(default)]
        libc: Vec<String>,
    }
    let lock: Lock = serde_json::from_str(npm::PACKAGE_LOCK).map_err(|error| wrong_lock(&error))?;
    let fits = |allowed: &[String], ours: &str| allowed.is_empty() || allowed.iter().any(|name| name == ours);
    let ours =
        |entry: &LockEntry| fits(&entry.os, "linux") && fits(&entry.cpu, "x64") && fits(&entry.libc, "glibc");
    let packages =
        lock.packages.into_iter().filter(|(place, entry)| !place.is_empty() && ours(entry) && held(place));
    packages
        .filter_map(|(place, entry)| {
            let name = place.rsplit("node_modules/").next()?.to_owned();
            // Packages bundled inside another one have its integrity, not their own.
            let licence = entry.license.as_ref().and_then(|licence| licences::of_spdx(licence.as_str()?));
            Some(NpmPackage { name, version: entry.version?, integrity: entry.integrity?, licence })
        })
        .map(Ok)
        .collect()
}

fn wrong_lock(error: &serde_json::Error) -> Error {
    Error::Input { what: "package-lock.json".into(), detail: error.to_string() }
}

/// The lock with a URL for every package that has a digest. npm then does not ask a registry for the URL, and takes the
/// package from its cache by digest; the URL (RFC 2606, `.invalid`) is neither fetched nor written into the tree.
fn lock_for_cache() -> Result<String, Error> {
    let mut lock: serde_json::Value =
        serde_json::from_str(npm::PACKAGE_LOCK).map_err(|error| wrong_lock(&error))?;
    let packages = lock.get_mut("packages").and_then(serde_json::Value::as_object_mut);
    for (place, entry) in packages.into_iter().flatten() {
        let entry = entry.as_object_mut().filter(|entry| entry.contains_key("integrity"));
        if let Some(entry) = entry {
            let name = place.rsplit('/').next().unwrap_or(place);
            entry.insert("resolved".into(), format!("https://cache.invalid/{name}.tgz").into());
        }
    }
    Ok(lock.to_string())
}

/// Unpacks Vibe Kanban's programs, which are zipped in its package: it would unzip them at every start.
fn unpack_servers(folder: &Utf8Path) -> Result<(), Error> {
    let bin = folder.join("bin");
    fs::create_dir(&bin).at("create", &bin)?;
    for zipped in npm::ZIPPED {
        let path = folder.join(zipped.zip);
        let damaged = |detail: String| Error::Damaged { path: path.clone(), detail };
        let mut zip = zip::ZipArchive::new(File::open(&path).at("open", &path)?)
            .map_err(|error| damaged(error.to_string()))?;
        let mut source = zip.by_name(zipped.member).map_err(|error| damaged(error.to_string()))?;
        let target = folder.join(zipped.to);
        let mut file = File::create(&target).at("create", &target)?;
        io::copy(&mut source, &mut file).at("unpack", &target)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).at("make executable", &target)?;
    }
    Ok(())
}

fn pack(folder: &Utf8Path, tar: &Utf8Path, epoch: u64) -> Result<Extent, Error> {
    let file = BufWriter::new(File::create(tar).at("create", tar)?);
    let mut packer =
        Packer { root: folder, builder: tar::Builder::new(file), epoch, extent: Extent::default() };
    let parents = Utf8Path::new(PLACE).ancestors().filter(|parent| *parent != "").collect::<Vec<_>>();
    for parent in parents.iter().rev() {
        packer.add_folder(parent)?;
    }
    for name in ["bin", "node_modules", "package.json", "package-lock.json"] {
        packer.add(&folder.join(name))?;
    }
    let mut file = packer.builder.into_inner().at("write", tar)?;
    file.flush().at("write", tar)?;
    Ok(packer.extent)
}

struct Packer<'a> {
    root: &'a Utf8Path,
    builder: tar::Builder<BufWriter<File>>,
    epoch: u64,
    extent: Extent,
}

impl Packer<'_> {
    fn header(&self) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(self.epoch);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header
    }

    fn add_folder(&mut self, name: &Utf8Path) -> Result<(), Error> {
        let mut header = self.header();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        self.builder.append_data(&mut header, format!("{name}/"), io::empty()).at("pack", name)?;
        self.extent.add(0);
        Ok(())
    }

    /// Adds a file, or a folder recursively, in the order of names.
    fn add(&mut self, path: &Utf8Path) -> Result<(), Error> {
        let below = path.strip_prefix(self.root).expect("walked from the root");
        if npm::is_dead_weight(below.as_str()) {
            return Ok(());
        }
        let metadata = fs::symlink_metadata(path).at("read", path)?;
        let mut header = self.header();
        let name = Utf8Path::new(PLACE).join(below);
        if metadata.is_symlink() {
            let target = path.read_link_utf8().at("read", path)?;
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            self.builder.append_link(&mut header, name, target).at("pack", path)?;
            self.extent.add(0);
        } else if metadata.is_dir() {
            self.add_folder(&name)?;
            let mut names: Vec<Utf8PathBuf> = path
                .read_dir_utf8()
                .at("list", path)?
                .map(|entry| entry.map(|entry| entry.path().to_owned()))
                .collect::<io::Result<_>>()
                .at("list", path)?;
            names.sort();
            names.iter().try_for_each(|name| self.add(name))?;
        } else {
            // The builder's umask must not affect the result: only the executable bit is kept.
            let executable = metadata.permissions().mode() & 0o100 != 0;
            header.set_mode(if executable { 0o755 } else { 0o644 });
            header.set_size(metadata.len());
            self.builder
                .append_data(&mut header, name, File::open(path).at("open", path)?)
                .at("pack", path)?;
            self.extent.add(metadata.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod corporate;
