//! Masks units that take boot time but are useless in a sandbox.

use super::GuestFile;
use crate::config::GuestConfig;
use crate::features::CLOUD;

/// The masked units, each with the reason.
pub const MASKED: [(&str, &str); 31] = [
    ("apt-daily.timer", "would fetch package lists behind the user's back, right after boot"),
    ("apt-daily-upgrade.timer", "would change the pinned system"),
    ("dpkg-db-backup.timer", "copies the package database every day; the image is the backup"),
    ("e2scrub_all.timer", "checks LVM snapshots, and there is no LVM"),
    ("e2scrub_reap.service", "cleans up after e2scrub at every boot"),
    ("man-db.timer", "indexes manual pages, and hardly any are installed"),
    (
        "systemd-networkd-wait-online.service",
        "nothing may wait for a network: a boot without one must be as quick",
    ),
    ("NetworkManager-wait-online.service", "as above"),
    ("systemd-firstboot.service", "would ask questions on the console"),
    ("systemd-pcrphase.service", "measures the boot into a TPM, and there is none"),
    ("systemd-pcrphase-sysinit.service", "measures the boot into a TPM, and there is none"),
    ("systemd-pcrmachine.service", "measures the boot into a TPM, and there is none"),
    ("ssh.socket", "ssh.service listens itself: two owners of one port race"),
    (
        "sshd-keygen.service",
        "would make an RSA key, which takes seconds; rave-ssh-keys.service makes the others",
    ),
    ("ldconfig.service", "the image's own packages did this; the first boot would do it again"),
    ("systemd-hwdb-update.service", "as above, and it takes seconds"),
    ("systemd-journal-catalog-update.service", "as above"),
    ("systemd-update-done.service", "only notes that the three above were done"),
    (
        "systemd-networkd-persistent-storage.service",
        "only tells networkd that /var is available, for DHCP servers",
    ),
    ("modprobe@dm_mod.service", "device mapper: loaded when the first such device is created"),
    ("modprobe@loop.service", "loop devices: loaded when the first is opened"),
    ("modprobe@drm.service", "graphics: udev loads the driver where there is a card"),
    ("modprobe@configfs.service", "for building virtual devices of the kernel's own"),
    ("sys-kernel-config.mount", "as above"),
    ("systemd-binfmt.service", "runs programs of other processors, and no emulator for them is installed"),
    ("proc-sys-fs-binfmt_misc.automount", "as above"),
    ("systemd-udev-load-credentials.service", "takes udev rules from the host, which provides none"),
    ("dev-hugepages.mount", "for programs that a sandbox does not run"),
    ("sys-kernel-debug.mount", "for debugging kernels; `sudo mount -t debugfs` brings it back"),
    ("sys-kernel-tracing.mount", "as above, with tracefs"),
    ("systemd-pstore.service", "keeps crash dumps of firmware that a virtual machine does not have"),
];

/// Drivers that udev would load for emulated hardware that a sandbox does not use; `modprobe NAME` still loads them
/// (modprobe.d(5)). Together they are a tenth of the boot's work under software emulation.
const BLACKLIST: &str = "\
# Not used in a sandbox; `modprobe NAME` still loads them.
# A watchdog, a bus of sensors and a bridge of the chipset, a speaker, a mouse and raw access to old ports.
blacklist iTCO_wdt
blacklist i2c_i801
blacklist lpc_ich
blacklist pcspkr
blacklist psmouse
blacklist serio_raw
# Virtual machines inside this one.
blacklist kvm_amd
blacklist kvm_intel
# Wireless networks: the kernel itself requests this for networkd, regardless of the blacklist.
alias net-pf-16-proto-16-family-nl80211 off
# Sockets between VMware's machines.
blacklist vmw_vsock_vmci_transport
";

/// It offers SSH over `AF_VSOCK`, logs an error if that is missing, and takes a process at each boot.
const SSH_GENERATOR: &str = "/etc/systemd/system-generators/systemd-ssh-generator";

pub(super) fn files(config: &GuestConfig) -> impl Iterator<Item = GuestFile> {
    let masked = MASKED.iter().map(|(unit, _)| *unit).filter(|unit| !starts_them(config, unit));
    let units = masked.map(|unit| format!("/etc/systemd/system/{unit}"));
    let masks = units.chain([SSH_GENERATOR.to_owned()]).map(|path| GuestFile::symlink(path, "/dev/null"));
    masks.chain([GuestFile::file("/etc/modprobe.d/rave.conf", 0o644, BLACKLIST)])
}

/// cloud-init starts these itself, and only for user data that refers to another machine.
fn starts_them(config: &GuestConfig, unit: &str) -> bool {
    config.has(CLOUD) && unit.ends_with("-wait-online.service")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cloud_init_may_wait_for_a_network() {
        let waits =
            |config: &GuestConfig| files(config).filter(|file| file.path.contains("-wait-online")).count();
        assert_eq!(waits(&GuestConfig::default()), 2);
        assert_eq!(waits(&GuestConfig { features: [CLOUD.to_owned()].into(), ..GuestConfig::default() }), 0);
    }
}
