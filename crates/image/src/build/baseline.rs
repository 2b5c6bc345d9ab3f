//! Disks without any of RAVE's files: the baseline for measuring boots.

use rave_guest::assets::GuestFile;
use rave_process::progress::Sink;

use super::{BuildPlan, BuildRequest, lock};
use crate::digest::Digest;
use crate::disk::{DiskInputs, RawDisk, boot_loader};
use crate::error::Error;
use crate::npm_tools::NpmTools;
use crate::stage_cache::StageCache;
use crate::stage_runner::StageRunner;
use crate::tempdir;
use crate::tree::overlay::Overlay;

/// A plain system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// The kernel and packages of the profile.
    Profile,
    /// The Xfce desktop of Debian's installer, with its recommended packages. It logs the user in automatically, and
    /// prints the memory in use on the serial console.
    XfceDesktop,
}

/// Debian's own choice for an Xfce desktop (tasksel(8)).
const TASK: &str = "task-xfce-desktop";

/// Prints these two lines of `proc_meminfo(5)` every five seconds.
const MEMORY_UNIT: &str = "[Unit]\nDescription=Tell the memory in use\n[Service]\n\
    ExecStart=/bin/sh -c 'while :; do grep -E \"^(MemTotal|MemAvailable):\" /proc/meminfo >/dev/ttyS0; sleep 5; done'\n";

/// Builds one, or takes it from the cache.
pub fn baseline_disk(request: &BuildRequest<'_>, kind: Baseline, sink: Sink<'_>) -> Result<RawDisk, Error> {
    let plan = BuildPlan::read(request)?;
    let _lock = lock(request.cache_dir, sink)?;
    tempdir::sweep(request.cache_dir)?;
    let store = StageCache::open(request.cache_dir)?;
    let stages = StageRunner::new(store, request.cache_dir, request.log_dir, false, sink);
    let (rootfs, overlay) = match kind {
        Baseline::Profile => (plan.rootfs.clone(), Overlay::default()),
        Baseline::XfceDesktop => (plan.rootfs.plain_desktop(request.spec, TASK), desktop(&plan.account.user)),
    };
    let options = request.resolve_options();
    let (rootfs, root) = rootfs.with_known_packages(&options).build(&stages, &options)?;
    let key = Digest::of_bytes(format!("plain {} {}", rootfs.key(), overlay.digest()).as_bytes());
    let inputs = DiskInputs {
        root: &root,
        tools: &NpmTools::none(&stages)?,
        account: &plan.account,
        overlay: &overlay,
        kernel_arguments: boot_loader::PLAIN_KERNEL_ARGUMENTS,
        key,
        epoch: request.epoch,
        most: request.spec.vm.disk.bytes(),
    };
    inputs.build(&stages, "plain")
}

fn desktop(user: &str) -> Overlay {
    let unit = "/etc/systemd/system/bench-memory.service";
    let wanted = "/etc/systemd/system/multi-user.target.wants/bench-memory.service";
    let login = format!("[Seat:*]\nautologin-user={user}\nautologin-session=xfce\n");
    let mut overlay = Overlay::default();
    overlay.add(GuestFile::file("/etc/lightdm/lightdm.conf.d/50-login.conf", 0o644, login));
    overlay.add(GuestFile::file(unit, 0o644, MEMORY_UNIT));
    overlay.add(GuestFile::symlink(wanted, unit));
    overlay
}
