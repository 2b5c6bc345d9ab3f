//! `/dev/kvm` as a file: does it exist, and may this user open it?

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;

use super::KvmState;

/// The device, Documentation/virt/kvm/api.rst of Linux.
const DEVICE: &str = "/dev/kvm";

/// Why KVM cannot be used at all, or `None` if the device opens.
pub(super) fn obstacle() -> Option<KvmState> {
    obstacle_at(Utf8Path::new(DEVICE), &fs::read_to_string("/etc/group").unwrap_or_default())
}

fn obstacle_at(device: &Utf8Path, groups: &str) -> Option<KvmState> {
    let error = fs::OpenOptions::new().read(true).write(true).open(device).err()?;
    let reason = error.to_string().to_lowercase();
    match (error.kind(), fs::metadata(device)) {
        // A container's device rules give EPERM.
        (ErrorKind::PermissionDenied, Ok(meta)) => {
            Some(KvmState::NoPermission { group: group_name(groups, meta.gid()), reason })
        }
        // ENODEV or ENXIO: a device node without the module behind it.
        _ => Some(KvmState::Absent { reason }),
    }
}

/// The name of a group in the text of group(5), or its number if it has no name.
fn group_name(groups: &str, gid: u32) -> String {
    let number = gid.to_string();
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_shown_by_name_if_they_have_one() {
        let groups = "root:x:0:\nbroken\nkvm:x:106:ann,bob\n";
        assert_eq!(group_name(groups, 106), "kvm");
        assert_eq!(group_name(groups, 0), "root");
        assert_eq!(group_name(groups, 7), "7");
    }

    #[test]
    fn a_missing_device_is_absent() {
        let missing = obstacle_at(Utf8Path::new("/dev/no-such-kvm"), "");
        assert!(matches!(missing, Some(KvmState::Absent { reason }) if reason.contains("no such file")));
    }

    #[test]
    fn a_device_that_opens_is_usable() {
        assert_eq!(obstacle_at(Utf8Path::new("/dev/null"), ""), None);
    }
}
