//! Units that cost boot time and do nothing for a sandbox.

use super::GuestFile;

/// Masked units with the reason for each.
pub const MASKED: [(&str, &str); 18] = [
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
    (
        "sshd-keygen.service",
        "would make an RSA key, which takes seconds; rave-ssh-keys.service makes the others",
    ),
    ("ldconfig.service", "the image's own packages did this; at a first boot it would be done once more"),
    ("systemd-hwdb-update.service", "as above, and it takes seconds"),
    ("systemd-journal-catalog-update.service", "as above"),
    ("systemd-update-done.service", "only notes that the three above were done"),
    ("systemd-pstore.service", "keeps crash dumps of firmware that a virtual machine does not have"),
];

/// It offers SSH over `AF_VSOCK`, fails with an error in the log where there is none, and costs a process at each boot.
const SSH_GENERATOR: &str = "/etc/systemd/system-generators/systemd-ssh-generator";

pub(super) fn files() -> impl Iterator<Item = GuestFile> {
    let units = MASKED.iter().map(|(unit, _)| format!("/etc/systemd/system/{unit}"));
    units.chain([SSH_GENERATOR.to_owned()]).map(|path| GuestFile::symlink(path, "/dev/null"))
}
