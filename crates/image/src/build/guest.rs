//! The guest's parts besides packages: its configuration, its user, RAVE's files, and the machine around it.

use std::fs;

use rave_guest::assets::{self, Paths};
use rave_guest::config::{GuestConfig, GuestPorts};
use rave_spec::{ClaudeCode, Profile, Spec};

use super::request::BuildRequest;
use crate::certificates::Certificates;
use crate::error::Error;
use crate::formats::Appliance;
use crate::formats::ovf::vbox::NatForward;
use crate::npm_tools;
use crate::tree::accounts::{Account, hash_password};
use crate::tree::overlay::Overlay;

/// The machine described by the formats' descriptors.
pub fn appliance(spec: &Spec, name: &str, desktop: bool) -> Appliance {
    let forward = |(name, service): (rave_spec::ServiceName, rave_spec::Service)| NatForward {
        name: name.to_string(),
        host_address: std::net::Ipv4Addr::LOCALHOST.to_string(),
        host: service.host.get(),
        guest: service.guest.get(),
    };
    Appliance {
        name: name.to_owned(),
        memory_mib: spec.vm.memory.get(),
        cpus: spec.vm.cpus,
        desktop,
        forwards: spec.services.iter().map(forward).collect(),
    }
}

pub(super) fn account(spec: &Spec, profile: &Profile, epoch: u64) -> Account {
    let user = spec.guest.user.to_string();
    let password_hash = (!profile.hardened).then(|| hash_password(&spec.guest.password, &user));
    Account { user, password_hash, epoch }
}

pub(crate) fn config(spec: &Spec, profile: &Profile) -> GuestConfig {
    let services = spec.services;
    GuestConfig {
        user: spec.guest.user.to_string(),
        home: format!("/home/{}", spec.guest.user),
        host_name: spec.guest.hostname.to_string(),
        hardened: profile.hardened,
        services: GuestPorts {
            kanban: services.kanban.guest.get(),
            router: services.router.guest.get(),
            gateway: services.gateway.guest.get(),
            ssh: services.ssh.guest.get(),
        },
        environment: spec.extra.environment.clone(),
        authorized_keys: spec.guest.authorized_keys.clone(),
        gateway_names: spec.guest.gateway_names.iter().map(ToString::to_string).collect(),
        certificates: spec
            .guest
            .certificates
            .iter()
            .map(|file| file.file_name().unwrap_or_default().to_owned())
            .collect(),
        tools: format!("/{}", npm_tools::PLACE),
        claude_at_first_boot: spec.tools.claude == ClaudeCode::FirstBoot,
        features: profile.features.iter().map(ToString::to_string).collect(),
        version: rave_guest::config::VERSION.into(),
    }
}

/// RAVE's own files, and the user's units and certificates.
pub(super) fn overlay(
    request: &BuildRequest<'_>,
    config: &GuestConfig,
    certificates: &Certificates,
) -> Result<Overlay, Error> {
    let mut overlay = Overlay::default();
    let trusted = assets::certificates(config, certificates.all());
    for file in assets::files(config, &Paths::debian()).into_iter().chain(trusted) {
        overlay.add(file);
    }
    for unit in &request.spec.extra.units {
        let path = request.root.join(unit);
        let content = fs::read_to_string(&path).map_err(|error| Error::Input {
            what: format!("extra.units: {unit}"),
            detail: format!("cannot read {path}: {error}"),
        })?;
        for file in assets::extra_unit(unit.file_name().unwrap_or(unit.as_str()), &content) {
            overlay.add(file);
        }
    }
    Ok(overlay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_guest_matches_rave_toml() {
        let root = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
        let (settings, profile) = (read("rave.toml"), read("profiles/simple.toml"));
        let files = [
            rave_spec::ConfigFile::settings("rave.toml", &settings),
            rave_spec::ConfigFile::profile("simple", "simple", &profile),
        ];
        let spec = rave_spec::load(&files, &[]).unwrap().spec;
        let shipped = config(&spec, spec.profile("simple").unwrap());
        let default = GuestConfig::default();
        assert_eq!(shipped, GuestConfig { features: shipped.features.clone(), ..default });
    }
}
