use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TEXT: &str = "\
# a comment
rave-debian-lock 1
suite trixie
release trixie 2026-11-14T09:53:00Z ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
release trixie-security 2026-11-23T20:11:00Z ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
profile full git,less
profile headless git
package git 1:2.47.3-0+deb13u1 amd64 8862012 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad full,headless
package less 668-1 all 161408 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad full
";

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn a_lock_has_the_packages_of_a_profile_and_its_date() {
    let lock = Lock::parse(TEXT).unwrap();
    let names = |asked: &[&str]| {
        let packages = lock.covering("trixie", &set(asked))?;
        Some(packages.into_iter().map(|package| package.name).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(names(&["git"]).as_deref(), Some("git"));
    assert_eq!(names(&["git", "less"]).as_deref(), Some("git less"));
    assert_eq!(names(&["less"]), None, "no profile asks for just that");
    assert_eq!(lock.covering("sid", &set(&["git"])), None);
    assert_eq!(date::show(lock.date()), "2026-11-23T20:11:00Z");
    assert_eq!(Lock::parse(&lock.render()).unwrap(), lock);
}

#[test]
fn inconsistent_locks_are_refused_with_the_reason() {
    let refused = |from: &str, to: &str| Lock::parse(&TEXT.replace(from, to)).unwrap_err().to_string();
    assert_eq!(refused("lock 1", "lock 2"), "line 2: its version is \"2\", this one reads 1");
    assert!(refused("suite trixie\n", "").ends_with("there is no suite"));
    assert!(refused("2026-11-14", "2026-02-30").starts_with("line 4: \"2026-02-30T"));
    assert!(refused("package less", "package git").ends_with("package git is listed twice"));
    assert!(refused(" full\n", " tiny\n").ends_with("names the profile tiny, which does not exist"));
    assert!(
        refused("profile headless git", "profile headless git,vim")
            .ends_with("asks for vim, which is not locked for it")
    );
    assert!(refused("amd64", "arm64").starts_with("line 8: \"arm64\""));
    assert!(refused("668-1", "../668").contains("is not a version"));
    assert!(refused("package less", "package -o").contains("is not a package"));
    assert!(refused("161408", "-1").contains("is not a size"));
}

#[test]
fn the_repositorys_lock_is_valid_and_round_trips() {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let lock = Lock::read(&root).unwrap();
    assert_eq!(lock.render(), fs::read_to_string(root.join(FILE)).unwrap());
}

#[test]
fn the_repositorys_profiles_are_locked() {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let lock = Lock::read(&root).unwrap();
    let settings = fs::read_to_string(root.join("rave.toml")).unwrap();
    let profiles: Vec<_> = root
        .join("profiles")
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().into_path())
        .map(|path| (path.file_stem().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    let mut sources = vec![rave_spec::ConfigFile::settings("rave.toml", &settings)];
    sources.extend(profiles.iter().map(|(name, text)| rave_spec::ConfigFile::profile(name, name, text)));
    let spec = rave_spec::load(&sources, &[]).unwrap().spec;
    for (name, profile) in &spec.profiles {
        let covered = lock.covering(spec.debian.suite.as_str(), &spec.debian_packages(profile));
        assert!(covered.is_some(), "{name}: run `cargo xtask update --debian`");
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9+.-]{1,12}"
}

fn locks() -> impl Strategy<Value = Lock> {
    let package = (name(), "[0-9][0-9A-Za-z+.:~-]{0,9}", any::<bool>(), any::<u64>(), any::<u32>());
    let releases = prop::collection::btree_map(name(), (0..100_000_000_000_u64, any::<u32>()), 1..4);
    (name(), releases, prop::collection::vec(package, 1..8)).prop_map(|(suite, releases, packages)| {
        let digest = |seed: u32| Digest::of_bytes(&seed.to_le_bytes());
        let releases = releases
            .into_iter()
            .map(|(codename, (date, seed))| Release { codename, date, sha256: digest(seed) })
            .collect();
        let packages: BTreeMap<_, _> = packages
            .into_iter()
            .map(|(name, version, all, size, seed)| {
                let architecture = if all { "all" } else { "amd64" }.to_owned();
                (
                    name.clone(),
                    (
                        LockedPackage { name, version, architecture, size, sha256: digest(seed) },
                        set(&["one"]),
                    ),
                )
            })
            .collect();
        let profiles = [("one".to_owned(), packages.keys().cloned().collect())].into();
        Lock { suite, releases, profiles, packages }
    })
}

proptest! {
    #[test]
    fn any_lock_round_trips(lock in locks()) {
        prop_assert_eq!(Lock::parse(&lock.render()), Ok(lock));
    }

    #[test]
    fn garbage_is_refused_without_a_panic(text in "\\PC{0,200}", at in 0..TEXT.len(), byte in any::<char>()) {
        prop_assert!(Lock::parse(&text).is_err());
        let mut changed = TEXT.to_owned();
        changed.replace_range(at..=at, &byte.to_string());
        let _ = Lock::parse(&changed);
        let _ = Lock::parse(&TEXT[..at]);
    }
}
