//! Properties that hold for any input.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rave_spec::{
    Base, CPUS_LIMITS, ClaudeCode, Compress, Compression, DISK_LIMITS, Date, Debian, Defaults, Errors, Extra,
    Feature, Format, Guest, KEEP_AUDIT_LIMITS, Loaded, MAX_JOBS_LIMITS, MEMORY_LIMITS, MebiBytes,
    NetworkDefaults, NetworkMode, Nixos, Origins, Place, Port, Profile, Release, SANDBOXES_LIMITS,
    SandboxLimits, Service, Services, Spec, Tools, VmSize, WELL_KNOWN_PASSWORD, effective,
};

use crate::{GOOD, load_one};

/// Every place must be valid in an editor, which includes the end of a line and of the file.
fn assert_places_exist(text: &str, errors: &Errors) {
    assert!(!errors.0.is_empty());
    for problem in &errors.0 {
        let Place::File { line, column, .. } = &problem.place else { panic!("{problem}") };
        let lines: Vec<_> = text.split('\n').collect();
        assert!((1..=lines.len()).contains(line), "{problem}\n{text:?}");
        assert!((1..=lines[line - 1].chars().count() + 1).contains(column), "{problem}\n{text:?}");
    }
}

fn assert_sound(text: &str) {
    if let Err(errors) = load_one(text) {
        assert_places_exist(text, &errors);
    }
}

/// Pieces of TOML, so that generated text gets past the first line.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(GOOD.lines().map(str::to_owned).collect::<Vec<_>>()),
        2 => select(
            ["=", ".", "\"", "'''", "[", "]]", "{", "}", ",", "#", "\r\n", "\n", "\u{feff}", "ü = 1", "vm", "\\u00", "0x_", "1e9"]
                .map(str::to_owned)
                .to_vec()
        ),
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn any_text_is_checked_without_a_panic(text in any::<String>()) {
        assert_sound(&text);
    }

    #[test]
    fn any_mix_of_fragments_is_checked_without_a_panic(
        fragments in prop::collection::vec((fragment(), select(vec!["", "\n", " "])), 0..40)
    ) {
        let text: String = fragments.iter().flat_map(|(text, end)| [text.as_str(), end]).collect();
        assert_sound(&text);
    }

    #[test]
    fn any_edit_of_a_valid_file_is_checked_without_a_panic(
        at in 0..GOOD.len(), cut in 0..12_usize, put in fragment()
    ) {
        let end = (at + cut).min(GOOD.len());
        assert_sound(&format!("{}{put}{}", &GOOD[..at], &GOOD[end..]));
    }

    #[test]
    fn any_specification_round_trips(spec in spec()) {
        let loaded = Loaded { spec, origins: Origins::default() };
        let lines: Vec<_> =
            effective(&loaded).iter().map(|line| format!("{} = {}", line.key, line.value)).collect();
        let text = lines.join("\n");
        match load_one(&text) {
            Ok(again) => prop_assert_eq!(again.spec, loaded.spec),
            Err(errors) => prop_assert!(false, "{}\n{}", errors, text),
        }
    }
}

fn checked<T: std::str::FromStr + std::fmt::Debug>(pattern: &'static str) -> impl Strategy<Value = T> {
    pattern.prop_filter_map("a reserved name", |text| text.parse().ok())
}

fn packages() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set("[a-z0-9][a-z0-9+.-]{1,20}", 0..5)
}

fn extra() -> impl Strategy<Value = Extra> {
    let units = prop::collection::btree_set("[a-z@:_-]{1,8}", 0..4).prop_map(|names| {
        names.into_iter().map(|name| format!("units/{name}.service").into()).collect::<Vec<_>>()
    });
    let environment = prop::collection::btree_map("[A-Za-z_][A-Za-z0-9_]{0,8}", "[^\\p{Cc}]{0,20}", 0..4);
    (packages(), units, environment).prop_map(|(packages, units, environment)| Extra {
        packages: packages.iter().map(|name| name.parse().unwrap()).collect(),
        units,
        environment: environment.into_iter().collect(),
    })
}

fn services() -> impl Strategy<Value = Services> {
    let four = || prop::collection::btree_set(1..=u16::MAX, 4).prop_map(Vec::from_iter).prop_shuffle();
    (four(), four()).prop_map(|(guest, host)| {
        let service =
            |at: usize| Service { guest: Port::new(guest[at]).unwrap(), host: Port::new(host[at]).unwrap() };
        Services { kanban: service(0), router: service(1), gateway: service(2), ssh: service(3) }
    })
}

fn profile() -> impl Strategy<Value = Profile> {
    let features = subsequence(Feature::ALL.to_vec(), 0..=Feature::ALL.len()).prop_shuffle();
    ("[^\\p{Cc}\\s][^\\p{Cc}]{0,30}", any::<bool>(), features, packages()).prop_map(
        |(description, hardened, features, packages)| Profile {
            description,
            hardened,
            features,
            packages: packages.into_iter().collect(),
        },
    )
}

fn nixos() -> impl Strategy<Value = Nixos> {
    let builders = prop::collection::btree_set("ssh(-ng)?://[a-z@.:]{1,12}( [a-z0-9_,=-]{1,9}){0,7}", 0..3);
    let substituters = prop::collection::btree_set("(https|s3|file)://[a-z./?=]{1,20}", 0..3);
    let max_jobs = prop::option::of(MAX_JOBS_LIMITS.range);
    (builders, substituters, max_jobs, any::<bool>(), any::<bool>()).prop_map(
        |(builders, substituters, max_jobs, offline, rebuild)| Nixos {
            builders: builders.iter().filter_map(|line| line.parse().ok()).collect(),
            substituters: substituters.iter().map(|url| url.parse().unwrap()).collect(),
            max_jobs: max_jobs.map(|jobs| u32::try_from(jobs).unwrap()),
            offline,
            rebuild,
        },
    )
}

fn spec() -> impl Strategy<Value = Spec> {
    let guest = (checked("[a-z][a-z0-9_-]{0,31}"), checked("[a-z]([a-z0-9-]{0,20}[a-z])?")).prop_map(
        |(user, hostname)| Guest {
            user,
            hostname,
            password: WELL_KNOWN_PASSWORD.to_owned(),
            gateway_names: vec!["box.example.org".parse().unwrap()],
            certificates: vec!["corp/ca.pem".into()],
            authorized_keys: vec![format!("ssh-ed25519 {} a comment", "A".repeat(68))],
        },
    );
    let vm =
        (MEMORY_LIMITS.range, CPUS_LIMITS.range, DISK_LIMITS.range).prop_map(|(memory, cpus, disk)| VmSize {
            memory: MebiBytes::new(memory),
            cpus: u32::try_from(cpus).unwrap(),
            disk: MebiBytes::new(disk),
        });
    let profiles = prop::collection::btree_map(checked("[a-z][a-z0-9-]{0,12}"), profile(), 1..4);
    let formats = subsequence(Format::ALL.to_vec(), 1..=Format::ALL.len()).prop_shuffle();
    let base = prop::option::of(select(Base::ALL.to_vec()));
    let features = prop::collection::vec(packages(), Feature::ALL.len());
    let debian = (checked("[a-z][a-z0-9-]{0,12}"), select(Date::ALL.to_vec()), packages(), features)
        .prop_map(|(suite, date, packages, features)| {
            let named = Feature::ALL.iter().copied().zip(features);
            Debian {
                mirror: None,
                security_mirror: None,
                suite,
                date,
                packages: packages.into_iter().collect(),
                features: named.map(|(name, packages)| (name, packages.into_iter().collect())).collect(),
            }
        });
    let compress = (select(Compression::ALL.to_vec()), any::<bool>()).prop_map(|(qemu, raw)| Compress {
        qemu,
        raw: if raw { Compression::Zstd } else { Compression::None },
    });
    let tools = select(ClaudeCode::ALL.to_vec()).prop_map(|claude| Tools { claude });
    let denied = prop::collection::btree_set("[A-Za-z0-9.+-]{1,12}", 0..3).prop_map(|names| Release {
        denied_licences: names.iter().map(|name| name.parse().unwrap()).collect(),
    });
    let size = || prop::option::of(SANDBOXES_LIMITS.range.clone().prop_map(MebiBytes::new));
    let keep = KEEP_AUDIT_LIMITS.range.clone();
    let sandboxes =
        (size(), size(), any::<bool>(), keep).prop_map(|(memory, disk, require_fence, keep_audit)| {
            SandboxLimits { memory, disk, require_fence, keep_audit }
        });
    let rules = || {
        prop::collection::btree_set("[a-z]{1,8}[.]example(:[1-9][0-9]{0,3}/tcp)?", 0..3)
            .prop_map(|rules| rules.iter().map(|rule| rule.parse().unwrap()).collect::<Vec<_>>())
    };
    let mode = prop::option::of(select(NetworkMode::ALL.to_vec()));
    let network =
        (mode, rules(), rules()).prop_map(|(mode, allow, deny)| NetworkDefaults { mode, allow, deny });
    let vm = (vm, (sandboxes, network), compress, tools, denied);
    (
        guest,
        vm,
        services(),
        extra(),
        profiles,
        (formats, base, any::<prop::sample::Index>()),
        (debian, nixos()),
    )
        .prop_map(
            |(
                guest,
                (vm, (sandboxes, network), compress, tools, release),
                services,
                extra,
                profiles,
                (formats, base, default),
                (debian, nixos),
            ): (_, _, _, _, BTreeMap<rave_spec::ProfileName, Profile>, _, _)| {
                let profile = profiles.keys().nth(default.index(profiles.len())).unwrap().clone();
                Spec {
                    defaults: Defaults { profile, formats, base },
                    guest,
                    vm,
                    sandboxes,
                    network,
                    compress,
                    services,
                    tools,
                    extra,
                    release,
                    profiles,
                    debian,
                    nixos,
                }
            },
        )
}
