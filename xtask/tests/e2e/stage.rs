//! The stages of `image`, in order.

/// Every stage with its prerequisites.
pub(crate) const STAGES: &[(&str, &[&str])] = &[
    ("rootfs", &["tools", "guest"]),
    ("tools", &["rootfs", "guest"]),
    ("guest", &["rootfs", "tools"]),
    ("disk", &["rootfs", "tools", "guest"]),
    ("qemu", &["rootfs", "tools", "guest", "disk"]),
];

/// The stages of formats that the shared image does not have; all of [`STAGES`] but the last precede them.
pub(crate) const OTHER_FORMATS: &[&str] = &["virtualbox", "vmware", "raw", "iso"];
