//! The files that a machine needs before its QEMU starts.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::replace_by;
use rave_process::Cmd;
use serde::Deserialize;

use crate::Error;
use crate::files::write_atomically;
use crate::machine::{
    Credential, Disk, DiskExtent, Display, DisplayServer, Firmware, Interface, Machine, Overlay,
    SOCKET_PATH_MAX, VNC_BASE,
};
use crate::qemu::qemu_img;

/// How long qemu-img may take: it writes a few hundred kilobytes.
const QEMU_IMG_DEADLINE: Duration = Duration::from_secs(60);

/// How long it may take to copy the data of a disk.
const COPY_DEADLINE: Duration = Duration::from_secs(1800);

/// Creates the machine's files. Those that an earlier process left in its folder are replaced.
pub(crate) fn prepare(machine: &Machine) -> Result<(), Error> {
    check(machine)?;
    let files = &machine.files;
    // QEMU appends to its logs, and the contents of an earlier run would be taken for this run's.
    let sockets = [&files.qmp_socket, &files.agent_socket, &files.channel_socket, &files.network_socket];
    for stale in [&files.serial_log, &files.ready_log].into_iter().chain(sockets) {
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

/// Checks what types cannot express.
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
            "the path of its socket is longer than {SOCKET_PATH_MAX} bytes: {socket}; set RAVE_STATE to a shorter path"
        ));
    }
    if machine.network.is_none() && !machine.forwards.is_empty() {
        return bad("it forwards ports but has no network".into());
    }
    let extent = machine.disk.as_ref().map(|disk| disk.extent);
    if matches!(extent, Some(DiskExtent::Bytes { .. })) && machine.overlay == Overlay::None {
        return bad("its disk is inside another file and can only be read through an overlay".into());
    }
    if machine.disk_mib.is_some() && machine.overlay == Overlay::None {
        return bad("its disk can only be larger than the artifact with an overlay".into());
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
    // Otherwise QEMU would report it, later and less clearly.
    File::open(&disk.path).map_err(|e| Error::io("read", &disk.path, e))?;
    match &machine.overlay {
        Overlay::None => Ok(()),
        Overlay::Throwaway => {
            let overlay = machine.files.throwaway();
            remove(&overlay)?;
            create_overlay(disk, &overlay, machine.disk_mib)
        }
        Overlay::Keep(overlay) if overlay.exists() => fit_overlay(disk, overlay, machine.disk_mib),
        Overlay::Keep(overlay) => {
            if let Some(folder) = overlay.parent() {
                fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
            }
            create_overlay(disk, overlay, machine.disk_mib)
        }
    }
}

fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    camino::absolute_utf8(path).map_err(|e| Error::io("inspect", path, e))
}

/// Runs qemu-img(1); `doing` describes what for.
fn img(doing: &'static str, args: &[&str]) -> Result<rave_process::Output, Error> {
    Cmd::new(qemu_img()?.as_std_path())
        .args(args)
        .timeout(QEMU_IMG_DEADLINE)
        .output()
        .map_err(Error::process(doing))
}

/// Updates a kept overlay to the artifact's current path and to at least the size of the machine's disk. Neither moves
/// data; the caller must know that the overlay was created from this artifact.
fn fit_overlay(disk: &Disk, overlay: &Utf8Path, disk_mib: Option<u64>) -> Result<(), Error> {
    let doing = "looking at the kept disk";
    let about = img(doing, &["info", "-U", "--output=json", "-f", "qcow2", overlay.as_str()])?;
    let about: OverlayInfo = serde_json::from_slice(&about.stdout)
        .map_err(|error| Error::io("read", overlay, std::io::Error::new(ErrorKind::InvalidData, error)))?;
    let name = block_name(disk, &absolute(&disk.path)?);
    if about.backing != name {
        let format = disk.format.driver();
        img(
            "pointing the kept disk to its image",
            &["rebase", "-u", "-f", "qcow2", "-b", &name, "-F", format, overlay.as_str()],
        )?;
    }
    let bytes = disk_mib.unwrap_or(0) * 1024 * 1024;
    if about.bytes < bytes {
        img(
            "enlarging the kept disk",
            &["resize", "-q", "-f", "qcow2", overlay.as_str(), &bytes.to_string()],
        )?;
    }
    Ok(())
}

/// Sets the path of an overlay's base, which may be relative to the overlay's own folder. No data is moved.
pub(crate) fn set_backing(overlay: &Utf8Path, base: &Utf8Path) -> Result<(), Error> {
    let arguments = ["rebase", "-u", "-f", "qcow2", "-b", base.as_str(), "-F", "qcow2", overlay.as_str()];
    img("setting the backing file of a disk", &arguments).map(drop)
}

/// Moves an overlay to a base further down, copying what lies in between into the overlay.
pub(crate) fn move_to_base(overlay: &Utf8Path, base: &Utf8Path) -> Result<(), Error> {
    let base = absolute(base)?;
    Cmd::new(qemu_img()?.as_std_path())
        .args(["rebase", "-f", "qcow2", "-F", "qcow2", "-b", base.as_str(), overlay.as_str()])
        .timeout(COPY_DEADLINE)
        .output()
        .map(drop)
        .map_err(Error::process("merging the layers of a disk"))
}

/// Creates an empty overlay over a base beside it, without opening the base: a machine may be writing it.
pub(crate) fn overlay_of_size(overlay: &Utf8Path, base: &str, bytes: u64) -> Result<(), Error> {
    let size = bytes.to_string();
    let arguments = ["create", "-q", "-f", "qcow2", "-u", "-b", base, "-F", "qcow2", overlay.as_str(), &size];
    img("creating a layer of a disk", &arguments).map(drop)
}

/// The output of `qemu-img info` for an overlay.
#[derive(Debug, Deserialize)]
struct OverlayInfo {
    #[serde(rename = "virtual-size")]
    bytes: u64,
    #[serde(rename = "backing-filename", default)]
    backing: String,
}

/// Creates a qcow2 over the artifact, at least as large as it.
fn create_overlay(disk: &Disk, overlay: &Utf8Path, disk_mib: Option<u64>) -> Result<(), Error> {
    let base = absolute(&disk.path)?;
    let doing = "creating an overlay over the artifact";
    let format = disk.format.driver();
    let name = block_name(disk, &base);
    let info = match disk.extent {
        DiskExtent::Whole => img(doing, &["info", "--output=json", "-f", format, &name])?,
        // The name already contains the format.
        DiskExtent::Bytes { .. } => img(doing, &["info", "--output=json", &name])?,
    };
    let bytes = virtual_size(&info.stdout).ok_or_else(|| {
        Error::io(
            "read",
            &base,
            std::io::Error::new(ErrorKind::InvalidData, "qemu-img reports no virtual size"),
        )
    })?;
    let bytes = bytes.max(disk_mib.unwrap_or(0) * 1024 * 1024);
    let size = bytes.to_string();
    let create = |temporary: &Utf8Path| {
        let arguments = ["create", "-q", "-f", "qcow2", "-b", &name, "-F", format, temporary.as_str(), &size];
        img(doing, &arguments).map(drop)
    };
    replace_by(overlay, create, |e| Error::io("create", overlay, e))
}

/// QEMU's name for an image: its path, or the nodes that lead to a part of a file (QEMU's qapi/block-core.json,
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
