//! `cargo xtask up`: creates and starts a sandbox, starts a stopped one, or attaches to a running one.

use camino::Utf8Path;
use rave_host::Needs;
use rave_net::{Policy, Rule};
use rave_sandbox::admission;
use rave_sandbox::control::{Origin, Status};
use rave_sandbox::network::Change;
use rave_sandbox::start::attend;
use rave_sandbox::state::current_state;
use rave_sandbox::{
    Error, Expiry, Place, PortChoice, Record, SCHEMA, SandboxName, Store, audit, network, now,
};
use rave_spec::{Format, WORKSPACE_FILE};
use rave_vm::keys::KeyPair;
use rave_vm::machine::Arch;
use rave_vm::ports::PortPolicy;
use rave_vm::qemu::Qemu;
use rave_vm::template::Recipe;
use rave_vm::terminal_text::plain;

use super::agent_key;
use super::attend::{Named, report_wait, supervisor, turn, wait_started};
use super::changes::{fixed_port, refuse_changes, with_ports};
use super::defaults::Defaults;
use super::groups;
use super::limits;
use super::ports::show_address;
use super::secrets;
use super::ssh_config;
use super::templates::{self, Host};
use crate::build;
use crate::cli;
use crate::cmd::fence;
use crate::cmd::run::services::policies as policies_of;
use crate::cmd::run::{accelerator, artifact, deadline};
use crate::cmd::workspace::push::{self, canonical};
use crate::cmd::workspace::trust;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::host;
use crate::request;
use crate::settings::Settings;
use crate::ui::Ui;

/// The image format that sandboxes use.
const FORMAT: Format = Format::Qemu;

/// Runs the command.
pub fn run(args: &cli::Up, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let (place, status) = bring_up(args, settings, ui)?;
    let name = place.name();
    show_address(name, &status, args.json, ui)?;
    if !args.json {
        ui.note(&format!(
            "{name} is ready: cargo xtask exec {name} -- COMMAND; its services may still be starting"
        ));
        let mode = network::read(&place)?.mode;
        ui.note(&format!("its network is {mode}; what it may reach: cargo xtask net {name} show"));
    }
    Ok(Code::Ok)
}

/// Creates the sandbox if it does not exist, starts it if it is not running, and waits until it can run programs.
pub(in crate::cmd) fn bring_up(
    args: &cli::Up,
    settings: &Settings,
    ui: &Ui,
) -> anyhow::Result<(Place, Status)> {
    let workspace = args.workspace.as_deref().map(canonical).transpose()?;
    let name = name(args.name.as_deref(), workspace.as_deref())?;
    policies_of(&args.ports)?;
    let store = Store::new(&settings.state_dir);
    host::ensure(settings, ui, Needs::Run)?;
    let fencer = fence::here()?;
    let is_required = args.require_fence || settings.spec.spec.sandboxes.require_fence;
    let requires = |record: Record| record.require_fence;
    if is_required || store.find(&name)?.is_some_and(requires) {
        fence::require(&fencer.offer)?;
    }
    fence::report_missing(&fencer.offer, ui);
    let qemu = Qemu::find(Arch::X86_64)?.fenced_by(fencer);
    // Done before the lock: a build may take minutes, and an existing sandbox needs none. Network errors are reported
    // first.
    let mut planned = None;
    if store.find(&name)?.is_none() {
        planned = Some(plan(args, workspace.as_deref(), settings, ui)?);
        build::report_base(settings, ui);
        image(args, settings, ui)?;
    }
    let probe = accelerator(settings, &qemu, ui)?;
    let lock = store.claim(&name, &mut || report_wait(&name, ui))?;
    let place = store.place(&name);
    admission::keep(&store, limits::of(settings))?;
    if current_state(&place).qemu.is_none() {
        limits::check(&store)?;
    }
    if let Some(record) = store.find(&name)? {
        refuse_changes(args, &record)?;
        refuse_other_network(args, &place)?;
        let is_running = current_state(&place).qemu.is_some();
        let record = Record { require_fence: record.require_fence || is_required, ..record };
        with_ports(&policies_of(&args.ports)?, record, is_running)?.save(&place)?;
    } else {
        let planned = match planned {
            Some(planned) => planned,
            None => plan(args, workspace.as_deref(), settings, ui)?,
        };
        make(args, &name, planned, &Host { qemu: &qemu, probe: &probe }, settings, ui)?;
    }
    agent_key::keep(&place, args.ssh_agent.as_ref())?;
    let turn = turn(&store, ui)?;
    // Others have started during the wait.
    if current_state(&place).qemu.is_none() {
        limits::check(&store)?;
    }
    let connection = attend(&place, &supervisor(&name, settings.accel)?, &lock)?;
    drop(lock);
    let status = wait_started(&place, connection, turn, deadline(probe.accelerator()), ui)?;
    if let Origin::DiskInstead { why } = &status.origin {
        ui.warn(&format!("{name} was booted instead of cloned: {}", plain(why).trim()));
    }
    if let Some(folder) = &workspace {
        let how = push::How { include: &args.include, history: args.history, force: false };
        push::of_up(&Named::new(name.as_str())?, folder, how, ui)?;
    }
    Ok((place, status))
}

fn name(asked: Option<&str>, workspace: Option<&Utf8Path>) -> anyhow::Result<SandboxName> {
    if let Some(name) = asked {
        return Ok(name.parse()?);
    }
    let folder = match workspace {
        Some(folder) => folder.as_std_path().to_owned(),
        None => std::env::current_dir()?,
    };
    let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    SandboxName::of_folder(&folder).ok_or_else(|| {
        CommandError::usage(format!("the folder's name {folder:?} gives no name for a sandbox"))
            .remedy("name it: cargo xtask up NAME")
            .into()
    })
}

type Image = (rave_image::Manifest, camino::Utf8PathBuf);

fn image(args: &cli::Up, settings: &Settings, ui: &Ui) -> anyhow::Result<Image> {
    let building = args.building.clone();
    let run = cli::Run { no_build: args.no_build, building, ..cli::Run::default() };
    artifact(&run, FORMAT, settings, ui)
}

/// Creates the sandbox; it exists once its record is written, which happens last.
fn make(
    args: &cli::Up,
    name: &SandboxName,
    planned: Defaults,
    host: &Host<'_>,
    settings: &Settings,
    ui: &Ui,
) -> anyhow::Result<()> {
    let (manifest, artifact) = image(args, settings, ui)?;
    let mut policy = planned.policy;
    groups::add_archives(&mut policy.groups, manifest.archives())?;
    let place = Store::new(&settings.state_dir).place(name);
    let disk = place.disk();
    forget(disk.folder())?;
    let found = manifest.artifact(&settings.out_dir, FORMAT)?;
    let sha256 = found.boot_file().sha256.to_string();
    disk.hold(&artifact, &sha256)?;
    remove(&place.identity())?;
    manifest.write(disk.folder())?;
    KeyPair::generate(place.folder(), &format!("rave-{name}"))?;
    let policies = policies_of(&args.ports)?;
    let services = request::services(settings, &manifest, |name, _| {
        policies.get(&name).copied().unwrap_or(PortPolicy::Auto)
    });
    let choice = |request: rave_vm::ports::PortRequest| PortChoice {
        service: request.service,
        guest: request.guest,
        host: fixed_port(request.policy),
    };
    let record = Record {
        schema: SCHEMA,
        name: name.clone(),
        created: now(),
        base: settings.base.to_string(),
        profile: manifest.profile.clone(),
        format: FORMAT,
        user: manifest.guest.user.clone(),
        memory_mib: args.size.memory.map_or(planned.memory_mib, u64::from),
        cpus: args.size.cpus.unwrap_or(planned.cpus),
        disk_mib: settings.spec.spec.vm.disk.get(),
        ports: services.into_iter().map(choice).collect(),
        expiry: Expiry {
            ttl: args.ttl.map(|ttl| ttl.as_secs()).or(planned.expiry.ttl),
            idle: args.idle_stop.map(|idle| idle.as_secs()).or(planned.expiry.idle),
        },
        parent: None,
        require_fence: args.require_fence || settings.spec.spec.sandboxes.require_fence,
    };
    if !args.cold {
        let recipe = Recipe {
            image: &artifact,
            sha256: &sha256,
            profile: &record.profile,
            memory_mib: record.memory_mib,
            cpus: record.cpus,
            disk_mib: record.disk_mib,
        };
        templates::hold(disk.folder(), recipe, host, settings, ui)?;
    }
    network::write(&place, &policy)?;
    audit::begin(&place)?;
    record.save(&place)?;
    ssh_config::write(&Store::new(&settings.state_dir))?;
    Ok(())
}

fn remove(file: &Utf8Path) -> Result<(), Error> {
    match std::fs::remove_file(file) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { action: "remove", path: file.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// The defaults for what the command line does not set.
fn defaults(workspace: Option<&Utf8Path>, settings: &Settings, ui: &Ui) -> anyhow::Result<Defaults> {
    let mut defaults = Defaults::of(&settings.spec)?;
    let Some(asks) = workspace.and_then(|folder| trust::trusted(folder, &settings.state_dir, ui)) else {
        return Ok(defaults);
    };
    if asks.has_allow {
        let Policy { allow, deny, groups, .. } = &mut defaults.policy;
        *groups = groups::of_rules(allow, deny)?;
    }
    let (defaults, refused) = defaults.narrowed(&asks)?;
    for wider in refused {
        ui.warn(&format!("{WORKSPACE_FILE}: {wider} is wider than your own configuration and is ignored"));
    }
    Ok(defaults)
}

/// The sandbox's properties. The command line takes precedence.
fn plan(
    args: &cli::Up,
    workspace: Option<&Utf8Path>,
    settings: &Settings,
    ui: &Ui,
) -> anyhow::Result<Defaults> {
    // The supervisor reads them; errors in them are reported before an image is built.
    secrets::load()?;
    let mut planned = defaults(workspace, settings, ui)?;
    planned.policy = policy(args, planned.policy)?;
    Ok(planned)
}

/// What it may reach.
fn policy(args: &cli::Up, defaults: Policy) -> anyhow::Result<Policy> {
    let wanted = Change {
        mode: args.reach.network,
        allow: args.reach.allow.clone(),
        deny: args.reach.deny.clone(),
        open_pages: args.open_pages.then_some(true),
        ..Change::default()
    };
    let policy = wanted.on(defaults);
    let groups = groups::of_rules(&policy.allow, &policy.deny)?;
    Ok(Policy { groups, ..policy })
}

/// Refuses network flags that differ from an existing sandbox's policy.
fn refuse_other_network(args: &cli::Up, place: &Place) -> anyhow::Result<()> {
    let policy = network::read(place)?;
    let name = place.name();
    let missing = |wanted: &[Rule], has: &[Rule]| wanted.iter().find(|rule| !has.contains(rule)).cloned();
    let change = if let Some(mode) = args.reach.network.filter(|mode| *mode != policy.mode) {
        format!("mode {mode}")
    } else if let Some(rule) = missing(&args.reach.allow, &policy.allow) {
        format!("allow {rule}")
    } else if let Some(rule) = missing(&args.reach.deny, &policy.deny) {
        format!("deny {rule}")
    } else if args.open_pages && !policy.open_pages {
        "pages open".to_owned()
    } else {
        return Ok(());
    };
    Err(CommandError::usage(format!("the sandbox {name} already exists with a different network policy"))
        .remedy(format!("change it: cargo xtask net {name} {change}"))
        .into())
}

/// Removes a disk left behind by a killed `up`.
fn forget(folder: &Utf8Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { action: "remove", path: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}
