//! The real image under faults inside the guest, and with different settings.

use std::fs;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::protocol::GuestStage;
use rave_vm::Error;
use rave_vm::boot::BootStage;
use rave_vm::machine::Clock;

use crate::fixture::{COMMAND, Fixture, output_of};
use crate::tool::{DEADLINE, HEADLESS, Place, copy_checkout, finish, shared_cache, shared_out, wait_until};

#[test]
fn a_service_that_hangs_is_named_as_the_stage_that_hangs() {
    let mut fixture = Fixture::new(HEADLESS);
    fixture.drop_in(
        "vibe-kanban.service",
        "[Service]\nExecStartPre=/bin/sleep infinity\nTimeoutStartSec=infinity\n",
    );
    let mut instance = fixture.boot();
    let mut elapsed = Duration::ZERO;
    for stage in GuestStage::ALL {
        if ![GuestStage::Kanban, GuestStage::Ready].contains(&stage) {
            elapsed = instance.wait_for(stage, DEADLINE, &mut |_| ()).unwrap().timeline.ready.max(elapsed);
        }
    }
    // The guest queries systemd less often the longer an answer takes.
    let failure = loop {
        elapsed += Duration::from_secs(10);
        let error = instance.wait_ready(elapsed, &mut |_| ()).unwrap_err();
        let Error::Boot(failure) = error else { panic!("{error}") };
        if elapsed > DEADLINE || failure.to_string().contains("vibe-kanban.service is activating (start-pre)")
        {
            break failure;
        }
    };
    assert_eq!(failure.stage, BootStage::Service(GuestStage::Kanban), "{failure}");
    assert!(failure.to_string().contains("vibe-kanban.service is activating (start-pre)"), "{failure}");
    instance.kill().unwrap();
}

#[test]
fn a_wrong_clock_and_a_full_disk_are_survived() {
    let mut fixture = Fixture::new(HEADLESS);
    // Long before the image was built: every file and certificate is from the future.
    fixture.sandbox.machine.clock = Clock::At("2006-06-17T16:01:21".into());
    let (mut instance, _, ssh) = fixture.ready();
    let fill = "sudo -n fallocate -l $(df --output=avail -B1 / | tail -n 1) /filler; \
                sudo -n sh -c 'cat /dev/zero > /filler2' 2>/dev/null; sync; df --output=avail -B1M / | tail -n 1";
    assert_eq!(output_of(&ssh, fill).trim(), "0");

    // Services that must write are named if they cannot run; others work. Whether the boot frees a block for them is
    // random, but the report must match the actual state.
    let kanban = match instance.reboot(&ssh, DEADLINE, &mut |_| ()) {
        Ok(_) => "active",
        Err(Error::Boot(failure)) => {
            assert!(failure.to_string().contains("vibe-kanban.service is failed"), "{failure}");
            "failed"
        }
        Err(other) => panic!("{other}"),
    };
    assert_eq!(ssh.exec("systemctl is-active vibe-kanban", COMMAND).unwrap().text().trim(), kanban);
    // The boot ends with the first failed service: others may still be starting.
    wait_until("services that need not write are running", || {
        let states = ssh.exec("systemctl is-active nginx ssh claude-code-router", COMMAND).unwrap();
        states.text().trim() == "active\nactive\nactive"
    });
    output_of(
        &ssh,
        "sudo -n rm /filler /filler2; sudo -n systemctl reset-failed; sudo -n systemctl start vibe-kanban",
    );
    wait_until("every service has recovered", || {
        ssh.exec("sudo -n /usr/lib/rave/rave-guest health", COMMAND).unwrap().success()
    });
    instance.kill().unwrap();
}

/// A copy of the checkout with other settings.
fn checkout_with(place: &Place, local: &str, unit: Option<(&str, &str)>) -> Utf8PathBuf {
    let folder = place.path("checkout");
    copy_checkout(&folder);
    fs::write(folder.join("rave.local.toml"), local).unwrap();
    if let Some((name, text)) = unit {
        fs::write(folder.join(name), text).unwrap();
    }
    Utf8PathBuf::from_path_buf(folder).unwrap()
}

fn in_checkout(place: &Place, folder: &Utf8Path, arguments: &[&str]) -> crate::command::Command {
    let mut command = place.xtask(arguments);
    command.args(["--base", "debian", "--out"]).arg(place.path("out")).current_dir(folder);
    command
}

#[test]
fn a_hardened_profile_refuses_passwords_and_has_user_units_and_variables() {
    let place = Place::new();
    place.seed(&["rootfs", "tools", "guest"]);
    let local = r#"
        [guest]
        authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJxoykCJ4Er7hPpDHPCbyNhXzKdmjtxb7ehyZKqKoGkV me"]
        [profiles.locked]
        description = "keys only"
        hardened = true
        [extra]
        units = ["hello.service"]
        environment = ["GREETING=hello, you"]
    "#;
    let unit = "[Unit]\nDescription=says hello\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo hello > /run/hello'\n[Install]\nWantedBy=multi-user.target\n";
    let checkout = checkout_with(&place, local, Some(("hello.service", unit)));
    let checks = "ssh-key,ssh-password,ssh-root-refused,gateway-health,no-failed-units";
    let smoke = finish(&in_checkout(&place, &checkout, &["smoke", "--profile", "locked", "--only", checks]));
    assert_eq!(smoke.status.code(), Some(0), "{}\n{}", smoke.stdout, smoke.stderr);
    assert!(smoke.stdout.contains("refused; offered: publickey"), "{}", smoke.stdout);
    assert!(smoke.stdout.contains("5 passed, 0 failed"), "{}", smoke.stdout);

    let ports =
        ["--port", "kanban=auto", "--port", "router=auto", "--port", "gateway=auto", "--port", "ssh=auto"];
    let ask = "bash -lc 'stat --format \"%U %a\" ~/.ssh ~/.ssh/authorized_keys; cat /run/hello; echo \"$GREETING\"; systemctl is-active hello.service; exit 7'";
    let mut run = in_checkout(&place, &checkout, &["run", "--profile", "locked", "--exec", ask]);
    run.args(ports);
    let run = finish(&run);
    assert_eq!(run.status.code(), Some(7), "the guest's own code:\n{}\n{}", run.stdout, run.stderr);
    assert_eq!(run.stdout, "agent 700\nagent 600\nhello\nhello, you\nactive\n");
    place.expect_no_process();
}

/// The first image's file is renamed and replaced by a newer image; the disk keeps its original base.
#[test]
fn a_kept_disk_keeps_working_beside_a_newer_image() {
    let place = Place::new();
    place.seed(&["rootfs", "tools", "guest", "disk"]);
    let keep = |more: &[&str]| {
        let mut run = place.xtask(&["run", "--base", "debian", "--keep"]);
        run.args([
            "--port",
            "kanban=auto",
            "--port",
            "router=auto",
            "--port",
            "gateway=auto",
            "--port",
            "ssh=auto",
        ]);
        run.arg("--out").arg(place.path("out")).args(more);
        run
    };
    finish(&keep(&["--exec", "echo work > mine; sync"])).expect_code(0);
    fs::rename(place.path("out/rave-debian-headless.qcow2"), place.path("out/elsewhere")).unwrap();
    let mut newer = place.image(&[]);
    newer.env("RAVE_GUEST_HOSTNAME", "newer");
    finish(&newer).expect_code(0);

    let ask =
        "cat mine; hostname; test $(df --output=size -BM / | tail -n 1 | tr -d M) -gt 17000 && echo grown";
    let mut again = keep(&["--no-build", "--exec", ask]);
    again.env("RAVE_DISK", "20480");
    let again = finish(&again);
    again.expect_code(0).expect_said("on its original image").expect_said("--keep-base new");
    assert_eq!(again.stdout, "work\nrave\ngrown\n");
    place.expect_no_process();
}

#[test]
fn a_taken_port_is_reported_before_the_boot_with_its_owner_and_a_remedy() {
    shared_cache(HEADLESS);
    let place = Place::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut run =
        place.xtask(&["run", "--base", "debian", "--exec", "true", "--port", &format!("gateway={port}")]);
    run.args(["--port", "kanban=auto", "--port", "router=auto", "--port", "ssh=auto", "--out"]);
    run.arg(shared_out(HEADLESS));
    let finished = finish(&run);
    finished.expect_code(3).expect_said(&port.to_string()).expect_said(&format!("{}", std::process::id()));
    finished.expect_said("--port gateway=");
    place.expect_no_process();
}

#[test]
fn ctrl_c_during_boot_ends_the_machine() {
    shared_cache(HEADLESS);
    let place = Place::new();
    let mut run = place.xtask(&["run", "--base", "debian", "--headless", "--out"]);
    run.arg(shared_out(HEADLESS));
    for service in ["kanban", "router", "gateway", "ssh"] {
        run.arg("--port").arg(format!("{service}=auto"));
    }
    let child = run.start_until("boot: kernel: started");
    child.signal("INT");
    assert_eq!(child.wait().code(), Some(130));
    place.expect_no_process();
    assert_eq!(fs::read_dir(place.path("state/run")).map_or(0, Iterator::count), 0, "no run folder is left");
}
