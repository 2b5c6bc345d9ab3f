//! `RAVE_*` variables: those that set a key, and those of the tool itself.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Place};
use crate::invalid_value::one_of;
use crate::node::{Data, Node};
use crate::{InvalidValue, nearest};

/// A variable that sets a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// `RAVE_MEMORY`.
    pub name: &'static str,
    /// The dotted key that it sets: `vm.memory`.
    pub key: &'static str,
}

const fn variable(name: &'static str, key: &'static str) -> Variable {
    Variable { name, key }
}

/// Every variable that sets a key, which overrides the files. Lists are separated by commas. An empty variable counts
/// as unset.
pub const VARIABLES: &[Variable] = &[
    variable("RAVE_PROFILE", "defaults.profile"),
    variable("RAVE_FORMATS", "defaults.formats"),
    variable("RAVE_BASE", "defaults.base"),
    variable("RAVE_GUEST_USER", "guest.user"),
    variable("RAVE_GUEST_PASSWORD", "guest.password"),
    variable("RAVE_GUEST_HOSTNAME", "guest.hostname"),
    variable("RAVE_MEMORY", "vm.memory"),
    variable("RAVE_CPUS", "vm.cpus"),
    variable("RAVE_DISK", "vm.disk"),
    variable("RAVE_SANDBOXES_MEMORY", "sandboxes.memory"),
    variable("RAVE_SANDBOXES_DISK", "sandboxes.disk"),
    variable("RAVE_SANDBOXES_KEEP_AUDIT", "sandboxes.keep-audit"),
    variable("RAVE_SANDBOXES_REQUIRE_FENCE", "sandboxes.require-fence"),
    variable("RAVE_PORT_KANBAN", "services.kanban.host"),
    variable("RAVE_PORT_ROUTER", "services.router.host"),
    variable("RAVE_PORT_GATEWAY", "services.gateway.host"),
    variable("RAVE_PORT_SSH", "services.ssh.host"),
    variable("RAVE_CLAUDE", "tools.claude"),
    variable("RAVE_EXTRA_PACKAGES", "extra.packages"),
    variable("RAVE_DEBIAN_SUITE", "debian.suite"),
    variable("RAVE_DEBIAN_DATE", "debian.date"),
    // Not `nixos.builders`: a builder's systems and features are separated by commas.
    variable("RAVE_NIXOS_SUBSTITUTERS", "nixos.substituters"),
    variable("RAVE_NIXOS_MAX_JOBS", "nixos.max-jobs"),
    variable("RAVE_NIXOS_OFFLINE", "nixos.offline"),
    variable("RAVE_NIXOS_REBUILD", "nixos.rebuild"),
];

/// Variables of the tool itself, which set no key.
pub const TOOL_VARIABLES: &[&str] = &[
    "RAVE_HOME",
    "RAVE_STATE",
    "RAVE_CACHE",
    "RAVE_ACCEL",
    "RAVE_YES",
    "RAVE_PAGER",
    "RAVE_NIXPKGS",
    "RAVE_NIXOS_PAYLOAD",
    "RAVE_OVF_SCHEMA",
];

/// The values of keys that variables set, and errors for unknown variables.
pub(crate) fn read(environment: &[(String, String)]) -> (BTreeMap<&'static str, Node>, Vec<Diagnostic>) {
    let mut nodes = BTreeMap::new();
    let mut diagnostics = Vec::new();
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with("RAVE_")) {
        if let Some(variable) = VARIABLES.iter().find(|variable| variable.name == name) {
            if !value.is_empty() {
                let node = Node { data: Data::Untyped(value.clone()), place: Place::Variable(name.clone()) };
                nodes.insert(variable.key, node);
            }
        } else if !TOOL_VARIABLES.contains(&name.as_str()) {
            diagnostics.push(unknown(name));
        }
    }
    (nodes, diagnostics)
}

fn unknown(name: &str) -> Diagnostic {
    const PREFIX: &str = "RAVE_";
    let set_keys = VARIABLES.iter().map(|variable| variable.name);
    let known: Vec<_> = set_keys.chain(TOOL_VARIABLES.iter().copied()).collect();
    // The common prefix must not count as similarity.
    let bare = known.iter().filter_map(|name| name.strip_prefix(PREFIX));
    let near = nearest(name.trim_start_matches(PREFIX), bare).map(|near| format!("{PREFIX}{near}"));
    let invalid =
        InvalidValue { what: "unknown variable".to_owned(), expected: one_of(&known), nearest: near };
    Diagnostic { place: Place::Variable(name.to_owned()), key: String::new(), error: invalid }
}
