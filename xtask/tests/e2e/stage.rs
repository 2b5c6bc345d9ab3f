//! The stages of `image`, in order.

/// Every stage with those that must be done before it.
pub(crate) const STAGES: &[(&str, &[&str])] = &[
    ("rootfs", &["tools", "guest"]),
    ("tools", &["rootfs", "guest"]),
    ("guest", &["rootfs", "tools"]),
    ("disk", &["rootfs", "tools", "guest"]),
    ("qemu", &["rootfs", "tools", "guest", "disk"]),
];

/// The stages of the formats that the shared image does not have; all that is in [`STAGES`] is done before them but the last.
pub(crate) const OTHER_FORMATS: &[&str] = &["virtualbox", "vmware", "raw", "iso"];
