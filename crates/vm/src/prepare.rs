//! What a machine needs on disk before its QEMU starts.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::files::write_atomically;
use crate::machine::{
    Credential, Disk, DiskExtent, Display, DisplayServer, Firmware, Interface, Machine, Overlay,
    SOCKET_PATH_MAX, VNC_BASE,
};
use crate::qemu::qemu_img;

/// How long qemu-img may take: it writes a few hundred kilobytes.
const QEMU_IMG_DEADLINE: Duration = Duration::from_secs(60);

/// Makes the machine's files. Those that a process before left in its folder are replaced.
pub(crate) fn prepare(machine: &Machine) -> Result<(), Error> {
    check(machine)?;
    let files = &machine.files;
    // QEMU empties its logs when it opens them: until then, what an earlier run left would be read as this one's.
    for stale in [&files.serial_log, &files.firmware_log, &files.ready_log, &files.qmp_socket] {
        remove(stale)?;
    }
    if let Firmware::Uefi { vars_template, .. } = &machine.firmware {
        copy_variables(vars_template, &files.uefi_vars())?;
    }
    for (index, credential) in machine.credentials.iter().enumerate() {
        write_atomically(&files.credential(index), oem_string(credential).as_bytes(), 0o600)?;
    }
    if let Display::Vnc(DisplayServer { password, .. }) | Display::Spice(DisplayServer { password, .. }) =
        &machine.display
    {
        write_atomically(&files.display_password(), password.as_str().as_bytes(), 0o600)?;
    }
    if let Some(disk) = &machine.disk {
        prepare_disk(machine, disk)?;
    }
    Ok(())
}

/// What no type forbids.
fn check(machine: &Machine) -> Result<(), Error> {
    let bad = |why: String| Err(Error::BadMachine { name: machine.name.clone(), why });
    let plain = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !name.is_empty() && !name.starts_with('.') && name.chars().all(fits)
    };
    if !plain(&machine.name) {
        return bad("its name may contain letters, digits, `-`, `_` and `.`".into());
    }
    if machine.files.qmp_socket.as_str().len() > SOCKET_PATH_MAX {
        let socket = &machine.files.qmp_socket;
        return bad(format!(
            "the path of its socket is longer than {SOCKET_PATH_MAX} bytes: {socket}; set RAVE_STATE to a shorter one"
        ));
    }
    if machine.network.is_none() && !machine.forwards.is_empty() {
        return bad("it forwards ports and has no network".into());
    }
    let extent = machine.disk.as_ref().map(|disk| disk.extent);
    if matches!(extent, Some(DiskExtent::Bytes { .. })) && machine.overlay == Overlay::None {
        return bad("its disk lies inside another file and can only be read through an overlay".into());
    }
    if machine.disk_mib.is_some() && machine.overlay == Overlay::None {
        return bad("its disk can only be larger than the artifact on an overlay".into());
    }
    let is_cd = machine.disk.as_ref().is_some_and(|disk| disk.interface == Interface::Cd);
    if is_cd && machine.overlay != Overlay::None {
        return bad("a CD cannot be written, so it has no overlay".into());
    }
    if let Display::Vnc(DisplayServer { port, .. }) = machine.display
        && port < VNC_BASE
    {
        return bad(format!("a VNC server's port is at least {VNC_BASE}, not {port}"));
    }
    if let Some(credential) = machine.credentials.iter().find(|credential| !plain(&credential.name)) {
        return bad(format!("{:?} is not a name for a credential", credential.name));
    }
    Ok(())
}

/// Makes a folder that only this user can enter; its parents as usual.
pub(crate) fn make_private_dir(path: &Utf8Path) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| Error::io("make", parent, e))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io("make", path, error)),
        _ => Ok(()),
    }
}

pub(crate) fn remove(path: &Utf8Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

fn copy_variables(template: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    let bytes = fs::read(template).map_err(|e| Error::io("read", template, e))?; // half a MiB
    write_atomically(to, &bytes, 0o600)
}

/// A credential as an SMBIOS OEM string, systemd.system-credentials(7).
fn oem_string(credential: &Credential) -> String {
    format!("io.systemd.credential.binary:{}={}", credential.name, STANDARD.encode(&credential.value))
}

fn prepare_disk(machine: &Machine, disk: &Disk) -> Result<(), Error> {
    // Else QEMU would say it, after a longer way and in other words.
    File::open(&disk.path).map_err(|e| Error::io("read", &disk.path, e))?;
    match &machine.overlay {
        Overlay::None => Ok(()),
        Overlay::Throwaway => {
            let overlay = machine.files.throwaway();
            remove(&overlay)?;
            create_overlay(disk, &overlay, machine.disk_mib)
        }
        Overlay::Keep(overlay) => {
            let base = Base::of(disk)?;
            if !overlay.exists() {
                if let Some(folder) = overlay.parent() {
                    fs::create_dir_all(folder).map_err(|e| Error::io("make", folder, e))?;
                }
                create_overlay(disk, overlay, machine.disk_mib)?;
                return base.save(overlay);
            }
            if Base::load(overlay).as_ref() == Some(&base) {
                return Ok(());
            }
            Err(Error::OverlayOutdated { overlay: overlay.clone(), base: disk.path.clone() })
        }
    }
}

/// The state of an artifact that a kept overlay belongs to. A qcow2 overlay names its backing file and notices no change
/// of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Base {
    path: Utf8PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u128,
}

impl Base {
    fn of(disk: &Disk) -> Result<Self, Error> {
        let failed = |e| Error::io("look at", &disk.path, e);
        let meta = fs::metadata(&disk.path).map_err(failed)?;
        let modified =
            meta.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Self { path: absolute(&disk.path)?, bytes: meta.len(), modified })
    }

    fn file(overlay: &Utf8Path) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{overlay}.base.json"))
    }

    fn load(overlay: &Utf8Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::file(overlay)).ok()?).ok()
    }

    fn save(&self, overlay: &Utf8Path) -> Result<(), Error> {
        let file = Self::file(overlay);
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::io("write", &file, e.into()))?;
        write_atomically(&file, &text, 0o644)
    }
}

fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    camino::absolute_utf8(path).map_err(|e| Error::io("look at", path, e))
}

/// Makes a qcow2 over the artifact, at least as large as it.
fn create_overlay(disk: &Disk, overlay: &Utf8Path, disk_mib: Option<u64>) -> Result<(), Error> {
    let qemu_img = qemu_img()?;
    let base = absolute(&disk.path)?;
    let doing = "making an overlay over the artifact";
    let img = |args: &[&str]| {
        Cmd::new(qemu_img.as_std_path())
            .args(args)
            .timeout(QEMU_IMG_DEADLINE)
            .output()
            .map_err(Error::process(doing))
    };
    let format = disk.format.driver();
    let name = block_name(disk, &base);
    let info = match disk.extent {
        DiskExtent::Whole => img(&["info", "--output=json", "-f", format, &name])?,
        // The name says the format already.
        DiskExtent::Bytes { .. } => img(&["info", "--output=json", &name])?,
    };
    let bytes = virtual_size(&info.stdout).ok_or_else(|| {
        Error::io(
            "read",
            &base,
            std::io::Error::new(ErrorKind::InvalidData, "qemu-img reports no virtual size"),
        )
    })?;
    let bytes = bytes.max(disk_mib.unwrap_or(0) * 1024 * 1024);
    let beside = overlay.with_file_name(format!(
        ".{}.{}",
        overlay.file_name().unwrap_or("overlay"),
        std::process::id()
    ));
    let size = bytes.to_string();
    img(&["create", "-q", "-f", "qcow2", "-b", &name, "-F", format, beside.as_str(), &size])
        .inspect_err(|_| drop(fs::remove_file(&beside)))?;
    fs::rename(&beside, overlay).map_err(|e| Error::io("make", overlay, e))
}

/// What QEMU calls an image: its path, or the nodes that lead to a part of a file (QEMU's qapi/block-core.json,
/// `BlockdevOptionsRaw`).
fn block_name(disk: &Disk, path: &Utf8Path) -> String {
    match disk.extent {
        DiskExtent::Whole => path.to_string(),
        DiskExtent::Bytes { offset, size } => {
            let file = serde_json::json!({ "driver": "file", "filename": path });
            let extent = serde_json::json!({ "driver": "raw", "offset": offset, "size": size, "file": file });
            format!("json:{}", serde_json::json!({ "driver": disk.format.driver(), "file": extent }))
        }
    }
}

/// Bytes, from the JSON of `qemu-img info`.
fn virtual_size(json: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(json).ok()?.get("virtual-size")?.as_u64()
}

#[cfg(test)]
mod tests;
