//! Whether a root filesystem can be unpacked with its owners: as root, or as a user in a namespace.

use std::fs;
use std::time::Duration;

use rave_process::{Cmd, find_program, shell_quote};

use crate::probe::probe;
use crate::report::{Finding, Fix, NOT_FOUND, State};
use crate::requirements::{BUILD, UIDMAP};
use crate::version_cache::VersionCache;

/// The timeout for creating a namespace, for a host under load.
const DEADLINE: Duration = Duration::from_secs(20);
/// The user IDs that a Debian system may use, 0 to 65534, and one more: mmdebstrap(1), MODES, unshare.
const IDS: u64 = 65_536;
/// `SUB_UID_MIN` of login.defs(5).
const FIRST_ID: u64 = 100_000;

const WHY: &str = "unpacks a root filesystem with its owners";

/// One finding for root, four for other users.
pub(crate) fn findings(versions: &mut VersionCache) -> Vec<Finding> {
    if rustix::process::geteuid().is_root() {
        return vec![as_root()];
    }
    let user = user_name();
    let mut findings = vec![probe(&UIDMAP, versions)];
    findings.extend(["/etc/subuid", "/etc/subgid"].map(|file| sub_ids(file, &user)));
    findings.push(user_namespaces());
    findings
}

fn finding(name: &str, needed: &str) -> Finding {
    Finding {
        name: name.to_owned(),
        found: String::new(),
        needed: needed.to_owned(),
        why: WHY,
        parts: BUILD,
        state: State::Ok,
        fix: Fix::None,
    }
}

fn as_root() -> Finding {
    let finding = finding("root", "may mount");
    // Keep the propagation, because it cannot be changed in a chroot.
    if succeeds(Cmd::new("unshare").args(["--mount", "--propagation", "unchanged", "true"])) {
        return Finding { found: "may mount".to_owned(), ..finding };
    }
    // Observed: mmdebstrap then works without /proc, and its tree lacks files of systemd-tmpfiles(8), which systemd
    // creates at every boot.
    Finding {
        found: "may not mount".to_owned(),
        state: State::Warning,
        fix: Fix::Advice(
            "this container lacks CAP_SYS_ADMIN, so packages are configured without /proc; if one fails, start the \
             container with --cap-add SYS_ADMIN"
                .to_owned(),
        ),
        ..finding
    }
}

fn user_namespaces() -> Finding {
    let finding = finding("user namespaces", "on for this user");
    let plain = Cmd::new("unshare").args([
        "--user",
        "--map-root-user",
        "--mount",
        "--propagation",
        "unchanged",
        "true",
    ]);
    // Ubuntu's AppArmor rules allow mmdebstrap what they deny to unshare.
    let own = || {
        find_program("mmdebstrap").is_some()
            && succeeds(Cmd::new("mmdebstrap").args(["--unshare-helper", "true"]))
    };
    if succeeds(plain) || own() {
        return Finding { found: "work".to_owned(), ..finding };
    }
    let setting =
        |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok().map(|text| text.trim().to_owned());
    let (found, advice) = cause(&setting);
    Finding { found, state: State::Missing, fix: Fix::Advice(advice), ..finding }
}

/// Why the kernel refuses, and what to do. `setting` reads a file below /proc/sys.
fn cause(setting: &dyn Fn(&str) -> Option<String>) -> (String, String) {
    let is = |name: &str, value: &str| setting(name).is_some_and(|text| text == value);
    let sysctl = |text: &str| {
        format!(
            "sudo sysctl -w {text} (and a file in /etc/sysctl.d to keep it), or run this as root, which needs none"
        )
    };
    if is("kernel/unprivileged_userns_clone", "0") {
        return (
            "off: kernel.unprivileged_userns_clone is 0".into(),
            sysctl("kernel.unprivileged_userns_clone=1"),
        );
    }
    if is("user/max_user_namespaces", "0") {
        return ("off: user.max_user_namespaces is 0".into(), sysctl("user.max_user_namespaces=15000"));
    }
    if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        return (
            "off: AppArmor restricts them".into(),
            sysctl("kernel.apparmor_restrict_unprivileged_userns=0"),
        );
    }
    (
        "refused by the kernel, as in a chroot or a container with a seccomp filter".into(),
        "run as root there, or start the container with --security-opt seccomp=unconfined".into(),
    )
}

/// The finding for /etc/subuid or /etc/subgid: subuid(5), lines of `name-or-id:first:count`.
fn sub_ids(file: &str, user: &str) -> Finding {
    let finding = finding(file, &format!("{IDS} ids for {user}"));
    let text = fs::read_to_string(file).unwrap_or_default();
    let id = rustix::process::getuid().as_raw().to_string();
    let (mine, others): (Vec<_>, Vec<_>) =
        text.lines().filter_map(range).partition(|range| range.owner == user || range.owner == id);
    if let Some(range) = mine.iter().find(|range| range.count >= IDS) {
        return Finding { found: format!("{} ids from {}", range.count, range.first), ..finding };
    }
    let is_gid = file.ends_with("gid");
    if let Some((first, count)) = of_directory(is_gid, user).filter(|(_, count)| *count >= IDS) {
        // mmdebstrap only reads the file; newuidmap(1) also queries the directory, and accepts the range.
        let line = format!("echo {} >> {file}", shell_quote(&format!("{user}:{first}:{count}")));
        return Finding {
            found: format!("{count} ids from {first}, but only in the directory of nsswitch.conf"),
            state: State::Missing,
            fix: Fix::RootCommand(["sh", "-c", line.as_str()].map(str::to_owned).to_vec()),
            ..finding
        };
    }
    let first = mine.iter().chain(&others).map(|range| range.first + range.count).fold(FIRST_ID, u64::max);
    let flag = if is_gid { "--add-subgids" } else { "--add-subuids" };
    let ids = format!("{first}-{}", first + IDS - 1);
    Finding {
        found: NOT_FOUND.to_owned(),
        state: State::Missing,
        fix: Fix::RootCommand(["usermod", flag, ids.as_str(), user].map(str::to_owned).to_vec()),
        ..finding
    }
}

/// The first range and its length for the user in a directory such as that of sssd(8): `subid` of nsswitch.conf(5),
/// queried by getsubids(1).
fn of_directory(is_gid: bool, user: &str) -> Option<(u64, u64)> {
    let databases = fs::read_to_string("/etc/nsswitch.conf").ok()?;
    if !asks_a_directory(&databases) {
        return None;
    }
    let arguments = is_gid.then_some("-g").into_iter().chain([user]);
    let answer = Cmd::new("getsubids").args(arguments).timeout(DEADLINE).output().ok()?;
    answer.text().lines().find_map(directory_range)
}

fn asks_a_directory(nsswitch: &str) -> bool {
    let mut databases = nsswitch.lines().filter_map(|line| line.trim().strip_prefix("subid:"));
    databases.any(|sources| sources.split_whitespace().any(|source| source != "files"))
}

/// Parses `0: USER FIRST COUNT`.
fn directory_range(line: &str) -> Option<(u64, u64)> {
    let (_, range) = line.split_once(": ")?;
    let mut numbers = range.split_whitespace().skip(1).map(str::parse::<u64>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

struct Range<'a> {
    owner: &'a str,
    first: u64,
    count: u64,
}

fn range(line: &str) -> Option<Range<'_>> {
    let mut fields = line.trim().split(':');
    Some(Range {
        owner: fields.next()?,
        first: fields.next()?.parse().ok()?,
        count: fields.next()?.parse().ok()?,
    })
}

fn user_name() -> String {
    let name = Cmd::new("id").arg("-un").timeout(DEADLINE).output();
    name.map_or_else(|_| rustix::process::getuid().as_raw().to_string(), |output| output.text())
}

fn succeeds(command: Cmd) -> bool {
    command.timeout(DEADLINE).output().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_remedy() {
        let with = |name: &'static str, value: &'static str| {
            cause(&move |asked| (asked == name).then(|| value.to_owned()))
        };
        let all = [
            with("kernel/unprivileged_userns_clone", "0"),
            with("user/max_user_namespaces", "0"),
            with("kernel/apparmor_restrict_unprivileged_userns", "1"),
            with("kernel/apparmor_restrict_unprivileged_userns", "0"),
        ];
        let remedies: std::collections::BTreeSet<&str> =
            all.iter().map(|(_, remedy)| remedy.as_str()).collect();
        assert_eq!(remedies.len(), 4);
        assert!(all[2].1.contains("apparmor_restrict_unprivileged_userns=0"));
    }

    #[test]
    fn ranges_are_parsed_and_invalid_lines_skipped() {
        let range = range("dev:100000:65536").unwrap();
        assert_eq!((range.owner, range.first, range.count), ("dev", 100_000, IDS));
        assert!(super::range("dev:x:1").is_none());
    }

    #[test]
    fn a_directory_service_is_queried_if_nsswitch_lists_it() {
        assert!(asks_a_directory("passwd: files sss\nsubid: sss\n"));
        assert!(!asks_a_directory("passwd: files sss\nsubid: files\n") && !asks_a_directory("subuid: sss\n"));
        assert_eq!(directory_range("0: ann 524288 65536"), Some((524_288, IDS)));
        assert_eq!(directory_range("Error fetching ranges"), None);
    }

    #[test]
    fn a_user_without_ids_gets_a_command_for_a_free_range() {
        let found = sub_ids("/no/such/subgid", "ann");
        let Fix::RootCommand(argv) = found.fix else { panic!("{:?}", found.fix) };
        assert_eq!(argv.join(" "), "usermod --add-subgids 100000-165535 ann");
    }
}
