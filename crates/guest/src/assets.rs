//! Every file that RAVE puts into a guest besides packages, the npm tools and the program `rave-guest`.
//!
//! The files of `assets/` are templates: `@name@` is replaced from [`GuestConfig`] and [`Paths`], by the same
//! syntax that Nix's `substituteAll` uses, so that both bases share them. A base takes [`files`], adds the user's
//! [`extra_unit`]s, and writes them into the root filesystem, over what packages put there.

mod desktop;
mod environment;
pub mod features;
mod masks;
pub mod npm;
mod playwright;
mod render;
mod system;
mod units;

use crate::config::{self, GuestConfig};
pub use masks::MASKED;
pub use units::{SERVICES, Service, enable, extra_unit};

/// Who owns a file in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// root, group root.
    Root,
    /// The user of [`GuestConfig::user`] and that user's own group.
    User,
}

/// What a [`GuestFile`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Permission bits, such as `0o644`.
        mode: u32,
        /// The whole content.
        content: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to, as written into the link.
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
    /// Absolute path inside the guest.
    pub path: String,
    /// Its owner.
    pub owner: Owner,
    /// What it is.
    pub kind: Kind,
}

impl GuestFile {
    /// A file that belongs to root.
    pub fn file(path: impl Into<String>, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), owner: Owner::Root, kind: Kind::File { mode, content: content.into() } }
    }

    /// A symbolic link that belongs to root.
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self { path: path.into(), owner: Owner::Root, kind: Kind::Symlink { target: target.into() } }
    }

    /// A directory that belongs to root.
    pub fn directory(path: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), owner: Owner::Root, kind: Kind::Directory { mode } }
    }
}

/// Where a base keeps the programs that units name. All absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The program `rave-guest`; `@rave_guest@`.
    pub rave_guest: String,
    /// The folder that holds the npm tools' `node_modules` and `bin`; `@tools@`.
    pub tools: String,
    /// Node.js; `@node@`.
    pub node: String,
    /// nginx; `@nginx@`.
    pub nginx: String,
    /// The gateway's static pages; `@pages@`.
    pub pages: String,
    /// What starts a session on the X server, with the session's command as arguments; `@xsession@`.
    pub xsession: String,
    /// The VNC server of a screen that is there; `@vnc_server@`.
    pub vnc_server: String,
    /// Chromium, which Playwright drives.
    pub chromium: String,
    /// The search path of services, without the user's own folder; part of `@path@`.
    pub path: String,
}

impl Paths {
    /// The Debian base.
    pub fn debian() -> Self {
        Self {
            rave_guest: "/usr/lib/rave/rave-guest".into(),
            tools: "/opt/rave/tools".into(),
            node: "/usr/bin/node".into(),
            nginx: "/usr/sbin/nginx".into(),
            pages: "/usr/lib/rave/pages".into(),
            xsession: "/etc/X11/Xsession".into(),
            vnc_server: "/usr/bin/X0tigervnc".into(),
            chromium: "/usr/bin/chromium".into(),
            path: "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin".into(),
        }
    }
}

/// Every file of the guest, sorted by path. No path is named twice, and each parent that is itself listed comes
/// before what lies in it.
pub fn files(config: &GuestConfig, paths: &Paths) -> Vec<GuestFile> {
    let text = render::Template::new(config, paths);
    let mut files = vec![GuestFile::file(config::PATH, 0o644, config.to_json())];
    files.extend(units::files(&text, config));
    files.extend(system::files(&text, config, paths));
    files.extend(environment::files(config));
    files.extend(npm::files(&text, config, paths));
    files.extend(masks::files());
    files.extend(features::files(&text, config, paths));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn guest() -> Vec<GuestFile> {
        let config = GuestConfig {
            features: ["desktop", "sound", "docker", "vnc", "playwright"].map(String::from).into(),
            environment: vec![("GREETING".into(), "it's \"$5\" \\ `x` 50% #".into())],
            ..GuestConfig::default()
        };
        files(&config, &Paths::debian())
    }

    #[test]
    fn no_path_is_named_twice_and_all_are_absolute() {
        let mut seen = BTreeSet::new();
        for file in guest() {
            assert!(file.path.starts_with('/') && !file.path.ends_with('/'), "{}", file.path);
            assert!(!file.path.contains("//") && !file.path.contains("/../"), "{}", file.path);
            assert!(seen.insert(file.path.clone()), "{} is listed twice", file.path);
        }
    }

    #[test]
    fn nothing_secret_and_no_host_key_is_baked_in() {
        for file in guest() {
            assert!(!file.path.contains("ssh_host_"), "{}", file.path);
            assert!(!file.path.contains("authorized_keys"), "{}", file.path);
            assert!(!file.path.contains(".claude-code-router"), "{}", file.path);
        }
    }

    #[test]
    fn no_placeholder_is_left() {
        for file in guest() {
            let Kind::File { content, .. } = &file.kind else { continue };
            let Ok(text) = std::str::from_utf8(content) else { continue };
            for line in text.lines() {
                assert_eq!(render::first_placeholder(line), None, "{}: {line}", file.path);
            }
        }
    }

    #[test]
    fn sudoers_is_read_only_what_is_started_is_executable_and_every_other_file_is_plain() {
        for file in guest() {
            if let Kind::File { mode, .. } = file.kind {
                let expected = match file.path.as_str() {
                    "/opt/rave/tools/bin/ccr" | "/etc/rave/follow-screen" | "/etc/rave/session" => 0o755,
                    path if path.starts_with("/home/agent/Desktop/") => 0o755,
                    path if path.starts_with("/etc/sudoers.d/") => 0o440,
                    _ => 0o644,
                };
                assert_eq!(mode, expected, "{}", file.path);
            }
        }
    }
}
