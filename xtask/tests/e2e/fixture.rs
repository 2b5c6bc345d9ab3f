//! The real image as a machine that tests can change before it boots.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use camino::Utf8PathBuf;
use rave_image::Manifest;
use rave_net::{Mode, Policy};
use rave_smoke::{Expected, Guest, TimeLimits};
use rave_spec::Format;
use rave_vm::accel::{self, ProbeRequest, ProbeResult};
use rave_vm::machine::{Arch, Credential, DiskExtent, Display, Firmware, Link, Overlay};
use rave_vm::ports::{PortPolicy, PortRequest};
use rave_vm::qemu::Qemu;
use rave_vm::sandbox::{Hardware, LaunchConfig, Sandbox};
use rave_vm::ssh::{Connection, Ssh};
use rave_vm::{Instance, Ready};

use crate::tool::{DEADLINE, Place, build_shared, shared_cache, shared_out};

/// How long a command in the guest may take.
pub(crate) const COMMAND: Duration = Duration::from_secs(120);

/// The shared image as a machine that can be changed before it boots.
pub(crate) struct Fixture {
    qemu: Qemu,
    probe: ProbeResult,
    pub(crate) sandbox: Sandbox,
    manifest: Manifest,
    place: Place,
}

impl Fixture {
    /// The shared image of a profile.
    pub(crate) fn new(profile: &str) -> Self {
        Self::of(profile, Format::Qemu)
    }

    /// The same in another format, which is built if it is missing.
    pub(crate) fn of(profile: &str, format: Format) -> Self {
        shared_cache(profile);
        build_shared(profile, format.as_str());
        Self::of_image(Place::new(), &shared_out(profile), format)
    }

    /// An image in a separate folder.
    pub(crate) fn of_image(place: Place, out: &Path, format: Format) -> Self {
        let folder = Utf8PathBuf::from_path_buf(place.path("")).unwrap();
        let out = Utf8PathBuf::from_path_buf(out.to_owned()).unwrap();
        let manifest = Manifest::read(&out).unwrap();
        let artifact = out.join(&manifest.artifact(&out, format).unwrap().boot_file().name);
        let qemu = Qemu::find(Arch::X86_64).unwrap();
        let probe =
            accel::probe(&ProbeRequest { qemu: &qemu, cache_dir: &folder, force: None, refresh: false })
                .unwrap();
        let inside = manifest.guest.services;
        let service = |name: &str, guest| PortRequest::new(name, guest, PortPolicy::Auto);
        let services = [
            service("kanban", inside.kanban),
            service("router", inside.router),
            service("gateway", inside.gateway),
            service("ssh", inside.ssh),
        ];
        let launch = LaunchConfig {
            run_root: &folder.join("run"),
            label: "fault",
            artifact: &artifact,
            extent: DiskExtent::Whole,
            hardware: Hardware::of(format),
            overlay: Overlay::Throwaway,
            disk_mib: 8192,
            memory_mib: 4096,
            cpus: 2,
            firmware: Firmware::Bios,
            display: Display::Headless,
            policy: Policy { mode: Mode::Open, ..Policy::default() },
            services: &services,
            user: &manifest.guest.user,
        };
        let sandbox = launch.prepare().unwrap();
        Self { qemu, probe, sandbox, manifest, place }
    }

    /// Adds a drop-in for a unit (systemd.system-credentials(7), `systemd.unit-dropin.*`).
    pub(crate) fn drop_in(&mut self, unit: &str, text: &str) {
        let name = format!("systemd.unit-dropin.{unit}");
        self.sandbox.machine.credentials.push(Credential { name, value: text.into() });
    }

    /// Allows the guest to reach something that is closed by default.
    pub(crate) fn allow(&mut self, rule: &str) {
        let Link::Own(policy) = &mut self.sandbox.machine.link else { panic!("its network is another's") };
        policy.allow.push(rule.parse().unwrap());
    }

    /// A folder that is removed with the fixture.
    pub(crate) fn folder(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.place.path("")).unwrap()
    }

    pub(crate) fn boot(&self) -> Instance {
        Instance::boot(self.sandbox.machine.clone(), self.probe.engine, &self.qemu).unwrap()
    }

    pub(crate) fn ready(&self) -> (Instance, Ready, Ssh) {
        self.ready_within(DEADLINE)
    }

    pub(crate) fn ready_within(&self, limit: Duration) -> (Instance, Ready, Ssh) {
        let mut instance = self.boot();
        let ready = instance.wait_ready(limit, &mut |_| ()).unwrap();
        let ssh = self.sandbox.ssh(&instance, &ready).unwrap();
        (instance, ready, ssh)
    }

    /// The guest for the smoke suite, as `cargo xtask smoke` would expect it.
    pub(crate) fn guest(&self, instance: Instance, ready: &Ready, ssh: Ssh) -> Guest {
        let manifest = &self.manifest;
        Guest {
            ports: instance.machine().forwards.clone(),
            connection: Connection::new(ssh.clone(), &self.folder()),
            ssh,
            expected: Expected::of(
                &manifest.guest,
                (&manifest.guest.user, "agent"),
                8192,
                manifest.npm_versions(),
                ready,
            ),
            instance: Mutex::new(Some(instance)),
            limits: TimeLimits { boot: DEADLINE, answer: COMMAND, shutdown: DEADLINE },
            is_emulated: true,
            disk: self.folder().join("disk.qcow2"),
            folder: self.folder(),
        }
    }
}

#[track_caller]
pub(crate) fn output_of(ssh: &Ssh, command: &str) -> String {
    let output = ssh.exec(command, COMMAND).unwrap();
    assert!(
        output.success(),
        "`{command}` failed ({}): {}\n{}",
        output.status,
        output.text(),
        output.stderr.join("\n")
    );
    output.text()
}
