//! Units that cost boot time and do nothing for a sandbox.

use super::GuestFile;

/// Masked units with the reason for each.
pub const MASKED: [(&str, &str); 13] = [
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
    ("systemd-firstboot.service", "would ask questions on the console"),
    ("systemd-pcrphase.service", "measures the boot into a TPM, and there is none"),
    ("systemd-pcrphase-sysinit.service", "measures the boot into a TPM, and there is none"),
    ("systemd-pcrmachine.service", "measures the boot into a TPM, and there is none"),
    ("ssh.socket", "ssh.service listens itself: two owners of one port race"),
    ("getty-static.service", "consoles that no headless machine has"),
];

pub(super) fn files() -> impl Iterator<Item = GuestFile> {
    MASKED.iter().map(|(unit, _)| GuestFile::symlink(format!("/etc/systemd/system/{unit}"), "/dev/null"))
}
