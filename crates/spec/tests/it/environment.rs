//! `RAVE_*` variables override the files.

use std::collections::BTreeSet;

use rave_spec::{Base, Format, Origin, TOOL_VARIABLES, VARIABLES, effective};

use crate::load_env;

fn messages(name: &str, value: &str) -> String {
    load_env(&[(name, value)]).unwrap_err().to_string()
}

#[test]
fn each_variable_sets_its_key() {
    let values = [
        ("RAVE_PROFILE", "headless", "\"headless\""),
        ("RAVE_FORMATS", "raw, iso", "[\"raw\", \"iso\"]"),
        ("RAVE_BASE", "nixos", "\"nixos\""),
        ("RAVE_GUEST_USER", "dev", "\"dev\""),
        ("RAVE_GUEST_PASSWORD", "1234", "\"***\""),
        ("RAVE_GUEST_HOSTNAME", "box", "\"box\""),
        ("RAVE_MEMORY", "2048", "2048"),
        ("RAVE_CPUS", "4", "4"),
        ("RAVE_DISK", "8192", "8192"),
        ("RAVE_SANDBOXES_MEMORY", "16384", "16384"),
        ("RAVE_SANDBOXES_DISK", "204800", "204800"),
        ("RAVE_SANDBOXES_KEEP_AUDIT", "7", "7"),
        ("RAVE_SANDBOXES_REQUIRE_FENCE", "true", "true"),
        ("RAVE_PORT_KANBAN", "4000", "4000"),
        ("RAVE_PORT_ROUTER", "4001", "4001"),
        ("RAVE_PORT_GATEWAY", "4002", "4002"),
        ("RAVE_PORT_SSH", "4022", "4022"),
        ("RAVE_CLAUDE", "first-boot", "\"first-boot\""),
        ("RAVE_EXTRA_PACKAGES", "jq,htop", "[\"jq\", \"htop\"]"),
        ("RAVE_DEBIAN_SUITE", "forky", "\"forky\""),
        ("RAVE_DEBIAN_DATE", "commit", "\"commit\""),
        ("RAVE_NIXOS_SUBSTITUTERS", "https://a, file:///b", "[\"https://a\", \"file:///b\"]"),
        ("RAVE_NIXOS_MAX_JOBS", "0", "0"),
        ("RAVE_NIXOS_OFFLINE", "true", "true"),
        ("RAVE_NIXOS_REBUILD", "true", "true"),
    ];
    assert!(VARIABLES.iter().map(|variable| variable.name).eq(values.iter().map(|(name, ..)| *name)));
    for ((name, value, shown), variable) in values.iter().zip(VARIABLES) {
        let loaded = load_env(&[(name, value)]).unwrap();
        let line = effective(&loaded).into_iter().find(|line| line.key == variable.key).unwrap();
        assert_eq!(line.value, *shown, "{name}");
        assert_eq!(line.origin, Origin::Env { variable: (*name).to_owned() });
    }
    let loaded = load_env(&[("RAVE_FORMATS", "raw,iso"), ("RAVE_BASE", "debian")]).unwrap();
    assert_eq!(loaded.spec.defaults.formats, [Format::Raw, Format::Iso]);
    assert_eq!(loaded.spec.defaults.base, Some(Base::Debian));
}

#[test]
fn a_wrong_value_names_the_variable_and_the_key() {
    assert_eq!(
        messages("RAVE_MEMORY", "lots"),
        "RAVE_MEMORY: vm.memory: \"lots\" is not a whole number; expected a whole number of MiB from 512 to 1048576"
    );
    assert_eq!(
        messages("RAVE_PORT_SSH", "0"),
        "RAVE_PORT_SSH: services.ssh.host: port 0 is out of range; expected a whole number from 1 to 65535"
    );
    assert_eq!(
        messages("RAVE_FORMATS", "qemu,rwa"),
        "RAVE_FORMATS: defaults.formats[1]: unknown format \"rwa\"; did you mean \"raw\"?"
    );
    assert_eq!(
        messages("RAVE_PORT_SSH", "3000"),
        "RAVE_PORT_SSH: services.ssh.host: port 3000 is taken by services.kanban.host at rave.toml:18:33; \
         expected a port of its own"
    );
}

#[test]
fn an_unknown_variable_suggests_the_nearest() {
    assert_eq!(messages("RAVE_MEMROY", "1"), "RAVE_MEMROY: unknown variable; did you mean \"RAVE_MEMORY\"?");
    assert_eq!(messages("RAVE_CACHES", "/x"), "RAVE_CACHES: unknown variable; did you mean \"RAVE_CACHE\"?");
    let far = messages("RAVE_COLOUR_SCHEME", "1");
    assert!(
        far.starts_with("RAVE_COLOUR_SCHEME: unknown variable; expected RAVE_PROFILE, RAVE_FORMATS, "),
        "{far}"
    );
}

#[test]
fn empty_foreign_and_internal_variables_change_nothing() {
    let own = TOOL_VARIABLES.iter().map(|name| (*name, "anything"));
    let variables: Vec<_> = own.chain([("RAVE_MEMORY", ""), ("PATH", "/bin"), ("RAVEN", "x")]).collect();
    assert_eq!(load_env(&variables).unwrap(), load_env(&[]).unwrap());
}

#[test]
fn names_are_unique() {
    let names: Vec<_> =
        VARIABLES.iter().map(|variable| variable.name).chain(TOOL_VARIABLES.iter().copied()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert!(names.iter().all(|name| name.starts_with("RAVE_")));
}
