//! Links of packages, in a tree whose folders lie elsewhere.

use camino::{Utf8Path, Utf8PathBuf};

use super::places::place_of;

/// What a package's link at `path` with this target becomes in the tree at `root`; none: it stays.
pub(super) fn target(package: &str, path: &str, target: &str, root: &str) -> Option<String> {
    let folder = Utf8Path::new("/").join(path.trim_start_matches("./"));
    let whole = normal(&folder.parent()?.join(target));
    let of_tree = place_of(package, whole.as_str());
    if !target.starts_with('/') {
        let from = place_of(package, path)?;
        // Below a folder, so that one that leads out of the tree is seen.
        let kept = normal(&Utf8Path::new("/tree").join(from).parent()?.join(target));
        if of_tree.as_deref().is_some_and(|place| kept.strip_prefix("/tree").is_ok_and(|kept| kept == place))
        {
            return None;
        }
    }
    match of_tree {
        // The guest's own.
        _ if whole.starts_with("/etc") => (!target.starts_with('/')).then(|| whole.into_string()),
        Some(place) => Some(format!("{root}/{place}")),
        None => Some(whole.into_string()),
    }
}

/// Without `.` and `..`.
fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.as_str().split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Utf8PathBuf::from(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_into_the_tree_or_to_the_guests_own() {
        let of = |path, to| target("p", path, to, "/nix/store/x");
        assert_eq!(of("./usr/lib/a.so", "a.so.1"), None);
        assert_eq!(of("./usr/lib64/ld.so", "../lib/x/ld.so"), None);
        assert_eq!(of("./usr/share/a", "../../lib/b").unwrap(), "/nix/store/x/lib/b");
        assert_eq!(of("./etc/fonts/a.conf", "/usr/share/f/a.conf").unwrap(), "/nix/store/x/share/f/a.conf");
        assert_eq!(of("./usr/lib/ssl/certs", "/etc/ssl/certs"), None);
        assert_eq!(of("./usr/bin/b", "../../etc/alternatives/b").unwrap(), "/etc/alternatives/b");
        assert_eq!(of("./usr/lib/systemd/system/x", "/dev/null").unwrap(), "/dev/null");
    }
}
