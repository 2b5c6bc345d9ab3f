//! All files that RAVE adds to a guest, besides packages, the npm tools and the program `rave-guest`.
//!
//! The files of `assets/` are templates: `@name@` is replaced from [`GuestConfig`] and [`Paths`]. This is also the
//! syntax of Nix's `substituteAll`, so that both bases share the files. A base takes [`files`], adds the user's
//! [`extra_unit`]s and [`certificates()`], and writes them to the root filesystem, replacing those of packages.

mod certificates;
pub mod claude;
mod cloud;
pub mod desktop;
mod environment;
mod features;
mod file;
mod masks;
pub mod npm;
mod paths;
pub mod playwright;
mod render;
mod system;
pub mod units;

use crate::config::{self, GuestConfig};
pub use certificates::{PEM as CERTIFICATES, STORE as CERTIFICATE_STORE, TrustedCertificate, certificates};
pub use file::{GuestFile, GuestFileKind, Owner};
pub use masks::MASKED;
pub use paths::Paths;
pub use units::{SERVICES, ServiceUnit, enable, extra_unit};

/// All files of the guest, sorted by path. No path occurs twice, and a parent that is listed itself comes before its
/// content.
pub fn files(config: &GuestConfig, paths: &Paths) -> Vec<GuestFile> {
    let text = render::Template::new(config, paths);
    let mut files = vec![GuestFile::file(config::PATH, 0o644, config.to_json())];
    files.extend(units::files(&text, config));
    files.extend(system::files(&text, config, paths));
    files.extend(environment::files(config));
    files.extend(npm::files(&text, config, paths));
    files.extend(claude::files(&text, config, paths));
    files.extend(masks::files(config));
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
            claude_at_first_boot: true,
            features: ["desktop", "sound", "docker", "vnc", "playwright", "cloud"].map(String::from).into(),
            environment: vec![("GREETING".into(), "it's \"$5\" \\ `x` 50% #".into())],
            ..GuestConfig::default()
        };
        files(&config, &Paths::debian())
    }

    #[test]
    fn paths_are_unique_and_absolute() {
        let mut seen = BTreeSet::new();
        for file in guest() {
            assert!(file.path.starts_with('/') && !file.path.ends_with('/'), "{}", file.path);
            assert!(!file.path.contains("//") && !file.path.contains("/../"), "{}", file.path);
            assert!(seen.insert(file.path.clone()), "{} is listed twice", file.path);
        }
    }

    #[test]
    fn assets_contain_no_secret_and_no_host_key() {
        for file in guest() {
            assert!(!file.path.contains("ssh_host_"), "{}", file.path);
            assert!(!file.path.contains("authorized_keys"), "{}", file.path);
            assert!(!file.path.contains(".claude-code-router"), "{}", file.path);
        }
    }

    #[test]
    fn no_placeholder_remains() {
        for file in guest() {
            let GuestFileKind::File { content, .. } = &file.kind else { continue };
            let Ok(text) = std::str::from_utf8(content) else { continue };
            for line in text.lines() {
                assert_eq!(render::first_placeholder(line), None, "{}: {line}", file.path);
            }
        }
    }

    #[test]
    fn sudoers_is_read_only_and_only_programs_are_executable() {
        for file in guest() {
            if let GuestFileKind::File { mode, .. } = file.kind {
                let expected = match file.path.as_str() {
                    "/opt/rave/tools/bin/ccr"
                    | "/opt/rave/tools/bin/claude"
                    | "/etc/rave/follow-screen"
                    | "/etc/rave/session"
                    | "/usr/lib/systemd/system-shutdown/rave-screen-off" => 0o755,
                    path if path.starts_with("/home/agent/Desktop/") => 0o755,
                    path if path.starts_with("/etc/sudoers.d/") => 0o440,
                    _ => 0o644,
                };
                assert_eq!(mode, expected, "{}", file.path);
            }
        }
    }
}
