//! Command lines of `nix` as pure values.

use camino::Utf8Path;
use rave_spec::{Format, Nixos};

/// The flake's attribute of a format: the profile is always named, because the default may change.
pub fn attribute(format: Format, profile: &str) -> String {
    format!("{format}-{profile}")
}

/// The flake's attribute of the closure of a profile's system.
pub fn closure(profile: &str) -> String {
    format!("closure-{profile}")
}

/// The flake's attribute of a profile's disk, which its formats are converted from.
pub fn disk(profile: &str) -> String {
    format!("disk-{profile}")
}

/// The same as [`build`], and the disk itself.
pub fn with_disk(formats: &[Format], profile: &str, options: &Nixos, out_link: &Utf8Path) -> Vec<String> {
    let mut argv = build(formats, profile, options, out_link);
    argv.insert(2, format!(".#{}", disk(profile)));
    argv
}

/// Builds several formats and the closure's registration at once; `out_link` becomes a garbage collector root, with
/// `-1`, `-2` and so on for those after the first.
pub fn build(formats: &[Format], profile: &str, options: &Nixos, out_link: &Utf8Path) -> Vec<String> {
    let mut argv = start(formats, profile);
    argv.extend(["--out-link".to_owned(), out_link.to_string()]);
    argv.extend(passed_on(options));
    if options.rebuild {
        argv.push("--rebuild".into());
    }
    argv
}

/// Only evaluates, and prints what a build would produce.
pub fn evaluate(formats: &[Format], profile: &str, options: &Nixos) -> Vec<String> {
    let mut argv = start(formats, profile);
    argv.extend(["--dry-run", "--no-link"].map(str::to_owned));
    argv.extend(passed_on(options));
    argv
}

/// Registers a store path as a garbage collector root.
pub fn root(store_path: &str, link: &Utf8Path) -> Vec<String> {
    owned(&["nix", "build", store_path, "--offline", "--out-link", link.as_str()])
}

/// Digests and sizes of store paths.
pub fn path_info(store_paths: &[&str]) -> Vec<String> {
    let mut argv = owned(&["nix", "path-info", "--json", "--closure-size"]);
    argv.extend(store_paths.iter().map(|path| (*path).to_owned()));
    argv
}

/// The flake's metadata, such as its commit.
pub fn metadata(options: &Nixos) -> Vec<String> {
    let mut argv = owned(&["nix", "flake", "metadata", "--json", "--no-write-lock-file"]);
    if options.offline {
        argv.push("--offline".into());
    }
    argv
}

/// The settings of nix.conf, including its includes; the command had another name before 2.20.
pub fn config() -> [Vec<String>; 2] {
    [owned(&["nix", "config", "show", "--json"]), owned(&["nix", "show-config", "--json"])]
}

/// The store and whether it trusts this user; the command had another name before 2.19.
pub fn store() -> [Vec<String>; 2] {
    [owned(&["nix", "store", "info", "--json"]), owned(&["nix", "store", "ping", "--json"])]
}

/// Where the store's files are.
pub fn store_folder() -> Vec<String> {
    owned(&["nix", "eval", "--raw", "--expr", "builtins.storeDir"])
}

fn start(formats: &[Format], profile: &str) -> Vec<String> {
    let mut argv = owned(&["nix", "build"]);
    // Relative to the working folder: a checkout's path may contain characters that a flake URL may not.
    let attributes = formats.iter().map(|format| attribute(*format, profile));
    argv.extend(attributes.chain([closure(profile)]).map(|name| format!(".#{name}")));
    // The lock belongs to the checkout, and only `nix flake update` changes it.
    argv.extend(
        ["--json", "--log-format", "internal-json", "--show-trace", "--no-write-lock-file"]
            .map(str::to_owned),
    );
    argv
}

fn passed_on(options: &Nixos) -> Vec<String> {
    let mut argv = Vec::new();
    let mut option = |name: &str, value: String| argv.extend([name.to_owned(), value]);
    if !options.builders.is_empty() {
        option("--builders", joined(&options.builders, " ; "));
    }
    if !options.substituters.is_empty() {
        option("--extra-substituters", joined(&options.substituters, " "));
    }
    if let Some(jobs) = options.max_jobs {
        option("--max-jobs", jobs.to_string());
    }
    if options.offline {
        argv.push("--offline".into());
    }
    argv
}

fn joined<T: ToString>(values: &[T], separator: &str) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_formats_are_built_by_one_command() {
        let argv = build(&[Format::Qemu, Format::Iso], "full", &Nixos::default(), "/state/x y".into());
        assert_eq!(
            argv,
            [
                "nix",
                "build",
                ".#qemu-full",
                ".#iso-full",
                ".#closure-full",
                "--json",
                "--log-format",
                "internal-json",
                "--show-trace",
                "--no-write-lock-file",
                "--out-link",
                "/state/x y",
            ]
        );
        let argv = evaluate(&[Format::Raw], "simple", &Nixos::default());
        assert_eq!(argv[2..4], [".#raw-simple", ".#closure-simple"]);
        assert_eq!(argv[argv.len() - 2..], ["--dry-run", "--no-link"]);
    }

    #[test]
    fn options_are_passed_to_nix() {
        let options = Nixos {
            builders: ["ssh://a x86_64-linux", "ssh://b x86_64-linux - 4 1 kvm"]
                .map(|line| line.parse().unwrap())
                .into(),
            substituters: ["file:///a", "file:///b"].map(|url| url.parse().unwrap()).into(),
            max_jobs: Some(0),
            offline: true,
            rebuild: true,
        };
        let argv = build(&[Format::Qemu], "full", &options, "/link".into());
        assert_eq!(
            argv[11..],
            [
                "--builders",
                "ssh://a x86_64-linux ; ssh://b x86_64-linux - 4 1 kvm",
                "--extra-substituters",
                "file:///a file:///b",
                "--max-jobs",
                "0",
                "--offline",
                "--rebuild",
            ]
        );
        // An evaluation does not pass --rebuild, which fails if an output does not exist.
        assert!(!evaluate(&[Format::Qemu], "full", &options).contains(&"--rebuild".to_owned()));
        assert!(metadata(&options).contains(&"--offline".to_owned()));
    }

    #[test]
    fn a_second_build_has_the_disk_too() {
        let options = Nixos { rebuild: true, ..Nixos::default() };
        let argv = with_disk(&[Format::Qemu], "full", &options, "/link".into());
        assert_eq!(argv[1..5], ["build", ".#disk-full", ".#qemu-full", ".#closure-full"]);
        assert_eq!(argv.last().unwrap(), "--rebuild");
    }

    #[test]
    fn store_queries() {
        assert_eq!(path_info(&["/a", "/b"]), ["nix", "path-info", "--json", "--closure-size", "/a", "/b"]);
        assert_eq!(config().map(|argv| argv.join(" ")), ["nix config show --json", "nix show-config --json"]);
        assert_eq!(store().map(|argv| argv.join(" ")), ["nix store info --json", "nix store ping --json"]);
        assert_eq!(root("/a", "/l".into()), ["nix", "build", "/a", "--offline", "--out-link", "/l"]);
    }
}
