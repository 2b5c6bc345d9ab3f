//! The stages of `image`, in order.

/// Every stage with those that must be done before it.
pub(crate) const STAGES: &[(&str, &[&str])] = &[
    ("rootfs", &["tools", "guest"]),
    ("tools", &["rootfs", "guest"]),
    ("guest", &["rootfs", "tools"]),
    ("disk", &["rootfs", "tools", "guest"]),
    ("qemu", &["rootfs", "tools", "guest", "disk"]),
];
