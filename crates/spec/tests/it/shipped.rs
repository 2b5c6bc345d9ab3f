//! The repository's own `rave.toml`.

use std::fs;
use std::path::Path;

use rave_spec::{ConfigFile, Feature, ServiceName, Spec, WELL_KNOWN_PASSWORD};

fn shipped() -> Spec {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("rave.toml")).unwrap();
    let profiles = ["cloud", "full", "headless", "simple"].map(|name| {
        let file = format!("profiles/{name}.toml");
        (name, fs::read_to_string(root.join(&file)).unwrap(), file)
    });
    let mut sources = vec![ConfigFile::settings("rave.toml", &text)];
    sources.extend(profiles.iter().map(|(name, text, file)| ConfigFile::profile(file, name, text)));
    rave_spec::load(&sources, &[]).unwrap().spec
}

#[test]
fn the_shipped_file_is_valid_and_has_the_documented_values() {
    let spec = shipped();
    let ports: Vec<_> =
        spec.services.iter().map(|(name, ports)| (name, ports.guest.get(), ports.host.get())).collect();
    assert_eq!(
        ports,
        [
            (ServiceName::Kanban, 3000, 3000),
            (ServiceName::Router, 3456, 3001),
            (ServiceName::Gateway, 3002, 3002),
            (ServiceName::Ssh, 22, 2223),
        ]
    );
    assert_eq!((spec.vm.memory.get(), spec.vm.cpus), (4096, 2));
    assert_eq!(spec.guest.password, WELL_KNOWN_PASSWORD);
    assert!(!spec.profile("headless").unwrap().hardened);
}

#[test]
fn profiles_are_nested_and_desktop_is_the_default() {
    let spec = shipped();
    assert_eq!(spec.defaults.profile.as_str(), "simple");
    let names = ["headless", "simple", "full", "cloud"];
    let [headless, simple, full, cloud] = names.map(|name| spec.profile(name).unwrap());
    assert_eq!(headless.features, []);
    assert_eq!(simple.features, [Feature::Desktop]);
    assert!(full.features.iter().eq(Feature::ALL.iter().filter(|feature| **feature != Feature::Cloud)));
    // Features for hypervisors and clouds are in no other profile.
    assert_eq!((&cloud.features[..], cloud.hardened), (&[Feature::Cloud][..], true));
    let all = [headless, simple, full, cloud].map(|profile| spec.debian_packages(profile));
    let [headless, simple, full, cloud] = all;
    assert!(headless.is_subset(&simple) && simple.is_subset(&full) && headless.is_subset(&cloud));
}
