//! A file of the guest as a value.

/// The owner of a file in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// root, group root.
    Root,
    /// The user of [`GuestConfig::user`](crate::config::GuestConfig::user) and that user's own group.
    User,
}

/// The kind of a [`GuestFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestFileKind {
    /// A regular file.
    File {
        /// Permission bits, such as `0o644`.
        mode: u32,
        /// The whole content.
        content: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// The target, as written in the link.
        target: String,
    },
    /// A directory; its parents have mode 0755 and belong to root.
    Directory {
        /// Permission bits, such as `0o755`.
        mode: u32,
    },
}

/// One file, link or directory of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// The absolute path inside the guest.
    pub path: String,
    /// Its owner.
    pub owner: Owner,
    /// Its kind.
    pub kind: GuestFileKind,
}

impl GuestFile {
    /// A file that belongs to root.
    pub fn file(path: impl Into<String>, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            owner: Owner::Root,
            kind: GuestFileKind::File { mode, content: content.into() },
        }
    }

    /// A symbolic link that belongs to root.
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self { path: path.into(), owner: Owner::Root, kind: GuestFileKind::Symlink { target: target.into() } }
    }

    /// A directory that belongs to root.
    pub fn directory(path: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), owner: Owner::Root, kind: GuestFileKind::Directory { mode } }
    }
}
