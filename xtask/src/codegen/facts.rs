//! `nix/facts.json`: names, limits and lists of the Rust code that the flake also needs.
//! Assets are not included: both sides read those files. Nothing in it depends on the host, the time or the commit: a
//! program and a checkout are compatible if this file is the same.

use rave_guest::assets::desktop::LAUNCHERS;
use rave_guest::assets::units::{FROM_PACKAGES, NETWORK_MANAGER, NETWORKD};
use rave_guest::assets::{CERTIFICATE_STORE, CERTIFICATES, MASKED, SERVICES, claude, npm, playwright};
use rave_guest::features::VNC_PORT;
use rave_guest::iso;
use rave_image::tree::accounts;
use rave_smoke::registry::{CHECKS, Place};
use rave_spec::{Base, ClaudeCode, Compression, Date, Feature, Format, NetworkMode, ServiceName};
use serde::Serialize;

use super::generated::Generated;

/// The path from which the flake reads it.
const PATH: &str = "nix/facts.json";

pub(super) fn generate() -> Generated {
    let facts = Facts {
        rave_toml: rave_toml(),
        guest: guest(),
        tools: tools(),
        iso: Iso { disk: iso::DISK },
        checks: checks(),
    };
    let mut text = serde_json::to_string_pretty(&facts).expect("names, numbers and lists are JSON");
    text.push('\n');
    Generated { path: PATH.into(), text }
}

/// The fields are in the order of the file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    rave_toml: RaveToml,
    guest: Guest,
    tools: Tools,
    iso: Iso,
    checks: Vec<Check>,
}

/// Allowed values in `rave.toml` and the profiles.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RaveToml {
    schema: u64,
    bases: Vec<&'static str>,
    formats: Vec<&'static str>,
    features: Vec<&'static str>,
    services: Vec<&'static str>,
    compressions: Vec<&'static str>,
    dates: Vec<&'static str>,
    network_modes: Vec<&'static str>,
    /// Maximum length of a network rule, characters.
    network_rule_max: usize,
    claude: Vec<&'static str>,
    limits: SizeRanges,
    /// Names that users may not have.
    reserved_users: &'static [&'static str],
    key_kinds: &'static [&'static str],
    unit_suffixes: &'static [&'static str],
    certificate_suffixes: &'static [&'static str],
    builder_schemes: &'static [&'static str],
    /// Maximum number of fields after a builder's URL.
    builder_fields: usize,
    mirror_schemes: &'static [&'static str],
    substituter_schemes: &'static [&'static str],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SizeRanges {
    memory: Range,
    cpus: Range,
    disk: Range,
    sandboxes: Range,
    keep_audit: Range,
    max_jobs: Range,
}

#[derive(Debug, Serialize)]
struct Range {
    lowest: u64,
    highest: u64,
}

/// What every guest has, on either base.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Guest {
    user_id: u64,
    groups: &'static [&'static str],
    services: Vec<Service>,
    vnc_port: u16,
    /// The files of the authorities that a guest trusts: the additional ones, and all of them.
    certificates: &'static str,
    certificate_store: &'static str,
    launchers: Vec<Launcher>,
    browsers: Browsers,
    /// Units that never start.
    masked: Vec<&'static str>,
    /// Units of packages that are wanted by a target.
    enabled: Vec<Wanted>,
    networkd: Vec<Wanted>,
    network_manager: Vec<Wanted>,
}

#[derive(Debug, Serialize)]
struct Service {
    name: &'static str,
    unit: &'static str,
    title: &'static str,
}

#[derive(Debug, Serialize)]
struct Launcher {
    id: &'static str,
    name: &'static str,
    comment: &'static str,
    path: &'static str,
}

/// Where Playwright looks for a browser: `FOLDER-REVISION/PROGRAM`.
#[derive(Debug, Serialize)]
struct Browsers {
    revision: &'static str,
    programs: Vec<Browser>,
}

#[derive(Debug, Serialize)]
struct Browser {
    folder: &'static str,
    program: &'static str,
}

#[derive(Debug, Serialize)]
struct Wanted {
    unit: &'static str,
    target: &'static str,
}

/// The npm tools.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools {
    commands: Vec<Command>,
    zipped: Vec<Zipped>,
    prune: &'static [&'static str],
    /// Packages that only guests with a feature have.
    of_features: Vec<OfFeature>,
    claude: Claude,
}

/// Claude Code in guests that install it at their first boot.
#[derive(Debug, Serialize)]
struct Claude {
    unit: &'static str,
    /// The packages that such a guest does not contain, and the launcher that replaces them.
    packages: &'static [&'static str],
    launcher: &'static str,
    /// Where the program is once it is installed.
    program: String,
}

#[derive(Debug, Serialize)]
struct Command {
    name: &'static str,
    program: &'static str,
}

#[derive(Debug, Serialize)]
struct Zipped {
    zip: &'static str,
    member: &'static str,
    to: &'static str,
}

#[derive(Debug, Serialize)]
struct OfFeature {
    feature: &'static str,
    package: &'static str,
}

/// Constants of an ISO for the installer.
#[derive(Debug, Serialize)]
struct Iso {
    disk: &'static str,
}

/// A check of the smoke suite, in the suite's order.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    /// Null: every guest.
    feature: Option<&'static str>,
    /// `anywhere`, `disk` or `live`.
    place: &'static str,
}

fn rave_toml() -> RaveToml {
    RaveToml {
        schema: rave_spec::SCHEMA,
        bases: names(Base::ALL, Base::as_str),
        formats: names(Format::ALL, Format::as_str),
        features: names(Feature::ALL, Feature::as_str),
        services: names(ServiceName::ALL, ServiceName::as_str),
        compressions: names(Compression::ALL, Compression::as_str),
        dates: names(Date::ALL, Date::as_str),
        network_modes: names(NetworkMode::ALL, NetworkMode::as_str),
        network_rule_max: rave_spec::NETWORK_RULE_MAX,
        claude: names(ClaudeCode::ALL, ClaudeCode::as_str),
        limits: SizeRanges {
            memory: range(&rave_spec::MEMORY_LIMITS),
            cpus: range(&rave_spec::CPUS_LIMITS),
            disk: range(&rave_spec::DISK_LIMITS),
            sandboxes: range(&rave_spec::SANDBOXES_LIMITS),
            keep_audit: range(&rave_spec::KEEP_AUDIT_LIMITS),
            max_jobs: range(&rave_spec::MAX_JOBS_LIMITS),
        },
        reserved_users: rave_spec::RESERVED_USERS,
        key_kinds: rave_spec::KEY_KINDS,
        unit_suffixes: rave_spec::UNIT_SUFFIXES,
        certificate_suffixes: rave_spec::CERTIFICATE_SUFFIXES,
        builder_schemes: rave_spec::BUILDER_SCHEMES,
        builder_fields: rave_spec::BUILDER_FIELDS,
        mirror_schemes: rave_spec::MIRROR_SCHEMES,
        substituter_schemes: rave_spec::SUBSTITUTER_SCHEMES,
    }
}

fn names<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(name).collect()
}

fn range(limits: &rave_spec::Limits) -> Range {
    Range { lowest: *limits.range.start(), highest: *limits.range.end() }
}

fn guest() -> Guest {
    let (_, revision) = playwright::BROWSERS_OF;
    let browser = |(folder, program)| Browser { folder, program };
    Guest {
        user_id: accounts::USER_ID,
        groups: accounts::GROUPS,
        services: SERVICES
            .iter()
            .map(|service| Service { name: service.name, unit: service.unit, title: service.title })
            .collect(),
        vnc_port: VNC_PORT,
        certificates: CERTIFICATES,
        certificate_store: CERTIFICATE_STORE,
        launchers: LAUNCHERS
            .iter()
            .map(|launcher| Launcher {
                id: launcher.id,
                name: launcher.name,
                comment: launcher.comment,
                path: launcher.path,
            })
            .collect(),
        browsers: Browsers { revision, programs: playwright::PROGRAMS.into_iter().map(browser).collect() },
        masked: MASKED.iter().map(|(unit, _)| *unit).collect(),
        enabled: wanted(&FROM_PACKAGES),
        networkd: wanted(&NETWORKD),
        network_manager: wanted(&NETWORK_MANAGER),
    }
}

fn wanted(units: &[(&'static str, &'static str)]) -> Vec<Wanted> {
    units.iter().map(|&(unit, target)| Wanted { unit, target }).collect()
}

fn tools() -> Tools {
    Tools {
        commands: npm::COMMANDS
            .iter()
            .map(|command| Command { name: command.name, program: command.program })
            .collect(),
        zipped: npm::ZIPPED
            .iter()
            .map(|zipped| Zipped { zip: zipped.zip, member: zipped.member, to: zipped.to })
            .collect(),
        prune: &npm::PRUNE,
        of_features: npm::OF_FEATURES
            .iter()
            .map(|&(feature, package)| OfFeature { feature, package })
            .collect(),
        claude: Claude {
            unit: claude::UNIT,
            packages: &claude::PACKAGES,
            launcher: claude::LAUNCHER,
            program: claude::program(),
        },
    }
}

fn checks() -> Vec<Check> {
    let place = |place| match place {
        Place::Anywhere => "anywhere",
        Place::Disk => "disk",
        Place::Live => "live",
    };
    CHECKS
        .iter()
        .map(|check| Check { name: check.name, feature: check.feature, place: place(check.place) })
        .collect()
}
