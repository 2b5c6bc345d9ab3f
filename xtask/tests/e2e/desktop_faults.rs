//! The desktop under faults: it still comes up, and the checks report what is wrong.

use std::time::Duration;

use rave_guest::protocol::{GuestStage, StageState};
use rave_smoke::screen::Screen;
use rave_vm::{BootEvent, Instance};

use crate::fixture::{COMMAND, Fixture, output_of};
use crate::smoke_faults::{expect, run};
use crate::tool::{DEADLINE, SIMPLE, poll, wait_until};

/// MiB, half of the memory in rave.toml.
const LITTLE_MEMORY: u64 = 2048;

const DESKTOP: [&str; 3] = ["desktop-session", "desktop-painted", "desktop-calm"];

fn is_painted(instance: &mut Instance, fixture: &Fixture) -> bool {
    let picture = fixture.folder().join("painted.png");
    instance.screenshot(&picture).unwrap();
    let screen = Screen::read(&picture).unwrap();
    screen.panel.is_some() && !screen.is_blank()
}

#[test]
fn a_desktop_survives_faults_and_the_checks_name_them() {
    let mut fixture = Fixture::new(SIMPLE);
    fixture.sandbox.machine.memory_mib = LITTLE_MEMORY;
    fixture.drop_in("vibe-kanban.service", "[Service]\nExecStartPre=/bin/false\nRestart=no\n");
    let mut instance = fixture.boot();
    let ready = instance.wait_for(GuestStage::Sshd, DEADLINE, &mut |_| ()).unwrap();
    let ssh = fixture.sandbox.ssh(&instance, &ready).unwrap();
    let mut guest = fixture.guest(instance, &ready, ssh.clone());
    expect(&run(&mut guest, &DESKTOP), &[]);

    // The launcher of a stopped service: its page says so.
    let page =
        output_of(&ssh, "curl --silent $(sed -n 's/^Exec=xdg-open //p' ~/Desktop/rave-kanban.desktop)");
    assert!(page.contains("Vibe Kanban is not available"), "{page}");
    guest.limits.answer = Duration::from_secs(5);
    let rows = run(&mut guest, &["gateway-root", "gateway-health"]);
    expect(&rows, &[("gateway-root", "GET /"), ("gateway-health", "GET /healthz returned 503")]);
    guest.limits.answer = COMMAND;

    // A killed browser does not affect the desktop.
    let open = "bash -lc 'setsid --fork chromium >/dev/null 2>&1 </dev/null'";
    let pages = "pgrep --count --full -- '[-]-type=renderer'";
    output_of(&ssh, open);
    wait_until("a page is open", || ssh.exec(pages, DEADLINE).unwrap().success());
    output_of(&ssh, "pkill -KILL chromium");
    wait_until("every page is closed", || !ssh.exec(pages, DEADLINE).unwrap().success());
    expect(&run(&mut guest, &DESKTOP), &[]);

    // A new session, without space for its writes.
    output_of(
        &ssh,
        "sudo -n fallocate -l $(df --output=avail -B1 / | tail -n 1) /filler; sudo -n sh -c 'cat /dev/zero > /filler2' 2>/dev/null; true",
    );
    output_of(&ssh, "sudo -n systemctl restart lightdm");
    expect(&run(&mut guest, &DESKTOP[..2]), &[]);
    output_of(&ssh, "sudo -n rm /filler /filler2");
    guest.take_instance().unwrap().kill().unwrap();
}

#[test]
fn a_desktop_without_a_network_starts_and_the_network_is_named() {
    let mut fixture = Fixture::new(SIMPLE);
    fixture.sandbox.machine.network = None;
    fixture.sandbox.machine.forwards.clear();
    let mut instance = fixture.boot();
    let mut network = None;
    instance
        .wait_ready(DEADLINE, &mut |event| {
            if let BootEvent::Guest(event) = event
                && event.stage == GuestStage::Network
            {
                network = Some((event.state, event.detail.clone()));
            }
        })
        .unwrap();
    poll("the desktop is painted", Duration::from_millis(500), || is_painted(&mut instance, &fixture));
    let (state, detail) = network.unwrap();
    assert_eq!(state, StageState::Failed, "{detail}");
    assert!(detail.contains("no network interface"), "{detail}");
    instance.kill().unwrap();
}
