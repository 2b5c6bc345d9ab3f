//! Packages unpacked, moved to their places, and rewritten.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rave_image::manifest::PAYLOAD_MARK;
use rave_process::Cmd;

use super::lock::Package;
use super::places::{LINKS, place_of};
use super::{archive, links, rewrite};

/// Unpacks a package and prints its files.
const UNPACK: &str = "dpkg-deb --fsys-tarfile \"$1\" | tar --extract --verbose --quoting-style=literal --no-same-owner --directory \"$2\" --file -";

/// Choices that Debian leaves to the packages' scripts (update-alternatives(1)).
const ALTERNATIVES: &[(&str, &str)] = &[
    ("bin/sh", "bash"),
    ("bin/awk", "gawk"),
    ("bin/nc", "nc.openbsd"),
    ("bin/vim", "vim.basic"),
    ("bin/vi", "vim.basic"),
    ("bin/which", "which.debianutils"),
    ("bin/pager", "less"),
    ("bin/editor", "nano"),
    ("bin/cc", "gcc"),
    ("bin/c++", "g++"),
];

/// Makes `layer` and `lists` in a folder.
pub(super) fn unpack(
    packages: &[Package],
    debs: &Utf8Path,
    folder: &Utf8Path,
    path: &str,
    log: &Utf8Path,
) -> anyhow::Result<()> {
    let layer = folder.join("layer");
    let root = layer.join(path.trim_start_matches("/nix/"));
    let (lists, raw) = (folder.join("lists-new"), folder.join("raw"));
    if folder.join("unpacked").exists() {
        return finish(&layer, folder, log);
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for one in [&root, &lists] {
        fs::create_dir_all(one)?;
    }
    for package in packages {
        fs::create_dir(&raw)?;
        let deb = debs.join(archive::file_name(&package.sha256));
        let mut listed = Vec::new();
        Cmd::new("sh")
            .args(["-c", UNPACK, "sh", deb.as_str(), raw.as_str()])
            .run(&mut |line| listed.push(line.text.to_owned()))
            .with_context(|| format!("cannot unpack {}", package.name))?;
        let mut places = take(&package.name, &listed, &raw, &root, path)?;
        places.sort();
        fs::write(lists.join(&package.name), places.join("\n") + "\n")?;
        fs::remove_dir_all(&raw)?;
    }
    for (name, to) in ALTERNATIVES {
        let link = root.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(to, &link)?;
    }
    fs::create_dir(root.join("empty"))?;
    for (name, to) in LINKS {
        symlink(format!("{path}/{to}"), layer.join(name))?;
    }
    fs::write(layer.join(PAYLOAD_MARK), "a store of tests\n")?;
    musl_headers(&root)?;
    certificates(&root)?;
    fs::write(folder.join("unpacked"), "")?;
    finish(&layer, folder, log)
}

fn finish(layer: &Utf8Path, folder: &Utf8Path, log: &Utf8Path) -> anyhow::Result<()> {
    generated(layer, log)?;
    canonical(layer)?;
    Ok(fs::rename(folder.join("lists-new"), folder.join("lists"))?)
}

/// Moves the files of a package to their places; gives the places.
fn take(
    package: &str,
    listed: &[String],
    raw: &Utf8Path,
    root: &Utf8Path,
    path: &str,
) -> anyhow::Result<Vec<String>> {
    let more: &[_] = if package.starts_with("openssh") { &[rewrite::SSHD] } else { &[] };
    let mut places = Vec::new();
    for name in listed.iter().filter(|name| !name.ends_with('/')) {
        let Some(place) = place_of(package, name) else { continue };
        let (from, to) = (raw.join(name), root.join(&place));
        fs::create_dir_all(to.parent().unwrap_or(root))?;
        if to.symlink_metadata().is_ok() {
            fs::remove_file(&to)?;
        }
        if from.symlink_metadata()?.is_symlink() {
            let target = fs::read_link(&from)?;
            let target = target.to_str().context("a link whose target is not UTF-8")?;
            let new = links::target(package, name, target, path);
            symlink(new.as_deref().unwrap_or(target), &to)?;
        } else {
            // A second name of a file that was taken: tar made a link of it.
            fs::hard_link(&from, &to)?;
            if !place.starts_with("lib/modules/") {
                in_place(&to, more)?;
            }
        }
        places.push(place);
    }
    Ok(places)
}

/// Rewrites a file.
fn in_place(file: &Utf8Path, words: &[(&str, &str)]) -> io::Result<()> {
    let mut bytes = fs::read(file)?;
    if rewrite::rewrite(&mut bytes, words) {
        let mode = file.metadata()?.permissions().mode();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
        fs::write(file, bytes)?;
        fs::set_permissions(file, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// The kernel's headers alone, for programs of another C library.
fn musl_headers(root: &Utf8Path) -> io::Result<()> {
    let folder = root.join("kernel-headers");
    fs::create_dir(&folder)?;
    symlink("../include/linux", folder.join("linux"))?;
    symlink("../include/asm-generic", folder.join("asm-generic"))?;
    symlink("../include/x86_64-linux-gnu/asm", folder.join("asm"))
}

/// All authorities in one file, as the package's script makes it.
fn certificates(root: &Utf8Path) -> anyhow::Result<()> {
    let folder = root.join("share/ca-certificates/mozilla");
    let files: BTreeSet<Utf8PathBuf> = folder
        .read_dir_utf8()?
        .map(|entry| entry.map(|entry| entry.path().to_owned()))
        .collect::<io::Result<_>>()?;
    let mut bundle = Vec::new();
    for file in files {
        bundle.extend(fs::read(file)?);
    }
    fs::create_dir_all(root.join("etc/ssl/certs"))?;
    fs::write(root.join("etc/ssl/certs/ca-bundle.crt"), bundle)?;
    Ok(())
}

/// As nix makes paths of its store (nix's manual, "Store object"), so that it changes nothing, and the overlay copies nothing.
const CANONICAL: &str = "find \"$1/store\" -type d -exec chmod 0555 {} + && \
    find \"$1/store\" -type f -perm /111 -exec chmod 0555 {} + && \
    find \"$1/store\" -type f -not -perm /111 -exec chmod 0444 {} + && \
    find \"$1/store\" -mindepth 1 -exec touch --no-dereference --date @1 {} + && chmod 0755 \"$1/store\"";

fn canonical(layer: &Utf8Path) -> anyhow::Result<()> {
    Cmd::new("sh").args(["-c", CANONICAL, "sh", layer.as_str()]).output()?;
    Ok(())
}

/// Binds the tree to `/nix` and runs its own programs: the kernel's index of modules, and a locale.
const GENERATE: &str = "set -e\nmount --bind \"$1\" /nix\nexport PATH=/nix/bin:/nix/sbin\nroot=$(readlink /nix/lib)\nroot=${root%/lib}\n\
    for version in \"$root\"/lib/modules/*; do depmod --basedir \"$root\" \"${version##*/}\"; done\n\
    mkdir -p \"$root/lib/locale\"\n\
    localedef --no-archive -c -i en_US -f UTF-8 \"$root/lib/locale/en_US.utf8\" || [ -d \"$root/lib/locale/en_US.utf8\" ]\n";

fn generated(layer: &Utf8Path, log: &Utf8Path) -> anyhow::Result<()> {
    Cmd::new("unshare")
        .args(["--mount", "--", "bash", "-c", GENERATE, "bash", layer.as_str()])
        .log_file(log)
        .run(&mut |_| ())
        .context("the payload's own programs do not run")?;
    Ok(())
}
