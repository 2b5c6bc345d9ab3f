//! Units, the file system and privileges.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::guest::Guest;
use crate::poll::{CheckError, Observation, ensure};

/// The chain: each unit with those that must be active before it starts.
const CHAIN: &[(&str, &[&str])] = &[
    ("install-claude-tools.service", &[]),
    ("setup-agent-environment.service", &["install-claude-tools.service"]),
    ("vibe-kanban.service", &["setup-agent-environment.service"]),
    ("claude-code-router.service", &["setup-agent-environment.service"]),
    ("nginx.service", &["setup-agent-environment.service"]),
];

/// The smallest share of the disk, from the start of its partition to the disk's end, that the root file system fills:
/// ext4's own tables use 2 % (mke2fs(8), `-i` and `-J`). What is before it depends on the base: the ESP of Debian has 40
/// MiB, that of NixOS 512.
const GROWN_SHARE: f64 = 0.96;
/// Bytes of the unit of `/sys/dev/block/*/start` (sysfs-block(5)).
const SECTOR: f64 = 512.0;

/// One unit's state and times, in microseconds since boot (org.freedesktop.systemd1(5)).
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    active: bool,
    /// When it left "inactive", that is, began to start.
    started: u64,
    /// When it became active: for a oneshot unit, when it finished.
    done: u64,
}

pub(crate) fn unit_chain(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let names: Vec<&str> = CHAIN.iter().map(|(name, _)| *name).collect();
    let properties = "Id,ActiveState,InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic";
    let text = guest.succeed(&format!("systemctl show --property {properties} {}", names.join(" ")), seen)?;
    let units = parse(&text);
    seen.answer = order(&units)?;
    Ok(())
}

fn parse(text: &str) -> BTreeMap<String, Unit> {
    let mut units = BTreeMap::new();
    for block in text.split("\n\n") {
        let fields: BTreeMap<&str, &str> = block.lines().filter_map(|line| line.split_once('=')).collect();
        let number = |key: &str| fields.get(key).and_then(|value| value.parse().ok()).unwrap_or_default();
        let unit = Unit {
            active: fields.get("ActiveState") == Some(&"active"),
            started: number("InactiveExitTimestampMonotonic"),
            done: number("ActiveEnterTimestampMonotonic"),
        };
        units.insert(fields.get("Id").copied().unwrap_or_default().to_owned(), unit);
    }
    units
}

/// Fails unless every unit is active and started after its predecessors had finished; otherwise lists when each
/// started.
fn order(units: &BTreeMap<String, Unit>) -> Result<String, CheckError> {
    let mut story = Vec::new();
    for (name, before) in CHAIN {
        let unit = units.get(*name).filter(|unit| unit.active);
        let unit = unit.ok_or_else(|| CheckError::Failed(format!("{name} is not active")))?;
        for earlier in *before {
            let done = units.get(*earlier).map(|unit| unit.done).unwrap_or_default();
            ensure(unit.started >= done, || {
                format!("{name} started at {} us, before {earlier} was done at {done} us", unit.started)
            })?;
        }
        story.push(format!("{} {:.1} s", name.trim_end_matches(".service"), seconds(unit.started)));
    }
    Ok(story.join(", "))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since a boot stay far below 2^52")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// Waits for units that are still starting, but not for failed ones.
pub(crate) fn no_failed_units(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    guest.until(seen, |seen| {
        let state = guest.run("systemctl is-system-running", seen)?.text();
        ensure(state != "starting" && state != "initializing", || format!("the system is still {state}"))
    })?;
    let failed = guest.succeed("systemctl list-units --failed --plain --no-legend", seen)?;
    seen.answer = if failed.is_empty() { "none".into() } else { failed.replace('\n', "; ") };
    ensure(failed.is_empty(), || format!("failed: {failed}"))
}

/// The certificates are in the store, and where Node.js, Python and OpenSSL look, according to the environment of a
/// login.
pub(crate) fn certificates(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = format!("python3 - <<'END'\n{}END", include_str!("certificates.py"));
    guest.succeed(&script, seen)?.trim().clone_into(&mut seen.answer);
    Ok(())
}

pub(crate) fn sudo(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let id = guest.succeed("sudo -n id -u", seen)?;
    ensure(id == "0", || format!("sudo gives the user id {id}"))
}

/// How long reading a whole medium may take: hashing a gigabyte with SHA-256 on an emulated processor.
const MEDIUM: Duration = Duration::from_secs(600);

pub(crate) fn medium_whole(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let output = guest.run_within("sudo -n /usr/lib/rave/rave-guest install --check", MEDIUM, seen)?;
    seen.note(output.text().lines().last().unwrap_or_default());
    ensure(output.success(), || output.stderr.join("\n"))
}

pub(crate) fn root_grown(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script =
        "df --block-size=1M --output=size / | tail -n 1; cat /sys/dev/block/$(mountpoint --fs-devno /)/start";
    let text = guest.succeed(script, seen)?;
    #[expect(clippy::cast_precision_loss, reason = "a disk's MiB stay far below 2^52")]
    let disk = guest.expected.disk_mib as f64;
    grown(&text, disk)
}

/// Fails unless a file system of so many MiB, in a partition that starts at so many sectors, fills the rest of a disk of
/// so many MiB.
fn grown(text: &str, disk: f64) -> Result<(), CheckError> {
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [size, start] = numbers.as_slice() else {
        return Err(CheckError::Failed(format!("no size and start: {text:?}")));
    };
    let before = start * SECTOR / 1_048_576.0;
    ensure(*size >= (disk - before) * GROWN_SHARE, || {
        format!("the file system has {size} MiB, from {before} MiB on, on a disk of {disk} MiB")
    })
}

/// Keys from an image would be as old as the image.
pub(crate) fn host_keys_fresh(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let script = "awk '$1 == \"btime\" { print $2 }' /proc/stat; stat --format=%Y /etc/ssh/ssh_host_*_key";
    let text = guest.succeed(script, seen)?;
    let times: Vec<i64> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let [booted, keys @ ..] = times.as_slice() else {
        return Err(CheckError::Failed(format!("no times: {text:?}")));
    };
    seen.answer = format!(
        "{} keys, the oldest {} s after the boot",
        keys.len(),
        keys.iter().min().unwrap_or(booted) - booted
    );
    ensure(!keys.is_empty(), || "there are no host keys".into())?;
    // The kernel rounds the boot time to a second.
    ensure(keys.iter().all(|made| *made >= booted - 2), || {
        "a host key is older than this machine's boot".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of a Debian guest under software emulation.
    const SHOWN: &str = "Id=install-claude-tools.service
ActiveState=active
InactiveExitTimestampMonotonic=18346676
ActiveEnterTimestampMonotonic=19586449

Id=setup-agent-environment.service
ActiveState=active
InactiveExitTimestampMonotonic=20438505
ActiveEnterTimestampMonotonic=21137600

Id=vibe-kanban.service
ActiveState=active
InactiveExitTimestampMonotonic=25356024
ActiveEnterTimestampMonotonic=25356024

Id=claude-code-router.service
ActiveState=active
InactiveExitTimestampMonotonic=24397871
ActiveEnterTimestampMonotonic=27294081

Id=nginx.service
ActiveState=active
InactiveExitTimestampMonotonic=24558753
ActiveEnterTimestampMonotonic=24558753
";

    /// A guest of the NixOS base, and what is too small: as in the image, and grown by a partition that ends too soon.
    #[test]
    fn a_root_that_fills_the_disk_after_the_partitions_before_it_has_grown() {
        grown("15550\n1052672", 16384.0).unwrap();
        for small in ["2430\n1052672", "15200\n1052672", "15550", ""] {
            grown(small, 16384.0).unwrap_err();
        }
    }

    fn refused(shown: &str) -> String {
        match order(&parse(shown)) {
            Err(CheckError::Failed(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_ordered_chain_shows_when_each_unit_started() {
        assert_eq!(
            order(&parse(SHOWN)).unwrap(),
            "install-claude-tools 18.3 s, setup-agent-environment 20.4 s, vibe-kanban 25.4 s, \
             claude-code-router 24.4 s, nginx 24.6 s"
        );
    }

    #[test]
    fn a_unit_that_started_too_early_is_named_with_its_dependency() {
        assert_eq!(
            refused(&SHOWN.replace("=21137600", "=24400000")),
            "claude-code-router.service started at 24397871 us, before setup-agent-environment.service was done at \
             24400000 us"
        );
    }

    #[test]
    fn a_unit_that_is_down_restarts_or_is_missing_is_named() {
        for state in ["failed", "activating", "inactive"] {
            let shown = SHOWN.replacen("ActiveState=active", &format!("ActiveState={state}"), 1);
            assert_eq!(refused(&shown), "install-claude-tools.service is not active");
        }
        let (shown, _) = SHOWN.split_once("\nId=nginx").unwrap();
        assert_eq!(refused(shown), "nginx.service is not active");
        assert_eq!(refused(""), "install-claude-tools.service is not active");
    }
}
